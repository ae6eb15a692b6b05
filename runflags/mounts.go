package runflags

import (
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mountAt is the config's mount on a destination; nil where there is none.
func (c *config) mountAt(destination string) *specs.Mount {
	for i := range c.Mounts {
		if c.Mounts[i].Destination == destination {
			return &c.Mounts[i]
		}
	}
	return nil
}

// addMount puts a mount before those below it, which it would hide, and in the place
// of a tmpfs that the container has there without being asked.
func (c *config) addMount(m specs.Mount) {
	if old := c.mountAt(m.Destination); old != nil && old.Type == "tmpfs" && m.Destination != "/dev" {
		*old = m
		return
	}
	at := len(c.Mounts)
	for i, o := range c.Mounts {
		if strings.HasPrefix(o.Destination, strings.TrimSuffix(m.Destination, "/")+"/") {
			at = i
			break
		}
	}
	c.Mounts = append(c.Mounts, m)
	copy(c.Mounts[at+1:], c.Mounts[at:])
	c.Mounts[at] = m
}

func (c *config) setReadOnly(values []string) error {
	on, err := truth("read-only", last(values))
	c.Root.Readonly = on || c.Root.Readonly
	return err
}

// truth reads the value of a switch: --read-only=false.
func truth(flag, text string) (bool, error) {
	switch text {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, wrong(flag, text, "want true or false, or no value")
}

// addTmpfs: the options are docker's, which the flag's own may take back.
func (c *config) addTmpfs(values []string) error {
	for _, text := range values {
		destination, options, _ := strings.Cut(text, ":")
		if !path.IsAbs(destination) {
			return wrong("tmpfs", text, "want an absolute directory of the container, as /cache:size=64m")
		}
		c.addMount(tmpfs(destination, split(options)))
	}
	return nil
}

func tmpfs(destination string, options []string) specs.Mount {
	return specs.Mount{Destination: path.Clean(destination), Type: "tmpfs", Source: "tmpfs",
		Options: append([]string{"nosuid", "nodev", "noexec", "mode=1777"}, options...)}
}

// split is strings.Split on commas, with nothing for nothing.
func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func (c *config) addMounts(values []string) error {
	for _, text := range values {
		m, err := parseMount(text)
		if err != nil {
			return err
		}
		c.addMount(m)
	}
	return nil
}

// parseMount reads docker's long form.
func parseMount(text string) (specs.Mount, error) {
	if text == "" {
		return specs.Mount{}, wrong("mount", text, "want KEY=VALUE,... as type=bind,src=/srv,dst=/srv")
	}
	fields, ok := fieldsOf(text)
	if !ok {
		return specs.Mount{}, wrong("mount", text, "a double quote is left open")
	}
	var p mountFields
	for _, field := range fields {
		key, value, hasValue := strings.Cut(field, "=")
		if why := p.set(key, value, hasValue); why != "" {
			return specs.Mount{}, wrong("mount", text, why)
		}
	}
	m, why := p.mount()
	if why != "" {
		return m, wrong("mount", text, why)
	}
	return m, nil
}

// fieldsOf cuts a line of comma-separated values, of which one with a comma is in
// double quotes.
func fieldsOf(text string) (fields []string, ok bool) {
	field, quoted := "", false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ',' && !quoted:
			fields, field = append(fields, field), ""
		default:
			field += text[i : i+1]
		}
	}
	return append(fields, field), !quoted
}

// mountFields are those of --mount.
type mountFields struct {
	kind, source, destination string
	options, sizes            []string
	plain                     bool // not recursive
}

