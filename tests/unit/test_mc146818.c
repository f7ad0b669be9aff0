// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <setjmp.h>
#include <time.h>
#include <cmocka.h>
#include "tests/unit/fakeclock.h"
#include "worker/platform/mc146818.h"

#define MS 1000000ull

struct bench {
	struct fakeclock clock;
	struct fakepins pins;
	struct mc146818 rtc;
};

static uint8_t rd(struct bench *b, uint8_t reg)
{
	mc146818_ops.write(&b->rtc, 0, 1, reg);
	return (uint8_t)mc146818_ops.read(&b->rtc, 1, 1);
}

static void wr(struct bench *b, uint8_t reg, uint8_t val)
{
	mc146818_ops.write(&b->rtc, 0, 1, reg);
	mc146818_ops.write(&b->rtc, 1, 1, val);
}

static bool irq(struct bench *b)
{
	return b->pins.level[8];
}

static void seconds(struct bench *b, uint64_t n)
{
	fakeclock_advance(&b->clock, n * DEV_NS_PER_SEC);
}

static uint64_t epoch(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = { .tm_year = year - 1900,
			 .tm_mon = month - 1,
			 .tm_mday = day,
			 .tm_hour = hour,
			 .tm_min = minute,
			 .tm_sec = second };

	return (uint64_t)timegm(&tm) * DEV_NS_PER_SEC;
}

static void set(struct bench *b, int year, int month, int day, int hour, int minute, int second)
{
	mc146818_set_time(&b->rtc, epoch(year, month, day, hour, minute, second));
}

/* Compare date and time, as raw register values. */
static void expect(struct bench *b, unsigned int year, unsigned int month, unsigned int day,
		   unsigned int hour, unsigned int minute, unsigned int second)
{
	assert_int_equal(rd(b, RTC_SECONDS), second);
	assert_int_equal(rd(b, RTC_MINUTES), minute);
	assert_int_equal(rd(b, RTC_HOURS), hour);
	assert_int_equal(rd(b, RTC_DAY), day);
	assert_int_equal(rd(b, RTC_MONTH), month);
	assert_int_equal(rd(b, RTC_YEAR), year & 0xff);
	assert_int_equal(rd(b, RTC_CENTURY), year >> 8);
}

static int setup(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	fakeclock_init(&b.clock);
	b.clock.now = 12345678;
	mc146818_init(&b.rtc, &b.clock.clk, fakepin(&b.pins, 8), epoch(2024, 2, 28, 23, 59, 58));
	*state = &b;
	return 0;
}

static void shows_the_time(void **state)
{
	struct bench *b = *state;

	expect(b, 0x2024, 0x02, 0x28, 0x23, 0x59, 0x58);
	assert_int_equal(rd(b, RTC_WEEKDAY), 4); /* a Wednesday */
	assert_int_equal(rd(b, RTC_A), 0x26);
	assert_int_equal(rd(b, RTC_B), 0x02);
	assert_int_equal(rd(b, RTC_D), 0x80);
	seconds(b, 2);
	expect(b, 0x2024, 0x02, 0x29, 0x00, 0x00, 0x00);
	assert_int_equal(rd(b, RTC_WEEKDAY), 5);
	seconds(b, 86400);
	expect(b, 0x2024, 0x03, 0x01, 0x00, 0x00, 0x00);
	/* Nobody asked for interrupts: nothing woke the host. */
	assert_true(timerq_deadline(&b->clock.q) == TIMERQ_NEVER);
}

