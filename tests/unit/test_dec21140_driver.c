// SPDX-License-Identifier: GPL-2.0-only
/*
 * What drivers do with the part, from probe to close: a small driver in the manner of Linux's tulip
 * (interrupts, NAPI, rings), and one in the manner of boot ROMs (polling memory only).
 */
#include "tests/unit/dec21140_bench.h"

#define RX_RING	 16
#define TX_RING	 8
#define BUF_SIZE 1536

#define RX_DESC(i) (0x1000u + 16 * (i))
#define TX_DESC(i) (0x2000u + 16 * (i))
#define RX_BUF(i)  (0x10000u + 0x800 * (i))
#define TX_BUF(i)  (0x30000u + 0x800 * (i))
#define SETUP_BUF  0x3000u

#define MASK	 0x0001ebefu
#define MASK_RX	 (CSR5_RI | CSR5_RU)
#define FROM_ROM 0x4800u /* CSR9: serial ROM, read */

struct driver {
	struct bench b;
	uint8_t rom[128];
	uint8_t mac[6];
	unsigned int phy;
	unsigned int rx, tx, tx_dirty;
	uint8_t got[64][BUF_SIZE];
	size_t got_len[64];
	unsigned int got_n;
	unsigned int accesses; /* of registers, since open */
};

static uint32_t in(struct driver *d, unsigned int n)
{
	d->accesses++;
	return csr(&d->b, n);
}

static void out(struct driver *d, unsigned int n, uint32_t val)
{
	d->accesses++;
	set_csr(&d->b, n, val);
}

/* @addr_bits: how wide the driver thinks the address is; it sees more bits than the word then. */
static uint32_t rom_read(struct driver *d, unsigned int word, unsigned int addr_bits)
{
	uint32_t cmd = 6u << addr_bits | word, got = 0;

	out(d, 9, FROM_ROM);
	out(d, 9, FROM_ROM | CSR9_SROM_CS);
	for (int i = (int)addr_bits + 4; i >= 0; i--) {
		uint32_t pins = FROM_ROM | CSR9_SROM_CS | (cmd >> i & 1 ? CSR9_SROM_DI : 0);

		out(d, 9, pins);
		out(d, 9, pins | CSR9_SROM_CLK);
		got = got << 1 | !!(in(d, 9) & CSR9_SROM_DO);
	}
	out(d, 9, FROM_ROM | CSR9_SROM_CS);
	for (unsigned int i = 0; i < 16; i++) {
		out(d, 9, FROM_ROM | CSR9_SROM_CS | CSR9_SROM_CLK);
		got = got << 1 | !!(in(d, 9) & CSR9_SROM_DO);
		out(d, 9, FROM_ROM | CSR9_SROM_CS);
	}
	out(d, 9, FROM_ROM);
	return got;
}

static void mdio_out(struct driver *d, uint32_t bits, unsigned int n)
{
	for (unsigned int i = n; i-- > 0;) {
		uint32_t pin = bits >> i & 1 ? CSR9_MDO : 0;

		out(d, 9, pin);
		out(d, 9, pin | CSR9_MDC);
	}
}

static uint16_t mdio_read(struct driver *d, unsigned int phy, unsigned int reg)
{
	uint32_t got = 0;

	mdio_out(d, ~0u, 32);
	mdio_out(d, 6u << 10 | phy << 5 | reg, 14);
	for (unsigned int i = 0; i < 19; i++) {
		out(d, 9, CSR9_MII);
		got = got << 1 | !!(in(d, 9) & CSR9_MDI);
		out(d, 9, CSR9_MII | CSR9_MDC);
	}
	return (uint16_t)(got >> 1);
}

static void mdio_write(struct driver *d, unsigned int phy, unsigned int reg, uint16_t val)
{
	mdio_out(d, ~0u, 32);
	mdio_out(d, 5u << 28 | phy << 23 | reg << 18 | 2u << 16 | val, 32);
	for (unsigned int i = 0; i < 2; i++) {
		out(d, 9, CSR9_MII);
		out(d, 9, CSR9_MII | CSR9_MDC);
	}
}

static void stop(struct driver *d)
{
	uint32_t csr6 = in(d, 6);

	if (!(csr6 & (CSR6_ST | CSR6_SR)))
		return;
	out(d, 6, csr6 & ~(CSR6_ST | CSR6_SR));
	assert_int_equal(in(d, 5) & (CSR5_TS | CSR5_RS), 0);
}

