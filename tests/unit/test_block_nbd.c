// SPDX-License-Identifier: GPL-2.0-only
/* The NBD back end against real servers, nbdkit and qemu-nbd, on a socket of this machine: also when they die. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "backendtest.h"
#include "worker/sandbox.h"

#define MIB   (1 << 20)
#define NS_MS 1000000ull

static char folder[] = "/tmp/plinth-nbd-XXXXXX";
static char uri[128];
static pid_t server;
static int saved_stderr;

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* Starts a server on a socket that listens already, so that nobody has to wait for it (sd_listen_fds(3)). */
static void start(const char *command)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char pid[16], line[1024];

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/sock", folder);
	unlink(a.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 4), 0);
	server = fork();
	if (server == 0) {
		snprintf(pid, sizeof(pid), "%d", getpid());
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", "1", 1);
		snprintf(line, sizeof(line), "exec </dev/null >>log 2>&1; exec %s", command);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(folder) == 0 && (fd == 3 ? fcntl(fd, F_SETFD, 0) : dup2(fd, 3)) >= 0)
			execl("/bin/sh", "sh", "-c", line, NULL);
		_exit(127);
	}
	close(fd);
}

/* From one moment to the next: whatever it had not written is gone. */
static void kill_server(void)
{
	kill(server, SIGKILL);
	assert_int_equal(waitpid(server, NULL, 0), server);
	server = 0;
}

static int try_open(struct bench *b, const char *what, bool readonly, unsigned int wait_ms,
		    struct block **blk)
{
	struct block_nbd_config cfg = { what, readonly, wait_ms };
	int ret;

	*blk = NULL;
	bench_listen(b);
	ret = block_nbd_open(&b->host, &cfg, blk);
	bench_heard(b);
	return ret;
}

static struct block *open_nbd(struct bench *b, unsigned int wait_ms)
{
	struct block *blk;

	bench_open(b);
	if (try_open(b, uri, false, wait_ms, &blk))
		fail_msg("%s", b->said);
	return blk;
}

static void close_nbd(struct bench *b, struct block *blk)
{
	blk->ops->close(blk);
	bench_close(b);
}

static void test_write_read_flush(void **state)
{
	static uint8_t out[MIB], in[MIB];
	struct block *blk;
	struct bench b;

	(void)state;
	start("nbdkit -f memory 16M");
	blk = open_nbd(&b, 0);
	assert_int_equal(blk->size, 16 * MIB);
	assert_false(blk->readonly);
	pattern(out, MIB, 1);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 5 * MIB + 512, out, MIB), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 5 * MIB + 512, in, MIB), 0);
	assert_memory_equal(in, out, MIB);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, in, 0), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 16 * MIB - 512, in, 1024), -EINVAL);
	assert_int_equal(blk->stats.requests[BLOCK_READ], 3);
	assert_int_equal(blk->stats.failed[BLOCK_READ], 1);
	assert_int_equal(blk->stats.bytes[BLOCK_WRITE], MIB);
	close_nbd(&b, blk);
	kill_server();
}