static void agrees_with_the_calendar(void **state)
{
	struct bench *b = *state;
	uint64_t t = epoch(1999, 12, 1, 3, 2, 1) / DEV_NS_PER_SEC;

	mc146818_set_time(&b->rtc, t * DEV_NS_PER_SEC);
	for (unsigned int i = 0; i < 2000; i++) {
		uint64_t step = 1 + i * 7919ull * 13 % 4000000;
		struct tm tm;
		time_t now;

		seconds(b, step);
		t += step;
		now = (time_t)t;
		gmtime_r(&now, &tm);
		if (tm.tm_year >= 200)
			break;
		assert_int_equal(b->rtc.reg[RTC_B] & RTC_B_DM, 0);
#define BCD(n) ((n) / 10 << 4 | (n) % 10)
		expect(b,
		       (unsigned int)(BCD((tm.tm_year + 1900) / 100) << 8 | BCD(tm.tm_year % 100)),
		       BCD(tm.tm_mon + 1), BCD(tm.tm_mday), BCD(tm.tm_hour), BCD(tm.tm_min),
		       BCD(tm.tm_sec));
		assert_int_equal(rd(b, RTC_WEEKDAY), tm.tm_wday + 1);
	}
	assert_true(t > (uint64_t)epoch(2090, 1, 1, 0, 0, 0) / DEV_NS_PER_SEC);
}

static void century_turns(void **state)
{
	struct bench *b = *state;

	set(b, 1999, 12, 31, 23, 59, 59);
	expect(b, 0x1999, 0x12, 0x31, 0x23, 0x59, 0x59);
	seconds(b, 1);
	expect(b, 0x2000, 0x01, 0x01, 0x00, 0x00, 0x00);
	assert_int_equal(rd(b, RTC_WEEKDAY), 7);
	set(b, 2023, 2, 28, 23, 59, 59);
	seconds(b, 1);
	expect(b, 0x2023, 0x03, 0x01, 0x00, 0x00, 0x00);
	/* 2100 is no leap year where the host says the date. */
	set(b, 2100, 3, 1, 0, 0, 0);
	expect(b, 0x2100, 0x03, 0x01, 0x00, 0x00, 0x00);
}

static void formats(void **state)
{
	struct bench *b = *state;

	/* Binary */
	wr(b, RTC_B, RTC_B_24 | RTC_B_DM);
	set(b, 2024, 12, 31, 19, 58, 59);
	expect(b, 20 << 8 | 24, 12, 31, 19, 58, 59);
	seconds(b, 1);
	expect(b, 20 << 8 | 24, 12, 31, 19, 59, 0);
	/* BCD, 12 hours: 11 PM, 12 AM, 11 AM, 12 PM, 1 PM */
	wr(b, RTC_B, 0);
	set(b, 2024, 6, 30, 23, 59, 59);
	expect(b, 0x2024, 0x06, 0x30, 0x91, 0x59, 0x59);
	seconds(b, 1);
	expect(b, 0x2024, 0x07, 0x01, 0x12, 0x00, 0x00);
	seconds(b, 3600);
	assert_int_equal(rd(b, RTC_HOURS), 0x01);
	seconds(b, 10 * 3600 + 3599);
	assert_int_equal(rd(b, RTC_HOURS), 0x11);
	seconds(b, 1);
	assert_int_equal(rd(b, RTC_HOURS), 0x92);
	seconds(b, 3600);
	assert_int_equal(rd(b, RTC_HOURS), 0x81);
	assert_int_equal(rd(b, RTC_DAY), 0x01);
	/* Binary, 12 hours */
	wr(b, RTC_B, RTC_B_DM);
	set(b, 2024, 6, 30, 12, 0, 0);
	assert_int_equal(rd(b, RTC_HOURS), 0x8c);
	/* Changing the format converts nothing. */
	wr(b, RTC_B, RTC_B_24 | RTC_B_DM);
	assert_int_equal(rd(b, RTC_HOURS), 0x8c);
}

