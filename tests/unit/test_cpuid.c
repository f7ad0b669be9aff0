// SPDX-License-Identifier: GPL-2.0-only
/* CPUID of a child: identifiers and topology, for each size of machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "worker/cpuid.h"

#define ENTRIES 32

static struct kvm_cpuid2 *cpuid;

static void add(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx,
		uint32_t edx)
{
	assert_in_range(cpuid->nent, 0, ENTRIES - 1);
	cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
		.function = function,
		.index = index,
		.eax = eax,
		.ebx = ebx,
		.ecx = ecx,
		.edx = edx,
	};
}

/* Something like what a big host offers: every identifier is wrong for the child. */
static int make(void **state)
{
	(void)state;
	cpuid = calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(cpuid->entries[0]));
	assert_non_null(cpuid);
	add(0, 0, 0x1f, 0, 0, 0);
	add(1, 0, 0x800f12, 0x55400800, 1u << 24, 1u << 28);
	add(4, 0, 0xfc000121 | 3 << 14, 1, 2, 3);
	add(4, 3, 0xfc000163 | 0xff << 14, 1, 2, 3);
	add(4, 4, 0, 0, 0, 0);
	add(0xb, 0, 1, 2, 0x100, 0x55);
	add(0xb, 1, 7, 128, 0x201, 0x55);
	add(0xb, 2, 0, 0, 2, 0x55);
	add(0x1f, 0, 1, 2, 0x100, 0x55);
	add(0x1f, 1, 7, 128, 0x201, 0x55);
	add(0x40000000, 0, 0x40000001, 0x4b4d564b, 0, 0);
	add(0x80000001, 0, 0, 0, 2, 0);
	add(0x80000008, 0, 0x3030, 0, 0x707f, 0);
	add(0x8000001d, 0, 0x4121, 1, 2, 3);
	add(0x8000001d, 3, 0x3c163, 1, 2, 3);
	add(0x8000001e, 0, 0x55, 0x155, 0x302, 0);
	return 0;
}

static int drop(void **state)
{
	(void)state;
	free(cpuid);
	return 0;
}

static struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, function, index);

	assert_non_null(e);
	return e;
}

static void test_topology_of_each_size(void **state)
{
	static const unsigned int bits[] = { 0, 0, 1, 2, 2, 3, 3, 3, 3, 4 };
	unsigned int cpus, id;

	for (cpus = 1; cpus < sizeof(bits) / sizeof(bits[0]); cpus++) {
		for (id = 0; id < cpus; id++) {
			struct cpuid_config cfg = { .cpus = cpus, .apic_id = id };

			drop(state);
			make(state);
			cpuid_adapt(cpuid, &cfg);
			assert_int_equal(leaf(1, 0)->ebx >> 24, id);
			assert_int_equal(leaf(1, 0)->ebx >> 16 & 0xff, cpus);
			assert_int_equal(leaf(1, 0)->edx >> 28 & 1, cpus > 1);
			assert_int_equal(leaf(0xb, 0)->eax, 0);
			assert_int_equal(leaf(0xb, 0)->ebx, 1);
			assert_int_equal(leaf(0xb, 0)->ecx, 0x100);
			assert_int_equal(leaf(0xb, 1)->eax, bits[cpus]);
			assert_int_equal(leaf(0xb, 1)->ebx, cpus);
			assert_int_equal(leaf(0xb, 1)->ecx, 0x201);
			assert_int_equal(leaf(0xb, 2)->ebx, 0);
			assert_int_equal(leaf(0xb, 0)->edx, id);
			assert_int_equal(leaf(0xb, 1)->edx, id);
			assert_int_equal(leaf(4, 0)->eax >> 14 & 0xfff, 0);
			assert_int_equal(leaf(4, 3)->eax >> 14 & 0xfff, cpus - 1);
			assert_int_equal(leaf(4, 3)->eax >> 26, (1 << bits[cpus]) - 1);
			assert_int_equal(leaf(4, 4)->eax, 0);
			assert_int_equal(leaf(0x80000001, 0)->ecx >> 1 & 1, cpus > 1);
			assert_int_equal(leaf(0x80000008, 0)->ecx, (cpus - 1) | bits[cpus] << 12);
			assert_int_equal(leaf(0x8000001d, 0)->eax >> 14 & 0xfff, 0);
			assert_int_equal(leaf(0x8000001d, 3)->eax >> 14 & 0xfff, cpus - 1);
			assert_int_equal(leaf(0x8000001e, 0)->eax, id);
			assert_int_equal(leaf(0x8000001e, 0)->ebx, id);
			assert_int_equal(leaf(0x8000001e, 0)->ecx, 0);
		}
	}
}

static void test_flags(void **state)
{
	struct cpuid_config cfg = { .cpus = 1, .tsc_deadline = true };

	(void)state;
	cpuid_adapt(cpuid, &cfg);
	assert_int_equal(leaf(1, 0)->ecx, 1u << 24 | 1u << 31);
	cfg.tsc_deadline = false;
	cpuid_adapt(cpuid, &cfg);
	assert_int_equal(leaf(1, 0)->ecx, 1u << 31);
}

static void test_what_else_is_offered_stays(void **state)
{
	struct cpuid_config cfg = { .cpus = 2, .apic_id = 1 };

	(void)state;
	cpuid_adapt(cpuid, &cfg);
	assert_int_equal(leaf(1, 0)->eax, 0x800f12);
	assert_int_equal(leaf(1, 0)->ebx & 0xffff, 0x0800);
	assert_int_equal(leaf(0x40000000, 0)->ebx, 0x4b4d564b);
	assert_int_equal(leaf(0x80000008, 0)->eax, 0x3030);
	assert_null(cpuid_find(cpuid, 0x1f, 0));
	assert_null(cpuid_find(cpuid, 0x1f, 1));
	assert_int_equal(cpuid->nent, 14);
}

static void test_phys_bits(void **state)
{
	(void)state;
	assert_int_equal(cpuid_phys_bits(cpuid), 0x30);
	leaf(0x80000008, 0)->function = 0x8000ffff;
	assert_int_equal(cpuid_phys_bits(cpuid), 36);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_topology_of_each_size, make, drop),
		cmocka_unit_test_setup_teardown(test_flags, make, drop),
		cmocka_unit_test_setup_teardown(test_what_else_is_offered_stays, make, drop),
		cmocka_unit_test_setup_teardown(test_phys_bits, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
