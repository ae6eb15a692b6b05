package container

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/homerun-oci/homerun/container/output"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Output says where what a detached program writes is kept.
type Output struct {
	// Driver is OutputJournal or OutputFiles; empty for the journal if there is one and
	// the caller may read it, else files.
	Driver string
	// MaxSize is the most that files have, in bytes; 0 for 2 MiB, since the state root
	// may lie in memory.
	MaxSize int64
}

// The drivers of Output.
const (
	OutputJournal = output.Journal
	OutputFiles   = output.Files
)

// journalSocket is where the journal takes entries: systemd-journald.service(8).
const journalSocket = "/run/systemd/journal/socket"

// driver is the one that is meant; empty without an Output.
func (o *Output) driver() string {
	switch {
	case o == nil:
		return ""
	case o.Driver != "":
		return o.Driver
	case journalIsReadable():
		return OutputJournal
	}
	return OutputFiles
}

// journalIsReadable reports whether there is a journal in which the caller finds again what
// is written: one on the disk, where each user has files, or one in memory that the caller
// may read. systemd-journald.service(8), "Access control".
func journalIsReadable() bool {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil || unix.Access(journalSocket, unix.W_OK) != nil {
		return false
	}
	name := "log/journal/" + strings.TrimSpace(string(id))
	return unix.Access("/var/"+name, unix.X_OK) == nil || unix.Access("/run/"+name, unix.R_OK|unix.X_OK) == nil
}

// kept is the Output, unless nobody asked for it in so many words and the helper is not
// there.
func (r *Runtime) kept(o *Output) *Output {
	if o == nil || o.Driver != "" {
		return o
	}
	if program, _ := r.options.Helpers.log(); program == "" {
		r.warn("what the program writes is not kept: %s is not installed", output.Name)
		return nil
	}
	return o
}

// outputPipes are those that a program writes into, before somebody reads them.
type outputPipes struct {
	max         int64
	read, write [2]*os.File // nil where a stream is not kept
}

// pipes puts pipes in the place of streams that are not there. They are nil without an
// Output.
func (o *Output) pipes(s *Streams) (*outputPipes, error) {
	if o == nil {
		return nil, nil
	}
	switch o.Driver {
	case "", OutputJournal, OutputFiles:
	default:
		return nil, fmt.Errorf("unknown log driver %q: want %s or %s", o.Driver, OutputJournal, OutputFiles)
	}
	p := &outputPipes{max: o.MaxSize}
	if p.max == 0 {
		p.max = 2 << 20
	}
	for i, stream := range [...]**os.File{&s.Out, &s.Err} {
		if *stream != nil {
			continue
		}
		var ends [2]int // not os.Pipe's, which do not block: the program would have that
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			p.close()
			return nil, fmt.Errorf("make a pipe for the output: %w", err)
		}
		p.read[i], p.write[i] = os.NewFile(uintptr(ends[0]), "output"), os.NewFile(uintptr(ends[1]), "output")
		*stream = p.write[i]
	}
	return p, nil
}

// close closes what the helper and the program have by now, or never will.
func (p *outputPipes) close() {
	if p == nil {
		return
	}
	for _, f := range [...]*os.File{p.read[0], p.read[1], p.write[0], p.write[1]} {
		if f != nil {
			f.Close()
		}
	}
}

// keptFile says how a container's output is kept, as JSON.
const keptFile = "output.json"

// keeping is that JSON.
type keeping struct {
	Driver string `json:"driver"`
	// Instance tells a container in the journal from others of its id.
	Instance string `json:"instance"`
	// Keeper is the helper.
	Keeper proc.ID `json:"keeper"`
}

// keepOutput starts the helper. It ends when nobody has the pipes any more: also when the
// start fails.
func (s *starting) keepOutput(driver string) error {
	var random [16]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return fmt.Errorf("choose a number: %w", err)
	}
	k := keeping{Driver: driver, Instance: fmt.Sprintf("%x", random)}
	more := k.Instance
	if driver == OutputFiles {
		more = strconv.FormatInt(s.output.max, 10)
	}
	process, err := s.c.startLog(Streams{}, s.output.read[:], output.Keep, driver, s.c.ID, more)
	if err != nil {
		return err
	}
	if k.Keeper, err = proc.Of(process.Pid); err != nil {
		return fmt.Errorf("look at %s: %w", output.Name, err)
	}
	text, err := json.Marshal(k)
	if err == nil {
		err = s.c.dir.ReplaceFile(keptFile, text)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.c.dir.FilePath(keptFile), err)
	}
	return process.Release()
}

