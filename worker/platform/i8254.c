// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/i8254.h"

#define CW_BCD	    0x01
#define CW_MODE(cw) ((cw) >> 1 & 7)
#define CW_RW(cw)   ((cw) >> 4 & 3)
#define CW_SC(cw)   ((cw) >> 6 & 3)
#define RW_LATCH    0
#define RW_LSB	    1
#define RW_MSB	    2
#define RW_BOTH	    3
#define SC_READBACK 3

#define READBACK_NOT_COUNT  0x20
#define READBACK_NOT_STATUS 0x10

#define STATUS_OUT  0x80
#define STATUS_NULL 0x40

#define NEVER UINT64_MAX

static uint64_t now_tick(const struct i8254 *pit)
{
	return dev_muldiv(dev_now(pit->clk), I8254_TICK_NUM, I8254_TICK_DEN);
}

static uint64_t tick_ns(uint64_t tick)
{
	return dev_muldiv_up(tick, I8254_TICK_DEN, I8254_TICK_NUM);
}

/* Modes 6 and 7 are 2 and 3: bit 2 is "don't care" there. */
static unsigned int mode(const struct i8254_counter *c)
{
	unsigned int m = CW_MODE(c->cw);

	return m > 5 ? m - 4 : m;
}

static uint32_t modulus(const struct i8254_counter *c)
{
	return c->cw & CW_BCD ? 10000 : 0x10000;
}

/* The count that CR stands for; 0 is the largest. */
static uint32_t count_of(const struct i8254_counter *c)
{
	uint32_t n = c->cr;

	if (c->cw & CW_BCD)
		n = (n >> 12) * 1000 + (n >> 8 & 15) * 100 + (n >> 4 & 15) * 10 + (n & 15);
	return n ? n : modulus(c);
}

/* How CE shows @value on the bus. */
static uint16_t encode(const struct i8254_counter *c, uint32_t value)
{
	value %= modulus(c);
	if (!(c->cw & CW_BCD))
		return (uint16_t)value;
	return (uint16_t)((value / 1000) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 |
			  value % 10);
}

/* Ticks that CE has counted since it was loaded. */
static uint64_t elapsed(const struct i8254_counter *c, uint64_t tick)
{
	return c->stopped ? c->held : tick - c->t0;
}

/* Mode 3: length of the high half of a period; the low half is never longer. */
static uint64_t high_half(uint32_t n)
{
	return (n + 1) / 2;
}

static bool out_level(const struct i8254_counter *c, uint64_t tick)
{
	uint64_t e = elapsed(c, tick);

	if (!c->loaded)
		return mode(c) != 0;
	switch (mode(c)) {
	case 0:
	case 1:
		return e >= c->n;
	case 2:
		return c->stopped || e % c->n != c->n - 1;
	case 3:
		return c->stopped || e % c->n < high_half(c->n);
	default:
		return e != c->n;
	}
}

static uint16_t ce_value(const struct i8254_counter *c, uint64_t tick)
{
	uint64_t e = elapsed(c, tick);
	uint64_t p;

	if (!c->loaded)
		return c->ce_kept;
	switch (mode(c)) {
	case 2:
		return encode(c, c->n - (uint32_t)(e % c->n));
	case 3: /* by twos from an even count, twice a period */
		p = e % c->n;
		if (p >= high_half(c->n))
			p -= high_half(c->n);
		return encode(c, (c->n & ~1u) - 2 * (uint32_t)p);
	default:
		return encode(c, c->n + modulus(c) - (uint32_t)(e % modulus(c)));
	}
}

/* Was there a rising edge in (from, to], under one load of CE? */
static bool rose(const struct i8254_counter *c, uint64_t from, uint64_t to)
{
	uint64_t a = elapsed(c, from), b = elapsed(c, to);

	if (!c->loaded || c->stopped)
		return false;
	switch (mode(c)) {
	case 0:
	case 1:
		return a < c->n && b >= c->n;
	case 2:
	case 3:
		return c->n > 1 && a / c->n != b / c->n;
	default:
		return a <= c->n && b > c->n;
	}
}

/* The first tick after @tick at which a connected pin has something to show. The falling edge of a
 * one-tick pulse is left out: it is made together with the rising one. */
