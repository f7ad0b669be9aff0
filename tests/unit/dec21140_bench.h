/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TESTS_UNIT_DEC21140_BENCH_H
#define TESTS_UNIT_DEC21140_BENCH_H

/* A 21140A with a megabyte of memory, a clock, a pin and a cable that remembers what was sent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "tests/unit/fakeclock.h"
#include "worker/devices/dec21140_regs.h"

#define BENCH_MEM  0x100000u
#define BENCH_ROM  0x0f0000u /* from here on it can be read, but not mapped */
#define BENCH_SENT 128

struct bench {
	struct dec21140 dec;
	struct fakeclock clock;
	struct fakepins pins;
	struct dma dma;
	struct net net;
	_Alignas(4096) uint8_t mem[BENCH_MEM];
	uint8_t sent[BENCH_SENT][2600];
	size_t sent_len[BENCH_SENT];
	struct virtio_net_hdr sent_todo[BENCH_SENT];
	unsigned int sent_n;
	/* What the back end has kept */
	uint8_t kept[4096];
	size_t kept_len;
	unsigned int ready;
	uint32_t wanted; /* what frames that arrive may leave to do */
	/* Called for each frame that is sent */
	void (*on_transmit)(struct bench *b);
	/* When it is through with what it had to send */
	void (*on_sent)(struct bench *b);
};

static const uint8_t bench_mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

static inline bool bench_in(uint64_t addr, size_t len)
{
	return addr <= BENCH_MEM && len <= BENCH_MEM - addr;
}

static inline bool bench_dma_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct bench *b = (struct bench *)ctx;

	if (!bench_in(addr, len)) {
		memset(buf, 0xff, len);
		return false;
	}
	memcpy(buf, b->mem + addr, len);
	return true;
}

static inline bool bench_dma_write(void *ctx, uint64_t addr, const void *buf, size_t len)
{
	struct bench *b = (struct bench *)ctx;

	if (!bench_in(addr, len) || addr + len > BENCH_ROM)
		return false;
	memcpy(b->mem + addr, buf, len);
	return true;
}

static inline void *bench_dma_map(void *ctx, uint64_t addr, size_t len)
{
	struct bench *b = (struct bench *)ctx;

	return bench_in(addr, len) && addr + len <= BENCH_ROM ? b->mem + addr : NULL;
}

static inline void bench_transmit(struct net *net, const struct virtio_net_hdr *todo,
				  const struct iovec *iov, unsigned int iovs)
{
	struct bench *b = (struct bench *)((char *)net - offsetof(struct bench, net));
	size_t len = 0;

	assert_true(b->sent_n < BENCH_SENT);
	for (unsigned int i = 0; i < iovs; i++) {
		size_t n = iov[i].iov_len, room = sizeof(b->sent[0]) - len;

		memcpy(b->sent[b->sent_n] + len, iov[i].iov_base, n < room ? n : room);
		len += n < room ? n : room;
	}
	b->sent_todo[b->sent_n] = todo ? *todo : (struct virtio_net_hdr){ 0 };
	b->sent_len[b->sent_n++] = len;
	if (b->on_transmit)
		b->on_transmit(b);
}

/* A frame from the cable. What is refused is kept, and offered when the device is ready. */
static inline bool bench_offer(struct bench *b, const void *frame, size_t len)
{
	const bool taken = dec21140_net_ops.receive(&b->dec, NULL, (const uint8_t *)frame, len);

	dec21140_net_ops.received(&b->dec);
	if (taken)
		return true;
	memmove(b->kept, frame, len);
	b->kept_len = len;
	return false;
}

static inline void bench_ready(struct net *net)
{
	struct bench *b = (struct bench *)((char *)net - offsetof(struct bench, net));
	size_t len = b->kept_len;

	b->ready++;
	b->kept_len = 0;
	if (len)
		bench_offer(b, b->kept, len);
}

