/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_IDE_BIMODAL_H
#define WORKER_DEVICES_IDE_BIMODAL_H

/*
 * The high-performance mode of a disk at the PIIX4's IDE function (B1 to B6; docs/bimodal.md): its registers in the
 * function's configuration space, its doorbell in the bus master's block, and how it shares the disk with the drive.
 *
 * Under the platform lock (worker/device.h).
 */
#include "worker/device.h"
#include "worker/devices/bimodal.h"
#include "worker/devices/virtio_blk.h"

struct ata_drive;
struct ide;

/* What a bimodal disk has besides its drive. Private but for bimodal, blk.stats and the counters. */
struct ide_fast {
	struct ide *ide;
	struct ata_drive *drive;
	unsigned int unit; /* 2 * channel + drive */
	struct bimodal bimodal;
	bool waits; /* the mode has begun within a command of the drive: its queues wait for the end of that */
	uint64_t interrupts; /* messages sent */
	struct virtio_blk blk;
};

/*
 * Give the disk that is plugged in at a place a high-performance mode in the way that @cfg says, with @queues queues, before the
 * machine runs. @f: zeroed memory that outlives @ide. @msi: where its interrupts go. Nothing happens unless cfg->on.
 * Returns 0, or -EINVAL if there is no disk.
 */
int ide_set_bimodal(struct ide *ide, unsigned int channel, unsigned int unit, struct ide_fast *f,
		    const struct bimodal_config *cfg, unsigned int queues, struct msi_port msi);

/* One or more of the doorbells (BIMODAL_PIIX4_DOORBELL) have been written, elsewhere than by ide_bm_ops. */
void ide_doorbells(struct ide *ide);

/* For ide.c: a reset of unit @u; a doorbell of its; the drive's state may have changed. */
void ide_fast_reset(struct ide *ide, unsigned int u);
void ide_fast_doorbell(struct ide *ide, unsigned int u);
void ide_fast_settle(struct ide *ide, unsigned int u);

#endif
