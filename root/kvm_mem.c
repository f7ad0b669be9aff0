// SPDX-License-Identifier: GPL-2.0-only
/*
 * A child's memory is memory of its worker (architecture, decision 6). Slots say which; nested mappings are made on
 * demand, without holding the pages, and taken back by the MMU notifier whenever Linux changes the
 * worker's own mapping: so migration, huge pages, copy-on-write, reclaim and NUMA policy keep working.
 *
 * No mapping outlives the worker's, because a page found by get_user_pages is mapped only if, with
 * mmu_lock held, no invalidation of its address is under way and none has ended since before the look-up
 * (mmu_seq). An invalidation first registers itself under mmu_lock, then unmaps.
 */
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

#include <asm/pgtable.h>

#include "kvm.h"

#define PMEM_HUGE_PAGES (PMD_SIZE >> PAGE_SHIFT)
/* What one hypercall unmaps at most: the core answers no interrupt meanwhile. */
#define PMEM_UNMAP_PAGES ((64ull << 20) >> PAGE_SHIFT)
/* KVM's own limit for a slot. */
#define PMEM_MAX_PAGES ((1ull << 31) - 1)
/* Marks of holes cost the core page tables: forget them when a child has made so many. */
#define PMEM_MAX_MARKS 4096

/* The end of what nested tables can hold: they have as many levels as the root's own. */
static u64 gpa_end(void)
{
	return 1ull << min_t(u32, boot_cpu_data.x86_phys_bits, pgtable_l5_enabled() ? 52 : 48);
}

/* ---- slots ---- */

