/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_UNIT_IDE_TEST_H
#define TESTS_UNIT_IDE_TEST_H

/* What the tests of the IDE function and its drives have in common: one bench, its ports by the byte, and tables. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "tests/unit/ide_bench.h"

#define PRD 0x1000u	/* where the bus master's tables are */
#define EOT 0x80000000u /* in the second half of a table's last entry */

static struct ide_bench b;

/* Empty channels, as firmware leaves the function. */
static inline int setup_empty(void **state)
{
	(void)state;
	bench_init(&b);
	bench_enable(&b);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	bench_free(&b);
	return 0;
}

static inline uint8_t in8(unsigned int port)
{
	return (uint8_t)bench_in(&b, port, 1);
}

static inline void out8(unsigned int port, uint8_t val)
{
	bench_out(&b, port, 1, val);
}

static inline void put32(uint32_t addr, uint32_t val)
{
	for (unsigned int i = 0; i < 4; i++)
		b.mem[addr + i] = (uint8_t)(val >> 8 * i);
}

/* Entry @n of the table: @count bytes at @addr, or with EOT. */
static inline void prd(unsigned int n, uint32_t addr, uint32_t count)
{
	put32(PRD + 8 * n, addr);
	put32(PRD + 8 * n + 4, count);
}

#endif
