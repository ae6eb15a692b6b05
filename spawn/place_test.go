package spawn

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func set(cpus ...int) (s unix.CPUSet) {
	for _, cpu := range cpus {
		s.Set(cpu)
	}
	return s
}

func TestAmong(t *testing.T) {
	for _, test := range []struct {
		place Place
		own   unix.CPUSet
		here  int
		want  unix.CPUSet
	}{
		{Aside, set(0, 1, 70), 1, set(0, 70)},
		{Aside, set(3), 3, set()},
		{Here, set(0, 1, 70), 70, set(70)},
	} {
		if got := test.place.among(test.own, test.here); got != test.want {
			t.Errorf("%d on %d of %v: %v", test.place, test.here, test.own, got)
		}
	}
}

// TestConfine: a process is confined until it is released, and not after a Move.
func TestConfine(t *testing.T) {
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pid := cmd.Process.Pid
	expect := func(what string, is func(cpus unix.CPUSet) bool) {
		t.Helper()
		var cpus unix.CPUSet
		if err := unix.SchedGetaffinity(pid, &cpus); err != nil || !is(cpus) {
			t.Errorf("%s: %v, %v", what, cpus, err)
		}
	}
	released := func(cpus unix.CPUSet) bool { return cpus == own }
	if own.Count() == 1 { // that it is refused then is no error
		Confine(pid, Aside)
		expect("aside of the only CPU", released)
	} else {
		Confine(pid, Aside)
		expect("aside", func(cpus unix.CPUSet) bool { return cpus.Count() == own.Count()-1 })
		Release(pid)
		expect("released", released)
	}
	Confine(pid, Here)
	expect("here", func(cpus unix.CPUSet) bool { return cpus.Count() == 1 })
	Move(pid, Aside)
	expect("moved", released)
	Confine(1<<30, Here) // nobody
}
