/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The local APIC of a child's virtual processor: xAPIC page, x2APIC MSRs, timer, interrupt
 * acceptance and priorities, as a state machine without side effects. What the rest of the core has
 * to do after an access (send an IPI, broadcast an EOI, set the physical timer) comes back in
 * struct lapic_fx. Manuals: AMD APM vol. 2 chapter 16, Intel SDM vol. 3 chapter "APIC". Where they
 * leave a choice the behaviour is KVM's with a split irqchip: programs written for KVM rely on it.
 *
 * Who may call what. "Owner" is whoever holds the virtual processor: the CPU that runs it, or the
 * ioctl that has locked it while it does not run. "Any CPU" functions may be called at the same
 * time as all others. They change only irr, tmr, esr_pending and arb, with atomic operations, and
 * read what the owner publishes with relaxed atomic loads. They never wake anybody: whoever posts
 * must kick the owner afterwards. The order that loses no interrupt is
 *	poster: lapic_post(), then look whether the owner is in the guest and if so kick it;
 *	owner:  say "in the guest", full barrier, lapic_pending(), enter.
 * lapic_post() is a full barrier when it returns 1.
 *
 * Time. `now` is always the host's TSC and should not run backwards for one lapic. The count-down
 * timer runs on a bus of 1 GHz (1 ns per tick before the divider) as in KVM.
 */
#ifndef CORE_LAPIC_H
#define CORE_LAPIC_H

#include "core/types.h"

/* Offsets in the APIC page, APM vol. 2 table 16-2. The x2APIC MSR is 0x800 + offset / 16. */
enum {
	LAPIC_ID = 0x20,
	LAPIC_VER = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_APR = 0x90,
	LAPIC_PPR = 0xa0,
	LAPIC_EOI = 0xb0,
	LAPIC_RRD = 0xc0,
	LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100, /* 8 slots */
	LAPIC_TMR = 0x180, /* 8 slots */
	LAPIC_IRR = 0x200, /* 8 slots */
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_ICR2 = 0x310,
	LAPIC_LVTT = 0x320,
	LAPIC_LVTTHMR = 0x330,
	LAPIC_LVTPC = 0x340,
	LAPIC_LVT0 = 0x350,
	LAPIC_LVT1 = 0x360,
	LAPIC_LVTERR = 0x370,
	LAPIC_TMICT = 0x380,
	LAPIC_TMCCT = 0x390,
	LAPIC_TDCR = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0,	  /* x2APIC only */
	LAPIC_PAGE_BYTES = 0x400, /* of KVM_GET_LAPIC and KVM_SET_LAPIC */
};

#define LAPIC_MSR_FIRST	       0x800u
#define LAPIC_MSR_LAST	       0x8ffu
#define LAPIC_MSR_BASE	       0x1bu /* APIC_BASE */
#define LAPIC_MSR_TSC_DEADLINE 0x6e0u

#define LAPIC_BASE_BSP	   BIT(8)
#define LAPIC_BASE_EXTD	   BIT(10) /* x2APIC mode */
#define LAPIC_BASE_EN	   BIT(11)
#define LAPIC_BASE_DEFAULT 0xfee00000ull

#define LAPIC_VERSION 0x50014u /* integrated, version 0x14, highest LVT entry 5 */

#define LAPIC_SVR_ENABLE BIT(8)

#define LAPIC_LVT_MASKED   BIT(16)
#define LAPIC_LVT_LEVEL	   BIT(15)
#define LAPIC_LVT_POLARITY BIT(13)
#define LAPIC_LVTT_MODE	   (3u << 17)
#define LAPIC_LVTT_ONESHOT (0u << 17)
#define LAPIC_LVTT_PERIOD  (1u << 17)
#define LAPIC_LVTT_TSCDL   (2u << 17)

#define LAPIC_DFR_FLAT	  0xffffffffu
#define LAPIC_DFR_CLUSTER 0x0fffffffu

/* ESR, APM vol. 2 section 16.4.6. */
#define LAPIC_ESR_SEND_ILLEGAL (1u << 5)
#define LAPIC_ESR_RECV_ILLEGAL (1u << 6)
#define LAPIC_ESR_ILLEGAL_REG  (1u << 7)

