// SPDX-License-Identifier: GPL-2.0-only
/* The 21140A: the FCS, and address recognition (manual 4.2.3 and CSR6). */
#include <immintrin.h>
#include <string.h>
#include "worker/devices/dec21140_regs.h"

#define CRC_POLY 0xedb88320u /* of IEEE 802.3, bits reversed */

#define SETUP_ENTRY    12  /* three longwords, of which the low halves count */
#define SETUP_PHYSICAL 156 /* the perfect address beside a hash table */

/* Table k has the effect of a byte with k zero bytes behind it, so that eight go in one step. */
void dec21140_crc_init(struct dec21140 *dec)
{
	uint32_t(*t)[256] = dec->crc_table;

	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CRC_POLY : 0);
		t[0][i] = crc;
	}
	for (unsigned int k = 1; k < 8; k++)
		for (unsigned int i = 0; i < 256; i++)
			t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 0xff];
	dec->crc_folds = __builtin_cpu_supports("pclmul");
}

static uint32_t crc_tables(const struct dec21140 *dec, uint32_t crc, const uint8_t *p, size_t len)
{
	const uint32_t(*t)[256] = dec->crc_table;

	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		v ^= crc;
		crc = t[7][v & 0xff] ^ t[6][v >> 8 & 0xff] ^ t[5][v >> 16 & 0xff] ^
		      t[4][v >> 24 & 0xff] ^ t[3][v >> 32 & 0xff] ^ t[2][v >> 40 & 0xff] ^
		      t[1][v >> 48 & 0xff] ^ t[0][v >> 56];
	}
	for (; len; p++, len--)
		crc = crc >> 8 ^ t[0][(crc ^ *p) & 0xff];
	return crc;
}

/*
 * Folding: a block of 128 bits has the same remainder as one that stands further on and is congruent
 * to it, which two multiplications by x^(distance +- 32) mod P make (bits reversed, hence one place
 * up). So what is left of any number of blocks is one, for the tables.
 */
#define FOLD_4_LOW  0x154442bd4 /* x^(512 + 32) */
#define FOLD_4_HIGH 0x1c6e41596 /* x^(512 - 32) */
#define FOLD_1_LOW  0x1751997d0 /* x^(128 + 32) */
#define FOLD_1_HIGH 0x0ccaa009e /* x^(128 - 32) */

#define FOLD_BLOCK 16u
#define FOLD_MIN   (4 * FOLD_BLOCK)

__attribute__((target("pclmul,sse2"))) static inline __m128i fold(__m128i block, __m128i by,
								  __m128i onto)
{
	__m128i low = _mm_clmulepi64_si128(block, by, 0x00);
	__m128i high = _mm_clmulepi64_si128(block, by, 0x11);

	return _mm_xor_si128(_mm_xor_si128(low, high), onto);
}

__attribute__((target("pclmul,sse2"))) static uint32_t crc_folding(const struct dec21140 *dec,
								   uint32_t crc, const uint8_t *p,
								   size_t len)
{
	const __m128i by4 = _mm_set_epi64x(FOLD_4_HIGH, FOLD_4_LOW);
	const __m128i by1 = _mm_set_epi64x(FOLD_1_HIGH, FOLD_1_LOW);
	const __m128i *from = (const __m128i *)p;
	uint8_t rest[FOLD_BLOCK];
	__m128i x[4];

	for (unsigned int i = 0; i < 4; i++)
		x[i] = _mm_loadu_si128(from++);
	x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128((int)crc));
	for (len -= FOLD_MIN; len >= FOLD_MIN; len -= FOLD_MIN)
		for (unsigned int i = 0; i < 4; i++)
			x[i] = fold(x[i], by4, _mm_loadu_si128(from++));
	for (unsigned int i = 1; i < 4; i++)
		x[0] = fold(x[0], by1, x[i]);
	for (; len >= FOLD_BLOCK; len -= FOLD_BLOCK)
		x[0] = fold(x[0], by1, _mm_loadu_si128(from++));
	_mm_storeu_si128((__m128i *)rest, x[0]);
	crc = crc_tables(dec, 0, rest, sizeof(rest));
	return crc_tables(dec, crc, (const uint8_t *)from, len);
}

uint32_t dec21140_crc(const struct dec21140 *dec, uint32_t crc, const void *buf, size_t len)
{
	if (dec->crc_folds && len >= FOLD_MIN)
		return ~crc_folding(dec, ~crc, buf, len);
	return ~crc_tables(dec, ~crc, buf, len);
}

static void take_address(uint8_t addr[6], const uint8_t *entry)
{
	for (unsigned int i = 0; i < 6; i++)
		addr[i] = entry[(i / 2) * 4 + i % 2];
}

void dec21140_setup(struct dec21140 *dec, const uint8_t frame[SETUP_SIZE], uint32_t tdes1)
{
	struct dec21140_filter *filter = &dec->filter;
	bool ft1 = tdes1 & TDES1_FT1, ft0 = tdes1 & TDES1_FT0;

	dec->csr6 &= ~CSR6_FILTER;
	if (!ft0) {
		for (unsigned int i = 0; i < 16; i++)
			take_address(filter->perfect[i], frame + i * SETUP_ENTRY);
		dec->csr6 |= ft1 ? CSR6_IF : 0;
		return;
	}
	for (unsigned int i = 0; i < sizeof(filter->hash); i++)
		filter->hash[i] = frame[i / 2 * 4 + i % 2];
	take_address(filter->physical, frame + SETUP_PHYSICAL);
	dec->csr6 |= CSR6_HP | (ft1 ? CSR6_HO : 0);
}

static bool in_hash(const struct dec21140 *dec, const uint8_t addr[6])
{
	uint32_t bit = ~dec21140_crc(dec, 0, addr, 6) & 0x1ff;

	return dec->filter.hash[bit / 8] >> bit % 8 & 1;
}

static bool in_perfect(const struct dec21140_filter *filter, const uint8_t addr[6])
{
	for (unsigned int i = 0; i < 16; i++)
		if (!memcmp(filter->perfect[i], addr, 6))
			return true;
	return false;
}

bool dec21140_recognised(const struct dec21140 *dec, const uint8_t addr[6])
{
	bool multicast = addr[0] & 1;

	if (dec->csr6 & CSR6_PR || (dec->csr6 & CSR6_PM && multicast))
		return true;
	if (!(dec->csr6 & CSR6_HP))
		return in_perfect(&dec->filter, addr) != !!(dec->csr6 & CSR6_IF);
	if (multicast || dec->csr6 & CSR6_HO)
		return in_hash(dec, addr);
	return !memcmp(dec->filter.physical, addr, 6);
}
