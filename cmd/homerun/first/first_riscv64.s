#include "textflag.h"

// RLIMIT_NOFILE as the caller has it, the soft and the hard one. The entry writes it.
GLOBL homerunFileLimit(SB), NOPTR, $16

// func restore() bool
TEXT ·restore(SB), NOSPLIT, $0-1
	MOVB	ZERO, ret+0(FP)
	MOV	homerunFileLimit+8(SB), A1
	BEQZ	A1, done
	MOV	$164, A7 // setrlimit
	MOV	$7, A0   // RLIMIT_NOFILE
	MOV	$homerunFileLimit(SB), A1
	ECALL
	MOV	$1, A1
	MOVB	A1, ret+0(FP)
done:
	RET

// func Files() (soft, hard uint64)
TEXT ·Files(SB), NOSPLIT, $0-16
	MOV	homerunFileLimit+0(SB), A0
	MOV	A0, soft+0(FP)
	MOV	homerunFileLimit+8(SB), A0
	MOV	A0, hard+8(FP)
	RET
