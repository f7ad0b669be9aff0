/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_VIRTIO_H
#define WORKER_DEVICES_VIRTIO_H

/*
 * A virtio device (virtio 1.2, section 2) behind the registers of the MMIO layout, version 2 (4.2.2, the offsets of
 * linux/virtio_mmio.h), whatever way they are reached: status, features, configuration space and queues. What the device
 * is for is its class's: worker/devices/virtio_net.h. (B2)
 *
 * Under the platform lock (worker/device.h).
 */
#include <stdbool.h>
#include <stdint.h>

#include "worker/devices/virtq.h"

#define VIRTIO_QUEUES_MAX 9 /* of a network device with four pairs and its control queue */

struct virtio_class {
	uint32_t id;		  /* virtio device ID */
	unsigned int config_size; /* bytes */
	/* The guest's driver is there: queues may be used. */
	void (*start)(void *dev);
	/* It is gone. Nothing of the guest's memory may be touched any more. */
	void (*stop)(void *dev);
	/* Whether memory of before stop() is still in use: Status does not read 0 until it is not. NULL: never. */
	bool (*lingers)(void *dev);
	/* Queue @n may have new chains. Only between start and stop. */
	void (*doorbell)(void *dev, unsigned int n);
};

/* The hardware that carries the registers. */
struct virtio_host {
	/* VIRTIO_MMIO_INT_* @bits have been set in InterruptStatus; 0: it has become zero. */
	void (*interrupt)(void *ctx, uint32_t bits);
	/* Whether it may master the bus: without it no queue is looked at. */
	bool (*master)(void *ctx);
};

/* Private but to virtio.c. A class sets the three after dev, once virtio_init() is through, uses vq[] and looks at driver_features. */
struct virtio {
	const struct virtio_class *class;
	void *dev;	     /* the class's */
	const void *config;  /* the configuration space, which the guest only reads */
	uint64_t features;   /* of the class; those of the transport and the queues are added */
	unsigned int queues; /* up to VIRTIO_QUEUES_MAX */
	const struct dma *dma;
	const struct virtio_host *host;
	void *ctx; /* the host's */

	struct virtq vq[VIRTIO_QUEUES_MAX];
	struct {
		uint64_t desc, avail, used; /* as the driver has set them */
	} at[VIRTIO_QUEUES_MAX];
	uint32_t status; /* VIRTIO_CONFIG_S_* */
	uint32_t isr;
	uint64_t driver_features;
	uint32_t device_sel, driver_sel, queue_sel;
	uint32_t generation; /* of the configuration space */
	bool started;	     /* the class's start has been called last */
};

/* Makes @v a device of @class after a reset. All that is pointed to must outlive it. */
void virtio_init(struct virtio *v, const struct virtio_class *class, void *dev,
		 const struct dma *dma, const struct virtio_host *host, void *ctx);

/* What writing 0 to Status does. */
void virtio_reset(struct virtio *v);

/* The register at @off; a hole reads zero. Of the configuration space any aligned longword. */
uint32_t virtio_read(struct virtio *v, uint32_t off);
void virtio_write(struct virtio *v, uint32_t off, uint32_t val);

/* The guest's doorbell for queue @n, which may be any number. */
void virtio_doorbell(struct virtio *v, uint32_t n);

/* The driver is there and queue @n is usable at this moment. */
bool virtio_usable(const struct virtio *v, unsigned int n);

/* Bus mastership has come back: look at every queue. */
void virtio_resume(struct virtio *v);

/* Both sides have agreed on feature bit @bit. */
bool virtio_has(const struct virtio *v, unsigned int bit);

/* Interrupt for queue @n if the guest wants to know of what has been pushed; a broken queue shows (2.1.2). */
void virtio_pushed(struct virtio *v, unsigned int n);

/* The configuration space has changed. */
void virtio_config_changed(struct virtio *v);

#endif
