// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "worker/platform/ioapic.h"

struct bench {
	struct ioapic io;
	unsigned int sent;
	uint64_t addr;
	uint32_t data;
	unsigned int routes;
	unsigned int route_pin;
	struct ioapic_msi route;
};

static void host_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct bench *b = ctx;

	b->sent++;
	b->addr = addr;
	b->data = data;
}

static void host_route(void *ctx, unsigned int pin, const struct ioapic_msi *msi)
{
	struct bench *b = ctx;

	b->routes++;
	b->route_pin = pin;
	b->route = *msi;
}

static uint32_t rd(struct bench *b, uint8_t reg)
{
	ioapic_ops.write(&b->io, IOAPIC_IOREGSEL, 4, reg);
	return (uint32_t)ioapic_ops.read(&b->io, IOAPIC_IOWIN, 4);
}

static void wr(struct bench *b, uint8_t reg, uint32_t val)
{
	ioapic_ops.write(&b->io, IOAPIC_IOREGSEL, 4, reg);
	ioapic_ops.write(&b->io, IOAPIC_IOWIN, 4, val);
}

static void entry(struct bench *b, unsigned int pin, uint8_t dest, uint32_t low)
{
	wr(b, (uint8_t)(IOAPIC_REG_RTE + 2 * pin + 1), (uint32_t)dest << 24);
	wr(b, (uint8_t)(IOAPIC_REG_RTE + 2 * pin), low);
}

static uint32_t low(struct bench *b, unsigned int pin)
{
	return rd(b, (uint8_t)(IOAPIC_REG_RTE + 2 * pin));
}

static void pin(struct bench *b, unsigned int n, bool level)
{
	ioapic_set_irq(&b->io, n, level);
}

static int setup(void **state)
{
	static struct bench b;
	struct ioapic_host host = { host_msi, host_route, &b };

	memset(&b, 0, sizeof(b));
	ioapic_init(&b.io, &host);
	*state = &b;
	return 0;
}

static void registers(void **state)
{
	struct bench *b = *state;

	assert_int_equal(rd(b, IOAPIC_REG_VERSION), 0x00170020);
	wr(b, IOAPIC_REG_ID, 0xffffffff);
	assert_int_equal(rd(b, IOAPIC_REG_ID), 0x0f000000);
	assert_int_equal(rd(b, IOAPIC_REG_ARB), 0x0f000000);
	wr(b, IOAPIC_REG_VERSION, 0);
	assert_int_equal(rd(b, IOAPIC_REG_VERSION), 0x00170020);
	for (unsigned int i = 0; i < IOAPIC_PINS; i++)
		assert_int_equal(low(b, i), 0x10000);
	/* Read-only and reserved bits */
	wr(b, 0x10, 0xffffffff);
	wr(b, 0x11, 0xffffffff);
	assert_int_equal(rd(b, 0x10), 0x1afff);
	assert_int_equal(rd(b, 0x11), 0xff000000);
	/* Beyond the table */
	wr(b, 0x40, 0xffffffff);
	assert_int_equal(rd(b, 0x40), 0);
	assert_int_equal(rd(b, 0x0f), 0);
	assert_int_equal(rd(b, 0xff), 0);
}

static void access_sizes(void **state)
{
	struct bench *b = *state;

	ioapic_ops.write(&b->io, IOAPIC_IOREGSEL, 1, 0x01);
	assert_int_equal(ioapic_ops.read(&b->io, IOAPIC_IOREGSEL, 4), 1);
	assert_int_equal(ioapic_ops.read(&b->io, IOAPIC_IOWIN, 1), 0x20);
	assert_int_equal(ioapic_ops.read(&b->io, IOAPIC_IOWIN + 2, 2), 0x17);
	assert_int_equal(ioapic_ops.read(&b->io, IOAPIC_IOWIN, 8), 0);
	assert_int_equal(ioapic_ops.read(&b->io, 0xffc, 4), 0);
	ioapic_ops.write(&b->io, IOAPIC_IOREGSEL, 1, 0x10);
	ioapic_ops.write(&b->io, IOAPIC_IOWIN, 1, 0x20);
	ioapic_ops.write(&b->io, IOAPIC_IOWIN, 8, 0x20);
	assert_int_equal(low(b, 0), 0x10000);
}

