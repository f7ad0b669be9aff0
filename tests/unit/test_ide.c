// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PIIX4's IDE function (Intel 290562, section 4) and what drives on one cable do to each other
 * (ATA/ATAPI-6, sections 7 and 9): decoding, selection, resets, the bus master.
 */
#include "tests/unit/ide_test.h"

#define SECTORS 4096u
#define BM	0xc000

static void fill(uint8_t *p, uint64_t from, size_t sectors)
{
	for (size_t i = 0; i < sectors * 512; i++)
		p[i] = (uint8_t)((from + i / 512) * 11 + i % 512 * 5 + (i & 255) / 13);
}

static void add_disk(unsigned int n)
{
	fakeblock_init(&b.block[n], SECTORS * 512);
	fill(b.block[n].data, 1000 * n, SECTORS);
	assert_int_equal(ide_attach_disk(&b.ide, n / 2, n % 2, &b.block[n].blk, NULL), 0);
}

static int setup(void **state)
{
	setup_empty(state);
	add_disk(0);
	return 0;
}

/* By which systems tell drives apart: each place has a serial number of its own. */
static void serial_numbers(void **state)
{
	uint16_t id[256];

	(void)state;
	for (unsigned int n = 0; n < 4; n++) {
		const unsigned int base = n / 2 ? 0x170 : 0x1f0;
		const char digit = (char)('1' + n);

		if (n)
			add_disk(n);
		out8(base + 6, n % 2 ? 0xf0 : 0xe0);
		out8(base + 7, 0xec); /* IDENTIFY DEVICE */
		for (unsigned int i = 0; i < 256; i++)
			id[i] = (uint16_t)bench_in(&b, base, 2);
		/* Words 10 to 19, the first of two characters in the high byte: "PL00001". */
		assert_int_equal(id[10], 'P' << 8 | 'L');
		assert_int_equal(id[13], digit << 8 | ' ');
	}
}

static uint32_t config(unsigned int off, unsigned int size)
{
	return pci_function_read(&b.ide.fn, off, size);
}

static void set_config(unsigned int off, unsigned int size, uint32_t val)
{
	pci_function_write(&b.ide.fn, off, size, val);
}

static void cmd28(unsigned int base, uint8_t device, uint8_t command, uint32_t lba, uint8_t count)
{
	out8(base + 6, (uint8_t)(device | 0xe0 | (lba >> 24 & 15)));
	for (unsigned int i = 2; i < 6; i++)
		out8(base + i, 0); /* for those that have 48 bits */
	out8(base + 2, count);
	out8(base + 3, (uint8_t)lba);
	out8(base + 4, (uint8_t)(lba >> 8));
	out8(base + 5, (uint8_t)(lba >> 16));
	out8(base + 7, command);
}

/* ------------------------------------------------------------------ configuration space */

