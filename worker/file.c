// SPDX-License-Identifier: GPL-2.0-only
#include "worker/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/diag.h"

#define FILE_CHUNK (1u << 20)

/* The size to begin with: exact for files, a guess for pipes. One more byte shows the end. */
static size_t file_size_hint(int fd, size_t max)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < 0)
		return FILE_CHUNK;
	return (uint64_t)st.st_size < max ? (size_t)st.st_size + 1 : max + 1;
}

static int file_slurp(int fd, size_t max, uint8_t **data, size_t *size)
{
	size_t space = file_size_hint(fd, max), len = 0;
	uint8_t *buf = NULL, *grown;
	ssize_t n;

	for (;;) {
		grown = realloc(buf, space);
		if (!grown) {
			free(buf);
			return -ENOMEM;
		}
		buf = grown;
		while (len < space) {
			n = read(fd, buf + len, space - len);
			if (n > 0) {
				len += n;
			} else if (n == 0) {
				*data = buf;
				*size = len;
				return 0;
			} else if (errno != EINTR) {
				n = -errno;
				free(buf);
				return n;
			}
		}
		if (len > max) {
			free(buf);
			return -EFBIG;
		}
		space = space * 2 < max + 1 ? space * 2 : max + 1;
	}
}

int file_read(const char *path, const char *what, size_t max, uint8_t **data, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0) {
		ret = -errno;
	} else {
		ret = file_slurp(fd, max, data, size);
		close(fd);
	}
	if (ret)
		diag_error("cannot read the %s %s: %s", what, path, strerror(-ret));
	return ret;
}
