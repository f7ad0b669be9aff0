// SPDX-License-Identifier: GPL-2.0-only
/* What a guest starts from: firmware, or a kernel and its initrd. */
#include "worker/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/diag.h"
#include "worker/file.h"

#define RUN_IMAGE_MAX (2ull << 30)

static int run_check_memory(const struct run *r)
{
	struct memmap_ram ram = memmap_split(r->opt.memory);
	struct bzimage_plan plan;
	uint64_t needed;
	int ret;

	ret = bzimage_plan(&r->img.kernel, &ram, r->img.initrd_size, &plan, &needed);
	if (ret == -ENOMEM)
		diag_error("%llu MiB are too little memory for this kernel%s: give --memory %lluM "
			   "or more",
			   (unsigned long long)r->opt.memory >> 20,
			   r->img.initrd_size ? " and its initrd" : "",
			   (unsigned long long)(needed + 0xfffff) >> 20);
	else if (ret)
		diag_error("the initrd %s is too large for this kernel (%zu MiB)", r->opt.initrd,
			   r->img.initrd_size >> 20);
	return ret;
}

static const char *run_append(const struct run *r)
{
	return r->opt.append ? r->opt.append : RUN_APPEND;
}

static int run_check_append(const struct run *r)
{
	size_t len = strlen(run_append(r));

	if (len <= r->img.kernel.cmdline_max)
		return 0;
	diag_error("--append has %zu characters: this kernel takes %u", len,
		   r->img.kernel.cmdline_max);
	return -E2BIG;
}

static int run_load_kernel(struct run *r)
{
	struct run_images *img = &r->img;
	const char *why;
	int ret;

	ret = file_read(r->opt.kernel, "kernel", RUN_IMAGE_MAX, &img->kernel_file,
			&img->kernel_size);
	if (ret)
		return ret;
	ret = bzimage_parse(&img->kernel, img->kernel_file, img->kernel_size, &why);
	if (ret) {
		diag_error("%s is not a kernel image that can be booted: %s; give a bzImage, such "
			   "as /boot/vmlinuz-*",
			   r->opt.kernel, why);
		return ret;
	}
	if (r->opt.initrd)
		ret = file_read(r->opt.initrd, "initrd", RUN_IMAGE_MAX, &img->initrd,
				&img->initrd_size);
	if (!ret)
		ret = run_check_append(r);
	if (!ret)
		ret = run_check_memory(r);
	return ret;
}

static int run_load_firmware(struct run *r)
{
	struct run_images *img = &r->img;
	int ret;

	ret = firmware_load(&img->firmware, r->opt.firmware);
	if (!ret && r->opt.firmware_vars)
		ret = firmware_open_vars(&img->firmware, r->opt.firmware_vars);
	if (ret || !r->opt.firmware_log)
		return ret;
	img->firmware_log = fopen(r->opt.firmware_log, "we");
	if (img->firmware_log) {
		setvbuf(img->firmware_log, NULL, _IOLBF, BUFSIZ);
		return 0;
	}
	ret = -errno;
	diag_error("cannot write the firmware's log to %s: %s", r->opt.firmware_log,
		   strerror(-ret));
	return ret;
}

int run_load_images(struct run *r)
{
	return r->opt.firmware ? run_load_firmware(r) : run_load_kernel(r);
}

static void run_free_kernel(struct run_images *img)
{
	free(img->kernel_file);
	free(img->initrd);
	img->kernel_file = img->initrd = NULL;
}

void run_free_images(struct run_images *img)
{
	if (img->firmware_log)
		fclose(img->firmware_log);
	firmware_free(&img->firmware);
	run_free_kernel(img);
}

/* Puts the guest where its bootstrap processor starts. Everything has been checked before. */
int run_place_images(struct run *r)
{
	struct run_images *img = &r->img;
	struct machine *m = &r->machine;
	uint8_t *low = vm_memory(&m->vm, 0, BZIMAGE_LOW_END);
	uint8_t *kernel, *initrd;
	uint64_t needed;
	int ret;

	ret = bzimage_plan(&img->kernel, &m->vm.ram, img->initrd_size, &img->plan, &needed);
	if (ret)
		return ret;
	kernel = vm_memory(&m->vm, img->kernel.load_addr, img->kernel.payload_size);
	initrd = vm_memory(&m->vm, img->plan.initrd_addr, img->plan.initrd_size);
	if (!low || !kernel || !initrd)
		return -EFAULT; /* the plan is inside the memory */
	memcpy(kernel, img->kernel.payload, img->kernel.payload_size);
	if (img->plan.initrd_size)
		memcpy(initrd, img->initrd, img->plan.initrd_size);
	ret = bzimage_write_params(&img->kernel, &img->plan, &m->vm.ram, run_append(r), MEMMAP_ACPI,
				   low);
	if (ret)
		return ret;
	if (!r->opt.reboot) /* There is no further start: the guest's memory has the only copy. */
		run_free_kernel(img);
	return vcpu_set_entry(&m->vcpu[0], img->kernel.load_addr);
}
