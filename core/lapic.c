// SPDX-License-Identifier: GPL-2.0-only
/* A child's local APIC. Interface, concurrency and time: see lapic.h. */
#include "core/lapic.h"

#define SLOT(off) ((off) >> 4)

/* A timer interval is counted in millionths of a TSC tick: ns * tsc_khz, exact, below 2^63. */
#define UNITS 1000000u

#define LOAD(p)	    __atomic_load_n(&(p), __ATOMIC_RELAXED)
#define STORE(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELAXED)

#define ICR_VECTOR	    0xffu
#define ICR_MODE_SHIFT	    8
#define ICR_LOGICAL	    BIT(11)
#define ICR_BUSY	    BIT(12)
#define ICR_ASSERT	    BIT(14)
#define ICR_LEVEL	    BIT(15)
#define ICR_SHORTHAND_SHIFT 18
#define ICR_X2APIC_RESERVED 0xfff32000ull

#define LVT_VECTOR 0xffu
#define LVT_MODE   0x700u
#define LVT_STATUS 0x5000u /* delivery status, remote IRR: read-only */
#define LVT_LINT   (LVT_VECTOR | LVT_MODE | LAPIC_LVT_POLARITY | LAPIC_LVT_LEVEL | LAPIC_LVT_MASKED)

enum {
	FIRST_LEGAL_VECTOR = 16
};

enum {
	RD = 1,	   /* readable in xAPIC mode */
	WR = 2,	   /* writable in xAPIC mode */
	RD_X2 = 4, /* readable in x2APIC mode */
	WR_X2 = 8, /* writable in x2APIC mode */
	RO = RD | RD_X2,
	RW = RO | WR | WR_X2,
};

/* Which registers exist, and what can be set in them; every other bit is reserved. */
static const struct {
	u32 bits;
	u32 access;
} regs[SLOT(LAPIC_PAGE_BYTES)] = {
	[SLOT(LAPIC_ID)] = { 0xff000000, RO | WR },
	[SLOT(LAPIC_VER)] = { 0, RO },
	[SLOT(LAPIC_TPR)] = { 0xff, RW },
	[SLOT(LAPIC_APR)] = { 0, RD },
	[SLOT(LAPIC_PPR)] = { 0, RO },
	[SLOT(LAPIC_EOI)] = { 0, WR | WR_X2 },
	[SLOT(LAPIC_RRD)] = { 0, RD },
	[SLOT(LAPIC_LDR)] = { 0xff000000, RO | WR },
	[SLOT(LAPIC_DFR)] = { 0xf0000000, RD | WR },
	[SLOT(LAPIC_SVR)] = { 0x3ff, RW },
	[SLOT(LAPIC_ISR)... SLOT(LAPIC_ESR) - 1] = { 0, RO },
	[SLOT(LAPIC_ESR)] = { 0, RW },
	[SLOT(LAPIC_ICR)] = { 0xccfff, RW }, /* in x2APIC mode: ICR_X2APIC_RESERVED */
	[SLOT(LAPIC_ICR2)] = { 0xff000000, RD | WR },
	[SLOT(LAPIC_LVTT)] = { LVT_VECTOR | LAPIC_LVT_MASKED | LAPIC_LVTT_MODE, RW },
	[SLOT(LAPIC_LVTTHMR)] = { LVT_VECTOR | LVT_MODE | LAPIC_LVT_MASKED, RW },
	[SLOT(LAPIC_LVTPC)] = { LVT_VECTOR | LVT_MODE | LAPIC_LVT_MASKED, RW },
	[SLOT(LAPIC_LVT0)] = { LVT_LINT, RW },
	[SLOT(LAPIC_LVT1)] = { LVT_LINT, RW },
	[SLOT(LAPIC_LVTERR)] = { LVT_VECTOR | LAPIC_LVT_MASKED, RW },
	[SLOT(LAPIC_TMICT)] = { 0xffffffff, RW },
	[SLOT(LAPIC_TMCCT)] = { 0, RO },
	[SLOT(LAPIC_TDCR)] = { 0xb, RW },
	[SLOT(LAPIC_SELF_IPI)] = { LVT_VECTOR, WR_X2 },
};

static bool has_reg(u32 off, u32 access)
{
	return off < LAPIC_PAGE_BYTES && (regs[SLOT(off)].access & access);
}

static u32 reg_bits(const struct lapic *l, u32 off)
{
	u32 bits = regs[SLOT(off)].bits;

	if (off == LAPIC_LVTT && !l->has_tsc_deadline)
		bits &= ~LAPIC_LVTT_TSCDL;
	return bits;
}

/* ---- bitmaps of vectors ---- */

static int highest(const u64 *map)
{
#pragma GCC unroll 4
	for (int i = 3; i >= 0; i--) {
		u64 word = LOAD(map[i]);

		if (word)
			return i * 64 + 63 - __builtin_clzll(word);
	}
	return -1;
}

