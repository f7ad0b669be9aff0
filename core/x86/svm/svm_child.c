// SPDX-License-Identifier: GPL-2.0-only
/*
 * Children on SVM: their VMCBs, and their exits. What an exit means is for core/vp_*.c; here is how SVM says it.
 *
 * Not intercepted, on purpose: CR0, CR2, CR3 (nested paging has them in the VMCB); task switches (the
 * processor makes them, through nested paging, by itself); SMI (the machine's own affair); RDTSC (by offset).
 */
#include "core/string.h"
#include "core/trap.h"
#include "core/vp_int.h"
#include "core/x86/asm.h"
#include "core/x86/svm/asid.h"
#include "core/x86/svm/svm.h"

#define MSR_PAT		   0x277
#define MSR_SPEC_CTRL	   0x48
#define MSR_PRED_CMD	   0x49
#define MSR_SYSENTER_CS	   0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_STAR	   0xc0000081u
#define MSR_LSTAR	   0xc0000082u
#define MSR_CSTAR	   0xc0000083u
#define MSR_SFMASK	   0xc0000084u
#define MSR_FS_BASE	   0xc0000100u
#define MSR_GS_BASE	   0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

#define RFLAGS_TF   BIT(8)
#define RFLAGS_RF   BIT(16)
#define DR6_BS	    BIT(14)
#define DR6_RESET   0xffff0ff0ull
#define DR7_RESET   0x400ull
#define DR7_ENABLED 0xffull
#define PAT_RESET   0x0007040600070406ull
#define CR0_ET	    BIT(4)
#define CR0_NW	    BIT(29)
#define CR0_CD	    BIT(30)

#define INTERCEPT_DR_ALL  0x00ff00ffu /* word 1: reads and writes of DR0-DR7 */
#define INTERCEPT_DR_WORD 1

#define SVM_EXIT_FERR_FREEZE 0x07e

#define IOPM_PAGES  3
#define MSRPM_PAGES 2

/* PAUSE in a tight loop this often within so many cycles of each other: the lock's holder does not run. */
#define PAUSE_COUNT	3000
#define PAUSE_THRESHOLD 128

#define STOP (CPU_REQ_INIT | CPU_REQ_SIPI | CPU_REQ_NMI | CPU_REQ_KICK)

/* In vp->vendor[]. */
struct vp_svm {
	struct asid asid;
	u32 windows; /* VP_WINDOW_* of the next entry */
	bool flush;  /* forget the TLB entries */

	/* The interrupt shadow at the last entry. */
	bool entry_shadow;
	u64 entry_rip;

	/* One instruction with RFLAGS.TF, to get past something that holds an event back. */
	bool want_step, stepping;
	u64 step_rflags, step_dr6;

	/* IRET was intercepted at iret_rip: NMIs stay blocked until it has been executed. */
	bool iret_wait;
	u64 iret_rip;

	u64 root_spec_ctrl;
};
_Static_assert(sizeof(struct vp_svm) <= sizeof(((struct vp *)0)->vendor),
	       "vp->vendor is too small");

static u64 iopm_pa, msrpm_pa;

static struct vp_svm *svm_of(struct vp *vp)
{
	return (struct vp_svm *)vp->vendor;
}

static struct vmcb *vmcb_of(const struct vp *vp)
{
	return vp->hw;
}

/* ---- permission maps, shared by all children ---- */

/* MSRs that VMLOAD and VMSAVE, or nested paging, keep apart from the root's. */
static const u32 msr_passed[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR,	  MSR_LSTAR,
	MSR_CSTAR,	 MSR_SFMASK,	   MSR_FS_BASE,	     MSR_GS_BASE, MSR_KERNEL_GS_BASE,
};

/* Clear both bits of an MSR (APM 2, 15.11). */
static void msrpm_pass(u8 *map, u32 msr)
{
	u32 bit = msr >= 0xc0000000u ? 0x2000 + (msr - 0xc0000000u) : msr;

	map[bit / 4] &= ~(3u << bit % 4 * 2);
}

int vp_vendor_init(void)
{
	u32 i;

	if (!iopm_pa)
		iopm_pa = mm_alloc_contig(IOPM_PAGES);
	if (!msrpm_pa)
		msrpm_pa = mm_alloc_contig(MSRPM_PAGES);
	if (!iopm_pa || !msrpm_pa)
		return -ENOMEM;
	memset(mm_va(iopm_pa), 0xff, IOPM_PAGES * PAGE_SIZE);
	memset(mm_va(msrpm_pa), 0xff, MSRPM_PAGES * PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(msr_passed); i++)
		msrpm_pass(mm_va(msrpm_pa), msr_passed[i]);
	return 0;
}

/* ---- life and reset ---- */

static const u16 svm_intercepts[] = {
	INTERCEPT_CR_WRITE + 4,	  INTERCEPT_EXCEPTION + 1, INTERCEPT_EXCEPTION + 17,
	INTERCEPT_EXCEPTION + 18, INTERCEPT_INTR,	   INTERCEPT_NMI,
	INTERCEPT_INIT,		  INTERCEPT_RDPMC,	   INTERCEPT_CPUID,
	INTERCEPT_INVD,		  INTERCEPT_HLT,	   INTERCEPT_INVLPGA,
	INTERCEPT_IOIO,		  INTERCEPT_MSR,	   INTERCEPT_FERR_FREEZE,
	INTERCEPT_SHUTDOWN,	  INTERCEPT_VMRUN,	   INTERCEPT_VMMCALL,
	INTERCEPT_VMLOAD,	  INTERCEPT_VMSAVE,	   INTERCEPT_STGI,
	INTERCEPT_CLGI,		  INTERCEPT_SKINIT,	   INTERCEPT_WBINVD,
	INTERCEPT_MONITOR,	  INTERCEPT_MWAIT,	   INTERCEPT_XSETBV,
	INTERCEPT_RDPRU,
};

