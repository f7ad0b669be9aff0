// SPDX-License-Identifier: GPL-2.0-only
/* A virtio network device. With VIRTIO_F_VERSION_1 the header has always its 12 bytes (5.1.6). */
#include <string.h>

#include "worker/devices/iov.h"
#include "worker/devices/virtio_net.h"

#define HEADER sizeof(struct virtio_net_hdr_v1)

#define FEATURE(bit) (1ull << VIRTIO_NET_F_##bit)

#define ROW	   2 /* so many batches after another, and a queue is polled ... */
#define POLL_LEAST 2 /* ... for as long as there are so many frames each time */

/* ---- flows: which pair a frame that arrives is for ---- */

#define ETHERTYPE	12
#define IP		NET_ETHER_HEADER
#define IPV4_FRAGMENT	6
#define IPV4_PROTOCOL	9
#define IPV4_ADDRESSES	12
#define IPV4_HEADER	20
#define IPV6_PROTOCOL	6
#define IPV6_ADDRESSES	8
#define IPV6_HEADER	40
#define PROTOCOL_TCP	6
#define PROTOCOL_UDP	17
#define FLOW_BYTES	(IP + 60 + 4) /* the longest header of IPv4, and ports */
#define FLOW_MULTIPLIER 0x9e3779b1u   /* spreads what differs in few bits */

/* A pair of addresses or ports is the same either way. */
static uint32_t fold(const uint8_t *p, size_t len)
{
	uint32_t hash = 0;

	for (size_t i = 0; i < len; i++)
		hash ^= (uint32_t)(p[i] ^ p[len + i]) << 8 * (i % 4);
	return hash;
}

static uint32_t fold_ports(uint8_t protocol, const uint8_t *frame, size_t at, size_t len)
{
	if ((protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP) || at + 4 > len)
		return 0;
	return fold(frame + at, 2) << 16;
}

/* Of the flow that a frame belongs to, of which @len bytes are there; what is not IP is one flow. */
static unsigned int flow_hash(const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + IP;
	uint32_t hash = 0;

	if (len >= IP + IPV4_HEADER && frame[ETHERTYPE] == 0x08 && frame[ETHERTYPE + 1] == 0x00) {
		const bool fragment = (ip[IPV4_FRAGMENT] & 0x3f) | ip[IPV4_FRAGMENT + 1];

		hash = fold(ip + IPV4_ADDRESSES, 4);
		if (!fragment)
			hash ^= fold_ports(ip[IPV4_PROTOCOL], frame, IP + 4u * (ip[0] & 15), len);
	} else if (len >= IP + IPV6_HEADER && frame[ETHERTYPE] == 0x86 &&
		   frame[ETHERTYPE + 1] == 0xdd) {
		hash = fold(ip + IPV6_ADDRESSES, 16) ^
		       fold_ports(ip[IPV6_PROTOCOL], frame, IP + IPV6_HEADER, len);
	}
	return (hash * FLOW_MULTIPLIER) >> 24;
}

/* Until something of a flow has been sent it may go anywhere. */
static void set_active(struct virtio_net *n, unsigned int pairs)
{
	n->active = pairs;
	for (unsigned int i = 0; i < VIRTIO_NET_FLOWS; i++)
		n->flow[i] = (struct virtio_net_flow){ .pair = (uint8_t)(i % pairs) };
}

static void note_flow(struct virtio_net *n, unsigned int pair, const struct iovec *iov,
		      unsigned int iovs)
{
	struct virtio_net_flow *flow;
	uint8_t head[FLOW_BYTES];

	if (n->active == 1 || pair >= n->active)
		return;
	flow = &n->flow[flow_hash(head, iov_copy(iov, iovs, head, sizeof(head)))];
	if (flow->pair != pair && (!flow->at || dev_now(n->clk) - flow->at >= VIRTIO_NET_REST_NS))
		flow->pair = (uint8_t)pair;
}

