// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/i8259.h"

#define CASCADE	    2
#define SPURIOUS    7
#define MASTER_ELCR 0xf8 /* IRQ 0, 1 and 2 are always edge triggered */
#define SLAVE_ELCR  0xde /* as are 8 and 13 */

#define ICW1_IC4  0x01
#define ICW1_SNGL 0x02
#define ICW1_INIT 0x10
#define ICW4_AEOI 0x02
#define ICW4_SFNM 0x10

#define OCW2_LEVEL(v) ((v)&7)
#define OCW2_EOI      0x20
#define OCW2_SL	      0x40
#define OCW2_R	      0x80
#define OCW3_SELECT   0x08
#define OCW3_RIS      0x01
#define OCW3_RR	      0x02
#define OCW3_POLL     0x04
#define OCW3_SMM      0x20
#define OCW3_ESMM     0x40

#define POLL_INT 0x80

/* The request register as read: latched edges, and the levels of level-triggered inputs. */
static uint8_t requests(const struct i8259_chip *c)
{
	return c->irr | (c->lines & c->elcr);
}

/* The input of the highest priority in @set, -1 if there is none. */
static int highest(const struct i8259_chip *c, uint8_t set)
{
	for (unsigned int i = 1; i <= 8; i++) {
		unsigned int n = (c->lowest + i) & 7;

		if (set & 1u << n)
			return (int)n;
	}
	return -1;
}

static unsigned int rank(const struct i8259_chip *c, int n)
{
	return n < 0 ? 8 : ((unsigned int)n - c->lowest - 1) & 7;
}

static bool has_slave(const struct i8259_chip *c, unsigned int n)
{
	return c->is_master && !(c->icw1 & ICW1_SNGL) && c->icw3 & 1u << n;
}

/* The request that may interrupt now, -1 if none. */
static int candidate(const struct i8259_chip *c)
{
	int n = highest(c, requests(c) & ~c->imr);
	int held = highest(c, c->special_mask ? c->isr & ~c->imr : c->isr);

	if (n < 0 || c->init || !c->ready)
		return -1;
	/* Special fully nested: a slave in service is not locked out by itself. */
	if (n == held && c->icw4 & ICW4_SFNM && has_slave(c, (unsigned int)n))
		return n;
	return rank(c, n) < rank(c, held) ? n : -1;
}

static void set_line(struct i8259_chip *c, unsigned int n, bool level)
{
	uint8_t bit = (uint8_t)(1u << n);

	if (level && !(c->lines & bit)) {
		c->lines |= bit;
		if (!(c->elcr & bit))
			c->irr |= bit;
	} else if (!level) {
		c->lines &= ~bit;
		c->irr &= ~bit;
	}
}

static void update_master(struct i8259 *pic)
{
	bool level = candidate(&pic->master) >= 0;

	if (level == pic->master.int_level)
		return;
	pic->master.int_level = level;
	irq_pin_set(&pic->intr, level);
}

static void update(struct i8259 *pic)
{
	pic->slave.int_level = candidate(&pic->slave) >= 0;
	set_line(&pic->master, CASCADE, pic->slave.int_level);
	update_master(pic);
}

/* INT goes low with the last INTA, so that what is still pending makes a new edge. */
static void int_pulse(struct i8259 *pic, struct i8259_chip *c)
{
	if (!c->int_level)
		return;
	c->int_level = false;
	if (c->is_master)
		irq_pin_set(&pic->intr, false);
	else
		set_line(&pic->master, CASCADE, false);
}

/* Put @n in service. */
static void accept(struct i8259_chip *c, unsigned int n)
{
	c->irr &= ~(1u << n);
	if (!(c->icw4 & ICW4_AEOI))
		c->isr |= 1u << n;
	else if (c->rotate_aeoi)
		c->lowest = (uint8_t)n;
}

static uint8_t vector(const struct i8259_chip *c, unsigned int n)
{
	return (c->icw2 & 0xf8) | (uint8_t)n;
}

/* One chip's part of an acknowledge; returns the input. */
static unsigned int ack_chip(struct i8259 *pic, struct i8259_chip *c)
{
	int n = candidate(c);

	if (n >= 0)
		accept(c, (unsigned int)n);
	int_pulse(pic, c);
	return n < 0 ? SPURIOUS : (unsigned int)n;
}

int i8259_ack(struct i8259 *pic)
{
	int requested = candidate(&pic->master);
	unsigned int n = ack_chip(pic, &pic->master);
	int vec = vector(&pic->master, n);

	if (requested >= 0 && has_slave(&pic->master, n)) {
		/* The slave whose ID is on the cascade lines answers; else nobody drives the bus. */
		if (n == CASCADE && (pic->slave.icw3 & 7) == CASCADE)
			vec = vector(&pic->slave, ack_chip(pic, &pic->slave));
		else
			vec = 0xff;
	}
	update(pic);
	return vec;
}

/* Section "End of interrupt": what a non-specific EOI clears, -1 for nothing. */
static int eoi_target(const struct i8259_chip *c)
{
	return highest(c, c->special_mask ? c->isr & ~c->imr : c->isr);
}

static void end_of_interrupt(struct i8259_chip *c, uint8_t val)
{
	int n = val & OCW2_SL ? OCW2_LEVEL(val) : eoi_target(c);

	if (n < 0)
		return;
	c->isr &= ~(1u << n);
	if (val & OCW2_R)
		c->lowest = (uint8_t)n;
}

