// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include "worker/devices/ata.h"

#define READY	 (ATA_DRDY | ATA_DSC)
#define DMA_MAX	 (1u << 20) /* bytes per request: what an error makes us try sector by sector */
#define PATIENCE (2 * DEV_NS_PER_SEC)
#define COUNT_28 256u
#define COUNT_48 65536u

#define SMART_LBA_MID  0x4f
#define SMART_LBA_HIGH 0xc2

#define POWER_STANDBY 0x00
#define POWER_IDLE    0x80
#define POWER_ACTIVE  0xff

#define MINUTE (60 * DEV_NS_PER_SEC)

/* What a command takes and does with data; the rest is its function's affair. */
#define EXT   0x01
#define WRITE 0x02
#define DMA   0x04
#define MULT  0x08
#define FUA   0x10

struct command {
	void (*run)(struct ata_drive *d);
	uint8_t flags;
	uint8_t stat;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ------------------------------------------------------------------ the end of a command */

static void account(struct ata_drive *d, bool error)
{
	uint64_t ns = dev_now(d->cable->clk) - d->started;

	d->stats.kind[d->stat].requests++;
	d->stats.kind[d->stat].errors += error;
	d->stats.kind[d->stat].ns_total += ns;
	if (ns > d->stats.kind[d->stat].ns_max)
		d->stats.kind[d->stat].ns_max = ns;
}

/* What the registers are to show is shown when the other mode's requests are over. */
static void put_off(struct ata_drive *d, uint8_t status, uint8_t error, bool intrq)
{
	d->late = true;
	d->late_status = status;
	d->late_error = error;
	d->late_intrq = intrq;
	d->phase = ATA_WAIT;
	d->status = ATA_BSY | READY;
	d->intrq = false;
}

static void show(struct ata_drive *d, uint8_t status, uint8_t error, bool intrq)
{
	d->phase = ATA_IDLE;
	d->status = status;
	d->error = error;
	d->intrq = intrq;
}

void ata_ready(struct ata_drive *d, uint8_t status, uint8_t error, bool intrq)
{
	account(d, status & ATA_ERR);
	if (d->draining)
		put_off(d, READY | status, error, intrq);
	else
		show(d, READY | status, error, intrq);
	d->cable->changed(d->cable, d);
}

static void done(struct ata_drive *d)
{
	ata_ready(d, 0, 0, true);
}

/* After the last word of a PIO read no interrupt follows (9.5). */
static void done_in(struct ata_drive *d)
{
	ata_ready(d, 0, 0, d->intrq);
}

static void fail(struct ata_drive *d, uint8_t error)
{
	ata_ready(d, ATA_ERR, error, true);
}

static void abort_command(struct ata_drive *d)
{
	fail(d, ATA_ABRT);
}

/* ------------------------------------------------------------------ addresses */

static uint64_t native_max(const struct ata_drive *d)
{
	return d->blk->size / ATA_SECTOR;
}

static uint64_t lba_28(const struct ata_drive *d)
{
	const struct ata_taskfile *tf = &d->tf;

	return (uint64_t)(tf->device & 15) << 24 | (uint64_t)tf->lba[2] << 16 | tf->lba[1] << 8 |
	       tf->lba[0];
}

static uint64_t lba_48(const struct ata_drive *d)
{
	const struct ata_taskfile *tf = &d->tf;
	uint64_t high = (uint64_t)tf->hob_lba[2] << 16 | tf->hob_lba[1] << 8 | tf->hob_lba[0];

	return high << 24 | (uint64_t)tf->lba[2] << 16 | tf->lba[1] << 8 | tf->lba[0];
}

/* The first sector that the registers name, by LBA or by cylinder, head and sector (6.2). */
static bool address(const struct ata_drive *d, uint64_t *lba)
{
	unsigned int cyl = (unsigned int)d->tf.lba[2] << 8 | d->tf.lba[1];
	unsigned int head = d->tf.device & 15, sector = d->tf.lba[0];

	if (d->ext) {
		*lba = lba_48(d);
		return true;
	}
	if (d->tf.device & ATA_LBA) {
		*lba = lba_28(d);
		return true;
	}
	if (!sector || sector > d->spt || head >= d->heads || cyl >= d->cylinders)
		return false;
	*lba = ((uint64_t)cyl * d->heads + head) * d->spt + sector - 1;
	return true;
}

static void put_lba(struct ata_drive *d, uint64_t lba)
{
	for (unsigned int i = 0; i < 3; i++)
		d->tf.lba[i] = (uint8_t)(lba >> 8 * i);
	if (!d->ext) {
		d->tf.device = (d->tf.device & 0xf0) | (lba >> 24 & 15);
		return;
	}
	for (unsigned int i = 0; i < 3; i++)
		d->tf.hob_lba[i] = (uint8_t)(lba >> (24 + 8 * i));
}

/* Put @lba where the command had its address, in the same form. */
static void put_address(struct ata_drive *d, uint64_t lba)
{
	uint64_t track = lba / d->spt;
	uint64_t cyl = track / d->heads;

	if (d->ext || d->tf.device & ATA_LBA) {
		put_lba(d, lba);
		return;
	}
	d->tf.lba[0] = (uint8_t)(lba % d->spt + 1);
	d->tf.lba[1] = (uint8_t)cyl;
	d->tf.lba[2] = (uint8_t)(cyl >> 8);
	d->tf.device = (d->tf.device & 0xf0) | (track % d->heads & 15);
}

static unsigned int sector_count(const struct ata_drive *d)
{
	unsigned int n = d->tf.count;

	if (!d->ext)
		return n ? n : COUNT_28;
	n |= (unsigned int)d->tf.hob_count << 8;
	return n ? n : COUNT_48;
}

static void put_count(struct ata_drive *d, uint64_t n)
{
	d->tf.count = (uint8_t)n;
	d->tf.hob_count = (uint8_t)(n >> 8);
}

/* ------------------------------------------------------------------ requests */

static void end_reset(struct ata_drive *d);

static void request_done(struct block_request *req, int ret)
{
	struct ata_drive *d = req->dev;

	d->req_busy = false;
	if (!d->req_stale) {
		d->after(d, ret);
		return;
	}
	/* What it belonged to was reset meanwhile, and the reset waited for this. */
	d->req_stale = false;
	end_reset(d);
	d->cable->changed(d->cable, d);
}

static void submit_iov(struct ata_drive *d, enum block_op op, uint64_t pos, const struct iovec *iov,
		       unsigned int iovs, void (*after)(struct ata_drive *d, int ret))
{
	d->phase = ATA_WAIT;
	d->status = ATA_BSY | READY;
	d->after = after;
	d->submitted = dev_now(d->cable->clk);
	d->req_busy = true;
	d->req = (struct block_request){
		.op = op,
		.offset = pos,
		.iov = iov,
		.iovs = iovs,
		.done = request_done,
		.dev = d,
	};
	block_submit(d->blk, &d->req);
}

void ata_submit(struct ata_drive *d, enum block_op op, uint64_t pos, void *buf, size_t len,
		void (*after)(struct ata_drive *d, int ret))
{
	d->req_iov = (struct iovec){ buf, len };
	submit_iov(d, op, pos, len ? &d->req_iov : NULL, len ? 1 : 0, after);
}

static void flushed(struct ata_drive *d, int ret)
{
	if (ret)
		ata_ready(d, ATA_ERR | ATA_DF, ATA_ABRT, true);
	else
		done(d);
}

/* The end of what has to be durable. */
static void flush(struct ata_drive *d)
{
	ata_submit(d, BLOCK_FLUSH, 0, NULL, 0, flushed);
}

/* ------------------------------------------------------------------ blocks of the data register */

static void block(struct ata_drive *d, enum ata_phase phase, bool intrq)
{
	size_t len = min_u64(d->block_size, d->buf_len - d->buf_pos);

	d->block_end = d->buf_pos + len;
	d->phase = phase;
	d->status = READY | ATA_DRQ;
	d->intrq = intrq;
	if (d->packet_data)
		atapi_block(d, len);
	d->cable->changed(d->cable, d);
}

void ata_send(struct ata_drive *d, size_t len)
{
	d->buf_pos = 0;
	d->buf_len = len;
	block(d, ATA_PIO_IN, true);
}

void ata_receive(struct ata_drive *d, size_t len, bool intrq, void (*filled)(struct ata_drive *d))
{
	d->buf_pos = 0;
	d->buf_len = len;
	d->filled = filled;
	block(d, ATA_PIO_OUT, intrq);
}

static void transfer_next(struct ata_drive *d);
static void transfer_fail(struct ata_drive *d, int ret);

static void block_in_over(struct ata_drive *d)
{
	int failed = d->failed;

	if (d->buf_pos < d->buf_len) {
		block(d, ATA_PIO_IN, true);
	} else if (failed) {
		d->failed = 0;
		transfer_fail(d, failed);
	} else if (d->left) {
		transfer_next(d);
	} else {
		d->end(d);
	}
}

static void block_out_over(struct ata_drive *d)
{
	if (d->buf_pos < d->buf_len)
		block(d, ATA_PIO_OUT, true);
	else
		d->filled(d);
}

size_t ata_data_in(struct ata_drive *d, uint8_t *data, size_t len)
{
	size_t moved = 0;

	while (moved < len && d->phase == ATA_PIO_IN) {
		size_t n = min_u64(len - moved, d->block_end - d->buf_pos);

		memcpy(data + moved, d->buf + d->buf_pos, n);
		d->buf_pos += n;
		/* The bus moves words: an odd block has a byte of padding behind it. */
		if (n & 1)
			data[moved + n++] = 0;
		moved += n;
		if (d->buf_pos == d->block_end)
			block_in_over(d);
	}
	d->stats.pio_bytes += moved;
	return moved;
}

size_t ata_data_out(struct ata_drive *d, const uint8_t *data, size_t len)
{
	size_t moved = 0;

	while (moved < len && d->phase == ATA_PIO_OUT) {
		size_t n = min_u64(len - moved, d->block_end - d->buf_pos);

		memcpy(d->buf + d->buf_pos, data + moved, n);
		d->buf_pos += n;
		moved += n + (n & 1);
		if (d->buf_pos == d->block_end)
			block_out_over(d);
	}
	d->stats.pio_bytes += moved;
	return moved;
}

/* ------------------------------------------------------------------ transfers from the medium */

/* Copy between a sector and byte @at of the memory that the bus master found. */
static void copy_mem(struct ata_drive *d, size_t at, uint8_t *sector, bool to_mem)
{
	size_t left = ATA_SECTOR;

	for (unsigned int i = 0; i < d->mem.iovs && left; i++) {
		const struct iovec *v = &d->mem.iov[i];
		size_t n;

		if (at >= v->iov_len) {
			at -= v->iov_len;
			continue;
		}
		n = min_u64(left, v->iov_len - at);
		if (to_mem)
			memcpy((uint8_t *)v->iov_base + at, sector, n);
		else
			memcpy(sector, (uint8_t *)v->iov_base + at, n);
		sector += n;
		left -= n;
		at = 0;
	}
}

static void count_bytes(struct ata_drive *d, size_t n)
{
	d->pos += n;
	d->left -= n;
	d->stats.kind[d->stat].bytes += n;
}

/* The registers name the last sector that was moved. */
static void put_last(struct ata_drive *d)
{
	put_address(d, (d->pos - 1) / ATA_SECTOR);
	put_count(d, 0);
}

static void done_read(struct ata_drive *d)
{
	put_last(d);
	done_in(d);
}

static void end_of_medium(struct ata_drive *d)
{
	if (d->kind == ATA_DISK)
		put_last(d);
	if (d->flush_after)
		flush(d);
	else
		d->end(d);
}

static void transfer_ok(struct ata_drive *d)
{
	count_bytes(d, d->chunk);
	switch (d->xfer) {
	case ATA_XFER_IN:
		ata_send(d, d->chunk);
		return;
	case ATA_XFER_DMA:
		d->stats.dma_bytes += d->chunk;
		d->cable->moved(d->cable, d, d->chunk);
		break;
	default:
		break;
	}
	if (d->left)
		transfer_next(d);
	else
		end_of_medium(d);
}

/* The registers tell where it happened and what is left (8.27.6 and the like). */
static void transfer_fail(struct ata_drive *d, int ret)
{
	if (d->kind == ATA_CDROM) {
		atapi_failed(d, ret);
		return;
	}
	put_address(d, d->pos / ATA_SECTOR);
	put_count(d, d->left / ATA_SECTOR);
	switch (ret) {
	case -ERANGE:
		fail(d, ATA_IDNF);
		break;
	case -EROFS:
		fail(d, ATA_ABRT);
		break;
	case -EIO:
		if (!d->write)
			fail(d, ATA_UNC);
		else
			ata_ready(d, ATA_ERR | ATA_DF, ATA_IDNF, true);
		break;
	default: /* no space, no server: not this sector's fault */
		ata_ready(d, ATA_ERR | ATA_DF, ATA_ABRT, true);
		break;
	}
}

static void narrow_fail(struct ata_drive *d, int ret)
{
	size_t good = d->narrow;

	count_bytes(d, good);
	if (d->xfer == ATA_XFER_DMA)
		d->cable->moved(d->cable, d, good);
	/* Whole blocks that came before it are for the host; one with an error in it is not. */
	if (d->xfer == ATA_XFER_IN && d->kind == ATA_DISK && good >= d->block_size) {
		d->failed = ret;
		ata_send(d, good - good % d->block_size);
		return;
	}
	transfer_fail(d, ret);
}

static void narrow_next(struct ata_drive *d);

static void narrow_done(struct ata_drive *d, int ret)
{
	if (ret) {
		narrow_fail(d, ret);
		return;
	}
	if (d->xfer == ATA_XFER_DMA && !d->write)
		copy_mem(d, d->narrow, d->sector, true);
	d->narrow += ATA_SECTOR;
	if (d->narrow == d->chunk)
		transfer_ok(d); /* the back end thought better of it */
	else
		narrow_next(d);
}

/* One sector of the chunk that failed. */
static void narrow_next(struct ata_drive *d)
{
	uint8_t *p = d->xfer == ATA_XFER_DMA ? d->sector : d->buf + d->narrow;

	if (d->xfer == ATA_XFER_DMA && d->write)
		copy_mem(d, d->narrow, p, false);
	ata_submit(d, d->write ? BLOCK_WRITE : BLOCK_READ, d->pos + d->narrow, p, ATA_SECTOR,
		   narrow_done);
}

/*
 * Errors of single sectors are looked for; the others would only come again. So would what took
 * the back end seconds: a server that is gone, and the host's driver does not wait for ever.
 */
static bool worth_narrowing(const struct ata_drive *d, int ret)
{
	return d->chunk > ATA_SECTOR && (ret == -EIO || (ret == -ENOSPC && d->write)) &&
	       dev_now(d->cable->clk) - d->submitted < PATIENCE;
}

static void transfer_done(struct ata_drive *d, int ret)
{
	if (!ret) {
		transfer_ok(d);
		return;
	}
	d->narrow = 0;
	if (worth_narrowing(d, ret))
		narrow_next(d);
	else
		narrow_fail(d, ret);
}

static void transfer_filled(struct ata_drive *d)
{
	ata_submit(d, BLOCK_WRITE, d->pos, d->buf, d->chunk, transfer_done);
}

static void transfer_next(struct ata_drive *d)
{
	uint64_t there = d->limit > d->pos ? d->limit - d->pos : 0;
	uint64_t avail = min_u64(d->left, there);

	/* A block that does not lie on the medium to its end is not begun. */
	if (avail < d->left && d->xfer != ATA_XFER_DMA && d->kind == ATA_DISK)
		avail -= avail % d->block_size;
	if (!avail) {
		d->pos += there;
		d->left -= min_u64(d->left, there);
		transfer_fail(d, -ERANGE);
		return;
	}
	d->chunk = min_u64(avail, d->xfer == ATA_XFER_DMA ? DMA_MAX : ATA_BUF_SIZE);
	switch (d->xfer) {
	case ATA_XFER_OUT:
		/* The first block of a command is not asked for by interrupt (9.6). */
		ata_receive(d, d->chunk, d->phase == ATA_WAIT, transfer_filled);
		break;
	case ATA_XFER_DMA:
		d->phase = ATA_DMA;
		d->status = READY | ATA_DRQ;
		d->dma_buf = false;
		d->dma_out = d->write;
		d->mem.iovs = 0;
		d->cable->changed(d->cable, d);
		break;
	default:
		ata_submit(d, BLOCK_READ, d->pos, d->buf, d->chunk, transfer_done);
		break;
	}
}

void ata_transfer(struct ata_drive *d, uint64_t pos, uint64_t len)
{
	d->pos = pos;
	d->left = len;
	d->failed = 0;
	transfer_next(d);
}

size_t ata_dma_want(const struct ata_drive *d)
{
	return d->dma_buf ? d->buf_len - d->buf_pos : d->chunk;
}

void ata_dma_medium(struct ata_drive *d)
{
	d->chunk = d->mem.len;
	submit_iov(d, d->write ? BLOCK_WRITE : BLOCK_READ, d->pos, d->mem.iov, d->mem.iovs,
		   transfer_done);
}

void ata_dma_buffer(struct ata_drive *d, size_t len)
{
	d->buf_pos += len;
	d->stats.dma_bytes += len;
	if (d->buf_pos < d->buf_len)
		return;
	if (d->dma_out)
		d->filled(d);
	else
		block_in_over(d);
}

/* ------------------------------------------------------------------ reads, writes and the like */

static void run_access(struct ata_drive *d, uint8_t flags, enum ata_xfer xfer)
{
	uint64_t lba;

	if ((flags & MULT && !d->multiple) || (flags & WRITE && d->blk->readonly)) {
		abort_command(d);
		return;
	}
	if (!address(d, &lba)) {
		fail(d, ATA_IDNF);
		return;
	}
	d->xfer = xfer;
	d->write = flags & WRITE;
	d->flush_after = flags & WRITE && (flags & FUA || !d->write_cache);
	d->block_size = (flags & MULT ? d->multiple : 1u) * ATA_SECTOR;
	d->limit = d->max * ATA_SECTOR;
	d->end = xfer == ATA_XFER_IN ? done_read : done;
	ata_transfer(d, lba * ATA_SECTOR, (uint64_t)sector_count(d) * ATA_SECTOR);
}

static const struct command commands[256];

static void read_write(struct ata_drive *d)
{
	uint8_t flags = commands[d->command].flags;
	enum ata_xfer xfer = flags & WRITE ? ATA_XFER_OUT : ATA_XFER_IN;

	run_access(d, flags, flags & DMA ? ATA_XFER_DMA : xfer);
}

static void verify(struct ata_drive *d)
{
	run_access(d, 0, ATA_XFER_VERIFY);
}

/* A command that the handshake and the sequence of a bimodal disk may consist of, or (BIMODAL_NO_KEY) not. */
static void tell_bimodal(struct ata_drive *d, uint32_t key)
{
	if (!d->bimodal)
		return;
	bimodal_handshake(d->bimodal, key);
	bimodal_sequence(d->bimodal, key);
}

static void seek(struct ata_drive *d)
{
	bool keyed = d->command == BIMODAL_PIIX4_SEEK && d->tf.device & ATA_LBA;
	uint64_t lba;

	if (!address(d, &lba) || lba >= d->max) {
		fail(d, ATA_IDNF);
		tell_bimodal(d, BIMODAL_NO_KEY);
		return;
	}
	done(d);
	/* When it is over: the drive may be gone then. */
	tell_bimodal(d, keyed ? (uint32_t)lba : BIMODAL_NO_KEY);
}

static void recalibrate(struct ata_drive *d)
{
	d->tf.lba[1] = d->tf.lba[2] = 0;
	done(d);
}

static void read_buffer(struct ata_drive *d)
{
	memcpy(d->buf, d->sector, ATA_SECTOR);
	d->end = done_in;
	ata_send(d, ATA_SECTOR);
}

static void write_buffer_filled(struct ata_drive *d)
{
	memcpy(d->sector, d->buf, ATA_SECTOR);
	done(d);
}

static void write_buffer(struct ata_drive *d)
{
	ata_receive(d, ATA_SECTOR, false, write_buffer_filled);
}

/* ------------------------------------------------------------------ IDENTIFY (8.15, 8.16) */

/* Two characters per word, the first in the upper half (3.2.9). */
static void id_string(uint16_t *id, const char *s, unsigned int words)
{
	for (unsigned int i = 0; i < 2 * words; i++) {
		uint8_t c = *s ? (uint8_t)*s++ : ' ';

		id[i / 2] |= (uint16_t)(c << (i & 1 ? 0 : 8));
	}
}

static void id_number(uint16_t *id, uint64_t val, unsigned int words)
{
	for (unsigned int i = 0; i < words; i++)
		id[i] = (uint16_t)(val >> 16 * i);
}

/* Words that both kinds of device have in common. */
static void id_common(const struct ata_drive *d, uint16_t *id)
{
	id_string(&id[10], d->serial, 10);
	id_string(&id[23], d->firmware, 4);
	id_string(&id[27], d->model, 20);
	id[53] = 0x0006; /* words 64 to 70 and 88 are valid */
	id[63] = (uint16_t)(d->mwdma << 8 | 0x07);
	id[64] = 0x0003; /* PIO modes 3 and 4 */
	for (unsigned int i = 65; i <= 68; i++)
		id[i] = 120; /* ns per cycle: mode 4, multiword mode 2 */
	id[80] = 0x0070;     /* ATA/ATAPI-4 to 6 */
	id[81] = 0x0019;     /* T13 1410D revision 3a */
	id[88] = (uint16_t)(d->udma << 8 | 0x3f);
	/* Hardware reset result (8.15.51): passed; 40 wires; a jumper told the number. */
	id[93] = d->unit ? 0x4b00 : 0x400b;
}

static void id_geometry(const struct ata_drive *d, uint16_t *id);

/* Words 129 to 159 are the vendor's. */
static void id_bimodal(const struct bimodal *b, uint16_t *id)
{
	if (!b || !b->identified)
		return;
	id[BIMODAL_PIIX4_WORD_MAGIC] = BIMODAL_PIIX4_MAGIC;
	id[BIMODAL_PIIX4_WORD_STATE] =
		BIMODAL_PIIX4_STATE_IDENTIFIED | (b->enabled ? BIMODAL_PIIX4_STATE_ENABLED : 0);
}

static void id_disk(const struct ata_drive *d, uint16_t *id)
{
	uint64_t lba28 = min_u64(d->max, ATA_ADDR_28 - 1);

	id[0] = 0x0040; /* not removable */
	id_geometry(d, id);
	id_common(d, id);
	id[47] = 0x8000 | ATA_MULTIPLE;
	id[49] = 0x2f00; /* standard standby timer, IORDY that can be disabled, LBA, DMA */
	id[50] = 0x4000;
	id[53] |= 0x0001;
	id[59] = d->multiple ? (uint16_t)(0x0100 | d->multiple) : 0;
	id_number(&id[60], lba28, 2);
	id[82] = 0x7469; /* NOP, buffers, HPA, look-ahead, write cache, power, SMART */
	id[83] = 0x7400; /* FLUSH CACHE (EXT), 48 bits */
	id[84] = 0x4040; /* WRITE FUA EXT */
	id[85] = (uint16_t)(0x7408 | d->look_ahead << 6 | d->write_cache << 5 | d->smart);
	id[86] = 0x3400;
	id[87] = 0x4040;
	id_number(&id[100], d->max, 4);
	id_bimodal(d->bimodal, id);
}

static void identify_send(struct ata_drive *d, uint16_t *id)
{
	uint8_t sum = 0;

	id[255] = 0xa5; /* the integrity word's signature (8.15.62) */
	for (unsigned int i = 0; i < 256; i++) {
		d->buf[2 * i] = (uint8_t)id[i];
		d->buf[2 * i + 1] = (uint8_t)(id[i] >> 8);
	}
	for (unsigned int i = 0; i < 511; i++)
		sum += d->buf[i];
	d->buf[511] = (uint8_t)-sum;
	d->block_size = ATA_SECTOR;
	d->end = done_in;
	ata_send(d, ATA_SECTOR);
}

static void identify(struct ata_drive *d)
{
	uint16_t id[256] = { 0 };

	id_disk(d, id);
	identify_send(d, id);
}

static void identify_packet(struct ata_drive *d)
{
	uint16_t id[256] = { 0 };

	id_common(d, id);
	atapi_identify(d, id);
	identify_send(d, id);
}

/* ------------------------------------------------------------------ geometry (6.2.1) */

static unsigned int cylinders_for(const struct ata_drive *d, unsigned int heads, unsigned int spt)
{
	return (unsigned int)min_u64(native_max(d) / ((uint64_t)heads * spt), 65535);
}

/* The default translation: 16 heads and 63 sectors, fewer on a very small disk. */
static void default_geometry(const struct ata_drive *d, unsigned int *cyls, unsigned int *heads,
			     unsigned int *spt)
{
	*spt = (unsigned int)min_u64(63, native_max(d));
	*heads = native_max(d) >= 16 * 63 ? 16 : 1;
	*cyls = (unsigned int)min_u64(cylinders_for(d, *heads, *spt), 16383);
}

static void id_geometry(const struct ata_drive *d, uint16_t *id)
{
	unsigned int cyls, heads, spt;

	default_geometry(d, &cyls, &heads, &spt);
	id[1] = (uint16_t)cyls;
	id[3] = (uint16_t)heads;
	id[6] = (uint16_t)spt;
	id[54] = (uint16_t)d->cylinders;
	id[55] = (uint16_t)d->heads;
	id[56] = (uint16_t)d->spt;
	id_number(&id[57], (uint64_t)d->cylinders * d->heads * d->spt, 2);
}

static void initialize_parameters(struct ata_drive *d)
{
	unsigned int heads = (d->tf.device & 15u) + 1, spt = d->tf.count;

	if (!spt || !cylinders_for(d, heads, spt)) {
		abort_command(d);
		return;
	}
	d->heads = heads;
	d->spt = spt;
	d->cylinders = cylinders_for(d, heads, spt);
	done(d);
}

/* ------------------------------------------------------------------ features (8.46) */

static bool set_transfer_mode(struct ata_drive *d, uint8_t mode)
{
	unsigned int n = mode & 7;

	switch (mode >> 3) {
	case 0: /* PIO, the default mode, with IORDY or without */
		return n <= 1;
	case 1:
		return n <= 4;
	case 4:
		if (n > 2)
			return false;
		d->mwdma = (uint8_t)(1u << n);
		d->udma = 0;
		return true;
	case 8:
		if (n > 5)
			return false;
		d->udma = (uint8_t)(1u << n);
		d->mwdma = 0;
		return true;
	}
	return false;
}

static bool set_disk_feature(struct ata_drive *d, uint8_t feature)
{
	switch (feature) {
	case 0x02:
	case 0x82:
		d->write_cache = feature == 0x02;
		return true;
	case 0x55:
	case 0xaa:
		d->look_ahead = feature == 0xaa;
		return true;
	}
	return false;
}

static bool set_feature(struct ata_drive *d, uint8_t feature)
{
	switch (feature) {
	case 0x03:
		return set_transfer_mode(d, d->tf.count);
	case 0x66:
	case 0xcc:
		d->revert = feature == 0xcc;
		return true;
	}
	return d->kind == ATA_DISK && set_disk_feature(d, feature);
}

static void set_features(struct ata_drive *d)
{
	if (!set_feature(d, d->tf.feature))
		abort_command(d);
	else if (d->tf.feature == 0x82)
		flush(d); /* what the cache still has must be down before it counts as off */
	else
		done(d);
}

static void set_multiple(struct ata_drive *d)
{
	unsigned int n = d->tf.count;

	if (n > ATA_MULTIPLE || n & (n - 1)) {
		abort_command(d);
		return;
	}
	d->multiple = (uint8_t)n;
	done(d);
}

/* ------------------------------------------------------------------ power management (6.10) */

/* The standby timer's setting, table 24. */
static uint64_t standby_period(uint8_t count)
{
	if (count <= 240)
		return count * 5 * DEV_NS_PER_SEC;
	if (count <= 251)
		return (count - 240u) * 30 * MINUTE;
	switch (count) {
	case 252:
		return 21 * MINUTE;
	case 255:
		return 21 * MINUTE + 15 * DEV_NS_PER_SEC;
	default:
		return 8 * 60 * MINUTE;
	}
}

static void set_power(struct ata_drive *d, uint8_t power)
{
	d->power = power;
	if (power == POWER_STANDBY && d->kind == ATA_DISK)
		flush(d);
	else
		done(d);
}

static void standby(struct ata_drive *d)
{
	d->standby = standby_period(d->tf.count);
	set_power(d, POWER_STANDBY);
}

static void standby_immediate(struct ata_drive *d)
{
	set_power(d, POWER_STANDBY);
}

static void idle(struct ata_drive *d)
{
	d->standby = standby_period(d->tf.count);
	set_power(d, POWER_IDLE);
}

static void idle_immediate(struct ata_drive *d)
{
	set_power(d, POWER_IDLE);
}

static void sleep_command(struct ata_drive *d)
{
	d->sleeping = true;
	set_power(d, POWER_STANDBY);
}

static void check_power_mode(struct ata_drive *d)
{
	d->tf.count = d->power;
	done(d);
}

/* The standby timer runs out between commands; nobody can tell before the next one. */
static void power_at_command(struct ata_drive *d, uint64_t now)
{
	if (d->standby && now - d->started >= d->standby)
		d->power = POWER_STANDBY;
	if (d->stat != ATA_STAT_OTHER)
		d->power = POWER_ACTIVE;
}

/* ------------------------------------------------------------------ SMART (8.41) */

struct smart_attribute {
	uint8_t id;
	uint16_t flags;
	uint8_t threshold;
	uint64_t raw;
};

static unsigned int smart_attributes(const struct ata_drive *d, struct smart_attribute *a)
{
	uint64_t hours = dev_now(d->cable->clk) / (60 * MINUTE);
	uint64_t bad = d->stats.kind[ATA_STAT_READ].errors + d->stats.kind[ATA_STAT_WRITE].errors;

	a[0] = (struct smart_attribute){ 1, 0x000b, 6, d->stats.kind[ATA_STAT_READ].errors };
	a[1] = (struct smart_attribute){ 5, 0x0033, 36, 0 };
	a[2] = (struct smart_attribute){ 9, 0x0032, 0, hours };
	a[3] = (struct smart_attribute){ 12, 0x0032, 0, 1 };
	a[4] = (struct smart_attribute){ 187, 0x0032, 0, bad };
	return 5;
}

static void smart_send(struct ata_drive *d)
{
	uint8_t sum = 0;

	for (unsigned int i = 0; i < 511; i++)
		sum += d->buf[i];
	d->buf[511] = (uint8_t)-sum;
	d->block_size = ATA_SECTOR;
	d->end = done_in;
	ata_send(d, ATA_SECTOR);
}

static void smart_read_data(struct ata_drive *d)
{
	struct smart_attribute a[30];
	unsigned int n = smart_attributes(d, a);

	memset(d->buf, 0, ATA_SECTOR);
	d->buf[0] = 0x10;
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *p = &d->buf[2 + 12 * i];

		p[0] = a[i].id;
		p[1] = (uint8_t)a[i].flags;
		p[2] = (uint8_t)(a[i].flags >> 8);
		p[3] = p[4] = 100; /* normalized, and the worst so far */
		for (unsigned int j = 0; j < 6; j++)
			p[5 + j] = (uint8_t)(a[i].raw >> 8 * j);
	}
	/* No off-line collection and no self-test: 0 in 362, 363 and 367. */
	d->buf[368] = 0x03; /* saved before power modes, and by autosave */
	smart_send(d);
}

