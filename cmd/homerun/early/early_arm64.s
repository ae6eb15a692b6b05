#include "textflag.h"

// handler gets the signal's number in R0, no Go stack, and the kernel's own
// return address. Signal n, from 1 to 64, has bit n-1.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	SUB	$1, R0
	MOVD	$1, R1
	LSL	R0, R1
	MOVD	$·pending(SB), R2
again:
	LDAXR	(R2), R3
	ORR	R1, R3
	STLXR	R3, (R2), R4
	CBNZ	R4, again
	RET

DATA ·handlerPC+0(SB)/8, $handler<>(SB)
GLOBL ·handlerPC(SB), NOPTR|RODATA, $8

DATA ·restorerPC+0(SB)/8, $0
GLOBL ·restorerPC(SB), NOPTR|RODATA, $8
