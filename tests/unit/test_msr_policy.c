// SPDX-License-Identifier: GPL-2.0-only
/* MSRs of children (core/x86/msr_policy.c), L8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/x86/msr_policy.h"

static const struct msr_host full_host = {
	.patch_level = 0x0a20120e,
	.lfence_serializing = true,
	.tsc_aux = true,
	.spec_ctrl = true,
	.spec_ctrl_bits = 0x87,
	.efer_bits = MSR_EFER_BITS,
};
static const struct msr_host poor_host = {
	.patch_level = 0x01000065,
	.efer_bits = MSR_EFER_SCE | MSR_EFER_LME | MSR_EFER_LMA | MSR_EFER_NXE,
};
static const struct cpuid_caps caps = { .xcr0 = CPUID_XCR0_MAX, .spec_ctrl = true };

/* Everything, 40 bits of physical, 48 of linear address. */
static const struct cpuid_entry full_cpuid[] = {
	{ .function = 1, .ecx = ~0u, .edx = ~0u },
	{ .function = 7, .flags = 1, .ebx = ~0u, .ecx = ~0u, .edx = ~0u },
	{ .function = 0x80000001, .ecx = ~0u, .edx = ~0u },
	{ .function = 0x80000008, .eax = 48 << 8 | 40, .ebx = ~0u },
};

static struct cpuid_table cpuid;
static struct msr_state s;

static void make(const struct msr_host *host, bool features)
{
	assert_int_equal(
		cpuid_set(&cpuid, full_cpuid, features ? ARRAY_SIZE(full_cpuid) : 0, &caps), 0);
	msr_init(&s, host, &cpuid);
}

static void make_with(const struct msr_host *host, u64 feature)
{
	struct cpuid_entry e = { .function = feature >> 8 };

	(&e.eax)[feature >> 5 & 3] = 1u << (feature & 0x1f);
	assert_int_equal(cpuid_set(&cpuid, &e, 1, &caps), 0);
	msr_init(&s, host, &cpuid);
}

static int wr(u32 msr, u64 val)
{
	return msr_write(&s, msr, &val, false);
}

static int host_wr(u32 msr, u64 val)
{
	return msr_write(&s, msr, &val, true);
}

static u64 rd(u32 msr)
{
	u64 val = 0xbadbadbad;

	assert_int_equal(msr_read(&s, msr, &val, false), 0);
	return val;
}

/* ---- the table as a whole ---- */

/* What there is for a guest with every feature, and where. Anything else has to be #GP. */
static const struct {
	u32 first, last;
	int read; /* what msr_read() returns */
} map[] = {
	{ 0x0, 0x1, 0 },
	{ 0x10, 0x10, MSR_HOME_TSC },
	{ 0x11, 0x12, 0 },
	{ 0x17, 0x17, 0 },
	{ 0x1b, 0x1b, MSR_HOME_APIC_BASE },
	{ 0x2a, 0x2a, 0 },
	{ 0x3b, 0x3b, 0 },
	{ 0x48, 0x48, 0 },
	{ 0x8b, 0x8b, 0 },
	{ 0xfe, 0xfe, 0 },
	{ 0x174, 0x176, MSR_HOME_VMCB },
	{ 0x179, 0x17b, 0 },
	{ 0x198, 0x199, 0 },
	{ 0x1a0, 0x1a0, 0 },
	{ 0x1d9, 0x1d9, 0 },
	{ 0x1db, 0x1de, 0 },
	{ 0x200, 0x20f, 0 },
	{ 0x250, 0x250, 0 },
	{ 0x258, 0x259, 0 },
	{ 0x268, 0x26f, 0 },
	{ 0x277, 0x277, MSR_HOME_VMCB },
	{ 0x2ff, 0x2ff, 0 },
	{ 0x400, 0x427, 0 },
	{ 0x6e0, 0x6e0, MSR_HOME_TSC_DEADLINE },
	{ 0x800, 0x8ff, MSR_HOME_X2APIC },
	{ 0x4b564d00, 0x4b564d01, 0 },
	{ 0xc0000080, 0xc0000080, MSR_HOME_EFER },
	{ 0xc0000081, 0xc0000084, MSR_HOME_VMCB },
	{ 0xc0000100, 0xc0000102, MSR_HOME_VMCB },
	{ 0xc0000103, 0xc0000103, 0 },
	{ 0xc0010000, 0xc0010007, 0 },
	{ 0xc0010010, 0xc0010010, 0 },
	{ 0xc0010015, 0xc0010015, 0 },
	{ 0xc001001b, 0xc001001b, 0 },
	{ 0xc001001f, 0xc001001f, 0 },
	{ 0xc0010055, 0xc0010055, 0 },
	{ 0xc0010058, 0xc0010058, 0 },
	{ 0xc0010112, 0xc0010114, 0 },
	{ 0xc0010117, 0xc0010117, 0 },
	{ 0xc0010140, 0xc0010141, 0 },
	{ 0xc0011021, 0xc0011023, 0 },
	{ 0xc0011029, 0xc001102a, 0 },
	{ 0xc001102c, 0xc001102c, 0 },
};
/* Can be written, but not read. */
static const u32 write_only[] = { 0x49, 0x79, 0xc0010020, 0xc0010115 };