static void smart_read_thresholds(struct ata_drive *d)
{
	struct smart_attribute a[30];
	unsigned int n = smart_attributes(d, a);

	memset(d->buf, 0, ATA_SECTOR);
	d->buf[0] = 0x10;
	for (unsigned int i = 0; i < n; i++) {
		d->buf[2 + 12 * i] = a[i].id;
		d->buf[3 + 12 * i] = a[i].threshold;
	}
	smart_send(d);
}

static void smart_autosave(struct ata_drive *d)
{
	if (d->tf.count != 0x00 && d->tf.count != 0xf1) {
		abort_command(d);
		return;
	}
	d->smart_autosave = d->tf.count;
	done(d);
}

static void smart(struct ata_drive *d)
{
	if (d->tf.lba[1] != SMART_LBA_MID || d->tf.lba[2] != SMART_LBA_HIGH ||
	    (!d->smart && d->tf.feature != 0xd8)) {
		abort_command(d);
		return;
	}
	switch (d->tf.feature) {
	case 0xd0:
		smart_read_data(d);
		break;
	case 0xd1:
		smart_read_thresholds(d);
		break;
	case 0xd2:
		smart_autosave(d);
		break;
	case 0xd3: /* save: the attributes are counted anew in every life */
	case 0xda: /* no threshold is exceeded: the two bytes stay */
		done(d);
		break;
	case 0xd8:
	case 0xd9:
		d->smart = d->tf.feature == 0xd8;
		done(d);
		break;
	default:
		abort_command(d);
		break;
	}
}

