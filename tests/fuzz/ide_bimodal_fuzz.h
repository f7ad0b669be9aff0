/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_FUZZ_IDE_BIMODAL_FUZZ_H
#define TESTS_FUZZ_IDE_BIMODAL_FUZZ_H

/*
 * The high-performance mode of disks in fuzz_ide: steps of a driver that goes more or less by the rules, and of one that
 * does not. Random writes of configuration space and ports (ide_fuzz.h) reach the mode as well.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include "tests/fuzz/ide_fuzz.h"
#include "tests/unit/virtq_guest.h"

#define FAST_QUEUES 2
#define FAST_SIZE   8
#define FAST_PLAN   0x1000u /* bytes of a queue's page and of its requests' */
#define FAST_RINGS  0x2000u /* of unit 0's first queue; others follow */
#define FAST_STATUS 0x1a000u

static inline void fast_send(void *ctx, uint64_t addr, uint32_t data)
{
	const struct ide_bench *b = ctx;

	(void)data;
	CHECK(!(addr & 3));
	CHECK(b->ide.fn.config[PCI_COMMAND] & PCI_COMMAND_MASTER);
}

/* In any of the ways that there are. What a slot holds is nobody's business before it is taken. */
static inline void make_bimodal(struct ide_bench *b, struct input *in, unsigned int unit)
{
	static struct ide_fast fast[BIMODAL_PIIX4_UNITS];
	const struct msi_port msi = { fast_send, b };
	uint8_t ways = take(in);
	const struct bimodal_config cfg = {
		.on = ways & 0x40,
		.identify = (enum bimodal_identify)((ways & 3) % 3),
		.enable = (enum bimodal_enable)((ways >> 2 & 3) % 3),
		.relation = (enum bimodal_relation)(ways >> 4 & 3),
	};

	b->block[unit].blk.discards = b->block[unit].blk.zeroes = ways & 0x80;
	memset(&fast[unit], 0, offsetof(struct ide_fast, blk.slot));
	CHECK(!ide_set_bimodal(&b->ide, unit / 2, unit % 2, &fast[unit], &cfg, FAST_QUEUES, msi));
}

static inline void fast_register(struct ide_bench *b, unsigned int unit, unsigned int reg,
				 uint32_t val)
{
	pci_function_write(&b->ide.fn, BIMODAL_PIIX4(unit, reg), 4, val);
}

static inline void fast_window(struct ide_bench *b, unsigned int unit, uint32_t off, uint32_t val)
{
	fast_register(b, unit, BIMODAL_REG_SELECT, off);
	fast_register(b, unit, BIMODAL_REG_DATA, val);
	pci_function_read(&b->ide.fn, BIMODAL_PIIX4(unit, BIMODAL_REG_DATA), 4);
}

static inline void fast_seek(struct ide_bench *b, unsigned int unit, uint8_t sector)
{
	unsigned int base = unit / 2 ? 0x170 : 0x1f0;

	bench_out(b, base + 6, 1, unit % 2 ? 0xf0 : 0xe0);
	for (unsigned int i = 3; i < 6; i++)
		bench_out(b, base + i, 1, i == 3 ? sector : 0);
	bench_out(b, base + 7, 1, BIMODAL_PIIX4_SEEK);
}

static inline void fast_switch_on(struct ide_bench *b, unsigned int unit)
{
	static const uint8_t sectors[] = { 0, 3, 7, 11, 2, 5 };
	const uint8_t control = b->ide.fn.config[BIMODAL_PIIX4_UDMACTL];

	for (unsigned int i = 0; i < sizeof(sectors); i++)
		fast_seek(b, unit, sectors[i]);
	pci_function_write(&b->ide.fn, BIMODAL_PIIX4_UDMACTL, 1, control | BIMODAL_PIIX4_BIT(unit));
	fast_register(b, unit, BIMODAL_REG_MODE, 1);
}

static inline uint32_t fast_ring(unsigned int unit, unsigned int queue)
{
	return FAST_RINGS + (unit * FAST_QUEUES + queue) * 3 * FAST_PLAN;
}