static void message_format(void **state)
{
	struct bench *b = *state;
	struct ioapic_msi msi;

	entry(b, 3, 0x12, 0x31);
	pin(b, 3, true);
	assert_int_equal(b->sent, 1);
	assert_int_equal(b->addr, 0xfee12000);
	assert_int_equal(b->data, 0x31);
	/* Logical, lowest priority, level: */
	entry(b, 4, 0xff, 0x32 | 0x100 | 0x800 | 0x8000);
	pin(b, 4, true);
	assert_int_equal(b->addr, 0xfeeff00c);
	assert_int_equal(b->data, 0xc132);
	/* Logical but fixed goes to the whole group. */
	entry(b, 5, 0x03, 0x33 | 0x800);
	ioapic_message(&b->io, 5, &msi);
	assert_int_equal(msi.addr, 0xfee03004);
	/* NMI is an edge, whatever the entry says. */
	entry(b, 6, 0, 0x400 | 0x8000);
	pin(b, 6, true);
	assert_int_equal(b->data, 0x400);
	assert_int_equal(low(b, 6) & IOAPIC_RTE_REMOTE_IRR, 0);
	pin(b, 6, false);
	pin(b, 6, true);
	assert_int_equal(b->sent, 4);
}

static void edges(void **state)
{
	struct bench *b = *state;

	pin(b, 3, true);
	entry(b, 3, 0, 0x31); /* high already: no edge */
	assert_int_equal(b->sent, 0);
	pin(b, 3, true);
	assert_int_equal(b->sent, 0);
	pin(b, 3, false);
	pin(b, 3, true);
	assert_int_equal(b->sent, 1);
	ioapic_eoi(&b->io, 0x31); /* concerns level-triggered ones only */
	assert_int_equal(b->sent, 1);
	/* An edge while masked is lost. */
	entry(b, 3, 0, 0x10031);
	pin(b, 3, false);
	pin(b, 3, true);
	entry(b, 3, 0, 0x31);
	assert_int_equal(b->sent, 1);
}

static void levels(void **state)
{
	struct bench *b = *state;

	entry(b, 10, 0, 0x8041);
	pin(b, 10, true);
	assert_int_equal(b->sent, 1);
	assert_int_equal(low(b, 10), 0xc041);
	/* Not again until ended, though it falls and rises. */
	pin(b, 10, false);
	pin(b, 10, true);
	assert_int_equal(b->sent, 1);
	ioapic_eoi(&b->io, 0x40);
	assert_int_equal(b->sent, 1);
	/* Still asserted at the EOI: sent again. */
	ioapic_eoi(&b->io, 0x41);
	assert_int_equal(b->sent, 2);
	assert_int_equal(low(b, 10), 0xc041);
	pin(b, 10, false);
	ioapic_eoi(&b->io, 0x41);
	assert_int_equal(b->sent, 2);
	assert_int_equal(low(b, 10), 0x8041);
	pin(b, 10, true);
	assert_int_equal(b->sent, 3);
}

static void level_while_masked_is_kept(void **state)
{
	struct bench *b = *state;

	entry(b, 10, 0, 0x18041);
	pin(b, 10, true);
	assert_int_equal(b->sent, 0);
	entry(b, 10, 0, 0x8041);
	assert_int_equal(b->sent, 1);
	/* Masked between interrupt and EOI, as drivers with threads do. */
	entry(b, 10, 0, 0x18041);
	assert_int_equal(low(b, 10), 0x1c041);
	ioapic_eoi(&b->io, 0x41);
	assert_int_equal(b->sent, 1);
	assert_int_equal(low(b, 10), 0x18041);
	entry(b, 10, 0, 0x8041);
	assert_int_equal(b->sent, 2);
}

