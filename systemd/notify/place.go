package notify

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// LacksPlace reports whether the socket's directory has no place in the root where
// it will be mounted, and none can be made there: nobody asked for one, so its want
// does not end the run. A mount of config.json at or above it is taken to have one.
// root is the root's path, and readonly that config.json wants it so.
func LacksPlace(where, root string, readonly bool, mounts []specs.Mount) bool {
	for _, m := range mounts {
		if at := path.Clean("/" + m.Destination); strings.HasPrefix(where+"/", strings.TrimSuffix(at, "/")+"/") {
			return false
		}
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // that is said of the root itself
	}
	defer unix.Close(fd)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	whole := where[1:]
	for at := whole; at != ""; at, _ = path.Split(strings.TrimSuffix(at, "/")) {
		found, err := unix.Openat2(fd, at, &how)
		if err != nil {
			continue
		}
		defer unix.Close(found)
		return at != whole && (isReadonly(found) || readonly && root == "/")
	}
	return isReadonly(fd)
}

// isReadonly reports whether a descriptor's mount or file system is read-only.
func isReadonly(fd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}