/* As a driver leaves it; @how says what it leaves out. */
static inline void fast_start(struct ide_bench *b, unsigned int unit, uint8_t how)
{
	fast_window(b, unit, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	fast_window(b, unit, VIRTIO_MMIO_DRIVER_FEATURES, how & 1 ? 3u << 28 : 0);
	fast_window(b, unit, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	fast_window(b, unit, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	fast_window(b, unit, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FEATURES_OK);
	for (uint32_t q = 0; q < FAST_QUEUES; q++) {
		const uint32_t base = fast_ring(unit, q);

		fast_window(b, unit, VIRTIO_MMIO_QUEUE_SEL, q);
		fast_window(b, unit, VIRTIO_MMIO_QUEUE_NUM, FAST_SIZE);
		fast_window(b, unit, VIRTIO_MMIO_QUEUE_DESC_LOW, base);
		fast_window(b, unit, VIRTIO_MMIO_QUEUE_AVAIL_LOW, base + 0x100);
		fast_window(b, unit, VIRTIO_MMIO_QUEUE_USED_LOW, base + 0x200);
		fast_window(b, unit, VIRTIO_MMIO_QUEUE_READY, !(how & 2));
	}
	fast_register(b, unit, BIMODAL_REG_STATUS_PAGE, how & 4 ? FAST_STATUS / 4096 : 0x7fffffff);
	fast_window(b, unit, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
	if (how & 8)
		pci_function_write(&b->ide.fn, BIMODAL_PIIX4_MSI + 2, 2, 1);
}

static inline void fast_offer(struct ide_bench *b, uint32_t base, uint16_t head)
{
	struct vring_avail *avail = (struct vring_avail *)(b->mem + base + 0x100);

	avail->ring[avail->idx % FAST_SIZE] = head;
	avail->idx++;
}

static inline void fast_descriptor(struct ide_bench *b, uint32_t base, unsigned int n,
				   struct vring_desc d)
{
	memcpy(b->mem + base + 16 * (n % FAST_SIZE), &d, sizeof(d));
}

static inline void fast_doorbell(struct ide_bench *b, unsigned int unit, uint8_t how)
{
	if (how & 1)
		bench_out(b, 0xc000 + BIMODAL_PIIX4_DOORBELL(unit), 1, how);
	else if (how & 2)
		fast_register(b, unit, BIMODAL_REG_DOORBELL, how >> 2);
	else
		ide_doorbells(&b->ide);
}

/* Header, data, status: three descriptors, or two with one of them in the other. */
static inline void fast_request(struct ide_bench *b, struct input *in, unsigned int unit)
{
	static const uint8_t types[] = { VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
					 VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
					 VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
					 VIRTIO_BLK_T_IN,      2 };
	uint8_t how = take(in), n = take(in);
	uint8_t type = types[how & 7];
	const uint32_t base = fast_ring(unit, how >> 3 & 1), page = base + FAST_PLAN;
	struct virtio_blk_outhdr h = { .type = type, .sector = take_many(in, 1) };
	uint32_t data = base + 2 * FAST_PLAN, len = 512;
	const bool to_memory = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;

	if (how & 0x20)
		len = (uint32_t)take_many(in, 2);
	if (how & 0x40)
		data = (uint32_t)take_many(in, 3);
	if (type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES) {
		const struct virtio_blk_discard_write_zeroes d = { h.sector, take(in), take(in) };

		memcpy(b->mem + base + 2 * FAST_PLAN, &d, sizeof(d));
		len = how & 0x20 ? len : sizeof(d);
	}
	memcpy(b->mem + page + 16 * (n % FAST_SIZE), &h, sizeof(h));
	fast_descriptor(b, base, n,
			(struct vring_desc){ page + 16 * (n % FAST_SIZE), 16, VRING_DESC_F_NEXT,
					     (uint16_t)((n + 1) % FAST_SIZE) });
	fast_descriptor(b, base, n + 1u,
			(struct vring_desc){
				data, len, VRING_DESC_F_NEXT | (to_memory ? VRING_DESC_F_WRITE : 0),
				(uint16_t)((n + 2) % FAST_SIZE) });
	fast_descriptor(b, base, n + 2u,
			(struct vring_desc){ page + 0x100 + n % FAST_SIZE, how & 0x10 ? 40 : 1,
					     VRING_DESC_F_WRITE, 0 });
	fast_offer(b, base, n % FAST_SIZE);
	if (how & 0x80)
		fast_doorbell(b, unit, take(in));
}

static inline void fast_any_descriptor(struct ide_bench *b, struct input *in, unsigned int unit)
{
	uint8_t how = take(in);
	const uint32_t base = fast_ring(unit, how & 1);
	struct vring_desc d = { .addr = take_many(in, 3), .len = (uint32_t)take_many(in, 2) };

	d.flags = take(in) & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT);
	d.next = take(in) % (FAST_SIZE + 1);
	fast_descriptor(b, base, how >> 1, d);
	if (how & 0x10)
		fast_offer(b, base, how >> 1 & (FAST_SIZE - 1));
	if (how & 0x20)
		((struct vring_avail *)(b->mem + base + 0x100))->flags = how >> 6;
}

static inline void fast_step(struct ide_bench *b, struct input *in, uint8_t op)
{
	const unsigned int unit = op >> 3 & 3;

	switch (op & 7) {
	case 0:
		fast_window(b, unit, take(in) * 4u, (uint32_t)take_many(in, 4));
		break;
	case 1:
		fast_register(b, unit, take(in) & 7, (uint32_t)take_many(in, 4));
		break;
	case 2:
		fast_switch_on(b, unit);
		break;
	case 3:
		fast_switch_on(b, unit);
		fast_start(b, unit, take(in));
		break;
	case 4:
		fast_any_descriptor(b, in, unit);
		break;
	case 5:
		fast_doorbell(b, unit, take(in));
		break;
	default:
		fast_request(b, in, unit);
		break;
	}
}

#endif
