// SPDX-License-Identifier: GPL-2.0-only
/*
 * State of a virtual processor: KVM's structures on one side, the items of the core (enum plinth_item) on
 * the other. The core checks what is set; here only the forms are translated.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/cpufeature.h>

#include "kvm.h"

/* KVM's limit for one KVM_GET_MSRS or KVM_SET_MSRS. */
#define MAX_IO_MSRS 256

/* Pages for lists that the core writes by physical address. */
#define LIST_ORDER 2
#define LIST_BYTES (PAGE_SIZE << LIST_ORDER)

/* Attributes of a segment as in the VMCB, APM vol. 2 section 15.5. */
#define SEG_TYPE      0x000fu
#define SEG_S	      BIT(4)
#define SEG_DPL_SHIFT 5
#define SEG_P	      BIT(7)
#define SEG_AVL	      BIT(8)
#define SEG_L	      BIT(9)
#define SEG_DB	      BIT(10)
#define SEG_G	      BIT(11)

/* The legacy region and the header of an XSAVE image, APM vol. 2 section 11.5. */
#define XSAVE_STATE_BV	 512
#define XSAVE_X87	 BIT(0)
#define XSAVE_SSE	 BIT(1)
#define XSAVE_AVX	 BIT(2)
#define FCW_INIT	 0x37f
#define MXCSR_INIT	 0x1f80
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_EXTD	 BIT(10) /* x2APIC mode */
#define APIC_ID_REG	 0x20

struct fxsave_area {
	__u16 fcw, fsw;
	__u8 ftw, reserved;
	__u16 fop;
	__u64 rip, rdp;
	__u32 mxcsr, mxcsr_mask;
	__u8 st[8][16];
	__u8 xmm[16][16];
};

s64 pstate_get(struct pvcpu *v, u32 item)
{
	return plinth_hypercall(PLINTH_HC_VP_GET, v->vm->id, v->index, item, 0, 0);
}

s64 pstate_set(struct pvcpu *v, u32 item)
{
	s64 r;

	do
		r = plinth_hypercall(PLINTH_HC_VP_SET, v->vm->id, v->index, item, 0, 0);
	while (r == -ENOMEM && !plinth_donate());
	return r;
}

static void *data(struct pvcpu *v)
{
	return v->shared->data;
}

/* Copy an argument into the data area, or an answer out of it. */
static int arg_to_data(struct pvcpu *v, const void __user *argp, size_t size)
{
	return copy_from_user(data(v), argp, size) ? -EFAULT : 0;
}

static int to_user(void __user *argp, const void *from, size_t size)
{
	return copy_to_user(argp, from, size) ? -EFAULT : 0;
}

/* ---- general registers ---- */

static long get_regs(struct pvcpu *v, void __user *argp)
{
	const struct plinth_vp_regs *p = data(v);
	s64 r = pstate_get(v, PLINTH_ITEM_REGS);
	struct kvm_regs k;

	if (r < 0)
		return r;
	k = (struct kvm_regs){
		.rax = p->gpr[0],
		.rcx = p->gpr[1],
		.rdx = p->gpr[2],
		.rbx = p->gpr[3],
		.rsp = p->gpr[4],
		.rbp = p->gpr[5],
		.rsi = p->gpr[6],
		.rdi = p->gpr[7],
		.r8 = p->gpr[8],
		.r9 = p->gpr[9],
		.r10 = p->gpr[10],
		.r11 = p->gpr[11],
		.r12 = p->gpr[12],
		.r13 = p->gpr[13],
		.r14 = p->gpr[14],
		.r15 = p->gpr[15],
		.rip = p->rip,
		.rflags = p->rflags,
	};
	return to_user(argp, &k, sizeof(k));
}