static int want_read(u32 msr)
{
	for (u32 i = 0; i < ARRAY_SIZE(map); i++)
		if (msr >= map[i].first && msr <= map[i].last)
			return map[i].read;
	return -EINVAL;
}

static bool is_write_only(u32 msr)
{
	for (u32 i = 0; i < ARRAY_SIZE(write_only); i++)
		if (msr == write_only[i])
			return true;
	return false;
}

static void test_every_msr(void **state)
{
	static const u32 ranges[][2] = {
		{ 0, 0x3000 },
		{ 0x40000000, 0x40000200 },
		{ 0x4b564d00, 0x4b564d10 },
		{ 0xbffffff0, 0xc0003000 },
		{ 0xc0010000, 0xc0012000 },
		{ 0xffffff00, 0xffffffff },
	};
	u64 val;

	(void)state;
	make(&full_host, true);
	assert_int_equal(msr_setup_mce(&s, 0x100 | MSR_MCE_BANKS), 0);
	for (u32 i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (u32 msr = ranges[i][0]; msr != ranges[i][1]; msr++) {
			int want = want_read(msr);

			assert_int_equal(msr_read(&s, msr, &val, false), want);
			assert_int_equal(msr_read(&s, msr, &val, true), want);
			/* What is not there cannot be written, by nobody. */
			if (want == -EINVAL && !is_write_only(msr)) {
				assert_int_equal(wr(msr, 0), -EINVAL);
				assert_int_equal(host_wr(msr, 0), -EINVAL);
			}
			if (want > 0)
				assert_int_equal(wr(msr, 0), want);
		}
	}
	for (u32 i = 0; i < ARRAY_SIZE(write_only); i++)
		assert_int_equal(wr(write_only[i], 0), 0);
}

/* Values that are the same for ever, and what a write of them does. */
static void test_constants(void **state)
{
	static const struct {
		u32 msr;
		u64 val;
		int zero, ones; /* results of writing 0 and ~0 */
	} expect[] = {
		{ 0x0, 0, -EINVAL, -EINVAL },
		{ 0x1, 0, -EINVAL, -EINVAL },
		{ 0x17, 0, -EINVAL, -EINVAL },
		{ 0x2a, 0, -EINVAL, -EINVAL },
		{ 0xfe, 0x508, -EINVAL, -EINVAL },
		{ 0x198, 0x400000003e8, -EINVAL, -EINVAL },
		{ 0x199, 0, -EINVAL, -EINVAL },
		{ 0x1d9, 0, 0, -EINVAL },
		{ 0x1db, 0, -EINVAL, -EINVAL },
		{ 0xc0010000, 0, 0, 0 },
		{ 0xc0010007, 0, 0, 0 },
		{ 0xc0010010, 0, -EINVAL, -EINVAL },
		{ 0xc001001b, 0x20000000, 0, 0 },
		{ 0xc001001f, 0, 0, 0 },
		{ 0xc0010055, 0, -EINVAL, -EINVAL },
		{ 0xc0010058, 0, 0, -EINVAL },
		{ 0xc0010112, 0, -EINVAL, -EINVAL },
		{ 0xc0010113, 0, -EINVAL, -EINVAL },
		{ 0xc0010114, 0x18, -EINVAL, -EINVAL },
		{ 0xc0010117, 0, 0, -EINVAL },
		{ 0xc0011021, 0, -EINVAL, -EINVAL },
		{ 0xc0011022, 0, 0, 0 },
		{ 0xc0011023, 0, 0, 0 },
		{ 0xc001102a, 0, 0, 0 },
		{ 0xc001102c, 0, 0, 0 },
		{ 0x179, 0, -EINVAL, -EINVAL },
	};

	(void)state;
	make(&full_host, true);
	for (u32 i = 0; i < ARRAY_SIZE(expect); i++) {
		assert_true(rd(expect[i].msr) == expect[i].val);
		assert_int_equal(wr(expect[i].msr, 0), expect[i].zero);
		assert_int_equal(wr(expect[i].msr, ~0ull), expect[i].ones);
		assert_true(rd(expect[i].msr) == expect[i].val);
	}
	/* DEBUGCTL: LBR and BTF are dropped, reserved bits are not. */
	assert_int_equal(wr(0x1d9, 0x3f), 0);
	assert_int_equal(wr(0x1d9, 0x40), -EINVAL);
	assert_true(rd(0x1d9) == 0);
}

