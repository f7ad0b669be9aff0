// SPDX-License-Identifier: GPL-2.0-only
/* What CPUID says to children. Interface: see cpuid_policy.h. */
#include "core/x86/cpuid_policy.h"

#define EXTENDED   0x80000000u
#define HYPERVISOR 0x40000000u

#define MAX_BASIC    0xdu
#define MAX_EXTENDED 0x80000021u
#define MAX_CACHES   8u /* sub-leaves of 8000_001D */

enum {
	EAX,
	EBX,
	ECX,
	EDX
};

#define XCR0_X87    BIT(0)
#define XCR0_SSE    BIT(1)
#define XCR0_AVX    BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))
#define XCR0_PKRU   BIT(9)
#define LEGACY	    (XCR0_X87 | XCR0_SSE)

#define XSAVE_LEGACY_BYTES 576u /* FXSAVE area and header */

#define CR4_OSXSAVE	  BIT(18)
#define CR4_PKE		  BIT(22)
#define APIC_BASE_EN	  BIT(11)
#define LEAF1_ECX_XSAVE	  BIT(26)
#define LEAF1_ECX_OSXSAVE BIT(27)
#define LEAF1_EDX_APIC	  BIT(9)
#define LEAF7_ECX_OSPKE	  BIT(4)
#define LEAFD1_EAX_XSAVEC BIT(1)
#define LEAFD1_EAX_XSAVES BIT(3)

/* ---- what can be offered ---- */

#define B(n) (1u << (n))
#define ALL  0xffffffffu
#define ALL_REGS                                                                                   \
	{                                                                                          \
		ALL, ALL, ALL, ALL                                                                 \
	}

/*
 * The allow-list: what passes of the machine's registers (APM vol. 3 appendix E, SDM vol. 2 CPUID).
 * Left out on purpose: SVM, MONITOR and MWAITX, performance counters and IBS, x2AVIC, SME and SEV,
 * XSAVES, topology, RDPRU, INVLPGB, extended APIC space, watchdog, power management.
 */
