// SPDX-License-Identifier: GPL-2.0-only
/* User networking, fed with frames by hand: addresses, DHCP, ping, a datagram to the host and back, a forwarded port. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "backendtest.h"
#include "worker/sandbox.h"

#define FRAMES 64

static const uint8_t mine[6] = { 0x02, 0, 0, 0, 0, 1 };
static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* A device: keeps what it gets. */
struct nic {
	struct bench b;
	struct net *net;
	bool full;	   /* it takes nothing */
	bool transmitting; /* it may not be called */
	unsigned int refused, batches;
	uint8_t gateway[6];
	uint8_t frame[FRAMES][2048];
	size_t len[FRAMES];
	unsigned int frames, looked_at;
};

static bool nic_receive(void *dev, const struct virtio_net_hdr *todo, const uint8_t *frame,
			size_t len)
{
	struct nic *n = dev;

	(void)todo;
	assert_true(n->b.held);
	assert_false(n->transmitting);
	if (n->full) {
		n->refused++;
		return false;
	}
	assert_true(n->frames < FRAMES && len <= sizeof(n->frame[0]));
	memcpy(n->frame[n->frames], frame, len);
	n->len[n->frames++] = len;
	return true;
}

static void nic_received(void *dev)
{
	struct nic *n = dev;

	assert_true(n->b.held);
	n->batches++;
}

static const struct net_device_ops nic_ops = { .receive = nic_receive, .received = nic_received };

static void nic_open(struct nic *n, const struct net_forward *forward)
{
	struct net_user_config cfg = { .forward = forward, .forwards = forward ? 1 : 0 };

	memset(n, 0, sizeof(*n));
	bench_open(&n->b);
	assert_int_equal(net_user_open(&n->b.host, &cfg, &n->net), 0);
	assert_true(n->net->link);
	n->net->dev = n;
	n->net->dev_ops = &nic_ops;
}

static void nic_close(struct nic *n)
{
	n->net->ops->close(n->net);
	bench_close(&n->b);
}

/* In three pieces, as a descriptor ring may have it. */
static void nic_send(struct nic *n, const uint8_t *frame, size_t len)
{
	struct iovec iov[3] = { { (void *)frame, 10 },
				{ (void *)(frame + 10), 5 },
				{ (void *)(frame + 15), len - 15 } };

	bench_lock(&n->b);
	n->transmitting = true;
	net_transmit(n->net, NULL, iov, 3);
	n->transmitting = false;
	net_sent(n->net);
	bench_unlock(&n->b);
}

static uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

/* The next frame of that type (and, for IPv4, that protocol), however long it takes. */
static const uint8_t *nic_expect(struct nic *n, uint16_t type, int proto)
{
	const uint8_t *f;

	for (;;) {
		while (n->looked_at < n->frames) {
			f = n->frame[n->looked_at++];
			if (get16(f + 12) == type && (proto < 0 || f[23] == proto))
				return f;
		}
		assert_int_equal(loop_run_once(&n->b.loop, -1), 0);
	}
}

static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += get16(p + i);
	if (len & 1)
		sum += p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static size_t make_ether(uint8_t *f, const uint8_t *to, uint16_t type)
{
	memcpy(f, to, 6);
	memcpy(f + 6, mine, 6);
	put16(f + 12, type);
	return 14;
}

/* The header of an IPv4 packet with @len bytes behind it. */
static size_t make_ip(uint8_t *f, const uint8_t *to, uint8_t proto, const char *src,
		      const char *dst, size_t len)
{
	uint8_t *ip = f + make_ether(f, to, 0x0800);

	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, 20 + len);
	ip[8] = 64;
	ip[9] = proto;
	inet_pton(AF_INET, src, ip + 12);
	inet_pton(AF_INET, dst, ip + 16);
	put16(ip + 10, checksum(ip, 20));
	return 34;
}

