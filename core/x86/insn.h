/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Decoder of x86 instructions: what the core must know of the instruction that made a guest exit,
 * on parts that report neither the next RIP nor the bytes (no NRIPS, no decode assists).
 *
 * Pure: no state, no allocation; any byte string gives an answer. Claimed are the instructions that
 * can exit under SVM or VMX, and those that reach memory through the general registers; see
 * enum insn_op. x87, MMX, most of SSE, AVX (but its plain moves), EVEX, XOP and 3DNow! are not.
 *
 * References: APM volume 3, chapter 1 (encoding) and appendix A (opcode maps). Where AMD and Intel
 * differ, the decoder follows AMD: near branches in 64-bit code take the 66 prefix at its word.
 */
#ifndef CORE_X86_INSN_H
#define CORE_X86_INSN_H

#include "core/types.h"

/* An instruction is never longer; a longer one raises #GP (APM volume 3, chapter 1). */
#define INSN_MAX_LEN 15

/* Kind of code, from EFER.LMA, CS.L and CS.D; the value is the default address size in bytes. */
enum insn_mode {
	INSN_MODE_16 = 2,
	INSN_MODE_32 = 4,
	INSN_MODE_64 = 8,
};

/* Opcode maps. INSN_MAP_VEX marks a VEX-encoded instruction of the 0F map. */
enum insn_map {
	INSN_MAP_ONE,
	INSN_MAP_0F,
	INSN_MAP_0F38,
	INSN_MAP_0F3A,
	INSN_MAP_VEX,
};

/*
 * Operations. The order inside the groups that are marked "by number" is the hardware's, so that
 * the first name plus a field of the opcode or of ModRM names the rest.
 */