static uint64_t next_edge(const struct i8254_counter *c, uint64_t tick)
{
	uint64_t e = elapsed(c, tick), p;

	if (!c->loaded || c->stopped)
		return NEVER;
	switch (mode(c)) {
	case 0:
	case 1:
		return e < c->n ? tick + (c->n - e) : NEVER;
	case 2:
		return c->n > 1 ? tick + (c->n - e % c->n) : NEVER;
	case 3:
		p = e % c->n;
		if (c->n == 1)
			return NEVER;
		return tick + (p < high_half(c->n) ? high_half(c->n) - p : c->n - p);
	default:
		return e <= c->n ? tick + (c->n + 1 - e) : NEVER;
	}
}

/* As next_edge, for the transfer of CR that is pending. */
static uint64_t next_edge_after_load(const struct i8254_counter *c)
{
	if (c->loaded && !c->stopped && (mode(c) == 2 || mode(c) == 3))
		return c->load_tick; /* at the end of a period or half period */
	if (mode(c) == 1)
		return c->load_tick;
	if (!c->gate && mode(c) != 5)
		return NEVER;
	switch (mode(c)) {
	case 3:
		return c->load_tick + high_half(count_of(c));
	case 0:
	case 2:
		return c->load_tick + count_of(c);
	default:
		return c->load_tick + count_of(c) + 1;
	}
}

static void drive(struct i8254_counter *c, bool level)
{
	if (c->pin_level == level)
		return;
	c->pin_level = level;
	irq_pin_set(&c->out, level);
}

/* Bring the pin from pin_tick to @tick, between which CE isn't loaded. */
static void sync_pin(struct i8254_counter *c, uint64_t tick)
{
	bool level = out_level(c, tick);

	if (rose(c, c->pin_tick, tick)) {
		drive(c, false);
		drive(c, true);
		c->pin_hold = !level;
	} else if (level || !c->pin_hold) {
		drive(c, level);
		c->pin_hold = false;
	}
	c->pin_tick = tick;
}

/* CR to CE. Modes 0, 2, 3 and 4 count only while GATE is high; 1 and 5 ignore it once triggered. */
static void load_ce(struct i8254_counter *c)
{
	bool level_gated = mode(c) != 1 && mode(c) != 5;

	c->n = count_of(c);
	c->loaded = true;
	c->null = false;
	c->stopped = level_gated && !c->gate;
	c->held = 0;
	c->t0 = c->load_tick;
	if (c->load_low_half)
		c->t0 -= high_half(c->n);
	c->load_pending = false;
	c->load_low_half = false;
}

/* Bring everything to @tick. */
static void sync(struct i8254_counter *c, uint64_t tick)
{
	/* A trigger with no count written since the control word has nothing to load. */
	if (c->load_pending && c->load_tick <= tick && !c->cr_valid)
		c->load_pending = false;
	if (c->load_pending && c->load_tick <= tick) {
		uint64_t load_tick = c->load_tick;

		/* A load at the end of a period is an edge of the old count: see it with that. */
		if (c->loaded && !c->stopped && (mode(c) == 2 || mode(c) == 3)) {
			sync_pin(c, load_tick);
			load_ce(c);
		} else {
			sync_pin(c, load_tick - 1);
			load_ce(c);
		}
		c->pin_tick = load_tick;
		sync_pin(c, load_tick);
	}
	sync_pin(c, tick);
}

static void rearm(struct i8254_counter *c, uint64_t tick)
{
	uint64_t edge = next_edge(c, tick);

	if (!c->out.set)
		return;
	if (c->load_pending && edge > c->load_tick)
		edge = next_edge_after_load(c);
	if (edge == NEVER) {
		dev_cancel(c->pit->clk, &c->timer);
		return;
	}
	if ((mode(c) == 2 || mode(c) == 3) && edge < c->wake_floor)
		edge = c->wake_floor;
	if (!c->timer.armed || c->timer.deadline != tick_ns(edge))
		dev_arm(c->pit->clk, &c->timer, tick_ns(edge));
}

static void counter_fire(void *dev, uint64_t now)
{
	struct i8254_counter *c = dev;
	uint64_t tick = dev_muldiv(now, I8254_TICK_NUM, I8254_TICK_DEN);

	c->wake_floor = tick + I8254_MIN_WAKE;
	sync(c, tick);
	rearm(c, tick);
}

static void schedule_load(struct i8254_counter *c, uint64_t tick)
{
	c->load_pending = true;
	c->load_low_half = false;
	c->load_tick = tick;
}

