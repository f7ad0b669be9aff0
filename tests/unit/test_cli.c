// SPDX-License-Identifier: GPL-2.0-only
/* What is typed: sizes and numbers of a command line, escapes of a console. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "worker/escape.h"
#include "worker/parse.h"

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "512", 512ull << 20 },  { "512M", 512ull << 20 },
		{ "512m", 512ull << 20 }, { "512MiB", 512ull << 20 },
		{ "4G", 4ull << 30 },	  { "1T", 1ull << 40 },
		{ "64k", 64 << 10 },	  { "0", 0 },
		{ "007G", 7ull << 30 },	  { "17592186044415M", UINT64_MAX & ~0xfffffull },
	};
	uint64_t v;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse_size(good[i].text, &v), 0);
		assert_int_equal(v, good[i].bytes);
	}
}

static void test_bad_sizes(void **state)
{
	static const char *const bad[] = { "",	   "M",	  "-1M", "+1M", " 1M", "1 M",	"1.5G",
					   "0x10", "1MM", "1Mx", "1P",	"1e3", "12MiBs" };
	static const char *const large[] = { "18446744073709551616", "17592186044416M", "16777216T",
					     "99999999999999999999999" };
	uint64_t v;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_size(bad[i], &v), -EINVAL);
	for (i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		assert_int_equal(parse_size(large[i], &v), -ERANGE);
}

static void test_numbers(void **state)
{
	unsigned long v = 0;

	(void)state;
	assert_int_equal(parse_uint("1", 1, 64, &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(parse_uint("64", 1, 64, &v), 0);
	assert_int_equal(v, 64);
	assert_int_equal(parse_uint("0", 1, 64, &v), -ERANGE);
	assert_int_equal(parse_uint("65", 1, 64, &v), -ERANGE);
	assert_int_equal(parse_uint("4x", 1, 64, &v), -EINVAL);
	assert_int_equal(parse_uint("", 1, 64, &v), -EINVAL);
	assert_int_equal(parse_uint("-1", 0, 64, &v), -EINVAL);
}

/* Feeds a string in pieces of the given size; returns the requests, leaves what passed in out. */
static unsigned int feed(const char *text, size_t piece, char *out)
{
	struct escape e = { 0 };
	unsigned int requests = 0;
	size_t len = strlen(text), off, n;
	uint8_t buf[64];

	*out = 0;
	for (off = 0; off < len && !(requests & ESCAPE_QUIT); off += piece) {
		n = len - off < piece ? len - off : piece;
		memcpy(buf, text + off, n);
		requests |= escape_filter(&e, buf, &n);
		strncat(out, (char *)buf, n);
	}
	return requests;
}

static void test_escapes_in_pieces_of_every_size(void **state)
{
	static const struct {
		const char *text, *passes;
		unsigned int requests;
	} cases[] = {
		{ "plain text\r", "plain text\r", 0 },
		{ "a\001ab", "a\001b", 0 },
		{ "a\001\001b", "a\001b", 0 },
		{ "ls\001xmore", "ls", ESCAPE_QUIT },
		{ "\001Xx", "", ESCAPE_QUIT },
		{ "\001?z", "z", ESCAPE_HELP },
		{ "\001qz", "z", 0 },
		{ "x\001", "x", 0 },
		{ "\001a\001a\001x", "\001\001", ESCAPE_QUIT },
	};
	char out[64];
	size_t i, piece;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (piece = 1; piece < 16; piece++) {
			assert_int_equal(feed(cases[i].text, piece, out), cases[i].requests);
			assert_string_equal(out, cases[i].passes);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_bad_sizes),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_escapes_in_pieces_of_every_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
