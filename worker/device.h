/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICE_H
#define WORKER_DEVICE_H

/*
 * What every device model of a child's machine is made of: regions of registers, output pins and
 * timers. A model is plain C: it performs no I/O, starts no thread, allocates nothing, knows
 * nothing of KVM and keeps no global state, so that a unit test or a fuzzer can be its machine.
 *
 * Locking. A machine has one platform lock. Its owner (the worker) holds it around every call into
 * a device: init, reset, region reads and writes, timers firing, host-side functions. Everything
 * that a device calls back (pins, clock, effects) therefore runs with that lock held, on the same
 * stack: a callback may call other devices of the same machine, must not block, must not take the
 * lock again, and must not call the device that it was called by, not even through others. Effects that end or reset the machine are to be noted and carried out once the
 * lock has been dropped; a device never calls X_reset on itself or on another device.
 *
 * Errors. The guest cannot make a device fail: undefined accesses read as the hardware would (all
 * ones on an open bus, zero in reserved registers) and undefined writes are dropped. Functions
 * called by the host return a negative errno where they can fail.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEV_NS_PER_SEC 1000000000ull

/*
 * An output pin of a device, wired to input @n of something. The device calls it when the
 * electrical level changes, not again for the same level; a receiver must tolerate repetition.
 * A pin whose @set is NULL is not connected. Copied by value at init.
 */
struct irq_pin {
	void (*set)(void *ctx, unsigned int n, bool level); /* true = high */
	void *ctx;
	unsigned int n; /* input number at the receiver, e.g. the ISA IRQ or the IOAPIC pin */
};

/* Drive @pin to @level; nothing happens if it is not connected. */
static inline void irq_pin_set(const struct irq_pin *pin, bool level)
{
	if (pin->set)
		pin->set(pin->ctx, pin->n, level);
}

/* Where message-signalled interrupts go: a write of @data to @addr on the bus. Copied by value. */
struct msi_port {
	void (*send)(void *ctx, uint64_t addr, uint32_t data);
	void *ctx;
};

/*
 * One region of registers, in I/O ports or memory; a device with several regions has several ops.
 * @off counts bytes from the region's start. The caller guarantees @size is 1, 2, 4 or 8 and
 * off + size lies within the region: an access that straddles regions is split by the caller.
 * Data is little-endian in the low @size bytes; the read result has its upper bytes clear.
 * Every offset and size within the region must be survived by the device, aligned or not.
 */
struct device_ops {
	uint64_t (*read)(void *dev, uint64_t off, unsigned int size);
	void (*write)(void *dev, uint64_t off, unsigned int size, uint64_t val);
	/*
	 * The same @count times (at least 1) at the same @off, as rep ins and rep outs do, with the
	 * data one after the other in @buf, which need not be aligned. NULL: the bus calls the two
	 * above as often. They differ in nothing but the time that it takes. Ports only.
	 */
	void (*read_string)(void *dev, uint64_t off, unsigned int size, void *buf,
			    unsigned int count);
	void (*write_string)(void *dev, uint64_t off, unsigned int size, const void *buf,
			     unsigned int count);
};

/* All ones in the low @size bytes (1 to 8): what an open bus reads as. */
static inline uint64_t dev_ones(unsigned int size)
{
	return size >= 8 ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

/*
 * Byte-wide parts on the ISA bus see a wider access as consecutive byte cycles, lowest address
 * first. These two make device_ops out of one-byte handlers in that way.
 */
static inline uint64_t dev_read_bytes(uint8_t (*read)(void *dev, unsigned int off), void *dev,
				      uint64_t off, unsigned int size)
{
	uint64_t val = 0;

	for (unsigned int i = 0; i < size; i++)
		val |= (uint64_t)read(dev, (unsigned int)off + i) << (8 * i);
	return val;
}

static inline void dev_write_bytes(void (*write)(void *dev, unsigned int off, uint8_t val),
				   void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	for (unsigned int i = 0; i < size; i++)
		write(dev, (unsigned int)off + i, (uint8_t)(val >> (8 * i)));
}

/*
 * A one-shot timer, owned by and embedded in a device. @fire and @dev are set by the device at
 * init; the rest belongs to the clock. Zeroed memory is a valid timer that is not armed.
 */
struct dev_timer {
	/* The deadline has passed; @now >= deadline. Already disarmed: may arm itself again. */
	void (*fire)(void *dev, uint64_t now);
	void *dev;
	uint64_t deadline; /* ns of the child's clock; valid while armed */
	bool armed;
	struct dev_timer *next; /* for the clock's queue (worker/platform/timerq.h) */
};

/*
 * The child's clock: nanoseconds since the machine was made. It never goes back. It may stand
 * still (a paused child) and timers may fire late, never early; a device computes from now() and
 * deadlines, so that lateness does not add up. All of it under the platform lock.
 */
struct dev_clock {
	uint64_t (*now)(void *ctx);
	/* Fire @t once @deadline is reached; moves it if it is armed. A deadline that has passed
	 * already is allowed and fires soon, but never from within arm itself. */
	void (*arm)(void *ctx, struct dev_timer *t, uint64_t deadline);
	/* No effect if @t is not armed. When it returns @t will not fire. */
	void (*cancel)(void *ctx, struct dev_timer *t);
	void *ctx;
};

static inline uint64_t dev_now(const struct dev_clock *clk)
{
	return clk->now(clk->ctx);
}

static inline void dev_arm(const struct dev_clock *clk, struct dev_timer *t, uint64_t deadline)
{
	clk->arm(clk->ctx, t, deadline);
}

static inline void dev_cancel(const struct dev_clock *clk, struct dev_timer *t)
{
	clk->cancel(clk->ctx, t);
}

/* a * b / c with a 128-bit product: for turning nanoseconds into ticks. Rounds down. */
static inline uint64_t dev_muldiv(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)((unsigned __int128)a * b / c);
}

/* As dev_muldiv, rounded up: the first nanosecond at which a tick has been reached. */
static inline uint64_t dev_muldiv_up(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)(((unsigned __int128)a * b + c - 1) / c);
}

/* How a reset that a guest asks for reaches the machine (ports 0x64, 0x92 and 0xcf9). */
enum dev_reset {
	DEV_RESET_SOFT, /* INIT to the processors; devices and memory stay as they are */
	DEV_RESET_HARD, /* PCIRST# and CPURST: processors and devices */
};

#endif
