// SPDX-License-Identifier: GPL-2.0-only
/* A disk's commands, with T13/1410D (ATA/ATAPI-6) as what it is held against. By PIO here. */
#include "tests/unit/ide_test.h"

#define SECTORS 2048u /* 1 MiB */
#define IRQ	14

static void fill(uint8_t *p, uint64_t from, size_t sectors)
{
	for (size_t i = 0; i < sectors * 512; i++)
		p[i] = (uint8_t)((from + i / 512) * 7 + i % 512 * 3 + (i & 255) / 17);
}

static int setup(void **state)
{
	setup_empty(state);
	fakeblock_init(&b.block[0], SECTORS * 512);
	fill(b.block[0].data, 0, SECTORS);
	return ide_attach_disk(&b.ide, 0, 0, &b.block[0].blk, NULL);
}

static uint8_t alt(void)
{
	return in8(0x3f6);
}

static bool irq(void)
{
	return b.pins.level[IRQ];
}

/* Issue a command with a 28-bit address. */
static void cmd28(uint8_t command, uint32_t lba, uint8_t count)
{
	out8(0x1f2, count);
	out8(0x1f3, (uint8_t)lba);
	out8(0x1f4, (uint8_t)(lba >> 8));
	out8(0x1f5, (uint8_t)(lba >> 16));
	out8(0x1f6, (uint8_t)(0xe0 | (lba >> 24 & 15)));
	out8(0x1f7, command);
}

static void cmd48(uint8_t command, uint64_t lba, uint16_t count)
{
	out8(0x1f6, 0xe0);
	out8(0x1f2, (uint8_t)(count >> 8));
	out8(0x1f2, (uint8_t)count);
	for (unsigned int i = 0; i < 3; i++) {
		out8(0x1f3 + i, (uint8_t)(lba >> (24 + 8 * i)));
		out8(0x1f3 + i, (uint8_t)(lba >> 8 * i));
	}
	out8(0x1f7, command);
}

static void cmd_features(uint8_t feature, uint8_t count)
{
	out8(0x1f1, feature);
	out8(0x1f2, count);
	out8(0x1f6, 0xa0);
	out8(0x1f7, 0xef);
}

static uint32_t got_lba(void)
{
	return in8(0x1f3) | (uint32_t)in8(0x1f4) << 8 | (uint32_t)in8(0x1f5) << 16 |
	       (in8(0x1f6) & 15u) << 24;
}

static void words_in(uint8_t *p, size_t words)
{
	ide_cmd_ops.read_string(&b.ide.channel[0], 0, 2, p, (unsigned int)words);
}

static void words_out(const uint8_t *p, size_t words)
{
	ide_cmd_ops.write_string(&b.ide.channel[0], 0, 2, p, (unsigned int)words);
}

/* The command ended well, with an interrupt that the status register's read takes back. */
static void expect_good(void)
{
	bench_run(&b);
	assert_true(irq());
	assert_int_equal(alt(), 0x50);
	assert_true(irq());
	assert_int_equal(in8(0x1f7), 0x50);
	assert_false(irq());
	assert_int_equal(in8(0x1f1), 0);
}

static void expect_error(uint8_t status, uint8_t error)
{
	bench_run(&b);
	assert_true(irq());
	assert_int_equal(in8(0x1f7), status);
	assert_false(irq());
	assert_int_equal(in8(0x1f1), error);
}

#define expect_abort() expect_error(0x51, ATA_ABRT)

/* ------------------------------------------------------------------ identification */

static void get_identify(uint16_t *id)
{
	uint8_t raw[512], sum = 0;

	out8(0x1f6, 0xa0);
	out8(0x1f7, 0xec);
	assert_true(irq());
	assert_int_equal(in8(0x1f7), 0x58);
	words_in(raw, 256);
	assert_int_equal(in8(0x1f7), 0x50);
	assert_false(irq());
	for (unsigned int i = 0; i < 256; i++) {
		id[i] = (uint16_t)(raw[2 * i] | raw[2 * i + 1] << 8);
		sum += raw[2 * i] + raw[2 * i + 1];
	}
	assert_int_equal(sum, 0); /* 8.15.62 */
}

