// SPDX-License-Identifier: GPL-2.0-only
/* The file back end on real files, through io_uring and through threads. */
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "backendtest.h"
#include "worker/sandbox.h"

#define MIB (1 << 20)

static char folder[] = "/tmp/plinth-file-XXXXXX";
static bool no_uring;
static bool mounts; /* are allowed: not in every container */

static const char *make_file(const char *name, size_t size)
{
	static char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
	return path;
}

static void put(const char *path, off_t off, const void *buf, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, buf, len, off), len);
	close(fd);
}

static void get(const char *path, off_t off, void *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, buf, len, off), len);
	close(fd);
}

static struct block *open_file(struct bench *b, const char *path, bool readonly)
{
	struct block_file_config cfg = { .path = path, .readonly = readonly, .no_uring = no_uring };
	struct block *blk = NULL;

	assert_int_equal(block_file_open(&b->host, &cfg, &blk), 0);
	return blk;
}

static void test_write_read_flush(void **state)
{
	static uint8_t out[MIB], in[MIB];
	const char *path = make_file("rw", 4 * MIB);
	struct block *blk;
	struct bench b;

	(void)state;
	bench_open(&b);
	blk = open_file(&b, path, false);
	assert_int_equal(blk->size, 4 * MIB);
	pattern(out, MIB, 1);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 3 * MIB, out, MIB), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), 0);
	get(path, 3 * MIB, in, MIB);
	assert_memory_equal(in, out, MIB);
	memset(in, 0, MIB);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 3 * MIB, in, MIB), 0);
	assert_memory_equal(in, out, MIB);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, in, 512), 0);
	memset(out, 0, 512);
	assert_memory_equal(in, out, 512);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 100, in, 0), 0);
	assert_int_equal(blk->stats.requests[BLOCK_READ], 3);
	assert_int_equal(blk->stats.bytes[BLOCK_READ], MIB + 512);
	assert_int_equal(blk->stats.requests[BLOCK_WRITE], 1);
	assert_int_equal(blk->stats.requests[BLOCK_FLUSH], 1);
	assert_int_equal(blk->stats.failed[BLOCK_READ], 0);
	assert_true(blk->stats.max_ns[BLOCK_WRITE] > 0);
	blk->ops->close(blk);
	bench_close(&b);
}

