// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadowed memory below 1 MiB: what slots the device is given for each setting of the segments, and
 * what bus masters and emulated accesses find there; and flash memory at the image's start. The device is a list of slots.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <cmocka.h>

#include "worker/vm.h"

#define SLOTS	 32
#define MEMORY	 (8ull << 20)
#define ROM_SIZE (256u << 10)
#define ALL_RW	 (VM_SHADOW_READ | VM_SHADOW_WRITE)

static struct kvm_userspace_memory_region slot[SLOTS];
static int fail_after; /* slots are refused when it reaches 0; below 0: never */
static struct vm vm;
static uint8_t image[ROM_SIZE];

int __wrap_ioctl(int fd, unsigned long request, void *arg);

/* KVM's rules: no overlap, and a slot that exists is removed before it moves. */
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct kvm_userspace_memory_region *r = arg;

	(void)fd;
	assert_int_equal(request, KVM_SET_USER_MEMORY_REGION);
	assert_true(r->slot < SLOTS);
	if (fail_after == 0) {
		errno = ENOMEM;
		return -1;
	}
	fail_after -= fail_after > 0;
	assert_true(!r->memory_size || !slot[r->slot].memory_size);
	for (unsigned int i = 0; i < SLOTS && r->memory_size; i++)
		assert_true(r->guest_phys_addr >= slot[i].guest_phys_addr + slot[i].memory_size ||
			    slot[i].guest_phys_addr >= r->guest_phys_addr + r->memory_size);
	slot[r->slot] = *r;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	memset(slot, 0, sizeof(slot));
	fail_after = -1;
	for (size_t i = 0; i < ROM_SIZE; i++)
		image[i] = (uint8_t)(i >> 12 ^ i);
	vm = (struct vm){ .device = "device", .dev_fd = -1, .fd = -1 };
	assert_int_equal(vm_add_memory(&vm, MEMORY), 0);
	assert_int_equal(vm_add_rom(&vm, image, ROM_SIZE, 0), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_close(&vm);
	return 0;
}

/* The slot that has an address, or NULL. */
static const struct kvm_userspace_memory_region *find(uint64_t gpa)
{
	for (unsigned int i = 0; i < SLOTS; i++)
		if (gpa - slot[i].guest_phys_addr < slot[i].memory_size)
			return &slot[i];
	return NULL;
}

/* What a processor reads without an exit; NULL if it exits. */
static uint8_t *mapped(uint64_t gpa, bool write)
{
	const struct kvm_userspace_memory_region *s = find(gpa);

	if (!s || (write && s->flags & KVM_MEM_READONLY))
		return NULL;
	return (uint8_t *)(uintptr_t)s->userspace_addr + (gpa - s->guest_phys_addr);
}

static unsigned int segment(uint64_t gpa)
{
	uint64_t i = (gpa - 0xc0000) >> 14;

	return i < 12 ? i : 12;
}

/* The 82441FX's table of what a read and a write reach. */
static uint8_t *expected(uint64_t gpa, uint8_t mode, bool write)
{
	if (mode & (write ? VM_SHADOW_WRITE : VM_SHADOW_READ))
		return vm_memory(&vm, gpa, 1);
	if (write || gpa < 0xe0000)
		return NULL;
	return vm.rom + ROM_SIZE - (0x100000 - gpa);
}

static void check(const uint8_t *mode)
{
	uint8_t *host, *want;
	bool plain;

	for (uint64_t gpa = 0xc0000; gpa < 0x100000; gpa += 0x800) {
		uint8_t m = mode[segment(gpa)];

		for (int write = 0; write < 2; write++) {
			want = expected(gpa, m, write);
			assert_true(vm_access(&vm, gpa, 1, write, &host) == 1);
			assert_ptr_equal(host, want);
			/* Reads never exit where there is something; writes do unless it is plain. */
			plain = !write || m == ALL_RW;
			assert_ptr_equal(mapped(gpa, write), plain ? want : NULL);
		}
	}
	/* The neighbours and the flash stay. */
	assert_ptr_equal(mapped(0x9ffff, true), vm_memory(&vm, 0x9ffff, 1));
	assert_null(mapped(0xa0000, false));
	assert_ptr_equal(mapped(0x100000, true), vm_memory(&vm, 0x100000, 1));
	assert_ptr_equal(mapped(0xfffffff0, false), vm.rom + ROM_SIZE - 16);
	assert_null(mapped(0xfffffff0, true));
}