static void identity(void **state)
{
	(void)state;
	assert_int_equal(config(0, 4), 0x71118086);
	assert_int_equal(config(8, 4) >> 8, 0x010180);
	assert_int_equal(config(PCI_STATUS, 2), 0x0280);
	assert_int_equal(config(PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(config(PCI_INTERRUPT_PIN, 1), 0); /* legacy mode: IRQ 14 and 15 */
}

/* What can be written, for the whole space (290562, table in 4.1; of BAR 4 more than there). */
static void writable_bits(void **state)
{
	static const struct {
		unsigned int off;
		uint32_t mask;
	} want[] = {
		{ 0x04, 0x00000005 }, { 0x0c, 0x0000f000 }, { 0x20, 0xfffffff0 },
		{ 0x40, 0xf3fff3ff }, { 0x44, 0x000000ff }, { 0x48, 0x3333000f },
	};

	(void)state;
	for (unsigned int off = 0; off < 256; off += 4) {
		uint32_t mask = 0, zero, ones;

		for (unsigned int i = 0; i < sizeof(want) / sizeof(want[0]); i++)
			if (want[i].off == off)
				mask = want[i].mask;
		set_config(off, 4, 0);
		zero = config(off, 4);
		set_config(off, 4, 0xffffffff);
		ones = config(off, 4);
		assert_int_equal(zero ^ ones, mask);
	}
}

static void decoding(void **state)
{
	uint8_t string[4] = { 0 };

	(void)state;
	out8(0x1f3, 0x12);
	set_config(IDE_IDETIM, 2, 0);
	assert_int_equal(in8(0x1f3), 0xff);
	assert_int_equal(bench_in(&b, 0x1f0, 2), 0xffff);
	assert_int_equal(in8(0x3f6), 0xff);
	ide_cmd_ops.read_string(&b.ide.channel[0], 0, 2, string, 2);
	assert_memory_equal(string, "\xff\xff\xff\xff", 4);
	out8(0x1f3, 0x34);
	out8(0x3f6, ATA_SRST);
	assert_int_equal(in8(0x376), 0x7f); /* the other channel is there, and empty */
	set_config(IDE_IDETIM, 2, 0x8000);
	assert_int_equal(in8(0x1f3), 0x12);
	assert_int_equal(in8(0x3f6), 0x50);
	set_config(IDE_IDETIM + 2, 2, 0x7fff);
	assert_int_equal(in8(0x376), 0xff);
	set_config(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(in8(0x1f3), 0xff);
}

/* ------------------------------------------------------------------ two drives, or fewer */

static void empty_channel(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < 8; i++)
		assert_int_equal(in8(0x170 + i), 0x7f); /* DD7 is pulled down: not busy */
	out8(0x172, 0x55);
	assert_int_equal(in8(0x172), 0x7f);
	assert_int_equal(bench_in(&b, 0x170, 2), 0xffff);
	out8(0x177, 0xec);
	out8(0x177, 0x90);
	out8(0x376, ATA_SRST);
	out8(0x376, 0);
	assert_int_equal(in8(0x376), 0x7f);
	assert_int_equal(b.pins.rises[15], 0);
}

/* Device 0 answers for the device 1 that is not there, with a status of 0 (9.16.1). */
static void absent_slave(void **state)
{
	(void)state;
	out8(0x1f6, 0xb0);
	assert_int_equal(in8(0x1f7), 0);
	assert_int_equal(in8(0x3f6), 0);
	out8(0x1f2, 0x55);
	out8(0x1f3, 0xaa);
	assert_int_equal(in8(0x1f2), 0x55);
	assert_int_equal(in8(0x1f3), 0xaa);
	assert_int_equal(in8(0x1f6), 0xb0);
	out8(0x1f7, 0xec);
	assert_int_equal(in8(0x1f7), 0);
	assert_int_equal(bench_in(&b, 0x1f0, 2), 0xffff);
	assert_int_equal(b.pins.rises[14], 0);
	out8(0x1f6, 0xa0);
	assert_int_equal(in8(0x1f7), 0x50);
}

static void absent_master(void **state)
{
	(void)state;
	add_disk(3); /* secondary slave, alone */
	out8(0x176, 0xa0);
	assert_int_equal(in8(0x177), 0x7f);
	assert_int_equal(in8(0x172), 0x7f);
	out8(0x176, 0xb0);
	assert_int_equal(in8(0x177), 0x50);
	out8(0x172, 0x21);
	assert_int_equal(in8(0x172), 0x21);
}

static void two_drives(void **state)
{
	uint8_t got[512], want[512];

	(void)state;
	add_disk(1);
	/* What is written reaches both; each has its own registers nonetheless. */
	out8(0x1f6, 0xa0);
	out8(0x1f3, 0x77);
	out8(0x1f6, 0xb0);
	assert_int_equal(in8(0x1f3), 0x77);
	cmd28(0x1f0, 0x10, 0x20, 9, 1);
	bench_run(&b);
	assert_true(b.pins.level[14]);
	/* An interrupt of the drive that is not selected does not reach the cable. */
	out8(0x1f6, 0xe0);
	assert_false(b.pins.level[14]);
	assert_int_equal(in8(0x1f7), 0x50); /* nor does this read take it back */
	out8(0x1f6, 0xf0);
	assert_true(b.pins.level[14]);
	assert_int_equal(in8(0x1f7), 0x58);
	ide_cmd_ops.read_string(&b.ide.channel[0], 0, 2, got, 256);
	fill(want, 1009, 1);
	assert_memory_equal(got, want, 512);
}

static void busy_drive_takes_nothing(void **state)
{
	(void)state;
	cmd28(0x1f0, 0, 0x20, 9, 1);
	out8(0x1f3, 0x33);
	out8(0x1f7, 0xec);
	assert_int_equal(b.block[0].waiting, 1);
	bench_run(&b);
	assert_int_equal(in8(0x1f3), 9);
	assert_int_equal(in8(0x1f7), 0x58);
	out8(0x1f7, 0xe7); /* nor while it has data */
	assert_int_equal(b.block[0].flushes, 0);
	assert_int_equal(in8(0x1f7), 0x58);
}

static void two_channels(void **state)
{
	(void)state;
	add_disk(2);
	cmd28(0x1f0, 0, 0x40, 9, 1);
	cmd28(0x170, 0, 0x40, 9, 1);
	assert_true(fakeblock_step(&b.block[2]));
	assert_true(b.pins.level[15]);
	assert_false(b.pins.level[14]);
	bench_run(&b);
	assert_true(b.pins.level[14]);
	in8(0x177);
	assert_true(b.pins.level[14]);
	assert_false(b.pins.level[15]);
}

static void interrupt_enable(void **state)
{
	(void)state;
	out8(0x3f6, ATA_NIEN);
	cmd28(0x1f0, 0, 0x40, 0, 1);
	bench_run(&b);
	assert_int_equal(b.pins.rises[14], 0);
	assert_int_equal(in8(BM + 2) & IDE_BM_INTR, 0);
	out8(0x3f6, 0);
	assert_int_equal(b.pins.rises[14], 1);
	assert_int_equal(in8(BM + 2) & IDE_BM_INTR, IDE_BM_INTR);
	out8(0x3f6, ATA_NIEN);
	assert_false(b.pins.level[14]);
	out8(0x3f6, 0);
	in8(0x3f6); /* the alternate status takes nothing back */
	assert_true(b.pins.level[14]);
	out8(0x1f7, 0xe7); /* a new command does */
	assert_false(b.pins.level[14]);
}

/* Wide accesses to byte registers are bytes, lowest first. */
static void wide_accesses(void **state)
{
	(void)state;
	bench_out(&b, 0x1f2, 4, 0x44332211);
	assert_int_equal(bench_in(&b, 0x1f2, 2), 0x2211);
	assert_int_equal(bench_in(&b, 0x1f4, 2), 0x4433);
	assert_int_equal(bench_in(&b, 0x1f4, 4), 0x50004433u);
	bench_out(&b, 0x1f6, 2, 0xe7e0);
	bench_run(&b);
	assert_int_equal(b.block[0].flushes, 1);
}

/* ------------------------------------------------------------------ resets */

static void expect_signature(unsigned int base)
{
	assert_int_equal(in8(base + 1), 0x01);
	assert_int_equal(in8(base + 2), 0x01);
	assert_int_equal(in8(base + 3), 0x01);
	assert_int_equal(in8(base + 4), 0x00);
	assert_int_equal(in8(base + 5), 0x00);
	assert_int_equal(in8(base + 6), 0x00);
	assert_int_equal(in8(base + 7), 0x50);
}

static void software_reset(void **state)
{
	(void)state;
	add_disk(1);
	expect_signature(0x1f0); /* as after power-on */
	out8(0x1f6, 0xf5);
	out8(0x1f4, 0x99);
	out8(0x3f6, ATA_SRST);
	assert_int_equal(in8(0x3f6) & ATA_BSY, ATA_BSY);
	out8(0x1f6, 0xb0);
	out8(0x1f7, 0xe7);
	assert_int_equal(b.block[0].waiting + b.block[1].waiting, 0);
	out8(0x3f6, ATA_SRST); /* it is a level */
	assert_int_equal(in8(0x3f6) & ATA_BSY, ATA_BSY);
	out8(0x3f6, 0);
	expect_signature(0x1f0); /* of device 0, which is selected */
	out8(0x1f6, 0x10);
	assert_int_equal(in8(0x1f4), 0);
	assert_int_equal(in8(0x1f7), 0x50);
	assert_int_equal(b.pins.rises[14], 0);
}

/* A request that is under way is waited for with BSY, and what it brings is dropped. */
static void reset_with_a_request(void **state)
{
	(void)state;
	cmd28(0x1f0, 0, 0x20, 9, 1);
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	assert_int_equal(in8(0x3f6), ATA_BSY);
	assert_false(ide_idle(&b.ide));
	assert_false(ide_drive_idle(&b.ide, 0, 0));
	cmd28(0x1f0, 0, 0xe7, 0, 0);
	assert_int_equal(b.block[0].waiting, 1);
	out8(0x3f6, ATA_SRST);
	bench_run(&b);
	assert_int_equal(in8(0x3f6), ATA_BSY); /* SRST is still set */
	assert_true(ide_idle(&b.ide));
	out8(0x3f6, 0);
	expect_signature(0x1f0);
	assert_int_equal(b.pins.rises[14], 0);
	assert_int_equal(ide_stats(&b.ide, 0, 0)->resets, 2);
	/* And the other order: the request ends after SRST has. */
	cmd28(0x1f0, 0, 0x20, 9, 1);
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	bench_run(&b);
	expect_signature(0x1f0);
	assert_int_equal(b.pins.rises[14], 0);
}

static void reset_drops_data(void **state)
{
	(void)state;
	cmd28(0x1f0, 0, 0x20, 9, 1);
	bench_run(&b);
	assert_true(b.pins.level[14]);
	out8(0x3f6, ATA_SRST);
	assert_false(b.pins.level[14]);
	out8(0x3f6, 0);
	assert_int_equal(bench_in(&b, 0x1f0, 2), 0xffff);
	expect_signature(0x1f0);
}

static void pci_reset(void **state)
{
	(void)state;
	add_disk(2);
	out8(BM + 2, IDE_BM_CAP);
	bench_out(&b, BM + 4, 4, PRD);
	out8(BM, IDE_BM_START | IDE_BM_READ);
	out8(0x3f6, ATA_NIEN);
	cmd28(0x170, 0, 0x40, 0, 1);
	bench_run(&b);
	assert_true(b.pins.level[15]);
	cmd28(0x1f0, 0, 0x20, 9, 1);
	ide_reset(&b.ide);
	assert_false(b.pins.level[15]);
	assert_int_equal(config(PCI_COMMAND, 2), 0);
	assert_int_equal(config(IDE_IDETIM, 4), 0);
	assert_int_equal(config(PCI_BAR0 + 16, 4), 1);
	bench_enable(&b);
	assert_int_equal(in8(0x1f7), ATA_BSY);
	bench_run(&b);
	expect_signature(0x1f0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(in8(BM + i), 0);
	cmd28(0x1f0, 0, 0x40, 9, 1);
	bench_run(&b);
	assert_true(b.pins.level[14]); /* nIEN is clear again */
}

static void diagnostic(void **state)
{
	(void)state;
	add_disk(1);
	out8(0x1f6, 0xb0);
	out8(0x1f4, 0x12);
	out8(0x1f7, 0x90);
	assert_true(b.pins.level[14]);
	expect_signature(0x1f0);
	assert_false(b.pins.level[14]);
	out8(0x1f6, 0xb0);
	assert_int_equal(in8(0x1f4), 0);
	assert_int_equal(in8(0x1f1), 1);
	/* Also for a device 1 that is not there. */
	add_disk(2);
	out8(0x176, 0xb0);
	out8(0x177, 0x90);
	assert_true(b.pins.level[15]);
	expect_signature(0x170);
}

/* ------------------------------------------------------------------ bus master */

static void bm_start(uint8_t dir)
{
	bench_out(&b, BM + 4, 4, PRD);
	out8(BM, dir);
	out8(BM + 2, IDE_BM_ERROR | IDE_BM_INTR);
	out8(BM, dir | IDE_BM_START);
}

static void dma(uint8_t command, uint32_t lba, uint8_t count, uint8_t dir)
{
	cmd28(0x1f0, 0, command, lba, count);
	bm_start(dir);
	bench_run(&b);
}

static void read_by_dma(void **state)
{
	uint8_t want[4 * 512];

	(void)state;
	fill(want, 30, 4);
	prd(0, 0x20000, 1024);
	prd(1, 0x30002, 514);
	prd(2, 0x40000, 510 | EOT);
	cmd28(0x1f0, 0, 0xc8, 30, 4);
	assert_int_equal(b.block[0].waiting, 0); /* it waits for the bus master */
	bm_start(IDE_BM_READ);
	assert_int_equal(b.block[0].waiting, 1);
	assert_int_equal(in8(BM + 2), IDE_BM_ACTIVE);
	assert_int_equal(in8(0x3f6) & ATA_BSY, ATA_BSY);
	assert_int_equal(b.prd_reads, 3);
	bench_run(&b);
	assert_true(b.pins.level[14]);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_int_equal(in8(0x1f7), 0x50);
	assert_memory_equal(b.mem + 0x20000, want, 1024);
	assert_memory_equal(b.mem + 0x30002, want + 1024, 514);
	assert_memory_equal(b.mem + 0x40000, want + 1538, 510);
	assert_int_equal(b.mem[0x30001] | b.mem[0x30002 + 514], 0);
	assert_int_equal(b.prd_reads, 3); /* each once */
	out8(BM + 2, IDE_BM_INTR);
	assert_int_equal(in8(BM + 2), 0);
	assert_int_equal(ide_stats(&b.ide, 0, 0)->dma_bytes, 2048);
	assert_int_equal(in8(0x1f3), 33);
}

/* What the back end has at once is there when the access that asked for it is over, however it was made. */
static void read_at_once(void **state)
{
	uint8_t want[2 * 512], got[512];

	(void)state;
	b.block[0].at_once = true;
	fill(want, 30, 2);
	prd(0, 0x20000, 1024 | EOT);
	cmd28(0x1f0, 0, 0xc8, 30, 2);
	bm_start(IDE_BM_READ);
	assert_true(b.pins.level[14]);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_int_equal(in8(0x1f7), 0x50);
	assert_memory_equal(b.mem + 0x20000, want, 1024);
	out8(BM + 2, IDE_BM_INTR);
	/* The command register's write is the access. */
	memset(b.mem + 0x20000, 0, 1024);
	bm_start(IDE_BM_READ);
	cmd28(0x1f0, 0, 0xc8, 30, 2);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_memory_equal(b.mem + 0x20000, want, 1024);
	in8(0x1f7);
	/* By PIO. */
	cmd28(0x1f0, 0, 0x20, 30, 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(in8(0x1f7), 0x58);
		ide_cmd_ops.read_string(&b.ide.channel[0], 0, 2, got, 256);
		assert_memory_equal(got, want + 512 * i, 512);
	}
	assert_int_equal(in8(0x1f7), 0x50);
	assert_int_equal(b.block[0].waiting, 0);
}

/* The order in which drivers do things is theirs: the bus master may wait for the drive. */
static void dma_started_first(void **state)
{
	uint8_t want[512];

	(void)state;
	prd(0, 0x20000, 512 | EOT);
	bm_start(IDE_BM_READ);
	assert_int_equal(in8(BM + 2), IDE_BM_ACTIVE);
	assert_int_equal(b.prd_reads, 0);
	cmd28(0x1f0, 0, 0xc8, 7, 1);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	fill(want, 7, 1);
	assert_memory_equal(b.mem + 0x20000, want, 512);
}

static void write_by_dma(void **state)
{
	static const uint8_t commands[] = { 0xca, 0xcb, 0x35, 0x3d };

	(void)state;
	for (unsigned int i = 0; i < sizeof(commands); i++) {
		fill(b.mem + 0x20000, 500 + i, 2);
		prd(0, 0x20000, 1000);
		prd(1, 0x20000 + 1000, 24 | EOT);
		dma(commands[i], 60, 2, 0);
		assert_int_equal(in8(BM + 2), IDE_BM_INTR);
		assert_int_equal(in8(0x1f7), 0x50);
		assert_memory_equal(b.block[0].data + 60 * 512, b.mem + 0x20000, 1024);
	}
	assert_int_equal(b.block[0].flushes, 1); /* of FUA */
	assert_false(b.block[0].dirty);
}

static void dma_ext(void **state)
{
	static uint8_t want[0x200 * 512];

	(void)state;
	fill(want, 50, 0x200);
	for (unsigned int i = 0; i < 4; i++) /* a count of 0 is 64 KiB */
		prd(i, 0x20000 + 0x10000 * i, i == 3 ? EOT : 0);
	out8(0x1f6, 0xe0);
	out8(0x1f2, 0x02);
	out8(0x1f2, 0x00);
	out8(0x1f3, 0);
	out8(0x1f4, 0);
	out8(0x1f5, 0);
	out8(0x1f3, 50);
	out8(0x1f4, 0);
	out8(0x1f5, 0);
	out8(0x1f7, 0x25);
	bm_start(IDE_BM_READ);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_memory_equal(b.mem + 0x20000, want, sizeof(want));
}

/* Table 10 of 4.2.2: what is longer than the transfer stays active... */
static void prd_longer(void **state)
{
	(void)state;
	prd(0, 0x20000, 1024 | EOT);
	dma(0xc8, 1, 1, IDE_BM_READ);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR | IDE_BM_ACTIVE);
	assert_int_equal(b.mem[0x20000 + 512], 0);
	out8(BM, 0);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	/* and so does a table that does not say that it has ended. */
	prd(0, 0x20000, 512);
	dma(0xc8, 1, 1, IDE_BM_READ);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR | IDE_BM_ACTIVE);
	assert_int_equal(b.prd_reads, 2);
}

/* ... what is shorter ends, with no interrupt: the drive waits for more, until it is reset. */
static void prd_shorter(void **state)
{
	uint8_t want[3 * 512];

	(void)state;
	in8(0x1f7);
	fill(want, 1, 3);
	prd(0, 0x20000, 512 + 100);
	prd(1, 0x30000, 100 | EOT);
	dma(0xc8, 1, 3, IDE_BM_READ);
	assert_int_equal(in8(BM + 2), 0);
	assert_int_equal(in8(0x3f6), 0x58);
	assert_memory_equal(b.mem + 0x20000, want, 512);
	assert_false(b.pins.level[14]);
	/* A new table would go on. */
	prd(0, 0x40000, 1024 | EOT);
	out8(BM, 0);
	bm_start(IDE_BM_READ);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_memory_equal(b.mem + 0x40000, want + 512, 1024);
	prd(0, 0x20000, 2 | EOT);
	dma(0xc8, 1, 1, IDE_BM_READ);
	assert_int_equal(in8(BM + 2), 0);
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	expect_signature(0x1f0);
}

/* Bit 0 of address and count do not exist. */
static void prd_odd_bits(void **state)
{
	uint8_t want[512];

	(void)state;
	prd(0, 0x20001, 257);
	prd(1, 0x20101, 0x7fff0101 | EOT);
	dma(0xc8, 9, 1, IDE_BM_READ);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	fill(want, 9, 1);
	assert_memory_equal(b.mem + 0x20000, want, 512);
}

/* Many small pieces: more than one request has places for, and sectors across requests. */
static void prd_many(void **state)
{
	static uint8_t want[8 * 512];
	uint32_t at = 0x20000, left = sizeof(want);
	unsigned int n = 0;

	(void)state;
	while (left) {
		uint32_t len = n % 3 == 1 ? 6 : 2;

		len = len < left ? len : left;
		prd(n, at, len | (len == left ? EOT : 0));
		at += len + 2; /* never side by side */
		left -= len;
		n++;
	}
	fill(want, 70, 8);
	dma(0xc8, 70, 8, IDE_BM_READ);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_int_equal(b.prd_reads, n);
	at = 0x20000;
	left = 0;
	for (unsigned int i = 0; i < n; i++) {
		uint32_t len = i % 3 == 1 ? 6 : 2;

		len = len < sizeof(want) - left ? len : (uint32_t)sizeof(want) - left;
		assert_memory_equal(b.mem + at, want + left, len);
		assert_int_equal(b.mem[at + len], 0);
		at += len + 2;
		left += len;
	}
	assert_true(b.block[0].reads > 1);
}

/* Side by side they are one piece for the back end. */
static void prd_merged(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 16; i++)
		prd(i, 0x20000 + 4096 * i, 4096 | (i == 15 ? EOT : 0));
	cmd28(0x1f0, 0, 0xc8, 0, 128);
	bm_start(IDE_BM_READ);
	assert_int_equal(b.block[0].first->iovs, 1);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
}