/* Whether the file system can tell what it has in memory: not all can. */
static bool reads_cached(const char *path)
{
	struct iovec iov = { (uint8_t[512]){ 0 }, 512 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool can = preadv2(fd, &iov, 1, 0, RWF_NOWAIT) == 512;

	close(fd);
	return can;
}

/* What is in memory needs no loop; what is submitted from its end, or too much of it, does. */
static void test_cached_read(void **state)
{
	static uint8_t out[MIB], in[MIB];
	const char *path = make_file("cached", 2 * MIB);
	struct job j, after;
	struct block *blk;
	struct bench b;

	(void)state;
	pattern(out, MIB, 9);
	put(path, MIB, out, MIB);
	if (!reads_cached(path))
		skip();
	bench_open(&b);
	blk = open_file(&b, path, false);
	job_init(&after, &b, blk, BLOCK_READ, MIB, in + 4096, 4096);
	job_init(&j, &b, blk, BLOCK_READ, MIB + 512, in, 4096);
	j.then = &after;
	job_submit(&j);
	assert_true(j.over);
	assert_int_equal(j.ret, 0);
	assert_memory_equal(in, out + 512, 4096);
	assert_false(after.over);
	assert_int_equal(job_wait(&after), 0);
	assert_memory_equal(in + 4096, out, 4096);
	job_init(&j, &b, blk, BLOCK_READ, MIB, in, MIB);
	job_submit(&j);
	assert_false(j.over);
	assert_int_equal(job_wait(&j), 0);
	assert_memory_equal(in, out, MIB);
	assert_int_equal(blk->stats.requests[BLOCK_READ], 3);
	assert_int_equal(blk->stats.bytes[BLOCK_READ], MIB + 8192);
	blk->ops->close(blk);
	bench_close(&b);
}

/* More buffers than the host takes in one call, of odd sizes, some of them empty. */
static void test_many_buffers(void **state)
{
	static uint8_t out[3000 * 7], in[3000 * 7];
	static struct iovec iov[3000 * 2];
	const char *path = make_file("iovs", MIB);
	struct block *blk;
	struct bench b;
	struct job j;
	size_t i, at;

	(void)state;
	bench_open(&b);
	blk = open_file(&b, path, false);
	pattern(out, sizeof(out), 2);
	put(path, 512, out, sizeof(out));
	for (i = at = 0; i < 6000; i++) {
		iov[i] = (struct iovec){ in + at, (i * 7) % 8 };
		at += iov[i].iov_len;
		assert_true(at <= sizeof(in));
	}
	job_init(&j, &b, blk, BLOCK_READ, 512, NULL, 0);
	j.req.iov = iov;
	j.req.iovs = 6000;
	job_submit(&j);
	assert_int_equal(job_wait(&j), 0);
	assert_int_equal(at, sizeof(in));
	assert_memory_equal(in, out, at);
	pattern(in, sizeof(in), 3);
	job_init(&j, &b, blk, BLOCK_WRITE, 1024, NULL, 0);
	j.req.iov = iov;
	j.req.iovs = 6000;
	job_submit(&j);
	assert_int_equal(job_wait(&j), 0);
	get(path, 1024, out, sizeof(out));
	assert_memory_equal(in, out, sizeof(in));
	blk->ops->close(blk);
	bench_close(&b);
}

/* Ranges are given back, or are zeroes where the file system can make them so. */
static void test_ranges(void **state)
{
	static uint8_t out[MIB], in[MIB], zero[MIB];
	const char *path = make_file("ranges", 4 * MIB);
	struct block *blk;
	struct stat before, after;
	struct bench b;
	int ret;

	(void)state;
	bench_open(&b);
	blk = open_file(&b, path, false);
	if (!blk->discards) {
		blk->ops->close(blk);
		bench_close(&b);
		skip();
	}
	assert_int_equal(blk->discard_unit % 512, 0);
	pattern(out, MIB, 9);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, MIB, out, MIB), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(do_range(&b, blk, BLOCK_DISCARD, MIB, MIB / 2, false), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(after.st_size, 4 * MIB);
	assert_int_equal(do_range(&b, blk, BLOCK_ZERO, MIB + MIB / 2, MIB / 4, true), 0);
	ret = do_range(&b, blk, BLOCK_ZERO, MIB + MIB / 2 + MIB / 4, 512, false);
	assert_true(ret == 0 || ret == -EOPNOTSUPP);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, MIB, in, MIB), 0);
	assert_memory_equal(in, zero, MIB / 2 + MIB / 4);
	assert_memory_equal(in + MIB - MIB / 4 + (ret ? 0 : 512),
			    out + MIB - MIB / 4 + (ret ? 0 : 512), MIB / 4 - (ret ? 0 : 512));
	assert_int_equal(do_range(&b, blk, BLOCK_DISCARD, 4 * MIB - 512, 1024, false), -EINVAL);
	assert_int_equal(do_range(&b, blk, BLOCK_DISCARD, 0, 0, false), -EINVAL);
	assert_int_equal(blk->stats.bytes[BLOCK_DISCARD], MIB / 2);
	assert_int_equal(blk->stats.requests[BLOCK_ZERO], 2);
	blk->ops->close(blk);
	blk = open_file(&b, path, true);
	assert_false(blk->discards || blk->zeroes);
	assert_int_equal(do_range(&b, blk, BLOCK_DISCARD, 0, 512, false), -EROFS);
	blk->ops->close(blk);
	bench_close(&b);
}

#define JOBS 500

static void count_told(void *dev)
{
	++*(unsigned int *)dev;
}

/*
 * A batch is handed on at its end, whatever its size. What is over then need not be waited for; what is submitted from
 * an end is carried out all the same.
 */
