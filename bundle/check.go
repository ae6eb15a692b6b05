package bundle

import (
	"fmt"
	"github.com/homerun-oci/homerun/jsonread"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Check says what in a config cannot run on any machine. The error is nil or
// an Errors, whose paths begin at the config's root. Warnings are about what
// will be ignored; each begins with a JSON path too. What depends on the host
// is left to those who know it. A config without a process is one to create from,
// not to start: config.md, "process".
func Check(spec *specs.Spec) (warnings []string, err error) {
	c := checker{}
	c.version(spec.Version)
	c.root(spec)
	if spec.Process != nil {
		c.prefix = "process."
		c.process(spec.Process)
		c.prefix = ""
	}
	c.mounts(spec.Mounts)
	c.hooks(spec.Hooks)
	present := c.linux(spec.Linux)
	c.utsNames(spec, present)
	c.mountNamespace(spec, present)
	return c.result()
}

// CheckProcess is Check for a process alone; its paths begin at the process.
func CheckProcess(process *specs.Process) (warnings []string, err error) {
	c := checker{}
	c.process(process)
	return c.result()
}

// Check is the function Check for the bundle's config, whose errors then hold
// file, line and column.
func (b *Bundle) Check() (warnings []string, err error) {
	warnings, err = Check(b.Config)
	if list, ok := err.(Errors); ok {
		for _, e := range list {
			e.File = b.file
			e.Line, e.Column, _ = jsonread.Position(b.Raw, e.Place)
		}
	}
	return warnings, err
}

// maxErrors bounds how much one bad config can have to say.
const maxErrors = 20

// checker gathers errors. Its methods name what they check by a pattern such
// as mounts[].options[], with the indexes apart, so that nothing is formatted
// until there is an error.
type checker struct {
	prefix   string
	errors   Errors
	warnings []string
}

func (c *checker) result() (warnings []string, err error) {
	if len(c.errors) == 0 {
		return c.warnings, nil
	}
	return c.warnings, c.errors
}

// report adds an error about the value at path below prefix.
func (c *checker) report(path, format string, args ...any) {
	if len(c.errors) < maxErrors {
		c.errors = append(c.errors, &fault.Error{Place: c.prefix + path, Why: fmt.Sprintf(format, args...)})
	}
}

func (c *checker) warn(path, format string, args ...any) {
	c.warnings = append(c.warnings, c.prefix+path+": "+fmt.Sprintf(format, args...))
}

// at puts indexes into the brackets of a pattern.
func at(pattern string, index ...int) string {
	for _, i := range index {
		pattern = strings.Replace(pattern, "[]", "["+strconv.Itoa(i)+"]", 1)
	}
	return pattern
}

// text refuses a NUL byte, at which the kernel would cut the string.
func (c *checker) text(value, pattern string, index ...int) {
	if strings.IndexByte(value, 0) >= 0 {
		c.report(at(pattern, index...), "%q contains a NUL byte", value)
	}
}

// environment is texts for what may be secret.
func (c *checker) environment(list []string, pattern string, index ...int) {
	for i, variable := range list {
		if strings.IndexByte(variable, 0) >= 0 {
			c.report(at(at(pattern, index...)+"[]", i), "contains a NUL byte")
		}
	}
}

func (c *checker) texts(values []string, pattern string, index ...int) {
	for i, value := range values {
		if strings.IndexByte(value, 0) >= 0 {
			c.text(value, at(pattern, index...)+"[]", i)
		}
	}
}

func (c *checker) absolute(path, pattern string, index ...int) {
	if !strings.HasPrefix(path, "/") {
		c.report(at(pattern, index...), "expected an absolute path, found %q", path)
	}
	c.text(path, pattern, index...)
}

// version accepts any 1.x, because the specification's minor versions only
// add to it.
func (c *checker) version(version string) {
	switch {
	case version == "":
		c.report("ociVersion", "missing")
	case !isVersion1(version):
		c.report("ociVersion", "expected a version 1.x, found %q", version)
	}
}

// isVersion1 reports whether version is 1.MINOR or 1.MINOR.PATCH, with -PRERELEASE
// or +BUILD or not.
func isVersion1(version string) bool {
	if end := strings.IndexAny(version, "-+"); end >= 0 {
		version = version[:end]
	}
	rest, ok := strings.CutPrefix(version, "1.")
	minor, patch, three := strings.Cut(rest, ".")
	return ok && isDigits(minor) && (!three || isDigits(patch))
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func (c *checker) root(spec *specs.Spec) {
	switch {
	case spec.Root == nil:
		c.report("root", "missing")
	case spec.Root.Path == "":
		c.report("root.path", "missing")
	default:
		c.text(spec.Root.Path, "root.path")
	}
}

func (c *checker) mounts(mounts []specs.Mount) {
	for i := range mounts {
		m := &mounts[i]
		if m.Destination == "" {
			c.report(at("mounts[].destination", i), "missing")
		}
		c.text(m.Destination, "mounts[].destination", i)
		c.text(m.Type, "mounts[].type", i)
		c.text(m.Source, "mounts[].source", i)
		c.texts(m.Options, "mounts[].options", i)
		c.mappings(m.UIDMappings, "mounts[].uidMappings", i)
		c.mappings(m.GIDMappings, "mounts[].gidMappings", i)
	}
}

func (c *checker) hooks(hooks *specs.Hooks) {
	if hooks == nil {
		return
	}
	c.hookList(hooks.Prestart, "hooks.prestart[]")
	c.hookList(hooks.CreateRuntime, "hooks.createRuntime[]")
	c.hookList(hooks.CreateContainer, "hooks.createContainer[]")
	c.hookList(hooks.StartContainer, "hooks.startContainer[]")
	c.hookList(hooks.Poststart, "hooks.poststart[]")
	c.hookList(hooks.Poststop, "hooks.poststop[]")
}

func (c *checker) hookList(hooks []specs.Hook, pattern string) {
	for i := range hooks {
		h := &hooks[i]
		c.absolute(h.Path, pattern+".path", i)
		c.texts(h.Args, pattern+".args", i)
		c.environment(h.Env, pattern+".env", i)
		if h.Timeout != nil && *h.Timeout <= 0 {
			c.report(at(pattern+".timeout", i), "expected more than 0 seconds, found %d", *h.Timeout)
		}
	}
}

// maxName is the kernel's __NEW_UTS_LEN.
const maxName = 64

func (c *checker) utsNames(spec *specs.Spec, present namespaces) {
	c.utsName(spec.Hostname, "hostname", present)
	c.utsName(spec.Domainname, "domainname", present)
}

func (c *checker) utsName(name, path string, present namespaces) {
	if name != "" && !present.has(specs.UTSNamespace) {
		c.report(path, "needs a uts namespace")
	}
	if len(name) > maxName {
		c.report(path, "%q is longer than %d bytes", name, maxName)
	}
	c.text(name, path)
}

// mountNamespace refuses what would change the host's mounts.
func (c *checker) mountNamespace(spec *specs.Spec, present namespaces) {
	if present.has(specs.MountNamespace) {
		return
	}
	if spec.Root != nil && spec.Root.Readonly {
		c.report("root.readonly", "needs a mount namespace")
	}
	if spec.Linux != nil && len(spec.Linux.MaskedPaths) > 0 {
		c.report("linux.maskedPaths", "needs a mount namespace")
	}
	if spec.Linux != nil && len(spec.Linux.ReadonlyPaths) > 0 {
		c.report("linux.readonlyPaths", "needs a mount namespace")
	}
}

// sortedKeys makes the order of errors the same in each run.
func sortedKeys[T any](m map[string]T) []string {
	return slices.Sorted(maps.Keys(m))
}
