// SPDX-License-Identifier: GPL-2.0-only
#include "worker/backends/request.h"

#include <errno.h>
#include <string.h>

size_t request_length(const struct block_request *req)
{
	size_t len = 0;
	unsigned int i;

	if (request_is_range(req->op))
		return req->range;
	for (i = 0; i < req->iovs; i++) {
		if (__builtin_add_overflow(len, req->iov[i].iov_len, &len))
			return SIZE_MAX;
	}
	return len;
}

int request_check(const struct block *blk, const struct block_request *req)
{
	size_t len;

	if (req->op == BLOCK_FLUSH)
		return 0;
	if (req->op >= BLOCK_OPS)
		return -EINVAL;
	len = request_length(req);
	if (req->offset > blk->size || len > blk->size - req->offset)
		return -EINVAL;
	if (req->op != BLOCK_READ && blk->readonly)
		return -EROFS;
	if (!request_is_range(req->op))
		return 0;
	if (!len || len > BLOCK_RANGE_MAX)
		return -EINVAL;
	return (req->op == BLOCK_ZERO ? blk->zeroes : blk->discards) ? 0 : -EOPNOTSUPP;
}

void request_end(struct block *blk, struct block_request *req, int ret, uint64_t now)
{
	struct block_stats *s = &blk->stats;
	uint64_t ns = now > req->submitted ? now - req->submitted : 0;
	unsigned int op = req->op;

	if (op < BLOCK_OPS) {
		s->requests[op]++;
		s->ns[op] += ns;
		if (ns > s->max_ns[op])
			s->max_ns[op] = ns;
		if (ret)
			s->failed[op]++;
		else if (op != BLOCK_FLUSH)
			s->bytes[op] += request_length(req);
	}
	req->done(req, ret);
}

unsigned int request_window(const struct block_request *req, size_t skip, struct iovec *iov,
			    unsigned int max)
{
	unsigned int i, n = 0;

	for (i = 0; i < req->iovs && n < max; i++) {
		if (skip >= req->iov[i].iov_len) {
			skip -= req->iov[i].iov_len;
			continue;
		}
		iov[n].iov_base = (uint8_t *)req->iov[i].iov_base + skip;
		iov[n++].iov_len = req->iov[i].iov_len - skip;
		skip = 0;
	}
	return n;
}

/* Calls @copy for each run of bytes between the buffers and @buf (or nothing). */
static void request_walk(const struct block_request *req, size_t skip, uint8_t *buf, size_t len,
			 void (*copy)(void *mine, uint8_t *buf, size_t len))
{
	const struct iovec *iov;
	size_t n;

	for (iov = req->iov; len && iov < req->iov + req->iovs; iov++) {
		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		n = iov->iov_len - skip < len ? iov->iov_len - skip : len;
		copy((uint8_t *)iov->iov_base + skip, buf, n);
		skip = 0;
		buf = buf ? buf + n : NULL;
		len -= n;
	}
}

static void request_copy_out(void *mine, uint8_t *buf, size_t len)
{
	memcpy(buf, mine, len);
}

static void request_copy_in(void *mine, uint8_t *buf, size_t len)
{
	memcpy(mine, buf, len);
}

void request_gather(const struct block_request *req, size_t skip, void *buf, size_t len)
{
	request_walk(req, skip, buf, len, request_copy_out);
}

void request_scatter(const struct block_request *req, size_t skip, const void *buf, size_t len)
{
	request_walk(req, skip, (uint8_t *)buf, len, request_copy_in);
}

static void request_clear(void *mine, uint8_t *buf, size_t len)
{
	(void)buf;
	memset(mine, 0, len);
}

void request_zero(const struct block_request *req, size_t skip)
{
	request_walk(req, skip, NULL, SIZE_MAX, request_clear);
}

void request_push(struct request_queue *q, struct block_request *req)
{
	req->next = NULL;
	if (q->head)
		q->tail->next = req;
	else
		q->head = req;
	q->tail = req;
}

struct block_request *request_pop(struct request_queue *q)
{
	struct block_request *req = q->head;

	if (req)
		q->head = req->next;
	return req;
}
