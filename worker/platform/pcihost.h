/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_PCIHOST_H
#define WORKER_PLATFORM_PCIHOST_H

/*
 * A PCI host bridge with one bus: the 82441FX (Intel 290549) at 00:00.0, its configuration
 * mechanism #1 (PCI 3.0, 3.2.2.3.2), and the configuration space of functions on bus 0. There are
 * no bridges behind it: other buses read all ones, as do absent functions.
 */
#include "worker/device.h"

#define PCIHOST_PORTS 8 /* from 0xcf8: CONFADD, and CONFDATA at 0xcfc */

#define PCI_CONFIG_SIZE 256
#define PCI_BARS	6
#define PCI_DEVFN(d, f) (((d)&0x1f) << 3 | ((f)&7))

/* Configuration header, PCI 3.0 figure 6-1 */
#define PCI_VENDOR_ID	   0x00
#define PCI_DEVICE_ID	   0x02
#define PCI_COMMAND	   0x04
#define PCI_STATUS	   0x06
#define PCI_REVISION_ID	   0x08
#define PCI_CLASS_PROG	   0x09
#define PCI_CACHE_LINE	   0x0c
#define PCI_LATENCY	   0x0d
#define PCI_HEADER_TYPE	   0x0e
#define PCI_BAR0	   0x10
#define PCI_SUBSYSTEM	   0x2c
#define PCI_CAPABILITIES   0x34
#define PCI_ROM		   0x30
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN  0x3d

#define PCI_COMMAND_IO	   0x0001
#define PCI_COMMAND_MEMORY 0x0002
#define PCI_COMMAND_MASTER 0x0004

#define PCI_MULTIFUNCTION 0x80 /* in the header type of function 0 */

/* 82441FX, registers kept without effect; who implements shadowing hooks pcihost.bridge.written */
#define PCIHOST_PAM0  0x59
#define PCIHOST_PAM6  0x5f
#define PCIHOST_SMRAM 0x72

struct pci_function;

/*
 * A function's configuration space. Embedded in a device, filled by pci_function_init and the
 * setters below; a device adds registers of its own by writing config[] and the masks directly.
 */
struct pci_function {
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t wmask[PCI_CONFIG_SIZE]; /* bits that the guest can write */
	uint8_t w1c[PCI_CONFIG_SIZE];	/* bits that the guest clears by writing 1; not in wmask */
	/* Replace what a read returns; @val is what config[] holds. NULL: config[] as it is. */
	uint32_t (*read)(struct pci_function *fn, unsigned int off, unsigned int size,
			 uint32_t val);
	/* @size bytes at @off were written by the guest and have been merged. NULL: not wanted. */
	void (*written)(struct pci_function *fn, unsigned int off, unsigned int size);
	uint8_t msi;	    /* offset of the MSI capability; 0: none */
	uint8_t bars;	    /* which exist, by number; the upper half of a wide one does not */
	uint8_t bars_taken; /* including upper halves */
	void *dev;	    /* for the hooks */
	uint8_t reset[PCI_CONFIG_SIZE]; /* config[] as of pci_function_seal */
};

struct pci_ids {
	uint16_t vendor, device;
	uint32_t class_code; /* 24 bits: class, subclass, programming interface */
	uint8_t revision;
	uint16_t subsys_vendor, subsys_device;
};

enum pci_bar_type {
	PCI_BAR_IO,
	PCI_BAR_MEM32,
	PCI_BAR_MEM64,	/* takes the next BAR as well */
	PCI_BAR_PREF64, /* prefetchable, 64 bits */
};

struct pcihost {
	uint32_t confadd;
	struct pci_function *fn[256]; /* of bus 0, by PCI_DEVFN */
	struct pci_function bridge;   /* 00:00.0 */
	const struct device_ops *rc_ops;
	void *rc_dev;
	/* The guest has written to @fn's configuration space, and what pci_function_bar() says may
	 * have changed. NULL: not wanted. */
	void (*decode_changed)(void *ctx, struct pci_function *fn);
	void *ctx;
};

/* Make @fn an empty type 0 header: command, status, cache line, latency and interrupt line behave
 * as PCI 3.0 section 6.2 says; no BARs, no interrupt pin, no hooks. */
void pci_function_init(struct pci_function *fn, const struct pci_ids *ids);

/*
 * Give @fn a BAR of @size bytes: a power of two, at least 4 (I/O, at most 256) or 16 (memory, at
 * most 2 GiB, 2^63 for 64 bits). Returns 0, or -EINVAL for another size, a BAR number that does
 * not exist, or one that is taken.
 */
int pci_function_set_bar(struct pci_function *fn, unsigned int bar, enum pci_bar_type type,
			 uint64_t size);

/* Give @fn an expansion ROM of @size bytes (a power of two from 2 KiB to 16 MiB), else -EINVAL. */
int pci_function_set_rom(struct pci_function *fn, uint32_t size);

/* Say that @fn interrupts by INTA# (1) to INTD# (4). */
void pci_function_set_pin(struct pci_function *fn, uint8_t pin);

/* Give @fn the one capability of a single message (PCI 3.0, 6.8.1), 14 bytes at @off. */
void pci_function_add_msi(struct pci_function *fn, uint8_t off);

/* The message that @fn is to send instead of its pin's interrupt; false: it is to use the pin. */
bool pci_function_msi(const struct pci_function *fn, uint64_t *addr, uint32_t *data);

/* The present contents are what pci_function_reset goes back to. Done by pcihost_add. */
void pci_function_seal(struct pci_function *fn);
void pci_function_reset(struct pci_function *fn);

/* Where the guest put @bar: the address in @addr and true, or false while decoding is off. */
bool pci_function_bar(const struct pci_function *fn, unsigned int bar, uint64_t *addr);

/* Access the configuration space as the guest does: @off + @size within 256, @size 1, 2 or 4. */
uint32_t pci_function_read(struct pci_function *fn, unsigned int off, unsigned int size);
void pci_function_write(struct pci_function *fn, unsigned int off, unsigned int size, uint32_t val);

/* Make @host a bridge with nothing else on its bus. */
void pcihost_init(struct pcihost *host);

/* Reset the bridge and the configuration space of every function. Calls no hooks. */
void pcihost_reset(struct pcihost *host);

/* Put @fn, which must outlive @host, at @devfn of bus 0. Returns -EBUSY if that is taken. A
 * function other than 0 sets the multi-function bit of function 0, whichever comes first. */
int pcihost_add(struct pcihost *host, uint8_t devfn, struct pci_function *fn);

/* Only 32-bit accesses at 0xcf8 are CONFADD. Byte accesses at 0xcf9 go to @ops (offset 0, one
 * byte): the reset control register, acpipm_rc_ops. Without it they read all ones. */
void pcihost_set_rc(struct pcihost *host, const struct device_ops *ops, void *dev);

extern const struct device_ops pcihost_ops; /* 8 ports, 0xcf8. @dev: struct pcihost * */

#endif
