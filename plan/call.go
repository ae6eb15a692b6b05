package plan

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// Call is a system call with its arguments: what an operation is lowered to.
// Printing, encoding and checking are written once, over Call.
type Call struct {
	Name   string
	Number uintptr
	Args   []Arg
}

// Arg is one argument of a call. It can print itself.
type Arg struct {
	ref    Ref
	text   *string
	memory *Memory
	show   func(n int64) string
}

// Memory is a block of bytes in the stage's image whose address is the
// argument: a structure, an array or a buffer.
type Memory struct {
	Bytes []byte
	// Pointers are places in Bytes, 8 bytes each, that receive addresses.
	Pointers []Pointer
	// Cells are slots that live in Bytes, 4 bytes each: a descriptor inside an
	// SCM_RIGHTS message, or one that the kernel writes. Implies Mutable.
	Cells []Cell
	// Mutable puts the block into the writable part of the image.
	Mutable bool
	// share, when set, names the content: equal ones are encoded once.
	share share
	// Show prints the block as strace does.
	Show func(name func(Ref) string) string
	// Brief, when set, prints it for messages: without what may be secret, or
	// long.
	Brief func() string
}

// share names the content of a string array by where its strings are.
type share struct {
	first *string
	n     int
}

// Pointer is an address inside a Memory: of Text with a NUL after it, or of
// another Memory.
type Pointer struct {
	Offset int
	Text   string
	Memory *Memory
}

// Cell places a slot inside a Memory. Out says that the call writes it.
type Cell struct {
	Offset int
	Slot   Slot
	Out    bool
}

// number is an argument shown in decimal.
func number(n int) Arg { return Arg{ref: Int(n)} }

// ref is an argument that may be a slot.
func ref(r Ref) Arg { return Arg{ref: r} }

// dirfd is a directory argument: AT_FDCWD is shown by name.
func dirfd(r Ref) Arg { return Arg{ref: r, show: showDirFD} }

// flags is an argument shown by the names of its bits or of its value.
func flags(n int, show func(int64) string) Arg { return Arg{ref: Int(n), show: show} }

// octal is a file mode.
func octal(n uint32) Arg { return Arg{ref: Int(int(n)), show: showOctal} }

// text is a pointer to a string with a NUL after it.
func text(s string) Arg { return Arg{text: &s} }

// null is a NULL pointer.
func null() Arg { return Arg{show: showNull} }

// memory is a pointer to a block.
func memory(m *Memory) Arg { return Arg{memory: m} }

func showNull(int64) string { return "NULL" }

func showOctal(n int64) string {
	if n < 8 {
		return "00" + strconv.FormatInt(n, 8)
	}
	return "0" + strconv.FormatInt(n, 8)
}

func showDirFD(n int64) string {
	if n == -100 {
		return "AT_FDCWD"
	}
	return strconv.FormatInt(n, 10)
}

func showHex(n int64) string {
	if n == 0 {
		return "0"
	}
	return "0x" + strconv.FormatUint(uint64(uint32(n)), 16)
}

func showUnsigned(n int64) string { return strconv.FormatUint(uint64(uint32(n)), 10) }

// fixed is a Memory whose text says nothing of slots. The text is made when a plan is
// printed: most are only run.
func fixed(bytes []byte, show func() string) *Memory {
	return &Memory{Bytes: bytes, Show: func(func(Ref) string) string { return show() }}
}

// constant is a Memory that is always shown in the same way.
func constant(bytes []byte, show string) *Memory {
	return fixed(bytes, func() string { return show })
}

// quoted is a Memory of a text's bytes, with no NUL after them.
func quoted(text string) *Memory {
	return fixed([]byte(text), func() string { return quote(text) })
}

// words packs 64-bit fields in the machine's byte order. All machines that
// homerun runs on are little-endian.
func words(values ...uint64) []byte {
	b := make([]byte, 0, 8*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// halves packs 32-bit fields.
func halves(values ...uint32) []byte {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// stringArray is a NULL-terminated array of strings, as execve takes it.
func stringArray(list []string) *Memory {
	m := &Memory{Bytes: make([]byte, 8*(len(list)+1)), Pointers: make([]Pointer, len(list))}
	for i, s := range list {
		m.Pointers[i] = Pointer{Offset: 8 * i, Text: s}
	}
	if len(list) > 0 {
		m.share = share{&list[0], len(list)}
	}
	m.Show = func(func(Ref) string) string { return showStrings(list) }
	return m
}

// showStrings prints an array of strings as strace does.
func showStrings(list []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(s))
	}
	b.WriteByte(']')
	return b.String()
}
