// SPDX-License-Identifier: GPL-2.0-only
/* L3: the start parameters, discovered by the running system. */
#include <linux/acpi.h>
#include <linux/cpu.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/sched/smt.h>
#include <linux/sizes.h>
#include <linux/topology.h>
#include <asm/apic.h>
#include <asm/processor.h>
#include <asm/tsc.h>

#include "plinth.h"

static ushort debug_port;
module_param(debug_port, ushort, 0444);
MODULE_PARM_DESC(debug_port, "I/O port that the core copies its log to (0: none)");

static char *nmi = "take";
module_param(nmi, charp, 0444);
MODULE_PARM_DESC(nmi, "how NMIs are kept out of the switch-over: take (L5 a) or idt (L5 b)");

static u32 node_of(u64 pa)
{
	return page_to_nid(pfn_to_page(PHYS_PFN(pa)));
}

/* Where the node of `start` ends in [start, end). Its stretches are not smaller than a step. */
static u64 node_end(u64 start, u64 end)
{
	const u64 step = SZ_2M;
	u64 pa;

	for (pa = start; end - pa > step && node_of(pa + step) == node_of(start); pa += step)
		;
	while (pa < end && node_of(pa) == node_of(start))
		pa += PAGE_SIZE;
	return pa;
}

/* A range of RAM, cut where it goes from one node to another. */
static int add_ram(struct resource *res, void *arg)
{
	struct plinth_start_params *p = arg;
	u64 start = PAGE_ALIGN(res->start), end = (res->end + 1) & PAGE_MASK;

	for (; start < end; p->nr_ram++) {
		struct plinth_ram_range *r = &p->ram[p->nr_ram];

		if (p->nr_ram == PLINTH_MAX_RAM_RANGES)
			return -E2BIG;
		r->start = start;
		r->node = node_of(start);
		r->end = start = node_end(start, end);
	}
	return 0;
}

static void discover_cpus(struct plinth_start_params *p)
{
	unsigned int cpu;

	for_each_possible_cpu (cpu) {
		struct plinth_cpu_desc *d = &p->cpus[cpu];

		d->apic_id = cpu_physical_id(cpu);
		d->node = cpu_to_node(cpu);
		d->core_id = cpu_data(cpu).cpu_core_id;
		d->package_id = cpu_data(cpu).phys_proc_id;
		d->online = cpu_online(cpu);
		d->present = cpu_present(cpu);
		p->cpus_present += d->present;
		p->cpus_online += d->online;
	}
	p->cpus_possible = nr_cpu_ids;
	p->smt_on = sched_smt_active();
}

static void discover_nodes(struct plinth_start_params *p)
{
	int a, b;

	p->nr_nodes = nr_node_ids;
	for (a = 0; a < p->nr_nodes; a++)
		for (b = 0; b < p->nr_nodes; b++)
			p->slit[a][b] = node_distance(a, b);
}

static void discover_acpi(struct plinth_start_params *p)
{
	struct acpi_table_header *t;

	p->pmtmr_port = acpi_gbl_FADT.xpm_timer_block.address ?: acpi_gbl_FADT.pm_timer_block;
	p->pmtmr_bits = acpi_gbl_FADT.flags & ACPI_FADT_32BIT_TIMER ? 32 : 24;
	if (ACPI_SUCCESS(acpi_get_table(ACPI_SIG_HPET, 0, &t))) {
		p->hpet_base = ((struct acpi_table_hpet *)t)->address.address;
		acpi_put_table(t);
	}
	if (ACPI_SUCCESS(acpi_get_table(ACPI_SIG_MCFG, 0, &t))) {
		if (t->length >=
		    sizeof(struct acpi_table_mcfg) + sizeof(struct acpi_mcfg_allocation))
			p->mmconfig_base =
				((struct acpi_mcfg_allocation *)((struct acpi_table_mcfg *)t + 1))
					->address;
		acpi_put_table(t);
	}
}

int plinth_discover(struct plinth_start_params *p)
{
	u64 apic_base;
	int ret;

	memset(p, 0, sizeof(*p));
	if (nr_node_ids > PLINTH_MAX_NODES)
		return plinth_fail(-EOPNOTSUPP,
				   "this machine has %u memory nodes and Plinth supports %u: boot "
				   "with numa=off",
				   nr_node_ids, PLINTH_MAX_NODES);
	if (!strcmp(nmi, "take"))
		p->nmi_method = PLINTH_NMI_TAKE;
	else if (!strcmp(nmi, "idt"))
		p->nmi_method = PLINTH_NMI_IDT;
	else
		return plinth_fail(-EINVAL, "module parameter nmi=%s: use take or idt", nmi);
	ret = walk_iomem_res_desc(IORES_DESC_NONE, IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY, 0, -1,
				  p, add_ram);
	if (ret)
		return plinth_fail(ret, "RAM is in more than %u ranges", PLINTH_MAX_RAM_RANGES);
	if (p->ram[p->nr_ram - 1].end > PLINTH_VA_END - PLINTH_VA_PHYSMAP)
		return plinth_fail(-EOPNOTSUPP, "RAM lies above 7.5 TiB, which Plinth cannot map");
	discover_cpus(p);
	discover_nodes(p);
	discover_acpi(p);
	rdmsrl(MSR_IA32_APICBASE, apic_base);
	p->apic_base = apic_base & ~0xfffull & (BIT_ULL(boot_cpu_data.x86_phys_bits) - 1);
	p->x2apic = x2apic_enabled();
	p->phys_bits = boot_cpu_data.x86_phys_bits;
	p->tsc_khz = tsc_khz;
	p->debug_port = debug_port;
	p->paging_levels = pgtable_l5_enabled() ? 5 : 4;
	return 0;
}
