package stage

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// imagesVariable names the directory that the images of all experiments are
// written to.
const imagesVariable = "HOMERUN_TEST_STAGE_IMAGES"

// writeImages writes the experiments' images for the machine that this program
// is built for.
func writeImages(dir string) error {
	for i, e := range experiments() {
		p, err := build(e.fill)
		if err != nil {
			return err
		}
		img, _ := newImage(p, code())
		if err := img.save(filepath.Join(dir, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	if err := writeAnswering(dir); err != nil {
		return err
	}
	return writeParts(dir)
}

// save writes an image to a file that can be executed.
func (img image) save(name string) error {
	file := make([]byte, int(img.dataAt)+len(img.data))
	copy(file, img.text)
	copy(file[img.dataAt:], img.data)
	return os.WriteFile(name, file, 0o700)
}

// TestForeign runs the experiments on the other machines that there is a stage for,
// emulated. The images are written by this test, built for them.
func TestForeign(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and emulates")
	}
	for machine, emulator := range map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64", "riscv64": "qemu-riscv64"} {
		if machine != runtime.GOARCH {
			t.Run(machine, func(t *testing.T) { foreign(t, machine, tool(t, emulator, emulator+"-static")) })
		}
	}
}

// foreign runs the experiments on one machine.
func foreign(t *testing.T, machine, emulator string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	writer := filepath.Join(dir, "writer")
	build := exec.CommandContext(ctx, tool(t, "go"), "test", "-c", "-o", writer, ".")
	build.Env = append(os.Environ(), "GOARCH="+machine, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for %s: %v\n%s", machine, err, out)
	}
	write := exec.CommandContext(ctx, emulator, writer)
	write.Env = []string{imagesVariable + "=" + dir}
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("write the images: %v\n%s", err, out)
	}
	t.Run("two parts", func(t *testing.T) { emulateParts(ctx, t, emulator, dir) })
	t.Run("signals pass a reaper", func(t *testing.T) { emulateAnswering(ctx, t, emulator, dir) })
	for i, e := range experiments() {
		t.Run(e.name, func(t *testing.T) { e.emulate(ctx, t, emulator, filepath.Join(dir, strconv.Itoa(i))) })
	}
}

// emulate runs an image with its report on descriptor 3.
func (e experiment) emulate(ctx context.Context, t *testing.T, emulator, image string) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	records, status := emulated(t, exec.CommandContext(ctx, emulator, image), r, w)
	e.check(t, records, status)
}

// emulated runs a command with the report, which w is the end of, and more files
// from descriptor 3 on.
func emulated(t *testing.T, cmd *exec.Cmd, r, w *os.File, more ...*os.File) (records []Record, status int) {
	t.Helper()
	cmd.ExtraFiles = append([]*os.File{w}, more...)
	err := cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	records = readAll(t, r)
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		t.Fatal(err)
	}
	return records, cmd.ProcessState.ExitCode()
}

// tool finds a program of the machine by the first of its names.
func tool(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	unavailable(t, "%s is not installed", names[0])
	return ""
}

func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skipf(format, args...)
	}
	t.Fatalf(format+" (HOMERUN_TEST_MAY_SKIP=1 skips this)", args...)
}