/* The local vector table in the order of its registers: LVTT + 16 * index. */
enum lapic_lvt {
	LAPIC_LVT_TIMER,
	LAPIC_LVT_THERMAL,
	LAPIC_LVT_PERF,
	LAPIC_LVT_LINT0,
	LAPIC_LVT_LINT1,
	LAPIC_LVT_ERROR,
	LAPIC_NR_LVT,
};

/* Delivery modes (message types) as in ICR, LVT and MSI, bits 10:8. */
enum lapic_mode {
	LAPIC_MODE_FIXED = 0,
	LAPIC_MODE_LOWEST = 1,
	LAPIC_MODE_SMI = 2,
	LAPIC_MODE_REMRD = 3, /* remote read: not offered, ignored */
	LAPIC_MODE_NMI = 4,
	LAPIC_MODE_INIT = 5,
	LAPIC_MODE_SIPI = 6,
	LAPIC_MODE_EXTINT = 7,
};

enum lapic_shorthand {
	LAPIC_SH_NONE = 0,
	LAPIC_SH_SELF = 1,
	LAPIC_SH_ALL = 2,
	LAPIC_SH_OTHERS = 3,
};

#define LAPIC_NO_DEADLINE UINT64_MAX

/* One interrupt message: an ICR write or a decoded MSI. */
struct lapic_ipi {
	u32 dest;     /* 8 bits from an xAPIC or a plain MSI, 32 bits from an x2APIC */
	u8 vector;    /* for SIPI the page number of the start address */
	u8 mode;      /* enum lapic_mode */
	u8 shorthand; /* enum lapic_shorthand; NONE for an MSI */
	bool logical; /* destination mode */
	bool level;   /* ICR bit 14: 1 asserts. 1 for an MSI. */
	bool trigger; /* 1: level-triggered, its EOI is broadcast */
	bool lowest;  /* only one of the matching targets gets it: lapic_arbitrate() */
	bool bcast8;  /* destination 0xff is everybody to an x2APIC, too: LAPIC_MSI_BCAST8 */
};

/* What an access asks of the caller. */
enum {
	LAPIC_FX_IPI = 1 << 0,	     /* send fx->ipi to the lapics that lapic_ipi_matches() */
	LAPIC_FX_EOI = 1 << 1,	     /* EOI of fx->eoi_vector goes out: KVM_EXIT_IOAPIC_EOI */
	LAPIC_FX_TIMER = 1 << 2,     /* lapic_timer_deadline() may have changed */
	LAPIC_FX_RECHECK = 1 << 3,   /* lapic_pending(), lapic_accepts_extint() may have changed */
	LAPIC_FX_TPR = 1 << 4,	     /* TPR changed: refresh V_TPR */
	LAPIC_FX_BASE = 1 << 5,	     /* APIC_BASE changed: address, mode, CPUID 1 EDX bit 9 */
	LAPIC_FX_NMI = 1 << 6,	     /* pend an NMI on the lapic's processor */
	LAPIC_FX_SMI = 1 << 7,	     /* pend an SMI there */
	LAPIC_FX_INIT = 1 << 8,	     /* pend an INIT there */
	LAPIC_FX_SIPI = 1 << 9,	     /* pend a start-up with the message's vector there */
	LAPIC_FX_COALESCED = 1 << 10 /* accepted, but the vector was pending already */
};

struct lapic_fx {
	u32 flags;	      /* LAPIC_FX_*; set by every function that takes a struct lapic_fx */
	u8 eoi_vector;	      /* valid with LAPIC_FX_EOI */
	struct lapic_ipi ipi; /* valid with LAPIC_FX_IPI */
};

struct lapic_config {
	u32 id;	     /* initial (x2)APIC ID; the xAPIC ID is its low 8 bits */
	u32 tsc_khz; /* host TSC ticks per millisecond, 1..LAPIC_MAX_TSC_KHZ (else clamped) */
	bool bsp;    /* APIC_BASE.BSP after power-on */
};