static unsigned int pair_for(struct virtio_net *n, const uint8_t *frame, size_t len)
{
	struct virtio_net_flow *flow;

	if (n->active == 1)
		return 0;
	flow = &n->flow[flow_hash(frame, len < FLOW_BYTES ? len : FLOW_BYTES)];
	flow->at = dev_now(n->clk);
	return virtio_usable(&n->v, VIRTIO_NET_RX(flow->pair)) ? flow->pair : 0;
}

/* ---- transmission ---- */

/* The border for what the guest says of a frame that it sends: @todo is a copy. */
static bool header_good(const struct virtio_net *n, struct virtio_net_hdr *todo, size_t len)
{
	/* Other flags are to be ignored, and the length of the headers is only a hint (5.1.6.2.2). */
	todo->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (todo->hdr_len > len)
		todo->hdr_len = (uint16_t)len;
	return !(net_todo(todo) & ~n->does) && net_todo_valid(todo, len);
}

/* Returns how many bytes that was. */
static size_t transmit(struct virtio_net *n, unsigned int pair, struct virtq_chain *chain)
{
	const size_t len = iov_length(chain->iov, chain->outs);
	struct virtio_net_hdr todo;
	unsigned int skipped;

	if (len < HEADER + NET_ETHER_HEADER || len - HEADER > NET_FRAME_MAX) {
		n->stats.tx_dropped++;
		return 0;
	}
	iov_copy(chain->iov, chain->outs, &todo, sizeof(todo));
	if (!header_good(n, &todo, len - HEADER)) {
		n->stats.tx_dropped++;
		return 0;
	}
	skipped = iov_skip(chain->iov, HEADER);
	n->stats.tx_frames++;
	n->stats.tx_bytes += len - HEADER;
	note_flow(n, pair, chain->iov + skipped, chain->outs - skipped);
	net_transmit(n->net, net_todo(&todo) ? &todo : NULL, chain->iov + skipped,
		     chain->outs - skipped);
	return len;
}

/* What may still be sent before others have their turn. */
struct budget {
	unsigned int frames;
	size_t bytes;
};

/* Sends what a queue has and the budget allows. Returns how many chains that were. */
static unsigned int drain(struct virtio_net *n, unsigned int pair, struct budget *left)
{
	struct virtq *q = &n->v.vq[VIRTIO_NET_TX(pair)];
	unsigned int sent = 0;
	struct virtq_chain chain;
	size_t len;

	while (left->frames && left->bytes && virtq_pop(q, &chain) > 0) {
		len = transmit(n, pair, &chain);
		left->bytes -= len < left->bytes ? len : left->bytes;
		left->frames--;
		virtq_push(q, chain.head, 0);
		sent++;
	}
	return sent;
}

/* Whether a queue from which @sent frames have just gone will have more soon. */
static bool goes_on(struct virtio_net *n, struct virtio_net_tx *tx, unsigned int sent)
{
	const uint64_t now = dev_now(n->clk), since = now - tx->at;
	const bool alone = tx->received == n->stats.rx_frames;

	tx->at = now;
	tx->received = n->stats.rx_frames;
	if (tx->polled) {
		tx->row = 0;
		return sent >= POLL_LEAST;
	}
	tx->row = alone && since < VIRTIO_NET_POLL_NS ? tx->row + 1 : 0;
	return tx->row >= ROW;
}

static void look_in(struct virtio_net *n, struct virtio_net_tx *tx, uint64_t ns)
{
	const uint64_t at = dev_now(n->clk) + ns;

	tx->polled = true;
	if (!n->look.armed || at < n->look.deadline)
		dev_arm(n->clk, &n->look, at);
}