static bool test_vector(const u64 *map, u8 v)
{
	return LOAD(map[v / 64]) & BIT(v % 64);
}

/* IRR, ISR and TMR read as 32 bits per slot. */
static u32 map_dword(const u64 *map, u32 slot)
{
	return LOAD(map[slot / 2]) >> (slot % 2 * 32);
}

/* ---- interrupts in ---- */

/* Does it take fixed interrupts? */
static bool accepts_fixed(const struct lapic *l)
{
	return lapic_hw_enabled(l) && (LOAD(l->svr) & LAPIC_SVR_ENABLE);
}

/* Set the vector in IRR. TMR first: whoever sees the request must see its trigger mode. */
static int request(struct lapic *l, u8 v, bool level)
{
	u64 bit = BIT(v % 64);

	if (unlikely(test_vector(l->tmr, v) != level)) {
		if (level)
			__atomic_fetch_or(&l->tmr[v / 64], bit, __ATOMIC_RELAXED);
		else
			__atomic_fetch_and(&l->tmr[v / 64], ~bit, __ATOMIC_RELAXED);
	}
	return !(__atomic_fetch_or(&l->irr[v / 64], bit, __ATOMIC_SEQ_CST) & bit);
}

/* Note an error; an error that was not noted yet raises LVTERR. True if that is a new interrupt. */
static bool error(struct lapic *l, u32 bit)
{
	u32 lvt = LOAD(l->lvt[LAPIC_LVT_ERROR]);

	if (__atomic_fetch_or(&l->esr_pending, bit, __ATOMIC_SEQ_CST) & bit)
		return false;
	if ((lvt & LAPIC_LVT_MASKED) || !accepts_fixed(l))
		return false;
	if ((u8)lvt < FIRST_LEGAL_VECTOR) {
		__atomic_fetch_or(&l->esr_pending, LAPIC_ESR_RECV_ILLEGAL, __ATOMIC_RELAXED);
		return false;
	}
	return request(l, lvt, false);
}

int lapic_post(struct lapic *l, u8 vector, bool level)
{
	if (unlikely(!accepts_fixed(l)))
		return -ENXIO;
	if (unlikely(vector < FIRST_LEGAL_VECTOR)) {
		error(l, LAPIC_ESR_RECV_ILLEGAL);
		return -EINVAL;
	}
	return request(l, vector, level);
}

static u32 deliver(struct lapic *l, u32 mode, u8 vector, bool level)
{
	switch (mode) {
	case LAPIC_MODE_FIXED:
	case LAPIC_MODE_LOWEST:
		switch (lapic_post(l, vector, level)) {
		case 0:
			return LAPIC_FX_COALESCED;
		case -ENXIO:
			return 0;
		default:
			return LAPIC_FX_RECHECK;
		}
	case LAPIC_MODE_SMI:
		return LAPIC_FX_SMI;
	case LAPIC_MODE_NMI:
		return LAPIC_FX_NMI;
	case LAPIC_MODE_INIT:
		return LAPIC_FX_INIT;
	case LAPIC_MODE_SIPI:
		return LAPIC_FX_SIPI;
	default:
		return 0;
	}
}

u32 lapic_accept(struct lapic *l, const struct lapic_ipi *ipi)
{
	bool deassert = ipi->trigger && !ipi->level;

	/* De-assert means something only to the P6's INIT, and there nothing to a processor. */
	if (deassert && (ipi->mode <= LAPIC_MODE_LOWEST || ipi->mode == LAPIC_MODE_INIT))
		return 0;
	if (unlikely(!lapic_hw_enabled(l)))
		return 0;
	return deliver(l, ipi->mode, ipi->vector, ipi->trigger);
}

u32 lapic_local_deliver(struct lapic *l, enum lapic_lvt n)
{
	u32 lvt = l->lvt[n];
	u32 mode = (lvt & LVT_MODE) >> ICR_MODE_SHIFT;

	if ((lvt & LAPIC_LVT_MASKED) || !lapic_hw_enabled(l))
		return 0;
	/* An LVT cannot send these two, APM vol. 2 table 16-3. */
	if (mode == LAPIC_MODE_LOWEST || mode == LAPIC_MODE_SIPI)
		return 0;
	return deliver(l, mode, lvt, lvt & LAPIC_LVT_LEVEL);
}

bool lapic_accepts_extint(const struct lapic *l)
{
	u32 lvt = LOAD(l->lvt[LAPIC_LVT_LINT0]);

	return !lapic_hw_enabled(l) || (lvt & (LVT_MODE | LAPIC_LVT_MASKED)) == LVT_MODE;
}

/* ---- interrupts out ---- */

u8 lapic_ppr(const struct lapic *l)
{
	int isrv = LOAD(l->isrv);
	u32 in_service = isrv < 0 ? 0 : isrv & 0xf0;
	u32 tpr = LOAD(l->tpr);

	return (tpr & 0xf0) >= in_service ? tpr : in_service;
}