int vp_vendor_create(struct vp *vp)
{
	struct vmcb *v;
	u32 i;

	vp->hw_pa = mm_alloc();
	if (!vp->hw_pa)
		return -ENOMEM;
	v = vp->hw = mm_va(vp->hw_pa);
	for (i = 0; i < ARRAY_SIZE(svm_intercepts); i++)
		svm_intercept(v, svm_intercepts[i]);
	v->intercept[INTERCEPT_DR_WORD] = INTERCEPT_DR_ALL;
	if (svm_caps.pause_filter) {
		svm_intercept(v, INTERCEPT_PAUSE);
		v->pause_filter_count = PAUSE_COUNT;
		v->pause_filter_threshold = PAUSE_THRESHOLD;
	}
	v->iopm_base_pa = iopm_pa;
	v->msrpm_base_pa = msrpm_pa;
	v->nested_ctl = VMCB_NP_ENABLE;
	return 0;
}

void vp_vendor_destroy(struct vp *vp)
{
	mm_free(vp->hw_pa);
}

static struct plinth_seg segment(u16 selector, u16 attrib, u64 base)
{
	return (struct plinth_seg){
		.selector = selector, .attrib = attrib, .limit = 0xffff, .base = base
	};
}

void vp_vendor_reset(struct vp *vp, bool init)
{
	struct vp_svm *s = svm_of(vp);
	struct vmcb *v = vmcb_of(vp);
	struct asid asid = s->asid;
	u64 root_spec_ctrl = s->root_spec_ctrl;

	v->cr0 = CR0_ET | (init ? v->cr0 & (CR0_NW | CR0_CD) : CR0_NW | CR0_CD);
	v->cr2 = v->cr3 = v->cr4 = 0;
	v->efer = EFER_SVME;
	v->es = v->ss = v->ds = v->fs = v->gs = segment(0, 0x93, 0);
	v->cs = segment(0xf000, 0x9b, 0xffff0000);
	v->gdtr = v->idtr = segment(0, 0, 0);
	v->ldtr = segment(0, 0x82, 0);
	v->tr = segment(0, 0x8b, 0);
	v->cpl = 0;
	v->dr6 = DR6_RESET;
	v->dr7 = DR7_RESET;
	if (!init) {
		v->star = v->lstar = v->cstar = v->sfmask = v->kernel_gs_base = 0;
		v->sysenter_cs = v->sysenter_esp = v->sysenter_eip = 0;
		v->g_pat = PAT_RESET;
	}
	v->interrupt_shadow = 0;
	v->event_inj = 0;
	v->nested_cr3 = vp->vm->npt.root;
	memset(s, 0, sizeof(*s));
	s->asid = asid;
	s->root_spec_ctrl = root_spec_ctrl; /* this may be in the middle of a run */
	s->flush = true;
	if (vp->dr_live) {
		write_dr0(0);
		write_dr1(0);
		write_dr2(0);
		write_dr3(0);
	}
}

void vp_vendor_sipi(struct vp *vp, u8 vector)
{
	struct vmcb *v = vmcb_of(vp);

	v->cs.selector = vector << 8;
	v->cs.base = vector << 12;
	vp->rip = 0;
}

/* ---- this CPU's state that VMRUN does not exchange ---- */

static void dr_load(struct vp *vp)
{
	vp->root_dr[0] = read_dr0();
	vp->root_dr[1] = read_dr1();
	vp->root_dr[2] = read_dr2();
	vp->root_dr[3] = read_dr3();
	write_dr0(vp->dr[0]);
	write_dr1(vp->dr[1]);
	write_dr2(vp->dr[2]);
	write_dr3(vp->dr[3]);
	vp->dr_live = true;
	vmcb_of(vp)->intercept[INTERCEPT_DR_WORD] = 0;
}

static void dr_put(struct vp *vp)
{
	vp->dr[0] = read_dr0();
	vp->dr[1] = read_dr1();
	vp->dr[2] = read_dr2();
	vp->dr[3] = read_dr3();
	write_dr0(vp->root_dr[0]);
	write_dr1(vp->root_dr[1]);
	write_dr2(vp->root_dr[2]);
	write_dr3(vp->root_dr[3]);
	vp->dr_live = false;
	vmcb_of(vp)->intercept[INTERCEPT_DR_WORD] = INTERCEPT_DR_ALL;
}

/* The predictions that one child has trained are not for another. */
static void predictor_barrier(struct cpu *c, struct vp *vp)
{
	static u64 last[PLINTH_MAX_CPUS];

	if (last[c->index] != vp->serial && vp_msr_host.spec_ctrl)
		wrmsr(MSR_PRED_CMD, 1);
	last[c->index] = vp->serial;
}

