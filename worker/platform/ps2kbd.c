// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/ps2kbd.h"

enum {
	CMD_LEDS = 0xed,
	CMD_ECHO = 0xee,
	CMD_SCAN_SET = 0xf0,
	CMD_IDENTIFY = 0xf2,
	CMD_RATE = 0xf3,
	CMD_ENABLE = 0xf4,
	CMD_DISABLE = 0xf5,
	CMD_DEFAULTS = 0xf6,
	CMD_ALL_REPEAT = 0xf7,
	CMD_ALL_MAKE_BREAK = 0xf8,
	CMD_ALL_MAKE = 0xf9,
	CMD_ALL_BOTH = 0xfa,
	CMD_KEY_REPEAT = 0xfb,
	CMD_KEY_MAKE_BREAK = 0xfc,
	CMD_KEY_MAKE = 0xfd,
	CMD_RESEND = 0xfe,
	CMD_RESET = 0xff,
};

/* Types of keys in set 3: two bits, of which 0 is what most have. */
enum {
	TYPE_REPEAT = 0,
	TYPE_MAKE_BREAK = 1,
	TYPE_MAKE = 2,
	TYPE_BOTH = 3, /* repeats and breaks */
};

#define BREAK	     0xf0
#define PREFIX	     0xe0
#define PREFIX_PAUSE 0xe1
#define SET1_BREAK   0x80
#define OVERRUN_SET1 0xff
#define OVERRUN	     0x00
#define DEFAULT_RATE 0x2b /* 500 ms, then 10.9 a second */
#define ID_FIRST     0xab
#define ID_SECOND    0x83

#define MS 1000000ull

/* IBM's table of the translation, for codes below 0x80; further ones stay but for two keys. */
static const uint8_t set1_of_set2[128] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29,
	0x59, 0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11,
	0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14,
	0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24,
	0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35,
	0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36,
	0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c,
	0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45,
	0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

uint8_t ps2_translate(uint8_t code)
{
	if (code < sizeof(set1_of_set2))
		return set1_of_set2[code];
	return code == 0x83 ? 0x41 : code == 0x84 ? 0x54 : code;
}

/* Keys whose code in set 3 is not that of set 2. */
static const struct {
	uint16_t key;
	uint8_t code;
} set3_codes[] = {
	{ 0x76, 0x08 },	 { 0x05, 0x07 },  { 0x06, 0x0f },  { 0x04, 0x17 },  { 0x0c, 0x1f },
	{ 0x03, 0x27 },	 { 0x0b, 0x2f },  { 0x83, 0x37 },  { 0x0a, 0x3f },  { 0x01, 0x47 },
	{ 0x09, 0x4f },	 { 0x78, 0x56 },  { 0x07, 0x5e },  { 0x17c, 0x57 }, { 0x7e, 0x5f },
	{ 0x200, 0x62 }, { 0x58, 0x14 },  { 0x14, 0x11 },  { 0x11, 0x19 },  { 0x111, 0x39 },
	{ 0x114, 0x58 }, { 0x5d, 0x5c },  { 0x61, 0x13 },  { 0x170, 0x67 }, { 0x171, 0x64 },
	{ 0x16b, 0x61 }, { 0x16c, 0x6e }, { 0x169, 0x65 }, { 0x175, 0x63 }, { 0x172, 0x60 },
	{ 0x17d, 0x6f }, { 0x17a, 0x6d }, { 0x174, 0x6a }, { 0x77, 0x76 },  { 0x14a, 0x4a },
	{ 0x7c, 0x7e },	 { 0x7b, 0x84 },  { 0x79, 0x7c },  { 0x15a, 0x79 }, { 0x11f, 0x8b },
	{ 0x127, 0x8c }, { 0x12f, 0x8d },
};

static uint8_t set3_code(uint16_t key)
{
	for (unsigned int i = 0; i < sizeof(set3_codes) / sizeof(set3_codes[0]); i++)
		if (set3_codes[i].key == key)
			return set3_codes[i].code;
	return (uint8_t)key;
}

/* ------------------------------------------------------------------ types of keys */

static unsigned int get_type(const struct ps2kbd *kbd, uint8_t code)
{
	return kbd->type[code / 4] >> code % 4 * 2 & 3;
}

static void set_type(struct ps2kbd *kbd, uint8_t code, unsigned int type)
{
	unsigned int shift = code % 4 * 2;

	kbd->type[code / 4] = (uint8_t)((kbd->type[code / 4] & ~(3u << shift)) | type << shift);
}

static void set_default_types(struct ps2kbd *kbd)
{
	static const uint8_t make_break[] = { 0x11, 0x12, 0x14, 0x19, 0x59 };
	static const uint8_t make[] = { 0x07, 0x08, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x39,
					0x3f, 0x47, 0x4f, 0x56, 0x57, 0x58, 0x5e, 0x5f, 0x62,
					0x64, 0x65, 0x67, 0x6d, 0x6e, 0x6f, 0x76 };

	memset(kbd->type, 0, sizeof(kbd->type));
	for (unsigned int i = 0; i < sizeof(make_break); i++)
		set_type(kbd, make_break[i], TYPE_MAKE_BREAK);
	for (unsigned int i = 0; i < sizeof(make); i++)
		set_type(kbd, make[i], TYPE_MAKE);
}