int lapic_highest_irr(const struct lapic *l)
{
	return lapic_hw_enabled(l) ? highest(l->irr) : -1;
}

int lapic_pending(const struct lapic *l)
{
	int v = lapic_highest_irr(l);

	return v >= 0 && (v & 0xf0) > (lapic_ppr(l) & 0xf0) ? v : -1;
}

int lapic_ack(struct lapic *l)
{
	int v = lapic_pending(l);

	if (v < 0)
		return -1;
	__atomic_fetch_and(&l->irr[v / 64], ~BIT(v % 64), __ATOMIC_SEQ_CST);
	l->isr[v / 64] |= BIT(v % 64);
	STORE(l->isrv, v);
	return v;
}

int lapic_eoi(struct lapic *l)
{
	int v = l->isrv;

	if (unlikely(v < 0))
		return -1;
	l->isr[v / 64] &= ~BIT(v % 64);
	STORE(l->isrv, highest(l->isr));
	return test_vector(l->tmr, v) ? v : -1;
}

/* APM vol. 2 section 16.6.4. Used by nobody since the P6's bus, but readable. */
static u8 arbitration_priority(const struct lapic *l)
{
	u32 irrv = MAX(highest(l->irr), 0);
	u32 isrv = MAX(l->isrv, 0);

	if (l->tpr >> 4 >= irrv >> 4 && l->tpr >> 4 > isrv >> 4)
		return l->tpr;
	return MAX(MAX(l->tpr, irrv), isrv) & 0xf0;
}

static u32 set_tpr(struct lapic *l, u32 tpr)
{
	if (tpr == l->tpr)
		return 0;
	STORE(l->tpr, tpr);
	return LAPIC_FX_TPR | LAPIC_FX_RECHECK;
}

u32 lapic_set_cr8(struct lapic *l, u64 cr8)
{
	/* The same class again is most likely V_TPR read back: keep the sub-class then. */
	return cr8 == l->tpr >> 4 ? 0 : set_tpr(l, (cr8 & 0xf) << 4);
}

/* ---- timer ---- */

static u32 timer_mode(const struct lapic *l)
{
	return l->lvt[LAPIC_LVT_TIMER] & LAPIC_LVTT_MODE;
}

/* Log2 of the divider; the register's bits 3, 1 and 0 count 2, 4, ... 128, 1. */
static u32 divider_shift(u32 tdcr)
{
	return ((tdcr & 3) + ((tdcr & 8) >> 1) + 1) & 7;
}

static u64 count_units(const struct lapic *l, u32 count)
{
	return ((u64)count << divider_shift(l->tdcr)) * l->tsc_khz;
}

static u64 period_units(const struct lapic *l)
{
	return MAX(count_units(l, l->tmict), (u64)LAPIC_MIN_PERIOD_NS * l->tsc_khz);
}

/* (hi * 2^64 + lo) % d. Plain C would call a library's 128-bit division. */
static u64 mod_128(u64 hi, u64 lo, u64 d)
{
	u64 quotient, rest = hi % d;

	__asm__("divq %4" : "=a"(quotient), "=d"(rest) : "0"(lo), "1"(rest), "r"(d) : "cc");
	return rest;
}

/* A masked timer runs on without anybody to be woken for. */
static void update_wake(struct lapic *l)
{
	bool heard = !(l->lvt[LAPIC_LVT_TIMER] & LAPIC_LVT_MASKED) && lapic_hw_enabled(l);

	l->wake = heard ? l->expiry : LAPIC_NO_DEADLINE;
}

static void timer_stop(struct lapic *l)
{
	l->expiry = LAPIC_NO_DEADLINE;
	l->expiry_frac = 0;
	l->wake = LAPIC_NO_DEADLINE;
}

/* Let the timer expire `units` after `now`. */
static void timer_start(struct lapic *l, u64 now, u64 units)
{
	l->expiry = now + units / UNITS;
	l->expiry_frac = units % UNITS;
	update_wake(l);
}

static void start_count(struct lapic *l, u64 now)
{
	if (!l->tmict)
		timer_stop(l);
	else if (timer_mode(l) == LAPIC_LVTT_PERIOD)
		timer_start(l, now, period_units(l));
	else
		timer_start(l, now, count_units(l, l->tmict));
}

static void start_deadline(struct lapic *l, u64 now)
{
	u64 guest_now = now + l->tsc_offset;

	if (!l->tsc_deadline)
		timer_stop(l);
	else if (l->tsc_deadline <= guest_now)
		timer_start(l, now, 0);
	else if (l->tsc_deadline - guest_now >= LAPIC_NO_DEADLINE - now)
		timer_stop(l); /* after the end of the host's time */
	else
		timer_start(l, now + (l->tsc_deadline - guest_now), 0);
}

/*
 * How long, in units, from `now` to the first end of a period after it, when one ended at
 * l->expiry <= now. Periods are added exactly, so a timer that is polled late does not drift.
 */
