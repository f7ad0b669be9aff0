// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors, transmission and reception of the 21140A. */
#include "tests/unit/dec21140_bench.h"

#define RX     0x1000u
#define TX     0x2000u
#define BUF    0x10000u
#define RBUF   0x40000u
#define WHOLE  (TDES1_FS | TDES1_LS)
#define MODE   (CSR6_PS | CSR6_FD | CSR6_PR)
#define CLOSED (RDES0_FS | RDES0_LS)

static const uint8_t dst[6] = { 2, 4, 6, 8, 10, 12 };

static int setup(void **state)
{
	bench_setup(state);
	set_csr(*state, 3, RX);
	set_csr(*state, 4, TX);
	set_csr(*state, 6, MODE);
	return 0;
}

static void assert_sent(struct bench *b, unsigned int n, const void *data, size_t len)
{
	assert_true(n < b->sent_n);
	assert_int_equal(b->sent_len[n], len);
	assert_memory_equal(b->sent[n], data, len);
}

/* Transmission */

static void tx_one(void **state)
{
	struct bench *b = *state;

	make_frame(b->mem + BUF, 1514, dst, 1);
	set_desc(b, TX, DES0_OWN, WHOLE | TDES1_IC | 1514, BUF, 0);
	tx_on(b);
	assert_int_equal(b->sent_n, 1);
	assert_sent(b, 0, b->mem + BUF, 1514);
	assert_int_equal(mem32(b, TX), 0);
	assert_int_equal(mem32(b, TX + 4), WHOLE | TDES1_IC | 1514);
	/* That the list is empty shows when the frame has left: preamble, FCS and gap included. */
	assert_int_equal(events(b), CSR5_TI);
	assert_int_equal(csr(b, 5) & CSR5_TS, CSR5_TS_WAIT);
	fakeclock_advance(&b->clock, (8 + 1514 + 4 + 12) * 80 - 1);
	assert_int_equal(events(b), CSR5_TI);
	fakeclock_advance(&b->clock, 1);
	assert_int_equal(events(b), CSR5_TI | CSR5_TU);
	assert_int_equal(csr(b, 5) & CSR5_TS, CSR5_TS_SUSPENDED);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
	assert_int_equal(b->dec.stats.tx_bytes, 1514);
}

static void tx_without_interrupt(void **state)
{
	struct bench *b = *state;

	set_desc(b, TX, DES0_OWN, WHOLE | 100, BUF, 0);
	tx_on(b);
	drain(b);
	assert_int_equal(events(b), CSR5_ETI | CSR5_TU);
}

static void tx_two_buffers_and_three_descriptors(void **state)
{
	struct bench *b = *state;
	uint8_t want[600];

	make_frame(want, sizeof(want), dst, 3);
	memcpy(b->mem + BUF, want, 100);
	memcpy(b->mem + BUF + 0x801, want + 100, 133);
	memcpy(b->mem + BUF + 0x1003, want + 233, 300);
	memcpy(b->mem + BUF + 0x2002, want + 533, 67);
	set_desc(b, TX, DES0_OWN, TDES1_FS | 133 << 11 | 100, BUF, BUF + 0x801);
	set_desc(b, TX + 16, DES0_OWN, 300 << 11, 0x7fffffff, BUF + 0x1003); /* no first buffer */
	set_desc(b, TX + 32, DES0_OWN, TDES1_LS | TDES1_IC | 67, BUF + 0x2002, 0);
	tx_on(b);
	assert_int_equal(b->sent_n, 1);
	assert_sent(b, 0, want, sizeof(want));
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(mem32(b, TX + 16 * i), 0);
}

