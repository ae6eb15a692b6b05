package cgroupv2

import (
	"errors"
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const memoryPointer = root + ".memory"

func (f *files) memory(m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	f.memoryMax(m)
	f.memorySwap(m)
	pointer := memoryPointer + ".reservation"
	if low := f.limit(value(m.Reservation), pointer); low != "" {
		f.add("memory.low", low, pointer)
	}
	f.v1Only(value(m.Kernel) > 0, memoryPointer+".kernel")
	f.v1Only(value(m.KernelTCP) > 0, memoryPointer+".kernelTCP")
	f.v1Only(m.Swappiness != nil, memoryPointer+".swappiness")
	f.v1Only(value(m.DisableOOMKiller), memoryPointer+".disableOOMKiller")
	f.v1Only(m.UseHierarchy != nil && !*m.UseHierarchy, memoryPointer+".useHierarchy")
}

// memoryMax takes a limit of 0 for "not asked for", as engines send it; no
// program runs in memory.max 0.
func (f *files) memoryMax(m *specs.LinuxMemory) {
	limit, pointer := value(m.Limit), memoryPointer+".limit"
	text := f.limit(limit, pointer)
	if text == "" {
		return
	}
	w := Write{File: "memory.max", Value: text, Pointer: pointer}
	if value(m.CheckBeforeUpdate) && limit > 0 {
		w.Check = &Check{Limit: uint64(limit), Files: []string{"memory.current"}, Pointer: pointer}
	}
	f.put(w)
}

// memorySwap: memory.swap counts memory and swap together, memory.swap.max
// swap alone. A kernel without swap accounting lacks the file; max and 0 then
// ask for nothing that does not hold.
func (f *files) memorySwap(m *specs.LinuxMemory) {
	swap, pointer := value(m.Swap), memoryPointer+".swap"
	text, err := SwapMax(swap, value(m.Limit))
	if err != nil {
		f.fail(pointer, err.Error())
		return
	}
	if text == "" {
		return
	}
	w := Write{File: "memory.swap.max", Value: text, Pointer: pointer}
	if text == "max" || text == "0" {
		w.Tolerate = []unix.Errno{unix.ENOENT}
	}
	if value(m.CheckBeforeUpdate) && swap > 0 {
		used := []string{"memory.current", "memory.swap.current"}
		w.Check = &Check{Limit: uint64(swap), Files: used, Pointer: pointer}
	}
	f.put(w)
}

// SwapMax converts memory.swap (memory and swap together, bytes) to the value
// of memory.swap.max. 0 means not set, -1 unlimited; "" means: write nothing.
// An unlimited memory with no word about swap leaves swap unlimited too.
// The rules are runc's (FEATURES 1.11), which engines rely on.
func SwapMax(swap, limit int64) (string, error) {
	switch {
	case swap < -1:
		return "", fmt.Errorf("%d is negative; only -1 (unlimited) may be", swap)
	case swap == -1, swap == 0 && limit == -1:
		return "max", nil
	case swap == 0:
		return "", nil
	case limit == -1:
		return strconv.FormatInt(swap, 10), nil
	case limit == 0:
		return "", errors.New("is memory and swap together, so memory.limit must be set too")
	case swap < limit:
		return "", fmt.Errorf("%d (memory and swap together) is below memory.limit %d", swap, limit)
	}
	return strconv.FormatInt(swap-limit, 10), nil
}