static u64 to_next_period(const struct lapic *l, u64 now)
{
	u64 period = period_units(l);
	u64 lo, hi;

	/* Late by (now + 1 - expiry) ticks less the fraction; less 1, to land beyond and not upon. */
	__asm__("mulq %3" : "=a"(lo), "=d"(hi) : "0"(now + 1 - l->expiry), "r"((u64)UNITS) : "cc");
	hi -= lo < l->expiry_frac + 1u;
	lo -= l->expiry_frac + 1u;
	return UNITS + period - 1 - mod_128(hi, lo, period);
}

u32 lapic_timer_expire(struct lapic *l, u64 now)
{
	if (now < l->expiry || l->expiry == LAPIC_NO_DEADLINE)
		return 0;
	if (timer_mode(l) == LAPIC_LVTT_PERIOD) {
		timer_start(l, now, to_next_period(l, now));
	} else {
		timer_stop(l);
		l->tsc_deadline = 0;
	}
	return LAPIC_FX_TIMER | lapic_local_deliver(l, LAPIC_LVT_TIMER);
}

/* Units until the count-down timer expires; 0 if it does not run. */
static u64 remaining_units(const struct lapic *l, u64 now)
{
	if (l->expiry == LAPIC_NO_DEADLINE)
		return 0;
	if (now < l->expiry)
		return (l->expiry - now) * UNITS + l->expiry_frac;
	return timer_mode(l) == LAPIC_LVTT_PERIOD ? to_next_period(l, now) : 0;
}

static u32 current_count(const struct lapic *l, u64 now)
{
	u64 tick = count_units(l, 1);
	u64 count;

	if (timer_mode(l) == LAPIC_LVTT_TSCDL || !l->tmict)
		return 0;
	count = (remaining_units(l, now) + tick - 1) / tick;
	/* Where LAPIC_MIN_PERIOD_NS stretches the period the guest sees the counter wrap in between. */
	return count > l->tmict ? count % l->tmict : count;
}

static void set_tmict(struct lapic *l, u32 val, u64 now)
{
	if (timer_mode(l) == LAPIC_LVTT_TSCDL)
		return;
	l->tmict = val;
	start_count(l, now);
}

/* The counter keeps its value and goes on at the new rate. */
static void set_tdcr(struct lapic *l, u32 val, u64 now)
{
	u64 left = remaining_units(l, now);
	u32 was = divider_shift(l->tdcr);
	u32 is = divider_shift(val);

	l->tdcr = val;
	if (timer_mode(l) == LAPIC_LVTT_TSCDL || l->expiry == LAPIC_NO_DEADLINE)
		return;
	timer_start(l, now, is > was ? left << (is - was) : left >> (was - is));
}

u64 lapic_get_tsc_deadline(struct lapic *l, u64 now)
{
	return timer_mode(l) == LAPIC_LVTT_TSCDL && now < l->expiry ? l->tsc_deadline : 0;
}

u32 lapic_set_tsc_deadline(struct lapic *l, u64 val, u64 now)
{
	u32 fx = LAPIC_FX_TIMER;

	if (timer_mode(l) != LAPIC_LVTT_TSCDL || !lapic_hw_enabled(l))
		return 0;
	fx |= lapic_timer_expire(l, now);
	l->tsc_deadline = val;
	start_deadline(l, now);
	return fx;
}

u32 lapic_set_tsc_offset(struct lapic *l, u64 offset, u64 now)
{
	u32 fx = 0;

	if (l->tsc_deadline) {
		fx = LAPIC_FX_TIMER | lapic_timer_expire(l, now);
		l->tsc_offset = offset;
		start_deadline(l, now);
	}
	l->tsc_offset = offset;
	return fx;
}

/* ---- registers ---- */

static u32 x2apic_ldr(u32 id)
{
	return id >> 4 << 16 | 1u << (id & 0xf);
}

static u32 soft_masked(const struct lapic *l, u32 lvt)
{
	return l->svr & LAPIC_SVR_ENABLE ? lvt : lvt | LAPIC_LVT_MASKED;
}

static void set_lvt(struct lapic *l, u32 n, u32 val)
{
	u32 was = timer_mode(l);

	STORE(l->lvt[n], soft_masked(l, val));
	if (n != LAPIC_LVT_TIMER)
		return;
	/* Between one-shot and periodic the counter runs on; TSC deadline starts from nothing. */
	if ((was == LAPIC_LVTT_TSCDL) != (timer_mode(l) == LAPIC_LVTT_TSCDL)) {
		l->tmict = 0;
		l->tsc_deadline = 0;
		timer_stop(l);
	}
	update_wake(l);
}

static void set_svr(struct lapic *l, u32 val)
{
	STORE(l->svr, val);
	if (val & LAPIC_SVR_ENABLE)
		return;
	for (u32 n = 0; n < LAPIC_NR_LVT; n++)
		STORE(l->lvt[n], l->lvt[n] | LAPIC_LVT_MASKED);
	update_wake(l);
}

