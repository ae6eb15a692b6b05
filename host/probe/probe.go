// Package probe measures the facts of package host.
//
// # Theory of operation
//
// It knows no config.json: it looks at exactly what host.Needs names, which package
// compile writes, with one system call where one is enough, and starts no process
// while there is another way. It runs on every create and run. What cannot be told
// is a fact too, and says so.
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
	"context"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// Prober measures. It is for one goroutine.
type Prober struct {
	// Facts are those measured so far.
	Facts *host.Facts
	// Stdio are the standard streams of the program.
	Stdio [3]int
	// mountFlags has the flags of each mount seen, by STATX_MNT_ID.
	mountFlags map[uint64][]string
	// buf is where small files are read to; each read reuses it.
	buf [4096]byte
}

// New measures what every plan depends on: the runtime's own process, its user
// namespace, and the kernel. It fails only where nothing could be run, when /proc
// is not there, or something is mounted on its link to the user namespace.
func New(stdio [3]int) (*Prober, error) {
	p := &Prober{Facts: &host.Facts{}, Stdio: stdio}
	p.process()
	if err := p.userNamespace(); err != nil {
		return nil, err
	}
	// /proc/self/ns/user was there: the kernel has them. Whether this process may
	// make one, only clone(2) can say; ExplainUserNamespaces finds out why not.
	p.Facts.Kernel = host.Kernel{LastCapability: lastCapability(), UserNamespaces: true}
	return p, nil
}

// Measure adds to the facts what is needed, but for host.Needs.Delegation,
// ServiceManager and NetworkFiles, which others know how to find. What cannot be
// looked at is a fact, with the errno's name in it; the error is that of a name
// service that does not answer, or ctx's. It changes nothing.
func (p *Prober) Measure(ctx context.Context, n *host.Needs) error {
	if n.AppArmor != "" {
		p.Facts.LSM.AppArmor = answer(p.hasAppArmor())
	}
	if n.SELinux != "" {
		p.Facts.LSM.SELinux = answer(hasSELinux())
	}
	if n.Subordinate != "" {
		err := p.subordinate(ctx)
		if err == nil {
			err = ctx.Err() // what was asked may not have answered
		}
		if err != nil {
			return err
		}
	}
	if n.Cgroup != "" && p.Facts.Cgroup == nil {
		p.Facts.Cgroup = p.cgroup()
	}
	p.namespaces(n.Namespaces)
	if n.OOMScoreAdj != "" {
		score := p.oomScoreAdj()
		p.Facts.Process.OOMScoreAdj = &score
	}
	p.streams(n)
	p.rlimits(n.Rlimits)
	if n.KernelMounts != "" {
		p.Facts.KernelMounts = KernelMounts()
	}
	p.sources(n)
	if n.Rootfs != "" {
		p.rootfs(n)
	}
	p.kinds(n.Proc)
	return nil
}

// streams looks at the standard streams, and at the caller's end of a terminal.
func (p *Prober) streams(n *host.Needs) {
	if n.Streams != "" {
		p.Facts.Process.Streams = Streams(p.Stdio)
	}
	if n.TerminalSize != "" {
		p.Facts.Terminal.Size = &host.Size{}
		if size, err := unix.IoctlGetWinsize(p.Stdio[0], unix.TIOCGWINSZ); err == nil {
			p.Facts.Terminal.Size = &host.Size{Rows: size.Row, Columns: size.Col}
		}
	}
	if n.TerminalOutput != "" {
		p.Facts.Terminal.Output = host.OutputTerminal
		if _, err := unix.IoctlGetTermios(p.Stdio[1], unix.TCGETS); err != nil {
			p.Facts.Terminal.Output = host.OutputFile
		}
	}
}

func answer(yes bool) host.Answer {
	if yes {
		return host.Yes
	}
	return host.No
}
