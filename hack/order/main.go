// Order is a program for `go build -toolexec`, by which the linker puts certain
// functions side by side.
//
//	go build -toolexec "order LIST" ...
//
// # Theory of operation
//
// The kernel maps a program's file in pieces of 64 KiB, at the first use of any
// page in one, and what is mapped counts as memory. Go's linker lays functions out
// by package. A verb calls some 1400 of 9000 functions, which are a ninth of the
// program, and lie in nearly all of its pieces. So those that verbs call come first, and
// before them some that Go looks up in its tables (cmd/homerun/order.txt, which hack/reached
// writes); and so does what they refer to among the constants.
//
// The linker has no such flag. It is built anew from the toolchain's own source,
// with two lines more and linker.go.txt beside them, once for each Go, and kept
// beside this program. Where a later Go has not the places for the two lines, its
// own linker serves: then the program is the same, takes 2 MB more of memory, and a
// line says so.
package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the linker's additional file
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed linker.go.txt
var addition []byte

// insertions are lines, each with the one of data.go that it comes before.
var insertions = [][2]string{
	{"\tsort.SliceStable(ctxt.Textp, func(", "\torderText(ctxt)\n"},
	{"\t\t\tif sortBySize {\n", "\t\t\tif a, b := dataRank(symn, si), dataRank(symn, sj); a != b {\n\t\t\t\treturn a < b\n\t\t\t}\n"},
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, `usage: go build -toolexec "order LIST"`)
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "order:", err)
		os.Exit(1)
	}
}

// run becomes the tool, or the linker that orders.
func run(list, tool string, args []string) error {
	if filepath.Base(tool) != "link" {
		return become(tool, args)
	}
	if len(args) == 1 && args[0] == "-V=full" {
		return printVersion(list, tool)
	}
	linker, err := linkerFor(tool)
	if err != nil {
		fmt.Fprintln(os.Stderr, "order: functions stay in Go's order:", err)
		return become(tool, args)
	}
	if err := os.Setenv("HOMERUN_ORDER", list); err != nil {
		return err
	}
	return become(linker, args)
}

func become(program string, args []string) error {
	return fmt.Errorf("%s: %w", program, unix.Exec(program, append([]string{program}, args...), os.Environ()))
}

// printVersion has go link anew when the list or the linker is another one.
func printVersion(list, tool string) error {
	names, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	version, err := exec.Command(tool, "-V=full").Output()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(append(names, addition...))
	_, err = fmt.Printf("%s order %x\n", bytes.TrimSpace(version), sum[:8])
	return err
}

// linkerFor returns the linker that orders, of the same Go as tool, and makes it
// where there is none.
func linkerFor(tool string) (string, error) {
	version, err := exec.Command(tool, "-V").Output() // link version go1.26.8
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(version, addition...))
	linker := filepath.Join(filepath.Dir(self), fmt.Sprintf("link-%x", sum[:8]))
	if _, err := os.Stat(linker); err == nil {
		return linker, nil
	}
	dir, err := os.MkdirTemp(filepath.Dir(self), "link-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(filepath.Dir(tool), "../../..") // pkg/tool/linux_amd64
	if err := build(root, dir); err != nil {
		return "", err
	}
	return linker, os.Rename(filepath.Join(dir, "link"), linker)
}

// build makes the linker of the Go in root, as dir/link.
func build(root, dir string) error {
	source := filepath.Join(root, "src/cmd/link/internal/ld")
	text, err := os.ReadFile(filepath.Join(source, "data.go"))
	if err != nil {
		return err
	}
	if text, err = insert(text); err != nil {
		return err
	}
	replace := map[string]string{}
	for name, text := range map[string][]byte{"data.go": text, "homerun.go": addition} {
		replace[filepath.Join(source, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644)
	}
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(root, "bin/go"), "build", "-trimpath", "-overlay", filepath.Join(dir, "overlay.json"), "-o", filepath.Join(dir, "link"), "cmd/link")
	cmd.Dir = filepath.Join(root, "src")
	cmd.Env = append(os.Environ(), "GOOS=", "GOARCH=", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build cmd/link: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// insert puts the insertions into data.go.
func insert(text []byte) ([]byte, error) {
	for _, i := range insertions {
		if n := bytes.Count(text, []byte(i[0])); n != 1 {
			return nil, fmt.Errorf("this Go's linker has %q %d times in data.go, not once", strings.TrimSpace(i[0]), n)
		}
		text = bytes.Replace(text, []byte(i[0]), []byte(i[1]+i[0]), 1)
	}
	return text, nil
}
