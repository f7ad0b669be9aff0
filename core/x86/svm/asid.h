/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Address space identifiers of children. Each CPU hands out its own, in generations: when they run out, the whole TLB
 * is flushed and numbering starts again, which makes every identifier of before invalid. The core is 0,
 * the root 1 on every CPU. Pure.
 */
#ifndef CORE_X86_SVM_ASID_H
#define CORE_X86_SVM_ASID_H

#include "core/types.h"

#define ASID_FIRST 2

/* A CPU's, all zero at first. */
struct asid_cpu {
	u64 generation;
	u32 next;
};

/* What a VP was given last; all zero at first, and when its TLB entries shall be forgotten. */
struct asid {
	u64 generation;
	u32 cpu;
	u32 asid; /* 0: none */
};

/*
 * Make *a valid on CPU `cpu`, of which *pool is the state; identifiers are 0..limit-1, limit > ASID_FIRST.
 * true: all TLB entries of the CPU have to be flushed before it is used.
 */
static inline bool asid_get(struct asid_cpu *pool, u32 limit, u32 cpu, struct asid *a)
{
	bool flush = false;

	if (likely(a->asid && a->cpu == cpu && a->generation == pool->generation))
		return false;
	if (pool->next < ASID_FIRST || pool->next >= limit) {
		pool->next = ASID_FIRST;
		pool->generation++;
		flush = true;
	}
	*a = (struct asid){ .generation = pool->generation, .cpu = cpu, .asid = pool->next++ };
	return flush;
}

#endif
