// SPDX-License-Identifier: GPL-2.0-only
/* A CD-ROM drive: ATA/ATAPI-6 for the PACKET protocol, SFF-8020i and MMC-3 for the packets. */
#include "tests/unit/ide_test.h"

#define BLOCKS 600u
#define IRQ    15
#define BM     0xc008

static uint8_t reply[300 * 2352];
static size_t reply_len;

static int setup(void **state)
{
	setup_empty(state);
	fakeblock_init(&b.block[2], BLOCKS * 2048);
	for (size_t i = 0; i < BLOCKS * 2048; i++)
		b.block[2].data[i] = (uint8_t)(i * 3 + i / 2048 * 5 + i / 257);
	return ide_attach_cdrom(&b.ide, 1, 0, &b.block[2].blk, NULL);
}

static bool irq(void)
{
	return b.pins.level[IRQ];
}

static unsigned int byte_count(void)
{
	return in8(0x174) | in8(0x175) << 8;
}

/* Up to where the drive has the packet (9.8). */
static void send_packet(const uint8_t *cdb, uint8_t features, uint16_t limit)
{
	out8(0x176, 0xa0);
	out8(0x171, features);
	out8(0x174, (uint8_t)limit);
	out8(0x175, (uint8_t)(limit >> 8));
	out8(0x177, 0xa0);
	assert_false(irq());
	assert_int_equal(in8(0x376), 0x58);
	assert_int_equal(in8(0x172), ATA_IR_CD);
	assert_int_equal(byte_count(), limit);
	ide_cmd_ops.write_string(&b.ide.channel[1], 0, 2, cdb, 6);
}

/* Data blocks, as long as there are some; then the end. Returns the status. */
static uint8_t finish(uint16_t limit)
{
	uint8_t status;

	reply_len = 0;
	for (;;) {
		unsigned int n;

		bench_run(&b);
		assert_true(irq());
		status = in8(0x177);
		assert_false(irq());
		if (!(status & ATA_DRQ))
			break;
		assert_int_equal(status, 0x58);
		assert_int_equal(in8(0x172), ATA_IR_IO);
		n = byte_count();
		assert_true(n && n <= limit);
		ide_cmd_ops.read_string(&b.ide.channel[1], 0, 2, reply + reply_len, (n + 1) / 2);
		reply_len += n;
	}
	assert_int_equal(in8(0x172), ATA_IR_IO | ATA_IR_CD);
	return status;
}

static uint8_t packet(const uint8_t *cdb, uint16_t limit)
{
	send_packet(cdb, 0, limit);
	return finish(limit);
}

#define PACKET(...) packet((const uint8_t[12]){ __VA_ARGS__ }, 0xfffe)

static void expect_sense(uint8_t key, uint8_t asc, uint8_t ascq)
{
	assert_int_equal(in8(0x171) >> 4, key);
	assert_int_equal(PACKET(0x03, 0, 0, 0, 18), 0x50);
	assert_int_equal(reply_len, 18);
	assert_int_equal(reply[0] & 0x7f, 0x70);
	assert_int_equal(reply[7], 10);
	assert_int_equal(reply[2], key);
	assert_int_equal(reply[12], asc);
	assert_int_equal(reply[13], ascq);
}

/* What every driver does first: take the unit attention of the reset. */
static void be_ready(void)
{
	assert_int_equal(PACKET(0x00), 0x51);
	expect_sense(6, 0x29, 0);
	assert_int_equal(PACKET(0x00), 0x50);
}

/* ------------------------------------------------------------------ the device */

static void signature(void **state)
{
	(void)state;
	assert_int_equal(in8(0x177), 0x00); /* DRDY is clear until there was a command */
	assert_int_equal(in8(0x171), 0x01);
	assert_int_equal(in8(0x172), 0x01);
	assert_int_equal(in8(0x173), 0x01);
	assert_int_equal(byte_count(), 0xeb14);
	/* IDENTIFY DEVICE and READ SECTORS: aborted, with the signature (9.12). */
	out8(0x174, 0);
	out8(0x175, 0);
	out8(0x177, 0xec);
	assert_true(irq());
	assert_int_equal(in8(0x177), 0x51);
	assert_int_equal(in8(0x171), ATA_ABRT);
	assert_int_equal(byte_count(), 0xeb14);
	out8(0x174, 0);
	out8(0x177, 0x20);
	assert_int_equal(in8(0x177), 0x51);
	assert_int_equal(byte_count(), 0xeb14);
}

static void identify_packet(void **state)
{
	uint8_t raw[512], sum = 0;
	uint16_t id[256];

	(void)state;
	out8(0x172, 0x33);
	out8(0x174, 0x44);
	out8(0x177, 0xa1);
	assert_true(irq());
	assert_int_equal(in8(0x172), 0x33); /* no packet, no interrupt reason */
	assert_int_equal(in8(0x174), 0x44);
	assert_int_equal(in8(0x177), 0x58);
	ide_cmd_ops.read_string(&b.ide.channel[1], 0, 2, raw, 256);
	assert_int_equal(in8(0x177), 0x50);
	for (unsigned int i = 0; i < 256; i++) {
		id[i] = (uint16_t)(raw[2 * i] | raw[2 * i + 1] << 8);
		sum += raw[2 * i] + raw[2 * i + 1];
	}
	assert_int_equal(sum, 0);
	assert_int_equal(id[0], 0x85c0);
	assert_int_equal(id[27], 'P' << 8 | 'L');
	assert_int_equal(id[49] & 0x0300, 0x0300);
	assert_int_equal(id[53] & 6, 6);
	assert_int_equal(id[82] & 0x0210, 0x0210); /* PACKET, DEVICE RESET */
	assert_int_equal(id[83] & 0xc000, 0x4000);
	assert_int_equal(id[85], id[82]);
	assert_int_equal(id[88] & 0xff, 0x3f);
	assert_int_equal(id[60] | id[61] | id[100], 0);
}