/* Chained, at the end of a ring with chains, and with a skip length. */
static void tx_lists(void **state)
{
	struct bench *b = *state;

	make_frame(b->mem + BUF, 60, dst, 0);
	make_frame(b->mem + BUF + 64, 61, dst, 1);
	make_frame(b->mem + BUF + 128, 62, dst, 2);
	set_desc(b, TX, DES0_OWN, WHOLE | DES1_CHAIN | 9 << 11 | 60, BUF, TX + 0x100);
	set_desc(b, TX + 0x100, DES0_OWN, WHOLE | DES1_CHAIN | 61, BUF + 64, TX + 0x203);
	set_desc(b, TX + 0x200, DES0_OWN, WHOLE | DES1_CHAIN | DES1_RING | 62, BUF + 128, 0x9000);
	tx_on(b);
	assert_int_equal(b->sent_n, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_sent(b, i, b->mem + BUF + 64 * i, 60 + i);
	set_desc(b, TX, DES0_OWN, WHOLE | 60, BUF, 0);
	set_desc(b, TX + 16 + 4 * 5, DES0_OWN, WHOLE | 61, BUF + 64, 0);
	set_csr(b, 0, 5 << 2);
	poll_demand(b);
	assert_int_equal(b->sent_n, 5);
}

static void tx_padding(void **state)
{
	struct bench *b = *state;
	uint8_t want[60] = { 0 };

	make_frame(b->mem + BUF, 64, dst, 1);
	memcpy(want, b->mem + BUF, 17);
	set_desc(b, TX, DES0_OWN, WHOLE | 17, BUF, 0);
	set_desc(b, TX + 16, DES0_OWN, WHOLE | TDES1_DPD | 17, BUF, 0);
	set_desc(b, TX + 32, DES0_OWN, WHOLE | TDES1_AC | 17, BUF, 0);
	set_desc(b, TX + 48, DES0_OWN, WHOLE | TDES1_DPD | 13, BUF, 0); /* not even a header */
	set_desc(b, TX + 64, DES0_OWN, WHOLE, BUF, 0);
	tx_on(b);
	assert_int_equal(b->sent_n, 4);
	assert_sent(b, 0, want, 60);
	assert_sent(b, 1, b->mem + BUF, 17);
	assert_sent(b, 2, want, 60);
	memset(want, 0, 60);
	assert_sent(b, 3, want, 60);
	assert_int_equal(b->dec.stats.tx_dropped, 1);
}

static void tx_own_fcs(void **state)
{
	struct bench *b = *state;
	uint32_t fcs;

	make_frame(b->mem + BUF, 100, dst, 1);
	fcs = slow_fcs(b->mem + BUF, 100);
	memcpy(b->mem + BUF + 100, &fcs, 4);
	set_desc(b, TX, DES0_OWN, WHOLE | TDES1_AC | 104, BUF, 0);
	/* Split within the FCS */
	set_desc(b, TX + 16, DES0_OWN, TDES1_FS | TDES1_AC | 1 << 11 | 101, BUF, BUF + 101);
	set_desc(b, TX + 32, DES0_OWN, TDES1_LS | 2, BUF + 102, 0);
	/* A wrong one */
	set_desc(b, TX + 48, DES0_OWN, WHOLE | TDES1_AC | 103, BUF, 0);
	tx_on(b);
	assert_int_equal(b->sent_n, 2);
	assert_sent(b, 0, b->mem + BUF, 100);
	assert_sent(b, 1, b->mem + BUF, 100);
	assert_int_equal(mem32(b, TX + 48), 0);
	assert_int_equal(b->dec.stats.tx_dropped, 1);
}

static void tx_suspends_and_resumes(void **state)
{
	struct bench *b = *state;

	tx_on(b);
	assert_int_equal(events(b), CSR5_TU);
	clear_events(b);
	set_desc(b, TX, DES0_OWN, WHOLE | 60, BUF, 0);
	fakeclock_advance(&b->clock, 1000000000);
	assert_int_equal(b->sent_n, 0); /* no automatic polling */
	poll_demand(b);
	assert_int_equal(b->sent_n, 1);
	assert_false(events(b) & CSR5_TU);
	drain(b);
	assert_true(events(b) & CSR5_TU);
	set_csr(b, 6, MODE);
	assert_true(events(b) & CSR5_TPS);
	set_desc(b, TX + 16, DES0_OWN, WHOLE | 60, BUF, 0);
	poll_demand(b);
	assert_int_equal(b->sent_n, 1);
	tx_on(b); /* where it was */
	assert_int_equal(b->sent_n, 2);
}

static void tx_automatic_polling(void **state)
{
	static const uint64_t interval[] = { 0, 80, 320, 640, 80, 80, 80, 80 }; /* us */
	struct bench *b = *state;

	for (unsigned int tap = 1; tap < 8; tap++) {
		set_csr(b, 6, MODE);
		set_csr(b, 4, TX);
		set_csr(b, 0, tap << 17);
		drain(b);
		tx_on(b);
		clear_events(b);
		fakeclock_advance(&b->clock, 10 * interval[tap] * 1000);
		assert_int_equal(events(b), 0); /* TU is not shown again */
		set_desc(b, TX, DES0_OWN, WHOLE | 60, BUF, 0);
		fakeclock_advance(&b->clock, interval[tap] * 1000 - 1);
		assert_int_equal(b->sent_n, tap - 1);
		fakeclock_advance(&b->clock, 1);
		assert_int_equal(b->sent_n, tap);
	}
	set_csr(b, 6, MODE);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
}

static void tx_underflow(void **state)
{
	struct bench *b = *state;

	/* The second descriptor is not there in time. */
	set_desc(b, TX, DES0_OWN, TDES1_FS | 100, BUF, 0);
	tx_on(b);
	assert_int_equal(b->sent_n, 0);
	assert_int_equal(mem32(b, TX), TDES0_UF | TDES0_ES);
	assert_int_equal(events(b), CSR5_UNF | CSR5_TU);
	assert_int_equal(csr(b, 5) & CSR5_TS, CSR5_TS_SUSPENDED);
	/* When it comes it is no frame: it is given back. */
	clear_events(b);
	set_desc(b, TX + 16, DES0_OWN, TDES1_LS | 100, BUF, 0);
	set_desc(b, TX + 32, DES0_OWN, WHOLE | 70, BUF, 0);
	poll_demand(b);
	assert_int_equal(mem32(b, TX + 16), 0);
	assert_int_equal(b->sent_n, 1);
	assert_int_equal(b->sent_len[0], 70);
	/* A frame within a frame: the first breaks off, the second is sent on demand. */
	clear_events(b);
	set_desc(b, TX + 48, DES0_OWN, TDES1_FS | 100, BUF, 0);
	set_desc(b, TX + 64, DES0_OWN, WHOLE | 80, BUF, 0);
	poll_demand(b);
	assert_int_equal(events(b), CSR5_UNF);
	assert_int_equal(mem32(b, TX + 48), TDES0_UF | TDES0_ES);
	poll_demand(b);
	assert_int_equal(b->sent_n, 2);
	assert_int_equal(b->dec.stats.tx_dropped, 2);
}

static void tx_too_many_descriptors(void **state)
{
	struct bench *b = *state;

	for (unsigned int i = 0; i < DEC21140_FRAME_DESCS + 1; i++)
		set_desc(b, TX + 16 * i, DES0_OWN, i ? 1 : TDES1_FS | 1, BUF, 0);
	tx_on(b);
	assert_int_equal(events(b), CSR5_UNF);
	for (unsigned int i = 0; i < DEC21140_FRAME_DESCS; i++)
		assert_int_equal(mem32(b, TX + 16 * i) & DES0_OWN, 0);
	assert_int_equal(mem32(b, TX + 16 * DEC21140_FRAME_DESCS), DES0_OWN);
}

/* The guest gives both descriptors of a ring back as fast as they are sent. */
static void give_back(struct bench *b)
{
	b->ready++; /* frames */
	b->sent_n = 0;
	set_mem32(b, TX, DES0_OWN);
	set_mem32(b, TX + 16, DES0_OWN);
}

static void tx_endless_ring(void **state)
{
	struct bench *b = *state;

	/* A descriptor that is its own successor is sent once. */
	set_desc(b, TX, DES0_OWN, WHOLE | DES1_CHAIN | 60, BUF, TX);
	tx_on(b);
	assert_int_equal(b->sent_n, 1);
	b->on_transmit = give_back;
	for (unsigned int i = 0; i < 2; i++)
		set_desc(b, TX + 16 * i, DES0_OWN, WHOLE | DES1_CHAIN | 60, BUF, TX + 16 * !i);
	poll_demand(b);
	assert_int_equal(b->ready, DEC21140_TX_BURST);
	assert_int_equal(csr(b, 5) & CSR5_TS, CSR5_TS_FETCH);
	assert_true(timerq_deadline(&b->clock.q) <= b->clock.now);
	set_csr(b, 6, MODE);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
}

static void tx_burst_goes_on(void **state)
{
	struct bench *b = *state;

	make_frame(b->mem + BUF, 60, dst, 0);
	for (unsigned int i = 0; i < 100; i++)
		set_desc(b, TX + 16 * i, DES0_OWN, WHOLE | 60, BUF, 0);
	tx_on(b);
	assert_int_equal(b->sent_n, DEC21140_TX_BURST);
	assert_int_equal(csr(b, 5) & CSR5_TS, CSR5_TS_FETCH);
	assert_int_equal(events(b) & CSR5_TU, 0);
	fakeclock_advance(&b->clock, 1);
	assert_int_equal(b->sent_n, 100);
	drain(b);
	assert_int_equal(csr(b, 5) & CSR5_TS, CSR5_TS_SUSPENDED);
}

static void tx_jabber(void **state)
{
	struct bench *b = *state;
	struct {
		uint32_t csr15, len;
		bool passes;
	} t[] = { { 0, 2000 * 16, true },
		  { 0, 2000 * 17, false },
		  { CSR15_JCK, 2000, true },
		  { CSR15_JCK, 2000 * 2, false },
		  { CSR15_JBD | CSR15_JCK, 2000 * 17, true } };

	for (unsigned int n = 0; n < 5; n++) {
		unsigned int descs = t[n].len / 2000;

		set_csr(b, 15, t[n].csr15);
		set_csr(b, 6, MODE);
		set_csr(b, 4, TX);
		clear_events(b);
		for (unsigned int i = 0; i < descs; i++)
			set_desc(b, TX + 16 * i, DES0_OWN,
				 2000 | (i ? 0 : TDES1_FS) | (i == descs - 1 ? TDES1_LS : 0), BUF,
				 0);
		b->sent_n = 0;
		tx_on(b);
		drain(b);
		assert_int_equal(b->sent_n, t[n].passes);
		assert_int_equal(events(b), t[n].passes ? CSR5_ETI | CSR5_TU : CSR5_TJT | CSR5_TPS);
		assert_int_equal(mem32(b, TX + 16 * (descs - 1)),
				 t[n].passes ? 0 : TDES0_TO | TDES0_ES);
		assert_int_equal(csr(b, 5) & CSR5_TS, t[n].passes ? CSR5_TS_SUSPENDED : 0);
	}
	/* Stopped by jabber: writing ST again starts it. */
	set_csr(b, 15, 0);
	set_csr(b, 4, TX);
	for (unsigned int i = 0; i < 17; i++)
		set_desc(b, TX + 16 * i, DES0_OWN,
			 2000 | (i ? 0 : TDES1_FS) | (i == 16 ? TDES1_LS : 0), BUF, 0);
	poll_demand(b);
	assert_int_equal(csr(b, 5) & CSR5_TS, 0);
	drain(b);
	tx_on(b);
	assert_int_equal(csr(b, 5) & CSR5_TS, CSR5_TS_SUSPENDED);
}

/* A demand while a frame is on the wire moves the end of it all; stopping does not wait for it. */
static void tx_leaving(void **state)
{
	struct bench *b = *state;
	const uint64_t wire = (60 + 24) * 80;

	set_desc(b, TX, DES0_OWN, WHOLE | 60, BUF, 0);
	tx_on(b);
	fakeclock_advance(&b->clock, wire - 10);
	set_desc(b, TX + 16, DES0_OWN, WHOLE | 60, BUF, 0);
	poll_demand(b);
	assert_int_equal(b->sent_n, 2);
	fakeclock_advance(&b->clock, wire - 1);
	assert_int_equal(events(b) & CSR5_TU, 0);
	fakeclock_advance(&b->clock, 1);
	assert_int_equal(events(b) & CSR5_TU, CSR5_TU);
	clear_events(b);
	/* What was queued without a demand is found when the frame before has left. */
	set_desc(b, TX + 32, DES0_OWN, WHOLE | 60, BUF, 0);
	poll_demand(b);
	set_desc(b, TX + 48, DES0_OWN, WHOLE | 60, BUF, 0);
	fakeclock_advance(&b->clock, wire);
	assert_int_equal(b->sent_n, 4);
	assert_int_equal(events(b) & CSR5_TU, 0);
	set_csr(b, 6, MODE);
	assert_int_equal(csr(b, 5) & CSR5_TS, 0);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
	assert_int_equal(events(b) & CSR5_TU, 0);
}

static void tx_carrier(void **state)
{
	struct bench *b = *state;

	b->net.link = false;
	set_desc(b, TX, DES0_OWN, WHOLE | 60, BUF, 0);
	tx_on(b);
	assert_int_equal(mem32(b, TX), 0); /* full duplex */
	set_csr(b, 6, CSR6_PS | CSR6_ST);
	set_desc(b, TX + 16, DES0_OWN, WHOLE | 60, BUF, 0);
	poll_demand(b);
	assert_int_equal(mem32(b, TX + 16), TDES0_LO | TDES0_NC | TDES0_ES);
	b->net.link = true;
	set_csr(b, 6, CSR6_ST); /* the serial port, where there is nothing */
	set_desc(b, TX + 32, DES0_OWN, WHOLE | 60, BUF, 0);
	poll_demand(b);
	assert_int_equal(mem32(b, TX + 32), TDES0_LO | TDES0_NC | TDES0_ES);
	assert_int_equal(b->sent_n, 0);
	assert_int_equal(b->dec.stats.tx_dropped, 3);
}

/* Buffers that cannot be mapped are copied; beyond what can be copied the FIFO runs empty. */
static void tx_from_rom(void **state)
{
	struct bench *b = *state;

	make_frame(b->mem + BENCH_ROM - 200, 1000, dst, 7);
	set_desc(b, TX, DES0_OWN, WHOLE | 1000, BENCH_ROM - 200, 0);
	set_desc(b, TX + 16, DES0_OWN, WHOLE | 500, BENCH_ROM + 100, 0);
	tx_on(b);
	assert_sent(b, 0, b->mem + BENCH_ROM - 200, 1000);
	assert_sent(b, 1, b->mem + BENCH_ROM + 100, 500);
	for (unsigned int i = 0; i < 3; i++)
		set_desc(b, TX + 32 + 16 * i, DES0_OWN,
			 2000 | (i ? 0 : TDES1_FS) | (i == 2 ? TDES1_LS : 0), BENCH_ROM + 100, 0);
	poll_demand(b);
	assert_int_equal(b->sent_n, 2);
	assert_true(events(b) & CSR5_UNF);
}

static void big_endian(void **state)
{
	struct bench *b = *state;
	uint8_t frame[64];

	make_frame(frame, sizeof(frame), dst, 9);
	for (unsigned int i = 0; i < 64; i++)
		b->mem[(BUF + 1 + i) ^ 3] = frame[i];
	set_mem32(b, TX, 0x00000080);
	set_mem32(b, TX + 4, __builtin_bswap32(WHOLE | 64));
	set_mem32(b, TX + 8, __builtin_bswap32(BUF + 1));
	set_mem32(b, RX, 0x00000080);
	set_mem32(b, RX + 4, __builtin_bswap32(1536));
	set_mem32(b, RX + 8, __builtin_bswap32(RBUF));
	set_csr(b, 0, CSR0_BLE | CSR0_DBO);
	tx_on(b);
	assert_sent(b, 0, frame, 64);
	assert_int_equal(mem32(b, TX), 0);
	rx_on(b);
	assert_true(bench_offer(b, frame, 64));
	assert_int_equal(__builtin_bswap32(mem32(b, RX)), CLOSED | RDES0_FT | RDES0_FL(68));
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(b->mem[(RBUF + i) ^ 3], frame[i]);
}

/* Reception */

static void rx_ring(struct bench *b, unsigned int n, uint32_t sizes)
{
	for (unsigned int i = 0; i < n; i++)
		set_desc(b, RX + 16 * i, DES0_OWN, sizes | (i == n - 1 ? DES1_RING : 0),
			 RBUF + 0x1000 * i, RBUF + 0x1000 * i + 0x800);
}

/* An answer to each of the frames; counted, too. */
static void answer_all(struct bench *b)
{
	static const uint8_t frame[60] = { 2, 4, 6, 8, 10, 12 };

	b->ready++;
	for (unsigned int i = 0; i < b->sent_n; i++)
		assert_true(bench_offer(b, frame, sizeof(frame)));
}

/* What answers the frames of a burst comes behind the last of them, and with the same interrupt. */
static void tx_answered(void **state)
{
	struct bench *b = *state;

	make_frame(b->mem + BUF, 60, dst, 0);
	rx_ring(b, 4, 1536);
	rx_on(b);
	tx_on(b);
	b->on_sent = answer_all;
	set_csr(b, 1, 0);
	assert_int_equal(b->ready, 0);
	for (unsigned int i = 0; i < 3; i++)
		set_desc(b, TX + 16 * i, DES0_OWN, WHOLE | TDES1_IC | 60, BUF, 0);
	set_csr(b, 7, 0x1ffff);
	set_csr(b, 1, 0);
	assert_int_equal(b->sent_n, 3);
	assert_int_equal(b->ready, 1);
	assert_int_equal(events(b) & (CSR5_TI | CSR5_RI), CSR5_TI | CSR5_RI);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(mem32(b, RX + 16 * i) & DES0_OWN, 0);
	assert_int_equal(b->dec.stats.rx_frames, 3);
}

static void rx_one(void **state)
{
	struct bench *b = *state;
	uint8_t frame[1514];
	uint32_t fcs;

	rx_ring(b, 4, 1536);
	rx_on(b);
	make_frame(frame, sizeof(frame), dst, 1);
	assert_true(bench_offer(b, frame, sizeof(frame)));
	assert_int_equal(mem32(b, RX), CLOSED | RDES0_FT | RDES0_FL(1518));
	assert_memory_equal(b->mem + RBUF, frame, sizeof(frame));
	fcs = slow_fcs(frame, sizeof(frame));
	assert_memory_equal(b->mem + RBUF + 1514, &fcs, 4);
	assert_int_equal(b->mem[RBUF + 1518], 0);
	assert_int_equal(events(b), CSR5_RI);
	assert_int_equal(b->dec.stats.rx_bytes, 1514);
}

static void rx_status_bits(void **state)
{
	struct bench *b = *state;
	uint8_t frame[2600] = { 0 };
	uint32_t fcs;

	rx_ring(b, 8, 2044 << 11 | 2044);
	rx_on(b);
	memset(frame, 0xff, 6);
	frame[12] = 1500 >> 8;
	frame[13] = 1500 & 0xff;
	bench_offer(b, frame, 100);
	assert_int_equal(mem32(b, RX), CLOSED | RDES0_MF | RDES0_FL(104)); /* an 802.3 length */
	frame[0] = 0;
	frame[13]++;
	bench_offer(b, frame, 1515);
	assert_int_equal(mem32(b, RX + 16),
			 CLOSED | RDES0_FT | RDES0_TL | RDES0_ES | RDES0_FL(1519));
	/* Short frames come padded. */
	frame[20] = 0x55;
	bench_offer(b, frame, 21);
	assert_int_equal(mem32(b, RX + 32), CLOSED | RDES0_FT | RDES0_FL(64));
	memset(frame + 21, 0, 39);
	assert_memory_equal(b->mem + RBUF + 0x2000, frame, 60);
	fcs = slow_fcs(frame, 60);
	assert_memory_equal(b->mem + RBUF + 0x2000 + 60, &fcs, 4);
	/* What is no frame at all */
	bench_offer(b, frame, 5);
	assert_int_equal(mem32(b, RX + 48), DES0_OWN);
	/* The watchdog */
	clear_events(b);
	bench_offer(b, frame, 2556);
	assert_int_equal(mem32(b, RX + 48),
			 CLOSED | RDES0_FT | RDES0_TL | RDES0_ES | RDES0_FL(2560));
	assert_int_equal(events(b), CSR5_RI);
	bench_offer(b, frame, 2557);
	assert_int_equal(mem32(b, RX + 64), CLOSED | RDES0_FT | RDES0_TL | RDES0_RW | RDES0_CE |
						    RDES0_ES | RDES0_FL(2560));
	assert_int_equal(events(b), CSR5_RI | CSR5_RWT);
	set_csr(b, 15, CSR15_RWD);
	bench_offer(b, frame, 2600);
	assert_int_equal(mem32(b, RX + 80),
			 CLOSED | RDES0_FT | RDES0_TL | RDES0_ES | RDES0_FL(2604));
}

static void rx_over_descriptors(void **state)
{
	struct bench *b = *state;
	uint8_t frame[600], got[604];
	uint32_t fcs;
	size_t n = 0;

	make_frame(frame, sizeof(frame), dst, 5);
	fcs = slow_fcs(frame, sizeof(frame));
	rx_ring(b, 4, 101 << 11 | 100); /* 201 bytes each: the last has one byte */
	rx_on(b);
	assert_true(bench_offer(b, frame, sizeof(frame)));
	assert_int_equal(mem32(b, RX), RDES0_FS);
	assert_int_equal(mem32(b, RX + 16), 0);
	assert_int_equal(mem32(b, RX + 32), 0);
	assert_int_equal(mem32(b, RX + 48), RDES0_LS | RDES0_FT | RDES0_FL(604));
	for (unsigned int i = 0; i < 7; i++) {
		size_t len = i == 6 ? 1 : 100 + i % 2;

		memcpy(got + n, b->mem + RBUF + 0x800 * i, len);
		n += len;
	}
	assert_memory_equal(got, frame, 600);
	assert_memory_equal(got + 600, &fcs, 4);
}

static void rx_exact_fit(void **state)
{
	struct bench *b = *state;
	uint8_t frame[600];
	uint32_t fcs;

	make_frame(frame, sizeof(frame), dst, 5);
	fcs = slow_fcs(frame, sizeof(frame));
	/* The FCS is cut in two by the end of a buffer. */
	rx_ring(b, 4, 401 << 11 | 201);
	rx_on(b);
	assert_true(bench_offer(b, frame, sizeof(frame)));
	assert_int_equal(mem32(b, RX), RDES0_FS);
	assert_int_equal(mem32(b, RX + 16), RDES0_LS | RDES0_FT | RDES0_FL(604));
	assert_memory_equal(b->mem + RBUF, frame, 201);
	assert_memory_equal(b->mem + RBUF + 0x800, frame + 201, 399);
	assert_memory_equal(b->mem + RBUF + 0x800 + 399, &fcs, 2);
	assert_memory_equal(b->mem + RBUF + 0x1000, (uint8_t *)&fcs + 2, 2);
	assert_int_equal(mem32(b, RX + 32), DES0_OWN);
	/* Chained: the second size and buffer do not count. */
	set_csr(b, 6, MODE);
	set_csr(b, 3, RX);
	set_desc(b, RX, DES0_OWN, DES1_CHAIN | 2047 << 11 | 604, RBUF, RX + 0x100);
	set_desc(b, RX + 0x100, DES0_OWN, 604, RBUF + 0x3000, 0);
	rx_on(b);
	assert_true(bench_offer(b, frame, sizeof(frame)));
	assert_true(bench_offer(b, frame, sizeof(frame)));
	assert_int_equal(mem32(b, RX), CLOSED | RDES0_FT | RDES0_FL(604));
	assert_int_equal(mem32(b, RX + 0x100), CLOSED | RDES0_FT | RDES0_FL(604));
	assert_memory_equal(b->mem + RBUF + 0x3000 + 600, &fcs, 4);
}

static void rx_descriptor_error(void **state)
{
	struct bench *b = *state;
	uint8_t frame[600];

	make_frame(frame, sizeof(frame), dst, 5);
	rx_ring(b, 2, 256);
	rx_on(b);
	assert_true(bench_offer(b, frame, sizeof(frame)));
	assert_int_equal(mem32(b, RX), RDES0_FS);
	assert_int_equal(mem32(b, RX + 16),
			 RDES0_LS | RDES0_DE | RDES0_ES | RDES0_FT | RDES0_FL(604));
	assert_memory_equal(b->mem + RBUF + 0x1000, frame + 256, 256);
	assert_int_equal(events(b), CSR5_RI | CSR5_RU);
}

static void rx_own_successor(void **state)
{
	struct bench *b = *state;
	uint8_t frame[1500];

	make_frame(frame, sizeof(frame), dst, 5);
	set_desc(b, RX, DES0_OWN, DES1_CHAIN | 4, RBUF, RX);
	rx_on(b);
	assert_true(bench_offer(b, frame, sizeof(frame)));
	assert_int_equal(mem32(b, RX) & DES0_OWN, 0);
	/* No room at all, over and over */
	set_csr(b, 6, MODE);
	set_csr(b, 3, RX);
	for (unsigned int i = 0; i < 200; i++)
		set_desc(b, RX + 16 * i, DES0_OWN, 0, RBUF, 0);
	rx_on(b);
	assert_true(bench_offer(b, frame, sizeof(frame)));
	assert_int_equal(mem32(b, RX + 16 * (DEC21140_FRAME_DESCS - 1)) & (RDES0_DE | DES0_OWN),
			 RDES0_DE);
	assert_int_equal(mem32(b, RX + 16 * DEC21140_FRAME_DESCS), DES0_OWN);
}

static void rx_filters(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60];

	rx_ring(b, 8, 1536);
	set_csr(b, 6, CSR6_PS | CSR6_SR);
	make_frame(frame, sizeof(frame), dst, 1);
	assert_true(bench_offer(b, frame, 60));
	assert_int_equal(mem32(b, RX), DES0_OWN);
	assert_int_equal(b->dec.stats.rx_filtered, 1);
	/* Receive all: it says which are not for this address. */
	set_csr(b, 6, CSR6_PS | CSR6_SR | CSR6_RA);
	assert_true(bench_offer(b, frame, 60));
	assert_int_equal(mem32(b, RX), RDES0_FF | CLOSED | RDES0_FT | RDES0_FL(64));
	memset(frame, 0, 6);
	assert_true(bench_offer(b, frame, 60));
	assert_int_equal(mem32(b, RX + 16), CLOSED | RDES0_FT | RDES0_FL(64));
	/* Off, another port, no link, loop-back: nothing comes in. */
	set_csr(b, 6, MODE);
	assert_true(bench_offer(b, frame, 60));
	set_csr(b, 6, CSR6_SR | CSR6_PR);
	assert_true(bench_offer(b, frame, 60));
	set_csr(b, 6, MODE | CSR6_SR | CSR6_PCS);
	assert_true(bench_offer(b, frame, 60));
	set_csr(b, 6, MODE | CSR6_SR | CSR6_OM_INT);
	assert_true(bench_offer(b, frame, 60));
	set_csr(b, 6, MODE | CSR6_SR);
	b->net.link = false;
	assert_true(bench_offer(b, frame, 60));
	assert_int_equal(mem32(b, RX + 32), DES0_OWN);
	assert_int_equal(b->dec.stats.rx_missed, 0);
}