static void read_rom(struct driver *d)
{
	/* A word of zero after six address bits tells a 93C46 from a 93C66. */
	assert_int_equal(rom_read(d, 0xff, 8) & 0x40000, 0);
	for (unsigned int i = 0; i < 64; i++) {
		uint16_t word = (uint16_t)rom_read(d, i, 6);

		d->rom[2 * i] = (uint8_t)word;
		d->rom[2 * i + 1] = (uint8_t)(word >> 8);
	}
	assert_memory_not_equal(d->rom, d->rom + 16, 8);
	memcpy(d->mac, d->rom + 20, 6);
}

static void find_phy(struct driver *d)
{
	unsigned int found = 0;

	for (unsigned int phy = 1; phy <= 32; phy++) {
		uint16_t status = mdio_read(d, phy & 31, 1);

		if ((status & 0x8301) != 0x8001 && (status & 0x8000 || !(status & 0x7800)))
			continue;
		d->phy = phy & 31;
		found++;
	}
	assert_int_equal(found, 1);
	mdio_write(d, d->phy, 4, 0x01e1);
	mdio_write(d, d->phy, 0, mdio_read(d, d->phy, 0) | 0x1000);
}

static void probe(struct driver *d)
{
	stop(d);
	assert_int_equal(in(d, 8) & 0x1fffffff, 0);
	read_rom(d);
	find_phy(d);
}

static void fill_rings(struct driver *d)
{
	struct bench *b = &d->b;

	for (unsigned int i = 0; i < RX_RING; i++)
		set_desc(b, RX_DESC(i), DES0_OWN, BUF_SIZE | (i == RX_RING - 1 ? DES1_RING : 0),
			 RX_BUF(i), RX_DESC((i + 1) % RX_RING));
	for (unsigned int i = 0; i < TX_RING; i++)
		set_desc(b, TX_DESC(i), 0, 0, 0, TX_DESC((i + 1) % TX_RING));
	d->rx = 0;
	d->tx = 0;
	d->tx_dirty = 0;
}

static void setup_entry(struct driver *d, unsigned int i, const uint8_t addr[6])
{
	for (unsigned int k = 0; k < 3; k++) {
		uint32_t pair = addr[2 * k] | addr[2 * k + 1] << 8;

		set_mem32(&d->b, SETUP_BUF + 12 * i + 4 * k, pair | pair << 16);
	}
}

static void queue_setup(struct driver *d)
{
	unsigned int i = d->tx++ % TX_RING;

	memset(d->b.mem + SETUP_BUF, 0xff, SETUP_SIZE);
	setup_entry(d, 15, d->mac);
	set_desc(&d->b, TX_DESC(i), DES0_OWN,
		 TDES1_SET | SETUP_SIZE | (i == TX_RING - 1 ? DES1_RING : 0), SETUP_BUF, 0);
}

static void open(struct driver *d)
{
	const uint32_t csr6 = 0x020e0000;
	uint16_t partner;

	fill_rings(d);
	out(d, 6, CSR6_PS);
	out(d, 0, CSR0_SWR);
	out(d, 0, 0x01a08000);
	out(d, 3, RX_DESC(0));
	out(d, 4, TX_DESC(0));
	queue_setup(d);
	assert_true(mdio_read(d, d->phy, 1) & 0x0004);
	partner = mdio_read(d, d->phy, 5) & mdio_read(d, d->phy, 4);
	assert_true(partner & 0x0100); /* 100 Mbit/s, full duplex */
	stop(d);
	out(d, 6, csr6 | CSR6_FD | CSR6_ST);
	out(d, 5, MASK);
	out(d, 7, MASK);
	out(d, 6, csr6 | CSR6_FD | CSR6_ST | CSR6_SR);
	out(d, 2, 0);
	assert_int_equal(mem32(&d->b, TX_DESC(0)), SETUP_CLOSED);
	assert_false(in(d, 6) & CSR6_FILTER);
	d->accesses = 0;
}

static void reap(struct driver *d)
{
	for (; d->tx_dirty != d->tx; d->tx_dirty++)
		if (mem32(&d->b, TX_DESC(d->tx_dirty % TX_RING)) & DES0_OWN)
			return;
}

