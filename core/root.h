/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The root partition: passed through but for the core's memory, the local APIC's INIT, SIPI and NMI,
 * the virtualization extension and a CPUID leaf (architecture decision 5).
 */
#ifndef CORE_ROOT_H
#define CORE_ROOT_H

#include "core/cpu.h"
#include "core/x86/paging.h"

/* Once, at PLINTH_OP_INIT: nested tables (made by the module) and permission maps. -ENOMEM. */
int root_init(void);
/* Make the CPU's VMCB from what the root captured. */
int root_setup(struct cpu *c, const struct plinth_cpu_state *st);
/*
 * The same for a CPU that starts inside of the core (ap.c): from long mode with the core's addresses into its environment, with
 * the VMCB as after INIT and the SIPI in c->sipi_vector.
 */
void root_setup_ap(struct cpu *c);
/* Run the root on this CPU. Does not return. */
void root_loop(struct cpu *c) __attribute__((noreturn));
/* After a bug of the core on this CPU: abandon what was under way, go on with the root. */
void root_recover(struct cpu *c) __attribute__((noreturn));

/* PLINTH_HC_*. */
void root_hypercall(struct cpu *c);

/* L4, L3: counts of what was contained, nested map. */
struct root {
	struct spinlock lock; /* of npt */
	struct pt npt;
	u64 npt_cr3;
	u64 msrpm_pa;
	u64 contained_reads, contained_writes, last_contained_pa, last_contained_rip;
	u64 inits, sipis;
};
extern struct root root;

int root_donate(u64 pa);
s64 root_reclaim(u64 keep);
/*
 * Take a range of RAM away from the root for a moment: nobody reaches it on return, and who tries waits. -ENOMEM. Then give
 * it back. Called without locks, one at a time.
 */
int root_hold(u64 pa, u64 size);
void root_unhold(u64 pa, u64 size);
/* A nested fault on memory that is not special: map it. -ENOMEM. */
int root_map_more(u64 gpa);

/*
 * The root writes its interrupt command register: true if the core has done what it asks for (INIT, SIPI and
 * NMI to CPUs in the core), false if the write may go to the hardware.
 */
bool root_icr(struct cpu *c, u32 dest, u32 low);
/* An access to the APIC page (xAPIC). */
u32 root_apic_read(struct cpu *c, u32 reg);
void root_apic_write(struct cpu *c, u32 reg, u32 val);

#endif
