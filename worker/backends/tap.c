// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tap interface: the guest's cable ends in the host's network stack. A header goes with each frame, which says what the
 * sender has left to do (IFF_VNET_HDR); whether the stack may leave anything is the device's choice (TUNSETOFFLOAD).
 */
#define _GNU_SOURCE
#include "worker/backends/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/diag.h"

#define TAP_DEVICE "/dev/net/tun"
#define TAP_BURST  64 /* frames a turn of the loop */

struct tap_net {
	struct net net;
	const struct backend_host *host;
	struct loop_source src;
	char ifname[IFNAMSIZ];
	/* Under the platform lock. */
	uint32_t wanted; /* by the device: NET_* that frames may leave to do */
	size_t waiting;	 /* length of the frame that the device had no room for; 0: none */
	bool broken;
	struct {
		struct virtio_net_hdr_v1 header;
		uint8_t data[NET_FRAME_MAX];
	} frame; /* as it is read */
	/* Of a frame that is being cut: what is still to come, and the segment that is next. */
	struct net_cut cut;
	bool cutting;
	size_t segment_len; /* 0: to be made */
	uint8_t segment[NET_FRAME_MAX];
};

static struct tap_net *to_tap(struct net *net)
{
	return (struct tap_net *)((char *)net - offsetof(struct tap_net, net));
}

static void tap_transmit(struct net *net, const struct virtio_net_hdr *todo,
			 const struct iovec *iov, unsigned int iovs)
{
	struct virtio_net_hdr_v1 header = { 0 };
	struct iovec all[1 + NET_IOVS_MAX] = { { &header, sizeof(header) } };
	ssize_t n = -1;

	if (todo)
		memcpy(&header, todo, sizeof(*todo));
	if (iovs <= NET_IOVS_MAX) {
		memcpy(all + 1, iov, iovs * sizeof(*iov));
		n = writev(to_tap(net)->src.fd, all, (int)iovs + 1);
	}
	/* A full queue, an interface that is down: as with a cable, nobody hears of it. */
	if (n < 0) {
		net->stats.tx_dropped++;
		return;
	}
	net->stats.tx_frames++;
	net->stats.tx_bytes += n - sizeof(header);
}

/* Offers one to the device. Returns false if it has to wait. */
static bool tap_give(struct tap_net *t, const struct virtio_net_hdr *todo, const uint8_t *frame,
		     size_t len)
{
	struct net *net = &t->net;

	if (!net->dev_ops->receive(net->dev, todo, frame, len))
		return false;
	net->stats.rx_frames++;
	net->stats.rx_bytes += len;
	return true;
}

/* The same for what is left of a frame that is being cut. */
static bool tap_give_segments(struct tap_net *t)
{
	while (t->cutting) {
		if (!t->segment_len)
			t->segment_len = net_cut_next(&t->cut, t->segment);
		t->cutting = t->segment_len;
		if (t->cutting && !tap_give(t, NULL, t->segment, t->segment_len))
			return false;
		t->segment_len = 0;
	}
	return true;
}

/*
 * The frame in the buffer is to have nothing left to do that the device does not want: the stack may have had it ready before
 * it was told so. Returns whether there is something to offer: with @todo, or cut.
 */
static bool tap_prepare(struct tap_net *t, size_t len, const struct virtio_net_hdr **todo)
{
	struct virtio_net_hdr *header = (struct virtio_net_hdr *)&t->frame.header;
	const uint32_t left = net_todo(header);

	*todo = t->wanted ? header : NULL;
	if (!(left & ~t->wanted))
		return true;
	if (left & ~t->net.offloads || !net_todo_valid(header, len))
		return false;
	if (left & (NET_TSO4 | NET_TSO6)) {
		t->cutting = net_cut_begin(&t->cut, header, t->frame.data, len);
		return t->cutting;
	}
	net_complete_checksum(header, t->frame.data, len);
	memset(header, 0, sizeof(*header));
	return true;
}

/* Offers the frame in the buffer. Returns false if it, or a part of it, has to wait. */
static bool tap_offer(struct tap_net *t, size_t len)
{
	const struct virtio_net_hdr *todo = NULL;
	struct net *net = &t->net;
	bool taken;

	if (!net->dev_ops || (!t->cutting && !tap_prepare(t, len, &todo))) {
		net->stats.rx_dropped++;
		t->cutting = false;
		t->segment_len = 0;
		return true;
	}
	taken = t->cutting ? tap_give_segments(t) : tap_give(t, todo, t->frame.data, len);
	if (!taken)
		t->waiting = len;
	return taken;
}

static void tap_ready(struct net *net)
{
	struct tap_net *t = to_tap(net);
	size_t len = t->waiting;

	if (!len || t->broken)
		return;
	t->waiting = 0;
	if (tap_offer(t, len))
		loop_modify(t->host->loop, &t->src, EPOLLIN);
	net_received(net);
}

