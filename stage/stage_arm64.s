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
	MOVD  $0xffff, R9                    // plan.ReapNumber
	CMPW  R9, R8
	BEQ   reap
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

exit:
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

	// From here on the stage is the first process of a PID namespace and does
	// nothing else. The program's process is in R0; the second part of the plan
	// is at R1, R2 bytes long, and done with. The writable block now has a set of
	// all signals at 0, and a wait status at 12.
reap:
	MOVW R0, R23
	MOVD R1, R0
	MOVD R2, R1
	MOVD $215, R8                        // munmap
	SVC  $0
	MOVD $-1, R9
	MOVD R9, 0(R21)

wait:
	MOVD R21, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $8, R3
	MOVD $137, R8                        // rt_sigtimedwait
	SVC  $0
	CMN  $4, R0                          // EINTR
	BEQ  wait
	MOVD R0, R9
	MOVD $255, R0
	CMP  $0, R9
	BLE  exit                            // else it would turn around for ever
	CMP  $17, R9                         // SIGCHLD
	BEQ  reaped
	MOVW R23, R0
	MOVD R9, R1
	MOVD $129, R8                        // kill
	SVC  $0

	// Whatever came: a flood of other signals leaves no zombies either.
reaped:
	MOVD $-1, R0
	ADD  $12, R21, R1
	MOVD $0x40000001, R2                 // WNOHANG, __WALL
	MOVD $0, R3
	MOVD $260, R8                        // wait4
	SVC  $0
	CMP  $0, R0
	BLE  wait
	CMPW R23, R0
	BNE  reaped
	MOVWU 12(R21), R9                    // its status is this process's: wait(2)
	LSR  $8, R9, R0
	ANDS $0x7f, R9, R9
	BEQ  exit
	ADD  $128, R9, R0
	B    exit

	// The end, as stage.go looks for it: "stageend".
	WORD $0x67617473
	WORD $0x646e6565

// A func value would lead to a wrapper, so the address is kept as data.
DATA ·stagePC(SB)/8, $·stage(SB)
GLOBL ·stagePC(SB), RODATA|NOPTR, $8
