/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_VIRTIO_NET_H
#define WORKER_DEVICES_VIRTIO_NET_H

/*
 * A virtio network device (virtio 1.2, section 5.1), the high-performance mode of the 21140A: pairs of a receive and a
 * transmit queue, buffers that are merged, and checksums and segmentation left to the cable where that can do them. The
 * cable is the caller's, which hands over frames that arrive. (B2)
 *
 * Every frame that arrives is given to the guest, whatever its destination: the control queue has no filters.
 *
 * Several queues. A flow that arrives goes to the pair on which the guest last sent something of it (5.1.6.5.5), but does
 * not change places while frames of it keep coming, which would overtake each other: acknowledgements come from
 * whatever processor is at hand.
 *
 * Doorbells. A guest that sends frames one after the other and hears nothing in between is looked at every
 * VIRTIO_NET_POLL_NS, and needs no doorbell meanwhile. One that waits for answers is not kept waiting.
 *
 * Under the platform lock (worker/device.h).
 */
#include "worker/device.h"
#include "worker/devices/net.h"
#include "worker/devices/virtio.h"

#define VIRTIO_NET_PAIRS_MAX 4
#define VIRTIO_NET_RX(pair)  (2 * (pair))
#define VIRTIO_NET_TX(pair)  (2 * (pair) + 1)

/* Sent from a queue in one call, and what the last frame is over that; the rest goes on from a timer. */
#define VIRTIO_NET_BURST       256 /* frames */
#define VIRTIO_NET_BURST_BYTES (512u << 10)

#define VIRTIO_NET_POLL_NS 100000u
#define VIRTIO_NET_FLOWS   256
#define VIRTIO_NET_REST_NS 10000000u /* without a frame for so long a flow may change places */

/* What a device is to be. */
struct virtio_net_options {
	const uint8_t *mac;
	unsigned int pairs; /* of queues: what is over VIRTIO_NET_PAIRS_MAX is ignored */
	bool whole;	    /* frames that arrive are to be whole, as somebody else gets them too */
};

/* Counted since init; not reset with the device. */
struct virtio_net_stats {
	uint64_t tx_frames, tx_bytes;
	uint64_t rx_frames, rx_bytes;
	uint64_t rx_held;    /* refused once, for the back end to offer again */
	uint64_t rx_dropped; /* the guest's buffer was too small */
	uint64_t tx_dropped; /* too short or too long, or with a header that says what cannot be */
	uint64_t tx_batches; /* times that there was something to send */
};

/* A transmit queue; private. */
struct virtio_net_tx {
	bool polled;	   /* there is no doorbell: the timer looks */
	unsigned int row;  /* batches that came close after each other */
	uint64_t at;	   /* when the last one was sent */
	uint64_t received; /* stats.rx_frames then */
};

/* Flows of one hash; private. */
struct virtio_net_flow {
	uint64_t at;  /* when a frame last arrived; 0: never */
	uint8_t pair; /* where it goes */
};

/* Private but for v, which the caller's registers lead to, and stats. */
struct virtio_net {
	struct virtio v;
	struct virtio_net_stats stats;
	struct virtio_net_config config;
	const struct dev_clock *clk;
	struct net *net;
	unsigned int pairs, active; /* there are, and in use */
	uint32_t does,
		takes;	 /* NET_*: for the guest, and from it; what both sides have agreed on */
	bool merges;	 /* a frame may be in several buffers */
	bool held;	 /* the back end keeps a frame until there is a buffer */
	uint32_t filled; /* a bit for each pair with buffers of which the guest has not been told */
	struct virtio_net_tx tx[VIRTIO_NET_PAIRS_MAX];
	struct dev_timer look; /* at the transmit queues that are polled */
	struct virtio_net_flow flow[VIRTIO_NET_FLOWS];
};

/* Makes @n a device on @net. What is pointed to must outlive it, but for @opt. */
void virtio_net_init(struct virtio_net *n, const struct dev_clock *clk, const struct dma *dma,
		     const struct virtio_host *host, void *ctx, struct net *net,
		     const struct virtio_net_options *opt);

/* The guest's driver is there: virtio_net_receive() has somebody to hand frames to. */
static inline bool virtio_net_live(const struct virtio_net *n)
{
	return n->v.started;
}

/* As net_device_ops's (worker/devices/net.h); the first while virtio_net_live(). */
bool virtio_net_receive(struct virtio_net *n, const struct virtio_net_hdr *todo,
			const uint8_t *frame, size_t len);
void virtio_net_received(struct virtio_net *n);

#endif
