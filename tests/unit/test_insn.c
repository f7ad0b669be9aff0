// SPDX-License-Identifier: GPL-2.0-only
/*
 * The decoder: cases by hand in all modes, then every opcode against Zydis, an independent decoder:
 * all prefixes that matter, all opcodes, all ModRM bytes. The differences that are right are listed
 * with their reasons (not_claimed(), refused_wrongly(), ..._is_moot()); any other fails the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>
#include "core/x86/insn.h"

#define UNUSED __attribute__((unused))

static struct insn decode(enum insn_mode mode, int expect, const char *bytes, unsigned int n)
{
	struct insn insn;

	memset(&insn, 0xa5, sizeof(insn));
	assert_int_equal(insn_decode(&insn, (const u8 *)bytes, n, mode), expect);
	return insn;
}

#define DECODE(bits, bytes, expect)                                                                \
	decode(INSN_MODE_##bits, expect, bytes, (unsigned int)sizeof(bytes) - 1)

static void test_exits(void **state UNUSED)
{
	static const struct {
		const char *bytes;
		u8 len, op;
	} cases[] = {
		{ "\x0f\xa2", 2, INSN_CPUID },
		{ "\x0f\x32", 2, INSN_RDMSR },
		{ "\x0f\x30", 2, INSN_WRMSR },
		{ "\x0f\x31", 2, INSN_RDTSC },
		{ "\x0f\x01\xf9", 3, INSN_RDTSCP },
		{ "\x0f\x33", 2, INSN_RDPMC },
		{ "\xf4", 1, INSN_HLT },
		{ "\xf3\x90", 2, INSN_PAUSE },
		{ "\x90", 1, INSN_NOP },
		{ "\x0f\x08", 2, INSN_INVD },
		{ "\x0f\x09", 2, INSN_WBINVD },
		{ "\x0f\x06", 2, INSN_CLTS },
		{ "\x0f\x01\xd1", 3, INSN_XSETBV },
		{ "\x0f\x01\xc8", 3, INSN_MONITOR },
		{ "\x0f\x01\xc9", 3, INSN_MWAIT },
		{ "\x0f\x01\xd8", 3, INSN_VMRUN },
		{ "\x0f\x01\xd9", 3, INSN_VMMCALL },
		{ "\x0f\x01\xda", 3, INSN_VMLOAD },
		{ "\x0f\x01\xdb", 3, INSN_VMSAVE },
		{ "\x0f\x01\xdc", 3, INSN_STGI },
		{ "\x0f\x01\xdd", 3, INSN_CLGI },
		{ "\x0f\x01\xde", 3, INSN_SKINIT },
		{ "\x0f\x01\xdf", 3, INSN_INVLPGA },
		{ "\x0f\x01\xc1", 3, INSN_VMCALL },
		{ "\x0f\x01\xfd", 3, INSN_RDPRU },
		{ "\x0f\xaa", 2, INSN_RSM },
		{ "\xcc", 1, INSN_INT3 },
		{ "\xf1", 1, INSN_INT1 },
		{ "\xcf", 1, INSN_IRET },
		{ "\x9c", 1, INSN_PUSHF },
		{ "\x9d", 1, INSN_POPF },
		{ "\x0f\x0b", 2, INSN_UD },
		{ "\x0f\x01\xfa", 3, INSN_MONITORX },
		{ "\x0f\x01\xfb", 3, INSN_MWAITX },
	};
	static const enum insn_mode modes[] = { INSN_MODE_16, INSN_MODE_32, INSN_MODE_64 };
	unsigned int i, m;

	for (m = 0; m < 3; m++) {
		for (i = 0; i < ARRAY_SIZE(cases); i++) {
			struct insn insn =
				decode(modes[m], cases[i].len, cases[i].bytes, cases[i].len);

			assert_int_equal(insn.op, cases[i].op);
			assert_int_equal(insn.len, cases[i].len);
			assert_int_equal(insn.mode, modes[m]);
		}
	}
}

static void test_moves64(void **state UNUSED)
{
	struct insn insn = DECODE(64, "\x89\x87\x00\x03\x00\x00", 6);

	/* mov %eax, 0x300(%rdi): the write to the ICR */
	assert_int_equal(insn.op, INSN_MOV);
	assert_int_equal(insn.form, INSN_FORM_RM_R);
	assert_int_equal(insn.opsize, 4);
	assert_int_equal(insn.reg, INSN_RAX);
	assert_int_equal(insn.base, INSN_RDI);
	assert_int_equal(insn.index, INSN_NO_REG);
	assert_int_equal(insn.disp, 0x300);
	assert_int_equal(insn.seg, INSN_DS);
	assert_true(insn.flags & INSN_MEM);

	/* movl $-2, -8(%rip) */
	insn = DECODE(64, "\xc7\x05\xf8\xff\xff\xff\xfe\xff\xff\xff", 10);
	assert_int_equal(insn.base, INSN_RIP);
	assert_int_equal(insn.disp, (u64)-8);
	assert_int_equal(insn.imm, (u64)-2);
	assert_int_equal(insn.form, INSN_FORM_RM_I);

	/* mov %gs:0x10(%rsp,%r13,8), %r9 */
	insn = DECODE(64, "\x65\x4e\x8b\x4c\xec\x10", 6);
	assert_int_equal(insn.form, INSN_FORM_R_RM);
	assert_int_equal(insn.opsize, 8);
	assert_int_equal(insn.reg, 9);
	assert_int_equal(insn.base, INSN_RSP);
	assert_int_equal(insn.index, 13);
	assert_int_equal(insn.scale, 3);
	assert_int_equal(insn.seg, INSN_GS);

	/* movabs 0x1122334455667788, %al */
	insn = DECODE(64, "\xa0\x88\x77\x66\x55\x44\x33\x22\x11", 9);
	assert_int_equal(insn.form, INSN_FORM_A_MOFFS);
	assert_int_equal(insn.disp, 0x1122334455667788);
	assert_int_equal(insn.opsize, 1);
	assert_true(insn.flags & INSN_MEM);

	/* movzbl (%rsi), %eax; movslq (%rbp), %rdx */
	insn = DECODE(64, "\x0f\xb6\x06", 3);
	assert_int_equal(insn.opsize, 4);
	assert_int_equal(insn.rmsize, 1);
	insn = DECODE(64, "\x48\x63\x55\x00", 4);
	assert_int_equal(insn.op, INSN_MOVSX);
	assert_int_equal(insn.opsize, 8);
	assert_int_equal(insn.rmsize, 4);
	assert_int_equal(insn.seg, INSN_SS);

	/* A REX that is not last does not count; nor does CS as a segment prefix. */
	insn = DECODE(64, "\x48\x2e\x8b\x00", 4);
	assert_int_equal(insn.opsize, 4);
	assert_int_equal(insn.rex, 0);
	assert_int_equal(insn.seg, INSN_DS);
	insn = DECODE(64, "\x64\x2e\x8b\x00", 4);
	assert_int_equal(insn.seg, INSN_FS);

	/* movdqu (%rax), %xmm9; vmovdqa %ymm1, (%r8) */
	insn = DECODE(64, "\xf3\x44\x0f\x6f\x08", 5);
	assert_int_equal(insn.op, INSN_MOV_VEC);
	assert_int_equal(insn.opsize, 16);
	assert_int_equal(insn.reg, 9);
	insn = DECODE(64, "\xc4\xc1\x7d\x7f\x08", 5);
	assert_int_equal(insn.op, INSN_MOV_VEC_ALIGNED);
	assert_int_equal(insn.opsize, 32);
	assert_int_equal(insn.base, 8);
	assert_int_equal(insn.map, INSN_MAP_VEX);
}

