// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of every online CPU as plinth captures it (L2), as lines "CPU FIELD VALUE" below lines "== NAME":
 *	cpustate dump NAME [launch]	as it is now, or as it was captured at the launch
 *	cpustate changed		the module regs is loaded, and plinth, which is not launched: launches, changes
 *					CR4, DR0, DR7 and LDTR on every CPU, retires, and looks whether they still
 *					work: dumps "changed" and "kept"
 *	cpustate cleared		the other way round: they are set before the launch and cleared under the core:
 *					dumps "set", "launched", "cleared", "end"
 *	cpustate launch, cpustate retire	the ioctl alone: prints the error's name and the module's sentence
 * Status 0 if all could be done and breakpoints and segments did what they should.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <plinth/uapi.h> /* first: it has the types */

#include <plinth/abi.h>

#define REGS	 "/sys/module/regs/parameters/"
#define LDT_ES	 0x07 /* entry 0, LDT, RPL 3 */
#define MAX_CPUS 256

static int device;
static int online;

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "cpustate: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- dumps ---- */

#define U64(field)                                                                                 \
	{                                                                                          \
#field, offsetof(struct plinth_cpu_state, field),                                  \
	}
static const struct {
	const char *name;
	size_t offset;
} words[] = {
	U64(rflags),
	U64(cr0),
	U64(cr2),
	U64(cr3),
	U64(cr4),
	U64(cr8),
	U64(dr0),
	U64(dr1),
	U64(dr2),
	U64(dr3),
	U64(dr6),
	U64(dr7),
	U64(star),
	U64(lstar),
	U64(cstar),
	U64(sfmask),
	U64(efer),
	U64(pat),
	U64(kernel_gs_base),
	U64(sysenter_cs),
	U64(sysenter_esp),
	U64(tsc_aux),
	U64(debugctl),
	U64(xcr0),
	U64(xss),
	U64(apic_base),
	U64(sysenter_eip),
};

static void dump_segment(int cpu, const char *name, const struct plinth_seg *s)
{
	printf("%d %s %x/%x/%x/%llx\n", cpu, name, s->selector, s->attrib, s->limit,
	       (unsigned long long)s->base);
}

static void dump_cpu(int cpu, const struct plinth_cpu_state *st)
{
	unsigned int i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		printf("%d %s %llx\n", cpu, words[i].name,
		       *(const unsigned long long *)((const char *)st + words[i].offset));
	dump_segment(cpu, "cs", &st->cs);
	dump_segment(cpu, "ds", &st->ds);
	dump_segment(cpu, "ss", &st->ss);
	dump_segment(cpu, "es", &st->es);
	dump_segment(cpu, "fs", &st->fs);
	dump_segment(cpu, "gs", &st->gs);
	dump_segment(cpu, "tr", &st->tr);
	dump_segment(cpu, "ldtr", &st->ldtr);
	dump_segment(cpu, "gdtr", &st->gdtr);
	dump_segment(cpu, "idtr", &st->idtr);
	printf("%d apic_valid %u\n", cpu, st->apic_valid);
	for (i = 0; i < PLINTH_APIC_REGS; i++)
		printf("%d apic_%03x %x\n", cpu, i * 16, st->apic_regs[i]);
}

static void dump(const char *name, bool now)
{
	static struct plinth_cpu_state st;
	struct plinth_get_state get = { .buffer = (uintptr_t)&st, .size = sizeof(st), .now = now };
	int n = 0;

	printf("== %s\n", name);
	for (get.cpu = 0; get.cpu < MAX_CPUS; get.cpu++) {
		if (!ioctl(device, PLINTH_GET_CPU_STATE, &get)) {
			dump_cpu(get.cpu, &st);
			n++;
		} else if (errno != ENODEV) {
			fail("PLINTH_GET_CPU_STATE");
		}
	}
	if (n != online) {
		fprintf(stderr, "cpustate: %d CPUs instead of %d\n", n, online);
		exit(1);
	}
	fflush(stdout);
}

/* ---- what regs.ko does ---- */

static void regs(const char *param, const char *value)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), REGS "%s", param);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fail(path);
	close(fd);
}

static int hits(void)
{
	int n = -1;
	FILE *f = fopen(REGS "hits", "r");

	if (!f || fscanf(f, "%d", &n) != 1)
		fail("hits");
	fclose(f);
	return n;
}

