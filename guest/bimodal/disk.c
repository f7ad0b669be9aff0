// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bimodal disks, ATA drives on the IDE function of a PIIX4. The module has the function if no other driver is there
 * first and at least one of its drives is bimodal; a function with none, a real one among them, stays as it is.
 */
#include <linux/ata.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/module.h>

#include <plinth/bimodal.h>

#include "transport.h"

#define BM_BAR	 4
#define BM_BYTES 16

#define DRIVES		2 /* on a channel */
#define COMMAND_BAR(ch) (2 * (ch))
#define CONTROL_BAR(ch) (2 * (ch) + 1)
#define CONTROL		2 /* offset in a block of four; Linux has the one port alone where it cannot move */
#define IDETIM(ch)	(0x40 + 2 * (ch))
#define IDETIM_DECODE	0x8000

#define SELECT_NS	400
#define SEEK_POLL_US	100
#define SEEK_MAX_US	1000000
#define NOBODY		0xff /* what is read where no drive answers, */
#define UNPLUGGED	0x7f /* or where the one that is selected does not */
#define ATAPI_SIGNATURE 0xeb14

static u32 disk_read(const struct bimodal_port *port, unsigned int reg)
{
	u32 val = 0;

	pci_read_config_dword(port->pdev, BIMODAL_PIIX4(port->unit, reg), &val);
	return val;
}

static void disk_write(const struct bimodal_port *port, unsigned int reg, u32 val)
{
	pci_write_config_dword(port->pdev, BIMODAL_PIIX4(port->unit, reg), val);
}

static bool disk_notify(struct virtqueue *vq)
{
	const struct bimodal_port *port = bimodal_port_of(vq);

	iowrite8(vq->index, port->io + BIMODAL_PIIX4_DOORBELL(port->unit));
	return true;
}

/* ---- commands without data, by the channel's ports ---- */

static const u8 kept[] = { ATA_REG_LBAL, ATA_REG_LBAM, ATA_REG_LBAH, ATA_REG_DEVICE };

struct channel {
	unsigned long command, control; /* ports */
	u8 device;			/* of the drive that is spoken to */
	u8 was[ARRAY_SIZE(kept)];
};

/*
 * The unit's channel; false if it is not there, or somebody stays busy. A drive whose high-performance mode somebody has just
 * left is busy until that mode's requests are over.
 */
static bool channel_idle(struct channel *ch, const struct bimodal_port *port)
{
	const unsigned int n = port->unit / DRIVES;
	u16 timing;
	u8 status;

	pci_read_config_word(port->pdev, IDETIM(n), &timing);
	if (!(timing & IDETIM_DECODE))
		return false;
	ch->command = pci_resource_start(port->pdev, COMMAND_BAR(n));
	ch->control = pci_resource_start(port->pdev, CONTROL_BAR(n)) | CONTROL;
	ch->device = ATA_DEVICE_OBS | ATA_LBA | (port->unit % DRIVES ? ATA_DEV1 : 0);
	return !read_poll_timeout(inb, status,
				  !(status & (ATA_BUSY | ATA_DRQ)) || status == NOBODY ||
					  status == UNPLUGGED,
				  SEEK_POLL_US, SEEK_MAX_US, false, ch->control);
}

/* The channel's interrupt is off until it is given back. */
static void channel_take(struct channel *ch)
{
	unsigned int i;

	outb(ATA_DEVCTL_OBS | ATA_NIEN, ch->control);
	for (i = 0; i < ARRAY_SIZE(kept); i++)
		ch->was[i] = inb(ch->command + kept[i]);
}

static void channel_give_back(const struct channel *ch)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		outb(ch->was[i], ch->command + kept[i]);
	outb(ATA_DEVCTL_OBS, ch->control);
}

/* Whether there is a drive that takes commands, and is no packet device fresh from its reset. */
static bool select_disk(const struct channel *ch)
{
	u16 signature;
	u8 status;

	outb(ch->device, ch->command + ATA_REG_DEVICE);
	ndelay(SELECT_NS);
	status = inb(ch->control) & (ATA_BUSY | ATA_DRQ | ATA_DRDY);
	signature = inb(ch->command + ATA_REG_LBAH) << 8 | inb(ch->command + ATA_REG_LBAM);
	return status == ATA_DRDY && signature != ATAPI_SIGNATURE;
}

