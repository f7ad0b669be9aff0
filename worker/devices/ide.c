// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include "worker/devices/ide.h"

/* Command block, ATA/ATAPI-6 table 20 */
#define REG_DATA    0
#define REG_FEATURE 1 /* error, when read */
#define REG_COUNT   2
#define REG_LBA	    3 /* low, mid, high */
#define REG_DEVICE  6
#define REG_COMMAND 7 /* status, when read */

#define DIAGNOSTIC 0x90

/* DD7 is pulled down, so that nobody is seen as not busy (ATA/ATAPI-6 table 8); the rest is up. */
#define FLOATING 0x7f

/* Of a bounce buffer this much is kept for the rest of a sector. */
#define BOUNCE_SOFT (ATA_BUF_SIZE - ATA_SECTOR)

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ------------------------------------------------------------------ who is on the wires */

static struct ata_drive *selected(struct ide_channel *ch)
{
	return &ch->drive[ch->selected];
}

/*
 * Whose registers are read. Device 0 answers for a device 1 that is not there (9.16.1); nobody
 * does for a device 0.
 */
static struct ata_drive *answering(struct ide_channel *ch)
{
	return ata_present(selected(ch)) ? selected(ch) : &ch->drive[0];
}

static unsigned int channel_number(const struct ide_channel *ch)
{
	return (unsigned int)(ch - ch->ide->channel);
}

/* The ports are the channel's (290562, 4.1.5 and 4.1.13). */
static bool decoded(const struct ide_channel *ch)
{
	const uint8_t *config = ch->ide->fn.config;

	return config[PCI_COMMAND] & PCI_COMMAND_IO &&
	       config[IDE_IDETIM + 2 * channel_number(ch) + 1] & IDE_IDETIM_DECODE;
}

/* INTRQ as it leaves the cable; the bus master notes its rising edge (290562, 4.2.2). */
static void update_irq(struct ide_channel *ch)
{
	bool level = selected(ch)->intrq && !(ch->control & ATA_NIEN);

	if (level == ch->irq_level)
		return;
	ch->irq_level = level;
	if (level)
		ch->bm_status |= IDE_BM_INTR;
	irq_pin_set(&ch->irq, level);
}

/* ------------------------------------------------------------------ bus master (290562, 4.2) */

static void bm_error(struct ide_channel *ch)
{
	uint8_t *config = ch->ide->fn.config;

	ch->bm_status |= IDE_BM_ERROR;
	ch->bm_status &= (uint8_t)~IDE_BM_ACTIVE;
	config[PCI_STATUS + 1] |= 0x20; /* received master abort */
}

/*
 * Make sure that there is memory left in the present descriptor. False: the table is over, or not
 * to be read. A descriptor is read once, as the part does it.
 */
static bool bm_descriptor(struct ide_channel *ch)
{
	uint8_t prd[8];
	uint32_t count;

	if (ch->bytes)
		return true;
	if (ch->last)
		return false;
	if (!dma_read(ch->ide->dma, ch->prd, prd, sizeof(prd))) {
		bm_error(ch);
		return false;
	}
	ch->prd += sizeof(prd);
	ch->addr = (prd[0] | prd[1] << 8 | prd[2] << 16 | (uint32_t)prd[3] << 24) & ~1u;
	count = (prd[4] | (uint32_t)prd[5] << 8) & ~1u;
	ch->bytes = count ? count : 65536;
	ch->last = prd[7] & 0x80;
	return true;
}

static void bm_consume(struct ide_channel *ch, size_t n)
{
	ch->addr += (uint32_t)n;
	ch->bytes -= (uint32_t)n;
}

/* The table's end has been reached with the last byte. */
static void bm_check_end(struct ide_channel *ch)
{
	if (!ch->bytes && ch->last)
		ch->bm_status &= (uint8_t)~IDE_BM_ACTIVE;
}

