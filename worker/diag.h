/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the program tells its user: one line per message, on standard error, with the cause first
 * and the remedy after it. Callable from any thread.
 */
#ifndef WORKER_DIAG_H
#define WORKER_DIAG_H

#include <stdbool.h>

/* Prints "plinth: <message>" and a line end in a single write, so that threads do not mix lines. */
void diag_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same without the program's name: results and notes that belong on standard error. */
void diag_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Tells diag that the terminal behind standard error does no output processing just now: lines then
 * end in CR LF.
 */
void diag_set_raw(bool raw);

#endif
