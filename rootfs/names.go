package rootfs

import "slices"

// OptionNames lists the mount options that are understood, sorted, without the
// parameters that file systems have of their own.
func OptionNames() []string {
	names := []string{"bind", "rbind", "remount", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow", "idmap", "ridmap"}
	for _, p := range []string{"shared", "slave", "private", "unbindable"} {
		names = append(names, p, "r"+p)
	}
	for _, row := range attributeOptions {
		names = append(names, row.name, "r"+row.name)
	}
	for _, row := range superblockOptions {
		names = append(names, row.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
