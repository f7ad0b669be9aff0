/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulator of single x86 instructions: executes what touched memory that is not RAM (MMIO,
 * read-only slots) and string I/O, on a copy of the guest's registers, through callbacks for
 * memory and ports.
 *
 * An instruction does all its reads first, then at most one write; registers, flags and RIP change
 * only when everything has succeeded. So an instruction can be abandoned at any callback and
 * started again from scratch. Pure: the callbacks are its only contact with the world; no locks
 * are taken.
 *
 * References: APM volume 1, chapter 3; volume 2, chapter 4 (segments), 8 (exceptions); volume 3.
 */
#ifndef CORE_X86_EMUL_H
#define CORE_X86_EMUL_H

#include "core/types.h"
#include "core/x86/insn.h"

/* What came of emul_run(), emul_fetch() and emul_linear(). */
enum emul_result {
	/* Done. RIP, flags and registers are those after the instruction. */
	EMUL_DONE,
	/*
	 * Not finished, RIP unchanged, state consistent: run the guest (or emul_run()) again at
	 * the same RIP. One iteration of a REP string instruction is done (registers updated), or
	 * a locked instruction lost a race and has done nothing.
	 */
	EMUL_AGAIN,
	/* A callback wants data from elsewhere (-EAGAIN). Nothing has changed. */
	EMUL_MMIO,
	/* Inject emul.fault. Nothing has changed. */
	EMUL_FAULT,
	/* Not emulated, or a callback gave up. Nothing has changed. */
	EMUL_UNHANDLED,
};

/* Bits of the flags argument of the callbacks. */
#define EMUL_WRITE  0x01 /* a write; or a read of what will be written: check for writing */
#define EMUL_LOCKED 0x02 /* part of a locked read-modify-write */
#define EMUL_FETCH  0x04 /* instruction fetch */
#define EMUL_PROBE  0x08 /* write(): check only that it could be done; buf is NULL */

/* A segment as in the VMCB's save area (APM volume 2, 15.5.1 and table B-2). */
struct emul_seg {
	u16 selector;
	u16 attrib; /* bits 7:0: P, DPL, S, type; bits 11:8: G, D/B, L, AVL */
	u32 limit;  /* in bytes, granularity applied */
	u64 base;
};

/* An exception to inject. */
struct emul_fault {
	u8 vector;
	bool has_error; /* error is to be pushed */
	u32 error;
	u64 cr2; /* linear address, if vector is 14 */
};

struct emul;

/*
 * The virtual CPU and the callbacks; filled by the caller, lives on its stack.
 *
 * Callbacks return 0 when done; -EAGAIN when the data must be had first (-> EMUL_MMIO); -EFAULT
 * after filling emul->fault (-> EMUL_FAULT); any other negative value gives EMUL_UNHANDLED. One
 * that does not return 0 must have had no effect. A range may cross a page: it then succeeds or
 * fails whole. After EMUL_MMIO the instruction is to be run again from scratch: what read() and
 * in() gave before must be given again, from the caller's cache. A write to a device is queued by
 * write(), which returns 0: the instruction is then complete, and the caller takes the write to
 * its device before the guest goes on. write() and out() are the last callbacks of an instruction,
 * called once.
 */
struct emul {
	u64 gpr[16]; /* hardware order: RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8.. */
	u64 rip;     /* of the instruction */
	u64 rflags;
	/*
	 * ES, CS, SS, DS, FS, GS: may point into a VMCB. FS and GS are there only after a VMSAVE.
	 */
	const struct emul_seg *seg;
	u64 cr0;
	u64 cr4;
	u64 efer;
	u8 cpl;
	u8 *fxsave; /* FXSAVE image that holds the guest's XMM registers, or NULL: not at hand */

	/* len bytes (1..16, batches of string I/O up to io_size) at a linear address */
	int (*read)(struct emul *e, u64 linear, void *buf, unsigned int len, unsigned int flags);
	int (*write)(struct emul *e, u64 linear, const void *buf, unsigned int len,
		     unsigned int flags);
	/*
	 * Atomically: if len bytes (1, 2, 4, 8, 16) at linear equal old, store new there; returns
	 * 0. If they differ, returns -EBUSY. Called for locked instructions after read() of the
	 * same bytes with EMUL_LOCKED. NULL: write() is used, which is right where nobody else can
	 * write (MMIO).
	 */
	int (*cmpxchg)(struct emul *e, u64 linear, const void *old, const void *new,
		       unsigned int len);
	/* count elements of size bytes (1, 2, 4) from or to a port. NULL: I/O is not emulated. */
	int (*in)(struct emul *e, u16 port, unsigned int size, void *buf, unsigned int count);
	int (*out)(struct emul *e, u16 port, unsigned int size, const void *buf,
		   unsigned int count);
	void *io_buf;	      /* for batches of REP INS and OUTS, or NULL: one element a time */
	unsigned int io_size; /* of io_buf, in bytes */
	void *ctx;	      /* the callbacks' own */

	struct emul_fault fault; /* out: valid if EMUL_FAULT */
};

/*
 * Executes one instruction, or one iteration (string I/O: one batch) of a REP string instruction.
 * Returns enum emul_result. Left to the caller: RFLAGS.RF and TF, breakpoints, the interrupt
 * shadow, and the permission to do I/O (an IOIO exit comes after those checks).
 */
int emul_run(struct emul *e, const struct insn *insn);

/*
 * Fetches the bytes at CS:RIP by read() with EMUL_FETCH, never beyond the page unless the
 * instruction goes on there, and decodes them. Returns EMUL_DONE and fills *insn; EMUL_FAULT
 * (fetch fault, #GP, or #UD for an undefined instruction); EMUL_MMIO; or EMUL_UNHANDLED if the
 * decoder does not claim it.
 */
int emul_fetch(struct emul *e, struct insn *insn);

/* Offset in its segment of the instruction's explicit memory operand, cut to the address size. */
u64 emul_offset(const struct emul *e, const struct insn *insn);

/*
 * Linear address of len bytes at offset in segment seg (INSN_ES..), with the checks of APM volume
 * 2, chapter 4 (limit, type, null, canonical) and alignment checking. flags: EMUL_WRITE, or 0
 * for a read. Returns EMUL_DONE, or EMUL_FAULT with emul->fault (#GP, #SS or #AC) filled.
 */
int emul_linear(struct emul *e, unsigned int seg, u64 offset, unsigned int len, unsigned int flags,
		u64 *linear);

/* The same for the explicit memory operand of an instruction. */
static inline int insn_linear(struct emul *e, const struct insn *insn, unsigned int len,
			      unsigned int flags, u64 *linear)
{
	return emul_linear(e, insn->seg, emul_offset(e, insn), len, flags, linear);
}

#endif