static long set_regs(struct pvcpu *v, const void __user *argp)
{
	struct plinth_vp_regs *p = data(v);
	struct kvm_regs k;

	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	*p = (struct plinth_vp_regs){
		.gpr = { k.rax, k.rcx, k.rdx, k.rbx, k.rsp, k.rbp, k.rsi, k.rdi, k.r8, k.r9, k.r10,
			 k.r11, k.r12, k.r13, k.r14, k.r15 },
		.rip = k.rip,
		.rflags = k.rflags,
	};
	return pstate_set(v, PLINTH_ITEM_REGS);
}

/* ---- segments and control registers ---- */

static void seg_to_kvm(struct kvm_segment *k, const struct plinth_seg *p)
{
	*k = (struct kvm_segment){
		.base = p->base,
		.limit = p->limit,
		.selector = p->selector,
		.type = p->attrib & SEG_TYPE,
		.s = !!(p->attrib & SEG_S),
		.dpl = p->attrib >> SEG_DPL_SHIFT & 3,
		.present = !!(p->attrib & SEG_P),
		.avl = !!(p->attrib & SEG_AVL),
		.l = !!(p->attrib & SEG_L),
		.db = !!(p->attrib & SEG_DB),
		.g = !!(p->attrib & SEG_G),
		.unusable = !(p->attrib & SEG_P),
	};
}

static void seg_from_kvm(struct plinth_seg *p, const struct kvm_segment *k)
{
	u16 a = k->type & SEG_TYPE;

	a |= k->s ? SEG_S : 0;
	a |= (k->dpl & 3) << SEG_DPL_SHIFT;
	a |= k->present && !k->unusable ? SEG_P : 0;
	a |= k->avl ? SEG_AVL : 0;
	a |= k->l ? SEG_L : 0;
	a |= k->db ? SEG_DB : 0;
	a |= k->g ? SEG_G : 0;
	*p = (struct plinth_seg){
		.selector = k->selector,
		.attrib = a,
		.limit = k->limit,
		.base = k->base,
	};
}

/* The part that struct kvm_sregs and struct kvm_sregs2 have in common has the same names in both. */
#define SREGS_TO_KVM(k, p)                                                                         \
	do {                                                                                       \
		seg_to_kvm(&(k)->cs, &(p)->cs);                                                    \
		seg_to_kvm(&(k)->ds, &(p)->ds);                                                    \
		seg_to_kvm(&(k)->es, &(p)->es);                                                    \
		seg_to_kvm(&(k)->fs, &(p)->fs);                                                    \
		seg_to_kvm(&(k)->gs, &(p)->gs);                                                    \
		seg_to_kvm(&(k)->ss, &(p)->ss);                                                    \
		seg_to_kvm(&(k)->tr, &(p)->tr);                                                    \
		seg_to_kvm(&(k)->ldt, &(p)->ldtr);                                                 \
		(k)->gdt.base = (p)->gdtr.base;                                                    \
		(k)->gdt.limit = (p)->gdtr.limit;                                                  \
		(k)->idt.base = (p)->idtr.base;                                                    \
		(k)->idt.limit = (p)->idtr.limit;                                                  \
		(k)->cr0 = (p)->cr0;                                                               \
		(k)->cr2 = (p)->cr2;                                                               \
		(k)->cr3 = (p)->cr3;                                                               \
		(k)->cr4 = (p)->cr4;                                                               \
		(k)->cr8 = (p)->cr8;                                                               \
		(k)->efer = (p)->efer;                                                             \
		(k)->apic_base = (p)->apic_base;                                                   \
	} while (0)