static bool in_list(const u32 *list, u32 n, u32 msr)
{
	for (u32 i = 0; i < n; i++)
		if (list[i] == msr)
			return true;
	return false;
}

/* QEMU aborts if one that is listed cannot be read and written back, on any machine, any CPUID. */
static void test_index_list(void **state)
{
	static const u32 needed[] = { 0x174,	  0x175,      0x176,	  0xc0000081, 0xc0000082,
				      0xc0000083, 0xc0000084, 0xc0000102, 0x10,	      0x277,
				      0x3b,	  0x6e0,      0x1a0,	  0x8b };
	const struct msr_host *hosts[] = { &full_host, &poor_host };
	u32 list[MSR_LIST_MAX];

	(void)state;
	for (u32 h = 0; h < 4; h++) {
		const struct msr_host *host = hosts[h & 1];
		u32 n = msr_index_list(host, list);

		assert_in_range(n, ARRAY_SIZE(needed), MSR_LIST_MAX);
		make(host, h & 2);
		for (u32 i = 0; i < n; i++) {
			u64 val = 0;
			int home = msr_read(&s, list[i], &val, true);

			assert_true(home >= 0);
			assert_true(host_wr(list[i], val) >= 0);
			assert_true(host_wr(list[i], 0) >= 0);
			assert_false(in_list(list, i, list[i]));
		}
		for (u32 i = 0; i < ARRAY_SIZE(needed); i++)
			assert_true(in_list(list, n, needed[i]));
		assert_int_equal(in_list(list, n, 0xc0000103), host->tsc_aux);
		assert_int_equal(in_list(list, n, 0x48), host->spec_ctrl);
	}
}

/* Both numbers of each are the same register; the caller hears of every write. */
static void test_clock(void **state)
{
	static const u32 numbers[][2] = { { 0x11, 0x4b564d00 }, { 0x12, 0x4b564d01 } };
	u64 val;

	(void)state;
	make(&poor_host, false);
	for (u32 i = 0; i < 2; i++) {
		for (u32 j = 0; j < 2; j++) {
			u64 put = 0x1234567890ull + 2 * i + j;

			assert_int_equal(msr_write(&s, numbers[i][j], &put, false), MSR_HOME_CLOCK);
			assert_int_equal(msr_read(&s, numbers[i][!j], &val, false), 0);
			assert_int_equal(val, put);
		}
	}
	assert_int_equal(s.wall_clock, 0x1234567891ull);
	assert_int_equal(s.system_time, 0x1234567893ull);
}

/* What QEMU 7.2 puts at reset whatever is listed. */
static void test_unlisted_of_qemu(void **state)
{
	(void)state;
	make(&poor_host, true);
	assert_int_equal(host_wr(0x2ff, 0), 0);
	for (u32 msr = 0x200; msr < 0x210; msr++)
		assert_int_equal(host_wr(msr, 0), 0);
	assert_int_equal(host_wr(0x250, 0), 0);
	assert_int_equal(host_wr(0x258, 0), 0);
	assert_int_equal(host_wr(0x26f, 0), 0);
	assert_int_equal(host_wr(0x277, 0x0007040600070406), MSR_HOME_VMCB);
	assert_int_equal(host_wr(0x1b, 0xfee00900), MSR_HOME_APIC_BASE);
	assert_int_equal(msr_setup_mce(&s, 0x10a), 0);
	assert_int_equal(host_wr(0x17a, 0), 0);
	assert_int_equal(host_wr(0x17b, ~0ull), 0);
	for (u32 msr = 0x400; msr < 0x428; msr++)
		assert_int_equal(host_wr(msr, msr % 4 ? 0 : ~0ull), 0);
}

static void test_features(void **state)
{
	u32 list[MSR_LIST_MAX];
	u64 val;

	(void)state;
	assert_int_equal(msr_feature_list(list), 2);
	for (u32 i = 0; i < 2; i++)
		assert_int_equal(msr_feature(&full_host, list[i], &val), 0);
	assert_int_equal(msr_feature(&full_host, 0xc0011029, &val), 0);
	assert_true(val == 2);
	assert_int_equal(msr_feature(&poor_host, 0xc0011029, &val), 0);
	assert_true(val == 0);
	assert_int_equal(msr_feature(&full_host, 0x8b, &val), 0);
	assert_true(val == 0x0a20120e);
	assert_int_equal(msr_feature(&full_host, 0x10, &val), -EINVAL);
}

