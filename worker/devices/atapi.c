// SPDX-License-Identifier: GPL-2.0-only
/*
 * A CD-ROM drive's side of the PACKET command: SFF-8020i revision 2.6, with MMC-3 (T10/1363D) for
 * what came later. The disc is one data track in mode 1; one that is larger than a CD is a DVD-ROM
 * of one layer.
 */
#include <errno.h>
#include <string.h>
#include "worker/devices/ata.h"

#define BLOCK	  2048u
#define FRAME	  2352u
#define CD_BLOCKS (80u * 60 * 75) /* the longest disc; a bigger one is a DVD */
#define LEAD_IN	  150u		  /* frames before LBA 0, for addresses in minutes */
#define BATCH	  (ATA_BUF_SIZE / (FRAME + BLOCK))
#define SPEED_MAX 7056u /* kB/s: 40x */
#define LIMIT_MAX 0xfffeu

#define KEY_NOT_READY 0x2
#define KEY_MEDIUM    0x3
#define KEY_ILLEGAL   0x5
#define KEY_ATTENTION 0x6

#define ATTENTION_RESET 0x01
#define ATTENTION_DISC	0x02

#define EVENT_NONE    0
#define EVENT_EJECT   1 /* the operator wants the disc, but the tray is locked */
#define EVENT_NEW     2
#define EVENT_REMOVAL 3

#define PROFILE_CD  0x0008
#define PROFILE_DVD 0x0010

/* It is carried out even while a unit attention waits (MMC-3, 4.1.6) */
#define ANYTIME 0x01
/* It needs a disc */
#define DISC 0x02

struct packet_command {
	void (*run)(struct ata_drive *d);
	uint8_t flags;
};

static void put16(uint8_t *p, unsigned int val)
{
	p[0] = (uint8_t)(val >> 8);
	p[1] = (uint8_t)val;
}

static void put32(uint8_t *p, uint32_t val)
{
	put16(p, val >> 16);
	put16(p + 2, val & 0xffff);
}

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ------------------------------------------------------------------ the end of a command */

static void good(struct ata_drive *d)
{
	d->cd.key = d->cd.asc = d->cd.ascq = 0;
	d->tf.count = ATA_IR_IO | ATA_IR_CD;
	ata_ready(d, 0, 0, true);
}

static void check_condition(struct ata_drive *d, uint8_t key, uint8_t asc, uint8_t ascq)
{
	uint8_t abort = key == KEY_ILLEGAL ? ATA_ABRT : 0;

	d->cd.key = key;
	d->cd.asc = asc;
	d->cd.ascq = ascq;
	d->left = 0;
	d->tf.count = ATA_IR_IO | ATA_IR_CD;
	ata_ready(d, ATA_ERR, (uint8_t)(key << 4 | abort), true);
}

static void invalid_field(struct ata_drive *d)
{
	check_condition(d, KEY_ILLEGAL, 0x24, 0);
}

void atapi_failed(struct ata_drive *d, int ret)
{
	if (ret == -EIO)
		check_condition(d, KEY_MEDIUM, 0x11, 0); /* unrecovered read error */
	else
		check_condition(d, 0x4, 0x3e, 0x01); /* hardware error: logical unit failure */
}

/* ------------------------------------------------------------------ data */

void atapi_block(struct ata_drive *d, size_t len)
{
	d->tf.count = d->phase == ATA_PIO_IN ? ATA_IR_IO : 0;
	d->tf.lba[1] = (uint8_t)len;
	d->tf.lba[2] = (uint8_t)(len >> 8);
}

/*
 * How long a DRQ block may be if @len bytes are to move: an odd limit is for a transfer that fits
 * in it (ATA/ATAPI-6, 8.23.4). 0: it cannot be.
 */
static uint32_t block_size(const struct ata_drive *d, uint64_t len)
{
	uint32_t limit = min_u32(d->cd.byte_limit, LIMIT_MAX);

	return limit < len ? limit & ~1u : limit;
}

static void dma_buffer(struct ata_drive *d, size_t len, bool out)
{
	d->buf_pos = 0;
	d->buf_len = len;
	d->dma_buf = true;
	d->dma_out = out;
	d->phase = ATA_DMA;
	d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
	d->cable->changed(d->cable, d);
}

/* Send @len bytes of buf, or as many as the host has @room for. */
static void reply(struct ata_drive *d, size_t len, size_t room)
{
	if (len > room)
		len = room;
	d->end = good;
	if (!len) {
		good(d);
	} else if (d->xfer == ATA_XFER_DMA) {
		dma_buffer(d, len, false);
	} else {
		d->block_size = block_size(d, len);
		if (d->block_size)
			ata_send(d, len);
		else
			invalid_field(d);
	}
}

static uint32_t blocks(const struct ata_drive *d)
{
	return (uint32_t)(d->blk->size / BLOCK > UINT32_MAX ? UINT32_MAX : d->blk->size / BLOCK);
}

