package bundle

import "unsafe"

// textOf is the same bytes as a string. Copying a config.json with 4 MB of environment
// takes a fourth of the processor time of start.
func textOf(raw []byte) string { return unsafe.String(unsafe.SliceData(raw), len(raw)) }
