// SPDX-License-Identifier: GPL-2.0-only
/* Address space identifiers: no two VPs share one on a CPU within a generation, and a flush comes when due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/x86/svm/asid.h"

static void first_use_flushes(void **state)
{
	struct asid_cpu pool = { 0 };
	struct asid a = { 0 };

	(void)state;
	assert_true(asid_get(&pool, 16, 0, &a));
	assert_int_equal(a.asid, ASID_FIRST);
	assert_false(asid_get(&pool, 16, 0, &a));
	assert_int_equal(a.asid, ASID_FIRST);
}

static void forgotten_gets_a_fresh_one(void **state)
{
	struct asid_cpu pool = { 0 };
	struct asid a = { 0 };

	(void)state;
	asid_get(&pool, 16, 0, &a);
	a.asid = 0;
	assert_false(asid_get(&pool, 16, 0, &a));
	assert_int_equal(a.asid, ASID_FIRST + 1);
}

static void another_cpu_gives_its_own(void **state)
{
	struct asid_cpu pool[2] = { 0 };
	struct asid a = { 0 }, b = { 0 };

	(void)state;
	asid_get(&pool[0], 16, 0, &a);
	asid_get(&pool[1], 16, 1, &b);
	assert_int_equal(a.asid, b.asid);
	/* a comes to CPU 1, where b has that number; and when it comes back its old entries are stale. */
	assert_false(asid_get(&pool[1], 16, 1, &a));
	assert_int_not_equal(a.asid, b.asid);
	assert_false(asid_get(&pool[0], 16, 0, &a));
	assert_int_equal(a.asid, ASID_FIRST + 1);
}

static void exhaustion_starts_a_generation(void **state)
{
	struct asid_cpu pool = { 0 };
	struct asid a[4] = { 0 };
	unsigned int i;

	(void)state;
	assert_true(asid_get(&pool, ASID_FIRST + 3, 0, &a[0]));
	for (i = 1; i < 3; i++)
		assert_false(asid_get(&pool, ASID_FIRST + 3, 0, &a[i]));
	assert_true(asid_get(&pool, ASID_FIRST + 3, 0, &a[3]));
	assert_int_equal(a[3].asid, ASID_FIRST);
	/* a[0] held that number in the old generation: it must not be taken for valid. */
	assert_false(asid_get(&pool, ASID_FIRST + 3, 0, &a[0]));
	assert_int_equal(a[0].asid, ASID_FIRST + 1);
}

/*
 * Against a model: each CPU has a table of which VP's translations each number tags. A VP that enters must find its
 * number tagging its own alone; a flush empties the table.
 */
#define CPUS 3
#define VPS  9

static void random_schedule(void **state)
{
	struct asid_cpu pool[CPUS] = { 0 };
	struct asid a[VPS] = { 0 };
	int tagged[CPUS][64];
	unsigned int limit, round, i, j;

	(void)state;
	srand(1);
	for (limit = ASID_FIRST + 1; limit < 20; limit++) {
		for (i = 0; i < CPUS; i++) {
			pool[i] = (struct asid_cpu){ 0 };
			for (j = 0; j < 64; j++)
				tagged[i][j] = VPS; /* garbage of before */
		}
		for (i = 0; i < VPS; i++)
			a[i] = (struct asid){ 0 };
		for (round = 0; round < 20000; round++) {
			unsigned int cpu = rand() % CPUS, vp = rand() % VPS;

			if (rand() % 50 == 0)
				a[vp].asid = 0;
			if (asid_get(&pool[cpu], limit, cpu, &a[vp]))
				for (j = 0; j < 64; j++)
					tagged[cpu][j] = -1;
			assert_in_range(a[vp].asid, ASID_FIRST, limit - 1);
			j = a[vp].asid;
			assert_true(tagged[cpu][j] == -1 || tagged[cpu][j] == (int)vp);
			tagged[cpu][j] = vp;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_use_flushes),
		cmocka_unit_test(forgotten_gets_a_fresh_one),
		cmocka_unit_test(another_cpu_gives_its_own),
		cmocka_unit_test(exhaustion_starts_a_generation),
		cmocka_unit_test(random_schedule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
