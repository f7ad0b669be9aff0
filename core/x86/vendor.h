/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the children need of the processor's virtualization extension. Implemented once for SVM (svm/svm_child.c)
 * and, later, once for VMX; the linker chooses. All functions are called by the owner of the VP.
 *
 * Between an exit and the next entry vp->gprs, rip and rflags hold the guest's registers; the rest of its
 * state is in the extension's control block and reached through the functions here.
 */
#ifndef CORE_X86_VENDOR_H
#define CORE_X86_VENDOR_H

#include "core/cpu.h"
#include "core/x86/emul.h"
#include "core/x86/gwalk.h"
#include "core/x86/paging.h"

struct vm;
struct vp;

/* Once, before any VP: permission maps. -ENOMEM. */
int vp_vendor_init(void);
/* Control block of a new VP; vp_vendor_reset() comes next. -ENOMEM. */
int vp_vendor_create(struct vp *vp);
void vp_vendor_destroy(struct vp *vp);
/* Registers as after power-on, or after INIT where that differs (APM 2, table 14-1). */
void vp_vendor_reset(struct vp *vp, bool init);
/* Leave the wait for a SIPI: start at vector << 12. */
void vp_vendor_sipi(struct vp *vp, u8 vector);

/* Flags of nested leaves that every mapping has. */
#define VP_VENDOR_PTE (PTE_P | PTE_U | PTE_A | PTE_D)

/* The VP's run on this CPU begins. */
void vp_vendor_load(struct cpu *c, struct vp *vp);
/* It ends. */
void vp_vendor_put(struct cpu *c, struct vp *vp);
/*
 * Enter the guest. false: not entered, since a request for this CPU came up. After true the exit has to be handled.
 */
bool vp_vendor_enter(struct cpu *c, struct vp *vp);
/* Handle the exit: VP_AGAIN or enum plinth_exit. */
int vp_vendor_exit(struct cpu *c, struct vp *vp);

/* Events for the next entry; at most one of the three. */
void vp_vendor_inject_exception(struct vp *vp, u8 vector, bool has_error, u32 error);
void vp_vendor_inject_interrupt(struct vp *vp, u8 vector);
void vp_vendor_inject_nmi(struct vp *vp);
/* Drop what was to be injected: the entry did not happen. */
void vp_vendor_cancel(struct vp *vp);

/* Exits that the next entry shall make when the guest becomes able to take something. */
#define VP_WINDOW_INTR 1u /* RFLAGS.IF set and no interrupt shadow */
#define VP_WINDOW_NMI  2u /* NMIs not blocked */
#define VP_WINDOW_CR8  4u /* CR8 written */
void vp_vendor_window(struct vp *vp, u32 windows);

/* Interrupt shadow of STI and MOV SS. */
bool vp_vendor_shadow(const struct vp *vp);
void vp_vendor_set_shadow(struct vp *vp, bool shadow);

/* Fill in what the emulator and the page walker need to know of the guest. */
void vp_vendor_emul(struct vp *vp, struct emul *e);
void vp_vendor_gwalk(struct vp *vp, struct gwalk *w);

u8 vp_vendor_cpl(const struct vp *vp);
u64 vp_vendor_cr0(const struct vp *vp);
u64 vp_vendor_cr3(const struct vp *vp);
u64 vp_vendor_cr4(const struct vp *vp);
u64 vp_vendor_efer(const struct vp *vp); /* as the guest sees it */
u64 vp_vendor_cs_base(const struct vp *vp);
enum insn_mode vp_vendor_mode(const struct vp *vp); /* of the code segment */
/* Checked values only. Setting CR4 or EFER flushes the guest's TLB entries. */
void vp_vendor_set_cr2(struct vp *vp, u64 val);
void vp_vendor_set_cr4(struct vp *vp, u64 val);
void vp_vendor_set_efer(struct vp *vp, u64 val);
void vp_vendor_get_debug(const struct vp *vp, u64 *dr6, u64 *dr7);
void vp_vendor_set_debug(struct vp *vp, u64 dr6, u64 dr7);
void vp_vendor_set_tsc_offset(struct vp *vp, u64 offset);
/* All but apic_base, cr8 and interrupt_bitmap. The values to be set are checked by the caller. */
void vp_vendor_get_sregs(const struct vp *vp, struct plinth_vp_sregs *s);
void vp_vendor_set_sregs(struct vp *vp, const struct plinth_vp_sregs *s);
/* MSRs that live in the control block. -ENOENT: not one of them. */
int vp_vendor_get_msr(const struct vp *vp, u32 msr, u64 *val);
int vp_vendor_set_msr(struct vp *vp, u32 msr, u64 val);
/* CPUID has been set: intercepts that depend on it. */
void vp_vendor_cpuid_changed(struct vp *vp);
/* struct plinth_vp_debug of KVM_SET_GUEST_DEBUG has changed. */
void vp_vendor_debug_changed(struct vp *vp);

#endif
