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
			{"by config", "fails grep -q $HOME web/config.json"},
			{"if you say so", "unit cat ~/.ssh/key; fails unit -p PrivateUsers=yes -p ProtectHome=tmpfs cat ~/.ssh/key"},
			{"no", "dry | grep -q -- \"--volume \\\"$HOME\\\":\""},
		},
		"limits of memory and processes": {
			{"yes", "homerun run --rootfs / -m 64M --pids-limit 16 --name limited -- sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max' | grep -x -e 67108864 -e 16 | wc -l | grep -x 2"},
			{"no", "lacks 'bwrap --help' -e memory -e pids-limit"},
			{"yes", "podman run --rm -m 64m --pids-limit 16 test cat /sys/fs/cgroup/memory.max | grep -x 67108864"},
			{"by config", "crun --help | grep update"},
			{"yes", "unit -p MemoryMax=64M -p TasksMax=16 sh -c 'cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/memory.max' | grep -x 67108864"},
			{"podman's", "dry --additional-flags '--memory 64m' | grep -e '--memory 64m'; dry | grep -e --pids-limit=-1"},
		},
		"all your subordinate ids": {
			{"yes", "homerun run --rootfs / --as-root -- awk '{ n += $3 } END { exit n < 65536 }' /proc/self/uid_map"},
			{"no", "bwrap --unshare-user --uid 0 --ro-bind / / awk '{ n += $3 } END { exit n != 1 }' /proc/self/uid_map"},
			{"yes", "podman run --rm test awk '{ n += $3 } END { exit n < 65536 }' /proc/self/uid_map"},
			{"by config", "grep uidMappings web/config.json"},
			{"no", "unit -p PrivateUsers=yes awk '$1 != 0 && $3 > 1 { exit 1 }' /proc/self/uid_map"},
			{"yes", "dry | grep -e '--userns keep-id'"},
		},
		"a network of its own, and published ports": {
			{"yes", "homerun run --rootfs / --net pasta -p 8099:80 -- ip route | grep default"},
			{"no", "test -z \"$(bwrap --unshare-net --ro-bind / / ip route)\""},
			{"yes", "podman run --rm -p 8099:80 test ip route | grep default"},
			{"no", "lacks 'crun run --help' publish"},
			{"no", "test -z \"$(unit -p PrivateUsers=yes -p PrivateNetwork=yes ip route)\""},
			{"the host's", "dry | grep -e '--network host'"},
		},
		"a filter for system calls": {
			{"yes", "homerun run --rootfs / -- grep -x 'Seccomp:.2' /proc/self/status"},
			{"your own", "bwrap --ro-bind / / grep -x 'Seccomp:.0' /proc/self/status; bwrap --help | grep seccomp"},
			{"yes", "podman run --rm test grep -x 'Seccomp:.2' /proc/self/status"},
			{"by config", "fails grep seccomp web/config.json"},
			{"if you say so", "unit grep -x 'Seccomp:.0' /proc/self/status"},
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
			{"no", "podman run --rm --name lives test sleep 54323 & soon pgrep -f '^sleep 54323'; kill -9 $!; sleep 1; podman ps | grep lives; podman rm -f -t 0 lives"},
			{"no", "sed 's/exec true/sleep 54324/' web/config.json >web/lives.json; crun run -b web -f web/lives.json lives & soon pgrep -f '^sleep 54324'; kill -9 $!; sleep 1; crun list | grep running; crun delete -f lives"},
			{"no", "systemd-run --user --wait --quiet sleep 54325 & soon pgrep -f '^/usr/bin/sleep 54325'; kill -9 $!; sleep 1; pkill -f 'sleep 54325'"},
			{"no", "lacks dry -e --rm"},
		},
		"runs for podman and docker": {
			{"yes", "homerun features | grep ociVersionMin"},
			{"no", "fails bwrap features"},
			{"is an engine", "podman info | grep ociRuntime"},
			{"yes", "crun features | grep ociVersionMin"},
			{"no", "fails systemd-run features"},
			{"needs one", "dry | grep -x 'podman create '"},
		},
		"gets images": {
			{"no", "fails homerun pull test"},
			{"no", "lacks 'bwrap --help' image"},
			{"yes", "podman pull --help"},
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
			if out, err := inSession(t.Context(), script); err != nil || strings.Contains(string(out), "\nnot true of ") {
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
