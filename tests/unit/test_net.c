// SPDX-License-Identifier: GPL-2.0-only
/* Cutting a frame into segments, as a sender may leave it to the cable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "worker/devices/net.h"

#define OPTIONS 12 /* bytes of TCP's options: there are in each segment */
#define HEADERS (14 + 4 + 40 + 20 + OPTIONS)
#define LARGE	(HEADERS + 64000)
#define MSS	1000
#define FIN	0x01
#define PSH	0x08
#define ACK	0x10
#define CWR	0x80

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t add(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* What is cut here: where its headers are, and what is left to do. */
struct frame {
	uint8_t data[LARGE];
	size_t ip, tcp, headers, len;
	bool ipv6;
	struct virtio_net_hdr todo;
};

/* The sum of the addresses and the protocol. */
static uint32_t pseudo(const struct frame *f, const uint8_t *data)
{
	return f->ipv6 ? add(6, data + f->ip + 8, 32) : add(6, data + f->ip + 12, 8);
}

static void make(struct frame *f, bool ipv6, bool vlan, size_t data, uint32_t sequence)
{
	uint8_t *p = f->data;

	memset(f, 0, sizeof(*f));
	f->ipv6 = ipv6;
	f->ip = vlan ? 18 : 14;
	f->tcp = f->ip + (ipv6 ? 40 : 20);
	f->headers = f->tcp + 20 + OPTIONS;
	f->len = f->headers + data;
	for (size_t i = 0; i < f->len; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 8));
	if (vlan)
		put16(p + 12, 0x8100);
	put16(p + f->ip - 2, ipv6 ? 0x86dd : 0x0800);
	p[f->ip] = ipv6 ? 0x60 : 0x45;
	put16(p + f->ip + 4, ipv6 ? f->len - f->ip - 40 : 0xfffe); /* or the identification */
	put16(p + f->ip + 2, ipv6 ? 0 : f->len - f->ip);
	put16(p + f->tcp + 4, sequence >> 16);
	put16(p + f->tcp + 6, sequence);
	p[f->tcp + 12] = (20 + OPTIONS) / 4 << 4;
	p[f->tcp + 13] = FIN | PSH | ACK | CWR;
	put16(p + f->tcp + 16, add(pseudo(f, p) + (uint32_t)(f->len - f->tcp), p, 0));
	f->todo = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = MSS,
		.csum_start = (uint16_t)f->tcp,
		.csum_offset = 16,
	};
	assert_true(net_todo_valid(&f->todo, f->len));
}

static void check_headers(const struct frame *f, const uint8_t *s, size_t len, unsigned int n)
{
	const bool first = !n, last = f->headers + (size_t)(n + 1) * MSS >= f->len;

	assert_memory_equal(s, f->data, f->ip + 2); /* up to the lengths */
	if (f->ipv6) {
		assert_int_equal(get16(s + f->ip + 4), len - f->ip - 40);
	} else {
		assert_int_equal(get16(s + f->ip + 2), len - f->ip);
		assert_int_equal(get16(s + f->ip + 4), (0xfffe + n) & 0xffff);
		assert_int_equal(add(0, s + f->ip, 20), 0xffff);
	}
	assert_int_equal(get32(s + f->tcp + 4), (uint32_t)(get32(f->data + f->tcp + 4) + n * MSS));
	assert_int_equal(s[f->tcp + 13], ACK | (first ? CWR : 0) | (last ? FIN | PSH : 0));
	assert_memory_equal(s + f->tcp + 20, f->data + f->tcp + 20, OPTIONS);
	assert_int_equal(add(pseudo(f, s) + (uint32_t)(len - f->tcp), s + f->tcp, len - f->tcp),
			 0xffff);
}

static void cut_and_check(bool ipv6, bool vlan, size_t data, uint32_t sequence)
{
	static struct frame f;
	static uint8_t s[LARGE];
	struct net_cut cut;
	unsigned int n = 0;
	size_t at, len;

	make(&f, ipv6, vlan, data, sequence);
	assert_true(net_cut_begin(&cut, &f.todo, f.data, f.len));
	for (at = f.headers; (len = net_cut_next(&cut, s)); at += len - f.headers, n++) {
		assert_true(len - f.headers == MSS || at + len - f.headers == f.len);
		assert_memory_equal(s + f.headers, f.data + at, len - f.headers);
		check_headers(&f, s, len, n);
	}
	assert_int_equal(at, f.len);
	assert_int_equal(n, (data + MSS - 1) / MSS);
}

