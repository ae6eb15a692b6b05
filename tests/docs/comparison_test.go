package docs

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// claim is a cell of the table in docs/comparison.md, and what shows that it is true:
// a script of the test machine's user dev that succeeds.
type claim struct{ says, script string }

// shown is the beginning of each script. distrobox says what podman would be told.
const shown = `
dry() { distrobox create --dry-run --image test --name x "$@"; }
unit() { systemd-run --user --wait --pipe --quiet "$@"; }
fails() { if "$@"; then return 1; fi; } # a ! would end no script
soon() { for _ in $(seq 100); do if "$@"; then return; fi; sleep 0.1; done; return 1; }
lacks() { local text; text=$($1); [ -n "$text" ]; shift; fails grep -i "$@" <<<"$text"; }
crunned() { jq --arg script "$2" "$1 | .process.args = [\"sh\", \"-c\", \$script]" web/config.json >web/changed.json; crun run -b web -f web/changed.json changed; }
filter='while read -r name value; do case $name in Seccomp:) echo "filter $value";; esac; done </proc/self/status'
`

// prepared is what all scripts find.
const prepared = web + `
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"sh", "-c", "exec true"/' web/config.json
podman import -q /usr/share/homerun-test/busybox.tar test
mkdir -p ~/.ssh; echo secret >~/.ssh/key
`

// tools are the columns.
func tools() []string {
	return []string{"homerun", "bwrap", "podman", "crun", "systemd-run --user", "distrobox"}
}

