/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_BIMODAL_H
#define WORKER_DEVICES_BIMODAL_H

/*
 * What makes a device bimodal, whatever old part it is (B3 to B5): how its high-performance mode is identified and
 * enabled, what becomes of the legacy mode then, and the registers of include/plinth/bimodal.h, behind which is a
 * virtio device. The old part says where its reserved registers, bits and sequences are.
 *
 * Under the platform lock (worker/device.h).
 */
#include "include/plinth/bimodal.h"
#include "worker/devices/virtio.h"

#define BIMODAL_KEYS 3 /* steps of a handshake, values of a sequence */

/* What a device is to be; its user's choice. */
struct bimodal_config {
	bool on; /* false: the old part, to the last bit */
	enum bimodal_identify identify;
	enum bimodal_enable enable;
	enum bimodal_relation relation;
};

/* What the old part does for it. */
struct bimodal_part {
	/* The mode has begun or ended: b->enabled says which. */
	void (*switched)(void *part);
	/* As struct virtio_host's, after the status page has been written. */
	void (*interrupt)(void *part, uint32_t bits);
	bool (*master)(void *part);
	uint32_t none;		   /* what a register reads that is not there */
	const uint32_t *handshake; /* BIMODAL_KEYS values for bimodal_handshake() ... */
	const uint32_t *sequence;  /* ... and for bimodal_sequence() */
};

/* Private but for cfg and enabled, which are to be read only. */
struct bimodal {
	struct bimodal_config cfg;
	bool enabled;
	bool identified; /* ID answers */
	const struct bimodal_part *part;
	void *dev; /* the part */
	const struct dma *dma;
	struct virtio *v;
	unsigned int shaken, keyed; /* values of the handshake and of the sequence that have come */
	uint32_t select;
	uint32_t status_page;
	uint32_t *status; /* its mapping; NULL: none, or no memory there */
};

/* What virtio_init() or a class's init is to be given, with the struct bimodal as its ctx. */
extern const struct virtio_host bimodal_virtio_host;

/* All that is pointed to must outlive @b. The virtio device is made by the caller, after this. */
void bimodal_init(struct bimodal *b, const struct bimodal_config *cfg,
		  const struct bimodal_part *part, void *dev, const struct dma *dma,
		  struct virtio *v);

/* A reset of the device, of whatever kind: legacy mode, not identified, nothing of the guest's memory in use. */
void bimodal_reset(struct bimodal *b);

/* Register @reg of include/plinth/bimodal.h, any number. Only a bimodal device is read. */
uint32_t bimodal_read(struct bimodal *b, unsigned int reg);
void bimodal_write(struct bimodal *b, unsigned int reg, uint32_t val);

/* No value of a handshake or a sequence: begins both anew. */
#define BIMODAL_NO_KEY UINT32_MAX

/* The next harmless command of what may be the handshake, as a number. */
void bimodal_handshake(struct bimodal *b, uint32_t val);

/* The next value written where the sequence is. */
void bimodal_sequence(struct bimodal *b, uint32_t val);

/* The reserved bit has been written. */
void bimodal_bit(struct bimodal *b, bool set);

/* The legacy mode moves data, and does anything at all. */
static inline bool bimodal_legacy_data(const struct bimodal *b)
{
	return !b->enabled || b->cfg.relation == BIMODAL_EXTENDS ||
	       b->cfg.relation == BIMODAL_INDEPENDENT;
}

static inline bool bimodal_legacy_registers(const struct bimodal *b)
{
	return !b->enabled || b->cfg.relation != BIMODAL_DISABLES_ALL;
}

#endif
