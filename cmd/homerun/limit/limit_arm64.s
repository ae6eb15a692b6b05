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
