//go:build ignore

/*
 * spawn CMD ARG...: runs CMD and writes "NANOSECONDS MAXRSS-KB STATUS FAULTS" to fd 3.
 *
 * The benchmark does not start commands itself, since on execve the kernel
 * counts the peak memory of the address space that is left behind, which after
 * a vfork is the parent's: a Go program of 8 MB would give 8 MB to everyone.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec a, b;
	struct rusage usage;
	int status = 0;

	if (argc < 2)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &a);
	pid_t pid = vfork();
	if (pid == 0) {
		close(3);
		execv(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) < 0)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &b);
	dprintf(3, "%lld %ld %d %ld\n", (b.tv_sec - a.tv_sec) * 1000000000LL + (b.tv_nsec - a.tv_nsec), usage.ru_maxrss,
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), usage.ru_minflt);
	return 0;
}
