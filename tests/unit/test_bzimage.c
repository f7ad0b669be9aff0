// SPDX-License-Identifier: GPL-2.0-only
/* Kernel images made here, byte by byte: what is taken, what is refused, where everything goes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "worker/bzimage.h"

#define MIB	   (1ull << 20)
#define SETUP_SIZE (5 * 512)
#define PAYLOAD	   4096
#define IMAGE_SIZE (SETUP_SIZE + PAYLOAD)

static uint8_t image[IMAGE_SIZE];
static uint8_t low[BZIMAGE_LOW_END];

/* Fields are at the offsets of Documentation/x86/boot.rst. */
static void put(unsigned int off, uint64_t value, unsigned int bytes)
{
	memcpy(image + off, &value, bytes);
}

static int make_image(void **state)
{
	(void)state;
	memset(image, 0xcc, sizeof(image));
	memset(image + 0x1f1, 0, 0x268 - 0x1f1);
	memset(image + SETUP_SIZE, 0x90, PAYLOAD);
	put(0x1f1, 4, 1);	     /* setup_sects */
	put(0x1f4, PAYLOAD / 16, 4); /* syssize */
	put(0x1fe, 0xaa55, 2);
	put(0x200, 0x66eb, 2); /* jump to 0x268 */
	put(0x202, 0x53726448, 4);
	put(0x206, 0x20f, 2);
	put(0x211, 1, 1);	   /* LOADED_HIGH */
	put(0x214, 0x100000, 4);   /* code32_start */
	put(0x22c, 0x7fffffff, 4); /* initrd_addr_max */
	put(0x230, 0x200000, 4);   /* kernel_alignment */
	put(0x234, 1, 1);	   /* relocatable */
	put(0x238, 2047, 4);	   /* cmdline_size */
	put(0x258, 0x1000000, 8);  /* pref_address */
	put(0x260, 40 * MIB, 4);   /* init_size */
	return 0;
}

static const char *refusal(size_t size)
{
	struct bzimage img;
	const char *why;
	int ret = bzimage_parse(&img, image, size, &why);

	assert_int_equal(ret, why ? -ENOEXEC : 0);
	return why;
}

static void test_parse(void **state)
{
	struct bzimage img;
	const char *why;

	(void)state;
	assert_int_equal(bzimage_parse(&img, image, sizeof(image), &why), 0);
	assert_ptr_equal(img.payload, image + SETUP_SIZE);
	assert_int_equal(img.payload_size, PAYLOAD);
	assert_int_equal(img.load_addr, 0x1000000);
	assert_int_equal(img.run_end, 0x1000000 + 40 * MIB);
	assert_int_equal(img.cmdline_max, 2047);

	put(0x234, 0, 1);
	assert_int_equal(bzimage_parse(&img, image, sizeof(image), &why), 0);
	assert_int_equal(img.load_addr, 0x100000);
}

static void test_setup_sects_of_0_means_4(void **state)
{
	struct bzimage img;
	const char *why;

	(void)state;
	put(0x1f1, 0, 1);
	assert_int_equal(bzimage_parse(&img, image, sizeof(image), &why), 0);
	assert_ptr_equal(img.payload, image + SETUP_SIZE);
}

static void test_what_is_no_kernel(void **state)
{
	static const struct {
		unsigned int off;
		uint64_t value;
		unsigned int bytes;
		const char *why;
	} bad[] = {
		{ 0x1fe, 0, 2, "no Linux boot header" },
		{ 0x202, 0, 4, "no Linux boot header" },
		{ 0x206, 0x209, 2, "older than 2.10" },
		{ 0x211, 0, 1, "zImage" },
		{ 0x1f4, PAYLOAD / 16 + 1, 4, "cut short" },
		{ 0x1f1, 64, 1, "cut short" },
		{ 0x258, 0x1000, 8, "out of bounds" },
		{ 0x258, 0xfffffffffffff000ull, 8, "out of bounds" },
		{ 0x260, 0xffffffff, 4, "out of bounds" },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		make_image(state);
		put(bad[i].off, bad[i].value, bad[i].bytes);
		assert_non_null(refusal(sizeof(image)));
		assert_non_null(strstr(refusal(sizeof(image)), bad[i].why));
	}
}

