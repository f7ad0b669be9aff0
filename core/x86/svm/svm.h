/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * AMD SVM: the VMCB (APM 2, appendix B), exit codes (appendix C), and the few operations on them
 * that the root's and the children's virtual processors share.
 */
#ifndef CORE_X86_SVM_H
#define CORE_X86_SVM_H

#include "core/types.h"
#include "core/cpu.h"

/* Intercepts, one array of 32-bit words at VMCB offset 0. Numbered word * 32 + bit. */
enum svm_intercept {
	INTERCEPT_CR_READ = 0,	 /* + n */
	INTERCEPT_CR_WRITE = 16, /* + n */
	INTERCEPT_DR_READ = 32,
	INTERCEPT_DR_WRITE = 48,
	INTERCEPT_EXCEPTION = 64, /* + vector */
	INTERCEPT_INTR = 96,
	INTERCEPT_NMI,
	INTERCEPT_SMI,
	INTERCEPT_INIT,
	INTERCEPT_VINTR,
	INTERCEPT_CR0_SEL_WRITE,
	INTERCEPT_IDTR_READ,
	INTERCEPT_GDTR_READ,
	INTERCEPT_LDTR_READ,
	INTERCEPT_TR_READ,
	INTERCEPT_IDTR_WRITE,
	INTERCEPT_GDTR_WRITE,
	INTERCEPT_LDTR_WRITE,
	INTERCEPT_TR_WRITE,
	INTERCEPT_RDTSC,
	INTERCEPT_RDPMC,
	INTERCEPT_PUSHF,
	INTERCEPT_POPF,
	INTERCEPT_CPUID,
	INTERCEPT_RSM,
	INTERCEPT_IRET,
	INTERCEPT_INTN,
	INTERCEPT_INVD,
	INTERCEPT_PAUSE,
	INTERCEPT_HLT,
	INTERCEPT_INVLPG,
	INTERCEPT_INVLPGA,
	INTERCEPT_IOIO,
	INTERCEPT_MSR,
	INTERCEPT_TASK_SWITCH,
	INTERCEPT_FERR_FREEZE,
	INTERCEPT_SHUTDOWN,
	INTERCEPT_VMRUN = 128,
	INTERCEPT_VMMCALL,
	INTERCEPT_VMLOAD,
	INTERCEPT_VMSAVE,
	INTERCEPT_STGI,
	INTERCEPT_CLGI,
	INTERCEPT_SKINIT,
	INTERCEPT_RDTSCP,
	INTERCEPT_ICEBP,
	INTERCEPT_WBINVD,
	INTERCEPT_MONITOR,
	INTERCEPT_MWAIT,
	INTERCEPT_MWAIT_ARMED,
	INTERCEPT_XSETBV,
	INTERCEPT_RDPRU,
};

/* Exit codes that are not simply an intercept's number. */
#define SVM_EXIT_CR_READ     0x000
#define SVM_EXIT_CR_WRITE    0x010
#define SVM_EXIT_DR_READ     0x020
#define SVM_EXIT_DR_WRITE    0x030
#define SVM_EXIT_EXCP	     0x040
#define SVM_EXIT_INTR	     0x060
#define SVM_EXIT_NMI	     0x061
#define SVM_EXIT_SMI	     0x062
#define SVM_EXIT_INIT	     0x063
#define SVM_EXIT_VINTR	     0x064
#define SVM_EXIT_CR0_SEL     0x065
#define SVM_EXIT_RDTSC	     0x06e
#define SVM_EXIT_RDPMC	     0x06f
#define SVM_EXIT_CPUID	     0x072
#define SVM_EXIT_IRET	     0x074
#define SVM_EXIT_INVD	     0x076
#define SVM_EXIT_PAUSE	     0x077
#define SVM_EXIT_HLT	     0x078
#define SVM_EXIT_INVLPGA     0x07a
#define SVM_EXIT_IOIO	     0x07b
#define SVM_EXIT_MSR	     0x07c
#define SVM_EXIT_TASK_SWITCH 0x07d
#define SVM_EXIT_SHUTDOWN    0x07f
#define SVM_EXIT_VMRUN	     0x080
#define SVM_EXIT_VMMCALL     0x081
#define SVM_EXIT_VMLOAD	     0x082
#define SVM_EXIT_VMSAVE	     0x083
#define SVM_EXIT_STGI	     0x084
#define SVM_EXIT_CLGI	     0x085
#define SVM_EXIT_SKINIT	     0x086
#define SVM_EXIT_RDTSCP	     0x087
#define SVM_EXIT_WBINVD	     0x089
#define SVM_EXIT_MONITOR     0x08a
#define SVM_EXIT_MWAIT	     0x08b
#define SVM_EXIT_MWAIT_COND  0x08c
#define SVM_EXIT_XSETBV	     0x08d
#define SVM_EXIT_RDPRU	     0x08e
#define SVM_EXIT_NPF	     0x400
/* -1 in 64 bits by the manual; QEMU's emulation stores 0x00000000ffffffff: compare 32 bits. */
#define SVM_EXIT_INVALID32 0xffffffffu

