// SPDX-License-Identifier: GPL-2.0-only
/* CPUID of children (core/x86/cpuid_policy.c), L8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/x86/cpuid_policy.h"

enum {
	EAX,
	EBX,
	ECX,
	EDX
};

static const struct cpuid_caps all_caps = { .xcr0 = CPUID_XCR0_MAX, .spec_ctrl = true };
static struct cpuid_entry out[CPUID_MAX_ENTRIES];
static u32 out_count;

/* ---- machines ---- */

static u32 max_basic, max_extended, host_fill, leaf_7_max;
static u64 host_xcr0;

/* A machine that has every bit set, or none, but for what has a structure. */
static void host(u32 leaf, u32 sub, u32 r[4])
{
	static const u32 xstate[CPUID_XSTATES][3] = {
		[2] = { 256, 576, 0 },	 [5] = { 64, 832, 0 }, [6] = { 512, 896, 2 },
		[7] = { 1024, 1408, 2 }, [9] = { 8, 2432, 0 },
	};

	for (u32 i = 0; i < 4; i++)
		r[i] = host_fill;
	switch (leaf) {
	case 0:
		r[EAX] = max_basic;
		break;
	case 0x80000000:
		r[EAX] = max_extended;
		break;
	case 0x80000008:
		r[EAX] = 0x00303930; /* widths: of guests' addresses, linear, physical */
		break;
	case 7:
		r[EAX] = sub == 0 ? leaf_7_max : host_fill;
		break;
	case 0xd:
		if (sub == 0) {
			r[EAX] = host_xcr0;
			r[EDX] = host_xcr0 >> 32;
		} else if (sub > 1) {
			assert_true(sub < CPUID_XSTATES);
			for (u32 i = 0; i < 3; i++)
				r[i] = xstate[sub][i];
		}
		break;
	case 0x8000001d:
		/* Four caches, the list ends with type 0. */
		r[EAX] = sub < 4 ? 0x121 + sub : 0;
		break;
	}
}

static void set_host(u32 fill)
{
	max_basic = 0x1f;
	max_extended = 0x80000028;
	host_fill = fill;
	leaf_7_max = fill ? 2 : 0;
	host_xcr0 = fill ? ~0ull : 0;
}

static void get_supported(const struct cpuid_caps *caps)
{
	int n = cpuid_supported(out, ARRAY_SIZE(out), host, caps);

	assert_in_range(n, 1, ARRAY_SIZE(out));
	out_count = n;
}

static const struct cpuid_entry *entry(u32 function, u32 index)
{
	for (u32 i = 0; i < out_count; i++)
		if (out[i].function == function && out[i].index == index)
			return &out[i];
	return NULL;
}

static u32 reg(u32 function, u32 index, u32 r)
{
	const struct cpuid_entry *e = entry(function, index);

	return e ? (&e->eax)[r] : 0;
}

static bool bit(u32 function, u32 index, u32 r, u32 n)
{
	return reg(function, index, r) >> n & 1;
}

/* ---- what can be offered ---- */

