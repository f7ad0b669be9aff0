/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

/* What the fuzzers of devices have in common: the input as a source of numbers, and checks that end the run. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			abort();                                                                   \
	} while (0)

struct input {
	const uint8_t *data;
	size_t len;
};

/* The next byte; 0 when there are no more. */
static inline uint8_t take(struct input *in)
{
	if (!in->len)
		return 0;
	in->len--;
	return *in->data++;
}

/* The next n bytes (up to 8) as a number, the first the highest. */
static inline uint64_t take_many(struct input *in, unsigned int n)
{
	uint64_t val = 0;

	while (n--)
		val = val << 8 | take(in);
	return val;
}

#endif