// set takes a field, and says what is wrong with it.
func (p *mountFields) set(key, value string, hasValue bool) (why string) {
	switch key {
	case "type":
		p.kind = value
	case "source", "src":
		p.source = value
	case "target", "destination", "dst":
		p.destination = value
	case "readonly", "ro", "rw", "bind-nonrecursive":
		return p.setSwitch(key, value, hasValue)
	case "bind-propagation":
		if !slices.Contains([]string{"private", "rprivate", "slave", "rslave", "shared", "rshared"}, value) {
			return key + ": want private, slave or shared, or one of these with an r before it"
		}
		p.options = append(p.options, value)
	case "tmpfs-size":
		if _, err := size(key, value); err != nil {
			return key + ": " + wantSize
		}
		p.sizes = append(p.sizes, "size="+value)
	case "tmpfs-mode":
		if value == "" || strings.Trim(value, "01234567") != "" {
			return key + ": want an octal mode, as 1777"
		}
		p.sizes = append(p.sizes, "mode="+value)
	case "nosuid", "suid", "nodev", "dev", "noexec", "exec":
		if hasValue {
			return key + ": it has no value"
		}
		p.options = append(p.options, key)
	case "consistency": // says nothing on Linux
	case "U", "chown":
		return key + ": homerun changes no owners; chown does"
	case "relabel", "z", "Z":
		return key + ": homerun changes no SELinux labels; chcon does"
	default:
		return "unknown key " + key + ": want type, source, target, readonly, nosuid, nodev, noexec, bind-propagation, bind-nonrecursive, tmpfs-size or tmpfs-mode"
	}
	return ""
}

func (p *mountFields) setSwitch(key, value string, hasValue bool) (why string) {
	on, err := true, error(nil)
	if hasValue {
		on, err = truth(key, value)
	}
	switch {
	case err != nil:
		return key + ": want true or false, or no value"
	case key == "bind-nonrecursive":
		p.plain = on
	case on == (key != "rw"):
		p.options = append(p.options, "ro")
	}
	return ""
}

// mount makes the mount, and says what is missing.
func (p *mountFields) mount() (m specs.Mount, why string) {
	switch {
	case p.kind == "volume":
		return m, "homerun has no volumes: want type=bind with a directory of your own, or type=tmpfs"
	case p.kind == "image":
		return m, "homerun has no images: want type=bind with a directory that holds one's files"
	case p.kind != "bind" && p.kind != "tmpfs":
		return m, "want type=bind or type=tmpfs"
	case !path.IsAbs(p.destination):
		return m, "want target=DIR, absolute, in the container"
	case p.kind == "tmpfs" && p.source != "":
		return m, "a tmpfs has no source"
	case p.kind == "tmpfs":
		return tmpfs(p.destination, append(p.sizes, p.options...)), ""
	case p.source == "":
		return m, "want source=PATH, what is to be seen in the container"
	case strings.HasPrefix(p.source, "~"):
		return m, wantHome
	case len(p.sizes) > 0:
		return m, "tmpfs-size and tmpfs-mode go with type=tmpfs"
	}
	bind := "rbind"
	if p.plain {
		bind = "bind"
	}
	return specs.Mount{Destination: path.Clean(p.destination), Type: "bind", Source: p.source, Options: append([]string{bind}, p.options...)}, ""
}

// addDevices binds the host's nodes: in a user namespace nobody can make one.
func (c *config) addDevices(values []string) error {
	for _, text := range values {
		source, destination, err := ParseDevice(text)
		if err != nil {
			return err
		}
		c.addMount(specs.Mount{Destination: destination, Type: "bind", Source: source, Options: []string{"rbind", "nosuid", "noexec"}})
	}
	return nil
}

