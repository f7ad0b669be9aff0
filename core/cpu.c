// SPDX-License-Identifier: GPL-2.0-only
#include "core/apic.h"
#include "core/cpu.h"
#include "core/trap.h"
#include "core/x86/asm.h"
#include "core/x86/layout.h"
#include "core/x86/svm/svm.h"

_Static_assert(L_VA_CPUS == PLINTH_VA_CPUS, "layout.h");
_Static_assert(L_CPU_STRIDE == PLINTH_CPU_STRIDE, "layout.h");
_Static_assert(L_CPU_STACK_TOP == PLINTH_CPU_STACK_OFF + PLINTH_CPU_STACK_SIZE, "layout.h");
_Static_assert(L_CPU_DATA == PLINTH_CPU_DATA_OFF, "layout.h");
_Static_assert(L_ENTRY_CPU == offsetof(struct plinth_entry, cpu), "layout.h");
_Static_assert(L_CPU_LINUX_RSP == offsetof(struct cpu, linux_rsp), "layout.h");
_Static_assert(sizeof(struct cpu) <= PLINTH_CPU_DATA_SIZE, "struct cpu outgrew its pages");

/*
 * CS and SS have the selectors that Linux gives them, so that an NMI which arrives between the loads of
 * the IDT and of the GDT finds its segments in either (L5 (b)).
 */
#define SEL_CS	   0x10
#define SEL_DS	   0x18
#define SEL_TSS	   0x20
#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_DATA   0x00cf93000000ffffull

struct plinth_boot *boot;

struct cpu *cpu_get(unsigned int index)
{
	/* CPUs that are possible but not present have no pages. */
	if (index >= boot->params.cpus_possible || !boot->params.cpus[index].present)
		return NULL;
	return cpu_slot(index)->in_core ? cpu_slot(index) : NULL;
}

unsigned int cpu_count(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < boot->params.cpus_possible; i++)
		n += cpu_get(i) != NULL;
	return n;
}

void cpu_init_tables(struct cpu *c)
{
	u64 block = (u64)c - PLINTH_CPU_DATA_OFF, tss = (u64)c->tss;
	u64 ist = block + PLINTH_CPU_IST_OFF + PLINTH_CPU_IST_SIZE;

	c->gdt[SEL_CS / 8] = GDT_CODE64;
	c->gdt[SEL_DS / 8] = GDT_DATA;
	c->gdt[SEL_TSS / 8] = (sizeof(c->tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 |
			      (tss >> 24 & 0xff) << 56;
	c->gdt[SEL_TSS / 8 + 1] = tss >> 32;
	__builtin_memcpy(&c->tss[36 + 8 * (TRAP_IST - 1)], &ist, 8);
	__builtin_memcpy(&c->tss[102], &(u16){ sizeof(c->tss) }, 2); /* no I/O permission map */
}

void cpu_load_tables(struct cpu *c)
{
	struct dtr gdtr = { sizeof(c->gdt) - 1, (u64)c->gdt };

	trap_load_idt(); /* first: see SEL_CS */
	__asm__ volatile("lgdt %0" : : "m"(gdtr));
	cpu_load_cs(SEL_CS);
	__asm__ volatile("mov %0, %%ss; mov %0, %%ds; mov %0, %%es" : : "r"(SEL_DS));
	c->gdt[SEL_TSS / 8] &= ~(2ull << 40); /* not busy: LTR would fault */
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

void cpu_break_locks(struct cpu *c)
{
	while (c->nr_held) {
		struct spinlock *l = c->held[--c->nr_held];

		l->broken = true;
		__atomic_store_n(&l->locked, 0, __ATOMIC_RELEASE);
	}
}

static void request(struct cpu *c, u32 requests)
{
	__atomic_fetch_or(&c->requests, requests, __ATOMIC_SEQ_CST);
	if (c == this_cpu())
		return;
	/*
	 * If it is on its way into a guest it sees the request after setting in_guest (svm_enter());
	 * if it is in one, an NMI gets it out. At most one of ours is on its way to a CPU, so that
	 * each NMI is known to be ours or the root's.
	 */
	if (__atomic_load_n(&c->in_guest, __ATOMIC_SEQ_CST) &&
	    !__atomic_exchange_n(&c->kick_nmi, 1, __ATOMIC_SEQ_CST))
		apic_send_nmi(c->apic_id);
}

bool cpu_request(struct cpu *c, u32 requests)
{
	bool in;

	__atomic_fetch_add(&c->requesters, 1, __ATOMIC_SEQ_CST);
	in = __atomic_load_n(&c->in_core, __ATOMIC_SEQ_CST);
	if (in)
		request(c, requests);
	__atomic_fetch_sub(&c->requesters, 1, __ATOMIC_SEQ_CST);
	return in;
}

u32 cpu_depart(struct cpu *c)
{
	u64 taken = c->nmi_host;

	__atomic_store_n(&c->in_core, false, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&c->requesters, __ATOMIC_SEQ_CST))
		__builtin_ia32_pause();
	/* One that was sent arrives: it must not reach Linux. */
	if (__atomic_exchange_n(&c->kick_nmi, 0, __ATOMIC_SEQ_CST))
		while (c->nmi_host == taken)
			svm_take_nmi();
	return __atomic_exchange_n(&c->requests, 0, __ATOMIC_SEQ_CST);
}

/* Outside of the core, or as good as that. */
static bool cpu_outside(const struct cpu *c)
{
	return __atomic_load_n(&c->in_guest, __ATOMIC_SEQ_CST) ||
	       __atomic_load_n(&c->awaiting, __ATOMIC_SEQ_CST);
}

void cpu_await_all(void)
{
	struct cpu *self = this_cpu(), *c;
	unsigned int i;
	u64 exits;

	__atomic_store_n(&self->awaiting, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < boot->params.cpus_possible; i++) {
		c = cpu_get(i);
		if (!c || c == self)
			continue;
		exits = __atomic_load_n(&c->exits, __ATOMIC_SEQ_CST);
		while (cpu_get(i) && !cpu_outside(c) &&
		       __atomic_load_n(&c->exits, __ATOMIC_SEQ_CST) == exits)
			__builtin_ia32_pause();
	}
	__atomic_store_n(&self->awaiting, 0, __ATOMIC_SEQ_CST);
}

void cpu_shootdown(bool (*match)(struct cpu *c, void *arg), void *arg)
{
	unsigned int i;
	struct cpu *c;

	for (i = 0; i < boot->params.cpus_possible; i++) {
		c = cpu_get(i);
		if (c && match(c, arg))
			cpu_request(c, CPU_REQ_FLUSH | CPU_REQ_KICK);
	}
	for (i = 0; i < boot->params.cpus_possible; i++) {
		c = cpu_get(i);
		if (!c || c == this_cpu())
			continue;
		/* FLUSH is taken before the guest is entered, and in_guest falls when it is left. */
		while (__atomic_load_n(&c->in_guest, __ATOMIC_SEQ_CST) &&
		       __atomic_load_n(&c->requests, __ATOMIC_SEQ_CST) & CPU_REQ_FLUSH)
			__builtin_ia32_pause();
	}
}
