/* SPDX-License-Identifier: GPL-2.0-only */
/* Firmware images: what a PC's processor finds at its reset vector. */
#ifndef WORKER_FIRMWARE_H
#define WORKER_FIRMWARE_H

#include <stddef.h>
#include <stdint.h>

struct firmware {
	const char *path; /* of the file, for messages */
	uint8_t *image;	  /* ends at 4 GiB; its last 128 KiB show below 1 MiB too */
	size_t size;	  /* a multiple of 64 KiB, at most 16 MiB */
};

/*
 * Reads the firmware called name: "seabios", "ovmf", or a path if there is a '/' in it. Returns 0 or
 * a negative errno after having said why, with nothing to free.
 */
int firmware_load(struct firmware *fw, const char *name);

/* Zeroed memory may be freed too. */
void firmware_free(struct firmware *fw);

#endif
