// SPDX-License-Identifier: GPL-2.0-only
/* The control socket: names, messages, and clients that send anything. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/control.h"

static char folder[] = "/tmp/plinth-control-XXXXXX";
static uint8_t payload[CONTROL_PAYLOAD_MAX + 1];

struct bench {
	struct loop loop;
	struct control_server *server;
	unsigned int buttons, ends;
	size_t room;
	uint8_t input[65536];
	size_t input_len;
};

static char *bench_info(void *ctx)
{
	(void)ctx;
	return strdup("{\"name\":\"x\"}");
}

static char *bench_stats(void *ctx)
{
	char *text = malloc(60001);

	(void)ctx;
	memset(text, ' ', 60000);
	text[60000] = 0;
	return text;
}

static void bench_button(void *ctx)
{
	((struct bench *)ctx)->buttons++;
}

static void bench_end(void *ctx)
{
	((struct bench *)ctx)->ends++;
}

static size_t bench_room(void *ctx)
{
	return ((struct bench *)ctx)->room;
}

static void bench_input(void *ctx, const uint8_t *buf, size_t len)
{
	struct bench *b = ctx;

	assert_true(len <= b->room);
	memcpy(b->input + b->input_len, buf, len);
	b->input_len += len;
	b->room -= len;
}

static const struct control_ops ops = { bench_info, bench_stats, bench_button,
					bench_end,  bench_room,	 bench_input };

static void bench_open(struct bench *b, const char *name)
{
	memset(b, 0, sizeof(*b));
	b->room = 65536;
	assert_int_equal(loop_open(&b->loop), 0);
	assert_int_equal(control_open(&b->server, &b->loop, name, &ops, b), 0);
}

static void bench_close(struct bench *b)
{
	control_close(b->server);
	loop_close(&b->loop);
}

/* Serves until there is nothing to serve. */
static void bench_run(struct bench *b)
{
	int i;

	for (i = 0; i < 64; i++)
		loop_run_once(&b->loop, 0);
}

static int client(struct bench *b, const char *name)
{
	int fd = control_connect(name);

	assert_true(fd >= 0);
	bench_run(b);
	return fd;
}

static int ask(struct bench *b, int fd, enum control_type type, size_t *length)
{
	assert_int_equal(control_send(fd, type, NULL, 0), 0);
	bench_run(b);
	return control_receive(fd, payload, length);
}

static void test_requests(void **state)
{
	static struct bench b;
	size_t length;
	int fd;

	(void)state;
	bench_open(&b, "x");
	fd = client(&b, "x");
	assert_int_equal(ask(&b, fd, CONTROL_INFO, &length), CONTROL_JSON);
	assert_string_equal((char *)payload, "{\"name\":\"x\"}");
	assert_int_equal(ask(&b, fd, CONTROL_STATS, &length), CONTROL_JSON);
	assert_int_equal(length, 60000);
	assert_int_equal(ask(&b, fd, CONTROL_BUTTON, &length), CONTROL_OK);
	assert_int_equal(ask(&b, fd, CONTROL_END, &length), CONTROL_OK);
	assert_int_equal(b.buttons, 1);
	assert_int_equal(b.ends, 1);
	bench_close(&b);
	assert_int_equal(control_receive(fd, payload, &length), 0); /* the end of the machine */
	close(fd);
	assert_int_equal(control_connect("x"), -ENOENT);
}

