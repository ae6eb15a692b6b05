package process

import (
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What is done with a label, in words that compile.Explain knows.
const (
	AppArmorPointer = "process.apparmorProfile"
	SELinuxPointer  = "process.selinuxLabel"
)

// Labeled reports whether the process gets a label of a security module, for
// which OpenProc is needed. A label that cannot be had is an error: a program
// is never less confined than config.json says.
func Labeled(p *specs.Process, lsm host.LSM) (bool, error) {
	switch {
	case p.SelinuxLabel != "" && lsm.SELinux != host.Yes:
		return false, invalid(SELinuxPointer, "run with the SELinux label "+p.SelinuxLabel, "SELinux is not enabled on this host")
	case unconfined(p, lsm):
		return p.SelinuxLabel != "", nil
	case p.ApparmorProfile != "" && lsm.AppArmor != host.Yes:
		return false, invalid(AppArmorPointer, "run under the AppArmor profile "+p.ApparmorProfile, "AppArmor is not enabled on this host")
	}
	return p.ApparmorProfile != "" || p.SelinuxLabel != "", nil
}

// unconfined is what every process is without AppArmor. The whole name counts:
// a profile may be called unconfined_foo.
func unconfined(p *specs.Process, lsm host.LSM) bool {
	return p.ApparmorProfile == "unconfined" && lsm.AppArmor != host.Yes
}

// OpenProc opens the runtime's own procfs, before anything of the container is
// there or joined: a label is never written through a file that somebody in the
// container could have put in place (CVE-2019-16884, CVE-2025-52881).
func OpenProc(b *plan.Builder) plan.Slot {
	b.At("default", "open procfs")
	return b.Get("procfs", plan.Openat2{DirFD: plan.AtCWD(), Path: "/proc", Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC})
}

// Labels writes what the kernel is to do at execve. A process can do that only
// for itself: proc_pid_attr(5). Nothing else is executed in between.
func Labels(b *plan.Builder, proc plan.Slot, p *specs.Process, lsm host.LSM) {
	if profile := p.ApparmorProfile; profile != "" && !unconfined(p, lsm) {
		b.At(AppArmorPointer, "run under the AppArmor profile "+profile).For(plan.ForAppArmor, "")
		// Where several modules are stacked attr/exec is that of the first;
		// before Linux 5.8 it is all there is.
		file, old, open := b.Slot("attr"), b.Label(), b.Label()
		b.Add(plan.Step{Op: attribute(proc, "apparmor/exec"), Result: file, Tolerate: []plan.Errno{{Errno: unix.ENOENT, To: old}},
			OnZero: open, OnNonzero: open})
		b.Place(old)
		b.Add(plan.Step{Op: attribute(proc, "exec"), Result: file})
		b.Place(open)
		b.Do(plan.Write{FD: file.Ref(), Data: "exec " + profile})
		b.Close(file)
	}
	if label := p.SelinuxLabel; label != "" {
		b.At(SELinuxPointer, "run with the SELinux label "+label).For(plan.ForSELinux, "")
		writeAttribute(b, proc, "exec", label)
	}
}

// KeyLabel writes the SELinux label of keys that are made from now on; a line
// feed is none.
func KeyLabel(b *plan.Builder, proc plan.Slot, label string) {
	b.At(SELinuxPointer, "label the session keyring").For(plan.ForSELinux, "")
	writeAttribute(b, proc, "keycreate", label)
}

func writeAttribute(b *plan.Builder, proc plan.Slot, name, text string) {
	file := b.Get("attr", attribute(proc, name))
	b.Do(plan.Write{FD: file.Ref(), Data: text})
	b.Close(file)
}

// attribute opens a file of the process's own. self is a symbolic link, to a
// number, in the same procfs.
func attribute(proc plan.Slot, name string) plan.Openat2 {
	return plan.Openat2{DirFD: proc.Ref(), Path: "self/attr/" + name, Flags: unix.O_WRONLY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV}
}
