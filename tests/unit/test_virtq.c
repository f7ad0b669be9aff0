// SPDX-License-Identifier: GPL-2.0-only
/* The device's side of a virtqueue against a driver that keeps the rules, and one that does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/virtq_guest.h"
#include "worker/devices/virtq.h"

#define MEM  0x20000u
#define BASE 0x1000u
#define DATA 0x8000u
#define SIZE 8

struct test {
	struct dma dma;
	struct virtq q;
	struct virtq_guest g;
	struct virtq_chain chain;
	_Alignas(4096) uint8_t mem[MEM];
};

static void *map(void *ctx, uint64_t addr, size_t len)
{
	struct test *t = ctx;

	return addr <= MEM && len <= MEM - addr ? t->mem + addr : NULL;
}

static int begin(struct test *t)
{
	virtq_guest_init(&t->g, t->mem, BASE, SIZE);
	return virtq_start(&t->q, &t->dma, VIRTQ_GUEST_DESC(&t->g), VIRTQ_GUEST_AVAIL(&t->g),
			   VIRTQ_GUEST_USED(&t->g));
}

static int setup(void **state)
{
	static struct test t;

	memset(&t, 0, sizeof(t));
	t.dma = (struct dma){ .map = map, .ctx = &t };
	t.q.size = SIZE;
	*state = &t;
	return begin(&t);
}

static int pop(struct test *t)
{
	return virtq_pop(&t->q, &t->chain);
}

/* One chain of @links readable buffers and as many writable ones. */
static uint16_t chain(struct test *t, unsigned int links)
{
	uint16_t head = t->g.next % SIZE;

	for (unsigned int i = 0; i < 2 * links; i++)
		virtq_guest_desc(&t->g, DATA + 0x100 * i, 0x10 + i,
				 (i < links ? 0 : VRING_DESC_F_WRITE) |
					 (i + 1 < 2 * links ? VRING_DESC_F_NEXT : 0));
	return head;
}

static void test_chains_come_and_go(void **state)
{
	struct test *t = *state;
	struct vring_used_elem e;

	/* Many times round, across the wrap of the indices' low bits. */
	for (unsigned int round = 0; round < 100; round++) {
		uint16_t head = chain(t, 2);

		assert_int_equal(pop(t), 0);
		virtq_guest_offer(&t->g, head);
		assert_int_equal(pop(t), 1);
		assert_int_equal(t->chain.head, head);
		assert_int_equal(t->chain.outs, 2);
		assert_int_equal(t->chain.ins, 2);
		for (unsigned int i = 0; i < 4; i++) {
			assert_ptr_equal(t->chain.iov[i].iov_base, t->mem + DATA + 0x100 * i);
			assert_int_equal(t->chain.iov[i].iov_len, 0x10 + i);
		}
		assert_false(virtq_guest_take(&t->g, &e));
		virtq_push(&t->q, head, round);
		assert_true(virtq_guest_take(&t->g, &e));
		assert_int_equal(e.id, head);
		assert_int_equal(e.len, round);
	}
}

static void test_wraps_at_65536(void **state)
{
	struct test *t = *state;
	struct vring_used_elem e;
	uint16_t head = virtq_guest_desc(&t->g, DATA, 1, 0);

	t->q.event_idx = true;
	for (unsigned int i = 0; i < 70000; i++) {
		/* The driver wants to hear of each. */
		t->g.ring.avail->ring[SIZE] = t->g.seen;
		virtq_guest_offer(&t->g, head);
		assert_int_equal(pop(t), 1);
		virtq_push(&t->q, head, 0);
		assert_true(virtq_interrupts(&t->q));
		assert_false(virtq_interrupts(&t->q));
		assert_true(virtq_guest_take(&t->g, &e));
	}
}

static void test_a_chain_is_put_back(void **state)
{
	struct test *t = *state;
	uint16_t head = chain(t, 1);

	virtq_guest_offer(&t->g, head);
	assert_int_equal(pop(t), 1);
	virtq_unpop(&t->q, 1);
	t->chain.head = 99;
	assert_int_equal(pop(t), 1);
	assert_int_equal(t->chain.head, head);
	assert_int_equal(pop(t), 0);
}

