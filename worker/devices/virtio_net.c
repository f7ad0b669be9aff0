// SPDX-License-Identifier: GPL-2.0-only
/* A virtio network device. With VIRTIO_F_VERSION_1 the header has always its 12 bytes (5.1.6). */
#include <string.h>

#include "worker/devices/virtio_net.h"

#define HEADER	     sizeof(struct virtio_net_hdr_v1)
#define ETHER_HEADER 14

static size_t iov_length(const struct iovec *iov, unsigned int n)
{
	size_t len = 0;

	for (unsigned int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

/* Takes @len bytes, which there are, off the front. Returns how many vectors have gone. */
static unsigned int iov_skip(struct iovec *iov, size_t len)
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

static void iov_fill(const struct iovec *iov, const uint8_t *from, size_t len)
{
	for (; len; iov++) {
		const size_t part = iov->iov_len < len ? iov->iov_len : len;

		memcpy(iov->iov_base, from, part);
		from += part;
		len -= part;
	}
}

/* What is sent: no offload is offered, so that of the header nothing matters. */
static void transmit(struct virtio_net *n, struct virtq_chain *chain)
{
	const size_t len = iov_length(chain->iov, chain->outs);
	unsigned int skipped;

	if (len < HEADER + ETHER_HEADER || len - HEADER > NET_FRAME_MAX) {
		n->stats.tx_dropped++;
		return;
	}
	skipped = iov_skip(chain->iov, HEADER);
	n->stats.tx_frames++;
	n->stats.tx_bytes += len - HEADER;
	net_transmit(n->net, chain->iov + skipped, chain->outs - skipped);
}

static void transmit_all(struct virtio_net *n)
{
	struct virtq *q = &n->v.vq[VIRTIO_NET_TX];
	unsigned int left = VIRTIO_NET_BURST;
	struct virtq_chain chain;

	virtq_want_doorbell(q, false);
	do {
		while (left && virtq_pop(q, &chain) > 0) {
			left--;
			transmit(n, &chain);
			virtq_push(q, chain.head, 0);
		}
	} while (left && virtq_want_doorbell(q, true));
	if (!left)
		dev_arm(n->clk, &n->more, dev_now(n->clk));
	virtio_pushed(&n->v, VIRTIO_NET_TX);
	net_sent(n->net);
}

static void more_fire(void *dev, uint64_t now)
{
	struct virtio_net *n = dev;

	(void)now;
	virtio_doorbell(&n->v, VIRTIO_NET_TX);
}

static bool next_buffer(struct virtio_net *n, struct virtq_chain *chain)
{
	struct virtq *q = &n->v.vq[VIRTIO_NET_RX];

	if (!virtio_usable(&n->v, VIRTIO_NET_RX))
		return false;
	if (virtq_pop(q, chain) > 0)
		return true;
	return virtq_want_doorbell(q, true) && virtq_pop(q, chain) > 0;
}

bool virtio_net_receive(struct virtio_net *n, const uint8_t *frame, size_t len)
{
	static const struct virtio_net_hdr_v1 header = { .num_buffers = 1 };
	struct virtq *q = &n->v.vq[VIRTIO_NET_RX];
	struct virtq_chain chain;
	struct iovec *in;
	unsigned int skipped;

	if (!next_buffer(n, &chain)) {
		n->stats.rx_held += !n->held;
		n->held = true;
		virtio_pushed(&n->v, VIRTIO_NET_RX);
		return false;
	}
	in = chain.iov + chain.outs;
	if (iov_length(in, chain.ins) < HEADER + len) {
		n->stats.rx_dropped++;
		virtq_unpop(q);
		return true;
	}
	iov_fill(in, (const uint8_t *)&header, HEADER);
	skipped = iov_skip(in, HEADER);
	iov_fill(in + skipped, frame, len);
	virtq_push(q, chain.head, (uint32_t)(HEADER + len));
	n->stats.rx_frames++;
	n->stats.rx_bytes += len;
	virtio_pushed(&n->v, VIRTIO_NET_RX);
	return true;
}

static void doorbell(void *dev, unsigned int queue)
{
	struct virtio_net *n = dev;

	n->stats.doorbells++;
	if (queue == VIRTIO_NET_TX) {
		transmit_all(n);
		return;
	}
	virtq_want_doorbell(&n->v.vq[VIRTIO_NET_RX], false);
	if (!n->held)
		return;
	n->held = false;
	net_ready(n->net);
}

static void start(void *dev)
{
	struct virtio_net *n = dev;

	/* Buffers that are there before the first doorbell. */
	virtio_resume(&n->v);
	net_ready(n->net);
}

static void stop(void *dev)
{
	struct virtio_net *n = dev;

	dev_cancel(n->clk, &n->more);
	n->held = false;
	/* Who takes frames next is asked for those that have been kept. */
	net_ready(n->net);
}

static const struct virtio_class class = {
	.id = 1,
	.config_size = sizeof(struct virtio_net_config),
	.start = start,
	.stop = stop,
	.doorbell = doorbell,
};

void virtio_net_init(struct virtio_net *n, const struct dev_clock *clk, const struct dma *dma,
		     const struct virtio_host *host, void *ctx, struct net *net,
		     const uint8_t mac[6])
{
	memset(n, 0, sizeof(*n));
	n->clk = clk;
	n->net = net;
	n->more = (struct dev_timer){ .fire = more_fire, .dev = n };
	memcpy(n->config.mac, mac, sizeof(n->config.mac));
	n->config.status = net->link ? VIRTIO_NET_S_LINK_UP : 0;
	virtio_init(&n->v, &class, n, dma, host, ctx);
	n->v.config = &n->config;
	n->v.features = 1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_STATUS;
	n->v.queues = 2;
}
