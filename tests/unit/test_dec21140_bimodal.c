// SPDX-License-Identifier: GPL-2.0-only
/* The 21140A's high-performance mode: how it is found and switched, what becomes of the part, and frames by virtio. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include "tests/unit/dec21140_bench.h"
#include "tests/unit/virtq_guest.h"

#define RX_BASE	    0x10000u
#define TX_BASE	    0x20000u
#define BUFFERS	    0x30000u
#define STATUS	    0x40000u
#define QUEUE	    16
#define HEADER	    12
#define BUFFER_SIZE 1600

struct sent_msi {
	unsigned int count;
	uint64_t addr;
	uint32_t data;
};

static struct sent_msi messages;
static struct virtq_guest rx, tx;

static void send_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct sent_msi *m = ctx;

	m->count++;
	m->addr = addr;
	m->data = data;
}

/* A bench whose card is bimodal in the given way. */
static void make(struct bench *b, enum bimodal_identify identify, enum bimodal_enable enable,
		 enum bimodal_relation relation)
{
	const struct bimodal_config cfg = { true, identify, enable, relation };

	bench_init(b);
	messages = (struct sent_msi){ 0 };
	dec21140_set_bimodal(&b->dec, &cfg, 1, (struct msi_port){ send_msi, &messages });
	pci_function_seal(&b->dec.fn);
}

static uint32_t reg(struct bench *b, unsigned int n)
{
	return (uint32_t)dec21140_ops.read(&b->dec, BIMODAL_DEC21140(n), 4);
}

static void set_reg(struct bench *b, unsigned int n, uint32_t val)
{
	dec21140_ops.write(&b->dec, BIMODAL_DEC21140(n), 4, val);
}

static uint32_t window(struct bench *b, uint32_t off)
{
	set_reg(b, BIMODAL_REG_SELECT, off);
	return reg(b, BIMODAL_REG_DATA);
}

static void set_window(struct bench *b, uint32_t off, uint32_t val)
{
	set_reg(b, BIMODAL_REG_SELECT, off);
	set_reg(b, BIMODAL_REG_DATA, val);
}

static bool enabled(struct bench *b)
{
	return reg(b, BIMODAL_REG_MODE) != UINT32_MAX &&
	       reg(b, BIMODAL_REG_MODE) & BIMODAL_MODE_ENABLED;
}

static void srom_pins(struct bench *b, uint32_t pins)
{
	set_csr(b, 9, CSR9_SR | pins);
}

/* A READ command, as drivers of the part clock it. */
static void srom_read(struct bench *b, uint32_t addr)
{
	const uint32_t command = 6u << 6 | addr;

	srom_pins(b, 0);
	srom_pins(b, CSR9_SROM_CS);
	for (int bit = 8 + 16; bit >= 0; bit--) {
		const uint32_t in = bit >= 16 && command >> (bit - 16) & 1 ? CSR9_SROM_DI : 0;

		srom_pins(b, CSR9_SROM_CS | in);
		srom_pins(b, CSR9_SROM_CS | in | CSR9_SROM_CLK);
	}
	srom_pins(b, 0);
}

static void shake(struct bench *b)
{
	static const uint32_t words[] = BIMODAL_DEC21140_HANDSHAKE;

	for (unsigned int i = 0; i < 3; i++)
		srom_read(b, words[i]);
}

static void switch_on_by(struct bench *b, enum bimodal_enable way)
{
	static const uint32_t keys[] = BIMODAL_DEC21140_CSR10_KEYS;

	switch (way) {
	case BIMODAL_ENABLE_REGISTER:
		set_reg(b, BIMODAL_REG_MODE, 1);
		break;
	case BIMODAL_ENABLE_BIT:
		set_csr(b, 10, BIMODAL_DEC21140_CSR10_BIT);
		break;
	default:
		for (unsigned int i = 0; i < 3; i++)
			set_csr(b, 10, keys[i]);
	}
}

