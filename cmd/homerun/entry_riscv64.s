#include "textflag.h"

// func entry()
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	ADD	$-64, X2, A1
	MOV	$163, A7 // getrlimit
	MOV	$9, A0   // RLIMIT_AS
	ECALL
	MOV	(A1), T0
	MOV	$0x2b000000, T1 // 688 MiB
	BLTU	T0, T1, low
	MOV	$163, A7
	MOV	$2, A0 // RLIMIT_DATA
	ECALL
	MOV	(A1), T0
	MOV	$0x2000000, T1 // 32 MiB
	BLTU	T0, T1, low
	MOV	$163, A7
	MOV	$6, A0 // RLIMIT_NPROC
	ECALL
	MOV	(A1), T0
	MOV	$4, T1
	BGEU	T0, T1, enough
	MOV	$175, A7 // geteuid
	ECALL
	BNEZ	A0, low // root has no such limit
enough:
	MOV	$163, A7
	MOV	$7, A0 // RLIMIT_NOFILE
	MOV	$homerunFileLimit(SB), A1
	ECALL
	MOV	8(A1), T1
	MOV	$3, T0
	ADD	$-64, X2, A1
	MOV	T0, 0(A1)
	MOV	T1, 8(A1)
	MOV	$164, A7 // setrlimit
	MOV	$7, A0
	ECALL
	MOV	0(X2), T2 // argc
	ADD	$2, T2, T2 // itself, and the null
	MOV	X2, A0
	ADD	$-16, X2, X2
	MOV	X2, A1
word:
	MOV	(A0), T0
	MOV	T0, (A1)
	ADD	$8, A0, A0
	ADD	$8, A1, A1
	ADD	$-1, T2, T2
	BNEZ	T2, word
	MOV	·memProfileRate(SB), T0
	MOV	ZERO, (T0)
	MOV	$·oneProcessor(SB), T0
	MOV	T0, 0(A1)
	MOV	T0, 8(A1)
	MOV	$167, A7 // prctl
	MOV	$30, A0  // PR_GET_TIMERSLACK
	ECALL
	MOV	A0, ·timerSlack(SB)
	BEQZ	A0, realtime
	MOV	$50000000, A1
	BGEU	A0, A1, start // it is no less, or an errno
	MOV	$29, A0 // PR_SET_TIMERSLACK
	ECALL
start:
	MOV	$0x060f03, T3 // SIGQUIT, SIGTERM, SIGABRT
	MOV	ZERO, T4
	MOV	$1, T0
look:
	AND	$0xff, T3, A0
	BEQZ	A0, looked
	ADD	$-1, A0, T5
	MOV	ZERO, A1
	ADD	$-64, X2, A2
	MOV	ZERO, (A2)
	MOV	$8, A3
	MOV	$134, A7 // rt_sigaction
	ECALL
	MOV	(A2), T1
	BNE	T0, T1, next // not SIG_IGN
	SLL	T5, T1, T1
	OR	T1, T4, T4
next:
	SRL	$8, T3, T3
	JMP	look
looked:
	MOV	T4, ·callerIgnores(SB)
	MOV	$123, A7 // sched_getaffinity
	MOV	ZERO, A0
	MOV	$128, A1
	MOV	$·callersCPUs(SB), A2
	ECALL
	BGE	ZERO, A0, anywhere
	MOV	$168, A7 // getcpu
	ADD	$-64, X2, A0
	MOV	ZERO, A1
	MOV	ZERO, A2
	ECALL
	BNEZ	A0, anywhere
	MOVWU	-64(X2), T0
	SRL	$6, T0, T1 // the word, and the bit in it
	SLL	$3, T1, T1
	MOV	$1, T2
	SLL	T0, T2, T2
	MOV	$·oneCPU(SB), A2
	ADD	A2, T1, T1
	MOV	T2, (T1)
	MOV	$122, A7 // sched_setaffinity
	MOV	$128, A1
	ECALL
	BNEZ	A0, anywhere
	MOV	$1, A0
	MOVB	A0, ·pinned(SB)
anywhere:
	JMP	_rt0_riscv64_linux(SB)
realtime: // or a child of such a process
	MOV	$120, A7 // sched_getscheduler; A0 is 0: this process
	ECALL
	MOV	$6, T0 // SCHED_DEADLINE, without SCHED_RESET_ON_FORK
	BNE	A0, T0, start
	MOV	$·deadline(SB), A1
	JMP	say
low:
	MOV	$·tooLow(SB), A1
say:
	MOV	$66, A2
	MOV	$64, A7 // write
	MOV	$2, A0
	ECALL
	MOV	$94, A7 // exit_group
	MOV	$1, A0
	ECALL
