/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The escape character of an interactive console, Ctrl-a as in screen: Ctrl-a x ends the machine,
 * Ctrl-a a sends a Ctrl-a, Ctrl-a ? asks for help; anything else after it is dropped. Pure.
 */
#ifndef WORKER_ESCAPE_H
#define WORKER_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ESCAPE_CHAR 0x01

/* Zeroed memory is the initial state. */
struct escape {
	bool armed; /* the last character was the escape */
};

enum escape_request {
	ESCAPE_NONE = 0,
	ESCAPE_QUIT = 1u << 0,
	ESCAPE_HELP = 1u << 1,
	ESCAPE_DETACH = 1u << 2, /* Ctrl-a d: of plinth console, nothing to others */
};

/*
 * Takes the escapes out of len characters at buf, in place. Stores how many are left in *len and
 * returns what was asked for, a mask of enum escape_request. Stops at ESCAPE_QUIT.
 */
unsigned int escape_filter(struct escape *e, uint8_t *buf, size_t *len);

#endif
