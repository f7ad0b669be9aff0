// SPDX-License-Identifier: GPL-2.0-only
/* The 21140A: descriptors, and the transmit and receive processes (manual 4.2 and 4.3). */
#include <string.h>
#include "worker/devices/dec21140_regs.h"

#define PAGE	  4096u
#define DESC_SIZE 16u

/* Each descriptor has two buffers, and each of these is in at most two pieces; and the padding. */
#define TX_PIECES (DEC21140_FRAME_DESCS * 4 + 1)

enum fetch {
	FETCH_OURS,
	FETCH_HOST, /* the guest's */
	FETCH_ERROR,
};

/* A frame on its way out of memory. */
struct tx_frame {
	struct iovec iov[TX_PIECES];
	unsigned int iovs;
	size_t len;
	uint32_t desc[DEC21140_FRAME_DESCS]; /* addresses, to be closed, */
	uint32_t *mem[DEC21140_FRAME_DESCS]; /* and mapped */
	unsigned int descs;
	uint32_t first, last; /* TDES1 of the first and last descriptor */
	size_t bounced;	      /* bytes of dec->bounce */
	bool underflow;	      /* there is no more of it in time */
	bool unavailable;     /* because a descriptor is not there */
};

/* Descriptors */

static uint32_t desc_order(const struct dec21140 *dec, uint32_t val)
{
	return dec->csr0 & CSR0_DBO ? __builtin_bswap32(val) : val;
}

static enum fetch fetch_copy(struct dec21140 *dec, uint32_t addr, uint32_t raw[4])
{
	return dma_read(dec->dma, addr, raw, DESC_SIZE) ? FETCH_OURS : FETCH_ERROR;
}

/* Guests set OWN last: the rest may be looked at only once it has been seen. */
static enum fetch fetch_mapped(struct dec21140 *dec, const uint32_t *mem, uint32_t raw[4])
{
	raw[0] = __atomic_load_n(&mem[0], __ATOMIC_ACQUIRE);
	if (!(desc_order(dec, raw[0]) & DES0_OWN))
		return FETCH_HOST;
	for (unsigned int i = 1; i < 4; i++)
		raw[i] = __atomic_load_n(&mem[i], __ATOMIC_RELAXED);
	return FETCH_OURS;
}

/* Read the descriptor at @addr, each longword once. */
static enum fetch fetch(struct dec21140 *dec, uint32_t addr, struct dec21140_desc *desc)
{
	uint32_t *mem = dma_map(dec->dma, addr, DESC_SIZE);
	uint32_t raw[4];
	enum fetch got;

	got = mem ? fetch_mapped(dec, mem, raw) : fetch_copy(dec, addr, raw);
	if (got != FETCH_OURS)
		return got;
	desc->addr = addr;
	desc->mem = mem;
	for (unsigned int i = 0; i < 4; i++)
		desc->des[i] = desc_order(dec, raw[i]);
	return desc->des[0] & DES0_OWN ? FETCH_OURS : FETCH_HOST;
}

/* Give a descriptor back; what was done to its buffers is visible before that. */
static bool close_desc(struct dec21140 *dec, uint32_t addr, uint32_t *mem, uint32_t status)
{
	status = desc_order(dec, status);
	if (!mem)
		return dma_write(dec->dma, addr, &status, sizeof(status));
	__atomic_store_n(mem, status, __ATOMIC_RELEASE);
	return true;
}

/* The end of a ring goes before a chain. */
static uint32_t next_desc(const struct dec21140 *dec, const struct dec21140_desc *desc,
			  uint32_t base)
{
	if (desc->des[1] & DES1_RING)
		return base;
	if (desc->des[1] & DES1_CHAIN)
		return desc->des[3] & ~3u;
	return desc->addr + DESC_SIZE + 4 * CSR0_DSL(dec->csr0);
}

/* Transmission */

static void add_piece(struct tx_frame *f, void *base, size_t len)
{
	f->iov[f->iovs++] = (struct iovec){ .iov_base = base, .iov_len = len };
	f->len += len;
}