/* A new count while modes 2 and 3 run is taken at the end of the period, or half period. */
static void schedule_reload(struct i8254_counter *c, uint64_t tick)
{
	uint64_t p = elapsed(c, tick) % c->n;

	if (mode(c) == 3 && p < high_half(c->n) && c->n > 1) {
		schedule_load(c, tick + high_half(c->n) - p);
		c->load_low_half = true;
	} else {
		schedule_load(c, tick + c->n - p);
	}
}

/* A complete count was written to CR. */
static void count_written(struct i8254_counter *c, uint64_t tick)
{
	c->cr_valid = true;
	c->null = true;
	switch (mode(c)) {
	case 1:
	case 5:
		return; /* taken at the next trigger */
	case 2:
	case 3:
		if (c->loaded && !c->stopped)
			schedule_reload(c, tick);
		else if (!c->loaded || c->gate)
			schedule_load(c, tick + 1);
		return;
	default:
		schedule_load(c, tick + 1);
	}
}

/* CE stands still from @tick, and OUT is as after the control word. */
static void unload(struct i8254_counter *c, uint64_t tick)
{
	c->ce_kept = ce_value(c, tick);
	c->loaded = false;
	c->load_pending = false;
	c->load_low_half = false;
}

static void write_counter(struct i8254_counter *c, uint64_t tick, uint8_t val)
{
	/* Mode 0: any write of a count, even half of one, stops it and takes OUT low. */
	if (mode(c) == 0)
		unload(c, tick);
	switch (CW_RW(c->cw)) {
	case RW_LSB:
		c->cr = val;
		break;
	case RW_MSB:
		c->cr = (uint16_t)(val << 8);
		break;
	default:
		c->low_written = !c->low_written;
		if (c->low_written) {
			c->cr_low = val;
			return;
		}
		c->cr = (uint16_t)(val << 8 | c->cr_low);
	}
	count_written(c, tick);
}

static uint8_t read_counter(struct i8254_counter *c, uint64_t tick)
{
	uint16_t val;
	bool high;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	val = c->count_latched ? c->latch : ce_value(c, tick);
	high = CW_RW(c->cw) == RW_MSB || (CW_RW(c->cw) == RW_BOTH && c->high_next);
	if (CW_RW(c->cw) == RW_BOTH)
		c->high_next = !c->high_next;
	if (CW_RW(c->cw) != RW_BOTH || high)
		c->count_latched = false;
	return high ? val >> 8 : (uint8_t)val;
}

static void latch_count(struct i8254_counter *c, uint64_t tick)
{
	if (c->count_latched)
		return;
	c->count_latched = true;
	c->latch = ce_value(c, tick);
}

static void latch_status(struct i8254_counter *c, uint64_t tick)
{
	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status = c->cw;
	if (out_level(c, tick))
		c->status |= STATUS_OUT;
	if (c->null)
		c->status |= STATUS_NULL;
}

static void program(struct i8254_counter *c, uint64_t tick, uint8_t cw)
{
	unload(c, tick);
	c->cw = cw & 0x3f;
	c->cr_valid = false;
	c->null = true;
	c->low_written = false;
	c->high_next = false;
	c->count_latched = false;
	c->status_latched = false;
	c->pin_hold = false;
}

static void read_back(struct i8254 *pit, uint64_t tick, uint8_t cw)
{
	for (unsigned int i = 0; i < 3; i++) {
		if (!(cw & 2u << i))
			continue;
		if (!(cw & READBACK_NOT_COUNT))
			latch_count(&pit->counter[i], tick);
		if (!(cw & READBACK_NOT_STATUS))
			latch_status(&pit->counter[i], tick);
	}
}

static void write_control(struct i8254 *pit, uint64_t tick, uint8_t cw)
{
	if (CW_SC(cw) == SC_READBACK)
		read_back(pit, tick, cw);
	else if (CW_RW(cw) == RW_LATCH)
		latch_count(&pit->counter[CW_SC(cw)], tick);
	else
		program(&pit->counter[CW_SC(cw)], tick, cw);
}

