/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PLINTH_BIMODAL_H
#define PLINTH_BIMODAL_H

/*
 * The high-performance mode of bimodal devices (B1 to B6) as a guest's driver sees it; docs/bimodal.md is the
 * whole protocol. Registers are 32 bits wide and little-endian, and are written whole.
 *
 * Where they are. DEC 21140A: a CSR is the low half of a quadword, in I/O and memory space alike; register n is the
 * high half of CSRn's, which the real part does not decode and which reads all ones there. Disk of the PIIX4: register
 * n of unit u (2 * channel + drive) is in the configuration space of the IDE function, where the real part has nothing
 * and which reads zero there.
 */

#define BIMODAL_DEC21140(n) (8 * (n) + 4)		  /* offset of register n */
#define BIMODAL_PIIX4(u, n) (0x60 + 0x20 * (u) + 4 * (n)) /* offset in configuration space */

/* "Not there", of any register: what the part has where it decodes nothing. */
#define BIMODAL_DEC21140_NONE 0xffffffffu
#define BIMODAL_PIIX4_NONE    0x00000000u

/* ID (read): BIMODAL_MAGIC, once the device may be identified; until then every register reads as not there. */
#define BIMODAL_REG_ID 0
#define BIMODAL_MAGIC  0x31424c50u /* "PLB1" */

/* MODE: ENABLED says whether the mode is on; written as 0 it ends, as 1 it begins where that is the way to enable it. */
#define BIMODAL_REG_MODE	 1
#define BIMODAL_MODE_ENABLED	 0x00000001u
#define BIMODAL_MODE_IDENTIFY(v) ((v) >> 4 & 3)	 /* enum bimodal_identify */
#define BIMODAL_MODE_ENABLE(v)	 ((v) >> 8 & 3)	 /* enum bimodal_enable */
#define BIMODAL_MODE_RELATION(v) ((v) >> 12 & 3) /* enum bimodal_relation */

/* The rest reads as not there and is not written while the mode is off. */

/*
 * SELECT (read and write) and DATA: DATA is the register of virtio's MMIO layout, version 2 (virtio 1.2, 4.2.2), at
 * offset SELECT. Of the configuration space, from offset 100h, it is the aligned longword.
 */
#define BIMODAL_REG_SELECT 2
#define BIMODAL_REG_DATA   3

/* DOORBELL (write): the number of a queue that has new buffers. Reads zero. */
#define BIMODAL_REG_DOORBELL 4

/*
 * STATUS_PAGE (read and write): number of a 4 KiB page of the guest's memory, 0 for none. In its first longword the
 * device sets bits of virtio's InterruptStatus before it interrupts, atomically; the guest clears them atomically.
 */
#define BIMODAL_REG_STATUS_PAGE 5

#define BIMODAL_REGS 6

/* How the device lets itself be identified (B3). */
enum bimodal_identify {
	BIMODAL_IDENTIFY_REGISTER,  /* ID answers at once */
	BIMODAL_IDENTIFY_REVISION,  /* the same, and the revision is one that no real part has */
	BIMODAL_IDENTIFY_HANDSHAKE, /* ID answers after the handshake, until the next reset */
};

/* How the mode is switched on (B4). */
enum bimodal_enable {
	BIMODAL_ENABLE_REGISTER, /* MODE is written as 1 */
	BIMODAL_ENABLE_BIT, /* a reserved bit of an old register is set; clearing it ends the mode */
	BIMODAL_ENABLE_SEQUENCE, /* an old register is written with a sequence of values */
};

/* What becomes of the legacy mode while the other is on (B5). */
enum bimodal_relation {
	BIMODAL_DISABLES_PART, /* it keeps its management, and moves no data */
	BIMODAL_DISABLES_ALL,  /* it is not there */
	BIMODAL_EXTENDS,       /* it goes on; what arrives goes to the new mode */
	BIMODAL_INDEPENDENT,   /* it goes on as if there were no other; what arrives goes to both */
};

/* The 21140A: revision, handshake (serial ROM words read one after the other), bit and sequence (both in CSR10). */
#define BIMODAL_DEC21140_REVISION 0xb1
#define BIMODAL_DEC21140_HANDSHAKE                                                                 \
	{                                                                                          \
		0, 3, 7                                                                            \
	}
#define BIMODAL_DEC21140_CSR10_BIT 0x80000000u
#define BIMODAL_DEC21140_CSR10_KEYS                                                                \
	{                                                                                          \
		0x15ac3, 0x2a53c, 0x0b1b1                                                          \
	}

/*
 * A disk of the PIIX4: revision of the IDE function; handshake and sequence are the sectors of three SEEK commands by
 * LBA, one after the other; bit 4 + u of UDMACTL is reserved on the part.
 */
#define BIMODAL_PIIX4_UNITS    4
#define BIMODAL_PIIX4_REVISION 0xb1
#define BIMODAL_PIIX4_SEEK     0x70 /* the command */
#define BIMODAL_PIIX4_HANDSHAKE                                                                    \
	{                                                                                          \
		0, 3, 7                                                                            \
	}
#define BIMODAL_PIIX4_KEYS                                                                         \
	{                                                                                          \
		11, 2, 5                                                                           \
	}
#define BIMODAL_PIIX4_UDMACTL 0x48 /* in configuration space, one byte */
#define BIMODAL_PIIX4_BIT(u)  (0x10u << (u))

/*
 * Its DOORBELL has a second place, for speed: a reserved byte of the bus-master block (BAR 4). A byte written there, of
 * any value, has the device look at all queues of the disk.
 */
#define BIMODAL_PIIX4_DOORBELL(u) (8 * ((u) >> 1) + 1 + 2 * ((u)&1))

#define BIMODAL_PIIX4_MSI 0xe0 /* capability of the function, one message for all its disks */

/* After the handshake: this bit of the drive's status register is set ... */
#define BIMODAL_PIIX4_STATUS 0x02
/* ... and so say these words of IDENTIFY DEVICE, which they do from the start where no handshake is needed. */
#define BIMODAL_PIIX4_WORD_MAGIC       129
#define BIMODAL_PIIX4_MAGIC	       0x4c50 /* "PL" */
#define BIMODAL_PIIX4_WORD_STATE       130
#define BIMODAL_PIIX4_STATE_IDENTIFIED 0x0001
#define BIMODAL_PIIX4_STATE_ENABLED    0x0002

#endif
