// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 21140A driven by random bytes: registers of any size and offset, configuration space, its
 * memory (descriptors and buffers anywhere), frames from the cable, time. Besides what the
 * sanitizers see it checks what the interfaces promise: clean upper bits, a pin that follows CSR5
 * and CSR7, frames that are frames, bounded work and wake-ups, and that no kept frame is forgotten. Some inputs have a
 * bimodal card, in any of its ways, with the other mode's queues set up or not.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fakeclock.h"
#include "tests/unit/virtq_guest.h"
#include "worker/devices/dec21140_regs.h"

#define MEM  0x4000u /* small: what the guest writes is likely to be what the part reads */
#define ROM  0x3c00u /* readable, not mapped */
#define LIST 0x100u  /* where descriptors are put with care */

/* Descriptors closed in one call, by both processes, with what the back end answers. */
#define DMA_LIMIT 200000u

struct machine {
	struct dec21140 dec;
	struct fakeclock clock;
	struct dma dma;
	struct net net;
	_Alignas(4096) uint8_t mem[MEM];
	bool level;
	bool kept; /* the back end has a frame that was refused */
	size_t kept_len;
	uint32_t wanted; /* work that frames may come with */
	bool answers;	 /* it answers what it gets at once */
	bool greedy;	 /* the guest gives descriptors back while frames are sent */
	unsigned int depth, dmas;
	uint8_t frame[4096];
};

static bool inside(uint64_t addr, size_t len)
{
	return addr <= MEM && len <= MEM - addr;
}

static bool mem_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct machine *m = ctx;

	CHECK(m->dmas++ < DMA_LIMIT);
	CHECK(m->dec.fn.config[PCI_COMMAND] & PCI_COMMAND_MASTER);
	memset(buf, 0xff, len);
	if (!inside(addr, len))
		return false;
	memcpy(buf, m->mem + addr, len);
	return true;
}

static bool mem_write(void *ctx, uint64_t addr, const void *buf, size_t len)
{
	struct machine *m = ctx;

	CHECK(m->dmas++ < DMA_LIMIT);
	CHECK(m->dec.fn.config[PCI_COMMAND] & PCI_COMMAND_MASTER);
	if (!inside(addr, len) || addr + len > ROM)
		return false;
	memcpy(m->mem + addr, buf, len);
	return true;
}

static void *mem_map(void *ctx, uint64_t addr, size_t len)
{
	struct machine *m = ctx;

	CHECK(m->dmas++ < DMA_LIMIT);
	return inside(addr, len) && addr + len <= ROM ? m->mem + addr : NULL;
}

static void inta(void *ctx, unsigned int n, bool level)
{
	struct machine *m = ctx;

	CHECK(n == 7 && level != m->level);
	m->level = level;
}

static void offer(struct machine *m, size_t len)
{
	const struct virtio_net_hdr todo = {
		.flags = m->wanted & NET_CSUM && len >= 64 ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0,
		.csum_start = 34,
		.csum_offset = 16,
	};

	CHECK(len <= sizeof(m->frame));
	m->kept = !m->net.dev_ops->receive(m->net.dev, m->wanted ? &todo : NULL, m->frame, len);
	m->net.dev_ops->received(m->net.dev);
	m->kept_len = len;
}

static void transmit(struct net *net, const struct virtio_net_hdr *todo, const struct iovec *iov,
		     unsigned int iovs)
{
	struct machine *m = (struct machine *)((char *)net - offsetof(struct machine, net));
	size_t len = 0, n;

	CHECK(iovs <= NET_IOVS_MAX);
	for (unsigned int i = 0; i < iovs; i++) {
		n = iov[i].iov_len;
		CHECK(n);
		/* Everything is there to be read. */
		for (size_t k = 0; k < n; k++)
			m->frame[(len + k) % sizeof(m->frame)] =
				((const volatile uint8_t *)iov[i].iov_base)[k];
		len += n;
	}
	CHECK(len >= 14 && len <= NET_FRAME_MAX);
	CHECK(!todo || (!(net_todo(todo) & ~net->offloads) && net_todo_valid(todo, len)));
	CHECK(!todo || virtio_net_live(&m->dec.fast));
	if (m->greedy)
		for (uint32_t at = LIST; at < LIST + 64; at += 16)
			m->mem[at + 3] |= 0x80;
	if (m->answers && !m->kept)
		offer(m, len % sizeof(m->frame));
}