static bool has_vector(const struct lapic_ipi *ipi)
{
	return ipi->mode <= LAPIC_MODE_LOWEST;
}

/* Act on what was written to the ICR. */
static u32 send_ipi(struct lapic *l, struct lapic_ipi *ipi)
{
	bool x2 = lapic_x2apic(l);
	u32 icr = l->icr;
	u32 dest = x2 ? l->icr >> 32 : l->icr >> 56;
	bool everybody = dest == (x2 ? UINT32_MAX : 0xff);

	*ipi = (struct lapic_ipi){
		.dest = dest,
		.vector = icr & ICR_VECTOR,
		.mode = icr >> ICR_MODE_SHIFT & 7,
		.shorthand = icr >> ICR_SHORTHAND_SHIFT & 3,
		.logical = icr & ICR_LOGICAL,
		.level = icr & ICR_ASSERT,
		.trigger = icr & ICR_LEVEL,
	};
	/* No arbitration among everybody (SDM, "Lowest Priority Delivery Mode"): each one gets it. */
	ipi->lowest =
		ipi->mode == LAPIC_MODE_LOWEST && !ipi->shorthand && (ipi->logical || !everybody);

	if (has_vector(ipi) && unlikely(ipi->vector < FIRST_LEGAL_VECTOR))
		return error(l, LAPIC_ESR_SEND_ILLEGAL) ? LAPIC_FX_RECHECK : 0;
	if (ipi->mode == LAPIC_MODE_REMRD || ipi->mode == LAPIC_MODE_EXTINT)
		return 0;
	if (has_vector(ipi) && ipi->shorthand == LAPIC_SH_SELF)
		return lapic_accept(l, ipi);
	return LAPIC_FX_IPI;
}

static u32 self_ipi(struct lapic *l, u8 vector)
{
	if (unlikely(vector < FIRST_LEGAL_VECTOR))
		return error(l, LAPIC_ESR_SEND_ILLEGAL) ? LAPIC_FX_RECHECK : 0;
	return deliver(l, LAPIC_MODE_FIXED, vector, false);
}

static u32 write_eoi(struct lapic *l, struct lapic_fx *fx)
{
	int v = lapic_eoi(l);

	if (v < 0)
		return LAPIC_FX_RECHECK;
	fx->eoi_vector = v;
	return LAPIC_FX_EOI | LAPIC_FX_RECHECK;
}

/* Write a register that the mode has; reserved bits of `val` are 0. Returns the effects. */
static u32 reg_write(struct lapic *l, u32 off, u32 val, u64 now, struct lapic_fx *fx)
{
	u32 flags;

	switch (off) {
	case LAPIC_EOI:
		return write_eoi(l, fx);
	case LAPIC_TPR:
		return set_tpr(l, val);
	case LAPIC_ICR:
		l->icr = (l->icr & ~(u64)UINT32_MAX) | val;
		return send_ipi(l, &fx->ipi);
	case LAPIC_ICR2:
		l->icr = (u32)l->icr | (u64)val << 32;
		return 0;
	case LAPIC_SELF_IPI:
		return self_ipi(l, val);
	case LAPIC_ID:
		STORE(l->id, val >> 24);
		return 0;
	case LAPIC_LDR:
		STORE(l->ldr, val);
		return 0;
	case LAPIC_DFR:
		STORE(l->dfr, val | LAPIC_DFR_CLUSTER);
		return 0;
	case LAPIC_ESR:
		l->esr = __atomic_exchange_n(&l->esr_pending, 0, __ATOMIC_RELAXED);
		return 0;
	case LAPIC_LVTTHMR:
	case LAPIC_LVTPC:
	case LAPIC_LVT0:
	case LAPIC_LVT1:
	case LAPIC_LVTERR:
		set_lvt(l, SLOT(off - LAPIC_LVTT), val);
		return LAPIC_FX_RECHECK;
	}

	/* The rest changes the timer. What it did until now happened under the old settings. */
	flags = LAPIC_FX_TIMER | LAPIC_FX_RECHECK | lapic_timer_expire(l, now);
	switch (off) {
	case LAPIC_SVR:
		set_svr(l, val);
		break;
	case LAPIC_LVTT:
		set_lvt(l, LAPIC_LVT_TIMER, val);
		break;
	case LAPIC_TMICT:
		set_tmict(l, val, now);
		break;
	case LAPIC_TDCR:
		set_tdcr(l, val, now);
		break;
	}
	return flags;
}

