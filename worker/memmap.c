// SPDX-License-Identifier: GPL-2.0-only
#include "worker/memmap.h"

#include <asm/bootparam.h>

/* Address range types of INT 15h, E820h (ACPI 6.4, section 15). */
enum {
	E820_RAM = 1,
	E820_RESERVED = 2,
};

struct memmap_ram memmap_split(uint64_t total)
{
	struct memmap_ram ram = { .low = total };

	if (total > MEMMAP_PCI_HOLE) {
		ram.low = MEMMAP_PCI_HOLE;
		ram.high = total - MEMMAP_PCI_HOLE;
	}
	return ram;
}

unsigned int memmap_ranges(const struct memmap_ram *ram, struct memmap_range out[MEMMAP_RANGES_MAX])
{
	out[0] = (struct memmap_range){ 0, MEMMAP_VGA };
	out[1] = (struct memmap_range){ MEMMAP_VGA_END, ram->low - MEMMAP_VGA_END };
	if (!ram->high)
		return 2;
	out[2] = (struct memmap_range){ MEMMAP_4G, ram->high };
	return 3;
}

unsigned int memmap_e820(const struct memmap_ram *ram, struct boot_e820_entry *out)
{
	unsigned int n = 0;

	out[n++] = (struct boot_e820_entry){ 0, MEMMAP_EBDA, E820_RAM };
	out[n++] = (struct boot_e820_entry){ MEMMAP_EBDA, MEMMAP_VGA - MEMMAP_EBDA, E820_RESERVED };
	out[n++] =
		(struct boot_e820_entry){ MEMMAP_ACPI, MEMMAP_HIGH - MEMMAP_ACPI, E820_RESERVED };
	out[n++] = (struct boot_e820_entry){ MEMMAP_HIGH, ram->low - MEMMAP_HIGH, E820_RAM };
	if (ram->high)
		out[n++] = (struct boot_e820_entry){ MEMMAP_4G, ram->high, E820_RAM };
	return n;
}