static void test_addresses16(void **state UNUSED)
{
	static const struct {
		u8 base, index, seg;
	} rm[8] = {
		{ INSN_RBX, INSN_RSI, INSN_DS },    { INSN_RBX, INSN_RDI, INSN_DS },
		{ INSN_RBP, INSN_RSI, INSN_SS },    { INSN_RBP, INSN_RDI, INSN_SS },
		{ INSN_RSI, INSN_NO_REG, INSN_DS }, { INSN_RDI, INSN_NO_REG, INSN_DS },
		{ INSN_RBP, INSN_NO_REG, INSN_SS }, { INSN_RBX, INSN_NO_REG, INSN_DS },
	};
	struct insn insn;
	unsigned int i;
	char bytes[4] = "\x8b\x00\xfe\xff";

	for (i = 0; i < 8; i++) {
		bytes[1] = 0x40 | i;
		insn = decode(INSN_MODE_16, 3, bytes, 3);
		assert_int_equal(insn.opsize, 2);
		assert_int_equal(insn.addrsize, 2);
		assert_int_equal(insn.base, rm[i].base);
		assert_int_equal(insn.index, rm[i].index);
		assert_int_equal(insn.seg, rm[i].seg);
		assert_int_equal(insn.disp, (u64)-2);
	}
	insn = DECODE(16, "\x8b\x06\x34\x12", 4);
	assert_int_equal(insn.base, INSN_NO_REG);
	assert_int_equal(insn.disp, 0x1234);
	/* es mov eax, [ebp + 4 * eax + 0x1000] */
	insn = DECODE(16, "\x26\x66\x67\x8b\x84\x85\x00\x10\x00\x00", 10);
	assert_int_equal(insn.opsize, 4);
	assert_int_equal(insn.addrsize, 4);
	assert_int_equal(insn.base, INSN_RBP);
	assert_int_equal(insn.index, INSN_RAX);
	assert_int_equal(insn.scale, 2);
	assert_int_equal(insn.seg, INSN_ES);
	/* call far 0x1234:0x5678 */
	insn = DECODE(16, "\x9a\x78\x56\x34\x12", 5);
	assert_int_equal(insn.imm, 0x5678);
	assert_int_equal(insn.imm2, 0x1234);
	/* rep a32 outsw */
	insn = DECODE(16, "\xf3\x67\x6f", 3);
	assert_int_equal(insn.op, INSN_OUTS);
	assert_int_equal(insn.opsize, 2);
	assert_int_equal(insn.addrsize, 4);
	assert_true(insn.flags & INSN_REP);
}

static void test_control_registers(void **state UNUSED)
{
	/* mov %rax, %cr8: REX.R; mod is ignored; LOCK MOV CR0 is CR8 outside 64-bit code */
	struct insn insn = DECODE(64, "\x44\x0f\x22\xc0", 4);

	assert_int_equal(insn.op, INSN_MOV_TO_CR);
	assert_int_equal(insn.reg, 8);
	assert_int_equal(insn.rm, INSN_RAX);
	assert_int_equal(insn.opsize, 8);
	insn = DECODE(32, "\x0f\x20\x1b", 3);
	assert_int_equal(insn.op, INSN_MOV_FROM_CR);
	assert_int_equal(insn.reg, 3);
	assert_int_equal(insn.rm, INSN_RBX);
	assert_int_equal(insn.opsize, 4);
	assert_false(insn.flags & INSN_MEM);
	insn = DECODE(32, "\xf0\x0f\x20\xc1", 4);
	assert_int_equal(insn.reg, 8);
	DECODE(64, "\x0f\x22\xc8", -EINVAL);	 /* CR1 */
	DECODE(64, "\x44\x0f\x23\xf8", -EINVAL); /* DR15 */
	insn = DECODE(64, "\x0f\x23\xf8", 3);
	assert_int_equal(insn.reg, 7);
}