static const struct rule {
	u32 function, index;
	u32 pass[4];
	u32 set[4]; /* virtualized whatever the machine has */
} rules[] = {
	{ 0, 0, ALL_REGS, { 0 } },
	{ 1,
	  0,
	  {
		  ALL,
		  0x0000ff00, /* CLFLUSH size */
		  /* SSE3, PCLMULQDQ, SSSE3, FMA, CX16, PCID, SSE4.1, SSE4.2, MOVBE, POPCNT, */
		  B(0) | B(1) | B(9) | B(12) | B(13) | B(17) | B(19) | B(20) | B(22) | B(23) |
			  /* AES, XSAVE, AVX, F16C, RDRAND */
			  B(25) | B(26) | B(28) | B(29) | B(30),
		  /* FPU to APIC, SEP to PSE36, CLFLUSH, MMX, FXSR, SSE, SSE2 */
		  0x000003ff | 0x0003f800 | B(19) | B(23) | B(24) | B(25) | B(26),
	  },
	  /* x2APIC, TSC deadline, hypervisor present; APIC */
	  { 0, 0, B(21) | B(24) | B(31), B(9) } },
	{ 6, 0, { 0 }, { B(2) } }, /* ARAT: the timer never stops */
	{ 7,
	  0,
	  {
		  ALL,
		  /* FSGSBASE, BMI1, AVX2, FDP_EXCPTN_ONLY, SMEP, BMI2, ERMS, INVPCID, ZERO_FCS_FDS, */
		  B(0) | B(3) | B(5) | B(6) | B(7) | B(8) | B(9) | B(10) | B(13) |
			  /* AVX512 F DQ IFMA CD BW VL, RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB, SHA */
			  B(16) | B(17) | B(21) | B(28) | B(30) | B(31) | B(18) | B(19) | B(20) |
			  B(23) | B(24) | B(29),
		  /* UMIP, PKU, AVX512 VBMI VBMI2 VNNI BITALG VPOPCNTDQ, GFNI, VAES, VPCLMULQDQ, */
		  B(2) | B(3) | B(1) | B(6) | B(11) | B(12) | B(14) | B(8) | B(9) | B(10) |
			  /* LA57, RDPID, CLDEMOTE, MOVDIRI, MOVDIR64B */
			  B(16) | B(22) | B(25) | B(27) | B(28),
		  /* FSRM, VP2INTERSECT, SERIALIZE, AVX512_FP16, SPEC_CTRL, STIBP, SSBD */
		  B(4) | B(8) | B(14) | B(23) | B(26) | B(27) | B(31),
	  },
	  { 0, B(1), 0, 0 } },					  /* TSC_ADJUST */
	{ 7, 1, { B(4) | B(5) | B(10) | B(11) | B(12) }, { 0 } }, /* AVX_VNNI, BF16, fast strings */
	{ 0xb, 0, { 0 }, { 0 } }, /* extended topology: blank, for user space to fill in */
	{ 0xb, 1, { 0 }, { 0 } },
	{ HYPERVISOR, 0, { 0 }, { HYPERVISOR | 1, 0x4b4d564b, 0x564b4d56, 0x4d } }, /* KVMKVMKVM */
	{ HYPERVISOR | 1,
	  0,
	  { 0 },
	  { B(0) | B(1) | B(3) |
	    B(24) } }, /* CLOCKSOURCE, NOP_IO_DELAY, CLOCKSOURCE2, its STABLE_BIT */
	{ EXTENDED, 0, ALL_REGS, { 0 } },
	{ EXTENDED | 1,
	  0,
	  {
		  ALL,
		  0xf000ffff, /* package type, brand */
		  /* LAHF, CMP_LEGACY, CR8, ABM, SSE4A, misaligned SSE, PREFETCHW, OSVW, XOP, FMA4, */
		  B(0) | B(1) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(11) | B(16) | B(21) |
			  B(22), /* TBM, TOPOEXT */
		  /* as leaf 1; SYSCALL, NX, MMXEXT, FFXSR, 1 GiB pages, RDTSCP, LM, 3DNow */
		  0x000003ff | 0x0003f000 | B(11) | B(20) | B(22) | B(23) | B(24) | B(25) | B(26) |
			  B(27) | B(29) | B(30) | B(31),
	  },
	  { 0, 0, 0, B(9) } },
	{ EXTENDED | 2, 0, ALL_REGS, { 0 } }, /* name */
	{ EXTENDED | 3, 0, ALL_REGS, { 0 } },
	{ EXTENDED | 4, 0, ALL_REGS, { 0 } },
	{ EXTENDED | 5, 0, ALL_REGS, { 0 } }, /* caches, TLBs */
	{ EXTENDED | 6, 0, { ALL, ALL, ALL, 0xfffcffff }, { 0 } },
	{ EXTENDED | 7, 0, { 0, 0, 0, B(8) }, { 0 } }, /* invariant TSC */
	{ EXTENDED | 8,
	  0,
	  {
		  0xffff, /* widths of addresses; not that of guests */
		  /* CLZERO, XSAVEERPTR, WBNOINVD, IBPB, IBRS, STIBP and always on, SSBD, SSB_NO, PSFD */
		  B(0) | B(2) | B(9) | B(12) | B(14) | B(15) | B(17) | B(24) | B(26) | B(28),
		  0,
		  0,
	  },
	  { 0 } },
	{ EXTENDED | 0x19, 0, { ALL, ALL, 0, 0 }, { 0 } }, /* TLBs for 1 GiB pages */
	{ EXTENDED | 0x1a, 0, { 7, 0, 0, 0 }, { 0 } },
	{ EXTENDED | 0x1e, 0, { 0 }, { 0 } }, /* APIC and node IDs: blank likewise */
	/* NO_NESTED_DATA_BP, LFENCE serializes, NULL_SEL_CLR_BASE, SRSO_NO; no SMM_CTL */
	{ EXTENDED | 0x21, 0, { B(0) | B(2) | B(6) | B(29), 0, 0, 0 }, { B(9) } },
};

