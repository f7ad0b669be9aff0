// SPDX-License-Identifier: GPL-2.0-only
/* Who answers where: against a plain model of one byte per address. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "worker/bus.h"

/* A device whose registers are bytes, and that checks what the bus promises it. */
struct store {
	uint8_t bytes[16];
	uint64_t len;
	unsigned int calls;
};

static uint64_t store_read(void *dev, uint64_t off, unsigned int size)
{
	struct store *s = dev;
	uint64_t v = 0;

	assert_true(size == 1 || size == 2 || size == 4 || size == 8);
	assert_true(off + size <= s->len);
	s->calls++;
	memcpy(&v, s->bytes + off, size);
	return v;
}

static void store_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct store *s = dev;

	assert_true(size == 1 || size == 2 || size == 4 || size == 8);
	assert_true(off + size <= s->len);
	s->calls++;
	memcpy(s->bytes + off, &val, size);
}

static const struct device_ops store_ops = { .read = store_read, .write = store_write };

static struct bus_pio pio;
static struct bus_mmio mmio;
static struct store a, b;

static int setup(void **state)
{
	(void)state;
	memset(&pio, 0, sizeof(pio));
	memset(&mmio, 0, sizeof(mmio));
	a = (struct store){ .bytes = { 1, 2, 3, 4, 5, 6, 7, 8 }, .len = 8 };
	b = (struct store){ .bytes = { 0x11, 0x22 }, .len = 2 };
	assert_int_equal(bus_pio_add(&pio, 0x3f8, 8, &store_ops, &a), 0);
	assert_int_equal(bus_pio_add(&pio, 0x400, 2, &store_ops, &b), 0);
	assert_int_equal(bus_mmio_add(&mmio, 0xfec00000, 8, &store_ops, &a), 0);
	assert_int_equal(bus_mmio_add(&mmio, 0xfec00008, 2, &store_ops, &b), 0);
	return 0;
}

static uint64_t in(uint16_t port, unsigned int size)
{
	uint8_t data[8] = { 0 };
	uint64_t v;

	bus_pio_access(&pio, false, port, size, data);
	memcpy(&v, data, 8);
	return v;
}

static uint64_t load(uint64_t addr, unsigned int size)
{
	uint8_t data[8] = { 0 };
	uint64_t v;

	bus_mmio_access(&mmio, false, addr, size, data);
	memcpy(&v, data, 8);
	return v;
}

static void test_inside_a_region_one_access(void **state)
{
	(void)state;
	assert_int_equal(in(0x3f8, 4), 0x04030201);
	assert_int_equal(in(0x3ff, 1), 8);
	assert_int_equal(in(0x3fb, 2), 0x0504); /* unaligned */
	assert_int_equal(a.calls, 3);
	assert_int_equal(load(0xfec00000, 8), 0x0807060504030201ull);
	assert_int_equal(a.calls, 4);
}

static void test_across_regions_and_holes(void **state)
{
	(void)state;
	assert_int_equal(in(0x3fe, 4), 0x22110807);
	assert_int_equal(in(0x3f6, 4), 0x0201ffff);
	assert_int_equal(in(0x401, 2), 0xff22);
	assert_int_equal(in(0x80, 1), 0xff);
	assert_int_equal(in(0x80, 4), 0xffffffff);
	assert_int_equal(load(0xfec00006, 8), 0xffffffff22110807ull);
	assert_int_equal(load(0xfec00000, 3), 0x030201);
	assert_int_equal(load(0xa0000, 8), UINT64_MAX);
}

static void test_writes(void **state)
{
	uint8_t data[8] = { 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8 };

	(void)state;
	bus_pio_access(&pio, true, 0x3fe, 4, data);
	assert_int_equal(a.bytes[6], 0xa1);
	assert_int_equal(a.bytes[7], 0xa2);
	assert_int_equal(b.bytes[0], 0xa3);
	assert_int_equal(b.bytes[1], 0xa4);
	bus_mmio_access(&mmio, true, 0xfebffffe, 4, data);
	assert_int_equal(a.bytes[0], 0xa3);
	assert_int_equal(a.bytes[1], 0xa4);
	assert_int_equal(a.bytes[2], 3);
}

