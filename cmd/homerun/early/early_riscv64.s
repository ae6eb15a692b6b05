#include "textflag.h"

// handler gets the signal's number in A0, no Go stack, and the kernel's own
// return address. Signal n, from 1 to 64, has bit n-1.
// One that the kernel began before HandOver, and that comes to its bit after, takes it back
// and sends the signal again, for Go's.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	MOV	A0, A5
	ADD	$-1, A0, A0
	MOV	$1, A1
	SLL	A0, A1, A1
	MOV	$·pending(SB), A2
	AMOORD	A1, (A2), ZERO
	FENCE
	MOV	$·handedOver(SB), A3
	MOVWU	(A3), A3
	BEQZ	A3, kept
	XOR	$-1, A1, A3
	AMOANDD	A3, (A2), A4
	AND	A1, A4, A4
	BEQZ	A4, kept // HandOver has it
	MOV	$172, A7 // getpid
	ECALL
	MOV	A5, A1
	MOV	$129, A7 // kill
	ECALL
kept:
	RET

DATA ·handlerPC+0(SB)/8, $handler<>(SB)
GLOBL ·handlerPC(SB), NOPTR|RODATA, $8

DATA ·restorerPC+0(SB)/8, $0
GLOBL ·restorerPC(SB), NOPTR|RODATA, $8
