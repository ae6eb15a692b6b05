#include "textflag.h"

// RLIMIT_NOFILE as the caller has it, the soft and the hard one. The entry writes it.
GLOBL homerunFileLimit(SB), NOPTR, $16

// func restore() bool
TEXT ·restore(SB), NOSPLIT, $0-1
	MOVB	$0, ret+0(FP)
	CMPQ	homerunFileLimit+8(SB), $0
	JEQ	done
	MOVL	$160, AX // setrlimit
	MOVL	$7, DI   // RLIMIT_NOFILE
	LEAQ	homerunFileLimit(SB), SI
	SYSCALL
	MOVB	$1, ret+0(FP)
done:
	RET

// func Files() (soft, hard uint64)
TEXT ·Files(SB), NOSPLIT, $0-16
	MOVQ	homerunFileLimit+0(SB), AX
	MOVQ	AX, soft+0(FP)
	MOVQ	homerunFileLimit+8(SB), AX
	MOVQ	AX, hard+8(FP)
	RET
