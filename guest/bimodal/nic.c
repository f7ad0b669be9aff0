// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bimodal network adapter, a DEC 21140A. Loaded while another driver has it, the module takes it over; unloaded, it
 * gives it back. An adapter that is not bimodal, a real 21140A among them, is not touched beyond reads of what no
 * register is at.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/module.h>

#include <plinth/bimodal.h>

#include "transport.h"

#define CSR9	  0x48
#define CSR10	  0x50
#define CSR9_CS	  0x00000001
#define CSR9_CLK  0x00000002
#define CSR9_DI	  0x00000004
#define CSR9_SR	  0x00000800
#define CSR9_READ 0x00004000
#define SROM_READ 6 /* start bit and opcode */
#define SROM_ADDR 6 /* bits */
#define SROM_DATA 16
#define SROM_NS	  300 /* half a clock */

#define IO_BAR	 0
#define IO_BYTES 128

static u32 nic_read(const struct bimodal_port *port, unsigned int reg)
{
	return ioread32(port->io + BIMODAL_DEC21140(reg));
}

static void nic_write(const struct bimodal_port *port, unsigned int reg, u32 val)
{
	iowrite32(val, port->io + BIMODAL_DEC21140(reg));
}

static bool nic_notify(struct virtqueue *vq)
{
	nic_write(bimodal_port_of(vq), BIMODAL_REG_DOORBELL, vq->index);
	return true;
}

static void srom_pins(void __iomem *regs, u32 pins)
{
	iowrite32(CSR9_SR | CSR9_READ | pins, regs + CSR9);
	ndelay(SROM_NS);
}

static void srom_bit(void __iomem *regs, bool in)
{
	const u32 pins = CSR9_CS | (in ? CSR9_DI : 0);

	srom_pins(regs, pins);
	srom_pins(regs, pins | CSR9_CLK);
}

/* Reads a word of the serial ROM, for the reading's sake. */
static void srom_read(void __iomem *regs, u32 addr)
{
	const u32 command = SROM_READ << SROM_ADDR | addr;
	int bit;

	srom_pins(regs, 0);
	srom_pins(regs, CSR9_CS);
	for (bit = SROM_ADDR + 2; bit >= 0; bit--)
		srom_bit(regs, command >> bit & 1);
	for (bit = 0; bit < SROM_DATA; bit++)
		srom_bit(regs, false);
	srom_pins(regs, 0);
}

static void nic_shake(const struct bimodal_port *port)
{
	static const u32 words[] = BIMODAL_DEC21140_HANDSHAKE;
	const u32 csr9 = ioread32(port->io + CSR9);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		srom_read(port->io, words[i]);
	iowrite32(csr9, port->io + CSR9);
}

static void nic_enable_by_bit(const struct bimodal_port *port)
{
	iowrite32(BIMODAL_DEC21140_CSR10_BIT, port->io + CSR10);
}

static void nic_enable_by_sequence(const struct bimodal_port *port)
{
	static const u32 keys[] = BIMODAL_DEC21140_CSR10_KEYS;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		iowrite32(keys[i], port->io + CSR10);
}

static const struct bimodal_kind nic_kind = {
	.name = "plinth_bimodal_nic",
	.bar = IO_BAR,
	.bytes = IO_BYTES,
	.units = 1,
	.irq_types = PCI_IRQ_MSI | PCI_IRQ_LEGACY,
	.revision = BIMODAL_DEC21140_REVISION,
	.read = nic_read,
	.write = nic_write,
	.shake = nic_shake,
	.enable_by_bit = nic_enable_by_bit,
	.enable_by_sequence = nic_enable_by_sequence,
	.notify = nic_notify,
};

static int nic_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return bimodal_probe(pdev, &nic_kind);
}

static const struct pci_device_id nic_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_DEC, PCI_DEVICE_ID_DEC_TULIP_FAST) }, {}
};
MODULE_DEVICE_TABLE(pci, nic_ids);

static struct pci_driver nic_driver = {
	.name = "plinth_bimodal_nic",
	.id_table = nic_ids,
	.probe = nic_probe,
	.remove = bimodal_remove,
	.shutdown = bimodal_shutdown,
	.driver.pm = pm_sleep_ptr(&bimodal_pm),
};

/* Asks an adapter that another driver has, without disturbing it. */
static bool is_bimodal(struct pci_dev *pdev)
{
	struct bimodal_port port = { &nic_kind, pdev, pci_iomap(pdev, IO_BAR, IO_BYTES), 0 };
	bool yes;

	if (!port.io)
		return false;
	yes = bimodal_identify(&port, false);
	pci_iounmap(pdev, port.io);
	return yes;
}

static void take_over(struct pci_dev *pdev)
{
	if (!pdev->dev.driver || pdev->driver == &nic_driver || !pci_is_enabled(pdev))
		return;
	if (!bimodal_handshake && !is_bimodal(pdev))
		return;
	device_release_driver(&pdev->dev);
	if (device_driver_attach(&nic_driver.driver, &pdev->dev))
		bimodal_give_back(pdev);
}

int bimodal_nic_init(void)
{
	int ret = pci_register_driver(&nic_driver);

	if (!ret)
		bimodal_for_each(nic_ids, take_over);
	return ret;
}

void bimodal_nic_exit(void)
{
	pci_unregister_driver(&nic_driver);
	bimodal_for_each(nic_ids, bimodal_give_back);
}
