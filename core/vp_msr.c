// SPDX-License-Identifier: GPL-2.0-only
/* CPUID, MSRs and the features that follow from them: the policies of x86/ joined with their homes. */
#include "core/trap.h"
#include "core/vp_int.h"
#include "core/x86/asm.h"

#define MSR_SPEC_CTRL	   0x48
#define MSR_PRED_CMD	   0x49
#define MSR_PATCH_LEVEL	   0x8b
#define MSR_TSC_AUX	   0xc0000103u
#define MSR_DE_CFG	   0xc0011029u
#define MSR_WALL_CLOCK_OLD 0x11
#define MSR_WALL_CLOCK	   0x4b564d00u

struct msr_host vp_msr_host;
struct cpuid_caps vp_cpuid_caps;

/* CR4 bits that every guest may set, and those that hang on a feature (APM 2, 3.1.3). */
#define CR4_ALWAYS 0x7ffull
#define CR4_LA57   BIT(12)
#define CR4_PAE	   BIT(5)
static const struct {
	u8 bit;
	u64 feature;
} cr4_features[] = {
	{ 11, CPUID_BIT(7, 2, 2) },  /* UMIP */
	{ 12, CPUID_BIT(7, 2, 16) }, /* LA57 */
	{ 16, CPUID_BIT(7, 1, 0) },  /* FSGSBASE */
	{ 17, CPUID_BIT(1, 2, 17) }, /* PCIDE */
	{ 18, CPUID_BIT(1, 2, 26) }, /* OSXSAVE */
	{ 20, CPUID_BIT(7, 1, 7) },  /* SMEP */
	{ 21, CPUID_BIT(7, 1, 20) }, /* SMAP */
	{ 22, CPUID_BIT(7, 2, 3) },  /* PKE */
};

static u64 host_cr4_bits;

/* Does the machine have a feature (CPUID_BIT())? */
static bool host_has(u64 feature)
{
	u32 leaf = feature >> 8, max[4], r[4];

	cpuid(leaf & 0x80000000, 0, max);
	if (max[0] < leaf)
		return false;
	cpuid(leaf, 0, r);
	return r[feature >> 5 & 3] >> (feature & 31) & 1;
}

static u64 host_spec_ctrl_bits(void)
{
	u64 bits = 0;

	if (host_has(CPUID_F_AMD_IBRS) || host_has(CPUID_F_SPEC_CTRL))
		bits |= BIT(0);
	if (host_has(CPUID_F_AMD_STIBP) || host_has(CPUID_F_STIBP))
		bits |= BIT(1);
	if (host_has(CPUID_F_AMD_SSBD) || host_has(CPUID_F_SSBD))
		bits |= BIT(2);
	if (host_has(CPUID_F_AMD_PSFD))
		bits |= BIT(7);
	return bits;
}

static bool host_lfence_serializing(void)
{
	u64 de_cfg;

	return host_has(CPUID_BIT(0x80000021, 0, 2)) ||
	       (!rdmsr_safe(MSR_DE_CFG, &de_cfg) && (de_cfg & BIT(1)));
}

