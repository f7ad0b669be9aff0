// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/ioapic.h"

#define DELMOD_SHIFT	8
#define DELMOD_FIXED	0
#define DELMOD_LOWEST	1
#define RTE_READ_ONLY	(IOAPIC_RTE_DELIVS | IOAPIC_RTE_REMOTE_IRR)
#define RTE_IMPLEMENTED (0x1ffffull | 0xffull << IOAPIC_RTE_DEST_SHIFT)
#define RTE_MESSAGE                                                                                \
	(IOAPIC_RTE_VECTOR | IOAPIC_RTE_DELMOD | IOAPIC_RTE_DESTMOD | IOAPIC_RTE_LEVEL |           \
	 IOAPIC_RTE_MASK | 0xffull << IOAPIC_RTE_DEST_SHIFT)

#define MSI_BASE	     0xfee00000u
#define MSI_ADDR_DEST_SHIFT  12
#define MSI_ADDR_LOGICAL     0x4u
#define MSI_ADDR_REDIRECTION 0x8u
#define MSI_DATA_ASSERT	     0x4000u
#define MSI_DATA_LEVEL	     0x8000u

static unsigned int delmod(uint64_t rte)
{
	return (rte & IOAPIC_RTE_DELMOD) >> DELMOD_SHIFT;
}

/* SMI, NMI, INIT and ExtINT are edges whatever the entry says: nothing would ever end them. */
static bool is_level(uint64_t rte)
{
	return rte & IOAPIC_RTE_LEVEL &&
	       (delmod(rte) == DELMOD_FIXED || delmod(rte) == DELMOD_LOWEST);
}

static bool asserted(const struct ioapic *io, unsigned int pin)
{
	bool high = io->lines >> pin & 1;

	return high != !!(io->rte[pin] & IOAPIC_RTE_INTPOL);
}

void ioapic_message(const struct ioapic *io, unsigned int pin, struct ioapic_msi *msi)
{
	uint64_t rte = io->rte[pin];

	msi->addr = MSI_BASE | (uint32_t)(rte >> IOAPIC_RTE_DEST_SHIFT) << MSI_ADDR_DEST_SHIFT;
	if (rte & IOAPIC_RTE_DESTMOD)
		msi->addr |= MSI_ADDR_LOGICAL;
	/* "Deliver to one of them": with it, a fixed message to a group would reach one only. */
	if (delmod(rte) == DELMOD_LOWEST)
		msi->addr |= MSI_ADDR_REDIRECTION;
	msi->data = (uint32_t)(rte & (IOAPIC_RTE_VECTOR | IOAPIC_RTE_DELMOD));
	if (is_level(rte))
		msi->data |= MSI_DATA_LEVEL | MSI_DATA_ASSERT;
	msi->masked = rte & IOAPIC_RTE_MASK;
}

static void send(struct ioapic *io, unsigned int pin)
{
	struct ioapic_msi msi;

	ioapic_message(io, pin, &msi);
	if (is_level(io->rte[pin]))
		io->rte[pin] |= IOAPIC_RTE_REMOTE_IRR;
	io->host.msi(io->host.ctx, msi.addr, msi.data);
}

/* Level-triggered: send if asserted, unmasked, and the last one was ended. */
static void service_level(struct ioapic *io, unsigned int pin)
{
	uint64_t rte = io->rte[pin];

	if (is_level(rte) && !(rte & (IOAPIC_RTE_MASK | IOAPIC_RTE_REMOTE_IRR)) &&
	    asserted(io, pin))
		send(io, pin);
}

