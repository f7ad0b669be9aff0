// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "tests/unit/fakeclock.h"
#include "worker/platform/i8259.h"

struct bench {
	struct fakepins pins;
	struct i8259 pic;
};

static void m(struct bench *b, unsigned int off, uint8_t val)
{
	i8259_master_ops.write(&b->pic, off, 1, val);
}

static void s(struct bench *b, unsigned int off, uint8_t val)
{
	i8259_slave_ops.write(&b->pic, off, 1, val);
}

static uint8_t mr(struct bench *b, unsigned int off)
{
	return (uint8_t)i8259_master_ops.read(&b->pic, off, 1);
}

static uint8_t sr(struct bench *b, unsigned int off)
{
	return (uint8_t)i8259_slave_ops.read(&b->pic, off, 1);
}

static uint8_t master_isr(struct bench *b)
{
	m(b, 0, 0x0b);
	return mr(b, 0);
}

static uint8_t master_irr(struct bench *b)
{
	m(b, 0, 0x0a);
	return mr(b, 0);
}

static void initialise(struct bench *b, uint8_t master_icw4, uint8_t slave_icw4)
{
	m(b, 0, 0x11);
	m(b, 1, 0x20);
	m(b, 1, 0x04);
	m(b, 1, master_icw4);
	s(b, 0, 0x11);
	s(b, 1, 0x28);
	s(b, 1, 0x02);
	s(b, 1, slave_icw4);
}

static void up(struct bench *b, unsigned int irq)
{
	i8259_set_irq(&b->pic, irq, true);
}

static void down(struct bench *b, unsigned int irq)
{
	i8259_set_irq(&b->pic, irq, false);
}

static void raise_edge(struct bench *b, unsigned int irq)
{
	down(b, irq);
	up(b, irq);
}

static bool intr(struct bench *b)
{
	assert_int_equal(b->pins.level[0], i8259_int(&b->pic));
	return b->pins.level[0];
}

static int ack(struct bench *b)
{
	return i8259_ack(&b->pic);
}

static int setup(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	i8259_init(&b.pic, fakepin(&b.pins, 0));
	initialise(&b, 0x01, 0x01);
	*state = &b;
	return 0;
}

static void silent_before_initialisation(void **state)
{
	struct bench *b = *state;

	i8259_reset(&b->pic);
	up(b, 3);
	assert_false(intr(b));
	/* The mask can be written and read back: that is how the parts are probed. */
	m(b, 1, 0xfb);
	assert_int_equal(mr(b, 1), 0xfb);
	m(b, 0, 0x11);
	assert_int_equal(mr(b, 1), 0);
	m(b, 1, 0x20);
	assert_int_equal(mr(b, 1), 0);
	m(b, 1, 0x04);
	assert_false(intr(b));
	m(b, 1, 0x01);
	/* ICW1 has reset the edge sense: the input must rise again. */
	assert_false(intr(b));
	raise_edge(b, 3);
	assert_true(intr(b));
	assert_int_equal(ack(b), 0x23);
}

static void short_initialisation(void **state)
{
	struct bench *b = *state;

	/* Single, without ICW4: two words, and IR2 is an input as any other. */
	m(b, 0, 0x12);
	m(b, 1, 0x47);
	m(b, 1, 0xfe);
	assert_int_equal(mr(b, 1), 0xfe);
	raise_edge(b, 0);
	assert_int_equal(ack(b), 0x40);
}

static void every_input(void **state)
{
	struct bench *b = *state;

	for (unsigned int irq = 0; irq < 16; irq++) {
		if (irq == 2)
			continue;
		up(b, irq);
		assert_true(intr(b));
		assert_int_equal(ack(b), 0x20 + irq);
		if (irq >= 8)
			s(b, 0, 0x20);
		m(b, 0, 0x20);
		down(b, irq);
		assert_false(intr(b));
	}
}

