// SPDX-License-Identifier: GPL-2.0-only
/* The console's host side on real descriptors: files, a FIFO that nobody reads, a pseudo-terminal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/console.h"

static struct console console;
static char dir[] = "/tmp/console-test-XXXXXX";
static char path[64], spec[80], errors[64];

static int setup(void **state)
{
	(void)state;
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/out", dir);
	snprintf(spec, sizeof(spec), "file:%s", path);
	snprintf(errors, sizeof(errors), "%s/errors", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(errors);
	return rmdir(dir);
}

static bool readable(int fd, int timeout)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, timeout) > 0;
}

/* Everything written so far has gone, or the test fails. */
static void finish(void)
{
	console_finish(&console);
	assert_true(readable(console.drained_fd, 60000));
}

static size_t file_size(const char *name)
{
	struct stat st;

	assert_int_equal(stat(name, &st), 0);
	return st.st_size;
}

/* Standard error goes to a file while the test runs; returns the descriptor to restore. */
static int capture_errors(void)
{
	int saved = dup(STDERR_FILENO);
	int fd = open(errors, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return saved;
}

static void restore_errors(int saved, char *text, size_t size)
{
	int fd = open(errors, O_RDONLY);
	ssize_t n = read(fd, text, size - 1);

	text[n > 0 ? n : 0] = 0;
	close(fd);
	dup2(saved, STDERR_FILENO);
	close(saved);
}

static void test_everything_reaches_a_file_in_order(void **state)
{
	uint8_t byte, got[300];
	size_t total = 0, i;
	int fd;

	(void)state;
	assert_int_equal(console_open(&console, spec), 0);
	while (total < 300000) {
		byte = total % 251;
		if (console_write(&console, &byte, 1) == 1)
			total++;
		else
			assert_true(readable(console.room_fd, 60000));
	}
	finish();
	assert_true(console_close(&console));
	assert_int_equal(file_size(path), 300000);
	fd = open(path, O_RDONLY);
	assert_int_equal(lseek(fd, 200000, SEEK_SET), 200000);
	assert_int_equal(read(fd, got, sizeof(got)), sizeof(got));
	for (i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], (200000 + i) % 251);
	close(fd);
}

