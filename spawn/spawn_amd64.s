#include "textflag.h"

// func spawn(clone *[cloneWords]uint64, calls *call, all, mask *uint64) (pid int)
//
//	R12 the next call    R13 what the caller gets
TEXT ·spawn(SB), NOSPLIT, $0-40
	MOVL $14, AX                       // rt_sigprocmask
	MOVL $2, DI                        // SIG_SETMASK
	MOVQ all+16(FP), SI
	MOVQ mask+24(FP), DX
	MOVL $8, R10
	SYSCALL
	MOVQ calls+8(FP), R12
	MOVL $435, AX                      // clone3
	MOVQ clone+0(FP), DI
	MOVL $64, SI                       // CLONE_ARGS_SIZE_VER0
	SYSCALL
	TESTQ AX, AX
	JEQ  call
	MOVQ AX, R13
	MOVL $14, AX
	MOVL $2, DI
	MOVQ mask+24(FP), SI
	XORL DX, DX
	MOVL $8, R10
	SYSCALL
	MOVQ R13, pid+32(FP)
	RET

call:
	MOVQ 0(R12), AX
	MOVQ 8(R12), DI
	MOVQ 16(R12), SI
	MOVQ 24(R12), DX
	MOVQ 32(R12), R10
	SYSCALL
	CMPQ AX, $0xfffffffffffff001
	JCC  failed

next:
	ADDQ $40, R12
	JMP  call

failed:
	CMPQ 0(R12), $302                  // prlimit64, as package syscall has it
	JEQ  next
	NEGQ AX
	ADDQ $0x100000, AX                 // errnoBit
	MOVQ AX, 0(R12)
	MOVL $60, AX                       // exit: a process of one thread
	MOVL $127, DI
	SYSCALL
	INT  $3
