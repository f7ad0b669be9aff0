// SPDX-License-Identifier: GPL-2.0-only
/* MSRs of children. Interface: see msr_policy.h. */
#include "core/x86/msr_policy.h"

/* Those that are named below; the rest of the table has comments. */
enum {
	TSC = 0x10,
	TSC_ADJUST = 0x3b,
	SPEC_CTRL = 0x48,
	PATCH_LEVEL = 0x8b,
	SYSENTER_CS = 0x174,
	SYSENTER_ESP = 0x175,
	SYSENTER_EIP = 0x176,
	MCG_STATUS = 0x17a,
	MCG_CTL = 0x17b,
	MISC_ENABLE = 0x1a0,
	PAT = 0x277,
	TSC_DEADLINE = 0x6e0,
};
#define EFER	       0xc0000080u
#define STAR	       0xc0000081u
#define LSTAR	       0xc0000082u
#define CSTAR	       0xc0000083u
#define SFMASK	       0xc0000084u
#define FS_BASE	       0xc0000100u
#define KERNEL_GS_BASE 0xc0000102u
#define TSC_AUX	       0xc0000103u
#define WALL_CLOCK     0x4b564d00u /* KVM's, with its older numbers 11 and 12 */
#define SYSTEM_TIME    0x4b564d01u
#define HWCR	       0xc0010015u
#define OSVW_LENGTH    0xc0010140u
#define DE_CFG	       0xc0011029u

#define HWCR_IGNORED	  0x148ull /* TLB cache and flush filter disable, IGNNE emulation */
#define HWCR_MC_STATUS_WR BIT(18)
#define HWCR_TSC_FREQ_SEL BIT(24) /* the TSC counts at the rate of P0; Linux wants to see it */
#define DE_CFG_LFENCE	  BIT(1)
#define MISC_PERFMON	  BIT(7)
#define MISC_UNAVAILABLE  (BIT(11) | BIT(12)) /* branch trace store, PEBS */
#define DEBUGCTL_IGNORED  0x3full	      /* LBR, BTF, external pins: not virtualized */
#define MCG_CTL_P	  BIT(8)
#define SPEC_IBRS	  BIT(0)
#define SPEC_STIBP	  BIT(1)
#define SPEC_SSBD	  BIT(2)
#define SPEC_PSFD	  BIT(7)
#define PRED_IBPB	  BIT(0)

enum how {
	HOME,  /* lives elsewhere: arg is its enum msr_home */
	HELD,  /* in struct msr_state: arg is its enum held */
	CONST, /* reads as value, writes are #GP */
	DROP,  /* reads as value, writes are ignored */
	ZERO,  /* reads 0, takes 0 */
	SINK,  /* writes are ignored, reads are #GP */
};

enum held {
	HELD_TSC_ADJUST,
	HELD_TSC_AUX,
	HELD_SPEC_CTRL,
	HELD_PRED_CMD,
	HELD_SYSTEM_TIME,
	HELD_WALL_CLOCK,
	HELD_PATCH_LEVEL,
	HELD_MISC_ENABLE,
	HELD_DEBUGCTL,
	HELD_HWCR,
	HELD_DE_CFG,
	HELD_OSVW,
	HELD_MCG_CAP,
	HELD_MCG_STATUS,
	HELD_MCG_CTL,
	HELD_MC,
	HELD_MTRR_VAR,
	HELD_MTRR_64K,
	HELD_MTRR_16K,
	HELD_MTRR_4K,
	HELD_MTRR_DEF,
};

