#include "textflag.h"

// RLIMIT_NOFILE as the caller has it, the soft and the hard one. The entry writes it.
GLOBL homerunFileLimit(SB), NOPTR, $16

// func restore() bool
TEXT ·restore(SB), NOSPLIT, $0-1
	MOVB	ZR, ret+0(FP)
	MOVD	homerunFileLimit+8(SB), R1
	CBZ	R1, done
	MOVD	$164, R8 // setrlimit
	MOVD	$7, R0   // RLIMIT_NOFILE
	MOVD	$homerunFileLimit(SB), R1
	SVC
	MOVD	$1, R1
	MOVB	R1, ret+0(FP)
done:
	RET

// func Files() (soft, hard uint64)
TEXT ·Files(SB), NOSPLIT, $0-16
	MOVD	homerunFileLimit+0(SB), R0
	MOVD	R0, soft+0(FP)
	MOVD	homerunFileLimit+8(SB), R0
	MOVD	R0, hard+8(FP)
	RET
