// SPDX-License-Identifier: GPL-2.0-only
/* Virtual processors: their life, and their state for the root (PLINTH_HC_VP_GET and _SET). */
#include "core/string.h"
#include "core/vp.h"
#include "core/vp_int.h"
#include "core/x86/asm.h"

_Static_assert(sizeof(struct vp) <= PAGE_SIZE, "struct vp outgrew its page");
_Static_assert(sizeof(struct vp_io) <= PAGE_SIZE, "struct vp_io outgrew its page");
_Static_assert(sizeof(struct cpuid_table) <= PAGE_SIZE, "struct cpuid_table outgrew its page");

#define CR0_PE	BIT(0)
#define CR0_NW	BIT(29)
#define CR0_CD	BIT(30)
#define CR0_PG	BIT(31)
#define CR4_PAE BIT(5)

#define SEG_L BIT(9) /* plinth_seg.attrib */

_Static_assert(PLINTH_MCE_BANKS == MSR_MCE_BANKS, "abi.h");

/* KVM_VCPUEVENT_VALID_* */
#define EVENTS_NMI_PENDING  1u
#define EVENTS_SIPI_VECTOR  2u
#define EVENTS_SHADOW	    4u
#define EVENTS_TRIPLE_FAULT 32u

/* ---- life ---- */

struct vp *vp_acquire(u64 vm_id, u64 index, s64 *err)
{
	struct vm *vm = vm_get(vm_id, err);
	struct vp *vp = vm && index < PLINTH_MAX_VPS_PER_VM ? vm_vp(vm, index) : NULL;
	u32 nobody = 0, refs;