/* The piece at @p, of present memory or (@bounced) of buf, goes into the list. */
static void bm_add(struct ide_channel *ch, struct ata_dma *m, uint8_t *p, size_t n, bool bounced)
{
	struct iovec *last = m->iovs ? &m->iov[m->iovs - 1] : NULL;

	m->len += n;
	if (!bounced && last && m->addr[m->iovs - 1] == ATA_MAPPED &&
	    (uint8_t *)last->iov_base + last->iov_len == p) {
		last->iov_len += n;
		return;
	}
	m->addr[m->iovs] = bounced ? ch->addr : ATA_MAPPED;
	m->iov[m->iovs++] = (struct iovec){ p, n };
}

/* Take at most @n bytes from the present descriptor. False: there is no memory to read from. */
static bool bm_take(struct ide_channel *ch, struct ata_drive *d, size_t n)
{
	struct ata_dma *m = &d->mem;
	uint8_t *p = dma_map(ch->ide->dma, ch->addr, n);
	bool bounced = !p;

	if (bounced) {
		if (m->bounced < BOUNCE_SOFT)
			n = min_size(n, BOUNCE_SOFT - m->bounced);
		p = d->buf + m->bounced;
		m->bounced += n;
		if (d->dma_out && !dma_read(ch->ide->dma, ch->addr, p, n)) {
			bm_error(ch);
			return false;
		}
	}
	bm_add(ch, m, p, n, bounced);
	bm_consume(ch, n);
	return true;
}

/*
 * Find memory for @want bytes, or for as many whole sectors of it as there are descriptors, places
 * in the list and room to bounce.
 */
static void bm_gather(struct ide_channel *ch, struct ata_drive *d, size_t want)
{
	struct ata_dma *m = &d->mem;
	size_t n;

	m->iovs = 0;
	m->len = 0;
	m->bounced = 0;
	while (m->len < want && bm_descriptor(ch)) {
		n = min_size(want - m->len, ch->bytes);
		/* When little is left, only up to the end of the sector that has been begun. */
		if (m->iovs >= ATA_IOVS_SOFT || m->bounced >= BOUNCE_SOFT) {
			if (m->len % ATA_SECTOR == 0)
				return;
			n = min_size(n, ATA_SECTOR - m->len % ATA_SECTOR);
		}
		if (!bm_take(ch, d, n))
			return;
	}
}

/* Take what goes beyond whole sectors back out of the list. */
static void bm_trim(struct ata_dma *m)
{
	size_t extra = m->len % ATA_SECTOR;

	m->len -= extra;
	while (extra) {
		struct iovec *v = &m->iov[m->iovs - 1];
		size_t n = min_size(extra, v->iov_len);

		v->iov_len -= n;
		extra -= n;
		m->iovs -= !v->iov_len;
	}
}

/*
 * Between memory and the medium. When the table ends before the drive is content, what it has is
 * moved, and the drive waits for more: for ever, unless the host sees to it (4.2.2, table 10).
 */
static void bm_move_medium(struct ide_channel *ch, struct ata_drive *d)
{
	bm_gather(ch, d, ata_dma_want(d));
	bm_trim(&d->mem);
	if (!d->mem.len) {
		bm_check_end(ch);
		return;
	}
	ch->mover = d;
	ata_dma_medium(d);
}

/* Between memory and the drive's buffer. */
static void bm_move_buffer(struct ide_channel *ch, struct ata_drive *d)
{
	const struct dma *dma = ch->ide->dma;
	uint8_t *p = d->buf + d->buf_pos;
	size_t want = ata_dma_want(d), moved = 0, n;
	bool ok = true;

	while (moved < want && bm_descriptor(ch)) {
		n = min_size(want - moved, ch->bytes);
		if (d->dma_out)
			ok = dma_read(dma, ch->addr, p + moved, n);
		else
			ok = dma_write(dma, ch->addr, p + moved, n);
		if (!ok) {
			bm_error(ch);
			break;
		}
		moved += n;
		/* An odd end takes a word all the same. */
		bm_consume(ch, n + (n & 1));
	}
	bm_check_end(ch);
	ata_dma_buffer(d, moved);
}

