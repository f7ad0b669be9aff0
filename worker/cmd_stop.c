// SPDX-License-Identifier: GPL-2.0-only
/* plinth stop: ends a machine, by its power button or at once. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/cmd.h"
#include "worker/control.h"
#include "worker/diag.h"
#include "worker/loop.h"
#include "worker/parse.h"

#define STOP_TIMEOUT_S 90

static const char help[] =
	"usage: plinth stop [--force] [--timeout SECONDS] NAME\n\n"
	"Presses the power button of a machine, and waits until it has ended.\n\n"
	"  --force            end it at once, as if its power had failed\n"
	"  --timeout SECONDS  how long to wait (default: 90); 0: do not wait\n"
	"  --help             this text\n";

struct stop {
	const char *name;
	unsigned long timeout;
	bool force;
	bool help;
};

static int stop_parse(struct stop *s, int argc, char **argv)
{
	int i;

	*s = (struct stop){ .timeout = STOP_TIMEOUT_S };
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			s->help = true;
			return 0;
		}
		if (strcmp(argv[i], "--force") == 0) {
			s->force = true;
		} else if (strcmp(argv[i], "--timeout") == 0) {
			if (++i == argc || parse_uint(argv[i], 0, 86400, &s->timeout)) {
				diag_error("stop: --timeout takes seconds, 0 to 86400");
				return -EINVAL;
			}
		} else if (argv[i][0] == '-' || s->name) {
			cmd_bad_usage("stop", argv[i]);
			return -EINVAL;
		} else {
			s->name = argv[i];
		}
	}
	if (s->name)
		return 0;
	diag_error("stop: which machine? Give its name: see 'plinth ps'");
	return -EINVAL;
}

/* The connection ends with the machine. Returns 0 or -ETIMEDOUT. */
static int stop_wait(int fd, unsigned long seconds)
{
	uint64_t until = loop_now() + seconds * 1000000000ull, now;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint8_t byte;

	while ((now = loop_now()) < until) {
		if (poll(&pfd, 1, (until - now) / 1000000 + 1) > 0 && recv(fd, &byte, 1, 0) <= 0)
			return 0;
	}
	return -ETIMEDOUT;
}

static int stop(const struct stop *s)
{
	static uint8_t payload[CONTROL_PAYLOAD_MAX + 1];
	int fd = control_connect_or_say(s->name), ret;
	size_t length;

	if (fd < 0)
		return CMD_ERROR;
	ret = control_send(fd, s->force ? CONTROL_END : CONTROL_BUTTON, NULL, 0);
	if (!ret)
		ret = control_receive(fd, payload, &length);
	if (ret == CONTROL_OK)
		ret = s->timeout ? stop_wait(fd, s->timeout) : 0;
	else if (ret == -EPIPE || ret == -ECONNRESET)
		ret = 0; /* it has ended by itself */
	close(fd);
	if (ret == 0)
		return CMD_OK;
	if (ret == -ETIMEDOUT)
		diag_error("the machine '%s' still runs after %lu s: its system may not heed the "
			   "power button; "
			   "use --force",
			   s->name, s->timeout);
	else
		diag_error("the machine '%s' does not answer: end it with kill", s->name);
	return CMD_ERROR;
}

int cmd_stop(int argc, char **argv)
{
	struct stop s;

	if (stop_parse(&s, argc, argv))
		return CMD_ERROR;
	if (!s.help)
		return stop(&s);
	fputs(help, stdout);
	return CMD_OK;
}