/* The slot at or, if none holds it, after `gfn`: an index, nr_slots if there is none. */
static u32 slot_lower_bound(const struct pvm *vm, u64 gfn)
{
	u32 lo = 0, hi = vm->nr_slots;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;
		const struct pvm_slot *s = vm->slots[mid];

		if (s->gfn + s->npages <= gfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct pvm_slot *slot_find(const struct pvm *vm, u64 gfn)
{
	u32 i = slot_lower_bound(vm, gfn);

	if (i == vm->nr_slots || vm->slots[i]->gfn > gfn)
		return NULL;
	return vm->slots[i];
}

static struct pvm_slot *slot_by_id(const struct pvm *vm, u32 id)
{
	u32 i;

	for (i = 0; i < vm->nr_slots; i++) {
		if (vm->slots[i]->id == id)
			return vm->slots[i];
	}
	return NULL;
}

static bool slot_overlaps(const struct pvm *vm, u64 gfn, u64 npages, const struct pvm_slot *except)
{
	u32 i;

	for (i = slot_lower_bound(vm, gfn); i < vm->nr_slots; i++) {
		if (vm->slots[i]->gfn >= gfn + npages)
			break;
		if (vm->slots[i] != except)
			return true;
	}
	return false;
}

static void slot_insert(struct pvm *vm, struct pvm_slot *slot)
{
	u32 i = slot_lower_bound(vm, slot->gfn);

	memmove(&vm->slots[i + 1], &vm->slots[i], (vm->nr_slots - i) * sizeof(slot));
	vm->slots[i] = slot;
	vm->nr_slots++;
}

static void slot_remove(struct pvm *vm, struct pvm_slot *slot)
{
	u32 i = slot_lower_bound(vm, slot->gfn);

	vm->nr_slots--;
	memmove(&vm->slots[i], &vm->slots[i + 1], (vm->nr_slots - i) * sizeof(slot));
}

static size_t slot_dirty_bytes(const struct pvm_slot *slot)
{
	return ALIGN(slot->npages, BITS_PER_LONG) / 8;
}

/* ---- taking mappings back ---- */

/* -> pages that were mapped. */
static s64 unmap_piece(struct pvm *vm, u64 gfn, u64 npages)
{
	u64 end = round_up(gfn + npages, PMEM_HUGE_PAGES);
	s64 r;

	r = plinth_hypercall(PLINTH_HC_VM_UNMAP, vm->id, gfn << PAGE_SHIFT, npages << PAGE_SHIFT, 0,
			     0);
	if (r != -ENOMEM)
		return r;
	/* No memory to split a large page, and no way to wait for some: let it go as a whole. */
	gfn = round_down(gfn, PMEM_HUGE_PAGES);
	return plinth_hypercall(PLINTH_HC_VM_UNMAP, vm->id, gfn << PAGE_SHIFT,
				(end - gfn) << PAGE_SHIFT, 0, 0);
}

/* -> whether anything was mapped. */
static bool unmap_pages(struct pvm *vm, u64 gfn, u64 npages, bool may_sleep)
{
	bool any = false;

	while (npages) {
		u64 n = min_t(u64, npages, PMEM_UNMAP_PAGES);
		s64 r = unmap_piece(vm, gfn, n);

		/* The child must not keep what Linux takes back; -EIO: it runs no more. */
		WARN_ONCE(r < 0 && r != -EIO, "plinth: the core keeps pages of VM %u: %lld\n",
			  vm->id, r);
		any |= r > 0;
		gfn += n;
		npages -= n;
		if (may_sleep)
			cond_resched();
	}
	return any;
}

/*
 * The next piece of a slot, at or after *gfn, that lies in worker addresses [start, end): its first page and
 * size; *gfn moves behind its slot. false: no more. The slots may change between two calls: then
 * whoever changes them unmaps.
 */
static bool next_overlap(struct pvm *vm, unsigned long start, unsigned long end, u64 *gfn,
			 u64 *first, u64 *npages)
{
	bool found = false;
	u32 i;

	spin_lock(&vm->mmu_lock);
	for (i = slot_lower_bound(vm, *gfn); i < vm->nr_slots && !found; i++) {
		const struct pvm_slot *s = vm->slots[i];
		unsigned long slot_end = s->hva + (s->npages << PAGE_SHIFT);
		unsigned long from = max(start, s->hva), to = min(end, slot_end);

		*gfn = s->gfn + s->npages;
		if (from >= to)
			continue;
		from = round_down(from, PAGE_SIZE);
		*first = s->gfn + ((from - s->hva) >> PAGE_SHIFT);
		*npages = (round_up(to, PAGE_SIZE) - from) >> PAGE_SHIFT;
		found = true;
	}
	spin_unlock(&vm->mmu_lock);
	return found;
}

static bool unmap_hva(struct pvm *vm, unsigned long start, unsigned long end, bool may_sleep)
{
	u64 gfn = 0, first, npages;
	bool any = false;

	while (next_overlap(vm, start, end, &gfn, &first, &npages))
		any |= unmap_pages(vm, first, npages, may_sleep);
	return any;
}

static int notifier_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct pvm *vm = container_of(mn, struct pvm, mn);

	spin_lock(&vm->mmu_lock);
	if (!vm->inv_count++) {
		vm->inv_start = range->start;
		vm->inv_end = range->end;
	} else {
		vm->inv_start = min(vm->inv_start, range->start);
		vm->inv_end = max(vm->inv_end, range->end);
	}
	spin_unlock(&vm->mmu_lock);
	unmap_hva(vm, range->start, range->end, mmu_notifier_range_blockable(range));
	return 0;
}

static void notifier_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct pvm *vm = container_of(mn, struct pvm, mn);

	spin_lock(&vm->mmu_lock);
	vm->mmu_seq++;
	vm->inv_count--;
	spin_unlock(&vm->mmu_lock);
}

/*
 * Was the range used? The nested tables are not searched for accessed bits: the mappings go, and whoever uses
 * the page again says so by faulting. Called under the page table's lock, so without sleeping; a mapper that
 * has found the page before may map it again at once, which is right, as the page stays where it is.
 */
static int notifier_clear_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start,
				unsigned long end)
{
	return unmap_hva(container_of(mn, struct pvm, mn), start, end, false);
}

/* The worker's address space is going: nobody can run the child any more, and its pages are about to be freed. */
static void notifier_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	unmap_hva(container_of(mn, struct pvm, mn), 0, ULONG_MAX, true);
}