static bool has_disc(const struct ata_drive *d)
{
	return !d->cd.tray_open && !d->blk->no_medium && blocks(d);
}

static bool is_dvd(const struct ata_drive *d)
{
	return has_disc(d) && blocks(d) > CD_BLOCKS;
}

/* Minute, second and frame of @lba; what is beyond 99 minutes stays at the end of them. */
static void put_msf(uint8_t *p, uint32_t lba)
{
	uint32_t frames = min_u32(lba, 100 * 60 * 75 - 1 - LEAD_IN) + LEAD_IN;

	p[0] = (uint8_t)(frames / (60 * 75));
	p[1] = (uint8_t)(frames / 75 % 60);
	p[2] = (uint8_t)(frames % 75);
}

/* An address in four bytes, as a table of contents has it. */
static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
	if (!msf) {
		put32(p, lba);
		return;
	}
	p[0] = 0;
	put_msf(p + 1, lba);
}

/* ------------------------------------------------------------------ READ, READ CD */

/* Whether [lba, lba + n) is on the disc; ends the command if it is not. */
static bool on_disc(struct ata_drive *d, uint32_t lba, uint32_t n)
{
	if (lba < blocks(d) && n <= blocks(d) - lba)
		return true;
	check_condition(d, KEY_ILLEGAL, 0x21, 0);
	return false;
}

static void read_blocks(struct ata_drive *d, uint32_t lba, uint32_t n)
{
	uint64_t len = (uint64_t)n * BLOCK;

	if (!n) {
		good(d);
		return;
	}
	if (!on_disc(d, lba, n))
		return;
	d->stat = ATA_STAT_READ;
	d->limit = (uint64_t)blocks(d) * BLOCK;
	d->end = good;
	if (d->xfer != ATA_XFER_DMA) {
		d->block_size = block_size(d, len);
		/* Whole sectors where the limit allows: that's how drives cut. */
		if (d->block_size > BLOCK)
			d->block_size -= d->block_size % BLOCK;
		if (!d->block_size) {
			invalid_field(d);
			return;
		}
	}
	ata_transfer(d, (uint64_t)lba * BLOCK, len);
}

static void read_10(struct ata_drive *d)
{
	read_blocks(d, get32(&d->cd.packet[2]), get16(&d->cd.packet[7]));
}

static void read_12(struct ata_drive *d)
{
	read_blocks(d, get32(&d->cd.packet[2]), get32(&d->cd.packet[6]));
}

#define FRAME_SYNC   0x80
#define FRAME_HEADER 0x20
#define FRAME_DATA   0x10
#define FRAME_EDC    0x08

static uint8_t gf_double(uint8_t a)
{
	return (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1d : 0));
}

/* a / (1 + alpha) in the field of ECMA-130 annex A: 1 + alpha is 3, and its inverse f4h. */
static uint8_t gf_div3(uint8_t a)
{
	uint8_t r = 0;

	for (unsigned int bit = 0x80; bit; bit >>= 1) {
		r = gf_double(r);
		if (0xf4 & bit)
			r ^= a;
	}
	return r;
}

/*
 * A (n + 2, n) Reed-Solomon code word (ECMA-130, annex A): byte @i of it is at @at(i); the two
 * parity bytes make the sum, and the sum weighted by powers of alpha, zero.
 */
static void parity(uint8_t *frame, unsigned int (*at)(unsigned int word, unsigned int i),
		   unsigned int word, unsigned int n)
{
	uint8_t sum = 0, weighted = 0, p1;

	for (unsigned int i = 0; i < n; i++) {
		uint8_t c = frame[at(word, i)];

		sum ^= c;
		weighted = gf_double(weighted ^ c);
	}
	/* p0 + p1 = sum, and alpha * p0 + p1 = alpha * weighted: p1 is in place alpha^0. */
	weighted = gf_double(weighted);
	p1 = gf_div3((uint8_t)(gf_double(sum) ^ weighted));
	frame[at(word, n)] = sum ^ p1;
	frame[at(word, n + 1)] = p1;
}

/* Where the code words are: bytes from 12 on, as 16-bit words of which each half is coded alone. */
static unsigned int p_at(unsigned int word, unsigned int i)
{
	return 12 + word + 86 * i;
}

static unsigned int q_at(unsigned int word, unsigned int i)
{
	unsigned int half = word & 1, n = word / 2;

	if (i < 43)
		return 12 + 2 * ((44 * i + 43 * n) % 1118) + half;
	return 12 + 2 * (1118 + 26 * (i - 43) + n) + half;
}

/* The cyclic redundancy check of ECMA-130 14.3, over sync, header and data. */
static uint32_t edc(const uint8_t *p, unsigned int n)
{
	uint32_t crc = 0;

	while (n--) {
		crc ^= *p++;
		for (unsigned int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xd8018001u : 0);
	}
	return crc;
}

