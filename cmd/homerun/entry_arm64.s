#include "textflag.h"

DATA oneProcessor<>+0(SB)/8, $"GOMAXPRO"
DATA oneProcessor<>+8(SB)/5, $"CS=1\x00"
GLOBL oneProcessor<>(SB), RODATA|NOPTR, $13

// func entry()
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVD	0(RSP), R2 // argc
	ADD	$2, R2     // itself, and the null
	MOVD	RSP, R0
	SUB	$16, RSP
	MOVD	RSP, R1
word:
	MOVD.P	8(R0), R3
	MOVD.P	R3, 8(R1)
	SUBS	$1, R2
	BNE	word
	MOVD	·memProfileRate(SB), R3
	MOVD	ZR, (R3)
	MOVD	$oneProcessor<>(SB), R3
	STP	(R3, R3), (R1)
	MOVD	$167, R8 // prctl
	MOVD	$30, R0  // PR_GET_TIMERSLACK
	SVC
	MOVD	R0, ·timerSlack(SB)
	MOVD	$29, R0 // PR_SET_TIMERSLACK
	MOVD	$1000000, R1
	SVC
	JMP	_rt0_arm64_linux(SB)
