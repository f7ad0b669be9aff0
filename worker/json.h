/* SPDX-License-Identifier: GPL-2.0-only */
/* Just enough of JSON (RFC 8259) to show the module's status report to people. Pure. */
#ifndef WORKER_JSON_H
#define WORKER_JSON_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Prints a JSON text as indented "name: value" lines. Returns 0, or -EINVAL where the text is not
 * JSON or nested too deep; what came before has been printed then.
 */
int json_print(FILE *out, const char *text);

/* Whether the text is an object whose member of that name is true. */
bool json_member_is_true(const char *text, const char *name);

#endif
