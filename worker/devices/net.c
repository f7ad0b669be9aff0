// SPDX-License-Identifier: GPL-2.0-only
/* What a frame's sender may leave to others: checksums, and cutting into segments. */
#include "worker/devices/net.h"

#define TCP_HEADER   20
#define TCP_CHECKSUM 16 /* offset */
#define CHECKSUM     2	/* bytes */

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
	at[0] = (uint8_t)(sum >> 8);
	at[1] = (uint8_t)sum;
}
