// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator against the CPU it runs on: random operands, the same instruction natively and
 * emulated, then registers, defined flags and memory compared; in 64-bit and in 32-bit code. What
 * user space cannot run (segments, faults, restarts, ports, real mode) is tested by hand.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <cmocka.h>
#include "core/x86/emul.h"

#define UNUSED __attribute__((unused))

#define CF     0x001ull
#define PF     0x004ull
#define AF     0x010ull
#define ZF     0x040ull
#define SF     0x080ull
#define DF     0x400ull
#define OF     0x800ull
#define STATUS (CF | PF | AF | ZF | SF | OF)

/* Fixed low addresses, so that code can reach its state without a register. */
#define CODE	  0x10000000ull
#define STATE	  0x10002000ull
#define DATA	  0x10010000ull
#define DATA_SIZE 0x4000u
#define DATA_MID  (DATA + DATA_SIZE / 2)

/* --- The virtual machine --- */

static struct emul_seg flat[6];

struct machine {
	struct emul e;
	u8 mem[DATA_SIZE]; /* at DATA */
	u8 io_buf[64];
	unsigned int reads, writes, cmpxchgs, probes;
	bool wrote;    /* since the run began */
	int next_read; /* what read() returns instead of 0, once */
	int next_write;
	int next_in;
	u16 port;
	unsigned int io_size, io_count;
	u8 io_data[64];
};

static struct machine vm;

static bool inside(u64 linear, unsigned int len)
{
	return linear >= DATA && linear + len <= DATA + DATA_SIZE;
}

static int vm_read(struct emul *e UNUSED, u64 linear, void *buf, unsigned int len,
		   unsigned int flags UNUSED)
{
	int ret = vm.next_read;

	assert_false(vm.wrote); /* no read after a write */
	vm.next_read = 0;
	if (ret)
		return ret;
	if (!inside(linear, len)) {
		vm.e.fault = (struct emul_fault){ 14, true, flags & EMUL_WRITE ? 2 : 0, linear };
		return -EFAULT;
	}
	memcpy(buf, vm.mem + (linear - DATA), len);
	vm.reads++;
	return 0;
}

static int vm_write(struct emul *e UNUSED, u64 linear, const void *buf, unsigned int len,
		    unsigned int flags)
{
	int ret = vm.next_write;

	assert_true(flags & EMUL_WRITE);
	vm.next_write = 0;
	if (ret)
		return ret;
	if (!inside(linear, len)) {
		vm.e.fault = (struct emul_fault){ 14, true, 2, linear };
		return -EFAULT;
	}
	if (flags & EMUL_PROBE) {
		assert_null(buf);
		vm.probes++;
		return 0;
	}
	assert_false(vm.wrote); /* one write */
	vm.wrote = true;
	memcpy(vm.mem + (linear - DATA), buf, len);
	vm.writes++;
	return 0;
}

static int vm_cmpxchg(struct emul *e UNUSED, u64 linear, const void *old, const void *new,
		      unsigned int len)
{
	assert_true(inside(linear, len));
	vm.cmpxchgs++;
	if (memcmp(vm.mem + (linear - DATA), old, len))
		return -EBUSY;
	assert_false(vm.wrote);
	vm.wrote = true;
	memcpy(vm.mem + (linear - DATA), new, len);
	return 0;
}

static int vm_in(struct emul *e UNUSED, u16 port, unsigned int size, void *buf, unsigned int count)
{
	int ret = vm.next_in;
	unsigned int i;

	vm.next_in = 0;
	if (ret)
		return ret;
	vm.port = port;
	vm.io_size = size;
	vm.io_count = count;
	for (i = 0; i < size * count; i++)
		((u8 *)buf)[i] = 0xa0 + i;
	return 0;
}

static int vm_out(struct emul *e UNUSED, u16 port, unsigned int size, const void *buf,
		  unsigned int count)
{
	vm.port = port;
	vm.io_size = size;
	vm.io_count = count;
	memcpy(vm.io_data, buf, size * count);
	return 0;
}

static void vm_reset(enum insn_mode mode)
{
	unsigned int i;

	memset(&vm, 0, sizeof(vm));
	for (i = 0; i < 6; i++)
		flat[i] = (struct emul_seg){ 0x10 + 8 * i, 0xc93, 0xffffffff, 0 };
	flat[INSN_CS].attrib = mode == INSN_MODE_64 ? 0xa9b : mode == INSN_MODE_32 ? 0xc9b : 0x9b;
	if (mode == INSN_MODE_16) {
		for (i = 0; i < 6; i++) {
			flat[i].limit = 0xffff;
			if (i != INSN_CS)
				flat[i].attrib = 0x93;
		}
	}
	vm.e.seg = flat;
	vm.e.cr0 = 1;
	vm.e.cr4 = 1 << 9;
	vm.e.efer = mode == INSN_MODE_64 ? 0x500 : 0;
	vm.e.rflags = 2;
	vm.e.rip = CODE;
	vm.e.read = vm_read;
	vm.e.write = vm_write;
	vm.e.cmpxchg = vm_cmpxchg;
	vm.e.in = vm_in;
	vm.e.out = vm_out;
}

static int vm_run(enum insn_mode mode, const char *bytes, unsigned int n)
{
	struct insn insn;

	vm.wrote = false;
	assert_int_equal(insn_decode(&insn, (const u8 *)bytes, n, mode), n);
	return emul_run(&vm.e, &insn);
}

#define RUN(bits, bytes) vm_run(INSN_MODE_##bits, bytes, sizeof(bytes) - 1)

/* --- The real CPU --- */

struct native_state {
	u64 gpr[16];
	u64 rflags;
	u64 out_gpr[16];
	u64 out_rflags;
	u64 host_rsp;
	u32 enter32[2]; /* far pointers: offset, selector */
	u32 leave32[2];
};

#define native	   ((struct native_state *)STATE)
#define OFF(field) (STATE + offsetof(struct native_state, field))

static u8 *code_at(u64 address)
{
	return (u8 *)address;
}

struct assembler {
	u8 *p;
};

static void emit(struct assembler *a, const char *bytes, unsigned int n)
{
	memcpy(a->p, bytes, n);
	a->p += n;
}

static void emit32(struct assembler *a, u64 value)
{
	u32 v = value;

	memcpy(a->p, &v, 4);
	a->p += 4;
}

/* mov reg, [address] or mov [address], reg: an absolute address in 64-bit code */
static void emit_mov64(struct assembler *a, u8 opcode, unsigned int reg, u64 address)
{
	*a->p++ = 0x48 | (reg >> 3 << 2);
	*a->p++ = opcode;
	*a->p++ = 0x04 | (reg & 7) << 3;
	*a->p++ = 0x25;
	emit32(a, address);
}

static void emit_mov32(struct assembler *a, u8 opcode, unsigned int reg, u64 address)
{
	*a->p++ = opcode;
	*a->p++ = 0x05 | (reg & 7) << 3;
	emit32(a, address);
}

static u64 enter64, slot64, exit64;
static u64 enter32, slot32, exit32;

