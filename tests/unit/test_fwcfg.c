// SPDX-License-Identifier: GPL-2.0-only
/* The firmware configuration device as SeaBIOS, OVMF and Linux read it, and as nobody should. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "worker/platform/fwcfg.h"

#define MEMORY 0x3000

static uint8_t memory[MEMORY];
static struct fwcfg fw;

static bool mem_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	(void)ctx;
	memset(buf, 0xff, len);
	if (addr > MEMORY || len > MEMORY - addr)
		return false;
	memcpy(buf, memory + addr, len);
	return true;
}

static bool mem_write(void *ctx, uint64_t addr, const void *buf, size_t len)
{
	(void)ctx;
	if (addr > MEMORY || len > MEMORY - addr)
		return false;
	memcpy(memory + addr, buf, len);
	return true;
}

static const struct dma dma = { .read = mem_read, .write = mem_write };
static uint8_t big[5000];

static int setup(void **state)
{
	(void)state;
	memset(memory, 0xee, sizeof(memory));
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + (i >> 8));
	fwcfg_init(&fw, &dma);
	assert_int_equal(fwcfg_add_int(&fw, FWCFG_NB_CPUS, 0x1234, 2), 0);
	assert_int_equal(fwcfg_add_file(&fw, "etc/big", big, sizeof(big)), 0);
	assert_int_equal(fwcfg_add_file(&fw, "etc/small", "abc", 3), 0);
	return 0;
}

static void choose(uint16_t key)
{
	fwcfg_ops.write(&fw, 0, 2, key);
}

static uint8_t byte(void)
{
	return (uint8_t)fwcfg_ops.read(&fw, 1, 1);
}

static uint32_t be(const uint8_t *p, unsigned int size)
{
	uint32_t val = 0;

	while (size--)
		val = val << 8 | *p++;
	return val;
}

static void by_bytes(void **state)
{
	uint8_t got[8];

	(void)state;
	choose(FWCFG_SIGNATURE);
	fwcfg_ops.read_string(&fw, 1, 1, got, 6);
	assert_memory_equal(got, "QEMU\0\0", 6); /* zeroes behind the end */
	choose(FWCFG_ID);
	assert_int_equal(byte(), 3);
	choose(FWCFG_NB_CPUS);
	assert_int_equal(byte(), 0x34);
	assert_int_equal(byte(), 0x12);
	assert_int_equal(byte(), 0);
	choose(0x7fff);
	assert_int_equal(byte(), 0);
	choose(FWCFG_NB_CPUS);
	fwcfg_ops.write(&fw, 1, 1, 0x55); /* constant */
	assert_int_equal(byte(), 0x34);
	fwcfg_ops.write(&fw, 0, 1, 0x19); /* half a selector is none */
	assert_int_equal(byte(), 0x12);
	fwcfg_reset(&fw);
	assert_int_equal(byte(), 'Q');
}

static void directory(void **state)
{
	uint8_t dir[4 + 2 * 64], got[4];

	(void)state;
	choose(FWCFG_FILE_DIR);
	fwcfg_ops.read_string(&fw, 1, 1, dir, sizeof(dir));
	assert_int_equal(be(dir, 4), 2);
	assert_int_equal(be(dir + 4, 4), sizeof(big));
	assert_string_equal((char *)dir + 12, "etc/big");
	assert_int_equal(be(dir + 68, 4), 3);
	assert_string_equal((char *)dir + 76, "etc/small");
	assert_int_equal(byte(), 0);
	choose((uint16_t)be(dir + 72, 2));
	fwcfg_ops.read_string(&fw, 1, 1, got, 4);
	assert_memory_equal(got, "abc", 4);
}

static void put_be(uint8_t *p, uint64_t val, unsigned int size)
{
	while (size--) {
		p[size] = (uint8_t)val;
		val >>= 8;
	}
}

