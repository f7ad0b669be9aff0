// SPDX-License-Identifier: GPL-2.0-only
#include "worker/platform/timerq.h"

void timerq_init(struct timerq *q)
{
	q->head = NULL;
	q->floor = 0;
}

static void unlink_timer(struct timerq *q, struct dev_timer *t)
{
	struct dev_timer **link = &q->head;

	while (*link != t)
		link = &(*link)->next;
	*link = t->next;
	t->next = NULL;
	t->armed = false;
}

static void insert_timer(struct timerq *q, struct dev_timer *t)
{
	struct dev_timer **link = &q->head;

	while (*link && (*link)->deadline <= t->deadline)
		link = &(*link)->next;
	t->next = *link;
	t->armed = true;
	*link = t;
}

bool timerq_arm(struct timerq *q, struct dev_timer *t, uint64_t deadline)
{
	uint64_t before = timerq_deadline(q);

	if (t->armed)
		unlink_timer(q, t);
	t->deadline = deadline < q->floor ? q->floor : deadline;
	insert_timer(q, t);
	return timerq_deadline(q) != before;
}

bool timerq_cancel(struct timerq *q, struct dev_timer *t)
{
	uint64_t before = timerq_deadline(q);

	if (!t->armed)
		return false;
	unlink_timer(q, t);
	return timerq_deadline(q) != before;
}

uint64_t timerq_deadline(const struct timerq *q)
{
	return q->head ? q->head->deadline : TIMERQ_NEVER;
}

void timerq_run(struct timerq *q, uint64_t now)
{
	q->floor = now < TIMERQ_NEVER ? now + 1 : now;
	while (q->head && q->head->deadline <= now && q->head->deadline < TIMERQ_NEVER) {
		struct dev_timer *t = q->head;

		unlink_timer(q, t);
		t->fire(t->dev, now);
	}
	q->floor = 0;
}
