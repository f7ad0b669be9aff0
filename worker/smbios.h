/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The SMBIOS tables of a child (DMTF DSP0134 2.8): system, enclosure, processors, memory. The BIOS
 * adds its own structure. Pure.
 */
#ifndef WORKER_SMBIOS_H
#define WORKER_SMBIOS_H

#include <stddef.h>
#include <stdint.h>

#include "worker/memmap.h"

struct smbios_config {
	unsigned int cpus; /* one socket each */
	struct memmap_ram ram;
	uint8_t uuid[16]; /* as text order; all zero: not given */
};

#define SMBIOS_ANCHOR_SIZE 31
#define SMBIOS_TABLES_MAX  0x4000u

/*
 * Writes the structures into buf, and an entry point into anchor that describes them but for their
 * address, which firmware fills in along with the checksums. Returns the bytes used in buf or -ENOSPC.
 */
long smbios_build(const struct smbios_config *cfg, uint8_t anchor[SMBIOS_ANCHOR_SIZE], void *buf,
		  size_t size);

#endif