void vp_vendor_load(struct cpu *c, struct vp *vp)
{
	predictor_barrier(c, vp);
	if (vp_msr_host.spec_ctrl)
		svm_of(vp)->root_spec_ctrl = rdmsr(MSR_SPEC_CTRL);
	/* Else at the first access. */
	if (vmcb_of(vp)->dr7 & DR7_ENABLED)
		dr_load(vp);
}

void vp_vendor_put(struct cpu *c, struct vp *vp)
{
	(void)c;
	if (vp->dr_live)
		dr_put(vp);
}

/* ---- entry ---- */

/*
 * TLB entries of the VP's that are out of date: a new identifier forgets them. (Another CPU's change of the
 * nested tables while this one is on its way in comes as CPU_REQ_FLUSH, see svm_enter().)
 */
static void svm_tlb(struct cpu *c, struct vp *vp)
{
	u64 map_gen = __atomic_load_n(&vp->vm->map_gen, __ATOMIC_ACQUIRE);
	struct asid_cpu pool = { .generation = c->asid_generation, .next = c->next_asid };
	struct vp_svm *s = svm_of(vp);
	struct vmcb *v = vmcb_of(vp);

	if (unlikely(s->flush || vp->map_gen != map_gen)) {
		vp->map_gen = map_gen;
		s->flush = false;
		if (svm_caps.flush_asid)
			v->tlb_control = VMCB_TLB_FLUSH_ASID;
		else
			s->asid.asid = 0;
	}
	if (unlikely(asid_get(&pool, svm_caps.asids, c->index, &s->asid)))
		v->tlb_control = VMCB_TLB_FLUSH_ALL;
	v->asid = s->asid.asid;
	c->asid_generation = pool.generation;
	c->next_asid = pool.next;
}

static void svm_begin_step(struct vp *vp)
{
	struct vp_svm *s = svm_of(vp);
	struct vmcb *v = vmcb_of(vp);

	s->stepping = true;
	s->step_rflags = vp->rflags;
	s->step_dr6 = v->dr6;
	v->rflags |= RFLAGS_TF;
}

static bool svm_quick_cpuid(struct vp *vp, struct vmcb *v);

static void svm_take_regs(struct vp *vp, const struct vmcb *v)
{
	vp->rip = v->rip;
	vp->rflags = v->rflags;
	vp->gprs.r[RAX] = v->rax;
	vp->gprs.r[RSP] = v->rsp;
}

bool vp_vendor_enter(struct cpu *c, struct vp *vp)
{
	struct vp_svm *s = svm_of(vp);
	struct vmcb *v = vmcb_of(vp);
	u64 spec_ctrl = vp->msrs.spec_ctrl;
	bool entered, quick = !vp->attention;

	svm_tlb(c, vp);
	v->rip = vp->rip;
	v->rflags = vp->rflags;
	v->rax = vp->gprs.r[RAX];
	v->rsp = vp->gprs.r[RSP];
	/* V_IRQ is never a real interrupt here, only a way to see the window open. */
	v->v_intr = VMCB_V_INTR_MASKING | lapic_get_cr8(&vp->lapic);
	if (s->windows & VP_WINDOW_INTR)
		v->v_intr |= VMCB_V_IRQ | VMCB_V_IGN_TPR;
	s->entry_shadow = v->interrupt_shadow & 1;
	s->entry_rip = vp->rip;
	/* Not while an event is injected: the flags that it saves would have TF set. */
	if (unlikely((s->want_step && !(v->event_inj & SVM_EVENT_VALID)) || vp_debug_step(vp))) {
		svm_begin_step(vp);
		/* The window is looked for after the step; one that opened now would keep it from being made. */
		v->v_intr &= ~VMCB_V_IRQ;
		quick = false;
	}
	if (unlikely(s->root_spec_ctrl != spec_ctrl))
		wrmsr(MSR_SPEC_CTRL, spec_ctrl);
	do {
		entered = svm_enter(c, v, vp->hw_pa, &vp->gprs, 1, STOP);
	} while (quick && entered && svm_quick_cpuid(vp, v));
	if (unlikely(!entered && quick))
		svm_take_regs(vp, v);
	if (unlikely(s->root_spec_ctrl != spec_ctrl))
		wrmsr(MSR_SPEC_CTRL, s->root_spec_ctrl);
	return entered;
}

/* ---- events ---- */

void vp_vendor_inject_exception(struct vp *vp, u8 vector, bool has_error, u32 error)
{
	svm_inject_exception(vmcb_of(vp), vector, has_error ? (s64)error : -1);
}

void vp_vendor_inject_interrupt(struct vp *vp, u8 vector)
{
	vmcb_of(vp)->event_inj = SVM_EVENT_VALID | SVM_EVENT_INTR | vector;
}

void vp_vendor_inject_nmi(struct vp *vp)
{
	vmcb_of(vp)->event_inj = SVM_EVENT_VALID | SVM_EVENT_NMI | 2;
}

void vp_vendor_cancel(struct vp *vp)
{
	vmcb_of(vp)->event_inj = 0;
	svm_of(vp)->stepping = false;
}

