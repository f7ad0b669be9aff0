// SPDX-License-Identifier: GPL-2.0-only
/* What a worker may do once it is in its sandbox, and what ends it: each in a process of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/sandbox.h"

static char said[4096];

/* Runs @what in the sandbox. Returns its wait status; what it said is in said[]. */
static int run_in(const struct sandbox *s, int (*what)(void))
{
	int fd[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		close(fd[1]);
		if (sandbox_enter(s))
			_exit(99);
		_exit(what());
	}
	close(fd[1]);
	while ((n = read(fd[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += n;
	said[len] = 0;
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect_exit(const struct sandbox *s, int (*what)(void), int code)
{
	int status = run_in(s, what);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
		fail_msg("status %x instead of %d: %s", status, code, said);
}

static void expect_killed(const struct sandbox *s, int (*what)(void), long call)
{
	int status = run_in(s, what);
	char words[128];

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
		fail_msg("status %x instead of SIGSYS: %s", status, said);
	if (call < 0)
		return;
	snprintf(words, sizeof(words),
		 "plinth: system call %ld is not allowed to a machine's worker", call);
	if (!strstr(said, words))
		fail_msg("'%s' is not in '%s'", words, said);
}

static void *thread(void *arg)
{
	return arg;
}

/* What the worker does all day. */
static int usual_work(void)
{
	int fd = eventfd(0, EFD_CLOEXEC), pipes = epoll_create1(EPOLL_CLOEXEC), avail;
	struct epoll_event ev = { .events = EPOLLIN };
	uint64_t one = 1;
	pthread_t t;
	void *p;

	if (write(fd, &one, 8) != 8 || epoll_ctl(pipes, EPOLL_CTL_ADD, fd, &ev) ||
	    epoll_wait(pipes, &ev, 1, 0) != 1 || read(fd, &one, 8) != 8)
		return 1;
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mprotect(p, 4096, PROT_READ) || munmap(p, 1 << 20))
		return 2;
	if (pthread_create(&t, NULL, thread, p) || pthread_kill(t, 0) || pthread_join(t, NULL))
		return 3;
	if (prctl(PR_SET_NAME, "name") || prctl(PR_SET_NAME, "name"))
		return 4;
	if (ioctl(fd, FIONREAD, &avail) == 0 || errno != ENOTTY)
		return 5;
	free(malloc(4 << 20));
	return 0;
}

static int makes_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int executes(void)
{
	return execl("/bin/true", "true", NULL);
}

static int forks(void)
{
	return syscall(SYS_fork) < 0;
}

static int clones(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0;
}

static int traces(void)
{
	return ptrace(PTRACE_TRACEME, 0, 0, 0);
}

static int maps_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED;
}

static int makes_data_code(void)
{
	return mprotect((void *)((uintptr_t)said & ~4095ul), 4096,
			PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int kills_others(void)
{
	return syscall(SYS_tgkill, 1, 1, 0);
}

static int other_ioctl(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static int takes_the_trap_away(void)
{
	signal(SIGSYS, SIG_IGN);
	return 0;
}

static int becomes_root(void)
{
	return setuid(0);
}

/* As for a connection to an NBD server that is lost. */
static int looks_up(void)
{
	struct addrinfo *found;
	int ret = getaddrinfo("localhost", "10809", NULL, &found);

	if (!ret)
		freeaddrinfo(found);
	return ret;
}

static int opens(void)
{
	return open("/etc/hostname", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES;
}

static int opens_to_write(void)
{
	return open("/tmp/plinth-sandbox", O_RDWR | O_CREAT, 0600);
}

static int removes(void)
{
	return unlink("/etc/hostname") < 0 && errno == EACCES;
}

static int who(void)
{
	return getuid() == 65534 && getgid() == 65534 && geteuid() == 65534 && getegid() == 65534;
}

static void test_usual_work(void **state)
{
	struct sandbox plain = { 0 }, sockets = { .sockets = true };

	(void)state;
	expect_exit(&plain, usual_work, 0);
	expect_exit(&sockets, usual_work, 0);
	expect_exit(&sockets, makes_socket, 0);
	assert_int_equal(looks_up(), 0); /* the first time it loads what it needs */
	expect_exit(&sockets, looks_up, 0);
	assert_string_equal(said, "");
}

static void test_what_ends_it(void **state)
{
	struct sandbox plain = { 0 }, sockets = { .sockets = true };

	(void)state;
	expect_killed(&plain, makes_socket, SYS_socket);
	expect_killed(&plain, executes, SYS_execve);
	expect_killed(&sockets, executes, SYS_execve);
	expect_killed(&plain, forks, SYS_fork);
	expect_killed(&plain, clones, SYS_clone);
	expect_killed(&plain, traces, SYS_ptrace);
	expect_killed(&plain, maps_code, SYS_mmap);
	expect_killed(&plain, makes_data_code, SYS_mprotect);
	expect_killed(&plain, kills_others, SYS_tgkill);
	expect_killed(&plain, other_ioctl, SYS_ioctl);
	expect_killed(&plain, becomes_root, SYS_setuid);
	expect_killed(&plain, takes_the_trap_away, -1);
}

static void test_files(void **state)
{
	struct sandbox plain = { 0 }, sockets = { .sockets = true };

	(void)state;
	expect_exit(&plain, opens, 1);
	expect_exit(&sockets, opens, 0);
	expect_killed(&sockets, opens_to_write, SYS_openat);
	expect_exit(&plain, removes, 1);
}

static void test_user(void **state)
{
	struct sandbox s = { .change_user = true, .uid = 65534, .gid = 65534 };

	(void)state;
	expect_exit(&s, who, 1);
	assert_int_equal(sandbox_find_user(&s, "nobody"), 0);
	assert_true(s.change_user);
	assert_int_equal(s.uid, 65534);
	assert_int_equal(sandbox_find_user(&s, "root"), 0);
	assert_false(s.change_user);
	assert_int_equal(sandbox_find_user(&s, NULL), 0);
	assert_true(s.change_user && s.uid != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual_work),
		cmocka_unit_test(test_what_ends_it),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
