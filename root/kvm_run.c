// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_RUN. The worker's thread is the processor (architecture, decision 2): it enters the core with a
 * hypercall, comes back when something needs the root, does what the kernel can do and enters again, or
 * leaves for the user. An interrupt of the root that ends the hypercall is still pending and is taken as soon as
 * interrupts are on; a halted processor sleeps until its timer, a signal or somebody's prun_wake().
 */
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h> /* guest_state_enter_irqoff() and its family; struct kvm_vcpu for entry-kvm.h */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/msr.h>

#include "kvm.h"

/*
 * xfer_to_guest_mode_handle_work() notes a signal in a struct kvm_vcpu. It gets this one, of which
 * nothing is ever read: prun() tells the user by itself.
 */
static struct kvm_vcpu *signal_note;

int prun_init(void)
{
	signal_note = kvzalloc(sizeof(*signal_note), GFP_KERNEL);
	if (!signal_note)
		return -ENOMEM;
	signal_note->run = kzalloc(sizeof(*signal_note->run), GFP_KERNEL);
	if (!signal_note->run) {
		kvfree(signal_note);
		return -ENOMEM;
	}
	return 0;
}

void prun_exit(void)
{
	kfree(signal_note->run);
	kvfree(signal_note);
}

/* ---- waking ---- */

void prun_wake(struct pvcpu *v)
{
	/* rcuwait_wake_up() begins with a full barrier. */
	WRITE_ONCE(v->wake, 1);
	rcuwait_wake_up(&v->wait);
}

/*
 * The local APIC's timer is due. If the processor runs on this CPU the interrupt has stopped it already; if it has
 * moved to another, that has to be told. Pairs with the barrier in enter(): either this sees the CPU, or enter()
 * sees that the timer isn't queued any more.
 */
static enum hrtimer_restart timer_fires(struct hrtimer *timer)
{
	struct pvcpu *v = container_of(timer, struct pvcpu, timer);
	int cpu;

	prun_wake(v);
	smp_mb();
	cpu = READ_ONCE(v->cpu);
	if (cpu >= 0 && cpu != smp_processor_id() && cpu_online(cpu))
		smp_send_reschedule(cpu);
	return HRTIMER_NORESTART;
}

static void timer_start(struct pvcpu *v, u64 deadline)
{
	u64 now = rdtsc(), ns = 0;

	/* Below 2^40 ticks the product fits; a later deadline wakes too early and is armed again. */
	if (deadline > now)
		ns = mul_u64_u32_div(min(deadline - now, 1ull << 40), 1000000, plinth_tsc_khz());
	v->armed = deadline;
	hrtimer_start(&v->timer, ktime_add_ns(ktime_get(), ns), HRTIMER_MODE_ABS_PINNED_HARD);
}

/* The core wants to run at timer_deadline. A timer that fires too early does no harm. */
static void timer_update(struct pvcpu *v)
{
	u64 deadline = READ_ONCE(v->shared->run.timer_deadline);

	if (deadline && (!hrtimer_is_queued(&v->timer) || deadline < v->armed))
		timer_start(v, deadline);
}

/* The same before sleeping, where an early timer would cost a wake-up. */
static void timer_update_exact(struct pvcpu *v)
{
	u64 deadline = READ_ONCE(v->shared->run.timer_deadline);

	if (!deadline)
		hrtimer_cancel(&v->timer);
	else if (!hrtimer_is_queued(&v->timer) || deadline != v->armed)
		timer_start(v, deadline);
}

