// SPDX-License-Identifier: GPL-2.0-only
/*
 * PLINTH_HC_VP_RUN: this physical CPU is the child's until something needs the root.
 *
 * Every way back to the root leaves the VP at an instruction boundary, or with vp->io saying what its
 * current instruction waits for; so the root may read and write its state in between, and go on
 * on another CPU.
 */
#include "core/string.h"
#include "core/vp.h"
#include "core/vp_int.h"
#include "core/x86/asm.h"

#define MSR_TSC_AUX 0xc0000103u

/* Requests of a CPU that are the root's to see. */
#define ROOT_REQUESTS (CPU_REQ_INIT | CPU_REQ_SIPI | CPU_REQ_NMI)

static void vp_load(struct cpu *c, struct vp *vp)
{
	vp_fpu_load(vp);
	if (vp_msr_host.tsc_aux) {
		vp->root_tsc_aux = rdmsr(MSR_TSC_AUX);
		if (vp->root_tsc_aux != vp->msrs.tsc_aux)
			wrmsr(MSR_TSC_AUX, vp->msrs.tsc_aux);
	}
	vp->loaded = true;
	vp_vendor_load(c, vp);
	c->vp = vp;
}

static void vp_put(struct cpu *c, struct vp *vp)
{
	c->vp = NULL;
	vp_vendor_put(c, vp);
	vp->loaded = false;
	if (vp_msr_host.tsc_aux && vp->root_tsc_aux != vp->msrs.tsc_aux)
		wrmsr(MSR_TSC_AUX, vp->root_tsc_aux);
	vp_fpu_put(vp);
}

/* Take the root's wishes for this run, each field read once. */
static void vp_take_input(struct vp *vp)
{
	const volatile struct plinth_vp_shared_run *run = &vp->shared->run;
	bool want_window = run->request_irq_window;

	vp->armed_deadline = run->armed_deadline;
	vp->immediate_exit = run->immediate_exit;
	if (want_window != vp->want_window) {
		vp->want_window = want_window;
		vp->attention = true;
	}
	if (run->inject_extint) {
		vp->ext_vector = run->extint_vector;
		vp->attention = true;
	}
	vp->timer_changed = lapic_timer_deadline(&vp->lapic) != LAPIC_NO_DEADLINE;
}

static void vp_give_output(struct vp *vp, int exit)
{
	struct plinth_vp_shared_run *run = &vp->shared->run;
	u64 deadline;

	/*
	 * A periodic timer that has expired meanwhile gets its next deadline, which the root can then
	 * arm without another round. A VP that sleeps keeps the old one: it has to wake up for it.
	 */
	if (exit != PLINTH_EXIT_HLT && exit != PLINTH_EXIT_NOT_RUNNABLE)
		vp_lapic_flags(vp, lapic_timer_poll(&vp->lapic, rdtsc()));
	deadline = lapic_timer_deadline(&vp->lapic);
	run->timer_deadline = deadline == LAPIC_NO_DEADLINE ? 0 : deadline;
	run->cr8 = lapic_get_cr8(&vp->lapic);
	run->apic_base = lapic_base(&vp->lapic);
	run->if_flag = vp->rflags >> 9 & 1;
	run->accepts_extint = lapic_accepts_extint(&vp->lapic);
	run->extint_waits = vp->ext_vector >= 0;
	run->ready_for_extint = run->accepts_extint && vp->ext_vector < 0 && vp_interruptible(vp);
	run->rip = vp->rip;
}

/* INIT, SIPI and NMI that others have posted. */
static void vp_take_requests(struct vp *vp)
{
	u32 req = __atomic_exchange_n(&vp->requests, 0, __ATOMIC_SEQ_CST);

	if (req & VP_REQ_INIT) {
		vp_reset(vp, true);
		vp->activity = vp->lapic.bsp ? VP_RUNNABLE : VP_INIT_RECEIVED;
	}
	/* A SIPI to a VP that does not wait for one is lost (APM 2, 16.5). */
	if ((req & VP_REQ_SIPI) && vp->activity == VP_INIT_RECEIVED) {
		vp_vendor_sipi(vp, __atomic_load_n(&vp->sipi_vector, __ATOMIC_RELAXED));
		vp->activity = VP_RUNNABLE;
	}
	if (req & VP_REQ_NMI) {
		vp->nmi_pending = true;
		vp->attention = true;
	}
}

/* Is there a reason not to sleep that others can give at any time? */
static bool vp_posted(struct vp *vp)
{
	return __atomic_load_n(&vp->requests, __ATOMIC_SEQ_CST) ||
	       (vp->activity == VP_HALTED && vp_has_event(vp));
}

/*
 * Sleep in the root unless something has come. First say so, then look again: who posts does it the other way
 * round (vp_notify()), so one of the two sees the other.
 */
static int vp_block(struct vp *vp, int exit)
{
	__atomic_store_n(&vp->blocked, 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vp_posted(vp))
		return exit;
	__atomic_store_n(&vp->blocked, 0, __ATOMIC_SEQ_CST);
	return VP_AGAIN;
}

/* The VP does not execute instructions: VP_AGAIN if that has changed. */
static int vp_idle(struct vp *vp)
{
	switch (vp->activity) {
	case VP_UNINITIALIZED:
	case VP_INIT_RECEIVED:
		return vp_block(vp, PLINTH_EXIT_NOT_RUNNABLE);
	case VP_HALTED:
		if (!vp_has_event(vp))
			return vp_block(vp, PLINTH_EXIT_HLT);
		break;
	}
	vp->activity = VP_RUNNABLE;
	return VP_AGAIN;
}

