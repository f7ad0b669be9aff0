// SPDX-License-Identifier: GPL-2.0-only
/* The root's virtual processor on SVM: its VMCB, its loop, its exits, and the way out (retire). */
#include "core/apic.h"
#include "core/hypercall.h"
#include "core/log.h"
#include "core/mm.h"
#include "core/root.h"
#include "core/string.h"
#include "core/trap.h"
#include "core/vp.h"
#include "core/x86/asm.h"
#include "core/x86/emul.h"
#include "core/x86/gwalk.h"
#include "core/x86/insn.h"
#include "core/x86/svm/svm.h"

#define ROOT_ASID	 1
#define VEC_DB		 1
#define VEC_UD		 6
#define VEC_GP		 13
#define VEC_PF		 14
#define VM_CR_SVMDIS	 BIT(4)
#define VM_CR_LOCK	 BIT(3)
#define MSR_PATCH_LOADER 0xc0010020u
#define MSR_PAT		 0x277u
#define RFLAGS_TF	 BIT(8)
#define RFLAGS_RF	 BIT(16)
#define DR6_BREAKPOINTS	 0xfu
#define DR6_BS		 BIT(14)
#define DR7_OFF		 0x400
#define CR0_PG		 BIT(31)
#define CR4_PAE		 BIT(5)
#define CR4_PGE		 BIT(7)
#define CR4_LA57	 BIT(12)
#define CR4_PCIDE	 BIT(17)
#define CPUID_SIGNATURE	 0x40000000u
#define NMI_INJECTION	 (SVM_EVENT_VALID | SVM_EVENT_NMI | 2)

_Static_assert(sizeof(struct emul_seg) == sizeof(struct plinth_seg), "segments alike");

/* ---- making the VMCB ---- */

/* Bit pair of an MSR in the permission map (APM 2, 15.11): read, write. */
static void msrpm_intercept(u8 *map, u32 msr, bool read, bool write)
{
	u32 base = msr < 0x2000 ? 0 : (msr >> 16) == 0xc000 ? 0x800 : 0x1000;
	u32 bit = (msr & 0x1fff) * 2;

	map[base + bit / 8] |= (read | write << 1) << (bit % 8);
}

static int root_msrpm(void)
{
	u8 *map;

	if (root.msrpm_pa)
		return 0;
	root.msrpm_pa = mm_alloc_contig(2);
	if (!root.msrpm_pa)
		return trace_error(-ENOMEM);
	map = mm_va(root.msrpm_pa);
	msrpm_intercept(map, MSR_EFER, true, true);
	msrpm_intercept(map, MSR_VM_CR, true, true);
	msrpm_intercept(map, MSR_VM_HSAVE_PA, true, true);
	msrpm_intercept(map, MSR_PATCH_LOADER, false, true);
	msrpm_intercept(map, MSR_APIC_BASE, false, true);
	if (boot->params.x2apic) {
		msrpm_intercept(map, MSR_X2APIC + APIC_ICR / 16, false, true);
	}
	return 0;
}

static void root_intercepts(struct vmcb *v)
{
	static const u8 on[] = {
		INTERCEPT_NMI,	    INTERCEPT_INIT,  INTERCEPT_CPUID,	INTERCEPT_MSR,
		INTERCEPT_SHUTDOWN, INTERCEPT_VMRUN, INTERCEPT_VMMCALL, INTERCEPT_VMLOAD,
		INTERCEPT_VMSAVE,   INTERCEPT_STGI,  INTERCEPT_CLGI,	INTERCEPT_SKINIT,
		INTERCEPT_INVLPGA,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(on); i++)
		svm_intercept(v, on[i]);
}

/* The control area. root_msrpm() has been called. */
static void root_control(struct vmcb *v)
{
	memset(v, 0, offsetof(struct vmcb, es));
	root_intercepts(v);
	v->msrpm_base_pa = root.msrpm_pa;
	v->asid = ROOT_ASID;
	v->tlb_control = VMCB_TLB_FLUSH_ALL;
	v->nested_ctl = VMCB_NP_ENABLE;
	v->nested_cr3 = root.npt.root;
}

int root_setup(struct cpu *c, const struct plinth_cpu_state *st)
{
	struct vmcb *v = c->root_vmcb;
	int ret = root_msrpm();

	if (ret)
		return ret;
	/* FS, GS, TR, LDTR and the syscall MSRs are there: world_enter() has executed VMSAVE. */
	root_control(v);
	v->cpl = 0;
	v->cs = st->cs;
	v->ds = st->ds;
	v->ss = st->ss;
	v->es = st->es;
	v->gdtr = st->gdtr;
	v->idtr = st->idtr;
	v->efer = st->efer | EFER_SVME;
	v->cr0 = st->cr0;
	v->cr2 = st->cr2;
	v->cr3 = st->cr3;
	v->cr4 = st->cr4;
	v->dr6 = st->dr6;
	v->dr7 = DR7_OFF; /* as the CPU has it now; the root turns its breakpoints on again */
	v->g_pat = st->pat;
	v->rip = st->rip;
	v->rsp = st->gpr[RSP];
	v->rflags = st->rflags;
	v->rax = 0;
	memcpy(c->root_gprs.r, st->gpr, sizeof(st->gpr));
	c->ldr = st->apic_regs[APIC_LDR / 16];
	c->dfr = st->apic_regs[APIC_DFR / 16];
	c->requests = 0;
	c->root_nmi_iret = c->root_nmi_step = false;
	/* The root comes back in the NMI handler that it was launched from. */
	c->root_nmi_masked = boot->params.nmi_method == PLINTH_NMI_TAKE;
	if (c->root_nmi_masked)
		svm_intercept(v, INTERCEPT_IRET);
	return 0;
}

