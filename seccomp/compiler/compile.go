// Package compiler compiles the profiles of package seccomp by the helper program
// homerun-seccomp, keeps what it answered in a cache, and asks the kernel and the
// helper what a profile may name.
//
// A profile is never weakened on the way: a missing helper, a profile that
// libseccomp refuses and a damaged cache entry are errors or misses, never "no
// filter".
package compiler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/seccomp"
)

// Name is the file name of the helper program.
const Name = "homerun-seccomp"

const (
	helperTimeout  = 10 * time.Second
	maxComplaint   = 4 << 10 // bytes kept of the helper's standard error
	kernelActions  = "/proc/sys/kernel/seccomp/actions_avail"
	failUnknownArg = "--fail-unknown"
)

// ErrNotInstalled is wrapped by the error of Load when homerun-seccomp is not
// installed.
var ErrNotInstalled = errors.New("homerun-seccomp is not installed")

// Options say how to compile.
type Options struct {
	// CacheDir is the cache's directory, made with mode 0700 together with
	// the one above it; "" for none.
	CacheDir string
	// HelperPath is the helper program, absolute: one found by PATH or below the
	// working directory could be anybody's.
	HelperPath string
	// FailUnknown refuses a profile with a system call name that
	// libseccomp does not know (annotation
	// run.oci.seccomp_fail_unknown_syscall).
	FailUnknown bool
	// Receiver replaces linux.seccomp.listenerPath (annotation
	// run.oci.seccomp.receiver).
	Receiver string
}

// Load gives the filter for a profile: the raw JSON value of config.json's
// linux.seccomp. hit reports whether it came from the cache. A hit costs about
// ten system calls. A miss runs the helper, at most 10 seconds and until ctx ends, with an empty
// environment. The helper must be there even for a hit, since its identity
// (path, device, inode, size, times) stands for the version of libseccomp in
// the key. Errors: ErrNotInstalled, the helper's complaint about the profile, or
// why the helper could not be run. It may be called concurrently.
func Load(ctx context.Context, raw []byte, o Options) (f *seccomp.Filter, hit bool, err error) {
	identity := identity(o.HelperPath)
	if identity == "" {
		return nil, false, NotInstalled([]string{o.HelperPath})
	}
	if o.FailUnknown {
		identity += "\x00" + failUnknownArg
	}
	m := material(raw, identity, readKernelActions())
	if f := lookUp(o.CacheDir, m); f != nil {
		f, err := f.WithReceiver(o.Receiver)
		return f, true, err
	}
	f, err = compile(ctx, raw, o, m)
	if err != nil {
		return nil, false, err
	}
	f, err = f.WithReceiver(o.Receiver)
	return f, false, err
}

func lookUp(dir string, material []byte) *seccomp.Filter {
	c := openCache(dir, false)
	defer c.close()
	return c.get(material)
}

func compile(ctx context.Context, raw []byte, o Options, material []byte) (*seccomp.Filter, error) {
	var args []string
	if o.FailUnknown {
		args = []string{failUnknownArg}
	}
	output, err := runHelper(ctx, o.HelperPath, args, raw)
	if err != nil {
		return nil, err
	}
	f, err := seccomp.DecodeOutput(output)
	if err != nil {
		return nil, err
	}
	c := openCache(o.CacheDir, true)
	defer c.close()
	c.put(material, output)
	return f, nil
}

func readKernelActions() string {
	fd, err := unix.Open(kernelActions, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	b, _ := readAll(fd, make([]byte, 0, 256))
	return string(b)
}

// NotInstalled is the error for a helper that is at none of the places where it
// was looked for. It is an ErrNotInstalled.
func NotInstalled(places []string) error {
	return &fault.Error{What: "seccomp", Cause: ErrNotInstalled,
		Why: fmt.Sprintf("%v (looked at %s), and the container has a profile", ErrNotInstalled, strings.Join(places, ", ")),
		Hint: "install libseccomp-dev and run `make deps && make build`, which puts it next to homerun, " +
			"or `go install github.com/homerun-oci/homerun/cmd/homerun-seccomp@latest`; " +
			"`run --rootfs` also goes without one, by --security-opt seccomp=unconfined"}
}

// identity tells one build of the helper from another without running it, or
// is "" when path is no program.
func identity(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
		return ""
	}
	return fmt.Sprintf("%s\x00%d:%d:%d:%d:%d", path, st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
}

// runHelper runs the helper over a profile and gives its standard output.
func runHelper(ctx context.Context, path string, args []string, raw []byte) ([]byte, error) {
	pipes, err := newPipes()
	if err != nil {
		return nil, fmt.Errorf("seccomp: %s: %w", path, err)
	}
	defer pipes.close()
	p, err := os.StartProcess(path, append([]string{Name}, args...), &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: pipes.theirs[:],
	})
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	pipes.closeTheirs()
	limited, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	stop := context.AfterFunc(limited, func() { _ = p.Kill() })
	output, complaint := pipes.talk(raw)
	state, err := p.Wait()
	late := !stop()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case late:
		return nil, fmt.Errorf("seccomp: %s: no answer within %v", path, helperTimeout)
	case err != nil:
		return nil, fmt.Errorf("seccomp: %s: %w", path, err)
	case !state.Success():
		return nil, refusal(path, complaint, state)
	case len(output) > seccomp.MaxOutput:
		return nil, fmt.Errorf("seccomp: %s: answer longer than %d bytes", path, seccomp.MaxOutput)
	}
	return output, nil
}

// refusal is the error for a helper that exited with an error: its own line,
// which begins with the name of the section.
func refusal(path, complaint string, state *os.ProcessState) error {
	line, _, _ := strings.Cut(complaint, "\n")
	line = strings.TrimPrefix(line, Name+": ")
	if line == "" {
		return fmt.Errorf("seccomp: %s: %s", path, state)
	}
	return fmt.Errorf("seccomp: %s", line)
}

// pipes are the three standard streams of the helper.
type pipes struct{ ours, theirs [3]*os.File }

func newPipes() (*pipes, error) {
	p := &pipes{}
	for i := range p.ours {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, err
		}
		if p.ours[i], p.theirs[i] = r, w; i == 0 {
			p.ours[i], p.theirs[i] = w, r
		}
	}
	return p, nil
}

func (p *pipes) closeTheirs() {
	for i, f := range p.theirs {
		if f != nil {
			f.Close()
		}
		p.theirs[i] = nil
	}
}

func (p *pipes) close() {
	p.closeTheirs()
	for _, f := range p.ours {
		if f != nil {
			f.Close()
		}
	}
}

// talk feeds the helper and reads both of its streams to their end. All three
// at once, since a pipe holds less than a profile may have.
func (p *pipes) talk(input []byte) (output []byte, complaint string) {
	fed, heard := make(chan struct{}), make(chan string, 1)
	go func() {
		// A helper that stops reading says why by its exit status.
		_, _ = p.ours[0].Write(input)
		p.ours[0].Close()
		close(fed)
	}()
	go func() {
		var b bytes.Buffer
		_, _ = io.CopyN(&b, p.ours[2], maxComplaint)
		_, _ = io.Copy(io.Discard, p.ours[2])
		heard <- b.String()
	}()
	output, _ = io.ReadAll(io.LimitReader(p.ours[1], seccomp.MaxOutput+1))
	p.ours[1].Close() // a helper that goes on writing gets EPIPE
	complaint = <-heard
	<-fed
	return output, complaint
}
