// SPDX-License-Identifier: GPL-2.0-only
#include "worker/acpi.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "worker/aml.h"

#define ACPI_OEM_ID	  "PLINTH"
#define ACPI_OEM_TABLE_ID "PLINTHVM"
#define ACPI_CREATOR_ID	  "PLNT"
#define ACPI_RSDP_V1_SIZE 20
#define ACPI_CPUS_MAX	  254 /* xAPIC identifiers: 255 is the broadcast */

/* System description table header, section 5.2.6. */
struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

/* Root system description pointer, section 5.2.5.3. */
struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first ACPI_RSDP_V1_SIZE bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_address;
	uint32_t length;
	uint64_t xsdt_address;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

/* Generic address structure, section 5.2.3.2. */
struct acpi_gas {
	uint8_t space_id;
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access_size;
	uint64_t address;
} __attribute__((packed));

enum {
	GAS_SYSTEM_IO = 1
};
enum {
	GAS_BYTE = 1,
	GAS_WORD = 2,
	GAS_DWORD = 3
};

/* Fixed ACPI description table, section 5.2.9, as of ACPI 5.1 (revision 5). */
struct acpi_fadt {
	struct acpi_header header;
	uint32_t firmware_ctrl;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable;
	uint8_t acpi_disable;
	uint8_t s4bios_req;
	uint8_t pstate_cnt;
	uint32_t pm1a_evt_blk;
	uint32_t pm1b_evt_blk;
	uint32_t pm1a_cnt_blk;
	uint32_t pm1b_cnt_blk;
	uint32_t pm2_cnt_blk;
	uint32_t pm_tmr_blk;
	uint32_t gpe0_blk;
	uint32_t gpe1_blk;
	uint8_t pm1_evt_len;
	uint8_t pm1_cnt_len;
	uint8_t pm2_cnt_len;
	uint8_t pm_tmr_len;
	uint8_t gpe0_blk_len;
	uint8_t gpe1_blk_len;
	uint8_t gpe1_base;
	uint8_t cst_cnt;
	uint16_t p_lvl2_lat;
	uint16_t p_lvl3_lat;
	uint16_t flush_size;
	uint16_t flush_stride;
	uint8_t duty_offset;
	uint8_t duty_width;
	uint8_t day_alrm;
	uint8_t mon_alrm;
	uint8_t century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl;
	uint64_t x_dsdt;
	struct acpi_gas x_pm1a_evt_blk;
	struct acpi_gas x_pm1b_evt_blk;
	struct acpi_gas x_pm1a_cnt_blk;
	struct acpi_gas x_pm1b_cnt_blk;
	struct acpi_gas x_pm2_cnt_blk;
	struct acpi_gas x_pm_tmr_blk;
	struct acpi_gas x_gpe0_blk;
	struct acpi_gas x_gpe1_blk;
	struct acpi_gas sleep_control_reg;
	struct acpi_gas sleep_status_reg;
} __attribute__((packed));

/* FADT flags, table 5.10, and IA-PC boot flags, table 5.11. */
enum {
	FADT_WBINVD = 1u << 0,
	FADT_PROC_C1 = 1u << 2,
	FADT_SLP_BUTTON = 1u << 5, /* no fixed sleep button */
	FADT_FIX_RTC = 1u << 6,	   /* no RTC wake status in the fixed registers */
	FADT_TMR_VAL_EXT = 1u << 8,
	FADT_RESET_REG_SUP = 1u << 10,
};

enum {
	IAPC_LEGACY_DEVICES = 1u << 0,
	IAPC_8042 = 1u << 1,
	IAPC_VGA_NOT_PRESENT = 1u << 2,
};

/* A latency above these limits says that C2 and C3 do not exist (section 5.2.9). */
enum {
	FADT_NO_C2 = 101,
	FADT_NO_C3 = 1001,
};

/* Register of the century in the RTC's memory, as every PC since the AT's successors has it. */
#define RTC_CENTURY 0x32

/* Firmware ACPI control structure, section 5.2.10. */
struct acpi_facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t firmware_waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_firmware_waking_vector;
	uint8_t version;
	uint8_t reserved0[3];
	uint32_t ospm_flags;
	uint8_t reserved1[24];
} __attribute__((packed));