/* Initial count (32 bits) * divider (at most 2^7) * tsc_khz must stay below 2^63. */
#define LAPIC_MAX_TSC_KHZ 0xffffffu

/* A periodic timer expires no more often, so that no guest storms the host. KVM's default. */
#define LAPIC_MIN_PERIOD_NS 200000u

/*
 * One virtual local APIC. Fields are private to lapic.c and to the inline functions below; the
 * layout is here so that the caller can embed it.
 */
struct lapic {
	/* Any CPU, atomic. Vector v is bit v % 64 of word v / 64. */
	u64 irr[4];
	u64 tmr[4];
	u32 esr_pending; /* errors since the last write of ESR */
	u32 arb;	 /* lowest-priority messages won so far */

	/* Written by the owner with atomic stores, read by any CPU. */
	u64 base; /* APIC_BASE as the guest reads it */
	u32 id;	  /* xAPIC mode: ID register >> 24, which the guest may write; x2APIC: 32 bits */
	u32 ldr;  /* in the register format of the present mode */
	u32 dfr;
	u32 svr;
	u32 tpr;
	u32 lvt[LAPIC_NR_LVT];
	int isrv;    /* highest vector in service, or -1 */
	u32 boot_id; /* lapic_config.id, constant */

	/* Owner only. */
	u64 isr[4];
	u64 icr;	  /* as x2APIC reads it; ICR2 is the upper half */
	u64 expiry;	  /* host TSC when the running timer expires, or LAPIC_NO_DEADLINE */
	u64 wake;	  /* the same, but LAPIC_NO_DEADLINE while its LVT is masked */
	u64 tsc_deadline; /* guest TSC; 0 is disarmed */
	u64 tsc_offset;	  /* guest TSC = host TSC + this, modulo 2^64 */
	u32 expiry_frac;  /* count-down timer: millionths of a TSC tick to add to expiry */
	u32 tmict;
	u32 tdcr;
	u32 esr;
	u32 tsc_khz;
	bool bsp;
	bool has_x2apic;
	bool has_tsc_deadline;
	u8 maxphyaddr;
};

/* ---- life ---- */

/*
 * Make `l` a lapic after power-on. x2APIC and TSC deadline are allowed and the physical address
 * width is 52 until lapic_set_features(). Owner; nobody else may know of `l` yet.
 */
void lapic_init(struct lapic *l, const struct lapic_config *cfg);

/*
 * Follow the child's CPUID: 1 ECX bits 21 (x2APIC) and 24 (TSC deadline), 8000_0008 EAX bits 7:0
 * (clamped to 32..52). Leaves the present mode alone. Owner.
 */
void lapic_set_features(struct lapic *l, bool x2apic, bool tsc_deadline, u8 maxphyaddr);

enum lapic_reset {
	LAPIC_POWER_ON, /* a BSP gets LINT0 = ExtINT unmasked as in KVM, not masked as in the APM */
	LAPIC_INIT,	/* the same, but APIC_BASE and ID stay, and LDR in x2APIC mode */
};

/* Owner. Interrupts that are posted at the same time are lost or kept, as on hardware. */
void lapic_reset(struct lapic *l, enum lapic_reset kind);

/* ---- registers ---- */

/* APIC_BASE. The page is at bits 51:12. Any CPU. */
static inline u64 lapic_base(const struct lapic *l)
{
	return __atomic_load_n(&l->base, __ATOMIC_RELAXED);
}

static inline bool lapic_hw_enabled(const struct lapic *l)
{
	return lapic_base(l) & LAPIC_BASE_EN;
}

static inline bool lapic_x2apic(const struct lapic *l)
{
	return lapic_base(l) & LAPIC_BASE_EXTD;
}

/* Does an access to guest-physical `gpa` go to lapic_mmio_read/write()? Any CPU. */
static inline bool lapic_mmio_hit(const struct lapic *l, u64 gpa)
{
	return (gpa ^ lapic_base(l)) >> PAGE_SHIFT == 0;
}

