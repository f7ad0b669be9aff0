// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "worker/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "worker/diag.h"

#define CONSOLE_PIECE 4096 /* PIPE_BUF: a pipe that polls writable takes it whole */

/* The terminal's settings are the process's: signal handlers have to find them. */
static struct termios term_found, term_raw;
static volatile sig_atomic_t term_is_raw;
static volatile sig_atomic_t term_known;

static const int term_fatal_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT };

/* A process in the background may not touch the terminal: it would be stopped. */
static bool term_in_foreground(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void console_terminal_restore(void)
{
	if (!term_known || !term_is_raw)
		return;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &term_found);
	term_is_raw = 0;
	diag_set_raw(false);
}

void console_terminal_raw(void)
{
	/* Also when it should be raw already: whoever stopped us may have changed it meanwhile. */
	if (!term_known || !term_in_foreground())
		return;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &term_raw) == 0) {
		term_is_raw = 1;
		diag_set_raw(true);
	}
}

static void term_fatal(int sig)
{
	console_terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static bool term_usable(void)
{
	return isatty(STDIN_FILENO) && term_in_foreground() &&
	       tcgetattr(STDIN_FILENO, &term_found) == 0;
}

static void term_setup(void)
{
	struct sigaction action = { .sa_handler = term_fatal };
	size_t i;

	term_raw = term_found;
	cfmakeraw(&term_raw);
	/* If the output goes elsewhere (a pipe), other programs still write lines to the terminal. */
	if (!isatty(STDOUT_FILENO))
		term_raw.c_oflag |= term_found.c_oflag & OPOST;
	term_known = 1;
	atexit(console_terminal_restore);
	for (i = 0; i < sizeof(term_fatal_signals) / sizeof(term_fatal_signals[0]); i++)
		sigaction(term_fatal_signals[i], &action, NULL);
	console_terminal_raw();
}

static int console_open_stdio(struct console *c)
{
	c->in_fd = STDIN_FILENO;
	c->out_fd = STDOUT_FILENO;
	c->target = "standard output";
	/* A closed descriptor 0 would be reused for something else. */
	if (fcntl(STDIN_FILENO, F_GETFD) < 0)
		c->in_fd = -1;
	if (c->in_fd < 0 || !isatty(STDIN_FILENO))
		return 0;
	if (!term_usable()) {
		c->in_fd = -1;
		return 0;
	}
	c->is_tty = true;
	term_setup();
	return 0;
}

/* Opened and closed once, the slave counts as hung up until a reader opens it (POLLHUP). */
static int console_mark_hung_up(const char *path)
{
	int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios raw;

	if (slave < 0)
		return -errno;
	/* Echo on would send the child's output back to it. */
	if (tcgetattr(slave, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(slave, TCSANOW, &raw);
	}
	close(slave);
	return 0;
}

static int console_open_pty(struct console *c)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	char path[64];
	int ret;

	if (fd < 0 || grantpt(fd) || unlockpt(fd) || ptsname_r(fd, path, sizeof(path)))
		ret = -errno;
	else
		ret = console_mark_hung_up(path);
	if (ret) {
		diag_error("cannot make a pseudo-terminal: %s", strerror(-ret));
		if (fd >= 0)
			close(fd);
		return ret;
	}
	diag_note("console: %s", path);
	c->in_fd = c->out_fd = fd;
	c->own_out = true;
	c->is_pty = true;
	c->target = "the pseudo-terminal";
	return 0;
}

static int console_open_file(struct console *c, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int error;

	if (fd < 0) {
		error = errno;
		diag_error("cannot write the console file %s: %s", path, strerror(error));
		return -error;
	}
	c->out_fd = fd;
	c->own_out = true;
	c->target = path;
	return 0;
}

static int console_open_target(struct console *c, const char *spec)
{
	if (strcmp(spec, "stdio") == 0)
		return console_open_stdio(c);
	if (strcmp(spec, "pty") == 0)
		return console_open_pty(c);
	if (strncmp(spec, "file:", 5) == 0 && spec[5])
		return console_open_file(c, spec + 5);
	diag_error("--console %s is not known: give stdio, pty or file:PATH", spec);
	return -EINVAL;
}

/* Waits until the output takes something. Returns false if it never will. */
static bool writer_wait(const struct console *c)
{
	struct pollfd pfd = { .fd = c->out_fd, .events = POLLOUT };
	int ret;

	do {
		ret = poll(&pfd, 1, -1);
	} while (ret < 0 && errno == EINTR);
	return ret >= 0;
}

/* Nobody has the pseudo-terminal open: as with a serial line, what is sent now is lost. */
static bool writer_nobody_listens(const struct console *c)
{
	struct pollfd pfd = { .fd = c->out_fd, .events = POLLOUT };

	return c->is_pty && poll(&pfd, 1, 0) > 0 && (pfd.revents & POLLHUP);
}

/* Writes all of it, waiting as long as it takes. Returns 0 or a negative errno. */
static int writer_write(const struct console *c, const uint8_t *buf, size_t len)
{
	ssize_t n;

	while (len) {
		if (writer_nobody_listens(c))
			return 0;
		n = write(c->out_fd, buf, len);
		if (n >= 0) {
			buf += n;
			len -= n;
		} else if (errno == EAGAIN) {
			if (!writer_wait(c))
				return -errno;
		} else if (c->is_pty && errno == EIO) {
			return 0;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/* Takes the next piece out of the buffer; 0 when the writer is to end. */
static size_t writer_take(struct console *c, uint8_t *piece)
{
	size_t len, until_end;

	pthread_mutex_lock(&c->lock);
	while (!c->used && !c->closing)
		pthread_cond_wait(&c->work, &c->lock);
	until_end = CONSOLE_BUFFER - c->head;
	len = c->used < CONSOLE_PIECE ? c->used : CONSOLE_PIECE;
	if (len > until_end)
		len = until_end;
	memcpy(piece, c->buffer + c->head, len);
	pthread_mutex_unlock(&c->lock);
	return len;
}

/* The piece has gone: make its room known to whoever waits for it. */
static void writer_done(struct console *c, size_t len)
{
	uint64_t one = 1;
	bool tell;

	pthread_mutex_lock(&c->lock);
	c->head = (c->head + len) % CONSOLE_BUFFER;
	c->used -= len;
	tell = c->short_write;
	c->short_write = false;
	pthread_mutex_unlock(&c->lock);
	if (tell && write(c->room_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable all the same */
}

static void writer_fail(struct console *c, int error)
{
	pthread_mutex_lock(&c->lock);
	c->failed = true;
	pthread_mutex_unlock(&c->lock);
	diag_error("cannot write to %s: %s; further console output is discarded", c->target,
		   strerror(-error));
}

static void *writer_thread(void *arg)
{
	struct console *c = arg;
	uint8_t piece[CONSOLE_PIECE];
	uint64_t one = 1;
	bool failed = false;
	size_t len;
	int ret;

	pthread_setname_np(pthread_self(), "console");
	while ((len = writer_take(c, piece)) > 0) {
		ret = failed ? 0 : writer_write(c, piece, len);
		if (ret) {
			failed = true;
			writer_fail(c, ret);
		}
		writer_done(c, len);
	}
	if (write(c->drained_fd, &one, sizeof(one)) < 0)
		return NULL; /* an eventfd that has been closed: nobody waits */
	return NULL;
}

static int console_start_writer(struct console *c)
{
	int ret;

	c->drained_fd = eventfd(0, EFD_CLOEXEC);
	c->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->drained_fd < 0 || c->room_fd < 0)
		return -errno;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	ret = pthread_create(&c->writer, NULL, writer_thread, c);
	if (ret)
		return -ret;
	c->started = true;
	return 0;
}

int console_open(struct console *c, const char *spec)
{
	int ret;

	*c = (struct console){ .in_fd = -1, .out_fd = -1, .drained_fd = -1, .room_fd = -1 };
	ret = console_open_target(c, spec);
	if (ret)
		return ret;
	ret = console_start_writer(c);
	if (ret) {
		diag_error("cannot start the console: %s", strerror(-ret));
		console_close(c);
	}
	return ret;
}

size_t console_write(struct console *c, const uint8_t *buf, size_t len)
{
	size_t room, tail, first;

	pthread_mutex_lock(&c->lock);
	room = CONSOLE_BUFFER - c->used;
	if (len > room) {
		len = room;
		c->short_write = true;
	}
	tail = (c->head + c->used) % CONSOLE_BUFFER;
	first = CONSOLE_BUFFER - tail < len ? CONSOLE_BUFFER - tail : len;
	memcpy(c->buffer + tail, buf, first);
	memcpy(c->buffer, buf + first, len - first);
	if (!c->used)
		pthread_cond_signal(&c->work);
	c->used += len;
	if (c->tap && len)
		c->tap(c->tap_ctx, buf, len);
	pthread_mutex_unlock(&c->lock);
	return len;
}

ssize_t console_read(struct console *c, uint8_t *buf, size_t max, unsigned int *requests)
{
	struct pollfd pfd = { .fd = c->in_fd, .events = POLLIN };
	size_t len;
	ssize_t n;

	*requests = 0;
	/* Not O_NONBLOCK: standard input is shared with other programs. */
	if (poll(&pfd, 1, 0) <= 0)
		return 0;
	if (c->is_pty && !(pfd.revents & POLLIN))
		return 0;
	n = read(c->in_fd, buf, max);
	if (n < 0 && (errno == EAGAIN || errno == EINTR || c->is_pty))
		return 0;
	if (n <= 0)
		return c->is_pty ? 0 : -1;
	len = n;
	if (c->is_tty)
		*requests = escape_filter(&c->escape, buf, &len);
	return len;
}

void console_set_tap(struct console *c, void (*tap)(void *ctx, const uint8_t *buf, size_t len),
		     void *ctx)
{
	pthread_mutex_lock(&c->lock);
	c->tap = tap;
	c->tap_ctx = ctx;
	pthread_mutex_unlock(&c->lock);
}

void console_finish(struct console *c)
{
	pthread_mutex_lock(&c->lock);
	c->closing = true;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

/*
 * A writer that hangs in a write is left behind: it holds nothing but the descriptor that it hangs
 * on, and the process is about to end.
 */
bool console_close(struct console *c)
{
	struct pollfd drained = { .fd = c->drained_fd, .events = POLLIN };
	bool complete = true;

	if (c->started) {
		complete = poll(&drained, 1, 0) > 0;
		if (complete)
			pthread_join(c->writer, NULL);
		pthread_mutex_lock(&c->lock);
		complete = complete && !c->failed;
		pthread_mutex_unlock(&c->lock);
	}
	console_terminal_restore();
	if (c->own_out && (complete || !c->started))
		close(c->out_fd);
	return complete;
}
