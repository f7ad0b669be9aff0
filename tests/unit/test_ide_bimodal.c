// SPDX-License-Identifier: GPL-2.0-only
/* The high-performance mode of the PIIX4's disks: how it is found and switched, what becomes of the drive, requests by virtio. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include "tests/unit/ide_test.h"
#include "tests/unit/virtq_guest.h"

#define SECTORS	 1000u
#define RINGS	 0x10000u /* three pages for each queue */
#define STATUS	 0x40000u
#define HEADERS	 0x50000u /* 16 bytes for each request, and a byte for its status */
#define STATUSES 0x51000u
#define DATA	 0x52000u
#define QUEUE	 128
#define QUEUES	 2
#define UNTOLD	 0xee /* a status that the device has not written */

#define SEEK	  0x70
#define READ	  0x20
#define READ_DMA  0xc8
#define WRITE	  0x30
#define VERIFY	  0x40
#define FLUSH	  0xe7
#define IDENTIFY  0xec
#define READ_EXT  0x24
#define WRITE_EXT 0x34

struct sent_msi {
	unsigned int count;
	uint64_t addr;
	uint32_t data;
};

static struct sent_msi messages;
static struct virtq_guest queue[QUEUES];
static struct ide_fast *fast[4];
static unsigned int unit;  /* that the registers below are of */
static unsigned int asked; /* requests since the driver began */

static void send_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct sent_msi *m = ctx;

	m->count++;
	m->addr = addr;
	m->data = data;
}

static const struct msi_port port = { send_msi, &messages };

static void fill(uint8_t *buf, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8) * 13);
}

static void add_disk(unsigned int n)
{
	fakeblock_init(&b.block[n], SECTORS * 512);
	b.block[n].blk.discards = b.block[n].blk.zeroes = true;
	b.block[n].blk.discard_unit = 4096;
	fill(b.block[n].data, SECTORS * 512, n + 1);
	assert_int_equal(ide_attach_disk(&b.ide, n / 2, n % 2, &b.block[n].blk, NULL), 0);
}

static void set_bimodal(unsigned int n, const struct bimodal_config *cfg)
{
	fast[n] = calloc(1, sizeof(*fast[n]));
	assert_non_null(fast[n]);
	assert_int_equal(ide_set_bimodal(&b.ide, n / 2, n % 2, fast[n], cfg, QUEUES, port), 0);
}

static void unmake(void)
{
	bench_free(&b);
	for (unsigned int i = 0; i < 4; i++) {
		free(fast[i]);
		fast[i] = NULL;
	}
}

/* A bench with one disk, in the given way. */
static void make_unit(unsigned int u, const struct bimodal_config *cfg)
{
	if (b.mem)
		unmake();
	bench_init(&b);
	messages = (struct sent_msi){ 0 };
	unit = u;
	add_disk(u);
	set_bimodal(u, cfg);
	bench_enable(&b);
}

static void make(enum bimodal_identify identify, enum bimodal_enable enable,
		 enum bimodal_relation relation)
{
	const struct bimodal_config cfg = { true, identify, enable, relation };

	make_unit(0, &cfg);
}

static int end(void **state)
{
	(void)state;
	if (b.mem)
		unmake();
	memset(&b, 0, sizeof(b));
	return 0;
}

static uint32_t reg(unsigned int n)
{
	return pci_function_read(&b.ide.fn, BIMODAL_PIIX4(unit, n), 4);
}

static void set_reg(unsigned int n, uint32_t val)
{
	pci_function_write(&b.ide.fn, BIMODAL_PIIX4(unit, n), 4, val);
}

static uint32_t window(uint32_t off)
{
	set_reg(BIMODAL_REG_SELECT, off);
	return reg(BIMODAL_REG_DATA);
}

static void set_window(uint32_t off, uint32_t val)
{
	set_reg(BIMODAL_REG_SELECT, off);
	set_reg(BIMODAL_REG_DATA, val);
}

static bool enabled(void)
{
	return reg(BIMODAL_REG_MODE) & BIMODAL_MODE_ENABLED;
}

static unsigned int base(void)
{
	return unit / 2 ? 0x170 : 0x1f0;
}

static uint8_t status(void)
{
	return in8(unit / 2 ? 0x376 : 0x3f6);
}

/* A command by LBA. */
static void command(uint8_t cmd, uint32_t lba, uint8_t count)
{
	out8(base() + 6, (uint8_t)(0xe0 | (unit & 1) << 4 | lba >> 24));
	out8(base() + 2, count);
	for (unsigned int i = 0; i < 3; i++)
		out8(base() + 3 + i, (uint8_t)(lba >> 8 * i));
	out8(base() + 7, cmd);
}

static void seek(uint32_t lba)
{
	command(SEEK, lba, 0);
	assert_int_equal(status() & ~BIMODAL_PIIX4_STATUS, 0x50);
}

static void identify(uint16_t id[256])
{
	command(IDENTIFY, 0, 0);
	for (unsigned int i = 0; i < 256; i++)
		id[i] = (uint16_t)bench_in(&b, base(), 2);
}

static void shake(void)
{
	static const uint32_t sectors[] = BIMODAL_PIIX4_HANDSHAKE;

	for (unsigned int i = 0; i < 3; i++)
		seek(sectors[i]);
}

static void set_bit(bool on)
{
	const uint8_t was = (uint8_t)pci_function_read(&b.ide.fn, BIMODAL_PIIX4_UDMACTL, 1);
	const uint8_t bit = BIMODAL_PIIX4_BIT(unit);

	pci_function_write(&b.ide.fn, BIMODAL_PIIX4_UDMACTL, 1, on ? was | bit : was & ~bit);
}

static void switch_on_by(enum bimodal_enable way)
{
	static const uint32_t keys[] = BIMODAL_PIIX4_KEYS;

	switch (way) {
	case BIMODAL_ENABLE_REGISTER:
		set_reg(BIMODAL_REG_MODE, 1);
		break;
	case BIMODAL_ENABLE_BIT:
		set_bit(true);
		break;
	default:
		for (unsigned int i = 0; i < 3; i++)
			command(SEEK, keys[i], 0);
	}
}

static void switch_on(void)
{
	switch_on_by(fast[unit]->bimodal.cfg.enable);
}

