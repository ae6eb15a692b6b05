package bites

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mark begins the line after each trial in the machine's output: its number,
// its exit status, and the seconds that it took.
const mark = "#trial "

// inMachine runs all trials of one user in one boot.
func inMachine(t *testing.T, p place, dir string, trials []*trial) {
	user := "root"
	if p == machineUser {
		user = "dev"
	}
	path := filepath.Join(dir, user+".sh")
	if err := os.WriteFile(path, []byte(script(t, trials)), 0o644); err != nil {
		t.Error(err)
		return
	}
	cmd := exec.Command("hack/machine", "run", "--user", user, "--timeout", "900", "--", "sh", path)
	cmd.Dir, cmd.Stderr = repository, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("the test machine, as %s: %v", user, err)
	}
	var text strings.Builder
	next := 0
	for line := range strings.Lines(string(out)) {
		end, ok := strings.CutPrefix(line, mark)
		if !ok {
			text.WriteString(line)
			continue
		}
		var status int
		var seconds float64
		if _, err := fmt.Sscan(end, &status, &seconds); err != nil || next == len(trials) {
			t.Errorf("the test machine says %q", line)
			return
		}
		trials[next].report(t, text.String(), status, time.Duration(seconds*float64(time.Second)))
		text.Reset()
		next++
	}
	for _, tr := range trials[next:] {
		t.Errorf("%s did not run in the test machine", tr.name)
	}
}

// script is what the machine runs. It ends well, so that a bad exit status
// means that the machine itself failed.
func script(t *testing.T, trials []*trial) string {
	var b strings.Builder
	b.WriteString("export HOMERUN_TEST_MACHINE=1\n")
	for _, tr := range trials {
		dir, err := filepath.Abs(filepath.Join(repository, tr.pkg))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&b, "cd '%s'; start=$(date +%%s%%N)\n", dir)
		fmt.Fprintf(&b, "timeout -k 5 %d env HOMERUN='%s' '%s'", int(testLimit.Seconds())+10, tr.homerun, tr.binary)
		for _, a := range tr.arguments() {
			fmt.Fprintf(&b, " '%s'", a)
		}
		fmt.Fprintf(&b, " </dev/null 2>&1; status=$?; end=$(date +%%s%%N)\necho; echo '%s'$status $(((end - start) / 1000000))e-3\n", mark)
	}
	return b.String() + "exit 0\n"
}

func TestScript(t *testing.T) {
	one := script(t, []*trial{{mutant: &mutant{pkg: "./tests/limits", test: "TestX/root"}, binary: "/b", homerun: "/h"}})
	for _, want := range []string{"/tests/limits'", "HOMERUN='/h' '/b'", "'-test.run=^TestX$/^root$'", mark} {
		if !strings.Contains(one, want) {
			t.Errorf("%q lacks %q", one, want)
		}
	}
}
