// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulator of single instructions. Every handler has the same shape: find the operands, read,
 * compute, write, and only then change registers, flags and RIP. Handlers return enum emul_result,
 * where EMUL_DONE is zero: "if (ret) return ret" leaves with nothing changed.
 */
#include "core/x86/emul.h"

#define RFLAGS_CF BIT(0)
#define RFLAGS_PF BIT(2)
#define RFLAGS_AF BIT(4)
#define RFLAGS_ZF BIT(6)
#define RFLAGS_SF BIT(7)
#define RFLAGS_DF BIT(10)
#define RFLAGS_OF BIT(11)
#define RFLAGS_VM BIT(17)
#define RFLAGS_AC BIT(18)
#define STATUS	  (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

#define CR0_PE	   BIT(0)
#define CR0_EM	   BIT(2)
#define CR0_TS	   BIT(3)
#define CR0_AM	   BIT(18)
#define CR4_OSFXSR BIT(9)
#define CR4_LA57   BIT(12)

#define VECTOR_DE 0
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_AC 17

/* Segment attributes as in the VMCB: type 3:0, P 7, D/B 10. */
#define SEG_ACCESSED_RW BIT(1) /* writable data, readable code */
#define SEG_DOWN	BIT(2) /* data: expands down */
#define SEG_CODE	BIT(3)
#define SEG_P		BIT(7)
#define SEG_DB		BIT(10)

#define FXSAVE_XMM 160 /* offset of XMM0: APM volume 2, chapter 11 */

/* An operand that has been found: a register, or memory that has passed the segment checks. */
struct place {
	u64 linear;
	u8 reg;
	u8 size;
	bool is_mem;
};

static int fault(struct emul *e, u8 vector, bool has_error)
{
	e->fault.vector = vector;
	e->fault.has_error = has_error && (e->cr0 & CR0_PE);
	e->fault.error = 0;
	e->fault.cr2 = 0;
	return EMUL_FAULT;
}

static u64 mask_of(unsigned int size)
{
	return size >= 8 ? ~0ull : BIT(8 * size) - 1;
}

static u64 sign_of(unsigned int size)
{
	return BIT(8 * size - 1);
}

static u64 sign_extend(u64 value, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (u64)((s64)(value << shift) >> shift);
}

/* --- Registers --- */

/* AH, CH, DH, BH: byte registers 4 to 7 without REX. */
static bool is_high_byte(const struct insn *insn, unsigned int reg, unsigned int size)
{
	return size == 1 && (reg & ~3u) == 4 && !(insn->flags & INSN_REX);
}

static u64 get_reg(const struct emul *e, const struct insn *insn, unsigned int reg,
		   unsigned int size)
{
	if (is_high_byte(insn, reg, size))
		return e->gpr[reg & 3] >> 8 & 0xff;
	return e->gpr[reg & 15] & mask_of(size);
}

/* 32-bit results clear the upper half; smaller ones leave the rest (APM volume 1, chapter 3). */
static void merge(u64 *reg, unsigned int size, u64 value)
{
	if (size == 4)
		*reg = (u32)value;
	else
		*reg = (*reg & ~mask_of(size)) | (value & mask_of(size));
}

static void set_reg(struct emul *e, const struct insn *insn, unsigned int reg, unsigned int size,
		    u64 value)
{
	if (is_high_byte(insn, reg, size))
		e->gpr[reg & 3] = (e->gpr[reg & 3] & ~0xff00ull) | (value & 0xff) << 8;
	else
		merge(&e->gpr[reg & 15], size, value);
}

static int finish(struct emul *e, const struct insn *insn)
{
	e->rip = insn_next_rip(insn, e->rip);
	return EMUL_DONE;
}

/* --- Memory --- */

static int result_of(int ret)
{
	switch (ret) {
	case 0:
		return EMUL_DONE;
	case -EAGAIN:
		return EMUL_MMIO;
	case -EFAULT:
		return EMUL_FAULT;
	}
	return EMUL_UNHANDLED;
}

static bool is_canonical(const struct emul *e, u64 linear)
{
	unsigned int shift = e->cr4 & CR4_LA57 ? 7 : 16;

	return (u64)((s64)(linear << shift) >> shift) == linear;
}

/* May segment s be read or written? Real and virtual-8086 mode do not ask. */
static bool type_allows(const struct emul_seg *s, unsigned int flags)
{
	if (!(s->attrib & SEG_P))
		return false;
	if (flags & EMUL_WRITE)
		return !(s->attrib & SEG_CODE) && s->attrib & SEG_ACCESSED_RW;
	return !(s->attrib & SEG_CODE) || s->attrib & SEG_ACCESSED_RW;
}

