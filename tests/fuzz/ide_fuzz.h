/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_FUZZ_IDE_FUZZ_H
#define TESTS_FUZZ_IDE_FUZZ_H

/*
 * What the fuzzers of the IDE function have in common: steps that drive it by random bytes, as the
 * bus and the back ends do, and what has to hold after each. Back ends end requests whenever the
 * input says so, well or not. seeds_ide.py knows how steps are coded.
 */
#include <stdlib.h>
#include "tests/fuzz/fuzz.h"
#include "tests/unit/ide_bench.h"

#define FUZZ_TABLE 0x1000u /* descriptor tables */

/* ------------------------------------------------------------------ what has to hold */

static inline bool within(const void *p, size_t len, const void *base, size_t size)
{
	uintptr_t from = (uintptr_t)p, start = (uintptr_t)base;

	return from >= start && len <= size && from - start <= size - len;
}

/* Buffers are the guest's memory or the drive's. */
static inline void check_request(struct ide_bench *b, const struct ata_drive *d)
{
	for (unsigned int i = 0; i < d->req.iovs; i++) {
		const struct iovec *v = &d->req.iov[i];

		CHECK(within(v->iov_base, v->iov_len, b->mem, BENCH_HOLE) ||
		      within(v->iov_base, v->iov_len, d->buf, sizeof(d->buf)) ||
		      within(v->iov_base, v->iov_len, d->sector, sizeof(d->sector)));
	}
}

/* Of the high-performance mode, if the drive has it: all that is under way is in the guest's memory. */
static inline void check_fast(struct ide_bench *b, const struct ide_fast *f)
{
	const struct virtio_blk *n = &f->blk;
	const struct ata_drive *d = f->drive;
	unsigned int busy = 0, stale = 0, live = 0;

	for (unsigned int i = 0; i < n->fresh; i++) {
		const struct virtio_blk_request *r = &n->slot[i];

		busy += r->busy;
		stale += r->busy && r->stale;
		for (unsigned int j = 0; r->busy && j < r->req.iovs; j++)
			CHECK(within(r->req.iov[j].iov_base, r->req.iov[j].iov_len, b->mem,
				     BENCH_HOLE));
	}
	for (unsigned int i = 0; i < VIRTIO_BLK_QUEUES_MAX; i++)
		live += n->under_way[i];
	CHECK(live == busy - stale);
	CHECK(busy == n->busy && stale == n->stale && n->fresh <= VIRTIO_BLK_DEPTH);
	CHECK(!n->serving && !n->pushed && (!n->polled || n->v.started));
	CHECK(f->bimodal.enabled || (!n->v.started && busy == stale && !f->waits));
	CHECK(!f->waits || d->phase != ATA_IDLE);
	/* Nobody finds the drive idle while memory of the mode that has ended is in use. */
	CHECK(!d->draining || n->stale);
	CHECK(f->bimodal.enabled || !stale || (d->draining && d->phase != ATA_IDLE));
	for (unsigned int i = 0; i < BIMODAL_REGS; i++)
		CHECK(!b->ide.fn.config[BIMODAL_PIIX4(f->unit, i)]);
}

static inline void check_drive(struct ide_bench *b, const struct ata_drive *d,
			       const struct fakeblock *f, const struct ide_fast *fast)
{
	uint8_t busy = d->status & (ATA_BSY | ATA_DRQ);

	CHECK(f->waiting == d->req_busy + (fast ? fast->blk.busy : 0));
	if (fast)
		check_fast(b, fast);
	if (d->req_busy)
		check_request(b, d);
	switch (d->phase) {
	case ATA_IDLE:
		CHECK(!busy && !d->req_busy);
		break;
	case ATA_WAIT:
		CHECK(busy == ATA_BSY && (d->req_busy || d->held || d->draining));
		break;
	case ATA_PIO_IN:
	case ATA_PIO_OUT:
		CHECK(busy == ATA_DRQ && !d->req_busy);
		CHECK(d->buf_pos < d->block_end && d->block_end <= d->buf_len);
		CHECK(d->buf_len <= sizeof(d->buf));
		break;
	case ATA_DMA:
		CHECK(busy == ATA_DRQ && !d->req_busy && ata_dma_want(d));
		break;
	}
	CHECK(!d->req_stale || d->req_busy);
	CHECK(d->kind != ATA_DISK || (d->max && d->spt && d->heads && d->cylinders));
}

