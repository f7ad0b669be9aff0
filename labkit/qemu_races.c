// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded into the lab's QEMU (LD_PRELOAD): mends seven places of its emulated x86, up to at least 7.2. In three of them one
 * thread changes a word by a plain read, modify and write while another changes it too, so that one change is lost.
 *
 * cpu_clear_ignne(): every FXRSTOR, XRSTOR and FLDENV calls it, on any CPU and in that CPU's thread, and it clears
 * one bit in the hflags2 of the FIRST CPU. The first CPU's own thread changes the same word at VMRUN, #VMEXIT, STGI
 * and CLGI, and what it wrote in between is lost: the CPU then goes on as a guest in its host's state, or with the
 * interrupts of the wrong side, and soon ends in a triple fault. The function models the chipset's deassertion of
 * IGNNE#, which matters only to software that has set it by a write to port F0h after a floating point error
 * (CR0.NE = 0). Linux has not. Here it does nothing.
 *
 * helper_vmrun(): where V_IRQ is set it sets CPU_INTERRUPT_VIRQ in the CPU's interrupt_request without the lock
 * under which every other thread sets its bits there. A timer's interrupt that comes in the same instant is lost,
 * and a CPU whose timer is not periodic waits for it until something else interrupts it: 21 seconds, when that is
 * the other CPUs' RCU stall detector. Here the bit is set under the lock. Later versions of QEMU set it atomically.
 *
 * do_vmexit(): clears the same bit at each #VMEXIT, without the lock too. Besides timers' interrupts NMIs have been seen to
 * be lost by that, one in a storm of some 100,000. Here the bit is cleared only if it is set, which nobody does but the
 * CPU's own thread, and under the lock.
 *
 * cpu_interrupt(): asserts that the caller has that lock. helper_write_crN() has not, which calls it for a guest that
 * moves to CR8 while V_IRQ is set, as OVMF's interrupt handlers do, and QEMU ends itself. Here it is taken if need be.
 *
 * tb_gen_code(): reads the guest's code first, and has writes to its page noticed only when the translation is done. What
 * another CPU writes in between is missed for ever. Linux changes its code while it runs, with an INT3 in the first byte
 * until the rest is there, and a CPU that has such an INT3 translated takes it without end. Here the code is compared
 * with what it was before the translation, which is thrown away if they differ. Since 8.1 QEMU locks the page before it
 * reads.
 *
 * x86_cpu_do_interrupt(): the same comes about when a CPU makes its TLB entry for the write just before the page
 * becomes one of code, and writes just after. Here an INT3 is delivered only if there is one in memory.
 *
 * The same: helper_vmrun() leaves the number of an interrupt that it has injected as that of an exception which is to come.
 * If the CPU has to leave its loop before the next interrupt, as with -icount it does all the time, it is delivered a
 * second time, into the handler and with interrupts off: Linux then waits for ever for a lock that it has. Here what is
 * no exception's number and no INT instruction's is not delivered, and the CPU leaves its loop.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VIRQ 0x100u /* CPU_INTERRUPT_VIRQ */

/* helper_vmrun() is not exported; do_vmexit() of the same file is, and follows it. */
#define VMRUN_BEFORE_VMEXIT 0x4000
#define VMEXIT_BYTES	    0x600

#define GUEST_PAGE 4096u
#define GEN_TRIES  16 /* code that changes all the time is used as it was found */

/* tb_gen_code() is called by two functions that are next to one another, of less than this. */
#define GEN_CALLERS 0x2000

#define INT3	    0xcc
#define EXCEPTIONS  32
#define KERNEL_HALF 0xff00000000000000u /* of the address space; code segments have no base there */

#define STUB_STEP  (1 << 20)
#define STUB_REACH (1 << 30)

static bool (*bql_locked)(void);
static void (*bql_lock)(const char *file, int line);
static void (*bql_unlock)(void);

/* OR or AND r/m32, imm32 with a base register and a 32-bit displacement: its parts. */
struct rmw_insn {
	uint8_t *at;
	int len;
	bool rex_b;
	uint8_t base;
	int32_t disp;
};

/* Called from the stubs: only %rdi is free. */
__attribute__((used)) static void change_virq(uint32_t *interrupt_request, uint32_t clear,
					      uint32_t set)
{
	const bool locked = bql_locked();

	if (!locked)
		bql_lock(__FILE__, __LINE__);
	*interrupt_request = (*interrupt_request & ~clear) | set;
	if (!locked)
		bql_unlock();
}

