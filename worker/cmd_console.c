// SPDX-License-Identifier: GPL-2.0-only
/* plinth console: attaches to the console of a machine that runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "worker/cmd.h"
#include "worker/control.h"
#include "worker/diag.h"
#include "worker/escape.h"

static const char help[] =
	"usage: plinth console NAME\n\n"
	"Attaches this terminal to the serial console of a machine that runs.\n"
	"Ctrl-a d detaches, Ctrl-a a sends a Ctrl-a, Ctrl-a ? lists these. Ends with the\n"
	"machine, too; the end of the input, if it is no terminal, does not end it.\n\n"
	"  --help  this text\n";

static struct termios console_found;
static volatile sig_atomic_t console_is_raw;

static void attach_restore(void)
{
	if (console_is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &console_found);
	console_is_raw = false;
	diag_set_raw(false);
}

/* Whoever ends us shall not leave a raw terminal behind. */
static void attach_signal(int sig)
{
	attach_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void attach_make_raw(void)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &console_found))
		return;
	raw = console_found;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw))
		return;
	console_is_raw = true;
	diag_set_raw(true);
	atexit(attach_restore);
	signal(SIGTERM, attach_signal);
	signal(SIGHUP, attach_signal);
	signal(SIGINT, attach_signal);
}

static int attach_write(const uint8_t *buf, size_t len)
{
	ssize_t n;

	for (; len; buf += n, len -= n) {
		n = write(STDOUT_FILENO, buf, len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0)
			n = 0;
	}
	return 0;
}

/* Passes input on. Returns 1 to go on, 0 at the end of the input, -1 to detach. */
static int attach_input(int fd, struct escape *escape)
{
	uint8_t buf[CONTROL_DATA_MAX];
	unsigned int requests;
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
	size_t len = n;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n <= 0)
		return console_is_raw ? -1 : 0;
	requests = escape_filter(escape, buf, &len);
	if (len && control_send(fd, CONTROL_DATA, buf, len))
		return -1;
	if (requests & ESCAPE_HELP)
		diag_note("plinth: Ctrl-a d detaches, Ctrl-a a sends a Ctrl-a");
	return requests & (ESCAPE_DETACH | ESCAPE_QUIT) ? -1 : 1;
}

/* Until one of both sides has enough. Returns 0 or a negative errno of the output. */
static int attach_loop(int fd)
{
	static uint8_t payload[CONTROL_PAYLOAD_MAX + 1];
	struct pollfd pfd[2] = { { .fd = fd, .events = POLLIN },
				 { .fd = STDIN_FILENO, .events = POLLIN } };
	struct escape escape = { 0 };
	size_t length;
	int ret;

	for (;;) {
		if (poll(pfd, 2, -1) < 0)
			continue;
		if (pfd[0].revents) {
			ret = control_receive(fd, payload, &length);
			if (ret != CONTROL_DATA)
				return 0; /* the machine has ended */
			ret = attach_write(payload, length);
			if (ret)
				return ret;
		}
		if (!pfd[1].revents)
			continue;
		ret = attach_input(fd, &escape);
		if (ret < 0)
			return 0;
		if (ret == 0)
			pfd[1].fd = -1;
	}
}

static int attach(const char *name)
{
	static uint8_t payload[CONTROL_PAYLOAD_MAX + 1];
	int fd = control_connect_or_say(name), ret;
	size_t length;

	if (fd < 0)
		return CMD_ERROR;
	ret = control_send(fd, CONTROL_ATTACH, NULL, 0);
	if (!ret)
		ret = control_receive(fd, payload, &length);
	if (ret != CONTROL_OK) {
		diag_error("the machine '%s' does not let us attach", name);
		close(fd);
		return CMD_ERROR;
	}
	attach_make_raw();
	if (console_is_raw)
		diag_note("plinth: attached to %s; Ctrl-a d detaches", name);
	ret = attach_loop(fd);
	attach_restore();
	close(fd);
	if (ret)
		diag_error("cannot write to standard output: %s", strerror(-ret));
	return ret ? CMD_ERROR : CMD_OK;
}

int cmd_console(int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(help, stdout);
		return CMD_OK;
	}
	if (argc < 2) {
		diag_error("console: which machine? Give its name: see 'plinth ps'");
		return CMD_ERROR;
	}
	if (argc > 2 || argv[1][0] == '-')
		return cmd_bad_usage("console", argv[argc > 2 ? 2 : 1]);
	return attach(argv[1]);
}