static const struct mmu_notifier_ops notifier_ops = {
	.invalidate_range_start = notifier_start,
	.invalidate_range_end = notifier_end,
	.clear_flush_young = notifier_clear_young,
	.clear_young = notifier_clear_young,
	.release = notifier_release,
};

/* mmu_lock held. */
static bool invalidated_since(const struct pvm *vm, u64 seq, unsigned long hva)
{
	if (vm->inv_count && hva >= vm->inv_start && hva < vm->inv_end)
		return true;
	return vm->mmu_seq != seq;
}

/* ---- mapping on demand ---- */

/* What to map: a page of the worker, or a device's. */
struct pmem_page {
	struct page *page; /* with a reference, NULL for a device */
	u64 pfn;
	bool writable;
	bool device;
};

/*
 * The leaf with which the worker itself maps `hva`: true if it is 2 MiB or more. Interrupts off keep the tables
 * from being freed under the walk, as in get_user_pages_fast; entries are read once because they may become
 * huge meanwhile.
 */
static bool hva_is_huge(struct mm_struct *mm, unsigned long hva, bool *writable)
{
	unsigned long irqs;
	bool huge = false;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(irqs);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_large(pud)) {
		huge = true;
		*writable = pud_write(pud);
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (pmd_none(pmd) || !pmd_present(pmd) || !pmd_large(pmd))
		goto out;
	huge = true;
	*writable = pmd_write(pmd);
out:
	local_irq_restore(irqs);
	return huge;
}

/* A mapping that has no struct page of its own: VFIO's BARs and the like. */
static int find_device_page(struct mm_struct *mm, unsigned long hva, bool write,
			    struct pmem_page *out)
{
	struct vm_area_struct *vma;
	bool unlocked = false;
	spinlock_t *ptl;
	pte_t *pte;
	int r;

	mmap_read_lock(mm);
again:
	r = -EFAULT;
	vma = vma_lookup(mm, hva);
	if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)))
		goto out;
	r = follow_pte(mm, hva, &pte, &ptl);
	if (r) {
		if (unlocked)
			goto out;
		/* get_user_pages doesn't call the fault handler of such areas. */
		r = fixup_user_fault(mm, hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
		if (r)
			goto out;
		unlocked = true;
		goto again;
	}
	out->page = NULL;
	out->pfn = pte_pfn(*pte);
	out->writable = pte_write(*pte);
	out->device = !page_is_ram(out->pfn);
	pte_unmap_unlock(pte, ptl);
	if (write && !out->writable)
		r = -EFAULT;
out:
	mmap_read_unlock(mm);
	return r;
}

static int find_page(struct mm_struct *mm, unsigned long hva, bool write, struct pmem_page *out)
{
	int r;

	out->device = false;
	out->writable = true;
	/* A read of a page that could be written as well need not fault twice. */
	if (get_user_pages_fast_only(hva, 1, FOLL_WRITE, &out->page) == 1)
		goto found;
	out->writable = write;
	r = get_user_pages_fast(hva, 1, write ? FOLL_WRITE : 0, &out->page);
	if (r == 1)
		goto found;
	if (r == -EHWPOISON || fatal_signal_pending(current))
		return r == -EHWPOISON ? r : -EINTR;
	return find_device_page(mm, hva, write, out);
found:
	out->pfn = page_to_pfn(out->page);
	return 0;
}

static void release_page(struct pmem_page *p)
{
	if (p->page)
		put_page(p->page);
}

/*
 * The child will write through the nested mapping, which leaves no trace in the worker's page table: so the page
 * counts as dirty from now until the mapping goes.
 */
static void note_use(const struct pmem_page *p, bool writable)
{
	if (!p->page || PageReserved(p->page))
		return;
	mark_page_accessed(p->page);
	if (writable && !PageDirty(compound_head(p->page)))
		set_page_dirty_lock(p->page);
}

