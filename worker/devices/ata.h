/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_ATA_H
#define WORKER_DEVICES_ATA_H

/*
 * A drive at an ATA cable: a disk after ATA/ATAPI-6 (T13/1410D), or a CD-ROM after its PACKET
 * feature set, SFF-8020i and MMC-3. What a drive shares with the other one on its cable (the wires,
 * the bus master) is ide.c's; that is also the only user of this header outside the drives
 * themselves and tests.
 *
 * A drive has one request under way at most. Reset or not, the request keeps its buffers until the
 * back end is done with them, and the drive stays busy (BSY) until then: memory that a guest takes
 * back after a reset is not written to by what was before it.
 *
 * A disk may be bimodal: then its high-performance mode (ide_bimodal.c) has requests of its own. When that mode ends the
 * drive is busy until they are over, too.
 */
#include "worker/device.h"
#include "worker/devices/bimodal.h"
#include "worker/devices/block.h"

#define ATA_SECTOR   512u
#define ATA_BUF_SIZE 65536u
/*
 * Pieces of memory per request. A piece has at least 2 bytes, so from ATA_IOVS_SOFT on there is
 * room for what is missing to a whole sector.
 */
#define ATA_IOVS_SOFT 256u
#define ATA_IOVS      (ATA_IOVS_SOFT + ATA_SECTOR / 2)
#define ATA_MAPPED    UINT64_MAX
#define ATA_MULTIPLE  16u /* the most that SET MULTIPLE MODE takes */
#define ATA_ADDR_48   (1ull << 48)
#define ATA_ADDR_28   (1ull << 28)

/* Status register, 7.15; BUSY when it is set, the others mean nothing */
#define ATA_ERR	 0x01 /* CHK of a packet device */
#define ATA_DRQ	 0x08
#define ATA_DSC	 0x10
#define ATA_DF	 0x20
#define ATA_DRDY 0x40
#define ATA_BSY	 0x80

/* Error register, 7.9 */
#define ATA_ABRT 0x04
#define ATA_IDNF 0x10
#define ATA_UNC	 0x40

/* Device control register, 7.8 */
#define ATA_NIEN 0x02
#define ATA_SRST 0x04
#define ATA_HOB	 0x80

/* Device register, 7.7 */
#define ATA_DEV 0x10
#define ATA_LBA 0x40

/* Interrupt reason of a packet device, in the sector count register, 7.12 */
#define ATA_IR_CD 0x01
#define ATA_IR_IO 0x02

enum ata_kind {
	ATA_NONE, /* nothing plugged in */
	ATA_DISK,
	ATA_CDROM,
};

/*
 * The command block as the host wrote it or reads it. Each byte has the one that was there before
 * behind it.
 */
struct ata_taskfile {
	uint8_t feature, hob_feature;
	uint8_t count, hob_count;
	uint8_t lba[3],
		hob_lba[3]; /* low, mid, high; sector number, cylinder low and high in CHS */
	uint8_t device;
};

/* Requests by what a guest asked for. */
enum ata_stat {
	ATA_STAT_READ,
	ATA_STAT_WRITE,
	ATA_STAT_FLUSH,
	ATA_STAT_OTHER,
	ATA_STATS,
};

/* Counters since the machine was made; resets leave them alone. */
struct ata_stats {
	struct {
		uint64_t requests; /* commands that ended, well or not */
		uint64_t errors;   /* of these, with an error */
		uint64_t bytes;	   /* between drive and medium */
		uint64_t ns_total; /* from the command register's write to the end */
		uint64_t ns_max;
	} kind[ATA_STATS];
	uint64_t pio_bytes; /* through the data register */
	uint64_t dma_bytes; /* by the bus master */
	uint64_t resets;
};

enum ata_phase {
	ATA_IDLE, /* no command */
	ATA_WAIT, /* BSY: a request is under way, or an aborted one still is, or one of the other mode's, or SRST is set */
	ATA_PIO_IN,  /* DRQ: the host reads buf[buf_pos, block_end) */
	ATA_PIO_OUT, /* DRQ: the host writes buf[buf_pos, block_end) */
	ATA_DMA,     /* DMARQ: waits for the bus master */
};