/* Memory that cannot be mapped in one piece is reached all the same. */
static void bounced(void **state)
{
	static uint8_t want[255 * 512];

	(void)state;
	fill(want, 80, 255);
	prd(0, BENCH_SPLIT - 514, 65536);
	prd(1, 0x60000, (64 * 1024 - 512) | EOT);
	dma(0xc8, 80, 255, IDE_BM_READ);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_memory_equal(b.mem + BENCH_SPLIT - 514, want, 65536);
	assert_memory_equal(b.mem + 0x60000, want + 65536, 64 * 1024 - 512);
	/* And the other way round. */
	memset(b.block[0].data + 80 * 512, 0, sizeof(want));
	dma(0xca, 80, 255, 0);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_memory_equal(b.block[0].data + 80 * 512, want, sizeof(want));
}

static void no_memory(void **state)
{
	uint8_t old[1024];

	(void)state;
	/* The table is nowhere. */
	cmd28(0x1f0, 0, 0xc8, 0, 1);
	bench_out(&b, BM + 4, 4, BENCH_HOLE);
	out8(BM, IDE_BM_READ | IDE_BM_START);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), IDE_BM_ERROR);
	assert_int_equal(config(PCI_STATUS, 2), 0x2280); /* received master abort */
	set_config(PCI_STATUS, 2, 0x2000);
	assert_int_equal(config(PCI_STATUS, 2), 0x0280);
	out8(BM + 2, IDE_BM_ERROR);
	out8(BM, 0);
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	/* The data is nowhere: nothing of it gets on the disk. */
	memcpy(old, b.block[0].data + 512, 1024);
	prd(0, 0x20000, 512);
	prd(1, BENCH_HOLE, 512 | EOT);
	memset(b.mem + 0x20000, 0x5a, 512);
	dma(0xca, 0, 3, 0);
	assert_int_equal(in8(BM + 2), IDE_BM_ERROR);
	assert_int_equal(b.block[0].data[0], 0x5a);
	assert_memory_equal(b.block[0].data + 512, old, 1024);
	out8(BM, 0);
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	/* Into memory that cannot be written. */
	prd(0, BENCH_ROM, 512 | EOT);
	dma(0xc8, 0, 1, IDE_BM_READ);
	assert_int_equal(in8(BM + 2) & IDE_BM_ERROR, IDE_BM_ERROR);
	assert_int_equal(b.mem[BENCH_ROM], 0);
}

