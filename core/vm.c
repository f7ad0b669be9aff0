// SPDX-License-Identifier: GPL-2.0-only
/* Virtual machines: their table, nested memory, interrupt messages. See vp_int.h for the locking. */
#include "core/log.h"
#include "core/string.h"
#include "core/vp.h"
#include "core/vp_int.h"
#include "core/x86/asm.h"

static struct vm vms[PLINTH_MAX_VMS];

/* A guest-physical address has as many bits as the nested tables translate, 52 at most. */
static u64 vm_gpa_end(void)
{
	return boot->params.paging_levels == 5 ? BIT(52) : BIT(48);
}

void vm_init(void)
{
	memset(vms, 0, sizeof(vms));
}

int vm_setup(void)
{
	static struct spinlock lock;
	static bool done;
	int ret = 0;

	spin_lock(&lock);
	if (!done) {
		vp_fpu_init();
		vp_msr_init();
		ret = vp_vendor_init();
		done = !ret;
	}
	spin_unlock(&lock);
	return ret;
}

/* Find a VM that is live and, of the bits of `also`, what it likes. NULL: *err tells. */
static inline struct vm *vm_find(u64 id, u32 also, s64 *err)
{
	u32 refs;
	struct vm *vm;

	*err = -ENOENT;
	if (id >= PLINTH_MAX_VMS)
		return NULL;
	vm = &vms[id];
	refs = __atomic_load_n(&vm->refs, __ATOMIC_RELAXED);
	do {
		if (unlikely((refs & (VM_LIVE | VM_BROKEN) & ~also) != VM_LIVE)) {
			*err = refs & VM_LIVE ? -EIO : -ENOENT;
			return NULL;
		}
	} while (!__atomic_compare_exchange_n(&vm->refs, &refs, refs + 1, false, __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED));
	this_cpu()->serves = vm;
	return vm;
}

struct vm *vm_get(u64 id, s64 *err)
{
	return vm_find(id, 0, err);
}

void vm_put(struct vm *vm)
{
	this_cpu()->serves = NULL;
	__atomic_fetch_sub(&vm->refs, 1, __ATOMIC_RELEASE);
}

