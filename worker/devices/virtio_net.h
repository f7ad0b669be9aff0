/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_VIRTIO_NET_H
#define WORKER_DEVICES_VIRTIO_NET_H

/*
 * A virtio network device (virtio 1.2, section 5.1): one receive and one transmit queue, the high-performance mode of the
 * 21140A. The cable is the caller's, which hands over frames that arrive. (B2)
 *
 * Under the platform lock (worker/device.h).
 */
#include <linux/virtio_net.h>

#include "worker/device.h"
#include "worker/devices/net.h"
#include "worker/devices/virtio.h"

#define VIRTIO_NET_RX 0
#define VIRTIO_NET_TX 1

#define VIRTIO_NET_BURST 256 /* frames sent in one call; the rest goes on from a timer */

/* Counted since init; not reset with the device. */
struct virtio_net_stats {
	uint64_t tx_frames, tx_bytes;
	uint64_t rx_frames, rx_bytes;
	uint64_t rx_held;    /* refused once, for the back end to offer again */
	uint64_t rx_dropped; /* the guest's buffer was too small */
	uint64_t tx_dropped; /* a chain too short or too long for a frame and its header */
	uint64_t doorbells;
};

/* Private but for v, which the caller's registers lead to, and stats. */
struct virtio_net {
	struct virtio v;
	struct virtio_net_stats stats;
	struct virtio_net_config config;
	const struct dev_clock *clk;
	struct net *net;
	struct dev_timer more; /* frames are left to be sent */
	bool held;	       /* the back end keeps a frame until there is a buffer */
};

/* Makes @n a device with station address @mac on @net. What is pointed to must outlive it. */
void virtio_net_init(struct virtio_net *n, const struct dev_clock *clk, const struct dma *dma,
		     const struct virtio_host *host, void *ctx, struct net *net,
		     const uint8_t mac[6]);

/* The guest's driver is there: virtio_net_receive() has somebody to hand frames to. */
static inline bool virtio_net_live(const struct virtio_net *n)
{
	return n->v.started;
}

/* As net_device_ops.receive (worker/devices/net.h), while virtio_net_live(). */
bool virtio_net_receive(struct virtio_net *n, const uint8_t *frame, size_t len);

#endif
