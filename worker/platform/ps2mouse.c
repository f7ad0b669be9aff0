// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/ps2mouse.h"

enum {
	CMD_SCALE_1 = 0xe6,
	CMD_SCALE_2 = 0xe7,
	CMD_RESOLUTION = 0xe8,
	CMD_STATUS = 0xe9,
	CMD_STREAM = 0xea,
	CMD_READ = 0xeb,
	CMD_WRAP_OFF = 0xec,
	CMD_WRAP = 0xee,
	CMD_REMOTE = 0xf0,
	CMD_IDENTIFY = 0xf2,
	CMD_RATE = 0xf3,
	CMD_ENABLE = 0xf4,
	CMD_DISABLE = 0xf5,
	CMD_DEFAULTS = 0xf6,
	CMD_RESEND = 0xfe,
	CMD_RESET = 0xff,
};

/* First byte of a packet: buttons in bits 2:0, then */
#define PACKET_ALWAYS 0x08
#define PACKET_X_NEG  0x10
#define PACKET_Y_NEG  0x20

#define MOVE_MAX     255 /* in a packet */
#define WHEEL_MAX    7
#define PENDING_MAX  0xffff
#define DEFAULT_RATE 100

static void reply(struct ps2mouse *m, uint8_t byte)
{
	ps2_queue_put(&m->out, byte);
}

/* ------------------------------------------------------------------ packets */

static int clamp(int val, int max)
{
	return val > max ? max : val < -max ? -max : val;
}

/* Takes what fits into a packet from what is pending. */
static int take(int32_t *pending, int max)
{
	int val = clamp(*pending, max);

	*pending -= val;
	return val;
}

/* 2:1: 0, 1, 1, 3, 6, 9, then twice the count. In stream mode only. */
static int scaled(const struct ps2mouse *m, int val)
{
	static const uint8_t small[] = { 0, 1, 1, 3, 6, 9 };
	int size = val < 0 ? -val : val;

	if (!m->double_scale || m->remote)
		return val;
	size = size < 6 ? small[size] : clamp(2 * size, MOVE_MAX);
	return val < 0 ? -size : size;
}

static void put_packet(struct ps2mouse *m)
{
	int dx = scaled(m, take(&m->dx, MOVE_MAX));
	int dy = scaled(m, take(&m->dy, MOVE_MAX));
	int dz = take(&m->dz, WHEEL_MAX);

	reply(m, PACKET_ALWAYS | (m->buttons & 7) | (dx < 0 ? PACKET_X_NEG : 0) |
			 (dy < 0 ? PACKET_Y_NEG : 0));
	reply(m, (uint8_t)dx);
	reply(m, (uint8_t)dy);
	if (m->id == PS2_MOUSE_WHEEL)
		reply(m, (uint8_t)dz);
	else if (m->id == PS2_MOUSE_FIVE)
		reply(m, (uint8_t)((dz & 15) | (m->buttons & 0x18) << 1));
	m->told = m->buttons;
}

static uint8_t visible_buttons(const struct ps2mouse *m)
{
	return m->id == PS2_MOUSE_FIVE ? 0x1f : 0x07;
}

static bool has_news(const struct ps2mouse *m)
{
	return m->dx || m->dy || (m->dz && m->id != PS2_MOUSE_PLAIN) ||
	       (m->buttons ^ m->told) & visible_buttons(m);
}

/* In stream mode: a packet when the one before is gone, not more often than the sample rate. */
static void report(struct ps2mouse *m)
{
	uint64_t now;

	if (!m->enabled || m->remote || m->wrap || m->out.len || !has_news(m))
		return;
	now = dev_now(m->clk);
	if (now < m->next) {
		dev_arm(m->clk, &m->timer, m->next);
		return;
	}
	m->next = now + DEV_NS_PER_SEC / m->rate;
	put_packet(m);
}

static void report_to_host(struct ps2mouse *m)
{
	report(m);
	if (m->out.len && m->host.ready)
		m->host.ready(m->host.ctx);
}

static void sample(void *dev, uint64_t now)
{
	(void)now;
	report_to_host(dev);
}

void ps2mouse_move(struct ps2mouse *m, int dx, int dy, int dz, uint8_t buttons)
{
	m->dx = clamp(m->dx + clamp(dx, PENDING_MAX), PENDING_MAX);
	m->dy = clamp(m->dy + clamp(dy, PENDING_MAX), PENDING_MAX);
	m->dz = clamp(m->dz + clamp(dz, PENDING_MAX), PENDING_MAX);
	m->buttons = buttons & 0x1f;
	report_to_host(m);
}

/* ------------------------------------------------------------------ commands */

static void forget_movement(struct ps2mouse *m)
{
	m->dx = m->dy = m->dz = 0;
	ps2_queue_clear(&m->out);
}