/* Take a copy of what cannot be mapped. False: a bus error. */
static bool add_copy(struct dec21140 *dec, struct tx_frame *f, uint32_t addr, size_t len)
{
	uint8_t *to = dec->bounce + f->bounced;

	if (len > sizeof(dec->bounce) - f->bounced) {
		f->underflow = true;
		return true;
	}
	if (!dma_read(dec->dma, addr, to, len))
		return false;
	f->bounced += len;
	add_piece(f, to, len);
	return true;
}

/* A big-endian buffer has the bytes of each longword the other way round (CSR0.BLE). */
static bool add_swapped(struct dec21140 *dec, struct tx_frame *f, uint32_t addr, size_t len)
{
	uint8_t *to = dec->bounce + f->bounced;
	uint8_t word[4];

	if (len > sizeof(dec->bounce) - f->bounced) {
		f->underflow = true;
		return true;
	}
	for (size_t i = 0; i < len; i++) {
		uint32_t at = addr + (uint32_t)i;

		if ((i == 0 || at % 4 == 0) && !dma_read(dec->dma, at & ~3u, word, sizeof(word)))
			return false;
		to[i] = word[3 - at % 4];
	}
	f->bounced += len;
	add_piece(f, to, len);
	return true;
}

/* Within a page or not, but in one piece of memory or copied. */
static bool add_part(struct dec21140 *dec, struct tx_frame *f, uint32_t addr, size_t len)
{
	void *mem = dma_map(dec->dma, addr, len);

	if (!mem)
		return add_copy(dec, f, addr, len);
	add_piece(f, mem, len);
	return true;
}

static bool add_buffer(struct dec21140 *dec, struct tx_frame *f, uint32_t addr, size_t len)
{
	size_t in_page = PAGE - addr % PAGE;
	void *mem;

	if (!len)
		return true;
	if (dec->csr0 & CSR0_BLE)
		return add_swapped(dec, f, addr, len);
	mem = (uint64_t)addr + len <= 1ull << 32 ? dma_map(dec->dma, addr, len) : NULL;
	if (mem) {
		add_piece(f, mem, len);
		return true;
	}
	if (len <= in_page)
		return add_copy(dec, f, addr, len);
	return add_part(dec, f, addr, in_page) &&
	       add_part(dec, f, addr + (uint32_t)in_page, len - in_page);
}

static bool add_desc(struct dec21140 *dec, struct tx_frame *f, const struct dec21140_desc *desc)
{
	uint32_t des1 = desc->des[1];

	f->desc[f->descs] = desc->addr;
	f->mem[f->descs++] = desc->mem;
	f->last = des1;
	if (!add_buffer(dec, f, desc->des[2], DES1_BS1(des1)))
		return false;
	return des1 & DES1_CHAIN || add_buffer(dec, f, desc->des[3], DES1_BS2(des1));
}

/*
 * Collect the frame that @desc starts, up to its last descriptor or to where it breaks off; dec->
 * tx_desc is what follows it. False: a bus error.
 */
static bool gather(struct dec21140 *dec, struct tx_frame *f, struct dec21140_desc *desc)
{
	f->first = desc->des[1];
	for (;;) {
		if (!add_desc(dec, f, desc))
			return false;
		dec->tx_desc = next_desc(dec, desc, dec->csr4);
		if (f->last & TDES1_LS || f->underflow)
			return true;
		if (f->descs == DEC21140_FRAME_DESCS) {
			f->underflow = true;
			return true;
		}
		switch (fetch(dec, dec->tx_desc, desc)) {
		case FETCH_ERROR:
			return false;
		case FETCH_HOST:
			f->unavailable = true;
			f->underflow = true;
			return true;
		case FETCH_OURS:
			break;
		}
		if (desc->des[1] & (TDES1_SET | TDES1_FS)) {
			f->underflow = true;
			return true;
		}
	}
}

/* Make the frame @len bytes long, at most what it has. */
static void shorten(struct tx_frame *f, size_t len)
{
	while (f->len > len) {
		struct iovec *last = &f->iov[f->iovs - 1];
		size_t cut = f->len - len;

		if (cut < last->iov_len) {
			last->iov_len -= cut;
			f->len -= cut;
		} else {
			f->len -= last->iov_len;
			f->iovs--;
		}
	}
}

