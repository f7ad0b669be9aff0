/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSRs of children: one table says for each whether it exists, where its value lives, and what may
 * be written. Those without a better home are held here. Pure functions; one owner per msr_state.
 * AMD APM vol. 2 appendix A. What is not in the table is #GP to the guest.
 */
#ifndef CORE_X86_MSR_POLICY_H
#define CORE_X86_MSR_POLICY_H

#include "core/types.h"
#include "core/x86/cpuid_policy.h"

#define MSR_MCE_BANKS 10 /* at most; as many as QEMU asks for */
#define MSR_VAR_MTRRS 8

/*
 * Where a value lives. msr_read() and msr_write() return one of these when the caller has to do the
 * rest; 0 means that it is done.
 */
enum msr_home {
	MSR_HOME_HELD = 0,
	/*
	 * The control block's state area: STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE, SYSENTER_CS,
	 * _ESP, _EIP, FS_BASE, GS_BASE, PAT.
	 */
	MSR_HOME_VMCB,
	MSR_HOME_EFER,	       /* likewise; write with msr_check_efer() */
	MSR_HOME_APIC_BASE,    /* lapic_set_base() */
	MSR_HOME_X2APIC,       /* lapic_msr_read(), lapic_msr_write() */
	MSR_HOME_TSC_DEADLINE, /* lapic_set_tsc_deadline() */
	MSR_HOME_TSC,	       /* guest TSC: a guest's write moves offset and tsc_adjust alike */
	MSR_HOME_TSC_ADJUST,   /* only writes by the guest: see msr_write() */
	MSR_HOME_TSC_AUX,      /* only writes: tsc_aux is updated, load it into the processor */
	MSR_HOME_SPEC_CTRL,    /* only writes: spec_ctrl is updated, load it likewise */
	MSR_HOME_PRED_CMD,     /* only writes of IBPB: do it on this processor */
	MSR_HOME_CLOCK, /* only writes: system_time or wall_clock is updated, tell the root */
};

/* What the machine's MSRs and the core's abilities allow. */
struct msr_host {
	u64 patch_level;	 /* PATCH_LEVEL (8B) of the machine, for user space to see */
	bool lfence_serializing; /* DE_CFG bit 1 is set, or CPUID 8000_0021 EAX bit 2 */
	bool tsc_aux;		 /* the machine has RDTSCP or RDPID */
	bool spec_ctrl;	    /* SPEC_CTRL is switched and PRED_CMD passed on: cpuid_caps.spec_ctrl */
	u64 spec_ctrl_bits; /* bits of SPEC_CTRL that the machine has */
	u64 efer_bits;	    /* bits of EFER that a child may set, of MSR_EFER_BITS */
};

#define MSR_EFER_SCE   BIT(0)
#define MSR_EFER_LME   BIT(8)
#define MSR_EFER_LMA   BIT(10)
#define MSR_EFER_NXE   BIT(11)
#define MSR_EFER_SVME  BIT(12)
#define MSR_EFER_FFXSR BIT(14)
#define MSR_EFER_BITS  (MSR_EFER_SCE | MSR_EFER_LME | MSR_EFER_LMA | MSR_EFER_NXE | MSR_EFER_FFXSR)

/* Values that are held here. tsc_adjust, tsc_aux and spec_ctrl are the caller's to read as well. */
struct msr_state {
	const struct msr_host *host;
	const struct cpuid_table *cpuid; /* the child's; features are looked up when they matter */
	u64 tsc_adjust;
	u64 tsc_aux;
	u64 spec_ctrl;
	u64 system_time, wall_clock; /* KVM's clock: Documentation/virt/kvm/x86/msr.rst */
	u64 misc_enable;
	u64 patch_level;
	u64 hwcr;
	u64 de_cfg;
	u64 osvw_length, osvw_status;
	u64 mcg_cap, mcg_status, mcg_ctl;
	u64 mc[MSR_MCE_BANKS][4]; /* CTL, STATUS, ADDR, MISC */
	u64 mtrr_def_type;
	u64 mtrr_fixed[11];		/* 250, 258, 259, 268..26F */
	u64 mtrr_var[MSR_VAR_MTRRS][2]; /* base, mask */
};

/*
 * Power-on values. `host` and `cpuid` must outlive `s`. INIT changes none of the held MSRs but system_time, which is
 * the caller's to clear.
 */
void msr_init(struct msr_state *s, const struct msr_host *host, const struct cpuid_table *cpuid);

/*
 * RDMSR (host = false) or KVM_GET_MSRS (host = true). Returns 0 with *val; or an enum msr_home
 * where the caller finds the value; or -EINVAL: #GP, or the end of KVM_GET_MSRS.
 */
int msr_read(const struct msr_state *s, u32 msr, u64 *val, bool host);

/*
 * WRMSR or KVM_SET_MSRS. Returns 0 if that is all; or an enum msr_home, where the caller has to put
 * *val (checked, and changed where bits are ignored; APIC_BASE, X2APIC and EFER are checked by
 * their own functions); or -EINVAL. MSR_HOME_TSC_ADJUST: *val is what to add to the TSC offset,
 * tsc_adjust is updated.
 */
int msr_write(struct msr_state *s, u32 msr, u64 *val, bool host);

/*
 * Check a write of EFER. `old` is the present value as the guest sees it, `paging` CR0.PG. On
 * success *val is the new value, with LMA as before. -EINVAL: #GP.
 */
int msr_check_efer(const struct msr_state *s, u64 old, bool paging, u64 *val, bool host);

/*
 * KVM_X86_SETUP_MCE: number of banks (at most MSR_MCE_BANKS) and MCG_CTL_P (bit 8). Others:
 * -EINVAL. Without it there are no banks.
 */
int msr_setup_mce(struct msr_state *s, u64 mcg_cap);

/*
 * KVM_GET_MSR_INDEX_LIST: every one of them can be read and written by KVM_GET_MSRS, KVM_SET_MSRS.
 */
#define MSR_LIST_MAX 32
u32 msr_index_list(const struct msr_host *host, u32 out[MSR_LIST_MAX]);

/* KVM_GET_MSR_FEATURE_INDEX_LIST, and KVM_GET_MSRS on /dev/plinth. -EINVAL: not one of them. */
u32 msr_feature_list(u32 out[MSR_LIST_MAX]);
int msr_feature(const struct msr_host *host, u32 msr, u64 *val);

#endif