static void rx_unavailable(void **state)
{
	struct bench *b = *state;
	uint8_t frame[100];

	make_frame(frame, sizeof(frame), dst, 1);
	rx_ring(b, 2, 1536);
	rx_on(b);
	bench_offer(b, frame, 100);
	assert_int_equal(events(b), CSR5_RI);
	bench_offer(b, frame, 100);
	assert_int_equal(events(b), CSR5_RI | CSR5_RU); /* with the one that took the last */
	assert_int_equal(csr(b, 5) & CSR5_RS, CSR5_RS_SUSPENDED);
	clear_events(b);
	/* Held, not missed; RU is shown once. */
	frame[50] = 0xaa;
	assert_false(bench_offer(b, frame, 100));
	assert_int_equal(events(b), 0);
	assert_int_equal(csr(b, 8), 0xe0000000);
	/* A poll demand without a descriptor shows RU again, with one takes the frame. */
	set_csr(b, 2, 0);
	assert_int_equal(events(b), CSR5_RU);
	assert_int_equal(b->ready, 0);
	clear_events(b);
	set_mem32(b, RX, DES0_OWN);
	set_mem32(b, RX + 16, DES0_OWN);
	set_csr(b, 2, 0);
	assert_int_equal(b->ready, 1);
	assert_int_equal(events(b), CSR5_RI);
	assert_int_equal(b->mem[RBUF + 50], 0xaa);
	assert_int_equal(csr(b, 5) & CSR5_RS, CSR5_RS_WAIT);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
}

