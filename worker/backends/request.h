/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_BACKENDS_REQUEST_H
#define WORKER_BACKENDS_REQUEST_H

/* What all block back ends do with a request, and with a request's buffers. Pure. */
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "worker/devices/block.h"

/* Bytes of all buffers, or of the range; SIZE_MAX if that overflows. */
size_t request_length(const struct block_request *req);

/* It is about a range of the medium, and has no buffers. */
static inline bool request_is_range(enum block_op op)
{
	return op == BLOCK_DISCARD || op == BLOCK_ZERO;
}

/* May @req be carried out on @blk? 0, -EINVAL (outside, or no operation), -EROFS or -EOPNOTSUPP. */
int request_check(const struct block *blk, const struct block_request *req);

/* Count @req, which began at req->submitted and ends @now with @ret, and tell its owner. */
void request_end(struct block *blk, struct block_request *req, int ret, uint64_t now);

/* The buffers from byte @skip on: at most @max of them go to @iov. Returns how many. */
unsigned int request_window(const struct block_request *req, size_t skip, struct iovec *iov,
			    unsigned int max);

/* Copy @len bytes between the buffers, from byte @skip on, and @buf. */
void request_gather(const struct block_request *req, size_t skip, void *buf, size_t len);
void request_scatter(const struct block_request *req, size_t skip, const void *buf, size_t len);

/* Fill the buffers with zeroes from byte @skip on. */
void request_zero(const struct block_request *req, size_t skip);

/* A queue of requests, first in first out, linked by their next. Zeroed memory is an empty one. */
struct request_queue {
	struct block_request *head, *tail;
};

void request_push(struct request_queue *q, struct block_request *req);
struct block_request *request_pop(struct request_queue *q); /* NULL: empty */

#endif
