package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ProcessInfo is a line of ps -ef.
type ProcessInfo struct {
	User     string
	Parent   int
	Percent  int
	Started  time.Time
	Terminal string
	CPU      time.Duration
	Command  string
}

// clockTicks is USER_HZ, the same on all machines that homerun runs on.
const clockTicks = 100

var errStat = errors.New("unreadable process state")

// DescribeProcess reads a process from /proc: proc_pid_stat(5).
func DescribeProcess(pid int) (ProcessInfo, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return ProcessInfo{}, err
	}
	end := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 20 {
		return ProcessInfo{}, errStat
	}
	number := func(i int) int64 { // i counts as the manual does
		n, _ := strconv.ParseInt(fields[i-3], 10, 64)
		return n
	}
	ticks := number(14) + number(15)
	p := ProcessInfo{Parent: int(number(4)), Terminal: terminalName(uint64(number(7))),
		CPU: time.Duration(ticks) * time.Second / clockTicks, Started: startedAt(number(22)), User: fileOwner(dir)}
	if age := time.Since(p.Started); age > 0 {
		p.Percent = int(p.CPU * 100 / age)
	}
	p.Command = command(dir, string(text[bytes.IndexByte(text, '(')+1:end]))
	return p, nil
}

func startedAt(ticks int64) time.Time {
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(ticks)*time.Second/clockTicks - time.Duration(up.Nano()))
}

func terminalName(device uint64) string {
	switch major := unix.Major(device); {
	case device == 0:
		return "?"
	case major >= 136 && major <= 143:
		return "pts/" + strconv.Itoa(int(unix.Minor(device)+(major-136)<<8))
	}
	return fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
}

func fileOwner(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return "?"
	}
	return owner(int(st.Uid))
}

// command is the command line, or the name in brackets where there is none.
func command(dir, name string) string {
	text, err := os.ReadFile(dir + "/cmdline")
	line := strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
	if err != nil || line == "" {
		return "[" + name + "]"
	}
	return line
}
