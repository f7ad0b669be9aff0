/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What CPUID says to a child: the leaves that the device offers (KVM_GET_SUPPORTED_CPUID), with
 * identifiers and topology made those of the child's machine: one package of single-threaded cores.
 * Pure.
 */
#ifndef WORKER_CPUID_H
#define WORKER_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

struct cpuid_config {
	unsigned int cpus;    /* processors of the machine */
	unsigned int apic_id; /* of this one, 0 to cpus - 1 */
	bool tsc_deadline;    /* KVM_CAP_TSC_DEADLINE_TIMER */
};

/*
 * Adapts the entries in place. May drop entries, never adds any: space for nent is enough.
 */
void cpuid_adapt(struct kvm_cpuid2 *cpuid, const struct cpuid_config *cfg);

/* The entry of a leaf and sub-leaf; NULL if there is none. */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index);

/* Width of a physical address, from leaf 8000_0008 (36 where that is missing). */
unsigned int cpuid_phys_bits(struct kvm_cpuid2 *cpuid);

#endif
