//go:build ignore

/*
 * What runs in the container: /bin/true ends, /bin/pause (-DPAUSE) waits for a
 * signal. No library, so that a container costs what its runtime costs.
 */
#include <sys/syscall.h>

static long call(long n, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	long r;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#endif
}

void _start(void)
{
#ifdef PAUSE
	for (;;)
		call(SYS_ppoll, 0, 0, 0, 0);
#endif
	call(SYS_exit_group, 0, 0, 0, 0);
}