/* Every file that lacks a unit is refused, and none is read beyond its end (the sanitizer watches). */
static void test_every_truncation(void **state)
{
	static uint8_t *cut;
	struct bzimage img;
	const char *why;
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(image); len++) {
		cut = test_malloc(len ? len : 1);
		memcpy(cut, image, len);
		assert_int_equal(bzimage_parse(&img, cut, len, &why),
				 len > sizeof(image) - 16 ? 0 : -ENOEXEC);
		test_free(cut);
	}
}

/* A header that ends early must not take code for fields. */
static void test_fields_beyond_the_header_are_zero(void **state)
{
	struct bzimage img;
	const char *why;

	(void)state;
	put(0x201, 0x60, 1); /* ends at 0x262, in the middle of init_size */
	put(0x264, 0xffffffff, 4);
	assert_int_equal(bzimage_parse(&img, image, sizeof(image), &why), 0);
	assert_int_equal(img.hdr.kernel_info_offset, 0);
	assert_int_equal(img.hdr.handover_offset, 0);
}

static void parse(struct bzimage *img)
{
	const char *why;

	assert_int_equal(bzimage_parse(img, image, sizeof(image), &why), 0);
}

static void test_plan(void **state)
{
	struct bzimage img;
	struct bzimage_plan plan;
	struct memmap_ram ram = memmap_split(512 * MIB);
	uint64_t needed;

	(void)state;
	parse(&img);
	assert_int_equal(bzimage_plan(&img, &ram, 10 * MIB + 1, &plan, &needed), 0);
	assert_int_equal(plan.initrd_size, 10 * MIB + 1);
	assert_int_equal(plan.initrd_addr, 512 * MIB - 10 * MIB - 4096);
	assert_int_equal(bzimage_plan(&img, &ram, 0, &plan, &needed), 0);
	assert_int_equal(plan.initrd_addr, 0);

	/* Above the kernel's limit memory is of no use for it. */
	ram = memmap_split(8192 * MIB);
	assert_int_equal(bzimage_plan(&img, &ram, MIB, &plan, &needed), 0);
	assert_int_equal(plan.initrd_addr, 2047 * MIB);
}

static void test_too_little_memory_says_how_much(void **state)
{
	struct bzimage img;
	struct bzimage_plan plan;
	struct memmap_ram ram;
	uint64_t needed;

	(void)state;
	parse(&img);
	ram = memmap_split(16 * MIB);
	assert_int_equal(bzimage_plan(&img, &ram, 3 * MIB, &plan, &needed), -ENOMEM);
	assert_int_equal(needed, 59 * MIB);
	ram = memmap_split(needed - 4096);
	assert_int_equal(bzimage_plan(&img, &ram, 3 * MIB, &plan, &needed), -ENOMEM);
	ram = memmap_split(needed);
	assert_int_equal(bzimage_plan(&img, &ram, 3 * MIB, &plan, &needed), 0);
	assert_true(plan.initrd_addr >= img.run_end);
}

static void test_an_initrd_that_never_fits(void **state)
{
	struct bzimage img;
	struct bzimage_plan plan;
	struct memmap_ram ram = memmap_split(8192 * MIB);
	uint64_t needed;

	(void)state;
	parse(&img);
	assert_int_equal(bzimage_plan(&img, &ram, 2000 * MIB, &plan, &needed), -E2BIG);
	assert_int_equal(bzimage_plan(&img, &ram, UINT64_MAX, &plan, &needed), -E2BIG);
}

