// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decoder and emulator on hostile bytes and hostile state: neither may read beyond what it was
 * given, and the emulator must keep its promises: no read after a write, one write at most,
 * nothing changed unless an instruction (or an iteration) is done.
 */
#include <stdlib.h>
#include <string.h>
#include "core/x86/emul.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			abort();                                                                   \
	} while (0)

/* The input, consumed from the front; zeros when it is used up. */
static const u8 *input;
static size_t input_left;

static void take(void *buf, size_t n)
{
	size_t have = MIN(n, input_left);

	memset(buf, 0, n);
	memcpy(buf, input, have);
	input += have;
	input_left -= have;
}

static u8 take_byte(void)
{
	u8 value;

	take(&value, 1);
	return value;
}

static u64 take_u64(void)
{
	u64 value;

	take(&value, 8);
	return value;
}

static struct emul e;
static u8 io_buf[64];
static bool wrote, was_fault, probed;

/* Mostly success; else each of the ways in which a callback may decline. */
static int verdict(void)
{
	u8 choice = take_byte();

	if (choice < 0xf0)
		return 0;
	if (choice < 0xf6)
		return -EAGAIN;
	if (choice < 0xfb) {
		e.fault.vector = 14;
		was_fault = true;
		return -EFAULT;
	}
	return -EINVAL;
}

static void check_access(u64 linear, unsigned int len)
{
	unsigned int shift = e.cr4 & BIT(12) ? 7 : 16;

	CHECK(len >= 1 && len <= sizeof(io_buf));
	if (insn_mode_of(e.efer, e.seg[INSN_CS].attrib) == INSN_MODE_64)
		CHECK((u64)((s64)(linear << shift) >> shift) == linear);
	else
		CHECK(linear <= 0xffffffff);
}

static int fuzz_read(struct emul *emul, u64 linear, void *buf, unsigned int len, unsigned int flags)
{
	int ret = verdict();

	(void)flags;
	CHECK(emul == &e && !wrote);
	check_access(linear, len);
	if (!ret)
		take(buf, len);
	return ret;
}

static int fuzz_write(struct emul *emul, u64 linear, const void *buf, unsigned int len,
		      unsigned int flags)
{
	static u8 sink[sizeof(io_buf)];
	int ret = verdict();

	CHECK(emul == &e && flags & EMUL_WRITE && !wrote);
	check_access(linear, len);
	if (flags & EMUL_PROBE) {
		CHECK(!buf);
		probed = true;
		return ret;
	}
	memcpy(sink, buf, len);
	wrote = !ret;
	return ret;
}

static int fuzz_cmpxchg(struct emul *emul, u64 linear, const void *old, const void *new,
			unsigned int len)
{
	static u8 sink[2][16];
	u8 choice = take_byte();

	CHECK(emul == &e && !wrote && len <= 16);
	check_access(linear, len);
	memcpy(sink[0], old, len);
	memcpy(sink[1], new, len);
	wrote = choice < 0x80;
	return wrote ? 0 : -EBUSY;
}

static int fuzz_in(struct emul *emul, u16 port, unsigned int size, void *buf, unsigned int count)
{
	int ret = verdict();

	(void)port;
	CHECK(emul == &e && (size == 1 || size == 2 || size == 4) && count >= 1 && !wrote);
	CHECK(count == 1 || (buf == io_buf && size * count <= e.io_size && probed));
	if (!ret)
		take(buf, (size_t)size * count);
	return ret;
}

static int fuzz_out(struct emul *emul, u16 port, unsigned int size, const void *buf,
		    unsigned int count)
{
	static u8 sink[sizeof(io_buf)];
	int ret = verdict();

	(void)port;
	CHECK(emul == &e && (size == 1 || size == 2 || size == 4) && count >= 1 && !wrote);
	CHECK(count == 1 || (buf == io_buf && size * count <= e.io_size));
	memcpy(sink, buf, (size_t)size * count);
	wrote = !ret;
	return ret;
}

static void check_insn(const struct insn *insn, enum insn_mode mode)
{
	CHECK(insn->len >= 1 && insn->len <= INSN_MAX_LEN && insn->mode == mode);
	CHECK(insn->op != INSN_NONE && insn->reg < 16 && insn->rm < 16 && insn->seg <= INSN_GS);
	CHECK(insn->base <= INSN_RIP || insn->base == INSN_NO_REG);
	CHECK(insn->index < 16 || insn->index == INSN_NO_REG);
	CHECK(insn->scale < 4);
	CHECK(insn->addrsize == 2 || insn->addrsize == 4 || insn->addrsize == 8);
	CHECK(insn->opsize && insn->opsize <= 32 && !(insn->opsize & (insn->opsize - 1)));
	CHECK(mode == INSN_MODE_64 ||
	      (insn->reg < 8 + (insn->op == INSN_MOV_TO_CR || insn->op == INSN_MOV_FROM_CR) &&
	       insn->rm < 8 && !insn->rex));
}

