package strace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/spec"
	"github.com/homerun-oci/homerun/stage"
	"github.com/homerun-oci/homerun/userns/install"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// runtime is the runtime's side of a plan, in its shortest form.
type runtime struct {
	result       *compile.Result
	facts        *host.Facts
	report, sync *os.File // our ends
	theirs       map[string]*os.File
	first, init  int
}

// runTrial is the process under strace.
func runTrial(dir string) error {
	var c trial
	text, err := os.ReadFile(filepath.Join(dir, "trial.json"))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return err
	}
	r := &runtime{theirs: map[string]*os.File{}}
	if c.Operations {
		r.result, err = operations()
	} else {
		err = r.compile(dir, c)
	}
	if err == nil {
		err = print(filepath.Join(dir, "plan.json"), r.result.Plan)
	}
	if err == nil {
		err = r.run(c)
	}
	return err
}

func (r *runtime) compile(dir string, c trial) error {
	if err := makeRootfs(filepath.Join(dir, "rootfs")); err != nil {
		return err
	}
	b := &bundle.Bundle{Dir: dir, Config: config(c)}
	w := compile.Wishes{ID: "trial", BundleDir: dir, Manager: cgroupv2.None, Create: c.Wait}
	if c.Full {
		w.Seccomp = &compile.Filter{Program: []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}} // return SECCOMP_RET_ALLOW
	}
	p, err := probe.New([3]int{0, 1, 2})
	if err != nil {
		return err
	}
	r.facts = p.Facts
	first := compile.Needs(b.Config, p.Facts, w)
	if err := p.Measure(&first); err != nil {
		return err
	}
	begun, err := compile.Begin(b.Config, p.Facts, w)
	if err != nil {
		return err
	}
	rest, err := begun.Needs()
	if err == nil {
		err = p.Measure(&rest)
	}
	if err == nil {
		r.result, err = begun.Finish(w.Seccomp)
	}
	return err
}

// makeRootfs makes a root with one static program, which does nothing.
func makeRootfs(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		return err
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("%w (install busybox-static)", err)
	}
	return os.WriteFile(filepath.Join(dir, "bin/true"), busybox, 0o755)
}

// config is the template of `homerun spec` with a program that ends at once.
func config(c trial) *specs.Spec {
	s := spec.Template(c.Rootless)
	s.Process.Args, s.Process.Terminal = []string{"true"}, c.Full
	if c.OneID {
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Getuid()), Size: 1}}
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Getgid()), Size: 1}}
	}
	if c.Full {
		fill(s)
	}
	return s
}

// fill asks for all that makes operations of its own kind.
func fill(s *specs.Spec) {
	score, umask, mode := 500, uint32(0o27), os.FileMode(0o640)
	s.Domainname = "lan"
	s.Process.OOMScoreAdj, s.Process.User.Umask = &score, &umask
	s.Process.ConsoleSize = &specs.Box{Height: 25, Width: 81}
	s.Process.User.UID, s.Process.User.GID, s.Process.User.AdditionalGids = 5, 6, []uint32{7, 8}
	s.Process.Capabilities.Inheritable = []string{"CAP_KILL"}
	s.Process.Capabilities.Ambient = []string{"CAP_KILL"}
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 0, Hard: 2048}, {Type: "RLIMIT_NPROC", Soft: 1000, Hard: 1000}}
	s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
	s.Linux.Sysctl = map[string]string{"kernel.msgmax": "9000", "net.ipv4.ip_unprivileged_port_start": "80"}
	s.Linux.RootfsPropagation = "rslave"
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/pipe", Type: "p", FileMode: &mode}}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 7}}
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/a/tree", Type: "bind", Source: "rootfs/bin", Options: []string{"rbind", "rro", "nosuid"}},
		specs.Mount{Destination: "/a/file", Source: "rootfs/bin/true", Options: []string{"bind", "rslave", "nodev"}},
		specs.Mount{Destination: "/a/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"noatime", "nodiratime", "nosymfollow"}})
}