static void identify_words(void **state)
{
	uint16_t id[256];
	char text[41] = { 0 };

	(void)state;
	get_identify(id);
	assert_int_equal(id[0] & 0x8000, 0); /* an ATA device */
	assert_int_equal(id[1], SECTORS / (16 * 63));
	assert_int_equal(id[3], 16);
	assert_int_equal(id[6], 63);
	for (unsigned int i = 0; i < 20; i++) {
		text[2 * i] = (char)(id[27 + i] >> 8);
		text[2 * i + 1] = (char)id[27 + i];
	}
	assert_string_equal(text, "PLINTH DISK                             ");
	assert_int_equal(id[10], 'P' << 8 | 'L');
	assert_int_equal(id[23], '1' << 8 | '.');
	assert_int_equal(id[47], 0x8010);
	assert_int_equal(id[49] & 0x0f00, 0x0f00);
	assert_int_equal(id[50] & 0xc000, 0x4000);
	assert_int_equal(id[53], 7);
	assert_int_equal(id[54], id[1]);
	assert_int_equal(id[57] | id[58] << 16, id[54] * id[55] * id[56]);
	assert_int_equal(id[59], 0x0110);
	assert_int_equal(id[60] | id[61] << 16, SECTORS);
	assert_int_equal(id[63], 0x0007);
	assert_int_equal(id[64] & 3, 3);
	assert_true(id[65] >= 120 && id[66] >= 120 && id[67] >= 120 && id[68] >= 120);
	assert_int_equal(id[80], 0x0070);
	/* Words that are to have bit 14 set and 15 clear say so. */
	for (unsigned int w = 83; w <= 87; w += w == 84 ? 3 : 1)
		assert_int_equal(id[w] & 0xc000, 0x4000);
	assert_int_equal(id[82], 0x7469);
	assert_int_equal(id[83] & 0x3400, 0x3400);
	assert_int_equal(id[85], 0x7469);
	assert_int_equal(id[86], id[83] & 0x3fff);
	assert_int_equal(id[88], 0x003f);
	assert_int_equal(id[93] & 0xe001, 0x4001);
	assert_int_equal(id[93] & 0x1f00, 0); /* device 0 has nothing of device 1's */
	assert_int_equal(id[100] | id[101] << 16, SECTORS);
	assert_int_equal(id[102] | id[103], 0);
	assert_int_equal(id[255] & 0xff, 0xa5);
}

static void identify_of_a_big_disk(void **state)
{
	struct block blk = b.block[0].blk;
	uint16_t id[256];

	(void)state;
	/* Nothing is read: only its size is big. */
	blk.size = 3ull << 40;
	b.ide.channel[0].drive[0].kind = ATA_NONE;
	assert_int_equal(ide_attach_disk(&b.ide, 0, 0, &blk, NULL), 0);
	get_identify(id);
	assert_int_equal(id[1], 16383);
	assert_int_equal(id[60] | id[61] << 16, 0x0fffffff);
	assert_int_equal(id[100] | (uint32_t)id[101] << 16, (3ull << 40) / 512 & 0xffffffff);
	assert_int_equal(id[102], (3ull << 40) / 512 >> 32);
}

static void attaching(void **state)
{
	const struct ide_drive_config config = { "M\x01", "0123456789012345678901234", "F" };
	struct block blk = b.block[0].blk;
	uint16_t id[256];

	(void)state;
	assert_int_equal(ide_attach_disk(&b.ide, 0, 0, &blk, NULL), -EBUSY);
	assert_int_equal(ide_attach_disk(&b.ide, 2, 0, &blk, NULL), -EINVAL);
	assert_int_equal(ide_attach_disk(&b.ide, 0, 2, &blk, NULL), -EINVAL);
	blk.size = 511;
	assert_int_equal(ide_attach_disk(&b.ide, 0, 1, &blk, NULL), -ENXIO);
	blk.size = 1ull << 57;
	assert_int_equal(ide_attach_disk(&b.ide, 0, 1, &blk, NULL), -EFBIG);
	b.ide.channel[0].drive[0].kind = ATA_NONE;
	assert_int_equal(ide_attach_disk(&b.ide, 0, 0, &b.block[0].blk, &config), 0);
	get_identify(id);
	assert_int_equal(id[27], 'M' << 8 | '?');
	assert_int_equal(id[19], '8' << 8 | '9');
	assert_int_equal(id[20], 0);
}

/* ------------------------------------------------------------------ reading and writing */

static void read_one_block(uint32_t lba)
{
	uint8_t got[512], want[512];

	bench_run(&b);
	assert_true(irq());
	assert_int_equal(in8(0x1f7), 0x58);
	assert_false(irq());
	words_in(got, 256);
	fill(want, lba, 1);
	assert_memory_equal(got, want, 512);
}

static void read_sectors(void **state)
{
	(void)state;
	cmd28(0x20, 5, 3);
	assert_int_equal(alt() & 0x88, 0x80);
	assert_false(irq());
	for (unsigned int i = 0; i < 3; i++)
		read_one_block(5 + i);
	assert_false(irq()); /* none after the last */
	assert_int_equal(in8(0x1f7), 0x50);
	assert_int_equal(got_lba(), 7);
	assert_int_equal(in8(0x1f2), 0);
	assert_int_equal(b.block[0].reads, 1);
	/* The interrupt of a block that nobody has asked for by status stays. */
	cmd28(0x21, 5, 1);
	bench_run(&b);
	words_in((uint8_t[512]){ 0 }, 256);
	assert_true(irq());
	assert_int_equal(in8(0x1f7), 0x50);
	assert_false(irq());
}

static void read_256(void **state)
{
	(void)state;
	cmd28(0x20, 100, 0); /* 0 stands for 256 */
	for (unsigned int i = 0; i < 256; i++)
		read_one_block(100 + i);
	assert_int_equal(in8(0x1f7), 0x50);
	assert_int_equal(b.block[0].reads, 2); /* what the buffer holds at a time */
}

