// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "tests/unit/fakeclock.h"
#include "worker/platform/i8042.h"

struct bench {
	struct fakepins pins;
	struct i8042 kbc;
	unsigned int resets;
	unsigned int a20_calls;
	bool a20;
};

static void host_reset(void *ctx, enum dev_reset how)
{
	assert_int_equal(how, DEV_RESET_SOFT);
	((struct bench *)ctx)->resets++;
}

static void host_a20(void *ctx, bool on)
{
	struct bench *b = ctx;

	b->a20_calls++;
	b->a20 = on;
}

static void cmd(struct bench *b, uint8_t val)
{
	i8042_cmd_ops.write(&b->kbc, 0, 1, val);
}

static void data(struct bench *b, uint8_t val)
{
	i8042_data_ops.write(&b->kbc, 0, 1, val);
}

static uint8_t status(struct bench *b)
{
	return (uint8_t)i8042_cmd_ops.read(&b->kbc, 0, 1);
}

static uint8_t get(struct bench *b)
{
	assert_true(status(b) & I8042_STS_OBF);
	return (uint8_t)i8042_data_ops.read(&b->kbc, 0, 1);
}

static void no_output(struct bench *b)
{
	assert_false(status(b) & I8042_STS_OBF);
}

static uint8_t ask(struct bench *b, uint8_t command)
{
	cmd(b, command);
	return get(b);
}

static void port92(struct bench *b, uint8_t val)
{
	i8042_port92_ops.write(&b->kbc, 0, 1, val);
}

static int setup(void **state)
{
	static struct bench b;
	struct i8042_host host = { host_reset, host_a20, &b };

	memset(&b, 0, sizeof(b));
	b.a20 = true;
	i8042_init(&b.kbc, fakepin(&b.pins, 1), fakepin(&b.pins, 12), &host);
	*state = &b;
	return 0;
}

static void after_reset(void **state)
{
	struct bench *b = *state;

	assert_int_equal(status(b), I8042_STS_UNLOCK);
	assert_int_equal(ask(b, 0x20), I8042_CTR_KBD_OFF | I8042_CTR_AUX_OFF);
	assert_int_equal(b->a20_calls, 0);
}

static void self_tests(void **state)
{
	struct bench *b = *state;

	assert_int_equal(ask(b, 0xaa), 0x55);
	assert_int_equal(status(b), I8042_STS_UNLOCK | I8042_STS_SYS | I8042_STS_COMMAND);
	assert_int_equal(ask(b, 0xab), 0x00);
	assert_int_equal(ask(b, 0xa9), 0x00);
	assert_int_equal(ask(b, 0xa4), 0xf1);
	assert_int_equal(ask(b, 0xc0), 0xa0);
	assert_int_equal(ask(b, 0xe0), 0x03);
	no_output(b);
}

static void memory(void **state)
{
	struct bench *b = *state;

	for (uint8_t i = 1; i < 32; i++) {
		cmd(b, 0x60 + i);
		data(b, i ^ 0xa5);
	}
	for (uint8_t i = 1; i < 32; i++)
		assert_int_equal(ask(b, 0x20 + i), i ^ 0xa5);
	cmd(b, 0x60);
	data(b, 0x47);
	assert_int_equal(ask(b, 0x20), 0x47);
	cmd(b, 0xad);
	assert_int_equal(ask(b, 0x20), 0x57);
	cmd(b, 0xa7);
	assert_int_equal(ask(b, 0x20), 0x77);
	cmd(b, 0xae);
	cmd(b, 0xa8);
	assert_int_equal(ask(b, 0x20), 0x47);
	/* A command in place of the data byte cancels the first. */
	cmd(b, 0x60);
	cmd(b, 0xaa);
	assert_int_equal(get(b), 0x55);
	assert_int_equal(ask(b, 0x20), 0x47);
}

static void nobody_is_plugged_in(void **state)
{
	struct bench *b = *state;

	data(b, 0xf2); /* to the keyboard: identify */
	assert_int_equal(status(b), I8042_STS_UNLOCK | I8042_STS_OBF | I8042_STS_TIMEOUT);
	assert_int_equal(get(b), 0xfe);
	assert_int_equal(status(b), I8042_STS_UNLOCK);
	assert_int_equal(ask(b, 0x20), I8042_CTR_AUX_OFF);
	cmd(b, 0xd4);
	data(b, 0xf2);
	assert_int_equal(status(b),
			 I8042_STS_UNLOCK | I8042_STS_OBF | I8042_STS_TIMEOUT | I8042_STS_AUX);
	assert_int_equal(get(b), 0xfe);
	assert_int_equal(ask(b, 0x20), 0);
}

static void output_buffer_writes(void **state)
{
	struct bench *b = *state;

	cmd(b, 0xd2);
	data(b, 0x12);
	assert_int_equal(status(b) & I8042_STS_AUX, 0);
	assert_int_equal(get(b), 0x12);
	/* The loop by which the auxiliary port and multiplexers are looked for. */
	for (unsigned int i = 0; i < 256; i++) {
		cmd(b, 0xd3);
		data(b, (uint8_t)i);
		assert_true(status(b) & I8042_STS_AUX);
		assert_int_equal(get(b), i);
	}
	assert_int_equal(i8042_data_ops.read(&b->kbc, 0, 1), 255); /* empty: the last one */
}

