package host

// Tree is what lies below a mount destination in the rootfs, for the option
// tmpcopyup. It is measured only where the option is.
type Tree struct {
	// Entries are all files below, a directory before what is in it.
	Entries []Entry `json:"entries,omitempty"`
	// Error is the errno's name when the tree could not be listed: E2BIG when
	// it has too many files or bytes for the list.
	Error string `json:"error,omitempty"`
	// UID and GID own the directory itself.
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// The bounds of a Tree: each entry is some steps of a plan. What is larger is
// not listed, and copied outside of the plan.
const (
	MaxTreeEntries = 1024
	MaxTreeBytes   = 64 << 20
)

// Entry is one file of a Tree. The ids are as the runtime sees them.
type Entry struct {
	// Path is relative to the tree's root.
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	// Mode holds the permission bits.
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	// Size is a regular file's.
	Size int64 `json:"size,omitempty"`
	// Link is a symbolic link's content.
	Link string `json:"link,omitempty"`
	// Rdev is the device number of a device node (unix.Mkdev form).
	Rdev uint64 `json:"rdev,omitempty"`
	// Xattrs are extended attributes of directories and regular files.
	Xattrs []Xattr `json:"xattrs,omitempty"`
}

// Xattr is an extended attribute.
type Xattr struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}