/* ------------------------------------------------------------------ host protected area (6.9) */

static void read_native_max(struct ata_drive *d)
{
	uint64_t last = native_max(d) - 1;

	d->native_read = true;
	if (!d->ext)
		last = min_u64(last, ATA_ADDR_28 - 1);
	if (!d->ext && !(d->tf.device & ATA_LBA))
		last = (uint64_t)d->cylinders * d->heads * d->spt - 1;
	put_address(d, last);
	done(d);
}

/*
 * What is set lasts to the next power-on. To set something for longer there is no place: that is
 * refused, unless it changes nothing. SET MAX's passwords (features 1 to 4) are not supported.
 */
static void set_max(struct ata_drive *d)
{
	bool keep = d->tf.count & 1;
	uint64_t last;

	if (!d->native_read_before || (!d->ext && d->tf.feature)) {
		abort_command(d);
		return;
	}
	if (!address(d, &last) || last >= native_max(d)) {
		fail(d, ATA_IDNF);
		return;
	}
	if (keep && last + 1 != native_max(d)) {
		abort_command(d);
		return;
	}
	d->max = last + 1;
	done(d);
}

/* ------------------------------------------------------------------ signature and reset (9.12) */

/* The device register is the caller's affair. */
static void put_signature(struct ata_drive *d)
{
	d->tf = (struct ata_taskfile){ .device = d->tf.device };
	d->tf.count = d->tf.lba[0] = 1;
	if (d->kind == ATA_CDROM) {
		d->tf.lba[1] = 0x14;
		d->tf.lba[2] = 0xeb;
	}
}

