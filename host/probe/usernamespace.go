package probe

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/userns"
)

// initialUserNamespace is PROC_USER_INIT_INO, the number that the kernel gives
// to the first user namespace (include/linux/proc_ns.h, part of the ABI).
const initialUserNamespace = 0xEFFFFFFD

// userNamespace measures the user namespace that the runtime is in. Its number
// tells whether it is the first; the maps do not, since systemd 260 makes
// namespaces that map every id to itself (PrivateUsers=full, moby/sys#239).
// In the first one all else is known without looking.
func (p *Prober) userNamespace() error {
	own, err := proc.UserNamespace()
	if err != nil {
		return proc.Unreadable("", "user", err)
	}
	u := &p.Facts.UserNamespace
	u.Initial = own == initialUserNamespace
	if u.Initial {
		u.OwnerUID = p.Facts.Process.UID
		u.Setgroups = "allow"
		u.UIDMap = []host.Mapping{{Size: 1<<32 - 1}}
		u.GIDMap = []host.Mapping{{Size: 1<<32 - 1}}
		return nil
	}
	return p.nestedUserNamespace()
}

func (p *Prober) nestedUserNamespace() error {
	u := &p.Facts.UserNamespace
	var err error
	if u.UIDMap, err = p.idMap("/proc/self/uid_map"); err != nil {
		return err
	}
	if u.GIDMap, err = p.idMap("/proc/self/gid_map"); err != nil {
		return err
	}
	if text, err := p.readFile("/proc/self/setgroups"); err == nil {
		u.Setgroups = string(trim(text))
	}
	u.OwnerUID = ownerUID(u.UIDMap)
	return nil
}

func (p *Prober) idMap(path string) ([]host.Mapping, error) {
	text, err := p.readFile(path)
	if err != nil {
		return nil, fmt.Errorf("probe: read %s: %w", path, err)
	}
	return parseIDMap(text), nil
}

// IDMap reads an id map of a process: user_namespaces(7).
func IDMap(path string) ([]host.Mapping, error) { return (&Prober{}).idMap(path) }

// parseIDMap reads lines of three numbers; others are skipped.
func parseIDMap(text []byte) []host.Mapping {
	var out []host.Mapping
	var f [4][]byte
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		text = rest
		if fields(line, f[:]) != 3 {
			continue
		}
		inside, ok1 := number(f[0])
		outside, ok2 := number(f[1])
		size, ok3 := number(f[2])
		if ok1 && ok2 && ok3 {
			out = append(out, host.Mapping{ContainerID: inside, HostID: outside, Size: size})
		}
	}
	return out
}

// overflowUID stands for an owner that the own namespace does not map.
const overflowUID = 65534

// ownerUID asks who made the own user namespace (NS_GET_OWNER_UID, Linux 4.11)
// and translates the answer, which is in the own namespace's ids, to the
// parent's. Rootless podman's pause process gives 0 -> 1000. It is -1 when the
// owner is not mapped: then it cannot be told.
func ownerUID(uidMap []host.Mapping) int {
	fd, err := openat(unix.AT_FDCWD, "/proc/self/ns/user", unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return -1
	}
	defer unix.Close(fd)
	owner, err := unix.IoctlGetUint32(fd, unix.NS_GET_OWNER_UID)
	if err != nil {
		return -1
	}
	id, ok := userns.ToHost(owner, uidMap)
	if !ok || owner == overflowUID {
		return -1
	}
	return int(id)
}
