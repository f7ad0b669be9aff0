// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include "worker/platform/fwcfg.h"

enum {
	OFF_SELECTOR = 0,
	OFF_DATA = 1,
	OFF_DMA = 4,
	OFF_DMA_LOW = 8,
};

#define ID_TRADITIONAL 0x01
#define ID_DMA	       0x02
#define DMA_SIGNATURE  0x51454d5520434647ull /* "QEMU CFG" */
#define DMA_CHUNK      4096

static void put_be(uint8_t *p, uint64_t val, unsigned int size)
{
	while (size--) {
		p[size] = (uint8_t)val;
		val >>= 8;
	}
}

static uint64_t get_be(const uint8_t *p, unsigned int size)
{
	uint64_t val = 0;

	while (size--)
		val = val << 8 | *p++;
	return val;
}

static struct fwcfg_item *find(struct fwcfg *fw, uint16_t key)
{
	for (unsigned int i = 0; i < fw->items; i++)
		if (fw->item[i].key == key)
			return &fw->item[i];
	return NULL;
}

int fwcfg_add(struct fwcfg *fw, uint16_t key, const void *data, uint32_t len)
{
	if (find(fw, key))
		return -EEXIST;
	if (fw->items == FWCFG_ITEMS_MAX)
		return -ENOSPC;
	fw->item[fw->items++] = (struct fwcfg_item){ .key = key, .len = len, .data = data };
	return 0;
}

int fwcfg_add_int(struct fwcfg *fw, uint16_t key, uint64_t val, uint32_t len)
{
	struct fwcfg_item *item;
	int ret = fwcfg_add(fw, key, NULL, len);

	if (ret)
		return ret;
	item = &fw->item[fw->items - 1];
	for (unsigned int i = 0; i < len && i < sizeof(item->small); i++)
		item->small[i] = (uint8_t)(val >> 8 * i);
	item->data = item->small;
	return 0;
}

int fwcfg_add_file(struct fwcfg *fw, const char *name, const void *data, uint32_t len)
{
	uint8_t *entry = fw->dir + 4 + (size_t)64 * fw->files;
	size_t chars = strlen(name);
	uint16_t key = (uint16_t)(FWCFG_FILES + fw->files);
	int ret;

	if (!chars || chars > FWCFG_NAME_MAX)
		return -EINVAL;
	if (fw->files == FWCFG_FILES_MAX)
		return -ENOSPC;
	ret = fwcfg_add(fw, key, data, len);
	if (ret)
		return ret;
	put_be(entry, len, 4);
	put_be(entry + 4, key, 2);
	memcpy(entry + 8, name, chars + 1);
	fw->files++;
	put_be(fw->dir, fw->files, 4);
	find(fw, FWCFG_FILE_DIR)->len = 4 + 64 * fw->files;
	return 0;
}

static void select_item(struct fwcfg *fw, uint16_t key)
{
	if (fw->selected)
		fw->selected(fw->ctx, key);
	fw->key = key;
	fw->offset = 0;
}

/* The next @len bytes of what is selected; zeroes for what is not there or behind its end. */
static void fetch(struct fwcfg *fw, uint8_t *buf, size_t len)
{
	const struct fwcfg_item *item = find(fw, fw->key);
	size_t left = item && item->len > fw->offset ? item->len - fw->offset : 0;
	size_t n = len < left ? len : left;

	if (n)
		memcpy(buf, item->data + fw->offset, n);
	memset(buf + n, 0, len - n);
	fw->offset += (uint32_t)n;
}

static void skip(struct fwcfg *fw, uint32_t len)
{
	const struct fwcfg_item *item = find(fw, fw->key);
	uint32_t left = item && item->len > fw->offset ? item->len - fw->offset : 0;

	fw->offset += len < left ? len : left;
}

