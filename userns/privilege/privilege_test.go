package privilege

import (
	"testing"

	"github.com/homerun-oci/homerun/userns"
)

func TestPermits(t *testing.T) {
	// VFS_CAP_REVISION_2, cap_setuid=ep, as setcap writes it.
	xattr := []byte{1, 0, 0, 2, 1 << 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if !permits(xattr, userns.UID) || permits(xattr, userns.GID) || permits(xattr[:7], userns.UID) {
		t.Error("wrong bit")
	}
}