// startLog starts the helper, with the container's directory and more files. One that is
// nil is /dev/null.
func (c *Container) startLog(streams Streams, more []*os.File, args ...string) (*os.Process, error) {
	program, places := c.runtime.options.Helpers.log()
	if program == "" {
		return nil, &fault.Error{What: output.Name, Why: "it is neither at " + strings.Join(places, " nor at "),
			Hint: "install all of homerun's programs together, or leave the output as it is: --log-driver passthrough"}
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/null: %w", unwrap(err))
	}
	defer null.Close()
	dir, err := c.dir.OpenFile(".", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.dir.Path(), err)
	}
	directory := os.NewFile(uintptr(dir), c.dir.Path())
	defer directory.Close()
	files := append([]*os.File{streams.In, streams.Out, streams.Err, directory}, more...)
	for i := range files {
		files[i] = cmp.Or(files[i], null)
	}
	defer proc.GiveSlack(c.runtime.options.TimerSlack)() // it stays, too
	process, err := os.StartProcess(program, append([]string{output.Name}, args...), &os.ProcAttr{Dir: "/", Env: []string{"PATH=/usr/bin:/bin", "GOMAXPROCS=1"},
		Files: files, Sys: &unix.SysProcAttr{Setsid: args[0] == output.Keep}})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", output.Name, unwrap(err))
	}
	return process, nil
}

// LogOptions say what of a container's output is shown.
type LogOptions struct {
	// Last is the number of lines, from the last one; nil for all.
	Last *int
	// Follow goes on until nobody can write any more.
	Follow bool
	// Times puts the time in UTC before each line.
	Times bool
	// Streams receive the output, and In is not used.
	Streams Streams
}

// ErrNoOutput is for the logs of a container whose output went where its caller wanted.
var ErrNoOutput = errors.New("the output is not kept: only what run --detach would write to a terminal is")

// drainLimit is how long the output of a program that has ended is waited for.
const drainLimit = 10 * time.Second

// Logs writes what a detached program has written. It returns when that is shown, or with
// ctx's error when that ends before.
func (r *Runtime) Logs(ctx context.Context, id string, o LogOptions) error {
	c, err := r.Peek(id)
	if err != nil {
		return err
	}
	defer c.Close()
	text, err := c.dir.ReadFile(keptFile)
	if err == unix.ENOENT {
		return ErrNoOutput
	}
	var k keeping
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", c.dir.FilePath(keptFile), err)
	}
	fd, err := k.Keeper.Open()
	if err != nil && !errors.Is(err, proc.ErrEnded) {
		return fmt.Errorf("open process %d, which keeps the output: %w", k.Keeper.Pid, err)
	}
	if err != nil { // nobody writes any more, and there is nothing to follow
		o.Follow = false
		return c.showOutput(ctx, &k, nil, o)
	}
	keeper := os.NewFile(uintptr(fd), output.Name)
	defer keeper.Close()
	if !o.Follow && !c.State.Init().Alive() {
		if _, err := proc.AwaitEnd(ctx, fd, drainLimit); err != nil {
			return err
		}
	}
	return c.showOutput(ctx, &k, keeper, o)
}

// showOutput has the helper show the output.
func (c *Container) showOutput(ctx context.Context, k *keeping, keeper *os.File, o LogOptions) error {
	last, letters := -1, ""
	if o.Last != nil {
		last = *o.Last
	}
	if o.Times {
		letters = "t"
	}
	if o.Follow {
		letters += "f"
	}
	hears, says, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer hears.Close()
	process, err := c.startLog(o.Streams, []*os.File{says, keeper}, output.Show, k.Driver, k.Instance, strconv.Itoa(last), letters)
	says.Close()
	if err != nil {
		return err
	}
	stop := proc.WhenDone(ctx, func() { _ = process.Kill() })
	said, _ := io.ReadAll(hears)
	state, err := process.Wait()
	switch {
	case stop():
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("wait for %s: %w", output.Name, err)
	case len(said) > 0:
		why, hint, _ := strings.Cut(string(said), "\n")
		return &fault.Error{Why: why, Hint: hint}
	}
	if how := state.Sys().(syscall.WaitStatus); how.Signaled() && how.Signal() != unix.SIGPIPE { // who reads no further has seen enough
		return fmt.Errorf("%s: %s", output.Name, state)
	}
	return nil
}
