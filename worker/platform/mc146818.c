// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include "worker/platform/mc146818.h"

#define SECONDS_PER_DAY 86400
#define CRYSTAL_HZ	32768
/* Data sheet, table 4: t_BUC + t_UC before the end of an update; UIP is set for so long. */
#define UIP_NS	    ((244 + 1984) * 1000ull)
#define HALF_SECOND (DEV_NS_PER_SEC / 2)
#define ALARM_ANY   0xc0 /* both upper bits: don't care */
#define HOUR_PM	    0x80
#define B_ENABLES   (RTC_B_PIE | RTC_B_AIE | RTC_B_UIE)
#define NO_MATCH    -1
#define ANY	    -2

/* The time registers as numbers. hour is 0 to 23 in either format. */
struct civil {
	unsigned int second, minute, hour, weekday, day, month, year, century;
};

static bool running(const struct mc146818 *rtc)
{
	return (rtc->reg[RTC_A] & RTC_A_DV) == RTC_DV_ON;
}

static bool updating(const struct mc146818 *rtc)
{
	return running(rtc) && !(rtc->reg[RTC_B] & RTC_B_SET);
}

static uint8_t encode(const struct mc146818 *rtc, unsigned int n)
{
	if (rtc->reg[RTC_B] & RTC_B_DM)
		return (uint8_t)n;
	return (uint8_t)(n / 10 << 4 | n % 10);
}

static unsigned int decode(const struct mc146818 *rtc, uint8_t raw)
{
	if (rtc->reg[RTC_B] & RTC_B_DM)
		return raw;
	return (raw >> 4) * 10u + (raw & 15);
}