/*
 * Read `len` (1..8) bytes at offset `off` (0..0xfff) of the APIC page. Lengths 1, 2 and 4 work
 * within the low dword of a 16-byte slot; anything else reads 0. All ones when the APIC is disabled
 * or in x2APIC mode. Has no effect but LAPIC_ESR_ILLEGAL_REG for a register that does not exist.
 * Owner.
 */
u64 lapic_mmio_read(struct lapic *l, u32 off, u32 len, u64 now);

/* Write. Only dwords on 16-byte slots count; the rest is ignored. Owner. */
void lapic_mmio_write(struct lapic *l, u32 off, u32 len, u32 val, u64 now, struct lapic_fx *fx);

/*
 * x2APIC MSRs LAPIC_MSR_FIRST..LAST. -EINVAL, and nothing changed, where #GP is due: not in x2APIC
 * mode, no such register, wrong direction, reserved bits. Owner.
 */
int lapic_msr_read(struct lapic *l, u32 msr, u64 *val, u64 now);
int lapic_msr_write(struct lapic *l, u32 msr, u64 val, u64 now, struct lapic_fx *fx);

/*
 * Write APIC_BASE. Reserved bits, EXTD without EN, and for the guest the transitions x2APIC to
 * xAPIC and disabled to x2APIC give -EINVAL (SDM "x2APIC State Transitions"). `host` is true for
 * KVM_SET_SREGS and KVM_SET_MSRS, which may go from any valid mode to any other. Entering a mode
 * restores its initial ID, and LDR where the mode's format changes. Owner.
 */
int lapic_set_base(struct lapic *l, u64 val, bool host, u64 now, struct lapic_fx *fx);

/* CR8 is TPR bits 7:4. Both work with the APIC disabled, too. Owner. */
static inline u64 lapic_get_cr8(const struct lapic *l)
{
	return l->tpr >> 4;
}

/* `cr8` is 0..15 (the caller injects #GP for more). LAPIC_FX_RECHECK and _TPR, or 0. Owner. */
u32 lapic_set_cr8(struct lapic *l, u64 cr8);

/* ---- timer ---- */

/* Guest TSC = host TSC + offset. Moves a pending TSC deadline. LAPIC_FX_TIMER or 0. Owner. */
u32 lapic_set_tsc_offset(struct lapic *l, u64 offset, u64 now);

/* MSR TSC_DEADLINE. Reads 0 and ignores writes outside TSC-deadline mode. Owner. */
u64 lapic_get_tsc_deadline(struct lapic *l, u64 now);
u32 lapic_set_tsc_deadline(struct lapic *l, u64 val, u64 now); /* LAPIC_FX_TIMER, _RECHECK */

/* Host TSC at which lapic_timer_poll() has something to do, or LAPIC_NO_DEADLINE. Owner. */
static inline u64 lapic_timer_deadline(const struct lapic *l)
{
	return l->wake;
}

/* The unlikely part of lapic_timer_poll(). */
u32 lapic_timer_expire(struct lapic *l, u64 now);

/*
 * Expire the timer if it is due: raises its interrupt and re-arms a periodic timer at the first
 * multiple of its period after `now`; periods that were missed collapse into one interrupt. Returns
 * LAPIC_FX_TIMER, with LAPIC_FX_RECHECK if there is a new interrupt, or 0. Owner.
 */
static inline u32 lapic_timer_poll(struct lapic *l, u64 now)
{
	return unlikely(now >= l->wake) ? lapic_timer_expire(l, now) : 0;
}

/* ---- interrupts in ---- */

/*
 * Request the fixed interrupt `vector`; `level` is its trigger mode. Returns 1 if it was not
 * pending before, 0 if it was (coalesced), -ENXIO if the APIC is disabled by hardware or software,
 * -EINVAL for a vector below 16, which is noted in ESR and can raise LVTERR. Kick the owner for 1
 * and -EINVAL. Any CPU.
 */
int lapic_post(struct lapic *l, u8 vector, bool level);

/*
 * Deliver a message that `l` was chosen for. Fixed and lowest-priority ones are posted
 * (LAPIC_FX_RECHECK or LAPIC_FX_COALESCED); for the others the matching flag says what the caller
 * has to pend on the processor. 0 if the message is dropped: APIC disabled, level de-assert,
 * ExtINT, remote read. Any CPU.
 */