/* Diagnostics passed: 01h, which for device 0 also says that device 1 has, or is not there. */
static void signature(struct ata_drive *d)
{
	put_signature(d);
	d->phase = ATA_IDLE;
	d->error = 0x01;
	/* A packet device has DRDY clear until it gets a command of its own. */
	d->status = d->kind == ATA_CDROM ? 0 : READY;
}

/* Once nobody has a request of before it, nor SRST is set. */
static void end_reset(struct ata_drive *d)
{
	if (!d->held && !d->req_busy && !d->draining)
		signature(d);
}

static void stop(struct ata_drive *d)
{
	d->req_stale = d->req_busy;
	d->late = false;
	d->phase = ATA_WAIT;
	d->status = ATA_BSY;
	d->intrq = false;
	d->failed = 0;
	d->sleeping = false;
	d->stats.resets++;
}

static void default_features(struct ata_drive *d)
{
	d->multiple = ATA_MULTIPLE;
	d->write_cache = true;
	d->look_ahead = true;
	if (d->kind == ATA_DISK)
		default_geometry(d, &d->cylinders, &d->heads, &d->spt);
}

static void power_on_state(struct ata_drive *d)
{
	default_features(d);
	d->revert = false;
	d->mwdma = 0;
	d->udma = 0;
	d->smart = true;
	d->smart_autosave = true;
	d->standby = 0;
	if (d->kind == ATA_DISK)
		d->max = native_max(d);
}

