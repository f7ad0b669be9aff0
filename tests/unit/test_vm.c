// SPDX-License-Identifier: GPL-2.0-only
/* A VM's nested map: what its hypercalls answer, what counts as in use, when tables are freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/memuse.h"
#include "core/vp.h"
#include "core/vp_int.h"

#define RAM_END BIT(40)
#define LARGE	PLINTH_CHUNK_SIZE
#define RW	(PLINTH_MAP_READ | PLINTH_MAP_WRITE | PLINTH_MAP_EXEC)
#define TABLES	256
#define CORE_PA (64 * LARGE) /* a chunk of the core's */

/* ---- the rest of the core ---- */

struct cpu unit_cpu;
static struct plinth_boot the_boot;
struct plinth_boot *boot = &the_boot;

static struct {
	void *table[TABLES];
	unsigned int in_use, kept, flushes;
	int left; /* allocations until one fails, -1: none does */
	struct memuse use;
	u32 msi_flags;
} world;

u64 mm_alloc(void)
{
	unsigned int i;

	if (!world.left)
		return 0;
	world.left -= world.left > 0;
	for (i = 0; world.table[i]; i++)
		assert_true(i + 1 < TABLES);
	world.table[i] = calloc(1, PAGE_SIZE);
	world.in_use++;
	return (i + 1) * PAGE_SIZE;
}

static void *table_at(void *ctx, u64 pa)
{
	(void)ctx;
	assert_non_null(world.table[pa / PAGE_SIZE - 1]);
	return world.table[pa / PAGE_SIZE - 1];
}

void mm_free(u64 pa)
{
	free(table_at(NULL, pa));
	world.table[pa / PAGE_SIZE - 1] = NULL;
	world.in_use--;
}

static u64 ops_alloc(void *ctx)
{
	(void)ctx;
	return mm_alloc();
}

static void ops_free(void *ctx, u64 pa)
{
	(void)ctx;
	mm_free(pa);
}

const struct pt_ops mm_pt_ops = { .alloc = ops_alloc, .free = ops_free, .map = table_at };

bool mm_is_core(u64 pa, u64 size)
{
	return pa < CORE_PA + LARGE && pa + size > CORE_PA;
}

bool mm_root_ram(u64 pa, u64 size)
{
	return pa < RAM_END && size <= RAM_END - pa && !mm_is_core(pa, size);
}

int mm_use(u64 pa, u64 size)
{
	return mm_is_core(pa, size) ? -EINVAL : memuse_add(&world.use, pa, size);
}

void mm_unuse(u64 pa, u64 size)
{
	memuse_sub(&world.use, pa, size);
}

void mm_use_lock(void)
{
}

void mm_use_unlock(void)
{
}

void mm_use_begin(void)
{
}

void mm_use_end(void)
{
	memuse_reset(&world.use);
}

void cpu_shootdown(bool (*match)(struct cpu *c, void *arg), void *arg)
{
	(void)match;
	(void)arg;
	world.flushes++;
}

int lapic_msi_decode(struct lapic_ipi *ipi, u64 addr, u32 data, u32 flags)
{
	(void)addr;
	(void)data;
	memset(ipi, 0, sizeof(*ipi));
	world.msi_flags = flags;
	return 0;
}

u64 vm_deliver(struct vm *vm, const struct lapic_ipi *ipi, struct vp *src, u32 *taken)
{
	(void)vm;
	(void)ipi;
	(void)src;
	*taken = 3;
	return 0;
}

void log_printf(const char *fmt, ...)
{
	(void)fmt;
}

void vp_fpu_init(void)
{
}

void vp_msr_init(void)
{
}

int vp_vendor_init(void)
{
	return 0;
}

void vp_free(struct vp *vp)
{
	(void)vp;
}

/* ---- tests ---- */

static u64 vm;

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.left = -1;
	world.use.ops = &mm_pt_ops;
	the_boot.params.paging_levels = 4;
	the_boot.params.phys_bits = 48;
	the_boot.params.apic_base = 0xfee00000;
	vm_init();
	vm = vm_create(0);
	assert_int_equal(vm, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world.left = -1;
	assert_int_equal(vm_destroy(vm), 0);
	assert_int_equal(world.in_use, world.kept);
	return 0;
}

