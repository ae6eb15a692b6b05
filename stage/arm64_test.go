package stage

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
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
		img := newImage(p, code())
		file := make([]byte, int(img.dataAt)+len(img.data))
		copy(file, img.text)
		copy(file[img.dataAt:], img.data)
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), file, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// TestArm64 runs the experiments on an emulated arm64: the images are written
// by this test, built for that machine.
func TestArm64(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and emulates")
	}
	emulator := tool(t, "qemu-aarch64-static")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	writer := filepath.Join(dir, "writer")
	build := exec.CommandContext(ctx, tool(t, "go"), "test", "-c", "-o", writer, ".")
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for arm64: %v\n%s", err, out)
	}
	write := exec.CommandContext(ctx, emulator, writer)
	write.Env = []string{imagesVariable + "=" + dir}
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("write the images: %v\n%s", err, out)
	}
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
	cmd := exec.CommandContext(ctx, emulator, image)
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	records := readAll(t, r)
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		t.Fatal(err)
	}
	e.check(t, records, cmd.ProcessState.ExitCode())
}

// tool finds a program of the machine.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		unavailable(t, "%s is not installed", name)
	}
	return path
}

func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skipf(format, args...)
	}
	t.Fatalf(format+" (HOMERUN_TEST_MAY_SKIP=1 skips this)", args...)
}