	if (!vp)
		goto put;
	*err = -EBUSY;
	if (!__atomic_compare_exchange_n(&vp->owner, &nobody, this_cpu()->index + 1, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		goto put;
	/*
	 * vm_destroy() and vm_recover() look the other way round: first no longer live, or broken, then whether
	 * there is an owner.
	 */
	refs = __atomic_load_n(&vm->refs, __ATOMIC_SEQ_CST);
	if ((refs & (VM_LIVE | VM_BROKEN)) == VM_LIVE)
		return vp;
	*err = refs & VM_BROKEN ? -EIO : -ENOENT;
	__atomic_store_n(&vp->owner, 0, __ATOMIC_RELEASE);
put:
	if (vm)
		vm_put(vm);
	return NULL;
}

void vp_release(struct vp *vp)
{
	struct vm *vm = vp->vm;

	__atomic_store_n(&vp->owner, 0, __ATOMIC_RELEASE);
	vm_put(vm);
}

void vp_free(struct vp *vp)
{
	if (vp->shared) {
		mm_use_lock();
		mm_unuse(vp->shared_pa, PLINTH_VP_SHARED_PAGES * PAGE_SIZE);
		mm_use_unlock();
	}
	if (vp->hw_pa)
		vp_vendor_destroy(vp);
	if (vp->io)
		mm_free(mm_pa(vp->io));
	if (vp->cpuid)
		mm_free(mm_pa(vp->cpuid));
	if (vp->fpu_pa)
		mm_free(vp->fpu_pa);
	if (vp->root_fpu_pa)
		mm_free(vp->root_fpu_pa);
	mm_free(mm_pa(vp));
}

static void *vp_page(u64 *pa)
{
	*pa = mm_alloc();
	return *pa ? mm_va(*pa) : NULL;
}

static struct vp *vp_alloc(void)
{
	struct vp *vp;
	u64 pa;

	vp = vp_page(&pa);
	if (!vp)
		return NULL;
	vp->io = vp_page(&pa);
	vp->cpuid = vp_page(&pa);
	vp_page(&vp->fpu_pa);
	vp_page(&vp->root_fpu_pa);
	if (vp->io && vp->cpuid && vp->fpu_pa && vp->root_fpu_pa && !vp_vendor_create(vp))
		return vp;
	vp_free(vp);
	return NULL;
}

void vp_reset(struct vp *vp, bool init)
{
	struct cpuid_regs id = cpuid_lookup(vp->cpuid, 1, 0, 0, 1, 0);

	memset(&vp->gprs, 0, sizeof(vp->gprs));
	vp->gprs.r[RDX] = id.eax ? id.eax : 0x600; /* family, model, stepping */
	vp->rip = 0xfff0;
	vp->rflags = 2;
	memset(&vp->exc, 0, sizeof(vp->exc));
	memset(&vp->intr, 0, sizeof(vp->intr));
	vp->nmi_injected = vp->nmi_pending = vp->nmi_masked = false;
	vp->triple_fault = false;
	vp->ext_vector = -1;
	vp->eoi_vector = -1;
	if (vp->msrs.system_time) { /* INIT too ends it, as in KVM */
		vp->msrs.system_time = 0;
		vp->clock_due |= PLINTH_CLOCK_SYSTEM;
	}
	memset(vp->dr, 0, sizeof(vp->dr));
	vp_io_cancel(vp);
	vp_vendor_reset(vp, init);
	lapic_reset(&vp->lapic, init ? LAPIC_INIT : LAPIC_POWER_ON);
	if (!init) {
		vp_fpu_reset(vp);
		msr_init(&vp->msrs, &vp_msr_host, vp->cpuid);
	}
	vp->timer_changed = vp->attention = true;
}

static int vp_setup(struct vp *vp, struct vm *vm, u32 index, u32 apic_id, u64 shared_pa)
{
	const struct lapic_config cfg = { .id = apic_id,
					  .tsc_khz = boot->params.tsc_khz,
					  .bsp = index == 0 };
	static u64 serial;
	int ret;

	vp->vm = vm;
	vp->serial = __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED);
	vp->index = index;
	mm_use_lock();
	ret = mm_use(shared_pa, PLINTH_VP_SHARED_PAGES * PAGE_SIZE);
	mm_use_unlock();
	if (ret)
		return ret;
	vp->shared = mm_va(shared_pa);
	vp->shared_pa = shared_pa;
	lapic_init(&vp->lapic, &cfg);
	ret = vp_set_cpuid(vp, NULL, 0);
	if (ret)
		return ret;
	vp_reset(vp, false);
	vp->activity = index ? VP_UNINITIALIZED : VP_RUNNABLE;
	vp_set_tsc_offset(vp, vm->tsc_offset);
	return 0;
}

s64 vp_create(u64 vm_id, u64 index, u64 apic_id, u64 shared_pa)
{
	struct vm *vm;
	struct vp *vp;
	int ret = -ENOMEM;
	s64 err;

	if (index >= PLINTH_MAX_VPS_PER_VM || apic_id > UINT32_MAX || shared_pa & (PAGE_SIZE - 1) ||
	    shared_pa < MM_LOW_END || !mm_root_ram(shared_pa, PLINTH_VP_SHARED_PAGES * PAGE_SIZE))
		return -EINVAL;
	vm = vm_get(vm_id, &err);
	if (!vm)
		return err;
	vp = vp_alloc();
	if (!vp)
		goto put;
	ret = vp_setup(vp, vm, index, apic_id, shared_pa);
	if (ret)
		goto free;
	spin_lock(&vm->lock);
	if (vm->vp[index]) {
		ret = -EEXIST;
	} else {
		vm->nr_vps++;
		__atomic_store_n(&vm->vp[index], vp, __ATOMIC_RELEASE);
	}
	spin_unlock(&vm->lock);
free:
	if (ret)
		vp_free(vp);
put:
	vm_put(vm);
	return ret;
}

s64 vp_nmi(u64 vm_id, u64 index)
{
	s64 ret;
	struct vm *vm = vm_get(vm_id, &ret);
	struct vp *vp = vm && index < PLINTH_MAX_VPS_PER_VM ? vm_vp(vm, index) : NULL;

	if (vp) {
		__atomic_fetch_or(&vp->requests, VP_REQ_NMI, __ATOMIC_SEQ_CST);
		ret = vp_notify(vp);
	}
	if (vm)
		vm_put(vm);
	return ret;
}

/* ---- state: registers ---- */

static void get_regs(struct vp *vp, struct plinth_vp_regs *r)
{
	memcpy(r->gpr, vp->gprs.r, sizeof(r->gpr));
	r->rip = vp->rip;
	r->rflags = vp->rflags;
}

static int set_regs(struct vp *vp, const struct plinth_vp_regs *r)
{
	memcpy(vp->gprs.r, r->gpr, sizeof(r->gpr));
	vp->rip = r->rip;
	vp->rflags = (r->rflags & 0x3f7fd5) | 2;
	vp->exc.pending = false;
	vp_io_cancel(vp);
	return 0;
}

static void get_sregs(struct vp *vp, struct plinth_vp_sregs *s)
{
	vp_vendor_get_sregs(vp, s);
	s->cr8 = lapic_get_cr8(&vp->lapic);
	s->apic_base = lapic_base(&vp->lapic);
	if (vp->intr.injected)
		s->interrupt_bitmap[vp->intr.vector / 64] = BIT(vp->intr.vector % 64);
}

/* What KVM_SET_SREGS refuses, and what VMRUN would refuse (APM 2, 15.5.1). */
static bool sregs_valid(struct vp *vp, const struct plinth_vp_sregs *s)
{
	if (s->cr0 >> 32 || ((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD)) ||
	    ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE)))
		return false;
	if (s->cr4 & ~vp->cr4_bits || s->efer & ~vp_msr_host.efer_bits || s->cr8 >> 4)
		return false;
	if (!(s->efer & MSR_EFER_LME) || !(s->cr0 & CR0_PG))
		return !(s->efer & MSR_EFER_LMA) && !(s->cs.attrib & SEG_L);
	return (s->cr4 & CR4_PAE) && (s->efer & MSR_EFER_LMA) && !(s->cr3 >> vp->cpuid->maxphyaddr);
}

