// SPDX-License-Identifier: GPL-2.0-only
/*
 * The core's entry: what the module calls on each CPU during the launch. Reads as the launch does:
 * once the global state, then on each CPU a temporary VM, then the root.
 */
#include "core/apic.h"
#include "core/cpu.h"
#include "core/log.h"
#include "core/mm.h"
#include "core/root.h"
#include "core/string.h"
#include "core/trap.h"
#include "core/vp.h"
#include "core/x86/asm.h"
#include "core/x86/svm/svm.h"

extern const char __text_start[], __text_end[];
s64 core_entry(struct plinth_entry *e);
s64 core_main(struct plinth_entry *e, struct cpu *c);
extern const u8 core_entry_return[];

__attribute__((section(".plinth.header"), used)) const struct plinth_core_header core_header = {
	.magic = PLINTH_CORE_MAGIC,
	.abi_version = PLINTH_ABI_VERSION,
	.size = sizeof(struct plinth_core_header),
	.entry = (u64)core_entry,
};

#define CR4_PAE	    BIT(5)
#define CR4_MCE	    BIT(6)
#define CR4_OSFXSR  BIT(9)
#define CR4_LA57    BIT(12)
#define CR4_OSXSAVE BIT(18)
#define CR0_HOST    0x80010033ull /* PG WP NE ET MP PE */

/* Linux's environment on this CPU, as it was when core_entry() was called. */
struct outside {
	struct dtr gdtr, idtr;
	u64 cr2, cr3, cr4, efer, dr6, dr7; /* a #VMEXIT leaves CR2, DR6 and DR7 changed */
	u16 ss, ds, es;
};

static int core_init(struct plinth_entry *e)
{
	int ret;

	boot = mm_va(e->boot_pa);
	log_set_port(boot->params.debug_port);
	log_printf("core: ABI %u, %lu KiB text, %u CPUs online, %u levels\n", PLINTH_ABI_VERSION,
		   (u64)(__text_end - __text_start) / 1024, boot->params.cpus_online,
		   boot->params.paging_levels);
	mm_init(boot);
	trap_init();
	ret = svm_probe();
	if (ret)
		return ret;
	ret = root_init();
	if (ret)
		return ret;
	vm_init();
	return 0;
}

/* Into the core's environment: descriptor tables, SVM on, GIF = 0, own page tables. */
static int world_enter(struct cpu *c, struct outside *o)
{
	o->efer = rdmsr(MSR_EFER);
	if (o->efer & EFER_SVME)
		return trace_error(-EBUSY);
	o->cr2 = read_cr2();
	o->dr6 = read_dr6();
	o->dr7 = read_dr7();
	o->cr3 = read_cr3();
	o->cr4 = read_cr4();
	__asm__ volatile("sgdt %0" : "=m"(o->gdtr));
	__asm__ volatile("sidt %0" : "=m"(o->idtr));
	__asm__ volatile("mov %%ss, %0" : "=r"(o->ss));
	__asm__ volatile("mov %%ds, %0" : "=r"(o->ds));
	__asm__ volatile("mov %%es, %0" : "=r"(o->es));
	wrmsr(MSR_EFER, o->efer | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, c->hsave_pa);
	__asm__ volatile("vmsave %0" : : "a"(c->root_vmcb_pa) : "memory");
	cpu_load_tables(c);
	__asm__ volatile("clgi" : : : "memory");
	svm_cpu_host(c);
	write_cr4(CR4_PAE | (o->cr4 & (CR4_LA57 | CR4_MCE)) | CR4_OSFXSR | (o->cr4 & CR4_OSXSAVE));
	write_cr3(boot->core_cr3);
	return 0;
}

/* Back to where core_entry() was called, which then returns `ret`. */
static __attribute__((noreturn)) void world_leave(struct cpu *c, const struct outside *o, s64 ret)
{
	struct leave l = {
		.gpr = { [RAX] = ret, [RBX] = (u64)c },
		.rip = (u64)core_entry_return,
		.rsp = c->linux_rsp,
		.rflags = 2,
		.cr3 = o->cr3,
		.cr4 = o->cr4,
		.efer = o->efer,
		.vmcb_pa = c->root_vmcb_pa,
		.gdtr = { .limit = o->gdtr.limit, .base = o->gdtr.base },
		.idtr = { .limit = o->idtr.limit, .base = o->idtr.base },
		.ss = o->ss,
		.ds = o->ds,
		.es = o->es,
	};

	if (c->root_nmi_pending) {
		/* Taken meanwhile: becomes pending again here, and is the root's after STGI. */
		c->root_nmi_pending = false;
		apic_send_nmi(c->apic_id);
	}
	wrmsr(MSR_VM_HSAVE_PA, 0);
	write_cr2(o->cr2);
	write_dr6(o->dr6);
	write_dr7(o->dr7);
	svm_leave(&l);
}

static int cpu_prepare(struct cpu *c, const struct plinth_entry *e)
{
	if (e->cpu >= boot->params.cpus_possible)
		return trace_error(-EINVAL);
	c->index = e->cpu;
	c->apic_id = boot->params.cpus[e->cpu].apic_id;
	cpu_init_tables(c);
	return svm_cpu_init(c);
}

s64 core_main(struct plinth_entry *e, struct cpu *c)
{
	const struct plinth_entry entry = *e; /* *e is not mapped in the core's own tables */
	struct outside o;
	s64 ret;

	if (entry.op == PLINTH_OP_INIT)
		return core_init(e);
	ret = cpu_prepare(c, &entry);
	if (ret)
		return ret;
	ret = world_enter(c, &o);
	if (ret)
		return ret;
	switch (entry.op) {
	case PLINTH_OP_TEMP_VM:
		ret = svm_temp_vm(c);
		break;
	case PLINTH_OP_ENTER:
		if (!mm_root_ram(entry.state_pa, sizeof(struct plinth_cpu_state))) {
			ret = trace_error(-EFAULT);
			break;
		}
		ret = root_setup(c, mm_va(entry.state_pa));
		if (ret)
			break;
		root_loop(c);
	default:
		ret = -EINVAL;
	}
	world_leave(c, &o, ret);
}