static void poll(struct driver *d)
{
	struct bench *b = &d->b;

	do {
		out(d, 5, MASK_RX);
		for (;;) {
			unsigned int i = d->rx % RX_RING;
			uint32_t status = mem32(b, RX_DESC(i));
			size_t len = (status >> 16 & 0x7ff) - 4;

			if (status & DES0_OWN)
				break;
			assert_int_equal(status & (0x38000010 | 0x48c2 | 0x300), 0x300);
			memcpy(d->got[d->got_n], b->mem + RX_BUF(i), len);
			d->got_len[d->got_n++] = len;
			set_mem32(b, RX_DESC(i), DES0_OWN);
			d->rx++;
		}
	} while (in(d, 5) & CSR5_RI);
	out(d, 7, MASK);
}

static void interrupt(struct driver *d)
{
	uint32_t csr5 = in(d, 5);
	bool scheduled = false;

	assert_true(csr5 & (CSR5_NIS | CSR5_AIS));
	do {
		if (!scheduled && csr5 & MASK_RX) {
			scheduled = true;
			out(d, 7, MASK & ~MASK_RX);
			if (!(csr5 & CSR5_EVENTS & ~MASK_RX))
				break;
		}
		out(d, 5, csr5 & 0x0001ff3f);
		if (csr5 & (CSR5_TU | CSR5_TI | CSR5_TPS))
			reap(d);
		csr5 = in(d, 5) & ~(scheduled ? MASK_RX : 0);
	} while (csr5 & (CSR5_TU | CSR5_TPS | CSR5_TI | CSR5_GTE | CSR5_RPS | CSR5_UNF | CSR5_TJT));
	assert_int_equal(in(d, 8) & 0x1ffff, 0);
	if (scheduled)
		poll(d);
}

static void serve(struct driver *d)
{
	for (unsigned int i = 0; inta(&d->b); i++) {
		assert_true(i < 4);
		interrupt(d);
	}
}

static void send(struct driver *d, size_t len, uint8_t seed)
{
	static const uint8_t dst[6] = { 2, 0, 0, 0, 0, 1 };
	unsigned int i = d->tx++ % TX_RING;

	make_frame(d->b.mem + TX_BUF(i), len, dst, seed);
	set_desc(&d->b, TX_DESC(i), DES0_OWN,
		 TDES1_FS | TDES1_LS | (uint32_t)len |
			 (i == TX_RING - 1 ? TDES1_IC | DES1_RING : 0),
		 TX_BUF(i), TX_DESC((i + 1) % TX_RING));
	out(d, 1, 0);
}

static int setup(void **state)
{
	static struct driver d;

	memset(&d, 0, sizeof(d));
	bench_init(&d.b);
	*state = &d;
	return 0;
}

static void probe_finds_address_and_phy(void **state)
{
	struct driver *d = *state;

	probe(d);
	assert_memory_equal(d->mac, bench_mac, 6);
	assert_int_equal(d->phy, 1);
	assert_int_equal(mdio_read(d, 1, 2), 0x2000);
	assert_int_equal(mdio_read(d, 1, 4), 0x01e1);
	assert_int_equal(mdio_read(d, 2, 1), 0xffff);
}

/* One access to send, and five for the interrupt that says the ring is empty. */
static void transmit(void **state)
{
	struct driver *d = *state;
	uint8_t want[1514];

	probe(d);
	open(d);
	serve(d);
	for (unsigned int n = 0; n < 3 * TX_RING; n++) {
		size_t len = 60 + 50 * n;

		d->accesses = 0;
		send(d, len, (uint8_t)n);
		drain(&d->b);
		assert_true(inta(&d->b));
		serve(d);
		assert_int_equal(d->accesses, 5);
		assert_int_equal(d->tx_dirty, d->tx);
		assert_int_equal(d->b.sent_n, n + 1);
		assert_int_equal(d->b.sent_len[n], len);
		make_frame(want, len, d->b.sent[n], (uint8_t)n);
		assert_memory_equal(d->b.sent[n], want, len);
	}
	assert_int_equal(d->b.dec.stats.tx_frames, 3 * TX_RING);
}