void set_virq_entry(void);
void clear_virq_entry(void);
__asm__(".text\n"
	"clear_virq_entry:\n"
	"	testl	$0x100, (%rdi)\n"
	"	jz	1f\n"
	"	push	%rsi\n"
	"	push	%rdx\n"
	"	mov	$0x100, %esi\n"
	"	xor	%edx, %edx\n"
	"	jmp	2f\n"
	"set_virq_entry:\n"
	"	push	%rsi\n"
	"	push	%rdx\n"
	"	xor	%esi, %esi\n"
	"	mov	$0x100, %edx\n"
	"2:	push	%rax\n"
	"	push	%rcx\n"
	"	push	%r8\n"
	"	push	%r9\n"
	"	push	%r10\n"
	"	push	%r11\n"
	"	sub	$520, %rsp\n"
	"	fxsave64 (%rsp)\n"
	"	call	change_virq\n"
	"	fxrstor64 (%rsp)\n"
	"	add	$520, %rsp\n"
	"	pop	%r11\n"
	"	pop	%r10\n"
	"	pop	%r9\n"
	"	pop	%r8\n"
	"	pop	%rcx\n"
	"	pop	%rax\n"
	"	pop	%rdx\n"
	"	pop	%rsi\n"
	"1:	ret\n");

static void give_up(const char *why)
{
	fprintf(stderr, "%s: see labkit/qemu_races.c\n", why);
	exit(EXIT_FAILURE);
}

static void *symbol(const char *name)
{
	void *at = dlsym(RTLD_DEFAULT, name);

	if (!at)
		give_up("this QEMU does not export a function that is looked for");
	return at;
}

static void write_code(uint8_t *at, const uint8_t *code, int len)
{
	const uintptr_t page = sysconf(_SC_PAGESIZE);
	const uintptr_t start = (uintptr_t)at & -page;
	const size_t size = (uintptr_t)at + len - start;

	if (mprotect((void *)start, size, PROT_READ | PROT_WRITE | PROT_EXEC))
		give_up("QEMU's code cannot be made writable");
	memcpy(at, code, len);
	mprotect((void *)start, size, PROT_READ | PROT_EXEC);
}

static void mend_clear_ignne(void)
{
	const uint8_t ret = 0xc3;

	write_code(symbol("cpu_clear_ignne"), &ret, sizeof(ret));
}

/* QEMU's table of what its accelerator does, and where in it the function is that cpu_interrupt() calls. */
static uint8_t **accel_ops;
static uint32_t accel_handle_interrupt;

static void cpu_interrupt_locked(void *cpu, int mask)
{
	void (*handle)(void *, int);
	const bool locked = bql_locked();

	memcpy(&handle, *accel_ops + accel_handle_interrupt, sizeof(handle));
	if (!locked)
		bql_lock(__FILE__, __LINE__);
	handle(cpu, mask);
	if (!locked)
		bql_unlock();
}

/* It begins: MOV cpus_accel(%RIP), %RAX; PUSH %RBX; MOV %RDI, %RBX; MOV handle_interrupt(%RAX), %RAX. */
static void mend_cpu_interrupt(void)
{
	static const uint8_t load[] = { 0x48, 0x8b, 0x05 };
	static const uint8_t next[] = { 0x53, 0x48, 0x89, 0xfb, 0x48, 0x8b, 0x80 };
	const uint64_t target = (uintptr_t)cpu_interrupt_locked;
	uint8_t jump[12] = { 0x48, 0xb8 }; /* MOV $target, %RAX; JMP *%RAX */
	uint8_t *at = symbol("cpu_interrupt");
	int32_t disp;

	if (memcmp(at, load, sizeof(load)) || memcmp(at + 7, next, sizeof(next)))
		give_up("this QEMU's cpu_interrupt() is not as it is looked for");
	memcpy(&disp, at + 3, 4);
	accel_ops = (uint8_t **)(at + 7 + disp);
	memcpy(&accel_handle_interrupt, at + 14, 4);
	memcpy(jump + 2, &target, 8);
	jump[10] = 0xff;
	jump[11] = 0xe0;
	write_code(at, jump, sizeof(jump));
}

#define MODRM_OR  0x88 /* 81 /1 with a base and a 32-bit displacement; the base is in the low bits */
#define MODRM_AND 0xa0 /* 81 /4 */

