// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk of a guest's page tables: by hand in each paging mode, and every combination of rights against a
 * second statement of the rules (APM 2, 5.6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/x86/gwalk.h"
#include "core/x86/paging.h"

#define PG   BIT(31)
#define WP   BIT(16)
#define PSE  BIT(4)
#define PAE  BIT(5)
#define LA57 BIT(12)
#define SMEP BIT(20)
#define SMAP BIT(21)
#define LMA  BIT(10)
#define NXE  BIT(11)
#define AC   BIT(18)

static uint8_t mem[64 * 4096];
static uint64_t missing_gpa; /* reads there fail, ~0: none */
static unsigned int races;   /* cmpxchg fails so often */
static unsigned int writes;

static int mem_read(void *ctx, uint64_t gpa, unsigned int size, uint64_t *entry)
{
	(void)ctx;
	assert_true(size == 4 || size == 8);
	assert_int_equal(gpa % size, 0);
	if (gpa == missing_gpa || gpa + size > sizeof(mem))
		return -ENOENT;
	*entry = 0;
	memcpy(entry, mem + gpa, size);
	return 0;
}

static int mem_cmpxchg(void *ctx, uint64_t gpa, unsigned int size, uint64_t old, uint64_t new)
{
	(void)ctx;
	assert_true(gpa + size <= sizeof(mem));
	if (races) {
		races--;
		return -EBUSY;
	}
	assert_memory_equal(mem + gpa, &old, size);
	memcpy(mem + gpa, &new, size);
	writes++;
	return 0;
}

static struct gwalk walker(uint64_t cr4, uint64_t efer)
{
	memset(mem, 0, sizeof(mem));
	missing_gpa = ~0ull;
	races = writes = 0;
	return (struct gwalk){ .cr0 = PG | WP | 1,
			       .cr3 = 0x1000,
			       .cr4 = cr4,
			       .efer = efer,
			       .maxphyaddr = 40,
			       .read = mem_read,
			       .cmpxchg = mem_cmpxchg };
}

static void put8(uint64_t gpa, uint64_t val)
{
	memcpy(mem + gpa, &val, 8);
}

static void put4(uint64_t gpa, uint32_t val)
{
	memcpy(mem + gpa, &val, 4);
}

static uint64_t get8(uint64_t gpa)
{
	uint64_t val;

	memcpy(&val, mem + gpa, 8);
	return val;
}

#define TABLE (PTE_P | PTE_W | PTE_U)

static void no_paging(void **state)
{
	struct gwalk w = walker(0, 0);
	struct gwalk_out out;

	(void)state;
	w.cr0 = 1;
	assert_int_equal(gwalk(&w, 0x123456789abcull, GWALK_WRITE, &out), 0);
	assert_int_equal(out.gpa, 0x56789abc); /* 32 bits outside long mode */
}

static void four_levels(void **state)
{
	struct gwalk w = walker(PAE, LMA | NXE);
	struct gwalk_out out;
	uint64_t linear = 0xffff801234567abcull;

	(void)state;
	put8(0x1000 + (linear >> 39 & 511) * 8, 0x2000 | TABLE);
	put8(0x2000 + (linear >> 30 & 511) * 8, 0x3000 | TABLE);
	put8(0x3000 + (linear >> 21 & 511) * 8, 0x4000 | TABLE);
	put8(0x4000 + (linear >> 12 & 511) * 8, 0xabcde000 | TABLE);
	assert_int_equal(gwalk(&w, linear, 0, &out), 0);
	assert_int_equal(out.gpa, 0xabcdeabc);
	assert_int_equal(out.shift, 12);
	/* A everywhere, D nowhere yet */
	assert_int_equal(writes, 4);
	assert_int_equal(get8(0x4000 + (linear >> 12 & 511) * 8), 0xabcde000 | TABLE | PTE_A);
	assert_int_equal(gwalk(&w, linear, GWALK_WRITE, &out), 0);
	assert_int_equal(writes, 5);
	assert_int_equal(get8(0x4000 + (linear >> 12 & 511) * 8),
			 0xabcde000 | TABLE | PTE_A | PTE_D);
	assert_int_equal(get8(0x3000 + (linear >> 21 & 511) * 8), 0x4000 | TABLE | PTE_A);
	assert_int_equal(gwalk(&w, linear, GWALK_WRITE, &out), 0);
	assert_int_equal(writes, 5);
}

static void five_levels_and_large_pages(void **state)
{
	struct gwalk w = walker(PAE | LA57, LMA | NXE);
	struct gwalk_out out;
	uint64_t linear = 0x00fedcba98765432ull;

	(void)state;
	put8(0x1000 + (linear >> 48 & 511) * 8, 0x5000 | TABLE);
	put8(0x5000 + (linear >> 39 & 511) * 8, 0x2000 | TABLE);
	put8(0x2000 + (linear >> 30 & 511) * 8, 0x1c0000000ull | TABLE | PTE_PS);
	assert_int_equal(gwalk(&w, linear, GWALK_WRITE, &out), 0);
	assert_int_equal(out.gpa, 0x1c0000000ull | (linear & (BIT(30) - 1)));
	assert_int_equal(out.shift, 30);
	put8(0x2000 + (linear >> 30 & 511) * 8, 0x3000 | TABLE);
	/* bit 12 of a large page's entry is PAT, no address */
	put8(0x3000 + (linear >> 21 & 511) * 8, 0x60201000ull | TABLE | PTE_PS);
	assert_int_equal(gwalk(&w, linear, 0, &out), 0);
	assert_int_equal(out.gpa, 0x60200000 | (linear & (BIT(21) - 1)));
	assert_int_equal(out.shift, 21);
}

static void pae(void **state)
{
	struct gwalk w = walker(PAE, NXE);
	struct gwalk_out out;
	uint32_t linear = 0xc1234567;

	(void)state;
	w.cr3 = 0x1fe0; /* 32-byte aligned table */
	put8(0x1fe0 + 3 * 8, 0x3000 | PTE_P);
	put8(0x3000 + (linear >> 21 & 511) * 8, 0x4000 | TABLE);
	put8(0x4000 + (linear >> 12 & 511) * 8, 0x7ff000ull << 12 | TABLE);
	assert_int_equal(gwalk(&w, linear, GWALK_USER | GWALK_WRITE, &out), 0);
	assert_int_equal(out.gpa, 0x7ff000567ull);
	assert_int_equal(get8(0x1fe0 + 3 * 8), 0x3000 | PTE_P); /* has no A bit */
	/* W and U are reserved in the top entries; so is A, but QEMU's processor sets it */
	put8(0x1fe0 + 3 * 8, 0x3000 | PTE_P | PTE_A);
	assert_int_equal(gwalk(&w, linear, 0, &out), 0);
	put8(0x1fe0 + 3 * 8, 0x3000 | TABLE);
	assert_int_equal(gwalk(&w, linear, 0, &out), -EFAULT);
	assert_int_equal(out.error, GWALK_PF_P | GWALK_PF_RSVD);
}

static void two_levels(void **state)
{
	struct gwalk w = walker(PSE, 0);
	struct gwalk_out out;
	uint32_t linear = 0x80c03123, val;

	(void)state;
	put4(0x1000 + (linear >> 22) * 4, 0x2000 | TABLE);
	put4(0x2000 + (linear >> 12 & 1023) * 4, 0x89abc000 | TABLE);
	assert_int_equal(gwalk(&w, linear, GWALK_WRITE, &out), 0);
	assert_int_equal(out.gpa, 0x89abc123);
	memcpy(&val, mem + 0x2000 + (linear >> 12 & 1023) * 4, 4);
	assert_int_equal(val, 0x89abc000 | TABLE | PTE_A | PTE_D);
	/* 4 MiB page, with bits 39:32 in 20:13 */
	put4(0x1000 + (linear >> 22) * 4, 0x40000000 | 0x5a << 13 | TABLE | PTE_PS);
	assert_int_equal(gwalk(&w, linear, 0, &out), 0);
	assert_int_equal(out.gpa, 0x5a40003123ull);
	assert_int_equal(out.shift, 22);
	put4(0x1000 + (linear >> 22) * 4, 0x40000000 | 1 << 21 | TABLE | PTE_PS);
	assert_int_equal(gwalk(&w, linear, 0, &out), -EFAULT);
	assert_int_equal(out.error, GWALK_PF_P | GWALK_PF_RSVD);
	/* Without CR4.PSE the bit means nothing. */
	w.cr4 = 0;
	put4(0x1000 + (linear >> 22) * 4, 0x2000 | TABLE | PTE_PS);
	put4(0x2000 + (linear >> 12 & 1023) * 4, 0x5000 | TABLE);
	assert_int_equal(gwalk(&w, linear, 0, &out), 0);
	assert_int_equal(out.gpa, 0x5123);
}

/* One page at linear 0 through `n` 8-byte tables, the leaf last. */
static void chain(const uint64_t *entry, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		put8(0x1000 * (i + 1), entry[i] | (i + 1 < n ? 0x1000 * (i + 2) : 0x20000));
}

static void reserved_bits(void **state)
{
	struct gwalk w = walker(PAE, LMA | NXE);
	struct gwalk_out out;
	unsigned int level, bit;

	(void)state;
	for (level = 0; level < 4; level++) {
		for (bit = 12; bit < 64; bit++) {
			uint64_t e[4] = { TABLE, TABLE, TABLE, TABLE };
			bool rsvd = bit >= 40 && bit < 52;

			if (bit < 40)
				continue;
			chain(e, 4);
			put8(0x1000 * (level + 1), get8(0x1000 * (level + 1)) | BIT(bit));
			assert_int_equal(gwalk(&w, 0, GWALK_WRITE, &out), rsvd ? -EFAULT : 0);
			if (rsvd)
				assert_int_equal(out.error,
						 GWALK_PF_P | GWALK_PF_W | GWALK_PF_RSVD);
		}
	}
	/* PS at the top level; NX without EFER.NXE; low address bits of large pages */
	chain((uint64_t[]){ TABLE | PTE_PS, TABLE, TABLE, TABLE }, 4);
	assert_int_equal(gwalk(&w, 0, 0, &out), -EFAULT);
	assert_int_equal(out.error, GWALK_PF_P | GWALK_PF_RSVD);
	chain((uint64_t[]){ TABLE, TABLE, TABLE, TABLE | PTE_NX }, 4);
	w.efer = LMA;
	assert_int_equal(gwalk(&w, 0, 0, &out), -EFAULT);
	assert_int_equal(out.error, GWALK_PF_P | GWALK_PF_RSVD);
	w.efer = LMA | NXE;
	for (bit = 13; bit < 21; bit++) {
		chain((uint64_t[]){ TABLE, TABLE, TABLE, TABLE }, 4);
		put8(0x3000, BIT(bit) | TABLE | PTE_PS);
		assert_int_equal(gwalk(&w, 0, 0, &out), -EFAULT);
		assert_int_equal(out.error, GWALK_PF_P | GWALK_PF_RSVD);
	}
}

static void not_present(void **state)
{
	struct gwalk w = walker(PAE, LMA | NXE);
	struct gwalk_out out;
	unsigned int level;

	(void)state;
	for (level = 0; level < 4; level++) {
		uint64_t e[4] = { TABLE, TABLE, TABLE, TABLE };

		e[level] = PTE_W | BIT(51); /* what is not present has no reserved bits */
		chain(e, 4);
		writes = 0;
		assert_int_equal(gwalk(&w, 0, GWALK_FETCH | GWALK_USER, &out), -EFAULT);
		assert_int_equal(out.error, GWALK_PF_U | GWALK_PF_I);
		assert_int_equal(writes, 0);
	}
}

/* The rules, said once more. Rights of tables are and-ed, NX or-ed. */
static int oracle(const struct gwalk *w, const uint64_t *e, uint32_t access, uint32_t *error)
{
	bool writable = true, user = true, nx = false, ok;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		writable = writable && (e[i] & PTE_W);
		user = user && (e[i] & PTE_U);
		nx = nx || (e[i] & PTE_NX);
	}
	if (access & GWALK_USER)
		ok = user;
	else if (!user)
		ok = true;
	else if (access & GWALK_FETCH)
		ok = !(w->cr4 & SMEP);
	else
		ok = !(w->cr4 & SMAP) || ((w->rflags & AC) && !(access & GWALK_IMPLICIT));
	if (access & GWALK_FETCH)
		ok = ok && !nx;
	if ((access & GWALK_WRITE) && !writable)
		ok = ok && !(access & GWALK_USER) && !(w->cr0 & WP);
	*error = GWALK_PF_P | (access & GWALK_WRITE ? GWALK_PF_W : 0) |
		 (access & GWALK_USER ? GWALK_PF_U : 0) | (access & GWALK_FETCH ? GWALK_PF_I : 0);
	return ok ? 0 : -EFAULT;
}