/* Can the 2 MiB around `gfn` be one page in the slot and in the machine? Their offsets have to agree. */
static bool huge_fits(const struct pvm_slot *s, u64 gfn, u64 pfn)
{
	u64 first = round_down(gfn, PMEM_HUGE_PAGES);
	u64 hva_page = (s->hva >> PAGE_SHIFT) + (gfn - s->gfn);

	if (first < s->gfn || first + PMEM_HUGE_PAGES > s->gfn + s->npages)
		return false;
	return !((gfn ^ pfn) & (PMEM_HUGE_PAGES - 1)) &&
	       !((gfn ^ hva_page) & (PMEM_HUGE_PAGES - 1));
}

/* Make the nested mapping. mmu_lock held; the slot is still there and the page still current. */
static s64 map_page(struct pvm *vm, struct pvm_slot *s, u64 gfn, const struct pmem_page *p,
		    bool writable, bool write)
{
	u64 flags = PLINTH_MAP_READ | PLINTH_MAP_EXEC, bytes = PAGE_SIZE, pfn = p->pfn;
	unsigned long hva = s->hva + ((gfn - s->gfn) << PAGE_SHIFT);
	bool huge_writable = false;
	u64 at = gfn;
	s64 r;

	if (s->flags & KVM_MEM_READONLY)
		flags |= PLINTH_MAP_ROM;
	else if (writable)
		flags |= PLINTH_MAP_WRITE;
	if (p->device)
		flags |= PLINTH_MAP_DEVICE;
	if (!s->dirty && p->page && huge_fits(s, gfn, pfn) &&
	    hva_is_huge(vm->mm, hva, &huge_writable)) {
		at = round_down(gfn, PMEM_HUGE_PAGES);
		pfn = round_down(pfn, PMEM_HUGE_PAGES);
		bytes = PMD_SIZE;
		if (!huge_writable)
			flags &= ~(u64)PLINTH_MAP_WRITE;
	}
	r = plinth_hypercall(PLINTH_HC_VM_MAP, vm->id, at << PAGE_SHIFT, pfn << PAGE_SHIFT, bytes,
			     flags);
	if (!r && s->dirty && write)
		set_bit(gfn - s->gfn, s->dirty);
	return r;
}

/* A page that no slot holds: accesses to it go to the user. mmu_lock held. */
static s64 mark_hole(struct pvm *vm, u64 gfn)
{
	s64 r = plinth_hypercall(PLINTH_HC_VM_MAP, vm->id, gfn << PAGE_SHIFT, 0, PAGE_SIZE,
				 PLINTH_MAP_MMIO);

	if (!r)
		vm->mmio_marks++;
	return r;
}

/* Unmap all that lies between slots; slots may change meanwhile, whose change unmaps by itself. */
static void forget_holes(struct pvm *vm)
{
	u64 gfn = 0, end = gpa_end() >> PAGE_SHIFT;

	while (gfn < end) {
		u64 hole_end = end, next = end;
		u32 i;

		spin_lock(&vm->mmu_lock);
		vm->mmio_marks = 0;
		i = slot_lower_bound(vm, gfn);
		if (i < vm->nr_slots) {
			hole_end = max(gfn, vm->slots[i]->gfn);
			next = vm->slots[i]->gfn + vm->slots[i]->npages;
		}
		spin_unlock(&vm->mmu_lock);
		if (hole_end > gfn)
			plinth_hypercall(PLINTH_HC_VM_UNMAP, vm->id, gfn << PAGE_SHIFT,
					 (hole_end - gfn) << PAGE_SHIFT, 0, 0);
		gfn = next;
		cond_resched();
	}
}

/* One attempt. -EAGAIN: something changed meanwhile, the child may fault again. */
static s64 try_fault(struct pvm *vm, u64 gfn, bool write)
{
	struct pvm_slot *found, slot;
	struct pmem_page page;
	bool writable;
	u64 seq;
	s64 r;

	spin_lock(&vm->mmu_lock);
	seq = vm->mmu_seq;
	found = slot_find(vm, gfn);
	if (!found) {
		r = mark_hole(vm, gfn);
		spin_unlock(&vm->mmu_lock);
		return r;
	}
	slot = *found;
	spin_unlock(&vm->mmu_lock);

	if (slot.flags & KVM_MEM_READONLY)
		write = false; /* the core turns a write to a ROM page into PLINTH_EXIT_MMIO */
	r = find_page(vm->mm, slot.hva + ((gfn - slot.gfn) << PAGE_SHIFT), write, &page);
	if (r)
		return r;
	/* With a dirty log only a write may make a page writable. */
	writable = page.writable && !(slot.flags & KVM_MEM_READONLY) && (write || !slot.dirty);
	note_use(&page, writable);

	spin_lock(&vm->mmu_lock);
	found = slot_find(vm, gfn);
	if (!found || invalidated_since(vm, seq, slot.hva + ((gfn - slot.gfn) << PAGE_SHIFT)))
		r = -EAGAIN;
	else
		r = map_page(vm, found, gfn, &page, writable, write);
	spin_unlock(&vm->mmu_lock);
	release_page(&page);
	return r;
}

