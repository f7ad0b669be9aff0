// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "tests/unit/fakeclock.h"
#include "worker/platform/acpipm.h"

struct bench {
	struct fakeclock clock;
	struct fakepins pins;
	struct acpipm pm;
	int power_offs;
	int resets[2];
};

static void host_power_off(void *ctx)
{
	((struct bench *)ctx)->power_offs++;
}

static void host_reset(void *ctx, enum dev_reset how)
{
	((struct bench *)ctx)->resets[how]++;
}

static uint32_t rd(struct bench *b, unsigned int off, unsigned int size)
{
	return (uint32_t)acpipm_ops.read(&b->pm, off, size);
}

static void wr(struct bench *b, unsigned int off, unsigned int size, uint32_t val)
{
	acpipm_ops.write(&b->pm, off, size, val);
}

static bool sci(struct bench *b)
{
	return b->pins.level[9];
}

static struct bench *make(uint8_t bits, bool acpi_mode)
{
	static struct bench b;
	struct acpipm_config config = { .s5_typ = 5, .timer_bits = bits, .acpi_mode = acpi_mode };
	struct acpipm_host host = { host_power_off, host_reset, &b };

	memset(&b, 0, sizeof(b));
	fakeclock_init(&b.clock);
	acpipm_init(&b.pm, &b.clock.clk, fakepin(&b.pins, 9), &config, &host);
	return &b;
}

static void timer_rate(void **state)
{
	struct bench *b = make(24, true);

	(void)state;
	fakeclock_to(&b->clock, DEV_NS_PER_SEC);
	assert_int_equal(rd(b, ACPIPM_TMR, 4), 3579545);
	fakeclock_to(&b->clock, 88000);
	/* 88 s are 315,000,000 ticks exactly; 24 bits of them. */
	fakeclock_to(&b->clock, 88 * DEV_NS_PER_SEC);
	assert_int_equal(rd(b, ACPIPM_TMR, 4), 315000000 & 0xffffff);
	assert_int_equal(rd(b, ACPIPM_TMR, 1), 315000000 & 0xff);
	assert_int_equal(rd(b, ACPIPM_TMR + 1, 2), 315000000 >> 8 & 0xffff);
	wr(b, ACPIPM_TMR, 4, 0); /* read-only */
	assert_int_equal(rd(b, ACPIPM_TMR, 4), 315000000 & 0xffffff);
	b = make(32, true);
	fakeclock_to(&b->clock, 88 * DEV_NS_PER_SEC);
	assert_int_equal(rd(b, ACPIPM_TMR, 4), 315000000);
	fakeclock_to(&b->clock, 8800 * DEV_NS_PER_SEC);
	assert_int_equal(rd(b, ACPIPM_TMR, 4), (uint32_t)31500000000ull);
}

static void timer_overflow(void **state)
{
	struct bench *b = make(24, true);
	const uint64_t half = (1ull << 23) * ACPIPM_TICK_DEN / ACPIPM_TICK_NUM;

	(void)state;
	fakeclock_to(&b->clock, half - 1000);
	assert_int_equal(rd(b, ACPIPM_PM1_STS, 2), 0);
	fakeclock_to(&b->clock, half + 1000);
	assert_int_equal(rd(b, ACPIPM_PM1_STS, 2), ACPIPM_TMR_STS);
	assert_false(sci(b)); /* not enabled */
	wr(b, ACPIPM_PM1_EN, 2, ACPIPM_TMR_STS);
	assert_true(sci(b));
	wr(b, ACPIPM_PM1_STS, 2, ACPIPM_TMR_STS);
	assert_false(sci(b));
	assert_int_equal(rd(b, ACPIPM_PM1_STS, 2), 0);
	/* Both directions of the bit count, and the host is woken for it. */
	fakeclock_to(&b->clock, 2 * half - 1000);
	assert_false(sci(b));
	fakeclock_to(&b->clock, 2 * half + 1000);
	assert_true(sci(b));
	/* While the status stays set there's no need to wake up again. */
	assert_true(timerq_deadline(&b->clock.q) == TIMERQ_NEVER);
	wr(b, ACPIPM_PM1_STS, 1, ACPIPM_TMR_STS);
	assert_false(timerq_deadline(&b->clock.q) == TIMERQ_NEVER);
	wr(b, ACPIPM_PM1_EN, 2, 0);
	assert_true(timerq_deadline(&b->clock.q) == TIMERQ_NEVER);
}

