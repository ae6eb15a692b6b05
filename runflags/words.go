package runflags

import (
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
)

func (c *config) annotate(name, value string) {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[name] = value
}

// addLabels: config.json has annotations alone. Those that homerun acts on are not
// labels.
func (c *config) addLabels(values []string) error {
	for _, text := range values {
		name, value, _ := strings.Cut(text, "=")
		if name == "" {
			return wrong("label", text, "want NAME[=VALUE]")
		}
		for _, prefix := range [...]string{"run.homerun.", "run.oci.", "org.systemd.property."} {
			if strings.HasPrefix(name, prefix) {
				return wrong("label", text, "names with "+prefix+" are acted on: --annotation sets them")
			}
		}
		c.annotate(name, value)
	}
	return nil
}

func (c *config) addAnnotations(values []string) error {
	for _, text := range values {
		name, value, ok := strings.Cut(text, "=")
		if name == "" || !ok {
			return wrong("annotation", text, "want NAME=VALUE")
		}
		c.annotate(name, value)
	}
	return nil
}

func (c *config) setSysctls(values []string) error {
	for _, text := range values {
		name, value, ok := strings.Cut(text, "=")
		if name == "" || !ok {
			return wrong("sysctl", text, "want NAME=VALUE, as net.ipv4.ip_forward=1")
		}
		if c.Linux.Sysctl == nil {
			c.Linux.Sysctl = map[string]string{}
		}
		c.Linux.Sysctl[name] = value
	}
	return nil
}

// EnvFile is a file of --env-file.
type EnvFile struct {
	Name string
	Text []byte
}

// Environment makes NAME=VALUE entries: those of the files, then those of --env. One
// without a value has the caller's, or is left out where that has none; a name that
// ends with * stands for all of the caller's that begin so, as with podman.
func Environment(files []EnvFile, flags, caller []string) ([]string, error) {
	var list []string
	for _, f := range files {
		line := 0
		for _, text := range strings.Split(strings.TrimPrefix(string(f.Text), "\uFEFF"), "\n") { // Windows puts that first
			line++
			text = strings.TrimSuffix(strings.TrimLeft(text, " \t"), "\r")
			if text == "" || text[0] == '#' {
				continue
			}
			entries, why := variable(text, caller)
			if why != "" {
				return nil, &fault.Error{Place: "--env-file " + f.Name, Why: "line " + strconv.Itoa(line) + ": " + why}
			}
			list = append(list, entries...)
		}
	}
	for _, text := range flags {
		entries, why := variable(text, caller)
		if why != "" { // what follows the = may be secret
			return nil, &fault.Error{Place: "--env", Why: why}
		}
		list = append(list, entries...)
	}
	return list, nil
}

const wantVariable = "want NAME=VALUE, or NAME for the value that it has here; a name has no blanks"

// variable is one entry's variables, or why it is none: it has no name, or none that could
// be one.
func variable(text string, caller []string) (entries []string, why string) {
	name, _, hasValue := strings.Cut(text, "=")
	switch {
	case strings.Contains(text, "\x00"):
		return nil, "it has a NUL byte, which no variable can have"
	case name == "" || strings.ContainsAny(name, " \t"):
		return nil, wantVariable
	case hasValue:
		return []string{text}, ""
	}
	prefix, pattern := strings.CutSuffix(name, "*")
	for _, e := range caller {
		if n, _, _ := strings.Cut(e, "="); n == name || pattern && strings.HasPrefix(n, prefix) {
			entries = append(entries, e)
		}
	}
	return entries, ""
}
