// SPDX-License-Identifier: GPL-2.0-only
/* PLINTH_GET_STATUS: what the core was given and does, as JSON. docs/status.md documents the keys. */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "hypercall.h"
#include "plinth.h"

u64 plinth_pause_cycles(void);

struct out {
	char *buf;
	size_t size, len;
};

static __printf(2, 3) void put(struct out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	o->len += vsnprintf(o->len < o->size ? o->buf + o->len : NULL,
			    o->len < o->size ? o->size - o->len : 0, fmt, ap);
	va_end(ap);
}

static const char *const kinds[PLINTH_NR_KINDS] = {
	[PLINTH_KIND_CPUID] = "cpuid",
	[PLINTH_KIND_MSR] = "msr",
	[PLINTH_KIND_IO] = "io",
	[PLINTH_KIND_NPF] = "npf",
	[PLINTH_KIND_APIC] = "apic",
	[PLINTH_KIND_HLT] = "hlt",
	[PLINTH_KIND_INTR] = "intr",
	[PLINTH_KIND_NMI] = "nmi",
	[PLINTH_KIND_VINTR] = "vintr",
	[PLINTH_KIND_HYPERCALL] = "hypercall",
	[PLINTH_KIND_EXCEPTION] = "exception",
	[PLINTH_KIND_CR] = "cr",
	[PLINTH_KIND_SVM_INSN] = "svm_insn",
	[PLINTH_KIND_PAUSE] = "pause",
	[PLINTH_KIND_INIT] = "init",
	[PLINTH_KIND_OTHER] = "other",
};

static void put_kinds(struct out *o, const u64 *counts)
{
	const char *sep = "";
	unsigned int i;

	put(o, "{");
	for (i = 0; i < PLINTH_NR_KINDS; i++) {
		put(o, "%s\"%s\": %llu", sep, kinds[i], counts[i]);
		sep = ", ";
	}
	put(o, "}");
}

/* A process may call itself anything. */
static void put_name(struct out *o, const char *name)
{
	put(o, "\"");
	for (; *name; name++)
		put(o, "%c",
		    *name < ' ' || *name > '~' || *name == '"' || *name == '\\' ? '?' : *name);
	put(o, "\"");
}

static void put_children(struct out *o, const struct plinth_status *st)
{
	struct plinth_owner owner;
	unsigned int i;

	put(o, "\"children\": [");
	for (i = 0; i < st->nr_vms; i++) {
		const struct plinth_vm_status *vm = &st->vm[i];

		plinth_child_owner(vm->id, &owner);
		put(o, "%s{\"id\": %u, \"name\": ", i ? ", " : "", vm->id);
		put_name(o, owner.name);
		put(o,
		    ", \"pid\": %d, \"vps\": %u, \"mapped_pages\": %llu, \"exits\": %llu, "
		    "\"kinds\": ",
		    owner.pid, vm->vps, vm->mapped_pages, vm->exits);
		put_kinds(o, vm->kinds);
		put(o, "}");
	}
	put(o, "], ");
}

