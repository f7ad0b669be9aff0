// SPDX-License-Identifier: GPL-2.0-only
/* SVM on one CPU: probing, the world switch's surroundings, the temporary VM. */
#include "core/apic.h"
#include "core/cpu.h"
#include "core/log.h"
#include "core/mm.h"
#include "core/string.h"
#include "core/x86/asm.h"
#include "core/x86/layout.h"
#include "core/x86/svm/svm.h"

_Static_assert(offsetof(struct leave, rip) == L_LEAVE_RIP, "layout.h");
_Static_assert(offsetof(struct leave, cr3) == L_LEAVE_CR3, "layout.h");
_Static_assert(offsetof(struct leave, vmcb_pa) == L_LEAVE_VMCB, "layout.h");
_Static_assert(offsetof(struct leave, gdtr) == L_LEAVE_GDTR, "layout.h");
_Static_assert(offsetof(struct leave, idtr) == L_LEAVE_IDTR, "layout.h");
_Static_assert(offsetof(struct leave, ss) == L_LEAVE_SS, "layout.h");
_Static_assert(offsetof(struct leave, es) == L_LEAVE_ES, "layout.h");

struct svm_caps svm_caps;

/* CPUID Fn8000_000A_EDX. */
#define SVM_FEAT_NP	      BIT(0)
#define SVM_FEAT_NRIPS	      BIT(3)
#define SVM_FEAT_FLUSH_ASID   BIT(6)
#define SVM_FEAT_DECODE	      BIT(7)
#define SVM_FEAT_PAUSE_FILTER BIT(10)

int svm_probe(void)
{
	u32 r[4];

	cpuid(0x8000000a, 0, r);
	if (!(r[3] & SVM_FEAT_NP))
		return trace_error(-ENODEV);
	svm_caps.asids = r[1];
	svm_caps.nrips = r[3] & SVM_FEAT_NRIPS;
	svm_caps.decode_assist = r[3] & SVM_FEAT_DECODE;
	svm_caps.flush_asid = r[3] & SVM_FEAT_FLUSH_ASID;
	svm_caps.pause_filter = r[3] & SVM_FEAT_PAUSE_FILTER;
	svm_caps.features = (svm_caps.nrips ? PLINTH_FEAT_NRIPS : 0) |
			    (svm_caps.decode_assist ? PLINTH_FEAT_DECODE_ASSIST : 0) |
			    (svm_caps.flush_asid ? PLINTH_FEAT_FLUSH_ASID : 0) |
			    (svm_caps.pause_filter ? PLINTH_FEAT_PAUSE_FILTER : 0);
	return 0;
}

int svm_cpu_init(struct cpu *c)
{
	if (c->root_vmcb)
		return 0;
	c->hsave_pa = mm_alloc();
	c->host_vmcb_pa = mm_alloc();
	c->root_vmcb_pa = mm_alloc();
	if (!c->hsave_pa || !c->host_vmcb_pa || !c->root_vmcb_pa)
		return trace_error(-ENOMEM); /* the pool goes back to the root as a whole */
	c->root_vmcb = mm_va(c->root_vmcb_pa);
	return 0;
}

void svm_cpu_host(struct cpu *c)
{
	__asm__ volatile("vmsave %0" : : "a"(c->host_vmcb_pa) : "memory");
}

bool svm_enter(struct cpu *c, struct vmcb *v, u64 vmcb_pa, struct gprs *g, u64 host_if, u32 stop)
{
	u32 req;

	__atomic_store_n(&c->in_guest, 1, __ATOMIC_SEQ_CST);
	req = __atomic_load_n(&c->requests, __ATOMIC_SEQ_CST);
	if (unlikely(req)) {
		if (req & stop) {
			__atomic_store_n(&c->in_guest, 0, __ATOMIC_RELEASE);
			return false;
		}
		if (req & CPU_REQ_FLUSH)
			v->tlb_control = VMCB_TLB_FLUSH_ALL;
		__atomic_fetch_and(&c->requests, ~(CPU_REQ_FLUSH | CPU_REQ_KICK), __ATOMIC_SEQ_CST);
	}
	svm_vmrun(g, vmcb_pa, c->host_vmcb_pa, host_if);
	__atomic_store_n(&c->in_guest, 0, __ATOMIC_RELEASE);
	c->exits++;
	v->tlb_control = VMCB_TLB_NOTHING;
	return true;
}

