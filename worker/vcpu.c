// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "worker/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/bzimage.h"
#include "worker/cpuid.h"
#include "worker/diag.h"
#include "worker/machine.h"

#define VCPU_KICK_SIGNAL SIGRTMIN

/* Local APIC registers (APM 2, 16.3), byte offsets. */
enum {
	APIC_SVR = 0x0f0,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
};

#define APIC_SVR_ENABLE (1u << 8)
#define APIC_DM_NMI	(4u << 8)
#define APIC_DM_EXTINT	(7u << 8)

/* Model-specific registers; memory type ranges: APM 2, 7.7. */
enum {
	MSR_TSC = 0x10,
	MSR_TSC_ADJUST = 0x3b,
	MSR_MTRR_PHYS_BASE0 = 0x200,
	MSR_MTRR_PHYS_MASK0 = 0x201,
	MSR_MTRR_DEF_TYPE = 0x2ff,
};

#define MTRR_TYPE_UC	 0
#define MTRR_TYPE_WB	 6
#define MTRR_MASK_VALID	 (1u << 11)
#define MTRR_DEF_ENABLE	 (1u << 11)
#define CPUID_1_EDX_MTRR (1u << 12)

#define CR0_PE	       (1u << 0)
#define CR0_ET	       (1u << 4)
#define RFLAGS_ALWAYS1 2

/* All that a reset sets. */
struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	struct kvm_msrs *msrs;
};

static void vcpu_handle_exit(struct vcpu *v);

static void vcpu_on_kick(int sig)
{
	(void)sig;
}

void vcpu_prepare_signals(void)
{
	struct sigaction action = { .sa_handler = vcpu_on_kick };

	sigaction(VCPU_KICK_SIGNAL, &action, NULL);
}

static int vcpu_ioctl(const struct vcpu *v, unsigned long request, void *arg, const char *name)
{
	int error;

	if (ioctl(v->fd, request, arg) >= 0)
		return 0;
	error = errno;
	diag_error("%s refuses %s for processor %u: %s", v->machine->vm.device, name, v->index,
		   strerror(error));
	return -error;
}

static int vcpu_set_cpuid(const struct vcpu *v, unsigned int cpus)
{
	const struct vm *vm = &v->machine->vm;
	struct cpuid_config cfg = {
		.cpus = cpus,
		.apic_id = v->index,
		.tsc_deadline = vm->tsc_deadline,
	};
	size_t size = sizeof(*vm->cpuid) + vm->cpuid->nent * sizeof(vm->cpuid->entries[0]);
	struct kvm_cpuid2 *cpuid = malloc(size);
	int ret;

	if (!cpuid)
		return -ENOMEM;
	memcpy(cpuid, vm->cpuid, size);
	cpuid_adapt(cpuid, &cfg);
	ret = vcpu_ioctl(v, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2");
	free(cpuid);
	return ret;
}

/* What firmware would have done: memory is write-back, the PCI hole is not cached. */
static int vcpu_set_mtrrs(const struct vcpu *v)
{
	struct kvm_cpuid2 *cpuid = v->machine->vm.cpuid;
	struct kvm_cpuid_entry2 *leaf1 = cpuid_find(cpuid, 1, 0);
	uint64_t phys_mask = (1ull << cpuid_phys_bits(cpuid)) - 1;
	uint64_t hole_mask = ~(MEMMAP_4G - MEMMAP_PCI_HOLE - 1) & phys_mask;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[3];
	} msrs = {
		.head.nmsrs = 3,
		.entry = {
			{ .index = MSR_MTRR_PHYS_BASE0, .data = MEMMAP_PCI_HOLE | MTRR_TYPE_UC },
			{ .index = MSR_MTRR_PHYS_MASK0, .data = hole_mask | MTRR_MASK_VALID },
			{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_DEF_ENABLE | MTRR_TYPE_WB },
		},
	};
	int ret;

	if (!leaf1 || !(leaf1->edx & CPUID_1_EDX_MTRR))
		return 0;
	ret = ioctl(v->fd, KVM_SET_MSRS, &msrs);
	if (ret == (int)msrs.head.nmsrs)
		return 0;
	diag_error("%s refuses memory type registers (KVM_SET_MSRS did %d of %u)",
		   v->machine->vm.device, ret, msrs.head.nmsrs);
	return -EIO;
}

static void lapic_set(struct kvm_lapic_state *lapic, unsigned int reg, uint32_t value)
{
	memcpy(lapic->regs + reg, &value, sizeof(value));
}

