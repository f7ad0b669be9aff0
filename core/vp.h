/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Children: what the hypercalls of abi.h call. Every argument comes from the root and is checked
 * here. Called on the CPU that made the hypercall, with the root's state saved.
 */
#ifndef CORE_VP_H
#define CORE_VP_H

#include "core/cpu.h"

void vm_init(void); /* once, at launch */
s64 vm_create(u64 flags);
s64 vm_destroy(u64 vm);
s64 vm_map(u64 vm, u64 gpa, u64 pa, u64 size, u64 flags);
s64 vm_unmap(u64 vm, u64 gpa, u64 size);
s64 vm_protect(u64 vm, u64 gpa, u64 size);
s64 vm_msi(u64 vm, u64 addr, u64 data, u64 wake_pa, u64 flags);
s64 vm_eoi_bitmap(u64 vm, u64 bitmap_pa);
#ifdef PLINTH_DEBUG
/* A bug in a VM's service, while its lock and that of the memory in use are held. Comes back if there is no such VM. */
void vm_crash(u64 vm);
#endif
u32 vm_count(void);
/*
 * A bug struck this CPU: the VM that it served, if any, is broken. Its VPs run no more (-EIO, as for all that is asked of it
 * but its end), and what it holds stays with it until the core retires, as nobody knows in what state it is.
 */
void vm_recover(struct cpu *c);
void vm_status(struct plinth_status *st);

s64 vp_create(u64 vm, u64 vp, u64 apic_id, u64 shared_pa);
/* PLINTH_HC_VP_RUN: -> enum plinth_exit or negative errno. */
s64 vp_run(struct cpu *c, u64 vm, u64 vp);
s64 vp_get(u64 vm, u64 vp, u64 item, u64 buf_pa, u64 buf_size);
s64 vp_set(u64 vm, u64 vp, u64 item);
s64 vp_nmi(u64 vm, u64 vp);
/* A bug struck this CPU: give it back the root's registers if a VP's are loaded. Before vm_recover(). */
void vp_recover(struct cpu *c);

#endif
