// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work for a child's disk and network adapter, and what answers it in the root (devices.py).
 *
 *   devio PHASE COUNT ...   in the child: PHASE, COUNT times, and so on. Before and after each it
 *			     prints a line "mark PHASE" and waits for one on its standard input.
 *   devio serve		     in the root: says "ready" and goes on for ever
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT_SINK   5001
#define PORT_SOURCE 5002
#define DATAGRAM    1400       /* bytes */
#define GAP_NS	    1000000    /* between datagrams to the child, so that none is lost */
#define PACE_NS	    224000     /* between datagrams from the child at 50 Mbit/s */
#define DISK_SPAN   (16 << 20) /* what there is of the disk, bytes */

static char buffer[65536] __attribute__((aligned(65536)));

static struct sockaddr_in address(const char *ip, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}

static int sock(int type)
{
	int fd = socket(AF_INET, type, type == SOCK_RAW ? IPPROTO_ICMP : 0);

	if (fd < 0)
		err(1, "socket");
	return fd;
}

static int reach(int type, uint16_t port)
{
	struct sockaddr_in root = address("10.0.2.2", port);
	int fd = sock(type);

	if (connect(fd, (struct sockaddr *)&root, sizeof(root)))
		err(1, "connect");
	return fd;
}

static void put(int fd, size_t len)
{
	ssize_t n;

	while (len && (n = write(fd, buffer, len < sizeof(buffer) ? len : sizeof(buffer))) > 0)
		len -= (size_t)n;
	if (len)
		err(1, "write");
}

static size_t drain(int fd)
{
	size_t all = 0;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		all += (size_t)n;
	if (n)
		err(1, "read");
	return all;
}

/* RFC 1071. */
static uint16_t checksum(const uint16_t *words, size_t n)
{
	uint32_t sum = 0;

	while (n--)
		sum += *words++;
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static void ping(unsigned int count)
{
	struct {
		struct icmphdr head;
		uint16_t data[28];
	} request = { .head = { .type = ICMP_ECHO } };
	const struct icmphdr *answer = (void *)(buffer + sizeof(struct iphdr));
	int fd = reach(SOCK_RAW, 0);
	unsigned int i;

	for (i = 0; i < count; i++) {
		request.head.un.echo.sequence = htons((uint16_t)i);
		request.head.checksum = 0;
		request.head.checksum = checksum((void *)&request, sizeof(request) / 2);
		if (write(fd, &request, sizeof(request)) < 0)
			err(1, "ping");
		do {
			if (read(fd, buffer, sizeof(buffer)) < 0)
				err(1, "ping");
		} while (answer->type != ICMP_ECHOREPLY ||
			 answer->un.echo.sequence != request.head.un.echo.sequence);
	}
	close(fd);
}

static void udp_tx(unsigned int count)
{
	int fd = reach(SOCK_DGRAM, PORT_SINK), queued;

	while (count--)
		if (write(fd, buffer, DATAGRAM) != DATAGRAM)
			err(1, "udp_tx");
	while (!ioctl(fd, SIOCOUTQ, &queued) && queued)
		usleep(1000);
	close(fd);
}

/* At 50 Mbit/s. */
static void udp_paced(unsigned int count)
{
	int fd = reach(SOCK_DGRAM, PORT_SINK);
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	while (count--) {
		if (write(fd, buffer, DATAGRAM) != DATAGRAM)
			err(1, "udp_paced");
		at.tv_nsec += PACE_NS;
		at.tv_sec += at.tv_nsec / 1000000000;
		at.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	}
	close(fd);
}

static void udp_rx(unsigned int count)
{
	int fd = reach(SOCK_DGRAM, PORT_SOURCE);

	if (write(fd, &count, sizeof(count)) != sizeof(count))
		err(1, "udp_rx");
	while (count--)
		if (read(fd, buffer, sizeof(buffer)) != DATAGRAM)
			err(1, "udp_rx");
	close(fd);
}

static void tcp_tx(unsigned int count)
{
	int fd = reach(SOCK_STREAM, PORT_SINK);

	put(fd, (size_t)count * 1460);
	shutdown(fd, SHUT_WR);
	drain(fd);
	close(fd);
}

static void tcp_rx(unsigned int count)
{
	int fd = reach(SOCK_STREAM, PORT_SOURCE);

	if (write(fd, &count, sizeof(count)) != sizeof(count))
		err(1, "tcp_rx");
	if (drain(fd) != (size_t)count * 1460)
		errx(1, "tcp_rx: too few");
	close(fd);
}

static void disk(unsigned int count, size_t size)
{
	int fd = open("/dev/sda", O_RDONLY | O_DIRECT);
	off_t at = 0;

	if (fd < 0)
		err(1, "/dev/sda");
	for (; count--; at = (at + (off_t)size) % DISK_SPAN)
		if (pread(fd, buffer, size, at) != (ssize_t)size)
			err(1, "/dev/sda");
	close(fd);
}

static void disk_4k(unsigned int count)
{
	disk(count, 4096);
}

static void disk_64k(unsigned int count)
{
	disk(count, 65536);
}

/* What the marks cost. */
static void nothing(unsigned int count)
{
	(void)count;
}

static const struct {
	const char *name;
	void (*run)(unsigned int count);
} phases[] = {
	{ "ping", ping },	{ "udp_paced", udp_paced }, { "udp_tx", udp_tx },
	{ "udp_rx", udp_rx },	{ "tcp_tx", tcp_tx },	    { "tcp_rx", tcp_rx },
	{ "dma_4k", disk_4k },	{ "pio_4k", disk_4k },	    { "dma_64k", disk_64k },
	{ "nothing", nothing },
};

static void mark(const char *name)
{
	char line[80];

	printf("mark %s\n", name);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		errx(1, "no answer");
}

static void phase(const char *name, unsigned int count)
{
	size_t i;

	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		if (strcmp(name, phases[i].name) != 0)
			continue;
		phases[i].run(2); /* addresses resolved, caches warm */
		mark(name);
		phases[i].run(count);
		mark(name);
		return;
	}
	errx(1, "%s: no such phase", name);
}