/* Whatever the machine has, these are not virtualized. */
static void test_never_offered(void **state)
{
	static const struct {
		u32 function, index, reg, bit;
	} never[] = {
		{ 1, 0, ECX, 2 },	    /* DTES64 */
		{ 1, 0, ECX, 3 },	    /* MONITOR */
		{ 1, 0, ECX, 5 },	    /* VMX */
		{ 1, 0, ECX, 6 },	    /* SMX */
		{ 1, 0, ECX, 15 },	    /* PDCM */
		{ 1, 0, ECX, 27 },	    /* OSXSAVE */
		{ 1, 0, EDX, 18 },	    /* PSN */
		{ 1, 0, EDX, 21 },	    /* DS */
		{ 1, 0, EDX, 22 },	    /* ACPI */
		{ 1, 0, EDX, 28 },	    /* HTT: user space knows */
		{ 7, 0, EBX, 2 },	    /* SGX */
		{ 7, 0, EBX, 4 },	    /* HLE */
		{ 7, 0, EBX, 11 },	    /* RTM */
		{ 7, 0, EBX, 12 },	    /* PQM */
		{ 7, 0, EBX, 14 },	    /* MPX */
		{ 7, 0, EBX, 15 },	    /* PQE */
		{ 7, 0, EBX, 25 },	    /* Intel PT */
		{ 7, 0, ECX, 4 },	    /* OSPKE */
		{ 7, 0, ECX, 5 },	    /* WAITPKG */
		{ 7, 0, ECX, 7 },	    /* shadow stacks: need XSS */
		{ 7, 0, ECX, 24 },	    /* bus lock detection */
		{ 7, 0, ECX, 29 },	    /* ENQCMD */
		{ 7, 0, ECX, 31 },	    /* PKS */
		{ 7, 0, EDX, 20 },	    /* IBT */
		{ 7, 0, EDX, 22 },	    /* AMX */
		{ 7, 0, EDX, 29 },	    /* ARCH_CAPABILITIES */
		{ 0xd, 1, EAX, 3 },	    /* XSAVES */
		{ 0xd, 1, EAX, 4 },	    /* XFD */
		{ 0x80000001, 0, ECX, 2 },  /* SVM */
		{ 0x80000001, 0, ECX, 3 },  /* extended APIC space */
		{ 0x80000001, 0, ECX, 10 }, /* IBS */
		{ 0x80000001, 0, ECX, 12 }, /* SKINIT */
		{ 0x80000001, 0, ECX, 13 }, /* WDT */
		{ 0x80000001, 0, ECX, 15 }, /* LWP */
		{ 0x80000001, 0, ECX, 19 }, /* NODEID_MSR */
		{ 0x80000001, 0, ECX, 23 }, /* performance counters */
		{ 0x80000001, 0, ECX, 24 }, { 0x80000001, 0, ECX, 26 },
		{ 0x80000001, 0, ECX, 28 }, { 0x80000001, 0, ECX, 29 }, /* MONITORX */
		{ 0x80000008, 0, EBX, 1 },				/* instructions retired */
		{ 0x80000008, 0, EBX, 3 },				/* INVLPGB */
		{ 0x80000008, 0, EBX, 4 },				/* RDPRU */
		{ 0x80000008, 0, EBX, 6 },				/* MBE */
		{ 0x80000008, 0, EBX, 8 },				/* MCOMMIT */
		{ 0x80000008, 0, EBX, 20 },				/* no EFER.LMSLE */
		{ 0x80000008, 0, EBX, 25 },				/* VIRT_SSBD */
		{ 0x80000021, 0, EAX, 8 },  /* automatic IBRS: an EFER bit */
		{ 0x80000021, 0, EAX, 17 }, /* CPUID faulting */
	};

	(void)state;
	set_host(~0u);
	get_supported(&all_caps);
	for (u32 i = 0; i < ARRAY_SIZE(never); i++) {
		assert_non_null(entry(never[i].function, never[i].index));
		assert_false(bit(never[i].function, never[i].index, never[i].reg, never[i].bit));
	}
	/* Whole leaves: MONITOR, performance counters, SVM, SME, IBS, QoS ... */
	static const u32 leaves[] = { 5,	  0xa,	      0xf,	  0x10,	      0x12,
				      0x14,	  0x19,	      0x1d,	  0x8000000a, 0x8000001b,
				      0x8000001c, 0x8000001f, 0x80000020, 0x80000022 };
	for (u32 i = 0; i < ARRAY_SIZE(leaves); i++)
		assert_null(entry(leaves[i], 0));
	assert_int_equal(reg(0, 0, EAX), 0xd);
	assert_int_equal(reg(0x80000000, 0, EAX), 0x80000021);
	assert_int_equal(reg(7, 0, EAX), 1);
	/* Topology is user space's: blank. */
	for (u32 r = 0; r < 4; r++) {
		assert_int_equal(reg(0xb, 0, r), 0);
		assert_int_equal(reg(0xb, 1, r), 0);
		assert_int_equal(reg(0x8000001e, 0, r), 0);
	}
	assert_non_null(entry(0xb, 1));
	assert_non_null(entry(0x8000001e, 0));
	/* No APIC ID and processor count of this CPU. */
	assert_int_equal(reg(1, 0, EBX), 0xff00);
	assert_int_equal(reg(0x80000008, 0, EAX), 0x3930);
	assert_int_equal(reg(0x80000008, 0, ECX), 0);
	assert_int_equal(reg(0x80000007, 0, EDX), 0x100);
}