/* 3 MiB in buffers of odd sizes: more than one piece, gathered and scattered. */
static void test_many_buffers(void **state)
{
	static uint8_t out[3 * MIB], in[3 * MIB];
	static struct iovec iov[2000];
	struct block *blk;
	struct bench b;
	struct job j;
	size_t i, at;

	(void)state;
	start("nbdkit -f memory 16M");
	blk = open_nbd(&b, 0);
	pattern(out, sizeof(out), 2);
	for (i = at = 0; i < 2000 && at < sizeof(out); i++) {
		iov[i] = (struct iovec){ out + at, (i * 37) % 4099 };
		if (iov[i].iov_len > sizeof(out) - at)
			iov[i].iov_len = sizeof(out) - at;
		at += iov[i].iov_len;
	}
	assert_int_equal(at, sizeof(out));
	job_init(&j, &b, blk, BLOCK_WRITE, 512, NULL, 0);
	j.req.iov = iov;
	j.req.iovs = i;
	job_submit(&j);
	assert_int_equal(job_wait(&j), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 512, in, sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
	memset(out, 0, sizeof(out));
	job_init(&j, &b, blk, BLOCK_READ, 512, NULL, 0);
	j.req.iov = iov;
	j.req.iovs = i;
	job_submit(&j);
	assert_int_equal(job_wait(&j), 0);
	assert_memory_equal(in, out, sizeof(in));
	close_nbd(&b, blk);
	kill_server();
}

#define JOBS 100

static void test_many_at_once(void **state)
{
	static struct job j[JOBS], after[JOBS];
	static uint8_t out[JOBS][4096], in[JOBS][4096];
	struct block *blk;
	struct bench b;
	int i;

	(void)state;
	start("nbdkit -f memory 16M");
	blk = open_nbd(&b, 0);
	for (i = 0; i < JOBS; i++) {
		pattern(out[i], 4096, i);
		job_init(&after[i], &b, blk, BLOCK_READ, i * 4096, in[i], 4096);
		job_init(&j[i], &b, blk, BLOCK_WRITE, i * 4096, out[i], 4096);
		j[i].then = &after[i];
		job_submit(&j[i]);
	}
	blk->ops->drain(blk);
	for (i = 0; i < JOBS; i++) {
		assert_true(after[i].over);
		assert_int_equal(j[i].ret | after[i].ret, 0);
		assert_memory_equal(in[i], out[i], 4096);
	}
	close_nbd(&b, blk);
	kill_server();
}

/* A server that dies with requests in hand, and comes back: they are carried out, by the new one. */
static void test_server_comes_back(void **state)
{
	static uint8_t out[JOBS][4096], in[4096];
	static struct job j[JOBS];
	struct block *blk;
	struct bench b;
	int i;

	(void)state;
	shell("truncate -s 4M %s/disk", folder);
	start("nbdkit -f --filter=delay file disk wdelay=30ms");
	blk = open_nbd(&b, 0);
	for (i = 0; i < JOBS; i++) {
		pattern(out[i], 4096, 100 + i);
		job_init(&j[i], &b, blk, BLOCK_WRITE, i * 4096, out[i], 4096);
		job_submit(&j[i]);
	}
	job_wait(&j[0]); /* some are done, some are not */
	kill_server();
	bench_listen(&b);
	for (i = 0; i < 5; i++)
		loop_run_once(&b.loop, 20);
	start("nbdkit -f file disk");
	for (i = 0; i < JOBS; i++)
		assert_int_equal(job_wait(&j[i]), 0);
	bench_heard(&b);
	assert_non_null(strstr(b.said, "has gone: trying again; requests wait up to 20 s"));
	assert_non_null(strstr(b.said, "is back"));
	for (i = 0; i < JOBS; i++) {
		assert_int_equal(transfer(&b, blk, BLOCK_READ, i * 4096, in, 4096), 0);
		assert_memory_equal(in, out[i], 4096);
	}
	close_nbd(&b, blk);
	kill_server();
}

/* Acknowledged writes that were not made durable outlive a server that loses everything; what a FLUSH covered is its affair. */
static void test_journal(void **state)
{
	uint8_t one[4096], two[4096], three[4096], in[4096], zero[4096] = { 0 };
	struct block *blk;
	struct bench b;

	(void)state;
	start("nbdkit -f memory 4M");
	blk = open_nbd(&b, 0);
	pattern(one, 4096, 1);
	pattern(two, 4096, 2);
	pattern(three, 4096, 3);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 0, one, 4096), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 8192, one, 4096), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 8192, two, 4096), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 16384, three, 4096), 0);
	kill_server();
	start("nbdkit -f memory 4M");
	bench_listen(&b);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), 0);
	bench_heard(&b);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, in, 4096), 0);
	assert_memory_equal(in, zero, 4096);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 8192, in, 4096), 0);
	assert_memory_equal(in, two, 4096);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 16384, in, 4096), 0);
	assert_memory_equal(in, three, 4096);
	close_nbd(&b, blk);
	kill_server();
}