static inline void bench_sent(struct net *net)
{
	struct bench *b = (struct bench *)((char *)net - offsetof(struct bench, net));

	if (b->on_sent)
		b->on_sent(b);
}

static inline void bench_want(struct net *net, uint32_t offloads)
{
	struct bench *b = (struct bench *)((char *)net - offsetof(struct bench, net));

	b->wanted = offloads;
}

static const struct net_backend_ops bench_net_ops = {
	.want = bench_want,
	.transmit = bench_transmit,
	.ready = bench_ready,
	.sent = bench_sent,
};

static inline void bench_init(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	fakeclock_init(&b->clock);
	b->dma = (struct dma){ bench_dma_read, bench_dma_write, bench_dma_map, b };
	b->net = (struct net){ .ops = &bench_net_ops, .link = true };
	dec21140_init(&b->dec, &b->clock.clk, &b->dma, fakepin(&b->pins, 0), &b->net, bench_mac);
	b->net.dev_ops = &dec21140_net_ops;
	b->net.dev = &b->dec;
	pci_function_write(&b->dec.fn, PCI_COMMAND, 2,
			   PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* For cmocka: a bench out of reset. */
static inline int bench_setup(void **state)
{
	static struct bench b;

	bench_init(&b);
	*state = &b;
	return 0;
}

static inline uint32_t csr(struct bench *b, unsigned int n)
{
	return (uint32_t)dec21140_ops.read(&b->dec, n * 8, 4);
}

static inline void set_csr(struct bench *b, unsigned int n, uint32_t val)
{
	dec21140_ops.write(&b->dec, n * 8, 4, val);
}

static inline uint32_t mem32(struct bench *b, uint32_t addr)
{
	uint32_t val;

	memcpy(&val, b->mem + addr, 4);
	return val;
}

static inline void set_mem32(struct bench *b, uint32_t addr, uint32_t val)
{
	memcpy(b->mem + addr, &val, 4);
}

static inline void set_desc(struct bench *b, uint32_t addr, uint32_t des0, uint32_t des1,
			    uint32_t des2, uint32_t des3)
{
	set_mem32(b, addr + 4, des1);
	set_mem32(b, addr + 8, des2);
	set_mem32(b, addr + 12, des3);
	set_mem32(b, addr, des0);
}

static inline bool inta(const struct bench *b)
{
	return b->pins.level[0];
}

static inline void tx_on(struct bench *b)
{
	set_csr(b, 6, csr(b, 6) | CSR6_ST);
}

static inline void rx_on(struct bench *b)
{
	set_csr(b, 6, csr(b, 6) | CSR6_SR);
}

static inline void poll_demand(struct bench *b)
{
	set_csr(b, 1, 0);
}

static inline void clear_events(struct bench *b)
{
	set_csr(b, 5, CSR5_EVENTS);
}

static inline uint32_t events(struct bench *b)
{
	return csr(b, 5) & CSR5_EVENTS;
}

/* Time for whatever is on the wire to have left it. */
static inline void drain(struct bench *b)
{
	fakeclock_advance(&b->clock, 10000000);
}

/* A frame of @len bytes whose contents can be told from others' by @seed. */
static inline void make_frame(uint8_t *frame, size_t len, const uint8_t dst[6], uint8_t seed)
{
	memcpy(frame, dst, 6);
	for (size_t i = 6; i < len; i++)
		frame[i] = (uint8_t)(seed + i * 7);
	if (len >= 14) {
		frame[12] = 0x08;
		frame[13] = 0x00;
	}
}

/* IEEE 802.3 clause 3.2.9, bit by bit: what the FCS has to be. */
static inline uint32_t slow_fcs(const uint8_t *p, size_t len)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len * 8; i++) {
		uint32_t bit = (crc ^ p[i / 8] >> i % 8) & 1;

		crc = crc >> 1 ^ (bit ? 0xedb88320u : 0);
	}
	return ~crc;
}

#endif
