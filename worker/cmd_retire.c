// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include "include/plinth/uapi.h"
#include "worker/cmd.h"
#include "worker/ctl.h"

static const char help[] =
	"usage: plinth retire\n\n"
	"Takes the hypervisor away from under the running system, which has its bare machine back\n"
	"then. Refused while virtual machines exist.\n";

int cmd_retire(int argc, char **argv)
{
	int fd, ret;

	ret = cmd_parse_plain(argc, argv, help, NULL);
	if (ret)
		return ret < 0 ? CMD_ERROR : CMD_OK;
	fd = ctl_open(false);
	if (fd < 0)
		return CMD_ERROR;
	ret = ctl_request(fd, PLINTH_RETIRE, "retire");
	close(fd);
	return ret ? CMD_ERROR : CMD_OK;
}