void vp_vendor_window(struct vp *vp, u32 windows)
{
	struct vp_svm *s = svm_of(vp);
	struct vmcb *v = vmcb_of(vp);

	s->windows = windows;
	if (windows & VP_WINDOW_INTR)
		svm_intercept(v, INTERCEPT_VINTR);
	else
		svm_no_intercept(v, INTERCEPT_VINTR);
	if (windows & VP_WINDOW_CR8)
		svm_intercept(v, INTERCEPT_CR_WRITE + 8);
	else
		svm_no_intercept(v, INTERCEPT_CR_WRITE + 8);
	/* Without virtual NMIs, IRET tells when they are unblocked (APM 2, 15.21.10). */
	s->iret_wait = s->iret_wait && vp->nmi_masked;
	if (vp->nmi_masked && !s->iret_wait)
		svm_intercept(v, INTERCEPT_IRET);
	else
		svm_no_intercept(v, INTERCEPT_IRET);
	if ((windows & VP_WINDOW_NMI) && (!vp->nmi_masked || s->iret_wait))
		s->want_step = true;
}

bool vp_vendor_shadow(const struct vp *vp)
{
	return vmcb_of(vp)->interrupt_shadow & 1;
}

void vp_vendor_set_shadow(struct vp *vp, bool shadow)
{
	vmcb_of(vp)->interrupt_shadow = shadow;
}

/* Take over an event whose delivery the exit has interrupted (APM 2, 15.7.2). */
static void svm_interrupted_event(struct vp *vp, u64 info, bool own_exception)
{
	u8 vector = info;

	vp->attention = true;
	switch (SVM_EVENT_TYPE(info)) {
	case SVM_EVENT_TYPE(SVM_EVENT_INTR):
		vp->intr.injected = true;
		vp->intr.vector = vector;
		break;
	case SVM_EVENT_TYPE(SVM_EVENT_NMI):
		vp->nmi_injected = true;
		break;
	case SVM_EVENT_TYPE(SVM_EVENT_EXCP):
		/* INT3 and INTO: RIP is still at the instruction, which raises it again. */
		if ((vector == 3 || vector == 4) && !own_exception)
			break;
		vp->exc.injected = true;
		vp->exc.pending = false;
		vp->exc.vector = vector;
		vp->exc.has_error = info & SVM_EVENT_ERROR;
		vp->exc.error = info >> 32;
		break;
	default: /* INT n: likewise executed again */
		break;
	}
}

static void svm_complete_events(struct vp *vp)
{
	/* QEMU's emulation leaves other fields stale: only bit 31 says that there is something. */
	u64 info = vmcb_of(vp)->exit_int_info;
	bool own_exception = vp->exc.injected;

	vp->exc.injected = vp->intr.injected = vp->nmi_injected = false;
	if (info & SVM_EVENT_VALID)
		svm_interrupted_event(vp, info, own_exception);
}

/* Has the instruction that was to be stepped over been executed? Other exits come before it is. */
static bool svm_stepped(struct vp *vp)
{
	return svm_of(vp)->stepping && vmcb_of(vp)->exit_code == SVM_EXIT_EXCP + 1;
}

/*
 * QEMU's emulation ignores the interrupt shadow at VMRUN: an exit that comes before the guest has executed
 * anything shows none, though the guest is still behind its STI or MOV SS. Real parts show it, so this
 * finds nothing to do there.
 */
static void svm_keep_shadow(struct vp *vp)
{
	struct vp_svm *s = svm_of(vp);
	struct vmcb *v = vmcb_of(vp);

	if (vp->rip != s->entry_rip || svm_stepped(vp) || v->interrupt_shadow & 1)
		return;
	v->interrupt_shadow = 1;
	/* The window that opened too early would do so for ever. A step that was not made is made again. */
	if (v->exit_code == SVM_EXIT_VINTR || s->stepping)
		s->want_step = true;
}

static void svm_end_step(struct vp *vp)
{
	struct vp_svm *s = svm_of(vp);

	if (!(s->step_rflags & RFLAGS_TF))
		vp->rflags &= ~RFLAGS_TF;
	s->want_step = false;
}

/* IRET is done: NMIs can come again. */
static void svm_iret_done(struct vp *vp)
{
	svm_of(vp)->iret_wait = false;
	vp->nmi_masked = false;
	vp->attention = true;
}

/* ---- length of the instruction that exited ---- */

/* An instruction that exits, as it is nearly always encoded: its bytes in the order of memory. */
struct known {
	u8 op, other; /* enum insn_op; the exit may be by either */
	u8 len;
	u32 code;
};
#define CODE_CPUID 0xa20f
static const struct known known_cpuid = { INSN_CPUID, INSN_CPUID, 2, CODE_CPUID };
static const struct known known_rdmsr = { INSN_RDMSR, INSN_RDMSR, 2, 0x320f };
static const struct known known_wrmsr = { INSN_WRMSR, INSN_WRMSR, 2, 0x300f };
static const struct known known_hlt = { INSN_HLT, INSN_HLT, 1, 0xf4 };
static const struct known known_vmmcall = { INSN_VMMCALL, INSN_VMMCALL, 3, 0xd9010f };
static const struct known known_xsetbv = { INSN_XSETBV, INSN_XSETBV, 3, 0xd1010f };
static const struct known known_invd = { INSN_INVD, INSN_INVD, 2, 0x080f };
static const struct known known_wbinvd = { INSN_WBINVD, INSN_WBINVD, 2, 0x090f };
static const struct known known_monitor = { INSN_MONITOR, INSN_MONITORX, 3, 0xc8010f };
static const struct known known_mwait = { INSN_MWAIT, INSN_MWAITX, 3, 0xc9010f };