static uint8_t bcd(uint8_t n)
{
	return (uint8_t)(n / 10 << 4 | n % 10);
}

/* Make the frame of a mode 1 sector, as it is on the disc before scrambling. */
static void make_frame(uint8_t *f, uint32_t lba, const uint8_t *data)
{
	uint32_t crc;

	memset(f, 0, FRAME);
	memset(f + 1, 0xff, 10);
	put_msf(f + 12, lba);
	for (unsigned int i = 12; i < 15; i++)
		f[i] = bcd(f[i]);
	f[15] = 1;
	memcpy(f + 16, data, BLOCK);
	crc = edc(f, 16 + BLOCK);
	for (unsigned int i = 0; i < 4; i++)
		f[16 + BLOCK + i] = (uint8_t)(crc >> 8 * i);
	for (unsigned int i = 0; i < 86; i++)
		parity(f, p_at, i, 24);
	for (unsigned int i = 0; i < 52; i++)
		parity(f, q_at, i, 43);
}

/* Copy what is wanted of @frame to @out; returns the length. */
static size_t cut_frame(const uint8_t *frame, uint8_t want, uint8_t *out)
{
	static const struct {
		uint8_t bit;
		uint16_t at, len;
	} part[] = {
		{ FRAME_SYNC, 0, 12 },
		{ FRAME_HEADER, 12, 4 },
		{ FRAME_DATA, 16, BLOCK },
		{ FRAME_EDC, 16 + BLOCK, 288 },
	};
	size_t n = 0;

	for (unsigned int i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		if (!(want & part[i].bit))
			continue;
		memcpy(out + n, frame + part[i].at, part[i].len);
		n += part[i].len;
	}
	return n;
}

static void read_frames(struct ata_drive *d);

/* The data lies at the end of buf; frames grow from the front, and never reach what is not used. */
static void frames_read(struct ata_drive *d, int ret)
{
	const uint8_t *data = d->buf + ATA_BUF_SIZE - (size_t)d->cd.batch * BLOCK;
	uint8_t frame[FRAME];
	size_t len = 0;

	d->pos = (uint64_t)d->cd.lba * BLOCK;
	if (ret) {
		atapi_failed(d, ret);
		return;
	}
	for (unsigned int i = 0; i < d->cd.batch; i++) {
		make_frame(frame, d->cd.lba + i, data + (size_t)i * BLOCK);
		len += cut_frame(frame, d->cd.frame, d->buf + len);
	}
	d->stats.kind[ATA_STAT_READ].bytes += (uint64_t)d->cd.batch * BLOCK;
	d->cd.lba += d->cd.batch;
	d->cd.frames -= d->cd.batch;
	d->end = read_frames;
	if (d->xfer == ATA_XFER_DMA) {
		dma_buffer(d, len, false);
		return;
	}
	d->block_size = block_size(d, len);
	if (d->block_size)
		ata_send(d, len);
	else
		invalid_field(d);
}

static void read_frames(struct ata_drive *d)
{
	size_t len;

	if (!d->cd.frames) {
		good(d);
		return;
	}
	d->cd.batch = min_u32(d->cd.frames, BATCH);
	len = (size_t)d->cd.batch * BLOCK;
	ata_submit(d, BLOCK_READ, (uint64_t)d->cd.lba * BLOCK, d->buf + ATA_BUF_SIZE - len, len,
		   frames_read);
}

/* MMC-3, 6.1.20: which parts of the frames of @n sectors */
static void read_parts(struct ata_drive *d, uint32_t lba, uint32_t n)
{
	const uint8_t *p = d->cd.packet;
	uint8_t type = p[1] >> 2 & 7, want = p[9] & 0xf8;

	if (p[9] & 0x06 || p[10] & 0x07 || type > 5) {
		invalid_field(d);
		return;
	}
	if (type > 2 || type == 1) {
		check_condition(d, KEY_ILLEGAL, 0x64, 0); /* illegal mode for this track */
		return;
	}
	/* Mode 1 has no subheader. */
	want &= FRAME_SYNC | FRAME_HEADER | FRAME_DATA | FRAME_EDC;
	if (!n || !want) {
		good(d);
	} else if (want == FRAME_DATA) {
		read_blocks(d, lba, n);
	} else if (on_disc(d, lba, n)) {
		d->stat = ATA_STAT_READ;
		d->cd.frame = want;
		d->cd.lba = lba;
		d->cd.frames = n;
		read_frames(d);
	}
}

static void read_cd(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;

	read_parts(d, get32(&p[2]), get32(&p[5]) & 0xffffff);
}

/* The frame at minute, second and frame @p, from the lead-in's start on. False: there is no such time. */
static bool get_msf(const uint8_t *p, uint32_t *frame)
{
	*frame = (p[0] * 60u + p[1]) * 75 + p[2];
	return p[1] < 60 && p[2] < 75;
}