static void read_ext(void **state)
{
	(void)state;
	cmd48(0x24, 1500, 0x0102);
	for (unsigned int i = 0; i < 0x102; i++)
		read_one_block(1500 + i);
	assert_int_equal(in8(0x1f7), 0x50);
	/* Both halves of the registers can be read (7.8.2). */
	cmd48(0x24, 0x123456789aull, 0x0203);
	expect_error(0x51, ATA_IDNF);
	out8(0x3f6, 0);
	assert_int_equal(in8(0x1f3), 0x9a);
	assert_int_equal(in8(0x1f4), 0x78);
	assert_int_equal(in8(0x1f5), 0x56);
	assert_int_equal(in8(0x1f2), 0x03);
	out8(0x3f6, ATA_HOB);
	assert_int_equal(in8(0x1f3), 0x34);
	assert_int_equal(in8(0x1f4), 0x12);
	assert_int_equal(in8(0x1f5), 0x00);
	assert_int_equal(in8(0x1f2), 0x02);
	out8(0x1f1, 0); /* any write to the command block clears HOB */
	assert_int_equal(in8(0x1f3), 0x9a);
}

static void read_multiple(void **state)
{
	uint8_t got[16 * 512], want[16 * 512];

	(void)state;
	cmd28(0xc4, 10, 20); /* 16 and 4 */
	bench_run(&b);
	assert_int_equal(in8(0x1f7), 0x58);
	words_in(got, 16 * 256);
	fill(want, 10, 16);
	assert_memory_equal(got, want, sizeof(got));
	assert_true(irq());
	assert_int_equal(in8(0x1f7), 0x58);
	words_in(got, 4 * 256);
	fill(want, 26, 4);
	assert_memory_equal(got, want, 4 * 512);
	assert_false(irq());
	assert_int_equal(in8(0x1f7), 0x50);
}

static void set_multiple(void **state)
{
	static const uint8_t bad[] = { 3, 5, 17, 32, 255 };
	uint16_t id[256];

	(void)state;
	for (unsigned int n = 1; n <= 16; n *= 2) {
		cmd28(0xc6, 0, (uint8_t)n);
		expect_good();
		get_identify(id);
		assert_int_equal(id[59], 0x100 | n);
	}
	for (unsigned int i = 0; i < sizeof(bad); i++) {
		cmd28(0xc6, 0, bad[i]);
		expect_abort();
	}
	cmd28(0xc4, 0, 1); /* still 16 */
	bench_run(&b);
	words_in((uint8_t[512]){ 0 }, 256);
	cmd28(0xc6, 0, 0);
	expect_good();
	get_identify(id);
	assert_int_equal(id[59], 0);
	for (unsigned int i = 0; i < 4; i++) {
		static const uint8_t multiple[] = { 0xc4, 0xc5, 0x29, 0x39 };

		cmd28(multiple[i], 0, 1);
		expect_abort();
	}
}

static void write_sectors(void **state)
{
	uint8_t data[3 * 512];

	(void)state;
	fill(data, 777, 3);
	cmd28(0x30, 20, 3);
	assert_false(irq()); /* the first block is asked for by DRQ alone */
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(in8(0x1f7), 0x58);
		words_out(data + 512 * i, 256);
		if (i < 2)
			assert_true(irq());
	}
	assert_int_equal(alt() & 0x88, 0x80);
	assert_false(irq());
	assert_memory_not_equal(b.block[0].data + 20 * 512, data, sizeof(data));
	expect_good();
	assert_memory_equal(b.block[0].data + 20 * 512, data, sizeof(data));
	assert_int_equal(got_lba(), 22);
	assert_int_equal(b.block[0].flushes, 0); /* the write cache is on */
}

static void write_forms(void **state)
{
	static const struct {
		uint8_t command;
		bool ext;
		unsigned int flushes;
	} form[] = { { 0x30, false, 0 }, { 0x31, false, 0 }, { 0xc5, false, 0 },
		     { 0x34, true, 0 },	 { 0x39, true, 0 },  { 0xce, true, 1 } };
	uint8_t data[5 * 512];

	(void)state;
	for (unsigned int i = 0; i < sizeof(form) / sizeof(form[0]); i++) {
		unsigned int before = b.block[0].flushes;

		fill(data, 1000 + i, 5);
		if (form[i].ext)
			cmd48(form[i].command, 300 + 10 * i, 5);
		else
			cmd28(form[i].command, 300 + 10 * i, 5);
		words_out(data, 5 * 256);
		in8(0x1f7);
		expect_good();
		assert_memory_equal(b.block[0].data + (300 + 10 * i) * 512, data, sizeof(data));
		assert_int_equal(b.block[0].flushes - before, form[i].flushes);
	}
}

static void write_longer_than_the_buffer(void **state)
{
	static uint8_t data[300 * 512];

	(void)state;
	fill(data, 4000, 300);
	cmd48(0x39, 50, 300);
	for (unsigned int done = 0; done < 300; done += 16) {
		unsigned int n = 300 - done < 16 ? 300 - done : 16;

		bench_run(&b);
		assert_int_equal(in8(0x1f7), 0x58);
		words_out(data + done * 512, n * 256);
	}
	expect_good();
	assert_memory_equal(b.block[0].data + 50 * 512, data, sizeof(data));
}