static void copy_out(const struct tx_frame *f, size_t from, size_t len, uint8_t *to)
{
	for (unsigned int i = 0; i < f->iovs && len; i++) {
		size_t have = f->iov[i].iov_len, n;

		if (from >= have) {
			from -= have;
			continue;
		}
		n = have - from < len ? have - from : len;
		memcpy(to, (const uint8_t *)f->iov[i].iov_base + from, n);
		to += n;
		len -= n;
		from = 0;
	}
}

/* The guest brought its own FCS: check it, as every receiver would, and take it off. */
static bool take_fcs(const struct dec21140 *dec, struct tx_frame *f)
{
	uint32_t crc = 0, fcs = 0;

	if (f->len <= ETHER_FCS)
		return false;
	copy_out(f, f->len - ETHER_FCS, ETHER_FCS, (uint8_t *)&fcs);
	shorten(f, f->len - ETHER_FCS);
	for (unsigned int i = 0; i < f->iovs; i++)
		crc = dec21140_crc(dec, crc, f->iov[i].iov_base, f->iov[i].iov_len);
	return crc == fcs;
}

/*
 * What the part puts before the FCS, which the cable of net.h doesn't carry: padding to the minimum
 * unless DPD, after which it appends an FCS in spite of AC (TDES1<23>). False: no receiver would
 * take the result for a frame.
 */
static bool frame_for_cable(const struct dec21140 *dec, struct tx_frame *f)
{
	static const uint8_t zeroes[ETHER_MIN];
	size_t fcs = f->first & TDES1_AC ? 0 : ETHER_FCS;

	if (!(f->first & TDES1_DPD) && f->len + fcs < ETHER_MIN + ETHER_FCS) {
		if (f->len < ETHER_MIN)
			add_piece(f, (void *)zeroes, ETHER_MIN - f->len);
		return true;
	}
	if (f->first & TDES1_AC && !take_fcs(dec, f))
		return false;
	return f->len >= ETHER_HEADER && f->len <= NET_FRAME_MAX;
}

static bool rx_deliver(struct dec21140 *dec, const uint8_t *frame, size_t len, uint32_t type);

/* A frame comes back to the receiver, which nothing can keep waiting. */
static void loop_back(struct dec21140 *dec, const struct tx_frame *f, uint32_t type)
{
	size_t len = f->len < sizeof(dec->loop) ? f->len : sizeof(dec->loop);

	if (dec->rx == DEC21140_STOPPED)
		return;
	copy_out(f, 0, len, dec->loop);
	if (!rx_deliver(dec, dec->loop, len, type))
		dec21140_missed(dec);
}

/* To the cable. False: there is none. */
static bool send_out(struct dec21140 *dec, const struct tx_frame *f)
{
	if (!dec21140_mii_selected(dec) || !dec21140_phy_up(dec))
		return false;
	dec->stats.tx_frames++;
	dec->stats.tx_bytes += f->len;
	dec->tx_left = dev_now(dec->clk) + (f->len + ETHER_OVERHEAD) * ETHER_BYTE_NS;
	net_transmit(dec->net, NULL, f->iov, f->iovs);
	return true;
}

/* To the PHY. Returns the status for TDES0. */
static uint32_t send_normally(struct dec21140 *dec, const struct tx_frame *f)
{
	if (send_out(dec, f))
		return 0;
	if (dec21140_mii_selected(dec) && dec21140_phy_loops(dec)) {
		/* With half duplex the receiver doesn't hear what the part sends. */
		if (dec->csr6 & CSR6_FD)
			loop_back(dec, f, 0);
		return 0;
	}
	dec->stats.tx_dropped++;
	/* With full duplex nobody looks for a carrier. */
	return dec->csr6 & CSR6_FD ? 0 : TDES0_LO | TDES0_NC | TDES0_ES;
}

