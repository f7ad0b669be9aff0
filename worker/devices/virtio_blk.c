// SPDX-License-Identifier: GPL-2.0-only
/* A virtio block device. How a chain is cut into buffers says nothing: the first 16 bytes are the header, the last one
 * is the status (5.2.6, 2.7.4). */
#include <errno.h>
#include <string.h>

#include "worker/devices/iov.h"
#include "worker/devices/virtio_blk.h"

#define HEADER	    sizeof(struct virtio_blk_outhdr)
#define RANGE	    sizeof(struct virtio_blk_discard_write_zeroes)
#define RANGE_MAX   (BLOCK_RANGE_MAX / VIRTIO_BLK_SECTOR)
#define STATUS_SEGS 2 /* of a chain, for header and status */

/* ---- slots ---- */

static bool has_slot(const struct virtio_blk *n)
{
	return n->free || n->fresh < VIRTIO_BLK_DEPTH;
}

static struct virtio_blk_request *take_slot(struct virtio_blk *n)
{
	struct virtio_blk_request *r = n->free;

	if (r)
		n->free = r->next;
	else
		r = &n->slot[n->fresh++];
	r->n = n;
	r->busy = true;
	r->stale = false;
	n->busy++;
	return r;
}

static void give_slot(struct virtio_blk_request *r)
{
	struct virtio_blk *n = r->n;

	r->busy = false;
	r->next = n->free;
	n->free = r;
	n->busy--;
}

/* ---- the end of a request ---- */

/* With the first @filled bytes of the chain's writable part written. */
static void answer(struct virtio_blk_request *r, uint8_t status, size_t filled)
{
	struct virtio_blk *n = r->n;

	*r->status = status;
	/* The status counts where it follows on what has been filled. */
	virtq_push(&n->v.vq[r->queue], r->chain.head, (uint32_t)(filled + (filled == r->in_len)));
	n->pushed |= 1u << r->queue;
	n->stats.requests++;
	n->stats.errors += status != VIRTIO_BLK_S_OK;
	n->under_way[r->queue]--;
	give_slot(r);
}

static void refuse(struct virtio_blk_request *r, uint8_t status)
{
	answer(r, status, 0);
}

static void serve(struct virtio_blk *n, unsigned int queue);

/* Takes what has waited for a place, and tells the guest of what has been given back. */
static void settle(struct virtio_blk *n)
{
	for (unsigned int i = 0; i < n->v.queues; i++) {
		if (n->starved & 1u << i && has_slot(n) && virtio_usable(&n->v, i))
			serve(n, i);
	}
	for (unsigned int i = 0; i < n->v.queues; i++) {
		if (n->pushed & 1u << i)
			virtio_pushed(&n->v, i);
	}
	n->pushed = 0;
}

/* Requests have ended: their driver may have made others, for which there was no doorbell. */
static void told(void *dev)
{
	struct virtio_blk *n = dev;

	if (n->serving)
		return;
	for (unsigned int i = 0; i < n->v.queues; i++) {
		if (n->polled & 1u << i && virtio_usable(&n->v, i))
			serve(n, i);
	}
	settle(n);
}

