/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The KVM uAPI on /dev/plinth: what its parts share. Virtual machines are "pvm", virtual processors
 * "pvcpu"; the semantics are those of Documentation/virt/kvm/api.rst for a machine with a split
 * interrupt controller.
 *
 * Locks, in the order in which they nest:
 *	pvcpu.mutex	one ioctl of a processor at a time
 *	pvm.lock	creation of processors, choice of the interrupt controller
 *	pvm.slots_lock	changes of memory slots, dirty logs, the list of ioeventfds
 *	pvm.irq_lock	changes of the interrupt routes
 *	pvm.mmu_lock	spinlock: the slots, what is being invalidated, and every mapping made
 *	pvm.irqfd_lock	spinlock, interrupts off: the list of irqfds
 * Hypercalls don't sleep and are allowed under all of them.
 */
#ifndef PLINTH_ROOT_KVM_H
#define PLINTH_ROOT_KVM_H

#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/rcuwait.h>
#include <linux/refcount.h>
#include <linux/signal_types.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>

#include <plinth/abi.h>

#include "plinth.h"
#include "hypercall.h"

#define PVM_MAX_SLOTS	512  /* KVM_CAP_NR_MEMSLOTS */
#define PVM_MAX_VCPU_ID 255  /* local APIC ids 0..254; 255 is the broadcast */
#define PVM_MAX_ROUTES	4096 /* KVM_CAP_IRQ_ROUTING */
#define PVM_MAX_CPUID	256  /* entries of KVM_SET_CPUID2 */
#define PVM_MAX_IOEV	1000

/* What KVM_GET_CLOCK and KVM_SET_CLOCK know: KVM_CAP_ADJUST_CLOCK. */
#define PCLOCK_FLAGS (KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

/* Pages of a processor's mmap: struct kvm_run, then the data of port I/O. */
#define PVCPU_RUN_PAGE	 0
#define PVCPU_PIO_PAGE	 1
#define PVCPU_MMAP_PAGES 2

/* A memory slot. Fields change under mmu_lock and slots_lock; either is enough to read them. */
struct pvm_slot {
	u64 gfn;	      /* first page of the child */
	u64 npages;	      /* > 0 */
	unsigned long hva;    /* first byte in the worker */
	u32 flags;	      /* KVM_MEM_* */
	u32 id;		      /* the user's number */
	unsigned long *dirty; /* one bit a page with KVM_MEM_LOG_DIRTY_PAGES, else NULL */
};

struct pirq_table;
struct pvcpu;

struct pvm {
	refcount_t refs; /* one for the VM's file, one for each processor's */
	u32 id;		 /* the core's */
	struct mm_struct *mm;
	struct pid *owner;     /* the process that made it */
	struct list_head list; /* of all VMs: kvm_vm.c */

	struct mutex lock;
	/* By the core's index; an entry is set once and stays until the VM goes. */
	struct pvcpu *vcpus[PLINTH_MAX_VPS_PER_VM];
	u32 created_vcpus;
	u32 next_index;	    /* of the next processor that isn't the bootstrap processor */
	u32 bsp_id;	    /* KVM_SET_BOOT_CPU_ID */
	bool split_irqchip; /* KVM_CAP_SPLIT_IRQCHIP: fixed before the first processor */
	bool x2apic_format; /* KVM_X2APIC_API_USE_32BIT_IDS */
	bool no_broadcast8; /* KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK */
	u32 ioapic_pins;    /* routes below this belong to the user's I/O APIC */

	/* kvm_clock.c */
	spinlock_t clock_lock; /* protects what follows */
	s64 clock_offset; /* KVM_SET_CLOCK: ns that the child's clock is ahead of CLOCK_MONOTONIC_RAW */
	bool clock_based; /* with a stable TSC: the clock was clock_ns when the TSC was clock_tsc */
	u64 clock_tsc, clock_ns;
	u32 clock_generation; /* counts KVM_SET_CLOCK */

	/* kvm_mem.c */
	struct mutex slots_lock;
	spinlock_t mmu_lock;
	struct pvm_slot *slots[PVM_MAX_SLOTS]; /* sorted by gfn */
	u32 nr_slots;
	u64 mmu_seq;			  /* counts slot changes and ended invalidations */
	u32 inv_count;			  /* invalidations under way ... */
	unsigned long inv_start, inv_end; /* ... and the range that holds them all */
	u32 mmio_marks;			  /* holes marked since they were last forgotten */
	struct mmu_notifier mn;

	/* kvm_irq.c and kvm_ioev.c; srcu protects readers of routes and ioeventfds */
	struct srcu_struct srcu;
	struct mutex irq_lock;
	struct pirq_table __rcu *routes;
	unsigned long *eoi_vectors; /* 256 bits: KVM_EXIT_IOAPIC_EOI wanted */
	spinlock_t irqfd_lock;
	struct list_head irqfds;
	struct list_head ioevs;
	u32 nr_ioevs;
};

struct pvcpu {
	struct pvm *vm;
	u32 index; /* the core's, and in wake masks */
	u32 id;	   /* the user's: initial local APIC id */
	struct mutex mutex;
	struct kvm_run *run;
	u8 *pio;
	struct plinth_vp_shared *shared;

	/* Sleeping in HLT or for SIPI. `wake` is set by whoever has something for the processor. */
	struct rcuwait wait;
	int wake;
	int cpu; /* that runs it, or -1: where a kick has to go */
	struct hrtimer timer;
	u64 armed; /* host TSC that `timer` was started for, valid while it is queued */