static int set_sregs(struct vp *vp, const struct plinth_vp_sregs *s)
{
	struct lapic_fx fx;
	u32 i;

	if (!sregs_valid(vp, s) || lapic_set_base(&vp->lapic, s->apic_base, true, rdtsc(), &fx))
		return -EINVAL;
	vp_lapic_fx(vp, &fx);
	vp_vendor_set_sregs(vp, s);
	lapic_set_cr8(&vp->lapic, s->cr8);
	for (i = 0; i < 4; i++)
		if (s->interrupt_bitmap[i])
			break;
	vp->intr.injected = i < 4;
	if (i < 4)
		vp->intr.vector = i * 64 + __builtin_ctzll(s->interrupt_bitmap[i]);
	/* A reset by the root wakes the bootstrap processor, as in KVM. */
	if (vp->lapic.bsp && vp->rip == 0xfff0 && s->cs.selector == 0xf000 && !(s->cr0 & CR0_PE))
		vp->activity = VP_RUNNABLE;
	vp_io_cancel(vp);
	return 0;
}

static void get_debug(struct vp *vp, struct plinth_vp_debug *d)
{
	memcpy(d->dr, vp->dr, sizeof(d->dr));
	vp_vendor_get_debug(vp, (u64 *)&d->dr6, (u64 *)&d->dr7);
}

static int set_debug(struct vp *vp, const struct plinth_vp_debug *d)
{
	if (d->dr6 >> 32 || d->dr7 >> 32 || d->flags)
		return -EINVAL;
	memcpy(vp->dr, d->dr, sizeof(vp->dr));
	vp_vendor_set_debug(vp, d->dr6, d->dr7);
	return 0;
}

/* ---- state: events ---- */

static void get_events(struct vp *vp, struct plinth_vp_events *e)
{
	u32 req = __atomic_load_n(&vp->requests, __ATOMIC_RELAXED);

	e->exc_injected = vp->exc.injected;
	e->exc_pending = vp->exc.pending;
	e->exc_nr = vp->exc.vector;
	e->exc_has_error = vp->exc.has_error;
	e->exc_error = vp->exc.error;
	e->int_injected = vp->intr.injected;
	e->int_nr = vp->intr.vector;
	e->int_shadow = vp_vendor_shadow(vp);
	e->nmi_injected = vp->nmi_injected;
	e->nmi_pending = vp->nmi_pending || (req & VP_REQ_NMI);
	e->nmi_masked = vp->nmi_masked;
	e->sipi_vector = __atomic_load_n(&vp->sipi_vector, __ATOMIC_RELAXED);
	e->triple_fault = vp->triple_fault;
}

static int set_events(struct vp *vp, const struct plinth_vp_events *e)
{
	if ((e->exc_injected || e->exc_pending) && (e->exc_nr > 31 || e->exc_nr == 2))
		return -EINVAL;
	vp->exc.injected = e->exc_injected;
	vp->exc.pending = e->exc_pending && !e->exc_injected;
	vp->exc.vector = e->exc_nr;
	vp->exc.has_error = e->exc_has_error;
	vp->exc.error = e->exc_error;
	vp->intr.injected = e->int_injected;
	vp->intr.vector = e->int_nr;
	vp->nmi_injected = e->nmi_injected;
	vp->nmi_masked = e->nmi_masked;
	if (e->flags & EVENTS_NMI_PENDING) {
		vp->nmi_pending = e->nmi_pending;
		__atomic_fetch_and(&vp->requests, ~VP_REQ_NMI, __ATOMIC_RELAXED);
	}
	if (e->flags & EVENTS_SHADOW)
		vp_vendor_set_shadow(vp, e->int_shadow);
	if (e->flags & EVENTS_SIPI_VECTOR)
		__atomic_store_n(&vp->sipi_vector, e->sipi_vector & 0xff, __ATOMIC_RELAXED);
	if (e->flags & EVENTS_TRIPLE_FAULT)
		vp->triple_fault = e->triple_fault;
	return 0;
}