static void set_all_types(struct ps2kbd *kbd, unsigned int type)
{
	memset(kbd->type, (int)(type * 0x55), sizeof(kbd->type));
}

/* Sets 1 and 2 have one type for all. */
static unsigned int key_type(const struct ps2kbd *kbd, uint16_t key)
{
	if (key == PS2_KEY_PAUSE)
		return TYPE_MAKE;
	return kbd->set == 3 ? get_type(kbd, set3_code(key)) : TYPE_BOTH;
}

/* ------------------------------------------------------------------ codes */

/* The bytes of a key's make or break; returns how many, at most 8. */
static unsigned int encode_set2(uint16_t key, bool down, uint8_t out[8])
{
	static const uint8_t pause[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };
	static const uint8_t prtsc[] = { 0xe0, 0x12, 0xe0, 0x7c };
	static const uint8_t prtsc_up[] = { 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12 };
	unsigned int n = 0;

	if (key == PS2_KEY_PAUSE) {
		memcpy(out, pause, sizeof(pause));
		return sizeof(pause);
	}
	if (key == PS2_KEY_PRTSC) {
		memcpy(out, down ? prtsc : prtsc_up, down ? sizeof(prtsc) : sizeof(prtsc_up));
		return down ? sizeof(prtsc) : sizeof(prtsc_up);
	}
	if (key & PS2_KEY_E0)
		out[n++] = PREFIX;
	if (!down)
		out[n++] = BREAK;
	out[n++] = (uint8_t)key;
	return n;
}

/* Set 1 is set 2 translated: the keyboard does for itself what the controller would. */
static unsigned int to_set1(uint8_t *codes, unsigned int n)
{
	unsigned int out = 0;
	bool up = false;

	for (unsigned int i = 0; i < n; i++) {
		if (codes[i] == BREAK) {
			up = true;
			continue;
		}
		if (codes[i] == PREFIX || codes[i] == PREFIX_PAUSE)
			codes[out++] = codes[i];
		else
			codes[out++] = ps2_translate(codes[i]) | (up ? SET1_BREAK : 0);
		up = false;
	}
	return out;
}

static unsigned int encode(const struct ps2kbd *kbd, uint16_t key, bool down, uint8_t out[8])
{
	unsigned int n = 0;

	if (kbd->set == 3) {
		if (!down)
			out[n++] = BREAK;
		out[n++] = set3_code(key);
		return n;
	}
	n = encode_set2(key, down, out);
	return kbd->set == 1 ? to_set1(out, n) : n;
}

/* A sequence goes in whole, or the last place says that one was lost. */
static void send_key(struct ps2kbd *kbd, uint16_t key, bool down)
{
	uint8_t codes[8];
	unsigned int n = encode(kbd, key, down, codes);

	if (ps2_queue_space(&kbd->out) > n) {
		for (unsigned int i = 0; i < n; i++)
			ps2_queue_put(&kbd->out, codes[i]);
	} else {
		ps2_queue_put(&kbd->out, kbd->set == 1 ? OVERRUN_SET1 : OVERRUN);
	}
	if (kbd->host.ready)
		kbd->host.ready(kbd->host.ctx);
}

/* ------------------------------------------------------------------ typematic */

static uint64_t repeat_delay(const struct ps2kbd *kbd)
{
	return ((kbd->rate >> 5 & 3) + 1) * 250 * MS;
}

/* (8 + A) * 2^B * 4.17 ms, A: bits 2:0, B: bits 4:3 */
static uint64_t repeat_period(const struct ps2kbd *kbd)
{
	return (8 + (kbd->rate & 7)) * (1ull << (kbd->rate >> 3 & 3)) * 4170000;
}

static void stop_repeat(struct ps2kbd *kbd)
{
	kbd->repeats = 0;
	dev_cancel(kbd->clk, &kbd->timer);
}

static void repeat(void *dev, uint64_t now)
{
	struct ps2kbd *kbd = dev;

	dev_arm(kbd->clk, &kbd->timer, now + repeat_period(kbd));
	/* What nobody fetches is not repeated on top. */
	if (!kbd->out.len)
		send_key(kbd, kbd->repeats, true);
}

void ps2kbd_key(struct ps2kbd *kbd, uint16_t key, bool down)
{
	unsigned int type = key_type(kbd, key);

	if (!kbd->enabled)
		return;
	if (down || key == kbd->repeats)
		stop_repeat(kbd);
	if (down && (type == TYPE_REPEAT || type == TYPE_BOTH)) {
		kbd->repeats = key;
		dev_arm(kbd->clk, &kbd->timer, dev_now(kbd->clk) + repeat_delay(kbd));
	}
	if (down || type == TYPE_MAKE_BREAK || type == TYPE_BOTH)
		send_key(kbd, key, down);
}