/* MMC-3, 6.1.21: up to, and not with, the sector at the second address */
static void read_cd_msf(struct ata_drive *d)
{
	uint32_t start, end;

	if (!get_msf(&d->cd.packet[3], &start) || !get_msf(&d->cd.packet[6], &end) || end < start)
		invalid_field(d);
	else
		read_parts(d, start - LEAD_IN, end - start);
}

/* SFF-8020i, 10.8.13: every sector is of mode 1 */
static void read_header(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;
	uint32_t lba = get32(&p[2]);

	if (!on_disc(d, lba, 1))
		return;
	memset(d->buf, 0, 8);
	d->buf[0] = 1;
	put_address(&d->buf[4], lba, p[1] & 0x02);
	reply(d, 8, get16(&p[7]));
}

static void seek(struct ata_drive *d)
{
	if (on_disc(d, get32(&d->cd.packet[2]), 0))
		good(d);
}

/* ------------------------------------------------------------------ what the drive is */

/* Copy at most @max characters of @s, padded with blanks. */
static void put_text(uint8_t *p, const char *s, size_t len, size_t max)
{
	memset(p, ' ', max);
	memcpy(p, s, len < max ? len : max);
}

static void inquiry(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;
	size_t vendor = strcspn(d->model, " ");
	const char *product = d->model + vendor;
	uint8_t *r = d->buf;

	if (p[1] & 0x01 || p[2]) {
		invalid_field(d); /* no vital product data */
		return;
	}
	product += strspn(product, " ");
	memset(r, 0, 36);
	r[0] = 0x05;
	r[1] = 0x80; /* removable */
	r[3] = 0x21; /* ATAPI version, response data format (SFF-8020i, table 66) */
	r[4] = 31;
	put_text(&r[8], d->model, vendor, 8);
	put_text(&r[16], product, strlen(product), 16);
	put_text(&r[32], d->firmware, strlen(d->firmware), 4);
	reply(d, 36, p[4]);
}

static void put_feature(uint8_t *p, unsigned int code, uint8_t version_flags, uint8_t extra)
{
	put16(p, code);
	p[2] = version_flags;
	p[3] = extra;
}

#define FEATURES 8

/* Write the features whose code and state are asked for; returns the length. */
static size_t features(struct ata_drive *d, uint8_t *r, unsigned int rt, unsigned int from)
{
	bool disc = has_disc(d), dvd = is_dvd(d);
	/* Code, persistent and current bits, additional length, additional bytes. */
	const struct {
		uint16_t code;
		bool persistent, current;
		uint8_t version, len;
		uint8_t data[8];
	} f[FEATURES] = {
		{ 0x0000,
		  true,
		  true,
		  0,
		  8,
		  { PROFILE_DVD >> 8, PROFILE_DVD & 0xff, dvd, 0, PROFILE_CD >> 8,
		    PROFILE_CD & 0xff, disc && !dvd, 0 } },
		{ 0x0001, true, true, 0, 4, { 0, 0, 0, 2 } }, /* core: ATAPI */
		{ 0x0002, true, true, 0, 4, { 0 } },	      /* morphing */
		{ 0x0003, true, true, 0, 4, { 0x29 } },	      /* tray, eject, lock */
		{ 0x0010, false, disc, 0, 8, { 0, 0, BLOCK >> 8, 0, 0, 16, 0, 0 } },
		{ 0x001e, false, disc && !dvd, 0, 0, { 0 } }, /* CD read */
		{ 0x001f, false, dvd, 0, 0, { 0 } },	      /* DVD read */
		{ 0x0105, true, true, 0, 4, { 0 } },	      /* time-out */
	};
	size_t n = 0;

	for (unsigned int i = 0; i < FEATURES; i++) {
		if (f[i].code < from || (rt == 1 && !f[i].current) ||
		    (rt == 2 && f[i].code != from))
			continue;
		put_feature(r + n, f[i].code,
			    (uint8_t)(f[i].version << 2 | f[i].persistent << 1 | f[i].current),
			    f[i].len);
		memcpy(r + n + 4, f[i].data, f[i].len);
		n += 4u + f[i].len;
	}
	return n;
}

/* MMC-3, 6.1.4 */
static void get_configuration(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;
	unsigned int rt = p[1] & 3, profile = 0;
	size_t len;

	if (rt == 3) {
		invalid_field(d);
		return;
	}
	if (has_disc(d))
		profile = is_dvd(d) ? PROFILE_DVD : PROFILE_CD;
	memset(d->buf, 0, 8);
	len = features(d, d->buf + 8, rt, get16(&p[2]));
	put32(d->buf, (uint32_t)len + 4);
	put16(&d->buf[6], profile);
	reply(d, 8 + len, get16(&p[7]));
}

/* ------------------------------------------------------------------ mode pages */