/* Virtual wire mode, as firmware hands a PC over: LINT0 is the PICs' output, LINT1 is NMI. */
static int vcpu_set_lapic(const struct vcpu *v)
{
	struct kvm_lapic_state lapic;
	int ret;

	ret = vcpu_ioctl(v, KVM_GET_LAPIC, &lapic, "KVM_GET_LAPIC");
	if (ret)
		return ret;
	lapic_set(&lapic, APIC_SVR, APIC_SVR_ENABLE | 0xff);
	lapic_set(&lapic, APIC_LVT_LINT0, APIC_DM_EXTINT);
	lapic_set(&lapic, APIC_LVT_LINT1, APIC_DM_NMI);
	return vcpu_ioctl(v, KVM_SET_LAPIC, &lapic, "KVM_SET_LAPIC");
}

static int vcpu_open(struct vcpu *v)
{
	const struct vm *vm = &v->machine->vm;
	int error;

	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)v->index);
	if (v->fd < 0) {
		error = errno;
		diag_error("%s cannot make processor %u: %s", vm->device, v->index,
			   strerror(error));
		return -error;
	}
	v->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return -errno;
	}
	return 0;
}

int vcpu_create(struct vcpu *v, struct machine *machine, unsigned int index, unsigned int cpus,
		bool firmware)
{
	int ret;

	*v = (struct vcpu){
		.machine = machine, .index = index, .fd = -1, .vector = VCPU_NO_VECTOR
	};
	ret = vcpu_open(v);
	if (!ret)
		ret = vcpu_set_cpuid(v, cpus);
	if (!ret && firmware)
		ret = vcpu_keep_initial(v);
	if (!ret && !firmware)
		ret = vcpu_set_mtrrs(v);
	if (!ret && !firmware && index == 0)
		ret = vcpu_set_lapic(v);
	if (ret)
		vcpu_destroy(v);
	return ret;
}

void vcpu_destroy(struct vcpu *v)
{
	if (v->run)
		munmap(v->run, v->machine->vm.run_size);
	if (v->fd >= 0)
		close(v->fd);
	if (v->initial)
		free(v->initial->msrs);
	free(v->initial);
	v->initial = NULL;
	v->run = NULL;
	v->fd = -1;
}

/* ------------------------------------------------------------------ reset */

static int vcpu_get_msr_list(const struct vcpu *v, struct kvm_msr_list **out)
{
	struct kvm_msr_list probe = { 0 }, *list;
	int fd = v->machine->vm.dev_fd;

	if (ioctl(fd, KVM_GET_MSR_INDEX_LIST, &probe) && errno != E2BIG)
		return -errno;
	list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return -ENOMEM;
	list->nmsrs = probe.nmsrs;
	if (ioctl(fd, KVM_GET_MSR_INDEX_LIST, list)) {
		free(list);
		return -errno;
	}
	*out = list;
	return 0;
}

/* Registers that go on counting through a reset of the machine. */
static bool vcpu_msr_counts(uint32_t index)
{
	return index == MSR_TSC || index == MSR_TSC_ADJUST;
}

/* Those that can be read one by one: a device may list what this processor does not have. */
static int vcpu_keep_msrs(struct vcpu *v)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = { .head.nmsrs = 1 };
	struct kvm_msr_list *list = NULL;
	struct kvm_msrs *msrs;
	uint32_t i;
	int ret;

	ret = vcpu_get_msr_list(v, &list);
	if (ret)
		return ret;
	msrs = calloc(1, sizeof(*msrs) + list->nmsrs * sizeof(msrs->entries[0]));
	for (i = 0; msrs && i < list->nmsrs; i++) {
		one.entry = (struct kvm_msr_entry){ .index = list->indices[i] };
		if (!vcpu_msr_counts(list->indices[i]) && ioctl(v->fd, KVM_GET_MSRS, &one) == 1)
			msrs->entries[msrs->nmsrs++] = one.entry;
	}
	free(list);
	v->initial->msrs = msrs;
	return msrs ? 0 : -ENOMEM;
}

int vcpu_keep_initial(struct vcpu *v)
{
	struct vcpu_state *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	v->initial = s;
	ret = vcpu_ioctl(v, KVM_GET_REGS, &s->regs, "KVM_GET_REGS");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_GET_SREGS, &s->sregs, "KVM_GET_SREGS");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_GET_XSAVE, &s->xsave, "KVM_GET_XSAVE");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_GET_XCRS, &s->xcrs, "KVM_GET_XCRS");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_GET_DEBUGREGS, &s->debug, "KVM_GET_DEBUGREGS");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_GET_LAPIC, &s->lapic, "KVM_GET_LAPIC");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_GET_MP_STATE, &s->mp_state, "KVM_GET_MP_STATE");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_GET_VCPU_EVENTS, &s->events, "KVM_GET_VCPU_EVENTS");
	if (!ret)
		ret = vcpu_keep_msrs(v);
	return ret;
}

