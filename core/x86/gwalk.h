/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walk of a guest's page tables: from a linear address to a guest-physical one, with the checks and
 * the accessed and dirty bits of the processor (APM 2, chapter 5). All paging modes: none, 32-bit, PAE,
 * 4 and 5 levels.
 *
 * Pure: table entries are reached through callbacks. Protection keys are not looked at: what comes
 * here is an instruction whose access the processor has checked already, or its other operand.
 */
#ifndef CORE_X86_GWALK_H
#define CORE_X86_GWALK_H

#include "core/types.h"

/* What kind of access, bits of `access`. */
#define GWALK_WRITE    0x01
#define GWALK_FETCH    0x02
#define GWALK_USER     0x04 /* at CPL 3 */
#define GWALK_IMPLICIT 0x08 /* of a descriptor table: RFLAGS.AC does not help against SMAP */
#define GWALK_PEEK     0x10 /* for a debugger: no checks but presence, no bits are set */

/* Bits of a page fault's error code (APM 2, 8.4.2). */
#define GWALK_PF_P    0x01
#define GWALK_PF_W    0x02
#define GWALK_PF_U    0x04
#define GWALK_PF_RSVD 0x08
#define GWALK_PF_I    0x10

struct gwalk {
	u64 cr0, cr3, cr4, efer, rflags;
	u8 maxphyaddr; /* 32..52: address bits above are reserved in table entries */
	/*
	 * Read the `size` (4 or 8) bytes of the table entry at gpa. 0, or a negative errno other
	 * than -EFAULT, which gwalk() passes on.
	 */
	int (*read)(void *ctx, u64 gpa, unsigned int size, u64 *entry);
	/* Atomically replace `old` by `new`. 0; -EBUSY: it is not `old` any more; others as above. */
	int (*cmpxchg)(void *ctx, u64 gpa, unsigned int size, u64 old, u64 new);
	void *ctx;
};

struct gwalk_out {
	u64 gpa;	    /* of the byte at the linear address */
	unsigned int shift; /* log2 of the page's size; 12 without paging */
	u32 error;	    /* page-fault error code, with -EFAULT */
};

/* 0; -EFAULT: page fault with out->error; or what a callback returned. */
int gwalk(const struct gwalk *w, u64 linear, u32 access, struct gwalk_out *out);

#endif