/* It has been asked for, by a doorbell or as nobody rings one. */
static void transmit_all(struct virtio_net *n, unsigned int pair)
{
	struct budget left = { VIRTIO_NET_BURST, VIRTIO_NET_BURST_BYTES };
	struct virtq *q = &n->v.vq[VIRTIO_NET_TX(pair)];
	struct virtio_net_tx *tx = &n->tx[pair];
	unsigned int sent;

	virtq_want_doorbell(q, false);
	sent = drain(n, pair, &left);
	if (sent && goes_on(n, tx, sent)) {
		look_in(n, tx, left.frames && left.bytes ? VIRTIO_NET_POLL_NS : 0);
	} else {
		tx->polled = false;
		while (left.frames && left.bytes && virtq_want_doorbell(q, true))
			sent += drain(n, pair, &left);
		if (!left.frames || !left.bytes)
			look_in(n, tx, 0);
	}
	virtio_pushed(&n->v, VIRTIO_NET_TX(pair));
	if (!sent)
		return;
	n->stats.tx_batches++;
	net_sent(n->net);
}

static void look_fire(void *dev, uint64_t now)
{
	struct virtio_net *n = dev;

	(void)now;
	for (unsigned int i = 0; i < n->pairs; i++) {
		if (!n->tx[i].polled)
			continue;
		if (virtio_usable(&n->v, VIRTIO_NET_TX(i)))
			transmit_all(n, i);
		else
			n->tx[i].polled = false; /* until virtio_resume() */
	}
}

/* ---- reception ---- */

static bool next_buffer(struct virtq *q, struct virtq_chain *chain)
{
	return virtq_pop(q, chain) > 0 || (virtq_want_doorbell(q, true) && virtq_pop(q, chain) > 0);
}

static size_t room(const struct virtq_chain *chain)
{
	return iov_length(chain->iov + chain->outs, chain->ins);
}

static bool hold(struct virtio_net *n, unsigned int pair)
{
	n->stats.rx_held += !n->held;
	n->held = true;
	n->filled |= 1u << pair;
	return false;
}

/* There may be room now for the frame that the back end keeps. */
static void retry(struct virtio_net *n)
{
	if (!n->held)
		return;
	n->held = false;
	net_ready(n->net);
}

/*
 * Puts the rest of a frame into further buffers, the first being taken. Returns how many there are then; the queue's
 * size and one for what will never fit; 0 while there are not enough, and none is taken.
 */
static unsigned int spread(struct virtq *q, const uint8_t *from, size_t len)
{
	unsigned int used = 1;
	struct virtq_chain chain;
	size_t part;

	for (; len; len -= part, from += part, used++) {
		if (used == q->size || !next_buffer(q, &chain)) {
			virtq_unpop(q, used);
			return used == q->size ? used + 1 : 0;
		}
		part = room(&chain) < len ? room(&chain) : len;
		iov_fill(chain.iov + chain.outs, from, part);
		virtq_put(q, used, chain.head, (uint32_t)part);
	}
	return used;
}

static bool drop(struct virtio_net *n)
{
	n->stats.rx_dropped++;
	return true;
}

bool virtio_net_receive(struct virtio_net *n, const struct virtio_net_hdr *todo,
			const uint8_t *frame, size_t len)
{
	const unsigned int pair = pair_for(n, frame, len);
	struct virtq *q = &n->v.vq[VIRTIO_NET_RX(pair)];
	struct virtio_net_hdr_v1 header = { 0 };
	struct virtq_chain first;
	unsigned int used;
	size_t part;

	if (!virtio_usable(&n->v, VIRTIO_NET_RX(pair)) || !next_buffer(q, &first))
		return hold(n, pair);
	if (room(&first) < HEADER + (n->merges ? 0 : len)) {
		virtq_unpop(q, 1);
		return drop(n);
	}
	part = room(&first) - HEADER < len ? room(&first) - HEADER : len;
	used = spread(q, frame + part, len - part);
	if (!used)
		return hold(n, pair);
	if (used > q->size)
		return drop(n);
	if (todo)
		memcpy(&header, todo, sizeof(*todo));
	header.num_buffers = (uint16_t)used;
	iov_fill(first.iov + first.outs, &header, HEADER);
	iov_fill(first.iov + first.outs + iov_skip(first.iov + first.outs, HEADER), frame, part);
	virtq_put(q, 0, first.head, (uint32_t)(HEADER + part));
	virtq_publish(q, used);
	n->filled |= 1u << pair;
	n->stats.rx_frames++;
	n->stats.rx_bytes += len;
	return true;
}

