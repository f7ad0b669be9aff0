// SPDX-License-Identifier: GPL-2.0-only
/* The PIIX4's own: steering of PCI interrupts, blocks of ports that move, SMBus, DMA registers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "worker/platform/i8237.h"
#include "worker/platform/piix4.h"

#define ISA PCI_DEVFN(1, 0)
#define PM  PCI_DEVFN(1, 3)

static struct pcihost host;
static struct piix4 piix4;
static struct i8237 dma;
static bool pirq[PIIX4_PIRQS];
static uint16_t isa;
static int pm_port, smbus_port;

static void set_pirq(void *ctx, unsigned int n, bool on)
{
	(void)ctx;
	assert_int_not_equal(pirq[n], on);
	pirq[n] = on;
}

static void set_isa(void *ctx, unsigned int irq, bool level)
{
	(void)ctx;
	assert_int_not_equal(!!(isa & 1u << irq), level);
	isa ^= (uint16_t)(1u << irq);
}

static void set_pm(void *ctx, int port)
{
	(void)ctx;
	pm_port = port;
}

static void set_smbus(void *ctx, int port)
{
	(void)ctx;
	smbus_port = port;
}

static int setup(void **state)
{
	const struct piix4_host h = { set_pirq, set_isa, set_pm, set_smbus, NULL };

	(void)state;
	memset(pirq, 0, sizeof(pirq));
	isa = 0;
	pm_port = smbus_port = -1;
	pcihost_init(&host);
	piix4_init(&piix4, &h);
	i8237_init(&dma);
	assert_int_equal(pcihost_add(&host, ISA, &piix4.isa), 0);
	assert_int_equal(pcihost_add(&host, PM, &piix4.pm), 0);
	return 0;
}

static void config_write(uint8_t devfn, unsigned int off, unsigned int size, uint32_t val)
{
	pcihost_ops.write(&host, 0, 4, 0x80000000u | (uint32_t)devfn << 8 | (off & 0xfc));
	pcihost_ops.write(&host, 4 + (off & 3), size, val);
}

static uint32_t config_read(uint8_t devfn, unsigned int off)
{
	pcihost_ops.write(&host, 0, 4, 0x80000000u | (uint32_t)devfn << 8 | (off & 0xfc));
	return (uint32_t)pcihost_ops.read(&host, 4, 4);
}

static void identity(void **state)
{
	(void)state;
	assert_int_equal(config_read(ISA, 0), 0x71108086);
	assert_int_equal(config_read(ISA, 8) >> 8, 0x060100);
	assert_int_equal(config_read(ISA, 0x0c) >> 16 & 0xff, 0x80);
	assert_int_equal(config_read(ISA, PIIX4_PIRQRC), 0x80808080);
	assert_int_equal(config_read(PM, 0), 0x71138086);
	assert_int_equal(config_read(PM, 8) >> 8, 0x068000);
	assert_int_equal(config_read(PM, 0x3c) & 0xff00, 0x100);
	assert_int_equal(config_read(PM, PIIX4_DEVACTB), 1u << 25); /* SeaBIOS looks there */
}

/* Slot and pin turn: what PCI and the ACPI tables agree on. */
static void lines_turn(void **state)
{
	(void)state;
	assert_int_equal(PIIX4_INTX(0, 1, 1) & 3, 0);
	assert_int_equal(PIIX4_INTX(0, 3, 1) & 3, 2);
	assert_int_equal(PIIX4_INTX(0, 4, 2) & 3, 0);
	assert_int_equal(PIIX4_INTX(7, 3, 1) >> 2, 7);
}

static void steering(void **state)
{
	unsigned int a = PIIX4_INTX(3, 3, 1), b = PIIX4_INTX(7, 7, 1);

	(void)state;
	piix4_set_intx(&piix4, a, true);
	assert_true(pirq[2]);
	assert_int_equal(isa, 0); /* not routed */
	config_write(ISA, PIIX4_PIRQRC + 2, 1, 11);
	assert_int_equal(isa, 1 << 11);
	/* Two functions share the line: it falls with the second. */
	piix4_set_intx(&piix4, b, true);
	piix4_set_intx(&piix4, a, false);
	assert_true(pirq[2]);
	assert_int_equal(isa, 1 << 11);
	config_write(ISA, PIIX4_PIRQRC + 2, 1, 10);
	assert_int_equal(isa, 1 << 10);
	/* Another PIRQ of the same interrupt. */
	config_write(ISA, PIIX4_PIRQRC, 1, 10);
	piix4_set_intx(&piix4, PIIX4_INTX(1, 1, 1), true);
	piix4_set_intx(&piix4, b, false);
	assert_false(pirq[2]);
	assert_int_equal(isa, 1 << 10);
	/* Interrupts that cannot be had: the timer's, the cascade's, the keyboard's, the clock's. */
	for (unsigned int irq = 0; irq < 16; irq++) {
		config_write(ISA, PIIX4_PIRQRC, 1, irq);
		assert_int_equal(isa, 0xdef8 & 1u << irq);
	}
	config_write(ISA, PIIX4_PIRQRC, 1, 0x8b);
	assert_int_equal(isa, 0);
	config_write(ISA, PIIX4_PIRQRC, 4, 0x0b0b0b0b);
	assert_int_equal(isa, 1 << 11);
	pcihost_reset(&host);
	piix4_reset(&piix4);
	assert_int_equal(isa, 0);
	assert_true(pirq[0]); /* its source still drives it */
}