/* Internal loop-back ends before the port; external includes it, and the cable hears it. */
static uint32_t send(struct dec21140 *dec, const struct tx_frame *f)
{
	switch (dec->csr6 & CSR6_OM) {
	case 0:
		return send_normally(dec, f);
	case CSR6_OM_INT:
		loop_back(dec, f, RDES0_DT_INT);
		return 0;
	default:
		send_out(dec, f);
		loop_back(dec, f, RDES0_DT_EXT);
		return 0;
	}
}

/* The process stops, or is suspended by an error, until software has it go on. */
static void tx_halt(struct dec21140 *dec, enum dec21140_process state)
{
	dec->tx = state;
	dec->tx_leaving = false;
	dev_cancel(dec->clk, &dec->tx_timer);
}

static size_t jabber_limit(const struct dec21140 *dec)
{
	if (dec->csr15 & CSR15_JBD)
		return SIZE_MAX;
	return dec->csr15 & CSR15_JCK ? TX_JABBER_JCK : TX_JABBER_MAX;
}

/* Send what was gathered. Returns TDES0 of its last descriptor; @events for CSR5. */
static uint32_t finish(struct dec21140 *dec, struct tx_frame *f, uint32_t *events)
{
	*events = f->last & TDES1_IC && f->last & TDES1_LS ? CSR5_TI : CSR5_ETI;
	if (f->underflow) {
		dec->stats.tx_dropped++;
		tx_halt(dec, DEC21140_SUSPENDED);
		*events = CSR5_UNF | (f->unavailable ? CSR5_TU : 0);
		return TDES0_UF | TDES0_ES;
	}
	if (f->len > jabber_limit(dec)) {
		dec->stats.tx_dropped++;
		tx_halt(dec, DEC21140_STOPPED);
		*events = CSR5_TJT | CSR5_TPS;
		return TDES0_TO | TDES0_ES;
	}
	if (!frame_for_cable(dec, f)) {
		dec->stats.tx_dropped++;
		return 0;
	}
	return send(dec, f);
}

/* Only when all of a frame is out of memory are its descriptors given back. */
static bool close_frame(struct dec21140 *dec, const struct tx_frame *f, uint32_t status)
{
	for (unsigned int i = 0; i + 1 < f->descs; i++)
		if (!close_desc(dec, f->desc[i], f->mem[i], 0))
			return false;
	return close_desc(dec, f->desc[f->descs - 1], f->mem[f->descs - 1], status);
}

static unsigned int tx_frame(struct dec21140 *dec, struct dec21140_desc *desc)
{
	struct tx_frame f;
	uint32_t events, status;

	f.iovs = 0;
	f.len = 0;
	f.descs = 0;
	f.bounced = 0;
	f.underflow = false;
	f.unavailable = false;
	if (!gather(dec, &f, desc)) {
		dec21140_bus_error(dec);
		return f.descs;
	}
	status = finish(dec, &f, &events);
	/* The receiver, when the frame came back to it, may have met a bus error. */
	if (dec->halted)
		return f.descs;
	if (!close_frame(dec, &f, status))
		dec21140_bus_error(dec);
	else
		dec21140_event(dec, events);
	return f.descs;
}

static void tx_setup(struct dec21140 *dec, const struct dec21140_desc *desc)
{
	uint8_t setup[SETUP_SIZE];

	dec->tx_desc = next_desc(dec, desc, dec->csr4);
	/* Any other length is undefined: the filter stays. */
	if (DES1_BS1(desc->des[1]) == SETUP_SIZE) {
		if (!dma_read(dec->dma, desc->des[2], setup, sizeof(setup))) {
			dec21140_bus_error(dec);
			return;
		}
		dec21140_setup(dec, setup, desc->des[1]);
		dec->stats.setup_frames++;
	}
	if (!close_desc(dec, desc->addr, desc->mem, SETUP_CLOSED))
		dec21140_bus_error(dec);
	else if (desc->des[1] & TDES1_IC)
		dec21140_event(dec, CSR5_TI);
}

/* Drivers put descriptors with no part of a frame in the ring: they are only given back. */
static void tx_skip(struct dec21140 *dec, const struct dec21140_desc *desc)
{
	dec->tx_desc = next_desc(dec, desc, dec->csr4);
	if (!close_desc(dec, desc->addr, desc->mem, 0))
		dec21140_bus_error(dec);
}