static void power_button(void **state)
{
	struct bench *b = make(24, false);

	(void)state;
	wr(b, ACPIPM_PM1_EN, 2, ACPIPM_PWRBTN_STS);
	acpipm_power_button(&b->pm);
	assert_int_equal(rd(b, ACPIPM_PM1_STS, 2), ACPIPM_PWRBTN_STS);
	assert_false(sci(b)); /* legacy mode */
	acpipm_set_acpi_mode(&b->pm, true);
	assert_true(sci(b));
	assert_int_equal(rd(b, ACPIPM_PM1_CNT, 2), ACPIPM_SCI_EN);
	wr(b, ACPIPM_PM1_STS, 2, ACPIPM_RTC_STS); /* another bit */
	assert_true(sci(b));
	wr(b, ACPIPM_PM1_STS + 1, 1, ACPIPM_PWRBTN_STS >> 8);
	assert_false(sci(b));
	acpipm_power_button(&b->pm);
	assert_true(sci(b));
	acpipm_reset(&b->pm);
	assert_false(sci(b));
	assert_int_equal(rd(b, ACPIPM_PM1_CNT, 2), 0);
}

static void register_masks(void **state)
{
	struct bench *b = make(24, true);

	(void)state;
	wr(b, ACPIPM_PM1_EN, 2, 0xffff);
	assert_int_equal(rd(b, ACPIPM_PM1_EN, 2), 0x0521);
	wr(b, ACPIPM_PM1_EN + 1, 1, 0);
	assert_int_equal(rd(b, ACPIPM_PM1_STS, 4), 0x00210000);
	wr(b, ACPIPM_PM1_CNT, 2, 0x1c03); /* SLP_TYP 7 */
	assert_int_equal(rd(b, ACPIPM_PM1_CNT, 2), 0x1c03);
	wr(b, ACPIPM_PM1_CNT, 2, 0xe3ff); /* reserved, and SLP_EN for type 0 */
	assert_int_equal(rd(b, ACPIPM_PM1_CNT, 2), 0x0003);
	for (unsigned int off = 0x10; off < ACPIPM_PORTS; off++) {
		wr(b, off, 1, 0xff);
		assert_int_equal(rd(b, off, 1), 0);
	}
	assert_int_equal(b->power_offs, 0);
}

/* Each register by itself, and nothing of its neighbours. */
static void registers_are_apart(void **state)
{
	struct bench *b = make(32, true);

	(void)state;
	acpipm_power_button(&b->pm);
	acpipm_set_gpe(&b->pm, 0, true);
	acpipm_set_gpe(&b->pm, 15, true);
	acpipm_set_gpe(&b->pm, 0, false);
	acpipm_set_gpe(&b->pm, 15, false);
	wr(b, ACPIPM_PM1_CNT, 2, 0x0401);
	wr(b, ACPIPM_PM1_EN, 2, 0x0501);
	wr(b, ACPIPM_GPE0_EN, 2, 0x1234);
	wr(b, ACPIPM_GPE0_STS, 2, 0x8000);
	assert_int_equal(rd(b, ACPIPM_PM1_STS, 4), 0x05010100);
	assert_int_equal(rd(b, ACPIPM_PM1_CNT, 4), 0x0401);
	assert_int_equal(rd(b, ACPIPM_GPE0_STS, 4), 0x12340001);
	/* Statuses add up. */
	fakeclock_to(&b->clock, (1ull << 31) * ACPIPM_TICK_DEN / ACPIPM_TICK_NUM + 1000);
	assert_int_equal(rd(b, ACPIPM_PM1_STS, 2), ACPIPM_PWRBTN_STS | ACPIPM_TMR_STS);
	wr(b, ACPIPM_PM1_STS, 2, ACPIPM_PWRBTN_STS);
	acpipm_power_button(&b->pm);
	assert_int_equal(rd(b, ACPIPM_PM1_STS, 2), ACPIPM_PWRBTN_STS | ACPIPM_TMR_STS);
	acpipm_set_acpi_mode(&b->pm, false);
	assert_int_equal(rd(b, ACPIPM_PM1_CNT, 2), 0x0400);
	assert_false(sci(b));
	acpipm_set_acpi_mode(&b->pm, true);
	assert_int_equal(rd(b, ACPIPM_PM1_CNT, 2), 0x0401);
	assert_true(sci(b));
}

