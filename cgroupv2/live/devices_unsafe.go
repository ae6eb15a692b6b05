package live

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// bpf(2) takes a union whose size grows with each kernel. Linux 6.17 to 7.1
// wrote after the end of a short one at BPF_PROG_QUERY (runc#5403), so the
// argument is always larger than any kernel's union; a kernel accepts that as
// long as what it does not know is zero (bpf_check_uarg_tail_zero).
type bpfArgument struct {
	bytes [256]byte
	pins  runtime.Pinner
}

func (a *bpfArgument) u32(offset int, v uint32) { binary.NativeEndian.PutUint32(a.bytes[offset:], v) }
func (a *bpfArgument) u64(offset int, v uint64) { binary.NativeEndian.PutUint64(a.bytes[offset:], v) }

// pointer stores the address of b, which stays where it is until release: an
// address inside of bytes is nothing that the garbage collector, or a stack
// that grows, would follow.
func (a *bpfArgument) pointer(offset int, b []byte) {
	a.pins.Pin(&b[0])
	a.u64(offset, uint64(uintptr(unsafe.Pointer(&b[0]))))
}

func (a *bpfArgument) release() { a.pins.Unpin() }

func (a *bpfArgument) call(command uintptr) (int, error) {
	return retry(func() (int, error) {
		n, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(unsafe.Pointer(&a.bytes)), unsafe.Sizeof(a.bytes))
		if errno != 0 {
			return -1, errno
		}
		return int(n), nil
	})
}

// maxPrograms is the kernel's limit per cgroup (BPF_CGROUP_MAX_PROGS).
const maxPrograms = 64

// Devices is a device program that the kernel has checked. Close it; attached, it
// stays with the cgroup.
type Devices struct{ fd int }

// Close gives up the program.
func (p *Devices) Close() { descriptor.Close(&p.fd) }

// LoadDevices loads a device program, which takes the kernel long. It needs CAP_BPF (or
// CAP_SYS_ADMIN) in the first user namespace: elsewhere EPERM, which callers without
// root do not ask for, because their container can open no device that they themselves
// cannot. Errors are *fault.Error.
func LoadDevices(code []cgroupv2.Instruction) (*Devices, error) {
	fd, err := loadProgram(code)
	if err != nil {
		return nil, &fault.Error{What: "load the device program", Cause: err}
	}
	return &Devices{fd}, nil
}

// AttachDevices puts a device program in the place of those that are attached to d
// itself; an ancestor's stay in force. There is no moment without a program: a single
// old one is replaced, of more the new one joins before the old ones leave. It needs
// what LoadDevices does. Errors are *fault.Error; the program stays with the cgroup
// until that is removed.
func (d *Dir) AttachDevices(program *Devices) error {
	old, err := d.programs()
	if err != nil {
		return d.failed("query device programs of", "", err)
	}
	defer closeAll(old)
	if err := d.attachProgram(program.fd, old); err != nil {
		return d.failed("attach device program to", "", err)
	}
	if len(old) < 2 {
		return nil
	}
	for _, fd := range old {
		if err := d.detachProgram(fd); err != nil {
			return d.failed("detach device program from", "", err)
		}
	}
	return nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// loadProgram: offsets are those of struct BPF_PROG_LOAD in linux/bpf.h. When
// the verifier refuses, its own words come along: that would be our bug.
func loadProgram(code []cgroupv2.Instruction) (int, error) {
	var a bpfArgument
	defer a.release()
	a.u32(0, unix.BPF_PROG_TYPE_CGROUP_DEVICE)
	a.u32(4, uint32(len(code)))
	a.pointer(8, cgroupv2.Encode(code))
	a.pointer(16, []byte("Apache-2.0\x00"))
	copy(a.bytes[48:63], "homerun_devices")
	fd, err := a.call(unix.BPF_PROG_LOAD)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES) {
		return fd, a.verifierWords(err)
	}
	return fd, err
}

// verifierWords loads once more, for the verifier's log.
func (a *bpfArgument) verifierWords(first error) error {
	words := make([]byte, 64<<10)
	a.u32(24, 1)
	a.u32(28, uint32(len(words)))
	a.pointer(32, words)
	if fd, err := a.call(unix.BPF_PROG_LOAD); err == nil {
		unix.Close(fd)
	}
	lines := strings.Fields(strings.TrimRight(string(words), "\x00"))
	if len(lines) == 0 {
		return first
	}
	return fmt.Errorf("BUG: the verifier says %s: %w", strings.Join(lines[max(0, len(lines)-20):], " "), first)
}

// programs opens the programs attached to d itself.
func (d *Dir) programs() ([]int, error) {
	var a bpfArgument
	defer a.release()
	ids := make([]byte, 4*maxPrograms)
	a.u32(0, uint32(d.fd))
	a.u32(4, unix.BPF_CGROUP_DEVICE)
	a.pointer(16, ids)
	a.u32(24, maxPrograms)
	if _, err := a.call(unix.BPF_PROG_QUERY); err != nil {
		return nil, err
	}
	count := min(binary.NativeEndian.Uint32(a.bytes[24:]), maxPrograms)
	var fds []int
	for i := range count {
		fd, err := programByID(binary.NativeEndian.Uint32(ids[4*i:]))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func programByID(id uint32) (int, error) {
	var a bpfArgument
	a.u32(0, id)
	return a.call(unix.BPF_PROG_GET_FD_BY_ID)
}

// attachProgram: BPF_F_ALLOW_MULTI lets the cgroups below and above have their
// own programs, and is what systemd uses.
func (d *Dir) attachProgram(program int, old []int) error {
	var a bpfArgument
	flags := uint32(unix.BPF_F_ALLOW_MULTI)
	a.u32(0, uint32(d.fd))
	a.u32(4, uint32(program))
	a.u32(8, unix.BPF_CGROUP_DEVICE)
	if len(old) == 1 {
		flags |= unix.BPF_F_REPLACE
		a.u32(16, uint32(old[0]))
	}
	a.u32(12, flags)
	_, err := a.call(unix.BPF_PROG_ATTACH)
	return err
}

func (d *Dir) detachProgram(program int) error {
	var a bpfArgument
	a.u32(0, uint32(d.fd))
	a.u32(4, uint32(program))
	a.u32(8, unix.BPF_CGROUP_DEVICE)
	_, err := a.call(unix.BPF_PROG_DETACH)
	return err
}
