// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does a device speak the KVM uAPI as Documentation/virt/kvm/api.rst and stock KVM have it?
 *	kvm_api DEVICE [PART]
 * prints a line "ok NAME" or "FAIL NAME: what happened" for each check and ends with status 1 if any failed. Every
 * check passes on stock KVM (with a split interrupt controller), which is the oracle.
 *
 * The guests are a few real-mode instructions each; what they do is told by their port I/O.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE	 4096ul
#define MEM_SIZE (256 * PAGE) /* the usual guest: 1 MiB at 0 */
#define CODE	 0x1000ul     /* where a guest starts */
#define HANDLER	 0x2000ul     /* its interrupt handler */
#define STACK	 0x8000ul
#define HOLE	 0xd0000000ul /* no memory there */
#define APIC	 0xfee00000ul
#define VECTOR	 0x40
#define PORT	 0x80
#define PORT_IRQ 0x81 /* what HANDLER writes to */
/* Documentation/virt/kvm/x86/msr.rst */
struct pvclock_vcpu_time_info {
	uint32_t version, pad0;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad[2];
} __attribute__((packed));
#define PVCLOCK_GUEST_STOPPED 2

struct pvclock_wall_clock {
	uint32_t version, sec, nsec;
} __attribute__((packed));

#define HANG_AFTER 60  /* seconds for one part */
#define SHADOWED   200 /* interrupts of interrupt_shadow() */
/* Of interrupt_eoi_rerouted(): pins, as many as there can be, and interrupts; stock KVM counts pins in a byte, and is slow. */
#define PINS	     4096
#define PINS_KVM     255
#define REROUTED     4000
#define REROUTED_KVM 100

#define APIC_SVR   0xf0
#define APIC_LINT0 0x350

/* ---- reporting ---- */

static const char *device, *part;
static unsigned int failed;

__attribute__((format(printf, 3, 4))) static void report(bool ok, const char *name, const char *fmt,
							 ...)
{
	va_list ap;

	printf("%s %s", ok ? "ok" : "FAIL", name);
	if (!ok) {
		failed++;
		printf(": ");
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
	}
	printf("\n");
	fflush(stdout);
}

static void on_alarm(int sig)
{
	static const char text[] = "FAIL hang: the part did not end in time\n";

	(void)sig;
	_exit(write(1, text, sizeof(text) - 1) > 0 ? 1 : 2);
}

/* The ioctl's result, or its negative errno. */
static long kvm(int fd, unsigned long request, void *arg)
{
	long r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

static void expect(const char *name, long got, long want)
{
	report(got == want, name, "%ld (%s) instead of %ld", got, got < 0 ? strerror(-got) : "",
	       want);
}

static void expect_u64(const char *name, uint64_t got, uint64_t want)
{
	report(got == want, name, "%#llx instead of %#llx", (unsigned long long)got,
	       (unsigned long long)want);
}

__attribute__((noreturn)) static void die(const char *what)
{
	printf("FAIL %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- a child ---- */

struct child {
	int dev, vm, vcpu;
	uint8_t *mem;
	struct kvm_run *run;
	bool split;
};

#define GUEST(name, code)                                                                          \
	extern const uint8_t name[], name##_end[];                                                 \
	asm(".pushsection .rodata\n.code16\n" #name ":\n" code "\n" #name                          \
	    "_end:\n.code64\n.popsection\n")
#define LOAD(c, at, name) memcpy((c)->mem + (at), name, name##_end - name)

static int open_device(void)
{
	int fd = open(device, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("open");
	return fd;
}

static void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static long set_slot(int vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *mem)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)mem,
	};

	return kvm(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static long enable_split(int vm, uint64_t pins)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { pins } };

	return kvm(vm, KVM_ENABLE_CAP, &cap);
}

static int open_vm(void)
{
	int dev = open_device(), vm = ioctl(dev, KVM_CREATE_VM, 0);

	if (vm < 0)
		die("KVM_CREATE_VM");
	close(dev);
	return vm;
}

static struct kvm_run *map_run(int dev, int vcpu)
{
	long size = kvm(dev, KVM_GET_VCPU_MMAP_SIZE, NULL);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

	if (p == MAP_FAILED)
		die("mmap of the processor");
	return p;
}

static void set_cpuid(int dev, int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	cpuid->nent = 256;
	if (ioctl(dev, KVM_GET_SUPPORTED_CPUID, cpuid) || ioctl(vcpu, KVM_SET_CPUID2, cpuid))
		die("CPUID");
	free(cpuid);
}

static void set_regs(int vcpu, uint64_t rip, uint64_t rflags)
{
	struct kvm_regs regs = { .rip = rip, .rflags = rflags | 2, .rsp = STACK };

	if (ioctl(vcpu, KVM_SET_REGS, &regs))
		die("KVM_SET_REGS");
}

/* Real mode at CODE; DS at `ds_base`, so that a guest can reach any 64 KiB, ES and the others at 0. */
static void set_real_mode(int vcpu, uint64_t ds_base)
{
	struct kvm_sregs s;

	if (ioctl(vcpu, KVM_GET_SREGS, &s))
		die("KVM_GET_SREGS");
	s.cs.base = 0;
	s.cs.selector = 0;
	s.ds.base = ds_base;
	if (ioctl(vcpu, KVM_SET_SREGS, &s))
		die("KVM_SET_SREGS");
	set_regs(vcpu, CODE, 0);
}

static void set_apic(int vcpu)
{
	struct kvm_lapic_state lapic;

	if (ioctl(vcpu, KVM_GET_LAPIC, &lapic))
		die("KVM_GET_LAPIC");
	*(uint32_t *)(lapic.regs + APIC_SVR) = 0x1ff;
	*(uint32_t *)(lapic.regs + APIC_LINT0) = 7 << 8; /* ExtINT */
	if (ioctl(vcpu, KVM_SET_LAPIC, &lapic))
		die("KVM_SET_LAPIC");
}

static void child_open_pins(struct child *c, bool split, unsigned int pins)
{
	*c = (struct child){ .dev = open_device(), .split = split };
	c->vm = ioctl(c->dev, KVM_CREATE_VM, 0);
	if (c->vm < 0)
		die("KVM_CREATE_VM");
	if (split && enable_split(c->vm, pins))
		die("KVM_CAP_SPLIT_IRQCHIP");
	c->mem = memory(MEM_SIZE);
	if (set_slot(c->vm, 0, 0, 0, MEM_SIZE, c->mem))
		die("KVM_SET_USER_MEMORY_REGION");
	c->vcpu = ioctl(c->vm, KVM_CREATE_VCPU, 0ul);
	if (c->vcpu < 0)
		die("KVM_CREATE_VCPU");
	c->run = map_run(c->dev, c->vcpu);
	set_cpuid(c->dev, c->vcpu);
	set_real_mode(c->vcpu, 0);
	if (split)
		set_apic(c->vcpu);
}

static void child_open(struct child *c, bool split)
{
	child_open_pins(c, split, 24);
}

static void child_close(struct child *c)
{
	munmap(c->run, kvm(c->dev, KVM_GET_VCPU_MMAP_SIZE, NULL));
	close(c->vcpu);
	close(c->vm);
	close(c->dev);
	munmap(c->mem, MEM_SIZE);
}

static long run(struct child *c)
{
	return kvm(c->vcpu, KVM_RUN, NULL);
}

static uint8_t *io_data(struct child *c)
{
	return (uint8_t *)c->run + c->run->io.data_offset;
}

/* Run until a port write to `port` and return its byte, or a negative number. */
static long run_to_port(struct child *c, const char *name, unsigned int port)
{
	long r = run(c);

	if (r || c->run->exit_reason != KVM_EXIT_IO || c->run->io.port != port ||
	    c->run->io.direction != KVM_EXIT_IO_OUT) {
		report(false, name, "KVM_RUN %ld, exit %u, port %#x", r, c->run->exit_reason,
		       c->run->exit_reason == KVM_EXIT_IO ? c->run->io.port : 0);
		return -1;
	}
	return io_data(c)[0];
}

static void expect_port(struct child *c, const char *name, unsigned int port, long want)
{
	long got = run_to_port(c, name, port);

	if (got >= 0)
		report(got == want, name, "port %#x got %#lx instead of %#lx", port, got, want);
}

static void expect_exit(struct child *c, const char *name, uint32_t reason)
{
	long r = run(c);

	report(!r && c->run->exit_reason == reason, name, "KVM_RUN %ld, exit %u instead of %u", r,
	       c->run->exit_reason, reason);
}

/* Interrupt `vector` ends in HANDLER. */
static void set_vector(struct child *c, unsigned int vector)
{
	uint16_t entry[2] = { HANDLER, 0 };

	memcpy(c->mem + vector * 4, entry, sizeof(entry));
}

GUEST(handler, "movb $0x55, %al\n out %al, $0x81\n iret");

/* ---- the system ---- */

static void system_version(int dev)
{
	expect("version", kvm(dev, KVM_GET_API_VERSION, NULL), 12);
	expect("version-arg", kvm(dev, KVM_GET_API_VERSION, (void *)1), -EINVAL);
	expect("create-vm-type", kvm(dev, KVM_CREATE_VM, (void *)99), -EINVAL);
	expect("mmap-size-arg", kvm(dev, KVM_GET_VCPU_MMAP_SIZE, (void *)1), -EINVAL);
	report(kvm(dev, KVM_GET_VCPU_MMAP_SIZE, NULL) >= (long)(2 * PAGE), "mmap-size",
	       "too small");
	expect("unknown-ioctl", kvm(dev, _IO(KVMIO, 0xfe), NULL), -EINVAL);
}

static void system_caps(int dev)
{
	static const struct {
		const char *name;
		int cap;
	} need[] = {
		{ "user-memory", KVM_CAP_USER_MEMORY },
		{ "destroy-memory", KVM_CAP_DESTROY_MEMORY_REGION_WORKS },
		{ "join-memory", KVM_CAP_JOIN_MEMORY_REGIONS_WORKS },
		{ "sync-mmu", KVM_CAP_SYNC_MMU },
		{ "hlt", KVM_CAP_HLT },
		{ "split-irqchip", KVM_CAP_SPLIT_IRQCHIP },
		{ "irqchip", KVM_CAP_IRQCHIP },
		{ "irq-routing", KVM_CAP_IRQ_ROUTING },
		{ "irqfd", KVM_CAP_IRQFD },
		{ "ioeventfd", KVM_CAP_IOEVENTFD },
		{ "signal-msi", KVM_CAP_SIGNAL_MSI },
		{ "mp-state", KVM_CAP_MP_STATE },
		{ "ext-cpuid", KVM_CAP_EXT_CPUID },
		{ "vcpu-events", KVM_CAP_VCPU_EVENTS },
		{ "debugregs", KVM_CAP_DEBUGREGS },
		{ "xsave", KVM_CAP_XSAVE },
		{ "xcrs", KVM_CAP_XCRS },
		{ "readonly-mem", KVM_CAP_READONLY_MEM },
		{ "immediate-exit", KVM_CAP_IMMEDIATE_EXIT },
		{ "tsc-khz", KVM_CAP_GET_TSC_KHZ },
		{ "tsc-deadline", KVM_CAP_TSC_DEADLINE_TIMER },
		{ "adjust-clock", KVM_CAP_ADJUST_CLOCK },
		{ "msr-features", KVM_CAP_GET_MSR_FEATURES },
	};
	char name[64];
	size_t i;

	for (i = 0; i < sizeof(need) / sizeof(need[0]); i++) {
		long r = kvm(dev, KVM_CHECK_EXTENSION, (void *)(long)need[i].cap);

		snprintf(name, sizeof(name), "cap-%s", need[i].name);
		report(r > 0, name, "%ld", r);
	}
	expect("cap-unknown", kvm(dev, KVM_CHECK_EXTENSION, (void *)0xfffffffful), 0);
}

static void system_cpuid(int dev)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	bool leaf0 = false, leaf1 = false, ext = false;
	uint32_t i;

	cpuid->nent = 0;
	expect("cpuid-0-entries", kvm(dev, KVM_GET_SUPPORTED_CPUID, cpuid), -E2BIG);
	cpuid->nent = 1;
	expect("cpuid-1-entry", kvm(dev, KVM_GET_SUPPORTED_CPUID, cpuid), -E2BIG);
	expect("cpuid-fault", kvm(dev, KVM_GET_SUPPORTED_CPUID, (void *)8), -EFAULT);
	cpuid->nent = 256;
	expect("cpuid", kvm(dev, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	for (i = 0; i < cpuid->nent && i < 256; i++) {
		leaf0 |= cpuid->entries[i].function == 0;
		leaf1 |= cpuid->entries[i].function == 1;
		ext |= cpuid->entries[i].function == 0x80000000;
	}
	report(leaf0 && leaf1 && ext && cpuid->nent < 256, "cpuid-leaves", "%u entries",
	       cpuid->nent);
	free(cpuid);
}

static struct kvm_msr_list *msr_list(int dev, unsigned long request, const char *name)
{
	struct kvm_msr_list *l = calloc(1, sizeof(*l) + 1024 * sizeof(l->indices[0]));
	char text[64];

	l->nmsrs = 0;
	if (request == KVM_GET_MSR_INDEX_LIST) {
		snprintf(text, sizeof(text), "%s-0-entries", name);
		expect(text, kvm(dev, request, l), -E2BIG);
		snprintf(text, sizeof(text), "%s-count", name);
		report(l->nmsrs > 0 && l->nmsrs < 1024, text, "%u", l->nmsrs);
	}
	l->nmsrs = 1024;
	expect(name, kvm(dev, request, l), 0);
	return l;
}

static void system_msrs(int dev)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[1];
	} m = { .head.nmsrs = 1, .entry[0].index = 0xdeadbeef };

	free(msr_list(dev, KVM_GET_MSR_INDEX_LIST, "msr-list"));
	free(msr_list(dev, KVM_GET_MSR_FEATURE_INDEX_LIST, "msr-feature-list"));
	expect("msr-feature-unknown", kvm(dev, KVM_GET_MSRS, &m), 0);
	m.head.nmsrs = 4096;
	expect("msr-feature-many", kvm(dev, KVM_GET_MSRS, &m), -E2BIG);
}