/* Starts a transfer that is described at at; returns its control word afterwards. */
static uint32_t transfer(uint64_t at, uint32_t control, uint32_t len, uint64_t addr)
{
	uint8_t ports[8];
	uint32_t high, low;

	if (at < MEMORY - 16) {
		put_be(memory + at, control, 4);
		put_be(memory + at + 4, len, 4);
		put_be(memory + at + 8, addr, 8);
	}
	put_be(ports, at, 8);
	memcpy(&high, ports, 4);
	memcpy(&low, ports + 4, 4);
	fwcfg_ops.write(&fw, 4, 4, high);
	fwcfg_ops.write(&fw, 8, 4, low);
	return at < MEMORY - 16 ? be(memory + at, 4) : 0;
}

static void by_dma(void **state)
{
	uint32_t select = (uint32_t)FWCFG_FILES << 16 | FWCFG_DMA_SELECT;

	(void)state;
	assert_int_equal(fwcfg_ops.read(&fw, 4, 4), 0x554d4551); /* "QEMU", "  CFG" */
	assert_int_equal(fwcfg_ops.read(&fw, 8, 4), 0x47464320);
	assert_int_equal(transfer(0x10, select | FWCFG_DMA_READ, 4500, 0x100), 0);
	assert_memory_equal(memory + 0x100, big, 4500);
	/* It goes on where it was; behind the end there are zeroes. */
	assert_int_equal(transfer(0x10, FWCFG_DMA_READ, 600, 0x100), 0);
	assert_memory_equal(memory + 0x100, big + 4500, 500);
	assert_int_equal(memory[0x100 + 500], 0);
	assert_int_equal(memory[0x100 + 599], 0);
	assert_int_equal(transfer(0x10, select | FWCFG_DMA_SKIP, 4999, 0), 0);
	assert_int_equal(byte(), big[4999]);
	assert_int_equal(byte(), 0);
	assert_int_equal(transfer(0x10, select, 0, 0), 0);
	assert_int_equal(byte(), big[0]);
}

static void bad_dma(void **state)
{
	uint32_t select = (uint32_t)FWCFG_FILES << 16 | FWCFG_DMA_SELECT;

	(void)state;
	assert_int_equal(transfer(0x10, select | FWCFG_DMA_WRITE, 16, 0x100), FWCFG_DMA_ERROR);
	assert_int_equal(big[0], 0);
	/* No memory, a wrap, and a length that would take for ever. */
	assert_int_equal(transfer(0x10, select | FWCFG_DMA_READ, 16, 1ull << 40), FWCFG_DMA_ERROR);
	assert_int_equal(transfer(0x10, select | FWCFG_DMA_READ, 16, UINT64_MAX - 3),
			 FWCFG_DMA_ERROR);
	assert_int_equal(transfer(0x10, select | FWCFG_DMA_READ, UINT32_MAX, 0x1000),
			 FWCFG_DMA_ERROR);
	assert_int_equal(transfer(0x10, FWCFG_DMA_SKIP, UINT32_MAX, 0), 0);
	assert_int_equal(byte(), 0);
	transfer(UINT64_MAX - 7, FWCFG_DMA_READ, 4, 0x100);
	transfer(MEMORY - 4, FWCFG_DMA_READ, 4, 0x100);
}

static void limits(void **state)
{
	char name[64];
	int ret = 0;

	(void)state;
	assert_int_equal(fwcfg_add_int(&fw, FWCFG_NB_CPUS, 1, 2), -EEXIST);
	assert_int_equal(fwcfg_add_file(&fw, "", big, 1), -EINVAL);
	memset(name, 'x', sizeof(name));
	name[56] = 0;
	assert_int_equal(fwcfg_add_file(&fw, name, big, 1), -EINVAL);
	name[55] = 0;
	for (int i = 0; i < FWCFG_FILES_MAX - 2; i++)
		assert_int_equal(fwcfg_add_file(&fw, name, big, 1), 0);
	assert_int_equal(fwcfg_add_file(&fw, name, big, 1), -ENOSPC);
	for (uint16_t key = 0x4000; !ret; key++)
		ret = fwcfg_add(&fw, key, big, 1);
	assert_int_equal(ret, -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(by_bytes, setup), cmocka_unit_test_setup(directory, setup),
		cmocka_unit_test_setup(by_dma, setup),	 cmocka_unit_test_setup(bad_dma, setup),
		cmocka_unit_test_setup(limits, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
