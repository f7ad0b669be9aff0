// SPDX-License-Identifier: GPL-2.0-only
/* The status report as people see it, and texts that are no JSON. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "worker/json.h"

static char *printed(const char *text, int want)
{
	char *out;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	assert_non_null(f);
	assert_int_equal(json_print(f, text), want);
	fclose(f);
	return out;
}

static void test_print(void **state)
{
	char *out = printed(
		"{\"launched\": true, \"n\":-1.5e3,\"empty\":{},\"list\":[1,{\"a\":\"x\\\"y\"},[]],"
		"\"name\":\"\\u00e9\"}\n",
		0);

	(void)state;
	assert_string_equal(out, "launched: true\n"
				 "n: -1.5e3\n"
				 "empty:\n"
				 "list:\n"
				 "  - 1\n"
				 "  -\n"
				 "    a: x\"y\n"
				 "  -\n"
				 "name: \\u00e9\n");
	free(out);
}

static void test_what_is_no_json(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1",
		"{\"a\":1,}",
		"[1",
		"[1,]",
		"\"open",
		"\"open\\",
		"{} x",
		"{a:1}",
		"{\"a\":1 \"b\":2}",
		"\"\\",
		"]",
		"[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		free(printed(bad[i], -EINVAL));
}

/* Every truncation of a good text is refused, and none is read beyond its end. */
static void test_truncations(void **state)
{
	static const char text[] = "{\"a\": [1, true, \"x\\n\"], \"launched\": true}";
	size_t len;
	char *cut;

	(void)state;
	for (len = 0; len < sizeof(text) - 1; len++) {
		cut = strndup(text, len);
		free(printed(cut, -EINVAL));
		json_member_is_true(cut, "launched");
		free(cut);
	}
}

static void test_member(void **state)
{
	(void)state;
	assert_true(json_member_is_true("{\"launched\": true}", "launched"));
	assert_true(json_member_is_true("{\"x\": {\"launched\": false}, \"launched\":true}",
					"launched"));
	assert_false(json_member_is_true("{\"launched\": false}", "launched"));
	assert_false(json_member_is_true("{\"x\": {\"launched\": true}}", "launched"));
	assert_false(json_member_is_true("{\"x\": \"launched\"}", "launched"));
	assert_false(json_member_is_true("{\"launched2\": true}", "launched"));
	assert_false(json_member_is_true("{}", "launched"));
	assert_false(json_member_is_true("", "launched"));
	assert_false(json_member_is_true("[true]", "launched"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_what_is_no_json),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