static uint64_t tap_interval(const struct dec21140 *dec)
{
	/* CSR0 table: in ns at the serial port's 10 Mbit/s; by MII at 100, 0.4 of that, at 10, 4 */
	static const uint32_t serial[] = {
		0, 200000, 800000, 1600000, 12800, 25600, 51200, 102400
	};
	uint64_t ns = serial[CSR0_TAP(dec->csr0)];

	if (dec->csr6 & CSR6_PS)
		ns = dec->csr6 & CSR6_TTM ? ns * 4 : ns * 2 / 5;
	return ns && ns < DEC21140_TAP_MIN_NS ? DEC21140_TAP_MIN_NS : ns;
}

static void tx_suspend(struct dec21140 *dec)
{
	uint64_t tap = tap_interval(dec);

	tx_halt(dec, DEC21140_SUSPENDED);
	if (tap)
		dev_arm(dec->clk, &dec->tx_timer, dev_now(dec->clk) + tap);
}

/* The list is empty. The part looks when the last frame has left it, or a poll demand comes. */
static void tx_exhausted(struct dec21140 *dec)
{
	if (dev_now(dec->clk) < dec->tx_left) {
		dec->tx_leaving = true;
		if (!dec->tx_timer.armed || dec->tx_timer.deadline > dec->tx_left)
			dev_arm(dec->clk, &dec->tx_timer, dec->tx_left);
		return;
	}
	tx_suspend(dec);
	dec21140_event(dec, CSR5_TU);
}

/* One frame, or whatever the next descriptor is. Returns how many descriptors it took. */
static unsigned int tx_one(struct dec21140 *dec)
{
	struct dec21140_desc desc;

	switch (fetch(dec, dec->tx_desc, &desc)) {
	case FETCH_ERROR:
		dec21140_bus_error(dec);
		return 1;
	case FETCH_HOST:
		tx_exhausted(dec);
		return 1;
	case FETCH_OURS:
		break;
	}
	if (desc.des[1] & TDES1_SET) {
		tx_setup(dec, &desc);
		return 1;
	}
	if (!(desc.des[1] & TDES1_FS)) {
		tx_skip(dec, &desc);
		return 1;
	}
	return tx_frame(dec, &desc);
}

/* A guest that fills its ring as fast as it is emptied must not keep the lock for ever. */
static void tx_run(struct dec21140 *dec)
{
	uint64_t sent = dec->stats.tx_frames;
	unsigned int done = 0;

	if (!dec21140_master(dec))
		return;
	dec->tx_leaving = false;
	while (dec->tx == DEC21140_RUNNING && !dec->tx_leaving && done < DEC21140_TX_BURST)
		done += tx_one(dec);
	if (dec->tx == DEC21140_RUNNING && !dec->tx_leaving)
		dev_arm(dec->clk, &dec->tx_timer, dev_now(dec->clk));
	if (dec->stats.tx_frames != sent)
		net_sent(dec->net);
}

void dec21140_tx_start(struct dec21140 *dec)
{
	if (dec->tx != DEC21140_STOPPED)
		return;
	dec->tx = DEC21140_RUNNING;
	tx_run(dec);
}

void dec21140_tx_stop(struct dec21140 *dec)
{
	if (dec->tx == DEC21140_STOPPED)
		return;
	tx_halt(dec, DEC21140_STOPPED);
	dec21140_event(dec, CSR5_TPS);
}

void dec21140_tx_poll(struct dec21140 *dec)
{
	if (dec->tx == DEC21140_STOPPED)
		return;
	/* A timer that is armed may stay: it finds out what there is to do. */
	dec->tx = DEC21140_RUNNING;
	tx_run(dec);
}

/*
 * Automatic polling, which unlike a demand shows nothing when there is nothing; the end of a frame;
 * or more to do.
 */
