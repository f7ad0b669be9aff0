// SPDX-License-Identifier: GPL-2.0-only
#include "worker/bzimage.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define SETUP_HEADER_OFF  0x1f1
#define SETUP_JUMP_OFF	  0x200 /* a short jump whose target is the end of the header */
#define SETUP_BOOT_FLAG	  0xaa55
#define SETUP_MAGIC	  0x53726448 /* "HdrS" */
#define SETUP_SECTOR	  512
#define SETUP_SECTS_OLD	  4	 /* what a count of 0 means */
#define SETUP_VERSION_MIN 0x020a /* init_size and pref_address: Linux 2.6.31 */
#define SETUP_LOADER_NONE 0xff	 /* type_of_loader: no number assigned */
#define SETUP_VID_NORMAL  0xffff

#define SYSSIZE_UNIT 16

/* The header ends where its jump goes; what lies beyond is code. */
static size_t setup_header_end(const uint8_t *image)
{
	return SETUP_JUMP_OFF + 2 + image[SETUP_JUMP_OFF + 1];
}

static void setup_copy_header(struct setup_header *hdr, const uint8_t *image)
{
	size_t len = setup_header_end(image) - SETUP_HEADER_OFF;

	if (len > sizeof(*hdr))
		len = sizeof(*hdr);
	memset(hdr, 0, sizeof(*hdr));
	memcpy(hdr, image + SETUP_HEADER_OFF, len);
}

static const char *setup_check(const struct setup_header *hdr)
{
	if (hdr->boot_flag != SETUP_BOOT_FLAG || hdr->header != SETUP_MAGIC)
		return "it has no Linux boot header";
	if (hdr->version < SETUP_VERSION_MIN)
		return "its boot protocol is older than 2.10 (Linux 2.6.31)";
	if (!(hdr->loadflags & LOADED_HIGH))
		return "it is a zImage, not a bzImage";
	return NULL;
}

/* A relocatable kernel runs where it is loaded, or at pref_address if that is higher. */
static const char *setup_place(struct bzimage *img)
{
	uint64_t start = img->hdr.code32_start;
	uint64_t run_size = img->hdr.init_size;

	if (img->hdr.relocatable_kernel)
		start = img->hdr.pref_address;
	if (run_size < img->payload_size)
		run_size = img->payload_size;
	if (start < MEMMAP_HIGH || start > MEMMAP_PCI_HOLE || run_size > MEMMAP_PCI_HOLE - start)
		return "its load address is out of bounds";
	img->load_addr = start;
	img->run_end = start + run_size;
	return NULL;
}

static const char *bzimage_check(struct bzimage *img, const uint8_t *image, size_t size)
{
	size_t setup_size, sects;
	const char *why;

	if (size < SETUP_HEADER_OFF + sizeof(struct setup_header) + 0x100)
		return "it is too short";
	setup_copy_header(&img->hdr, image);
	why = setup_check(&img->hdr);
	if (why)
		return why;
	sects = img->hdr.setup_sects ? img->hdr.setup_sects : SETUP_SECTS_OLD;
	setup_size = (sects + 1) * SETUP_SECTOR;
	/* Not every image has all of its last unit. */
	if (size <= setup_size ||
	    (size - setup_size + SYSSIZE_UNIT - 1) / SYSSIZE_UNIT < img->hdr.syssize)
		return "it is cut short";
	img->payload = image + setup_size;
	img->payload_size = size - setup_size;
	img->cmdline_max = img->hdr.cmdline_size;
	if (img->cmdline_max >= BZIMAGE_CMDLINE_MAX)
		img->cmdline_max = BZIMAGE_CMDLINE_MAX - 1;
	return setup_place(img);
}

int bzimage_parse(struct bzimage *img, const void *data, size_t size, const char **why)
{
	*why = bzimage_check(img, data, size);
	return *why ? -ENOEXEC : 0;
}

static uint64_t page_align(uint64_t v)
{
	return (v + 0xfff) & ~0xfffull;
}

int bzimage_plan(const struct bzimage *img, const struct memmap_ram *ram, uint64_t initrd_size,
		 struct bzimage_plan *plan, uint64_t *needed)
{
	uint64_t end = ram->low, limit = (uint64_t)img->hdr.initrd_addr_max + 1;
	uint64_t kernel_end = page_align(img->run_end);

	*plan = (struct bzimage_plan){ 0 };
	/* The first test keeps the sum of the second from wrapping. */
	if (initrd_size > limit || kernel_end + page_align(initrd_size) > limit)
		return -E2BIG;
	*needed = kernel_end + page_align(initrd_size);
	if (ram->low < *needed)
		return -ENOMEM;
	if (!initrd_size)
		return 0;
	if (end > limit)
		end = limit;
	plan->initrd_addr = (end - initrd_size) & ~0xfffull;
	plan->initrd_size = initrd_size;
	return 0;
}

/* A flat segment of 4 GiB (APM 2, 4.7); type: 0xb code, 0x3 data, both accessed already. */
static uint64_t gdt_flat(uint8_t type)
{
	return 0x00cf90000000ffffull | (uint64_t)type << 40;
}

static void bzimage_write_gdt(uint8_t *gdt)
{
	uint64_t entries[] = { 0, 0, gdt_flat(0xb), gdt_flat(0x3) };

	memcpy(gdt, entries, sizeof(entries));
}

int bzimage_write_params(const struct bzimage *img, const struct bzimage_plan *plan,
			 const struct memmap_ram *ram, const char *cmdline, uint64_t rsdp,
			 uint8_t *low)
{
	struct boot_params bp = { .hdr = img->hdr };
	size_t cmdline_len = strlen(cmdline);

	if (cmdline_len > img->cmdline_max)
		return -E2BIG;
	memcpy(low + BZIMAGE_CMDLINE, cmdline, cmdline_len + 1);
	bp.hdr.type_of_loader = SETUP_LOADER_NONE;
	bp.hdr.vid_mode = SETUP_VID_NORMAL;
	bp.hdr.code32_start = img->load_addr;
	bp.hdr.ramdisk_image = plan->initrd_addr;
	bp.hdr.ramdisk_size = plan->initrd_size;
	bp.hdr.cmd_line_ptr = BZIMAGE_CMDLINE;
	bp.acpi_rsdp_addr = rsdp;
	bp.e820_entries = memmap_e820(ram, bp.e820_table);
	memcpy(low + BZIMAGE_PARAMS, &bp, sizeof(bp));
	bzimage_write_gdt(low + BZIMAGE_GDT);
	return 0;
}