/* Commands that only disks have are aborted, the others are not. */
static void commands(void **state)
{
	static const uint8_t known[] = { 0x20, 0x90, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0xa0, 0xa1,
					 0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xe6, 0xec, 0xef, 0x08 };

	(void)state;
	for (unsigned int c = 0; c < 256; c++) {
		bool is_known = false;

		for (unsigned int i = 0; i < sizeof(known); i++)
			is_known |= known[i] == c;
		if (is_known)
			continue;
		out8(0x177, (uint8_t)c);
		assert_true(irq());
		assert_int_equal(in8(0x177), 0x51);
		assert_int_equal(in8(0x171), ATA_ABRT);
	}
	out8(0x171, 0x03);
	out8(0x172, 0x42);
	out8(0x177, 0xef);
	assert_int_equal(in8(0x177), 0x50);
	out8(0x171, 0x02); /* it has no write cache */
	out8(0x177, 0xef);
	assert_int_equal(in8(0x177), 0x51);
	out8(0x177, 0xe5);
	assert_int_equal(in8(0x177), 0x50);
	assert_int_equal(in8(0x172), 0xff);
}

/* DEVICE RESET, which it obeys while it's busy, too; the other device is left alone (9.11). */
static void device_reset(void **state)
{
	(void)state;
	be_ready();
	send_packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 1, 0, 0, 1 }, 0, 2048);
	assert_int_equal(b.block[2].waiting, 1);
	out8(0x177, 0x08);
	assert_int_equal(in8(0x376), ATA_BSY);
	bench_run(&b);
	assert_false(irq());
	assert_int_equal(in8(0x177), 0x00);
	assert_int_equal(byte_count(), 0xeb14);
	assert_int_equal(PACKET(0x00), 0x50);
	/* In the middle of data. */
	send_packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 1, 0, 0, 1 }, 0, 2048);
	bench_run(&b);
	assert_int_equal(in8(0x177), 0x58);
	out8(0x177, 0x08);
	assert_int_equal(in8(0x177), 0x00);
	assert_int_equal(bench_in(&b, 0x170, 2), 0xffff);
}

static void overlap_is_refused(void **state)
{
	(void)state;
	out8(0x171, 0x02);
	out8(0x177, 0xa0);
	assert_true(irq());
	assert_int_equal(in8(0x177), 0x51);
	assert_int_equal(in8(0x171), ATA_ABRT);
}

/* ------------------------------------------------------------------ readiness and sense */

static void attention(void **state)
{
	(void)state;
	/* INQUIRY and the like do not wait for it and do not take it. */
	assert_int_equal(PACKET(0x12, 0, 0, 0, 36), 0x50);
	assert_int_equal(PACKET(0x46, 0, 0, 0, 0, 0, 0, 0, 8), 0x50);
	assert_int_equal(PACKET(0x25), 0x51);
	expect_sense(6, 0x29, 0);
	assert_int_equal(PACKET(0x25), 0x50);
	assert_int_equal(PACKET(0x03, 0, 0, 0, 18), 0x50);
	assert_int_equal(reply[2] | reply[12], 0); /* sense data is told once */
	/* REQUEST SENSE itself takes one that waits. */
	out8(0x376, ATA_SRST);
	out8(0x376, 0);
	assert_int_equal(PACKET(0x03, 0, 0, 0, 18), 0x50);
	assert_int_equal(reply[2], 6);
	assert_int_equal(PACKET(0x00), 0x50);
}

static void no_disc(void **state)
{
	static const uint8_t need[] = { 0x00, 0x25, 0x28, 0x2b, 0x42, 0x43,
					0x51, 0x52, 0xa8, 0xad, 0xbe };

	(void)state;
	b.block[2].blk.no_medium = true;
	assert_int_equal(PACKET(0x00), 0x51);
	expect_sense(6, 0x29, 0);
	for (unsigned int i = 0; i < sizeof(need); i++) {
		assert_int_equal(PACKET(need[i], 0, 0, 0, 0, 0, 0, 0, 1), 0x51);
		expect_sense(2, 0x3a, 1);
	}
	assert_int_equal(PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 8), 0x50);
	assert_int_equal(reply[2], 0x70);
	assert_int_equal(PACKET(0x46, 0, 0, 0, 0, 0, 0, 0, 8), 0x50);
	assert_int_equal(reply[6] << 8 | reply[7], 0); /* no current profile */
}