void ata_reset(struct ata_drive *d, bool hardware)
{
	if (d->kind == ATA_NONE)
		return;
	stop(d);
	d->held = true;
	d->tf.device = 0;
	d->power = POWER_ACTIVE;
	d->native_read = false;
	if (hardware)
		power_on_state(d);
	else if (d->revert)
		default_features(d);
	if (d->kind == ATA_CDROM)
		atapi_reset(d, hardware);
}

void ata_release(struct ata_drive *d)
{
	if (d->kind == ATA_NONE || !d->held)
		return;
	d->held = false;
	end_reset(d);
}

static void device_reset(struct ata_drive *d)
{
	stop(d);
	d->tf.device &= ATA_DEV;
	end_reset(d);
}

void ata_drain(struct ata_drive *d)
{
	d->draining = true;
	if (d->phase == ATA_IDLE)
		put_off(d, d->status, d->error, d->intrq);
}

void ata_drained(struct ata_drive *d)
{
	d->draining = false;
	if (d->late)
		show(d, d->late_status, d->late_error, d->late_intrq);
	else if (d->phase == ATA_WAIT)
		end_reset(d);
	d->late = false;
	d->cable->changed(d->cable, d);
}

void ata_diagnose(struct ata_drive *d)
{
	if (!ata_present(d) || d->phase != ATA_IDLE || d->sleeping)
		return;
	tell_bimodal(d, BIMODAL_NO_KEY);
	d->intrq = false;
	d->tf.device = 0;
	signature(d);
}

