// SPDX-License-Identifier: GPL-2.0-only
/* Firmware images, and the file that the variables of one are kept in. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "worker/firmware.h"

#define IMAGE_SIZE (128u << 10)
#define VARS_SIZE  (16u << 10)

static const uint8_t nv_guid[16] = { 0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
				     0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50 };
static char folder[] = "/tmp/plinth-firmware-XXXXXX";
static char image[64], vars[64];

static void make(const char *path, size_t size, uint64_t volume)
{
	FILE *f = fopen(path, "w");
	uint8_t byte;

	assert_non_null(f);
	for (size_t i = 0; i < size; i++) {
		byte = (uint8_t)(i * 5 + i / 256);
		if (volume && i >= 16 && i < 32)
			byte = nv_guid[i - 16];
		if (volume && i >= 32 && i < 40)
			byte = (uint8_t)(volume >> 8 * (i - 32));
		fputc(byte, f);
	}
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(image, sizeof(image), "%s/image", folder);
	snprintf(vars, sizeof(vars), "%s/vars", folder);
	make(image, IMAGE_SIZE, VARS_SIZE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(image);
	unlink(vars);
	return rmdir(folder);
}

static void load(struct firmware *fw)
{
	assert_int_equal(firmware_load(fw, image), 0);
	assert_int_equal(fw->size, IMAGE_SIZE);
	assert_null(fw->vars);
}

static long file_size(void)
{
	struct stat st;

	return stat(vars, &st) ? -1 : (long)st.st_size;
}

static void images(void **state)
{
	struct firmware fw;

	(void)state;
	load(&fw);
	firmware_free(&fw);
	make(image, IMAGE_SIZE + 512, 0);
	assert_int_equal(firmware_load(&fw, image), -EINVAL);
	make(image, 0, 0);
	assert_int_equal(firmware_load(&fw, image), -EINVAL);
	assert_int_equal(firmware_load(&fw, "./no-such-file"), -ENOENT);
	assert_int_equal(firmware_load(&fw, "no-such-name"), -EINVAL);
}

/* Made of the image, and found again with what was written; nobody else's meanwhile. */
static void kept(void **state)
{
	struct firmware fw, other;

	(void)state;
	load(&fw);
	load(&other);
	assert_int_equal(firmware_open_vars(&fw, vars), 0);
	assert_int_equal(fw.vars_size, VARS_SIZE);
	assert_memory_equal(fw.vars, fw.image, VARS_SIZE);
	assert_int_equal(file_size(), VARS_SIZE);
	assert_int_equal(firmware_open_vars(&other, vars), -EBUSY);
	assert_null(other.vars);
	memset(fw.vars + 0x1234, 0x77, 0x100);
	firmware_keep_vars(&fw, 0x1234, 0x100);
	memset(fw.vars + 0x2000, 0x11, 0x100); /* nobody says so */
	firmware_free(&fw);
	assert_null(fw.vars);
	assert_int_equal(firmware_open_vars(&other, vars), 0);
	memset(other.image + 0x1234, 0x77, 0x100);
	assert_memory_equal(other.vars, other.image, VARS_SIZE);
	firmware_free(&other);
}

static void refused(void **state)
{
	static const uint64_t volumes[] = {
		0, VARS_SIZE + 1, IMAGE_SIZE, IMAGE_SIZE + 4096, UINT64_MAX - 4095,
	};
	struct firmware fw;

	(void)state;
	/* Images without variables, or with a header that cannot be true. */
	for (unsigned int i = 0; i < sizeof(volumes) / sizeof(volumes[0]); i++) {
		make(image, IMAGE_SIZE, volumes[i]);
		load(&fw);
		assert_int_equal(firmware_open_vars(&fw, vars), -EINVAL);
		assert_int_equal(file_size(), -1);
		firmware_free(&fw);
	}
	/* Files of something else: of another size, or with other contents. They stay as they are. */
	make(image, IMAGE_SIZE, VARS_SIZE);
	load(&fw);
	make(vars, VARS_SIZE - 4096, VARS_SIZE);
	assert_int_equal(firmware_open_vars(&fw, vars), -EINVAL);
	make(vars, VARS_SIZE, 0);
	assert_int_equal(firmware_open_vars(&fw, vars), -EINVAL);
	make(vars, VARS_SIZE, VARS_SIZE - 4096);
	assert_int_equal(firmware_open_vars(&fw, vars), -EINVAL);
	assert_int_equal(file_size(), VARS_SIZE);
	make(vars, VARS_SIZE, VARS_SIZE);
	assert_int_equal(firmware_open_vars(&fw, vars), 0);
	firmware_free(&fw);
	load(&fw);
	assert_int_equal(firmware_open_vars(&fw, "/dev/full"), -EINVAL);
	assert_int_equal(firmware_open_vars(&fw, folder), -EISDIR);
	firmware_free(&fw);
}

/* What could not be kept is said once, and the guest goes on. */
static void full(void **state)
{
	struct firmware fw;
	int fd;

	(void)state;
	load(&fw);
	assert_int_equal(firmware_open_vars(&fw, vars), 0);
	fd = open("/dev/full", O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, fw.vars_fd), fw.vars_fd);
	close(fd);
	firmware_keep_vars(&fw, 0, 16);
	assert_true(fw.vars_failed);
	firmware_keep_vars(&fw, 16, 16);
	firmware_free(&fw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(images, setup, teardown),
		cmocka_unit_test_setup_teardown(kept, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