static void test_lengths_and_errors(void **state UNUSED)
{
	static const char full[] = "\x66\x2e\xf0\x81\x84\x88\x78\x56\x34\x12\xcd\xab";
	u8 padded[32];
	unsigned int n;

	/* Every true beginning asks for more. */
	for (n = 0; n < sizeof(full) - 1; n++)
		decode(INSN_MODE_32, -EAGAIN, full, n);
	decode(INSN_MODE_32, 12, full, 12);
	decode(INSN_MODE_32, 12, full, 15);

	/* 15 bytes are an instruction, 16 never. */
	memset(padded, 0x66, sizeof(padded));
	padded[14] = 0x90;
	decode(INSN_MODE_64, 15, (char *)padded, 15);
	decode(INSN_MODE_64, 15, (char *)padded, sizeof(padded));
	decode(INSN_MODE_64, -EAGAIN, (char *)padded, 14);
	padded[14] = 0x66;
	padded[15] = 0x90;
	decode(INSN_MODE_64, -E2BIG, (char *)padded, sizeof(padded));
	decode(INSN_MODE_64, -E2BIG, (char *)padded, 15);

	DECODE(64, "\xf0\x89\x07", -EINVAL); /* lock mov */
	DECODE(64, "\xf0\x01\xc0", -EINVAL); /* lock add to a register */
	DECODE(64, "\xf0\x01\x00", 3);
	DECODE(64, "\xf0\x83\x38\x01", -EINVAL); /* lock cmp */
	DECODE(64, "\x06", -EINVAL);
	DECODE(32, "\x06", 1);
	DECODE(64, "\xff\xf8", -EINVAL);
	DECODE(64, "\xd9\x00", -ENOSYS);
	DECODE(64, "\x62\xf1\x7c\x48\x10\x00", -ENOSYS);
}

static void test_amd_branches(void **state UNUSED)
{
	/* APM volume 3, JMP and CALL: with 66 a near branch has a 16-bit distance on AMD. */
	struct insn insn = DECODE(64, "\x66\xe8\x34\x12\x00\x00", 4);

	assert_int_equal(insn.opsize, 2);
	assert_int_equal(insn.imm, 0x1234);
	insn = DECODE(64, "\xe8\x34\x12\x00\x00", 5);
	assert_int_equal(insn.opsize, 8);
}

static void test_modes(void **state UNUSED)
{
	assert_int_equal(insn_mode_of(0x500, 0xa9b), INSN_MODE_64);
	assert_int_equal(insn_mode_of(0x500, 0xc9b), INSN_MODE_32);
	assert_int_equal(insn_mode_of(0x100, 0xa9b), INSN_MODE_16);
	assert_int_equal(insn_mode_of(0, 0x093), INSN_MODE_16);
}

/* --- Against Zydis --- */

struct cross {
	ZydisDecoder zydis;
	enum insn_mode mode;
	u64 compared; /* both decoded it */
	u64 refused;  /* both found it undefined */
	u64 skipped;  /* valid, not claimed */
	u64 known;    /* differences with a reason */
	unsigned int failed;
	u8 seen[5][256]; /* claimed opcodes met, by map */
};

static void complain(struct cross *x, const u8 *bytes, const char *what, int ours, int theirs,
		     const ZydisDecodedInstruction *zi)
{
	unsigned int i;

	if (x->failed++ > 40)
		return;
	print_message("%d-bit, %s: ours %d, Zydis %d (%s):", x->mode * 8, what, ours, theirs,
		      zi ? ZydisMnemonicGetString(zi->mnemonic) : "-");
	for (i = 0; i < 15; i++)
		print_message(" %02x", bytes[i]);
	print_message("\n");
}

/* Instructions that exist and that the decoder leaves alone: whole extensions, and some by name. */
static bool not_claimed(const ZydisDecodedInstruction *zi)
{
	static const ZydisISAExt extensions[] = {
		ZYDIS_ISA_EXT_X87,
		ZYDIS_ISA_EXT_MMX,
		ZYDIS_ISA_EXT_SSE,
		ZYDIS_ISA_EXT_SSE2,
		ZYDIS_ISA_EXT_SSE3,
		ZYDIS_ISA_EXT_SSSE3,
		ZYDIS_ISA_EXT_SSE4,
		ZYDIS_ISA_EXT_SSE4A,
		ZYDIS_ISA_EXT_AES,
		ZYDIS_ISA_EXT_PCLMULQDQ,
		ZYDIS_ISA_EXT_SHA,
		ZYDIS_ISA_EXT_GFNI,
		ZYDIS_ISA_EXT_AVX,
		ZYDIS_ISA_EXT_AVX2,
		ZYDIS_ISA_EXT_AVX2GATHER,
		ZYDIS_ISA_EXT_AVX512EVEX,
		ZYDIS_ISA_EXT_AVX512VEX,
		ZYDIS_ISA_EXT_AVXAES,
		ZYDIS_ISA_EXT_AVX_VNNI,
		ZYDIS_ISA_EXT_F16C,
		ZYDIS_ISA_EXT_FMA,
		ZYDIS_ISA_EXT_FMA4,
		ZYDIS_ISA_EXT_VAES,
		ZYDIS_ISA_EXT_VPCLMULQDQ,
		ZYDIS_ISA_EXT_XOP,
		ZYDIS_ISA_EXT_TBM,
		ZYDIS_ISA_EXT_AMD3DNOW,
		ZYDIS_ISA_EXT_AMX_TILE,
		ZYDIS_ISA_EXT_AMX_BF16,
		ZYDIS_ISA_EXT_AMX_INT8,
		ZYDIS_ISA_EXT_BMI1,
		ZYDIS_ISA_EXT_BMI2,
		ZYDIS_ISA_EXT_LZCNT,
		ZYDIS_ISA_EXT_ADOX_ADCX,
		ZYDIS_ISA_EXT_RDWRFSGS,
		ZYDIS_ISA_EXT_XSAVE,
		ZYDIS_ISA_EXT_XSAVEC,
		ZYDIS_ISA_EXT_XSAVEOPT,
		ZYDIS_ISA_EXT_XSAVES,
		ZYDIS_ISA_EXT_CLFSH,
		ZYDIS_ISA_EXT_CLFLUSHOPT,
		ZYDIS_ISA_EXT_CLWB,
		ZYDIS_ISA_EXT_CLDEMOTE,
		ZYDIS_ISA_EXT_CLZERO,
		ZYDIS_ISA_EXT_MPX,
		ZYDIS_ISA_EXT_CET,
		ZYDIS_ISA_EXT_PKU,
		ZYDIS_ISA_EXT_SGX,
		ZYDIS_ISA_EXT_SGX_ENCLV,
		ZYDIS_ISA_EXT_SMX,
		ZYDIS_ISA_EXT_RTM,
		ZYDIS_ISA_EXT_PT,
		ZYDIS_ISA_EXT_UINTR,
		ZYDIS_ISA_EXT_WAITPKG,
		ZYDIS_ISA_EXT_SERIALIZE,
		ZYDIS_ISA_EXT_TSX_LDTRK,
		ZYDIS_ISA_EXT_TDX,
		ZYDIS_ISA_EXT_KEYLOCKER,
		ZYDIS_ISA_EXT_KEYLOCKER_WIDE,
		ZYDIS_ISA_EXT_ENQCMD,
		ZYDIS_ISA_EXT_HRESET,
		ZYDIS_ISA_EXT_PCONFIG,
		ZYDIS_ISA_EXT_SNP,
		ZYDIS_ISA_EXT_MCOMMIT,
		ZYDIS_ISA_EXT_PADLOCK,
		ZYDIS_ISA_EXT_RDPID,
		ZYDIS_ISA_EXT_VMFUNC,
		ZYDIS_ISA_EXT_PREFETCHWT1,
		ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH,
		/* Knights Corner's: never met VMX or SVM */
		ZYDIS_ISA_EXT_KNC,
		ZYDIS_ISA_EXT_KNCE,
		ZYDIS_ISA_EXT_KNCV,
	};
	static const ZydisMnemonic names[] = {
		/* hints without effect, and cache control */
		ZYDIS_MNEMONIC_PREFETCH,
		ZYDIS_MNEMONIC_PREFETCHW,
		ZYDIS_MNEMONIC_NOP,
		ZYDIS_MNEMONIC_FEMMS,
		ZYDIS_MNEMONIC_EMMS,
		/* needs only registers, or the part decides whether it is another instruction */
		ZYDIS_MNEMONIC_POPCNT,
		ZYDIS_MNEMONIC_CRC32,
		ZYDIS_MNEMONIC_TZCNT,
		/* MOVDIR64B moves 64 bytes */
		ZYDIS_MNEMONIC_MOVDIR64B,
		ZYDIS_MNEMONIC_XBEGIN,
		ZYDIS_MNEMONIC_XABORT,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(extensions); i++)
		if (zi->meta.isa_ext == extensions[i])
			return true;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (zi->mnemonic == names[i])
			return true;
	return false;
}