/* Does the root have to start a timer for the local APIC's? */
static bool vp_timer_late(struct vp *vp, u64 now)
{
	u64 deadline = lapic_timer_deadline(&vp->lapic), armed = vp->armed_deadline;

	if (deadline == LAPIC_NO_DEADLINE || armed == ~0ull)
		return false;
	return !armed || deadline < armed || armed <= now;
}

static int vp_clock_exit(struct vp *vp)
{
	struct plinth_vp_shared_run *run = &vp->shared->run;

	run->clock.system_time = vp->msrs.system_time;
	run->clock.wall_clock = vp->msrs.wall_clock;
	run->clock.tsc_offset = vp->tsc_offset;
	run->clock.what = vp->clock_due;
	vp->clock_due = 0;
	return PLINTH_EXIT_CLOCK;
}

/* What the root has to be told before the guest goes on. */
static int vp_due(struct vp *vp, u64 now)
{
	if (vp->triple_fault) {
		vp->triple_fault = false;
		return PLINTH_EXIT_SHUTDOWN;
	}
	if (vp->debug_due) {
		vp->debug_due = false;
		return vp_debug_exit(vp, 1);
	}
	if (vp->wake_mask) {
		vp->shared->run.wake_mask = vp->wake_mask;
		vp->wake_mask = 0;
		return PLINTH_EXIT_WAKE;
	}
	if (vp->clock_due)
		return vp_clock_exit(vp);
	if (vp->eoi_vector >= 0) {
		vp->shared->run.eoi_vector = vp->eoi_vector;
		vp->eoi_vector = -1;
		return PLINTH_EXIT_IOAPIC_EOI;
	}
	if (vp->want_window && vp->ext_vector < 0 && lapic_accepts_extint(&vp->lapic) &&
	    vp_interruptible(vp))
		return PLINTH_EXIT_IRQ_WINDOW;
	if (vp->activity != VP_RUNNABLE)
		return VP_AGAIN;
	if (vp->timer_changed) {
		vp->timer_changed = false;
		if (vp_timer_late(vp, now))
			return PLINTH_EXIT_TIMER;
	}
	return VP_AGAIN;
}

/* Has anything come up that vp_due() or vp_inject() has to look at? The quick way for most exits. */
static bool vp_quiet(struct vp *vp)
{
	const u64 *irr = vp->lapic.irr;

	return !vp->attention && !vp->timer_changed && !vp->wake_mask && vp->eoi_vector < 0 &&
	       vp->activity == VP_RUNNABLE &&
	       !(__atomic_load_n(&irr[0], __ATOMIC_RELAXED) |
		 __atomic_load_n(&irr[1], __ATOMIC_RELAXED) |
		 __atomic_load_n(&irr[2], __ATOMIC_RELAXED) |
		 __atomic_load_n(&irr[3], __ATOMIC_RELAXED));
}

/* Before each entry: VP_AGAIN, or back to the root, with -EIO if the VM is broken. */
static int vp_prepare(struct cpu *c, struct vp *vp)
{
	u64 now = rdtsc();
	u32 fx;
	int ret;

	/* Before looking at what the kick was for: a later one is seen by vp_vendor_enter(). */
	if (unlikely(__atomic_load_n(&c->requests, __ATOMIC_RELAXED) & CPU_REQ_KICK)) {
		__atomic_fetch_and(&c->requests, ~CPU_REQ_KICK, __ATOMIC_SEQ_CST);
		if (vm_broken(vp->vm))
			return -EIO;
	}
	if (unlikely(__atomic_load_n(&vp->requests, __ATOMIC_RELAXED)))
		vp_take_requests(vp);
	fx = lapic_timer_poll(&vp->lapic, now);
	if (unlikely(fx))
		vp_lapic_flags(vp, fx);
	while (unlikely(!vp_quiet(vp))) {
		ret = vp_due(vp, now);
		if (ret != VP_AGAIN)
			return ret;
		if (vp->activity == VP_RUNNABLE) {
			vp_inject(vp);
			break;
		}
		ret = vp_idle(vp);
		if (ret != VP_AGAIN)
			return ret;
		if (vp->activity != VP_RUNNABLE)
			vp_take_requests(vp);
	}
	return VP_AGAIN;
}

static bool root_wants_cpu(struct cpu *c)
{
	return (__atomic_load_n(&c->requests, __ATOMIC_RELAXED) & ROOT_REQUESTS) ||
	       c->root_nmi_pending;
}

static int vp_loop(struct cpu *c, struct vp *vp)
{
	int ret = vp_io_complete(vp);

	if (ret != VP_AGAIN)
		return ret;
	if (vp->immediate_exit)
		return PLINTH_EXIT_INTR;
	for (;;) {
		ret = vp_prepare(c, vp);
		if (ret != VP_AGAIN)
			return ret;
		if (unlikely(!vp_vendor_enter(c, vp))) {
			vp_vendor_cancel(vp);
			if (root_wants_cpu(c))
				return PLINTH_EXIT_INTR;
			vp->attention = true;
			continue;
		}
		vp->stats.exits++;
		ret = vp_vendor_exit(c, vp);
		if (ret != VP_AGAIN)
			return ret;
	}
}

void vp_recover(struct cpu *c)
{
	struct vp *vp = c->vp;

	c->vp = NULL;
	if (vp)
		vp_put(c, vp);
}

s64 vp_run(struct cpu *c, u64 vm, u64 index)
{
	struct vp *vp;
	s64 ret;

	vp = vp_acquire(vm, index, &ret);
	if (!vp)
		return ret;
	__atomic_store_n(&vp->blocked, 0, __ATOMIC_SEQ_CST);
	vp_take_input(vp);
	vp_load(c, vp);
	ret = vp_loop(c, vp);
	vp_put(c, vp);
	if (ret >= 0) {
		vp_give_output(vp, ret);
		vp->stats.root_exits[ret]++;
	}
	vp_release(vp);
	return ret;
}
