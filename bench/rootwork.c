// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fixed amount of the root's own work, and the ticks of the TSC that each part took:
 *
 *   rootwork  ->  "hash N", "fork N", "switch N"
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

/* FNV-1a over 4 MiB, eight times. */
static void hash(void)
{
	size_t size = 4 << 20, i;
	uint64_t h = 0xcbf29ce484222325;
	uint8_t *data = malloc(size);
	int round;

	if (!data)
		err(1, "malloc");
	for (i = 0; i < size; i++)
		data[i] = i * 7;
	for (round = 0; round < 8; round++)
		for (i = 0; i < size; i++)
			h = (h ^ data[i]) * 0x100000001b3;
	if (h == 0)
		puts("unlikely");
	free(data);
}

static void forks(void)
{
	int i, status;

	for (i = 0; i < 300; i++) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (!pid)
			_exit(0);
		if (waitpid(pid, &status, 0) != pid || status)
			errx(1, "child failed");
	}
}

/* A byte goes back and forth between two processes. */
static void switches(void)
{
	int to[2], from[2], i;
	char c = 0;
	pid_t pid;

	if (pipe(to) || pipe(from))
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		close(to[1]);
		while (read(to[0], &c, 1) == 1)
			if (write(from[1], &c, 1) != 1)
				_exit(1);
		_exit(0);
	}
	for (i = 0; i < 5000; i++)
		if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
			err(1, "pipe");
	close(to[1]);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*work)(void);
	} part[] = { { "hash", hash }, { "fork", forks }, { "switch", switches } };
	unsigned int i;
	uint64_t start;

	for (i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		start = rdtsc();
		part[i].work();
		printf("%s %lu\n", part[i].name, rdtsc() - start);
		fflush(stdout);
	}
	return 0;
}