/* One that a device does not take back is left out: KVM_SET_MSRS stops there and says where. */
static void vcpu_reset_msrs(struct vcpu *v)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = { .head.nmsrs = 1 };
	const struct kvm_msrs *msrs = v->initial->msrs;
	uint32_t i;

	for (i = 0; i < msrs->nmsrs; i++) {
		one.entry = msrs->entries[i];
		ioctl(v->fd, KVM_SET_MSRS, &one);
	}
}

/* What RESET# does and INIT# does not: floating point, MSRs, the mode of the local APIC. */
static int vcpu_reset_more(struct vcpu *v)
{
	int ret;

	ret = vcpu_ioctl(v, KVM_SET_XSAVE, &v->initial->xsave, "KVM_SET_XSAVE");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_SET_XCRS, &v->initial->xcrs, "KVM_SET_XCRS");
	if (!ret)
		vcpu_reset_msrs(v);
	return ret;
}

int vcpu_reset(struct vcpu *v, enum dev_reset how)
{
	struct vcpu_state *s = v->initial;
	struct kvm_sregs sregs;
	uint64_t apic_base;
	int ret;

	ret = vcpu_ioctl(v, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	if (ret)
		return ret;
	apic_base = sregs.apic_base;
	sregs = s->sregs;
	if (how == DEV_RESET_SOFT)
		sregs.apic_base = apic_base;
	ret = vcpu_ioctl(v, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
	if (!ret && how == DEV_RESET_HARD)
		ret = vcpu_reset_more(v);
	if (!ret)
		ret = vcpu_ioctl(v, KVM_SET_REGS, &s->regs, "KVM_SET_REGS");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_SET_DEBUGREGS, &s->debug, "KVM_SET_DEBUGREGS");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_SET_LAPIC, &s->lapic, "KVM_SET_LAPIC");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_SET_VCPU_EVENTS, &s->events, "KVM_SET_VCPU_EVENTS");
	if (!ret)
		ret = vcpu_ioctl(v, KVM_SET_MP_STATE, &s->mp_state, "KVM_SET_MP_STATE");
	v->vector = VCPU_NO_VECTOR;
	v->run->request_interrupt_window = 0;
	v->run->cr8 = 0;
	return ret;
}

/*
 * An access that made KVM_RUN return is complete only when KVM_RUN has been entered again, which a
 * pending exit allows without running the guest: before that its registers are not its own.
 */
static void vcpu_complete(struct vcpu *v)
{
	do {
		v->run->immediate_exit = 1;
		if (ioctl(v->fd, KVM_RUN, 0) < 0)
			break;
		vcpu_handle_exit(v);
	} while (!atomic_load(&v->machine->end));
	v->run->immediate_exit = 0;
	atomic_thread_fence(memory_order_seq_cst); /* as in vcpu_run_failed() */
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.selector = selector,
		.limit = 0xffffffff,
		.type = type,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
}

