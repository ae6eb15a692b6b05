#include "textflag.h"

DATA oneProcessor<>+0(SB)/8, $"GOMAXPRO"
DATA oneProcessor<>+8(SB)/5, $"CS=1\x00"
GLOBL oneProcessor<>(SB), RODATA|NOPTR, $13

DATA tooLow<>+0(SB)/8, $"homerun:"
DATA tooLow<>+8(SB)/8, $" a limit"
DATA tooLow<>+16(SB)/8, $" is too "
DATA tooLow<>+24(SB)/8, $"low to s"
DATA tooLow<>+32(SB)/8, $"tart at "
DATA tooLow<>+40(SB)/8, $"all (uli"
DATA tooLow<>+48(SB)/8, $"mit -v, "
DATA tooLow<>+56(SB)/8, $"-d or -u"
DATA tooLow<>+64(SB)/2, $")\n"
GLOBL tooLow<>(SB), RODATA|NOPTR, $66

DATA deadline<>+0(SB)/8, $"homerun:"
DATA deadline<>+8(SB)/8, $" SCHED_D"
DATA deadline<>+16(SB)/8, $"EADLINE "
DATA deadline<>+24(SB)/8, $"starts n"
DATA deadline<>+32(SB)/8, $"o thread"
DATA deadline<>+40(SB)/8, $"s (with "
DATA deadline<>+48(SB)/8, $"chrt -R "
DATA deadline<>+56(SB)/8, $"it does)"
DATA deadline<>+64(SB)/1, $"\n"
GLOBL deadline<>(SB), RODATA|NOPTR, $65

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
	LEAQ	oneProcessor<>(SB), AX
	MOVQ	AX, 0(DI)
	MOVQ	AX, 8(DI)
	MOVL	$157, AX // prctl
	MOVL	$30, DI  // PR_GET_TIMERSLACK
	SYSCALL
	MOVQ	AX, ·timerSlack(SB)
	TESTQ	AX, AX
	JEQ	realtime
	CMPQ	AX, $10000000
	JCC	start // it is no less, or an errno
	MOVL	$157, AX
	MOVL	$29, DI // PR_SET_TIMERSLACK
	MOVL	$10000000, SI
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
	LEAQ	deadline<>(SB), SI
	MOVL	$65, DX
	JMP	say
low:
	LEAQ	tooLow<>(SB), SI
	MOVL	$66, DX
say:
	MOVL	$1, AX // write
	MOVL	$2, DI
	SYSCALL
	MOVL	$231, AX // exit_group
	MOVL	$1, DI
	SYSCALL
