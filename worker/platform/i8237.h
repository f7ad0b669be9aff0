/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_I8237_H
#define WORKER_PLATFORM_I8237_H

/*
 * The pair of 8237A DMA controllers of a PC (Intel 231466, "8237A High Performance Programmable DMA
 * Controller") with their page registers, as in the PIIX4 (290562, section 4.2.1). The registers
 * are those of the part; no device of this machine asks for ISA DMA, so nothing is ever transferred,
 * and a request by software waits without end.
 */
#include "worker/device.h"

#define I8237_LOW_PORTS	 16 /* 0x00: channels 0 to 3, 8 bits */
#define I8237_HIGH_PORTS 32 /* 0xc0: channels 4 to 7, 16 bits, each register at two ports */
#define I8237_PAGE_PORTS 16 /* 0x80 */

/* One controller. */
struct i8237_chip {
	uint16_t base_addr[4], base_count[4];
	uint16_t addr[4], count[4]; /* current */
	uint8_t mode[4];
	uint8_t command;
	uint8_t request; /* by software, a bit for each channel */
	uint8_t mask;
	bool high_byte; /* the first/last flip-flop */
};

struct i8237 {
	struct i8237_chip low, high;
	uint8_t page[I8237_PAGE_PORTS];
};

/* Make @dma a pair in reset state. */
void i8237_init(struct i8237 *dma);

/* PCIRST#: the same. */
void i8237_reset(struct i8237 *dma);

/* @dev: struct i8237 * */
extern const struct device_ops i8237_low_ops;  /* I8237_LOW_PORTS, at 0x00 */
extern const struct device_ops i8237_high_ops; /* I8237_HIGH_PORTS, at 0xc0 */
extern const struct device_ops i8237_page_ops; /* I8237_PAGE_PORTS, at 0x80 */

#endif
