/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_UNIT_IDE_BENCH_H
#define TESTS_UNIT_IDE_BENCH_H

/*
 * A machine for the IDE function: memory, ports, and back ends that carry requests out when the
 * test says so. For tests and fuzzers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "tests/unit/fakeclock.h"
#include "worker/devices/ide.h"

#define BENCH_MEM   0x100000u
#define BENCH_HOLE  0xa0000u /* no memory from here */
#define BENCH_ROM   0xf0000u /* to here; from here on memory that cannot be written */
#define BENCH_SPLIT 0x88000u /* two pieces of the host's memory meet: no mapping spans it */

/* A medium in memory, and the requests that are under way. */
struct fakeblock {
	struct block blk;
	uint8_t *data;
	struct block_request *first;
	struct block_request **last;
	unsigned int waiting;
	unsigned int reads, writes, flushes, ranges; /* submitted */
	bool dirty;   /* written since the last flush that was done */
	bool at_once; /* requests are over when they have been submitted */
	/* Requests that touch this byte, or any flush if fail_flush, end with the error. */
	uint64_t fail_at;
	int fail;
	bool fail_flush;
};

struct ide_bench {
	struct fakeclock clock;
	struct fakepins pins;
	struct dma dma;
	struct ide ide;
	struct fakeblock block[4]; /* by channel and unit */
	uint8_t *mem;		   /* BENCH_MEM bytes */
	unsigned int prd_reads;	   /* of 8 bytes */
};

static inline bool fakeblock_is_range(const struct block_request *req)
{
	return req->op == BLOCK_DISCARD || req->op == BLOCK_ZERO;
}

static inline void fakeblock_submit(struct block *blk, struct block_request *req)
{
	struct fakeblock *f = (struct fakeblock *)blk;
	uint64_t len = 0;

	for (unsigned int i = 0; i < req->iovs; i++) {
		if (!req->iov[i].iov_len)
			abort();
		len += req->iov[i].iov_len;
	}
	if (fakeblock_is_range(req))
		len = req->range;
	/* What the interface promises to back ends. */
	if ((req->op == BLOCK_FLUSH) != !len || len % 512 || req->offset % 512 ||
	    req->offset + len > blk->size || blk->no_medium || !req->done ||
	    (fakeblock_is_range(req) && (req->iovs || len > BLOCK_RANGE_MAX || blk->readonly)))
		abort();
	f->ranges += fakeblock_is_range(req);
	f->reads += req->op == BLOCK_READ;
	f->writes += req->op == BLOCK_WRITE;
	f->flushes += req->op == BLOCK_FLUSH;
	req->next = NULL;
	*f->last = req;
	f->last = &req->next;
	f->waiting++;
}

static inline int fakeblock_carry_out(struct fakeblock *f, struct block_request *req)
{
	uint64_t pos = req->offset, len = 0;

	if (req->op == BLOCK_FLUSH) {
		if (f->fail_flush)
			return f->fail;
		f->dirty = false;
		return 0;
	}
	len = fakeblock_is_range(req) ? req->range : 0;
	for (unsigned int i = 0; i < req->iovs; i++)
		len += req->iov[i].iov_len;
	if (f->fail && !f->fail_flush && f->fail_at >= pos && f->fail_at < pos + len)
		return f->fail;
	for (unsigned int i = 0; i < req->iovs; i++) {
		const struct iovec *v = &req->iov[i];

		if (req->op == BLOCK_READ)
			memcpy(v->iov_base, f->data + pos, v->iov_len);
		else
			memcpy(f->data + pos, v->iov_base, v->iov_len);
		pos += v->iov_len;
	}
	if (fakeblock_is_range(req))
		memset(f->data + pos, 0, len);
	f->dirty |= req->op != BLOCK_READ;
	return 0;
}

/* End the oldest request. Returns false if there is none. */
static inline bool fakeblock_step(struct fakeblock *f)
{
	struct block_request *req = f->first;

	if (!req)
		return false;
	f->first = req->next;
	if (!f->first)
		f->last = &f->first;
	f->waiting--;
	req->done(req, fakeblock_carry_out(f, req));
	return true;
}

/* Of what there was: the rest is submitted from the ends of these. */
static inline void fakeblock_collect(struct block *blk)
{
	struct fakeblock *f = (struct fakeblock *)blk;
	unsigned int n = f->at_once ? f->waiting : 0;

	while (n--)
		fakeblock_step(f);
}

static const struct block_ops fakeblock_ops = {
	.submit = fakeblock_submit,
	.collect = fakeblock_collect,
};

