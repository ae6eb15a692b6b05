package plan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
)

// The addresses that tests encode at: no argument is as large a number.
const (
	testCode = 0x7a000000
	testData = 0x7b000000
)

// lower makes a plan that no rule has been asked about.
func lower(b *Builder) *Plan {
	p := b.plan
	for i := range p.steps {
		p.calls = append(p.calls, p.steps[i].Op.Call())
	}
	return &p
}

// image is an encoded plan that can be read back by address.
type image struct {
	Image
	steps int
}

func encode(p *Plan) image { return image{NewEncoding(p, testCode, testData).Image, p.Len()} }

// record is a decoded operation.
type record struct {
	number            int
	slots             byte
	wants             bool
	want              int
	onZero, onNonzero int
	result            uint32
	tolerate          [MaxErrnos][2]int
	args              [6]int32
}

// record decodes operation i, by the format in encode.go.
func (m image) record(i int) record {
	var raw struct {
		Number            uint16
		Slots, Flags      uint8
		Want              int32
		OnZero, OnNonzero uint16
		Result            uint32
		Tolerate          [MaxErrnos][2]uint16
		Args              [6]int32
	}
	at := i * RecordSize
	if err := binary.Read(bytes.NewReader(m.Code[at:at+RecordSize]), binary.LittleEndian, &raw); err != nil {
		panic(err)
	}
	r := record{number: int(raw.Number), slots: raw.Slots, wants: raw.Flags&1 != 0, want: int(raw.Want),
		onZero: int(raw.OnZero), onNonzero: int(raw.OnNonzero), result: raw.Result, args: raw.Args}
	for n, t := range raw.Tolerate {
		r.tolerate[n] = [2]int{int(t[0]), int(t[1])}
	}
	return r
}

// at is the memory from an address on, or nil where there is none.
func (m image) at(address uint32) []byte {
	switch {
	case address >= testData && int(address-testData) < len(m.Data):
		return m.Data[address-testData:]
	case address >= testCode && int(address-testCode) < len(m.Code):
		return m.Code[address-testCode:]
	}
	return nil
}

// text is the string at an address.
func (m image) text(address uint32) string {
	b := m.at(address)
	if end := bytes.IndexByte(b, 0); end >= 0 {
		return string(b[:end])
	}
	return "(no string)"
}

// strings is the NULL-terminated array of strings at an address.
func (m image) strings(address uint32) []string {
	list := []string{}
	for ; ; address += 8 {
		p := m.word(address)
		if p == 0 {
			return list
		}
		list = append(list, m.text(p))
	}
}

// word is the address in the 8 bytes at an address.
func (m image) word(address uint32) uint32 {
	b := m.at(address)
	if len(b) < 8 || binary.LittleEndian.Uint32(b[4:]) != 0 {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

// number is the cell at an address.
func (m image) number(address uint32) int {
	b := m.at(address)
	if len(b) < 4 || address%4 != 0 || address < testData {
		return -1 << 40
	}
	return int(int32(binary.LittleEndian.Uint32(b)))
}

// differs says how argument i of a record differs from what a row wants.
func (m image) differs(r record, i int, want any) string {
	arg, slot := r.args[i], r.slots&(1<<i) != 0
	address := uint32(arg)
	if _, ok := want.(cell); ok != slot {
		return fmt.Sprintf("is from a slot: %t, want %t", slot, ok)
	}
	var got any
	switch w := want.(type) {
	case nil:
		got, want = int(arg), 0
	case int:
		got, want = int(arg), int(int32(w))
	case cell:
		got, want = m.number(address), int(w)
	case string:
		got = m.text(address)
	case []string:
		got = m.strings(address)
	case filter:
		got, want = m.filter(address), w.program
	case message:
		got, want = m.message(address), message{w.text, structBytes(w.control)}
	default:
		wanted := structBytes(w)
		got, want = m.bytes(address, len(wanted)), wanted
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Sprintf("is %v, want %v", got, want)
	}
	return ""
}

// structBytes is a kernel structure as it lies in memory.
func structBytes(v any) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err)
	}
	return b
}

func (m image) bytes(address uint32, n int) []byte {
	if b := m.at(address); len(b) >= n {
		return b[:n]
	}
	return nil
}

// filter follows a struct sock_fprog to its instructions.
func (m image) filter(address uint32) []byte {
	return m.bytes(m.word(address+8), 8*int(m.word(address)))
}

// message follows a struct msghdr to its data and its control message.
func (m image) message(address uint32) message {
	iov := m.word(address + 16)
	data := m.bytes(m.word(iov), int(m.word(iov+8)))
	control := m.bytes(m.word(address+32), int(m.word(address+40)))
	if m.word(address) != 0 || m.word(address+24) != 1 {
		data = slices.Concat([]byte("with a name, or more than one block: "), data)
	}
	return message{string(data), control}
}