static int gpr_number(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return INSN_NO_REG;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return INSN_RIP;
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BH)
		return r - ZYDIS_REGISTER_AL;
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return r - ZYDIS_REGISTER_SPL + 4;
	return ZydisRegisterGetId(r);
}

static int segment_number(ZydisRegister r)
{
	return r - ZYDIS_REGISTER_ES;
}

static bool is_string(const struct insn *insn)
{
	return (insn->op >= INSN_STOS && insn->op <= INSN_CMPS) || insn->op == INSN_INS ||
	       insn->op == INSN_OUTS;
}

/* What operand n of the form is: 'm' the RM operand, 'r' reg, 'o' opcode register, 'i', ... */
static char operand_kind(const struct insn *insn, unsigned int n)
{
	static const char *const kinds[] = {
		[INSN_FORM_NONE] = "",	     [INSN_FORM_RM] = "m",	 [INSN_FORM_RM_R] = "mr",
		[INSN_FORM_R_RM] = "rm",     [INSN_FORM_RM_I] = "mi",	 [INSN_FORM_R_RM_I] = "rmi",
		[INSN_FORM_RM_R_I] = "mri",  [INSN_FORM_RM_CL] = "mc",	 [INSN_FORM_RM_1] = "m1",
		[INSN_FORM_RM_R_CL] = "mrc", [INSN_FORM_O] = "o",	 [INSN_FORM_O_I] = "oi",
		[INSN_FORM_O_A] = "oa",	     [INSN_FORM_A_I] = "ai",	 [INSN_FORM_I_A] = "ia",
		[INSN_FORM_I] = "i",	     [INSN_FORM_A_MOFFS] = "am", [INSN_FORM_MOFFS_A] = "ma",
		[INSN_FORM_FAR] = "f",	     [INSN_FORM_SREG] = "s",	 [INSN_FORM_A_DX] = "",
	};
	const char *k = kinds[insn->form];

	return n < strlen(k) ? k[n] : 0;
}

static int operand_number(const struct insn *insn, char kind)
{
	switch (kind) {
	case 'm':
	case 'o':
		return insn->rm;
	case 'r':
	case 's':
		return insn->reg;
	case 'a':
		return INSN_RAX;
	case 'c':
		return INSN_RCX;
	}
	return -1;
}

static void compare_memory(struct cross *x, const u8 *bytes, const struct insn *insn,
			   const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *op)
{
	static const u8 shifts[9] = { [1] = 0, [2] = 1, [4] = 2, [8] = 3 };
	u64 disp = op->mem.disp.has_displacement ? (u64)op->mem.disp.value : 0;
	int base = gpr_number(op->mem.base);
	int index = gpr_number(op->mem.index);
	unsigned int scale = shifts[op->mem.scale];

	if (!(insn->flags & INSN_MEM)) {
		complain(x, bytes, "memory operand", 0, 1, zi);
		return;
	}
	/*
	 * REX.B does not make R13 of the missing base of mod 0, base 5 (APM volume 3, table 1-15,
	 * and seen on a CPU). Zydis 4.0.0 knows that, but not if 67 is there.
	 */
	if (x->mode == INSN_MODE_64 && insn->addrsize == 4 && insn->rex & 1 && insn->modrm < 0x40 &&
	    (insn->modrm & 7) == 4 && insn->base == INSN_NO_REG && base == 13) {
		base = INSN_NO_REG;
		disp = insn->disp;
		x->known++;
	}
	if (insn->base != base)
		complain(x, bytes, "base", insn->base, base, zi);
	if (insn->index != index)
		complain(x, bytes, "index", insn->index, index, zi);
	if (index != INSN_NO_REG && insn->scale != scale)
		complain(x, bytes, "scale", insn->scale, scale, zi);
	if (insn->form == INSN_FORM_A_MOFFS || insn->form == INSN_FORM_MOFFS_A)
		disp &= insn->addrsize == 8 ? ~0ull : BIT(8 * insn->addrsize) - 1;
	if (insn->disp != disp)
		complain(x, bytes, "displacement", (int)insn->disp, (int)disp, zi);
	/* LEA takes no segment. */
	if (insn->seg != segment_number(op->mem.segment) && insn->op != INSN_LEA)
		complain(x, bytes, "segment", insn->seg, segment_number(op->mem.segment), zi);
}

