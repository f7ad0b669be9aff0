// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "worker/cmd.h"

static const char help[] = "usage: plinth version\n\n"
			   "Prints the version of this program.\n";

int cmd_version(int argc, char **argv)
{
	int ret = cmd_parse_plain(argc, argv, help, NULL);

	if (ret)
		return ret < 0 ? CMD_ERROR : CMD_OK;
	printf("plinth %s\n", PLINTH_VERSION);
	return CMD_OK;
}
