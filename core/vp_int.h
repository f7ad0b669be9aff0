/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Children: what the files that make up virtual machines and processors share.
 *
 * Lifetime. vm_get() finds a VM and keeps it; vm_destroy() makes it unfindable, waits for the short hypercalls on
 * other CPUs to let go of it, and frees all. VPs live as long as their VM.
 *
 * Who may touch what:
 *	vm->lock	nested tables, creation of VPs, and every access of the core to the guest's memory:
 *			so VM_UNMAP, which takes it, knows that no CPU in the core still uses a page
 *	vp->owner	the CPU that runs the VP or executes VP_GET or VP_SET for it; whoever holds it may
 *			touch every field of the VP
 *	fields marked "any CPU" are atomic
 * Nothing waits for `owner`: the second comer gets -EBUSY. Order: owner, then vm->lock.
 */
#ifndef CORE_VP_INT_H
#define CORE_VP_INT_H

#include "core/cpu.h"
#include "core/lapic.h"
#include "core/mm.h"
#include "core/x86/cpuid_policy.h"
#include "core/x86/emul.h"
#include "core/x86/gwalk.h"
#include "core/x86/msr_policy.h"
#include "core/x86/paging.h"
#include "core/x86/vendor.h"

/* Internal result of a handler: go on with the guest. Others are enum plinth_exit. */
#define VP_AGAIN (-1)

/* KVM_MP_STATE_*: what a VP is doing. */
enum vp_activity {
	VP_RUNNABLE = 0,
	VP_UNINITIALIZED = 1, /* waits for INIT */
	VP_INIT_RECEIVED = 2, /* waits for SIPI */
	VP_HALTED = 3,
	VP_SIPI_RECEIVED = 4,
};

/* Of KVM_SYSTEM_TIME: the guest wants the structure at this address kept. */
#define VP_CLOCK_ENABLED BIT(0)

/* vp->requests */
#define VP_REQ_INIT 1u
#define VP_REQ_SIPI 2u /* vector in sipi_vector */
#define VP_REQ_NMI  4u

/* KVM_INTERNAL_ERROR_* */
#define VP_ERROR_EMULATION   1
#define VP_ERROR_DELIVERY    3
#define VP_ERROR_EXIT_REASON 4

/* KVM_GUESTDBG_*: those that are offered. */
#define VP_DEBUG_ENABLE	    1u
#define VP_DEBUG_SINGLESTEP 2u
#define VP_DEBUG_SW_BP	    0x10000u
#define VP_DEBUG_INJECT_DB  0x40000u
#define VP_DEBUG_INJECT_BP  0x80000u

/* Leaf of a page that belongs to a device: not in the core's map of RAM. */
#define VM_PTE_DEVICE BIT(11)

struct vm {
	/* Any CPU: VM_LIVE and VM_BROKEN, plus the number of hypercalls that use the VM. */
	u32 refs;
	u32 id;
	u64 eoi_bitmap[4];		      /* any CPU */
	struct vp *vp[PLINTH_MAX_VPS_PER_VM]; /* any CPU; set once */

	struct spinlock lock;
	u64 tsc_offset; /* of new VPs, and of those whose TSC the root sets to about the same */
	/*
	 * Counts changes that take something away. A VP that has seen an older value flushes its TLB
	 * and forgets what it knows of the tables. Written under lock, read by any CPU.
	 */
	u64 map_gen;
	u64 mapped_pages;
	u32 nr_vps;
	struct pt npt;
};
#define VM_LIVE	  0x80000000u
#define VM_BROKEN 0x40000000u /* vm_recover() */
#define VM_USERS  0x3fffffffu

/* Where the guest's next instruction bytes are, so that most exits need no page walk. */
struct vp_fetch {
	u64 page; /* linear address >> 12 */
	u64 cr3, cr0;
	u64 map_gen;
	const u8 *bytes; /* NULL: nothing known */
};