static void test_the_ends_of_the_spaces(void **state)
{
	struct store last = { .bytes = { 0x77 }, .len = 1 },
		     first = { .bytes = { 0x88 }, .len = 1 };

	(void)state;
	assert_int_equal(bus_pio_add(&pio, 0xffff, 1, &store_ops, &last), 0);
	assert_int_equal(bus_pio_add(&pio, 0, 1, &store_ops, &first), 0);
	assert_int_equal(in(0xffff, 2), 0x8877);
	assert_int_equal(in(0xfffe, 4), 0xff8877ff);
	assert_int_equal(load(UINT64_MAX, 2), 0xffff);
}

static void test_refusals(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(bus_pio_add(&pio, 0x3f0, 9, &store_ops, &a), -EEXIST);
	assert_int_equal(bus_pio_add(&pio, 0x401, 1, &store_ops, &a), -EEXIST);
	assert_int_equal(bus_pio_add(&pio, 0x500, 0, &store_ops, &a), -EINVAL);
	assert_int_equal(bus_pio_add(&pio, 0xffff, 2, &store_ops, &a), -EINVAL);
	assert_int_equal(bus_mmio_add(&mmio, 0xfebfffff, 2, &store_ops, &a), -EEXIST);
	assert_int_equal(bus_mmio_add(&mmio, 0, 0, &store_ops, &a), -EINVAL);
	assert_int_equal(bus_mmio_add(&mmio, UINT64_MAX, 2, &store_ops, &a), -EINVAL);
	for (i = 3; i < BUS_REGIONS_MAX; i++)
		assert_int_equal(bus_pio_add(&pio, 0x1000 + i, 1, &store_ops, &a), 0);
	assert_int_equal(bus_pio_add(&pio, 0x2000, 1, &store_ops, &a), -ENOSPC);
	for (i = 2; i < BUS_REGIONS_MAX; i++)
		assert_int_equal(bus_mmio_add(&mmio, 0x1000 + i, 1, &store_ops, &a), 0);
	assert_int_equal(bus_mmio_add(&mmio, 0x2000, 1, &store_ops, &a), -ENOSPC);
}

static void test_owned(void **state)
{
	(void)state;
	assert_true(bus_pio_owned(&pio, 0x3f8, 1));
	assert_true(bus_pio_owned(&pio, 0x3f7, 2));
	assert_false(bus_pio_owned(&pio, 0x3f7, 1));
	assert_false(bus_pio_owned(&pio, 0x402, 4));
}

/* A device with ways of its own for strings. */
static void string_read(void *dev, uint64_t off, unsigned int size, void *buf, unsigned int count)
{
	struct store *s = dev;

	assert_int_equal(off, 0);
	s->calls++;
	memset(buf, 0x5a, (size_t)size * count);
}

static void string_write(void *dev, uint64_t off, unsigned int size, const void *buf,
			 unsigned int count)
{
	struct store *s = dev;

	assert_int_equal(off, 0);
	s->calls++;
	memcpy(s->bytes, buf, (size_t)size * count);
}

static const struct device_ops string_ops = { store_read, store_write, string_read, string_write };

/* String instructions: one call where the device knows them, else one for each element. */
static void test_strings(void **state)
{
	uint8_t data[8] = { 9, 8, 7, 6, 5, 4, 3, 2 };
	struct store c = { .len = 8 };

	(void)state;
	assert_int_equal(bus_pio_add(&pio, 0x1f0, 8, &string_ops, &c), 0);
	bus_pio_string(&pio, true, 0x1f0, 2, 4, data);
	assert_int_equal(c.calls, 1);
	assert_memory_equal(c.bytes, data, 8);
	bus_pio_string(&pio, false, 0x1f0, 4, 2, data);
	assert_int_equal(c.calls, 2);
	assert_int_equal(data[7], 0x5a);
	bus_pio_string(&pio, false, 0x3f8, 2, 3, data);
	assert_int_equal(a.calls, 3);
	assert_memory_equal(data, "\1\2\1\2\1\2\x5a\x5a", 8);
	/* Across a region's end there is no string, only bytes. */
	bus_pio_string(&pio, false, 0x1f7, 2, 2, data);
	assert_memory_equal(data, "\2\xff\2\xff", 4);
}

