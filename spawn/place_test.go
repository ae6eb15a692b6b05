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

// sleeper is a process that waits.
func sleeper(t *testing.T) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// TestConfine: a process is confined until it is released, and not after it has begun.
func TestConfine(t *testing.T) {
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		t.Fatal(err)
	}
	pid, second := sleeper(t), sleeper(t)
	expect := func(what string, pid int, is func(cpus unix.CPUSet) bool) {
		t.Helper()
		var cpus unix.CPUSet
		if err := unix.SchedGetaffinity(pid, &cpus); err != nil || !is(cpus) {
			t.Errorf("%s: %v, %v", what, cpus, err)
		}
	}
	released := func(cpus unix.CPUSet) bool { return cpus == own }
	Confine(pid, Aside)
	expect("aside", pid, func(cpus unix.CPUSet) bool { return cpus.Count() == max(own.Count()-1, 1) }) // of one it is refused
	Release(pid)
	expect("released", pid, released)
	Apart(pid, second)
	expect("the first of two", pid, released)
	expect("the second of two", second, released)
	Confine(pid, Here)
	expect("here", pid, func(cpus unix.CPUSet) bool { return cpus.Count() == 1 })
	Confine(1<<30, Here) // nobody
}
