#include "textflag.h"

// The stage: it runs the records of an encoded plan (package plan, encode.go,
// has their format) and knows nothing else. It is copied into an ELF image and
// never runs inside the Go process.
//
//	R12 the present record    R13 the first record    R14 the writable block

#define ARGUMENT(bit, offset, register) \
	MOVLQSX offset(R12), register; \
	TESTL   $bit, R15; \
	JEQ     2(PC); \
	MOVLQSX (register), register

#define TOLERATE(offset, found) \
	MOVWLZX offset(R12), CX; \
	CMPL    CX, DX; \
	JEQ     found

// func stage()
TEXT ·stage(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ $0x400100, AX
	MOVQ 0(AX), R12
	MOVQ 8(AX), R14
	MOVQ R12, R13

call:
	MOVBLZX 2(R12), R15
	ARGUMENT(1, 32, DI)
	ARGUMENT(2, 36, SI)
	ARGUMENT(4, 40, DX)
	ARGUMENT(8, 44, R10)
	ARGUMENT(16, 48, R8)
	ARGUMENT(32, 52, R9)
	MOVWLZX 0(R12), AX
	CMPL    AX, $0xffff                  // plan.ReapNumber
	JEQ     reap
	SYSCALL
	CMPQ    AX, $-4                      // EINTR
	JEQ     call
	CMPQ    AX, $-11                     // EAGAIN
	JNE     result
	TESTB   $2, 3(R12)
	JNE     call

result:
	CMPQ    AX, $0xfffffffffffff001
	JCC     error
	MOVL    12(R12), CX
	TESTL   CX, CX
	JEQ     wanted
	MOVL    AX, (CX)

wanted:
	TESTB $1, 3(R12)
	JEQ   skip
	CMPL  AX, 4(R12)
	JNE   fail

skip:
	MOVWLZX 8(R12), CX
	TESTQ   AX, AX
	JEQ     next
	MOVWLZX 10(R12), CX

next:
	INCQ   CX
	IMUL3Q $56, CX, CX
	ADDQ   CX, R12
	JMP    call

error:
	MOVQ AX, DX
	NEGQ DX
	TOLERATE(16, first)
	TOLERATE(20, second)
	TOLERATE(24, third)
	TOLERATE(28, fourth)

fail:
	SUBQ    R13, R12
	MOVL    R12, 0(R14)
	MOVL    AX, 4(R14)
	MOVLQSX 8(R14), DI
	MOVQ    R14, SI
	MOVL    $8, DX
	MOVL    $1, AX                       // write
	SYSCALL
	MOVL    $255, DI

exit:
	MOVL    $231, AX                     // exit_group
	SYSCALL
	INT     $3

first:
	MOVWLZX 18(R12), CX
	JMP     next

second:
	MOVWLZX 22(R12), CX
	JMP     next

third:
	MOVWLZX 26(R12), CX
	JMP     next

fourth:
	MOVWLZX 30(R12), CX
	JMP     next

	// From here on the stage is the first process of a PID namespace and does
	// nothing else. The program's process is in DI; the second part of the plan
	// is at SI, DX bytes long, and done with. The writable block now has a set
	// of all signals at 0, and a wait status at 12.
reap:
	MOVL DI, BX
	MOVQ SI, DI
	MOVQ DX, SI
	MOVL $11, AX                         // munmap
	SYSCALL
	MOVQ $-1, 0(R14)

wait:
	MOVQ R14, DI
	XORL SI, SI
	XORL DX, DX
	MOVL $8, R10
	MOVL $128, AX                        // rt_sigtimedwait
	SYSCALL
	CMPQ AX, $-4                         // EINTR
	JEQ  wait
	MOVL $255, DI
	TESTQ AX, AX
	JLE  exit                            // else it would turn around for ever
	CMPL AX, $17                         // SIGCHLD
	JEQ  reaped
	MOVL BX, DI
	MOVL AX, SI
	MOVL $62, AX                         // kill
	SYSCALL

	// Whatever came: a flood of other signals leaves no zombies either.
reaped:
	MOVQ $-1, DI
	LEAQ 12(R14), SI
	MOVL $0x40000001, DX                 // WNOHANG, __WALL
	XORL R10, R10
	MOVL $61, AX                         // wait4
	SYSCALL
	TESTQ AX, AX
	JLE  wait
	CMPL AX, BX
	JNE  reaped
	MOVL 12(R14), AX                     // its status is this process's: wait(2)
	MOVL AX, DI
	SHRL $8, DI
	ANDL $0x7f, AX
	JEQ  exit
	LEAL 128(AX), DI
	JMP  exit

	// The end, as stage.go looks for it: "stageend".
	BYTE $0x73; BYTE $0x74; BYTE $0x61; BYTE $0x67
	BYTE $0x65; BYTE $0x65; BYTE $0x6e; BYTE $0x64

// A func value would lead to a wrapper, so the address is kept as data.
DATA ·stagePC(SB)/8, $·stage(SB)
GLOBL ·stagePC(SB), RODATA|NOPTR, $8