static bool decode_rmw(uint8_t *at, uint8_t modrm, uint32_t imm, struct rmw_insn *insn)
{
	const bool rex_b = at[0] == 0x41;
	const uint8_t *p = at + rex_b;
	uint32_t found;

	memcpy(&insn->disp, p + 2, 4);
	memcpy(&found, p + 6, 4);
	insn->at = at;
	insn->len = 10 + rex_b;
	insn->rex_b = rex_b;
	insn->base = p[1] & 7;
	return p[0] == 0x81 && (p[1] & 0xf8) == modrm && insn->base != 4 && found == imm;
}

/* The one such instruction between @at and @end. */
static struct rmw_insn find_rmw(uint8_t *at, const uint8_t *end, uint8_t modrm, uint32_t imm)
{
	struct rmw_insn insn, found = { 0 };

	for (; at < end; at++) {
		if (!decode_rmw(at, modrm, imm, &insn))
			continue;
		if (found.at && !(found.rex_b && at == found.at + 1))
			give_up("this QEMU changes VIRQ in more places than are looked for");
		if (!found.at)
			found = insn;
	}
	if (!found.at)
		give_up("this QEMU does not change VIRQ as it is looked for");
	return found;
}

static uint8_t *page_near(const uint8_t *code)
{
	const uintptr_t page = sysconf(_SC_PAGESIZE);

	for (long off = STUB_STEP; off < STUB_REACH; off += STUB_STEP) {
		void *want = (void *)(((uintptr_t)code - off) & -page);
		void *got = mmap(want, page, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (got == want)
			return got;
		if (got != MAP_FAILED)
			munmap(got, page);
	}
	give_up("there is no free page near QEMU's code");
	return NULL;
}

/* push %rdi; lea disp(base), %rdi; call *entry(%rip); pop %rdi; ret; entry */
static uint8_t *make_stub(const struct rmw_insn *insn, void (*entry)(void))
{
	uint8_t code[32] = { 0x57, 0x48, 0x8d, 0, 0, 0, 0, 0, 0xff, 0x15, 2, 0, 0, 0, 0x5f, 0xc3 };
	uint8_t *stub = page_near(insn->at);

	code[1] |= insn->rex_b;
	code[3] = 0xb8 | insn->base;
	memcpy(&code[4], &insn->disp, 4);
	memcpy(&code[16], &entry, 8);
	memcpy(stub, code, sizeof(code));
	mprotect(stub, sysconf(_SC_PAGESIZE), PROT_READ | PROT_EXEC);
	return stub;
}

static void mend_rmw(const struct rmw_insn *insn, void (*entry)(void))
{
	const int32_t rel = make_stub(insn, entry) - (insn->at + 5);
	uint8_t call[11] = { 0xe8, 0, 0, 0, 0, 0x66, 0x0f, 0x1f, 0x44, 0, 0 };

	memcpy(&call[1], &rel, 4);
	if (insn->len == 10)
		memmove(&call[5], &call[6], 5);
	write_code(insn->at, call, insn->len);
}

/* The distance from a CPU to what of it is the instruction set's, by the member that two functions reach from either. */
static intptr_t find_env(int32_t env_to_request)
{
	const uint8_t *at = symbol("cpu_interrupt"), *end = at + 0x60;
	int32_t cpu_to_request;

	for (; at < end; at++) { /* OR %ESI, disp32(%RDI) */
		if (at[0] != 0x09 || at[1] != 0xb7)
			continue;
		memcpy(&cpu_to_request, at + 2, 4);
		return (intptr_t)cpu_to_request - env_to_request;
	}
	give_up("this QEMU's cpu_interrupt() is not as it is looked for");
	return 0;
}

static intptr_t cpu_to_env;
static void *(*tb_gen_code)(void *cpu, uint64_t pc, uint64_t cs_base, uint32_t flags, int cflags);
static void (*tb_phys_invalidate)(void *tb, uint64_t page_addr);
static uint64_t (*code_page)(void *env, uint64_t pc, void **host);

/* What is in the page from @pc on: a translation ends with the page, but for the end of its last instruction. */
static void *gen_code(void *cpu, uint64_t pc, uint64_t cs_base, uint32_t flags, int cflags)
{
	const size_t len = GUEST_PAGE - pc % GUEST_PAGE;
	uint8_t before[GUEST_PAGE];
	void *host = NULL, *tb;

	for (int tries = 0;; tries++) {
		if (code_page((uint8_t *)cpu + cpu_to_env, pc, &host) != UINT64_MAX)
			memcpy(before, host, len);
		else
			host = NULL;
		tb = tb_gen_code(cpu, pc, cs_base, flags, cflags);
		if (!host || !memcmp(before, host, len) || tries == GEN_TRIES)
			return tb;
		tb_phys_invalidate(tb, UINT64_MAX);
	}
}

/* Make the calls of @from in @len bytes at @at calls of @target, by a jump that they can reach. Returns how many. */
static int redirect_calls(uint8_t *at, int len, void *from, void *target)
{
	uint8_t jump[14] = { 0xff, 0x25, 0, 0, 0, 0 }; /* JMP *0(%RIP); target */
	uint8_t *end = at + len, *stub = page_near(at);
	int32_t rel;
	int calls = 0;

	memcpy(jump + 6, &target, 8);
	memcpy(stub, jump, sizeof(jump));
	mprotect(stub, sysconf(_SC_PAGESIZE), PROT_READ | PROT_EXEC);
	for (; at < end; at++) {
		memcpy(&rel, at + 1, 4);
		if (at[0] != 0xe8 || at + 5 + rel != (uint8_t *)from)
			continue;
		rel = stub - (at + 5);
		write_code(at + 1, (uint8_t *)&rel, sizeof(rel));
		calls++;
	}
	return calls;
}

static void mend_gen_code(int32_t env_to_request)
{
	tb_gen_code = symbol("tb_gen_code");
	tb_phys_invalidate = symbol("tb_phys_invalidate");
	code_page = symbol("get_page_addr_code_hostp");
	cpu_to_env = find_env(env_to_request);
	if (redirect_calls(symbol("cpu_exec_step_atomic"), GEN_CALLERS, tb_gen_code, gen_code) != 2)
		give_up("this QEMU does not call tb_gen_code() where it is looked for");
}

static void (*do_interrupt_all)(void *cpu, int intno, int is_int, int error_code, uint64_t next_eip,
				int is_hw);
static void (*tb_flush)(void *cpu);
static void (*cpu_exit)(void *cpu);

/*
 * Not a second time what VMRUN has injected. An INT3 of a kernel in long mode that is not in memory: the processor goes
 * on at what is there instead.
 */
static void deliver(void *cpu, int intno, int is_int, int error_code, uint64_t next_eip, int is_hw)
{
	const uint8_t *code = NULL;

	if (intno >= EXCEPTIONS && !is_int) {
		cpu_exit(cpu);
		return;
	}
	if (intno == 3 && is_int && next_eip > KERNEL_HALF &&
	    code_page((uint8_t *)cpu + cpu_to_env, next_eip - 1, (void **)&code) != UINT64_MAX &&
	    *code != INT3) {
		tb_flush(cpu);
		return;
	}
	do_interrupt_all(cpu, intno, is_int, error_code, next_eip, is_hw);
}

static void mend_do_interrupt(void)
{
	void *target = deliver;

	do_interrupt_all = symbol("do_interrupt_all");
	tb_flush = symbol("tb_flush");
	cpu_exit = symbol("cpu_exit");
	if (redirect_calls(symbol("x86_cpu_do_interrupt"), 0x80, do_interrupt_all, target) != 1)
		give_up("this QEMU does not call do_interrupt_all() where it is looked for");
}

__attribute__((constructor)) static void mend(void)
{
	uint8_t *vmexit = symbol("do_vmexit");
	const struct rmw_insn set = find_rmw(vmexit - VMRUN_BEFORE_VMEXIT, vmexit, MODRM_OR, VIRQ);
	const struct rmw_insn clear = find_rmw(vmexit, vmexit + VMEXIT_BYTES, MODRM_AND, ~VIRQ);

	bql_locked = symbol("qemu_mutex_iothread_locked");
	bql_lock = symbol("qemu_mutex_lock_iothread_impl");
	bql_unlock = symbol("qemu_mutex_unlock_iothread");
	if (set.disp != clear.disp)
		give_up("this QEMU's helper_vmrun() and do_vmexit() change different words");
	mend_clear_ignne();
	mend_rmw(&set, set_virq_entry);
	mend_rmw(&clear, clear_virq_entry);
	mend_cpu_interrupt();
	mend_gen_code(set.disp);
	mend_do_interrupt();
	unsetenv("LD_PRELOAD");
}