static bool bm_runs(const struct ide_channel *ch)
{
	return ch->bm_cmd & IDE_BM_START && ch->bm_status & IDE_BM_ACTIVE &&
	       ch->ide->fn.config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

/* Whether DMARQ of @d meets a bus master that is set up for it. */
static bool bm_wanted(const struct ide_channel *ch, const struct ata_drive *d)
{
	bool to_memory = ch->bm_cmd & IDE_BM_READ;

	return d->phase == ATA_DMA && bm_runs(ch) && !ch->mover && to_memory != d->dma_out;
}

/* After anything that may have changed a drive: move data, then the pin. */
static void settle(struct ide_channel *ch)
{
	struct ata_drive *d = selected(ch);

	if (ch->settling)
		return;
	ch->settling = true;
	if (ch->mover && ch->mover->req_stale)
		ch->mover = NULL; /* it was reset */
	while (bm_wanted(ch, d)) {
		if (d->dma_buf)
			bm_move_buffer(ch, d);
		else
			bm_move_medium(ch, d);
	}
	ch->settling = false;
	for (unsigned int i = 0; i < IDE_UNITS; i++)
		ide_fast_settle(ch->ide, IDE_UNITS * channel_number(ch) + i);
	update_irq(ch);
}

/* At the end of an access: what a back end had at once. */
static void collect(struct ide_channel *ch)
{
	for (unsigned int i = 0; i < IDE_UNITS; i++)
		if (ch->drive[i].req_busy)
			block_collect(ch->drive[i].blk);
}

static struct ide_channel *channel_of(struct ata_cable *cable)
{
	return (struct ide_channel *)((char *)cable - offsetof(struct ide_channel, cable));
}

static void cable_changed(struct ata_cable *cable, struct ata_drive *d)
{
	(void)d;
	settle(channel_of(cable));
}

/* Bring what was read to buf, of the first @len bytes, to where it belongs. */
static void bm_scatter(struct ide_channel *ch, const struct ata_dma *m, size_t len)
{
	for (unsigned int i = 0; i < m->iovs && len; i++) {
		const struct iovec *v = &m->iov[i];
		size_t n = min_size(len, v->iov_len);

		if (m->addr[i] != ATA_MAPPED &&
		    !dma_write(ch->ide->dma, m->addr[i], v->iov_base, n))
			bm_error(ch);
		len -= n;
	}
}

static void cable_moved(struct ata_cable *cable, struct ata_drive *d, size_t len)
{
	struct ide_channel *ch = channel_of(cable);

	if (!d->dma_out && d->mem.bounced)
		bm_scatter(ch, &d->mem, len);
	if (ch->mover != d)
		return; /* stopped, or reset, and perhaps started anew */
	ch->mover = NULL;
	if (len == d->mem.len)
		bm_check_end(ch);
}

static void bm_start(struct ide_channel *ch)
{
	ch->bm_status |= IDE_BM_ACTIVE;
	ch->prd = ch->bm_prd;
	ch->bytes = 0;
	ch->last = false;
	ch->mover = NULL;
}

static void bm_stop(struct ide_channel *ch)
{
	ch->bm_status &= (uint8_t)~IDE_BM_ACTIVE;
	ch->bytes = 0;
	ch->last = false;
	ch->mover = NULL;
}

static void bm_write_command(struct ide_channel *ch, uint8_t val)
{
	bool was = ch->bm_cmd & IDE_BM_START, start = val & IDE_BM_START;

	ch->bm_cmd = val & (IDE_BM_START | IDE_BM_READ);
	if (start && !was)
		bm_start(ch);
	else if (!start && was)
		bm_stop(ch);
	settle(ch);
}

static void bm_write_status(struct ide_channel *ch, uint8_t val)
{
	uint8_t cleared = val & (IDE_BM_ERROR | IDE_BM_INTR);

	ch->bm_status = (ch->bm_status & (uint8_t) ~(cleared | IDE_BM_CAP)) | (val & IDE_BM_CAP);
}

static void bm_write_byte(void *dev, unsigned int off, uint8_t val)
{
	struct ide *ide = dev;
	struct ide_channel *ch = &ide->channel[off >> 3 & 1];
	unsigned int shift = 8 * (off & 3);

	switch (off & 7) {
	case IDE_BM_CMD:
		bm_write_command(ch, val);
		break;
	case IDE_BM_STATUS:
		bm_write_status(ch, val);
		break;
	case BIMODAL_PIIX4_DOORBELL(0):
	case BIMODAL_PIIX4_DOORBELL(1):
		ide_fast_doorbell(ide, IDE_UNITS * (off >> 3 & 1) + (off >> 1 & 1));
		break;
	case IDE_BM_PRD:
	case IDE_BM_PRD + 1:
	case IDE_BM_PRD + 2:
	case IDE_BM_PRD + 3:
		ch->bm_prd = (ch->bm_prd & ~(0xffu << shift)) | (uint32_t)val << shift;
		ch->bm_prd &= ~3u;
		break;
	}
}

static uint8_t bm_read_byte(void *dev, unsigned int off)
{
	struct ide *ide = dev;
	const struct ide_channel *ch = &ide->channel[off >> 3 & 1];

	switch (off & 7) {
	case IDE_BM_CMD:
		return ch->bm_cmd;
	case IDE_BM_STATUS:
		return ch->bm_status;
	case IDE_BM_PRD:
	case IDE_BM_PRD + 1:
	case IDE_BM_PRD + 2:
	case IDE_BM_PRD + 3:
		return (uint8_t)(ch->bm_prd >> 8 * (off & 3));
	}
	return 0;
}

static uint64_t bm_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(bm_read_byte, dev, off, size);
}