/* ---- values of the control block ---- */

static void test_canonical(void **state)
{
	static const u32 msrs[] = { 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102 };
	struct cpuid_entry e = { .function = 0x80000008, .eax = 57 << 8 | 48 };

	(void)state;
	for (u32 wide = 0; wide < 2; wide++) {
		u32 top = wide ? 56 : 47;

		make(&full_host, true);
		if (wide)
			assert_int_equal(cpuid_set(&cpuid, &e, 1, &caps), 0);
		for (u32 i = 0; i < ARRAY_SIZE(msrs); i++) {
			for (u32 bit = 0; bit < 64; bit++) {
				assert_int_equal(wr(msrs[i], BIT(bit)),
						 bit < top ? MSR_HOME_VMCB : -EINVAL);
				assert_int_equal(wr(msrs[i], ~BIT(bit)),
						 bit < top ? MSR_HOME_VMCB : -EINVAL);
				assert_int_equal(host_wr(msrs[i], BIT(bit)),
						 bit < top ? MSR_HOME_VMCB : -EINVAL);
			}
			assert_int_equal(wr(msrs[i], -BIT(top)), MSR_HOME_VMCB);
			assert_int_equal(wr(msrs[i], BIT(top) - 1), MSR_HOME_VMCB);
		}
	}
	/* These are no addresses. */
	assert_int_equal(wr(0xc0000081, BIT(63)), MSR_HOME_VMCB);
	assert_int_equal(wr(0xc0000084, BIT(63)), MSR_HOME_VMCB);
	/* SYSENTER's addresses have 32 bits. */
	for (u32 msr = 0x175; msr <= 0x176; msr++) {
		u64 val = 0x123456789abcdef0;

		assert_int_equal(msr_write(&s, msr, &val, false), MSR_HOME_VMCB);
		assert_true(val == 0x9abcdef0);
	}
	u64 cs = 0xffff0010;
	assert_int_equal(msr_write(&s, 0x174, &cs, false), MSR_HOME_VMCB);
	assert_true(cs == 0xffff0010);
}

static bool type_ok(u32 type, bool pat)
{
	return type == 0 || type == 1 || type == 4 || type == 5 || type == 6 || (pat && type == 7);
}

static void test_memory_types(void **state)
{
	static const u32 fixed[] = { 0x250, 0x258, 0x259, 0x268, 0x26b, 0x26f };

	(void)state;
	make(&full_host, true);
	for (u32 byte = 0; byte < 8; byte++) {
		for (u32 type = 0; type < 256; type++) {
			u64 val = (0x0606060606060606 & ~(0xffull << byte * 8)) |
				  (u64)type << byte * 8;

			assert_int_equal(wr(0x277, val),
					 type_ok(type, true) ? MSR_HOME_VMCB : -EINVAL);
			for (u32 i = 0; i < ARRAY_SIZE(fixed); i++) {
				u64 old = rd(fixed[i]);

				assert_int_equal(wr(fixed[i], val),
						 type_ok(type, false) ? 0 : -EINVAL);
				assert_true(rd(fixed[i]) == (type_ok(type, false) ? val : old));
			}
		}
	}
	/* Each has a place of its own. */
	for (u32 i = 0; i < ARRAY_SIZE(fixed); i++)
		assert_int_equal(wr(fixed[i], type_ok(i, false) ? i : 0x0100 + 4), 0);
	for (u32 i = 0; i < ARRAY_SIZE(fixed); i++)
		assert_int_equal(rd(fixed[i]), type_ok(i, false) ? i : 0x0100 + 4);

	for (u32 type = 0; type < 256; type++)
		assert_int_equal(wr(0x2ff, type | 0xc00), type_ok(type, false) ? 0 : -EINVAL);
	for (u32 bit = 8; bit < 64; bit++)
		assert_int_equal(wr(0x2ff, BIT(bit) | 6), bit == 10 || bit == 11 ? 0 : -EINVAL);
	assert_int_equal(wr(0x2ff, 0xc06), 0);
	assert_int_equal(wr(0x2ff, 0x1c06), -EINVAL);
	assert_int_equal(rd(0x2ff), 0xc06);
}