enum insn_op {
	INSN_NONE, /* not claimed; never seen after a successful decode */
	/* Arithmetic, by number (opcode bits 5:3, or ModRM.reg of 80-83) */
	INSN_ADD,
	INSN_OR,
	INSN_ADC,
	INSN_SBB,
	INSN_AND,
	INSN_SUB,
	INSN_XOR,
	INSN_CMP,
	/* Shifts and rotates, by number (ModRM.reg of C0, C1, D0-D3) */
	INSN_ROL,
	INSN_ROR,
	INSN_RCL,
	INSN_RCR,
	INSN_SHL,
	INSN_SHR,
	INSN_SAL, /* /6: does what SHL does */
	INSN_SAR,
	/* Bit tests, by number (opcode bits 4:3, or ModRM.reg of 0F BA minus 4) */
	INSN_BT,
	INSN_BTS,
	INSN_BTR,
	INSN_BTC,
	/* The rest of what emul_run() executes */
	INSN_TEST,
	INSN_NOT,
	INSN_NEG,
	INSN_MUL,
	INSN_IMUL, /* one-operand form (F6, F7), two operands (0F AF), three (69, 6B) */
	INSN_DIV,
	INSN_IDIV,
	INSN_INC,
	INSN_DEC,
	INSN_MOV,
	INSN_MOVZX,
	INSN_MOVSX, /* also MOVSXD */
	INSN_MOVBE,
	INSN_MOVNTI, /* also MOVDIRI: a plain store here */
	INSN_MOV_FROM_SEG,
	INSN_XCHG,
	INSN_XADD,
	INSN_CMPXCHG,
	INSN_CMPXCHG8B,	 /* opsize 4 */
	INSN_CMPXCHG16B, /* opsize 8 */
	INSN_SHLD,
	INSN_SHRD,
	INSN_BSF,
	INSN_BSR,
	INSN_SETCC,  /* condition: opcode bits 3:0 */
	INSN_CMOVCC, /* condition: opcode bits 3:0 */
	INSN_LEA,
	INSN_NOP,
	INSN_PUSH,
	INSN_POP,
	INSN_CALL, /* near */
	INSN_JMP,  /* near */
	INSN_RET,  /* near */
	INSN_STOS,
	INSN_LODS,
	INSN_MOVS,
	INSN_SCAS,
	INSN_CMPS,
	INSN_IN,
	INSN_OUT,
	INSN_INS,
	INSN_OUTS,
	INSN_MOV_VEC,	      /* 16 (VEX.L: 32) bytes, any alignment */
	INSN_MOV_VEC_ALIGNED, /* the same; a misaligned operand raises #GP */
	/* Decoded only: length and operands, for exits that the core handles itself */
	INSN_MOV_TO_SEG,
	INSN_JCC,  /* condition: opcode bits 3:0 */
	INSN_LOOP, /* LOOPNE, LOOPE, LOOP, JCXZ */
	INSN_CALL_FAR,
	INSN_JMP_FAR,
	INSN_RET_FAR,
	INSN_INT,
	INSN_INT1,
	INSN_INT3,
	INSN_INTO,
	INSN_IRET,
	INSN_PUSHF,
	INSN_POPF,
	INSN_PUSHA,
	INSN_POPA,
	INSN_PUSH_SEG,
	INSN_POP_SEG,
	INSN_LOAD_FAR, /* LDS, LES, LSS, LFS, LGS */
	INSN_ENTER,
	INSN_LEAVE,
	INSN_BOUND,
	INSN_ARPL,
	INSN_XLAT,
	INSN_CONVERT, /* CBW, CWDE, CDQE, CWD, CDQ, CQO */
	INSN_BCD,     /* DAA, DAS, AAA, AAS, AAM, AAD */
	INSN_BSWAP,
	INSN_FLAG, /* CMC, CLC, STC, CLD, STD, LAHF, SAHF, SALC */
	INSN_CLI,
	INSN_STI,
	INSN_FWAIT,
	INSN_HLT,
	INSN_PAUSE,
	INSN_CPUID,
	INSN_RDMSR,
	INSN_WRMSR,
	INSN_RDTSC,
	INSN_RDTSCP,
	INSN_RDPMC,
	INSN_RDPRU,
	INSN_RDRAND,
	INSN_RDSEED,
	INSN_INVD,
	INSN_WBINVD, /* also WBNOINVD */
	INSN_INVLPG,
	INSN_INVLPGA,
	INSN_INVLPGB,
	INSN_TLBSYNC,
	INSN_INVPCID,
	INSN_MOV_FROM_CR, /* reg: control register, rm: general register */
	INSN_MOV_TO_CR,
	INSN_MOV_FROM_DR, /* reg: debug register, rm: general register */
	INSN_MOV_TO_DR,
	INSN_CLTS,
	INSN_LMSW,
	INSN_SMSW,
	INSN_XSETBV,
	INSN_XGETBV,
	INSN_MONITOR,
	INSN_MWAIT,
	INSN_MONITORX,
	INSN_MWAITX,
	INSN_LGDT,
	INSN_SGDT,
	INSN_LIDT,
	INSN_SIDT,
	INSN_LLDT,
	INSN_SLDT,
	INSN_LTR,
	INSN_STR,
	INSN_VERR,
	INSN_VERW,
	INSN_LAR,
	INSN_LSL,
	INSN_RSM,
	INSN_SYSCALL,
	INSN_SYSRET,
	INSN_SYSENTER,
	INSN_SYSEXIT,
	INSN_SWAPGS,
	INSN_CLAC,
	INSN_STAC,
	INSN_UD, /* UD0, UD1, UD2: decoded, and raise #UD */
	/* SVM */
	INSN_VMRUN,
	INSN_VMMCALL,
	INSN_VMLOAD,
	INSN_VMSAVE,
	INSN_STGI,
	INSN_CLGI,
	INSN_SKINIT,
	/* VMX */
	INSN_VMCALL,
	INSN_VMLAUNCH,
	INSN_VMRESUME,
	INSN_VMXOFF,
	INSN_VMXON,
	INSN_VMCLEAR,
	INSN_VMPTRLD,
	INSN_VMPTRST,
	INSN_VMREAD,
	INSN_VMWRITE,
	INSN_INVEPT,
	INSN_INVVPID,
};

/*
 * Operands, destination first. RM: general register or memory of ModRM; R: general register of
 * ModRM.reg; A: accumulator; O: register in the opcode (field rm); I: immediate.
 */
enum insn_form {
	INSN_FORM_NONE, /* none, or implied by the operation */
	INSN_FORM_RM,
	INSN_FORM_RM_R,
	INSN_FORM_R_RM,
	INSN_FORM_RM_I,
	INSN_FORM_R_RM_I,
	INSN_FORM_RM_R_I,
	INSN_FORM_RM_CL,
	INSN_FORM_RM_1,
	INSN_FORM_RM_R_CL,
	INSN_FORM_O,
	INSN_FORM_O_I,
	INSN_FORM_O_A,
	INSN_FORM_A_I,
	INSN_FORM_I_A,
	INSN_FORM_I,	   /* immediate, or distance of a near branch (sign-extended) */
	INSN_FORM_A_MOFFS, /* memory at the address in disp */
	INSN_FORM_MOFFS_A,
	INSN_FORM_FAR,	/* selector in imm2, offset in imm */
	INSN_FORM_SREG, /* segment register in reg (PUSH, POP) */
	INSN_FORM_A_DX, /* IN, OUT by DX; INS, OUTS */
};

