// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "tests/unit/fakeclock.h"

struct probe {
	struct dev_timer t;
	struct timerq *q;
	struct probe *other; /* cancelled or moved when this one fires */
	uint64_t other_to;   /* where to, 0 cancels */
	uint64_t again;	     /* arm itself for this time, 0 does not */
	unsigned int fired;
	unsigned int *counter; /* common to several: gives the order */
	unsigned int order;
	uint64_t at;
};

static void probe_fire(void *dev, uint64_t now)
{
	struct probe *p = dev;

	assert_false(p->t.armed);
	p->fired++;
	p->at = now;
	if (p->counter)
		p->order = ++*p->counter;
	if (p->other && p->other_to)
		timerq_arm(p->q, &p->other->t, p->other_to);
	else if (p->other)
		timerq_cancel(p->q, &p->other->t);
	if (p->again)
		timerq_arm(p->q, &p->t, p->again);
}

static void probe_init(struct probe *p, struct timerq *q, unsigned int *counter)
{
	memset(p, 0, sizeof(*p));
	p->t.fire = probe_fire;
	p->t.dev = p;
	p->q = q;
	p->counter = counter;
}

static void fires_in_order(void **state)
{
	struct timerq q;
	struct probe p[4];
	unsigned int counter = 0;

	(void)state;
	timerq_init(&q);
	assert_true(timerq_deadline(&q) == TIMERQ_NEVER);
	for (int i = 0; i < 4; i++)
		probe_init(&p[i], &q, &counter);
	assert_true(timerq_arm(&q, &p[0].t, 30));
	assert_true(timerq_arm(&q, &p[1].t, 10));
	assert_false(timerq_arm(&q, &p[2].t, 20));
	assert_false(timerq_arm(&q, &p[3].t, 10));
	assert_int_equal(timerq_deadline(&q), 10);
	timerq_run(&q, 9);
	assert_int_equal(counter, 0);
	timerq_run(&q, 25);
	assert_int_equal(p[1].order, 1);
	assert_int_equal(p[3].order, 2);
	assert_int_equal(p[2].order, 3);
	assert_int_equal(p[0].fired, 0);
	assert_int_equal(timerq_deadline(&q), 30);
}

static void moving_and_cancelling(void **state)
{
	struct timerq q;
	struct probe p[2];

	(void)state;
	timerq_init(&q);
	probe_init(&p[0], &q, NULL);
	probe_init(&p[1], &q, NULL);
	timerq_arm(&q, &p[0].t, 10);
	timerq_arm(&q, &p[1].t, 20);
	assert_true(timerq_arm(&q, &p[0].t, 30));
	assert_int_equal(timerq_deadline(&q), 20);
	assert_true(timerq_cancel(&q, &p[1].t));
	assert_false(timerq_cancel(&q, &p[1].t));
	assert_false(p[1].t.armed);
	timerq_run(&q, 100);
	assert_int_equal(p[0].fired, 1);
	assert_int_equal(p[1].fired, 0);
}

static void firing_changes_the_queue(void **state)
{
	struct timerq q;
	struct probe p[3];

	(void)state;
	timerq_init(&q);
	for (int i = 0; i < 3; i++)
		probe_init(&p[i], &q, NULL);
	p[0].other = &p[1]; /* cancels one that is due as well */
	p[2].again = 5;	    /* asks for the past: put off, not fired again in the same run */
	timerq_arm(&q, &p[0].t, 10);
	timerq_arm(&q, &p[1].t, 11);
	timerq_arm(&q, &p[2].t, 12);
	timerq_run(&q, 20);
	assert_int_equal(p[0].fired, 1);
	assert_int_equal(p[1].fired, 0);
	assert_int_equal(p[2].fired, 1);
	assert_int_equal(timerq_deadline(&q), 21);
	p[2].again = 0;
	p[2].other = &p[1];
	p[2].other_to = 50;
	timerq_run(&q, 21);
	assert_int_equal(p[2].fired, 2);
	assert_int_equal(timerq_deadline(&q), 50);
	timerq_run(&q, 60);
	assert_int_equal(p[1].fired, 1);
	assert_int_equal(p[1].at, 60);
	assert_true(timerq_deadline(&q) == TIMERQ_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_in_order),
		cmocka_unit_test(moving_and_cancelling),
		cmocka_unit_test(firing_changes_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
