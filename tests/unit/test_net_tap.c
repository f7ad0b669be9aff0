// SPDX-License-Identifier: GPL-2.0-only
/* The tap back end in a network namespace of its own, with a packet socket at the host's end of the cable. */
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "backendtest.h"

#define TYPE   0x88b5 /* for local experiments */
#define FRAMES 64

static bool possible; /* not in a container without namespaces or tun */

struct nic {
	struct bench b;
	struct net *net;
	int host; /* the packet socket */
	bool full;
	unsigned int room; /* frames until it is full; 0: it does not fill */
	unsigned int refused, frames, batches;
	uint8_t frame[FRAMES][9000];
	size_t len[FRAMES];
	struct virtio_net_hdr todo[FRAMES];
};

static const uint8_t addresses[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };

static bool nic_receive(void *dev, const struct virtio_net_hdr *todo, const uint8_t *frame,
			size_t len)
{
	struct nic *n = dev;

	assert_true(n->b.held);
	if (len < 14 || memcmp(frame, addresses, sizeof(addresses)) != 0)
		return true; /* what the kernel sends by itself */
	if (n->full) {
		n->refused++;
		return false;
	}
	assert_true(n->frames < FRAMES && len <= sizeof(n->frame[0]));
	memcpy(n->frame[n->frames], frame, len);
	n->todo[n->frames] = todo ? *todo : (struct virtio_net_hdr){ 0 };
	n->len[n->frames++] = len;
	n->full = n->room && !--n->room;
	return true;
}

static void nic_received(void *dev)
{
	struct nic *n = dev;

	n->batches++;
}

static const struct net_device_ops nic_ops = { nic_receive, nic_received };

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
	memcpy(f, addresses, sizeof(addresses));
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
	net_transmit(n.net, NULL, iov, 2);
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

/* ---- work that one end leaves to the other ---- */

#define TCP   (14 + 20)
#define DATA  (TCP + 20)
#define MSS   1400
#define LARGE (DATA + 3 * MSS + 100)
#define VNET  sizeof(struct virtio_net_hdr)

/* A segment over IPv4 of @len bytes, whose checksum is left to be done. */
static void make_tcp(uint8_t *f, size_t len)
{
	static const uint8_t header[] = { 0x45, 0, 0,  0, 0, 1, 0,  0, 64, 6,
					  0,	0, 10, 0, 0, 1, 10, 0, 0,  2 };
	const uint32_t pseudo = 0x0a00 + 1 + 0x0a00 + 2 + 6 + (uint32_t)(len - TCP);
	uint32_t sum = 0;

	pattern(f, len, 7);
	memcpy(f, addresses, sizeof(addresses));
	f[12] = 0x08;
	f[13] = 0x00;
	memcpy(f + 14, header, sizeof(header));
	f[16] = (uint8_t)((len - 14) >> 8);
	f[17] = (uint8_t)(len - 14);
	for (int i = 14; i < TCP; i += 2)
		sum += f[i] << 8 | f[i + 1];
	sum = ~((sum & 0xffff) + (sum >> 16));
	f[24] = (uint8_t)(sum >> 8);
	f[25] = (uint8_t)sum;
	f[TCP + 12] = 5 << 4;
	f[TCP + 13] = 0x10; /* ACK */
	f[TCP + 16] = (uint8_t)(((pseudo & 0xffff) + (pseudo >> 16)) >> 8);
	f[TCP + 17] = (uint8_t)((pseudo & 0xffff) + (pseudo >> 16));
}

static const struct virtio_net_hdr csum_left = {
	.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	.csum_start = TCP,
	.csum_offset = 16,
}, cut_left = {
	.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
	.hdr_len = DATA,
	.gso_size = MSS,
	.csum_start = TCP,
	.csum_offset = 16,
};

