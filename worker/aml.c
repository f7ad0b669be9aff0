// SPDX-License-Identifier: GPL-2.0-only
#include "worker/aml.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Opcodes, ACPI 6.4 section 20.3. */
enum {
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_NAME = 0x08,
	AML_BYTE_PREFIX = 0x0a,
	AML_WORD_PREFIX = 0x0b,
	AML_DWORD_PREFIX = 0x0c,
	AML_STRING_PREFIX = 0x0d,
	AML_QWORD_PREFIX = 0x0e,
	AML_SCOPE = 0x10,
	AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12,
	AML_METHOD = 0x14,
	AML_DUAL_NAME = 0x2e,
	AML_MULTI_NAME = 0x2f,
	AML_EXT_PREFIX = 0x5b,
	AML_EXT_REGION = 0x80,
	AML_EXT_FIELD = 0x81,
	AML_EXT_DEVICE = 0x82,
	AML_IF = 0xa0,
	AML_ELSE = 0xa1,
};

/* Resource descriptors, section 6.4: type byte of small ones includes the length. */
enum {
	RES_IRQ_NO_FLAGS = 0x22,
	RES_IO = 0x47,
	RES_END_TAG = 0x79,
	RES_MEMORY32_FIXED = 0x86,
	RES_DWORD_SPACE = 0x87,
	RES_WORD_SPACE = 0x88,
	RES_INTERRUPTS = 0x89,
};

enum {
	SPACE_MEMORY = 0,
	SPACE_IO = 1,
	SPACE_BUS = 2
};

#define REGION_PCI_CONFIG 2
#define FIELD_BYTE_ACCESS 1    /* no lock, preserve */
#define INTERRUPT_FLAGS	  0x09 /* consumer, level, active high, shared */

#define SPACE_MIN_MAX_FIXED 0x0c
#define AML_SEGMENTS_MAX    8

void aml_init(struct aml *a, void *buf, size_t size)
{
	*a = (struct aml){ .buf = buf, .size = size };
}

static void aml_fail(struct aml *a, int error)
{
	if (!a->error)
		a->error = error;
}

void aml_bytes(struct aml *a, const void *bytes, size_t len)
{
	if (a->error)
		return;
	if (len > a->size - a->len) {
		aml_fail(a, -ENOSPC);
		return;
	}
	memcpy(a->buf + a->len, bytes, len);
	a->len += len;
}

static void aml_byte(struct aml *a, uint8_t b)
{
	aml_bytes(a, &b, 1);
}

/* Little-endian, whatever the host. */
static void aml_le(struct aml *a, uint64_t value, unsigned int bytes)
{
	for (; bytes; bytes--, value >>= 8)
		aml_byte(a, (uint8_t)value);
}

static bool aml_is_name_char(char c, bool lead)
{
	return (c >= 'A' && c <= 'Z') || c == '_' || (!lead && c >= '0' && c <= '9');
}

/* Copies one segment, padded with '_', and returns its length; 0 if it is not a name. */
static size_t aml_segment(const char *path, char seg[4])
{
	size_t n;

	memset(seg, '_', 4);
	for (n = 0; path[n] && path[n] != '.'; n++) {
		if (n == 4 || !aml_is_name_char(path[n], n == 0))
			return 0;
		seg[n] = path[n];
	}
	return n;
}

void aml_name_string(struct aml *a, const char *path)
{
	char segs[AML_SEGMENTS_MAX][4];
	unsigned int count = 0;

	if (*path == '\\') {
		aml_byte(a, '\\');
		path++;
	}
	while (*path) {
		size_t n = count < AML_SEGMENTS_MAX ? aml_segment(path, segs[count]) : 0;

		if (!n) {
			aml_fail(a, -EINVAL);
			return;
		}
		count++;
		path += n;
		if (*path == '.')
			path++;
	}
	if (count == 0) {
		aml_byte(a, 0);
	} else if (count == 2) {
		aml_byte(a, AML_DUAL_NAME);
	} else if (count > 2) {
		aml_byte(a, AML_MULTI_NAME);
		aml_byte(a, count);
	}
	aml_bytes(a, segs, count * 4);
}

void aml_name(struct aml *a, const char *path)
{
	aml_byte(a, AML_NAME);
	aml_name_string(a, path);
}

