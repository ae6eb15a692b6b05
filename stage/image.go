// Package stage makes the process that becomes a container's init.
//
// The stage is a static ELF image of one page of code plus an encoded plan. It
// is written to a sealed memfd and executed, so no Go ever runs inside the
// container, and /proc/self/exe never leads to the runtime's own file
// (CVE-2019-5736). The stage runs the plan's operations in order and reports
// on a pipe the first one that failed; see Reader.
//
// All functions may be called concurrently.
package stage

import (
	"encoding/binary"

	"github.com/homerun-oci/homerun/plan"
)

// The image's layout. The file is mapped in two segments: code, records and
// constants, readable and executable; and the writable block. Segments begin
// on 64 KiB, the largest page size of the machines that homerun runs on.
const (
	base      = 0x400000
	tableAt   = 0x100 // two addresses: the first record, the writable block
	codeAt    = 0x110
	alignment = 0x10000
)

// image is an ELF file: its first segment from offset 0, its second from
// dataAt.
type image struct {
	text   []byte
	data   []byte
	dataAt uint32
}

// newImage lays the stage's code and the plan, or its first part, out as an ELF
// file.
func newImage(p *plan.Plan, code []byte) (image, *plan.Encoding) {
	records := recordsAt(code)
	e := plan.NewEncoding(p, base+records, base+dataOffset(p, records))
	img := image{dataAt: dataOffset(p, records), data: e.Data}
	img.text = make([]byte, int(records)+len(e.Code))
	copy(img.text[codeAt:], code)
	copy(img.text[records:], e.Code)
	le := binary.LittleEndian
	le.PutUint64(img.text[tableAt:], uint64(base+records))
	le.PutUint64(img.text[tableAt+8:], uint64(base+img.dataAt))
	img.header()
	return img, e
}

// recordsAt is where in the file the records begin.
func recordsAt(code []byte) uint32 { return (codeAt + uint32(len(code)) + 7) &^ 7 }

// dataOffset is where in the file the writable block begins.
func dataOffset(p *plan.Plan, records uint32) uint32 {
	return (records + uint32(p.CodeSize()) + alignment - 1) &^ (alignment - 1)
}

// header writes the ELF header and three program headers: elf(5).
func (img image) header() {
	b, le := img.text, binary.LittleEndian
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2) // ET_EXEC
	le.PutUint16(b[18:], machine)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], base+codeAt) // entry
	le.PutUint64(b[32:], 64)          // program headers
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 3)
	const r, w, x = 4, 2, 1
	segment(b[64:], 1, r|x, 0, uint64(len(img.text)))
	segment(b[120:], 1, r|w, uint64(img.dataAt), uint64(len(img.data)))
	segment(b[176:], 0x6474e551, r|w, 0, 0) // PT_GNU_STACK: not executable
}

// segment writes one program header.
func segment(b []byte, kind, flags uint32, offset, size uint64) {
	le := binary.LittleEndian
	le.PutUint32(b, kind)
	le.PutUint32(b[4:], flags)
	if size == 0 {
		return
	}
	le.PutUint64(b[8:], offset)
	le.PutUint64(b[16:], base+offset)
	le.PutUint64(b[24:], base+offset)
	le.PutUint64(b[32:], size)
	le.PutUint64(b[40:], size)
	le.PutUint64(b[48:], alignment)
}
