package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/userns"
	"golang.org/x/sys/unix"
)

// TestLog writes a warning and then an error, and reads what a caller would.
func TestLog(t *testing.T) {
	coded := fmt.Errorf("wrapped: %w", &fault.Error{Code: userns.CodeHelper, Why: "needs \"newuidmap\""})
	for _, test := range []struct {
		verb, format, level, prefix string
		err                         error
		lines                       int
		code                        string
	}{
		{"create", "json", "warn", "", coded, 1, "E_SUBUID_HELPER"}, // podman wants a single object
		{"create", "json", "error", "file:", errors.Join(errors.New("a"), errors.New("hint")), 1, ""},
		{"start", "json", "debug", "", errors.New("x"), 2, ""},
		{"start", "json", "error", "", errors.New("x"), 1, ""},
		{"run", "text", "warning", "", errors.New("x"), 2, ""},
	} {
		name := filepath.Join(t.TempDir(), "log")
		o := &options{verb: test.verb, logFormat: test.format, logLevel: test.level, log: test.prefix + name}
		o.warn("careful\x01")
		o.warn("careful\x01") // as in another attempt of run
		o.logError(o.line(test.err), fault.Details(test.err), test.err)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(lines) != test.lines {
			t.Errorf("%+v: %q", test, lines)
		}
		last := lines[len(lines)-1]
		if test.format == "json" {
			checkEntry(t, last, o.line(test.err), test.code)
		} else if !strings.HasSuffix(last, " error: run: x") {
			t.Errorf("%+v: %q", test, last)
		}
	}
}

func checkEntry(t *testing.T, line, message, code string) {
	t.Helper()
	var entry struct{ Level, Msg, Time, Code string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	_, err := time.Parse(time.RFC3339, entry.Time)
	if err != nil || entry.Level != "error" || entry.Msg != message || entry.Code != code || strings.Contains(entry.Msg, "hint") {
		t.Errorf("%s: %v", line, err)
	}
}

func TestCheckLog(t *testing.T) {
	for _, test := range []struct {
		format, level string
		ok            bool
	}{
		{"text", "error", true}, {"json", "trace", true}, {"json", "warning", true}, {"text", "", true},
		{"xml", "error", false}, {"", "error", false}, {"json", "loud", false},
	} {
		o := &options{logFormat: test.format, logLevel: test.level}
		if err := o.checkLog(); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func TestEntries(t *testing.T) {
	if got, want := journalEntry(levelError, "", "a", []fault.Detail{{Name: "code", Text: "E"}, {Name: "hint", Text: "b\nMESSAGE=c\x1b"}}),
		"MESSAGE=a\nPRIORITY=3\nSYSLOG_IDENTIFIER=homerun\nHOMERUN_CODE=E\nHOMERUN_HINT=b; MESSAGE=c\\x1b\n"; got != want {
		t.Errorf("%q", got)
	}
	if got := syslogEntry(levelWarning, "web", "a", []fault.Detail{{Name: "hint", Text: "b\nc"}}); !strings.HasPrefix(got, "<12>web[") || !strings.HasSuffix(got, `]: a hint="b\nc"`) {
		t.Errorf("%q", got)
	}
}

// A log that nobody reads, with its queue full, is an error at once: no verb waits for
// it.
func TestLogUnread(t *testing.T) {
	name := filepath.Join(t.TempDir(), "socket")
	server, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(server, &unix.SockaddrUnix{Name: name})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(server)
	ended := make(chan error)
	go func() {
		var err error
		for range 10000 { // more than net.unix.max_dgram_qlen
			if err = send(name, "a"); err != nil {
				break
			}
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != unix.EAGAIN {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
}
