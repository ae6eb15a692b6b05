#include "textflag.h"

// The stage: it runs the records of an encoded plan (package plan, encode.go,
// has their format) and knows nothing else. It is copied into an ELF image and
// never runs inside the Go process.
//
//	S2 the present record    S3 the first record    S4 the writable block

#define ARGUMENT(bit, offset, register) \
	MOVW offset(S2), register; \
	AND  $bit, S5, T0; \
	BEQZ T0, 2(PC); \
	MOVW (register), register

#define TOLERATE(offset, found) \
	MOVHU offset(S2), T0; \
	BEQ   T0, T1, found

// func stage()
TEXT ·stage(SB), NOSPLIT|NOFRAME, $0-0
	MOV $0x400100, T0
	MOV 0(T0), S2
	MOV 8(T0), S4
	MOV S2, S3

call:
	MOVBU 2(S2), S5
	ARGUMENT(1, 32, A0)
	ARGUMENT(2, 36, A1)
	ARGUMENT(4, 40, A2)
	ARGUMENT(8, 44, A3)
	ARGUMENT(16, 48, A4)
	ARGUMENT(32, 52, A5)
	MOVHU 0(S2), A7
	MOV   $0xffff, T0                    // plan.ReapNumber
	BEQ   T0, A7, reap
	ECALL
	MOV   $-4, T0                        // EINTR
	BEQ   A0, T0, call
	MOV   $-11, T0                       // EAGAIN
	BNE   A0, T0, result
	MOVBU 3(S2), T0
	AND   $2, T0, T0
	BNEZ  T0, call

result:
	MOV   $-4095, T0
	BGEU  A0, T0, error
	MOVWU 12(S2), T0
	BEQZ  T0, wanted
	MOVW  A0, (T0)

wanted:
	MOVBU 3(S2), T0
	AND   $1, T0, T0
	BEQZ  T0, skip
	MOVW  4(S2), T0
	MOVW  A0, T1                         // its low half
	BNE   T0, T1, fail

skip:
	MOVHU 8(S2), T0
	BEQZ  A0, next
	MOVHU 10(S2), T0

next:
	ADD $1, T0, T0
	MOV $56, T1
	MUL T1, T0, T0
	ADD T0, S2, S2
	JMP call

error:
	NEG A0, T1
	TOLERATE(16, first)
	TOLERATE(20, second)
	TOLERATE(24, third)
	TOLERATE(28, fourth)

fail:
	SUB  S3, S2, S2
	MOVW S2, 0(S4)
	MOVW A0, 4(S4)
	MOVW 8(S4), A0
	MOV  S4, A1
	MOV  $8, A2
	MOV  $64, A7                         // write
	ECALL
	MOV  $255, A0

exit:
	MOV $94, A7                          // exit_group
	ECALL
	EBREAK

first:
	MOVHU 18(S2), T0
	JMP   next

second:
	MOVHU 22(S2), T0
	JMP   next

third:
	MOVHU 26(S2), T0
	JMP   next

fourth:
	MOVHU 30(S2), T0
	JMP   next

	// From here on the stage is the first process of a PID namespace and does
	// nothing else. The program's process is in A0; the second part of the plan
	// is at A1, A2 bytes long, and done with. The writable block now has a set of
	// all signals at 0, and a wait status at 12.
reap:
	MOV A0, S6
	MOV A1, A0
	MOV A2, A1
	MOV $215, A7                         // munmap
	ECALL
	MOV $-1, T0
	MOV T0, 0(S4)

wait:
	MOV  S4, A0
	MOV  $0, A1
	MOV  $0, A2
	MOV  $8, A3
	MOV  $137, A7                        // rt_sigtimedwait
	ECALL
	MOV  $-4, T0                         // EINTR
	BEQ  A0, T0, wait
	MOV  A0, T1
	MOV  $255, A0
	BLEZ T1, exit                        // else it would turn around for ever
	MOV  $17, T0                         // SIGCHLD
	BEQ  T0, T1, reaped
	MOV  S6, A0
	MOV  T1, A1
	MOV  $129, A7                        // kill
	ECALL

	// Whatever came: a flood of other signals leaves no zombies either.
reaped:
	MOV   $-1, A0
	ADD   $12, S4, A1
	MOV   $0x40000001, A2                // WNOHANG, __WALL
	MOV   $0, A3
	MOV   $260, A7                       // wait4
	ECALL
	BLEZ  A0, wait
	BNE   A0, S6, reaped
	MOVWU 12(S4), T0                     // its status is this process's: wait(2)
	SRL   $8, T0, A0
	AND   $0x7f, T0, T0
	BEQZ  T0, exit
	ADD   $128, T0, A0
	JMP   exit

	// The end, as stage.go looks for it: "stageend".
	WORD $0x67617473
	WORD $0x646e6565

// A func value would lead to a wrapper, so the address is kept as data.
DATA ·stagePC(SB)/8, $·stage(SB)
GLOBL ·stagePC(SB), RODATA|NOPTR, $8
