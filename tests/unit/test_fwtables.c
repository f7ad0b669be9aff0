// SPDX-License-Identifier: GPL-2.0-only
/*
 * What firmware is told. The test is the firmware: it reads the files through fw_cfg, runs the script
 * that links the ACPI tables at addresses of its own, and then looks at them as a system would.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "worker/fwtables.h"

#define TABLES_AT 0x1ffe3000u
#define RSDP_AT	  0x000f61c0u

static const struct acpi_config acpi = {
	.cpus = 3,
	.lapic_base = 0xfee00000,
	.ioapic_base = 0xfec00000,
	.pm1_evt_port = 0x600,
	.pm1_cnt_port = 0x604,
	.pm_tmr_port = 0x608,
	.pm_tmr_bits = 32,
	.reset_port = 0xcf9,
	.reset_value = 6,
	.sci_irq = 9,
	.pci_mem_start = 0x80000000,
	.pci_mem_last = 0xfebfffff,
	.pirq_gsi = 16,
	.isa_slot = 1,
};

static struct fwtables tables;
static struct fwcfg fw;
static const struct dma no_dma;

struct file {
	uint8_t data[ACPI_TABLES_MAX];
	uint32_t len;
	uint32_t at;
};

static struct file rsdp, acpi_tables, script;

static void build(uint64_t memory)
{
	struct smbios_config smbios = { .cpus = 3, .ram = memmap_split(memory) };

	fwcfg_init(&fw, &no_dma);
	assert_int_equal(fwtables_build(&tables, &acpi, &smbios), 0);
	assert_int_equal(fwtables_publish(&tables, 3, &fw), 0);
}

static uint32_t be(const uint8_t *p, unsigned int size)
{
	uint32_t val = 0;

	while (size--)
		val = val << 8 | *p++;
	return val;
}

static void fetch(uint16_t key, void *buf, uint32_t len)
{
	fwcfg_ops.write(&fw, 0, 2, key);
	if (len)
		fwcfg_ops.read_string(&fw, 1, 1, buf, len);
}

static void load(const char *name, struct file *f)
{
	uint8_t dir[4 + 64 * FWCFG_FILES_MAX];
	uint32_t i, n;

	fetch(FWCFG_FILE_DIR, dir, sizeof(dir));
	n = be(dir, 4);
	for (i = 0; i < n && strcmp((char *)dir + 4 + 64 * i + 8, name); i++)
		;
	assert_true(i < n);
	f->len = be(dir + 4 + 64 * i, 4);
	assert_true(f->len <= sizeof(f->data));
	fetch((uint16_t)be(dir + 4 + 64 * i + 4, 2), f->data, f->len);
}

static uint64_t get(const uint8_t *p, unsigned int size)
{
	uint64_t val = 0;

	memcpy(&val, p, size);
	return val;
}

static struct file *by_name(const uint8_t *name)
{
	if (strcmp((const char *)name, "etc/acpi/rsdp") == 0)
		return &rsdp;
	assert_string_equal((const char *)name, "etc/acpi/tables");
	return &acpi_tables;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

static void add_pointer(const uint8_t *e)
{
	struct file *f = by_name(e);
	uint32_t off = (uint32_t)get(e + 112, 4);
	unsigned int size = e[116];
	uint64_t val;

	assert_true(size == 4 || size == 8);
	assert_true(off + size <= f->len);
	val = get(f->data + off, size) + by_name(e + 56)->at;
	memcpy(f->data + off, &val, size);
}

static void add_checksum(const uint8_t *e)
{
	struct file *f = by_name(e);
	uint32_t off = (uint32_t)get(e + 56, 4), start = (uint32_t)get(e + 60, 4);
	uint32_t len = (uint32_t)get(e + 64, 4);

	assert_true(start + len <= f->len && off < f->len);
	assert_int_equal(f->data[off], 0); /* OVMF sums it up too, and then replaces it */
	f->data[off] -= sum(f->data + start, len);
}

static void link_tables(void)
{
	unsigned int allocated = 0;

	load("etc/acpi/rsdp", &rsdp);
	load("etc/acpi/tables", &acpi_tables);
	load("etc/table-loader", &script);
	assert_int_equal(script.len % FWTABLES_LOADER_ENTRY, 0);
	for (uint32_t at = 0; at < script.len; at += FWTABLES_LOADER_ENTRY) {
		const uint8_t *e = script.data + at;

		switch (get(e, 4)) {
		case 1:
			by_name(e + 4)->at = e[64] == 2 ? RSDP_AT : TABLES_AT;
			allocated++;
			break;
		case 2:
			add_pointer(e + 4);
			break;
		case 3:
			add_checksum(e + 4);
			break;
		default:
			fail();
		}
	}
	assert_int_equal(allocated, 2);
	assert_int_equal(rsdp.at, RSDP_AT);
}

static const uint8_t *table(uint64_t addr)
{
	const uint8_t *t = acpi_tables.data + (addr - TABLES_AT);

	assert_in_range(addr, TABLES_AT, TABLES_AT + acpi_tables.len - 36);
	assert_true(addr - TABLES_AT + get(t + 4, 4) <= acpi_tables.len);
	if (memcmp(t, "FACS", 4))
		assert_int_equal(sum(t, get(t + 4, 4)), 0);
	return t;
}

