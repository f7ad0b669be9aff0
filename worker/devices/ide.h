/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_IDE_H
#define WORKER_DEVICES_IDE_H

/*
 * The IDE function of the 82371AB (PIIX4, Intel 290562): two channels in legacy mode, each with two
 * drives and a bus master. Its drives are in ata.c and atapi.c.
 *
 * Everything runs under the platform lock (worker/device.h). Nothing waits: what a back end has to
 * do goes on after the register access, and ends in an interrupt from the back end's completion.
 *
 * Wiring: ide_cmd_ops at 0x1f0 (8 ports) with &ide->channel[0] and 0x170 with &ide->channel[1];
 * ide_ctl_ops at 0x3f6 and 0x376 (1 port each) likewise; ide_bm_ops at the 16 ports of BAR 4 of
 * ide->fn, which is for 00:01.1. The ops look at the function's own enables (PCICMD.IOSE,
 * IDETIM.IDE) and read all ones without them.
 */
#include "worker/device.h"
#include "worker/devices/ata.h"
#include "worker/devices/block.h"
#include "worker/devices/dma.h"
#include "worker/devices/ide_bimodal.h"
#include "worker/platform/pcihost.h"

#define IDE_CHANNELS 2
#define IDE_UNITS    2

#define IDE_CMD_PORTS 8
#define IDE_CTL_PORTS 1
#define IDE_BM_PORTS  16
#define IDE_BM_BAR    4

/* Configuration space, 290562 section 4.1 */
#define IDE_IDETIM  0x40 /* two registers of 16 bits: primary, secondary */
#define IDE_SIDETIM 0x44
#define IDE_UDMACTL 0x48
#define IDE_UDMATIM 0x4a

#define IDE_IDETIM_DECODE 0x80 /* bit 15: the channel's ports are decoded */

/* Bus master, 290562 section 4.2; the secondary channel's are 8 further */
#define IDE_BM_CMD    0
#define IDE_BM_STATUS 2
#define IDE_BM_PRD    4 /* 32 bits: the descriptor table */

#define IDE_BM_START 0x01
#define IDE_BM_READ  0x08 /* 1: from the drive to memory */

#define IDE_BM_ACTIVE 0x01
#define IDE_BM_ERROR  0x02 /* write 1 to clear, as */
#define IDE_BM_INTR   0x04
#define IDE_BM_CAP    0x60 /* firmware's notes on which drives do DMA */

struct ide;

struct ide_channel {
	struct ata_cable cable; /* what the drives see */
	struct ide *ide;
	struct ata_drive drive[IDE_UNITS];
	uint8_t selected; /* the DEV bit that was written last */
	uint8_t control;  /* nIEN, SRST, HOB */
	struct irq_pin irq;
	bool irq_level;

	/* The bus master */
	uint8_t bm_cmd, bm_status;
	uint32_t bm_prd; /* as written */
	uint32_t prd;	 /* the next descriptor */
	uint32_t addr;	 /* what is left of the present one */
	uint32_t bytes;
	bool last;		 /* the present descriptor has EOT */
	bool settling;		 /* within ide.c: pins and transfers are seen to at the end */
	struct ata_drive *mover; /* whose transfer uses the present descriptors */
};

struct ide {
	struct pci_function fn; /* 00:01.1 */
	struct ide_channel channel[IDE_CHANNELS];
	const struct dma *dma;
	struct ide_fast *fast[IDE_CHANNELS * IDE_UNITS]; /* NULL: no drive, or one mode only */
	struct msi_port msi;				 /* of those */
};

/* What a drive calls itself. NULL takes a default, the serial number's by place; longer strings are cut. ASCII. */
struct ide_drive_config {
	const char *model;    /* 40 characters */
	const char *serial;   /* 20 */
	const char *firmware; /* 8: the firmware's revision */
};

/*
 * Make @ide a function after PCI reset with no drives. @dma and @clk must outlive it. @irq: the
 * primary (ISA IRQ 14) and the secondary channel's pin (15), active high, for an edge-triggered
 * input.
 */
void ide_init(struct ide *ide, const struct dev_clock *clk, const struct dma *dma,
	      const struct irq_pin irq[IDE_CHANNELS]);

/*
 * Plug a drive in, before the machine runs. @blk is the caller's and must outlive @ide. Returns 0,
 * -EINVAL (no such place), -EBUSY (taken), or for a disk -EFBIG (2^48 sectors or more) and -ENXIO
 * (less than one sector).
 */
int ide_attach_disk(struct ide *ide, unsigned int channel, unsigned int unit, struct block *blk,
		    const struct ide_drive_config *config);
/* @blk is read-only to the drive whatever it says; with no_medium set the drive is empty. */
int ide_attach_cdrom(struct ide *ide, unsigned int channel, unsigned int unit, struct block *blk,
		     const struct ide_drive_config *config);

/*
 * Another disc: @blk takes the place of the one before, whose requests must be over
 * (ide_drive_idle()). The tray opens and closes: the guest sees a unit attention. Returns 0,
 * -EINVAL (no CD-ROM there), -EBUSY (not idle) or -EPERM (the guest has locked the tray).
 */
int ide_change_disc(struct ide *ide, unsigned int channel, unsigned int unit, struct block *blk);

/*
 * PCI reset: the function, both channels and all drives, which are in legacy mode then. Requests under
 * way go on: their drives stay busy and drop the results; see ide_idle().
 */
void ide_reset(struct ide *ide);

/*
 * No back end has a request. Memory of the guest is not touched then until the guest starts
 * something: to be waited for before a reset of the machine hands memory to somebody else, and
 * before a back end is closed.
 */
bool ide_idle(const struct ide *ide);
bool ide_drive_idle(const struct ide *ide, unsigned int channel, unsigned int unit);

/* For ide_bimodal.c: PCICMD was written. Bus masters that were started without mastership go on if they have it now. */
void ide_mastership(struct ide *ide);

/* The counters of a drive; NULL if there is none. */
const struct ata_stats *ide_stats(const struct ide *ide, unsigned int channel, unsigned int unit);

/* @dev of the first two: struct ide_channel *. */
extern const struct device_ops ide_cmd_ops; /* IDE_CMD_PORTS ports; strings in one call */
extern const struct device_ops ide_ctl_ops; /* IDE_CTL_PORTS */
extern const struct device_ops ide_bm_ops;  /* IDE_BM_PORTS; @dev: struct ide * */

#endif