static void unknown_packets(void **state)
{
	static const uint8_t known[] = { 0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25, 0x28,
					 0x2b, 0x42, 0x43, 0x44, 0x46, 0x4a, 0x51, 0x52, 0x55,
					 0x5a, 0xa8, 0xad, 0xb9, 0xbb, 0xbd, 0xbe };

	(void)state;
	be_ready();
	for (unsigned int c = 0; c < 256; c++) {
		bool is_known = false;

		for (unsigned int i = 0; i < sizeof(known); i++)
			is_known |= known[i] == c;
		if (is_known)
			continue;
		assert_int_equal(PACKET((uint8_t)c), 0x51);
		assert_int_equal(in8(0x171), 0x54);
		expect_sense(5, 0x20, 0);
	}
}

static void inquiry(void **state)
{
	(void)state;
	assert_int_equal(PACKET(0x12, 0, 0, 0, 96), 0x50);
	assert_int_equal(reply_len, 36);
	assert_int_equal(reply[0], 0x05);
	assert_int_equal(reply[1], 0x80);
	assert_int_equal(reply[4], 31);
	assert_memory_equal(reply + 8, "PLINTH  CD-ROM          1.0 ", 28);
	assert_int_equal(PACKET(0x12, 0, 0, 0, 5), 0x50);
	assert_int_equal(reply_len, 5); /* an odd length is told as it is */
	assert_int_equal(PACKET(0x12, 0, 0, 0, 0), 0x50);
	assert_int_equal(reply_len, 0);
	assert_int_equal(PACKET(0x12, 1, 0x80, 0, 36), 0x51);
	expect_sense(5, 0x24, 0);
}

/* ------------------------------------------------------------------ reading */

static void capacity(void **state)
{
	(void)state;
	be_ready();
	assert_int_equal(PACKET(0x25), 0x50);
	assert_memory_equal(reply, "\0\0\x02\x57\0\0\x08\0", 8);
}

static void expect_blocks(unsigned int lba, unsigned int n)
{
	assert_int_equal(reply_len, n * 2048);
	assert_memory_equal(reply, b.block[2].data + (size_t)lba * 2048, n * 2048);
}

static void read_10_and_12(void **state)
{
	(void)state;
	be_ready();
	assert_int_equal(PACKET(0x28, 0, 0, 0, 1, 2, 0, 0, 3), 0x50);
	expect_blocks(258, 3);
	assert_int_equal(PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 100), 0x50); /* more than buf has */
	expect_blocks(0, 100);
	assert_int_equal(PACKET(0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 70), 0x50);
	expect_blocks(7, 70);
	assert_int_equal(PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 0), 0x50);
	assert_int_equal(reply_len, 0);
	assert_int_equal(PACKET(0x28, 0, 0, 0, 2, 0x57, 0, 0, 1), 0x50);
	expect_blocks(599, 1);
	assert_int_equal(PACKET(0x28, 0, 0, 0, 2, 0x57, 0, 0, 2), 0x51);
	expect_sense(5, 0x21, 0);
	assert_int_equal(PACKET(0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 0x51);
	expect_sense(5, 0x21, 0);
	assert_int_equal(ide_stats(&b.ide, 1, 0)->kind[ATA_STAT_READ].bytes, 174 * 2048);
}

/* The byte count: what a DRQ block may have at most, cut to sectors where that's possible. */
static void byte_limits(void **state)
{
	static const struct {
		uint16_t limit, first;
	} t[] = { { 2048, 2048 }, { 4096, 4096 },    { 5000, 4096 }, { 512, 512 },
		  { 2049, 2048 }, { 0xffff, 10240 }, { 1000, 1000 }, { 999, 998 } };
	const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 5 };

	(void)state;
	be_ready();
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		send_packet(cdb, 0, t[i].limit);
		bench_run(&b);
		assert_int_equal(byte_count(), t[i].first);
		assert_int_equal(finish(t[i].limit), 0x50);
		expect_blocks(9, 5);
	}
	assert_int_equal(packet(cdb, 0), 0x51);
	expect_sense(5, 0x24, 0);
	assert_int_equal(packet(cdb, 1), 0x51);
	expect_sense(5, 0x24, 0);
}

static void read_by_dma(void **state)
{
	(void)state;
	be_ready();
	prd(0, 0x20000, 3 * 2048 | EOT);
	send_packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 9, 0, 0, 3 }, 1, 0);
	bench_out(&b, BM + 4, 4, PRD);
	out8(BM, IDE_BM_READ | IDE_BM_START);
	bench_run(&b);
	assert_true(irq());
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_int_equal(in8(0x172), 3);
	assert_int_equal(in8(0x177), 0x50);
	assert_memory_equal(b.mem + 0x20000, b.block[2].data + 9 * 2048, 3 * 2048);
	/* What is not on the disc, too; it is shorter than the table. */
	out8(BM, 0);
	out8(BM + 2, IDE_BM_INTR);
	send_packet((const uint8_t[12]){ 0x12, 0, 0, 0, 35 }, 1, 0);
	out8(BM, IDE_BM_READ | IDE_BM_START);
	assert_true(irq());
	assert_int_equal(in8(BM + 2), IDE_BM_INTR | IDE_BM_ACTIVE);
	assert_memory_equal(b.mem + 0x20000 + 8, "PLINTH", 6);
	assert_int_equal(in8(0x177), 0x50);
	/* An error is told without data. */
	out8(BM, 0);
	send_packet((const uint8_t[12]){ 0x28, 0, 0, 0, 9, 9, 0, 0, 3 }, 1, 0);
	out8(BM, IDE_BM_READ | IDE_BM_START);
	assert_int_equal(in8(0x177), 0x51);
	out8(BM, 0);
	expect_sense(5, 0x21, 0);
}

