// SPDX-License-Identifier: GPL-2.0-only
/* Exits that are handled in the same way whatever the virtualization extension. */
#include "core/string.h"
#include "core/vp_int.h"
#include "core/x86/asm.h"

#define RFLAGS_TF BIT(8)
#define RFLAGS_RF BIT(16)
#define DR6_BS	  BIT(14)
#define DR6_RESET 0xffff0ff0ull

#define CR4_PAE	    BIT(5)
#define CR4_LA57    BIT(12)
#define CR4_PCIDE   BIT(17)
#define CR4_OSXSAVE BIT(18)

/* Results of KVM's hypercalls (Documentation/virt/kvm/x86/hypercalls.rst): none is offered. */
#define KVM_ENOSYS 1000
#define KVM_EPERM  1

int vp_debug_exit(struct vp *vp, u32 exception)
{
	struct plinth_vp_shared_run *run = &vp->shared->run;
	u64 dr6, dr7;

	vp_vendor_get_debug(vp, &dr6, &dr7);
	run->debug.exception = exception;
	run->debug.pc = vp_vendor_cs_base(vp) + vp->rip;
	run->debug.dr6 = exception == 1 ? DR6_RESET | DR6_BS : dr6;
	run->debug.dr7 = dr7;
	return PLINTH_EXIT_DEBUG;
}

void vp_step(struct vp *vp)
{
	u64 dr6, dr7;

	if (unlikely(vp->rflags & RFLAGS_TF)) {
		vp_vendor_get_debug(vp, &dr6, &dr7);
		vp_vendor_set_debug(vp, dr6 | DR6_BS, dr7);
		vp_exception(vp, 1, false, 0);
	}
	if (unlikely(vp_debug_step(vp)))
		vp->debug_due = vp->attention = true;
}

void vp_skip(struct vp *vp)
{
	vp->rip = vp->next_rip;
	vp->rflags &= ~RFLAGS_RF;
	vp_vendor_set_shadow(vp, false);
	vp_step(vp);
}

int vp_exit_cpuid(struct vp *vp)
{
	u64 *r = vp->gprs.r;
	struct cpuid_regs c = cpuid_lookup(vp->cpuid, r[RAX], r[RCX], vp_vendor_cr4(vp), vp->xcr0,
					   lapic_base(&vp->lapic));

	r[RAX] = c.eax;
	r[RBX] = c.ebx;
	r[RCX] = c.ecx;
	r[RDX] = c.edx;
	vp_skip(vp);
	return VP_AGAIN;
}

int vp_exit_rdmsr(struct vp *vp)
{
	u64 val;

	if (vp_msr_read(vp, vp->gprs.r[RCX], &val, false)) {
		vp_gp(vp);
		return VP_AGAIN;
	}
	vp->gprs.r[RAX] = (u32)val;
	vp->gprs.r[RDX] = val >> 32;
	vp_skip(vp);
	return VP_AGAIN;
}

int vp_exit_wrmsr(struct vp *vp)
{
	u64 val = (u32)vp->gprs.r[RAX] | vp->gprs.r[RDX] << 32;

	if (vp_msr_write(vp, vp->gprs.r[RCX], val, false))
		vp_gp(vp);
	else
		vp_skip(vp);
	return VP_AGAIN;
}

int vp_exit_hlt(struct vp *vp)
{
	vp_skip(vp);
	vp->activity = VP_HALTED;
	return VP_AGAIN;
}

int vp_exit_hypercall(struct vp *vp)
{
	s64 ret = vp_vendor_cpl(vp) ? -KVM_EPERM : -KVM_ENOSYS;

	vp->gprs.r[RAX] = vp_vendor_mode(vp) == INSN_MODE_64 ? (u64)ret : (u32)ret;
	vp_skip(vp);
	return VP_AGAIN;
}

int vp_exit_xsetbv(struct vp *vp)
{
	u64 val = (u32)vp->gprs.r[RAX] | vp->gprs.r[RDX] << 32;

	if (!(vp_vendor_cr4(vp) & CR4_OSXSAVE)) {
		vp_ud(vp);
		return VP_AGAIN;
	}
	if (vp_vendor_cpl(vp) || (u32)vp->gprs.r[RCX] || !cpuid_xcr0_valid(vp->cpuid, val)) {
		vp_gp(vp);
		return VP_AGAIN;
	}
	vp->xcr0 = val;
	xsetbv(0, val);
	vp_skip(vp);
	return VP_AGAIN;
}

static bool cr4_valid(struct vp *vp, u64 val)
{
	u64 old = vp_vendor_cr4(vp);
	bool lma = vp_vendor_efer(vp) & MSR_EFER_LMA;

	if (val & ~vp->cr4_bits)
		return false;
	if (lma && (!(val & CR4_PAE) || (val ^ old) & CR4_LA57))
		return false;
	if (val & ~old & CR4_PCIDE)
		return lma && !(vp_vendor_cr3(vp) & 0xfff);
	return true;
}

int vp_exit_mov_to_cr(struct vp *vp, u8 cr, u64 val)
{
	switch (cr) {
	case 4:
		if (!cr4_valid(vp, val))
			break;
		vp_vendor_set_cr4(vp, val);
		vp_skip(vp);
		return VP_AGAIN;
	case 8:
		if (val >> 4)
			break;
		vp_lapic_flags(vp, lapic_set_cr8(&vp->lapic, val));
		vp->attention = true;
		vp_skip(vp);
		return VP_AGAIN;
	}
	vp_gp(vp);
	return VP_AGAIN;
}

int vp_exit_monitor(struct vp *vp)
{
	/* MONITOR and MWAIT where CPUID offers them do nothing, which the manuals allow. */
	if (cpuid_has(vp->cpuid, CPUID_BIT(1, 2, 3)))
		vp_skip(vp);
	else
		vp_ud(vp);
	return VP_AGAIN;
}

int vp_internal_error(struct vp *vp, u32 suberror, u32 ndata, const u64 *data)
{
	struct plinth_vp_shared_run *run = &vp->shared->run;
	u32 i;

	run->internal.suberror = suberror;
	run->internal.ndata = ndata;
	for (i = 0; i < ndata; i++)
		run->internal.data[i] = data[i];
	run->internal.insn_size = suberror == VP_ERROR_EMULATION ? vp->io->insn_len : 0;
	memcpy(run->internal.insn, vp->io->insn, sizeof(run->internal.insn));
	return PLINTH_EXIT_INTERNAL;
}