static void dma_errors(void **state)
{
	uint8_t want[20 * 512];

	(void)state;
	fill(want, 100, 20);
	prd(0, 0x20000, 3000);
	prd(1, 0x30000, (20 * 512 - 3000) | EOT);
	b.block[0].fail = -EIO;
	b.block[0].fail_at = 107 * 512;
	dma(0xc8, 100, 20, IDE_BM_READ);
	assert_true(b.pins.level[14]);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR | IDE_BM_ACTIVE);
	assert_int_equal(in8(0x1f7), 0x51);
	assert_int_equal(in8(0x1f1), ATA_UNC);
	assert_int_equal(in8(0x1f3), 107);
	assert_int_equal(in8(0x1f2), 13);
	assert_memory_equal(b.mem + 0x20000, want, 3000);
	assert_memory_equal(b.mem + 0x30000, want + 3000, 7 * 512 - 3000);
	out8(BM, 0);
	b.block[0].fail = -ENOSPC;
	fill(b.mem + 0x20000, 3, 20);
	dma(0xca, 100, 4, 0);
	assert_int_equal(in8(0x1f7), 0x50); /* these sectors do not fail */
	out8(BM, 0);
	dma(0xca, 104, 5, 0);
	assert_int_equal(in8(0x1f7), 0x71);
	assert_int_equal(in8(0x1f1), ATA_ABRT);
	assert_int_equal(in8(0x1f3), 107);
	assert_memory_equal(b.block[0].data + 104 * 512, b.mem + 0x20000, 3 * 512);
	out8(BM, 0);
	dma(0xc8, SECTORS, 1, IDE_BM_READ);
	assert_int_equal(in8(0x1f7), 0x51);
	assert_int_equal(in8(0x1f1), ATA_IDNF);
}