static uint8_t encode_hour(const struct mc146818 *rtc, unsigned int hour)
{
	unsigned int h12 = hour % 12 ? hour % 12 : 12;

	if (rtc->reg[RTC_B] & RTC_B_24)
		return encode(rtc, hour);
	return encode(rtc, h12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned int decode_hour(const struct mc146818 *rtc, uint8_t raw)
{
	if (rtc->reg[RTC_B] & RTC_B_24)
		return decode(rtc, raw);
	return decode(rtc, raw & ~HOUR_PM) % 12 + (raw & HOUR_PM ? 12 : 0);
}

static void load(const struct mc146818 *rtc, struct civil *t)
{
	t->second = decode(rtc, rtc->reg[RTC_SECONDS]);
	t->minute = decode(rtc, rtc->reg[RTC_MINUTES]);
	t->hour = decode_hour(rtc, rtc->reg[RTC_HOURS]);
	t->weekday = decode(rtc, rtc->reg[RTC_WEEKDAY]);
	t->day = decode(rtc, rtc->reg[RTC_DAY]);
	t->month = decode(rtc, rtc->reg[RTC_MONTH]);
	t->year = decode(rtc, rtc->reg[RTC_YEAR]);
	t->century = decode(rtc, rtc->reg[RTC_CENTURY]);
}

/* Write back what differs from @before: a register that holds nonsense keeps it until it counts. */
static void store(struct mc146818 *rtc, const struct civil *t, const struct civil *before)
{
	if (t->second != before->second)
		rtc->reg[RTC_SECONDS] = encode(rtc, t->second);
	if (t->minute != before->minute)
		rtc->reg[RTC_MINUTES] = encode(rtc, t->minute);
	if (t->hour != before->hour)
		rtc->reg[RTC_HOURS] = encode_hour(rtc, t->hour);
	if (t->weekday != before->weekday)
		rtc->reg[RTC_WEEKDAY] = encode(rtc, t->weekday);
	if (t->day != before->day)
		rtc->reg[RTC_DAY] = encode(rtc, t->day);
	if (t->month != before->month)
		rtc->reg[RTC_MONTH] = encode(rtc, t->month);
	if (t->year != before->year)
		rtc->reg[RTC_YEAR] = encode(rtc, t->year);
	if (t->century != before->century)
		rtc->reg[RTC_CENTURY] = encode(rtc, t->century);
}

/* The part knows two digits of the year: every fourth is a leap year, which holds to 2099. */
static unsigned int month_days(unsigned int month, unsigned int year)
{
	static const uint8_t days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (month == 2)
		return year % 4 ? 28 : 29;
	return month >= 1 && month <= 12 ? days[month - 1] : 31;
}

/* Count @field up, from @max on to @min. Returns true for a carry. */
static bool count(unsigned int *field, unsigned int min, unsigned int max)
{
	bool carry = *field >= max;

	*field = carry ? min : *field + 1;
	return carry;
}

static void count_day(struct civil *t)
{
	count(&t->weekday, 1, 7);
	if (count(&t->day, 1, month_days(t->month, t->year)) && count(&t->month, 1, 12) &&
	    count(&t->year, 0, 99))
		count(&t->century, 0, 99);
}

static void count_second(struct civil *t)
{
	if (count(&t->second, 0, 59) && count(&t->minute, 0, 59) && count(&t->hour, 0, 23))
		count_day(t);
}

/* An alarm register: the number that matches, ANY, or NO_MATCH if no time ever looks like that. */
static int alarm_field(const struct mc146818 *rtc, enum rtc_reg reg)
{
	uint8_t raw = rtc->reg[reg];
	unsigned int n;

	if ((raw & ALARM_ANY) == ALARM_ANY)
		return ANY;
	if (reg == RTC_HOURS_ALARM) {
		n = decode_hour(rtc, raw);
		return n < 24 && encode_hour(rtc, n) == raw ? (int)n : NO_MATCH;
	}
	n = decode(rtc, raw);
	return n < 60 && encode(rtc, n) == raw ? (int)n : NO_MATCH;
}

static bool field_matches(int alarm, unsigned int n)
{
	return alarm == ANY || alarm == (int)n;
}

/* Count @n seconds. Returns true if the alarm matched one of them. */
static bool advance(struct mc146818 *rtc, uint64_t n)
{
	int second = alarm_field(rtc, RTC_SECONDS_ALARM);
	int minute = alarm_field(rtc, RTC_MINUTES_ALARM);
	int hour = alarm_field(rtc, RTC_HOURS_ALARM);
	struct civil before, t;
	bool match = false;

	load(rtc, &t);
	before = t;
	for (; n; n--) {
		bool sane = t.second < 60 && t.minute < 60 && t.hour < 24;

		/* Long pauses: whole days at once, but for a last one that visits any alarm. */
		for (; sane && n >= 2 * SECONDS_PER_DAY; n -= SECONDS_PER_DAY)
			count_day(&t);
		count_second(&t);
		match |= field_matches(second, t.second) && field_matches(minute, t.minute) &&
			 field_matches(hour, t.hour);
	}
	store(rtc, &t, &before);
	return match;
}

/* Length of the periodic interrupt's period in crystal ticks, 0 for none (data sheet, table 5). */
static uint64_t period(const struct mc146818 *rtc)
{
	unsigned int rs = rtc->reg[RTC_A] & RTC_A_RS;

	if (!rs)
		return 0;
	return rs < 3 ? 64ull << rs : 1ull << (rs - 1);
}

static uint64_t chain_ticks(const struct mc146818 *rtc, uint64_t now)
{
	return dev_muldiv(now - rtc->chain, CRYSTAL_HZ, DEV_NS_PER_SEC);
}

static uint64_t periods_at(const struct mc146818 *rtc, uint64_t now)
{
	return period(rtc) ? chain_ticks(rtc, now) / period(rtc) : 0;
}

static uint64_t next_second(const struct mc146818 *rtc)
{
	return rtc->chain + (rtc->seconds + 1) * DEV_NS_PER_SEC;
}

static uint64_t next_period(const struct mc146818 *rtc)
{
	return rtc->chain +
	       dev_muldiv_up((rtc->periods + 1) * period(rtc), DEV_NS_PER_SEC, CRYSTAL_HZ);
}

/* Bring time and flags to @now. */
static void sync(struct mc146818 *rtc, uint64_t now)
{
	uint64_t seconds, periods;

	if (!running(rtc))
		return;
	seconds = (now - rtc->chain) / DEV_NS_PER_SEC;
	if (seconds != rtc->seconds && updating(rtc)) {
		rtc->reg[RTC_C] |= RTC_C_UF;
		if (advance(rtc, seconds - rtc->seconds))
			rtc->reg[RTC_C] |= RTC_C_AF;
	}
	rtc->seconds = seconds;
	periods = periods_at(rtc, now);
	if (periods != rtc->periods)
		rtc->reg[RTC_C] |= RTC_C_PF;
	rtc->periods = periods;
}

/* Flags in C and their enables in B are the same bits. */
static bool irqf(const struct mc146818 *rtc)
{
	return rtc->reg[RTC_B] & rtc->reg[RTC_C] & B_ENABLES;
}

static void rearm(struct mc146818 *rtc)
{
	uint8_t wanted = rtc->reg[RTC_B] & ~rtc->reg[RTC_C] & B_ENABLES;
	uint64_t deadline = UINT64_MAX;

	/* While the pin is high there's nothing to wake up for: flags are read with C. */
	if (irqf(rtc) || !running(rtc))
		wanted = 0;
	if (wanted & (RTC_B_AIE | RTC_B_UIE) && updating(rtc))
		deadline = next_second(rtc);
	if (wanted & RTC_B_PIE && period(rtc) && next_period(rtc) < deadline)
		deadline = next_period(rtc);
	if (deadline == UINT64_MAX)
		dev_cancel(rtc->clk, &rtc->timer);
	else if (!rtc->timer.armed || rtc->timer.deadline != deadline)
		dev_arm(rtc->clk, &rtc->timer, deadline);
}

static void settle(struct mc146818 *rtc)
{
	bool level = irqf(rtc);

	rearm(rtc);
	if (level == rtc->irq_level)
		return;
	rtc->irq_level = level;
	irq_pin_set(&rtc->irq, level);
}

static void timer_fire(void *dev, uint64_t now)
{
	struct mc146818 *rtc = dev;

	sync(rtc, now);
	settle(rtc);
}

static void write_a(struct mc146818 *rtc, uint64_t now, uint8_t val)
{
	bool was_running = running(rtc);

	rtc->reg[RTC_A] = val & ~RTC_A_UIP;
	if (running(rtc) && !was_running) {
		/* Out of divider reset the first update comes after half a second. */
		rtc->chain = now - HALF_SECOND;
		rtc->seconds = 0;
	}
	if (running(rtc))
		rtc->periods = periods_at(rtc, now);
}

static void write_b(struct mc146818 *rtc, uint8_t val)
{
	if (val & RTC_B_SET)
		val &= ~RTC_B_UIE;
	rtc->reg[RTC_B] = val;
}

static uint8_t read_a(const struct mc146818 *rtc, uint64_t now)
{
	bool uip = updating(rtc) && next_second(rtc) - now <= UIP_NS;

	return rtc->reg[RTC_A] | (uip ? RTC_A_UIP : 0);
}

static uint8_t read_c(struct mc146818 *rtc)
{
	uint8_t val = rtc->reg[RTC_C] | (irqf(rtc) ? RTC_C_IRQF : 0);

	rtc->reg[RTC_C] = 0;
	return val;
}

static uint8_t read_reg(struct mc146818 *rtc, uint64_t now)
{
	switch (rtc->index) {
	case RTC_A:
		return read_a(rtc, now);
	case RTC_C:
		return read_c(rtc);
	case RTC_D:
		return RTC_D_VRT;
	}
	return rtc->reg[rtc->index];
}

static void write_reg(struct mc146818 *rtc, uint64_t now, uint8_t val)
{
	switch (rtc->index) {
	case RTC_A:
		write_a(rtc, now, val);
		break;
	case RTC_B:
		write_b(rtc, val);
		break;
	case RTC_C:
	case RTC_D:
		break;
	default:
		rtc->reg[rtc->index] = val;
		break;
	}
}

static uint8_t read_port(void *dev, unsigned int off)
{
	struct mc146818 *rtc = dev;
	uint64_t now = dev_now(rtc->clk);
	uint8_t val;

	if (off == 0)
		return 0xff; /* the index is write-only */
	sync(rtc, now);
	val = read_reg(rtc, now);
	settle(rtc);
	return val;
}

static void write_port(void *dev, unsigned int off, uint8_t val)
{
	struct mc146818 *rtc = dev;
	uint64_t now = dev_now(rtc->clk);

	if (off == 0) {
		rtc->index = val & 0x7f;
		rtc->nmi_masked = val & 0x80;
		return;
	}
	sync(rtc, now);
	write_reg(rtc, now, val);
	settle(rtc);
}

static uint64_t rtc_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_port, dev, off, size);
}

