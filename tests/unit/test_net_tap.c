// SPDX-License-Identifier: GPL-2.0-only
/* The tap back end in a network namespace of its own, with a packet socket at the host's end of the cable. */
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "backendtest.h"

#define TYPE   0x88b5 /* for local experiments: what the kernel sends by itself is none of these */
#define FRAMES 64

static bool possible; /* not in a container without namespaces or tun */

struct nic {
	struct bench b;
	struct net *net;
	int host; /* the packet socket */
	bool full;
	unsigned int refused, frames;
	uint8_t frame[FRAMES][2048];
	size_t len[FRAMES];
};

static bool nic_receive(void *dev, const uint8_t *frame, size_t len)
{
	struct nic *n = dev;

	assert_true(n->b.held);
	if (len < 14 || frame[12] != TYPE >> 8 || frame[13] != (TYPE & 0xff))
		return true;
	if (n->full) {
		n->refused++;
		return false;
	}
	assert_true(n->frames < FRAMES && len <= sizeof(n->frame[0]));
	memcpy(n->frame[n->frames], frame, len);
	n->len[n->frames++] = len;
	return true;
}

static const struct net_device_ops nic_ops = { nic_receive };

static void nic_open(struct nic *n)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE) };

	if (!possible)
		skip();
	memset(n, 0, sizeof(*n));
	bench_open(&n->b);
	assert_int_equal(net_tap_open(&n->b.host, "plinth0", &n->net), 0);
	assert_true(n->net->link);
	n->net->dev = n;
	n->net->dev_ops = &nic_ops;
	n->host = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	a.sll_ifindex = if_nametoindex("plinth0");
	assert_true(a.sll_ifindex > 0);
	assert_int_equal(bind(n->host, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void nic_close(struct nic *n)
{
	close(n->host);
	n->net->ops->close(n->net);
	bench_close(&n->b);
	assert_int_equal(if_nametoindex("plinth0"), 0); /* ours goes with us */
}

static void make_frame(uint8_t *f, size_t len, uint32_t seed)
{
	pattern(f, len, seed);
	memcpy(f, "\x02\0\0\0\0\1\x02\0\0\0\0\2", 12);
	f[12] = TYPE >> 8;
	f[13] = TYPE & 0xff;
}

static void test_both_ways(void **state)
{
	static struct nic n;
	uint8_t f[1514], got[2048];
	struct iovec iov[2] = { { f, 20 }, { f + 20, sizeof(f) - 20 } };
	uint64_t before;

	(void)state;
	nic_open(&n);
	before = n.net->stats.tx_frames;
	make_frame(f, sizeof(f), 1);
	bench_lock(&n.b);
	net_transmit(n.net, iov, 2);
	bench_unlock(&n.b);
	assert_int_equal(recv(n.host, got, sizeof(got), 0), sizeof(f));
	assert_memory_equal(got, f, sizeof(f));
	assert_int_equal(n.net->stats.tx_frames, before + 1);
	make_frame(f, 60, 2);
	assert_int_equal(send(n.host, f, 60, 0), 60);
	while (!n.frames)
		loop_run_once(&n.b.loop, -1);
	assert_int_equal(n.len[0], 60);
	assert_memory_equal(n.frame[0], f, 60);
	nic_close(&n);
}

/* A device without room: its frame is kept, the others wait in the kernel, and none is lost or changes places. */
static void test_device_without_room(void **state)
{
	static struct nic n;
	uint8_t f[100];
	int i;

	(void)state;
	nic_open(&n);
	n.full = true;
	for (i = 0; i < 20; i++) {
		make_frame(f, 60 + i, i);
		assert_int_equal(send(n.host, f, 60 + i, 0), 60 + i);
	}
	while (!n.refused)
		loop_run_once(&n.b.loop, -1);
	for (i = 0; i < 10; i++)
		loop_run_once(&n.b.loop, 0);
	assert_int_equal(n.refused, 1); /* it is left alone until it says so */
	bench_lock(&n.b);
	net_ready(n.net);
	bench_unlock(&n.b);
	assert_int_equal(n.refused, 2);
	n.full = false;
	bench_lock(&n.b);
	net_ready(n.net);
	bench_unlock(&n.b);
	while (n.frames < 20)
		loop_run_once(&n.b.loop, -1);
	for (i = 0; i < 20; i++) {
		make_frame(f, 60 + i, i);
		assert_int_equal(n.len[i], 60 + i);
		assert_memory_equal(n.frame[i], f, 60 + i);
	}
	nic_close(&n);
}

static void set_flags(const char *name, short set, short clear)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags = (ifr.ifr_flags | set) & ~clear;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

/* An interface that is down, and up again: frames are lost, nothing else. */
static void test_interface_down(void **state)
{
	static struct nic n;
	uint8_t f[60], got[128];
	struct iovec iov = { f, sizeof(f) };
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE) };

	(void)state;
	nic_open(&n);
	make_frame(f, sizeof(f), 1);
	set_flags("plinth0", 0, IFF_UP);
	bench_lock(&n.b);
	net_transmit(n.net, &iov, 1);
	bench_unlock(&n.b);
	assert_int_equal(n.net->stats.tx_dropped, 1);
	loop_run_once(&n.b.loop, 0);
	set_flags("plinth0", IFF_UP, 0);
	a.sll_ifindex = if_nametoindex("plinth0");
	close(n.host);
	n.host = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(n.host, (struct sockaddr *)&a, sizeof(a)), 0);
	bench_lock(&n.b);
	net_transmit(n.net, &iov, 1);
	bench_unlock(&n.b);
	assert_int_equal(recv(n.host, got, sizeof(got), 0), sizeof(f));
	nic_close(&n);
}

static void test_what_is_no_tap(void **state)
{
	struct net *net, *other;
	struct bench b;

	(void)state;
	if (!possible)
		skip();
	bench_open(&b);
	bench_listen(&b);
	assert_true(net_tap_open(&b.host, "lo", &net) < 0);
	bench_expect_line(bench_heard(&b), "tap interface");
	assert_int_equal(net_tap_open(&b.host, "plinth1", &net), 0);
	bench_listen(&b);
	assert_int_equal(net_tap_open(&b.host, "plinth1", &other), -EBUSY);
	bench_expect_line(bench_heard(&b), "the tap interface plinth1 is in use: name another one");
	net->ops->close(net);
	bench_listen(&b);
	assert_int_equal(net_tap_open(&b.host, "", &net), 0);
	bench_expect_line(bench_heard(&b), "network: tap0");
	net->ops->close(net);
	bench_close(&b);
}

static int set_up(void **state)
{
	(void)state;
	possible = unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_device_without_room),
		cmocka_unit_test(test_interface_down),
		cmocka_unit_test(test_what_is_no_tap),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