static void set_bit_stops_updates(void **state)
{
	struct bench *b = *state;

	wr(b, RTC_B, RTC_B_UIE | RTC_B_24);
	wr(b, RTC_B, RTC_B_SET | RTC_B_UIE | RTC_B_24);
	assert_int_equal(rd(b, RTC_B), RTC_B_SET | RTC_B_24); /* clears UIE */
	seconds(b, 5);
	assert_int_equal(rd(b, RTC_SECONDS), 0x58);
	assert_int_equal(rd(b, RTC_C), RTC_C_PF); /* the periodic one runs on */
	wr(b, RTC_SECONDS, 0x10);
	wr(b, RTC_MINUTES, 0x20);
	wr(b, RTC_HOURS, 0x05);
	wr(b, RTC_B, RTC_B_24);
	fakeclock_advance(&b->clock, 300 * MS);
	assert_int_equal(rd(b, RTC_SECONDS), 0x10);
	seconds(b, 1);
	expect(b, 0x2024, 0x02, 0x28, 0x05, 0x20, 0x11);
}

static void divider_reset(void **state)
{
	struct bench *b = *state;

	fakeclock_advance(&b->clock, 100 * MS);
	wr(b, RTC_A, 0x76);
	seconds(b, 10);
	assert_int_equal(rd(b, RTC_SECONDS), 0x58);
	assert_int_equal(rd(b, RTC_A), 0x76);
	wr(b, RTC_A, 0x26);
	fakeclock_advance(&b->clock, 499 * MS);
	assert_int_equal(rd(b, RTC_SECONDS), 0x58);
	fakeclock_advance(&b->clock, 2 * MS);
	assert_int_equal(rd(b, RTC_SECONDS), 0x59);
	fakeclock_advance(&b->clock, 1000 * MS);
	assert_int_equal(rd(b, RTC_SECONDS), 0x00);
}

static void update_in_progress(void **state)
{
	struct bench *b = *state;

	fakeclock_advance(&b->clock, DEV_NS_PER_SEC - 2300000);
	assert_int_equal(rd(b, RTC_A), 0x26);
	fakeclock_advance(&b->clock, 100000);
	assert_int_equal(rd(b, RTC_A), 0xa6);
	assert_int_equal(rd(b, RTC_SECONDS), 0x58);
	wr(b, RTC_A, 0xa6); /* read-only */
	wr(b, RTC_B, RTC_B_SET | RTC_B_24);
	assert_int_equal(rd(b, RTC_A), 0x26);
	wr(b, RTC_B, RTC_B_24);
	fakeclock_advance(&b->clock, 2199999);
	assert_int_equal(rd(b, RTC_A), 0xa6);
	fakeclock_advance(&b->clock, 1);
	assert_int_equal(rd(b, RTC_A), 0x26);
	assert_int_equal(rd(b, RTC_SECONDS), 0x59);
}

static void update_ended_interrupt(void **state)
{
	struct bench *b = *state;

	set(b, 2024, 1, 1, 12, 0, 0);
	seconds(b, 1);
	assert_int_equal(rd(b, RTC_C), RTC_C_PF | RTC_C_UF); /* flags without enables */
	wr(b, RTC_B, RTC_B_UIE | RTC_B_24);
	fakeclock_advance(&b->clock, 999 * MS);
	assert_false(irq(b));
	fakeclock_advance(&b->clock, 1 * MS);
	assert_true(irq(b));
	seconds(b, 3); /* stays until C is read */
	assert_int_equal(b->pins.rises[8], 1);
	assert_int_equal(rd(b, RTC_C), RTC_C_IRQF | RTC_C_PF | RTC_C_UF);
	assert_false(irq(b));
	assert_int_equal(rd(b, RTC_C), 0);
	seconds(b, 1);
	assert_true(irq(b));
	/* Disabling takes the pin down, and the flag stays. */
	wr(b, RTC_B, RTC_B_24);
	assert_false(irq(b));
	wr(b, RTC_B, RTC_B_UIE | RTC_B_24);
	assert_true(irq(b));
	mc146818_reset(&b->rtc);
	assert_false(irq(b));
	assert_int_equal(rd(b, RTC_B), RTC_B_24);
	assert_int_equal(rd(b, RTC_C), 0);
}

