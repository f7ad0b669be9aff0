/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sub-commands of plinth(8), one file each. A command gets argv with its own name as argv[0] and
 * returns the exit status of the program.
 */
#ifndef WORKER_CMD_H
#define WORKER_CMD_H

#include <stdbool.h>

#define PLINTH_VERSION "0.1"

/* Exit statuses; plinth(8) documents them. */
enum cmd_status {
	CMD_OK = 0,	  /* done; of run: the guest powered itself off */
	CMD_ERROR = 1,	  /* an error, said in one line on standard error */
	CMD_RESET = 10,	  /* run: the guest reset itself */
	CMD_CRASH = 11,	  /* run: a processor of the guest could not go on */
	CMD_STOPPED = 12, /* run: stopped from outside, by the escape or a signal */
};

struct cmd {
	const char *name;
	const char *summary; /* one line for the list of commands */
	int (*main)(int argc, char **argv);
};

int cmd_launch(int argc, char **argv);
int cmd_retire(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_stats(int argc, char **argv);

/*
 * For commands that know no option but --help and --json: parses argv; json may be NULL. Prints
 * help and returns 1 when it was asked for, 0 to go on, or -1 after an error line.
 */
int cmd_parse_plain(int argc, char **argv, const char *help, bool *json);

/* Says that an argument is not understood, and where help is; returns CMD_ERROR. */
int cmd_bad_usage(const char *command, const char *argument);

#endif
