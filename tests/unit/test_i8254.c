// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include "tests/unit/fakeclock.h"
#include "worker/platform/i8254.h"

/* Control words */
#define CW(counter, rw, mode, bcd) ((counter) << 6 | (rw) << 4 | (mode) << 1 | (bcd))
#define LSB			   1
#define MSB			   2
#define BOTH			   3
#define READBACK_COUNT(mask)	   (0xd0 | (mask) << 1)
#define READBACK_STATUS(mask)	   (0xe0 | (mask) << 1)
#define READBACK_ALL(mask)	   (0xc0 | (mask) << 1)

struct bench {
	struct fakeclock clock;
	struct fakepins pins;
	struct i8254 pit;
};

static uint64_t tick_ns(uint64_t tick)
{
	return (tick * I8254_TICK_DEN + I8254_TICK_NUM - 1) / I8254_TICK_NUM;
}

static uint64_t tick(struct bench *b)
{
	return b->clock.now * I8254_TICK_NUM / I8254_TICK_DEN;
}

static void ticks(struct bench *b, uint64_t n)
{
	fakeclock_to(&b->clock, tick_ns(tick(b) + n));
}

static uint8_t rd(struct bench *b, unsigned int port)
{
	return (uint8_t)i8254_ops.read(&b->pit, port, 1);
}

static void wr(struct bench *b, unsigned int port, uint8_t val)
{
	i8254_ops.write(&b->pit, port, 1, val);
}

static uint8_t rd61(struct bench *b)
{
	return (uint8_t)i8254_port61_ops.read(&b->pit, 0, 1);
}

static void wr61(struct bench *b, uint8_t val)
{
	i8254_port61_ops.write(&b->pit, 0, 1, val);
}

static void program(struct bench *b, unsigned int counter, unsigned int mode, uint16_t count)
{
	wr(b, 3, (uint8_t)CW(counter, BOTH, mode, 0));
	wr(b, counter, (uint8_t)count);
	wr(b, counter, count >> 8);
}

static uint16_t latched(struct bench *b, unsigned int counter)
{
	uint16_t lo;

	wr(b, 3, (uint8_t)(counter << 6));
	lo = rd(b, counter);
	return (uint16_t)(lo | rd(b, counter) << 8);
}

static uint8_t status(struct bench *b, unsigned int counter)
{
	wr(b, 3, (uint8_t)READBACK_STATUS(1 << counter));
	return rd(b, counter);
}

/* Wait, tick by tick, until OUT is @level; returns how many ticks that took. */
static unsigned int until(struct bench *b, unsigned int counter, bool level)
{
	unsigned int n = 0;

	while (i8254_out(&b->pit, counter) != level) {
		ticks(b, 1);
		n++;
		assert_true(n < 100000);
	}
	return n;
}

static int setup(void **state)
{
	static struct bench b;
	struct irq_pin out[3];

	memset(&b, 0, sizeof(b));
	fakeclock_init(&b.clock);
	for (unsigned int i = 0; i < 3; i++)
		out[i] = fakepin(&b.pins, i);
	i8254_init(&b.pit, &b.clock.clk, out);
	fakeclock_to(&b.clock, tick_ns(1000));
	*state = &b;
	return 0;
}

static void frequency(void **state)
{
	struct bench *b = *state;

	/* 105/88 MHz: 65536 ticks are 54.9254 ms. */
	program(b, 0, 2, 0);
	ticks(b, 1 + 65536);
	fakeclock_late(&b->clock, b->clock.now);
	b->pins.rises[0] = 0;
	fakeclock_advance(&b->clock, 100 * DEV_NS_PER_SEC);
	assert_in_range(b->pins.rises[0], 1820, 1821);
}

