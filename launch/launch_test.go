package launch

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// signalRecord is a signal as the stage writes it.
func signalRecord(tag uint32, value int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, tag|plan.SignalBit)
	return binary.LittleEndian.AppendUint32(b, uint32(value))
}

// reported is a launch whose stage has written these records and ended.
func reported(t *testing.T, records ...[]byte) *Launch {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]) })
	for _, r := range records {
		if _, err := unix.Write(fds[1], r); err != nil {
			t.Fatal(err)
		}
	}
	unix.Close(fds[1])
	return &Launch{report: fds[0], pidfd: -1, firstFD: -1}
}

// Init runs at once, on another processor perhaps: its signal may come before
// that of the process that made it.
func TestAwaitInAnyOrder(t *testing.T) {
	namespaces, init := signalRecord(compile.TagNamespaces, 0), signalRecord(compile.TagInit, 4711)
	for name, records := range map[string][][]byte{"made first": {init, namespaces}, "init first": {namespaces, init}} {
		l := reported(t, records...)
		for _, await := range []string{"init", "namespaces"} {
			if err := l.await(await); err != nil {
				t.Fatalf("%s: await %s: %v", name, await, err)
			}
			if l.init != 4711 {
				t.Fatalf("%s: after %s init is %d", name, await, l.init)
			}
		}
		if err := l.await("ready"); !errors.Is(err, ErrDied) {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

// A signal that a plan awaits has a tag, or its runtime would wait for ever.
func TestTagsOfAwaitedSignals(t *testing.T) {
	for name, tag := range map[string]uint32{"init": compile.TagInit, "user": compile.TagUser,
		"namespaces": compile.TagNamespaces, "ready": compile.TagReady} {
		if got := compile.Tag(name); got != tag {
			t.Errorf("Tag(%q) = %d, want %d", name, got, tag)
		}
	}
}