static void test_variable_mtrrs(void **state)
{
	(void)state;
	make(&full_host, true);
	for (u32 n = 0; n < MSR_VAR_MTRRS; n++) {
		for (u32 bit = 0; bit < 64; bit++) {
			bool base_ok = (bit >= 12 && bit < 40) || bit == 0 || bit == 2;
			bool mask_ok = (bit >= 12 && bit < 40) || bit == 11;

			assert_int_equal(wr(0x200 + 2 * n, BIT(bit)), base_ok ? 0 : -EINVAL);
			assert_int_equal(wr(0x201 + 2 * n, BIT(bit)), mask_ok ? 0 : -EINVAL);
		}
		for (u32 type = 0; type < 256; type++)
			assert_int_equal(wr(0x200 + 2 * n, 0x80000000 | type),
					 type_ok(type, false) ? 0 : -EINVAL);
		assert_int_equal(wr(0x200 + 2 * n, n << 20 | 6), 0);
		assert_int_equal(wr(0x201 + 2 * n, n << 24 | 0x800), 0);
	}
	for (u32 n = 0; n < MSR_VAR_MTRRS; n++) {
		assert_int_equal(rd(0x200 + 2 * n), n << 20 | 6);
		assert_int_equal(rd(0x201 + 2 * n), n << 24 | 0x800);
	}
}

/* ---- held values ---- */

static void test_power_on(void **state)
{
	(void)state;
	make(&full_host, true);
	assert_true(rd(0x8b) == 0x01000065);
	assert_true(rd(0x1a0) == 0x1800);
	assert_true(rd(0xc0010015) == BIT(24));
	assert_true(rd(0xc0011029) == 2);
	assert_true(rd(0xc0010140) == 3);
	assert_true(rd(0xc0010141) == 0);
	assert_true(rd(0x2ff) == 0);
	assert_true(rd(0x3b) == 0);
	assert_true(rd(0x179) == 0);
	assert_true(rd(0x17a) == 0);
	make(&poor_host, true);
	assert_true(rd(0xc0011029) == 0);
}

static void test_tsc_adjust(void **state)
{
	u64 val = 1000;

	(void)state;
	make_with(&full_host, CPUID_F_TSC_ADJUST);
	assert_int_equal(msr_write(&s, 0x3b, &val, false), MSR_HOME_TSC_ADJUST);
	assert_true(val == 1000);
	val = 400;
	assert_int_equal(msr_write(&s, 0x3b, &val, false), MSR_HOME_TSC_ADJUST);
	assert_true(val == (u64)-600);
	assert_true(rd(0x3b) == 400);
	/* The host restores the register; the TSC it restores itself. */
	assert_int_equal(host_wr(0x3b, 77), 0);
	assert_true(rd(0x3b) == 77);
	make(&full_host, false);
	assert_int_equal(msr_read(&s, 0x3b, &val, false), -EINVAL);
	assert_int_equal(wr(0x3b, 1), -EINVAL);
	assert_int_equal(host_wr(0x3b, 5), 0);
	assert_int_equal(msr_read(&s, 0x3b, &val, true), 0);
	assert_true(val == 5);
}

static void test_tsc_aux(void **state)
{
	static const u64 either[] = { CPUID_F_RDTSCP, CPUID_F_RDPID };
	u64 val;

	(void)state;
	for (u32 i = 0; i < 2; i++) {
		make_with(&full_host, either[i]);
		val = 0xdeadbeef00000007;
		assert_int_equal(msr_write(&s, 0xc0000103, &val, false), MSR_HOME_TSC_AUX);
		assert_true(val == 7);
		assert_true(rd(0xc0000103) == 7);
		assert_true(s.tsc_aux == 7);
	}
	make(&full_host, false);
	assert_int_equal(msr_read(&s, 0xc0000103, &val, false), -EINVAL);
	assert_int_equal(wr(0xc0000103, 7), -EINVAL);
	assert_int_equal(host_wr(0xc0000103, 7), MSR_HOME_TSC_AUX);
	make(&poor_host, true);
	assert_int_equal(wr(0xc0000103, 7), -EINVAL);
	assert_int_equal(host_wr(0xc0000103, 7), -EINVAL);
	assert_int_equal(msr_read(&s, 0xc0000103, &val, true), -EINVAL);
}

static void test_tsc_deadline(void **state)
{
	u64 val;

	(void)state;
	make_with(&full_host, CPUID_F_TSC_DEADLINE);
	assert_int_equal(msr_read(&s, 0x6e0, &val, false), MSR_HOME_TSC_DEADLINE);
	assert_int_equal(wr(0x6e0, 5), MSR_HOME_TSC_DEADLINE);
	make(&full_host, false);
	assert_int_equal(msr_read(&s, 0x6e0, &val, false), -EINVAL);
	assert_int_equal(wr(0x6e0, 5), -EINVAL);
	assert_int_equal(host_wr(0x6e0, 5), MSR_HOME_TSC_DEADLINE);
}