// ParseDevice reads --device: what of the host is to be where in the container. Less
// than reading and writing cannot be had, as only a device program of root's cgroup
// could take it away.
func ParseDevice(text string) (source, destination string, err error) {
	parts := strings.Split(text, ":")
	source, destination = parts[0], parts[0]
	access := "rwm"
	switch {
	case len(parts) == 2 && !path.IsAbs(parts[1]):
		access = parts[1]
	case len(parts) >= 2:
		destination = parts[1]
	}
	if len(parts) == 3 {
		access = parts[2]
	}
	switch {
	case strings.Contains(source, "=") && !path.IsAbs(source):
		return "", "", wrong("device", text, "homerun does not read CDI: want a path, as /dev/fuse")
	case len(parts) > 3 || !path.IsAbs(source) || !path.IsAbs(destination) || strings.Trim(access, "rwm") != "" || access == "":
		return "", "", wrong("device", text, "want PATH[:PATH[:rwm]] with absolute paths, as /dev/fuse")
	case !strings.Contains(access, "r") || !strings.Contains(access, "w"):
		return "", "", wrong("device", text, "without root nobody can be let read a device and not write it, or the reverse: want rw or rwm")
	}
	return path.Clean(source), path.Clean(destination), nil
}

// CheckPath refuses a path of the host with a ~ before it, which a shell expands at the
// beginning of a word alone.
func CheckPath(flag, text string) error {
	if !strings.HasPrefix(text, "~") {
		return nil
	}
	return wrong(flag, text, wantHome)
}

const wantHome = "~ is for the shell, which leaves it alone here: want $HOME, or ./~ for a file of that name"

// Volume takes docker's and podman's own options off SOURCE:DESTINATION[:OPTIONS].
// relabel: it asks for SELinux labels, which is nothing where the host has none.
func Volume(text string) (volume string, relabel bool, err error) {
	parts := strings.SplitN(text, ":", 3)
	if err := CheckPath("volume", text); err != nil {
		return "", false, err
	}
	if len(parts) < 3 {
		return text, false, nil
	}
	var kept []string
	for _, o := range strings.Split(parts[2], ",") {
		switch o {
		case "z", "Z":
			relabel = true
		case "cached", "delegated", "consistent", "nocopy": // say nothing on Linux, or of a directory
		case "U":
			return "", false, wrong("volume", text, "homerun changes no owners (U): chown does")
		case "O":
			return "", false, wrong("volume", text, "homerun has no overlay for a volume (O): bind it ro")
		default:
			kept = append(kept, o)
		}
	}
	volume = parts[0] + ":" + parts[1]
	if len(kept) > 0 {
		volume += ":" + strings.Join(kept, ",")
	}
	return volume, relabel, nil
}

// CheckPlaces refuses a mount on the root, which another root is, and two on one place, of
// which one would not be seen. volumes are those of --volume.
func CheckPlaces(volumes []string, values Values) error {
	seen := map[string]string{}
	for _, flag := range [...]string{"volume", "mount", "tmpfs"} {
		list := values[flag]
		if flag == "volume" {
			list = volumes
		}
		for _, text := range list {
			place := placeOf(flag, text)
			if !path.IsAbs(place) {
				continue // told by who reads it
			}
			place = path.Clean(place)
			if place == "/" {
				return wrong(flag, text, "/ is the root itself, which --rootfs says")
			}
			typed := "--" + flag + " " + strconv.Quote(text)
			if other := seen[place]; other != "" {
				return wrong(flag, text, place+" has a mount by "+other+": leave one out")
			}
			seen[place] = typed
		}
	}
	return nil
}

// placeOf is where a mount is to be in the container; empty where that is not said.
func placeOf(flag, text string) string {
	switch parts := strings.SplitN(text, ":", 3); {
	case flag == "mount":
		m, err := parseMount(text)
		if err != nil {
			return ""
		}
		return m.Destination
	case flag == "tmpfs":
		return parts[0]
	case len(parts) > 1:
		return parts[1]
	}
	return ""
}

// Mounts reports whether a flag's value is a mount on that destination.
func Mounts(flag, value, destination string) bool {
	switch flag {
	case "tmpfs":
		at, _, _ := strings.Cut(value, ":")
		return path.Clean(at) == destination
	case "mount":
		m, err := parseMount(value)
		return err == nil && m.Destination == destination
	case "device":
		_, at, err := ParseDevice(value)
		return err == nil && at == destination
	case "shm-size":
		return destination == "/dev/shm"
	}
	return false
}
