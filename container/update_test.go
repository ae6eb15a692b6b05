package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// An update is laid over the limits that there are. What they are is not guessed
// from a config.json that cannot be read: the next update would drop them.
func TestResourcesBeforeUpdate(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		limit  int64 // of processes; 0 for none
		bad    bool
	}{
		"none":       {"", 0, false},
		"no limits":  {`{"ociVersion":"1.3.0"}`, 0, false},
		"limits":     {`{"ociVersion":"1.3.0","linux":{"resources":{"pids":{"limit":7}}}}`, 7, false},
		"cut off":    {`{"ociVersion":"1.3.0","linux":{"resources":{"pids":`, 0, true},
		"not a file": {"/", 0, true},
	} {
		c, err := made(&Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}, "c")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		switch test.config {
		case "":
		case "/":
			err = os.Mkdir(c.dir.FilePath(store.ConfigFile), 0o700)
		default:
			err = c.dir.WriteFile(store.ConfigFile, []byte(test.config))
		}
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.resources()
		if (err != nil) != test.bad || (res != nil) != (test.limit != 0) || res != nil && (res.Pids == nil || *res.Pids.Limit != test.limit) {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}

// TestUpdateWarns: what an update cannot have in full is a warning, where anybody hears one.
func TestUpdateWarns(t *testing.T) {
	weight := uint16(5)
	var warned []string
	for _, warn := range []func(string){nil, func(text string) { warned = append(warned, text) }} {
		c := &Container{runtime: &Runtime{Options{Warn: warn}}}
		if err := c.apply(t.Context(), &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: &weight}}); err == nil {
			t.Error("limits without a cgroup")
		}
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "5 is outside of 10 to 1000") {
		t.Errorf("%q", warned)
	}
}