static void test_params(void **state)
{
	struct bzimage img;
	struct bzimage_plan plan = { .initrd_addr = 0x1f000000, .initrd_size = 12345 };
	struct memmap_ram ram = memmap_split(4096 * MIB);
	struct boot_params bp;
	uint64_t gdt[4];

	(void)state;
	parse(&img);
	assert_int_equal(bzimage_write_params(&img, &plan, &ram, "a b", 0xe0000, low), 0);
	memcpy(&bp, low + BZIMAGE_PARAMS, sizeof(bp));
	assert_int_equal(bp.sentinel, 0);
	assert_int_equal(bp.hdr.header, 0x53726448);
	assert_int_equal(bp.hdr.type_of_loader, 0xff);
	assert_int_equal(bp.hdr.code32_start, img.load_addr);
	assert_int_equal(bp.hdr.ramdisk_image, plan.initrd_addr);
	assert_int_equal(bp.hdr.ramdisk_size, plan.initrd_size);
	assert_int_equal(bp.acpi_rsdp_addr, 0xe0000);
	assert_string_equal((char *)low + bp.hdr.cmd_line_ptr, "a b");
	memcpy(gdt, low + BZIMAGE_GDT, sizeof(gdt));
	assert_int_equal(gdt[BZIMAGE_CS / 8], 0x00cf9b000000ffffull);
	assert_int_equal(gdt[BZIMAGE_DS / 8], 0x00cf93000000ffffull);
}

static void test_the_longest_command_line(void **state)
{
	static char line[2049];
	struct bzimage img;
	struct bzimage_plan plan = { 0 };
	struct memmap_ram ram = memmap_split(64 * MIB);

	(void)state;
	parse(&img);
	memset(line, 'x', 2048);
	assert_int_equal(bzimage_write_params(&img, &plan, &ram, line, 0, low), -E2BIG);
	line[2047] = 0;
	assert_int_equal(bzimage_write_params(&img, &plan, &ram, line, 0, low), 0);
}

static void test_e820(void **state)
{
	static const uint64_t sizes[] = { 4, 512, 3071, 3072, 3073, 8192, 1000000 };
	struct boot_e820_entry e[MEMMAP_E820_MAX];
	struct memmap_range r[MEMMAP_RANGES_MAX];
	struct memmap_ram ram;
	unsigned int i, k, n, ranges;
	uint64_t usable, end;
	bool backed;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ram = memmap_split(sizes[i] * MIB);
		assert_int_equal(ram.low + ram.high, sizes[i] * MIB);
		n = memmap_e820(&ram, e);
		ranges = memmap_ranges(&ram, r);
		assert_in_range(n, 1, MEMMAP_E820_MAX);
		usable = end = 0;
		for (k = 0; k < n; k++) {
			assert_true(e[k].addr >= end); /* sorted, disjoint */
			end = e[k].addr + e[k].size;
			if (e[k].type != 1)
				continue;
			usable += e[k].size;
			backed = false;
			for (unsigned int j = 0; j < ranges; j++)
				backed |= e[k].addr >= r[j].start && end <= r[j].start + r[j].size;
			assert_true(backed);
			assert_true(end <= MEMMAP_PCI_HOLE || e[k].addr >= MEMMAP_4G);
		}
		/* All but the legacy area below 1 MiB. */
		assert_int_equal(usable, sizes[i] * MIB - MIB + MEMMAP_EBDA);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_parse, make_image),
		cmocka_unit_test_setup(test_setup_sects_of_0_means_4, make_image),
		cmocka_unit_test_setup(test_what_is_no_kernel, make_image),
		cmocka_unit_test_setup(test_every_truncation, make_image),
		cmocka_unit_test_setup(test_fields_beyond_the_header_are_zero, make_image),
		cmocka_unit_test_setup(test_plan, make_image),
		cmocka_unit_test_setup(test_too_little_memory_says_how_much, make_image),
		cmocka_unit_test_setup(test_an_initrd_that_never_fits, make_image),
		cmocka_unit_test_setup(test_params, make_image),
		cmocka_unit_test_setup(test_the_longest_command_line, make_image),
		cmocka_unit_test(test_e820),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
