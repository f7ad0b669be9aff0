// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ACPI tables: found as an operating system finds them, every checksum right, and, where ACPICA's
 * compiler is installed, disassembled and compiled again to the same bytes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/acpi.h"

#define BASE 0xe0000u

static const struct acpi_config config = {
	.cpus = 4,
	.lapic_base = 0xfee00000,
	.ioapic_base = 0xfec00000,
	.ioapic_id = 0,
	.pm1_evt_port = 0x600,
	.pm1_cnt_port = 0x604,
	.pm_tmr_port = 0x608,
	.pm_tmr_bits = 24,
	.s5_slp_typ = 5,
	.reset_port = 0xcf9,
	.reset_value = 6,
	.sci_irq = 9,
	.pci_mem_start = 0xc0000000,
	.pci_mem_last = 0xfebfffff,
	.pirq_gsi = 16,
	.isa_slot = 1,
};

static uint8_t block[ACPI_TABLES_MAX];
static long block_len;

static void build(unsigned int cpus)
{
	struct acpi_config cfg = config;

	cfg.cpus = cpus;
	memset(block, 0xee, sizeof(block));
	block_len = acpi_build(&cfg, BASE, block, sizeof(block));
	assert_true(block_len > 0);
	assert_true((size_t)block_len <= sizeof(block));
}

static uint64_t get(const uint8_t *p, unsigned int bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static const uint8_t *at(uint64_t gpa)
{
	assert_in_range(gpa, BASE, BASE + block_len - 36);
	return block + (gpa - BASE);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

/* A table by its signature, found through the RSDT (4-byte pointers) or the XSDT (8). */
static const uint8_t *find(const char *signature, bool xsdt)
{
	const uint8_t *root = at(xsdt ? get(block + 24, 8) : get(block + 16, 4));
	unsigned int width = xsdt ? 8 : 4;
	uint32_t off;

	assert_memory_equal(root, xsdt ? "XSDT" : "RSDT", 4);
	assert_int_equal(sum(root, get(root + 4, 4)), 0);
	for (off = 36; off < get(root + 4, 4); off += width) {
		const uint8_t *t = at(get(root + off, width));

		assert_int_equal(sum(t, get(t + 4, 4)), 0);
		if (memcmp(t, signature, 4) == 0)
			return t;
	}
	fail_msg("no table %s", signature);
	return NULL;
}

static void test_rsdp(void **state)
{
	(void)state;
	build(4);
	assert_memory_equal(block, "RSD PTR ", 8);
	assert_int_equal(sum(block, 20), 0);
	assert_int_equal(get(block + 20, 4), 36);
	assert_int_equal(sum(block, 36), 0);
	assert_ptr_equal(find("FACP", false), find("FACP", true));
	assert_ptr_equal(find("APIC", false), find("APIC", true));
}

static void test_fadt(void **state)
{
	const uint8_t *fadt, *facs, *dsdt;

	(void)state;
	build(4);
	fadt = find("FACP", true);
	assert_int_equal(get(fadt + 4, 4), 268);
	facs = at(get(fadt + 36, 4));
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal((facs - block) % 64, 0);
	dsdt = at(get(fadt + 140, 8));
	assert_int_equal(get(fadt + 40, 4), get(fadt + 140, 8));
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_int_equal(sum(dsdt, get(dsdt + 4, 4)), 0);
	assert_int_equal(get(fadt + 46, 2), config.sci_irq);
	assert_int_equal(get(fadt + 56, 4), config.pm1_evt_port);
	assert_int_equal(get(fadt + 64, 4), config.pm1_cnt_port);
	assert_int_equal(get(fadt + 76, 4), config.pm_tmr_port);
	assert_int_equal(get(fadt + 112, 4) & 1 << 8, 0);  /* a 24-bit timer */
	assert_int_equal(get(fadt + 112, 4) & 1 << 20, 0); /* not hardware-reduced */
	assert_int_not_equal(get(fadt + 112, 4) & 1 << 10, 0);
	assert_int_equal(get(fadt + 120, 8), config.reset_port);
	assert_int_equal(fadt[128], config.reset_value);
}

/* Counts MADT entries of a type and returns the n-th. */
static const uint8_t *madt_entry(const uint8_t *madt, uint8_t type, unsigned int n,
				 unsigned int *count)
{
	const uint8_t *found = NULL, *p, *end = madt + get(madt + 4, 4);
	unsigned int c = 0;

	for (p = madt + 44; p < end; p += p[1]) {
		assert_in_range(p[1], 6, end - p);
		if (p[0] == type && c++ == n)
			found = p;
	}
	*count = c;
	return found;
}

static void test_madt(void **state)
{
	static const unsigned int sizes[] = { 1, 4, 64, 254 };
	const uint8_t *madt, *e;
	unsigned int count, i, n;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		build(sizes[i]);
		madt = find("APIC", true);
		assert_int_equal(get(madt + 36, 4), config.lapic_base);
		for (n = 0; n < sizes[i]; n++) {
			e = madt_entry(madt, 0, n, &count);
			assert_int_equal(count, sizes[i]);
			assert_int_equal(e[2], n);
			assert_int_equal(e[3], n);
			assert_int_equal(get(e + 4, 4), 1);
		}
		e = madt_entry(madt, 1, 0, &count);
		assert_int_equal(count, 1);
		assert_int_equal(get(e + 4, 4), config.ioapic_base);
		assert_int_equal(get(e + 8, 4), 0);
		e = madt_entry(madt, 2, 0, &count); /* ISA 0 is GSI 2 */
		assert_int_equal(count, 2);
		assert_int_equal(e[3], 0);
		assert_int_equal(get(e + 4, 4), 2);
		e = madt_entry(madt, 2, 1, &count); /* the SCI: level, active high */
		assert_int_equal(e[3], 9);
		assert_int_equal(get(e + 4, 4), 9);
		assert_int_equal(get(e + 8, 2), 0xd);
	}
}

static void test_refusals(void **state)
{
	struct acpi_config cfg = config;
	long len;

	(void)state;
	cfg.cpus = 0;
	assert_int_equal(acpi_build(&cfg, BASE, block, sizeof(block)), -EINVAL);
	cfg.cpus = 255;
	assert_int_equal(acpi_build(&cfg, BASE, block, sizeof(block)), -EINVAL);
	cfg.cpus = 4;
	assert_int_equal(acpi_build(&cfg, BASE + 4, block, sizeof(block)), -EINVAL);
	assert_int_equal(acpi_build(&cfg, 0xfffff000, block, sizeof(block)), -EINVAL);
	build(4);
	for (len = 0; len < block_len; len++) {
		memset(block, 0xee, sizeof(block));
		assert_int_equal(acpi_build(&cfg, BASE, block, len), -ENOSPC);
		assert_int_equal(block[len], 0xee);
	}
	assert_int_equal(acpi_build(&cfg, BASE, block, block_len), block_len);
}

static void write_file(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static size_t read_file(const char *path, uint8_t *data, size_t max)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(data, 1, max, f);
	fclose(f);
	return n;
}

/* Runs the compiler; its log must hold no complaint. */
static void iasl(const char *dir, const char *args)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "cd %s && iasl %s > log 2>&1", dir, args);
	assert_int_equal(system(cmd), 0);
	snprintf(cmd, sizeof(cmd),
		 "cd %s && ! grep -iE 'error [0-9]|warning [0-9]|invalid|incorrect|[1-9][0-9]* "
		 "(Errors|Warnings)' log",
		 dir);
	assert_int_equal(system(cmd), 0);
}

