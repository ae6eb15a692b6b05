package first

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMachines: homerun builds for three machines, and for the others says which these
// are, in the one line that the compiler prints.
func TestMachines(t *testing.T) {
	for machine, want := range map[string]string{"amd64": "", "arm64": "", "riscv64": "", "ppc64le": other, "s390x": other, "arm": other, "386": other, "loong64": other} {
		for _, name := range []string{".", "../../../stage", "../../../seccomp/bpf"} {
			list := exec.Command("go", "list", "-f", "{{.GoFiles}} {{.SFiles}}", name)
			list.Env = append(os.Environ(), "GOARCH="+machine, "CGO_ENABLED=0")
			out, err := list.CombinedOutput()
			if err != nil || strings.Contains(string(out), "_other.go") != (want != "") || name == "." && want == "" && !strings.Contains(string(out), "_"+machine+".s") {
				t.Errorf("%s: %s: %v, %s", machine, name, err, out)
			}
		}
		build := exec.Command("go", "build", ".") // which imports nothing, and takes no time
		build.Env = append(os.Environ(), "GOARCH="+machine, "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); (err == nil) != (want == "") || !strings.Contains(string(out), want) || strings.Count(string(out), "\n") > 2 {
			t.Errorf("%s: %v, %q", machine, err, out)
		}
	}
}

const other = "undefined: homerun_is_for_amd64_arm64_and_riscv64_only\n"
