// SPDX-License-Identifier: GPL-2.0-only
/*
 * User networking: libslirp's little network (10.0.2.0/24 and fec0::/64, with DHCP, DNS and a gateway) in this process.
 * libslirp is not made for threads: all of it runs under the platform lock. Its sockets are in an epoll set of their own,
 * which is in the loop, and kept as libslirp last asked for it, so that nothing is gone through while nothing happens.
 */
#define _GNU_SOURCE
#include "worker/backends/backend.h"

#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "worker/diag.h"

#define USER_QUEUE_BYTES (1u << 20) /* frames that wait for the device; more are dropped */
#define USER_EVENTS	 64
#define USER_BURST	 64 /* frames a turn of the loop */
#define USER_NS_PER_MS	 1000000ull

/* A descriptor of libslirp's, by its number. */
struct user_fd {
	uint32_t wanted; /* in the epoll set with these events; 0: not in it */
	uint32_t ready;	 /* what epoll said since libslirp was last told */
	uint64_t fill;	 /* the last fill that asked for it */
};

struct user_frame {
	struct user_frame *next;
	size_t len;
	uint8_t data[];
};

/* Descriptors in the order in which libslirp asked for them; -1: closed since. */
struct user_polled {
	int *fd;
	size_t len, size;
};

struct user_net {
	struct net net;
	const struct backend_host *host;
	struct loop_source src;	 /* the epoll set */
	struct loop_event queue; /* there are frames for the device */
	struct loop_timer timer; /* libslirp's time-outs */
	/* Under the platform lock. */
	Slirp *slirp;
	uint64_t timer_at;   /* when it fires; 0: not armed */
	struct user_fd *fds; /* indexed by descriptor */
	size_t fds_size;
	struct user_polled polled, before; /* this fill's and the last one's */
	uint64_t fill;
	bool in_loop; /* on the main thread, with no call of the device's on the stack */
	bool sending; /* the device is, and will say when it is through */
	bool delivering;
	struct user_frame *head, **tail;
	size_t queued; /* bytes */
	uint8_t tx[NET_FRAME_MAX];
};

/* A timer of libslirp's. */
struct user_timer {
	struct loop_timer timer;
	struct user_net *u;
	SlirpTimerCb fire;
	void *opaque;
};

static struct user_net *to_user(struct net *net)
{
	return (struct user_net *)((char *)net - offsetof(struct user_net, net));
}

/* ------------------------------------------------------------------ frames for the device */

static bool user_offer(struct user_net *u, const uint8_t *frame, size_t len)
{
	struct net *net = &u->net;

	if (!net->dev_ops || !net->dev_ops->receive(net->dev, NULL, frame, len))
		return false;
	net->stats.rx_frames++;
	net->stats.rx_bytes += len;
	return true;
}

static void user_deliver(struct user_net *u)
{
	struct user_frame *frame;

	if (u->delivering)
		return;
	u->delivering = true;
	while ((frame = u->head) && user_offer(u, frame->data, frame->len)) {
		u->head = frame->next;
		if (!u->head)
			u->tail = &u->head;
		u->queued -= frame->len;
		free(frame);
	}
	u->delivering = false;
	net_received(&u->net);
}

static void user_enqueue(struct user_net *u, const void *buf, size_t len)
{
	struct user_frame *frame = NULL;

	if (u->queued + len <= USER_QUEUE_BYTES)
		frame = malloc(sizeof(*frame) + len);
	if (!frame) {
		u->net.stats.rx_dropped++;
		return;
	}
	frame->next = NULL;
	frame->len = len;
	memcpy(frame->data, buf, len);
	*u->tail = frame;
	u->tail = &frame->next;
	u->queued += len;
	if (!u->in_loop && !u->sending)
		loop_event_signal(&u->queue);
}

/* From libslirp. A device that is just transmitting must not be called, nor one that waits be overtaken. */
static ssize_t user_send_packet(const void *buf, size_t len, void *opaque)
{
	struct user_net *u = opaque;

	if (u->in_loop && !u->head && user_offer(u, buf, len))
		return len;
	user_enqueue(u, buf, len);
	return len;
}

static void user_on_queue(struct loop_event *ev)
{
	struct user_net *u = ev->ctx;

	backend_lock(u->host);
	user_deliver(u);
	backend_unlock(u->host);
}

/* Answers reach the device without a way through the loop: most are acknowledgements by libslirp itself. */
static void user_ready(struct net *net)
{
	user_deliver(to_user(net));
}