/* Features that need state in XCR0, and are taken away without it. */
static const struct {
	u32 function, index, reg, bits;
	u64 xcr0;
} needs_state[] = {
	{ 1, 0, ECX, LEAF1_ECX_XSAVE, LEGACY },
	{ 1, 0, ECX, B(12) | B(28) | B(29), LEGACY | XCR0_AVX },
	{ 7, 0, EBX, B(5), LEGACY | XCR0_AVX },
	{ 7, 0, ECX, B(9) | B(10), LEGACY | XCR0_AVX },
	{ 7, 1, EAX, B(4), LEGACY | XCR0_AVX },
	{ EXTENDED | 1, 0, ECX, B(11) | B(16), LEGACY | XCR0_AVX },
	{ 7, 0, EBX, B(16) | B(17) | B(21) | B(28) | B(30) | B(31), XCR0_AVX512 },
	{ 7, 0, ECX, B(1) | B(6) | B(11) | B(12) | B(14), XCR0_AVX512 },
	{ 7, 0, EDX, B(8) | B(23), XCR0_AVX512 },
	{ 7, 1, EAX, B(5), XCR0_AVX512 },
	{ 7, 0, ECX, B(3), LEGACY | XCR0_PKRU },
};

/* Features that need SPEC_CTRL and PRED_CMD. */
static const struct {
	u32 function, reg, bits;
} needs_spec_ctrl[] = {
	{ 7, EDX, B(26) | B(27) | B(31) },
	{ EXTENDED | 8, EBX, B(12) | B(14) | B(15) | B(17) | B(24) | B(28) },
};

struct builder {
	struct cpuid_entry *out;
	u32 count, max;
	cpuid_fn host;
	u32 max_basic, max_extended;
	u64 xcr0;
	bool spec_ctrl;
};

/* A set of components that XSETBV takes: each with those that it builds upon. */
static u64 close_xcr0(u64 xcr0)
{
	if ((xcr0 & LEGACY) != LEGACY)
		return 0;
	if (!(xcr0 & XCR0_AVX) || (xcr0 & XCR0_AVX512) != XCR0_AVX512)
		xcr0 &= ~XCR0_AVX512;
	return xcr0;
}

static u32 xsave_size(const struct cpuid_xstate *x, u64 xcr0, bool compact)
{
	u32 size = XSAVE_LEGACY_BYTES;

	for (u32 i = 2; i < CPUID_XSTATES; i++) {
		if (!(xcr0 & BIT(i)))
			continue;
		if (!compact) {
			size = MAX(size, x->offset[i] + x->size[i]);
			continue;
		}
		if (x->aligned & B(i))
			size = (size + 63) & ~63u;
		size += x->size[i];
	}
	return size;
}

static bool leaf_exists(const struct builder *b, u32 function)
{
	if (function >= EXTENDED)
		return function <= b->max_extended;
	return function >= HYPERVISOR || function <= b->max_basic;
}

static void emit(struct builder *b, u32 function, u32 index, bool indexed, const u32 r[4])
{
	if (b->count < b->max)
		b->out[b->count] = (struct cpuid_entry){
			.function = function,
			.index = index,
			.flags = indexed ? CPUID_FLAG_INDEX : 0,
			.eax = r[EAX],
			.ebx = r[EBX],
			.ecx = r[ECX],
			.edx = r[EDX],
		};
	b->count++;
}

static void drop_features(const struct builder *b, const struct rule *rule, u32 r[4])
{
	for (u32 i = 0; i < ARRAY_SIZE(needs_state); i++)
		if (needs_state[i].function == rule->function &&
		    needs_state[i].index == rule->index &&
		    (b->xcr0 & needs_state[i].xcr0) != needs_state[i].xcr0)
			r[needs_state[i].reg] &= ~needs_state[i].bits;
	for (u32 i = 0; i < ARRAY_SIZE(needs_spec_ctrl); i++)
		if (needs_spec_ctrl[i].function == rule->function && rule->index == 0 &&
		    !b->spec_ctrl)
			r[needs_spec_ctrl[i].reg] &= ~needs_spec_ctrl[i].bits;
}

