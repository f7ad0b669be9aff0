// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's paravirtual clock (Documentation/virt/kvm/x86/msr.rst). The core holds the MSRs and tells when a structure is
 * due (PLINTH_EXIT_CLOCK); it is written here, since the child's memory is the worker's.
 *
 * With a stable TSC all processors of a child count from one pair of TSC and time, so that their clocks agree
 * (PVCLOCK_TSC_STABLE_BIT). Otherwise each has a pair of its own, taken anew on every CPU that it comes to.
 */
#include <linux/kvm_host.h> /* KVM_CLOCK_* of the uAPI by way of linux/kvm.h */
#include <linux/timekeeping.h>

#include <asm/msr.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>

#include "kvm.h"

#define SYSTEM_TIME_ENABLED 1ull

/* A moment on both scales. */
struct pclock_pair {
	u64 tsc;
	u64 ns; /* of the child's clock */
};

/* ns = (ticks << shift) * mul >> 32, a negative shift to the right; mul has its highest bit set or nearly so. */
static void pclock_scale(u32 *mul, s8 *shift)
{
	u64 hz = plinth_tsc_khz() * 1000ull;

	for (*shift = 0; hz > 2ull * NSEC_PER_SEC; --*shift)
		hz >>= 1;
	for (; hz <= NSEC_PER_SEC; ++*shift)
		hz <<= 1;
	*mul = div64_u64((u64)NSEC_PER_SEC << 32, hz);
}

static u64 pclock_ns(u64 ticks)
{
	u32 mul;
	s8 shift;

	pclock_scale(&mul, &shift);
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return mul_u64_u32_shr(ticks, mul, 32);
}

/* clock_lock held. */
static struct pclock_pair pclock_read(const struct pvm *vm)
{
	struct pclock_pair now;

	preempt_disable();
	now.tsc = rdtsc_ordered();
	now.ns = ktime_get_raw_ns() + vm->clock_offset;
	preempt_enable();
	return now;
}

/* What a processor counts from. */
static struct pclock_pair pclock_base(struct pvm *vm, bool *stable, u32 *generation)
{
	struct pclock_pair base;

	*stable = !check_tsc_unstable();
	spin_lock(&vm->clock_lock);
	base = pclock_read(vm);
	if (*stable && !vm->clock_based) {
		vm->clock_tsc = base.tsc;
		vm->clock_ns = base.ns;
		vm->clock_based = true;
	}
	if (*stable)
		base = (struct pclock_pair){ vm->clock_tsc, vm->clock_ns };
	*generation = vm->clock_generation;
	spin_unlock(&vm->clock_lock);
	return base;
}

void pclock_init(struct pvm *vm)
{
	spin_lock_init(&vm->clock_lock);
	vm->clock_offset = -ktime_get_raw_ns();
}

/* ---- the VM's clock ---- */

int pclock_get(struct pvm *vm, struct kvm_clock_data __user *argp)
{
	struct kvm_clock_data data = { .flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC };
	struct pclock_pair now;

	spin_lock(&vm->clock_lock);
	now = pclock_read(vm);
	if (vm->clock_based && !check_tsc_unstable()) {
		now.ns = vm->clock_ns + pclock_ns(now.tsc - vm->clock_tsc);
		data.flags |= KVM_CLOCK_TSC_STABLE;
	}
	data.realtime = ktime_get_real_ns();
	spin_unlock(&vm->clock_lock);
	data.clock = now.ns;
	data.host_tsc = now.tsc;
	return copy_to_user(argp, &data, sizeof(data)) ? -EFAULT : 0;
}

int pclock_set(struct pvm *vm, const struct kvm_clock_data *data)
{
	u64 clock = data->clock;

	if (data->flags & ~(u64)PCLOCK_FLAGS)
		return -EINVAL;
	if (data->flags & KVM_CLOCK_REALTIME) {
		u64 now = ktime_get_real_ns();

		if (now > data->realtime)
			clock += now - data->realtime;
	}
	spin_lock(&vm->clock_lock);
	vm->clock_offset = clock - ktime_get_raw_ns();
	vm->clock_based = false;
	vm->clock_generation++;
	spin_unlock(&vm->clock_lock);
	pvm_wake(vm, ~0ull);
	return 0;
}