/* Without a demand the next frame resumes reception, or what the driver does to CSR5 and CSR7. */
static void rx_resumes(void **state)
{
	struct bench *b = *state;
	uint8_t frame[100];

	make_frame(frame, sizeof(frame), dst, 1);
	rx_ring(b, 1, 1536);
	rx_on(b);
	bench_offer(b, frame, 100);
	set_mem32(b, RX, DES0_OWN);
	assert_true(bench_offer(b, frame, 100));
	for (unsigned int n = 5; n <= 7; n += 2) {
		assert_false(bench_offer(b, frame, 100));
		set_csr(b, n, 0);
		assert_int_equal(b->kept_len, 100);
		set_mem32(b, RX, DES0_OWN);
		set_csr(b, n, 0);
		assert_int_equal(b->kept_len, 0);
		assert_int_equal(mem32(b, RX) & DES0_OWN, 0);
	}
	assert_int_equal(b->dec.stats.rx_frames, 4);
}

static void rx_missed(void **state)
{
	struct bench *b = *state;
	uint8_t frame[100];

	make_frame(frame, sizeof(frame), dst, 1);
	rx_on(b);
	assert_false(bench_offer(b, frame, 100));
	fakeclock_advance(&b->clock, DEC21140_HOLD_NS - 1);
	assert_int_equal(b->ready, 0);
	fakeclock_advance(&b->clock, 1);
	assert_int_equal(b->ready, 1);
	assert_int_equal(b->kept_len, 0);
	assert_int_equal(csr(b, 8), 0xe0000001);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(bench_offer(b, frame, 100));
	assert_int_equal(csr(b, 8), 0xe0000005);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
	/* One descriptor, and all is as it was. */
	rx_ring(b, 1, 1536);
	assert_true(bench_offer(b, frame, 100));
	assert_false(bench_offer(b, frame, 100));
	assert_int_equal(csr(b, 8), 0xe0000000);
}

