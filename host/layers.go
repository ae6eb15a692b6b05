package host

// Layers says what an overlay over the root is put together from. The kernel lets a
// user namespace lay a file system over a directory only where nothing is mounted
// below it. A root with mounts below is therefore taken apart: directories on the way
// to a mount are made anew, and each of the others gets an overlay of its own.
type Layers struct {
	// UID owns the root directory, as the runtime sees it.
	UID int `json:"uid"`
	// Parts are what a root with mounts below it consists of, a directory before
	// what is in it; without any the root is one layer.
	Parts []Part `json:"parts,omitempty"`
	// Error says in one line why the root could not be taken apart.
	Error string `json:"error,omitempty"`
}

// Part is a file of a root that is taken apart.
type Part struct {
	// Path is relative to the root.
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	// Mode holds a directory's permission bits, Link a symbolic link's content.
	Mode uint32 `json:"mode,omitempty"`
	Link string `json:"link,omitempty"`
	// Plain: a directory that is made anew, since its parts follow, or since a
	// mount of the container covers it.
	Plain bool `json:"plain,omitempty"`
	// Mount: something is mounted on it. Flags are those of the mount that it is
	// on, as Source has them.
	Mount bool     `json:"mount,omitempty"`
	Flags []string `json:"flags,omitempty"`
}

// MaxParts bounds Layers.Parts.
const MaxParts = 2048