static u64 in_use(u64 pa)
{
	return memuse_count(&world.use, pa);
}

static u64 mapped(void)
{
	static struct plinth_status st;

	memset(&st, 0, sizeof(st));
	vm_status(&st);
	return st.vm[0].mapped_pages;
}

static void test_unmap_tells_how_many(void **state)
{
	(void)state;
	assert_int_equal(vm_map(vm, 0, 2 * LARGE, 2 * LARGE, RW), 0);
	assert_int_equal(vm_map(vm, 2 * LARGE, LARGE + 5 * PAGE_SIZE, PAGE_SIZE, RW), 0);
	assert_int_equal(mapped(), 1025);
	assert_int_equal(vm_unmap(vm, LARGE - PAGE_SIZE, 3 * PAGE_SIZE), 3);
	assert_int_equal(vm_unmap(vm, LARGE - PAGE_SIZE, 3 * PAGE_SIZE), 0);
	assert_int_equal(vm_unmap(vm, 0, 4 * LARGE), 1022);
	assert_int_equal(mapped(), 0);
	assert_int_equal(vm_unmap(vm, 0, 0), -EINVAL);
	assert_int_equal(vm_map(vm, 0, MM_LOW_END - PAGE_SIZE, 2 * PAGE_SIZE, RW), -EINVAL);
	assert_int_equal(vm_map(vm, 0, PAGE_SIZE, PAGE_SIZE, RW | PLINTH_MAP_DEVICE), -EINVAL);
	assert_int_equal(vm_map(vm, 0, MM_LOW_END, PAGE_SIZE, RW | PLINTH_MAP_DEVICE), 0);
	assert_int_equal(vm_unmap(vm + 1, 0, PAGE_SIZE), -ENOENT);
}

/* Marks are no pages, but the tables that hold them go with them. */
static void test_marks_leave_no_tables(void **state)
{
	unsigned int before = world.in_use;
	u64 gpa = BIT(40);

	(void)state;
	assert_int_equal(vm_map(vm, gpa, 0, PAGE_SIZE, PLINTH_MAP_MMIO), 0);
	assert_int_equal(world.in_use, before + 3);
	world.flushes = 0;
	assert_int_equal(vm_unmap(vm, gpa & ~(BIT(39) - 1), BIT(39)), 0);
	assert_int_equal(world.in_use, before);
	/* Not before everybody who may walk them has been stopped. */
	assert_int_equal(world.flushes, 1);
	assert_int_equal(vm_unmap(vm, gpa & ~(BIT(39) - 1), BIT(39)), 0);
	assert_int_equal(world.flushes, 1);
	/* A large page in their place. */
	assert_int_equal(vm_map(vm, gpa, 0, PAGE_SIZE, PLINTH_MAP_MMIO), 0);
	assert_int_equal(vm_map(vm, gpa, LARGE, LARGE, RW), 0);
	assert_int_equal(world.flushes, 2);
	assert_int_equal(world.in_use, before + 2 + 3); /* three tables for what is in use now */
}

static void test_use_follows_the_map(void **state)
{
	(void)state;
	assert_int_equal(vm_map(vm, 0, 8 * LARGE, LARGE, RW), 0);
	assert_int_equal(in_use(8 * LARGE), 512);
	/* Twice mapped is twice in use. */
	assert_int_equal(vm_map(vm, LARGE, 8 * LARGE + PAGE_SIZE, PAGE_SIZE, RW), 0);
	assert_int_equal(in_use(8 * LARGE), 513);
	/* Replaced by itself, by another, by a mark. */
	assert_int_equal(vm_map(vm, 0, 8 * LARGE, PAGE_SIZE, RW), 0);
	assert_int_equal(in_use(8 * LARGE), 513);
	assert_int_equal(vm_map(vm, 0, 9 * LARGE, PAGE_SIZE, RW), 0);
	assert_int_equal(in_use(8 * LARGE), 512);
	assert_int_equal(in_use(9 * LARGE), 1);
	assert_int_equal(vm_map(vm, PAGE_SIZE, 0, PAGE_SIZE, PLINTH_MAP_MMIO), 0);
	assert_int_equal(in_use(8 * LARGE), 511);
	assert_int_equal(vm_unmap(vm, 0, LARGE), 511);
	assert_int_equal(in_use(8 * LARGE), 1);
	assert_int_equal(in_use(9 * LARGE), 0);
	/* Marked as a device's it can still be RAM. */
	assert_int_equal(vm_map(vm, 0, 9 * LARGE, PAGE_SIZE, RW | PLINTH_MAP_DEVICE), 0);
	assert_int_equal(in_use(9 * LARGE), 1);
	assert_int_equal(vm_map(vm, 0, CORE_PA, PAGE_SIZE, RW), -EINVAL);
	assert_int_equal(vm_map(vm, 0, CORE_PA, PAGE_SIZE, RW | PLINTH_MAP_DEVICE), -EINVAL);
	assert_int_equal(in_use(9 * LARGE), 1);
}

