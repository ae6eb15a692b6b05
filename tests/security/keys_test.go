package security

import (
	"runtime"
	"strings"
	"testing"

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

// TestPlantedKeyring: whoever makes a keyring of a container's name before, and opens
// it to everybody, does not share it with the container: the program and processes
// of exec's have new ones. Names of keyrings are those of a user namespace.
func TestPlantedKeyring(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c, "report", "key secret")
		for _, name := range []string{"_ses." + b.id(), b.id(), "_ses"} {
			plant(t, name)
			if got := b.run().report(t).Tries["key secret"]; got != "ENOKEY" {
				t.Errorf("the keyring %q is the program's: %q", name, got)
			}
			inside := newBundle(t, c, "plant", name)
			if name != "_ses" {
				inside.spec.Process.Args[2] = strings.ReplaceAll(name, b.id(), inside.id())
			}
			if got := inside.start().exec(nil, "report", "key secret").report(t).Tries["key secret"]; got != "ENOKEY" {
				t.Errorf("the keyring %q is that of a process of exec's: %q", name, got)
			}
		}
	})
}

// plant makes a keyring that is open to everybody, with a key in it, and keeps it
// as the session keyring of this goroutine's thread.
func plant(t *testing.T, name string) {
	t.Helper()
	runtime.LockOSThread()
	id, err := unix.KeyctlJoinSessionKeyring(name)
	must(t, err)
	_, err = unix.AddKey("user", "secret", []byte("planted"), id)
	must(t, err, unix.KeyctlSetperm(id, 0x3f3f3f3f))
}