/* Of a bad bounce nothing is brought to memory but what was read. */
static void bounced_error(void **state)
{
	uint8_t want[512];

	(void)state;
	fill(want, 100, 1);
	prd(0, BENCH_SPLIT - 256, 1024 | EOT);
	memset(b.mem + BENCH_SPLIT - 256, 0xee, 1024);
	b.block[0].fail = -EIO;
	b.block[0].fail_at = 101 * 512;
	dma(0xc8, 100, 2, IDE_BM_READ);
	assert_int_equal(in8(0x1f7), 0x51);
	assert_memory_equal(b.mem + BENCH_SPLIT - 256, want, 512);
	assert_int_equal(b.mem[BENCH_SPLIT + 256], 0xee);
}

static void stopping(void **state)
{
	uint8_t want[512];

	(void)state;
	prd(0, 0x20000, 512 | EOT);
	cmd28(0x1f0, 0, 0xc8, 3, 2);
	bm_start(IDE_BM_READ);
	out8(BM, IDE_BM_READ);
	assert_int_equal(in8(BM + 2), 0);
	/* The drive is busy with memory until the back end is done with it. */
	assert_int_equal(in8(0x3f6) & ATA_BSY, ATA_BSY);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), 0);
	assert_int_equal(in8(0x3f6), 0x58);
	prd(0, 0x30000, 512 | EOT);
	bm_start(IDE_BM_READ);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	fill(want, 4, 1);
	assert_memory_equal(b.mem + 0x30000, want, 512);
	/* Stopped and started while a request is under way: its end is not that of the new table. */
	prd(0, 0x20000, 512 | EOT);
	out8(BM, 0);
	cmd28(0x1f0, 0, 0xc8, 3, 2);
	bm_start(IDE_BM_READ);
	out8(BM, IDE_BM_READ);
	prd(0, 0x30000, 1024 | EOT);
	out8(BM, IDE_BM_READ | IDE_BM_START);
	bench_run(&b);
	assert_int_equal(in8(BM + 2) & IDE_BM_ACTIVE, IDE_BM_ACTIVE);
	assert_true(b.pins.level[14]);
}

