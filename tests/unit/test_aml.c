// SPDX-License-Identifier: GPL-2.0-only
/* The AML writer, byte by byte against the encodings of ACPI 6.4, chapter 20. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "worker/aml.h"

static uint8_t out[8192];
static struct aml a;

static int start(void **state)
{
	(void)state;
	memset(out, 0xee, sizeof(out));
	aml_init(&a, out, sizeof(out));
	return 0;
}

#define assert_written(...)                                                                        \
	do {                                                                                       \
		static const uint8_t want[] = { __VA_ARGS__ };                                     \
		assert_int_equal(aml_error(&a), 0);                                                \
		assert_int_equal(a.len, sizeof(want));                                             \
		assert_memory_equal(out, want, sizeof(want));                                      \
	} while (0)

static void test_integers_take_their_shortest_form(void **state)
{
	(void)state;
	aml_int(&a, 0);
	aml_int(&a, 1);
	aml_int(&a, 2);
	aml_int(&a, 0xff);
	aml_int(&a, 0x100);
	aml_int(&a, 0x10000);
	aml_int(&a, 0x100000000ull);
	assert_written(0x00, 0x01, 0x0a, 2, 0x0a, 0xff, 0x0b, 0, 1, 0x0c, 0, 0, 1, 0, 0x0e, 0, 0, 0,
		       0, 1, 0, 0, 0);
}

static void test_names(void **state)
{
	(void)state;
	aml_name_string(&a, "\\");
	aml_name_string(&a, "A");
	aml_name_string(&a, "\\_SB.PCI0");
	aml_name_string(&a, "AB.C0.D12_");
	assert_written('\\', 0, 'A', '_', '_', '_', '\\', 0x2e, '_', 'S', 'B', '_', 'P', 'C', 'I',
		       '0', 0x2f, 3, 'A', 'B', '_', '_', 'C', '0', '_', '_', 'D', '1', '2', '_');
}

static void test_bad_names_are_refused(void **state)
{
	static const char *const bad[] = { "lower", "TOOLONG", "0AB", "A..B",
					   "A B",   ".A",      "A-B", "A.B.C.D.E.F.G.H.I" };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		start(state);
		aml_name_string(&a, bad[i]);
		assert_int_equal(aml_error(&a), -EINVAL);
	}
}

static void test_eisaid(void **state)
{
	(void)state;
	aml_eisaid(&a, "PNP0A03");
	assert_written(0x0c, 0x41, 0xd0, 0x0a, 0x03);
	aml_eisaid(&a, "PNP0G03");
	assert_int_equal(aml_error(&a), -EINVAL);
}

static void test_string_and_package(void **state)
{
	size_t mark;

	(void)state;
	aml_name(&a, "_S5");
	mark = aml_begin_package(&a, 2);
	aml_int(&a, 5);
	aml_string(&a, "ab");
	aml_end(&a, mark);
	assert_written(0x08, '_', 'S', '5', '_', 0x12, 8, 2, 0x0a, 5, 0x0d, 'a', 'b', 0);
}

/* Decodes a package length (20.2.4); returns its own size. */
static unsigned int decode_length(const uint8_t *p, uint32_t *length)
{
	unsigned int extra = p[0] >> 6, i;

	if (!extra) {
		*length = p[0];
		return 1;
	}
	*length = p[0] & 0xf;
	for (i = 1; i <= extra; i++)
		*length |= (uint32_t)p[i] << (8 * i - 4);
	return extra + 1;
}

static void test_package_lengths_around_their_borders(void **state)
{
	static const size_t sizes[] = { 0,  1,	  57,	58,   59,   60,	  61,	62,   63,  64,
					65, 4080, 4085, 4086, 4087, 4088, 4089, 4090, 5000 };
	static const uint8_t fill[5000];
	uint32_t length;
	size_t i, mark;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		start(state);
		mark = aml_begin_scope(&a, "X");
		aml_bytes(&a, fill, sizes[i]);
		aml_end(&a, mark);
		assert_int_equal(aml_error(&a), 0);
		decode_length(out + 1, &length);
		assert_int_equal(length, a.len - 1); /* counts itself, not the opcode */
		/* A shorter encoding must not have been possible. */
		assert_true(out[1] < 0x40 || length > 0x3f);
		assert_true(out[1] >> 6 < 2 || length > 0xfff);
	}
}

static void test_resources(void **state)
{
	size_t mark;

	(void)state;
	mark = aml_begin_resources(&a);
	aml_res_io(&a, 0x3f8, 8);
	aml_res_irq(&a, 4);
	aml_end_resources(&a, mark);
	assert_written(0x11, 16, 0x0a, 13, 0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8, 0x22, 0x10, 0, 0x79, 0);
}

static void test_address_spaces(void **state)
{
	(void)state;
	aml_res_bus_range(&a, 0, 0xff);
	aml_res_io_range(&a, 0xd00, 0xffff);
	aml_res_memory_range(&a, 0xc0000000, 0xfebfffff);
	aml_res_memory32_fixed(&a, 0xfec00000, 0x1000);
	assert_written(0x88, 0x0d, 0, 2, 0x0c, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 1, 0x88, 0x0d, 0, 1,
		       0x0c, 3, 0, 0, 0, 0xd, 0xff, 0xff, 0, 0, 0, 0xf3, 0x87, 0x17, 0, 0, 0x0c, 1,
		       0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff, 0xbf, 0xfe, 0, 0, 0, 0, 0, 0, 0xc0,
		       0x3e, 0x86, 9, 0, 1, 0, 0, 0xc0, 0xfe, 0, 0x10, 0, 0);
}

static void test_a_full_buffer_is_an_error_and_stays_one(void **state)
{
	size_t mark, size;

	(void)state;
	for (size = 0; size < 16; size++) {
		memset(out, 0xee, sizeof(out));
		aml_init(&a, out, size);
		mark = aml_begin_device(&a, "DEV0");
		aml_name(&a, "_UID");
		aml_int(&a, 0x100);
		aml_end(&a, mark);
		aml_int(&a, 0);
		assert_int_equal(aml_error(&a), -ENOSPC);
		assert_int_equal(out[size], 0xee);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_integers_take_their_shortest_form, start),
		cmocka_unit_test_setup(test_names, start),
		cmocka_unit_test_setup(test_bad_names_are_refused, start),
		cmocka_unit_test_setup(test_eisaid, start),
		cmocka_unit_test_setup(test_string_and_package, start),
		cmocka_unit_test_setup(test_package_lengths_around_their_borders, start),
		cmocka_unit_test_setup(test_resources, start),
		cmocka_unit_test_setup(test_address_spaces, start),
		cmocka_unit_test_setup(test_a_full_buffer_is_an_error_and_stays_one, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
