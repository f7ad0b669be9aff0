/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CPUID of children: what can be offered (KVM_GET_SUPPORTED_CPUID) by an explicit allow-list, and
 * what a child's CPUID instruction returns from the table that user space has set (KVM_SET_CPUID2).
 * Pure functions. AMD APM vol. 3 appendix E.
 */
#ifndef CORE_X86_CPUID_POLICY_H
#define CORE_X86_CPUID_POLICY_H

#include "core/types.h"

/* The layout of struct kvm_cpuid_entry2. */
struct cpuid_entry {
	u32 function;
	u32 index;
	u32 flags; /* CPUID_FLAG_INDEX or 0; others are ignored */
	u32 eax, ebx, ecx, edx;
	u32 padding[3];
};
_Static_assert(sizeof(struct cpuid_entry) == 40, "layout of struct kvm_cpuid_entry2");

/* KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the entry answers for its index only. */
#define CPUID_FLAG_INDEX 1u

/* The machine's CPUID instruction; regs: EAX, EBX, ECX, EDX. */
typedef void (*cpuid_fn)(u32 leaf, u32 sub, u32 regs[4]);

/* x87, SSE, AVX, opmask, ZMM_Hi256, Hi16_ZMM, PKRU: what can be switched without XSS and XFD. */
#define CPUID_XCR0_MAX 0x2e7ull

/* What the core can virtualize of what the machine has. */
struct cpuid_caps {
	u64 xcr0;	/* state that is switched, a subset of CPUID_XCR0_MAX; 0: no XSAVE */
	bool spec_ctrl; /* SPEC_CTRL is switched and PRED_CMD passed on */
};

/*
 * Fill `out` with what a child can be given on this machine, sorted by function and index. Leaves
 * that would be all zero are left out, but for those of the topology (B and 8000_001E), which user
 * space fills in. Returns the count, or -E2BIG if `max` entries do not do.
 */
int cpuid_supported(struct cpuid_entry *out, u32 max, cpuid_fn host, const struct cpuid_caps *caps);

#define CPUID_MAX_ENTRIES 100

struct cpuid_regs {
	u32 eax, ebx, ecx, edx;
};

/* Components of the XSAVE area by their bit in XCR0, of CPUID_XCR0_MAX. */
#define CPUID_XSTATES 10
struct cpuid_xstate {
	u32 size[CPUID_XSTATES];
	u32 offset[CPUID_XSTATES]; /* in the standard format */
	u32 aligned;		   /* bit n: to 64 bytes in the compacted format */
};

/*
 * A child processor's CPUID. Private to cpuid_policy.c but for what is marked. Before use
 * cpuid_set() it, with no entries if need be.
 */
struct cpuid_table {
	/* Public, derived from the entries and the caps. */
	u64 xcr0;	   /* bits that XSETBV may set; 0 without leaf D */
	u8 maxphyaddr;	   /* 8000_0008 EAX bits 7:0, clamped to 32..52; 36 without the leaf */
	u8 vaddr_bits;	   /* EAX bits 15:8; 48 without the leaf */
	bool tsc_deadline; /* CPUID_F_TSC_DEADLINE, at hand since its MSR is hot */

	u8 count;
	/* Number of the first row of a function, counted from 1; 0: none. */
	u8 first_basic[32];    /* from 0 */
	u8 first_hyper[32];    /* from 4000_0000 */
	u8 first_extended[64]; /* from 8000_0000 */
	struct cpuid_row {
		u32 function, index;
		bool indexed;
		u8 dynamic; /* which bits follow the processor's state */
		struct cpuid_regs regs;
	} row[CPUID_MAX_ENTRIES]; /* sorted by function and index */
	struct cpuid_xstate xstate;
};

/*
 * KVM_SET_CPUID2. `caps` limit xcr0 only: what else user space claims is its own affair, as with
 * KVM. -E2BIG: more than CPUID_MAX_ENTRIES. -EINVAL: virtual addresses of other than 48 or 57 bits.
 * `t` is unchanged then.
 */
int cpuid_set(struct cpuid_table *t, const struct cpuid_entry *entries, u32 n,
	      const struct cpuid_caps *caps);

/*
 * The CPUID instruction. Follow the processor's state: 1 ECX OSXSAVE (CR4 bit 18), 1 EDX APIC
 * (APIC_BASE bit 11), 7 ECX OSPKE (CR4 bit 22), D.0 and D.1 EBX (XCR0). Everything else, APIC IDs
 * too, is as user space set it. What is not in the table reads zero, as AMD's parts have it.
 */
struct cpuid_regs cpuid_lookup(const struct cpuid_table *t, u32 function, u32 index, u64 cr4,
			       u64 xcr0, u64 apic_base);

/* May XSETBV load `xcr0`? APM vol. 2 section 11.5.2. */
bool cpuid_xcr0_valid(const struct cpuid_table *t, u64 xcr0);

/* Features: function, register (0..3 = EAX..EDX) and bit in one number. Index 0. */
#define CPUID_BIT(function, reg, bit) ((u64)(function) << 8 | (reg) << 5 | (bit))
#define CPUID_F_MTRR		      CPUID_BIT(1, 3, 12)
#define CPUID_F_X2APIC		      CPUID_BIT(1, 2, 21)
#define CPUID_F_TSC_DEADLINE	      CPUID_BIT(1, 2, 24)
#define CPUID_F_TSC_ADJUST	      CPUID_BIT(7, 1, 1)
#define CPUID_F_RDPID		      CPUID_BIT(7, 2, 22)
#define CPUID_F_SPEC_CTRL	      CPUID_BIT(7, 3, 26)
#define CPUID_F_STIBP		      CPUID_BIT(7, 3, 27)
#define CPUID_F_SSBD		      CPUID_BIT(7, 3, 31)
#define CPUID_F_OSVW		      CPUID_BIT(0x80000001, 2, 9)
#define CPUID_F_NX		      CPUID_BIT(0x80000001, 3, 20)
#define CPUID_F_FXSR_OPT	      CPUID_BIT(0x80000001, 3, 25)
#define CPUID_F_RDTSCP		      CPUID_BIT(0x80000001, 3, 27)
#define CPUID_F_LM		      CPUID_BIT(0x80000001, 3, 29)
#define CPUID_F_AMD_IBPB	      CPUID_BIT(0x80000008, 1, 12)
#define CPUID_F_AMD_IBRS	      CPUID_BIT(0x80000008, 1, 14)
#define CPUID_F_AMD_STIBP	      CPUID_BIT(0x80000008, 1, 15)
#define CPUID_F_AMD_SSBD	      CPUID_BIT(0x80000008, 1, 24)
#define CPUID_F_AMD_PSFD	      CPUID_BIT(0x80000008, 1, 28)

/* Has user space given the child this feature? Not for the bits that follow the state. */
bool cpuid_has(const struct cpuid_table *t, u64 feature);

#endif