/* With the write cache off a write has ended only when it is durable. */
static void write_cache_off(void **state)
{
	uint8_t data[512] = { 1, 2, 3 };
	uint16_t id[256];

	(void)state;
	b.block[0].dirty = true;
	cmd_features(0x82, 0);
	assert_int_equal(alt() & ATA_BSY, ATA_BSY);
	expect_good();
	assert_false(b.block[0].dirty);
	get_identify(id);
	assert_int_equal(id[85] & 0x20, 0);
	cmd28(0x30, 8, 1);
	words_out(data, 256);
	assert_true(fakeblock_step(&b.block[0]));
	assert_true(b.block[0].dirty);
	assert_int_equal(alt() & ATA_BSY, ATA_BSY);
	assert_false(irq());
	assert_true(fakeblock_step(&b.block[0]));
	assert_false(b.block[0].dirty);
	expect_good();
	/* A reset by software does not turn it on behind the host's back. */
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	get_identify(id);
	assert_int_equal(id[85] & 0x20, 0);
	cmd_features(0x02, 0);
	expect_good();
	get_identify(id);
	assert_int_equal(id[85] & 0x20, 0x20);
	/* And a flush that fails says so. */
	cmd_features(0x82, 0);
	expect_good();
	b.block[0].fail = -EIO;
	b.block[0].fail_flush = true;
	cmd28(0x30, 8, 1);
	words_out(data, 256);
	expect_error(0x71, ATA_ABRT);
}

static void flush(void **state)
{
	static const uint8_t commands[] = { 0xe7, 0xea };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		b.block[0].dirty = true;
		out8(0x1f6, 0xe0);
		out8(0x1f7, commands[i]);
		assert_int_equal(alt() & ATA_BSY, ATA_BSY);
		assert_false(irq());
		expect_good();
		assert_false(b.block[0].dirty);
	}
	b.block[0].fail = -ENOSPC;
	b.block[0].fail_flush = true;
	out8(0x1f7, 0xe7);
	expect_error(0x71, ATA_ABRT);
}

static void verify_and_seek(void **state)
{
	(void)state;
	cmd28(0x40, 3, 200);
	expect_good();
	assert_int_equal(b.block[0].reads, 2);
	assert_int_equal(got_lba(), 202);
	cmd48(0x42, 3, 200);
	expect_good();
	cmd28(0x70, SECTORS - 1, 0);
	expect_good();
	cmd28(0x70, SECTORS, 0);
	expect_error(0x51, ATA_IDNF);
	cmd28(0x10, 0, 0);
	expect_good();
	b.block[0].fail = -EIO;
	b.block[0].fail_at = 150 * 512;
	cmd28(0x40, 3, 200);
	expect_error(0x51, ATA_UNC);
	assert_int_equal(got_lba(), 150);
	assert_int_equal(in8(0x1f2), 53);
}

/* ------------------------------------------------------------------ cylinders, heads, sectors */

static void chs_cmd(uint8_t command, unsigned int c, unsigned int h, unsigned int s)
{
	out8(0x1f2, 1);
	out8(0x1f3, (uint8_t)s);
	out8(0x1f4, (uint8_t)c);
	out8(0x1f5, (uint8_t)(c >> 8));
	out8(0x1f6, (uint8_t)(0xa0 | h));
	out8(0x1f7, command);
}

static void chs(void **state)
{
	uint16_t id[256];

	(void)state;
	chs_cmd(0x20, 1, 2, 3);
	read_one_block((1 * 16 + 2) * 63 + 2);
	chs_cmd(0x20, 0, 0, 0); /* there is no sector 0 */
	expect_error(0x51, ATA_IDNF);
	chs_cmd(0x20, 0, 0, 64);
	expect_error(0x51, ATA_IDNF);
	chs_cmd(0x20, 2, 0, 1); /* two cylinders: 0 and 1 */
	expect_error(0x51, ATA_IDNF);
	/* INITIALIZE DEVICE PARAMETERS: 4 heads of 10 sectors */
	out8(0x1f2, 10);
	out8(0x1f6, 0xa3);
	out8(0x1f7, 0x91);
	expect_good();
	get_identify(id);
	assert_int_equal(id[54], SECTORS / 40);
	assert_int_equal(id[55], 4);
	assert_int_equal(id[56], 10);
	assert_int_equal(id[1], 2); /* the default stays what it is */
	chs_cmd(0x20, 50, 3, 10);
	read_one_block((50 * 4 + 3) * 10 + 9);
	assert_int_equal(in8(0x1f3), 10);
	assert_int_equal(in8(0x1f4), 50);
	assert_int_equal(in8(0x1f6), 0xa3);
	chs_cmd(0x20, 0, 4, 1);
	expect_error(0x51, ATA_IDNF);
	out8(0x1f2, 0);
	out8(0x1f6, 0xa3);
	out8(0x1f7, 0x91);
	expect_abort();
	out8(0x1f2, 255);
	out8(0x1f6, 0xaf);
	out8(0x1f7, 0x91); /* not one cylinder of that */
	expect_abort();
}

