package container_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The examples of docs/library.md, which quotes them.

// One more process, with a pipe on either side.
func ExampleRuntime_Exec_pipes() {
	ctx := context.Background()
	runtime, bundle, remove := scratch("sleep", "60")
	defer remove()
	init, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		log.Fatal(err)
	}
	defer end(init)

	in, input, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	output, out, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	process := *bundle.Config.Process
	process.Args = []string{"tr", "a-z", "A-Z"}
	p, err := runtime.Exec(ctx, "web", container.ExecRequest{Process: &process,
		Streams: container.Streams{In: in, Out: out, Err: os.Stderr}})
	if err != nil {
		log.Fatal(err)
	}
	in.Close() // the process has its own, and the pipes end with these
	out.Close()

	fmt.Fprintln(input, "hello")
	input.Close()
	text, err := io.ReadAll(output)
	if err != nil {
		log.Fatal(err)
	}
	status, err := p.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s%d\n", text, status)
	// Output:
	// HELLO
	// 0
}

// end kills a program and removes its container.
func end(p *container.Process) {
	ctx := context.Background()
	p.Signal(unix.SIGKILL)
	if _, err := p.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	if err := p.Delete(ctx); err != nil {
		log.Fatal(err)
	}
}

// One more process, on a terminal of its own.
func ExampleRuntime_Exec_terminal() {
	ctx := context.Background()
	runtime, bundle, remove := scratch("sleep", "60")
	defer remove()
	init, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		log.Fatal(err)
	}
	defer end(init)

	process := *bundle.Config.Process
	process.Args = []string{"sh", "-c", "stty size; tty; read answer; echo got $answer"}
	process.Terminal = true
	process.ConsoleSize = &specs.Box{Height: 24, Width: 80}
	p, err := runtime.Exec(ctx, "web", container.ExecRequest{Process: &process})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Terminal.Close()
	if _, err := p.Terminal.WriteString("yes\n"); err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(p.Terminal) // until EIO: nobody has the other end any more
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
	if _, err := p.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	// Unordered output:
	// 24 80
	// /dev/pts/0
	// yes
	// got yes
}

// A program that goes on when its caller ends, and is waited for by somebody else.
func ExampleRuntime_Wait() {
	ctx := context.Background()
	runtime, bundle, remove := scratch("sh", "-c", "sleep 1; exit 3")
	defer remove()
	p, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle, Detached: true})
	if err != nil {
		log.Fatal(err)
	}
	p.Close()

	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := runtime.Wait(soon, "web"); errors.Is(err, context.DeadlineExceeded) {
		fmt.Println("it goes on")
	}
	exit, err := runtime.Wait(ctx, "web")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(exit)
	if err := runtime.Delete(ctx, "web"); err != nil {
		log.Fatal(err)
	}
	// Output:
	// it goes on
	// exit status 3
}

// What there is to know of an error.
func Example_errors() {
	ctx := context.Background()
	runtime, bundle, remove := scratch("no-such-program")
	defer remove()
	if _, err := runtime.Peek("web"); errors.Is(err, store.ErrNotExist) {
		fmt.Println("there is no such container")
	}
	_, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle})
	fmt.Println(err)
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		fmt.Println(f.Place, "is wrong, since", f.Errno)
	}
	if errors.Is(err, os.ErrNotExist) {
		fmt.Println("the program is missing")
	}
	// Output:
	// there is no such container
	// executable file "no-such-program" not found in $PATH (process.args): no such file or directory
	// process.args is wrong, since no such file or directory
	// the program is missing
}

// Limits, and how close the program comes to them.
func ExampleRuntime_Events() {
	ctx := context.Background()
	runtime, bundle, remove := scratchWith(container.Options{Manager: cgroupv2.Auto}, "sleep", "60")
	defer remove()
	memory, processes := int64(64<<20), int64(16)
	bundle.Config.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory},
		Pids:   &specs.LinuxPids{Limit: &processes},
	}
	p, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		log.Fatal(err)
	}
	defer end(p)

	processes = 32
	if err := runtime.Update(ctx, "web", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &processes}}); err != nil {
		log.Fatal(err)
	}
	enough := errors.New("seen enough")
	err = runtime.Events(ctx, "web", time.Second, func(e container.Event) error {
		fmt.Println(e.Type, e.Data.Pids.Current, "of", e.Data.Pids.Limit)
		fmt.Println(e.Data.Memory.Usage.Usage < e.Data.Memory.Usage.Limit)
		return enough // else it goes on until the program ends
	})
	if !errors.Is(err, enough) {
		log.Fatal(err)
	}
}

// A network of the container's own, with a port of the host's that leads to it.
func ExampleRuntime_Run_network() {
	ctx := context.Background()
	runtime, bundle, remove := scratchWith(container.Options{Helpers: container.Helpers{Net: helper("homerun-net")}}, "sleep", "60")
	defer remove()
	network, err := netns.ParseNetwork("auto")
	if err != nil {
		log.Fatal(err)
	}
	port, err := netns.ParseForward("127.0.0.1:18080:80")
	if err != nil {
		log.Fatal(err)
	}
	p, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle,
		Network: &netns.Connection{Network: network, Explicit: true, Ports: []netns.Forward{port}}})
	if err != nil {
		log.Fatal(err)
	}
	defer end(p)
	c, err := runtime.Peek("web")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	published, err := c.Ports(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(published[0].Forward)
}

// helper is the path of one of homerun's own programs, as make build leaves it.
func helper(name string) string {
	path, err := filepath.Abs("../bin/" + name)
	if err != nil {
		log.Fatal(err)
	}
	return path
}

// TestExamplesElsewhere runs the examples that take more than any machine has.
func TestExamplesElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		example func()
		needs   string
		has     func() bool
		want    string
	}{
		"limits":  {ExampleRuntime_Events, "systemd and cgroup v2", managed, "stats 1 of 32\ntrue\n"},
		"network": {ExampleRuntime_Run_network, "homerun-net and pasta, and time", connectable, "127.0.0.1:18080:80/tcp\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if !c.has() {
				t.Skip("needs " + c.needs)
			}
			if got := printed(t, c.example); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// managed reports whether a service manager can make scopes for limits.
func managed() bool {
	var st unix.Statfs_t
	_, err := os.Stat("/run/systemd/system")
	return err == nil && unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

func connectable() bool {
	_, err := os.Stat(helper("homerun-net"))
	_, missing := exec.LookPath("pasta")
	return err == nil && missing == nil && !testing.Short()
}

// printed is what a function writes to the standard output.
func printed(t *testing.T, do func()) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	own := os.Stdout
	os.Stdout = file
	do()
	os.Stdout = own
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGuide: docs/library.md quotes the examples, byte for byte but for their
// indentation.
func TestGuide(t *testing.T) {
	examples := ""
	for _, name := range []string{"example_test.go", "guide_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		examples += unindented(string(text))
	}
	guide, err := os.ReadFile("../docs/library.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(guide), "```go\n")[1:]
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(examples, unindented(block)) {
			t.Errorf("no example has this:\n%s", block)
		}
	}
	if len(blocks) < 8 {
		t.Errorf("%d blocks", len(blocks))
	}
}

// unindented is text with lines that begin where their text does.
func unindented(text string) string {
	var list []string
	for line := range strings.Lines(text) {
		list = append(list, strings.TrimLeft(line, "\t "))
	}
	return strings.Join(list, "")
}
