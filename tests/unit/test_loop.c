// SPDX-License-Identifier: GPL-2.0-only
/* The event loop: who is called, when, and that what has been removed is not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/loop.h"

#define MS 1000000ull

struct end {
	struct loop_source src;
	struct loop *loop;
	struct end *victim; /* removed by the handler */
	unsigned int calls;
	uint32_t events;
};

static void end_ready(struct loop_source *src, uint32_t events)
{
	struct end *e = src->ctx;

	e->calls++;
	e->events = events;
	if (e->victim)
		loop_remove(e->loop, &e->victim->src);
}

static void end_init(struct end *e, struct loop *loop, int fd)
{
	*e = (struct end){ .src = { .fd = fd, .ready = end_ready, .ctx = e }, .loop = loop };
}

static void test_level_and_modify(void **state)
{
	struct loop loop;
	struct end in, out;
	int fd[2];

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(pipe(fd), 0);
	end_init(&in, &loop, fd[0]);
	end_init(&out, &loop, fd[1]);
	assert_int_equal(loop_add(&loop, &in.src, EPOLLIN), 0);
	assert_int_equal(loop_run_once(&loop, 0), 0);
	assert_int_equal(in.calls, 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	loop_run_once(&loop, -1);
	loop_run_once(&loop, -1);
	assert_int_equal(in.calls, 2); /* nobody has read it */
	assert_int_equal(in.events, EPOLLIN);
	assert_int_equal(loop_modify(&loop, &in.src, 0), 0);
	loop_run_once(&loop, 0);
	assert_int_equal(in.calls, 2);
	assert_int_equal(loop_modify(&loop, &in.src, EPOLLIN | EPOLLONESHOT), 0);
	loop_run_once(&loop, 0);
	loop_run_once(&loop, 0);
	assert_int_equal(in.calls, 3);
	assert_int_equal(loop_add(&loop, &out.src, EPOLLOUT), 0);
	loop_run_once(&loop, -1);
	assert_int_equal(out.calls, 1);
	assert_int_equal(out.events, EPOLLOUT);
	loop_close(&loop);
	close(fd[0]);
	close(fd[1]);
}

/* Both are ready at once: the first to be served removes the other, which is not called then. */
static void test_removed_is_not_called(void **state)
{
	struct loop loop;
	struct end a, b;
	int fa[2], fb[2];

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(pipe(fa), 0);
	assert_int_equal(pipe(fb), 0);
	end_init(&a, &loop, fa[0]);
	end_init(&b, &loop, fb[0]);
	a.victim = &b;
	b.victim = &a;
	assert_int_equal(loop_add(&loop, &a.src, EPOLLIN), 0);
	assert_int_equal(loop_add(&loop, &b.src, EPOLLIN), 0);
	assert_int_equal(write(fa[1], "x", 1), 1);
	assert_int_equal(write(fb[1], "x", 1), 1);
	loop_run_once(&loop, -1);
	assert_int_equal(a.calls + b.calls, 1);
	loop_run_once(&loop, 0);
	assert_int_equal(a.calls + b.calls, 2); /* the one that is left */
	assert_true(a.calls == 0 || b.calls == 0);
	loop_remove(&loop, &a.src); /* also what is not in it any more */
	loop_remove(&loop, &b.src);
	loop_close(&loop);
	close(fa[0]);
	close(fa[1]);
	close(fb[0]);
	close(fb[1]);
}

static void test_regular_file_is_refused(void **state)
{
	struct loop loop;
	struct end e;
	int fd = open("/proc/self/exe", O_RDONLY);

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	end_init(&e, &loop, fd);
	assert_int_equal(loop_add(&loop, &e.src, EPOLLIN), -EPERM);
	loop_close(&loop);
	close(fd);
}

static void count_event(struct loop_event *ev)
{
	++*(unsigned int *)ev->ctx;
}

static void count_timer(struct loop_timer *t)
{
	++*(unsigned int *)t->ctx;
}

static void test_event(void **state)
{
	struct loop_event ev;
	unsigned int calls = 0;
	struct loop loop;

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(loop_event_open(&loop, &ev, count_event, &calls), 0);
	loop_run_once(&loop, 0);
	assert_int_equal(calls, 0);
	loop_event_signal(&ev);
	loop_event_signal(&ev);
	loop_run_once(&loop, -1);
	loop_run_once(&loop, 0);
	assert_int_equal(calls, 1);
	loop_event_signal(&ev);
	loop_run_once(&loop, -1);
	assert_int_equal(calls, 2);
	loop_event_close(&loop, &ev);
	loop_event_close(&loop, &ev);
	loop_close(&loop);
}

static void test_timer(void **state)
{
	struct loop_timer t;
	unsigned int fired = 0;
	uint64_t start = loop_now();
	struct loop loop;

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(loop_timer_open(&loop, &t, count_timer, &fired), 0);
	loop_run_once(&loop, 0);
	assert_int_equal(fired, 0);
	loop_timer_arm(&t, start + 20 * MS);
	while (!fired)
		loop_run_once(&loop, -1);
	assert_true(loop_now() >= start + 20 * MS);
	loop_run_once(&loop, 0);
	assert_int_equal(fired, 1);
	loop_timer_arm(&t, 1); /* long ago */
	loop_run_once(&loop, -1);
	assert_int_equal(fired, 2);
	loop_timer_arm(&t, 1);
	loop_timer_arm(&t, 0);
	loop_run_once(&loop, 0);
	assert_int_equal(fired, 2);
	loop_timer_close(&loop, &t);
	loop_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_level_and_modify),
		cmocka_unit_test(test_removed_is_not_called),
		cmocka_unit_test(test_regular_file_is_refused),
		cmocka_unit_test(test_event),
		cmocka_unit_test(test_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
