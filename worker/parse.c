// SPDX-License-Identifier: GPL-2.0-only
#include "worker/parse.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* Reads decimal digits and moves *s behind them. strtoull would take signs, blanks and "0x". */
static int parse_digits(const char **s, uint64_t *value)
{
	const char *p = *s;
	uint64_t v = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	}
	*s = p;
	*value = v;
	return 0;
}

/* Shift of a unit: 10 for K and so on; -1 if it is none. */
static int parse_unit(const char *unit)
{
	static const char letters[] = "KMGT";
	const char *l;

	if (!*unit)
		return 20;
	for (l = letters; *l; l++) {
		if (strncasecmp(unit, l, 1) == 0)
			break;
	}
	if (!*l)
		return -1;
	if (unit[1] && strcasecmp(unit + 1, "iB") != 0 && strcasecmp(unit + 1, "B") != 0)
		return -1;
	return 10 * (int)(l - letters + 1);
}

int parse_size(const char *s, uint64_t *bytes)
{
	uint64_t v;
	int shift, ret;

	ret = parse_digits(&s, &v);
	if (ret)
		return ret;
	shift = parse_unit(s);
	if (shift < 0)
		return -EINVAL;
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = v << shift;
	return 0;
}

int parse_uint(const char *s, unsigned long min, unsigned long max, unsigned long *value)
{
	uint64_t v;
	int ret;

	ret = parse_digits(&s, &v);
	if (ret)
		return ret;
	if (*s)
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*value = v;
	return 0;
}

bool parse_name(const char *s, size_t max)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = strlen(s);

	return len >= 1 && len <= max && strspn(s, allowed) == len && s[0] != '.' && s[0] != '-';
}

static int parse_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int parse_mac(const char *s, uint8_t mac[6])
{
	unsigned int i;
	int high, low;

	for (i = 0; i < 6; i++) {
		high = parse_hex_digit(s[0]);
		low = high < 0 ? -1 : parse_hex_digit(s[1]);
		if (low < 0 || s[2] != (i < 5 ? ':' : 0))
			return -EINVAL;
		mac[i] = high << 4 | low;
		s += 3;
	}
	return 0;
}
