package container

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/proc/talk"
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

// openCopies makes the socket through which init gives what to copy.
func (s *starting) openCopies() error {
	ours, theirs, err := descriptor.Pair("tmpcopyup", unix.SOCK_SEQPACKET)
	if err != nil {
		return err
	}
	s.copies = ours
	s.launch.SetInput(compile.InputCopies, theirs)
	return nil
}

// copy makes one copy.
func (s *starting) copy(ctx context.Context, a action.Copy) error {
	s.launch.CloseInput(compile.InputCopies) // so that init's end is seen
	fds := [3]int{-1, -1, -1}
	defer func() {
		for _, fd := range fds {
			descriptor.Close(&fd)
		}
	}()
	what := [...]string{"what the tmpfs covers", "the tmpfs", "the container's user namespace"}
	for i := range fds {
		if i == 2 && !a.Apart {
			break
		}
		fd, err := descriptor.Receive(s.copies, what[i])
		if errors.Is(err, descriptor.ErrNone) {
			return s.launch.AwaitFailure()
		} else if err != nil {
			return err
		}
		fds[i] = fd
	}
	o := copytree.Options{Mode: a.Mode, Owner: a.Owner, Devices: a.Devices, Layers: a.Layers}
	var err error
	if a.Apart {
		err = s.copyApart(ctx, a, o, fds)
	} else {
		err = copytree.Copy(ctx, fds[0], fds[1], o)
	}
	switch {
	case err != nil && a.Layers != nil:
		return fmt.Errorf("%s (%s): %w", a.What, a.Pointer, err)
	case err != nil:
		return fmt.Errorf("%s (%s.options): tmpcopyup: %w", a.What, a.Pointer, err)
	}
	return nil
}

// copyApart copies in another process.
func (s *starting) copyApart(ctx context.Context, a action.Copy, o copytree.Options, fds [3]int) error {
	name, places := s.c.runtime.options.Helpers.homerun()
	if name == "" {
		return fmt.Errorf("homerun's own program is not installed (looked at %s)", strings.Join(places, ", "))
	}
	program, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	result, err := compile.CompileCopier(a, copytree.ProgramName, o.Args())
	if err != nil {
		unix.Close(program)
		return err
	}
	t, err := talk.Hearing()
	if err != nil {
		unix.Close(program)
		return err
	}
	defer t.Close()
	copier := launch.New(launch.Options{Result: result, Facts: &host.Facts{}, Stdio: [3]int{fds[0], fds[1], t.Stdio()[2]}})
	defer copier.Close()
	copier.Directories, copier.OpenFiles = s.launch.Directories, s.launch.OpenFiles
	copier.Stay() // there is no other process
	copier.SetInput(compile.InputUser, fds[2])
	copier.SetInput(compile.InputProgram, program)
	fds[2] = -1
	if err := copier.Run(ctx); err != nil {
		return err
	}
	if err := t.Attend(ctx, copier.First()); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if text := t.Words(); text != "" {
			return errors.New(text)
		}
		return err
	}
	return nil
}