static void apply_rule(struct builder *b, const struct rule *rule)
{
	bool blank = rule->function == 0xb || rule->function == (EXTENDED | 0x1e);
	bool indexed = rule->function == 7 || rule->function == 0xb;
	u32 r[4];

	if (!leaf_exists(b, rule->function))
		return;
	if (rule->function == 7 && rule->index) {
		b->host(rule->function, 0, r);
		if (r[EAX] < rule->index)
			return;
	}
	b->host(rule->function, rule->index, r);
	for (u32 i = 0; i < 4; i++)
		r[i] = (r[i] & rule->pass[i]) | rule->set[i];
	drop_features(b, rule, r);
	if (rule->function == 0)
		r[EAX] = b->max_basic;
	else if (rule->function == EXTENDED)
		r[EAX] = b->max_extended;
	else if (rule->function == 7 && rule->index == 0)
		r[EAX] = MIN(r[EAX], 1);
	if (blank || (r[EAX] | r[EBX] | r[ECX] | r[EDX]))
		emit(b, rule->function, rule->index, indexed, r);
}

/* Extended state: APM vol. 3, CPUID Fn0000_000D. */
static void emit_xsave(struct builder *b)
{
	struct cpuid_xstate x = { .aligned = 0 };
	u32 r[4];

	if (!b->xcr0)
		return;
	for (u32 i = 2; i < CPUID_XSTATES; i++) {
		if (!(b->xcr0 & BIT(i)))
			continue;
		b->host(0xd, i, r);
		x.size[i] = r[EAX];
		x.offset[i] = r[EBX];
		x.aligned |= (r[ECX] >> 1 & 1) << i;
	}
	r[EAX] = b->xcr0;
	r[EBX] = r[ECX] = xsave_size(&x, b->xcr0, false);
	r[EDX] = b->xcr0 >> 32;
	emit(b, 0xd, 0, true, r);

	b->host(0xd, 1, r);
	r[EAX] &= B(0) | B(1) | B(2); /* XSAVEOPT, XSAVEC, XGETBV with ECX = 1 */
	r[EBX] = r[EAX] & LEAFD1_EAX_XSAVEC ? xsave_size(&x, b->xcr0, true) : 0;
	r[ECX] = r[EDX] = 0;
	emit(b, 0xd, 1, true, r);

	for (u32 i = 2; i < CPUID_XSTATES; i++) {
		if (!(b->xcr0 & BIT(i)))
			continue;
		r[EAX] = x.size[i];
		r[EBX] = x.offset[i];
		r[ECX] = (x.aligned >> i & 1) << 1;
		r[EDX] = 0;
		emit(b, 0xd, i, true, r);
	}
}

/* Caches one by one, up to and with the empty entry that ends the list. */
static void emit_caches(struct builder *b)
{
	const u32 function = EXTENDED | 0x1d;
	u32 r[4];

	if (!leaf_exists(b, function))
		return;
	for (u32 i = 0; i < MAX_CACHES; i++) {
		b->host(function, i, r);
		emit(b, function, i, true, r);
		if (!(r[EAX] & 0x1f))
			return;
	}
}

static u64 supported_xcr0(const struct builder *b, u64 xcr0)
{
	u32 r[4];

	if (b->max_basic < 0xd)
		return 0;
	b->host(1, 0, r);
	if (!(r[ECX] & LEAF1_ECX_XSAVE))
		return 0;
	b->host(0xd, 0, r);
	return close_xcr0(xcr0 & CPUID_XCR0_MAX & (r[EAX] | (u64)r[EDX] << 32));
}

int cpuid_supported(struct cpuid_entry *out, u32 max, cpuid_fn host, const struct cpuid_caps *caps)
{
	struct builder b = { .out = out, .max = max, .host = host, .spec_ctrl = caps->spec_ctrl };
	u32 r[4];

	host(0, 0, r);
	b.max_basic = MIN(r[EAX], MAX_BASIC);
	host(EXTENDED, 0, r);
	b.max_extended = r[EAX] >= EXTENDED ? MIN(r[EAX], MAX_EXTENDED) : 0;
	b.xcr0 = supported_xcr0(&b, caps->xcr0);
	for (u32 i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].function == HYPERVISOR)
			emit_xsave(&b);
		if (rules[i].function == (EXTENDED | 0x1e))
			emit_caches(&b);
		apply_rule(&b, &rules[i]);
	}
	return b.count <= max ? (int)b.count : -E2BIG;
}

