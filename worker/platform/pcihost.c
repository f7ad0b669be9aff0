// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include "worker/platform/pcihost.h"

#define CONFADD_ENABLE	 0x80000000u
#define CONFADD_MASK	 0x80fffffcu
#define CONFADD_BUS(a)	 ((a) >> 16 & 0xff)
#define CONFADD_DEVFN(a) ((a) >> 8 & 0xff)
#define CONFADD_REG(a)	 ((a)&0xfc)
#define CONFDATA	 4 /* offset in the region */
#define RC		 1

#define COMMAND_WRITABLE 0x0547 /* I/O, memory, master, parity, SERR#, INTx disable */
#define STATUS_W1C	 0xf900 /* the error bits */

#define STATUS_CAPABILITIES 0x10

/* The MSI capability with a 64-bit address, PCI 3.0 figure 6-9 */
#define MSI_ID	    0x05
#define MSI_CONTROL 2
#define MSI_ADDRESS 4
#define MSI_DATA    12
#define MSI_ENABLE  0x01
#define MSI_64	    0x80

#define BAR_IO	   0x1
#define BAR_MEM64  0x4
#define BAR_PREF   0x8
#define ROM_ENABLE 0x1

static void put(uint8_t *p, uint64_t val, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		p[i] = (uint8_t)(val >> 8 * i);
}

static uint64_t get(const uint8_t *p, unsigned int size)
{
	uint64_t val = 0;

	for (unsigned int i = 0; i < size; i++)
		val |= (uint64_t)p[i] << 8 * i;
	return val;
}

void pci_function_init(struct pci_function *fn, const struct pci_ids *ids)
{
	memset(fn, 0, sizeof(*fn));
	put(&fn->config[PCI_VENDOR_ID], ids->vendor, 2);
	put(&fn->config[PCI_DEVICE_ID], ids->device, 2);
	fn->config[PCI_REVISION_ID] = ids->revision;
	put(&fn->config[PCI_CLASS_PROG], ids->class_code, 3);
	put(&fn->config[PCI_SUBSYSTEM], ids->subsys_vendor, 2);
	put(&fn->config[PCI_SUBSYSTEM + 2], ids->subsys_device, 2);
	put(&fn->wmask[PCI_COMMAND], COMMAND_WRITABLE, 2);
	put(&fn->w1c[PCI_STATUS], STATUS_W1C, 2);
	fn->wmask[PCI_CACHE_LINE] = 0xff;
	fn->wmask[PCI_LATENCY] = 0xff;
	fn->wmask[PCI_INTERRUPT_LINE] = 0xff;
	pci_function_seal(fn);
}

static bool power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static bool bar_size_ok(enum pci_bar_type type, uint64_t size)
{
	if (!power_of_two(size))
		return false;
	switch (type) {
	case PCI_BAR_IO:
		return size >= 4 && size <= 256;
	case PCI_BAR_MEM32:
		return size >= 16 && size <= 1ull << 31;
	default:
		return size >= 16;
	}
}

int pci_function_set_bar(struct pci_function *fn, unsigned int bar, enum pci_bar_type type,
			 uint64_t size)
{
	static const uint8_t flags[] = {
		[PCI_BAR_IO] = BAR_IO,
		[PCI_BAR_MEM32] = 0,
		[PCI_BAR_MEM64] = BAR_MEM64,
		[PCI_BAR_PREF64] = BAR_MEM64 | BAR_PREF,
	};
	unsigned int off = PCI_BAR0 + 4 * bar;
	unsigned int bytes = flags[type] & BAR_MEM64 ? 8 : 4;
	uint8_t taken;

	if (bar * 4 + bytes > PCI_BARS * 4 || !bar_size_ok(type, size))
		return -EINVAL;
	taken = (uint8_t)((bytes == 8 ? 3u : 1u) << bar);
	if (fn->bars_taken & taken)
		return -EINVAL;
	fn->bars_taken |= taken;
	fn->bars |= 1u << bar;
	/* The address bits that can be written tell the size (PCI 3.0, 6.2.5.1). */
	put(&fn->wmask[off], ~(size - 1), bytes);
	put(&fn->config[off], flags[type], bytes);
	pci_function_seal(fn);
	return 0;
}

