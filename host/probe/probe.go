// Package probe measures the facts of package host for one configuration.
//
// # Theory of operation
//
// Measure runs on every create and run, so it looks only at what the given
// config makes necessary, with one system call where one is enough, and starts
// no process. What is missing from the facts was not needed or could not be
// told; the plan is safe without it and only gets longer.
//
// Facts are hints about a moment. Nothing here may be the reason why a plan is
// safe: between the look and the use, anybody may rename a directory of the
// rootfs or mount over a source. The plan opens each path again, with
// RESOLVE_IN_ROOT inside the rootfs, and uses the descriptor.
//
// Sources are looked at with statx(2) and statfs(2) by path rather than through
// an O_PATH descriptor, for two reasons. Both trigger automounts, as open_tree
// and mount do later, while O_PATH would describe the empty autofs directory.
// And it is half the calls: statfs is needed once per mount, which statx names
// (STATX_MNT_ID, Linux 5.8), and most sources share one.
//
// Kernel features are found by trying. Each attempt is made with arguments
// that the kernel refuses before it does anything, and where a refusal cannot
// be taken for a missing system call or for a lack of privilege.
//
// Explain functions are for the cold path, after something failed: the failure
// itself is the authority, they find the sysctl to blame.
package probe

import (
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// Request says what to measure for.
type Request struct {
	// Spec is the checked config.json.
	Spec *specs.Spec
	// BundleDir is absolute; relative bind sources start there.
	BundleDir string
	// Rootfs is the absolute path of the container's root directory.
	Rootfs string
	// NoPivot: the host's procfs and sysfs will have to be hidden.
	NoPivot bool
	// Cgroup: the runtime's cgroup matters (limits or a cgroup path are set).
	Cgroup bool
}

// prober is the state of one Measure.
type prober struct {
	Request
	facts host.Facts
	// newUserNS: the container gets a user namespace of its own.
	newUserNS bool
	// inUserNS: the container runs in a user namespace other than the
	// initial one, whoever made it.
	inUserNS bool
	// mountFlags has the flags of each mount seen, by STATX_MNT_ID.
	mountFlags map[uint64][]string
	// buf is where small files are read to; each read reuses it.
	buf [4096]byte
}

// Measure looks at the host. It fails only where nothing could be run: when
// /proc is not there. A source or rootfs that cannot be looked at is a fact
// too, with the errno's name in it. It reads no environment variable and
// changes nothing; concurrent calls are safe.
func Measure(r Request) (host.Facts, error) {
	f, finish, err := Begin(r)
	if err != nil {
		return host.Facts{}, err
	}
	finish(r.Spec)
	return *f, nil
}

// Begin is the part of Measure that compile.Begin needs; finish adds the rest
// to the same facts, for the config that compile has made of r's, and has to be
// called before compile's Finish.
func Begin(r Request) (f *host.Facts, finish func(*specs.Spec), err error) {
	p := &prober{Request: r}
	p.facts.Arch = runtime.GOARCH
	p.process()
	if err := p.userNamespace(); err != nil {
		return nil, nil, err
	}
	p.intent()
	p.kernel()
	p.lsm()
	if err := p.subordinate(); err != nil {
		return nil, nil, err
	}
	if r.Cgroup {
		p.cgroup()
	}
	p.namespaces()
	p.score()
	return &p.facts, p.finish, nil
}

// finish measures what is about the container's files and its program.
func (p *prober) finish(s *specs.Spec) {
	p.Spec = s
	p.mountFlags = make(map[uint64][]string, 4)
	p.limits()
	p.terminal()
	if p.NoPivot {
		p.facts.KernelMounts = KernelMounts()
	}
	p.sources()
	p.rootfs()
	p.procPaths()
}

// linux is the Linux section of config.json, empty rather than nil.
func (p *prober) linux() *specs.Linux {
	if p.Spec.Linux == nil {
		return &specs.Linux{}
	}
	return p.Spec.Linux
}

// intent works out which user namespace the container will be in. An
// unprivileged caller gets a new one even if config.json names none.
func (p *prober) intent() {
	ns := p.namespace(specs.UserNamespace)
	if ns == nil {
		p.newUserNS = p.facts.Process.UID != 0
	} else {
		p.newUserNS = ns.Path == ""
	}
	p.inUserNS = p.newUserNS || ns != nil || !p.facts.UserNamespace.Initial
}

// namespace returns config.json's entry for a type, nil without one.
func (p *prober) namespace(t specs.LinuxNamespaceType) *specs.LinuxNamespace {
	for i := range p.linux().Namespaces {
		if ns := &p.linux().Namespaces[i]; ns.Type == t {
			return ns
		}
	}
	return nil
}

// terminal asks whether standard input is one, when config.json wants one.
func (p *prober) terminal() {
	if p.Spec.Process == nil || !p.Spec.Process.Terminal {
		return
	}
	_, err := unix.IoctlGetTermios(0, unix.TCGETS)
	p.facts.Terminal = err == nil
	if size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
		p.facts.TerminalRows, p.facts.TerminalColumns = size.Row, size.Col
	}
}