static int set_mp_state(struct vp *vp, u32 state)
{
	switch (state) {
	case VP_RUNNABLE:
	case VP_UNINITIALIZED:
	case VP_INIT_RECEIVED:
	case VP_HALTED:
		vp->activity = state;
		return 0;
	case VP_SIPI_RECEIVED:
		vp->activity = VP_INIT_RECEIVED;
		__atomic_fetch_or(&vp->requests, VP_REQ_SIPI, __ATOMIC_RELAXED);
		return 0;
	}
	return -EINVAL;
}

/* ---- state: the rest ---- */

/* KVM_GET_MSRS and KVM_SET_MSRS stop at the first that fails; -> how many were done. */
static s64 move_msrs(struct vp *vp, struct plinth_vp_msrs *m, bool set)
{
	volatile struct plinth_vp_msrs *shared = m;
	u32 i, count = shared->count;

	if (count > PLINTH_VP_MSRS_MAX)
		return -E2BIG;
	for (i = 0; i < count; i++) {
		u32 index = shared->entry[i].index;
		u64 val = shared->entry[i].data;

		if (set ? vp_msr_write(vp, index, val, true) : vp_msr_read(vp, index, &val, true))
			break;
		if (!set)
			shared->entry[i].data = val;
	}
	return i;
}

/* The root may change what it shares at any time: work on a copy, in a page that is free while not running. */
static void *private_copy(struct vp *vp, u32 size)
{
	return memcpy(mm_va(vp->root_fpu_pa), vp->shared->data, size);
}

static s64 set_cpuid(struct vp *vp, u32 size)
{
	u32 n = size / sizeof(struct cpuid_entry);

	if (n > CPUID_MAX_ENTRIES)
		return -E2BIG;
	return vp_set_cpuid(vp, private_copy(vp, n * sizeof(struct cpuid_entry)), n);
}

static s64 set_lapic(struct vp *vp)
{
	int ret = lapic_set_state(&vp->lapic, private_copy(vp, LAPIC_PAGE_BYTES), true, rdtsc());

	vp->timer_changed = true;
	return ret;
}

static int set_xcr0(struct vp *vp, u64 val)
{
	if (!cpuid_xcr0_valid(vp->cpuid, val))
		return -EINVAL;
	vp->xcr0 = val;
	return 0;
}

/*
 * Breakpoints in hardware are not offered: the guest keeps its debug registers. Exceptions to be injected come
 * as PLINTH_ITEM_EVENTS.
 */
static int set_guest_debug(struct vp *vp, const struct plinth_vp_debug *d)
{
	if (d->flags & ~(VP_DEBUG_ENABLE | VP_DEBUG_SINGLESTEP | VP_DEBUG_SW_BP |
			 VP_DEBUG_INJECT_DB | VP_DEBUG_INJECT_BP))
		return -EINVAL;
	vp->guest_debug = *d;
	vp->debug_due = false;
	vp_vendor_debug_changed(vp);
	return 0;
}

static s64 vp_get_item(struct vp *vp, u64 item)
{
	void *data = vp->shared->data;

	_Static_assert(PLINTH_XSAVE_MAX <= sizeof(vp->shared->data), "XSAVE image does not fit");
	switch (item) {
	case PLINTH_ITEM_REGS:
		get_regs(vp, data);
		return 0;
	case PLINTH_ITEM_SREGS:
		memset(data, 0, sizeof(struct plinth_vp_sregs));
		get_sregs(vp, data);
		return 0;
	case PLINTH_ITEM_XSAVE:
		memcpy(data, mm_va(vp->fpu_pa), vp_fpu_size());
		vp->shared->data_size = vp_fpu_size();
		return 0;
	case PLINTH_ITEM_XCR0:
		*(u64 *)data = vp->xcr0;
		return 0;
	case PLINTH_ITEM_DEBUG:
		memset(data, 0, sizeof(struct plinth_vp_debug));
		get_debug(vp, data);
		return 0;
	case PLINTH_ITEM_EVENTS:
		memset(data, 0, sizeof(struct plinth_vp_events));
		get_events(vp, data);
		return 0;
	case PLINTH_ITEM_LAPIC:
		lapic_get_state(&vp->lapic, data, true, rdtsc());
		return 0;
	case PLINTH_ITEM_MSRS:
		return move_msrs(vp, data, false);
	case PLINTH_ITEM_MP_STATE:
		*(u32 *)data = vp->activity;
		return 0;
	case PLINTH_ITEM_TSC:
		*(u64 *)data = rdtsc() + vp->tsc_offset;
		return 0;
	case PLINTH_ITEM_STATS:
		memcpy(data, &vp->stats, sizeof(vp->stats));
		return 0;
	}
	return -EINVAL;
}