int pci_function_set_rom(struct pci_function *fn, uint32_t size)
{
	if (!power_of_two(size) || size < 2048 || size > 16u << 20)
		return -EINVAL;
	put(&fn->wmask[PCI_ROM], ~(size - 1) | ROM_ENABLE, 4);
	return 0;
}

void pci_function_set_pin(struct pci_function *fn, uint8_t pin)
{
	fn->config[PCI_INTERRUPT_PIN] = pin;
	pci_function_seal(fn);
}

void pci_function_add_msi(struct pci_function *fn, uint8_t off)
{
	fn->msi = off;
	fn->config[PCI_STATUS] |= STATUS_CAPABILITIES;
	fn->config[PCI_CAPABILITIES] = off;
	fn->config[off] = MSI_ID;
	fn->config[off + MSI_CONTROL] = MSI_64;
	fn->wmask[off + MSI_CONTROL] = MSI_ENABLE;
	put(&fn->wmask[off + MSI_ADDRESS], ~3ull, 8);
	put(&fn->wmask[off + MSI_DATA], 0xffff, 2);
	pci_function_seal(fn);
}

bool pci_function_msi(const struct pci_function *fn, uint64_t *addr, uint32_t *data)
{
	const uint8_t *cap = &fn->config[fn->msi];

	if (!fn->msi || !(cap[MSI_CONTROL] & MSI_ENABLE))
		return false;
	*addr = get(&cap[MSI_ADDRESS], 8);
	*data = (uint32_t)get(&cap[MSI_DATA], 2);
	return true;
}

void pci_function_seal(struct pci_function *fn)
{
	memcpy(fn->reset, fn->config, sizeof(fn->reset));
}

void pci_function_reset(struct pci_function *fn)
{
	memcpy(fn->config, fn->reset, sizeof(fn->config));
}

bool pci_function_bar(const struct pci_function *fn, unsigned int bar, uint64_t *addr)
{
	unsigned int off = PCI_BAR0 + 4 * bar;
	uint16_t command = (uint16_t)get(&fn->config[PCI_COMMAND], 2);
	bool io, wide;

	if (bar >= PCI_BARS || !(fn->bars & 1u << bar))
		return false;
	io = fn->config[off] & BAR_IO;
	wide = !io && fn->config[off] & BAR_MEM64;
	*addr = get(&fn->config[off], wide ? 8 : 4) & (io ? ~3ull : ~15ull);
	return command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
}

uint32_t pci_function_read(struct pci_function *fn, unsigned int off, unsigned int size)
{
	uint32_t val = (uint32_t)get(&fn->config[off], size);

	if (fn->read)
		val = fn->read(fn, off, size, val) & (uint32_t)dev_ones(size);
	return val;
}

void pci_function_write(struct pci_function *fn, unsigned int off, unsigned int size, uint32_t val)
{
	for (unsigned int i = off; i < off + size; i++, val >>= 8) {
		uint8_t byte = (uint8_t)val;

		fn->config[i] = (fn->config[i] & ~fn->wmask[i]) | (byte & fn->wmask[i]);
		fn->config[i] &= ~(byte & fn->w1c[i]);
	}
	if (fn->written)
		fn->written(fn, off, size);
}

/* The function that CONFADD selects; NULL if it is absent or CONFADD is not enabled. */
static struct pci_function *selected(const struct pcihost *host)
{
	if (!(host->confadd & CONFADD_ENABLE) || CONFADD_BUS(host->confadd))
		return NULL;
	return host->fn[CONFADD_DEVFN(host->confadd)];
}

