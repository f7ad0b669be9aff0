// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/acpipm.h"

#define STS_MASK                                                                                   \
	(ACPIPM_TMR_STS | ACPIPM_GBL_STS | ACPIPM_PWRBTN_STS | ACPIPM_RTC_STS | ACPIPM_WAK_STS)
#define EN_MASK	 (ACPIPM_TMR_STS | ACPIPM_GBL_STS | ACPIPM_PWRBTN_STS | ACPIPM_RTC_STS)
#define CNT_MASK (ACPIPM_SCI_EN | ACPIPM_BM_RLD | ACPIPM_SLP_TYP)
#define RC_MASK	 (ACPIPM_RC_SRST | ACPIPM_RC_RCPU | ACPIPM_RC_FULL_RST)

static uint64_t tick_at(uint64_t ns)
{
	return dev_muldiv(ns, ACPIPM_TICK_NUM, ACPIPM_TICK_DEN);
}

static unsigned int msb(const struct acpipm *pm)
{
	return pm->config.timer_bits - 1u;
}

static uint32_t timer_value(const struct acpipm *pm, uint64_t now)
{
	return (uint32_t)(tick_at(now) & ((2ull << msb(pm)) - 1));
}

/* TMR_STS is set whenever the most significant bit toggles (ACPI 4.8.2.1.1). */
static void check_overflow(struct acpipm *pm, uint64_t now)
{
	uint64_t half = tick_at(now) >> msb(pm);

	if (half != pm->half)
		pm->sts |= ACPIPM_TMR_STS;
	pm->half = half;
}

static void update_timer(struct acpipm *pm)
{
	if ((pm->en & ACPIPM_TMR_STS) && !(pm->sts & ACPIPM_TMR_STS))
		dev_arm(pm->clk, &pm->timer,
			dev_muldiv_up((pm->half + 1) << msb(pm), ACPIPM_TICK_DEN, ACPIPM_TICK_NUM));
	else
		dev_cancel(pm->clk, &pm->timer);
}

static void update_sci(struct acpipm *pm)
{
	bool event = (pm->sts & pm->en & EN_MASK) || (pm->gpe_sts & pm->gpe_en);
	bool level = event && (pm->cnt & ACPIPM_SCI_EN);

	if (level == pm->sci_level)
		return;
	pm->sci_level = level;
	irq_pin_set(&pm->sci, level);
}

static void timer_fire(void *dev, uint64_t now)
{
	struct acpipm *pm = dev;

	check_overflow(pm, now);
	update_timer(pm);
	update_sci(pm);
}

/* The registers as bytes; @tmr is the timer, sampled once for a whole access. */
static uint8_t read_byte(const struct acpipm *pm, unsigned int off, uint32_t tmr)
{
	unsigned int high = 8 * (off & 1);

	switch (off & ~1u) {
	case ACPIPM_PM1_STS:
		return (uint8_t)(pm->sts >> high);
	case ACPIPM_PM1_EN:
		return (uint8_t)(pm->en >> high);
	case ACPIPM_PM1_CNT:
		return (uint8_t)(pm->cnt >> high);
	case ACPIPM_TMR:
	case ACPIPM_TMR + 2:
		return (uint8_t)(tmr >> (8 * (off & 3)));
	case ACPIPM_GPE0_STS:
		return (uint8_t)(pm->gpe_sts >> high);
	case ACPIPM_GPE0_EN:
		return (uint8_t)(pm->gpe_en >> high);
	}
	return 0;
}

/* Replace the byte at @shift of @reg. */
static uint16_t merge(uint16_t reg, unsigned int shift, uint8_t val, uint16_t mask)
{
	return (uint16_t)(((reg & ~(0xffu << shift)) | (unsigned int)val << shift) & mask);
}

static void write_cnt(struct acpipm *pm, unsigned int shift, uint8_t val)
{
	uint16_t written = (uint16_t)((unsigned int)val << shift);

	pm->cnt = merge(pm->cnt, shift, val, CNT_MASK);
	if ((written & ACPIPM_SLP_EN) &&
	    (written & ACPIPM_SLP_TYP) >> ACPIPM_SLP_TYP_SHIFT == pm->config.s5_typ)
		pm->host.power_off(pm->host.ctx);
}

