/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_PS2MOUSE_H
#define WORKER_PLATFORM_PS2MOUSE_H

/*
 * A PS/2 mouse (IBM PS/2 Hardware Interface Technical Reference, "Auxiliary Device") that becomes an
 * IntelliMouse with a wheel, or one with five buttons, for who knows the knock: the sample rates 200,
 * 100, 80 or 200, 200, 80 set in this order, after which it gives another identity and longer
 * packets. A driver that knows nothing of it has a plain mouse.
 */
#include "worker/device.h"
#include "worker/platform/ps2.h"

#define PS2_MOUSE_LEFT	 0x01
#define PS2_MOUSE_RIGHT	 0x02
#define PS2_MOUSE_MIDDLE 0x04
#define PS2_MOUSE_SIDE	 0x08 /* with five buttons only */
#define PS2_MOUSE_EXTRA	 0x10

/* What it says that it is. */
enum ps2mouse_id {
	PS2_MOUSE_PLAIN = 0,
	PS2_MOUSE_WHEEL = 3,
	PS2_MOUSE_FIVE = 4,
};

struct ps2mouse {
	struct ps2_queue out;
	enum ps2mouse_id id;
	uint8_t knock[2];   /* the sample rates set before the last */
	uint8_t rate;	    /* samples a second */
	uint8_t resolution; /* 0 to 3: counts per mm as a power of 2 */
	uint8_t command;    /* whose data byte is awaited, 0 for none */
	uint8_t last;	    /* sent, for a resend */
	bool enabled;	    /* reports in stream mode */
	bool remote, wrap;
	bool double_scale;
	int32_t dx, dy, dz;    /* moved and not reported */
	uint8_t buttons, told; /* as they are, as reported */
	uint64_t next;	       /* no report in stream mode before this time */
	struct ps2_host host;
	const struct dev_clock *clk;
	struct dev_timer timer;
};

/* Make @mouse a mouse after power-on. @host->ready may be NULL. */
void ps2mouse_init(struct ps2mouse *mouse, const struct dev_clock *clk,
		   const struct ps2_host *host);

/* Power-on again, without the self-test's answer. */
void ps2mouse_reset(struct ps2mouse *mouse);

/*
 * The mouse moves by @dx to the right, @dy away from the user, @dz of the wheel towards the user;
 * the buttons (PS2_MOUSE_*) are @buttons then.
 */
void ps2mouse_move(struct ps2mouse *mouse, int dx, int dy, int dz, uint8_t buttons);

extern const struct ps2_ops ps2mouse_ops; /* @dev: struct ps2mouse * */

#endif