static void set_next_rip(struct vp *vp, u32 len)
{
	u64 next = vp->rip + len;

	vp->next_rip = vp_vendor_mode(vp) == INSN_MODE_64 ? next : (u32)next;
}

/*
 * Fill vp->next_rip. Without NRIPS that takes the instruction's bytes. They are read at the place where the code page
 * was found last, and must show an instruction that makes this exit. Could that be wrong? Only for a guest
 * that has remapped its code page since without loading CR3, and put another such instruction of another
 * length there: it then misses its own next instruction, and nobody else's.
 * false: the handler is not to run, *ret says what to do instead.
 */
static bool svm_next_rip(struct vp *vp, const struct known *k, int *ret)
{
	struct vmcb *v = vmcb_of(vp);
	u8 bytes[INSN_MAX_LEN];
	struct insn insn;
	u32 n, code;
	bool ok;

	if (svm_caps.nrips) {
		vp->next_rip = v->next_rip;
		return true;
	}
	if (likely(vp_fetch_peek(vp, v->cs.base + vp->rip, v->cr3, v->cr0, &code) &&
		   !((code ^ k->code) & (u32)(BIT(8 * k->len) - 1)))) {
		set_next_rip(vp, k->len);
		return true;
	}
	n = vp_fetch_cached(vp, bytes, sizeof(bytes));
	if (n && insn_decode(&insn, bytes, n, vp_vendor_mode(vp)) > 0 &&
	    (insn.op == k->op || insn.op == k->other)) {
		set_next_rip(vp, insn.len);
		return true;
	}
	*ret = vp_fetch_insn(vp, &insn, &ok);
	if (!ok)
		return false;
	/* Something else by now: another processor of the guest has written there. Execute that. */
	if (insn.op != k->op && insn.op != k->other)
		return false;
	set_next_rip(vp, insn.len);
	return true;
}

/*
 * CPUID is the most frequent exit of a booting guest, and needs nothing of what goes on around an exit: no event is
 * under way (`vp->attention`), and what others post comes with a kick, which svm_enter() sees. So it is
 * done here and the guest goes on at once.
 */
static bool svm_quick_cpuid(struct vp *vp, struct vmcb *v)
{
	u64 *r = vp->gprs.r;
	struct cpuid_regs c;
	u32 code;

	if (v->exit_code != SVM_EXIT_CPUID || v->exit_int_info & SVM_EVENT_VALID ||
	    v->rflags & (RFLAGS_TF | RFLAGS_RF) || v->interrupt_shadow)
		return false;
	if (svm_caps.nrips)
		v->rip = v->next_rip;
	else if (likely(vp_fetch_peek(vp, v->cs.base + v->rip, v->cr3, v->cr0, &code) &&
			(u16)code == CODE_CPUID))
		v->rip += 2;
	else
		return false;
	c = cpuid_lookup(vp->cpuid, v->rax, r[RCX], v->cr4, vp->xcr0, lapic_base(&vp->lapic));
	v->rax = c.eax;
	r[RBX] = c.ebx;
	r[RCX] = c.ecx;
	r[RDX] = c.edx;
	vp->stats.exits++;
	vp->stats.kinds[PLINTH_KIND_CPUID]++;
	return true;
}

/* ---- exits ---- */

static int svm_exit_mov_to_cr(struct vp *vp, u8 cr)
{
	struct vmcb *v = vmcb_of(vp);
	struct insn insn;
	bool ok;
	u64 val;
	int ret;

	if (svm_caps.decode_assist && svm_caps.nrips && v->exit_info_1 >> 63) {
		vp->next_rip = v->next_rip;
		val = vp->gprs.r[v->exit_info_1 & 15];
	} else {
		ret = vp_fetch_insn(vp, &insn, &ok);
		if (!ok)
			return ret;
		if (insn.op != INSN_MOV_TO_CR || insn.reg != cr)
			return VP_AGAIN;
		set_next_rip(vp, insn.len);
		val = vp->gprs.r[insn.rm];
	}
	if (vp_vendor_mode(vp) != INSN_MODE_64)
		val = (u32)val;
	return vp_exit_mov_to_cr(vp, cr, val);
}

static int svm_exit_io(struct vp *vp)
{
	const struct vmcb *v = vmcb_of(vp);
	u64 info = v->exit_info_1;

	vp->next_rip = v->exit_info_2;
	return vp_exit_io(vp, IOIO_PORT(info), IOIO_SIZE(info), info & IOIO_IN, info & IOIO_STR);
}

static int svm_exit_npf(struct vp *vp)
{
	const struct vmcb *v = vmcb_of(vp);
	u64 info = v->exit_info_1;

	return vp_exit_npf(vp, v->exit_info_2, info & NPF_WRITE, info & NPF_FETCH, info & NPF_USER,
			   !(info & NPF_WALK));
}

/*
 * Intercepted since a guest whose #DB handler's own stack or entry has a breakpoint makes the processor raise it for
 * ever, without a chance for an interrupt. DR6 and DR7 are as the handler shall see them (APM 2, 15.12.2).
 */
