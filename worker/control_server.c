// SPDX-License-Identifier: GPL-2.0-only
/* The worker's side of the control socket. Clients are of the same user, and yet every byte of theirs is looked at. */
#define _GNU_SOURCE
#include "worker/control.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_OUTPUT 65536u /* characters on their way from processors to the main thread */

struct control_client {
	struct loop_source src; /* fd is -1: a free place */
	struct control_server *server;
	bool attached;
	bool paused; /* the console has no room for its input */
};

struct control_server {
	struct loop *loop;
	struct loop_source src;
	const struct control_ops *ops;
	void *ctx;
	char path[CONTROL_PATH_MAX];
	struct control_client client[CONTROL_CLIENTS_MAX];
	atomic_uint attached;
	struct loop_event output;
	pthread_mutex_t lock; /* innermost: of what follows */
	size_t used;
	uint8_t buffer[CONTROL_OUTPUT];
};

/* ------------------------------------------------------------------ clients */

static void client_drop(struct control_client *c)
{
	if (c->attached)
		atomic_fetch_sub(&c->server->attached, 1);
	loop_remove(c->server->loop, &c->src);
	close(c->src.fd);
	*c = (struct control_client){ .src.fd = -1, .server = c->server };
}

static void client_answer(struct control_client *c, enum control_type type, const char *text)
{
	if (control_send(c->src.fd, type, text, text ? strlen(text) : 0))
		client_drop(c); /* it does not read its answers */
}

static void client_answer_json(struct control_client *c, char *text)
{
	if (text && strlen(text) <= CONTROL_PAYLOAD_MAX)
		client_answer(c, CONTROL_JSON, text);
	else
		client_drop(c);
	free(text);
}

static void client_serve(struct control_client *c, int type, const uint8_t *payload, size_t length)
{
	struct control_server *s = c->server;

	switch (type) {
	case CONTROL_INFO:
		client_answer_json(c, s->ops->info(s->ctx));
		return;
	case CONTROL_STATS:
		client_answer_json(c, s->ops->stats(s->ctx));
		return;
	case CONTROL_BUTTON:
		s->ops->button(s->ctx);
		client_answer(c, CONTROL_OK, NULL);
		return;
	case CONTROL_END:
		s->ops->end(s->ctx);
		client_answer(c, CONTROL_OK, NULL);
		return;
	case CONTROL_ATTACH:
		if (!c->attached)
			atomic_fetch_add(&s->attached, 1);
		c->attached = true;
		client_answer(c, CONTROL_OK, NULL);
		return;
	case CONTROL_DATA:
		if (c->attached) {
			s->ops->input(s->ctx, payload, length);
			return;
		}
	}
	client_drop(c);
}

static void client_ready(struct loop_source *src, uint32_t events)
{
	static uint8_t packet[sizeof(struct control_header) + CONTROL_DATA_MAX];
	struct control_client *c = src->ctx;
	struct control_server *s = c->server;
	int type;
	ssize_t n;

	(void)events;
	/* There may be input in the next packet. */
	if (c->attached && s->ops->input_room(s->ctx) < CONTROL_DATA_MAX) {
		c->paused = true;
		loop_modify(s->loop, src, 0);
		return;
	}
	n = recv(src->fd, packet, sizeof(packet), MSG_TRUNC | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	type = n <= 0 || (size_t)n > sizeof(packet) ? -EPROTO : control_check(packet, n);
	client_serve(c, type, packet + sizeof(struct control_header),
		     n - sizeof(struct control_header));
}

static void server_ready(struct loop_source *src, uint32_t events)
{
	struct control_server *s = src->ctx;
	int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	unsigned int i;

	(void)events;
	if (fd < 0)
		return;
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (s->client[i].src.fd < 0)
			break;
	}
	if (i < CONTROL_CLIENTS_MAX) {
		s->client[i] = (struct control_client){
			.src = { .fd = fd, .ready = client_ready, .ctx = &s->client[i] },
			.server = s,
		};
		if (loop_add(s->loop, &s->client[i].src, EPOLLIN) == 0)
			return;
		s->client[i].src.fd = -1;
	}
	close(fd);
}

/* ------------------------------------------------------------------ the console */