static void interrupts(void **state)
{
	struct bench *b = *state;

	cmd(b, 0xaa);
	assert_false(b->pins.level[1]);
	get(b);
	cmd(b, 0x60);
	data(b, I8042_CTR_KBD_INT | I8042_CTR_AUX_INT);
	cmd(b, 0xd2);
	data(b, 1);
	assert_true(b->pins.level[1]);
	assert_false(b->pins.level[12]);
	cmd(b, 0xd3);
	data(b, 2); /* takes the place of the other */
	assert_false(b->pins.level[1]);
	assert_true(b->pins.level[12]);
	assert_int_equal(get(b), 2);
	assert_false(b->pins.level[12]);
	/* Each output is an edge of its own. */
	cmd(b, 0xaa);
	cmd(b, 0xaa);
	assert_int_equal(b->pins.rises[1], 3);
	cmd(b, 0x60);
	data(b, 0);
	assert_false(b->pins.level[1]);
	cmd(b, 0x60);
	data(b, I8042_CTR_KBD_INT);
	assert_true(b->pins.level[1]);
	i8042_reset(&b->kbc);
	assert_false(b->pins.level[1]);
}

static void output_port(void **state)
{
	struct bench *b = *state;

	assert_int_equal(ask(b, 0xd0), 0xcf);
	cmd(b, 0x60);
	data(b, I8042_CTR_KBD_INT | I8042_CTR_AUX_INT);
	cmd(b, 0xd3);
	data(b, 0);
	assert_int_equal(ask(b, 0xd0), 0xef);
	cmd(b, 0xd1);
	data(b, 0xdd);
	assert_false(b->a20);
	assert_int_equal(b->resets, 0);
	cmd(b, 0xd1);
	data(b, 0xdf);
	assert_true(b->a20);
	cmd(b, 0xd1);
	data(b, 0xde);
	assert_int_equal(b->resets, 1);
	assert_int_equal(ask(b, 0xd0) & 0x01, 0x01);
}

static void a20_gate(void **state)
{
	struct bench *b = *state;

	cmd(b, 0xdd);
	assert_false(b->a20);
	port92(b, 0x02);
	assert_true(b->a20);
	assert_int_equal(i8042_port92_ops.read(&b->kbc, 0, 1), 0x02);
	cmd(b, 0xdf);
	port92(b, 0x00);
	assert_true(b->a20); /* either way is enough */
	assert_int_equal(b->a20_calls, 2);
	cmd(b, 0xdd);
	i8042_reset(&b->kbc);
	assert_true(b->a20);
	assert_int_equal(b->resets, 0);
}

static void processor_reset(void **state)
{
	struct bench *b = *state;

	cmd(b, 0xff);
	cmd(b, 0xfd);
	cmd(b, 0xf1);
	assert_int_equal(b->resets, 0);
	cmd(b, 0xfe);
	assert_int_equal(b->resets, 1);
	cmd(b, 0xf0);
	assert_int_equal(b->resets, 2);
	no_output(b);
	port92(b, 0x01);
	assert_int_equal(b->resets, 3);
	port92(b, 0x01); /* no transition */
	assert_int_equal(b->resets, 3);
	port92(b, 0x00);
	port92(b, 0xff);
	assert_int_equal(b->resets, 4);
	assert_int_equal(i8042_port92_ops.read(&b->kbc, 0, 1), 0x03);
}

static void password(void **state)
{
	struct bench *b = *state;

	cmd(b, 0xa5);
	data(b, 'x');
	data(b, 'y');
	data(b, 0);
	no_output(b);
	assert_int_equal(b->resets, 0);
	assert_int_equal(b->kbc.out, 0xcf);
	data(b, 0xed);
	assert_int_equal(get(b), 0xfe);
}

/* Every command that gives no answer leaves everything but its own bit alone. */
static void silent_commands(void **state)
{
	static const struct {
		uint8_t cmd, before, after;
	} table[] = {
		{ 0xa7, 0x00, 0x20 }, { 0xa8, 0x30, 0x10 }, { 0xad, 0x00, 0x10 },
		{ 0xae, 0x30, 0x20 }, { 0xdf, 0x11, 0x11 }, { 0xdd, 0x11, 0x11 },
	};
	struct bench *b = *state;

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		cmd(b, 0x60);
		data(b, table[i].before);
		cmd(b, table[i].cmd);
		no_output(b);
		assert_int_equal(ask(b, 0x20), table[i].after);
	}
	cmd(b, 0xd1);
	data(b, 0xdf);
	no_output(b);
	cmd(b, 0x60);
	data(b, I8042_CTR_KBD_INT);
	cmd(b, 0xd2);
	data(b, 0x77);
	assert_int_equal(b->kbc.out, 0xdf);
	assert_true(b->pins.level[1]);
	/* The output port shows the interrupt that its own answer replaces. */
	assert_int_equal(ask(b, 0xd0), 0xdf);
	assert_int_equal(ask(b, 0xd0), 0xcf);
	assert_int_equal(b->resets, 0);
}

static void unknown_commands(void **state)
{
	struct bench *b = *state;

	for (unsigned int c = 0x80; c < 0xa4; c++)
		cmd(b, (uint8_t)c);
	cmd(b, 0xd8);
	no_output(b);
	assert_int_equal(b->resets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(after_reset, setup),
		cmocka_unit_test_setup(self_tests, setup),
		cmocka_unit_test_setup(memory, setup),
		cmocka_unit_test_setup(nobody_is_plugged_in, setup),
		cmocka_unit_test_setup(output_buffer_writes, setup),
		cmocka_unit_test_setup(interrupts, setup),
		cmocka_unit_test_setup(output_port, setup),
		cmocka_unit_test_setup(a20_gate, setup),
		cmocka_unit_test_setup(processor_reset, setup),
		cmocka_unit_test_setup(password, setup),
		cmocka_unit_test_setup(silent_commands, setup),
		cmocka_unit_test_setup(unknown_commands, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
