// SPDX-License-Identifier: GPL-2.0-only
#include "core/cpu.h"
#include "core/memuse.h"
#include "core/mm.h"
#include "core/string.h"

/*
 * One 2 MiB chunk. Pages are handed out from `fresh` upwards and kept on a list of their own when
 * they come back, so that a chunk that is wholly free can be given back to the root.
 */
struct mm_chunk {
	u64 pa;
	u64 list;  /* freed pages, linked through their first word; 0: none */
	u32 fresh; /* offset of the first page that was never handed out */
	u32 used;  /* pages handed out, and those that the module filled */
};

static struct {
	struct spinlock lock;
	u32 count;
	u32 hint; /* chunk to look at first */
	u64 free_pages;
	struct mm_chunk chunk[PLINTH_MAX_CHUNKS]; /* by address */
	u64 held, held_end;			  /* mm_hold() */
	const struct plinth_start_params *params;
} mm;

#define CHUNK_PAGES (PLINTH_CHUNK_SIZE / PAGE_SIZE)

/* What mm_use() counts. Its lock comes before the pool's. */
static struct {
	struct spinlock lock;
	u32 users; /* mm_use_begin() */
	struct memuse count;
} use = { .count.ops = &mm_pt_ops };
_Static_assert(BIT(MEMUSE_SHIFT) == PLINTH_CHUNK_SIZE, "chunks are what is counted");