void aml_int(struct aml *a, uint64_t value)
{
	if (value == 0) {
		aml_byte(a, AML_ZERO);
	} else if (value == 1) {
		aml_byte(a, AML_ONE);
	} else if (value <= 0xff) {
		aml_byte(a, AML_BYTE_PREFIX);
		aml_le(a, value, 1);
	} else if (value <= 0xffff) {
		aml_byte(a, AML_WORD_PREFIX);
		aml_le(a, value, 2);
	} else if (value <= 0xffffffff) {
		aml_byte(a, AML_DWORD_PREFIX);
		aml_le(a, value, 4);
	} else {
		aml_byte(a, AML_QWORD_PREFIX);
		aml_le(a, value, 8);
	}
}

void aml_string(struct aml *a, const char *s)
{
	aml_byte(a, AML_STRING_PREFIX);
	aml_bytes(a, s, strlen(s) + 1);
}

static int aml_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Three letters of five bits each, then four hexadecimal digits, stored most significant first. */
void aml_eisaid(struct aml *a, const char *id)
{
	uint32_t v = 0;
	unsigned int i;

	if (strlen(id) != 7) {
		aml_fail(a, -EINVAL);
		return;
	}
	for (i = 0; i < 3; i++) {
		if (id[i] < 'A' || id[i] > 'Z')
			aml_fail(a, -EINVAL);
		v = v << 5 | (id[i] - 0x40);
	}
	for (; i < 7; i++) {
		if (aml_hex_digit(id[i]) < 0)
			aml_fail(a, -EINVAL);
		v = v << 4 | (aml_hex_digit(id[i]) & 0xf);
	}
	aml_int(a, __builtin_bswap32(v));
}

size_t aml_begin_scope(struct aml *a, const char *path)
{
	size_t mark;

	aml_byte(a, AML_SCOPE);
	mark = a->len;
	aml_name_string(a, path);
	return mark;
}

size_t aml_begin_device(struct aml *a, const char *path)
{
	size_t mark;

	aml_byte(a, AML_EXT_PREFIX);
	aml_byte(a, AML_EXT_DEVICE);
	mark = a->len;
	aml_name_string(a, path);
	return mark;
}

size_t aml_begin_package(struct aml *a, uint8_t count)
{
	size_t mark;

	aml_byte(a, AML_PACKAGE);
	mark = a->len;
	aml_byte(a, count);
	return mark;
}

/* Encodes a package length in as few bytes as it takes (20.2.4); returns their number, 0 if none. */
static unsigned int aml_pkg_length(size_t body, uint8_t out[4])
{
	unsigned int n, i;
	size_t total;

	if (body + 1 < 0x40) {
		out[0] = body + 1;
		return 1;
	}
	for (n = 2; n <= 4; n++) {
		total = body + n;
		if (total >> (4 + 8 * (n - 1)))
			continue;
		out[0] = (n - 1) << 6 | (total & 0xf);
		for (i = 1; i < n; i++)
			out[i] = total >> (4 + 8 * (i - 1));
		return n;
	}
	return 0;
}

/* Makes room for bytes before what was written since mark. */
static void aml_insert(struct aml *a, size_t mark, const void *bytes, size_t len)
{
	if (a->error)
		return;
	if (len > a->size - a->len) {
		aml_fail(a, -ENOSPC);
		return;
	}
	memmove(a->buf + mark + len, a->buf + mark, a->len - mark);
	memcpy(a->buf + mark, bytes, len);
	a->len += len;
}

void aml_end(struct aml *a, size_t mark)
{
	uint8_t length[4];
	unsigned int n;

	if (a->error)
		return;
	n = aml_pkg_length(a->len - mark, length);
	if (!n) {
		aml_fail(a, -ENOSPC);
		return;
	}
	aml_insert(a, mark, length, n);
}

size_t aml_begin_method(struct aml *a, const char *path, unsigned int args)
{
	size_t mark;

	aml_byte(a, AML_METHOD);
	mark = a->len;
	aml_name_string(a, path);
	aml_byte(a, args & 7);
	return mark;
}

size_t aml_begin_if(struct aml *a)
{
	aml_byte(a, AML_IF);
	return a->len;
}

size_t aml_begin_else(struct aml *a)
{
	aml_byte(a, AML_ELSE);
	return a->len;
}

