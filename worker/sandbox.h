/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_SANDBOX_H
#define WORKER_SANDBOX_H

/*
 * What a guest that takes over its worker gets: next to nothing. Once everything is open, and before a processor runs, the
 * worker becomes an unprivileged user, gives up gaining privileges again, and lets the kernel filter its system calls:
 * what is not on the list ends the process (SIGSYS, after a line on standard error).
 */
#include <stdbool.h>
#include <sys/types.h>

struct sandbox {
	bool change_user;
	uid_t uid;
	gid_t gid;
	bool sockets; /* a back end makes connections: user networking, NBD */
};

/*
 * Whom to become: @name, or NULL for the default: of root the user "plinth" if there is one, else "nobody"; of others
 * themselves. Returns 0 or a negative errno after having said why. Early: later the user database cannot be read.
 */
int sandbox_find_user(struct sandbox *s, const char *name);

/* Goes in, all threads with it. For good. Returns 0 or a negative errno after having said why. */
int sandbox_enter(const struct sandbox *s);

#endif