void control_output(struct control_server *s, const uint8_t *buf, size_t len)
{
	if (!atomic_load(&s->attached))
		return;
	pthread_mutex_lock(&s->lock);
	if (len > CONTROL_OUTPUT - s->used)
		len = CONTROL_OUTPUT - s->used;
	memcpy(s->buffer + s->used, buf, len);
	if (!s->used)
		loop_event_signal(&s->output);
	s->used += len;
	pthread_mutex_unlock(&s->lock);
}

/* A client whose socket is full loses this piece. */
static void server_send_output(struct control_server *s, const uint8_t *buf, size_t len)
{
	unsigned int i;
	int ret;

	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (s->client[i].src.fd < 0 || !s->client[i].attached)
			continue;
		ret = control_send(s->client[i].src.fd, CONTROL_DATA, buf, len);
		if (ret && ret != -EAGAIN)
			client_drop(&s->client[i]);
	}
}

static void server_on_output(struct loop_event *ev)
{
	struct control_server *s = ev->ctx;
	uint8_t piece[CONTROL_DATA_MAX];
	size_t len;

	do {
		pthread_mutex_lock(&s->lock);
		len = s->used < sizeof(piece) ? s->used : sizeof(piece);
		memcpy(piece, s->buffer, len);
		s->used -= len;
		memmove(s->buffer, s->buffer + len, s->used);
		pthread_mutex_unlock(&s->lock);
		if (len)
			server_send_output(s, piece, len);
	} while (len);
}

void control_input_ready(struct control_server *s)
{
	unsigned int i;

	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (s->client[i].src.fd < 0 || !s->client[i].paused)
			continue;
		s->client[i].paused = false;
		loop_modify(s->loop, &s->client[i].src, EPOLLIN);
	}
}

/* ------------------------------------------------------------------ opening and closing */

/* Under the directory's lock: nobody else takes the name in between. */
static int server_bind(struct control_server *s, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = control_connect(name);
	mode_t mask;
	int ret;

	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (fd != -ENOENT && fd != -ECONNREFUSED)
		return fd == -EAGAIN ? -EADDRINUSE : fd;
	if (fd == -ECONNREFUSED)
		unlink(s->path); /* of a worker that was killed */
	s->src.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->src.fd < 0)
		return -errno;
	memcpy(a.sun_path, s->path, sizeof(a.sun_path));
	mask = umask(0177);
	ret = bind(s->src.fd, (struct sockaddr *)&a, sizeof(a));
	umask(mask);
	return ret || listen(s->src.fd, CONTROL_CLIENTS_MAX) ? -errno : 0;
}

int control_open(struct control_server **server, struct loop *loop, const char *name,
		 const struct control_ops *ops, void *ctx)
{
	struct control_server *s = calloc(1, sizeof(*s));
	unsigned int i;
	int lock, ret;

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->ops = ops;
	s->ctx = ctx;
	s->src = (struct loop_source){ .fd = -1, .ready = server_ready, .ctx = s };
	s->output.src.fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++)
		s->client[i] = (struct control_client){ .src.fd = -1, .server = s };
	ret = control_path(s->path, name);
	lock = ret ? ret : control_lock_dir();
	if (lock < 0) {
		ret = lock;
	} else {
		ret = server_bind(s, name);
		close(lock);
	}
	if (ret)
		s->path[0] = 0; /* not ours to remove */
	if (!ret)
		ret = loop_event_open(loop, &s->output, server_on_output, s);
	if (!ret)
		ret = loop_add(loop, &s->src, EPOLLIN);
	if (ret) {
		control_close(s);
		return ret;
	}
	*server = s;
	return 0;
}

void control_close(struct control_server *s)
{
	unsigned int i;

	if (!s)
		return;
	/* Before the connections end: who waits for that finds no socket then. */
	if (s->path[0])
		unlink(s->path);
	if (s->output.src.fd >= 0)
		server_on_output(&s->output);
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (s->client[i].src.fd >= 0)
			client_drop(&s->client[i]);
	}
	if (s->src.fd >= 0) {
		loop_remove(s->loop, &s->src);
		close(s->src.fd);
	}
	loop_event_close(s->loop, &s->output);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