void aml_op(struct aml *a, enum aml_op op)
{
	aml_byte(a, op);
}

void aml_pci_region(struct aml *a, const char *path, uint8_t offset, uint8_t len)
{
	aml_byte(a, AML_EXT_PREFIX);
	aml_byte(a, AML_EXT_REGION);
	aml_name_string(a, path);
	aml_byte(a, REGION_PCI_CONFIG);
	aml_int(a, offset);
	aml_int(a, len);
}

void aml_byte_fields(struct aml *a, const char *region, const char *const *names,
		     unsigned int count)
{
	size_t mark;

	aml_byte(a, AML_EXT_PREFIX);
	aml_byte(a, AML_EXT_FIELD);
	mark = a->len;
	aml_name_string(a, region);
	aml_byte(a, FIELD_BYTE_ACCESS);
	for (; count--; names++) {
		aml_name_string(a, *names);
		aml_byte(a, 8); /* bits */
	}
	aml_end(a, mark);
}

size_t aml_begin_resources(struct aml *a)
{
	aml_byte(a, AML_BUFFER);
	return a->len;
}

void aml_end_resources(struct aml *a, size_t mark)
{
	uint8_t size_bytes[9];
	struct aml size_object;

	/* A checksum of 0 means "treat as correct" (6.4.2.9). */
	aml_byte(a, RES_END_TAG);
	aml_byte(a, 0);
	if (a->error)
		return;
	aml_init(&size_object, size_bytes, sizeof(size_bytes));
	aml_int(&size_object, a->len - mark);
	aml_insert(a, mark, size_bytes, size_object.len);
	aml_end(a, mark);
}

void aml_res_io(struct aml *a, uint16_t base, uint8_t len)
{
	aml_byte(a, RES_IO);
	aml_byte(a, 1); /* decodes 16 bits */
	aml_le(a, base, 2);
	aml_le(a, base, 2);
	aml_byte(a, 1); /* alignment */
	aml_byte(a, len);
}

void aml_res_irq(struct aml *a, unsigned int irq)
{
	if (irq > 15)
		aml_fail(a, -EINVAL);
	aml_byte(a, RES_IRQ_NO_FLAGS);
	aml_le(a, 1u << (irq & 15), 2);
}

void aml_res_interrupts(struct aml *a, const uint32_t *irqs, uint8_t count)
{
	aml_byte(a, RES_INTERRUPTS);
	aml_le(a, 2 + 4u * count, 2);
	aml_byte(a, INTERRUPT_FLAGS);
	aml_byte(a, count);
	for (; count--; irqs++)
		aml_le(a, *irqs, 4);
}

void aml_res_memory32_fixed(struct aml *a, uint32_t base, uint32_t len)
{
	aml_byte(a, RES_MEMORY32_FIXED);
	aml_le(a, 9, 2);
	aml_byte(a, 1); /* writable */
	aml_le(a, base, 4);
	aml_le(a, len, 4);
}

/* Address space descriptors differ in their field width only: 2 or 4 bytes. */
static void aml_res_space(struct aml *a, uint8_t type, uint8_t flags, unsigned int width,
			  uint32_t min, uint32_t max)
{
	aml_byte(a, width == 2 ? RES_WORD_SPACE : RES_DWORD_SPACE);
	aml_le(a, 3 + 5 * width, 2);
	aml_byte(a, type);
	aml_byte(a, SPACE_MIN_MAX_FIXED);
	aml_byte(a, flags);
	aml_le(a, 0, width); /* granularity */
	aml_le(a, min, width);
	aml_le(a, max, width);
	aml_le(a, 0, width); /* translation */
	aml_le(a, (uint64_t)max - min + 1, width);
}

void aml_res_bus_range(struct aml *a, uint16_t min, uint16_t max)
{
	aml_res_space(a, SPACE_BUS, 0, 2, min, max);
}

void aml_res_io_range(struct aml *a, uint16_t min, uint16_t max)
{
	aml_res_space(a, SPACE_IO, 3, 2, min, max); /* ISA and non-ISA ranges */
}

void aml_res_memory_range(struct aml *a, uint32_t min, uint32_t max)
{
	aml_res_space(a, SPACE_MEMORY, 1, 4, min, max); /* writable, not cacheable */
}