/* ------------------------------------------------------------------ descriptors and time-outs */

static uint32_t user_to_epoll(int events)
{
	return (events & SLIRP_POLL_IN ? EPOLLIN : 0) | (events & SLIRP_POLL_OUT ? EPOLLOUT : 0) |
	       (events & SLIRP_POLL_PRI ? EPOLLPRI : 0);
}

static int user_from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
	       (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
	       (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

/* Returns whether the table has a place for the descriptor. */
static bool user_make_room(struct user_net *u, int fd)
{
	size_t size = (size_t)fd * 2 + 64;
	struct user_fd *grown;

	if ((size_t)fd < u->fds_size)
		return true;
	grown = realloc(u->fds, size * sizeof(*grown));
	if (!grown)
		return false;
	memset(grown + u->fds_size, 0, (size - u->fds_size) * sizeof(*grown));
	u->fds = grown;
	u->fds_size = size;
	return true;
}

static bool user_append(struct user_polled *p, int fd)
{
	size_t size = p->size * 2 + 16;
	int *grown;

	if (p->len == p->size) {
		grown = realloc(p->fd, size * sizeof(*grown));
		if (!grown)
			return false;
		p->fd = grown;
		p->size = size;
	}
	p->fd[p->len++] = fd;
	return true;
}

static void user_watch(struct user_net *u, int fd, uint32_t wanted)
{
	struct user_fd *f = &u->fds[fd];
	struct epoll_event ev = { .events = wanted, .data.fd = fd };

	if (f->wanted != wanted) {
		epoll_ctl(u->src.fd, f->wanted ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
		f->wanted = wanted;
	}
}

static void user_forget(struct user_net *u, int fd)
{
	if (fd < 0 || (size_t)fd >= u->fds_size)
		return;
	if (u->fds[fd].wanted)
		epoll_ctl(u->src.fd, EPOLL_CTL_DEL, fd, NULL);
	u->fds[fd] = (struct user_fd){ 0 };
}

/* The same descriptor may be asked for twice: the answers are the numbers of the calls. */
static int user_add_poll(int fd, int events, void *opaque)
{
	struct user_net *u = opaque;
	uint32_t wanted = user_to_epoll(events);

	if (fd < 0 || !user_make_room(u, fd) || !user_append(&u->polled, fd))
		return -1;
	if (u->fds[fd].fill == u->fill)
		wanted |= u->fds[fd].wanted;
	u->fds[fd].fill = u->fill;
	user_watch(u, fd, wanted);
	return u->polled.len - 1;
}

static int user_get_revents(int idx, void *opaque)
{
	struct user_net *u = opaque;
	int fd = -1;

	if (idx >= 0 && (size_t)idx < u->polled.len)
		fd = u->polled.fd[idx];
	return fd < 0 ? 0 : user_from_epoll(u->fds[fd].ready);
}

static void user_set_timer(struct user_net *u, uint32_t timeout_ms)
{
	uint64_t at = 0;

	if (timeout_ms != UINT32_MAX)
		at = loop_now() + timeout_ms * USER_NS_PER_MS;
	/* One that fires too early does no harm, and saves the call for each frame. */
	if (!at || (u->timer_at && u->timer_at <= at))
		return;
	u->timer_at = at;
	loop_timer_arm(&u->timer, at);
}

/* Asks libslirp what to wait for, and does so. */
static void user_refill(struct user_net *u)
{
	struct user_polled before = u->polled;
	uint32_t timeout = UINT32_MAX;
	size_t i;
	int fd;

	u->polled = u->before;
	u->polled.len = 0;
	u->fill++;
	slirp_pollfds_fill(u->slirp, &timeout, user_add_poll, u);
	for (i = 0; i < before.len; i++) {
		fd = before.fd[i];
		if (fd >= 0 && u->fds[fd].fill != u->fill)
			user_forget(u, fd);
	}
	u->before = before;
	user_set_timer(u, timeout);
}

/* What epoll says that has happened. Returns how many descriptors that is. */
static int user_look(struct user_net *u, struct epoll_event *ev)
{
	int i, n = epoll_wait(u->src.fd, ev, USER_EVENTS, 0);

	for (i = 0; i < n; i++)
		u->fds[ev[i].data.fd].ready |= ev[i].events;
	return n;
}

static void user_poll(struct user_net *u, const struct epoll_event *ev, int n)
{
	int i;

	slirp_pollfds_poll(u->slirp, 0, user_get_revents, u);
	for (i = 0; i < n; i++)
		u->fds[ev[i].data.fd].ready = 0;
	user_refill(u);
}

/*
 * Tells libslirp what has happened, and again while something has: it takes one datagram of a socket at a time. On the main
 * thread.
 */
static void user_serve(struct user_net *u)
{
	const uint64_t until = u->net.stats.rx_frames + USER_BURST;
	struct epoll_event ev[USER_EVENTS];
	uint64_t before;
	int n;

	u->in_loop = true;
	n = user_look(u, ev);
	do {
		before = u->net.stats.rx_frames;
		user_poll(u, ev, n);
		n = u->net.stats.rx_frames > before && u->net.stats.rx_frames < until
			    ? user_look(u, ev)
			    : 0;
	} while (n > 0);
	user_deliver(u);
	u->in_loop = false;
}

static void user_on_ready(struct loop_source *src, uint32_t events)
{
	struct user_net *u = src->ctx;

	(void)events;
	backend_lock(u->host);
	user_serve(u);
	backend_unlock(u->host);
}

static void user_on_timer(struct loop_timer *t)
{
	struct user_net *u = t->ctx;

	backend_lock(u->host);
	u->timer_at = 0;
	user_serve(u);
	backend_unlock(u->host);
}

/* ------------------------------------------------------------------ frames from the device */

static void user_transmit(struct net *net, const struct virtio_net_hdr *todo,
			  const struct iovec *iov, unsigned int iovs)
{
	struct user_net *u = to_user(net);
	size_t len = 0;
	unsigned int i;

	(void)todo; /* no offloads: libslirp checks what it gets */

	/* A copy: the buffers may be the guest's memory, and libslirp looks at fields more than once. */
	for (i = 0; i < iovs; i++) {
		if (iov[i].iov_len > sizeof(u->tx) - len) {
			net->stats.tx_dropped++;
			return;
		}
		memcpy(u->tx + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	net->stats.tx_frames++;
	net->stats.tx_bytes += len;
	u->sending = true;
	slirp_input(u->slirp, u->tx, len);
	u->sending = false;
}

/* Once for all frames that were sent together. */
static void user_sent(struct net *net)
{
	struct user_net *u = to_user(net);

	user_refill(u);
	user_deliver(u);
}

/* ------------------------------------------------------------------ what libslirp calls */

static void user_guest_error(const char *msg, void *opaque)
{
	(void)msg; /* the guest's affair */
	(void)opaque;
}

static int64_t user_clock(void *opaque)
{
	(void)opaque;
	return loop_now();
}

static void user_on_slirp_timer(struct loop_timer *timer)
{
	struct user_timer *t = timer->ctx;

	backend_lock(t->u->host);
	t->u->in_loop = true;
	t->fire(t->opaque);
	user_deliver(t->u);
	t->u->in_loop = false;
	user_refill(t->u);
	backend_unlock(t->u->host);
}

static void *user_timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	struct user_timer *t = calloc(1, sizeof(*t));
	struct user_net *u = opaque;

	if (!t)
		return NULL;
	*t = (struct user_timer){ .u = u, .fire = cb, .opaque = cb_opaque };
	/* Without a descriptor left it never fires: no router advertisements, all else works. */
	if (loop_timer_open(u->host->loop, &t->timer, user_on_slirp_timer, t))
		diag_error("user networking has no timer: %s", strerror(errno));
	return t;
}

static void user_timer_free(void *timer, void *opaque)
{
	struct user_net *u = opaque;
	struct user_timer *t = timer;

	if (t)
		loop_timer_close(u->host->loop, &t->timer);
	free(t);
}

static void user_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	struct user_timer *t = timer;

	(void)opaque;
	if (t && t->timer.src.fd >= 0)
		loop_timer_arm(&t->timer, expire_ms > 0 ? expire_ms * USER_NS_PER_MS : 1);
}

static void user_register_fd(int fd, void *opaque)
{
	/* A new one under an old number: what was known is not true of it. */
	user_forget(opaque, fd);
}

static void user_unregister_fd(int fd, void *opaque)
{
	struct user_net *u = opaque;
	size_t i;

	user_forget(u, fd);
	for (i = 0; i < u->polled.len; i++) {
		if (u->polled.fd[i] == fd)
			u->polled.fd[i] = -1;
	}
}

static void user_notify(void *opaque)
{
	struct user_net *u = opaque;

	loop_timer_arm(&u->timer, 1);
}

static const SlirpCb user_callbacks = {
	.send_packet = user_send_packet,
	.guest_error = user_guest_error,
	.clock_get_ns = user_clock,
	.timer_new = user_timer_new,
	.timer_free = user_timer_free,
	.timer_mod = user_timer_mod,
	.register_poll_fd = user_register_fd,
	.unregister_poll_fd = user_unregister_fd,
	.notify = user_notify,
};

/* ------------------------------------------------------------------ opening and closing */

static void user_close(struct net *net)
{
	struct user_net *u = to_user(net);
	struct user_frame *frame;

	backend_lock(u->host);
	net->dev_ops = NULL;
	if (u->slirp)
		slirp_cleanup(u->slirp);
	backend_unlock(u->host);
	loop_timer_close(u->host->loop, &u->timer);
	loop_event_close(u->host->loop, &u->queue);
	if (u->src.fd >= 0) {
		loop_remove(u->host->loop, &u->src);
		close(u->src.fd);
	}
	while ((frame = u->head)) {
		u->head = frame->next;
		free(frame);
	}
	free(u->polled.fd);
	free(u->before.fd);
	free(u->fds);
	free(u);
}

static const struct net_backend_ops user_ops = {
	.transmit = user_transmit,
	.ready = user_ready,
	.sent = user_sent,
	.close = user_close,
};

static struct in_addr user_addr(const char *text)
{
	struct in_addr addr = { 0 };

	inet_pton(AF_INET, text, &addr);
	return addr;
}

static Slirp *user_make_slirp(struct user_net *u)
{
	SlirpConfig cfg = {
		.version = 1,
		.in_enabled = true,
		.vnetwork = user_addr("10.0.2.0"),
		.vnetmask = user_addr("255.255.255.0"),
		.vhost = user_addr("10.0.2.2"),
		.vdhcp_start = user_addr("10.0.2.15"),
		.vnameserver = user_addr("10.0.2.3"),
		.in6_enabled = true,
		.vprefix_len = 64,
	};

	inet_pton(AF_INET6, "fec0::", &cfg.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &cfg.vhost6);
	inet_pton(AF_INET6, "fec0::3", &cfg.vnameserver6);
	return slirp_new(&cfg, &user_callbacks, u);
}

static int user_forward(struct user_net *u, const struct net_forward *f)
{
	struct in_addr host = { f->host_addr }, guest = { f->guest_addr };
	char text[INET_ADDRSTRLEN];
	int error;

	if (!f->guest_addr)
		guest = user_addr("10.0.2.15");
	if (slirp_add_hostfwd(u->slirp, f->udp, host, f->host_port, guest, f->guest_port) == 0)
		return 0;
	error = errno;
	diag_error("cannot forward %s port %u of %s: %s", f->udp ? "UDP" : "TCP", f->host_port,
		   inet_ntop(AF_INET, &host, text, sizeof(text)), strerror(error));
	return error ? -error : -EINVAL;
}

static int user_open_events(struct user_net *u)
{
	struct loop *loop = u->host->loop;
	int ret;

	u->src.fd = epoll_create1(EPOLL_CLOEXEC);
	if (u->src.fd < 0)
		return -errno;
	ret = loop_add(loop, &u->src, EPOLLIN);
	if (!ret)
		ret = loop_event_open(loop, &u->queue, user_on_queue, u);
	if (!ret)
		ret = loop_timer_open(loop, &u->timer, user_on_timer, u);
	return ret;
}

int net_user_open(const struct backend_host *host, const struct net_user_config *cfg,
		  struct net **net)
{
	struct user_net *u = calloc(1, sizeof(*u));
	unsigned int i;
	int ret;

	if (!u)
		return -ENOMEM;
	u->net.ops = &user_ops;
	u->net.link = true;
	u->host = host;
	u->tail = &u->head;
	u->src = (struct loop_source){ .fd = -1, .ready = user_on_ready, .ctx = u };
	u->queue.src.fd = u->timer.src.fd = -1;
	ret = user_open_events(u);
	if (!ret) {
		u->slirp = user_make_slirp(u);
		ret = u->slirp ? 0 : -ENOMEM;
	}
	if (ret)
		diag_error("cannot start user networking: %s", strerror(-ret));
	for (i = 0; !ret && i < cfg->forwards; i++)
		ret = user_forward(u, &cfg->forward[i]);
	if (ret) {
		user_close(&u->net);
		return ret;
	}
	backend_lock(host);
	user_refill(u);
	backend_unlock(host);
	*net = &u->net;
	return 0;
}
