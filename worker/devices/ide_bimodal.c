// SPDX-License-Identifier: GPL-2.0-only
/* The high-performance mode of the PIIX4's disks: how it and the drive share the disk. */
#include <errno.h>
#include <string.h>

#include "worker/devices/ide.h"

#define REGISTERS     BIMODAL_PIIX4(0, 0)
#define REGISTERS_END BIMODAL_PIIX4(BIMODAL_PIIX4_UNITS, 0)
#define STRIDE	      (BIMODAL_PIIX4(1, 0) - BIMODAL_PIIX4(0, 0))

static const uint32_t handshake[BIMODAL_KEYS] = BIMODAL_PIIX4_HANDSHAKE;
static const uint32_t sequence[BIMODAL_KEYS] = BIMODAL_PIIX4_KEYS;

/* ---- what the mode asks of the part ---- */

/* As if the drive were pulled out, but for what a software reset leaves alone. */
static void unplug(struct ata_drive *d)
{
	bool held = d->held;

	ata_reset(d, false);
	if (!held)
		ata_release(d);
}

static void show_bit(struct ide_fast *f)
{
	uint8_t *control = &f->ide->fn.config[IDE_UDMACTL];
	uint8_t bit = BIMODAL_PIIX4_BIT(f->unit);

	if (f->bimodal.cfg.enable != BIMODAL_ENABLE_BIT)
		return;
	*control = f->bimodal.enabled ? *control | bit : *control & (uint8_t)~bit;
}

/* What either mode has begun ends before the other one begins. */
static void switched(void *part)
{
	struct ide_fast *f = part;
	struct ata_drive *d = f->drive;

	show_bit(f);
	f->waits = false;
	if (f->bimodal.enabled) {
		if (!bimodal_legacy_registers(&f->bimodal))
			unplug(d);
		f->waits = d->phase != ATA_IDLE;
	} else if (virtio_blk_busy(&f->blk) && !d->draining) {
		ata_drain(d);
	}
	d->cable->changed(d->cable, d);
}

static void over(void *part)
{
	struct ide_fast *f = part;

	if (f->drive->draining)
		ata_drained(f->drive);
}

