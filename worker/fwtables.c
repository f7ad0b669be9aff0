// SPDX-License-Identifier: GPL-2.0-only
#include "worker/fwtables.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define FILE_RSDP   "etc/acpi/rsdp"
#define FILE_TABLES "etc/acpi/tables"

#define E820_RAM 1

enum {
	CMD_ALLOCATE = 1,
	CMD_ADD_POINTER = 2,
	CMD_ADD_CHECKSUM = 3,
};

enum {
	ZONE_HIGH = 1,
	ZONE_FSEG = 2, /* where the RSDP is looked for */
};

struct loader_entry {
	uint32_t command;
	union {
		struct {
			char file[56];
			uint32_t align;
			uint8_t zone;
		} __attribute__((packed)) allocate;
		struct {
			char file[56];	 /* that holds the field */
			char target[56]; /* whose address is added to it */
			uint32_t offset;
			uint8_t size;
		} __attribute__((packed)) pointer;
		struct {
			char file[56];
			uint32_t offset, start, length;
		} __attribute__((packed)) checksum;
		uint8_t pad[124];
	};
} __attribute__((packed));

_Static_assert(sizeof(struct loader_entry) == FWTABLES_LOADER_ENTRY, "a loader entry's size");

static const char *file_name(bool in_rsdp)
{
	return in_rsdp ? FILE_RSDP : FILE_TABLES;
}

static void append(struct fwtables *t, const struct loader_entry *e)
{
	memcpy(t->loader + t->loader_size, e, sizeof(*e));
	t->loader_size += sizeof(*e);
}

static void append_allocate(struct fwtables *t, const char *file, uint32_t align, uint8_t zone)
{
	struct loader_entry e = {
		.command = CMD_ALLOCATE,
		.allocate = { .align = align, .zone = zone },
	};

	strcpy(e.allocate.file, file);
	append(t, &e);
}

static void append_pointer(struct fwtables *t, const struct acpi_pointer *p)
{
	struct loader_entry e = {
		.command = CMD_ADD_POINTER,
		.pointer = { .offset = p->offset, .size = p->size },
	};

	strcpy(e.pointer.file, file_name(p->in_rsdp));
	strcpy(e.pointer.target, FILE_TABLES);
	append(t, &e);
}

static void append_checksum(struct fwtables *t, const struct acpi_checksum *c)
{
	struct loader_entry e = {
		.command = CMD_ADD_CHECKSUM,
		.checksum = { .offset = c->offset, .start = c->start, .length = c->length },
	};

	strcpy(e.checksum.file, file_name(c->in_rsdp));
	append(t, &e);
}

/* SeaBIOS makes up for what a sum lacks; OVMF takes it for granted that there is none yet. */
static void clear_checksums(uint8_t *tables, const struct acpi_links *links)
{
	const struct acpi_checksum *c;

	for (unsigned int i = 0; i < links->checksums; i++) {
		c = &links->checksum[i];
		tables[c->offset + (c->in_rsdp ? 0 : ACPI_TABLES_OFFSET)] = 0;
	}
}

static int build_acpi(struct fwtables *t, const struct acpi_config *cfg)
{
	struct acpi_links links;
	long size = acpi_build_links(cfg, t->acpi, sizeof(t->acpi), &links);
	unsigned int i;

	if (size < 0)
		return (int)size;
	t->acpi_size = (uint32_t)size;
	clear_checksums(t->acpi, &links);
	append_allocate(t, FILE_RSDP, 16, ZONE_FSEG);
	append_allocate(t, FILE_TABLES, 64, ZONE_HIGH);
	for (i = 0; i < links.pointers; i++)
		append_pointer(t, &links.pointer[i]);
	for (i = 0; i < links.checksums; i++)
		append_checksum(t, &links.checksum[i]);
	return 0;
}

int fwtables_update_acpi(struct fwtables *t, const struct acpi_config *cfg)
{
	uint8_t tables[ACPI_TABLES_MAX];
	struct acpi_links links;

	if (acpi_build_links(cfg, tables, sizeof(tables), &links) != (long)t->acpi_size)
		return -EINVAL;
	clear_checksums(tables, &links);
	memcpy(t->acpi, tables, t->acpi_size);
	return 0;
}

static void build_e820(struct fwtables *t, const struct memmap_ram *ram)
{
	t->e820[t->e820_count++] = (struct fwtables_e820){ 0, ram->low, E820_RAM };
	if (ram->high)
		t->e820[t->e820_count++] = (struct fwtables_e820){ MEMMAP_4G, ram->high, E820_RAM };
}

int fwtables_build(struct fwtables *t, const struct acpi_config *acpi,
		   const struct smbios_config *smbios)
{
	long size;
	int ret;

	memset(t, 0, sizeof(*t));
	build_e820(t, &smbios->ram);
	ret = build_acpi(t, acpi);
	if (ret)
		return ret;
	size = smbios_build(smbios, t->smbios_anchor, t->smbios, sizeof(t->smbios));
	if (size < 0)
		return (int)size;
	t->smbios_size = (uint32_t)size;
	return 0;
}

static int publish_numbers(unsigned int cpus, struct fwcfg *fw)
{
	static const uint8_t nothing[16];
	int ret;

	ret = fwcfg_add(fw, FWCFG_UUID, nothing, sizeof(nothing));
	if (!ret)
		ret = fwcfg_add_int(fw, FWCFG_NOGRAPHIC, 1, 2); /* the serial port is the console */
	if (!ret)
		ret = fwcfg_add_int(fw, FWCFG_NB_CPUS, cpus, 2);
	if (!ret)
		ret = fwcfg_add_int(fw, FWCFG_MAX_CPUS, cpus, 2);
	if (!ret)
		ret = fwcfg_add_int(fw, FWCFG_NUMA, 0, 8);
	if (!ret)
		ret = fwcfg_add_int(fw, FWCFG_BOOT_MENU, 0, 2);
	if (!ret)
		ret = fwcfg_add_int(fw, FWCFG_IRQ0, 1, 4);
	return ret;
}

int fwtables_publish(const struct fwtables *t, unsigned int cpus, struct fwcfg *fw)
{
	const struct {
		const char *name;
		const void *data;
		uint32_t size;
	} files[] = {
		{ "etc/e820", t->e820, t->e820_count * (uint32_t)sizeof(t->e820[0]) },
		{ "etc/smbios/smbios-anchor", t->smbios_anchor, sizeof(t->smbios_anchor) },
		{ "etc/smbios/smbios-tables", t->smbios, t->smbios_size },
		{ FILE_RSDP, t->acpi, ACPI_RSDP_SIZE },
		{ FILE_TABLES, t->acpi + ACPI_TABLES_OFFSET, t->acpi_size - ACPI_TABLES_OFFSET },
		{ "etc/table-loader", t->loader, t->loader_size },
	};
	int ret = publish_numbers(cpus, fw);

	for (size_t i = 0; !ret && i < sizeof(files) / sizeof(files[0]); i++)
		ret = fwcfg_add_file(fw, files[i].name, files[i].data, files[i].size);
	return ret;
}
