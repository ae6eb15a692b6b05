package packages

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// older is the version of the packages that the newer ones take the place of.
const older = "0.0.9"

// kept is the deb for tests/stock, where a kernel with AppArmor is.
const kept = "../../bin/test/homerun.deb"

// TestPackages makes them, with other programs those of an older version, and lives with each from its installation to its
// removal: the deb in the test machine, the others in a system of BusyBox.
func TestPackages(t *testing.T) {
	needHost(t)
	dir := source(t)
	run(t, dir, "make", "-o", "build", "packages")
	run(t, dir, "make", "-o", "docs", "packages", "VERSION="+older, "COMMIT=older")
	newer := strings.TrimSpace(read(t, dir+"/VERSION"))
	for _, part := range []struct {
		name, format string
		test         func(t *testing.T, dir, older, newer string)
	}{
		{"lintian", "deb", func(t *testing.T, dir, _, newer string) {
			t.Log(run(t, dir, "lintian", "--allow-root", "--fail-on", "error,warning", newer))
		}},
		{"rpmlint", "rpm", rpmlint},
		{"parts", "deb", func(t *testing.T, dir, _, _ string) { parts(t, dir) }},
		{"sums", "apk", func(t *testing.T, _, _, newer string) { apkSums(t, newer) }},
		{"deb", "deb", inMachine},
		{"rpm", "rpm", elsewhere},
		{"apk", "apk", elsewhere},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.test(t, dir, one(t, dir, older, part.format), one(t, dir, newer, part.format))
		})
	}
}

// rpmlint has the program of that name look at the package. The program has cpio unpack it, which as root would install it
// on this host: the names in what rpmpack makes begin with a slash.
func rpmlint(t *testing.T, dir, _, newer string) {
	const installed = "/usr/libexec/homerun"
	before, _ := os.Stat(installed)
	bin := t.TempDir()
	script := "#!/bin/sh\nPATH=${PATH#*:} exec cpio --no-absolute-filenames \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "cpio"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Log(run(t, dir, "env", "HOME="+t.TempDir(), "PATH="+bin+":"+os.Getenv("PATH"), "rpmlint", "--strict", "-c", "hack/packages/rpmlint.toml", newer))
	if after, _ := os.Stat(installed); after != nil && (before == nil || !after.ModTime().Equal(before.ModTime())) {
		t.Errorf("rpmlint has unpacked the package to %s", installed)
	}
}

// parts sees to it that the list of a release has what of C is in homerun-seccomp, and what of Go.
func parts(t *testing.T, dir string) {
	libraries := run(t, dir, "hack/c-libraries")
	run(t, dir, "env", "SOURCE_DATE_EPOCH=0", "CGO_ENABLED=0", "C_LIBRARIES="+libraries,
		"go", "run", "-C", "hack/packages", ".", "sbom", dir+"/parts", dir+"/bin/homerun-seccomp", dir+"/bin/homerun")
	list := read(t, dir+"/parts")
	for _, part := range append(strings.Fields(libraries), "libseccomp@", "glibc@", "libgcc@", "std@1.", "github.com/opencontainers/runtime-spec@v1") {
		if !strings.Contains(list, part) {
			t.Errorf("no %s in\n%s", part, list)
		}
	}
	if strings.Contains(list, "-X:") {
		t.Errorf("what Go calls a program built with experiments is no version of Go:\n%s", list)
	}
}

// one is the package of that version and format.
func one(t *testing.T, dir, version, format string) string {
	t.Helper()
	names, err := filepath.Glob(dir + "/bin/packages/homerun?" + version + "-*." + format)
	if len(names) != 1 || err != nil {
		t.Fatalf("%s of %s: %q, %v", format, version, names, err)
	}
	return names[0]
}

// inMachine is ./deb.
func inMachine(t *testing.T, dir, older, newer string) {
	_, _ = os.Stat(kept) // go test runs this again when it is gone
	if err := errors.Join(os.MkdirAll(filepath.Dir(kept), 0o755), os.WriteFile(kept, []byte(read(t, newer)), 0o644)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "hack/machine", "run", "--user", "root", "--share", dir, "--timeout", "200", "--", dir+"/tests/packages/deb", older, newer)
	cmd.Dir = "../.."
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 125 && os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skipf("needs the test machine: %s", out)
	}
	if err != nil || !strings.HasSuffix(string(out), "\nall is well\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// elsewhere is the script of that name.
func elsewhere(t *testing.T, dir, older, newer string) {
	out := run(t, dir, "unshare", "--map-root-user", "--mount", "tests/packages/elsewhere", strings.TrimPrefix(filepath.Ext(newer), "."), older, newer, t.TempDir())
	if !strings.HasSuffix(out, "\nall is well\n") {
		t.Error(out)
	}
	t.Log(out)
}

// apkSums sees to it that the sums in an apk are right, without which apk refuses it: that of its second part, the files,
// in the first, and that of each file in its header. Two gzip streams after each other are the parts.
func apkSums(t *testing.T, name string) {
	data := []byte(read(t, name))
	source := bufio.NewReader(bytes.NewReader(data))
	control := member(t, source)
	rest, err := io.ReadAll(source)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\ndatahash = %x", sha256.Sum256(rest)); !bytes.Contains(control, []byte(want)) {
		t.Errorf("no %q in\n%.2000s", want, control)
	}
	files, count := tar.NewReader(bytes.NewReader(member(t, bufio.NewReader(bytes.NewReader(rest))))), 0
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		count++
		sum := sha1.New()
		if _, err := io.Copy(sum, files); err != nil {
			t.Fatal(err)
		}
		if got, want := header.PAXRecords["APK-TOOLS.checksum.SHA1"], fmt.Sprintf("%x", sum.Sum(nil)); header.Typeflag != tar.TypeReg || got != want {
			t.Errorf("%s (%c): %s, want %s", header.Name, header.Typeflag, got, want)
		}
	}
	if count < 60 {
		t.Errorf("%d files", count)
	}
}

// member reads one gzip stream, and not what comes after it.
func member(t *testing.T, source *bufio.Reader) []byte {
	t.Helper()
	reader, err := gzip.NewReader(source)
	if err != nil {
		t.Fatal(err)
	}
	reader.Multistream(false)
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