/* A frame that is kept while the receiver is stopped is lost: the cable does not wait. */
static void rx_stop_releases(void **state)
{
	struct bench *b = *state;
	uint8_t frame[100];

	make_frame(frame, sizeof(frame), dst, 1);
	rx_on(b);
	assert_false(bench_offer(b, frame, 100));
	set_csr(b, 6, MODE);
	assert_int_equal(b->ready, 1);
	assert_int_equal(b->kept_len, 0);
	rx_on(b);
	assert_false(bench_offer(b, frame, 100));
	set_csr(b, 0, CSR0_SWR);
	assert_int_equal(b->kept_len, 0);
	set_csr(b, 0, 0);
	set_csr(b, 6, MODE | CSR6_SR);
	assert_false(bench_offer(b, frame, 100));
	dec21140_reset(&b->dec);
	assert_int_equal(b->kept_len, 0);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
}

/* Loop-back */

static void loop_back(void **state)
{
	struct bench *b = *state;

	make_frame(b->mem + BUF, 200, dst, 4);
	rx_ring(b, 8, 1536);
	set_csr(b, 6, MODE | CSR6_OM_INT | CSR6_SR | CSR6_ST);
	set_desc(b, TX, DES0_OWN, WHOLE | 200, BUF, 0);
	poll_demand(b);
	assert_int_equal(b->sent_n, 0);
	assert_int_equal(mem32(b, RX), CLOSED | RDES0_FT | RDES0_DT_INT | RDES0_FL(204));
	assert_memory_equal(b->mem + RBUF, b->mem + BUF, 200);
	set_csr(b, 6, MODE | CSR6_OM_EXT | CSR6_SR | CSR6_ST);
	set_desc(b, TX + 16, DES0_OWN, WHOLE | 200, BUF, 0);
	poll_demand(b);
	assert_int_equal(b->sent_n, 1);
	assert_int_equal(mem32(b, RX + 16), CLOSED | RDES0_FT | RDES0_DT_EXT | RDES0_FL(204));
	/* Runts come back only with PB, frames for others not at all. */
	set_csr(b, 6, MODE | CSR6_OM_INT | CSR6_SR | CSR6_ST);
	set_desc(b, TX + 32, DES0_OWN, WHOLE | TDES1_DPD | 30, BUF, 0);
	poll_demand(b);
	assert_int_equal(mem32(b, RX + 32), DES0_OWN);
	set_csr(b, 6, MODE | CSR6_OM_INT | CSR6_SR | CSR6_ST | CSR6_PB);
	set_desc(b, TX + 48, DES0_OWN, WHOLE | TDES1_DPD | 30, BUF, 0);
	poll_demand(b);
	assert_int_equal(mem32(b, RX + 32),
			 CLOSED | RDES0_FT | RDES0_DT_INT | RDES0_RF | RDES0_ES | RDES0_FL(34));
	set_csr(b, 6, (MODE & ~CSR6_PR) | CSR6_OM_INT | CSR6_SR | CSR6_ST);
	set_desc(b, TX + 64, DES0_OWN, WHOLE | 200, BUF, 0);
	poll_demand(b);
	assert_int_equal(mem32(b, RX + 48), DES0_OWN);
}

