#include "textflag.h"

// func entry()
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVL	$97, AX // getrlimit
	MOVL	$9, DI  // RLIMIT_AS
	LEAQ	-64(SP), SI
	SYSCALL
	CMPQ	-64(SP), $0x2b000000 // 688 MiB
	JCS	low
	MOVL	$97, AX
	MOVL	$2, DI // RLIMIT_DATA
	LEAQ	-64(SP), SI
	SYSCALL
	CMPQ	-64(SP), $0x2000000 // 32 MiB
	JCS	low
	MOVL	$97, AX
	MOVL	$6, DI // RLIMIT_NPROC
	LEAQ	-64(SP), SI
	SYSCALL
	CMPQ	-64(SP), $4
	JCC	enough
	MOVL	$107, AX // geteuid
	SYSCALL
	TESTL	AX, AX // root has no such limit
	JNE	low
enough:
	MOVL	$97, AX
	MOVL	$7, DI // RLIMIT_NOFILE
	LEAQ	homerunFileLimit(SB), SI
	SYSCALL
	MOVQ	homerunFileLimit+8(SB), AX
	MOVQ	$3, -64(SP)
	MOVQ	AX, -56(SP)
	MOVL	$160, AX // setrlimit
	LEAQ	-64(SP), SI
	SYSCALL
	MOVQ	0(SP), CX // argc
	ADDQ	$2, CX    // itself, and the null
	MOVQ	SP, SI
	SUBQ	$16, SP
	MOVQ	SP, DI
	CLD
	REP; MOVSQ
	MOVQ	·memProfileRate(SB), AX
	MOVQ	$0, (AX)
	LEAQ	·oneProcessor(SB), AX
	MOVQ	AX, 0(DI)
	MOVQ	AX, 8(DI)
	MOVL	$157, AX // prctl
	MOVL	$30, DI  // PR_GET_TIMERSLACK
	SYSCALL
	MOVQ	AX, ·timerSlack(SB)
	TESTQ	AX, AX
	JEQ	realtime
	CMPQ	AX, $50000000
	JCC	start // it is no less, or an errno
	MOVL	$157, AX
	MOVL	$29, DI // PR_SET_TIMERSLACK
	MOVL	$50000000, SI
	SYSCALL
start:
	MOVL	$0x060f03, R12 // SIGQUIT, SIGTERM, SIGABRT
look:
	MOVL	R12, DI
	ANDL	$0xff, DI
	JEQ	looked
	MOVL	$13, AX // rt_sigaction
	XORL	SI, SI
	LEAQ	-64(SP), DX
	MOVQ	SI, (DX)
	MOVL	$8, R10
	SYSCALL
	CMPQ	-64(SP), $1 // SIG_IGN
	JNE	next
	LEAL	-1(DI), CX
	BTSQ	CX, ·callerIgnores(SB)
next:
	SHRL	$8, R12
	JMP	look
looked:
	MOVL	$204, AX // sched_getaffinity
	XORL	DI, DI
	MOVL	$128, SI
	LEAQ	·callersCPUs(SB), DX
	SYSCALL
	TESTQ	AX, AX
	JLE	anywhere
	MOVL	$309, AX // getcpu
	LEAQ	-64(SP), DI
	XORL	SI, SI
	XORL	DX, DX
	SYSCALL
	TESTQ	AX, AX
	JNE	anywhere
	MOVL	-64(SP), AX
	LEAQ	·oneCPU(SB), DX
	BTSQ	AX, (DX)
	MOVL	$203, AX // sched_setaffinity
	XORL	DI, DI
	MOVL	$128, SI
	SYSCALL
	TESTQ	AX, AX
	JNE	anywhere
	MOVB	$1, ·pinned(SB)
anywhere:
	JMP	_rt0_amd64_linux(SB)
realtime: // or a child of such a process
	MOVL	$145, AX // sched_getscheduler
	XORL	DI, DI
	SYSCALL
	CMPQ	AX, $6 // SCHED_DEADLINE, without SCHED_RESET_ON_FORK
	JNE	start
	LEAQ	·deadline(SB), SI
	JMP	say
low:
	LEAQ	·tooLow(SB), SI
say:
	MOVL	$66, DX
	MOVL	$1, AX // write
	MOVL	$2, DI
	SYSCALL
	MOVL	$231, AX // exit_group
	MOVL	$1, DI
	SYSCALL