/* ------------------------------------------------------------------ commands */

static void set_defaults(struct ps2kbd *kbd)
{
	stop_repeat(kbd);
	kbd->set = 2;
	kbd->rate = DEFAULT_RATE;
	set_default_types(kbd);
}

static void reply(struct ps2kbd *kbd, uint8_t byte)
{
	ps2_queue_put(&kbd->out, byte);
}

static void set_scan_set(struct ps2kbd *kbd, uint8_t val)
{
	if (val > 3) {
		reply(kbd, PS2_RESEND);
		return;
	}
	reply(kbd, PS2_ACK);
	if (!val)
		reply(kbd, kbd->set);
	else
		kbd->set = val;
	stop_repeat(kbd);
}

/* The data byte of @cmd. */
static void run_data(struct ps2kbd *kbd, uint8_t cmd, uint8_t val)
{
	switch (cmd) {
	case CMD_LEDS:
		kbd->leds = val & (PS2_LED_SCROLL | PS2_LED_NUM | PS2_LED_CAPS);
		reply(kbd, PS2_ACK);
		break;
	case CMD_RATE:
		kbd->rate = val & 0x7f;
		reply(kbd, PS2_ACK);
		break;
	case CMD_SCAN_SET:
		set_scan_set(kbd, val);
		break;
	default: /* a key's type: further keys may follow, until there is a command */
		set_type(kbd, val,
			 cmd == CMD_KEY_REPEAT	     ? TYPE_REPEAT
			 : cmd == CMD_KEY_MAKE_BREAK ? TYPE_MAKE_BREAK
						     : TYPE_MAKE);
		kbd->command = cmd;
		reply(kbd, PS2_ACK);
	}
}

static void run_command(struct ps2kbd *kbd, uint8_t cmd)
{
	if (cmd == CMD_RESEND) {
		reply(kbd, kbd->last);
		return;
	}
	ps2_queue_clear(&kbd->out);
	if (cmd == CMD_ECHO) {
		reply(kbd, CMD_ECHO);
		return;
	}
	if (cmd < CMD_LEDS || cmd == 0xef || cmd == 0xf1) {
		reply(kbd, PS2_RESEND);
		return;
	}
	reply(kbd, PS2_ACK);
	switch (cmd) {
	case CMD_LEDS:
	case CMD_SCAN_SET:
	case CMD_RATE:
		kbd->command = cmd;
		break;
	case CMD_KEY_REPEAT:
	case CMD_KEY_MAKE_BREAK:
	case CMD_KEY_MAKE:
		kbd->command = cmd;
		kbd->enabled = false;
		stop_repeat(kbd);
		break;
	case CMD_IDENTIFY:
		reply(kbd, ID_FIRST);
		reply(kbd, ID_SECOND);
		break;
	case CMD_ENABLE:
		kbd->enabled = true;
		break;
	case CMD_DISABLE:
		set_defaults(kbd);
		kbd->enabled = false;
		break;
	case CMD_DEFAULTS:
		set_defaults(kbd);
		break;
	case CMD_ALL_REPEAT:
		set_all_types(kbd, TYPE_REPEAT);
		break;
	case CMD_ALL_MAKE_BREAK:
		set_all_types(kbd, TYPE_MAKE_BREAK);
		break;
	case CMD_ALL_MAKE:
		set_all_types(kbd, TYPE_MAKE);
		break;
	case CMD_ALL_BOTH:
		set_all_types(kbd, TYPE_BOTH);
		break;
	case CMD_RESET:
		ps2kbd_reset(kbd);
		reply(kbd, PS2_ACK);
		reply(kbd, PS2_TEST_GOOD);
		break;
	}
}

/* A command in a data byte's place is a command. */
static void kbd_write(void *dev, uint8_t byte)
{
	struct ps2kbd *kbd = dev;
	uint8_t cmd = kbd->command;

	kbd->command = 0;
	if (!cmd || byte >= CMD_LEDS) {
		run_command(kbd, byte);
		return;
	}
	ps2_queue_clear(&kbd->out);
	run_data(kbd, cmd, byte);
}

static bool kbd_read(void *dev, uint8_t *byte)
{
	struct ps2kbd *kbd = dev;

	if (!ps2_queue_get(&kbd->out, byte))
		return false;
	kbd->last = *byte;
	return true;
}

const struct ps2_ops ps2kbd_ops = { .write = kbd_write, .read = kbd_read };

void ps2kbd_reset(struct ps2kbd *kbd)
{
	ps2_queue_clear(&kbd->out);
	set_defaults(kbd);
	kbd->leds = 0;
	kbd->command = 0;
	kbd->enabled = true;
}

void ps2kbd_init(struct ps2kbd *kbd, const struct dev_clock *clk, const struct ps2_host *host)
{
	memset(kbd, 0, sizeof(*kbd));
	kbd->clk = clk;
	kbd->host = *host;
	kbd->timer.fire = repeat;
	kbd->timer.dev = kbd;
	ps2kbd_reset(kbd);
}
