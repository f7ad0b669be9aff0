// SPDX-License-Identifier: GPL-2.0-only
/* What a frame's sender may leave to others: checksums, and cutting into segments. */
#include "worker/devices/net.h"

#include <string.h>

#define ETHERTYPE 12
#define VLAN_TAG  4 /* bytes */

#define IPV4_HEADER   20
#define IPV4_LENGTH   2 /* offsets */
#define IPV4_ID	      4
#define IPV4_CHECKSUM 10
#define IPV6_HEADER   40
#define IPV6_LENGTH   4

#define TCP_HEADER   20
#define TCP_SEQUENCE 4 /* offsets */
#define TCP_OFFSET   12
#define TCP_FLAGS    13
#define TCP_CHECKSUM 16
#define TCP_FIN	     0x01u
#define TCP_PSH	     0x08u
#define TCP_CWR	     0x80u
#define CHECKSUM     2 /* bytes */

uint32_t net_todo(const struct virtio_net_hdr *todo)
{
	const uint32_t csum = todo->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? NET_CSUM : 0;
	const uint32_t ecn = todo->gso_type & VIRTIO_NET_HDR_GSO_ECN ? NET_ECN : 0;

	switch (todo->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return csum | ecn;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return csum | ecn | NET_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return csum | ecn | NET_TSO6;
	default:
		return UINT32_MAX;
	}
}

bool net_todo_valid(const struct virtio_net_hdr *todo, size_t len)
{
	const uint32_t what = net_todo(todo);

	if (what & NET_CSUM && (todo->csum_start < NET_ETHER_HEADER ||
				(size_t)todo->csum_start + todo->csum_offset + CHECKSUM > len))
		return false;
	if (!(what & (NET_TSO4 | NET_TSO6)))
		return !(what & NET_ECN);
	return what & NET_CSUM && todo->csum_offset == TCP_CHECKSUM &&
	       (size_t)todo->csum_start + TCP_HEADER <= len && todo->gso_size >= NET_SEGMENT_MIN;
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* RFC 1071, over big-endian words; an odd byte is a word's first. */
static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (i < len)
		sum += (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void net_complete_checksum(const struct virtio_net_hdr *todo, uint8_t *frame, size_t len)
{
	uint8_t *at = frame + todo->csum_start + todo->csum_offset;
	uint16_t sum = checksum(frame + todo->csum_start, len - todo->csum_start);

	/* UDP has 0 for none; to TCP the two are the same (RFC 768). */
	if (!sum)
		sum = 0xffff;
	put16(at, sum);
}

/* ---- segments ---- */

/* Where the IP header begins, behind Ethernet's and a VLAN's tag; 0 for what is not of that type. */
static size_t find_ip(const uint8_t *frame, size_t len, bool ipv6)
{
	size_t at = ETHERTYPE;

	if (len >= NET_ETHER_HEADER + VLAN_TAG && get16(frame + at) == 0x8100)
		at += VLAN_TAG;
	return get16(frame + at) == (ipv6 ? 0x86dd : 0x0800) ? at + 2 : 0;
}

bool net_cut_begin(struct net_cut *cut, const struct virtio_net_hdr *todo, const uint8_t *frame,
		   size_t len)
{
	const bool ipv6 = net_todo(todo) & NET_TSO6;
	const size_t tcp = todo->csum_start, ip = find_ip(frame, len, ipv6);
	const size_t headers = tcp + 4u * (frame[tcp + TCP_OFFSET] >> 4);

	if (!ip || tcp < ip + (ipv6 ? IPV6_HEADER : IPV4_HEADER) ||
	    (!ipv6 && tcp != ip + 4u * (frame[ip] & 15)))
		return false;
	if (headers < tcp + TCP_HEADER || headers >= len)
		return false;
	*cut = (struct net_cut){
		.todo = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			  .csum_start = todo->csum_start,
			  .csum_offset = todo->csum_offset },
		.frame = frame,
		.len = len,
		.ip = ip,
		.tcp = tcp,
		.headers = headers,
		.at = headers,
		.size = todo->gso_size,
		.ipv6 = ipv6,
	};
	return true;
}

static void finish_ip(const struct net_cut *cut, uint8_t *segment, size_t len)
{
	uint8_t *ip = segment + cut->ip;

	if (cut->ipv6) {
		put16(ip + IPV6_LENGTH, (uint16_t)(len - cut->ip - IPV6_HEADER));
		return;
	}
	put16(ip + IPV4_LENGTH, (uint16_t)(len - cut->ip));
	put16(ip + IPV4_ID, (uint16_t)(get16(ip + IPV4_ID) + cut->n));
	put16(ip + IPV4_CHECKSUM, 0);
	put16(ip + IPV4_CHECKSUM, checksum(ip, cut->tcp - cut->ip));
}

/* The sum of the pseudo-header, which is there, has the length of all in it. Congestion is told once, the end last. */
static void finish_tcp(const struct net_cut *cut, uint8_t *segment, size_t len)
{
	const uint32_t sequence = (uint32_t)(cut->at - cut->headers);
	uint8_t *tcp = segment + cut->tcp;
	uint32_t sum = get16(tcp + TCP_CHECKSUM) + (uint16_t) ~(cut->len - cut->tcp) +
		       (uint32_t)(len - cut->tcp);
	uint32_t low = get16(tcp + TCP_SEQUENCE + 2) + (sequence & 0xffff);

	put16(tcp + TCP_SEQUENCE + 2, (uint16_t)low);
	put16(tcp + TCP_SEQUENCE,
	      (uint16_t)(get16(tcp + TCP_SEQUENCE) + (sequence >> 16) + (low >> 16)));
	if (cut->n)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	if (cut->at + cut->size < cut->len)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(tcp + TCP_CHECKSUM, (uint16_t)(sum + (sum >> 16)));
	net_complete_checksum(&cut->todo, segment, len);
}

size_t net_cut_next(struct net_cut *cut, uint8_t *segment)
{
	const size_t left = cut->len - cut->at, part = left < cut->size ? left : cut->size;
	const size_t len = cut->headers + part;

	if (!part)
		return 0;
	memcpy(segment, cut->frame, cut->headers);
	memcpy(segment + cut->headers, cut->frame + cut->at, part);
	finish_ip(cut, segment, len);
	finish_tcp(cut, segment, len);
	cut->at += part;
	cut->n++;
	return len;
}
