package probe

import "golang.org/x/sys/unix"

// lsm asks for a security module only when config.json has a label for it.
func (p *prober) lsm() {
	process := p.Spec.Process
	if process != nil && process.ApparmorProfile != "" {
		p.facts.LSM.AppArmor = p.hasAppArmor()
	}
	if p.linux().MountLabel != "" || process != nil && process.SelinuxLabel != "" {
		p.facts.LSM.SELinux = hasSELinux()
	}
}

// hasAppArmor reads the module's own switch; the file is there and says N when
// AppArmor is built in but not chosen with lsm=.
func (p *prober) hasAppArmor() bool {
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