static void mode0_interrupt_on_terminal_count(void **state)
{
	struct bench *b = *state;

	program(b, 0, 0, 4);
	assert_int_equal(until(b, 0, true), 5); /* N + 1 after the write */
	assert_true(b->pins.level[0]);
	assert_int_equal(b->pins.rises[0], 1);
	/* It goes on counting below zero, OUT stays. */
	ticks(b, 3);
	assert_int_equal(latched(b, 0), 0xfffd);
	ticks(b, 70000);
	assert_true(i8254_out(&b->pit, 0));
	/* The first byte of a new count takes OUT low and stops it. */
	wr(b, 0, 10);
	assert_false(i8254_out(&b->pit, 0));
	assert_false(b->pins.level[0]);
	ticks(b, 500);
	assert_false(i8254_out(&b->pit, 0));
	wr(b, 0, 0);
	assert_int_equal(until(b, 0, true), 11);
}

static void mode0_gate(void **state)
{
	struct bench *b = *state;

	program(b, 2, 0, 10); /* gate is low */
	ticks(b, 100);
	assert_int_equal(latched(b, 2), 10);
	wr61(b, I8254_P61_GATE2);
	ticks(b, 4);
	assert_int_equal(latched(b, 2), 6);
	wr61(b, 0);
	ticks(b, 50);
	assert_int_equal(latched(b, 2), 6);
	assert_int_equal(rd61(b) & I8254_P61_OUT2, 0);
	wr61(b, I8254_P61_GATE2);
	assert_int_equal(until(b, 2, true), 6);
	assert_int_equal(rd61(b) & I8254_P61_OUT2, I8254_P61_OUT2);
	assert_true(b->pins.level[2]);
}

static void mode1_one_shot(void **state)
{
	struct bench *b = *state;

	program(b, 2, 1, 5);
	ticks(b, 50);
	assert_true(i8254_out(&b->pit, 2));
	assert_int_equal(status(b, 2) & 0x40, 0x40); /* null count until triggered */
	wr61(b, I8254_P61_GATE2);
	assert_true(i8254_out(&b->pit, 2));
	assert_int_equal(until(b, 2, false), 1);
	assert_int_equal(status(b, 2) & 0x40, 0);
	assert_int_equal(until(b, 2, true), 5);
	/* Gate low has no effect; a second trigger lengthens the pulse. */
	wr61(b, 0);
	wr61(b, I8254_P61_GATE2);
	ticks(b, 3);
	wr61(b, 0);
	wr61(b, I8254_P61_GATE2);
	ticks(b, 5);
	assert_false(i8254_out(&b->pit, 2));
	ticks(b, 1);
	assert_true(i8254_out(&b->pit, 2));
	/* A new count waits for the next trigger. */
	wr61(b, 0);
	wr61(b, I8254_P61_GATE2);
	ticks(b, 2);
	wr(b, 2, 20);
	wr(b, 2, 0);
	assert_int_equal(until(b, 2, true), 4);
}

static void mode2_rate_generator(void **state)
{
	struct bench *b = *state;

	program(b, 0, 2, 10);
	assert_true(i8254_out(&b->pit, 0));
	assert_int_equal(until(b, 0, false), 10); /* loaded after 1, at 1 after 9 more */
	assert_int_equal(latched(b, 0), 1);
	assert_int_equal(until(b, 0, true), 1);
	assert_int_equal(latched(b, 0), 10);
	assert_int_equal(until(b, 0, false), 9);
	/* A new count is taken at the end of the period. */
	ticks(b, 4);
	wr(b, 0, 20);
	wr(b, 0, 0);
	assert_int_equal(status(b, 0), 0x80 | 0x40 | 0x34);
	assert_int_equal(until(b, 0, false), 6);
	assert_int_equal(until(b, 0, true), 1);
	assert_int_equal(status(b, 0), 0x80 | 0x34);
	assert_int_equal(until(b, 0, false), 19);
}

static void mode2_gate(void **state)
{
	struct bench *b = *state;

	wr61(b, I8254_P61_GATE2);
	program(b, 2, 2, 10);
	ticks(b, 10);
	assert_false(i8254_out(&b->pit, 2));
	wr61(b, 0); /* sets OUT high at once */
	assert_true(i8254_out(&b->pit, 2));
	ticks(b, 30);
	assert_true(i8254_out(&b->pit, 2));
	wr61(b, I8254_P61_GATE2); /* and a trigger starts a full period */
	assert_int_equal(until(b, 2, false), 10);
}

