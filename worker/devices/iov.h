/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_IOV_H
#define WORKER_DEVICES_IOV_H

/*
 * What the classes of virtio devices do with a chain's buffers (struct virtq_chain), whose cuts say nothing (virtio 1.2,
 * 2.7.4). Pure. Lengths are bytes; none of the buffers is empty.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

static inline size_t iov_length(const struct iovec *iov, unsigned int n)
{
	size_t len = 0;

	for (unsigned int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

/* Takes @len bytes, which there are, off the front. Returns how many of @iov have gone whole. */
static inline unsigned int iov_skip(struct iovec *iov, size_t len)
{
	unsigned int i = 0;

	while (len && iov[i].iov_len <= len)
		len -= iov[i++].iov_len;
	if (len) {
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + len;
		iov[i].iov_len -= len;
	}
	return i;
}

/* Copies @len bytes, for which there is room, from @from into the buffers. */
static inline void iov_fill(const struct iovec *iov, const void *from, size_t len)
{
	const uint8_t *p = from;

	for (; len; iov++) {
		const size_t part = iov->iov_len < len ? iov->iov_len : len;

		memcpy(iov->iov_base, p, part);
		p += part;
		len -= part;
	}
}

/* Copies at most @len bytes out of the @n buffers to @to. Returns how many there were. */
static inline size_t iov_copy(const struct iovec *iov, unsigned int n, void *to, size_t len)
{
	uint8_t *p = to;
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < len; i++) {
		const size_t part = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		memcpy(p + done, iov[i].iov_base, part);
		done += part;
	}
	return done;
}

#endif
