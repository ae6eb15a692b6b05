package examples

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/homerun-oci/homerun"

// released makes a module proxy that has what is here as the release of VERSION, and gives its URL and the version.
func released(t *testing.T) (url, version string) {
	t.Helper()
	text, err := os.ReadFile("../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	version = "v" + strings.TrimSpace(string(text))
	proxy := t.TempDir()
	dir := filepath.Join(proxy, module, "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	goMod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"list":            version + "\n",
		version + ".info": fmt.Sprintf(`{"Version": %q, "Time": "2026-01-01T00:00:00Z"}`, version),
		version + ".mod":  string(goMod),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pack(t, filepath.Join(dir, version+".zip"), module+"@"+version+"/")
	return "file://" + proxy, version
}

// pack writes what the Go command would take from the repository: no links, and no other modules.
func pack(t *testing.T, path, prefix string) {
	t.Helper()
	names, err := output(t, nil, "git", "-C", "../..", "ls-files", "-co", "--exclude-standard")
	if err != nil {
		t.Fatalf("%v\n%s", err, names)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	archive := zip.NewWriter(file)
	for name := range strings.Lines(names) {
		name = strings.TrimSpace(name)
		info, err := os.Lstat(filepath.Join("../..", name))
		if err != nil || !info.Mode().IsRegular() || elsewhere(name) {
			continue
		}
		source, err := os.Open(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		target, err := archive.Create(prefix + name)
		if err == nil {
			_, err = io.Copy(target, source)
		}
		source.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// elsewhere reports whether a file is part of another module.
func elsewhere(name string) bool {
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join("../..", dir, "go.mod")); err == nil {
			return true
		}
	}
	return false
}

// install has the Go command install a command of the release, as anybody would who has no module yet (fetched is for them),
// and gives the folder that it is in.
func install(t *testing.T, proxy, fetched, command string) (bin string) {
	t.Helper()
	cache, err := output(t, nil, tool(t, "go"), "env", "GOMODCACHE")
	if err != nil {
		t.Fatalf("%v\n%s", err, cache)
	}
	bin = t.TempDir()
	env := []string{
		"GOPROXY=" + proxy + ",file://" + strings.TrimSpace(cache) + "/cache/download", "GOSUMDB=off", "GOMODCACHE=" + fetched,
		"GOBIN=" + bin, "GOFLAGS=-modcacherw -trimpath", "GOWORK=off",
	}
	cmd := []string{"sh", "-c", `cd "$0" && exec go install "$1"`, bin, command}
	if out, err := output(t, env, cmd...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// TestInstall: what go install makes of a release works as what make build does, and homerun alone says what it lacks.
func TestInstall(t *testing.T) {
	tool(t, "go")
	proxy, version := released(t)
	fetched := t.TempDir()
	bin := install(t, proxy, fetched, module+"/cmd/...@latest")
	homerun, state := filepath.Join(bin, "homerun"), filepath.Join(t.TempDir(), "state")
	check := func(want string, works bool, args ...string) {
		t.Helper()
		out, err := output(t, nil, append([]string{homerun, "--root", state}, args...)...)
		if (err == nil) != works || !strings.Contains(out, want) {
			t.Errorf("homerun %s: %v, %q, want %q", strings.Join(args, " "), err, out, want)
		}
	}
	check("Seccomp:\t2", true, "run", "--rootfs", "/", "--net", "none", "--", "grep", "^Seccomp:", "/proc/self/status")
	check("homerun version "+strings.TrimPrefix(version, "v")+"\n", true, "version")
	helpers, err := filepath.Glob(filepath.Join(bin, "homerun-*"))
	if err != nil || len(helpers) < 4 {
		t.Errorf("helpers %v, %v", helpers, err)
	}

	alone := install(t, proxy, fetched, module+"/cmd/homerun@latest")
	if files, err := os.ReadDir(alone); err != nil || len(files) != 1 {
		t.Errorf("installed %v, %v", files, err)
	}
	homerun = filepath.Join(alone, "homerun")
	check("", true, "run", "--rootfs", "/", "--net", "none", "--security-opt", "seccomp=unconfined", "--", "true")
	check("the plan lacks the seccomp filter", true, "plan", "--rootfs", "/", "--net", "none", "--", "true")
	check("homerun-seccomp is not installed", false, "run", "--rootfs", "/", "--net", "none", "--", "true")
	check("homerun-net is neither at", false, "run", "--rootfs", "/", "--net", "pasta", "--security-opt", "seccomp=unconfined", "--", "true")
	check("homerun-doctor is neither at", false, "doctor")
}
