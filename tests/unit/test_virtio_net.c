// SPDX-License-Identifier: GPL-2.0-only
/* The virtio network device: merged buffers, work left to the cable, pairs of queues, and who is told of what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "tests/unit/fakeclock.h"
#include "tests/unit/virtq_guest.h"
#include "worker/devices/virtio_net.h"

#define MEM	0x200000u
#define RINGS	0x010000u /* a queue's three pages every QUEUES bytes */
#define QUEUES	0x4000u
#define BUFFERS 0x080000u
#define QUEUE	64
#define PAIRS	3
#define CONTROL (2 * PAIRS)
#define HEADER	12
#define SENT	64

#define BIT(name) (1ull << VIRTIO_NET_F_##name)
#define EVENTS	  (1ull << VIRTIO_RING_F_EVENT_IDX)

struct sent {
	struct virtio_net_hdr todo;
	bool whole;
	size_t len;
	uint8_t start[64];
};

struct bench {
	struct virtio_net n;
	struct fakeclock clock;
	struct dma dma;
	struct net net;
	uint8_t *mem;
	struct virtq_guest q[2 * PAIRS + 1];
	unsigned int interrupts, batches;
	bool master;
	uint32_t wanted;
	struct sent sent[SENT];
	unsigned int sent_n;
	bool endless; /* the guest has another frame whenever one is sent */
	/* What the back end keeps */
	const uint8_t *kept;
	size_t kept_len;
};

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 1 };

/* ---- what the device is in ---- */

static void *map(void *ctx, uint64_t addr, size_t len)
{
	struct bench *b = ctx;

	return addr <= MEM && len <= MEM - addr ? b->mem + addr : NULL;
}

static void interrupt(void *ctx, uint32_t bits)
{
	struct bench *b = ctx;

	b->interrupts += bits & VIRTIO_MMIO_INT_VRING;
}

static bool master(void *ctx)
{
	return ((struct bench *)ctx)->master;
}

static const struct virtio_host host = { interrupt, master };

static struct bench *to_bench(struct net *net)
{
	return (struct bench *)((char *)net - offsetof(struct bench, net));
}

static void queue_frame(struct bench *b, unsigned int pair, uint32_t at, size_t len);

static void transmit(struct net *net, const struct virtio_net_hdr *todo, const struct iovec *iov,
		     unsigned int iovs)
{
	struct bench *b = to_bench(net);
	struct sent *s = &b->sent[b->sent_n++ % SENT];

	memset(s, 0, sizeof(*s));
	s->whole = !todo;
	if (todo)
		s->todo = *todo;
	for (unsigned int i = 0; i < iovs; i++) {
		for (size_t k = 0; k < iov[i].iov_len && s->len + k < sizeof(s->start); k++)
			s->start[s->len + k] = ((uint8_t *)iov[i].iov_base)[k];
		s->len += iov[i].iov_len;
	}
	if (b->endless)
		queue_frame(b, 0, BUFFERS, 60);
}

static void want(struct net *net, uint32_t offloads)
{
	to_bench(net)->wanted = offloads;
}

static bool offer(struct bench *b, const struct virtio_net_hdr *todo, const uint8_t *frame,
		  size_t len)
{
	const bool taken = virtio_net_receive(&b->n, todo, frame, len);

	virtio_net_received(&b->n);
	b->kept = taken ? NULL : frame;
	b->kept_len = len;
	return taken;
}

static void ready(struct net *net)
{
	struct bench *b = to_bench(net);

	if (b->kept && virtio_net_live(&b->n))
		offer(b, NULL, b->kept, b->kept_len);
}

static void sent(struct net *net)
{
	to_bench(net)->batches++;
}

static const struct net_backend_ops net_ops = {
	.transmit = transmit,
	.want = want,
	.ready = ready,
	.sent = sent,
};

/* ---- the guest's driver ---- */

static void set(struct bench *b, uint32_t reg, uint32_t val)
{
	virtio_write(&b->n.v, reg, val);
}

