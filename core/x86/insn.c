// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decoder of x86 instructions. Two tables say for each opcode which operation it is and what
 * follows it; a third resolves the groups that ModRM.reg selects in. One pass over the bytes, in
 * the order in which they stand: prefixes, opcode, ModRM, SIB, displacement, immediate.
 */
#include "core/x86/insn.h"

/* A table entry: operation (or group) 7:0, form 12:8, immediate 15:13, properties above. */
#define ENTRY_OP(e)   ((u8)(e))
#define ENTRY_FORM(e) ((e) >> 8 & 0x1f)
#define ENTRY_IMM(e)  ((e) >> 13 & 7)

#define HAS_MODRM  BIT32(16)
#define BYTE_OP	   BIT32(17) /* operand of one byte */
#define STACK64	   BIT32(18) /* operand is 64 bits by default in 64-bit code */
#define NOT64	   BIT32(19) /* undefined in 64-bit code */
#define LOCKABLE   BIT32(20) /* LOCK allowed, if the operand is in memory */
#define ONLY_MEM   BIT32(21)
#define IGNORE_MOD BIT32(22) /* ModRM names a register whatever its mod */
#define GROUP	   BIT32(23) /* ModRM.reg selects */
#define NO_PREFIX  BIT32(24) /* 66, F2 and F3 select other instructions */
#define NATIVE	   BIT32(25) /* operand is 64 bits in 64-bit code, without prefix */
#define RM_BYTE	   BIT32(26) /* the RM operand is a byte */
#define RM_WORD	   BIT32(27) /* the RM operand is a word */
#define MEM_WORD   BIT32(28) /* the same, if it is in memory */
#define SPECIAL	   BIT32(29) /* see adjust() */
#define PREFIX	   BIT32(30) /* a prefix; the operation is one of enum prefix */
#define IS_REX	   BIT32(31) /* a REX prefix in 64-bit code */
#define BIT32(n)   (1u << (n))

enum imm {
	IMM_NO,
	IMM_S8,	   /* a byte, sign-extended */
	IMM_U8,	   /* a byte, zero-extended */
	IMM_Z,	   /* of operand size, at most 4 bytes, sign-extended */
	IMM_V,	   /* of operand size */
	IMM_16,	   /* a word, zero-extended */
	IMM_TWO,   /* far pointer: of operand size, then a word; ENTER: a word, then a byte */
	IMM_MOFFS, /* an address */
};

enum prefix {
	PREFIX_SEG, /* + segment register */
	PREFIX_OPSIZE = 8,
	PREFIX_ADDRSIZE,
	PREFIX_LOCK,
	PREFIX_REPNE,
	PREFIX_REP,
};

enum group {
	GROUP_ARITH,
	GROUP_POP,
	GROUP_SHIFT,
	GROUP_UNARY,
	GROUP_INCDEC,
	GROUP_FF,
	GROUP_MOV,
	GROUP_0F00,
	GROUP_0F01,
	GROUP_BIT,
	GROUP_0FC7,
};

/* An operation beside those of enum insn_op: raises #UD. */
#define INSN_UNDEFINED 0xff

