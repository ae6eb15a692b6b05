package plan

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestQuote(t *testing.T) {
	tests := map[string]string{
		"":                `""`,
		"plain text ~":    `"plain text ~"`,
		`say "a\b"`:       `"say \"a\\b\""`,
		"\n\t\r\v\f":      `"\n\t\r\v\f"`,
		"\x00":            `"\0"`,
		"\x00\x00a":       `"\0\0a"`,
		"\x001":           `"\0001"`,
		"\x008":           `"\08"`,
		"\x1b[0m":         `"\33[0m"`,
		"\x1b7":           `"\0337"`,
		"\x7f\xff":        `"\177\377"`,
		"é":               `"\303\251"`,
		"tab\tand 5":      `"tab\tand 5"`,
		"\x07\x08":        `"\7\10"`,
		"$root, \"x\" //": `"$root, \"x\" //"`,
	}
	for in, want := range tests {
		if got := quote(in); got != want {
			t.Errorf("%q prints as %s, want %s", in, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	tests := map[uint64]string{
		0: "0", 1: "1", 1000: "1000", 1024: "1024", 1025: "1025", 2048: "2*1024", 1 << 20: "1024*1024",
		1<<64 - 1: "RLIM64_INFINITY", 1<<64 - 1024: "18014398509481983*1024",
	}
	for in, want := range tests {
		if got := limit(in); got != want {
			t.Errorf("%d prints as %s, want %s", in, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	tests := []struct {
		show func(int64) string
		n    int64
		want string
	}{
		{openFlags, 0, "O_RDONLY"},
		{openFlags, unix.O_RDWR | unix.O_CREAT | unix.O_EXCL, "O_RDWR|O_CREAT|O_EXCL"},
		{openFlags, unix.O_WRONLY | 1<<29, "O_WRONLY|0x20000000"},
		{resolveFlags, unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
			"RESOLVE_NO_XDEV|RESOLVE_NO_SYMLINKS|RESOLVE_BENEATH"},
		{atFlags, 0, "0"},
		{mountAttrs, 0, "0"},
		{mountAttrs, 1<<30 | unix.MOUNT_ATTR_NOATIME, "MOUNT_ATTR_NOATIME|0x40000000"},
		{propagations, unix.MS_SLAVE, "MS_SLAVE"},
		{cloneFlags, unix.CLONE_NEWUSER | unix.CLONE_NEWNET, "CLONE_NEWUSER|CLONE_NEWNET"},
		{rlimits, 99, "99"},
		{umountFlags, unix.MNT_DETACH | unix.UMOUNT_NOFOLLOW, "MNT_DETACH|UMOUNT_NOFOLLOW"},
		{seccompFlags, 0, "0"},
		{seccompFlags, 3, "SECCOMP_FILTER_FLAG_TSYNC|SECCOMP_FILTER_FLAG_LOG"},
		{prctlOptions, 999, "999"},
	}
	for _, test := range tests {
		if got := test.show(test.n); got != test.want {
			t.Errorf("%#x prints as %s, want %s", test.n, got, test.want)
		}
	}
}

func TestLine(t *testing.T) {
	b := NewBuilder(3)
	end, one := b.Label(), int32(1)
	b.At("mounts[2]", "mount x")
	fd := b.Get("fs", Fsopen{"tmpfs"})
	second := b.Get("fs", Fsopen{"tmpfs"})
	b.Try(Umask{}, Errno{unix.ENOENT, end}, Errno{unix.EPERM, 0}, Errno{4095, 0})
	b.Add(Step{Op: Close{fd.Ref()}, OnZero: end, OnNonzero: end})
	b.Add(Step{Op: Read{second.Ref(), 1}, Want: &one, Awaits: "go", Reason: &Reason{Pointer: "default"}})
	b.Place(end)
	b.Add(Step{Op: Signal{FD: Int(3), Tag: 4}, Signals: "ready"})
	exit(b)
	p := lower(b)
	for i, want := range []string{
		`$fs = fsopen("tmpfs", FSOPEN_CLOEXEC)`,
		`$fs2 = fsopen("tmpfs", FSOPEN_CLOEXEC)`,
		`umask(000)  // ENOENT -> 6, EPERM, errno 4095`,
		`close($fs)  // 0 -> 6, not 0 -> 6`,
		`read($fs2, buffer, 1)  // = 1, awaits go`,
		`write(3, {tag=4, value=0}, 8)  // signals ready`,
		`exit_group(0)`,
	} {
		if got := p.Line(i); got != want {
			t.Errorf("step %d prints as\n%s\nwant\n%s", i, got, want)
		}
	}
	if s := p.Step(4); s.Pointer != "default" || p.Step(0).Pointer != "mounts[2]" || p.Step(0).What != "mount x" {
		t.Errorf("step 0 comes from %q, step 4 from %q", p.Step(0).Pointer, s.Pointer)
	}
}

func TestCapabilityNames(t *testing.T) {
	names := Capabilities()
	if len(names) != unix.CAP_LAST_CAP+1 {
		t.Fatalf("%d names, want %d", len(names), unix.CAP_LAST_CAP+1)
	}
	for n, name := range names {
		if got, ok := CapabilityNumber(name); !ok || got != n || CapabilityName(n) != name {
			t.Errorf("%s: number %d (%t), name of %d: %s", name, got, ok, n, CapabilityName(n))
		}
	}
	for name, want := range map[string]int{"CAP_CHOWN": unix.CAP_CHOWN, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
		"CAP_SETFCAP": unix.CAP_SETFCAP, "CAP_CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE} {
		if got, _ := CapabilityNumber(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	for _, name := range []string{"", "CAP_", "CHOWN", "CAP_chown", "CAP_ALL", "CAP_SYS", "CAP_CHOWN "} {
		if n, ok := CapabilityNumber(name); ok {
			t.Errorf("%q is capability %d", name, n)
		}
	}
	for n, want := range map[int]string{-1: "-1", unix.CAP_LAST_CAP + 1: "41"} {
		if got := CapabilityName(n); got != want {
			t.Errorf("capability %d has the name %s, want %s", n, got, want)
		}
	}
}

// TestMessages: what a message shows of a step has no environment and is short,
// whatever config.json says. Tried: the environment, arguments, groups, mount
// options, written files, extended attributes, names.
func TestMessages(t *testing.T) {
	long := strings.Repeat("x", 4<<20)
	b := NewBuilder(3)
	end := b.Label()
	fd := b.Get("fs", Fsopen{long})
	b.Do(Fsconfig{FD: fd.Ref(), Command: unix.FSCONFIG_SET_STRING, Key: "lowerdir", Value: long})
	b.Do(Write{FD: fd.Ref(), Data: long})
	b.Do(Sethostname{long})
	b.Do(Setgroups{make([]uint32, 65537)})
	b.Do(Setgroups{make([]uint32, 16)})
	b.Try(Execve{"/bin/sh", []string{"sh", long, long}, []string{"TOKEN=s3cret", "A=" + long}}, Errno{unix.ENOENT, end})
	b.Do(Execve{"/bin/sh", nil, []string{"TOKEN=s3cret"}})
	b.Place(end)
	exit(b)
	p := lower(b)
	full := p.WithValues()
	for i := range p.Len() {
		if line := p.Line(i); strings.Contains(line, "s3cret") || len(line) > 2500 {
			t.Errorf("%d bytes: %.200s", len(line), line)
		}
	}
	for i, want := range map[int]string{4: "setgroups(65537, [65537 groups])", 5: full.Text(5), 7: `execve("/bin/sh", [], [1 variable])`} {
		if got := p.Text(i); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := p.Text(6); !strings.HasSuffix(got, `..., [2 variables])`) {
		t.Errorf("...%s", got[max(0, len(got)-100):])
	}
	if !strings.Contains(full.Text(6), `["TOKEN=s3cret", "A=xxx`) || len(full.Text(6)) < 12<<20 || len(full.Line(1)) < 4<<20 {
		t.Error("the values are not to be had at all")
	}
}
