/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_LOOP_H
#define WORKER_LOOP_H

/*
 * The main thread's event loop: descriptors and what to do when they are ready. Not a part of the platform: a handler
 * runs without the platform lock and takes it (machine_lock()) around what it does to devices.
 *
 * Sources, events and timers are added, removed and served by the main thread. loop_modify(), loop_event_signal() and
 * loop_timer_arm() may be called by any thread, with or without the platform lock, while what they name is in the loop.
 */
#include <stdint.h>
#include <sys/epoll.h>

#define LOOP_BATCH 16

struct loop {
	int epoll_fd;
	struct epoll_event batch[LOOP_BATCH]; /* being served: at to len - 1 are still to come */
	int at, len;
};

/* A descriptor that is waited for; embedded in its owner, who keeps it until loop_remove(). */
struct loop_source {
	int fd;
	/* @events: EPOLLIN and so on. May remove itself or others; a source that has been removed is not called. */
	void (*ready)(struct loop_source *src, uint32_t events);
	void *ctx; /* for @ready */
};

/* Returns 0 or a negative errno. */
int loop_open(struct loop *loop);
void loop_close(struct loop *loop);

/*
 * Wait for @events on src->fd: EPOLLIN, EPOLLOUT; level-triggered unless EPOLLET or EPOLLONESHOT is among them. Returns 0
 * or a negative errno: -EPERM for what is always ready, as regular files are.
 */
int loop_add(struct loop *loop, struct loop_source *src, uint32_t events);
int loop_modify(struct loop *loop, struct loop_source *src, uint32_t events);
/* No effect on a source that is not in the loop. Before its descriptor is closed. */
void loop_remove(struct loop *loop, struct loop_source *src);

/* Wait once, at most @timeout_ms (-1: for ever), and serve what is ready. Returns 0 or a negative errno. */
int loop_run_once(struct loop *loop, int timeout_ms);

/* Something that another thread tells the main thread; several signals may end in one call. */
struct loop_event {
	struct loop_source src; /* src.fd is -1 while it is not open */
	void (*signalled)(struct loop_event *ev);
	void *ctx; /* for @signalled */
};

/* Returns 0 or a negative errno. */
int loop_event_open(struct loop *loop, struct loop_event *ev,
		    void (*signalled)(struct loop_event *ev), void *ctx);
void loop_event_signal(struct loop_event *ev);
void loop_event_close(struct loop *loop, struct loop_event *ev);

/* One deadline, of CLOCK_MONOTONIC. */
struct loop_timer {
	struct loop_source src; /* src.fd is -1 while it is not open */
	void (*fire)(struct loop_timer *t);
	void *ctx; /* for @fire */
};

/* Returns 0 or a negative errno. The timer is not armed. */
int loop_timer_open(struct loop *loop, struct loop_timer *t, void (*fire)(struct loop_timer *t),
		    void *ctx);
/* Fire once @deadline (ns) has been reached, soon if it has been; 0: disarm. */
void loop_timer_arm(struct loop_timer *t, uint64_t deadline);
void loop_timer_close(struct loop *loop, struct loop_timer *t);

/* CLOCK_MONOTONIC, ns. */
uint64_t loop_now(void);

#endif
