// SPDX-License-Identifier: GPL-2.0-only
/* A keyboard and a mouse behind their controller, as drivers talk to them through ports 0x60, 0x64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/fakeclock.h"
#include "worker/platform/i8042.h"
#include "worker/platform/ps2kbd.h"
#include "worker/platform/ps2mouse.h"

#define MS 1000000ull

enum {
	IRQ_KBD = 1,
	IRQ_AUX = 12,
};

static struct fakeclock clock_;
static struct fakepins pins;
static struct i8042 kbc;
static struct ps2kbd kbd;
static struct ps2mouse mouse;

static uint8_t status(void)
{
	return (uint8_t)i8042_cmd_ops.read(&kbc, 0, 1);
}

static void command(uint8_t val)
{
	i8042_cmd_ops.write(&kbc, 0, 1, val);
}

static void send(uint8_t val)
{
	i8042_data_ops.write(&kbc, 0, 1, val);
}

static uint8_t receive(void)
{
	return (uint8_t)i8042_data_ops.read(&kbc, 0, 1);
}

static void send_aux(uint8_t val)
{
	command(0xd4);
	send(val);
}

/* The next byte, which has to come from the keyboard or from the mouse. */
static void expect_from(bool aux, uint8_t want)
{
	assert_true(status() & I8042_STS_OBF);
	assert_int_equal(!!(status() & I8042_STS_AUX), aux);
	assert_int_equal(receive(), want);
}

#define EXPECT(aux, ...)                                                                           \
	do {                                                                                       \
		static const uint8_t want[] = { __VA_ARGS__ };                                     \
		for (size_t i_ = 0; i_ < sizeof(want); i_++)                                       \
			expect_from(aux, want[i_]);                                                \
		assert_false(status() & I8042_STS_OBF);                                            \
	} while (0)
#define KBD(...) EXPECT(false, __VA_ARGS__)
#define AUX(...) EXPECT(true, __VA_ARGS__)

static void set_ctr(uint8_t val)
{
	command(0x60);
	send(val);
}

static int setup(void **state)
{
	const struct i8042_host host = { 0 };
	const struct ps2_host controller = { i8042_ready, &kbc };
	const struct ps2_device k = { &ps2kbd_ops, &kbd }, a = { &ps2mouse_ops, &mouse };

	(void)state;
	memset(&pins, 0, sizeof(pins));
	fakeclock_init(&clock_);
	i8042_init(&kbc, fakepin(&pins, IRQ_KBD), fakepin(&pins, IRQ_AUX), &host);
	ps2kbd_init(&kbd, &clock_.clk, &controller);
	ps2mouse_init(&mouse, &clock_.clk, &controller);
	i8042_plug(&kbc, &k, &a);
	set_ctr(I8042_CTR_KBD_INT | I8042_CTR_AUX_INT);
	return 0;
}

static void keyboard_answers(void **state)
{
	(void)state;
	send(0xff);
	KBD(0xfa, 0xaa);
	send(0xf2);
	KBD(0xfa, 0xab, 0x83);
	send(0xee);
	KBD(0xee);
	send(0xed);
	KBD(0xfa);
	send(0x05);
	KBD(0xfa);
	assert_int_equal(kbd.leds, PS2_LED_CAPS | PS2_LED_SCROLL);
	send(0xef); /* no such command */
	KBD(0xfe);
	send(0xf0);
	KBD(0xfa);
	send(0);
	KBD(0xfa, 2);
	send(0xfe); /* the last byte again */
	KBD(2);
	send(0xf3); /* a command in the place of data */
	KBD(0xfa);
	send(0xf4);
	KBD(0xfa);
}