void prun_vcpu_init(struct pvcpu *v)
{
	rcuwait_init(&v->wait);
	v->cpu = -1;
	hrtimer_init(&v->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	v->timer.function = timer_fires;
}

/* ---- entry ---- */

static noinstr s64 enter_core(struct pvcpu *v, u32 vm, u32 index)
{
	s64 r;

	guest_state_enter_irqoff();
	r = plinth_hypercall(PLINTH_HC_VP_RUN, vm, index, 0, 0, 0);
	guest_state_exit_irqoff();
	return r;
}

/* What the core finds in the shared page. Interrupts off. */
static void prepare(struct pvcpu *v, bool leave)
{
	struct plinth_vp_shared_run *s = &v->shared->run;

	s->armed_deadline = hrtimer_is_queued(&v->timer) ? v->armed : 0;
	s->request_irq_window = !!READ_ONCE(v->run->request_interrupt_window);
	s->immediate_exit = leave;
	s->inject_extint = v->extint_pending;
	s->extint_vector = v->extint_vector;
}

/*
 * -> enum plinth_exit, or -EAGAIN: the kernel has other work for this thread first. An access that the user has
 * completed is finished by the core in any case, as KVM does it.
 */
static s64 enter(struct pvcpu *v, bool leave)
{
	bool work;
	s64 r;

	preempt_disable();
	local_irq_disable();
	WRITE_ONCE(v->wake, 0);
	WRITE_ONCE(v->cpu, smp_processor_id());
	smp_mb();
	work = xfer_to_guest_mode_work_pending();
	if ((work && !v->io_pending) || pclock_stale(v)) {
		WRITE_ONCE(v->cpu, -1);
		local_irq_enable();
		preempt_enable();
		return -EAGAIN;
	}
	prepare(v, leave || work);
	guest_timing_enter_irqoff();
	r = enter_core(v, v->vm->id, v->index);
	WRITE_ONCE(v->cpu, -1);
	v->io_pending = false;
	v->extint_pending = false;

	/* Take the interrupt that ended the run, so that its tick still counts as the child's time. */
	local_irq_enable();
	asm volatile("nop" ::: "memory"); /* past the shadow of STI */
	local_irq_disable();
	guest_timing_exit_irqoff();
	local_irq_enable();
	preempt_enable();
	return r;
}

/* ---- exits; 1: run on, 0: to the user, negative: to the user with an errno ---- */

static int leave_interrupted(struct pvcpu *v)
{
	v->run->exit_reason = KVM_EXIT_INTR;
	return -EINTR;
}

/* A port write that ioeventfds take wholly. */
static bool io_to_eventfd(struct pvcpu *v)
{
	struct plinth_vp_shared_run *s = &v->shared->run;
	u32 i;

	if (s->io.in || !pioev_write(v->vm, true, s->io.port, s->io.size, s->io.data))
		return false;
	/* As in KVM the first item of a string decides who gets it. */
	for (i = 1; i < s->io.count; i++)
		pioev_write(v->vm, true, s->io.port, s->io.size, s->io.data + i * s->io.size);
	return true;
}

static int exit_io(struct pvcpu *v)
{
	struct plinth_vp_shared_run *s = &v->shared->run;
	struct kvm_run *run = v->run;
	u32 bytes = min_t(u32, s->io.size * s->io.count, sizeof(s->io.data));

	v->io_pending = true;
	v->io_in = s->io.in;
	v->mmio_in = false;
	v->io_bytes = bytes;
	if (io_to_eventfd(v))
		return 1;
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = s->io.in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = s->io.size;
	run->io.port = s->io.port;
	run->io.count = s->io.count;
	run->io.data_offset = PVCPU_PIO_PAGE * PAGE_SIZE;
	if (!s->io.in)
		memcpy(v->pio, s->io.data, bytes);
	return 0;
}

static int exit_mmio(struct pvcpu *v)
{
	struct plinth_vp_shared_run *s = &v->shared->run;
	struct kvm_run *run = v->run;
	u32 bytes = min_t(u32, s->mmio.size, sizeof(s->mmio.data));

	v->io_pending = true;
	v->io_in = false;
	v->mmio_in = !s->mmio.write;
	v->io_bytes = bytes;
	if (s->mmio.write && pioev_write(v->vm, false, s->mmio.gpa, bytes, s->mmio.data))
		return 1;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = s->mmio.gpa;
	run->mmio.len = bytes;
	run->mmio.is_write = s->mmio.write;
	if (s->mmio.write)
		memcpy(run->mmio.data, s->mmio.data, bytes);
	return 0;
}

/* The user has answered a read: hand its data over. */
static void complete_io(struct pvcpu *v)
{
	struct plinth_vp_shared_run *s = &v->shared->run;

	if (v->io_in)
		memcpy(s->io.data, v->pio, v->io_bytes);
	else if (v->mmio_in)
		memcpy(s->mmio.data, v->run->mmio.data, v->io_bytes);
	v->io_in = false;
	v->mmio_in = false;
}

/* Sleep until something happens; the core decides what it means. */
static int block(struct pvcpu *v)
{
	timer_update_exact(v);
	rcuwait_wait_event(&v->wait, READ_ONCE(v->wake), TASK_INTERRUPTIBLE);
	return 1;
}

static int exit_hlt(struct pvcpu *v)
{
	__u32 runnable = KVM_MP_STATE_RUNNABLE;

	if (v->vm->split_irqchip)
		return block(v);
	/* Without an interrupt controller HLT is the user's affair; the next KVM_RUN goes on behind it. */
	memcpy(v->shared->data, &runnable, sizeof(runnable));
	pstate_set(v, PLINTH_ITEM_MP_STATE);
	v->run->exit_reason = KVM_EXIT_HLT;
	return 0;
}

static int exit_eoi(struct pvcpu *v)
{
	u8 vector = v->shared->run.eoi_vector;

	/* Only what the user's I/O APIC has routed level-triggered: KVM's split semantics. */
	if (!test_bit(vector, v->vm->eoi_vectors))
		return 1;
	v->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
	v->run->eoi.vector = vector;
	return 0;
}

static int exit_internal(struct pvcpu *v)
{
	struct plinth_vp_shared_run *s = &v->shared->run;
	struct kvm_run *run = v->run;
	u32 i, first = 0, n = min_t(u32, s->internal.ndata, ARRAY_SIZE(run->internal.data) - 3);

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = s->internal.suberror;
	if (s->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
		u32 size = min_t(u32, s->internal.insn_size, sizeof(s->internal.insn));

		size = min_t(u32, size, sizeof(run->emulation_failure.insn_bytes));
		first = 1;
		run->emulation_failure.flags = 0;
		if (size) {
			first = 3;
			run->emulation_failure.flags =
				KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
			run->emulation_failure.insn_size = size;
			memset(run->emulation_failure.insn_bytes, 0x90,
			       sizeof(run->emulation_failure.insn_bytes));
			memcpy(run->emulation_failure.insn_bytes, s->internal.insn, size);
		}
	}
	for (i = 0; i < n; i++)
		run->internal.data[first + i] = s->internal.data[i];
	run->internal.ndata = first + n;
	return 0;
}

static int exit_fail_entry(struct pvcpu *v)
{
	struct plinth_vp_shared_run *s = &v->shared->run;

	v->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	v->run->fail_entry.hardware_entry_failure_reason = s->fail_entry.reason;
	v->run->fail_entry.cpu = s->fail_entry.cpu;
	return 0;
}

static int exit_debug(struct pvcpu *v)
{
	struct plinth_vp_shared_run *s = &v->shared->run;

	v->run->exit_reason = KVM_EXIT_DEBUG;
	v->run->debug.arch.exception = s->debug.exception;
	v->run->debug.arch.pc = s->debug.pc;
	v->run->debug.arch.dr6 = s->debug.dr6;
	v->run->debug.arch.dr7 = s->debug.dr7;
	return 0;
}

static int exit_to_user(struct pvcpu *v, u32 reason)
{
	v->run->exit_reason = reason;
	return 0;
}

static int handle_exit(struct pvcpu *v, s64 exit, bool leave)
{
	int r;

	switch (exit) {
	case PLINTH_EXIT_INTR:
		return leave ? leave_interrupted(v) : 1;
	case PLINTH_EXIT_IO:
		return exit_io(v);
	case PLINTH_EXIT_MMIO:
		return exit_mmio(v);
	case PLINTH_EXIT_MEM_FAULT:
		r = pmem_fault(v->vm, v->shared->run.fault.gpa, v->shared->run.fault.write);
		return r ? r : 1;
	case PLINTH_EXIT_HLT:
		return exit_hlt(v);
	case PLINTH_EXIT_NOT_RUNNABLE:
		return block(v);
	case PLINTH_EXIT_TIMER:
	case PLINTH_EXIT_WAKE:
		return 1; /* done for every exit */
	case PLINTH_EXIT_IOAPIC_EOI:
		return exit_eoi(v);
	case PLINTH_EXIT_IRQ_WINDOW:
		return exit_to_user(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	case PLINTH_EXIT_SHUTDOWN:
		return exit_to_user(v, KVM_EXIT_SHUTDOWN);
	case PLINTH_EXIT_INTERNAL:
		return exit_internal(v);
	case PLINTH_EXIT_FAIL_ENTRY:
		return exit_fail_entry(v);
	case PLINTH_EXIT_DEBUG:
		return exit_debug(v);
	case PLINTH_EXIT_CLOCK:
		pclock_exit(v);
		return 1;
	case PLINTH_EXIT_NOMEM:
		r = plinth_donate();
		return r ? r : 1;
	default:
		return exit < 0 ? exit : -EIO;
	}
}

/* What keeps the processor from entering: the kernel's work for this thread, or its clock. */
static int other_work(struct pvcpu *v)
{
	bool stale;

	preempt_disable();
	stale = pclock_stale(v);
	preempt_enable();
	if (stale)
		pclock_update(v);
	return xfer_to_guest_mode_handle_work(signal_note) ? leave_interrupted(v) : 1;
}

static int run_once(struct pvcpu *v, bool leave)
{
	struct plinth_vp_shared_run *s = &v->shared->run;
	u64 mask;
	s64 exit;

	exit = enter(v, leave);
	if (exit == -EAGAIN)
		return other_work(v);
	if (exit < 0)
		return exit;
	mask = READ_ONCE(s->wake_mask);
	if (mask) {
		WRITE_ONCE(s->wake_mask, 0);
		pvm_wake(v->vm, mask);
	}
	timer_update(v);
	return handle_exit(v, exit, leave);
}

/* ---- KVM_RUN ---- */

static void sigmask_activate(struct pvcpu *v)
{
	if (v->sigmask_set)
		sigprocmask(SIG_SETMASK, &v->sigmask, &current->real_blocked);
}

static void sigmask_deactivate(struct pvcpu *v)
{
	if (!v->sigmask_set)
		return;
	sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
	sigemptyset(&current->real_blocked);
}

/* What struct kvm_run tells after every KVM_RUN. */
static void publish(struct pvcpu *v)
{
	const struct plinth_vp_shared_run *s = &v->shared->run;
	struct kvm_run *run = v->run;

	run->if_flag = s->if_flag;
	run->cr8 = s->cr8;
	run->apic_base = v->vm->split_irqchip ? s->apic_base : v->user_apic_base;
	run->ready_for_interrupt_injection =
		s->ready_for_extint && s->accepts_extint && !v->extint_pending;
}

int prun(struct pvcpu *v)
{
	struct kvm_run *run = v->run;
	bool leave = READ_ONCE(run->immediate_exit);
	int r;

	/* KVM_CAP_SYNC_REGS isn't offered. */
	if (READ_ONCE(run->kvm_valid_regs) || READ_ONCE(run->kvm_dirty_regs))
		return -EINVAL;
	sigmask_activate(v);
	v->has_run = true;
	run->flags = 0;
	if (v->io_pending)
		complete_io(v);
	if (leave && !v->io_pending) {
		r = leave_interrupted(v);
	} else {
		do
			r = run_once(v, leave);
		while (r > 0);
	}
	publish(v);
	sigmask_deactivate(v);
	return r;
}
