package rootfs

import (
	"path"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// maxValue is how long a value can be: fsconfig(2) refuses 256 bytes.
const maxValue = 255

// fileSystem makes a new file system and attaches it.
func (t *Tree) fileSystem(m *Mount) error {
	if err := m.checkValues(); err != nil {
		return err
	}
	fs := t.fsopen(m, 0, 0)
	mount := t.b.Slot(m.name())
	t.fsmount(m, fs, mount, 0)
	t.labelQueues(m, mount)
	return t.place(m, mount)
}

// checkValues refuses what the kernel would with a mere EINVAL.
func (m *Mount) checkValues() error {
	if len(m.Source) > maxValue {
		return m.error("the source is longer than 255 bytes", 0)
	}
	for _, p := range m.options.parameters {
		_, value, _ := strings.Cut(p, "=")
		if len(value) > maxValue && !(m.Type == "overlay" && strings.HasPrefix(p, "lowerdir=")) {
			return m.optionError("the value of " + strconv.Quote(p) + " is longer than the 255 bytes that fsconfig(2) takes")
		}
	}
	return nil
}

// name is what the mount's slot is called.
func (m *Mount) name() string { return path.Base("/" + inside(m.Destination)) }

// fsopen makes the file system. A refusal (EPERM) goes on at refused, if set,
// or at none when there is nothing open yet.
func (t *Tree) fsopen(m *Mount, none, refused plan.Label) plan.Slot {
	fs := t.b.Slot("fs")
	t.b.Add(plan.Step{Op: plan.Fsopen{Type: m.Type}, Result: fs, Tolerate: onEPERM(none)})
	if m.Source != "" {
		t.set(fs, "source", m.Source)
	}
	parameters := t.parameters(m)
	for _, p := range parameters {
		t.configure(fs, p)
	}
	t.labelMount(m, fs, parameters)
	if m.Type == "tmpfs" && !hasParameter(m.options.parameters, "mode") {
		t.set(fs, "mode", t.tmpfsMode(m))
	}
	t.b.Add(plan.Step{Op: plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_CMD_CREATE}, Tolerate: onEPERM(refused)})
	return fs
}

func onEPERM(to plan.Label) []plan.Errno {
	if to == 0 {
		return nil
	}
	return []plan.Errno{{Errno: unix.EPERM, To: to}}
}

// parameters lists what fsconfig(2) is told. A string may hold several
// parameters with commas between, as in mount(2)'s data.
func (t *Tree) parameters(m *Mount) []string {
	list := append([]string(nil), m.options.superblock...)
	for _, text := range m.options.parameters {
		for _, p := range splitData(text) {
			if !t.unmapped(m, p) {
				list = append(list, layers(m, p)...)
			}
		}
	}
	return list
}

// splitData splits at commas that are neither in quotes nor escaped, and drops
// the quotes, as the kernel does with the data of mount(2).
func splitData(s string) []string {
	if !strings.ContainsAny(s, `,"`) {
		return []string{s}
	}
	var list []string
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			b.WriteString(s[i : i+2])
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			list = append(list, b.String())
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	return append(list, b.String())
}

// unmapped drops the gid of a devpts where no id is mapped for it: the kernel
// would refuse the mount, and terminals belong to the container's root then.
func (t *Tree) unmapped(m *Mount, parameter string) bool {
	text, ok := strings.CutPrefix(parameter, "gid=")
	if !ok || m.Type != "devpts" || t.config.GIDs == nil {
		return false
	}
	gid, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return false
	}
	for _, line := range t.config.GIDs {
		if uint64(line.ContainerID) <= gid && gid-uint64(line.ContainerID) < uint64(line.Size) {
			return false
		}
	}
	t.Warnings = append(t.Warnings, m.what()+" ("+m.pointer()+".options): "+parameter+
		" is ignored: the group is not mapped in the container's user namespace")
	return true
}