struct vmcb {
	/* Control area. */
	u32 intercept[6];
	u8 rsvd018[0x3c - 0x18];
	u16 pause_filter_threshold;
	u16 pause_filter_count;
	u64 iopm_base_pa;
	u64 msrpm_base_pa;
	u64 tsc_offset;
	u32 asid;
	u8 tlb_control;
	u8 rsvd05d[3];
	u32 v_intr; /* V_TPR 7:0, V_IRQ 8, V_INTR_PRIO 19:16, V_IGN_TPR 20, V_INTR_MASKING 24 */
	u32 v_intr_vector;    /* 7:0 */
	u64 interrupt_shadow; /* bit 0; bit 1: guest interrupt mask (SEV) */
	u64 exit_code;
	u64 exit_info_1;
	u64 exit_info_2;
	u64 exit_int_info;
	u64 nested_ctl; /* bit 0: nested paging */
	u8 rsvd098[0xa8 - 0x98];
	u64 event_inj;
	u64 nested_cr3;
	u64 virt_ext;
	u32 clean;
	u32 rsvd0c4;
	u64 next_rip;
	u8 insn_len;
	u8 insn_bytes[15];
	u8 rsvd0e0[0x400 - 0xe0];

	/* State save area. */
	struct plinth_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 rsvd4a0[0x4cb - 0x4a0];
	u8 cpl;
	u32 rsvd4cc;
	u64 efer;
	u8 rsvd4d8[0x548 - 0x4d8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 rsvd580[0x5d8 - 0x580];
	u64 rsp, s_cet, ssp, isst_addr, rax;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 rsvd648[0x668 - 0x648];
	u64 g_pat, dbgctl, br_from, br_to, last_excp_from, last_excp_to;
	u8 rsvd698[0x1000 - 0x698];
} __attribute__((packed, aligned(4096)));

_Static_assert(offsetof(struct vmcb, event_inj) == 0xa8, "VMCB layout");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "VMCB layout");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "VMCB layout");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "VMCB layout");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "VMCB layout");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "VMCB layout");
_Static_assert(sizeof(struct vmcb) == 4096, "VMCB layout");

#define VMCB_TLB_NOTHING    0
#define VMCB_TLB_FLUSH_ALL  1
#define VMCB_TLB_FLUSH_ASID 3 /* only where CPUID 8000_000A EDX bit 6 is set */
#define VMCB_V_IRQ	    (1u << 8)
#define VMCB_V_IGN_TPR	    (1u << 20)
#define VMCB_V_INTR_MASKING (1u << 24)
#define VMCB_NP_ENABLE	    1ull

/* EVENTINJ and EXITINTINFO (APM 2, 15.20). */
#define SVM_EVENT_VALID	  (1ull << 31)
#define SVM_EVENT_ERROR	  (1ull << 11) /* an error code is in 63:32 */
#define SVM_EVENT_TYPE(e) (((e) >> 8) & 7)
#define SVM_EVENT_INTR	  (0ull << 8)
#define SVM_EVENT_NMI	  (2ull << 8)
#define SVM_EVENT_EXCP	  (3ull << 8)
#define SVM_EVENT_SOFT	  (4ull << 8)

/* EXITINFO1 of a nested page fault (APM 2, 15.25.6). */
#define NPF_PRESENT BIT(0)
#define NPF_WRITE   BIT(1)
#define NPF_USER    BIT(2)
#define NPF_RSVD    BIT(3)
#define NPF_FETCH   BIT(4)
#define NPF_FINAL   BIT(32) /* the fault is of the final address, not of a page-table walk */
#define NPF_WALK    BIT(33)

