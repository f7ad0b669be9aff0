// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "worker/platform/pcihost.h"

struct bench {
	struct pcihost host;
	struct pci_function fn, fn2, fn3;
	uint8_t rc;
	unsigned int written, written_off, written_size;
};

static uint64_t in(struct bench *b, unsigned int port, unsigned int size)
{
	return pcihost_ops.read(&b->host, port - 0xcf8, size);
}

static void out(struct bench *b, unsigned int port, unsigned int size, uint32_t val)
{
	pcihost_ops.write(&b->host, port - 0xcf8, size, val);
}

static void choose(struct bench *b, unsigned int bus, unsigned int devfn, unsigned int reg)
{
	out(b, 0xcf8, 4, 0x80000000u | bus << 16 | devfn << 8 | reg);
}

static uint32_t cfg(struct bench *b, unsigned int devfn, unsigned int reg)
{
	choose(b, 0, devfn, reg & ~3u);
	return (uint32_t)in(b, 0xcfc, 4);
}

static void set_cfg(struct bench *b, unsigned int devfn, unsigned int reg, uint32_t val)
{
	choose(b, 0, devfn, reg & ~3u);
	out(b, 0xcfc, 4, val);
}

static const struct pci_ids ids = {
	.vendor = 0x1234,
	.device = 0x5678,
	.class_code = 0x020001,
	.revision = 0x42,
	.subsys_vendor = 0xabcd,
	.subsys_device = 0x0123,
};

static int setup(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	pcihost_init(&b.host);
	pci_function_init(&b.fn, &ids);
	pci_function_init(&b.fn2, &ids);
	*state = &b;
	return 0;
}

static void host_bridge(void **state)
{
	struct bench *b = *state;

	assert_int_equal(cfg(b, 0, 0x00), 0x12378086);
	assert_int_equal(cfg(b, 0, 0x04), 0x02800006);
	assert_int_equal(cfg(b, 0, 0x08), 0x06000002);
	assert_int_equal(cfg(b, 0, 0x0c), 0);
	set_cfg(b, 0, 0x00, 0);
	assert_int_equal(cfg(b, 0, 0x00), 0x12378086);
	set_cfg(b, 0, 0x04, 0xffff0000); /* memory and master cannot be turned off */
	assert_int_equal(cfg(b, 0, 0x04), 0x02800006);
	/* No BARs */
	for (unsigned int reg = 0x10; reg < 0x34; reg += 4) {
		set_cfg(b, 0, reg, 0xffffffff);
		assert_int_equal(cfg(b, 0, reg), 0);
	}
	set_cfg(b, 0, 0x58, 0xffffffff);
	set_cfg(b, 0, 0x5c, 0xffffffff);
	assert_int_equal(cfg(b, 0, 0x58), 0x33333000);
	assert_int_equal(cfg(b, 0, 0x5c), 0x33333333);
	pcihost_reset(&b->host);
	assert_int_equal(cfg(b, 0, 0x58), 0);
}

static void absent_functions(void **state)
{
	struct bench *b = *state;

	for (unsigned int devfn = 1; devfn < 256; devfn++)
		assert_int_equal(cfg(b, devfn, 0), 0xffffffff);
	choose(b, 1, 0, 0);
	assert_int_equal(in(b, 0xcfc, 4), 0xffffffff);
	assert_int_equal(in(b, 0xcfc, 2), 0xffff);
	assert_int_equal(in(b, 0xcff, 1), 0xff);
	out(b, 0xcfc, 4, 0);
}

static void address_register(void **state)
{
	struct bench *b = *state;

	/* What an operating system looks for: the register reads back. */
	out(b, 0xcf8, 4, 0x80000000);
	assert_int_equal(in(b, 0xcf8, 4), 0x80000000);
	out(b, 0xcf8, 4, 0xffffffff);
	assert_int_equal(in(b, 0xcf8, 4), 0x80fffffc);
	/* Without the enable bit 0xcfc is an ordinary port. */
	out(b, 0xcf8, 4, 0);
	assert_int_equal(in(b, 0xcfc, 4), 0xffffffff);
	/* Narrower accesses do not reach it. */
	out(b, 0xcf8, 4, 0x80000004);
	out(b, 0xcf8, 1, 0);
	out(b, 0xcf8, 2, 0);
	out(b, 0xcfa, 2, 0);
	out(b, 0xcf9, 4, 0);
	assert_int_equal(in(b, 0xcf8, 4), 0x80000004);
	assert_int_equal(in(b, 0xcf8, 1), 0xff);
	assert_int_equal(in(b, 0xcfa, 2), 0xffff);
	assert_int_equal(in(b, 0xcfb, 4), 0xffffffff);
	assert_int_equal(pcihost_ops.read(&b->host, 0, 8), UINT64_MAX);
}