/* Whether all of it reached memory: a guest that names none does not keep us busy. */
static bool dma_fetch(struct fwcfg *fw, uint64_t addr, uint32_t len)
{
	uint8_t buf[DMA_CHUNK];
	uint32_t n;

	for (; len; len -= n, addr += n) {
		n = len < DMA_CHUNK ? len : DMA_CHUNK;
		fetch(fw, buf, n);
		if (!dma_write(fw->dma, addr, buf, n))
			return false;
	}
	return true;
}

static void run_dma(struct fwcfg *fw, uint64_t at)
{
	uint8_t head[16];
	uint32_t control, len;
	bool ok = true;

	if (!dma_read(fw->dma, at, head, sizeof(head)))
		return;
	control = (uint32_t)get_be(head, 4);
	len = (uint32_t)get_be(head + 4, 4);
	if (control & FWCFG_DMA_SELECT)
		select_item(fw, (uint16_t)(control >> 16));
	if (control & FWCFG_DMA_READ)
		ok = dma_fetch(fw, get_be(head + 8, 8), len);
	else if (control & FWCFG_DMA_WRITE)
		ok = false;
	else if (control & FWCFG_DMA_SKIP)
		skip(fw, len);
	put_be(head, ok ? 0 : FWCFG_DMA_ERROR, 4);
	dma_write(fw->dma, at, head, 4);
}

/* The address is big-endian in the ports too; its lower half starts the transfer. */
static void write_dma(struct fwcfg *fw, unsigned int off, unsigned int size, uint64_t val)
{
	uint8_t bytes[8];

	put_be(bytes, fw->dma_addr, 8);
	for (unsigned int i = 0; i < size && off + i < 8; i++)
		bytes[off + i] = (uint8_t)(val >> 8 * i);
	fw->dma_addr = get_be(bytes, 8);
	if (off + size < 8)
		return;
	val = fw->dma_addr;
	fw->dma_addr = 0;
	run_dma(fw, val);
}

static uint64_t fwcfg_read(void *dev, uint64_t off, unsigned int size)
{
	struct fwcfg *fw = dev;
	uint8_t bytes[8] = { 0 };
	uint64_t val = 0;

	if (off == OFF_DATA && size == 1) {
		fetch(fw, bytes, 1);
		return bytes[0];
	}
	if (off < OFF_DMA)
		return 0;
	put_be(bytes, DMA_SIGNATURE, 8);
	for (unsigned int i = 0; i < size && off - OFF_DMA + i < 8; i++)
		val |= (uint64_t)bytes[off - OFF_DMA + i] << 8 * i;
	return val;
}

static void fwcfg_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct fwcfg *fw = dev;

	if (off == OFF_SELECTOR && size == 2)
		select_item(fw, (uint16_t)val);
	else if (off >= OFF_DMA)
		write_dma(fw, (unsigned int)off - OFF_DMA, size, val);
}

static void fwcfg_read_string(void *dev, uint64_t off, unsigned int size, void *buf,
			      unsigned int count)
{
	uint64_t val;

	if (off == OFF_DATA && size == 1) {
		fetch(dev, buf, count);
		return;
	}
	val = fwcfg_read(dev, off, size);
	for (unsigned int i = 0; i < count; i++)
		memcpy((uint8_t *)buf + (size_t)i * size, &val, size);
}

const struct device_ops fwcfg_ops = {
	.read = fwcfg_read,
	.write = fwcfg_write,
	.read_string = fwcfg_read_string,
};

void fwcfg_reset(struct fwcfg *fw)
{
	fw->key = FWCFG_SIGNATURE;
	fw->offset = 0;
	fw->dma_addr = 0;
}

void fwcfg_init(struct fwcfg *fw, const struct dma *dma)
{
	memset(fw, 0, sizeof(*fw));
	fw->dma = dma;
	fwcfg_add(fw, FWCFG_SIGNATURE, "QEMU", 4);
	fwcfg_add_int(fw, FWCFG_ID, ID_TRADITIONAL | ID_DMA, 4);
	fwcfg_add(fw, FWCFG_FILE_DIR, fw->dir, 4);
}