/* EXITINFO1 of IOIO (APM 2, 15.10.2); EXITINFO2 is the next RIP. */
#define IOIO_IN	     BIT(0)
#define IOIO_STR     BIT(2)
#define IOIO_REP     BIT(3)
#define IOIO_SIZE(x) (((x) >> 4) & 7) /* 1, 2, 4 */
#define IOIO_PORT(x) ((u16)((x) >> 16))

static inline void svm_intercept(struct vmcb *v, unsigned int n)
{
	v->intercept[n / 32] |= 1u << (n % 32);
}
static inline void svm_no_intercept(struct vmcb *v, unsigned int n)
{
	v->intercept[n / 32] &= ~(1u << (n % 32));
}

/* What this machine's SVM offers, filled at launch. */
struct svm_caps {
	u32 asids;    /* number of ASIDs, 0 is the core's */
	u32 features; /* PLINTH_FEAT_* */
	bool decode_assist, nrips, flush_asid, pause_filter;
};
extern struct svm_caps svm_caps;

/*
 * Run the guest of `vmcb` with GPRs `g` (RAX in the VMCB) until its next #VMEXIT: VMLOAD, VMRUN,
 * VMSAVE, VMLOAD of the core's own. Interrupt flag as given by the VMCB and GIF stays 0 in the core.
 * `host_if`: RFLAGS.IF of the core at VMRUN: with V_INTR_MASKING it lets physical interrupts exit.
 */
void svm_vmrun(struct gprs *g, u64 vmcb_pa, u64 host_vmcb_pa, u64 host_if);

/*
 * The way in for root and children: publishes in_guest, then looks at the CPU's requests once more.
 * Returns false, without having run the guest, if one of `stop` is pending (the caller handles it
 * first). CPU_REQ_FLUSH is consumed here by a flush. After the #VMEXIT in_guest is 0 again and
 * TLB_CONTROL reset. An ASID must have been given.
 */
bool svm_enter(struct cpu *c, struct vmcb *v, u64 vmcb_pa, struct gprs *g, u64 host_if, u32 stop);

/*
 * After SVM_EXIT_NMI: consume the NMI (svm_take_nmi) and decide whose it was: a request of another
 * CPU of the core, or the root's, which then becomes pending for the root (root_nmi_pending).
 */
void svm_exit_nmi(struct cpu *c);

/* Take the NMI that caused SVM_EXIT_NMI: opens GIF for one instruction; the core's handler counts it. */
void svm_take_nmi(void);

/* Sleep until an NMI comes, which is consumed. */
void svm_wait_nmi(void);
extern const u8 svm_wait_hlt[]; /* the HLT in it */

/* Queue an exception for injection at the next VMRUN; error_code < 0: none. */
static inline void svm_inject_exception(struct vmcb *v, unsigned int vector, s64 error_code)
{
	v->event_inj = SVM_EVENT_VALID | SVM_EVENT_EXCP | vector;
	if (error_code >= 0)
		v->event_inj |= SVM_EVENT_ERROR | (u64)error_code << 32;
}

/* What svm_leave() (entry.S) restores; layout.h has the offsets. */
struct leave {
	u64 gpr[16];
	u64 rip, rsp, rflags;
	u64 cr3, cr4, efer, vmcb_pa;
	struct {
		u16 pad[3];
		u16 limit;
		u64 base;
	} gdtr, idtr;
	u16 ss, ds, es;
};
void svm_leave(struct leave *l) __attribute__((noreturn));

/* Once, on the first CPU: what the part offers. -ENODEV without nested paging. */
int svm_probe(void);
/* Each CPU: allocate its VMCBs and save area. -ENOMEM. */
int svm_cpu_init(struct cpu *c);
/* Each CPU, after VMSAVE of the root's state into root_vmcb and with the core's TR: note our own. */
void svm_cpu_host(struct cpu *c);
/* L6: run and destroy a temporary VM of one intercepting instruction. -EIO: it came back wrong. */
int svm_temp_vm(struct cpu *c);

#define MSR_EFER	0xc0000080u
#define MSR_VM_CR	0xc0010114u
#define MSR_VM_HSAVE_PA 0xc0010117u
#define MSR_TSC_AUX	0xc0000103u
#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NXE	BIT(11)
#define EFER_SVME	BIT(12)

#endif
