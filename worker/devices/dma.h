/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_DMA_H
#define WORKER_DEVICES_DMA_H

/*
 * A bus master's way to the child's memory. The machine (or a test) brings it; it is the one border where addresses
 * and lengths that a guest chose are checked. Under the platform lock (worker/device.h).
 *
 * Whether the function may master the bus at all (PCI_COMMAND_MASTER) is for the device to look at before it calls.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dma {
	/*
	 * Copy @len bytes from or to physical address @addr. Where there is no memory a read gives all ones and a
	 * write is lost, as on the bus. Returns whether all of it was memory. @len may be 0.
	 */
	bool (*read)(void *ctx, uint64_t addr, void *buf, size_t len);
	bool (*write)(void *ctx, uint64_t addr, const void *buf, size_t len);
	/*
	 * The host's mapping of [addr, addr + len), for transfers that go on after the call: NULL if it is not all
	 * memory that a device may write, in one piece. It stays valid as long as the machine, a reset included.
	 * The guest may change what is in it at any time: never read a value twice.
	 */
	void *(*map)(void *ctx, uint64_t addr, size_t len);
	void *ctx;
};

static inline bool dma_read(const struct dma *dma, uint64_t addr, void *buf, size_t len)
{
	return dma->read(dma->ctx, addr, buf, len);
}

static inline bool dma_write(const struct dma *dma, uint64_t addr, const void *buf, size_t len)
{
	return dma->write(dma->ctx, addr, buf, len);
}

static inline void *dma_map(const struct dma *dma, uint64_t addr, size_t len)
{
	return dma->map(dma->ctx, addr, len);
}

#endif