static void eoi_register(void **state)
{
	struct bench *b = *state;

	entry(b, 10, 0, 0x8041);
	entry(b, 11, 0, 0x8041);
	entry(b, 12, 0, 0x8042);
	for (unsigned int i = 10; i <= 12; i++)
		pin(b, i, true);
	assert_int_equal(b->sent, 3);
	pin(b, 10, false);
	/* Ends all entries of that vector: 11 is sent again, 10 is not. */
	ioapic_ops.write(&b->io, IOAPIC_EOI, 4, 0x41);
	assert_int_equal(b->sent, 4);
	assert_int_equal(low(b, 10), 0x8041);
	assert_int_equal(low(b, 11), 0xc041);
	assert_int_equal(low(b, 12), 0xc042);
}

static void edge_mode_forgets_remote_irr(void **state)
{
	struct bench *b = *state;

	entry(b, 10, 0, 0x8041);
	pin(b, 10, true);
	/* How stuck interrupts are ended on parts without the EOI register. */
	entry(b, 10, 0, 0x10041);
	assert_int_equal(low(b, 10), 0x10041);
	entry(b, 10, 0, 0x8041);
	assert_int_equal(b->sent, 2);
}

static void polarity(void **state)
{
	struct bench *b = *state;

	pin(b, 10, true);
	entry(b, 10, 0, 0xa041);
	assert_int_equal(b->sent, 0);
	pin(b, 10, false);
	assert_int_equal(b->sent, 1);
	pin(b, 10, true);
	ioapic_eoi(&b->io, 0x41);
	assert_int_equal(b->sent, 1);
	/* Active-low edge */
	entry(b, 11, 0, 0x2042);
	pin(b, 11, true);
	assert_int_equal(b->sent, 1);
	pin(b, 11, false);
	assert_int_equal(b->sent, 2);
}

static void routes(void **state)
{
	struct bench *b = *state;

	assert_int_equal(b->routes, 0);
	wr(b, IOAPIC_REG_RTE + 2 * 7 + 1, 0x05000000);
	assert_int_equal(b->routes, 1);
	assert_int_equal(b->route_pin, 7);
	assert_true(b->route.masked);
	wr(b, IOAPIC_REG_RTE + 2 * 7, 0x8055);
	assert_int_equal(b->routes, 2);
	assert_false(b->route.masked);
	assert_int_equal(b->route.addr, 0xfee05000);
	assert_int_equal(b->route.data, 0xc055);
	wr(b, IOAPIC_REG_RTE + 2 * 7, 0x8055); /* nothing new */
	wr(b, IOAPIC_REG_RTE + 2 * 7, 0xa055); /* polarity is no part of the message */
	assert_int_equal(b->routes, 2);
	ioapic_reset(&b->io);
	assert_int_equal(b->routes, 3);
	assert_true(b->route.masked);
	assert_int_equal(low(b, 7), 0x10000);
}

static void reset_keeps_the_inputs(void **state)
{
	struct bench *b = *state;

	pin(b, 9, true);
	pin(b, 24, true);
	pin(b, 1000, true);
	ioapic_reset(&b->io);
	entry(b, 9, 0, 0x8041);
	assert_int_equal(b->sent, 1);
	assert_int_equal(b->io.lines, 1u << 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers, setup),
		cmocka_unit_test_setup(access_sizes, setup),
		cmocka_unit_test_setup(message_format, setup),
		cmocka_unit_test_setup(edges, setup),
		cmocka_unit_test_setup(levels, setup),
		cmocka_unit_test_setup(level_while_masked_is_kept, setup),
		cmocka_unit_test_setup(eoi_register, setup),
		cmocka_unit_test_setup(edge_mode_forgets_remote_irr, setup),
		cmocka_unit_test_setup(polarity, setup),
		cmocka_unit_test_setup(routes, setup),
		cmocka_unit_test_setup(reset_keeps_the_inputs, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