static void periodic_interrupt(void **state)
{
	static const unsigned int hz[16] = { 0,	  256, 128, 8192, 4096, 2048, 1024, 512,
					     256, 128, 64,  32,	  16,	8,    4,    2 };
	struct bench *b = *state;

	set(b, 2024, 1, 1, 12, 0, 0);
	for (unsigned int rs = 0; rs < 16; rs++) {
		unsigned int n = 0;
		uint64_t end;

		wr(b, RTC_A, (uint8_t)(0x20 | rs));
		wr(b, RTC_B, RTC_B_PIE | RTC_B_24);
		rd(b, RTC_C);
		end = b->clock.now + DEV_NS_PER_SEC;
		while (timerq_deadline(&b->clock.q) <= end) {
			fakeclock_to(&b->clock, timerq_deadline(&b->clock.q));
			assert_true(irq(b));
			assert_int_equal(rd(b, RTC_C) & ~RTC_C_UF, RTC_C_IRQF | RTC_C_PF);
			n++;
		}
		assert_int_equal(n, hz[rs]);
		fakeclock_to(&b->clock, end);
	}
	/* A late clock merges them and goes on in step. */
	wr(b, RTC_A, 0x26);
	rd(b, RTC_C);
	fakeclock_late(&b->clock, b->clock.now + 100 * MS);
	assert_true(irq(b));
	rd(b, RTC_C);
	assert_true(timerq_deadline(&b->clock.q) - b->clock.now < 1 * MS);
}

static void alarm(void **state)
{
	struct bench *b = *state;

	set(b, 2024, 5, 5, 6, 29, 58);
	wr(b, RTC_SECONDS_ALARM, 0x00);
	wr(b, RTC_MINUTES_ALARM, 0x30);
	wr(b, RTC_HOURS_ALARM, 0x06);
	wr(b, RTC_B, RTC_B_AIE | RTC_B_24);
	seconds(b, 1);
	assert_false(irq(b));
	seconds(b, 1);
	assert_true(irq(b));
	assert_int_equal(rd(b, RTC_C) & (RTC_C_IRQF | RTC_C_AF), RTC_C_IRQF | RTC_C_AF);
	seconds(b, 86399);
	assert_false(irq(b));
	seconds(b, 1);
	assert_true(irq(b));
}

static unsigned int alarms_in(struct bench *b, unsigned int n)
{
	unsigned int found = 0;

	rd(b, RTC_C);
	for (unsigned int i = 0; i < n; i++) {
		seconds(b, 1);
		found += !!(rd(b, RTC_C) & RTC_C_AF);
	}
	return found;
}

static void alarm_do_not_care(void **state)
{
	struct bench *b = *state;

	wr(b, RTC_SECONDS_ALARM, 0xff);
	wr(b, RTC_MINUTES_ALARM, 0xc0);
	wr(b, RTC_HOURS_ALARM, 0xd5);
	assert_int_equal(alarms_in(b, 100), 100);
	wr(b, RTC_SECONDS_ALARM, 0x30);
	assert_int_equal(alarms_in(b, 600), 10);
	wr(b, RTC_MINUTES_ALARM, 0x15);
	assert_int_equal(alarms_in(b, 7200), 2);
	wr(b, RTC_HOURS_ALARM, 0x10);
	assert_int_equal(alarms_in(b, 86400), 1);
	/* What no time looks like never matches. */
	wr(b, RTC_SECONDS_ALARM, 0x7a);
	assert_int_equal(alarms_in(b, 86400), 0);
	/* 12 hours: 12:15:30 AM */
	wr(b, RTC_B, 0);
	set(b, 2024, 1, 1, 23, 0, 0);
	wr(b, RTC_SECONDS_ALARM, 0x30);
	wr(b, RTC_HOURS_ALARM, 0x12);
	assert_int_equal(alarms_in(b, 3600 + 15 * 60 + 29), 0);
	assert_int_equal(alarms_in(b, 1), 1);
	wr(b, RTC_HOURS_ALARM, 0x92);
	assert_int_equal(alarms_in(b, 12 * 3600 - 1), 0);
	assert_int_equal(alarms_in(b, 1), 1);
}

