package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/plain"
)

// DidYouMean is the end of a message about a word that is none of those known: the one that
// was likely meant. It is empty where none is like it.
func DidYouMean(word string, known []string) string {
	return suggestion(closest(known, min(2, len(word)/4), func(name string) int { return plain.Distance(word, name) }))
}

// closest is the first of the names with the least distance, which is at most that; empty
// without one.
func closest(names []string, most int, distance func(name string) int) (best string) {
	for _, name := range names {
		if d := distance(name); d < most || d == most && best == "" {
			best, most = name, d
		}
	}
	return best
}

// suggestion is the end of a message that suggests a word, if there is one.
func suggestion(word string) string {
	if word == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", word)
}

// TmpfsOptions lists what tmpfs(5) has, and shmem_fs_parameters in mm/shmem.c.
func TmpfsOptions() []string {
	return []string{"size", "nr_blocks", "nr_inodes", "noswap", "mode", "gid", "uid", "huge", "mpol", "inode32", "inode64", "quota", "usrquota", "grpquota",
		"usrquota_block_hardlimit", "usrquota_inode_hardlimit", "grpquota_block_hardlimit", "grpquota_inode_hardlimit", "casefold", "strict_encoding"}
}

// IsTmpfsOption reports whether fsconfig(2) takes an option for a tmpfs: one of its own, one
// of each file system, or one of a security module, which may be there.
func IsTmpfsOption(name string) bool {
	return slices.Contains(TmpfsOptions(), name) ||
		slices.Contains([]string{"source", "ro", "rw", "sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand"}, name) ||
		name == "seclabel" || strings.HasSuffix(name, "context") || strings.HasPrefix(name, "smackfs")
}