/* Ranges, where the server has them; they have their place in the journal, between what was written before and after. */
static void test_ranges(void **state)
{
	uint8_t one[8192], in[8192], zero[8192] = { 0 };
	struct block *blk;
	struct bench b;

	(void)state;
	start("nbdkit -f memory 4M");
	blk = open_nbd(&b, 0);
	assert_true(blk->discards && blk->zeroes);
	pattern(one, sizeof(one), 1);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 0, one, 8192), 0);
	assert_int_equal(do_range(&b, blk, BLOCK_ZERO, 0, 4096, false), 0);
	assert_int_equal(do_range(&b, blk, BLOCK_ZERO, 4096, 512, true), 0);
	assert_int_equal(do_range(&b, blk, BLOCK_DISCARD, 8192, 65536, false), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 1024, one, 512), 0);
	kill_server();
	start("nbdkit -f memory 4M");
	bench_listen(&b);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, in, 8192), 0);
	bench_heard(&b);
	assert_memory_equal(in, zero, 1024);
	assert_memory_equal(in + 1024, one, 512);
	assert_memory_equal(in + 1536, zero, 4096 + 512 - 1536);
	assert_memory_equal(in + 4608, one + 4608, 8192 - 4608);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), 0);
	/* One that can do less: a discard is left undone, zeroes are refused. */
	kill_server();
	start("nbdkit -f eval get_size='echo 4M' pread='head -c $3 /dev/zero' pwrite='cat "
	      ">/dev/null' "
	      "can_write='exit 0' can_flush='exit 0' flush='exit 0' can_zero='exit 3' "
	      "can_trim='exit 3'");
	bench_listen(&b);
	assert_int_equal(do_range(&b, blk, BLOCK_DISCARD, 0, 4096, false), 0);
	bench_heard(&b);
	close_nbd(&b, blk);
	blk = open_nbd(&b, 0);
	assert_false(blk->discards);
	assert_int_equal(do_range(&b, blk, BLOCK_DISCARD, 0, 4096, false), -EOPNOTSUPP);
	close_nbd(&b, blk);
	kill_server();
}

/* However many ranges come without a FLUSH, the journal stays short. */
static void test_many_ranges(void **state)
{
	static struct job j[2000];
	struct block *blk;
	struct bench b;

	(void)state;
	start("nbdkit -f memory 4M");
	blk = open_nbd(&b, 0);
	for (unsigned int i = 0; i < 2000; i++) {
		job_init(&j[i], &b, blk, i % 2 ? BLOCK_DISCARD : BLOCK_ZERO, i * 512, NULL, 0);
		j[i].req.iovs = 0;
		j[i].req.range = 512;
		job_submit(&j[i]);
	}
	for (unsigned int i = 0; i < 2000; i++)
		assert_int_equal(job_wait(&j[i]), 0);
	assert_true(blk->stats.requests[BLOCK_DISCARD] == 1000);
	close_nbd(&b, blk);
	kill_server();
}