/* A packet device answers these as the commands of a disk that it is not (9.12). */
static void not_for_packet(struct ata_drive *d)
{
	put_signature(d);
	abort_command(d);
}

/* ------------------------------------------------------------------ commands */

#define READ_(fn, fl)                                                                              \
	{                                                                                          \
		.run = (fn), .flags = (fl), .stat = ATA_STAT_READ                                  \
	}
#define WRITE_(fl)                                                                                 \
	{                                                                                          \
		.run = read_write, .flags = WRITE | (fl), .stat = ATA_STAT_WRITE                   \
	}
#define FLUSH_(fl)                                                                                 \
	{                                                                                          \
		.run = flush, .flags = (fl), .stat = ATA_STAT_FLUSH                                \
	}
#define OTHER_(fn)                                                                                 \
	{                                                                                          \
		.run = (fn), .stat = ATA_STAT_OTHER                                                \
	}
#define EXT_(fn)                                                                                   \
	{                                                                                          \
		.run = (fn), .flags = EXT, .stat = ATA_STAT_OTHER                                  \
	}

static const struct command commands[256] = {
	[0x00] = OTHER_(abort_command), /* NOP */
	[0x10 ... 0x1f] = OTHER_(recalibrate),
	[0x20 ... 0x21] = READ_(read_write, 0),
	[0x24] = READ_(read_write, EXT),
	[0x25] = READ_(read_write, EXT | DMA),
	[0x27] = EXT_(read_native_max),
	[0x29] = READ_(read_write, EXT | MULT),
	[0x30 ... 0x31] = WRITE_(0),
	[0x34] = WRITE_(EXT),
	[0x35] = WRITE_(EXT | DMA),
	[0x37] = EXT_(set_max),
	[0x39] = WRITE_(EXT | MULT),
	[0x3d] = WRITE_(EXT | DMA | FUA),
	[0x40 ... 0x41] = READ_(verify, 0),
	[0x42] = READ_(verify, EXT),
	[0x70 ... 0x7f] = OTHER_(seek),
	[0x91] = OTHER_(initialize_parameters),
	[0x94] = OTHER_(standby_immediate),
	[0x95] = OTHER_(idle_immediate),
	[0x96] = OTHER_(standby),
	[0x97] = OTHER_(idle),
	[0x98] = OTHER_(check_power_mode),
	[0x99] = OTHER_(sleep_command),
	[0xb0] = OTHER_(smart),
	[0xc4] = READ_(read_write, MULT),
	[0xc5] = WRITE_(MULT),
	[0xc6] = OTHER_(set_multiple),
	[0xc8 ... 0xc9] = READ_(read_write, DMA),
	[0xca ... 0xcb] = WRITE_(DMA),
	[0xce] = WRITE_(EXT | MULT | FUA),
	[0xe0] = OTHER_(standby_immediate),
	[0xe1] = OTHER_(idle_immediate),
	[0xe2] = OTHER_(standby),
	[0xe3] = OTHER_(idle),
	[0xe4] = OTHER_(read_buffer),
	[0xe5] = OTHER_(check_power_mode),
	[0xe6] = OTHER_(sleep_command),
	[0xe7] = FLUSH_(0),
	[0xe8] = OTHER_(write_buffer),
	[0xea] = FLUSH_(EXT),
	[0xec] = OTHER_(identify),
	[0xef] = OTHER_(set_features),
	[0xf8] = OTHER_(read_native_max),
	[0xf9] = OTHER_(set_max),
};

