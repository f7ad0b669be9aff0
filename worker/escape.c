// SPDX-License-Identifier: GPL-2.0-only
#include "worker/escape.h"

/* The character after the escape: returns a request, or ESCAPE_NONE. */
static unsigned int escape_command(uint8_t ch)
{
	switch (ch) {
	case 'x':
	case 'X':
		return ESCAPE_QUIT;
	case 'd':
	case 'D':
		return ESCAPE_DETACH;
	case '?':
	case 'h':
		return ESCAPE_HELP;
	default:
		return ESCAPE_NONE;
	}
}

unsigned int escape_filter(struct escape *e, uint8_t *buf, size_t *len)
{
	unsigned int requests = 0;
	size_t in, out = 0;

	for (in = 0; in < *len && !(requests & ESCAPE_QUIT); in++) {
		if (!e->armed && buf[in] == ESCAPE_CHAR) {
			e->armed = true;
		} else if (!e->armed) {
			buf[out++] = buf[in];
		} else {
			e->armed = false;
			if (buf[in] == 'a' || buf[in] == ESCAPE_CHAR)
				buf[out++] = ESCAPE_CHAR;
			requests |= escape_command(buf[in]);
		}
	}
	*len = out;
	return requests;
}