/* The stack's features change at once; frames that it has made ready before stay as they are. */
static void tap_want(struct net *net, uint32_t offloads)
{
	struct tap_net *t = to_tap(net);
	const unsigned int flags =
		(offloads & NET_CSUM ? TUN_F_CSUM : 0) | (offloads & NET_TSO4 ? TUN_F_TSO4 : 0) |
		(offloads & NET_TSO6 ? TUN_F_TSO6 : 0) | (offloads & NET_ECN ? TUN_F_TSO_ECN : 0);

	if (t->wanted == offloads)
		return;
	t->wanted = offloads;
	if (ioctl(t->src.fd, TUNSETOFFLOAD, flags) && errno != EBADFD)
		diag_error("the tap interface %s keeps its offloads: %s", t->ifname,
			   strerror(errno));
}

static void tap_break(struct tap_net *t, int error)
{
	diag_error("the tap interface %s is gone: %s", t->ifname, strerror(error));
	t->broken = true;
	loop_remove(t->host->loop, &t->src);
}

static void tap_receive(struct tap_net *t)
{
	const ssize_t header = sizeof(t->frame.header);
	unsigned int i;
	ssize_t n;

	for (i = 0; i < TAP_BURST && !t->waiting; i++) {
		n = read(t->src.fd, &t->frame, sizeof(t->frame));
		if (n > header) {
			tap_offer(t, n - header);
		} else if (n < 0 && errno == EBADFD) {
			tap_break(t, ENODEV);
			break;
		} else if (n == 0 || errno != EINTR) {
			break; /* nothing now; EIO while the interface is down */
		}
	}
	net_received(&t->net);
	if (t->waiting && !t->broken)
		loop_modify(t->host->loop, &t->src, 0);
}

static void tap_on_frames(struct loop_source *src, uint32_t events)
{
	struct tap_net *t = src->ctx;

	(void)events;
	backend_lock(t->host);
	if (!t->broken && !t->waiting)
		tap_receive(t);
	backend_unlock(t->host);
}

static void tap_close(struct net *net)
{
	struct tap_net *t = to_tap(net);

	if (!t->broken && t->src.fd >= 0)
		loop_remove(t->host->loop, &t->src);
	if (t->src.fd >= 0)
		close(t->src.fd);
	free(t);
}

static const struct net_backend_ops tap_ops = {
	.transmit = tap_transmit,
	.want = tap_want,
	.ready = tap_ready,
	.close = tap_close,
};

/* Where that is allowed. Who may not has it done by whoever made the interface. */
static void tap_bring_up(const struct tap_net *t)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };

	if (fd < 0)
		return;
	memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && !(ifr.ifr_flags & IFF_UP)) {
		ifr.ifr_flags |= IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &ifr);
	}
	close(fd);
}

static int tap_explain(const char *ifname, int error)
{
	const char *shown = *ifname ? ifname : "of the kernel's choice";

	if (error == EPERM || error == EACCES)
		diag_error("no permission for the tap interface %s: be root, or have it made for "
			   "you by "
			   "'ip tuntap add %s mode tap user NAME'",
			   shown, *ifname ? ifname : "tap0");
	else if (error == EBUSY)
		diag_error("the tap interface %s is in use: name another one", shown);
	else if (error == EINVAL)
		diag_error("%s is not a tap interface: name another one", shown);
	else
		diag_error("cannot open the tap interface %s: %s", shown, strerror(error));
	return -error;
}

static int tap_attach(struct tap_net *t, const char *ifname)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = sizeof(t->frame.header);

	t->src.fd = open(TAP_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->src.fd < 0) {
		if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
			diag_error("%s is not there: load the module tun", TAP_DEVICE);
			return -ENODEV;
		}
		return tap_explain(ifname, errno);
	}
	strncpy(ifr.ifr_name, ifname, IFNAMSIZ - 1);
	/* An interface that was there before keeps what its last user asked for. */
	if (ioctl(t->src.fd, TUNSETIFF, &ifr) || ioctl(t->src.fd, TUNSETVNETHDRSZ, &header) ||
	    ioctl(t->src.fd, TUNSETOFFLOAD, 0))
		return tap_explain(ifname, errno);
	memcpy(t->ifname, ifr.ifr_name, IFNAMSIZ);
	t->ifname[IFNAMSIZ - 1] = 0;
	tap_bring_up(t);
	if (!*ifname)
		diag_note("network: %s", t->ifname);
	return 0;
}

int net_tap_open(const struct backend_host *host, const char *ifname, struct net **net)
{
	struct tap_net *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return -ENOMEM;
	t->net.ops = &tap_ops;
	t->net.link = true;
	t->net.offloads = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN;
	t->host = host;
	t->src = (struct loop_source){ .fd = -1, .ready = tap_on_frames, .ctx = t };
	ret = tap_attach(t, ifname);
	if (!ret) {
		ret = loop_add(host->loop, &t->src, EPOLLIN);
		if (!ret) {
			*net = &t->net;
			return 0;
		}
		diag_error("cannot wait for the tap interface: %s", strerror(-ret));
	}
	t->broken = true; /* not in the loop */
	tap_close(&t->net);
	return ret;
}
