/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ACPI tables of a child: RSDP, RSDT, XSDT, FADT, FACS, MADT and DSDT (ACPI 6.4, chapter 5),
 * written as one block that the caller places in guest memory. Pure: depends on its arguments only.
 */
#ifndef WORKER_ACPI_H
#define WORKER_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the tables say about the machine; the platform's own headers are where the values come from. */
struct acpi_config {
	unsigned int cpus;	  /* 1 to 254: xAPIC identifiers 0 to cpus - 1 */
	uint32_t lapic_base;	  /* physical address of the local APICs */
	uint32_t ioapic_base;	  /* physical address of the IOAPIC, whose inputs start at GSI 0 */
	uint8_t ioapic_id;	  /* identifier of the IOAPIC */
	uint16_t pm1_evt_port;	  /* PM1a event block, 4 bytes of ports */
	uint16_t pm1_cnt_port;	  /* PM1a control block, 2 bytes */
	uint16_t pm_tmr_port;	  /* power-management timer, 4 bytes */
	unsigned int pm_tmr_bits; /* width of its counter: 24 or 32 */
	uint8_t s5_slp_typ;	  /* SLP_TYP value that means soft off */
	uint16_t reset_port;	  /* a byte write of reset_value there resets the machine */
	uint8_t reset_value;
	uint8_t sci_irq;	/* GSI of the SCI; level-triggered, active high */
	uint32_t pci_mem_start; /* first byte of the memory window of the host bridge */
	uint32_t pci_mem_last;	/* last byte of it */
	/* PIRQA# to PIRQD# go to four IOAPIC inputs from this GSI on, active low, and by the
	 * PIIX4's function 0 in slot isa_slot to the PICs. */
	uint32_t pirq_gsi;
	uint8_t isa_slot;
};

/* An upper bound of what acpi_build() writes, for any number of CPUs. */
#define ACPI_TABLES_MAX 0x8000u

/*
 * Writes the tables for a block at guest-physical address gpa (a multiple of 64) into buf; the RSDP
 * is its first byte. Returns the bytes used, -ENOSPC if size is too small, or -EINVAL for a
 * configuration that cannot be expressed.
 */
long acpi_build(const struct acpi_config *cfg, uint64_t gpa, void *buf, size_t size);

/*
 * The same for firmware that places the tables itself: what it has to add up when it has done so.
 * Offsets count from the start of the RSDP or of the tables, which are two files.
 */
struct acpi_pointer {
	uint32_t offset; /* of a little-endian field that holds an offset into the tables */
	uint8_t size;	 /* 4 or 8 bytes */
	bool in_rsdp;	 /* which file it is in */
};

struct acpi_checksum {
	uint32_t start, length; /* bytes whose sum is to be 0 */
	uint32_t offset;	/* of the byte that makes it so */
	bool in_rsdp;
};

#define ACPI_RSDP_SIZE	   36
#define ACPI_LINKS_MAX	   16
#define ACPI_TABLES_OFFSET 64 /* in the block that acpi_build_links() writes, behind the RSDP */

struct acpi_links {
	struct acpi_pointer pointer[ACPI_LINKS_MAX];
	unsigned int pointers;
	struct acpi_checksum checksum[ACPI_LINKS_MAX];
	unsigned int checksums;
};

/*
 * Writes the RSDP at buf and the tables at ACPI_TABLES_OFFSET, for a machine whose firmware links
 * them. Returns as acpi_build(): the bytes used, RSDP and gap included.
 */
long acpi_build_links(const struct acpi_config *cfg, void *buf, size_t size,
		      struct acpi_links *links);

#endif