/* The frames around the slot that takes the instruction. Every path restores the host's stack. */
static void build_code(void)
{
	struct assembler a = { code_at(CODE) };
	unsigned int i;

	enter64 = (u64)a.p;
	emit(&a, "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57", 10); /* push rbx rbp r12-r15 */
	emit_mov64(&a, 0x89, INSN_RSP, OFF(host_rsp));
	emit(&a, "\xff\x34\x25", 3); /* push [rflags] */
	emit32(&a, OFF(rflags));
	emit(&a, "\x9d", 1); /* popf */
	for (i = 0; i < 16; i++)
		emit_mov64(&a, 0x8b, i, OFF(gpr) + 8 * i);
	slot64 = (u64)a.p;
	a.p += 32;
	exit64 = (u64)a.p;
	for (i = 0; i < 16; i++)
		emit_mov64(&a, 0x89, i, OFF(out_gpr) + 8 * i);
	emit_mov64(&a, 0x8b, INSN_RSP, OFF(host_rsp));
	emit(&a, "\x9c\x8f\x04\x25", 4); /* pushf; pop [out_rflags] */
	emit32(&a, OFF(out_rflags));
	emit(&a, "\xfc\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3", 12);

	/* The same for 32-bit code: entered and left by far jumps. */
	a.p = code_at(CODE + 0x800);
	enter32 = (u64)a.p;
	emit(&a, "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57", 10);
	emit_mov64(&a, 0x89, INSN_RSP, OFF(host_rsp));
	emit(&a, "\xff\x34\x25", 3);
	emit32(&a, OFF(rflags));
	emit(&a, "\x9d", 1);
	/* mov $__USER_DS, %eax; mov %eax, %ds; mov %eax, %es: 64-bit programs have null there */
	emit(&a, "\xb8\x2b\x00\x00\x00\x8e\xd8\x8e\xc0", 9);
	emit(&a, "\xff\x2c\x25", 3); /* ljmp [enter32] */
	emit32(&a, OFF(enter32));
	a.p = code_at(CODE + 0x900);
	native->enter32[0] = (u32)(u64)a.p;
	native->enter32[1] = 0x23; /* __USER32_CS */
	for (i = 0; i < 8; i++)
		emit_mov32(&a, 0x8b, i, OFF(gpr) + 8 * i);
	slot32 = (u64)a.p;
	a.p += 32;
	exit32 = (u64)a.p;
	for (i = 0; i < 8; i++)
		emit_mov32(&a, 0x89, i, OFF(out_gpr) + 8 * i);
	emit(&a, "\xff\x2d", 2); /* ljmp [leave32] */
	emit32(&a, OFF(leave32));
	a.p = code_at(CODE + 0xa00);
	native->leave32[0] = (u32)(u64)a.p;
	native->leave32[1] = 0x33; /* __USER_CS */
	emit_mov64(&a, 0x8b, INSN_RSP, OFF(host_rsp));
	emit(&a, "\x9c\x8f\x04\x25", 4);
	emit32(&a, OFF(out_rflags));
	emit(&a, "\xfc\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3", 12);
}

static volatile sig_atomic_t native_signal;

static void on_signal(int sig, siginfo_t *info UNUSED, void *context)
{
	ucontext_t *uc = context;
	u64 rip = (u64)uc->uc_mcontext.gregs[REG_RIP];

	native_signal = sig;
	if (rip == slot64)
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)exit64;
	else if (rip == slot32)
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)exit32;
	else
		abort();
}