static void test_console(void **state)
{
	static struct bench b;
	uint8_t text[CONTROL_DATA_MAX], big[20000];
	size_t length, got;
	int fd, other;

	(void)state;
	bench_open(&b, "x");
	control_output(b.server, (const uint8_t *)"nobody", 6);
	fd = client(&b, "x");
	assert_int_equal(ask(&b, fd, CONTROL_ATTACH, &length), CONTROL_OK);
	other = client(&b, "x");
	assert_int_equal(ask(&b, other, CONTROL_ATTACH, &length), CONTROL_OK);
	control_output(b.server, (const uint8_t *)"hello", 5);
	bench_run(&b);
	assert_int_equal(control_receive(fd, payload, &length), CONTROL_DATA);
	assert_string_equal((char *)payload, "hello");
	assert_int_equal(control_receive(other, payload, &length), CONTROL_DATA);
	assert_string_equal((char *)payload, "hello");
	close(other);
	bench_run(&b);
	memset(big, 'b', sizeof(big));
	control_output(b.server, big, sizeof(big));
	bench_run(&b);
	for (got = 0; got < sizeof(big); got += length)
		assert_int_equal(control_receive(fd, payload, &length), CONTROL_DATA);
	assert_int_equal(got, sizeof(big));
	/* Input waits at the client while the console has no room, and is not lost. */
	b.room = 5000;
	memset(text, 't', sizeof(text));
	assert_int_equal(control_send(fd, CONTROL_DATA, text, sizeof(text)), 0);
	assert_int_equal(control_send(fd, CONTROL_DATA, "end", 3), 0);
	bench_run(&b);
	assert_int_equal(b.input_len, CONTROL_DATA_MAX);
	b.room = 65536 - b.input_len;
	control_input_ready(b.server);
	bench_run(&b);
	assert_int_equal(b.input_len, CONTROL_DATA_MAX + 3);
	assert_memory_equal(b.input + CONTROL_DATA_MAX, "end", 3);
	bench_close(&b);
	close(fd);
}

/* What somebody does not read is lost to them; nobody waits for it. */
static void test_client_that_does_not_read(void **state)
{
	static struct bench b;
	static uint8_t big[60000];
	size_t length;
	int fd, i;

	(void)state;
	bench_open(&b, "x");
	fd = client(&b, "x");
	assert_int_equal(ask(&b, fd, CONTROL_ATTACH, &length), CONTROL_OK);
	for (i = 0; i < 50; i++) {
		control_output(b.server, big, sizeof(big));
		bench_run(&b);
	}
	for (i = 0; i < 5; i++)
		assert_int_equal(control_receive(fd, payload, &length), CONTROL_DATA);
	close(fd);
	bench_run(&b);
	bench_close(&b);
}