static void acpi_is_linked(void **state)
{
	const uint8_t *rsdt, *xsdt, *fadt;

	(void)state;
	build(512u << 20);
	link_tables();
	assert_memory_equal(rsdp.data, "RSD PTR ", 8);
	assert_int_equal(rsdp.len, 36);
	assert_int_equal(sum(rsdp.data, 20), 0);
	assert_int_equal(sum(rsdp.data, 36), 0);
	rsdt = table(get(rsdp.data + 16, 4));
	xsdt = table(get(rsdp.data + 24, 8));
	assert_memory_equal(rsdt, "RSDT", 4);
	assert_memory_equal(xsdt, "XSDT", 4);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(get(rsdt + 36 + 4 * i, 4), get(xsdt + 36 + 8 * i, 8));
	fadt = table(get(xsdt + 36, 8));
	assert_memory_equal(fadt, "FACP", 4);
	assert_memory_equal(table(get(xsdt + 44, 8)), "APIC", 4);
	assert_memory_equal(table(get(fadt + 36, 4)), "FACS", 4);
	assert_int_equal(get(fadt + 36, 4) % 64, 0);
	assert_memory_equal(table(get(fadt + 40, 4)), "DSDT", 4);
	assert_int_equal(get(fadt + 140, 8), get(fadt + 40, 4));
}

/* Firmware that has moved the ports finds tables of the same size that say so. */
static void ports_that_move(void **state)
{
	struct acpi_config moved = acpi;
	const uint8_t *fadt;

	(void)state;
	build(512u << 20);
	moved.pm1_evt_port = 0xb000;
	moved.pm1_cnt_port = 0xb004;
	moved.pm_tmr_port = 0xb008;
	assert_int_equal(fwtables_update_acpi(&tables, &moved), 0);
	link_tables();
	fadt = table(get(table(get(rsdp.data + 24, 8)) + 36, 8));
	assert_int_equal(get(fadt + 56, 4), 0xb000);
	assert_int_equal(get(fadt + 76, 4), 0xb008);
	moved.cpus = 5;
	assert_int_equal(fwtables_update_acpi(&tables, &moved), -EINVAL);
}

static void memory_map(void **state)
{
	struct file f;

	(void)state;
	build(512u << 20);
	load("etc/e820", &f);
	assert_int_equal(f.len, 20);
	assert_int_equal(get(f.data + 8, 8), 512u << 20);
	build(5ull << 30);
	load("etc/e820", &f);
	assert_int_equal(f.len, 40);
	assert_int_equal(get(f.data + 8, 8), 0xc0000000);
	assert_int_equal(get(f.data + 20, 8), 1ull << 32);
	assert_int_equal(get(f.data + 28, 8), 2ull << 30);
	assert_int_equal(get(f.data + 36, 4), 1);
}

static void numbers(void **state)
{
	uint8_t val[8];

	(void)state;
	build(512u << 20);
	fetch(FWCFG_NB_CPUS, val, 2);
	assert_int_equal(get(val, 2), 3);
	fetch(FWCFG_MAX_CPUS, val, 2);
	assert_int_equal(get(val, 2), 3);
	fetch(FWCFG_NOGRAPHIC, val, 2);
	assert_int_equal(get(val, 2), 1);
}

/* The strings behind a structure; returns where the next one is. */
static const uint8_t *skip_strings(const uint8_t *p, unsigned int *count)
{
	for (*count = 0; *p; p += strlen((const char *)p) + 1)
		++*count;
	return p + (*count ? 1 : 2);
}

static void smbios_walks(void **state)
{
	unsigned int seen[128] = { 0 }, count = 0, strings;
	static struct file anchor, smbios;
	const uint8_t *p, *next;
	uint64_t mib = 0;
	size_t largest = 0;

	(void)state;
	build(40ull << 30);
	load("etc/smbios/smbios-anchor", &anchor);
	load("etc/smbios/smbios-tables", &smbios);
	assert_memory_equal(anchor.data, "_SM_", 4);
	assert_int_equal(sum(anchor.data, anchor.len), 0);
	assert_int_equal(sum(anchor.data + 16, anchor.len - 16), 0);
	assert_int_equal(get(anchor.data + 22, 2), smbios.len);
	for (p = smbios.data; p < smbios.data + smbios.len; p = next) {
		next = skip_strings(p + p[1], &strings);
		seen[p[0] & 127]++;
		count++;
		if ((size_t)(next - p) > largest)
			largest = next - p;
		if (p[0] == 17)
			mib += get(p + 0x0c, 2);
		if (p[0] == 4)
			assert_true(p[4] <= strings && p[7] <= strings);
	}
	assert_ptr_equal(p, smbios.data + smbios.len);
	assert_int_equal(count, get(anchor.data + 28, 2));
	assert_int_equal(largest, get(anchor.data + 8, 2));
	assert_int_equal(seen[1], 1);
	assert_int_equal(seen[4], 3);
	assert_int_equal(seen[17], 3);
	assert_int_equal(mib, 40 << 10);
	assert_int_equal(seen[127], 1);
	assert_int_equal(smbios_build(&(struct smbios_config){ .cpus = 1 }, anchor.data,
				      smbios.data, 100),
			 -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acpi_is_linked), cmocka_unit_test(ports_that_move),
		cmocka_unit_test(memory_map),	  cmocka_unit_test(numbers),
		cmocka_unit_test(smbios_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
