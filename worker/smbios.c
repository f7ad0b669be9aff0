// SPDX-License-Identifier: GPL-2.0-only
#include "worker/smbios.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MANUFACTURER "Plinth"
#define PRODUCT	     "Plinth Virtual Machine"

#define MIB_PER_DIMM 16384u /* the largest that 15 bits of MiB can say, less one bit */

/* Structure types, section 7 */
enum {
	TYPE_SYSTEM = 1,
	TYPE_ENCLOSURE = 3,
	TYPE_PROCESSOR = 4,
	TYPE_MEMORY_ARRAY = 16,
	TYPE_MEMORY_DEVICE = 17,
	TYPE_ARRAY_ADDRESS = 19,
	TYPE_BOOT_STATUS = 32,
	TYPE_END = 127,
};

#define HANDLE(type, n) ((uint16_t)((type) << 8 | (n)))
#define HANDLE_NONE	0xfffe

struct tables {
	uint8_t *buf;
	size_t size, used;
	unsigned int count;
	size_t largest;
	int error;
};

/* The formatted part of a structure; field() fills it by the offsets of the specification. */
struct structure {
	uint8_t bytes[64];
	uint8_t len;
};

static struct structure structure(uint8_t type, uint8_t len, uint16_t handle)
{
	struct structure s = { .bytes = { type, len, (uint8_t)handle, (uint8_t)(handle >> 8) },
			       .len = len };

	return s;
}

static void field(struct structure *s, unsigned int off, unsigned int size, uint64_t val)
{
	for (unsigned int i = 0; i < size; i++)
		s->bytes[off + i] = (uint8_t)(val >> 8 * i);
}

/* Appends a structure and its strings, which the formatted part numbers from 1 on. */
static void add(struct tables *t, const struct structure *s, const char *const *strings,
		unsigned int n)
{
	size_t len = s->len, at = t->used;

	for (unsigned int i = 0; i < n; i++)
		len += strlen(strings[i]) + 1;
	len += n ? 1 : 2;
	if (t->error || len > t->size - t->used) {
		t->error = -ENOSPC;
		return;
	}
	memset(t->buf + at, 0, len);
	memcpy(t->buf + at, s->bytes, s->len);
	at += s->len;
	for (unsigned int i = 0; i < n; i++) {
		memcpy(t->buf + at, strings[i], strlen(strings[i]));
		at += strlen(strings[i]) + 1;
	}
	t->used += len;
	t->count++;
	if (len > t->largest)
		t->largest = len;
}

static void add_system(struct tables *t, const struct smbios_config *cfg)
{
	static const char *const strings[] = { MANUFACTURER, PRODUCT, "1" };
	struct structure s = structure(TYPE_SYSTEM, 0x1b, HANDLE(TYPE_SYSTEM, 0));

	field(&s, 0x04, 1, 1);
	field(&s, 0x05, 1, 2);
	field(&s, 0x06, 1, 3);
	/* The first three groups of a UUID are little-endian (7.2.1). */
	for (unsigned int i = 0; i < 16; i++) {
		static const uint8_t order[16] = { 3, 2, 1,  0,	 5,  4,	 7,  6,
						   8, 9, 10, 11, 12, 13, 14, 15 };

		s.bytes[0x08 + i] = cfg->uuid[order[i]];
	}
	field(&s, 0x18, 1, 6); /* woken by the power switch */
	add(t, &s, strings, 3);
}

static void add_enclosure(struct tables *t)
{
	static const char *const strings[] = { MANUFACTURER };
	struct structure s = structure(TYPE_ENCLOSURE, 0x15, HANDLE(TYPE_ENCLOSURE, 0));

	field(&s, 0x04, 1, 1);
	field(&s, 0x05, 1, 1); /* other */
	field(&s, 0x09, 1, 3); /* boot-up, power supply, thermal: safe */
	field(&s, 0x0a, 1, 3);
	field(&s, 0x0b, 1, 3);
	field(&s, 0x0c, 1, 2); /* security: unknown */
	add(t, &s, strings, 1);
}

static void add_processor(struct tables *t, unsigned int n)
{
	char socket[16];
	const char *const strings[] = { socket, MANUFACTURER };
	struct structure s = structure(TYPE_PROCESSOR, 0x2a, HANDLE(TYPE_PROCESSOR, n));

	snprintf(socket, sizeof(socket), "CPU %u", n);
	field(&s, 0x04, 1, 1);
	field(&s, 0x05, 1, 3);	  /* central processor */
	field(&s, 0x06, 1, 0x01); /* family: other */
	field(&s, 0x07, 1, 2);
	field(&s, 0x18, 1, 0x41); /* populated, enabled */
	field(&s, 0x19, 1, 1);	  /* upgrade: other */
	for (unsigned int off = 0x1a; off < 0x20; off += 2)
		field(&s, off, 2, 0xffff); /* no cache structures */
	field(&s, 0x23, 1, 1);		   /* cores, enabled, threads */
	field(&s, 0x24, 1, 1);
	field(&s, 0x25, 1, 1);
	field(&s, 0x26, 2, 0x0004); /* 64-bit */
	add(t, &s, strings, 2);
}

