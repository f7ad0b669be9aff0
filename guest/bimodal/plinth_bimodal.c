// SPDX-License-Identifier: GPL-2.0-only
/*
 * The high-performance mode of Plinth's bimodal network adapter for Linux: finds it, switches it on and offers it as
 * a virtio transport, on which Debian's own virtio_net does the rest (B3, B4, B6; docs/bimodal.md).
 *
 * Loaded while another driver has the adapter, it takes it over; unloaded, it gives it back. An adapter that is not
 * bimodal, a real 21140A among them, is not touched beyond reads of what no register is at.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include <plinth/bimodal.h>

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

static bool handshake;
module_param(handshake, bool, 0444);
MODULE_PARM_DESC(handshake, "also ask adapters that show themselves only after the handshake; "
			    "disturbs a driver that has one");

struct bimodal {
	struct virtio_device vdev; /* first: freed through it */
	struct pci_dev *pdev;
	void __iomem *regs;
	spinlock_t window; /* SELECT and DATA belong together */
	u32 *status;	   /* the status page */
	spinlock_t list_lock;
	struct list_head queues; /* struct bimodal_queue, under list_lock */
	int irq;
	bool msi;
};

struct bimodal_queue {
	struct virtqueue *vq;
	struct list_head list;
};

static struct bimodal *to_bimodal(struct virtio_device *vdev)
{
	return container_of(vdev, struct bimodal, vdev);
}

/* ---- the registers ---- */

static u32 reg_read(void __iomem *regs, unsigned int reg)
{
	return ioread32(regs + BIMODAL_DEC21140(reg));
}

static void reg_write(void __iomem *regs, unsigned int reg, u32 val)
{
	iowrite32(val, regs + BIMODAL_DEC21140(reg));
}

static u32 window_read(struct bimodal *b, u32 off)
{
	unsigned long flags;
	u32 val;

	spin_lock_irqsave(&b->window, flags);
	reg_write(b->regs, BIMODAL_REG_SELECT, off);
	val = reg_read(b->regs, BIMODAL_REG_DATA);
	spin_unlock_irqrestore(&b->window, flags);
	return val;
}

static void window_write(struct bimodal *b, u32 off, u32 val)
{
	unsigned long flags;

	spin_lock_irqsave(&b->window, flags);
	reg_write(b->regs, BIMODAL_REG_SELECT, off);
	reg_write(b->regs, BIMODAL_REG_DATA, val);
	spin_unlock_irqrestore(&b->window, flags);
}

static void window_write64(struct bimodal *b, u32 low, u64 val)
{
	window_write(b, low, lower_32_bits(val));
	window_write(b, low + 4, upper_32_bits(val));
}

/* ---- identification and the switch ---- */

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

static bool answers(void __iomem *regs)
{
	return reg_read(regs, BIMODAL_REG_ID) == BIMODAL_MAGIC;
}

static bool identify(struct pci_dev *pdev, void __iomem *regs, bool shake)
{
	static const u32 words[] = BIMODAL_DEC21140_HANDSHAKE;
	unsigned int i;

	if (pdev->revision == BIMODAL_DEC21140_REVISION || answers(regs))
		return answers(regs);
	if (!shake)
		return false;
	for (i = 0; i < ARRAY_SIZE(words); i++)
		srom_read(regs, words[i]);
	return answers(regs);
}

static bool switch_on(void __iomem *regs)
{
	static const u32 keys[] = BIMODAL_DEC21140_CSR10_KEYS;
	unsigned int i;

	switch (BIMODAL_MODE_ENABLE(reg_read(regs, BIMODAL_REG_MODE))) {
	case BIMODAL_ENABLE_REGISTER:
		reg_write(regs, BIMODAL_REG_MODE, BIMODAL_MODE_ENABLED);
		break;
	case BIMODAL_ENABLE_BIT:
		iowrite32(BIMODAL_DEC21140_CSR10_BIT, regs + CSR10);
		break;
	case BIMODAL_ENABLE_SEQUENCE:
		for (i = 0; i < ARRAY_SIZE(keys); i++)
			iowrite32(keys[i], regs + CSR10);
		break;
	}
	return reg_read(regs, BIMODAL_REG_MODE) & BIMODAL_MODE_ENABLED;
}