/* GATE: a level that lets modes 0, 2, 3, 4 count; a rising edge that triggers 1, 2, 3, 5. */
static void set_gate(struct i8254_counter *c, uint64_t tick, bool gate)
{
	unsigned int m = mode(c);
	bool rising = gate && !c->gate;

	if (gate == c->gate)
		return;
	c->gate = gate;
	if (rising && (m == 1 || m == 5 || ((m == 2 || m == 3) && c->loaded))) {
		schedule_load(c, tick + 1);
		return;
	}
	if (!c->loaded || m == 1 || m == 5)
		return;
	if (!gate && !c->stopped) {
		c->held = elapsed(c, tick);
		c->stopped = true;
		if (m == 2 || m == 3) /* what was to come at the end of the period now waits */
			c->load_pending = false;
	} else if (rising) {
		c->t0 = tick - c->held;
		c->stopped = false;
	}
}

static void sync_all(struct i8254 *pit, uint64_t tick)
{
	for (unsigned int i = 0; i < 3; i++)
		sync(&pit->counter[i], tick);
}

/* After the guest changed something: show it on the pins and find out when to wake up next. */
static void settle(struct i8254 *pit, uint64_t tick)
{
	for (unsigned int i = 0; i < 3; i++) {
		sync(&pit->counter[i], tick);
		rearm(&pit->counter[i], tick);
	}
}

static uint8_t read_port(void *dev, unsigned int off)
{
	struct i8254 *pit = dev;
	uint64_t tick = now_tick(pit);

	if (off >= 3)
		return 0xff; /* the control word cannot be read */
	sync_all(pit, tick);
	return read_counter(&pit->counter[off], tick);
}

static void write_port(void *dev, unsigned int off, uint8_t val)
{
	struct i8254 *pit = dev;
	uint64_t tick = now_tick(pit);

	sync_all(pit, tick);
	if (off < 3)
		write_counter(&pit->counter[off], tick, val);
	else
		write_control(pit, tick, val);
	settle(pit, tick);
}

static uint8_t read_port61(void *dev, unsigned int off)
{
	struct i8254 *pit = dev;
	uint64_t tick = now_tick(pit);
	uint8_t val = pit->port61;

	(void)off;
	sync_all(pit, tick);
	if (tick / 18 & 1)
		val |= I8254_P61_TOGGLE;
	if (out_level(&pit->counter[2], tick))
		val |= I8254_P61_OUT2;
	return val;
}

static void write_port61(void *dev, unsigned int off, uint8_t val)
{
	struct i8254 *pit = dev;
	uint64_t tick = now_tick(pit);

	(void)off;
	pit->port61 = val & (I8254_P61_GATE2 | I8254_P61_SPKR | I8254_P61_NMI);
	sync_all(pit, tick);
	set_gate(&pit->counter[2], tick, val & I8254_P61_GATE2);
	settle(pit, tick);
}

static uint64_t i8254_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_port, dev, off, size);
}

static void i8254_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_port, dev, off, size, val);
}

static uint64_t i8254_read61(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_port61, dev, off, size);
}

static void i8254_write61(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_port61, dev, off, size, val);
}

const struct device_ops i8254_ops = { .read = i8254_read, .write = i8254_write };
const struct device_ops i8254_port61_ops = { .read = i8254_read61, .write = i8254_write61 };

bool i8254_out(struct i8254 *pit, unsigned int counter)
{
	uint64_t tick = now_tick(pit);

	sync(&pit->counter[counter], tick);
	return out_level(&pit->counter[counter], tick);
}

static void reset_counter(struct i8254_counter *c, uint64_t tick, bool gate)
{
	c->cw = 0x30; /* mode 0: OUT low */
	program(c, tick, c->cw);
	c->gate = gate;
	c->ce_kept = 0;
	c->cr = 0;
	c->stopped = false;
	c->wake_floor = 0;
	dev_cancel(c->pit->clk, &c->timer);
	drive(c, false);
	c->pin_tick = tick;
}

void i8254_reset(struct i8254 *pit)
{
	uint64_t tick = now_tick(pit);

	for (unsigned int i = 0; i < 3; i++)
		reset_counter(&pit->counter[i], tick, i != 2);
	pit->port61 = 0;
}

void i8254_init(struct i8254 *pit, const struct dev_clock *clk, const struct irq_pin out[3])
{
	memset(pit, 0, sizeof(*pit));
	pit->clk = clk;
	for (unsigned int i = 0; i < 3; i++) {
		struct i8254_counter *c = &pit->counter[i];

		c->pit = pit;
		c->out = out[i];
		c->timer.fire = counter_fire;
		c->timer.dev = c;
	}
	i8254_reset(pit);
}
