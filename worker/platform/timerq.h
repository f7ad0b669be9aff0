/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_TIMERQ_H
#define WORKER_PLATFORM_TIMERQ_H

/*
 * The bookkeeping behind a dev_clock: a queue of armed timers, earliest first. Pure data; who owns
 * it brings the time (a timerfd in the worker, a variable in tests). Under the platform lock.
 */
#include "worker/device.h"

#define TIMERQ_NEVER UINT64_MAX

struct timerq {
	struct dev_timer *head; /* sorted by deadline; equal deadlines in order of arming */
	uint64_t floor;		/* no deadline before this may be armed (set while timers fire) */
};

void timerq_init(struct timerq *q);

/* Queue @t for @deadline, moving it if it is armed. Returns true if the earliest deadline of the
 * queue changed, i.e. if what waits for it has to be set anew. */
bool timerq_arm(struct timerq *q, struct dev_timer *t, uint64_t deadline);

/* Take @t out; nothing happens if it is not armed. Returns like timerq_arm. */
bool timerq_cancel(struct timerq *q, struct dev_timer *t);

/* The earliest deadline in ns, TIMERQ_NEVER if nothing is armed. */
uint64_t timerq_deadline(const struct timerq *q);

/*
 * Fire, in order, every timer that is due at @now. What is armed meanwhile for @now or earlier is
 * put off to @now + 1, so that a call always ends.
 */
void timerq_run(struct timerq *q, uint64_t now);

#endif
