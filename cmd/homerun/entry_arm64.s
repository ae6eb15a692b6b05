#include "textflag.h"

// func entry()
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	SUB	$64, RSP, R1
	MOVD	$163, R8 // getrlimit
	MOVD	$9, R0   // RLIMIT_AS
	SVC
	MOVD	(R1), R3
	MOVD	$0x2b000000, R4 // 688 MiB
	CMP	R4, R3
	BLO	low
	MOVD	$163, R8
	MOVD	$2, R0 // RLIMIT_DATA
	SVC
	MOVD	(R1), R3
	MOVD	$0x2000000, R4 // 32 MiB
	CMP	R4, R3
	BLO	low
	MOVD	$163, R8
	MOVD	$6, R0 // RLIMIT_NPROC
	SVC
	MOVD	(R1), R3
	CMP	$4, R3
	BHS	enough
	MOVD	$175, R8 // geteuid
	SVC
	CBNZ	R0, low // root has no such limit
enough:
	MOVD	$163, R8
	MOVD	$7, R0 // RLIMIT_NOFILE
	MOVD	$homerunFileLimit(SB), R1
	SVC
	MOVD	8(R1), R4
	MOVD	$3, R3
	SUB	$64, RSP, R1
	STP	(R3, R4), (R1)
	MOVD	$164, R8 // setrlimit
	MOVD	$7, R0
	SVC
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
	MOVD	$·oneProcessor(SB), R3
	STP	(R3, R3), (R1)
	MOVD	$167, R8 // prctl
	MOVD	$30, R0  // PR_GET_TIMERSLACK
	SVC
	MOVD	R0, ·timerSlack(SB)
	CBZ	R0, realtime
	MOVD	$50000000, R1
	CMP	R1, R0
	BHS	start // it is no less, or an errno
	MOVD	$29, R0 // PR_SET_TIMERSLACK
	SVC
start:
	MOVD	$0x060f03, R19 // SIGQUIT, SIGTERM, SIGABRT
	MOVD	ZR, R20
look:
	AND	$0xff, R19, R0
	CBZ	R0, looked
	SUB	$1, R0, R21
	MOVD	ZR, R1
	SUB	$64, RSP, R2
	MOVD	ZR, (R2)
	MOVD	$8, R3
	MOVD	$134, R8 // rt_sigaction
	SVC
	MOVD	(R2), R3
	CMP	$1, R3 // SIG_IGN
	BNE	next
	LSL	R21, R3, R3
	ORR	R3, R20
next:
	LSR	$8, R19
	JMP	look
looked:
	MOVD	R20, ·callerIgnores(SB)
	MOVD	$123, R8 // sched_getaffinity
	MOVD	ZR, R0
	MOVD	$128, R1
	MOVD	$·callersCPUs(SB), R2
	SVC
	CMP	$0, R0
	BLE	anywhere
	MOVD	$168, R8 // getcpu
	SUB	$64, RSP, R0
	MOVD	ZR, R1
	MOVD	ZR, R2
	SVC
	CBNZ	R0, anywhere
	SUB	$64, RSP, R3
	MOVWU	(R3), R3
	LSR	$6, R3, R4 // the word, and the bit in it
	MOVD	$1, R5
	LSL	R3, R5, R5
	MOVD	$·oneCPU(SB), R2
	MOVD	R5, (R2)(R4<<3)
	MOVD	$122, R8 // sched_setaffinity
	MOVD	$128, R1
	SVC
	CBNZ	R0, anywhere
	MOVD	$1, R0
	MOVB	R0, ·pinned(SB)
anywhere:
	JMP	_rt0_arm64_linux(SB)
realtime: // or a child of such a process
	MOVD	$120, R8 // sched_getscheduler; R0 is 0: this process
	SVC
	CMP	$6, R0 // SCHED_DEADLINE, without SCHED_RESET_ON_FORK
	BNE	start
	MOVD	$·deadline(SB), R1
	JMP	say
low:
	MOVD	$·tooLow(SB), R1
say:
	MOVD	$66, R2
	MOVD	$64, R8 // write
	MOVD	$2, R0
	SVC
	MOVD	$94, R8 // exit_group
	MOVD	$1, R0
	SVC
