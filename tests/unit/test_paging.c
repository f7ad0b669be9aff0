// SPDX-License-Identifier: GPL-2.0-only
/* Page tables against a model: an array that says for each page of a small space what it should map to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/x86/paging.h"

#define TABLE_BITS (PTE_P | PTE_W | PTE_U)
#define LEAF	   (PTE_P | PTE_W | PTE_U)
#define SPAN	   (8ull << 20) /* of the model */
#define PAGES	   (SPAN / PAGE_SIZE)
#define BASE	   0x7fc0000000ull /* so that the model lies across a 1 GiB border */

/* An arena of pages: "physical" addresses are offsets into it, plus a page, so that 0 stays free. */
#define ARENA_PAGES 4096
struct arena {
	uint8_t (*page)[PAGE_SIZE];
	bool used[ARENA_PAGES];
	unsigned int in_use;
	int fail_after; /* allocations left, -1: no limit */
};

static u64 arena_alloc(void *ctx)
{
	struct arena *a = ctx;
	unsigned int i;

	if (!a->fail_after)
		return 0;
	if (a->fail_after > 0)
		a->fail_after--;
	for (i = 0; i < ARENA_PAGES; i++) {
		if (a->used[i])
			continue;
		a->used[i] = true;
		a->in_use++;
		memset(a->page[i], 0, PAGE_SIZE);
		return (i + 1) * PAGE_SIZE;
	}
	return 0;
}

static void arena_free(void *ctx, u64 pa)
{
	struct arena *a = ctx;

	assert_true(a->used[pa / PAGE_SIZE - 1]);
	a->used[pa / PAGE_SIZE - 1] = false;
	a->in_use--;
	memset(a->page[pa / PAGE_SIZE - 1], 0xa5, PAGE_SIZE);
}

static void *arena_map(void *ctx, u64 pa)
{
	struct arena *a = ctx;

	assert_true(a->used[pa / PAGE_SIZE - 1]);
	return a->page[pa / PAGE_SIZE - 1];
}

struct fixture {
	struct arena arena;
	struct pt_ops ops;
	struct pt pt;
};

static void setup(struct fixture *f, unsigned int levels, unsigned int max_page)
{
	memset(f, 0, sizeof(*f));
	f->arena.page = calloc(ARENA_PAGES, PAGE_SIZE);
	f->arena.fail_after = -1;
	f->ops = (struct pt_ops){ arena_alloc, arena_free, arena_map, &f->arena };
	assert_int_equal(pt_init(&f->pt, levels, max_page, TABLE_BITS, &f->ops), 0);
}

static void teardown(struct fixture *f)
{
	pt_destroy(&f->pt);
	assert_int_equal(f->arena.in_use, 0);
	free(f->arena.page);
}

static void test_largest_pages(void **state)
{
	struct fixture f;
	unsigned int shift;
	u64 pte;

	(void)state;
	setup(&f, 4, 30);
	assert_int_equal(
		pt_map(&f.pt, 0x40000000, 0x80000000, 0x40000000 + 0x200000 + 0x1000, LEAF), 0);
	assert_int_equal(pt_lookup(&f.pt, 0x40012345, &pte, &shift), 0);
	assert_int_equal(shift, 30);
	assert_int_equal(pte, 0x80012000 | LEAF);
	assert_int_equal(pt_lookup(&f.pt, 0x80012345, &pte, &shift), 0);
	assert_int_equal(shift, 21);
	assert_int_equal(pte, 0xc0012000 | LEAF);
	assert_int_equal(pt_lookup(&f.pt, 0x80200fff, &pte, &shift), 0);
	assert_int_equal(shift, 12);
	assert_int_equal(pt_lookup(&f.pt, 0x80201000, &pte, &shift), -ENOENT);
	assert_int_equal(pte, 0);
	teardown(&f);
}

static void test_alignment_forbids_large_pages(void **state)
{
	struct fixture f;
	unsigned int shift;
	u64 pte;

	(void)state;
	setup(&f, 5, 30);
	assert_int_equal(pt_map(&f.pt, 0x200000, 0x201000, 0x200000, LEAF), 0);
	assert_int_equal(pt_lookup(&f.pt, 0x200000, &pte, &shift), 0);
	assert_int_equal(shift, 12);
	assert_int_equal(pte, 0x201000 | LEAF);
	teardown(&f);
}

/* A table that a large page replaces is kept until it is reaped: a processor may be walking it. */
static void test_replaced_tables_wait_for_reap(void **state)
{
	struct fixture f;
	unsigned int before, shift;
	u64 pte;

	(void)state;
	setup(&f, 4, 21);
	assert_int_equal(pt_map(&f.pt, 0x200000, 0x1000, 0x1000, LEAF), 0);
	before = f.arena.in_use;
	assert_int_equal(pt_map(&f.pt, 0x200000, 0x400000, 0x200000, LEAF), 0);
	assert_int_equal(pt_lookup(&f.pt, 0x200000, &pte, &shift), 0);
	assert_int_equal(shift, 21);
	assert_int_equal(f.arena.in_use, before);
	pt_reap(&f.pt);
	assert_int_equal(f.arena.in_use, before - 1);
	teardown(&f);
}

