// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "worker/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC 1000000000ull

int loop_open(struct loop *loop)
{
	memset(loop, 0, sizeof(*loop));
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll_fd < 0 ? -errno : 0;
}

void loop_close(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

static int loop_ctl(struct loop *loop, int op, struct loop_source *src, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };

	return epoll_ctl(loop->epoll_fd, op, src->fd, &ev) ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_source *src, uint32_t events)
{
	return loop_ctl(loop, EPOLL_CTL_ADD, src, events);
}

int loop_modify(struct loop *loop, struct loop_source *src, uint32_t events)
{
	return loop_ctl(loop, EPOLL_CTL_MOD, src, events);
}

void loop_remove(struct loop *loop, struct loop_source *src)
{
	int i;

	if (src->fd >= 0)
		loop_ctl(loop, EPOLL_CTL_DEL, src, 0);
	for (i = loop->at; i < loop->len; i++) {
		if (loop->batch[i].data.ptr == src)
			loop->batch[i].data.ptr = NULL;
	}
}

int loop_run_once(struct loop *loop, int timeout_ms)
{
	struct loop_source *src;
	struct epoll_event *ev;
	int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	loop->at = 0;
	loop->len = n;
	while (loop->at < loop->len) {
		ev = &loop->batch[loop->at++];
		src = ev->data.ptr;
		if (src)
			src->ready(src, ev->events);
	}
	return 0;
}

/* Makes an eventfd or a timerfd silent again. */
static void loop_clear(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* silent already */
}

static void loop_event_ready(struct loop_source *src, uint32_t events)
{
	struct loop_event *ev = src->ctx;

	(void)events;
	loop_clear(src->fd);
	ev->signalled(ev);
}

static void loop_timer_ready(struct loop_source *src, uint32_t events)
{
	struct loop_timer *t = src->ctx;
	uint64_t count;

	(void)events;
	/* Armed anew meanwhile, it has nothing to say yet. */
	if (read(src->fd, &count, sizeof(count)) == sizeof(count))
		t->fire(t);
}

/* Takes over @fd, or the error of making it. */
static int loop_adopt(struct loop *loop, struct loop_source *src, int fd)
{
	int ret = fd < 0 ? -errno : 0;

	src->fd = fd;
	if (!ret)
		ret = loop_add(loop, src, EPOLLIN);
	if (ret && fd >= 0) {
		close(fd);
		src->fd = -1;
	}
	return ret;
}

static void loop_drop(struct loop *loop, struct loop_source *src)
{
	if (src->fd < 0)
		return;
	loop_remove(loop, src);
	close(src->fd);
	src->fd = -1;
}

int loop_event_open(struct loop *loop, struct loop_event *ev,
		    void (*signalled)(struct loop_event *ev), void *ctx)
{
	*ev = (struct loop_event){
		.src = { .ready = loop_event_ready, .ctx = ev },
		.signalled = signalled,
		.ctx = ctx,
	};
	return loop_adopt(loop, &ev->src, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void loop_event_signal(struct loop_event *ev)
{
	uint64_t one = 1;

	if (write(ev->src.fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable all the same */
}

void loop_event_close(struct loop *loop, struct loop_event *ev)
{
	loop_drop(loop, &ev->src);
}

int loop_timer_open(struct loop *loop, struct loop_timer *t, void (*fire)(struct loop_timer *t),
		    void *ctx)
{
	*t = (struct loop_timer){
		.src = { .ready = loop_timer_ready, .ctx = t },
		.fire = fire,
		.ctx = ctx,
	};
	return loop_adopt(loop, &t->src,
			  timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

void loop_timer_arm(struct loop_timer *t, uint64_t deadline)
{
	struct itimerspec spec = {
		.it_value = { .tv_sec = deadline / NS_PER_SEC, .tv_nsec = deadline % NS_PER_SEC },
	};

	timerfd_settime(t->src.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void loop_timer_close(struct loop *loop, struct loop_timer *t)
{
	loop_drop(loop, &t->src);
}

uint64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}
