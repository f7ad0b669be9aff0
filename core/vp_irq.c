// SPDX-License-Identifier: GPL-2.0-only
/* Interrupt messages between the VPs of a VM, and what their local APICs ask for. */
#include "core/vp_int.h"
#include "core/x86/asm.h"

bool vp_notify(struct vp *vp)
{
	struct cpu *c;
	u32 owner;

	/* What was posted is visible before the owner's state is read; see vp_block() for its half. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* Whoever clears `blocked` has to see to it that the thread is woken. */
	if (__atomic_load_n(&vp->blocked, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(&vp->blocked, 0, __ATOMIC_SEQ_CST))
		return true;
	owner = __atomic_load_n(&vp->owner, __ATOMIC_RELAXED);
	c = owner ? cpu_get(owner - 1) : NULL;
	if (c && c != this_cpu())
		cpu_request(c, CPU_REQ_KICK);
	return false;
}

/* Give one VP a message that it was chosen for. Adds to the masks. */
static void deliver_one(struct vp *vp, const struct lapic_ipi *ipi, u64 *wake, u32 *taken)
{
	u32 fx = lapic_accept(&vp->lapic, ipi), req = 0;

	if (!fx)
		return;
	if (fx & LAPIC_FX_NMI)
		req |= VP_REQ_NMI;
	if (fx & LAPIC_FX_INIT)
		req |= VP_REQ_INIT;
	if (fx & LAPIC_FX_SIPI) {
		__atomic_store_n(&vp->sipi_vector, ipi->vector, __ATOMIC_RELAXED);
		req |= VP_REQ_SIPI;
	}
	if (req)
		__atomic_fetch_or(&vp->requests, req, __ATOMIC_SEQ_CST);
	if (vp_notify(vp))
		*wake |= BIT(vp->index);
	++*taken;
}

static void deliver_lowest(struct vm *vm, const struct lapic_ipi *ipi, struct vp *src, u64 *wake,
			   u32 *taken)
{
	struct lapic *set[PLINTH_MAX_VPS_PER_VM];
	u32 i, n = 0;
	int won;

	for (i = 0; i < PLINTH_MAX_VPS_PER_VM; i++) {
		struct vp *vp = vm_vp(vm, i);

		if (vp && lapic_ipi_matches(&vp->lapic, ipi, src ? &src->lapic : NULL))
			set[n++] = &vp->lapic;
	}
	won = lapic_arbitrate(set, n);
	if (won >= 0)
		deliver_one(container_of(set[won], struct vp, lapic), ipi, wake, taken);
}

u64 vm_deliver(struct vm *vm, const struct lapic_ipi *ipi, struct vp *src, u32 *taken)
{
	u64 wake = 0;
	u32 i;

	*taken = 0;
	if (ipi->lowest) {
		deliver_lowest(vm, ipi, src, &wake, taken);
		return wake;
	}
	for (i = 0; i < PLINTH_MAX_VPS_PER_VM; i++) {
		struct vp *vp = vm_vp(vm, i);

		if (vp && lapic_ipi_matches(&vp->lapic, ipi, src ? &src->lapic : NULL))
			deliver_one(vp, ipi, &wake, taken);
	}
	return wake;
}

void vp_lapic_flags(struct vp *vp, u32 flags)
{
	u32 req = 0;

	if (flags & LAPIC_FX_TIMER)
		vp->timer_changed = true;
	if (flags & (LAPIC_FX_RECHECK | LAPIC_FX_TPR | LAPIC_FX_BASE))
		vp->attention = true;
	if (flags & LAPIC_FX_NMI)
		req |= VP_REQ_NMI;
	if (flags & LAPIC_FX_INIT)
		req |= VP_REQ_INIT;
	if (req)
		__atomic_fetch_or(&vp->requests, req, __ATOMIC_RELAXED);
}

void vp_lapic_fx(struct vp *vp, const struct lapic_fx *fx)
{
	u32 taken;

	vp_lapic_flags(vp, fx->flags);
	if (fx->flags & LAPIC_FX_EOI)
		vp->eoi_vector = fx->eoi_vector;
	if (fx->flags & LAPIC_FX_IPI)
		vp->wake_mask |= vm_deliver(vp->vm, &fx->ipi, vp, &taken);
}

void vp_lapic_eoi(struct vp *vp, int vector)
{
	if (vector >= 0 &&
	    __atomic_load_n(&vp->vm->eoi_bitmap[vector / 64], __ATOMIC_RELAXED) & BIT(vector % 64))
		vp->eoi_vector = vector;
}

void vp_lapic_mmio_write(struct vp *vp, u32 off, u32 len, u32 val)
{
	int serviced = vp->lapic.isrv;
	struct lapic_fx fx;

	lapic_mmio_write(&vp->lapic, off, len, val, rdtsc(), &fx);
	if (off == LAPIC_EOI)
		vp_lapic_eoi(vp, serviced);
	vp_lapic_fx(vp, &fx);
}