static void test_a_full_disk_is_said_once_and_does_not_block(void **state)
{
	uint8_t data[1000] = { 0 };
	char text[1024];
	size_t taken = 0, n;
	int saved;

	(void)state;
	saved = capture_errors();
	assert_int_equal(console_open(&console, "file:/dev/full"), 0);
	while (taken < 500000) {
		n = console_write(&console, data, sizeof(data));
		if (n < sizeof(data))
			assert_true(readable(console.room_fd, 60000));
		taken += n;
	}
	finish();
	assert_false(console_close(&console));
	restore_errors(saved, text, sizeof(text));
	assert_non_null(strstr(text, "cannot write to /dev/full: No space left on device"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_a_reader_that_does_not_read_holds_up_nobody(void **state)
{
	static uint8_t data[CONSOLE_BUFFER * 4], got[4096];
	size_t taken = 0, n, total = 0;
	uint64_t count;
	ssize_t len;
	int reader;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_int_equal(console_open(&console, spec), 0);
	/* FIFO and buffer fill, then nothing is taken any more. */
	while ((n = console_write(&console, data, sizeof(data))) > 0 ||
	       readable(console.room_fd, 200)) {
		taken += n;
		if (read(console.room_fd, &count, sizeof(count)) < 0)
			assert_int_equal(errno, EAGAIN);
		assert_true(taken < 4 * CONSOLE_BUFFER);
	}
	assert_true(taken >= CONSOLE_BUFFER);
	/* Reading makes room, and says so. */
	fcntl(reader, F_SETFL, 0);
	while (!readable(console.room_fd, 0))
		total += read(reader, got, sizeof(got));
	console_finish(&console);
	while (total < taken) {
		len = read(reader, got, sizeof(got));
		assert_true(len > 0);
		total += len;
	}
	assert_true(readable(console.drained_fd, 60000));
	assert_true(console_close(&console));
	close(reader);
	assert_int_equal(total, taken);
}

static void test_a_reader_that_goes_away(void **state)
{
	uint8_t data[100] = { 0 };
	char text[1024];
	int reader, saved;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	saved = capture_errors();
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_int_equal(console_open(&console, spec), 0);
	close(reader);
	console_write(&console, data, sizeof(data));
	finish();
	assert_false(console_close(&console));
	restore_errors(saved, text, sizeof(text));
	assert_non_null(strstr(text, "Broken pipe"));
}

/* The path that console_open() printed. */
static int open_slave(char *text)
{
	char *name = strstr(text, "console: ");
	int fd;

	assert_non_null(name);
	name += strlen("console: ");
	name[strcspn(name, "\r\n")] = 0;
	fd = open(name, O_RDWR | O_NOCTTY);
	assert_true(fd >= 0);
	return fd;
}

static void read_exactly(int fd, char *buf, size_t len)
{
	size_t got = 0;
	ssize_t n;

	while (got < len) {
		assert_true(readable(fd, 60000));
		n = read(fd, buf + got, len - got);
		assert_true(n > 0);
		got += n;
	}
}

static void test_pty(void **state)
{
	static uint8_t data[CONSOLE_BUFFER];
	unsigned int requests;
	char text[256], got[16];
	uint8_t in[16];
	int saved, slave, i;

	(void)state;
	saved = capture_errors();
	assert_int_equal(console_open(&console, "pty"), 0);
	restore_errors(saved, text, sizeof(text));

	/* While nobody has it open, output is lost instead of piling up. */
	for (i = 0; i < 4; i++) {
		while (console_write(&console, data, sizeof(data)) == 0)
			assert_true(readable(console.room_fd, 60000));
	}
	assert_int_equal(console_read(&console, in, sizeof(in), &requests), 0);
	pthread_mutex_lock(&console.lock);
	while (console.used) {
		pthread_mutex_unlock(&console.lock);
		sched_yield();
		pthread_mutex_lock(&console.lock);
	}
	pthread_mutex_unlock(&console.lock);

	slave = open_slave(text);
	console_write(&console, (const uint8_t *)"hello\r\n", 7);
	read_exactly(slave, got, 7);
	assert_memory_equal(got, "hello\r\n", 7);
	/* Input comes as typed: no echo, no escape. */
	assert_int_equal(write(slave, "ab\001x\n", 5), 5);
	assert_true(readable(console.in_fd, 60000));
	assert_int_equal(console_read(&console, in, sizeof(in), &requests), 5);
	assert_memory_equal(in, "ab\001x\n", 5);
	assert_int_equal(requests, 0);
	assert_false(readable(slave, 0));
	/* Closed and opened again. */
	close(slave);
	assert_int_equal(console_read(&console, in, sizeof(in), &requests), 0);
	slave = open_slave(text + 0);
	console_write(&console, (const uint8_t *)"again", 5);
	read_exactly(slave, got, 5);
	assert_memory_equal(got, "again", 5);
	finish();
	close(slave);
	assert_true(console_close(&console));
}

static void test_what_is_no_console(void **state)
{
	static const char *const bad[] = {
		"", "tty", "file:", "file", "stdio:", "file:/nonexistent/x", "file:/tmp"
	};
	char text[4096];
	size_t i;
	int saved;

	(void)state;
	saved = capture_errors();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(console_open(&console, bad[i]) < 0);
	restore_errors(saved, text, sizeof(text));
	for (i = 0; text[i]; i++)
		;
	assert_int_equal(text[i - 1], '\n');
	assert_non_null(strstr(text, "give stdio, pty or file:PATH"));
	assert_non_null(strstr(text, "/nonexistent/x: No such file or directory"));
	assert_non_null(strstr(text, "/tmp: Is a directory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everything_reaches_a_file_in_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_full_disk_is_said_once_and_does_not_block,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_reader_that_does_not_read_holds_up_nobody,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_reader_that_goes_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_console, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
