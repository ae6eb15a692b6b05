// Package doctor breaks a machine, one thing after the other, asks `homerun doctor` as
// an ordinary user, does what it says, and asks again: its advice is tested by being
// followed.
package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// limit bounds one command; the machine is slow.
const limit = 60 * time.Second

// Where homerun is installed for the tests, and what its user has for sudo.
const (
	prefix  = "/opt/homerun"
	sudo    = "/opt/sudo"
	session = "export XDG_RUNTIME_DIR=/run/user/1000\n"
)

type row struct {
	Name, State, Found, Consequence, Advice string
	Fix                                     []string
}

// answer is what doctor said.
type answer struct {
	Complete bool
	Rows     []row
	Phases   []struct {
		Name         string
		Milliseconds float64
	}
	status int
}

func (a answer) row(name string) row {
	i := slices.IndexFunc(a.Rows, func(r row) bool { return r.Name == name })
	if i < 0 {
		return row{}
	}
	return a.Rows[i]
}

// run has a shell do something, and returns its output and exit status.
func run(t *testing.T, program ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v\n%s", program, err, stderr.String())
	}
	if stderr.Len() > 0 {
		t.Logf("%s", stderr.String())
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// root does as root what has to succeed.
func root(t *testing.T, script string) {
	t.Helper()
	if out, status := run(t, "bash", "-e", "-c", script); status != 0 {
		t.Fatalf("%s: exit status %d\n%s", script, status, out)
	}
}

// dev has the machine's user do something.
func dev(t *testing.T, script string) (string, int) {
	t.Helper()
	return run(t, "setpriv", "--reuid=dev", "--regid=dev", "--init-groups", "env", "-i", "HOME=/home/dev", "USER=dev",
		"PATH="+sudo+":"+prefix+"/bin:/usr/local/bin:/usr/bin:/bin", "bash", "-c", script)
}

// doctor asks, after a script.
func doctor(t *testing.T, script string) answer {
	t.Helper()
	out, status := dev(t, script+"homerun doctor --json")
	_, text, _ := strings.Cut(out, "{\n")
	a := answer{status: status}
	if err := json.Unmarshal([]byte("{"+text), &a); err != nil {
		t.Fatalf("%v: exit status %d, %s", err, status, out)
	}
	if (status == 0) != a.Complete {
		t.Errorf("exit status %d, complete: %v", status, a.Complete)
	}
	return a
}

// prepare installs homerun, a sudo that asks nobody, and a place where apt-get finds the
// packages that the machine has.
const prepare = `
install -D -m 755 -t PREFIX/bin ../../bin/homerun
install -D -m 755 -t PREFIX/libexec/homerun ../../bin/homerun-*
mkdir -p SUDO
install -m 4755 /usr/bin/setpriv SUDO/setpriv
printf '#!/bin/sh\nexec SUDO/setpriv --reuid=0 --regid=0 --clear-groups -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"\n' >SUDO/sudo
chmod 755 SUDO/sudo
repository=/var/tmp/repository
for package in uidmap passt; do
	tree=/var/tmp/tree-$package
	mkdir -p "$tree/DEBIAN" "$repository"
	dpkg -L "$package" | while read -r file; do
		[ -d "$file" ] || [ ! -e "$file" ] || cp -a --parents "$file" "$tree"
	done
	dpkg-query -s "$package" | sed '/^Status:/d; /^Conffiles:/,/^[^ ]/{/^Conffiles:/d; /^ /d}' >"$tree/DEBIAN/control"
	dpkg-deb -Znone -b "$tree" "$repository/$package.deb" >/dev/null
	dpkg-deb -f "$repository/$package.deb" >>"$repository/Packages"
	echo "Filename: ./$package.deb
Size: $(stat -c %s "$repository/$package.deb")
SHA256: $(sha256sum "$repository/$package.deb" | cut -d' ' -f1)
" >>"$repository/Packages"
done
rm -f /etc/apt/sources.list.d/*
echo "deb [trusted=yes] file:$repository ./" >/etc/apt/sources.list.d/test.list
apt-get -qq update
systemctl start user@1000.service
`

// damage is one thing that is broken.
type damage struct {
	name string
	// script breaks it as root, undo removes what is left of that and of the mending.
	script, undo string
	// session is for the user's shell, before doctor.
	session string
	row     string
	state   string
}

const dropIns = "/etc/systemd/system/user@.service.d"

// undelegate begins the user's service manager anew without a controller. What systemd
// has given to a cgroup once, it leaves there: so all cgroups of users go.
func undelegate(others string) string {
	return "rm -f " + dropIns + "/zz-homerun.conf; printf '[Service]\nDelegate=\nDelegate=" + others + "\n' >" + dropIns + "/delegate.conf\n" +
		"systemctl daemon-reload; systemctl stop user.slice; systemctl start user@1000.service\n"
}

func damages() []damage {
	return []damage{
		{name: "user.max_user_namespaces is 0", script: "sysctl -qw user.max_user_namespaces=0", row: "user-namespaces", state: "missing",
			undo: "rm /etc/sysctl.d/60-homerun.conf"},
		{name: "no line in /etc/subuid", script: "sed -i /^dev:/d /etc/subuid", row: "subuid", state: "missing"},
		{name: "no line in /etc/subgid", script: "sed -i /^dev:/d /etc/subgid", row: "subgid", state: "missing"},
		{name: "a line in /etc/subuid that nobody can read", script: "sed -i 's/^dev:.*/dev:100000:65536 # mine/' /etc/subuid", row: "subuid", state: "missing"},
		{name: "no /etc/subuid", script: "rm /etc/subuid", row: "subuid", state: "missing"},
		{name: "/etc/subgid is root's alone", script: "chmod 600 /etc/subgid", row: "subgid", state: "missing"},
		{name: "ten ids", script: "cp /etc/subuid /root; echo dev:100000:10 >/etc/subuid", row: "subuid", state: "degraded", undo: "mv /root/subuid /etc"},
		{name: "somebody has the same ids", script: "echo eve:165535:9 >>/etc/subuid", row: "subuid", state: "degraded", undo: "sed -i /^eve:/d /etc/subuid"},
		{name: "newuidmap is not setuid", script: "chmod u-s /usr/bin/newuidmap", row: "newuidmap", state: "missing"},
		{name: "newgidmap is not setuid", script: "chmod u-s /usr/bin/newgidmap", row: "newgidmap", state: "missing"},
		{name: "newuidmap is gone", script: "mv /usr/bin/newuidmap /root", row: "newuidmap", state: "missing"},
		{name: "/dev/net/tun is root's", script: "chmod 0600 /dev/net/tun", row: "tun", state: "missing"},
		{name: "/dev/net/tun is gone", script: "rm -r /dev/net", row: "tun", state: "missing"},
		{name: "pasta does not run", script: "printf '#!/bin/sh\nexit 3\n' >/usr/bin/pasta.new; chmod 755 /usr/bin/pasta.new; mv /usr/bin/pasta.new /usr/bin/pasta",
			row: "network-driver", state: "degraded"},
		{name: "no network driver", script: "mv /usr/bin/pasta /usr/bin/slirp4netns /root", row: "network-driver", state: "missing",
			undo: "mv /root/slirp4netns /usr/bin"},
		{name: "executable memfds are forbidden", script: "sysctl -qw vm.memfd_noexec=2", row: "memfd", state: "degraded",
			undo: "rm /etc/sysctl.d/60-homerun.conf; sysctl -qw vm.memfd_noexec=0"},
		{name: "XDG_RUNTIME_DIR is not set", session: "unset XDG_RUNTIME_DIR\n", row: "runtime-directory", state: "degraded"},
		{name: "XDG_RUNTIME_DIR is root's", script: "mkdir -p -m 700 /run/user/0", session: "export XDG_RUNTIME_DIR=/run/user/0\n", row: "runtime-directory", state: "degraded"},
		{name: "the bus is gone", script: "rm /run/user/1000/bus", row: "bus", state: "degraded"},
		{name: "no homerun-net", script: "mkdir -p /usr/local/libexec/homerun; mv " + prefix + "/libexec/homerun/homerun-net /usr/local/libexec/homerun", row: "homerun-net", state: "missing",
			undo: "rm /usr/local/libexec/homerun/homerun-net"},
		{name: "no homerun-seccomp", script: "mv " + prefix + "/libexec/homerun/homerun-seccomp /usr/local/bin", row: "homerun-seccomp", state: "missing", undo: "rm /usr/local/bin/homerun-seccomp"},
		{name: "no homerun-log", script: "mv " + prefix + "/libexec/homerun/homerun-log /usr/local/bin", row: "homerun-log", state: "missing", undo: "rm /usr/local/bin/homerun-log"},
		{name: "the state root is somebody's", script: "rm -rf /run/user/1000/homerun; mkdir /run/user/1000/homerun; chown root /run/user/1000/homerun", row: "state-root", state: "missing",
			undo: "rm -r /run/user/1000/homerun.not-mine"},
		{name: "the state root is a file", script: "rm -rf /run/user/1000/homerun; touch /run/user/1000/homerun", row: "state-root", state: "missing", undo: "rm /run/user/1000/homerun.not-mine"},
		{name: "the state root is a file once more", script: "rm -rf /run/user/1000/homerun; touch /run/user/1000/homerun; mkdir /run/user/1000/homerun.not-mine", row: "state-root", state: "missing",
			undo: "rm /run/user/1000/homerun.not-mine.2; rmdir /run/user/1000/homerun.not-mine"},
		{name: "the state root is open to all", script: "rm -rf /run/user/1000/homerun; mkdir -m 777 /run/user/1000/homerun; chown dev /run/user/1000/homerun", row: "state-root", state: "missing",
			undo: "rmdir /run/user/1000/homerun"},
		{name: "the state root is closed", script: "rm -rf /run/user/1000/homerun; mkdir -m 000 /run/user/1000/homerun; chown dev /run/user/1000/homerun", row: "state-root", state: "missing",
			undo: "rmdir /run/user/1000/homerun"},
		{name: "the state root cannot be made", script: "install -d -o dev -m 500 /home/dev/closed", session: "export XDG_RUNTIME_DIR=/home/dev/closed\n", row: "state-root", state: "missing",
			undo: "rmdir /home/dev/closed"},
		{name: "cpu is not delegated", script: undelegate("io memory pids"), row: "controller-cpu", state: "missing"},
		{name: "io is not delegated", script: undelegate("cpu memory pids"), row: "controller-io", state: "degraded"},
		{name: "the service manager has ended", script: "systemctl stop user@1000.service", row: "service-manager", state: "missing"},
		{name: "no linger", script: "loginctl disable-linger dev", row: "linger", state: "degraded"},
	}
}

// TestAdvice breaks, asks, mends as it is told, and asks again.
func TestAdvice(t *testing.T) {
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" || os.Getuid() != 0 {
		t.Skip("needs root of the test machine, to break it")
	}
	root(t, strings.NewReplacer("PREFIX", prefix, "SUDO", sudo).Replace(prepare))
	whole := doctor(t, session)
	if !whole.Complete || len(whole.Phases) != 5 {
		t.Fatalf("before anything is broken: %+v", whole)
	}
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) {
			if d.session == "" {
				d.session = session
			}
			root(t, "systemctl reset-failed; "+d.script) // which counts how often a unit is started
			d.mend(t, whole)
			root(t, d.undo)
		})
	}
}

