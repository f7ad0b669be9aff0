// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables; see paging.h. Built three times: in the core, in the root's module (which makes the
 * tables that the launch starts from) and in the unit tests.
 */
#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/types.h>
#endif
#include "core/x86/paging.h"

#define PT_ENTRIES 512

static u64 *pt_table(const struct pt *pt, u64 pa)
{
	return pt->ops->map(pt->ops->ctx, pa);
}

static unsigned int pt_index(u64 va, unsigned int shift)
{
	return (va >> shift) & (PT_ENTRIES - 1);
}

static bool pte_is_table(u64 pte, unsigned int shift)
{
	return (pte & PTE_P) && shift > 12 && !(pte & PTE_PS);
}

/* Is nothing mapped and nothing marked? */
static bool pte_is_clear(u64 pte)
{
	return pte == 0;
}

int pt_init(struct pt *pt, unsigned int levels, unsigned int max_page, u64 table_bits,
	    const struct pt_ops *ops)
{
	pt->levels = levels;
	pt->max_page = max_page;
	pt->table_bits = table_bits;
	pt->ops = ops;
	pt->dead = 0;
	pt->root = ops->alloc(ops->ctx);
	return pt->root ? 0 : -ENOMEM;
}

/*
 * Put a table and those below it on the list of the dead. Entry 0 becomes the link: an address with
 * P = 0, so that a processor which still walks the table finds nothing there.
 */
static void pt_bury(struct pt *pt, u64 pa, unsigned int shift)
{
	u64 *table = pt_table(pt, pa);
	unsigned int i;

	for (i = 0; shift > 12 && i < PT_ENTRIES; i++)
		if (pte_is_table(table[i], shift))
			pt_bury(pt, table[i] & PTE_ADDR, shift - 9);
	__atomic_store_n(&table[0], pt->dead, __ATOMIC_RELEASE);
	pt->dead = pa;
}

void pt_reap(struct pt *pt)
{
	while (pt->dead) {
		u64 pa = pt->dead;

		pt->dead = pt_table(pt, pa)[0];
		if (pt->ops->free)
			pt->ops->free(pt->ops->ctx, pa);
	}
}

void pt_destroy(struct pt *pt)
{
	if (pt->root)
		pt_bury(pt, pt->root, 12 + 9 * (pt->levels - 1));
	pt_reap(pt);
	pt->root = 0;
}

/*
 * Replace a large leaf (or a marker that spans as much) by a table of 512 smaller ones that say the
 * same. The new table is complete before the entry points to it, so that a processor that walks the
 * tables meanwhile sees one or the other.
 */
static int pt_split(struct pt *pt, u64 *entry, unsigned int shift)
{
	u64 pa = pt->ops->alloc(pt->ops->ctx), old = *entry, *table;
	u64 step = 1ull << (shift - 9);
	unsigned int i;

	if (!pa)
		return -ENOMEM;
	table = pt_table(pt, pa);
	if (shift - 9 == 12)
		old &= ~PTE_PS;
	for (i = 0; i < PT_ENTRIES; i++)
		table[i] = (old & PTE_P) ? old + i * step : old;
	__atomic_store_n(entry, pa | pt->table_bits, __ATOMIC_RELEASE);
	return 0;
}

/* What to do with each leaf of a range. */
struct pt_range {
	u64 va, size;
	u64 pa;	   /* where va goes (mapping) */
	u64 set;   /* leaf flags (mapping) */
	u64 clear; /* bits to clear (clearing) */
	bool map;  /* else clear */
};

static void pt_write_leaf(struct pt *pt, u64 *entry, const struct pt_range *r, u64 va,
			  unsigned int shift)
{
	u64 old = *entry, new;

	if (r->map) {
		new = r->set;
		if (r->set & PTE_P)
			new |= (r->pa + (va - r->va)) | (shift > 12 ? PTE_PS : 0);
	} else if (r->clear == ~0ull) {
		new = 0;
	} else {
		new = (old & PTE_P) ? old & ~r->clear : old;
	}
	__atomic_store_n(entry, new, __ATOMIC_RELEASE);
	if (pte_is_table(old, shift))
		pt_bury(pt, old & PTE_ADDR, shift - 9);
}

/* May the whole of this entry be one leaf? */
static bool pt_whole(const struct pt *pt, const struct pt_range *r, u64 va, u64 end, u64 entry,
		     unsigned int shift)
{
	u64 span = 1ull << shift;

	if (shift == 12)
		return true;
	if ((va & (span - 1)) || end - va < span)
		return false;
	if (!r->map)
		return r->clear == ~0ull || !pte_is_table(entry, shift);
	return shift <= pt->max_page &&
	       (!(r->set & PTE_P) || !((r->pa + (va - r->va)) & (span - 1)));
}

static int pt_apply(struct pt *pt, const struct pt_range *r, u64 table_pa, unsigned int shift,
		    u64 va, u64 end)
{
	u64 *table = pt_table(pt, table_pa);
	u64 span = 1ull << shift, next;
	int ret;

	for (; va != end; va = next) {
		u64 *entry = &table[pt_index(va, shift)];

		next = (va & ~(span - 1)) + span;
		if (next > end || next < va)
			next = end;
		if (pt_whole(pt, r, va, end, *entry, shift)) {
			pt_write_leaf(pt, entry, r, va, shift);
			continue;
		}
		if (!r->map && pte_is_clear(*entry))
			continue;
		if (!pte_is_table(*entry, shift)) {
			ret = pt_split(pt, entry, shift);
			if (ret)
				return ret;
		}
		ret = pt_apply(pt, r, *entry & PTE_ADDR, shift - 9, va, next);
		if (ret)
			return ret;
	}
	return 0;
}

static int pt_range_op(struct pt *pt, const struct pt_range *r)
{
	u64 end = r->va + r->size;

	if ((r->va | r->size | r->pa) & 0xfff || (end < r->va && end != 0))
		return -EINVAL;
	if (!r->size)
		return 0;
	return pt_apply(pt, r, pt->root, 12 + 9 * (pt->levels - 1), r->va, end);
}

int pt_map(struct pt *pt, u64 va, u64 pa, u64 size, u64 flags)
{
	struct pt_range r = { .va = va, .pa = pa, .size = size, .set = flags, .map = true };

	return pt_range_op(pt, &r);
}

int pt_unmap(struct pt *pt, u64 va, u64 size)
{
	struct pt_range r = { .va = va, .size = size, .clear = ~0ull };

	return pt_range_op(pt, &r);
}

int pt_clear_bits(struct pt *pt, u64 va, u64 size, u64 bits)
{
	struct pt_range r = { .va = va, .size = size, .clear = bits };

	return pt_range_op(pt, &r);
}

int pt_lookup(const struct pt *pt, u64 va, u64 *pte, unsigned int *shift)
{
	unsigned int s = 12 + 9 * (pt->levels - 1);
	u64 pa = pt->root, e;

	for (;; s -= 9) {
		e = __atomic_load_n(&pt_table(pt, pa)[pt_index(va, s)], __ATOMIC_ACQUIRE);
		if (!pte_is_table(e, s))
			break;
		pa = e & PTE_ADDR;
	}
	*shift = s;
	*pte = e;
	if (!(e & PTE_P))
		return -ENOENT;
	if (s > 12)
		*pte = (e & ~PTE_PS) | (va & ((1ull << s) - 1) & PTE_ADDR);
	return 0;
}
