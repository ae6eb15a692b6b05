// Package units proves what docs/units.md promises of homerun in units of systemd. It
// runs in the test machine (hack/machine), where hack/testrun takes it.
package units

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

// manager is the words before those for the caller's own manager.
func manager(program string) []string {
	if os.Geteuid() == 0 {
		return []string{program}
	}
	return []string{program, "--user"}
}

func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	return guest.Must(t, append(manager("systemctl"), args...)...)
}

// directory is where the caller has units.
func directory(t *testing.T) string {
	t.Helper()
	dir := "/run/systemd/system"
	if os.Geteuid() != 0 {
		dir = filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd/user")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unit is one that was generated, or written by hand.
type unit struct {
	t    *testing.T
	name string
}

// newUnit has a name that no other test has. What is left of it is cleared.
func newUnit(t *testing.T) *unit {
	t.Helper()
	u := &unit{t: t, name: "units-" + strconv.FormatInt(time.Now().UnixNano()%1e12, 36)}
	t.Cleanup(func() {
		_, _ = guest.Answer(append(manager("systemctl"), "stop", u.name+".service", u.name+".socket")...)
		_, _ = guest.Answer(append(manager("systemctl"), "reset-failed", u.name+".service")...)
		for _, suffix := range []string{".service", ".socket"} {
			_ = os.Remove(filepath.Join(directory(t), u.name+suffix))
		}
		guest.Must(t, guest.Homerun(t), "delete", "--force", u.name)
	})
	return u
}

// write installs a unit.
func (u *unit) write(suffix, text string) {
	u.t.Helper()
	if err := os.WriteFile(filepath.Join(directory(u.t), u.name+suffix), []byte(text), 0o644); err != nil {
		u.t.Fatal(err)
	}
	systemctl(u.t, "daemon-reload")
}

// generate installs what `homerun unit` prints, which systemd takes without a word.
func (u *unit) generate(suffix string, flags ...string) {
	u.t.Helper()
	text := guest.Must(u.t, append([]string{guest.Homerun(u.t), "unit", u.name + suffix}, flags...)...)
	u.write(suffix, text+"\n")
	args := append(manager("systemd-analyze"), "verify", "--man=no", filepath.Join(directory(u.t), u.name+suffix))
	if suffix == ".service" { // which a socket's unit names
		if out, err := guest.Answer(args...); err != nil || out != "" {
			u.t.Errorf("systemd-analyze: %v: %s\n%s", err, out, text)
		}
	}
}

// shell generates a service whose program is a script on the machine's own files.
func (u *unit) shell(script string, flags ...string) {
	u.t.Helper()
	u.generate(".service", append(flags, "--rootfs", "/", "--net", "none", "--", "sh", "-c", script)...)
}

func (u *unit) start() {
	u.t.Helper()
	if out, err := u.systemctl("start"); err != nil {
		u.t.Fatalf("start: %v: %s\n%s", err, out, u.status())
	}
}

func (u *unit) systemctl(args ...string) (string, error) {
	return guest.Answer(append(append(manager("systemctl"), args...), u.name)...)
}

// show is a property of the service.
func (u *unit) show(property string) string {
	u.t.Helper()
	return systemctl(u.t, "show", "--value", "-p", property, u.name+".service")
}

// status is what a person would look at.
func (u *unit) status() string {
	out, _ := u.systemctl("status", "--no-pager", "--full", "--lines=20")
	return out
}

// want compares properties: NAME=VALUE.
func (u *unit) want(properties ...string) {
	u.t.Helper()
	for _, p := range properties {
		name, value, _ := strings.Cut(p, "=")
		if got := u.show(name); got != value {
			u.t.Errorf("%s is %q, want %q\n%s", name, got, value, u.status())
		}
	}
}

// becomes waits until a property has a value.
func (u *unit) becomes(property, value string) {
	u.t.Helper()
	if !within(10*time.Second, func() bool { return u.show(property) == value }) {
		u.t.Fatalf("%s is %q, not %q\n%s", property, u.show(property), value, u.status())
	}
}

func within(limit time.Duration, done func() bool) bool {
	for end := time.Now().Add(limit); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// gone fails if something of the container runs, or is recorded.
func (u *unit) gone(script string) {
	u.t.Helper()
	if out, err := guest.Answer("pgrep", "-f", script); err == nil {
		u.t.Errorf("left running: %s", out)
	}
	if out := guest.Must(u.t, guest.Homerun(u.t), "list", "--quiet"); strings.Contains(out, u.name) {
		u.t.Errorf("left: %s\n%s", out, u.status()) // a homerun that was killed could not clear up
	}
}

// scratch is a directory that the container may write to, and its flags.
func scratch(t *testing.T) (dir string, flags []string) {
	dir = t.TempDir()
	return dir, []string{"--volume", dir + ":/mnt"}
}

// text is a file's, or empty.
func text(dir, name string) string {
	b, _ := os.ReadFile(filepath.Join(dir, name))
	return string(b)
}