#define SREGS_FROM_KVM(p, k)                                                                       \
	do {                                                                                       \
		seg_from_kvm(&(p)->cs, &(k)->cs);                                                  \
		seg_from_kvm(&(p)->ds, &(k)->ds);                                                  \
		seg_from_kvm(&(p)->es, &(k)->es);                                                  \
		seg_from_kvm(&(p)->fs, &(k)->fs);                                                  \
		seg_from_kvm(&(p)->gs, &(k)->gs);                                                  \
		seg_from_kvm(&(p)->ss, &(k)->ss);                                                  \
		seg_from_kvm(&(p)->tr, &(k)->tr);                                                  \
		seg_from_kvm(&(p)->ldtr, &(k)->ldt);                                               \
		(p)->gdtr.base = (k)->gdt.base;                                                    \
		(p)->gdtr.limit = (k)->gdt.limit;                                                  \
		(p)->idtr.base = (k)->idt.base;                                                    \
		(p)->idtr.limit = (k)->idt.limit;                                                  \
		(p)->cr0 = (k)->cr0;                                                               \
		(p)->cr2 = (k)->cr2;                                                               \
		(p)->cr3 = (k)->cr3;                                                               \
		(p)->cr4 = (k)->cr4;                                                               \
		(p)->cr8 = (k)->cr8;                                                               \
		(p)->efer = (k)->efer;                                                             \
		(p)->apic_base = (k)->apic_base;                                                   \
	} while (0)

/* In a VM without an APIC in the core APIC_BASE is a value that only the user keeps. */
static void hide_apic(struct pvcpu *v, struct plinth_vp_sregs *p)
{
	if (v->vm->split_irqchip)
		return;
	v->user_apic_base = p->apic_base;
	p->apic_base &= ~(u64)APIC_BASE_ENABLE;
}

static u64 shown_apic_base(const struct pvcpu *v, u64 core)
{
	return v->vm->split_irqchip ? core : v->user_apic_base;
}

static long get_sregs(struct pvcpu *v, void __user *argp)
{
	const struct plinth_vp_sregs *p = data(v);
	s64 r = pstate_get(v, PLINTH_ITEM_SREGS);
	struct kvm_sregs k = {};

	if (r < 0)
		return r;
	SREGS_TO_KVM(&k, p);
	k.apic_base = shown_apic_base(v, k.apic_base);
	BUILD_BUG_ON(sizeof(k.interrupt_bitmap) != sizeof(p->interrupt_bitmap));
	memcpy(k.interrupt_bitmap, p->interrupt_bitmap, sizeof(k.interrupt_bitmap));
	/* Without an APIC KVM_INTERRUPT counts as injected at once. */
	if (v->extint_pending && !v->vm->split_irqchip)
		k.interrupt_bitmap[v->extint_vector / 64] |= 1ull << v->extint_vector % 64;
	return to_user(argp, &k, sizeof(k));
}

static long set_sregs(struct pvcpu *v, const void __user *argp)
{
	struct plinth_vp_sregs *p = data(v);
	struct kvm_sregs k;

	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	memset(p, 0, sizeof(*p));
	SREGS_FROM_KVM(p, &k);
	memcpy(p->interrupt_bitmap, k.interrupt_bitmap, sizeof(k.interrupt_bitmap));
	hide_apic(v, p);
	return pstate_set(v, PLINTH_ITEM_SREGS);
}

static long get_sregs2(struct pvcpu *v, void __user *argp)
{
	const struct plinth_vp_sregs *p = data(v);
	s64 r = pstate_get(v, PLINTH_ITEM_SREGS);
	struct kvm_sregs2 k = {};

	if (r < 0)
		return r;
	SREGS_TO_KVM(&k, p);
	k.apic_base = shown_apic_base(v, k.apic_base);
	return to_user(argp, &k, sizeof(k));
}