static void test_segments(void **state)
{
	(void)state;
	for (unsigned int how = 0; how < 4; how++) {
		cut_and_check(how & 1, how & 2, 1, 0);
		cut_and_check(how & 1, how & 2, MSS, 0);
		cut_and_check(how & 1, how & 2, MSS + 1, 0xffffffff);
		cut_and_check(how & 1, how & 2, 3 * MSS, 0x1234fffe);
		cut_and_check(how & 1, how & 2, 64000, 0xffff0000);
	}
}

/* Headers that are not what the sender says: nothing is made of them, and nothing outside of the frame is read. */
static void test_headers_that_are_not_so(void **state)
{
	static struct frame f;
	struct net_cut cut;

	(void)state;
	for (unsigned int how = 0; how < 2; how++) {
		make(&f, how, false, 500, 1);
		f.data[12]++; /* another protocol */
		assert_false(net_cut_begin(&cut, &f.todo, f.data, f.len));
		make(&f, how, false, 500, 1);
		f.todo.gso_type ^= VIRTIO_NET_HDR_GSO_TCPV4 ^ VIRTIO_NET_HDR_GSO_TCPV6;
		assert_false(net_cut_begin(&cut, &f.todo, f.data, f.len));
		make(&f, how, false, 500, 1);
		f.data[f.tcp + 12] = 4 << 4; /* shorter than a header */
		assert_false(net_cut_begin(&cut, &f.todo, f.data, f.len));
		make(&f, how, false, 0, 1); /* no data */
		assert_false(net_cut_begin(&cut, &f.todo, f.data, f.len));
		make(&f, how, false, 500, 1);
		assert_false(net_cut_begin(&cut, &f.todo, f.data, f.tcp + 20));
		f.todo.csum_start = 14; /* TCP before IP */
		assert_false(net_cut_begin(&cut, &f.todo, f.data, f.len));
	}
	make(&f, false, false, 500, 1);
	f.data[f.ip] = 0x46; /* IP's options, where TCP is said to be */
	assert_false(net_cut_begin(&cut, &f.todo, f.data, f.len));
}

/* Cuts what is in memory of just its length, if it can be cut, and returns whether. */
static bool cut_exactly(const struct frame *f)
{
	static uint8_t s[NET_FRAME_MAX];
	uint8_t *frame = malloc(f->len);
	struct net_cut cut;
	size_t all, len;
	bool begun;

	memcpy(frame, f->data, f->len);
	begun = net_todo_valid(&f->todo, f->len) && net_cut_begin(&cut, &f->todo, frame, f->len);
	for (all = 0; begun && (len = net_cut_next(&cut, s)); all += len - cut.headers)
		assert_true(len > cut.headers && len <= f->len);
	if (begun)
		assert_int_equal(all, f->len - cut.headers);
	free(frame);
	return begun;
}

/* Headers of any bytes: nothing outside of the frame is touched, and if there are segments they have all of the data. */
static void test_any_headers(void **state)
{
	static struct frame f;
	unsigned int begun = 0;
	uint32_t seed = 1;

	(void)state;
	for (unsigned int round = 0; round < 20000; round++) {
		make(&f, round & 1, round & 2, 300 + round % 700, 1);
		for (unsigned int i = 0; i < 1 + round % 3; i++) {
			seed = seed * 1664525 + 1013904223;
			f.data[(seed >> 8) % (f.headers + 1)] = (uint8_t)(seed >> 24);
		}
		seed = seed * 1664525 + 1013904223;
		f.todo.csum_start += seed >> 30 ? 0 : seed >> 16 & 63;
		f.len -= seed >> 28 ? 0 : (seed >> 8) % (f.len - NET_ETHER_HEADER);
		begun += cut_exactly(&f);
	}
	assert_in_range(begun, 1000, 19000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_headers_that_are_not_so),
		cmocka_unit_test(test_any_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