void virtio_net_received(struct virtio_net *n)
{
	for (unsigned int i = 0; n->filled >> i; i++)
		if (n->filled >> i & 1)
			virtio_pushed(&n->v, VIRTIO_NET_RX(i));
	n->filled = 0;
}

/* ---- features ---- */

static const struct {
	uint32_t what;
	unsigned int host, guest; /* feature bits: who does it */
} offloads[] = {
	{ NET_CSUM, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM },
	{ NET_TSO4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4 },
	{ NET_TSO6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6 },
	{ NET_ECN, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN },
};

#define OFFLOADS (sizeof(offloads) / sizeof(offloads[0]))

/* The feature bits for @what. */
static uint64_t to_features(uint32_t what, bool guest)
{
	uint64_t features = 0;

	for (unsigned int i = 0; i < OFFLOADS; i++)
		if (what & offloads[i].what)
			features |= 1ull << (guest ? offloads[i].guest : offloads[i].host);
	return features;
}

/* What they say; without checksums there is nothing else (5.1.3.1). */
static uint32_t from_features(uint64_t features, bool guest)
{
	uint32_t what = 0;

	for (unsigned int i = 0; i < OFFLOADS; i++)
		if (features >> (guest ? offloads[i].guest : offloads[i].host) & 1)
			what |= offloads[i].what;
	return what & NET_CSUM ? what : 0;
}

static uint64_t offered(const struct virtio_net *n, bool whole)
{
	uint64_t features = FEATURE(MAC) | FEATURE(STATUS) | to_features(n->net->offloads, false);

	/* A cable that can do nothing has frames of the wire's size: a driver has less to do with a buffer for each. */
	if (n->net->offloads)
		features |= FEATURE(MRG_RXBUF);
	if (n->net->offloads && !whole)
		features |= to_features(n->net->offloads, true) | FEATURE(CTRL_GUEST_OFFLOADS);
	if (n->pairs > 1)
		features |= FEATURE(MQ);
	if (features & (FEATURE(CTRL_GUEST_OFFLOADS) | FEATURE(MQ)))
		features |= FEATURE(CTRL_VQ);
	return features;
}

/* ---- the control queue ---- */

#define COMMAND_BYTES (2 + 8) /* class, command, and the longest argument */

static uint8_t set_pairs(struct virtio_net *n, uint16_t pairs)
{
	if (!virtio_has(&n->v, VIRTIO_NET_F_MQ) || !pairs || pairs > n->pairs)
		return VIRTIO_NET_ERR;
	set_active(n, pairs);
	retry(n);
	return VIRTIO_NET_OK;
}