void dec21140_tx_fire(void *dev, uint64_t now)
{
	struct dec21140 *dec = dev;
	struct dec21140_desc desc;

	(void)now;
	if (!dec21140_master(dec))
		return;
	if (dec->tx == DEC21140_SUSPENDED && fetch(dec, dec->tx_desc, &desc) == FETCH_HOST)
		tx_suspend(dec);
	else
		dec21140_tx_poll(dec);
}

/* Reception */

void dec21140_missed(struct dec21140 *dec)
{
	dec->stats.rx_missed++;
	if ((dec->missed & CSR8_MFC) == CSR8_MFC)
		dec->missed = CSR8_MFO;
	else
		dec->missed++;
}

/* The part has no bus, and its FIFO is full: frames are lost as they come. */
static void overflowed(struct dec21140 *dec)
{
	dec->stats.rx_missed++;
	if ((dec->foc & CSR8_FOC) == CSR8_FOC)
		dec->foc = CSR8_OCO;
	else
		dec->foc += CSR8_FOC_UNIT;
}

/*
 * Have the next descriptor in rx_cur. If it is the guest's the process is suspended, and RU shows it
 * once (CSR5<7>). False if there is none, or a bus error.
 */
static bool rx_fetch(struct dec21140 *dec)
{
	if (dec->rx_have)
		return true;
	if (!dec21140_master(dec))
		return false;
	switch (fetch(dec, dec->rx_desc, &dec->rx_cur)) {
	case FETCH_OURS:
		dec->rx_have = true;
		dec->rx = DEC21140_RUNNING;
		dec->rx_starved = false;
		return true;
	case FETCH_HOST:
		if (dec->rx == DEC21140_RUNNING) {
			dec->rx = DEC21140_SUSPENDED;
			dec21140_event(dec, CSR5_RU);
		}
		return false;
	default:
		dec21140_bus_error(dec);
		return false;
	}
}

/* The back end may offer what it has kept: there is a descriptor, or no sense in waiting. */
static void ask_back_end(struct dec21140 *dec)
{
	if (!dec->rx_refused)
		return;
	dec->rx_refused = false;
	dev_cancel(dec->clk, &dec->rx_timer);
	net_ready(dec->net);
}

static void rx_forget(struct dec21140 *dec)
{
	dec->rx = DEC21140_STOPPED;
	dec->rx_have = false;
	dec->rx_starved = false;
	dev_cancel(dec->clk, &dec->rx_timer);
}

void dec21140_rx_start(struct dec21140 *dec)
{
	if (dec->rx != DEC21140_STOPPED)
		return;
	dec->rx = DEC21140_RUNNING;
	rx_fetch(dec);
}

void dec21140_rx_stop(struct dec21140 *dec)
{
	if (dec->rx == DEC21140_STOPPED)
		return;
	rx_forget(dec);
	dec21140_event(dec, CSR5_RPS);
	ask_back_end(dec);
}

void dec21140_rx_poll(struct dec21140 *dec)
{
	if (dec->rx == DEC21140_STOPPED)
		return;
	if (dec->rx == DEC21140_SUSPENDED)
		dec->rx = DEC21140_RUNNING;
	if (rx_fetch(dec) || dec->halted)
		ask_back_end(dec);
}

void dec21140_rx_retry(struct dec21140 *dec)
{
	if (dec->rx_refused && rx_fetch(dec))
		ask_back_end(dec);
}

static bool hold_over(const struct dec21140 *dec, uint64_t now)
{
	return now - dec->rx_starving >= DEC21140_HOLD_NS;
}

/* Look again soon, then less and less often. */
static void arm_retry(struct dec21140 *dec, uint64_t now)
{
	uint64_t next = now + DEC21140_RETRY_NS + (now - dec->rx_starving) / 8;
	uint64_t last = dec->rx_starving + DEC21140_HOLD_NS;

	dev_arm(dec->clk, &dec->rx_timer, next < last ? next : last);
}

void dec21140_rx_fire(void *dev, uint64_t now)
{
	struct dec21140 *dec = dev;

	if (!dec->rx_refused)
		return;
	if (rx_fetch(dec) || dec->halted || hold_over(dec, now))
		ask_back_end(dec);
	else
		arm_retry(dec, now);
}