static bool seek(const struct channel *ch, u8 sector)
{
	u8 status;

	outb(sector, ch->command + ATA_REG_LBAL);
	outb(0, ch->command + ATA_REG_LBAM);
	outb(0, ch->command + ATA_REG_LBAH);
	outb(ch->device, ch->command + ATA_REG_DEVICE);
	outb(BIMODAL_PIIX4_SEEK, ch->command + ATA_REG_CMD);
	ndelay(SELECT_NS);
	if (read_poll_timeout(inb, status, !(status & ATA_BUSY) || status == NOBODY, SEEK_POLL_US,
			      SEEK_MAX_US, false, ch->control))
		return false;
	return ata_ok(inb(ch->command + ATA_REG_STATUS)); /* withdraws the interrupt too */
}

static void seek_to(const struct bimodal_port *port, const u8 *sectors, unsigned int count)
{
	struct channel ch;
	unsigned int i;

	if (!channel_idle(&ch, port))
		return;
	channel_take(&ch);
	if (select_disk(&ch))
		for (i = 0; i < count && seek(&ch, sectors[i]); i++)
			;
	channel_give_back(&ch);
}

static void disk_shake(const struct bimodal_port *port)
{
	static const u8 sectors[] = BIMODAL_PIIX4_HANDSHAKE;

	seek_to(port, sectors, ARRAY_SIZE(sectors));
}

static void disk_enable_by_bit(const struct bimodal_port *port)
{
	u8 val;

	pci_read_config_byte(port->pdev, BIMODAL_PIIX4_UDMACTL, &val);
	pci_write_config_byte(port->pdev, BIMODAL_PIIX4_UDMACTL,
			      val | BIMODAL_PIIX4_BIT(port->unit));
}

static void disk_enable_by_sequence(const struct bimodal_port *port)
{
	static const u8 sectors[] = BIMODAL_PIIX4_KEYS;

	seek_to(port, sectors, ARRAY_SIZE(sectors));
}

static const struct bimodal_kind disk_kind = {
	.name = "plinth_bimodal_disk",
	.bar = BM_BAR,
	.bytes = BM_BYTES,
	.units = BIMODAL_PIIX4_UNITS,
	.irq_types = PCI_IRQ_MSI,
	.read = disk_read,
	.write = disk_write,
	.shake = disk_shake,
	.enable_by_bit = disk_enable_by_bit,
	.enable_by_sequence = disk_enable_by_sequence,
	.notify = disk_notify,
};

static int disk_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return bimodal_probe(pdev, &disk_kind);
}

static const struct pci_device_id disk_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, PCI_DEVICE_ID_INTEL_82371AB) }, {}
};
MODULE_DEVICE_TABLE(pci, disk_ids);

static struct pci_driver disk_driver = {
	.name = "plinth_bimodal_disk",
	.id_table = disk_ids,
	.probe = disk_probe,
	.remove = bimodal_remove,
	.shutdown = bimodal_shutdown,
	.driver.pm = pm_sleep_ptr(&bimodal_pm),
};

/* A file system may be mounted on a disk that another driver has: that driver keeps it. */
static void tell(struct pci_dev *pdev)
{
	struct bimodal_port port = { .kind = &disk_kind, .pdev = pdev };

	if (!pdev->dev.driver || pdev->driver == &disk_driver)
		return;
	for (; port.unit < disk_kind.units; port.unit++) {
		if (bimodal_identify(&port, false)) {
			pci_info(pdev, "%s has bimodal disks; load this module before it\n",
				 pdev->dev.driver->name);
			return;
		}
	}
}

int bimodal_disk_init(void)
{
	int ret = pci_register_driver(&disk_driver);

	if (!ret)
		bimodal_for_each(disk_ids, tell);
	return ret;
}

void bimodal_disk_exit(void)
{
	pci_unregister_driver(&disk_driver);
	bimodal_for_each(disk_ids, bimodal_give_back);
}