static inline void check_channel(struct ide_bench *b, const struct ide_channel *ch, unsigned int n)
{
	bool wire = ch->drive[ch->selected].intrq && !(ch->control & ATA_NIEN);

	CHECK(b->pins.level[14 + n] == wire);
	CHECK(!ch->settling);
	CHECK(!ch->mover || ch->mover->req_busy);
	CHECK(ch->bytes <= 65536 && !(ch->bytes & 1));
}

static inline void check(struct ide_bench *b)
{
	for (unsigned int i = 0; i < 4; i++) {
		const struct ata_drive *d = &b->ide.channel[i / 2].drive[i % 2];

		if (d->kind != ATA_NONE)
			check_drive(b, d, &b->block[i], b->ide.fast[i]);
		else
			CHECK(!d->intrq && d->phase == ATA_IDLE);
	}
	for (unsigned int i = 0; i < 2; i++)
		check_channel(b, &b->ide.channel[i], i);
}

/* ------------------------------------------------------------------ steps */

/* By number: both command blocks, both control blocks, the bus master. */
static inline unsigned int port_number(uint8_t n)
{
	n %= 34;
	if (n < 8)
		return 0x1f0u + n;
	if (n < 16)
		return 0x170u + n - 8;
	if (n < 18)
		return n == 16 ? 0x3f6 : 0x376;
	return 0xc000u + n - 18;
}

static inline unsigned int access_size(unsigned int port, uint8_t code)
{
	unsigned int size = 1u << code % 3;

	if (port == 0x3f6 || port == 0x376)
		return 1;
	return (port & 7) + size > 8 ? 1 : size;
}

static inline void write_step(struct ide_bench *b, struct input *in)
{
	unsigned int port = port_number(take(in)), size = access_size(port, take(in));

	bench_out(b, port, size, take_many(in, size));
}

static inline void read_step(struct ide_bench *b, struct input *in)
{
	unsigned int port = port_number(take(in)), size = access_size(port, take(in));
	uint64_t val = bench_in(b, port, size);

	CHECK((val & ~dev_ones(size)) == 0);
}

/* Strings as long as the longest block, or 512 accesses where they are slow. */
static inline void string_step(struct ide_bench *b, struct input *in)
{
	static uint8_t data[65536];
	uint8_t how = take(in);
	struct ide_channel *ch = &b->ide.channel[how & 1];
	unsigned int size = 1u << (how >> 1) % 3, off = how & 0x80 ? how >> 4 & 3 : 0;
	unsigned int most = size == 1 || off ? 512 : (unsigned int)sizeof(data) / size;
	unsigned int count = take_many(in, 2) % most + 1;

	if (how & 0x08) {
		memset(data, how, (size_t)size * count);
		ide_cmd_ops.write_string(ch, off, size, data, count);
	} else {
		ide_cmd_ops.read_string(ch, off, size, data, count);
	}
}

/* A descriptor of the table, often about memory, with a length that is often a good one. */
static inline void descriptor_step(struct ide_bench *b, struct input *in)
{
	uint8_t n = take(in), how = take(in);
	uint32_t addr = take_many(in, 3), len = take_many(in, 2);
	uint8_t *p = b->mem + FUZZ_TABLE + 8 * n;

	if (how & 0x01)
		addr = BENCH_SPLIT - (addr & 0xfff);
	if (how & 0x02)
		addr |= 0xff000000;
	if (how & 0x04)
		len = 2;
	if (how & 0x08)
		len = 512;
	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(addr >> 8 * i);
	p[4] = (uint8_t)len;
	p[5] = (uint8_t)(len >> 8);
	p[6] = how;
	p[7] = how & 0x80;
}

static inline void start_step(struct ide_bench *b, struct input *in)
{
	uint8_t how = take(in);
	unsigned int base = 0xc000 + (how & 8);

	bench_out(b, base, 1, 0);
	bench_out(b, base + 4, 4, how & 0x40 ? take_many(in, 4) : FUZZ_TABLE + 8 * (how >> 4 & 3));
	bench_out(b, base + 2, 1, 6);
	bench_out(b, base, 1, how & 1 ? 0x09 : 0x01);
}

static inline int error_number(uint8_t n)
{
	static const int err[] = { 0, 0, 0, 0, EIO, ENOSPC, EROFS, ENOTCONN };

	return -err[n % 8];
}