static void mode3_square_wave(void **state)
{
	struct bench *b = *state;

	program(b, 0, 3, 6);
	assert_int_equal(until(b, 0, false), 1 + 3);
	assert_int_equal(until(b, 0, true), 3);
	assert_int_equal(latched(b, 0), 6);
	ticks(b, 1);
	assert_int_equal(latched(b, 0), 4);
	program(b, 0, 3, 5); /* odd: 3 high, 2 low */
	assert_int_equal(until(b, 0, false), 1 + 3);
	assert_int_equal(latched(b, 0), 4);
	assert_int_equal(until(b, 0, true), 2);
	assert_int_equal(until(b, 0, false), 3);
	assert_int_equal(until(b, 0, true), 2);
	/* A new count is taken at the end of the half period. */
	ticks(b, 1);
	wr(b, 0, 8);
	wr(b, 0, 0);
	assert_int_equal(until(b, 0, false), 2);
	assert_int_equal(until(b, 0, true), 4);
	assert_int_equal(until(b, 0, false), 4);
	ticks(b, 1);
	wr(b, 0, 20);
	wr(b, 0, 0);
	assert_int_equal(until(b, 0, true), 3);
	assert_int_equal(until(b, 0, false), 10);
}

static void mode3_gate(void **state)
{
	struct bench *b = *state;

	wr61(b, I8254_P61_GATE2);
	program(b, 2, 3, 10);
	assert_int_equal(until(b, 2, false), 6);
	wr61(b, 0);
	assert_true(i8254_out(&b->pit, 2));
	wr(b, 2, 4); /* waits for the trigger */
	wr(b, 2, 0);
	ticks(b, 100);
	assert_int_equal(status(b, 2) & 0x40, 0x40);
	wr61(b, I8254_P61_GATE2);
	assert_int_equal(until(b, 2, false), 3);
	assert_int_equal(until(b, 2, true), 2);
}

static void mode4_software_strobe(void **state)
{
	struct bench *b = *state;

	program(b, 0, 4, 7);
	assert_true(i8254_out(&b->pit, 0));
	assert_int_equal(until(b, 0, false), 8);
	assert_int_equal(until(b, 0, true), 1);
	assert_int_equal(b->pins.rises[0], 2); /* the control word, and the strobe */
	ticks(b, 100000);
	assert_int_equal(b->pins.rises[0], 2); /* once only */
	/* Only the second byte takes effect. */
	wr(b, 0, 5);
	ticks(b, 100);
	assert_true(i8254_out(&b->pit, 0));
	wr(b, 0, 0);
	assert_int_equal(until(b, 0, false), 6);
	ticks(b, 5);
	assert_int_equal(b->pins.rises[0], 3);
	assert_true(timerq_deadline(&b->clock.q) == TIMERQ_NEVER);
}

static void mode5_hardware_strobe(void **state)
{
	struct bench *b = *state;

	program(b, 2, 5, 6);
	ticks(b, 100);
	wr61(b, I8254_P61_GATE2);
	ticks(b, 3);
	wr61(b, 0);
	wr61(b, I8254_P61_GATE2); /* retriggered */
	assert_int_equal(until(b, 2, false), 7);
	assert_int_equal(until(b, 2, true), 1);
	assert_int_equal(b->pins.falls[2], 1);
}

static void modes_6_and_7_are_2_and_3(void **state)
{
	struct bench *b = *state;

	program(b, 0, 6, 10);
	assert_int_equal(until(b, 0, false), 10);
	assert_int_equal(status(b, 0), 0x3c);
	program(b, 0, 7, 10);
	assert_int_equal(until(b, 0, false), 6);
}

static void byte_modes(void **state)
{
	struct bench *b = *state;

	wr(b, 3, CW(0, LSB, 2, 0));
	wr(b, 0, 0x80);
	ticks(b, 1);
	assert_int_equal(rd(b, 0), 0x80);
	ticks(b, 1);
	assert_int_equal(rd(b, 0), 0x7f);
	wr(b, 3, CW(0, MSB, 2, 0));
	wr(b, 0, 0x12);
	ticks(b, 1);
	assert_int_equal(rd(b, 0), 0x12);
	ticks(b, 1);
	assert_int_equal(rd(b, 0), 0x11);
}