#define E(op, form, imm, props) (INSN_##op | INSN_FORM_##form << 8 | IMM_##imm << 13 | (props))
#define G(group, form, imm, props)                                                                 \
	(GROUP_##group | INSN_FORM_##form << 8 | IMM_##imm << 13 | GROUP | HAS_MODRM | (props))
#define P(prefix) (PREFIX | (prefix))

#define M      HAS_MODRM
#define L      LOCKABLE
#define BYTE_M (HAS_MODRM | BYTE_OP)

/* The six shapes of the arithmetic instructions at opcodes base .. base + 5. */
#define ARITH(base, op, lock)                                                                      \
	[base] = E(op, RM_R, NO, BYTE_M | (lock)), [(base) + 1] = E(op, RM_R, NO, M | (lock)),     \
	[(base) + 2] = E(op, R_RM, NO, BYTE_M), [(base) + 3] = E(op, R_RM, NO, M),                 \
	[(base) + 4] = E(op, A_I, Z, BYTE_OP), [(base) + 5] = E(op, A_I, Z, 0)

#define EIGHT(base, e) [base...(base) + 7] = (e)

static const u32 map_one[256] = {
	ARITH(0x00, ADD, L),
	[0x06] = E(PUSH_SEG, SREG, NO, NOT64 | SPECIAL),
	[0x07] = E(POP_SEG, SREG, NO, NOT64 | SPECIAL),
	ARITH(0x08, OR, L),
	[0x0e] = E(PUSH_SEG, SREG, NO, NOT64 | SPECIAL),
	ARITH(0x10, ADC, L),
	[0x16] = E(PUSH_SEG, SREG, NO, NOT64 | SPECIAL),
	[0x17] = E(POP_SEG, SREG, NO, NOT64 | SPECIAL),
	ARITH(0x18, SBB, L),
	[0x1e] = E(PUSH_SEG, SREG, NO, NOT64 | SPECIAL),
	[0x1f] = E(POP_SEG, SREG, NO, NOT64 | SPECIAL),
	ARITH(0x20, AND, L),
	[0x26] = P(PREFIX_SEG + INSN_ES),
	[0x27] = E(BCD, NONE, NO, NOT64),
	ARITH(0x28, SUB, L),
	[0x2e] = P(PREFIX_SEG + INSN_CS),
	[0x2f] = E(BCD, NONE, NO, NOT64),
	ARITH(0x30, XOR, L),
	[0x36] = P(PREFIX_SEG + INSN_SS),
	[0x37] = E(BCD, NONE, NO, NOT64),
	ARITH(0x38, CMP, 0),
	[0x3e] = P(PREFIX_SEG + INSN_DS),
	[0x3f] = E(BCD, NONE, NO, NOT64),
	EIGHT(0x40, E(INC, O, NO, IS_REX)),
	EIGHT(0x48, E(DEC, O, NO, IS_REX)),
	EIGHT(0x50, E(PUSH, O, NO, STACK64)),
	EIGHT(0x58, E(POP, O, NO, STACK64)),
	[0x60] = E(PUSHA, NONE, NO, NOT64),
	[0x61] = E(POPA, NONE, NO, NOT64),
	[0x62] = E(BOUND, R_RM, NO, M | SPECIAL),
	[0x63] = E(ARPL, RM_R, NO, M | SPECIAL),
	[0x64] = P(PREFIX_SEG + INSN_FS),
	[0x65] = P(PREFIX_SEG + INSN_GS),
	[0x66] = P(PREFIX_OPSIZE),
	[0x67] = P(PREFIX_ADDRSIZE),
	[0x68] = E(PUSH, I, Z, STACK64),
	[0x69] = E(IMUL, R_RM_I, Z, M),
	[0x6a] = E(PUSH, I, S8, STACK64),
	[0x6b] = E(IMUL, R_RM_I, S8, M),
	[0x6c] = E(INS, A_DX, NO, BYTE_OP),
	[0x6d] = E(INS, A_DX, NO, SPECIAL),
	[0x6e] = E(OUTS, A_DX, NO, BYTE_OP),
	[0x6f] = E(OUTS, A_DX, NO, SPECIAL),
	EIGHT(0x70, E(JCC, I, S8, STACK64)),
	EIGHT(0x78, E(JCC, I, S8, STACK64)),
	[0x80] = G(ARITH, RM_I, Z, BYTE_OP),
	[0x81] = G(ARITH, RM_I, Z, 0),
	[0x82] = G(ARITH, RM_I, Z, BYTE_OP | NOT64),
	[0x83] = G(ARITH, RM_I, S8, 0),
	[0x84] = E(TEST, RM_R, NO, BYTE_M),
	[0x85] = E(TEST, RM_R, NO, M),
	[0x86] = E(XCHG, RM_R, NO, BYTE_M | L),
	[0x87] = E(XCHG, RM_R, NO, M | L),
	[0x88] = E(MOV, RM_R, NO, BYTE_M),
	[0x89] = E(MOV, RM_R, NO, M),
	[0x8a] = E(MOV, R_RM, NO, BYTE_M),
	[0x8b] = E(MOV, R_RM, NO, M),
	[0x8c] = E(MOV_FROM_SEG, RM_R, NO, M | MEM_WORD | SPECIAL),
	[0x8d] = E(LEA, R_RM, NO, M | ONLY_MEM),
	[0x8e] = E(MOV_TO_SEG, R_RM, NO, M | RM_WORD | SPECIAL),
	[0x8f] = G(POP, RM, NO, STACK64),
	[0x90] = E(NOP, NONE, NO, SPECIAL),
	[0x91 ... 0x97] = E(XCHG, O_A, NO, 0),
	[0x98] = E(CONVERT, NONE, NO, 0),
	[0x99] = E(CONVERT, NONE, NO, 0),
	[0x9a] = E(CALL_FAR, FAR, TWO, NOT64),
	[0x9b] = E(FWAIT, NONE, NO, 0),
	[0x9c] = E(PUSHF, NONE, NO, STACK64),
	[0x9d] = E(POPF, NONE, NO, STACK64),
	[0x9e] = E(FLAG, NONE, NO, 0),
	[0x9f] = E(FLAG, NONE, NO, 0),
	[0xa0] = E(MOV, A_MOFFS, MOFFS, BYTE_OP | SPECIAL),
	[0xa1] = E(MOV, A_MOFFS, MOFFS, SPECIAL),
	[0xa2] = E(MOV, MOFFS_A, MOFFS, BYTE_OP | SPECIAL),
	[0xa3] = E(MOV, MOFFS_A, MOFFS, SPECIAL),
	[0xa4] = E(MOVS, NONE, NO, BYTE_OP),
	[0xa5] = E(MOVS, NONE, NO, 0),
	[0xa6] = E(CMPS, NONE, NO, BYTE_OP),
	[0xa7] = E(CMPS, NONE, NO, 0),
	[0xa8] = E(TEST, A_I, Z, BYTE_OP),
	[0xa9] = E(TEST, A_I, Z, 0),
	[0xaa] = E(STOS, NONE, NO, BYTE_OP),
	[0xab] = E(STOS, NONE, NO, 0),
	[0xac] = E(LODS, NONE, NO, BYTE_OP),
	[0xad] = E(LODS, NONE, NO, 0),
	[0xae] = E(SCAS, NONE, NO, BYTE_OP),
	[0xaf] = E(SCAS, NONE, NO, 0),
	EIGHT(0xb0, E(MOV, O_I, V, BYTE_OP)),
	EIGHT(0xb8, E(MOV, O_I, V, 0)),
	[0xc0] = G(SHIFT, RM_I, U8, BYTE_OP),
	[0xc1] = G(SHIFT, RM_I, U8, 0),
	[0xc2] = E(RET, I, 16, STACK64),
	[0xc3] = E(RET, NONE, NO, STACK64),
	[0xc4] = E(LOAD_FAR, R_RM, NO, M | ONLY_MEM | NOT64),
	[0xc5] = E(LOAD_FAR, R_RM, NO, M | ONLY_MEM | NOT64),
	[0xc6] = G(MOV, RM_I, Z, BYTE_OP),
	[0xc7] = G(MOV, RM_I, Z, 0),
	[0xc8] = E(ENTER, NONE, TWO, STACK64),
	[0xc9] = E(LEAVE, NONE, NO, STACK64),
	[0xca] = E(RET_FAR, I, 16, 0),
	[0xcb] = E(RET_FAR, NONE, NO, 0),
	[0xcc] = E(INT3, NONE, NO, 0),
	[0xcd] = E(INT, I, U8, 0),
	[0xce] = E(INTO, NONE, NO, NOT64),
	[0xcf] = E(IRET, NONE, NO, 0),
	[0xd0] = G(SHIFT, RM_1, NO, BYTE_OP),
	[0xd1] = G(SHIFT, RM_1, NO, 0),
	[0xd2] = G(SHIFT, RM_CL, NO, BYTE_OP),
	[0xd3] = G(SHIFT, RM_CL, NO, 0),
	[0xd4] = E(BCD, I, U8, NOT64),
	[0xd5] = E(BCD, I, U8, NOT64),
	[0xd6] = E(FLAG, NONE, NO, NOT64),
	[0xd7] = E(XLAT, NONE, NO, BYTE_OP),
	/* D8-DF: x87, not claimed */
	[0xe0 ... 0xe3] = E(LOOP, I, S8, STACK64),
	[0xe4] = E(IN, A_I, U8, BYTE_OP),
	[0xe5] = E(IN, A_I, U8, SPECIAL),
	[0xe6] = E(OUT, I_A, U8, BYTE_OP),
	[0xe7] = E(OUT, I_A, U8, SPECIAL),
	[0xe8] = E(CALL, I, Z, STACK64),
	[0xe9] = E(JMP, I, Z, STACK64),
	[0xea] = E(JMP_FAR, FAR, TWO, NOT64),
	[0xeb] = E(JMP, I, S8, STACK64),
	[0xec] = E(IN, A_DX, NO, BYTE_OP),
	[0xed] = E(IN, A_DX, NO, SPECIAL),
	[0xee] = E(OUT, A_DX, NO, BYTE_OP),
	[0xef] = E(OUT, A_DX, NO, SPECIAL),
	[0xf0] = P(PREFIX_LOCK),
	[0xf1] = E(INT1, NONE, NO, 0),
	[0xf2] = P(PREFIX_REPNE),
	[0xf3] = P(PREFIX_REP),
	[0xf4] = E(HLT, NONE, NO, 0),
	[0xf5] = E(FLAG, NONE, NO, 0),
	[0xf6] = G(UNARY, NONE, NO, BYTE_OP),
	[0xf7] = G(UNARY, NONE, NO, 0),
	[0xf8] = E(FLAG, NONE, NO, 0),
	[0xf9] = E(FLAG, NONE, NO, 0),
	[0xfa] = E(CLI, NONE, NO, 0),
	[0xfb] = E(STI, NONE, NO, 0),
	[0xfc] = E(FLAG, NONE, NO, 0),
	[0xfd] = E(FLAG, NONE, NO, 0),
	[0xfe] = G(INCDEC, RM, NO, BYTE_OP),
	[0xff] = G(FF, RM, NO, 0),
};

/*
 * Opcodes 10, 11, 28, 29, 2B, 6F, 7F, E7, where 66, F2 and F3 are part of the opcode: vec_move().
 */
#define VEX256	  NATIVE /* VEX.L: 32 bytes */
#define VEC(form) E(MOV_VEC, form, NO, M | SPECIAL)

static const u32 map_0f[256] = {
	[0x00] = G(0F00, RM, NO, 0),
	[0x01] = G(0F01, RM, NO, 0),
	[0x02] = E(LAR, R_RM, NO, M | MEM_WORD),
	[0x03] = E(LSL, R_RM, NO, M | MEM_WORD),
	[0x05] = E(SYSCALL, NONE, NO, 0),
	[0x06] = E(CLTS, NONE, NO, 0),
	[0x07] = E(SYSRET, NONE, NO, 0),
	[0x08] = E(INVD, NONE, NO, 0),
	[0x09] = E(WBINVD, NONE, NO, 0),
	[0x0b] = E(UD, NONE, NO, 0),
	[0x10] = VEC(R_RM),
	[0x11] = VEC(RM_R),
	[0x1f] = E(NOP, RM_R, NO, M),
	[0x20] = E(MOV_FROM_CR, RM_R, NO, M | IGNORE_MOD | SPECIAL),
	[0x21] = E(MOV_FROM_DR, RM_R, NO, M | IGNORE_MOD | SPECIAL),
	[0x22] = E(MOV_TO_CR, R_RM, NO, M | IGNORE_MOD | SPECIAL),
	[0x23] = E(MOV_TO_DR, R_RM, NO, M | IGNORE_MOD | SPECIAL),
	[0x28] = VEC(R_RM),
	[0x29] = VEC(RM_R),
	[0x2b] = VEC(RM_R) | ONLY_MEM,
	[0x30] = E(WRMSR, NONE, NO, 0),
	[0x31] = E(RDTSC, NONE, NO, 0),
	[0x32] = E(RDMSR, NONE, NO, 0),
	[0x33] = E(RDPMC, NONE, NO, 0),
	[0x34] = E(SYSENTER, NONE, NO, 0),
	[0x35] = E(SYSEXIT, NONE, NO, 0),
	EIGHT(0x40, E(CMOVCC, R_RM, NO, M)),
	EIGHT(0x48, E(CMOVCC, R_RM, NO, M)),
	[0x6f] = VEC(R_RM),
	[0x78] = E(VMREAD, RM_R, NO, M | NO_PREFIX | SPECIAL),
	[0x79] = E(VMWRITE, R_RM, NO, M | NO_PREFIX | SPECIAL),
	[0x7f] = VEC(RM_R),
	EIGHT(0x80, E(JCC, I, Z, STACK64)),
	EIGHT(0x88, E(JCC, I, Z, STACK64)),
	EIGHT(0x90, E(SETCC, RM, NO, BYTE_M)),
	EIGHT(0x98, E(SETCC, RM, NO, BYTE_M)),
	[0xa0] = E(PUSH_SEG, SREG, NO, STACK64 | SPECIAL),
	[0xa1] = E(POP_SEG, SREG, NO, STACK64 | SPECIAL),
	[0xa2] = E(CPUID, NONE, NO, 0),
	[0xa3] = E(BT, RM_R, NO, M),
	[0xa4] = E(SHLD, RM_R_I, U8, M),
	[0xa5] = E(SHLD, RM_R_CL, NO, M),
	[0xa8] = E(PUSH_SEG, SREG, NO, STACK64 | SPECIAL),
	[0xa9] = E(POP_SEG, SREG, NO, STACK64 | SPECIAL),
	[0xaa] = E(RSM, NONE, NO, 0),
	[0xab] = E(BTS, RM_R, NO, M | L),
	[0xac] = E(SHRD, RM_R_I, U8, M),
	[0xad] = E(SHRD, RM_R_CL, NO, M),
	[0xaf] = E(IMUL, R_RM, NO, M),
	[0xb0] = E(CMPXCHG, RM_R, NO, BYTE_M | L),
	[0xb1] = E(CMPXCHG, RM_R, NO, M | L),
	[0xb2] = E(LOAD_FAR, R_RM, NO, M | ONLY_MEM),
	[0xb3] = E(BTR, RM_R, NO, M | L),
	[0xb4] = E(LOAD_FAR, R_RM, NO, M | ONLY_MEM),
	[0xb5] = E(LOAD_FAR, R_RM, NO, M | ONLY_MEM),
	[0xb6] = E(MOVZX, R_RM, NO, M | RM_BYTE),
	[0xb7] = E(MOVZX, R_RM, NO, M | RM_WORD),
	[0xb9] = E(UD, R_RM, NO, M),
	[0xba] = G(BIT, RM_I, U8, 0),
	[0xbb] = E(BTC, RM_R, NO, M | L),
	[0xbc] = E(BSF, R_RM, NO, M | SPECIAL),
	[0xbd] = E(BSR, R_RM, NO, M | SPECIAL),
	[0xbe] = E(MOVSX, R_RM, NO, M | RM_BYTE),
	[0xbf] = E(MOVSX, R_RM, NO, M | RM_WORD),
	[0xc0] = E(XADD, RM_R, NO, BYTE_M | L),
	[0xc1] = E(XADD, RM_R, NO, M | L),
	[0xc3] = E(MOVNTI, RM_R, NO, M | ONLY_MEM | NO_PREFIX | SPECIAL),
	[0xc7] = G(0FC7, RM, NO, 0),
	EIGHT(0xc8, E(BSWAP, O, NO, 0)),
	[0xe7] = VEC(RM_R) | ONLY_MEM,
	[0xff] = E(UD, R_RM, NO, M),
};

#define UNDEF E(UNDEFINED, NONE, NO, SPECIAL)

/* Joined to the entry of the opcode; the form and immediate of one of them are zero. */
static const u32 groups[][8] = {
	[GROUP_ARITH] = { INSN_ADD | L, INSN_OR | L, INSN_ADC | L, INSN_SBB | L, INSN_AND | L,
			  INSN_SUB | L, INSN_XOR | L, INSN_CMP },
	/* /1 to /7: XOP, not claimed */
	[GROUP_POP] = { INSN_POP },
	[GROUP_SHIFT] = { INSN_ROL, INSN_ROR, INSN_RCL, INSN_RCR, INSN_SHL, INSN_SHR, INSN_SAL,
			  INSN_SAR },
	[GROUP_UNARY] = { E(TEST, RM_I, Z, 0), E(TEST, RM_I, Z, 0), E(NOT, RM, NO, L),
			  E(NEG, RM, NO, L), E(MUL, RM, NO, 0), E(IMUL, RM, NO, 0),
			  E(DIV, RM, NO, 0), E(IDIV, RM, NO, 0) },
	[GROUP_INCDEC] = { INSN_INC | L, INSN_DEC | L, UNDEF, UNDEF, UNDEF, UNDEF, UNDEF, UNDEF },
	[GROUP_FF] = { INSN_INC | L, INSN_DEC | L, INSN_CALL | STACK64, INSN_CALL_FAR | ONLY_MEM,
		       INSN_JMP | STACK64, INSN_JMP_FAR | ONLY_MEM, INSN_PUSH | STACK64, UNDEF },
	/* /7 with a register is TSX's: not claimed */
	[GROUP_MOV] = { INSN_MOV, UNDEF, UNDEF, UNDEF, UNDEF, UNDEF, UNDEF, INSN_NONE },
	[GROUP_0F00] = { INSN_SLDT | MEM_WORD, INSN_STR | MEM_WORD, INSN_LLDT | RM_WORD,
			 INSN_LTR | RM_WORD, INSN_VERR | RM_WORD, INSN_VERW | RM_WORD, INSN_NONE,
			 UNDEF },
	[GROUP_0F01] = { INSN_SGDT | NATIVE, INSN_SIDT | NATIVE, INSN_LGDT | NATIVE,
			 INSN_LIDT | NATIVE, INSN_SMSW | MEM_WORD, INSN_NONE, INSN_LMSW | RM_WORD,
			 INSN_INVLPG | NATIVE },
	[GROUP_BIT] = { UNDEF, UNDEF, UNDEF, UNDEF, INSN_BT, INSN_BTS | L, INSN_BTR | L,
			INSN_BTC | L },
	[GROUP_0FC7] = { UNDEF, INSN_CMPXCHG8B | L | ONLY_MEM | SPECIAL, INSN_NONE, INSN_NONE,
			 INSN_NONE, INSN_NONE, INSN_RDRAND | SPECIAL, INSN_RDSEED | SPECIAL },
};

/* 0F 01 with a register, by the low six bits of ModRM; /4 and /6 have their operations above. */
static const u8 map_0f01[64] = {
	[0x01] = INSN_VMCALL,  [0x02] = INSN_VMLAUNCH, [0x03] = INSN_VMRESUME,
	[0x04] = INSN_VMXOFF,  [0x08] = INSN_MONITOR,  [0x09] = INSN_MWAIT,
	[0x0a] = INSN_CLAC,    [0x0b] = INSN_STAC,     [0x10] = INSN_XGETBV,
	[0x11] = INSN_XSETBV,  [0x18] = INSN_VMRUN,    [0x19] = INSN_VMMCALL,
	[0x1a] = INSN_VMLOAD,  [0x1b] = INSN_VMSAVE,   [0x1c] = INSN_STGI,
	[0x1d] = INSN_CLGI,    [0x1e] = INSN_SKINIT,   [0x1f] = INSN_INVLPGA,
	[0x38] = INSN_SWAPGS,  [0x39] = INSN_RDTSCP,   [0x3a] = INSN_MONITORX,
	[0x3b] = INSN_MWAITX,  [0x3d] = INSN_RDPRU,    [0x3e] = INSN_INVLPGB,
	[0x3f] = INSN_TLBSYNC,
};

#define hot  static inline __attribute__((always_inline))
#define cold static __attribute__((noinline))

/*
 * Bytes still to be read, and what the prefixes said: copies of insn->flags and rex. No pointer to
 * it leaves the inline functions, so that the compiler keeps it in registers: an exit waits for
 * this.
 */
struct cursor {
	const u8 *p;
	const u8 *end;
	unsigned int flags;
	unsigned int rex;
};

hot unsigned int left(const struct cursor *c)
{
	return (unsigned int)(c->end - c->p);
}

/* The next size (1, 2, 4, 8) bytes as a number; false if they are not all there. */
hot bool take(struct cursor *c, unsigned int size, u64 *value)
{
	u16 v16;
	u32 v32;

	if (unlikely(left(c) < size))
		return false;
	switch (size) {
	case 1:
		*value = *c->p;
		break;
	case 2:
		__builtin_memcpy(&v16, c->p, 2);
		*value = v16;
		break;
	case 4:
		__builtin_memcpy(&v32, c->p, 4);
		*value = v32;
		break;
	default:
		__builtin_memcpy(value, c->p, 8);
	}
	c->p += size;
	return true;
}

hot u64 sign_extend(u64 value, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (u64)((s64)(value << shift) >> shift);
}

static bool take_signed(struct cursor *c, unsigned int size, u64 *value)
{
	if (!take(c, size, value))
		return false;
	*value = sign_extend(*value, size);
	return true;
}

/* 16-bit addressing has eight pairs instead of a SIB (APM volume 3, chapter 1). */
static int address16(struct insn *insn)
{
	static const u8 bases[8] = { INSN_RBX, INSN_RBX, INSN_RBP, INSN_RBP,
				     INSN_RSI, INSN_RDI, INSN_RBP, INSN_RBX };
	unsigned int mod = insn->modrm >> 6;
	unsigned int rm = insn->modrm & 7;

	if (mod == 0 && rm == 6)
		return 2;
	insn->base = bases[rm];
	if (rm < 4)
		insn->index = rm & 1 ? INSN_RDI : INSN_RSI;
	if (insn->base == INSN_RBP && !(insn->flags & INSN_SEG))
		insn->seg = INSN_SS;
	return mod;
}

/* Sets base, index and scale; returns the size of the displacement, or -1 if the SIB is missing. */
hot int address32(struct insn *insn, struct cursor *c, unsigned int modrm)
{
	unsigned int mod = modrm >> 6;
	unsigned int base = modrm & 7;
	unsigned int sib, index;

	if (base == 4) {
		if (unlikely(!left(c)))
			return -1;
		sib = *c->p++;
		base = sib & 7;
		index = (sib >> 3 & 7) | (c->rex << 2 & 8);
		if (index != INSN_RSP) {
			insn->index = index;
			insn->scale = sib >> 6;
		}
		if (mod == 0 && base == 5)
			return 4;
	} else if (mod == 0 && base == 5) {
		if (insn->mode == INSN_MODE_64)
			insn->base = INSN_RIP;
		return 4;
	}
	base |= c->rex << 3 & 8;
	insn->base = base;
	if ((base == INSN_RSP || base == INSN_RBP) && !(c->flags & INSN_SEG))
		insn->seg = INSN_SS;
	return mod == 2 ? 4 : mod;
}

/* The bytes after ModRM that make the address of a memory operand. */
hot bool take_address(struct insn *insn, struct cursor *c, unsigned int modrm, bool is16)
{
	int size = is16 ? address16(insn) : address32(insn, c, modrm);
	s32 disp;

	insn->flags = c->flags | INSN_MODRM | INSN_MEM;
	if (size == 0)
		return true;
	if (size == 1 && left(c)) {
		insn->disp = (u64)(s8)*c->p++;
		return true;
	}
	if (size == 4 && left(c) >= 4) {
		__builtin_memcpy(&disp, c->p, 4);
		c->p += 4;
		insn->disp = (u64)disp;
		return true;
	}
	return size == 2 && take_signed(c, 2, &insn->disp);
}

/* Reads the immediate at p; returns the byte after it, or NULL if it is not all there. */
cold const u8 *take_imm(struct insn *insn, const u8 *p, const u8 *end, enum imm kind)
{
	struct cursor c = { p, end, 0, 0 };
	unsigned int size = insn->opsize;
	u64 word = 0;
	bool ok;

	if (kind == IMM_S8)
		ok = take_signed(&c, 1, &insn->imm);
	else if (kind == IMM_Z)
		ok = take_signed(&c, MIN(size, 4u), &insn->imm);
	else if (kind == IMM_V)
		ok = take_signed(&c, size, &insn->imm);
	else if (kind == IMM_U8)
		ok = take(&c, 1, &insn->imm);
	else if (kind == IMM_16)
		ok = take(&c, 2, &insn->imm);
	else if (kind == IMM_MOFFS)
		ok = take(&c, insn->addrsize, &insn->disp);
	else
		ok = take(&c, insn->opcode == 0xc8 ? 2 : size, &insn->imm) &&
		     take(&c, insn->opcode == 0xc8 ? 1 : 2, &word);
	insn->imm2 = word;
	return ok ? c.p : NULL;
}

/*
 * Reads prefixes and the first byte of the opcode, and returns its entry. In 64-bit code a REX
 * counts only right before the opcode, and of the segment prefixes only FS and GS have an effect.
 */
hot bool take_prefixes(struct insn *insn, struct cursor *c, u32 *entry)
{
	bool is64 = insn->mode == INSN_MODE_64;
	unsigned int flags = 0;
	unsigned int rex = 0;
	unsigned int byte;
	u32 e;

	for (;;) {
		if (unlikely(!left(c)))
			return false;
		byte = *c->p++;
		e = map_one[byte];
		if (likely(!(e & (PREFIX | IS_REX))))
			break;
		if (e & IS_REX) {
			if (!is64)
				break;
			rex = byte & 0xf;
			flags |= INSN_REX;
			continue;
		}
		rex = 0;
		flags &= ~INSN_REX;
		if (ENTRY_OP(e) < PREFIX_OPSIZE) {
			if (is64 && ENTRY_OP(e) < INSN_FS)
				continue;
			insn->seg = ENTRY_OP(e);
			flags |= INSN_SEG;
		} else if (ENTRY_OP(e) == PREFIX_REP) {
			flags = (flags & ~INSN_REPNE) | INSN_REP;
		} else if (ENTRY_OP(e) == PREFIX_REPNE) {
			flags = (flags & ~INSN_REP) | INSN_REPNE;
		} else if (ENTRY_OP(e) == PREFIX_OPSIZE) {
			flags |= INSN_OPSIZE;
		} else if (ENTRY_OP(e) == PREFIX_ADDRSIZE) {
			flags |= INSN_ADDRSIZE;
		} else {
			flags |= INSN_LOCK;
		}
	}
	c->flags = flags;
	c->rex = rex;
	insn->flags = flags;
	insn->rex = rex;
	insn->opcode = byte;
	*entry = e;
	return true;
}

/* 0F 38: of the three-byte maps, the little that is claimed. */
static u32 map_0f38(const struct insn *insn)
{
	unsigned int prefix = insn->flags & (INSN_OPSIZE | INSN_REP | INSN_REPNE);

	switch (insn->opcode) {
	case 0x80:
		return prefix == INSN_OPSIZE ? E(INVEPT, R_RM, NO, M | ONLY_MEM | SPECIAL) : 0;
	case 0x81:
		return prefix == INSN_OPSIZE ? E(INVVPID, R_RM, NO, M | ONLY_MEM | SPECIAL) : 0;
	case 0x82:
		return prefix == INSN_OPSIZE ? E(INVPCID, R_RM, NO, M | ONLY_MEM | SPECIAL) : 0;
	case 0xf0:
		return prefix & ~INSN_OPSIZE ? 0 : E(MOVBE, R_RM, NO, M | ONLY_MEM);
	case 0xf1:
		return prefix & ~INSN_OPSIZE ? 0 : E(MOVBE, RM_R, NO, M | ONLY_MEM);
	case 0xf9:
		return prefix ? 0 : E(MOVNTI, RM_R, NO, M | ONLY_MEM | SPECIAL);
	}
	return 0;
}

/*
 * What the prefixes make of a move between XMM register and memory; pp: 0 none, 1 66, 2 F3, 3 F2.
 */
static u32 vec_move(u8 opcode, unsigned int pp, u32 e)
{
	u32 aligned = (e & ~0xffu) | INSN_MOV_VEC_ALIGNED;

	switch (opcode) {
	case 0x10:
	case 0x11:
		return pp < 2 ? e : 0;
	case 0x28:
	case 0x29:
		return pp < 2 ? aligned : 0;
	case 0x2b:
		return pp < 2 ? aligned : 0;
	case 0xe7:
		return pp == 1 ? aligned : 0;
	case 0x6f:
	case 0x7f:
		return pp == 1 ? aligned : pp == 2 ? e : 0;
	}
	return 0;
}

static unsigned int mandatory_prefix(const struct insn *insn)
{
	if (insn->flags & INSN_REPNE)
		return 3;
	if (insn->flags & INSN_REP)
		return 2;
	return insn->flags & INSN_OPSIZE ? 1 : 0;
}

/*
 * C4 and C5 are VEX in 64-bit code, and elsewhere where LDS and LES would have a register operand.
 * Claimed are the moves of whole registers. Returns how many bytes
 * it has read, up to the opcode; -ENOSYS, -EINVAL, or -EAGAIN if bytes are missing.
 */
cold int take_vex(struct insn *insn, const u8 *p, const u8 *end, u32 *entry)
{
	bool is64 = insn->mode == INSN_MODE_64;
	bool three = insn->opcode == 0xc4;
	unsigned int b1, b2;

	if (end - p < 2 + three)
		return -EAGAIN;
	if (insn->flags & (INSN_LOCK | INSN_REP | INSN_REPNE | INSN_OPSIZE | INSN_REX))
		return -EINVAL;
	b1 = *p++;
	b2 = three ? *p++ : b1;
	insn->opcode = *p;
	insn->map = INSN_MAP_VEX;
	if (three && (b1 & 0x1f) != 1)
		return -ENOSYS;
	if (is64)
		insn->rex = three ? (~b1 >> 5 & 7) | (b2 >> 4 & 8) : ~b1 >> 5 & 4;
	*entry = 0;
	if (ENTRY_OP(map_0f[insn->opcode]) == INSN_MOV_VEC)
		*entry = vec_move(insn->opcode, b2 & 3, map_0f[insn->opcode]);
	if (!*entry)
		return -ENOSYS;
	if (b2 & 4)
		*entry |= VEX256;
	/* VEX.vvvv names no register. */
	if ((b2 & 0x78) != 0x78)
		return -EINVAL;
	return 2 + three;
}

static u32 entry_0f01(const struct insn *insn, u32 e)
{
	/* SVM's D8-DF, SWAPGS, RDTSCP, RDPRU: 66, F2 and F3 make no difference. */
	const u64 any_prefix = 0xffull << 0x18 | BIT(0x38) | BIT(0x39) | BIT(0x3d);
	unsigned int low = insn->modrm & 0x3f;

	if (ENTRY_OP(e) == INSN_SMSW || ENTRY_OP(e) == INSN_LMSW)
		return e;
	if (insn->flags & (INSN_OPSIZE | INSN_REP | INSN_REPNE) && !(any_prefix >> low & 1))
		return 0;
	return HAS_MODRM | SPECIAL | map_0f01[low];
}

/* 0F C7: /1 CMPXCHG8B or 16B; the rest has one operation for memory and others for registers. */
static u32 entry_0fc7(const struct insn *insn, u32 e)
{
	static const u8 vmx[4] = { INSN_VMPTRLD, INSN_VMCLEAR, INSN_VMXON, INSN_NONE };
	unsigned int pp = mandatory_prefix(insn);
	bool is_mem = insn->modrm < 0xc0;
	u8 op = ENTRY_OP(e);

	if (op == INSN_CMPXCHG8B)
		return insn->rex & 8 ? (e & ~0xffu) | INSN_CMPXCHG16B : e;
	if (!is_mem)
		return pp < 2 ? e : 0;
	if (op == INSN_RDRAND)
		return vmx[pp] ? vmx[pp] | INSN_FORM_RM << 8 | M | SPECIAL : 0;
	return pp ? 0 : E(VMPTRST, RM, NO, M | SPECIAL);
}

static u32 entry_of_group(const struct insn *insn, u32 e)
{
	unsigned int group = ENTRY_OP(e);

	e = (e & ~(0xffu | GROUP)) | groups[group][insn->modrm >> 3 & 7];
	if (group == GROUP_0F01 && insn->modrm >= 0xc0)
		return entry_0f01(insn, e);
	if (group == GROUP_0FC7 && ENTRY_OP(e) && ENTRY_OP(e) != INSN_UNDEFINED)
		return entry_0fc7(insn, e);
	return e;
}

/*
 * The irregular ones. Called after ModRM, before the operand sizes are used for the immediate;
 * returns the entry that then holds.
 */
static u32 adjust(struct insn *insn, u32 e)
{
	bool is64 = insn->mode == INSN_MODE_64;
	bool is_reg = insn->modrm >= 0xc0;

	switch (ENTRY_OP(e)) {
	case INSN_NOP:
		if (insn->flags & INSN_REP)
			return E(PAUSE, NONE, NO, 0);
		if (insn->rex & 1)
			return E(XCHG, O_A, NO, 0);
		break;
	case INSN_MOV: /* A0-A3 */
		insn->flags |= INSN_MEM;
		break;
	case INSN_PUSH_SEG:
	case INSN_POP_SEG:
		insn->reg = insn->opcode >> 3 & 7;
		break;
	case INSN_BOUND: /* EVEX in 64-bit code, and with a register elsewhere */
		return is64 || is_reg ? 0 : e;
	case INSN_ARPL:
		if (!is64) {
			insn->opsize = insn->rmsize = 2;
			break;
		}
		e = E(MOVSX, R_RM, NO, M);
		insn->rmsize = MIN(insn->opsize, (u8)4);
		break;
	case INSN_MOV_FROM_SEG:
	case INSN_MOV_TO_SEG:
		insn->reg &= 7;
		if (insn->reg > INSN_GS || (insn->reg == INSN_CS && ENTRY_OP(e) == INSN_MOV_TO_SEG))
			return UNDEF;
		break;
	case INSN_IN:
	case INSN_OUT:
	case INSN_INS:
	case INSN_OUTS:
		insn->opsize = insn->rmsize = MIN(insn->opsize, (u8)4);
		break;
	case INSN_MOV_FROM_CR:
	case INSN_MOV_TO_CR: /* with LOCK, CR0 is CR8: APM volume 3, MOV CRn */
		if ((insn->flags & INSN_LOCK) && insn->reg == 0)
			insn->reg = 8;
		else if (insn->flags & INSN_LOCK)
			return UNDEF;
		insn->flags &= ~INSN_LOCK;
		insn->opsize = insn->rmsize = is64 ? 8 : 4;
		return BIT(insn->reg) & 0x11d ? e : UNDEF;
	case INSN_MOV_FROM_DR:
	case INSN_MOV_TO_DR:
		insn->opsize = insn->rmsize = is64 ? 8 : 4;
		return insn->reg < 8 ? e : UNDEF;
	case INSN_VMREAD:
	case INSN_VMWRITE:
	case INSN_INVEPT:
	case INSN_INVVPID:
	case INSN_INVPCID:
		insn->opsize = insn->rmsize = is64 ? 8 : 4;
		break;
	case INSN_VMXON: /* a pointer */
	case INSN_VMCLEAR:
	case INSN_VMPTRLD:
	case INSN_VMPTRST:
		insn->opsize = insn->rmsize = 8;
		break;
	case INSN_SWAPGS:
		return is64 ? e : UNDEF;
	case INSN_BSF:
	case INSN_BSR: /* TZCNT and LZCNT, where the part has them */
		return insn->flags & INSN_REP ? 0 : e;
	case INSN_MOVNTI:
		if (insn->opsize == 2)
			insn->opsize = insn->rmsize = 4;
		break;
	case INSN_CMPXCHG8B:
	case INSN_CMPXCHG16B:
		insn->opsize = insn->rex & 8 ? 8 : 4;
		insn->rmsize = 2 * insn->opsize;
		break;
	case INSN_MOV_VEC:
		if (insn->map == INSN_MAP_0F)
			e = vec_move(insn->opcode, mandatory_prefix(insn), e);
		insn->opsize = insn->rmsize = e & VEX256 ? 32 : 16;
		break;
	case INSN_MOV_VEC_ALIGNED:
		insn->opsize = insn->rmsize = e & VEX256 ? 32 : 16;
		break;
	}
	return e;
}

/* Size of the operand, from mode, prefixes and entry. */
hot unsigned int operand_size(const struct cursor *c, enum insn_mode mode, u32 e)
{
	bool opsize = c->flags & INSN_OPSIZE;

	if (e & BYTE_OP)
		return 1;
	if (mode == INSN_MODE_64) {
		if (c->rex & 8 || e & NATIVE)
			return 8;
		if (opsize)
			return 2;
		return e & STACK64 ? 8 : 4;
	}
	return (mode == INSN_MODE_32) == opsize ? 2 : 4;
}

/* Entries with one of these, or with an operation that is none, take the long way. */
#define RARE (NOT64 | ONLY_MEM | NO_PREFIX | RM_BYTE | RM_WORD | MEM_WORD | SPECIAL | IGNORE_MOD)

/* The long way: what does not fit the tables. Returns the entry that holds. */
cold u32 take_rare(struct insn *insn, u32 e)
{
	if (e & NOT64 && insn->mode == INSN_MODE_64)
		return UNDEF;
	if (e & NO_PREFIX && insn->flags & (INSN_OPSIZE | INSN_REP | INSN_REPNE))
		return 0;
	if (e & ONLY_MEM && !(insn->flags & INSN_MEM))
		return UNDEF;
	if (e & RM_BYTE)
		insn->rmsize = 1;
	if (e & RM_WORD || (e & MEM_WORD && insn->flags & INSN_MEM))
		insn->rmsize = 2;
	if (e & SPECIAL)
		e = adjust(insn, e);
	return e;
}

/*
 * The opcode beyond its first byte. Returns 0 and the entry, or a negative errno as insn_decode().
 */
hot int take_opcode(struct insn *insn, struct cursor *c, u32 *entry)
{
	int ret;

	if (insn->opcode == 0x0f) {
		if (unlikely(!left(c)))
			return -EAGAIN;
		insn->map = INSN_MAP_0F;
		insn->opcode = *c->p++;
		*entry = map_0f[insn->opcode];
		if (unlikely(insn->opcode == 0x38)) {
			if (!left(c))
				return -EAGAIN;
			insn->map = INSN_MAP_0F38;
			insn->opcode = *c->p++;
			*entry = map_0f38(insn);
		}
	} else if (unlikely((insn->opcode & 0xfe) == 0xc4)) {
		if (!left(c))
			return -EAGAIN;
		if (insn->mode != INSN_MODE_64 && *c->p < 0xc0)
			return 0;
		ret = take_vex(insn, c->p, c->end, entry);
		if (ret < 0)
			return ret;
		c->p += ret;
		c->rex = insn->rex;
	}
	return 0;
}

/* ModRM and what it brings: a group's entry, registers, the address of a memory operand. */
hot int take_modrm(struct insn *insn, struct cursor *c, u32 *entry)
{
	unsigned int modrm;

	if (unlikely(!left(c)))
		return -EAGAIN;
	modrm = *c->p++;
	insn->flags = c->flags | INSN_MODRM;
	insn->modrm = modrm;
	insn->reg = (modrm >> 3 & 7) | (c->rex << 1 & 8);
	insn->rm = (modrm & 7) | (c->rex << 3 & 8);
	if (*entry & GROUP)
		*entry = entry_of_group(insn, *entry);
	if (modrm < 0xc0 && likely(!(*entry & IGNORE_MOD)) &&
	    !take_address(insn, c, modrm, insn->addrsize == 2))
		return ENTRY_OP(*entry) ? -EAGAIN : -ENOSYS;
	return 0;
}

hot int decode(struct insn *insn, struct cursor *c, enum insn_mode mode)
{
	unsigned int size;
	u32 e;
	int ret;

	if (!take_prefixes(insn, c, &e))
		return -EAGAIN;
	ret = take_opcode(insn, c, &e);
	if (unlikely(ret))
		return ret;
	insn->addrsize = mode;
	if (unlikely(c->flags & INSN_ADDRSIZE))
		insn->addrsize = mode == INSN_MODE_32 ? 2 : 4;
	if (e & HAS_MODRM) {
		ret = take_modrm(insn, c, &e);
		if (unlikely(ret))
			return ret;
	} else {
		insn->rm = (insn->opcode & 7) | (c->rex << 3 & 8);
	}
	size = operand_size(c, mode, e);
	insn->opsize = size;
	insn->rmsize = size;
	if (e & RARE || unlikely(ENTRY_OP(e) == INSN_NONE)) {
		e = take_rare(insn, e);
		if (ENTRY_OP(e) == INSN_NONE)
			return -ENOSYS;
		if (ENTRY_OP(e) == INSN_UNDEFINED)
			return -EINVAL;
	}
	if (ENTRY_IMM(e)) {
		c->p = take_imm(insn, c->p, c->end, ENTRY_IMM(e));
		if (!c->p)
			return -EAGAIN;
	}
	if (unlikely(insn->flags & INSN_LOCK) && !(e & LOCKABLE && insn->flags & INSN_MEM))
		return -EINVAL;
	insn->op = ENTRY_OP(e);
	insn->form = ENTRY_FORM(e);
	return 0;
}

hot void init(struct insn *insn, enum insn_mode mode)
{
	insn->imm = 0;
	insn->disp = 0;
	insn->flags = 0;
	insn->imm2 = 0;
	insn->map = INSN_MAP_ONE;
	insn->seg = INSN_DS;
	insn->rex = 0;
	insn->modrm = 0;
	insn->reg = 0;
	insn->rm = 0;
	insn->base = INSN_NO_REG;
	insn->index = INSN_NO_REG;
	insn->scale = 0;
	insn->len = 0;
	insn->op = INSN_NONE;
	insn->form = INSN_FORM_NONE;
	insn->mode = mode;
}

cold int decode_any(struct insn *insn, const u8 *bytes, unsigned int n, enum insn_mode mode)
{
	struct cursor c = { bytes, bytes + MIN(n, INSN_MAX_LEN), 0, 0 };
	int ret;

	init(insn, mode);
	ret = decode(insn, &c, mode);
	if (unlikely(ret))
		return ret == -EAGAIN && n >= INSN_MAX_LEN ? -E2BIG : ret;
	insn->len = c.p - bytes;
	return insn->len;
}

/*
 * The short way of insn_decode(), second half: what follows the opcode that ends at p. rex: the
 * byte, or 0. REX, opcode, ModRM, SIB, displacement and immediate are 13 bytes at most: they are
 * all there.
 */
cold int decode_operands(struct insn *insn, const u8 *bytes, const u8 *p, u32 e, unsigned int rex)
{
	struct cursor c = { p, p + 10, rex >> 1 & INSN_REX, rex };
	unsigned int modrm;
	s32 imm;

	if (e & HAS_MODRM) {
		modrm = *c.p++;
		if (e & GROUP)
			e = (e & ~0xffu) | groups[GROUP_MOV][modrm >> 3 & 7];
		if (ENTRY_OP(e) == INSN_NONE || ENTRY_OP(e) == INSN_UNDEFINED)
			return decode_any(insn, bytes, INSN_MAX_LEN, insn->mode);
		insn->modrm = modrm;
		insn->reg = (modrm >> 3 & 7) | (c.rex << 1 & 8);
		insn->rm = (modrm & 7) | (c.rex << 3 & 8);
		insn->flags = c.flags | INSN_MODRM;
		if (modrm < 0xc0)
			take_address(insn, &c, modrm, false);
	} else {
		insn->rm = (insn->opcode & 7) | (c.rex << 3 & 8);
	}
	if (ENTRY_IMM(e) == IMM_Z && insn->opsize != 1) {
		__builtin_memcpy(&imm, c.p, 4);
		insn->imm = (u64)imm;
		c.p += 4;
	} else if (ENTRY_IMM(e)) {
		c.p = take_imm(insn, c.p, c.end, ENTRY_IMM(e));
	}
	insn->op = ENTRY_OP(e);
	insn->form = ENTRY_FORM(e);
	insn->len = c.p - bytes;
	return insn->len;
}

/*
 * What the short way leaves to decode_any(): a prefix, a group but that of MOV, an odd
 * instruction.
 */
static inline bool is_common(u32 e)
{
	if (e & (RARE | PREFIX | IS_REX | STACK64) || ENTRY_OP(e) == INSN_NONE)
		return false;
	return !(e & GROUP) || ENTRY_OP(e) == GROUP_MOV;
}

/*
 * The short way is for what most exits are: no prefix but REX, addresses of 32 or 64 bits, nothing
 * odd, all 15 bytes at hand. It finds nothing that decode_any() would not find as well.
 */
int insn_decode(struct insn *insn, const u8 *bytes, unsigned int n, enum insn_mode mode)
{
	unsigned int byte, rex = 0;
	unsigned int size = 4;
	const u8 *p = bytes;
	u32 e;

	if (unlikely(n < INSN_MAX_LEN || mode == INSN_MODE_16))
		return decode_any(insn, bytes, n, mode);
	init(insn, mode);
	byte = *p++;
	if ((byte & 0xf0) == 0x40 && mode == INSN_MODE_64) {
		rex = byte;
		insn->rex = rex & 0xf;
		insn->flags = INSN_REX;
		size = rex & 8 ? 8 : 4;
		byte = *p++;
	}
	e = map_one[byte];
	if (byte == 0x0f) {
		byte = *p++;
		e = map_0f[byte];
		insn->map = INSN_MAP_0F;
	}
	if (!is_common(e))
		return decode_any(insn, bytes, n, mode);
	if (e & BYTE_OP)
		size = 1;
	insn->opcode = byte;
	insn->addrsize = mode;
	insn->opsize = size;
	insn->rmsize = size;
	if (e & ~0xffu)
		return decode_operands(insn, bytes, p, e, rex);
	insn->rm = (byte & 7) | (rex << 3 & 8);
	insn->op = ENTRY_OP(e);
	insn->len = p - bytes;
	return insn->len;
}
