/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_I8042_H
#define WORKER_PLATFORM_I8042_H

/*
 * The keyboard controller of a PS/2 (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
 * Auxiliary Device Controller") with places for a keyboard and a mouse, and port 0x92 (PIIX3,
 * 290550, 2.4.2).
 *
 * What is sent to a device that is not plugged in comes back as the time-out it is in hardware:
 * 0xfe with the status bit for it, at once instead of after 20 ms. A reply of the controller's that
 * the guest has not read when the next one comes is lost; what devices send waits in them.
 */
#include "worker/device.h"
#include "worker/platform/ps2.h"

/* Status, port 0x64 */
#define I8042_STS_OBF	  0x01
#define I8042_STS_IBF	  0x02 /* never: input is taken at once */
#define I8042_STS_SYS	  0x04 /* as in the command byte */
#define I8042_STS_COMMAND 0x08 /* last written was port 0x64 */
#define I8042_STS_UNLOCK  0x10 /* not inhibited by a key: always */
#define I8042_STS_AUX	  0x20 /* the output is of the auxiliary device */
#define I8042_STS_TIMEOUT 0x40

/* Command byte: byte 0 of the controller's memory */
#define I8042_CTR_KBD_INT 0x01
#define I8042_CTR_AUX_INT 0x02
#define I8042_CTR_SYS	  0x04
#define I8042_CTR_KBD_OFF 0x10
#define I8042_CTR_AUX_OFF 0x20
#define I8042_CTR_XLATE	  0x40

/* Output port */
#define I8042_OUT_RESET 0x01 /* low: processor reset */
#define I8042_OUT_A20	0x02
#define I8042_OUT_IRQ1	0x10
#define I8042_OUT_IRQ12 0x20

#define I8042_P92_RESET 0x01
#define I8042_P92_A20	0x02

/* What the guest can make happen; either may be NULL. Called with the platform lock held. */
struct i8042_host {
	void (*reset)(void *ctx, enum dev_reset how); /* always DEV_RESET_SOFT: RCIN# or INIT */
	/* The A20 gate opened (@on) or closed; open after reset. It's the OR of both ways. */
	void (*a20)(void *ctx, bool on);
	void *ctx;
};

struct i8042 {
	uint8_t ram[32]; /* [0]: command byte */
	uint8_t status;	 /* OBF, COMMAND, AUX, TIMEOUT */
	uint8_t data;	 /* output buffer */
	uint8_t command; /* whose data byte is awaited, 0 for none */
	uint8_t out;	 /* output port: A20 and what was written to the unused bits */
	uint8_t port92;
	bool a20;
	bool kbd_level, aux_level;
	bool breaking; /* the keyboard's last byte was a break prefix, which translation keeps */
	struct ps2_device kbd, aux;
	struct irq_pin kbd_irq, aux_irq;
	struct i8042_host host;
};

/* Make @kbc a controller after reset: both devices disabled, self-test not run, A20 open.
 * @kbd_irq: IRQ 1, @aux_irq: IRQ 12; high while their output waits to be read. */
void i8042_init(struct i8042 *kbc, struct irq_pin kbd_irq, struct irq_pin aux_irq,
		const struct i8042_host *host);

/* Plug devices in. They must outlive @kbc; their host is i8042_ready() with @kbc. */
void i8042_plug(struct i8042 *kbc, const struct ps2_device *kbd, const struct ps2_device *aux);

/* A device has something to send: fits ps2_host.ready. @kbc is a struct i8042 *. */
void i8042_ready(void *kbc);

/* Hard reset, of the controller only. */
void i8042_reset(struct i8042 *kbc);

extern const struct device_ops i8042_data_ops;	 /* 1 port, 0x60. @dev: struct i8042 * */
extern const struct device_ops i8042_cmd_ops;	 /* 1 port, 0x64. @dev: struct i8042 * */
extern const struct device_ops i8042_port92_ops; /* 1 port, 0x92. @dev: struct i8042 * */

#endif