static uint64_t rc_read(void *dev, uint64_t off, unsigned int size)
{
	assert_int_equal(off, 0);
	assert_int_equal(size, 1);
	return ((struct bench *)dev)->rc;
}

static void rc_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	assert_int_equal(off, 0);
	assert_int_equal(size, 1);
	((struct bench *)dev)->rc = (uint8_t)val;
}

static void reset_control_shares_the_ports(void **state)
{
	static const struct device_ops ops = { .read = rc_read, .write = rc_write };
	struct bench *b = *state;

	out(b, 0xcf9, 1, 0x02);
	assert_int_equal(in(b, 0xcf9, 1), 0xff);
	pcihost_set_rc(&b->host, &ops, b);
	out(b, 0xcf8, 4, 0x80000604);
	assert_int_equal(b->rc, 0);
	out(b, 0xcf9, 1, 0x06);
	assert_int_equal(b->rc, 0x06);
	assert_int_equal(in(b, 0xcf9, 1), 0x06);
	out(b, 0xcf8, 2, 0xffff);
	out(b, 0xcf9, 2, 0xffff);
	assert_int_equal(b->rc, 0x06);
	assert_int_equal(in(b, 0xcf8, 4), 0x80000604);
}

static void adding_functions(void **state)
{
	struct bench *b = *state;

	assert_int_equal(pcihost_add(&b->host, PCI_DEVFN(0, 0), &b->fn), -EBUSY);
	assert_int_equal(pcihost_add(&b->host, PCI_DEVFN(3, 1), &b->fn), 0);
	assert_int_equal(cfg(b, PCI_DEVFN(3, 1), 0x0c) >> 16 & 0x80, 0);
	assert_int_equal(pcihost_add(&b->host, PCI_DEVFN(3, 0), &b->fn2), 0);
	assert_int_equal(cfg(b, PCI_DEVFN(3, 0), 0x0c) >> 16 & 0x80, 0x80);
	assert_int_equal(cfg(b, PCI_DEVFN(3, 1), 0x0c) >> 16 & 0x80, 0);
	/* That is of device 3 alone, not of the one before it. */
	pci_function_init(&b->fn3, &ids);
	assert_int_equal(pcihost_add(&b->host, PCI_DEVFN(2, 0), &b->fn3), 0);
	assert_int_equal(cfg(b, PCI_DEVFN(2, 0), 0x0c) >> 16 & 0x80, 0);
	pcihost_reset(&b->host);
	assert_int_equal(cfg(b, PCI_DEVFN(3, 0), 0x0c) >> 16 & 0x80, 0x80);
}

static void header(void **state)
{
	struct bench *b = *state;
	unsigned int devfn = PCI_DEVFN(5, 0);

	pci_function_set_pin(&b->fn, 1);
	pcihost_add(&b->host, devfn, &b->fn);
	assert_int_equal(cfg(b, devfn, 0x00), 0x56781234);
	assert_int_equal(cfg(b, devfn, 0x08), 0x02000142);
	assert_int_equal(cfg(b, devfn, 0x2c), 0x0123abcd);
	assert_int_equal(cfg(b, devfn, 0x3c), 0x00000100);
	set_cfg(b, devfn, 0x00, 0xffffffff);
	set_cfg(b, devfn, 0x08, 0xffffffff);
	set_cfg(b, devfn, 0x2c, 0xffffffff);
	set_cfg(b, devfn, 0x3c, 0xffffffff);
	assert_int_equal(cfg(b, devfn, 0x00), 0x56781234);
	assert_int_equal(cfg(b, devfn, 0x08), 0x02000142);
	assert_int_equal(cfg(b, devfn, 0x2c), 0x0123abcd);
	assert_int_equal(cfg(b, devfn, 0x3c), 0x000001ff);
	set_cfg(b, devfn, 0x0c, 0xffffffff);
	assert_int_equal(cfg(b, devfn, 0x0c), 0x0000ffff);
	set_cfg(b, devfn, 0x04, 0xffff);
	assert_int_equal(cfg(b, devfn, 0x04), 0x0547);
	pcihost_reset(&b->host);
	assert_int_equal(cfg(b, devfn, 0x04), 0);
	assert_int_equal(cfg(b, devfn, 0x3c), 0x00000100);
}

