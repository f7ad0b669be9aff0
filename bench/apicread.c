// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ticks of the TSC per read of a local APIC register by the root: PLINTH_GET_CPU_STATE reads the
 * same registers whether the core is launched or not, so the difference is the price of the trap.
 *
 *   apicread  ->  "apic N"
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <plinth/uapi.h>
#include <plinth/abi.h>

#define APIC_READS 39 /* of plinth_capture(): 15 single registers, ISR, TMR, IRR */
#define ROUNDS	   200

static uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

int main(void)
{
	static struct plinth_cpu_state state;
	struct plinth_get_state get = { .buffer = (uintptr_t)&state,
					.size = sizeof(state),
					.now = 1 };
	int fd = open(PLINTH_DEVICE, O_RDWR), i;
	uint64_t start;

	if (fd < 0 && system("modprobe plinth") == 0)
		fd = open(PLINTH_DEVICE, O_RDWR);
	if (fd < 0 || ioctl(fd, PLINTH_GET_CPU_STATE, &get))
		err(1, PLINTH_DEVICE);
	start = rdtsc();
	for (i = 0; i < ROUNDS; i++)
		ioctl(fd, PLINTH_GET_CPU_STATE, &get);
	printf("apic %lu\n", (rdtsc() - start) / ROUNDS / APIC_READS);
	return 0;
}