/* Each case copies what it needs out of shared memory, once. */
static s64 vp_set_item(struct vp *vp, u64 item)
{
	u32 size = *(volatile __u32 *)&vp->shared->data_size;
	const void *data = vp->shared->data;

	size = MIN(size, sizeof(vp->shared->data));
	switch (item) {
	case PLINTH_ITEM_REGS:
		return set_regs(vp, private_copy(vp, sizeof(struct plinth_vp_regs)));
	case PLINTH_ITEM_SREGS:
		return set_sregs(vp, private_copy(vp, sizeof(struct plinth_vp_sregs)));
	case PLINTH_ITEM_XSAVE:
		return vp_fpu_set(vp, data, size);
	case PLINTH_ITEM_XCR0:
		return set_xcr0(vp, *(const volatile u64 *)data);
	case PLINTH_ITEM_DEBUG:
		return set_debug(vp, private_copy(vp, sizeof(struct plinth_vp_debug)));
	case PLINTH_ITEM_EVENTS:
		return set_events(vp, private_copy(vp, sizeof(struct plinth_vp_events)));
	case PLINTH_ITEM_LAPIC:
		return set_lapic(vp);
	case PLINTH_ITEM_MSRS:
		return move_msrs(vp, (void *)vp->shared->data, true);
	case PLINTH_ITEM_CPUID:
		return set_cpuid(vp, size);
	case PLINTH_ITEM_MP_STATE:
		return set_mp_state(vp, *(const volatile u32 *)data);
	case PLINTH_ITEM_TSC:
		vp_set_tsc_offset(vp, *(const volatile u64 *)data - rdtsc());
		return 0;
	case PLINTH_ITEM_MCE:
		return msr_setup_mce(&vp->msrs, *(const volatile u64 *)data);
	case PLINTH_ITEM_GUEST_DEBUG:
		return set_guest_debug(vp, private_copy(vp, sizeof(struct plinth_vp_debug)));
	}
	return -EINVAL;
}

/* ---- answers that belong to no VP ---- */

static s64 supported_cpuid(void *out, u32 size)
{
	u64 pa = mm_alloc();
	s64 n;

	if (!pa)
		return -ENOMEM;
	n = cpuid_supported(mm_va(pa), PAGE_SIZE / sizeof(struct cpuid_entry), cpuid,
			    &vp_cpuid_caps);
	if (n > 0 && (u64)n * sizeof(struct cpuid_entry) > size)
		n = -E2BIG;
	if (n > 0)
		memcpy(out, mm_va(pa), n * sizeof(struct cpuid_entry));
	mm_free(pa);
	return n;
}

static s64 msr_list(u64 item, void *out, u32 size)
{
	u32 list[MSR_LIST_MAX], n;

	n = item == PLINTH_ITEM_MSR_LIST ? msr_index_list(&vp_msr_host, list)
					 : msr_feature_list(list);
	if (n * sizeof(list[0]) > size)
		return -E2BIG;
	memcpy(out, list, n * sizeof(list[0]));
	return n;
}

static s64 global_get(u64 item, u64 buf_pa, u64 size)
{
	int ret;

	size = MIN(size, 2 * PAGE_SIZE);
	if (buf_pa & 7 || !mm_root_ram(buf_pa, size))
		return -EFAULT;
	ret = vm_setup();
	if (ret)
		return ret;
	switch (item) {
	case PLINTH_ITEM_SUPPORTED_CPUID:
		return supported_cpuid(mm_va(buf_pa), size);
	case PLINTH_ITEM_MSR_LIST:
	case PLINTH_ITEM_MSR_FEATURE_LIST:
		return msr_list(item, mm_va(buf_pa), size);
	}
	return -EINVAL;
}

s64 vp_get(u64 vm, u64 index, u64 item, u64 buf_pa, u64 buf_size)
{
	struct vp *vp;
	s64 ret;

	if (item >= PLINTH_ITEM_SUPPORTED_CPUID)
		return global_get(item, buf_pa, buf_size);
	vp = vp_acquire(vm, index, &ret);
	if (!vp)
		return ret;
	ret = vp_get_item(vp, item);
	vp_release(vp);
	return ret;
}

s64 vp_set(u64 vm, u64 index, u64 item)
{
	struct vp *vp;
	s64 ret;

	vp = vp_acquire(vm, index, &ret);
	if (!vp)
		return ret;
	ret = vp_set_item(vp, item);
	vp->attention = true;
	vp_release(vp);
	return ret;
}