static u32 reg_read(const struct lapic *l, u32 off, u64 now)
{
	switch (off) {
	case LAPIC_ID:
		return lapic_x2apic(l) ? l->id : l->id << 24;
	case LAPIC_VER:
		return LAPIC_VERSION;
	case LAPIC_TPR:
		return l->tpr;
	case LAPIC_APR:
		return arbitration_priority(l);
	case LAPIC_PPR:
		return lapic_ppr(l);
	case LAPIC_LDR:
		return l->ldr;
	case LAPIC_DFR:
		return l->dfr;
	case LAPIC_SVR:
		return l->svr;
	case LAPIC_ESR:
		return l->esr;
	case LAPIC_ICR:
		return l->icr;
	case LAPIC_ICR2:
		return l->icr >> 32;
	case LAPIC_TMICT:
		return l->tmict;
	case LAPIC_TMCCT:
		return current_count(l, now);
	case LAPIC_TDCR:
		return l->tdcr;
	}
	if (off >= LAPIC_ISR && off < LAPIC_TMR)
		return map_dword(l->isr, SLOT(off - LAPIC_ISR));
	if (off >= LAPIC_TMR && off < LAPIC_IRR)
		return map_dword(l->tmr, SLOT(off - LAPIC_TMR));
	if (off >= LAPIC_IRR && off < LAPIC_ESR)
		return map_dword(l->irr, SLOT(off - LAPIC_IRR));
	if (off >= LAPIC_LVTT && off <= LAPIC_LVTERR)
		return l->lvt[SLOT(off - LAPIC_LVTT)];
	return 0;
}

u64 lapic_mmio_read(struct lapic *l, u32 off, u32 len, u64 now)
{
	u32 slot = off & ~0xfu;
	u32 shift = (off & 0xf) * 8;
	u64 val;

	if (unlikely(!lapic_hw_enabled(l) || lapic_x2apic(l)))
		return len < 8 ? BIT(8 * len) - 1 : UINT64_MAX;
	if (unlikely((len != 1 && len != 2 && len != 4) || (off & 0xf) + len > 4))
		return 0;
	if (unlikely(!has_reg(slot, RD))) {
		if (!has_reg(slot, WR))
			error(l, LAPIC_ESR_ILLEGAL_REG);
		return 0;
	}
	val = reg_read(l, slot, now) >> shift;
	return val & (BIT(8 * len) - 1);
}

void lapic_mmio_write(struct lapic *l, u32 off, u32 len, u32 val, u64 now, struct lapic_fx *fx)
{
	fx->flags = 0;
	if (unlikely(!lapic_hw_enabled(l) || lapic_x2apic(l)))
		return;
	if (unlikely(len != 4 || (off & 0xf)))
		return;
	if (likely(off == LAPIC_EOI))
		fx->flags = write_eoi(l, fx);
	else if (off == LAPIC_TPR)
		fx->flags = set_tpr(l, val & 0xff);
	else if (likely(has_reg(off, WR)))
		fx->flags = reg_write(l, off, val & reg_bits(l, off), now, fx);
	else if (!has_reg(off, RD) && error(l, LAPIC_ESR_ILLEGAL_REG))
		fx->flags = LAPIC_FX_RECHECK;
}

static u32 msr_offset(u32 msr)
{
	return (msr - LAPIC_MSR_FIRST) << 4;
}

int lapic_msr_read(struct lapic *l, u32 msr, u64 *val, u64 now)
{
	u32 off = msr_offset(msr);

	if (!lapic_x2apic(l) || !has_reg(off, RD_X2))
		return -EINVAL;
	*val = off == LAPIC_ICR ? l->icr : reg_read(l, off, now);
	return 0;
}

static int write_x2apic_icr(struct lapic *l, u64 val, struct lapic_fx *fx)
{
	if (val & ICR_X2APIC_RESERVED)
		return -EINVAL;
	l->icr = val & ~ICR_BUSY;
	fx->flags = send_ipi(l, &fx->ipi);
	return 0;
}

int lapic_msr_write(struct lapic *l, u32 msr, u64 val, u64 now, struct lapic_fx *fx)
{
	u32 off = msr_offset(msr);
	u32 bits, ignored = 0;

	fx->flags = 0;
	if (!lapic_x2apic(l) || !has_reg(off, WR_X2))
		return -EINVAL;
	if (off == LAPIC_ICR)
		return write_x2apic_icr(l, val, fx);
	if (off >= LAPIC_LVTT && off <= LAPIC_LVTERR)
		ignored = LVT_STATUS;
	bits = reg_bits(l, off);
	if (val & ~(u64)(bits | ignored))
		return -EINVAL;
	fx->flags = reg_write(l, off, val & bits, now, fx);
	return 0;
}

/* A valid APIC_BASE for this processor? */
static bool base_valid(const struct lapic *l, u64 val)
{
	u64 may = LAPIC_BASE_BSP | LAPIC_BASE_EN | ((BIT(l->maxphyaddr) - 1) & PAGE_MASK);

	if (l->has_x2apic)
		may |= LAPIC_BASE_EXTD;
	if (val & ~may)
		return false;
	return (val & LAPIC_BASE_EN) || !(val & LAPIC_BASE_EXTD);
}

/* What a guest may do: SDM figure "Local x2APIC State Transitions". */
static bool transition_valid(u64 old, u64 new)
{
	if (old & LAPIC_BASE_EXTD)
		return (new &LAPIC_BASE_EXTD) || !(new &LAPIC_BASE_EN);
	return (old & LAPIC_BASE_EN) || !(new &LAPIC_BASE_EXTD);
}