static const struct command packet_commands[256] = {
	[0x00] = OTHER_(abort_command), /* NOP */
	[0x20] = OTHER_(not_for_packet),
	[0x94] = OTHER_(standby_immediate),
	[0x95] = OTHER_(idle_immediate),
	[0x96] = OTHER_(standby),
	[0x97] = OTHER_(idle),
	[0x98] = OTHER_(check_power_mode),
	[0x99] = OTHER_(sleep_command),
	[0xa0] = OTHER_(atapi_packet),
	[0xa1] = OTHER_(identify_packet),
	[0xe0] = OTHER_(standby_immediate),
	[0xe1] = OTHER_(idle_immediate),
	[0xe2] = OTHER_(standby),
	[0xe3] = OTHER_(idle),
	[0xe5] = OTHER_(check_power_mode),
	[0xe6] = OTHER_(sleep_command),
	[0xec] = OTHER_(not_for_packet),
	[0xef] = OTHER_(set_features),
};

/* What has the disk's medium to itself leaves the drive the other commands. */
static bool refused(const struct ata_drive *d, const struct command *c)
{
	return d->bimodal && !bimodal_legacy_data(d->bimodal) &&
	       (c->stat == ATA_STAT_READ || c->stat == ATA_STAT_WRITE);
}

uint8_t ata_status(const struct ata_drive *d)
{
	const struct bimodal *b = d->bimodal;

	if (!b || b->cfg.identify != BIMODAL_IDENTIFY_HANDSHAKE || !b->identified ||
	    d->status & ATA_BSY)
		return d->status;
	return d->status | BIMODAL_PIIX4_STATUS;
}

