// SPDX-License-Identifier: GPL-2.0-only
/* plinth stats: what a machine has done so far. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/cmd.h"
#include "worker/control.h"
#include "worker/diag.h"
#include "worker/json.h"

#define STATS_PERIOD_MS 1000

static const char help[] = "usage: plinth stats [--json] [--watch] NAME\n\n"
			   "Prints how often a machine's processors came back from the hypervisor, "
			   "by kind, and what was\n"
			   "asked of each disk and network adapter: requests, bytes, times.\n\n"
			   "  --json   as one JSON object\n"
			   "  --watch  again each second, until the machine ends\n"
			   "  --help   this text\n";

struct stats {
	const char *name;
	bool json, watch, help;
};

static int stats_parse(struct stats *s, int argc, char **argv)
{
	int i;

	*s = (struct stats){ 0 };
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			s->help = true;
			return 0;
		}
		if (strcmp(argv[i], "--json") == 0) {
			s->json = true;
		} else if (strcmp(argv[i], "--watch") == 0) {
			s->watch = true;
		} else if (argv[i][0] == '-' || s->name) {
			cmd_bad_usage("stats", argv[i]);
			return -EINVAL;
		} else {
			s->name = argv[i];
		}
	}
	if (s->name)
		return 0;
	diag_error("stats: which machine? Give its name: see 'plinth ps'");
	return -EINVAL;
}

/*
 * Prints once. Returns 0, or a negative errno after having said why, but for one of the output; 1 if the machine has ended, of
 * which something has been printed (@again).
 */
static int stats_print(const struct stats *s, int fd, bool again)
{
	char *text;
	int ret = control_ask(fd, CONTROL_STATS, &text);

	if (ret)
		return ret == -EPIPE && again ? 1 : control_explain(s->name, ret);
	if (again && !s->json)
		fputs(isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n", stdout);
	if (s->json)
		puts(text);
	else if (json_print(stdout, text))
		ret = control_explain(s->name, -EPROTO);
	free(text);
	/* What cannot be written is said when the program ends (main.c): not to be watched on. */
	return fflush(stdout) && !ret ? -EIO : ret;
}

static int stats(const struct stats *s)
{
	int fd = control_connect_or_say(s->name), ret;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return CMD_ERROR;
	ret = stats_print(s, fd, false);
	/* Nothing is said without being asked: what can be read is the end. */
	while (!ret && s->watch && poll(&pfd, 1, STATS_PERIOD_MS) == 0)
		ret = stats_print(s, fd, true);
	close(fd);
	return ret < 0 ? CMD_ERROR : CMD_OK;
}

int cmd_stats(int argc, char **argv)
{
	struct stats s;

	if (stats_parse(&s, argc, argv))
		return CMD_ERROR;
	if (!s.help)
		return stats(&s);
	fputs(help, stdout);
	return CMD_OK;
}