/* ---- the root's instructions and memory ---- */

/*
 * Root virtual to physical, by the root's own page tables, which the identity map makes readable:
 * no paging, or long mode with 4 or 5 levels. `need`: PTE_* bits that every level must have.
 * -ENOENT: not mapped, or not so.
 */
static int root_walk(const struct vmcb *v, u64 va, u64 need, u64 *pa)
{
	int level = v->cr4 & CR4_LA57 ? 4 : 3;
	u64 table = v->cr3 & PTE_ADDR, e;

	if (!(v->cr0 & CR0_PG)) {
		*pa = (u32)va;
		return 0;
	}
	if (!(v->efer & EFER_LMA))
		return -ENOENT; /* a legacy-mode root: see docs/architecture.md, L6 */
	for (;; level--) {
		unsigned int shift = 12 + 9 * level;

		if (!mm_root_ram(table, PAGE_SIZE))
			return -ENOENT;
		e = ((u64 *)mm_va(table))[va >> shift & 511];
		if (~e & need)
			return -ENOENT;
		if (!level || (level < 3 && (e & PTE_PS))) {
			*pa = (e & PTE_ADDR & ~((1ull << shift) - 1)) |
			      (va & ((1ull << shift) - 1));
			return 0;
		}
		table = e & PTE_ADDR;
	}
}

/*
 * QEMU's emulated SVM has no NRIPS: the length of an intercepted instruction comes from its bytes. The
 * page that RIP was last seen in is remembered, as Linux has few CPUID and VMMCALL sites. A stale entry could
 * only mislead a root that remaps its code under itself, and only about its own RIP.
 */
static unsigned int root_fetch(struct cpu *c, const struct vmcb *v, const u8 **bytes)
{
	u64 va = v->rip + (v->efer & EFER_LMA && v->cs.attrib & 0x200 ? 0 : v->cs.base);
	u64 page = va & PAGE_MASK, pa;

	if (c->fetch_va != page || c->fetch_cr3 != v->cr3) {
		if (root_walk(v, page, PTE_P, &pa) || !mm_root_ram(pa & PAGE_MASK, PAGE_SIZE))
			return 0;
		c->fetch_va = page;
		c->fetch_cr3 = v->cr3;
		c->fetch_pa = pa & PAGE_MASK;
	}
	*bytes = mm_va(c->fetch_pa | (va & (PAGE_SIZE - 1)));
	return PAGE_SIZE - (va & (PAGE_SIZE - 1));
}

/* What the emulator's callbacks know. */
struct root_emul {
	struct cpu *cpu;
	bool contained; /* core memory was touched */
};

static int emul_ram(struct emul *e, u64 linear, void *buf, unsigned int len, bool write);

static int emul_read_cb(struct emul *e, u64 linear, void *buf, unsigned int len, unsigned int flags)
{
	(void)flags;
	return emul_ram(e, linear, buf, len, false);
}

static int emul_write_cb(struct emul *e, u64 linear, const void *buf, unsigned int len,
			 unsigned int flags)
{
	if (flags & EMUL_PROBE)
		return 0;
	return emul_ram(e, linear, (void *)buf, len, true);
}

static void root_emul_init(struct emul *e, struct root_emul *re, struct cpu *c)
{
	struct vmcb *v = c->root_vmcb;

	re->cpu = c;
	re->contained = false;

	memset(e, 0, sizeof(*e));
	memcpy(e->gpr, c->root_gprs.r, sizeof(e->gpr));
	e->gpr[RAX] = v->rax;
	e->gpr[RSP] = v->rsp;
	e->rip = v->rip;
	e->rflags = v->rflags;
	e->seg = (const struct emul_seg *)&v->es;
	e->cr0 = v->cr0;
	e->cr4 = v->cr4;
	e->efer = v->efer;
	e->cpl = v->cpl;
	e->read = emul_read_cb;
	e->write = emul_write_cb;
	e->ctx = re;
}

static void root_emul_done(const struct emul *e, struct cpu *c)
{
	struct vmcb *v = c->root_vmcb;

	memcpy(c->root_gprs.r, e->gpr, sizeof(e->gpr));
	v->rax = e->gpr[RAX];
	v->rsp = e->gpr[RSP];
	v->rip = e->rip;
	v->rflags = e->rflags;
}