int pmem_fault(struct pvm *vm, u64 gpa, bool write)
{
	u64 gfn = gpa >> PAGE_SHIFT;
	s64 r;

	if (READ_ONCE(vm->mmio_marks) >= PMEM_MAX_MARKS)
		forget_holes(vm);
	do {
		r = try_fault(vm, gfn, write);
		if (r != -ENOMEM)
			break;
		r = plinth_donate();
	} while (!r);
	/* Whoever is changing the mapping needs time; the run loop looks for signals meanwhile. */
	if (r == -EAGAIN) {
		cond_resched();
		return 0;
	}
	/* The core refuses pages that a child must not have: for KVM that is memory which isn't there. */
	return r == -EINVAL ? -EFAULT : r;
}

/* ---- KVM_SET_USER_MEMORY_REGION ---- */

static int check_region(const struct kvm_userspace_memory_region *mem)
{
	u64 end = mem->guest_phys_addr + mem->memory_size;

	if (mem->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	if (!PAGE_ALIGNED(mem->memory_size) || !PAGE_ALIGNED(mem->guest_phys_addr) ||
	    !PAGE_ALIGNED(mem->userspace_addr))
		return -EINVAL;
	if (!access_ok((void __user *)(unsigned long)mem->userspace_addr, mem->memory_size))
		return -EINVAL;
	/* The high half of the slot number is an address space; there is one. */
	if (mem->slot >= PVM_MAX_SLOTS)
		return -EINVAL;
	if (end < mem->guest_phys_addr || mem->memory_size >> PAGE_SHIFT > PMEM_MAX_PAGES)
		return -EINVAL;
	if (end > gpa_end())
		return -EINVAL;
	return 0;
}

static int delete_slot(struct pvm *vm, struct pvm_slot *slot)
{
	spin_lock(&vm->mmu_lock);
	slot_remove(vm, slot);
	vm->mmu_seq++;
	spin_unlock(&vm->mmu_lock);
	unmap_pages(vm, slot->gfn, slot->npages, true);
	kvfree(slot->dirty);
	kfree(slot);
	return 0;
}

static int create_slot(struct pvm *vm, const struct kvm_userspace_memory_region *mem)
{
	struct pvm_slot *slot;

	if (vm->nr_slots == PVM_MAX_SLOTS)
		return -ENOMEM;
	slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);
	if (!slot)
		return -ENOMEM;
	slot->id = mem->slot;
	slot->gfn = mem->guest_phys_addr >> PAGE_SHIFT;
	slot->npages = mem->memory_size >> PAGE_SHIFT;
	slot->hva = mem->userspace_addr;
	slot->flags = mem->flags;
	if (slot->flags & KVM_MEM_LOG_DIRTY_PAGES) {
		slot->dirty = kvzalloc(slot_dirty_bytes(slot), GFP_KERNEL_ACCOUNT);
		if (!slot->dirty) {
			kfree(slot);
			return -ENOMEM;
		}
	}
	spin_lock(&vm->mmu_lock);
	slot_insert(vm, slot);
	vm->mmu_seq++;
	spin_unlock(&vm->mmu_lock);
	/* The range may hold marks of a hole. */
	unmap_pages(vm, slot->gfn, slot->npages, true);
	return 0;
}