static void rtc_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_port, dev, off, size, val);
}

const struct device_ops mc146818_ops = { .read = rtc_read, .write = rtc_write };

/* Days since 1970 to a date, by counting; at most a few thousand steps. */
static void from_days(uint64_t days, struct civil *t)
{
	unsigned int year = 1970, leap;

	t->weekday = (unsigned int)((days + 4) % 7) + 1; /* 1970-01-01 was a Thursday */
	for (;; year++) {
		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

		if (days < 365 + leap)
			break;
		days -= 365 + leap;
	}
	t->century = year / 100;
	t->year = year % 100;
	for (t->month = 1; days >= month_days(t->month, !leap); t->month++)
		days -= month_days(t->month, !leap);
	t->day = (unsigned int)days + 1;
}

void mc146818_set_time(struct mc146818 *rtc, uint64_t epoch_ns)
{
	uint64_t seconds = epoch_ns / DEV_NS_PER_SEC;
	uint64_t now = dev_now(rtc->clk);
	/* Differs from any time in every field, so that store writes them all. */
	const struct civil none = { -1u, -1u, -1u, -1u, -1u, -1u, -1u, -1u };
	struct civil t;

	sync(rtc, now);
	from_days(seconds / SECONDS_PER_DAY, &t);
	t.second = (unsigned int)(seconds % 60);
	t.minute = (unsigned int)(seconds / 60 % 60);
	t.hour = (unsigned int)(seconds / 3600 % 24);
	store(rtc, &t, &none);
	rtc->chain = now - epoch_ns % DEV_NS_PER_SEC;
	rtc->seconds = 0;
	rtc->periods = periods_at(rtc, now);
	settle(rtc);
}

