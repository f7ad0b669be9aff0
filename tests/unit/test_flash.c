// SPDX-License-Identifier: GPL-2.0-only
/* Flash memory by Intel's command set (290429), driven as OVMF does it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "worker/platform/flash.h"

#define SIZE (4 * FLASH_BLOCK)

static uint8_t data[SIZE];
static struct flash flash;
static unsigned int shows, changes;
static bool shown;
static uint32_t changed_off, changed_len;

static void show(void *ctx, bool array)
{
	(void)ctx;
	assert_int_not_equal(array, shown);
	shown = array;
	shows++;
}

static void changed(void *ctx, uint32_t off, uint32_t len)
{
	(void)ctx;
	assert_true(len && off <= SIZE && len <= SIZE - off);
	changed_off = off;
	changed_len = len;
	changes++;
}

static int setup(void **state)
{
	const struct flash_host host = { show, changed, NULL };

	(void)state;
	for (unsigned int i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	shown = true;
	shows = changes = 0;
	flash_init(&flash, data, SIZE, &host);
	return 0;
}

static uint8_t in(uint32_t off)
{
	return (uint8_t)flash_ops.read(&flash, off, 1);
}

static void out(uint32_t off, uint8_t val)
{
	flash_ops.write(&flash, off, 1, val);
}

/* How the driver finds out: neither ROM, which keeps what it has, nor RAM, which takes what is written. */
static void probing(void **state)
{
	uint8_t was = in(0x123);

	(void)state;
	assert_int_equal(was, data[0x123]);
	out(0x123, 0x50);
	assert_int_not_equal(in(0x123), 0x50);
	out(0x123, 0x70);
	assert_int_equal(in(0x123), 0);
	assert_false(shown);
	out(0x123, 0xff);
	assert_true(shown);
	assert_int_equal(in(0x123), was);
	assert_int_equal(changes, 0);
}

/* Bytes one by one, told together; the array is not shown between them. */
static void programming(void **state)
{
	(void)state;
	memset(data + 0x1000, 0xff, 16);
	for (uint32_t i = 0; i < 16; i++) {
		out(0x1000 + i, i & 1 ? 0x10 : 0x40);
		out(0x1000 + i, (uint8_t)(0xa0 + i)); /* 0xa0 and on are no commands here */
	}
	assert_int_equal(in(0x1000), 0x80);
	assert_int_equal(changes, 0);
	out(0x100f, 0xff);
	assert_int_equal(shows, 2);
	assert_int_equal(changes, 1);
	assert_int_equal(changed_off, 0x1000);
	assert_int_equal(changed_len, 16);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(in(0x1000 + i), 0xa0 + i);
	/* What looks like a command is data. */
	memset(data, 0xff, 1);
	out(0, 0x10);
	out(0, 0xff);
	assert_false(shown);
	out(0, 0xff);
	assert_int_equal(in(0), 0xff);
	assert_int_equal(changed_off, 0);
	assert_int_equal(changed_len, 1);
	/* A bit that is 0 stays so. */
	data[5] = 0x0f;
	out(5, 0x40);
	out(5, 0x3c);
	out(5, 0xff);
	assert_int_equal(in(5), 0x0c);
}

static void erasing(void **state)
{
	uint8_t before[SIZE];

	(void)state;
	memcpy(before, data, SIZE);
	out(0x2345, 0x20);
	out(0x2345, 0xd0);
	assert_int_equal(in(0), 0x80);
	memset(before + 0x2000, 0xff, 0x1000);
	assert_memory_equal(data, before, SIZE);
	out(0, 0xff);
	assert_int_equal(changed_off, 0x2000);
	assert_int_equal(changed_len, 0x1000);
	/* No confirmation: nothing is erased, and the status says why. */
	out(0x3000, 0x20);
	out(0x3000, 0xff);
	assert_false(shown);
	assert_int_equal(in(0x3000), 0xb0);
	assert_memory_equal(data, before, SIZE);
	out(0x3000, 0x50);
	assert_int_equal(in(0x3000), 0);
	out(0x3000, 0xff);
	assert_int_equal(changes, 1);
	/* The last block. */
	out(SIZE - 1, 0x20);
	out(SIZE - 1, 0xd0);
	out(0, 0x10);
	out(0, 0);
	out(0, 0xff);
	assert_int_equal(changed_off, 0);
	assert_int_equal(changed_len, SIZE);
}

/* The part is a byte wide; what it does not know shows the status. */
static void odd_accesses(void **state)
{
	(void)state;
	assert_int_equal(flash_ops.read(&flash, 8, 8),
			 (uint64_t)data[8] | (uint64_t)data[9] << 8 | (uint64_t)data[10] << 16 |
				 (uint64_t)data[11] << 24 | (uint64_t)data[12] << 32 |
				 (uint64_t)data[13] << 40 | (uint64_t)data[14] << 48 |
				 (uint64_t)data[15] << 56);
	data[9] = 0xff;
	flash_ops.write(&flash, 8, 2, 0x5510); /* program, at 8; 55h at 9 */
	assert_int_equal(data[9], 0x55);
	assert_int_equal(flash_ops.read(&flash, 8, 4), 0x80808080);
	out(8, 0xff);
	for (unsigned int c = 0; c < 256; c++) {
		if (c == 0x10 || c == 0x20 || c == 0x40 || c == 0xff)
			continue;
		out(8, 0xff);
		out(8, (uint8_t)c);
		assert_false(shown);
	}
	out(8, 0xff);
	assert_true(shown);
}

static void reset(void **state)
{
	(void)state;
	data[7] = 0xff;
	out(7, 0x10);
	out(7, 0x11);
	out(7, 0x20); /* half a command */
	flash_reset(&flash);
	assert_true(shown);
	assert_int_equal(changes, 1);
	assert_int_equal(changed_off, 7);
	assert_int_equal(in(7), 0x11);
	out(7, 0xd0);
	assert_int_equal(in(7), 0);
	assert_int_equal(data[7], 0x11);
	flash_reset(&flash);
	assert_int_equal(changes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(probing, setup), cmocka_unit_test_setup(programming, setup),
		cmocka_unit_test_setup(erasing, setup), cmocka_unit_test_setup(odd_accesses, setup),
		cmocka_unit_test_setup(reset, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
