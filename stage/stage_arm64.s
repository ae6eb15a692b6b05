#include "textflag.h"

// The stage: it runs the records of an encoded plan (package plan, encode.go,
// has their format) and knows nothing else. It is copied into an ELF image and
// never runs inside the Go process.
//
//	R19 the present record    R20 the first record    R21 the writable block

#define ARGUMENT(bit, offset, register) \
	MOVW offset(R19), register; \
	TSTW $bit, R22; \
	BEQ  2(PC); \
	MOVW (register), register

#define TOLERATE(offset, found) \
	MOVHU offset(R19), R9; \
	CMPW  R9, R10; \
	BEQ   found

// func stage()
TEXT ·stage(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $0x400100, R0
	MOVD 0(R0), R19
	MOVD 8(R0), R21
	MOVD R19, R20

call:
	MOVBU 2(R19), R22
	ARGUMENT(1, 32, R0)
	ARGUMENT(2, 36, R1)
	ARGUMENT(4, 40, R2)
	ARGUMENT(8, 44, R3)
	ARGUMENT(16, 48, R4)
	ARGUMENT(32, 52, R5)
	MOVHU 0(R19), R8
	SVC   $0
	CMN   $4, R0                         // EINTR
	BEQ   call
	CMN   $11, R0                        // EAGAIN
	BNE   result
	MOVBU 3(R19), R9
	TBNZ  $1, R9, call

result:
	CMN   $4095, R0
	BCS   error
	MOVWU 12(R19), R9
	CBZ   R9, wanted
	MOVW  R0, (R9)

wanted:
	MOVBU 3(R19), R9
	TBZ   $0, R9, skip
	MOVW  4(R19), R9
	CMPW  R9, R0
	BNE   fail

skip:
	MOVHU 8(R19), R9
	CBZ   R0, next
	MOVHU 10(R19), R9

next:
	ADD  $1, R9, R9
	MOVD $56, R10
	MUL  R10, R9, R9
	ADD  R9, R19, R19
	B    call

error:
	NEG R0, R10
	TOLERATE(16, first)
	TOLERATE(20, second)
	TOLERATE(24, third)
	TOLERATE(28, fourth)

fail:
	SUB  R20, R19, R19
	MOVW R19, 0(R21)
	MOVW R0, 4(R21)
	MOVW 8(R21), R0
	MOVD R21, R1
	MOVD $8, R2
	MOVD $64, R8                         // write
	SVC  $0
	MOVD $255, R0
	MOVD $94, R8                         // exit_group
	SVC  $0
	BRK  $0

first:
	MOVHU 18(R19), R9
	B     next

second:
	MOVHU 22(R19), R9
	B     next

third:
	MOVHU 26(R19), R9
	B     next

fourth:
	MOVHU 30(R19), R9
	B     next

	// The end, as stage.go looks for it: "stageend".
	WORD $0x67617473
	WORD $0x646e6565

// A func value would lead to a wrapper, so the address is kept as data.
DATA ·stagePC(SB)/8, $·stage(SB)
GLOBL ·stagePC(SB), RODATA|NOPTR, $8
