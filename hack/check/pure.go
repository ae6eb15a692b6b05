package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// pure lists the packages without effects. They import, of this module, each
// other alone, so what is true of each is true of all that it calls.
var pure = []string{"plain", "fault", "jsonread", "plan", "host", "action", "compile", "userns", "rootfs", "process", "netns", "netns/device",
	"seccomp", "seccomp/bpf", "limits", "cgroupv2", "systemd", "intelrdt", "spec", "doctor", "lint", "runflags"}

// computing lists what else a pure package may import: what computes and does not
// act, apart from the names in acting and the functions of x/sys/unix.
var computing = []string{"bytes", "cmp", "encoding/base64", "encoding/binary", "encoding/json", "errors", "fmt", "iter", "maps", "math",
	"math/bits", "net/netip", "path", "reflect", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf16",
	"unicode/utf8", "github.com/coreos/go-systemd/v22/unit", "github.com/opencontainers/runtime-spec/specs-go", unixPackage}

const unixPackage = "golang.org/x/sys/unix"

// arithmetic names x/sys/unix functions that compute and do not call.
var arithmetic = []string{"Major", "Minor", "Mkdev", "ErrnoName", "SignalName", "SignalNum", "ByteSliceFromString"}

// quantities are the names of package time that are numbers: a length of time is
// one, what time it is now is a fact.
var quantities = []string{"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"}

// streams are the names of package fmt that use the process's standard streams.
var streams = []string{"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"}

// isPure reports whether a file has to be free of effects.
func isPure(f *gofile) bool { return slices.Contains(pure, f.dir) && !f.test && !f.tool }

func pureImports(t *tree) ([]finding, error) {
	found := eachImport(t, func(f *gofile, imported string) string {
		if !isPure(f) || slices.Contains(computing, imported) {
			return ""
		}
		dir, ours := strings.CutPrefix(imported, t.module+"/")
		switch {
		case ours && slices.Contains(pure, dir):
			return ""
		case ours:
			return "pure package " + f.dir + " imports " + dir + ", which is not pure"
		}
		return "pure package " + f.dir + " imports " + imported
	})
	for _, name := range t.files {
		if path.Ext(name) == ".s" && slices.Contains(pure, path.Dir(name)) {
			found = append(found, finding{where: name, what: "pure package " + path.Dir(name) + " has assembly"})
		}
	}
	return found, nil
}

// pureNames looks at every use of a name, not only at calls: a function that is
// put into a variable is called from there.
func pureNames(t *tree) ([]finding, error) {
	var found []finding
	functions, err := t.unixFunctions()
	if err != nil {
		return nil, err
	}
	for _, f := range t.source() {
		if !isPure(f) {
			continue
		}
		if _, dot := f.imports["."]; dot {
			found = append(found, t.at(f, f.ast.Package, "pure package %s imports another's names without its name", f.dir))
		}
		f.uses(func(pkg, name string, at token.Pos) {
			acts := pkg == unixPackage && functions[name] && !slices.Contains(arithmetic, name) ||
				pkg == "time" && !slices.Contains(quantities, name) || pkg == "fmt" && slices.Contains(streams, name)
			if acts {
				found = append(found, t.at(f, at, "pure package %s uses %s.%s", f.dir, path.Base(pkg), name))
			}
		})
	}
	return found, nil
}

// unixFunctions reads the names of x/sys/unix's functions, so that a function can
// be told from a type without type information.
func (t *tree) unixFunctions() (map[string]bool, error) {
	cmd := exec.Command("go", "list", "-f", "{{.Dir}}", unixPackage)
	cmd.Dir = t.root
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.go"))
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, name := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		addFunctions(names, parsed)
	}
	return names, nil
}

func addFunctions(names map[string]bool, f *ast.File) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.IsExported() {
			names[fn.Name.Name] = true
		}
	}
}