static void test_indirect(void **state)
{
	struct test *t = *state;
	struct vring_desc table[3] = {
		{ DATA, 5, VRING_DESC_F_NEXT, 2 },
		{ 0, 0, 0, 0 },
		{ DATA + 0x100, 7, VRING_DESC_F_WRITE, 0 },
	};

	memcpy(t->mem + DATA + 0x1000, table, sizeof(table));
	t->q.indirect = true;
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, DATA + 0x1000, sizeof(table),
						  VRING_DESC_F_INDIRECT));
	assert_int_equal(pop(t), 1);
	assert_int_equal(t->chain.outs, 1);
	assert_int_equal(t->chain.ins, 1);
	assert_int_equal(t->chain.iov[1].iov_len, 7);
}

static void test_interrupts_by_flag(void **state)
{
	struct test *t = *state;
	uint16_t head = chain(t, 1);

	virtq_guest_offer(&t->g, head);
	pop(t);
	assert_false(virtq_interrupts(&t->q));
	t->g.ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	virtq_push(&t->q, head, 0);
	assert_false(virtq_interrupts(&t->q));
	t->g.ring.avail->flags = 0;
	virtq_push(&t->q, head, 0);
	assert_true(virtq_interrupts(&t->q));
}

static void test_interrupts_by_index(void **state)
{
	struct test *t = *state;

	t->q.event_idx = true;
	t->g.ring.avail->ring[SIZE] = 2; /* after the third */
	for (unsigned int i = 0; i < 3; i++) {
		virtq_push(&t->q, 0, 0);
		assert_int_equal(virtq_interrupts(&t->q), i == 2);
	}
	/* In one batch, across the mark. */
	t->g.ring.avail->ring[SIZE] = 4;
	for (unsigned int i = 0; i < 3; i++)
		virtq_push(&t->q, 0, 0);
	assert_true(virtq_interrupts(&t->q));
}

static void test_doorbells(void **state)
{
	struct test *t = *state;

	virtq_want_doorbell(&t->q, false);
	assert_int_equal(t->g.ring.used->flags, VRING_USED_F_NO_NOTIFY);
	assert_false(virtq_want_doorbell(&t->q, true));
	assert_int_equal(t->g.ring.used->flags, 0);
	virtq_guest_offer(&t->g, chain(t, 1));
	/* It has come meanwhile. */
	assert_true(virtq_want_doorbell(&t->q, true));
	pop(t);
	t->q.event_idx = true;
	assert_false(virtq_want_doorbell(&t->q, true));
	assert_int_equal(t->g.ring.used->ring[SIZE].id & 0xffff, 1); /* avail_event */
}

/* After any of these the queue is broken, and says so, until it is started anew. */
static void assert_breaks(struct test *t)
{
	assert_int_equal(pop(t), -EPROTO);
	assert_true(t->q.broken);
	assert_int_equal(pop(t), -EPROTO);
	virtq_push(&t->q, 0, 0);
	assert_int_equal(t->g.ring.used->idx, 0);
	assert_false(virtq_interrupts(&t->q));
	assert_false(virtq_want_doorbell(&t->q, true));
	assert_int_equal(begin(t), 0);
	assert_int_equal(pop(t), 0);
}