/* An address that runs over heads comes back as one. */
static void chs_carries(void **state)
{
	(void)state;
	out8(0x1f2, 2);
	out8(0x1f3, 63);
	out8(0x1f4, 0);
	out8(0x1f5, 0);
	out8(0x1f6, 0xaf);
	out8(0x1f7, 0x20);
	read_one_block(16 * 63 - 1);
	read_one_block(16 * 63);
	assert_int_equal(in8(0x1f3), 1);
	assert_int_equal(in8(0x1f4), 1);
	assert_int_equal(in8(0x1f6), 0xa0);
}

/* ------------------------------------------------------------------ errors */

static void read_errors(void **state)
{
	uint8_t got[16 * 512], want[16 * 512];

	(void)state;
	b.block[0].fail = -EIO;
	b.block[0].fail_at = 105 * 512 + 17;
	cmd28(0x20, 100, 20);
	for (unsigned int i = 0; i < 5; i++)
		read_one_block(100 + i);
	expect_error(0x51, ATA_UNC);
	assert_int_equal(got_lba(), 105);
	assert_int_equal(in8(0x1f2), 15);
	/* Of a multiple block with the error in it nothing is given, of the one before all. */
	cmd28(0xc4, 85, 40);
	bench_run(&b);
	assert_int_equal(in8(0x1f7), 0x58);
	words_in(got, 16 * 256);
	fill(want, 85, 16);
	assert_memory_equal(got, want, sizeof(got));
	expect_error(0x51, ATA_UNC);
	assert_int_equal(got_lba(), 105);
	/* One that is about no sector in particular is not searched for. */
	b.block[0].reads = 0;
	b.block[0].fail = -ENOTCONN;
	cmd28(0x20, 100, 20);
	expect_error(0x71, ATA_ABRT);
	assert_int_equal(got_lba(), 100);
	assert_int_equal(b.block[0].reads, 1);
	/* Nor is one that took long to come. */
	b.block[0].fail = -EIO;
	cmd28(0x20, 100, 20);
	fakeclock_advance(&b.clock, 20 * DEV_NS_PER_SEC);
	expect_error(0x51, ATA_UNC);
	assert_int_equal(got_lba(), 100);
	assert_int_equal(b.block[0].reads, 2);
}

static void write_errors(void **state)
{
	static const struct {
		int ret;
		uint8_t status, error;
	} err[] = { { -EIO, 0x71, ATA_IDNF },
		    { -ENOSPC, 0x71, ATA_ABRT },
		    { -EROFS, 0x51, ATA_ABRT } };
	uint8_t data[8 * 512], old[512];

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		bool sectors = err[i].ret != -EROFS;

		fill(data, 5000 + i, 8);
		memcpy(old, b.block[0].data + 203 * 512, 512);
		b.block[0].fail = err[i].ret;
		b.block[0].fail_at = 203 * 512;
		cmd28(0x30, 200, 8);
		words_out(data, 8 * 256);
		in8(0x1f7);
		expect_error(err[i].status, err[i].error);
		assert_int_equal(got_lba(), sectors ? 203 : 200);
		assert_int_equal(in8(0x1f2), sectors ? 5 : 8);
		/* What came before it is on the disk. */
		if (sectors)
			assert_memory_equal(b.block[0].data + 200 * 512, data, 3 * 512);
		assert_memory_equal(b.block[0].data + 203 * 512, old, 512);
	}
}

/* A chunk fails, but none of its sectors does: then nothing has failed. */
static void passing_error(void **state)
{
	(void)state;
	b.block[0].fail = -EIO;
	b.block[0].fail_at = 110 * 512;
	cmd28(0x20, 100, 20);
	assert_true(fakeblock_step(&b.block[0]));
	b.block[0].fail = 0;
	for (unsigned int i = 0; i < 20; i++)
		read_one_block(100 + i);
	assert_int_equal(in8(0x1f7), 0x50);
}

static void beyond_the_end(void **state)
{
	uint8_t data[4 * 512] = { 9 };

	(void)state;
	cmd28(0x20, SECTORS - 2, 4);
	read_one_block(SECTORS - 2);
	read_one_block(SECTORS - 1);
	expect_error(0x51, ATA_IDNF);
	assert_int_equal(got_lba(), SECTORS);
	assert_int_equal(in8(0x1f2), 2);
	cmd28(0x30, SECTORS, 1);
	expect_error(0x51, ATA_IDNF);
	cmd28(0x30, SECTORS - 1, 2);
	words_out(data, 256);
	expect_error(0x51, ATA_IDNF);
	assert_memory_equal(b.block[0].data + (SECTORS - 1) * 512, data, 512);
	cmd48(0x24, 0xffffffffffffull, 0); /* 65536 sectors from the last address on */
	expect_error(0x51, ATA_IDNF);
	assert_int_equal(b.block[0].reads, 1);
}