/*
 * Near branches and RET in 64-bit code with 66: 16 bits on AMD (APM volume 3, appendix B.1.4 and
 * the pages of the instructions) and in QEMU; Zydis models the size for the distance alone.
 */
static bool is_short_branch64(const struct insn *insn)
{
	return insn->mode == INSN_MODE_64 && insn->opsize == 2 &&
	       (insn->op == INSN_JCC || insn->op == INSN_LOOP || insn->op == INSN_CALL ||
		insn->op == INSN_JMP || insn->op == INSN_RET);
}

/* Sizes that Zydis gives for an operand that is not read or written as such. */
static bool size_is_moot(const struct insn *insn, const ZydisDecodedOperand *op)
{
	if (is_short_branch64(insn))
		return true;
	switch (insn->op) {
	case INSN_MOVSX: /* MOVSXD with 66: r/m16 in SDM and APM; Zydis says 32 */
		return insn->opcode == 0x63 && insn->opsize == 2 && insn->rmsize == 2;
	case INSN_LAR: /* destination: Zydis says 32 bits with REX.W, but all 64 are written */
	case INSN_LSL:
		return op->size == 32 && insn->opsize == 8;
	case INSN_LEA: /* no access */
	case INSN_NOP:
	case INSN_INVLPG:
	case INSN_UD:
		return true;
	/* structures, whose size the core knows: 2 + 4 or 2 + 8 bytes, 16 bytes, 8 bytes, pairs */
	case INSN_LGDT:
	case INSN_SGDT:
	case INSN_LIDT:
	case INSN_SIDT:
	case INSN_INVPCID:
	case INSN_INVEPT:
	case INSN_INVVPID:
	case INSN_VMXON:
	case INSN_VMCLEAR:
	case INSN_VMPTRLD:
	case INSN_VMPTRST:
	case INSN_BOUND:
	case INSN_LOAD_FAR:
	case INSN_CALL_FAR:
	case INSN_JMP_FAR:
		return op->type == ZYDIS_OPERAND_TYPE_MEMORY;
	}
	return false;
}

static void compare_operand(struct cross *x, const u8 *bytes, const struct insn *insn,
			    const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *op,
			    unsigned int n)
{
	char kind = operand_kind(insn, n);
	unsigned int size = kind == 'm' ? insn->rmsize : insn->opsize;
	u64 mask = size >= 8 ? ~0ull : BIT(8 * size) - 1;

	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_MEMORY:
		if (is_string(insn)) {
			/* The source alone has a segment of choice. */
			if (op->mem.segment != ZYDIS_REGISTER_ES &&
			    insn->seg != segment_number(op->mem.segment))
				complain(x, bytes, "segment", insn->seg,
					 segment_number(op->mem.segment), zi);
			return;
		}
		if (kind != 'm') {
			complain(x, bytes, "kind of operand", kind, 'm', zi);
			return;
		}
		compare_memory(x, bytes, insn, zi, op);
		if (op->size != 8 * size && !size_is_moot(insn, op))
			complain(x, bytes, "size of memory operand", 8 * size, op->size, zi);
		break;
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (is_string(insn) || insn->op == INSN_IN || insn->op == INSN_OUT)
			return;
		if (kind == 's') {
			if (segment_number(op->reg.value) != insn->reg)
				complain(x, bytes, "segment register", insn->reg,
					 segment_number(op->reg.value), zi);
			return;
		}
		if (operand_number(insn, kind) != gpr_number(op->reg.value))
			complain(x, bytes, "register", operand_number(insn, kind),
				 gpr_number(op->reg.value), zi);
		if (kind != 'c' && op->size != 8 * size && insn->op != INSN_MOV_TO_SEG &&
		    insn->op != INSN_MOV_FROM_SEG && !size_is_moot(insn, op))
			complain(x, bytes, "size of register", 8 * size, op->size, zi);
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		if (kind == '1')
			break;
		if (insn->op == INSN_ENTER)
			return;
		if (kind != 'i')
			complain(x, bytes, "kind of operand", kind, 'i', zi);
		else if ((op->imm.value.u & mask) != (insn->imm & mask))
			complain(x, bytes, "immediate", (int)insn->imm, (int)op->imm.value.u, zi);
		break;
	case ZYDIS_OPERAND_TYPE_POINTER:
		if (op->ptr.segment != insn->imm2 || op->ptr.offset != insn->imm)
			complain(x, bytes, "far pointer", insn->imm2, op->ptr.segment, zi);
		break;
	default:
		break;
	}
}

