//go:build ignore

/*
 * floor ROOTFS [cgroup2]: starts ROOTFS/bin/true in the container that the
 * benchmark's config.json describes, by system calls that are fixed at compile
 * time. It reads no config, keeps no state, reports no error well. What it
 * takes is what the kernel takes: no runtime can be faster, so it is the floor
 * that others are measured from.
 *
 * Should: every system call that the config.json makes necessary.
 * Mustn't: anything that only some runtime needs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* <sys/mount.h> and <linux/mount.h> cannot both be had in older libraries. */
extern int mount(const char *, const char *, const char *, unsigned long, const void *);
extern int umount2(const char *, int);
#ifndef MS_RDONLY
#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MS_NOEXEC 8
#define MS_BIND 4096
#define MS_REC 16384
#define MS_SLAVE (1 << 19)
#define MS_STRICTATIME (1 << 24)
#endif
#define DETACH 2 /* MNT_DETACH */

static void need(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		_exit(1);
	}
}

static void map(pid_t pid, const char *file, const char *text)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	need(fd, path);
	need(write(fd, text, strlen(text)), path);
	close(fd);
}

static void map_ids(pid_t pid)
{
	char text[64];
	map(pid, "setgroups", "deny");
	snprintf(text, sizeof text, "0 %d 1\n", geteuid());
	map(pid, "uid_map", text);
	snprintf(text, sizeof text, "0 %d 1\n", getegid());
	map(pid, "gid_map", text);
}

static void loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	need(fd, "socket");
	need(ioctl(fd, SIOCSIFFLAGS, &request), "lo");
	close(fd);
}

static void set_flags(const char *path, uint64_t flags)
{
	struct mount_attr attr = {.attr_set = flags};
	need(syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof attr), path);
}

static void new_mount(const char *type, const char *path, unsigned long flags, const char *data)
{
	need(mount(type, path, type, flags, data), path);
}

static void make(const char *path, mode_t mode)
{
	need(mkdir(path, mode), path);
}

static void devices(void)
{
	static const char *names[] = {"null", "zero", "full", "tty", "random", "urandom"};
	char from[32], to[32];
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(from, sizeof from, "/dev/%s", names[i]);
		snprintf(to, sizeof to, "dev/%s", names[i]);
		int fd = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
		need(fd, to);
		close(fd);
		need(mount(from, to, NULL, MS_BIND, NULL), to);
	}
	need(symlink("/proc/self/fd", "dev/fd"), "dev/fd");
	need(symlink("/proc/self/fd/0", "dev/stdin"), "dev/stdin");
	need(symlink("/proc/self/fd/1", "dev/stdout"), "dev/stdout");
	need(symlink("/proc/self/fd/2", "dev/stderr"), "dev/stderr");
	need(symlink("pts/ptmx", "dev/ptmx"), "dev/ptmx");
}

static void mounts(int cgroup2)
{
	unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	new_mount("proc", "proc", 0, NULL);
	new_mount("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
	make("dev/pts", 0755);
	new_mount("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
	make("dev/shm", 0755);
	new_mount("tmpfs", "dev/shm", safe, "mode=1777,size=65536k");
	make("dev/mqueue", 0755);
	new_mount("mqueue", "dev/mqueue", safe, NULL);
	new_mount("sysfs", "sys", safe | MS_RDONLY, NULL);
	/* Without a cgroup namespace of its own the container may not mount cgroup2, only see the host's. */
	if (cgroup2) {
		need(mount("/sys/fs/cgroup", "sys/fs/cgroup", NULL, MS_BIND | MS_REC, NULL), "cgroup");
		set_flags("sys/fs/cgroup", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	}
}

static void masks(void)
{
	static const char *masked[] = {"proc/acpi", "proc/asound", "proc/kcore", "proc/keys", "proc/latency_stats",
		"proc/timer_list", "proc/timer_stats", "proc/sched_debug", "sys/firmware", "proc/scsi"};
	static const char *frozen[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
	/* A file gets /dev/null; that fails on a directory, and then a missing path fails again. */
	for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++)
		if (mount("dev/null", masked[i], NULL, MS_BIND, NULL) < 0)
			(void)!mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k");
	for (unsigned i = 0; i < sizeof frozen / sizeof *frozen; i++)
		if (mount(frozen[i], frozen[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			set_flags(frozen[i], MOUNT_ATTR_RDONLY);
}

static void limit(void)
{
	struct rlimit files = {1024, 1024};
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	uint32_t caps = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
	struct __user_cap_data_struct data[2] = {{caps, caps, caps}, {0, 0, 0}};

	need(setrlimit(RLIMIT_NOFILE, &files), "rlimit");
	for (int c = 0; prctl(PR_CAPBSET_READ, c) >= 0; c++)
		if (c > 31 || !(caps & 1u << c))
			need(prctl(PR_CAPBSET_DROP, c), "bounding set");
	need(syscall(SYS_capset, &header, data), "capset");
	for (int c = 0; c < 32; c++)
		if (caps & 1u << c)
			need(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0), "ambient set");
	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

static void container(const char *rootfs, int cgroup2)
{
	char *argv[] = {"/bin/true", NULL}, *envp[] = {"PATH=/bin", "TERM=xterm", NULL};

	need(setresgid(0, 0, 0), "setresgid");
	need(setresuid(0, 0, 0), "setresuid");
	need(setsid(), "setsid");
	need(sethostname("bench", 5), "sethostname");
	loopback_up();
	need(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "slave");
	need(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), "rootfs");
	need(chdir(rootfs), rootfs);
	mounts(cgroup2);
	devices();
	masks();
	set_flags(".", MOUNT_ATTR_RDONLY);
	need(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	need(umount2(".", DETACH), "umount2");
	need(chdir("/"), "chdir");
	limit();
	execve(argv[0], argv, envp);
	need(-1, argv[0]);
}

int main(int argc, char **argv)
{
	struct clone_args args = {.exit_signal = SIGCHLD,
		.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS};
	int rootless = geteuid() != 0;
	int ready[2], status;
	char byte = 0;

	if (argc < 2)
		return 2;
	if (rootless)
		args.flags |= CLONE_NEWUSER;
	need(pipe2(ready, O_CLOEXEC), "pipe2");
	pid_t pid = syscall(SYS_clone3, &args, sizeof args);
	need(pid, "clone3");
	if (pid == 0) {
		need(read(ready[0], &byte, 1) - 1, "await");
		container(argv[1], argc > 2 && !strcmp(argv[2], "cgroup2"));
	}
	if (rootless)
		map_ids(pid);
	need(write(ready[1], &byte, 1), "signal");
	need(waitpid(pid, &status, 0), "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