static bool masters(const struct ide *ide)
{
	return ide->fn.config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

static bool master(void *part)
{
	const struct ide_fast *f = part;

	return masters(f->ide) && !f->waits;
}

/* The function has no pin: by message, or not at all. */
static void interrupt(void *part, uint32_t bits)
{
	struct ide_fast *f = part;
	uint64_t addr;
	uint32_t data;

	if (!bits || !masters(f->ide) || !pci_function_msi(&f->ide->fn, &addr, &data))
		return;
	f->interrupts++;
	f->ide->msi.send(f->ide->msi.ctx, addr, data);
}

static const struct bimodal_part bimodal_part = {
	.switched = switched,
	.interrupt = interrupt,
	.master = master,
	.none = BIMODAL_PIIX4_NONE,
	.handshake = handshake,
	.sequence = sequence,
};

/* ---- configuration space ---- */

static bool is_register(unsigned int off)
{
	return off >= REGISTERS && off < REGISTERS_END;
}

static struct ide_fast *register_unit(const struct ide *ide, unsigned int off)
{
	return ide->fast[(off - REGISTERS) / STRIDE];
}

static uint32_t config_read(struct pci_function *fn, unsigned int off, unsigned int size,
			    uint32_t val)
{
	struct ide_fast *f;

	if (!is_register(off))
		return val;
	f = register_unit(fn->dev, off);
	return f && size == 4 ? bimodal_read(&f->bimodal, (off - REGISTERS) % STRIDE / 4)
			      : BIMODAL_PIIX4_NONE;
}

static void register_written(struct ide *ide, unsigned int off, unsigned int size)
{
	struct ide_fast *f = register_unit(ide, off);
	uint8_t *config = &ide->fn.config[off];
	uint32_t val = config[0] | config[1] << 8 | config[2] << 16 | (uint32_t)config[3] << 24;

	/* It was merged in order to be seen here; nothing is kept. */
	memset(config, 0, size);
	if (f && size == 4)
		bimodal_write(&f->bimodal, (off - REGISTERS) % STRIDE / 4, val);
}

static void control_written(struct ide *ide)
{
	const uint8_t control = ide->fn.config[IDE_UDMACTL];

	for (unsigned int u = 0; u < BIMODAL_PIIX4_UNITS; u++) {
		if (!ide->fast[u])
			continue;
		bimodal_bit(&ide->fast[u]->bimodal, control & BIMODAL_PIIX4_BIT(u));
		show_bit(ide->fast[u]);
	}
}

static bool covers(unsigned int off, unsigned int size, unsigned int reg)
{
	return off <= reg && off + size > reg;
}

static void config_written(struct pci_function *fn, unsigned int off, unsigned int size)
{
	struct ide *ide = fn->dev;

	if (is_register(off)) {
		register_written(ide, off, size);
	} else if (covers(off, size, IDE_UDMACTL)) {
		control_written(ide);
	} else if (covers(off, size, PCI_COMMAND)) {
		/* Mastership may have come back, to either mode. */
		ide_mastership(ide);
		ide_doorbells(ide);
	}
}

/* ---- the rest of the function ---- */

void ide_fast_doorbell(struct ide *ide, unsigned int u)
{
	struct ide_fast *f = ide->fast[u];

	if (f && f->bimodal.enabled)
		virtio_resume(&f->blk.v);
}

void ide_doorbells(struct ide *ide)
{
	for (unsigned int u = 0; u < BIMODAL_PIIX4_UNITS; u++)
		ide_fast_doorbell(ide, u);
}

void ide_fast_reset(struct ide *ide, unsigned int u)
{
	if (ide->fast[u])
		bimodal_reset(&ide->fast[u]->bimodal);
}

void ide_fast_settle(struct ide *ide, unsigned int u)
{
	struct ide_fast *f = ide->fast[u];

	if (!f || !f->waits || f->drive->phase != ATA_IDLE)
		return;
	f->waits = false;
	/* Not now: this may be within a call of the back end's. */
	virtio_blk_look(&f->blk);
}

/* ---- making ---- */

static void add_to_function(struct ide *ide, const struct ide_fast *f)
{
	struct pci_function *fn = &ide->fn;

	memset(&fn->wmask[BIMODAL_PIIX4(f->unit, 0)], 0xff, 4 * BIMODAL_REGS);
	if (f->bimodal.cfg.enable == BIMODAL_ENABLE_BIT)
		fn->wmask[IDE_UDMACTL] |= BIMODAL_PIIX4_BIT(f->unit);
	if (f->bimodal.cfg.identify == BIMODAL_IDENTIFY_REVISION)
		fn->config[PCI_REVISION_ID] = BIMODAL_PIIX4_REVISION;
	fn->dev = ide;
	fn->read = config_read;
	fn->written = config_written;
	pci_function_add_msi(fn, BIMODAL_PIIX4_MSI);
}

int ide_set_bimodal(struct ide *ide, unsigned int channel, unsigned int unit, struct ide_fast *f,
		    const struct bimodal_config *cfg, unsigned int queues, struct msi_port msi)
{
	struct ata_drive *d;

	if (channel >= IDE_CHANNELS || unit >= IDE_UNITS)
		return -EINVAL;
	d = &ide->channel[channel].drive[unit];
	if (d->kind != ATA_DISK)
		return -EINVAL;
	if (!cfg->on)
		return 0;
	f->ide = ide;
	f->drive = d;
	f->unit = 2 * channel + unit;
	bimodal_init(&f->bimodal, cfg, &bimodal_part, f, ide->dma, &f->blk.v);
	virtio_blk_init(&f->blk, d->cable->clk, ide->dma, &bimodal_virtio_host, &f->bimodal, d->blk,
			d->serial, queues, over, f);
	bimodal_reset(&f->bimodal);
	ide->msi = msi;
	ide->fast[f->unit] = f;
	d->bimodal = &f->bimodal;
	add_to_function(ide, f);
	return 0;
}