static void all_rights(void **state)
{
	static const uint32_t accesses[] = {
		0,
		GWALK_WRITE,
		GWALK_FETCH,
		GWALK_IMPLICIT,
		GWALK_IMPLICIT | GWALK_WRITE,
		GWALK_USER,
		GWALK_USER | GWALK_WRITE,
		GWALK_USER | GWALK_FETCH,
	};
	struct gwalk w = walker(PAE, LMA | NXE);
	unsigned int at, bits, regs, a, i;

	(void)state;
	for (at = 0; at < 4; at++)
		for (bits = 0; bits < 64; bits++)
			for (regs = 0; regs < 16; regs++)
				for (a = 0; a < ARRAY_SIZE(accesses); a++) {
					uint64_t e[4];
					struct gwalk_out out;
					uint32_t error;
					int want;

					/* level `at` has rights of its own, the others share theirs */
					for (i = 0; i < 4; i++) {
						unsigned int b = i == at ? bits & 7 : bits >> 3;

						e[i] = PTE_P | (b & 1 ? PTE_W : 0) |
						       (b & 2 ? PTE_U : 0) | (b & 4 ? PTE_NX : 0);
					}
					chain(e, 4);
					w.cr0 = PG | 1 | (regs & 1 ? WP : 0);
					w.cr4 = PAE | (regs & 2 ? SMEP : 0) | (regs & 4 ? SMAP : 0);
					w.rflags = regs & 8 ? AC : 0;
					want = oracle(&w, e, accesses[a], &error);
					writes = 0;
					assert_int_equal(gwalk(&w, 0xabc, accesses[a], &out), want);
					if (want) {
						assert_int_equal(out.error, error);
						assert_int_equal(writes, 0);
					} else {
						assert_int_equal(out.gpa, 0x20abc);
						assert_int_equal(writes, 4);
					}
				}
}