static void part_system(void)
{
	int dev = open_device();

	system_version(dev);
	system_caps(dev);
	system_cpuid(dev);
	system_msrs(dev);
	close(dev);
}

/* ---- the VM's ioctls ---- */

static void slots_bad(int vm, uint8_t *mem)
{
	expect("slot-size-unaligned", set_slot(vm, 1, 0, 0, PAGE + 1, mem), -EINVAL);
	expect("slot-gpa-unaligned", set_slot(vm, 1, 0, 1, PAGE, mem), -EINVAL);
	expect("slot-hva-unaligned", set_slot(vm, 1, 0, 0, PAGE, mem + 1), -EINVAL);
	expect("slot-hva-kernel", set_slot(vm, 1, 0, 0, PAGE, (void *)0xffff888000000000ul),
	       -EINVAL);
	expect("slot-flags", set_slot(vm, 1, 1u << 31, 0, PAGE, mem), -EINVAL);
	expect("slot-number", set_slot(vm, 0xffff, 0, 0, PAGE, mem), -EINVAL);
	expect("slot-address-space", set_slot(vm, 2u << 16, 0, 0, PAGE, mem), -EINVAL);
	expect("slot-wraps", set_slot(vm, 1, 0, -PAGE, 2 * PAGE, mem), -EINVAL);
	expect("slot-delete-none", set_slot(vm, 1, 0, 0, 0, mem), -EINVAL);
	expect("slot-fault", kvm(vm, KVM_SET_USER_MEMORY_REGION, (void *)8), -EFAULT);
}

static void slots_changes(int vm, uint8_t *mem)
{
	expect("slot-create", set_slot(vm, 1, 0, 0x10000, 4 * PAGE, mem), 0);
	expect("slot-same-again", set_slot(vm, 1, 0, 0x10000, 4 * PAGE, mem), 0);
	expect("slot-overlap-start", set_slot(vm, 2, 0, 0xf000, 2 * PAGE, mem), -EEXIST);
	expect("slot-overlap-end", set_slot(vm, 2, 0, 0x13000, PAGE, mem), -EEXIST);
	expect("slot-overlap-around", set_slot(vm, 2, 0, 0xf000, 16 * PAGE, mem), -EEXIST);
	expect("slot-beside", set_slot(vm, 2, 0, 0x14000, PAGE, mem), 0);
	expect("slot-resize", set_slot(vm, 1, 0, 0x10000, 2 * PAGE, mem), -EINVAL);
	expect("slot-other-hva", set_slot(vm, 1, 0, 0x10000, 4 * PAGE, mem + PAGE), -EINVAL);
	expect("slot-make-readonly", set_slot(vm, 1, KVM_MEM_READONLY, 0x10000, 4 * PAGE, mem),
	       -EINVAL);
	expect("slot-log", set_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, 0x10000, 4 * PAGE, mem), 0);
	expect("slot-move-onto", set_slot(vm, 1, 0, 0x12000, 4 * PAGE, mem), -EEXIST);
	expect("slot-move", set_slot(vm, 1, 0, 0x11000 - 4 * PAGE, 4 * PAGE, mem), 0);
	expect("slot-move-shift", set_slot(vm, 1, 0, 0xe000, 4 * PAGE, mem), 0);
	expect("slot-delete", set_slot(vm, 1, 0, 0, 0, mem), 0);
	expect("slot-delete-again", set_slot(vm, 1, 0, 0, 0, mem), -EINVAL);
	expect("slot-delete-other", set_slot(vm, 2, 0, 0x14000, 0, mem), 0);
}

static void dirty_log_errors(int vm, uint8_t *mem)
{
	uint64_t bits = 0;
	struct kvm_dirty_log log = { .slot = 3, .dirty_bitmap = &bits };

	expect("dirty-no-slot", kvm(vm, KVM_GET_DIRTY_LOG, &log), -ENOENT);
	set_slot(vm, 3, 0, 0, PAGE, mem);
	expect("dirty-not-logged", kvm(vm, KVM_GET_DIRTY_LOG, &log), -ENOENT);
	log.slot = 2u << 16;
	expect("dirty-address-space", kvm(vm, KVM_GET_DIRTY_LOG, &log), -EINVAL);
	set_slot(vm, 3, KVM_MEM_LOG_DIRTY_PAGES, 0, PAGE, mem);
	log.slot = 3;
	expect("dirty-empty", kvm(vm, KVM_GET_DIRTY_LOG, &log), 0);
	log.dirty_bitmap = (void *)8;
	expect("dirty-fault", kvm(vm, KVM_GET_DIRTY_LOG, &log), -EFAULT);
	set_slot(vm, 3, 0, 0, 0, mem);
}

static void part_slots(void)
{
	uint8_t *mem = memory(16 * PAGE);
	int vm = open_vm();

	slots_bad(vm, mem);
	slots_changes(vm, mem);
	dirty_log_errors(vm, mem);
	expect("unknown-vm-ioctl", kvm(vm, _IO(KVMIO, 0xfe), NULL), -ENOTTY);
	close(vm);
	munmap(mem, 16 * PAGE);
}

static long set_routes(int vm, uint32_t nr, uint32_t flags, const struct kvm_irq_routing_entry *e,
		       uint32_t n)
{
	struct kvm_irq_routing *r = calloc(1, sizeof(*r) + (n + 1) * sizeof(*e));
	long ret;

	r->nr = nr;
	r->flags = flags;
	if (n)
		memcpy(r->entries, e, n * sizeof(*e));
	ret = kvm(vm, KVM_SET_GSI_ROUTING, r);
	free(r);
	return ret;
}

static struct kvm_irq_routing_entry msi_route(uint32_t gsi, uint8_t vector, bool level)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = APIC, .data = vector | (level ? 0xc000 : 0) },
	};
}

static long irqfd(int vm, int fd, uint32_t gsi, uint32_t flags)
{
	struct kvm_irqfd q = { .fd = fd, .gsi = gsi, .flags = flags };

	return kvm(vm, KVM_IRQFD, &q);
}

static void irq_without_controller(int vm)
{
	struct kvm_msi msi = { .address_lo = APIC, .data = VECTOR };
	struct kvm_irq_level line = { .irq = 1, .level = 1 };
	int fd = eventfd(0, 0);

	expect("msi-no-irqchip", kvm(vm, KVM_SIGNAL_MSI, &msi), -EINVAL);
	expect("line-no-irqchip", kvm(vm, KVM_IRQ_LINE, &line), -ENXIO);
	expect("routes-no-irqchip", set_routes(vm, 0, 0, NULL, 0), -EINVAL);
	expect("irqfd-no-irqchip", irqfd(vm, fd, 1, 0), -EINVAL);
	close(fd);
}

static void routes_errors(int vm)
{
	struct kvm_irq_routing_entry e[2] = { msi_route(1, VECTOR, false),
					      msi_route(1, VECTOR, false) };
	struct kvm_irq_routing_entry chip = { .gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP };

	expect("routes-none", set_routes(vm, 0, 0, NULL, 0), 0);
	expect("routes-one", set_routes(vm, 1, 0, e, 1), 0);
	expect("routes-flags", set_routes(vm, 1, 1, e, 1), -EINVAL);
	expect("routes-twice", set_routes(vm, 2, 0, e, 2), -EINVAL);
	expect("routes-many", set_routes(vm, 4097, 0, e, 1), -EINVAL);
	expect("routes-irqchip", set_routes(vm, 1, 0, &chip, 1), -EINVAL);
	e[0].gsi = 4096;
	expect("routes-gsi", set_routes(vm, 1, 0, e, 1), -EINVAL);
	e[0].gsi = 1;
	e[0].flags = 0x80;
	expect("routes-entry-flags", set_routes(vm, 1, 0, e, 1), -EINVAL);
	e[0].flags = 0;
	e[0].type = 77;
	expect("routes-type", set_routes(vm, 1, 0, e, 1), -EINVAL);
}

static void irqfd_errors(int vm)
{
	int fd = eventfd(0, 0), null = open("/dev/null", O_RDWR);

	expect("irqfd-flags", irqfd(vm, fd, 1, 0x80), -EINVAL);
	expect("irqfd-resample", irqfd(vm, fd, 1, KVM_IRQFD_FLAG_RESAMPLE), -EINVAL);
	expect("irqfd-bad-fd", irqfd(vm, 9999, 1, 0), -EBADF);
	expect("irqfd-no-eventfd", irqfd(vm, null, 1, 0), -EINVAL);
	expect("irqfd-assign", irqfd(vm, fd, 1, 0), 0);
	expect("irqfd-busy", irqfd(vm, fd, 2, 0), -EBUSY);
	expect("irqfd-deassign", irqfd(vm, fd, 1, KVM_IRQFD_FLAG_DEASSIGN), 0);
	expect("irqfd-deassign-again", irqfd(vm, fd, 1, KVM_IRQFD_FLAG_DEASSIGN), 0);
	expect("irqfd-assign-again", irqfd(vm, fd, 2, 0), 0);
	close(null);
	close(fd);
}