static size_t make_udp(uint8_t *f, const uint8_t *to, const char *src, uint16_t sport,
		       const char *dst, uint16_t dport, const void *data, size_t len)
{
	uint8_t *udp = f + make_ip(f, to, 17, src, dst, 8 + len);

	put16(udp, sport);
	put16(udp + 2, dport);
	put16(udp + 4, 8 + len);
	put16(udp + 6, 0); /* no checksum, as IPv4 allows */
	memcpy(udp + 8, data, len);
	return 42 + len;
}

/* Who has 10.0.2.2? */
static void nic_find_gateway(struct nic *n)
{
	uint8_t f[60] = { 0 };
	const uint8_t *r;

	make_ether(f, all, 0x0806);
	put16(f + 14, 1);
	put16(f + 16, 0x0800);
	f[18] = 6;
	f[19] = 4;
	put16(f + 20, 1);
	memcpy(f + 22, mine, 6);
	inet_pton(AF_INET, "10.0.2.15", f + 28);
	inet_pton(AF_INET, "10.0.2.2", f + 38);
	nic_send(n, f, sizeof(f));
	r = nic_expect(n, 0x0806, -1);
	assert_int_equal(get16(r + 20), 2);
	assert_memory_equal(r + 28, f + 38, 4);
	assert_memory_equal(r + 32, mine, 6);
	memcpy(n->gateway, r + 22, 6);
}

static void test_arp_and_ping(void **state)
{
	static struct nic n;
	uint8_t f[74] = { 0 }, *icmp = f + 34;
	const uint8_t *r;

	(void)state;
	nic_open(&n, NULL);
	nic_find_gateway(&n);
	assert_int_equal(n.looked_at, n.frames);
	make_ip(f, n.gateway, 1, "10.0.2.15", "10.0.2.2", 40);
	icmp[0] = 8;
	put16(icmp + 4, 0x1234);
	put16(icmp + 6, 7);
	pattern(icmp + 8, 32, 1);
	put16(icmp + 2, checksum(icmp, 40));
	nic_send(&n, f, sizeof(f));
	/* libslirp answers for itself at once: the loop has not run. */
	assert_true(n.frames > n.looked_at);
	r = nic_expect(&n, 0x0800, 1);
	assert_int_equal(r[34], 0); /* echo reply */
	assert_memory_equal(r + 38, icmp + 4, 36);
	assert_memory_equal(r, mine, 6);
	assert_int_equal(n.net->stats.tx_frames, 2);
	assert_true(n.net->stats.rx_frames >= 2);
	nic_close(&n);
}

static const uint8_t *dhcp_option(const uint8_t *options, uint8_t code)
{
	while (*options != 255) {
		if (*options == code)
			return options + 2;
		options += *options ? 2 + options[1] : 1;
	}
	fail_msg("there is no DHCP option %u", code);
	return NULL;
}

static void test_dhcp(void **state)
{
	static struct nic n;
	uint8_t f[400], m[300] = { 1, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe };
	uint8_t want[4];
	const uint8_t *r;

	(void)state;
	nic_open(&n, NULL);
	memcpy(m + 28, mine, 6);
	memcpy(m + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8); /* discover */
	nic_send(&n, f, make_udp(f, all, "0.0.0.0", 68, "255.255.255.255", 67, m, sizeof(m)));
	r = nic_expect(&n, 0x0800, 17);
	assert_int_equal(get16(r + 34), 67);
	assert_int_equal(get16(r + 36), 68);
	r += 42;
	assert_int_equal(r[0], 2);
	assert_memory_equal(r + 4, m + 4, 4);
	inet_pton(AF_INET, "10.0.2.15", want);
	assert_memory_equal(r + 16, want, 4);
	assert_int_equal(*dhcp_option(r + 240, 53), 2); /* offer */
	inet_pton(AF_INET, "10.0.2.2", want);
	assert_memory_equal(dhcp_option(r + 240, 3), want, 4);
	inet_pton(AF_INET, "10.0.2.3", want);
	assert_memory_equal(dhcp_option(r + 240, 6), want, 4);
	nic_close(&n);
}