static void bm_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct ide *ide = dev;

	dev_write_bytes(bm_write_byte, dev, off, size, val);
	for (unsigned int i = 0; i < IDE_CHANNELS; i++)
		collect(&ide->channel[i]);
}

const struct device_ops ide_bm_ops = { .read = bm_read, .write = bm_write };

/* ------------------------------------------------------------------ command block */

/* Registers that are written while a drive is busy or moves data are not taken (7.2 and on). */
static struct ata_taskfile *open_taskfile(struct ata_drive *d)
{
	return ata_present(d) && d->phase == ATA_IDLE ? &d->tf : NULL;
}

static void write_taskfile(struct ata_taskfile *tf, unsigned int off, uint8_t val)
{
	switch (off) {
	case REG_FEATURE:
		tf->hob_feature = tf->feature;
		tf->feature = val;
		break;
	case REG_COUNT:
		tf->hob_count = tf->count;
		tf->count = val;
		break;
	case REG_LBA:
	case REG_LBA + 1:
	case REG_LBA + 2:
		tf->hob_lba[off - REG_LBA] = tf->lba[off - REG_LBA];
		tf->lba[off - REG_LBA] = val;
		break;
	case REG_DEVICE:
		tf->device = val;
		break;
	}
}

static uint8_t read_taskfile(const struct ata_drive *d, unsigned int off, bool hob)
{
	const struct ata_taskfile *tf = &d->tf;

	switch (off) {
	case REG_FEATURE:
		return d->error;
	case REG_COUNT:
		return hob ? tf->hob_count : tf->count;
	case REG_LBA:
	case REG_LBA + 1:
	case REG_LBA + 2:
		return hob ? tf->hob_lba[off - REG_LBA] : tf->lba[off - REG_LBA];
	default:
		return tf->device;
	}
}

/* Both drives carry it out, whichever is selected; device 0 interrupts (8.9, 9.10). */
static void diagnose(struct ide_channel *ch)
{
	if (selected(ch)->phase != ATA_IDLE ||
	    (ata_present(&ch->drive[0]) && ch->drive[0].phase != ATA_IDLE))
		return;
	for (unsigned int i = 0; i < IDE_UNITS; i++)
		ata_diagnose(&ch->drive[i]);
	ch->selected = 0;
	if (ata_present(&ch->drive[0]))
		ch->drive[0].intrq = !ch->drive[0].sleeping;
}

static void write_command(struct ide_channel *ch, uint8_t val)
{
	if (val == DIAGNOSTIC)
		diagnose(ch);
	else if (ata_present(selected(ch)))
		ata_command(selected(ch), val);
}