/* The MSRs of a child, sorted. */
static const struct rule {
	u32 first, last;
	u8 how, arg;
	u64 value;
} rules[] = {
	{ 0x0, 0x1, CONST, 0, 0 }, /* P5's MC_ADDR, MC_TYPE */
	{ TSC, TSC, HOME, MSR_HOME_TSC, 0 },
	{ 0x11, 0x11, HELD, HELD_WALL_CLOCK, 0 },
	{ 0x12, 0x12, HELD, HELD_SYSTEM_TIME, 0 },
	{ 0x17, 0x17, CONST, 0, 0 }, /* PLATFORM_ID */
	{ 0x1b, 0x1b, HOME, MSR_HOME_APIC_BASE, 0 },
	{ 0x2a, 0x2a, CONST, 0, 0 }, /* EBL_CR_POWERON */
	{ TSC_ADJUST, TSC_ADJUST, HELD, HELD_TSC_ADJUST, 0 },
	{ SPEC_CTRL, SPEC_CTRL, HELD, HELD_SPEC_CTRL, 0 },
	{ 0x49, 0x49, HELD, HELD_PRED_CMD, 0 },
	{ 0x79, 0x79, SINK, 0, 0 }, /* microcode update */
	{ PATCH_LEVEL, PATCH_LEVEL, HELD, HELD_PATCH_LEVEL, 0 },
	{ 0xfe, 0xfe, CONST, 0, 0x500 | MSR_VAR_MTRRS }, /* MTRRcap: WC, fixed ranges */
	{ SYSENTER_CS, SYSENTER_EIP, HOME, MSR_HOME_VMCB, 0 },
	{ 0x179, 0x179, HELD, HELD_MCG_CAP, 0 },
	{ MCG_STATUS, MCG_STATUS, HELD, HELD_MCG_STATUS, 0 },
	{ MCG_CTL, MCG_CTL, HELD, HELD_MCG_CTL, 0 },
	{ 0x198, 0x198, CONST, 0, 4ull << 40 | 1000 }, /* PERF_STATUS, as KVM has it */
	{ 0x199, 0x199, CONST, 0, 0 },		       /* PERF_CTL */
	{ MISC_ENABLE, MISC_ENABLE, HELD, HELD_MISC_ENABLE, 0 },
	{ 0x1d9, 0x1d9, HELD, HELD_DEBUGCTL, 0 },
	{ 0x1db, 0x1de, CONST, 0, 0 }, /* last branch and interrupt records */
	{ 0x200, 0x200 + 2 * MSR_VAR_MTRRS - 1, HELD, HELD_MTRR_VAR, 0 },
	{ 0x250, 0x250, HELD, HELD_MTRR_64K, 0 },
	{ 0x258, 0x259, HELD, HELD_MTRR_16K, 0 },
	{ 0x268, 0x26f, HELD, HELD_MTRR_4K, 0 },
	{ PAT, PAT, HOME, MSR_HOME_VMCB, 0 },
	{ 0x2ff, 0x2ff, HELD, HELD_MTRR_DEF, 0 },
	{ 0x400, 0x400 + 4 * MSR_MCE_BANKS - 1, HELD, HELD_MC, 0 },
	{ WALL_CLOCK, WALL_CLOCK, HELD, HELD_WALL_CLOCK, 0 },
	{ SYSTEM_TIME, SYSTEM_TIME, HELD, HELD_SYSTEM_TIME, 0 },
	{ EFER, EFER, HOME, MSR_HOME_EFER, 0 },
	{ STAR, SFMASK, HOME, MSR_HOME_VMCB, 0 },
	{ FS_BASE, KERNEL_GS_BASE, HOME, MSR_HOME_VMCB, 0 },
	{ TSC_AUX, TSC_AUX, HELD, HELD_TSC_AUX, 0 },
	{ 0xc0010000, 0xc0010007, DROP, 0, 0 },	 /* K7's performance counters */
	{ 0xc0010010, 0xc0010010, CONST, 0, 0 }, /* SYSCFG */
	{ HWCR, HWCR, HELD, HELD_HWCR, 0 },
	{ 0xc001001b, 0xc001001b, DROP, 0, 0x20000000 }, /* K7's CLK_CTL */
	{ 0xc001001f, 0xc001001f, DROP, 0, 0 },		 /* NB_CFG */
	{ 0xc0010020, 0xc0010020, SINK, 0, 0 },		 /* PATCH_LOADER */
	{ 0xc0010055, 0xc0010055, CONST, 0, 0 },	 /* INT_PENDING */
	{ 0xc0010058, 0xc0010058, ZERO, 0, 0 },		 /* MMIO_CONF_BASE: no such window */
	{ 0xc0010112, 0xc0010113, CONST, 0, 0 },	 /* TSEG */
	{ 0xc0010114, 0xc0010114, CONST, 0, 0x18 },	 /* VM_CR: SVM disabled and locked */
	{ 0xc0010115, 0xc0010115, SINK, 0, 0 },		 /* IGNNE */
	{ 0xc0010117, 0xc0010117, ZERO, 0, 0 },		 /* VM_HSAVE_PA */
	{ OSVW_LENGTH, OSVW_LENGTH + 1, HELD, HELD_OSVW, 0 },
	{ 0xc0011021, 0xc0011021, CONST, 0, 0 }, /* IC_CFG */
	{ 0xc0011022, 0xc0011023, DROP, 0, 0 },	 /* DC_CFG, TW_CFG */
	{ DE_CFG, DE_CFG, HELD, HELD_DE_CFG, 0 },
	{ 0xc001102a, 0xc001102a, DROP, 0, 0 }, /* BU_CFG2 */
	{ 0xc001102c, 0xc001102c, DROP, 0, 0 }, /* EX_CFG */
};

