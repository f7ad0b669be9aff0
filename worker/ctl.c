// SPDX-License-Identifier: GPL-2.0-only
#include "worker/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "include/plinth/uapi.h"
#include "worker/diag.h"
#include "worker/json.h"

#define REPORT_GUESS 16384
#define REPORT_MAX   (16u << 20)

int ctl_open(bool quiet)
{
	int fd = open(PLINTH_DEVICE, O_RDWR | O_CLOEXEC), error;

	if (fd >= 0)
		return fd;
	error = errno;
	if (error == ENOENT || error == ENXIO || error == ENODEV) {
		if (!quiet)
			diag_error("not launched: run 'plinth launch' first");
		return -ENOENT;
	}
	if (error == EACCES || error == EPERM)
		diag_error("no permission to open %s: be root, or join the group that owns it",
			   PLINTH_DEVICE);
	else
		diag_error("cannot open %s: %s", PLINTH_DEVICE, strerror(error));
	return -error;
}

int ctl_request(int fd, unsigned long request, const char *what)
{
	struct plinth_error reason = { { 0 } };
	int error;

	if (ioctl(fd, request) == 0)
		return 0;
	error = errno;
	if (ioctl(fd, PLINTH_GET_ERROR, &reason) == 0 && reason.text[0])
		diag_error("cannot %s: %.*s", what, (int)sizeof(reason.text), reason.text);
	else if (error == EPERM)
		diag_error("cannot %s: only root may do that", what);
	else
		diag_error("cannot %s: %s", what, strerror(error));
	return -error;
}

int ctl_report(int fd, char **text)
{
	struct plinth_report report;
	uint32_t size = REPORT_GUESS;
	char *buf = NULL, *grown;
	int error;

	/* It may grow between two calls. */
	for (; size <= REPORT_MAX; size = report.size > size ? report.size : size * 2) {
		grown = realloc(buf, (size_t)size + 1);
		if (!grown) {
			free(buf);
			return -ENOMEM;
		}
		buf = grown;
		report = (struct plinth_report){ .buffer = (uintptr_t)buf, .size = size };
		if (ioctl(fd, PLINTH_GET_STATUS, &report) == 0) {
			buf[report.size < size ? report.size : size] = 0;
			*text = buf;
			return 0;
		}
		error = errno;
		if (error != ENOSPC) {
			free(buf);
			return -error;
		}
	}
	free(buf);
	return -E2BIG;
}

bool ctl_launched(void)
{
	bool launched = false;
	char *report;
	int fd;

	fd = open(PLINTH_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (ctl_report(fd, &report) == 0) {
		launched = json_member_is_true(report, "launched");
		free(report);
	}
	close(fd);
	return launched;
}
