/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_NET_H
#define WORKER_DEVICES_NET_H

/*
 * The cable between a network device and what is behind it (worker/backends/). Ethernet frames without preamble and
 * FCS, as long as they are (a back end pads nothing; a device that models the wire pads short frames to 60 bytes).
 * Everything under the platform lock (worker/device.h).
 */
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_ETHER_HEADER 14

/* No frame that crosses a cable is longer: an IP packet, and a header with a VLAN's tag. */
#define NET_FRAME_MAX (65536u + NET_ETHER_HEADER + 4)
#define NET_IOVS_MAX  260 /* pieces of a frame */

/*
 * Work on a frame that its sender leaves to the other end of the cable, where both ends can: a struct virtio_net_hdr goes with
 * such a frame and says what is left to be done (virtio 1.2, 5.1.6).
 */
#define NET_CSUM 0x1u /* a checksum holds the pseudo-header's sum only */
#define NET_TSO4 0x2u /* TCP over IPv4, to be cut into segments ... */
#define NET_TSO6 0x4u /* ... or over IPv6 ... */
#define NET_ECN	 0x8u /* ... with congestion notified, which is the first segment's only */

#define NET_SEGMENT_MIN                                                                            \
	48u /* bytes; TCP sends no less, and a frame of less would be thousands for the host */

struct net;

/* The device's end. */
struct net_device_ops {
	/*
	 * A frame for the device. True: taken, or seen and filtered or dropped as the part would. False: the device
	 * has no room now and nothing has changed; it calls net_ready() once it has, and the back end, which keeps
	 * the frame, offers it again from there or later. @todo: of what the device has asked for by net_want(); NULL:
	 * the frame is whole.
	 */
	bool (*receive)(void *dev, const struct virtio_net_hdr *todo, const uint8_t *frame,
			size_t len);
	/* Frames have been offered, and there are no more for now. */
	void (*received)(void *dev);
};

/* The back end's end. */
struct net_backend_ops {
	/*
	 * A frame from the device, in at most NET_IOVS_MAX pieces, copied or sent before it returns; a full queue drops
	 * it, as a wire would. @todo: of net->offloads, and checked (net_todo_valid()); NULL: the frame is whole.
	 */
	void (*transmit)(struct net *net, const struct virtio_net_hdr *todo,
			 const struct iovec *iov, unsigned int iovs);
	/* From now on the device takes frames with @offloads, of net->offloads, left to do, and no others. */
	void (*want)(struct net *net, uint32_t offloads);
	/* The device has room again: frames that wait may be offered, within this call or later. */
	void (*ready)(struct net *net);
	/*
	 * The device is through with the frames that it had to send, one or several, and says so: what came back
	 * meanwhile may be offered, within this call or later. NULL: nothing comes back so soon.
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
	uint32_t offloads; /* NET_*: what it can do and can leave to the device; likewise */
	struct net_stats stats;
};

/* What there is to be done to a frame, NET_*; anything else for what this cable does not know. */
uint32_t net_todo(const struct virtio_net_hdr *todo);

/* Whether what @todo says of a frame of @len bytes can be true. */
bool net_todo_valid(const struct virtio_net_hdr *todo, size_t len);

/* Does what NET_CSUM leaves to do. @todo is known to be valid. */
void net_complete_checksum(const struct virtio_net_hdr *todo, uint8_t *frame, size_t len);

/* A frame that is being cut into segments, one after the other; private but to the caller's memory. */
struct net_cut {
	struct virtio_net_hdr todo; /* what is left to do to each segment: its checksum */
	const uint8_t *frame;
	size_t len;
	size_t ip, tcp; /* where the headers are */
	size_t headers; /* their length with Ethernet's: where the data begin */
	size_t at;	/* the data that come next */
	uint16_t size;	/* bytes of data in a segment, less in the last */
	uint16_t n;	/* segments made */
	bool ipv6;
};

/*
 * Begins to do what NET_TSO4 or NET_TSO6 leaves to do to @frame, which stays as it is until all is made. @todo is known to be
 * valid. Returns false if the headers in the frame are not what @todo says, in which case nothing can be made of it.
 */
bool net_cut_begin(struct net_cut *cut, const struct virtio_net_hdr *todo, const uint8_t *frame,
		   size_t len);

/*
 * Makes the next segment in @segment, which has room for the frame: whole, its checksums too. Returns its length; 0 when
 * there is none left.
 */
size_t net_cut_next(struct net_cut *cut, uint8_t *segment);

static inline void net_transmit(struct net *net, const struct virtio_net_hdr *todo,
				const struct iovec *iov, unsigned int iovs)
{
	net->ops->transmit(net, todo, iov, iovs);
}

/* Once a device has asked for frames with work left to do it has to ask for whole ones before it is gone. */
static inline void net_want(struct net *net, uint32_t offloads)
{
	if (net->offloads)
		net->ops->want(net, offloads & net->offloads);
}

static inline void net_received(struct net *net)
{
	if (net->dev_ops && net->dev_ops->received)
		net->dev_ops->received(net->dev);
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