static void add_queue(unsigned int n)
{
	struct virtq_guest *g = &queue[n];

	virtq_guest_init(g, b.mem, RINGS + n * 0x3000, QUEUE);
	set_window(VIRTIO_MMIO_QUEUE_SEL, n);
	set_window(VIRTIO_MMIO_QUEUE_NUM, QUEUE);
	set_window(VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTQ_GUEST_DESC(g));
	set_window(VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTQ_GUEST_AVAIL(g));
	set_window(VIRTIO_MMIO_QUEUE_USED_LOW, VIRTQ_GUEST_USED(g));
	set_window(VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(window(VIRTIO_MMIO_QUEUE_READY), 1);
}

/* As a driver does it (virtio 1.2, 3.1.1), without event indices. */
static void drive(void)
{
	set_window(VIRTIO_MMIO_STATUS, 0);
	set_window(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	set_window(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set_window(VIRTIO_MMIO_DRIVER_FEATURES, 1u << (VIRTIO_F_VERSION_1 - 32));
	set_window(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FEATURES_OK);
	assert_true(window(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned int i = 0; i < QUEUES; i++)
		add_queue(i);
	put32(STATUS, 0);
	set_reg(BIMODAL_REG_STATUS_PAGE, STATUS / 4096);
	asked = 0;
	set_window(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
}

/* Offers a request of @len bytes at @data in @q; its number. For a read @data is written. No doorbell. */
static unsigned int ask_in(unsigned int q, uint32_t type, uint64_t sector, uint32_t data,
			   uint32_t len)
{
	const struct virtio_blk_outhdr h = { .type = type, .sector = sector };
	const bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	const unsigned int n = asked++;
	struct virtq_guest *g = &queue[q];
	uint16_t head;

	memcpy(b.mem + HEADERS + 16 * n, &h, sizeof(h));
	b.mem[STATUSES + n] = UNTOLD;
	head = virtq_guest_desc(g, HEADERS + 16 * n, 16, VRING_DESC_F_NEXT);
	if (len)
		virtq_guest_desc(g, data, len, VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0));
	virtq_guest_desc(g, STATUSES + n, 1, VRING_DESC_F_WRITE);
	virtq_guest_offer(g, head);
	return n;
}

static unsigned int ask(uint32_t type, uint64_t sector, uint32_t data, uint32_t len)
{
	return ask_in(0, type, sector, data, len);
}

static uint8_t told(unsigned int n)
{
	return b.mem[STATUSES + n];
}

static void ring(void)
{
	bench_out(&b, 0xc000 + BIMODAL_PIIX4_DOORBELL(unit), 1, 0);
}

/* One request, to its end. */
static uint8_t answer(uint32_t type, uint64_t sector, uint32_t data, uint32_t len)
{
	const unsigned int n = ask(type, sector, data, len);

	ring();
	bench_run(&b);
	return told(n);
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t count, uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes d = { sector, count, flags };

	memcpy(b.mem + DATA, &d, sizeof(d));
	return answer(type, sector, DATA, sizeof(d));
}

/* ---- B3: identification ---- */

static void assert_same_config(const struct ide_bench *plain)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++)
		assert_int_equal(pci_function_read(&b.ide.fn, i, 1),
				 pci_function_read((struct pci_function *)&plain->ide.fn, i, 1));
}

static void test_off_is_the_part(void **state)
{
	static const struct bimodal_config off = { .on = false,
						   .identify = BIMODAL_IDENTIFY_REVISION };
	static struct ide_bench plain;
	uint16_t id[256], before[256];

	(void)state;
	bench_init(&plain);
	make_unit(0, &off);
	bench_enable(&plain);
	assert_same_config(&plain);
	for (unsigned int i = 0; i < 4; i++)
		bench_out(&b, 0xc000 + BIMODAL_PIIX4_DOORBELL(i), 1, 0xff);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(in8(0xc000 + i), bench_in(&plain, 0xc000 + i, 1));
	identify(before);
	assert_int_equal(before[BIMODAL_PIIX4_WORD_MAGIC], 0);
	shake();
	for (int way = BIMODAL_ENABLE_REGISTER; way <= BIMODAL_ENABLE_SEQUENCE; way++)
		switch_on_by(way);
	for (unsigned int i = 0x50; i < PCI_CONFIG_SIZE; i += 4)
		pci_function_write(&b.ide.fn, i, 4, UINT32_MAX);
	assert_same_config(&plain);
	identify(id);
	assert_memory_equal(id, before, sizeof(id));
	assert_int_equal(status(), 0x50);
	bench_free(&plain);
}

/* A bimodal disk that nobody has asked anything differs in what identifies it, and in nothing else. */
static void test_on_and_not_used(void **state)
{
	static const struct bimodal_config off;
	uint16_t id[256], before[256];
	uint8_t config[PCI_CONFIG_SIZE];

	(void)state;
	make_unit(0, &off);
	identify(before);
	memcpy(config, b.ide.fn.config, sizeof(config));
	make(BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_REGISTER, BIMODAL_DISABLES_PART);
	identify(id);
	assert_int_equal(id[BIMODAL_PIIX4_WORD_MAGIC], BIMODAL_PIIX4_MAGIC);
	assert_int_equal(id[BIMODAL_PIIX4_WORD_STATE], BIMODAL_PIIX4_STATE_IDENTIFIED);
	assert_memory_equal(id, before, 2 * BIMODAL_PIIX4_WORD_MAGIC);
	assert_memory_equal(&id[131], &before[131], 2 * (255 - 131));
	for (unsigned int i = 0; i < BIMODAL_PIIX4(0, 0); i++) {
		if (i != PCI_STATUS && i != PCI_CAPABILITIES)
			assert_int_equal(pci_function_read(&b.ide.fn, i, 1), config[i]);
	}
	assert_int_equal(pci_function_read(&b.ide.fn, PCI_CAPABILITIES, 1), BIMODAL_PIIX4_MSI);
	assert_int_equal(status(), 0x50);
}

static void test_identified_by_register(void **state)
{
	(void)state;
	make(BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_REGISTER, BIMODAL_DISABLES_PART);
	assert_int_equal(reg(BIMODAL_REG_ID), BIMODAL_MAGIC);
	assert_int_equal(pci_function_read(&b.ide.fn, PCI_REVISION_ID, 1), 1);
	for (unsigned int i = BIMODAL_REG_SELECT; i < 8; i++)
		assert_int_equal(reg(i), 0);
	/* Parts of registers are none, and other units have none. */
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pci_function_read(&b.ide.fn, BIMODAL_PIIX4(0, 0) + i, 1), 0);
	set_reg(BIMODAL_REG_MODE, 2);
	pci_function_write(&b.ide.fn, BIMODAL_PIIX4(0, BIMODAL_REG_MODE), 1, 1);
	pci_function_write(&b.ide.fn, BIMODAL_PIIX4(0, BIMODAL_REG_MODE), 2, 1);
	assert_false(enabled());
	for (unit = 1; unit < BIMODAL_PIIX4_UNITS; unit++) {
		set_reg(BIMODAL_REG_MODE, 1);
		for (unsigned int i = 0; i < 8; i++)
			assert_int_equal(reg(i), 0);
	}
}

static void test_identified_by_revision(void **state)
{
	(void)state;
	make(BIMODAL_IDENTIFY_REVISION, BIMODAL_ENABLE_REGISTER, BIMODAL_DISABLES_PART);
	assert_int_equal(pci_function_read(&b.ide.fn, PCI_REVISION_ID, 1), BIMODAL_PIIX4_REVISION);
	assert_int_equal(reg(BIMODAL_REG_ID), BIMODAL_MAGIC);
	assert_int_equal(BIMODAL_MODE_IDENTIFY(reg(BIMODAL_REG_MODE)), BIMODAL_IDENTIFY_REVISION);
	ide_reset(&b.ide);
	assert_int_equal(pci_function_read(&b.ide.fn, PCI_REVISION_ID, 1), BIMODAL_PIIX4_REVISION);
}

static void assert_unknown(void)
{
	uint16_t id[256];

	assert_int_equal(reg(BIMODAL_REG_ID), 0);
	assert_int_equal(status() & BIMODAL_PIIX4_STATUS, 0);
	identify(id);
	assert_int_equal(id[BIMODAL_PIIX4_WORD_MAGIC], 0);
	assert_int_equal(id[BIMODAL_PIIX4_WORD_STATE], 0);
}

static void test_identified_by_handshake(void **state)
{
	uint16_t id[256];

	(void)state;
	make(BIMODAL_IDENTIFY_HANDSHAKE, BIMODAL_ENABLE_REGISTER, BIMODAL_DISABLES_PART);
	assert_unknown();
	set_reg(BIMODAL_REG_MODE, 1);
	/* Another command in between, another sector, one that fails, and CHS: each starts it over. */
	seek(0);
	seek(3);
	command(FLUSH, 0, 0);
	bench_run(&b);
	seek(7);
	assert_unknown();
	seek(0);
	seek(3);
	seek(4);
	seek(7);
	assert_unknown();
	seek(0);
	seek(3);
	command(SEEK, SECTORS, 0);
	assert_int_equal(status(), 0x51);
	seek(7);
	assert_unknown();
	seek(0);
	seek(3);
	out8(0x1f6, 0xa0);
	out8(0x1f3, 8);
	out8(0x1f4, 0);
	out8(0x1f5, 0);
	out8(0x1f7, SEEK);
	assert_int_equal(status(), 0x50);
	assert_unknown();
	seek(0);
	seek(3);
	out8(0x1f7, 0x90);
	seek(7);
	assert_unknown();
	/* A false start, from which the true one follows at once. */
	seek(0);
	seek(3);
	shake();
	assert_int_equal(reg(BIMODAL_REG_ID), BIMODAL_MAGIC);
	assert_int_equal(status(), 0x50 | BIMODAL_PIIX4_STATUS);
	identify(id);
	assert_int_equal(id[BIMODAL_PIIX4_WORD_MAGIC], BIMODAL_PIIX4_MAGIC);
	assert_int_equal(id[BIMODAL_PIIX4_WORD_STATE], BIMODAL_PIIX4_STATE_IDENTIFIED);
	switch_on();
	identify(id);
	assert_int_equal(id[BIMODAL_PIIX4_WORD_STATE],
			 BIMODAL_PIIX4_STATE_IDENTIFIED | BIMODAL_PIIX4_STATE_ENABLED);
	out8(0x1f7, 0x90); /* no reset: it stays */
	assert_true(enabled());
	out8(0x3f6, ATA_SRST);
	out8(0x3f6, 0);
	assert_unknown();
}

/* ---- B4: enabling ---- */

static void test_each_way_to_enable(void **state)
{
	(void)state;
	for (int way = BIMODAL_ENABLE_REGISTER; way <= BIMODAL_ENABLE_SEQUENCE; way++) {
		make(BIMODAL_IDENTIFY_HANDSHAKE, way, BIMODAL_EXTENDS);
		switch_on(); /* nobody has asked who it is */
		set_bit(false);
		shake();
		assert_false(enabled());
		assert_int_equal(BIMODAL_MODE_ENABLE(reg(BIMODAL_REG_MODE)), way);
		for (int other = BIMODAL_ENABLE_REGISTER; other <= BIMODAL_ENABLE_SEQUENCE;
		     other++) {
			switch_on_by(other);
			assert_int_equal(enabled(), other == way);
			set_reg(BIMODAL_REG_MODE, 0);
			assert_false(enabled());
			assert_int_equal(b.ide.fn.config[BIMODAL_PIIX4_UDMACTL], 0);
		}
	}
}

static void test_the_bit_reads_as_the_mode(void **state)
{
	(void)state;
	make(BIMODAL_IDENTIFY_HANDSHAKE, BIMODAL_ENABLE_BIT, BIMODAL_EXTENDS);
	set_bit(true);
	assert_int_equal(b.ide.fn.config[BIMODAL_PIIX4_UDMACTL], 0);
	shake();
	set_bit(true);
	assert_true(enabled());
	assert_int_equal(b.ide.fn.config[BIMODAL_PIIX4_UDMACTL], BIMODAL_PIIX4_BIT(0));
	/* What the part has in there stays by itself. */
	pci_function_write(&b.ide.fn, BIMODAL_PIIX4_UDMACTL, 4, 0x3301001f);
	assert_int_equal(pci_function_read(&b.ide.fn, BIMODAL_PIIX4_UDMACTL, 4),
			 0x3301001f & 0x3333001f);
	assert_true(enabled());
	set_bit(false);
	assert_false(enabled());
	assert_int_equal(b.ide.fn.config[BIMODAL_PIIX4_UDMACTL], 0x0f);
	set_bit(true);
	out8(0x3f6, ATA_SRST);
	assert_int_equal(b.ide.fn.config[BIMODAL_PIIX4_UDMACTL], 0x0f);
}

static void test_a_sequence_interrupted(void **state)
{
	static const uint32_t keys[] = BIMODAL_PIIX4_KEYS;

	(void)state;
	make(BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_SEQUENCE, BIMODAL_EXTENDS);
	seek(keys[0]);
	seek(keys[1]);
	command(FLUSH, 0, 0);
	bench_run(&b);
	seek(keys[2]);
	assert_false(enabled());
	switch_on();
	assert_true(enabled());
}

/* ---- B5: what becomes of the drive; all ways to begin ---- */

static void pio_read(uint32_t lba, uint8_t *sector)
{
	command(READ, lba, 1);
	bench_run(&b);
	assert_int_equal(status() & ~BIMODAL_PIIX4_STATUS, 0x58);
	ide_cmd_ops.read_string(&b.ide.channel[unit / 2], 0, 2, sector, 256);
}

static void pio_write(uint32_t lba, const uint8_t *sector)
{
	command(WRITE, lba, 1);
	assert_int_equal(status() & ~BIMODAL_PIIX4_STATUS, 0x58);
	ide_cmd_ops.write_string(&b.ide.channel[unit / 2], 0, 2, sector, 256);
	bench_run(&b);
	assert_int_equal(status() & ~BIMODAL_PIIX4_STATUS, 0x50);
}

static void assert_refused(uint8_t cmd)
{
	command(cmd, 5, 1);
	assert_int_equal(status() & ~BIMODAL_PIIX4_STATUS, 0x51);
	assert_int_equal(in8(base() + 1), ATA_ABRT);
	assert_int_equal(b.block[unit].waiting, 0);
}

/* Commands of the drive while the mode is on. */
static void check_relation(enum bimodal_relation relation)
{
	static const uint8_t media[] = { 0x20, 0x21, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39,
					 0x3d, 0x40, 0x42, 0xc4, 0xc5, 0xc8, 0xca, 0xce };
	uint8_t got[512], want[512];

	switch (relation) {
	case BIMODAL_DISABLES_ALL:
		assert_int_equal(status(), unit & 1 ? 0 : 0x7f);
		command(READ, 5, 1);
		command(0x90, 0, 0);
		assert_int_equal(b.block[unit].waiting, 0);
		assert_int_equal(status(), 0x7f);
		assert_int_equal(in8(base() + 2), 0x7f);
		assert_false(b.pins.level[14]);
		return;
	case BIMODAL_DISABLES_PART:
		for (unsigned int i = 0; i < sizeof(media); i++)
			assert_refused(media[i]);
		break;
	default:
		fill(want, 512, 77);
		pio_write(9, want);
		pio_read(9, got);
		assert_memory_equal(got, want, 512);
		/* On the same medium, and FLUSH of either covers both. */
		assert_int_equal(answer(VIRTIO_BLK_T_IN, 9, DATA, 512), VIRTIO_BLK_S_OK);
		assert_memory_equal(b.mem + DATA, want, 512);
		assert_true(b.block[unit].dirty);
		assert_int_equal(answer(VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
		assert_false(b.block[unit].dirty);
		answer(VIRTIO_BLK_T_OUT, 9, DATA, 512);
	}
	assert_true(b.block[unit].dirty);
	command(FLUSH, 0, 0);
	bench_run(&b);
	assert_false(b.block[unit].dirty);
	seek(5);
}

static void check_ring(void)
{
	uint8_t want[4096];

	fill(want, sizeof(want), 3);
	memcpy(b.mem + DATA, want, sizeof(want));
	assert_int_equal(answer(VIRTIO_BLK_T_OUT, 20, DATA, 4096), VIRTIO_BLK_S_OK);
	memset(b.mem + DATA, 0, 4096);
	assert_int_equal(answer(VIRTIO_BLK_T_IN, 20, DATA, 4096), VIRTIO_BLK_S_OK);
	assert_memory_equal(b.mem + DATA, want, 4096);
	assert_memory_equal(b.block[unit].data + 20 * 512, want, 4096);
}

static void test_all_combinations(void **state)
{
	uint8_t got[512], want[512];

	(void)state;
	for (unsigned int way = 0; way < 4 * 3 * 3 * 4; way++) {
		const struct bimodal_config cfg = { true, way / 4 % 3, way / 12 % 3, way / 36 };

		make_unit(way % 4, &cfg);
		if (cfg.identify == BIMODAL_IDENTIFY_HANDSHAKE)
			shake();
		assert_int_equal(reg(BIMODAL_REG_ID), BIMODAL_MAGIC);
		switch_on();
		assert_true(enabled());
		assert_int_equal(BIMODAL_MODE_RELATION(reg(BIMODAL_REG_MODE)), cfg.relation);
		drive();
		check_ring();
		if (!(unit & 1))
			check_relation(cfg.relation);
		set_reg(BIMODAL_REG_MODE, 0);
		/* And back: what was written is there. */
		pio_read(20, got);
		fill(want, 512, 3);
		assert_memory_equal(got, want, 512);
		assert_int_equal(ide_stats(&b.ide, unit / 2, unit % 2)->kind[ATA_STAT_READ].errors >
					 0,
				 !(unit & 1) && cfg.relation == BIMODAL_DISABLES_PART);
	}
}

/* ---- requests ---- */

static void setup_driven_unit(unsigned int u)
{
	static const struct bimodal_config cfg = { .on = true };

	make_unit(u, &cfg);
	switch_on();
	drive();
}

static int setup_driven(void **state)
{
	(void)state;
	setup_driven_unit(0);
	return 0;
}

static void test_what_it_says_it_is(void **state)
{
	struct virtio_blk_config c;
	uint32_t low;

	(void)state;
	assert_int_equal(window(VIRTIO_MMIO_DEVICE_ID), 2);
	for (unsigned int i = 0; i < sizeof(c); i += 4) {
		const uint32_t val = window(VIRTIO_MMIO_CONFIG + i);

		memcpy((uint8_t *)&c + i, &val, 4);
	}
	assert_int_equal(c.capacity, SECTORS);
	assert_int_equal(c.seg_max, VIRTQ_SEGS_MAX - 2);
	assert_int_equal(c.blk_size, 512);
	assert_int_equal(c.num_queues, QUEUES);
	assert_int_equal(c.max_discard_seg, 1);
	assert_int_equal(c.discard_sector_alignment, 8);
	assert_int_equal(c.max_write_zeroes_seg, 1);
	set_window(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	low = window(VIRTIO_MMIO_DEVICE_FEATURES);
	assert_true(low & 1u << VIRTIO_BLK_F_MQ && low & 1u << VIRTIO_BLK_F_FLUSH);
	assert_true(low & 1u << VIRTIO_BLK_F_DISCARD && low & 1u << VIRTIO_BLK_F_WRITE_ZEROES);
	assert_false(low & 1u << VIRTIO_BLK_F_RO);
}

static void test_one_doorbell_starts_a_batch(void **state)
{
	const uint64_t before = fast[0]->blk.stats.doorbells;
	struct vring_used_elem e;

	(void)state;
	for (unsigned int i = 0; i < 32; i++)
		ask_in(i % 2, VIRTIO_BLK_T_IN, i, DATA + 512 * i, 512);
	assert_int_equal(b.block[0].waiting, 0);
	ring();
	assert_int_equal(b.block[0].waiting, 32);
	bench_run(&b);
	assert_memory_equal(b.mem + DATA, b.block[0].data, 32 * 512);
	for (unsigned int i = 0; i < 32; i++) {
		assert_true(virtq_guest_take(&queue[i % 2], &e));
		assert_int_equal(e.len, 513);
		assert_int_equal(told(i), VIRTIO_BLK_S_OK);
	}
	assert_int_equal(fast[0]->blk.stats.doorbells - before, 2); /* one for each queue */
	assert_int_equal(fast[0]->blk.stats.requests, 32);
	/* By the register, and from elsewhere. */
	ask(VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	set_reg(BIMODAL_REG_DOORBELL, 0);
	assert_int_equal(b.block[0].waiting, 1);
	ask(VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	ide_doorbells(&b.ide);
	assert_int_equal(b.block[0].waiting, 2);
	/* What other units' bytes are is not this one's. */
	ask(VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	for (unit = 1; unit < 4; unit++)
		ring();
	assert_int_equal(b.block[0].waiting, 2);
	unit = 0;
}

/* However header, data and status are cut up. */
static void test_a_request_in_pieces(void **state)
{
	const struct virtio_blk_outhdr out = { .type = VIRTIO_BLK_T_OUT, .sector = 7 };
	const struct virtio_blk_outhdr in = { .type = VIRTIO_BLK_T_IN, .sector = 7 };
	struct virtq_guest *g = &queue[0];
	struct vring_used_elem e;
	uint8_t want[1024];
	uint16_t head;

	(void)state;
	fill(want, sizeof(want), 5);
	memcpy(b.mem + DATA, &out, 16);
	memcpy(b.mem + DATA + 16, want, 1024);
	head = virtq_guest_desc(g, DATA, 5, VRING_DESC_F_NEXT);
	virtq_guest_desc(g, DATA + 5, 11 + 100, VRING_DESC_F_NEXT);
	virtq_guest_desc(g, DATA + 16 + 100, 924, VRING_DESC_F_NEXT);
	virtq_guest_desc(g, STATUSES, 1, VRING_DESC_F_WRITE);
	virtq_guest_offer(g, head);
	ring();
	bench_run(&b);
	assert_int_equal(told(0), VIRTIO_BLK_S_OK);
	assert_memory_equal(b.block[0].data + 7 * 512, want, 1024);
	assert_true(virtq_guest_take(g, &e));
	assert_int_equal(e.len, 1);
	memcpy(b.mem + HEADERS, &in, 16);
	memset(b.mem + DATA, 0, 2000);
	head = virtq_guest_desc(g, HEADERS, 16, VRING_DESC_F_NEXT);
	virtq_guest_desc(g, DATA, 700, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	virtq_guest_desc(g, DATA + 700, 325, VRING_DESC_F_WRITE);
	virtq_guest_offer(g, head);
	b.mem[DATA + 1024] = UNTOLD;
	ring();
	bench_run(&b);
	assert_memory_equal(b.mem + DATA, want, 1024);
	assert_int_equal(b.mem[DATA + 1024], VIRTIO_BLK_S_OK);
	assert_true(virtq_guest_take(g, &e));
	assert_int_equal(e.len, 1025);
}

static void test_what_is_refused(void **state)
{
	struct virtq_guest *g = &queue[0];
	uint16_t head;

	(void)state;
	assert_int_equal(answer(VIRTIO_BLK_T_IN, SECTORS, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(answer(VIRTIO_BLK_T_IN, SECTORS - 1, DATA, 1024), VIRTIO_BLK_S_IOERR);
	assert_int_equal(answer(VIRTIO_BLK_T_OUT, UINT64_MAX, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(answer(VIRTIO_BLK_T_OUT, UINT64_MAX / 512 + 1, DATA, 512),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(answer(VIRTIO_BLK_T_IN, 0, DATA, 511), VIRTIO_BLK_S_IOERR);
	assert_int_equal(answer(VIRTIO_BLK_T_OUT, 0, DATA, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(answer(VIRTIO_BLK_T_SCSI_CMD, 0, DATA, 512), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(answer(VIRTIO_BLK_T_SECURE_ERASE, 0, DATA, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(b.block[0].reads + b.block[0].writes, 0);
	assert_int_equal(fast[0]->blk.stats.errors, 8);
	/* Too short for a header; no room for a status. */
	head = virtq_guest_desc(g, DATA, 15, VRING_DESC_F_NEXT);
	virtq_guest_desc(g, STATUSES, 1, VRING_DESC_F_WRITE);
	virtq_guest_offer(g, head);
	virtq_guest_offer(g, virtq_guest_desc(g, DATA, 16, 0));
	b.mem[STATUSES] = UNTOLD;
	ring();
	assert_int_equal(told(0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(g->ring.used->idx, 10);
	assert_int_equal(fast[0]->blk.stats.dropped, 1);
	assert_int_equal(fast[0]->blk.busy, 0);
	/* The back end's errors. */
	b.block[0].fail = -EIO;
	assert_int_equal(answer(VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_IOERR);
	b.block[0].fail = -ENOSPC;
	assert_int_equal(answer(VIRTIO_BLK_T_OUT, 0, DATA, 512), VIRTIO_BLK_S_IOERR);
	b.block[0].fail = 0;
	assert_int_equal(answer(VIRTIO_BLK_T_OUT, 0, DATA, 512), VIRTIO_BLK_S_OK);
}

static void test_its_serial_number(void **state)
{
	(void)state;
	memset(b.mem + DATA, 0xff, 21);
	assert_int_equal(answer(VIRTIO_BLK_T_GET_ID, 0, DATA, 20), VIRTIO_BLK_S_OK);
	assert_memory_equal(b.mem + DATA, "PL00001\0\0\0\0\0\0\0\0\0\0\0\0\0\xff", 21);
	memset(b.mem + DATA, 0xff, 21);
	assert_int_equal(answer(VIRTIO_BLK_T_GET_ID, 0, DATA, 3), VIRTIO_BLK_S_OK);
	assert_memory_equal(b.mem + DATA, "PL0\xff", 4);
}

static void test_discard_and_zeroes(void **state)
{
	static const uint8_t zeroes[1024];
	uint8_t want[1024];

	(void)state;
	memcpy(want, b.block[0].data + 8 * 512, 1024);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 8, 2, 0), VIRTIO_BLK_S_OK);
	assert_memory_equal(b.block[0].data + 8 * 512, zeroes, 1024);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 10, 2, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 12, 2, 1), VIRTIO_BLK_S_OK);
	assert_memory_equal(b.block[0].data + 12 * 512, zeroes, 1024);
	assert_int_equal(b.block[0].ranges, 3);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 8, 2, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 8, 2, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 8, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(answer(VIRTIO_BLK_T_DISCARD, 0, DATA, 32), VIRTIO_BLK_S_IOERR);
	b.block[0].blk.discards = b.block[0].blk.zeroes = false;
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 8, 2, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(VIRTIO_BLK_T_WRITE_ZEROES, 8, 2, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(b.block[0].ranges, 3);
	b.block[0].blk.discards = true;
	b.block[0].fail = -EOPNOTSUPP;
	b.block[0].fail_at = 8 * 512;
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 8, 2, 0), VIRTIO_BLK_S_UNSUPP);
	b.block[0].fail = 0;
}

static void test_a_read_only_disk(void **state)
{
	static const struct bimodal_config cfg = { .on = true };

	(void)state;
	unmake();
	bench_init(&b);
	add_disk(0);
	b.block[0].blk.readonly = true;
	set_bimodal(0, &cfg);
	bench_enable(&b);
	switch_on();
	set_window(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	assert_true(window(VIRTIO_MMIO_DEVICE_FEATURES) & 1u << VIRTIO_BLK_F_RO);
	drive();
	assert_int_equal(answer(VIRTIO_BLK_T_OUT, 0, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(VIRTIO_BLK_T_DISCARD, 8, 2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(answer(VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
}

/* More than there may be under way: the rest waits, in its order, and none is lost. */
static void test_many_requests(void **state)
{
	unsigned int n;

	(void)state;
	for (n = 0; n < 84; n++)
		ask_in(n % 2, n % 21 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_SCSI_CMD, n, DATA + 512 * n,
		       512);
	for (unsigned int round = 0; round < 5; round++) {
		ring();
		bench_run(&b);
		for (unsigned int q = 0; q < QUEUES; q++)
			queue[q].seen = queue[q].ring.used->idx;
		for (n = 0; n < 84; n++) {
			assert_int_equal(told(n), n % 21 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_UNSUPP);
			b.mem[STATUSES + n] = UNTOLD;
			virtq_guest_offer(&queue[n % 2], (uint16_t)(n / 2 * 3));
		}
	}
	/* The same chain may be offered again and again: 250 requests with one header. */
	for (n = 0; n < 125; n++) {
		for (unsigned int q = 0; q < QUEUES && n < 125 - 42; q++)
			virtq_guest_offer(&queue[q], 3);
	}
	ring();
	assert_int_equal(b.block[0].waiting, VIRTIO_BLK_DEPTH);
	bench_run(&b);
	fakeclock_advance(&b.clock, 1);
	bench_run(&b);
	for (unsigned int q = 0; q < QUEUES; q++)
		assert_int_equal(queue[q].ring.used->idx, queue[q].ring.avail->idx);
	assert_int_equal(fast[0]->blk.busy, 0);
}

/* ---- doorbells ---- */

static bool wanted(unsigned int q)
{
	return !(queue[q].ring.used->flags & VRING_USED_F_NO_NOTIFY);
}

/* One after the other, each has its doorbell; so have a few. */
static void test_lone_requests(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 10; i++) {
		assert_true(wanted(0));
		ask(VIRTIO_BLK_T_IN, i, DATA, 512);
		ask(VIRTIO_BLK_T_IN, i, DATA, 512);
		ring();
		assert_true(wanted(0));
		bench_run(&b);
		assert_false(fast[0]->blk.more.armed);
		queue[0].next = 0;
	}
}

/* With many under way the queue is looked at when some of them end, and by a timer. */
static void test_many_need_no_doorbells(void **state)
{
	unsigned int n;

	(void)state;
	for (unsigned int i = 0; i < 6; i++)
		ask(VIRTIO_BLK_T_IN, i, DATA, 512);
	ring();
	assert_false(wanted(0));
	assert_true(wanted(1));
	ask(VIRTIO_BLK_T_IN, 6, DATA, 512);
	assert_int_equal(b.block[0].waiting, 6);
	fakeblock_step(&b.block[0]);
	assert_int_equal(b.block[0].waiting, 6);
	/* None ends for a while. */
	ask(VIRTIO_BLK_T_IN, 7, DATA, 512);
	fakeclock_advance(&b.clock, VIRTIO_BLK_POLL_NS);
	assert_int_equal(b.block[0].waiting, 7);
	/* It is looked at ever less often, and at last wants doorbells again. */
	fakeclock_advance(&b.clock, 2 * VIRTIO_BLK_POLL_NS);
	assert_false(wanted(0));
	ask(VIRTIO_BLK_T_IN, 8, DATA, 512);
	fakeclock_advance(&b.clock, 2 * VIRTIO_BLK_POLL_NS);
	assert_int_equal(b.block[0].waiting, 8);
	fakeclock_advance(&b.clock, 100 * VIRTIO_BLK_POLL_NS);
	assert_true(wanted(0));
	assert_false(fast[0]->blk.more.armed);
	n = ask(VIRTIO_BLK_T_IN, 9, DATA, 512);
	ring();
	assert_int_equal(b.block[0].waiting, 9);
	assert_false(wanted(0));
	bench_run(&b);
	assert_int_equal(told(n), VIRTIO_BLK_S_OK);
	assert_true(wanted(0));
	fakeclock_advance(&b.clock, VIRTIO_BLK_POLLS * VIRTIO_BLK_POLL_NS);
	assert_false(fast[0]->blk.more.armed);
}

/* The same where requests are over at once: those that come together are seen by their number. */
static void test_many_at_once_need_no_doorbells(void **state)
{
	(void)state;
	b.block[0].at_once = true;
	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int i = 0; i < VIRTIO_BLK_MANY; i++)
			ask(VIRTIO_BLK_T_IN, i, DATA, 512);
		if (!round)
			ring();
		else
			fakeclock_advance(&b.clock, VIRTIO_BLK_POLL_NS);
		assert_int_equal(queue[0].ring.used->idx, (round + 1) * VIRTIO_BLK_MANY);
		assert_false(wanted(0));
	}
	fakeclock_advance(&b.clock, VIRTIO_BLK_POLL_NS);
	assert_true(wanted(0));
	assert_false(fast[0]->blk.more.armed);
	/* The driver goes before the timer. */
	for (unsigned int i = 0; i < VIRTIO_BLK_MANY; i++)
		ask(VIRTIO_BLK_T_IN, i, DATA, 512);
	ring();
	set_reg(BIMODAL_REG_MODE, 0);
	assert_false(fast[0]->blk.more.armed);
}

/* ---- interrupts ---- */

static void enable_msi(void)
{
	pci_function_write(&b.ide.fn, BIMODAL_PIIX4_MSI + 4, 4, 0xfee01000);
	pci_function_write(&b.ide.fn, BIMODAL_PIIX4_MSI + 8, 4, 0);
	pci_function_write(&b.ide.fn, BIMODAL_PIIX4_MSI + 12, 2, 0x4123);
	pci_function_write(&b.ide.fn, BIMODAL_PIIX4_MSI + 2, 2, 1);
}

static uint32_t mem32(uint32_t at)
{
	uint32_t val;

	memcpy(&val, b.mem + at, 4);
	return val;
}

static void test_messages(void **state)
{
	(void)state;
	answer(VIRTIO_BLK_T_IN, 0, DATA, 512);
	assert_int_equal(messages.count, 0); /* not enabled: the page tells */
	assert_int_equal(mem32(STATUS), VIRTIO_MMIO_INT_VRING);
	enable_msi();
	put32(STATUS, 0);
	answer(VIRTIO_BLK_T_IN, 0, DATA, 512);
	assert_int_equal(messages.count, 1);
	assert_int_equal(messages.addr, 0xfee01000);
	assert_int_equal(messages.data, 0x4123);
	assert_int_equal(mem32(STATUS), VIRTIO_MMIO_INT_VRING);
	assert_false(b.pins.level[14]);
	assert_int_equal(fast[0]->interrupts, 1);
	queue[0].ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	answer(VIRTIO_BLK_T_IN, 0, DATA, 512);
	assert_int_equal(messages.count, 1);
	/* Requests that are over at once make one interrupt. */
	queue[0].ring.avail->flags = 0;
	b.block[0].at_once = true;
	for (unsigned int i = 0; i < 8; i++)
		ask(VIRTIO_BLK_T_IN, i, DATA, 512);
	ring();
	assert_int_equal(messages.count, 2);
	assert_int_equal(queue[0].ring.used->idx, 11);
	/* So do those that end together later. */
	b.block[0].at_once = false;
	for (unsigned int i = 0; i < 8; i++)
		ask(VIRTIO_BLK_T_IN, i, DATA, 512);
	ring();
	block_tell_begin(&b.block[0].blk);
	while (fakeblock_step(&b.block[0]))
		;
	assert_int_equal(messages.count, 2);
	block_tell_end(&b.block[0].blk);
	assert_int_equal(messages.count, 3);
	assert_int_equal(queue[0].ring.used->idx, 19);
}

static void test_without_mastership(void **state)
{
	(void)state;
	enable_msi();
	pci_function_write(&b.ide.fn, PCI_COMMAND, 2, PCI_COMMAND_IO);
	ask(VIRTIO_BLK_T_IN, 0, DATA, 512);
	ring();
	assert_int_equal(b.block[0].waiting, 0);
	pci_function_write(&b.ide.fn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	assert_int_equal(b.block[0].waiting, 1);
	pci_function_write(&b.ide.fn, PCI_COMMAND, 2, PCI_COMMAND_IO);
	bench_run(&b);
	assert_int_equal(messages.count, 0);
	assert_int_equal(mem32(STATUS), 0);
}

/* ---- switches and resets with requests under way ---- */

/* Legacy mode, busy until the last request of the other one is over; what that was is dropped. */
static void assert_busy_until_over(unsigned int requests)
{
	const uint16_t used = queue[0].ring.used->idx;
	uint8_t got[512];

	assert_false(enabled());
	while (requests--) {
		assert_int_equal(status() & ATA_BSY, ATA_BSY);
		assert_false(ide_idle(&b.ide));
		command(READ, 20, 1); /* not taken */
		fakeblock_step(&b.block[unit]);
	}
	assert_int_equal(status(), 0x50);
	assert_true(ide_idle(&b.ide));
	assert_int_equal(queue[0].ring.used->idx, used);
	for (unsigned int i = 0; i < asked; i++)
		assert_int_equal(told(i), UNTOLD);
	assert_int_equal(mem32(STATUS), 0);
	assert_int_equal(messages.count, 0);
	/* What was written before is there; doorbells are without effect. */
	ring();
	set_reg(BIMODAL_REG_DOORBELL, 0);
	pio_read(20, got);
	assert_memory_equal(got, b.mem + DATA, 512);
	assert_int_equal(fast[unit]->blk.stats.dropped, 3);
}

static void test_back_to_legacy_with_requests_under_way(void **state)
{
	(void)state;
	for (unsigned int way = 0; way < 4 * 4; way++) {
		const struct bimodal_config cfg = { true, 0, BIMODAL_ENABLE_BIT, way / 4 };

		make_unit(0, &cfg);
		switch_on();
		drive();
		enable_msi();
		fill(b.mem + DATA, 512, 99);
		ask(VIRTIO_BLK_T_OUT, 20, DATA, 512);
		ask(VIRTIO_BLK_T_IN, 21, DATA + 512, 512);
		ask(VIRTIO_BLK_T_FLUSH, 0, 0, 0);
		ring();
		ask(VIRTIO_BLK_T_OUT, 20, DATA + 512, 512); /* never looked at */
		switch (way % 4) {
		case 0:
			set_reg(BIMODAL_REG_MODE, 0);
			break;
		case 1:
			set_bit(false);
			break;
		case 2:
			out8(0x3f6, ATA_SRST);
			out8(0x3f6, 0);
			break;
		default:
			ide_reset(&b.ide);
			bench_enable(&b);
		}
		assert_busy_until_over(3);
	}
}

/* SRST is set until after the last request. */
static void test_a_long_reset(void **state)
{
	(void)state;
	ask(VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	ring();
	out8(0x3f6, ATA_SRST);
	bench_run(&b);
	assert_int_equal(status(), 0x80);
	out8(0x3f6, 0);
	assert_int_equal(status(), 0x50);
	assert_int_equal(in8(0x1f1), 0x01);
}

/* The driver resets the device, and may not think it is done before it is. */
static void test_the_drivers_reset(void **state)
{
	unsigned int n;

	(void)state;
	ask(VIRTIO_BLK_T_IN, 0, DATA, 512);
	ask(VIRTIO_BLK_T_IN, 1, DATA, 512);
	ring();
	set_window(VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(window(VIRTIO_MMIO_STATUS), VIRTIO_CONFIG_S_NEEDS_RESET);
	fakeblock_step(&b.block[0]);
	assert_int_equal(window(VIRTIO_MMIO_STATUS), VIRTIO_CONFIG_S_NEEDS_RESET);
	/* One that does not wait has its new requests carried out all the same. */
	drive();
	n = ask(VIRTIO_BLK_T_IN, 2, DATA + 512, 512);
	ring();
	bench_run(&b);
	assert_int_equal(told(n), VIRTIO_BLK_S_OK);
	assert_int_equal(queue[0].ring.used->idx, 1);
	set_window(VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(window(VIRTIO_MMIO_STATUS), 0);
}

/* The mode begins within a command of the drive: what is asked of it waits for the command's end. */
static void test_on_with_a_command_under_way(void **state)
{
	uint8_t want[512], got[512];
	unsigned int n;

	(void)state;
	for (int relation = BIMODAL_DISABLES_PART; relation <= BIMODAL_INDEPENDENT; relation++) {
		make(BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_REGISTER, relation);
		fill(want, 512, 55);
		command(WRITE, 30, 1);
		ide_cmd_ops.write_string(&b.ide.channel[0], 0, 2, want, 256);
		assert_int_equal(b.block[0].waiting, 1);
		switch_on();
		drive();
		n = ask(VIRTIO_BLK_T_IN, 30, DATA, 512);
		ring();
		assert_int_equal(b.block[0].waiting, 1);
		bench_run(&b);
		fakeclock_advance(&b.clock, 1);
		bench_run(&b);
		assert_int_equal(told(n), VIRTIO_BLK_S_OK);
		assert_memory_equal(b.mem + DATA, want, 512);
		assert_int_equal(b.block[0].writes, 1);
		if (relation != BIMODAL_DISABLES_ALL)
			assert_int_equal(status(), 0x50);
		set_reg(BIMODAL_REG_MODE, 0);
		pio_read(30, got);
		assert_memory_equal(got, want, 512);
	}
}

/* A command that is under way when the mode ends shows its end when the mode's requests are over. */
static void test_off_with_both_under_way(void **state)
{
	(void)state;
	make(BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_REGISTER, BIMODAL_EXTENDS);
	switch_on();
	drive();
	command(FLUSH, 0, 0);
	ask(VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	ring();
	set_reg(BIMODAL_REG_MODE, 0);
	fakeblock_step(&b.block[0]); /* the command's */
	assert_int_equal(status() & ATA_BSY, ATA_BSY);
	assert_false(b.pins.level[14]);
	/* On again, and off, before that. */
	switch_on();
	drive();
	ask(VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	ring();
	assert_int_equal(b.block[0].waiting, 1);
	set_reg(BIMODAL_REG_MODE, 0);
	assert_int_equal(status() & ATA_BSY, ATA_BSY);
	bench_run(&b);
	assert_int_equal(status(), 0x50);
	assert_true(b.pins.level[14]);
	in8(0x1f7);
	assert_false(b.pins.level[14]);
}

/* Back and forth, with requests under way in each direction: none is lost, none is done twice. */
static void test_back_and_forth(void **state)
{
	uint8_t want[512], got[512];

	(void)state;
	for (int relation = BIMODAL_DISABLES_PART; relation <= BIMODAL_INDEPENDENT; relation++) {
		make(BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_REGISTER, relation);
		for (unsigned int i = 0; i < 100; i++) {
			fill(want, 512, 200 + i);
			command(WRITE, 2 * i, 1);
			ide_cmd_ops.write_string(&b.ide.channel[0], 0, 2, want, 256);
			switch_on();
			drive();
			memcpy(b.mem + DATA, want, 512);
			ask(VIRTIO_BLK_T_OUT, 2 * i + 1, DATA, 512);
			ring();
			bench_run(&b);
			fakeclock_advance(&b.clock, 1);
			set_reg(BIMODAL_REG_MODE, 0);
			bench_run(&b);
			assert_int_equal(status(), 0x50);
		}
		assert_int_equal(b.block[0].writes, 200);
		for (unsigned int i = 0; i < 200; i++) {
			fill(want, 512, 200 + i / 2);
			pio_read(i, got);
			assert_memory_equal(got, want, 512);
		}
	}
}

static void test_a_broken_queue_is_told(void **state)
{
	unsigned int n;

	(void)state;
	virtq_guest_offer(&queue[1], QUEUE);
	ring();
	assert_true(window(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(mem32(STATUS), VIRTIO_MMIO_INT_CONFIG);
	drive();
	assert_false(window(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	n = ask_in(1, VIRTIO_BLK_T_IN, 0, DATA, 512);
	ring();
	bench_run(&b);
	assert_int_equal(told(n), VIRTIO_BLK_S_OK);
}

/* Each disk is for itself. */
static void test_four_disks(void **state)
{
	static const struct bimodal_config cfg = { .on = true, .relation = BIMODAL_DISABLES_ALL };
	uint8_t got[512];

	(void)state;
	unmake();
	bench_init(&b);
	messages = (struct sent_msi){ 0 };
	for (unsigned int i = 0; i < 4; i++) {
		add_disk(i);
		if (i != 2)
			set_bimodal(i, &cfg);
	}
	bench_enable(&b);
	for (unit = 0; unit < 4; unit++) {
		if (unit == 2) {
			assert_int_equal(reg(BIMODAL_REG_ID), 0);
			pio_read(1, got);
			continue;
		}
		switch_on();
		drive();
		assert_int_equal(answer(VIRTIO_BLK_T_IN, 1, DATA, 512), VIRTIO_BLK_S_OK);
		assert_memory_equal(b.mem + DATA, b.block[unit].data + 512, 512);
		/* The other channel's reset is none of its business. */
		out8(unit / 2 ? 0x3f6 : 0x376, ATA_SRST);
		out8(unit / 2 ? 0x3f6 : 0x376, 0);
		assert_true(enabled());
	}
	unit = 0;
	assert_int_equal(ide_set_bimodal(&b.ide, 2, 0, NULL, &cfg, 1, port), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_off_is_the_part, end),
		cmocka_unit_test_teardown(test_on_and_not_used, end),
		cmocka_unit_test_teardown(test_identified_by_register, end),
		cmocka_unit_test_teardown(test_identified_by_revision, end),
		cmocka_unit_test_teardown(test_identified_by_handshake, end),
		cmocka_unit_test_teardown(test_each_way_to_enable, end),
		cmocka_unit_test_teardown(test_the_bit_reads_as_the_mode, end),
		cmocka_unit_test_teardown(test_a_sequence_interrupted, end),
		cmocka_unit_test_teardown(test_all_combinations, end),
		cmocka_unit_test_setup_teardown(test_what_it_says_it_is, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_one_doorbell_starts_a_batch, setup_driven,
						end),
		cmocka_unit_test_setup_teardown(test_a_request_in_pieces, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_what_is_refused, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_its_serial_number, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_discard_and_zeroes, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_a_read_only_disk, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_many_requests, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_lone_requests, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_many_need_no_doorbells, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_many_at_once_need_no_doorbells, setup_driven,
						end),
		cmocka_unit_test_setup_teardown(test_messages, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_without_mastership, setup_driven, end),
		cmocka_unit_test_teardown(test_back_to_legacy_with_requests_under_way, end),
		cmocka_unit_test_setup_teardown(test_a_long_reset, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_the_drivers_reset, setup_driven, end),
		cmocka_unit_test_teardown(test_on_with_a_command_under_way, end),
		cmocka_unit_test_teardown(test_off_with_both_under_way, end),
		cmocka_unit_test_teardown(test_back_and_forth, end),
		cmocka_unit_test_setup_teardown(test_a_broken_queue_is_told, setup_driven, end),
		cmocka_unit_test_setup_teardown(test_four_disks, setup_driven, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
