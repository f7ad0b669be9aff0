// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replays to our IDE function what drivers did to another: standard input is the trace of QEMU's
 * PIIX4 IDE (its events ide_* and bmdma_*), standard output one line for each value that ours
 * reads differently. The same drives are there: argument 1 is the disk's size in sectors, 2 the
 * CD's in blocks; both are full of zeroes.
 *
 * The trace has no memory: a table for the bus master is made up for what the drive wants. It has
 * no time either: a status with BSY is passed over, and ours never is when the other was not.
 */
#include <stdio.h>
#include "tests/unit/ide_bench.h"

#define TABLE 0x1000u
#define DATA  0x10000u

struct replay {
	struct ide_bench b;
	unsigned int channel; /* the one that was used last: bus master events do not name it */
	uint8_t command[2];   /* the last one of a channel */
	unsigned int word[2]; /* of the data since then */
	bool parted[2];	      /* the packet was answered by one and refused by the other */
	unsigned long events, compared, differences;
};

static struct replay r;

static void put32(uint32_t addr, uint32_t val)
{
	for (unsigned int i = 0; i < 4; i++)
		r.b.mem[addr + i] = (uint8_t)(val >> 8 * i);
}

/* A table that is as long as the transfer. */
static void make_table(const struct ata_drive *d)
{
	uint64_t left = d->dma_buf ? d->buf_len : d->left;
	uint32_t at = TABLE;

	do {
		uint32_t n = left < 65536 ? ((uint32_t)left + 1) & ~1u : 65536;

		left -= left < n ? left : n;
		put32(at, DATA);
		put32(at + 4, (n & 0xffff) | (left ? 0 : 0x80000000u));
		at += 8;
	} while (left && at < DATA);
}

static void differ(const char *what, unsigned int where, uint32_t theirs, uint32_t ours)
{
	const struct ide_channel *ch = &r.b.ide.channel[r.channel];
	const struct ata_drive *d = &ch->drive[ch->selected];

	if (r.parted[r.channel])
		return;
	r.compared++;
	if (theirs == ours)
		return;
	r.differences++;
	printf("%s %u.%u command %02x packet %02x at %x theirs %x ours %x\n", what, r.channel,
	       ch->selected, r.command[r.channel],
	       r.command[r.channel] == 0xa0 ? d->cd.packet[0] : 0, where, theirs, ours);
}

/* Read what the drive has, as somebody who had wanted it. */
static void drain(const struct ata_drive *d)
{
	while (d->phase == ATA_PIO_IN) {
		bench_in(&r.b, r.channel ? 0x170 : 0x1f0, 4);
		bench_run(&r.b);
	}
}

/*
 * One sends data or is content, the other is not: one difference, and what follows up to the next
 * command is only that again. DSC is the command's own affair (ATA/ATAPI-6, 7.15.6.4).
 */
static void compare_status(unsigned int port, uint32_t theirs, uint32_t ours)
{
	const struct ide_channel *ch = &r.b.ide.channel[r.channel];
	const struct ata_drive *d = &ch->drive[ch->selected];
	bool packet = r.command[r.channel] == 0xa0;

	theirs &= ~ATA_DSC;
	ours &= ~ATA_DSC;
	differ("status", port, theirs, ours);
	if (!packet || theirs == ours)
		return;
	r.parted[r.channel] = true;
	drain(d);
	if (d->phase != ATA_IDLE)
		bench_out(&r.b, r.channel ? 0x177 : 0x1f7, 1, 0x08); /* DEVICE RESET */
}

static void register_read(unsigned int port, uint32_t theirs)
{
	bool status = (port & 7) == 7 || port == 0x3f6 || port == 0x376;
	uint32_t ours;

	bench_run(&r.b);
	ours = bench_in(&r.b, port, 1);
	if (!status)
		differ("register", port, theirs, ours);
	else if (!(theirs & ATA_BSY))
		compare_status(port, theirs, ours);
}

static void register_written(unsigned int port, uint32_t val)
{
	bench_run(&r.b);
	if ((port & 7) == 7) {
		r.command[r.channel] = (uint8_t)val;
		r.word[r.channel] = 0;
		r.parted[r.channel] = false;
	}
	bench_out(&r.b, port, 1, val);
}

static void data_read(unsigned int port, unsigned int size, uint32_t theirs)
{
	bench_run(&r.b);
	for (unsigned int i = 0; i < size; i += 2, theirs >>= 16)
		differ("data", r.word[r.channel]++, theirs & 0xffff, bench_in(&r.b, port, 2));
}

static void data_written(unsigned int port, unsigned int size, uint32_t val)
{
	bench_run(&r.b);
	bench_out(&r.b, port, size, val);
}

static void bm_read(unsigned int off, uint32_t theirs)
{
	bench_run(&r.b);
	differ("busmaster", off, theirs, bench_in(&r.b, 0xc000 + 8 * r.channel + off, 1));
}

static void bm_written(unsigned int off, uint32_t val)
{
	struct ide_channel *ch = &r.b.ide.channel[r.channel];

	bench_run(&r.b);
	if (off == IDE_BM_CMD && val & IDE_BM_START && !(ch->bm_cmd & IDE_BM_START)) {
		make_table(&ch->drive[ch->selected]);
		bench_out(&r.b, 0xc004 + 8 * r.channel, 4, TABLE);
	}
	bench_out(&r.b, 0xc000 + 8 * r.channel + off, 1, val);
}

static void pio_event(const char *dir, unsigned int port, const char *name, uint32_t val)
{
	bool write = dir[0] == 'w';

	r.channel = !(port & 0x80);
	if (strstr(name, "Data: Word"))
		write ? data_written(port, 2, val) : data_read(port, 2, val);
	else if (strstr(name, "Data: Long"))
		write ? data_written(port, 4, val) : data_read(port, 4, val);
	else
		write ? register_written(port, val) : register_read(port, val);
}

/* After a reset ours has a unit attention (SFF-8020i, 10.4), QEMU's has none: every answer after
 * that would be another command's. */
static void forget_attention(void)
{
	r.b.ide.channel[1].drive[0].cd.attention = 0;
}

static void line(const char *s)
{
	const char *p;
	char dir[3], name[64];
	unsigned int port, val;

	forget_attention();
	p = strstr(s, "IDE PIO ");
	if (p && sscanf(p, "IDE PIO %2s @ %x (%63[^)]); val %x", dir, &port, name, &val) == 4) {
		r.events++;
		pio_event(dir, port, name, val);
		return;
	}
	p = strstr(s, "bmdma: ");
	if (p && sscanf(p, "bmdma: readb %x : %x", &port, &val) == 2) {
		r.events++;
		bm_read(port, val);
	} else if (p && sscanf(p, "bmdma: writeb %x : %x", &port, &val) == 2) {
		r.events++;
		bm_written(port, val);
	}
}

int main(int argc, char **argv)
{
	static char buf[512];

	if (argc != 3)
		return 2;
	bench_init(&r.b);
	bench_enable(&r.b);
	fakeblock_init(&r.b.block[0], 512ull * strtoull(argv[1], NULL, 10));
	fakeblock_init(&r.b.block[2], 2048ull * strtoull(argv[2], NULL, 10));
	if (ide_attach_disk(&r.b.ide, 0, 0, &r.b.block[0].blk, NULL) ||
	    ide_attach_cdrom(&r.b.ide, 1, 0, &r.b.block[2].blk, NULL))
		return 2;
	while (fgets(buf, sizeof(buf), stdin))
		line(buf);
	fprintf(stderr, "%lu events, %lu compared, %lu different\n", r.events, r.compared,
		r.differences);
	return 0;
}