/* An access that waits for the root, or for the rest of its instruction. */
enum vp_io_state {
	VP_IO_NONE,
	VP_IO_IN,	  /* IN: data for RAX comes from the root */
	VP_IO_STRING_IN,  /* INS: data comes from the root, then the instruction is emulated */
	VP_IO_MMIO_READ,  /* the last entry of reads[] comes from the root, then emulate again */
	VP_IO_MMIO_WRITE, /* the instruction is done, the root takes its write piece by piece */
	VP_IO_EMULATE,	  /* emulate again: the root has mapped what was missing */
};

#define VP_IO_BYTES 512
#define VP_IO_READS (VP_IO_BYTES / 8 + 2)

struct vp_io {
	u32 state; /* enum vp_io_state */

	/* Port I/O. */
	u16 port;
	u8 size;
	bool ready;	 /* data[] has what INS asked for */
	bool string_out; /* data[] is what OUTS sends */
	bool ports;	 /* the emulator may do I/O: this is an intercepted INS or OUTS */
	u32 count;
	u64 rip, next_rip; /* of IN */
	u8 data[VP_IO_BYTES];
	u8 batch[VP_IO_BYTES]; /* the emulator's */

	/*
	 * MMIO reads that the instruction being emulated has made so far: it is started again after each, and
	 * gets these answers again in the same order.
	 */
	u32 nreads, replay;
	struct {
		u64 gpa;
		u8 data[8];
		u32 len;
	} reads[VP_IO_READS];

	/* Its MMIO write: at most two pages' worth. */
	u32 nwrites;
	u32 written; /* bytes that the root has taken */
	struct {
		u64 gpa;
		u32 len;
	} writes[2];
	u8 write_data[VP_IO_BYTES];

	/* What emulation found missing. */
	bool missing; /* nested mapping of missing_gpa */
	bool retry;   /* let the guest try again */
	bool missing_write, missing_exec;
	u64 missing_gpa;

	/* Last bytes that were fetched, for error reports. */
	u8 insn_len;
	u8 insn[16];
};

/* Owner-only fields unless said otherwise. In pool pages, zeroed at creation. */
struct vp {
	/* Any CPU. */
	u32 owner;    /* 0: nobody; 1 + index of the CPU */
	u32 blocked;  /* its thread sleeps, or is about to, until woken */
	u32 requests; /* VP_REQ_* */
	u32 sipi_vector;
	struct lapic lapic;

	struct vm *vm;
	u64 serial; /* no other VP has or had it: its address may have been another's */
	u32 index;
	u32 activity; /* enum vp_activity */
	struct gprs gprs;
	u64 rip, rflags;
	u64 next_rip; /* of the instruction that exited, set by the vendor part */

	/* Events. `attention` is set whenever one of them may need something before the next entry. */
	bool attention;
	struct {
		bool injected; /* its delivery was begun, and has to be begun again */
		bool pending;
		bool has_error;
		u8 vector;
		u32 error;
	} exc;
	struct {
		bool injected;
		u8 vector;
	} intr;
	bool nmi_injected, nmi_pending, nmi_masked;
	bool triple_fault;
	s32 ext_vector; /* external interrupt from the root, -1: none */

	/* Asked by the root for this run. */
	u64 armed_deadline;
	bool want_window;
	bool immediate_exit;

	/* Due to the root. */
	u64 wake_mask;
	s32 eoi_vector; /* -1: none */
	bool timer_changed;
	u32 clock_due; /* PLINTH_CLOCK_* */

	/* Control block. */
	void *hw;
	u64 hw_pa;
	u64 vendor[24]; /* the vendor part's own: struct vp_svm */

	/* State that the world switch does not exchange. */
	u64 fpu_pa;	 /* XSAVE image while the VP does not run ... */
	u64 root_fpu_pa; /* ... and the root's while it does */
	u64 xcr0, root_xcr0;
	u64 dr[4], root_dr[4];
	bool dr_live;
	u64 root_tsc_aux;
	u64 tsc_offset;
	bool loaded; /* between vp_load() and vp_put(): the above is live in this CPU */

	struct vp_fetch fetch;
	u64 map_gen; /* of vm->map_gen that the TLB is known to agree with */

