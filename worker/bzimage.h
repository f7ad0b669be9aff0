/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Direct boot of a Linux kernel image by the x86 boot protocol (Linux: Documentation/x86/boot.rst),
 * entered at its 32-bit entry point, which kernels of both widths have. Pure: works on images in
 * memory and writes into the caller's copy of low guest memory.
 */
#ifndef WORKER_BZIMAGE_H
#define WORKER_BZIMAGE_H

#include <stddef.h>
#include <stdint.h>

#include <asm/bootparam.h>

#include "worker/memmap.h"

/* Where the pieces that the loader makes lie in guest memory, all below MEMMAP_EBDA. */
#define BZIMAGE_GDT	    0x00001000u
#define BZIMAGE_PARAMS	    0x00007000u /* struct boot_params, one page */
#define BZIMAGE_STACK	    0x00010000u /* top of the entry stack */
#define BZIMAGE_CMDLINE	    0x00020000u
#define BZIMAGE_CMDLINE_MAX 0x00010000u /* bytes there, the terminating zero included */
#define BZIMAGE_LOW_END	    (BZIMAGE_CMDLINE + BZIMAGE_CMDLINE_MAX)

/* Flat 4 GiB segments that the entry point expects, by selector. */
#define BZIMAGE_CS 0x10
#define BZIMAGE_DS 0x18

/* A parsed image. Points into the caller's copy of the file. */
struct bzimage {
	const uint8_t *payload;	 /* the protected-mode kernel */
	size_t payload_size;	 /* bytes of it */
	struct setup_header hdr; /* as in the file, zero beyond what the image's version defines */
	uint32_t load_addr;	 /* guest-physical address that the payload goes to */
	uint64_t run_end;	 /* first address that the kernel does not need while it starts */
	uint32_t cmdline_max;	 /* longest command line, without its terminating zero */
};

/* Where a kernel and its initrd go in a given machine. */
struct bzimage_plan {
	uint32_t initrd_addr; /* page-aligned; 0 if there is none */
	uint32_t initrd_size;
};

/*
 * Parses size bytes of a kernel image. Returns 0, or -ENOEXEC with *why set to a clause that says
 * what is wrong with it ("it has no ...").
 */
int bzimage_parse(struct bzimage *img, const void *data, size_t size, const char **why);

/*
 * Places the initrd (initrd_size bytes, 0 for none) as high as the kernel allows. Returns 0, or
 * -ENOMEM with *needed set to the least total memory in bytes that would do, or -E2BIG for an
 * initrd that the kernel cannot take in any machine.
 */
int bzimage_plan(const struct bzimage *img, const struct memmap_ram *ram, uint64_t initrd_size,
		 struct bzimage_plan *plan, uint64_t *needed);

/*
 * Writes boot_params, the command line and the descriptor table into low, the caller's mapping of
 * guest memory from address 0 on (at least BZIMAGE_LOW_END bytes). rsdp: where the ACPI tables
 * start. Returns 0, or -E2BIG if cmdline is longer than img->cmdline_max.
 */
int bzimage_write_params(const struct bzimage *img, const struct bzimage_plan *plan,
			 const struct memmap_ram *ram, const char *cmdline, uint64_t rsdp,
			 uint8_t *low);

#endif
