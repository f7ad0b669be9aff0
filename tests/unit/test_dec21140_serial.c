// SPDX-License-Identifier: GPL-2.0-only
/* CSR9 of the 21140A: a 93C46 (its data sheet), the SROM format, and IEEE 802.3 clause 22. */
#include "tests/unit/dec21140_bench.h"

#define ROM (CSR9_SR | 0x4000u)

/* One clock: returns DO after the rising edge. */
static bool rom_bit(struct bench *b, bool in)
{
	uint32_t pins = ROM | CSR9_SROM_CS | (in ? CSR9_SROM_DI : 0);
	bool out;

	set_csr(b, 9, pins);
	set_csr(b, 9, pins | CSR9_SROM_CLK);
	out = csr(b, 9) & CSR9_SROM_DO;
	set_csr(b, 9, pins);
	return out;
}

static void rom_select(struct bench *b)
{
	set_csr(b, 9, ROM);
	set_csr(b, 9, ROM | CSR9_SROM_CS);
}

static void rom_deselect(struct bench *b)
{
	set_csr(b, 9, ROM);
}

/* Returns DO after the last bit. */
static bool rom_bits(struct bench *b, uint32_t bits, unsigned int n)
{
	bool out = true;

	while (n--)
		out = rom_bit(b, bits >> n & 1);
	return out;
}

static uint16_t rom_word(struct bench *b)
{
	uint16_t word = 0;

	for (unsigned int i = 0; i < 16; i++)
		word = (uint16_t)(word << 1 | rom_bit(b, false));
	return word;
}

static uint16_t rom_read(struct bench *b, unsigned int addr)
{
	uint16_t word;

	rom_select(b);
	assert_true(csr(b, 9) & CSR9_SROM_DO); /* pulled up until the zero before the data */
	assert_false(rom_bits(b, 0x180 | addr, 9));
	word = rom_word(b);
	rom_deselect(b);
	return word;
}

static void rom_command(struct bench *b, uint32_t bits, unsigned int n)
{
	rom_select(b);
	rom_bits(b, bits, n);
	rom_deselect(b);
}

static void read_all(struct bench *b, uint8_t rom[128])
{
	for (unsigned int i = 0; i < 64; i++) {
		uint16_t word = rom_read(b, i);

		rom[2 * i] = (uint8_t)word;
		rom[2 * i + 1] = (uint8_t)(word >> 8);
	}
}

/* The format's own check of the ID block, bit by bit. */
static uint8_t id_crc(const uint8_t *rom)
{
	uint8_t crc = 0xff;

	for (unsigned int bit = 0; bit < 8 * 16 + 8; bit++) {
		uint16_t word = (uint16_t)(rom[bit / 16 * 2] | rom[bit / 16 * 2 + 1] << 8);
		bool one = (word >> (15 - bit % 16) & 1) ^ crc >> 7;

		crc = (uint8_t)(crc << 1);
		if (one)
			crc ^= 0x07;
	}
	return crc;
}

static void rom_contents(void **state)
{
	struct bench *b = *state;
	uint8_t rom[128];
	uint16_t sum;

	read_all(b, rom);
	assert_memory_equal(rom, "\x00\x0a\x14\x21", 4);
	assert_int_equal(rom[16], id_crc(rom));
	assert_int_equal(rom[18], 3);
	assert_int_equal(rom[19], 1);
	assert_memory_equal(rom + 20, bench_mac, 6);
	assert_int_equal(rom[27] | rom[28] << 8, 0x1e);
	assert_memory_equal(rom + 0x1e,
			    "\x00\x08\xff\x01\x8c\x01\x00\x00\x00\x00\x78\xe0\x01\x00\x50\x00\x18",
			    17);
	sum = (uint16_t)(rom[126] | rom[127] << 8);
	assert_int_equal(sum, slow_fcs(rom, 126) & 0xffff);
}

static void rom_reads_on(void **state)
{
	struct bench *b = *state;

	rom_select(b);
	rom_bits(b, 0x180 | 62, 9);
	assert_int_equal(rom_word(b), b->dec.srom.word[62]);
	assert_int_equal(rom_word(b), b->dec.srom.word[63]);
	assert_int_equal(rom_word(b), b->dec.srom.word[0]);
	rom_deselect(b);
	/* Zeroes before the start bit are ignored. */
	rom_select(b);
	rom_bits(b, 0, 5);
	rom_bits(b, 0x180 | 9, 9);
	assert_int_equal(rom_word(b), b->dec.srom.word[9]);
	rom_deselect(b);
}