/* ---- what the child sees ---- */

/* A reader on another processor must see an odd version while anything else changes. */
static void pclock_write(struct pvcpu *v, u64 gpa, struct pvclock_vcpu_time_info *info)
{
	const size_t rest = sizeof(info->version);

	v->clock_version = (v->clock_version | 1) + 2;
	info->version = v->clock_version;
	if (pmem_write(v->vm, gpa, &info->version, rest))
		return; /* an address without memory is the guest's affair */
	smp_wmb();
	pmem_write(v->vm, gpa + rest, (u8 *)info + rest, sizeof(*info) - rest);
	smp_wmb();
	info->version = ++v->clock_version;
	pmem_write(v->vm, gpa, &info->version, rest);
}

void pclock_update(struct pvcpu *v)
{
	struct pvclock_vcpu_time_info info = {};
	struct pclock_pair base;
	bool stable;

	preempt_disable();
	v->clock_cpu = smp_processor_id();
	base = pclock_base(v->vm, &stable, &v->clock_generation);
	preempt_enable();
	info.tsc_timestamp = base.tsc + v->tsc_offset;
	info.system_time = base.ns;
	pclock_scale(&info.tsc_to_system_mul, &info.tsc_shift);
	if (stable)
		info.flags |= PVCLOCK_TSC_STABLE_BIT;
	if (v->clock_stopped)
		info.flags |= PVCLOCK_GUEST_STOPPED;
	v->clock_stopped = false;
	pclock_write(v, v->system_time & ~SYSTEM_TIME_ENABLED, &info);
}

/* When the child's clock was 0, as a date. */
static void pclock_write_wall(struct pvm *vm, u64 gpa)
{
	struct pvclock_wall_clock wall = {};
	struct pclock_pair now;
	u32 version, rest = sizeof(wall.version);
	u64 date;

	spin_lock(&vm->clock_lock);
	now = pclock_read(vm);
	date = ktime_get_real_ns() - now.ns;
	spin_unlock(&vm->clock_lock);
	wall.nsec = do_div(date, NSEC_PER_SEC);
	wall.sec = date;
	/* One reader, the processor that asked: it waits. */
	for (version = 1; version <= 2; version++) {
		wall.version = version;
		if (pmem_write(vm, gpa, &wall.version, rest))
			return;
		smp_wmb();
		if (version == 1)
			pmem_write(vm, gpa + rest, (u8 *)&wall + rest, sizeof(wall) - rest);
		smp_wmb();
	}
}

void pclock_exit(struct pvcpu *v)
{
	const struct plinth_vp_shared_run *s = &v->shared->run;

	v->system_time = s->clock.system_time;
	v->tsc_offset = s->clock.tsc_offset;
	if ((s->clock.what & PLINTH_CLOCK_WALL) && s->clock.wall_clock)
		pclock_write_wall(v->vm, s->clock.wall_clock);
	if ((s->clock.what & PLINTH_CLOCK_SYSTEM) && (v->system_time & SYSTEM_TIME_ENABLED))
		pclock_update(v);
}

bool pclock_stale(const struct pvcpu *v)
{
	if (!(v->system_time & SYSTEM_TIME_ENABLED))
		return false;
	return v->clock_stopped || v->clock_generation != READ_ONCE(v->vm->clock_generation) ||
	       (check_tsc_unstable() && v->clock_cpu != smp_processor_id());
}

int pclock_stopped(struct pvcpu *v)
{
	if (!(v->system_time & SYSTEM_TIME_ENABLED))
		return -EINVAL;
	v->clock_stopped = true;
	return 0;
}
