package stage

import "unsafe"

// stagePC is the address of the assembly function.
var stagePC *byte

// stage is the assembly function. It is never called: its bytes are copied.
//
//lint:ignore U1000 the assembly has its body, and the address in stagePC
func stage()

// endMark stands after the code.
const endMark = "stageend"

// maxCode is one page.
const maxCode = 4096

// code returns the bytes of the assembly function. It looks no further than
// the mark, so it reads nothing that is not code.
func code() []byte {
	n := len(endMark)
	for n < maxCode && string(unsafe.Slice(stagePC, n)[n-len(endMark):]) != endMark {
		n++
	}
	return unsafe.Slice(stagePC, n-len(endMark))
}