/* ---- a child's table ---- */

enum dynamic {
	STATIC,
	LEAF_1,
	LEAF_7,
	LEAF_D0,
	LEAF_D1
};

static u8 dynamic_kind(const struct cpuid_entry *e)
{
	u32 index = e->flags & CPUID_FLAG_INDEX ? e->index : 0;

	if (e->function == 1)
		return LEAF_1;
	if (e->function == 7 && index == 0)
		return LEAF_7;
	if (e->function == 0xd && index == 0)
		return LEAF_D0;
	if (e->function == 0xd && index == 1 && e->eax & (LEAFD1_EAX_XSAVEC | LEAFD1_EAX_XSAVES))
		return LEAF_D1;
	return STATIC;
}

/* Keep the rows sorted; of two for the same leaf the first that was given answers. */
static void insert_row(struct cpuid_table *t, const struct cpuid_entry *e)
{
	u64 key = (u64)e->function << 32 | e->index;
	u32 i = t->count++;

	for (; i > 0; i--) {
		struct cpuid_row *prev = &t->row[i - 1];

		if (((u64)prev->function << 32 | prev->index) <= key)
			break;
		t->row[i] = *prev;
	}
	t->row[i] = (struct cpuid_row){
		.function = e->function,
		.index = e->index,
		.indexed = e->flags & CPUID_FLAG_INDEX,
		.dynamic = dynamic_kind(e),
		.regs = { e->eax, e->ebx, e->ecx, e->edx },
	};
	if (t->row[i].dynamic == LEAF_1) {
		t->row[i].regs.ecx &= ~LEAF1_ECX_OSXSAVE;
		t->row[i].regs.edx &= ~LEAF1_EDX_APIC;
	} else if (t->row[i].dynamic == LEAF_7) {
		t->row[i].regs.ecx &= ~LEAF7_ECX_OSPKE;
	}
}

/* Where the number of the first row of `function` is remembered, NULL for exotic functions. */
static const u8 *first_slot(const struct cpuid_table *t, u32 function)
{
	if (function < ARRAY_SIZE(t->first_basic))
		return &t->first_basic[function];
	if (function - EXTENDED < ARRAY_SIZE(t->first_extended))
		return &t->first_extended[function - EXTENDED];
	if (function - HYPERVISOR < ARRAY_SIZE(t->first_hyper))
		return &t->first_hyper[function - HYPERVISOR];
	return NULL;
}

static u32 search_first(const struct cpuid_table *t, u32 function)
{
	for (u32 i = 0; i < t->count; i++)
		if (t->row[i].function == function)
			return i + 1;
	return 0;
}

static const struct cpuid_row *find(const struct cpuid_table *t, u32 function, u32 index)
{
	const u8 *slot = first_slot(t, function);
	u32 first = likely(slot) ? *slot : search_first(t, function);
	const struct cpuid_row *row;

	if (!first)
		return NULL;
	row = &t->row[first - 1];
	do {
		if (!row->indexed || row->index == index)
			return row;
	} while (++row < &t->row[t->count] && row->function == function);
	return NULL;
}

static void index_rows(struct cpuid_table *t)
{
	for (u32 i = t->count; i-- > 0;) {
		u8 *slot = (u8 *)first_slot(t, t->row[i].function);

		if (slot)
			*slot = i + 1;
	}
}

static void derive_xstate(struct cpuid_table *t, const struct cpuid_caps *caps)
{
	const struct cpuid_row *d = find(t, 0xd, 0);

	if (!d)
		return;
	t->xcr0 = close_xcr0((d->regs.eax | (u64)d->regs.edx << 32) & caps->xcr0 & CPUID_XCR0_MAX);
	for (u32 i = 2; i < CPUID_XSTATES; i++) {
		d = find(t, 0xd, i);
		if (!d)
			continue;
		t->xstate.size[i] = d->regs.eax;
		t->xstate.offset[i] = d->regs.ebx;
		t->xstate.aligned |= (d->regs.ecx >> 1 & 1) << i;
	}
}

