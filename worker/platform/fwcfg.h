/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_FWCFG_H
#define WORKER_PLATFORM_FWCFG_H

/*
 * The firmware configuration device that SeaBIOS, OVMF and Linux know (QEMU's docs/specs/fw_cfg):
 * items of bytes behind 16-bit keys, a directory of those that have names, read a byte at a time or
 * copied to memory. Items are constant: writes of any kind fail or are dropped.
 */
#include "worker/device.h"
#include "worker/devices/dma.h"

#define FWCFG_BASE  0x510
#define FWCFG_PORTS 12 /* selector 0x510, data 0x511, DMA address 0x514 to 0x51b */

/* Keys with a meaning of their own */
#define FWCFG_SIGNATURE 0x00
#define FWCFG_ID	0x01
#define FWCFG_UUID	0x02
#define FWCFG_RAM_SIZE	0x03
#define FWCFG_NOGRAPHIC 0x04
#define FWCFG_NB_CPUS	0x05
#define FWCFG_NUMA	0x0d
#define FWCFG_BOOT_MENU 0x0e
#define FWCFG_MAX_CPUS	0x0f
#define FWCFG_FILE_DIR	0x19
#define FWCFG_FILES	0x20 /* the first file's; the others follow */
#define FWCFG_ARCH	0x8000
#define FWCFG_IRQ0	0x8002 /* whether IRQ 0 is pin 2 of the IOAPIC */

#define FWCFG_ITEMS_MAX 40
#define FWCFG_FILES_MAX 20
#define FWCFG_NAME_MAX	55

/* Control word of a DMA transfer, in memory big-endian: control 4, length 4, address 8 */
#define FWCFG_DMA_ERROR	 0x01
#define FWCFG_DMA_READ	 0x02
#define FWCFG_DMA_SKIP	 0x04
#define FWCFG_DMA_SELECT 0x08 /* the key is in the upper 16 bits */
#define FWCFG_DMA_WRITE	 0x10

struct fwcfg_item {
	uint16_t key;
	uint32_t len;
	const uint8_t *data; /* the owner's, or small */
	uint8_t small[8];
};

struct fwcfg {
	struct fwcfg_item item[FWCFG_ITEMS_MAX];
	unsigned int items;
	uint8_t dir[4 + 64 * FWCFG_FILES_MAX]; /* the directory, big-endian as the guest reads it */
	unsigned int files;
	uint16_t key;	   /* selected */
	uint32_t offset;   /* of the next byte */
	uint64_t dma_addr; /* as written so far */
	const struct dma *dma;
	/* The guest selects @key: the owner may bring the contents of an item up to date, not its
	 * length. NULL: not wanted. */
	void (*selected)(void *ctx, uint16_t key);
	void *ctx;
};

/* Make @fw a device with the signature and an empty directory; @dma must outlive it. */
void fwcfg_init(struct fwcfg *fw, const struct dma *dma);

/* PCIRST#: what the guest selected. Items stay. */
void fwcfg_reset(struct fwcfg *fw);

/* Add an item; @data has to stay. Returns 0, -EEXIST, or -ENOSPC for too many. */
int fwcfg_add(struct fwcfg *fw, uint16_t key, const void *data, uint32_t len);

/* Add a little-endian number of @len bytes (1 to 8). Returns as fwcfg_add. */
int fwcfg_add_int(struct fwcfg *fw, uint16_t key, uint64_t val, uint32_t len);

/* Add a file, under the next key. Also -EINVAL for a name that is empty or too long. */
int fwcfg_add_file(struct fwcfg *fw, const char *name, const void *data, uint32_t len);

extern const struct device_ops fwcfg_ops; /* FWCFG_PORTS ports. @dev: struct fwcfg * */

#endif