static const uint8_t page_recovery[8] = { 0x01, 6, 0, 5 };
static const uint8_t page_audio[16] = { 0x0e, 14, 0x04, 0, 0, 0, 0, 0, 1, 0xff, 2, 0xff };
/* SFF-8020i, 10.8.6.4: tray that locks and ejects; reads nothing but data */
static const uint8_t page_capabilities[20] = {
	0x2a, 18, 0x08, 0, 0x70, 0, 0x29, 0, SPEED_MAX >> 8, SPEED_MAX & 0xff, 0, 2, 0, 64,
};

/* Put a page as page control @pc wants it: 0 current, 1 changeable, 2 default. */
static size_t put_page(const struct ata_drive *d, uint8_t *p, const uint8_t *page, unsigned int pc)
{
	size_t len = page[1] + 2u;

	memcpy(p, page, len);
	if (pc == 1)
		memset(p + 2, 0, len - 2);
	if (page[0] == 0x01 && pc == 1)
		memset(p + 2, 0xff, 2);
	if (page[0] == 0x01 && pc == 0)
		memcpy(p + 2, d->cd.recovery, 2);
	if (page[0] == 0x2a && pc != 1) {
		p[6] |= (uint8_t)(d->cd.locked << 1);
		put16(&p[14], pc ? SPEED_MAX : d->cd.speed);
	}
	return len;
}

static const uint8_t *const pages[] = { page_recovery, page_audio, page_capabilities };
#define PAGES (sizeof(pages) / sizeof(pages[0]))

/* Medium type (SFF-8020i, table 74): 1 a data disc of 120 mm, 70h none, 71h tray open */
static uint8_t medium_type(const struct ata_drive *d)
{
	if (has_disc(d))
		return 0x01;
	return d->cd.tray_open ? 0x71 : 0x70;
}

/* @head: length of the parameter header, 4 or 8 */
static void mode_sense(struct ata_drive *d, size_t head, size_t room)
{
	unsigned int pc = d->cd.packet[2] >> 6, code = d->cd.packet[2] & 0x3f;
	size_t len = head;

	if (pc == 3) {
		check_condition(d, KEY_ILLEGAL, 0x39, 0); /* saving is not supported */
		return;
	}
	memset(d->buf, 0, head);
	for (unsigned int i = 0; i < PAGES; i++) {
		if (code == 0x3f || code == pages[i][0])
			len += put_page(d, d->buf + len, pages[i], pc);
	}
	if (len == head) {
		invalid_field(d);
		return;
	}
	if (head == 4) {
		d->buf[0] = (uint8_t)(len - 1);
		d->buf[1] = medium_type(d);
	} else {
		put16(d->buf, (unsigned int)len - 2);
		d->buf[2] = medium_type(d);
	}
	reply(d, len, room);
}

static void mode_sense_6(struct ata_drive *d)
{
	mode_sense(d, 4, d->cd.packet[4]);
}

static void mode_sense_10(struct ata_drive *d)
{
	mode_sense(d, 8, get16(&d->cd.packet[7]));
}

static size_t mode_head(const struct ata_drive *d)
{
	return d->cd.packet[0] == 0x15 ? 4 : 8;
}

/* Only what is changeable may differ from what MODE SENSE says. */
static bool page_acceptable(const struct ata_drive *d, const uint8_t *p, const uint8_t *page)
{
	uint8_t now[32], mask[32];
	size_t len = put_page(d, now, page, 0);

	put_page(d, mask, page, 1);
	for (size_t i = 2; i < len; i++) {
		if ((p[i] ^ now[i]) & ~mask[i])
			return false;
	}
	return true;
}

/* The page at @p, of at most @len bytes. Returns its length, or 0 if it cannot be taken. */
static size_t check_page(const struct ata_drive *d, const uint8_t *p, size_t len)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		if (len < 2 || (p[0] & 0x3f) != pages[i][0] || p[1] != pages[i][1])
			continue;
		if (len < p[1] + 2u || !page_acceptable(d, p, pages[i]))
			return 0;
		return p[1] + 2u;
	}
	return 0;
}

static void mode_select_filled(struct ata_drive *d)
{
	size_t at = mode_head(d), n;
	uint8_t recovery[2];

	memcpy(recovery, d->cd.recovery, sizeof(recovery));
	for (; at < d->buf_len; at += n) {
		n = check_page(d, d->buf + at, d->buf_len - at);
		if (!n) {
			check_condition(d, KEY_ILLEGAL, 0x26, 0); /* in the parameter list */
			return;
		}
		if ((d->buf[at] & 0x3f) == 0x01)
			memcpy(recovery, d->buf + at + 2, sizeof(recovery));
	}
	memcpy(d->cd.recovery, recovery, sizeof(recovery));
	good(d);
}

