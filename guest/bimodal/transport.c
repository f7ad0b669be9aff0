// SPDX-License-Identifier: GPL-2.0-only
/* Bimodal devices of all kinds: identification, the switch, the virtio transport, and the function's comings and goings. */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include <plinth/bimodal.h>

#include "transport.h"

/* A virtio device. */
struct bimodal {
	struct virtio_device vdev; /* first: freed through it */
	bool counted;		   /* registration was tried: its references are counted */
	bool registered;
	struct bimodal_port port;
	struct bimodal_card *card;
	spinlock_t window; /* SELECT and DATA belong together */
	u32 *status;	   /* the status page */
	spinlock_t list_lock;
	struct list_head queues; /* struct bimodal_queue, under list_lock */
};

/* A PCI function with its bimodal devices. */
struct bimodal_card {
	struct pci_dev *pdev;
	void __iomem *io;
	int irq;
	bool msi;
	unsigned int count;
	struct bimodal *devices[BIMODAL_UNITS_MAX];
};

struct bimodal_queue {
	struct virtqueue *vq;
	struct list_head list;
};

static struct bimodal *to_bimodal(struct virtio_device *vdev)
{
	return container_of(vdev, struct bimodal, vdev);
}

const struct bimodal_port *bimodal_port_of(const struct virtqueue *vq)
{
	return &to_bimodal(vq->vdev)->port;
}

/* ---- the registers ---- */

static u32 reg_read(const struct bimodal_port *port, unsigned int reg)
{
	return port->kind->read(port, reg);
}

static void reg_write(const struct bimodal_port *port, unsigned int reg, u32 val)
{
	port->kind->write(port, reg, val);
}

static u32 window_read(struct bimodal *b, u32 off)
{
	unsigned long flags;
	u32 val;

	spin_lock_irqsave(&b->window, flags);
	reg_write(&b->port, BIMODAL_REG_SELECT, off);
	val = reg_read(&b->port, BIMODAL_REG_DATA);
	spin_unlock_irqrestore(&b->window, flags);
	return val;
}

static void window_write(struct bimodal *b, u32 off, u32 val)
{
	unsigned long flags;

	spin_lock_irqsave(&b->window, flags);
	reg_write(&b->port, BIMODAL_REG_SELECT, off);
	reg_write(&b->port, BIMODAL_REG_DATA, val);
	spin_unlock_irqrestore(&b->window, flags);
}

static void window_write64(struct bimodal *b, u32 low, u64 val)
{
	window_write(b, low, lower_32_bits(val));
	window_write(b, low + 4, upper_32_bits(val));
}

/* ---- identification and the switch ---- */

static bool answers(const struct bimodal_port *port)
{
	return reg_read(port, BIMODAL_REG_ID) == BIMODAL_MAGIC;
}

bool bimodal_identify(const struct bimodal_port *port, bool shake)
{
	const u8 revision = port->kind->revision;

	if (answers(port))
		return true;
	if (!shake || (revision && port->pdev->revision == revision))
		return false;
	port->kind->shake(port);
	return answers(port);
}

static bool is_on(const struct bimodal_port *port)
{
	return reg_read(port, BIMODAL_REG_MODE) & BIMODAL_MODE_ENABLED;
}

static void switch_off(const struct bimodal_port *port)
{
	reg_write(port, BIMODAL_REG_MODE, 0);
}

static bool switch_on(const struct bimodal_port *port)
{
	if (is_on(port)) /* by a kernel that crashed, whose memory it may still write to */
		switch_off(port);
	switch (BIMODAL_MODE_ENABLE(reg_read(port, BIMODAL_REG_MODE))) {
	case BIMODAL_ENABLE_REGISTER:
		reg_write(port, BIMODAL_REG_MODE, BIMODAL_MODE_ENABLED);
		break;
	case BIMODAL_ENABLE_BIT:
		port->kind->enable_by_bit(port);
		break;
	case BIMODAL_ENABLE_SEQUENCE:
		port->kind->enable_by_sequence(port);
		break;
	}
	return is_on(port);
}

/* ---- interrupts: what has happened is in memory ---- */

