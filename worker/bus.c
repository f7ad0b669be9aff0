// SPDX-License-Identifier: GPL-2.0-only
#include "worker/bus.h"

#include <errno.h>
#include <string.h>

static bool region_overlaps(const struct bus_region *r, uint64_t base, uint64_t len)
{
	return base < r->base + r->len && r->base < base + len;
}

static bool region_covers(const struct bus_region *r, uint64_t addr, unsigned int size)
{
	return addr >= r->base && size <= r->len && addr - r->base <= r->len - size;
}

int bus_pio_add(struct bus_pio *bus, uint16_t port, uint32_t len, const struct device_ops *ops,
		void *dev)
{
	unsigned int i;
	int ret;

	if (!len || len > BUS_PORTS - port)
		return -EINVAL;
	for (i = port; i < port + len; i++) {
		if (bus->owner[i])
			return -EEXIST;
	}
	ret = bus_pio_reserve(bus, ops, dev);
	if (ret < 0)
		return ret;
	bus_pio_place(bus, ret, port, len);
	return 0;
}

int bus_pio_reserve(struct bus_pio *bus, const struct device_ops *ops, void *dev)
{
	if (bus->count + 1 >= BUS_REGIONS_MAX)
		return -ENOSPC;
	bus->region[++bus->count] = (struct bus_region){ .ops = ops, .dev = dev };
	return bus->count;
}

/* Finds out anew who owns the ports [first, end): the first region that has them. */
static void pio_settle(struct bus_pio *bus, uint64_t first, uint64_t end)
{
	const struct bus_region *r;
	unsigned int i;

	for (; first < end; first++) {
		for (i = 1; i <= bus->count; i++) {
			r = &bus->region[i];
			if (first - r->base < r->len)
				break;
		}
		atomic_store_explicit(&bus->owner[first], i <= bus->count ? i : 0,
				      memory_order_release);
	}
}

void bus_pio_place(struct bus_pio *bus, int handle, uint64_t base, uint32_t len)
{
	struct bus_region *r = &bus->region[handle];
	struct bus_region old = *r;

	if (base >= BUS_PORTS || len > BUS_PORTS - base)
		base = len = 0;
	if (old.base == base && old.len == len)
		return;
	r->base = base;
	r->len = len;
	pio_settle(bus, old.base, old.base + old.len);
	pio_settle(bus, base, base + len);
}

int bus_mmio_add(struct bus_mmio *bus, uint64_t base, uint64_t len, const struct device_ops *ops,
		 void *dev)
{
	unsigned int i;
	int ret;

	if (!len || base + len < base)
		return -EINVAL;
	for (i = 0; i < bus->count; i++) {
		if (region_overlaps(&bus->region[i], base, len))
			return -EEXIST;
	}
	ret = bus_mmio_reserve(bus, ops, dev);
	if (ret < 0)
		return ret;
	bus_mmio_place(bus, ret, base, len);
	return 0;
}

int bus_mmio_reserve(struct bus_mmio *bus, const struct device_ops *ops, void *dev)
{
	if (bus->count == BUS_REGIONS_MAX)
		return -ENOSPC;
	bus->region[bus->count++] = (struct bus_region){ .ops = ops, .dev = dev };
	return bus->count;
}

void bus_mmio_place(struct bus_mmio *bus, int handle, uint64_t base, uint64_t len)
{
	struct bus_region *r = &bus->region[handle - 1];

	if (base + len < base)
		base = len = 0;
	r->base = base;
	r->len = len;
}

/* One byte of an access that had to be taken apart; r is NULL on an open bus. */
static void byte_access(const struct bus_region *r, bool write, uint64_t addr, uint8_t *byte)
{
	if (r)
		bus_region_access(r, write, addr, 1, byte);
	else if (!write)
		*byte = 0xff;
}

void bus_pio_access(const struct bus_pio *bus, bool write, uint16_t port, unsigned int size,
		    uint8_t *data)
{
	const struct bus_region *r = bus_pio_region(bus, port, size);
	unsigned int i;

	if (r) {
		bus_region_access(r, write, port, size, data);
		return;
	}
	/* Port 0xffff is followed by port 0. */
	for (i = 0; i < size; i++, port++)
		byte_access(bus_pio_region(bus, port, 1), write, port, data + i);
}

void bus_pio_string(const struct bus_pio *bus, bool write, uint16_t port, unsigned int size,
		    unsigned int count, uint8_t *data)
{
	const struct bus_region *r = bus_pio_region(bus, port, size);

	if (r && write && r->ops->write_string) {
		r->ops->write_string(r->dev, port - r->base, size, data, count);
		return;
	}
	if (r && !write && r->ops->read_string) {
		r->ops->read_string(r->dev, port - r->base, size, data, count);
		return;
	}
	for (; count; count--, data += size)
		bus_pio_access(bus, write, port, size, data);
}

static const struct bus_region *mmio_find(const struct bus_mmio *bus, uint64_t addr,
					  unsigned int size)
{
	unsigned int i;

	for (i = 0; i < bus->count; i++) {
		if (region_covers(&bus->region[i], addr, size))
			return &bus->region[i];
	}
	return NULL;
}

void bus_mmio_access(const struct bus_mmio *bus, bool write, uint64_t addr, unsigned int size,
		     uint8_t *data)
{
	const struct bus_region *r = mmio_find(bus, addr, size);
	unsigned int i;

	if (r && !(size & (size - 1))) {
		bus_region_access(r, write, addr, size, data);
		return;
	}
	for (i = 0; i < size; i++, addr++)
		byte_access(mmio_find(bus, addr, 1), write, addr, data + i);
}