/* The two that guests access all the time need no search. */
static const struct rule x2apic_rule = { 0x800, 0x8ff, HOME, MSR_HOME_X2APIC, 0 };
static const struct rule deadline_rule = { TSC_DEADLINE, TSC_DEADLINE, HOME, MSR_HOME_TSC_DEADLINE,
					   0 };

static const struct rule *find(u32 msr)
{
	u32 lo = 0, hi = ARRAY_SIZE(rules);

	if (msr >> 8 == x2apic_rule.first >> 8)
		return &x2apic_rule;
	if (msr == TSC_DEADLINE)
		return &deadline_rule;
	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (msr > rules[mid].last)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < ARRAY_SIZE(rules) && msr >= rules[lo].first ? &rules[lo] : NULL;
}

/* ---- features ---- */

static bool has(const struct msr_state *s, u64 feature)
{
	return cpuid_has(s->cpuid, feature);
}

/* What the guest may set in SPEC_CTRL; 0: it has no such register. */
static u64 guest_spec_ctrl(const struct msr_state *s)
{
	u64 bits = 0;

	if (has(s, CPUID_F_SPEC_CTRL) || has(s, CPUID_F_AMD_IBRS))
		bits |= SPEC_IBRS;
	if (has(s, CPUID_F_STIBP) || has(s, CPUID_F_AMD_STIBP))
		bits |= SPEC_STIBP;
	if (has(s, CPUID_F_SSBD) || has(s, CPUID_F_AMD_SSBD))
		bits |= SPEC_SSBD;
	if (has(s, CPUID_F_AMD_PSFD))
		bits |= SPEC_PSFD;
	return bits & s->host->spec_ctrl_bits;
}

/* Does the register exist? The host may save and restore whatever the machine can do. */
static bool exists(const struct msr_state *s, u32 msr, const struct rule *rule, bool host)
{
	if (rule->how == HOME) {
		if (msr == TSC_DEADLINE)
			return host || s->cpuid->tsc_deadline;
		return true;
	}
	if (rule->how != HELD)
		return true;
	switch (rule->arg) {
	case HELD_TSC_ADJUST:
		return host || has(s, CPUID_F_TSC_ADJUST);
	case HELD_TSC_AUX:
		return s->host->tsc_aux &&
		       (host || has(s, CPUID_F_RDTSCP) || has(s, CPUID_F_RDPID));
	case HELD_SPEC_CTRL:
		return s->host->spec_ctrl && (host || guest_spec_ctrl(s));
	case HELD_PRED_CMD:
		return s->host->spec_ctrl &&
		       (host || has(s, CPUID_F_AMD_IBPB) || has(s, CPUID_F_SPEC_CTRL));
	case HELD_OSVW:
		return host || has(s, CPUID_F_OSVW);
	case HELD_MCG_CTL:
		return host || (s->mcg_cap & MCG_CTL_P);
	case HELD_MC:
		return (msr - rule->first) / 4 < (s->mcg_cap & 0xff);
	default:
		return true;
	}
}

/* ---- reads ---- */