/* No descriptor: false asks the back end to keep the frame for a while, true gives it up. */
static bool starve(struct dec21140 *dec)
{
	uint64_t now = dev_now(dec->clk);

	if (!dec->rx_starved) {
		dec->rx_starved = true;
		dec->rx_starving = now;
	}
	if (hold_over(dec, now)) {
		dec21140_missed(dec);
		return true;
	}
	dec->stats.rx_held++;
	dec->rx_refused = true;
	if (!dec->rx_timer.armed)
		arm_retry(dec, now);
	return false;
}

/* What goes into the buffers: the frame as received, its padding, and its FCS. */
struct rx_frame {
	const uint8_t *data;
	size_t len;   /* of data */
	size_t total; /* with padding and FCS */
	uint8_t tail[ETHER_MIN + ETHER_FCS];
	uint32_t status; /* RDES0 of the last descriptor */
};

static bool rx_write(struct dec21140 *dec, uint32_t addr, const uint8_t *from, size_t len)
{
	if (!(dec->csr0 & CSR0_BLE))
		return dma_write(dec->dma, addr, from, len);
	for (size_t i = 0; i < len; i++) {
		uint32_t at = addr + (uint32_t)i;

		if (!dma_write(dec->dma, (at & ~3u) + 3 - at % 4, &from[i], 1))
			return false;
	}
	return true;
}

/* Bytes [@from, @from + @len) of the frame to memory. */
static bool rx_copy(struct dec21140 *dec, const struct rx_frame *f, size_t from, uint32_t addr,
		    size_t len)
{
	size_t n = 0;

	if (from < f->len) {
		n = f->len - from < len ? f->len - from : len;
		if (!rx_write(dec, addr, f->data + from, n))
			return false;
	}
	return n == len ||
	       rx_write(dec, addr + (uint32_t)n, f->tail + (from + n - f->len), len - n);
}

/* Fill the buffers of rx_cur from byte *@done on. */
static bool rx_fill(struct dec21140 *dec, const struct rx_frame *f, size_t *done)
{
	const uint32_t *des = dec->rx_cur.des;
	size_t size[2] = { DES1_BS1(des[1]), des[1] & DES1_CHAIN ? 0 : DES1_BS2(des[1]) };

	for (unsigned int i = 0; i < 2; i++) {
		size_t n = f->total - *done < size[i] ? f->total - *done : size[i];

		if (n && !rx_copy(dec, f, *done, des[2 + i], n))
			return false;
		*done += n;
	}
	return true;
}

/* Give rx_cur back with @status and go on to the descriptor after it. */
static bool rx_close(struct dec21140 *dec, uint32_t status)
{
	dec->rx_desc = next_desc(dec, &dec->rx_cur, dec->csr3);
	dec->rx_have = false;
	return close_desc(dec, dec->rx_cur.addr, dec->rx_cur.mem, status);
}

static uint32_t rx_status(const struct dec21140 *dec, const uint8_t *frame, size_t total,
			  uint32_t type)
{
	uint32_t status = type;
	size_t len = total - ETHER_FCS;

	if (frame[0] & 1)
		status |= RDES0_MF;
	if (total > ETHER_LONG)
		status |= RDES0_TL;
	if (len < ETHER_MIN)
		status |= RDES0_RF;
	if (len >= ETHER_HEADER && (frame[12] << 8 | frame[13]) > 1500)
		status |= RDES0_FT;
	if (dec->csr6 & CSR6_RA && !dec21140_recognised(dec, frame))
		status |= RDES0_FF;
	return status;
}

/* @frame as the wire would bring it. */
static void rx_prepare(const struct dec21140 *dec, struct rx_frame *f, const uint8_t *frame,
		       size_t len, uint32_t type)
{
	size_t pad = !type && len < ETHER_MIN ? ETHER_MIN - len : 0;
	uint32_t crc;

	f->data = frame;
	f->len = len;
	f->total = len + pad + ETHER_FCS;
	if (pad)
		memset(f->tail, 0, pad);
	crc = dec21140_crc(dec, 0, frame, len);
	crc = dec21140_crc(dec, crc, f->tail, pad);
	memcpy(f->tail + pad, &crc, ETHER_FCS);
	f->status = rx_status(dec, frame, f->total, type);
	if (f->total > RX_WATCHDOG_MAX && !(dec->csr15 & CSR15_RWD)) {
		/* The watchdog cuts the line, and what follows with it (CSR15<4>, RDES0<4>). */
		f->total = RX_WATCHDOG_MAX;
		f->status |= RDES0_RW | RDES0_CE;
	}
}