static int svm_exit_db(struct vp *vp)
{
	struct vp_svm *s = svm_of(vp);
	struct vmcb *v = vmcb_of(vp);

	if (s->stepping && (v->dr6 & DR6_BS) && !(s->step_rflags & RFLAGS_TF)) {
		if (vp_debug_step(vp)) {
			v->dr6 = s->step_dr6; /* the guest shall not see it */
			return vp_debug_exit(vp, 1);
		}
		v->dr6 = (v->dr6 & ~DR6_BS) | (s->step_dr6 & DR6_BS);
		if (!((v->dr6 & ~s->step_dr6) & 0xf))
			return VP_AGAIN;
	}
	vp_exception(vp, 1, false, 0);
	return VP_AGAIN;
}

/* #MC is the machine's: the root handles it. */
static int svm_exit_mc(struct cpu *c)
{
	svm_inject_exception(c->root_vmcb, 18, -1);
	return PLINTH_EXIT_INTR;
}

static int svm_exit_exception(struct cpu *c, struct vp *vp, u32 vector)
{
	switch (vector) {
	case 1:
		return svm_exit_db(vp);
	case 3:
		return vp_debug_exit(vp, 3);
	case 18:
		return svm_exit_mc(c);
	}
	vp_exception(vp, vector, vector == 17, vmcb_of(vp)->exit_info_1);
	return VP_AGAIN;
}

static int svm_exit_nmi_of(struct cpu *c)
{
	svm_exit_nmi(c);
	return c->root_nmi_pending ? PLINTH_EXIT_INTR : VP_AGAIN;
}

static int svm_exit_iret(struct vp *vp)
{
	struct vp_svm *s = svm_of(vp);

	svm_no_intercept(vmcb_of(vp), INTERCEPT_IRET);
	s->iret_wait = true;
	s->iret_rip = vp->rip;
	vp->attention = true;
	return VP_AGAIN;
}

/*
 * The processor refused the VMCB. QEMU's emulation has then stored the core's own registers in it: nothing of that may
 * be seen, or run.
 */
static int svm_exit_invalid(struct cpu *c, struct vp *vp)
{
	vp->shared->run.fail_entry.reason = SVM_EXIT_INVALID32;
	vp->shared->run.fail_entry.cpu = c->index;
	vp_reset(vp, true);
	return PLINTH_EXIT_FAIL_ENTRY;
}

static int svm_exit_shutdown(struct vp *vp)
{
	/* The VMCB's contents are undefined now (APM 2, 15.14.3). */
	vp_reset(vp, true);
	return PLINTH_EXIT_SHUTDOWN;
}

static int svm_exit_unknown(struct cpu *c, struct vp *vp, u32 code)
{
	const u64 data[] = { code, c->index };

	return vp_internal_error(vp, VP_ERROR_EXIT_REASON, ARRAY_SIZE(data), data);
}

static int svm_skip(struct vp *vp, const struct known *k)
{
	int ret;

	if (!svm_next_rip(vp, k, &ret))
		return ret;
	vp_skip(vp);
	return VP_AGAIN;
}

static int svm_exit_ud(struct vp *vp)
{
	vp_ud(vp);
	return VP_AGAIN;
}

static void count(struct vp *vp, enum plinth_exit_kind kind)
{
	vp->stats.kinds[kind]++;
}

/* The less frequent ones. */
static int svm_exit_other(struct cpu *c, struct vp *vp, u32 code)
{
	int ret;

	count(vp, PLINTH_KIND_OTHER);
	switch (code) {
	case SVM_EXIT_INIT:
		return PLINTH_EXIT_INTR;
	case SVM_EXIT_INVD:
		return svm_skip(vp, &known_invd);
	case SVM_EXIT_WBINVD: /* the caches are coherent with all that the child can reach */
		return svm_skip(vp, &known_wbinvd);
	case SVM_EXIT_RDPMC:
		vp_gp(vp);
		return VP_AGAIN;
	case SVM_EXIT_XSETBV:
		return svm_next_rip(vp, &known_xsetbv, &ret) ? vp_exit_xsetbv(vp) : ret;
	case SVM_EXIT_MONITOR:
		return svm_next_rip(vp, &known_monitor, &ret) ? vp_exit_monitor(vp) : ret;
	case SVM_EXIT_MWAIT:
		return svm_next_rip(vp, &known_mwait, &ret) ? vp_exit_monitor(vp) : ret;
	case SVM_EXIT_IRET:
		return svm_exit_iret(vp);
	case SVM_EXIT_FERR_FREEZE:
		/* The processor would wait for an interrupt, IRQ 13 in a PC. */
		vp->activity = VP_HALTED;
		return VP_AGAIN;
	case SVM_EXIT_RDTSCP: /* intercepted where CPUID does not offer it */
	case SVM_EXIT_RDPRU:
		return svm_exit_ud(vp);
	case SVM_EXIT_SHUTDOWN:
		return svm_exit_shutdown(vp);
	}
	return svm_exit_unknown(c, vp, code);
}

