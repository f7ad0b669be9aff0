/* SPDX-License-Identifier: GPL-2.0-only */
/* Values as they are written on a command line. Pure. */
#ifndef WORKER_PARSE_H
#define WORKER_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A size: decimal digits and an optional suffix K, M, G or T (powers of 1024, either case, an
 * optional "iB" or "B" after it); without a suffix it counts MiB. Returns 0 and stores bytes, or
 * -EINVAL (not a size) or -ERANGE (does not fit 64 bits).
 */
int parse_size(const char *s, uint64_t *bytes);

/* A decimal number from min to max, both inclusive. Returns 0, -EINVAL or -ERANGE. */
int parse_uint(const char *s, unsigned long min, unsigned long max, unsigned long *value);

/*
 * Whether it can be a machine's name, and with it a file's: 1 to max letters, digits, '.', '_' or '-', the first of them
 * neither '.' nor '-'.
 */
bool parse_name(const char *s, size_t max);

/* An Ethernet address: six pairs of hexadecimal digits with colons between them. Returns 0 or -EINVAL. */
int parse_mac(const char *s, uint8_t mac[6]);

#endif
