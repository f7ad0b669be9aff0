/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_VIRTIO_BLK_H
#define WORKER_DEVICES_VIRTIO_BLK_H

/*
 * A virtio block device (virtio 1.2, section 5.2) with one or more queues: the high-performance mode of a disk. Chains
 * become requests to the back end without a copy; those of one doorbell go there as a batch. (B2)
 *
 * At most VIRTIO_BLK_DEPTH requests are under way; what more there is waits in the guest's queues. A request keeps its
 * buffers until the back end is done with them, whatever becomes of the driver meanwhile: virtio_blk_busy().
 *
 * Under the platform lock (worker/device.h).
 */
#include <linux/virtio_blk.h>

#include "worker/device.h"
#include "worker/devices/block.h"
#include "worker/devices/virtio.h"

#define VIRTIO_BLK_SECTOR     512u
#define VIRTIO_BLK_DEPTH      128
#define VIRTIO_BLK_QUEUES_MAX 4
#define VIRTIO_BLK_BURST      256 /* chains taken in one call; the rest goes on from a timer */

/*
 * With so many requests of a queue under way, or found at once, its doorbells are not wanted: it is looked at when requests
 * end, and by a timer, each time a period later. When so many looks in turn have found nothing they are wanted again.
 */
#define VIRTIO_BLK_DEEP	   4
#define VIRTIO_BLK_MANY	   8
#define VIRTIO_BLK_POLL_NS 100000u
#define VIRTIO_BLK_POLLS   10

struct virtio_blk;

/* A chain that has been taken and not yet been given back. */
struct virtio_blk_request {
	struct block_request req;
	struct virtio_blk *n;
	struct virtio_blk_request *next; /* of the free ones */
	bool busy;
	bool stale;	 /* its driver is gone: the result is dropped */
	uint8_t queue;	 /* where the chain is from */
	uint8_t *status; /* the chain's last byte */
	size_t in_len;	 /* of the chain's writable part, without that byte */
	struct virtq_chain chain;
};

/* Counted since init; not reset with the device. */
struct virtio_blk_stats {
	uint64_t
		doorbells; /* looks at a queue, for a doorbell or without, that have found requests */
	uint64_t requests; /* that have been answered */
	uint64_t errors;   /* of these, not with success */
	uint64_t dropped; /* chains without room for a status, and requests whose driver has gone */
};

/* Private but for v, which the caller's registers lead to, and stats. */
struct virtio_blk {
	struct virtio v;
	struct virtio_blk_stats stats;
	struct virtio_blk_config config;
	const struct dev_clock *clk;
	struct block *blk;
	char id[VIRTIO_BLK_ID_BYTES];
	void (*over)(void *part);
	void *part;
	struct dev_timer more; /* queues are left to be looked at */
	bool serving;	       /* within serve(): interrupts come at its end */
	uint32_t pushed; /* mask of queues through which something has been given back since */
	uint32_t polled; /* mask of queues that want no doorbells */
	uint8_t polls
		[VIRTIO_BLK_QUEUES_MAX]; /* looks at such a queue that have found nothing, and one */
	uint32_t starved;   /* mask of queues that wait for a place among the requests */
	unsigned int busy;  /* requests under way */
	unsigned int stale; /* of these */
	unsigned int under_way[VIRTIO_BLK_QUEUES_MAX]; /* the others, by queue */
	unsigned int fresh; /* slots that have never been used: from this one on */
	struct virtio_blk_request *free;
	struct virtio_blk_request slot[VIRTIO_BLK_DEPTH];
};

/*
 * Makes @n, zeroed memory, a device with @queues queues on @blk that calls itself @serial. @over is called with @part when
 * the last request of a driver that has gone is over. What is pointed to must outlive it; whoever keeps @blk longer clears
 * its told().
 */
void virtio_blk_init(struct virtio_blk *n, const struct dev_clock *clk, const struct dma *dma,
		     const struct virtio_host *host, void *ctx, struct block *blk,
		     const char *serial, unsigned int queues, void (*over)(void *part), void *part);

/* Looks at all queues, soon: for a caller that is called by the back end. */
void virtio_blk_look(struct virtio_blk *n);

/* Requests are under way, those of drivers that have gone included. */
static inline bool virtio_blk_busy(const struct virtio_blk *n)
{
	return n->busy;
}

#endif
