/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's end of a child's serial port: the terminal (stdio), a pseudo-terminal (pty) or a file
 * (file:PATH, output only). Output goes through a buffer that a thread of its own empties, so that
 * a slow reader never holds up a processor; when the buffer is full the port is told so. Once a
 * write fails it is said in one line, and what follows is discarded.
 */
#ifndef WORKER_CONSOLE_H
#define WORKER_CONSOLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker/escape.h"

#define CONSOLE_BUFFER 65536

struct console {
	int in_fd; /* -1: no input */
	int out_fd;
	bool is_pty; /* out_fd is the master of a pseudo-terminal: discard while nobody has it open */
	bool is_tty;	    /* input is an interactive terminal: raw, with escapes */
	bool own_out;	    /* out_fd is to be closed */
	const char *target; /* what is written to, for messages */
	struct escape escape;

	pthread_t writer;
	bool started;
	int drained_fd; /* eventfd: readable once the writer has ended */
	int room_fd; /* eventfd: readable when there is room again after a short console_write() */
	pthread_mutex_t lock; /* innermost: protects what follows */
	pthread_cond_t work;
	uint8_t buffer[CONSOLE_BUFFER];
	size_t head, used; /* first byte, and how many */
	bool short_write;  /* somebody waits for room */
	void (*tap)(void *ctx, const uint8_t *buf, size_t len);
	void *tap_ctx;
	bool closing;
	bool failed; /* output was lost */
};

/*
 * Opens what spec says ("stdio", "pty", "file:PATH"), prepares the terminal and starts the writer.
 * Returns 0 or a negative errno after having said why.
 */
int console_open(struct console *c, const char *spec);

/*
 * Takes up to len characters for output; returns how many. Never blocks. Any thread. After less than
 * len, room_fd becomes readable once there is room.
 */
size_t console_write(struct console *c, const uint8_t *buf, size_t len);

/*
 * Reads up to max characters of input without waiting. Returns their number (0: none now), or -1
 * at the end of the input, after which it is not to be called again. *requests: enum
 * escape_request. One thread only.
 */
ssize_t console_read(struct console *c, uint8_t *buf, size_t max, unsigned int *requests);

/* From now on @tap sees all output that is taken, under a lock of the console's: it must not wait. NULL: nobody. */
void console_set_tap(struct console *c, void (*tap)(void *ctx, const uint8_t *buf, size_t len),
		     void *ctx);

/*
 * Asks the writer to empty its buffer and end: drained_fd becomes readable then. Whoever cannot
 * wait for that goes on to console_close() at once.
 */
void console_finish(struct console *c);

/*
 * Restores the terminal and releases everything. What has not been written yet is lost. Returns
 * whether all output so far has been written.
 */
bool console_close(struct console *c);

/*
 * Puts the terminal back as it was found, or makes it raw again (SIGTSTP, SIGCONT). Safe in signal
 * handlers; no effect when the console is not a terminal.
 */
void console_terminal_restore(void);
void console_terminal_raw(void);

#endif