u32 lapic_accept(struct lapic *l, const struct lapic_ipi *ipi);

/*
 * Raise a local interrupt source; masked ones are dropped. Returns as lapic_accept() does. Mode
 * ExtINT has no effect here: see lapic_accepts_extint(). Owner.
 */
u32 lapic_local_deliver(struct lapic *l, enum lapic_lvt lvt);

/* Would the 8259's INTR reach the processor through LINT0, or past a disabled APIC? Any CPU. */
bool lapic_accepts_extint(const struct lapic *l);

/* ---- interrupts out ---- */

/* Processor priority, APM vol. 2 section 16.6.4. Owner; an approximation on other CPUs. */
u8 lapic_ppr(const struct lapic *l);

/* Highest requested vector that beats the processor's priority, or -1. Owner. */
int lapic_pending(const struct lapic *l);

/*
 * Highest requested vector of any priority, or -1. For a guest whose TPR runs in hardware: what to
 * open an interrupt window for. Any CPU.
 */
int lapic_highest_irr(const struct lapic *l);

/* Move lapic_pending() from IRR to ISR and return it, or -1: the INTA cycle. Owner. */
int lapic_ack(struct lapic *l);

/*
 * EOI. Returns the vector if its EOI must be broadcast to the IOAPICs, else -1. Something else may
 * be deliverable afterwards. Owner.
 */
int lapic_eoi(struct lapic *l);

/* ---- messages ---- */

enum {
	LAPIC_MSI_IDS32 = 1 << 0,  /* KVM_X2APIC_API_USE_32BIT_IDS: bits 31:8 in address 63:40 */
	LAPIC_MSI_BCAST8 = 1 << 1, /* unless KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK */
};

/*
 * Decode an MSI: address FEEx_xxxx and data as on the bus, APM vol. 2 section 16.5. `flags` are
 * LAPIC_MSI_*. -EINVAL if address bits 39:32 are not 0 with IDS32. Bits 31:20 of the address are
 * not checked: the caller knows what it routes. Any CPU.
 */
int lapic_msi_decode(struct lapic_ipi *ipi, u64 addr, u32 data, u32 flags);

/*
 * Is `target` among the destinations of `ipi`? `src` is the sender, NULL for an MSI. A target whose
 * APIC is disabled by hardware matches nothing. Any CPU.
 */
bool lapic_ipi_matches(const struct lapic *target, const struct lapic_ipi *ipi,
		       const struct lapic *src);

/*
 * Who gets a message with `lowest` set: the one of `set[0..n)` that runs at the lowest processor
 * priority; among equals the one that won the fewest messages; then the first. Those that accept no
 * fixed interrupts (software-disabled) are passed over. Counts the win and returns the index, or
 * -1. Any CPU.
 */
int lapic_arbitrate(struct lapic *const *set, u32 n);

/* ---- state for user space ---- */

/*
 * KVM_GET_LAPIC: the registers as a page of LAPIC_PAGE_BYTES, aligned to 4. In x2APIC mode the ID
 * register holds all 32 bits with `ids32`, else ID << 24. A timer that is due by `now` is expired
 * first. Owner.
 */
void lapic_get_state(struct lapic *l, void *page, bool ids32, u64 now);

/*
 * KVM_SET_LAPIC: takes every writable bit of the page, derives the rest (version, x2APIC ID and
 * LDR, priorities) and restarts the count-down timer with TMCCT to go from `now`. As in KVM a TMCCT
 * of 0 expires a one-shot timer at once and gives a periodic one a whole period, because QEMU never
 * fills TMCCT in. The mode is that of APIC_BASE, which has to be set before. TSC_DEADLINE survives
 * if the timer was and is in that mode. -EINVAL, and nothing changed, if with `ids32` the page has
 * another x2APIC ID. Owner. Everything that LAPIC_FX_* can tell may have changed afterwards.
 */
int lapic_set_state(struct lapic *l, const void *page, bool ids32, u64 now);

#endif
