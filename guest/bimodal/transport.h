/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PLINTH_BIMODAL_TRANSPORT_H
#define PLINTH_BIMODAL_TRANSPORT_H

/*
 * What the kinds of bimodal devices have in common: their registers' meaning, the switch, and the virtio transport. A PCI
 * function has one or several of them, which share its interrupt.
 */
#include <linux/pci.h>
#include <linux/types.h>
#include <linux/virtio.h>

struct bimodal_kind;

/* How one bimodal device is reached; enough to ask whether it is one. */
struct bimodal_port {
	const struct bimodal_kind *kind;
	struct pci_dev *pdev;
	void __iomem *io;  /* the kind's BAR */
	unsigned int unit; /* which of the function's devices */
};

/* What is different from kind to kind. */
struct bimodal_kind {
	const char *name;   /* of the interrupt */
	unsigned int bar;   /* the block of I/O ports that is mapped, */
	unsigned int bytes; /* and its size */
	unsigned int units; /* how many devices a function may have, BIMODAL_UNITS_MAX at most */
	unsigned int irq_types; /* PCI_IRQ_...: what the mode interrupts by */
	u8 revision; /* one that says that a device needs no handshake, 0 if none says that of all */

	u32 (*read)(const struct bimodal_port *port, unsigned int reg);
	void (*write)(const struct bimodal_port *port, unsigned int reg, u32 val);

	/* The handshake; leaves the old part's registers as they were. */
	void (*shake)(const struct bimodal_port *port);

	/* The ways to enable the mode by registers of the old part. */
	void (*enable_by_bit)(const struct bimodal_port *port);
	void (*enable_by_sequence)(const struct bimodal_port *port);

	/* The doorbell: one write, and the only access that a request or a batch of them costs. */
	bool (*notify)(struct virtqueue *vq);
};

#define BIMODAL_UNITS_MAX 4

/* The port of a queue's device. */
const struct bimodal_port *bimodal_port_of(const struct virtqueue *vq);

/* Whether the device is bimodal; with `shake` also by the handshake, else by reads that disturb nobody. */
bool bimodal_identify(const struct bimodal_port *port, bool shake);

/* Of a pci_driver: a function that has no bimodal device is refused, and is as it was. */
int bimodal_probe(struct pci_dev *pdev, const struct bimodal_kind *kind);
void bimodal_remove(struct pci_dev *pdev);
void bimodal_shutdown(struct pci_dev *pdev);
extern const struct dev_pm_ops bimodal_pm;

/* Gives a function that no driver has to one that wants it. */
void bimodal_give_back(struct pci_dev *pdev);

/* Calls fn for each function with the identity of `id`. */
void bimodal_for_each(const struct pci_device_id *id, void (*fn)(struct pci_dev *pdev));

/* The module's parameter: ask devices that show themselves only after the handshake too. */
extern bool bimodal_handshake;

/* The drivers of the two kinds. */
int bimodal_nic_init(void);
void bimodal_nic_exit(void);
int bimodal_disk_init(void);
void bimodal_disk_exit(void);

#endif
