#include "textflag.h"

// What entry says is as long in either case.

DATA ·tooLow+0(SB)/8, $"homerun:"
DATA ·tooLow+8(SB)/8, $" a limit"
DATA ·tooLow+16(SB)/8, $" is too "
DATA ·tooLow+24(SB)/8, $"low to s"
DATA ·tooLow+32(SB)/8, $"tart at "
DATA ·tooLow+40(SB)/8, $"all (uli"
DATA ·tooLow+48(SB)/8, $"mit -v, "
DATA ·tooLow+56(SB)/8, $"-d or -u"
DATA ·tooLow+64(SB)/2, $")\n"
GLOBL ·tooLow(SB), RODATA|NOPTR, $66

DATA ·deadline+0(SB)/8, $"homerun:"
DATA ·deadline+8(SB)/8, $" with SC"
DATA ·deadline+16(SB)/8, $"HED_DEAD"
DATA ·deadline+24(SB)/8, $"LINE no "
DATA ·deadline+32(SB)/8, $"thread c"
DATA ·deadline+40(SB)/8, $"an start"
DATA ·deadline+48(SB)/8, $": use ch"
DATA ·deadline+56(SB)/8, $"rt -R to"
DATA ·deadline+64(SB)/2, $"o\n"
GLOBL ·deadline(SB), RODATA|NOPTR, $66

// oneProcessor ends with a NUL.
DATA ·oneProcessor+0(SB)/8, $"GOMAXPRO"
DATA ·oneProcessor+8(SB)/5, $"CS=1\x00"
GLOBL ·oneProcessor(SB), RODATA|NOPTR, $13
