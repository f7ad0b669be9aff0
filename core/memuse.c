// SPDX-License-Identifier: GPL-2.0-only
#include "core/memuse.h"

#define ENTRIES 512u
#define TOP_SHIFT                                                                                  \
	(MEMUSE_SHIFT + 27) /* of root[]; below it two levels of tables, then one of counters */

static u64 *table_at(const struct memuse *m, u64 pa)
{
	return m->ops->map(m->ops->ctx, pa);
}

/* Where a piece is counted; NULL: it never was, and with `make` there is no memory to begin. */
static u64 *counter(struct memuse *m, u64 pa, bool make)
{
	u64 *entry = &m->root[pa >> TOP_SHIFT & (MEMUSE_ROOTS - 1)];
	unsigned int shift;

	for (shift = TOP_SHIFT - 9; shift >= MEMUSE_SHIFT; shift -= 9) {
		if (!*entry && make)
			*entry = m->ops->alloc(m->ops->ctx);
		if (!*entry)
			return NULL;
		entry = &table_at(m, *entry)[pa >> shift & (ENTRIES - 1)];
	}
	return entry;
}

/* Bytes from pa to the end of its piece, `size` at most. */
static u64 in_piece(u64 pa, u64 size)
{
	u64 left = BIT(MEMUSE_SHIFT) - (pa & (BIT(MEMUSE_SHIFT) - 1));

	return MIN(left, size);
}

int memuse_add(struct memuse *m, u64 pa, u64 size)
{
	u64 at, n;

	for (at = 0; at < size; at += n) {
		u64 *c = counter(m, pa + at, true);

		if (!c) {
			memuse_sub(m, pa, at);
			return -ENOMEM;
		}
		n = in_piece(pa + at, size - at);
		*c += n / PAGE_SIZE;
	}
	return 0;
}

void memuse_sub(struct memuse *m, u64 pa, u64 size)
{
	u64 at, n;

	for (at = 0; at < size; at += n) {
		n = in_piece(pa + at, size - at);
		*counter(m, pa + at, false) -= n / PAGE_SIZE;
	}
}

u64 memuse_count(const struct memuse *m, u64 pa)
{
	const u64 *c = counter((struct memuse *)m, pa, false);

	return c ? *c : 0;
}

static void free_table(struct memuse *m, u64 pa, unsigned int level)
{
	const u64 *table = table_at(m, pa);
	unsigned int i;

	for (i = 0; level && i < ENTRIES; i++)
		if (table[i])
			free_table(m, table[i], level - 1);
	m->ops->free(m->ops->ctx, pa);
}

void memuse_reset(struct memuse *m)
{
	unsigned int i;

	for (i = 0; i < MEMUSE_ROOTS; i++) {
		if (m->root[i])
			free_table(m, m->root[i], 2);
		m->root[i] = 0;
	}
}
