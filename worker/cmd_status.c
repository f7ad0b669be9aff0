// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/cmd.h"
#include "worker/ctl.h"
#include "worker/diag.h"
#include "worker/json.h"

static const char help[] =
	"usage: plinth status [--json]\n\n"
	"Says whether the hypervisor is launched, what it was given, what it withholds, which\n"
	"virtual machines there are, and what has been counted.\n\n"
	"  --json  the same as JSON\n";

/* The report of a system without the module. */
#define STATUS_NOT_LOADED "{\"launched\": false}\n"

static int status_get(char **report)
{
	int fd = ctl_open(true), ret;

	if (fd == -ENOENT) {
		*report = strdup(STATUS_NOT_LOADED);
		return *report ? 0 : -ENOMEM;
	}
	if (fd < 0)
		return fd;
	ret = ctl_report(fd, report);
	close(fd);
	if (ret)
		diag_error("cannot read the status: %s", strerror(-ret));
	return ret;
}

int cmd_status(int argc, char **argv)
{
	bool json = false;
	char *report;
	int ret;

	ret = cmd_parse_plain(argc, argv, help, &json);
	if (ret)
		return ret < 0 ? CMD_ERROR : CMD_OK;
	if (status_get(&report))
		return CMD_ERROR;
	if (json) {
		fputs(report, stdout);
	} else if (json_print(stdout, report)) {
		diag_error("the module's report is not understood: use 'plinth status --json'");
		ret = -EINVAL;
	}
	free(report);
	return ret ? CMD_ERROR : CMD_OK;
}