/* Whether the checksum of a TCP segment is right. */
static bool whole(const uint8_t *f, size_t len)
{
	uint32_t sum = 0x0a00 + 1 + 0x0a00 + 2 + 6 + (uint32_t)(len - TCP);

	for (size_t i = TCP; i < len; i++)
		sum += (uint32_t)f[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* The host's end, which speaks of work that is left. */
static void open_vnet(struct nic *n)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	int on = 1;

	close(n->host);
	n->host = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(n->host, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	a.sll_ifindex = if_nametoindex("plinth0");
	assert_int_equal(bind(n->host, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void host_send(struct nic *n, const struct virtio_net_hdr *todo, size_t len)
{
	static uint8_t f[VNET + LARGE];

	memcpy(f, todo, VNET);
	make_tcp(f + VNET, len);
	assert_int_equal(send(n->host, f, VNET + len, 0), VNET + len);
}

static void nic_want(struct nic *n, uint32_t offloads)
{
	bench_lock(&n->b);
	net_want(n->net, offloads);
	bench_unlock(&n->b);
}

static void await(struct nic *n, unsigned int frames)
{
	while (n->frames < frames)
		loop_run_once(&n->b.loop, -1);
	assert_int_equal(n->frames, frames);
}

/* What the host leaves to do comes so only where the device wants it. */
static void test_arriving_with_work_left(void **state)
{
	static struct nic n;

	(void)state;
	nic_open(&n);
	open_vnet(&n);
	assert_int_equal(n.net->offloads & (NET_CSUM | NET_TSO4), NET_CSUM | NET_TSO4);
	nic_want(&n, NET_CSUM | NET_TSO4);
	host_send(&n, &csum_left, 1000);
	host_send(&n, &cut_left, LARGE);
	await(&n, 2);
	assert_int_equal(n.todo[0].flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(n.todo[0].csum_start, TCP);
	assert_false(whole(n.frame[0], n.len[0]));
	assert_int_equal(n.todo[1].gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(n.todo[1].gso_size, MSS);
	assert_int_equal(n.len[1], LARGE);
	nic_want(&n, NET_CSUM);
	host_send(&n, &cut_left, LARGE);
	await(&n, 2 + 4);
	nic_want(&n, 0);
	host_send(&n, &csum_left, 1000);
	host_send(&n, &cut_left, LARGE);
	await(&n, 6 + 5);
	for (unsigned int i = 6; i < 11; i++) {
		assert_true(n.len[i] <= DATA + MSS);
		assert_true(whole(n.frame[i], n.len[i]));
		assert_int_equal(n.todo[i].flags | n.todo[i].gso_type, 0);
	}
	assert_true(n.batches >= 3);
	nic_close(&n);
}

static void nic_go_on(struct nic *n, unsigned int room)
{
	n->full = false;
	n->room = room;
	bench_lock(&n->b);
	net_ready(n->net);
	bench_unlock(&n->b);
}

/*
 * Frames that are ready in the kernel, and one that is here, when the device no longer wants them so: none is lost, though the
 * device is full in the middle of one that is cut.
 */
static void test_wanted_no_longer(void **state)
{
	static struct nic n;
	static uint8_t f[LARGE];
	size_t at = DATA;

	(void)state;
	nic_open(&n);
	open_vnet(&n);
	nic_want(&n, NET_CSUM | NET_TSO4);
	n.full = true;
	host_send(&n, &csum_left, 999);
	host_send(&n, &cut_left, LARGE);
	host_send(&n, &csum_left, 500);
	while (!n.refused)
		loop_run_once(&n.b.loop, -1);
	nic_want(&n, 0);
	nic_go_on(&n, 3);
	while (n.refused < 2)
		loop_run_once(&n.b.loop, -1);
	assert_int_equal(n.frames, 3);
	nic_go_on(&n, 0);
	await(&n, 6);
	assert_int_equal(n.len[0], 999);
	assert_int_equal(n.len[5], 500);
	make_tcp(f, LARGE);
	for (unsigned int i = 0; i < 6; i++) {
		assert_true(whole(n.frame[i], n.len[i]));
		assert_int_equal(n.todo[i].flags | n.todo[i].gso_type, 0);
		if (i == 0 || i == 5)
			continue;
		assert_memory_equal(n.frame[i] + DATA, f + at, n.len[i] - DATA);
		at += n.len[i] - DATA;
	}
	assert_int_equal(at, LARGE);
	assert_int_equal(n.net->stats.rx_dropped, 0);
	nic_close(&n);
}

/* What the device leaves to do reaches the host's stack as such. */
static void test_leaving_with_work_left(void **state)
{
	static struct nic n;
	static uint8_t f[LARGE], got[VNET + LARGE + 1];
	struct iovec iov[2] = { { f, DATA }, { f + DATA, LARGE - DATA } };
	struct virtio_net_hdr todo;

	(void)state;
	nic_open(&n);
	open_vnet(&n);
	make_tcp(f, LARGE);
	bench_lock(&n.b);
	net_transmit(n.net, &cut_left, iov, 2);
	bench_unlock(&n.b);
	assert_int_equal(recv(n.host, got, sizeof(got), 0), VNET + LARGE);
	memcpy(&todo, got, VNET);
	assert_int_equal(todo.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(todo.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(todo.gso_size, MSS);
	assert_memory_equal(got + VNET, f, LARGE);
	assert_int_equal(n.net->stats.tx_bytes, LARGE);
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
	net_transmit(n.net, NULL, &iov, 1);
	bench_unlock(&n.b);
	assert_int_equal(n.net->stats.tx_dropped, 1);
	loop_run_once(&n.b.loop, 0);
	set_flags("plinth0", IFF_UP, 0);
	a.sll_ifindex = if_nametoindex("plinth0");
	close(n.host);
	n.host = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(n.host, (struct sockaddr *)&a, sizeof(a)), 0);
	bench_lock(&n.b);
	net_transmit(n.net, NULL, &iov, 1);
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
		cmocka_unit_test(test_arriving_with_work_left),
		cmocka_unit_test(test_wanted_no_longer),
		cmocka_unit_test(test_leaving_with_work_left),
		cmocka_unit_test(test_interface_down),
		cmocka_unit_test(test_what_is_no_tap),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