static uint64_t pcihost_read(void *dev, uint64_t off, unsigned int size)
{
	struct pcihost *host = dev;
	struct pci_function *fn;

	if (off == 0 && size == 4)
		return host->confadd;
	if (off == RC && size == 1 && host->rc_ops)
		return host->rc_ops->read(host->rc_dev, 0, 1);
	fn = selected(host);
	if (off < CONFDATA || !fn)
		return dev_ones(size);
	off += CONFADD_REG(host->confadd) - CONFDATA;
	return pci_function_read(fn, (unsigned int)off, size);
}

static void pcihost_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct pcihost *host = dev;
	struct pci_function *fn;

	if (off == 0 && size == 4) {
		host->confadd = (uint32_t)val & CONFADD_MASK;
		return;
	}
	if (off == RC && size == 1 && host->rc_ops) {
		host->rc_ops->write(host->rc_dev, 0, 1, val);
		return;
	}
	fn = selected(host);
	if (off < CONFDATA || !fn)
		return;
	off += CONFADD_REG(host->confadd) - CONFDATA;
	pci_function_write(fn, (unsigned int)off, size, (uint32_t)val);
	if (host->decode_changed && off < PCI_ROM + 4 && off + size > PCI_COMMAND)
		host->decode_changed(host->ctx, fn);
}

const struct device_ops pcihost_ops = { .read = pcihost_read, .write = pcihost_write };

/* Function 0 of a device says whether there are others (PCI 3.0, 6.2.1). */
static void mark_multifunction(struct pcihost *host, uint8_t devfn)
{
	struct pci_function *first = host->fn[devfn & ~7u];
	bool others = false;

	for (unsigned int i = 1; i < 8; i++)
		others |= host->fn[(devfn & ~7u) + i] != NULL;
	if (!first || !others)
		return;
	first->config[PCI_HEADER_TYPE] |= PCI_MULTIFUNCTION;
	first->reset[PCI_HEADER_TYPE] |= PCI_MULTIFUNCTION;
}

int pcihost_add(struct pcihost *host, uint8_t devfn, struct pci_function *fn)
{
	if (host->fn[devfn])
		return -EBUSY;
	pci_function_seal(fn);
	host->fn[devfn] = fn;
	mark_multifunction(host, devfn);
	return 0;
}

void pcihost_set_rc(struct pcihost *host, const struct device_ops *ops, void *dev)
{
	host->rc_ops = ops;
	host->rc_dev = dev;
}

void pcihost_reset(struct pcihost *host)
{
	host->confadd = 0;
	for (unsigned int i = 0; i < 256; i++)
		if (host->fn[i])
			pci_function_reset(host->fn[i]);
}

/* 82441FX, 290549 section 3.2: memory and master are hard-wired on, I/O off. */
static void init_bridge(struct pci_function *fn)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086, .device = 0x1237, .class_code = 0x060000, .revision = 0x02
	};

	pci_function_init(fn, &ids);
	put(&fn->config[PCI_COMMAND], PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	put(&fn->wmask[PCI_COMMAND], 0x0140, 2); /* parity, SERR# */
	put(&fn->config[PCI_STATUS], 0x0280, 2); /* medium DEVSEL#, fast back-to-back */
	fn->wmask[PCI_CACHE_LINE] = 0;
	fn->wmask[PCI_LATENCY] = 0xf8;
	fn->wmask[PCI_INTERRUPT_LINE] = 0;
	fn->wmask[PCIHOST_PAM0] = 0x30;
	memset(&fn->wmask[PCIHOST_PAM0 + 1], 0x33, PCIHOST_PAM6 - PCIHOST_PAM0);
	fn->config[PCIHOST_SMRAM] = 0x02;
	fn->wmask[PCIHOST_SMRAM] = 0x78;
}

void pcihost_init(struct pcihost *host)
{
	memset(host, 0, sizeof(*host));
	init_bridge(&host->bridge);
	pcihost_add(host, PCI_DEVFN(0, 0), &host->bridge);
}
