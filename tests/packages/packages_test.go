// Package packages tests what people get who do not build: what is installed, and where; and the packages, from their
// installation to their removal.
package packages

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// limit is for each command here.
const limit = 4 * time.Minute

func needHost(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds packages")
	}
	if os.Getenv("HOMERUN_TEST_MACHINE") == "1" {
		t.Skip("needs the Go toolchain")
	}
}

// source is a copy of the repository with what was built: other tests have make write to bin/docs, too.
func source(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	names := run(t, "../..", "bash", "-c", "git ls-files -co --exclude-standard; ls bin/homerun*")
	isOf(strings.Split(names, "\n")...)
	list := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(list, []byte(names), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "../..", "bash", "-c", `set -o pipefail; tar --ignore-failed-read -T "$0" -cf - | tar -xf - -C "$1"`, list, dir)
	return dir
}

// isOf has go test know what its result is of, where other programs read it: the result may be kept as long as that is the same.
func isOf(names ...string) {
	for _, name := range names {
		_, _ = os.Stat(filepath.Join("../..", name))
	}
}

// run runs a command in a folder.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// files are the names below a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// PREFIX is in what is installed, DESTDIR is not, and of all of it nothing is left. What is built for another machine has
// manual pages and completions beside it, which this one makes.
func TestInstall(t *testing.T) {
	needHost(t)
	dir, root := source(t), t.TempDir()
	run(t, dir, "make", "-o", "build", "install", "GOARCH=riscv64", "PREFIX=/opt/the run", "DESTDIR="+root)
	share := root + "/opt/the run/share/homerun"
	if text := read(t, share+"/containers.conf.d/50-homerun.conf"); !strings.Contains(text, "\nhomerun = [\"/opt/the run/bin/homerun\"]\n") {
		t.Errorf("podman is told of another path:\n%s", text)
	}
	if text := read(t, share+"/apparmor/homerun"); !strings.Contains(text, "\n@{homerun_paths} = \"/opt/the run/bin/homerun\"\n") {
		t.Errorf("AppArmor is told of another path:\n%s", text)
	}
	if text := read(t, root+"/opt/the run/share/doc/homerun/THIRD-PARTY.txt"); !strings.Contains(text, "github.com/spf13/cobra") || !strings.Contains(text, "GNU LESSER GENERAL PUBLIC LICENSE") {
		t.Error("licences are missing")
	}
	for _, name := range []string{"man/man1/homerun.1", "man/man5/homerun-config.5", "bash-completion/completions/homerun"} {
		if text := read(t, root+"/opt/the run/share/"+name); !strings.Contains(text, "homerun") {
			t.Errorf("%s: %q", name, text)
		}
	}
	for _, name := range files(t, root) {
		if text := read(t, root+name); strings.Contains(text, root) {
			t.Errorf("%s has DESTDIR in it", name)
		}
	}
	links(t, root+"/opt/the run/share/doc/homerun")
	run(t, dir, "make", "uninstall", "PREFIX=/opt/the run", "DESTDIR="+root)
	if left := files(t, root); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// TestPrefix: a prefix that the files of other programs cannot have is refused, and nothing is installed.
func TestPrefix(t *testing.T) {
	for _, prefix := range []string{"", "opt", "/a&b", "/a|b", `/a"b`, `/a\b`, "/a*", "/a\nb", "/a{b"} {
		root := t.TempDir()
		out, err := exec.CommandContext(t.Context(), "../../hack/install", prefix, root+"/to").CombinedOutput()
		if entries, _ := os.ReadDir(root); err == nil || len(entries) > 0 || !strings.Contains(string(out), "want an absolute path") {
			t.Errorf("%q: %v, %s, %v", prefix, err, out, entries)
		}
	}
}

// links sees to it that each link in the documents leads to what is installed, or to the source.
func links(t *testing.T, dir string) {
	link, count := regexp.MustCompile(`\]\(([^)#: ]+)(#[^)]*)?\)`), 0
	for _, name := range files(t, dir) {
		if filepath.Ext(name) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(read(t, dir+name), -1) {
			count++
			if _, err := os.Stat(filepath.Join(dir, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: a dead link: %v", name, err)
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d links", count)
	}
}

// The table of docs/build.md has what hack/deps says.
func TestLines(t *testing.T) {
	table := read(t, "../../docs/build.md")
	for _, manager := range []string{"apt-get", "dnf", "zypper", "apk", "pacman"} {
		cmd := exec.CommandContext(t.Context(), "../../hack/deps", "line", "make", "ca-certificates", "golang-go", "gcc", "libc6-dev", "pkg-config", "libseccomp-dev")
		cmd.Env = append(os.Environ(), "HACK_DEPS_MANAGER="+manager)
		out, err := cmd.CombinedOutput()
		line, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "as root: ")
		if err != nil || !ok || !strings.Contains(table, "`"+line+"`") {
			t.Errorf("%s: %v, %q", manager, err, out)
		}
	}
}