/* Advance RIP over the intercepted instruction; `len` is what it has without prefixes. */
static void root_skip(struct cpu *c, struct vmcb *v, unsigned int len)
{
	const u8 *bytes;
	struct insn insn;
	struct emul e;
	struct root_emul re;
	unsigned int n;

	v->interrupt_shadow = 0;
	if (svm_caps.nrips) {
		v->rip = v->next_rip;
		return;
	}
	n = root_fetch(c, v, &bytes);
	/* Linux's sites have no prefix: 0F A2, 0F 30, 0F 32, 0F 01 D9. */
	if (n >= 2 && bytes[0] == 0x0f) {
		v->rip += len;
		return;
	}
	root_emul_init(&e, &re, c);
	if (emul_fetch(&e, &insn) == EMUL_DONE)
		v->rip = insn_next_rip(&insn, v->rip);
	else
		v->rip += len;
}

static void root_ud(struct vmcb *v)
{
	svm_inject_exception(v, VEC_UD, -1);
}

/* ---- contained memory and the APIC page ---- */

/* One piece of an emulated access that lies in one page. -> 1 if it was contained, else 0; -EIO. */
static int emul_piece(struct cpu *c, u64 pa, void *buf, unsigned int len, bool write)
{
	if (mm_is_core(pa, len)) { /* L4: reads see ones, writes have no effect */
		if (!write)
			memset(buf, 0xff, len);
		root.last_contained_pa = pa;
		root.last_contained_rip = c->root_vmcb->rip;
		return 1;
	}
	if (!boot->params.x2apic && (pa & PAGE_MASK) == boot->params.apic_base) {
		u32 reg = pa & 0xff0;
		u32 val = 0;

		if (write) {
			memcpy(&val, buf, MIN(len, 4u));
			root_apic_write(c, reg, val);
		} else {
			val = root_apic_read(c, reg) >> (pa & 3) * 8;
			memset(buf, 0, len);
			memcpy(buf, &val, MIN(len, 4u));
		}
		return 0;
	}
	if (!mm_root_ram(pa, len))
		return -EIO;
	if (write)
		memcpy(mm_va(pa), buf, len);
	else
		memcpy(buf, mm_va(pa), len);
	return 0;
}

static int walk_read(void *ctx, u64 pa, unsigned int size, u64 *entry)
{
	(void)ctx;
	if (!mm_root_ram(pa, size))
		return -EIO;
	*entry = size == 8 ? *(u64 *)mm_va(pa) : *(u32 *)mm_va(pa);
	return 0;
}

