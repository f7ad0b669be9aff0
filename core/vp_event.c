// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions, NMIs and interrupts of a child: what is under way, what is pending, what goes first. The
 * model is that of struct kvm_vcpu_events, as that is how the root sees it: "injected" is an event whose
 * delivery was begun and has to be begun again, "pending" one that has not been begun.
 */
#include "core/vp_int.h"

#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_DF 8
#define VECTOR_PF 14
#define VECTOR_MC 18

#define RFLAGS_IF BIT(9)
#define RFLAGS_RF BIT(16)

/* APM 2, table 8-? "double fault": #DE, #TS, #NP, #SS, #GP. */
static bool exc_contributory(u8 vector)
{
	return vector == 0 || (vector >= 10 && vector <= 13);
}

void vp_exception(struct vp *vp, u8 vector, bool has_error, u32 error)
{
	u8 before = vp->exc.vector;

	vp->attention = true;
	if (vp->exc.pending || vp->exc.injected) {
		if (before == VECTOR_DF &&
		    (exc_contributory(vector) || vector == VECTOR_PF || vector == VECTOR_DF)) {
			vp->triple_fault = true;
			vp->exc.pending = vp->exc.injected = false;
			return;
		}
		if ((exc_contributory(before) && exc_contributory(vector)) ||
		    (before == VECTOR_PF && (exc_contributory(vector) || vector == VECTOR_PF))) {
			vector = VECTOR_DF;
			has_error = true;
			error = 0;
		}
		/* Else the first one is dropped: the instruction raises it again (APM 2, 8.2.9). */
	}
	vp->exc.pending = true;
	vp->exc.injected = false;
	vp->exc.vector = vector;
	/* Real mode pushes no error codes. */
	vp->exc.has_error = has_error && (vp_vendor_cr0(vp) & 1);
	vp->exc.error = vp->exc.has_error ? error : 0;
}

void vp_page_fault(struct vp *vp, u64 cr2, u32 error)
{
	vp_vendor_set_cr2(vp, cr2);
	vp_exception(vp, VECTOR_PF, true, error);
}

static bool event_under_way(const struct vp *vp)
{
	return vp->exc.injected || vp->intr.injected || vp->nmi_injected;
}

bool vp_interruptible(struct vp *vp)
{
	return (vp->rflags & RFLAGS_IF) && !vp_vendor_shadow(vp) && !vp->exc.pending &&
	       !event_under_way(vp);
}

/* Is there an external interrupt for the VP, from the root's PIC or from the local APIC? */
static bool event_extint(const struct vp *vp)
{
	return vp->ext_vector >= 0 && lapic_accepts_extint(&vp->lapic);
}

bool vp_has_event(struct vp *vp)
{
	if (vp->exc.pending || event_under_way(vp) || (vp->nmi_pending && !vp->nmi_masked))
		return true;
	if (!(vp->rflags & RFLAGS_IF))
		return false;
	return event_extint(vp) || lapic_pending(&vp->lapic) >= 0;
}

static void inject_exception(struct vp *vp)
{
	vp_vendor_inject_exception(vp, vp->exc.vector, vp->exc.has_error, vp->exc.error);
}

/* Begin again what an exit interrupted. */
static bool inject_again(struct vp *vp)
{
	if (vp->exc.injected)
		inject_exception(vp);
	else if (vp->exc.pending)
		return false; /* goes first; the other stays and is begun again after it */
	else if (vp->nmi_injected)
		vp_vendor_inject_nmi(vp);
	else if (vp->intr.injected)
		vp_vendor_inject_interrupt(vp, vp->intr.vector);
	else
		return false;
	return true;
}

static void inject_pending_exception(struct vp *vp)
{
	/* Faults restart their instruction, without its breakpoint (APM 2, 3.1.6). */
	if (vp->exc.vector != VECTOR_DB && vp->exc.vector != VECTOR_BP &&
	    vp->exc.vector != VECTOR_OF && vp->exc.vector != VECTOR_DF &&
	    vp->exc.vector != VECTOR_MC)
		vp->rflags |= RFLAGS_RF;
	vp->exc.pending = false;
	vp->exc.injected = true;
	inject_exception(vp);
}

static void inject_nmi(struct vp *vp)
{
	vp->nmi_pending = false;
	vp->nmi_injected = true;
	vp->nmi_masked = true;
	vp_vendor_inject_nmi(vp);
}

static void inject_interrupt(struct vp *vp)
{
	if (event_extint(vp)) {
		vp->intr.vector = vp->ext_vector;
		vp->ext_vector = -1;
	} else {
		vp->intr.vector = lapic_ack(&vp->lapic);
	}
	vp->intr.injected = true;
	vp_vendor_inject_interrupt(vp, vp->intr.vector);
}

void vp_inject(struct vp *vp)
{
	bool busy = inject_again(vp), shadow = vp_vendor_shadow(vp);
	u32 windows = 0;
	int irr;

	if (vp->exc.pending) {
		inject_pending_exception(vp);
		busy = true;
	}
	if (vp->nmi_pending && !busy && !shadow && !vp->nmi_masked) {
		inject_nmi(vp);
		busy = true;
	}
	if (vp->nmi_pending)
		windows |= VP_WINDOW_NMI;
	if (event_extint(vp) || lapic_pending(&vp->lapic) >= 0) {
		if (!busy && !shadow && (vp->rflags & RFLAGS_IF)) {
			inject_interrupt(vp);
			busy = true;
		}
		if (event_extint(vp) || lapic_pending(&vp->lapic) >= 0)
			windows |= VP_WINDOW_INTR;
	}
	if (vp->want_window && vp->ext_vector < 0 && lapic_accepts_extint(&vp->lapic))
		windows |= VP_WINDOW_INTR;
	/* An interrupt that only CR8 holds back: see it written. */
	irr = lapic_highest_irr(&vp->lapic);
	if (irr >= 0 && (u64)irr >> 4 <= lapic_get_cr8(&vp->lapic))
		windows |= VP_WINDOW_CR8;
	vp_vendor_window(vp, windows);
	vp->attention = busy || windows;
}