static void rom_programming(void **state)
{
	struct bench *b = *state;
	uint16_t before = rom_read(b, 5);

	rom_command(b, (0x140u | 5) << 16 | 0xbeef, 25); /* protected after power-on */
	assert_int_equal(rom_read(b, 5), before);
	rom_command(b, 0x130, 9); /* EWEN */
	rom_command(b, (0x140u | 5) << 16 | 0xbeef, 25);
	assert_int_equal(rom_read(b, 5), 0xbeef);
	assert_int_equal(rom_read(b, 4), 0);
	rom_command(b, (0x140u | 5) << 8 | 0x55, 17); /* broken off half-way */
	assert_int_equal(rom_read(b, 5), 0xbeef);
	rom_command(b, 0x1c0 | 5, 9); /* ERASE */
	assert_int_equal(rom_read(b, 5), 0xffff);
	rom_command(b, 0x110u << 16 | 0x1234, 25); /* WRAL */
	assert_int_equal(rom_read(b, 0), 0x1234);
	assert_int_equal(rom_read(b, 63), 0x1234);
	rom_command(b, 0x120, 9); /* ERAL */
	assert_int_equal(rom_read(b, 31), 0xffff);
	rom_command(b, 0x100, 9); /* EWDS */
	rom_command(b, (0x140u | 5) << 16 | 0xbeef, 25);
	assert_int_equal(rom_read(b, 5), 0xffff);
	/* It is a ROM: neither reset brings its contents back. */
	set_csr(b, 0, CSR0_SWR);
	dec21140_reset(&b->dec);
	assert_int_equal(rom_read(b, 5), 0xffff);
}

static void rom_needs_select(void **state)
{
	struct bench *b = *state;

	set_csr(b, 9, 0x4000 | CSR9_SROM_CS);
	assert_int_equal(csr(b, 9) & 0xff, 0xff); /* the boot ROM's byte */
	rom_select(b);
	rom_bits(b, 0x180 | 10, 9);
	set_csr(b, 9, 0); /* something else is selected in between */
	set_csr(b, 9, ROM | CSR9_SROM_CS);
	assert_int_equal(rom_word(b), 0xffff); /* zeroes: no start bit */
}

/* Returns MDI before the rising edge, which is when the part samples. */
static bool mdc(struct bench *b, uint32_t pins)
{
	bool in;

	set_csr(b, 9, pins);
	in = csr(b, 9) & CSR9_MDI;
	set_csr(b, 9, pins | CSR9_MDC);
	return in;
}

static void mdio_out(struct bench *b, uint32_t bits, unsigned int n)
{
	while (n--)
		mdc(b, bits >> n & 1 ? CSR9_MDO : 0);
}

static void mdio_write(struct bench *b, unsigned int phy, unsigned int reg, uint16_t val)
{
	mdio_out(b, 0xffffffff, 32);
	mdio_out(b, 0x50020000u | phy << 23 | reg << 18 | val, 32);
}

static uint32_t mdio_in(struct bench *b, unsigned int n)
{
	uint32_t bits = 0;

	while (n--)
		bits = bits << 1 | mdc(b, CSR9_MII);
	return bits;
}

/* Turn-around and data. */
static uint32_t mdio_read_raw(struct bench *b, unsigned int phy, unsigned int reg)
{
	mdio_out(b, 0x1800 | phy << 5 | reg, 14);
	return mdio_in(b, 18);
}

static uint16_t mdio_read(struct bench *b, unsigned int phy, unsigned int reg)
{
	mdio_out(b, 0xffffffff, 32);
	return (uint16_t)mdio_read_raw(b, phy, reg);
}