static void look_at_queues(struct bimodal *b, int irq)
{
	struct bimodal_queue *q;
	unsigned long flags;

	spin_lock_irqsave(&b->list_lock, flags);
	list_for_each_entry (q, &b->queues, list)
		vring_interrupt(irq, q->vq);
	spin_unlock_irqrestore(&b->list_lock, flags);
}

static bool take_interrupt(struct bimodal *b, int irq)
{
	u32 bits = xchg(b->status, 0);

	if (!bits)
		return false;
	if (!b->card->msi)
		window_write(b, VIRTIO_MMIO_INTERRUPT_ACK, bits);
	if (bits & VIRTIO_MMIO_INT_CONFIG)
		virtio_config_changed(&b->vdev);
	if (bits & VIRTIO_MMIO_INT_VRING)
		look_at_queues(b, irq);
	return true;
}

static irqreturn_t bimodal_interrupt(int irq, void *arg)
{
	struct bimodal_card *card = arg;
	bool ours = card->msi;
	unsigned int i;

	for (i = 0; i < card->count; i++)
		ours |= take_interrupt(card->devices[i], irq);
	return IRQ_RETVAL(ours);
}

/* ---- the transport ---- */

static void bimodal_get(struct virtio_device *vdev, unsigned int offset, void *buf,
			unsigned int len)
{
	struct bimodal *b = to_bimodal(vdev);
	u8 *to = buf;
	unsigned int i;
	u32 val = 0;

	for (i = 0; i < len; i++, offset++) {
		if (i == 0 || offset % 4 == 0)
			val = window_read(b, VIRTIO_MMIO_CONFIG + (offset & ~3u));
		to[i] = val >> 8 * (offset % 4);
	}
}

/* The device has nothing there that can be written. */
static void bimodal_set(struct virtio_device *vdev, unsigned int offset, const void *buf,
			unsigned int len)
{
}

static u32 bimodal_generation(struct virtio_device *vdev)
{
	return window_read(to_bimodal(vdev), VIRTIO_MMIO_CONFIG_GENERATION);
}

static u8 bimodal_get_status(struct virtio_device *vdev)
{
	return window_read(to_bimodal(vdev), VIRTIO_MMIO_STATUS);
}

static void bimodal_set_status(struct virtio_device *vdev, u8 status)
{
	window_write(to_bimodal(vdev), VIRTIO_MMIO_STATUS, status);
}

/* Requests of before may still use their memory, until Status reads 0. With the mode off it says nothing. */
static void bimodal_reset(struct virtio_device *vdev)
{
	struct bimodal *b = to_bimodal(vdev);

	window_write(b, VIRTIO_MMIO_STATUS, 0);
	while (is_on(&b->port) && window_read(b, VIRTIO_MMIO_STATUS))
		msleep(1);
}