/*
 * Put a frame into descriptors, the first of which has been fetched. One that does not fit into
 * those that are there ends with DE in the last of them.
 */
static void rx_store(struct dec21140 *dec, struct rx_frame *f)
{
	uint32_t flags = RDES0_FS, events = CSR5_RI;
	size_t done = 0;

	for (unsigned int descs = 1;; descs++) {
		struct dec21140_desc next;
		enum fetch got;

		if (!rx_fill(dec, f, &done))
			goto error;
		if (done == f->total)
			break;
		got = fetch(dec, next_desc(dec, &dec->rx_cur, dec->csr3), &next);
		if (got == FETCH_ERROR)
			goto error;
		if (got == FETCH_HOST || descs == DEC21140_FRAME_DESCS) {
			f->status |= RDES0_DE;
			break;
		}
		if (!rx_close(dec, flags))
			goto error;
		dec->rx_cur = next;
		dec->rx_desc = next.addr;
		dec->rx_have = true;
		flags = 0;
	}
	if (f->status & RDES0_RW)
		events |= CSR5_RWT;
	f->status |= flags | RDES0_LS | RDES0_FL(f->total);
	if (f->status & RDES0_ERRORS)
		f->status |= RDES0_ES;
	if (!rx_close(dec, f->status))
		goto error;
	dec->stats.rx_frames++;
	dec->stats.rx_bytes += f->total - ETHER_FCS;
	dec21140_event(dec, events);
	return;
error:
	dec21140_bus_error(dec);
}

/* Frames that the receiver does not pass on: for others, and runts, unless it is told to. */
static bool rx_filtered(const struct dec21140 *dec, const uint8_t *frame, size_t len, uint32_t type)
{
	if (len < 6)
		return true;
	if (type && len < ETHER_MIN && !(dec->csr6 & CSR6_PB))
		return true;
	return !(dec->csr6 & CSR6_RA) && !dec21140_recognised(dec, frame);
}

/* False: there is no descriptor for it. */
static bool rx_deliver(struct dec21140 *dec, const uint8_t *frame, size_t len, uint32_t type)
{
	struct rx_frame f;

	if (rx_filtered(dec, frame, len, type)) {
		dec->stats.rx_filtered++;
		return true;
	}
	if (!dec21140_master(dec)) {
		overflowed(dec);
		return true;
	}
	if (!rx_fetch(dec))
		return dec->halted;
	rx_prepare(dec, &f, frame, len, type);
	rx_store(dec, &f);
	/* The part then looks for the next one, so that RU comes with the frame that took the last. */
	if (!dec->halted)
		rx_fetch(dec);
	return true;
}

/* In loop-back the receiver hears only the part itself. */
static bool deaf(const struct dec21140 *dec)
{
	return dec->rx == DEC21140_STOPPED || dec->csr6 & CSR6_OM || !dec21140_mii_selected(dec) ||
	       !dec21140_phy_up(dec);
}

bool dec21140_receive(struct dec21140 *dec, const uint8_t *frame, size_t len)
{
	dec->rx_refused = false;
	if (deaf(dec)) {
		dec->stats.rx_filtered++;
		return true;
	}
	return rx_deliver(dec, frame, len, 0) || starve(dec);
}

void dec21140_receive_now(struct dec21140 *dec, const uint8_t *frame, size_t len)
{
	if (deaf(dec))
		dec->stats.rx_filtered++;
	else if (!rx_deliver(dec, frame, len, 0))
		dec21140_missed(dec);
}

void dec21140_ring_reset(struct dec21140 *dec)
{
	tx_halt(dec, DEC21140_STOPPED);
	rx_forget(dec);
	ask_back_end(dec);
}