/* The name of what was decoded; that the right operation was found, not just its shape. */
static const char *op_name(const struct insn *insn)
{
	static const char *const cc[16] = { "o", "no", "b", "nb", "z", "nz", "be", "nbe",
					    "s", "ns", "p", "np", "l", "nl", "le", "nle" };
	static const char *const names[] = {
		[INSN_ADD] = "add",
		[INSN_OR] = "or",
		[INSN_ADC] = "adc",
		[INSN_SBB] = "sbb",
		[INSN_AND] = "and",
		[INSN_SUB] = "sub",
		[INSN_XOR] = "xor",
		[INSN_CMP] = "cmp",
		[INSN_ROL] = "rol",
		[INSN_ROR] = "ror",
		[INSN_RCL] = "rcl",
		[INSN_RCR] = "rcr",
		[INSN_SHL] = "shl",
		[INSN_SHR] = "shr",
		[INSN_SAL] = "shl",
		[INSN_SAR] = "sar",
		[INSN_BT] = "bt",
		[INSN_BTS] = "bts",
		[INSN_BTR] = "btr",
		[INSN_BTC] = "btc",
		[INSN_TEST] = "test",
		[INSN_NOT] = "not",
		[INSN_NEG] = "neg",
		[INSN_MUL] = "mul",
		[INSN_IMUL] = "imul",
		[INSN_DIV] = "div",
		[INSN_IDIV] = "idiv",
		[INSN_INC] = "inc",
		[INSN_DEC] = "dec",
		[INSN_MOV] = "mov",
		[INSN_MOVZX] = "movzx",
		[INSN_MOVBE] = "movbe",
		[INSN_MOV_FROM_SEG] = "mov",
		[INSN_XCHG] = "xchg",
		[INSN_XADD] = "xadd",
		[INSN_CMPXCHG] = "cmpxchg",
		[INSN_CMPXCHG8B] = "cmpxchg8b",
		[INSN_CMPXCHG16B] = "cmpxchg16b",
		[INSN_SHLD] = "shld",
		[INSN_SHRD] = "shrd",
		[INSN_BSF] = "bsf",
		[INSN_BSR] = "bsr",
		[INSN_LEA] = "lea",
		[INSN_NOP] = "nop",
		[INSN_PUSH] = "push",
		[INSN_POP] = "pop",
		[INSN_CALL] = "call",
		[INSN_JMP] = "jmp",
		[INSN_RET] = "ret",
		[INSN_IN] = "in",
		[INSN_OUT] = "out",
		[INSN_MOV_TO_SEG] = "mov",
		[INSN_CALL_FAR] = "call",
		[INSN_JMP_FAR] = "jmp",
		[INSN_RET_FAR] = "ret",
		[INSN_INT] = "int",
		[INSN_INT1] = "int1",
		[INSN_INT3] = "int3",
		[INSN_INTO] = "into",
		[INSN_PUSH_SEG] = "push",
		[INSN_POP_SEG] = "pop",
		[INSN_ENTER] = "enter",
		[INSN_LEAVE] = "leave",
		[INSN_BOUND] = "bound",
		[INSN_ARPL] = "arpl",
		[INSN_XLAT] = "xlat",
		[INSN_BSWAP] = "bswap",
		[INSN_CLI] = "cli",
		[INSN_STI] = "sti",
		[INSN_FWAIT] = "fwait",
		[INSN_HLT] = "hlt",
		[INSN_PAUSE] = "pause",
		[INSN_CPUID] = "cpuid",
		[INSN_RDMSR] = "rdmsr",
		[INSN_WRMSR] = "wrmsr",
		[INSN_RDTSC] = "rdtsc",
		[INSN_RDTSCP] = "rdtscp",
		[INSN_RDPMC] = "rdpmc",
		[INSN_RDPRU] = "rdpru",
		[INSN_RDRAND] = "rdrand",
		[INSN_RDSEED] = "rdseed",
		[INSN_INVD] = "invd",
		[INSN_INVLPG] = "invlpg",
		[INSN_INVLPGA] = "invlpga",
		[INSN_INVLPGB] = "invlpgb",
		[INSN_TLBSYNC] = "tlbsync",
		[INSN_INVPCID] = "invpcid",
		[INSN_MOV_FROM_CR] = "mov",
		[INSN_MOV_TO_CR] = "mov",
		[INSN_MOV_FROM_DR] = "mov",
		[INSN_MOV_TO_DR] = "mov",
		[INSN_CLTS] = "clts",
		[INSN_LMSW] = "lmsw",
		[INSN_SMSW] = "smsw",
		[INSN_XSETBV] = "xsetbv",
		[INSN_XGETBV] = "xgetbv",
		[INSN_MONITOR] = "monitor",
		[INSN_MWAIT] = "mwait",
		[INSN_MONITORX] = "monitorx",
		[INSN_MWAITX] = "mwaitx",
		[INSN_LGDT] = "lgdt",
		[INSN_SGDT] = "sgdt",
		[INSN_LIDT] = "lidt",
		[INSN_SIDT] = "sidt",
		[INSN_LLDT] = "lldt",
		[INSN_SLDT] = "sldt",
		[INSN_LTR] = "ltr",
		[INSN_STR] = "str",
		[INSN_VERR] = "verr",
		[INSN_VERW] = "verw",
		[INSN_LAR] = "lar",
		[INSN_LSL] = "lsl",
		[INSN_RSM] = "rsm",
		[INSN_SYSCALL] = "syscall",
		[INSN_SYSRET] = "sysret",
		[INSN_SYSENTER] = "sysenter",
		[INSN_SYSEXIT] = "sysexit",
		[INSN_SWAPGS] = "swapgs",
		[INSN_CLAC] = "clac",
		[INSN_STAC] = "stac",
		[INSN_VMRUN] = "vmrun",
		[INSN_VMMCALL] = "vmmcall",
		[INSN_VMLOAD] = "vmload",
		[INSN_VMSAVE] = "vmsave",
		[INSN_STGI] = "stgi",
		[INSN_CLGI] = "clgi",
		[INSN_SKINIT] = "skinit",
		[INSN_VMCALL] = "vmcall",
		[INSN_VMLAUNCH] = "vmlaunch",
		[INSN_VMRESUME] = "vmresume",
		[INSN_VMXOFF] = "vmxoff",
		[INSN_VMXON] = "vmxon",
		[INSN_VMCLEAR] = "vmclear",
		[INSN_VMPTRLD] = "vmptrld",
		[INSN_VMPTRST] = "vmptrst",
		[INSN_VMREAD] = "vmread",
		[INSN_VMWRITE] = "vmwrite",
		[INSN_INVEPT] = "invept",
		[INSN_INVVPID] = "invvpid",
	};
	static char name[16];

	if (insn->op == INSN_SETCC || insn->op == INSN_CMOVCC || insn->op == INSN_JCC) {
		snprintf(name, sizeof(name), "%s%s",
			 insn->op == INSN_SETCC	   ? "set"
			 : insn->op == INSN_CMOVCC ? "cmov"
						   : "j",
			 cc[insn->opcode & 15]);
		return name;
	}
	return insn->op < ARRAY_SIZE(names) ? names[insn->op] : NULL;
}