// claims are the rows.
func claims() map[string][]claim {
	return map[string][]claim{
		"what it needs": {
			{"nothing", "homerun run --rootfs / -- true"},
			{"nothing", "bwrap --ro-bind / / true"},
			{"an image", "fails podman run --rm --rootfs / true; podman run --rm test true"},
			{"config.json", "mkdir -p nothing; cd nothing; fails crun run x; cd ../web; crun run x"},
			{"nothing", "unit true"},
			{"an image", "dry | grep -qx 'test'"},
		},
		"your home is out of sight": {
			{"yes", "fails homerun run --rootfs / -- cat ~/.ssh/key"},
			{"if you say so", "bwrap --ro-bind / / cat ~/.ssh/key; fails bwrap --ro-bind / / --tmpfs ~ cat ~/.ssh/key"},
			{"yes", "fails podman run --rm test ls ~"},
			{"by config", "crunned . \"test ! -e $HOME && echo unseen\" | grep unseen\n" +
				"crunned '.mounts += [{destination: \"/mnt\", type: \"bind\", source: env.HOME, options: [\"rbind\"]}]' 'test -e /mnt/.ssh/key && echo seen' | grep -x seen"},
			{"if you say so", "unit cat ~/.ssh/key; fails unit -p PrivateUsers=yes -p ProtectHome=tmpfs cat ~/.ssh/key"},
			{"no", "dry | grep -q -- \"--volume \\\"$HOME\\\":\""},
		},
		"limits of memory and processes": {
			{"yes", "homerun run --rootfs / -m 64M --pids-limit 16 --name limited -- sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max' | grep -x -e 67108864 -e 16 | wc -l | grep -x 2"},
			{"no", "lacks 'bwrap --help' -e memory -e pids-limit"},
			{"yes", "podman run --rm -m 64m --pids-limit 16 test cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max | grep -x -e 67108864 -e 16 | wc -l | grep -x 2"},
			{"by config", "crunned '.linux.resources = {memory: {limit: 67108864}, pids: {limit: 16}}' 'read -r m </sys/fs/cgroup/memory.max; read -r p </sys/fs/cgroup/pids.max; echo $m $p' | grep -x '67108864 16'"},
			{"yes", "unit -p MemoryMax=64M -p TasksMax=16 sh -c 'cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); cat memory.max pids.max' | grep -x -e 67108864 -e 16 | wc -l | grep -x 2"},
			{"podman's", "dry --additional-flags '--memory 64m' | grep -e '--memory 64m'; dry | grep -e --pids-limit=-1"},
		},
		"all your subordinate ids": {
			{"yes", "homerun run --rootfs / --as-root -- awk '{ n += $3 } END { exit n < 65536 }' /proc/self/uid_map"},
			{"no", "bwrap --unshare-user --uid 0 --ro-bind / / awk '{ n += $3 } END { exit n != 1 }' /proc/self/uid_map"},
			{"yes", "podman run --rm test awk '{ n += $3 } END { exit n < 65536 }' /proc/self/uid_map"},
			{"by config", "range() { echo \"+= [{containerID: 1, hostID: $(awk -F: '$1 == \"dev\" { print $2 }' /etc/sub$1), size: 65536}]\"; }\n" +
				"crunned \".linux.uidMappings $(range uid) | .linux.gidMappings $(range gid)\" 'while read -r inside outside n; do echo $inside $n; done </proc/self/uid_map' | grep -x '1 65536'"},
			{"no", "unit -p PrivateUsers=yes awk '$1 != 0 && $3 > 1 { exit 1 }' /proc/self/uid_map"},
			{"yes", "dry | grep -e '--userns keep-id'"},
		},
		"a network of its own, and published ports": {
			{"yes", "homerun run --rootfs / --net pasta -p 8099:80 -- ip route | grep default\n" +
				"homerun run -d --rm --name published --rootfs / -p 8099:80 -- busybox httpd -f -p 80 -h /etc; soon curl -sf 127.0.0.1:8099/os-release; homerun stop -t 0 published"},
			{"no", "test -z \"$(bwrap --unshare-net --ro-bind / / ip route)\""},
			{"yes", "podman run --rm -p 8098:80 test ip route | grep default\n" +
				"podman run -d --rm --name published -p 8098:80 test httpd -f -p 80 -h /etc; soon curl -sf 127.0.0.1:8098/hosts; podman rm -f -t 0 published"},
			{"no", "lacks 'crun run --help' publish"},
			{"no", "test -z \"$(unit -p PrivateUsers=yes -p PrivateNetwork=yes ip route)\""},
			{"the host's", "dry | grep -e '--network host'"},
		},
		"a filter for system calls": {
			{"yes", "homerun run --rootfs / -- grep -x 'Seccomp:.2' /proc/self/status"},
			{"your own", "bwrap --ro-bind / / grep -x 'Seccomp:.0' /proc/self/status\n" + // a program of BPF that allows all
				"printf '\\006\\0\\0\\0\\0\\0\\377\\177' >allow.bpf; bwrap --ro-bind / / --seccomp 9 grep -x 'Seccomp:.2' /proc/self/status 9<allow.bpf"},
			{"yes", "podman run --rm test grep -x 'Seccomp:.2' /proc/self/status"},
			{"by config", "crunned . \"$filter\" | grep -x 'filter 0'\n" +
				"crunned '.linux.seccomp = {defaultAction: \"SCMP_ACT_ALLOW\", syscalls: [{names: [\"mount\"], action: \"SCMP_ACT_ERRNO\"}]}' \"$filter\" | grep -x 'filter 2'"},
			{"if you say so", "unit grep -x 'Seccomp:.0' /proc/self/status; unit -p SystemCallFilter=~@mount grep -x 'Seccomp:.2' /proc/self/status"},
			{"no", "dry | grep -e --privileged"},
		},
		"changes of the root that are gone afterwards": {
			{"yes", "homerun run --rootfs / --overlay --as-root -- sh -c 'echo x >/etc/made-up && cat /etc/made-up' | grep x; fails test -e /etc/made-up"},
			{"yes", "mkdir -p tree; bwrap --ro-bind / / --overlay-src ~/tree --tmp-overlay ~/tree sh -c 'echo x >~/tree/made-up && cat ~/tree/made-up' | grep x; fails test -e tree/made-up"},
			{"of an image", "podman run --rm test sh -c 'echo x >/etc/made-up && cat /etc/made-up' | grep x; fails podman run --rm test test -e /etc/made-up"},
			{"no", "lacks 'crun run --help' overlay"},
			{"no", "unit sh -c 'echo x >~/made-up'; rm ~/made-up"},
			{"no", "lacks dry -e --rm"},
		},
		"ends when its caller is killed": {
			{"yes", "homerun run --rootfs / -- sleep 54321 & soon pgrep -f '^sleep 54321'; kill -9 $!; soon fails pgrep -f '^sleep 54321'"},
			{"if you say so", "sh -c 'bwrap --die-with-parent --ro-bind / / sleep 54322 & wait' & soon pgrep -f '^sleep 54322'; kill -9 $!; soon fails pgrep -f '^sleep 54322'"},
			{"no", "podman run --rm --name lives test sleep 54323 & soon pgrep -f '^sleep 54323'; kill -9 $!; sleep 1; pgrep -f '^sleep 54323'; podman rm -f -t 0 lives"},
			{"no", "sed 's/exec true/sleep 54324/' web/config.json >web/lives.json; crun run -b web -f web/lives.json lives & soon pgrep -f '^sleep 54324'; kill -9 $!; sleep 1; crun list | grep running; crun delete -f lives"},
			{"no", "systemd-run --user --wait --quiet sleep 54325 & soon pgrep -f '^/usr/bin/sleep 54325'; kill -9 $!; sleep 1; pkill -f '^/usr/bin/sleep 54325'"},
			{"no", "{ distrobox enter --dry-run --name nobody -- true || true; } | grep -x exec # podman's\n" +
				"podman run -d --name entered test sleep 1000; podman exec entered sleep 54326 & soon pgrep -f '^sleep 54326'; kill -9 $!; sleep 1; pgrep -f '^sleep 54326'; podman rm -f -t 0 entered"},
		},
		"runs for podman and docker": {
			{"yes", "podman --runtime \"$(command -v homerun)\" run --rm test echo hello | grep -x hello"},
			{"no", "fails podman --runtime \"$(command -v bwrap)\" run --rm test true"},
			{"is an engine", "podman info | grep ociRuntime"},
			{"yes", "podman --runtime \"$(command -v crun)\" run --rm test echo hello | grep -x hello"},
			{"no", "fails podman --runtime \"$(command -v systemd-run)\" run --rm test true"},
			{"needs one", "dry | grep -x 'podman create '"},
		},
		"gets images": {
			{"no", "fails homerun pull test"},
			{"no", "lacks 'bwrap --help' image"},
			{"yes", "podman push test dir:$PWD/image; podman pull dir:$PWD/image"},
			{"no", "fails crun pull test"},
			{"no", "fails systemd-run pull"},
			{"yes", "dry --pull | grep test"},
		},
		"prints each system call before it is made": {
			{"yes", "homerun plan --rootfs / -- true | grep clone3"},
			{"no", "lacks 'bwrap --help' -e dry -e plan"},
			{"no", "lacks 'podman run --help' dry-run"},
			{"no", "lacks 'crun --help' -w plan"},
			{"no", "lacks 'systemd-run --help' dry"},
			{"podman's command", "dry | grep 'podman create'"},
		},
	}
}

