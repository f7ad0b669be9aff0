// SPDX-License-Identifier: GPL-2.0-only
/*
 * x87 to AVX-512 and PKRU registers: they are live in the CPU, the root's or a child's. The core itself is built
 * without them. Exchanged once per VP_RUN. States beyond `fpu.features` (supervisor states, AMX)
 * stay the root's: a child's XCR0 can't have them, so it can't touch them.
 */
#include "core/string.h"
#include "core/vp_int.h"
#include "core/x86/asm.h"

#define XCR0_X87    BIT(0)
#define XCR0_SSE    BIT(1)
#define XCR0_AVX    BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))
#define XCR0_PKRU   BIT(9)
#define XCR0_CHILD  (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)

#define XSAVE_FCW	 0
#define XSAVE_MXCSR	 24
#define XSAVE_MXCSR_MASK 28
#define XSAVE_BV	 512 /* header: XSTATE_BV, XCOMP_BV, reserved */
#define XSAVE_HEADER_END 576

static struct {
	bool xsave;
	u64 features;
	u32 size;
	u32 mxcsr_mask;
	u32 end[64]; /* of a component in the image; 0: not offered */
} fpu;

void vp_fpu_init(void)
{
	static u8 image[512] __attribute__((aligned(16)));
	u32 r[4], n;

	__asm__ volatile("fxsave64 %0" : "=m"(image));
	memcpy(&fpu.mxcsr_mask, image + XSAVE_MXCSR_MASK, 4);
	if (!fpu.mxcsr_mask)
		fpu.mxcsr_mask = 0xffbf;
	fpu.features = XCR0_X87 | XCR0_SSE;
	fpu.size = XSAVE_HEADER_END;
	fpu.end[0] = fpu.end[1] = XSAVE_HEADER_END;
	fpu.xsave = read_cr4() & BIT(18);
	if (!fpu.xsave)
		return;
	cpuid(0xd, 0, r);
	for (n = 2; n < 32; n++) {
		if (!(r[0] & XCR0_CHILD & BIT(n)))
			continue;
		u32 c[4];

		cpuid(0xd, n, c);
		if (c[0] + c[1] > PLINTH_XSAVE_MAX)
			continue;
		fpu.features |= BIT(n);
		fpu.end[n] = c[0] + c[1];
		fpu.size = MAX(fpu.size, fpu.end[n]);
	}
	/* The three parts of AVX-512 come together or not at all. */
	if ((fpu.features & XCR0_AVX512) != XCR0_AVX512)
		fpu.features &= ~XCR0_AVX512;
}

u32 vp_fpu_size(void)
{
	return fpu.size;
}

u64 vp_fpu_features(void)
{
	return fpu.features;
}

static void fpu_save(u64 pa)
{
	void *image = mm_va(pa);

	if (fpu.xsave)
		__asm__ volatile("xsave64 (%0)"
				 :
				 : "r"(image), "a"((u32)fpu.features),
				   "d"((u32)(fpu.features >> 32))
				 : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" : : "r"(image) : "memory");
}

static void fpu_restore(u64 pa)
{
	void *image = mm_va(pa);

	if (fpu.xsave)
		__asm__ volatile("xrstor64 (%0)"
				 :
				 : "r"(image), "a"((u32)fpu.features),
				   "d"((u32)(fpu.features >> 32))
				 : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" : : "r"(image) : "memory");
}

static void fpu_xcr0(u64 from, u64 to)
{
	if (fpu.xsave && from != to)
		xsetbv(0, to);
}

void vp_fpu_reset(struct vp *vp)
{
	u8 *image = mm_va(vp->fpu_pa);

	memset(image, 0, PAGE_SIZE);
	*(u16 *)(image + XSAVE_FCW) = 0x37f;
	*(u32 *)(image + XSAVE_MXCSR) = 0x1f80;
	*(u64 *)(image + XSAVE_BV) = XCR0_X87 | XCR0_SSE;
	vp->xcr0 = XCR0_X87;
}

void vp_fpu_load(struct vp *vp)
{
	u64 full;

	vp->root_xcr0 = fpu.xsave ? xgetbv(0) : 0;
	full = vp->root_xcr0 | fpu.features;
	fpu_xcr0(vp->root_xcr0, full);
	/* XSAVE leaves parts of the header as they are; private_copy() uses the page in between. */
	memset(mm_va(vp->root_fpu_pa + XSAVE_BV), 0, XSAVE_HEADER_END - XSAVE_BV);
	fpu_save(vp->root_fpu_pa);
	fpu_restore(vp->fpu_pa);
	fpu_xcr0(full, vp->xcr0);
}

void vp_fpu_put(struct vp *vp)
{
	u64 full = vp->root_xcr0 | fpu.features;

	fpu_xcr0(vp->xcr0, full);
	fpu_save(vp->fpu_pa);
	fpu_restore(vp->root_fpu_pa);
	fpu_xcr0(full, vp->root_xcr0);
}

void vp_fpu_save_live(struct vp *vp)
{
	fpu_xcr0(vp->xcr0, vp->root_xcr0 | fpu.features);
	fpu_save(vp->fpu_pa);
}

void vp_fpu_load_live(struct vp *vp)
{
	fpu_restore(vp->fpu_pa);
	fpu_xcr0(vp->root_xcr0 | fpu.features, vp->xcr0);
}

int vp_fpu_set(struct vp *vp, const void *image, u32 size)
{
	static const u8 zero[XSAVE_HEADER_END - XSAVE_BV - 8];
	u8 *to = mm_va(vp->fpu_pa), *from = mm_va(vp->root_fpu_pa); /* free while not running */
	u32 mxcsr, i, end = XSAVE_HEADER_END;
	u64 bv;

	if (size < XSAVE_HEADER_END)
		return -EINVAL;
	size = MIN(size, fpu.size);
	memcpy(from, image, size); /* the root may change the original at any time */
	memcpy(&bv, from + XSAVE_BV, 8);
	if (bv & ~fpu.features || memcmp(from + XSAVE_BV + 8, zero, sizeof(zero)))
		return -EINVAL;
	for (i = 0; i < 64; i++)
		if (bv & BIT(i))
			end = MAX(end, fpu.end[i]);
	if (size < end)
		return -EINVAL;
	memcpy(&mxcsr, from + XSAVE_MXCSR, 4);
	if (mxcsr & ~fpu.mxcsr_mask) {
		if (bv & (XCR0_X87 | XCR0_SSE | XCR0_AVX))
			return -EINVAL;
		mxcsr = 0x1f80;
	}
	memset(to, 0, PAGE_SIZE);
	memcpy(to, from, size);
	memcpy(to + XSAVE_MXCSR, &mxcsr, 4);
	return 0;
}