/* Names of operations that stand for several instructions: a prefix, or alternatives. */
static bool name_matches(const struct insn *insn, const char *zydis)
{
	static const struct {
		u8 op;
		const char *names;
	} sets[] = {
		{ INSN_MOVSX, " movsx movsxd " },
		{ INSN_MOVNTI, " movnti movdiri " },
		{ INSN_STOS, " stosb stosw stosd stosq " },
		{ INSN_LODS, " lodsb lodsw lodsd lodsq " },
		{ INSN_MOVS, " movsb movsw movsd movsq " },
		{ INSN_SCAS, " scasb scasw scasd scasq " },
		{ INSN_CMPS, " cmpsb cmpsw cmpsd cmpsq " },
		{ INSN_INS, " insb insw insd " },
		{ INSN_OUTS, " outsb outsw outsd " },
		{ INSN_MOV_VEC, " movups movupd movdqu vmovups vmovupd vmovdqu " },
		{ INSN_MOV_VEC_ALIGNED,
		  " movaps movapd movdqa movntps movntpd movntdq vmovaps vmovapd vmovdqa vmovntps "
		  "vmovntpd vmovntdq " },
		{ INSN_LOOP, " loopne loope loop jcxz jecxz jrcxz " },
		{ INSN_IRET, " iret iretd iretq " },
		{ INSN_PUSHF, " pushf pushfd pushfq " },
		{ INSN_POPF, " popf popfd popfq " },
		{ INSN_PUSHA, " pusha pushad " },
		{ INSN_POPA, " popa popad " },
		{ INSN_LOAD_FAR, " les lds lss lfs lgs " },
		{ INSN_CONVERT, " cbw cwde cdqe cwd cdq cqo " },
		{ INSN_BCD, " daa das aaa aas aam aad " },
		{ INSN_FLAG, " cmc clc stc cld std lahf sahf salc " },
		{ INSN_WBINVD, " wbinvd wbnoinvd " },
		{ INSN_UD, " ud0 ud1 ud2 " },
	};
	const char *name = op_name(insn);
	char padded[32];
	unsigned int i;

	if (name)
		return !strcmp(name, zydis);
	snprintf(padded, sizeof(padded), " %s ", zydis);
	for (i = 0; i < ARRAY_SIZE(sets); i++)
		if (sets[i].op == insn->op)
			return strstr(sets[i].names, padded);
	return false;
}

/*
 * Operand sizes: Zydis gives every instruction one, by prefix and mode; the decoder gives the size
 * of the data, which differs where an instruction has a fixed one.
 */
static bool width_is_moot(const struct insn *insn)
{
	switch (insn->op) {
	case INSN_MOV_VEC:
	case INSN_MOV_VEC_ALIGNED:
	case INSN_NOP: /* no data */
	case INSN_UD:
	case INSN_FLAG:
	case INSN_INVLPG:
		return true;
	case INSN_IN: /* never 64 bits */
	case INSN_OUT:
	case INSN_INS:
	case INSN_OUTS:
		return insn->opsize == 4 && insn->rex & 8;
	case INSN_MOVNTI: /* 32 or 64 bits, in 16-bit code too */
		return insn->opsize == 4 && insn->mode == INSN_MODE_16;
	case INSN_INVEPT: /* 32 bits outside 64-bit code, 66 being part of the opcode */
	case INSN_INVVPID:
	case INSN_INVPCID:
		return insn->opsize == 4 && insn->mode != INSN_MODE_64;
	case INSN_VMREAD:
	case INSN_VMWRITE:
		return insn->opsize == 4 && insn->mode == INSN_MODE_16;
	case INSN_VMXON: /* a pointer of 64 bits in all modes */
	case INSN_VMCLEAR:
	case INSN_VMPTRLD:
	case INSN_VMPTRST:
		return insn->opsize == 8;
	case INSN_ARPL:
		return insn->opsize == 2;
	}
	if (is_short_branch64(insn))
		return true;
	/* No operands: only these have data whose size the prefixes choose. */
	if (insn->form == INSN_FORM_NONE)
		return insn->op != INSN_IRET && insn->op != INSN_PUSHF && insn->op != INSN_POPF &&
		       insn->op != INSN_RET && insn->op != INSN_RET_FAR && !is_string(insn) &&
		       insn->op != INSN_CONVERT && insn->op != INSN_LEAVE &&
		       insn->op != INSN_PUSHA && insn->op != INSN_POPA;
	return false;
}

/* Encodings that the decoder rightly takes and Zydis refuses. */
static bool refused_wrongly(const struct insn *insn)
{
	/* LOCK MOV CR0 is MOV CR8: APM volume 3, MOV CRn (AltMovCr8). */
	return (insn->op == INSN_MOV_FROM_CR || insn->op == INSN_MOV_TO_CR) && insn->reg == 8;
}

static void compare(struct cross *x, const u8 *bytes)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction zi;
	struct insn insn, alone;
	bool valid;
	unsigned int n;
	int ret;

	ret = insn_decode(&insn, bytes, 15, x->mode);
	valid = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&x->zydis, bytes, 15, &zi, ops));
	if (ret < 0 && !valid) {
		x->refused++;
		return;
	}
	if (ret == -ENOSYS && not_claimed(&zi)) {
		x->skipped++;
		return;
	}
	if (ret > 0 && !valid && refused_wrongly(&insn)) {
		x->known++;
		return;
	}
	if (ret < 0 || !valid || ret != zi.length) {
		complain(x, bytes, "length", ret, valid ? zi.length : -1, valid ? &zi : NULL);
		return;
	}
	/* With just its own bytes it takes the long way through the decoder: no difference. */
	if (insn_decode(&alone, bytes, (unsigned int)ret, x->mode) != ret ||
	    memcmp(&alone, &insn, offsetof(struct insn, rmsize) + 1))
		complain(x, bytes, "without the bytes that follow", 0, 1, &zi);
	x->compared++;
	x->seen[insn.map][insn.opcode] = 1;
	if (insn.len != ret)
		complain(x, bytes, "stored length", insn.len, ret, &zi);
	if (!name_matches(&insn, ZydisMnemonicGetString(zi.mnemonic)))
		complain(x, bytes, "operation", insn.op, zi.mnemonic, &zi);
	if (insn.addrsize * 8 != zi.address_width)
		complain(x, bytes, "address size", insn.addrsize * 8, zi.address_width, &zi);
	if (insn.opsize * 8 != zi.operand_width && !width_is_moot(&insn))
		complain(x, bytes, "operand size", insn.opsize * 8, zi.operand_width, &zi);
	for (n = 0; n < zi.operand_count; n++) {
		if (ops[n].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT || is_string(&insn))
			compare_operand(x, bytes, &insn, &zi, &ops[n], n);
	}
}

