// SPDX-License-Identifier: GPL-2.0-only
#include "worker/firmware.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/diag.h"
#include "worker/file.h"

/*
 * Images that have a name; the package that brings one is called the same.
 *
 * Of Debian's SeaBIOS images it is the one of 128 KiB: a child has no system management mode, which the one of 256 KiB is
 * built for, and nothing that this board has is missing in it. Of OVMF it is the one that has code and variables in one,
 * also without system management: it finds that it is in read-only memory and keeps its variables elsewhere.
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

void firmware_free(struct firmware *fw)
{
	free(fw->image);
	fw->image = NULL;
}