static void write_byte(struct acpipm *pm, unsigned int off, uint8_t val)
{
	unsigned int shift = 8 * (off & 1);

	switch (off & ~1u) {
	case ACPIPM_PM1_STS:
		pm->sts &= ~((unsigned int)val << shift);
		break;
	case ACPIPM_PM1_EN:
		pm->en = merge(pm->en, shift, val, EN_MASK);
		break;
	case ACPIPM_PM1_CNT:
		write_cnt(pm, shift, val);
		break;
	case ACPIPM_GPE0_STS:
		pm->gpe_sts &= ~((unsigned int)val << shift);
		pm->gpe_sts |= pm->gpe_lines;
		break;
	case ACPIPM_GPE0_EN:
		pm->gpe_en = merge(pm->gpe_en, shift, val, 0xffff);
		break;
	}
}

static uint64_t acpipm_read(void *dev, uint64_t off, unsigned int size)
{
	struct acpipm *pm = dev;
	uint64_t now = dev_now(pm->clk);
	uint64_t val = 0;

	check_overflow(pm, now);
	for (unsigned int i = 0; i < size; i++)
		val |= (uint64_t)read_byte(pm, (unsigned int)off + i, timer_value(pm, now))
		       << 8 * i;
	update_sci(pm);
	return val;
}

static void acpipm_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct acpipm *pm = dev;

	check_overflow(pm, dev_now(pm->clk));
	for (unsigned int i = 0; i < size; i++)
		write_byte(pm, (unsigned int)off + i, (uint8_t)(val >> 8 * i));
	update_timer(pm);
	update_sci(pm);
}

static uint8_t read_rc(void *dev, unsigned int off)
{
	(void)off;
	return ((struct acpipm *)dev)->rc;
}

static void write_rc(void *dev, unsigned int off, uint8_t val)
{
	struct acpipm *pm = dev;
	bool trigger = val & ~pm->rc & ACPIPM_RC_RCPU;

	(void)off;
	pm->rc = val & RC_MASK;
	if (trigger)
		pm->host.reset(pm->host.ctx,
			       val & ACPIPM_RC_SRST ? DEV_RESET_HARD : DEV_RESET_SOFT);
}

static uint64_t rc_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_rc, dev, off, size);
}

static void rc_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_rc, dev, off, size, val);
}

const struct device_ops acpipm_ops = { .read = acpipm_read, .write = acpipm_write };
const struct device_ops acpipm_rc_ops = { .read = rc_read, .write = rc_write };

void acpipm_power_button(struct acpipm *pm)
{
	pm->sts |= ACPIPM_PWRBTN_STS;
	update_sci(pm);
}

void acpipm_set_gpe(void *ctx, unsigned int gpe, bool level)
{
	struct acpipm *pm = ctx;

	if (gpe >= ACPIPM_GPES)
		return;
	pm->gpe_lines = (uint16_t)((pm->gpe_lines & ~(1u << gpe)) | (unsigned int)level << gpe);
	pm->gpe_sts |= pm->gpe_lines;
	update_sci(pm);
}

void acpipm_set_acpi_mode(struct acpipm *pm, bool on)
{
	if (on)
		pm->cnt |= ACPIPM_SCI_EN;
	else
		pm->cnt &= ~ACPIPM_SCI_EN;
	update_sci(pm);
}

void acpipm_reset(struct acpipm *pm)
{
	pm->sts = 0;
	pm->en = 0;
	pm->cnt = pm->config.acpi_mode ? ACPIPM_SCI_EN : 0;
	pm->gpe_sts = pm->gpe_lines;
	pm->gpe_en = 0;
	pm->rc = 0;
	pm->half = tick_at(dev_now(pm->clk)) >> msb(pm);
	update_timer(pm);
	update_sci(pm);
}

void acpipm_init(struct acpipm *pm, const struct dev_clock *clk, struct irq_pin sci,
		 const struct acpipm_config *config, const struct acpipm_host *host)
{
	memset(pm, 0, sizeof(*pm));
	pm->clk = clk;
	pm->sci = sci;
	pm->config = *config;
	pm->host = *host;
	pm->timer.fire = timer_fire;
	pm->timer.dev = pm;
	acpipm_reset(pm);
}
