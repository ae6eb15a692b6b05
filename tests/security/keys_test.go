package security

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// withKey gives this goroutine's thread, which ends with it, a session keyring
// with a key, as a login has.
func withKey(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	_, err := unix.KeyctlJoinSessionKeyring("caller")
	must(t, err)
	_, err = unix.AddKey("user", "secret", []byte("the caller's"), unix.KEY_SPEC_SESSION_KEYRING)
	must(t, err)
}

// TestCallersKeys: neither the program nor a process of exec's has the caller's
// session keyring, unless --no-new-keyring asks for it. A hook of the image is
// started as exec starts a process.
func TestCallersKeys(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		withKey(t)
		if got := newBundle(t, c, "report", "key secret").run().report(t).Tries["key secret"]; got != "ENOKEY" {
			t.Errorf("the program reads the key: %q", got)
		}
		if got := newBundle(t, c, "report", "key secret").run("--no-new-keyring").report(t).Tries["key secret"]; got != "the caller's" {
			t.Errorf("the program with --no-new-keyring reads the key: %q", got)
		}
		for _, flags := range [][]string{nil, {"--user", "5"}} {
			if got := newBundle(t, c, "wait").start().exec(flags, "report", "key secret").report(t).Tries["key secret"]; got != "ENOKEY" {
				t.Errorf("exec %q reads the key: %q", flags, got)
			}
		}
		kept := newBundle(t, c, "wait").start("--no-new-keyring")
		if got := kept.exec(nil, "report", "key secret").report(t).Tries["key secret"]; got != "the caller's" {
			t.Errorf("exec in a container with --no-new-keyring reads the key: %q", got)
		}
	})
}

// TestKeysUsedUp: a container's root that uses up the keys of its host id does not
// get the caller's.
func TestKeysUsedUp(t *testing.T) {
	need(t)
	withKey(t)
	c := callers()[1] // its id is nobody else's
	r := newBundle(t, c, "wait").start()
	enemy := c.command(t.Context(), "exec", r.id(), "/inside", "fill")
	stdin, err := enemy.StdinPipe()
	must(t, err)
	stdout, err := enemy.StdoutPipe()
	must(t, err, enemy.Start())
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "EDQUOT\n" {
		t.Errorf("the keys are not used up: %q", line)
	}
	if res := newBundle(t, c, "report", "key secret").run(); res.status == 0 || !strings.Contains(res.stderr, "the user has no keys left") {
		t.Errorf("run: status %d: %s%s", res.status, res.stdout, res.stderr)
	}
	// The keyring of exec counts for its caller, who is another one here.
	if got := r.exec(nil, "report", "key secret").report(t).Tries["key secret"]; got != "ENOKEY" {
		t.Errorf("exec reads the key: %q", got)
	}
	stdin.Close()
	must(t, enemy.Wait())
	// The kernel takes its time, and other tests have the same id.
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile("/proc/key-users")
		must(t, err)
		_, line, _ := strings.Cut(string(text), strconv.Itoa(mappedID)+":")
		if f := strings.Fields(line); len(f) == 0 || len(f[0]) < 3 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the keys are still there:\n%s", text)
		}
	}
}