static void test_spec_ctrl(void **state)
{
	static const struct {
		u64 feature;
		u64 bits;
		bool ibpb;
	} cases[] = {
		{ CPUID_F_SPEC_CTRL, 1, true },	   { CPUID_F_AMD_IBRS, 1, false },
		{ CPUID_F_STIBP, 2, false },	   { CPUID_F_AMD_STIBP, 2, false },
		{ CPUID_F_SSBD, 4, false },	   { CPUID_F_AMD_SSBD, 4, false },
		{ CPUID_F_AMD_PSFD, 0x80, false }, { CPUID_F_AMD_IBPB, 0, true },
		{ CPUID_F_LM, 0, false },
	};
	struct msr_host host = full_host;
	u64 val;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		make_with(&full_host, cases[i].feature);
		for (u32 bit = 0; bit < 64; bit++)
			assert_int_equal(wr(0x48, BIT(bit)),
					 BIT(bit) & cases[i].bits ? MSR_HOME_SPEC_CTRL : -EINVAL);
		assert_true(s.spec_ctrl == cases[i].bits);
		assert_int_equal(wr(0x48, 0), cases[i].bits ? MSR_HOME_SPEC_CTRL : -EINVAL);
		assert_int_equal(msr_read(&s, 0x48, &val, false), cases[i].bits ? 0 : -EINVAL);
		assert_int_equal(wr(0x49, 1), cases[i].ibpb ? MSR_HOME_PRED_CMD : -EINVAL);
		assert_int_equal(wr(0x49, 0), cases[i].ibpb ? 0 : -EINVAL);
		assert_int_equal(wr(0x49, 2), -EINVAL);
		assert_int_equal(msr_read(&s, 0x49, &val, false), -EINVAL);
		/* The host goes by the machine. */
		assert_int_equal(host_wr(0x48, 0x87), MSR_HOME_SPEC_CTRL);
		assert_int_equal(host_wr(0x48, 0x8), -EINVAL);
		assert_int_equal(msr_read(&s, 0x48, &val, true), 0);
		assert_true(val == 0x87);
		assert_int_equal(host_wr(0x49, 1), MSR_HOME_PRED_CMD);
	}
	/* A machine without a bit, or without any of it. */
	host.spec_ctrl_bits = 1;
	make(&host, true);
	assert_int_equal(wr(0x48, 1), MSR_HOME_SPEC_CTRL);
	assert_int_equal(wr(0x48, 2), -EINVAL);
	make(&poor_host, true);
	assert_int_equal(wr(0x48, 0), -EINVAL);
	assert_int_equal(wr(0x49, 1), -EINVAL);
	assert_int_equal(host_wr(0x48, 0), -EINVAL);
	assert_int_equal(host_wr(0x49, 1), -EINVAL);
	assert_int_equal(msr_read(&s, 0x48, &val, true), -EINVAL);
}

static void test_patch_level(void **state)
{
	(void)state;
	make(&full_host, true);
	assert_int_equal(wr(0x8b, 0), 0); /* Linux does this before reading it */
	assert_true(rd(0x8b) == 0x01000065);
	assert_int_equal(host_wr(0x8b, 0x1234567800000000), 0);
	assert_true(rd(0x8b) == 0x1234567800000000);
	assert_int_equal(wr(0xc0010020, 0xffff888000000000), 0);
	assert_int_equal(wr(0x79, 1), 0);
}

static void test_misc_enable(void **state)
{
	(void)state;
	make(&full_host, true);
	assert_int_equal(wr(0x1a0, 0x1801), 0);
	assert_true(rd(0x1a0) == 0x1801);
	assert_int_equal(wr(0x1a0, 0x1001), -EINVAL); /* PEBS and BTS stay away */
	assert_int_equal(wr(0x1a0, 0x0801), -EINVAL);
	assert_int_equal(wr(0x1a0, 0x1880), 0); /* nor does the PMU appear */
	assert_true(rd(0x1a0) == 0x1800);
	assert_int_equal(host_wr(0x1a0, 0x81), 0);
	assert_true(rd(0x1a0) == 0x81);
	assert_int_equal(wr(0x1a0, 0x0), 0);
	assert_true(rd(0x1a0) == 0x80);
}

