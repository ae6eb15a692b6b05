#include "textflag.h"

DATA oneProcessor<>+0(SB)/8, $"GOMAXPRO"
DATA oneProcessor<>+8(SB)/5, $"CS=1\x00"
GLOBL oneProcessor<>(SB), RODATA|NOPTR, $13

// func entry()
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVQ	0(SP), CX // argc
	ADDQ	$2, CX    // itself, and the null
	MOVQ	SP, SI
	SUBQ	$16, SP
	MOVQ	SP, DI
	CLD
	REP; MOVSQ
	MOVQ	·memProfileRate(SB), AX
	MOVQ	$0, (AX)
	LEAQ	oneProcessor<>(SB), AX
	MOVQ	AX, 0(DI)
	MOVQ	AX, 8(DI)
	MOVL	$157, AX // prctl
	MOVL	$30, DI  // PR_GET_TIMERSLACK
	SYSCALL
	MOVQ	AX, ·timerSlack(SB)
	MOVL	$157, AX
	MOVL	$29, DI // PR_SET_TIMERSLACK
	MOVL	$1000000, SI
	SYSCALL
	JMP	_rt0_amd64_linux(SB)
