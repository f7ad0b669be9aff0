// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/piix4.h"

#define ISA_IRQS     16
#define ROUTABLE     0xdef8 /* IRQ 3 to 7, 9 to 12, 14, 15 (section 4.1.10) */
#define PORT_ENABLED 0x01

/* SMBus host registers, section 7.3 */
enum {
	SMB_STS = 0,
	SMB_SLV_STS = 1,
	SMB_CNT = 2,
};

#define SMB_STS_DEV_ERR 0x04
#define SMB_STS_W1C	0x1e
#define SMB_CNT_START	0x40
#define SMB_CNT_MASK	0x1f /* protocol, interrupt enable and kill stay */

static void put(uint8_t *p, uint32_t val, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		p[i] = (uint8_t)(val >> 8 * i);
}

static unsigned int get16(const uint8_t *p)
{
	return p[0] | (unsigned int)p[1] << 8;
}

/* ------------------------------------------------------------------ interrupt steering */

/* What the PIRQs that are asserted make of the ISA interrupts. */
static uint16_t steer(const struct piix4 *p)
{
	uint16_t levels = 0;

	for (unsigned int i = 0; i < PIIX4_PIRQS; i++) {
		uint8_t rc = p->isa.config[PIIX4_PIRQRC + i];

		if (p->asserted[i] && !(rc & PIIX4_PIRQRC_OFF))
			levels |= (uint16_t)(1u << (rc & 15));
	}
	return levels & ROUTABLE;
}

static void update_isa(struct piix4 *p)
{
	uint16_t levels = steer(p);
	uint16_t changed = levels ^ p->isa_levels;

	p->isa_levels = levels;
	for (unsigned int irq = 0; irq < ISA_IRQS; irq++)
		if (changed & 1u << irq)
			p->host.isa_irq(p->host.ctx, irq, levels & 1u << irq);
}

void piix4_set_intx(void *ctx, unsigned int n, bool level)
{
	struct piix4 *p = ctx;
	uint32_t *asserted = &p->asserted[n & 3];
	uint32_t bit = 1u << (n >> 2 & 31);
	uint32_t was = *asserted;

	*asserted = level ? was | bit : was & ~bit;
	if (!was == !*asserted)
		return;
	p->host.pirq(p->host.ctx, n & 3, *asserted);
	update_isa(p);
}

/* ------------------------------------------------------------------ configuration */

static void isa_written(struct pci_function *fn, unsigned int off, unsigned int size)
{
	if (off < PIIX4_PIRQRC + PIIX4_PIRQS && off + size > PIIX4_PIRQRC)
		update_isa(fn->dev);
}

static void place_blocks(struct piix4 *p)
{
	const uint8_t *c = p->pm.config;
	bool pm = c[PIIX4_PMREGMISC] & PIIX4_PMIOSE;
	bool smb = c[PCI_COMMAND] & PCI_COMMAND_IO && c[PIIX4_SMBHSTCFG] & PIIX4_SMB_EN;

	p->host.pm_base(p->host.ctx, pm ? (int)(get16(c + PIIX4_PMBASE) & 0xffc0) : -1);
	p->host.smbus_base(p->host.ctx, smb ? (int)(get16(c + PIIX4_SMBBA) & 0xfff0) : -1);
}

static void pm_written(struct pci_function *fn, unsigned int off, unsigned int size)
{
	(void)off;
	(void)size;
	place_blocks(fn->dev);
}

