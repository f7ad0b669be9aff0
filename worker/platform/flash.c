// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/flash.h"

/* Commands, 290429 table 3 */
enum {
	CMD_PROGRAM_ALTERNATE = 0x10,
	CMD_ERASE = 0x20,
	CMD_PROGRAM = 0x40,
	CMD_CLEAR_STATUS = 0x50,
	CMD_READ_STATUS = 0x70,
	CMD_CONFIRM = 0xd0,
	CMD_READ_ARRAY = 0xff,
};

/* Status register */
#define STATUS_READY	0x80
#define STATUS_SEQUENCE 0x30 /* both errors at once: no such sequence of commands */

#define ERASED 0xff

static void show(struct flash *flash, bool array)
{
	if (array == flash->array)
		return;
	flash->array = array;
	flash->host.show(flash->host.ctx, array);
}

static void note(struct flash *flash, uint32_t off, uint32_t len)
{
	if (flash->first == flash->end) {
		flash->first = off;
		flash->end = off + len;
		return;
	}
	if (off < flash->first)
		flash->first = off;
	if (off + len > flash->end)
		flash->end = off + len;
}

static void tell(struct flash *flash)
{
	uint32_t first = flash->first, len = flash->end - first;

	flash->first = flash->end = 0;
	if (len)
		flash->host.changed(flash->host.ctx, first, len);
}

/* Programming takes bits from 1 to 0; only an erasure brings them back. */
static void program(struct flash *flash, uint32_t off, uint8_t val)
{
	flash->data[off] &= val;
	flash->status |= STATUS_READY;
	note(flash, off, 1);
}

static void erase(struct flash *flash, uint32_t off, uint8_t val)
{
	off &= ~(FLASH_BLOCK - 1);
	flash->status |= STATUS_READY;
	if (val != CMD_CONFIRM) {
		flash->status |= STATUS_SEQUENCE;
		return;
	}
	memset(flash->data + off, ERASED, FLASH_BLOCK);
	note(flash, off, FLASH_BLOCK);
}

static void command(struct flash *flash, uint8_t val)
{
	switch (val) {
	case CMD_PROGRAM:
	case CMD_PROGRAM_ALTERNATE:
	case CMD_ERASE:
		flash->setup = val;
		break;
	case CMD_CLEAR_STATUS:
		flash->status = 0;
		break;
	case CMD_READ_ARRAY:
		tell(flash);
		show(flash, true);
		return;
	default: /* CMD_READ_STATUS, and what the part does not know */
		break;
	}
	show(flash, false);
}

static void write_byte(void *dev, unsigned int off, uint8_t val)
{
	struct flash *flash = dev;
	uint8_t setup = flash->setup;

	flash->setup = 0;
	if (!setup)
		command(flash, val);
	else if (setup == CMD_ERASE)
		erase(flash, off, val);
	else
		program(flash, off, val);
}

static uint8_t read_byte(void *dev, unsigned int off)
{
	const struct flash *flash = dev;

	return flash->array ? flash->data[off] : flash->status;
}

static uint64_t flash_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_byte, dev, off, size);
}

/* The part is 8 bits wide: the bus has the bytes of a wider access in turn. */
static void flash_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_byte, dev, off, size, val);
}

const struct device_ops flash_ops = { .read = flash_read, .write = flash_write };

void flash_reset(struct flash *flash)
{
	tell(flash);
	flash->setup = 0;
	flash->status = 0;
	show(flash, true);
}

void flash_init(struct flash *flash, uint8_t *data, uint32_t size, const struct flash_host *host)
{
	*flash = (struct flash){ .data = data, .size = size, .array = true, .host = *host };
}
