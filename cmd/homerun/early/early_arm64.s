#include "textflag.h"

// handler gets the signal's number in R0, no Go stack, and the kernel's own
// return address. Signal n, from 1 to 64, has bit n-1.
// One that the kernel began before HandOver, and that comes to its bit after, takes it back
// and sends the signal again, for Go's.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	MOVD	R0, R5
	SUB	$1, R0
	MOVD	$1, R1
	LSL	R0, R1
	MOVD	$·pending(SB), R2
again:
	LDAXR	(R2), R3
	ORR	R1, R3
	STLXR	R3, (R2), R4
	CBNZ	R4, again
	DMB	$0xb // ISH
	MOVD	$·handedOver(SB), R4
	MOVWU	(R4), R4
	CBZ	R4, kept
back:
	LDAXR	(R2), R3
	BIC	R1, R3, R6
	STLXR	R6, (R2), R4
	CBNZ	R4, back
	AND	R1, R3
	CBZ	R3, kept // HandOver has it
	MOVD	$172, R8 // getpid
	SVC
	MOVD	R5, R1
	MOVD	$129, R8 // kill
	SVC
kept:
	RET

DATA ·handlerPC+0(SB)/8, $handler<>(SB)
GLOBL ·handlerPC(SB), NOPTR|RODATA, $8

DATA ·restorerPC+0(SB)/8, $0
GLOBL ·restorerPC(SB), NOPTR|RODATA, $8