/* A back end ends a request. */
static inline void complete_step(struct ide_bench *b, struct input *in)
{
	uint8_t how = take(in);
	struct fakeblock *f = &b->block[how & 3];
	struct block_request *req = f->first;
	int ret = error_number(how >> 2);

	f->at_once = how & 0x80; /* from now on */
	if (!req)
		return;
	if (how & 0x20 && req->op != BLOCK_FLUSH) { /* one byte of it is bad */
		f->fail_at = req->offset + take_many(in, 2);
		f->fail = ret;
	} else {
		f->fail_flush = req->op == BLOCK_FLUSH;
		f->fail_at = req->offset;
		f->fail = ret;
	}
	if (how & 0x40)
		f->fail = 0;
	fakeblock_step(f);
	f->fail_flush = false;
}

static inline void config_step(struct ide_bench *b, struct input *in)
{
	unsigned int off = take(in) & 0xfc;
	uint32_t val = take_many(in, 4);

	pci_function_write(&b->ide.fn, off, 4, val);
	/* Mostly it stays usable, or nothing else would happen. */
	if (!(val & 0x80))
		bench_enable(b);
}

static inline void rare_step(struct ide_bench *b, struct input *in)
{
	uint8_t how = take(in);
	unsigned int n = how >> 3 & 3;

	switch (how & 7) {
	case 0:
		ide_reset(&b->ide);
		bench_enable(b);
		break;
	case 1:
		b->block[n].blk.readonly = how & 0x80;
		break;
	case 2:
		ide_change_disc(&b->ide, n / 2, n % 2, &b->block[n].blk);
		break;
	case 3:
		if (ide_drive_idle(&b->ide, n / 2, n % 2) &&
		    b->ide.channel[n / 2].drive[n % 2].phase == ATA_IDLE &&
		    b->ide.channel[n / 2].drive[n % 2].kind == ATA_CDROM)
			b->block[n].blk.no_medium = how & 0x80;
		break;
	default:
		fakeclock_advance(&b->clock, (uint64_t)take_many(in, 2) << 24);
		break;
	}
}

/* A command with its registers, as a driver writes them: to @ch by its lowest bit. */
static inline void command_step(struct ide_bench *b, struct input *in)
{
	uint8_t how = take(in), command = take(in);
	unsigned int base = how & 1 ? 0x170 : 0x1f0;

	bench_out(b, base + 6, 1, (how & 2 ? 0xf0u : 0xe0u) & ~(how & 4 ? 0x40u : 0u));
	if (how & 8) {
		for (unsigned int i = 2; i < 6; i++)
			bench_out(b, base + i, 1, how & 16 ? take(in) : 0);
	}
	bench_out(b, base + 1, 1, how & 0x20 ? take(in) : 0);
	for (unsigned int i = 2; i < 6; i++)
		bench_out(b, base + i, 1, take(in));
	bench_out(b, base + 7, 1, command);
}

#define FUZZ_MEDIUM (300u * 1024)

/* The bench anew, without allocating: most of a run's time would be that. */
static inline void fuzz_init(struct ide_bench *b)
{
	static uint8_t mem[BENCH_MEM];

	memset(mem, 0, BENCH_HOLE);
	bench_init_at(b, mem);
	bench_enable(b);
}

/* A medium, with what the run before left on it. */
static inline struct block *fuzz_medium(struct ide_bench *b, unsigned int n, uint64_t size)
{
	static uint8_t data[4][FUZZ_MEDIUM];

	CHECK(size <= FUZZ_MEDIUM);
	fakeblock_init_at(&b->block[n], size, data[n]);
	return &b->block[n].blk;
}

/* The end: all requests end, and then no drive may be busy. */
static inline void finish_bench(struct ide_bench *b)
{
	for (unsigned int i = 0; i < 4; i++)
		b->block[i].fail = 0;
	bench_out(b, 0x3f6, 1, ATA_SRST);
	bench_out(b, 0x376, 1, ATA_SRST);
	bench_run(b);
	bench_out(b, 0x3f6, 1, 0);
	bench_out(b, 0x376, 1, 0);
	/* A mode that could not be left, its ports being closed, may have looked at its queues since. */
	fakeclock_advance(&b->clock, 1);
	bench_run(b);
	check(b);
	CHECK(ide_idle(&b->ide));
}

#endif
