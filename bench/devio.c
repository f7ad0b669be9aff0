// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work for a child's disk and network adapter, and what answers it in the root (_childwork.py).
 *
 *   devio PHASE COUNT ...   in the child or the root: PHASE, COUNT times, and so on. Before and after each it
 *			     prints a line "mark PHASE" and waits for one on its standard input.
 *			     HOST and DISK in the environment name whom and what it uses, PREFIX goes
 *			     before the name in the marks.
 *   devio serve		     in the root: says "ready" and goes on for ever
 *
 * A datagram may be lost: no phase waits for one for ever, and none counts one that has not come.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PORT_SINK   5001
#define PORT_SOURCE 5002
#define DATAGRAM    1400       /* bytes */
#define GAP_NS	    1000000    /* between datagrams to the child that come one by one */
#define FLOOD	    64	       /* datagrams asked for at a time that come as fast as they can */
#define LONE_NS	    1000000    /* between datagrams from the child that go one by one */
#define PACE_NS	    224000     /* the same at 50 Mbit/s */
#define ANSWER_S    1	       /* after which a datagram is taken for lost */
#define TRIES	    10	       /* without any answer, or for the last datagrams to leave */
#define DISK_SPAN   (16 << 20) /* what there is of the disk, bytes */
#define BLOCK	    4096
#define DEPTH	    32
#define NAME_WIDTH  9	 /* of the longest phase */
#define STRIDE	    1021 /* blocks between requests that are not to be merged; prime */

static char buffer[65536] __attribute__((aligned(65536)));
static char blocks[DEPTH][BLOCK] __attribute__((aligned(BLOCK)));

struct request {
	uint32_t datagrams, gap_ns;
};

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

static const char *setting(const char *name, const char *otherwise)
{
	const char *val = getenv(name);

	return val ? val : otherwise;
}