static int svm_exit_range(struct cpu *c, struct vp *vp, u32 code)
{
	if (code >= SVM_EXIT_CR_WRITE && code < SVM_EXIT_CR_WRITE + 16) {
		count(vp, PLINTH_KIND_CR);
		return svm_exit_mov_to_cr(vp, code - SVM_EXIT_CR_WRITE);
	}
	if (code >= SVM_EXIT_DR_READ && code < SVM_EXIT_DR_WRITE + 16) {
		count(vp, PLINTH_KIND_CR);
		dr_load(vp); /* and execute it again */
		return VP_AGAIN;
	}
	if (code >= SVM_EXIT_EXCP && code < SVM_EXIT_EXCP + 32) {
		count(vp, PLINTH_KIND_EXCEPTION);
		return svm_exit_exception(c, vp, code - SVM_EXIT_EXCP);
	}
	if ((code >= SVM_EXIT_VMRUN && code <= SVM_EXIT_SKINIT) || code == SVM_EXIT_INVLPGA) {
		count(vp, PLINTH_KIND_SVM_INSN);
		return svm_exit_ud(vp);
	}
	return svm_exit_other(c, vp, code);
}

static int svm_exit_msr(struct vp *vp)
{
	bool write = vmcb_of(vp)->exit_info_1 & 1;
	int ret;

	if (!svm_next_rip(vp, write ? &known_wrmsr : &known_rdmsr, &ret))
		return ret;
	return write ? vp_exit_wrmsr(vp) : vp_exit_rdmsr(vp);
}

static int svm_dispatch(struct cpu *c, struct vp *vp, u32 code)
{
	int ret;

	switch (code) {
	case SVM_EXIT_CPUID:
		count(vp, PLINTH_KIND_CPUID);
		return svm_next_rip(vp, &known_cpuid, &ret) ? vp_exit_cpuid(vp) : ret;
	case SVM_EXIT_MSR:
		count(vp, PLINTH_KIND_MSR);
		return svm_exit_msr(vp);
	case SVM_EXIT_IOIO:
		count(vp, PLINTH_KIND_IO);
		return svm_exit_io(vp);
	case SVM_EXIT_NPF:
		return svm_exit_npf(vp);
	case SVM_EXIT_INTR:
		count(vp, PLINTH_KIND_INTR);
		return PLINTH_EXIT_INTR;
	case SVM_EXIT_NMI:
		count(vp, PLINTH_KIND_NMI);
		return svm_exit_nmi_of(c);
	case SVM_EXIT_VINTR:
		count(vp, PLINTH_KIND_VINTR);
		vp->attention = true;
		return VP_AGAIN;
	case SVM_EXIT_HLT:
		count(vp, PLINTH_KIND_HLT);
		return svm_next_rip(vp, &known_hlt, &ret) ? vp_exit_hlt(vp) : ret;
	case SVM_EXIT_PAUSE: /* let the root run something else; the guest may well pause again */
		count(vp, PLINTH_KIND_PAUSE);
		return PLINTH_EXIT_INTR;
	case SVM_EXIT_VMMCALL:
		count(vp, PLINTH_KIND_HYPERCALL);
		return svm_next_rip(vp, &known_vmmcall, &ret) ? vp_exit_hypercall(vp) : ret;
	}
	return svm_exit_range(c, vp, code);
}

int vp_vendor_exit(struct cpu *c, struct vp *vp)
{
	struct vp_svm *s = svm_of(vp);
	struct vmcb *v = vmcb_of(vp);
	u32 code = v->exit_code;
	int ret;

	if (unlikely(code == SVM_EXIT_INVALID32))
		return svm_exit_invalid(c, vp);
	svm_take_regs(vp, v);
	if (unlikely((v->v_intr & 0xf) != lapic_get_cr8(&vp->lapic)))
		vp_lapic_flags(vp, lapic_set_cr8(&vp->lapic, v->v_intr & 0xf));
	if (unlikely(vp->attention || v->exit_int_info & SVM_EVENT_VALID))
		svm_complete_events(vp);
	if (unlikely(s->stepping))
		svm_end_step(vp);
	if (unlikely(s->entry_shadow))
		svm_keep_shadow(vp);
	if (unlikely(s->iret_wait && vp->rip != s->iret_rip))
		svm_iret_done(vp);
	ret = svm_dispatch(c, vp, code);
	s->stepping = false;
	return ret;
}

/* ---- state ---- */

void vp_vendor_emul(struct vp *vp, struct emul *e)
{
	const struct vmcb *v = vmcb_of(vp);

	_Static_assert(sizeof(struct emul_seg) == sizeof(struct plinth_seg),
		       "segment layouts differ");
	_Static_assert(offsetof(struct vmcb, gs) - offsetof(struct vmcb, es) ==
			       INSN_GS * sizeof(struct emul_seg),
		       "order of the segments");
	e->seg = (const struct emul_seg *)&v->es;
	e->cr0 = v->cr0;
	e->cr4 = v->cr4;
	e->efer = v->efer;
	e->cpl = v->cpl;
}

void vp_vendor_gwalk(struct vp *vp, struct gwalk *w)
{
	const struct vmcb *v = vmcb_of(vp);

	w->cr0 = v->cr0;
	w->cr3 = v->cr3;
	w->cr4 = v->cr4;
	w->efer = v->efer;
}

u8 vp_vendor_cpl(const struct vp *vp)
{
	return vmcb_of(vp)->cpl;
}

u64 vp_vendor_cr0(const struct vp *vp)
{
	return vmcb_of(vp)->cr0;
}

u64 vp_vendor_cr3(const struct vp *vp)
{
	return vmcb_of(vp)->cr3;
}

u64 vp_vendor_cr4(const struct vp *vp)
{
	return vmcb_of(vp)->cr4;
}

u64 vp_vendor_efer(const struct vp *vp)
{
	return vmcb_of(vp)->efer & ~EFER_SVME;
}

