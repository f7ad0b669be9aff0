// SPDX-License-Identifier: GPL-2.0-only
/* L2: capturing the state of a CPU. */
#include <linux/smp.h>
#include <asm/apic.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/special_insns.h>

#include "plinth.h"

/* enter.S */
static_assert(offsetof(struct plinth_cpu_state, rip) == 128);
static_assert(offsetof(struct plinth_cpu_state, rflags) == 136);
static_assert(offsetof(struct plinth_cpu_state, cr3) == 160);
static_assert(offsetof(struct plinth_cpu_state, cr4) == 168);
static_assert(offsetof(struct plinth_entry, trans_cr3) == 24);
static_assert((PLINTH_HC_MAGIC | PLINTH_HC_RETIRE) == 0x504c0001);

/* A segment from its descriptor, in the VMCB's format (APM 2, 15.5). */
static void capture_segment(struct plinth_seg *s, u16 selector, const struct desc_ptr *gdtr)
{
	const struct desc_struct *d;

	memset(s, 0, sizeof(*s));
	s->selector = selector;
	if (!(selector & ~3) || (selector & 4) || (selector | 7) > gdtr->size)
		return; /* null, or of an LDT (only FS and GS could be): not present */
	d = (const struct desc_struct *)(gdtr->address + (selector & ~7));
	s->attrib = d->type | d->s << 4 | d->dpl << 5 | d->p << 7 | d->avl << 8 | d->l << 9 |
		    d->d << 10 | d->g << 11;
	s->limit = d->limit0 | d->limit1 << 16;
	if (d->g)
		s->limit = s->limit << 12 | 0xfff;
	s->base = d->base0 | d->base1 << 16 | (u64)d->base2 << 24;
	if (!d->s) /* system descriptors are 16 bytes in long mode */
		s->base |= (u64)((const struct ldttss_desc *)d)->base3 << 32;
}

static void capture_segments(struct plinth_cpu_state *st)
{
	struct desc_ptr gdtr, idtr;
	u16 sel;

	native_store_gdt(&gdtr);
	store_idt(&idtr);
	st->gdtr = (struct plinth_seg){ .limit = gdtr.size, .base = gdtr.address };
	st->idtr = (struct plinth_seg){ .limit = idtr.size, .base = idtr.address };
#define CAPTURE(name)                                                                              \
	do {                                                                                       \
		asm volatile("mov %%" #name ", %0" : "=r"(sel));                                   \
		capture_segment(&st->name, sel, &gdtr);                                            \
	} while (0)
	CAPTURE(cs);
	CAPTURE(ds);
	CAPTURE(ss);
	CAPTURE(es);
	CAPTURE(fs);
	CAPTURE(gs);
#undef CAPTURE
	asm volatile("str %0" : "=r"(sel));
	capture_segment(&st->tr, sel, &gdtr);
	asm volatile("sldt %0" : "=r"(sel));
	capture_segment(&st->ldtr, sel, &gdtr);
	rdmsrl(MSR_FS_BASE, st->fs.base);
	rdmsrl(MSR_GS_BASE, st->gs.base);
}

static void capture_msrs(struct plinth_cpu_state *st)
{
	rdmsrl(MSR_KERNEL_GS_BASE, st->kernel_gs_base);
	rdmsrl(MSR_STAR, st->star);
	rdmsrl(MSR_LSTAR, st->lstar);
	rdmsrl(MSR_CSTAR, st->cstar);
	rdmsrl(MSR_SYSCALL_MASK, st->sfmask);
	rdmsrl(MSR_IA32_SYSENTER_CS, st->sysenter_cs);
	rdmsrl(MSR_IA32_SYSENTER_ESP, st->sysenter_esp);
	rdmsrl(MSR_IA32_SYSENTER_EIP, st->sysenter_eip);
	rdmsrl(MSR_IA32_APICBASE, st->apic_base);
	rdmsrl(MSR_EFER, st->efer);
	rdmsrl(MSR_IA32_CR_PAT, st->pat);
	rdmsrl(MSR_IA32_DEBUGCTLMSR, st->debugctl);
	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		rdmsrl(MSR_TSC_AUX, st->tsc_aux);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, st->xss);
}

/* Local APIC registers that can be read in the mode it is in; the rest stays 0. */
static void capture_apic(struct plinth_cpu_state *st)
{
	static const u16 regs[] = { APIC_ID,   APIC_LVR,    APIC_TASKPRI, APIC_LDR,   APIC_DFR,
				    APIC_SPIV, APIC_LVTT,   APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0,
				    APIC_LVT1, APIC_LVTERR, APIC_TMICT,	  APIC_TMCCT, APIC_TDCR };
	unsigned int i;

	st->apic_valid = (st->apic_base & XAPIC_ENABLE) != 0;
	if (!st->apic_valid)
		return;
	for (i = 0; i < ARRAY_SIZE(regs); i++)
		if (regs[i] != APIC_DFR || !x2apic_enabled())
			st->apic_regs[regs[i] / 16] = apic_read(regs[i]);
	for (i = 0; i < 8; i++) {
		st->apic_regs[(APIC_ISR + i * 16) / 16] = apic_read(APIC_ISR + i * 16);
		st->apic_regs[(APIC_TMR + i * 16) / 16] = apic_read(APIC_TMR + i * 16);
		st->apic_regs[(APIC_IRR + i * 16) / 16] = apic_read(APIC_IRR + i * 16);
	}
}

static void capture_extended(struct plinth_cpu_state *st)
{
	u32 size, b, c, d;

	if (!boot_cpu_has(X86_FEATURE_OSXSAVE)) {
		asm volatile("fxsave64 %0" : "=m"(st->xsave));
		return;
	}
	st->xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	cpuid_count(0xd, 0, &size, &b, &c, &d);
	if (b <= sizeof(st->xsave))
		asm volatile("xsave64 %0" : "+m"(st->xsave) : "a"(-1), "d"(-1) : "memory");
}

void plinth_capture(struct plinth_cpu_state *st)
{
	st->rflags = native_save_fl();
	st->cr0 = read_cr0();
	st->cr2 = native_read_cr2();
	st->cr3 = __native_read_cr3();
	st->cr4 = native_read_cr4();
	asm volatile("mov %%cr8, %0" : "=r"(st->cr8));
	st->dr0 = native_get_debugreg(0);
	st->dr1 = native_get_debugreg(1);
	st->dr2 = native_get_debugreg(2);
	st->dr3 = native_get_debugreg(3);
	st->dr6 = native_get_debugreg(6);
	st->dr7 = native_get_debugreg(7);
	capture_segments(st);
	capture_msrs(st);
	capture_apic(st);
	capture_extended(st);
}