static void part_irq_ioctls(void)
{
	struct kvm_enable_cap cap = { .cap = 0xffff };
	struct kvm_msi msi = { .address_lo = APIC, .data = VECTOR, .flags = 0x80 };
	int vm = open_vm();

	expect("cap-enable-unknown", kvm(vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	cap = (struct kvm_enable_cap){ .cap = KVM_CAP_SPLIT_IRQCHIP, .flags = 1 };
	expect("cap-enable-flags", kvm(vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	irq_without_controller(vm);
	expect("split-many-pins", enable_split(vm, 4097), -EINVAL);
	expect("split", enable_split(vm, 24), 0);
	expect("split-again", enable_split(vm, 24), -EEXIST);
	expect("msi-flags", kvm(vm, KVM_SIGNAL_MSI, &msi), -EINVAL);
	routes_errors(vm);
	irqfd_errors(vm);
	close(vm);
}

static long ioeventfd(int vm, int fd, uint64_t addr, uint32_t len, uint32_t flags, uint64_t match)
{
	struct kvm_ioeventfd e = {
		.fd = fd,
		.addr = addr,
		.len = len,
		.flags = flags,
		.datamatch = match,
	};

	return kvm(vm, KVM_IOEVENTFD, &e);
}

static void part_ioeventfd_ioctls(void)
{
	const uint32_t pio = KVM_IOEVENTFD_FLAG_PIO, match = KVM_IOEVENTFD_FLAG_DATAMATCH,
		       off = KVM_IOEVENTFD_FLAG_DEASSIGN;
	int vm = open_vm(), fd = eventfd(0, 0);

	expect("ioev-len", ioeventfd(vm, fd, PORT, 3, pio, 0), -EINVAL);
	expect("ioev-flags", ioeventfd(vm, fd, PORT, 1, 1u << 20, 0), -EINVAL);
	expect("ioev-wraps", ioeventfd(vm, fd, -1ull, 8, 0, 0), -EINVAL);
	expect("ioev-match-no-len", ioeventfd(vm, fd, PORT, 0, match, 0), -EINVAL);
	expect("ioev-bad-fd", ioeventfd(vm, 9999, PORT, 1, pio, 0), -EBADF);
	expect("ioev-deassign-none", ioeventfd(vm, fd, PORT, 1, pio | off, 0), -ENOENT);
	expect("ioev-assign", ioeventfd(vm, fd, PORT, 1, pio | match, 5), 0);
	expect("ioev-twice", ioeventfd(vm, fd, PORT, 1, pio | match, 5), -EEXIST);
	expect("ioev-other-match", ioeventfd(vm, fd, PORT, 1, pio | match, 6), 0);
	expect("ioev-wildcard", ioeventfd(vm, fd, PORT, 1, pio, 0), -EEXIST);
	expect("ioev-other-len", ioeventfd(vm, fd, PORT, 2, pio, 0), 0);
	expect("ioev-no-len", ioeventfd(vm, fd, PORT, 0, pio, 0), -EEXIST);
	expect("ioev-mmio-apart", ioeventfd(vm, fd, PORT, 1, 0, 0), 0);
	expect("ioev-deassign-match", ioeventfd(vm, fd, PORT, 1, pio | match | off, 7), -ENOENT);
	expect("ioev-deassign", ioeventfd(vm, fd, PORT, 1, pio | match | off, 5), 0);
	expect("ioev-deassign-again", ioeventfd(vm, fd, PORT, 1, pio | match | off, 5), -ENOENT);
	close(fd);
	close(vm);
}

static void vm_clock(int vm)
{
	struct kvm_clock_data a = { .clock = 1000000000000ull }, b;

	expect("clock-set", kvm(vm, KVM_SET_CLOCK, &a), 0);
	expect("clock-get", kvm(vm, KVM_GET_CLOCK, &b), 0);
	report(b.clock >= a.clock && b.clock < a.clock + 60000000000ull, "clock-goes-on", "%llu",
	       (unsigned long long)b.clock);
	a.flags = 1u << 31;
	expect("clock-flags", kvm(vm, KVM_SET_CLOCK, &a), -EINVAL);
}

/* In a process that didn't make the VM nothing works. */
static void vm_after_fork(int vm, int vcpu)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		bool ok = kvm(vm, KVM_CREATE_VCPU, (void *)5) == -EIO &&
			  kvm(vcpu, KVM_RUN, NULL) == -EIO;

		_exit(ok ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	expect("other-process", status, 0);
}

static void part_vm(void)
{
	int dev = open_device(), vm = open_vm(), vcpu;
	uint64_t identity = 0xfffbc000;

	expect("boot-cpu-id", kvm(vm, KVM_SET_BOOT_CPU_ID, (void *)0), 0);
	expect("tss-addr", kvm(vm, KVM_SET_TSS_ADDR, (void *)0xfffbd000ul), 0);
	expect("tss-addr-high", kvm(vm, KVM_SET_TSS_ADDR, (void *)0xfffff000ul), -EINVAL);
	expect("identity-addr", kvm(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity), 0);
	expect("vcpu-id", kvm(vm, KVM_CREATE_VCPU, (void *)(1ul << 20)), -EINVAL);
	vcpu = kvm(vm, KVM_CREATE_VCPU, (void *)0);
	report(vcpu >= 0, "vcpu", "%d", vcpu);
	expect("vcpu-twice", kvm(vm, KVM_CREATE_VCPU, (void *)0), -EEXIST);
	expect("boot-cpu-id-late", kvm(vm, KVM_SET_BOOT_CPU_ID, (void *)1), -EBUSY);
	expect("identity-addr-late", kvm(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity), -EINVAL);
	expect("split-late", enable_split(vm, 24), -EEXIST);
	report(kvm(vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_NR_MEMSLOTS) >= 32, "vm-memslots",
	       "few");
	report(kvm(vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_MAX_VCPUS) >= 4, "vm-max-vcpus", "few");
	vm_clock(vm);
	vm_after_fork(vm, vcpu);
	close(vcpu);
	close(vm);
	close(dev);
}

/* ---- a processor's state ---- */

static void state_regs(struct child *c)
{
	struct kvm_regs a = {
		.rax = 0x1111222233334444, .rbx = 2, .rcx = 3, .rdx = 4, .rsi = 5, .rdi = 6, .rsp = 7,
		.rbp = 8, .r8 = 9, .r9 = 10, .r10 = 11, .r11 = 12, .r12 = 13, .r13 = 14, .r14 = 15,
		.r15 = 0xfedcba9876543210, .rip = 0x1234, .rflags = 0x246,
	}, b;

	expect("regs-set", kvm(c->vcpu, KVM_SET_REGS, &a), 0);
	expect("regs-get", kvm(c->vcpu, KVM_GET_REGS, &b), 0);
	report(!memcmp(&a, &b, sizeof(a)), "regs-same", "rax %#llx rip %#llx rflags %#llx", b.rax,
	       b.rip, b.rflags);
	expect("regs-fault", kvm(c->vcpu, KVM_SET_REGS, (void *)8), -EFAULT);
	a.rflags = 0;
	kvm(c->vcpu, KVM_SET_REGS, &a);
	kvm(c->vcpu, KVM_GET_REGS, &b);
	expect_u64("rflags-fixed-bit", b.rflags, 2);
}

static bool same_segment(const struct kvm_segment *a, const struct kvm_segment *b)
{
	return a->base == b->base && a->limit == b->limit && a->selector == b->selector &&
	       a->type == b->type && a->present == b->present && a->dpl == b->dpl &&
	       a->db == b->db && a->s == b->s && a->l == b->l && a->g == b->g && a->avl == b->avl;
}

/* A flat 64-bit code segment, and data to go with it. */
static void set_long_mode(struct kvm_sregs *s, uint64_t cr3)
{
	struct kvm_segment code = {
		.limit = 0xffffffff,
		.selector = 8,
		.type = 11,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = 16,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};

	s->cs = code;
	s->ds = s->es = s->ss = s->fs = s->gs = data;
	s->fs.base = 0x123456789000;
	s->cr0 = 0x80000011;
	s->cr3 = cr3;
	s->cr4 = 0x20;
	s->efer = 0x500;
}

static void state_sregs(struct child *c)
{
	struct kvm_sregs a, b, reset;

	expect("sregs-get", kvm(c->vcpu, KVM_GET_SREGS, &a), 0);
	reset = a;
	set_long_mode(&a, 0x4000);
	a.gdt.base = 0x7000;
	a.gdt.limit = 0x17;
	a.idt.base = 0x7800;
	a.idt.limit = 0xfff;
	expect("sregs-set", kvm(c->vcpu, KVM_SET_SREGS, &a), 0);
	kvm(c->vcpu, KVM_GET_SREGS, &b);
	report(same_segment(&a.cs, &b.cs) && same_segment(&a.ss, &b.ss) &&
		       same_segment(&a.fs, &b.fs),
	       "sregs-segments", "cs type %u l %u, fs base %#llx", b.cs.type, b.cs.l, b.fs.base);
	report(b.gdt.base == 0x7000 && b.gdt.limit == 0x17 && b.idt.base == 0x7800 &&
		       b.idt.limit == 0xfff,
	       "sregs-tables", "gdt %#llx/%#x", b.gdt.base, b.gdt.limit);
	report(b.cr0 == a.cr0 && b.cr3 == a.cr3 && b.cr4 == a.cr4 && b.efer == a.efer,
	       "sregs-control", "cr0 %#llx cr3 %#llx cr4 %#llx efer %#llx", b.cr0, b.cr3, b.cr4,
	       b.efer);
	expect_u64("sregs-apic-base", b.apic_base, reset.apic_base);
	a.cr4 = 0; /* long mode needs PAE */
	expect("sregs-long-without-pae", kvm(c->vcpu, KVM_SET_SREGS, &a), -EINVAL);
	a.cr4 = 1ull << 63;
	expect("sregs-cr4-reserved", kvm(c->vcpu, KVM_SET_SREGS, &a), -EINVAL);
	expect("sregs-reset", kvm(c->vcpu, KVM_SET_SREGS, &reset), 0);
}

/* KVM keeps MXCSR out of struct kvm_fpu, and an XSAVE image has what its header says. */
static void state_fpu(struct child *c)
{
	struct kvm_fpu a, b;
	struct kvm_xsave x;

	expect("fpu-get", kvm(c->vcpu, KVM_GET_FPU, &a), 0);
	expect_u64("fpu-fcw-reset", a.fcw, 0x37f);
	a.fcw = 0x27f;
	memset(a.xmm[5], 0xa5, 16);
	memset(a.fpr[2], 0x3c, 10);
	expect("fpu-set", kvm(c->vcpu, KVM_SET_FPU, &a), 0);
	kvm(c->vcpu, KVM_GET_FPU, &b);
	report(b.fcw == 0x27f && b.xmm[5][15] == 0xa5 && b.fpr[2][9] == 0x3c, "fpu-same", "fcw %#x",
	       b.fcw);
	if (kvm(c->vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_XSAVE2) > (long)sizeof(x))
		return;
	expect("xsave-get", kvm(c->vcpu, KVM_GET_XSAVE, &x), 0);
	x.region[512 / 4] |= 3; /* XSTATE_BV */
	x.region[0] = 0x25f;
	x.region[24 / 4] = 0x1fa0;
	x.region[(160 + 5 * 16) / 4] = 0x12345678;
	expect("xsave-set", kvm(c->vcpu, KVM_SET_XSAVE, &x), 0);
	kvm(c->vcpu, KVM_GET_FPU, &b);
	report(b.fcw == 0x25f && b.xmm[5][0] == 0x78 && b.xmm[5][3] == 0x12, "xsave-to-fpu",
	       "fcw %#x xmm5 %#x", b.fcw, b.xmm[5][0]);
	memset(&x, 0, sizeof(x));
	kvm(c->vcpu, KVM_GET_XSAVE, &x);
	expect_u64("xsave-fcw", x.region[0] & 0xffff, 0x25f);
	expect_u64("xsave-mxcsr", x.region[24 / 4], 0x1fa0);
	expect_u64("xsave-xmm5", x.region[(160 + 5 * 16) / 4], 0x12345678);
	expect_u64("xsave-bv", x.region[512 / 4] & 3, 3);
	x.region[512 / 4 + 1] = 0x80000000; /* XSTATE_BV bit 63 */
	expect("xsave-bad-component", kvm(c->vcpu, KVM_SET_XSAVE, &x), -EINVAL);
}

static void state_xcrs(struct child *c)
{
	struct kvm_xcrs x;

	expect("xcrs-get", kvm(c->vcpu, KVM_GET_XCRS, &x), 0);
	report(x.nr_xcrs == 1 && x.xcrs[0].xcr == 0 && x.xcrs[0].value == 1, "xcr0-reset", "%#llx",
	       x.xcrs[0].value);
	x.xcrs[0].value = 3;
	expect("xcr0-set", kvm(c->vcpu, KVM_SET_XCRS, &x), 0);
	x.xcrs[0].value = 2; /* x87 can't be off */
	expect("xcr0-invalid", kvm(c->vcpu, KVM_SET_XCRS, &x), -EINVAL);
	x.nr_xcrs = 17;
	expect("xcrs-many", kvm(c->vcpu, KVM_SET_XCRS, &x), -EINVAL);
	kvm(c->vcpu, KVM_GET_XCRS, &x);
	expect_u64("xcr0-same", x.xcrs[0].value, 3);
}

static void state_debugregs(struct child *c)
{
	struct kvm_debugregs a, b;

	expect("debugregs-get", kvm(c->vcpu, KVM_GET_DEBUGREGS, &a), 0);
	expect_u64("dr6-reset", a.dr6, 0xffff0ff0);
	expect_u64("dr7-reset", a.dr7, 0x400);
	a.db[0] = 0x1000;
	a.db[3] = 0x2000;
	a.dr7 = 0x455;
	expect("debugregs-set", kvm(c->vcpu, KVM_SET_DEBUGREGS, &a), 0);
	kvm(c->vcpu, KVM_GET_DEBUGREGS, &b);
	report(!memcmp(&a, &b, sizeof(a)), "debugregs-same", "dr7 %#llx", b.dr7);
	b.dr7 = 1ull << 32;
	expect("dr7-high", kvm(c->vcpu, KVM_SET_DEBUGREGS, &b), -EINVAL);
	a.db[0] = a.db[3] = 0;
	a.dr7 = 0x400;
	kvm(c->vcpu, KVM_SET_DEBUGREGS, &a);
}

static void state_events(struct child *c)
{
	struct kvm_vcpu_events a, b;

	expect("events-get", kvm(c->vcpu, KVM_GET_VCPU_EVENTS, &a), 0);
	a.exception.injected = 1;
	a.exception.nr = 32;
	expect("events-exception-nr", kvm(c->vcpu, KVM_SET_VCPU_EVENTS, &a), -EINVAL);
	a.exception.nr = 2;
	expect("events-exception-nmi", kvm(c->vcpu, KVM_SET_VCPU_EVENTS, &a), -EINVAL);
	a.exception.injected = 0;
	a.exception.nr = 0;
	a.flags = 1u << 31;
	expect("events-flags", kvm(c->vcpu, KVM_SET_VCPU_EVENTS, &a), -EINVAL);
	a.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	a.nmi.masked = 1;
	a.nmi.pending = 1;
	a.interrupt.shadow = 1;
	expect("events-set", kvm(c->vcpu, KVM_SET_VCPU_EVENTS, &a), 0);
	kvm(c->vcpu, KVM_GET_VCPU_EVENTS, &b);
	report(b.nmi.masked && b.nmi.pending && b.interrupt.shadow && !b.exception.injected,
	       "events-same", "masked %u pending %u shadow %u", b.nmi.masked, b.nmi.pending,
	       b.interrupt.shadow);
	a.nmi.masked = a.nmi.pending = a.interrupt.shadow = 0;
	kvm(c->vcpu, KVM_SET_VCPU_EVENTS, &a);
}

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[256];
};

static void state_msrs(struct child *c)
{
	struct msrs m = {
		.head.nmsrs = 3,
		.entry = {
			{ .index = 0x174, .data = 0x10 },		/* SYSENTER_CS */
			{ .index = 0xc0000081, .data = 0x23001000000000 }, /* STAR */
			{ .index = 0xc0000102, .data = 0x7f0000001000 },   /* KERNEL_GS_BASE */
		},
	};

	expect("msrs-set", kvm(c->vcpu, KVM_SET_MSRS, &m), 3);
	m.entry[0].data = m.entry[1].data = m.entry[2].data = 0;
	expect("msrs-get", kvm(c->vcpu, KVM_GET_MSRS, &m), 3);
	report(m.entry[0].data == 0x10 && m.entry[1].data == 0x23001000000000 &&
		       m.entry[2].data == 0x7f0000001000,
	       "msrs-same", "%#llx %#llx %#llx", m.entry[0].data, m.entry[1].data, m.entry[2].data);
	m.entry[1].index = 0xdeadbeef;
	expect("msrs-get-unknown", kvm(c->vcpu, KVM_GET_MSRS, &m), 1);
	expect("msrs-set-unknown", kvm(c->vcpu, KVM_SET_MSRS, &m), 1);
	m.entry[0].index = 0xc0000102;
	m.entry[0].data = 0x8000000000000000; /* not canonical */
	expect("msrs-set-noncanonical", kvm(c->vcpu, KVM_SET_MSRS, &m), 0);
	m.head.nmsrs = 256;
	expect("msrs-many", kvm(c->vcpu, KVM_GET_MSRS, &m), -E2BIG);
}

/* What is listed can be read, and what was read can be set: programs count on it. */
static void state_msr_list(struct child *c)
{
	struct kvm_msr_list *l = calloc(1, sizeof(*l) + 1024 * sizeof(l->indices[0]));
	uint32_t i, bad_get = 0, bad_set = 0;
	struct msrs m = { .head.nmsrs = 1 };

	l->nmsrs = 1024;
	kvm(c->dev, KVM_GET_MSR_INDEX_LIST, l);
	for (i = 0; i < l->nmsrs; i++) {
		m.entry[0].index = l->indices[i];
		if (kvm(c->vcpu, KVM_GET_MSRS, &m) != 1)
			bad_get = l->indices[i];
		else if (kvm(c->vcpu, KVM_SET_MSRS, &m) != 1)
			bad_set = l->indices[i];
	}
	expect_u64("msrs-listed-get", bad_get, 0);
	expect_u64("msrs-listed-set", bad_set, 0);
	free(l);
}

static void state_lapic(struct child *c)
{
	struct kvm_lapic_state l;

	expect("lapic-get", kvm(c->vcpu, KVM_GET_LAPIC, &l), 0);
	expect_u64("lapic-id", *(uint32_t *)(l.regs + 0x20), 0);
	expect_u64("lapic-version", *(uint32_t *)(l.regs + 0x30) & 0xff, 0x14);
	expect_u64("lapic-svr", *(uint32_t *)(l.regs + APIC_SVR), 0x1ff);
	*(uint32_t *)(l.regs + 0x80) = 0x20;
	expect("lapic-set", kvm(c->vcpu, KVM_SET_LAPIC, &l), 0);
	kvm(c->vcpu, KVM_GET_LAPIC, &l);
	expect_u64("lapic-tpr", *(uint32_t *)(l.regs + 0x80), 0x20);
	*(uint32_t *)(l.regs + 0x80) = 0;
	kvm(c->vcpu, KVM_SET_LAPIC, &l);
}

static void state_mce(struct child *c)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = { .head.nmsrs = 1, .e.index = 0x400 + 9 * 4 };
	uint64_t cap = 0;

	expect("mce-supported", kvm(c->dev, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap), 0);
	expect_u64("mce-ctl", cap & 0x100, 0x100);
	cap = 0x100;
	expect("mce-no-bank", kvm(c->vcpu, KVM_X86_SETUP_MCE, &cap), -EINVAL);
	cap = 0x10a;
	expect("mce-setup", kvm(c->vcpu, KVM_X86_SETUP_MCE, &cap), 0);
	expect("mce-bank", kvm(c->vcpu, KVM_GET_MSRS, &m), 1);
	expect_u64("mce-bank-ctl", m.e.data, UINT64_MAX);
	m.e.index += 4;
	expect("mce-bank-beyond", kvm(c->vcpu, KVM_GET_MSRS, &m), 0);
}

static void state_mp(struct child *c)
{
	struct kvm_mp_state m = { .mp_state = 99 };

	expect("mp-state-bad", kvm(c->vcpu, KVM_SET_MP_STATE, &m), -EINVAL);
	expect("mp-state-get", kvm(c->vcpu, KVM_GET_MP_STATE, &m), 0);
	expect_u64("mp-state-bsp", m.mp_state, KVM_MP_STATE_RUNNABLE);
	m.mp_state = KVM_MP_STATE_HALTED;
	expect("mp-state-halt", kvm(c->vcpu, KVM_SET_MP_STATE, &m), 0);
	m.mp_state = 0;
	kvm(c->vcpu, KVM_GET_MP_STATE, &m);
	expect_u64("mp-state-halted", m.mp_state, KVM_MP_STATE_HALTED);
	m.mp_state = KVM_MP_STATE_RUNNABLE;
	kvm(c->vcpu, KVM_SET_MP_STATE, &m);
}

static void state_small(struct child *c)
{
	struct kvm_interrupt irq = { .irq = 256 };
	struct {
		uint32_t len;
		uint8_t set[8];
	} mask = { .len = 4 };

	expect("unknown-vcpu-ioctl", kvm(c->vcpu, _IO(KVMIO, 0xfe), NULL), -EINVAL);
	expect("foreign-vcpu-ioctl", kvm(c->vcpu, _IO('x', 1), NULL), -EINVAL);
	expect("run-arg", kvm(c->vcpu, KVM_RUN, (void *)1), -EINVAL);
	expect("interrupt-256", kvm(c->vcpu, KVM_INTERRUPT, &irq), -EINVAL);
	expect("sigmask-len", kvm(c->vcpu, KVM_SET_SIGNAL_MASK, &mask), -EINVAL);
	report(kvm(c->vcpu, KVM_GET_TSC_KHZ, NULL) > 0, "tsc-khz", "none");
	expect("kvmclock-ctrl", kvm(c->vcpu, KVM_KVMCLOCK_CTRL, NULL), -EINVAL);
}

static void part_state(void)
{
	struct child c;

	child_open(&c, true);
	state_regs(&c);
	state_sregs(&c);
	state_fpu(&c);
	state_xcrs(&c);
	state_debugregs(&c);
	state_events(&c);
	state_msrs(&c);
	state_msr_list(&c);
	state_lapic(&c);
	state_mce(&c);
	state_mp(&c);
	state_small(&c);
	child_close(&c);
}

GUEST(guest_hlt, "1: hlt\n jmp 1b");
GUEST(guest_cpuid,
      "movl $0x40001234, %eax\n cpuid\n out %al, $0x80\n movb %bl, %al\n out %al, $0x80\n hlt");

static void part_cpuid(void)
{
	struct kvm_cpuid2 *set = calloc(1, sizeof(*set) + 256 * sizeof(set->entries[0]));
	struct kvm_cpuid2 *got = calloc(1, sizeof(*got) + 256 * sizeof(got->entries[0]));
	struct child c;

	child_open(&c, false);
	got->nent = 256;
	expect("cpuid2-get", kvm(c.vcpu, KVM_GET_CPUID2, got), 0);
	set->nent = 255;
	kvm(c.dev, KVM_GET_SUPPORTED_CPUID, set);
	report(got->entries[0].eax == set->entries[0].eax, "cpuid2-same",
	       "%#x %#x: %#x instead of %#x", got->entries[0].function, set->entries[0].function,
	       got->entries[0].eax, set->entries[0].eax);
	set->entries[set->nent++] = (struct kvm_cpuid_entry2){
		.function = 0x40001234,
		.eax = 0xa1,
		.ebx = 0xb2,
	};
	expect("cpuid2-set", kvm(c.vcpu, KVM_SET_CPUID2, set), 0);
	got->nent = 1;
	expect("cpuid2-get-small", kvm(c.vcpu, KVM_GET_CPUID2, got), -E2BIG);
	LOAD(&c, CODE, guest_cpuid);
	expect_port(&c, "cpuid-eax", PORT, 0xa1);
	expect_port(&c, "cpuid-ebx", PORT, 0xb2);
	expect("cpuid2-same-late", kvm(c.vcpu, KVM_SET_CPUID2, set), 0);
	set->nent--;
	expect("cpuid2-other-late", kvm(c.vcpu, KVM_SET_CPUID2, set), -EINVAL);
	set->nent = 100000;
	expect("cpuid2-many", kvm(c.vcpu, KVM_SET_CPUID2, set), -E2BIG);
	child_close(&c);
	free(set);
	free(got);
}

/* ---- port I/O and MMIO ---- */

GUEST(guest_out, "movb $0x12, %al\n out %al, $0x80\n movw $0x3456, %ax\n out %ax, $0x80\n"
		 "movl $0x789abcde, %eax\n movw $0x1234, %dx\n out %eax, %dx\n hlt");
GUEST(guest_in, "movl $0xffffffff, %eax\n in $0x80, %al\n out %al, $0x81\n in $0x80, %ax\n"
		"out %ax, $0x81\n movw $0x80, %dx\n in %dx, %eax\n out %eax, $0x81\n hlt");
GUEST(guest_strings, "cld\n movw $0x80, %dx\n movw $0x3000, %si\n movw $4, %cx\n rep outsb\n"
		     "movw $0x3100, %di\n movw $3, %cx\n rep insw\n movw $0x3100, %si\n"
		     "movw $3, %cx\n rep outsw\n hlt");

static void expect_out(struct child *c, const char *name, uint16_t port, unsigned int size,
		       uint32_t want)
{
	uint32_t got = 0;
	long r = run(c);

	if (!r && c->run->exit_reason == KVM_EXIT_IO && c->run->io.size <= 4)
		memcpy(&got, io_data(c), c->run->io.size);
	report(!r && c->run->exit_reason == KVM_EXIT_IO &&
		       c->run->io.direction == KVM_EXIT_IO_OUT && c->run->io.port == port &&
		       c->run->io.size == size && c->run->io.count == 1 && got == want,
	       name, "KVM_RUN %ld, exit %u, port %#x size %u data %#x", r, c->run->exit_reason,
	       c->run->io.port, c->run->io.size, got);
}

static void give_in(struct child *c, const char *name, unsigned int size, uint32_t value)
{
	long r = run(c);

	report(!r && c->run->exit_reason == KVM_EXIT_IO && c->run->io.direction == KVM_EXIT_IO_IN &&
		       c->run->io.port == PORT && c->run->io.size == size && c->run->io.count == 1,
	       name, "KVM_RUN %ld, exit %u, size %u", r, c->run->exit_reason, c->run->io.size);
	memcpy(io_data(c), &value, size);
}

/*
 * A string instruction may come in one exit or in several: take `n` items of `size` bytes. `in`: give them,
 * else collect them.
 */
static void string_io(struct child *c, const char *name, bool in, unsigned int size, unsigned int n,
		      uint8_t *buf)
{
	unsigned int done = 0;

	while (done < n) {
		long r = run(c);

		if (r || c->run->exit_reason != KVM_EXIT_IO || c->run->io.size != size ||
		    c->run->io.direction != (in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT) ||
		    c->run->io.count > n - done || !c->run->io.count) {
			report(false, name, "KVM_RUN %ld, exit %u after %u items", r,
			       c->run->exit_reason, done);
			return;
		}
		if (in)
			memcpy(io_data(c), buf + done * size, c->run->io.count * size);
		else
			memcpy(buf + done * size, io_data(c), c->run->io.count * size);
		done += c->run->io.count;
	}
	report(true, name, " ");
}

static void io_strings(struct child *c)
{
	uint8_t in[6] = { 1, 2, 3, 4, 5, 6 }, out[8] = {};

	LOAD(c, CODE, guest_strings);
	set_real_mode(c->vcpu, 0);
	memcpy(c->mem + 0x3000, "abcd", 4);
	string_io(c, "outs", false, 1, 4, out);
	report(!memcmp(out, "abcd", 4), "outs-data", "%02x %02x", out[0], out[3]);
	string_io(c, "ins", true, 2, 3, in);
	string_io(c, "ins-then-outs", false, 2, 3, out);
	report(!memcmp(out, in, 6), "ins-data", "%02x %02x", out[0], out[5]);
	expect_exit(c, "strings-end", KVM_EXIT_HLT);
}

static void part_io(void)
{
	struct kvm_regs regs;
	struct child c;

	child_open(&c, false);
	LOAD(&c, CODE, guest_out);
	expect_out(&c, "out-byte", PORT, 1, 0x12);
	expect_out(&c, "out-word", PORT, 2, 0x3456);
	expect_out(&c, "out-dword", 0x1234, 4, 0x789abcde);
	expect_exit(&c, "hlt", KVM_EXIT_HLT);
	LOAD(&c, CODE, guest_in);
	set_real_mode(c.vcpu, 0);
	give_in(&c, "in-byte", 1, 0xa5);
	expect_out(&c, "in-byte-value", PORT_IRQ, 1, 0xa5);
	give_in(&c, "in-word", 2, 0xbeef);
	expect_out(&c, "in-word-value", PORT_IRQ, 2, 0xbeef);
	kvm(c.vcpu, KVM_GET_REGS, &regs);
	expect_u64("in-word-keeps-high-half", regs.rax, 0xffffbeef);
	give_in(&c, "in-dword", 4, 0xcafebabe);
	expect_out(&c, "in-dword-value", PORT_IRQ, 4, 0xcafebabe);
	io_strings(&c);
	child_close(&c);
}

GUEST(guest_mmio, "movl $0x11223344, %eax\n movl %eax, 0x10\n movw %ax, 0x20\n movb %al, 0x30\n"
		  "movl 0x40, %eax\n out %eax, $0x80\n movb 0x41, %al\n out %al, $0x80\n"
		  "movl $5, %eax\n orl %eax, 0x50\n movw $0x60, %si\n movw $0x3000, %di\n"
		  "movw $2, %cx\n rep movsb\n hlt");

static void expect_mmio(struct child *c, const char *name, uint64_t addr, unsigned int len,
			bool write, uint64_t data)
{
	uint64_t got = 0;
	long r = run(c);

	if (!r && c->run->exit_reason == KVM_EXIT_MMIO && write && c->run->mmio.len <= 8)
		memcpy(&got, c->run->mmio.data, c->run->mmio.len);
	report(!r && c->run->exit_reason == KVM_EXIT_MMIO && c->run->mmio.phys_addr == addr &&
		       c->run->mmio.len == len && c->run->mmio.is_write == write &&
		       (!write || got == data),
	       name, "KVM_RUN %ld, exit %u, address %#llx length %u write %u data %#llx", r,
	       c->run->exit_reason, c->run->mmio.phys_addr, c->run->mmio.len, c->run->mmio.is_write,
	       (unsigned long long)got);
	if (!write)
		memcpy(c->run->mmio.data, &data, len);
}

static void part_mmio(void)
{
	struct child c;

	child_open(&c, false);
	LOAD(&c, CODE, guest_mmio);
	set_real_mode(c.vcpu, HOLE);
	expect_mmio(&c, "mmio-write-4", HOLE + 0x10, 4, true, 0x11223344);
	expect_mmio(&c, "mmio-write-2", HOLE + 0x20, 2, true, 0x3344);
	expect_mmio(&c, "mmio-write-1", HOLE + 0x30, 1, true, 0x44);
	expect_mmio(&c, "mmio-read-4", HOLE + 0x40, 4, false, 0xdeadbeef);
	expect_out(&c, "mmio-read-4-value", PORT, 4, 0xdeadbeef);
	expect_mmio(&c, "mmio-read-1", HOLE + 0x41, 1, false, 0x77);
	expect_out(&c, "mmio-read-1-value", PORT, 1, 0x77);
	expect_mmio(&c, "mmio-or-read", HOLE + 0x50, 4, false, 0xf0);
	expect_mmio(&c, "mmio-or-write", HOLE + 0x50, 4, true, 0xf5);
	expect_mmio(&c, "mmio-string-1", HOLE + 0x60, 1, false, 'x');
	expect_mmio(&c, "mmio-string-2", HOLE + 0x61, 1, false, 'y');
	expect_exit(&c, "mmio-end", KVM_EXIT_HLT);
	report(!memcmp(c.mem + 0x3000, "xy", 2), "mmio-string-data", "%02x %02x", c.mem[0x3000],
	       c.mem[0x3001]);
	child_close(&c);
}

/* ---- leaving and entering ---- */

GUEST(guest_spin, "1: jmp 1b");
GUEST(guest_triple_fault, "lidt 0x3000\n ud2" /* zeros: no vectors */);

static void on_signal(int sig)
{
	(void)sig;
}

/* Send `sig` to this thread again and again until stopped: a run that it ends was running or not, as it may be. */
struct nagger {
	pthread_t thread;
	pthread_t target;
	volatile bool stop;
};

static void *nag(void *arg)
{
	struct nagger *n = arg;

	while (!n->stop) {
		pthread_kill(n->target, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

static void leave_by_signal(struct child *c)
{
	struct nagger n = { .target = pthread_self() };
	long r;

	LOAD(c, CODE, guest_spin);
	set_real_mode(c->vcpu, 0);
	pthread_create(&n.thread, NULL, nag, &n);
	r = run(c);
	n.stop = true;
	pthread_join(n.thread, NULL);
	expect("signal", r, -EINTR);
	expect_u64("signal-reason", c->run->exit_reason, KVM_EXIT_INTR);
}

/* A signal that is blocked, but not in KVM_RUN. */
static void leave_by_masked_signal(struct child *c)
{
	struct {
		uint32_t len;
		uint8_t set[8];
	} mask = { .len = 8 };
	struct timespec none = {};
	sigset_t usr2;

	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &usr2, NULL);
	expect("sigmask", kvm(c->vcpu, KVM_SET_SIGNAL_MASK, &mask), 0);
	pthread_kill(pthread_self(), SIGUSR2);
	expect("sigmask-run", run(c), -EINTR);
	sigtimedwait(&usr2, NULL, &none);
	expect("sigmask-off", kvm(c->vcpu, KVM_SET_SIGNAL_MASK, NULL), 0);
	pthread_sigmask(SIG_UNBLOCK, &usr2, NULL);
}

static void leave_at_once(struct child *c)
{
	struct kvm_regs regs;

	LOAD(c, CODE, guest_in);
	set_real_mode(c->vcpu, 0);
	c->run->immediate_exit = 1;
	expect("immediate-exit", run(c), -EINTR);
	kvm(c->vcpu, KVM_GET_REGS, &regs);
	expect_u64("immediate-exit-runs-nothing", regs.rip, CODE);
	c->run->immediate_exit = 0;
	give_in(c, "immediate-exit-in", 1, 0x42);
	c->run->immediate_exit = 1;
	expect("immediate-exit-again", run(c), -EINTR);
	kvm(c->vcpu, KVM_GET_REGS, &regs);
	expect_u64("immediate-exit-completes-in", regs.rax & 0xff, 0x42);
	c->run->immediate_exit = 0;
	expect_out(c, "immediate-exit-goes-on", PORT_IRQ, 1, 0x42);
}

static void part_leave(void)
{
	struct child c;

	child_open(&c, false);
	leave_by_signal(&c);
	leave_by_masked_signal(&c);
	leave_at_once(&c);
	LOAD(&c, CODE, guest_hlt);
	set_real_mode(c.vcpu, 0);
	expect_exit(&c, "hlt-1", KVM_EXIT_HLT);
	expect_exit(&c, "hlt-2", KVM_EXIT_HLT);
	child_close(&c);

	child_open(&c, false);
	LOAD(&c, CODE, guest_triple_fault);
	set_regs(c.vcpu, CODE, 0);
	expect_exit(&c, "triple-fault", KVM_EXIT_SHUTDOWN);
	child_close(&c);
}

GUEST(guest_step, "movb $1, %al\n movb $2, %bl\n movb $3, %cl\n hlt");

static void part_debug(void)
{
	struct kvm_guest_debug dbg = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	struct child c;

	child_open(&c, false);
	LOAD(&c, CODE, guest_step);
	expect("debug-step", kvm(c.vcpu, KVM_SET_GUEST_DEBUG, &dbg), 0);
	expect_exit(&c, "debug-exit", KVM_EXIT_DEBUG);
	expect_u64("debug-pc", c.run->debug.arch.pc, CODE + 2);
	expect_u64("debug-dr6", c.run->debug.arch.dr6 & 0x4000, 0x4000);
	expect_exit(&c, "debug-exit-2", KVM_EXIT_DEBUG);
	expect_u64("debug-pc-2", c.run->debug.arch.pc, CODE + 4);
	dbg.control = 0;
	expect("debug-off", kvm(c.vcpu, KVM_SET_GUEST_DEBUG, &dbg), 0);
	expect_exit(&c, "debug-hlt", KVM_EXIT_HLT);
	child_close(&c);
}

/* 64-bit code behind page tables that the user made. */
extern const uint8_t guest_long[], guest_long_end[];
asm(".pushsection .rodata\nguest_long:\n"
    "movabs $0x1122334455667788, %rax\n mov %rax, 0x3000\n shr $56, %rax\n out %al, $0x80\n"
    "mov $0x200000, %rbx\n mov (%rbx), %eax\n hlt\n"
    "guest_long_end:\n.popsection\n");

static void part_long_mode(void)
{
	const uint64_t pml4 = 0x4000, pdpt = 0x5000, pd = 0x6000;
	struct kvm_sregs s;
	struct child c;

	child_open(&c, false);
	LOAD(&c, CODE, guest_long);
	*(uint64_t *)(c.mem + pml4) = pdpt | 3;
	*(uint64_t *)(c.mem + pdpt) = pd | 3;
	*(uint64_t *)(c.mem + pd) = 0x83;
	*(uint64_t *)(c.mem + pd + 8) = HOLE | 0x83;
	kvm(c.vcpu, KVM_GET_SREGS, &s);
	set_long_mode(&s, pml4);
	expect("long-sregs", kvm(c.vcpu, KVM_SET_SREGS, &s), 0);
	set_regs(c.vcpu, CODE, 0);
	expect_out(&c, "long-out", PORT, 1, 0x11);
	expect_u64("long-store", *(uint64_t *)(c.mem + 0x3000), 0x1122334455667788);
	expect_mmio(&c, "long-mmio", HOLE, 4, false, 0x600d);
	expect_exit(&c, "long-hlt", KVM_EXIT_HLT);
	child_close(&c);
}

/* ---- memory ---- */

/* Read the byte at ES:0x10000-and-up (second slot) and tell it; then write it; again and again. */
GUEST(guest_peek, "1: movb 0, %al\n out %al, $0x80\n jmp 1b");
GUEST(guest_poke, "1: in $0x80, %al\n movb %al, 0\n movb 0, %al\n out %al, $0x81\n jmp 1b");

static void memory_readonly(void)
{
	uint8_t *mem = memory(4 * PAGE);
	struct child c;

	child_open(&c, false);
	mem[0] = 0x5a;
	expect("readonly-slot", set_slot(c.vm, 1, KVM_MEM_READONLY, HOLE, 4 * PAGE, mem), 0);
	LOAD(&c, CODE, guest_peek);
	set_real_mode(c.vcpu, HOLE);
	expect_port(&c, "readonly-read", PORT, 0x5a);
	LOAD(&c, CODE, guest_poke);
	set_real_mode(c.vcpu, HOLE);
	give_in(&c, "readonly-in", 1, 0x77);
	expect_mmio(&c, "readonly-write", HOLE, 1, true, 0x77);
	expect_port(&c, "readonly-read-again", PORT_IRQ, 0x5a);
	expect_u64("readonly-unchanged", mem[0], 0x5a);
	child_close(&c);
	munmap(mem, 4 * PAGE);
}

static void memory_slots_come_and_go(void)
{
	uint8_t *mem = memory(4 * PAGE);
	struct child c;

	child_open(&c, false);
	mem[0] = 0x21;
	mem[PAGE] = 0x22;
	LOAD(&c, CODE, guest_peek);
	set_real_mode(c.vcpu, HOLE);
	expect_mmio(&c, "hole", HOLE, 1, false, 0x99);
	expect_port(&c, "hole-value", PORT, 0x99);
	set_slot(c.vm, 1, 0, HOLE, 4 * PAGE, mem);
	expect_port(&c, "hole-filled", PORT, 0x21);
	set_slot(c.vm, 1, 0, HOLE - PAGE, 4 * PAGE, mem);
	expect_port(&c, "slot-moved", PORT, 0x22);
	set_slot(c.vm, 1, 0, HOLE - PAGE, 0, mem);
	expect_mmio(&c, "slot-deleted", HOLE, 1, false, 0x98);
	expect_port(&c, "slot-deleted-value", PORT, 0x98);
	child_close(&c);
	munmap(mem, 4 * PAGE);
}

/* The worker's own changes of its memory reach the child. */
static void memory_notified(void)
{
	uint8_t *mem = memory(4 * PAGE);
	struct child c;

	child_open(&c, false);
	set_slot(c.vm, 1, 0, HOLE, 4 * PAGE, mem);
	LOAD(&c, CODE, guest_peek);
	set_real_mode(c.vcpu, HOLE);
	expect_port(&c, "notify-untouched", PORT, 0);
	mem[0] = 0x31; /* ends the zero page's mapping */
	expect_port(&c, "notify-first-write", PORT, 0x31);
	madvise(mem, PAGE, MADV_DONTNEED);
	expect_port(&c, "notify-dontneed", PORT, 0);
	mmap(mem, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mem[0] = 0x32;
	expect_port(&c, "notify-remapped", PORT, 0x32);
	munmap(mem, PAGE);
	expect("notify-unmapped", run(&c), -EFAULT);
	mmap(mem, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mem[0] = 0x33;
	expect_port(&c, "notify-back", PORT, 0x33);
	child_close(&c);
	munmap(mem, 4 * PAGE);
}

/* After a fork both sides own their copy: what the child writes reaches its worker only. */
static void memory_copy_on_write(void)
{
	uint8_t *mem = memory(PAGE);
	int go[2], status = 0;
	struct child c;
	pid_t pid;
	char b = 0;

	child_open(&c, false);
	set_slot(c.vm, 1, 0, HOLE, PAGE, mem);
	LOAD(&c, CODE, guest_poke);
	set_real_mode(c.vcpu, HOLE);
	give_in(&c, "cow-in", 1, 0x41);
	expect_port(&c, "cow-before", PORT_IRQ, 0x41);
	if (pipe(go))
		die("pipe");
	pid = fork();
	if (!pid) {
		close(go[1]);
		_exit(read(go[0], &b, 1) == 0 && mem[0] == 0x41 ? 0 : 1);
	}
	give_in(&c, "cow-in-again", 1, 0x42);
	expect_port(&c, "cow-after", PORT_IRQ, 0x42);
	expect_u64("cow-worker", mem[0], 0x42);
	close(go[0]);
	close(go[1]);
	waitpid(pid, &status, 0);
	expect("cow-other-process", status, 0);
	child_close(&c);
	munmap(mem, PAGE);
}

static void expect_dirty(struct child *c, const char *name, uint64_t want)
{
	uint64_t bits = ~0ull;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = &bits };
	long r = kvm(c->vm, KVM_GET_DIRTY_LOG, &log);

	report(!r && bits == want, name, "%ld, %#llx instead of %#llx", r, (unsigned long long)bits,
	       (unsigned long long)want);
}

static void poke_page(struct child *c, const char *name, unsigned int page)
{
	char text[64];

	snprintf(text, sizeof(text), "%s-in", name);
	set_real_mode(c->vcpu, HOLE + page * PAGE);
	give_in(c, text, 1, 0x60 + page);
	expect_port(c, name, PORT_IRQ, 0x60 + page);
}

static void memory_dirty_log(void)
{
	uint8_t *mem = memory(16 * PAGE);
	struct child c;

	child_open(&c, false);
	set_slot(c.vm, 1, 0, HOLE, 16 * PAGE, mem);
	LOAD(&c, CODE, guest_poke);
	poke_page(&c, "dirty-before", 2);
	set_slot(c.vm, 1, KVM_MEM_LOG_DIRTY_PAGES, HOLE, 16 * PAGE, mem);
	expect_dirty(&c, "dirty-start", 0);
	poke_page(&c, "dirty-2", 2);
	poke_page(&c, "dirty-7", 7);
	expect_dirty(&c, "dirty-two-pages", 1 << 2 | 1 << 7);
	expect_dirty(&c, "dirty-taken", 0);
	poke_page(&c, "dirty-7-again", 7);
	expect_dirty(&c, "dirty-one-page", 1 << 7);
	set_slot(c.vm, 1, 0, HOLE, 16 * PAGE, mem);
	poke_page(&c, "dirty-off", 3);
	child_close(&c);
	munmap(mem, 16 * PAGE);
}

/* Memory of 2 MiB pages, if the system gives them, partly taken away. */
static void memory_huge(void)
{
	const size_t huge = 2ul << 20;
	uint8_t *area = memory(3 * huge), *mem;
	struct child c;

	mem = (uint8_t *)(((uintptr_t)area + huge - 1) & ~(huge - 1));
	madvise(mem, 2 * huge, MADV_HUGEPAGE);
	memset(mem, 0x71, 2 * huge);
	child_open(&c, false);
	set_slot(c.vm, 1, 0, HOLE, 2 * huge, mem);
	LOAD(&c, CODE, guest_peek);
	set_real_mode(c.vcpu, HOLE + huge - PAGE);
	expect_port(&c, "huge-read", PORT, 0x71);
	madvise(mem + huge - PAGE, PAGE, MADV_DONTNEED);
	expect_port(&c, "huge-hole-punched", PORT, 0);
	set_real_mode(c.vcpu, HOLE + huge - 2 * PAGE);
	expect_port(&c, "huge-neighbour", PORT, 0x71);
	LOAD(&c, CODE, guest_poke);
	set_slot(c.vm, 1, KVM_MEM_LOG_DIRTY_PAGES, HOLE, 2 * huge, mem);
	set_real_mode(c.vcpu, HOLE + huge);
	give_in(&c, "huge-in", 1, 0x72);
	expect_port(&c, "huge-write", PORT_IRQ, 0x72);
	expect_u64("huge-written", mem[huge], 0x72);
	child_close(&c);
	munmap(area, 3 * huge);
}

static void part_memory(void)
{
	memory_readonly();
	memory_slots_come_and_go();
	memory_notified();
	memory_copy_on_write();
	memory_dirty_log();
	memory_huge();
}

/* ---- interrupts ---- */

GUEST(guest_window, "cli\n movb $1, %al\n out %al, $0x80\n sti\n nop\n nop\n1: nop\n jmp 1b");
/* Interrupts come in HLT only, behind the shadow of STI. */
GUEST(guest_wait, "cli\n movb $2, %al\n out %al, $0x80\n"
		  "1: sti\n hlt\n cli\n movb $3, %al\n out %al, $0x80\n jmp 1b");

GUEST(guest_extint, "cli\n movb $1, %al\n out %al, $0x80\n movb $4, %al\n out %al, $0x80\n"
		    "sti\n nop\n nop\n1: nop\n jmp 1b");

/* KVM_INTERRUPT where the user has all of the interrupt controller. */
static void interrupt_window(void)
{
	struct kvm_interrupt irq = { .irq = VECTOR };
	struct child c;

	child_open(&c, false);
	LOAD(&c, CODE, guest_window);
	LOAD(&c, HANDLER, handler);
	set_vector(&c, VECTOR);
	expect_port(&c, "window-cli", PORT, 1);
	expect_u64("window-if-clear", c.run->if_flag, 0);
	expect_u64("window-not-ready", c.run->ready_for_interrupt_injection, 0);
	c.run->request_interrupt_window = 1;
	expect_exit(&c, "window-open", KVM_EXIT_IRQ_WINDOW_OPEN);
	expect_u64("window-if", c.run->if_flag, 1);
	expect_u64("window-ready", c.run->ready_for_interrupt_injection, 1);
	c.run->request_interrupt_window = 0;
	expect("window-interrupt", kvm(c.vcpu, KVM_INTERRUPT, &irq), 0);
	expect_port(&c, "window-handler", PORT_IRQ, 0x55);
	child_close(&c);
}

/* The same through the local APIC's LINT0. */
static void interrupt_extint(void)
{
	struct kvm_interrupt irq = { .irq = VECTOR };
	struct child c;

	child_open(&c, true);
	LOAD(&c, CODE, guest_extint);
	LOAD(&c, HANDLER, handler);
	set_vector(&c, VECTOR);
	expect_port(&c, "extint-cli", PORT, 1);
	expect("extint", kvm(c.vcpu, KVM_INTERRUPT, &irq), 0);
	expect("extint-twice", kvm(c.vcpu, KVM_INTERRUPT, &irq), -EEXIST);
	expect_port(&c, "extint-cli-again", PORT, 4);
	expect("extint-still-waits", kvm(c.vcpu, KVM_INTERRUPT, &irq), -EEXIST);
	expect_port(&c, "extint-handler", PORT_IRQ, 0x55);
	expect("extint-next", kvm(c.vcpu, KVM_INTERRUPT, &irq), 0);
	expect_port(&c, "extint-handler-again", PORT_IRQ, 0x55);
	c.run->request_interrupt_window = 1;
	expect_exit(&c, "extint-window", KVM_EXIT_IRQ_WINDOW_OPEN);
	child_close(&c);
}

static long send_msi(struct child *c, uint8_t vector, uint8_t dest)
{
	struct kvm_msi msi = { .address_lo = APIC | (uint32_t)dest << 12, .data = vector };

	return kvm(c->vm, KVM_SIGNAL_MSI, &msi);
}

static void interrupt_msi(void)
{
	struct child c;

	child_open(&c, true);
	LOAD(&c, CODE, guest_wait);
	LOAD(&c, HANDLER, handler);
	set_vector(&c, VECTOR);
	expect_port(&c, "msi-before", PORT, 2);
	expect("msi-send", send_msi(&c, VECTOR, 0), 1);
	expect("msi-send-again", send_msi(&c, VECTOR, 0), 1); /* one interrupt, but delivered */
	expect("msi-no-target", send_msi(&c, VECTOR, 9), 0);
	expect_port(&c, "msi-handler", PORT_IRQ, 0x55);
	expect_port(&c, "msi-after-hlt", PORT, 3);
	child_close(&c);
}

static long enable_x2apic_api(struct child *c, uint64_t flags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API, .args = { flags } };

	return kvm(c->vm, KVM_ENABLE_CAP, &cap);
}

/* KVM_CAP_X2APIC_API: what destination 0xff is to a processor in x2APIC mode, and 32-bit destinations. */
static void interrupt_x2apic(void)
{
	struct kvm_msi all = { .address_lo = APIC | 0xff000,
			       .address_hi = 0xffffff00,
			       .data = VECTOR };
	struct kvm_sregs s;
	struct child c;

	child_open(&c, true);
	kvm(c.vcpu, KVM_GET_SREGS, &s);
	s.apic_base |= 3 << 10;
	expect("x2apic-mode", kvm(c.vcpu, KVM_SET_SREGS, &s), 0);
	expect("x2apic-broadcast-quirk", send_msi(&c, VECTOR, 0xff), 1);
	expect("x2apic-quirk-off", enable_x2apic_api(&c, KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK),
	       0);
	expect("x2apic-no-broadcast", send_msi(&c, VECTOR, 0xff), 0);
	expect("x2apic-high-ignored", kvm(c.vm, KVM_SIGNAL_MSI, &all), 0);
	expect("x2apic-ids32", enable_x2apic_api(&c, KVM_X2APIC_API_USE_32BIT_IDS), 0);
	expect("x2apic-broadcast", kvm(c.vm, KVM_SIGNAL_MSI, &all), 1);
	all.address_hi |= 1;
	expect("x2apic-reserved", kvm(c.vm, KVM_SIGNAL_MSI, &all), -EINVAL);
	expect("x2apic-flags", enable_x2apic_api(&c, 4), -EINVAL);
	child_close(&c);
}

static void interrupt_nmi(void)
{
	struct child c;

	child_open(&c, true);
	LOAD(&c, CODE, guest_wait);
	LOAD(&c, HANDLER, handler);
	set_vector(&c, 2);
	expect_port(&c, "nmi-before", PORT, 2);
	expect("nmi", kvm(c.vcpu, KVM_NMI, NULL), 0);
	expect_port(&c, "nmi-handler", PORT_IRQ, 0x55);
	child_close(&c);
}

/* A thread that runs a processor until it writes to a port. */
struct runner {
	pthread_t thread;
	struct child *c;
	volatile pid_t tid;
	long r;
};

static void *runner_main(void *arg)
{
	struct runner *n = arg;

	__atomic_store_n(&n->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	do
		n->r = run(n->c);
	while (n->r == -EAGAIN); /* a processor that got its SIPI */
	return NULL;
}

static void runner_start(struct runner *n, struct child *c)
{
	*n = (struct runner){ .c = c };
	if (pthread_create(&n->thread, NULL, runner_main, n))
		die("pthread_create");
}

/* Until the thread sleeps in the kernel. */
static void runner_wait_asleep(struct runner *n)
{
	char path[64], line[512], *state;
	FILE *f;

	do {
		pid_t tid = __atomic_load_n(&n->tid, __ATOMIC_ACQUIRE);

		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
		f = tid ? fopen(path, "r") : NULL;
		state = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
		if (f)
			fclose(f);
		sched_yield();
	} while (!state || state[2] != 'S');
}

static void runner_expect(struct runner *n, const char *name, unsigned int port, uint8_t want)
{
	struct kvm_run *k = n->c->run;

	pthread_join(n->thread, NULL);
	report(!n->r && k->exit_reason == KVM_EXIT_IO && k->io.port == port &&
		       io_data(n->c)[0] == want,
	       name, "KVM_RUN %ld, exit %u, port %#x, byte %#x", n->r, k->exit_reason,
	       k->exit_reason == KVM_EXIT_IO ? k->io.port : 0,
	       k->exit_reason == KVM_EXIT_IO ? io_data(n->c)[0] : 0);
}

/* A processor that sleeps in HLT is woken by every kind of interrupt, and by signals. */
static void interrupt_wakes(void)
{
	struct runner n;
	struct child c;

	child_open(&c, true);
	LOAD(&c, CODE, guest_wait);
	LOAD(&c, HANDLER, handler);
	set_vector(&c, VECTOR);
	set_vector(&c, 2);
	expect_port(&c, "wake-before", PORT, 2);
	runner_start(&n, &c);
	runner_wait_asleep(&n);
	expect("wake-msi-send", send_msi(&c, VECTOR, 0), 1);
	runner_expect(&n, "wake-msi", PORT_IRQ, 0x55);
	expect_port(&c, "wake-msi-after", PORT, 3);
	runner_start(&n, &c);
	runner_wait_asleep(&n);
	pthread_kill(n.thread, SIGUSR1);
	pthread_join(n.thread, NULL);
	expect("wake-signal", n.r, -EINTR);
	child_close(&c);
}

/* Guests that use the local APIC have DS at its page. */
GUEST(guest_timer, "cli\n movl $0x40, %eax\n movl %eax, 0x320\n movl $11, %eax\n movl %eax, 0x3e0\n"
		   "movl $100000, %eax\n movl %eax, 0x380\n 1: sti\n hlt\n cli\n movb $3, %al\n "
		   "out %al, $0x80\n jmp 1b");
GUEST(handler_eoi, "xorl %eax, %eax\n movl %eax, 0xb0\n movb $0x55, %al\n out %al, $0x81\n iret");

static void interrupt_timer(void)
{
	struct child c;

	child_open(&c, true);
	LOAD(&c, CODE, guest_timer);
	LOAD(&c, HANDLER, handler_eoi);
	set_vector(&c, VECTOR);
	set_real_mode(c.vcpu, APIC);
	expect_port(&c, "timer-handler", PORT_IRQ, 0x55);
	expect_port(&c, "timer-after-hlt", PORT, 3);
	child_close(&c);
}

/* The timer ends a loop that does nothing. */
GUEST(guest_timer_spin, "sti\n movl $0x20040, %eax\n movl %eax, 0x320\n movl $11, %eax\n"
			"movl %eax, 0x3e0\n movl $50000, %eax\n movl %eax, 0x380\n 1: jmp 1b");

static void interrupt_timer_spin(void)
{
	struct child c;
	int i;

	child_open(&c, true);
	LOAD(&c, CODE, guest_timer_spin);
	LOAD(&c, HANDLER, handler_eoi);
	set_vector(&c, VECTOR);
	set_real_mode(c.vcpu, APIC);
	for (i = 0; i < 3; i++)
		expect_port(&c, "timer-periodic", PORT_IRQ, 0x55);
	child_close(&c);
}

/*
 * No interrupt comes between STI and the instruction behind it, whatever exits there meanwhile: the handler compares
 * the address that it returns to. For /dev/plinth alone: the lab's emulator forgets the shadow at VMRUN, which
 * stock KVM does not make up for.
 */
GUEST(guest_shadow,
      "movl $0x20040, %eax\n movl %eax, 0x320\n movl $11, %eax\n movl %eax, 0x3e0\n"
      "movl $1000, %eax\n movl %eax, 0x380\n xorl %ecx, %ecx\n 1: sti\n incl %ecx\n 2: cli\n"
      "jmp 1b");
GUEST(handler_shadow,
      "pushw %bp\n movw %sp, %bp\n movw 2(%bp), %bp\n cmpb $0xfa, %cs:(%bp)\n movb $1, %al\n"
      "jne 1f\n xorl %eax, %eax\n movl %eax, 0xb0\n decw %ss:0x7000\n jnz 2f\n"
      "1: out %al, $0x81\n 2: popw %bp\n iret");

static void interrupt_shadow(void)
{
	struct child c;

	if (!strstr(device, "plinth"))
		return;
	child_open(&c, true);
	LOAD(&c, CODE, guest_shadow);
	LOAD(&c, HANDLER, handler_shadow);
	set_vector(&c, VECTOR);
	set_real_mode(c.vcpu, APIC);
	c.mem[0x7000] = SHADOWED & 0xff;
	c.mem[0x7001] = SHADOWED >> 8;
	expect_port(&c, "shadow-of-sti", PORT_IRQ, 0);
	child_close(&c);
}

static void interrupt_irqfd(void)
{
	struct kvm_irq_routing_entry e = msi_route(30, VECTOR, false);
	struct kvm_irq_level line = { .irq = 30, .level = 1 };
	int fd = eventfd(0, 0);
	struct runner n;
	struct child c;

	child_open(&c, true);
	LOAD(&c, CODE, guest_wait);
	LOAD(&c, HANDLER, handler_eoi);
	set_vector(&c, VECTOR);
	set_real_mode(c.vcpu, APIC);
	expect("irqfd-route", set_routes(c.vm, 1, 0, &e, 1), 0);
	expect("irqfd", irqfd(c.vm, fd, 30, 0), 0);
	expect_port(&c, "irqfd-before", PORT, 2);
	eventfd_write(fd, 1);
	expect_port(&c, "irqfd-handler", PORT_IRQ, 0x55);
	expect_port(&c, "irqfd-after", PORT, 3);
	runner_start(&n, &c);
	runner_wait_asleep(&n);
	eventfd_write(fd, 1);
	runner_expect(&n, "irqfd-wakes", PORT_IRQ, 0x55);
	expect_port(&c, "irqfd-wakes-after", PORT, 3);
	expect("irqfd-off", irqfd(c.vm, fd, 30, KVM_IRQFD_FLAG_DEASSIGN), 0);
	eventfd_write(fd, 1);
	/* The event is still there when the eventfd is assigned again, and counts. */
	expect("irqfd-on-again", irqfd(c.vm, fd, 30, 0), 0);
	expect_port(&c, "irqfd-kept-event", PORT_IRQ, 0x55);
	expect_port(&c, "irqfd-kept-after", PORT, 3);
	expect("line", kvm(c.vm, KVM_IRQ_LINE, &line), 0);
	expect_port(&c, "line-handler", PORT_IRQ, 0x55);
	child_close(&c);
	close(fd);
}

/* The EOI of a level-triggered pin of the user's I/O APIC goes to the user; others don't. */
static void interrupt_eoi(void)
{
	struct kvm_irq_routing_entry e[2] = { msi_route(5, VECTOR, true),
					      msi_route(40, VECTOR + 1, true) };
	struct kvm_irq_level line = { .irq = 5, .level = 1 };
	struct child c;

	child_open(&c, true);
	LOAD(&c, CODE, guest_wait);
	LOAD(&c, HANDLER, handler_eoi);
	set_vector(&c, VECTOR);
	set_vector(&c, VECTOR + 1);
	set_real_mode(c.vcpu, APIC);
	set_routes(c.vm, 2, 0, e, 2);
	expect_port(&c, "eoi-before", PORT, 2);
	kvm(c.vm, KVM_IRQ_LINE, &line);
	expect_exit(&c, "eoi-exit", KVM_EXIT_IOAPIC_EOI);
	expect_u64("eoi-vector", c.run->eoi.vector, VECTOR);
	expect_port(&c, "eoi-handler", PORT_IRQ, 0x55);
	expect_port(&c, "eoi-after", PORT, 3);
	line.irq = 40;
	kvm(c.vm, KVM_IRQ_LINE, &line);
	expect_port(&c, "eoi-not-reserved", PORT_IRQ, 0x55);
	child_close(&c);
}

/* Sets routes all the time, of which the last one is never another. */
struct router {
	struct child *c;
	struct kvm_irq_routing_entry *e;
	unsigned int pins;
	bool stop;
	long r;
};

static void *router_main(void *arg)
{
	struct router *n = arg;
	unsigned int i;

	for (i = 0; !n->r && !__atomic_load_n(&n->stop, __ATOMIC_RELAXED); i++) {
		n->e[0] = msi_route(0, VECTOR + 1 + i % 2, true);
		n->r = set_routes(n->c->vm, n->pins, 0, n->e, n->pins);
	}
	return NULL;
}

/* The route of one pin changes while the interrupt of another ends: its EOI goes to the user all the same. */
static void interrupt_eoi_rerouted(void)
{
	const bool stock = !strcmp(device, "/dev/kvm");
	const unsigned int pins = stock ? PINS_KVM : PINS;
	const unsigned int rounds = stock ? REROUTED_KVM : REROUTED;
	unsigned int i, seen = 0;
	struct kvm_irq_routing_entry *e = calloc(pins, sizeof(*e));
	struct kvm_irq_level line = { .irq = pins - 1, .level = 1 };
	struct child c;
	struct router n = { .c = &c, .e = e, .pins = pins };
	pthread_t thread;

	child_open_pins(&c, true, pins);
	LOAD(&c, CODE, guest_wait);
	LOAD(&c, HANDLER, handler_eoi);
	set_vector(&c, VECTOR);
	set_real_mode(c.vcpu, APIC);
	for (i = 0; i < pins; i++)
		e[i] = msi_route(i, i == pins - 1 ? VECTOR : VECTOR + 1, true);
	expect("rerouted-routes", set_routes(c.vm, pins, 0, e, pins), 0);
	expect_port(&c, "rerouted-before", PORT, 2);
	if (pthread_create(&thread, NULL, router_main, &n))
		die("pthread_create");
	for (i = 0; i < rounds; i++) {
		kvm(c.vm, KVM_IRQ_LINE, &line);
		while (!run(&c) && c.run->exit_reason == KVM_EXIT_IOAPIC_EOI)
			seen += c.run->eoi.vector == VECTOR;
		if (c.run->exit_reason != KVM_EXIT_IO || c.run->io.port != PORT_IRQ || run(&c))
			break;
	}
	__atomic_store_n(&n.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	expect("rerouted-set", n.r, 0);
	expect("rerouted-interrupts", i, rounds);
	expect("rerouted-ends", seen, rounds);
	child_close(&c);
	free(e);
}

/* INIT and SIPI start a second processor at 0x3000; it sends an interrupt back. */
GUEST(guest_starts_ap, "sti\n movl $0x1000000, %eax\n movl %eax, 0x310\n movl $0x4500, %eax\n"
		       "movl %eax, 0x300\n movl $0x4603, %eax\n movl %eax, 0x300\n"
		       "movb $4, %al\n out %al, $0x80\n 1: hlt\n jmp 1b");
GUEST(guest_ap, "movb $6, %al\n out %al, $0x82\n hlt");

static void interrupt_starts_ap(void)
{
	struct kvm_mp_state mp = {};
	struct child c, ap;
	struct runner n;

	child_open(&c, true);
	ap = c;
	ap.vcpu = ioctl(c.vm, KVM_CREATE_VCPU, 1ul);
	if (ap.vcpu < 0)
		die("second KVM_CREATE_VCPU");
	ap.run = map_run(c.dev, ap.vcpu);
	set_cpuid(c.dev, ap.vcpu);
	set_apic(ap.vcpu); /* stock KVM addresses only what has been touched since it was made */
	LOAD(&c, CODE, guest_starts_ap);
	LOAD(&c, 0x3000, guest_ap);
	set_real_mode(c.vcpu, APIC);
	kvm(ap.vcpu, KVM_GET_MP_STATE, &mp);
	expect_u64("ap-waits", mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	runner_start(&n, &ap);
	runner_wait_asleep(&n);
	expect_port(&c, "ap-started", PORT, 4);
	runner_expect(&n, "ap-runs", 0x82, 6);
	munmap(ap.run, kvm(c.dev, KVM_GET_VCPU_MMAP_SIZE, NULL));
	close(ap.vcpu);
	child_close(&c);
}

static void part_interrupts(void)
{
	interrupt_window();
	interrupt_extint();
	interrupt_msi();
	interrupt_x2apic();
	interrupt_nmi();
	interrupt_wakes();
	interrupt_timer();
	interrupt_timer_spin();
	interrupt_shadow();
	interrupt_irqfd();
	interrupt_eoi();
	interrupt_eoi_rerouted();
	interrupt_starts_ap();
}

/* ---- the paravirtual clock ---- */

#define CLOCK_AT 0x3000ul
#define WALL_AT	 0x3100ul
#define TSC_AT	 0x3200ul
#define MSR_TSC	 0x10u

/* Wall clock and system time by their newer numbers; then it tells its TSC again and again. */
GUEST(guest_clock, "movl $0x4b564d00, %ecx\n movl $0x3100, %eax\n xorl %edx, %edx\n wrmsr\n"
		   "movl $0x4b564d01, %ecx\n movl $0x3001, %eax\n wrmsr\n"
		   "1: rdtsc\n movl %eax, 0x3200\n movl %edx, 0x3204\n out %al, $0x80\n jmp 1b");

static uint64_t vm_clock_now(struct child *c)
{
	struct kvm_clock_data data;

	if (ioctl(c->vm, KVM_GET_CLOCK, &data))
		die("KVM_GET_CLOCK");
	return data.clock;
}

/* What the guest makes of the TSC that it has told. */
static uint64_t guest_clock_ns(struct child *c)
{
	const struct pvclock_vcpu_time_info *info = (void *)(c->mem + CLOCK_AT);
	uint64_t ticks = *(uint64_t *)(c->mem + TSC_AT) - info->tsc_timestamp;

	ticks = info->tsc_shift < 0 ? ticks >> -info->tsc_shift : ticks << info->tsc_shift;
	return info->system_time +
	       (uint64_t)((unsigned __int128)ticks * info->tsc_to_system_mul >> 32);
}

/*
 * The guest reads its clock between two readings of the VM's: so must be the result, but for a millisecond. (Not
 * KVM_GET_MSRS: without a stable TSC stock KVM lets the guest's stand still outside of KVM_RUN.)
 */
static void expect_clock(struct child *c, const char *name)
{
	const uint64_t slack = 1000000;
	uint64_t before = vm_clock_now(c), now, after;
	long port = run_to_port(c, name, PORT);

	after = vm_clock_now(c);
	now = guest_clock_ns(c);
	report(port >= 0 && now + slack >= before && now <= after + slack, name,
	       "%llu is not in %llu..%llu", (unsigned long long)now, (unsigned long long)before,
	       (unsigned long long)after);
}

static void clock_is_kept(struct child *c)
{
	const struct pvclock_vcpu_time_info *info = (void *)(c->mem + CLOCK_AT);
	struct kvm_clock_data set = { .clock = 5000000000000ull };
	struct msrs m = { .head.nmsrs = 1, .entry = { { .index = MSR_TSC, .data = 1ull << 50 } } };
	uint32_t version = info->version;

	report(version && !(version & 1), "clock-version", "%u", version);
	expect_clock(c, "clock-guest");
	expect("clock-change", kvm(c->vm, KVM_SET_CLOCK, &set), 0);
	expect_clock(c, "clock-guest-changed");
	report(info->system_time >= set.clock, "clock-changed", "%llu",
	       (unsigned long long)info->system_time);
	expect("clock-tsc", kvm(c->vcpu, KVM_SET_MSRS, &m), 1);
	expect_clock(c, "clock-guest-tsc");
	report(info->version != version && !(info->version & 1), "clock-version-moves", "%u",
	       info->version);
}

static void part_clock(void)
{
	const struct pvclock_vcpu_time_info *info;
	const struct pvclock_wall_clock *wall;
	uint64_t booted;
	struct child c;

	child_open(&c, true);
	info = (void *)(c.mem + CLOCK_AT);
	wall = (void *)(c.mem + WALL_AT);
	LOAD(&c, CODE, guest_clock);
	report(run_to_port(&c, "clock-start", PORT) >= 0, "clock-start", "no port");
	booted = time(NULL) - vm_clock_now(&c) / 1000000000;
	report(!(wall->version & 1) && wall->sec + 2ull >= booted && wall->sec <= booted + 2,
	       "clock-wall", "%u, not %llu", wall->sec, (unsigned long long)booted);
	clock_is_kept(&c);
	expect("clock-ctrl", kvm(c.vcpu, KVM_KVMCLOCK_CTRL, NULL), 0);
	expect_clock(&c, "clock-guest-ctrl");
	report(info->flags & PVCLOCK_GUEST_STOPPED, "clock-stopped", "flags %u", info->flags);
	child_close(&c);
}

/* ---- ioeventfd ---- */

GUEST(guest_ioev, "movb $5, %al\n out %al, $0x90\n movb $6, %al\n out %al, $0x90\n"
		  "movw $7, %ax\n out %ax, $0x92\n movb $8, %al\n movb %al, 0x10\n movb %al, 0x11\n"
		  "movl %eax, 0x20\n movb $9, %al\n out %al, $0x80\n jmp guest_ioev");

static uint64_t count(int fd)
{
	eventfd_t n = 0;

	return eventfd_read(fd, &n) ? 0 : n;
}

static void part_ioeventfd(void)
{
	const uint32_t pio = KVM_IOEVENTFD_FLAG_PIO, match = KVM_IOEVENTFD_FLAG_DATAMATCH,
		       off = KVM_IOEVENTFD_FLAG_DEASSIGN;
	int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK),
	    d = eventfd(0, EFD_NONBLOCK);
	struct child c;

	child_open(&c, false);
	LOAD(&c, CODE, guest_ioev);
	set_real_mode(c.vcpu, HOLE);
	expect("ioev-a", ioeventfd(c.vm, a, 0x90, 1, pio | match, 5), 0);
	expect("ioev-b", ioeventfd(c.vm, b, HOLE + 0x10, 1, 0, 0), 0);
	expect("ioev-d", ioeventfd(c.vm, d, HOLE + 0x20, 0, 0, 0), 0);
	expect_out(&c, "ioev-no-match", 0x90, 1, 6);
	expect_u64("ioev-match", count(a), 1);
	expect_out(&c, "ioev-other-port", 0x92, 2, 7);
	expect_mmio(&c, "ioev-other-address", HOLE + 0x11, 1, true, 8);
	expect_u64("ioev-mmio", count(b), 1);
	expect_port(&c, "ioev-end", PORT, 9);
	expect_u64("ioev-any-length", count(d), 1);
	expect_u64("ioev-once", count(a) + count(b), 0);
	ioeventfd(c.vm, a, 0x90, 1, pio | match | off, 5);
	expect_out(&c, "ioev-gone", 0x90, 1, 5);
	expect_u64("ioev-gone-silent", count(a), 0);
	child_close(&c);
	close(a);
	close(b);
	close(d);
}

/* ---- main ---- */

static const struct {
	const char *name;
	void (*fn)(void);
} parts[] = {
	{ "system", part_system },
	{ "slots", part_slots },
	{ "irq-ioctls", part_irq_ioctls },
	{ "ioeventfd-ioctls", part_ioeventfd_ioctls },
	{ "vm", part_vm },
	{ "state", part_state },
	{ "cpuid", part_cpuid },
	{ "io", part_io },
	{ "mmio", part_mmio },
	{ "leave", part_leave },
	{ "debug", part_debug },
	{ "long-mode", part_long_mode },
	{ "memory", part_memory },
	{ "interrupts", part_interrupts },
	{ "clock", part_clock },
	{ "ioeventfd", part_ioeventfd },
};

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	size_t i, ran = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: kvm_api DEVICE [PART]\n");
		return 2;
	}
	device = argv[1];
	part = argc > 2 ? argv[2] : NULL;
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	signal(SIGALRM, on_alarm);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (part && strcmp(part, parts[i].name))
			continue;
		ran++;
		alarm(HANG_AFTER);
		printf("part %s\n", parts[i].name);
		fflush(stdout);
		parts[i].fn();
	}
	if (!ran) {
		fprintf(stderr, "kvm_api: no part %s\n", part);
		return 2;
	}
	printf("%u failed\n", failed);
	return failed ? 1 : 0;
}