/* While a frame is on the wire others are queued behind it, without an interrupt. */
static void transmit_burst(void **state)
{
	struct driver *d = *state;

	probe(d);
	open(d);
	serve(d);
	d->accesses = 0;
	for (unsigned int n = 0; n < TX_RING - 2; n++) {
		send(d, 1514, (uint8_t)n);
		fakeclock_advance(&d->b.clock, 20000);
		assert_false(inta(&d->b));
		assert_int_equal(d->b.sent_n, n + 1);
	}
	drain(&d->b);
	serve(d);
	assert_int_equal(d->tx_dirty, d->tx);
	assert_int_equal(d->accesses, TX_RING - 2 + 4);
}

static void receive(void **state)
{
	struct driver *d = *state;
	uint8_t frame[1514];

	probe(d);
	open(d);
	serve(d);
	for (unsigned int n = 0; n < 40; n++) {
		size_t len = 60 + 37 * n;

		make_frame(frame, len, n % 3 ? d->mac : (const uint8_t *)"\xff\xff\xff\xff\xff\xff",
			   (uint8_t)n);
		d->accesses = 0;
		assert_true(bench_offer(&d->b, frame, len));
		assert_true(inta(&d->b));
		serve(d);
		assert_int_equal(d->accesses, 6);
		assert_int_equal(d->got_n, n + 1);
		assert_int_equal(d->got_len[n], len);
		assert_memory_equal(d->got[n], frame, len);
	}
	frame[0] ^= 2; /* somebody else's */
	assert_true(bench_offer(&d->b, frame, 60));
	assert_false(inta(&d->b));
}

/* More than the ring takes arrives before the driver looks: nothing is lost. */
static void burst(void **state)
{
	struct driver *d = *state;
	uint8_t frame[600];
	unsigned int n = 0, offered = 0;

	probe(d);
	open(d);
	serve(d);
	while (offered < 3 * RX_RING) {
		make_frame(frame, sizeof(frame), d->mac, (uint8_t)offered);
		offered++;
		if (!bench_offer(&d->b, frame, sizeof(frame)))
			serve(d);
	}
	serve(d);
	assert_int_equal(d->got_n, offered);
	for (n = 0; n < offered; n++) {
		make_frame(frame, sizeof(frame), d->mac, (uint8_t)n);
		assert_memory_equal(d->got[n], frame, sizeof(frame));
	}
	assert_int_equal(d->b.dec.stats.rx_missed, 0);
	assert_int_not_equal(d->b.dec.stats.rx_held, 0);
}

static void set_rx_mode_while_running(void **state)
{
	struct driver *d = *state;
	unsigned int dummy;

	probe(d);
	open(d);
	serve(d);
	send(d, 100, 1);
	drain(&d->b);
	serve(d);
	/* A descriptor with nothing in it, and then a setup frame, given to the part in reverse. */
	dummy = d->tx++ % TX_RING;
	set_desc(&d->b, TX_DESC(dummy), 0, 0, 0, 0);
	queue_setup(d);
	set_mem32(&d->b, TX_DESC(dummy), DES0_OWN);
	out(d, 1, 0);
	out(d, 6, in(d, 6) & ~0xd5u);
	drain(&d->b);
	serve(d);
	assert_int_equal(d->tx_dirty, d->tx);
	assert_int_equal(d->b.dec.stats.setup_frames, 2);
	assert_int_equal(d->b.sent_n, 1);
}

static void close_and_open_again(void **state)
{
	struct driver *d = *state;
	uint8_t frame[60];

	probe(d);
	for (unsigned int i = 0; i < 3; i++) {
		open(d);
		serve(d);
		send(d, 60, 0);
		make_frame(frame, sizeof(frame), d->mac, 0);
		bench_offer(&d->b, frame, sizeof(frame));
		serve(d);
		assert_int_equal(d->b.sent_n, i + 1);
		assert_int_equal(d->got_n, i + 1);
		out(d, 7, 0);
		stop(d);
		assert_false(inta(&d->b));
		assert_int_equal(in(d, 8) & 0xffff, 0);
	}
}