static int read_held(const struct msr_state *s, enum held what, u32 n, u64 *val)
{
	switch (what) {
	case HELD_TSC_ADJUST:
		*val = s->tsc_adjust;
		return 0;
	case HELD_TSC_AUX:
		*val = s->tsc_aux;
		return 0;
	case HELD_SPEC_CTRL:
		*val = s->spec_ctrl;
		return 0;
	case HELD_PRED_CMD:
		return -EINVAL;
	case HELD_SYSTEM_TIME:
		*val = s->system_time;
		return 0;
	case HELD_WALL_CLOCK:
		*val = s->wall_clock;
		return 0;
	case HELD_PATCH_LEVEL:
		*val = s->patch_level;
		return 0;
	case HELD_MISC_ENABLE:
		*val = s->misc_enable;
		return 0;
	case HELD_DEBUGCTL:
		*val = 0;
		return 0;
	case HELD_HWCR:
		*val = s->hwcr;
		return 0;
	case HELD_DE_CFG:
		*val = s->de_cfg;
		return 0;
	case HELD_OSVW:
		*val = n ? s->osvw_status : s->osvw_length;
		return 0;
	case HELD_MCG_CAP:
		*val = s->mcg_cap;
		return 0;
	case HELD_MCG_STATUS:
		*val = s->mcg_status;
		return 0;
	case HELD_MCG_CTL:
		*val = s->mcg_ctl;
		return 0;
	case HELD_MC:
		*val = s->mc[n / 4][n % 4];
		return 0;
	case HELD_MTRR_VAR:
		*val = s->mtrr_var[n / 2][n % 2];
		return 0;
	case HELD_MTRR_64K:
		*val = s->mtrr_fixed[0];
		return 0;
	case HELD_MTRR_16K:
		*val = s->mtrr_fixed[1 + n];
		return 0;
	case HELD_MTRR_4K:
		*val = s->mtrr_fixed[3 + n];
		return 0;
	case HELD_MTRR_DEF:
		*val = s->mtrr_def_type;
		return 0;
	}
	return -EINVAL;
}

int msr_read(const struct msr_state *s, u32 msr, u64 *val, bool host)
{
	const struct rule *rule = find(msr);

	if (!rule || !exists(s, msr, rule, host))
		return -EINVAL;
	switch (rule->how) {
	case HOME:
		return rule->arg;
	case HELD:
		return read_held(s, rule->arg, msr - rule->first, val);
	case SINK:
		return -EINVAL;
	default:
		*val = rule->value;
		return 0;
	}
}

/* ---- writes ---- */

static bool canonical(u64 addr, u32 bits)
{
	return (u64)((s64)(addr << (64 - bits)) >> (64 - bits)) == addr;
}

/* UC, WC, WT, WP, WB; in a PAT also UC-. APM vol. 2 sections 7.7.1 and 7.8.1. */
static bool types_valid(u64 types, u32 n, u32 valid)
{
	for (u32 i = 0; i < n; i++, types >>= 8)
		if ((types & 0xff) > 7 || !(valid >> (types & 7) & 1))
			return false;
	return true;
}

#define MTRR_TYPES 0x73u
#define PAT_TYPES  0xf3u

/* Registers of the control block. */
static int check_vmcb(const struct msr_state *s, u32 msr, u64 *val)
{
	switch (msr) {
	case LSTAR:
	case CSTAR:
	case FS_BASE ... KERNEL_GS_BASE:
		return canonical(*val, s->cpuid->vaddr_bits) ? 0 : -EINVAL;
	case SYSENTER_ESP:
	case SYSENTER_EIP:
		*val = (u32)*val; /* there is no SYSENTER in 64-bit mode */
		return 0;
	case PAT:
		return types_valid(*val, 8, PAT_TYPES) ? 0 : -EINVAL;
	default:
		return 0;
	}
}

static int store(u64 *to, u64 val, bool ok)
{
	if (!ok)
		return -EINVAL;
	*to = val;
	return 0;
}

/* MCi_CTL takes ones or zeros; bits 10 and 0 may differ, for old kernels, as in KVM. */
static int write_mc(struct msr_state *s, u32 n, u64 val, bool host)
{
	bool ok = true;

	if (n % 4 == 0)
		ok = !val || (val | BIT(10) | BIT(0)) == ~0ull;
	else if (n % 4 == 1)
		ok = host || !val || (s->hwcr & HWCR_MC_STATUS_WR);
	return store(&s->mc[n / 4][n % 4], val, ok);
}