/* cmocka has its own handlers, on the stack that the instruction under test may have replaced. */
static void catch_signals(void)
{
	static u8 stack[65536];
	static const int signals[] = { SIGFPE, SIGSEGV, SIGILL, SIGBUS };
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	unsigned int i;

	assert_int_equal(sigaltstack(&ss, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		assert_int_equal(sigaction(signals[i], &sa, NULL), 0);
}

static int setup(void **state UNUSED)
{
	if (mmap((void *)CODE, 0x10000, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    mmap((void *)DATA, DATA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -1;
	build_code();
	return 0;
}

/* Runs one instruction on the CPU, from and to *native. Returns the signal, or 0. */
__attribute__((no_sanitize("address", "undefined"))) static int native_run(enum insn_mode mode,
									   const u8 *bytes,
									   unsigned int n)
{
	u64 slot = mode == INSN_MODE_64 ? slot64 : slot32;
	u64 exit = mode == INSN_MODE_64 ? exit64 : exit32;
	u64 enter = mode == INSN_MODE_64 ? enter64 : enter32;
	u8 *p = code_at(slot);
	s32 distance;

	memcpy(p, bytes, n);
	p[n] = 0xe9;
	distance = (s32)(exit - (slot + n + 5));
	memcpy(p + n + 1, &distance, 4);
	native_signal = 0;
	((void (*)(void))enter)();
	return native_signal;
}

/* --- Random instructions --- */

static u64 rng = 0x9e3779b97f4a7c15;

static u64 rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static unsigned int below(unsigned int n)
{
	return (unsigned int)(rnd() >> 32) % n;
}

/* Values around the borders are more telling than random ones. */
static u64 rnd_value(void)
{
	static const u64 border[] = { 0,
				      1,
				      0x7f,
				      0x80,
				      0xff,
				      0x7fff,
				      0x8000,
				      0xffff,
				      0x7fffffff,
				      0x80000000,
				      0xffffffff,
				      0x7fffffffffffffff,
				      0x8000000000000000,
				      ~0ull };

	switch (below(4)) {
	case 0:
		return border[below(ARRAY_SIZE(border))];
	case 1:
		return border[below(ARRAY_SIZE(border))] + below(5) - 2;
	case 2:
		return rnd() >> below(64);
	}
	return rnd();
}

/* Opcodes to be tried. reg: -1 any ModRM.reg; imm: bytes after it are random anyway. */
struct candidate {
	const char *opcode;
	u8 n;
	s8 reg;
	bool modrm;
	u8 modes; /* 1: 32-bit code only, 2: 64-bit only, 0: both */
};

#define ONE(op)                                                                                    \
	{                                                                                          \
		op, 1, -1, false, 0                                                                \
	}
#define MODRM(op)                                                                                  \
	{                                                                                          \
		op, 1, -1, true, 0                                                                 \
	}
#define DIGIT(op, d)                                                                               \
	{                                                                                          \
		op, 1, d, true, 0                                                                  \
	}
#define MODRM2(op)                                                                                 \
	{                                                                                          \
		op, 2, -1, true, 0                                                                 \
	}

/* clang-format off */
static const struct candidate arithmetic[] = {
	MODRM("\x00"), MODRM("\x01"), MODRM("\x02"), MODRM("\x03"), ONE("\x04"), ONE("\x05"),
	MODRM("\x08"), MODRM("\x09"), MODRM("\x0a"), MODRM("\x0b"), ONE("\x0c"), ONE("\x0d"),
	MODRM("\x10"), MODRM("\x11"), MODRM("\x12"), MODRM("\x13"), ONE("\x14"), ONE("\x15"),
	MODRM("\x18"), MODRM("\x19"), MODRM("\x1a"), MODRM("\x1b"), ONE("\x1c"), ONE("\x1d"),
	MODRM("\x20"), MODRM("\x21"), MODRM("\x22"), MODRM("\x23"), ONE("\x24"), ONE("\x25"),
	MODRM("\x28"), MODRM("\x29"), MODRM("\x2a"), MODRM("\x2b"), ONE("\x2c"), ONE("\x2d"),
	MODRM("\x30"), MODRM("\x31"), MODRM("\x32"), MODRM("\x33"), ONE("\x34"), ONE("\x35"),
	MODRM("\x38"), MODRM("\x39"), MODRM("\x3a"), MODRM("\x3b"), ONE("\x3c"), ONE("\x3d"),
	MODRM("\x80"), MODRM("\x81"), MODRM("\x83"), { "\x82", 1, -1, true, 1 }, MODRM("\x84"),
	MODRM("\x85"), ONE("\xa8"), ONE("\xa9"), MODRM("\xfe"), DIGIT("\xff", 0),
	DIGIT("\xff", 1), { "\x40", 1, -1, false, 1 }, { "\x43", 1, -1, false, 1 },
	{ "\x4f", 1, -1, false, 1 }, MODRM("\xf6"), MODRM("\xf7"), MODRM2("\x0f\xaf"),
	MODRM("\x69"), MODRM("\x6b"),
};

static const struct candidate shifts[] = {
	MODRM("\xc0"), MODRM("\xc1"), MODRM("\xd0"), MODRM("\xd1"), MODRM("\xd2"), MODRM("\xd3"),
	MODRM2("\x0f\xa4"), MODRM2("\x0f\xa5"), MODRM2("\x0f\xac"), MODRM2("\x0f\xad"),
};

static const struct candidate bits[] = {
	MODRM2("\x0f\xa3"), MODRM2("\x0f\xab"), MODRM2("\x0f\xb3"), MODRM2("\x0f\xbb"),
	MODRM2("\x0f\xba"), MODRM2("\x0f\xbc"), MODRM2("\x0f\xbd"),
};

static const struct candidate moves[] = {
	MODRM("\x88"), MODRM("\x89"), MODRM("\x8a"), MODRM("\x8b"), MODRM("\xc6"), MODRM("\xc7"),
	{ "\x63", 1, -1, true, 2 }, MODRM2("\x0f\xb6"), MODRM2("\x0f\xb7"), MODRM2("\x0f\xbe"),
	MODRM2("\x0f\xbf"), MODRM2("\x0f\xc3"), MODRM("\x8d"), ONE("\xb0"), ONE("\xb7"),
	ONE("\xb8"), ONE("\xbf"), MODRM("\x86"), MODRM("\x87"), ONE("\x90"), ONE("\x91"),
	ONE("\x97"), MODRM2("\x0f\xc0"), MODRM2("\x0f\xc1"), MODRM2("\x0f\xb0"),
	MODRM2("\x0f\xb1"), { "\x0f\xc7", 2, 1, true, 0 }, MODRM2("\x0f\x1f"),
	{ "\x0f\x38\xf0", 3, -1, true, 0 }, { "\x0f\x38\xf1", 3, -1, true, 0 },
	{ "\x0f\x38\xf9", 3, -1, true, 0 }, ONE("\xa0"), ONE("\xa1"), ONE("\xa2"), ONE("\xa3"),
};

static const struct candidate conditions[] = {
	MODRM2("\x0f\x40"), MODRM2("\x0f\x41"), MODRM2("\x0f\x42"), MODRM2("\x0f\x43"),
	MODRM2("\x0f\x44"), MODRM2("\x0f\x45"), MODRM2("\x0f\x46"), MODRM2("\x0f\x47"),
	MODRM2("\x0f\x48"), MODRM2("\x0f\x49"), MODRM2("\x0f\x4a"), MODRM2("\x0f\x4b"),
	MODRM2("\x0f\x4c"), MODRM2("\x0f\x4d"), MODRM2("\x0f\x4e"), MODRM2("\x0f\x4f"),
	MODRM2("\x0f\x90"), MODRM2("\x0f\x91"), MODRM2("\x0f\x92"), MODRM2("\x0f\x93"),
	MODRM2("\x0f\x94"), MODRM2("\x0f\x95"), MODRM2("\x0f\x96"), MODRM2("\x0f\x97"),
	MODRM2("\x0f\x98"), MODRM2("\x0f\x99"), MODRM2("\x0f\x9a"), MODRM2("\x0f\x9b"),
	MODRM2("\x0f\x9c"), MODRM2("\x0f\x9d"), MODRM2("\x0f\x9e"), MODRM2("\x0f\x9f"),
};

static const struct candidate strings[] = {
	ONE("\xa4"), ONE("\xa5"), ONE("\xa6"), ONE("\xa7"), ONE("\xaa"), ONE("\xab"),
	ONE("\xac"), ONE("\xad"), ONE("\xae"), ONE("\xaf"),
};

static const struct candidate stack[] = {
	ONE("\x50"), ONE("\x53"), ONE("\x54"), ONE("\x57"), ONE("\x58"), ONE("\x5c"),
	ONE("\x5f"), ONE("\x68"), ONE("\x6a"), DIGIT("\xff", 6), DIGIT("\x8f", 0),
};
/* clang-format on */

static unsigned int prefixes(u8 *p, enum insn_mode mode, bool string)
{
	unsigned int n = 0;

	if (below(3) == 0)
		p[n++] = 0x66;
	if (mode == INSN_MODE_64 && below(4) == 0)
		p[n++] = 0x67;
	if (string ? below(4) : 0)
		p[n++] = below(2) ? 0xf3 : 0xf2;
	else if (below(5) == 0)
		p[n++] = 0xf0;
	if (mode == INSN_MODE_64 && below(2))
		p[n++] = 0x40 | below(16);
	return n;
}

static unsigned int generate(u8 *p, const struct candidate *c, enum insn_mode mode, bool string)
{
	unsigned int n = prefixes(p, mode, string);
	unsigned int i;

	memcpy(p + n, c->opcode, c->n);
	n += c->n;
	if (c->modrm) {
		p[n] = rnd();
		if (below(4) == 0)
			p[n] |= 0xc0;
		if (c->reg >= 0)
			p[n] = (p[n] & 0xc7) | c->reg << 3;
		n++;
	}
	for (i = n; i < 24; i++)
		p[i] = rnd();
	return n;
}

static bool is_bit_string(const struct insn *insn)
{
	return insn->op >= INSN_BT && insn->op <= INSN_BTC && insn->form == INSN_FORM_RM_R;
}

/* Makes a register hold value in its low size bytes; what is above stays random. */
static void put(u64 *reg, unsigned int size, u64 value)
{
	u64 mask = size >= 8 ? ~0ull : BIT(8 * size) - 1;

	*reg = (*reg & ~mask) | (value & mask);
}

/*
 * Random registers with the memory operand in the data area. False if this instruction cannot be
 * placed so: it has no base register, or one that must hold something else.
 */
static bool place_operands(struct insn *insn, u8 *bytes, u64 *gpr)
{
	bool is_string = insn->op >= INSN_STOS && insn->op <= INSN_CMPS;
	bool is_stack = insn->op == INSN_PUSH || insn->op == INSN_POP;
	u64 target = DATA_MID + below(0x800) - 0x400;
	unsigned int i;
	u64 offset;

	for (i = 0; i < 16; i++)
		gpr[i] = rnd_value();
	if (insn->flags & INSN_LOCK || insn->op == INSN_XCHG || insn->op == INSN_CMPXCHG16B)
		target &= ~15ull; /* no split locks */
	if (insn->op == INSN_XADD || insn->op == INSN_CMPXCHG8B)
		target &= ~15ull;
	if (is_string) {
		put(&gpr[INSN_RSI], insn->addrsize, DATA_MID + below(64));
		put(&gpr[INSN_RDI], insn->addrsize, DATA_MID + below(64));
		/*
		 * With 67 and a count of zero Intel's CPUs clear the upper half of RCX (and of
		 * more), AMD's change nothing; so does the emulator.
		 */
		put(&gpr[INSN_RCX], insn->addrsize,
		    below(20) + (insn->flags & INSN_ADDRSIZE ? 1 : 0));
		return true;
	}
	if (is_stack)
		gpr[INSN_RSP] = DATA_MID - 0x800 + below(64);
	if (insn->form == INSN_FORM_A_MOFFS || insn->form == INSN_FORM_MOFFS_A) {
		memcpy(bytes + insn->len - insn->addrsize, &target, insn->addrsize);
		return true;
	}
	if (!(insn->flags & INSN_MEM) || insn->op == INSN_LEA || insn->op == INSN_NOP)
		return true;
	if (insn->base == INSN_NO_REG || insn->base == INSN_RIP || insn->base == insn->index)
		return false;
	if (is_stack && (insn->base == INSN_RSP || insn->index == INSN_RSP))
		return false;
	if (is_bit_string(insn)) {
		if (insn->reg == insn->base || insn->reg == insn->index)
			return false;
		put(&gpr[insn->reg], insn->opsize, (u64)below(0x4000) - 0x2000);
	}
	vm.e.rip = 0;
	memcpy(vm.e.gpr, gpr, sizeof(vm.e.gpr));
	offset = emul_offset(&vm.e, insn) - gpr[insn->base];
	put(&gpr[insn->base], insn->addrsize, target - offset);
	return true;
}

static unsigned int shift_count(const struct insn *insn, const u64 *gpr)
{
	unsigned int count = insn->form == INSN_FORM_RM_1 ? 1 : insn->imm;

	if (insn->form == INSN_FORM_RM_CL || insn->form == INSN_FORM_RM_R_CL)
		count = gpr[INSN_RCX];
	return count & (insn->opsize == 8 ? 63 : 31);
}

/* Flags that the manuals call undefined after this instruction; -1: the result is, too. */
static s64 undefined_flags(const struct insn *insn, const u64 *gpr)
{
	unsigned int bits = 8 * insn->opsize;
	unsigned int count;

	switch (insn->op) {
	case INSN_AND:
	case INSN_OR:
	case INSN_XOR:
	case INSN_TEST:
		return AF;
	case INSN_MUL:
	case INSN_IMUL:
		return SF | ZF | AF | PF;
	case INSN_DIV:
	case INSN_IDIV:
		return STATUS;
	case INSN_BT:
	case INSN_BTS:
	case INSN_BTR:
	case INSN_BTC:
		return OF | SF | AF | PF;
	case INSN_BSF:
	case INSN_BSR:
		return OF | SF | AF | PF | CF;
	}
	if (insn->op >= INSN_ROL && insn->op <= INSN_RCR)
		return shift_count(insn, gpr) > 1 ? OF : 0;
	if ((insn->op >= INSN_SHL && insn->op <= INSN_SAR) || insn->op == INSN_SHLD ||
	    insn->op == INSN_SHRD) {
		bool is_double = insn->op == INSN_SHLD || insn->op == INSN_SHRD;

		count = shift_count(insn, gpr);
		if (!count)
			return 0;
		if (is_double && count > bits)
			return -1;
		return AF | (count > 1 ? OF : 0) |
		       (count >= bits && insn->op != INSN_SAR && !is_double ? CF : 0);
	}
	return 0;
}

static void show(const char *what, const u8 *bytes, unsigned int n, const u64 *gpr, u64 flags)
{
	unsigned int i;

	print_message("%s:", what);
	for (i = 0; i < n; i++)
		print_message(" %02x", bytes[i]);
	print_message("\n");
	for (i = 0; i < 16; i++)
		print_message("  r%u in %016llx cpu %016llx emulated %016llx%s\n", i,
			      (unsigned long long)gpr[i], (unsigned long long)native->out_gpr[i],
			      (unsigned long long)vm.e.gpr[i],
			      native->out_gpr[i] == vm.e.gpr[i] ? "" : " <-");
	print_message("  flags in %llx cpu %llx emulated %llx\n", (unsigned long long)flags,
		      (unsigned long long)native->out_rflags, (unsigned long long)vm.e.rflags);
}

static unsigned int compared, divides_failed, lacking;

/* Runs a generated instruction on both and compares. */
static void compare(enum insn_mode mode, const u8 *bytes, struct insn *insn, const u64 *gpr,
		    u64 flags)
{
	u64 mask = mode == INSN_MODE_64 ? ~0ull : 0xffffffff;
	unsigned int regs = mode == INSN_MODE_64 ? 16 : 8;
	s64 undefined = undefined_flags(insn, gpr);
	u64 slot = mode == INSN_MODE_64 ? slot64 : slot32;
	bool differs = false;
	unsigned int i, runs = 0;
	int sig, ret;

	if (undefined < 0)
		return;
	memcpy(native->gpr, gpr, sizeof(native->gpr));
	native->rflags = flags;
	sig = native_run(mode, bytes, insn->len);

	memcpy(vm.e.gpr, gpr, sizeof(vm.e.gpr));
	vm.e.rip = slot;
	vm.e.rflags = flags;
	do {
		vm.wrote = false;
		ret = emul_run(&vm.e, insn);
	} while (ret == EMUL_AGAIN && ++runs < 64);

	if (sig == SIGILL && (insn->op == INSN_MOVBE || insn->opcode == 0xf9)) {
		lacking++; /* MOVBE or MOVDIRI, which this CPU may not have */
		memcpy(vm.mem, (void *)DATA, DATA_SIZE);
		return;
	}
	compared++;
	if (sig == SIGFPE) {
		divides_failed++;
		differs = ret != EMUL_FAULT || vm.e.fault.vector != 0 || vm.e.fault.has_error;
	} else if (sig) {
		differs = ret != EMUL_FAULT;
	} else {
		differs = ret != EMUL_DONE || vm.e.rip != slot + insn->len;
	}
	for (i = 0; i < regs; i++)
		if ((native->out_gpr[i] ^ vm.e.gpr[i]) & mask)
			differs = true;
	if (!sig && (native->out_rflags ^ vm.e.rflags) & (STATUS | DF) & ~(u64)undefined)
		differs = true;
	if (memcmp((void *)DATA, vm.mem, DATA_SIZE))
		differs = true;
	if (differs) {
		show("differs", bytes, insn->len, gpr, flags);
		print_message("  signal %d, result %d, memory %s\n", sig, ret,
			      memcmp((void *)DATA, vm.mem, DATA_SIZE) ? "differs" : "equal");
		fail();
	}
}

static void try_candidates(enum insn_mode mode, const struct candidate *list, unsigned int n,
			   unsigned int rounds, bool is_string)
{
	unsigned int i, round;
	u8 bytes[32];
	u64 gpr[16];
	u64 flags;
	struct insn insn;

	vm_reset(mode);
	for (i = 0; i < DATA_SIZE; i++)
		vm.mem[i] = rnd();
	memcpy((void *)DATA, vm.mem, DATA_SIZE);
	for (i = 0; i < n; i++) {
		unsigned int done = 0;

		if (list[i].modes && list[i].modes != (mode == INSN_MODE_64 ? 2 : 1))
			continue;
		for (round = 0; round < rounds; round++) {
			generate(bytes, &list[i], mode, is_string);
			if (insn_decode(&insn, bytes, 15, mode) < 0)
				continue;
			if (!place_operands(&insn, bytes, gpr))
				continue;
			if (insn_decode(&insn, bytes, 15, mode) < 0)
				continue;
			/* Mixed operands make strings compare equal for a while. */
			if (is_string && below(2))
				memset((void *)(DATA_MID - 0x200), 0x55, 0x400),
					memset(vm.mem + DATA_SIZE / 2 - 0x200, 0x55, 0x400);
			flags = 0x202 | (rnd() & STATUS) | (is_string && below(2) ? DF : 0);
			compare(mode, bytes, &insn, gpr, flags);
			done++;
		}
		if (!done) {
			print_message("opcode %02x %02x never ran\n", (u8)list[i].opcode[0],
				      (u8)list[i].opcode[1]);
			fail();
		}
	}
}

#define TRY(mode, list, rounds, is_string)                                                         \
	try_candidates(mode, list, ARRAY_SIZE(list), rounds, is_string)

static void against_cpu(enum insn_mode mode)
{
	catch_signals();
	compared = 0;
	divides_failed = 0;
	lacking = 0;
	TRY(mode, arithmetic, 4000, false);
	TRY(mode, shifts, 20000, false);
	TRY(mode, bits, 4000, false);
	TRY(mode, moves, 4000, false);
	TRY(mode, conditions, 1000, false);
	TRY(mode, strings, 2000, true);
	TRY(mode, stack, 2000, false);
	print_message("%u instructions compared, %u divide errors, %u unknown to this CPU\n",
		      compared, divides_failed, lacking);
	assert_true(compared > 200000);
	assert_true(divides_failed > 100);
}

static void test_cpu_64(void **state UNUSED)
{
	against_cpu(INSN_MODE_64);
}

static void test_cpu_32(void **state UNUSED)
{
	against_cpu(INSN_MODE_32);
}

/* --- By hand --- */

/* A copy of the registers, to see that nothing has changed. */
static struct emul before;

static void remember(void)
{
	before = vm.e;
}

static void assert_unchanged(void)
{
	assert_memory_equal(before.gpr, vm.e.gpr, sizeof(before.gpr));
	assert_int_equal(before.rip, vm.e.rip);
	assert_int_equal(before.rflags, vm.e.rflags);
}

static void assert_fault(int ret, u8 vector, bool has_error)
{
	assert_int_equal(ret, EMUL_FAULT);
	assert_int_equal(vm.e.fault.vector, vector);
	assert_int_equal(vm.e.fault.has_error, has_error);
	assert_int_equal(vm.e.fault.error, 0);
}

static u64 mem64(u64 address)
{
	u64 value;

	memcpy(&value, vm.mem + (address - DATA), 8);
	return value;
}

static void set_mem64(u64 address, u64 value)
{
	memcpy(vm.mem + (address - DATA), &value, 8);
}

static void test_segments_64(void **state UNUSED)
{
	u64 linear;

	vm_reset(INSN_MODE_64);
	/*
	 * Bases of ES, CS, SS, DS do not count, nor do limits and types; FS and GS do with their
	 * base.
	 */
	flat[INSN_DS] = (struct emul_seg){ 0, 0, 0, 0x1234 };
	flat[INSN_GS].base = DATA;
	vm.e.gpr[INSN_RBX] = DATA_MID;
	set_mem64(DATA_MID, 0x1122334455667788);
	assert_int_equal(RUN(64, "\x48\x8b\x03"), EMUL_DONE); /* mov (%rbx), %rax */
	assert_int_equal(vm.e.gpr[INSN_RAX], 0x1122334455667788);
	vm.e.gpr[INSN_RBX] = DATA_MID - DATA;
	assert_int_equal(RUN(64, "\x65\x8b\x0b"), EMUL_DONE); /* mov %gs:(%rbx), %ecx */
	assert_int_equal(vm.e.gpr[INSN_RCX], 0x55667788);
	assert_int_equal(vm.e.rip, CODE + 6);

	/* Not canonical: #GP, or #SS by RSP or RBP; the last byte counts too. */
	vm.e.gpr[INSN_RBX] = 0x800000000000;
	vm.e.gpr[INSN_RBP] = 0x7ffffffffffd;
	remember();
	assert_fault(RUN(64, "\x48\x8b\x03"), 13, true);
	assert_fault(RUN(64, "\x8b\x45\x00"), 12, true);
	assert_unchanged();
	assert_int_equal(emul_linear(&vm.e, INSN_SS, 0x7ffffffffffc, 4, 0, &linear), EMUL_DONE);
	vm.e.cr4 |= 1 << 12; /* LA57 */
	assert_int_equal(emul_linear(&vm.e, INSN_DS, 0x800000000000, 8, 0, &linear), EMUL_DONE);
	assert_int_equal(linear, 0x800000000000);
	assert_fault(emul_linear(&vm.e, INSN_DS, 0x100000000000000, 8, 0, &linear), 13, true);

	/* mov 0x10(%rip), %eax: relative to the next instruction */
	vm.e.rip = DATA_MID - 0x16;
	assert_int_equal(RUN(64, "\x8b\x05\x10\x00\x00\x00"), EMUL_DONE);
	assert_int_equal(vm.e.gpr[INSN_RAX], 0x55667788);
}

static void test_segments_32(void **state UNUSED)
{
	u64 linear;

	vm_reset(INSN_MODE_32);
	flat[INSN_DS].base = DATA;
	flat[INSN_DS].limit = 0xfff;
	assert_int_equal(emul_linear(&vm.e, INSN_DS, 0xffc, 4, 0, &linear), EMUL_DONE);
	assert_int_equal(linear, DATA + 0xffc);
	assert_fault(emul_linear(&vm.e, INSN_DS, 0xffd, 4, 0, &linear), 13, true);
	assert_fault(emul_linear(&vm.e, INSN_DS, 0xffffffff, 4, 0, &linear), 13, true);
	flat[INSN_SS].limit = 0xfff;
	assert_fault(emul_linear(&vm.e, INSN_SS, 0x1000, 1, 0, &linear), 12, true);

	flat[INSN_DS].attrib = 0xc91; /* read-only data */
	assert_int_equal(emul_linear(&vm.e, INSN_DS, 0, 4, 0, &linear), EMUL_DONE);
	assert_fault(emul_linear(&vm.e, INSN_DS, 0, 4, EMUL_WRITE, &linear), 13, true);
	flat[INSN_DS].attrib = 0xc99; /* code, execute only */
	assert_fault(emul_linear(&vm.e, INSN_DS, 0, 4, 0, &linear), 13, true);
	flat[INSN_DS].attrib = 0xc9b; /* code, readable */
	assert_int_equal(emul_linear(&vm.e, INSN_DS, 0, 4, 0, &linear), EMUL_DONE);
	assert_fault(emul_linear(&vm.e, INSN_DS, 0, 4, EMUL_WRITE, &linear), 13, true);
	flat[INSN_DS].attrib = 0; /* null selector */
	assert_fault(emul_linear(&vm.e, INSN_DS, 0, 4, 0, &linear), 13, true);

	flat[INSN_DS].attrib = 0xc97; /* expands down: from limit + 1 to 4 GiB */
	assert_fault(emul_linear(&vm.e, INSN_DS, 0xfff, 4, 0, &linear), 13, true);
	assert_int_equal(emul_linear(&vm.e, INSN_DS, 0x1000, 4, 0, &linear), EMUL_DONE);
	assert_int_equal(emul_linear(&vm.e, INSN_DS, 0xfffffffc, 4, 0, &linear), EMUL_DONE);
	assert_fault(emul_linear(&vm.e, INSN_DS, 0xfffffffd, 4, 0, &linear), 13, true);
	flat[INSN_DS].attrib = 0x097; /* the same to 64 KiB */
	assert_int_equal(emul_linear(&vm.e, INSN_DS, 0xfffc, 4, 0, &linear), EMUL_DONE);
	assert_fault(emul_linear(&vm.e, INSN_DS, 0xfffd, 4, 0, &linear), 13, true);

	/* The sum of base and offset wraps at 4 GiB. */
	flat[INSN_DS] = (struct emul_seg){ 0x10, 0xc93, 0xffffffff, 0xfffff000 };
	assert_int_equal(emul_linear(&vm.e, INSN_DS, 0x2000, 4, 0, &linear), EMUL_DONE);
	assert_int_equal(linear, 0x1000);
}

static void test_alignment_check(void **state UNUSED)
{
	u64 linear;

	vm_reset(INSN_MODE_64);
	vm.e.cr0 |= 1 << 18;
	vm.e.rflags |= 1 << 18;
	assert_int_equal(emul_linear(&vm.e, INSN_DS, DATA + 2, 4, 0, &linear), EMUL_DONE);
	vm.e.cpl = 3;
	assert_fault(emul_linear(&vm.e, INSN_DS, DATA + 2, 4, 0, &linear), 17, true);
	assert_int_equal(emul_linear(&vm.e, INSN_DS, DATA + 2, 2, 0, &linear), EMUL_DONE);
	vm.e.rflags &= ~(1ull << 18);
	assert_int_equal(emul_linear(&vm.e, INSN_DS, DATA + 2, 4, 0, &linear), EMUL_DONE);
}

static void test_real_mode(void **state UNUSED)
{
	vm_reset(INSN_MODE_16);
	vm.e.cr0 = 0;
	flat[INSN_DS].base = DATA;
	flat[INSN_ES].base = DATA;
	flat[INSN_SS].base = DATA;
	/* The offset wraps at 64 KiB: bx + si + 4. */
	vm.e.gpr[INSN_RBX] = 0xffffff00;
	vm.e.gpr[INSN_RSI] = 0x200;
	set_mem64(DATA + 0x104, 0xbeef);
	assert_int_equal(RUN(16, "\x8b\x40\x04"), EMUL_DONE); /* mov 4(%bx,%si), %ax */
	assert_int_equal(vm.e.gpr[INSN_RAX], 0xbeef);
	/* A word at 0xffff: #GP, and without error code in real mode. */
	vm.e.gpr[INSN_RBX] = 0xffff;
	vm.e.gpr[INSN_RSI] = 0;
	assert_fault(RUN(16, "\x8b\x00"), 13, false);
	/* With a 32-bit address beyond the limit too. */
	vm.e.gpr[INSN_RBX] = 0x10000;
	assert_fault(RUN(16, "\x67\x8b\x03"), 13, false);
	/* Types do not count: writing through CS is right here. */
	flat[INSN_CS].base = DATA;
	assert_int_equal(RUN(16, "\x2e\xa2\x10\x00"), EMUL_DONE);
	assert_int_equal(vm.mem[0x10], 0xef);

	/* A bit string is found within 64 KiB too: bts %ax, 4(%bx), bit -64. */
	vm.e.gpr[INSN_RBX] = 0x10002;
	vm.e.gpr[INSN_RAX] = (u16)-64;
	flat[INSN_DS].base = DATA - 0xf000;
	vm.mem[0xfffe - 0xf000] = 0;
	assert_int_equal(RUN(16, "\x0f\xab\x47\x04"), EMUL_DONE);
	assert_int_equal(vm.mem[0xfffe - 0xf000], 1);
	flat[INSN_DS].base = DATA;

	/* The stack pointer is 16 bits wide. */
	vm.e.gpr[INSN_RSP] = 0xabcd0002;
	vm.e.gpr[INSN_RAX] = 0x1234;
	assert_int_equal(RUN(16, "\x50"), EMUL_DONE);
	assert_int_equal(vm.e.gpr[INSN_RSP], 0xabcd0000);
	assert_int_equal(mem64(DATA) & 0xffff, 0x1234);
	assert_int_equal(RUN(16, "\x5b"), EMUL_DONE);
	assert_int_equal(vm.e.gpr[INSN_RBX], 0x11234);
	assert_int_equal(vm.e.gpr[INSN_RSP], 0xabcd0002);

	/* rep movsw with 16-bit registers, through the wrap of SI */
	vm.e.gpr[INSN_RSI] = 0x770000 | 0x20;
	vm.e.gpr[INSN_RDI] = 0x880000 | 0x80;
	vm.e.gpr[INSN_RCX] = 0x990002;
	set_mem64(DATA + 0x20, 0x44332211);
	assert_int_equal(RUN(16, "\xf3\xa5"), EMUL_AGAIN);
	assert_int_equal(RUN(16, "\xf3\xa5"), EMUL_DONE);
	assert_int_equal(mem64(DATA + 0x80) & 0xffffffff, 0x44332211);
	assert_int_equal(vm.e.gpr[INSN_RSI], 0x770024);
	assert_int_equal(vm.e.gpr[INSN_RDI], 0x880084);
	assert_int_equal(vm.e.gpr[INSN_RCX], 0x990000);
}

static void test_restart(void **state UNUSED)
{
	vm_reset(INSN_MODE_64);
	vm.e.gpr[INSN_RAX] = 5;
	vm.e.gpr[INSN_RBX] = DATA_MID;
	vm.e.gpr[INSN_RSI] = DATA_MID;
	vm.e.gpr[INSN_RDI] = DATA_MID + 8;
	vm.e.gpr[INSN_RCX] = 3;
	vm.e.gpr[INSN_RSP] = DATA_MID;
	remember();

	vm.next_read = -EAGAIN;
	assert_int_equal(RUN(64, "\x01\x03"), EMUL_MMIO); /* add %eax, (%rbx) */
	assert_unchanged();
	vm.next_write = -EAGAIN;
	assert_int_equal(RUN(64, "\x01\x03"), EMUL_MMIO);
	assert_unchanged();
	vm.next_write = -EINVAL;
	assert_int_equal(RUN(64, "\x01\x03"), EMUL_UNHANDLED);
	assert_unchanged();
	vm.next_read = -EFAULT;
	vm.e.fault.vector = 14;
	assert_int_equal(RUN(64, "\xf3\xa6"), EMUL_FAULT); /* repe cmpsb */
	assert_unchanged();
	vm.next_write = -EAGAIN;
	assert_int_equal(RUN(64, "\xf3\xa4"), EMUL_MMIO); /* rep movsb */
	assert_unchanged();
	vm.next_write = -EAGAIN;
	assert_int_equal(RUN(64, "\x50"), EMUL_MMIO); /* push */
	assert_unchanged();
	vm.next_write = -EAGAIN;
	assert_int_equal(RUN(64, "\x8f\x44\x24\x08"), EMUL_MMIO); /* pop 8(%rsp) */
	assert_unchanged();
	vm.next_write = -EAGAIN;
	assert_int_equal(RUN(64, "\x0f\xc1\x03"), EMUL_MMIO); /* xadd %eax, (%rbx) */
	assert_unchanged();
	vm.next_write = -EAGAIN;
	assert_int_equal(RUN(64, "\x0f\xb1\x03"), EMUL_MMIO); /* cmpxchg %eax, (%rbx) */
	assert_unchanged();
	assert_int_equal(mem64(DATA_MID), 0);

	/* An address by RSP is by the RSP that POP leaves. */
	set_mem64(DATA_MID, 77);
	assert_int_equal(RUN(64, "\x8f\x44\x24\x10"), EMUL_DONE);
	assert_int_equal(mem64(DATA_MID + 0x18), 77);
	assert_int_equal(vm.e.gpr[INSN_RSP], DATA_MID + 8);
	set_mem64(DATA_MID, 0);
	vm.writes = 0;

	assert_int_equal(RUN(64, "\x01\x03"), EMUL_DONE);
	assert_int_equal(mem64(DATA_MID), 5);
	assert_int_equal(vm.writes, 1);
}

static int lose_race(struct emul *e UNUSED, u64 linear UNUSED, const void *old UNUSED,
		     const void *new UNUSED, unsigned int len UNUSED)
{
	return -EBUSY;
}

static void test_locked(void **state UNUSED)
{
	vm_reset(INSN_MODE_64);
	vm.e.gpr[INSN_RAX] = 0x80;
	vm.e.gpr[INSN_RBX] = DATA_MID;
	assert_int_equal(RUN(64, "\xf0\x09\x03"), EMUL_DONE); /* lock or %eax, (%rbx) */
	assert_int_equal(vm.cmpxchgs, 1);
	assert_int_equal(vm.writes, 0);
	assert_int_equal(mem64(DATA_MID), 0x80);
	assert_int_equal(RUN(64, "\x87\x0b"), EMUL_DONE); /* xchg %ecx, (%rbx): locks by itself */
	assert_int_equal(vm.cmpxchgs, 2);
	assert_int_equal(vm.e.gpr[INSN_RCX], 0x80);
	assert_int_equal(RUN(64, "\x09\x03"), EMUL_DONE);
	assert_int_equal(vm.cmpxchgs, 2);
	assert_int_equal(vm.writes, 1);

	/* A lost race changes nothing. */
	vm.e.cmpxchg = lose_race;
	remember();
	assert_int_equal(RUN(64, "\xf0\x0f\xc1\x03"), EMUL_AGAIN);
	assert_unchanged();
	vm.e.cmpxchg = NULL;
	assert_int_equal(RUN(64, "\xf0\xff\x03"), EMUL_DONE);
	assert_int_equal(vm.writes, 2);
	assert_int_equal(mem64(DATA_MID), 0x81);
}

static void test_cmpxchg16b(void **state UNUSED)
{
	vm_reset(INSN_MODE_64);
	vm.e.gpr[INSN_RSI] = DATA_MID;
	vm.e.gpr[INSN_RBX] = 0x1111;
	vm.e.gpr[INSN_RCX] = 0x2222;
	set_mem64(DATA_MID, 7);
	set_mem64(DATA_MID + 8, 8);
	assert_int_equal(RUN(64, "\xf0\x48\x0f\xc7\x0e"), EMUL_DONE);
	assert_int_equal(vm.e.gpr[INSN_RAX], 7);
	assert_int_equal(vm.e.gpr[INSN_RDX], 8);
	assert_false(vm.e.rflags & ZF);
	assert_int_equal(RUN(64, "\xf0\x48\x0f\xc7\x0e"), EMUL_DONE);
	assert_true(vm.e.rflags & ZF);
	assert_int_equal(mem64(DATA_MID), 0x1111);
	assert_int_equal(mem64(DATA_MID + 8), 0x2222);
	vm.e.gpr[INSN_RSI] = DATA_MID + 8;
	assert_fault(RUN(64, "\x48\x0f\xc7\x0e"), 13, true);
}

static void test_branches(void **state UNUSED)
{
	vm_reset(INSN_MODE_64);
	vm.e.gpr[INSN_RBX] = DATA_MID;
	vm.e.gpr[INSN_RSP] = DATA_MID + 0x100;
	set_mem64(DATA_MID, 0xffff800000001234);
	assert_int_equal(RUN(64, "\xff\x13"), EMUL_DONE); /* call *(%rbx) */
	assert_int_equal(vm.e.rip, 0xffff800000001234);
	assert_int_equal(vm.e.gpr[INSN_RSP], DATA_MID + 0xf8);
	assert_int_equal(mem64(DATA_MID + 0xf8), CODE + 2);
	assert_int_equal(RUN(64, "\xc2\x10\x00"), EMUL_DONE); /* ret $16 */
	assert_int_equal(vm.e.rip, CODE + 2);
	assert_int_equal(vm.e.gpr[INSN_RSP], DATA_MID + 0x110);
	assert_int_equal(RUN(64, "\xff\x23"), EMUL_DONE); /* jmp *(%rbx) */
	assert_int_equal(vm.e.rip, 0xffff800000001234);
	assert_int_equal(RUN(64, "\xe8\x00\xff\xff\xff"), EMUL_DONE);
	assert_int_equal(vm.e.rip, 0xffff800000001234 + 5 - 0x100);
	set_mem64(DATA_MID, 0x800000000000);
	remember();
	assert_fault(RUN(64, "\xff\x13"), 13, true);
	assert_unchanged();

	vm_reset(INSN_MODE_32);
	flat[INSN_CS].limit = 0x20000000;
	vm.e.gpr[INSN_RBX] = DATA_MID;
	set_mem64(DATA_MID, 0x20000001);
	assert_fault(RUN(32, "\xff\x23"), 13, true);
	set_mem64(DATA_MID, 0xf12345);
	assert_int_equal(RUN(32, "\x66\xff\x23"), EMUL_DONE);
	assert_int_equal(vm.e.rip, 0x2345);
}

static void test_ports(void **state UNUSED)
{
	vm_reset(INSN_MODE_64);
	vm.e.gpr[INSN_RDX] = 0xff0003f8;
	vm.e.gpr[INSN_RAX] = 0xffffffffffffffff;
	assert_int_equal(RUN(64, "\xec"), EMUL_DONE);
	assert_int_equal(vm.port, 0x3f8);
	assert_int_equal(vm.e.gpr[INSN_RAX], 0xffffffffffffffa0);
	assert_int_equal(RUN(64, "\xe5\x40"), EMUL_DONE);
	assert_int_equal(vm.port, 0x40);
	assert_int_equal(vm.io_size, 4);
	assert_int_equal(vm.e.gpr[INSN_RAX], 0xa3a2a1a0);
	assert_int_equal(RUN(64, "\x66\xe7\x80"), EMUL_DONE);
	assert_int_equal(vm.port, 0x80);
	assert_int_equal(vm.io_size, 2);
	assert_int_equal(vm.io_data[1], 0xa1);
	remember();
	vm.next_in = -EAGAIN;
	assert_int_equal(RUN(64, "\xec"), EMUL_MMIO);
	assert_unchanged();
	vm.e.in = NULL;
	assert_int_equal(RUN(64, "\xec"), EMUL_UNHANDLED);
}

static void test_string_ports(void **state UNUSED)
{
	unsigned int i;

	vm_reset(INSN_MODE_64);
	for (i = 0; i < 64; i++)
		vm.mem[DATA_SIZE / 2 + i] = i;
	vm.e.io_buf = vm.io_buf;
	vm.e.io_size = 16;
	vm.e.gpr[INSN_RDX] = 0x1f0;
	vm.e.gpr[INSN_RSI] = DATA_MID;
	vm.e.gpr[INSN_RCX] = 10;
	assert_int_equal(RUN(64, "\xf3\x66\x6f"), EMUL_AGAIN); /* rep outsw: 8 fit */
	assert_int_equal(vm.io_count, 8);
	assert_int_equal(vm.io_size, 2);
	assert_int_equal(vm.io_data[15], 15);
	assert_int_equal(vm.e.gpr[INSN_RCX], 2);
	assert_int_equal(vm.e.gpr[INSN_RSI], DATA_MID + 16);
	assert_int_equal(vm.e.rip, CODE);
	assert_int_equal(RUN(64, "\xf3\x66\x6f"), EMUL_DONE);
	assert_int_equal(vm.io_count, 2);
	assert_int_equal(vm.e.gpr[INSN_RCX], 0);
	assert_int_equal(vm.e.rip, CODE + 3);
	vm.io_count = 0;
	assert_int_equal(RUN(64, "\xf3\x66\x6f"), EMUL_DONE); /* nothing left */
	assert_int_equal(vm.io_count, 0);

	/* A batch ends with the page; backwards it is one element. */
	vm.e.gpr[INSN_RSI] = DATA_MID - 6;
	vm.e.gpr[INSN_RCX] = 5;
	assert_int_equal(RUN(64, "\xf3\x6f"), EMUL_AGAIN);
	assert_int_equal(vm.io_count, 1);
	vm.e.rflags |= DF;
	vm.e.gpr[INSN_RSI] = DATA_MID;
	assert_int_equal(RUN(64, "\xf3\x6e"), EMUL_AGAIN);
	assert_int_equal(vm.io_count, 1);
	assert_int_equal(vm.e.gpr[INSN_RSI], DATA_MID - 1);
	vm.e.rflags &= ~DF;

	/* INS: memory is probed before the port is read; a restart has moved nothing. */
	vm.e.gpr[INSN_RDI] = DATA_MID + 0x100;
	vm.e.gpr[INSN_RCX] = 4;
	remember();
	vm.next_in = -EAGAIN;
	assert_int_equal(RUN(64, "\xf3\x6d"), EMUL_MMIO);
	assert_int_equal(vm.probes, 1);
	assert_unchanged();
	vm.io_count = 0;
	vm.e.gpr[INSN_RDI] = 0;
	assert_int_equal(RUN(64, "\xf3\x6d"), EMUL_FAULT);
	assert_int_equal(vm.io_count, 0);
	vm.e.gpr[INSN_RDI] = DATA_MID + 0x100;
	assert_int_equal(RUN(64, "\xf3\x6d"), EMUL_DONE);
	assert_int_equal(vm.io_count, 4);
	assert_int_equal(mem64(DATA_MID + 0x108), 0xafaeadacabaaa9a8);

	/* 16-bit code: the batch stops where SI wraps, and where the segment ends. */
	vm_reset(INSN_MODE_16);
	vm.e.io_buf = vm.io_buf;
	vm.e.io_size = 16;
	flat[INSN_DS].base = DATA_MID - 0xfffa;
	vm.e.gpr[INSN_RSI] = 0xfffa;
	vm.e.gpr[INSN_RCX] = 8;
	assert_int_equal(RUN(16, "\xf3\x6e"), EMUL_AGAIN);
	assert_int_equal(vm.io_count, 6);
	assert_int_equal(vm.e.gpr[INSN_RSI], 0);
	flat[INSN_ES] = flat[INSN_DS];
	flat[INSN_ES].limit = 0xfffa;
	vm.e.gpr[INSN_RSI] = 0xfffa;
	assert_int_equal(RUN(16, "\xf3\x26\x6e"), EMUL_AGAIN);
	assert_int_equal(vm.io_count, 1);
	vm.e.gpr[INSN_RSI] = 0xfffb;
	assert_fault(RUN(16, "\xf3\x26\x6e"), 13, true);
}

static void test_vectors(void **state UNUSED)
{
	static u8 fxsave[512];

	vm_reset(INSN_MODE_64);
	vm.e.gpr[INSN_RBX] = DATA_MID + 4;
	set_mem64(DATA_MID + 4, 0x0123456789abcdef);
	set_mem64(DATA_MID + 12, 0xfedcba9876543210);
	assert_int_equal(RUN(64, "\x44\x0f\x10\x0b"), EMUL_UNHANDLED);
	vm.e.fxsave = fxsave;
	assert_int_equal(RUN(64, "\x44\x0f\x10\x0b"), EMUL_DONE); /* movups (%rbx), %xmm9 */
	assert_memory_equal(fxsave + 160 + 16 * 9, vm.mem + DATA_SIZE / 2 + 4, 16);
	assert_fault(RUN(64, "\x44\x0f\x29\x0b"), 13, true); /* movaps, misaligned */
	vm.e.gpr[INSN_RBX] = DATA_MID + 32;
	assert_int_equal(RUN(64, "\x44\x0f\x29\x0b"), EMUL_DONE);
	assert_int_equal(mem64(DATA_MID + 40), 0xfedcba9876543210);
	vm.e.cr0 |= 8;
	assert_fault(RUN(64, "\x44\x0f\x29\x0b"), 7, false);
	assert_int_equal(RUN(64, "\xc5\xfc\x29\x0b"), EMUL_UNHANDLED); /* 32 bytes */
	vm.e.cr0 &= ~8ull;
	assert_int_equal(RUN(64, "\xc5\xf8\x28\x0b"), EMUL_UNHANDLED); /* vmovaps (%rbx), %xmm1 */
	assert_int_equal(RUN(64, "\xc5\x78\x29\x0b"), EMUL_DONE);      /* vmovaps %xmm9, (%rbx) */
	vm.e.cr4 = 0;
	assert_fault(RUN(64, "\x44\x0f\x29\x0b"), 6, false);
}

static int read_prefix(struct emul *e UNUSED, u64 linear, void *buf, unsigned int len,
		       unsigned int flags UNUSED)
{
	assert_int_equal(linear, 0x7fffffffffff);
	assert_int_equal(len, 1);
	memset(buf, 0x66, len);
	return 0;
}

static void test_fetch(void **state UNUSED)
{
	static const u8 mov[] = { 0xc7, 0x80, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct insn insn;

	vm_reset(INSN_MODE_64);
	memcpy(vm.mem + 0x1000 - 4, mov, sizeof(mov));
	vm.e.rip = DATA + 0x1000 - 4;
	assert_int_equal(emul_fetch(&vm.e, &insn), EMUL_DONE);
	assert_int_equal(insn.len, 10);
	assert_int_equal(vm.reads, 2);
	/* The next page is not touched without need. */
	vm.mem[DATA_SIZE - 2] = 0x0f;
	vm.mem[DATA_SIZE - 1] = 0xa2;
	vm.e.rip = DATA + DATA_SIZE - 2;
	assert_int_equal(emul_fetch(&vm.e, &insn), EMUL_DONE);
	assert_int_equal(insn.op, INSN_CPUID);
	vm.e.rip++;
	vm.mem[DATA_SIZE - 1] = 0x0f;
	assert_int_equal(emul_fetch(&vm.e, &insn), EMUL_FAULT);
	assert_int_equal(vm.e.fault.vector, 14);
	assert_int_equal(vm.e.fault.cr2, DATA + DATA_SIZE);
	vm.mem[0] = 0x06;
	vm.e.rip = DATA;
	assert_fault(emul_fetch(&vm.e, &insn), 6, false);
	vm.mem[0] = 0xd9;
	assert_int_equal(emul_fetch(&vm.e, &insn), EMUL_UNHANDLED);
	memset(vm.mem, 0x66, 16);
	assert_fault(emul_fetch(&vm.e, &insn), 13, true);
	vm.e.rip = 0x800000000000;
	assert_fault(emul_fetch(&vm.e, &insn), 13, true);
	vm.e.rip = 0x7fffffffffff; /* and into what is not canonical */
	vm.e.read = read_prefix;
	assert_fault(emul_fetch(&vm.e, &insn), 13, true);
	vm.e.read = vm_read;
	vm.e.rip = DATA;
	vm.next_read = -EAGAIN;
	assert_int_equal(emul_fetch(&vm.e, &insn), EMUL_MMIO);

	/* The segment ends within the instruction. */
	vm_reset(INSN_MODE_16);
	flat[INSN_CS].base = DATA;
	flat[INSN_CS].limit = 0x101;
	memcpy(vm.mem + 0x100, "\xb8\x34\x12", 3);
	vm.e.rip = 0x100;
	assert_fault(emul_fetch(&vm.e, &insn), 13, true);
	flat[INSN_CS].limit = 0x102;
	assert_int_equal(emul_fetch(&vm.e, &insn), EMUL_DONE);
	assert_int_equal(insn.imm, 0x1234);
}

static void test_not_emulated(void **state UNUSED)
{
	vm_reset(INSN_MODE_64);
	remember();
	assert_int_equal(RUN(64, "\x0f\xa2"), EMUL_UNHANDLED);
	assert_int_equal(RUN(64, "\xf4"), EMUL_UNHANDLED);
	assert_int_equal(RUN(64, "\xff\x1b"), EMUL_UNHANDLED); /* lcall *(%rbx) */
	assert_int_equal(RUN(64, "\x8e\x1b"), EMUL_UNHANDLED);
	assert_unchanged();
	assert_int_equal(RUN(64, "\x90"), EMUL_DONE);
	/* mov %gs, (%rbx) writes a word; to a register all of it */
	vm.e.gpr[INSN_RBX] = DATA_MID;
	set_mem64(DATA_MID, ~0ull);
	assert_int_equal(RUN(64, "\x48\x8c\x2b"), EMUL_DONE);
	assert_int_equal(mem64(DATA_MID), 0xffffffffffff0038);
	assert_int_equal(RUN(64, "\x48\x8c\xe8"), EMUL_DONE);
	assert_int_equal(vm.e.gpr[INSN_RAX], 0x38);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpu_64),		cmocka_unit_test(test_cpu_32),
		cmocka_unit_test(test_segments_64),	cmocka_unit_test(test_segments_32),
		cmocka_unit_test(test_alignment_check), cmocka_unit_test(test_real_mode),
		cmocka_unit_test(test_restart),		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_cmpxchg16b),	cmocka_unit_test(test_branches),
		cmocka_unit_test(test_ports),		cmocka_unit_test(test_string_ports),
		cmocka_unit_test(test_vectors),		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_not_emulated),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
