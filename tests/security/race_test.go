package security

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// volume is a directory that two containers share: the root directory of one,
// and mounted in the other, which exchanges names in it.
type volume struct{ dir string }

// volumeNames are the names that change places with links to the canary. The
// enemy takes some of them at a time, so that a round gets far enough.
func volumeNames() [][]string {
	return [][]string{{"dev"}, {"proc"}, {"sys"}, {"d0", "d1"}, {"d2", "f0"}, {"etc", "run"}}
}

func newVolume(t *testing.T, c caller, canary *canary) *volume {
	v := &volume{dir: w.path("volume" + strconv.FormatInt(w.ids.Add(1), 10))}
	t.Cleanup(func() { os.RemoveAll(v.dir) })
	must(t, os.MkdirAll(v.dir, 0o755), os.Link(w.inside, filepath.Join(v.dir, "inside")))
	texts := []string{canary.dir, "../../../../../../../.." + canary.dir, "/proc/self/root" + canary.dir}
	n := 0
	for _, names := range volumeNames() {
		for _, name := range names {
			v.add(t, name, texts[n%len(texts)], canary)
			n++
		}
	}
	for _, d := range []string{"d0", "d1", "d2"} {
		must(t, os.MkdirAll(filepath.Join(v.dir, d, "sub"), 0o755), os.WriteFile(filepath.Join(v.dir, d, "file"), []byte("text"), 0o644))
	}
	v.own(t, c)
	return v
}

// add makes a real file, called f..., or directory, and a link to swap it with.
func (v *volume) add(t *testing.T, name, text string, canary *canary) {
	p := filepath.Join(v.dir, name)
	if name[0] == 'f' {
		text = canary.dir + "/file"
		must(t, os.WriteFile(p, []byte("text"), 0o644))
	} else {
		must(t, os.Mkdir(p, 0o755))
	}
	must(t, os.Symlink(text, p+".link"))
}

func pairs(names []string) []string {
	var list []string
	for _, n := range names {
		list = append(list, n, n+".link")
	}
	return list
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := firstError(errs...); err != nil {
		t.Fatal(err)
	}
}

// own gives the volume to the container's root.
func (v *volume) own(t *testing.T, c caller) {
	uid, gid := c.owner()
	must(t, filepath.WalkDir(v.dir, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, uid, gid)
	}))
}

// attack runs the enemy: a container with the volume, which exchanges the
// names until the test ends. It returns how often it did.
func (v *volume) attack(t *testing.T, c caller, names []string) (stop func() int) {
	b := newBundle(t, c, append([]string{"exchange", "/volume"}, pairs(names)...)...)
	b.spec.Mounts = append(b.spec.Mounts, v.mount("/volume"))
	b.save()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	cmd := c.command(ctx, "run", "-b", b.dir, b.id())
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	out := bufio.NewReader(stdout)
	if line, _ := out.ReadString('\n'); line != "exchanging\n" {
		t.Fatalf("the enemy says %q", line)
	}
	return func() int {
		defer cancel()
		stdin.Close()
		text, _ := io.ReadAll(out)
		_ = cmd.Wait()
		n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return n
	}
}

func (v *volume) mount(destination string) specs.Mount {
	return specs.Mount{Destination: destination, Source: v.dir, Options: []string{"rbind", "rw"}}
}

// victim is a container with the volume as its root, and mount points, devices,
// masks and its working directory where names change.
func (v *volume) victim(t *testing.T, c caller, file string) *bundle {
	b := newBundle(t, c, "report", "list /d0", "cat /f0")
	tmpfs := func(at string, options ...string) specs.Mount {
		return specs.Mount{Destination: at, Type: "tmpfs", Source: "tmpfs", Options: options}
	}
	b.spec.Root.Path = v.dir
	b.spec.Linux.Namespaces = slices.DeleteFunc(b.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.NetworkNamespace
	})
	b.spec.Mounts = append(b.spec.Mounts, tmpfs("/d0/sub/new"), tmpfs("/d1", "tmpcopyup"),
		specs.Mount{Destination: "/d2/a/b/c", Source: file, Options: []string{"bind"}},
		specs.Mount{Destination: "/f0", Source: file, Options: []string{"bind", "ro"}},
		specs.Mount{Destination: "/etc/resolv.conf", Source: file, Options: []string{"bind", "ro"}},
		tmpfs("/run/lock", "ro"))
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/d0/zero", Type: "c", Major: 1, Minor: 5}, {Path: "/d0/pipe", Type: "p"}}
	if c.namespace {
		b.spec.Linux.Devices = b.spec.Linux.Devices[1:] // the host has no /d0/zero to bind
	}
	b.spec.Linux.MaskedPaths = append(b.spec.Linux.MaskedPaths, "/d0/file", "/d2/sub")
	b.spec.Linux.ReadonlyPaths = append(b.spec.Linux.ReadonlyPaths, "/d0")
	b.spec.Process.Cwd = "/d2/cwd/deep"
	return b
}

