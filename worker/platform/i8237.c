// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/i8237.h"

/* Registers beyond the eight of addresses and counts. */
enum {
	REG_COMMAND = 8, /* read: status */
	REG_REQUEST = 9,
	REG_MASK_ONE = 10,
	REG_MODE = 11,
	REG_CLEAR_FF = 12,
	REG_MASTER_CLEAR = 13, /* read: temporary */
	REG_CLEAR_MASK = 14,
	REG_MASK_ALL = 15,
};

#define CHANNEL(val) ((val)&3)
#define SET_BIT	     0x04 /* in the request and single mask registers */

static void master_clear(struct i8237_chip *c)
{
	c->command = 0;
	c->request = 0;
	c->mask = 0x0f;
	c->high_byte = false;
}

/* The byte that the flip-flop points at, which turns. */
static unsigned int next_shift(struct i8237_chip *c)
{
	unsigned int shift = c->high_byte ? 8 : 0;

	c->high_byte = !c->high_byte;
	return shift;
}

static void set_bit(uint8_t *reg, uint8_t val)
{
	uint8_t bit = (uint8_t)(1u << CHANNEL(val));

	*reg = val & SET_BIT ? *reg | bit : *reg & ~bit;
}

static uint8_t chip_read(struct i8237_chip *c, unsigned int reg)
{
	if (reg < REG_COMMAND)
		return (uint8_t)((reg & 1 ? c->count : c->addr)[reg / 2] >> next_shift(c));
	switch (reg) {
	case REG_COMMAND: /* terminal counts never come; requests are in the upper half */
		return (uint8_t)(c->request << 4);
	case REG_MASTER_CLEAR:
		return 0;
	case REG_MASK_ALL:
		return c->mask | 0xf0;
	default:
		return 0xff;
	}
}

static void write_count(uint16_t *base, uint16_t *current, unsigned int shift, uint8_t val)
{
	*base = (uint16_t)((*base & ~(0xffu << shift)) | (unsigned int)val << shift);
	*current = *base;
}

static void chip_write(struct i8237_chip *c, unsigned int reg, uint8_t val)
{
	unsigned int ch = reg / 2;

	switch (reg) {
	case REG_COMMAND:
		c->command = val;
		break;
	case REG_REQUEST:
		set_bit(&c->request, val);
		break;
	case REG_MASK_ONE:
		set_bit(&c->mask, val);
		break;
	case REG_MODE:
		c->mode[CHANNEL(val)] = val;
		break;
	case REG_CLEAR_FF:
		c->high_byte = false;
		break;
	case REG_MASTER_CLEAR:
		master_clear(c);
		break;
	case REG_CLEAR_MASK:
		c->mask = 0;
		break;
	case REG_MASK_ALL:
		c->mask = val & 0x0f;
		break;
	default:
		if (reg & 1)
			write_count(&c->base_count[ch], &c->count[ch], next_shift(c), val);
		else
			write_count(&c->base_addr[ch], &c->addr[ch], next_shift(c), val);
	}
}

static uint8_t low_read_byte(void *dev, unsigned int off)
{
	return chip_read(&((struct i8237 *)dev)->low, off);
}

static void low_write_byte(void *dev, unsigned int off, uint8_t val)
{
	chip_write(&((struct i8237 *)dev)->low, off, val);
}

static uint8_t high_read_byte(void *dev, unsigned int off)
{
	return chip_read(&((struct i8237 *)dev)->high, off / 2);
}

static void high_write_byte(void *dev, unsigned int off, uint8_t val)
{
	chip_write(&((struct i8237 *)dev)->high, off / 2, val);
}

static uint8_t page_read_byte(void *dev, unsigned int off)
{
	return ((struct i8237 *)dev)->page[off];
}

static void page_write_byte(void *dev, unsigned int off, uint8_t val)
{
	((struct i8237 *)dev)->page[off] = val;
}

static uint64_t low_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(low_read_byte, dev, off, size);
}

static void low_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(low_write_byte, dev, off, size, val);
}

static uint64_t high_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(high_read_byte, dev, off, size);
}

static void high_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(high_write_byte, dev, off, size, val);
}

static uint64_t page_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(page_read_byte, dev, off, size);
}

static void page_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(page_write_byte, dev, off, size, val);
}

const struct device_ops i8237_low_ops = { .read = low_read, .write = low_write };
const struct device_ops i8237_high_ops = { .read = high_read, .write = high_write };
const struct device_ops i8237_page_ops = { .read = page_read, .write = page_write };

void i8237_reset(struct i8237 *dma)
{
	memset(dma, 0, sizeof(*dma));
	master_clear(&dma->low);
	master_clear(&dma->high);
}

void i8237_init(struct i8237 *dma)
{
	i8237_reset(dma);
}