static void read_errors(void **state)
{
	(void)state;
	be_ready();
	b.block[2].fail = -EIO;
	b.block[2].fail_at = 20 * 2048 + 700;
	assert_int_equal(PACKET(0x28, 0, 0, 0, 0, 18, 0, 0, 5), 0x51);
	expect_sense(3, 0x11, 0);
	assert_int_equal(reply[0], 0xf0);
	assert_memory_equal(reply + 3, "\0\0\0\x14", 4);
	b.block[2].fail = -ENOTCONN;
	assert_int_equal(PACKET(0x28, 0, 0, 0, 0, 18, 0, 0, 5), 0x51);
	expect_sense(4, 0x3e, 1);
	assert_int_equal(PACKET(0xbe, 0, 0, 0, 0, 18, 0, 0, 5, 0xf8), 0x51);
	expect_sense(4, 0x3e, 1);
}

/* ------------------------------------------------------------------ READ CD */

/* Multiplication in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1, the long way. */
static uint8_t gf_mul(uint8_t a, uint8_t c)
{
	unsigned int r = 0;

	for (unsigned int i = 0; i < 8; i++)
		r ^= c >> i & 1 ? (unsigned int)a << i : 0;
	for (int i = 14; i >= 8; i--)
		r ^= r >> i & 1 ? 0x11du << (i - 8) : 0;
	return (uint8_t)r;
}

/* H * V = 0 (ECMA-130, annex A): the sum, and that weighted by alpha^(n - 1) down to alpha^0. */
static void expect_code_word(const uint8_t *v, unsigned int n)
{
	uint8_t sum = 0, weighted = 0, weight = 1;

	for (unsigned int i = n; i-- > 0;) {
		sum ^= v[i];
		weighted ^= gf_mul(v[i], weight);
		weight = gf_mul(weight, 2);
	}
	assert_int_equal(sum, 0);
	assert_int_equal(weighted, 0);
}

static void expect_parity(const uint8_t *f)
{
	uint8_t v[45];

	for (unsigned int half = 0; half < 2; half++) {
		for (unsigned int n = 0; n < 43; n++) {
			for (unsigned int m = 0; m < 26; m++)
				v[m] = f[12 + 2 * (43 * m + n) + half];
			expect_code_word(v, 26);
		}
		for (unsigned int n = 0; n < 26; n++) {
			for (unsigned int m = 0; m < 43; m++)
				v[m] = f[12 + 2 * ((44 * m + 43 * n) % 1118) + half];
			v[43] = f[12 + 2 * (43 * 26 + n) + half];
			v[44] = f[12 + 2 * (44 * 26 + n) + half];
			expect_code_word(v, 45);
		}
	}
}

/* The EDC polynomial (x^16 + x^15 + x^2 + 1)(x^16 + x^2 + x + 1), bit by bit over a whole word. */
static uint32_t remainder_of(const uint8_t *f, unsigned int n)
{
	uint64_t r = 0;

	for (unsigned int i = 0; i < 8 * n; i++) {
		r = r << 1 | (f[i / 8] >> i % 8 & 1);
		if (r >> 32)
			r ^= 0x18001801bull;
	}
	return (uint32_t)r;
}

static void raw_frames(void **state)
{
	static const uint8_t sync[12] = { 0,	0xff, 0xff, 0xff, 0xff, 0xff,
					  0xff, 0xff, 0xff, 0xff, 0xff, 0 };

	(void)state;
	be_ready();
	assert_int_equal(PACKET(0xbe, 0, 0, 0, 1, 0x20, 0, 0, 40, 0xf8), 0x50);
	assert_int_equal(reply_len, 40 * 2352);
	for (unsigned int i = 0; i < 40; i++) {
		const uint8_t *f = reply + (size_t)i * 2352;
		unsigned int at = 288 + i + 150;

		assert_memory_equal(f, sync, 12);
		assert_int_equal(f[12], 0);
		assert_int_equal(f[13], at / 75 / 10 << 4 | at / 75 % 10);
		assert_int_equal(f[14], at % 75 / 10 << 4 | at % 75 % 10);
		assert_int_equal(f[15], 1);
		assert_memory_equal(f + 16, b.block[2].data + (288 + i) * 2048, 2048);
		assert_int_equal(remainder_of(f, 2068), 0);
		expect_parity(f);
	}
}

