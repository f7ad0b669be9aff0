// SPDX-License-Identifier: GPL-2.0-only
/* The registers of the high-performance mode, and how a guest gets to them. */
#include <string.h>

#include "worker/devices/bimodal.h"

#define PAGE 4096u

static void virtio_interrupt(void *ctx, uint32_t bits)
{
	struct bimodal *b = ctx;

	if (bits && b->status && b->part->master(b->dev))
		__atomic_fetch_or(b->status, bits, __ATOMIC_SEQ_CST);
	b->part->interrupt(b->dev, bits);
}

static bool virtio_master(void *ctx)
{
	struct bimodal *b = ctx;

	return b->part->master(b->dev);
}

const struct virtio_host bimodal_virtio_host = {
	.interrupt = virtio_interrupt,
	.master = virtio_master,
};

static void set_enabled(struct bimodal *b, bool enabled)
{
	if (!b->identified || enabled == b->enabled)
		return;
	if (!enabled)
		virtio_reset(b->v);
	b->enabled = enabled;
	b->select = 0;
	b->status_page = 0;
	b->status = NULL;
	b->keyed = 0;
	b->part->switched(b->dev);
}

void bimodal_reset(struct bimodal *b)
{
	if (!b->cfg.on)
		return;
	set_enabled(b, false);
	b->identified = b->cfg.identify != BIMODAL_IDENTIFY_HANDSHAKE;
	b->shaken = 0;
	b->keyed = 0;
}

void bimodal_init(struct bimodal *b, const struct bimodal_config *cfg,
		  const struct bimodal_part *part, void *dev, const struct dma *dma,
		  struct virtio *v)
{
	memset(b, 0, sizeof(*b));
	b->cfg = *cfg;
	b->part = part;
	b->dev = dev;
	b->dma = dma;
	b->v = v;
}

/* How many values of @keys have come when @val comes after @done of them; BIMODAL_KEYS: all. */
static unsigned int step(const uint32_t *keys, unsigned int done, uint32_t val)
{
	if (val == keys[done])
		return done + 1;
	return val == keys[0];
}

void bimodal_handshake(struct bimodal *b, uint32_t val)
{
	if (!b->cfg.on || b->identified)
		return;
	b->shaken = step(b->part->handshake, b->shaken, val);
	b->identified = b->shaken == BIMODAL_KEYS;
}

void bimodal_sequence(struct bimodal *b, uint32_t val)
{
	if (!b->cfg.on || b->enabled || b->cfg.enable != BIMODAL_ENABLE_SEQUENCE)
		return;
	b->keyed = step(b->part->sequence, b->keyed, val);
	if (b->keyed < BIMODAL_KEYS)
		return;
	b->keyed = 0;
	set_enabled(b, true);
}

void bimodal_bit(struct bimodal *b, bool set)
{
	if (b->cfg.on && b->cfg.enable == BIMODAL_ENABLE_BIT)
		set_enabled(b, set);
}

static uint32_t mode(const struct bimodal *b)
{
	return (b->enabled ? BIMODAL_MODE_ENABLED : 0) | (uint32_t)b->cfg.identify << 4 |
	       (uint32_t)b->cfg.enable << 8 | (uint32_t)b->cfg.relation << 12;
}

uint32_t bimodal_read(struct bimodal *b, unsigned int reg)
{
	if (!b->identified)
		return b->part->none;
	if (reg == BIMODAL_REG_ID)
		return BIMODAL_MAGIC;
	if (reg == BIMODAL_REG_MODE)
		return mode(b);
	if (!b->enabled)
		return b->part->none;
	switch (reg) {
	case BIMODAL_REG_SELECT:
		return b->select;
	case BIMODAL_REG_DATA:
		return virtio_read(b->v, b->select);
	case BIMODAL_REG_DOORBELL:
		return 0;
	case BIMODAL_REG_STATUS_PAGE:
		return b->status_page;
	default:
		return b->part->none;
	}
}

static void write_mode(struct bimodal *b, uint32_t val)
{
	if (!val)
		set_enabled(b, false);
	else if (val == BIMODAL_MODE_ENABLED && b->cfg.enable == BIMODAL_ENABLE_REGISTER)
		set_enabled(b, true);
}

void bimodal_write(struct bimodal *b, unsigned int reg, uint32_t val)
{
	if (!b->cfg.on || !b->identified)
		return;
	if (reg == BIMODAL_REG_MODE)
		write_mode(b, val);
	if (!b->enabled)
		return;
	switch (reg) {
	case BIMODAL_REG_SELECT:
		b->select = val;
		break;
	case BIMODAL_REG_DATA:
		virtio_write(b->v, b->select, val);
		break;
	case BIMODAL_REG_DOORBELL:
		virtio_doorbell(b->v, val);
		break;
	case BIMODAL_REG_STATUS_PAGE:
		b->status_page = val;
		b->status = val ? dma_map(b->dma, (uint64_t)val * PAGE, sizeof(*b->status)) : NULL;
		break;
	default:
		break;
	}
}