/* Multiple APIC description table, section 5.2.12. */
struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic_address;
	uint32_t flags;
} __attribute__((packed));

enum {
	MADT_PCAT_COMPAT = 1
};
enum {
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_LAPIC_NMI = 4
};
enum {
	MADT_LAPIC_ENABLED = 1
};

/* MPS INTI flags, table 5.26. */
enum {
	INTI_CONFORMS = 0,
	INTI_ACTIVE_HIGH = 1,
	INTI_LEVEL = 3 << 2,
};

struct madt_lapic {
	uint8_t type;
	uint8_t length;
	uint8_t processor_uid;
	uint8_t apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type;
	uint8_t length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} __attribute__((packed));

struct madt_override {
	uint8_t type;
	uint8_t length;
	uint8_t bus;
	uint8_t source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_lapic_nmi {
	uint8_t type;
	uint8_t length;
	uint8_t processor_uid; /* 0xff: all */
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

/* The block being written: tables follow each other from its first byte on. */
struct acpi_block {
	uint8_t *buf;
	size_t size;
	size_t used;
	uint64_t gpa;
	struct acpi_links *links; /* NULL: not wanted */
};

/* Reserves len zeroed bytes at a multiple of align; NULL if the block is full. */
static void *block_reserve(struct acpi_block *b, size_t len, size_t align)
{
	size_t start = (b->used + align - 1) & ~(align - 1);
	void *p;

	if (start > b->size || len > b->size - start)
		return NULL;
	p = b->buf + start;
	memset(p, 0, len);
	b->used = start + len;
	return p;
}

static uint64_t block_gpa(const struct acpi_block *b, const void *p)
{
	return b->gpa + ((const uint8_t *)p - b->buf);
}

/* Offset in the file that firmware sees, the RSDP or the tables. */
static uint32_t file_offset(const struct acpi_block *b, const void *p, bool *in_rsdp)
{
	size_t off = (const uint8_t *)p - b->buf;

	*in_rsdp = off < ACPI_TABLES_OFFSET;
	return *in_rsdp ? off : off - ACPI_TABLES_OFFSET;
}

/* Writes the address of target at field, in size bytes. */
static void block_point(struct acpi_block *b, void *field, size_t size, const void *target)
{
	uint64_t gpa = block_gpa(b, target);
	struct acpi_pointer *p;

	memcpy(field, &gpa, size);
	if (!b->links || b->links->pointers == ACPI_LINKS_MAX)
		return;
	p = &b->links->pointer[b->links->pointers++];
	p->offset = file_offset(b, field, &p->in_rsdp);
	p->size = size;
}

static uint8_t acpi_sum(const void *p, size_t len)
{
	const uint8_t *bytes = p;
	uint8_t sum = 0;

	while (len--)
		sum += *bytes++;
	return -sum;
}

/* Makes len bytes at start add up to 0. */
static void block_checksum(struct acpi_block *b, void *start, size_t len, uint8_t *sum)
{
	struct acpi_checksum *c;

	*sum = 0;
	*sum = acpi_sum(start, len);
	if (!b->links || b->links->checksums == ACPI_LINKS_MAX)
		return;
	c = &b->links->checksum[b->links->checksums++];
	c->start = file_offset(b, start, &c->in_rsdp);
	c->offset = file_offset(b, sum, &c->in_rsdp);
	c->length = len;
}

/* Fills the header of a table whose body is complete. */
static void acpi_seal(struct acpi_block *b, struct acpi_header *h, const char *signature,
		      uint8_t revision, uint32_t length)
{
	memcpy(h->signature, signature, 4);
	h->length = length;
	h->revision = revision;
	memcpy(h->oem_id, ACPI_OEM_ID, 6);
	memcpy(h->oem_table_id, ACPI_OEM_TABLE_ID, 8);
	h->oem_revision = 1;
	memcpy(h->creator_id, ACPI_CREATOR_ID, 4);
	h->creator_revision = 1;
	block_checksum(b, h, length, &h->checksum);
}

/* A device of the ISA bus that needs no driver of its own, only its resources kept free. */
static void dsdt_legacy(struct aml *a, const char *name, const char *hid, uint16_t port,
			uint8_t len, uint16_t port2, uint8_t len2, int irq)
{
	size_t dev = aml_begin_device(a, name);
	size_t crs;

	aml_name(a, "_HID");
	aml_eisaid(a, hid);
	aml_name(a, "_CRS");
	crs = aml_begin_resources(a);
	if (len)
		aml_res_io(a, port, len);
	if (len2)
		aml_res_io(a, port2, len2);
	if (irq >= 0)
		aml_res_irq(a, irq);
	aml_end_resources(a, crs);
	aml_end(a, dev);
}

static void dsdt_com1(struct aml *a)
{
	size_t dev = aml_begin_device(a, "COM1");
	size_t crs;

	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0501");
	aml_name(a, "_UID");
	aml_int(a, 1);
	aml_name(a, "_CRS");
	crs = aml_begin_resources(a);
	aml_res_io(a, 0x3f8, 8);
	aml_res_irq(a, 4);
	aml_end_resources(a, crs);
	aml_end(a, dev);
}

static void dsdt_isa(struct aml *a)
{
	dsdt_legacy(a, "PIC0", "PNP0000", 0x20, 2, 0xa0, 2, 2);
	dsdt_legacy(a, "TMR0", "PNP0100", 0x40, 4, 0, 0, 0);
	dsdt_legacy(a, "SPKR", "PNP0800", 0x61, 1, 0, 0, -1);
	dsdt_legacy(a, "KBD0", "PNP0303", 0x60, 1, 0x64, 1, 1);
	dsdt_legacy(a, "MOU0", "PNP0F13", 0, 0, 0, 0, 12);
	dsdt_legacy(a, "RTC0", "PNP0B00", 0x70, 2, 0, 0, 8);
	dsdt_com1(a);
}

/* Ports of the board itself, which no driver may take (PNP0C02). */
static void dsdt_board(struct aml *a, const struct acpi_config *cfg)
{
	size_t dev = aml_begin_device(a, "BRD0");
	size_t crs;

	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0C02");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_name(a, "_CRS");
	crs = aml_begin_resources(a);
	aml_res_io(a, cfg->pm1_evt_port, 4);
	aml_res_io(a, cfg->pm1_cnt_port, 2);
	aml_res_io(a, cfg->pm_tmr_port, 4);
	aml_res_memory32_fixed(a, cfg->ioapic_base, 0x1000);
	aml_res_memory32_fixed(a, cfg->lapic_base, 0x1000);
	aml_end_resources(a, crs);
	aml_end(a, dev);
}

/* ------------------------------------------------------------------ PCI interrupts */

#define PIRQS	     4
#define PCI_SLOTS    32
#define PIRQRC_OFF   0x80
#define LINK_IRQ_OFF 5 /* of the interrupt's number in the resources of a link device */

static const char *const link_names[PIRQS] = { "LNKA", "LNKB", "LNKC", "LNKD" };
static const char *const pirq_names[PIRQS] = { "PIRA", "PIRB", "PIRC", "PIRD" };

/* The steering registers of the ISA bridge (290562, 4.1.10). */
static void dsdt_isa_bridge(struct aml *a, const struct acpi_config *cfg)
{
	size_t dev = aml_begin_device(a, "ISA");

	aml_name(a, "_ADR");
	aml_int(a, (uint64_t)cfg->isa_slot << 16);
	aml_pci_region(a, "PIRR", 0x60, PIRQS);
	aml_byte_fields(a, "PIRR", pirq_names, PIRQS);
	aml_end(a, dev);
}

static void link_register(struct aml *a, unsigned int n)
{
	char path[] = "\\_SB.PCI0.ISA.PIRA";

	memcpy(path + sizeof(path) - 5, pirq_names[n], 4);
	aml_name_string(a, path);
}

static void link_sta(struct aml *a, unsigned int n)
{
	size_t method = aml_begin_method(a, "_STA", 0), branch;

	branch = aml_begin_if(a);
	aml_op(a, AML_AND);
	link_register(a, n);
	aml_int(a, PIRQRC_OFF);
	aml_op(a, AML_NOWHERE);
	aml_op(a, AML_RETURN);
	aml_int(a, 0x09); /* present, working */
	aml_end(a, branch);
	aml_op(a, AML_RETURN);
	aml_int(a, 0x0b); /* and enabled */
	aml_end(a, method);
}

static void link_dis(struct aml *a, unsigned int n)
{
	size_t method = aml_begin_method(a, "_DIS", 0);

	aml_op(a, AML_OR);
	link_register(a, n);
	aml_int(a, PIRQRC_OFF);
	link_register(a, n);
	aml_end(a, method);
}

static void link_crs(struct aml *a, unsigned int n)
{
	static const uint32_t none;
	size_t method, crs, branch;

	aml_name(a, "BUFF");
	crs = aml_begin_resources(a);
	aml_res_interrupts(a, &none, 1);
	aml_end_resources(a, crs);
	aml_op(a, AML_CREATE_DWORD_FIELD);
	aml_name_string(a, "BUFF");
	aml_int(a, LINK_IRQ_OFF);
	aml_name_string(a, "IRQN");
	method = aml_begin_method(a, "_CRS", 0);
	branch = aml_begin_if(a);
	aml_op(a, AML_AND);
	link_register(a, n);
	aml_int(a, PIRQRC_OFF);
	aml_op(a, AML_NOWHERE);
	aml_op(a, AML_STORE);
	aml_int(a, 0);
	aml_name_string(a, "IRQN");
	aml_end(a, branch);
	branch = aml_begin_else(a);
	aml_op(a, AML_AND);
	link_register(a, n);
	aml_int(a, 0x0f);
	aml_name_string(a, "IRQN");
	aml_end(a, branch);
	aml_op(a, AML_RETURN);
	aml_name_string(a, "BUFF");
	aml_end(a, method);
}

static void link_srs(struct aml *a, unsigned int n)
{
	size_t method = aml_begin_method(a, "_SRS", 1);

	aml_op(a, AML_CREATE_DWORD_FIELD);
	aml_op(a, AML_ARG0);
	aml_int(a, LINK_IRQ_OFF);
	aml_name_string(a, "IRQW");
	aml_op(a, AML_STORE);
	aml_name_string(a, "IRQW");
	link_register(a, n);
	aml_end(a, method);
}

/* A link device: which ISA interrupt a PIRQ is steered to. */
static void dsdt_link(struct aml *a, unsigned int n)
{
	static const uint32_t possible[] = { 5, 10, 11 };
	size_t dev = aml_begin_device(a, link_names[n]);
	size_t prs;

	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0C0F");
	aml_name(a, "_UID");
	aml_int(a, n);
	aml_name(a, "_PRS");
	prs = aml_begin_resources(a);
	aml_res_interrupts(a, possible, 3);
	aml_end_resources(a, prs);
	link_sta(a, n);
	link_dis(a, n);
	link_crs(a, n);
	link_srs(a, n);
	aml_end(a, dev);
}

/* Where the pins of every slot go: to IOAPIC inputs from gsi on, or to link devices if it is 0. */
static void dsdt_routes(struct aml *a, const char *name, uint32_t gsi)
{
	size_t table, route;
	unsigned int slot, pin, pirq;

	aml_name(a, name);
	table = aml_begin_package(a, (PCI_SLOTS - 1) * PIRQS);
	for (slot = 1; slot < PCI_SLOTS; slot++) {
		for (pin = 0; pin < PIRQS; pin++) {
			pirq = (slot - 1 + pin) % PIRQS;
			route = aml_begin_package(a, 4);
			aml_int(a, slot << 16 | 0xffff);
			aml_int(a, pin);
			if (gsi)
				aml_int(a, 0);
			else
				aml_name_string(a, link_names[pirq]);
			aml_int(a, gsi ? gsi + pirq : 0);
			aml_end(a, route);
		}
	}
	aml_end(a, table);
}

/* An operating system tells by _PIC which controllers it uses (5.8.1). */
static void dsdt_prt(struct aml *a, const struct acpi_config *cfg)
{
	size_t method, branch;

	dsdt_routes(a, "PRTP", 0);
	dsdt_routes(a, "PRTA", cfg->pirq_gsi);
	method = aml_begin_method(a, "_PRT", 0);
	branch = aml_begin_if(a);
	aml_name_string(a, "\\PICF");
	aml_op(a, AML_RETURN);
	aml_name_string(a, "PRTA");
	aml_end(a, branch);
	aml_op(a, AML_RETURN);
	aml_name_string(a, "PRTP");
	aml_end(a, method);
}

static void dsdt_pic(struct aml *a)
{
	size_t method;

	aml_name(a, "\\PICF");
	aml_int(a, 0);
	method = aml_begin_method(a, "\\_PIC", 1);
	aml_op(a, AML_STORE);
	aml_op(a, AML_ARG0);
	aml_name_string(a, "\\PICF");
	aml_end(a, method);
}

static void dsdt_pci_root(struct aml *a, const struct acpi_config *cfg)
{
	size_t dev = aml_begin_device(a, "PCI0");
	size_t crs;

	aml_name(a, "_HID");
	aml_eisaid(a, "PNP0A03");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_name(a, "_BBN");
	aml_int(a, 0);
	aml_name(a, "_CRS");
	crs = aml_begin_resources(a);
	aml_res_bus_range(a, 0, 0xff);
	aml_res_io(a, 0xcf8, 8);
	aml_res_io_range(a, 0, 0xcf7);
	aml_res_io_range(a, 0xd00, 0xffff);
	aml_res_memory_range(a, cfg->pci_mem_start, cfg->pci_mem_last);
	aml_end_resources(a, crs);
	dsdt_isa_bridge(a, cfg);
	dsdt_isa(a);
	dsdt_prt(a, cfg);
	aml_end(a, dev);
}

static void dsdt_cpus(struct aml *a, unsigned int cpus)
{
	char name[5];
	unsigned int i;
	size_t dev;

	for (i = 0; i < cpus; i++) {
		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		dev = aml_begin_device(a, name);
		aml_name(a, "_HID");
		aml_string(a, "ACPI0007");
		aml_name(a, "_UID");
		aml_int(a, i);
		aml_end(a, dev);
	}
}

static void dsdt_s5(struct aml *a, uint8_t slp_typ)
{
	size_t package;

	aml_name(a, "\\_S5");
	package = aml_begin_package(a, 4);
	aml_int(a, slp_typ);
	aml_int(a, slp_typ);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_end(a, package);
}

static struct acpi_header *acpi_dsdt(struct acpi_block *b, const struct acpi_config *cfg)
{
	struct acpi_header *dsdt = block_reserve(b, sizeof(*dsdt), 16);
	struct aml a;
	unsigned int i;
	size_t scope;

	if (!dsdt)
		return NULL;
	aml_init(&a, dsdt + 1, b->size - b->used);
	dsdt_s5(&a, cfg->s5_slp_typ);
	dsdt_pic(&a);
	scope = aml_begin_scope(&a, "\\_SB");
	dsdt_cpus(&a, cfg->cpus);
	dsdt_board(&a, cfg);
	dsdt_pci_root(&a, cfg);
	for (i = 0; i < PIRQS; i++)
		dsdt_link(&a, i);
	aml_end(&a, scope);
	if (aml_error(&a))
		return NULL;
	b->used += a.len;
	acpi_seal(b, dsdt, "DSDT", 2, sizeof(*dsdt) + a.len); /* revision 2: 64-bit integers */
	return dsdt;
}

static struct acpi_facs *acpi_facs(struct acpi_block *b)
{
	struct acpi_facs *facs = block_reserve(b, sizeof(*facs), 64);

	if (!facs)
		return NULL;
	memcpy(facs->signature, "FACS", 4);
	facs->length = sizeof(*facs);
	facs->version = 2;
	return facs;
}

static struct acpi_gas gas_io(uint16_t port, uint8_t bits, uint8_t access)
{
	return (struct acpi_gas){
		.space_id = GAS_SYSTEM_IO,
		.bit_width = bits,
		.access_size = access,
		.address = port,
	};
}

static struct acpi_header *acpi_fadt(struct acpi_block *b, const struct acpi_config *cfg,
				     const struct acpi_facs *facs, const struct acpi_header *dsdt)
{
	struct acpi_fadt *fadt = block_reserve(b, sizeof(*fadt), 16);

	if (!fadt)
		return NULL;
	/* Where both widths exist, the specification asks for one of the FACS addresses only. */
	block_point(b, &fadt->firmware_ctrl, sizeof(fadt->firmware_ctrl), facs);
	block_point(b, &fadt->dsdt, sizeof(fadt->dsdt), dsdt);
	block_point(b, &fadt->x_dsdt, sizeof(fadt->x_dsdt), dsdt);
	fadt->preferred_pm_profile = 1; /* desktop: the nearest to a machine without batteries */
	fadt->sci_int = cfg->sci_irq;
	/* No SMI_CMD: the machine is in ACPI mode from the start (section 4.8.2.5). */
	fadt->pm1a_evt_blk = cfg->pm1_evt_port;
	fadt->pm1a_cnt_blk = cfg->pm1_cnt_port;
	fadt->pm_tmr_blk = cfg->pm_tmr_port;
	fadt->pm1_evt_len = 4;
	fadt->pm1_cnt_len = 2;
	fadt->pm_tmr_len = 4;
	fadt->x_pm1a_evt_blk = gas_io(cfg->pm1_evt_port, 32, GAS_WORD);
	fadt->x_pm1a_cnt_blk = gas_io(cfg->pm1_cnt_port, 16, GAS_WORD);
	fadt->x_pm_tmr_blk = gas_io(cfg->pm_tmr_port, 32, GAS_DWORD);
	fadt->p_lvl2_lat = FADT_NO_C2;
	fadt->p_lvl3_lat = FADT_NO_C3;
	fadt->century = RTC_CENTURY;
	fadt->iapc_boot_arch = IAPC_LEGACY_DEVICES | IAPC_8042 | IAPC_VGA_NOT_PRESENT;
	fadt->flags =
		FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_RESET_REG_SUP;
	if (cfg->pm_tmr_bits == 32)
		fadt->flags |= FADT_TMR_VAL_EXT;
	fadt->reset_reg = gas_io(cfg->reset_port, 8, GAS_BYTE);
	fadt->reset_value = cfg->reset_value;
	fadt->minor_version = 1;
	acpi_seal(b, &fadt->header, "FACP", 5, sizeof(*fadt));
	return &fadt->header;
}

static bool madt_cpus(struct acpi_block *b, unsigned int cpus)
{
	struct madt_lapic *lapic;
	unsigned int i;

	for (i = 0; i < cpus; i++) {
		lapic = block_reserve(b, sizeof(*lapic), 1);
		if (!lapic)
			return false;
		*lapic = (struct madt_lapic){
			.type = MADT_LAPIC,
			.length = sizeof(*lapic),
			.processor_uid = i,
			.apic_id = i,
			.flags = MADT_LAPIC_ENABLED,
		};
	}
	return true;
}

static bool madt_override(struct acpi_block *b, uint8_t source, uint32_t gsi, uint16_t flags)
{
	struct madt_override *o = block_reserve(b, sizeof(*o), 1);

	if (!o)
		return false;
	*o = (struct madt_override){
		.type = MADT_OVERRIDE,
		.length = sizeof(*o),
		.source = source,
		.gsi = gsi,
		.flags = flags,
	};
	return true;
}

static bool madt_ioapic(struct acpi_block *b, const struct acpi_config *cfg)
{
	struct madt_ioapic *io = block_reserve(b, sizeof(*io), 1);

	if (!io)
		return false;
	*io = (struct madt_ioapic){
		.type = MADT_IOAPIC,
		.length = sizeof(*io),
		.id = cfg->ioapic_id,
		.address = cfg->ioapic_base,
	};
	return true;
}

/* LINT1 of every processor is NMI, as on a PC. */
static bool madt_lint1_nmi(struct acpi_block *b)
{
	struct madt_lapic_nmi *nmi = block_reserve(b, sizeof(*nmi), 1);

	if (!nmi)
		return false;
	*nmi = (struct madt_lapic_nmi){
		.type = MADT_LAPIC_NMI,
		.length = sizeof(*nmi),
		.processor_uid = 0xff,
		.flags = INTI_CONFORMS,
		.lint = 1,
	};
	return true;
}

static struct acpi_header *acpi_madt(struct acpi_block *b, const struct acpi_config *cfg)
{
	struct acpi_madt *madt = block_reserve(b, sizeof(*madt), 16);

	if (!madt)
		return NULL;
	madt->lapic_address = cfg->lapic_base;
	madt->flags = MADT_PCAT_COMPAT;
	/* The timer of ISA IRQ 0 sits on pin 2, where a PC's cascade would be. */
	if (!madt_cpus(b, cfg->cpus) || !madt_ioapic(b, cfg) ||
	    !madt_override(b, 0, 2, INTI_CONFORMS) ||
	    !madt_override(b, cfg->sci_irq, cfg->sci_irq, INTI_ACTIVE_HIGH | INTI_LEVEL) ||
	    !madt_lint1_nmi(b))
		return NULL;
	acpi_seal(b, &madt->header, "APIC", 4, b->buf + b->used - (uint8_t *)madt);
	return &madt->header;
}

/* RSDT (entries of 4 bytes) or XSDT (8 bytes). */
static struct acpi_header *acpi_root_table(struct acpi_block *b, const char *signature,
					   size_t width, struct acpi_header *const *tables,
					   size_t count)
{
	struct acpi_header *h = block_reserve(b, sizeof(*h) + count * width, 16);
	size_t i;

	if (!h)
		return NULL;
	for (i = 0; i < count; i++)
		block_point(b, (uint8_t *)(h + 1) + i * width, width, tables[i]);
	acpi_seal(b, h, signature, 1, sizeof(*h) + count * width);
	return h;
}

static void acpi_fill_rsdp(struct acpi_block *b, struct acpi_rsdp *rsdp, const void *rsdt,
			   const void *xsdt)
{
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, ACPI_OEM_ID, 6);
	rsdp->revision = 2;
	rsdp->length = sizeof(*rsdp);
	block_point(b, &rsdp->rsdt_address, sizeof(rsdp->rsdt_address), rsdt);
	block_point(b, &rsdp->xsdt_address, sizeof(rsdp->xsdt_address), xsdt);
	block_checksum(b, rsdp, ACPI_RSDP_V1_SIZE, &rsdp->checksum);
	block_checksum(b, rsdp, sizeof(*rsdp), &rsdp->extended_checksum);
}

static long acpi_build_block(struct acpi_block *b, const struct acpi_config *cfg)
{
	struct acpi_header *tables[2], *dsdt, *rsdt, *xsdt;
	struct acpi_rsdp *rsdp;
	struct acpi_facs *facs;

	if (!cfg->cpus || cfg->cpus > ACPI_CPUS_MAX)
		return -EINVAL;
	rsdp = block_reserve(b, sizeof(*rsdp), 16);
	facs = acpi_facs(b);
	dsdt = acpi_dsdt(b, cfg);
	if (!rsdp || !facs || !dsdt)
		return -ENOSPC;
	tables[0] = acpi_fadt(b, cfg, facs, dsdt);
	tables[1] = acpi_madt(b, cfg);
	if (!tables[0] || !tables[1])
		return -ENOSPC;
	rsdt = acpi_root_table(b, "RSDT", sizeof(uint32_t), tables, 2);
	xsdt = acpi_root_table(b, "XSDT", sizeof(uint64_t), tables, 2);
	if (!rsdt || !xsdt)
		return -ENOSPC;
	acpi_fill_rsdp(b, rsdp, rsdt, xsdt);
	return b->used;
}

long acpi_build(const struct acpi_config *cfg, uint64_t gpa, void *buf, size_t size)
{
	struct acpi_block b = { .buf = buf, .size = size, .gpa = gpa };

	/* The RSDT and the FADT point with 32 bits. */
	if ((gpa & 63) || gpa + size > 1ull << 32)
		return -EINVAL;
	return acpi_build_block(&b, cfg);
}

/* The FACS, aligned to 64 bytes, is the first behind the RSDP: addresses count from there. */
long acpi_build_links(const struct acpi_config *cfg, void *buf, size_t size,
		      struct acpi_links *links)
{
	struct acpi_block b = {
		.buf = buf,
		.size = size,
		.gpa = -(uint64_t)ACPI_TABLES_OFFSET,
		.links = links,
	};

	*links = (struct acpi_links){ 0 };
	return acpi_build_block(&b, cfg);
}