static void loop_back_missed(void **state)
{
	struct bench *b = *state;

	set_csr(b, 6, MODE | CSR6_OM_INT | CSR6_SR | CSR6_ST);
	set_desc(b, TX, DES0_OWN, WHOLE | 200, BUF, 0);
	poll_demand(b);
	assert_int_equal(csr(b, 8), 0xe0000001);
	assert_int_equal(mem32(b, TX), 0);
}

static void phy_loop_back(void **state)
{
	struct bench *b = *state;

	make_frame(b->mem + BUF, 200, dst, 4);
	rx_ring(b, 2, 1536);
	b->dec.phy.bmcr |= 0x4000;
	set_csr(b, 6, MODE | CSR6_SR | CSR6_ST);
	set_desc(b, TX, DES0_OWN, WHOLE | 200, BUF, 0);
	poll_demand(b);
	assert_int_equal(b->sent_n, 0);
	assert_int_equal(mem32(b, RX), CLOSED | RDES0_FT | RDES0_FL(204));
	set_csr(b, 6, (MODE & ~CSR6_FD) | CSR6_SR | CSR6_ST);
	set_desc(b, TX + 16, DES0_OWN, WHOLE | 200, BUF, 0);
	poll_demand(b);
	assert_int_equal(mem32(b, RX + 16), DES0_OWN);
	assert_int_equal(mem32(b, TX + 16), 0);
}

