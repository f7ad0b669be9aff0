// SPDX-License-Identifier: GPL-2.0-only
/* The 21140A's FCS, setup frames and address recognition. */
#include "tests/unit/dec21140_bench.h"

#define TX    0x2000u
#define SETUP 0x3000u

static const uint8_t other[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x57 };
static const uint8_t group[6] = { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x01 };
static const uint8_t group2[6] = { 0x33, 0x33, 0x00, 0x00, 0x00, 0x01 };
static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static int setup(void **state)
{
	bench_setup(state);
	set_csr(*state, 4, TX);
	set_csr(*state, 6, CSR6_PS);
	return 0;
}

/* The upper halves of the longwords must not matter. */
static void entry(struct bench *b, uint32_t off, const uint8_t addr[6])
{
	for (unsigned int k = 0; k < 3; k++)
		set_mem32(b, SETUP + off + 4 * k,
			  0xa5a50000u | addr[2 * k] | (uint32_t)addr[2 * k + 1] << 8);
}

static void clear(struct bench *b)
{
	memset(b->mem + SETUP, 0, SETUP_SIZE);
}

static void load(struct bench *b, uint32_t tdes1, uint32_t len)
{
	set_desc(b, TX, DES0_OWN, TDES1_SET | tdes1 | DES1_RING | len, SETUP, 0);
	set_csr(b, 6, (csr(b, 6) & ~CSR6_PR) | CSR6_ST);
	assert_int_equal(mem32(b, TX), 0x7fffffff);
	set_csr(b, 6, csr(b, 6) & ~CSR6_ST);
}

static void set_hash(struct bench *b, const uint8_t addr[6])
{
	unsigned int bit = ~slow_fcs(addr, 6) & 0x1ff;

	b->mem[SETUP + bit / 16 * 4 + bit % 16 / 8] |= 1 << bit % 8;
}

static bool pass(struct bench *b, const uint8_t addr[6])
{
	return dec21140_recognised(&b->dec, addr);
}

static void fcs(void **state)
{
	struct bench *b = *state;
	uint8_t buf[300];

	assert_int_equal(dec21140_crc(&b->dec, 0, "123456789", 9), 0xcbf43926);
	for (unsigned int i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 151 + 3);
	/* By multiplication, if this processor can, and by tables */
	for (unsigned int way = 0; way < 2; way++) {
		b->dec.crc_folds &= !way;
		for (unsigned int len = 0; len <= sizeof(buf); len++)
			for (unsigned int cut = 0; cut <= len; cut += 1 + len / 20) {
				uint32_t crc = dec21140_crc(&b->dec, 0, buf, cut);

				crc = dec21140_crc(&b->dec, crc, buf + cut, len - cut);
				assert_int_equal(crc, slow_fcs(buf, len));
			}
	}
}

static void perfect(void **state)
{
	struct bench *b = *state;

	for (unsigned int i = 0; i < 16; i++) {
		clear(b);
		entry(b, i * 12, bench_mac);
		load(b, 0, SETUP_SIZE);
		assert_int_equal(csr(b, 6) & CSR6_FILTER, 0);
		assert_true(pass(b, bench_mac));
		assert_false(pass(b, other));
		assert_false(pass(b, group));
		assert_false(pass(b, all));
	}
	entry(b, 0, all);
	entry(b, 12, group);
	load(b, 0, SETUP_SIZE);
	assert_true(pass(b, bench_mac) && pass(b, all) && pass(b, group));
	assert_false(pass(b, group2));
}

static void inverse(void **state)
{
	struct bench *b = *state;

	clear(b);
	entry(b, 24, bench_mac);
	load(b, TDES1_FT1, SETUP_SIZE);
	assert_int_equal(csr(b, 6) & CSR6_FILTER, CSR6_IF);
	assert_false(pass(b, bench_mac));
	assert_true(pass(b, other) && pass(b, all) && pass(b, group));
	load(b, 0, SETUP_SIZE);
	assert_int_equal(csr(b, 6) & CSR6_FILTER, 0);
}

static void hash_and_perfect(void **state)
{
	struct bench *b = *state;

	clear(b);
	set_hash(b, group);
	set_hash(b, all);
	set_hash(b, other);
	entry(b, 156, bench_mac);
	load(b, TDES1_FT0, SETUP_SIZE);
	assert_int_equal(csr(b, 6) & CSR6_FILTER, CSR6_HP);
	assert_true(pass(b, bench_mac) && pass(b, group) && pass(b, all));
	assert_false(pass(b, group2));
	assert_false(pass(b, other)); /* the table is not for single addresses */
	assert_int_equal(~slow_fcs(all, 6) & 0x1ff, 255);
}

static void hash_only(void **state)
{
	struct bench *b = *state;

	clear(b);
	set_hash(b, group);
	set_hash(b, other);
	entry(b, 156, bench_mac);
	load(b, TDES1_FT1 | TDES1_FT0, SETUP_SIZE);
	assert_int_equal(csr(b, 6) & CSR6_FILTER, CSR6_HP | CSR6_HO);
	assert_true(pass(b, other) && pass(b, group));
	assert_false(pass(b, bench_mac));
	assert_false(pass(b, group2));
}

static void promiscuous(void **state)
{
	struct bench *b = *state;

	clear(b);
	load(b, 0, SETUP_SIZE);
	assert_false(pass(b, group2));
	set_csr(b, 6, CSR6_PS | CSR6_PM);
	assert_true(pass(b, group2) && pass(b, all));
	assert_false(pass(b, other));
	set_csr(b, 6, CSR6_PS | CSR6_PR);
	assert_true(pass(b, group2) && pass(b, all) && pass(b, other));
}

/* A setup frame survives what CSR6 is written with, not a reset. */
static void kept(void **state)
{
	struct bench *b = *state;

	clear(b);
	entry(b, 156, bench_mac);
	load(b, TDES1_FT0, SETUP_SIZE);
	set_csr(b, 6, CSR6_PS);
	assert_int_equal(csr(b, 6) & CSR6_FILTER, CSR6_HP);
	assert_true(pass(b, bench_mac));
	set_csr(b, 0, CSR0_SWR);
	set_csr(b, 0, 0);
	assert_int_equal(csr(b, 6) & CSR6_FILTER, 0);
	set_csr(b, 6, CSR6_PS);
	assert_false(pass(b, bench_mac));
}

static void interrupts_and_lengths(void **state)
{
	struct bench *b = *state;

	clear(b);
	entry(b, 0, bench_mac);
	load(b, 0, SETUP_SIZE);
	assert_int_equal(csr(b, 5) & CSR5_TI, 0);
	load(b, TDES1_IC, SETUP_SIZE);
	assert_int_equal(csr(b, 5) & CSR5_TI, CSR5_TI);
	/* Another length is given back, with no effect. */
	clear(b);
	load(b, 0, SETUP_SIZE - 4);
	load(b, 0, 0);
	assert_true(pass(b, bench_mac));
	assert_int_equal(b->dec.stats.setup_frames, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fcs, setup),
		cmocka_unit_test_setup(perfect, setup),
		cmocka_unit_test_setup(inverse, setup),
		cmocka_unit_test_setup(hash_and_perfect, setup),
		cmocka_unit_test_setup(hash_only, setup),
		cmocka_unit_test_setup(promiscuous, setup),
		cmocka_unit_test_setup(kept, setup),
		cmocka_unit_test_setup(interrupts_and_lengths, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