static void key_codes(void **state)
{
	(void)state;
	ps2kbd_key(&kbd, 0x1c, true); /* A */
	ps2kbd_key(&kbd, 0x1c, false);
	KBD(0x1c, 0xf0, 0x1c);
	ps2kbd_key(&kbd, 0x175, true); /* up */
	ps2kbd_key(&kbd, 0x175, false);
	KBD(0xe0, 0x75, 0xe0, 0xf0, 0x75);
	ps2kbd_key(&kbd, PS2_KEY_PAUSE, true);
	ps2kbd_key(&kbd, PS2_KEY_PAUSE, false);
	KBD(0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
	ps2kbd_key(&kbd, PS2_KEY_PRTSC, true);
	ps2kbd_key(&kbd, PS2_KEY_PRTSC, false);
	KBD(0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
}

static void set_scan_set(uint8_t set)
{
	send(0xf0);
	KBD(0xfa);
	send(set);
	KBD(0xfa);
}

/* Set 1 made by the keyboard and by the controller are the same. */
static void set_one(void **state)
{
	(void)state;
	for (int way = 0; way < 2; way++) {
		if (way)
			set_scan_set(2);
		else
			set_scan_set(1);
		set_ctr(I8042_CTR_KBD_INT | (way ? I8042_CTR_XLATE : 0));
		ps2kbd_key(&kbd, 0x76, true); /* Esc */
		ps2kbd_key(&kbd, 0x76, false);
		KBD(0x01, 0x81);
		ps2kbd_key(&kbd, 0x83, true); /* F7 */
		ps2kbd_key(&kbd, 0x83, false);
		KBD(0x41, 0xc1);
		ps2kbd_key(&kbd, 0x114, true); /* right control */
		ps2kbd_key(&kbd, 0x114, false);
		KBD(0xe0, 0x1d, 0xe0, 0x9d);
		ps2kbd_key(&kbd, PS2_KEY_PAUSE, true);
		KBD(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
	}
	send(0xf2); /* answers are translated too: so drivers know */
	KBD(0xfa, 0xab, 0x41);
}

static void set_three(void **state)
{
	(void)state;
	set_scan_set(3);
	ps2kbd_key(&kbd, 0x12, true); /* shift makes and breaks */
	ps2kbd_key(&kbd, 0x12, false);
	KBD(0x12, 0xf0, 0x12);
	ps2kbd_key(&kbd, 0x05, true); /* F1 only makes */
	ps2kbd_key(&kbd, 0x05, false);
	KBD(0x07);
	ps2kbd_key(&kbd, 0x175, true); /* up repeats, without a prefix */
	ps2kbd_key(&kbd, 0x175, false);
	KBD(0x63);
	send(0xfc); /* F1 shall break as well */
	KBD(0xfa);
	send(0x07);
	KBD(0xfa);
	send(0xf4);
	KBD(0xfa);
	ps2kbd_key(&kbd, 0x05, true);
	ps2kbd_key(&kbd, 0x05, false);
	KBD(0x07, 0xf0, 0x07);
}

static void typematic(void **state)
{
	(void)state;
	ps2kbd_key(&kbd, 0x1c, true);
	KBD(0x1c);
	fakeclock_advance(&clock_, 499 * MS);
	assert_false(status() & I8042_STS_OBF);
	fakeclock_advance(&clock_, 2 * MS);
	KBD(0x1c);
	fakeclock_advance(&clock_, 93 * MS); /* 10.9 a second */
	KBD(0x1c);
	ps2kbd_key(&kbd, 0x1c, false);
	KBD(0xf0, 0x1c);
	fakeclock_advance(&clock_, 5000 * MS);
	assert_false(status() & I8042_STS_OBF);
	send(0xf3); /* 250 ms, then 30 a second */
	KBD(0xfa);
	send(0x00);
	KBD(0xfa);
	ps2kbd_key(&kbd, 0x1c, true);
	KBD(0x1c);
	fakeclock_advance(&clock_, 251 * MS);
	KBD(0x1c);
	fakeclock_advance(&clock_, 34 * MS);
	KBD(0x1c);
}

/* Many keys that nobody reads: the last place says so, and the next key is whole again. */
static void overrun(void **state)
{
	uint8_t last = 0;
	int n = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		ps2kbd_key(&kbd, 0x1c, i % 2 == 0);
	for (; status() & I8042_STS_OBF; n++)
		last = receive();
	assert_int_equal(n, 1 + PS2_QUEUE);
	assert_int_equal(last, 0x00);
	ps2kbd_key(&kbd, 0x1b, true);
	KBD(0x1b);
}

/* A key that is pressed while the interface is off waits; each byte has an interrupt of its own. */
static void inhibited(void **state)
{
	unsigned int before = pins.rises[IRQ_KBD];

	(void)state;
	command(0xad);
	ps2kbd_key(&kbd, 0x1c, true);
	ps2kbd_key(&kbd, 0x1c, false);
	assert_false(status() & I8042_STS_OBF);
	command(0xae);
	KBD(0x1c, 0xf0, 0x1c);
	assert_int_equal(pins.rises[IRQ_KBD] - before, 3);
	assert_false(pins.level[IRQ_KBD]);
	send(0xf5); /* the keyboard itself is off: keys are lost */
	KBD(0xfa);
	ps2kbd_key(&kbd, 0x1c, true);
	send(0xf4);
	KBD(0xfa);
}

static void enable_mouse(void)
{
	send_aux(0xf4);
	AUX(0xfa);
}

static void set_rate(uint8_t rate)
{
	send_aux(0xf3);
	AUX(0xfa);
	send_aux(rate);
	AUX(0xfa);
}

static void expect_id(uint8_t id)
{
	send_aux(0xf2);
	expect_from(true, 0xfa);
	expect_from(true, id);
}

static void mouse_answers(void **state)
{
	(void)state;
	send_aux(0xff);
	AUX(0xfa, 0xaa, 0x00);
	expect_id(0);
	send_aux(0xe9);
	AUX(0xfa, 0x00, 0x02, 100);
	send_aux(0xe7);
	AUX(0xfa);
	send_aux(0xe8);
	AUX(0xfa);
	send_aux(0x03);
	AUX(0xfa);
	enable_mouse();
	send_aux(0xe9);
	AUX(0xfa, 0x30, 0x03, 100);
	send_aux(0xe5); /* no such command */
	AUX(0xfe);
	send_aux(0xee); /* wrap: everything comes back */
	AUX(0xfa);
	send_aux(0xf2);
	AUX(0xf2);
	send_aux(0xec);
	AUX(0xfa);
}

static void movement(void **state)
{
	(void)state;
	ps2mouse_move(&mouse, 5, 5, 0, 0); /* not enabled */
	assert_false(status() & I8042_STS_OBF);
	enable_mouse();
	ps2mouse_move(&mouse, 3, -2, 9, PS2_MOUSE_LEFT);
	AUX(0x29, 0x03, 0xfe);
	assert_true(pins.rises[IRQ_AUX] > 0);
	/* What comes before the next sample adds up. */
	ps2mouse_move(&mouse, -1, 0, 0, PS2_MOUSE_LEFT);
	ps2mouse_move(&mouse, -1, 1, 0, 0);
	assert_false(status() & I8042_STS_OBF);
	fakeclock_advance(&clock_, 10 * MS);
	AUX(0x18, 0xfe, 0x01);
	/* More than a packet holds takes several. */
	fakeclock_advance(&clock_, 10 * MS);
	ps2mouse_move(&mouse, 300, 0, 0, 0);
	AUX(0x08, 0xff, 0x00);
	fakeclock_advance(&clock_, 10 * MS);
	AUX(0x08, 45, 0x00);
	fakeclock_advance(&clock_, 100 * MS);
	assert_false(status() & I8042_STS_OBF);
}

static void the_knock(void **state)
{
	(void)state;
	set_rate(200);
	set_rate(100);
	set_rate(79); /* not quite */
	expect_id(0);
	set_rate(200);
	set_rate(100);
	set_rate(80);
	expect_id(3);
	enable_mouse();
	ps2mouse_move(&mouse, 1, 0, -1, PS2_MOUSE_SIDE);
	AUX(0x08, 0x01, 0x00, 0xff);
	set_rate(200);
	set_rate(200);
	set_rate(80);
	expect_id(4);
	fakeclock_advance(&clock_, 20 * MS);
	ps2mouse_move(&mouse, 0, 0, 1, PS2_MOUSE_SIDE | PS2_MOUSE_RIGHT);
	AUX(0x0a, 0x00, 0x00, 0x11);
	send_aux(0xff); /* a reset makes it plain again */
	AUX(0xfa, 0xaa, 0x00);
	expect_id(0);
}

static void remote_mode(void **state)
{
	(void)state;
	send_aux(0xf0);
	AUX(0xfa);
	ps2mouse_move(&mouse, 7, 0, 0, 0);
	assert_false(status() & I8042_STS_OBF);
	send_aux(0xeb);
	AUX(0xfa, 0x08, 0x07, 0x00);
	send_aux(0xeb);
	AUX(0xfa, 0x08, 0x00, 0x00);
}

/* Both have something: it comes out marked for whom it is, the keyboard's first. */
static void both(void **state)
{
	(void)state;
	enable_mouse();
	ps2kbd_key(&kbd, 0x1c, true);
	ps2mouse_move(&mouse, 1, 1, 0, 0);
	expect_from(false, 0x1c);
	expect_from(true, 0x08);
	ps2kbd_key(&kbd, 0x1c, false);
	expect_from(true, 0x01);
	expect_from(false, 0xf0);
	expect_from(false, 0x1c);
	AUX(0x01);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(keyboard_answers, setup),
		cmocka_unit_test_setup(key_codes, setup),
		cmocka_unit_test_setup(set_one, setup),
		cmocka_unit_test_setup(set_three, setup),
		cmocka_unit_test_setup(typematic, setup),
		cmocka_unit_test_setup(overrun, setup),
		cmocka_unit_test_setup(inhibited, setup),
		cmocka_unit_test_setup(mouse_answers, setup),
		cmocka_unit_test_setup(movement, setup),
		cmocka_unit_test_setup(the_knock, setup),
		cmocka_unit_test_setup(remote_mode, setup),
		cmocka_unit_test_setup(both, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