/* However much is written without a FLUSH, the journal stays short: our own FLUSHes see to it. */
static void test_journal_is_bounded(void **state)
{
	static uint8_t out[MIB];
	char path[128];
	struct block *blk;
	struct stat st;
	struct bench b;
	int i;

	(void)state;
	shell("rm -f %s/disk %s/flushed; truncate -s 64M %s/disk", folder, folder, folder);
	start("nbdkit -f eval get_size='echo 64M' pread='dd if=disk skip=$4 count=$3 "
	      "iflag=skip_bytes,count_bytes status=none' "
	      "pwrite='dd of=disk seek=$4 oflag=seek_bytes conv=notrunc status=none' "
	      "can_write='exit 0' "
	      "can_flush='exit 0' flush='echo >>flushed'");
	blk = open_nbd(&b, 0);
	for (i = 0; i < 32; i++) {
		pattern(out, MIB, i);
		assert_int_equal(transfer(&b, blk, BLOCK_WRITE, (uint64_t)i * MIB, out, MIB), 0);
	}
	snprintf(path, sizeof(path), "%s/flushed", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_in_range(st.st_size, 6, 32); /* 32 MiB, of which 4 are held at most */
	close_nbd(&b, blk);
	kill_server();
}

/* Nobody comes back: requests end, not before their time is over, and new ones too. */
static void test_server_stays_away(void **state)
{
	uint8_t buf[512] = { 1 };
	struct job write, flush;
	struct block *blk;
	uint64_t begin;
	struct bench b;

	(void)state;
	start("nbdkit -f memory 4M");
	blk = open_nbd(&b, 300);
	kill_server();
	bench_listen(&b);
	begin = loop_now();
	job_init(&write, &b, blk, BLOCK_WRITE, 0, buf, 512);
	job_init(&flush, &b, blk, BLOCK_FLUSH, 0, NULL, 0);
	job_submit(&write);
	job_submit(&flush);
	assert_int_equal(job_wait(&write), -EIO);
	assert_int_equal(job_wait(&flush), -EIO);
	assert_true(loop_now() - begin >= 300 * NS_MS);
	job_init(&write, &b, blk, BLOCK_READ, 0, buf, 512);
	job_submit(&write);
	blk->ops->drain(blk);
	assert_true(write.over);
	assert_int_equal(write.ret, -EIO);
	start("nbdkit -f memory 4M");
	while (transfer(&b, blk, BLOCK_READ, 0, buf, 512))
		;
	bench_heard(&b);
	assert_int_equal(buf[0], 0);
	close_nbd(&b, blk);
	kill_server();
}

/* A server that hangs: the request ends in its time; what it answers later reaches no buffer. */
static void test_server_hangs(void **state)
{
	uint8_t buf[4096], kept[4096];
	struct block *blk;
	struct bench b;

	(void)state;
	start("nbdkit -f memory 4M");
	blk = open_nbd(&b, 300);
	kill(server, SIGSTOP);
	assert_int_equal(waitpid(server, NULL, WUNTRACED), server);
	bench_listen(&b);
	memset(buf, 0xa5, sizeof(buf));
	memcpy(kept, buf, sizeof(buf));
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, buf, 4096), -EIO);
	kill(server, SIGCONT);
	while (transfer(&b, blk, BLOCK_READ, 8192, kept, 4096))
		;
	bench_heard(&b);
	assert_int_equal(buf[0], 0xa5);
	assert_int_equal(kept[0], 0);
	close_nbd(&b, blk);
	kill_server();
}

static void test_errors_of_the_server(void **state)
{
	uint8_t buf[512] = { 0 };
	struct block *blk;
	struct bench b;

	(void)state;
	start("nbdkit -f eval get_size='echo 1M' pread='echo EIO bad sector >&2; exit 1' "
	      "can_write='exit 0' "
	      "can_flush='exit 0' "
	      "pwrite='cat >/dev/null; echo ENOSPC full >&2; exit 1' flush='echo EIO >&2; exit 1'");
	blk = open_nbd(&b, 0);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, buf, 512), -EIO);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 0, buf, 512), -ENOSPC);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	assert_int_equal(blk->stats.failed[BLOCK_READ], 1);
	assert_int_equal(blk->stats.failed[BLOCK_WRITE], 1);
	assert_int_equal(blk->stats.failed[BLOCK_FLUSH], 1);
	close_nbd(&b, blk);
	kill_server();
}

static void test_what_cannot_be_a_disk(void **state)
{
	struct block *blk;
	uint8_t buf[512];
	struct bench b;

	(void)state;
	bench_open(&b);
	shell("rm -f %s/sock", folder);
	assert_true(try_open(&b, uri, false, 0, &blk) < 0);
	bench_expect_line(b.said, "plinth: cannot connect to the disk nbd+unix:///?socket=");
	bench_expect_line(b.said, "No such file or directory");
	assert_true(try_open(&b, "nonsense", false, 0, &blk) < 0);
	bench_expect_line(b.said, "plinth: cannot connect to the disk nonsense: ");
	start("nbdkit -f -r memory 1M");
	assert_int_equal(try_open(&b, uri, false, 0, &blk), -EROFS);
	bench_expect_line(b.said, "is read-only: add ',readonly'");
	assert_int_equal(try_open(&b, uri, true, 0, &blk), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 0, buf, 512), -EROFS);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, buf, 512), 0);
	blk->ops->close(blk);
	kill_server();
	start("nbdkit -f memory 0");
	assert_int_equal(try_open(&b, uri, false, 0, &blk), -EINVAL);
	bench_expect_line(b.said, "is empty");
	kill_server();
	start("nbdkit -f memory 1000");
	assert_int_equal(try_open(&b, uri, true, 0, &blk), -EINVAL);
	bench_expect_line(b.said, "has 1000 bytes, which is no whole number of sectors");
	kill_server();
	/* As the message has it. */
	start("nbdkit -f --filter=truncate memory 1000 round-up=512");
	assert_int_equal(try_open(&b, uri, false, 0, &blk), 0);
	assert_int_equal(blk->size, 1024);
	blk->ops->close(blk);
	kill_server();
	start("nbdkit -f --filter=blocksize-policy memory 1M blocksize-minimum=4096 "
	      "blocksize-preferred=4096 "
	      "blocksize-error-policy=error");
	assert_int_equal(try_open(&b, uri, false, 0, &blk), -EINVAL);
	bench_expect_line(
		b.said, "takes blocks of 4096 bytes only: serve it by 'nbdkit --filter=blocksize'");
	kill_server();
	bench_close(&b);
}