// TestExchangeRace starts containers while another one exchanges, in the
// directory that is their root, directories and links to the host under their
// mount points (CVE-2021-30465, CVE-2024-45310, CVE-2025-31133,
// CVE-2025-52881).
func TestExchangeRace(t *testing.T) {
	need(t)
	canary := newCanary(t)
	_, file := sources(t)
	before := mountTable(t)
	n, done, ran, swaps := rounds(360), 0, 0, 0
	sessions := len(callers()) * len(volumeNames())
	for i, c := range callers() {
		for k, names := range volumeNames() {
			share := n*(i*len(volumeNames())+k+1)/sessions - done
			done += share
			if t.Failed() {
				return // one way out is enough
			}
			yes, swapped := raceSession(t, c, canary, file, names, share)
			ran, swaps = ran+yes, swaps+swapped
		}
	}
	canary.intact(t, "a container in a race")
	if after := mountTable(t); after != before {
		t.Errorf("mounts of the host changed:\n%s", difference(before, after))
	}
	t.Logf("%d rounds against %d exchanges: %d ran, %d were refused; no write and no mount outside", done, swaps, ran, done-ran)
}

// raceSession runs containers against an enemy who exchanges some names.
func raceSession(t *testing.T, c caller, canary *canary, file string, names []string, n int) (ran, swaps int) {
	v := newVolume(t, c, canary)
	stop := v.attack(t, c, names)
	ran = parallel(n, func(i int) bool {
		b := v.victim(t, c, file)
		defer os.RemoveAll(b.dir)
		r := b.run()
		raceOutcome(t, r)
		if i%50 == 0 {
			canary.intact(t, "a container in a race")
		}
		return r.status == 0
	})
	return ran, stop()
}

func raceOutcome(t *testing.T, r result) {
	if os.Getenv("HOMERUN_SECURITY_VERBOSE") != "" && r.status != 0 {
		t.Log(r.stderr)
	}
	if strings.Contains(r.stdout+r.stderr, "canary ") {
		t.Errorf("a container read the canary: %s%s", r.stdout, r.stderr)
	}
	if strings.Contains(r.stderr, "BUG") || r.status != 0 && !strings.Contains(r.stderr, "homerun:") {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
	if r.status != 0 {
		return
	}
	if rep := r.report(t); !strings.HasPrefix(rep.Cwd, "/") || strings.Contains(rep.Cwd, "unreachable") {
		t.Errorf("the working directory is %q", rep.Cwd)
	}
}

// TestHarnessBites: a runtime that makes mount points by path is caught by the
// same harness, so that a pass means something.
func TestHarnessBites(t *testing.T) {
	need(t)
	canary := newCanary(t)
	v := newVolume(t, callers()[0], canary)
	enemy := exec.Command(w.inside, append([]string{"exchange", v.dir}, pairs([]string{"d0", "d1"})...)...)
	stdin, _ := enemy.StdinPipe()
	must(t, enemy.Start())
	defer func() { stdin.Close(); _ = enemy.Wait() }()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		p := filepath.Join(v.dir, "d0", "sub")
		if st, err := os.Lstat(filepath.Join(v.dir, "d0")); err == nil && st.IsDir() { // checked by path
			_ = os.MkdirAll(filepath.Join(p, "made"), 0o755) // used by path
		}
		if canary.look(t) != canary.before {
			return
		}
	}
	t.Error("a naive runtime wrote nothing outside in 20 s: the harness is blunt")
}
