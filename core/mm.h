/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The core's memory: a pool of 4 KiB pages made of the 2 MiB chunks that the root gave, and the map
 * of all RAM in which the core reaches them and the pages that hypercalls name.
 */
#ifndef CORE_MM_H
#define CORE_MM_H

#include "core/types.h"
#include "core/x86/paging.h"
#include <plinth/abi.h>

/* Take over the pool that the module left (struct plinth_boot). Once, on the first CPU. */
void mm_init(struct plinth_boot *boot);

/*
 * A zeroed page by physical address, 0 if the pool is empty, or a bug struck a CPU that worked on it: then nothing is
 * given out, taken back or added any more. Any CPU; takes the pool's lock.
 */
u64 mm_alloc(void);
void mm_free(u64 pa);
/* `count` physically contiguous zeroed pages (permission maps), 0 if there are none. */
u64 mm_alloc_contig(unsigned int count);
void mm_free_contig(u64 pa, unsigned int count);

/* Where physical memory (RAM only) is mapped. */
static inline void *mm_va(u64 pa)
{
	return (void *)(PLINTH_VA_PHYSMAP + pa);
}
static inline u64 mm_pa(const void *va) /* of a physmap address */
{
	return (u64)va - PLINTH_VA_PHYSMAP;
}

/* Conventional memory ends here. Processors start in it, so no child shares it, nor a VP's shared pages lie there. */
#define MM_LOW_END 0xa0000ull

/* Is [pa, pa + size) wholly RAM that belongs to the root (so not the core's)? */
bool mm_root_ram(u64 pa, u64 size);
/* Does [pa, pa + size) touch memory of the core? */
bool mm_is_core(u64 pa, u64 size);
/* Is [pa, pa + size) inside one of the RAM ranges that the root reported? */
bool mm_ram(u64 pa, u64 size);

/*
 * Memory of the root that the core or a child goes on using when the hypercall is over: it cannot become the core's until
 * mm_unuse(). -EINVAL: part of it is the core's; -ENOMEM: donate a chunk and try again.
 */
int mm_use(u64 pa, u64 size);
void mm_unuse(u64 pa, u64 size);
/* Both are called with this lock held, which comes after a VM's and before the pool's. */
void mm_use_lock(void);
void mm_use_unlock(void);
/* Between these two calls children may exist and memory may be in use. */
void mm_use_begin(void);
void mm_use_end(void);

/*
 * A 2 MiB chunk becomes the core's in two steps: claimed, it is no longer the root's (-EBUSY: it is in use by
 * mm_use(); -EINVAL: it is the core's already; -ENOSPC: too many; -EIO: after a bug); open, when nobody reaches it any more by
 * what he knew before, the pool hands its pages out. mm_drop_chunk() undoes a claim.
 */
int mm_claim_chunk(u64 pa);
void mm_open_chunk(u64 pa);
void mm_drop_chunk(u64 pa);
/*
 * Claim a chunk of the pool that is wholly free, to give it back, if `keep` bytes stay free: -> its address, -ENOENT. The
 * root's nested tables are the caller's business (root_donate(), root_reclaim()).
 */
s64 mm_take_chunk(u64 keep);

/*
 * A range that is the core's for a moment (ap.c): mm_is_core() holds for it from mm_hold() to mm_unhold(). One at a time.
 */
void mm_hold(u64 pa, u64 size);
void mm_unhold(void);
bool mm_held(u64 pa, u64 size);

u64 mm_total(void);
u64 mm_free_bytes(void);

/* Page-table operations on pool pages, for struct pt. */
extern const struct pt_ops mm_pt_ops;

#endif