void ata_command(struct ata_drive *d, uint8_t command)
{
	const struct command *c =
		d->kind == ATA_CDROM ? &packet_commands[command] : &commands[command];
	uint64_t now = dev_now(d->cable->clk);

	if (command == 0x08 && d->kind == ATA_CDROM && !d->held) {
		device_reset(d);
		return;
	}
	if (d->phase != ATA_IDLE || d->sleeping)
		return;
	d->command = command;
	d->intrq = false;
	d->ext = c->flags & EXT;
	d->flush_after = false;
	d->packet_data = false;
	d->write = false;
	d->left = 0;
	d->failed = 0;
	d->block_size = ATA_SECTOR;
	d->stat = c->run ? c->stat : ATA_STAT_OTHER;
	d->native_read_before = d->native_read;
	d->native_read = false;
	power_at_command(d, now);
	d->started = now;
	if (c->run != seek)
		tell_bimodal(d, BIMODAL_NO_KEY);
	if (c->run && !refused(d, c))
		c->run(d);
	else
		abort_command(d);
}

/* ------------------------------------------------------------------ making */

static void set_name(char *dst, const char *src, size_t max)
{
	size_t n = 0;

	for (; n < max && src[n]; n++)
		dst[n] = src[n] >= 0x20 && src[n] < 0x7f ? src[n] : '?';
	dst[n] = 0;
}

void ata_init(struct ata_drive *d, struct ata_cable *cable, unsigned int unit)
{
	memset(d, 0, sizeof(*d));
	d->cable = cable;
	d->unit = unit;
}

void ata_plug(struct ata_drive *d, enum ata_kind kind, struct block *blk, const char *model,
	      const char *serial, const char *firmware)
{
	d->kind = kind;
	d->blk = blk;
	set_name(d->model, model, sizeof(d->model) - 1);
	set_name(d->serial, serial, sizeof(d->serial) - 1);
	set_name(d->firmware, firmware, sizeof(d->firmware) - 1);
	ata_reset(d, true);
	ata_release(d);
	d->stats.resets = 0;
}
