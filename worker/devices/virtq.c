// SPDX-License-Identifier: GPL-2.0-only
/* The device's side of a split virtqueue. Everything in guest memory is little-endian, as is the host. */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <string.h>

#include "worker/devices/virtq.h"

/* Fields that the guest writes or reads while we do. */
static uint16_t load_idx(const __virtio16 *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void store_idx(__virtio16 *at, uint16_t val)
{
	__atomic_store_n(at, val, __ATOMIC_RELEASE);
}

/* The fields that come after the rings (2.7.10): what the driver asks of used, and the device of avail. */
static __virtio16 *used_event(const struct virtq *q)
{
	return &q->avail->ring[q->size];
}

static __virtio16 *avail_event(const struct virtq *q)
{
	return (__virtio16 *)&q->used->ring[q->size];
}

static int broken(struct virtq *q)
{
	q->broken = true;
	return -EPROTO;
}

int virtq_start(struct virtq *q, const struct dma *dma, uint64_t desc, uint64_t avail,
		uint64_t used)
{
	const uint16_t size = q->size;

	virtq_stop(q);
	if (!size || size > VIRTQ_SIZE_MAX || size & (size - 1) || desc % VRING_DESC_ALIGN_SIZE ||
	    avail % VRING_AVAIL_ALIGN_SIZE || used % VRING_USED_ALIGN_SIZE)
		return -EINVAL;
	q->dma = dma;
	q->desc = dma_map(dma, desc, size * sizeof(struct vring_desc));
	q->avail =
		dma_map(dma, avail, sizeof(struct vring_avail) + (size + 1) * sizeof(__virtio16));
	q->used = dma_map(dma, used,
			  sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) +
				  sizeof(__virtio16));
	if (!q->desc || !q->avail || !q->used)
		return -EFAULT;
	q->avail_next = 0;
	q->used_next = 0;
	q->signalled = 0;
	q->broken = false;
	q->live = true;
	return 0;
}

void virtq_stop(struct virtq *q)
{
	q->live = false;
}

/* One buffer more, checked. */
static int add_segment(struct virtq *q, struct virtq_chain *chain, const struct vring_desc *d)
{
	const bool in = d->flags & VRING_DESC_F_WRITE;
	const unsigned int n = chain->outs + chain->ins;

	if (!d->len || n == VIRTQ_SEGS_MAX || (chain->ins && !in))
		return broken(q);
	chain->iov[n].iov_base = dma_map(q->dma, d->addr, d->len);
	chain->iov[n].iov_len = d->len;
	if (!chain->iov[n].iov_base)
		return broken(q);
	chain->ins += in;
	chain->outs += !in;
	return 0;
}

/* The chain that starts at entry @i of a table of @len entries; a loop ends at the limit of segments. */
static int walk(struct virtq *q, struct virtq_chain *chain, const struct vring_desc *table,
		uint32_t len, uint32_t i, bool within)
{
	struct vring_desc d, *inner;
	int ret;

	for (;;) {
		if (i >= len)
			return broken(q);
		memcpy(&d, &table[i], sizeof(d));
		atomic_signal_fence(memory_order_seq_cst); /* it is not read again */
		if (!(d.flags & VRING_DESC_F_INDIRECT)) {
			ret = add_segment(q, chain, &d);
			if (ret || !(d.flags & VRING_DESC_F_NEXT))
				return ret;
			i = d.next;
			continue;
		}
		if (within || !q->indirect || d.flags & VRING_DESC_F_NEXT || !d.len ||
		    d.len % sizeof(d))
			return broken(q);
		inner = dma_map(q->dma, d.addr, d.len);
		return inner ? walk(q, chain, inner, d.len / sizeof(d), 0, true) : broken(q);
	}
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	uint16_t waiting, head;
	int ret;

	if (!q->live)
		return 0;
	if (q->broken)
		return -EPROTO;
	waiting = load_idx(&q->avail->idx) - q->avail_next;
	if (!waiting)
		return 0;
	if (waiting > q->size)
		return broken(q);
	head = load_idx(&q->avail->ring[q->avail_next & (q->size - 1)]);
	chain->head = head;
	chain->outs = 0;
	chain->ins = 0;
	ret = walk(q, chain, q->desc, q->size, head, false);
	if (ret)
		return ret;
	q->avail_next++;
	return 1;
}

void virtq_unpop(struct virtq *q, unsigned int n)
{
	q->avail_next -= (uint16_t)n;
}

void virtq_put(struct virtq *q, unsigned int i, uint16_t head, uint32_t written)
{
	struct vring_used_elem *e;

	if (!q->live || q->broken)
		return;
	e = &q->used->ring[(q->used_next + i) & (q->size - 1)];
	e->id = head;
	e->len = written;
}

void virtq_publish(struct virtq *q, unsigned int n)
{
	if (!q->live || q->broken)
		return;
	q->used_next += (uint16_t)n;
	store_idx(&q->used->idx, q->used_next);
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
	virtq_put(q, 0, head, written);
	virtq_publish(q, 1);
}

bool virtq_interrupts(struct virtq *q)
{
	const uint16_t now = q->used_next, before = q->signalled;

	if (!q->live || q->broken || now == before)
		return false;
	q->signalled = now;
	/* What was pushed is to be seen before it is asked whether it matters. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!q->event_idx)
		return !(load_idx(&q->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(load_idx(used_event(q)), now, before);
}

bool virtq_want_doorbell(struct virtq *q, bool wanted)
{
	if (!q->live || q->broken)
		return false;
	if (!q->event_idx)
		store_idx(&q->used->flags, wanted ? 0 : VRING_USED_F_NO_NOTIFY);
	else if (wanted)
		store_idx(avail_event(q), q->avail_next);
	if (!wanted)
		return false;
	/* What was asked is to be seen before it is looked whether it came too late. */
	atomic_thread_fence(memory_order_seq_cst);
	return load_idx(&q->avail->idx) != q->avail_next;
}