static uint64_t offered(struct bench *b)
{
	uint64_t low;

	set(b, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	low = virtio_read(&b->n.v, VIRTIO_MMIO_DEVICE_FEATURES);
	set(b, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	return low | (uint64_t)virtio_read(&b->n.v, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
}

static void add_queue(struct bench *b, unsigned int n)
{
	virtq_guest_init(&b->q[n], b->mem, RINGS + n * QUEUES, QUEUE);
	set(b, VIRTIO_MMIO_QUEUE_SEL, n);
	set(b, VIRTIO_MMIO_QUEUE_NUM, QUEUE);
	set(b, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTQ_GUEST_DESC(&b->q[n]));
	set(b, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTQ_GUEST_AVAIL(&b->q[n]));
	set(b, VIRTIO_MMIO_QUEUE_USED_LOW, VIRTQ_GUEST_USED(&b->q[n]));
	set(b, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void drive(struct bench *b, uint64_t features)
{
	set(b, VIRTIO_MMIO_STATUS, 0);
	set(b, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set(b, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	set(b, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(b, VIRTIO_MMIO_DRIVER_FEATURES, 1u << (VIRTIO_F_VERSION_1 - 32));
	set(b, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FEATURES_OK);
	assert_true(virtio_read(&b->n.v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned int i = 0; i < b->n.v.queues; i++)
		add_queue(b, i);
	set(b, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_true(virtio_net_live(&b->n));
}

static void queue_frame(struct bench *b, unsigned int pair, uint32_t at, size_t len)
{
	struct virtq_guest *q = &b->q[VIRTIO_NET_TX(pair)];

	virtq_guest_offer(q, virtq_guest_desc(q, at, (uint32_t)(HEADER + len), 0));
}

static void ring(struct bench *b, unsigned int queue)
{
	virtio_doorbell(&b->n.v, queue);
}

static void give(struct bench *b, unsigned int pair, uint32_t at, uint32_t len)
{
	struct virtq_guest *q = &b->q[VIRTIO_NET_RX(pair)];

	virtq_guest_offer(q, virtq_guest_desc(q, at, len, VRING_DESC_F_WRITE));
}

/* A command with an argument of @len bytes; what the device answers. */
static int command(struct bench *b, unsigned int queue, uint8_t class, uint8_t cmd, uint64_t arg,
		   uint32_t len)
{
	struct virtq_guest *q = &b->q[queue];
	struct vring_used_elem e;
	uint16_t head;

	b->mem[BUFFERS] = class;
	b->mem[BUFFERS + 1] = cmd;
	memcpy(b->mem + BUFFERS + 2, &arg, sizeof(arg));
	b->mem[BUFFERS + 16] = 0xee;
	head = virtq_guest_desc(q, BUFFERS, 2 + len, VRING_DESC_F_NEXT);
	virtq_guest_desc(q, BUFFERS + 16, 1, VRING_DESC_F_WRITE);
	virtq_guest_offer(q, head);
	ring(b, queue);
	assert_true(virtq_guest_take(q, &e));
	assert_int_equal(e.len, 1);
	return b->mem[BUFFERS + 16];
}

static int set_pairs(struct bench *b, uint16_t pairs)
{
	return command(b, CONTROL, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, pairs, 2);
}

/* A TCP segment over IPv4 between addresses that end in @from and @to; flows differ by the port. */
static void make_tcp(uint8_t *f, uint8_t from, uint8_t to, uint16_t sport, uint16_t dport)
{
	memset(f, 0, 60);
	f[12] = 0x08;
	f[14] = 0x45;
	f[23] = 6;
	f[29] = from;
	f[33] = to;
	f[34] = (uint8_t)(sport >> 8);
	f[35] = (uint8_t)sport;
	f[36] = (uint8_t)(dport >> 8);
	f[37] = (uint8_t)dport;
}

static void make(struct bench *b, uint32_t offloads, unsigned int pairs, bool whole)
{
	const struct virtio_net_options opt = { .mac = mac, .pairs = pairs, .whole = whole };
	uint8_t *mem = b->mem;

	memset(b, 0, sizeof(*b));
	memset(mem, 0, MEM);
	b->mem = mem;
	b->master = true;
	b->dma = (struct dma){ .map = map, .ctx = b };
	b->net = (struct net){ .ops = &net_ops, .link = true, .offloads = offloads };
	fakeclock_init(&b->clock);
	virtio_net_init(&b->n, &b->clock.clk, &b->dma, &host, b, &b->net, &opt);
}

#define ALL (NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN)

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->mem = malloc(MEM);
	*state = b;
	make(b, ALL, PAIRS, false);
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	free(b->mem);
	free(b);
	return 0;
}

/* ---- what is offered ---- */

#define HOST_OFFLOADS  (BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN))
#define GUEST_OFFLOADS (BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN))
#define ANY_OFFLOAD    (HOST_OFFLOADS | GUEST_OFFLOADS | BIT(CTRL_GUEST_OFFLOADS))

static void test_offered(void **state)
{
	struct bench *b = *state;
	uint32_t pairs;

	assert_int_equal(offered(b) & ANY_OFFLOAD, ANY_OFFLOAD);
	assert_true(offered(b) & BIT(MQ) && offered(b) & BIT(CTRL_VQ) &&
		    offered(b) & BIT(MRG_RXBUF));
	pairs = virtio_read(&b->n.v, VIRTIO_MMIO_CONFIG + 8) & 0xffff;
	assert_int_equal(pairs, PAIRS);
	/* A cable that can do nothing, and one processor: two queues. */
	make(b, 0, 1, false);
	assert_int_equal(offered(b) & (ANY_OFFLOAD | BIT(MQ) | BIT(CTRL_VQ) | BIT(MRG_RXBUF)), 0);
	set(b, VIRTIO_MMIO_QUEUE_SEL, 2);
	assert_int_equal(virtio_read(&b->n.v, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	/* Who shares what arrives gets whole frames. */
	make(b, ALL, 8, true);
	assert_int_equal(offered(b) & ANY_OFFLOAD, HOST_OFFLOADS);
	set(b, VIRTIO_MMIO_QUEUE_SEL, 2 * VIRTIO_NET_PAIRS_MAX);
	assert_true(virtio_read(&b->n.v, VIRTIO_MMIO_QUEUE_NUM_MAX));
}

static void test_wanted_while_the_driver_is_there(void **state)
{
	struct bench *b = *state;

	drive(b, BIT(GUEST_CSUM) | BIT(GUEST_TSO4));
	assert_int_equal(b->wanted, NET_CSUM | NET_TSO4);
	set(b, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(b->wanted, 0);
	/* Segments without checksums are nothing that there is. */
	drive(b, BIT(GUEST_TSO6));
	assert_int_equal(b->wanted, 0);
	/* With one pair the control queue is the third. */
	drive(b, GUEST_OFFLOADS | BIT(CTRL_VQ) | BIT(CTRL_GUEST_OFFLOADS));
	assert_int_equal(b->wanted, ALL);
	assert_int_equal(command(b, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
				 VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, BIT(GUEST_CSUM), 8),
			 VIRTIO_NET_OK);
	assert_int_equal(b->wanted, NET_CSUM);
	/* Not what was not agreed on, not by halves, and no class that there is not. */
	assert_int_equal(command(b, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
				 VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, BIT(GUEST_UFO), 8),
			 VIRTIO_NET_ERR);
	assert_int_equal(command(b, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
				 VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, 0, 4),
			 VIRTIO_NET_ERR);
	assert_int_equal(command(b, 2, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 0, 6),
			 VIRTIO_NET_ERR);
	assert_int_equal(command(b, 2, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1, 2),
			 VIRTIO_NET_ERR);
	assert_int_equal(b->wanted, NET_CSUM);
}

/* ---- what the guest says of frames that it sends ---- */

static bool goes_out(struct bench *b, struct virtio_net_hdr todo, size_t len)
{
	const unsigned int before = b->sent_n;

	memset(b->mem + BUFFERS, 0, HEADER);
	memcpy(b->mem + BUFFERS, &todo, sizeof(todo));
	queue_frame(b, 0, BUFFERS, len);
	ring(b, VIRTIO_NET_TX(0));
	fakeclock_advance(&b->clock, VIRTIO_NET_POLL_NS);
	return b->sent_n != before;
}

static const struct virtio_net_hdr whole, csum = {
	.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	.csum_start = 34,
	.csum_offset = 6,
}, tso = {
	.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
	.hdr_len = 54,
	.gso_size = 1460,
	.csum_start = 34,
	.csum_offset = 16,
};

/* @base with one field changed. */
#define BUT(base, field, val)                                                                      \
	({                                                                                         \
		struct virtio_net_hdr but = base;                                                  \
                                                                                                   \
		but.field = val;                                                                   \
		but;                                                                               \
	})

static void test_headers_that_are_good(void **state)
{
	struct bench *b = *state;
	const struct sent *s;

	drive(b, HOST_OFFLOADS);
	assert_true(goes_out(b, whole, 60));
	assert_true(b->sent[0].whole);
	assert_true(goes_out(b, csum, 42));
	assert_int_equal(b->sent[1].todo.csum_offset, 6);
	assert_int_equal(b->sent[1].len, 42);
	assert_true(goes_out(b, tso, NET_FRAME_MAX));
	s = &b->sent[2];
	assert_memory_equal(&s->todo, &tso, sizeof(tso));
	assert_int_equal(s->len, NET_FRAME_MAX);
	assert_true(goes_out(b, BUT(tso, gso_type, VIRTIO_NET_HDR_GSO_TCPV6), 9000));
	assert_true(goes_out(b, BUT(tso, gso_type, tso.gso_type | VIRTIO_NET_HDR_GSO_ECN), 9000));
	/* Flags that say nothing here, and a hint that is wrong. */
	assert_true(goes_out(b, BUT(csum, flags, 0xff), 60));
	assert_int_equal(b->sent[5].todo.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_true(goes_out(b, BUT(tso, hdr_len, 0xffff), 4000));
	assert_int_equal(b->sent[6].todo.hdr_len, 4000);
	assert_int_equal(b->n.stats.tx_dropped, 0);
}

static void test_headers_that_are_bad(void **state)
{
	struct bench *b = *state;
	const struct {
		struct virtio_net_hdr todo;
		size_t len;
	} bad[] = {
		{ whole, NET_FRAME_MAX + 1 },
		{ whole, 13 },
		{ csum, 41 },
		{ BUT(csum, csum_start, 13), 60 },
		{ BUT(csum, csum_start, 0xffff), 60 },
		{ BUT(csum, csum_offset, 0xffff), 60 },
		{ BUT(whole, gso_type, VIRTIO_NET_HDR_GSO_ECN), 60 },
		{ BUT(whole, gso_type, VIRTIO_NET_HDR_GSO_UDP), 60 },
		{ BUT(tso, gso_type, 0x7f), 9000 },
		{ BUT(tso, flags, 0), 9000 },
		{ BUT(tso, gso_size, NET_SEGMENT_MIN - 1), 9000 },
		{ BUT(tso, csum_offset, 6), 9000 },
		{ tso, 53 },
	};

	drive(b, HOST_OFFLOADS);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(goes_out(b, bad[i].todo, bad[i].len));
		assert_int_equal(b->n.stats.tx_dropped, i + 1);
		assert_int_equal(b->q[VIRTIO_NET_TX(0)].ring.used->idx, i + 1);
	}
	/* What was not agreed on. */
	drive(b, BIT(CSUM) | BIT(HOST_TSO6));
	assert_true(goes_out(b, csum, 60));
	assert_false(goes_out(b, tso, 9000));
	drive(b, 0);
	assert_false(goes_out(b, csum, 60));
	assert_true(goes_out(b, whole, 9000));
}

/* ---- buffers ---- */

static void fill(uint8_t *frame, size_t len)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(i * 31 >> 3);
}

/* What the guest reads out of @n buffers of @size bytes each. */
static void assert_got(struct bench *b, const uint8_t *frame, size_t len, unsigned int n,
		       size_t size)
{
	struct virtq_guest *q = &b->q[VIRTIO_NET_RX(0)];
	struct virtio_net_hdr_v1 header;
	struct vring_used_elem e;
	size_t skip = HEADER, part;
	const uint8_t *from;

	for (unsigned int i = 0; i < n; i++, skip = 0) {
		assert_true(virtq_guest_take(q, &e));
		from = b->mem + q->ring.desc[e.id].addr;
		part = len < size - skip ? len : size - skip;
		assert_int_equal(e.len, skip + part);
		if (skip) {
			memcpy(&header, from, HEADER);
			assert_int_equal(header.num_buffers, n);
		}
		assert_memory_equal(from + skip, frame, part);
		frame += part;
		len -= part;
	}
	assert_int_equal(len, 0);
}

static void test_a_frame_in_several_buffers(void **state)
{
	struct bench *b = *state;
	static uint8_t frame[NET_FRAME_MAX];

	fill(frame, sizeof(frame));
	drive(b, BIT(MRG_RXBUF) | GUEST_OFFLOADS);
	for (unsigned int i = 0; i < 50; i++)
		give(b, 0, BUFFERS + i * 2048, 2000);
	assert_true(offer(b, &tso, frame, sizeof(frame)));
	assert_memory_equal(b->mem + BUFFERS, &tso, sizeof(tso));
	assert_got(b, frame, sizeof(frame), 33, 2000);
	assert_int_equal(b->interrupts, 1);
	assert_true(offer(b, NULL, frame, 1988));
	assert_got(b, frame, 1988, 1, 2000);
	assert_true(offer(b, NULL, frame, 1989));
	assert_got(b, frame, 1989, 2, 2000);
}

static void test_not_enough_buffers(void **state)
{
	struct bench *b = *state;
	static uint8_t frame[9000];

	fill(frame, sizeof(frame));
	drive(b, BIT(MRG_RXBUF) | EVENTS);
	give(b, 0, BUFFERS, 4000);
	give(b, 0, BUFFERS + 4096, 4000);
	assert_false(offer(b, NULL, frame, sizeof(frame)));
	assert_int_equal(b->q[0].ring.used->idx, 0);
	/* The next buffer is told of, though there are others. */
	assert_int_equal(*(uint16_t *)&b->q[0].ring.used->ring[QUEUE], 2);
	give(b, 0, BUFFERS + 8192, 4000);
	ring(b, VIRTIO_NET_RX(0));
	assert_null(b->kept);
	assert_got(b, frame, sizeof(frame), 3, 4000);
	/* One that would not fit into all that the queue can hold is dropped, and keeps nothing. */
	for (unsigned int i = 0; i < QUEUE; i++)
		give(b, 0, BUFFERS + i * 128, 64);
	assert_true(offer(b, NULL, frame, 64 * QUEUE - HEADER + 1));
	assert_int_equal(b->n.stats.rx_dropped, 1);
	assert_true(offer(b, NULL, frame, 64 * QUEUE - HEADER));
	assert_got(b, frame, 64 * QUEUE - HEADER, QUEUE, 64);
}

static void test_buffers_that_are_no_use(void **state)
{
	struct bench *b = *state;
	struct virtq_guest *q = &b->q[VIRTIO_NET_RX(0)];
	uint8_t frame[200];
	uint16_t head;

	fill(frame, sizeof(frame));
	drive(b, BIT(MRG_RXBUF));
	/* Not even a header; nothing to be written to; and a header in pieces. */
	give(b, 0, BUFFERS, HEADER - 1);
	assert_true(offer(b, NULL, frame, sizeof(frame)));
	assert_int_equal(b->n.stats.rx_dropped, 1);
	drive(b, BIT(MRG_RXBUF));
	head = virtq_guest_desc(q, BUFFERS, 7, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT);
	virtq_guest_desc(q, BUFFERS + 7, 100, VRING_DESC_F_WRITE);
	virtq_guest_offer(q, head);
	virtq_guest_offer(q, virtq_guest_desc(q, BUFFERS + 1000, 8, 0));
	give(b, 0, BUFFERS + 107, 1000);
	assert_true(offer(b, NULL, frame, sizeof(frame)));
	assert_memory_equal(b->mem + BUFFERS + HEADER, frame, sizeof(frame));
	assert_int_equal(b->mem[BUFFERS + 10], 3);
	assert_int_equal(q->ring.used->idx, 3);
	assert_int_equal(q->ring.used->ring[1].len, 0);
}

/* ---- pairs of queues ---- */

static void send_flow(struct bench *b, unsigned int pair, uint16_t port)
{
	memset(b->mem + BUFFERS, 0, HEADER);
	make_tcp(b->mem + BUFFERS + HEADER, 1, 2, port, 80);
	queue_frame(b, pair, BUFFERS, 60);
	ring(b, VIRTIO_NET_TX(pair));
	fakeclock_advance(&b->clock, 2 * VIRTIO_NET_POLL_NS);
}

static bool arrives_at(struct bench *b, unsigned int pair, uint16_t port)
{
	const uint16_t before = b->q[VIRTIO_NET_RX(pair)].ring.used->idx;
	uint8_t frame[60];

	make_tcp(frame, 2, 1, 80, port);
	assert_true(offer(b, NULL, frame, sizeof(frame)));
	return b->q[VIRTIO_NET_RX(pair)].ring.used->idx == before + 1;
}

static void test_flows(void **state)
{
	struct bench *b = *state;
	uint8_t other[60] = { [12] = 0x08, [13] = 0x06 };
	unsigned int first = 0;

	drive(b, BIT(MQ) | BIT(CTRL_VQ));
	for (unsigned int pair = 0; pair < PAIRS; pair++)
		for (unsigned int i = 0; i < 20; i++)
			give(b, pair, BUFFERS + 0x1000 * (20 * pair + i), 2048);
	/* Until the driver says so there is one pair. */
	send_flow(b, 0, 1000);
	assert_true(arrives_at(b, 0, 1000));
	assert_int_equal(set_pairs(b, 0), VIRTIO_NET_ERR);
	assert_int_equal(set_pairs(b, PAIRS + 1), VIRTIO_NET_ERR);
	assert_int_equal(set_pairs(b, PAIRS), VIRTIO_NET_OK);
	/* The answer comes to where the question was sent, also when it moves. */
	for (unsigned int pair = 0; pair < PAIRS; pair++) {
		send_flow(b, pair, 1000);
		assert_true(arrives_at(b, pair, 1000));
		fakeclock_advance(&b->clock, VIRTIO_NET_REST_NS);
	}
	/* But not while frames keep coming. */
	send_flow(b, 0, 1000);
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(arrives_at(b, 0, 1000));
		fakeclock_advance(&b->clock, VIRTIO_NET_REST_NS / 2);
		send_flow(b, 1, 1000);
	}
	fakeclock_advance(&b->clock, VIRTIO_NET_REST_NS / 2);
	send_flow(b, 1, 1000);
	assert_true(arrives_at(b, 1, 1000));
	/* Others are spread. */
	for (uint16_t port = 2000; port < 2012; port++)
		first += arrives_at(b, 0, port);
	assert_in_range(first, 1, 8);
	assert_true(offer(b, NULL, other, sizeof(other)));
	/* And with one pair there is one again. */
	send_flow(b, 2, 1000);
	assert_int_equal(set_pairs(b, 1), VIRTIO_NET_OK);
	assert_true(arrives_at(b, 0, 1000));
}

/* The short ones and those cut off within a header too. */
static void test_flows_of_anything(void **state)
{
	struct bench *b = *state;
	static const uint16_t types[] = { 0x0800, 0x86dd, 0x8100 };
	uint8_t frame[100];

	drive(b, BIT(MQ) | BIT(CTRL_VQ));
	assert_int_equal(set_pairs(b, PAIRS), VIRTIO_NET_OK);
	for (unsigned int t = 0; t < 3; t++) {
		for (size_t len = 14; len < sizeof(frame); len++) {
			uint8_t *exact = malloc(len);

			memset(exact, 0x06, len);
			exact[12] = (uint8_t)(types[t] >> 8);
			exact[13] = (uint8_t)types[t];
			if (len > 14)
				exact[14] = 0x4f;
			for (unsigned int pair = 0; pair < PAIRS; pair++)
				give(b, pair, BUFFERS + 0x1000 * pair, 2048);
			assert_true(offer(b, NULL, exact, len));
			memcpy(b->mem + BUFFERS + HEADER, exact, len);
			memset(b->mem + BUFFERS, 0, HEADER);
			queue_frame(b, 1, BUFFERS, len);
			ring(b, VIRTIO_NET_TX(1));
			free(exact);
			drive(b, BIT(MQ) | BIT(CTRL_VQ));
			assert_int_equal(set_pairs(b, PAIRS), VIRTIO_NET_OK);
		}
	}
}

/* A frame that waits for one pair's buffers goes to another when that is all there is. */
static void test_a_frame_waits_and_pairs_go(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60];

	drive(b, BIT(MQ) | BIT(CTRL_VQ));
	assert_int_equal(set_pairs(b, 2), VIRTIO_NET_OK);
	send_flow(b, 1, 1000);
	give(b, 0, BUFFERS + 0x1000, 2048);
	make_tcp(frame, 2, 1, 80, 1000);
	assert_false(offer(b, NULL, frame, sizeof(frame)));
	assert_int_equal(set_pairs(b, 1), VIRTIO_NET_OK);
	assert_null(b->kept);
	assert_int_equal(b->q[VIRTIO_NET_RX(0)].ring.used->idx, 1);
}

/* ---- who is told of what ---- */

static bool rings_next(struct bench *b, unsigned int queue)
{
	const struct virtq_guest *q = &b->q[queue];
	const uint16_t event = *(uint16_t *)&q->ring.used->ring[QUEUE];

	return vring_need_event(event, (uint16_t)(q->ring.avail->idx + 1), q->ring.avail->idx);
}

static void send_one(struct bench *b)
{
	memset(b->mem + BUFFERS, 0, HEADER);
	queue_frame(b, 0, BUFFERS, 60);
}

static void test_a_stream_needs_no_doorbells(void **state)
{
	struct bench *b = *state;
	unsigned int rung = 0, i;

	drive(b, EVENTS);
	for (i = 0; i < 1000; i++) {
		const bool asked = rings_next(b, VIRTIO_NET_TX(0));

		send_one(b);
		rung += asked;
		if (asked)
			ring(b, VIRTIO_NET_TX(0));
		fakeclock_advance(&b->clock, VIRTIO_NET_POLL_NS / 10);
	}
	assert_in_range(rung, 1, 5);
	/* It has an end, after which the next frame is told of and sent at once. */
	fakeclock_advance(&b->clock, 3 * VIRTIO_NET_POLL_NS);
	assert_int_equal(b->sent_n, 1000);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
	assert_true(rings_next(b, VIRTIO_NET_TX(0)));
	send_one(b);
	ring(b, VIRTIO_NET_TX(0));
	assert_int_equal(b->sent_n, 1001);
	assert_in_range(b->batches, 1, 120);
}

/* Who asks and waits for the answer is never kept waiting for the clock. */
static void test_questions_are_sent_at_once(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60] = { 0 };

	drive(b, EVENTS);
	for (unsigned int i = 0; i < 50; i++) {
		give(b, 0, BUFFERS + 4096, 2048);
		assert_true(rings_next(b, VIRTIO_NET_TX(0)));
		send_one(b);
		ring(b, VIRTIO_NET_TX(0));
		assert_int_equal(b->sent_n, i + 1);
		assert_true(offer(b, NULL, frame, sizeof(frame)));
		fakeclock_advance(&b->clock, VIRTIO_NET_POLL_NS / 10);
	}
}

/* The lock is let go now and then. */
static void test_an_endless_stream(void **state)
{
	struct bench *b = *state;
	unsigned int before;

	drive(b, 0);
	b->endless = true;
	send_one(b);
	ring(b, VIRTIO_NET_TX(0));
	assert_int_equal(b->sent_n, VIRTIO_NET_BURST);
	assert_true(timerq_deadline(&b->clock.q) <= b->clock.now);
	timerq_run(&b->clock.q, b->clock.now);
	assert_int_equal(b->sent_n, 2 * VIRTIO_NET_BURST);
	b->endless = false;
	fakeclock_advance(&b->clock, 3 * VIRTIO_NET_POLL_NS);
	before = b->sent_n;
	for (unsigned int i = 0; i < 20; i++)
		queue_frame(b, 0, BUFFERS, NET_FRAME_MAX);
	ring(b, VIRTIO_NET_TX(0));
	assert_int_equal(b->sent_n - before, VIRTIO_NET_BURST_BYTES / NET_FRAME_MAX + 1);
	fakeclock_advance(&b->clock, 3 * VIRTIO_NET_POLL_NS);
	assert_int_equal(b->sent_n - before, 20);
}

static void test_mastership_goes_while_polled(void **state)
{
	struct bench *b = *state;

	drive(b, EVENTS);
	for (unsigned int i = 0; i < 4; i++) {
		send_one(b);
		ring(b, VIRTIO_NET_TX(0));
	}
	assert_true(b->n.tx[0].polled);
	b->master = false;
	fakeclock_advance(&b->clock, 3 * VIRTIO_NET_POLL_NS);
	send_one(b);
	b->master = true;
	virtio_resume(&b->n.v);
	fakeclock_advance(&b->clock, 3 * VIRTIO_NET_POLL_NS);
	assert_int_equal(b->sent_n, 5);
	/* A reset leaves no timer. */
	for (unsigned int i = 0; i < 4; i++) {
		send_one(b);
		ring(b, VIRTIO_NET_TX(0));
	}
	set(b, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
}

/* However many frames come at once, the guest is interrupted once. */
static void test_one_interrupt_for_a_batch(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60] = { 0 };

	drive(b, 0);
	for (unsigned int i = 0; i < 10; i++)
		give(b, 0, BUFFERS + i * 2048, 2048);
	for (unsigned int i = 0; i < 10; i++)
		assert_true(virtio_net_receive(&b->n, NULL, frame, sizeof(frame)));
	assert_int_equal(b->interrupts, 0);
	virtio_net_received(&b->n);
	assert_int_equal(b->interrupts, 1);
	virtio_net_received(&b->n);
	assert_int_equal(b->interrupts, 1);
}

/* ---- checksums ---- */

/* The whole of a segment with its pseudo-header adds up to nothing when the checksum is right. */
static void test_completed_checksums(void **state)
{
	struct virtio_net_hdr todo = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 };
	uint8_t f[150];

	(void)state;
	for (size_t len = 60; len < sizeof(f); len++) {
		const uint32_t pseudo = 0x1234 + (uint32_t)len;
		uint32_t sum = pseudo;

		todo.csum_offset = len & 2 ? 6 : 16;
		fill(f, sizeof(f));
		f[34 + todo.csum_offset] = (uint8_t)(pseudo >> 8);
		f[35 + todo.csum_offset] = (uint8_t)pseudo;
		assert_true(net_todo_valid(&todo, len));
		net_complete_checksum(&todo, f, len);
		for (size_t i = 34; i < len; i++)
			sum += (uint32_t)f[i] << (i % 2 ? 0 : 8);
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		assert_int_equal(sum, 0xffff);
	}
	/* One that comes out as nothing is written otherwise. */
	memset(f, 0, sizeof(f));
	f[34] = f[35] = 0xff;
	todo.csum_offset = 6;
	net_complete_checksum(&todo, f, 60);
	assert_int_equal(f[40] << 8 | f[41], 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wanted_while_the_driver_is_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_headers_that_are_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_headers_that_are_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_frame_in_several_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_enough_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_buffers_that_are_no_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flows_of_anything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_frame_waits_and_pairs_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_stream_needs_no_doorbells, setup, teardown),
		cmocka_unit_test_setup_teardown(test_questions_are_sent_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_endless_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mastership_goes_while_polled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_interrupt_for_a_batch, setup, teardown),
		cmocka_unit_test(test_completed_checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
