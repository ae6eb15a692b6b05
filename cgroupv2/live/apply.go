package live

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// Apply makes the writes in their order. A limit that cannot be set is an
// *fault.Error with the controller, the file, the value and the fix; what was written
// before it stays. All checks are done before the first write.
func (d *Dir) Apply(writes []cgroupv2.Write) error { return d.apply(writes, d.put) }

// Ensure is Apply for a cgroup that somebody else (systemd) has limited
// already: a file that reads as the value is left alone. It proves each limit,
// as systemd says nothing when a controller was not delegated to it.
func (d *Dir) Ensure(writes []cgroupv2.Write) error {
	return d.apply(writes, func(w cgroupv2.Write) error {
		if now, err := d.read(w.File); err == nil && now == w.Value {
			return nil
		}
		return d.put(w)
	})
}

func (d *Dir) apply(writes []cgroupv2.Write, put func(cgroupv2.Write) error) error {
	if err := d.Check(checks(writes)); err != nil {
		return err
	}
	var later []cgroupv2.Write
	for _, w := range writes {
		err := put(w)
		if w.Retry && errors.Is(err, unix.EINVAL) {
			later = append(later, w)
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, w := range later {
		if err := put(w); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dir) put(w cgroupv2.Write) error {
	err := d.write(w.File, w.Value)
	if err == nil && w.Both {
		if err := d.put(*w.Else); !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	if err == nil {
		return nil
	}
	e := d.failed(writing(w.Value), w.File, err)
	e.Place = w.Pointer
	switch {
	case (e.Errno == unix.ENOENT || e.Errno == unix.EOPNOTSUPP) && w.Else != nil:
		return d.put(*w.Else)
	case slices.Contains(w.Tolerate, e.Errno):
		return nil
	}
	if missing := d.explain(e, w.File, w.Controller()); missing && w.Unlimited {
		return nil
	}
	return e
}

// explain tells a missing controller from a missing file. EACCES comes from
// open(2) of a file that does not exist in a directory that is not ours, too.
func (d *Dir) explain(e *fault.Error, file, controller string) (missing bool) {
	have, err := d.Available()
	missing = err == nil && controller != "cgroup" && !slices.Contains(have, controller)
	reason := "controller " + controller
	switch {
	case missing:
		reason += " is not available here"
	case e.Errno == unix.ENOENT:
		reason += " is available but the kernel has no such file"
	}
	e.Why = why(reason, e.Errno)
	e.Hint = cgroupv2.Refusal{File: file, Errno: e.Errno, Missing: missing, Absent: missing && d.absent(controller)}.Hint()
	return missing
}

// checks are those that the writes ask for.
func checks(writes []cgroupv2.Write) []cgroupv2.Check {
	var list []cgroupv2.Check
	for _, w := range writes {
		if w.Check != nil {
			list = append(list, *w.Check)
		}
	}
	return list
}

// Check refuses a limit at or below what is in use. Use that cannot be read
// passes: the specification makes the check a MAY.
func (d *Dir) Check(checks []cgroupv2.Check) error {
	for _, c := range checks {
		used, err := d.sum(c.Files)
		if err != nil || c.Limit > used {
			continue
		}
		e := d.because("limit", "", fmt.Sprintf("%d bytes are in use, so %d is refused", used, c.Limit), 0)
		e.Place, e.Hint = c.Pointer, cgroupv2.HintInUse
		return e
	}
	return nil
}

// Reclaim asks the kernel to take back what makes the checks fail (Linux 5.19).
// It says nothing: Check does, afterwards.
func (d *Dir) Reclaim(checks []cgroupv2.Check) {
	for _, c := range checks {
		used, err := d.sum(c.Files)
		if err != nil || c.Limit > used {
			continue
		}
		fd, err := d.open("memory.reclaim", unix.O_WRONLY)
		if err != nil {
			return
		}
		// EAGAIN says that less was to be had, so one write it is.
		_, _ = unix.Write(fd, strconv.AppendUint(nil, used-c.Limit+reclaimMore, 10))
		unix.Close(fd)
	}
}

// reclaimMore makes some room for the container to go on.
const reclaimMore = 256 << 10

func (d *Dir) sum(names []string) (uint64, error) {
	var total uint64
	for _, name := range names {
		text, err := d.read(name)
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
