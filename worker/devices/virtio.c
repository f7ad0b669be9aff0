// SPDX-License-Identifier: GPL-2.0-only
/* Status, features and queues of a virtio device, by the registers of the MMIO layout. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "worker/devices/virtio.h"

#define MAGIC	0x74726976u /* "virt" */
#define VERSION 2
#define VENDOR	0x4e4c504cu /* "LPLN" */

#define COMMON_FEATURES                                                                            \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC |                        \
	 1ull << VIRTIO_RING_F_EVENT_IDX)

static uint64_t offered(const struct virtio *v)
{
	return v->features | COMMON_FEATURES;
}

bool virtio_has(const struct virtio *v, unsigned int bit)
{
	return v->driver_features >> bit & 1;
}

static void raise(struct virtio *v, uint32_t bits)
{
	v->isr |= bits;
	v->host->interrupt(v->ctx, bits);
}

static void needs_reset(struct virtio *v)
{
	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (v->started)
		virtio_config_changed(v);
}

void virtio_config_changed(struct virtio *v)
{
	v->generation++;
	raise(v, VIRTIO_MMIO_INT_CONFIG);
}

void virtio_pushed(struct virtio *v, unsigned int n)
{
	if (v->vq[n].broken)
		needs_reset(v);
	else if (virtq_interrupts(&v->vq[n]))
		raise(v, VIRTIO_MMIO_INT_VRING);
}

static void stop(struct virtio *v)
{
	if (!v->started)
		return;
	v->started = false;
	v->class->stop(v->dev);
}

void virtio_reset(struct virtio *v)
{
	stop(v);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		virtq_stop(&v->vq[i]);
		memset(&v->vq[i], 0, sizeof(v->vq[i]));
	}
	memset(v->at, 0, sizeof(v->at));
	v->status = 0;
	v->driver_features = 0;
	v->device_sel = 0;
	v->driver_sel = 0;
	v->queue_sel = 0;
	v->isr = 0;
	v->host->interrupt(v->ctx, 0);
}

void virtio_init(struct virtio *v, const struct virtio_class *class, void *dev,
		 const struct dma *dma, const struct virtio_host *host, void *ctx)
{
	memset(v, 0, sizeof(*v));
	v->class = class;
	v->dev = dev;
	v->dma = dma;
	v->host = host;
	v->ctx = ctx;
}

/* Features are agreed on: none that was not offered, and the present version of the standard. */
static bool features_ok(const struct virtio *v)
{
	return !(v->driver_features & ~offered(v)) && virtio_has(v, VIRTIO_F_VERSION_1);
}

static void write_status(struct virtio *v, uint32_t val)
{
	if (!val) {
		virtio_reset(v);
		return;
	}
	if (val & VIRTIO_CONFIG_S_FEATURES_OK && !(v->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    !features_ok(v))
		val &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	/* Bits are only added: they go with a reset. */
	v->status |= val & 0xff & ~VIRTIO_CONFIG_S_NEEDS_RESET;
	if (v->started || !(v->status & VIRTIO_CONFIG_S_DRIVER_OK) ||
	    !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	v->started = true;
	v->class->start(v->dev);
}

/* The queue that QueueSel names; NULL if there is no such. */
static struct virtq *selected(struct virtio *v)
{
	return v->queue_sel < v->queues ? &v->vq[v->queue_sel] : NULL;
}

static void write_ready(struct virtio *v, struct virtq *q, uint32_t val)
{
	if (!(val & 1)) {
		virtq_stop(q);
		return;
	}
	if (q->live || !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	q->event_idx = virtio_has(v, VIRTIO_RING_F_EVENT_IDX);
	q->indirect = virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC);
	if (virtq_start(q, v->dma, v->at[v->queue_sel].desc, v->at[v->queue_sel].avail,
			v->at[v->queue_sel].used))
		needs_reset(v);
}

static void set_half(uint64_t *at, bool high, uint32_t val)
{
	*at = high ? (uint32_t)*at | (uint64_t)val << 32 : (*at & ~0xffffffffull) | val;
}

static void write_queue(struct virtio *v, uint32_t off, uint32_t val)
{
	struct virtq *q = selected(v);

	if (!q)
		return;
	if (off == VIRTIO_MMIO_QUEUE_READY) {
		write_ready(v, q, val);
		return;
	}
	if (q->live)
		return;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->size = val > VIRTQ_SIZE_MAX ? 0 : (uint16_t)val;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&v->at[v->queue_sel].desc, off & 4, val);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&v->at[v->queue_sel].avail, off & 4, val);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&v->at[v->queue_sel].used, off & 4, val);
		break;
	default:
		break;
	}
}

void virtio_write(struct virtio *v, uint32_t off, uint32_t val)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		v->device_sel = val;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		v->driver_sel = val;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (v->driver_sel < 2 && !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&v->driver_features, v->driver_sel, val);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		v->queue_sel = val;
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_doorbell(v, val);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		v->isr &= ~val;
		if (!v->isr)
			v->host->interrupt(v->ctx, 0);
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(v, val);
		break;
	default:
		write_queue(v, off, val);
	}
}

/*
 * A driver that waits for 0 after a reset (2.4.2) may then use its memory for something else. One that does not wait
 * finds no bit that it would write back with its next.
 */
static uint32_t read_status(const struct virtio *v)
{
	if (v->status || !v->class->lingers || !v->class->lingers(v->dev))
		return v->status;
	return VIRTIO_CONFIG_S_NEEDS_RESET;
}

static uint32_t read_config(const struct virtio *v, uint32_t off)
{
	uint32_t val = 0, left;

	if (off % 4 || off >= v->class->config_size)
		return 0;
	left = v->class->config_size - off;
	memcpy(&val, (const uint8_t *)v->config + off, left < 4 ? left : 4);
	return val;
}

uint32_t virtio_read(struct virtio *v, uint32_t off)
{
	const struct virtq *q = selected(v);

	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return v->class->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return v->device_sel < 2 ? (uint32_t)(offered(v) >> 32 * v->device_sel) : 0;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? VIRTQ_SIZE_MAX : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q && q->live;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return v->isr;
	case VIRTIO_MMIO_STATUS:
		return read_status(v);
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return v->generation;
	default:
		return off >= VIRTIO_MMIO_CONFIG ? read_config(v, off - VIRTIO_MMIO_CONFIG) : 0;
	}
}

bool virtio_usable(const struct virtio *v, unsigned int n)
{
	return v->started && v->vq[n].live && !v->vq[n].broken && v->host->master(v->ctx);
}

void virtio_doorbell(struct virtio *v, uint32_t n)
{
	if (n >= v->queues || !virtio_usable(v, n))
		return;
	v->class->doorbell(v->dev, n);
	if (v->vq[n].broken)
		needs_reset(v);
}

void virtio_resume(struct virtio *v)
{
	for (unsigned int i = 0; i < v->queues; i++)
		virtio_doorbell(v, i);
}
