// SPDX-License-Identifier: GPL-2.0-only
#include "core/x86/gwalk.h"
#include "core/x86/paging.h"

#define CR0_WP	  BIT(16)
#define CR0_PG	  BIT(31)
#define CR4_PSE	  BIT(4)
#define CR4_PAE	  BIT(5)
#define CR4_LA57  BIT(12)
#define CR4_SMEP  BIT(20)
#define CR4_SMAP  BIT(21)
#define EFER_LMA  BIT(10)
#define EFER_NXE  BIT(11)
#define RFLAGS_AC BIT(18)

/* A table entry that other processors keep changing under the walk is given up after so many. */
#define GWALK_TRIES 16

/* The paging mode in force, and what has come of the walk so far. */
struct walk {
	const struct gwalk *w;
	u64 linear;
	u32 access;
	unsigned int levels, entry_size, index_bits;
	bool wide;	 /* 8-byte entries: NX exists */
	u64 reserved;	 /* bits that no entry may have */
	u64 entry_pa[5]; /* by depth, top first */
	u64 entry[5];
	unsigned int depth;
	bool writable, user, nx;
	unsigned int shift; /* of the leaf */
};

static void walk_mode(struct walk *k)
{
	const struct gwalk *w = k->w;

	k->wide = w->cr4 & CR4_PAE;
	k->entry_size = k->wide ? 8 : 4;
	k->index_bits = k->wide ? 9 : 10;
	if (w->efer & EFER_LMA)
		k->levels = w->cr4 & CR4_LA57 ? 5 : 4;
	else
		k->levels = k->wide ? 3 : 2;
	if (k->wide) {
		k->reserved = PTE_ADDR & ~(BIT(w->maxphyaddr) - 1);
		if (!(w->efer & EFER_NXE))
			k->reserved |= PTE_NX;
	}
}

static u64 walk_top(const struct walk *k)
{
	if (k->w->efer & EFER_LMA)
		return k->w->cr3 & PTE_ADDR;
	return k->wide ? k->w->cr3 & 0xffffffe0 : k->w->cr3 & 0xfffff000;
}

/* The four pointers at the top of PAE tables have neither permissions nor A (APM 2, 5.2.3). */
static bool walk_is_pdpte(const struct walk *k, unsigned int shift)
{
	return k->levels == 3 && shift == 30;
}

static bool walk_is_leaf(const struct walk *k, u64 entry, unsigned int shift)
{
	if (shift == 12)
		return true;
	if (!(entry & PTE_PS))
		return false;
	if (k->levels == 2)
		return k->w->cr4 & CR4_PSE;
	return shift == 21 || (shift == 30 && k->levels > 3);
}

/*
 * Bits that must be zero at this place (APM 2, figures 5-4 to 5-26). Not so A of a page-directory pointer: walks of
 * QEMU's processor set it.
 */
static u64 walk_reserved(const struct walk *k, u64 entry, unsigned int shift)
{
	u64 bits = k->reserved;

	if (walk_is_pdpte(k, shift))
		return bits | PTE_NX | PTE_W | PTE_U | PTE_D | PTE_PS | PTE_G;
	if (shift > 30)
		bits |= PTE_PS;
	if (shift == 12 || !walk_is_leaf(k, entry, shift))
		return bits;
	if (k->levels == 2)
		return bits | BIT(21);
	return bits | ((BIT(shift) - 1) & ~(BIT(13) - 1));
}

static u32 walk_error(const struct walk *k, u32 bits)
{
	if (k->access & GWALK_WRITE)
		bits |= GWALK_PF_W;
	if (k->access & GWALK_USER)
		bits |= GWALK_PF_U;
	if ((k->access & GWALK_FETCH) &&
	    ((k->wide && (k->w->efer & EFER_NXE)) || (k->w->cr4 & CR4_SMEP)))
		bits |= GWALK_PF_I;
	return bits;
}