static int host_socket(int type, uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

/* A program on the host, reached as 10.0.2.2; its answer comes by the loop. */
static void test_datagram_to_the_host(void **state)
{
	static struct nic n;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	uint16_t port;
	int fd = host_socket(SOCK_DGRAM, &port);
	uint8_t f[128], buf[64];
	const uint8_t *r;

	(void)state;
	nic_open(&n, NULL);
	nic_find_gateway(&n);
	nic_send(&n, f, make_udp(f, n.gateway, "10.0.2.15", 5555, "10.0.2.2", port, "question", 8));
	assert_int_equal(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 8);
	assert_memory_equal(buf, "question", 8);
	assert_int_equal(sendto(fd, "the answer", 10, 0, (struct sockaddr *)&from, len), 10);
	r = nic_expect(&n, 0x0800, 17);
	assert_int_equal(get16(r + 34), port);
	assert_int_equal(get16(r + 36), 5555);
	assert_memory_equal(r + 42, "the answer", 10);
	close(fd);
	nic_close(&n);
}

/* A connection to the host's port arrives at the guest's as a SYN; a RST ends it. */
static void test_forwarded_port(void **state)
{
	static struct nic n;
	struct net_forward forward = { .host_addr = htonl(INADDR_LOOPBACK), .guest_port = 80 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	uint8_t f[64] = { 0 }, *tcp = f + 34, pseudo[32] = { 0 }, byte;
	const uint8_t *r;
	uint16_t port;
	int fd = host_socket(SOCK_STREAM, &port);

	(void)state;
	close(fd); /* the port is free, and was just now */
	forward.host_port = port;
	nic_open(&n, &forward);
	nic_find_gateway(&n); /* and makes our address known */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	a.sin_port = htons(port);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	r = nic_expect(&n, 0x0800, 6);
	assert_int_equal(get16(r + 36), 80);
	assert_int_equal(r[47], 2); /* SYN */
	make_ip(f, n.gateway, 6, "10.0.2.15", "10.0.2.2", 20);
	memcpy(f + 30, r + 26, 4); /* to whoever it came from */
	put16(f + 24, 0);
	put16(f + 24, checksum(f + 14, 20));
	put16(tcp, 80);
	memcpy(tcp + 2, r + 34, 2);
	memcpy(tcp + 8, r + 38, 4);
	put16(tcp + 10, get16(tcp + 10) + 1); /* acknowledge the SYN; it does not carry */
	if (!get16(tcp + 10))
		put16(tcp + 8, get16(tcp + 8) + 1);
	tcp[12] = 0x50;
	tcp[13] = 0x14; /* RST, ACK */
	memcpy(pseudo, f + 26, 8);
	pseudo[9] = 6;
	pseudo[11] = 20;
	memcpy(pseudo + 12, tcp, 20);
	put16(tcp + 16, checksum(pseudo, 32));
	nic_send(&n, f, 54);
	while (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
		loop_run_once(&n.b.loop, -1);
	close(fd);
	nic_close(&n);
}

/* A device without room is offered each frame again, in order, and none is lost or doubled. */
static void test_device_without_room(void **state)
{
	static struct nic n;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	uint16_t port;
	int fd = host_socket(SOCK_DGRAM, &port), i;
	uint8_t f[128], buf[64];
	const uint8_t *r;

	(void)state;
	nic_open(&n, NULL);
	nic_find_gateway(&n);
	nic_send(&n, f, make_udp(f, n.gateway, "10.0.2.15", 5555, "10.0.2.2", port, "x", 1));
	assert_int_equal(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 1);
	n.full = true;
	for (i = 0; i < 10; i++) {
		buf[0] = i;
		assert_int_equal(sendto(fd, buf, 1, 0, (struct sockaddr *)&from, len), 1);
		while (n.refused <= (unsigned int)i)
			loop_run_once(&n.b.loop, -1);
	}
	n.full = false;
	bench_lock(&n.b);
	net_ready(n.net);
	bench_unlock(&n.b);
	for (i = 0; i < 10; i++) {
		r = nic_expect(&n, 0x0800, 17);
		assert_int_equal(r[42], i);
	}
	close(fd);
	nic_close(&n);
}

/* Datagrams that wait in a socket reach the device together, though libslirp takes them one by one. */
static void test_datagrams_together(void **state)
{
	static struct nic n;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	uint16_t port;
	int fd = host_socket(SOCK_DGRAM, &port), i;
	uint8_t f[128], buf[64];

	(void)state;
	nic_open(&n, NULL);
	nic_find_gateway(&n);
	nic_send(&n, f, make_udp(f, n.gateway, "10.0.2.15", 5555, "10.0.2.2", port, "x", 1));
	assert_int_equal(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 1);
	n.frames = n.batches = 0;
	for (i = 0; i < 10; i++)
		assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&from, len), 1);
	while (!n.frames)
		assert_int_equal(loop_run_once(&n.b.loop, -1), 0);
	assert_int_equal(n.frames, 10);
	assert_int_equal(n.batches, 1);
	close(fd);
	nic_close(&n);
}

/* What no network understands does no harm: short frames, long ones, frames of every length of noise. */
static void test_nonsense(void **state)
{
	static uint8_t big[NET_FRAME_MAX + 1];
	struct iovec iov = { big, sizeof(big) };
	static struct nic n;
	uint8_t f[256];
	size_t len;

	(void)state;
	nic_open(&n, NULL);
	for (len = 15; len < sizeof(f); len++) {
		pattern(f, len, len);
		nic_send(&n, f, len);
		make_ether(f, all, len & 1 ? 0x0800 : len & 2 ? 0x0806 : 0x86dd);
		nic_send(&n, f, len);
	}
	bench_lock(&n.b);
	net_transmit(n.net, NULL, &iov, 1);
	iov.iov_len = 0;
	net_transmit(n.net, NULL, &iov, 1);
	net_transmit(n.net, NULL, NULL, 0);
	bench_unlock(&n.b);
	assert_int_equal(n.net->stats.tx_dropped, 1);
	nic_find_gateway(&n);
	nic_close(&n);
}

static void test_port_in_use(void **state)
{
	struct net_forward forward = { .host_addr = htonl(INADDR_LOOPBACK), .guest_port = 80 };
	struct net_user_config cfg = { .forward = &forward, .forwards = 1 };
	struct net *net;
	struct bench b;
	int fd = host_socket(SOCK_STREAM, &forward.host_port);

	(void)state;
	assert_int_equal(listen(fd, 1), 0);
	bench_open(&b);
	bench_listen(&b);
	assert_true(net_user_open(&b.host, &cfg, &net) < 0);
	bench_expect_line(bench_heard(&b), "cannot forward TCP port");
	bench_expect_line(b.said, "of 127.0.0.1: Address already in use");
	close(fd);
	bench_close(&b);
}

/* Everything once more as a worker has it: in the sandbox, in a process of its own. */
static void test_in_the_sandbox(void **state)
{
	const struct sandbox sandbox = { .sockets = true };
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		if (sandbox_enter(&sandbox))
			_exit(1);
		test_arp_and_ping(state);
		test_dhcp(state);
		test_datagram_to_the_host(state);
		test_forwarded_port(state);
		test_device_without_room(state);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_none(void **state)
{
	struct iovec iov = { "x", 1 };
	struct net *net;

	(void)state;
	assert_int_equal(net_none_open(&net), 0);
	assert_false(net->link);
	net_transmit(net, NULL, &iov, 1);
	net_ready(net);
	assert_int_equal(net->stats.tx_dropped, 1);
	net->ops->close(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp_and_ping),
		cmocka_unit_test(test_dhcp),
		cmocka_unit_test(test_datagram_to_the_host),
		cmocka_unit_test(test_forwarded_port),
		cmocka_unit_test(test_device_without_room),
		cmocka_unit_test(test_datagrams_together),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_in_the_sandbox),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
