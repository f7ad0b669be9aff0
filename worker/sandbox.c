// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "worker/console.h"
#include "worker/diag.h"

#define IOCTL_TYPE(type) ((type) << _IOC_TYPESHIFT)
#define IOCTL_TYPE_MASK	 (_IOC_TYPEMASK << _IOC_TYPESHIFT)
#define ARRAY_LEN(a)	 (sizeof(a) / sizeof((a)[0]))
#define SANDBOX_NOBODY	 65534u

/* ------------------------------------------------------------------ the user */

static int sandbox_set_user(struct sandbox *s, const struct passwd *pw)
{
	s->change_user = pw->pw_uid != geteuid();
	s->uid = pw->pw_uid;
	s->gid = pw->pw_gid;
	if (!s->change_user || geteuid() == 0)
		return 0;
	diag_error("only root can run a machine as another user: leave out --user %s", pw->pw_name);
	return -EPERM;
}

int sandbox_find_user(struct sandbox *s, const char *name)
{
	const struct passwd *pw;

	s->change_user = false;
	if (name) {
		pw = getpwnam(name);
		if (pw)
			return sandbox_set_user(s, pw);
		diag_error("--user %s: there is no such user", name);
		return -EINVAL;
	}
	if (geteuid())
		return 0;
	pw = getpwnam("plinth");
	if (!pw)
		pw = getpwnam("nobody");
	if (pw)
		return sandbox_set_user(s, pw);
	/* A system without a user database. */
	s->change_user = true;
	s->uid = s->gid = SANDBOX_NOBODY;
	return 0;
}

/* glibc does it in all threads. */
static int sandbox_become(const struct sandbox *s)
{
	if (setgroups(0, NULL) || setresgid(s->gid, s->gid, s->gid) ||
	    setresuid(s->uid, s->uid, s->uid))
		return -errno;
	/* It cannot be undone, or something is very wrong. */
	return setuid(0) == 0 && s->uid ? -EPERM : 0;
}

/* ------------------------------------------------------------------ the filter */

/* Allowed whatever the arguments. */
static const int sandbox_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(preadv),
	SCMP_SYS(preadv2),
	SCMP_SYS(pwritev),
	SCMP_SYS(lseek),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fallocate),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(fcntl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(io_uring_enter),
	/* Messages to and from sockets that are open: commands come by them. */
	SCMP_SYS(accept4),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(shutdown),
	/* Memory and threads. */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(membarrier),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* Signals and time. */
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	/* Who am I. */
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getpgrp),
	SCMP_SYS(getpgid),
};

/* What user networking and a connection to an NBD server need besides. */
static const int sandbox_socket_calls[] = {
	SCMP_SYS(socket),     SCMP_SYS(connect),    SCMP_SYS(bind),	   SCMP_SYS(listen),
	SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	SCMP_SYS(accept),     SCMP_SYS(sendmmsg),   SCMP_SYS(uname),
};

/* Not there, as far as the worker knows; whoever tries can do without. */
static const struct {
	int call;
	int error;
} sandbox_refused[] = {
	{ SCMP_SYS(clone3), ENOSYS }, /* its flags cannot be seen by a filter: clone is used then */
	{ SCMP_SYS(unlink),
	  EACCES }, /* the control socket; others remove it when they find nobody there */
	{ SCMP_SYS(open), EACCES },
	{ SCMP_SYS(access), EACCES },
	{ SCMP_SYS(readlink), EACCES },
	{ SCMP_SYS(sysinfo), EPERM },
	{ SCMP_SYS(sched_setaffinity), EPERM },
};

/* Of terminals, of sockets that libslirp asks how much there is to read, and of a tap interface its offloads. */
static const unsigned long sandbox_ioctls[] = {
	TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGPGRP, TIOCGWINSZ, FIONREAD, FIONBIO, TUNSETOFFLOAD,
};

static int sandbox_allow(scmp_filter_ctx f, const int *calls, size_t count)
{
	int ret = 0;

	for (; !ret && count; count--, calls++)
		ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, *calls, 0);
	return ret;
}