static void test_markers(void **state)
{
	struct fixture f;
	unsigned int shift;
	u64 pte;

	(void)state;
	setup(&f, 4, 30);
	assert_int_equal(pt_map(&f.pt, 0xfee00000, 0, 0x1000, PTE_SW_MMIO), 0);
	assert_int_equal(pt_lookup(&f.pt, 0xfee00000, &pte, &shift), -ENOENT);
	assert_int_equal(pte, PTE_SW_MMIO);
	assert_int_equal(pt_clear_bits(&f.pt, 0xfee00000, 0x1000, PTE_W), 0);
	assert_int_equal(pt_lookup(&f.pt, 0xfee00000, &pte, &shift), -ENOENT);
	assert_int_equal(pte, PTE_SW_MMIO);
	assert_int_equal(pt_unmap(&f.pt, 0xfee00000, 0x1000), 0);
	pt_lookup(&f.pt, 0xfee00000, &pte, &shift);
	assert_int_equal(pte, 0);
	teardown(&f);
}

static void test_bad_arguments(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 4, 30);
	assert_int_equal(pt_map(&f.pt, 0x800, 0, 0x1000, LEAF), -EINVAL);
	assert_int_equal(pt_map(&f.pt, 0, 0x800, 0x1000, LEAF), -EINVAL);
	assert_int_equal(pt_map(&f.pt, 0, 0, 0x800, LEAF), -EINVAL);
	assert_int_equal(pt_map(&f.pt, ~0xfffull, 0, 0x3000, LEAF), -EINVAL);
	assert_int_equal(pt_map(&f.pt, 0, 0, 0, LEAF), 0);
	teardown(&f);
}

/* The leaf that the model expects at each page; 0: none. */
static u64 model[PAGES];

static void check_model(struct fixture *f)
{
	unsigned int i, shift;
	u64 pte;

	for (i = 0; i < PAGES; i++) {
		int ret = pt_lookup(&f->pt, BASE + i * PAGE_SIZE, &pte, &shift);

		assert_int_equal(ret, model[i] & PTE_P ? 0 : -ENOENT);
		assert_int_equal(pte, model[i]);
	}
}

static void random_step(struct fixture *f)
{
	static const u64 flags[] = { LEAF, PTE_P | PTE_U, LEAF | PTE_NX, PTE_SW_MMIO };
	u64 first = rand() % PAGES, count = 1 + rand() % (PAGES - first), i, pa, fl;
	int op = rand() % 4, ret;

	if (rand() % 2) { /* where large pages can be */
		first &= ~511ull;
		count = MIN((count + 511) & ~511ull, PAGES - first);
	}
	pa = (u64)(rand() % 64) << (rand() % 2 ? 21 : 12);
	fl = flags[rand() % ARRAY_SIZE(flags)];
	/* Sometimes memory runs out; the operation done again with memory then finishes it. */
	f->arena.fail_after = rand() % 3 ? -1 : rand() % 3;
	do {
		if (op < 2)
			ret = pt_map(&f->pt, BASE + first * PAGE_SIZE, fl & PTE_P ? pa : 0,
				     count * PAGE_SIZE, fl);
		else if (op == 2)
			ret = pt_unmap(&f->pt, BASE + first * PAGE_SIZE, count * PAGE_SIZE);
		else
			ret = pt_clear_bits(&f->pt, BASE + first * PAGE_SIZE, count * PAGE_SIZE,
					    PTE_W);
		if (ret) {
			assert_int_equal(ret, -ENOMEM);
			assert_int_not_equal(f->arena.fail_after, -1);
		}
		f->arena.fail_after = -1;
	} while (ret);
	for (i = first; i < first + count; i++) {
		if (op < 2)
			model[i] = fl & PTE_P ? (pa + (i - first) * PAGE_SIZE) | fl : fl;
		else if (op == 2)
			model[i] = 0;
		else if (model[i] & PTE_P)
			model[i] &= ~PTE_W;
	}
}

static void test_random_against_model(void **state)
{
	unsigned int levels, i;
	struct fixture f;

	(void)state;
	for (levels = 4; levels <= 5; levels++) {
		setup(&f, levels, levels == 4 ? 30 : 21);
		memset(model, 0, sizeof(model));
		srand(levels);
		for (i = 0; i < 300; i++) {
			random_step(&f);
			if (rand() % 2)
				pt_reap(&f.pt);
			check_model(&f);
		}
		teardown(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_largest_pages),
		cmocka_unit_test(test_alignment_forbids_large_pages),
		cmocka_unit_test(test_replaced_tables_wait_for_reap),
		cmocka_unit_test(test_markers),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_random_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
