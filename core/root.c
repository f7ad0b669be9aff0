// SPDX-License-Identifier: GPL-2.0-only
/* Policies of the root partition that do not depend on the vendor's extension. */
#include "core/apic.h"
#include "core/log.h"
#include "core/mm.h"
#include "core/root.h"
#include "core/string.h"
#include "core/x86/ap.h"
#include "core/x86/asm.h"

struct root root;

#define ROOT_NPT_FLAGS (PTE_P | PTE_W | PTE_U)

static bool match_all(struct cpu *c, void *arg)
{
	(void)c;
	(void)arg;
	return true;
}

int root_init(void)
{
	root.npt = (struct pt){ .root = boot->root_npt,
				.levels = boot->params.paging_levels,
				.max_page = 30,
				.table_bits = ROOT_NPT_FLAGS,
				.ops = &mm_pt_ops };
	return 0;
}

/*
 * MMIO that no range of the root's report covers (PCI hot-plug, ranges above RAM): mapped when it is
 * first touched, in the largest piece that holds nothing of the core's and not the APIC's page.
 */
int root_map_more(u64 gpa)
{
	u64 big = ALIGN_DOWN(gpa, PLINTH_CHUNK_SIZE), page = gpa & PAGE_MASK;
	bool apic = !boot->params.x2apic &&
		    ALIGN_DOWN(boot->params.apic_base, PLINTH_CHUNK_SIZE) == big;
	int ret;

	spin_lock(&root.lock);
	if (mm_is_core(page, PAGE_SIZE))
		ret = 0; /* donated since: the next access is contained */
	else if (apic || mm_is_core(big, PLINTH_CHUNK_SIZE))
		ret = pt_map(&root.npt, page, page, PAGE_SIZE, ROOT_NPT_FLAGS);
	else
		ret = pt_map(&root.npt, big, big, PLINTH_CHUNK_SIZE, ROOT_NPT_FLAGS);
	spin_unlock(&root.lock);
	return ret;
}

int root_donate(u64 pa)
{
	int ret;

	if (pa & (PLINTH_CHUNK_SIZE - 1) || !mm_ram(pa, PLINTH_CHUNK_SIZE) ||
	    (boot->params.apic_base >= pa && boot->params.apic_base < pa + PLINTH_CHUNK_SIZE))
		return -EINVAL;
	ret = mm_claim_chunk(pa);
	if (ret)
		return ret;
	spin_lock(&root.lock);
	ret = pt_unmap(&root.npt, pa, PLINTH_CHUNK_SIZE);
	spin_unlock(&root.lock);
	if (ret) {
		mm_drop_chunk(pa);
		return ret;
	}
	cpu_shootdown(match_all, NULL);
	/* A CPU may be in a hypercall that has found the memory to be the root's. */
	cpu_await_all();
	mm_open_chunk(pa);
	return 0;
}

int root_hold(u64 pa, u64 size)
{
	int ret;

	mm_hold(pa, size);
	spin_lock(&root.lock);
	ret = pt_unmap(&root.npt, pa, size);
	spin_unlock(&root.lock);
	if (ret) {
		mm_unhold();
		return ret;
	}
	cpu_shootdown(match_all, NULL);
	cpu_await_all();
	return 0;
}

void root_unhold(u64 pa, u64 size)
{
	spin_lock(&root.lock);
	/* If there is no memory for tables it is mapped when it is touched. */
	pt_map(&root.npt, pa, pa, size, ROOT_NPT_FLAGS);
	spin_unlock(&root.lock);
	mm_unhold();
}

s64 root_reclaim(u64 keep)
{
	s64 pa = mm_take_chunk(keep);
	int ret;

	if (pa < 0)
		return pa;
	/* What the core kept there is not the root's to see. */
	memset(mm_va(pa), 0, PLINTH_CHUNK_SIZE);
	spin_lock(&root.lock);
	ret = pt_map(&root.npt, pa, pa, PLINTH_CHUNK_SIZE, ROOT_NPT_FLAGS);
	spin_unlock(&root.lock);
	if (ret) {
		mm_open_chunk(pa);
		return ret;
	}
	mm_drop_chunk(pa);
	return pa;
}