static void test_broken_rules(void **state)
{
	struct test *t = *state;
	struct vring_desc inner = { DATA, 1, VRING_DESC_F_INDIRECT, 0 };

	/* A head that is none */
	virtq_guest_offer(&t->g, SIZE);
	assert_breaks(t);
	/* More chains than there are descriptors */
	t->g.ring.avail->idx = SIZE + 1;
	assert_breaks(t);
	/* A link out of the table */
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, DATA, 1, VRING_DESC_F_NEXT));
	t->g.ring.desc[0].next = SIZE;
	assert_breaks(t);
	/* A loop */
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, DATA, 1, VRING_DESC_F_NEXT));
	t->g.ring.desc[0].next = 0;
	assert_breaks(t);
	/* No memory, or not all of it, or an address that wraps */
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, MEM - 1, 2, 0));
	assert_breaks(t);
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, UINT64_MAX, 2, 0));
	assert_breaks(t);
	/* No length */
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, DATA, 0, 0));
	assert_breaks(t);
	/* What is read after what is written */
	virtq_guest_desc(&t->g, DATA, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT);
	virtq_guest_desc(&t->g, DATA, 1, 0);
	virtq_guest_offer(&t->g, 0);
	assert_breaks(t);
	/* An indirect table that was not agreed on; then: of part of an entry, linked, within another */
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, DATA, 16, VRING_DESC_F_INDIRECT));
	assert_breaks(t);
	t->q.indirect = true;
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, DATA, 17, VRING_DESC_F_INDIRECT));
	assert_breaks(t);
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, DATA, 16,
						  VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT));
	assert_breaks(t);
	memcpy(t->mem + DATA, &inner, sizeof(inner));
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, DATA, 16, VRING_DESC_F_INDIRECT));
	assert_breaks(t);
}

static void test_a_long_chain(void **state)
{
	struct test *t = *state;
	struct vring_desc *table = (struct vring_desc *)(t->mem + DATA);

	for (uint16_t i = 0; i <= VIRTQ_SEGS_MAX; i++)
		table[i] = (struct vring_desc){ DATA, 1, VRING_DESC_F_NEXT, (uint16_t)(i + 1) };
	table[VIRTQ_SEGS_MAX - 1].flags = 0;
	t->q.indirect = true;
	virtq_guest_offer(&t->g, virtq_guest_desc(&t->g, DATA, (VIRTQ_SEGS_MAX + 1) * 16,
						  VRING_DESC_F_INDIRECT));
	assert_int_equal(pop(t), 1);
	assert_int_equal(t->chain.outs, VIRTQ_SEGS_MAX);
	table[VIRTQ_SEGS_MAX - 1].flags = VRING_DESC_F_NEXT;
	virtq_guest_offer(&t->g, 0);
	assert_int_equal(pop(t), -EPROTO);
}

static void test_bad_starts(void **state)
{
	struct test *t = *state;

	static const struct {
		uint16_t size;
		uint64_t desc, avail, used;
		int ret;
	} bad[] = {
		{ 0, BASE, BASE, BASE, -EINVAL },
		{ 3, BASE, BASE, BASE, -EINVAL },
		{ VIRTQ_SIZE_MAX * 2, BASE, BASE, BASE, -EINVAL },
		{ SIZE, BASE + 8, BASE, BASE, -EINVAL },
		{ SIZE, BASE, BASE + 1, BASE, -EINVAL },
		{ SIZE, BASE, BASE, BASE + 2, -EINVAL },
		{ SIZE, MEM, BASE, BASE, -EFAULT },
		{ SIZE, BASE, MEM - 2, BASE, -EFAULT },
		{ SIZE, BASE, BASE, MEM - 64, -EFAULT },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		t->q.size = bad[i].size;
		assert_int_equal(virtq_start(&t->q, &t->dma, bad[i].desc, bad[i].avail,
					     bad[i].used),
				 bad[i].ret);
		assert_false(t->q.live);
		assert_int_equal(pop(t), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_chains_come_and_go, setup),
		cmocka_unit_test_setup(test_wraps_at_65536, setup),
		cmocka_unit_test_setup(test_a_chain_is_put_back, setup),
		cmocka_unit_test_setup(test_indirect, setup),
		cmocka_unit_test_setup(test_interrupts_by_flag, setup),
		cmocka_unit_test_setup(test_interrupts_by_index, setup),
		cmocka_unit_test_setup(test_doorbells, setup),
		cmocka_unit_test_setup(test_broken_rules, setup),
		cmocka_unit_test_setup(test_a_long_chain, setup),
		cmocka_unit_test_setup(test_bad_starts, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
