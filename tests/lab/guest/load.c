// SPDX-License-Identifier: GPL-2.0-only
/*
 * A load that verifies itself, while a command runs (L1):
 *	load [PART...] -- COMMAND...
 * starts the PARTs (all of them by default), waits until each has gone round, runs the command, lets each part go
 * round once more, and prints a line "NAME rounds N" for each. The status is the command's, or 99 if a part
 * has found an error, of which it tells on standard error.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NSEC	    1000000000ll
#define PERIOD	    1000000ll /* of the timer, ns */
#define MAX_THREADS 256
#define FAILED	    99

/* Of one part, shared with the parent. */
struct state {
	_Atomic uint64_t rounds;
	_Atomic bool failed;
	pid_t pid;
};

static struct state *self; /* this process's part */
static const char *self_name;
static _Atomic bool *stop; /* shared */

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "load: %s: ", self_name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	self->failed = true;
	_exit(1);
}

static void check(long ret, const char *what)
{
	if (ret < 0)
		fail("%s: %s", what, strerror(errno));
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NSEC + t.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	check(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

/* One thread on each CPU that this process may use; returns when all are through. */
static void on_each_cpu(void *(*fn)(void *))
{
	pthread_t thread[MAX_THREADS];
	cpu_set_t set;
	int cpu, n = 0;

	check(sched_getaffinity(0, sizeof(set), &set), "sched_getaffinity");
	for (cpu = 0; cpu < CPU_SETSIZE && n < MAX_THREADS; cpu++)
		if (CPU_ISSET(cpu, &set) &&
		    pthread_create(&thread[n++], NULL, fn, (void *)(intptr_t)cpu))
			fail("no thread");
	while (n)
		pthread_join(thread[--n], NULL);
}

/* ---- files, exec and hashing: a file whose sum is known ---- */

#define MILLION 1000000
static const char million_a[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void part_hash(void)
{
	char path[] = "/tmp/load.XXXXXX", *data = malloc(MILLION), line[128], command[64];
	int fd = mkstemp(path);

	check(fd, path);
	memset(data, 'a', MILLION);
	if (write(fd, data, MILLION) != MILLION)
		fail("write: %s", strerror(errno));
	snprintf(command, sizeof(command), "exec sha256sum %s", path);
	while (!*stop) {
		FILE *p = popen(command, "r");

		if (!p || !fgets(line, sizeof(line), p) || strncmp(line, million_a, 64))
			fail("sum is %s", line);
		if (pclose(p))
			fail("sha256sum failed");
		/* The open file too. */
		if (pread(fd, data, MILLION, 0) != MILLION || data[0] != 'a' ||
		    memcmp(data, data + 1, MILLION - 1))
			fail("the file reads differently");
		self->rounds++;
	}
	unlink(path);
}

/* ---- one TCP connection over loopback ---- */

static uint64_t stream(uint64_t i)
{
	i = (i ^ i >> 30) * 0xbf58476d1ce4e5b9ull;
	i = (i ^ i >> 27) * 0x94d049bb133111ebull;
	return i ^ i >> 31;
}

static void tcp_send(int fd)
{
	uint64_t words[2048], n = 0;
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		ssize_t done = 0, ret;

		for (i = 0; i < 2048; i++)
			words[i] = stream(n++);
		for (; done < (ssize_t)sizeof(words); done += ret) {
			ret = write(fd, (char *)words + done, sizeof(words) - done);
			if (ret <= 0)
				fail("write: %s", strerror(errno));
		}
	}
}

static void part_tcp(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0), out = socket(AF_INET, SOCK_STREAM, 0), in;
	uint64_t words[2048], n = 0;
	unsigned int i;
	pid_t pid;

	check(bind(listener, (struct sockaddr *)&a, sizeof(a)), "bind");
	check(listen(listener, 1), "listen");
	check(getsockname(listener, (struct sockaddr *)&a, &len), "getsockname");
	check(connect(out, (struct sockaddr *)&a, sizeof(a)), "connect");
	in = accept(listener, NULL, NULL);
	check(in, "accept");
	pid = fork();
	check(pid, "fork");
	if (!pid)
		tcp_send(out);
	while (!*stop) {
		ssize_t done = 0, ret;

		for (; done < (ssize_t)sizeof(words); done += ret) {
			ret = read(in, (char *)words + done, sizeof(words) - done);
			if (ret <= 0)
				fail("read: %s", ret ? strerror(errno) : "closed");
		}
		for (i = 0; i < 2048; i++, n++)
			if (words[i] != stream(n))
				fail("byte %llu is wrong", 8ull * n);
		self->rounds++;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- timers ---- */

/*
 * An interval timer that was armed for a known moment has expired exactly as often as the clock says: not before
 * its time, and with none left out.
 */
static void part_timer(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	int64_t start = now() + 10 * PERIOD, before, after, lowest, highest;
	struct itimerspec spec = {
		.it_value = { start / NSEC, start % NSEC },
		.it_interval = { 0, PERIOD },
	};
	uint64_t expired, total = 0;

	check(fd, "timerfd_create");
	check(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL), "timerfd_settime");
	while (!*stop) {
		before = now();
		if (read(fd, &expired, sizeof(expired)) != sizeof(expired))
			fail("read: %s", strerror(errno));
		after = now();
		total += expired;
		lowest = before < start ? 1 : (before - start) / PERIOD + 1;
		highest = after < start ? 0 : (after - start) / PERIOD + 1;
		if ((int64_t)total < lowest || (int64_t)total > highest)
			fail("%llu expirations at a time for %lld to %lld",
			     (unsigned long long)total, (long long)lowest, (long long)highest);
		self->rounds++;
	}
}

static void part_sleep(void)
{
	struct timespec t;
	int64_t until;

	while (!*stop) {
		until = now() + 3 * PERIOD / 2;
		t = (struct timespec){ until / NSEC, until % NSEC };
		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
			fail("clock_nanosleep");
		if (now() < until)
			fail("woken %lld ns early", (long long)(until - now()));
		self->rounds++;
	}
}

static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t clock_last;

static void *clock_reader(void *cpu)
{
	struct timespec pause = { 0, 200000 };
	int64_t t;
	int i;

	pin((intptr_t)cpu);
	while (!*stop) {
		for (i = 0; i < 100; i++) {
			pthread_mutex_lock(&clock_lock);
			t = now();
			if (t < clock_last)
				fail("CPU %d: the clock went back by %lld ns", (int)(intptr_t)cpu,
				     (long long)(clock_last - t));
			clock_last = t;
			pthread_mutex_unlock(&clock_lock);
		}
		self->rounds++;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void part_clock(void)
{
	on_each_cpu(clock_reader);
}

/* ---- processes and pipes ---- */

static void part_fork(void)
{
	uint64_t sum, want, n = 0, i;
	int fd[2], status;
	pid_t pid;

	while (!*stop) {
		check(pipe(fd), "pipe");
		pid = fork();
		check(pid, "fork");
		if (!pid) {
			for (sum = i = 0; i < 1000; i++)
				sum = sum * 31 + stream(n + i);
			_exit(write(fd[1], &sum, sizeof(sum)) == sizeof(sum) ? 7 : 1);
		}
		for (want = i = 0; i < 1000; i++)
			want = want * 31 + stream(n + i);
		close(fd[1]);
		if (read(fd[0], &sum, sizeof(sum)) != sizeof(sum) || sum != want)
			fail("the child's sum is wrong");
		close(fd[0]);
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != 7)
			fail("the child ended with %#x", status);
		n++;
		self->rounds++;
	}
}

/* ---- extended registers: all that XSAVE knows of, held while time passes ---- */

#define XSAVE_SIZE   8192
#define XSAVE_HEADER 512

struct xsave {
	uint8_t byte[XSAVE_SIZE];
} __attribute__((aligned(64)));

static void *fpu_thread(void *cpu)
{
	static const uint64_t features = 7; /* x87, SSE, AVX */
	struct xsave *image = aligned_alloc(64, sizeof(*image)),
		     *back = aligned_alloc(64, sizeof(*back));
	uint32_t lo = features, hi = 0;
	uint64_t n = (intptr_t)cpu;
	volatile uint32_t spin;
	unsigned int i;

	pin((intptr_t)cpu);
	memset(back, 0, sizeof(*back));
	asm volatile("xsave64 (%0)" : : "r"(back), "a"(lo), "d"(hi) : "memory");
	while (!*stop) {
		/* What this CPU has, with the registers themselves filled anew: ST0-7, XMM, upper halves of YMM. */
		memcpy(image, back, sizeof(*image));
		image->byte[XSAVE_HEADER] = features;
		image->byte[0] = 0x7f;
		image->byte[1] = 0x03; /* FCW */
		image->byte[4] = 0xff; /* abridged FTW: all valid */
		for (i = 0; i < 8; i++)
			memcpy(image->byte + 32 + 16 * i, &(uint64_t){ stream(n++) | 1ull << 63 },
			       8);
		for (i = 0; i < 32; i++)
			memcpy(image->byte + 160 + 8 * i, &(uint64_t){ stream(n++) }, 8);
		for (i = 0; i < 32; i++)
			memcpy(image->byte + 576 + 8 * i, &(uint64_t){ stream(n++) }, 8);
		/* The registers live through the loop in between, which touches none of them. */
		asm volatile("xrstor64 (%[from])\n"
			     "	movl	$3000000, %[spin]\n"
			     "1:	decl	%[spin]\n"
			     "	jnz	1b\n"
			     "	xsave64	(%[to])\n"
			     : [spin] "=&r"(spin)
			     : [from] "r"(image), [to] "r"(back), "a"(lo), "d"(hi)
			     : "memory", "cc");
		for (i = 0; i < 576 + 256; i++)
			if (image->byte[i] != back->byte[i])
				fail("CPU %d: byte %u of the XSAVE area was %02x, is %02x",
				     (int)(intptr_t)cpu, i, image->byte[i], back->byte[i]);
		self->rounds++;
	}
	return NULL;
}

static void part_fpu(void)
{
	on_each_cpu(fpu_thread);
}

/* ---- segments: an LDT, and the bases of FS and GS ---- */

#define LDT_ES	  0x07 /* entry 0, LDT, RPL 3 */
#define LDT_WORDS 16
static uint32_t *ldt_data;

static void *segment_thread(void *cpu)
{
	uint64_t base = (uintptr_t)ldt_data + 8, got;
	uint32_t word, i;
	uint16_t es;

	pin((intptr_t)cpu);
	check(syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, base), "arch_prctl");
	while (!*stop) {
		asm volatile("mov %0, %%es" : : "r"(LDT_ES));
		for (i = 0; i < 2000000; i++) {
			asm volatile("movl %%gs:0, %0" : "=r"(word));
			if (word != stream(2) >> 32)
				fail("CPU %d: GS:0 reads %x", (int)(intptr_t)cpu, word);
		}
		asm volatile("mov %%es, %0" : "=r"(es));
		check(syscall(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &got), "arch_prctl");
		if (es != LDT_ES || got != base)
			fail("CPU %d: ES %#x, base of GS %#llx", (int)(intptr_t)cpu, es,
			     (unsigned long long)got);
		/* Both descriptors are looked up, and with LSL so is the LDT's limit. */
		asm volatile("lsl %1, %0" : "=r"(i) : "r"((uint32_t)LDT_ES));
		if (i != LDT_WORDS * 4 - 1)
			fail("CPU %d: limit of ES %#x", (int)(intptr_t)cpu, i);
		asm volatile("mov %0, %%es" : : "r"(0));
		self->rounds++;
	}
	return NULL;
}

static void part_segment(void)
{
	struct user_desc d = {
		.entry_number = 0, .limit = LDT_WORDS * 4 - 1, .seg_32bit = 1, .useable = 1
	};
	unsigned int i;

	ldt_data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
			-1, 0);
	if (ldt_data == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	for (i = 0; i < LDT_WORDS; i++)
		ldt_data[i] = stream(i) >> 32;
	d.base_addr = (uintptr_t)ldt_data;
	check(syscall(SYS_modify_ldt, 1, &d, sizeof(d)), "modify_ldt");
	on_each_cpu(segment_thread);
}

/* ---- all of it ---- */

static const struct part {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "hash", part_hash },	 { "tcp", part_tcp },	      { "timer", part_timer },
	{ "sleep", part_sleep }, { "clock", part_clock },     { "fork", part_fork },
	{ "fpu", part_fpu },	 { "segment", part_segment },
};
#define NR_PARTS (sizeof(parts) / sizeof(parts[0]))

static void start(struct state *state, const struct part *part)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0) {
		perror("load: fork");
		exit(FAILED);
	}
	if (pid) {
		state->pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	self = state;
	self_name = part->name;
	part->run();
	_exit(0);
}