static void ready(struct net *net)
{
	struct machine *m = (struct machine *)((char *)net - offsetof(struct machine, net));

	CHECK(m->depth++ < 4);
	if (m->kept)
		offer(m, m->kept_len);
	m->depth--;
}

static void want(struct net *net, uint32_t offloads)
{
	struct machine *m = (struct machine *)((char *)net - offsetof(struct machine, net));

	CHECK(!(offloads & ~net->offloads));
	m->wanted = offloads;
}

static const struct net_backend_ops net_ops = {
	.transmit = transmit,
	.want = want,
	.ready = ready,
	.sent = ready,
};

static void put_desc(struct machine *m, uint32_t at, uint32_t des0, uint32_t des1, uint32_t des2,
		     uint32_t des3)
{
	uint32_t des[4] = { des0, des1, des2, des3 };

	memcpy(m->mem + at, des, sizeof(des));
}

/* As a driver leaves the part after open: rings of eight, everything runs, nothing to send yet. */
static void start(struct machine *m, uint32_t csr6)
{
	for (unsigned int i = 0; i < 8; i++) {
		uint32_t last = i == 7 ? DES1_RING : 0;

		put_desc(m, LIST + 16 * i, DES0_OWN, last | 256 << 11 | 300, 0x1000 + 0x300 * i,
			 0x2800);
		put_desc(m, LIST + 0x100 + 16 * i, 0, last | TDES1_FS | TDES1_LS | 100, 0x800, 0);
	}
	dec21140_ops.write(&m->dec, 3 * 8, 4, LIST);
	dec21140_ops.write(&m->dec, 4 * 8, 4, LIST + 0x100);
	dec21140_ops.write(&m->dec, 7 * 8, 4, 0x1ebef);
	dec21140_ops.write(&m->dec, 6 * 8, 4, csr6 | CSR6_PS | CSR6_ST | CSR6_SR);
}

/* The high-performance mode (include/plinth/bimodal.h): its queues lie one over the other, two pages on. */
#define QUEUES	   0x1000u
#define QUEUE_SIZE 8
#define QUEUE_MAX  5 /* two pairs, and for commands */
#define DESC(q)	   (QUEUES + (q)*0x80)
#define AVAIL(q)   (QUEUES + 0x280 + (q)*0x40)
#define USED(q)	   (QUEUES + 0x400 + (q)*0x80)

static void send_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct machine *m = ctx;

	(void)data;
	CHECK(!(addr & 3));
	CHECK(m->dec.fn.config[PCI_COMMAND] & PCI_COMMAND_MASTER);
}

static void fast_reg(struct machine *m, unsigned int reg, uint32_t val)
{
	dec21140_ops.write(&m->dec, BIMODAL_DEC21140(reg), 4, val);
}

static void fast_window(struct machine *m, uint32_t off, uint32_t val)
{
	fast_reg(m, BIMODAL_REG_SELECT, off);
	fast_reg(m, BIMODAL_REG_DATA, val);
}