static void each_mode(void **state)
{
	uint8_t mode[VM_SHADOW_SEGMENTS];

	(void)state;
	for (unsigned int m = 0; m < 4; m++) {
		memset(mode, (int)m, sizeof(mode));
		assert_int_equal(vm_set_shadow(&vm, mode), 0);
		check(mode);
	}
	memset(mode, 0, sizeof(mode)); /* a reset */
	assert_int_equal(vm_set_shadow(&vm, mode), 0);
	check(mode);
	assert_memory_equal(vm.rom, image, ROM_SIZE);
}

static void any_order(void **state)
{
	uint8_t mode[VM_SHADOW_SEGMENTS] = { 0 };

	(void)state;
	srand(1);
	for (int n = 0; n < 300; n++) {
		for (int k = rand() % 4; k >= 0; k--)
			mode[rand() % VM_SHADOW_SEGMENTS] = rand() & 3;
		assert_int_equal(vm_set_shadow(&vm, mode), 0);
		check(mode);
	}
}

/* A segment that could not be set is tried again by the next setting. */
static void refused(void **state)
{
	uint8_t mode[VM_SHADOW_SEGMENTS];

	(void)state;
	memset(mode, ALL_RW, sizeof(mode));
	for (int n = 0; n < 13; n++) {
		fail_after = n;
		assert_int_equal(vm_set_shadow(&vm, mode), -ENOMEM);
		fail_after = -1;
		assert_int_equal(vm_set_shadow(&vm, mode), 0);
		check(mode);
		memset(mode, n & 1 ? ALL_RW : VM_SHADOW_READ, sizeof(mode));
	}
}

/* Pieces of an access: they end where what they reach changes, and cover it all. */
static void pieces(void **state)
{
	uint8_t mode[VM_SHADOW_SEGMENTS] = { [3] = ALL_RW, [12] = VM_SHADOW_READ };
	uint8_t *host;

	(void)state;
	assert_int_equal(vm_set_shadow(&vm, mode), 0);
	assert_int_equal(vm_access(&vm, 0x9fff0, 0x100, true, &host), 0x10);
	assert_non_null(host);
	vm_access(&vm, 0xa0000, 0x100, true, &host);
	assert_null(host);
	assert_int_equal(vm_access(&vm, 0xcfffe, 8, true, &host), 2);
	assert_non_null(host);
	assert_int_equal(vm_access(&vm, 0xd0000, 0x10000, true, &host), 0x4000);
	assert_null(host);
	assert_int_equal(vm_access(&vm, 0xffffc, 8, true, &host), 4);
	assert_null(host);
	assert_int_equal(vm_access(&vm, 0x100000, MEMORY, true, &host), MEMORY - 0x100000);
	assert_non_null(host);
	vm_access(&vm, MEMORY, 1, false, &host);
	assert_null(host);
	assert_true(vm_access(&vm, UINT64_MAX, 4, false, &host) >= 1);
	assert_null(host);
}

/* Where the image begins: shown to be read, or not there; the rest and what shows below 1 MiB stay. */
static void flash(void **state)
{
	static uint8_t data[0x3000];
	const uint64_t start = MEMMAP_4G - ROM_SIZE;

	(void)state;
	vm_close(&vm);
	memset(slot, 0, sizeof(slot));
	vm = (struct vm){ .device = "device", .dev_fd = -1, .fd = -1 };
	assert_int_equal(vm_add_memory(&vm, MEMORY), 0);
	assert_int_equal(vm_add_rom(&vm, image, ROM_SIZE, sizeof(data)), 0);
	for (int n = 0; n < 2; n++) {
		assert_null(mapped(start, false));
		assert_null(mapped(start + sizeof(data) - 1, false));
		assert_int_equal(*mapped(start + sizeof(data), false), image[sizeof(data)]);
		assert_int_equal(*mapped(MEMMAP_4G - 1, false), image[ROM_SIZE - 1]);
		assert_int_equal(vm_show_flash(&vm, data, sizeof(data)), 0);
		assert_ptr_equal(mapped(start, false), data);
		assert_ptr_equal(mapped(start + sizeof(data) - 1, false), data + sizeof(data) - 1);
		assert_null(mapped(start, true));
		assert_int_equal(vm_show_flash(&vm, NULL, sizeof(data)), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(flash, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