static void mode_select(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;
	size_t len = p[0] == 0x15 ? p[4] : get16(&p[7]);

	if (p[1] & 0x01 || !(p[1] & 0x10)) {
		invalid_field(d); /* nothing can be saved; pages are as the standard has them */
		return;
	}
	if (!len) {
		good(d);
		return;
	}
	if (len < mode_head(d) || len > 1024) {
		check_condition(d, KEY_ILLEGAL, 0x1a, 0); /* parameter list length */
		return;
	}
	if (d->xfer == ATA_XFER_DMA) {
		d->filled = mode_select_filled;
		dma_buffer(d, len, true);
		return;
	}
	d->block_size = block_size(d, len);
	if (d->block_size)
		ata_receive(d, len, true, mode_select_filled);
	else
		invalid_field(d);
}

/* ------------------------------------------------------------------ the disc */

static void read_capacity(struct ata_drive *d)
{
	put32(d->buf, blocks(d) - 1);
	put32(d->buf + 4, BLOCK);
	reply(d, 8, 8);
}

static size_t toc_entry(uint8_t *p, uint8_t track, uint32_t lba, bool msf)
{
	memset(p, 0, 8);
	p[1] = 0x14; /* ADR 1; a data track */
	p[2] = track;
	put_address(&p[4], lba, msf);
	return 8;
}

static void toc(struct ata_drive *d, unsigned int from, bool msf, size_t room)
{
	size_t len = 4;

	if (from > 1 && from != 0xaa) {
		invalid_field(d);
		return;
	}
	if (from <= 1)
		len += toc_entry(d->buf + len, 1, 0, msf);
	len += toc_entry(d->buf + len, 0xaa, blocks(d), msf);
	put16(d->buf, (unsigned int)len - 2);
	d->buf[2] = d->buf[3] = 1;
	reply(d, len, room);
}

static void session_info(struct ata_drive *d, bool msf, size_t room)
{
	put16(d->buf, 10);
	d->buf[2] = d->buf[3] = 1;
	toc_entry(d->buf + 4, 1, 0, msf);
	reply(d, 12, room);
}

static size_t full_toc_entry(uint8_t *p, uint8_t point, uint32_t lba)
{
	memset(p, 0, 11);
	p[0] = 1; /* session */
	p[1] = 0x14;
	p[3] = point;
	put_msf(p + 8, lba);
	return 11;
}

/* The lead-in's Q subchannel (MMC-3, 6.1.26.4): first and last track, lead-out, track 1 */
static void full_toc(struct ata_drive *d, size_t room)
{
	uint8_t *p = d->buf;
	size_t len = 4;

	len += full_toc_entry(p + len, 0xa0, 0);
	p[len - 3] = 1;
	p[len - 2] = p[len - 1] = 0; /* disc type: CD-ROM */
	len += full_toc_entry(p + len, 0xa1, 0);
	p[len - 3] = 1;
	p[len - 2] = p[len - 1] = 0;
	len += full_toc_entry(p + len, 0xa2, blocks(d));
	len += full_toc_entry(p + len, 1, 0);
	put16(p, (unsigned int)len - 2);
	p[2] = p[3] = 1;
	reply(d, len, room);
}

static void read_toc(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;
	bool msf = p[1] & 0x02;
	/* SFF-8020i has the format in the last byte, MMC in the third. */
	unsigned int format = p[2] & 15 ? p[2] & 15u : p[9] >> 6;
	size_t room = get16(&p[7]);

	switch (format) {
	case 0:
		toc(d, p[6], msf, room);
		break;
	case 1:
		session_info(d, msf, room);
		break;
	case 2:
		full_toc(d, room);
		break;
	default:
		invalid_field(d);
		break;
	}
}

/* MMC-3, 6.1.22: one complete session of one track */
static void read_disc_information(struct ata_drive *d)
{
	uint8_t *r = d->buf;

	memset(r, 0, 34);
	put16(r, 32);
	r[2] = 0x0e; /* last session complete, disc complete */
	r[3] = r[4] = r[5] = r[6] = 1;
	r[7] = 0x20;		 /* unrestricted use */
	memset(&r[16], 0xff, 8); /* no lead-in or lead-out to be written */
	reply(d, 34, get16(&d->cd.packet[7]));
}

/* MMC-3, 6.1.27 */
static void read_track_information(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;
	uint32_t n = get32(&p[2]);
	unsigned int by = p[1] & 3;
	uint8_t *r = d->buf;

	if (by == 3 || (by == 0 && n >= blocks(d)) || (by && n != 1)) {
		invalid_field(d);
		return;
	}
	memset(r, 0, 36);
	put16(r, 34);
	r[2] = r[3] = 1;
	r[5] = 0x04; /* data track */
	r[6] = 0x01; /* mode 1 */
	put32(&r[24], blocks(d));
	reply(d, 36, get16(&p[7]));
}

