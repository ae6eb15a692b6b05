// Package install writes the id maps that package userns decided on.
//
// # Theory of operation
//
// The process to map sits in its new user namespace and waits. The runtime, in
// the parent namespace, starts newuidmap and newgidmap both at once (each takes
// about a millisecond, most of it the dynamic linker), writes what it may write
// itself in the meantime, does other things, and then waits for both.
//
// A process that is not dumpable can be mapped by the helpers and by root, but
// not by itself: its /proc/PID/uid_map belongs to root then (proc(5)), though
// the directory, whose owner the helpers compare with their caller, does not.
//
// The helpers are setuid and run with an empty environment, "/" as directory,
// no input, and nothing inherited but the pipe for their standard error. Their
// end is told by a pidfd, so a helper that hangs is killed for sure and never
// mistaken for another process. Nobody waits for their execve; one that fails there is
// known by its end.
//
// Mustn't: look for a helper. The path comes from the facts, where a fixed list
// of directories was searched (CVE-2026-84042).
package install

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/spawn"
	"github.com/homerun-oci/homerun/userns"
)

// timeout bounds the helpers: a directory service that newuidmap asks may hang.
const timeout = 30 * time.Second

// Helpers are the helpers that write the maps of a process, on their way. Await
// them, or Abandon them; the zero value has none.
type Helpers struct{ started []*process }

// Start begins both maps of process pid, whose user namespace is a child of the
// caller's: it starts the helpers and writes what takes none. A map with method
// userns.Self is left to the process itself. waits says that the caller has little to do
// until Await, so that its CPU is for a helper. On an error no helper is left. Calls
// for different processes may run at the same time.
func Start(pid int, maps *userns.Maps, waits bool) (Helpers, error) {
	var h Helpers
	err := h.start(pid, maps)
	if waits && len(h.started) == 2 {
		spawn.Apart(h.started[0].PID, h.started[1].PID)
	}
	if err == nil {
		err = writeMaps(pid, maps)
	}
	if err != nil {
		h.Abandon() // half of the maps is no use
	}
	return h, err
}

// Await returns when the helpers have written their maps. The facts are for the
// explanation of a failure, which is of type *fault.Error and keeps the helper's
// own words. When ctx ends, or after 30 seconds, helpers are killed.
func (h *Helpers) Await(ctx context.Context, facts *host.Facts) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return h.finish(ctx, facts)
}

// Abandon ends the helpers that were not awaited.
func (h *Helpers) Abandon() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.finish(ctx, &host.Facts{}) // what they did is of no use
}

func (h *Helpers) start(pid int, maps *userns.Maps) error {
	for _, m := range [...]*userns.Map{&maps.UID, &maps.GID} {
		if m.Method != userns.Helper {
			continue
		}
		p, err := start(m, pid)
		if err != nil {
			return err
		}
		h.started = append(h.started, p)
	}
	return nil
}

func writeMaps(pid int, maps *userns.Maps) error {
	for _, m := range [...]*userns.Map{&maps.UID, &maps.GID} {
		if m.Method != userns.Privileged {
			continue
		}
		if err := writeMap(pid, m); err != nil {
			return err
		}
	}
	return nil
}

// writeMap writes one map in one write(2); the kernel takes no second.
func writeMap(pid int, m *userns.Map) error {
	path := "/proc/" + strconv.Itoa(pid) + "/" + string(m.Kind) + "_map"
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(m.Text()))
		unix.Close(fd)
	}
	if err != nil {
		return &fault.Error{
			Code:  userns.CodeMapping,
			Place: fmt.Sprintf("linux.%sMappings", m.Kind),
			Why:   fmt.Sprintf("write %s: %s: %s", path, userns.Describe(m.Mappings), err),
			Hint:  writeHint(err),
			Cause: err,
		}
	}
	return nil
}

// writeHint says what the kernel means by an errno here (user_namespaces(7)).
func writeHint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return "the ids must be mapped in the runtime's user namespace, the runtime must hold CAP_SETUID and CAP_SETGID there " +
			"(and CAP_SETFCAP to map its id 0), and the map must not be written yet"
	case errors.Is(err, unix.EACCES):
		return "the process is not dumpable, or a security module forbids it"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH):
		return "the process is gone"
	}
	return ""
}

// finish waits for the helpers and explains the first that failed; when one
// fails the other's complaint is most often the same.
func (h *Helpers) finish(ctx context.Context, facts *host.Facts) error {
	waitAll(ctx, h.started)
	var first error
	for _, p := range h.started {
		if err := p.result(ctx); err != nil && first == nil {
			if first = err; p.Failed() == nil {
				first = explain(p, err, facts)
			}
		}
	}
	h.started = nil
	return first
}
