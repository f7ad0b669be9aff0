// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "include/plinth/uapi.h"
#include "worker/cmd.h"
#include "worker/ctl.h"
#include "worker/diag.h"

static const char help[] =
	"usage: plinth log\n\n"
	"Prints the hypervisor's log: the last 64 KiB since the launch, also after a retire.\n";

static int log_refused(int error)
{
	if (error == EPERM)
		diag_error("cannot read the log: only root may do that");
	else if (error == ENXIO)
		diag_error("there is no log: nothing has been launched yet; run 'plinth launch' "
			   "first");
	else
		diag_error("cannot read the log: %s", strerror(error));
	return -error;
}

static int log_print(int fd)
{
	char buf[4096];
	struct plinth_log log = { 0 };

	for (;;) {
		log.buffer = (uintptr_t)buf;
		log.size = sizeof(buf);
		if (ioctl(fd, PLINTH_READ_LOG, &log))
			return log_refused(errno);
		if (!log.size || fwrite(buf, 1, log.size, stdout) != log.size)
			return 0; /* main() looks whether all was written */
	}
}

int cmd_log(int argc, char **argv)
{
	int fd, ret;

	ret = cmd_parse_plain(argc, argv, help, NULL);
	if (ret)
		return ret < 0 ? CMD_ERROR : CMD_OK;
	fd = ctl_open(false);
	if (fd < 0)
		return CMD_ERROR;
	ret = log_print(fd);
	close(fd);
	return ret ? CMD_ERROR : CMD_OK;
}
