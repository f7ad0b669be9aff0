/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_PS2KBD_H
#define WORKER_PLATFORM_PS2KBD_H

/*
 * A keyboard of 101 or 102 keys (IBM PS/2 Hardware Interface Technical Reference, "101- and 102-Key
 * Keyboard"): three sets of scan codes, typematic repeat, indicators. Each key of set 3 has a type;
 * after a reset the shift keys make and break, function keys only make, all others repeat.
 */
#include "worker/device.h"
#include "worker/platform/ps2.h"

/*
 * Keys are named by their make code in set 2; PS2_KEY_E0 stands for the prefix. Two are sequences
 * of their own.
 */
#define PS2_KEY_E0    0x100
#define PS2_KEY_PRTSC 0x17c
#define PS2_KEY_PAUSE 0x200 /* makes only, as it does */

/* Indicators */
#define PS2_LED_SCROLL 0x01
#define PS2_LED_NUM    0x02
#define PS2_LED_CAPS   0x04

struct ps2kbd {
	struct ps2_queue out;
	uint8_t set;	       /* 1 to 3 */
	uint8_t leds;	       /* PS2_LED_* */
	uint8_t rate;	       /* typematic: delay in bits 6:5, rate in 4:0 */
	uint8_t command;       /* whose data byte is awaited, 0 for none */
	uint8_t last;	       /* sent, for a resend */
	bool enabled;	       /* keys are scanned */
	uint16_t repeats;      /* the key that does, 0 for none */
	uint8_t type[256 / 4]; /* of each code of set 3, 2 bits */
	struct ps2_host host;
	const struct dev_clock *clk;
	struct dev_timer timer;
};

/* Make @kbd a keyboard after power-on. @host->ready may be NULL. */
void ps2kbd_init(struct ps2kbd *kbd, const struct dev_clock *clk, const struct ps2_host *host);

/* Power-on again, without the self-test's answer. */
void ps2kbd_reset(struct ps2kbd *kbd);

/* A key goes down or up; one that is down and goes down again is taken for another press. */
void ps2kbd_key(struct ps2kbd *kbd, uint16_t key, bool down);

extern const struct ps2_ops ps2kbd_ops; /* @dev: struct ps2kbd * */

/* What a controller with translation makes of a byte of set 2 (but for 0xf0, which it keeps). */
uint8_t ps2_translate(uint8_t code);

#endif