/* What is virtualized without the machine's help. */
static void test_always_offered(void **state)
{
	(void)state;
	set_host(0);
	get_supported(&all_caps);
	assert_true(bit(1, 0, ECX, 21)); /* x2APIC */
	assert_true(bit(1, 0, ECX, 24)); /* TSC deadline */
	assert_true(bit(1, 0, ECX, 31)); /* hypervisor */
	assert_true(bit(1, 0, EDX, 9));
	assert_true(bit(0x80000001, 0, EDX, 9));
	assert_true(bit(7, 0, EBX, 1)); /* TSC_ADJUST */
	assert_true(bit(6, 0, EAX, 2)); /* ARAT */
	assert_memory_equal(&entry(0x40000000, 0)->ebx, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(reg(0x40000000, 0, EAX), 0x40000001);
	assert_int_equal(reg(0x40000001, 0, EAX), 0x0100000b); /* the clock, no delays for I/O */
	assert_int_equal(reg(1, 0, ECX), 1u << 21 | 1u << 24 | 1u << 31);
	assert_int_equal(reg(1, 0, EDX), 1u << 9);
	assert_int_equal(reg(7, 0, EBX), 2);
	assert_null(entry(0xd, 0));
	assert_int_equal(reg(0x80000007, 0, EDX), 0); /* invariant TSC as the machine has it */
	assert_null(entry(0x80000007, 0));
}

/* A few that a usable child cannot do without. */
static void test_offered_if_there(void **state)
{
	static const struct {
		u32 function, index, reg;
		u32 bits;
	} want[] = {
		{ 1, 0, EDX, 0x0783fbff }, /* all of x86-64's baseline */
		{ 1, 0, ECX, 0xf6f83203 },
		{ 7, 0, EBX, 0xf1bf07e9 },
		{ 7, 0, ECX, 1u << 2 | 1u << 3 | 1u << 16 | 1u << 22 }, /* UMIP PKU LA57 RDPID */
		{ 0xd, 1, EAX, 7 },
		{ 0x80000001, 0, EDX, 0xefd3fbff },
		{ 0x80000001, 0, ECX, 0x00410bf3 },
		{ 0x80000008, 0, EBX, 1 | 1u << 12 | 1u << 14 | 1u << 15 | 1u << 24 },
		{ 0x80000021, 0, EAX, 1 | 4 | 0x40 | 0x200 },
	};

	(void)state;
	set_host(~0u);
	get_supported(&all_caps);
	for (u32 i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(reg(want[i].function, want[i].index, want[i].reg) & want[i].bits,
				 want[i].bits);
	for (u32 n = 2; n <= 4; n++)
		for (u32 r = 0; r < 4; r++)
			assert_int_equal(reg(0x80000000 | n, 0, r), ~0u);
	assert_int_equal(reg(0x80000001, 0, EBX), 0xf000ffff);
	assert_int_equal(reg(0x80000006, 0, EDX), 0xfffcffff);
	assert_int_equal(reg(0x80000019, 0, EAX), ~0u);
	assert_int_equal(reg(0x80000019, 0, EBX), ~0u);
	assert_int_equal(reg(0x8000001a, 0, EAX), 7);
	assert_int_equal(reg(7, 1, EAX), 1u << 4 | 1u << 5 | 7u << 10);
	/* Caches, with the end of the list; a machine whose list has no end is cut off. */
	for (u32 n = 0; n < 5; n++)
		assert_int_equal(reg(0x8000001d, n, EAX), n < 4 ? 0x121 + n : 0);
	assert_non_null(entry(0x8000001d, 4));
	assert_null(entry(0x8000001d, 5));
}

static void endless_caches(u32 leaf, u32 sub, u32 r[4])
{
	host(leaf, sub, r);
	if (leaf == 0x8000001d)
		r[EAX] = 1;
}

static void test_shape(void **state)
{
	(void)state;
	for (u32 fill = 0; fill < 2; fill++) {
		set_host(fill ? ~0u : 0);
		get_supported(&all_caps);
		for (u32 i = 0; i < out_count; i++) {
			const struct cpuid_entry *e = &out[i];
			u32 f = e->function;
			bool indexed = f == 7 || f == 0xb || f == 0xd || f == 0x8000001d;

			assert_int_equal(e->flags, indexed ? CPUID_FLAG_INDEX : 0);
			assert_int_equal(e->padding[0] | e->padding[1] | e->padding[2], 0);
			if (i > 0)
				assert_true(((u64)e[-1].function << 32 | e[-1].index) <
					    ((u64)f << 32 | e->index));
		}
	}
	/* Room for exactly what there is. */
	set_host(~0u);
	get_supported(&all_caps);
	struct cpuid_entry small[CPUID_MAX_ENTRIES];
	for (u32 max = 0; max < out_count; max++) {
		memset(small, 0x5a, sizeof(small));
		assert_int_equal(cpuid_supported(small, max, host, &all_caps), -E2BIG);
		assert_int_equal(small[max].function, 0x5a5a5a5a);
	}
	assert_int_equal(cpuid_supported(small, out_count, host, &all_caps), (int)out_count);
	assert_memory_equal(small, out, out_count * sizeof(*out));
	assert_int_equal(cpuid_supported(small, CPUID_MAX_ENTRIES, endless_caches, &all_caps),
			 (int)out_count + 3);
}

static void test_old_machines(void **state)
{
	(void)state;
	set_host(~0u);
	max_basic = 1;
	max_extended = 0x80000008;
	get_supported(&all_caps);
	assert_int_equal(reg(0, 0, EAX), 1);
	assert_int_equal(reg(0x80000000, 0, EAX), 0x80000008);
	assert_null(entry(6, 0));
	assert_null(entry(7, 0));
	assert_null(entry(0xd, 0));
	assert_null(entry(0x80000019, 0));
	assert_null(entry(0x8000001d, 0));
	assert_false(bit(1, 0, ECX, 26)); /* XSAVE without leaf D */
	assert_false(bit(1, 0, ECX, 28));
	assert_non_null(entry(0x80000008, 0));
	assert_non_null(entry(0x40000000, 0));
	/* Extended leaves that are none. */
	max_extended = 0x1234;
	get_supported(&all_caps);
	assert_null(entry(0x80000000, 0));
	assert_null(entry(0x80000001, 0));
	/* The last leaf counts. */
	set_host(~0u);
	max_basic = 6;
	get_supported(&all_caps);
	assert_non_null(entry(6, 0));
	assert_null(entry(7, 0));
	max_basic = 7;
	get_supported(&all_caps);
	assert_non_null(entry(7, 0));
	assert_non_null(entry(7, 1));
	max_basic = 0xc;
	get_supported(&all_caps);
	assert_null(entry(0xd, 0));
	max_basic = 0xd;
	get_supported(&all_caps);
	assert_non_null(entry(0xd, 0));
	max_extended = 0x8000001d;
	get_supported(&all_caps);
	assert_non_null(entry(0x8000001d, 0));
	assert_null(entry(0x80000021, 0));
	max_extended = 0x8000001c;
	get_supported(&all_caps);
	assert_null(entry(0x8000001d, 0));
	max_extended = 0x80000000;
	get_supported(&all_caps);
	assert_int_equal(reg(0x80000000, 0, EAX), 0x80000000);
	assert_null(entry(0x80000001, 0));
	/* Leaf 7 with two sub-leaves and with one. */
	set_host(~0u);
	leaf_7_max = 1;
	get_supported(&all_caps);
	assert_int_equal(reg(7, 0, EAX), 1);
	assert_non_null(entry(7, 1));
	leaf_7_max = 0;
	get_supported(&all_caps);
	assert_int_equal(reg(7, 0, EAX), 0);
	assert_null(entry(7, 1));
	set_host(0);
	get_supported(&all_caps);
	assert_null(entry(7, 1));
}

static void test_extended_state(void **state)
{
	static const struct {
		u64 caps, host, got;
		u32 size, compact;
	} cases[] = {
		{ 0, ~0ull, 0, 0, 0 },
		{ ~0ull, 0, 0, 0, 0 },
		{ 1, ~0ull, 0, 0, 0 }, /* no SSE, nothing */
		{ 4, ~0ull, 0, 0, 0 },
		{ 3, ~0ull, 3, 576, 576 },
		{ ~0ull, 3, 3, 576, 576 },
		{ 7, ~0ull, 7, 832, 832 },
		{ 0x203, ~0ull, 0x203, 2440, 584 },
		{ 0x207, ~0ull, 0x207, 2440, 840 },
		{ 0xe3, ~0ull, 3, 576, 576 }, /* AVX-512 needs AVX */
		{ 0x67, ~0ull, 7, 832, 832 }, /* and all three parts */
		{ 0xa7, ~0ull, 7, 832, 832 },
		{ 0xc7, ~0ull, 7, 832, 832 },
		{ 0xe7, ~0ull, 0xe7, 2432, 2432 },
		{ CPUID_XCR0_MAX, ~0ull, 0x2e7, 2440, 2440 },
		{ ~0ull, ~0ull, 0x2e7, 2440, 2440 },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpuid_caps caps = { .xcr0 = cases[i].caps };
		u64 got = cases[i].got;
		bool avx = got & 4, avx512 = got & 0xe0, pku = got & 0x200;

		set_host(~0u);
		host_xcr0 = cases[i].host;
		get_supported(&caps);
		assert_int_equal(reg(0xd, 0, EAX), got);
		assert_int_equal(reg(0xd, 0, EDX), 0);
		assert_int_equal(reg(0xd, 0, EBX), cases[i].size);
		assert_int_equal(reg(0xd, 0, ECX), cases[i].size);
		assert_int_equal(reg(0xd, 1, EBX), cases[i].compact);
		assert_int_equal(reg(0xd, 1, EAX), got ? 7 : 0);
		for (u32 n = 2; n < 64; n++)
			assert_int_equal(!!entry(0xd, n), got >> n & 1);
		assert_int_equal(bit(1, 0, ECX, 26), got != 0);
		assert_int_equal(bit(1, 0, ECX, 28), avx);
		assert_int_equal(bit(1, 0, ECX, 12), avx);
		assert_int_equal(bit(1, 0, ECX, 29), avx);
		assert_int_equal(bit(7, 0, EBX, 5), avx);
		assert_int_equal(bit(7, 0, ECX, 9), avx);
		assert_int_equal(bit(7, 0, ECX, 10), avx);
		assert_int_equal(bit(7, 1, EAX, 4), avx);
		assert_int_equal(bit(0x80000001, 0, ECX, 11), avx);
		assert_int_equal(bit(0x80000001, 0, ECX, 16), avx);
		assert_int_equal(reg(7, 0, EBX) & 0xd0230000, avx512 ? 0xd0230000 : 0);
		assert_int_equal(reg(7, 0, ECX) & 0x5842, avx512 ? 0x5842 : 0);
		assert_int_equal(reg(7, 0, EDX) & 0x800100, avx512 ? 0x800100 : 0);
		assert_int_equal(bit(7, 1, EAX, 5), avx512);
		assert_int_equal(bit(7, 0, ECX, 3), pku);
		/* What needs no extended state stays. */
		assert_true(bit(1, 0, ECX, 20));
		assert_true(bit(7, 0, EBX, 3));
		assert_true(bit(7, 0, ECX, 8));
	}
	/* A component as the machine describes it. */
	assert_int_equal(reg(0xd, 7, EAX), 1024);
	assert_int_equal(reg(0xd, 7, EBX), 1408);
	assert_int_equal(reg(0xd, 7, ECX), 2);
	assert_int_equal(reg(0xd, 9, ECX), 0);
}

static void test_spec_ctrl(void **state)
{
	struct cpuid_caps caps = { .xcr0 = CPUID_XCR0_MAX, .spec_ctrl = false };

	(void)state;
	set_host(~0u);
	get_supported(&caps);
	assert_int_equal(reg(0x80000008, 0, EBX), 1 | 4 | 0x200 | 1u << 26);
	assert_int_equal(reg(7, 0, EDX) >> 26, 0);
	caps.spec_ctrl = true;
	get_supported(&caps);
	assert_int_equal(reg(0x80000008, 0, EBX), 0x1502d205);
	assert_int_equal(reg(7, 0, EDX) >> 26, 0x23);
}

/* ---- a child's table ---- */

static struct cpuid_table table;

static struct cpuid_regs lookup(u32 function, u32 index)
{
	return cpuid_lookup(&table, function, index, 0, 1, 0);
}

static void assert_regs(struct cpuid_regs r, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	assert_int_equal(r.eax, eax);
	assert_int_equal(r.ebx, ebx);
	assert_int_equal(r.ecx, ecx);
	assert_int_equal(r.edx, edx);
}

static void test_supported_answers(void **state)
{
	(void)state;
	set_host(~0u);
	get_supported(&all_caps);
	assert_int_equal(cpuid_set(&table, out, out_count, &all_caps), 0);
	for (u32 i = 0; i < out_count; i++) {
		const struct cpuid_entry *e = &out[i];
		struct cpuid_regs r =
			cpuid_lookup(&table, e->function, e->index, 0, CPUID_XCR0_MAX, 0x800);

		assert_regs(r, e->eax, e->ebx, e->ecx, e->edx);
	}
	assert_true(table.xcr0 == CPUID_XCR0_MAX);
	assert_int_equal(table.maxphyaddr, 48);
	assert_int_equal(table.vaddr_bits, 57);
}

/* The width of addresses is checked before anything changes. */
static void test_set_errors(void **state)
{
	struct cpuid_entry e[CPUID_MAX_ENTRIES + 1] = { { .function = 0x80000008 } };
	struct cpuid_table before;

	(void)state;
	for (u32 bits = 0; bits < 256; bits++) {
		bool ok = bits == 0 || bits == 48 || bits == 57;

		memset(&table, 0x77, sizeof(table));
		before = table;
		e[0].eax = bits << 8 | 40;
		assert_int_equal(cpuid_set(&table, e, 1, &all_caps), ok ? 0 : -EINVAL);
		if (!ok) {
			assert_memory_equal(&table, &before, sizeof(table));
			continue;
		}
		assert_int_equal(table.maxphyaddr, 40);
		assert_int_equal(table.vaddr_bits, bits ? bits : 48);
	}
	for (u32 bits = 0; bits < 256; bits++) {
		e[0].eax = 48 << 8 | bits;
		assert_int_equal(cpuid_set(&table, e, 1, &all_caps), 0);
		assert_int_equal(table.maxphyaddr, bits < 32 ? 32 : bits > 52 ? 52 : bits);
	}
	before = table;
	assert_int_equal(cpuid_set(&table, e, CPUID_MAX_ENTRIES + 1, &all_caps), -E2BIG);
	assert_memory_equal(&table, &before, sizeof(table));
	e[0].eax = 0x3028;
	assert_int_equal(cpuid_set(&table, e, CPUID_MAX_ENTRIES, &all_caps), 0);
	assert_regs(lookup(0x80000008, 0), 0x3028, 0, 0, 0);

	assert_int_equal(cpuid_set(&table, NULL, 0, &all_caps), 0);
	assert_int_equal(table.maxphyaddr, 36);
	assert_int_equal(table.vaddr_bits, 48);
	assert_true(table.xcr0 == 0);
	assert_regs(lookup(0, 0), 0, 0, 0, 0);
	assert_false(cpuid_has(&table, CPUID_F_LM));
}

/* Against the plainest search there is, with functions from everywhere and duplicates. */
static void test_lookup_against_model(void **state)
{
	static const u32 functions[] = { 0,	     2,		 4,	     0xb,	 0x1e,
					 0x20,	     0x3fffffff, 0x40000000, 0x4000001f, 0x40000020,
					 0x40000100, 0x80000000, 0x80000008, 0x8000003f, 0x80000040,
					 0x8ffffffe, 0xc0000000, 0xffffffff };
	struct cpuid_entry e[CPUID_MAX_ENTRIES];

	(void)state;
	srand(5);
	for (u32 round = 0; round < 2000; round++) {
		u32 n = rand() % (CPUID_MAX_ENTRIES + 1);

		for (u32 i = 0; i < n; i++) {
			u32 f = functions[rand() % ARRAY_SIZE(functions)];

			e[i] = (struct cpuid_entry){
				.function = f,
				.index = rand() % 6,
				/* Of one function either all have an index or none. */
				.flags = f & 1 ? 0 : CPUID_FLAG_INDEX,
				.eax = f == 0x80000008 ? 0x3028 : rand(),
				.ebx = rand(),
				.ecx = rand(),
				.edx = rand(),
			};
			if (!e[i].flags)
				e[i].index = 0;
		}
		assert_int_equal(cpuid_set(&table, e, n, &all_caps), 0);
		for (u32 i = 0; i < 100; i++) {
			u32 f = functions[rand() % ARRAY_SIZE(functions)] + (rand() % 8 == 0);
			u32 index = rand() % 7;
			const struct cpuid_entry *want = NULL;

			for (u32 k = 0; k < n && !want; k++)
				if (e[k].function == f && (!e[k].flags || e[k].index == index))
					want = &e[k];
			if (!want && f == 0xb)
				continue;
			if (want)
				assert_regs(lookup(f, index), want->eax, want->ebx, want->ecx,
					    want->edx);
			else
				assert_regs(lookup(f, index), 0, 0, 0, 0);
		}
	}
}

static void test_follows_state(void **state)
{
	const struct cpuid_entry e[] = {
		{ .function = 1, .ebx = 0x07000800, .ecx = 0x04000001, .edx = 1 },
		{ .function = 7, .index = 0, .flags = 1, .ecx = 8 },
		{ .function = 7, .index = 1, .flags = 1, .ecx = 0x10 },
		{ .function = 0xd, .index = 0, .flags = 1, .eax = 0x207, .ebx = 1, .ecx = 2696 },
		{ .function = 0xd, .index = 1, .flags = 1, .eax = 0xf, .ebx = 1 },
		{ .function = 0xd, .index = 2, .flags = 1, .eax = 256, .ebx = 576 },
		{ .function = 0xd, .index = 9, .flags = 1, .eax = 8, .ebx = 2688, .ecx = 2 },
	};
	const struct cpuid_caps caps = { .xcr0 = 7 };
	struct cpuid_entry plain[ARRAY_SIZE(e)];

	(void)state;
	assert_int_equal(cpuid_set(&table, e, ARRAY_SIZE(e), &caps), 0);
	assert_true(table.xcr0 == 7); /* what the core cannot switch is not for XSETBV */
	assert_regs(cpuid_lookup(&table, 1, 0, 0, 1, 0), 0, 0x07000800, 0x04000001, 1);
	assert_regs(cpuid_lookup(&table, 1, 5, BIT(18), 1, 0), 0, 0x07000800, 0x0c000001, 1);
	assert_regs(cpuid_lookup(&table, 1, 0, 0, 1, 0x900), 0, 0x07000800, 0x04000001, 0x201);
	assert_regs(cpuid_lookup(&table, 1, 0, ~BIT(18), 1, ~0x800ull), 0, 0x07000800, 0x04000001,
		    1);
	assert_regs(cpuid_lookup(&table, 7, 0, 0, 1, 0), 0, 0, 8, 0);
	assert_regs(cpuid_lookup(&table, 7, 0, BIT(22), 1, 0), 0, 0, 0x18, 0);
	assert_regs(cpuid_lookup(&table, 7, 1, 0, 1, 0), 0, 0, 0x10, 0);
	/* Sizes by XCR0: standard, and compacted with alignment. */
	static const u32 sizes[][3] = { { 1, 576, 576 },
					{ 3, 576, 576 },
					{ 7, 832, 832 },
					{ 0x203, 2696, 584 },
					{ 0x207, 2696, 840 } };
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_regs(cpuid_lookup(&table, 0xd, 0, 0, sizes[i][0], 0), 0x207, sizes[i][1],
			    2696, 0);
		assert_regs(cpuid_lookup(&table, 0xd, 1, 0, sizes[i][0], 0), 0xf, sizes[i][2], 0,
			    0);
	}
	/* Alignment shows when something odd comes before. */
	memcpy(plain, e, sizeof(e));
	plain[5].eax = 250;
	cpuid_set(&table, plain, ARRAY_SIZE(e), &caps);
	assert_int_equal(cpuid_lookup(&table, 0xd, 1, 0, 0x207, 0).ebx, 832 + 8);
	plain[6].ecx = 0;
	cpuid_set(&table, plain, ARRAY_SIZE(e), &caps);
	assert_int_equal(cpuid_lookup(&table, 0xd, 1, 0, 0x207, 0).ebx, 826 + 8);
	/* Without XSAVEC and XSAVES there is no compacted size. */
	plain[4].eax = 5;
	cpuid_set(&table, plain, ARRAY_SIZE(e), &caps);
	assert_int_equal(cpuid_lookup(&table, 0xd, 1, 0, 7, 0).ebx, 1);
	/* Bits that user space set are not believed. */
	plain[0].ecx |= BIT(27);
	plain[0].edx |= BIT(9);
	plain[1].ecx |= BIT(4);
	cpuid_set(&table, plain, ARRAY_SIZE(e), &caps);
	assert_regs(cpuid_lookup(&table, 1, 0, 0, 1, 0), 0, 0x07000800, 0x04000001, 1);
	assert_regs(cpuid_lookup(&table, 7, 0, 0, 1, 0), 0, 0, 8, 0);
}

static void test_topology_leaf(void **state)
{
	struct cpuid_entry e[] = {
		{ .function = 0xb,
		  .index = 0,
		  .flags = 1,
		  .eax = 1,
		  .ebx = 2,
		  .ecx = 0x100,
		  .edx = 7 },
		{ .function = 0xb,
		  .index = 1,
		  .flags = 1,
		  .eax = 3,
		  .ebx = 4,
		  .ecx = 0x201,
		  .edx = 7 },
		{ .function = 0x1f, .index = 0, .flags = 1, .edx = 7 },
	};

	(void)state;
	cpuid_set(&table, e, 3, &all_caps);
	assert_regs(lookup(0xb, 1), 3, 4, 0x201, 7);
	assert_regs(lookup(0xb, 2), 0, 0, 2, 7);
	assert_regs(lookup(0xb, 0x12345), 0, 0, 0x45, 7);
	assert_regs(lookup(0x1f, 2), 0, 0, 0, 0); /* no sub-leaf 1, no topology */
	e[2].index = 1;
	cpuid_set(&table, e, 3, &all_caps);
	assert_regs(lookup(0x1f, 2), 0, 0, 2, 7);
	assert_regs(lookup(0xc, 2), 0, 0, 0, 0);
}

static void test_xcr0_valid(void **state)
{
	const struct cpuid_entry d = { .function = 0xd, .flags = 1, .eax = 0x2e7 };

	(void)state;
	for (u64 allowed = 0; allowed < 0x400; allowed++) {
		const struct cpuid_caps caps = { .xcr0 = allowed };

		cpuid_set(&table, &d, 1, &caps);
		for (u64 x = 0; x < 0x800; x++) {
			bool ok = (x & 1) && !(x & ~table.xcr0);

			if ((x & 4) && !(x & 2))
				ok = false;
			if ((x & 0xe0) && ((x & 0xe0) != 0xe0 || !(x & 4)))
				ok = false;
			assert_int_equal(cpuid_xcr0_valid(&table, x), ok);
		}
		/* The set as a whole is one of the valid ones, and no more than allowed. */
		assert_true(!(table.xcr0 & ~(allowed & CPUID_XCR0_MAX)));
		assert_true(!table.xcr0 || cpuid_xcr0_valid(&table, table.xcr0));
	}
	assert_false(cpuid_xcr0_valid(&table, BIT(63) | 1));
	cpuid_set(&table, NULL, 0, &all_caps);
	assert_false(cpuid_xcr0_valid(&table, 1));
}

static void test_has(void **state)
{
	struct cpuid_entry e[] = {
		{ .function = 0x80000001 },
		{ .function = 7, .flags = 1, .index = 1, .eax = ~0u },
		{ .function = 7, .flags = 1, .index = 0 },
	};

	(void)state;
	for (u32 r = 0; r < 4; r++) {
		for (u32 n = 0; n < 32; n++) {
			for (u32 i = 0; i < 4; i++)
				(&e[0].eax)[i] = (&e[2].eax)[i] = i == r ? 1u << n : 0;
			cpuid_set(&table, e, 3, &all_caps);
			for (u32 k = 0; k < 128; k++) {
				bool want = k / 32 == r && k % 32 == n;

				assert_int_equal(cpuid_has(&table,
							   CPUID_BIT(0x80000001, k / 32, k % 32)),
						 want);
				/* OSPKE follows CR4, so nobody has it as a feature. */
				want = want && !(r == ECX && n == 4);
				assert_int_equal(cpuid_has(&table, CPUID_BIT(7, k / 32, k % 32)),
						 want);
				assert_false(cpuid_has(&table, CPUID_BIT(8, k / 32, k % 32)));
			}
		}
	}
	(&e[0].eax)[3] = 1u << 29;
	cpuid_set(&table, e, 3, &all_caps);
	assert_true(cpuid_has(&table, CPUID_F_LM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_offered),
		cmocka_unit_test(test_always_offered),
		cmocka_unit_test(test_offered_if_there),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_old_machines),
		cmocka_unit_test(test_extended_state),
		cmocka_unit_test(test_spec_ctrl),
		cmocka_unit_test(test_supported_answers),
		cmocka_unit_test(test_set_errors),
		cmocka_unit_test(test_lookup_against_model),
		cmocka_unit_test(test_follows_state),
		cmocka_unit_test(test_topology_leaf),
		cmocka_unit_test(test_xcr0_valid),
		cmocka_unit_test(test_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
