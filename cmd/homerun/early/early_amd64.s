#include "textflag.h"

// handler gets the signal's number in DI, and no Go stack. Signal n, from 1 to
// 64, has bit n-1.
// One that the kernel began before HandOver, and that comes to its bit after, takes it back
// and sends the signal again, for Go's.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	LEAL	-1(DI), CX
	MOVL	$1, AX
	SHLQ	CX, AX
	LOCK
	ORQ	AX, ·pending(SB)
	CMPL	·handedOver(SB), $0
	JEQ	kept
	LOCK
	BTRQ	CX, ·pending(SB)
	JCC	kept // HandOver has it
	MOVL	DI, SI
	MOVL	$39, AX // getpid
	SYSCALL
	MOVL	AX, DI
	MOVL	$62, AX // kill
	SYSCALL
kept:
	RET

// restorer is where handler returns to.
TEXT restorer<>(SB), NOSPLIT|NOFRAME, $0
	MOVL	$15, AX // rt_sigreturn
	SYSCALL
	INT	$3

DATA ·handlerPC+0(SB)/8, $handler<>(SB)
GLOBL ·handlerPC(SB), NOPTR|RODATA, $8

DATA ·restorerPC+0(SB)/8, $restorer<>(SB)
GLOBL ·restorerPC(SB), NOPTR|RODATA, $8