static void read_cd_parts(void **state)
{
	static const struct {
		uint8_t flags;
		unsigned int len;
	} t[] = { { 0x10, 2048 }, { 0x20, 4 },	  { 0x30, 2052 }, { 0x78, 2340 },
		  { 0x80, 12 },	  { 0x18, 2336 }, { 0x40, 0 },	  { 0, 0 } };
	uint8_t frame[2352];

	(void)state;
	be_ready();
	assert_int_equal(PACKET(0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0xf8), 0x50);
	memcpy(frame, reply, sizeof(frame));
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		unsigned int at = t[i].flags & 0x80 ? 0 : t[i].flags & 0x20 ? 12 : 16;

		assert_int_equal(PACKET(0xbe, 0x08, 0, 0, 0, 5, 0, 0, 1, t[i].flags), 0x50);
		assert_int_equal(reply_len, t[i].len);
		assert_memory_equal(reply, frame + at, t[i].len);
	}
	assert_int_equal(PACKET(0xbe, 0x04, 0, 0, 0, 5, 0, 0, 1, 0x10), 0x51);
	expect_sense(5, 0x64, 0); /* there is no audio */
	assert_int_equal(PACKET(0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0xf8, 1), 0x51);
	expect_sense(5, 0x24, 0); /* nor subchannels */
	assert_int_equal(PACKET(0xbe, 0, 0, 0, 2, 0x58, 0, 0, 1, 0xf8), 0x51);
	expect_sense(5, 0x21, 0);
	assert_int_equal(PACKET(0xbe, 0, 0, 0, 2, 0x58, 0, 0, 0, 0xf8), 0x50);
	/* By DMA as well. */
	prd(0, 0x20000, 2352 | EOT);
	send_packet((const uint8_t[12]){ 0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0xf8 }, 1, 0);
	bench_out(&b, BM + 4, 4, PRD);
	out8(BM, IDE_BM_READ | IDE_BM_START);
	bench_run(&b);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_memory_equal(b.mem + 0x20000, frame, sizeof(frame));
}

/* The same by minutes, seconds and frames: block 0 is at 00:02:00, and the end is not read. */
static void read_cd_msf(void **state)
{
	uint8_t frames[2 * 2352];

	(void)state;
	be_ready();
	assert_int_equal(PACKET(0xbe, 0, 0, 0, 0, 74, 0, 0, 2, 0xf8), 0x50);
	memcpy(frames, reply, sizeof(frames));
	assert_int_equal(PACKET(0xb9, 0, 0, 0, 2, 74, 0, 3, 1, 0xf8), 0x50);
	assert_int_equal(reply_len, sizeof(frames));
	assert_memory_equal(reply, frames, sizeof(frames));
	assert_int_equal(PACKET(0xb9, 0x08, 0, 0, 2, 0, 0, 5, 74, 0x10), 0x50);
	expect_blocks(0, 299);
	/* Nothing is no error; backwards, outside of the disc and times that are none are. */
	assert_int_equal(PACKET(0xb9, 0, 0, 0, 3, 0, 0, 3, 0, 0xf8), 0x50);
	assert_int_equal(reply_len, 0);
	assert_int_equal(PACKET(0xb9, 0, 0, 0, 3, 1, 0, 3, 0, 0xf8), 0x51);
	expect_sense(5, 0x24, 0);
	assert_int_equal(PACKET(0xb9, 0, 0, 0, 60, 0, 0, 61, 0, 0xf8), 0x51);
	expect_sense(5, 0x24, 0);
	assert_int_equal(PACKET(0xb9, 0, 0, 0, 2, 0, 0, 2, 75, 0xf8), 0x51);
	expect_sense(5, 0x24, 0);
	assert_int_equal(PACKET(0xb9, 0, 0, 0, 1, 74, 0, 2, 1, 0xf8), 0x51);
	expect_sense(5, 0x21, 0); /* the lead-in */
	assert_int_equal(PACKET(0xb9, 0, 0, 0, 2, 0, 0, 10, 1, 0xf8), 0x51);
	expect_sense(5, 0x21, 0);
	assert_int_equal(PACKET(0xb9, 0, 0, 0xff, 59, 74, 0xff, 59, 74, 0xf8), 0x50);
	assert_int_equal(PACKET(0xb9, 0, 0, 0, 2, 0, 0xff, 59, 74, 0xf8), 0x51);
	expect_sense(5, 0x21, 0);
	assert_int_equal(PACKET(0xb9, 0x04, 0, 0, 2, 0, 0, 2, 1, 0x10), 0x51);
	expect_sense(5, 0x64, 0);
}

/* Which mode a block has, and where it is; in either form. */
static void read_header(void **state)
{
	(void)state;
	be_ready();
	assert_int_equal(PACKET(0x44, 0, 0, 0, 1, 2, 0, 0, 8), 0x50);
	assert_int_equal(reply_len, 8);
	assert_memory_equal(reply, "\1\0\0\0\0\0\1\2", 8);
	assert_int_equal(PACKET(0x44, 2, 0, 0, 1, 2, 0, 1, 0), 0x50);
	assert_int_equal(reply_len, 8);
	assert_memory_equal(reply, "\1\0\0\0\0\0\5\41", 8); /* 258 + 150 frames */
	assert_int_equal(PACKET(0x44, 0, 0, 0, 1, 2, 0, 0, 1), 0x50);
	assert_int_equal(reply_len, 1);
	assert_int_equal(PACKET(0x44, 0, 0, 0, 2, 0x58, 0, 0, 8), 0x51);
	expect_sense(5, 0x21, 0);
}

/* ------------------------------------------------------------------ what is on the disc */

