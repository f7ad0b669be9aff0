/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes ACPI machine language (ACPI 6.4, chapter 20) into a caller's buffer. Pure: no allocation, no
 * I/O. Errors stick: after the first one nothing more is written and aml_error() reports it, so that
 * a table can be written straight down and checked once at its end.
 *
 * Objects with a package length nest: aml_begin_*() returns a mark that the matching aml_end() takes.
 */
#ifndef WORKER_AML_H
#define WORKER_AML_H

#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *buf; /* output, owned by the caller */
	size_t size;  /* bytes that buf holds */
	size_t len;   /* bytes written so far */
	int error; /* 0, or the first error: -ENOSPC (buffer), -EINVAL (a name that is not one) */
};

void aml_init(struct aml *a, void *buf, size_t size);

/* 0, or the first error that a writing call met. */
static inline int aml_error(const struct aml *a)
{
	return a->error;
}

/* Raw bytes: for what has no function here. */
void aml_bytes(struct aml *a, const void *bytes, size_t len);

/* NameString: segments of 1 to 4 characters separated by '.', an optional leading '\\'. */
void aml_name_string(struct aml *a, const char *path);

/* DefName (20.2.5.1): the object that follows is written next by the caller. */
void aml_name(struct aml *a, const char *path);

/* Integer constant in its shortest form (20.2.3). */
void aml_int(struct aml *a, uint64_t value);

/* String constant; ASCII only. */
void aml_string(struct aml *a, const char *s);

/* Compressed EISA identifier of the form "PNP0A03" as an integer (19.6.37). */
void aml_eisaid(struct aml *a, const char *id);

/* Scope, Device and Package of count elements; close each with aml_end(). */
size_t aml_begin_scope(struct aml *a, const char *path);
size_t aml_begin_device(struct aml *a, const char *path);
size_t aml_begin_package(struct aml *a, uint8_t count);

/* Buffer whose contents are the resource descriptors written until aml_end_resources() (6.4). */
size_t aml_begin_resources(struct aml *a);
void aml_end_resources(struct aml *a, size_t mark);

/* Ends the innermost open object. */
void aml_end(struct aml *a, size_t mark);

/* Method of 0 to 7 arguments, not serialized; what it does is written until aml_end(). */
size_t aml_begin_method(struct aml *a, const char *path, unsigned int args);

/* If: the predicate, then what is done; Else right after the end of an If. */
size_t aml_begin_if(struct aml *a);
size_t aml_begin_else(struct aml *a);

/* One byte: an operator without a package length (20.2.5.4), or an argument or local variable. */
enum aml_op {
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68,
	AML_STORE = 0x70,
	AML_AND = 0x7b, /* two operands and a target, which AML_NOWHERE may be */
	AML_OR = 0x7d,
	AML_CREATE_DWORD_FIELD = 0x8a, /* buffer, offset, name */
	AML_RETURN = 0xa4,
	AML_NOWHERE = 0x00,
};
void aml_op(struct aml *a, enum aml_op op);

/* OperationRegion of PCI configuration space, and a field of count bytes of it, each with a name. */
void aml_pci_region(struct aml *a, const char *path, uint8_t offset, uint8_t len);
void aml_byte_fields(struct aml *a, const char *region, const char *const *names,
		     unsigned int count);

/* Small resource: I/O ports [base, base + len), decoded on 16 bits (6.4.2.5). */
void aml_res_io(struct aml *a, uint16_t base, uint8_t len);

/* Small resource: one edge-triggered, active-high ISA interrupt, 0 to 15 (6.4.2.1). */
void aml_res_irq(struct aml *a, unsigned int irq);

/* Large resource: count level-triggered, active-high, shared interrupts (6.4.3.6), consumed. */
void aml_res_interrupts(struct aml *a, const uint32_t *irqs, uint8_t count);

/* Large resource: fixed 32-bit memory range, writable (6.4.3.4). */
void aml_res_memory32_fixed(struct aml *a, uint32_t base, uint32_t len);

/* Large resources of a bus's producer: ranges [min, max], inclusive (6.4.3.5). */
void aml_res_bus_range(struct aml *a, uint16_t min, uint16_t max);
void aml_res_io_range(struct aml *a, uint16_t min, uint16_t max);
void aml_res_memory_range(struct aml *a, uint32_t min, uint32_t max);

#endif