static void switch_off(void __iomem *regs)
{
	reg_write(regs, BIMODAL_REG_MODE, 0);
}

/* ---- interrupts: what has happened is in memory ---- */

static irqreturn_t bimodal_interrupt(int irq, void *arg)
{
	struct bimodal *b = arg;
	struct bimodal_queue *q;
	u32 bits = xchg(b->status, 0);
	unsigned long flags;

	if (!bits)
		return b->msi ? IRQ_HANDLED : IRQ_NONE;
	if (!b->msi)
		window_write(b, VIRTIO_MMIO_INTERRUPT_ACK, bits);
	if (bits & VIRTIO_MMIO_INT_CONFIG)
		virtio_config_changed(&b->vdev);
	if (bits & VIRTIO_MMIO_INT_VRING) {
		spin_lock_irqsave(&b->list_lock, flags);
		list_for_each_entry (q, &b->queues, list)
			vring_interrupt(irq, q->vq);
		spin_unlock_irqrestore(&b->list_lock, flags);
	}
	return IRQ_HANDLED;
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

static void bimodal_reset(struct virtio_device *vdev)
{
	window_write(to_bimodal(vdev), VIRTIO_MMIO_STATUS, 0);
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

/* One write, and the only access that a packet or a batch of them costs. */
static bool bimodal_notify(struct virtqueue *vq)
{
	reg_write(to_bimodal(vq->vdev)->regs, BIMODAL_REG_DOORBELL, vq->index);
	return true;
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
				    bimodal_notify, callback, name);
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
	synchronize_irq(to_bimodal(vdev)->irq);
}

static const char *bimodal_bus_name(struct virtio_device *vdev)
{
	return pci_name(to_bimodal(vdev)->pdev);
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

/* ---- the adapter ---- */

static struct bimodal *bimodal_alloc(struct pci_dev *pdev, void __iomem *regs)
{
	struct bimodal *b = kzalloc(sizeof(*b), GFP_KERNEL);

	if (!b)
		return NULL;
	b->status = (u32 *)get_zeroed_page(GFP_KERNEL);
	if (!b->status) {
		kfree(b);
		return NULL;
	}
	b->pdev = pdev;
	b->regs = regs;
	spin_lock_init(&b->window);
	spin_lock_init(&b->list_lock);
	INIT_LIST_HEAD(&b->queues);
	b->vdev.dev.parent = &pdev->dev;
	b->vdev.dev.release = bimodal_release;
	b->vdev.config = &bimodal_ops;
	return b;
}

/* The mode is on: what it takes to make a virtio device of it. */
static int bimodal_start(struct bimodal *b)
{
	struct pci_dev *pdev = b->pdev;
	int ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI | PCI_IRQ_LEGACY);

	if (ret < 0)
		return ret;
	b->msi = pdev->msi_enabled;
	b->irq = pci_irq_vector(pdev, 0);
	b->vdev.id.device = window_read(b, VIRTIO_MMIO_DEVICE_ID);
	b->vdev.id.vendor = window_read(b, VIRTIO_MMIO_VENDOR_ID);
	reg_write(b->regs, BIMODAL_REG_STATUS_PAGE, page_to_pfn(virt_to_page(b->status)));
	ret = request_irq(b->irq, bimodal_interrupt, b->msi ? 0 : IRQF_SHARED, KBUILD_MODNAME, b);
	if (ret)
		pci_free_irq_vectors(pdev);
	return ret;
}

static void bimodal_stop(struct bimodal *b)
{
	switch_off(b->regs);
	free_irq(b->irq, b);
	pci_free_irq_vectors(b->pdev);
}

static int bimodal_offer(struct pci_dev *pdev, void __iomem *regs)
{
	struct bimodal *b = bimodal_alloc(pdev, regs);
	int ret;

	if (!b)
		return -ENOMEM;
	ret = bimodal_start(b);
	if (ret) {
		bimodal_release(&b->vdev.dev);
		return ret;
	}
	pci_set_drvdata(pdev, b);
	ret = register_virtio_device(&b->vdev);
	if (ret) {
		bimodal_stop(b);
		put_device(&b->vdev.dev);
	}
	return ret;
}

static int bimodal_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	void __iomem *regs;
	int ret = pci_enable_device(pdev);

	if (ret)
		return ret;
	ret = pci_request_regions(pdev, KBUILD_MODNAME);
	if (ret)
		goto disable;
	regs = pci_iomap(pdev, IO_BAR, IO_BYTES);
	ret = -ENODEV;
	if (!regs)
		goto release;
	if (!identify(pdev, regs, handshake))
		goto unmap;
	pci_set_master(pdev);
	ret = -EIO;
	if (!switch_on(regs)) {
		pci_err(pdev, "the high-performance mode does not come on\n");
		goto unmap;
	}
	ret = bimodal_offer(pdev, regs);
	if (!ret)
		return 0;
	switch_off(regs);
unmap:
	pci_iounmap(pdev, regs);
release:
	pci_release_regions(pdev);
disable:
	pci_disable_device(pdev);
	return ret;
}