static u64 bimodal_get_features(struct virtio_device *vdev)
{
	struct bimodal *b = to_bimodal(vdev);
	u64 features;

	window_write(b, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	features = (u64)window_read(b, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	window_write(b, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return features | window_read(b, VIRTIO_MMIO_DEVICE_FEATURES);
}

static int bimodal_finalize_features(struct virtio_device *vdev)
{
	struct bimodal *b = to_bimodal(vdev);

	vring_transport_features(vdev);
	if (!__virtio_test_bit(vdev, VIRTIO_F_VERSION_1))
		return -EINVAL;
	window_write(b, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	window_write(b, VIRTIO_MMIO_DRIVER_FEATURES, upper_32_bits(vdev->features));
	window_write(b, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	window_write(b, VIRTIO_MMIO_DRIVER_FEATURES, lower_32_bits(vdev->features));
	return 0;
}

static void bimodal_del_queue(struct bimodal *b, struct bimodal_queue *q)
{
	unsigned long flags;

	spin_lock_irqsave(&b->list_lock, flags);
	list_del(&q->list);
	spin_unlock_irqrestore(&b->list_lock, flags);
	window_write(b, VIRTIO_MMIO_QUEUE_SEL, q->vq->index);
	window_write(b, VIRTIO_MMIO_QUEUE_READY, 0);
	vring_del_virtqueue(q->vq);
	kfree(q);
}

static void bimodal_del_vqs(struct virtio_device *vdev)
{
	struct bimodal *b = to_bimodal(vdev);
	struct bimodal_queue *q, *next;

	list_for_each_entry_safe (q, next, &b->queues, list)
		bimodal_del_queue(b, q);
}

static struct virtqueue *bimodal_add_queue(struct bimodal *b, unsigned int index,
					   vq_callback_t *callback, const char *name, bool ctx)
{
	struct bimodal_queue *q;
	struct virtqueue *vq;
	unsigned long flags;
	u32 size;

	window_write(b, VIRTIO_MMIO_QUEUE_SEL, index);
	size = window_read(b, VIRTIO_MMIO_QUEUE_NUM_MAX);
	if (!size || window_read(b, VIRTIO_MMIO_QUEUE_READY))
		return ERR_PTR(-ENOENT);
	q = kzalloc(sizeof(*q), GFP_KERNEL);
	if (!q)
		return ERR_PTR(-ENOMEM);
	vq = vring_create_virtqueue(index, size, PAGE_SIZE, &b->vdev, true, true, ctx,
				    b->port.kind->notify, callback, name);
	if (!vq) {
		kfree(q);
		return ERR_PTR(-ENOMEM);
	}
	vq->num_max = size;
	q->vq = vq;
	window_write(b, VIRTIO_MMIO_QUEUE_NUM, virtqueue_get_vring_size(vq));
	window_write64(b, VIRTIO_MMIO_QUEUE_DESC_LOW, virtqueue_get_desc_addr(vq));
	window_write64(b, VIRTIO_MMIO_QUEUE_AVAIL_LOW, virtqueue_get_avail_addr(vq));
	window_write64(b, VIRTIO_MMIO_QUEUE_USED_LOW, virtqueue_get_used_addr(vq));
	spin_lock_irqsave(&b->list_lock, flags);
	list_add(&q->list, &b->queues);
	spin_unlock_irqrestore(&b->list_lock, flags);
	window_write(b, VIRTIO_MMIO_QUEUE_READY, 1);
	return vq;
}

static int bimodal_find_vqs(struct virtio_device *vdev, unsigned int nvqs, struct virtqueue *vqs[],
			    vq_callback_t *callbacks[], const char *const names[], const bool *ctx,
			    struct irq_affinity *desc)
{
	struct bimodal *b = to_bimodal(vdev);
	unsigned int i, index = 0;

	for (i = 0; i < nvqs; i++) {
		vqs[i] = NULL;
		if (!names[i])
			continue;
		vqs[i] = bimodal_add_queue(b, index++, callbacks[i], names[i], ctx && ctx[i]);
		if (IS_ERR(vqs[i])) {
			bimodal_del_vqs(vdev);
			return PTR_ERR(vqs[i]);
		}
	}
	return 0;
}

static void bimodal_synchronize(struct virtio_device *vdev)
{
	synchronize_irq(to_bimodal(vdev)->card->irq);
}

static const char *bimodal_bus_name(struct virtio_device *vdev)
{
	return pci_name(to_bimodal(vdev)->port.pdev);
}

static const struct virtio_config_ops bimodal_ops = {
	.get = bimodal_get,
	.set = bimodal_set,
	.generation = bimodal_generation,
	.get_status = bimodal_get_status,
	.set_status = bimodal_set_status,
	.reset = bimodal_reset,
	.find_vqs = bimodal_find_vqs,
	.del_vqs = bimodal_del_vqs,
	.synchronize_cbs = bimodal_synchronize,
	.get_features = bimodal_get_features,
	.finalize_features = bimodal_finalize_features,
	.bus_name = bimodal_bus_name,
};

static void bimodal_release(struct device *dev)
{
	struct bimodal *b = to_bimodal(dev_to_virtio(dev));

	free_page((unsigned long)b->status);
	kfree(b);
}

/* ---- the devices of a function ---- */

static struct bimodal *bimodal_alloc(struct bimodal_card *card, const struct bimodal_port *port)
{
	struct bimodal *b = kzalloc(sizeof(*b), GFP_KERNEL);

	if (!b)
		return NULL;
	b->status = (u32 *)get_zeroed_page(GFP_KERNEL);
	if (!b->status) {
		kfree(b);
		return NULL;
	}
	b->port = *port;
	b->card = card;
	spin_lock_init(&b->window);
	spin_lock_init(&b->list_lock);
	INIT_LIST_HEAD(&b->queues);
	b->vdev.dev.parent = &port->pdev->dev;
	b->vdev.dev.release = bimodal_release;
	b->vdev.config = &bimodal_ops;
	return b;
}

/* Switches the device's mode on and tells it where to write what has happened. */
static int bimodal_begin(struct bimodal *b)
{
	if (!switch_on(&b->port)) {
		pci_err(b->port.pdev, "unit %u: the high-performance mode does not come on\n",
			b->port.unit);
		return -EIO;
	}
	reg_write(&b->port, BIMODAL_REG_STATUS_PAGE, page_to_pfn(virt_to_page(b->status)));
	return 0;
}

/* All modes are left: nothing is written to memory and no interrupt comes any more. */
static void card_switch_off(struct bimodal_card *card)
{
	unsigned int i;

	for (i = 0; i < card->count; i++)
		switch_off(&card->devices[i]->port);
}

static int card_take_irq(struct bimodal_card *card, const struct bimodal_kind *kind)
{
	int ret = pci_alloc_irq_vectors(card->pdev, 1, 1, kind->irq_types);

	if (ret < 0)
		return ret;
	card->msi = card->pdev->msi_enabled;
	card->irq = pci_irq_vector(card->pdev, 0);
	ret = request_irq(card->irq, bimodal_interrupt, card->msi ? 0 : IRQF_SHARED, kind->name,
			  card);
	if (ret)
		pci_free_irq_vectors(card->pdev);
	return ret;
}

static void card_give_irq(struct bimodal_card *card)
{
	free_irq(card->irq, card);
	pci_free_irq_vectors(card->pdev);
}

/* Makes the devices known to virtio's drivers. Each then has a reference of ours, which card_free() drops. */
static int card_register(struct bimodal_card *card)
{
	unsigned int i;
	int ret;

	for (i = 0; i < card->count; i++) {
		struct bimodal *b = card->devices[i];

		b->vdev.id.device = window_read(b, VIRTIO_MMIO_DEVICE_ID);
		b->vdev.id.vendor = window_read(b, VIRTIO_MMIO_VENDOR_ID);
		b->counted = true;
		ret = register_virtio_device(&b->vdev);
		if (ret)
			return ret;
		get_device(&b->vdev.dev);
		b->registered = true;
	}
	return 0;
}

static void card_unregister(struct bimodal_card *card)
{
	unsigned int i;

	for (i = 0; i < card->count; i++)
		if (card->devices[i]->registered)
			unregister_virtio_device(&card->devices[i]->vdev);
}

static void card_free(struct bimodal_card *card)
{
	unsigned int i;

	for (i = 0; i < card->count; i++) {
		struct bimodal *b = card->devices[i];

		if (b->counted)
			put_device(&b->vdev.dev);
		else
			bimodal_release(&b->vdev.dev);
	}
	kfree(card);
}

static struct bimodal_card *card_alloc(struct pci_dev *pdev, const struct bimodal_port *ports,
				       unsigned int count)
{
	struct bimodal_card *card = kzalloc(sizeof(*card), GFP_KERNEL);

	if (!card)
		return NULL;
	card->pdev = pdev;
	card->io = ports[0].io;
	while (card->count < count) {
		struct bimodal *b = bimodal_alloc(card, &ports[card->count]);

		if (!b) {
			card_free(card);
			return NULL;
		}
		card->devices[card->count++] = b;
	}
	return card;
}

static int card_switch_on(struct bimodal_card *card)
{
	unsigned int i;
	int ret;

	for (i = 0; i < card->count; i++) {
		ret = bimodal_begin(card->devices[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static int card_start(struct bimodal_card *card, const struct bimodal_kind *kind)
{
	int ret = card_switch_on(card);

	if (ret)
		goto off;
	ret = card_take_irq(card, kind);
	if (ret)
		goto off;
	ret = card_register(card);
	if (!ret)
		return 0;
	card_unregister(card);
	card_switch_off(card);
	card_give_irq(card);
	return ret;
off:
	card_switch_off(card);
	return ret;
}

/* ---- the function ---- */

/* Asks each device; the ports of those that are bimodal, and how many there are. Nothing stays changed. */
static unsigned int find_devices(struct bimodal_port *ports, struct pci_dev *pdev, void __iomem *io,
				 const struct bimodal_kind *kind)
{
	unsigned int unit, count = 0;
	u16 command;

	pci_read_config_word(pdev, PCI_COMMAND, &command);
	if (!(command & PCI_COMMAND_IO))
		pci_write_config_word(pdev, PCI_COMMAND, command | PCI_COMMAND_IO);
	for (unit = 0; unit < kind->units; unit++) {
		ports[count] = (struct bimodal_port){ kind, pdev, io, unit };
		if (bimodal_identify(&ports[count], bimodal_handshake))
			count++;
	}
	if (!(command & PCI_COMMAND_IO))
		pci_write_config_word(pdev, PCI_COMMAND, command);
	return count;
}

static int offer(struct pci_dev *pdev, const struct bimodal_port *ports, unsigned int count)
{
	struct bimodal_card *card;
	int ret = pci_enable_device(pdev);

	if (ret)
		return ret;
	pci_set_master(pdev);
	card = card_alloc(pdev, ports, count);
	ret = -ENOMEM;
	if (!card)
		goto disable;
	pci_set_drvdata(pdev, card);
	ret = card_start(card, ports[0].kind);
	if (!ret)
		return 0;
	card_free(card);
disable:
	pci_disable_device(pdev);
	return ret;
}

int bimodal_probe(struct pci_dev *pdev, const struct bimodal_kind *kind)
{
	struct bimodal_port ports[BIMODAL_UNITS_MAX];
	unsigned int count;
	void __iomem *io;
	int ret = pci_request_regions(pdev, kind->name);

	if (ret)
		return ret;
	io = pci_iomap(pdev, kind->bar, kind->bytes);
	ret = -ENODEV;
	if (!io)
		goto release;
	count = find_devices(ports, pdev, io, kind);
	if (count)
		ret = offer(pdev, ports, count);
	if (!ret)
		return 0;
	pci_iounmap(pdev, io);
release:
	pci_release_regions(pdev);
	return ret;
}

void bimodal_remove(struct pci_dev *pdev)
{
	struct bimodal_card *card = pci_get_drvdata(pdev);

	card_unregister(card);
	card_switch_off(card);
	card_give_irq(card);
	pci_iounmap(pdev, card->io);
	card_free(card);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
}

/* Another kernel may come, which knows nothing of the mode and of what it writes to. */
void bimodal_shutdown(struct pci_dev *pdev)
{
	struct bimodal_card *card = pci_get_drvdata(pdev);
	unsigned int i;

	for (i = 0; i < card->count; i++)
		virtio_break_device(&card->devices[i]->vdev);
	card_switch_off(card);
	pci_clear_master(pdev);
}

#ifdef CONFIG_PM_SLEEP

/* All of the card's devices are put to sleep, or none. */
static int bimodal_suspend(struct device *dev)
{
	struct bimodal_card *card = dev_get_drvdata(dev);
	unsigned int i;
	int ret;

	for (i = 0; i < card->count; i++) {
		ret = virtio_device_freeze(&card->devices[i]->vdev);
		if (ret)
			goto thaw;
	}
	card_switch_off(card);
	return 0;
thaw:
	while (i--)
		virtio_device_restore(&card->devices[i]->vdev);
	return ret;
}

/* The machine may have been reset meanwhile. */
static int bimodal_resume(struct device *dev)
{
	struct bimodal_card *card = dev_get_drvdata(dev);
	unsigned int i;
	int ret;

	for (i = 0; i < card->count; i++)
		bimodal_identify(&card->devices[i]->port, true);
	ret = card_switch_on(card);
	for (i = 0; i < card->count && !ret; i++)
		ret = virtio_device_restore(&card->devices[i]->vdev);
	return ret;
}

SIMPLE_DEV_PM_OPS(bimodal_pm, bimodal_suspend, bimodal_resume);

#endif

void bimodal_give_back(struct pci_dev *pdev)
{
	if (!pdev->dev.driver && device_attach(&pdev->dev) < 0)
		pci_warn(pdev, "no driver takes it back\n");
}

void bimodal_for_each(const struct pci_device_id *id, void (*fn)(struct pci_dev *pdev))
{
	struct pci_dev *pdev = NULL;

	while ((pdev = pci_get_device(id->vendor, id->device, pdev)))
		fn(pdev);
}
