package stage

import (
	"fmt"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/spawn"
	"golang.org/x/sys/unix"
)

// Config says how to start a stage.
type Config struct {
	// Plan is what the stage runs.
	Plan *plan.Plan
	// Files are the descriptors that the stage gets as 0, 1, 2, ...
	Files []uintptr
	// Name is what ps shows until the container's program runs.
	Name string
	// Directories are tried, in order, where executable memfds are forbidden.
	Directories []string
	// OpenFiles is that of spawn.Program.
	OpenFiles *unix.Rlimit
}

// Stage is a stage that runs.
type Stage struct {
	// Process is its first process.
	spawn.Process
	encoding *plan.Encoding
}

// Start executes the stage. Its process is a child of the caller, which must
// wait for it. Nothing of the plan has run for certain when Start returns.
//
// The first process of a plan usually makes the container's init with
// CLONE_PARENT, says so in its report, and exits.
//
// Of a plan with two parts the first one is started; see WriteRest.
func Start(c Config) (Stage, error) {
	img, encoding := newImage(c.Plan, code())
	if c.Plan.Split() > 0 && base+int(img.dataAt)+len(img.data) > plan.RestAddress {
		return Stage{}, errTooLong
	}
	s := Stage{encoding: encoding}
	err := s.execute(img, c)
	return s, err
}

// execute starts an image.
func (s *Stage) execute(img image, c Config) error {
	fd, err := materialize(img, c.Directories)
	if err != nil {
		return err
	}
	defer func() { unix.Close(fd) }()
	if fd, err = moveUp(fd, c.Files); err != nil {
		return fmt.Errorf("keep the stage's descriptor out of the way: %w", err)
	}
	s.Process, err = spawn.Start(spawn.Program{Path: descriptor.Path(fd), Args: []string{c.Name}, Files: c.Files, OpenFiles: c.OpenFiles})
	return notStarted(err)
}

// NotStarted is why nothing of the plan has run, nil if it is not known that nothing has.
// It is asked once the process has ended.
func (s *Stage) NotStarted() error { return notStarted(s.Failed()) }

func notStarted(err error) error {
	if err != nil {
		return fmt.Errorf("start the stage: %w", err)
	}
	return nil
}

// moveUp gives the image's descriptor a number that nothing else gets while the
// process arranges its files: the path is looked up after that.
func moveUp(fd int, files []uintptr) (int, error) {
	highest := 0
	for _, f := range files {
		highest = max(highest, int(f))
	}
	lowest := highest + 2*len(files) + 8
	up, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowest)
	if err == unix.EINVAL {
		// fcntl(2): not below RLIMIT_NOFILE.
		return fd, fmt.Errorf("RLIMIT_NOFILE must be more than %d: %w", lowest, unix.EMFILE)
	}
	if err != nil {
		return fd, err
	}
	unix.Close(fd)
	return up, nil
}