static void read_toc(void **state)
{
	(void)state;
	be_ready();
	assert_int_equal(PACKET(0x43, 0, 0, 0, 0, 0, 0, 0x03, 0x24), 0x50);
	assert_int_equal(reply_len, 20);
	assert_memory_equal(reply, "\0\x12\1\1\0\x14\1\0\0\0\0\0\0\x14\xaa\0\0\0\x02\x58", 20);
	assert_int_equal(PACKET(0x43, 2, 0, 0, 0, 0, 0xaa, 0, 12), 0x50);
	assert_memory_equal(reply, "\0\x0a\1\1\0\x14\xaa\0\0\0\x0a\0", 12); /* 10 s */
	assert_int_equal(PACKET(0x43, 0, 0, 0, 0, 0, 0, 0, 4), 0x50);
	assert_int_equal(reply_len, 4);
	assert_int_equal(PACKET(0x43, 0, 0, 0, 0, 0, 2, 0, 12), 0x51);
	expect_sense(5, 0x24, 0);
	assert_int_equal(PACKET(0x43, 0, 1, 0, 0, 0, 0, 0, 12), 0x50);
	assert_memory_equal(reply, "\0\x0a\1\1\0\x14\1\0\0\0\0\0", 12);
	assert_int_equal(PACKET(0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40), 0x50);
	assert_memory_equal(reply, "\0\x0a\1\1\0\x14\1\0\0\0\0\0", 12);
	assert_int_equal(PACKET(0x43, 2, 2, 0, 0, 0, 0, 0, 255), 0x50);
	assert_int_equal(reply_len, 4 + 4 * 11);
	assert_int_equal(reply[1], 2 + 4 * 11);
	assert_memory_equal(reply + 4 + 3, "\xa0\0\0\0\0\1\0\0", 8);
	assert_memory_equal(reply + 15 + 3, "\xa1\0\0\0\0\1\0\0", 8);
	assert_memory_equal(reply + 26 + 3, "\xa2\0\0\0\0\0\x0a\0", 8);
	assert_memory_equal(reply + 37 + 3, "\x01\0\0\0\0\0\x02\0", 8);
	assert_int_equal(PACKET(0x43, 0, 5, 0, 0, 0, 0, 0, 255), 0x51);
	expect_sense(5, 0x24, 0);
}

static void configuration(void **state)
{
	unsigned int n = 0;

	(void)state;
	assert_int_equal(PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0), 0x50);
	assert_int_equal((unsigned int)reply[2] << 8 | reply[3], reply_len - 4);
	assert_int_equal(reply[6] << 8 | reply[7], 0x0008);
	for (size_t i = 8; i < reply_len; i += 4u + reply[i + 3])
		n++;
	assert_int_equal(n, 8);
	/* Only current ones, from 3 on. */
	assert_int_equal(PACKET(0x46, 1, 0, 3, 0, 0, 0, 1, 0), 0x50);
	for (size_t i = 8; i < reply_len; i += 4u + reply[i + 3]) {
		assert_true((reply[i] << 8 | reply[i + 1]) >= 3);
		assert_int_equal(reply[i + 2] & 1, 1);
	}
	/* One, and one that is not there. */
	assert_int_equal(PACKET(0x46, 2, 0, 0x10, 0, 0, 0, 1, 0), 0x50);
	assert_int_equal(reply_len, 8 + 12);
	assert_memory_equal(reply + 12, "\0\0\x08\0\0\x10", 6);
	assert_int_equal(PACKET(0x46, 2, 0, 0x20, 0, 0, 0, 1, 0), 0x50);
	assert_int_equal(reply_len, 8);
	assert_int_equal(PACKET(0x46, 3, 0, 0, 0, 0, 0, 1, 0), 0x51);
}

/* A disc that is larger than any CD is a DVD. */
static void dvd(void **state)
{
	struct block blk = b.block[2].blk;

	(void)state;
	be_ready();
	assert_int_equal(PACKET(0xad, 0, 0, 0, 0, 0, 0, 0, 8), 0x51);
	expect_sense(5, 0x30, 2);
	blk.size = 4ull << 30;
	assert_int_equal(ide_change_disc(&b.ide, 1, 0, &blk), 0);
	assert_int_equal(PACKET(0x00), 0x51);
	expect_sense(6, 0x28, 0);
	assert_int_equal(PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0), 0x50);
	assert_int_equal(reply[6] << 8 | reply[7], 0x0010);
	assert_int_equal(PACKET(0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4), 0x50);
	assert_int_equal(reply_len, 2052);
	assert_memory_equal(reply + 8, "\0\3\0\0\0\x22\xff\xff", 8);
	assert_int_equal(PACKET(0xad, 0, 0, 0, 0, 0, 0, 1, 0, 8), 0x50);
	assert_int_equal(reply_len, 8);
}