static void bimodal_remove(struct pci_dev *pdev)
{
	struct bimodal *b = pci_get_drvdata(pdev);
	void __iomem *regs = b->regs;

	/* Our use of it lasts until the mode has been left: unregistering drops virtio's. */
	get_device(&b->vdev.dev);
	unregister_virtio_device(&b->vdev);
	bimodal_stop(b);
	put_device(&b->vdev.dev);
	pci_iounmap(pdev, regs);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
}

/* Another kernel may come, which knows nothing of the mode and of what it writes to. */
static void bimodal_shutdown(struct pci_dev *pdev)
{
	struct bimodal *b = pci_get_drvdata(pdev);

	virtio_break_device(&b->vdev);
	switch_off(b->regs);
	pci_clear_master(pdev);
}

static const struct pci_device_id bimodal_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_DEC, PCI_DEVICE_ID_DEC_TULIP_FAST) }, {}
};
MODULE_DEVICE_TABLE(pci, bimodal_ids);

static struct pci_driver bimodal_driver = {
	.name = KBUILD_MODNAME,
	.id_table = bimodal_ids,
	.probe = bimodal_probe,
	.remove = bimodal_remove,
	.shutdown = bimodal_shutdown,
};

/* ---- taking over from the legacy driver, and giving back ---- */

/* Asks an adapter that another driver has, without disturbing it. */
static bool is_bimodal(struct pci_dev *pdev)
{
	void __iomem *regs = pci_iomap(pdev, IO_BAR, IO_BYTES);
	bool yes;

	if (!regs)
		return false;
	yes = identify(pdev, regs, false);
	pci_iounmap(pdev, regs);
	return yes;
}

static void give_back(struct pci_dev *pdev)
{
	if (!pdev->dev.driver && device_attach(&pdev->dev) < 0)
		pci_warn(pdev, "no driver takes the adapter back\n");
}

static void take_over(struct pci_dev *pdev)
{
	if (!pdev->dev.driver || pdev->driver == &bimodal_driver || !pci_is_enabled(pdev))
		return;
	if (!handshake && !is_bimodal(pdev))
		return;
	device_release_driver(&pdev->dev);
	if (device_driver_attach(&bimodal_driver.driver, &pdev->dev))
		give_back(pdev);
}

static void for_each_adapter(void (*what)(struct pci_dev *pdev))
{
	struct pci_dev *pdev = NULL;

	while ((pdev = pci_get_device(PCI_VENDOR_ID_DEC, PCI_DEVICE_ID_DEC_TULIP_FAST, pdev)))
		what(pdev);
}

static int __init bimodal_init(void)
{
	int ret = pci_register_driver(&bimodal_driver);

	if (!ret)
		for_each_adapter(take_over);
	return ret;
}

static void __exit bimodal_exit(void)
{
	pci_unregister_driver(&bimodal_driver);
	for_each_adapter(give_back);
}

module_init(bimodal_init);
module_exit(bimodal_exit);

MODULE_DESCRIPTION("High-performance mode of Plinth's bimodal devices");
MODULE_LICENSE("GPL");