static void bcd(void **state)
{
	struct bench *b = *state;

	wr(b, 3, CW(0, BOTH, 2, 1));
	wr(b, 0, 0x00);
	wr(b, 0, 0x10);
	ticks(b, 1);
	assert_int_equal(latched(b, 0), 0x1000);
	ticks(b, 1);
	assert_int_equal(latched(b, 0), 0x0999);
	assert_int_equal(until(b, 0, false), 998);
	/* 0 is 10000. */
	wr(b, 3, CW(0, BOTH, 0, 1));
	wr(b, 0, 0);
	wr(b, 0, 0);
	ticks(b, 2);
	assert_int_equal(latched(b, 0), 0x9999);
	assert_int_equal(until(b, 0, true), 9999);
	ticks(b, 1);
	assert_int_equal(latched(b, 0), 0x9999);
}

static void latching(void **state)
{
	struct bench *b = *state;

	program(b, 0, 2, 0x4000);
	ticks(b, 1 + 0x100);
	wr(b, 3, CW(0, 0, 0, 0));
	ticks(b, 0x200);
	wr(b, 3, CW(0, 0, 0, 0)); /* ignored: the first is unread */
	assert_int_equal(rd(b, 0), 0x00);
	assert_int_equal(rd(b, 0), 0x3f);
	/* Then live again. */
	assert_int_equal(rd(b, 0), 0x00);
	assert_int_equal(rd(b, 0), 0x3d);
	/* A 16-bit access is two byte cycles on consecutive ports. */
	wr(b, 3, READBACK_COUNT(3));
	assert_int_equal(i8254_ops.read(&b->pit, 0, 1), 0x00);
	assert_int_equal(rd(b, 3), 0xff);
}

static void read_back(void **state)
{
	struct bench *b = *state;

	program(b, 0, 2, 0x1000);
	program(b, 2, 0, 0x2000);
	/* Not loaded before the next clock: null count. */
	wr(b, 3, READBACK_STATUS(1));
	assert_int_equal(rd(b, 0), 0xf4);
	ticks(b, 2);
	wr(b, 3, READBACK_ALL(5)); /* counters 0 and 2, count and status */
	ticks(b, 100);
	assert_int_equal(rd(b, 0), 0xb4); /* status first */
	assert_int_equal(rd(b, 0), 0xff); /* then the count of that time */
	assert_int_equal(rd(b, 0), 0x0f);
	assert_int_equal(rd(b, 2), 0x30);
	assert_int_equal(rd(b, 2), 0x00);
	assert_int_equal(rd(b, 2), 0x20);
	/* A control word makes the count null again, and drops latches. */
	wr(b, 3, READBACK_COUNT(1));
	wr(b, 3, CW(0, BOTH, 3, 0));
	assert_int_equal(status(b, 0), 0x80 | 0x40 | 0x36);
	/* Half a count is not a count: the null bit is set by the second byte. */
	wr(b, 0, 0x10);
	wr(b, 0, 0x00);
	ticks(b, 1);
	assert_int_equal(status(b, 0) & 0x40, 0);
	wr(b, 0, 0x20);
	assert_int_equal(status(b, 0) & 0x40, 0);
	wr(b, 0, 0x00);
	assert_int_equal(status(b, 0) & 0x40, 0x40);
}

static void port61(void **state)
{
	struct bench *b = *state;
	unsigned int toggles = 0;
	uint8_t last = rd61(b);

	wr61(b, 0xff);
	assert_int_equal(rd61(b) & 0xcf, 0x0f);
	wr61(b, 0);
	for (int i = 0; i < 1800; i++) {
		ticks(b, 1);
		toggles += (rd61(b) ^ last) >> 4 & 1;
		last = rd61(b);
	}
	assert_int_equal(toggles, 100);
}

