/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_NET_H
#define WORKER_DEVICES_NET_H

/*
 * The cable between a network device and what is behind it (worker/backends/). Ethernet frames without preamble and
 * FCS, as long as they are (a back end pads nothing; a device that models the wire pads short frames to 60 bytes).
 * Everything under the platform lock (worker/device.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_FRAME_MAX                                                                              \
	65550u /* no frame that crosses a cable is longer, whatever the back end's offloads */

struct net;

/* The device's end. */
struct net_device_ops {
	/*
	 * A frame for the device. True: taken, or seen and filtered or dropped as the part would. False: the device
	 * has no room now and nothing has changed; it calls net_ready() once it has, and the back end, which keeps
	 * the frame, offers it again from there or later.
	 */
	bool (*receive)(void *dev, const uint8_t *frame, size_t len);
};

/* The back end's end. */
struct net_backend_ops {
	/* A frame from the device, copied or sent before it returns; a full queue drops it, as a wire would. */
	void (*transmit)(struct net *net, const struct iovec *iov, unsigned int iovs);
	/* The device has room again: frames that wait may be offered, within this call or later. */
	void (*ready)(struct net *net);
	/*
	 * The device is through with the frames that it had to send, one or several: what came back meanwhile may be
	 * offered, within this call or later. NULL: nothing comes back so soon.
	 */
	void (*sent)(struct net *net);
	/* Main thread, without the platform lock, the device being gone. */
	void (*close)(struct net *net);
};

/* Frames that have crossed the cable, counted by the back end. Under the platform lock. */
struct net_stats {
	uint64_t tx_frames, tx_bytes, tx_dropped; /* from the device */
	uint64_t rx_frames, rx_bytes, rx_dropped; /* to the device */
};

/* A back end: embedded in its own structure. The machine fills in the device's end after both are made. */
struct net {
	const struct net_backend_ops *ops;
	const struct net_device_ops *dev_ops; /* NULL while nothing is plugged in */
	void *dev;
	bool link; /* a carrier: what the PHY shows; set by the back end before the machine starts */
	struct net_stats stats;
};

static inline void net_transmit(struct net *net, const struct iovec *iov, unsigned int iovs)
{
	net->ops->transmit(net, iov, iovs);
}

static inline void net_ready(struct net *net)
{
	net->ops->ready(net);
}

static inline void net_sent(struct net *net)
{
	if (net->ops->sent)
		net->ops->sent(net);
}

#endif