/* From the top to the leaf. 0, -EFAULT with *error, or a callback's error. */
static int walk_down(struct walk *k, u32 *error)
{
	unsigned int shift = 12 + k->index_bits * (k->levels - 1);
	u64 table = walk_top(k), entry, index;
	int ret;

	k->writable = k->user = true;
	k->nx = false;
	for (k->depth = 0;; k->depth++, shift -= k->index_bits) {
		index = k->linear >> shift & (BIT(k->index_bits) - 1);
		if (walk_is_pdpte(k, shift))
			index &= 3;
		k->entry_pa[k->depth] = table + index * k->entry_size;
		ret = k->w->read(k->w->ctx, k->entry_pa[k->depth], k->entry_size, &entry);
		if (ret)
			return ret;
		k->entry[k->depth] = entry;
		if (!(entry & PTE_P)) {
			*error = walk_error(k, 0);
			return -EFAULT;
		}
		if (entry & walk_reserved(k, entry, shift)) {
			*error = walk_error(k, GWALK_PF_P | GWALK_PF_RSVD);
			return -EFAULT;
		}
		if (!walk_is_pdpte(k, shift)) {
			k->writable = k->writable && (entry & PTE_W);
			k->user = k->user && (entry & PTE_U);
			k->nx = k->nx || (k->wide && (entry & PTE_NX));
		}
		if (walk_is_leaf(k, entry, shift))
			break;
		table = entry & (k->wide ? PTE_ADDR : 0xfffff000);
	}
	k->shift = shift;
	return 0;
}

static bool walk_allowed(const struct walk *k)
{
	const struct gwalk *w = k->w;

	if (k->access & GWALK_PEEK)
		return true;
	if ((k->access & GWALK_FETCH) && k->nx)
		return false;
	if (k->access & GWALK_USER)
		return k->user && (k->writable || !(k->access & GWALK_WRITE));
	if (k->user && (k->access & GWALK_FETCH) && (w->cr4 & CR4_SMEP))
		return false;
	if (k->user && !(k->access & GWALK_FETCH) && (w->cr4 & CR4_SMAP) &&
	    ((k->access & GWALK_IMPLICIT) || !(w->rflags & RFLAGS_AC)))
		return false;
	return k->writable || !(k->access & GWALK_WRITE) || !(w->cr0 & CR0_WP);
}

/* Set A on the way and D at the end where they are missing. */
static int walk_mark(const struct walk *k)
{
	unsigned int i;
	u64 want;
	int ret;

	if (k->access & GWALK_PEEK)
		return 0;
	for (i = 0; i <= k->depth; i++) {
		if (k->levels == 3 && i == 0)
			continue;
		want = k->entry[i] | PTE_A;
		if (i == k->depth && (k->access & GWALK_WRITE))
			want |= PTE_D;
		if (want == k->entry[i])
			continue;
		ret = k->w->cmpxchg(k->w->ctx, k->entry_pa[i], k->entry_size, k->entry[i], want);
		if (ret)
			return ret;
	}
	return 0;
}

static u64 walk_frame(const struct walk *k)
{
	u64 leaf = k->entry[k->depth];

	if (k->levels == 2 && k->shift == 22) /* PSE-36: bits 20:13 are address bits 39:32 */
		return (leaf & 0xffc00000) | (leaf & 0x1fe000) << 19;
	return leaf & (k->wide ? PTE_ADDR : 0xfffff000) & ~(BIT(k->shift) - 1);
}

int gwalk(const struct gwalk *w, u64 linear, u32 access, struct gwalk_out *out)
{
	struct walk k = { .w = w, .linear = linear, .access = access };
	int ret, tries;

	out->error = 0;
	if (!(w->efer & EFER_LMA))
		k.linear = linear = (u32)linear;
	if (!(w->cr0 & CR0_PG)) {
		out->gpa = linear;
		out->shift = 12;
		return 0;
	}
	walk_mode(&k);
	for (tries = 0; tries < GWALK_TRIES; tries++) {
		ret = walk_down(&k, &out->error);
		if (ret)
			return ret;
		if (!walk_allowed(&k)) {
			out->error = walk_error(&k, GWALK_PF_P);
			return -EFAULT;
		}
		ret = walk_mark(&k);
		if (ret == -EBUSY)
			continue;
		if (ret)
			return ret;
		out->gpa = walk_frame(&k) | (linear & (BIT(k.shift) - 1));
		out->shift = k.shift;
		return 0;
	}
	return -EBUSY;
}