/* Decodes from an allocation of exactly n bytes, for the sanitizer to guard. */
static int decode(struct insn *insn, const u8 *bytes, unsigned int n, enum insn_mode mode)
{
	u8 *exact = malloc(n ? n : 1);
	int ret;

	CHECK(exact);
	memcpy(exact, bytes, n);
	ret = insn_decode(insn, exact, n, mode);
	free(exact);
	return ret;
}

static int fuzz_decode(struct insn *insn, const u8 *bytes, enum insn_mode mode)
{
	struct insn other;
	unsigned int n;
	int ret;

	ret = decode(insn, bytes, INSN_MAX_LEN, mode);
	CHECK(ret != 0 && ret != -EAGAIN && ret <= INSN_MAX_LEN);
	if (ret < 0)
		return ret;
	CHECK(ret == insn->len);
	check_insn(insn, mode);
	/* A part of it asks for more, and what follows makes no difference. */
	for (n = 0; n < insn->len; n++)
		CHECK(decode(&other, bytes, n, mode) == -EAGAIN);
	CHECK(decode(&other, bytes, insn->len, mode) == ret);
	CHECK(!memcmp(&other, insn, offsetof(struct insn, rmsize)) && other.rmsize == insn->rmsize);
	return ret;
}

static void fuzz_emul(const struct insn *insn)
{
	u64 gpr[16], rip = e.rip, rflags = e.rflags;
	u8 fxsave[512];
	int ret;

	memcpy(gpr, e.gpr, sizeof(gpr));
	if (e.fxsave)
		memcpy(fxsave, e.fxsave, sizeof(fxsave));
	wrote = false;
	was_fault = false;
	probed = false;
	e.fault.vector = 0xff;
	ret = emul_run(&e, insn);
	CHECK(ret >= EMUL_DONE && ret <= EMUL_UNHANDLED);
	if (ret == EMUL_FAULT)
		CHECK(was_fault || e.fault.vector == 0 || e.fault.vector == 6 ||
		      e.fault.vector == 7 || e.fault.vector == 12 || e.fault.vector == 13 ||
		      e.fault.vector == 17);
	if (ret == EMUL_AGAIN)
		CHECK(e.rip == rip);
	if (ret == EMUL_DONE || ret == EMUL_AGAIN) {
		/* Only status flags ever change. */
		CHECK(!((e.rflags ^ rflags) & ~0x8d5ull));
		return;
	}
	CHECK(!wrote && e.rip == rip && e.rflags == rflags);
	CHECK(!memcmp(gpr, e.gpr, sizeof(gpr)));
	CHECK(!e.fxsave || !memcmp(fxsave, e.fxsave, sizeof(fxsave)));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 fxsave[512];
	struct emul_seg seg[6];
	u8 bytes[INSN_MAX_LEN];
	enum insn_mode mode;
	struct insn insn;
	unsigned int i;
	u8 options;

	input = data;
	input_left = size;
	memset(&e, 0, sizeof(e));
	wrote = false;
	take(bytes, sizeof(bytes));
	options = take_byte();
	take(seg, sizeof(seg));
	if (options & 1)
		seg[INSN_CS].attrib |= 0x200;
	e.efer = options & 2 ? 0x500 : 0;
	e.cr0 = take_u64();
	e.cr4 = take_u64();
	e.rflags = take_u64();
	e.rip = take_u64();
	e.cpl = take_byte() & 3;
	e.seg = seg;
	e.read = fuzz_read;
	e.write = fuzz_write;
	e.cmpxchg = options & 4 ? fuzz_cmpxchg : NULL;
	e.in = options & 8 ? fuzz_in : NULL;
	e.out = options & 8 ? fuzz_out : NULL;
	e.io_buf = options & 16 ? io_buf : NULL;
	e.io_size = sizeof(io_buf);
	e.fxsave = options & 32 ? fxsave : NULL;
	for (i = 0; i < 16; i++)
		e.gpr[i] = options & 64 ? take_byte() : take_u64();

	mode = insn_mode_of(e.efer, seg[INSN_CS].attrib);
	if (mode != INSN_MODE_64)
		e.rip = (u32)e.rip;
	if (options & 128) {
		if (emul_fetch(&e, &insn) != EMUL_DONE)
			return 0;
		check_insn(&insn, mode);
	} else if (fuzz_decode(&insn, bytes, mode) < 0) {
		return 0;
	}
	for (i = 0; i < 4; i++)
		fuzz_emul(&insn);
	return 0;
}
