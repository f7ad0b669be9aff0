/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_IOAPIC_H
#define WORKER_PLATFORM_IOAPIC_H

/*
 * An I/O APIC with 24 inputs: the 82093AA (Intel 290566) as later chipsets have it, version 0x20
 * with an EOI register. One page of memory, usually at 0xfec00000: an index register at 0x00, a
 * 32-bit window at 0x10, the EOI register at 0x40.
 *
 * Interrupts leave as messages in the format of an MSI (SDM volume 3, 11.11), which is what the
 * local APICs' bus carries. A level-triggered one is not sent again until its EOI came back.
 *
 * Inputs are electrical: with RTE.polarity set, low is asserted. All inputs start low, so firmware
 * tables have to describe pins whose devices drive high as active high.
 */
#include "worker/device.h"

#define IOAPIC_PINS    24
#define IOAPIC_VERSION 0x20
#define IOAPIC_BASE    0xfec00000u
#define IOAPIC_SIZE    0x1000

/* Offsets in the page */
#define IOAPIC_IOREGSEL 0x00
#define IOAPIC_IOWIN	0x10
#define IOAPIC_EOI	0x40

/* Indices for IOREGSEL */
#define IOAPIC_REG_ID	   0x00
#define IOAPIC_REG_VERSION 0x01
#define IOAPIC_REG_ARB	   0x02
#define IOAPIC_REG_RTE	   0x10 /* two per pin, low half first */

/* Redirection table entry, 290566 section 3.2.4 */
#define IOAPIC_RTE_VECTOR     0xffull
#define IOAPIC_RTE_DELMOD     0x700ull
#define IOAPIC_RTE_DESTMOD    0x800ull	/* 1 = logical */
#define IOAPIC_RTE_DELIVS     0x1000ull /* read-only; messages never wait here: 0 */
#define IOAPIC_RTE_INTPOL     0x2000ull /* 1 = active low */
#define IOAPIC_RTE_REMOTE_IRR 0x4000ull /* read-only; sent and not ended yet */
#define IOAPIC_RTE_LEVEL      0x8000ull
#define IOAPIC_RTE_MASK	      0x10000ull
#define IOAPIC_RTE_DEST_SHIFT 56

/* A message, as an MSI. */
struct ioapic_msi {
	uint64_t addr;
	uint32_t data;
	bool masked; /* RTE.mask: currently not sent */
};

struct ioapic_host {
	/* Deliver an interrupt message to the local APICs. Delivery mode 7 (ExtINT) is an entry that
	 * passes the 8259's INT on: the owner notes it, and i8259_ack follows when a processor takes
	 * it. Not from here, where the 8259 may be the one that is calling: with automatic EOI a
	 * level-triggered request would come straight back, without end. */
	void (*msi)(void *ctx, uint64_t addr, uint32_t data);
	/* The message that @pin would send has changed (also its mask). The owner keeps the routes
	 * of the kernel in step, so that it learns of EOIs of level-triggered interrupts. Called
	 * before a message of the new kind is sent. NULL: not wanted. */
	void (*route_changed)(void *ctx, unsigned int pin, const struct ioapic_msi *msi);
	void *ctx;
};

struct ioapic {
	uint8_t index; /* IOREGSEL */
	uint8_t id;    /* 4 bits */
	uint64_t rte[IOAPIC_PINS];
	uint32_t lines; /* inputs, as driven */
	struct ioapic_host host;
};

/* Make @io an IOAPIC in reset state. Calls nothing back: at first all pins are masked. */
void ioapic_init(struct ioapic *io, const struct ioapic_host *host);

/* Reset: all entries masked, ID 0. Inputs keep their levels. Reports changed routes. */
void ioapic_reset(struct ioapic *io);

extern const struct device_ops ioapic_ops; /* one page. @dev: struct ioapic * */

/* Drive input @pin (0 to 23, others are ignored). @io is a struct ioapic *: fits irq_pin.set. */
void ioapic_set_irq(void *io, unsigned int pin, bool level);

/* An EOI of @vector was broadcast by a local APIC: every level-triggered entry of that vector is
 * ready again, and sends at once if its input is still asserted. */
void ioapic_eoi(struct ioapic *io, uint8_t vector);

/* What @pin (0 to 23) sends. */
void ioapic_message(const struct ioapic *io, unsigned int pin, struct ioapic_msi *msi);

#endif