/* Section 4.1: the bridge's own decoding is always on. */
static void init_isa(struct piix4 *p)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086, .device = 0x7110, .class_code = 0x060100, .revision = 0x02
	};
	struct pci_function *fn = &p->isa;
	uint8_t *c = fn->config, *w = fn->wmask;

	pci_function_init(fn, &ids);
	fn->dev = p;
	fn->written = isa_written;
	put(c + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	put(w + PCI_COMMAND, 0x0108, 2); /* special cycles, SERR# */
	put(c + PCI_STATUS, 0x0280, 2);	 /* medium DEVSEL#, fast back-to-back */
	w[PCI_CACHE_LINE] = w[PCI_LATENCY] = w[PCI_INTERRUPT_LINE] = 0;
	c[0x4c] = 0x4d; /* ISA recovery */
	w[0x4c] = 0xff;
	c[0x4e] = 0x03; /* X-bus chip selects */
	put(w + 0x4e, 0x07ff, 2);
	memset(c + PIIX4_PIRQRC, PIIX4_PIRQRC_OFF, PIIX4_PIRQS);
	memset(w + PIIX4_PIRQRC, 0x8f, PIIX4_PIRQS);
	c[0x64] = 0x10; /* serial interrupts */
	w[0x64] = 0xff;
	c[0x69] = 0x02; /* top of memory for ISA masters */
	w[0x69] = 0xfe;
	put(w + 0x6a, 0x8080, 2); /* miscellaneous status */
	c[0x76] = c[0x77] = 0x04; /* motherboard DMA */
	w[0x76] = w[0x77] = 0x8f;
	w[0x80] = 0x7f; /* APIC base */
	w[0x82] = 0x0f; /* deterministic latency */
	put(w + 0x90, 0xffff, 2);
	put(w + 0xb0, 0xffffffff, 4); /* general configuration */
	c[0xcb] = 0x21;		      /* RTC */
	w[0xcb] = 0x3f;
}

/*
 * Section 7.1. There is no system management mode here, so APMC_EN (bit 25 of DEVACTB) is set from
 * the start: SeaBIOS takes it for set up already.
 */
static void init_pm(struct piix4 *p)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086, .device = 0x7113, .class_code = 0x068000, .revision = 0x02
	};
	struct pci_function *fn = &p->pm;
	uint8_t *c = fn->config, *w = fn->wmask;

	pci_function_init(fn, &ids);
	fn->dev = p;
	fn->written = pm_written;
	put(w + PCI_COMMAND, PCI_COMMAND_IO, 2);
	put(c + PCI_STATUS, 0x0280, 2);
	w[PCI_CACHE_LINE] = w[PCI_LATENCY] = 0;
	c[PCI_INTERRUPT_PIN] = 1;
	c[PIIX4_PMBASE] = PORT_ENABLED;
	put(w + PIIX4_PMBASE, 0xffc0, 2);
	memset(w + 0x44, 0xff, 0x70 - 0x44); /* counters, general-purpose control, devices */
	c[PIIX4_DEVACTB + 3] = 0x02;
	w[PIIX4_DEVACTB + 3] = 0xfd;
	memset(w + 0x70, 0xff, 0x80 - 0x70);
	w[PIIX4_PMREGMISC] = PIIX4_PMIOSE;
	c[PIIX4_SMBBA] = PORT_ENABLED;
	put(w + PIIX4_SMBBA, 0xfff0, 2);
	w[PIIX4_SMBHSTCFG] = 0x0f;
	w[0xd3] = w[0xd4] = w[0xd5] = 0xff; /* slave command and shadow addresses */
}

/* ------------------------------------------------------------------ SMBus */

static uint8_t smbus_read_byte(void *dev, unsigned int off)
{
	return ((struct piix4 *)dev)->smb[off];
}

/* A transaction ends at once: no device acknowledges its address. */
static void smbus_write_byte(void *dev, unsigned int off, uint8_t val)
{
	struct piix4 *p = dev;

	switch (off) {
	case SMB_STS:
		p->smb[SMB_STS] &= ~(val & SMB_STS_W1C);
		break;
	case SMB_SLV_STS:
		break;
	case SMB_CNT:
		p->smb[SMB_CNT] = val & SMB_CNT_MASK;
		if (val & SMB_CNT_START)
			p->smb[SMB_STS] |= SMB_STS_DEV_ERR;
		break;
	default:
		p->smb[off] = val;
	}
}

static uint64_t smbus_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(smbus_read_byte, dev, off, size);
}

static void smbus_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(smbus_write_byte, dev, off, size, val);
}

const struct device_ops piix4_smbus_ops = { .read = smbus_read, .write = smbus_write };

/* ------------------------------------------------------------------ life */

void piix4_reset(struct piix4 *p)
{
	memset(p->smb, 0, sizeof(p->smb));
	update_isa(p);
	place_blocks(p);
}

void piix4_init(struct piix4 *p, const struct piix4_host *host)
{
	memset(p, 0, sizeof(*p));
	p->host = *host;
	init_isa(p);
	init_pm(p);
}