static void write_ocw2(struct i8259_chip *c, uint8_t val)
{
	if (val & OCW2_EOI)
		end_of_interrupt(c, val);
	else if ((val & OCW2_R) && (val & OCW2_SL))
		c->lowest = OCW2_LEVEL(val);
	else if (!(val & OCW2_SL))
		c->rotate_aeoi = val & OCW2_R;
}

static void write_ocw3(struct i8259_chip *c, uint8_t val)
{
	if (val & OCW3_ESMM)
		c->special_mask = val & OCW3_SMM;
	if (val & OCW3_POLL)
		c->poll = true;
	else if (val & OCW3_RR)
		c->read_isr = val & OCW3_RIS;
}

/* ICW1 resets the edge sense: an input must rise again to be seen. */
static void write_icw1(struct i8259_chip *c, uint8_t val)
{
	c->icw1 = val;
	c->irr = 0;
	c->isr = 0;
	c->imr = 0;
	c->lowest = 7;
	c->special_mask = false;
	c->rotate_aeoi = false;
	c->poll = false;
	c->read_isr = false;
	c->icw3 = 0;
	c->icw4 = 0;
	c->init = 2;
}

static void icw_done(struct i8259_chip *c, unsigned int icw)
{
	if (icw < 3 && !(c->icw1 & ICW1_SNGL))
		c->init = 3;
	else if (icw < 4 && (c->icw1 & ICW1_IC4))
		c->init = 4;
	else
		c->init = 0;
	c->ready |= !c->init;
}

static void write_odd(struct i8259_chip *c, uint8_t val)
{
	switch (c->init) {
	case 2:
		c->icw2 = val;
		break;
	case 3:
		c->icw3 = val;
		break;
	case 4:
		c->icw4 = val;
		break;
	default:
		c->imr = val;
		return;
	}
	icw_done(c, c->init);
}

static void write_chip(struct i8259_chip *c, unsigned int off, uint8_t val)
{
	if (off)
		write_odd(c, val);
	else if (val & ICW1_INIT)
		write_icw1(c, val);
	else if (val & OCW3_SELECT)
		write_ocw3(c, val);
	else
		write_ocw2(c, val);
}

/* The read after a poll command is an acknowledge, whichever port it reads. */
static uint8_t read_poll(struct i8259 *pic, struct i8259_chip *c)
{
	bool pending = candidate(c) >= 0;
	unsigned int n;

	c->poll = false;
	if (!pending)
		return 0;
	n = ack_chip(pic, c);
	return POLL_INT | (uint8_t)n;
}

static uint8_t read_chip(struct i8259 *pic, struct i8259_chip *c, unsigned int off)
{
	uint8_t val;

	if (c->poll) {
		val = read_poll(pic, c);
		update(pic);
		return val;
	}
	if (off)
		return c->imr;
	return c->read_isr ? c->isr : requests(c);
}

static uint8_t read_master_port(void *dev, unsigned int off)
{
	struct i8259 *pic = dev;

	return read_chip(pic, &pic->master, off);
}

static uint8_t read_slave_port(void *dev, unsigned int off)
{
	struct i8259 *pic = dev;

	return read_chip(pic, &pic->slave, off);
}

static void write_master_port(void *dev, unsigned int off, uint8_t val)
{
	struct i8259 *pic = dev;

	write_chip(&pic->master, off, val);
	update(pic);
}

static void write_slave_port(void *dev, unsigned int off, uint8_t val)
{
	struct i8259 *pic = dev;

	write_chip(&pic->slave, off, val);
	update(pic);
}

static struct i8259_chip *elcr_chip(struct i8259 *pic, unsigned int off)
{
	return off ? &pic->slave : &pic->master;
}

static uint8_t read_elcr_port(void *dev, unsigned int off)
{
	return elcr_chip(dev, off)->elcr;
}

static void write_elcr_port(void *dev, unsigned int off, uint8_t val)
{
	struct i8259_chip *c = elcr_chip(dev, off);

	c->elcr = val & c->elcr_mask;
	c->irr &= ~c->elcr;
	update(dev);
}

static uint64_t read_master(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_master_port, dev, off, size);
}

static void write_master(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_master_port, dev, off, size, val);
}

static uint64_t read_slave(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_slave_port, dev, off, size);
}

static void write_slave(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_slave_port, dev, off, size, val);
}

static uint64_t read_elcr(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_elcr_port, dev, off, size);
}

static void write_elcr(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_elcr_port, dev, off, size, val);
}

const struct device_ops i8259_master_ops = { .read = read_master, .write = write_master };
const struct device_ops i8259_slave_ops = { .read = read_slave, .write = write_slave };
const struct device_ops i8259_elcr_ops = { .read = read_elcr, .write = write_elcr };

void i8259_set_irq(void *ctx, unsigned int irq, bool level)
{
	struct i8259 *pic = ctx;

	if (irq > 15 || irq == CASCADE)
		return;
	set_line(irq < 8 ? &pic->master : &pic->slave, irq & 7, level);
	update(pic);
}

bool i8259_int(const struct i8259 *pic)
{
	return pic->master.int_level;
}

static void reset_chip(struct i8259_chip *c)
{
	write_icw1(c, 0);
	c->icw2 = 0;
	c->init = 0;
	c->ready = false;
	c->elcr = 0;
}

void i8259_reset(struct i8259 *pic)
{
	reset_chip(&pic->master);
	reset_chip(&pic->slave);
	update(pic);
}

void i8259_init(struct i8259 *pic, struct irq_pin intr)
{
	memset(pic, 0, sizeof(*pic));
	pic->intr = intr;
	pic->master.is_master = true;
	pic->master.elcr_mask = MASTER_ELCR;
	pic->slave.elcr_mask = SLAVE_ELCR;
	i8259_reset(pic);
}