	struct plinth_vp_shared *shared;
	u64 shared_pa;
	struct vp_io *io;
	struct cpuid_table *cpuid;
	u64 cr4_bits; /* that the guest may set */
	struct msr_state msrs;
	struct plinth_vp_debug guest_debug;
	bool debug_due; /* single-stepping, and an instruction was emulated */

	struct plinth_vp_stats stats;
};

/* ---- vm.c ---- */

/*
 * What all children share: features of the machine, permission maps. At the first use, not at launch, since
 * it reads MSRs that may not exist, and needs the core's own handlers for that. -ENOMEM.
 */
int vm_setup(void);
/*
 * One at a time on each CPU. NULL with *err = -ENOENT: no such VM, -EIO: it is broken.
 */
struct vm *vm_get(u64 id, s64 *err);
void vm_put(struct vm *vm);
static inline bool vm_broken(struct vm *vm)
{
	return __atomic_load_n(&vm->refs, __ATOMIC_SEQ_CST) & VM_BROKEN;
}
static inline struct vp *vm_vp(struct vm *vm, u32 index)
{
	return __atomic_load_n(&vm->vp[index], __ATOMIC_ACQUIRE);
}

/* What lies at a guest-physical address, for an access of the core. vm->lock held. */
enum vm_mem {
	VM_MEM_RAM,    /* *hpa is set */
	VM_MEM_DEVICE, /* mapped, but out of the core's reach */
	VM_MEM_ROM,    /* a write that becomes an MMIO exit */
	VM_MEM_MMIO,
	VM_MEM_MISSING, /* the root has to map it (or allow writing) first */
};
enum vm_mem vm_mem(struct vm *vm, u64 gpa, bool write, u64 *hpa);

/* ---- vp.c ---- */

/* Find a VP and become its owner; NULL with *err = -ENOENT or -EBUSY. */
struct vp *vp_acquire(u64 vm, u64 vp, s64 *err);
void vp_release(struct vp *vp);
void vp_free(struct vp *vp); /* nobody may know of it any more */
void vp_reset(struct vp *vp, bool init);

/* ---- vp_irq.c ---- */

/* Let the VP notice what was just posted to it. true: its thread has to be woken. Any CPU. */
bool vp_notify(struct vp *vp);
/* Deliver a message. `src`: the sender, NULL for an MSI. *taken: VPs that accepted it. -> VPs to wake. Any CPU. */
u64 vm_deliver(struct vm *vm, const struct lapic_ipi *ipi, struct vp *src, u32 *taken);
/* Do what an access to the own APIC asked for. */
void vp_lapic_fx(struct vp *vp, const struct lapic_fx *fx);
void vp_lapic_flags(struct vp *vp, u32 flags);
/* Write to the APIC page, with all that follows from it. */
void vp_lapic_mmio_write(struct vp *vp, u32 off, u32 len, u32 val);
/* The guest has ended the interrupt `vector` (-1: none): tell the root if it wants to know. */
void vp_lapic_eoi(struct vp *vp, int vector);

/* ---- vp_event.c ---- */

/* Make an exception pending, merged with what is under way (APM 2, 8.2.9). */
void vp_exception(struct vp *vp, u8 vector, bool has_error, u32 error);
void vp_page_fault(struct vp *vp, u64 cr2, u32 error);
static inline void vp_ud(struct vp *vp)
{
	vp_exception(vp, 6, false, 0);
}
static inline void vp_gp(struct vp *vp)
{
	vp_exception(vp, 13, true, 0);
}
/* Nothing is half delivered, and an interrupt could be taken now. */
bool vp_interruptible(struct vp *vp);
/* Should a halted VP go on? */
bool vp_has_event(struct vp *vp);
/* Choose what the next entry injects and which windows it needs. */
void vp_inject(struct vp *vp);

/* ---- vp_exit.c: exits whose handling does not depend on the vendor; VP_AGAIN or enum plinth_exit ---- */