static void peek_changes_nothing(void **state)
{
	struct gwalk w = walker(PAE | SMAP, LMA | NXE);
	struct gwalk_out out;

	(void)state;
	chain((uint64_t[]){ PTE_P | PTE_U, PTE_P | PTE_U, PTE_P | PTE_U, PTE_P | PTE_U }, 4);
	assert_int_equal(gwalk(&w, 0x10, GWALK_PEEK, &out), 0);
	assert_int_equal(out.gpa, 0x20010);
	assert_int_equal(writes, 0);
}

static void callbacks_fail(void **state)
{
	struct gwalk w = walker(PAE, LMA | NXE);
	struct gwalk_out out;

	(void)state;
	chain((uint64_t[]){ TABLE, TABLE, TABLE, TABLE }, 4);
	missing_gpa = 0x3000;
	assert_int_equal(gwalk(&w, 0, 0, &out), -ENOENT);
	missing_gpa = ~0ull;
	/* Another processor changes an entry: walked again, but not for ever. */
	races = 3;
	assert_int_equal(gwalk(&w, 0, GWALK_WRITE, &out), 0);
	assert_int_equal(races, 0);
	chain((uint64_t[]){ TABLE, TABLE, TABLE, TABLE }, 4);
	races = 1000;
	assert_int_equal(gwalk(&w, 0, GWALK_WRITE, &out), -EBUSY);
}

/* The error code names a fetch only where the processor can forbid fetches. */
static void fetch_bit(void **state)
{
	static const struct {
		uint64_t cr4, efer;
		bool shown;
	} t[] = {
		{ PAE, LMA, false }, { PAE, LMA | NXE, true }, { PAE | SMEP, LMA, true },
		{ 0, 0, false },     { 0, NXE, false },	       { SMEP, 0, true },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct gwalk w = walker(t[i].cr4, t[i].efer);
		struct gwalk_out out;

		assert_int_equal(gwalk(&w, 0, GWALK_FETCH, &out), -EFAULT);
		assert_int_equal(out.error, t[i].shown ? GWALK_PF_I : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_paging),
		cmocka_unit_test(four_levels),
		cmocka_unit_test(five_levels_and_large_pages),
		cmocka_unit_test(pae),
		cmocka_unit_test(two_levels),
		cmocka_unit_test(reserved_bits),
		cmocka_unit_test(not_present),
		cmocka_unit_test(all_rights),
		cmocka_unit_test(peek_changes_nothing),
		cmocka_unit_test(callbacks_fail),
		cmocka_unit_test(fetch_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