static void switch_on(struct bench *b)
{
	switch_on_by(b, b->dec.bimodal.cfg.enable);
}

static void add_queue(struct bench *b, unsigned int n, struct virtq_guest *g, uint32_t base)
{
	virtq_guest_init(g, b->mem, base, QUEUE);
	set_window(b, VIRTIO_MMIO_QUEUE_SEL, n);
	set_window(b, VIRTIO_MMIO_QUEUE_NUM, QUEUE);
	set_window(b, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTQ_GUEST_DESC(g));
	set_window(b, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTQ_GUEST_AVAIL(g));
	set_window(b, VIRTIO_MMIO_QUEUE_USED_LOW, VIRTQ_GUEST_USED(g));
	set_window(b, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(window(b, VIRTIO_MMIO_QUEUE_READY), 1);
}

/* As a driver does it (virtio 1.2, 3.1.1), without event indices. */
static void drive(struct bench *b)
{
	set_window(b, VIRTIO_MMIO_STATUS, 0);
	set_window(b, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	set_window(b, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set_window(b, VIRTIO_MMIO_DRIVER_FEATURES, 1u << (VIRTIO_F_VERSION_1 - 32));
	set_window(b, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FEATURES_OK);
	assert_true(window(b, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK);
	add_queue(b, VIRTIO_NET_RX(0), &rx, RX_BASE);
	add_queue(b, VIRTIO_NET_TX(0), &tx, TX_BASE);
	set_reg(b, BIMODAL_REG_STATUS_PAGE, STATUS / 4096);
	set_window(b, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void give_buffer(struct bench *b, unsigned int n)
{
	virtq_guest_offer(&rx, virtq_guest_desc(&rx, BUFFERS + n * BUFFER_SIZE, BUFFER_SIZE,
						VRING_DESC_F_WRITE));
	set_reg(b, BIMODAL_REG_DOORBELL, VIRTIO_NET_RX(0));
}

static void queue_frame(struct bench *b, uint32_t at, size_t len, uint8_t seed)
{
	memset(b->mem + at, 0, HEADER);
	make_frame(b->mem + at + HEADER, len, bench_mac, seed);
	virtq_guest_offer(&tx, virtq_guest_desc(&tx, at, (uint32_t)(HEADER + len), 0));
}

/* ---- B3: identification ---- */

static void test_off_is_the_part(void **state)
{
	struct bench *b = *state;
	static struct bench plain;
	const struct bimodal_config off = { .on = false, .identify = BIMODAL_IDENTIFY_REVISION };

	bench_init(b);
	dec21140_set_bimodal(&b->dec, &off, 1, (struct msi_port){ send_msi, &messages });
	bench_init(&plain);
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i += 4)
		assert_int_equal(pci_function_read(&b->dec.fn, i, 4),
				 pci_function_read(&plain.dec.fn, i, 4));
	shake(b);
	switch_on(b);
	for (unsigned int i = 0; i < 16; i++) {
		set_reg(b, i, 1);
		assert_int_equal(reg(b, i), UINT32_MAX);
	}
}

static void test_identified_by_register(void **state)
{
	struct bench *b = *state;

	make(b, BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_REGISTER, BIMODAL_DISABLES_PART);
	assert_int_equal(reg(b, BIMODAL_REG_ID), BIMODAL_MAGIC);
	assert_int_equal(pci_function_read(&b->dec.fn, PCI_REVISION_ID, 1), 0x20);
	/* The rest is where nothing is, and a longword's parts are not registers. */
	for (unsigned int i = BIMODAL_REG_SELECT; i < 16; i++)
		assert_int_equal(reg(b, i), UINT32_MAX);
	assert_int_equal(dec21140_ops.read(&b->dec, 4, 1), 0xff);
	assert_int_equal(dec21140_ops.read(&b->dec, 4, 2), 0xffff);
}

static void test_identified_by_revision(void **state)
{
	struct bench *b = *state;

	make(b, BIMODAL_IDENTIFY_REVISION, BIMODAL_ENABLE_REGISTER, BIMODAL_DISABLES_PART);
	assert_int_equal(pci_function_read(&b->dec.fn, PCI_REVISION_ID, 1),
			 BIMODAL_DEC21140_REVISION);
	assert_int_equal(reg(b, BIMODAL_REG_ID), BIMODAL_MAGIC);
	assert_int_equal(BIMODAL_MODE_IDENTIFY(reg(b, BIMODAL_REG_MODE)),
			 BIMODAL_IDENTIFY_REVISION);
}

static void test_identified_by_handshake(void **state)
{
	struct bench *b = *state;

	make(b, BIMODAL_IDENTIFY_HANDSHAKE, BIMODAL_ENABLE_REGISTER, BIMODAL_DISABLES_PART);
	assert_int_equal(reg(b, BIMODAL_REG_ID), UINT32_MAX);
	set_reg(b, BIMODAL_REG_MODE, 1);
	/* A driver that reads the whole ROM, twice, does not come upon it. */
	for (uint32_t i = 0; i < 2 * DEC21140_SROM_WORDS; i++)
		srom_read(b, i % DEC21140_SROM_WORDS);
	assert_int_equal(reg(b, BIMODAL_REG_ID), UINT32_MAX);
	/* A false start, from which the true one follows at once. */
	srom_read(b, 0);
	srom_read(b, 3);
	shake(b);
	assert_int_equal(reg(b, BIMODAL_REG_ID), BIMODAL_MAGIC);
	assert_false(enabled(b));
	dec21140_reset(&b->dec);
	assert_int_equal(reg(b, BIMODAL_REG_ID), UINT32_MAX);
}

/* ---- B4: enabling ---- */

static void test_each_way_to_enable(void **state)
{
	struct bench *b = *state;

	for (int way = BIMODAL_ENABLE_REGISTER; way <= BIMODAL_ENABLE_SEQUENCE; way++) {
		make(b, BIMODAL_IDENTIFY_HANDSHAKE, way, BIMODAL_EXTENDS);
		switch_on(b); /* nobody has asked who it is */
		shake(b);
		assert_false(enabled(b));
		assert_int_equal(BIMODAL_MODE_ENABLE(reg(b, BIMODAL_REG_MODE)), way);
		for (int other = BIMODAL_ENABLE_REGISTER; other <= BIMODAL_ENABLE_SEQUENCE;
		     other++) {
			switch_on_by(b, other);
			assert_int_equal(enabled(b), other == way);
			set_reg(b, BIMODAL_REG_MODE, 0);
			assert_false(enabled(b));
		}
	}
}

static void test_the_bit_goes_both_ways(void **state)
{
	struct bench *b = *state;

	make(b, BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_BIT, BIMODAL_DISABLES_PART);
	switch_on(b);
	assert_true(enabled(b));
	set_csr(b, 10, 0);
	assert_false(enabled(b));
}

static void test_a_sequence_interrupted(void **state)
{
	struct bench *b = *state;
	static const uint32_t keys[] = BIMODAL_DEC21140_CSR10_KEYS;

	make(b, BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_SEQUENCE, BIMODAL_EXTENDS);
	set_csr(b, 10, keys[0]);
	set_csr(b, 10, keys[1]);
	set_csr(b, 10, 0);
	set_csr(b, 10, keys[2]);
	assert_false(enabled(b));
	switch_on(b);
	assert_true(enabled(b));
}

/* ---- B5: what becomes of the legacy mode ---- */

static void test_relations(void **state)
{
	struct bench *b = *state;

	for (int relation = BIMODAL_DISABLES_PART; relation <= BIMODAL_INDEPENDENT; relation++) {
		const bool data = relation == BIMODAL_EXTENDS || relation == BIMODAL_INDEPENDENT;

		make(b, BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_REGISTER, relation);
		set_csr(b, 6, CSR6_PS);
		rx_on(b);
		switch_on(b);
		assert_int_equal(BIMODAL_MODE_RELATION(reg(b, BIMODAL_REG_MODE)), relation);
		/* Management is there but with disables-all; processes run with neither of the two. */
		set_csr(b, 11, 5);
		assert_int_equal(csr(b, 11) != UINT32_MAX, relation != BIMODAL_DISABLES_ALL);
		tx_on(b);
		assert_int_equal(b->dec.tx != DEC21140_STOPPED, data);
		assert_int_equal(b->dec.rx != DEC21140_STOPPED, data);
		/* A driver of the part can always begin with a reset. */
		set_csr(b, 0, CSR0_SWR);
		assert_false(enabled(b));
		assert_int_equal(csr(b, 6) & ~CSR6_PS, CSR6_RESET);
	}
}

/* With a descriptor for the part and a buffer for the new mode: who gets a frame? */
static void test_who_receives(void **state)
{
	struct bench *b = *state;
	uint8_t frame[100];

	make_frame(frame, sizeof(frame), (const uint8_t[6]){ 255, 255, 255, 255, 255, 255 }, 1);
	for (int relation = BIMODAL_DISABLES_PART; relation <= BIMODAL_INDEPENDENT; relation++) {
		make(b, BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_REGISTER, relation);
		switch_on(b);
		if (relation != BIMODAL_DISABLES_ALL) {
			set_desc(b, 0x1000, DES0_OWN, DES1_RING | 1600, 0x2000, 0);
			set_csr(b, 3, 0x1000);
			set_csr(b, 6, CSR6_PS | CSR6_PR);
			rx_on(b);
		}
		drive(b);
		give_buffer(b, 0);
		assert_true(bench_offer(b, frame, sizeof(frame)));
		assert_int_equal(rx.ring.used->idx, 1);
		assert_int_equal(rx.ring.used->ring[0].len, HEADER + sizeof(frame));
		assert_memory_equal(b->mem + BUFFERS + HEADER, frame, sizeof(frame));
		assert_int_equal(mem32(b, 0x1000) & DES0_OWN ? 0 : b->dec.stats.rx_frames,
				 relation == BIMODAL_INDEPENDENT);
		/* Without its driver the mode receives nothing, and the part does if it may. */
		set_window(b, VIRTIO_MMIO_STATUS, 0);
		set_mem32(b, 0x1000, DES0_OWN);
		set_csr(b, 2, 0);
		assert_true(bench_offer(b, frame, sizeof(frame)));
		assert_int_equal(rx.ring.used->idx, 1);
		if (relation == BIMODAL_EXTENDS)
			assert_int_equal(b->dec.stats.rx_frames, 1);
	}
}

/* ---- frames ---- */

static int setup_driven(void **state)
{
	static struct bench b;

	make(&b, BIMODAL_IDENTIFY_REGISTER, BIMODAL_ENABLE_REGISTER, BIMODAL_DISABLES_PART);
	switch_on(&b);
	drive(&b);
	*state = &b;
	return 0;
}

static void test_one_doorbell_sends_a_batch(void **state)
{
	struct bench *b = *state;
	struct vring_used_elem e;
	uint8_t frame[200];

	const uint64_t before = b->dec.fast.stats.tx_batches;

	for (unsigned int i = 0; i < 8; i++)
		queue_frame(b, BUFFERS + 0x800 * i, 200, (uint8_t)i);
	assert_int_equal(b->sent_n, 0);
	set_reg(b, BIMODAL_REG_DOORBELL, VIRTIO_NET_TX(0));
	assert_int_equal(b->sent_n, 8);
	for (unsigned int i = 0; i < 8; i++) {
		make_frame(frame, sizeof(frame), bench_mac, (uint8_t)i);
		assert_int_equal(b->sent_len[i], sizeof(frame));
		assert_memory_equal(b->sent[i], frame, sizeof(frame));
		assert_true(virtq_guest_take(&tx, &e));
		assert_int_equal(e.len, 0);
	}
	assert_int_equal(b->dec.fast.stats.tx_batches - before, 1);
}

static void test_header_and_frame_in_pieces(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60];
	uint16_t head;

	make_frame(frame, sizeof(frame), bench_mac, 9);
	memcpy(b->mem + BUFFERS + HEADER, frame, sizeof(frame));
	head = virtq_guest_desc(&tx, BUFFERS, 5, VRING_DESC_F_NEXT);
	virtq_guest_desc(&tx, BUFFERS + 5, HEADER + 20 - 5, VRING_DESC_F_NEXT);
	virtq_guest_desc(&tx, BUFFERS + HEADER + 20, 40, 0);
	virtq_guest_offer(&tx, head);
	/* Too short for a frame: dropped, and given back. */
	virtq_guest_offer(&tx, virtq_guest_desc(&tx, BUFFERS, HEADER + 13, 0));
	set_reg(b, BIMODAL_REG_DOORBELL, VIRTIO_NET_TX(0));
	assert_int_equal(b->sent_n, 1);
	assert_memory_equal(b->sent[0], frame, sizeof(frame));
	assert_int_equal(tx.ring.used->idx, 2);
	assert_int_equal(b->dec.fast.stats.tx_dropped, 1);
}

static void test_a_frame_waits_for_a_buffer(void **state)
{
	struct bench *b = *state;
	uint8_t frame[300];

	make_frame(frame, sizeof(frame), bench_mac, 3);
	assert_false(bench_offer(b, frame, sizeof(frame)));
	give_buffer(b, 1);
	assert_int_equal(rx.ring.used->idx, 1);
	assert_memory_equal(b->mem + BUFFERS + BUFFER_SIZE + HEADER, frame, sizeof(frame));
	/* A buffer that is too small for a frame is kept for the next one. */
	virtq_guest_offer(&rx, virtq_guest_desc(&rx, BUFFERS, 100, VRING_DESC_F_WRITE));
	assert_true(bench_offer(b, frame, sizeof(frame)));
	assert_int_equal(b->dec.fast.stats.rx_dropped, 1);
	assert_true(bench_offer(b, frame, 88));
	assert_int_equal(rx.ring.used->idx, 2);
}

static void test_messages(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60];

	make_frame(frame, sizeof(frame), bench_mac, 3);
	pci_function_write(&b->dec.fn, 0x54, 4, 0xfee01000);
	pci_function_write(&b->dec.fn, 0x58, 4, 0);
	pci_function_write(&b->dec.fn, 0x5c, 2, 0x4123);
	pci_function_write(&b->dec.fn, 0x52, 2, 1);
	give_buffer(b, 0);
	bench_offer(b, frame, sizeof(frame));
	assert_int_equal(messages.count, 1);
	assert_int_equal(messages.addr, 0xfee01000);
	assert_int_equal(messages.data, 0x4123);
	assert_false(inta(b));
	assert_int_equal(mem32(b, STATUS), VIRTIO_MMIO_INT_VRING);
	rx.ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	give_buffer(b, 1);
	bench_offer(b, frame, sizeof(frame));
	assert_int_equal(messages.count, 1);
}

static void test_the_pin(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60];

	make_frame(frame, sizeof(frame), bench_mac, 3);
	give_buffer(b, 0);
	bench_offer(b, frame, sizeof(frame));
	assert_true(inta(b));
	assert_int_equal(messages.count, 0);
	assert_int_equal(mem32(b, STATUS), VIRTIO_MMIO_INT_VRING);
	assert_int_equal(window(b, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	set_window(b, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_false(inta(b));
}

static void test_without_mastership(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60];

	make_frame(frame, sizeof(frame), bench_mac, 3);
	give_buffer(b, 0);
	pci_function_write(&b->dec.fn, PCI_COMMAND, 2, PCI_COMMAND_IO);
	queue_frame(b, BUFFERS + 0x800, 60, 1);
	set_reg(b, BIMODAL_REG_DOORBELL, VIRTIO_NET_TX(0));
	assert_int_equal(b->sent_n, 0);
	assert_false(bench_offer(b, frame, sizeof(frame)));
	assert_int_equal(mem32(b, STATUS), 0);
	pci_function_write(&b->dec.fn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	assert_int_equal(b->sent_n, 1);
	assert_int_equal(rx.ring.used->idx, 1);
}

/* ---- all ways ---- */

/* The part sends a frame of 100 bytes, with one descriptor. */
static void send_legacy(struct bench *b, uint8_t seed)
{
	make_frame(b->mem + 0x2000, 100, bench_mac, seed);
	set_desc(b, 0x1000, DES0_OWN, DES1_RING | TDES1_FS | TDES1_LS | 100, 0x2000, 0);
	set_csr(b, 4, 0x1000);
	set_csr(b, 6, CSR6_PS);
	tx_on(b);
	poll_demand(b);
	drain(b);
}

/* However it is identified, enabled and related: it is the part, then the other, with frames both ways, then the part. */
static void test_all_combinations(void **state)
{
	struct bench *b = *state;
	uint8_t frame[100];

	for (unsigned int way = 0; way < 3 * 3 * 4; way++) {
		const enum bimodal_identify identify = way % 3;
		const enum bimodal_enable enable = way / 3 % 3;
		const enum bimodal_relation relation = way / 9;

		make(b, identify, enable, relation);
		send_legacy(b, 1);
		assert_int_equal(b->sent_n, 1);
		if (identify == BIMODAL_IDENTIFY_HANDSHAKE) {
			assert_int_equal(reg(b, BIMODAL_REG_ID), UINT32_MAX);
			shake(b);
		}
		assert_int_equal(reg(b, BIMODAL_REG_ID), BIMODAL_MAGIC);
		assert_int_equal(reg(b, BIMODAL_REG_MODE),
				 identify << 4 | enable << 8 | relation << 12);
		switch_on(b);
		assert_true(enabled(b));
		drive(b);
		queue_frame(b, BUFFERS, 200, 2);
		set_reg(b, BIMODAL_REG_DOORBELL, VIRTIO_NET_TX(0));
		assert_int_equal(b->sent_n, 2);
		make_frame(frame, sizeof(frame), bench_mac, 3);
		give_buffer(b, 1);
		assert_true(bench_offer(b, frame, sizeof(frame)));
		assert_int_equal(rx.ring.used->idx, 1);
		assert_memory_equal(b->mem + BUFFERS + BUFFER_SIZE + HEADER, frame, sizeof(frame));
		/* What the part is asked to send meanwhile goes where the relation lets it. */
		send_legacy(b, 4);
		assert_int_equal(
			b->sent_n,
			relation == BIMODAL_EXTENDS || relation == BIMODAL_INDEPENDENT ? 3 : 2);
		set_reg(b, BIMODAL_REG_MODE, 0);
		assert_false(enabled(b));
		b->sent_n = 0;
		send_legacy(b, 5);
		assert_int_equal(b->sent_n, 1);
		make_frame(frame, sizeof(frame), bench_mac, 5);
		assert_memory_equal(b->sent[0], frame, sizeof(frame));
	}
}

/* ---- resets and bad drivers ---- */

static void assert_legacy(struct bench *b)
{
	uint8_t frame[60];
	const uint16_t used = rx.ring.used->idx;

	make_frame(frame, sizeof(frame), bench_mac, 3);
	assert_false(enabled(b));
	assert_false(inta(b));
	/* Nothing of what was the other mode's memory is touched. */
	assert_true(bench_offer(b, frame, sizeof(frame)));
	set_reg(b, BIMODAL_REG_DOORBELL, VIRTIO_NET_TX(0));
	assert_int_equal(rx.ring.used->idx, used);
	assert_int_equal(b->sent_n, 0);
	assert_int_equal(mem32(b, STATUS), 0);
}

static void test_resets_return_to_legacy(void **state)
{
	struct bench *b = *state;

	for (unsigned int way = 0; way < 3; way++) {
		setup_driven(state);
		give_buffer(b, 0);
		queue_frame(b, BUFFERS + 0x800, 60, 1);
		if (way == 0)
			dec21140_reset(&b->dec);
		else if (way == 1)
			set_csr(b, 0, CSR0_SWR);
		else
			set_reg(b, BIMODAL_REG_MODE, 0);
		assert_legacy(b);
	}
}

static void test_a_kept_frame_goes_to_who_is_left(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60];

	make_frame(frame, sizeof(frame), bench_mac, 3);
	assert_false(bench_offer(b, frame, sizeof(frame)));
	set_reg(b, BIMODAL_REG_MODE, 0);
	assert_int_equal(b->kept_len, 0);
}

static void test_a_broken_queue_is_told(void **state)
{
	struct bench *b = *state;

	virtq_guest_offer(&tx, QUEUE);
	set_reg(b, BIMODAL_REG_DOORBELL, VIRTIO_NET_TX(0));
	assert_true(window(b, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(mem32(b, STATUS), VIRTIO_MMIO_INT_CONFIG);
	drive(b);
	assert_false(window(b, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	queue_frame(b, BUFFERS, 60, 1);
	set_reg(b, BIMODAL_REG_DOORBELL, VIRTIO_NET_TX(0));
	assert_int_equal(b->sent_n, 1);
}

static void test_features(void **state)
{
	struct bench *b = *state;

	set_window(b, VIRTIO_MMIO_STATUS, 0);
	set_window(b, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set_window(b, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
	set_window(b, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_false(window(b, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK);
	/* Queues and the driver's presence come after the features. */
	set_window(b, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(window(b, VIRTIO_MMIO_QUEUE_READY), 0);
	set_window(b, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_false(virtio_net_live(&b->dec.fast));
	assert_int_equal(window(b, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(window(b, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(window(b, VIRTIO_MMIO_DEVICE_ID), 1);
	assert_int_equal(window(b, VIRTIO_MMIO_CONFIG), 0x12005452);
	assert_int_equal(window(b, VIRTIO_MMIO_CONFIG + 4), 0x00015634 /* link up */);
	set_window(b, VIRTIO_MMIO_QUEUE_SEL, 7);
	assert_int_equal(window(b, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_off_is_the_part, bench_setup),
		cmocka_unit_test_setup(test_identified_by_register, bench_setup),
		cmocka_unit_test_setup(test_identified_by_revision, bench_setup),
		cmocka_unit_test_setup(test_identified_by_handshake, bench_setup),
		cmocka_unit_test_setup(test_each_way_to_enable, bench_setup),
		cmocka_unit_test_setup(test_the_bit_goes_both_ways, bench_setup),
		cmocka_unit_test_setup(test_a_sequence_interrupted, bench_setup),
		cmocka_unit_test_setup(test_relations, bench_setup),
		cmocka_unit_test_setup(test_who_receives, bench_setup),
		cmocka_unit_test_setup(test_all_combinations, bench_setup),
		cmocka_unit_test_setup(test_one_doorbell_sends_a_batch, setup_driven),
		cmocka_unit_test_setup(test_header_and_frame_in_pieces, setup_driven),
		cmocka_unit_test_setup(test_a_frame_waits_for_a_buffer, setup_driven),
		cmocka_unit_test_setup(test_messages, setup_driven),
		cmocka_unit_test_setup(test_the_pin, setup_driven),
		cmocka_unit_test_setup(test_without_mastership, setup_driven),
		cmocka_unit_test_setup(test_resets_return_to_legacy, setup_driven),
		cmocka_unit_test_setup(test_a_kept_frame_goes_to_who_is_left, setup_driven),
		cmocka_unit_test_setup(test_a_broken_queue_is_told, setup_driven),
		cmocka_unit_test_setup(test_features, setup_driven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