/* An instruction, or an iteration of one, has been executed in the guest's stead: the trap if RFLAGS.TF is set. */
void vp_step(struct vp *vp);
/* Go past the instruction that exited: RIP becomes vp->next_rip. */
void vp_skip(struct vp *vp);
int vp_exit_cpuid(struct vp *vp);
int vp_exit_rdmsr(struct vp *vp);
int vp_exit_wrmsr(struct vp *vp);
int vp_exit_hlt(struct vp *vp);
int vp_exit_hypercall(struct vp *vp);
int vp_exit_xsetbv(struct vp *vp);
int vp_exit_mov_to_cr(struct vp *vp, u8 cr, u64 val);
int vp_exit_monitor(struct vp *vp);
/* PLINTH_EXIT_DEBUG by an exception. */
int vp_debug_exit(struct vp *vp, u32 exception);
static inline bool vp_debug_step(const struct vp *vp)
{
	const u32 both = VP_DEBUG_ENABLE | VP_DEBUG_SINGLESTEP;

	return (vp->guest_debug.flags & both) == both;
}
/* Give up on this VP's instruction: PLINTH_EXIT_INTERNAL. */
int vp_internal_error(struct vp *vp, u32 suberror, u32 ndata, const u64 *data);

/* ---- vp_msr.c ---- */

void vp_msr_init(void);
extern struct msr_host vp_msr_host;
extern struct cpuid_caps vp_cpuid_caps;
/* Take over a CPUID table, and all that follows from it. */
int vp_set_cpuid(struct vp *vp, const struct cpuid_entry *entries, u32 n);
/* `host`: KVM_GET_MSRS and KVM_SET_MSRS, else the guest. -EINVAL: #GP is due. */
int vp_msr_read(struct vp *vp, u32 msr, u64 *val, bool host);
int vp_msr_write(struct vp *vp, u32 msr, u64 val, bool host);
void vp_set_tsc_offset(struct vp *vp, u64 offset);

/* ---- vp_emul.c ---- */

/* Bytes at the guest's RIP for the length of the instruction that exited; -> number, 0: not at hand. */
u32 vp_fetch_cached(struct vp *vp, u8 *buf, u32 len);

/*
 * The first four of them, if the page that holds `linear` is the one that was found last, with the same CR3 and paging
 * on or off. Without a lock: bytes that were read while the nested tables changed are not used.
 */
static inline bool vp_fetch_peek(const struct vp *vp, u64 linear, u64 cr3, u64 cr0, u32 *code)
{
	const struct vp_fetch *f = &vp->fetch;
	u32 at = linear & (PAGE_SIZE - 1);

	if (f->page != linear >> PAGE_SHIFT || f->cr3 != cr3 || f->cr0 != (cr0 & BIT(31)) ||
	    !f->bytes || at > PAGE_SIZE - sizeof(*code))
		return false;
	*code = *(const volatile u32 *)(f->bytes + at);
	return f->map_gen == __atomic_load_n(&vp->vm->map_gen, __ATOMIC_ACQUIRE);
}

/* Fetch and decode the instruction at RIP. VP_AGAIN with *insn, or what to do instead; *ok tells. */
int vp_fetch_insn(struct vp *vp, struct insn *insn, bool *ok);
int vp_exit_io(struct vp *vp, u16 port, u8 size, bool in, bool string);
/* A nested page fault. `final`: of the access itself and not of a page walk for it. */
int vp_exit_npf(struct vp *vp, u64 gpa, bool write, bool exec, bool user, bool final);
/* Finish what the last exit left open. */
int vp_io_complete(struct vp *vp);
/* The root has changed registers: what was open is void. */
void vp_io_cancel(struct vp *vp);

/* ---- vp_fpu.c ---- */

void vp_fpu_init(void);
u32 vp_fpu_size(void);
u64 vp_fpu_features(void); /* XCR0 bits that children may have */
void vp_fpu_reset(struct vp *vp);
void vp_fpu_load(struct vp *vp);
void vp_fpu_put(struct vp *vp);
/* The live registers into the image and back (emulation of vector moves). */
void vp_fpu_save_live(struct vp *vp);
void vp_fpu_load_live(struct vp *vp);
/* Check an XSAVE image and take it over. -EINVAL. */
int vp_fpu_set(struct vp *vp, const void *image, u32 size);

#endif
