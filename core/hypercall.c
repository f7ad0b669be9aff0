// SPDX-License-Identifier: GPL-2.0-only
/* Dispatch of the root's hypercalls (abi.h); arguments are checked by what they reach. */
#include "core/hypercall.h"
#include "core/log.h"
#include "core/mm.h"
#include "core/root.h"
#include "core/string.h"
#include "core/vp.h"
#include "core/x86/svm/svm.h"

extern const char __text_start[], __text_end[];

static s64 hc_status(u64 pa)
{
	struct plinth_status *st = mm_va(pa);
	unsigned int i, k;

	if (!mm_root_ram(pa, sizeof(*st)))
		return -EFAULT;
	memset(st, 0, sizeof(*st));
	st->abi_version = PLINTH_ABI_VERSION;
	st->nr_cpus_in = cpu_count();
	st->core_bytes = mm_total();
	st->core_free_bytes = mm_free_bytes();
	st->text_bytes = __text_end - __text_start;
	st->log_bytes = log_written();
	st->contained_reads = root.contained_reads;
	st->contained_writes = root.contained_writes;
	st->last_contained_pa = root.last_contained_pa;
	st->last_contained_rip = root.last_contained_rip;
	st->inits = root.inits;
	st->sipis = root.sipis;
	for (i = 0; i < boot->params.cpus_possible; i++) {
		const struct cpu *c = cpu_get(i);

		if (!c)
			continue;
		for (k = 0; k < PLINTH_NR_KINDS; k++)
			st->root_exits[k] += c->root_exits[k];
		st->nmis_taken += c->nmis_taken;
		st->nmis_injected += c->nmis_injected;
	}
	st->asids = svm_caps.asids;
	st->features = svm_caps.features;
	vm_status(st);
	return 0;
}

static s64 hc_log(u64 pa, u64 size, u64 pos)
{
	u8 *page = mm_va(pa);
	u32 n;

	size = MIN(size, PAGE_SIZE);
	if (!mm_root_ram(pa, PAGE_SIZE) || pa & (PAGE_SIZE - 1) || size < sizeof(pos))
		return -EFAULT;
	n = log_read(&pos, page + sizeof(pos), size - sizeof(pos));
	memcpy(page, &pos, sizeof(pos));
	return n;
}

#ifdef PLINTH_DEBUG
static unsigned int overflow(volatile u8 *outer)
{
	volatile u8 frame[512];

	frame[0] = *outer | 1;
	return frame[0] ? overflow(frame) + frame[0] : 0;
}

/* On purpose: 0 an exception, 1 the end of the stack, 2 an exception in a VM's service, with locks held. */
static void crash(u64 how, u64 vm)
{
	volatile u8 frame = 0;

	log_printf("core: crash on request\n");
	if (how == 1)
		overflow(&frame);
	if (how == 2)
		vm_crash(vm);
	__asm__ volatile("ud2");
}
#endif

s64 hypercall(struct cpu *c, u32 nr, u64 rbx, u64 rcx, u64 rdx, u64 rsi, u64 rdi)
{
	switch (nr) {
	case PLINTH_HC_NOP:
		return 0;
	case PLINTH_HC_VP_RUN:
		return vp_run(c, rbx, rcx);
	case PLINTH_HC_VERSION:
		return PLINTH_ABI_VERSION;
	case PLINTH_HC_STATUS:
		return hc_status(rbx);
	case PLINTH_HC_LOG:
		return hc_log(rbx, rcx, rdx);
	case PLINTH_HC_DONATE:
		return root_donate(rbx);
	case PLINTH_HC_RECLAIM:
		return root_reclaim(rbx);
	case PLINTH_HC_VM_CREATE:
		return vm_create(rbx);
	case PLINTH_HC_VM_DESTROY:
		return vm_destroy(rbx);
	case PLINTH_HC_VM_MAP:
		return vm_map(rbx, rcx, rdx, rsi, rdi);
	case PLINTH_HC_VM_UNMAP:
		return vm_unmap(rbx, rcx, rdx);
	case PLINTH_HC_VM_PROTECT:
		return vm_protect(rbx, rcx, rdx);
	case PLINTH_HC_VM_MSI:
		return vm_msi(rbx, rcx, rdx, rsi, rdi);
	case PLINTH_HC_VM_EOI_BITMAP:
		return vm_eoi_bitmap(rbx, rcx);
	case PLINTH_HC_VP_CREATE:
		return vp_create(rbx, rcx, rdx, rsi);
	case PLINTH_HC_VP_GET:
		return vp_get(rbx, rcx, rdx, rsi, rdi);
	case PLINTH_HC_VP_SET:
		return vp_set(rbx, rcx, rdx);
	case PLINTH_HC_VP_NMI:
		return vp_nmi(rbx, rcx);
#ifdef PLINTH_DEBUG
	case PLINTH_HC_CRASH:
		crash(rbx, rcx);
#endif
	}
	return -ENOSYS;
}
