/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page tables in the format that long mode and AMD's nested paging share (APM 2, 5.3 and 15.25):
 * 4 or 5 levels, pages of 4 KiB, 2 MiB and 1 GiB. Pure: memory comes through struct pt_ops, so the
 * same code makes the core's own tables and the root's nested tables in the module before the
 * launch, keeps them in the core after it, and runs in the unit tests.
 *
 * Locking: the caller's. TLB invalidation: the caller's.
 */
#ifndef CORE_X86_PAGING_H
#define CORE_X86_PAGING_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include "core/types.h"
#endif

#define PTE_P	    (1ull << 0)
#define PTE_W	    (1ull << 1)
#define PTE_U	    (1ull << 2) /* set in every entry of a nested table (APM 2, 15.25.5) */
#define PTE_PWT	    (1ull << 3)
#define PTE_PCD	    (1ull << 4)
#define PTE_A	    (1ull << 5)
#define PTE_D	    (1ull << 6)
#define PTE_PS	    (1ull << 7)
#define PTE_G	    (1ull << 8)
#define PTE_SW_MMIO (1ull << 9) /* ours; with P = 0: known to be MMIO, emulate without asking */
#define PTE_SW_ROM                                                                                 \
	(1ull << 10) /* ours; with P = 1, W = 0: a write is MMIO, not a fault to resolve */
#define PTE_NX	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

struct pt_ops {
	u64 (*alloc)(void *ctx);	 /* a zeroed 4 KiB page, or 0 */
	void (*free)(void *ctx, u64 pa); /* may be NULL where nothing is ever freed */
	void *(*map)(void *ctx, u64 pa); /* where the page can be read and written now */
	void *ctx;
};

struct pt {
	u64 root;	/* physical address of the top table */
	u32 levels;	/* 4 or 5 */
	u32 max_page;	/* log2 of the largest page: 12, 21 or 30 */
	u64 table_bits; /* bits set in each non-leaf entry, e.g. P | W | U */
	const struct pt_ops *ops;
	u64 dead; /* tables that are no longer reachable, for pt_reap() */
};

/* Allocate the top table. -ENOMEM. */
int pt_init(struct pt *pt, unsigned int levels, unsigned int max_page, u64 table_bits,
	    const struct pt_ops *ops);
/* Free all tables (not the pages they map). No processor may use them any more. */
void pt_destroy(struct pt *pt);
/*
 * Free the tables that maps and unmaps have replaced. Only after every processor that may walk them
 * has been shot down: until then they are kept, as their walks may be under way.
 */
void pt_reap(struct pt *pt);
/*
 * Map [va, va + size) to pa with `flags` in the leaves, replacing what was there, with the largest pages that
 * alignment allows. Addresses and size are multiples of 4 KiB (else -EINVAL). Entries with P clear
 * are stored as they are (markers). -ENOMEM: nothing is half done that a second call would not
 * finish.
 */
int pt_map(struct pt *pt, u64 va, u64 pa, u64 size, u64 flags);
/* Clear [va, va + size), splitting large pages at the edges; -ENOMEM if a split needs a page. */
int pt_unmap(struct pt *pt, u64 va, u64 size);
/* Clear `bits` in the present leaves of [va, va + size), splitting large pages at the edges. */
int pt_clear_bits(struct pt *pt, u64 va, u64 size, u64 bits);
/*
 * Find the leaf entry of va: 0 with *pte (its address part advanced to va's 4 KiB frame when the
 * leaf is a large page) and *shift (12, 21, 30), or -ENOENT with *pte = the non-present entry.
 */
int pt_lookup(const struct pt *pt, u64 va, u64 *pte, unsigned int *shift);

#endif