/* The PDPTRs aren't cached with nested paging: their flag is neither set nor, given, of any effect. */
static long set_sregs2(struct pvcpu *v, const void __user *argp)
{
	struct plinth_vp_sregs *p = data(v);
	struct kvm_sregs2 k;

	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	if (k.flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	memset(p, 0, sizeof(*p));
	SREGS_FROM_KVM(p, &k);
	hide_apic(v, p);
	return pstate_set(v, PLINTH_ITEM_SREGS);
}

int pstate_without_apic(struct pvcpu *v)
{
	struct plinth_vp_sregs *p = data(v);
	__u32 runnable = KVM_MP_STATE_RUNNABLE;
	s64 r = pstate_get(v, PLINTH_ITEM_SREGS);

	if (r < 0)
		return r;
	p->apic_base &= ~(u64)APIC_BASE_ENABLE;
	r = pstate_set(v, PLINTH_ITEM_SREGS);
	if (r < 0)
		return r;
	memcpy(data(v), &runnable, sizeof(runnable));
	r = pstate_set(v, PLINTH_ITEM_MP_STATE);
	return r < 0 ? r : 0;
}

/* ---- x87, SSE and the rest of the extended state ---- */

int pstate_xsave_size(void)
{
	struct kvm_cpuid_entry2 *e;
	u32 size = sizeof(struct kvm_xsave);
	int i, n = pstate_supported_cpuid(&e);

	for (i = 0; i < n; i++) {
		/* Leaf D: the image with everything that is supported. */
		if (e[i].function == 0xd && !e[i].index)
			size = max(size, e[i].ecx);
	}
	if (n >= 0)
		pstate_free(e);
	return min_t(u32, size, sizeof_field(struct plinth_vp_shared, data));
}

static u64 *state_bv(void *image)
{
	return image + XSAVE_STATE_BV;
}

/* Parts in their initial state may be missing in the image: write that state out. */
static void fill_initial(void *image)
{
	struct fxsave_area *fx = image;
	u64 bv = *state_bv(image);

	if (!(bv & XSAVE_X87)) {
		fx->fcw = FCW_INIT;
		fx->fsw = 0;
		fx->ftw = 0;
		fx->fop = 0;
		fx->rip = 0;
		fx->rdp = 0;
		memset(fx->st, 0, sizeof(fx->st));
	}
	if (!(bv & XSAVE_SSE))
		memset(fx->xmm, 0, sizeof(fx->xmm));
	if (!(bv & (XSAVE_SSE | XSAVE_AVX)))
		fx->mxcsr = MXCSR_INIT;
}

/* The image is in the data area afterwards, data_size bytes; what follows them up to `size` is zero. */
static s64 get_image(struct pvcpu *v, u32 size)
{
	s64 r = pstate_get(v, PLINTH_ITEM_XSAVE);
	u32 got = min_t(u32, v->shared->data_size, size);

	if (r < 0)
		return r;
	memset(data(v) + got, 0, size - got);
	fill_initial(data(v));
	return 0;
}

static long get_xsave(struct pvcpu *v, void __user *argp, u32 size)
{
	s64 r = get_image(v, size);

	return r < 0 ? r : to_user(argp, data(v), size);
}

static long set_xsave(struct pvcpu *v, const void __user *argp, u32 size)
{
	int r = arg_to_data(v, argp, size);

	if (r)
		return r;
	v->shared->data_size = size;
	return pstate_set(v, PLINTH_ITEM_XSAVE);
}

/* KVM neither fills in nor looks at kvm_fpu.mxcsr, and programs leave it 0: MXCSR goes by XSAVE alone. */
static long get_fpu(struct pvcpu *v, void __user *argp)
{
	const struct fxsave_area *fx = data(v);
	s64 r = get_image(v, sizeof(struct kvm_xsave));
	struct kvm_fpu k = {};

	if (r < 0)
		return r;
	memcpy(k.fpr, fx->st, sizeof(k.fpr));
	memcpy(k.xmm, fx->xmm, sizeof(k.xmm));
	k.fcw = fx->fcw;
	k.fsw = fx->fsw;
	k.ftwx = fx->ftw;
	k.last_opcode = fx->fop;
	k.last_ip = fx->rip;
	k.last_dp = fx->rdp;
	return to_user(argp, &k, sizeof(k));
}

static long set_fpu(struct pvcpu *v, const void __user *argp)
{
	struct fxsave_area *fx = data(v);
	struct kvm_fpu k;
	s64 r;

	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	r = get_image(v, pstate_xsave_size());
	if (r < 0)
		return r;
	memcpy(fx->st, k.fpr, sizeof(k.fpr));
	memcpy(fx->xmm, k.xmm, sizeof(k.xmm));
	fx->fcw = k.fcw;
	fx->fsw = k.fsw;
	fx->ftw = k.ftwx;
	fx->fop = k.last_opcode;
	fx->rip = k.last_ip;
	fx->rdp = k.last_dp;
	*state_bv(data(v)) |= XSAVE_X87 | XSAVE_SSE;
	return pstate_set(v, PLINTH_ITEM_XSAVE);
}

static long get_xcrs(struct pvcpu *v, void __user *argp)
{
	struct kvm_xcrs k = {};
	s64 r;

	if (boot_cpu_has(X86_FEATURE_XSAVE)) {
		r = pstate_get(v, PLINTH_ITEM_XCR0);
		if (r < 0)
			return r;
		k.nr_xcrs = 1;
		memcpy(&k.xcrs[0].value, data(v), sizeof(u64));
	}
	return to_user(argp, &k, sizeof(k));
}

static long set_xcrs(struct pvcpu *v, const void __user *argp)
{
	struct kvm_xcrs k;
	u32 i;

	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	if (!boot_cpu_has(X86_FEATURE_XSAVE) || k.nr_xcrs > KVM_MAX_XCRS || k.flags)
		return -EINVAL;
	for (i = 0; i < k.nr_xcrs; i++) {
		if (k.xcrs[i].xcr)
			continue;
		memcpy(data(v), &k.xcrs[i].value, sizeof(u64));
		return pstate_set(v, PLINTH_ITEM_XCR0);
	}
	return 0;
}

/* ---- MSRs ---- */

static long do_msrs(struct pvcpu *v, struct kvm_msrs __user *argp, bool write)
{
	struct plinth_vp_msrs *p = data(v);
	size_t size;
	u32 n;
	s64 done;

	BUILD_BUG_ON(sizeof(struct kvm_msr_entry) != sizeof(p->entry[0]));
	BUILD_BUG_ON(sizeof(*p) + MAX_IO_MSRS * sizeof(p->entry[0]) >
		     sizeof_field(struct plinth_vp_shared, data));
	if (get_user(n, &argp->nmsrs))
		return -EFAULT;
	if (n >= MAX_IO_MSRS)
		return -E2BIG;
	size = n * sizeof(p->entry[0]);
	if (copy_from_user(p->entry, argp->entries, size))
		return -EFAULT;
	p->count = n;
	p->pad = 0;
	done = write ? pstate_set(v, PLINTH_ITEM_MSRS) : pstate_get(v, PLINTH_ITEM_MSRS);
	if (done < 0)
		return done;
	if (!write && copy_to_user(argp->entries, p->entry, size))
		return -EFAULT;
	return done;
}

/* ---- CPUID ---- */

/* Once it has run, a processor's CPUID is fixed: only what it has already may be set again. */
static bool cpuid_equal(const struct pvcpu *v, const struct kvm_cpuid_entry2 *e, u32 n)
{
	return n == v->nr_cpuid && !memcmp(e, v->cpuid, n * sizeof(*e));
}

static long set_cpuid2(struct pvcpu *v, struct kvm_cpuid2 __user *argp)
{
	struct kvm_cpuid_entry2 *e = NULL;
	size_t size;
	s64 r;
	u32 n;

	BUILD_BUG_ON(PVM_MAX_CPUID * sizeof(*e) > sizeof_field(struct plinth_vp_shared, data));
	if (get_user(n, &argp->nent))
		return -EFAULT;
	if (n > PVM_MAX_CPUID)
		return -E2BIG;
	size = n * sizeof(*e);
	if (n) {
		e = vmemdup_user(argp->entries, size);
		if (IS_ERR(e))
			return PTR_ERR(e);
	}
	if (v->has_run) {
		r = cpuid_equal(v, e, n) ? 0 : -EINVAL;
		kvfree(e);
		return r;
	}
	memcpy(data(v), e, size);
	v->shared->data_size = size;
	r = pstate_set(v, PLINTH_ITEM_CPUID);
	if (r < 0) {
		kvfree(e);
		return r;
	}
	kvfree(v->cpuid);
	v->cpuid = e;
	v->nr_cpuid = n;
	return 0;
}

static long get_cpuid2(struct pvcpu *v, struct kvm_cpuid2 __user *argp)
{
	u32 n;

	if (get_user(n, &argp->nent))
		return -EFAULT;
	if (n < v->nr_cpuid)
		return -E2BIG;
	if (put_user(v->nr_cpuid, &argp->nent))
		return -EFAULT;
	return to_user(argp->entries, v->cpuid, v->nr_cpuid * sizeof(*v->cpuid));
}

/* ---- local APIC, processor state, events, debug registers ---- */

/*
 * Where the ID register of an x2APIC has only the upper byte for KVM's user, it is 8 bits of what the core has:
 * (KVM_X2APIC_API_USE_32BIT_IDS).
 */
static s64 lapic_id_is_short(struct pvcpu *v)
{
	const struct plinth_vp_sregs *p = data(v);
	s64 r = pstate_get(v, PLINTH_ITEM_SREGS);

	if (r < 0)
		return r;
	return !v->vm->x2apic_format && p->apic_base & APIC_BASE_EXTD;
}

static long get_lapic(struct pvcpu *v, void __user *argp)
{
	s64 is_short, r;
	u32 *id = data(v) + APIC_ID_REG;

	if (!v->vm->split_irqchip)
		return -EINVAL;
	is_short = lapic_id_is_short(v);
	if (is_short < 0)
		return is_short;
	r = pstate_get(v, PLINTH_ITEM_LAPIC);
	if (r < 0)
		return r;
	if (is_short)
		*id <<= 24;
	return to_user(argp, data(v), sizeof(struct kvm_lapic_state));
}

static long set_lapic(struct pvcpu *v, const void __user *argp)
{
	s64 is_short;
	u32 *id = data(v) + APIC_ID_REG;
	int r;

	if (!v->vm->split_irqchip)
		return -EINVAL;
	is_short = lapic_id_is_short(v);
	if (is_short < 0)
		return is_short;
	r = arg_to_data(v, argp, sizeof(struct kvm_lapic_state));
	if (r)
		return r;
	if (is_short)
		*id >>= 24;
	return pstate_set(v, PLINTH_ITEM_LAPIC);
}

static long get_mp_state(struct pvcpu *v, void __user *argp)
{
	s64 r = pstate_get(v, PLINTH_ITEM_MP_STATE);

	return r < 0 ? r : to_user(argp, data(v), sizeof(struct kvm_mp_state));
}

static long setup_mce(struct pvcpu *v, const void __user *argp)
{
	int r = arg_to_data(v, argp, sizeof(u64));

	return r ? r : pstate_set(v, PLINTH_ITEM_MCE);
}

/* QEMU says at each reset that there is no page that shadows the TPR; KVM_CAP_VAPIC, which has one, isn't offered. */
static long set_vapic_addr(struct pvcpu *v, const void __user *argp)
{
	struct kvm_vapic_addr k;

	if (!v->vm->split_irqchip)
		return -EINVAL;
	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	return k.vapic_addr ? -EINVAL : 0;
}

static long set_mp_state(struct pvcpu *v, const void __user *argp)
{
	struct kvm_mp_state k;

	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	switch (k.mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_SIPI_RECEIVED:
	case KVM_MP_STATE_AP_RESET_HOLD:
		if (v->vm->split_irqchip)
			break;
		fallthrough;
	default:
		return -EINVAL;
	}
	memcpy(data(v), &k.mp_state, sizeof(k.mp_state));
	return pstate_set(v, PLINTH_ITEM_MP_STATE);
}

static long get_events(struct pvcpu *v, void __user *argp)
{
	const struct plinth_vp_events *p = data(v);
	s64 r = pstate_get(v, PLINTH_ITEM_EVENTS);
	struct kvm_vcpu_events k = {};

	if (r < 0)
		return r;
	/* Without KVM_CAP_EXCEPTION_PAYLOAD a pending exception is shown as an injected one. */
	k.exception.injected = p->exc_injected || p->exc_pending;
	k.exception.nr = p->exc_nr;
	k.exception.has_error_code = p->exc_has_error;
	k.exception.error_code = p->exc_error;
	k.interrupt.injected = p->int_injected;
	k.interrupt.nr = p->int_nr;
	k.interrupt.shadow = p->int_shadow;
	k.nmi.injected = p->nmi_injected;
	k.nmi.pending = p->nmi_pending;
	k.nmi.masked = p->nmi_masked;
	k.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	return to_user(argp, &k, sizeof(k));
}

static long set_events(struct pvcpu *v, const void __user *argp)
{
	const u32 known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			  KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	struct plinth_vp_events *p = data(v);
	struct kvm_vcpu_events k;

	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	if (k.flags & ~known)
		return -EINVAL;
	/* There is no SMM to be in. */
	if (k.flags & KVM_VCPUEVENT_VALID_SMM && (k.smi.smm || k.smi.pending))
		return -EINVAL;
	if (k.exception.injected && (k.exception.nr > 31 || k.exception.nr == 2))
		return -EINVAL;
	*p = (struct plinth_vp_events){
		.exc_injected = k.exception.injected,
		.exc_nr = k.exception.nr,
		.exc_has_error = k.exception.has_error_code,
		.exc_error = k.exception.error_code,
		.int_injected = k.interrupt.injected,
		.int_nr = k.interrupt.nr,
		.int_soft = k.interrupt.soft,
		.int_shadow = k.interrupt.shadow,
		.nmi_injected = k.nmi.injected,
		.nmi_pending = k.nmi.pending,
		.nmi_masked = k.nmi.masked,
		.sipi_vector = k.sipi_vector,
		.flags = k.flags,
	};
	return pstate_set(v, PLINTH_ITEM_EVENTS);
}

static long get_debugregs(struct pvcpu *v, void __user *argp)
{
	const struct plinth_vp_debug *p = data(v);
	s64 r = pstate_get(v, PLINTH_ITEM_DEBUG);
	struct kvm_debugregs k = {};

	if (r < 0)
		return r;
	memcpy(k.db, p->dr, sizeof(k.db));
	k.dr6 = p->dr6;
	k.dr7 = p->dr7;
	return to_user(argp, &k, sizeof(k));
}

static long set_debugregs(struct pvcpu *v, const void __user *argp)
{
	struct plinth_vp_debug *p = data(v);
	struct kvm_debugregs k;

	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	if (k.flags || k.dr6 >> 32 || k.dr7 >> 32)
		return -EINVAL;
	memset(p, 0, sizeof(*p));
	memcpy(p->dr, k.db, sizeof(k.db));
	p->dr6 = k.dr6;
	p->dr7 = k.dr7;
	return pstate_set(v, PLINTH_ITEM_DEBUG);
}

/* KVM_GUESTDBG_INJECT_*: queue #DB or #BP. */
static int inject_debug(struct pvcpu *v, u8 vector)
{
	struct plinth_vp_events *p = data(v);
	s64 r = pstate_get(v, PLINTH_ITEM_EVENTS);

	if (r < 0)
		return r;
	if (p->exc_pending || p->exc_injected)
		return -EBUSY;
	p->exc_pending = 1;
	p->exc_nr = vector;
	p->exc_has_error = 0;
	p->flags = 0;
	return pstate_set(v, PLINTH_ITEM_EVENTS);
}

static long set_guest_debug(struct pvcpu *v, const void __user *argp)
{
	struct plinth_vp_debug *p = data(v);
	struct kvm_guest_debug k;
	int r;

	if (copy_from_user(&k, argp, sizeof(k)))
		return -EFAULT;
	if (k.control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		r = inject_debug(v, k.control & KVM_GUESTDBG_INJECT_DB ? 1 : 3);
		if (r < 0)
			return r;
	}
	memset(p, 0, sizeof(*p));
	memcpy(p->dr, k.arch.debugreg, sizeof(p->dr));
	p->dr6 = k.arch.debugreg[6];
	p->dr7 = k.arch.debugreg[7];
	p->flags = k.control & KVM_GUESTDBG_ENABLE ? k.control : 0;
	return pstate_set(v, PLINTH_ITEM_GUEST_DEBUG);
}

/* ---- answers that belong to no processor ---- */

static int get_list(u32 item, void **list)
{
	s64 r;

	r = plinth_hold();
	if (r)
		return r;
	*list = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, LIST_ORDER);
	r = -ENOMEM;
	if (!*list)
		goto release;
	do
		r = plinth_hypercall(PLINTH_HC_VP_GET, 0, 0, item, virt_to_phys(*list), LIST_BYTES);
	while (r == -ENOMEM && !plinth_donate());
	if (r < 0)
		pstate_free(*list);
release:
	plinth_release();
	return r;
}

