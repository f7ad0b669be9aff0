/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who answers at which I/O port or physical address. Pure. The platform lock (worker/device.h) is
 * the caller's to hold around everything here but bus_pio_owned(), which any thread may call: what
 * it looks at changes one port at a time, so that an access beside a region that is being moved
 * sees what it saw before.
 *
 * Regions are of two kinds. Fixed ones are added while the machine is made and never overlap.
 * Movable ones, the base address registers of PCI functions, are reserved then and placed, moved
 * and taken out by the guest, wherever it likes: where regions overlap, the one that was added or
 * reserved first answers, so the board's own come before all that can move.
 */
#ifndef WORKER_BUS_H
#define WORKER_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/device.h"

#define BUS_PORTS	0x10000u
#define BUS_REGIONS_MAX 64

/* A region: bytes [base, base + len) belong to dev; nothing does while len is 0. */
struct bus_region {
	uint64_t base;
	uint64_t len;
	const struct device_ops *ops;
	void *dev;
};

/* I/O port space: one table look-up per access. Zeroed memory is an empty bus. */
struct bus_pio {
	_Atomic uint8_t owner[BUS_PORTS];	   /* index into region, 0: nobody */
	struct bus_region region[BUS_REGIONS_MAX]; /* from index 1 on */
	unsigned int count;
};

/* Memory space: few regions, searched in turn. Zeroed memory is an empty bus. */
struct bus_mmio {
	struct bus_region region[BUS_REGIONS_MAX];
	unsigned int count;
};

/*
 * Adds a region. Returns 0, -EINVAL (empty, or out of the space), -EEXIST (overlaps another) or
 * -ENOSPC (too many).
 */
int bus_pio_add(struct bus_pio *bus, uint16_t port, uint32_t len, const struct device_ops *ops,
		void *dev);
int bus_mmio_add(struct bus_mmio *bus, uint64_t base, uint64_t len, const struct device_ops *ops,
		 void *dev);

/*
 * Reserves a movable region that is nowhere yet. Returns its handle (above 0) or -ENOSPC.
 */
int bus_pio_reserve(struct bus_pio *bus, const struct device_ops *ops, void *dev);
int bus_mmio_reserve(struct bus_mmio *bus, const struct device_ops *ops, void *dev);

/*
 * Puts a movable region at [base, base + len), or nowhere if len is 0 or it would leave the space:
 * a guest may ask for that. A region with no change stays untouched.
 */
void bus_pio_place(struct bus_pio *bus, int handle, uint64_t base, uint32_t len);
void bus_mmio_place(struct bus_mmio *bus, int handle, uint64_t base, uint64_t len);

/*
 * count accesses of size bytes at the same port, as a string instruction makes them; data holds
 * them one after the other. A device with a way of its own for that is asked once.
 */
void bus_pio_string(const struct bus_pio *bus, bool write, uint16_t port, unsigned int size,
		    unsigned int count, uint8_t *data);

/*
 * One access of size bytes (ports: 1, 2 or 4; memory: 1 to 8), little-endian at data. Reads of
 * what nobody owns give all ones; writes there are lost. An access that leaves its first region is
 * done byte by byte, and so is one whose size a device cannot be asked for.
 */
void bus_pio_access(const struct bus_pio *bus, bool write, uint16_t port, unsigned int size,
		    uint8_t *data);
void bus_mmio_access(const struct bus_mmio *bus, bool write, uint64_t addr, unsigned int size,
		     uint8_t *data);

/* The region that an access of size bytes lies wholly in; NULL if there is none. */
static inline const struct bus_region *bus_pio_region(const struct bus_pio *bus, uint16_t port,
						      unsigned int size)
{
	uint8_t owner = atomic_load_explicit(&bus->owner[port], memory_order_relaxed);
	const struct bus_region *r = &bus->region[owner];

	/* Entry 0, which nobody's ports point to, has no length. */
	return port - r->base + size <= r->len ? r : NULL;
}

/* Values of 1, 2, 4 or 8 bytes at data, little-endian: sizes that need no call of memcpy(). */
static inline uint64_t bus_load(const uint8_t *data, unsigned int size)
{
	uint64_t val = 0;

	switch (size) {
	case 1:
		return *data;
	case 2:
		__builtin_memcpy(&val, data, 2);
		return val;
	case 4:
		__builtin_memcpy(&val, data, 4);
		return val;
	default:
		__builtin_memcpy(&val, data, 8);
		return val;
	}
}

static inline void bus_store(uint8_t *data, unsigned int size, uint64_t val)
{
	switch (size) {
	case 1:
		*data = (uint8_t)val;
		break;
	case 2:
		__builtin_memcpy(data, &val, 2);
		break;
	case 4:
		__builtin_memcpy(data, &val, 4);
		break;
	default:
		__builtin_memcpy(data, &val, 8);
	}
}

/* An access that lies in r, of 1, 2, 4 or 8 bytes. */
static inline void bus_region_access(const struct bus_region *r, bool write, uint64_t addr,
				     unsigned int size, uint8_t *data)
{
	if (write)
		r->ops->write(r->dev, addr - r->base, size, bus_load(data, size));
	else
		bus_store(data, size, r->ops->read(r->dev, addr - r->base, size));
}

/* Whether anybody owns one of the ports: if not, an access needs no lock. */
static inline bool bus_pio_owned(const struct bus_pio *bus, uint16_t port, unsigned int size)
{
	unsigned int i;

	for (i = 0; i < size; i++) {
		if (atomic_load_explicit(&bus->owner[(uint16_t)(port + i)], memory_order_acquire))
			return true;
	}
	return false;
}

#endif