/* How the data of a command moves. */
enum ata_xfer {
	ATA_XFER_IN,	 /* by the data register, to the host */
	ATA_XFER_OUT,	 /* by the data register, from the host */
	ATA_XFER_DMA,	 /* by the bus master, between the medium and memory */
	ATA_XFER_VERIFY, /* from the medium to nowhere */
};

struct ata_drive;

/* What a drive needs of the cable and of what is at its other end. */
struct ata_cable {
	/* INTRQ or DMARQ of @d may have changed. Comes from within calls into the drive, too. */
	void (*changed)(struct ata_cable *cable, struct ata_drive *d);
	/* The transfer with d->mem is over, its first @len bytes have been moved: what of them lies
	 * in buf instead of memory is to be brought there now. */
	void (*moved)(struct ata_cable *cable, struct ata_drive *d, size_t len);
	const struct dev_clock *clk;
};

/* Memory that a bus master has found for a transfer. */
struct ata_dma {
	struct iovec iov[ATA_IOVS];
	uint64_t addr[ATA_IOVS]; /* ATA_MAPPED, or what iov[i], a piece of buf, stands for */
	unsigned int iovs;
	size_t len;	/* sum of iov */
	size_t bounced; /* bytes of buf that are taken, from its start */
};

struct atapi {
	uint8_t packet[12];
	uint8_t key, asc, ascq; /* sense data */
	uint8_t attention;	/* unit attentions that wait, by enum in atapi.c */
	bool tray_open, locked;
	uint8_t media_event;  /* what GET EVENT STATUS NOTIFICATION has not told yet */
	uint32_t byte_limit;  /* of a DRQ block, as the host asked */
	uint16_t speed;	      /* kB/s */
	uint8_t recovery[2];  /* mode page 1: error recovery parameter, retry count */
	uint8_t frame;	      /* READ CD: what of a frame is wanted, as in byte 9 */
	uint32_t lba, frames; /* READ CD: next frame, and how many are left */
	uint32_t batch;	      /* READ CD: frames in the request under way */
};

struct ata_drive {
	struct ata_cable *cable;
	unsigned int unit; /* 0 or 1 */
	enum ata_kind kind;
	struct block *blk;
	char model[41], serial[21], firmware[9];

	/* Registers */
	struct ata_taskfile tf;
	uint8_t status, error;
	bool intrq; /* pending; reaches the wire if the drive is selected and nIEN is clear */

	/* The command being carried out */
	enum ata_phase phase;
	bool held; /* SRST is set */
	uint8_t command;
	enum ata_xfer xfer;
	bool ext;	  /* the address is in tf with its HOB half */
	bool write;	  /* to the medium */
	bool flush_after; /* not done before it is durable: FUA, or the write cache is off */
	bool dma_buf;	  /* phase ATA_DMA is about buf[buf_pos, buf_len), not the medium */
	bool packet_data; /* blocks are of a packet's data: the registers tell about them */
	bool dma_out;	  /* phase ATA_DMA: from memory to the drive */
	enum ata_stat stat;
	uint64_t started;			     /* ns */
	void (*after)(struct ata_drive *d, int ret); /* the request under way is over */
	void (*filled)(struct ata_drive *d);	     /* buf has what the host was to send */
	void (*end)(struct ata_drive *d);	     /* everything has been moved */

	/* The transfer between medium and host */
	uint64_t pos;	/* byte on the medium of the next chunk; of the error, once there is one */
	uint64_t left;	/* bytes to move from there on */
	uint64_t limit; /* byte on the medium from which on there is nothing */
	size_t chunk;	/* bytes of the request under way */
	size_t narrow;	/* bytes of a failed chunk that went well sector by sector */
	int failed;	/* errno, to be reported once buf has been read */
	size_t buf_pos; /* next byte that the host moves */
	size_t block_end;    /* end of the DRQ block */
	size_t buf_len;	     /* bytes in buf (in), or wanted (out) */
	uint32_t block_size; /* of a DRQ block */

	struct block_request req;
	struct iovec req_iov;
	uint64_t submitted; /* ns */
	bool req_busy;	    /* the back end has req */
	bool req_stale;	    /* its result is to be dropped */

	struct bimodal *bimodal; /* NULL: it has no other mode */
	bool draining;		 /* requests of the other mode, which has ended, are under way */
	bool late;		 /* what follows is to be shown when they are over */
	uint8_t late_status, late_error;
	bool late_intrq;