static void byte_merges(void **state)
{
	struct bench *b = *state;
	unsigned int devfn = PCI_DEVFN(5, 0);

	memset(&b->fn.wmask[0x40], 0xff, 8);
	b->fn.wmask[0x42] = 0x0f;
	pcihost_add(&b->host, devfn, &b->fn);
	set_cfg(b, devfn, 0x40, 0x11223344);
	assert_int_equal(cfg(b, devfn, 0x40), 0x11023344);
	choose(b, 0, devfn, 0x40);
	out(b, 0xcfd, 1, 0xaa);
	assert_int_equal(in(b, 0xcfc, 4), 0x1102aa44);
	out(b, 0xcfe, 2, 0xbbcc);
	assert_int_equal(in(b, 0xcfc, 4), 0xbb0caa44);
	out(b, 0xcfd, 2, 0x5566); /* unaligned, within the dword */
	assert_int_equal(in(b, 0xcfc, 4), 0xbb056644);
	assert_int_equal(in(b, 0xcfd, 2), 0x0566);
	assert_int_equal(in(b, 0xcff, 1), 0xbb);
	assert_int_equal(cfg(b, devfn, 0x44), 0);
	/* The low bits of CONFADD do not count: the port's do. */
	out(b, 0xcf8, 4, 0x80000043 | devfn << 8);
	assert_int_equal(in(b, 0xcfc, 1), 0x44);
}

static void write_one_to_clear(void **state)
{
	struct bench *b = *state;
	unsigned int devfn = PCI_DEVFN(5, 0);

	pcihost_add(&b->host, devfn, &b->fn);
	b->fn.config[PCI_STATUS] = 0x90; /* capability list and fast back-to-back: read-only */
	b->fn.config[PCI_STATUS + 1] = 0xf9;
	choose(b, 0, devfn, PCI_COMMAND);
	out(b, 0xcff, 1, 0x80);
	assert_int_equal(in(b, 0xcfe, 2), 0x7990);
	out(b, 0xcfe, 2, 0xffff);
	assert_int_equal(in(b, 0xcfe, 2), 0x0090);
}

static void bar_sizing(void **state)
{
	struct bench *b = *state;
	unsigned int devfn = PCI_DEVFN(5, 0);
	uint64_t addr;

	assert_int_equal(pci_function_set_bar(&b->fn, 0, PCI_BAR_IO, 128), 0);
	assert_int_equal(pci_function_set_bar(&b->fn, 1, PCI_BAR_MEM32, 4096), 0);
	assert_int_equal(pci_function_set_bar(&b->fn, 2, PCI_BAR_PREF64, 1ull << 33), 0);
	assert_int_equal(pci_function_set_rom(&b->fn, 65536), 0);
	pcihost_add(&b->host, devfn, &b->fn);
	for (unsigned int reg = 0x10; reg <= 0x30; reg += 4)
		if (reg != 0x2c)
			set_cfg(b, devfn, reg, 0xffffffff);
	assert_int_equal(cfg(b, devfn, 0x10), 0xffffff81);
	assert_int_equal(cfg(b, devfn, 0x14), 0xfffff000);
	assert_int_equal(cfg(b, devfn, 0x18), 0x0000000c);
	assert_int_equal(cfg(b, devfn, 0x1c), 0xfffffffe);
	assert_int_equal(cfg(b, devfn, 0x20), 0);
	assert_int_equal(cfg(b, devfn, 0x30), 0xffff0001);

	set_cfg(b, devfn, 0x10, 0xc0ff);
	set_cfg(b, devfn, 0x18, 0);
	set_cfg(b, devfn, 0x1c, 0x0a);
	assert_false(pci_function_bar(&b->fn, 0, &addr));
	set_cfg(b, devfn, 0x04, PCI_COMMAND_IO);
	assert_true(pci_function_bar(&b->fn, 0, &addr));
	assert_int_equal(addr, 0xc080);
	assert_false(pci_function_bar(&b->fn, 2, &addr));
	set_cfg(b, devfn, 0x04, PCI_COMMAND_MEMORY);
	assert_false(pci_function_bar(&b->fn, 0, &addr));
	assert_true(pci_function_bar(&b->fn, 2, &addr));
	assert_true(addr == 0x0a00000000);
	assert_false(pci_function_bar(&b->fn, 3, &addr));
	assert_false(pci_function_bar(&b->fn, 4, &addr));
	assert_false(pci_function_bar(&b->fn, 6, &addr));
}