/* Disassembles a table and compiles it again: all but checksum and compiler must be the same. */
static void iasl_round_trip(const uint8_t *table)
{
	static uint8_t again[ACPI_TABLES_MAX];
	char dir[] = "/tmp/acpi-test-XXXXXX", path[64], cmd[128];
	size_t len = get(table + 4, 4), got;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/t.dat", dir);
	write_file(path, table, len);
	iasl(dir, "-d t.dat");
	iasl(dir, "-oa t.dsl");
	snprintf(path, sizeof(path), "%s/t.aml", dir);
	got = read_file(path, again, sizeof(again));
	assert_int_equal(got, len);
	assert_memory_equal(again, table, 9);
	assert_memory_equal(again + 10, table + 10, 18);
	assert_memory_equal(again + 36, table + 36, len - 36);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	assert_int_equal(system(cmd), 0);
}

static void test_acpica_agrees(void **state)
{
	const uint8_t *fadt;

	(void)state;
	if (system("command -v iasl > /dev/null 2>&1")) {
		print_message("iasl (acpica-tools) is not installed\n");
		skip();
	}
	build(64);
	fadt = find("FACP", true);
	iasl_round_trip(fadt);
	iasl_round_trip(find("APIC", true));
	iasl_round_trip(at(get(fadt + 140, 8)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rsdp),	      cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),	      cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_acpica_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
