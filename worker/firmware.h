/* SPDX-License-Identifier: GPL-2.0-only */
/* Firmware images: what a PC's processor finds at its reset vector. */
#ifndef WORKER_FIRMWARE_H
#define WORKER_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct firmware {
	const char *path; /* of the file, for messages */
	uint8_t *image;	  /* ends at 4 GiB; its last 128 KiB show below 1 MiB too */
	size_t size;	  /* a multiple of 64 KiB, at most 16 MiB */
	/* Of an image with variables that are kept: they take the place of its first vars_size bytes. */
	uint8_t *vars; /* whole pages; NULL: they are not kept, the image is read-only */
	size_t vars_size;
	const char *vars_path;
	int vars_fd;	  /* locked */
	bool vars_failed; /* not everything could be kept, which has been said */
};

/*
 * Reads the firmware called name: "seabios", "ovmf", or a path if there is a '/' in it. Returns 0 or
 * a negative errno after having said why, with nothing to free.
 */
int firmware_load(struct firmware *fw, const char *name);

/*
 * The variables of @fw come from the file at @path and are kept there; if it does not exist it is made, with what the image
 * has. Returns 0 or a negative errno after having said why.
 */
int firmware_open_vars(struct firmware *fw, const char *path);

/* Bytes [@off, @off + @len) of the variables have changed: to the file. The first failure is said. */
void firmware_keep_vars(struct firmware *fw, size_t off, size_t len);

/* Zeroed memory may be freed too. The variables are durable then; the first failure to make them so is said. */
void firmware_free(struct firmware *fw);

#endif