/* Everything but the data register. Both drives see what is written. */
static void write_register(struct ide_channel *ch, unsigned int off, uint8_t val)
{
	ch->control &= (uint8_t)~ATA_HOB; /* 7.8.2 */
	if (off == REG_COMMAND) {
		write_command(ch, val);
		return;
	}
	for (unsigned int i = 0; i < IDE_UNITS; i++) {
		struct ata_taskfile *tf = open_taskfile(&ch->drive[i]);

		if (tf)
			write_taskfile(tf, off, val);
	}
	if (off == REG_DEVICE && !(ch->control & ATA_SRST))
		ch->selected = !!(val & ATA_DEV);
}

/* Device 0 says of a device 1 that is not there that it isn't ready, busy or anything. */
static uint8_t read_status(struct ide_channel *ch)
{
	if (ata_present(selected(ch)))
		return ata_status(selected(ch));
	return ata_present(&ch->drive[0]) ? 0 : FLOATING;
}

static uint8_t read_register(struct ide_channel *ch, unsigned int off)
{
	uint8_t status;

	if (off == REG_COMMAND) {
		status = read_status(ch);
		selected(ch)->intrq = false;
		return status;
	}
	if (!ata_present(answering(ch)))
		return FLOATING;
	return read_taskfile(answering(ch), off, ch->control & ATA_HOB);
}

/*
 * The data register is 16 bits wide: 32 are two accesses, and of 8 the upper half is lost. What
 * finds no DRQ reads as a bus that nobody drives.
 */
static void data_in(struct ide_channel *ch, unsigned int size, unsigned int count, uint8_t *data)
{
	size_t len = (size_t)size * count, done = 0;

	if (ata_present(selected(ch)))
		done = ata_data_in(selected(ch), data, len);
	if (done < len)
		memset(data + done, 0xff, len - done);
}

static void data_in_bytes(struct ide_channel *ch, unsigned int count, uint8_t *data)
{
	uint8_t word[2];

	for (; count; count--) {
		data_in(ch, 2, 1, word);
		*data++ = word[0];
	}
}

static void data_out(struct ide_channel *ch, unsigned int size, unsigned int count,
		     const uint8_t *data)
{
	uint8_t word[2] = { 0 };

	if (!ata_present(selected(ch)))
		return;
	if (size > 1) {
		ata_data_out(selected(ch), data, (size_t)size * count);
		return;
	}
	for (; count; count--) {
		word[0] = *data++;
		ata_data_out(selected(ch), word, 2);
	}
}

static void cmd_read_string(void *dev, uint64_t off, unsigned int size, void *buf,
			    unsigned int count)
{
	struct ide_channel *ch = dev;
	uint8_t *p = buf;

	if (off != REG_DATA || !decoded(ch)) {
		for (; count; count--, p += size) {
			uint64_t val = ide_cmd_ops.read(dev, off, size);

			memcpy(p, &val, size);
		}
		return;
	}
	ch->settling = true;
	if (size == 1)
		data_in_bytes(ch, count, p);
	else
		data_in(ch, size, count, p);
	ch->settling = false;
	settle(ch);
	collect(ch);
}

static void cmd_write_string(void *dev, uint64_t off, unsigned int size, const void *buf,
			     unsigned int count)
{
	struct ide_channel *ch = dev;
	const uint8_t *p = buf;

	if (off != REG_DATA || !decoded(ch)) {
		for (; count; count--, p += size) {
			uint64_t val = 0;

			memcpy(&val, p, size);
			ide_cmd_ops.write(dev, off, size, val);
		}
		return;
	}
	ch->settling = true;
	data_out(ch, size, count, p);
	ch->settling = false;
	settle(ch);
	collect(ch);
}

static uint64_t cmd_read(void *dev, uint64_t off, unsigned int size)
{
	struct ide_channel *ch = dev;
	uint64_t val = 0;

	if (!decoded(ch))
		return dev_ones(size);
	if (off == REG_DATA) {
		cmd_read_string(dev, off, size, &val, 1);
		return val;
	}
	for (unsigned int i = 0; i < size; i++)
		val |= (uint64_t)read_register(ch, (unsigned int)off + i) << 8 * i;
	update_irq(ch);
	return val;
}