static void read_only(void **state)
{
	static const uint8_t writes[] = { 0x30, 0xc5, 0xca, 0x34, 0x35, 0x39, 0x3d, 0xce };

	(void)state;
	b.block[0].blk.readonly = true;
	for (unsigned int i = 0; i < sizeof(writes); i++) {
		cmd28(writes[i], 0, 1);
		expect_abort();
	}
	assert_int_equal(b.block[0].writes, 0);
}

/* Every command that is not there, and those of packet devices, are aborted. */
static void unknown_commands(void **state)
{
	static const uint8_t known[] = {
		0x20, 0x21, 0x24, 0x25, 0x27, 0x29, 0x30, 0x31, 0x34, 0x35, 0x39, 0x3d, 0x40, 0x41,
		0x42, 0x90, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0xc4, 0xc5, 0xc6, 0xc8, 0xc9, 0xca,
		0xcb, 0xce, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xea, 0xec, 0xf8,
	};

	(void)state;
	for (unsigned int c = 0; c < 256; c++) {
		bool is_known = (c & 0xf0) == 0x10 || (c & 0xf0) == 0x70;

		for (unsigned int i = 0; i < sizeof(known); i++)
			is_known |= known[i] == c;
		if (is_known)
			continue;
		out8(0x1f1, 0);
		cmd28((uint8_t)c, 0, 0);
		expect_abort();
	}
}

/* ------------------------------------------------------------------ features, power, buffers */

static void transfer_modes(void **state)
{
	uint16_t id[256];

	(void)state;
	cmd_features(0x03, 0x42);
	expect_good();
	get_identify(id);
	assert_int_equal(id[88], 0x043f);
	assert_int_equal(id[63], 0x0007);
	cmd_features(0x03, 0x21);
	expect_good();
	get_identify(id);
	assert_int_equal(id[88], 0x003f);
	assert_int_equal(id[63], 0x0207);
	/* Modes survive a reset by software. */
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	get_identify(id);
	assert_int_equal(id[63], 0x0207);
	for (unsigned int mode = 0; mode < 256; mode++) {
		bool ok = mode < 2 || (mode >= 8 && mode <= 12) || (mode >= 0x20 && mode <= 0x22) ||
			  (mode >= 0x40 && mode <= 0x45);

		cmd_features(0x03, (uint8_t)mode);
		if (ok)
			expect_good();
		else
			expect_abort();
	}
}

static void features(void **state)
{
	uint16_t id[256];

	(void)state;
	cmd_features(0x55, 0);
	expect_good();
	get_identify(id);
	assert_int_equal(id[85] & 0x40, 0);
	cmd_features(0xcc, 0); /* now a software reset brings the defaults back */
	expect_good();
	cmd28(0xc6, 0, 4);
	expect_good();
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	get_identify(id);
	assert_int_equal(id[85] & 0x40, 0x40);
	assert_int_equal(id[59], 0x110);
	cmd_features(0x66, 0);
	expect_good();
	cmd28(0xc6, 0, 4);
	expect_good();
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	get_identify(id);
	assert_int_equal(id[59], 0x104);
	cmd_features(0x05, 1); /* no advanced power management */
	expect_abort();
	cmd_features(0x00, 0);
	expect_abort();
}

static void check_power(uint8_t want)
{
	out8(0x1f2, 0x5a);
	out8(0x1f7, 0xe5);
	expect_good();
	assert_int_equal(in8(0x1f2), want);
}

static void power(void **state)
{
	(void)state;
	check_power(0xff);
	b.block[0].dirty = true;
	out8(0x1f7, 0xe0);
	expect_good();
	assert_false(b.block[0].dirty); /* on its way to standby it writes what it has */
	check_power(0x00);
	out8(0x1f7, 0xe1);
	expect_good();
	check_power(0x80);
	cmd28(0x20, 0, 1);
	read_one_block(0);
	check_power(0xff);
	/* The standby timer: 12 times 5 s */
	cmd28(0xe3, 0, 12);
	expect_good();
	fakeclock_advance(&b.clock, 59 * DEV_NS_PER_SEC);
	check_power(0x80);
	fakeclock_advance(&b.clock, 60 * DEV_NS_PER_SEC);
	check_power(0x00);
	out8(0x1f7, 0x94);
	expect_good();
	out8(0x1f2, 0);
	out8(0x1f7, 0x98);
	expect_good();
	assert_int_equal(in8(0x1f2), 0x00);
	/* From sleep only a reset wakes it. */
	out8(0x1f7, 0xe6);
	expect_good();
	cmd28(0x20, 0, 1);
	bench_run(&b);
	assert_false(irq());
	assert_int_equal(b.block[0].waiting, 0);
	assert_int_equal(alt(), 0x50);
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	cmd28(0x20, 0, 1);
	read_one_block(0);
}

static void buffers(void **state)
{
	uint8_t out[512], in[512];

	(void)state;
	fill(out, 99, 1);
	out8(0x1f7, 0xe8);
	assert_int_equal(in8(0x1f7), 0x58);
	words_out(out, 256);
	expect_good();
	out8(0x1f7, 0xe4);
	assert_true(irq());
	words_in(in, 256);
	assert_memory_equal(in, out, 512);
}

