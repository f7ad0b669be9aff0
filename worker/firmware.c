// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "worker/firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/diag.h"
#include "worker/file.h"

/*
 * Images that have a name; the package that brings one is called the same.
 *
 * Of Debian's SeaBIOS images it is the one of 128 KiB: a child has no system management mode, which the one of 256 KiB is
 * built for, and nothing that this board has is missing in it. Of OVMF it is the one that has code and variables in one,
 * also without system management: unless its variables are kept it finds that it is in read-only memory and has them
 * elsewhere.
 */
static const struct {
	const char *name;
	const char *path;
} firmware_named[] = {
	{ "seabios", "/usr/share/seabios/bios.bin" },
	{ "ovmf", "/usr/share/ovmf/OVMF.fd" },
};

#define FIRMWARE_UNIT (64u << 10)
#define FIRMWARE_MAX  (16u << 20)
#define FIRMWARE_PAGE 4096u

static const char *firmware_find(const char *name)
{
	if (strchr(name, '/'))
		return name;
	for (size_t i = 0; i < sizeof(firmware_named) / sizeof(firmware_named[0]); i++) {
		if (strcmp(firmware_named[i].name, name) == 0)
			return firmware_named[i].path;
	}
	return NULL;
}

int firmware_load(struct firmware *fw, const char *name)
{
	int ret;

	*fw = (struct firmware){ .path = firmware_find(name) };
	if (!fw->path) {
		diag_error("there is no firmware called '%s': give seabios, ovmf or a path with a "
			   "'/'",
			   name);
		return -EINVAL;
	}
	ret = file_read(fw->path, "firmware", FIRMWARE_MAX, &fw->image, &fw->size);
	if (ret == -ENOENT && fw->path != name)
		diag_note("  the package %s has it", name);
	if (ret)
		return ret;
	if (fw->size && fw->size % FIRMWARE_UNIT == 0)
		return 0;
	diag_error("%s is no firmware image: its size is not a multiple of 64 KiB", fw->path);
	firmware_free(fw);
	return -EINVAL;
}

/* ------------------------------------------------------------------ variables */

/* Header of a firmware volume (UEFI Platform Initialization 1.7, volume 3, 3.2.1) */
#define VOLUME_GUID   16
#define VOLUME_LENGTH 32 /* 64 bits */
#define VOLUME_HEADER 56

/* Size of the volume with variables that @data of @size bytes begins with; 0 if there is none. */
static size_t firmware_find_vars(const uint8_t *data, size_t size)
{
	/* EFI_SYSTEM_NV_DATA_FV_GUID */
	static const uint8_t guid[16] = { 0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
					  0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50 };
	uint64_t len;

	if (size < VOLUME_HEADER || memcmp(data + VOLUME_GUID, guid, sizeof(guid)) != 0)
		return 0;
	memcpy(&len, data + VOLUME_LENGTH, sizeof(len));
	return len <= size && len % FIRMWARE_PAGE == 0 ? len : 0;
}

static bool firmware_is_whole(ssize_t n, size_t size)
{
	if (n >= 0 && (size_t)n < size)
		errno = ENOSPC;
	return n >= 0 && (size_t)n == size;
}

/* A file that is new gets what the image has, or stays empty. */
static int firmware_make_vars(struct firmware *fw)
{
	int ret;

	memcpy(fw->vars, fw->image, fw->vars_size);
	if (firmware_is_whole(pwrite(fw->vars_fd, fw->vars, fw->vars_size, 0), fw->vars_size))
		return 0;
	ret = -errno;
	return ftruncate(fw->vars_fd, 0) ? -errno : ret;
}

/* The file and what is in it. Returns a negative errno, unsaid; -EINVAL if it is another kind of file. */
static int firmware_read_vars(struct firmware *fw)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;

	fw->vars_fd = open(fw->vars_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	if (fw->vars_fd < 0)
		return -errno;
	if (fcntl(fw->vars_fd, F_OFD_SETLK, &lock))
		return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	if (fstat(fw->vars_fd, &st))
		return -errno;
	if (!st.st_size && S_ISREG(st.st_mode))
		return firmware_make_vars(fw);
	if ((size_t)st.st_size != fw->vars_size)
		return -EINVAL;
	if (!firmware_is_whole(pread(fw->vars_fd, fw->vars, fw->vars_size, 0), fw->vars_size))
		return -errno;
	return firmware_find_vars(fw->vars, fw->vars_size) == fw->vars_size ? 0 : -EINVAL;
}

static void firmware_explain_vars(const struct firmware *fw, int error)
{
	if (error == EINVAL)
		diag_error("%s has not been made for the variables of %s: name another file",
			   fw->vars_path, fw->path);
	else if (error == EBUSY)
		diag_error("the variables %s are in use: end the other machine, or name another "
			   "file",
			   fw->vars_path);
	else
		diag_error("cannot keep the firmware's variables in %s: %s", fw->vars_path,
			   strerror(error));
}

static void firmware_close_vars(struct firmware *fw)
{
	if (!fw->vars)
		return;
	munmap(fw->vars, fw->vars_size);
	fw->vars = NULL;
	if (fw->vars_fd >= 0)
		close(fw->vars_fd);
}

int firmware_open_vars(struct firmware *fw, const char *path)
{
	int ret;

	fw->vars_size = firmware_find_vars(fw->image, fw->size);
	if (!fw->vars_size || fw->vars_size == fw->size) {
		diag_error("%s has no variables to be kept: leave out --firmware-vars", fw->path);
		return -EINVAL;
	}
	fw->vars_path = path;
	fw->vars_fd = -1;
	fw->vars = mmap(NULL, fw->vars_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	if (fw->vars == MAP_FAILED) {
		fw->vars = NULL;
		ret = -ENOMEM;
	} else {
		ret = firmware_read_vars(fw);
	}
	if (!ret)
		return 0;
	firmware_explain_vars(fw, -ret);
	firmware_close_vars(fw);
	return ret;
}

static void firmware_vars_failed(struct firmware *fw)
{
	if (!fw->vars_failed)
		firmware_explain_vars(fw, errno);
	fw->vars_failed = true;
}

void firmware_keep_vars(struct firmware *fw, size_t off, size_t len)
{
	if (!firmware_is_whole(pwrite(fw->vars_fd, fw->vars + off, len, off), len))
		firmware_vars_failed(fw);
}

void firmware_free(struct firmware *fw)
{
	if (fw->vars && fdatasync(fw->vars_fd))
		firmware_vars_failed(fw);
	firmware_close_vars(fw);
	free(fw->image);
	fw->image = NULL;
}