void ioapic_set_irq(void *ctx, unsigned int pin, bool level)
{
	struct ioapic *io = ctx;
	bool before;

	if (pin >= IOAPIC_PINS)
		return;
	before = asserted(io, pin);
	io->lines = (io->lines & ~(1u << pin)) | (uint32_t)level << pin;
	if (is_level(io->rte[pin]))
		service_level(io, pin);
	else if (!before && asserted(io, pin) && !(io->rte[pin] & IOAPIC_RTE_MASK))
		send(io, pin); /* an edge while masked is lost (290566, bit 16) */
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t rte = io->rte[pin];

		if (!(rte & IOAPIC_RTE_REMOTE_IRR) || (rte & IOAPIC_RTE_VECTOR) != vector)
			continue;
		io->rte[pin] = rte & ~IOAPIC_RTE_REMOTE_IRR;
		service_level(io, pin);
	}
}

/* @bits of an entry, already at their place, replace those under @mask. */
static void write_rte(struct ioapic *io, unsigned int pin, uint64_t mask, uint64_t bits)
{
	uint64_t before = io->rte[pin];
	uint64_t rte;

	mask &= RTE_IMPLEMENTED & ~RTE_READ_ONLY;
	rte = (before & ~mask) | (bits & mask);
	/* An entry made edge-triggered forgets what it waits for; older kernels end stuck
	 * interrupts that way. */
	if (!is_level(rte))
		rte &= ~IOAPIC_RTE_REMOTE_IRR;
	io->rte[pin] = rte;
	if ((before ^ rte) & RTE_MESSAGE && io->host.route_changed) {
		struct ioapic_msi msi;

		ioapic_message(io, pin, &msi);
		io->host.route_changed(io->host.ctx, pin, &msi);
	}
	service_level(io, pin);
}

static uint32_t read_window(const struct ioapic *io)
{
	unsigned int n = io->index - IOAPIC_REG_RTE;

	switch (io->index) {
	case IOAPIC_REG_ID:
	case IOAPIC_REG_ARB:
		return (uint32_t)io->id << 24;
	case IOAPIC_REG_VERSION:
		return (IOAPIC_PINS - 1) << 16 | IOAPIC_VERSION;
	}
	if (io->index < IOAPIC_REG_RTE || n >= 2 * IOAPIC_PINS)
		return 0;
	return (uint32_t)(io->rte[n / 2] >> (n & 1 ? 32 : 0));
}

static void write_window(struct ioapic *io, uint32_t val)
{
	unsigned int n = io->index - IOAPIC_REG_RTE;
	unsigned int shift = n & 1 ? 32 : 0;

	if (io->index == IOAPIC_REG_ID)
		io->id = val >> 24 & 15;
	if (io->index < IOAPIC_REG_RTE || n >= 2 * IOAPIC_PINS)
		return;
	write_rte(io, n / 2, 0xffffffffull << shift, (uint64_t)val << shift);
}

/* Registers are accessed as 32-bit quantities (290566, 3.0); narrower reads get their part. */
static uint64_t ioapic_read(void *dev, uint64_t off, unsigned int size)
{
	struct ioapic *io = dev;
	uint64_t val = 0;

	if ((off & 3) + size > 4)
		return 0;
	switch (off & ~3ull) {
	case IOAPIC_IOREGSEL:
		val = io->index;
		break;
	case IOAPIC_IOWIN:
		val = read_window(io);
		break;
	}
	return val >> (8 * (off & 3)) & dev_ones(size);
}

static void ioapic_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct ioapic *io = dev;

	/* The index is one byte and may be written as such. */
	if (off == IOAPIC_IOREGSEL)
		io->index = (uint8_t)val;
	if (size != 4)
		return;
	if (off == IOAPIC_IOWIN)
		write_window(io, (uint32_t)val);
	else if (off == IOAPIC_EOI)
		ioapic_eoi(io, (uint8_t)val);
}

const struct device_ops ioapic_ops = { .read = ioapic_read, .write = ioapic_write };

void ioapic_reset(struct ioapic *io)
{
	io->index = 0;
	io->id = 0;
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		write_rte(io, pin, UINT64_MAX, IOAPIC_RTE_MASK);
}

void ioapic_init(struct ioapic *io, const struct ioapic_host *host)
{
	memset(io, 0, sizeof(*io));
	io->host = *host;
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		io->rte[pin] = IOAPIC_RTE_MASK;
}
