//go:build ignore

/*
 * spawn COUNT CMD ARG...: runs CMD, COUNT times at once, and writes
 * "NANOSECONDS MAXRSS-KB STATUS FAULTS" to fd 3: until the last has ended, of
 * the one with the most, of one that failed, of all. If COUNT is not 1, "-0", "-1", ... is
 * appended to the last argument.
 *
 * The benchmark does not start commands itself, since on execve the kernel
 * counts the peak memory of the address space that is left behind, which after
 * a vfork is the parent's: a Go program of 8 MB would give 8 MB to everyone.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec a, b;
	struct rusage usage;
	int status, failed = 0;
	long most = 0, faults = 0;

	if (argc < 3)
		return 2;
	int count = atoi(argv[1]);
	char *stem = argv[argc - 1], name[256];
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < count; i++) {
		if (count > 1) {
			snprintf(name, sizeof name, "%s-%d", stem, i);
			argv[argc - 1] = name;
		}
		pid_t pid = vfork();
		if (pid == 0) {
			close(3);
			execv(argv[2], argv + 2);
			_exit(127);
		}
		if (pid < 0)
			return 1;
	}
	for (int i = 0; i < count; i++) {
		if (wait4(-1, &status, 0, &usage) < 0)
			return 1;
		if (status)
			failed = status;
		if (usage.ru_maxrss > most)
			most = usage.ru_maxrss;
		faults += usage.ru_minflt;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	dprintf(3, "%lld %ld %d %ld\n", (b.tv_sec - a.tv_sec) * 1000000000LL + (b.tv_nsec - a.tv_nsec), most,
		WIFEXITED(failed) ? WEXITSTATUS(failed) : 128 + WTERMSIG(failed), faults);
	return 0;
}