static int write_mtrr_var(struct msr_state *s, u32 n, u64 val)
{
	u64 reserved = ~(BIT(s->cpuid->maxphyaddr) - 1) | (n % 2 ? 0x7ff : 0xf00);
	bool ok = !(val & reserved) && (n % 2 || types_valid(val, 1, MTRR_TYPES));

	return store(&s->mtrr_var[n / 2][n % 2], val, ok);
}

static int write_tsc_adjust(struct msr_state *s, u64 *val, bool host)
{
	u64 old = s->tsc_adjust;

	s->tsc_adjust = *val;
	if (host)
		return 0;
	*val -= old;
	return MSR_HOME_TSC_ADJUST;
}

static int write_spec_ctrl(struct msr_state *s, u64 val, bool host)
{
	if (val & ~(host ? s->host->spec_ctrl_bits : guest_spec_ctrl(s)))
		return -EINVAL;
	s->spec_ctrl = val;
	return MSR_HOME_SPEC_CTRL;
}

static int write_misc_enable(struct msr_state *s, u64 val, bool host)
{
	u64 changed = s->misc_enable ^ val;

	if (!host && (changed & MISC_UNAVAILABLE))
		return -EINVAL;
	s->misc_enable = host ? val : val ^ (changed & MISC_PERFMON);
	return 0;
}

static int write_hwcr(struct msr_state *s, u64 val)
{
	val &= ~(HWCR_IGNORED | HWCR_TSC_FREQ_SEL);
	return store(&s->hwcr, val | HWCR_TSC_FREQ_SEL, !(val & ~HWCR_MC_STATUS_WR));
}

static u64 de_cfg_bits(const struct msr_host *host)
{
	return host->lfence_serializing ? DE_CFG_LFENCE : 0;
}

static int write_de_cfg(struct msr_state *s, u64 val, bool host)
{
	return store(&s->de_cfg, val, host ? !(val & ~de_cfg_bits(s->host)) : val == s->de_cfg);
}

static int write_held(struct msr_state *s, enum held what, u32 n, u64 *val, bool host)
{
	u64 v = *val;

	switch (what) {
	case HELD_TSC_ADJUST:
		return write_tsc_adjust(s, val, host);
	case HELD_TSC_AUX:
		s->tsc_aux = *val = (u32)v;
		return MSR_HOME_TSC_AUX;
	case HELD_SPEC_CTRL:
		return write_spec_ctrl(s, v, host);
	case HELD_PRED_CMD:
		if (v & ~PRED_IBPB)
			return -EINVAL;
		return v ? MSR_HOME_PRED_CMD : 0;
	case HELD_SYSTEM_TIME:
		s->system_time = v;
		return MSR_HOME_CLOCK;
	case HELD_WALL_CLOCK:
		s->wall_clock = v;
		return MSR_HOME_CLOCK;
	case HELD_PATCH_LEVEL:
		if (host)
			s->patch_level = v;
		return 0;
	case HELD_MISC_ENABLE:
		return write_misc_enable(s, v, host);
	case HELD_DEBUGCTL:
		return v & ~DEBUGCTL_IGNORED ? -EINVAL : 0;
	case HELD_HWCR:
		return write_hwcr(s, v);
	case HELD_DE_CFG:
		return write_de_cfg(s, v, host);
	case HELD_OSVW:
		return store(n ? &s->osvw_status : &s->osvw_length, v, true);
	case HELD_MCG_CAP:
		return -EINVAL;
	case HELD_MCG_STATUS:
		return store(&s->mcg_status, v, true);
	case HELD_MCG_CTL:
		return store(&s->mcg_ctl, v, !v || (v == ~0ull && (s->mcg_cap & MCG_CTL_P)));
	case HELD_MC:
		return write_mc(s, n, v, host);
	case HELD_MTRR_VAR:
		return write_mtrr_var(s, n, v);
	case HELD_MTRR_64K:
		return store(&s->mtrr_fixed[0], v, types_valid(v, 8, MTRR_TYPES));
	case HELD_MTRR_16K:
		return store(&s->mtrr_fixed[1 + n], v, types_valid(v, 8, MTRR_TYPES));
	case HELD_MTRR_4K:
		return store(&s->mtrr_fixed[3 + n], v, types_valid(v, 8, MTRR_TYPES));
	case HELD_MTRR_DEF:
		return store(&s->mtrr_def_type, v,
			     !(v & ~0xcffull) && types_valid(v & 0xff, 1, MTRR_TYPES));
	}
	return -EINVAL;
}