static void alarm_seen_after_a_long_pause(void **state)
{
	struct bench *b = *state;

	set(b, 2024, 1, 1, 0, 0, 0);
	wr(b, RTC_SECONDS_ALARM, 0x17);
	wr(b, RTC_MINUTES_ALARM, 0x23);
	wr(b, RTC_HOURS_ALARM, 0x04);
	rd(b, RTC_C);
	seconds(b, 1000 * 86400ull);
	assert_true(rd(b, RTC_C) & RTC_C_AF);
	expect(b, 0x2026, 0x09, 0x27, 0x00, 0x00, 0x00);
}

static void nonsense_in_the_registers(void **state)
{
	struct bench *b = *state;

	for (uint8_t reg = RTC_SECONDS; reg <= RTC_YEAR; reg++)
		wr(b, reg, 0xff);
	seconds(b, 1);
	rd(b, RTC_SECONDS);
	seconds(b, 1000 * 86400ull);
	/* A clock again, whatever it shows. */
	assert_in_range(rd(b, RTC_SECONDS), 0x00, 0x59);
	assert_in_range(rd(b, RTC_MINUTES), 0x00, 0x59);
	assert_in_range(rd(b, RTC_HOURS), 0x00, 0x23);
	assert_in_range(rd(b, RTC_DAY), 0x01, 0x31);
	assert_in_range(rd(b, RTC_MONTH), 0x01, 0x12);
}

static void nvram(void **state)
{
	struct bench *b = *state;

	assert_int_equal(mc146818_nvram_set(&b->rtc, 0x0d, 1), -EINVAL);
	assert_int_equal(mc146818_nvram_set(&b->rtc, 128, 1), -EINVAL);
	assert_int_equal(mc146818_nvram_get(&b->rtc, 0), -EINVAL);
	assert_int_equal(mc146818_nvram_set(&b->rtc, 0x0e, 9), 0);
	assert_int_equal(mc146818_nvram_get(&b->rtc, 0x0e), 9);
	assert_int_equal(mc146818_nvram_set(&b->rtc, 0x5f, 3), 0);
	assert_int_equal(rd(b, 0x5f), 3);
	wr(b, 0x7f, 0x5a);
	assert_int_equal(mc146818_nvram_get(&b->rtc, 0x7f), 0x5a);
	/* Bit 7 of the index is the NMI mask. */
	assert_int_equal(rd(b, 0x80 | 0x7f), 0x5a);
	assert_true(b->rtc.nmi_masked);
	mc146818_reset(&b->rtc);
	assert_int_equal(rd(b, 0x7f), 0x5a);
	assert_false(b->rtc.nmi_masked);
	assert_int_equal(mc146818_ops.read(&b->rtc, 0, 1), 0xff);
	/* C and D are read-only. */
	wr(b, RTC_D, 0);
	wr(b, RTC_C, 0xff);
	assert_int_equal(rd(b, RTC_D), 0x80);
	assert_int_equal(rd(b, RTC_C), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(shows_the_time, setup),
		cmocka_unit_test_setup(agrees_with_the_calendar, setup),
		cmocka_unit_test_setup(century_turns, setup),
		cmocka_unit_test_setup(formats, setup),
		cmocka_unit_test_setup(set_bit_stops_updates, setup),
		cmocka_unit_test_setup(divider_reset, setup),
		cmocka_unit_test_setup(update_in_progress, setup),
		cmocka_unit_test_setup(update_ended_interrupt, setup),
		cmocka_unit_test_setup(periodic_interrupt, setup),
		cmocka_unit_test_setup(alarm, setup),
		cmocka_unit_test_setup(alarm_do_not_care, setup),
		cmocka_unit_test_setup(alarm_seen_after_a_long_pause, setup),
		cmocka_unit_test_setup(nonsense_in_the_registers, setup),
		cmocka_unit_test_setup(nvram, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