static void test_batch(void **state)
{
	static struct job j[JOBS], after[JOBS];
	static uint8_t out[JOBS][512], in[JOBS][512];
	const char *path = make_file("batch", JOBS * 512);
	unsigned int sizes[] = { 1, 2, 31, 128, 129, JOBS }, told = 0;
	struct block *blk;
	struct bench b;

	(void)state;
	bench_open(&b);
	blk = open_file(&b, path, false);
	blk->told = count_told;
	blk->dev = &told;
	for (unsigned int round = 0; round < sizeof(sizes) / sizeof(sizes[0]); round++) {
		memset(in, 0, sizeof(in));
		bench_lock(&b);
		block_batch_begin(blk);
		block_batch_begin(blk);
		for (unsigned int i = 0; i < sizes[round]; i++) {
			pattern(out[i], 512, round * JOBS + i);
			job_init(&after[i], &b, blk, BLOCK_READ, i * 512, in[i], 512);
			job_init(&j[i], &b, blk, BLOCK_WRITE, i * 512, out[i], 512);
			j[i].then = &after[i];
			j[i].submitting = true;
			block_submit(blk, &j[i].req);
			j[i].submitting = false;
		}
		block_batch_end(blk);
		block_batch_end(blk);
		block_collect(blk);
		bench_unlock(&b);
		for (unsigned int i = 0; i < sizes[round]; i++) {
			assert_int_equal(job_wait(&after[i]), 0);
			assert_int_equal(j[i].ret, 0);
			assert_memory_equal(in[i], out[i], 512);
		}
	}
	assert_true(told > 0);
	blk->told = NULL;
	blk->ops->drain(blk);
	blk->ops->close(blk);
	bench_close(&b);
}

/* Far more at once than the host is given at a time; each may submit another from its end. */
static void test_many_at_once(void **state)
{
	static struct job j[JOBS], after[JOBS];
	static uint8_t out[JOBS][512], in[JOBS][512];
	const char *path = make_file("many", JOBS * 512);
	struct block *blk;
	struct bench b;
	int i;

	(void)state;
	bench_open(&b);
	blk = open_file(&b, path, false);
	for (i = 0; i < JOBS; i++) {
		pattern(out[i], 512, i);
		job_init(&after[i], &b, blk, BLOCK_READ, i * 512, in[i], 512);
		job_init(&j[i], &b, blk, BLOCK_WRITE, i * 512, out[i], 512);
		j[i].then = &after[i];
		job_submit(&j[i]);
	}
	for (i = JOBS - 1; i >= 0; i--) {
		assert_int_equal(job_wait(&after[i]), 0);
		assert_int_equal(j[i].ret, 0);
		assert_memory_equal(in[i], out[i], 512);
	}
	blk->ops->close(blk);
	bench_close(&b);
}

/* What has been submitted is over, and done, when drain returns; also what ends in another submission. */
static void test_drain(void **state)
{
	static struct job j[JOBS], after[JOBS];
	static uint8_t buf[JOBS][512];
	const char *path = make_file("drain", JOBS * 512);
	struct block *blk;
	struct bench b;
	int i;

	(void)state;
	bench_open(&b);
	blk = open_file(&b, path, false);
	for (i = 0; i < JOBS; i++) {
		job_init(&after[i], &b, blk, BLOCK_FLUSH, 0, NULL, 0);
		job_init(&j[i], &b, blk, i % 5 ? BLOCK_WRITE : BLOCK_READ, i % 7 ? i * 512 : MIB,
			 buf[i], 512);
		j[i].then = &after[i];
		job_submit(&j[i]);
	}
	blk->ops->drain(blk);
	for (i = 0; i < JOBS; i++) {
		assert_true(after[i].over);
		assert_int_equal(j[i].ret, i % 7 ? 0 : -EINVAL);
	}
	blk->ops->close(blk);
	bench_close(&b);
}

static void test_refused_requests(void **state)
{
	const char *path = make_file("ro", 4096);
	struct block *blk;
	uint8_t buf[1024];
	struct bench b;
	struct iovec huge[2] = { { buf, SIZE_MAX }, { buf, 2 } };
	struct job j;

	(void)state;
	bench_open(&b);
	blk = open_file(&b, path, true);
	assert_true(blk->readonly);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 0, buf, 512), -EROFS);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 4096 - 512, buf, 1024), -EINVAL);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, UINT64_MAX - 100, buf, 512), -EINVAL);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 4097, buf, 0), -EINVAL);
	assert_int_equal(transfer(&b, blk, (enum block_op)7, 0, buf, 512), -EINVAL);
	assert_int_equal(transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0), 0);
	job_init(&j, &b, blk, BLOCK_READ, 0, NULL, 0);
	j.req.iov = huge;
	j.req.iovs = 2;
	job_submit(&j);
	assert_int_equal(job_wait(&j), -EINVAL);
	assert_int_equal(blk->stats.failed[BLOCK_READ], 4);
	assert_int_equal(blk->stats.bytes[BLOCK_READ], 0);
	blk->ops->close(blk);
	bench_close(&b);
}

