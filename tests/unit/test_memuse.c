// SPDX-License-Identifier: GPL-2.0-only
/* Counters of memory in use against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/memuse.h"

#define PIECE  BIT(MEMUSE_SHIFT)
#define TABLES 64 /* tables */

static struct {
	void *table[TABLES];
	unsigned int in_use;
	int left; /* allocations until one fails, -1: none does */
} arena;

static u64 arena_alloc(void *ctx)
{
	unsigned int i;

	(void)ctx;
	if (!arena.left)
		return 0;
	arena.left -= arena.left > 0;
	for (i = 0; arena.table[i]; i++)
		assert_true(i + 1 < TABLES);
	arena.table[i] = calloc(1, PAGE_SIZE);
	arena.in_use++;
	return (i + 1) * PAGE_SIZE;
}

static void *arena_map(void *ctx, u64 pa)
{
	(void)ctx;
	assert_non_null(arena.table[pa / PAGE_SIZE - 1]);
	return arena.table[pa / PAGE_SIZE - 1];
}

static void arena_free(void *ctx, u64 pa)
{
	free(arena_map(ctx, pa));
	arena.table[pa / PAGE_SIZE - 1] = NULL;
	arena.in_use--;
}

static const struct pt_ops ops = { .alloc = arena_alloc, .free = arena_free, .map = arena_map };

static int setup(void **state)
{
	(void)state;
	memset(&arena, 0, sizeof(arena));
	arena.left = -1;
	return 0;
}

/* Addresses at the borders of every level of the tree. */
static const u64 edges[] = { 0, BIT(30), BIT(39), BIT(48), BIT(52) - 4 * PIECE };

static void test_ranges(void **state)
{
	struct memuse m = { .ops = &ops };
	u64 model[ARRAY_SIZE(edges)][4] = {};
	u64 done[400][3];
	unsigned int i, k;

	(void)state;
	srand(1);
	for (i = 0; i < 800; i++) {
		bool add = i < 400;
		u64 edge = add ? (u64)rand() % ARRAY_SIZE(edges) : done[i - 400][0];
		u64 page = add ? (u64)rand() % 2048 : done[i - 400][1];
		u64 pages = add ? 1 + (u64)rand() % (2048 - page) : done[i - 400][2];

		if (add) {
			memcpy(done[i], (u64[]){ edge, page, pages }, sizeof(done[i]));
			assert_int_equal(memuse_add(&m, edges[edge] + page * PAGE_SIZE,
						    pages * PAGE_SIZE),
					 0);
		} else {
			memuse_sub(&m, edges[edge] + page * PAGE_SIZE, pages * PAGE_SIZE);
		}
		for (k = page; k < page + pages; k++)
			model[edge][k / 512] += add ? 1 : -1;
		for (k = 0; k < 4; k++)
			assert_int_equal(memuse_count(&m, edges[edge] + k * PIECE + 0x1234),
					 model[edge][k]);
	}
	memuse_reset(&m);
	assert_int_equal(arena.in_use, 0);
}

static void test_across_borders(void **state)
{
	struct memuse m = { .ops = &ops };
	unsigned int i;

	(void)state;
	for (i = 1; i < 4; i++) {
		u64 at = edges[i] - PAGE_SIZE;

		assert_int_equal(memuse_add(&m, at, PIECE + 2 * PAGE_SIZE), 0);
		assert_int_equal(memuse_count(&m, at), 1);
		assert_int_equal(memuse_count(&m, edges[i]), 512);
		assert_int_equal(memuse_count(&m, edges[i] + PIECE), 1);
		memuse_sub(&m, at, PIECE + 2 * PAGE_SIZE);
		assert_int_equal(memuse_count(&m, edges[i]), 0);
	}
	memuse_reset(&m);
	assert_int_equal(arena.in_use, 0);
}

/* Whichever allocation fails, nothing stays counted. */
static void test_no_memory(void **state)
{
	struct memuse m = { .ops = &ops };
	u64 at = BIT(39) - PIECE;
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		arena.left = i;
		if (!memuse_add(&m, at, 2 * PIECE))
			break;
		assert_int_equal(memuse_count(&m, at), 0);
		assert_int_equal(memuse_count(&m, at + PIECE), 0);
		memuse_reset(&m);
		assert_int_equal(arena.in_use, 0);
	}
	assert_int_equal(i, 5); /* one table of tables, two of counters' tables, two of counters */
	memuse_reset(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_ranges, setup),
		cmocka_unit_test_setup(test_across_borders, setup),
		cmocka_unit_test_setup(test_no_memory, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
