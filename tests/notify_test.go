package tests

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notifyProgram is a filter that lets an agent answer sethostname(2), and denies
// all calls with which init itself could pass the listener on.
func notifyProgram(t *testing.T) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is for amd64")
	}
	denied := []uint32{unix.SYS_SENDMSG, unix.SYS_SENDTO, unix.SYS_CLONE3, unix.SYS_PPOLL}
	const load, jeq, ret, enosys, allow, notify = 0x20, 0x15, 0x06, 0x00050000 | 38, 0x7fff0000, 0x7fc00000
	var b []byte
	add := func(code uint16, jt, jf byte, k uint32) {
		b = binary.LittleEndian.AppendUint16(b, code)
		b = binary.LittleEndian.AppendUint32(append(b, jt, jf), k)
	}
	add(load, 0, 0, 0)
	add(jeq, 0, 1, unix.SYS_SETHOSTNAME)
	add(ret, 0, 0, notify)
	for _, nr := range denied {
		add(jeq, 0, 1, nr)
		add(ret, 0, 0, enosys)
	}
	add(ret, 0, 0, allow)
	return base64.StdEncoding.EncodeToString(b)
}

// agent answers one notification for each listener that it gets with EXDEV, and
// says what came with the listener.
func agent(t *testing.T, path string) <-chan map[string]any {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	states := make(chan map[string]any, 8)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			state, err := serve(c)
			if err != nil {
				state = map[string]any{"error": err.Error()}
			}
			states <- state
		}
	}()
	return states
}

func serve(c *net.UnixConn) (state map[string]any, err error) {
	defer c.Close()
	control := make([]byte, unix.CmsgSpace(4))
	text := make([]byte, 64<<10)
	n, on, _, _, err := c.ReadMsgUnix(text, control)
	if err != nil {
		return nil, err
	}
	rest, err := io.ReadAll(c)
	if err == nil {
		err = json.Unmarshal(append(text[:n], rest...), &state)
	}
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:on])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("%d control messages: %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("descriptors %v: %v", fds, err)
	}
	defer unix.Close(fds[0])
	return state, answer(fds[0])
}

// answer is SECCOMP_IOCTL_NOTIF_RECV and _SEND: seccomp_unotify(2).
func answer(fd int) error {
	var call struct {
		ID         uint64
		PID, Flags uint32
		Data       [64]byte
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0xc0502100, uintptr(unsafe.Pointer(&call))); errno != 0 {
		return errno
	}
	reply := struct {
		ID    uint64
		Value int64
		Error int32
		Flags uint32
	}{ID: call.ID, Error: -int32(unix.EXDEV)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0xc0182101, uintptr(unsafe.Pointer(&reply))); errno != 0 {
		return errno
	}
	return nil
}

// TestNotifyAgent: run, create and start, and exec hand the listener to the
// agent, which answers a call of the program.
func TestNotifyAgent(t *testing.T) {
	program := notifyProgram(t)
	for _, w := range worlds(t) {
		t.Run(w.name, func(t *testing.T) {
			path := filepath.Join(w.dir, "agent")
			states := agent(t, path)
			annotations := `annotations={"run.oci.seccomp_bpf_data":"` + program + `","run.oci.seccomp.receiver":"` + path + `"}`
			const script = `hostname x; grep -h Seccomp: /proc/self/status; ls /proc/self/fd | wc -l; grep -hs '^Name:.*homerun' /proc/[0-9]*/status | wc -l`
			b := w.bundle(t, "one", script, annotations)
			want := "hostname: sethostname: Invalid cross-device link\nSeccomp:\t2\n4\n0\n"
			got, _ := w.run(t, "run", "-b", b, "one")
			expectNotified(t, "run", got, want, <-states, "one", "creating")

			b = w.bundle(t, "two", script+"; sleep 30", annotations)
			w.must(t, "create", "-b", b, "two")
			w.must(t, "start", "two")
			expectNotified(t, "start", "", "", <-states, "two", "created")
			got, _ = w.run(t, "exec", "two", "sh", "-c", script)
			expectNotified(t, "exec", got, want, <-states, "two", "running")
			w.must(t, "delete", "-f", "two")

			// Beside homerun's init, which is seen: nobody is asked about its calls.
			beside := strings.TrimSuffix(want, "0\n") + "1\n"
			b = w.bundle(t, "five", script, annotations)
			got, _ = w.run(t, "run", "--init", "-b", b, "five")
			expectNotified(t, "run --init", got, beside, <-states, "five", "creating")
			b = w.bundle(t, "six", script+"; sleep 30", annotations)
			w.must(t, "create", "--init", "-b", b, "six")
			w.must(t, "start", "six")
			expectNotified(t, "start", "", "", <-states, "six", "created")
			w.must(t, "kill", "six", "TERM")
			w.must(t, "delete", "-f", "six")

			b = w.bundle(t, "three", script, annotations)
			w.must(t, "create", "-b", b, "three")
			w.must(t, "delete", "-f", "three")
			w.empty(t, "three")

			os.Remove(path)
			if got, err := w.run(t, "run", "-b", b, "four"); err == nil || !strings.Contains(got, "listenerPath") {
				t.Errorf("without an agent: %v, %s", err, got)
			}
		})
	}
}

func expectNotified(t *testing.T, verb, got, want string, state map[string]any, id, status string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: the program said\n%s\nwant\n%s", verb, got, want)
	}
	container, _ := state["state"].(map[string]any)
	if state["error"] != nil || container["id"] != id || container["status"] != status || state["pid"] == float64(0) {
		t.Errorf("%s: the agent got %v", verb, state)
	}
}