/* A tail of less than a sector reads as zeroes behind its end, and can be written. */
static void test_odd_size(void **state)
{
	const char *path = make_file("odd", 1000);
	uint8_t text[1000], buf[1024], zero[1024] = { 0 };
	struct block *blk;
	struct stat st;
	struct bench b;

	(void)state;
	bench_open(&b);
	pattern(text, sizeof(text), 4);
	put(path, 0, text, sizeof(text));
	blk = open_file(&b, path, false);
	assert_int_equal(blk->size, 1024);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, buf, 1024), 0);
	assert_memory_equal(buf, text, 1000);
	assert_memory_equal(buf + 1000, zero, 24);
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 1008, buf, 16), 0);
	assert_memory_equal(buf, zero, 16);
	pattern(buf, 512, 5);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 512, buf, 512), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1024);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 512, zero, 512), 0);
	assert_memory_equal(zero, buf, 512);
	blk->ops->close(blk);
	bench_close(&b);
}

/* Somebody cuts the file while it is in use: what is gone cannot be read, and zeroes are not invented. */
static void test_truncated_meanwhile(void **state)
{
	const char *path = make_file("cut", 8192);
	struct block *blk;
	uint8_t buf[4096];
	struct bench b;

	(void)state;
	bench_open(&b);
	blk = open_file(&b, path, false);
	assert_int_equal(truncate(path, 4096), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, buf, 4096), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 2048, buf, 4096), -EIO);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 4096, buf, 512), -EIO);
	blk->ops->close(blk);
	bench_close(&b);
}

