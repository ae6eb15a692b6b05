package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/netns"
)

// serve is the whole life of the helper; it answers the exit status.
func serve() int {
	in, out, err := channels()
	if err != nil {
		fmt.Fprintln(os.Stderr, "homerun-net:", err)
		return 2
	}
	h, err := connect(in)
	if err != nil {
		answer(out, netns.Result{Failure: netns.NewFailure(err)})
		return 1
	}
	defer h.close()
	if err := answer(out, h.result()); err != nil {
		// Whoever asked is gone: nobody would ever know of this network.
		return 1
	}
	// What was needed to get here is not needed again.
	debug.FreeOSMemory()
	return h.wait()
}

// channels are where the request comes from and the answer goes to:
// descriptors 3 and 4, or by hand standard input and output.
func channels() (in, out *os.File, err error) {
	if _, err := unix.FcntlInt(3, unix.F_GETFD, 0); err != nil {
		return os.Stdin, os.Stdout, nil
	}
	for fd := 3; fd <= 4; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return os.NewFile(3, "request"), os.NewFile(4, "ready"), nil
}

func answer(out *os.File, result netns.Result) error {
	defer out.Close()
	return json.NewEncoder(out).Encode(result)
}

// connect reads the request and does all of it, or leaves nothing behind.
func connect(in *os.File) (*helper, error) {
	data, err := io.ReadAll(io.LimitReader(in, 16<<20))
	in.Close()
	if err != nil {
		return nil, fmt.Errorf("homerun-net: request: %w", err)
	}
	request, err := netns.ParseRequest(data)
	if err != nil {
		return nil, err
	}
	if err := settle(request); err != nil {
		return nil, fmt.Errorf("homerun-net: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	h := newHelper(request, ctx, stop)
	if err := h.open(); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// settle cuts the process loose from whoever started it.
func settle(r netns.Request) error {
	// Fails in a process that leads a session already, which is as good.
	unix.Setsid()
	unix.Umask(0o077)
	// Caught and forgotten, not ignored: a child would inherit that, and the
	// pasta of 2023 refuses to start where SIGPIPE is ignored already.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE)
	if r.PIDFD > 0 {
		unix.CloseOnExec(r.PIDFD)
	}
	if err := descriptor.CloseInherited(3); err != nil {
		return err
	}
	// Paths below are relative, as those of sockets must be short.
	if err := os.Chdir(r.StateDir); err != nil {
		return err
	}
	if err := checkPrivate("."); err != nil {
		return err
	}
	os.Clearenv()
	os.Setenv("PATH", safePath())
	return raiseFiles()
}

// checkPrivate refuses a state directory that others can write to: they could
// put their own sockets there.
func checkPrivate(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("state directory: owned by %d with mode %#o, want %d and 0700", st.Uid, st.Mode&0o7777, os.Geteuid())
	}
	return nil
}

// raiseFiles lets the drivers, too, hold as many connections as is allowed.
func raiseFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("getrlimit: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("setrlimit: %w", err)
	}
	return nil
}