static void information(void **state)
{
	(void)state;
	be_ready();
	assert_int_equal(PACKET(0x51, 0, 0, 0, 0, 0, 0, 0, 34), 0x50);
	assert_int_equal(reply[1], 32);
	assert_int_equal(reply[2] & 0x0f, 0x0e);
	assert_int_equal(PACKET(0x52, 1, 0, 0, 0, 1, 0, 0, 36), 0x50);
	assert_memory_equal(reply + 24, "\0\0\x02\x58", 4);
	assert_int_equal(PACKET(0x52, 1, 0, 0, 0, 2, 0, 0, 36), 0x51);
	expect_sense(5, 0x24, 0);
	assert_int_equal(PACKET(0x42, 0, 0x40, 1, 0, 0, 0, 0, 16), 0x50);
	assert_int_equal(reply[1], 0x15);
	assert_int_equal(reply[3], 12);
	assert_int_equal(reply[6], 1);
	assert_int_equal(PACKET(0x42, 0, 0, 1, 0, 0, 0, 0, 16), 0x50);
	assert_int_equal(reply_len, 4);
	assert_int_equal(PACKET(0x42, 0, 0x40, 3, 0, 0, 0, 0, 24), 0x50);
	assert_int_equal(reply[8], 0); /* no recording code */
	assert_int_equal(PACKET(0x42, 0, 0x40, 7, 0, 0, 0, 0, 24), 0x51);
	assert_int_equal(PACKET(0x2b, 0, 0, 0, 2, 0x57), 0x50);
	assert_int_equal(PACKET(0x2b, 0, 0, 0, 2, 0x58), 0x51);
	expect_sense(5, 0x21, 0);
	assert_int_equal(PACKET(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 0x50);
	assert_int_equal(reply_len, 8);
}

/* ------------------------------------------------------------------ the tray */

static unsigned int media_event(unsigned int *status)
{
	assert_int_equal(PACKET(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 0x50);
	assert_memory_equal(reply, "\0\x06\x04\x10", 4);
	*status = reply[5];
	return reply[4];
}

static void tray(void **state)
{
	unsigned int status;

	(void)state;
	be_ready();
	assert_int_equal(media_event(&status), 0);
	assert_int_equal(status, 2);
	assert_int_equal(PACKET(0x1e, 0, 0, 0, 1), 0x50);
	assert_int_equal(PACKET(0x1b, 0, 0, 0, 2), 0x51); /* locked */
	expect_sense(5, 0x53, 2);
	assert_int_equal(ide_change_disc(&b.ide, 1, 0, &b.block[2].blk), -EPERM);
	assert_int_equal(media_event(&status), 1);
	assert_int_equal(PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 28), 0x50);
	assert_int_equal(reply[8 + 6] & 2, 2);
	assert_int_equal(PACKET(0x1e, 0, 0, 0, 0), 0x50);
	assert_int_equal(PACKET(0x1b, 0, 0, 0, 2), 0x50);
	assert_int_equal(media_event(&status), 3);
	assert_int_equal(status, 1);
	assert_int_equal(media_event(&status), 0); /* told once */
	assert_int_equal(PACKET(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 0x50);
	assert_int_equal(reply[1] & 0x10, 0x10);
	assert_int_equal(PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 0x51);
	expect_sense(2, 0x3a, 2);
	assert_int_equal(PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 8), 0x50);
	assert_int_equal(reply[2], 0x71);
	assert_int_equal(PACKET(0x1b, 0, 0, 0, 3), 0x50);
	assert_int_equal(media_event(&status), 2);
	assert_int_equal(PACKET(0x00), 0x51);
	expect_sense(6, 0x28, 0);
	assert_int_equal(PACKET(0x00), 0x50);
	assert_int_equal(PACKET(0x1b, 0, 0, 0, 0), 0x50); /* only stops the motor */
	assert_int_equal(PACKET(0x00), 0x50);
	assert_int_equal(PACKET(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), 0x51);
	expect_sense(5, 0x24, 0);
	assert_int_equal(PACKET(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8), 0x50);
	assert_int_equal(reply[2] & 0x80, 0x80);
}

static void changing(void **state)
{
	struct fakeblock other;

	(void)state;
	be_ready();
	assert_int_equal(ide_change_disc(&b.ide, 0, 0, &b.block[2].blk), -EINVAL);
	fakeblock_init(&other, 10 * 2048);
	send_packet((const uint8_t[12]){ 0x28, 0, 0, 0, 0, 1, 0, 0, 1 }, 0, 2048);
	assert_int_equal(ide_change_disc(&b.ide, 1, 0, &other.blk), -EBUSY);
	assert_int_equal(finish(2048), 0x50);
	assert_int_equal(ide_change_disc(&b.ide, 1, 0, &other.blk), 0);
	assert_int_equal(PACKET(0x25), 0x51);
	expect_sense(6, 0x28, 0);
	assert_int_equal(PACKET(0x25), 0x50);
	assert_int_equal(reply[3], 9);
	/* Out with it, and nothing in. */
	other.blk.no_medium = true;
	assert_int_equal(ide_change_disc(&b.ide, 1, 0, &other.blk), 0);
	assert_int_equal(PACKET(0x25), 0x51);
	expect_sense(6, 0x28, 0);
	assert_int_equal(PACKET(0x25), 0x51);
	expect_sense(2, 0x3a, 1);
	free(other.data);
}

/* ------------------------------------------------------------------ mode pages */

static void mode_sense(void **state)
{
	(void)state;
	be_ready();
	assert_int_equal(PACKET(0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0), 0x50);
	assert_int_equal((unsigned int)reply[0] << 8 | reply[1], reply_len - 2);
	assert_int_equal(reply_len, 8 + 8 + 16 + 20);
	assert_int_equal(reply[2], 1);
	assert_int_equal(reply[8], 0x01);
	assert_int_equal(reply[16], 0x0e);
	assert_int_equal(reply[32], 0x2a);
	assert_int_equal(PACKET(0x1a, 0, 0x2a, 0, 255), 0x50);
	assert_int_equal(reply[0], reply_len - 1);
	assert_int_equal(reply_len, 4 + 20);
	assert_int_equal(PACKET(0x5a, 0, 0xea, 0, 0, 0, 0, 1, 0), 0x51);
	expect_sense(5, 0x39, 0);
	assert_int_equal(PACKET(0x5a, 0, 0x05, 0, 0, 0, 0, 1, 0), 0x51);
	expect_sense(5, 0x24, 0);
	/* The speed that was set is the current one. */
	assert_int_equal(PACKET(0xbb, 0, 0x01, 0x60, 0xff, 0xff), 0x50);
	assert_int_equal(PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0), 0x50);
	assert_int_equal(reply[8 + 14] << 8 | reply[8 + 15], 352);
	assert_int_equal(reply[8 + 8] << 8 | reply[8 + 9], 7056);
	assert_int_equal(PACKET(0xbb, 0, 0xff, 0xff, 0xff, 0xff), 0x50);
	assert_int_equal(PACKET(0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0), 0x50);
	assert_int_equal(reply[8 + 14] << 8 | reply[8 + 15], 7056);
}