/* What boot code does to measure another clock: mode 0 on counter 2, waiting in port 0x61. */
static void calibration(void **state)
{
	struct bench *b = *state;
	uint64_t start;

	wr61(b, (rd61(b) & ~I8254_P61_SPKR) | I8254_P61_GATE2);
	program(b, 2, 0, 1193182 / 20);
	start = b->clock.now;
	while (!(rd61(b) & I8254_P61_OUT2))
		fakeclock_advance(&b->clock, 1000);
	assert_in_range(b->clock.now - start, 49990000, 50010000);
}

/* The host is woken for pins by itself, at the very tick. */
static void pins_are_on_time(void **state)
{
	static const struct {
		unsigned int mode, first, next; /* ticks from the write to the rises, 0: none */
	} table[] = { { 0, 501, 0 }, { 2, 501, 500 }, { 3, 501, 500 }, { 4, 502, 0 } };
	struct bench *b = *state;

	for (unsigned int i = 0; i < 4; i++) {
		unsigned int rises;
		uint64_t start;

		program(b, 0, table[i].mode, 500);
		start = tick(b);
		rises = b->pins.rises[0];
		fakeclock_to(&b->clock, tick_ns(start + table[i].first) - 1);
		assert_int_equal(b->pins.rises[0], rises);
		fakeclock_to(&b->clock, tick_ns(start + table[i].first));
		assert_int_equal(b->pins.rises[0], rises + 1);
		if (!table[i].next) {
			assert_true(timerq_deadline(&b->clock.q) == TIMERQ_NEVER);
			continue;
		}
		for (unsigned int n = 1; n < 10; n++) {
			start += table[i].next;
			fakeclock_to(&b->clock, tick_ns(start + table[i].first) - 1);
			assert_int_equal(b->pins.rises[0], rises + n);
			fakeclock_to(&b->clock, tick_ns(start + table[i].first));
			assert_int_equal(b->pins.rises[0], rises + n + 1);
		}
	}
	/* Mode 3 falls in the middle. */
	program(b, 0, 3, 500);
	fakeclock_to(&b->clock, tick_ns(tick(b) + 251));
	assert_false(b->pins.level[0]);
	/* Triggered ones, at counter 2 */
	for (unsigned int mode = 1; mode <= 5; mode += 4) {
		wr61(b, 0);
		program(b, 2, mode, 100);
		ticks(b, 1);
		b->pins.rises[2] = b->pins.falls[2] = 0;
		wr61(b, I8254_P61_GATE2);
		ticks(b, 100);
		assert_int_equal(b->pins.rises[2], 0);
		ticks(b, mode == 1 ? 1 : 2);
		assert_int_equal(b->pins.rises[2], 1);
		assert_int_equal(b->pins.falls[2], 1);
	}
	/* A new count in the high half of mode 3 is for the low one, and is forgotten then. */
	program(b, 0, 3, 500);
	ticks(b, 100);
	wr(b, 0, 0x58); /* 600 */
	wr(b, 0, 0x02);
	ticks(b, 151);
	assert_false(b->pins.level[0]);
	ticks(b, 299);
	assert_false(b->pins.level[0]);
	ticks(b, 1);
	assert_true(b->pins.level[0]);
	ticks(b, 300);
	assert_false(b->pins.level[0]);
}

static void late_clock_loses_no_edge(void **state)
{
	struct bench *b = *state;
	unsigned int rises;

	for (unsigned int mode = 2; mode <= 3; mode++) {
		program(b, 0, mode, 1000);
		ticks(b, 1);
		rises = b->pins.rises[0];
		/* The thread wakes in the low half of the third period: one pulse, high until the
		 * next edge even if the guest looks at the counter. */
		fakeclock_late(&b->clock, tick_ns(tick(b) + 2 * 1000 + 700));
		assert_int_equal(b->pins.rises[0], rises + 1);
		assert_true(b->pins.level[0]);
		assert_int_equal(i8254_out(&b->pit, 0), mode == 2);
		latched(b, 0);
		assert_true(b->pins.level[0]);
		ticks(b, 299);
		assert_int_equal(b->pins.rises[0], rises + 1);
		ticks(b, 1);
		assert_int_equal(b->pins.rises[0], rises + 2);
		assert_int_equal(b->pins.falls[0], b->pins.rises[0] - 1);
		ticks(b, 1000);
		assert_int_equal(b->pins.rises[0], rises + 3);
	}
	program(b, 0, 4, 1000);
	rises = b->pins.rises[0];
	fakeclock_late(&b->clock, tick_ns(tick(b) + 5000));
	assert_int_equal(b->pins.rises[0], rises + 1);
}