int pstate_supported_cpuid(struct kvm_cpuid_entry2 **entries)
{
	return get_list(PLINTH_ITEM_SUPPORTED_CPUID, (void **)entries);
}

int pstate_msr_list(u32 item, u32 **list)
{
	return get_list(item, (void **)list);
}

void pstate_free(void *list)
{
	free_pages((unsigned long)list, LIST_ORDER);
}

long pstate_ioctl(struct pvcpu *v, unsigned int cmd, void __user *argp)
{
	switch (cmd) {
	case KVM_GET_REGS:
		return get_regs(v, argp);
	case KVM_SET_REGS:
		return set_regs(v, argp);
	case KVM_GET_SREGS:
		return get_sregs(v, argp);
	case KVM_SET_SREGS:
		return set_sregs(v, argp);
	case KVM_GET_SREGS2:
		return get_sregs2(v, argp);
	case KVM_SET_SREGS2:
		return set_sregs2(v, argp);
	case KVM_GET_FPU:
		return get_fpu(v, argp);
	case KVM_SET_FPU:
		return set_fpu(v, argp);
	case KVM_GET_XSAVE:
		if (pstate_xsave_size() > sizeof(struct kvm_xsave))
			return -EINVAL;
		return get_xsave(v, argp, sizeof(struct kvm_xsave));
	case KVM_GET_XSAVE2:
		return get_xsave(v, argp, pstate_xsave_size());
	case KVM_SET_XSAVE:
		return set_xsave(v, argp, pstate_xsave_size());
	case KVM_GET_XCRS:
		return get_xcrs(v, argp);
	case KVM_SET_XCRS:
		return set_xcrs(v, argp);
	case KVM_GET_MSRS:
		return do_msrs(v, argp, false);
	case KVM_SET_MSRS:
		return do_msrs(v, argp, true);
	case KVM_GET_CPUID2:
		return get_cpuid2(v, argp);
	case KVM_SET_CPUID2:
		return set_cpuid2(v, argp);
	case KVM_GET_LAPIC:
		return get_lapic(v, argp);
	case KVM_SET_LAPIC:
		return set_lapic(v, argp);
	case KVM_GET_MP_STATE:
		return get_mp_state(v, argp);
	case KVM_SET_MP_STATE:
		return set_mp_state(v, argp);
	case KVM_SET_VAPIC_ADDR:
		return set_vapic_addr(v, argp);
	case KVM_X86_SETUP_MCE:
		return setup_mce(v, argp);
	case KVM_GET_VCPU_EVENTS:
		return get_events(v, argp);
	case KVM_SET_VCPU_EVENTS:
		return set_events(v, argp);
	case KVM_GET_DEBUGREGS:
		return get_debugregs(v, argp);
	case KVM_SET_DEBUGREGS:
		return set_debugregs(v, argp);
	case KVM_SET_GUEST_DEBUG:
		return set_guest_debug(v, argp);
	default:
		return -ENOTTY;
	}
}