/* One prefix string and map: every opcode, every ModRM, a few SIBs. */
static void sweep(struct cross *x, const char *prefix, unsigned int nprefix, const char *map,
		  unsigned int nmap)
{
	static const u8 sibs[] = { 0x00, 0x25, 0x65, 0xac, 0xe4, 0x5d };
	u8 bytes[24] = { 0 };
	unsigned int op, modrm, sib, n;

	memcpy(bytes, prefix, nprefix);
	memcpy(bytes + nprefix, map, nmap);
	n = nprefix + nmap;
	for (op = 0; op < 256; op++) {
		bytes[n] = op;
		for (modrm = 0; modrm < 256; modrm++) {
			bool has_sib = (modrm & 7) == 4 && modrm < 0xc0;

			bytes[n + 1] = modrm;
			memcpy(bytes + n + 3, "\x81\x92\xa3\xf4\x15\x26\x37\x48\x59\x6a", 10);
			for (sib = 0; sib < (has_sib ? ARRAY_SIZE(sibs) : 1); sib++) {
				bytes[n + 2] = has_sib ? sibs[sib] : 0x9a;
				compare(x, bytes);
			}
		}
	}
}

static void sweep_all(struct cross *x)
{
	static const char *const legacy[] = { "",	  "\x66",     "\x67",	  "\xf2",
					      "\xf3",	  "\xf0",     "\x66\x67", "\x66\xf3",
					      "\x66\xf2", "\xf0\x66", "\xf0\xf3", "\xf2\xf3",
					      "\x64",	  "\x2e",     "\x65\x36", "\x66\xf3\xf2" };
	static const char *const rex[] = { "\x40",     "\x41",	   "\x42",	   "\x44",
					   "\x48",     "\x4f",	   "\x66\x48",	   "\x66\x45",
					   "\x67\x47", "\xf3\x48", "\xf2\x49",	   "\xf0\x4c",
					   "\x48\x66", "\x65\x4a", "\x66\xf3\x4b", "\x66\xf0\x49" };
	static const char *const maps[] = { "", "\x0f", "\x0f\x38", "\x0f\x3a" };
	unsigned int i, m;

	for (m = 0; m < ARRAY_SIZE(maps); m++) {
		for (i = 0; i < ARRAY_SIZE(legacy); i++)
			sweep(x, legacy[i], strlen(legacy[i]), maps[m], strlen(maps[m]));
		for (i = 0; x->mode == INSN_MODE_64 && i < ARRAY_SIZE(rex); i++)
			sweep(x, rex[i], strlen(rex[i]), maps[m], strlen(maps[m]));
	}
}

/*
 * VEX: both forms, every second byte, and for the three-byte form a choice of maps and third
 * bytes.
 */
static void sweep_vex(struct cross *x)
{
	static const u8 first[] = { 0xe1, 0xc1, 0x81, 0x61, 0xe2, 0xe3, 0xe0 };
	static const u8 second[] = { 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e,
				     0xf8, 0xf9, 0x38, 0x39, 0x70, 0x71, 0xfd };
	char map[3];
	unsigned int i, j;

	for (i = 0; i < 256; i += 1) {
		map[0] = 0xc5;
		map[1] = i;
		if ((i & 0x78) == 0x78 || i % 8 == 1)
			sweep(x, "", 0, map, 2);
	}
	for (i = 0; i < ARRAY_SIZE(first); i++) {
		for (j = 0; j < ARRAY_SIZE(second); j++) {
			map[0] = 0xc4;
			map[1] = first[i];
			map[2] = second[j];
			sweep(x, "", 0, map, 3);
		}
	}
	sweep(x, "\x66", 1, "\xc5\xf9", 2);
	sweep(x, "\xf0", 1, "\xc5\xf9", 2);
	sweep(x, "\x67", 1, "\xc5\xf9", 2);
	sweep(x, "\x64", 1, "\xc5\xf9", 2);
}

static void cross_check(enum insn_mode mode, ZydisMachineMode machine, ZydisStackWidth stack,
			unsigned int claimed)
{
	static struct cross x;
	unsigned int m, i, opcodes = 0;

	memset(&x, 0, sizeof(x));
	x.mode = mode;
	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&x.zydis, machine, stack)));
	ZydisDecoderEnableMode(&x.zydis, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
	sweep_all(&x);
	sweep_vex(&x);
	for (m = 0; m < 5; m++)
		for (i = 0; i < 256; i++)
			opcodes += x.seen[m][i];
	print_message("%d-bit: %llu encodings of %u opcodes equal, %llu refused by both, "
		      "%llu not claimed, %llu known differences, %u wrong\n",
		      mode * 8, (unsigned long long)x.compared, opcodes,
		      (unsigned long long)x.refused, (unsigned long long)x.skipped,
		      (unsigned long long)x.known, x.failed);
	assert_int_equal(x.failed, 0);
	/*
	 * The sweep must have met all that the decoder claims: opcodes of all maps, VEX included.
	 */
	assert_int_equal(opcodes, claimed);
}

static void test_zydis_16(void **state UNUSED)
{
	cross_check(INSN_MODE_16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, 370);
}

static void test_zydis_32(void **state UNUSED)
{
	cross_check(INSN_MODE_32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, 370);
}

static void test_zydis_64(void **state UNUSED)
{
	cross_check(INSN_MODE_64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, 331);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exits),
		cmocka_unit_test(test_moves64),
		cmocka_unit_test(test_addresses16),
		cmocka_unit_test(test_control_registers),
		cmocka_unit_test(test_lengths_and_errors),
		cmocka_unit_test(test_amd_branches),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_zydis_16),
		cmocka_unit_test(test_zydis_32),
		cmocka_unit_test(test_zydis_64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
