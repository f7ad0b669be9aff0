/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_I8254_H
#define WORKER_PLATFORM_I8254_H

/*
 * The 8254 interval timer (Intel 231164 data sheet, "8254 Programmable Interval Timer") as wired in
 * a PC/AT: a clock of 1.193181 MHz, counter 0 to IRQ 0, counter 2 to the speaker with its gate in
 * port 0x61. All six modes, BCD, latches and read-back.
 *
 * Counting is computed from the time, not simulated tick by tick: the host wakes up only at edges
 * of outputs that are connected. Rising edges are never lost to a late clock: if one or more have
 * passed unseen, the pin makes one pulse and then stays high until the next one.
 */
#include "worker/device.h"

/* The clock is 315/22 MHz / 12 = 105/88 MHz: ticks = ns * 105 / 88000. */
#define I8254_TICK_NUM 105
#define I8254_TICK_DEN 88000

/* A guest cannot make the host wake up more often than this, in ticks (about 100 us), by programming
 * short periods: several edges then become one. */
#define I8254_MIN_WAKE 120

#define I8254_PORTS	 4 /* 0x40-0x42 counters, 0x43 control word */
#define I8254_P61_GATE2	 0x01
#define I8254_P61_SPKR	 0x02
#define I8254_P61_NMI	 0x0c /* parity and channel check enables: kept, without effect */
#define I8254_P61_TOGGLE 0x10 /* refresh, toggles every 18 ticks (15 us) */
#define I8254_P61_OUT2	 0x20

struct i8254;

/* State of one counter, private to i8254.c. Times are in ticks. */
struct i8254_counter {
	struct i8254 *pit;
	uint8_t cw; /* control word bits 5:0 as written */
	bool gate;
	uint16_t cr;	  /* count register */
	bool cr_valid;	  /* a count has been written since the control word */
	bool null;	  /* CR has not been transferred to CE yet */
	bool low_written; /* 2-byte write: the low byte is in cr_low */
	uint8_t cr_low;
	bool high_next; /* 2-byte read: the high byte is next */

	bool loaded;	  /* CE holds a count that CR was transferred to (modes 1, 5: triggered) */
	uint32_t n;	  /* that count, 1 to 65536 */
	uint64_t t0;	  /* tick at which CE was n; meaningful while not stopped */
	bool stopped;	  /* CE does not count ... */
	uint64_t held;	  /* ... and has gone so far from n */
	uint16_t ce_kept; /* what CE shows while nothing is loaded */
	bool load_pending;
	bool load_low_half; /* the transfer starts the low half of mode 3 */
	uint64_t load_tick;

	bool status_latched, count_latched;
	uint8_t status;
	uint16_t latch;

	struct irq_pin out;
	bool pin_level;
	bool pin_hold;	     /* high because an edge came late, until the next one */
	uint64_t pin_tick;   /* the pin is up to date to here */
	uint64_t wake_floor; /* no periodic wake-up before this tick */
	struct dev_timer timer;
};

struct i8254 {
	struct i8254_counter counter[3];
	uint8_t port61;
	const struct dev_clock *clk;
};

/*
 * Make @pit a timer with three counters that have not been programmed: outputs low, gates of 0 and
 * 1 high, of 2 low. @out: where OUT0 to OUT2 go (active high; unconnected ones cost no wake-ups).
 */
void i8254_init(struct i8254 *pit, const struct dev_clock *clk, const struct irq_pin out[3]);

/* Back to the state of i8254_init. (The part has no reset pin; firmware programs it.) */
void i8254_reset(struct i8254 *pit);

extern const struct device_ops i8254_ops;	 /* 4 ports, 0x40. @dev: struct i8254 * */
extern const struct device_ops i8254_port61_ops; /* 1 port, 0x61. @dev: struct i8254 * */

/* The level of OUT of @counter (0 to 2) now. */
bool i8254_out(struct i8254 *pit, unsigned int counter);

#endif