static void icw1_starts_over(void **state)
{
	struct bench *b = *state;

	up(b, 5);
	ack(b);
	m(b, 1, 0x0f);
	m(b, 0, 0x80); /* rotate in automatic EOI mode */
	m(b, 0, 0xc3);
	m(b, 0, 0x68);
	/* Level-triggered and asserted throughout, it must wait for the last word. */
	i8259_elcr_ops.write(&b->pic, 0, 1, 0x40);
	m(b, 0, 0x11);
	up(b, 6);
	assert_false(intr(b));
	m(b, 1, 0x40);
	assert_false(intr(b));
	m(b, 1, 0x04);
	assert_false(intr(b));
	m(b, 1, 0x03);
	assert_true(intr(b));
	assert_int_equal(mr(b, 1), 0);
	assert_int_equal(master_isr(b), 0);
	assert_int_equal(ack(b), 0x46);
	/* No rotation is left: 0 is still the highest. */
	down(b, 6);
	up(b, 7);
	up(b, 0);
	assert_int_equal(ack(b), 0x40);
}

static void edge(void **state)
{
	struct bench *b = *state;

	up(b, 4);
	assert_true(intr(b));
	assert_int_equal(master_irr(b), 0x10);
	assert_int_equal(ack(b), 0x24);
	assert_false(intr(b));
	assert_int_equal(master_irr(b), 0);
	assert_int_equal(master_isr(b), 0x10);
	m(b, 0, 0x20);
	assert_int_equal(master_isr(b), 0);
	assert_false(intr(b)); /* still high, but no new edge */
	raise_edge(b, 4);
	assert_true(intr(b));
	/* An edge that comes while in service waits for the EOI. */
	ack(b);
	raise_edge(b, 4);
	assert_false(intr(b));
	assert_int_equal(master_irr(b), 0x10);
	m(b, 0, 0x20);
	assert_true(intr(b));
	assert_int_equal(ack(b), 0x24);
}

static void edge_withdrawn_is_spurious(void **state)
{
	struct bench *b = *state;

	up(b, 4);
	down(b, 4);
	assert_false(intr(b));
	assert_int_equal(ack(b), 0x27);
	assert_int_equal(master_isr(b), 0);
	/* From the slave as well: its request at the master goes too. */
	up(b, 12);
	assert_true(intr(b));
	down(b, 12);
	assert_false(intr(b));
	assert_int_equal(ack(b), 0x27);
	assert_int_equal(master_isr(b), 0);
}

static void fully_nested(void **state)
{
	struct bench *b = *state;

	up(b, 5);
	up(b, 3);
	up(b, 6);
	assert_int_equal(ack(b), 0x23);
	assert_false(intr(b));
	up(b, 1);
	assert_true(intr(b)); /* a higher one interrupts */
	assert_int_equal(ack(b), 0x21);
	assert_int_equal(master_isr(b), 0x0a);
	m(b, 0, 0x20); /* ends the highest, 1 */
	assert_int_equal(master_isr(b), 0x08);
	assert_false(intr(b));
	m(b, 0, 0x63); /* specific */
	assert_int_equal(ack(b), 0x25);
	m(b, 0, 0x20);
	assert_int_equal(ack(b), 0x26);
	assert_int_equal(b->pins.rises[0], 4);
}

static void masks(void **state)
{
	struct bench *b = *state;

	m(b, 1, 0x10);
	up(b, 4);
	assert_false(intr(b));
	assert_int_equal(master_irr(b), 0x10);
	m(b, 1, 0);
	assert_true(intr(b));
	m(b, 1, 0x10);
	assert_false(intr(b));
	/* Slave behind a masked cascade input. */
	m(b, 1, 0x14);
	up(b, 9);
	assert_false(intr(b));
	m(b, 1, 0x00);
	s(b, 1, 0x02);
	assert_int_equal(ack(b), 0x24);
	m(b, 0, 0x20);
	assert_false(intr(b));
	s(b, 1, 0x00);
	assert_int_equal(ack(b), 0x29);
}

static void cascade(void **state)
{
	struct bench *b = *state;

	up(b, 14);
	up(b, 3);
	assert_int_equal(ack(b), 0x2e); /* slaves come with the priority of IR2 */
	assert_int_equal(master_isr(b), 0x04);
	s(b, 0, 0x0b);
	assert_int_equal(sr(b, 0), 0x40);
	/* In the fully nested mode a higher slave input is held back by the master ... */
	up(b, 8);
	assert_false(intr(b));
	s(b, 0, 0x20);
	assert_false(intr(b));
	m(b, 0, 0x20);
	assert_int_equal(ack(b), 0x28);
	s(b, 0, 0x20);
	m(b, 0, 0x20);
	assert_int_equal(ack(b), 0x23);
	m(b, 0, 0x20);
	assert_false(intr(b));
}