/* A region that moves leaves nothing behind, and what it covers for a time comes back. */
static void test_moving_ports(void **state)
{
	struct store c = { .bytes = { 0xaa, 0xbb, 0xcc, 0xdd }, .len = 4 };
	int h = bus_pio_reserve(&pio, &store_ops, &c);

	(void)state;
	assert_true(h > 0);
	assert_false(bus_pio_owned(&pio, 0x1000, 4));
	bus_pio_place(&pio, h, 0x1000, 4);
	assert_int_equal(in(0x1000, 4), 0xddccbbaa);
	bus_pio_place(&pio, h, 0x1002, 4);
	assert_int_equal(in(0x1000, 4), 0xbbaaffff);
	assert_int_equal(in(0x1004, 2), 0xddcc);
	/* Over fixed ones: they go on answering, and are all there afterwards. */
	bus_pio_place(&pio, h, 0x3fe, 4);
	assert_int_equal(in(0x3fe, 1), 7);
	assert_int_equal(in(0x400, 2), 0x2211);
	assert_false(bus_pio_owned(&pio, 0x1002, 4));
	bus_pio_place(&pio, h, 0xfffe, 4); /* out of the space */
	assert_false(bus_pio_owned(&pio, 0xfffe, 2));
	bus_pio_place(&pio, h, 0x1234567890, 4);
	assert_false(bus_pio_owned(&pio, 0x7890, 4));
	bus_pio_place(&pio, h, 0xfffc, 4);
	assert_int_equal(in(0xfffc, 4), 0xddccbbaa);
	bus_pio_place(&pio, h, 0, 0);
	assert_false(bus_pio_owned(&pio, 0xfffc, 4));
	assert_int_equal(in(0x3f8, 4), 0x04030201);
}

/* Two that move and overlap: the first reserved answers, then the other. */
static void test_moving_overlap(void **state)
{
	struct store c = { .bytes = { 0xc0, 0xc1 }, .len = 2 },
		     d = { .bytes = { 0xd0, 0xd1 }, .len = 2 };
	int hc = bus_pio_reserve(&pio, &store_ops, &c), hd = bus_pio_reserve(&pio, &store_ops, &d);

	(void)state;
	bus_pio_place(&pio, hd, 0x100, 2);
	bus_pio_place(&pio, hc, 0x101, 2);
	assert_int_equal(in(0x100, 1), 0xd0);
	assert_int_equal(in(0x101, 2), 0xc1c0);
	bus_pio_place(&pio, hc, 0, 0);
	assert_int_equal(in(0x100, 2), 0xd1d0);
	assert_false(bus_pio_owned(&pio, 0x102, 1));
}

static void test_moving_memory(void **state)
{
	struct store c = { .bytes = { 0xaa, 0xbb, 0xcc, 0xdd }, .len = 4 };
	int h = bus_mmio_reserve(&mmio, &store_ops, &c);

	(void)state;
	assert_true(h > 0);
	assert_int_equal(load(0xf0000000, 4), 0xffffffff);
	bus_mmio_place(&mmio, h, 0xf0000000, 4);
	assert_int_equal(load(0xf0000000, 4), 0xddccbbaa);
	bus_mmio_place(&mmio, h, 0xfec00006, 4);
	assert_int_equal(load(0xf0000000, 4), 0xffffffff);
	assert_int_equal(load(0xfec00006, 1), 7);
	bus_mmio_place(&mmio, h, UINT64_MAX - 1, 4);
	assert_int_equal(load(UINT64_MAX - 1, 1), 0xff);
	bus_mmio_place(&mmio, h, 0, 0);
	assert_int_equal(load(0, 1), 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_inside_a_region_one_access, setup),
		cmocka_unit_test_setup(test_across_regions_and_holes, setup),
		cmocka_unit_test_setup(test_writes, setup),
		cmocka_unit_test_setup(test_the_ends_of_the_spaces, setup),
		cmocka_unit_test_setup(test_refusals, setup),
		cmocka_unit_test_setup(test_owned, setup),
		cmocka_unit_test_setup(test_strings, setup),
		cmocka_unit_test_setup(test_moving_ports, setup),
		cmocka_unit_test_setup(test_moving_overlap, setup),
		cmocka_unit_test_setup(test_moving_memory, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
