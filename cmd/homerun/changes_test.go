package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMakeChanges: a directory for changes lies in no other one's, nor has one in it, in use or not.
func TestMakeChanges(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"store/root/upper/srv", "store/root/work", "apart/root/upper", "apart/root/work", "half/root/upper", "holds/root/root/upper", "holds/root/root/work", "files/other"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("store/root/upper", filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"store": "", "new/one": "", "apart/beside": "", // no layer's name
		"half": "", "half/root/upper": "", // no work directory: no overlay has been there
		"store/root/upper/srv": "it lies in " + top + "/store,", "store/root/upper/none/yet": "it lies in " + top + "/store,",
		"link/srv": "it lies in " + top + "/store,", "link/none": "it lies in " + top + "/store,",
		"holds": top + "/holds/root in it has the changes", "files": `it has "other"`,
	} {
		err := makeChanges(filepath.Join(top, dir))
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
}

// TestChangesAreMine: a directory for changes that is made is nobody else's to read.
func TestChangesAreMine(t *testing.T) {
	dir := t.TempDir() + "/a/kept"
	if err := makeChanges(dir); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
}