int vcpu_set_entry(struct vcpu *v, uint32_t entry)
{
	struct kvm_regs regs = {
		.rip = entry,
		.rsi = BZIMAGE_PARAMS,
		.rsp = BZIMAGE_STACK,
		.rflags = RFLAGS_ALWAYS1,
	};
	struct kvm_sregs sregs;
	int ret;

	ret = vcpu_ioctl(v, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	if (ret)
		return ret;
	sregs.cs = flat_segment(BZIMAGE_CS, 0xb);
	sregs.ds = flat_segment(BZIMAGE_DS, 0x3);
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	sregs.gdt.base = BZIMAGE_GDT;
	sregs.gdt.limit = BZIMAGE_DS + 7;
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	sregs.cr0 = CR0_PE | CR0_ET;
	ret = vcpu_ioctl(v, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
	if (ret)
		return ret;
	return vcpu_ioctl(v, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

const char *vcpu_exit_name(unsigned int reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "unknown",
		[KVM_EXIT_EXCEPTION] = "exception",
		[KVM_EXIT_IO] = "io",
		[KVM_EXIT_HYPERCALL] = "hypercall",
		[KVM_EXIT_DEBUG] = "debug",
		[KVM_EXIT_HLT] = "hlt",
		[KVM_EXIT_MMIO] = "mmio",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq_window_open",
		[KVM_EXIT_SHUTDOWN] = "shutdown",
		[KVM_EXIT_FAIL_ENTRY] = "fail_entry",
		[KVM_EXIT_INTR] = "intr",
		[KVM_EXIT_INTERNAL_ERROR] = "internal_error",
		[KVM_EXIT_SYSTEM_EVENT] = "system_event",
		[KVM_EXIT_IOAPIC_EOI] = "ioapic_eoi",
	};

	return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : NULL;
}

static void vcpu_print_segment(const char *name, const struct kvm_segment *s)
{
	diag_note("  %-4s %04x base %016llx limit %08x type %x s %u dpl %u p %u db %u l %u g %u",
		  name, s->selector, s->base, s->limit, s->type, s->s, s->dpl, s->present, s->db,
		  s->l, s->g);
}

static void vcpu_print_regs(const struct vcpu *v)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_REGS, &r) || ioctl(v->fd, KVM_GET_SREGS, &s)) {
		diag_note("  (its registers cannot be read: %s)", strerror(errno));
		return;
	}
	diag_note("  rip %016llx rflags %016llx", r.rip, r.rflags);
	diag_note("  rax %016llx rbx %016llx rcx %016llx rdx %016llx", r.rax, r.rbx, r.rcx, r.rdx);
	diag_note("  rsi %016llx rdi %016llx rbp %016llx rsp %016llx", r.rsi, r.rdi, r.rbp, r.rsp);
	diag_note("  r8  %016llx r9  %016llx r10 %016llx r11 %016llx", r.r8, r.r9, r.r10, r.r11);
	diag_note("  r12 %016llx r13 %016llx r14 %016llx r15 %016llx", r.r12, r.r13, r.r14, r.r15);
	diag_note("  cr0 %016llx cr2 %016llx cr3 %016llx cr4 %016llx", s.cr0, s.cr2, s.cr3, s.cr4);
	diag_note("  efer %016llx apic_base %016llx", s.efer, s.apic_base);
	vcpu_print_segment("cs", &s.cs);
	vcpu_print_segment("ss", &s.ss);
	vcpu_print_segment("ds", &s.ds);
	vcpu_print_segment("es", &s.es);
	vcpu_print_segment("fs", &s.fs);
	vcpu_print_segment("gs", &s.gs);
	vcpu_print_segment("tr", &s.tr);
	vcpu_print_segment("ldt", &s.ldt);
	diag_note("  gdt  base %016llx limit %04x  idt base %016llx limit %04x", s.gdt.base,
		  s.gdt.limit, s.idt.base, s.idt.limit);
}

static void vcpu_describe_exit(const struct vcpu *v, char *buf, size_t size)
{
	const struct kvm_run *run = v->run;
	const char *name = vcpu_exit_name(run->exit_reason);
	unsigned int i, n;
	int len;

	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		snprintf(buf, size, "triple fault");
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(buf, size, "the hardware refuses its state (reason 0x%llx)",
			 run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		len = snprintf(buf, size, "internal error %u, data", run->internal.suberror);
		n = run->internal.ndata < 16 ? run->internal.ndata : 16;
		for (i = 0; i < n && len > 0 && (size_t)len < size; i++)
			len += snprintf(buf + len, size - len, " %llx", run->internal.data[i]);
		break;
	default:
		snprintf(buf, size, "exit %u (%s) that is not expected", run->exit_reason,
			 name ? name : "?");
	}
}

/* The processor cannot go on: says why, with its registers, and ends the machine. */
static void vcpu_crash(struct vcpu *v)
{
	char why[512];

	vcpu_describe_exit(v, why, sizeof(why));
	diag_error("processor %u stopped: %s", v->index, why);
	vcpu_print_regs(v);
	machine_end(v->machine, MACHINE_CRASH);
}

static void vcpu_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_end(v->machine, MACHINE_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		machine_end(v->machine, MACHINE_RESET);
		break;
	default:
		diag_error("processor %u stopped: the guest reports a crash (event %u)", v->index,
			   v->run->system_event.type);
		vcpu_print_regs(v);
		machine_end(v->machine, MACHINE_CRASH);
	}
}

