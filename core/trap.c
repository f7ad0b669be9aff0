// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions in the core are its own bugs, but for the #GP of rdmsr_safe() and wrmsr_safe(). A bug
 * prints the registers to the log and gives the CPU back to the root: the hypercall that was under way
 * fails with -EIO, an intercept is dropped. Locks that the CPU held are released; the VM that it served is at an
 * end (vm_recover()), a pool that it may have left half changed gives out nothing more (mm.c).
 */
#include "core/cpu.h"
#include "core/log.h"
#include "core/root.h"
#include "core/trap.h"
#include "core/x86/asm.h"
#include "core/x86/svm/svm.h"

#define VEC_DB	1
#define VEC_NMI 2
#define VEC_DF	8
#define VEC_GP	13
#define VEC_PF	14
#define VEC_MC	18

struct trap_frame {
	u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

static struct __attribute__((packed)) {
	u16 offset_lo, selector;
	u8 ist, type;
	u16 offset_mid;
	u32 offset_hi, zero;
} idt[256] __attribute__((aligned(16)));

extern const u8 trap_stubs[256][16];

void trap_init(void)
{
	unsigned int i;

	for (i = 0; i < 256; i++) {
		u64 a = (u64)trap_stubs[i];

		idt[i].offset_lo = a;
		idt[i].offset_mid = a >> 16;
		idt[i].offset_hi = a >> 32;
		idt[i].selector = 0x10;
		idt[i].type = 0x8e; /* interrupt gate */
		idt[i].ist = i == VEC_DF || i == VEC_MC || i == VEC_PF ? TRAP_IST : 0;
	}
}

void trap_load_idt(void)
{
	struct dtr d = { sizeof(idt) - 1, (u64)idt };

	__asm__ volatile("lidt %0" : : "m"(d));
}

static void trap_dump(const struct cpu *c, const struct trap_frame *f)
{
	log_printf("core: exception %lu error %lx on CPU %u at %016lx\n", f->vector, f->error,
		   c->index, f->rip);
	log_printf(" cr2 %016lx cr3 %016lx rflags %08lx rsp %016lx\n", read_cr2(), read_cr3(),
		   f->rflags, f->rsp);
	log_printf(" rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx,
		   f->rdx);
	log_printf(" rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", f->rsi, f->rdi, f->rbp, f->r8);
	log_printf(" r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", f->r9, f->r10, f->r11, f->r12);
	log_printf(" r13 %016lx r14 %016lx r15 %016lx\n", f->r13, f->r14, f->r15);
}

void trap_handler(struct trap_frame *f)
{
	struct cpu *c = this_cpu();

	if (f->vector == VEC_NMI) {
		c->nmi_host++;
		/* Outside svm_take_nmi() it came between the worlds: it is the root's (L5 (b)). */
		if (f->rip == (u64)svm_wait_hlt)
			f->rip++;
		else if (!c->taking_nmi && f->rip != (u64)svm_wait_hlt + 1)
			c->root_nmi_pending = true;
		return;
	}
	if (f->vector == VEC_DB) /* Bochs raises it after VMRUN of a guest that single-steps */
		return;
	if (f->vector == VEC_GP && c->fixup_rip) {
		f->rip = c->fixup_rip;
		c->fixup_rip = 0;
		return;
	}
	if (c->trap_exits != c->exits)
		c->traps = 0;
	c->trap_exits = c->exits;
	c->traps++;
	cpu_break_locks(c); /* before the dump: the log's may be among them */
	trap_dump(c, f);
	if (c->in_core && c->traps < 16)
		root_recover(c);
	log_printf("core: CPU %u cannot go on\n", c->index);
	__atomic_store_n(&c->in_core, false, __ATOMIC_SEQ_CST); /* nobody waits for it */
	for (;;)
		__asm__ volatile("hlt");
}

int rdmsr_safe(u32 msr, u64 *val)
{
	struct cpu *c = this_cpu();
	u32 lo = 0, hi = 0, bad;

	/* The fix-up address is set in the same statement, so that nothing comes between. */
	__asm__ volatile("lea 1f(%%rip), %%rax\n\t"
			 "mov %%rax, %[fix]\n\t"
			 "mov $1, %[bad]\n\t"
			 "rdmsr\n\t"
			 "xor %[bad], %[bad]\n"
			 "1:"
			 : "=&a"(lo), "=&d"(hi), [bad] "=&r"(bad), [fix] "=m"(c->fixup_rip)
			 : "c"(msr)
			 : "memory");
	c->fixup_rip = 0;
	*val = (u64)hi << 32 | lo;
	return bad ? -EIO : 0;
}

int wrmsr_safe(u32 msr, u64 val)
{
	struct cpu *c = this_cpu();
	u64 bad;

	__asm__ volatile("lea 1f(%%rip), %[bad]\n\t"
			 "mov %[bad], %[fix]\n\t"
			 "mov $1, %k[bad]\n\t"
			 "wrmsr\n\t"
			 "xor %k[bad], %k[bad]\n"
			 "1:"
			 : [bad] "=&r"(bad), [fix] "=m"(c->fixup_rip)
			 : "c"(msr), "a"((u32)val), "d"((u32)(val >> 32))
			 : "memory");
	c->fixup_rip = 0;
	return bad ? -EIO : 0;
}
