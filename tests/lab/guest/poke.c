// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program attacks memory of the core that attack.ko has mapped for it (L4): poke /dev/attack
 * Ends with status 0 if loads saw ones, stores had no effect, and what can't be contained that way (execution, and
 * vector instructions that the core may refuse) was at worst a fault of this program.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE 0x10000

static sigjmp_buf back;

static void on_fault(int sig)
{
	siglongjmp(back, sig);
}

/* -> the signal that fn(p) ended with, or 0. */
static int fault_of(void (*fn)(volatile uint8_t *p), volatile uint8_t *p)
{
	int sig = sigsetjmp(back, 1);

	if (!sig)
		fn(p);
	return sig;
}

static void execute(volatile uint8_t *p)
{
	((void (*)(void))(uintptr_t)p)();
}

static uint8_t vector[16];

static void load_vector(volatile uint8_t *p)
{
	__asm__ volatile("movups (%0), %%xmm0; movups %%xmm0, %1"
			 :
			 : "r"(p), "m"(vector)
			 : "xmm0", "memory");
}

static void store_vector(volatile uint8_t *p)
{
	__asm__ volatile("pxor %%xmm0, %%xmm0; movups %%xmm0, (%0)" : : "r"(p) : "xmm0", "memory");
}

int main(int argc, char **argv)
{
	int fd = open(argv[argc - 1], O_RDWR), sig, bad = 0;
	volatile uint64_t *p;
	unsigned int i;

	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	signal(SIGILL, on_fault);
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fd, 0);
	if (fd < 0 || p == MAP_FAILED) {
		perror(argv[argc - 1]);
		return 1;
	}
	for (i = 0; i < SIZE / 8; i += 64) {
		p[i] = 0;
		bad += p[i] != ~0ull;
	}
	printf("%u words were not ones\n", bad);
	memset(vector, 0xff, sizeof(vector));
	sig = fault_of(load_vector, (void *)p);
	printf("vector load: signal %d\n", sig);
	for (i = 0; i < sizeof(vector); i++)
		bad += vector[i] != 0xff;
	printf("vector store: signal %d\n", fault_of(store_vector, (void *)p));
	sig = fault_of(execute, (void *)p);
	printf("execution: signal %d\n", sig);
	return bad || p[0] != ~0ull || sig != SIGSEGV;
}