/* Resets while the back end writes to memory: BSY until it is over, and no interrupt. */
static void reset_with_dma(void **state)
{
	(void)state;
	prd(0, BENCH_SPLIT - 256, 512 | EOT);
	cmd28(0x1f0, 0, 0xc8, 3, 1);
	bm_start(IDE_BM_READ);
	out8(BM, 0);
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	assert_int_equal(in8(0x1f7), ATA_BSY);
	bench_run(&b);
	expect_signature(0x1f0);
	assert_int_equal(b.mem[BENCH_SPLIT - 256] | b.mem[BENCH_SPLIT - 255], 0); /* dropped */
	assert_int_equal(b.pins.rises[14], 0);
	/* The channel is good for another. */
	dma(0xc8, 3, 1, IDE_BM_READ);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	/* Even if nobody has stopped the bus master: it goes on with the table that it has. */
	prd(0, 0x30000, 512);
	prd(1, 0x31000, 512 | EOT);
	out8(BM, 0);
	cmd28(0x1f0, 0, 0xc8, 3, 1);
	bm_start(IDE_BM_READ);
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	bench_run(&b);
	cmd28(0x1f0, 0, 0xc8, 3, 1);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_memory_equal(b.mem + 0x31000, b.block[0].data + 3 * 512, 512);
}

