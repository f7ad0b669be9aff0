/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_CONTROL_H
#define WORKER_CONTROL_H

/*
 * How commands reach a running machine: a socket per worker, DIR/NAME.sock (AF_UNIX, SOCK_SEQPACKET), that only its owner
 * may open. DIR is /run/plinth for root, else $XDG_RUNTIME_DIR/plinth, else /tmp/plinth-UID.
 *
 * A message is one packet: struct control_header and length bytes. The client asks, the server answers each request with
 * one message; CONTROL_DATA alone has no answer and is sent by both sides once CONTROL_ATTACH has been accepted. Whoever
 * gets a message that is none, closes the connection. The server's end of the connection is the end of the machine.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/loop.h"

#define CONTROL_MAGIC	    0x504c4331u /* "PLC1" */
#define CONTROL_PAYLOAD_MAX 65536u
#define CONTROL_DATA_MAX    4096u
#define CONTROL_CLIENTS_MAX 16u
#define CONTROL_PATH_MAX    108u /* of a socket's address */

enum control_type {
	CONTROL_INFO = 1, /* answered by CONTROL_JSON: name, pid, cpus, memory, device */
	CONTROL_STATS,	  /* answered by CONTROL_JSON: see docs/status.md */
	CONTROL_BUTTON,	  /* press the power button; answered by CONTROL_OK */
	CONTROL_END,	  /* end the machine at once; answered by CONTROL_OK */
	CONTROL_ATTACH,	  /* to the console; answered by CONTROL_OK */
	CONTROL_DATA,	  /* 1 to CONTROL_DATA_MAX characters of or for the console */
	CONTROL_OK = 64,
	CONTROL_JSON,
};

struct control_header {
	uint32_t magic;
	uint16_t type;	 /* enum control_type; requests have no payload but CONTROL_DATA */
	uint16_t zero;	 /* reserved */
	uint32_t length; /* bytes that follow */
};

/*
 * Checks a packet of @size bytes. Returns its type, or -EPROTO for what is no message or too long, or a request with a
 * payload that it does not have.
 */
int control_check(const void *packet, size_t size);

/* The directory of this user's sockets, or with a name the socket's path; -ENAMETOOLONG. */
int control_path(char path[CONTROL_PATH_MAX], const char *name);

/* Makes the directory if need be. Returns a descriptor that holds its lock until it is closed, or a negative errno. */
int control_lock_dir(void);

/* ------------------------------------------------------------------ the worker's side */

struct control_server;

/* What requests do. On the main thread, without the platform lock. */
struct control_ops {
	char *(*info)(void *ctx);  /* JSON text that free() takes; NULL: no memory */
	char *(*stats)(void *ctx); /* likewise */
	void (*button)(void *ctx);
	void (*end)(void *ctx);
	size_t (*input_room)(void *ctx); /* characters that the console takes now */
	void (*input)(void *ctx, const uint8_t *buf, size_t len);
};

/*
 * Opens the socket. Returns 0, -EADDRINUSE if a machine of that name runs, or another negative errno; says nothing.
 */
int control_open(struct control_server **server, struct loop *loop, const char *name,
		 const struct control_ops *ops, void *ctx);
void control_close(struct control_server *server);

/* Output of the console, for who is attached. Any thread; never waits: what somebody does not read in time is lost. */
void control_output(struct control_server *server, const uint8_t *buf, size_t len);

/* The console takes input again: clients that had to wait go on. Main thread. */
void control_input_ready(struct control_server *server);

/* ------------------------------------------------------------------ the commands' side */

/* Connects to a machine. Returns the descriptor or a negative errno (-ECONNREFUSED: nobody serves it); says nothing. */
int control_connect(const char *name);

/* Removes a socket that nobody serves: its worker was killed, or had given up the right to remove it. */
void control_sweep(const char *name);

/* The same, and says why in one line. */
int control_connect_or_say(const char *name);

/* Sends one message. Returns 0 or a negative errno. */
int control_send(int fd, enum control_type type, const void *payload, size_t length);

/*
 * Receives one message into @payload, which has room for CONTROL_PAYLOAD_MAX + 1 bytes and gets a terminating 0. Returns
 * its type, 0 at the end of the connection, or a negative errno (-EPROTO).
 */
int control_receive(int fd, void *payload, size_t *length);

/*
 * Asks for a JSON text. Returns 0, with the text to be freed by the caller, or a negative errno: -EPIPE if the machine has
 * ended, -EAGAIN if it does not answer, others for an answer that is none.
 */
int control_ask(int fd, enum control_type type, char **json);

/* Says of the machine @name what control_ask() has failed of, and returns that. */
int control_explain(const char *name, int ret);

#endif
