/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_UNIT_VIRTQ_GUEST_H
#define TESTS_UNIT_VIRTQ_GUEST_H

/*
 * The driver's side of a split virtqueue in a test's memory, on the kernel's own definitions: its parts in three
 * pages from @base on. It does what it is told, also against the rules.
 */
#include <linux/virtio_ring.h>
#include <stdint.h>
#include <string.h>

struct virtq_guest {
	uint8_t *mem; /* guest address 0 */
	uint32_t base;
	struct vring ring;
	uint16_t next; /* descriptor */
	uint16_t seen; /* of the used ring */
};

#define VIRTQ_GUEST_DESC(g)  ((g)->base)
#define VIRTQ_GUEST_AVAIL(g) ((g)->base + 4096)
#define VIRTQ_GUEST_USED(g)  ((g)->base + 8192)

static inline void virtq_guest_init(struct virtq_guest *g, uint8_t *mem, uint32_t base,
				    uint16_t size)
{
	memset(g, 0, sizeof(*g));
	memset(mem + base, 0, 3 * 4096);
	g->mem = mem;
	g->base = base;
	g->ring.num = size;
	g->ring.desc = (struct vring_desc *)(mem + base);
	g->ring.avail = (struct vring_avail *)(mem + base + 4096);
	g->ring.used = (struct vring_used *)(mem + base + 8192);
}

/* Fills the next descriptor, for which a link follows if @flags has NEXT; returns its number. */
static inline uint16_t virtq_guest_desc(struct virtq_guest *g, uint64_t addr, uint32_t len,
					uint16_t flags)
{
	const uint16_t n = g->next % g->ring.num;

	g->next++;
	g->ring.desc[n] =
		(struct vring_desc){ addr, len, flags, (uint16_t)(g->next % g->ring.num) };
	return n;
}

/* Makes the chain that begins at descriptor @head available. */
static inline void virtq_guest_offer(struct virtq_guest *g, uint16_t head)
{
	g->ring.avail->ring[g->ring.avail->idx % g->ring.num] = head;
	g->ring.avail->idx++;
}

/* The next chain that has come back; false if there is none. */
static inline bool virtq_guest_take(struct virtq_guest *g, struct vring_used_elem *e)
{
	if (g->ring.used->idx == g->seen)
		return false;
	*e = g->ring.used->ring[g->seen++ % g->ring.num];
	return true;
}

#endif
