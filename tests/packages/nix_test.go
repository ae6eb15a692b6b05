package packages

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nix/vendor-hash is of what Go fetches now, by which Nix knows it.
func TestVendorHash(t *testing.T) {
	needHost(t)
	isOf("go.mod", "go.sum")
	dir := t.TempDir() + "/vendor"
	run(t, "../..", "go", "mod", "vendor", "-o", dir)
	sum := sha256.New()
	archive{sum}.words("nix-archive-1")
	archive{sum}.tree(t, dir)
	want := "sha256-" + base64.StdEncoding.EncodeToString(sum.Sum(nil))
	if got := strings.TrimSpace(read(t, "../../nix/vendor-hash")); got != want {
		t.Errorf("nix/vendor-hash: %s, should be %s", got, want)
	}
}

// archive writes Nix's archive format: words, each with its length before it and zeros after it up to a multiple of 8
// (The Purely Functional Software Deployment Model, section 5.2.1).
type archive struct{ hash.Hash }

func (a archive) words(words ...string) {
	for _, word := range words {
		binary.Write(a, binary.LittleEndian, uint64(len(word)))
		io.WriteString(a, word)
		a.Write(make([]byte, -len(word)&7))
	}
}

// tree writes a directory or a file that is no program: Go fetches nothing else.
func (a archive) tree(t *testing.T, path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		a.words("(", "type", "regular", "contents", read(t, path), ")")
		return
	}
	a.words("(", "type", "directory")
	for _, entry := range entries { // in the order of their names
		a.words("entry", "(", "name", entry.Name(), "node")
		a.tree(t, filepath.Join(path, entry.Name()))
		a.words(")")
	}
	a.words(")")
}

// The description for Nix evaluates, with a stand-in for nixpkgs, to a package of what is here.
func TestNix(t *testing.T) {
	needHost(t)
	isOf("flake.nix", "nix/package.nix", "nix/stand-in.nix")
	for attribute, want := range map[string]string{
		"name":              `"homerun-` + strings.TrimSpace(read(t, "../../VERSION")) + `"`,
		"vendor.outputHash": `"` + strings.TrimSpace(read(t, "../../nix/vendor-hash")) + `"`,
		"meta.mainProgram":  `"homerun"`,
	} {
		out := run(t, "../..", "nix-instantiate", "--store", "dummy://", "--eval", "--strict", "nix/stand-in.nix", "-A", attribute)
		if !strings.HasSuffix(out, want+"\n") {
			t.Errorf("%s: %s, want %s", attribute, out, want)
		}
	}
}