/* Bits of insn.flags: prefixes as they were given, and the kind of the ModRM operand. */
#define INSN_LOCK     0x0001 /* F0; set only where the instruction may take it */
#define INSN_REP      0x0002 /* F3 was the last of F2 and F3 */
#define INSN_REPNE    0x0004 /* F2 was the last of F2 and F3 */
#define INSN_OPSIZE   0x0008 /* 66 */
#define INSN_ADDRSIZE 0x0010 /* 67 */
#define INSN_REX      0x0020 /* any REX: byte registers 4 to 7 are SPL, BPL, SIL, DIL */
#define INSN_SEG      0x0040 /* a segment prefix with effect */
#define INSN_MODRM    0x0080 /* ModRM present */
#define INSN_MEM      0x0100 /* one explicit operand is in memory (by ModRM or moffs) */

/* Registers, in hardware order. */
#define INSN_RAX    0
#define INSN_RCX    1
#define INSN_RDX    2
#define INSN_RBX    3
#define INSN_RSP    4
#define INSN_RBP    5
#define INSN_RSI    6
#define INSN_RDI    7
#define INSN_RIP    16	 /* only as a base: relative to the next instruction */
#define INSN_NO_REG 0xff /* no base, no index */

/* Segment registers, in hardware order, which is also that of the VMCB. */
#define INSN_ES 0
#define INSN_CS 1
#define INSN_SS 2
#define INSN_DS 3
#define INSN_FS 4
#define INSN_GS 5

/* One decoded instruction. Every field is set by insn_decode() when it succeeds. */
struct insn {
	u64 imm;   /* immediate, extended to 64 bits the way the instruction does */
	u64 disp;  /* displacement, sign-extended; or the moffs address, zero-extended */
	u16 flags; /* INSN_LOCK ... INSN_MEM */
	u16 imm2;  /* selector of a far pointer; nesting level of ENTER */
	u8 map;	   /* enum insn_map */
	u8 seg;	   /* segment of the memory operand, or of the source of a string (INSN_ES..) */
	u8 rex;	   /* WRXB; 0 if none */
	u8 modrm;  /* the byte; 0 if none */
	u8 reg;	   /* ModRM.reg with REX.R */
	u8 rm;	   /* ModRM.rm or opcode bits 2:0, with REX.B: a register if !INSN_MEM */
	u8 base;   /* 0..15, INSN_RIP or INSN_NO_REG; so too index (never INSN_RIP) */
	u8 index;
	u8 scale;    /* shift of the index: 0..3 */
	u8 len;	     /* 1..15 */
	u8 op;	     /* enum insn_op */
	u8 form;     /* enum insn_form */
	u8 opcode;   /* byte in its map */
	u8 mode;     /* enum insn_mode */
	u8 addrsize; /* 2, 4, 8 */
	u8 opsize;   /* operand in bytes: 1, 2, 4, 8, vectors 16 or 32 */
	u8 rmsize;   /* operand RM in bytes: opsize, but for MOVZX, MOVSX, CMPXCHG8B, segments */
};

/*
 * Decodes the instruction at bytes, of which n may be read (more than 15 are never looked at).
 *
 * Returns its length, 1..15;
 * -EAGAIN: the n bytes, fewer than 15, are a beginning; call again with more;
 * -EINVAL: undefined: executing it raises #UD;
 * -E2BIG: longer than 15 bytes: executing it raises #GP;
 * -ENOSYS: not claimed: this decoder knows no more about it.
 */
int insn_decode(struct insn *insn, const u8 *bytes, unsigned int n, enum insn_mode mode);

/* Is code 64, 32 or 16 bits? attrib: of CS, as in the VMCB (bit 9: L, bit 10: D). */
static inline enum insn_mode insn_mode_of(u64 efer, u16 attrib)
{
	if ((efer & 0x400) && (attrib & 0x200))
		return INSN_MODE_64;
	return attrib & 0x400 ? INSN_MODE_32 : INSN_MODE_16;
}

/* RIP after the instruction. Outside 64-bit code EIP wraps at 4 GiB. */
static inline u64 insn_next_rip(const struct insn *insn, u64 rip)
{
	u64 next = rip + insn->len;

	return insn->mode == INSN_MODE_64 ? next : (u32)next;
}

#endif
