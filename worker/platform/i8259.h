/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_I8259_H
#define WORKER_PLATFORM_I8259_H

/*
 * The pair of 8259A interrupt controllers of a PC (Intel 231468 data sheet, "8259A Programmable
 * Interrupt Controller"), the slave on IR2 of the master, with the edge/level control registers
 * that the PIIX has instead of ICW1.LTIM (290562, section 4.2.5).
 *
 * As in the part, an edge-triggered request is withdrawn when its input falls before it was
 * acknowledged; the acknowledge then yields IR7 without setting it in service. Not modelled: the
 * MCS-80/85 modes (ICW4.uPM = 0 is taken as 1) and the buffered modes' pins.
 */
#include "worker/device.h"

struct i8259_chip {
	bool is_master;
	uint8_t irr; /* requests of edge-triggered inputs; level ones are read from lines */
	uint8_t isr;
	uint8_t imr;
	uint8_t lines; /* inputs, as driven */
	uint8_t elcr;  /* 1 = level triggered */
	uint8_t elcr_mask;
	uint8_t icw1, icw2, icw3, icw4;
	uint8_t lowest; /* input of lowest priority, 7 unless rotated */
	uint8_t init;	/* next ICW that is expected, 2 to 4; 0 when none */
	bool ready;	/* an initialisation has been completed */
	bool rotate_aeoi;
	bool special_mask;
	bool poll;
	bool read_isr;
	bool int_level;
};

struct i8259 {
	struct i8259_chip master, slave;
	struct irq_pin intr;
};

/* Make @pic a pair that has not been initialised by the guest. @intr: INT of the master, active
 * high, towards the processors' LINT0 and pin 0 of the IOAPIC. */
void i8259_init(struct i8259 *pic, struct irq_pin intr);

/* Power-on state: INT low, ELCR 0, nothing requested. The inputs keep their levels. */
void i8259_reset(struct i8259 *pic);

extern const struct device_ops i8259_master_ops; /* 2 ports, 0x20. @dev: struct i8259 * */
extern const struct device_ops i8259_slave_ops;	 /* 2 ports, 0xa0. @dev: struct i8259 * */
extern const struct device_ops i8259_elcr_ops;	 /* 2 ports, 0x4d0. @dev: struct i8259 * */

/* Drive input @irq (0 to 15; 2 is the cascade and ignored). @pic is a struct i8259 *: fits
 * irq_pin.set. */
void i8259_set_irq(void *pic, unsigned int irq, bool level);

/* The level of INT: is there something to acknowledge? */
bool i8259_int(const struct i8259 *pic);

/*
 * The processor's acknowledge cycle (two INTA pulses): puts the request of the highest priority in
 * service and returns its vector, 0 to 255. With nothing pending it returns the vector of a
 * spurious IRQ 7, as the part does. INT goes low, and high again at once if there's more that may
 * interrupt. Where the master names IR2 but no slave answers to ID 2, the bus floats: 0xff.
 */
int i8259_ack(struct i8259 *pic);

#endif
