/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_ACPIPM_H
#define WORKER_PLATFORM_ACPIPM_H

/*
 * ACPI fixed hardware (ACPI 6.4, section 4.8) laid out as in the PIIX4 (Intel 290562, section 7):
 * one region of 64 ports whose blocks the FADT describes by the offsets below. Also the reset
 * control register at port 0xcf9.
 *
 * The only sleeping state is S5. SMIs don't exist here: while SCI_EN is 0 events just wait.
 */
#include "worker/device.h"

#define ACPIPM_PORTS 64

/* Offsets in the region */
#define ACPIPM_PM1_STS	0x00 /* PM1a_EVT_BLK, length 4 */
#define ACPIPM_PM1_EN	0x02
#define ACPIPM_PM1_CNT	0x04 /* PM1a_CNT_BLK, length 2 */
#define ACPIPM_TMR	0x08 /* PM_TMR_BLK, length 4 */
#define ACPIPM_GPE0_STS 0x0c /* GPE0_BLK, length 4 */
#define ACPIPM_GPE0_EN	0x0e
#define ACPIPM_GPES	16

/* PM1 status and enable, ACPI table 4.11 */
#define ACPIPM_TMR_STS	  0x0001
#define ACPIPM_GBL_STS	  0x0020
#define ACPIPM_PWRBTN_STS 0x0100
#define ACPIPM_RTC_STS	  0x0400
#define ACPIPM_WAK_STS	  0x8000 /* status only; set by nothing, as nothing sleeps */

/* PM1 control, ACPI table 4.14 */
#define ACPIPM_SCI_EN	     0x0001
#define ACPIPM_BM_RLD	     0x0002
#define ACPIPM_SLP_TYP_SHIFT 10
#define ACPIPM_SLP_TYP	     0x1c00
#define ACPIPM_SLP_EN	     0x2000 /* write-only */

/* Port 0xcf9, PIIX3 (290550) section 2.4.1; FULL_RST as in the ICH */
#define ACPIPM_RC_SRST	   0x02 /* 1 = hard reset */
#define ACPIPM_RC_RCPU	   0x04 /* 0 to 1 resets */
#define ACPIPM_RC_FULL_RST 0x08 /* kept, same as a hard reset */

/* The clock is 315/88 MHz: ticks = ns * 315 / 88000. */
#define ACPIPM_TICK_NUM 315
#define ACPIPM_TICK_DEN 88000

struct acpipm_config {
	uint8_t s5_typ;	    /* SLP_TYP of \_S5, 0 to 7 */
	uint8_t timer_bits; /* 24 or 32; the FADT's TMR_VAL_EXT flag must say the same */
	bool acpi_mode;	    /* SCI_EN is set at reset: for a FADT whose SMI_CMD is 0 */
};

/* What the guest can make happen. Called with the platform lock held: take note, act later. */
struct acpipm_host {
	void (*power_off)(void *ctx); /* S5 was entered */
	void (*reset)(void *ctx, enum dev_reset how);
	void *ctx;
};

struct acpipm {
	struct acpipm_config config;
	struct acpipm_host host;
	uint16_t sts, en, cnt;
	uint16_t gpe_sts, gpe_en, gpe_lines;
	uint8_t rc;
	uint64_t half; /* timer periods by its most significant bit, as last seen */
	bool sci_level;
	struct irq_pin sci;
	const struct dev_clock *clk;
	struct dev_timer timer; /* the timer's overflow, while TMR_EN is set */
};

/* Make @pm reset fixed hardware. @sci: active high, level triggered. Neither callback of @host may
 * be NULL. */
void acpipm_init(struct acpipm *pm, const struct dev_clock *clk, struct irq_pin sci,
		 const struct acpipm_config *config, const struct acpipm_host *host);

/* Hard reset. The PM timer runs on; GPE inputs keep their levels. */
void acpipm_reset(struct acpipm *pm);

extern const struct device_ops acpipm_ops;    /* ACPIPM_PORTS ports. @dev: struct acpipm * */
extern const struct device_ops acpipm_rc_ops; /* 1 port, 0xcf9. @dev: struct acpipm * */

/* The power button was pressed and released: PWRBTN_STS, and an SCI if that is enabled. */
void acpipm_power_button(struct acpipm *pm);

/* Drive general-purpose event @gpe (0 to 15). The status bit is set while the input is high and
 * stays until written. @pm is a struct acpipm *: fits irq_pin.set. */
void acpipm_set_gpe(void *pm, unsigned int gpe, bool level);

/* What firmware does for ACPI_ENABLE and ACPI_DISABLE: set or clear SCI_EN. */
void acpipm_set_acpi_mode(struct acpipm *pm, bool on);

#endif