static void short_periods_do_not_storm(void **state)
{
	struct bench *b = *state;
	unsigned int wakes = 0;
	uint64_t end;

	program(b, 0, 3, 4);
	ticks(b, 1200);
	assert_in_range(b->pins.rises[0], 1, 12);
	b->pins.rises[0] = 0;
	program(b, 0, 2, 2);
	end = b->clock.now + 10000000;
	while (timerq_deadline(&b->clock.q) <= end) {
		fakeclock_to(&b->clock, timerq_deadline(&b->clock.q));
		wakes++;
	}
	assert_in_range(wakes, 90, 110);
	assert_in_range(b->pins.rises[0], 90, 110);
}

static void unconnected_counters_do_not_wake(void **state)
{
	struct bench *b = *state;
	const struct irq_pin none[3] = { { 0 } };

	i8254_init(&b->pit, &b->clock.clk, none);
	program(b, 0, 2, 10);
	program(b, 1, 3, 10);
	assert_true(timerq_deadline(&b->clock.q) == TIMERQ_NEVER);
	ticks(b, 10);
	assert_false(i8254_out(&b->pit, 0));
}

/*
 * The data sheet once more, as a machine that is stepped clock by clock: the oracle for random
 * sequences. It shares nothing with the model under test but the control word's encoding.
 */
struct oracle {
	unsigned int mode, bcd;
	bool gate, trigger, out, null;
	bool counting, load_next, armed, expired;
	bool half_low;	/* mode 3 */
	bool mid_write; /* mode 0: counting is disabled between two bytes */
	uint32_t cr, ce, init;
	bool has_cr;
};

static uint32_t oracle_mod(const struct oracle *o)
{
	return o->bcd ? 10000 : 65536;
}

static uint32_t oracle_value(const struct oracle *o, uint16_t raw)
{
	uint32_t v = raw;

	if (o->bcd)
		v = (raw >> 12) * 1000 + (raw >> 8 & 15) * 100 + (raw >> 4 & 15) * 10 + (raw & 15);
	return v ? v : oracle_mod(o);
}

static void oracle_control(struct oracle *o, unsigned int mode, unsigned int bcd)
{
	bool gate = o->gate;

	memset(o, 0, sizeof(*o));
	o->gate = gate;
	o->mode = mode;
	o->bcd = bcd;
	o->out = mode != 0;
	o->null = true;
}

static void oracle_count(struct oracle *o, uint16_t raw)
{
	o->cr = oracle_value(o, raw);
	o->null = true;
	o->has_cr = true;
	if (o->mode == 0) {
		o->out = false;
		o->counting = false;
	}
	if (o->mode == 0 || o->mode == 4)
		o->load_next = true;
	if ((o->mode == 2 || o->mode == 3) && !o->counting)
		o->load_next = true;
}

static void oracle_gate(struct oracle *o, bool gate)
{
	if (gate && !o->gate)
		o->trigger = o->mode == 1 || o->mode == 5 ||
			     ((o->mode == 2 || o->mode == 3) && o->counting);
	o->gate = gate;
	if (!gate && (o->mode == 2 || o->mode == 3))
		o->out = true;
}

static void oracle_load(struct oracle *o)
{
	o->init = o->cr;
	o->ce = o->mode == 3 ? o->cr & ~1u : o->cr;
	o->null = false;
	o->counting = true;
	o->load_next = false;
	o->trigger = false;
	o->expired = false;
}

static void oracle_mode3_step(struct oracle *o)
{
	/* An odd count has one more clock in the high half: it shows 0 for one. */
	uint32_t last = (o->init & 1) && o->out ? 0 : 2;

	if (o->ce > last) {
		o->ce -= 2;
		return;
	}
	o->out = !o->out;
	o->init = o->cr;
	o->null = false;
	o->ce = o->init & ~1u;
}