int msr_write(struct msr_state *s, u32 msr, u64 *val, bool host)
{
	const struct rule *rule = find(msr);

	if (!rule || !exists(s, msr, rule, host))
		return -EINVAL;
	switch (rule->how) {
	case HOME:
		if (rule->arg == MSR_HOME_VMCB && check_vmcb(s, msr, val))
			return -EINVAL;
		return rule->arg;
	case HELD:
		return write_held(s, rule->arg, msr - rule->first, val, host);
	case CONST:
		return -EINVAL;
	case ZERO:
		return *val ? -EINVAL : 0;
	default:
		return 0;
	}
}

int msr_check_efer(const struct msr_state *s, u64 old, bool paging, u64 *val, bool host)
{
	u64 new = *val;

	if (new & ~(s->host->efer_bits | MSR_EFER_LMA))
		return -EINVAL;
	if (!host) {
		if ((new &MSR_EFER_FFXSR) && !has(s, CPUID_F_FXSR_OPT))
			return -EINVAL;
		if ((new &(MSR_EFER_LME | MSR_EFER_LMA)) && !has(s, CPUID_F_LM))
			return -EINVAL;
		if ((new &MSR_EFER_NXE) && !has(s, CPUID_F_NX))
			return -EINVAL;
		if (paging && ((old ^ new) & MSR_EFER_LME))
			return -EINVAL;
	}
	*val = (new & ~MSR_EFER_LMA) | (old & MSR_EFER_LMA);
	return 0;
}

/* ---- life and lists ---- */

void msr_init(struct msr_state *s, const struct msr_host *host, const struct cpuid_table *cpuid)
{
	*s = (struct msr_state){
		.host = host,
		.cpuid = cpuid,
		.misc_enable = MISC_UNAVAILABLE,
		.patch_level = 0x01000065, /* KVM's, until user space sets one */
		.hwcr = HWCR_TSC_FREQ_SEL,
		.de_cfg = de_cfg_bits(host),
		.osvw_length = 3, /* none of the first three errata */
	};
}

int msr_setup_mce(struct msr_state *s, u64 mcg_cap)
{
	u32 banks = mcg_cap & 0xff;

	if (!banks || banks > MSR_MCE_BANKS || (mcg_cap & ~(MCG_CTL_P | 0xff)))
		return -EINVAL;
	s->mcg_cap = mcg_cap;
	s->mcg_ctl = mcg_cap & MCG_CTL_P ? ~0ull : 0;
	for (u32 i = 0; i < banks; i++)
		s->mc[i][0] = ~0ull;
	return 0;
}

static const u32 listed[] = {
	SYSENTER_CS,	 SYSENTER_ESP,	 SYSENTER_EIP, STAR,	    LSTAR,	CSTAR,
	SFMASK,		 KERNEL_GS_BASE, TSC,	       PAT,	    TSC_ADJUST, TSC_DEADLINE,
	MISC_ENABLE,	 MCG_STATUS,	 MCG_CTL,      PATCH_LEVEL, HWCR,	OSVW_LENGTH,
	OSVW_LENGTH + 1, WALL_CLOCK,	 SYSTEM_TIME,  0x11,	    0x12,
};
_Static_assert(ARRAY_SIZE(listed) + 2 <= MSR_LIST_MAX, "room for the machine's");

u32 msr_index_list(const struct msr_host *host, u32 out[MSR_LIST_MAX])
{
	u32 n;

	for (n = 0; n < ARRAY_SIZE(listed); n++)
		out[n] = listed[n];
	if (host->tsc_aux)
		out[n++] = TSC_AUX;
	if (host->spec_ctrl)
		out[n++] = SPEC_CTRL;
	return n;
}

u32 msr_feature_list(u32 out[MSR_LIST_MAX])
{
	out[0] = DE_CFG;
	out[1] = PATCH_LEVEL;
	return 2;
}

int msr_feature(const struct msr_host *host, u32 msr, u64 *val)
{
	switch (msr) {
	case DE_CFG:
		*val = de_cfg_bits(host);
		return 0;
	case PATCH_LEVEL:
		*val = host->patch_level;
		return 0;
	default:
		return -EINVAL;
	}
}