static void cmd_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct ide_channel *ch = dev;

	if (!decoded(ch))
		return;
	if (off == REG_DATA) {
		cmd_write_string(dev, off, size, &val, 1);
		return;
	}
	ch->settling = true;
	for (unsigned int i = 0; i < size; i++)
		write_register(ch, (unsigned int)off + i, (uint8_t)(val >> 8 * i));
	ch->settling = false;
	settle(ch);
	collect(ch);
}

const struct device_ops ide_cmd_ops = {
	.read = cmd_read,
	.write = cmd_write,
	.read_string = cmd_read_string,
	.write_string = cmd_write_string,
};

/* ------------------------------------------------------------------ control block */

static uint64_t ctl_read(void *dev, uint64_t off, unsigned int size)
{
	struct ide_channel *ch = dev;

	(void)off;
	return decoded(ch) ? read_status(ch) : dev_ones(size);
}

/* SRST is a level: what it begins ends when it is cleared (9.2). */
static void ctl_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct ide_channel *ch = dev;
	uint8_t was = ch->control;

	(void)off;
	(void)size;
	if (!decoded(ch))
		return;
	ch->control = (uint8_t)val & (ATA_HOB | ATA_SRST | ATA_NIEN);
	ch->settling = true;
	for (unsigned int i = 0; i < IDE_UNITS; i++) {
		if (ch->control & ~was & ATA_SRST) {
			ide_fast_reset(ch->ide, IDE_UNITS * channel_number(ch) + i);
			ata_reset(&ch->drive[i], false);
		}
		if (!(ch->control & ATA_SRST))
			ata_release(&ch->drive[i]);
	}
	if (ch->control & ATA_SRST)
		ch->selected = 0;
	ch->settling = false;
	settle(ch);
}

const struct device_ops ide_ctl_ops = { .read = ctl_read, .write = ctl_write };

/* ------------------------------------------------------------------ the function */

void ide_mastership(struct ide *ide)
{
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		settle(&ide->channel[i]);
		collect(&ide->channel[i]);
	}
}

static void config_written(struct pci_function *fn, unsigned int off, unsigned int size)
{
	if (off <= PCI_COMMAND && off + size > PCI_COMMAND)
		ide_mastership(fn->dev);
}

static void init_function(struct ide *ide)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086, .device = 0x7111, .class_code = 0x010180, .revision = 0x01
	};
	struct pci_function *fn = &ide->fn;

	pci_function_init(fn, &ids);
	fn->dev = ide;
	fn->written = config_written;
	pci_function_set_bar(fn, IDE_BM_BAR, PCI_BAR_IO, IDE_BM_PORTS);
	/*
	 * The part has zeroes in bits 16 to 31, as an I/O base may (PCI 3.0, 6.2.5.1). SeaBIOS takes
	 * the complement of all 32 for its size and then finds no room: here they can be written.
	 */
	fn->wmask[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MASTER;
	fn->wmask[PCI_COMMAND + 1] = 0;
	fn->config[PCI_STATUS] = 0x80;	   /* fast back-to-back */
	fn->config[PCI_STATUS + 1] = 0x02; /* medium DEVSEL# */
	fn->w1c[PCI_STATUS + 1] = 0x38;	   /* aborts: received master's and target's, signalled */
	fn->wmask[PCI_CACHE_LINE] = 0;
	fn->wmask[PCI_LATENCY] = 0xf0;
	fn->wmask[PCI_INTERRUPT_LINE] = 0;
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		fn->wmask[IDE_IDETIM + 2 * i] = 0xff;
		fn->wmask[IDE_IDETIM + 2 * i + 1] = 0xf3;
		fn->wmask[IDE_UDMATIM + i] = 0x33;
	}
	fn->wmask[IDE_SIDETIM] = 0xff;
	fn->wmask[IDE_UDMACTL] = 0x0f;
	pci_function_seal(fn);
}

void ide_init(struct ide *ide, const struct dev_clock *clk, const struct dma *dma,
	      const struct irq_pin irq[IDE_CHANNELS])
{
	memset(ide, 0, sizeof(*ide));
	ide->dma = dma;
	init_function(ide);
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		ch->ide = ide;
		ch->irq = irq[i];
		ch->cable = (struct ata_cable){ cable_changed, cable_moved, clk };
		for (unsigned int j = 0; j < IDE_UNITS; j++)
			ata_init(&ch->drive[j], &ch->cable, j);
	}
}