int mc146818_nvram_set(struct mc146818 *rtc, unsigned int index, uint8_t val)
{
	if (index < RTC_NVRAM || index >= RTC_BYTES)
		return -EINVAL;
	rtc->reg[index] = val;
	return 0;
}

int mc146818_nvram_get(const struct mc146818 *rtc, unsigned int index)
{
	if (index < RTC_NVRAM || index >= RTC_BYTES)
		return -EINVAL;
	return rtc->reg[index];
}

void mc146818_reset(struct mc146818 *rtc)
{
	sync(rtc, dev_now(rtc->clk));
	rtc->reg[RTC_B] &= ~(B_ENABLES | RTC_B_SQWE);
	rtc->reg[RTC_C] = 0;
	settle(rtc);
}

void mc146818_init(struct mc146818 *rtc, const struct dev_clock *clk, struct irq_pin irq,
		   uint64_t epoch_ns)
{
	memset(rtc, 0, sizeof(*rtc));
	rtc->clk = clk;
	rtc->irq = irq;
	rtc->timer.fire = timer_fire;
	rtc->timer.dev = rtc;
	rtc->reg[RTC_A] = RTC_DV_ON | 6;
	rtc->reg[RTC_B] = RTC_B_24;
	rtc->chain = dev_now(clk);
	mc146818_set_time(rtc, epoch_ns);
}