s64 vm_create(u64 flags)
{
	struct vm *vm;
	u32 id, free;
	int ret;

	if (flags)
		return -EINVAL;
	for (id = 0; id < PLINTH_MAX_VMS; id++) {
		free = 0;
		if (__atomic_compare_exchange_n(&vms[id].refs, &free, 1, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			break;
	}
	if (id == PLINTH_MAX_VMS)
		return -ENOSPC;
	vm = &vms[id];
	memset((u8 *)vm + sizeof(vm->refs), 0, sizeof(*vm) - sizeof(vm->refs));
	vm->id = id;
	vm->tsc_offset = -rdtsc();
	mm_use_begin();
	ret = vm_setup();
	if (!ret)
		ret = pt_init(&vm->npt, boot->params.paging_levels, 21,
			      PTE_P | PTE_W | PTE_U | PTE_A, &mm_pt_ops);
	if (ret)
		mm_use_end();
	__atomic_store_n(&vm->refs, ret ? 0 : VM_LIVE, __ATOMIC_RELEASE);
	return ret ? ret : (s64)id;
}

static bool vm_busy(struct vm *vm)
{
	u32 i;

	for (i = 0; i < PLINTH_MAX_VPS_PER_VM; i++) {
		struct vp *vp = vm_vp(vm, i);

		if (vp && __atomic_load_n(&vp->owner, __ATOMIC_SEQ_CST))
			return true;
	}
	return false;
}

static void vm_use_piece(u64 pa, u64 size, bool more)
{
	if (size && more)
		mm_use(pa, size);
	else if (size)
		mm_unuse(pa, size);
}

/*
 * Count the machine memory that a range maps as in use once more, or once less; mm_use_lock(), and vm->lock unless nobody
 * else knows the VM. What was counted before can be counted again. -> number of its 4 KiB pages.
 */
static u64 vm_count_use(struct vm *vm, u64 gpa, u64 size, bool more)
{
	u64 end = gpa + size, start = 0, len = 0, next, pte, total = 0;
	unsigned int shift;

	for (; gpa < end; gpa = next) {
		int ret = pt_lookup(&vm->npt, gpa, &pte, &shift);

		next = MIN(ALIGN_DOWN(gpa, BIT(shift)) + BIT(shift), end);
		if (ret)
			continue;
		if (start + len != (pte & PTE_ADDR)) {
			vm_use_piece(start, len, more);
			start = pte & PTE_ADDR;
			len = 0;
		}
		len += next - gpa;
		total += next - gpa;
	}
	vm_use_piece(start, len, more);
	return total / PAGE_SIZE;
}

static void vm_free(struct vm *vm)
{
	u32 i;

	for (i = 0; i < PLINTH_MAX_VPS_PER_VM; i++)
		if (vm->vp[i])
			vp_free(vm->vp[i]);
	mm_use_lock();
	vm_count_use(vm, 0, vm_gpa_end(), false);
	mm_use_unlock();
	pt_destroy(&vm->npt);
}

s64 vm_destroy(u64 id)
{
	s64 err;
	struct vm *vm = vm_find(id, VM_BROKEN, &err);

	if (!vm)
		return err;
	if (!(__atomic_fetch_and(&vm->refs, ~VM_LIVE, __ATOMIC_SEQ_CST) & VM_LIVE)) {
		vm_put(vm); /* another CPU is destroying it */
		return -ENOENT;
	}
	/* A VP that is acquired from here on sees that the VM is not live (vp_acquire()). */
	if (vm_busy(vm)) {
		__atomic_fetch_or(&vm->refs, VM_LIVE, __ATOMIC_SEQ_CST);
		vm_put(vm);
		return -EBUSY;
	}
	while ((__atomic_load_n(&vm->refs, __ATOMIC_ACQUIRE) & VM_USERS) != 1)
		__builtin_ia32_pause();
	if (!vm_broken(vm))
		vm_free(vm);
	mm_use_end();
	this_cpu()->serves = NULL;
	__atomic_store_n(&vm->refs, 0, __ATOMIC_RELEASE);
	return 0;
}

static bool vm_runs_on(struct cpu *c, void *arg)
{
	struct vm *vm = arg;
	u32 i;

	for (i = 0; i < PLINTH_MAX_VPS_PER_VM; i++) {
		struct vp *vp = vm_vp(vm, i);

		if (vp && __atomic_load_n(&vp->owner, __ATOMIC_SEQ_CST) == c->index + 1)
			return true;
	}
	return false;
}

/*
 * The nested tables say less than before: no processor may go by what they said. VPs that run are thrown
 * out here, others see map_gen. vm->lock is held, so that no CPU in the core uses a page that it
 * looked up earlier, and none can add to the dead tables before they are freed.
 */
static void vm_flush(struct vm *vm)
{
	__atomic_fetch_add(&vm->map_gen, 1, __ATOMIC_SEQ_CST);
	cpu_shootdown(vm_runs_on, vm);
	pt_reap(&vm->npt);
}

static bool vm_range_ok(u64 gpa, u64 size)
{
	return size && !((gpa | size) & (PAGE_SIZE - 1)) && gpa < vm_gpa_end() &&
	       size <= vm_gpa_end() - gpa;
}

/* May the child have these machine pages? */
static bool vm_pages_ok(u64 pa, u64 size, u64 flags)
{
	u64 apic = ALIGN_DOWN(boot->params.apic_base, PAGE_SIZE),
	    limit = BIT(boot->params.phys_bits);

	if (pa & (PAGE_SIZE - 1) || pa < MM_LOW_END || pa >= limit || size > limit - pa)
		return false;
	if (apic >= pa && apic - pa < size)
		return false;
	return flags & PLINTH_MAP_DEVICE ? !mm_is_core(pa, size) : mm_root_ram(pa, size);
}

static u64 vm_leaf(u64 flags)
{
	u64 leaf = VP_VENDOR_PTE;

	if (flags & PLINTH_MAP_MMIO)
		return PTE_SW_MMIO;
	if (flags & PLINTH_MAP_WRITE)
		leaf |= PTE_W;
	if (!(flags & PLINTH_MAP_EXEC))
		leaf |= PTE_NX;
	if (flags & PLINTH_MAP_ROM)
		leaf |= PTE_SW_ROM;
	if (flags & PLINTH_MAP_DEVICE)
		leaf |= VM_PTE_DEVICE | PTE_PCD | PTE_PWT;
	return leaf;
}

static bool vm_flags_ok(u64 flags)
{
	if (flags & ~(u64)(PLINTH_MAP_READ | PLINTH_MAP_WRITE | PLINTH_MAP_EXEC | PLINTH_MAP_MMIO |
			   PLINTH_MAP_ROM | PLINTH_MAP_DEVICE))
		return false;
	if (flags & PLINTH_MAP_MMIO)
		return !(flags & (PLINTH_MAP_ROM | PLINTH_MAP_DEVICE));
	return (flags & PLINTH_MAP_READ) &&
	       !((flags & PLINTH_MAP_ROM) && (flags & PLINTH_MAP_WRITE));
}

/* What a range becomes. */
struct vm_mapping {
	u64 pa, leaf;
};

/*
 * Map a range, or unmap it (`m` is NULL), and keep count of what is in use, so that memory is counted as long as it is
 * mapped, also where only a part could be done. vm->lock held. -> pages that were mapped before; 0 or -errno in *ret.
 */
static u64 vm_apply(struct vm *vm, u64 gpa, u64 size, const struct vm_mapping *m, int *ret)
{
	bool page = m && m->leaf & PTE_P;
	u64 before = 0;

	mm_use_lock();
	*ret = page ? mm_use(m->pa, size) : 0;
	if (*ret)
		goto unlock;
	before = vm_count_use(vm, gpa, size, false);
	*ret = m ? pt_map(&vm->npt, gpa, m->pa, size, m->leaf) : pt_unmap(&vm->npt, gpa, size);
	vm->mapped_pages -= before;
	if (!*ret && page)
		vm->mapped_pages += size / PAGE_SIZE;
	if (*ret)
		vm->mapped_pages += vm_count_use(vm, gpa, size, true);
	if (*ret && page)
		mm_unuse(m->pa, size);
unlock:
	mm_use_unlock();
	return before;
}

s64 vm_map(u64 id, u64 gpa, u64 pa, u64 size, u64 flags)
{
	bool marker = flags & PLINTH_MAP_MMIO;
	const struct vm_mapping m = { .pa = marker ? 0 : pa, .leaf = vm_leaf(flags) };
	struct vm *vm;
	u64 before;
	s64 err;
	int ret;

	if (!vm_flags_ok(flags) || !vm_range_ok(gpa, size) ||
	    (!marker && !vm_pages_ok(pa, size, flags)))
		return -EINVAL;
	vm = vm_get(id, &err);
	if (!vm)
		return err;
	spin_lock(&vm->lock);
	before = vm_apply(vm, gpa, size, &m, &ret);
	if (before || vm->npt.dead)
		vm_flush(vm);
	spin_unlock(&vm->lock);
	vm_put(vm);
	return ret;
}

s64 vm_unmap(u64 id, u64 gpa, u64 size)
{
	struct vm *vm;
	u64 before;
	s64 err;
	int ret;

	if (!vm_range_ok(gpa, size))
		return -EINVAL;
	vm = vm_get(id, &err);
	if (!vm)
		return err;
	spin_lock(&vm->lock);
	before = vm_apply(vm, gpa, size, NULL, &ret);
	/* Tables that held nothing but marks are walked, too. */
	if (before || vm->npt.dead)
		vm_flush(vm);
	spin_unlock(&vm->lock);
	vm_put(vm);
	return ret ? ret : (s64)before;
}

s64 vm_protect(u64 id, u64 gpa, u64 size)
{
	struct vm *vm;
	s64 err;
	int ret;

	if (!vm_range_ok(gpa, size))
		return -EINVAL;
	vm = vm_get(id, &err);
	if (!vm)
		return err;
	spin_lock(&vm->lock);
	ret = pt_clear_bits(&vm->npt, gpa, size, PTE_W);
	vm_flush(vm);
	spin_unlock(&vm->lock);
	vm_put(vm);
	return ret;
}

enum vm_mem vm_mem(struct vm *vm, u64 gpa, bool write, u64 *hpa)
{
	unsigned int shift;
	u64 pte;

	if (gpa >= vm_gpa_end())
		return VM_MEM_MMIO;
	if (pt_lookup(&vm->npt, gpa, &pte, &shift))
		return pte & PTE_SW_MMIO ? VM_MEM_MMIO : VM_MEM_MISSING;
	if (write && !(pte & PTE_W))
		return pte & PTE_SW_ROM ? VM_MEM_ROM : VM_MEM_MISSING;
	*hpa = (pte & PTE_ADDR) | (gpa & (PAGE_SIZE - 1));
	return pte & VM_PTE_DEVICE ? VM_MEM_DEVICE : VM_MEM_RAM;
}

_Static_assert(PLINTH_MSI_IDS32 == LAPIC_MSI_IDS32 && PLINTH_MSI_BCAST8 == LAPIC_MSI_BCAST8,
	       "flags of an MSI");

s64 vm_msi(u64 id, u64 addr, u64 data, u64 wake_pa, u64 flags)
{
	struct lapic_ipi ipi;
	struct vm *vm;
	u64 wake;
	s64 err;
	u32 taken;

	if (wake_pa && (wake_pa & 7 || !mm_root_ram(wake_pa, sizeof(struct plinth_wake))))
		return -EFAULT;
	if (data >> 32 || flags & ~(u64)(PLINTH_MSI_IDS32 | PLINTH_MSI_BCAST8) ||
	    lapic_msi_decode(&ipi, addr, data, flags))
		return -EINVAL;
	vm = vm_get(id, &err);
	if (!vm)
		return err;
	wake = vm_deliver(vm, &ipi, NULL, &taken);
	vm_put(vm);
	if (wake_pa)
		((struct plinth_wake *)mm_va(wake_pa))->mask = wake;
	return taken;
}

s64 vm_eoi_bitmap(u64 id, u64 bitmap_pa)
{
	struct vm *vm;
	s64 err;
	u32 i;

	if (bitmap_pa & 7 || !mm_root_ram(bitmap_pa, sizeof(vm->eoi_bitmap)))
		return -EFAULT;
	vm = vm_get(id, &err);
	if (!vm)
		return err;
	for (i = 0; i < ARRAY_SIZE(vm->eoi_bitmap); i++)
		__atomic_store_n(&vm->eoi_bitmap[i], ((u64 *)mm_va(bitmap_pa))[i],
				 __ATOMIC_RELAXED);
	vm_put(vm);
	return 0;
}

#ifdef PLINTH_DEBUG
void vm_crash(u64 id)
{
	s64 err;
	struct vm *vm = vm_find(id, VM_BROKEN, &err);

	if (!vm)
		return;
	spin_lock(&vm->lock);
	mm_use_lock();
	__asm__ volatile("ud2");
}
#endif

void vm_recover(struct cpu *c)
{
	struct vm *vm = c->serves;
	u32 i;

	if (!vm)
		return;
	log_printf("core: VM %u is broken: it runs no more\n", vm->id);
	__atomic_fetch_or(&vm->refs, VM_BROKEN, __ATOMIC_SEQ_CST);
	for (i = 0; i < PLINTH_MAX_VPS_PER_VM; i++) {
		struct vp *vp = vm_vp(vm, i);

		if (vp && vp->owner == c->index + 1)
			__atomic_store_n(&vp->owner, 0, __ATOMIC_SEQ_CST);
	}
	/* Those that run now leave their guest, and find it broken (vp_prepare()). */
	cpu_shootdown(vm_runs_on, vm);
	vm_put(vm);
}

u32 vm_count(void)
{
	u32 i, n = 0;

	for (i = 0; i < PLINTH_MAX_VMS; i++)
		n += __atomic_load_n(&vms[i].refs, __ATOMIC_ACQUIRE) != 0;
	return n;
}

static void vm_status_one(struct vm *vm, struct plinth_vm_status *st)
{
	u32 i, k;

	st->id = vm->id;
	st->vps = vm->nr_vps;
	st->mapped_pages = vm->mapped_pages;
	for (i = 0; i < PLINTH_MAX_VPS_PER_VM; i++) {
		const struct vp *vp = vm_vp(vm, i);

		if (!vp)
			continue;
		st->exits += vp->stats.exits;
		for (k = 0; k < PLINTH_NR_KINDS; k++)
			st->kinds[k] += vp->stats.kinds[k];
	}
}

void vm_status(struct plinth_status *st)
{
	u32 i, n = 0;

	for (i = 0; i < PLINTH_MAX_VMS; i++) {
		s64 err;
		struct vm *vm = vm_find(i, VM_BROKEN, &err);

		if (!vm)
			continue;
		vm_status_one(vm, &st->vm[n++]);
		vm_put(vm);
	}
	st->nr_vms = n;
}