	bool io_pending; /* the core holds an access that waits for its data */
	bool io_in;	 /* ... a port read of io_bytes */
	bool mmio_in;	 /* ... an MMIO read of io_bytes */
	u32 io_bytes;
	bool extint_pending; /* KVM_INTERRUPT, not yet given to the core */
	u8 extint_vector;

	/* kvm_clock.c: the processor's clock, as the core has told and as it was written last. */
	u64 system_time, tsc_offset;
	u32 clock_version, clock_generation;
	int clock_cpu;
	bool clock_stopped; /* KVM_KVMCLOCK_CTRL */

	bool has_run;	  /* CPUID is fixed from then on */
	bool sigmask_set; /* KVM_SET_SIGNAL_MASK */
	sigset_t sigmask;
	u64 user_apic_base; /* without an APIC in the core: what the user set */

	u32 nr_cpuid;
	struct kvm_cpuid_entry2 *cpuid;
};

/* kvm_vm.c */
int pvm_create_fd(void);
void pvm_get(struct pvm *vm);
void pvm_put(struct pvm *vm);
/* Wake the processors of a mask that the core returned. Any context. */
void pvm_wake(struct pvm *vm, u64 mask);
long pvm_check_extension(struct pvm *vm, unsigned long cap);

/* kvm_vcpu.c */
int pvcpu_create_fd(struct pvm *vm, unsigned long id);
void pvcpu_free(struct pvcpu *v);

/* kvm_run.c */
int prun_init(void);
void prun_exit(void);
/* KVM_RUN; v->mutex held. */
int prun(struct pvcpu *v);
void prun_vcpu_init(struct pvcpu *v);
/* Something happened for a processor whose thread may sleep. Any context. */
void prun_wake(struct pvcpu *v);

/* kvm_state.c: the ioctls of a processor that read or set its state; v->mutex held. -ENOTTY: none of these. */
long pstate_ioctl(struct pvcpu *v, unsigned int cmd, void __user *argp);
/* After VP_CREATE: the state in which a VM without an APIC in the core starts. */
int pstate_without_apic(struct pvcpu *v);
/* Read or write an item of enum plinth_item: v->shared->data holds it afterwards or before. */
s64 pstate_get(struct pvcpu *v, u32 item);
s64 pstate_set(struct pvcpu *v, u32 item);
/* The core's answers that belong to no VP. -> number of entries, -ENXIO, -ENOMEM. */
int pstate_supported_cpuid(struct kvm_cpuid_entry2 **entries); /* free with pstate_free() */
int pstate_msr_list(u32 item, u32 **list);		       /* likewise */
void pstate_free(void *list);
/* Bytes of the largest XSAVE image, at least those of struct kvm_xsave. */
int pstate_xsave_size(void);

/* kvm_mem.c */
int pmem_init(struct pvm *vm);
/* No notifier comes any more. */
void pmem_quiesce(struct pvm *vm);
void pmem_free(struct pvm *vm);
int pmem_set_region(struct pvm *vm, const struct kvm_userspace_memory_region *mem);
int pmem_get_dirty_log(struct pvm *vm, const struct kvm_dirty_log *log);
int pmem_clear_dirty_log(struct pvm *vm, const struct kvm_clear_dirty_log *log);
/* Write to the child's memory, from a thread of its worker. -EFAULT: not all of it is memory. May sleep. */
int pmem_write(struct pvm *vm, u64 gpa, const void *buf, size_t len);
/* PLINTH_EXIT_MEM_FAULT: 0 to run again, or negative errno. May sleep. */
int pmem_fault(struct pvm *vm, u64 gpa, bool write);

/* kvm_clock.c: KVM's paravirtual clock (Documentation/virt/kvm/x86/msr.rst) */
void pclock_init(struct pvm *vm);
int pclock_get(struct pvm *vm, struct kvm_clock_data __user *argp);
int pclock_set(struct pvm *vm, const struct kvm_clock_data *data);
/* PLINTH_EXIT_CLOCK. */
void pclock_exit(struct pvcpu *v);
/* Has the processor's clock to be written anew? Preemption off. */
bool pclock_stale(const struct pvcpu *v);
/* Write it. In the processor's thread; may sleep. */
void pclock_update(struct pvcpu *v);
/* KVM_KVMCLOCK_CTRL: let the child know that it was stopped. -EINVAL: it has no clock. */
int pclock_stopped(struct pvcpu *v);

/* kvm_irq.c */
int pirq_module_init(void);
void pirq_module_exit(void);
int pirq_init(struct pvm *vm);
void pirq_release(struct pvm *vm); /* the VM's file is closed */
void pirq_free(struct pvm *vm);
int pirq_enable_split(struct pvm *vm, u64 pins); /* vm->lock held */
int pirq_set_routing(struct pvm *vm, struct kvm_irq_routing __user *argp);
int pirq_signal_msi(struct pvm *vm, const struct kvm_msi *msi);
int pirq_line(struct pvm *vm, const struct kvm_irq_level *line);
int pirq_irqfd(struct pvm *vm, const struct kvm_irqfd *args);

/* kvm_ioev.c */
void pioev_free(struct pvm *vm);
int pioev_ioctl(struct pvm *vm, const struct kvm_ioeventfd *args);
/* Signal what is registered for a write. false: nobody wants it, it goes to the user. */
bool pioev_write(struct pvm *vm, bool pio, u64 addr, u32 size, const void *data);

#endif