/* A worker that may do next to nothing any more still finds its server again. */
static void test_comes_back_in_the_sandbox(void **state)
{
	const struct sandbox sandbox = { .sockets = true };
	int to[2], from[2], status;
	uint8_t buf[4096] = { 1 };
	struct block *blk;
	struct bench b;
	pid_t pid;

	(void)state;
	start("nbdkit -f memory 4M");
	assert_int_equal(pipe(to) | pipe(from), 0);
	pid = fork();
	if (pid == 0) {
		blk = open_nbd(&b, 0);
		if (sandbox_enter(&sandbox))
			_exit(1);
		if (transfer(&b, blk, BLOCK_WRITE, 0, buf, 4096) || write(from[1], "x", 1) != 1 ||
		    read(to[0], buf, 1) != 1)
			_exit(2);
		if (transfer(&b, blk, BLOCK_READ, 0, buf, 4096) || buf[0] != 1)
			_exit(3);
		if (transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0))
			_exit(4);
		close_nbd(&b, blk);
		_exit(0);
	}
	assert_int_equal(read(from[0], buf, 1), 1);
	kill_server();
	start("nbdkit -f memory 4M");
	assert_int_equal(write(to[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(to[0]);
	close(to[1]);
	close(from[0]);
	close(from[1]);
	kill_server();
}

/* How other formats get in. */
static void test_qcow2_by_qemu_nbd(void **state)
{
	static uint8_t out[MIB], in[MIB];
	struct block *blk;
	struct bench b;

	(void)state;
	shell("qemu-img create -q -f qcow2 %s/image 64M", folder);
	start("qemu-nbd -f qcow2 -t image");
	blk = open_nbd(&b, 0);
	assert_int_equal(blk->size, 64 * MIB);
	pattern(out, MIB, 9);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 63 * MIB, out, MIB), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 63 * MIB, in, MIB), 0);
	assert_memory_equal(in, out, MIB);
	close_nbd(&b, blk);
	kill_server();
	shell("qemu-img check -q %s/image", folder);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s/sock", folder);
	signal(SIGPIPE, SIG_IGN);
	saved_stderr = dup(STDERR_FILENO);
	return 0;
}

/* A test that has failed leaves its server. */
static int end_server(void **state)
{
	(void)state;
	if (server > 0)
		kill_server();
	dup2(saved_stderr, STDERR_FILENO);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	shell("rm -r %s", folder);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_write_read_flush, end_server),
		cmocka_unit_test_teardown(test_many_buffers, end_server),
		cmocka_unit_test_teardown(test_many_at_once, end_server),
		cmocka_unit_test_teardown(test_server_comes_back, end_server),
		cmocka_unit_test_teardown(test_journal, end_server),
		cmocka_unit_test_teardown(test_ranges, end_server),
		cmocka_unit_test_teardown(test_many_ranges, end_server),
		cmocka_unit_test_teardown(test_journal_is_bounded, end_server),
		cmocka_unit_test_teardown(test_server_stays_away, end_server),
		cmocka_unit_test_teardown(test_server_hangs, end_server),
		cmocka_unit_test_teardown(test_errors_of_the_server, end_server),
		cmocka_unit_test_teardown(test_what_cannot_be_a_disk, end_server),
		cmocka_unit_test_teardown(test_comes_back_in_the_sandbox, end_server),
		cmocka_unit_test_teardown(test_qcow2_by_qemu_nbd, end_server),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
