package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// breakpoint is the instruction int3.
const breakpoint = 0xCC

// tracee is a program with a breakpoint at each of its functions.
type tracee struct {
	pid       int
	memory    *os.File
	functions map[uint64]string // by address, those not reached yet
	code      []byte            // as it was
	start     uint64            // of code
	reached   []string
}

// trace runs a program to its end, and returns which of its functions ran, in the
// order of their first calls, and the exit status.
func trace(program string, args []string) ([]string, int, error) {
	runtime.LockOSThread() // ptrace(2) knows threads
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	t := &tracee{pid: cmd.Process.Pid, functions: map[uint64]string{}}
	if err := t.prepare(program); err != nil {
		return nil, 0, errors.Join(err, cmd.Process.Kill())
	}
	status, err := t.follow()
	return t.reached, status, err
}

// prepare sets the breakpoints, in a program that has just been executed.
func (t *tracee) prepare(program string) error {
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &status, 0, nil); err != nil {
		return err
	}
	const children = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC
	if err := unix.PtraceSetOptions(t.pid, children); err != nil {
		return err
	}
	if err := t.readFunctions(program); err != nil {
		return err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", t.pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	t.memory = memory
	broken := append([]byte(nil), t.code...)
	for address := range t.functions {
		broken[address-t.start] = breakpoint
	}
	if _, err := memory.WriteAt(broken, int64(t.start)); err != nil {
		return err
	}
	return unix.PtraceCont(t.pid, 0)
}

func (t *tracee) readFunctions(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer file.Close()
	text := file.Section(".text")
	symbols, err := file.Symbols()
	if err != nil {
		return fmt.Errorf("%s: %w (it is to be linked without -s)", program, err)
	}
	t.start = text.Addr
	if t.code, err = text.Data(); err != nil {
		return err
	}
	for _, s := range symbols {
		if strings.HasSuffix(s.Name, "/stage.stage.abi0") {
			continue // it is copied, and must stay as it is
		}
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Value >= text.Addr && s.Value < text.Addr+text.Size {
			t.functions[s.Value] = strings.TrimSuffix(s.Name, ".abi0")
		}
	}
	return nil
}

// follow goes on until the program has ended. What it executes is let go.
func (t *tracee) follow() (int, error) {
	result := 0
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.ECHILD):
			return result, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case status.Exited() || status.Signaled():
			if pid == t.pid {
				result = status.ExitStatus()
			}
			continue
		}
		t.resume(pid, status)
	}
}

// resume lets a thread go on that has stopped.
func (t *tracee) resume(pid int, status unix.WaitStatus) {
	signal := status.StopSignal()
	switch {
	case status.TrapCause() == unix.PTRACE_EVENT_EXEC:
		_ = unix.PtraceDetach(pid) // it may be gone
		return
	case status.TrapCause() > 0, signal == unix.SIGSTOP, signal == unix.SIGTRAP && t.reach(pid):
		signal = 0
	}
	_ = unix.PtraceCont(pid, int(signal))
}

// reach takes the breakpoint away that a thread has come to.
func (t *tracee) reach(pid int) bool {
	var registers unix.PtraceRegs
	if unix.PtraceGetRegs(pid, &registers) != nil {
		return false
	}
	address := registers.Rip - 1
	if address < t.start || address >= t.start+uint64(len(t.code)) {
		return false
	}
	if name, ok := t.functions[address]; ok {
		t.reached = append(t.reached, name)
		delete(t.functions, address)
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0) // a child's is a copy
	if err == nil {
		_, err = memory.WriteAt(t.code[address-t.start:][:1], int64(address))
		memory.Close()
	}
	registers.Rip = address
	return err == nil && unix.PtraceSetRegs(pid, &registers) == nil
}