static int walk_cmpxchg(void *ctx, u64 pa, unsigned int size, u64 old, u64 new)
{
	u32 old32 = old;
	bool done;

	(void)ctx;
	if (!mm_root_ram(pa, size))
		return -EIO;
	if (size == 8)
		done = __atomic_compare_exchange_n((u64 *)mm_va(pa), &old, new, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	else
		done = __atomic_compare_exchange_n((u32 *)mm_va(pa), &old32, (u32) new, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return done ? 0 : -EBUSY;
}

/* Where an access of the instruction goes, with the page fault that it would get. */
static int emul_walk(struct emul *e, u64 linear, bool write, u64 *pa)
{
	const struct vmcb *v = ((struct root_emul *)e->ctx)->cpu->root_vmcb;
	const struct gwalk w = {
		.cr0 = v->cr0,
		.cr3 = v->cr3,
		.cr4 = v->cr4,
		.efer = v->efer,
		.rflags = v->rflags,
		.maxphyaddr = boot->params.phys_bits,
		.read = walk_read,
		.cmpxchg = walk_cmpxchg,
	};
	struct gwalk_out out;
	int ret;

	ret = gwalk(&w, linear, (write ? GWALK_WRITE : 0) | (e->cpl == 3 ? GWALK_USER : 0), &out);
	if (ret == -EFAULT)
		e->fault = (struct emul_fault){
			.vector = VEC_PF,
			.has_error = true,
			.error = out.error,
			.cr2 = linear,
		};
	*pa = out.gpa;
	return ret;
}

static int emul_ram(struct emul *e, u64 linear, void *buf, unsigned int len, bool write)
{
	struct root_emul *re = e->ctx;
	bool contained = false;
	u8 *p = buf;

	while (len) {
		unsigned int n = MIN((u64)len, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
		u64 pa;
		int ret;

		ret = emul_walk(e, linear, write, &pa);
		if (ret)
			return ret;
		ret = emul_piece(re->cpu, pa, p, n, write);
		if (ret < 0)
			return ret;
		contained |= ret;
		linear += n;
		p += n;
		len -= n;
	}
	re->contained |= contained;
	if (contained)
		__atomic_fetch_add(write ? &root.contained_writes : &root.contained_reads, 1,
				   __ATOMIC_RELAXED);
	return 0;
}

/* What Linux does on the APIC page, a 32-bit MOV between a register or immediate and memory, on the spot. */
static bool root_apic_mov(struct cpu *c, struct vmcb *v, u64 gpa)
{
	struct insn insn;
	const u8 *bytes;
	unsigned int n = root_fetch(c, v, &bytes);
	u64 *reg;
	u32 val;

	if (!n || insn_decode(&insn, bytes, n, insn_mode_of(v->efer, v->cs.attrib)) < 0)
		return false;
	if (insn.op != INSN_MOV || insn.rmsize != 4 || !(insn.flags & INSN_MEM) || gpa & 3)
		return false;
	reg = insn.reg == RAX ? &v->rax : insn.reg == RSP ? &v->rsp : &c->root_gprs.r[insn.reg];
	switch (insn.form) {
	case INSN_FORM_R_RM:
		*reg = root_apic_read(c, gpa & 0xff0);
		break;
	case INSN_FORM_RM_R:
	case INSN_FORM_RM_I:
		val = insn.form == INSN_FORM_RM_R ? *reg : insn.imm;
		root_apic_write(c, gpa & 0xff0, val);
		break;
	default:
		return false;
	}
	v->rip = insn_next_rip(&insn, v->rip);
	v->interrupt_shadow = 0;
	return true;
}

/*
 * A crash kernel saves all memory with REP MOVSB, a byte an iteration: on core memory many are done at once, but not so
 * many that the root's interrupts would wait noticeably.
 */
#define ROOT_REP_MAX 512

static int root_emul_run(struct emul *e, struct root_emul *re, const struct insn *insn)
{
	u32 n = 0;
	int ret;

	do {
		re->contained = false;
		ret = emul_run(e, insn);
	} while (ret == EMUL_AGAIN && re->contained && ++n < ROOT_REP_MAX);
	return ret;
}

static void root_emulate(struct cpu *c, struct vmcb *v)
{
	struct root_emul re;
	struct insn insn;
	struct emul e;
	int ret;

	root_emul_init(&e, &re, c);
	ret = emul_fetch(&e, &insn);
	if (ret == EMUL_DONE)
		ret = root_emul_run(&e, &re, &insn);
	/* Also before a fault: iterations of a string instruction may have been done. */
	root_emul_done(&e, c);
	switch (ret) {
	case EMUL_DONE:
	case EMUL_AGAIN:
		v->interrupt_shadow = 0;
		return;
	case EMUL_FAULT:
		v->cr2 = e.fault.vector == VEC_PF ? e.fault.cr2 : v->cr2;
		svm_inject_exception(v, e.fault.vector,
				     e.fault.has_error ? (s64)e.fault.error : -1);
		return;
	default:
		log_printf(
			"core: root touched %lx at %lx with an instruction that is not emulated\n",
			v->exit_info_2, v->rip);
		svm_inject_exception(v, VEC_GP, 0);
	}
}

static void root_npf(struct cpu *c, struct vmcb *v)
{
	u64 gpa = v->exit_info_2;

	if (!boot->params.x2apic && (gpa & PAGE_MASK) == boot->params.apic_base) {
		c->root_exits[PLINTH_KIND_APIC]++;
		if (!root_apic_mov(c, v, gpa))
			root_emulate(c, v);
		return;
	}
	c->root_exits[PLINTH_KIND_NPF]++;
	if (mm_held(gpa, 1))
		return; /* and again, until it is given back */
	if (!mm_is_core(gpa, 1)) {
		int ret = root_map_more(gpa);

		if (!ret)
			return;
		log_printf("core: cannot map %lx for the root: error %d\n", gpa, ret);
		svm_inject_exception(v, VEC_GP, 0);
	} else if (v->exit_info_1 & (NPF_FETCH | NPF_WALK)) {
		log_printf("core: root executes or walks core memory at %lx, rip %lx\n", gpa,
			   v->rip);
		__atomic_fetch_add(&root.contained_reads, 1, __ATOMIC_RELAXED);
		svm_inject_exception(v, VEC_GP, 0);
	} else {
		root_emulate(c, v);
	}
}

/* ---- CPUID and MSRs ---- */

static void root_cpuid(struct cpu *c, struct vmcb *v)
{
	u32 leaf = v->rax, r[4];

	cpuid(leaf, c->root_gprs.r[RCX], r);
	switch (leaf) {
	case 1: /* OSXSAVE follows the root's CR4, not the core's */
		r[2] = (r[2] & ~BIT(27)) | (v->cr4 & BIT(18) ? BIT(27) : 0) | BIT(31);
		break;
	case 7: /* OSPKE likewise */
		if (!c->root_gprs.r[RCX])
			r[2] = (r[2] & ~BIT(4)) | (v->cr4 & BIT(22) ? BIT(4) : 0);
		break;
	case CPUID_SIGNATURE:
		r[0] = CPUID_SIGNATURE + 1;
		memcpy(&r[1], "PlinthPlinth", 12);
		break;
	case CPUID_SIGNATURE + 1:
		r[0] = PLINTH_ABI_VERSION;
		r[1] = r[2] = r[3] = 0;
		break;
	case 0x80000001: /* L12: virtualization is withheld: SVM, SKINIT */
		r[2] &= ~(BIT(2) | BIT(12));
		break;
	case 0x8000000a:
		memset(r, 0, sizeof(r));
		break;
	}
	v->rax = r[0];
	c->root_gprs.r[RBX] = r[1];
	c->root_gprs.r[RCX] = r[2];
	c->root_gprs.r[RDX] = r[3];
	root_skip(c, v, 2);
}

static int root_rdmsr(struct vmcb *v, u32 msr, u64 *val)
{
	switch (msr) {
	case MSR_EFER:
		*val = v->efer & ~EFER_SVME;
		return 0;
	case MSR_VM_CR:
		*val = VM_CR_SVMDIS | VM_CR_LOCK;
		return 0;
	case MSR_VM_HSAVE_PA:
		*val = 0;
		return 0;
	default:
		return rdmsr_safe(msr, val);
	}
}

/*
 * The processor is asked what it makes of a value, as it may refuse bits or ignore them: a VMCB with what it does not have
 * would not run any more. What the core itself needs stays on meanwhile.
 */
static int root_set_efer(struct vmcb *v, u64 val)
{
	const u64 host = rdmsr(MSR_EFER);
	u64 has;

	if (val & EFER_SVME || ((val ^ v->efer) & EFER_LME && v->cr0 & CR0_PG))
		return -EIO;
	if (wrmsr_safe(MSR_EFER, val | host))
		return -EIO;
	has = rdmsr(MSR_EFER);
	wrmsr(MSR_EFER, host);
	v->efer = (val & has & ~EFER_LMA) | EFER_SVME | (v->efer & EFER_LMA);
	return 0;
}

static int root_wrmsr(struct cpu *c, struct vmcb *v, u32 msr, u64 val)
{
	switch (msr) {
	case MSR_EFER:
		return root_set_efer(v, val);
	case MSR_VM_CR:
		return -EIO;
	case MSR_VM_HSAVE_PA: /* Linux writes 0 when it reboots */
		return val ? -EIO : 0;
	case MSR_PATCH_LOADER: /* microcode is not loaded under a running core */
		return 0;
	case MSR_APIC_BASE: /* the page stays where the core filters it, in the mode it is in */
		return val == rdmsr(MSR_APIC_BASE) ? 0 : -EIO;
	case MSR_X2APIC + APIC_ICR / 16:
		if (!root_icr(c, val >> 32, val))
			apic_icr(val >> 32, val);
		return 0;
	default:
		return wrmsr_safe(msr, val);
	}
}

static void root_msr(struct cpu *c, struct vmcb *v)
{
	u32 msr = c->root_gprs.r[RCX];
	u64 val = (u32)v->rax | c->root_gprs.r[RDX] << 32;
	int ret;

	if (v->exit_info_1) {
		ret = root_wrmsr(c, v, msr, val);
	} else {
		ret = root_rdmsr(v, msr, &val);
		if (!ret) {
			v->rax = (u32)val;
			c->root_gprs.r[RDX] = val >> 32;
		}
	}
	if (ret)
		svm_inject_exception(v, VEC_GP, 0);
	else
		root_skip(c, v, 2);
}

/* ---- retire ---- */

static void root_save_state(const struct cpu *c, const struct vmcb *v, struct plinth_cpu_state *st)
{
	memcpy(st->gpr, c->root_gprs.r, sizeof(st->gpr));
	st->gpr[RAX] = v->rax;
	st->gpr[RSP] = v->rsp;
	st->rip = v->rip;
	st->rflags = v->rflags;
	st->cr0 = v->cr0;
	st->cr2 = v->cr2;
	st->cr3 = v->cr3;
	st->cr4 = v->cr4;
	st->dr6 = v->dr6;
	st->dr7 = v->dr7;
	st->efer = v->efer & ~EFER_SVME;
	st->pat = v->g_pat;
}

/* May the root have its state there, and is that a table? */
static bool retire_args_ok(u64 state_pa, u64 trans_cr3)
{
	return mm_root_ram(state_pa, sizeof(struct plinth_cpu_state)) &&
	       mm_root_ram(trans_cr3 & PTE_ADDR, PAGE_SIZE);
}

/* The current values go back, not those of the launch. The arguments are checked. */
static __attribute__((noreturn)) void root_leave(struct cpu *c, struct vmcb *v, u64 state_pa,
						 u64 rip, u64 trans_cr3, u64 rax)
{
	struct leave l = {
		.rip = rip,
		.rsp = v->rsp,
		.rflags = v->rflags,
		.cr3 = trans_cr3,
		.cr4 = v->cr4 & ~(CR4_PGE | CR4_PCIDE),
		.efer = v->efer & ~EFER_SVME,
		.vmcb_pa = c->root_vmcb_pa,
		.gdtr = { .limit = v->gdtr.limit, .base = v->gdtr.base },
		.idtr = { .limit = v->idtr.limit, .base = v->idtr.base },
		.ss = v->ss.selector,
		.ds = v->ds.selector,
		.es = v->es.selector,
	};

	root_save_state(c, v, mm_va(state_pa));
	memcpy(l.gpr, c->root_gprs.r, sizeof(l.gpr));
	l.gpr[RAX] = rax;
	/* Or it was to be injected when the root was told to leave (CPU_REQ_LEAVE). */
	if (cpu_depart(c) & CPU_REQ_NMI || v->event_inj == NMI_INJECTION)
		c->root_nmi_pending = true;
	if (c->root_nmi_pending)
		apic_send_nmi(c->apic_id); /* comes after STGI */
	c->root_nmi_pending = false;
	wrmsr(MSR_PAT, v->g_pat);
	wrmsr(MSR_VM_HSAVE_PA, 0);
	write_cr2(v->cr2);
	write_dr6(v->dr6);
	write_dr7(v->dr7);
	write_cr0(v->cr0);
	svm_leave(&l);
}

/* PLINTH_HC_RETIRE */
static s64 root_retire(struct cpu *c, struct vmcb *v, u64 state_pa, u64 rip, u64 trans_cr3)
{
	if (vm_count())
		return -EBUSY;
	if (v->rflags & BIT(9) || !retire_args_ok(state_pa, trans_cr3))
		return -EINVAL;
	root_leave(c, v, state_pa, rip, trans_cr3, 0);
}

/* PLINTH_HC_RETIRE_OTHER */
static s64 root_retire_other(struct cpu *self, u64 index, u64 state_pa, u64 rip, u64 trans_cr3,
			     u64 rax)
{
	struct cpu *c = index < boot->params.cpus_possible ? cpu_get(index) : NULL;

	if (!c || c == self)
		return -ENXIO;
	if (vm_count() || __atomic_load_n(&c->root_wait_sipi, __ATOMIC_RELAXED))
		return -EBUSY;
	if (!retire_args_ok(state_pa, trans_cr3))
		return -EINVAL;
	c->leave.state_pa = state_pa;
	c->leave.rip = rip;
	c->leave.cr3 = trans_cr3;
	c->leave.rax = rax;
	cpu_request(c, CPU_REQ_LEAVE);
	/* It may ask something of this one before it sees the request, as this one may of it. */
	while (cpu_get(index) && !__atomic_load_n(&c->root_wait_sipi, __ATOMIC_RELAXED))
		__builtin_ia32_pause();
	return cpu_get(index) ? -EBUSY : 0;
}

static void root_vmmcall(struct cpu *c, struct vmcb *v)
{
	u64 *r = c->root_gprs.r;
	u32 nr = v->rax & 0xffff;
	s64 ret;

	if (v->cpl || (v->rax & ~0xffffull) != PLINTH_HC_MAGIC) {
		root_ud(v);
		return;
	}
	root_skip(c, v, 3);
	c->in_hypercall = true;
	if (nr == PLINTH_HC_RETIRE)
		ret = root_retire(c, v, r[RBX], r[RCX], r[RSI]);
	else if (nr == PLINTH_HC_RETIRE_OTHER)
		ret = root_retire_other(c, r[RDX], r[RBX], r[RCX], r[RSI], r[RDI]);
	else
		ret = hypercall(c, nr, r[RBX], r[RCX], r[RDX], r[RSI], r[RDI]);
	c->in_hypercall = false;
	v->rax = ret;
}

/* ---- NMI, INIT, SIPI ---- */

/*
 * Without virtual NMIs: after injecting one, IRET is intercepted to know when the root leaves its handler. NMIs stay
 * masked until it has been executed, which RIP or RSP tell; if another waits meanwhile, IRET is single-stepped.
 */
static void root_unmask_nmi(struct cpu *c, struct vmcb *v)
{
	if (!c->root_nmi_iret)
		return;
	if (v->rip != c->iret_rip || v->rsp != c->iret_rsp) {
		c->root_nmi_iret = c->root_nmi_masked = false;
		return;
	}
	if (c->root_nmi_step)
		return;
	c->root_nmi_step = true;
	c->step_dr6 = v->dr6;
	v->rflags |= RFLAGS_TF | RFLAGS_RF;
	svm_intercept(v, INTERCEPT_EXCEPTION + VEC_DB);
}

static void root_inject_nmi(struct cpu *c, struct vmcb *v)
{
	if (v->event_inj & SVM_EVENT_VALID)
		return;
	root_unmask_nmi(c, v);
	if (c->root_nmi_masked || c->root_nmi_step)
		return;
	/*
	 * Not held back by an interrupt shadow: an NMI that came in one was taken by the machine there, and
	 * the next exit may be far away when the instruction in it is HLT.
	 */
	v->interrupt_shadow = 0;
	c->root_nmi_pending = false;
	c->root_nmi_masked = true;
	c->nmis_injected++;
	v->event_inj = NMI_INJECTION;
	svm_intercept(v, INTERCEPT_IRET);
}

static void root_iret(struct cpu *c, struct vmcb *v)
{
	svm_no_intercept(v, INTERCEPT_IRET);
	c->root_nmi_iret = true;
	c->iret_rip = v->rip;
	c->iret_rsp = v->rsp;
}

/* #DB is intercepted only while root_nmi_step. */
static void root_db(struct cpu *c, struct vmcb *v)
{
	bool step = (v->dr6 & ~c->step_dr6 & DR6_BS) || v->rip != c->iret_rip;

	if (step) { /* IRET is done; its TF was ours */
		c->root_nmi_step = c->root_nmi_iret = c->root_nmi_masked = false;
		svm_no_intercept(v, INTERCEPT_EXCEPTION + VEC_DB);
		v->dr6 = (v->dr6 & ~DR6_BS) | (c->step_dr6 & DR6_BS);
	}
	/* A breakpoint of the root's own. */
	if (!step || v->dr6 & ~c->step_dr6 & DR6_BREAKPOINTS)
		svm_inject_exception(v, VEC_DB, -1);
}

static void seg_reset(struct plinth_seg *s, u16 attrib)
{
	*s = (struct plinth_seg){ .attrib = attrib, .limit = 0xffff };
}

/* The state after INIT (APM 2, 14.1.3), then SIPI's CS:IP. */
static void root_sipi(struct cpu *c, struct vmcb *v)
{
	seg_reset(&v->es, 0x93);
	v->ss = v->ds = v->fs = v->gs = v->es;
	seg_reset(&v->cs, 0x9b);
	seg_reset(&v->ldtr, 0x82);
	seg_reset(&v->tr, 0x8b);
	seg_reset(&v->gdtr, 0);
	seg_reset(&v->idtr, 0);
	v->cs.selector = (c->sipi_vector & 0xff) << 8;
	v->cs.base = (u64)v->cs.selector << 4;
	v->rip = 0;
	v->rflags = 2;
	v->cpl = 0;
	v->cr0 = 0x60000010;
	v->cr2 = v->cr3 = v->cr4 = 0;
	v->efer = EFER_SVME;
	v->dr6 = 0xffff0ff0;
	v->dr7 = DR7_OFF;
	v->rax = 0;
	v->rsp = 0;
	memset(&c->root_gprs, 0, sizeof(c->root_gprs));
	v->event_inj = 0;
	v->interrupt_shadow = 0;
	v->tlb_control = VMCB_TLB_FLUSH_ALL;
	svm_no_intercept(v, INTERCEPT_IRET);
	svm_no_intercept(v, INTERCEPT_EXCEPTION + VEC_DB);
	c->root_nmi_pending = c->root_nmi_masked = c->root_nmi_step = c->root_nmi_iret = false;
	c->root_wait_sipi = false;
}

void root_setup_ap(struct cpu *c)
{
	struct vmcb *v = c->root_vmcb;

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, c->hsave_pa);
	__asm__ volatile("clgi" : : : "memory");
	/* The syscall MSRs, which INIT leaves alone. */
	__asm__ volatile("vmsave %0" : : "a"(c->root_vmcb_pa) : "memory");
	cpu_load_tables(c);
	svm_cpu_host(c);
	write_cr3(boot->core_cr3);
	root_control(v);
	v->g_pat = rdmsr(MSR_PAT);
	c->requests = 0;
	c->ldr = 0;
	c->dfr = 0xffffffff;
	c->icr_kept = false;
	root_sipi(c, v);
}

/*
 * Between INIT and SIPI the CPU waits in the core; NMIs only wake it, to look at its requests. A
 * flush asked for meanwhile is done by root_sipi().
 */
static void root_wait_sipi(struct cpu *c, struct vmcb *v)
{
	apic_reset();
	c->ldr = 0;
	c->dfr = 0xffffffff;
	c->root_wait_sipi = true;
	for (;;) {
		/* As if in a guest: other CPUs wake this one by NMI (cpu_request()). */
		__atomic_store_n(&c->in_guest, 1, __ATOMIC_SEQ_CST);
		if (__atomic_exchange_n(&c->requests, 0, __ATOMIC_SEQ_CST) & CPU_REQ_SIPI)
			break;
		svm_wait_nmi();
		__atomic_store_n(&c->in_guest, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&c->kick_nmi, 0, __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&c->in_guest, 0, __ATOMIC_SEQ_CST);
	root_sipi(c, v);
}

static void root_requests(struct cpu *c, struct vmcb *v)
{
	u32 req = __atomic_fetch_and(&c->requests, ~(CPU_REQ_NMI | CPU_REQ_INIT | CPU_REQ_LEAVE),
				     __ATOMIC_SEQ_CST);

	if (req & CPU_REQ_NMI)
		c->root_nmi_pending = true;
	if (req & CPU_REQ_INIT)
		root_wait_sipi(c, v);
	else if (req & CPU_REQ_LEAVE)
		root_leave(c, v, c->leave.state_pa, c->leave.rip, c->leave.cr3, c->leave.rax);
	else if (req & CPU_REQ_SIPI) /* ignored by a CPU that does not wait for it (APM 2, 16.5) */
		__atomic_fetch_and(&c->requests, ~CPU_REQ_SIPI, __ATOMIC_SEQ_CST);
}

/* ---- the loop ---- */

static void root_shutdown(struct cpu *c, struct vmcb *v)
{
	log_printf("core: triple fault of the root on CPU %u, rip %lx cr3 %lx: reset\n", c->index,
		   v->rip, v->cr3);
	outb(0xcf9, 0x02);
	outb(0xcf9, 0x06);
	outb(0x64, 0xfe);
	for (;;)
		__asm__ volatile("hlt");
}

static void root_exit(struct cpu *c, struct vmcb *v)
{
	unsigned int kind = PLINTH_KIND_OTHER;

	/*
	 * An event whose delivery exited is delivered again, soft interrupts by their instruction.
	 * QEMU leaves old fields behind a clear valid bit, and calls an interrupt an exception (type 3),
	 * which with a vector of 32 or more would be refused.
	 */
	if (unlikely(v->exit_int_info & SVM_EVENT_VALID) && SVM_EVENT_TYPE(v->exit_int_info) != 4) {
		v->event_inj = v->exit_int_info;
		if (SVM_EVENT_TYPE(v->event_inj) == 3 && (v->event_inj & 0xff) >= 32)
			v->event_inj = SVM_EVENT_VALID | SVM_EVENT_INTR | (v->event_inj & 0xff);
	}
	switch (v->exit_code) {
	case SVM_EXIT_CPUID:
		kind = PLINTH_KIND_CPUID;
		root_cpuid(c, v);
		break;
	case SVM_EXIT_VMMCALL:
		kind = PLINTH_KIND_HYPERCALL;
		root_vmmcall(c, v);
		break;
	case SVM_EXIT_NPF:
		root_npf(c, v); /* counts by itself */
		return;
	case SVM_EXIT_MSR:
		kind = PLINTH_KIND_MSR;
		root_msr(c, v);
		break;
	case SVM_EXIT_NMI:
		kind = PLINTH_KIND_NMI;
		svm_exit_nmi(c);
		break;
	case SVM_EXIT_IRET:
		kind = PLINTH_KIND_NMI;
		root_iret(c, v);
		break;
	case SVM_EXIT_EXCP + VEC_DB:
		kind = PLINTH_KIND_EXCEPTION;
		root_db(c, v);
		break;
	case SVM_EXIT_INIT:
		kind = PLINTH_KIND_INIT;
		break;
	case SVM_EXIT_SHUTDOWN:
		root_shutdown(c, v);
		break;
	case SVM_EXIT_VMRUN:
	case SVM_EXIT_VMLOAD:
	case SVM_EXIT_VMSAVE:
	case SVM_EXIT_STGI:
	case SVM_EXIT_CLGI:
	case SVM_EXIT_SKINIT:
	case SVM_EXIT_INVLPGA:
		kind = PLINTH_KIND_SVM_INSN;
		root_ud(v);
		break;
	default:
		log_printf("core: unexpected exit %lx of the root at %lx\n", v->exit_code, v->rip);
	}
	c->root_exits[kind]++;
}

void root_loop(struct cpu *c)
{
	struct vmcb *v = c->root_vmcb;

	c->in_core = true;
	for (;;) {
		if (unlikely(c->requests))
			root_requests(c, v);
		if (unlikely(c->root_nmi_pending))
			root_inject_nmi(c, v);
		if (!svm_enter(c, v, c->root_vmcb_pa, &c->root_gprs, 0,
			       CPU_REQ_NMI | CPU_REQ_INIT | CPU_REQ_SIPI | CPU_REQ_LEAVE))
			continue;
		v->event_inj = 0;
		root_exit(c, v);
	}
}

void root_recover(struct cpu *c)
{
	struct vmcb *v = c->root_vmcb;

	c->fixup_rip = 0;
	if (c->in_hypercall) {
		c->in_hypercall = false;
		v->rax = -EIO;
	}
	v->event_inj = 0;
	__atomic_store_n(&c->in_guest, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&c->awaiting, 0, __ATOMIC_SEQ_CST);
	vp_recover(c);
	vm_recover(c);
	__asm__ volatile(
		"mov %0, %%rsp; mov %1, %%rdi; call root_loop; ud2"
		:
		: "r"((u64)c - PLINTH_CPU_DATA_OFF + PLINTH_CPU_STACK_OFF + PLINTH_CPU_STACK_SIZE),
		  "r"(c)
		: "memory", "rdi");
	__builtin_unreachable();
}
