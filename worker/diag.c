// SPDX-License-Identifier: GPL-2.0-only
#include "worker/diag.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIAG_LINE_MAX 2048

static atomic_bool diag_raw;

static void diag_vprint(const char *prefix, const char *fmt, va_list ap)
{
	char line[DIAG_LINE_MAX + 3];
	int len, n;

	len = snprintf(line, DIAG_LINE_MAX, "%s", prefix);
	n = vsnprintf(line + len, DIAG_LINE_MAX - len, fmt, ap);
	if (n < 0)
		return;
	len += n;
	if (len >= DIAG_LINE_MAX)
		len = DIAG_LINE_MAX - 1;
	/* Names of files and machines may contain anything: a message stays one line, and moves no cursor. */
	for (n = 0; n < len; n++) {
		if ((unsigned char)line[n] < ' ' || line[n] == 0x7f)
			line[n] = '?';
	}
	if (atomic_load(&diag_raw))
		line[len++] = '\r';
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* there is nowhere left to say it */
}

void diag_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_vprint("plinth: ", fmt, ap);
	va_end(ap);
}

void diag_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_vprint("", fmt, ap);
	va_end(ap);
}

void diag_set_raw(bool raw)
{
	atomic_store(&diag_raw, raw);
}
