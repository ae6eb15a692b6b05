package budget

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestBinary(t *testing.T) {
	if testing.Short() || runtime.GOARCH != "amd64" || os.Getenv("HOMERUN_TEST_MACHINE") == "1" {
		t.Skip("is about bin/homerun of amd64, and asks go list")
	}
	info, err := os.Stat("../../bin/homerun")
	if err != nil {
		t.Fatalf("%v (make build)", err)
	}
	Hold(t, "binary", "bytes", int(info.Size()))
	cmd := exec.Command("go", "list", "-deps", "../../cmd/homerun")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	Hold(t, "binary", "packages", strings.Count(string(out), "\n"))
}
