// SPDX-License-Identifier: GPL-2.0-only
/* No cable: the adapter is there and sees no carrier. And no medium: so is the drive, and sees no disc. */
#include <errno.h>
#include <stdlib.h>

#include "worker/backends/backend.h"

static void none_transmit(struct net *net, const struct virtio_net_hdr *todo,
			  const struct iovec *iov, unsigned int iovs)
{
	(void)todo;
	(void)iov;
	(void)iovs;
	net->stats.tx_dropped++;
}

static void none_ready(struct net *net)
{
	(void)net; /* there is never a frame */
}

static void none_close(struct net *net)
{
	free(net);
}

static const struct net_backend_ops none_ops = {
	.transmit = none_transmit,
	.ready = none_ready,
	.close = none_close,
};

int net_none_open(struct net **net)
{
	*net = calloc(1, sizeof(**net));
	if (!*net)
		return -ENOMEM;
	(*net)->ops = &none_ops;
	return 0;
}

/* A drive submits nothing without a medium; one that does all the same has made a mistake, which is nobody else's. */
static void none_submit(struct block *blk, struct block_request *req)
{
	(void)blk;
	(void)req;
	abort();
}

static void none_drain(struct block *blk)
{
	(void)blk; /* there is never a request */
}

static void none_close_block(struct block *blk)
{
	free(blk);
}

static const struct block_ops none_block_ops = {
	.submit = none_submit,
	.drain = none_drain,
	.close = none_close_block,
};

int block_none_open(struct block **blk)
{
	*blk = calloc(1, sizeof(**blk));
	if (!*blk)
		return -ENOMEM;
	(*blk)->ops = &none_block_ops;
	(*blk)->readonly = true;
	(*blk)->no_medium = true;
	return 0;
}