static void test_names(void **state)
{
	static struct bench a, b;
	char path[CONTROL_PATH_MAX], long_name[200];
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct control_server *server;
	struct stat st;
	int fd;

	(void)state;
	bench_open(&a, "a");
	bench_open(&b, "b");
	assert_int_equal(control_path(path, "a"), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(control_path(path, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(control_open(&server, &a.loop, "b", &ops, &a), -EADDRINUSE);
	control_sweep("b"); /* it is served: it stays */
	close(client(&b, "b"));
	bench_close(&b);
	/* Somebody was killed: the name is free, and the socket goes when somebody looks. */
	control_path(addr.sun_path, "dead");
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(control_connect("dead"), -ECONNREFUSED);
	bench_open(&b, "dead");
	close(client(&b, "dead"));
	bench_close(&b);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	control_sweep("dead");
	assert_int_equal(control_connect("dead"), -ENOENT);
	memset(long_name, 'x', sizeof(long_name));
	long_name[199] = 0;
	assert_int_equal(control_path(path, long_name), -ENAMETOOLONG);
	/* A directory that others may write is none. */
	control_path(path, NULL);
	assert_int_equal(chmod(path, 0770), 0);
	assert_int_equal(control_open(&server, &a.loop, "c", &ops, &a), -EPERM);
	assert_int_equal(chmod(path, 0700), 0);
	bench_close(&a);
}

static void test_messages(void **state)
{
	struct control_header h = { .magic = CONTROL_MAGIC, .type = CONTROL_INFO };
	static uint8_t packet[sizeof(h) + CONTROL_PAYLOAD_MAX + 1];
	size_t size;
	int type;

	(void)state;
	for (size = 0; size < sizeof(h); size++)
		assert_int_equal(control_check(&h, size), -EPROTO);
	assert_int_equal(control_check(&h, sizeof(h)), CONTROL_INFO);
	for (type = 0; type < 256; type++) {
		h.type = type;
		h.length = 0;
		memcpy(packet, &h, sizeof(h));
		size = sizeof(h);
		assert_int_equal(control_check(packet, size),
				 (type >= CONTROL_INFO && type <= CONTROL_ATTACH) ||
						 type == CONTROL_OK || type == CONTROL_JSON
					 ? type
					 : -EPROTO);
		h.length = 1;
		memcpy(packet, &h, sizeof(h));
		assert_int_equal(control_check(packet, sizeof(h)), -EPROTO);
		assert_int_equal(control_check(packet, sizeof(h) + 1),
				 type == CONTROL_DATA || type == CONTROL_JSON ? type : -EPROTO);
	}
	h.type = CONTROL_DATA;
	h.length = CONTROL_DATA_MAX + 1;
	memcpy(packet, &h, sizeof(h));
	assert_int_equal(control_check(packet, sizeof(h) + h.length), -EPROTO);
	h.type = CONTROL_JSON;
	h.length = CONTROL_PAYLOAD_MAX + 1;
	memcpy(packet, &h, sizeof(h));
	assert_int_equal(control_check(packet, sizeof(h) + h.length), -EPROTO);
	h = (struct control_header){ .magic = CONTROL_MAGIC + 1, .type = CONTROL_INFO };
	assert_int_equal(control_check(&h, sizeof(h)), -EPROTO);
	h = (struct control_header){ .magic = CONTROL_MAGIC, .type = CONTROL_INFO, .zero = 1 };
	assert_int_equal(control_check(&h, sizeof(h)), -EPROTO);
}

/* Whatever a client sends, the worst is that it is put out. */
static void test_any_bytes(void **state)
{
	static struct bench b;
	static uint8_t packet[70000];
	struct control_header h = { .magic = CONTROL_MAGIC };
	uint32_t seed = 1;
	size_t len, i;
	int round, fd;

	(void)state;
	bench_open(&b, "x");
	for (round = 0; round < 2000; round++) {
		fd = client(&b, "x");
		seed = seed * 1103515245 + 12345;
		len = seed >> 16 & (round % 10 ? 63 : 65535);
		for (i = 0; i < len; i++) {
			seed = seed * 1103515245 + 12345;
			packet[i] = seed >> 16;
		}
		if (round & 1 && len >= sizeof(h)) {
			h.type = packet[4] % 8;
			h.length = len - sizeof(h) + (round & 2 ? 0 : packet[5] % 3);
			memcpy(packet, &h, sizeof(h));
		}
		send(fd, packet, len, MSG_NOSIGNAL);
		b.room = sizeof(b.input);
		b.input_len = 0;
		bench_run(&b);
		close(fd);
		bench_run(&b);
	}
	fd = client(&b, "x");
	assert_int_equal(ask(&b, fd, CONTROL_INFO, &len), CONTROL_JSON);
	close(fd);
	bench_close(&b);
}

/* More clients than there is room for: the surplus is put out, the others are served. */
static void test_many_clients(void **state)
{
	static struct bench b;
	int fd[CONTROL_CLIENTS_MAX], more;
	size_t length;
	unsigned int i;

	(void)state;
	bench_open(&b, "x");
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++)
		fd[i] = client(&b, "x");
	more = client(&b, "x");
	assert_int_equal(control_receive(more, payload, &length), 0);
	close(more);
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++)
		assert_int_equal(ask(&b, fd[i], CONTROL_INFO, &length), CONTROL_JSON);
	close(fd[3]);
	bench_run(&b);
	fd[3] = client(&b, "x");
	assert_int_equal(ask(&b, fd[3], CONTROL_INFO, &length), CONTROL_JSON);
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fd[i]);
	bench_close(&b);
}

/* Not root's own directory: somebody else's, for whom XDG_RUNTIME_DIR counts. */
static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder) || chown(folder, 12345, 12345) || seteuid(12345))
		return -1;
	return setenv("XDG_RUNTIME_DIR", folder, 1);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return seteuid(0) || system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_client_that_does_not_read),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_many_clients),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