int lapic_set_base(struct lapic *l, u64 val, bool host, u64 now, struct lapic_fx *fx)
{
	u64 old = l->base;

	fx->flags = 0;
	if (!base_valid(l, val) || (!host && !transition_valid(old, val)))
		return -EINVAL;
	if (val == old)
		return 0;
	fx->flags = LAPIC_FX_BASE | LAPIC_FX_TIMER | LAPIC_FX_RECHECK | lapic_timer_expire(l, now);
	STORE(l->base, val);
	if ((old ^ val) & LAPIC_BASE_EXTD) {
		bool x2 = val & LAPIC_BASE_EXTD;

		STORE(l->id, x2 ? l->boot_id : (u8)l->boot_id);
		STORE(l->ldr, x2 ? x2apic_ldr(l->boot_id) : 0);
		l->icr = (u32)l->icr; /* the destination has another format, too */
	} else if (val & ~old & LAPIC_BASE_EN) {
		STORE(l->id, (u8)l->boot_id);
	}
	update_wake(l);
	return 0;
}

/* ---- life ---- */

void lapic_reset(struct lapic *l, enum lapic_reset kind)
{
	if (kind == LAPIC_POWER_ON) {
		STORE(l->base, LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | (l->bsp ? LAPIC_BASE_BSP : 0));
		STORE(l->id, (u8)l->boot_id);
	}
	for (u32 i = 0; i < ARRAY_SIZE(l->irr); i++) {
		STORE(l->irr[i], 0);
		STORE(l->tmr[i], 0);
		l->isr[i] = 0;
	}
	STORE(l->isrv, -1);
	STORE(l->svr, 0xff);
	STORE(l->tpr, 0);
	for (u32 n = 0; n < LAPIC_NR_LVT; n++)
		STORE(l->lvt[n], LAPIC_LVT_MASKED);
	if (l->bsp)
		STORE(l->lvt[LAPIC_LVT_LINT0], LVT_MODE); /* ExtINT */
	if (!lapic_x2apic(l))
		STORE(l->ldr, 0);
	STORE(l->dfr, LAPIC_DFR_FLAT);
	STORE(l->esr_pending, 0);
	STORE(l->arb, 0);
	l->esr = 0;
	l->icr = 0;
	l->tmict = 0;
	l->tdcr = 0;
	l->tsc_deadline = 0;
	timer_stop(l);
}

void lapic_init(struct lapic *l, const struct lapic_config *cfg)
{
	*l = (struct lapic){
		.boot_id = cfg->id,
		.bsp = cfg->bsp,
		.tsc_khz = MIN(MAX(cfg->tsc_khz, 1), LAPIC_MAX_TSC_KHZ),
	};
	lapic_set_features(l, true, true, 52);
	lapic_reset(l, LAPIC_POWER_ON);
}

void lapic_set_features(struct lapic *l, bool x2apic, bool tsc_deadline, u8 maxphyaddr)
{
	l->has_x2apic = x2apic;
	l->has_tsc_deadline = tsc_deadline;
	l->maxphyaddr = MIN(MAX(maxphyaddr, 32), 52);
}

/* ---- messages ---- */

int lapic_msi_decode(struct lapic_ipi *ipi, u64 addr, u32 data, u32 flags)
{
	bool redirection_hint = addr & BIT(3);

	*ipi = (struct lapic_ipi){
		.dest = addr >> 12 & 0xff,
		.vector = data,
		.mode = data >> 8 & 7,
		.logical = addr & BIT(2),
		.level = true,
		.trigger = data & BIT(15),
	};
	if (flags & LAPIC_MSI_IDS32) {
		if (addr >> 32 & 0xff)
			return -EINVAL;
		ipi->dest |= addr >> 32;
	}
	ipi->bcast8 = (flags & LAPIC_MSI_BCAST8) && ipi->dest == 0xff;
	ipi->lowest = (ipi->mode == LAPIC_MODE_LOWEST || redirection_hint) &&
		      (ipi->logical || ipi->dest != 0xff);
	return 0;
}

static bool matches_physical(const struct lapic *l, bool x2, u32 dest)
{
	/* As in KVM an ID that does not fit an xAPIC's 8 bits is heard before x2APIC mode, too. */
	if (!x2 && l->boot_id > 0xff && dest == l->boot_id)
		return true;
	return dest == LOAD(l->id);
}

static bool matches_logical(const struct lapic *l, bool x2, u32 dest)
{
	u32 ldr = LOAD(l->ldr);

	if (x2)
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	ldr >>= 24;
	switch (LOAD(l->dfr)) {
	case LAPIC_DFR_FLAT:
		return ldr & dest;
	case LAPIC_DFR_CLUSTER:
		return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
	default:
		return false;
	}
}