/* A read of a socket that takes datagrams ends with EAGAIN when none comes. */
static int reach(int type, uint16_t port)
{
	struct sockaddr_in root = address(setting("HOST", "10.0.2.2"), port);
	struct timeval patience = { .tv_sec = ANSWER_S };
	int fd = sock(type);

	if (type != SOCK_STREAM &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		err(1, "SO_RCVTIMEO");
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

struct echo {
	struct icmphdr head;
	uint16_t data[28];
};

/* Sends one and waits for its answer; false if none came. */
static bool echo(int fd, struct echo *request, uint16_t sequence)
{
	const struct icmphdr *answer = (void *)(buffer + sizeof(struct iphdr));

	request->head.un.echo.sequence = htons(sequence);
	request->head.checksum = 0;
	request->head.checksum = checksum((void *)request, sizeof(*request) / 2);
	if (write(fd, request, sizeof(*request)) < 0)
		err(1, "ping");
	do {
		if (read(fd, buffer, sizeof(buffer)) < 0)
			return false;
	} while (answer->type != ICMP_ECHOREPLY ||
		 answer->un.echo.sequence != request->head.un.echo.sequence);
	return true;
}

static void ping(unsigned int count)
{
	struct echo request = { .head = { .type = ICMP_ECHO } };
	int fd = reach(SOCK_RAW, 0);
	unsigned int i, tries = TRIES;

	for (i = 0; i < count; i++)
		while (!echo(fd, &request, (uint16_t)i))
			if (!tries--)
				errx(1, "ping: no answer");
	close(fd);
}

static void udp_tx(unsigned int count)
{
	int fd = reach(SOCK_DGRAM, PORT_SINK), queued, tries = TRIES * 1000;

	while (count--)
		if (write(fd, buffer, DATAGRAM) != DATAGRAM)
			err(1, "udp_tx");
	while (!ioctl(fd, SIOCOUTQ, &queued) && queued && tries--)
		usleep(1000);
	if (tries < 0)
		errx(1, "udp_tx: %d bytes do not leave", queued);
	close(fd);
}

static void send_each(unsigned int count, long ns)
{
	int fd = reach(SOCK_DGRAM, PORT_SINK);
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	while (count--) {
		if (write(fd, buffer, DATAGRAM) != DATAGRAM)
			err(1, "write");
		at.tv_nsec += ns;
		at.tv_sec += at.tv_nsec / 1000000000;
		at.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	}
	close(fd);
}

static void udp_paced(unsigned int count)
{
	send_each(count, PACE_NS);
}

static void udp_lone(unsigned int count)
{
	send_each(count, LONE_NS);
}

/* Asks for up to @ask at a time, and for what has not come again. */
static void receive(unsigned int count, unsigned int ask, uint32_t gap_ns)
{
	int fd = reach(SOCK_DGRAM, PORT_SOURCE);
	unsigned int tries = TRIES, left;

	while (count) {
		struct request request = { count < ask ? count : ask, gap_ns };

		if (write(fd, &request, sizeof(request)) != sizeof(request))
			err(1, "write");
		for (left = request.datagrams; left; left--)
			if (read(fd, buffer, sizeof(buffer)) != DATAGRAM)
				break;
		count -= request.datagrams - left;
		if (left && !tries--)
			errx(1, "%u datagrams do not come", count);
	}
	close(fd);
}

static void udp_rx(unsigned int count)
{
	receive(count, count, GAP_NS);
}

static void udp_flood(unsigned int count)
{
	receive(count, FLOOD, 0);
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

static int open_disk(void)
{
	const char *name = setting("DISK", "/dev/sda");
	int fd = open(name, O_RDONLY | O_DIRECT);

	if (fd < 0 && errno == EINVAL) /* a file in a tmpfs, in the root */
		fd = open(name, O_RDONLY);
	if (fd < 0)
		err(1, "%s", name);
	return fd;
}

static void disk(unsigned int count, size_t size)
{
	int fd = open_disk();
	off_t at = 0;

	for (; count--; at = (at + (off_t)size) % DISK_SPAN)
		if (pread(fd, buffer, size, at) != (ssize_t)size)
			err(1, "disk");
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

/* Submits up to @left reads into the buffers of those that are over, from block @block on. */
static unsigned int submit(aio_context_t ctx, int fd, const struct io_event *over, long n,
			   unsigned int left, unsigned int block)
{
	struct iocb *list[DEPTH], *cb;
	long i;

	for (i = 0; i < n && i < left; i++, block++) {
		cb = list[i] = (void *)(uintptr_t)over[i].obj;
		cb->aio_lio_opcode = IOCB_CMD_PREAD;
		cb->aio_fildes = (uint32_t)fd;
		cb->aio_nbytes = BLOCK;
		cb->aio_offset = (int64_t)block * STRIDE * BLOCK % DISK_SPAN;
	}
	if (i && syscall(SYS_io_submit, ctx, i, list) != i)
		err(1, "io_submit");
	return (unsigned int)i;
}

/* DEPTH at a time: as many as are over are replaced by one call. */
static void deep_4k(unsigned int count)
{
	struct iocb iocbs[DEPTH] = { 0 };
	struct io_event over[DEPTH];
	unsigned int submitted = 0, done = 0;
	aio_context_t ctx = 0;
	int fd = open_disk();
	long i, n = DEPTH;

	if (syscall(SYS_io_setup, DEPTH, &ctx))
		err(1, "io_setup");
	for (i = 0; i < n; i++) {
		iocbs[i].aio_buf = (uintptr_t)blocks[i];
		over[i].obj = (uintptr_t)&iocbs[i];
	}
	while (done < count) {
		submitted += submit(ctx, fd, over, n, count - submitted, submitted);
		n = syscall(SYS_io_getevents, ctx, 1, DEPTH, over, NULL);
		if (n <= 0)
			err(1, "io_getevents");
		for (i = 0; i < n; i++)
			if (over[i].res != BLOCK)
				errx(1, "disk: %lld", (long long)over[i].res);
		done += (unsigned int)n;
	}
	syscall(SYS_io_destroy, ctx);
	close(fd);
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
	{ "ping", ping },	  { "udp_paced", udp_paced }, { "udp_tx", udp_tx },
	{ "udp_rx", udp_rx },	  { "tcp_tx", tcp_tx },	      { "tcp_rx", tcp_rx },
	{ "dma_4k", disk_4k },	  { "pio_4k", disk_4k },      { "dma_64k", disk_64k },
	{ "pio_64k", disk_64k },  { "nothing", nothing },     { "counting", nothing },
	{ "udp_lone", udp_lone }, { "udp_flood", udp_flood }, { "deep_4k", deep_4k },
};

/* All are of one length: each character of the console is an exit. */
static void mark(const char *name)
{
	char line[80];

	printf("mark %s%*s\n", setting("PREFIX", ""), -NAME_WIDTH, name);
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
	struct sockaddr_in a = address("0.0.0.0", port);
	int fd = sock(type), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || (type == SOCK_STREAM && listen(fd, 8)))
		err(1, "bind");
	return fd;
}

/* The one of SINK has no reader: what is too much for its queue is dropped there. */
static void serve_datagrams(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct request request;

	if (recvfrom(fd, &request, sizeof(request), 0, (void *)&from, &len) != sizeof(request))
		return;
	while (request.datagrams--) {
		struct timespec gap = { 0, request.gap_ns };

		sendto(fd, buffer, DATAGRAM, 0, (void *)&from, len);
		if (request.gap_ns)
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