func print(name string, p *plan.Plan) error {
	out := printed{Inputs: map[string]int{}}
	p = p.WithValues() // as strace -v
	for i := range p.Len() {
		out.Steps = append(out.Steps, printedStep{p.Text(i), p.Line(i)})
	}
	for _, in := range p.Inputs() {
		out.Inputs[in.Name] = in.FD
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o600)
}

// run starts the stage and does the runtime's side until all its processes
// ended.
func (r *runtime) run(c trial) error {
	if err := r.spawn(); err != nil {
		return err
	}
	if err := r.steps(); err != nil {
		return err
	}
	rec, err := stage.ReadRecord(int(r.report.Fd()))
	if err == nil && c.Operations && !rec.Failed {
		return r.wait() // the last operation's signal
	}
	if !errors.Is(err, io.EOF) {
		return r.failed(rec, err)
	}
	return r.wait()
}

func (r *runtime) failed(rec stage.Record, err error) error {
	if err != nil {
		return err
	}
	step := stage.Step(r.result.Plan, rec)
	return fmt.Errorf("step %d, %s, returned %d", step+1, r.result.Plan.Text(step), rec.Result)
}

// spawn makes the descriptors that the plan has as inputs.
func (r *runtime) spawn() error {
	var err error
	pipe := func(name string, ours **os.File, writeHere bool) {
		a, b, pipeErr := os.Pipe()
		err = errors.Join(err, pipeErr)
		if *ours, r.theirs[name] = a, b; writeHere {
			*ours, r.theirs[name] = b, a
		}
	}
	pipe(compile.InputReport, &r.report, false)
	pipe(compile.InputSync, &r.sync, true)
	var start, outcome *os.File
	pipe(compile.InputStart, &start, true)
	pipe(compile.InputOutcome, &outcome, false)
	sockets, socketErr := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err = errors.Join(err, socketErr); err != nil {
		return err
	}
	r.theirs[compile.InputTerminal] = os.NewFile(uintptr(sockets[1]), "terminal")
	rest, restErr := stage.NewRest()
	if restErr != nil {
		return restErr
	}
	r.theirs[compile.InputRest] = os.NewFile(uintptr(rest), "rest")
	files := []uintptr{0, 1, 2}
	for _, in := range r.result.Plan.Inputs() {
		files = append(files, r.theirs[in.Name].Fd())
	}
	s, err := stage.Start(stage.Config{Plan: r.result.Plan, Files: files, Name: "stage"})
	r.first = s.PID
	if rest := r.theirs[compile.InputRest]; err == nil && r.result.Plan.Split() > 0 {
		err = s.WriteRest(int(rest.Fd()), r.result.Plan)
	}
	for _, f := range r.theirs {
		err = errors.Join(err, f.Close())
	}
	if _, startErr := start.Write([]byte{0}); err == nil && r.result.Waits {
		err = startErr
	}
	return err
}

// steps runs the runtime's side of the plan.
func (r *runtime) steps() error {
	for _, s := range r.result.Plan.Runtime() {
		var err error
		switch a := s.Action.(type) {
		case plan.Await:
			err = r.await()
		case plan.Answer:
			if a.Awaited != "start" { // the byte is in the pipe
				_, err = r.sync.Write([]byte{0})
			}
		case action.MapIDs:
			err = install.Maps(context.Background(), max(r.init, r.first), *r.result.Maps, r.facts)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *runtime) await() error {
	rec, err := stage.ReadRecord(int(r.report.Fd()))
	if err != nil || rec.Failed {
		return r.failed(rec, err)
	}
	if rec.Tag == compile.TagInit {
		r.init = rec.Value
	}
	return nil
}

// wait reaps the processes, which must succeed.
func (r *runtime) wait() error {
	for _, pid := range []int{r.first, r.init} {
		var status unix.WaitStatus
		if pid == 0 {
			continue
		}
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
			return err
		}
		if status != 0 {
			return fmt.Errorf("process %d ended with %#x", pid, int(status))
		}
	}
	return nil
}