static void test_hwcr(void **state)
{
	(void)state;
	make(&full_host, true);
	for (u32 bit = 0; bit < 64; bit++) {
		bool ok = bit == 3 || bit == 6 || bit == 8 || bit == 18 || bit == 24;

		assert_int_equal(wr(0xc0010015, BIT(bit)), ok ? 0 : -EINVAL);
		assert_true((rd(0xc0010015) & ~BIT(18)) == BIT(24));
		if (ok)
			assert_int_equal(rd(0xc0010015) >> 18 & 1, bit == 18);
	}
	assert_int_equal(wr(0xc0010015, rd(0xc0010015)), 0);
}

static void test_de_cfg(void **state)
{
	(void)state;
	make(&full_host, true);
	assert_int_equal(wr(0xc0011029, 2), 0);
	assert_int_equal(wr(0xc0011029, 0), -EINVAL);
	assert_int_equal(wr(0xc0011029, 0x202), -EINVAL);
	assert_int_equal(host_wr(0xc0011029, 0x202), -EINVAL);
	assert_int_equal(host_wr(0xc0011029, 0), 0);
	assert_true(rd(0xc0011029) == 0);
	assert_int_equal(wr(0xc0011029, 2), -EINVAL);
	make(&poor_host, true);
	assert_int_equal(host_wr(0xc0011029, 2), -EINVAL);
	assert_int_equal(host_wr(0xc0011029, 0), 0);
}

static void test_osvw(void **state)
{
	u64 val;

	(void)state;
	make_with(&full_host, CPUID_F_OSVW);
	assert_int_equal(wr(0xc0010140, 5), 0);
	assert_int_equal(wr(0xc0010141, 9), 0);
	assert_true(rd(0xc0010140) == 5);
	assert_true(rd(0xc0010141) == 9);
	make(&full_host, false);
	assert_int_equal(wr(0xc0010140, 5), -EINVAL);
	assert_int_equal(msr_read(&s, 0xc0010141, &val, false), -EINVAL);
	assert_int_equal(host_wr(0xc0010141, 5), 0);
}

static void test_machine_check(void **state)
{
	u64 val;

	(void)state;
	make(&full_host, true);
	/* None until user space asks for them. */
	assert_int_equal(msr_read(&s, 0x400, &val, false), -EINVAL);
	assert_int_equal(msr_read(&s, 0x400, &val, true), -EINVAL);
	assert_int_equal(msr_read(&s, 0x17b, &val, false), -EINVAL);
	assert_int_equal(wr(0x17b, 0), -EINVAL);
	assert_int_equal(msr_read(&s, 0x17b, &val, true), 0);
	assert_int_equal(host_wr(0x17b, 0), 0);
	assert_int_equal(host_wr(0x17b, ~0ull), -EINVAL);
	assert_int_equal(wr(0x17a, 5), 0);
	assert_true(rd(0x17a) == 5);

	assert_int_equal(msr_setup_mce(&s, 0), -EINVAL);
	assert_int_equal(msr_setup_mce(&s, MSR_MCE_BANKS + 1), -EINVAL);
	assert_int_equal(msr_setup_mce(&s, 1 | BIT(24)), -EINVAL);
	assert_int_equal(msr_setup_mce(&s, 3 | BIT(8)), 0);
	assert_true(rd(0x179) == 0x103);
	assert_true(rd(0x17b) == ~0ull);
	assert_int_equal(wr(0x17b, 0), 0);
	assert_int_equal(wr(0x17b, 1), -EINVAL);
	assert_int_equal(wr(0x17b, ~0ull), 0);
	for (u32 n = 0; n < 4 * MSR_MCE_BANKS; n++) {
		u32 msr = 0x400 + n;

		assert_int_equal(msr_read(&s, msr, &val, false), n < 12 ? 0 : -EINVAL);
		assert_int_equal(wr(msr, 0), n < 12 ? 0 : -EINVAL);
	}
	for (u32 bank = 0; bank < 3; bank++) {
		u32 msr = 0x400 + 4 * bank;

		assert_int_equal(wr(msr, ~0ull), 0);
		assert_int_equal(wr(msr, ~BIT(10)), 0);
		assert_int_equal(wr(msr, ~BIT(0)), 0);
		assert_int_equal(wr(msr, ~BIT(1)), -EINVAL);
		assert_int_equal(wr(msr, 1), -EINVAL);
		/* STATUS: only 0, unless HWCR says so. */
		assert_int_equal(wr(msr + 1, 7), -EINVAL);
		assert_int_equal(host_wr(msr + 1, 7), 0);
		assert_int_equal(wr(0xc0010015, BIT(18)), 0);
		assert_int_equal(wr(msr + 1, 9 + bank), 0);
		assert_int_equal(wr(0xc0010015, 0), 0);
		assert_true(rd(msr + 1) == 9 + bank);
		assert_int_equal(wr(msr + 2, 100 + bank), 0);
		assert_int_equal(wr(msr + 3, 200 + bank), 0);
	}
	for (u32 bank = 0; bank < 3; bank++) {
		assert_true(rd(0x402 + 4 * bank) == 100 + bank);
		assert_true(rd(0x403 + 4 * bank) == 200 + bank);
	}
	/* Without MCG_CTL_P there is no MCG_CTL. */
	make(&full_host, true);
	assert_int_equal(msr_setup_mce(&s, MSR_MCE_BANKS), 0);
	assert_int_equal(wr(0x17b, 0), -EINVAL);
	assert_int_equal(host_wr(0x17b, ~0ull), -EINVAL);
	assert_int_equal(msr_read(&s, 0x17b, &val, true), 0);
	assert_true(val == 0);
	assert_true(rd(0x400 + 4 * MSR_MCE_BANKS - 4) == ~0ull);
}