/* Until every part has gone `rounds` rounds more than in from[], or one has failed. */
static bool wait_rounds(struct state *state, unsigned int n, const uint64_t *from, uint64_t rounds)
{
	struct timespec pause = { 0, 1000000 };
	unsigned int i;

	for (i = 0; i < n;) {
		if (state[i].failed || waitpid(state[i].pid, NULL, WNOHANG) == state[i].pid)
			return false;
		if (state[i].rounds >= (from ? from[i] : 0) + rounds)
			i++;
		else
			nanosleep(&pause, NULL);
	}
	return true;
}

static int run_command(char **argv)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const struct part *find(const char *name)
{
	unsigned int i;

	for (i = 0; i < NR_PARTS; i++)
		if (!strcmp(parts[i].name, name))
			return &parts[i];
	fprintf(stderr, "load: there is no part %s\n", name);
	exit(FAILED);
}

int main(int argc, char **argv)
{
	const struct part *chosen[NR_PARTS];
	uint64_t from[NR_PARTS];
	struct state *state;
	unsigned int i, n = 0;
	int status, arg;
	bool ok;

	for (arg = 1; arg < argc && strcmp(argv[arg], "--") && n < NR_PARTS; arg++)
		chosen[n++] = find(argv[arg]);
	if (arg + 1 >= argc || strcmp(argv[arg], "--")) {
		fprintf(stderr, "usage: load [PART...] -- COMMAND...\n");
		return FAILED;
	}
	for (i = 0; !n && i < NR_PARTS; i++)
		chosen[i] = &parts[i];
	n = n ? n : NR_PARTS;
	state = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (state == MAP_FAILED)
		return FAILED;
	stop = (_Atomic bool *)(state + NR_PARTS);
	for (i = 0; i < n; i++)
		start(&state[i], chosen[i]);
	ok = wait_rounds(state, n, NULL, 1);
	status = ok ? run_command(argv + arg + 1) : FAILED;
	for (i = 0; i < n; i++)
		from[i] = state[i].rounds;
	ok = ok && wait_rounds(state, n, from, 2); /* one of them began after the command's end */
	*stop = true;
	for (i = 0; i < n; i++) {
		int ended = 0;

		if (ok && (waitpid(state[i].pid, &ended, 0) != state[i].pid || ended))
			ok = false;
		if (!ok)
			kill(state[i].pid, SIGKILL);
		printf("%s rounds %llu%s\n", chosen[i]->name, (unsigned long long)state[i].rounds,
		       state[i].failed ? " FAILED" : "");
	}
	return ok ? status : FAILED;
}