static void put_params(struct out *o, const struct plinth_start_params *p)
{
	unsigned int i, j;

	put(o,
	    "\"start_parameters\": {\"cpus_possible\": %u, \"cpus_present\": %u, \"cpus_online\": "
	    "%u, \"smt\": %s, ",
	    p->cpus_possible, p->cpus_present, p->cpus_online, p->smt_on ? "true" : "false");
	put(o,
	    "\"tsc_khz\": %u, \"pm_timer\": {\"port\": %u, \"bits\": %u}, \"apic_base\": %llu, "
	    "\"x2apic\": %s, ",
	    p->tsc_khz, p->pmtmr_port, p->pmtmr_bits, p->apic_base, p->x2apic ? "true" : "false");
	put(o,
	    "\"phys_bits\": %u, \"hpet_base\": %llu, \"mmconfig_base\": %llu, \"paging_levels\": "
	    "%u, \"debug_port\": %u, ",
	    p->phys_bits, p->hpet_base, p->mmconfig_base, p->paging_levels, p->debug_port);
	put(o, "\"nodes\": %u, \"slit\": [", p->nr_nodes);
	for (i = 0; i < p->nr_nodes; i++) {
		put(o, "%s[", i ? ", " : "");
		for (j = 0; j < p->nr_nodes; j++)
			put(o, "%s%u", j ? ", " : "", p->slit[i][j]);
		put(o, "]");
	}
	put(o, "], \"ram\": [");
	for (i = 0; i < p->nr_ram; i++)
		put(o, "%s{\"start\": %llu, \"end\": %llu, \"node\": %u}", i ? ", " : "",
		    p->ram[i].start, p->ram[i].end, p->ram[i].node);
	put(o, "], \"processors\": [");
	for (i = 0; i < p->cpus_possible; i++)
		put(o,
		    "%s{\"cpu\": %u, \"apic_id\": %u, \"node\": %u, \"core\": %u, \"package\": %u, "
		    "\"present\": %s, \"online\": %s}",
		    i ? ", " : "", i, p->cpus[i].apic_id, p->cpus[i].node, p->cpus[i].core_id,
		    p->cpus[i].package_id, p->cpus[i].present ? "true" : "false",
		    p->cpus[i].online ? "true" : "false");
	put(o, "]}");
}

static void put_core(struct out *o, const struct plinth_status *st)
{
	unsigned int i;

	put(o,
	    "\"cpus\": %u, \"core_memory\": %llu, \"core_memory_free\": %llu, \"core_text\": %llu, "
	    "\"log_bytes\": %llu, ",
	    st->nr_cpus_in, st->core_bytes, st->core_free_bytes, st->text_bytes, st->log_bytes);
	put(o,
	    "\"asids\": %u, \"nrips\": %s, \"decode_assists\": %s, \"flush_by_asid\": %s, "
	    "\"pause_filter\": %s, ",
	    st->asids, st->features & PLINTH_FEAT_NRIPS ? "true" : "false",
	    st->features & PLINTH_FEAT_DECODE_ASSIST ? "true" : "false",
	    st->features & PLINTH_FEAT_FLUSH_ASID ? "true" : "false",
	    st->features & PLINTH_FEAT_PAUSE_FILTER ? "true" : "false");
	put(o, "\"root_intercepts\": ");
	put_kinds(o, st->root_exits);
	put(o, ", \"core_chunks\": [");
	for (i = 0; plinth_core_chunk(i); i++)
		put(o, "%s%llu", i ? ", " : "", plinth_core_chunk(i));
	put(o, "]");
	put(o,
	    ", \"nmis_taken\": %llu, \"nmis_injected\": %llu, \"inits\": %llu, \"sipis\": %llu, ",
	    st->nmis_taken, st->nmis_injected, st->inits, st->sipis);
	put(o,
	    "\"contained\": {\"reads\": %llu, \"writes\": %llu, \"last_address\": %llu, "
	    "\"last_rip\": %llu}, ",
	    st->contained_reads, st->contained_writes, st->last_contained_pa,
	    st->last_contained_rip);
	put(o, "\"withheld\": [\"svm\", \"skinit\"], ");
	put_children(o, st);
}

int plinth_report(char *buf, size_t size)
{
	struct out o = { .buf = buf, .size = size };
	struct plinth_status *st;

	if (plinth_hold()) {
		put(&o, "{\"launched\": false}\n");
		return o.len;
	}
	st = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, get_order(sizeof(*st)));
	if (!st || plinth_hypercall(PLINTH_HC_STATUS, virt_to_phys(st), 0, 0, 0, 0)) {
		free_pages((unsigned long)st, get_order(sizeof(*st)));
		plinth_release();
		return -ENOMEM;
	}
	put(&o,
	    "{\"launched\": true, \"vendor\": \"svm\", \"abi\": %u, \"nmi_method\": \"%s\", "
	    "\"launch_pause_cycles\": %llu, ",
	    st->abi_version, plinth_params()->nmi_method == PLINTH_NMI_TAKE ? "take" : "idt",
	    plinth_pause_cycles());
	put_core(&o, st);
	put_params(&o, plinth_params());
	put(&o, "}\n");
	free_pages((unsigned long)st, get_order(sizeof(*st)));
	plinth_release();
	return o.len;
}