static int move_slot(struct pvm *vm, struct pvm_slot *slot, u64 gfn)
{
	u64 old = slot->gfn;

	spin_lock(&vm->mmu_lock);
	slot_remove(vm, slot);
	slot->gfn = gfn;
	slot_insert(vm, slot);
	vm->mmu_seq++;
	spin_unlock(&vm->mmu_lock);
	unmap_pages(vm, old, slot->npages, true);
	unmap_pages(vm, gfn, slot->npages, true);
	return 0;
}

/*
 * Only the dirty log can change. Either way the mappings go: with a log they come back as small pages that are
 * read-only until written, without one they may become huge again.
 */
static int change_flags(struct pvm *vm, struct pvm_slot *slot, u32 flags)
{
	unsigned long *dirty = NULL;

	if (flags & KVM_MEM_LOG_DIRTY_PAGES) {
		dirty = kvzalloc(slot_dirty_bytes(slot), GFP_KERNEL_ACCOUNT);
		if (!dirty)
			return -ENOMEM;
	}
	spin_lock(&vm->mmu_lock);
	swap(slot->dirty, dirty);
	slot->flags = flags;
	vm->mmu_seq++;
	spin_unlock(&vm->mmu_lock);
	unmap_pages(vm, slot->gfn, slot->npages, true);
	kvfree(dirty);
	return 0;
}

static int set_region(struct pvm *vm, const struct kvm_userspace_memory_region *mem)
{
	struct pvm_slot *old = slot_by_id(vm, mem->slot);
	u64 gfn = mem->guest_phys_addr >> PAGE_SHIFT, npages = mem->memory_size >> PAGE_SHIFT;

	if (!npages)
		return old ? delete_slot(vm, old) : -EINVAL;
	if (old && (old->hva != mem->userspace_addr || old->npages != npages ||
		    (old->flags ^ mem->flags) & KVM_MEM_READONLY))
		return -EINVAL;
	if ((!old || old->gfn != gfn) && slot_overlaps(vm, gfn, npages, old))
		return -EEXIST;
	if (!old)
		return create_slot(vm, mem);
	if (old->gfn != gfn) {
		int r = old->flags != mem->flags ? change_flags(vm, old, mem->flags) : 0;

		return r ? r : move_slot(vm, old, gfn);
	}
	return old->flags != mem->flags ? change_flags(vm, old, mem->flags) : 0;
}

