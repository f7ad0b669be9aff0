/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_MC146818_H
#define WORKER_PLATFORM_MC146818_H

/*
 * The real-time clock of a PC: Motorola MC146818A (data sheet ADI856R2) with a 32.768 kHz crystal
 * and 128 bytes of battery-backed memory, behind ports 0x70 (index) and 0x71 (data).
 *
 * Seconds are counted when somebody looks, or at an enabled interrupt; while none is enabled the
 * host never wakes up. Periodic interrupts that the guest did not fetch merge, as in the part.
 * Not modelled: daylight saving (DSE is kept, without effect), the square-wave output, and the
 * crystals of register A that a PC does not have: for any DV but 010 the clock stands still.
 */
#include "worker/device.h"

#define RTC_PORTS   2
#define RTC_BYTES   128
#define RTC_CENTURY 0x32 /* where PCs keep the century; counted along at the turn of one */

enum rtc_reg {
	RTC_SECONDS = 0x00,
	RTC_SECONDS_ALARM = 0x01,
	RTC_MINUTES = 0x02,
	RTC_MINUTES_ALARM = 0x03,
	RTC_HOURS = 0x04,
	RTC_HOURS_ALARM = 0x05,
	RTC_WEEKDAY = 0x06, /* 1 = Sunday */
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	RTC_NVRAM = 0x0e, /* from here on plain memory, but for RTC_CENTURY */
};

#define RTC_A_UIP 0x80
#define RTC_A_DV  0x70
#define RTC_A_RS  0x0f
#define RTC_DV_ON 0x20 /* 32.768 kHz, running */

#define RTC_B_SET  0x80
#define RTC_B_PIE  0x40
#define RTC_B_AIE  0x20
#define RTC_B_UIE  0x10
#define RTC_B_SQWE 0x08
#define RTC_B_DM   0x04 /* 1 = binary, 0 = BCD */
#define RTC_B_24   0x02
#define RTC_B_DSE  0x01

#define RTC_C_IRQF 0x80
#define RTC_C_PF   0x40
#define RTC_C_AF   0x20
#define RTC_C_UF   0x10

#define RTC_D_VRT 0x80

struct mc146818 {
	uint8_t reg[RTC_BYTES]; /* A without UIP; C without IRQF */
	uint8_t index;		/* 7 bits */
	bool nmi_masked;	/* bit 7 of port 0x70, for who delivers NMIs */
	uint64_t chain;		/* ns at which the divider chain was 0 (may lie before 0: wraps) */
	uint64_t seconds;	/* full seconds of the chain that have been dealt with */
	uint64_t periods;	/* likewise, periods of the periodic interrupt */
	bool irq_level;
	struct irq_pin irq;
	const struct dev_clock *clk;
	struct dev_timer timer;
};

/*
 * Make @rtc a clock that runs (A = 0x26, B = 0x02: BCD, 24 hours) with all of its memory 0.
 * @irq is high while IRQF is set. @epoch_ns is the time it shows at dev_now(clk): nanoseconds
 * since 1970-01-01 00:00, in the time zone that the guest expects in its clock.
 */
void mc146818_init(struct mc146818 *rtc, const struct dev_clock *clk, struct irq_pin irq,
		   uint64_t epoch_ns);

/* The RESET pin: interrupt enables and flags go off, time and memory stay. */
void mc146818_reset(struct mc146818 *rtc);

/* Set the time, in the format that the guest chose in register B. @epoch_ns as for init; the year
 * has to be below 10000. */
void mc146818_set_time(struct mc146818 *rtc, uint64_t epoch_ns);

extern const struct device_ops mc146818_ops; /* 2 ports, 0x70. @dev: struct mc146818 * */

/* Memory byte @index (RTC_NVRAM to 127). Setting returns 0, or -EINVAL for a clock register; getting
 * one of those returns -EINVAL as well, else 0 to 255. */
int mc146818_nvram_set(struct mc146818 *rtc, unsigned int index, uint8_t val);
int mc146818_nvram_get(const struct mc146818 *rtc, unsigned int index);

#endif