bool lapic_ipi_matches(const struct lapic *target, const struct lapic_ipi *ipi,
		       const struct lapic *src)
{
	u64 base = lapic_base(target);
	bool x2 = base & LAPIC_BASE_EXTD;

	if (unlikely(!(base & LAPIC_BASE_EN)))
		return false;
	switch (ipi->shorthand) {
	case LAPIC_SH_SELF:
		return target == src;
	case LAPIC_SH_ALL:
		return true;
	case LAPIC_SH_OTHERS:
		return target != src;
	}
	if (ipi->dest == (x2 ? UINT32_MAX : 0xff) || (x2 && ipi->bcast8))
		return true;
	return ipi->logical ? matches_logical(target, x2, ipi->dest)
			    : matches_physical(target, x2, ipi->dest);
}

/* Is `a` to be preferred to `b`? The counter may wrap. */
static bool lower_priority(const struct lapic *a, const struct lapic *b)
{
	u32 pa = lapic_ppr(a) >> 4, pb = lapic_ppr(b) >> 4;

	return pa < pb || (pa == pb && (s32)(LOAD(a->arb) - LOAD(b->arb)) < 0);
}

int lapic_arbitrate(struct lapic *const *set, u32 n)
{
	int best = -1;

	for (u32 i = 0; i < n; i++)
		if (accepts_fixed(set[i]) && (best < 0 || lower_priority(set[i], set[best])))
			best = i;
	if (best >= 0)
		__atomic_fetch_add(&set[best]->arb, 1, __ATOMIC_RELAXED);
	return best;
}

/* ---- state for user space ---- */

void lapic_get_state(struct lapic *l, void *page, bool ids32, u64 now)
{
	u32 *p = page;

	lapic_timer_expire(l, now);
	for (u32 i = 0; i < LAPIC_PAGE_BYTES / 4; i++)
		p[i] = i % 4 ? 0 : reg_read(l, i * 4, now);
	if (lapic_x2apic(l) && !ids32)
		p[LAPIC_ID / 4] = l->id << 24;
}

static void set_map(u64 *map, const u32 *slots)
{
	for (u32 i = 0; i < 4; i++) {
		u64 word = slots[i * 8] | (u64)slots[i * 8 + 4] << 32;

		if (i == 0)
			word &= ~(BIT(FIRST_LEGAL_VECTOR) - 1);
		STORE(map[i], word);
	}
}

static void restart_timer(struct lapic *l, u32 count, u64 now)
{
	if (timer_mode(l) == LAPIC_LVTT_TSCDL)
		start_deadline(l, now);
	else if (count && count <= l->tmict)
		timer_start(l, now, count_units(l, count));
	else if (!count && l->tmict && timer_mode(l) != LAPIC_LVTT_PERIOD)
		timer_start(l, now, 0);
	else
		start_count(l, now);
}

int lapic_set_state(struct lapic *l, const void *page, bool ids32, u64 now)
{
	const u32 *p = page;
	bool x2 = lapic_x2apic(l);
	bool was_deadline = timer_mode(l) == LAPIC_LVTT_TSCDL;

#define PAGE_REG(off) (p[(off) / 4] & reg_bits(l, off))
	if (x2 && ids32 && p[LAPIC_ID / 4] != l->boot_id)
		return -EINVAL;
	if (!x2) {
		STORE(l->id, PAGE_REG(LAPIC_ID) >> 24);
		STORE(l->ldr, PAGE_REG(LAPIC_LDR));
	}
	STORE(l->dfr, PAGE_REG(LAPIC_DFR) | LAPIC_DFR_CLUSTER);
	STORE(l->svr, PAGE_REG(LAPIC_SVR));
	STORE(l->tpr, PAGE_REG(LAPIC_TPR));
	for (u32 n = 0; n < LAPIC_NR_LVT; n++)
		STORE(l->lvt[n], soft_masked(l, PAGE_REG(LAPIC_LVTT + 16 * n)));
	set_map(l->tmr, &p[LAPIC_TMR / 4]);
	set_map(l->isr, &p[LAPIC_ISR / 4]);
	set_map(l->irr, &p[LAPIC_IRR / 4]);
	STORE(l->isrv, highest(l->isr));
	STORE(l->esr_pending, 0);
	STORE(l->arb, 0);
	l->esr = p[LAPIC_ESR / 4] & 0xff;
	l->icr = (p[LAPIC_ICR / 4] & ~(ICR_X2APIC_RESERVED | ICR_BUSY)) |
		 (u64)(x2 ? p[LAPIC_ICR2 / 4] : PAGE_REG(LAPIC_ICR2)) << 32;
	l->tmict = PAGE_REG(LAPIC_TMICT);
	l->tdcr = PAGE_REG(LAPIC_TDCR);
#undef PAGE_REG
	if (!was_deadline || timer_mode(l) != LAPIC_LVTT_TSCDL)
		l->tsc_deadline = 0;
	restart_timer(l, p[LAPIC_TMCCT / 4], now);
	return 0;
}
