// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cost of a child's exits, in ticks of the TSC: in the lab with --icount a tick is an executed
 * instruction. Runs a few bytes of real-mode code on the KVM device that is named.
 *
 *   exits DEVICE   ->  "cpuid N" and "io N": ticks per CPUID, and per OUT that user space handles
 *
 * Each figure is the difference between a loop with the instruction and one without, per round.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvm.h>

#define CODE	 0x1000
#define ROUNDS	 10000
#define END_PORT 0x10 /* the guest writes here when it is done */
#define IO_PORT	 0x80

/* mov esi, ROUNDS; 1: xor eax, eax; <two bytes>; dec esi; jnz 1b; out END_PORT, al */
#define LOOP(a, b)                                                                                 \
	{                                                                                          \
		0x66, 0xbe, ROUNDS & 0xff, ROUNDS >> 8 & 0xff, 0, 0, 0x66, 0x31, 0xc0, a, b, 0x66, \
			0x4e, 0x75, 0xf7, 0xe6, END_PORT                                           \
	}

struct vm {
	int vcpu;
	struct kvm_run *run;
	uint8_t *mem;
};

static uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static void vm_init(struct vm *vm, const char *device)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct kvm_userspace_memory_region slot = { .memory_size = 0x10000 };
	int dev = open(device, O_RDWR), fd, size;

	if (dev < 0)
		err(1, "%s", device);
	fd = ioctl(dev, KVM_CREATE_VM, 0);
	if (fd < 0)
		err(1, "KVM_CREATE_VM");
	if (ioctl(fd, KVM_ENABLE_CAP, &cap))
		err(1, "KVM_CAP_SPLIT_IRQCHIP");
	vm->mem = mmap(NULL, slot.memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	slot.userspace_addr = (uintptr_t)vm->mem;
	if (ioctl(fd, KVM_SET_USER_MEMORY_REGION, &slot))
		err(1, "KVM_SET_USER_MEMORY_REGION");
	vm->vcpu = ioctl(fd, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0)
		err(1, "KVM_CREATE_VCPU");
	size = ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED)
		err(1, "mmap of struct kvm_run");
}

/* Ticks that the code takes until it writes to END_PORT. */
static uint64_t run(struct vm *vm, const uint8_t *code, size_t size)
{
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct kvm_sregs sregs;
	uint64_t start;

	memcpy(vm->mem + CODE, code, size);
	if (ioctl(vm->vcpu, KVM_GET_SREGS, &sregs))
		err(1, "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vm->vcpu, KVM_SET_SREGS, &sregs) || ioctl(vm->vcpu, KVM_SET_REGS, &regs))
		err(1, "KVM_SET_REGS");
	start = rdtsc();
	for (;;) {
		if (ioctl(vm->vcpu, KVM_RUN, 0))
			err(1, "KVM_RUN");
		if (vm->run->exit_reason != KVM_EXIT_IO)
			errx(1, "exit reason %u", vm->run->exit_reason);
		if (vm->run->io.port == END_PORT)
			return rdtsc() - start;
	}
}

int main(int argc, char **argv)
{
	static const uint8_t empty[] = LOOP(0x90, 0x90), cpuid[] = LOOP(0x0f, 0xa2),
			     io[] = LOOP(0xe6, IO_PORT);
	uint64_t base;
	struct vm vm;

	if (argc != 2)
		errx(1, "usage: exits DEVICE");
	vm_init(&vm, argv[1]);
	run(&vm, empty, sizeof(empty)); /* faults the memory in */
	base = run(&vm, empty, sizeof(empty));
	printf("cpuid %lu\n", (run(&vm, cpuid, sizeof(cpuid)) - base) / ROUNDS);
	printf("io %lu\n", (run(&vm, io, sizeof(io)) - base) / ROUNDS);
	return 0;
}
