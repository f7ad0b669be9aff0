// SPDX-License-Identifier: GPL-2.0-only
/*
 * What libslirp itself takes for the datagrams of devio.c's udp_tx and udp_flood, with nothing around it (bimodal.py):
 * from a frame to the host's socket, system calls included, and back.
 *
 *   slirpio SENT RECEIVED	prints "udp_tx N" and "udp_flood N": processor time of one, ns. "devio serve" is running.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <slirp/libslirp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT_SINK   5001
#define PORT_SOURCE 5002
#define PORT_GUEST  5555
#define DATAGRAM    1400 /* bytes */
#define FLOOD	    64	 /* datagrams asked for at a time */
#define WARM	    2	 /* not counted */

#define ETHER	14
#define IP	20
#define HEADERS (ETHER + IP + 8)

struct request {
	uint32_t datagrams, gap_ns;
};

static unsigned int arrived; /* datagrams as frames */
static int polled;	     /* descriptors that libslirp has asked for */

/* ---- what libslirp calls: as little as can be ---- */

static ssize_t send_packet(const void *buf, size_t len, void *opaque)
{
	(void)buf;
	(void)opaque;
	arrived += len == HEADERS + DATAGRAM;
	return (ssize_t)len;
}

static void guest_error(const char *msg, void *opaque)
{
	(void)opaque;
	errx(1, "libslirp: %s", msg);
}

static int64_t now(void *opaque)
{
	struct timespec ts;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void *timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	(void)cb;
	(void)cb_opaque;
	(void)opaque;
	return &polled;
}

static void timer_free(void *timer, void *opaque)
{
	(void)timer;
	(void)opaque;
}

static void timer_mod(void *timer, int64_t expire, void *opaque)
{
	(void)timer;
	(void)expire;
	(void)opaque;
}

/* A datagram that has not come is not waited for. */
static void register_fd(int fd, void *opaque)
{
	(void)opaque;
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		err(1, "O_NONBLOCK");
}

static void unregister_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void notify(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = now,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = register_fd,
	.unregister_poll_fd = unregister_fd,
	.notify = notify,
};

static int add_poll(int fd, int events, void *opaque)
{
	(void)fd;
	(void)events;
	(void)opaque;
	return polled++;
}

/* All that is asked for is there. */
static int get_revents(int idx, void *opaque)
{
	(void)idx;
	(void)opaque;
	return SLIRP_POLL_IN;
}

/* ---- frames ---- */

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t add(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* A datagram of the guest's to the gateway, with its checksums, as a guest's stack makes it. Returns its length. */
static size_t make(uint8_t *frame, uint16_t port, const void *data, size_t len)
{
	static const uint8_t head[ETHER + IP] = {
		0x52, 0x55, 10, 0, 2, 2,  0x52, 0x54, 0, 0x12, 0x34, 0x56, 8,  0,  0x45, 0, 0,
		0,    0,    0,	0, 0, 64, 17,	0,    0, 10,   0,    2,	   15, 10, 0,	 2, 2,
	};
	uint8_t *ip = frame + ETHER, *udp = ip + IP;

	memcpy(frame, head, sizeof(head));
	put16(ip + 2, (uint32_t)(IP + 8 + len));
	put16(ip + 10, ~add(0, ip, IP));
	put16(udp, PORT_GUEST);
	put16(udp + 2, port);
	put16(udp + 4, (uint32_t)(8 + len));
	put16(udp + 6, 0);
	memcpy(udp + 8, data, len);
	put16(udp + 6, ~add(add((uint32_t)(17 + 8 + len), ip + 12, 8), udp, 8 + len));
	return HEADERS + len;
}

/* ---- phases: nanoseconds of this thread's ---- */

static uint64_t used(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t send_all(Slirp *slirp, unsigned int count)
{
	static const uint8_t data[DATAGRAM];
	uint8_t frame[HEADERS + DATAGRAM];
	const size_t len = make(frame, PORT_SINK, data, sizeof(data));
	const uint64_t begun = used();

	while (count--)
		slirp_input(slirp, frame, (int)len);
	return used() - begun;
}

/* Until the server has sent all that it was asked for before: it takes one request after the other. */
static void await_server(int fd)
{
	const struct request request = { 1, 0 };
	uint8_t data[DATAGRAM];

	if (write(fd, &request, sizeof(request)) != sizeof(request) ||
	    read(fd, data, sizeof(data)) != sizeof(data))
		err(1, "server");
}

static uint64_t receive_flood(Slirp *slirp, int server)
{
	const struct request request = { FLOOD, 0 };
	uint8_t frame[HEADERS + sizeof(request)];
	uint32_t timeout = UINT32_MAX;
	uint64_t begun;

	slirp_input(slirp, frame, (int)make(frame, PORT_SOURCE, &request, sizeof(request)));
	await_server(server);
	arrived = 0;
	begun = used();
	for (unsigned int i = 0; i < FLOOD; i++) {
		polled = 0;
		slirp_pollfds_fill(slirp, &timeout, add_poll, NULL);
		slirp_pollfds_poll(slirp, 0, get_revents, NULL);
	}
	begun = used() - begun;
	if (arrived != FLOOD)
		errx(1, "%u of %u datagrams have come", arrived, FLOOD);
	return begun;
}

static int reach_server(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(PORT_SOURCE),
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		err(1, "server");
	return fd;
}

static Slirp *make_slirp(void)
{
	SlirpConfig cfg = {
		.version = 1,
		.in_enabled = true,
		.vnetwork = { htonl(0x0a000200) },
		.vnetmask = { htonl(0xffffff00) },
		.vhost = { htonl(0x0a000202) },
		.vdhcp_start = { htonl(0x0a00020f) },
		.vnameserver = { htonl(0x0a000203) },
	};
	Slirp *slirp = slirp_new(&cfg, &callbacks, NULL);

	if (!slirp)
		errx(1, "no libslirp");
	return slirp;
}

/* Frames that arrive go to whom an ARP request has named. */
static void introduce(Slirp *slirp)
{
	static const uint8_t request[60] = {
		255, 255, 255, 255, 255, 255, 0x52, 0x54, 0,	0x12, 0x34, 0x56, 8,	6,
		0,   1,	  8,   0,   6,	 4,   0,    1,	  0x52, 0x54, 0,    0x12, 0x34, 0x56,
		10,  0,	  2,   15,  0,	 0,   0,    0,	  0,	0,    10,   0,	  2,	2,
	};

	slirp_input(slirp, request, sizeof(request));
}

int main(int argc, char **argv)
{
	const unsigned int sent = argc == 3 ? (unsigned int)atoi(argv[1]) : 0;
	const unsigned int floods = argc == 3 ? (unsigned int)atoi(argv[2]) / FLOOD : 0;
	uint64_t received = 0;
	Slirp *slirp = make_slirp();
	int server = reach_server();

	if (!sent || !floods)
		errx(1, "usage: slirpio SENT RECEIVED");
	introduce(slirp);
	send_all(slirp, WARM);
	printf("udp_tx %llu\n", (unsigned long long)send_all(slirp, sent) / sent);
	for (unsigned int i = 0; i < WARM; i++)
		receive_flood(slirp, server);
	for (unsigned int i = 0; i < floods; i++)
		received += receive_flood(slirp, server);
	printf("udp_flood %llu\n", (unsigned long long)received / (floods * FLOOD));
	slirp_cleanup(slirp);
	return 0;
}