static void oracle_step(struct oracle *o)
{
	if (o->trigger && o->has_cr) {
		oracle_load(o);
		if (o->mode == 1)
			o->out = false;
		else
			o->out = true;
		return;
	}
	o->trigger = false;
	if (o->load_next) {
		oracle_load(o);
		if (o->mode == 4)
			o->out = true;
		return;
	}
	if (!o->counting || (!o->gate && o->mode != 1 && o->mode != 5))
		return;
	switch (o->mode) {
	case 2:
		if (o->ce == 1)
			oracle_load(o);
		else
			o->ce--;
		o->out = o->ce != 1;
		return;
	case 3:
		oracle_mode3_step(o);
		return;
	}
	o->ce = (o->ce % oracle_mod(o) + oracle_mod(o) - 1) % oracle_mod(o);
	if (o->mode >= 4) {
		o->out = o->ce != 0 || o->expired;
		o->expired |= !o->out;
	} else if (o->ce == 0) {
		o->out = true;
	}
}

static uint16_t oracle_ce(const struct oracle *o)
{
	uint32_t v = o->ce % oracle_mod(o);

	if (!o->bcd)
		return (uint16_t)v;
	return (uint16_t)(v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

static void against_the_oracle(void **state)
{
	struct bench *b = *state;
	struct oracle o = { .gate = false };

	srandom(1);
	for (unsigned int round = 0; round < 3000; round++) {
		unsigned int mode = (unsigned int)random() % 6, bcd = random() % 2;

		wr(b, 3, (uint8_t)CW(2, BOTH, mode, bcd));
		oracle_control(&o, mode, bcd);
		for (unsigned int op = 0; op < 20; op++) {
			unsigned int run = (unsigned int)random() % 12;
			/* 1 is illegal in modes 2 and 3 */
			uint16_t count = (uint16_t)(2 + random() % 8);

			switch (random() % 4) {
			case 0:
				wr(b, 2, (uint8_t)count);
				wr(b, 2, count >> 8);
				oracle_count(&o, count);
				break;
			case 1:
				wr61(b, !o.gate);
				oracle_gate(&o, !o.gate);
				break;
			default:
				break;
			}
			for (unsigned int i = 0; i < run; i++) {
				ticks(b, 1);
				oracle_step(&o);
				assert_int_equal(i8254_out(&b->pit, 2), o.out);
				assert_int_equal(b->pins.level[2], o.out);
				assert_int_equal(!!(status(b, 2) & 0x40), o.null);
				if (o.counting)
					assert_int_equal(latched(b, 2), oracle_ce(&o));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(frequency, setup),
		cmocka_unit_test_setup(mode0_interrupt_on_terminal_count, setup),
		cmocka_unit_test_setup(mode0_gate, setup),
		cmocka_unit_test_setup(mode1_one_shot, setup),
		cmocka_unit_test_setup(mode2_rate_generator, setup),
		cmocka_unit_test_setup(mode2_gate, setup),
		cmocka_unit_test_setup(mode3_square_wave, setup),
		cmocka_unit_test_setup(mode3_gate, setup),
		cmocka_unit_test_setup(mode4_software_strobe, setup),
		cmocka_unit_test_setup(mode5_hardware_strobe, setup),
		cmocka_unit_test_setup(modes_6_and_7_are_2_and_3, setup),
		cmocka_unit_test_setup(byte_modes, setup),
		cmocka_unit_test_setup(bcd, setup),
		cmocka_unit_test_setup(latching, setup),
		cmocka_unit_test_setup(read_back, setup),
		cmocka_unit_test_setup(port61, setup),
		cmocka_unit_test_setup(calibration, setup),
		cmocka_unit_test_setup(pins_are_on_time, setup),
		cmocka_unit_test_setup(late_clock_loses_no_edge, setup),
		cmocka_unit_test_setup(short_periods_do_not_storm, setup),
		cmocka_unit_test_setup(unconnected_counters_do_not_wake, setup),
		cmocka_unit_test_setup(against_the_oracle, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