static int sandbox_allow_ioctls(scmp_filter_ctx f)
{
	size_t i;
	int ret;

	ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			       SCMP_A1(SCMP_CMP_MASKED_EQ, IOCTL_TYPE_MASK, IOCTL_TYPE(KVMIO)));
	for (i = 0; !ret && i < ARRAY_LEN(sandbox_ioctls); i++)
		ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				       SCMP_A1(SCMP_CMP_EQ, sandbox_ioctls[i]));
	return ret;
}

/* Files: to be read, if a back end looks up names (resolv.conf); none otherwise. */
static int sandbox_allow_files(scmp_filter_ctx f, bool sockets)
{
	const unsigned int writes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
	int ret;

	if (!sockets)
		return seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
			       SCMP_A2(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
	return ret;
}

/* Threads, no processes; memory that can be executed, no. The trap below stays as it is. */
static int sandbox_allow_some(scmp_filter_ctx f)
{
	static const int memory[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	static const int names[] = { PR_SET_NAME, PR_SET_VMA };
	const unsigned int thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
	size_t i;
	int ret;

	ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			       SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
	for (i = 0; !ret && i < ARRAY_LEN(memory); i++)
		ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, memory[i], 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	for (i = 0; !ret && i < ARRAY_LEN(names); i++)
		ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				       SCMP_A0(SCMP_CMP_EQ, (unsigned int)names[i]));
	if (!ret)
		ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigaction), 1,
				       SCMP_A0(SCMP_CMP_NE, SIGSYS));
	if (!ret)
		ret = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(rt_sigaction), 1,
				       SCMP_A0(SCMP_CMP_EQ, SIGSYS));
	/* Signals to ourselves: kicks of processors, stop and continue, abort. */
	if (!ret)
		ret = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				       SCMP_A0(SCMP_CMP_EQ, (unsigned int)getpid()));
	return ret;
}

static int sandbox_build(scmp_filter_ctx f, const struct sandbox *s)
{
	size_t i;
	int ret = sandbox_allow(f, sandbox_calls, ARRAY_LEN(sandbox_calls));

	if (!ret && s->sockets)
		ret = sandbox_allow(f, sandbox_socket_calls, ARRAY_LEN(sandbox_socket_calls));
	if (!ret)
		ret = sandbox_allow_ioctls(f);
	if (!ret)
		ret = sandbox_allow_files(f, s->sockets);
	if (!ret)
		ret = sandbox_allow_some(f);
	for (i = 0; !ret && i < ARRAY_LEN(sandbox_refused); i++)
		ret = seccomp_rule_add(f, SCMP_ACT_ERRNO(sandbox_refused[i].error),
				       sandbox_refused[i].call, 0);
	/* First, for there is one per exit, and its arguments keep the kernel from caching the answer. */
	if (!ret)
		ret = seccomp_syscall_priority(f, SCMP_SYS(ioctl), 255);
	/* All threads there are; no_new_privs comes with it. */
	if (!ret)
		ret = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	return ret;
}

/* A call that is not on the list has not been made. To say so, and to end. */
static void sandbox_violated(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	console_terminal_restore();
	diag_error("system call %d is not allowed to a machine's worker: ended, since this is "
		   "either an error "
		   "of Plinth's or an attack from the guest",
		   info->si_syscall);
	/* The filter's answer to this is the end. */
	signal(SIGSYS, SIG_DFL);
	_exit(1);
}

static int sandbox_filter(const struct sandbox *s)
{
	struct sigaction action = { .sa_sigaction = sandbox_violated, .sa_flags = SA_SIGINFO };
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_TRAP);
	int ret;

	if (!f)
		return -ENOMEM;
	ret = sandbox_build(f, s);
	if (!ret && sigaction(SIGSYS, &action, NULL))
		ret = -errno;
	if (!ret)
		ret = seccomp_load(f);
	seccomp_release(f);
	return ret;
}

int sandbox_enter(const struct sandbox *s)
{
	int ret = 0;

	if (s->change_user)
		ret = sandbox_become(s);
	if (ret) {
		diag_error("cannot become user %u: %s", s->uid, strerror(-ret));
		return ret;
	}
	ret = sandbox_filter(s);
	if (ret)
		diag_error("cannot filter system calls: %s; the kernel needs CONFIG_SECCOMP_FILTER",
			   strerror(-ret));
	return ret;
}