static int bound(int type, uint16_t port)
{
	struct sockaddr_in a = address("127.0.0.1", port);
	int fd = sock(type), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || (type == SOCK_STREAM && listen(fd, 8)))
		err(1, "bind");
	return fd;
}

/* The one of SINK has no reader: what is too much for its queue is dropped there. */
static void serve_datagrams(int fd)
{
	struct timespec gap = { 0, GAP_NS };
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	unsigned int count;

	if (recvfrom(fd, &count, sizeof(count), 0, (void *)&from, &len) != sizeof(count))
		err(1, "datagram");
	while (count--) {
		sendto(fd, buffer, DATAGRAM, 0, (void *)&from, len);
		nanosleep(&gap, NULL);
	}
}

static void serve_stream(int listener, int source)
{
	int fd = accept(listener, NULL, NULL);
	unsigned int count;

	if (fd < 0)
		err(1, "accept");
	if (!source)
		drain(fd);
	else if (read(fd, &count, sizeof(count)) == sizeof(count))
		put(fd, (size_t)count * 1460);
	close(fd);
}

static void serve(void)
{
	struct pollfd fds[3] = { { .fd = bound(SOCK_DGRAM, PORT_SOURCE), .events = POLLIN },
				 { .fd = bound(SOCK_STREAM, PORT_SOURCE), .events = POLLIN },
				 { .fd = bound(SOCK_STREAM, PORT_SINK), .events = POLLIN } };

	bound(SOCK_DGRAM, PORT_SINK);
	puts("ready");
	fflush(stdout);
	while (poll(fds, 3, -1) > 0) {
		if (fds[0].revents)
			serve_datagrams(fds[0].fd);
		if (fds[1].revents)
			serve_stream(fds[1].fd, 1);
		if (fds[2].revents)
			serve_stream(fds[2].fd, 0);
	}
}

int main(int argc, char **argv)
{
	int i;

	if (argc == 2 && strcmp(argv[1], "serve") == 0)
		serve();
	for (i = 1; i + 1 < argc; i += 2)
		phase(argv[i], (unsigned int)atoi(argv[i + 1]));
	return 0;
}