void svm_take_nmi(void)
{
	struct cpu *c = this_cpu();

	c->taking_nmi = true;
	__asm__ volatile("stgi; nop; clgi" : : : "memory");
	c->taking_nmi = false;
}

void svm_exit_nmi(struct cpu *c)
{
	bool kick;

	svm_take_nmi();
	c->nmis_taken++;
	kick = __atomic_exchange_n(&c->kick_nmi, 0, __ATOMIC_SEQ_CST);
	/*
	 * The root's own IPIs don't come as physical NMIs (root_icr()), so one that coincides with a
	 * kick can only be a device's; of those the performance counters leave a trace.
	 */
	if (!kick || apic_pmi_fired())
		c->root_nmi_pending = true;
}

extern const u8 svm_temp_vm_code[];

/* The core's own segment, as the temporary VM sees it. */
static struct plinth_seg seg(u16 selector, u16 attrib)
{
	return (struct plinth_seg){ .selector = selector, .attrib = attrib, .limit = 0xffffffff };
}

int svm_temp_vm(struct cpu *c)
{
	struct gprs g = { .r = { [RBX] = 0x504c, [R15] = 0x4e54 } };
	u64 pa = mm_alloc();
	struct vmcb *v;
	int ret = 0;

	if (!pa)
		return trace_error(-ENOMEM);
	v = mm_va(pa);
	/* FS to LDTR and the syscall MSRs: as the core has them, so that VMLOAD changes nothing. */
	__asm__ volatile("vmsave %0" : : "a"(pa) : "memory");
	svm_intercept(v, INTERCEPT_VMRUN);
	svm_intercept(v, INTERCEPT_CPUID);
	svm_intercept(v, INTERCEPT_NMI);
	svm_intercept(v, INTERCEPT_SHUTDOWN);
	v->asid = 1;
	v->tlb_control = VMCB_TLB_FLUSH_ALL;
	v->cs = seg(0x10, 0xa9b);
	v->ss = v->ds = v->es = seg(0x18, 0xc93);
	v->efer = rdmsr(MSR_EFER);
	v->cr0 = read_cr0();
	v->cr3 = read_cr3();
	v->cr4 = read_cr4();
	v->dr6 = 0xffff0ff0;
	v->dr7 = 0x400;
	v->rflags = 2;
	v->rip = (u64)svm_temp_vm_code;
	v->rsp = (u64)&g;
	v->rax = 0x5456;
	__asm__ volatile("sgdt %0" : "=m"(*(struct dtr *)((u8 *)&v->gdtr.base - 2)));
	v->gdtr.limit = sizeof(c->gdt) - 1;
	v->idtr.limit = 0xfff;
	do {
		svm_vmrun(&g, pa, c->host_vmcb_pa, 0);
		if (v->exit_code == SVM_EXIT_NMI)
			svm_exit_nmi(c);
	} while (v->exit_code == SVM_EXIT_NMI);
	if ((u32)v->exit_code != SVM_EXIT_CPUID || v->rip != (u64)svm_temp_vm_code ||
	    v->rax != 0x5456 || g.r[RBX] != 0x504c || g.r[R15] != 0x4e54) {
		log_printf("core: CPU %u: temporary VM came back with exit %lx at %lx\n", c->index,
			   v->exit_code, v->rip);
		ret = -EIO;
	}
	mm_free(pa);
	return ret;
}