/* Whatever allocation fails: what is in use is what is mapped. */
static void check_use(void)
{
	u64 pages[32] = {}, pa, gpa, total = 0;
	s64 err;
	struct vm *v = vm_get(vm, &err);
	unsigned int i;

	for (gpa = 0; gpa < 4 * LARGE; gpa += PAGE_SIZE) {
		if (vm_mem(v, gpa, false, &pa) != VM_MEM_RAM)
			continue;
		pages[pa / LARGE]++;
		total++;
	}
	vm_put(v);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		assert_int_equal(in_use(i * LARGE), pages[i]);
	assert_int_equal(mapped(), total);
}

static void test_no_memory(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		world.left = -1;
		assert_in_range(vm_unmap(vm, 0, 4 * LARGE), 0, 2048);
		assert_int_equal(vm_map(vm, 0, 16 * LARGE, 4 * LARGE, RW), 0);
		world.left = i;
		vm_map(vm, LARGE / 2, 24 * LARGE + LARGE / 2 + PAGE_SIZE, 2 * LARGE, RW);
		check_use();
		world.left = i / 2;
		vm_unmap(vm, PAGE_SIZE, 4 * LARGE - 2 * PAGE_SIZE);
		check_use();
	}
}

static void test_msi_flags(void **state)
{
	(void)state;
	assert_int_equal(vm_msi(vm, 0xfee00000, 0x40, 0, 0), 3);
	assert_int_equal(world.msi_flags, 0);
	assert_int_equal(vm_msi(vm, 0xfee00000, 0x40, 0, PLINTH_MSI_BCAST8), 3);
	assert_int_equal(world.msi_flags, LAPIC_MSI_BCAST8);
	assert_int_equal(vm_msi(vm, 0xfee00000, 0x40, 0, PLINTH_MSI_IDS32), 3);
	assert_int_equal(world.msi_flags, LAPIC_MSI_IDS32);
	assert_int_equal(vm_msi(vm, 0xfee00000, 0x40, 0, 4), -EINVAL);
	assert_int_equal(vm_msi(vm, 0xfee00000, BIT(32), 0, 0), -EINVAL);
}

/* A bug strikes a CPU that serves the VM: all is refused but the end. */
static void test_broken(void **state)
{
	s64 err;

	(void)state;
	assert_int_equal(vm_map(vm, 0, LARGE, LARGE, RW), 0);
	assert_non_null(vm_get(vm, &err));
	world.flushes = 0;
	vm_recover(&unit_cpu);
	assert_int_equal(world.flushes, 1);
	assert_null(unit_cpu.serves);
	assert_int_equal(vm_map(vm, 0, LARGE, LARGE, RW), -EIO);
	assert_int_equal(vm_unmap(vm, 0, LARGE), -EIO);
	assert_int_equal(vm_msi(vm, 0xfee00000, 0x40, 0, 0), -EIO);
	assert_int_equal(in_use(LARGE), 512);
	assert_int_equal(vm_count(), 1);
	assert_int_equal(vm_destroy(vm), 0);
	world.kept = world.in_use; /* its tables */
	assert_int_equal(vm_count(), 0);
	assert_int_equal(vm_destroy(vm), -ENOENT);
	/* Another one is not concerned. Nothing broken: nothing happens. */
	vm = vm_create(0);
	assert_int_equal(vm_map(vm, 0, LARGE, LARGE, RW), 0);
	vm_recover(&unit_cpu);
	assert_int_equal(vm_unmap(vm, 0, LARGE), 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unmap_tells_how_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks_leave_no_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_use_follows_the_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_msi_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