// mend does what doctor says.
func (d *damage) mend(t *testing.T, whole answer) {
	if whole.row(d.row).State != "ok" {
		t.Fatalf("nothing to break: %+v", whole.row(d.row))
	}
	broken := doctor(t, d.session)
	said := broken.row(d.row)
	if said.State != d.state || said.Consequence == "" || len(said.Fix) == 0 {
		t.Errorf("broken: %+v", said)
	}
	text, _ := dev(t, d.session+"homerun doctor")
	for _, command := range said.Fix {
		if !strings.Contains(text, "          $ "+command+"\n") {
			t.Errorf("people are not shown %q:\n%s", command, text)
		}
	}
	mended := doctor(t, d.session+"set -e\n"+strings.Join(said.Fix, "\n")+"\nset +e\n")
	if got := mended.row(d.row); got.State != "ok" {
		t.Errorf("it was said: %+v\nand done; now it is %+v", said, got)
	}
	if !mended.Complete {
		for _, r := range mended.Rows {
			if r.State == "missing" {
				t.Errorf("mended: %+v", r)
			}
		}
	}
}

// TestLint: a limit that cannot be had here is found before anything is started, and
// what can is not.
func TestLint(t *testing.T) {
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" || os.Getuid() != 0 {
		t.Skip("needs root of the test machine, to break it")
	}
	root(t, "install -D -m 755 -t "+prefix+"/bin ../../bin/homerun; install -D -m 755 -t "+prefix+"/libexec/homerun ../../bin/homerun-*; systemctl start user@1000.service")
	const limited = session + `cd; rm -rf limited; install -D -m 755 /bin/sh limited/rootfs/bin/sh; homerun spec --rootless -b limited
sed -i 's/"linux": {/"linux": {"resources": {"cpu": {"quota": 50000, "period": 100000}, "memory": {"limit": 100000000}},/' limited/config.json
homerun lint limited`
	if out, status := dev(t, limited); status != 0 || strings.Contains(out, "error:") {
		t.Errorf("exit status %d, %s", status, out)
	}
	root(t, "systemctl reset-failed; "+undelegate("memory pids io"))
	out, status := dev(t, limited)
	root(t, "rm "+dropIns+"/delegate.conf; printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >"+dropIns+"/delegate.conf; systemctl daemon-reload; systemctl restart user@1000.service")
	want := "error: linux.resources.cpu.quota: the controller cpu is not delegated: "
	if status != 1 || !strings.Contains(out, want) || strings.Contains(out, "controller memory") {
		t.Errorf("exit status %d, %s", status, out)
	}
}
