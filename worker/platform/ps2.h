/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_PS2_H
#define WORKER_PLATFORM_PS2_H

/*
 * The two wires between a keyboard controller and a keyboard or mouse (IBM PS/2 Hardware Interface
 * Technical Reference, "Keyboard and Auxiliary Device Controller"), byte by byte. Bytes take no time.
 */
#include "worker/device.h"

/* The device's end. Neither calls the controller back. */
struct ps2_ops {
	/* The host sends @byte. What the device answers is fetched afterwards. */
	void (*write)(void *dev, uint8_t byte);
	/* The next byte for the host: true and *@byte, or false if there is none. */
	bool (*read)(void *dev, uint8_t *byte);
};

/* What is plugged in; @ops is NULL if nothing is. Copied by value. */
struct ps2_device {
	const struct ps2_ops *ops;
	void *dev;
};

/*
 * The controller's end: the device has something to send that no write() or read() brought about, a
 * key or a movement. @ready may fetch it at once.
 */
struct ps2_host {
	void (*ready)(void *ctx);
	void *ctx;
};

#define PS2_QUEUE 16 /* bytes that a device keeps */

struct ps2_queue {
	uint8_t data[PS2_QUEUE];
	unsigned int head, len;
};

static inline unsigned int ps2_queue_space(const struct ps2_queue *q)
{
	return PS2_QUEUE - q->len;
}

/* Append @byte; lost if there is no space. */
static inline void ps2_queue_put(struct ps2_queue *q, uint8_t byte)
{
	if (q->len == PS2_QUEUE)
		return;
	q->data[(q->head + q->len++) % PS2_QUEUE] = byte;
}

static inline bool ps2_queue_get(struct ps2_queue *q, uint8_t *byte)
{
	if (!q->len)
		return false;
	*byte = q->data[q->head];
	q->head = (q->head + 1) % PS2_QUEUE;
	q->len--;
	return true;
}

static inline void ps2_queue_clear(struct ps2_queue *q)
{
	q->head = q->len = 0;
}

/* What both kinds of device answer. */
#define PS2_ACK	      0xfa
#define PS2_RESEND    0xfe
#define PS2_TEST_GOOD 0xaa

#endif