static void add_memory_device(struct tables *t, unsigned int n, uint64_t mib)
{
	char locator[16];
	const char *const strings[] = { locator, MANUFACTURER };
	struct structure s = structure(TYPE_MEMORY_DEVICE, 0x28, HANDLE(TYPE_MEMORY_DEVICE, n));

	snprintf(locator, sizeof(locator), "DIMM %u", n);
	field(&s, 0x04, 2, HANDLE(TYPE_MEMORY_ARRAY, 0));
	field(&s, 0x06, 2, HANDLE_NONE);
	field(&s, 0x08, 2, 0xffff); /* width unknown */
	field(&s, 0x0a, 2, 0xffff);
	field(&s, 0x0c, 2, mib);
	field(&s, 0x0e, 1, 9); /* DIMM */
	field(&s, 0x10, 1, 1);
	field(&s, 0x12, 1, 7); /* RAM */
	field(&s, 0x13, 2, 2); /* other */
	field(&s, 0x17, 1, 2);
	add(t, &s, strings, 2);
}

static void add_array_address(struct tables *t, unsigned int n, uint64_t start, uint64_t size)
{
	struct structure s = structure(TYPE_ARRAY_ADDRESS, 0x0f, HANDLE(TYPE_ARRAY_ADDRESS, n));

	field(&s, 0x04, 4, start >> 10);
	field(&s, 0x08, 4, (start + size - 1) >> 10);
	field(&s, 0x0c, 2, HANDLE(TYPE_MEMORY_ARRAY, 0));
	field(&s, 0x0e, 1, 1);
	add(t, &s, NULL, 0);
}

static void add_memory(struct tables *t, const struct memmap_ram *ram)
{
	uint64_t mib = (ram->low + ram->high) >> 20, left;
	unsigned int dimms = (unsigned int)((mib + MIB_PER_DIMM - 1) / MIB_PER_DIMM);
	struct structure s = structure(TYPE_MEMORY_ARRAY, 0x17, HANDLE(TYPE_MEMORY_ARRAY, 0));

	field(&s, 0x04, 1, 3); /* on the board */
	field(&s, 0x05, 1, 3); /* system memory */
	field(&s, 0x06, 1, 3); /* no error correction */
	field(&s, 0x07, 4, 0x80000000);
	field(&s, 0x0b, 2, HANDLE_NONE);
	field(&s, 0x0d, 2, dimms);
	field(&s, 0x0f, 8, ram->low + ram->high);
	add(t, &s, NULL, 0);
	left = mib;
	for (unsigned int i = 0; i < dimms; i++) {
		add_memory_device(t, i, left < MIB_PER_DIMM ? left : MIB_PER_DIMM);
		left -= left < MIB_PER_DIMM ? left : MIB_PER_DIMM;
	}
	add_array_address(t, 0, 0, ram->low);
	if (ram->high)
		add_array_address(t, 1, MEMMAP_4G, ram->high);
}

static void add_rest(struct tables *t)
{
	struct structure s = structure(TYPE_BOOT_STATUS, 0x0b, HANDLE(TYPE_BOOT_STATUS, 0));

	add(t, &s, NULL, 0);
	s = structure(TYPE_END, 4, HANDLE(TYPE_END, 0));
	add(t, &s, NULL, 0);
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

/* Entry point structure, section 5.2.1. */
static void fill_anchor(const struct tables *t, uint8_t *a)
{
	memset(a, 0, SMBIOS_ANCHOR_SIZE);
	memcpy(a, "_SM_", 4);
	a[0x05] = SMBIOS_ANCHOR_SIZE;
	a[0x06] = 2;
	a[0x07] = 8;
	a[0x08] = (uint8_t)t->largest;
	a[0x09] = (uint8_t)(t->largest >> 8);
	memcpy(a + 0x10, "_DMI_", 5);
	a[0x16] = (uint8_t)t->used;
	a[0x17] = (uint8_t)(t->used >> 8);
	a[0x1c] = (uint8_t)t->count;
	a[0x1d] = (uint8_t)(t->count >> 8);
	a[0x1e] = 0x28;
	a[0x15] = checksum(a + 0x10, SMBIOS_ANCHOR_SIZE - 0x10);
	a[0x04] = checksum(a, SMBIOS_ANCHOR_SIZE);
}

long smbios_build(const struct smbios_config *cfg, uint8_t anchor[SMBIOS_ANCHOR_SIZE], void *buf,
		  size_t size)
{
	struct tables t = { .buf = buf, .size = size };

	add_system(&t, cfg);
	add_enclosure(&t);
	for (unsigned int i = 0; i < cfg->cpus; i++)
		add_processor(&t, i);
	add_memory(&t, &cfg->ram);
	add_rest(&t);
	if (t.error)
		return t.error;
	fill_anchor(&t, anchor);
	return (long)t.used;
}
