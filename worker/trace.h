/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_TRACE_H
#define WORKER_TRACE_H

/*
 * The register trace of `plinth run --trace`: a line for each access to a device and for each change of a device's
 * interrupt output. The trace stands between the bus and a device, and between a device and what its pin leads to; where
 * nothing is traced nothing stands, so that a machine without a trace pays nothing for it.
 *
 * A line is "TIME WHO DEVICE REGISTER ACCESS VALUE", fields separated by single blanks:
 *
 *	0.734012345 vp0 ide0 1f7 r1 50		a byte read
 *	0.734013000 vp1 ide0 1f0 r2*256 5a0c...	256 words by one string instruction: bytes in order
 *	0.734013500 - ide0 irq14 high		an interrupt raised
 *
 * TIME: seconds of the machine's clock (struct dev_clock). WHO: a processor, or "-" for the worker itself (timers, back
 * ends). REGISTER: hexadecimal, the I/O port; of what a guest moves about, which DEVICE says by a name with a dot, the
 * offset there. ACCESS: r or w and the width in bytes. VALUE: hexadecimal. A line stands behind what it has caused: a
 * register that lowers the interrupt when it is read has "low" in front of it.
 *
 * All of it under the platform lock (worker/device.h) but for trace_open(), trace_set_vp() and trace_close(). Output
 * that a reader does not take holds the machine up.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "worker/device.h"

#define TRACE_REGIONS_MAX 64
#define TRACE_PINS_MAX	  32

struct trace;

/* A region of registers with the trace in front of it. */
struct trace_region {
	struct trace *trace;
	const char *name;
	uint64_t origin; /* the register's number at offset 0 */
	const struct device_ops *ops;
	void *dev;
};

/* An interrupt output with the trace behind it. */
struct trace_pin {
	struct trace *trace;
	const char *name, *pin;
	struct irq_pin to;
};

/* Zeroed memory is a trace that is not open: nothing is traced. */
struct trace {
	FILE *out;
	const char *path;
	uint32_t devices;	       /* mask of trace_device()'s numbers; 0: all */
	const struct dev_clock *clock; /* the machine's that runs */
	unsigned int regions, pins;
	struct trace_region region[TRACE_REGIONS_MAX];
	struct trace_pin pin[TRACE_PINS_MAX];
};

/* The number of a kind of device by its name ("ide"); -1: there is none. trace_devices: their names, with blanks. */
int trace_device(const char *name);
extern const char trace_devices[];

/*
 * Opens the file at @path, which stays the caller's, for a trace of the devices in @devices. Returns 0 or a negative errno
 * after having said why.
 */
int trace_open(struct trace *t, const char *path, uint32_t devices);

/* Writes out what is still in memory. Returns false after having said why if anything of the trace could not be written. */
bool trace_flush(struct trace *t);
void trace_close(struct trace *t);

/* A new machine: what was traced of the one before is gone. @clock is the machine's. */
void trace_begin(struct trace *t, const struct dev_clock *clock);

/*
 * Takes the place of a region's device if it is to be traced: *@ops and *@dev are the trace's then. @name is the device's,
 * a kind of trace_device() with a number or ".REGION" behind it; it stays the caller's. @origin: see above. Returns 0 or
 * -ENOSPC. Nothing is traced where @t or @name is NULL.
 */
int trace_region(struct trace *t, const char *name, uint64_t origin, const struct device_ops **ops,
		 void **dev);

/* The pin to give to the device @name instead of @to: that itself if it is not traced. @pin names it in the trace. */
struct irq_pin trace_pin(struct trace *t, const char *name, const char *pin, struct irq_pin to);

/* The calling thread is processor @vp. */
void trace_set_vp(unsigned int vp);

#endif
