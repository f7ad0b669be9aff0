/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_VIRTQ_H
#define WORKER_DEVICES_VIRTQ_H

/*
 * The device's side of a split virtqueue (virtio 1.2, section 2.7), with indirect descriptors and event suppression
 * by index (B2). The rings' layout is that of linux/virtio_ring.h.
 *
 * The rings and everything that they point to are the guest's, which may change them at any time: each value is read
 * once, and checked before it is used. A queue that breaks the rules is broken: nothing more is taken from it or given
 * back through it until it is started anew.
 *
 * Under the platform lock (worker/device.h).
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "worker/devices/dma.h"

#define VIRTQ_SIZE_MAX 256 /* entries */
#define VIRTQ_SEGS_MAX 128 /* buffers of one chain; a longer one is against this device's rules */

struct vring_desc;
struct vring_avail;
struct vring_used;

/* Where a queue's parts are and how it works; private but to virtq_start()'s caller. */
struct virtq {
	const struct dma *dma;
	uint16_t size; /* entries, a power of two up to VIRTQ_SIZE_MAX */
	bool event_idx, indirect;
	bool live;   /* between virtq_start() and virtq_stop() */
	bool broken; /* the guest has broken the rules */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_next; /* the next entry of the available ring that is to be taken */
	uint16_t used_next;  /* the next entry of the used ring that is to be filled */
	uint16_t signalled;  /* used_next when the guest was last asked about an interrupt */
};

/* A chain of buffers that the guest has made available. The memory stays mapped as dma_map() says. */
struct virtq_chain {
	uint16_t head;
	unsigned int outs; /* buffers that the device reads: iov[0 .. outs - 1] */
	unsigned int ins;  /* buffers that it writes: iov[outs .. outs + ins - 1] */
	struct iovec iov[VIRTQ_SEGS_MAX];
};

/*
 * Starts @q, whose @size, @event_idx and @indirect the caller has set, with its three parts at the guest's physical
 * addresses @desc, @avail and @used. Returns 0, -EINVAL for a size or an alignment that is not allowed, or -EFAULT
 * where there is no memory; the queue is not live then.
 */
int virtq_start(struct virtq *q, const struct dma *dma, uint64_t desc, uint64_t avail,
		uint64_t used);

/* Nothing is taken or given back any more. Chains that were taken are forgotten. */
void virtq_stop(struct virtq *q);

/*
 * Takes the next chain. Returns 1, 0 if there is none, or -EPROTO if the queue is broken or has just become so: a head
 * or a link out of range, a loop, more than VIRTQ_SEGS_MAX buffers, one without length, memory that is not there, an indirect table
 * within another, or a readable buffer after a writable one.
 */
int virtq_pop(struct virtq *q, struct virtq_chain *chain);

/* The @n chains that were taken last go back unused: the next virtq_pop() gives the first of them again. */
void virtq_unpop(struct virtq *q, unsigned int n);

/* Gives back the chain with @head, of whose writable part @written bytes, from the start, have been filled. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);

/*
 * The same for several chains that the guest is to see at once: virtq_put() for each, @i counting from 0, and then
 * virtq_publish() for all @n.
 */
void virtq_put(struct virtq *q, unsigned int i, uint16_t head, uint32_t written);
void virtq_publish(struct virtq *q, unsigned int n);

/* Whether what was pushed since this was last called is to interrupt the guest. */
bool virtq_interrupts(struct virtq *q);

/*
 * Asks the guest for a doorbell when it next makes a chain available, or (@wanted false) says that none is needed.
 * When it returns true, chains have come meanwhile, for which there may be no doorbell.
 */
bool virtq_want_doorbell(struct virtq *q, bool wanted);

#endif