int cpuid_set(struct cpuid_table *t, const struct cpuid_entry *entries, u32 n,
	      const struct cpuid_caps *caps)
{
	u8 maxphyaddr = 36, vaddr_bits = 48;

	if (n > CPUID_MAX_ENTRIES)
		return -E2BIG;
	for (u32 i = n; i-- > 0;) {
		if (entries[i].function == (EXTENDED | 8)) {
			maxphyaddr = MIN(MAX(entries[i].eax & 0xff, 32), 52);
			vaddr_bits = entries[i].eax >> 8;
		}
	}
	if (vaddr_bits == 0)
		vaddr_bits = 48;
	if (vaddr_bits != 48 && vaddr_bits != 57)
		return -EINVAL;

	*t = (struct cpuid_table){ .maxphyaddr = maxphyaddr, .vaddr_bits = vaddr_bits };
	for (u32 i = 0; i < n; i++)
		insert_row(t, &entries[i]);
	index_rows(t);
	derive_xstate(t, caps);
	t->tsc_deadline = cpuid_has(t, CPUID_F_TSC_DEADLINE);
	return 0;
}

/* Out of line, as missing() is, to keep the common path short. */
static __attribute__((noinline)) struct cpuid_regs with_size(const struct cpuid_table *t,
							     const struct cpuid_row *row, u64 xcr0)
{
	struct cpuid_regs r = row->regs;

	r.ebx = xsave_size(&t->xstate, xcr0, row->dynamic == LEAF_D1);
	return r;
}

/* Extended topology: even an undefined sub-leaf tells ECX[7:0] back and the x2APIC ID. */
static __attribute__((noinline)) struct cpuid_regs missing(const struct cpuid_table *t,
							   u32 function, u32 index)
{
	struct cpuid_regs r = { 0 };
	const struct cpuid_row *row;

	if (function != 0xb && function != 0x1f)
		return r;
	row = find(t, function, 1);
	if (row) {
		r.ecx = index & 0xff;
		r.edx = row->regs.edx;
	}
	return r;
}

struct cpuid_regs cpuid_lookup(const struct cpuid_table *t, u32 function, u32 index, u64 cr4,
			       u64 xcr0, u64 apic_base)
{
	const struct cpuid_row *row = find(t, function, index);
	struct cpuid_regs r;

	if (unlikely(!row))
		return missing(t, function, index);
	if (likely(row->dynamic == STATIC))
		return row->regs;
	if (row->dynamic >= LEAF_D0)
		return with_size(t, row, xcr0);
	/* insert_row() has cleared the bits. */
	r = row->regs;
	if (row->dynamic == LEAF_7) {
		r.ecx |= cr4 & CR4_PKE ? LEAF7_ECX_OSPKE : 0;
	} else {
		r.ecx |= cr4 & CR4_OSXSAVE ? LEAF1_ECX_OSXSAVE : 0;
		r.edx |= apic_base & APIC_BASE_EN ? LEAF1_EDX_APIC : 0;
	}
	return r;
}

bool cpuid_xcr0_valid(const struct cpuid_table *t, u64 xcr0)
{
	if (!(xcr0 & XCR0_X87) || (xcr0 & ~t->xcr0))
		return false;
	if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
		return false;
	return !(xcr0 & XCR0_AVX512) || ((xcr0 & XCR0_AVX512) == XCR0_AVX512 && (xcr0 & XCR0_AVX));
}

bool cpuid_has(const struct cpuid_table *t, u64 feature)
{
	const struct cpuid_row *row = find(t, feature >> 8, 0);
	u32 bit = feature & 0x1f;

	if (!row)
		return false;
	switch (feature >> 5 & 3) {
	case EAX:
		return row->regs.eax >> bit & 1;
	case EBX:
		return row->regs.ebx >> bit & 1;
	case ECX:
		return row->regs.ecx >> bit & 1;
	default:
		return row->regs.edx >> bit & 1;
	}
}
