package container

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/rootfs/copytree"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// What a tmpfs with tmpcopyup covers is copied from descriptor to descriptor
// while init waits. Whose files they are only the container's root may read and
// make. Where its user namespace is ours, this process copies; else another
// one, which joins that namespace and none other, so that the container's root
// neither sees it nor is seen by it: it is homerun's own program, with the two
// mounts as its standard input and output. It is not dumpable, and gone before
// anything of the container runs.

// copiesEnd names the runtime's end of the socket among a launch's inputs.
const copiesEnd = "copies, received"

// openCopies makes the socket for copies, if the plan has the input.
func (l *launch) openCopies() error {
	if !slices.ContainsFunc(l.result.Plan.Inputs(), func(in plan.Input) bool { return in.Name == compile.InputCopies }) {
		return nil
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket for tmpcopyup: %w", err)
	}
	l.inputs[compile.InputCopies], l.inputs[copiesEnd] = pair[1], pair[0]
	return nil
}

// copy makes the plan's next copy.
func (l *launch) copy(ctx context.Context) error {
	if fd, ok := l.inputs[compile.InputCopies]; ok {
		unix.Close(fd) // so that init's end is seen
		delete(l.inputs, compile.InputCopies)
	}
	asked := l.result.Copies[l.copied]
	l.copied++
	fds := [3]int{-1, -1, -1}
	defer func() {
		for _, fd := range fds {
			closeOnce(&fd)
		}
	}()
	what := [...]string{"what the tmpfs covers", "the tmpfs", "the container's user namespace"}
	for i := range fds {
		if i == 2 && !asked.Apart {
			break
		}
		fd, err := receiveFD(l.inputs[copiesEnd], what[i])
		if err != nil {
			return l.untilFailure(err)
		}
		fds[i] = fd
	}
	o := copytree.Options{Mode: asked.Mode, Owner: asked.Owner, Devices: asked.Devices}
	var err error
	if asked.Apart {
		err = l.copyApart(ctx, asked, o, fds)
	} else {
		err = copytree.Copy(ctx, fds[0], fds[1], o)
	}
	if err != nil {
		return fmt.Errorf("%s (%s.options): tmpcopyup: %w", asked.What, asked.Pointer, err)
	}
	return nil
}

// untilFailure reads what init says of its end; err is what showed it.
func (l *launch) untilFailure(err error) error {
	if !errors.Is(err, errNoDescriptor) {
		return err
	}
	return l.await("nothing that init signals")
}

var errNoProgram = errors.New("homerun's own program is neither beside this one nor in its libexec directory: see Runtime.Program")

// copyApart copies in another process.
func (l *launch) copyApart(ctx context.Context, asked compile.Copy, o copytree.Options, fds [3]int) error {
	if l.program == "" {
		return errNoProgram
	}
	program, err := unix.Open(l.program, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", l.program, err)
	}
	defer unix.Close(program)
	result, err := compile.CompileCopier(asked, o.Args())
	if err != nil {
		return err
	}
	t := &talk{in: pipe{-1, -1}, out: pipe{-1, -1}, stdout: -1, stderr: -1}
	defer t.close()
	if err := t.out.open(); err != nil {
		return err
	}
	if err := unix.SetNonblock(t.out.read, true); err != nil {
		return err
	}
	copier := &launch{result: result, facts: &host.Facts{}, name: copytree.ProgramName, stdio: [3]int{fds[0], fds[1], t.out.write},
		inputs: map[string]int{compile.InputUser: fds[2], compile.InputProgram: program}, directories: l.directories,
		received: -1, pidfd: -1, stays: true}
	if _, err := copier.start(ctx); err != nil {
		return err
	}
	if err := t.attend(ctx, copier.first); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if text := lastWords(t.words); text != "" {
			return errors.New(text)
		}
		return err
	}
	return nil
}

// program is homerun's own program; "" when it is not found.
func (r *Runtime) program() string {
	if r.Program != "" {
		return r.Program
	}
	return Helper("homerun")
}