static void special_fully_nested(void **state)
{
	struct bench *b = *state;

	initialise(b, 0x11, 0x01);
	up(b, 14);
	assert_int_equal(ack(b), 0x2e);
	up(b, 15);
	assert_false(intr(b));
	up(b, 8);
	assert_true(intr(b)); /* ... but not in the special one */
	assert_int_equal(ack(b), 0x28);
	up(b, 3);
	assert_false(intr(b));
	/* Two are in service in the slave: EOI to the master only when its ISR is 0. */
	s(b, 0, 0x20);
	s(b, 0, 0x0b);
	assert_int_equal(sr(b, 0), 0x40);
	s(b, 0, 0x20);
	assert_int_equal(sr(b, 0), 0);
	assert_true(intr(b));
	assert_int_equal(ack(b), 0x2f);
}

static void automatic_eoi(void **state)
{
	struct bench *b = *state;

	initialise(b, 0x03, 0x03);
	up(b, 3);
	up(b, 4);
	assert_int_equal(ack(b), 0x23);
	assert_int_equal(master_isr(b), 0);
	assert_true(intr(b)); /* with a new edge on INT */
	assert_int_equal(b->pins.rises[0], 2);
	assert_int_equal(ack(b), 0x24);
	assert_false(intr(b));
	/* Two at the slave: its INT must pulse for the master to see the second. */
	up(b, 10);
	up(b, 11);
	assert_int_equal(ack(b), 0x2a);
	assert_int_equal(ack(b), 0x2b);
	assert_false(intr(b));
}

static void automatic_rotation(void **state)
{
	struct bench *b = *state;

	initialise(b, 0x03, 0x01);
	m(b, 0, 0x80); /* rotate in automatic EOI mode */
	up(b, 3);
	up(b, 4);
	assert_int_equal(ack(b), 0x23);
	/* 3 is the lowest now, 4 the highest. */
	raise_edge(b, 3);
	up(b, 5);
	assert_int_equal(ack(b), 0x24);
	raise_edge(b, 4);
	assert_int_equal(ack(b), 0x25);
	assert_int_equal(ack(b), 0x23);
	assert_int_equal(ack(b), 0x24);
	m(b, 0, 0x00); /* stop rotating */
	up(b, 6);
	assert_int_equal(ack(b), 0x26);
	assert_int_equal(b->pic.master.lowest, 4);
}

static void rotation(void **state)
{
	struct bench *b = *state;

	up(b, 2);
	up(b, 4);
	up(b, 6);
	assert_int_equal(ack(b), 0x24);
	m(b, 0, 0xa0); /* rotate on non-specific EOI: 4 becomes the lowest */
	raise_edge(b, 4);
	assert_int_equal(ack(b), 0x26);
	m(b, 0, 0xe6); /* rotate on specific EOI: 7 is the highest */
	raise_edge(b, 6);
	assert_int_equal(ack(b), 0x24);
	m(b, 0, 0x20);
	assert_int_equal(ack(b), 0x26);
	m(b, 0, 0x20);
	m(b, 0, 0xc2); /* set priority: 3 is the highest */
	up(b, 0);
	up(b, 7);
	assert_int_equal(ack(b), 0x27);
	m(b, 0, 0x20);
	assert_int_equal(ack(b), 0x20);
	m(b, 0, 0x40); /* no operation */
	assert_int_equal(master_isr(b), 0x01);
}

static void special_mask(void **state)
{
	struct bench *b = *state;

	up(b, 3);
	ack(b);
	up(b, 5);
	assert_false(intr(b));
	m(b, 1, 0x08);
	assert_false(intr(b)); /* the mask alone lets no lower one through */
	m(b, 0, 0x68);
	assert_true(intr(b));
	assert_int_equal(ack(b), 0x25);
	/* A non-specific EOI does not clear a masked one. */
	m(b, 0, 0x20);
	assert_int_equal(master_isr(b), 0x08);
	m(b, 0, 0x20);
	assert_int_equal(master_isr(b), 0x08);
	m(b, 0, 0x48); /* off */
	up(b, 6);
	assert_false(intr(b));
	m(b, 0, 0x20);
	assert_int_equal(master_isr(b), 0);
	assert_true(intr(b));
}