static void smart(uint8_t feature, uint8_t count)
{
	out8(0x1f1, feature);
	out8(0x1f2, count);
	out8(0x1f3, 0);
	out8(0x1f4, 0x4f);
	out8(0x1f5, 0xc2);
	out8(0x1f6, 0xa0);
	out8(0x1f7, 0xb0);
}

static void smart_commands(void **state)
{
	uint8_t data[512], limits[512], sum = 0;

	(void)state;
	fakeclock_advance(&b.clock, 3 * 3600 * DEV_NS_PER_SEC);
	smart(0xda, 0);
	expect_good();
	assert_int_equal(in8(0x1f4), 0x4f); /* no threshold exceeded */
	assert_int_equal(in8(0x1f5), 0xc2);
	smart(0xd0, 0);
	assert_true(irq());
	assert_int_equal(in8(0x1f7), 0x58);
	words_in(data, 256);
	for (unsigned int i = 0; i < 512; i++)
		sum += data[i];
	assert_int_equal(sum, 0);
	smart(0xd1, 0);
	words_in(limits, 256);
	for (unsigned int i = 0; data[2 + 12 * i]; i++) {
		assert_int_equal(limits[2 + 12 * i], data[2 + 12 * i]);
		assert_true(data[5 + 12 * i] > limits[3 + 12 * i]);
		if (data[2 + 12 * i] == 9) /* hours */
			assert_int_equal(data[7 + 12 * i], 3);
	}
	smart(0xd2, 0xf1);
	expect_good();
	smart(0xd2, 0x01);
	expect_abort();
	smart(0xd9, 0);
	expect_good();
	smart(0xd0, 0);
	expect_abort();
	smart(0xd8, 0);
	expect_good();
	smart(0xd5, 1); /* there are no logs, and word 84 says so */
	expect_abort();
	smart(0xd8, 0);
	expect_good();
	out8(0x1f4, 0);
	out8(0x1f7, 0xb0); /* without the key */
	expect_abort();
}

static void nop(void **state)
{
	(void)state;
	out8(0x1f7, 0x00);
	expect_abort();
}

static void host_protected_area(void **state)
{
	uint16_t id[256];

	(void)state;
	cmd28(0xf8, 0, 0);
	expect_good();
	assert_int_equal(got_lba(), SECTORS - 1);
	cmd28(0xf9, 999, 0);
	expect_good();
	get_identify(id);
	assert_int_equal(id[60], 1000);
	assert_int_equal(id[100], 1000);
	cmd28(0x20, 1000, 1);
	expect_error(0x51, ATA_IDNF);
	cmd28(0xf9, 1999, 0); /* not right after READ NATIVE MAX ADDRESS */
	expect_abort();
	/* What is to last beyond power-off is refused: there is no place to keep it. */
	cmd48(0x27, 0, 0);
	expect_good();
	assert_int_equal(got_lba() & 0xffffff, SECTORS - 1);
	cmd48(0x37, 1999, 1);
	expect_abort();
	cmd48(0x27, 0, 0);
	expect_good();
	cmd48(0x37, SECTORS, 0);
	expect_error(0x51, ATA_IDNF);
	/* A reset by software leaves it; one by hardware does not. */
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	get_identify(id);
	assert_int_equal(id[60], 1000);
	ide_reset(&b.ide);
	bench_enable(&b);
	get_identify(id);
	assert_int_equal(id[60], SECTORS);
	cmd48(0x27, 0, 0);
	expect_good();
	cmd48(0x37, SECTORS - 1, 1);
	expect_good();
}

/* ------------------------------------------------------------------ the data register */

static void data_widths(void **state)
{
	uint8_t want[512];

	(void)state;
	fill(want, 1, 1);
	cmd28(0x20, 1, 1);
	bench_run(&b);
	assert_int_equal(bench_in(&b, 0x1f0, 2), want[0] | want[1] << 8);
	assert_int_equal(bench_in(&b, 0x1f0, 4),
			 want[2] | want[3] << 8 | want[4] << 16 | (uint32_t)want[5] << 24);
	assert_int_equal(bench_in(&b, 0x1f0, 1), want[6]); /* a word goes, half of it arrives */
	assert_int_equal(bench_in(&b, 0x1f0, 2), want[8] | want[9] << 8);
	/* Past the end of the data nobody drives the bus. */
	words_in((uint8_t[512]){ 0 }, 250);
	assert_int_equal(alt(), 0x58);
	assert_int_equal(bench_in(&b, 0x1f0, 4), 0xffff0000u | want[510] | want[511] << 8);
	assert_int_equal(alt(), 0x50);
	assert_int_equal(bench_in(&b, 0x1f0, 2), 0xffff);
	/* Writing then is lost, too, and so it is while the drive sends. */
	bench_out(&b, 0x1f0, 2, 0x1234);
	cmd28(0x20, 1, 1);
	bench_run(&b);
	bench_out(&b, 0x1f0, 4, 0x12345678);
	assert_int_equal(bench_in(&b, 0x1f0, 2), want[0] | want[1] << 8);
}

