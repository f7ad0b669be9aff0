/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_FLASH_H
#define WORKER_PLATFORM_FLASH_H

/*
 * Flash memory that firmware keeps its variables in: a part with the command set of Intel's 28F008SA (data sheet 290429),
 * as OVMF's driver uses it. Bytes are programmed and blocks of 4 KiB erased at once.
 *
 * One thing is other than in the part: bit 7 of the status register, ready, is set by an operation that is over, and not before
 * the first or after CLEAR STATUS REGISTER. The driver tells flash memory from ROM by a status of 0.
 *
 * While the part shows its array it can be read as memory is, without the device (flash_host.show); it is written by
 * flash_ops only.
 */
#include "worker/device.h"

#define FLASH_BLOCK 4096u

/* What the device calls. Copied by value. */
struct flash_host {
	/* Reads give the array from now on (@array), or something else: they have to reach flash_ops then. */
	void (*show)(void *ctx, bool array);
	/* An end of writing: bytes [@off, @off + @len) may have changed since the last one. */
	void (*changed)(void *ctx, uint32_t off, uint32_t len);
	void *ctx;
};

struct flash {
	uint8_t *data;
	uint32_t size;
	bool array;    /* reads give it, else the status register */
	uint8_t setup; /* the first of a command's two writes; 0: none */
	uint8_t status;
	uint32_t first, end; /* what has changed since flash_host.changed */
	struct flash_host host;
};

/* Make @flash a part of @size bytes, whole blocks, with the contents @data, the caller's. */
void flash_init(struct flash *flash, uint8_t *data, uint32_t size, const struct flash_host *host);

/* RP#: the array is shown, the status forgotten. */
void flash_reset(struct flash *flash);

extern const struct device_ops flash_ops; /* @dev: struct flash * */

#endif