static struct ata_drive *place(const struct ide *ide, unsigned int channel, unsigned int unit)
{
	if (channel >= IDE_CHANNELS || unit >= IDE_UNITS)
		return NULL;
	return (struct ata_drive *)&ide->channel[channel].drive[unit];
}

static const char *name(const char *configured, const char *otherwise)
{
	return configured ? configured : otherwise;
}

/* Unless it is configured, a drive's serial number is its place's: systems name drives by it. */
static int attach(struct ide *ide, unsigned int channel, unsigned int unit, enum ata_kind kind,
		  struct block *blk, const struct ide_drive_config *config, const char *model)
{
	static const struct ide_drive_config defaults;
	static const char *const serials[IDE_CHANNELS][IDE_UNITS] = {
		{ "PL00001", "PL00002" },
		{ "PL00003", "PL00004" },
	};
	struct ata_drive *d = place(ide, channel, unit);

	if (!d)
		return -EINVAL;
	if (d->kind != ATA_NONE)
		return -EBUSY;
	if (!config)
		config = &defaults;
	ata_plug(d, kind, blk, name(config->model, model),
		 name(config->serial, serials[channel][unit]), name(config->firmware, "1.0"));
	return 0;
}

int ide_attach_disk(struct ide *ide, unsigned int channel, unsigned int unit, struct block *blk,
		    const struct ide_drive_config *config)
{
	if (blk->size < ATA_SECTOR)
		return -ENXIO;
	if (blk->size / ATA_SECTOR >= ATA_ADDR_48)
		return -EFBIG;
	return attach(ide, channel, unit, ATA_DISK, blk, config, "PLINTH DISK");
}

int ide_attach_cdrom(struct ide *ide, unsigned int channel, unsigned int unit, struct block *blk,
		     const struct ide_drive_config *config)
{
	return attach(ide, channel, unit, ATA_CDROM, blk, config, "PLINTH CD-ROM");
}

int ide_change_disc(struct ide *ide, unsigned int channel, unsigned int unit, struct block *blk)
{
	struct ata_drive *d = place(ide, channel, unit);

	if (!d || d->kind != ATA_CDROM)
		return -EINVAL;
	if (d->phase != ATA_IDLE || d->req_busy)
		return -EBUSY;
	if (d->cd.locked)
		return -EPERM;
	d->blk = blk;
	atapi_disc_changed(d);
	return 0;
}

void ide_reset(struct ide *ide)
{
	pci_function_reset(&ide->fn);
	for (unsigned int i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		ch->settling = true;
		for (unsigned int j = 0; j < IDE_UNITS; j++) {
			ide_fast_reset(ide, IDE_UNITS * i + j);
			ata_reset(&ch->drive[j], true);
			ata_release(&ch->drive[j]);
		}
		ch->settling = false;
		ch->selected = 0;
		ch->control = 0;
		ch->bm_cmd = ch->bm_status = 0;
		ch->bm_prd = 0;
		bm_stop(ch);
		settle(ch);
	}
}

bool ide_drive_idle(const struct ide *ide, unsigned int channel, unsigned int unit)
{
	const struct ata_drive *d = place(ide, channel, unit);
	const struct ide_fast *f = d ? ide->fast[IDE_UNITS * channel + unit] : NULL;

	return !d || (!d->req_busy && !(f && virtio_blk_busy(&f->blk)));
}

bool ide_idle(const struct ide *ide)
{
	bool idle = true;

	for (unsigned int i = 0; i < IDE_CHANNELS; i++)
		for (unsigned int j = 0; j < IDE_UNITS; j++)
			idle &= ide_drive_idle(ide, i, j);
	return idle;
}

const struct ata_stats *ide_stats(const struct ide *ide, unsigned int channel, unsigned int unit)
{
	const struct ata_drive *d = place(ide, channel, unit);

	return d && d->kind != ATA_NONE ? &d->stats : NULL;
}