static void data_widths_out(void **state)
{
	(void)state;
	cmd28(0x30, 1, 1);
	bench_out(&b, 0x1f0, 2, 0x2211);
	bench_out(&b, 0x1f0, 4, 0x66554433);
	bench_out(&b, 0x1f0, 1, 0x77);
	for (unsigned int i = 0; i < 252; i++)
		bench_out(&b, 0x1f0, 2, 0xaaaa);
	expect_good();
	assert_memory_equal(b.block[0].data + 512, "\x11\x22\x33\x44\x55\x66\x77\x00\xaa", 9);
}

/* A string goes on over blocks as far as there is data, whatever its width. */
static void strings(void **state)
{
	uint8_t got[5 * 512], want[5 * 512];

	(void)state;
	fill(want, 40, 5);
	cmd28(0x20, 40, 5);
	bench_run(&b);
	ide_cmd_ops.read_string(&b.ide.channel[0], 0, 4, got, 5 * 128);
	assert_memory_equal(got, want, sizeof(got));
	cmd28(0x20, 40, 1);
	bench_run(&b);
	memset(got, 0, sizeof(got));
	ide_cmd_ops.read_string(&b.ide.channel[0], 0, 1, got, 256);
	for (unsigned int i = 0; i < 256; i++)
		assert_int_equal(got[i], want[2 * i]);
	/* Elsewhere it is as many single accesses. */
	out8(0x1f3, 0x42);
	ide_cmd_ops.read_string(&b.ide.channel[0], 3, 1, got, 3);
	assert_memory_equal(got, "\x42\x42\x42", 3);
	ide_cmd_ops.write_string(&b.ide.channel[0], 2, 1, "\x01\x02", 2);
	assert_int_equal(in8(0x1f2), 2);
	out8(0x3f6, ATA_HOB);
	assert_int_equal(in8(0x1f2), 1);
}

static void statistics(void **state)
{
	const struct ata_stats *s = ide_stats(&b.ide, 0, 0);

	(void)state;
	assert_null(ide_stats(&b.ide, 0, 1));
	assert_null(ide_stats(&b.ide, 3, 0));
	cmd28(0x20, 0, 2);
	fakeclock_advance(&b.clock, 5000);
	read_one_block(0);
	read_one_block(1);
	cmd28(0x20, SECTORS, 1);
	expect_error(0x51, ATA_IDNF);
	out8(0x1f7, 0xe7);
	fakeclock_advance(&b.clock, 700);
	expect_good();
	assert_int_equal(s->kind[ATA_STAT_READ].requests, 2);
	assert_int_equal(s->kind[ATA_STAT_READ].errors, 1);
	assert_int_equal(s->kind[ATA_STAT_READ].bytes, 1024);
	assert_int_equal(s->kind[ATA_STAT_READ].ns_max, 5000);
	assert_int_equal(s->kind[ATA_STAT_FLUSH].requests, 1);
	assert_int_equal(s->kind[ATA_STAT_FLUSH].ns_total, 700);
	assert_int_equal(s->pio_bytes, 1024);
	assert_int_equal(s->resets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(identify_words, setup, teardown),
		cmocka_unit_test_setup_teardown(identify_of_a_big_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(attaching, setup, teardown),
		cmocka_unit_test_setup_teardown(read_sectors, setup, teardown),
		cmocka_unit_test_setup_teardown(read_256, setup, teardown),
		cmocka_unit_test_setup_teardown(read_ext, setup, teardown),
		cmocka_unit_test_setup_teardown(read_multiple, setup, teardown),
		cmocka_unit_test_setup_teardown(set_multiple, setup, teardown),
		cmocka_unit_test_setup_teardown(write_sectors, setup, teardown),
		cmocka_unit_test_setup_teardown(write_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(write_longer_than_the_buffer, setup, teardown),
		cmocka_unit_test_setup_teardown(write_cache_off, setup, teardown),
		cmocka_unit_test_setup_teardown(flush, setup, teardown),
		cmocka_unit_test_setup_teardown(verify_and_seek, setup, teardown),
		cmocka_unit_test_setup_teardown(chs, setup, teardown),
		cmocka_unit_test_setup_teardown(chs_carries, setup, teardown),
		cmocka_unit_test_setup_teardown(read_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(write_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(passing_error, setup, teardown),
		cmocka_unit_test_setup_teardown(beyond_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(transfer_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(features, setup, teardown),
		cmocka_unit_test_setup_teardown(power, setup, teardown),
		cmocka_unit_test_setup_teardown(buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(smart_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(nop, setup, teardown),
		cmocka_unit_test_setup_teardown(host_protected_area, setup, teardown),
		cmocka_unit_test_setup_teardown(data_widths, setup, teardown),
		cmocka_unit_test_setup_teardown(data_widths_out, setup, teardown),
		cmocka_unit_test_setup_teardown(strings, setup, teardown),
		cmocka_unit_test_setup_teardown(statistics, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
