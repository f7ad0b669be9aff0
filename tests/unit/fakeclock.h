/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_UNIT_FAKECLOCK_H
#define TESTS_UNIT_FAKECLOCK_H

/* What tests and fuzzers drive a device with: a clock that moves when told, and a pin recorder. */
#include <assert.h>
#include <string.h>
#include "worker/platform/timerq.h"

struct fakeclock {
	struct timerq q;
	uint64_t now;
	struct dev_clock clk;
};

static inline uint64_t fakeclock_now(void *ctx)
{
	return ((struct fakeclock *)ctx)->now;
}

static inline void fakeclock_arm(void *ctx, struct dev_timer *t, uint64_t deadline)
{
	timerq_arm(&((struct fakeclock *)ctx)->q, t, deadline);
}

static inline void fakeclock_cancel(void *ctx, struct dev_timer *t)
{
	timerq_cancel(&((struct fakeclock *)ctx)->q, t);
}

static inline void fakeclock_init(struct fakeclock *f)
{
	timerq_init(&f->q);
	f->now = 0;
	f->clk = (struct dev_clock){ fakeclock_now, fakeclock_arm, fakeclock_cancel, f };
}

/* Move the time to @t, stopping at each deadline on the way: a clock that is never late. */
static inline void fakeclock_to(struct fakeclock *f, uint64_t t)
{
	while (timerq_deadline(&f->q) <= t) {
		if (timerq_deadline(&f->q) > f->now)
			f->now = timerq_deadline(&f->q);
		timerq_run(&f->q, f->now);
	}
	if (t > f->now)
		f->now = t;
}

static inline void fakeclock_advance(struct fakeclock *f, uint64_t ns)
{
	fakeclock_to(f, f->now + ns);
}

/* Jump to @t and only then fire what is due: a clock whose thread was kept from running. */
static inline void fakeclock_late(struct fakeclock *f, uint64_t t)
{
	f->now = t;
	timerq_run(&f->q, t);
}

/* Records what pins do: one recorder serves up to 32 pins. A device must not repeat a level. */
struct fakepins {
	bool level[32];
	unsigned int rises[32];
	unsigned int falls[32];
};

static inline void fakepins_set(void *ctx, unsigned int n, bool level)
{
	struct fakepins *p = (struct fakepins *)ctx;

	assert(level != p->level[n]);
	if (level)
		p->rises[n]++;
	else
		p->falls[n]++;
	p->level[n] = level;
}

static inline struct irq_pin fakepin(struct fakepins *p, unsigned int n)
{
	return (struct irq_pin){ fakepins_set, p, n };
}

#endif