void vp_msr_init(void)
{
	struct msr_host *h = &vp_msr_host;
	u32 i;

	if (rdmsr_safe(MSR_PATCH_LEVEL, &h->patch_level))
		h->patch_level = 0;
	h->lfence_serializing = host_lfence_serializing();
	h->tsc_aux = host_has(CPUID_F_RDTSCP) || host_has(CPUID_F_RDPID);
	h->spec_ctrl_bits = host_spec_ctrl_bits();
	h->spec_ctrl = h->spec_ctrl_bits != 0;
	h->efer_bits = MSR_EFER_SCE | MSR_EFER_LME | MSR_EFER_LMA;
	if (host_has(CPUID_F_NX))
		h->efer_bits |= MSR_EFER_NXE;
	if (host_has(CPUID_F_FXSR_OPT))
		h->efer_bits |= MSR_EFER_FFXSR;
	vp_cpuid_caps.xcr0 = vp_fpu_features();
	vp_cpuid_caps.spec_ctrl = h->spec_ctrl;
	host_cr4_bits = CR4_ALWAYS;
	for (i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (host_has(cr4_features[i].feature))
			host_cr4_bits |= BIT(cr4_features[i].bit);
}

int vp_set_cpuid(struct vp *vp, const struct cpuid_entry *entries, u32 n)
{
	int ret = cpuid_set(vp->cpuid, entries, n, &vp_cpuid_caps);
	u32 i;

	if (ret)
		return ret;
	vp->cr4_bits = CR4_ALWAYS;
	for (i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (cpuid_has(vp->cpuid, cr4_features[i].feature))
			vp->cr4_bits |= BIT(cr4_features[i].bit);
	vp->cr4_bits &= host_cr4_bits;
	lapic_set_features(&vp->lapic, cpuid_has(vp->cpuid, CPUID_F_X2APIC),
			   cpuid_has(vp->cpuid, CPUID_F_TSC_DEADLINE), vp->cpuid->maxphyaddr);
	vp_vendor_cpuid_changed(vp);
	return 0;
}

/* The clock is written by the root, which has the guest's memory within reach: it hears of it before the next entry. */
static void vp_clock_due(struct vp *vp, u32 what)
{
	vp->clock_due |= what;
	vp->attention = true;
}

void vp_set_tsc_offset(struct vp *vp, u64 offset)
{
	vp->tsc_offset = offset;
	vp_vendor_set_tsc_offset(vp, offset);
	vp_lapic_flags(vp, lapic_set_tsc_offset(&vp->lapic, offset, rdtsc()));
	if (vp->msrs.system_time & VP_CLOCK_ENABLED)
		vp_clock_due(vp, PLINTH_CLOCK_SYSTEM);
}

/*
 * The root sets the TSC. A value that is close to what the VM's other processors show (or zero) means "as
 * the others", as with KVM: the VP gets exactly their offset, so that the TSCs agree.
 */
static void host_set_tsc(struct vp *vp, u64 val)
{
	u64 now = rdtsc(), second = boot->params.tsc_khz * 1000ull;
	struct vm *vm = vp->vm;
	u64 ahead;

	spin_lock(&vm->lock);
	ahead = val - (now + vm->tsc_offset);
	if (val && ahead + second > 2 * second)
		vm->tsc_offset = val - now;
	vp->tsc_offset = vm->tsc_offset;
	spin_unlock(&vm->lock);
	vp_set_tsc_offset(vp, vp->tsc_offset);
}

static void guest_set_tsc(struct vp *vp, u64 val)
{
	u64 offset = val - rdtsc();

	vp->msrs.tsc_adjust += offset - vp->tsc_offset;
	vp_set_tsc_offset(vp, offset);
}

int vp_msr_read(struct vp *vp, u32 msr, u64 *val, bool host)
{
	int home = msr_read(&vp->msrs, msr, val, host);

	switch (home) {
	case MSR_HOME_VMCB:
		return vp_vendor_get_msr(vp, msr, val) ? -EINVAL : 0;
	case MSR_HOME_EFER:
		*val = vp_vendor_efer(vp);
		return 0;
	case MSR_HOME_APIC_BASE:
		*val = lapic_base(&vp->lapic);
		return 0;
	case MSR_HOME_X2APIC:
		return lapic_msr_read(&vp->lapic, msr, val, rdtsc());
	case MSR_HOME_TSC_DEADLINE:
		*val = lapic_get_tsc_deadline(&vp->lapic, rdtsc());
		return 0;
	case MSR_HOME_TSC:
		*val = rdtsc() + vp->tsc_offset;
		return 0;
	default:
		return home > 0 ? -EINVAL : home;
	}
}

static int vp_write_efer(struct vp *vp, u64 val, bool host)
{
	int ret = msr_check_efer(&vp->msrs, vp_vendor_efer(vp), vp_vendor_cr0(vp) >> 31 & 1, &val,
				 host);

	if (!ret)
		vp_vendor_set_efer(vp, val);
	return ret;
}

static int vp_write_apic(struct vp *vp, u32 msr, u64 val, bool host)
{
	int serviced = vp->lapic.isrv, ret;
	struct lapic_fx fx;

	if (msr == LAPIC_MSR_BASE)
		ret = lapic_set_base(&vp->lapic, val, host, rdtsc(), &fx);
	else
		ret = lapic_msr_write(&vp->lapic, msr, val, rdtsc(), &fx);
	if (ret)
		return ret;
	if (msr == LAPIC_MSR_FIRST + LAPIC_EOI / 16)
		vp_lapic_eoi(vp, serviced);
	vp_lapic_fx(vp, &fx);
	return 0;
}

int vp_msr_write(struct vp *vp, u32 msr, u64 val, bool host)
{
	int home = msr_write(&vp->msrs, msr, &val, host);

	switch (home) {
	case MSR_HOME_VMCB:
		return vp_vendor_set_msr(vp, msr, val) ? -EINVAL : 0;
	case MSR_HOME_EFER:
		return vp_write_efer(vp, val, host);
	case MSR_HOME_APIC_BASE:
	case MSR_HOME_X2APIC:
		return vp_write_apic(vp, msr, val, host);
	case MSR_HOME_TSC_DEADLINE:
		vp_lapic_flags(vp, lapic_set_tsc_deadline(&vp->lapic, val, rdtsc()));
		return 0;
	case MSR_HOME_TSC:
		if (host)
			host_set_tsc(vp, val);
		else
			guest_set_tsc(vp, val);
		return 0;
	case MSR_HOME_CLOCK:
		vp_clock_due(vp, msr == MSR_WALL_CLOCK || msr == MSR_WALL_CLOCK_OLD
					 ? PLINTH_CLOCK_WALL
					 : PLINTH_CLOCK_SYSTEM);
		return 0;
	case MSR_HOME_TSC_ADJUST:
		vp_set_tsc_offset(vp, vp->tsc_offset + val);
		return 0;
	case MSR_HOME_TSC_AUX:
		if (vp->loaded)
			wrmsr(MSR_TSC_AUX, val);
		return 0;
	case MSR_HOME_SPEC_CTRL: /* loaded at the next entry */
		return 0;
	case MSR_HOME_PRED_CMD:
		if (vp->loaded)
			wrmsr(MSR_PRED_CMD, val);
		return 0;
	default:
		return home > 0 ? -EINVAL : home;
	}
}
