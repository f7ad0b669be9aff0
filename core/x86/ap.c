// SPDX-License-Identifier: GPL-2.0-only
#include "core/apic.h"
#include "core/log.h"
#include "core/mm.h"
#include "core/root.h"
#include "core/string.h"
#include "core/x86/ap.h"
#include "core/x86/asm.h"
#include "core/x86/layout.h"
#include "core/x86/svm/svm.h"

#define CR4_LA57 BIT(12)
#define CODE64	 0x00af9b000000ffffull
#define SEL_CODE 0x10

/* The page that is started in, then the tables that it is started with. All below 1 MiB. */
enum {
	AP_CODE,
	AP_TOP,
	AP_PML4, /* with 5 levels */
	AP_PDPT,
	AP_PD,
	AP_PAGES
};
#define AP_SIZE (AP_PAGES * PAGE_SIZE)

/* What ap.S finds behind its code. */
struct ap_args {
	u64 gdt[3];
	u16 gdt_limit;
	u32 gdt_base;
	u32 far_offset;
	u16 far_selector;
	u32 cr0, cr3, cr4, efer;
	u64 stack, cpu, entry;
} __attribute__((packed));
_Static_assert(offsetof(struct ap_args, gdt_limit) == L_AP_GDTR, "layout.h");
_Static_assert(offsetof(struct ap_args, far_offset) == L_AP_FAR, "layout.h");
_Static_assert(offsetof(struct ap_args, cr0) == L_AP_CR0, "layout.h");
_Static_assert(offsetof(struct ap_args, cr3) == L_AP_CR3, "layout.h");
_Static_assert(offsetof(struct ap_args, cr4) == L_AP_CR4, "layout.h");
_Static_assert(offsetof(struct ap_args, efer) == L_AP_EFER, "layout.h");
_Static_assert(offsetof(struct ap_args, stack) == L_AP_STACK, "layout.h");
_Static_assert(offsetof(struct ap_args, cpu) == L_AP_CPU, "layout.h");
_Static_assert(offsetof(struct ap_args, entry) == L_AP_ENTRY, "layout.h");
_Static_assert(sizeof(struct ap_args) == L_AP_SIZE, "layout.h");

extern const u8 ap_code[], ap_code_64[], ap_code_args[], ap_code_end[];

static struct {
	u32 busy;    /* one at a time */
	u32 arrived; /* it is in the core */
	u32 go;	     /* the root's memory is as it was: it may start */
	u8 saved[AP_SIZE];
} ap;

/* In long mode, on its own stack; the tables of AP_TOP map the core as its own do. */
static __attribute__((noreturn)) void ap_main(struct cpu *c)
{
	root_setup_ap(c);
	__atomic_store_n(&ap.arrived, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&ap.go, __ATOMIC_SEQ_CST))
		__builtin_ia32_pause();
	root_loop(c);
}

/* A table of one entry. */
static u64 ap_table(u64 base, unsigned int page, u64 entry)
{
	u64 pa = base + page * PAGE_SIZE, *table = mm_va(pa);

	memset(table, 0, PAGE_SIZE);
	table[0] = entry;
	return pa | PTE_P | PTE_W;
}

static void ap_tables(u64 base)
{
	u64 *top = mm_va(base + AP_TOP * PAGE_SIZE), entry = PTE_P | PTE_W | PTE_PS;

	entry = ap_table(base, AP_PD, entry); /* 2 MiB from 0 */
	entry = ap_table(base, AP_PDPT, entry);
	if (read_cr4() & CR4_LA57)
		entry = ap_table(base, AP_PML4, entry);
	memcpy(top, mm_va(boot->core_cr3), PAGE_SIZE);
	top[0] = entry;
}

static void ap_fill(struct cpu *c, u64 base)
{
	u8 *code = mm_va(base);
	struct ap_args *args = (struct ap_args *)(code + (ap_code_args - ap_code));

	ap_tables(base);
	memcpy(code, ap_code, ap_code_end - ap_code);
	*args = (struct ap_args){
		.gdt = { 0, 0, CODE64 },
		.gdt_limit = sizeof(args->gdt) - 1,
		.gdt_base = base + (ap_code_args - ap_code),
		.far_offset = base + (ap_code_64 - ap_code),
		.far_selector = SEL_CODE,
		.cr0 = read_cr0(),
		.cr3 = base + AP_TOP * PAGE_SIZE,
		.cr4 = read_cr4(),
		.efer = EFER_LME | EFER_NXE,
		.stack = (u64)c - PLINTH_CPU_DATA_OFF + PLINTH_CPU_STACK_OFF +
			 PLINTH_CPU_STACK_SIZE - 8, /* as after a call */
		.cpu = (u64)c,
		.entry = (u64)ap_main,
	};
}

/* Twice, as the MultiProcessor specification has it (B.4); then it is given up. */
static bool ap_send(u32 apic_id, u8 vector)
{
	u64 ms = boot->params.tsc_khz, until;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		apic_icr(apic_id, APIC_MODE_SIPI << 8 | APIC_ICR_ASSERT | vector);
		until = rdtsc() + (i ? 1000 : 1) * ms;
		while (rdtsc() < until) {
			if (__atomic_load_n(&ap.arrived, __ATOMIC_SEQ_CST))
				return true;
			__builtin_ia32_pause();
		}
	}
	return false;
}

/* The pages are out of everybody's reach. */
static int ap_run(struct cpu *c, u32 apic_id, u64 base)
{
	bool came;

	memcpy(ap.saved, mm_va(base), AP_SIZE);
	ap_fill(c, base);
	ap.arrived = ap.go = 0;
	came = ap_send(apic_id, base >> PAGE_SHIFT);
	memcpy(mm_va(base), ap.saved, AP_SIZE);
	return came ? 0 : trace_error(-EIO);
}

/* Its block, made ready; NULL: it was not present at the launch. */
static struct cpu *ap_prepare(u32 apic_id, u8 vector, int *ret)
{
	struct cpu *c;
	unsigned int i;

	*ret = -ENODEV;
	for (i = 0; i < boot->params.cpus_possible; i++)
		if (boot->params.cpus[i].present && boot->params.cpus[i].apic_id == apic_id)
			break;
	if (i == boot->params.cpus_possible || cpu_get(i))
		return NULL;
	c = cpu_slot(i);
	c->index = i;
	c->apic_id = apic_id;
	c->sipi_vector = vector;
	cpu_init_tables(c);
	*ret = svm_cpu_init(c);
	return *ret ? NULL : c;
}

int ap_start(u32 apic_id, u8 vector)
{
	u64 base = (u64)vector << PAGE_SHIFT;
	struct cpu *c;
	int ret;

	if (__atomic_exchange_n(&ap.busy, 1, __ATOMIC_SEQ_CST))
		return trace_error(-EBUSY);
	c = ap_prepare(apic_id, vector, &ret);
	if (!c)
		goto out;
	ret = -EINVAL;
	if (base + AP_SIZE > MM_LOW_END || !mm_root_ram(base, AP_SIZE))
		goto out;
	ret = root_hold(base, AP_SIZE);
	if (ret)
		goto out;
	ret = ap_run(c, apic_id, base);
	root_unhold(base, AP_SIZE);
	__atomic_store_n(&ap.go, 1, __ATOMIC_SEQ_CST);
	if (!ret)
		/* The next one's `go` must not be this one's. */
		while (!__atomic_load_n(&c->in_core, __ATOMIC_SEQ_CST))
			__builtin_ia32_pause();
out:
	__atomic_store_n(&ap.busy, 0, __ATOMIC_SEQ_CST);
	return ret;
}
