/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the core holds for each logical processor, and how processors reach one another.
 *
 * The core runs with GIF = 0 (SVM): neither interrupts nor NMIs are taken in it, so per-CPU data
 * needs no protection from the CPU's own handlers. Locks are spinlocks, held for short times.
 */
#ifndef CORE_CPU_H
#define CORE_CPU_H

#include "core/types.h"
#include <plinth/abi.h>

/* Spinlock. A CPU that waits is in the core, so it never holds up a shoot-down (see cpu_shootdown). */
struct spinlock {
	u32 locked;
	bool broken; /* a bug struck its holder: what it protects may be half changed; held: to be read */
};

/* General registers of a virtual processor while it does not run; RAX lives in the VMCB (SVM). */
struct gprs {
	u64 r[16]; /* hardware order: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
};
enum {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15
};

struct vm;
struct vp;
struct vmcb;

/* A VM's, what is in use, the pool's, the log's; and one to spare. */
#define CPU_MAX_HELD 5

/* Things asked of a CPU by others; looked at before each entry to a guest. */
#define CPU_REQ_FLUSH 1u  /* flush the TLB of the guest that is entered next */
#define CPU_REQ_INIT  2u  /* an INIT arrived for the root's processor */
#define CPU_REQ_SIPI  4u  /* a SIPI arrived, vector in sipi_vector */
#define CPU_REQ_NMI   8u  /* the root sent an NMI */
#define CPU_REQ_KICK  16u /* only: leave the guest and look */
#define CPU_REQ_LEAVE 32u /* retire this CPU as `leave` says: PLINTH_HC_RETIRE_OTHER */

/*
 * While the core handles a hypercall, the root's general, segment and system registers are in
 * root_vmcb and root_gprs; its x87 to AVX registers, XCR0, DR0-DR3 and TSC_AUX are live in the CPU.
 */
struct cpu {
	u64 linux_rsp; /* entry.S: where core_entry() was called */
	u32 index;     /* in params.cpus[] */
	u32 apic_id;
	bool in_core; /* launched: the root runs as a VM on it */

	/* Between this CPU and others: see cpu_shootdown(). */
	u32 in_guest; /* 1 from before VMRUN's last check of `requests` until after #VMEXIT */
	u32 requests; /* CPU_REQ_*, atomic */
	u32 sipi_vector;
	u32 kick_nmi;	/* 1: another CPU has sent an NMI that has not been taken yet */
	u32 requesters; /* CPUs that are in cpu_request() for this one, atomic */
	u32 awaiting;	/* 1: in cpu_await_all() */
	u64 exits;	/* counts #VMEXITs, so that others see that one happened */

	/* SVM. */
	struct vmcb *root_vmcb; /* in the physmap */
	u64 root_vmcb_pa;
	u64 host_vmcb_pa; /* the core's own FS, GS, TR, LDTR and syscall MSRs, for VMLOAD */
	u64 hsave_pa;
	struct gprs root_gprs;
	u32 next_asid; /* see svm_child.c */
	u64 asid_generation;

	/* Children. */
	struct vp *vp; /* whose guest runs or ran last under PLINTH_HC_VP_RUN, else NULL */

	/* The root's virtual processor. */
	bool root_wait_sipi;
	bool root_nmi_pending; /* to be injected when the root can take it */
	bool root_nmi_masked;  /* the root is in its NMI handler: IRET is intercepted */
	bool root_nmi_iret;    /* that IRET was reached, at iret_rip with iret_rsp */
	bool root_nmi_step;    /* ... and is single-stepped; step_dr6: DR6 before */
	u64 iret_rip, iret_rsp, step_dr6;
	bool taking_nmi; /* in svm_take_nmi(): the core's handler does not count it as lost */
	u32 ldr, dfr;	 /* of the local APIC, for logical destinations */
	u32 icr_shadow;	 /* ICR as the root wrote it, if the core kept the write for itself */
	bool icr_kept;
	u64 root_exits[PLINTH_NR_KINDS];
	u64 nmis_taken, nmis_injected, nmi_host; /* nmi_host: taken by the core's own handler */

