// SPDX-License-Identifier: GPL-2.0-only
/* A tap interface: the guest's cable ends in the host's network stack. */
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
	size_t waiting; /* length of the frame that the device had no room for; 0: none */
	bool broken;
	uint8_t frame[NET_FRAME_MAX];
};

static struct tap_net *to_tap(struct net *net)
{
	return (struct tap_net *)((char *)net - offsetof(struct tap_net, net));
}

static void tap_transmit(struct net *net, const struct iovec *iov, unsigned int iovs)
{
	ssize_t n = writev(to_tap(net)->src.fd, iov, iovs);

	/* A full queue, an interface that is down: as with a cable, nobody hears of it. */
	if (n < 0) {
		net->stats.tx_dropped++;
		return;
	}
	net->stats.tx_frames++;
	net->stats.tx_bytes += n;
}

/* Offers the frame in the buffer. Returns false if it has to wait. */
static bool tap_offer(struct tap_net *t, size_t len)
{
	struct net *net = &t->net;

	if (!net->dev_ops) {
		net->stats.rx_dropped++;
		return true;
	}
	if (!net->dev_ops->receive(net->dev, t->frame, len)) {
		t->waiting = len;
		return false;
	}
	net->stats.rx_frames++;
	net->stats.rx_bytes += len;
	return true;
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
}

static void tap_break(struct tap_net *t, int error)
{
	diag_error("the tap interface %s is gone: %s", t->ifname, strerror(error));
	t->broken = true;
	loop_remove(t->host->loop, &t->src);
}

static void tap_receive(struct tap_net *t)
{
	unsigned int i;
	ssize_t n;

	for (i = 0; i < TAP_BURST && !t->waiting; i++) {
		n = read(t->src.fd, t->frame, sizeof(t->frame));
		if (n > 0) {
			tap_offer(t, n);
		} else if (n < 0 && errno == EBADFD) {
			tap_break(t, ENODEV);
			return;
		} else if (n == 0 || errno != EINTR) {
			return; /* nothing now; EIO while the interface is down */
		}
	}
	if (t->waiting)
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
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	t->src.fd = open(TAP_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->src.fd < 0) {
		if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
			diag_error("%s is not there: load the module tun", TAP_DEVICE);
			return -ENODEV;
		}
		return tap_explain(ifname, errno);
	}
	strncpy(ifr.ifr_name, ifname, IFNAMSIZ - 1);
	if (ioctl(t->src.fd, TUNSETIFF, &ifr))
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