static void read_sub_channel(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;
	uint8_t *r = d->buf;
	bool msf = p[1] & 0x02;
	size_t len = 4;

	memset(r, 0, 24);
	r[1] = 0x15; /* no audio operation to tell of */
	if (p[2] & 0x40) {
		switch (p[3]) {
		case 1:
			len = 16;
			r[5] = 0x14;
			r[6] = r[7] = 1;
			put_address(&r[8], 0, msf);
			put_address(&r[12], 0, msf);
			break;
		case 2: /* no catalogue number */
		case 3: /* nor a recording code: data tracks have none */
			len = 24;
			if (p[3] == 3)
				r[5] = 0x14;
			break;
		default:
			invalid_field(d);
			return;
		}
		r[4] = p[3];
		put16(&r[2], (unsigned int)len - 4);
	}
	reply(d, len, get16(&p[7]));
}

/*
 * MMC-3, 6.1.24: formats 0, physical description of a DVD-ROM's only layer, and 1, that it has no
 * copyright protection.
 */
static void read_dvd_structure(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;
	uint8_t *r = d->buf;
	size_t len;

	if (!is_dvd(d)) {
		check_condition(d, KEY_ILLEGAL, 0x30, 0x02); /* incompatible format */
		return;
	}
	if (p[6] || p[7] > 1) {
		invalid_field(d);
		return;
	}
	len = p[7] ? 8 : 2052;
	memset(r, 0, len);
	put16(r, (unsigned int)len - 2);
	if (!p[7]) {
		r[4] = 0x01; /* DVD-ROM, version 1 */
		r[5] = 0x0f; /* 120 mm, no maximum rate given */
		r[6] = 0x01; /* one layer, embossed */
		put32(&r[8], 0x030000);
		put32(&r[12], 0x030000 + blocks(d) - 1);
	}
	reply(d, len, get16(&p[8]));
}

/* ------------------------------------------------------------------ the tray */

static void no_disc(struct ata_drive *d)
{
	uint8_t ascq = d->cd.tray_open ? 0x02 : 0x01;

	check_condition(d, KEY_NOT_READY, 0x3a, ascq);
}

static void open_tray(struct ata_drive *d)
{
	if (d->cd.tray_open)
		return;
	if (has_disc(d))
		d->cd.media_event = EVENT_REMOVAL;
	d->cd.tray_open = true;
}

static void close_tray(struct ata_drive *d)
{
	if (!d->cd.tray_open)
		return;
	d->cd.tray_open = false;
	if (!has_disc(d))
		return;
	d->cd.media_event = EVENT_NEW;
	d->cd.attention |= ATTENTION_DISC;
}

void atapi_disc_changed(struct ata_drive *d)
{
	d->cd.tray_open = false;
	d->cd.media_event = has_disc(d) ? EVENT_NEW : EVENT_REMOVAL;
	d->cd.attention |= ATTENTION_DISC;
}

static void start_stop_unit(struct ata_drive *d)
{
	unsigned int op = d->cd.packet[4];

	/* Power conditions, in the upper half, leave the tray where it is. */
	if (op >> 4 || !(op & 0x02)) {
		good(d);
		return;
	}
	if (!(op & 0x01) && d->cd.locked) {
		d->cd.media_event = EVENT_EJECT;
		check_condition(d, KEY_ILLEGAL, 0x53, 0x02); /* medium removal prevented */
		return;
	}
	if (op & 0x01)
		close_tray(d);
	else
		open_tray(d);
	good(d);
}

static void prevent_allow(struct ata_drive *d)
{
	d->cd.locked = d->cd.packet[4] & 0x01;
	good(d);
}

/* MMC-3, 6.1.5: only events of the medium are there to be told */
static void get_event_status(struct ata_drive *d)
{
	const uint8_t *p = d->cd.packet;
	uint8_t *r = d->buf;

	if (!(p[1] & 0x01)) {
		invalid_field(d); /* only polled */
		return;
	}
	memset(r, 0, 8);
	r[3] = 0x10;
	if (!(p[4] & 0x10)) {
		put16(r, 2);
		r[2] = 0x80; /* no event available */
		reply(d, 4, get16(&p[7]));
		return;
	}
	put16(r, 6);
	r[2] = 4;
	r[4] = d->cd.media_event;
	r[5] = (uint8_t)(has_disc(d) << 1 | d->cd.tray_open);
	if (get16(&p[7]) > 4)
		d->cd.media_event = EVENT_NONE;
	reply(d, 8, get16(&p[7]));
}

static void mechanism_status(struct ata_drive *d)
{
	memset(d->buf, 0, 8);
	d->buf[1] = (uint8_t)(d->cd.tray_open << 4);
	reply(d, 8, get16(&d->cd.packet[8]));
}

static void set_cd_speed(struct ata_drive *d)
{
	unsigned int speed = get16(&d->cd.packet[2]);

	d->cd.speed = (uint16_t)(speed > SPEED_MAX ? SPEED_MAX : speed);
	good(d);
}