static void polling(void **state)
{
	struct bench *b = *state;

	m(b, 0, 0x0c);
	assert_int_equal(mr(b, 0), 0);
	up(b, 6);
	up(b, 12);
	m(b, 0, 0x0c);
	assert_int_equal(mr(b, 0), 0x82);
	assert_int_equal(master_isr(b), 0x04);
	s(b, 0, 0x0c);
	assert_int_equal(sr(b, 1), 0x84); /* any read */
	assert_int_equal(sr(b, 1), 0x00); /* then the mask again */
	s(b, 0, 0x20);
	m(b, 0, 0x20);
	assert_int_equal(ack(b), 0x26);
}

static void level_triggered(void **state)
{
	struct bench *b = *state;

	i8259_elcr_ops.write(&b->pic, 0, 2, 0xffff);
	assert_int_equal(i8259_elcr_ops.read(&b->pic, 0, 2), 0xdef8);
	up(b, 10);
	assert_int_equal(ack(b), 0x2a);
	s(b, 0, 0x0a);
	assert_int_equal(sr(b, 0), 0x04); /* still requested */
	assert_false(intr(b));
	s(b, 0, 0x20);
	m(b, 0, 0x20);
	assert_true(intr(b)); /* again, as it is still asserted */
	assert_int_equal(ack(b), 0x2a);
	down(b, 10);
	s(b, 0, 0x20);
	m(b, 0, 0x20);
	assert_false(intr(b));
	/* Level inputs need no edge after ICW1. */
	up(b, 5);
	initialise(b, 1, 1);
	assert_int_equal(ack(b), 0x25);
	/* Turned to edge triggered while high: nothing to report. */
	m(b, 0, 0x20);
	assert_true(intr(b));
	i8259_elcr_ops.write(&b->pic, 0, 1, 0);
	assert_false(intr(b));
}

static void cascade_input_is_not_a_pin(void **state)
{
	struct bench *b = *state;

	up(b, 2);
	up(b, 16);
	assert_false(intr(b));
	assert_int_equal(master_irr(b), 0);
}

static void nobody_answers(void **state)
{
	struct bench *b = *state;

	s(b, 0, 0x11);
	s(b, 1, 0x28);
	s(b, 1, 0x05);
	s(b, 1, 0x01);
	up(b, 9);
	assert_int_equal(ack(b), 0xff);
}

static void registers(void **state)
{
	struct bench *b = *state;

	m(b, 0, 0x0b);
	up(b, 1);
	ack(b);
	up(b, 7);
	assert_int_equal(mr(b, 0), 0x02); /* the choice stays until changed */
	m(b, 0, 0x08);
	assert_int_equal(mr(b, 0), 0x02);
	m(b, 0, 0x0a);
	assert_int_equal(mr(b, 0), 0x80);
	m(b, 1, 0x55);
	assert_int_equal(i8259_master_ops.read(&b->pic, 0, 2), 0x5580);
	m(b, 0, 0x11); /* and back to the IRR by ICW1 */
	m(b, 1, 0x20);
	m(b, 1, 0x04);
	m(b, 1, 0x01);
	raise_edge(b, 7);
	assert_int_equal(mr(b, 0), 0x80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(silent_before_initialisation, setup),
		cmocka_unit_test_setup(short_initialisation, setup),
		cmocka_unit_test_setup(every_input, setup),
		cmocka_unit_test_setup(icw1_starts_over, setup),
		cmocka_unit_test_setup(edge, setup),
		cmocka_unit_test_setup(edge_withdrawn_is_spurious, setup),
		cmocka_unit_test_setup(fully_nested, setup),
		cmocka_unit_test_setup(masks, setup),
		cmocka_unit_test_setup(cascade, setup),
		cmocka_unit_test_setup(special_fully_nested, setup),
		cmocka_unit_test_setup(automatic_eoi, setup),
		cmocka_unit_test_setup(automatic_rotation, setup),
		cmocka_unit_test_setup(rotation, setup),
		cmocka_unit_test_setup(special_mask, setup),
		cmocka_unit_test_setup(polling, setup),
		cmocka_unit_test_setup(level_triggered, setup),
		cmocka_unit_test_setup(cascade_input_is_not_a_pin, setup),
		cmocka_unit_test_setup(nobody_answers, setup),
		cmocka_unit_test_setup(registers, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
