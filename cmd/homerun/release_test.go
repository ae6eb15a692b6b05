package main

import (
	"slices"
	"testing"
)

// What can have been changed in memory would be lost.
func TestProgramPages(t *testing.T) {
	got := programPages([]byte("00400000-006ef000 r-xp 00000000 fe:00 1234     /usr/bin/home run\n" +
		"006ef000-00a25000 r--p 002ef000 fe:00 1234     /usr/bin/home run\n" +
		"00a25000-00a47000 rw-p 00625000 fe:00 1234     /usr/bin/home run\n" +
		"00a47000-00a7f000 rw-p 00000000 00:00 0 \n" +
		"7fffce5c0000-7fffce5c2000 r-xp 00000000 00:00 0                          [vdso]\n"))
	if want := []memoryRange{{0x400000, 0x2ef000}, {0x6ef000, 0x336000}}; !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}