/* Every CPU writes the variable; the breakpoint is hit on each of them, or on none. */
static void touch(bool watched)
{
	int before = hits();

	regs("touch", "1");
	if (hits() - before != (watched ? online : 0)) {
		fprintf(stderr, "cpustate: %d breakpoints hit by %d CPUs\n", hits() - before,
			online);
		exit(1);
	}
}

static void control(unsigned long request, const char *what)
{
	if (ioctl(device, request))
		fail(what);
}

/* ---- an LDT on every CPU: this process's threads spin on them ---- */

static uint32_t *ldt_data;
static _Atomic int spinning;
static _Atomic bool stop;

static void *spin(void *cpu)
{
	uint32_t word;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((intptr_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("sched_setaffinity");
	__asm__ volatile("mov %0, %%es" : : "r"(LDT_ES));
	spinning++;
	while (!stop) {
		/* A load of the segment register looks the descriptor up. */
		__asm__ volatile("mov %1, %%es; lsl %1, %0" : "=r"(word) : "r"(LDT_ES));
		if (word != 0x3f) {
			fprintf(stderr, "cpustate: limit %#x in the LDT\n", word);
			exit(1);
		}
	}
	return NULL;
}

static void spin_everywhere(pthread_t *thread)
{
	struct user_desc d = { .limit = 0x3f, .seg_32bit = 1, .useable = 1 };
	cpu_set_t set;
	int cpu, n = 0;

	ldt_data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
			-1, 0);
	if (ldt_data == MAP_FAILED)
		fail("mmap");
	d.base_addr = (uintptr_t)ldt_data;
	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d)) < 0)
		fail("modify_ldt");
	if (sched_getaffinity(0, sizeof(set), &set))
		fail("sched_getaffinity");
	for (cpu = 0; cpu < MAX_CPUS; cpu++)
		if (CPU_ISSET(cpu, &set) &&
		    pthread_create(&thread[n++], NULL, spin, (void *)(intptr_t)cpu))
			fail("pthread_create");
	while (spinning < online)
		sched_yield();
}

/* -> the program's status. */
static int request(unsigned long number)
{
	struct plinth_error error = { "" };

	if (!ioctl(device, number))
		return 0;
	printf("%s: ", strerrorname_np(errno));
	if (ioctl(device, PLINTH_GET_ERROR, &error))
		fail("PLINTH_GET_ERROR");
	printf("%.*s\n", (int)sizeof(error.text), error.text);
	return 1;
}

static void changed(void)
{
	pthread_t thread[MAX_CPUS];
	int i;

	control(PLINTH_LAUNCH, "launch");
	touch(false);
	spin_everywhere(thread);
	regs("cr4", "1");
	regs("watch", "1");
	touch(true);
	dump("changed", true);
	control(PLINTH_RETIRE, "retire");
	dump("kept", true);
	touch(true);
	stop = true;
	for (i = 0; i < online; i++)
		pthread_join(thread[i], NULL);
	regs("watch", "0");
	touch(false);
	regs("cr4", "0");
}

static void cleared(void)
{
	regs("cr4", "1");
	regs("watch", "1");
	touch(true);
	dump("set", true);
	control(PLINTH_LAUNCH, "launch");
	dump("launched", true);
	touch(true);
	regs("watch", "0");
	regs("cr4", "0");
	touch(false);
	dump("cleared", true);
	control(PLINTH_RETIRE, "retire");
	dump("end", true);
	touch(false);
}

int main(int argc, char **argv)
{
	device = open(PLINTH_DEVICE, O_RDWR);
	if (device < 0)
		fail(PLINTH_DEVICE);
	online = sysconf(_SC_NPROCESSORS_ONLN);
	if (argc == 2 && !strcmp(argv[1], "launch"))
		return request(PLINTH_LAUNCH);
	if (argc == 2 && !strcmp(argv[1], "retire"))
		return request(PLINTH_RETIRE);
	if (argc > 2 && !strcmp(argv[1], "dump"))
		dump(argv[2], argc == 3);
	else if (argc == 2 && !strcmp(argv[1], "changed"))
		changed();
	else if (argc == 2 && !strcmp(argv[1], "cleared"))
		cleared();
	else
		return 2;
	return 0;
}