static void no_bus_master(void **state)
{
	(void)state;
	prd(0, 0x20000, 512 | EOT);
	/* The wrong way round nothing moves. */
	dma(0xc8, 3, 1, 0);
	assert_int_equal(b.block[0].reads, 0);
	assert_int_equal(in8(BM + 2), IDE_BM_ACTIVE);
	out8(BM, 0);
	/* Nor without mastering. */
	set_config(PCI_COMMAND, 2, PCI_COMMAND_IO);
	bm_start(IDE_BM_READ);
	assert_int_equal(b.prd_reads, 0);
	/* Which may come last: what has been started then goes, with a back end that has it at once, too. */
	set_config(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_memory_equal(b.mem + 0x20000, b.block[0].data + 3 * 512, 512);
	set_config(PCI_COMMAND, 2, PCI_COMMAND_IO);
	b.block[0].at_once = true;
	cmd28(0x1f0, 0, 0xc8, 4, 1);
	bm_start(IDE_BM_READ);
	set_config(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_memory_equal(b.mem + 0x20000, b.block[0].data + 4 * 512, 512);
}

static void bm_registers(void **state)
{
	(void)state;
	bench_out(&b, BM + 4, 4, 0xffffffff);
	assert_int_equal(bench_in(&b, BM + 4, 4), 0xfffffffc);
	out8(BM + 5, 0x12);
	bench_out(&b, BM + 6, 2, 0x5678);
	assert_int_equal(bench_in(&b, BM + 4, 4), 0x567812fc);
	assert_int_equal(bench_in(&b, BM + 12, 4), 0);
	bench_out(&b, BM + 0, 4, 0xff60fff8); /* command, nothing, status, nothing */
	assert_int_equal(bench_in(&b, BM, 4), 0x00600008);
	bench_out(&b, BM + 8, 4, 0xffffffff);
	assert_int_equal(bench_in(&b, BM + 8, 4), 0x00610009);
	out8(BM + 8, 0);
	assert_int_equal(in8(BM + 10), 0x60);
}

/* Two drives that want the bus master: the selected one has it. */
static void dma_selection(void **state)
{
	uint8_t want[512];

	(void)state;
	add_disk(1);
	prd(0, 0x20000, 512 | EOT);
	cmd28(0x1f0, 0, 0xc8, 3, 1);
	cmd28(0x1f0, 0x10, 0xc8, 4, 1);
	bm_start(IDE_BM_READ);
	bench_run(&b);
	fill(want, 1004, 1);
	assert_memory_equal(b.mem + 0x20000, want, 512);
	assert_int_equal(b.block[0].reads, 0);
	out8(BM, 0);
	prd(0, 0x30000, 512 | EOT);
	bm_start(IDE_BM_READ);
	assert_int_equal(b.block[0].reads, 0);
	out8(0x1f6, 0xe0);
	bench_run(&b);
	fill(want, 3, 1);
	assert_memory_equal(b.mem + 0x30000, want, 512);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(identity, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(writable_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(decoding, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_channel, setup_empty, teardown),
		cmocka_unit_test_setup_teardown(absent_slave, setup, teardown),
		cmocka_unit_test_setup_teardown(absent_master, setup_empty, teardown),
		cmocka_unit_test_setup_teardown(two_drives, setup, teardown),
		cmocka_unit_test_setup_teardown(busy_drive_takes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(two_channels, setup, teardown),
		cmocka_unit_test_setup_teardown(interrupt_enable, setup, teardown),
		cmocka_unit_test_setup_teardown(wide_accesses, setup, teardown),
		cmocka_unit_test_setup_teardown(software_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_with_a_request, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_drops_data, setup, teardown),
		cmocka_unit_test_setup_teardown(pci_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(diagnostic, setup, teardown),
		cmocka_unit_test_setup_teardown(read_by_dma, setup, teardown),
		cmocka_unit_test_setup_teardown(read_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(dma_started_first, setup, teardown),
		cmocka_unit_test_setup_teardown(write_by_dma, setup, teardown),
		cmocka_unit_test_setup_teardown(dma_ext, setup, teardown),
		cmocka_unit_test_setup_teardown(prd_longer, setup, teardown),
		cmocka_unit_test_setup_teardown(prd_shorter, setup, teardown),
		cmocka_unit_test_setup_teardown(prd_odd_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(prd_many, setup, teardown),
		cmocka_unit_test_setup_teardown(prd_merged, setup, teardown),
		cmocka_unit_test_setup_teardown(bounced, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(dma_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(bounced_error, setup, teardown),
		cmocka_unit_test_setup_teardown(stopping, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_with_dma, setup, teardown),
		cmocka_unit_test_setup_teardown(no_bus_master, setup, teardown),
		cmocka_unit_test_setup_teardown(bm_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(dma_selection, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