static void soft_off(void **state)
{
	struct bench *b = make(24, true);

	(void)state;
	/* The type alone does nothing, nor the enable of another type. */
	wr(b, ACPIPM_PM1_CNT, 2, 5 << ACPIPM_SLP_TYP_SHIFT | ACPIPM_SCI_EN);
	wr(b, ACPIPM_PM1_CNT, 2, 1 << ACPIPM_SLP_TYP_SHIFT | ACPIPM_SLP_EN | ACPIPM_SCI_EN);
	assert_int_equal(b->power_offs, 0);
	wr(b, ACPIPM_PM1_CNT, 2, 5 << ACPIPM_SLP_TYP_SHIFT | ACPIPM_SLP_EN | ACPIPM_SCI_EN);
	assert_int_equal(b->power_offs, 1);
	assert_int_equal(rd(b, ACPIPM_PM1_CNT, 2) & ACPIPM_SLP_EN, 0);
	/* As a byte, and as a 32-bit access from the register before. */
	wr(b, ACPIPM_PM1_CNT + 1, 1, 5 << 2 | ACPIPM_SLP_EN >> 8);
	assert_int_equal(b->power_offs, 2);
	wr(b, ACPIPM_PM1_EN, 4, (uint32_t)(5 << 2 | ACPIPM_SLP_EN >> 8) << 24);
	assert_int_equal(b->power_offs, 3);
}

static void general_purpose_events(void **state)
{
	struct bench *b = make(24, true);

	(void)state;
	acpipm_set_gpe(&b->pm, 3, true);
	acpipm_set_gpe(&b->pm, 3, false);
	acpipm_set_gpe(&b->pm, 16, true);
	assert_int_equal(rd(b, ACPIPM_GPE0_STS, 2), 1 << 3);
	assert_false(sci(b));
	wr(b, ACPIPM_GPE0_EN, 2, 0xffff);
	assert_true(sci(b));
	wr(b, ACPIPM_GPE0_STS, 2, 1 << 3);
	assert_false(sci(b));
	/* One that is still asserted comes back at once. */
	acpipm_set_gpe(&b->pm, 12, true);
	wr(b, ACPIPM_GPE0_STS + 1, 1, 1 << 4);
	assert_int_equal(rd(b, ACPIPM_GPE0_STS, 4), 0xffff1000);
	assert_true(sci(b));
	acpipm_set_gpe(&b->pm, 12, false);
	assert_true(sci(b));
	wr(b, ACPIPM_GPE0_STS + 1, 1, 1 << 4);
	assert_false(sci(b));
}

static void rc(struct bench *b, uint8_t val)
{
	acpipm_rc_ops.write(&b->pm, 0, 1, val);
}

static void reset_control(void **state)
{
	struct bench *b = make(24, true);

	(void)state;
	rc(b, 0x02);
	assert_int_equal(acpipm_rc_ops.read(&b->pm, 0, 1), 0x02);
	assert_int_equal(b->resets[DEV_RESET_HARD] + b->resets[DEV_RESET_SOFT], 0);
	rc(b, 0x06);
	assert_int_equal(b->resets[DEV_RESET_HARD], 1);
	rc(b, 0x06); /* no transition */
	assert_int_equal(b->resets[DEV_RESET_HARD], 1);
	acpipm_reset(&b->pm);
	assert_int_equal(acpipm_rc_ops.read(&b->pm, 0, 1), 0);
	rc(b, 0x04);
	assert_int_equal(b->resets[DEV_RESET_SOFT], 1);
	rc(b, 0xff & ~0x04);
	assert_int_equal(acpipm_rc_ops.read(&b->pm, 0, 1), 0x0a);
	rc(b, 0x0e);
	assert_int_equal(b->resets[DEV_RESET_HARD], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timer_rate),
		cmocka_unit_test(timer_overflow),
		cmocka_unit_test(power_button),
		cmocka_unit_test(register_masks),
		cmocka_unit_test(registers_are_apart),
		cmocka_unit_test(soft_off),
		cmocka_unit_test(general_purpose_events),
		cmocka_unit_test(reset_control),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