static void moving_blocks(void **state)
{
	(void)state;
	config_write(PM, PIIX4_PMBASE, 4, 0xffffffff);
	assert_int_equal(config_read(PM, PIIX4_PMBASE), 0xffc1);
	assert_int_equal(pm_port, -1);
	config_write(PM, PIIX4_PMBASE, 4, 0x601);
	config_write(PM, PIIX4_PMREGMISC, 1, 1);
	assert_int_equal(pm_port, 0x600);
	config_write(PM, PIIX4_PMBASE, 2, 0xb000);
	assert_int_equal(pm_port, 0xb000);
	config_write(PM, PIIX4_SMBBA, 4, 0x701);
	config_write(PM, PIIX4_SMBHSTCFG, 1, 9);
	assert_int_equal(smbus_port, -1); /* the function's own enable */
	config_write(PM, PCI_COMMAND, 2, 1);
	assert_int_equal(smbus_port, 0x700);
	pcihost_reset(&host);
	piix4_reset(&piix4);
	assert_int_equal(pm_port, -1);
	assert_int_equal(smbus_port, -1);
}

static uint8_t smbus(unsigned int off)
{
	return (uint8_t)piix4_smbus_ops.read(&piix4, off, 1);
}

static void nobody_on_the_smbus(void **state)
{
	(void)state;
	assert_int_equal(smbus(0), 0);
	piix4_smbus_ops.write(&piix4, 4, 1, 0xa1);
	piix4_smbus_ops.write(&piix4, 2, 1, 0x48); /* start a byte's read */
	assert_int_equal(smbus(0), 0x04);	   /* no acknowledgement, not busy */
	assert_int_equal(smbus(2), 0x08);	   /* the start bit does not stay */
	assert_int_equal(smbus(4), 0xa1);
	piix4_smbus_ops.write(&piix4, 0, 1, 0x1e);
	assert_int_equal(smbus(0), 0);
}

static void out(const struct device_ops *ops, unsigned int off, uint8_t val)
{
	ops->write(&dma, off, 1, val);
}

static uint8_t in(const struct device_ops *ops, unsigned int off)
{
	return (uint8_t)ops->read(&dma, off, 1);
}

static void dma_registers(void **state)
{
	static const struct device_ops *const both[] = { &i8237_low_ops, &i8237_high_ops };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		const struct device_ops *ops = both[i];
		unsigned int step = i + 1; /* the second one's registers are two ports apart */

		assert_int_equal(in(ops, 15 * step), 0xff); /* all masked */
		out(ops, 12 * step, 0);
		out(ops, 5 * step, 0x34);
		out(ops, 5 * step, 0x12);
		assert_int_equal(in(ops, 5 * step), 0x34);
		assert_int_equal(in(ops, 5 * step), 0x12);
		assert_int_equal(in(ops, 5 * step), 0x34);
		out(ops, 12 * step, 0); /* the flip-flop goes back */
		assert_int_equal(in(ops, 5 * step), 0x34);
		out(ops, 10 * step, 2); /* unmask channel 2 */
		assert_int_equal(in(ops, 15 * step), 0xfb);
		out(ops, 9 * step, 6); /* request it */
		assert_int_equal(in(ops, 8 * step), 0x40);
		out(ops, 14 * step, 0);
		assert_int_equal(in(ops, 15 * step), 0xf0);
		out(ops, 13 * step, 0); /* master clear */
		assert_int_equal(in(ops, 15 * step), 0xff);
		assert_int_equal(in(ops, 8 * step), 0);
	}
	out(&i8237_page_ops, 1, 0x5a);
	assert_int_equal(in(&i8237_page_ops, 1), 0x5a);
	assert_int_equal(in(&i8237_page_ops, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(identity, setup),
		cmocka_unit_test_setup(lines_turn, setup),
		cmocka_unit_test_setup(steering, setup),
		cmocka_unit_test_setup(moving_blocks, setup),
		cmocka_unit_test_setup(nobody_on_the_smbus, setup),
		cmocka_unit_test_setup(dma_registers, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