/* ---- EFER ---- */

static int efer(u64 old, bool paging, u64 *val, bool host)
{
	return msr_check_efer(&s, old, paging, val, host);
}

static void test_efer_bits(void **state)
{
	static const struct {
		u32 bit;
		u64 feature; /* 0: needs none */
		bool poor;   /* the poor machine has it */
	} bits[] = {
		{ 0, 0, true },		  { 8, CPUID_F_LM, true },	   { 10, CPUID_F_LM, true },
		{ 11, CPUID_F_NX, true }, { 14, CPUID_F_FXSR_OPT, false },
	};

	(void)state;
	for (u32 bit = 0; bit < 64; bit++) {
		u64 feature = ~0ull, val;
		bool known = false, poor = false;

		for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
			if (bits[i].bit != bit)
				continue;
			known = true;
			feature = bits[i].feature;
			poor = bits[i].poor;
		}
		make(&full_host, true);
		val = BIT(bit);
		assert_int_equal(efer(0, false, &val, false), known ? 0 : -EINVAL);
		val = BIT(bit);
		assert_int_equal(efer(0, false, &val, true), known ? 0 : -EINVAL);
		/* The guest needs the feature, the host does not. */
		make(&full_host, false);
		val = BIT(bit);
		assert_int_equal(efer(0, false, &val, false), known && !feature ? 0 : -EINVAL);
		val = BIT(bit);
		assert_int_equal(efer(0, false, &val, true), known ? 0 : -EINVAL);
		if (known && feature) {
			make_with(&full_host, feature);
			val = BIT(bit);
			assert_int_equal(efer(0, false, &val, false), 0);
		}
		make(&poor_host, true);
		val = BIT(bit);
		assert_int_equal(efer(0, false, &val, true), poor ? 0 : -EINVAL);
	}
}

static void test_efer_long_mode(void **state)
{
	(void)state;
	make(&full_host, true);
	for (u32 i = 0; i < 32; i++) {
		u64 old = (i & 1 ? MSR_EFER_LME : 0) | (i & 2 ? MSR_EFER_LMA : 0);
		u64 new = (i & 4 ? MSR_EFER_LME : 0) | (i & 8 ? MSR_EFER_LMA : 0) | MSR_EFER_SCE;
		bool paging = i & 16;
		bool changes = (old ^ new) & MSR_EFER_LME;
		u64 val = new;

		assert_int_equal(efer(old, paging, &val, false), paging && changes ? -EINVAL : 0);
		if (!(paging && changes))
			assert_true(val == ((new & ~MSR_EFER_LMA) | (old & MSR_EFER_LMA)));
		else
			assert_true(val == new);
		val = new;
		assert_int_equal(efer(old, paging, &val, true), 0);
		assert_true(val == ((new & ~MSR_EFER_LMA) | (old & MSR_EFER_LMA)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_msr),
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_index_list),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_unlisted_of_qemu),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_memory_types),
		cmocka_unit_test(test_variable_mtrrs),
		cmocka_unit_test(test_power_on),
		cmocka_unit_test(test_tsc_adjust),
		cmocka_unit_test(test_tsc_aux),
		cmocka_unit_test(test_tsc_deadline),
		cmocka_unit_test(test_spec_ctrl),
		cmocka_unit_test(test_patch_level),
		cmocka_unit_test(test_misc_enable),
		cmocka_unit_test(test_hwcr),
		cmocka_unit_test(test_de_cfg),
		cmocka_unit_test(test_osvw),
		cmocka_unit_test(test_machine_check),
		cmocka_unit_test(test_efer_bits),
		cmocka_unit_test(test_efer_long_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