// layers splits an overlay's lower directories that are too many for one value:
// lowerdir+ adds one at a time, Linux 6.7.
func layers(m *Mount, parameter string) []string {
	text, ok := strings.CutPrefix(parameter, "lowerdir=")
	if !ok || m.Type != "overlay" || len(text) <= maxValue {
		return []string{parameter}
	}
	var list []string
	key := "lowerdir+="
	for {
		dir, rest, more := cutLayer(text)
		if dir == "" { // "::" begins the data-only layers
			key = "datadir+="
		} else {
			list = append(list, key+dir)
		}
		if !more {
			return list
		}
		text = rest
	}
}

// cutLayer cuts at a colon that is not escaped.
func cutLayer(s string) (dir, rest string, more bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == ':':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "", false
}

// configure sets one parameter.
func (t *Tree) configure(fs plan.Slot, parameter string) {
	if key, value, ok := strings.Cut(parameter, "="); ok {
		t.set(fs, key, value)
		return
	}
	t.b.Do(plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_SET_FLAG, Key: parameter})
}

func (t *Tree) set(fs plan.Slot, key, value string) {
	t.b.Do(plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_SET_STRING, Key: key, Value: value})
}

// tmpfsMode is the mode of a tmpfs without a mode option: that of the
// directory it covers, or a sticky one that all may write.
func (t *Tree) tmpfsMode(m *Mount) string {
	if target, ok := t.known(m.Destination); ok && target.Kind == host.Directory && inside(m.Destination) != "" {
		return strconv.FormatUint(uint64(target.Mode), 8)
	}
	return "1777"
}

func hasParameter(list []string, key string) bool {
	for _, text := range list {
		for _, p := range splitData(text) {
			if k, _, _ := strings.Cut(p, "="); k == key {
				return true
			}
		}
	}
	return false
}

// fsmount makes the detached mount, with its attributes from the start. In a
// user namespace procfs and sysfs may be refused here too (EPERM), where the
// outer ones are not fully visible.
func (t *Tree) fsmount(m *Mount, fs, mount plan.Slot, refused plan.Label) {
	attrs := m.options.attributes()
	if m.late {
		attrs &^= unix.MOUNT_ATTR_RDONLY
	}
	step := plan.Step{Op: plan.Fsmount{FD: fs.Ref(), Attrs: int(attrs)}, Result: mount}
	if refused != 0 {
		step.Tolerate = []plan.Errno{{Errno: unix.EPERM, To: refused}}
	}
	t.b.Add(step)
	t.b.Close(fs)
}

// place attaches a new mount.
func (t *Tree) place(m *Mount, mount plan.Slot) error {
	if m.mapped() {
		t.setIDMap(m, mount)
	}
	if m.options.copyUp {
		target := t.targetOf(m, true)
		t.copyUp(m, mount, target)
		t.attach(mount, target)
		t.b.Close(target)
	} else {
		t.put(mount, m.Destination, m.howReached(true))
	}
	t.propagate(m, mount)
	t.replaceRoot(m, mount)
	t.keep(m, mount)
	return nil
}

// keep keeps a mount open where later operations need it.
func (t *Tree) keep(m *Mount, mount plan.Slot) {
	p := inside(m.Destination)
	if m.Type == "tmpfs" && !m.options.copyUp && p != "" {
		t.fresh[p] = make(map[string]bool)
	}
	switch {
	case m.late:
		t.late = append(t.late, lateMount{mount, m.pointer(), m.what()})
	case m.Type == "proc" && p == "proc":
		t.proc, t.procIsWhole = mount, t.isWhole(m)
	case m.Type == "sysfs" && p == "sys":
		t.sys = mount
	case m.Type == "devpts" && p == "dev/pts":
		t.devpts = mount
	default:
		t.b.Close(mount)
	}
}

// isWhole reports whether a procfs is one of the container's own, with all its parts, and
// writable.
func (t *Tree) isWhole(m *Mount) bool {
	o := &m.options
	return t.config.NewPID && o.attributes()&unix.MOUNT_ATTR_RDONLY == 0 && len(o.parameters) == 0 && len(o.superblock) == 0
}
