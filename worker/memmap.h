/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where things are in a child's guest-physical memory: one list of figures for the worker, the ACPI
 * tables and the e820 map. Pure.
 */
#ifndef WORKER_MEMMAP_H
#define WORKER_MEMMAP_H

#include <stdint.h>

#define MEMMAP_EBDA	    0x0009fc00u /* end of conventional memory */
#define MEMMAP_VGA	    0x000a0000u /* legacy video: no memory there */
#define MEMMAP_VGA_END	    0x000c0000u
#define MEMMAP_SHADOW	    0x000c0000u /* option ROMs and BIOS: what the PAM registers govern */
#define MEMMAP_SHADOW_END   0x00100000u
#define MEMMAP_BIOS	    0x000e0000u /* where the end of the firmware shows below 1 MiB */
#define MEMMAP_ACPI	    0x000e0000u /* ACPI tables, in the BIOS area where the RSDP is looked for */
#define MEMMAP_HIGH	    0x00100000u /* memory above 1 MiB */
#define MEMMAP_PCI_HOLE	    0xc0000000u /* memory stops here, devices begin */
#define MEMMAP_PCI_LOW	    0x80000000u /* ... here, if memory allows: so SeaBIOS uses it */
#define MEMMAP_IOAPIC	    0xfec00000u
#define MEMMAP_IOAPIC_SIZE  0x1000u
#define MEMMAP_LAPIC	    0xfee00000u
#define MEMMAP_KVM_IDENTITY 0xfeffc000u /* KVM's own pages on Intel parts: 4 KiB, then the TSS */
#define MEMMAP_KVM_TSS	    0xfeffd000u /* 12 KiB */
#define MEMMAP_4G	    0x100000000ull

/* The least memory that the fixed places above leave room for. */
#define MEMMAP_RAM_MIN (4ull << 20)
/* The most that is offered: 1 TiB, the reach of 40 bits of physical address less the PCI hole. */
#define MEMMAP_RAM_MAX ((1ull << 40) - (1ull << 30))

/* The size of the host bridge's memory window: from the hole to the IOAPIC. */
#define MEMMAP_PCI_MEM_LAST (MEMMAP_IOAPIC - 1)

/* A child's memory: low from address 0 (with the video hole in it), high from 4 GiB. */
struct memmap_ram {
	uint64_t low;  /* end of low memory, at most MEMMAP_PCI_HOLE */
	uint64_t high; /* bytes above 4 GiB */
};

/* One contiguous piece of memory. */
struct memmap_range {
	uint64_t start;
	uint64_t size;
};

#define MEMMAP_RANGES_MAX 3

/* Splits total bytes of memory at the PCI hole. */
struct memmap_ram memmap_split(uint64_t total);

/* The pieces that are backed by memory, lowest first; returns their number (MEMMAP_RANGES_MAX). */
unsigned int memmap_ranges(const struct memmap_ram *ram,
			   struct memmap_range out[MEMMAP_RANGES_MAX]);

struct boot_e820_entry; /* asm/bootparam.h */

#define MEMMAP_E820_MAX 8

/* The e820 map of that memory; returns the number of entries, at most MEMMAP_E820_MAX. */
unsigned int memmap_e820(const struct memmap_ram *ram, struct boot_e820_entry *out);

#endif