int pmem_set_region(struct pvm *vm, const struct kvm_userspace_memory_region *mem)
{
	int r = check_region(mem);

	if (r)
		return r;
	mutex_lock(&vm->slots_lock);
	r = set_region(vm, mem);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* ---- writing for the child ---- */

/* One piece that lies in one slot. */
static int write_piece(struct pvm *vm, u64 gpa, const void *buf, size_t *len)
{
	u64 gfn = gpa >> PAGE_SHIFT, offset = gpa & ~PAGE_MASK;
	struct pvm_slot *s;
	int r = -EFAULT;

	*len = min_t(size_t, *len, PAGE_SIZE - offset);
	mutex_lock(&vm->slots_lock);
	s = slot_find(vm, gfn);
	if (s && !(s->flags & KVM_MEM_READONLY) &&
	    !copy_to_user((void __user *)(s->hva + ((gfn - s->gfn) << PAGE_SHIFT) + offset), buf,
			  *len)) {
		if (s->dirty)
			set_bit(gfn - s->gfn, s->dirty);
		r = 0;
	}
	mutex_unlock(&vm->slots_lock);
	return r;
}

int pmem_write(struct pvm *vm, u64 gpa, const void *buf, size_t len)
{
	size_t n;
	int r = 0;

	for (; len && !r; len -= n, gpa += n, buf += n) {
		n = len;
		r = write_piece(vm, gpa, buf, &n);
	}
	return r;
}

/* ---- dirty log ---- */

static struct pvm_slot *logged_slot(struct pvm *vm, u32 id, int *err)
{
	struct pvm_slot *slot = NULL;

	*err = -EINVAL;
	if (id < PVM_MAX_SLOTS) {
		*err = -ENOENT;
		slot = slot_by_id(vm, id);
	}
	return slot && slot->dirty ? slot : NULL;
}

/* Make the pages of a bitmap read-only again, whole runs at a time. No page is written unlogged afterwards. */
static void protect_dirty(struct pvm *vm, const struct pvm_slot *slot, const unsigned long *bitmap,
			  u64 first, u64 npages)
{
	unsigned long from, to = 0;

	while ((from = find_next_bit(bitmap, npages, to)) < npages) {
		to = find_next_zero_bit(bitmap, npages, from);
		to = min_t(unsigned long, to, from + PMEM_UNMAP_PAGES);
		plinth_hypercall(PLINTH_HC_VM_PROTECT, vm->id,
				 (slot->gfn + first + from) << PAGE_SHIFT,
				 (u64)(to - from) << PAGE_SHIFT, 0, 0);
		cond_resched();
	}
}

int pmem_get_dirty_log(struct pvm *vm, const struct kvm_dirty_log *log)
{
	unsigned long *copy = NULL;
	struct pvm_slot *slot;
	size_t bytes, i;
	int r;

	mutex_lock(&vm->slots_lock);
	slot = logged_slot(vm, log->slot, &r);
	if (!slot)
		goto out;
	bytes = slot_dirty_bytes(slot);
	r = -ENOMEM;
	copy = kvmalloc(bytes, GFP_KERNEL_ACCOUNT);
	if (!copy)
		goto out;
	/* A page that is written after its bit was taken and before it is protected is still in this log. */
	for (i = 0; i < bytes / sizeof(long); i++)
		copy[i] = READ_ONCE(slot->dirty[i]) ? xchg(&slot->dirty[i], 0) : 0;
	protect_dirty(vm, slot, copy, 0, slot->npages);
	r = copy_to_user(log->dirty_bitmap, copy, bytes) ? -EFAULT : 0;
out:
	mutex_unlock(&vm->slots_lock);
	kvfree(copy);
	return r;
}

int pmem_clear_dirty_log(struct pvm *vm, const struct kvm_clear_dirty_log *log)
{
	unsigned long *mask = NULL;
	struct pvm_slot *slot;
	u64 words, i, left;
	int r;

	if (log->first_page & 63)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	slot = logged_slot(vm, log->slot, &r);
	if (!slot)
		goto out;
	r = -EINVAL;
	if (log->first_page > slot->npages)
		goto out;
	left = slot->npages - log->first_page;
	if (log->num_pages > left || (log->num_pages < left && log->num_pages & 63))
		goto out;
	words = BITS_TO_LONGS(log->num_pages);
	mask = vmemdup_user(log->dirty_bitmap, words * sizeof(long));
	if (IS_ERR(mask)) {
		r = PTR_ERR(mask);
		mask = NULL;
		goto out;
	}
	for (i = 0; i < words; i++) {
		atomic_long_t *word =
			(atomic_long_t *)&slot->dirty[log->first_page / BITS_PER_LONG + i];

		mask[i] &= atomic_long_fetch_andnot(mask[i], word);
	}
	protect_dirty(vm, slot, mask, log->first_page, log->num_pages);
	r = 0;
out:
	mutex_unlock(&vm->slots_lock);
	kvfree(mask);
	return r;
}

/* ---- life ---- */

int pmem_init(struct pvm *vm)
{
	mutex_init(&vm->slots_lock);
	spin_lock_init(&vm->mmu_lock);
	vm->mn.ops = &notifier_ops;
	return mmu_notifier_register(&vm->mn, current->mm);
}

void pmem_quiesce(struct pvm *vm)
{
	u32 i;

	mmu_notifier_unregister(&vm->mn, vm->mm);
	/* Piece by piece, as the core answers no interrupt while it destroys what is left. */
	for (i = 0; i < vm->nr_slots; i++)
		unmap_pages(vm, vm->slots[i]->gfn, vm->slots[i]->npages, true);
}

void pmem_free(struct pvm *vm)
{
	u32 i;

	for (i = 0; i < vm->nr_slots; i++) {
		kvfree(vm->slots[i]->dirty);
		kfree(vm->slots[i]);
	}
	vm->nr_slots = 0;
}