/* ------------------------------------------------------------------ readiness and sense */

static void test_unit_ready(struct ata_drive *d)
{
	good(d);
}

/* The attention that has waited longest: a reset makes the disc new as well. */
static uint8_t take_attention(struct ata_drive *d)
{
	uint8_t what = d->cd.attention & ATTENTION_RESET ? ATTENTION_RESET : ATTENTION_DISC;

	d->cd.attention &= (uint8_t)~what;
	return what == ATTENTION_RESET ? 0x29 : 0x28;
}

static void request_sense(struct ata_drive *d)
{
	uint8_t *r = d->buf;

	if (!d->cd.key && d->cd.attention) {
		d->cd.key = KEY_ATTENTION;
		d->cd.asc = take_attention(d);
		d->cd.ascq = 0;
	}
	memset(r, 0, 18);
	r[0] = 0x70;
	r[2] = d->cd.key;
	if (d->cd.key == KEY_MEDIUM) {
		r[0] |= 0x80;
		put32(&r[3], (uint32_t)(d->pos / BLOCK));
	}
	r[7] = 10;
	r[12] = d->cd.asc;
	r[13] = d->cd.ascq;
	reply(d, 18, d->cd.packet[4]);
}

/* ------------------------------------------------------------------ packets */

static const struct packet_command commands[256] = {
	[0x00] = { test_unit_ready, DISC },
	[0x03] = { request_sense, ANYTIME },
	[0x12] = { inquiry, ANYTIME },
	[0x15] = { mode_select, 0 },
	[0x1a] = { mode_sense_6, 0 },
	[0x1b] = { start_stop_unit, 0 },
	[0x1e] = { prevent_allow, 0 },
	[0x25] = { read_capacity, DISC },
	[0x28] = { read_10, DISC },
	[0x2b] = { seek, DISC },
	[0x42] = { read_sub_channel, DISC },
	[0x43] = { read_toc, DISC },
	[0x44] = { read_header, DISC },
	[0x46] = { get_configuration, ANYTIME },
	[0x4a] = { get_event_status, ANYTIME },
	[0x51] = { read_disc_information, DISC },
	[0x52] = { read_track_information, DISC },
	[0x55] = { mode_select, 0 },
	[0x5a] = { mode_sense_10, 0 },
	[0xa8] = { read_12, DISC },
	[0xad] = { read_dvd_structure, DISC },
	[0xb9] = { read_cd_msf, DISC },
	[0xbb] = { set_cd_speed, 0 },
	[0xbd] = { mechanism_status, 0 },
	[0xbe] = { read_cd, DISC },
};

static void packet_filled(struct ata_drive *d)
{
	const struct packet_command *c;

	memcpy(d->cd.packet, d->buf, sizeof(d->cd.packet));
	d->packet_data = true;
	c = &commands[d->cd.packet[0]];
	if (!c->run)
		check_condition(d, KEY_ILLEGAL, 0x20, 0); /* invalid operation code */
	else if (d->cd.attention && !(c->flags & ANYTIME))
		check_condition(d, KEY_ATTENTION, take_attention(d), 0);
	else if (c->flags & DISC && !has_disc(d))
		no_disc(d);
	else
		c->run(d);
}

/* ATA/ATAPI-6, 8.23 and 9.8: neither overlapped nor queued */
void atapi_packet(struct ata_drive *d)
{
	if (d->tf.feature & 0x02) {
		ata_ready(d, ATA_ERR, ATA_ABRT, true);
		return;
	}
	d->xfer = d->tf.feature & 0x01 ? ATA_XFER_DMA : ATA_XFER_IN;
	d->cd.byte_limit = (uint32_t)d->tf.lba[2] << 8 | d->tf.lba[1];
	d->block_size = sizeof(d->cd.packet);
	ata_receive(d, sizeof(d->cd.packet), false, packet_filled);
	d->tf.count = ATA_IR_CD;
}

/* Words of IDENTIFY PACKET DEVICE that a disk has not (8.16). */
void atapi_identify(const struct ata_drive *d, uint16_t *id)
{
	(void)d;
	id[0] = 0x85c0; /* ATAPI CD-ROM, removable, DRQ within 50 us, packets of 12 bytes */
	id[49] = 0x0f00;
	id[82] = 0x4218; /* NOP, DEVICE RESET, PACKET, power management */
	id[83] = 0x4000;
	id[84] = 0x4000;
	id[85] = 0x4218;
	id[87] = 0x4000;
}

void atapi_reset(struct ata_drive *d, bool hardware)
{
	d->cd.key = d->cd.asc = d->cd.ascq = 0;
	d->cd.locked = false;
	memcpy(d->cd.recovery, &page_recovery[2], sizeof(d->cd.recovery));
	d->cd.speed = SPEED_MAX;
	d->cd.attention |= ATTENTION_RESET;
	if (hardware)
		d->cd.tray_open = false;
}