/* A boot ROM: two descriptors, no interrupts, the transmitter started for each frame. */
static void boot_rom(void **state)
{
	struct driver *d = *state;
	struct bench *b = &d->b;
	uint32_t csr6 = 0x020e0000 | CSR6_PM;
	uint8_t frame[400];

	probe(d);
	for (unsigned int i = 0; i < 4; i++)
		set_desc(b, RX_DESC(i), DES0_OWN, BUF_SIZE | (i == 3 ? DES1_RING : 0), RX_BUF(i),
			 RX_DESC((i + 1) % 4));
	memset(b->mem + SETUP_BUF, 0xff, SETUP_SIZE);
	setup_entry(d, 0, d->mac);
	set_desc(b, TX_DESC(0), DES0_OWN, TDES1_SET | SETUP_SIZE, SETUP_BUF, TX_DESC(1));
	set_desc(b, TX_DESC(1), 0, DES1_RING | BUF_SIZE, TX_BUF(0), TX_DESC(0));
	out(d, 6, 0x814c0000);
	out(d, 0, CSR0_SWR);
	out(d, 0, 0x01a08000);
	out(d, 3, RX_DESC(0));
	out(d, 4, TX_DESC(0));
	out(d, 6, csr6);
	out(d, 6, csr6 | CSR6_ST);
	out(d, 1, 0);
	assert_false(mem32(b, TX_DESC(0)) & DES0_OWN);
	out(d, 6, csr6 | CSR6_ST | CSR6_SR);
	for (unsigned int n = 0; n < 10; n++) {
		make_frame(b->mem + TX_BUF(0), 342, bench_mac, (uint8_t)n);
		out(d, 6, in(d, 6) & ~CSR6_ST);
		set_desc(b, TX_DESC(0), DES0_OWN, TDES1_FS | TDES1_LS | 342, TX_BUF(0), TX_DESC(1));
		out(d, 4, TX_DESC(0));
		out(d, 6, in(d, 6) | CSR6_ST);
		out(d, 1, 0);
		assert_false(mem32(b, TX_DESC(0)) & (DES0_OWN | TDES0_ES));
		assert_int_equal(b->sent_n, n + 1);
		make_frame(frame, sizeof(frame), d->mac, (uint8_t)n);
		assert_true(bench_offer(b, frame, sizeof(frame)));
		assert_int_equal(mem32(b, RX_DESC(n % 4)),
				 RDES0_FS | RDES0_LS | RDES0_FT | RDES0_FL(404));
		assert_memory_equal(b->mem + RX_BUF(n % 4), frame, sizeof(frame));
		set_mem32(b, RX_DESC(n % 4), DES0_OWN);
	}
	assert_false(inta(b));
}

/* It never touches a register when it has taken frames: the device has to look by itself. */
static void boot_rom_burst(void **state)
{
	struct driver *d = *state;
	struct bench *b = &d->b;
	uint8_t frame[400];

	probe(d);
	for (unsigned int i = 0; i < 4; i++)
		set_desc(b, RX_DESC(i), DES0_OWN, BUF_SIZE | (i == 3 ? DES1_RING : 0), RX_BUF(i),
			 RX_DESC((i + 1) % 4));
	out(d, 3, RX_DESC(0));
	out(d, 6, 0x020e0000 | CSR6_PR | CSR6_SR);
	for (unsigned int n = 0; n < 5; n++) {
		make_frame(frame, sizeof(frame), d->mac, (uint8_t)n);
		assert_int_equal(bench_offer(b, frame, sizeof(frame)), n < 4);
	}
	fakeclock_advance(&b->clock, 10 * DEC21140_RETRY_NS);
	assert_int_equal(b->ready, 0);
	set_mem32(b, RX_DESC(0), DES0_OWN);
	fakeclock_advance(&b->clock, DEC21140_RETRY_NS + 10 * DEC21140_RETRY_NS / 8);
	assert_int_equal(b->ready, 1);
	assert_false(mem32(b, RX_DESC(0)) & DES0_OWN);
	assert_memory_equal(b->mem + RX_BUF(0), frame, sizeof(frame));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(probe_finds_address_and_phy, setup),
		cmocka_unit_test_setup(transmit, setup),
		cmocka_unit_test_setup(transmit_burst, setup),
		cmocka_unit_test_setup(receive, setup),
		cmocka_unit_test_setup(burst, setup),
		cmocka_unit_test_setup(set_rx_mode_while_running, setup),
		cmocka_unit_test_setup(close_and_open_again, setup),
		cmocka_unit_test_setup(boot_rom, setup),
		cmocka_unit_test_setup(boot_rom_burst, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