static bool limit_allows(const struct emul_seg *s, u64 first, u64 last, bool protected)
{
	bool down = (s->attrib & (SEG_CODE | SEG_DOWN)) == SEG_DOWN;

	if (protected && down)
		return first > s->limit && last <= (s->attrib & SEG_DB ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

static int check_linear(struct emul *e, unsigned int seg, u64 offset, unsigned int len,
			unsigned int align, unsigned int flags, u64 *linear)
{
	const struct emul_seg *s = &e->seg[seg];
	bool protected = e->cr0 & CR0_PE && !(e->rflags & RFLAGS_VM);
	bool ok;

	if (insn_mode_of(e->efer, e->seg[INSN_CS].attrib) == INSN_MODE_64) {
		*linear = offset + (seg >= INSN_FS ? s->base : 0);
		ok = is_canonical(e, *linear) && is_canonical(e, *linear + len - 1);
	} else {
		*linear = (u32)(s->base + offset);
		ok = (!protected || type_allows(s, flags)) &&
		     limit_allows(s, offset, offset + len - 1, protected);
	}
	if (!ok)
		return fault(e, seg == INSN_SS ? VECTOR_SS : VECTOR_GP, true);
	if (unlikely(*linear & (align - 1)) && e->cpl == 3 && e->cr0 & CR0_AM &&
	    e->rflags & RFLAGS_AC)
		return fault(e, VECTOR_AC, true);
	return EMUL_DONE;
}

int emul_linear(struct emul *e, unsigned int seg, u64 offset, unsigned int len, unsigned int flags,
		u64 *linear)
{
	/* Only the natural sizes are checked for alignment: APM volume 2, chapter 8, #AC. */
	unsigned int align = len == 2 || len == 4 || len == 8 ? len : 1;

	return check_linear(e, seg, offset, len, align, flags, linear);
}

u64 emul_offset(const struct emul *e, const struct insn *insn)
{
	u64 offset = insn->disp;

	if (insn->base == INSN_RIP)
		offset += e->rip + insn->len;
	else if (insn->base != INSN_NO_REG)
		offset += e->gpr[insn->base & 15];
	if (insn->index != INSN_NO_REG)
		offset += e->gpr[insn->index & 15] << insn->scale;
	return offset & mask_of(insn->addrsize);
}

static int mem_read(struct emul *e, u64 linear, u64 *value, unsigned int size, unsigned int flags)
{
	*value = 0;
	return result_of(e->read(e, linear, value, size, flags));
}

static int mem_write(struct emul *e, u64 linear, const void *value, unsigned int size)
{
	return result_of(e->write(e, linear, value, size, EMUL_WRITE));
}

/* XCHG with memory locks without being told. */
static bool is_locked(const struct insn *insn)
{
	return insn->flags & INSN_LOCK || (insn->op == INSN_XCHG && insn->flags & INSN_MEM);
}

/* The write half of a read-modify-write; old is what the read half got. */
static int mem_update(struct emul *e, const struct insn *insn, u64 linear, const void *old,
		      const void *new, unsigned int size)
{
	int ret;

	if (!is_locked(insn))
		return mem_write(e, linear, new, size);
	if (!e->cmpxchg)
		return result_of(e->write(e, linear, new, size, EMUL_WRITE | EMUL_LOCKED));
	ret = e->cmpxchg(e, linear, old, new, size);
	return ret == -EBUSY ? EMUL_AGAIN : result_of(ret);
}

/* --- Operands --- */

static struct place place_of_reg(unsigned int reg, unsigned int size)
{
	return (struct place){ .reg = reg, .size = size };
}

static int place_of_rm(struct emul *e, const struct insn *insn, unsigned int size,
		       unsigned int flags, struct place *place)
{
	*place = place_of_reg(insn->rm, size);
	if (!(insn->flags & INSN_MEM))
		return EMUL_DONE;
	place->is_mem = true;
	return insn_linear(e, insn, size, flags, &place->linear);
}

static int load(struct emul *e, const struct insn *insn, const struct place *place,
		unsigned int flags, u64 *value)
{
	if (place->is_mem)
		return mem_read(e, place->linear, value, place->size, flags);
	*value = get_reg(e, insn, place->reg, place->size);
	return EMUL_DONE;
}

/* --- Arithmetic: values are cut to size; flags go in and out as RFLAGS --- */

static u64 result_flags(u64 result, unsigned int size)
{
	u64 flags = 0;

	if (!__builtin_parity(result & 0xff))
		flags |= RFLAGS_PF;
	if (!(result & mask_of(size)))
		flags |= RFLAGS_ZF;
	if (result & sign_of(size))
		flags |= RFLAGS_SF;
	return flags;
}

static void set_flags(u64 *flags, u64 which, u64 value)
{
	*flags = (*flags & ~which) | (value & which);
}

static u64 add(u64 a, u64 b, u64 carry, unsigned int size, u64 *flags)
{
	u64 r = (a + b + carry) & mask_of(size);
	u64 carries = (a & b) | ((a | b) & ~r);
	u64 f = result_flags(r, size) | ((a ^ b ^ r) & RFLAGS_AF);

	if (carries & sign_of(size))
		f |= RFLAGS_CF;
	if ((a ^ r) & (b ^ r) & sign_of(size))
		f |= RFLAGS_OF;
	set_flags(flags, STATUS, f);
	return r;
}

static u64 sub(u64 a, u64 b, u64 borrow, unsigned int size, u64 *flags)
{
	u64 r = (a - b - borrow) & mask_of(size);
	u64 borrows = (~a & b) | ((~a | b) & r);
	u64 f = result_flags(r, size) | ((a ^ b ^ r) & RFLAGS_AF);

	if (borrows & sign_of(size))
		f |= RFLAGS_CF;
	if ((a ^ b) & (a ^ r) & sign_of(size))
		f |= RFLAGS_OF;
	set_flags(flags, STATUS, f);
	return r;
}

static u64 logic(u64 r, unsigned int size, u64 *flags)
{
	set_flags(flags, STATUS, result_flags(r, size));
	return r;
}

static u64 arith(unsigned int op, u64 a, u64 b, unsigned int size, u64 *flags)
{
	switch (op) {
	case INSN_ADD:
		return add(a, b, 0, size, flags);
	case INSN_ADC:
		return add(a, b, *flags & RFLAGS_CF, size, flags);
	case INSN_SUB:
	case INSN_CMP:
		return sub(a, b, 0, size, flags);
	case INSN_SBB:
		return sub(a, b, *flags & RFLAGS_CF, size, flags);
	case INSN_OR:
		return logic(a | b, size, flags);
	case INSN_XOR:
		return logic(a ^ b, size, flags);
	}
	return logic(a & b, size, flags); /* AND, TEST */
}

/* Rotates by 1 to 63, through the carry or not: only CF and OF change. */
static u64 rotate(unsigned int op, u64 a, unsigned int count, unsigned int size, u64 *flags)
{
	bool left = op == INSN_ROL || op == INSN_RCL;
	bool through = op == INSN_RCL || op == INSN_RCR;
	u64 top = sign_of(size);
	u64 carry = *flags & RFLAGS_CF;
	u64 out, f;

	count %= 8 * size + through;
	while (count--) {
		out = left ? !!(a & top) : a & 1;
		a = left ? a << 1 : a >> 1;
		if (!through)
			carry = out;
		if (left)
			a |= carry;
		else if (carry)
			a |= top;
		a &= mask_of(size);
		carry = out;
	}
	if (!through)
		carry = left ? a & 1 : !!(a & top);
	f = carry;
	if (!!(a & top) != (left ? carry : !!(a & top >> 1)))
		f |= RFLAGS_OF;
	set_flags(flags, RFLAGS_CF | RFLAGS_OF, f);
	return a;
}

static u64 shift(unsigned int op, u64 a, unsigned int count, unsigned int size, u64 *flags)
{
	u64 top = sign_of(size);
	u64 r = a, last, f = 0;

	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;
	if (op <= INSN_RCR)
		return rotate(op, a, count, size, flags);
	/*
	 * All but the last step, then that one: its lost bit is CF. Counts may exceed the operand.
	 */
	if (op == INSN_SAR) {
		last = (u64)((s64)sign_extend(a, size) >> (count - 1));
		r = (u64)((s64)last >> 1) & mask_of(size);
		f = last & RFLAGS_CF;
	} else if (op == INSN_SHR) {
		last = a >> (count - 1);
		r = last >> 1;
		f = (last & RFLAGS_CF) | (a & top ? RFLAGS_OF : 0);
	} else {
		last = a << (count - 1);
		r = last << 1 & mask_of(size);
		f = last & top ? RFLAGS_CF : 0;
		if (!(r & top) != !f)
			f |= RFLAGS_OF;
	}
	set_flags(flags, STATUS & ~RFLAGS_AF, f | result_flags(r, size));
	return r;
}

/* SHLD and SHRD: a moves, b fills. */
static u64 shift_double(unsigned int op, u64 a, u64 b, unsigned int count, unsigned int size,
			u64 *flags)
{
	unsigned int bits = 8 * size;
	u64 r, f;

	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;
	if (count > bits) { /* 16 bits by 17 to 31: the result is undefined; go on with b, then a */
		count -= bits;
		r = a;
		a = b;
		b = r;
	}
	if (op == INSN_SHLD) {
		r = (count == 64 ? 0 : a << count) | b >> (bits - count);
		f = a >> (bits - count) & RFLAGS_CF;
	} else {
		r = a >> (count - 1) >> 1 | b << (bits - count);
		f = a >> (count - 1) & RFLAGS_CF;
	}
	r &= mask_of(size);
	if ((a ^ r) & sign_of(size))
		f |= RFLAGS_OF;
	set_flags(flags, STATUS & ~RFLAGS_AF, f | result_flags(r, size));
	return r;
}

static bool condition(unsigned int cc, u64 flags)
{
	bool less = !(flags & RFLAGS_SF) != !(flags & RFLAGS_OF);
	bool holds;

	switch (cc >> 1 & 7) {
	case 0:
		holds = flags & RFLAGS_OF;
		break;
	case 1:
		holds = flags & RFLAGS_CF;
		break;
	case 2:
		holds = flags & RFLAGS_ZF;
		break;
	case 3:
		holds = flags & (RFLAGS_CF | RFLAGS_ZF);
		break;
	case 4:
		holds = flags & RFLAGS_SF;
		break;
	case 5:
		holds = flags & RFLAGS_PF;
		break;
	case 6:
		holds = less;
		break;
	default:
		holds = less || flags & RFLAGS_ZF;
	}
	return holds != (cc & 1);
}

/*
 * IMUL with two or three operands: the product is cut; CF and OF tell whether that lost something.
 */
static u64 multiply_cut(u64 a, u64 b, unsigned int size, u64 *flags)
{
	__int128 product = (__int128)(s64)sign_extend(a, size) * (s64)sign_extend(b, size);
	u64 r = (u64)product & mask_of(size);
	bool lost = (__int128)(s64)sign_extend(r, size) != product;

	set_flags(flags, RFLAGS_CF | RFLAGS_OF, lost ? ~0ull : 0);
	return r;
}

static u64 swap_bytes(u64 value, unsigned int size)
{
	return __builtin_bswap64(value) >> (64 - 8 * size);
}

/* --- Instructions with a destination and at most one source --- */

#define NO_WRITE (BIT(INSN_CMP) | BIT(INSN_TEST) | BIT(INSN_BT))
#define NO_READ                                                                                    \
	(BIT(INSN_MOV) | BIT(INSN_MOVZX) | BIT(INSN_MOVSX) | BIT(INSN_MOVBE) | BIT(INSN_MOVNTI) |  \
	 BIT(INSN_MOV_FROM_SEG) | BIT(INSN_SETCC))

/* What compute() works on. */
struct calc {
	u64 dst; /* in: destination, if it is read; out: result */
	u64 src; /* in: source; out: what goes to the source register of XCHG and XADD */
	u64 acc; /* CMPXCHG: in and out */
	u64 flags;
	bool keep; /* out: a destination in a register stays as it is */
};

static void compute_cmpxchg(struct calc *c, unsigned int size)
{
	u64 old = c->dst;

	sub(c->acc, old, 0, size, &c->flags);
	if (c->flags & RFLAGS_ZF) {
		c->dst = c->src;
	} else {
		c->acc = old; /* and memory gets its old value back */
		c->keep = true;
	}
}

static void compute_bit(const struct insn *insn, struct calc *c, unsigned int size)
{
	u64 bit = BIT(c->src & (8 * size - 1));

	set_flags(&c->flags, RFLAGS_CF, c->dst & bit ? RFLAGS_CF : 0);
	if (insn->op == INSN_BTS)
		c->dst |= bit;
	else if (insn->op == INSN_BTR)
		c->dst &= ~bit;
	else if (insn->op == INSN_BTC)
		c->dst ^= bit;
}

static void compute_scan(const struct insn *insn, struct calc *c)
{
	c->keep = !c->src;
	set_flags(&c->flags, RFLAGS_ZF, c->src ? 0 : RFLAGS_ZF);
	if (c->src)
		c->dst = insn->op == INSN_BSF ? __builtin_ctzll(c->src)
					      : 63 - __builtin_clzll(c->src);
}

/* Returns false for an operation that is not of this kind. */
static bool compute(const struct emul *e, const struct insn *insn, struct calc *c)
{
	unsigned int size = insn->opsize;
	unsigned int op = insn->op;
	u64 carry = c->flags & RFLAGS_CF;
	u64 old = c->dst;

	if (op <= INSN_CMP || op == INSN_TEST) {
		c->dst = arith(op, c->dst, c->src, size, &c->flags);
		return true;
	}
	if (op <= INSN_SAR) {
		c->dst = shift(op, c->dst, c->src, size, &c->flags);
		return true;
	}
	if (op <= INSN_BTC) {
		compute_bit(insn, c, size);
		return true;
	}
	switch (op) {
	case INSN_MOV:
	case INSN_MOVZX:
	case INSN_MOVNTI:
		c->dst = c->src;
		break;
	case INSN_MOVSX:
		c->dst = sign_extend(c->src, insn->rmsize);
		break;
	case INSN_MOVBE:
		c->dst = swap_bytes(c->src, size);
		break;
	case INSN_MOV_FROM_SEG:
		c->dst = e->seg[insn->reg].selector;
		break;
	case INSN_XCHG:
		c->dst = c->src;
		c->src = old;
		break;
	case INSN_XADD:
		c->dst = add(old, c->src, 0, size, &c->flags);
		c->src = old;
		break;
	case INSN_CMPXCHG:
		compute_cmpxchg(c, size);
		break;
	case INSN_NOT:
		c->dst = ~old;
		break;
	case INSN_NEG:
		c->dst = sub(0, old, 0, size, &c->flags);
		break;
	case INSN_INC: /* and DEC: CF stays */
		c->dst = add(old, 1, 0, size, &c->flags);
		set_flags(&c->flags, RFLAGS_CF, carry);
		break;
	case INSN_DEC:
		c->dst = sub(old, 1, 0, size, &c->flags);
		set_flags(&c->flags, RFLAGS_CF, carry);
		break;
	case INSN_SETCC:
		c->dst = condition(insn->opcode, c->flags);
		break;
	case INSN_CMOVCC:
		if (condition(insn->opcode, c->flags))
			c->dst = c->src;
		break;
	case INSN_BSF:
	case INSN_BSR:
		compute_scan(insn, c);
		break;
	case INSN_IMUL:
		c->dst = multiply_cut(insn->form == INSN_FORM_R_RM_I ? insn->imm : c->dst, c->src,
				      size, &c->flags);
		break;
	case INSN_SHLD:
	case INSN_SHRD:
		c->dst = shift_double(op, c->dst, c->src,
				      insn->form == INSN_FORM_RM_R_I ? insn->imm : e->gpr[INSN_RCX],
				      size, &c->flags);
		break;
	default:
		return false;
	}
	return true;
}

/* BT and its kin with a register as bit number address a bit string around the operand. */
static int place_of_bit(struct emul *e, const struct insn *insn, unsigned int flags,
			struct place *place)
{
	unsigned int size = insn->opsize;
	s64 bit = (s64)sign_extend(get_reg(e, insn, insn->reg, size), size);
	u64 offset = emul_offset(e, insn) + (u64)((bit >> 3) & -(s64)size);

	*place = place_of_reg(insn->rm, size);
	if (!(insn->flags & INSN_MEM))
		return EMUL_DONE;
	place->is_mem = true;
	return emul_linear(e, insn->seg, offset & mask_of(insn->addrsize), size, flags,
			   &place->linear);
}

/* Finds the destination and gets the source. */
static int get_operands(struct emul *e, const struct insn *insn, unsigned int dst_flags,
			struct place *dst, u64 *src)
{
	unsigned int size = insn->opsize;
	struct place from;
	int ret;

	*src = insn->imm & mask_of(size);
	switch (insn->form) {
	case INSN_FORM_RM_R:
	case INSN_FORM_RM_R_I:
	case INSN_FORM_RM_R_CL:
		*src = get_reg(e, insn, insn->reg, size);
		if (insn->op >= INSN_BT && insn->op <= INSN_BTC)
			return place_of_bit(e, insn, dst_flags, dst);
		break;
	case INSN_FORM_RM_CL:
		*src = e->gpr[INSN_RCX] & 0xff;
		break;
	case INSN_FORM_RM_1:
		*src = 1;
		break;
	case INSN_FORM_RM:
	case INSN_FORM_RM_I:
		break;
	case INSN_FORM_MOFFS_A:
		*src = get_reg(e, insn, INSN_RAX, size);
		break;
	case INSN_FORM_A_I:
		*dst = place_of_reg(INSN_RAX, size);
		return EMUL_DONE;
	case INSN_FORM_O:
	case INSN_FORM_O_I:
		*dst = place_of_reg(insn->rm, size);
		return EMUL_DONE;
	case INSN_FORM_O_A:
		*src = get_reg(e, insn, INSN_RAX, size);
		*dst = place_of_reg(insn->rm, size);
		return EMUL_DONE;
	case INSN_FORM_R_RM:
	case INSN_FORM_R_RM_I:
	case INSN_FORM_A_MOFFS:
		*dst = place_of_reg(insn->form == INSN_FORM_A_MOFFS ? INSN_RAX : insn->reg, size);
		ret = place_of_rm(e, insn, insn->rmsize, 0, &from);
		return ret ? ret : load(e, insn, &from, 0, src);
	default:
		return EMUL_UNHANDLED;
	}
	/* MOV from a segment register writes a word to memory, whatever the operand size. */
	return place_of_rm(e, insn, insn->rmsize, dst_flags, dst);
}

static int run_compute(struct emul *e, const struct insn *insn)
{
	bool writes = !(NO_WRITE & BIT(insn->op));
	unsigned int flags = (writes ? EMUL_WRITE : 0) | (is_locked(insn) ? EMUL_LOCKED : 0);
	unsigned int size = insn->opsize;
	struct calc c = { .flags = e->rflags, .acc = get_reg(e, insn, INSN_RAX, size) };
	struct place dst;
	u64 old = 0;
	int ret;

	ret = get_operands(e, insn, flags, &dst, &c.src);
	if (ret)
		return ret;
	if (!(NO_READ & BIT(insn->op))) {
		ret = load(e, insn, &dst, flags, &old);
		if (ret)
			return ret;
	}
	c.dst = old;
	if (!compute(e, insn, &c))
		return EMUL_UNHANDLED;
	if (writes && dst.is_mem) {
		ret = mem_update(e, insn, dst.linear, &old, &c.dst, dst.size);
		if (ret)
			return ret;
	}

	/* Nothing can fail from here on. */
	if (insn->op == INSN_XCHG || insn->op == INSN_XADD)
		set_reg(e, insn, insn->form == INSN_FORM_O_A ? INSN_RAX : insn->reg, size, c.src);
	if (insn->op == INSN_CMPXCHG && !(c.flags & RFLAGS_ZF))
		set_reg(e, insn, INSN_RAX, size, c.acc);
	if (writes && !dst.is_mem && !c.keep)
		set_reg(e, insn, dst.reg, dst.size, c.dst);
	set_flags(&e->rflags, STATUS, c.flags);
	return finish(e, insn);
}

/* --- MUL, IMUL, DIV, IDIV with the accumulator --- */

static int run_multiply(struct emul *e, const struct insn *insn, u64 src)
{
	unsigned int size = insn->opsize;
	unsigned int bits = 8 * size;
	u64 acc = get_reg(e, insn, INSN_RAX, size);
	unsigned __int128 product;
	u64 low, high;
	bool lost;

	if (insn->op == INSN_MUL)
		product = (unsigned __int128)acc * src;
	else
		product = (unsigned __int128)((__int128)(s64)sign_extend(acc, size) *
					      (s64)sign_extend(src, size));
	low = (u64)product & mask_of(size);
	high = (u64)(product >> bits) & mask_of(size);
	if (insn->op == INSN_MUL)
		lost = high;
	else
		lost = high != (low & sign_of(size) ? mask_of(size) : 0);
	if (size == 1) {
		merge(&e->gpr[INSN_RAX], 2, product);
	} else {
		merge(&e->gpr[INSN_RAX], size, low);
		merge(&e->gpr[INSN_RDX], size, high);
	}
	set_flags(&e->rflags, RFLAGS_CF | RFLAGS_OF, lost ? ~0ull : 0);
	return finish(e, insn);
}

/* high:low / by, where high < by, so that the quotient fits; the compiler would call libgcc. */
static u64 divide(u64 high, u64 low, u64 by, u64 *rest)
{
	u64 quotient;

	__asm__("divq %4" : "=a"(quotient), "=d"(*rest) : "a"(low), "d"(high), "r"(by) : "cc");
	return quotient;
}

static int run_divide(struct emul *e, const struct insn *insn, u64 src)
{
	unsigned int size = insn->opsize;
	bool is_signed = insn->op == INSN_IDIV;
	u64 by = is_signed ? sign_extend(src, size) : src;
	u64 low, high, quotient, rest, limit;
	unsigned __int128 dividend;
	bool negative, negative_by;

	if (size == 1) {
		low = e->gpr[INSN_RAX] & 0xffff;
		high = 0;
	} else {
		low = get_reg(e, insn, INSN_RAX, size);
		high = get_reg(e, insn, INSN_RDX, size);
	}
	dividend = (unsigned __int128)high << 8 * size | low;
	if (is_signed && size < 8)
		dividend = (unsigned __int128)(__int128)(s64)sign_extend((u64)dividend, 2 * size);

	/* Divide magnitudes; the quotient rounds to zero and the rest has the dividend's sign. */
	negative = is_signed && dividend >> 127;
	negative_by = is_signed && by >> 63;
	if (negative)
		dividend = -dividend;
	if (negative_by)
		by = -by;
	if ((u64)(dividend >> 64) >= by)
		return fault(e, VECTOR_DE, false);
	quotient = divide((u64)(dividend >> 64), (u64)dividend, by, &rest);
	limit = mask_of(size);
	if (is_signed)
		limit = sign_of(size) - (negative == negative_by);
	if (quotient > limit)
		return fault(e, VECTOR_DE, false);
	if (negative != negative_by)
		quotient = -quotient;
	if (negative)
		rest = -rest;

	if (size == 1) {
		merge(&e->gpr[INSN_RAX], 2, (quotient & 0xff) | (rest & 0xff) << 8);
	} else {
		merge(&e->gpr[INSN_RAX], size, quotient);
		merge(&e->gpr[INSN_RDX], size, rest);
	}
	return finish(e, insn);
}

static int run_accumulator(struct emul *e, const struct insn *insn)
{
	struct place place;
	u64 src;
	int ret;

	ret = place_of_rm(e, insn, insn->opsize, 0, &place);
	if (!ret)
		ret = load(e, insn, &place, 0, &src);
	if (ret)
		return ret;
	if (insn->op == INSN_MUL || insn->op == INSN_IMUL)
		return run_multiply(e, insn, src);
	return run_divide(e, insn, src);
}

/* --- CMPXCHG8B, CMPXCHG16B --- */

static int run_cmpxchg_pair(struct emul *e, const struct insn *insn)
{
	unsigned int size = insn->opsize;
	unsigned int flags = EMUL_WRITE | (is_locked(insn) ? EMUL_LOCKED : 0);
	u8 old[16] = { 0 }, new[16];
	u64 low = 0, high = 0;
	u64 linear;
	bool equal;
	int ret;

	/*
	 * Alignment checking of an 8-byte operand is that of its size; of a 16-byte one always on.
	 */
	ret = insn_linear(e, insn, 2 * size, flags, &linear);
	if (ret)
		return ret;
	if (size == 8 && linear & 15)
		return fault(e, VECTOR_GP, true);
	ret = result_of(e->read(e, linear, old, 2 * size, flags));
	if (ret)
		return ret;
	__builtin_memcpy(&low, old, size == 8 ? 8 : 4);
	__builtin_memcpy(&high, old + size, size == 8 ? 8 : 4);
	equal = low == get_reg(e, insn, INSN_RAX, size) && high == get_reg(e, insn, INSN_RDX, size);
	__builtin_memcpy(new, old, 16);
	if (equal) {
		__builtin_memcpy(new + size, &e->gpr[INSN_RCX], size == 8 ? 8 : 4);
		__builtin_memcpy(new, &e->gpr[INSN_RBX], size == 8 ? 8 : 4);
	}
	ret = mem_update(e, insn, linear, old, new, 2 * size);
	if (ret)
		return ret;
	if (!equal) {
		merge(&e->gpr[INSN_RAX], size, low);
		merge(&e->gpr[INSN_RDX], size, high);
	}
	set_flags(&e->rflags, RFLAGS_ZF, equal ? RFLAGS_ZF : 0);
	return finish(e, insn);
}

/* --- Stack and near branches --- */

static unsigned int stack_size(const struct emul *e, const struct insn *insn)
{
	if (insn->mode == INSN_MODE_64)
		return 8;
	return e->seg[INSN_SS].attrib & SEG_DB ? 4 : 2;
}

/* RSP moved by delta, as wide as the stack is. */
static u64 stack_moved(const struct emul *e, const struct insn *insn, u64 delta)
{
	u64 rsp = e->gpr[INSN_RSP];
	u64 mask = mask_of(stack_size(e, insn));

	return (rsp & ~mask) | ((rsp + delta) & mask);
}

static int push(struct emul *e, const struct insn *insn, u64 value)
{
	unsigned int size = insn->opsize;
	u64 rsp = stack_moved(e, insn, -(u64)size);
	u64 linear;
	int ret;

	ret = emul_linear(e, INSN_SS, rsp & mask_of(stack_size(e, insn)), size, EMUL_WRITE,
			  &linear);
	if (!ret)
		ret = mem_write(e, linear, &value, size);
	if (!ret)
		e->gpr[INSN_RSP] = rsp;
	return ret;
}

/* Reads the top of the stack; RSP is the caller's to move. */
static int peek(struct emul *e, const struct insn *insn, u64 *value)
{
	u64 linear;
	int ret;

	ret = emul_linear(e, INSN_SS, e->gpr[INSN_RSP] & mask_of(stack_size(e, insn)), insn->opsize,
			  0, &linear);
	return ret ? ret : mem_read(e, linear, value, insn->opsize, 0);
}

/* RM, opcode register or immediate. */
static int get_source(struct emul *e, const struct insn *insn, u64 *value)
{
	struct place place = place_of_reg(insn->rm, insn->opsize);
	int ret = EMUL_DONE;

	if (insn->form == INSN_FORM_I) {
		*value = insn->imm;
		return EMUL_DONE;
	}
	if (insn->form == INSN_FORM_RM)
		ret = place_of_rm(e, insn, insn->opsize, 0, &place);
	return ret ? ret : load(e, insn, &place, 0, value);
}

static int run_push(struct emul *e, const struct insn *insn)
{
	u64 value;
	int ret;

	ret = get_source(e, insn, &value);
	if (!ret)
		ret = push(e, insn, value);
	return ret ? ret : finish(e, insn);
}

static int run_pop(struct emul *e, const struct insn *insn)
{
	struct place place = place_of_reg(insn->rm, insn->opsize);
	u64 old_rsp = e->gpr[INSN_RSP];
	u64 new_rsp = stack_moved(e, insn, insn->opsize);
	u64 value;
	int ret;

	ret = peek(e, insn, &value);
	if (ret)
		return ret;
	if (insn->form == INSN_FORM_RM) {
		/* An address by RSP is by the RSP after the instruction (APM volume 3, POP). */
		e->gpr[INSN_RSP] = new_rsp;
		ret = place_of_rm(e, insn, insn->opsize, EMUL_WRITE, &place);
		e->gpr[INSN_RSP] = old_rsp;
		if (!ret && place.is_mem)
			ret = mem_write(e, place.linear, &value, place.size);
		if (ret)
			return ret;
	}
	e->gpr[INSN_RSP] = new_rsp;
	if (!place.is_mem)
		set_reg(e, insn, place.reg, place.size, value);
	return finish(e, insn);
}

/* Where a near branch may go: canonical, or inside the code segment. */
static int check_target(struct emul *e, const struct insn *insn, u64 target)
{
	bool ok;

	if (insn->mode == INSN_MODE_64)
		ok = is_canonical(e, target);
	else
		ok = target <= e->seg[INSN_CS].limit;
	return ok ? EMUL_DONE : fault(e, VECTOR_GP, true);
}

/* JMP, CALL and RET: the target first, then the stack, then RIP. */
static int run_branch(struct emul *e, const struct insn *insn)
{
	u64 next = insn_next_rip(insn, e->rip);
	u64 target;
	int ret;

	ret = insn->op == INSN_RET ? peek(e, insn, &target) : get_source(e, insn, &target);
	if (ret)
		return ret;
	if (insn->op != INSN_RET && insn->form == INSN_FORM_I)
		target += next;
	target &= mask_of(insn->opsize);
	ret = check_target(e, insn, target);
	if (!ret && insn->op == INSN_CALL)
		ret = push(e, insn, next);
	if (ret)
		return ret;
	if (insn->op == INSN_RET)
		e->gpr[INSN_RSP] = stack_moved(e, insn, insn->opsize + insn->imm);
	e->rip = target;
	return EMUL_DONE;
}

/* --- Vectors --- */

static int run_vector(struct emul *e, const struct insn *insn)
{
	bool to_mem = insn->form == INSN_FORM_RM_R;
	u64 linear;
	u8 *xmm;
	int ret;

	/* A VEX load would also clear the upper half, which the FXSAVE image does not hold. */
	if (!e->fxsave || insn->opsize != 16 || !(insn->flags & INSN_MEM) ||
	    (insn->map == INSN_MAP_VEX && !to_mem))
		return EMUL_UNHANDLED;
	if (e->cr0 & CR0_EM || !(e->cr4 & CR4_OSFXSR))
		return fault(e, VECTOR_UD, false);
	if (e->cr0 & CR0_TS)
		return fault(e, VECTOR_NM, false);
	ret = insn_linear(e, insn, 16, to_mem ? EMUL_WRITE : 0, &linear);
	if (ret)
		return ret;
	if (insn->op == INSN_MOV_VEC_ALIGNED && linear & 15)
		return fault(e, VECTOR_GP, true);
	xmm = e->fxsave + FXSAVE_XMM + 16 * (insn->reg & 15);
	if (to_mem) {
		ret = mem_write(e, linear, xmm, 16);
	} else {
		u8 value[16];

		ret = result_of(e->read(e, linear, value, 16, 0));
		if (!ret)
			__builtin_memcpy(xmm, value, 16);
	}
	return ret ? ret : finish(e, insn);
}

/* --- Strings --- */

static bool is_rep(const struct insn *insn)
{
	return insn->flags & (INSN_REP | INSN_REPNE);
}

static u64 index_of(const struct emul *e, const struct insn *insn, unsigned int reg)
{
	return e->gpr[reg] & mask_of(insn->addrsize);
}

/* Moves an index register past count elements, in the direction of DF. */
static void advance(struct emul *e, const struct insn *insn, unsigned int reg, unsigned int count)
{
	u64 delta = (u64)count * insn->opsize;

	if (e->rflags & RFLAGS_DF)
		delta = -delta;
	merge(&e->gpr[reg], insn->addrsize, e->gpr[reg] + delta);
}

/* Counts down; RIP advances when no iteration is left, or the condition of REPE or REPNE fails. */
static int finish_string(struct emul *e, const struct insn *insn, unsigned int count)
{
	bool compares = insn->op == INSN_CMPS || insn->op == INSN_SCAS;

	if (!is_rep(insn))
		return finish(e, insn);
	merge(&e->gpr[INSN_RCX], insn->addrsize, e->gpr[INSN_RCX] - count);
	if (!index_of(e, insn, INSN_RCX))
		return finish(e, insn);
	if (compares && !(e->rflags & RFLAGS_ZF) != !(insn->flags & INSN_REP))
		return finish(e, insn);
	return EMUL_AGAIN;
}

static int string_linear(struct emul *e, const struct insn *insn, unsigned int reg,
			 unsigned int flags, u64 *linear)
{
	unsigned int seg = reg == INSN_RDI ? INSN_ES : insn->seg;

	return emul_linear(e, seg, index_of(e, insn, reg), insn->opsize, flags, linear);
}

static int read_string(struct emul *e, const struct insn *insn, unsigned int reg, u64 *value)
{
	u64 linear;
	int ret;

	ret = string_linear(e, insn, reg, 0, &linear);
	return ret ? ret : mem_read(e, linear, value, insn->opsize, 0);
}

static int run_string(struct emul *e, const struct insn *insn)
{
	unsigned int size = insn->opsize;
	bool has_src = insn->op != INSN_STOS && insn->op != INSN_SCAS;
	bool stores = insn->op == INSN_STOS || insn->op == INSN_MOVS;
	bool compares = insn->op == INSN_CMPS || insn->op == INSN_SCAS;
	u64 src = get_reg(e, insn, INSN_RAX, size);
	u64 dst = 0;
	u64 linear;
	int ret = EMUL_DONE;

	if (is_rep(insn) && !index_of(e, insn, INSN_RCX))
		return finish(e, insn);
	if (has_src)
		ret = read_string(e, insn, INSN_RSI, &src);
	if (!ret && compares)
		ret = read_string(e, insn, INSN_RDI, &dst);
	if (!ret && stores)
		ret = string_linear(e, insn, INSN_RDI, EMUL_WRITE, &linear);
	if (!ret && stores)
		ret = mem_write(e, linear, &src, size);
	if (ret)
		return ret;

	if (compares)
		sub(src, dst, 0, size, &e->rflags);
	if (insn->op == INSN_LODS)
		set_reg(e, insn, INSN_RAX, size, src);
	if (has_src)
		advance(e, insn, INSN_RSI, 1);
	if (insn->op != INSN_LODS)
		advance(e, insn, INSN_RDI, 1);
	return finish_string(e, insn, 1);
}

/* --- Ports --- */

/* Elements that one batch can take: what is left, fits the buffer and stays in the page. */
static unsigned int batch_of(const struct emul *e, const struct insn *insn, u64 linear, u64 offset)
{
	unsigned int size = insn->opsize;
	u64 count = is_rep(insn) ? index_of(e, insn, INSN_RCX) : 1;
	u64 room = mask_of(insn->addrsize) - offset; /* before the offset wraps, less one */

	if (!e->io_buf || e->rflags & RFLAGS_DF)
		return 1;
	count = MIN(count, (u64)e->io_size / size);
	count = MIN(count, (PAGE_SIZE - (linear & ~PAGE_MASK)) / size);
	if (room < PAGE_SIZE)
		count = MIN(count, (room + 1) / size);
	return count ? count : 1;
}

static int run_string_io(struct emul *e, const struct insn *insn)
{
	bool is_in = insn->op == INSN_INS;
	unsigned int reg = is_in ? INSN_RDI : INSN_RSI;
	unsigned int seg = is_in ? INSN_ES : insn->seg;
	unsigned int flags = is_in ? EMUL_WRITE : 0;
	unsigned int size = insn->opsize;
	u64 offset = index_of(e, insn, reg);
	u16 port = e->gpr[INSN_RDX];
	unsigned int count;
	u64 linear, one = 0;
	void *buf;
	int ret;

	if (is_rep(insn) && !index_of(e, insn, INSN_RCX))
		return finish(e, insn);
	ret = emul_linear(e, seg, offset, size, flags, &linear);
	if (ret)
		return ret;
	count = batch_of(e, insn, linear, offset);
	if (count > 1 && check_linear(e, seg, offset, count * size, size, flags, &linear))
		count = 1; /* the segment ends in the batch: up to there one by one */
	buf = count > 1 ? e->io_buf : &one;

	if (is_in) {
		/* A port must not be read in vain: see first that memory takes it. */
		ret = result_of(e->write(e, linear, NULL, count * size, EMUL_WRITE | EMUL_PROBE));
		if (!ret)
			ret = result_of(e->in(e, port, size, buf, count));
		if (!ret)
			ret = mem_write(e, linear, buf, count * size);
	} else {
		ret = result_of(e->read(e, linear, buf, count * size, 0));
		if (!ret)
			ret = result_of(e->out(e, port, size, buf, count));
	}
	if (ret)
		return ret;
	advance(e, insn, reg, count);
	return finish_string(e, insn, count);
}

static int run_io(struct emul *e, const struct insn *insn)
{
	unsigned int size = insn->opsize;
	u16 port = insn->form == INSN_FORM_A_DX ? e->gpr[INSN_RDX] : insn->imm;
	u64 value = get_reg(e, insn, INSN_RAX, size);
	int ret;

	if (!e->in || !e->out)
		return EMUL_UNHANDLED;
	if (insn->op == INSN_INS || insn->op == INSN_OUTS)
		return run_string_io(e, insn);
	if (insn->op == INSN_OUT) {
		ret = result_of(e->out(e, port, size, &value, 1));
	} else {
		ret = result_of(e->in(e, port, size, &value, 1));
		if (!ret)
			set_reg(e, insn, INSN_RAX, size, value);
	}
	return ret ? ret : finish(e, insn);
}

/* --- Entry points --- */

int emul_run(struct emul *e, const struct insn *insn)
{
	switch (insn->op) {
	case INSN_MUL:
	case INSN_DIV:
	case INSN_IDIV:
		return run_accumulator(e, insn);
	case INSN_IMUL:
		return insn->form == INSN_FORM_RM ? run_accumulator(e, insn) : run_compute(e, insn);
	case INSN_CMPXCHG8B:
	case INSN_CMPXCHG16B:
		return run_cmpxchg_pair(e, insn);
	case INSN_LEA:
		set_reg(e, insn, insn->reg, insn->opsize, emul_offset(e, insn));
		return finish(e, insn);
	case INSN_NOP:
		return finish(e, insn);
	case INSN_PUSH:
		return run_push(e, insn);
	case INSN_POP:
		return run_pop(e, insn);
	case INSN_CALL:
	case INSN_JMP:
	case INSN_RET:
		return run_branch(e, insn);
	case INSN_STOS:
	case INSN_LODS:
	case INSN_MOVS:
	case INSN_SCAS:
	case INSN_CMPS:
		return run_string(e, insn);
	case INSN_IN:
	case INSN_OUT:
	case INSN_INS:
	case INSN_OUTS:
		return run_io(e, insn);
	case INSN_MOV_VEC:
	case INSN_MOV_VEC_ALIGNED:
		return run_vector(e, insn);
	}
	if (insn->op > INSN_NONE && insn->op < INSN_LEA)
		return run_compute(e, insn);
	return EMUL_UNHANDLED;
}

/*
 * Bytes that may be fetched at RIP before the end of the code segment, at most those of one insn.
 */
static unsigned int fetchable(const struct emul *e, enum insn_mode mode)
{
	u64 limit = e->seg[INSN_CS].limit;

	if (mode == INSN_MODE_64)
		return INSN_MAX_LEN;
	if (e->rip > limit)
		return 0;
	return MIN(limit - e->rip + 1, (u64)INSN_MAX_LEN);
}

int emul_fetch(struct emul *e, struct insn *insn)
{
	enum insn_mode mode = insn_mode_of(e->efer, e->seg[INSN_CS].attrib);
	unsigned int max = fetchable(e, mode);
	u8 bytes[INSN_MAX_LEN];
	u64 linear = e->rip;
	unsigned int n;
	int ret;

	if (mode != INSN_MODE_64)
		linear = (u32)(linear + e->seg[INSN_CS].base);
	else if (!is_canonical(e, linear))
		max = 0;
	if (!max)
		return fault(e, VECTOR_GP, true);
	n = MIN(max, PAGE_SIZE - (linear & ~PAGE_MASK));
	ret = result_of(e->read(e, linear, bytes, n, EMUL_FETCH));
	if (ret)
		return ret;
	ret = insn_decode(insn, bytes, n, mode);
	if (ret == -EAGAIN && n < max) {
		linear += n;
		if (mode != INSN_MODE_64)
			linear = (u32)linear;
		else if (!is_canonical(e, linear))
			return fault(e, VECTOR_GP, true);
		ret = result_of(e->read(e, linear, bytes + n, max - n, EMUL_FETCH));
		if (ret)
			return ret;
		ret = insn_decode(insn, bytes, max, mode);
	}
	if (ret > 0)
		return EMUL_DONE;
	if (ret == -EINVAL)
		return fault(e, VECTOR_UD, false);
	if (ret == -ENOSYS)
		return EMUL_UNHANDLED;
	return fault(e, VECTOR_GP, true); /* beyond the segment, or longer than 15 bytes */
}