static uint8_t status_of(int ret)
{
	if (!ret)
		return VIRTIO_BLK_S_OK;
	return ret == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/* Its driver has gone: nobody is told, and its slot is free for the next one's. */
static void drop(struct virtio_blk_request *r)
{
	struct virtio_blk *n = r->n;

	n->stats.dropped++;
	give_slot(r);
	if (!--n->stale)
		n->over(n->part);
	if (n->starved)
		virtio_blk_look(n);
}

static void done(struct block_request *req, int ret)
{
	struct virtio_blk_request *r = req->dev;
	struct virtio_blk *n = r->n;

	if (r->stale) {
		drop(r);
		return;
	}
	answer(r, status_of(ret), !ret && req->op == BLOCK_READ ? r->in_len : 0);
	if (!n->blk->telling)
		told(n);
}

/* ---- its beginning ---- */

static void submit(struct virtio_blk_request *r)
{
	r->req.done = done;
	r->req.dev = r;
	block_submit(r->n->blk, &r->req);
}

static void transfer(struct virtio_blk_request *r, enum block_op op, uint64_t sector,
		     const struct iovec *iov, unsigned int iovs)
{
	const uint64_t capacity = r->n->config.capacity;
	const size_t len = iov_length(iov, iovs);

	if (!len || len % VIRTIO_BLK_SECTOR || sector > capacity ||
	    len / VIRTIO_BLK_SECTOR > capacity - sector ||
	    (op == BLOCK_WRITE && r->n->blk->readonly)) {
		refuse(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	r->req = (struct block_request){
		.op = op, .offset = sector * VIRTIO_BLK_SECTOR, .iov = iov, .iovs = iovs
	};
	submit(r);
}

static void flush(struct virtio_blk_request *r)
{
	r->req = (struct block_request){ .op = BLOCK_FLUSH };
	submit(r);
}

static void get_id(struct virtio_blk_request *r, const struct iovec *in)
{
	const size_t len = r->in_len < VIRTIO_BLK_ID_BYTES ? r->in_len : VIRTIO_BLK_ID_BYTES;

	iov_fill(in, r->n->id, len);
	answer(r, VIRTIO_BLK_S_OK, len);
}

/* A discard, or zeroes: of one range, as the configuration says (5.2.6.2). */
static void range(struct virtio_blk_request *r, enum block_op op, struct iovec *out,
		  unsigned int outs)
{
	const struct virtio_blk *n = r->n;
	const bool zeroes = op == BLOCK_ZERO;
	struct virtio_blk_discard_write_zeroes d;

	if (zeroes ? !n->blk->zeroes : !n->blk->discards) {
		refuse(r, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (iov_length(out, outs) != RANGE || n->blk->readonly) {
		refuse(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	iov_copy(out, outs, &d, RANGE);
	if (d.flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u)) {
		refuse(r, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (!d.num_sectors || d.num_sectors > RANGE_MAX || d.sector > n->config.capacity ||
	    d.num_sectors > n->config.capacity - d.sector) {
		refuse(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	r->req = (struct block_request){
		.op = op,
		.offset = d.sector * VIRTIO_BLK_SECTOR,
		.range = d.num_sectors * VIRTIO_BLK_SECTOR,
		.unmap = d.flags,
	};
	submit(r);
}

/* Takes the status byte off the writable part, which has one. */
static void take_status(struct virtio_blk_request *r)
{
	struct virtq_chain *c = &r->chain;
	struct iovec *last = &c->iov[c->outs + c->ins - 1];

	r->status = (uint8_t *)last->iov_base + --last->iov_len;
	c->ins -= !last->iov_len;
	r->in_len = iov_length(c->iov + c->outs, c->ins);
}

static void begin(struct virtio_blk_request *r, unsigned int queue)
{
	struct virtq_chain *c = &r->chain;
	struct virtio_blk_outhdr h;
	struct iovec *in = c->iov + c->outs, *out = c->iov;
	unsigned int outs;

	r->queue = (uint8_t)queue;
	if (!c->ins) {
		virtq_push(&r->n->v.vq[queue], c->head, 0);
		r->n->pushed |= 1u << queue;
		r->n->stats.dropped++;
		give_slot(r);
		return;
	}
	r->n->under_way[queue]++;
	take_status(r);
	if (iov_length(out, c->outs) < HEADER) {
		refuse(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	iov_copy(out, c->outs, &h, HEADER);
	outs = iov_skip(out, HEADER);
	out += outs;
	outs = c->outs - outs;
	switch (h.type) {
	case VIRTIO_BLK_T_IN:
		transfer(r, BLOCK_READ, h.sector, in, c->ins);
		break;
	case VIRTIO_BLK_T_OUT:
		transfer(r, BLOCK_WRITE, h.sector, out, outs);
		break;
	case VIRTIO_BLK_T_FLUSH:
		flush(r);
		break;
	case VIRTIO_BLK_T_GET_ID:
		get_id(r, in);
		break;
	case VIRTIO_BLK_T_DISCARD:
		range(r, BLOCK_DISCARD, out, outs);
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		range(r, BLOCK_ZERO, out, outs);
		break;
	default:
		refuse(r, VIRTIO_BLK_S_UNSUPP);
	}
}

/* Takes at most @left chains. Returns how many that were. */
static unsigned int take_chains(struct virtio_blk *n, unsigned int queue, unsigned int left)
{
	struct virtio_blk_request *r;
	unsigned int taken = 0;

	while (taken < left && has_slot(n)) {
		r = take_slot(n);
		if (virtq_pop(&n->v.vq[queue], &r->chain) <= 0) {
			give_slot(r);
			break;
		}
		begin(r, queue);
		taken++;
	}
	return taken;
}

static void look_in(struct virtio_blk *n, uint64_t ns)
{
	const uint64_t at = dev_now(n->clk) + ns;

	if (!n->more.armed || at < n->more.deadline)
		dev_arm(n->clk, &n->more, at);
}

/*
 * Whether the driver goes on making requests while others are under way: it need not say so then. It has to when that has
 * found nothing for a while.
 */
static bool goes_on(struct virtio_blk *n, unsigned int queue, unsigned int found)
{
	const uint32_t bit = 1u << queue;

	if (found)
		n->polls[queue] = 0;
	if ((found < VIRTIO_BLK_MANY && n->under_way[queue] < VIRTIO_BLK_DEEP) ||
	    (!found && !(n->polled & bit)) || n->polls[queue] == VIRTIO_BLK_POLLS) {
		n->polled &= ~bit;
		return false;
	}
	n->polled |= bit;
	look_in(n, ++n->polls[queue] * (uint64_t)VIRTIO_BLK_POLL_NS);
	return true;
}

/* What a queue has, in batches; with @collect what of it is over at once is over. */
static void take_all(struct virtio_blk *n, unsigned int queue, bool collect)
{
	struct virtq *q = &n->v.vq[queue];
	unsigned int found, left = VIRTIO_BLK_BURST;

	n->starved &= ~(1u << queue);
	do {
		virtq_want_doorbell(q, false);
		block_batch_begin(n->blk);
		found = take_chains(n, queue, left);
		block_batch_end(n->blk);
		left -= found;
		n->stats.doorbells += !!found;
		if (collect)
			block_collect(n->blk);
		if (!left || !has_slot(n)) {
			n->starved |= 1u << queue;
			if (!left)
				look_in(n, 0);
			return;
		}
	} while (!goes_on(n, queue, found) && virtq_want_doorbell(q, true));
}

/* For who has been called by the back end. The queue may have become broken: that is told, too. */
static void serve(struct virtio_blk *n, unsigned int queue)
{
	n->serving = true;
	take_all(n, queue, false);
	n->serving = false;
	n->pushed |= 1u << queue;
}

static void doorbell(void *dev, unsigned int queue)
{
	struct virtio_blk *n = dev;

	n->serving = true;
	take_all(n, queue, true);
	n->serving = false;
	settle(n);
	block_collect(n->blk); /* what has waited for a place has made a batch of its own */
}

static void more_fire(void *dev, uint64_t now)
{
	struct virtio_blk *n = dev;

	(void)now;
	virtio_resume(&n->v);
}

void virtio_blk_look(struct virtio_blk *n)
{
	look_in(n, 0);
}

/* ---- the device ---- */

static void start(void *dev)
{
	struct virtio_blk *n = dev;

	/* Requests that are there before the first doorbell. */
	virtio_resume(&n->v);
}

static void stop(void *dev)
{
	struct virtio_blk *n = dev;

	dev_cancel(n->clk, &n->more);
	for (unsigned int i = 0; i < n->fresh; i++)
		n->slot[i].stale = n->slot[i].busy;
	n->stale = n->busy;
	memset(n->under_way, 0, sizeof(n->under_way));
	n->starved = 0;
	n->polled = 0;
	n->pushed = 0;
}

static bool lingers(void *dev)
{
	const struct virtio_blk *n = dev;

	return n->stale;
}

static const struct virtio_class class = {
	.id = 2,
	.config_size = sizeof(struct virtio_blk_config),
	.start = start,
	.stop = stop,
	.lingers = lingers,
	.doorbell = doorbell,
};

static void set_config(struct virtio_blk *n, unsigned int queues)
{
	const struct block *blk = n->blk;

	n->config.capacity = blk->size / VIRTIO_BLK_SECTOR;
	n->config.seg_max = VIRTQ_SEGS_MAX - STATUS_SEGS;
	n->config.blk_size = VIRTIO_BLK_SECTOR;
	n->config.num_queues = (uint16_t)queues;
	if (blk->discards) {
		n->config.max_discard_sectors = RANGE_MAX;
		n->config.max_discard_seg = 1;
		n->config.discard_sector_alignment = blk->discard_unit / VIRTIO_BLK_SECTOR;
	}
	if (blk->zeroes) {
		n->config.max_write_zeroes_sectors = RANGE_MAX;
		n->config.max_write_zeroes_seg = 1;
		n->config.write_zeroes_may_unmap = 1;
	}
}

static uint64_t features(const struct block *blk)
{
	uint64_t bits = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
			1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_MQ;

	if (blk->readonly)
		return bits | 1ull << VIRTIO_BLK_F_RO;
	if (blk->discards)
		bits |= 1ull << VIRTIO_BLK_F_DISCARD;
	if (blk->zeroes)
		bits |= 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	return bits;
}

void virtio_blk_init(struct virtio_blk *n, const struct dev_clock *clk, const struct dma *dma,
		     const struct virtio_host *host, void *ctx, struct block *blk,
		     const char *serial, unsigned int queues, void (*over)(void *part), void *part)
{
	n->clk = clk;
	n->blk = blk;
	blk->told = told;
	blk->dev = n;
	n->over = over;
	n->part = part;
	n->more = (struct dev_timer){ .fire = more_fire, .dev = n };
	memcpy(n->id, serial, strnlen(serial, sizeof(n->id)));
	set_config(n, queues);
	virtio_init(&n->v, &class, n, dma, host, ctx);
	n->v.config = &n->config;
	n->v.features = features(blk);
	n->v.queues = queues;
}
