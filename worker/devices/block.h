/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_BLOCK_H
#define WORKER_DEVICES_BLOCK_H

/*
 * What is behind a disk: a back end that carries out requests without making anybody wait. Devices submit, back ends
 * (worker/backends/) complete. Everything here happens under the platform lock (worker/device.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH, /* done only when everything that was done before it was submitted is durable */
	BLOCK_DISCARD, /* what is in the range matters no more */
	BLOCK_ZERO,    /* the range reads as zeroes */
	BLOCK_OPS,
};

#define BLOCK_RANGE_MAX (128u << 20) /* bytes that one BLOCK_DISCARD or BLOCK_ZERO covers at most */

/*
 * One request, owned by and embedded in a device. It and its buffers must stay as they are from block_submit() until
 * @done; there is no cancelling: a device that is reset keeps the request until then and drops its result.
 */
struct block_request {
	enum block_op op;
	uint64_t offset;	 /* bytes; offset + length within block.size, else -EINVAL */
	const struct iovec *iov; /* the buffers of a read or a write; length is their sum */
	unsigned int iovs;
	uint32_t range; /* length of what has no buffers: BLOCK_DISCARD and BLOCK_ZERO */
	bool unmap;	/* BLOCK_ZERO: the range may lose its place on the medium */
	/*
	 * It is over: 0, or a negative errno (-ENOSPC, -EIO, -EROFS, -EINVAL, ...) if any byte of it may not have been
	 * transferred; -EOPNOTSUPP if it cannot be done here in any case. Called under the platform lock, never from within block_submit(). May submit again.
	 */
	void (*done)(struct block_request *req, int ret);
	void *dev; /* for @done */
	/* The back end's, while the request is under way. */
	struct block_request *next;
	uint64_t submitted; /* CLOCK_MONOTONIC ns, for statistics */
	void *priv;
};

struct block;

struct block_ops {
	void (*submit)(struct block *blk, struct block_request *req);
	/* See block_collect(). NULL: nothing is ever over at once. */
	void (*collect)(struct block *blk);
	/* See block_batch_begin(). NULL: what is submitted is handed on one by one. */
	void (*batch_begin)(struct block *blk);
	void (*batch_end)(struct block *blk);
	/*
	 * Main thread, without the platform lock, when the processors have stopped and before the devices go: wait
	 * until every request is over, those included that are submitted meanwhile.
	 */
	void (*drain)(struct block *blk);
	/* Main thread, without the platform lock, nothing being under way any more: flush and release everything. */
	void (*close)(struct block *blk);
};

/* Requests that are over, by operation (enum block_op). Under the platform lock. */
struct block_stats {
	uint64_t requests[BLOCK_OPS], failed[BLOCK_OPS];
	uint64_t bytes[BLOCK_OPS]; /* of those that succeeded */
	uint64_t ns[BLOCK_OPS];	   /* sum of their times from submission to end */
	uint64_t max_ns[BLOCK_OPS];
};

/* An open back end: embedded in the back end's own structure. */
struct block {
	const struct block_ops *ops;
	uint64_t
		size; /* bytes, fixed; a multiple of 512 (a file's odd tail is padded with zeroes when read) */
	bool readonly;	       /* writes end in -EROFS */
	bool no_medium;	       /* a drive whose medium is out (CD-ROM): nothing may be submitted */
	bool discards;	       /* it can carry out BLOCK_DISCARD ... */
	bool zeroes;	       /* ... and BLOCK_ZERO, though perhaps not for every range */
	uint32_t discard_unit; /* bytes: less than this much, aligned to it, is not given back */
	struct block_stats stats; /* the back end's */
	unsigned int telling;	  /* several @done may come now, and told() after them */
	/* The device's: what was over together has been told. NULL: it does not want to know. */
	void (*told)(void *dev);
	void *dev;
};

static inline void block_submit(struct block *blk, struct block_request *req)
{
	blk->ops->submit(blk, req);
}

/*
 * What is submitted between these two may be handed on at the second, all at once. They nest. A device that has made a
 * batch during an access calls block_collect() afterwards.
 */
static inline void block_batch_begin(struct block *blk)
{
	if (blk->ops->batch_begin)
		blk->ops->batch_begin(blk);
}

static inline void block_batch_end(struct block *blk)
{
	if (blk->ops->batch_end)
		blk->ops->batch_end(blk);
}

/* For back ends: around the ends of requests that are told together, so that a guest need be interrupted only once. They nest. */
static inline void block_tell_begin(struct block *blk)
{
	blk->telling++;
}

static inline void block_tell_end(struct block *blk)
{
	if (!--blk->telling && blk->told)
		blk->told(blk->dev);
}

/*
 * Calls @done of requests that were over as soon as they had been submitted: what was in the host's memory anyway needs no
 * way through the loop. A device that has submitted something during an access calls this at the access's end; what is
 * submitted from within @done it need not.
 */
static inline void block_collect(struct block *blk)
{
	if (blk->ops->collect)
		blk->ops->collect(blk);
}

#endif