static uint8_t set_takes(struct virtio_net *n, uint64_t features)
{
	const uint64_t agreed = to_features(n->net->offloads, true) & n->v.driver_features;

	if (!virtio_has(&n->v, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || features & ~agreed)
		return VIRTIO_NET_ERR;
	n->takes = from_features(features, true);
	net_want(n->net, n->takes);
	return VIRTIO_NET_OK;
}

static uint8_t command(struct virtio_net *n, const struct virtq_chain *chain)
{
	uint8_t c[COMMAND_BYTES];
	const size_t len = iov_copy(chain->iov, chain->outs, c, sizeof(c));
	uint64_t features;

	if (len >= 4 && c[0] == VIRTIO_NET_CTRL_MQ && c[1] == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
		return set_pairs(n, (uint16_t)(c[2] | c[3] << 8));
	if (len < sizeof(c) || c[0] != VIRTIO_NET_CTRL_GUEST_OFFLOADS ||
	    c[1] != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET)
		return VIRTIO_NET_ERR;
	memcpy(&features, c + 2, sizeof(features));
	return set_takes(n, features);
}

static void control(struct virtio_net *n, unsigned int queue)
{
	struct virtq *q = &n->v.vq[queue];
	unsigned int left = q->size;
	struct virtq_chain chain;
	uint8_t ack;

	do {
		while (left && virtq_pop(q, &chain) > 0) {
			left--;
			ack = command(n, &chain);
			if (chain.ins)
				iov_fill(chain.iov + chain.outs, &ack, sizeof(ack));
			virtq_push(q, chain.head, !!chain.ins);
		}
		/* A driver waits for each command: who has more of them than entries breaks the rules. */
	} while (left && virtq_want_doorbell(q, true));
	virtio_pushed(&n->v, queue);
}

/* ---- the class ---- */

/* The number of the control queue; past all for none (5.1.2). */
static unsigned int control_queue(const struct virtio_net *n)
{
	if (!virtio_has(&n->v, VIRTIO_NET_F_CTRL_VQ))
		return n->v.queues;
	return virtio_has(&n->v, VIRTIO_NET_F_MQ) ? 2 * n->pairs : 2;
}

static unsigned int agreed_pairs(const struct virtio_net *n)
{
	return virtio_has(&n->v, VIRTIO_NET_F_MQ) ? n->pairs : 1;
}

static void doorbell(void *dev, unsigned int queue)
{
	struct virtio_net *n = dev;

	if (queue == control_queue(n)) {
		control(n, queue);
	} else if (queue / 2 >= agreed_pairs(n)) {
		return; /* it is nobody's */
	} else if (queue % 2 == 0) {
		virtq_want_doorbell(&n->v.vq[queue], false);
		retry(n);
	} else if (!n->tx[queue / 2].polled) {
		transmit_all(n, queue / 2);
	}
}

static void start(void *dev)
{
	struct virtio_net *n = dev;

	n->does = from_features(n->v.driver_features, false);
	n->takes = from_features(n->v.driver_features, true);
	n->merges = virtio_has(&n->v, VIRTIO_NET_F_MRG_RXBUF);
	set_active(n, 1);
	net_want(n->net, n->takes);
	/* Buffers that are there before the first doorbell. */
	virtio_resume(&n->v);
	net_ready(n->net);
}

static void stop(void *dev)
{
	struct virtio_net *n = dev;

	dev_cancel(n->clk, &n->look);
	memset(n->tx, 0, sizeof(n->tx));
	n->held = false;
	n->filled = 0;
	net_want(n->net, 0);
	/* Who takes frames next is asked for those that have been kept. */
	net_ready(n->net);
}

static const struct virtio_class class = {
	.id = 1,
	.config_size = sizeof(struct virtio_net_config),
	.start = start,
	.stop = stop,
	.doorbell = doorbell,
};

static unsigned int pairs_for(unsigned int wanted)
{
	if (wanted > VIRTIO_NET_PAIRS_MAX)
		return VIRTIO_NET_PAIRS_MAX;
	return wanted ? wanted : 1;
}

void virtio_net_init(struct virtio_net *n, const struct dev_clock *clk, const struct dma *dma,
		     const struct virtio_host *host, void *ctx, struct net *net,
		     const struct virtio_net_options *opt)
{
	memset(n, 0, sizeof(*n));
	n->clk = clk;
	n->net = net;
	n->pairs = pairs_for(opt->pairs);
	n->look = (struct dev_timer){ .fire = look_fire, .dev = n };
	memcpy(n->config.mac, opt->mac, sizeof(n->config.mac));
	n->config.status = net->link ? VIRTIO_NET_S_LINK_UP : 0;
	n->config.max_virtqueue_pairs = (uint16_t)n->pairs;
	virtio_init(&n->v, &class, n, dma, host, ctx);
	n->v.config = &n->config;
	n->v.features = offered(n, opt->whole);
	n->v.queues = 2 * n->pairs + !!(n->v.features & FEATURE(CTRL_VQ));
}
