package client

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/netns"
)

// TestCancelledControl: who asks a helper that does not answer stops with the
// context.
func TestCancelledControl(t *testing.T) {
	dir := t.TempDir()
	helper, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, netns.ControlSocket), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer helper.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := List(ctx, dir); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}