/* A back end may answer a frame while it is being sent, as a router in the process does. */
static void answer(struct bench *b)
{
	uint8_t frame[80];

	make_frame(frame, sizeof(frame), dst, (uint8_t)b->sent_n);
	bench_offer(b, frame, sizeof(frame));
}

static void rx_within_tx(void **state)
{
	struct bench *b = *state;

	b->on_transmit = answer;
	rx_ring(b, 2, 1536);
	for (unsigned int i = 0; i < 3; i++)
		set_desc(b, TX + 16 * i, DES0_OWN, WHOLE | 60, BUF, 0);
	set_csr(b, 6, MODE | CSR6_SR | CSR6_ST);
	assert_int_equal(b->sent_n, 3);
	assert_int_equal(b->dec.stats.rx_frames, 2);
	assert_int_equal(b->kept_len, 80);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(mem32(b, TX + 16 * i), 0);
}

/* The bus */

static void no_mastership(void **state)
{
	struct bench *b = *state;
	uint8_t frame[60];

	make_frame(frame, sizeof(frame), dst, 1);
	pci_function_write(&b->dec.fn, PCI_COMMAND, 2, PCI_COMMAND_IO);
	rx_ring(b, 2, 1536);
	set_desc(b, TX, DES0_OWN, WHOLE | 60, BUF, 0);
	set_csr(b, 6, MODE | CSR6_SR | CSR6_ST);
	assert_int_equal(csr(b, 5), 0xfc000000 | CSR5_RS_WAIT | CSR5_TS_FETCH);
	assert_true(bench_offer(b, frame, 60));
	assert_int_equal(b->sent_n, 0);
	assert_int_equal(mem32(b, RX), DES0_OWN);
	assert_int_equal(csr(b, 8), 0xe0020000); /* the FIFO overflowed */
	b->dec.foc = CSR8_FOC;
	bench_offer(b, frame, 60);
	assert_int_equal(csr(b, 8), 0xf0000000);
	pci_function_write(&b->dec.fn, PCI_COMMAND, 1, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	assert_int_equal(b->sent_n, 1);
	assert_true(bench_offer(b, frame, 60));
	assert_int_equal(mem32(b, RX) & DES0_OWN, 0);
}

static void check_fatal(struct bench *b)
{
	assert_int_equal(csr(b, 5) & (CSR5_FBE | CSR5_EB | CSR5_TS | CSR5_RS),
			 CSR5_FBE | CSR5_EB_MABT);
	assert_int_equal(pci_function_read(&b->dec.fn, PCI_STATUS, 2), 0x2280);
	pci_function_write(&b->dec.fn, PCI_STATUS, 2, 0x2000);
	assert_int_equal(pci_function_read(&b->dec.fn, PCI_STATUS, 2), 0x0280);
	/* Off the bus until it is reset */
	clear_events(b);
	set_csr(b, 6, MODE);
	set_csr(b, 3, RX);
	set_csr(b, 4, TX);
	set_desc(b, TX, DES0_OWN, WHOLE | 60, BUF, 0);
	set_csr(b, 6, MODE | CSR6_SR | CSR6_ST);
	assert_int_equal(mem32(b, TX), DES0_OWN);
	assert_int_equal(csr(b, 5) & (CSR5_EVENTS | CSR5_TS | CSR5_RS), 0);
	b->sent_n = 0;
	set_csr(b, 0, CSR0_SWR);
	set_csr(b, 0, 0);
	set_csr(b, 4, TX);
	set_csr(b, 6, MODE | CSR6_ST);
	assert_int_equal(b->sent_n, 1);
	set_csr(b, 6, MODE);
	clear_events(b);
}

/* Every access of the part that can go where there is nothing. */
static void bus_errors(void **state)
{
	struct bench *b = *state;
	const uint32_t gone = 0xfff00000;
	uint8_t frame[600];

	make_frame(frame, sizeof(frame), dst, 1);
	set_csr(b, 4, gone);
	tx_on(b);
	check_fatal(b);
	set_csr(b, 3, gone);
	rx_on(b);
	check_fatal(b);
	/* Transmit buffers, whole and in part, a setup frame, the next descriptor, the last status */
	set_csr(b, 4, TX);
	set_desc(b, TX, DES0_OWN, WHOLE | 60, gone, 0);
	tx_on(b);
	check_fatal(b);
	set_csr(b, 4, TX);
	set_desc(b, TX, DES0_OWN, WHOLE | 2000, BENCH_MEM - 1000, 0);
	tx_on(b);
	check_fatal(b);
	set_csr(b, 4, TX);
	set_desc(b, TX, DES0_OWN, WHOLE | 60 << 11 | 60, BUF, 0xfffffff0);
	tx_on(b);
	check_fatal(b);
	set_csr(b, 4, TX);
	set_desc(b, TX, DES0_OWN, TDES1_SET | SETUP_SIZE, gone, 0);
	tx_on(b);
	check_fatal(b);
	set_csr(b, 4, TX);
	set_desc(b, TX, DES0_OWN, TDES1_FS | DES1_CHAIN | 60, BUF, gone);
	tx_on(b);
	check_fatal(b);
	set_desc(b, BENCH_ROM, DES0_OWN, WHOLE | 60, BUF, 0); /* cannot be written */
	set_csr(b, 4, BENCH_ROM);
	tx_on(b);
	check_fatal(b);
	/* Receive buffers, the next descriptor, the status */
	set_csr(b, 3, RX);
	set_desc(b, RX, DES0_OWN, 1536, gone, 0);
	rx_on(b);
	assert_true(bench_offer(b, frame, 600));
	check_fatal(b);
	set_csr(b, 3, RX);
	set_desc(b, RX, DES0_OWN, DES1_CHAIN | 60, RBUF, gone);
	rx_on(b);
	assert_true(bench_offer(b, frame, 600));
	check_fatal(b);
	set_csr(b, 3, BENCH_ROM);
	set_desc(b, BENCH_ROM, DES0_OWN, 1536, RBUF, 0);
	set_csr(b, 6, MODE | CSR6_SR);
	assert_true(bench_offer(b, frame, 600));
	check_fatal(b);
	assert_int_equal(b->dec.stats.bus_errors, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(tx_one, setup),
		cmocka_unit_test_setup(tx_without_interrupt, setup),
		cmocka_unit_test_setup(tx_two_buffers_and_three_descriptors, setup),
		cmocka_unit_test_setup(tx_lists, setup),
		cmocka_unit_test_setup(tx_padding, setup),
		cmocka_unit_test_setup(tx_own_fcs, setup),
		cmocka_unit_test_setup(tx_suspends_and_resumes, setup),
		cmocka_unit_test_setup(tx_automatic_polling, setup),
		cmocka_unit_test_setup(tx_underflow, setup),
		cmocka_unit_test_setup(tx_too_many_descriptors, setup),
		cmocka_unit_test_setup(tx_endless_ring, setup),
		cmocka_unit_test_setup(tx_burst_goes_on, setup),
		cmocka_unit_test_setup(tx_answered, setup),
		cmocka_unit_test_setup(tx_jabber, setup),
		cmocka_unit_test_setup(tx_leaving, setup),
		cmocka_unit_test_setup(tx_carrier, setup),
		cmocka_unit_test_setup(tx_from_rom, setup),
		cmocka_unit_test_setup(big_endian, setup),
		cmocka_unit_test_setup(rx_one, setup),
		cmocka_unit_test_setup(rx_status_bits, setup),
		cmocka_unit_test_setup(rx_over_descriptors, setup),
		cmocka_unit_test_setup(rx_exact_fit, setup),
		cmocka_unit_test_setup(rx_descriptor_error, setup),
		cmocka_unit_test_setup(rx_own_successor, setup),
		cmocka_unit_test_setup(rx_filters, setup),
		cmocka_unit_test_setup(rx_unavailable, setup),
		cmocka_unit_test_setup(rx_resumes, setup),
		cmocka_unit_test_setup(rx_missed, setup),
		cmocka_unit_test_setup(rx_stop_releases, setup),
		cmocka_unit_test_setup(loop_back, setup),
		cmocka_unit_test_setup(loop_back_missed, setup),
		cmocka_unit_test_setup(phy_loop_back, setup),
		cmocka_unit_test_setup(rx_within_tx, setup),
		cmocka_unit_test_setup(no_mastership, setup),
		cmocka_unit_test_setup(bus_errors, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