static uint8_t mode_select(const uint8_t *list, uint8_t len)
{
	send_packet((const uint8_t[12]){ 0x55, 0x10, 0, 0, 0, 0, 0, 0, len }, 0, 0xfffe);
	if (in8(0x376) & ATA_DRQ) {
		assert_true(irq());
		assert_int_equal(in8(0x172), 0);
		assert_int_equal(byte_count(), len);
		in8(0x177);
		ide_cmd_ops.write_string(&b.ide.channel[1], 0, 2, list, (len + 1u) / 2);
	}
	return finish(0xfffe);
}

static void mode_selecting(void **state)
{
	uint8_t list[32] = { 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 6, 0x20, 9 };

	(void)state;
	be_ready();
	assert_int_equal(mode_select(list, 16), 0x50);
	assert_int_equal(PACKET(0x5a, 0, 0x01, 0, 0, 0, 0, 1, 0), 0x50);
	assert_memory_equal(reply + 8, list + 8, 8);
	assert_int_equal(PACKET(0x5a, 0, 0x81, 0, 0, 0, 0, 1, 0), 0x50); /* default */
	assert_memory_equal(reply + 8, "\1\6\0\5\0\0\0\0", 8);
	assert_int_equal(PACKET(0x5a, 0, 0x41, 0, 0, 0, 0, 1, 0), 0x50); /* changeable */
	assert_memory_equal(reply + 8, "\1\6\xff\xff\0\0\0\0", 8);
	list[11] = 1;
	list[12] = 1; /* not changeable: nothing of it is taken */
	assert_int_equal(mode_select(list, 16), 0x51);
	expect_sense(5, 0x26, 0);
	assert_int_equal(PACKET(0x5a, 0, 0x01, 0, 0, 0, 0, 1, 0), 0x50);
	assert_int_equal(reply[11], 9);
	assert_int_equal(mode_select(list, 15), 0x51); /* cut off */
	expect_sense(5, 0x26, 0);
	assert_int_equal(mode_select(list, 4), 0x51);
	expect_sense(5, 0x1a, 0);
	assert_int_equal(mode_select(list, 8), 0x50); /* no page at all */
	assert_int_equal(mode_select(list, 0), 0x50);
	assert_int_equal(PACKET(0x55, 0x11, 0, 0, 0, 0, 0, 0, 16), 0x51);
	expect_sense(5, 0x24, 0);
	/* By DMA */
	prd(0, 0x20000, 16 | EOT);
	list[12] = 0;
	memcpy(b.mem + 0x20000, list, 16);
	send_packet((const uint8_t[12]){ 0x55, 0x10, 0, 0, 0, 0, 0, 0, 16 }, 1, 0);
	bench_out(&b, BM + 4, 4, PRD);
	out8(BM, IDE_BM_START);
	assert_int_equal(in8(BM + 2), IDE_BM_INTR);
	assert_int_equal(in8(0x177), 0x50);
	assert_int_equal(PACKET(0x5a, 0, 0x01, 0, 0, 0, 0, 1, 0), 0x50);
	assert_int_equal(reply[11], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(signature, setup, teardown),
		cmocka_unit_test_setup_teardown(identify_packet, setup, teardown),
		cmocka_unit_test_setup_teardown(commands, setup, teardown),
		cmocka_unit_test_setup_teardown(device_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(overlap_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(attention, setup, teardown),
		cmocka_unit_test_setup_teardown(no_disc, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(inquiry, setup, teardown),
		cmocka_unit_test_setup_teardown(capacity, setup, teardown),
		cmocka_unit_test_setup_teardown(read_10_and_12, setup, teardown),
		cmocka_unit_test_setup_teardown(byte_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(read_by_dma, setup, teardown),
		cmocka_unit_test_setup_teardown(read_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(raw_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(read_cd_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(read_cd_msf, setup, teardown),
		cmocka_unit_test_setup_teardown(read_header, setup, teardown),
		cmocka_unit_test_setup_teardown(read_toc, setup, teardown),
		cmocka_unit_test_setup_teardown(configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(dvd, setup, teardown),
		cmocka_unit_test_setup_teardown(information, setup, teardown),
		cmocka_unit_test_setup_teardown(tray, setup, teardown),
		cmocka_unit_test_setup_teardown(changing, setup, teardown),
		cmocka_unit_test_setup_teardown(mode_sense, setup, teardown),
		cmocka_unit_test_setup_teardown(mode_selecting, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