static void limits_of_bars(void **state)
{
	struct bench *b = *state;

	assert_int_equal(pci_function_set_bar(&b->fn, 0, PCI_BAR_IO, 4), 0);
	assert_int_equal(pci_function_set_bar(&b->fn, 1, PCI_BAR_IO, 256), 0);
	assert_int_equal(pci_function_set_bar(&b->fn, 2, PCI_BAR_MEM32, 16), 0);
	assert_int_equal(pci_function_set_bar(&b->fn, 3, PCI_BAR_MEM32, 1ull << 31), 0);
	assert_int_equal(pci_function_set_bar(&b->fn, 4, PCI_BAR_MEM64, 16), 0);
	assert_int_equal(pci_function_set_bar(&b->fn2, 5, PCI_BAR_MEM32, 16), 0);
}

static void bad_bars(void **state)
{
	struct bench *b = *state;

	assert_int_equal(pci_function_set_bar(&b->fn, 0, PCI_BAR_IO, 96), -EINVAL);
	assert_int_equal(pci_function_set_bar(&b->fn, 0, PCI_BAR_IO, 512), -EINVAL);
	assert_int_equal(pci_function_set_bar(&b->fn, 0, PCI_BAR_IO, 2), -EINVAL);
	assert_int_equal(pci_function_set_bar(&b->fn, 0, PCI_BAR_MEM32, 8), -EINVAL);
	assert_int_equal(pci_function_set_bar(&b->fn, 0, PCI_BAR_MEM32, 1ull << 32), -EINVAL);
	assert_int_equal(pci_function_set_bar(&b->fn, 0, PCI_BAR_MEM64, 0), -EINVAL);
	assert_int_equal(pci_function_set_bar(&b->fn, 6, PCI_BAR_IO, 16), -EINVAL);
	assert_int_equal(pci_function_set_bar(&b->fn, 5, PCI_BAR_MEM64, 4096), -EINVAL);
	assert_int_equal(pci_function_set_bar(&b->fn, 1, PCI_BAR_MEM32, 4096), 0);
	assert_int_equal(pci_function_set_bar(&b->fn, 1, PCI_BAR_MEM32, 4096), -EINVAL);
	assert_int_equal(pci_function_set_bar(&b->fn, 0, PCI_BAR_MEM64, 4096), -EINVAL);
	assert_int_equal(pci_function_set_rom(&b->fn, 1024), -EINVAL);
	assert_int_equal(pci_function_set_rom(&b->fn, 3000), -EINVAL);
}

static uint32_t hook_read(struct pci_function *fn, unsigned int off, unsigned int size,
			  uint32_t val)
{
	(void)fn;
	(void)size;
	return off == 0x80 ? 0xdeadbeef : val;
}

static void hook_written(struct pci_function *fn, unsigned int off, unsigned int size)
{
	struct bench *b = fn->dev;

	b->written++;
	b->written_off = off;
	b->written_size = size;
}

static void hooks(void **state)
{
	struct bench *b = *state;
	unsigned int devfn = PCI_DEVFN(5, 0);

	b->fn.read = hook_read;
	b->fn.written = hook_written;
	b->fn.dev = b;
	pcihost_add(&b->host, devfn, &b->fn);
	assert_int_equal(cfg(b, devfn, 0x80), 0xdeadbeef);
	choose(b, 0, devfn, 0x80);
	assert_int_equal(in(b, 0xcfc, 2), 0xbeef);
	choose(b, 0, devfn, 0xfc);
	out(b, 0xcff, 1, 1);
	assert_int_equal(b->written, 1);
	assert_int_equal(b->written_off, 0xff);
	assert_int_equal(b->written_size, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(host_bridge, setup),
		cmocka_unit_test_setup(absent_functions, setup),
		cmocka_unit_test_setup(address_register, setup),
		cmocka_unit_test_setup(reset_control_shares_the_ports, setup),
		cmocka_unit_test_setup(adding_functions, setup),
		cmocka_unit_test_setup(header, setup),
		cmocka_unit_test_setup(byte_merges, setup),
		cmocka_unit_test_setup(write_one_to_clear, setup),
		cmocka_unit_test_setup(bar_sizing, setup),
		cmocka_unit_test_setup(limits_of_bars, setup),
		cmocka_unit_test_setup(bad_bars, setup),
		cmocka_unit_test_setup(hooks, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
