package probe

import "golang.org/x/sys/unix"

// hasAppArmor reads the module's own switch; the file is there and says N when
// AppArmor is built in but not chosen with lsm=.
func (p *Prober) hasAppArmor() bool {
	text, err := p.readFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && len(text) > 0 && text[0] == 'Y'
}

// hasSELinux follows libselinux: selinuxfs is mounted, and not read-only, which
// is how an outer container says that there is none for it.
func hasSELinux() bool {
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/selinux", &st) != nil {
		return false
	}
	return uint32(st.Type) == unix.SELINUX_MAGIC && st.Flags&unix.ST_RDONLY == 0
}
