// SPDX-License-Identifier: GPL-2.0-only
/* plinth(8): launch a hypervisor under the running system, run machines on it, take it away. */
#include <stdio.h>
#include <string.h>

#include "worker/cmd.h"
#include "worker/diag.h"

static const struct cmd commands[] = {
	{ "launch", "launch the hypervisor under the running system", cmd_launch },
	{ "retire", "give the system its bare machine back", cmd_retire },
	{ "status", "what runs, and what has been counted", cmd_status },
	{ "log", "the hypervisor's own log", cmd_log },
	{ "run", "run a virtual machine", cmd_run },
	{ "ps", "the machines that run", cmd_ps },
	{ "stop", "press a machine's power button", cmd_stop },
	{ "console", "attach to a machine's console", cmd_console },
	{ "stats", "what a machine's processors, disks and networks have done", cmd_stats },
	{ "version", "the program's version", cmd_version },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void main_help(void)
{
	size_t i;

	printf("usage: plinth COMMAND [OPTION...]\n\n");
	for (i = 0; i < COMMANDS; i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].summary);
	printf("\n'plinth COMMAND --help' explains a command; plinth(8) has it all.\n");
}

static const struct cmd *main_find(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

int cmd_bad_usage(const char *command, const char *argument)
{
	diag_error("%s: '%s' is not understood: see 'plinth %s --help'", command, argument,
		   command);
	return CMD_ERROR;
}

int cmd_parse_plain(int argc, char **argv, const char *help, bool *json)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(help, stdout);
			return 1;
		}
		if (json && strcmp(argv[i], "--json") == 0) {
			*json = true;
			continue;
		}
		cmd_bad_usage(argv[0], argv[i]);
		return -1;
	}
	return 0;
}

/* What a command has printed is written out only now: a full disk or a reader that went away is an error, too. */
static int main_end(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	diag_error("cannot write all to standard output: its disk is full, or its reader has gone");
	return status == CMD_OK ? CMD_ERROR : status;
}

int main(int argc, char **argv)
{
	const struct cmd *cmd;

	if (argc < 2) {
		diag_error("no command given: see 'plinth --help'");
		return CMD_ERROR;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		main_help();
		return main_end(CMD_OK);
	}
	if (strcmp(argv[1], "--version") == 0)
		return main_end(cmd_version(1, argv + 1));
	cmd = main_find(argv[1]);
	if (!cmd) {
		diag_error("there is no command '%s': see 'plinth --help'", argv[1]);
		return CMD_ERROR;
	}
	return main_end(cmd->main(argc - 1, argv + 1));
}
