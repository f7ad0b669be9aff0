/* SPDX-License-Identifier: GPL-2.0-only */
/* What tests of back ends share: a loop, a platform lock that tells when it is not held, requests that are waited for. */
#ifndef TESTS_UNIT_BACKENDTEST_H
#define TESTS_UNIT_BACKENDTEST_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/backends/backend.h"

struct bench {
	struct loop loop;
	struct backend_host host;
	pthread_mutex_t lock;
	bool held;
	char said[2048]; /* by the last call between bench_listen() and bench_heard() */
	int stderr_copy, said_fd;
};

static void bench_lock(void *ctx)
{
	struct bench *b = ctx;

	pthread_mutex_lock(&b->lock);
	assert_false(b->held);
	b->held = true;
}

static void bench_unlock(void *ctx)
{
	struct bench *b = ctx;

	b->held = false;
	pthread_mutex_unlock(&b->lock);
}

static void bench_open(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	pthread_mutex_init(&b->lock, NULL);
	assert_int_equal(loop_open(&b->loop), 0);
	b->host = (struct backend_host){
		.loop = &b->loop,
		.lock = bench_lock,
		.unlock = bench_unlock,
		.ctx = b,
	};
}

static void bench_close(struct bench *b)
{
	loop_close(&b->loop);
	pthread_mutex_destroy(&b->lock);
}

/* Collects what goes to standard error, until bench_heard(). */
static inline void bench_listen(struct bench *b)
{
	char path[] = "/tmp/plinth-said-XXXXXX";

	fflush(stderr);
	b->stderr_copy = dup(STDERR_FILENO);
	b->said_fd = mkstemp(path);
	assert_true(b->said_fd >= 0);
	unlink(path);
	dup2(b->said_fd, STDERR_FILENO);
}

static inline const char *bench_heard(struct bench *b)
{
	ssize_t n;

	fflush(stderr);
	dup2(b->stderr_copy, STDERR_FILENO);
	n = pread(b->said_fd, b->said, sizeof(b->said) - 1, 0);
	b->said[n > 0 ? n : 0] = 0;
	close(b->said_fd);
	close(b->stderr_copy);
	return b->said;
}

/* What was said is one line that holds these words. */
static inline void bench_expect_line(const char *said, const char *words)
{
	const char *end = strchr(said, '\n');

	if (!strstr(said, words) || !end || end[1])
		fail_msg("'%s' is not in the one line '%s'", words, said);
}

/* A request with its own state. */
struct job {
	struct block_request req;
	struct iovec one;
	struct bench *b;
	bool over;
	bool submitting;
	int ret;
	struct job *then; /* submitted from the end of this one */
	struct block *blk;
};

static void job_done(struct block_request *req, int ret)
{
	struct job *j = (struct job *)req;

	assert_true(j->b->held);
	assert_false(j->submitting);
	assert_false(j->over);
	j->over = true;
	j->ret = ret;
	if (j->then)
		block_submit(j->blk, &j->then->req);
}

static inline void job_init(struct job *j, struct bench *b, struct block *blk, enum block_op op,
			    uint64_t off, void *buf, size_t len)
{
	memset(j, 0, sizeof(*j));
	j->one = (struct iovec){ buf, len };
	j->req = (struct block_request){
		.op = op,
		.offset = off,
		.iov = &j->one,
		.iovs = op == BLOCK_FLUSH ? 0 : 1,
		.done = job_done,
	};
	j->b = b;
	j->blk = blk;
}

static void job_submit(struct job *j)
{
	bench_lock(j->b);
	j->submitting = true;
	block_submit(j->blk, &j->req);
	j->submitting = false;
	block_collect(j->blk);
	bench_unlock(j->b);
}

static int job_wait(struct job *j)
{
	while (!j->over)
		assert_int_equal(loop_run_once(&j->b->loop, -1), 0);
	return j->ret;
}

/* One request from beginning to end. */
static inline int transfer(struct bench *b, struct block *blk, enum block_op op, uint64_t off,
			   void *buf, size_t len)
{
	struct job j;

	job_init(&j, b, blk, op, off, buf, len);
	job_submit(&j);
	return job_wait(&j);
}

/* The same for a range. */
static inline int do_range(struct bench *b, struct block *blk, enum block_op op, uint64_t off,
			   uint32_t len, bool unmap)
{
	struct job j;

	job_init(&j, b, blk, op, off, NULL, 0);
	j.req.iovs = 0;
	j.req.range = len;
	j.req.unmap = unmap;
	job_submit(&j);
	return job_wait(&j);
}

/* Bytes that tell where they belong. */
static inline void pattern(uint8_t *buf, size_t len, uint32_t seed)
{
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1103515245u + 12345u;
		buf[i] = seed >> 16;
	}
}

#endif