static void vcpu_handle_exit(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		machine_io(v->machine, run->io.direction == KVM_EXIT_IO_OUT, run->io.port,
			   run->io.size, run->io.count, (uint8_t *)run + run->io.data_offset);
		break;
	case KVM_EXIT_MMIO:
		machine_mmio(v->machine, run->mmio.is_write, run->mmio.phys_addr, run->mmio.len,
			     run->mmio.data);
		break;
	case KVM_EXIT_IOAPIC_EOI:
		machine_ioapic_eoi(v->machine, run->eoi.vector);
		break;
	case KVM_EXIT_IRQ_WINDOW_OPEN: /* vcpu_offer_intr() comes next anyway */
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		vcpu_system_event(v);
		break;
	case KVM_EXIT_SHUTDOWN:
		/* The PIIX4 answers the processor's shutdown cycle with INIT# (290562, 8.2). */
		if (!machine_shutdown_cycle(v->machine))
			vcpu_crash(v);
		break;
	default:
		vcpu_crash(v);
	}
}

/*
 * Hands the acknowledged vector over. One that was handed over before may not have reached the
 * guest yet, because a signal came first (EEXIST): this one then waits for its turn.
 */
static void vcpu_inject(struct vcpu *v)
{
	struct kvm_interrupt intr = { .irq = v->vector };

	v->run->ready_for_interrupt_injection = 0;
	if (ioctl(v->fd, KVM_INTERRUPT, &intr)) {
		if (errno == EEXIST)
			return;
		diag_error("processor %u refuses an interrupt: %s", v->index, strerror(errno));
	}
	v->vector = VCPU_NO_VECTOR;
}

/*
 * The PICs' interrupt goes to the bootstrap processor: at once if it takes one now, else as soon as
 * it does.
 */
static void vcpu_offer_intr(struct vcpu *v)
{
	if (v->run->ready_for_interrupt_injection) {
		if (v->vector == VCPU_NO_VECTOR)
			v->vector = machine_ack_intr(v->machine);
		if (v->vector != VCPU_NO_VECTOR)
			vcpu_inject(v);
	}
	v->run->request_interrupt_window =
		v->vector != VCPU_NO_VECTOR || atomic_load(&v->machine->intr);
}

/*
 * KVM_RUN has failed. The order matters: whoever kicks sets what is to be seen first and
 * immediate_exit then, so it is cleared first and looked for what is to be seen afterwards.
 */
static void vcpu_run_failed(struct vcpu *v, int error)
{
	if (error == EINTR || error == EAGAIN) {
		v->interrupted++;
		v->run->immediate_exit = 0;
		atomic_thread_fence(memory_order_seq_cst);
		return;
	}
	diag_error("processor %u stopped: KVM_RUN: %s", v->index, strerror(error));
	vcpu_print_regs(v);
	machine_end(v->machine, MACHINE_CRASH);
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct machine *m = v->machine;
	struct kvm_run *run = v->run;
	bool bsp = v->index == 0;
	uint32_t reason;
	char name[16];

	snprintf(name, sizeof(name), "vp%u", v->index);
	pthread_setname_np(pthread_self(), name);
	v->thread = pthread_self();
	trace_set_vp(v->index);
	atomic_store(&v->running, true);
	while (!atomic_load(&m->end)) {
		if (atomic_load(&m->pending)) {
			vcpu_complete(v);
			machine_meet(m);
			continue;
		}
		if (bsp && (atomic_load(&m->intr) || run->request_interrupt_window))
			vcpu_offer_intr(v);
		if (ioctl(v->fd, KVM_RUN, 0) < 0) {
			vcpu_run_failed(v, errno);
			continue;
		}
		reason = run->exit_reason;
		v->exits[reason < VCPU_EXIT_KINDS ? reason : VCPU_EXIT_KINDS - 1]++;
		vcpu_handle_exit(v);
	}
	return NULL;
}

int vcpu_start(struct vcpu *v)
{
	int ret = pthread_create(&v->thread, NULL, vcpu_thread, v);

	if (ret) {
		diag_error("cannot start processor %u: %s", v->index, strerror(ret));
		return -ret;
	}
	v->created = true;
	return 0;
}

void vcpu_kick(struct vcpu *v)
{
	/* A thread that is not in its loop yet looks at everything when it enters it. */
	if (!atomic_load(&v->running) || pthread_equal(pthread_self(), v->thread))
		return;
	v->run->immediate_exit = 1;
	pthread_kill(v->thread, VCPU_KICK_SIGNAL);
}

void vcpu_join(struct vcpu *v)
{
	if (!v->created)
		return;
	pthread_join(v->thread, NULL);
	v->created = false;
	atomic_store(&v->running, false);
}
