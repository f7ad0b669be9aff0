/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many pages of each 2 MiB piece of memory are in use by children: a radix tree of counters, of which
 * only those parts exist that have ever been asked to count. Costs a page for each GiB of memory in use, and one for
 * each 512 GiB. Pure: memory comes through struct pt_ops, as for page tables.
 *
 * Locking: the caller's.
 */
#ifndef CORE_MEMUSE_H
#define CORE_MEMUSE_H

#include "core/x86/paging.h"

#define MEMUSE_SHIFT 21 /* log2 of a piece's size */
#define MEMUSE_ROOTS 16 /* of 2^48 bytes each: all 52 bits of a physical address */

struct memuse {
	u64 root[MEMUSE_ROOTS]; /* physical address of a table of tables, 0: nothing was counted there yet */
	const struct pt_ops *ops;
};

/* Count the 4 KiB pages of [pa, pa + size), multiples of 4 KiB below 2^52, once more. -ENOMEM: nothing was counted. */
int memuse_add(struct memuse *m, u64 pa, u64 size);
/* Take one such count back. It must have been made. */
void memuse_sub(struct memuse *m, u64 pa, u64 size);
/* Uses of the pages of the piece that holds pa. */
u64 memuse_count(const struct memuse *m, u64 pa);
/* Free all counters: nothing is in use. */
void memuse_reset(struct memuse *m);

#endif