// table reads the table that begins with the tools: the cells of each row by its first.
func table(t *testing.T, name string) (columns []string, rows map[string][]string) {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	_, from, ok := strings.Cut(string(text), "\n| | homerun")
	if !ok {
		t.Fatalf("%s has no table", name)
	}
	lines, _, _ := strings.Cut("| | homerun"+from, "\n\n")
	rows = map[string][]string{}
	for line := range strings.Lines(lines) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 2 || strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| ---") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		if columns == nil {
			columns = cells[1:]
			continue
		}
		rows[cells[0]] = cells[1:]
	}
	return columns, rows
}

// The table says what the claims say.
func TestComparisonTable(t *testing.T) {
	columns, rows := table(t, "docs/comparison.md")
	if strings.Join(columns, "|") != strings.Join(tools(), "|") {
		t.Errorf("columns are %q", columns)
	}
	all := claims()
	for name, row := range rows {
		list := all[name]
		if len(list) != len(row) {
			t.Errorf("%s: %d claims for %d cells", name, len(list), len(row))
			continue
		}
		for i, says := range row {
			if list[i].says != says {
				t.Errorf("%s: %s: the table says %q, the claim %q", name, tools()[i], says, list[i].says)
			}
		}
	}
	for name := range all {
		if rows[name] == nil {
			t.Errorf("%s is not in the table", name)
		}
	}
	first, short := table(t, "README.md")
	if !slices.Equal(first, columns) {
		t.Errorf("README.md: columns are %q", first)
	}
	for name, row := range short {
		if !slices.Equal(row, rows[name]) {
			t.Errorf("README.md: %s: %q", name, row)
		}
	}
}

// TestComparison: each cell is true, in the test machine, which has all of these.
func TestComparison(t *testing.T) {
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" || os.Getuid() != 0 {
		t.Skip("needs the test machine, and its root")
	}
	install(t)
	if out, err := inSession(t.Context(), prepared); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, list := range claims() {
		t.Run(name, func(t *testing.T) {
			script := shown + "set +e\n"
			for i, c := range list { // a session for each takes longer than what it is for
				script += "( set -e; cd; " + c.script + " )\n[ $? = 0 ] || echo 'not true of " + tools()[i] + "'\n"
			}
			const end = "\neach cell was looked at"
			out, err := inSession(t.Context(), script+"echo "+end[1:]+"\n")
			if err != nil || strings.Contains(string(out), "\nnot true of ") || !strings.Contains(string(out), end) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// inSession runs a script as the test machine's user dev.
func inSession(ctx context.Context, script string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return asDev(ctx, "set -eExo pipefail\n"+script+"\n").CombinedOutput()
}

// asDev is a command of the test machine's user dev, in a session.
func asDev(ctx context.Context, script string) *exec.Cmd {
	return exec.CommandContext(ctx, "systemd-run", "--user", "-M", "dev@.host", "--pipe", "--wait", "--collect", "--quiet", "--property=Delegate=yes", "--",
		"bash", "-lc", "cd\n"+script)
}

// install puts homerun where documents have it.
func install(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("../../hack/install", "/usr/local").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