/* As a driver leaves it; @how says what it leaves out. */
static void fast_start(struct machine *m, uint8_t how)
{
	const uint64_t offered = m->dec.fast.v.features;

	fast_reg(m, BIMODAL_REG_MODE, 1);
	fast_window(m, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	fast_window(m, VIRTIO_MMIO_DRIVER_FEATURES,
		    (how & 1 ? 3u << 28 : 0) | (how & 8 ? (uint32_t)offered : 0));
	fast_window(m, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	fast_window(m, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	fast_window(m, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FEATURES_OK);
	for (uint32_t q = 0; q < QUEUE_MAX; q++) {
		fast_window(m, VIRTIO_MMIO_QUEUE_SEL, q);
		fast_window(m, VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
		fast_window(m, VIRTIO_MMIO_QUEUE_DESC_LOW, DESC(q));
		fast_window(m, VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAIL(q));
		fast_window(m, VIRTIO_MMIO_QUEUE_USED_LOW, USED(q));
		fast_window(m, VIRTIO_MMIO_QUEUE_READY, !(how & 2));
	}
	fast_reg(m, BIMODAL_REG_STATUS_PAGE, how & 4 ? 2 : 0x7fffffff);
	fast_window(m, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
}

/* A descriptor, made available, and a doorbell; or a register of virtio's. */
static void fast(struct machine *m, struct input *in)
{
	uint8_t how = take(in);
	uint32_t n = how >> 1 & (QUEUE_SIZE - 1), q;
	struct vring_avail *avail;
	struct vring_desc d;

	if (how & 0x20) {
		fast_window(m, take(in) * 4u, (uint32_t)take_many(in, 4));
		return;
	}
	d.addr = take_many(in, 2) % (how & 0x40 ? ROM : 0x10000u);
	d.len = (uint32_t)take_many(in, 2);
	d.flags = take(in);
	q = (d.flags >> 4 & ~1u) + (how & 1);
	q = q < QUEUE_MAX ? q : QUEUE_MAX - 1;
	d.flags &= VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT;
	d.next = take(in) % QUEUE_SIZE;
	avail = (struct vring_avail *)(m->mem + AVAIL(q));
	memcpy(m->mem + DESC(q) + n * 16, &d, sizeof(d));
	if (how & 0x10) {
		avail->ring[avail->idx % QUEUE_SIZE] = (uint16_t)n;
		avail->idx++;
	}
	if (how & 0x80)
		fast_reg(m, BIMODAL_REG_DOORBELL, q);
}

/* In any of the ways that there are. */
static void make_bimodal(struct machine *m, struct input *in)
{
	uint8_t ways = take(in);
	const struct bimodal_config cfg = {
		.on = true,
		.identify = (enum bimodal_identify)((ways & 3) % 3),
		.enable = (enum bimodal_enable)((ways >> 2 & 3) % 3),
		.relation = (enum bimodal_relation)(ways >> 4 & 3),
	};

	if (ways & 0x40)
		m->net.offloads = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN;
	dec21140_set_bimodal(&m->dec, &cfg, ways & 0x80 ? 2 : 1, (struct msi_port){ send_msi, m });
}

static void build(struct machine *m, struct input *in)
{
	uint8_t mac[6], how = take(in);

	memset(m, 0, sizeof(*m));
	fakeclock_init(&m->clock);
	m->clock.now = take_many(in, 4);
	for (unsigned int i = 0; i < 6; i++)
		mac[i] = take(in);
	m->answers = how & 1;
	m->greedy = how & 2;
	m->dma = (struct dma){ mem_read, mem_write, mem_map, m };
	m->net = (struct net){ .ops = &net_ops, .dev_ops = &dec21140_net_ops, .link = !(how & 4) };
	m->net.dev = &m->dec;
	dec21140_init(&m->dec, &m->clock.clk, &m->dma, (struct irq_pin){ inta, m, 7 }, &m->net,
		      mac);
	if (how & 64)
		make_bimodal(m, in);
	if (!(how & 8))
		pci_function_write(&m->dec.fn, PCI_COMMAND, 2, 7);
	if (how & 16)
		start(m, how & 32 ? CSR6_PR | CSR6_FD : (uint32_t)take(in) << 4);
	if (how & 128)
		fast_start(m, take(in));
}

static void access(struct machine *m, struct input *in, bool write)
{
	unsigned int size = 1u << (take(in) & 3);
	uint64_t off = take(in) % (DEC21140_CSR_SIZE - size + 1), val;

	if (write) {
		dec21140_ops.write(&m->dec, off, size, take_many(in, size));
		return;
	}
	val = dec21140_ops.read(&m->dec, off, size);
	CHECK((val & ~dev_ones(size)) == 0);
}

/* A whole register, which access() alone rarely hits; CSR6 and the lists with likely values. */
static void set_register(struct machine *m, struct input *in)
{
	unsigned int csr = take(in) & 15;
	uint32_t val = (uint32_t)take_many(in, 4);

	if (csr == 3 || csr == 4) {
		if (!(val & 1))
			val = LIST + (val & 0x1f0);
		else if (val & 2)
			val = ROM + (val & 0x1f0);
	}
	if (csr == 6 && !(val & 1))
		val = (val & ~CSR6_PCS) | CSR6_PS;
	dec21140_ops.write(&m->dec, csr * 8, 4, val);
}

/* CSR9 many times: a command to the serial ROM or the PHY needs dozens of clocks. */
static void serial(struct machine *m, struct input *in)
{
	uint32_t mode = take(in) & 1 ? CSR9_SR | CSR9_SROM_CS : 0;
	uint32_t data = mode ? CSR9_SROM_DI : CSR9_MDO, clk = mode ? CSR9_SROM_CLK : CSR9_MDC;
	unsigned int n = take(in) & 63, ones = take(in) & 63;
	uint64_t bits = take_many(in, 4);

	for (unsigned int i = 0; i < n + ones; i++) {
		uint32_t pins = mode | (i < ones || bits >> (i - ones) % 32 & 1 ? data : 0);

		dec21140_ops.write(&m->dec, 72, 4, pins);
		dec21140_ops.write(&m->dec, 72, 4, pins | clk);
		dec21140_ops.read(&m->dec, 72, 4);
	}
	if (bits & 1)
		dec21140_ops.write(&m->dec, 72, 4, 0);
}

static void mdio(struct machine *m, uint32_t pins)
{
	dec21140_ops.write(&m->dec, 72, 4, pins);
	dec21140_ops.write(&m->dec, 72, 4, pins | CSR9_MDC);
}

static void mdio_bits(struct machine *m, uint32_t bits, unsigned int n)
{
	while (n--)
		mdio(m, bits >> n & 1 ? CSR9_MDO : 0);
}

/* A whole frame to the PHY (802.3, 22.2.4.5), or sometimes to another: no input would have the bits by chance. */
static void mii_frame(struct machine *m, struct input *in)
{
	uint8_t how = take(in);
	uint32_t phy = how & 0x40 ? take(in) & 31 : DEC21140_PHY_ADDR, reg = how & 31;

	mdio_bits(m, ~0u, 32);
	if (how & 0x80) {
		mdio_bits(m,
			  5u << 28 | phy << 23 | reg << 18 | 2u << 16 | (uint32_t)take_many(in, 2),
			  32);
		return;
	}
	mdio_bits(m, 6u << 10 | phy << 5 | reg, 14);
	for (unsigned int i = 0; i < 19; i++) {
		dec21140_ops.read(&m->dec, 72, 4);
		mdio(m, CSR9_MII);
	}
}

static void descriptor(struct machine *m, struct input *in)
{
	uint8_t index = take(in), how = take(in);
	uint32_t at = (index & 0x80 ? ROM : LIST) + (index & 0x1f) * 16u, des[4];

	des[0] = how & 1 ? DES0_OWN : (uint32_t)take_many(in, 4);
	des[1] = (uint32_t)take_many(in, 4);
	des[2] = how & 2 ? (uint32_t)take_many(in, 2) : (uint32_t)take_many(in, 4);
	des[3] = how & 4 ? LIST + (take(in) & 0x1f) * 16u : (uint32_t)take_many(in, 2);
	if (how & 8)
		des[1] = (des[1] & ~TDES1_SET) | TDES1_FS | TDES1_LS;
	if (how & 16)
		des[1] = (des[1] & ~0x7ffu) | SETUP_SIZE | TDES1_SET;
	memcpy(m->mem + at, des, sizeof(des));
}

/*
 * A frame to send, in up to eight descriptors where the part looks for them next. Buffers are of any size, some across
 * the end of what can be mapped; the frame may lack its end, or bring its own FCS.
 */
static void frame(struct machine *m, struct input *in)
{
	uint8_t how = take(in), n = how & 7;
	uint32_t at = inside(m->dec.tx_desc, 8 * 16) ? m->dec.tx_desc : LIST + 0x100;

	for (unsigned int i = 0; i <= n; i++) {
		uint32_t des1 = (uint32_t)take_many(in, 2) & (how & 0x40 ? 0x3fffff : 0x7ff);
		uint32_t buf = (how & 0x80 ? ROM - 0x80 : 0x800) + take(in);

		des1 |= (i ? 0 : TDES1_FS) | (i < n || how & 8 ? 0 : TDES1_LS);
		des1 |= (how & 16 ? TDES1_AC : 0) | (how & 32 ? TDES1_IC : 0);
		put_desc(m, at + 16 * i, DES0_OWN, des1, buf, buf + 0x100);
	}
	dec21140_ops.write(&m->dec, 8, 4, 0);
}

static void memory(struct machine *m, struct input *in)
{
	uint32_t at = (uint32_t)take_many(in, 2) % (MEM - 8);
	uint64_t val = take_many(in, 8);

	memcpy(m->mem + at, &val, sizeof(val));
}

static void receive(struct machine *m, struct input *in)
{
	uint8_t how = take(in);
	size_t len = how & 1 ? take(in) : (size_t)take_many(in, 2) % sizeof(m->frame);

	if (m->kept)
		return;
	memset(m->frame, take(in), sizeof(m->frame));
	if (how & 2)
		memset(m->frame, 0xff, 6);
	if (how & 4)
		memcpy(m->frame, m->mem + (how & 0xf0), 6);
	if (how & 8)
		memcpy(m->frame + 12, how & 16 ? "\x86\xdd" : "\x08", 2);
	offer(m, len);
}

static void config(struct machine *m, struct input *in)
{
	unsigned int size = 1u << take(in) % 3;
	unsigned int off = take(in) & ~(size - 1);

	if (take(in) & 1)
		pci_function_read(&m->dec.fn, off, size);
	else
		pci_function_write(&m->dec.fn, off, size, (uint32_t)take_many(in, size));
}

/* With every wake-up on time there are not more than the timers' shortest periods allow. */
static void pass_time(struct machine *m, uint64_t ns)
{
	uint64_t end = m->clock.now + ns, limit = 100 + 4 * (ns / DEC21140_TAP_MIN_NS);

	if (m->greedy || ns > 50000000) {
		fakeclock_late(&m->clock, end);
		return;
	}
	while (timerq_deadline(&m->clock.q) <= end) {
		if (timerq_deadline(&m->clock.q) > m->clock.now)
			m->clock.now = timerq_deadline(&m->clock.q);
		m->dmas = 0;
		timerq_run(&m->clock.q, m->clock.now);
		CHECK(limit--);
	}
	m->clock.now = end;
}

/* What has to hold after every step. */
static void check(struct machine *m)
{
	const struct dec21140 *dec = &m->dec;
	uint32_t on = dec->csr5 & dec->csr7;
	bool want = (on & CSR5_NORMAL && dec->csr7 & CSR5_NIS) ||
		    (on & CSR5_ABNORMAL && dec->csr7 & CSR5_AIS);

	CHECK(m->level == (want || dec->fast_level));
	CHECK(!dec->fast_level || dec->bimodal.enabled);
	CHECK(!(dec->csr5 & ~(CSR5_EVENTS | CSR5_EB)));
	CHECK(!(m->dec.tx_desc & 3) && !(m->dec.rx_desc & 3));
	/* A frame that the back end has kept will be asked for. */
	CHECK(!m->kept || (dec->rx_refused && dec->rx_timer.armed) || dec->fast.held);
	CHECK(!dec->fast.held || virtio_net_live(&dec->fast));
	CHECK(!m->wanted || virtio_net_live(&dec->fast));
	CHECK(!dec->fast.filled);
	/* Who has not been asked for a doorbell will be looked at. */
	for (unsigned int i = 0; i < dec->fast.pairs; i++)
		CHECK(!dec->fast.tx[i].polled || dec->fast.look.armed);
	CHECK(!virtio_net_live(&dec->fast) || dec->bimodal.enabled);
	CHECK(dec->rx != DEC21140_STOPPED || !dec->rx_have);
	CHECK(dec->tx != DEC21140_STOPPED || !dec->tx_timer.armed);
}

static void step(struct machine *m, struct input *in)
{
	uint8_t op = take(in);

	m->dmas = 0;
	switch (op & 15) {
	case 0:
	case 1:
		access(m, in, op & 1);
		break;
	case 2:
	case 3:
	case 4:
		set_register(m, in);
		break;
	case 5:
		serial(m, in);
		break;
	case 6:
	case 7:
	case 8:
		descriptor(m, in);
		break;
	case 9:
		if (op & 0x80)
			frame(m, in);
		else
			memory(m, in);
		break;
	case 10:
	case 11:
		receive(m, in);
		break;
	case 12:
		config(m, in);
		break;
	case 13: /* up to a minute: frames that wait are given up, list polls are due */
		pass_time(m, take_many(in, op >> 6) << (op >> 4 & 3) * 4);
		break;
	case 14:
		if (op & 0x20)
			mii_frame(m, in);
		else
			m->net.link = op & 0x10;
		break;
	default:
		if (op & 0x20)
			fast(m, in);
		else if (op & 0x80)
			dec21140_reset(&m->dec);
		else
			dec21140_ops.write(&m->dec, op & 0x40 ? 8 : 16, 4, 0);
		break;
	}
	check(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct machine m;
	struct input in = { data, len };

	build(&m, &in);
	while (in.len)
		step(&m, &in);
	return 0;
}