static void mdio_frames(void **state)
{
	struct bench *b = *state;

	mdio_out(b, 0xffffffff, 32);
	assert_int_equal(mdio_read_raw(b, 1, 2), 0x22000); /* pulled up, then zero, then data */
	/* Preambles may be left out. */
	assert_int_equal(mdio_read_raw(b, 1, 3), 0x25c01);
	for (unsigned int phy = 0; phy < 32; phy++)
		assert_int_equal(mdio_read(b, phy, 2), phy == 1 ? 0x2000 : 0xffff);
	/* After a clause 45 start, or an opcode that there is not, it waits for a preamble. */
	mdio_out(b, 0, 2);
	assert_int_equal(mdio_read_raw(b, 1, 2), 0x3ffff);
	assert_int_equal(mdio_read(b, 1, 2), 0x2000);
	mdio_out(b, 0x1c00 | 1 << 5 | 2, 14);
	assert_int_equal(mdio_in(b, 18), 0x3ffff);
	assert_int_equal(mdio_read(b, 1, 2), 0x2000);
	/* A frame that is broken off is forgotten with the next preamble. */
	mdio_out(b, 0x5, 4);
	assert_int_equal(mdio_read(b, 1, 2), 0x2000);
	/* With nobody driving, and with the part driving */
	set_csr(b, 9, CSR9_MII);
	assert_true(csr(b, 9) & CSR9_MDI);
	set_csr(b, 9, 0);
	assert_false(csr(b, 9) & CSR9_MDI);
}

static void phy_defaults(void **state)
{
	struct bench *b = *state;

	assert_int_equal(mdio_read(b, 1, 0), 0x3000);
	assert_int_equal(mdio_read(b, 1, 1), 0x786d);
	assert_int_equal(mdio_read(b, 1, 4), 0x01e1);
	assert_int_equal(mdio_read(b, 1, 5), 0x41e1);
	assert_int_equal(mdio_read(b, 1, 6), 0x0003);
	assert_int_equal(mdio_read(b, 1, 6), 0x0001);
	assert_int_equal(mdio_read(b, 1, 25), 0x0481); /* 100 Mbit/s, full duplex, address 1 */
	assert_int_equal(mdio_read(b, 1, 31), 0);
	b->net.link = false;
	assert_int_equal(mdio_read(b, 1, 1), 0x7849);
	assert_int_equal(mdio_read(b, 1, 5), 0);
}

static void phy_control(void **state)
{
	struct bench *b = *state;

	mdio_write(b, 1, 4, 0x0061);
	assert_int_equal(mdio_read(b, 1, 4), 0x0061);
	assert_int_equal(mdio_read(b, 1, 25), 0x04c1); /* 10 Mbit/s, full duplex */
	mdio_write(b, 1, 0, 0x1200);
	assert_int_equal(mdio_read(b, 1, 0), 0x1000); /* restart clears itself */
	assert_int_equal(mdio_read(b, 1, 6), 0x0003);
	mdio_write(b, 1, 0, 0x2000); /* forced: 100 Mbit/s, half duplex */
	assert_int_equal(mdio_read(b, 1, 1), 0x784d);
	assert_int_equal(mdio_read(b, 1, 5), 0);
	assert_int_equal(mdio_read(b, 1, 25), 0x0001);
	mdio_write(b, 1, 2, 0);
	assert_int_equal(mdio_read(b, 1, 2), 0x2000);
	mdio_write(b, 2, 0, 0);
	assert_int_equal(mdio_read(b, 1, 0), 0x2000);
	mdio_write(b, 1, 0, 0x0800); /* power down */
	assert_int_equal(mdio_read(b, 1, 1) & 4, 0);
	assert_false(dec21140_phy_up(&b->dec));
	mdio_write(b, 1, 0, 0x0400); /* isolated: the link stays, nothing passes */
	assert_int_equal(mdio_read(b, 1, 1) & 4, 4);
	assert_false(dec21140_phy_up(&b->dec));
	mdio_write(b, 1, 0, 0x8000);
	assert_int_equal(mdio_read(b, 1, 0), 0x3000);
	assert_int_equal(mdio_read(b, 1, 4), 0x01e1);
	assert_true(dec21140_phy_up(&b->dec));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rom_contents, bench_setup),
		cmocka_unit_test_setup(rom_reads_on, bench_setup),
		cmocka_unit_test_setup(rom_programming, bench_setup),
		cmocka_unit_test_setup(rom_needs_select, bench_setup),
		cmocka_unit_test_setup(mdio_frames, bench_setup),
		cmocka_unit_test_setup(phy_defaults, bench_setup),
		cmocka_unit_test_setup(phy_control, bench_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
