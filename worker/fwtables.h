/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What firmware is told about a child through fw_cfg (worker/platform/fwcfg.h): memory map, ACPI
 * tables with the script that links them (SeaBIOS's romfile_loader), SMBIOS structures, counts. Pure.
 */
#ifndef WORKER_FWTABLES_H
#define WORKER_FWTABLES_H

#include <stdint.h>

#include "worker/acpi.h"
#include "worker/memmap.h"
#include "worker/platform/fwcfg.h"
#include "worker/smbios.h"

/* Entries of the script, 128 bytes each: two files, pointers, checksums. */
#define FWTABLES_LOADER_ENTRY 128
#define FWTABLES_LOADER_MAX   ((2 + 2 * ACPI_LINKS_MAX) * FWTABLES_LOADER_ENTRY)

/* An entry of etc/e820. */
struct fwtables_e820 {
	uint64_t start, size;
	uint32_t type;
} __attribute__((packed));

/* The contents of the files; fw_cfg refers to them, so they stay as long as it does. */
struct fwtables {
	struct fwtables_e820 e820[2];
	unsigned int e820_count;
	uint8_t acpi[ACPI_TABLES_MAX];
	uint32_t acpi_size;
	uint8_t loader[FWTABLES_LOADER_MAX];
	uint32_t loader_size;
	uint8_t smbios_anchor[SMBIOS_ANCHOR_SIZE];
	uint8_t smbios[SMBIOS_TABLES_MAX];
	uint32_t smbios_size;
};

/* Makes the contents. Returns 0 or a negative errno, as acpi_build() and smbios_build() do. */
int fwtables_build(struct fwtables *t, const struct acpi_config *acpi,
		   const struct smbios_config *smbios);

/*
 * The machine has changed: the ACPI tables say so. Returns 0, or -EINVAL with the old ones kept if
 * their size would be another, which firmware has been told already.
 */
int fwtables_update_acpi(struct fwtables *t, const struct acpi_config *acpi);

/* Adds them, and numbers of processors and the like, to fw. Returns 0 or a negative errno. */
int fwtables_publish(const struct fwtables *t, unsigned int cpus, struct fwcfg *fw);

#endif
