#include "textflag.h"

// handler gets the signal's number in A0, no Go stack, and the kernel's own
// return address. Signal n, from 1 to 64, has bit n-1.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	ADD	$-1, A0, A0
	MOV	$1, A1
	SLL	A0, A1, A1
	MOV	$·pending(SB), A2
	AMOORD	A1, (A2), ZERO
	RET

DATA ·handlerPC+0(SB)/8, $handler<>(SB)
GLOBL ·handlerPC(SB), NOPTR|RODATA, $8

DATA ·restorerPC+0(SB)/8, $0
GLOBL ·restorerPC(SB), NOPTR|RODATA, $8