/* A file system without room: what fits is there, what does not is an error, and so on until there is room. */
static void test_no_space(void **state)
{
	static uint8_t out[256 << 10], in[256 << 10];
	struct block *blk;
	struct bench b;
	char path[128];

	(void)state;
	if (!mounts)
		skip();
	bench_open(&b);
	assert_int_equal(mount("none", folder, "tmpfs", 0, "size=128k"), 0);
	strcpy(path, make_file("sparse", MIB));
	blk = open_file(&b, path, false);
	pattern(out, sizeof(out), 6);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 0, out, 64 << 10), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 256 << 10, out, sizeof(out)), -ENOSPC);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 512 << 10, out, sizeof(out)), -ENOSPC);
	assert_int_equal(blk->stats.failed[BLOCK_WRITE], 2);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 0, in, 64 << 10), 0);
	assert_memory_equal(in, out, 64 << 10);
	assert_int_equal(mount("none", folder, "tmpfs", MS_REMOUNT, "size=1m"), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_WRITE, 256 << 10, out, sizeof(out)), 0);
	assert_int_equal(transfer(&b, blk, BLOCK_READ, 256 << 10, in, sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
	blk->ops->close(blk);
	assert_int_equal(umount(folder), 0);
	bench_close(&b);
}

/* As a worker has it: the filter of system calls around it. */
static void test_in_the_sandbox(void **state)
{
	const struct sandbox sandbox = { 0 };
	struct block *blk;
	struct bench b;
	int status;
	uint8_t out[4096], in[4096];
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		bench_open(&b);
		blk = open_file(&b, make_file("boxed", MIB), false);
		if (sandbox_enter(&sandbox))
			_exit(1);
		pattern(out, sizeof(out), 7);
		if (transfer(&b, blk, BLOCK_WRITE, 8192, out, sizeof(out)) ||
		    transfer(&b, blk, BLOCK_FLUSH, 0, NULL, 0) ||
		    (blk->discards && do_range(&b, blk, BLOCK_DISCARD, 65536, 4096, false)) ||
		    transfer(&b, blk, BLOCK_READ, 8192, in, sizeof(in)) ||
		    memcmp(in, out, sizeof(in)))
			_exit(2);
		blk->ops->close(blk);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int try_open(struct bench *b, const char *path, bool readonly, bool raw)
{
	struct block_file_config cfg = { path, readonly, raw, no_uring };
	struct block *blk = NULL;
	int ret;

	bench_listen(b);
	ret = block_file_open(&b->host, &cfg, &blk);
	bench_heard(b);
	if (blk)
		blk->ops->close(blk);
	return ret;
}

static void test_locks(void **state)
{
	const char *path = make_file("locked", 4096);
	struct block *one, *two;
	struct bench b;

	(void)state;
	bench_open(&b);
	one = open_file(&b, path, false);
	assert_int_equal(try_open(&b, path, false, false), -EBUSY);
	bench_expect_line(b.said,
			  "is in use: end the other machine, or give it to both with ',readonly'");
	bench_expect_line(b.said, path);
	assert_int_equal(try_open(&b, path, true, false), -EBUSY);
	one->ops->close(one);
	one = open_file(&b, path, true);
	two = open_file(&b, path, true);
	assert_int_equal(try_open(&b, path, false, false), -EBUSY);
	one->ops->close(one);
	two->ops->close(two);
	assert_int_equal(try_open(&b, path, false, false), 0);
	assert_string_equal(b.said, "");
	bench_close(&b);
}

static void test_what_cannot_be_a_disk(void **state)
{
	struct bench b;
	char path[128];

	(void)state;
	bench_open(&b);
	assert_int_equal(try_open(&b, "/nonexistent/disk", false, false), -ENOENT);
	bench_expect_line(
		b.said,
		"plinth: cannot open the disk /nonexistent/disk: No such file or directory");
	assert_int_equal(try_open(&b, folder, false, false), -EISDIR);
	bench_expect_line(b.said, "is a directory: name an image file or a block device");
	assert_int_equal(try_open(&b, folder, true, false), -EISDIR);
	bench_expect_line(b.said, "is a directory: name an image file or a block device");
	assert_int_equal(try_open(&b, make_file("empty", 0), false, false), -EINVAL);
	bench_expect_line(b.said, "is empty: make it larger, e.g. by 'truncate -s 8G");
	assert_int_equal(try_open(&b, "/dev/null", false, false), -EINVAL);
	bench_expect_line(b.said, "is neither a file nor a block device");
	snprintf(path, sizeof(path), "%s/pipe", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(try_open(&b, path, true, false), -EINVAL);
	bench_expect_line(b.said, "is neither a file nor a block device");
	bench_close(&b);
}

/* Somebody who means it may say so. */
static void test_other_formats(void **state)
{
	static const struct {
		const char *head, *name;
	} t[] = { { "QFI\xfb\0\0\0\3", "qcow2" }, { "KDMV\1\0\0\0", "VMDK" },
		  { "vhdxfile", "VHDX" },	  { "conectix", "VHD" },
		  { "<<< Orac", "VDI" },	  { "<<< QEMU", "VDI" } };
	struct bench b;
	char path[128], words[128];

	(void)state;
	bench_open(&b);
	strcpy(path, make_file("image", 4096));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		put(path, 0, t[i].head, 8);
		snprintf(words, sizeof(words),
			 "looks like %s, which is not raw: serve it by qemu-nbd and give nbd:URI, "
			 "or add ',format=raw'",
			 t[i].name);
		assert_int_equal(try_open(&b, path, false, false), -EINVAL);
		bench_expect_line(b.said, words);
		assert_int_equal(try_open(&b, path, false, true), 0);
	}
	bench_close(&b);
}

/* Somebody who may not write is told what to add. Root may: it is a child process that becomes somebody else. */
static void test_not_writable(void **state)
{
	const char *path = make_file("theirs", 4096);
	struct bench b;

	(void)state;
	bench_open(&b);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(try_open(&b, path, false, false), -EACCES);
	bench_expect_line(b.said, "cannot write the disk");
	bench_expect_line(b.said, "or add ',readonly'");
	assert_int_equal(try_open(&b, path, true, false), 0);
	assert_int_equal(seteuid(0), 0);
	bench_close(&b);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	/* Mounts of its own, for the file system that is full. */
	mounts =
		unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static int with_threads(void **state)
{
	(void)state;
	no_uring = true;
	return 0;
}

static int with_uring(void **state)
{
	(void)state;
	no_uring = false;
	return 0;
}

#define BOTH(test)                                                                                 \
	{ #test "_uring", test, with_uring, NULL, NULL },                                          \
	{                                                                                          \
#test "_threads", test, with_threads, NULL, NULL                                   \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_write_read_flush),
		BOTH(test_cached_read),
		BOTH(test_many_buffers),
		BOTH(test_ranges),
		BOTH(test_batch),
		BOTH(test_many_at_once),
		BOTH(test_drain),
		BOTH(test_refused_requests),
		BOTH(test_odd_size),
		BOTH(test_truncated_meanwhile),
		BOTH(test_no_space),
		BOTH(test_in_the_sandbox),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_what_cannot_be_a_disk),
		cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_not_writable),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