	/* What commands set */
	uint8_t multiple; /* sectors per block; 0: READ and WRITE MULTIPLE are aborted */
	unsigned int heads, spt, cylinders; /* logical geometry in use */
	bool write_cache, look_ahead, smart, smart_autosave;
	bool revert;	     /* features go back to their defaults at a software reset */
	uint8_t mwdma, udma; /* selected mode as a bit; 0: none */
	uint8_t power;	     /* as CHECK POWER MODE returns it */
	uint64_t standby;    /* ns without a command after which power is standby; 0: never */
	bool sleeping;
	bool native_read, native_read_before; /* READ NATIVE MAX ADDRESS (EXT) came last, before */
	uint64_t max; /* sectors that can be addressed, by SET MAX ADDRESS */
	struct atapi cd;

	struct ata_stats stats;
	struct ata_dma mem;
	uint8_t sector[ATA_SECTOR]; /* WRITE BUFFER's; a sector that is tried by itself */
	uint8_t buf[ATA_BUF_SIZE];
};

/* A drive that is not there. */
void ata_init(struct ata_drive *d, struct ata_cable *cable, unsigned int unit);

/*
 * Plug a drive in, with @blk behind it, as after power-on. Strings are cut to the standard's
 * fields, characters outside of ASCII's printable ones replaced.
 */
void ata_plug(struct ata_drive *d, enum ata_kind kind, struct block *blk, const char *model,
	      const char *serial, const char *firmware);

/*
 * Begin a reset: by hardware (RESET-, power-on) or by software (SRST), which keep different state
 * (9.1, 9.2). The drive is busy until ata_release(), and further on while it has a request.
 */
void ata_reset(struct ata_drive *d, bool hardware);
void ata_release(struct ata_drive *d);

/* The other mode has ended with requests under way: the drive is busy until ata_drained(). */
void ata_drain(struct ata_drive *d);
void ata_drained(struct ata_drive *d);

/* There is a drive, and no other mode has taken its place. */
static inline bool ata_present(const struct ata_drive *d)
{
	return d->kind != ATA_NONE && (!d->bimodal || bimodal_legacy_registers(d->bimodal));
}

/* The status register. */
uint8_t ata_status(const struct ata_drive *d);

/* The command register is written. Nothing happens if the drive does not take one now. */
void ata_command(struct ata_drive *d, uint8_t command);

/* EXECUTE DEVICE DIAGNOSTIC was written; both drives carry it out, whichever is selected. */
void ata_diagnose(struct ata_drive *d);

/*
 * The data register: moves @len bytes (an even number), or as many as there is data or room for.
 * Returns how many that were.
 */
size_t ata_data_in(struct ata_drive *d, uint8_t *data, size_t len);
size_t ata_data_out(struct ata_drive *d, const uint8_t *data, size_t len);

/* The bytes that a drive in phase ATA_DMA would move now. */
size_t ata_dma_want(const struct ata_drive *d);

/*
 * In phase ATA_DMA about the medium: d->mem has memory for some of ata_dma_want(), whole sectors of
 * it. The drive starts to move the data and leaves the phase, for good or until it wants more.
 */
void ata_dma_medium(struct ata_drive *d);

/* In phase ATA_DMA about buf: the bus master has moved @len bytes from buf_pos on. */
void ata_dma_buffer(struct ata_drive *d, size_t len);

/* For atapi.c and ata.c, of each other. */
void ata_ready(struct ata_drive *d, uint8_t status, uint8_t error, bool intrq); /* the end */
void ata_transfer(struct ata_drive *d, uint64_t pos, uint64_t len);
void ata_submit(struct ata_drive *d, enum block_op op, uint64_t pos, void *buf, size_t len,
		void (*after)(struct ata_drive *d, int ret));
void ata_send(struct ata_drive *d, size_t len); /* buf to the host */
void ata_receive(struct ata_drive *d, size_t len, bool intrq, void (*filled)(struct ata_drive *d));

void atapi_packet(struct ata_drive *d); /* the command register has A0h */
void atapi_identify(const struct ata_drive *d, uint16_t *id);
void atapi_reset(struct ata_drive *d, bool hardware);
void atapi_block(struct ata_drive *d, size_t len); /* a DRQ block begins: set the registers */
void atapi_failed(struct ata_drive *d, int ret);   /* at byte d->pos of the medium */
void atapi_disc_changed(struct ata_drive *d);

#endif
