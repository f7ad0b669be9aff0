// SPDX-License-Identifier: GPL-2.0-only
#include "worker/cpuid.h"

#include <stddef.h>

/* Leaf 1. */
#define ECX_TSC_DEADLINE (1u << 24)
#define ECX_HYPERVISOR	 (1u << 31)
#define EDX_HTT		 (1u << 28)

/* Leaf 8000_0001. */
#define ECX_CMP_LEGACY (1u << 1)

/* Level types of leaf 0Bh, and the lowest cache level that all cores share. */
enum {
	LEVEL_NONE = 0,
	LEVEL_SMT = 1,
	LEVEL_CORE = 2,
};

#define CACHE_SHARED_LEVEL 3

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	}
	return NULL;
}

unsigned int cpuid_phys_bits(struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 0x80000008, 0);

	return e ? e->eax & 0xff : 36;
}

/* Bits of an APIC identifier that number the cores of a package. */
static unsigned int cpuid_core_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while (1u << bits < cpus)
		bits++;
	return bits;
}

/* Replaces bits lo to hi of a register. */
static void cpuid_set_field(uint32_t *reg, unsigned int lo, unsigned int hi, uint32_t value)
{
	uint32_t mask = (uint32_t)((1ull << (hi - lo + 1)) - 1) << lo;

	*reg = (*reg & ~mask) | (value << lo & mask);
}

static void cpuid_set_bit(uint32_t *reg, uint32_t bit, bool on)
{
	*reg = on ? *reg | bit : *reg & ~bit;
}

static void cpuid_leaf_1(struct kvm_cpuid_entry2 *e, const struct cpuid_config *cfg)
{
	cpuid_set_field(&e->ebx, 16, 23, cfg->cpus);
	cpuid_set_field(&e->ebx, 24, 31, cfg->apic_id);
	cpuid_set_bit(&e->ecx, ECX_TSC_DEADLINE, cfg->tsc_deadline);
	cpuid_set_bit(&e->ecx, ECX_HYPERVISOR, true);
	cpuid_set_bit(&e->edx, EDX_HTT, cfg->cpus > 1);
}

/*
 * Deterministic cache parameters, Intel's leaf 4 and AMD's 8000_001D: same layout but for the cores
 * per package, which only Intel has. A type of 0 ends the list.
 */
static void cpuid_caches(struct kvm_cpuid_entry2 *e, const struct cpuid_config *cfg)
{
	unsigned int level = e->eax >> 5 & 7;

	if (!(e->eax & 0x1f))
		return;
	cpuid_set_field(&e->eax, 14, 25, level >= CACHE_SHARED_LEVEL ? cfg->cpus - 1 : 0);
	if (e->function == 4)
		cpuid_set_field(&e->eax, 26, 31, (1u << cpuid_core_bits(cfg->cpus)) - 1);
}

/* Extended topology: one thread a core, all cores in one package. */
static void cpuid_topology(struct kvm_cpuid_entry2 *e, const struct cpuid_config *cfg)
{
	uint32_t type = LEVEL_NONE, shift = 0, count = 0;

	if (e->index == 0) {
		type = LEVEL_SMT;
		count = 1;
	} else if (e->index == 1) {
		type = LEVEL_CORE;
		shift = cpuid_core_bits(cfg->cpus);
		count = cfg->cpus;
	}
	e->eax = shift;
	e->ebx = count;
	e->ecx = e->index | type << 8;
	e->edx = cfg->apic_id;
}

static void cpuid_amd_size(struct kvm_cpuid_entry2 *e, const struct cpuid_config *cfg)
{
	cpuid_set_field(&e->ecx, 0, 7, cfg->cpus - 1);
	cpuid_set_field(&e->ecx, 12, 15, cpuid_core_bits(cfg->cpus));
}

static void cpuid_amd_ids(struct kvm_cpuid_entry2 *e, const struct cpuid_config *cfg)
{
	e->eax = cfg->apic_id;
	cpuid_set_field(&e->ebx, 0, 7, cfg->apic_id); /* core */
	cpuid_set_field(&e->ebx, 8, 15, 0);	      /* threads a core, less one */
	cpuid_set_field(&e->ecx, 0, 10, 0);	      /* node 0, one node a processor */
}

static void cpuid_adapt_entry(struct kvm_cpuid_entry2 *e, const struct cpuid_config *cfg)
{
	switch (e->function) {
	case 1:
		cpuid_leaf_1(e, cfg);
		break;
	case 4:
	case 0x8000001d:
		cpuid_caches(e, cfg);
		break;
	case 0xb:
		cpuid_topology(e, cfg);
		break;
	case 0x80000001:
		cpuid_set_bit(&e->ecx, ECX_CMP_LEGACY, e->ecx & ECX_CMP_LEGACY && cfg->cpus > 1);
		break;
	case 0x80000008:
		cpuid_amd_size(e, cfg);
		break;
	case 0x8000001e:
		cpuid_amd_ids(e, cfg);
		break;
	}
}

/* Leaf 1Fh describes levels that this topology lacks; without it guests use leaf 0Bh. */
static bool cpuid_dropped(const struct kvm_cpuid_entry2 *e)
{
	return e->function == 0x1f;
}

void cpuid_adapt(struct kvm_cpuid2 *cpuid, const struct cpuid_config *cfg)
{
	uint32_t i, n = 0;

	for (i = 0; i < cpuid->nent; i++) {
		if (cpuid_dropped(&cpuid->entries[i]))
			continue;
		cpuid->entries[n] = cpuid->entries[i];
		cpuid_adapt_entry(&cpuid->entries[n++], cfg);
	}
	cpuid->nent = n;
}