/* Does an xAPIC or x2APIC destination name this CPU? (APM 2, 16.6.1; x2APIC specification 2.4) */
static bool icr_names(const struct cpu *c, const struct cpu *self, u32 dest, u32 low)
{
	u32 broadcast = boot->params.x2apic ? 0xffffffff : 0xff;

	switch (APIC_ICR_SHORTHAND(low)) {
	case 1:
		return c == self;
	case 2:
		return true;
	case 3:
		return c != self;
	}
	if (dest == broadcast)
		return true;
	if (!(low & APIC_ICR_LOGICAL))
		return c->apic_id == dest;
	if (boot->params.x2apic)
		return c->ldr >> 16 == dest >> 16 && (c->ldr & dest & 0xffff);
	if (c->dfr >> 28 == 0xf)
		return c->ldr >> 24 & dest;
	return c->ldr >> 28 == dest >> 4 && (c->ldr >> 24 & dest & 0xf);
}

static void icr_deliver(struct cpu *self, struct cpu *c, u32 low)
{
	u32 request = 0;

	switch (APIC_ICR_MODE(low)) {
	case APIC_MODE_NMI:
		if (c == self) {
			c->root_nmi_pending = true;
			return;
		}
		request = CPU_REQ_NMI;
		break;
	case APIC_MODE_INIT:
		__atomic_fetch_add(&root.inits, 1, __ATOMIC_RELAXED);
		request = CPU_REQ_INIT;
		break;
	case APIC_MODE_SIPI:
		__atomic_fetch_add(&root.sipis, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&c->sipi_vector, low & 0xff, __ATOMIC_SEQ_CST);
		request = CPU_REQ_SIPI;
		break;
	}
	/* It has just retired: its local APIC takes the message now. */
	if (!cpu_request(c, request))
		apic_icr(c->apic_id, low & (0xff | 7 << 8 | APIC_ICR_ASSERT | APIC_ICR_LEVEL));
}

bool root_icr(struct cpu *self, u32 dest, u32 low)
{
	u32 mode = APIC_ICR_MODE(low), i;
	bool ours = false;

	if (mode != APIC_MODE_NMI && mode != APIC_MODE_INIT && mode != APIC_MODE_SIPI)
		return false;
	/* INIT level de-assert: synchronises arbitration ids on parts long gone. */
	if (mode == APIC_MODE_INIT && !(low & APIC_ICR_ASSERT) && (low & APIC_ICR_LEVEL))
		return true;
	for (i = 0; i < boot->params.cpus_possible; i++) {
		struct cpu *c = cpu_get(i);

		if (!c || !icr_names(c, self, dest, low))
			continue;
		icr_deliver(self, c, low);
		ours = true;
	}
	if (mode != APIC_MODE_SIPI)
		return ours;
	/* No processor starts outside of the core; those of no CPU of the launch do not start at all. */
	if (!ours && !APIC_ICR_SHORTHAND(low) && !(low & APIC_ICR_LOGICAL)) {
		__atomic_fetch_add(&root.sipis, 1, __ATOMIC_RELAXED);
		ap_start(dest, low);
	}
	return true;
}

u32 root_apic_read(struct cpu *c, u32 reg)
{
	if (reg == APIC_ICR && c->icr_kept)
		return c->icr_shadow;
	return apic_read(reg);
}

void root_apic_write(struct cpu *c, u32 reg, u32 val)
{
	switch (reg) {
	case APIC_ICR:
		c->icr_kept = root_icr(c, apic_read(APIC_ICR2) >> 24, val);
		c->icr_shadow = val & ~APIC_ICR_BUSY;
		if (c->icr_kept)
			return;
		break;
	case APIC_LDR:
		c->ldr = val;
		break;
	case APIC_DFR:
		c->dfr = val;
		break;
	}
	apic_write(reg, val);
}