u64 vp_vendor_cs_base(const struct vp *vp)
{
	return vmcb_of(vp)->cs.base;
}

enum insn_mode vp_vendor_mode(const struct vp *vp)
{
	return insn_mode_of(vmcb_of(vp)->efer, vmcb_of(vp)->cs.attrib);
}

void vp_vendor_set_cr2(struct vp *vp, u64 val)
{
	vmcb_of(vp)->cr2 = val;
}

void vp_vendor_set_cr4(struct vp *vp, u64 val)
{
	vmcb_of(vp)->cr4 = val;
	svm_of(vp)->flush = true;
}

void vp_vendor_set_efer(struct vp *vp, u64 val)
{
	vmcb_of(vp)->efer = val | EFER_SVME;
	svm_of(vp)->flush = true;
}

void vp_vendor_get_debug(const struct vp *vp, u64 *dr6, u64 *dr7)
{
	*dr6 = vmcb_of(vp)->dr6;
	*dr7 = vmcb_of(vp)->dr7;
}

void vp_vendor_set_debug(struct vp *vp, u64 dr6, u64 dr7)
{
	vmcb_of(vp)->dr6 = dr6;
	vmcb_of(vp)->dr7 = dr7;
}

void vp_vendor_set_tsc_offset(struct vp *vp, u64 offset)
{
	vmcb_of(vp)->tsc_offset = offset;
}

void vp_vendor_get_sregs(const struct vp *vp, struct plinth_vp_sregs *s)
{
	const struct vmcb *v = vmcb_of(vp);

	s->cs = v->cs;
	s->ds = v->ds;
	s->es = v->es;
	s->fs = v->fs;
	s->gs = v->gs;
	s->ss = v->ss;
	s->tr = v->tr;
	s->ldtr = v->ldtr;
	s->gdtr = v->gdtr;
	s->idtr = v->idtr;
	s->cr0 = v->cr0;
	s->cr2 = v->cr2;
	s->cr3 = v->cr3;
	s->cr4 = v->cr4;
	s->efer = v->efer & ~EFER_SVME;
}

static struct plinth_seg clean_seg(struct plinth_seg seg)
{
	seg.attrib &= 0xfff;
	return seg;
}

void vp_vendor_set_sregs(struct vp *vp, const struct plinth_vp_sregs *s)
{
	struct vmcb *v = vmcb_of(vp);

	v->cs = clean_seg(s->cs);
	v->ds = clean_seg(s->ds);
	v->es = clean_seg(s->es);
	v->fs = clean_seg(s->fs);
	v->gs = clean_seg(s->gs);
	v->ss = clean_seg(s->ss);
	v->tr = clean_seg(s->tr);
	v->ldtr = clean_seg(s->ldtr);
	v->gdtr = s->gdtr;
	v->idtr = s->idtr;
	v->cpl = v->ss.attrib >> 5 & 3;
	v->cr0 = s->cr0;
	v->cr2 = s->cr2;
	v->cr3 = s->cr3;
	v->cr4 = s->cr4;
	v->efer = s->efer | EFER_SVME;
	svm_of(vp)->flush = true;
}

/* Where the VMCB has an MSR, NULL if it has not. */
static u64 *svm_msr(const struct vp *vp, u32 msr)
{
	struct vmcb *v = vmcb_of(vp);

	switch (msr) {
	case MSR_SYSENTER_CS:
		return &v->sysenter_cs;
	case MSR_SYSENTER_ESP:
		return &v->sysenter_esp;
	case MSR_SYSENTER_EIP:
		return &v->sysenter_eip;
	case MSR_PAT:
		return &v->g_pat;
	case MSR_STAR:
		return &v->star;
	case MSR_LSTAR:
		return &v->lstar;
	case MSR_CSTAR:
		return &v->cstar;
	case MSR_SFMASK:
		return &v->sfmask;
	case MSR_FS_BASE:
		return &v->fs.base;
	case MSR_GS_BASE:
		return &v->gs.base;
	case MSR_KERNEL_GS_BASE:
		return &v->kernel_gs_base;
	}
	return NULL;
}

int vp_vendor_get_msr(const struct vp *vp, u32 msr, u64 *val)
{
	const u64 *at = svm_msr(vp, msr);

	if (!at)
		return -ENOENT;
	*val = *at;
	return 0;
}

int vp_vendor_set_msr(struct vp *vp, u32 msr, u64 val)
{
	u64 *at = svm_msr(vp, msr);

	if (!at)
		return -ENOENT;
	*at = val;
	return 0;
}

void vp_vendor_cpuid_changed(struct vp *vp)
{
	if (cpuid_has(vp->cpuid, CPUID_F_RDTSCP))
		svm_no_intercept(vmcb_of(vp), INTERCEPT_RDTSCP);
	else
		svm_intercept(vmcb_of(vp), INTERCEPT_RDTSCP);
}

void vp_vendor_debug_changed(struct vp *vp)
{
	const u32 both = VP_DEBUG_ENABLE | VP_DEBUG_SW_BP;

	if ((vp->guest_debug.flags & both) == both)
		svm_intercept(vmcb_of(vp), INTERCEPT_EXCEPTION + 3);
	else
		svm_no_intercept(vmcb_of(vp), INTERCEPT_EXCEPTION + 3);
}