static void set_defaults(struct ps2mouse *m)
{
	forget_movement(m);
	m->rate = DEFAULT_RATE;
	m->resolution = 2;
	m->double_scale = false;
	m->enabled = false;
	m->remote = false;
	dev_cancel(m->clk, &m->timer);
}

/* The knock. An identity once taken is kept until a reset; from a wheel to five buttons is a step. */
static void set_rate(struct ps2mouse *m, uint8_t rate)
{
	if (m->knock[0] == 200 && m->knock[1] == 100 && rate == 80 && m->id == PS2_MOUSE_PLAIN)
		m->id = PS2_MOUSE_WHEEL;
	else if (m->knock[0] == 200 && m->knock[1] == 200 && rate == 80)
		m->id = PS2_MOUSE_FIVE;
	m->knock[0] = m->knock[1];
	m->knock[1] = rate;
	m->rate = rate ? rate : DEFAULT_RATE;
}

static void run_data(struct ps2mouse *m, uint8_t cmd, uint8_t val)
{
	if (cmd == CMD_RATE)
		set_rate(m, val);
	else
		m->resolution = val & 3;
	reply(m, PS2_ACK);
}

static void put_status(struct ps2mouse *m)
{
	uint8_t b = m->buttons;

	reply(m, (uint8_t)(m->remote << 6 | m->enabled << 5 | m->double_scale << 4 |
			   (b & PS2_MOUSE_LEFT ? 4 : 0) | (b & PS2_MOUSE_MIDDLE ? 2 : 0) |
			   (b & PS2_MOUSE_RIGHT ? 1 : 0)));
	reply(m, m->resolution);
	reply(m, m->rate);
}

static void run_command(struct ps2mouse *m, uint8_t cmd)
{
	if (cmd == CMD_RESEND) {
		reply(m, m->last);
		return;
	}
	ps2_queue_clear(&m->out);
	if (cmd < CMD_SCALE_1 || cmd == 0xed || cmd == 0xef || cmd == 0xf1 ||
	    (cmd > CMD_DEFAULTS && cmd < CMD_RESEND)) {
		reply(m, PS2_RESEND);
		return;
	}
	reply(m, PS2_ACK);
	switch (cmd) {
	case CMD_SCALE_1:
	case CMD_SCALE_2:
		m->double_scale = cmd == CMD_SCALE_2;
		break;
	case CMD_RESOLUTION:
	case CMD_RATE:
		m->command = cmd;
		break;
	case CMD_STATUS:
		put_status(m);
		break;
	case CMD_STREAM:
	case CMD_REMOTE:
		forget_movement(m);
		reply(m, PS2_ACK);
		m->remote = cmd == CMD_REMOTE;
		break;
	case CMD_READ:
		put_packet(m);
		break;
	case CMD_WRAP_OFF:
	case CMD_WRAP:
		m->wrap = cmd == CMD_WRAP;
		break;
	case CMD_IDENTIFY:
		reply(m, m->id);
		break;
	case CMD_ENABLE:
		m->dx = m->dy = m->dz = 0;
		m->enabled = true;
		break;
	case CMD_DISABLE:
		m->enabled = false;
		break;
	case CMD_DEFAULTS:
		set_defaults(m);
		reply(m, PS2_ACK);
		break;
	case CMD_RESET:
		ps2mouse_reset(m);
		reply(m, PS2_ACK);
		reply(m, PS2_TEST_GOOD);
		reply(m, PS2_MOUSE_PLAIN);
		break;
	}
}

static void mouse_write(void *dev, uint8_t byte)
{
	struct ps2mouse *m = dev;
	uint8_t cmd = m->command;

	if (m->wrap && byte != CMD_WRAP_OFF && byte != CMD_RESET) {
		reply(m, byte);
		return;
	}
	m->command = 0;
	if (cmd)
		run_data(m, cmd, byte);
	else
		run_command(m, byte);
}

static bool mouse_read(void *dev, uint8_t *byte)
{
	struct ps2mouse *m = dev;

	if (!m->out.len)
		report(m);
	if (!ps2_queue_get(&m->out, byte))
		return false;
	m->last = *byte;
	return true;
}

const struct ps2_ops ps2mouse_ops = { .write = mouse_write, .read = mouse_read };

void ps2mouse_reset(struct ps2mouse *m)
{
	set_defaults(m);
	m->id = PS2_MOUSE_PLAIN;
	m->knock[0] = m->knock[1] = 0;
	m->command = 0;
	m->wrap = false;
	m->told = m->buttons;
}

void ps2mouse_init(struct ps2mouse *m, const struct dev_clock *clk, const struct ps2_host *host)
{
	memset(m, 0, sizeof(*m));
	m->clk = clk;
	m->host = *host;
	m->timer.fire = sample;
	m->timer.dev = m;
	ps2mouse_reset(m);
}