	/* CPU_REQ_LEAVE: where to and with what; written before the request. */
	struct {
		u64 state_pa, rip, cr3, rax;
	} leave;

	/* Next-RIP on parts without NRIPS: where the root's code page is (see root_fetch()). */
	u64 fetch_va, fetch_cr3, fetch_pa;

	/* Recovery from exceptions in the core (trap.c). */
	u64 fixup_rip; /* where a #GP of a risky instruction goes on, 0: none is expected */
	u32 traps; /* unexpected ones since the CPU's last #VMEXIT, which was number trap_exits */
	u64 trap_exits;
	bool in_hypercall;
	/* What a bug must not leave behind: locks, in the order in which they were taken, and the VM that is served. */
	u32 nr_held;
	struct spinlock *held[CPU_MAX_HELD];
	struct vm *serves;

	/* Descriptor tables. */
	u64 gdt[8] __attribute__((aligned(16))); /* null, -, code, data, TSS (2) */
	u8 tss[104] __attribute__((aligned(16)));
};

/*
 * The CPU's block holds its stacks, so the stack pointer tells which CPU this is: true from the
 * first instruction on the core's stack to the last, whatever the segment registers hold.
 */
#if __STDC_HOSTED__ /* unit tests */
extern struct cpu unit_cpu;
#endif
static inline struct cpu *this_cpu(void)
{
#if __STDC_HOSTED__
	return &unit_cpu;
#endif
	u64 rsp;

	__asm__("mov %%rsp, %0" : "=r"(rsp));
	return (struct cpu *)((rsp & ~(PLINTH_CPU_STRIDE - 1)) + PLINTH_CPU_DATA_OFF);
}

/* Released in the reverse order. */
static inline void spin_lock(struct spinlock *l)
{
	struct cpu *c = this_cpu();

	while (__atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&l->locked, __ATOMIC_RELAXED))
			__builtin_ia32_pause();
	c->held[c->nr_held++] = l;
}
static inline void spin_unlock(struct spinlock *l)
{
	this_cpu()->nr_held--;
	__atomic_store_n(&l->locked, 0, __ATOMIC_RELEASE);
}
/* After a bug on this CPU: release all that it holds, as broken. */
void cpu_break_locks(struct cpu *c);

/* What the root handed over; set once by PLINTH_OP_INIT. */
extern struct plinth_boot *boot;

/* Where the block of a CPU is, if it was present at the launch. */
static inline struct cpu *cpu_slot(unsigned int index)
{
	return (struct cpu *)(PLINTH_VA_CPUS + index * PLINTH_CPU_STRIDE + PLINTH_CPU_DATA_OFF);
}
/* By index; NULL if it is not in the core. */
struct cpu *cpu_get(unsigned int index);
unsigned int cpu_count(void); /* CPUs that are in the core */

/* Fill the CPU's GDT and TSS. Before cpu_load_tables(). */
void cpu_init_tables(struct cpu *c);
/* Load IDT, GDT, segments and TR of the core. */
void cpu_load_tables(struct cpu *c);

/*
 * Set request bits for a CPU and make it leave its guest (by NMI) if it is in one. false, and nothing done: it
 * has left the core. Any CPU.
 */
bool cpu_request(struct cpu *c, u32 requests);

/*
 * Take this CPU out of the others' reach. On return none of them asks anything of it any more and no NMI of theirs is
 * on its way; what was asked for last is returned.
 */
u32 cpu_depart(struct cpu *c);

/*
 * Make sure that every CPU for which match(c, arg) holds has left its guest since the call and will flush the
 * TLB before it enters one again. Returns when that is so. Nested tables must be changed before.
 */
void cpu_shootdown(bool (*match)(struct cpu *c, void *arg), void *arg);

/*
 * Returns when every other CPU has been outside of the core since the call, or waits in this function itself: then
 * none of them goes by what it found out before. The caller holds no lock and must find out again what it goes by.
 */
void cpu_await_all(void);

#endif