/* Index of the first chunk that ends above pa; mm.count if there is none. */
static u32 mm_find(u64 pa)
{
	u32 lo = 0, hi = mm.count;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (mm.chunk[mid].pa + PLINTH_CHUNK_SIZE <= pa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int mm_insert(u64 pa, u32 filled)
{
	u32 at = mm_find(pa);

	if (mm.count == PLINTH_MAX_CHUNKS)
		return -ENOSPC;
	memmove(&mm.chunk[at + 1], &mm.chunk[at], (mm.count - at) * sizeof(mm.chunk[0]));
	mm.chunk[at] = (struct mm_chunk){ .pa = pa, .fresh = filled, .used = filled / PAGE_SIZE };
	mm.count++;
	mm.hint = at;
	mm.free_pages += CHUNK_PAGES - filled / PAGE_SIZE;
	return 0;
}

void mm_init(struct plinth_boot *boot)
{
	u32 i;

	mm.params = &boot->params;
	for (i = 0; i < boot->nr_chunks && i < PLINTH_MAX_CHUNKS; i++)
		mm_insert(boot->chunk[i].pa, ALIGN_UP(boot->chunk[i].used, PAGE_SIZE));
}

static u64 mm_take(struct mm_chunk *c)
{
	u64 pa = c->list;

	if (pa) {
		c->list = *(u64 *)mm_va(pa);
	} else if (c->fresh < PLINTH_CHUNK_SIZE) {
		pa = c->pa + c->fresh;
		c->fresh += PAGE_SIZE;
	} else {
		return 0;
	}
	c->used++;
	mm.free_pages--;
	return pa;
}

u64 mm_alloc(void)
{
	u64 pa = 0;
	u32 i;

	spin_lock(&mm.lock);
	for (i = 0; i < mm.count && !pa && mm.free_pages && !mm.lock.broken; i++) {
		u32 at = (mm.hint + i) % mm.count;

		pa = mm_take(&mm.chunk[at]);
		if (pa)
			mm.hint = at;
	}
	spin_unlock(&mm.lock);
	if (pa)
		memset(mm_va(pa), 0, PAGE_SIZE);
	return pa;
}

void mm_free(u64 pa)
{
	struct mm_chunk *c;

	spin_lock(&mm.lock);
	if (!mm.lock.broken) {
		c = &mm.chunk[mm_find(pa)];
		*(u64 *)mm_va(pa) = c->list;
		c->list = pa;
		c->used--;
		mm.free_pages++;
	}
	spin_unlock(&mm.lock);
}

u64 mm_alloc_contig(unsigned int count)
{
	u64 pa = 0;
	u32 i;

	spin_lock(&mm.lock);
	for (i = 0; i < mm.count && !pa && !mm.lock.broken; i++) {
		struct mm_chunk *c = &mm.chunk[i];

		if (c->fresh + count * PAGE_SIZE > PLINTH_CHUNK_SIZE)
			continue;
		pa = c->pa + c->fresh;
		c->fresh += count * PAGE_SIZE;
		c->used += count;
		mm.free_pages -= count;
	}
	spin_unlock(&mm.lock);
	if (pa)
		memset(mm_va(pa), 0, count * PAGE_SIZE);
	return pa;
}

void mm_free_contig(u64 pa, unsigned int count)
{
	while (count--)
		mm_free(pa + count * PAGE_SIZE);
}

static bool mm_overlaps(u64 pa, u64 size)
{
	u32 at = mm_find(pa);

	if (pa < mm.held_end && pa + size > mm.held)
		return true;
	return at < mm.count && mm.chunk[at].pa < pa + size;
}

void mm_hold(u64 pa, u64 size)
{
	spin_lock(&mm.lock);
	mm.held = pa;
	mm.held_end = pa + size;
	spin_unlock(&mm.lock);
}

void mm_unhold(void)
{
	spin_lock(&mm.lock);
	mm.held = mm.held_end = 0;
	spin_unlock(&mm.lock);
}

bool mm_held(u64 pa, u64 size)
{
	bool held;

	spin_lock(&mm.lock);
	held = pa < mm.held_end && pa + size > mm.held;
	spin_unlock(&mm.lock);
	return held;
}

bool mm_is_core(u64 pa, u64 size)
{
	bool hit;

	spin_lock(&mm.lock);
	hit = mm_overlaps(pa, size);
	spin_unlock(&mm.lock);
	return hit;
}

bool mm_ram(u64 pa, u64 size)
{
	u32 i;

	for (i = 0; i < mm.params->nr_ram; i++)
		if (pa >= mm.params->ram[i].start && pa < mm.params->ram[i].end)
			return size <= mm.params->ram[i].end - pa;
	return false;
}

bool mm_root_ram(u64 pa, u64 size)
{
	return mm_ram(pa, size) && !mm_is_core(pa, size);
}

int mm_use(u64 pa, u64 size)
{
	return mm_is_core(pa, size) ? -EINVAL : memuse_add(&use.count, pa, size);
}

void mm_unuse(u64 pa, u64 size)
{
	memuse_sub(&use.count, pa, size);
}

void mm_use_lock(void)
{
	spin_lock(&use.lock);
}

void mm_use_unlock(void)
{
	spin_unlock(&use.lock);
}

void mm_use_begin(void)
{
	spin_lock(&use.lock);
	use.users++;
	spin_unlock(&use.lock);
}

void mm_use_end(void)
{
	spin_lock(&use.lock);
	if (!--use.users && !use.lock.broken)
		memuse_reset(&use.count);
	spin_unlock(&use.lock);
}

/* A chunk that is claimed looks like one whose pages have all been handed out. */
int mm_claim_chunk(u64 pa)
{
	int ret = use.lock.broken || mm.lock.broken ? -EIO : -EBUSY;

	spin_lock(&use.lock);
	if (ret != -EIO && !memuse_count(&use.count, pa)) {
		spin_lock(&mm.lock);
		ret = mm_overlaps(pa, PLINTH_CHUNK_SIZE) ? -EINVAL
							 : mm_insert(pa, PLINTH_CHUNK_SIZE);
		spin_unlock(&mm.lock);
	}
	spin_unlock(&use.lock);
	return ret;
}

void mm_open_chunk(u64 pa)
{
	struct mm_chunk *c;

	spin_lock(&mm.lock);
	c = &mm.chunk[mm_find(pa)];
	c->fresh = c->used = 0;
	mm.free_pages += CHUNK_PAGES;
	spin_unlock(&mm.lock);
}

void mm_drop_chunk(u64 pa)
{
	u32 at;

	spin_lock(&mm.lock);
	at = mm_find(pa);
	mm.count--;
	mm.hint = 0;
	memmove(&mm.chunk[at], &mm.chunk[at + 1], (mm.count - at) * sizeof(mm.chunk[0]));
	spin_unlock(&mm.lock);
}

s64 mm_take_chunk(u64 keep)
{
	s64 pa = -ENOENT;
	u32 i;

	spin_lock(&mm.lock);
	for (i = mm.count; i-- && pa < 0 && !mm.lock.broken;) {
		struct mm_chunk *c = &mm.chunk[i];

		if (c->used || (mm.free_pages - CHUNK_PAGES) * PAGE_SIZE < keep)
			continue;
		pa = c->pa;
		*c = (struct mm_chunk){ .pa = pa, .fresh = PLINTH_CHUNK_SIZE, .used = CHUNK_PAGES };
		mm.free_pages -= CHUNK_PAGES;
	}
	spin_unlock(&mm.lock);
	return pa;
}

u64 mm_total(void)
{
	return mm.count * PLINTH_CHUNK_SIZE;
}

u64 mm_free_bytes(void)
{
	return mm.free_pages * PAGE_SIZE;
}

static u64 mm_pt_alloc(void *ctx)
{
	(void)ctx;
	return mm_alloc();
}

static void mm_pt_free(void *ctx, u64 pa)
{
	(void)ctx;
	mm_free(pa);
}

static void *mm_pt_map(void *ctx, u64 pa)
{
	(void)ctx;
	return mm_va(pa);
}

const struct pt_ops mm_pt_ops = { .alloc = mm_pt_alloc, .free = mm_pt_free, .map = mm_pt_map };