/* A medium of @size bytes at @data. */
static inline void fakeblock_init_at(struct fakeblock *f, uint64_t size, uint8_t *data)
{
	memset(f, 0, sizeof(*f));
	f->blk = (struct block){ .ops = &fakeblock_ops, .size = size };
	f->data = data;
	f->last = &f->first;
}

static inline void fakeblock_init(struct fakeblock *f, uint64_t size)
{
	fakeblock_init_at(f, size, calloc(1, size));
	if (!f->data)
		abort();
}

/* Everything that is under way, and what comes of it. */
static inline void bench_run(struct ide_bench *b)
{
	bool any = true;

	while (any) {
		any = false;
		for (unsigned int i = 0; i < 4; i++)
			any |= fakeblock_step(&b->block[i]);
	}
}

static inline bool bench_is_memory(uint64_t addr, bool write)
{
	return addr < BENCH_HOLE || (!write && addr >= BENCH_ROM && addr < BENCH_MEM);
}

static inline bool bench_dma_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct ide_bench *b = ctx;
	uint8_t *p = buf;
	bool ok = true;

	b->prd_reads += len == 8;
	for (size_t i = 0; i < len; i++) {
		ok &= bench_is_memory(addr + i, false);
		p[i] = bench_is_memory(addr + i, false) ? b->mem[addr + i] : 0xff;
	}
	return ok;
}

static inline bool bench_dma_write(void *ctx, uint64_t addr, const void *buf, size_t len)
{
	struct ide_bench *b = ctx;
	const uint8_t *p = buf;
	bool ok = true;

	for (size_t i = 0; i < len; i++) {
		ok &= bench_is_memory(addr + i, true);
		if (bench_is_memory(addr + i, true))
			b->mem[addr + i] = p[i];
	}
	return ok;
}

static inline void *bench_dma_map(void *ctx, uint64_t addr, size_t len)
{
	struct ide_bench *b = ctx;

	if (addr + len > BENCH_HOLE || (addr < BENCH_SPLIT && addr + len > BENCH_SPLIT))
		return NULL;
	return b->mem + addr;
}

/* With @mem, BENCH_MEM bytes, as its memory. */
static inline void bench_init_at(struct ide_bench *b, uint8_t *mem)
{
	const struct irq_pin irq[2] = { fakepin(&b->pins, 14), fakepin(&b->pins, 15) };

	memset(b, 0, sizeof(*b));
	fakeclock_init(&b->clock);
	b->mem = mem;
	b->dma = (struct dma){ bench_dma_read, bench_dma_write, bench_dma_map, b };
	for (unsigned int i = 0; i < 4; i++)
		b->block[i].last = &b->block[i].first;
	ide_init(&b->ide, &b->clock.clk, &b->dma, irq);
}

static inline void bench_init(struct ide_bench *b)
{
	bench_init_at(b, calloc(1, BENCH_MEM));
	if (!b->mem)
		abort();
}

/* What firmware does: ports decoded, bus master at 0xc000, mastering on. */
static inline void bench_enable(struct ide_bench *b)
{
	pci_function_write(&b->ide.fn, IDE_IDETIM, 4, 0x80008000);
	pci_function_write(&b->ide.fn, PCI_BAR0 + 4 * IDE_BM_BAR, 4, 0xc000);
	pci_function_write(&b->ide.fn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static inline void bench_free(struct ide_bench *b)
{
	bench_run(b);
	for (unsigned int i = 0; i < 4; i++)
		free(b->block[i].data);
	free(b->mem);
}

/* Ports: 0x1f0, 0x3f6, 0x170, 0x376, 0xc000. */
static inline const struct device_ops *bench_ops(struct ide_bench *b, unsigned int port, void **dev,
						 uint64_t *off)
{
	unsigned int n = (port & ~7u) == 0x170 || port == 0x376;

	*dev = &b->ide.channel[n];
	*off = port & 7;
	if (port == 0x3f6 || port == 0x376) {
		*off = 0;
		return &ide_ctl_ops;
	}
	if ((port & ~15u) != 0xc000)
		return &ide_cmd_ops;
	*dev = &b->ide;
	*off = port & 15;
	return &ide_bm_ops;
}

static inline uint32_t bench_in(struct ide_bench *b, unsigned int port, unsigned int size)
{
	uint64_t off;
	void *dev;
	const struct device_ops *ops = bench_ops(b, port, &dev, &off);

	return (uint32_t)ops->read(dev, off, size);
}

static inline void bench_out(struct ide_bench *b, unsigned int port, unsigned int size,
			     uint32_t val)
{
	uint64_t off;
	void *dev;
	const struct device_ops *ops = bench_ops(b, port, &dev, &off);

	ops->write(dev, off, size, val);
}

#endif
