// SPDX-License-Identifier: GPL-2.0-only
/* The children's local APIC (core/lapic.c), L8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <cmocka.h>

#include "core/lapic.h"

typedef unsigned __int128 u128;

#define KHZ   2893124u /* not a multiple of anything, so that rounding shows */
#define UNITS 1000000u
#define T0    0x123456789abcull

static struct lapic_fx fx;
static u64 now;

static struct lapic make(u32 id)
{
	struct lapic l;

	lapic_init(&l, &(struct lapic_config){ .id = id, .tsc_khz = KHZ, .bsp = id == 0 });
	now = T0;
	return l;
}

static u32 rd(struct lapic *l, u32 off)
{
	return lapic_mmio_read(l, off, 4, now);
}

static u32 wr(struct lapic *l, u32 off, u32 val)
{
	lapic_mmio_write(l, off, 4, val, now, &fx);
	return fx.flags;
}

static int wrmsr(struct lapic *l, u32 off, u64 val)
{
	return lapic_msr_write(l, 0x800 + off / 16, val, now, &fx);
}

static int rdmsr(struct lapic *l, u32 off, u64 *val)
{
	return lapic_msr_read(l, 0x800 + off / 16, val, now);
}

static int set_base(struct lapic *l, u64 bits, bool host)
{
	return lapic_set_base(l, LAPIC_BASE_DEFAULT | bits, host, now, &fx);
}

/* An enabled one. */
static struct lapic make_on(u32 id)
{
	struct lapic l = make(id);

	wr(&l, LAPIC_SVR, 0x1ff);
	return l;
}

static struct lapic make_x2(u32 id)
{
	struct lapic l = make_on(id);

	assert_int_equal(set_base(&l, LAPIC_BASE_EN | LAPIC_BASE_EXTD, false), 0);
	return l;
}

static u64 ms(u64 n)
{
	return n * KHZ;
}

/* ---- reset ---- */

static void test_power_on(void **state)
{
	struct lapic l = make(5);

	(void)state;
	assert_int_equal(rd(&l, LAPIC_ID), 5u << 24);
	assert_int_equal(rd(&l, LAPIC_VER), 0x50014);
	assert_int_equal(rd(&l, LAPIC_TPR), 0);
	assert_int_equal(rd(&l, LAPIC_APR), 0);
	assert_int_equal(rd(&l, LAPIC_PPR), 0);
	assert_int_equal(rd(&l, LAPIC_LDR), 0);
	assert_int_equal(rd(&l, LAPIC_DFR), 0xffffffff);
	assert_int_equal(rd(&l, LAPIC_SVR), 0xff);
	for (u32 off = LAPIC_ISR; off < LAPIC_ESR; off += 16)
		assert_int_equal(rd(&l, off), 0);
	for (u32 off = LAPIC_LVTT; off <= LAPIC_LVTERR; off += 16)
		assert_int_equal(rd(&l, off), 0x10000);
	assert_int_equal(rd(&l, LAPIC_ICR), 0);
	assert_int_equal(rd(&l, LAPIC_ICR2), 0);
	assert_int_equal(rd(&l, LAPIC_TMICT), 0);
	assert_int_equal(rd(&l, LAPIC_TMCCT), 0);
	assert_int_equal(rd(&l, LAPIC_TDCR), 0);
	wr(&l, LAPIC_ESR, 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0);
	assert_int_equal(lapic_base(&l), 0xfee00800);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_false(lapic_accepts_extint(&l));

	l = make(0);
	assert_int_equal(lapic_base(&l), 0xfee00900);
	assert_int_equal(rd(&l, LAPIC_LVT0), 0x700);
	assert_true(lapic_accepts_extint(&l));
}

/* Fill everything that a reset has to clear. */
static void soil(struct lapic *l)
{
	wr(l, LAPIC_SVR, 0x1ff);
	wr(l, LAPIC_ID, 0x77u << 24);
	wr(l, LAPIC_TPR, 0x35);
	wr(l, LAPIC_LDR, 0x02000000);
	wr(l, LAPIC_DFR, 0);
	wr(l, LAPIC_ICR2, 0x11000000);
	wr(l, LAPIC_ICR, 0x4050);
	for (u32 off = LAPIC_LVTT; off <= LAPIC_LVTERR; off += 16)
		wr(l, off, 0x66);
	wr(l, LAPIC_TDCR, 0xb);
	wr(l, LAPIC_TMICT, 1000000);
	lapic_post(l, 0x51, true);
	lapic_post(l, 0x5, false); /* to ESR and LVTERR, 0x66 */
	assert_int_equal(lapic_ack(l), 0x66);
	assert_int_equal(lapic_post(l, 0x66, false), 1);
	wr(l, LAPIC_ESR, 0);
	lapic_post(l, 0x5, false);
	l->arb = 3;
}

static void test_init_and_reset(void **state)
{
	struct lapic l = make(0), fresh = make(0);

	(void)state;
	soil(&l);
	assert_int_not_equal(memcmp(&l, &fresh, sizeof(l)), 0);
	set_base(&l, 0x10000 | LAPIC_BASE_EN, false);
	lapic_reset(&l, LAPIC_POWER_ON);
	assert_memory_equal(&l, &fresh, sizeof(l));

	/* INIT keeps ID and APIC_BASE; BSP stays as the guest left it. */
	soil(&l);
	set_base(&l, 0x10000 | LAPIC_BASE_EN, false);
	lapic_reset(&l, LAPIC_INIT);
	assert_int_equal(lapic_base(&l), 0xfee10800);
	assert_int_equal(rd(&l, LAPIC_ID), 0x77u << 24);
	fresh.base = l.base;
	fresh.id = l.id;
	assert_memory_equal(&l, &fresh, sizeof(l));

	/* In x2APIC mode LDR stays, too. */
	l = make_x2(0x25);
	lapic_post(&l, 0x99, false);
	lapic_reset(&l, LAPIC_INIT);
	assert_true(lapic_x2apic(&l));
	assert_int_equal(l.id, 0x25);
	assert_int_equal(l.ldr, 0x20020);
	assert_int_equal(lapic_highest_irr(&l), -1);
	lapic_reset(&l, LAPIC_POWER_ON);
	assert_false(lapic_x2apic(&l));
	assert_int_equal(rd(&l, LAPIC_LDR), 0);
	assert_int_equal(rd(&l, LAPIC_ID), 0x25u << 24);

	/* A pending deadline dies. */
	l = make_on(1);
	wr(&l, LAPIC_LVTT, 0x40050);
	lapic_set_tsc_deadline(&l, now + 5, now);
	lapic_reset(&l, LAPIC_INIT);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_timer_poll(&l, now + 100), 0);
	wr(&l, LAPIC_SVR, 0x1ff);
	wr(&l, LAPIC_LVTT, 0x40050);
	assert_int_equal(lapic_get_tsc_deadline(&l, now), 0);
}

/* ---- acceptance and priorities ---- */

static void test_post_ack_eoi(void **state)
{
	struct lapic l = make(1);

	(void)state;
	assert_int_equal(lapic_post(&l, 0x40, false), -ENXIO); /* SVR says off */
	assert_int_equal(lapic_highest_irr(&l), -1);
	wr(&l, LAPIC_SVR, 0x1ff);
	assert_int_equal(lapic_eoi(&l), -1);
	assert_int_equal(lapic_ack(&l), -1);
	for (int v = 0; v < 256; v++) {
		if (v < 16) {
			assert_int_equal(lapic_post(&l, v, false), -EINVAL);
			assert_int_equal(lapic_highest_irr(&l), -1);
			continue;
		}
		assert_int_equal(lapic_post(&l, v, v & 1), 1);
		assert_int_equal(lapic_post(&l, v, v & 1), 0);
		assert_int_equal(rd(&l, LAPIC_IRR + v / 32 * 16), 1u << v % 32);
		assert_int_equal(!!(rd(&l, LAPIC_TMR + v / 32 * 16) & 1u << v % 32), v & 1);
		assert_int_equal(lapic_pending(&l), v);
		assert_int_equal(lapic_ack(&l), v);
		assert_int_equal(rd(&l, LAPIC_IRR + v / 32 * 16), 0);
		assert_int_equal(rd(&l, LAPIC_ISR + v / 32 * 16), 1u << v % 32);
		assert_int_equal(rd(&l, LAPIC_PPR), v & 0xf0);
		/* The same again waits for the EOI. */
		assert_int_equal(lapic_post(&l, v, v & 1), 1);
		assert_int_equal(lapic_ack(&l), -1);
		assert_int_equal(lapic_eoi(&l), v & 1 ? v : -1);
		assert_int_equal(lapic_ack(&l), v);
		fx.eoi_vector = 0;
		assert_int_equal(wr(&l, LAPIC_EOI, 0),
				 LAPIC_FX_RECHECK | (v & 1 ? LAPIC_FX_EOI : 0));
		assert_int_equal(fx.eoi_vector, v & 1 ? v : 0);
		assert_int_equal(rd(&l, LAPIC_ISR + v / 32 * 16), 0);
		/* The trigger mode is that of the last request. */
		lapic_post(&l, v, true);
		lapic_ack(&l);
		lapic_eoi(&l);
		lapic_post(&l, v, false);
		assert_int_equal(lapic_ack(&l), v);
		assert_int_equal(lapic_eoi(&l), -1);
	}
}

/* Every pair of vectors and every TPR: who goes first, who may interrupt whom. */
static void test_priorities(void **state)
{
	struct lapic l = make_on(1);

	(void)state;
	for (int a = 16; a < 256; a += 3) {
		for (int b = 16; b < 256; b++) {
			bool preempts = b / 16 > a / 16;

			lapic_post(&l, a, false);
			assert_int_equal(lapic_ack(&l), a);
			lapic_post(&l, b, false);
			assert_int_equal(lapic_highest_irr(&l), b);
			assert_int_equal(lapic_pending(&l), preempts ? b : -1);
			assert_int_equal(lapic_ack(&l), preempts ? b : -1);
			assert_int_equal(lapic_ppr(&l), (preempts ? b : a) & 0xf0);
			lapic_eoi(&l);
			assert_int_equal(lapic_ack(&l), preempts ? -1 : b);
			lapic_eoi(&l);
			assert_int_equal(lapic_ppr(&l), 0);
		}
	}
	for (int tpr = 0; tpr < 256; tpr++) {
		int changed = tpr ? LAPIC_FX_TPR | LAPIC_FX_RECHECK : 0;

		assert_int_equal(wr(&l, LAPIC_TPR, tpr | 0xab00), changed);
		assert_int_equal(rd(&l, LAPIC_TPR), tpr);
		assert_int_equal(lapic_get_cr8(&l), tpr >> 4);
		for (int v = 16; v < 256; v++) {
			lapic_post(&l, v, false);
			assert_int_equal(lapic_ppr(&l), tpr);
			assert_int_equal(lapic_pending(&l), v / 16 > tpr / 16 ? v : -1);
			wr(&l, LAPIC_TPR, 0);
			assert_int_equal(lapic_ack(&l), v);
			wr(&l, LAPIC_TPR, tpr);
			assert_int_equal(lapic_ppr(&l), tpr / 16 >= v / 16 ? tpr : v & 0xf0);
			lapic_eoi(&l);
		}
		wr(&l, LAPIC_TPR, 0);
	}
}

static void test_cr8(void **state)
{
	struct lapic l = make_on(1);

	(void)state;
	assert_int_equal(lapic_set_cr8(&l, 0), 0);
	for (u64 cr8 = 1; cr8 < 16; cr8++) {
		assert_int_equal(lapic_set_cr8(&l, cr8), LAPIC_FX_TPR | LAPIC_FX_RECHECK);
		assert_int_equal(rd(&l, LAPIC_TPR), cr8 << 4);
		assert_int_equal(lapic_get_cr8(&l), cr8);
	}
	wr(&l, LAPIC_TPR, 0x37);
	assert_int_equal(lapic_set_cr8(&l, 3), 0);
	assert_int_equal(rd(&l, LAPIC_TPR), 0x37);
	assert_int_equal(lapic_set_cr8(&l, 2), LAPIC_FX_TPR | LAPIC_FX_RECHECK);
	assert_int_equal(rd(&l, LAPIC_TPR), 0x20);
	/* CR8 lives on with the APIC disabled. */
	set_base(&l, 0, false);
	lapic_set_cr8(&l, 9);
	assert_int_equal(lapic_get_cr8(&l), 9);
}

static void test_apr(void **state)
{
	struct lapic l = make_on(1);

	(void)state;
	wr(&l, LAPIC_TPR, 0x45);
	assert_int_equal(rd(&l, LAPIC_APR), 0x45);
	lapic_post(&l, 0x4f, false); /* same class: TPR wins */
	assert_int_equal(rd(&l, LAPIC_APR), 0x45);
	lapic_post(&l, 0x61, false);
	assert_int_equal(rd(&l, LAPIC_APR), 0x60);
	lapic_ack(&l);
	assert_int_equal(rd(&l, LAPIC_APR), 0x60);
	wr(&l, LAPIC_TPR, 0x65); /* equal to what is in service: no sub-class */
	assert_int_equal(rd(&l, LAPIC_APR), 0x60);
	wr(&l, LAPIC_TPR, 0x75);
	assert_int_equal(rd(&l, LAPIC_APR), 0x75);
}

/* ---- register access ---- */

static void test_mmio_shapes(void **state)
{
	struct lapic l = make_on(0xa5);

	(void)state;
	assert_true(lapic_mmio_hit(&l, 0xfee00000));
	assert_true(lapic_mmio_hit(&l, 0xfee00fff));
	assert_false(lapic_mmio_hit(&l, 0xfee01000));
	assert_false(lapic_mmio_hit(&l, 0xfedfffff));
	assert_false(lapic_mmio_hit(&l, 0x1fee00000));

	wr(&l, LAPIC_LDR, 0x12345678);
	assert_int_equal(rd(&l, LAPIC_LDR), 0x12000000);
	assert_int_equal(lapic_mmio_read(&l, LAPIC_VER, 1, now), 0x14);
	assert_int_equal(lapic_mmio_read(&l, LAPIC_VER + 2, 1, now), 0x05);
	assert_int_equal(lapic_mmio_read(&l, LAPIC_VER + 2, 2, now), 0x0005);
	assert_int_equal(lapic_mmio_read(&l, LAPIC_VER + 1, 2, now), 0x0500);
	assert_int_equal(lapic_mmio_read(&l, LAPIC_LDR + 3, 1, now), 0x12);
	for (u32 len = 0; len < 9; len++)
		for (u32 shift = 0; shift < 16; shift++)
			if (shift + len > 4 || len == 0 || len == 3)
				assert_int_equal(lapic_mmio_read(&l, LAPIC_LDR + shift, len, now),
						 0);

	/* Everything but a dword in its slot is ignored. */
	for (u32 len = 0; len < 9; len++) {
		for (u32 shift = 0; shift < 16; shift++) {
			if (len == 4 && shift == 0)
				continue;
			fx.flags = UINT32_MAX;
			lapic_mmio_write(&l, LAPIC_TPR + shift, len, 0xffffffff, now, &fx);
			assert_int_equal(fx.flags, 0);
			assert_int_equal(rd(&l, LAPIC_TPR), 0);
		}
	}

	/* Read-only ones keep their value and are no error; write-only ones read 0. */
	assert_int_equal(wr(&l, LAPIC_VER, 0), 0);
	assert_int_equal(wr(&l, LAPIC_PPR, 0xff), 0);
	assert_int_equal(wr(&l, LAPIC_IRR + 0x20, 0xff), 0);
	assert_int_equal(wr(&l, LAPIC_TMCCT, 0xff), 0);
	assert_int_equal(rd(&l, LAPIC_VER), 0x50014);
	assert_int_equal(rd(&l, LAPIC_EOI), 0);
	assert_int_equal(rd(&l, LAPIC_RRD), 0);
	wr(&l, LAPIC_ESR, 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0);
}

/* Writable bits of each register, and that no register reaches another. */
static void test_writable_bits(void **state)
{
	static const struct {
		u32 off, ones, zeros;
	} expect[] = {
		{ LAPIC_ID, 0xff000000, 0 },	  { LAPIC_TPR, 0xff, 0 },
		{ LAPIC_LDR, 0xff000000, 0 },	  { LAPIC_DFR, 0xffffffff, 0x0fffffff },
		{ LAPIC_SVR, 0x3ff, 0x100 },	  { LAPIC_ICR2, 0xff000000, 0 },
		{ LAPIC_ICR, 0x000ccfff, 0 },	  { LAPIC_LVTT, 0x000700ff, 0 },
		{ LAPIC_LVTTHMR, 0x000107ff, 0 }, { LAPIC_LVTPC, 0x000107ff, 0 },
		{ LAPIC_LVT0, 0x0001a7ff, 0 },	  { LAPIC_LVT1, 0x0001a7ff, 0 },
		{ LAPIC_LVTERR, 0x000100ff, 0 },  { LAPIC_TDCR, 0xb, 0 },
	};
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(expect); i++) {
		struct lapic l = make_on(3);
		u32 before[64];

		for (u32 n = 0; n < 64; n++)
			before[n] = rd(&l, n * 16);
		wr(&l, expect[i].off, 0xffffffff);
		assert_int_equal(rd(&l, expect[i].off), expect[i].ones);
		for (u32 n = 0; n < 64; n++)
			if (n * 16 != expect[i].off &&
			    !(expect[i].off == LAPIC_TPR && (n == 9 || n == 10)))
				assert_int_equal(rd(&l, n * 16), before[n]);
		wr(&l, expect[i].off, expect[i].off == LAPIC_SVR ? 0x100 : 0);
		assert_int_equal(rd(&l, expect[i].off), expect[i].zeros);
	}

	/* Without the feature TSC-deadline mode is a reserved bit. */
	struct lapic l = make_on(3);
	lapic_set_features(&l, true, false, 40);
	wr(&l, LAPIC_LVTT, 0xffffffff);
	assert_int_equal(rd(&l, LAPIC_LVTT), 0x000300ff);
	wr(&l, LAPIC_TMICT, 0xffffffff);
	assert_int_equal(rd(&l, LAPIC_TMICT), 0xffffffff);
}

static void test_esr(void **state)
{
	struct lapic l = make_on(3);

	(void)state;
	lapic_post(&l, 15, false);
	assert_int_equal(rd(&l, LAPIC_ESR), 0); /* needs a write to latch */
	wr(&l, LAPIC_ESR, 0xffffffff);
	assert_int_equal(rd(&l, LAPIC_ESR), 0x40);
	wr(&l, LAPIC_ESR, 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0);

	/* Registers that do not exist, read and written. */
	for (u32 off = 0; off < 0x1000; off += 16) {
		bool exists = (off >= 0x20 && off <= 0x30) || (off >= 0x80 && off <= 0x280) ||
			      (off >= 0x300 && off <= 0x390) || off == 0x3e0;

		rd(&l, off);
		wr(&l, LAPIC_ESR, 0);
		assert_int_equal(rd(&l, LAPIC_ESR), exists ? 0 : 0x80);
		if (exists)
			continue;
		wr(&l, off, 1);
		wr(&l, LAPIC_ESR, 0);
		assert_int_equal(rd(&l, LAPIC_ESR), 0x80);
	}

	/* LVTERR tells of a new error, once until ESR is written. */
	wr(&l, LAPIC_LVTERR, 0xfe);
	assert_int_equal(wr(&l, 0, 0), LAPIC_FX_RECHECK);
	assert_int_equal(lapic_ack(&l), 0xfe);
	lapic_eoi(&l);
	assert_int_equal(wr(&l, 0, 0), 0);
	assert_int_equal(lapic_pending(&l), -1);
	lapic_post(&l, 3, false); /* another kind */
	assert_int_equal(lapic_ack(&l), 0xfe);
	lapic_eoi(&l);
	wr(&l, LAPIC_ESR, 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0xc0);
	wr(&l, 0, 0);
	assert_int_equal(lapic_ack(&l), 0xfe);
	lapic_eoi(&l);

	/* Masked, it is only noted; with an illegal vector of its own it does not recurse. */
	wr(&l, LAPIC_ESR, 0);
	wr(&l, LAPIC_LVTERR, 0x100fe);
	assert_int_equal(wr(&l, 0, 0), 0);
	assert_int_equal(lapic_pending(&l), -1);
	wr(&l, LAPIC_ESR, 0);
	wr(&l, LAPIC_LVTERR, 0x4);
	assert_int_equal(wr(&l, 0, 0), 0);
	wr(&l, LAPIC_ESR, 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0xc0);

	/* The first legal vector; it is edge-triggered whatever came before. */
	lapic_post(&l, 0x10, true);
	lapic_ack(&l);
	lapic_eoi(&l);
	wr(&l, LAPIC_LVTERR, 0x10);
	assert_int_equal(wr(&l, 0, 0), LAPIC_FX_RECHECK);
	assert_int_equal(lapic_ack(&l), 0x10);
	assert_int_equal(lapic_eoi(&l), -1);
	wr(&l, LAPIC_ESR, 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0x80);

	/* What an IPI says wrongly. */
	wr(&l, LAPIC_LVTERR, 0x100fe);
	assert_int_equal(wr(&l, LAPIC_ICR, 0x400f), 0);
	wr(&l, LAPIC_ESR, 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0x20);
	wr(&l, LAPIC_LVTERR, 0xfe);
	assert_int_equal(wr(&l, LAPIC_ICR, 0x410f), LAPIC_FX_RECHECK);
	assert_int_equal(lapic_ack(&l), 0xfe);
}

static void test_software_disable(void **state)
{
	struct lapic l = make_on(3);

	(void)state;
	lapic_post(&l, 0x55, false);
	lapic_ack(&l);
	lapic_post(&l, 0x44, false);
	for (u32 off = LAPIC_LVTT; off <= LAPIC_LVTERR; off += 16)
		wr(&l, off, 0x31);
	wr(&l, LAPIC_TMICT, 500000);
	assert_true(lapic_timer_deadline(&l) == now + KHZ);
	wr(&l, LAPIC_SVR, 0xff);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	for (u32 off = LAPIC_LVTT; off <= LAPIC_LVTERR; off += 16) {
		assert_int_equal(rd(&l, off), 0x10031);
		wr(&l, off, 0x32); /* cannot be unmasked */
		assert_int_equal(rd(&l, off), 0x10032);
	}
	/* IRR and ISR are held and still served; nothing new comes in. */
	assert_int_equal(lapic_post(&l, 0x66, false), -ENXIO);
	assert_int_equal(lapic_highest_irr(&l), 0x44);
	lapic_eoi(&l);
	assert_int_equal(lapic_ack(&l), 0x44);
	lapic_eoi(&l);
	/* The timer counts in silence. */
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_int_equal(rd(&l, LAPIC_TMCCT), 500000);
	/* NMI and start-up messages do come in. */
	assert_int_equal(lapic_accept(&l, &(struct lapic_ipi){ .mode = LAPIC_MODE_NMI }),
			 LAPIC_FX_NMI);
	assert_int_equal(lapic_accept(&l, &(struct lapic_ipi){ .mode = LAPIC_MODE_SIPI }),
			 LAPIC_FX_SIPI);
	/* Masks stay when it is enabled again. */
	wr(&l, LAPIC_SVR, 0x1ff);
	assert_int_equal(rd(&l, LAPIC_LVTT), 0x10032);
	wr(&l, LAPIC_LVTT, 0x32);
	assert_true(lapic_timer_deadline(&l) == now + KHZ);
}

/* ---- APIC_BASE ---- */

static void test_base_transitions(void **state)
{
	enum {
		OFF,
		XAPIC,
		INVALID,
		X2
	};
	static const u64 bits[] = {
		[OFF] = 0,
		[XAPIC] = LAPIC_BASE_EN,
		[INVALID] = LAPIC_BASE_EXTD,
		[X2] = LAPIC_BASE_EN | LAPIC_BASE_EXTD,
	};
	static const bool guest_may[4][4] = {
		[OFF] = { [OFF] = true, [XAPIC] = true },
		[XAPIC] = { [OFF] = true, [XAPIC] = true, [X2] = true },
		[X2] = { [OFF] = true, [X2] = true },
	};
	(void)state;
	for (u32 from = OFF; from <= X2; from++) {
		for (u32 to = OFF; to <= X2; to++) {
			for (u32 host = 0; host < 2; host++) {
				struct lapic l = make_on(0x123);
				bool ok = host ? to != INVALID : guest_may[from][to];
				u64 was;

				if (from == INVALID)
					continue;
				assert_int_equal(set_base(&l, bits[from], true), 0);
				was = lapic_base(&l);
				assert_int_equal(set_base(&l, bits[to], host), ok ? 0 : -EINVAL);
				if (!ok) {
					assert_int_equal(lapic_base(&l), was);
					assert_int_equal(fx.flags, 0);
					continue;
				}
				assert_int_equal(!!(fx.flags & LAPIC_FX_BASE), from != to);
				assert_int_equal(lapic_hw_enabled(&l), to != OFF);
				assert_int_equal(lapic_x2apic(&l), to == X2);
				assert_int_equal(l.id, to == X2 ? 0x123 : 0x23);
				assert_int_equal(l.ldr, to == X2 ? 0x120008 : 0);
			}
		}
	}
}

static void test_base_bits(void **state)
{
	struct lapic l = make(0);

	(void)state;
	for (u32 bit = 0; bit < 64; bit++) {
		bool ok = bit == 8 || bit == 10 || bit == 11 || (bit >= 12 && bit < 40);

		lapic_reset(&l, LAPIC_POWER_ON);
		lapic_set_features(&l, true, true, 40);
		assert_int_equal(lapic_set_base(&l, lapic_base(&l) | BIT(bit), false, now, &fx),
				 ok ? 0 : -EINVAL);
	}
	/* The width is clamped, x2APIC goes by CPUID, for the host as well. */
	lapic_reset(&l, LAPIC_POWER_ON);
	lapic_set_features(&l, false, true, 0);
	assert_int_equal(set_base(&l, LAPIC_BASE_EN | LAPIC_BASE_EXTD, true), -EINVAL);
	assert_int_equal(lapic_set_base(&l, BIT(32) | LAPIC_BASE_EN, true, now, &fx), -EINVAL);
	lapic_set_features(&l, false, true, 255);
	assert_int_equal(lapic_set_base(&l, BIT(51) | LAPIC_BASE_EN, true, now, &fx), 0);
	assert_int_equal(lapic_set_base(&l, BIT(52) | LAPIC_BASE_EN, true, now, &fx), -EINVAL);

	/* The page moves. */
	assert_int_equal(lapic_set_base(&l, 0x12345000 | LAPIC_BASE_EN, false, now, &fx), 0);
	assert_true(lapic_mmio_hit(&l, 0x12345030));
	assert_false(lapic_mmio_hit(&l, 0xfee00030));
}

static void test_disabled(void **state)
{
	struct lapic l = make_on(7);

	(void)state;
	wr(&l, LAPIC_ID, 0x50000000);
	wr(&l, LAPIC_LVTT, 0x40);
	wr(&l, LAPIC_LVT1, 0x400);
	wr(&l, LAPIC_TMICT, 500000);
	lapic_post(&l, 0x40, false);
	set_base(&l, 0, false);
	assert_int_equal(fx.flags, LAPIC_FX_BASE | LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
	assert_int_equal(lapic_pending(&l), -1);
	assert_int_equal(lapic_highest_irr(&l), -1);
	assert_int_equal(lapic_ack(&l), -1);
	assert_int_equal(lapic_post(&l, 0x41, false), -ENXIO);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_true(lapic_accepts_extint(&l));
	assert_int_equal(lapic_local_deliver(&l, LAPIC_LVT_LINT1), 0);
	assert_int_equal(lapic_accept(&l, &(struct lapic_ipi){ .mode = LAPIC_MODE_NMI }), 0);
	assert_false(lapic_ipi_matches(&l, &(struct lapic_ipi){ .dest = 0xff }, NULL));
	assert_int_equal(rd(&l, LAPIC_VER), 0xffffffff);
	assert_true(lapic_mmio_read(&l, LAPIC_VER, 8, now) == UINT64_MAX);
	assert_int_equal(lapic_mmio_read(&l, LAPIC_VER + 1, 1, now), 0xff);
	assert_int_equal(wr(&l, LAPIC_TPR, 0x33), 0);
	assert_int_equal(l.tpr, 0);
	/* What was held is there again; the ID is the initial one. */
	set_base(&l, LAPIC_BASE_EN, false);
	assert_int_equal(lapic_pending(&l), 0x40);
	assert_int_equal(rd(&l, LAPIC_ID), 7u << 24);
	assert_true(lapic_timer_deadline(&l) == now + KHZ);
}

/* ---- x2APIC ---- */

static void test_x2apic_access(void **state)
{
	enum {
		R = 1,
		W = 2,
		Z = 4
	}; /* Z: only 0 can be written */
	static const u8 access[0x100] = {
		[0x02] = R,	[0x03] = R,	    [0x08] = R | W, [0x0a] = R,	    [0x0b] = W | Z,
		[0x0d] = R,	[0x0f] = R | W,	    [0x10] = R,	    [0x11] = R,	    [0x12] = R,
		[0x13] = R,	[0x14] = R,	    [0x15] = R,	    [0x16] = R,	    [0x17] = R,
		[0x18] = R,	[0x19] = R,	    [0x1a] = R,	    [0x1b] = R,	    [0x1c] = R,
		[0x1d] = R,	[0x1e] = R,	    [0x1f] = R,	    [0x20] = R,	    [0x21] = R,
		[0x22] = R,	[0x23] = R,	    [0x24] = R,	    [0x25] = R,	    [0x26] = R,
		[0x27] = R,	[0x28] = R | W | Z, [0x30] = R | W, [0x32] = R | W, [0x33] = R | W,
		[0x34] = R | W, [0x35] = R | W,	    [0x36] = R | W, [0x37] = R | W, [0x38] = R | W,
		[0x39] = R,	[0x3e] = R | W,	    [0x3f] = W,
	};
	struct lapic l = make_x2(0x12345), x = make_on(1);
	u64 val;

	(void)state;
	for (u32 i = 0; i < 0x100; i++) {
		int want = access[i] & R ? 0 : -EINVAL;

		assert_int_equal(lapic_msr_read(&l, 0x800 + i, &val, now), want);
		want = access[i] & W ? 0 : -EINVAL;
		assert_int_equal(lapic_msr_write(&l, 0x800 + i, 0, now, &fx), want);
		if (i != 0x30)
			assert_int_equal(lapic_msr_write(&l, 0x800 + i, BIT(32), now, &fx),
					 -EINVAL);
		if (access[i] & Z)
			assert_int_equal(lapic_msr_write(&l, 0x800 + i, 1, now, &fx), -EINVAL);
		/* None of them outside x2APIC mode. */
		assert_int_equal(lapic_msr_read(&x, 0x800 + i, &val, now), -EINVAL);
		assert_int_equal(lapic_msr_write(&x, 0x800 + i, 0, now, &fx), -EINVAL);
	}
	/* And no page in it. */
	wrmsr(&l, LAPIC_TPR, 0);
	assert_int_equal(rd(&l, LAPIC_VER), 0xffffffff);
	assert_int_equal(wr(&l, LAPIC_TPR, 0x10), 0);
	assert_int_equal(l.tpr, 0);

	assert_int_equal(rdmsr(&l, LAPIC_ID, &val), 0);
	assert_int_equal(val, 0x12345);
	rdmsr(&l, LAPIC_LDR, &val);
	assert_int_equal(val, 0x12340020);
	rdmsr(&l, LAPIC_VER, &val);
	assert_int_equal(val, 0x50014);
}

static void test_x2apic_reserved(void **state)
{
	static const struct {
		u32 off, ok;
	} expect[] = {
		{ LAPIC_TPR, 0xff },	    { LAPIC_SVR, 0x3ff },      { LAPIC_LVTT, 0x750ff },
		{ LAPIC_LVTTHMR, 0x157ff }, { LAPIC_LVTPC, 0x157ff },  { LAPIC_LVT0, 0x1f7ff },
		{ LAPIC_LVT1, 0x1f7ff },    { LAPIC_LVTERR, 0x150ff }, { LAPIC_TMICT, 0xffffffff },
		{ LAPIC_TDCR, 0xb },	    { LAPIC_SELF_IPI, 0xff },
	};
	struct lapic l = make_x2(1);
	u64 val;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(expect); i++)
		for (u32 bit = 0; bit < 64; bit++)
			assert_int_equal(wrmsr(&l, expect[i].off, BIT(bit)),
					 BIT(bit) & expect[i].ok ? 0 : -EINVAL);
	for (u32 bit = 0; bit < 64; bit++) {
		bool ok = bit >= 32 || !(BIT(bit) & 0xfff32000);
		u64 before = l.icr;

		assert_int_equal(wrmsr(&l, LAPIC_ICR, BIT(bit) | 0x40), ok ? 0 : -EINVAL);
		rdmsr(&l, LAPIC_ICR, &val);
		assert_true(val == (ok ? (BIT(bit) | 0x40) & ~0x1000ull : before));
	}
	/* Status bits of an LVT are not stored. */
	wrmsr(&l, LAPIC_SVR, 0x1ff);
	wrmsr(&l, LAPIC_LVT0, 0x1f7ff);
	rdmsr(&l, LAPIC_LVT0, &val);
	assert_int_equal(val, 0x1a7ff);
	lapic_set_features(&l, true, false, 52);
	assert_int_equal(wrmsr(&l, LAPIC_LVTT, 0x40030), -EINVAL);
}

static void test_self_ipi(void **state)
{
	struct lapic l = make_x2(1);
	u64 val;

	(void)state;
	assert_int_equal(wrmsr(&l, LAPIC_SELF_IPI, 0x81), 0);
	assert_int_equal(fx.flags, LAPIC_FX_RECHECK);
	assert_int_equal(wrmsr(&l, LAPIC_SELF_IPI, 0x81), 0);
	assert_int_equal(fx.flags, LAPIC_FX_COALESCED);
	assert_int_equal(lapic_ack(&l), 0x81);
	assert_int_equal(lapic_eoi(&l), -1);
	wrmsr(&l, LAPIC_SELF_IPI, 0x10);
	assert_int_equal(lapic_highest_irr(&l), 0x10);
	wrmsr(&l, LAPIC_SELF_IPI, 0x0f);
	assert_int_equal(lapic_highest_irr(&l), 0x10);
	wrmsr(&l, LAPIC_ESR, 0);
	rdmsr(&l, LAPIC_ESR, &val);
	assert_int_equal(val, 0x20);
}

/* ---- messages ---- */

static void test_icr(void **state)
{
	struct lapic l = make_on(1), x = make_x2(2);

	(void)state;
	wr(&l, LAPIC_ICR2, 0x9c000000);
	for (u32 icr = 0; icr < 0x100000; icr += 0x13) {
		u32 mode = icr >> 8 & 7, sh = icr >> 18 & 3;
		bool dead = mode == 3 || mode == 7 || (mode < 2 && (icr & 0xff) < 16);
		bool self = sh == 1 && mode < 2;

		wr(&l, LAPIC_ICR, icr);
		assert_int_equal(rd(&l, LAPIC_ICR), icr & 0xccfff);
		assert_int_equal(!!(fx.flags & LAPIC_FX_IPI), !dead && !self);
		if (!dead && self && !((icr & 0xc000) == 0x8000))
			assert_int_equal(lapic_highest_irr(&l), (int)(icr & 0xff));
		while (lapic_ack(&l) >= 0)
			lapic_eoi(&l);
		if (!(fx.flags & LAPIC_FX_IPI))
			continue;
		assert_int_equal(fx.flags, LAPIC_FX_IPI);
		assert_int_equal(fx.ipi.dest, 0x9c);
		assert_int_equal(fx.ipi.vector, icr & 0xff);
		assert_int_equal(fx.ipi.mode, mode);
		assert_int_equal(fx.ipi.shorthand, sh);
		assert_int_equal(fx.ipi.logical, icr >> 11 & 1);
		assert_int_equal(fx.ipi.level, icr >> 14 & 1);
		assert_int_equal(fx.ipi.trigger, icr >> 15 & 1);
		assert_int_equal(fx.ipi.lowest, mode == 1 && !sh);
		assert_false(fx.ipi.bcast8);
	}
	/* Lowest priority among everybody is nonsense: all get it. */
	wr(&l, LAPIC_ICR2, 0xff000000);
	wr(&l, LAPIC_ICR, 0x4150);
	assert_false(fx.ipi.lowest);
	wr(&l, LAPIC_ICR, 0x4950); /* logical 0xff is a set like any other */
	assert_true(fx.ipi.lowest);

	assert_int_equal(wrmsr(&x, LAPIC_ICR, 0xdeadbeef00004950), 0);
	assert_int_equal(fx.flags, LAPIC_FX_IPI);
	assert_int_equal(fx.ipi.dest, 0xdeadbeef);
	assert_true(fx.ipi.logical && fx.ipi.lowest);
	wrmsr(&x, LAPIC_ICR, 0xffffffff00004150);
	assert_false(fx.ipi.lowest);
	wrmsr(&x, LAPIC_ICR, 0xff00004150);
	assert_true(fx.ipi.lowest);
	/* A software-disabled APIC can send. */
	l = make(1);
	assert_int_equal(wr(&l, LAPIC_ICR, 0x4050), LAPIC_FX_IPI);
}

static void test_accept(void **state)
{
	static const u32 want[8] = { LAPIC_FX_RECHECK, LAPIC_FX_RECHECK, LAPIC_FX_SMI,	0,
				     LAPIC_FX_NMI,     LAPIC_FX_INIT,	 LAPIC_FX_SIPI, 0 };

	(void)state;
	for (u32 i = 0; i < 32; i++) {
		struct lapic l = make_on(1);
		struct lapic_ipi ipi = {
			.vector = 0x40, .mode = i & 7, .level = i & 8, .trigger = i & 16
		};
		bool dead = ipi.trigger && !ipi.level && (ipi.mode < 2 || ipi.mode == 5);

		assert_int_equal(lapic_accept(&l, &ipi), dead ? 0 : want[ipi.mode]);
		if (ipi.mode > 1 || dead) {
			assert_int_equal(lapic_highest_irr(&l), -1);
			continue;
		}
		assert_int_equal(lapic_accept(&l, &ipi), LAPIC_FX_COALESCED);
		assert_int_equal(lapic_ack(&l), 0x40);
		assert_int_equal(lapic_eoi(&l), ipi.trigger ? 0x40 : -1);
		wr(&l, LAPIC_SVR, 0);
		assert_int_equal(lapic_accept(&l, &ipi), 0);
	}
}

static void test_local_deliver(void **state)
{
	static const u32 want[8] = {
		LAPIC_FX_RECHECK, 0, LAPIC_FX_SMI, 0, LAPIC_FX_NMI, LAPIC_FX_INIT, 0, 0
	};

	(void)state;
	for (u32 n = 0; n < LAPIC_NR_LVT; n++) {
		for (u32 mode = 0; mode < 8; mode++) {
			struct lapic l = make_on(1);
			/* Timer and error have no mode: always fixed. */
			bool fixed = n == LAPIC_LVT_TIMER || n == LAPIC_LVT_ERROR;

			assert_int_equal(lapic_local_deliver(&l, n), 0);
			wr(&l, LAPIC_LVTT + 16 * n, mode << 8 | 0x70);
			assert_int_equal(lapic_local_deliver(&l, n), want[fixed ? 0 : mode]);
			assert_int_equal(lapic_ack(&l), fixed || mode == 0 ? 0x70 : -1);
			wr(&l, LAPIC_LVTT + 16 * n, mode << 8 | 0x10070);
			assert_int_equal(lapic_local_deliver(&l, n), 0);
		}
	}
	/* A level-triggered LINT asks for an EOI broadcast; an illegal vector is noted. */
	struct lapic l = make_on(1);
	wr(&l, LAPIC_LVT1, 0x8070);
	lapic_local_deliver(&l, LAPIC_LVT_LINT1);
	lapic_ack(&l);
	assert_int_equal(lapic_eoi(&l), 0x70);
	wr(&l, LAPIC_LVT1, 0x8);
	lapic_local_deliver(&l, LAPIC_LVT_LINT1);
	assert_int_equal(lapic_pending(&l), -1);
	wr(&l, LAPIC_ESR, 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0x40);
}

static void test_extint(void **state)
{
	struct lapic l = make_on(0);

	(void)state;
	for (u32 lvt = 0; lvt < 0x20000; lvt += 0x100) {
		assert_true(wr(&l, LAPIC_LVT0, lvt) & LAPIC_FX_RECHECK);
		assert_int_equal(lapic_accepts_extint(&l), (lvt & 0x10700) == 0x700);
	}
	wr(&l, LAPIC_LVT0, 0x700);
	wr(&l, LAPIC_SVR, 0xff); /* masks LINT0 */
	assert_false(lapic_accepts_extint(&l));
	set_base(&l, 0, false);
	assert_true(lapic_accepts_extint(&l));
}

static void test_match_physical(void **state)
{
	struct lapic l = make_on(0x21), x = make_x2(0x21), big = make_on(0x321),
		     bigx = make_x2(0x321), src = make_on(0);

	(void)state;
	for (u32 dest = 0; dest < 0x1000; dest++) {
		struct lapic_ipi ipi = { .dest = dest };

		assert_int_equal(lapic_ipi_matches(&l, &ipi, &src), dest == 0x21 || dest == 0xff);
		assert_int_equal(lapic_ipi_matches(&x, &ipi, &src), dest == 0x21);
		assert_int_equal(lapic_ipi_matches(&bigx, &ipi, &src), dest == 0x321);
		assert_int_equal(lapic_ipi_matches(&big, &ipi, &src),
				 dest == 0x21 || dest == 0x321 || dest == 0xff);
		ipi.bcast8 = dest == 0xff;
		assert_int_equal(lapic_ipi_matches(&x, &ipi, NULL), dest == 0x21 || dest == 0xff);
		assert_int_equal(lapic_ipi_matches(&l, &ipi, NULL), dest == 0x21 || dest == 0xff);
	}
	struct lapic_ipi all = { .dest = 0xffffffff };
	assert_true(lapic_ipi_matches(&x, &all, &src));
	assert_false(lapic_ipi_matches(&l, &all, &src));
	/* The xAPIC's ID is what the guest makes it. */
	wr(&l, LAPIC_ID, 0x42000000);
	assert_true(lapic_ipi_matches(&l, &(struct lapic_ipi){ .dest = 0x42 }, &src));
	assert_false(lapic_ipi_matches(&l, &(struct lapic_ipi){ .dest = 0x21 }, &src));
	/* Software-disabled ones match: NMI and INIT are for them, too. */
	wr(&l, LAPIC_SVR, 0);
	assert_true(lapic_ipi_matches(&l, &(struct lapic_ipi){ .dest = 0x42 }, &src));
}

static void test_match_logical(void **state)
{
	struct lapic l = make_on(9);

	(void)state;
	for (u32 ldr = 0; ldr < 256; ldr++) {
		wr(&l, LAPIC_LDR, ldr << 24);
		for (u32 dest = 0; dest < 512; dest++) {
			struct lapic_ipi ipi = { .dest = dest, .logical = true };
			bool flat = dest == 0xff || (dest & ldr);
			bool cluster = dest == 0xff || (dest >> 4 == ldr >> 4 && dest & ldr & 0xf);

			wr(&l, LAPIC_DFR, 0xffffffff);
			assert_int_equal(lapic_ipi_matches(&l, &ipi, NULL), flat);
			wr(&l, LAPIC_DFR, 0x0fffffff);
			assert_int_equal(lapic_ipi_matches(&l, &ipi, NULL), cluster);
			wr(&l, LAPIC_DFR, 0x40000000); /* no such model */
			assert_int_equal(lapic_ipi_matches(&l, &ipi, NULL), dest == 0xff);
		}
	}
	for (u32 id = 0; id < 0x50; id++) {
		struct lapic x = make_x2(id);

		for (u32 cluster = 0; cluster < 6; cluster++) {
			for (u32 bit = 0; bit < 16; bit++) {
				struct lapic_ipi ipi = { .dest = cluster << 16 | 1u << bit,
							 .logical = true };

				assert_int_equal(lapic_ipi_matches(&x, &ipi, NULL),
						 cluster * 16 + bit == id);
			}
		}
		struct lapic_ipi ipi = { .dest = id / 16 << 16 | 0xffff, .logical = true };
		assert_true(lapic_ipi_matches(&x, &ipi, NULL));
		ipi.dest = 0xffffffff;
		assert_true(lapic_ipi_matches(&x, &ipi, NULL));
		ipi.dest = id / 16 << 16;
		assert_false(lapic_ipi_matches(&x, &ipi, NULL));
	}
}

static void test_match_shorthand(void **state)
{
	struct lapic a = make_on(1), b = make_on(2);
	struct lapic_ipi ipi = { .dest = 0x77, .shorthand = LAPIC_SH_SELF };

	(void)state;
	assert_true(lapic_ipi_matches(&a, &ipi, &a));
	assert_false(lapic_ipi_matches(&b, &ipi, &a));
	ipi.shorthand = LAPIC_SH_ALL;
	assert_true(lapic_ipi_matches(&a, &ipi, &a));
	assert_true(lapic_ipi_matches(&b, &ipi, &a));
	ipi.shorthand = LAPIC_SH_OTHERS;
	assert_false(lapic_ipi_matches(&a, &ipi, &a));
	assert_true(lapic_ipi_matches(&b, &ipi, &a));
	set_base(&b, 0, false);
	assert_false(lapic_ipi_matches(&b, &ipi, &a));
}

static void test_msi(void **state)
{
	struct lapic_ipi ipi;

	(void)state;
	for (u32 i = 0; i < 1024; i++) {
		u32 dest = i & 0xff;
		bool rh = i & 0x100, logical = i & 0x200;

		for (u32 mode = 0; mode < 8; mode++) {
			u64 addr = 0xfee00000u | dest << 12 | rh << 3 | logical << 2;

			assert_int_equal(lapic_msi_decode(&ipi, addr, 0x8000 | mode << 8 | 0x5a,
							  LAPIC_MSI_BCAST8),
					 0);
			assert_int_equal(ipi.dest, dest);
			assert_int_equal(ipi.vector, 0x5a);
			assert_int_equal(ipi.mode, mode);
			assert_int_equal(ipi.logical, logical);
			assert_true(ipi.trigger);
			assert_true(ipi.level);
			assert_int_equal(ipi.shorthand, LAPIC_SH_NONE);
			assert_int_equal(ipi.bcast8, dest == 0xff);
			assert_int_equal(ipi.lowest,
					 (mode == 1 || rh) && (logical || dest != 0xff));
		}
	}
	assert_int_equal(lapic_msi_decode(&ipi, 0xfee12000, 0x4031, 0), 0);
	assert_false(ipi.trigger);
	assert_true(ipi.level);
	assert_int_equal(lapic_msi_decode(&ipi, 0xabcdef00fee34000, 0x31, LAPIC_MSI_IDS32), 0);
	assert_int_equal(ipi.dest, 0xabcdef34);
	assert_int_equal(lapic_msi_decode(&ipi, 0x01fee34000, 0x31, LAPIC_MSI_IDS32), -EINVAL);
	assert_int_equal(lapic_msi_decode(&ipi, 0x01fee34000, 0x31, 0), 0);
	assert_int_equal(ipi.dest, 0x34);
	assert_int_equal(lapic_msi_decode(&ipi, 0xfeeff000, 0x31, 0), 0);
	assert_false(ipi.bcast8);
}

static void test_arbitrate(void **state)
{
	struct lapic l[4];
	struct lapic *set[4];
	u32 wins[4] = { 0 };

	(void)state;
	for (u32 i = 0; i < 4; i++) {
		l[i] = make_on(i);
		set[i] = &l[i];
	}
	assert_int_equal(lapic_arbitrate(set, 0), -1);
	/* Equals take turns, in order, also where the counters wrap. */
	for (u32 i = 0; i < 4; i++)
		l[i].arb = -2;
	for (u32 n = 0; n < 40; n++) {
		int who = lapic_arbitrate(set, 4);

		assert_int_equal(who, n % 4);
		wins[who]++;
	}
	for (u32 i = 0; i < 4; i++)
		assert_int_equal(wins[i], 10);
	/* A lower priority class wins always, the sub-class does not count. */
	wr(&l[0], LAPIC_TPR, 0x20);
	wr(&l[1], LAPIC_TPR, 0x20);
	wr(&l[2], LAPIC_TPR, 0x1f);
	wr(&l[3], LAPIC_TPR, 0x10);
	assert_int_equal(lapic_arbitrate(set, 4), 2);
	assert_int_equal(lapic_arbitrate(set, 4), 3);
	lapic_post(&l[2], 0x91, false);
	lapic_ack(&l[2]);
	for (u32 n = 0; n < 5; n++)
		assert_int_equal(lapic_arbitrate(set, 4), 3);
	/* Those that do not listen are passed over. */
	wr(&l[3], LAPIC_SVR, 0);
	assert_int_equal(lapic_arbitrate(set, 4), 0);
	set_base(&l[0], 0, false);
	assert_int_equal(lapic_arbitrate(set, 4), 1);
	wr(&l[1], LAPIC_SVR, 0);
	wr(&l[2], LAPIC_SVR, 0);
	assert_int_equal(lapic_arbitrate(set, 4), -1);
}

/* ---- timer ---- */

static const u32 tdcr_of_shift[] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };

static void test_oneshot(void **state)
{
	(void)state;
	for (u32 shift = 0; shift < 8; shift++) {
		struct lapic l = make_on(1);
		u32 count = 1000000 + shift;
		u64 end = now + (u64)((u128)count * (1u << shift) * KHZ / UNITS);

		wr(&l, LAPIC_LVTT, 0x30);
		wr(&l, LAPIC_TDCR, tdcr_of_shift[shift]);
		assert_true(wr(&l, LAPIC_TMICT, count) & LAPIC_FX_TIMER);
		assert_true(lapic_timer_deadline(&l) == end);
		assert_int_equal(rd(&l, LAPIC_TMCCT), count);
		for (u32 n = 1; n < 16; n++) {
			now = T0 + (end - T0) * n / 16;
			u64 ns = (u128)(now - T0) * UNITS / KHZ;
			u32 left = rd(&l, LAPIC_TMCCT), want = count - (ns >> shift);

			assert_in_range(left, want - 1, want + 1);
			assert_int_equal(lapic_timer_poll(&l, now), 0);
		}
		assert_int_equal(lapic_timer_poll(&l, end - 1), 0);
		now = end - 1;
		assert_int_equal(rd(&l, LAPIC_TMCCT), 1);
		now = end;
		assert_int_equal(rd(&l, LAPIC_TMCCT), 0);
		assert_int_equal(lapic_timer_poll(&l, now), LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
		assert_int_equal(lapic_ack(&l), 0x30);
		assert_int_equal(lapic_eoi(&l), -1);
		assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
		assert_int_equal(lapic_timer_poll(&l, now + ms(9999)), 0);
		assert_int_equal(rd(&l, LAPIC_TMCCT), 0);
		assert_int_equal(rd(&l, LAPIC_TMICT), count);
	}
}

static void test_timer_extremes(void **state)
{
	static const u32 khzs[] = { 0, 1, 999, 1000, 1000000, LAPIC_MAX_TSC_KHZ, UINT32_MAX };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(khzs); i++) {
		struct lapic l;
		u32 khz = MIN(MAX(khzs[i], 1u), LAPIC_MAX_TSC_KHZ);
		u64 long_run = (u64)((((u128)UINT32_MAX << 7) * khz) / UNITS);

		lapic_init(&l, &(struct lapic_config){ .id = 1, .tsc_khz = khzs[i] });
		now = 1;
		wr(&l, LAPIC_SVR, 0x1ff);
		wr(&l, LAPIC_LVTT, 0x20030);
		wr(&l, LAPIC_TDCR, 0xa);
		wr(&l, LAPIC_TMICT, UINT32_MAX);
		assert_true(lapic_timer_deadline(&l) == 1 + long_run);
		assert_int_equal(rd(&l, LAPIC_TMCCT), UINT32_MAX);
		/* Hopelessly late. */
		now = UINT64_MAX / 2 + 12345;
		assert_int_equal(lapic_timer_poll(&l, now), LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
		assert_true(lapic_timer_deadline(&l) > now);
		assert_true(lapic_timer_deadline(&l) <= now + long_run + 1);
		assert_int_equal(lapic_ack(&l), 0x30);
		lapic_eoi(&l);
		wr(&l, LAPIC_TDCR, 0xb);
		wr(&l, LAPIC_TMICT, 1);
		assert_true(lapic_timer_deadline(&l) >= now);
		assert_in_range(rd(&l, LAPIC_TMCCT), 0, 1);
		now += now / 2;
		assert_int_equal(lapic_timer_poll(&l, now), LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
		assert_true(lapic_timer_deadline(&l) > now);
	}
}

/* However late the poll, the n-th period ends where arithmetic says; one interrupt is pending. */
static void test_periodic_no_drift(void **state)
{
	static const u32 counts[] = { 200001, 1000000, 3333333, 4000007 };

	(void)state;
	srand(1);
	for (u32 i = 0; i < ARRAY_SIZE(counts); i++) {
		struct lapic l = make_on(1);
		u64 polls = 0, interrupts = 0, n = 0;
		u128 period = (u128)counts[i] * KHZ;

		wr(&l, LAPIC_TDCR, 0xb);
		wr(&l, LAPIC_LVTT, 0x20030);
		wr(&l, LAPIC_TMICT, counts[i]);
		for (polls = 0; polls < 20000; polls++) {
			u32 late = (u32)rand() % (rand() % 8 ? 1000 : 20 * counts[i]);
			u64 want;

			now = lapic_timer_deadline(&l) + late;
			assert_int_equal(lapic_timer_poll(&l, now),
					 LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
			assert_int_equal(lapic_ack(&l), 0x30);
			assert_int_equal(lapic_ack(&l), -1);
			lapic_eoi(&l);
			interrupts++;
			n = (u128)(now - T0) * UNITS / period;
			do
				want = T0 + (u64)(++n * period / UNITS);
			while (want <= now);
			assert_true(lapic_timer_deadline(&l) == want);
		}
		assert_int_equal(interrupts, polls);
	}
}

/* So late that millionths of a tick need more than 64 bits, around the edges of the borrow. */
static void test_periodic_very_late(void **state)
{
	const u32 khz = 2999999, count = 1000001;
	const u128 period = (u128)count * khz;

	(void)state;
	for (int edge = -3; edge <= 3; edge++) {
		struct lapic l;
		u64 end, want;
		u128 n;

		lapic_init(&l, &(struct lapic_config){ .id = 1, .tsc_khz = khz });
		now = T0;
		wr(&l, LAPIC_SVR, 0x1ff);
		wr(&l, LAPIC_TDCR, 0xb);
		wr(&l, LAPIC_LVTT, 0x20030);
		wr(&l, LAPIC_TMICT, count);
		end = lapic_timer_deadline(&l);
		assert_true(end == T0 + (u64)(period / UNITS));
		assert_int_equal(period % UNITS, UNITS - 1);

		now = end + BIT(58) - 1 + edge;
		n = (u128)(now - T0) * UNITS / period;
		do
			want = T0 + (u64)(++n * period / UNITS);
		while (want <= now);
		lapic_timer_poll(&l, now);
		assert_true(lapic_timer_deadline(&l) == want);
		assert_int_equal(l.expiry_frac, (u32)(n * period % UNITS));
	}
}

static void test_periodic_coalesces(void **state)
{
	struct lapic l = make_on(1);

	(void)state;
	wr(&l, LAPIC_TDCR, 0xb);
	wr(&l, LAPIC_LVTT, 0x20030);
	wr(&l, LAPIC_TMICT, 1000000);
	assert_int_equal(lapic_timer_poll(&l, now + ms(1)), LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
	/* Not served yet: the next one merges with it. */
	assert_int_equal(lapic_timer_poll(&l, now + ms(2)), LAPIC_FX_TIMER | LAPIC_FX_COALESCED);
	assert_int_equal(lapic_ack(&l), 0x30);
	lapic_eoi(&l);
	assert_int_equal(lapic_ack(&l), -1);
	/* A count of 0 stops it. */
	now += ms(2);
	wr(&l, LAPIC_TMICT, 0);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_int_equal(rd(&l, LAPIC_TMCCT), 0);
}

static void test_periodic_minimum(void **state)
{
	struct lapic l = make_on(1);
	u64 min = (u64)LAPIC_MIN_PERIOD_NS * KHZ / UNITS;

	(void)state;
	wr(&l, LAPIC_TDCR, 0xb);
	wr(&l, LAPIC_LVTT, 0x20030);
	wr(&l, LAPIC_TMICT, 1);
	assert_true(lapic_timer_deadline(&l) == now + min);
	wr(&l, LAPIC_TMICT, 1000);
	for (u32 n = 0; n < 1000; n++) {
		now = T0 + n * 400;
		assert_in_range(rd(&l, LAPIC_TMCCT), 0, 1000);
	}
	lapic_timer_poll(&l, now + min * 7);
	assert_true(lapic_timer_deadline(&l) > now + min * 7);
	/* A one-shot timer may be as short as it likes. */
	wr(&l, LAPIC_LVTT, 0x30);
	wr(&l, LAPIC_TMICT, 1);
	assert_true(lapic_timer_deadline(&l) == now + 2);
	/* One that turns periodic goes on at no less than the minimum. */
	wr(&l, LAPIC_LVTT, 0x20030);
	lapic_timer_poll(&l, now + 2);
	assert_in_range(lapic_timer_deadline(&l), now + 2 + min - 1, now + 2 + min + 1);
}

static void test_divider_change(void **state)
{
	struct lapic l = make_on(1);

	(void)state;
	wr(&l, LAPIC_TDCR, 0xb);
	wr(&l, LAPIC_LVTT, 0x30);
	wr(&l, LAPIC_TMICT, 1000000);
	now += ms(1) / 4;
	assert_in_range(rd(&l, LAPIC_TMCCT), 750000, 750001);
	wr(&l, LAPIC_TDCR, 0x1); /* by 4: the rest takes four times as long */
	assert_in_range(rd(&l, LAPIC_TMCCT), 750000, 750001);
	assert_in_range(lapic_timer_deadline(&l), now + ms(3) - 4, now + ms(3) + 4);
	now += ms(1);
	assert_in_range(rd(&l, LAPIC_TMCCT), 500000, 500001);
	wr(&l, LAPIC_TDCR, 0x0); /* by 2 */
	assert_in_range(rd(&l, LAPIC_TMCCT), 500000, 500001);
	assert_in_range(lapic_timer_deadline(&l), now + ms(1) - 4, now + ms(1) + 4);
	now = lapic_timer_deadline(&l);
	lapic_timer_poll(&l, now);
	assert_int_equal(lapic_ack(&l), 0x30);
	wr(&l, LAPIC_TDCR, 0x3); /* does not start it */
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
}

static void test_mode_changes(void **state)
{
	struct lapic l = make_on(1);

	(void)state;
	wr(&l, LAPIC_TDCR, 0xb);
	/* One-shot to periodic in flight: the counter goes on, then repeats. */
	wr(&l, LAPIC_LVTT, 0x30);
	wr(&l, LAPIC_TMICT, 1000000);
	now += ms(1) / 2;
	wr(&l, LAPIC_LVTT, 0x20031);
	assert_in_range(rd(&l, LAPIC_TMCCT), 499999, 500001);
	now = T0 + ms(1);
	assert_int_equal(lapic_timer_poll(&l, now), LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
	assert_int_equal(lapic_ack(&l), 0x31);
	lapic_eoi(&l);
	assert_true(lapic_timer_deadline(&l) == T0 + ms(2));
	/* Back to one-shot: this round is the last. */
	now += ms(1) / 4;
	wr(&l, LAPIC_LVTT, 0x30);
	assert_in_range(rd(&l, LAPIC_TMCCT), 749999, 750001);
	now = T0 + ms(2);
	lapic_timer_poll(&l, now);
	assert_int_equal(lapic_ack(&l), 0x30);
	lapic_eoi(&l);
	assert_int_equal(rd(&l, LAPIC_TMCCT), 0);
	/* Once at zero it stays there in periodic mode, too. */
	wr(&l, LAPIC_LVTT, 0x20030);
	assert_int_equal(rd(&l, LAPIC_TMCCT), 0);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);

	/* To TSC deadline: everything stops, the count is gone and cannot be written. */
	wr(&l, LAPIC_TMICT, 1000000);
	wr(&l, LAPIC_LVTT, 0x40030);
	assert_int_equal(rd(&l, LAPIC_TMICT), 0);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	wr(&l, LAPIC_TMICT, 5);
	assert_int_equal(rd(&l, LAPIC_TMICT), 0);
	assert_int_equal(rd(&l, LAPIC_TMCCT), 0);
	lapic_set_tsc_deadline(&l, now + 1000, now);
	wr(&l, LAPIC_TDCR, 0x3); /* the divider is nothing to it */
	assert_true(lapic_timer_deadline(&l) == now + 1000);
	/* Same mode again, other vector: the deadline stands. */
	wr(&l, LAPIC_LVTT, 0x40035);
	assert_true(lapic_timer_deadline(&l) == now + 1000);
	/* And back: the deadline is forgotten. */
	wr(&l, LAPIC_LVTT, 0x30);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_get_tsc_deadline(&l, now), 0);
	wr(&l, LAPIC_LVTT, 0x40030);
	assert_int_equal(lapic_get_tsc_deadline(&l, now), 0);
	/* What was due before the change is delivered under the old vector. */
	lapic_set_tsc_deadline(&l, now + 1000, now);
	now += 1000;
	assert_true(wr(&l, LAPIC_LVTT, 0x55) & LAPIC_FX_RECHECK);
	assert_int_equal(lapic_ack(&l), 0x30);
}

static void test_masked_timer(void **state)
{
	struct lapic l = make_on(1);

	(void)state;
	wr(&l, LAPIC_TDCR, 0xb);
	wr(&l, LAPIC_LVTT, 0x30030); /* periodic, masked */
	wr(&l, LAPIC_TMICT, 1000000);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	now = T0 + ms(5) + ms(1) / 2;
	assert_int_equal(lapic_timer_poll(&l, now), 0);
	assert_in_range(rd(&l, LAPIC_TMCCT), 499999, 500001);
	/* Unmasked between two ends: nothing of the past is made up for. */
	wr(&l, LAPIC_LVTT, 0x20030);
	assert_int_equal(lapic_pending(&l), -1);
	assert_true(lapic_timer_deadline(&l) == T0 + ms(6));
	/* A one-shot that ran out masked is over. */
	wr(&l, LAPIC_LVTT, 0x10030);
	wr(&l, LAPIC_TMICT, 1000000);
	now += ms(2);
	wr(&l, LAPIC_LVTT, 0x30);
	assert_int_equal(lapic_pending(&l), -1);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
}

static void test_deadline(void **state)
{
	struct lapic l = make_on(1);

	(void)state;
	/* Ignored outside its mode. */
	assert_int_equal(lapic_set_tsc_deadline(&l, now + 5, now), 0);
	assert_int_equal(lapic_get_tsc_deadline(&l, now), 0);
	wr(&l, LAPIC_LVTT, 0x40030);
	assert_int_equal(lapic_set_tsc_deadline(&l, now + 1000, now), LAPIC_FX_TIMER);
	assert_true(lapic_get_tsc_deadline(&l, now) == now + 1000);
	assert_true(lapic_timer_deadline(&l) == now + 1000);
	assert_int_equal(lapic_timer_poll(&l, now + 999), 0);
	assert_int_equal(lapic_timer_poll(&l, now + 1000), LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
	assert_int_equal(lapic_get_tsc_deadline(&l, now + 1000), 0);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_ack(&l), 0x30);
	lapic_eoi(&l);
	/* 0 disarms. */
	lapic_set_tsc_deadline(&l, now + 1000, now);
	assert_int_equal(lapic_set_tsc_deadline(&l, 0, now + 10), LAPIC_FX_TIMER);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_timer_poll(&l, now + 5000), 0);
	/* In the past: at once. */
	lapic_set_tsc_deadline(&l, 1, now);
	assert_true(lapic_timer_deadline(&l) <= now);
	assert_int_equal(lapic_get_tsc_deadline(&l, now), 0);
	assert_int_equal(lapic_timer_poll(&l, now), LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
	lapic_ack(&l);
	lapic_eoi(&l);
	/* Re-armed when it is due but not yet polled: neither gets lost. */
	lapic_set_tsc_deadline(&l, now + 10, now);
	assert_int_equal(lapic_set_tsc_deadline(&l, now + 500, now + 20),
			 LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
	assert_int_equal(lapic_ack(&l), 0x30);
	lapic_eoi(&l);
	assert_true(lapic_timer_deadline(&l) == now + 500);
	/* Far ahead, and after the end of time. */
	lapic_set_tsc_deadline(&l, 5 * now, now);
	assert_true(lapic_timer_deadline(&l) == 5 * now);
	lapic_set_tsc_offset(&l, 500 - now, now);
	lapic_set_tsc_deadline(&l, UINT64_MAX, now);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_int_equal(lapic_timer_poll(&l, now), 0);
	lapic_set_tsc_offset(&l, 0, now);
	lapic_set_tsc_deadline(&l, UINT64_MAX, now);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	assert_true(lapic_get_tsc_deadline(&l, now) == UINT64_MAX);
	/* Masked or disabled. */
	wr(&l, LAPIC_LVTT, 0x50030);
	lapic_set_tsc_deadline(&l, now + 10, now);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	wr(&l, LAPIC_LVTT, 0x40030);
	assert_true(lapic_timer_deadline(&l) == now + 10);
	set_base(&l, 0, false);
	assert_int_equal(lapic_set_tsc_deadline(&l, now + 77, now), 0);
}

static void test_tsc_offset(void **state)
{
	struct lapic l = make_on(1);

	(void)state;
	wr(&l, LAPIC_LVTT, 0x40030);
	/* A guest whose TSC began at 0 a little while ago. */
	assert_int_equal(lapic_set_tsc_offset(&l, 500 - now, now), 0);
	lapic_set_tsc_deadline(&l, 1500, now);
	assert_true(lapic_timer_deadline(&l) == now + 1000);
	/* The guest sets its TSC back by 300. */
	assert_int_equal(lapic_set_tsc_offset(&l, 200 - now, now), LAPIC_FX_TIMER);
	assert_true(lapic_timer_deadline(&l) == now + 1300);
	assert_int_equal(lapic_get_tsc_deadline(&l, now), 1500);
	/* And then beyond the deadline. */
	lapic_set_tsc_offset(&l, -now + 5000, now);
	assert_int_equal(lapic_timer_poll(&l, now), LAPIC_FX_TIMER | LAPIC_FX_RECHECK);
	/* A guest's TSC ahead of the host's. */
	lapic_set_tsc_offset(&l, BIT(62), now);
	lapic_set_tsc_deadline(&l, now + BIT(62) + 12, now);
	assert_true(lapic_timer_deadline(&l) == now + 12);
	/* The count-down timer does not care. */
	wr(&l, LAPIC_LVTT, 0x30);
	wr(&l, LAPIC_TMICT, 1000000);
	assert_int_equal(lapic_set_tsc_offset(&l, 0, now), 0);
	assert_true(lapic_timer_deadline(&l) == now + 2 * KHZ);
}

/* ---- state ---- */

static u32 page[LAPIC_PAGE_BYTES / 4];

static void test_state_round_trip(void **state)
{
	struct lapic l = make(3), copy = make(3);

	(void)state;
	soil(&l);
	wr(&l, LAPIC_LDR, 0xa5000000);
	wr(&l, LAPIC_ESR, 0);
	now += 1000;
	lapic_get_state(&l, page, false, now);
	for (u32 i = 0; i < ARRAY_SIZE(page); i++)
		assert_int_equal(page[i], i % 4 ? 0 : rd(&l, i * 4));
	wr(&l, LAPIC_ESR, 0); /* reading page[0] as a register was an error */
	l.esr = page[LAPIC_ESR / 4];
	l.arb = 0; /* not in the page */
	copy.arb = 5;
	assert_int_equal(lapic_set_state(&copy, page, false, now), 0);
	/* The counter has whole counts: the fraction may differ by less than one. */
	assert_int_equal(rd(&copy, LAPIC_TMCCT), rd(&l, LAPIC_TMCCT));
	assert_in_range(copy.expiry, l.expiry, l.expiry + 128 * KHZ / UNITS);
	copy.expiry = l.expiry;
	copy.expiry_frac = l.expiry_frac;
	copy.wake = l.wake;
	assert_memory_equal(&copy, &l, sizeof(l));
}

static void test_state_x2apic(void **state)
{
	struct lapic l = make_x2(0x35), copy = make_x2(0x35);

	(void)state;
	wrmsr(&l, LAPIC_ICR, 0x1234567800004040);
	lapic_get_state(&l, page, true, now);
	assert_int_equal(page[LAPIC_ID / 4], 0x35);
	assert_int_equal(page[LAPIC_ICR / 4], 0x4040);
	assert_int_equal(page[LAPIC_ICR2 / 4], 0x12345678);
	assert_int_equal(page[LAPIC_LDR / 4], 0x30020);
	page[LAPIC_LDR / 4] = 0; /* derived */
	page[LAPIC_VER / 4] = 0;
	assert_int_equal(lapic_set_state(&copy, page, true, now), 0);
	assert_memory_equal(&copy, &l, sizeof(l));
	page[LAPIC_ID / 4] = 0x36;
	page[LAPIC_TPR / 4] = 0x44;
	assert_int_equal(lapic_set_state(&copy, page, true, now), -EINVAL);
	assert_memory_equal(&copy, &l, sizeof(l));

	/* Without the capability the ID sits where an xAPIC has it, and is not checked. */
	lapic_get_state(&l, page, false, now);
	assert_int_equal(page[LAPIC_ID / 4], 0x35000000);
	assert_int_equal(lapic_set_state(&copy, page, false, now), 0);
	assert_memory_equal(&copy, &l, sizeof(l));
	page[LAPIC_ID / 4] = 0x36000000;
	assert_int_equal(lapic_set_state(&copy, page, false, now), 0);
	assert_memory_equal(&copy, &l, sizeof(l));
}

static void test_state_is_checked(void **state)
{
	struct lapic l = make(3), x = make_x2(3);
	u64 val;

	(void)state;
	memset(page, 0xff, sizeof(page));
	assert_int_equal(lapic_set_state(&l, page, false, now), 0);
	assert_int_equal(rd(&l, LAPIC_ID), 0xff000000);
	assert_int_equal(rd(&l, LAPIC_VER), 0x50014);
	assert_int_equal(rd(&l, LAPIC_TPR), 0xff);
	assert_int_equal(rd(&l, LAPIC_LDR), 0xff000000);
	assert_int_equal(rd(&l, LAPIC_SVR), 0x3ff);
	assert_int_equal(rd(&l, LAPIC_IRR), 0xffff0000);
	assert_int_equal(rd(&l, LAPIC_ISR), 0xffff0000);
	assert_int_equal(rd(&l, LAPIC_TMR), 0xffff0000);
	assert_int_equal(rd(&l, LAPIC_IRR + 0x70), 0xffffffff);
	assert_int_equal(rd(&l, LAPIC_ICR2), 0xff000000);
	assert_int_equal(rd(&l, LAPIC_LVTT), 0x700ff);
	assert_int_equal(rd(&l, LAPIC_LVT0), 0x1a7ff);
	assert_int_equal(rd(&l, LAPIC_LVTERR), 0x100ff);
	assert_int_equal(rd(&l, LAPIC_TDCR), 0xb);
	assert_int_equal(lapic_ppr(&l), 0xff);
	for (int v = 255; v >= 16; v--)
		assert_int_equal(lapic_eoi(&l), v);
	assert_int_equal(lapic_eoi(&l), -1);
	wr(&l, LAPIC_TPR, 0);
	for (int v = 255; v >= 16; v--) {
		assert_int_equal(lapic_ack(&l), v);
		lapic_eoi(&l);
	}

	/* An APIC that is off has masked LVTs; errors of the past are over. */
	wr(&l, 0, 0);
	memset(page, 0, sizeof(page));
	assert_int_equal(lapic_set_state(&l, page, false, now), 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0);
	wr(&l, LAPIC_ESR, 0);
	assert_int_equal(rd(&l, LAPIC_ESR), 0);
	for (u32 off = LAPIC_LVTT; off <= LAPIC_LVTERR; off += 16)
		assert_int_equal(rd(&l, off), 0x10000);
	assert_int_equal(rd(&l, LAPIC_DFR), 0x0fffffff);

	/* What x2APIC's ICR cannot hold does not get in by the page either. */
	memset(page, 0xff, sizeof(page));
	assert_int_equal(lapic_set_state(&x, page, false, now), 0);
	assert_int_equal(rdmsr(&x, LAPIC_ICR, &val), 0);
	assert_int_equal(wrmsr(&x, LAPIC_ICR, val), 0);
}

static void test_state_timer(void **state)
{
	struct lapic l = make_on(3);

	(void)state;
	lapic_get_state(&l, page, false, now);
	page[LAPIC_TDCR / 4] = 0xb;
	page[LAPIC_LVTT / 4] = 0x20030;
	page[LAPIC_TMICT / 4] = 1000000;
	page[LAPIC_TMCCT / 4] = 250000;
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == now + ms(1) / 4);
	lapic_timer_poll(&l, now + ms(1) / 4);
	assert_in_range(lapic_timer_deadline(&l), now + ms(1) * 5 / 4 - 1, now + ms(1) * 5 / 4 + 1);
	/* Missing or impossible: a whole period. */
	page[LAPIC_TMCCT / 4] = 0;
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == now + ms(1));
	page[LAPIC_TMCCT / 4] = 1000001;
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == now + ms(1));
	/* One-shot: missing is at once. */
	page[LAPIC_LVTT / 4] = 0x30;
	page[LAPIC_TMCCT / 4] = 1000000;
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == now + ms(1));
	page[LAPIC_TMCCT / 4] = 0;
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == now);
	/* No count, no timer. */
	page[LAPIC_TMICT / 4] = 0;
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	page[LAPIC_TMCCT / 4] = 77;
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);

	/* A deadline is an MSR's, not the page's. */
	page[LAPIC_LVTT / 4] = 0x40030;
	page[LAPIC_TMICT / 4] = 1000;
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);
	lapic_set_tsc_deadline(&l, now + 99, now);
	assert_int_equal(rd(&l, LAPIC_TMCCT), 0);
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == now + 99);
	page[LAPIC_LVTT / 4] = 0x30;
	lapic_set_state(&l, page, false, now);
	page[LAPIC_LVTT / 4] = 0x40030;
	lapic_set_state(&l, page, false, now);
	assert_true(lapic_timer_deadline(&l) == LAPIC_NO_DEADLINE);

	/* What is due when the state is taken is in it. */
	lapic_set_tsc_deadline(&l, now + 99, now);
	lapic_get_state(&l, page, false, now + 99);
	assert_int_equal(page[LAPIC_IRR / 4 + 4], 1u << 0x10);
	assert_int_equal(lapic_get_tsc_deadline(&l, now), 0);
}

/* ---- against a model ---- */

struct model {
	bool irr[256], isr[256], tmr[256];
	u8 tpr;
	bool enabled;
};

static int model_top(const bool *map)
{
	for (int v = 255; v >= 0; v--)
		if (map[v])
			return v;
	return -1;
}

static int model_pending(const struct model *m)
{
	int irr = model_top(m->irr), isr = model_top(m->isr);

	if (irr < 0 || irr / 16 <= m->tpr / 16 || (isr >= 0 && irr / 16 <= isr / 16))
		return -1;
	return irr;
}

static void model_check(struct lapic *l, const struct model *m)
{
	for (u32 slot = 0; slot < 8; slot++) {
		u32 irr = 0, isr = 0, tmr = 0;

		for (u32 bit = 0; bit < 32; bit++) {
			irr |= (u32)m->irr[slot * 32 + bit] << bit;
			isr |= (u32)m->isr[slot * 32 + bit] << bit;
			tmr |= (u32)m->tmr[slot * 32 + bit] << bit;
		}
		assert_int_equal(rd(l, LAPIC_IRR + slot * 16), irr);
		assert_int_equal(rd(l, LAPIC_ISR + slot * 16), isr);
		assert_int_equal(rd(l, LAPIC_TMR + slot * 16), tmr);
	}
	assert_int_equal(lapic_pending(l), model_pending(m));
	assert_int_equal(lapic_highest_irr(l), model_top(m->irr));
	assert_int_equal(rd(l, LAPIC_TPR), m->tpr);
}

static void test_random_against_model(void **state)
{
	struct lapic l = make(1);
	struct model m = { 0 };

	(void)state;
	srand(7);
	for (u32 n = 0; n < 300000; n++) {
		u8 v = rand();
		bool level = rand() & 1;
		int want, got;

		switch (rand() % 16) {
		case 0 ... 5:
			want = !m.enabled ? -ENXIO : v < 16 ? -EINVAL : !m.irr[v];
			assert_int_equal(lapic_post(&l, v, level), want);
			if (want >= 0) {
				m.irr[v] = true;
				m.tmr[v] = level;
			}
			break;
		case 6 ... 9:
			want = model_pending(&m);
			assert_int_equal(lapic_ack(&l), want);
			if (want >= 0) {
				m.irr[want] = false;
				m.isr[want] = true;
			}
			break;
		case 10 ... 13:
			want = model_top(m.isr);
			wr(&l, LAPIC_EOI, v);
			got = fx.flags & LAPIC_FX_EOI ? fx.eoi_vector : -1;
			assert_int_equal(got, want >= 0 && m.tmr[want] ? want : -1);
			if (want >= 0)
				m.isr[want] = false;
			break;
		case 14:
			if (v & 1) {
				wr(&l, LAPIC_TPR, v);
				m.tpr = v;
			} else if (m.tpr / 16 != v / 16) {
				lapic_set_cr8(&l, v / 16);
				m.tpr = v & 0xf0;
			}
			break;
		case 15:
			m.enabled = rand() % 8;
			wr(&l, LAPIC_SVR, m.enabled ? 0x1ff : 0xff);
			break;
		}
		if (n % 16 == 0)
			model_check(&l, &m);
	}
}

/* The timer with the patience of 128-bit arithmetic and one period after the other. */
struct timer_model {
	u32 lvt, tmict, shift;
	bool running;
	u128 end; /* in millionths of a tick */
	u64 deadline, offset;
	u32 fired;
};

static u128 tm_period(const struct timer_model *t)
{
	u128 period = ((u128)t->tmict << t->shift) * KHZ;
	u128 min = (u128)LAPIC_MIN_PERIOD_NS * KHZ;

	return (t->lvt & LAPIC_LVTT_MODE) == LAPIC_LVTT_PERIOD && period < min ? min : period;
}

static void tm_run(struct timer_model *t)
{
	bool fires = false;

	while (t->running && now >= (u64)(t->end / UNITS)) {
		fires = true;
		if ((t->lvt & LAPIC_LVTT_MODE) == LAPIC_LVTT_PERIOD) {
			t->end += tm_period(t);
		} else {
			t->running = false;
			t->deadline = 0;
		}
	}
	if (fires && !(t->lvt & LAPIC_LVT_MASKED))
		t->fired = 1;
}

static void tm_arm_deadline(struct timer_model *t)
{
	u64 guest = now + t->offset;

	t->running = t->deadline != 0;
	t->end = t->deadline <= guest ? (u128)now * UNITS
				      : ((u128)now + (t->deadline - guest)) * UNITS;
}

static void tm_check(struct lapic *l, struct timer_model *t)
{
	bool tscdl = (t->lvt & LAPIC_LVTT_MODE) == LAPIC_LVTT_TSCDL;
	bool audible = t->running && !(t->lvt & LAPIC_LVT_MASKED);
	u128 tick = (u128)KHZ << t->shift;
	u64 count = 0;

	assert_true(lapic_timer_deadline(l) ==
		    (audible ? (u64)(t->end / UNITS) : LAPIC_NO_DEADLINE));
	if (t->running && !tscdl && t->tmict) {
		count = (t->end - (u128)now * UNITS + tick - 1) / tick;
		if (count > t->tmict)
			count %= t->tmict;
	}
	assert_int_equal(rd(l, LAPIC_TMCCT), count);
	assert_int_equal(rd(l, LAPIC_TMICT), t->tmict);
	assert_true(lapic_get_tsc_deadline(l, now) == (tscdl ? t->deadline : 0));
}

static void tm_step(struct lapic *l, struct timer_model *t)
{
	static const u32 modes[] = { LAPIC_LVTT_ONESHOT, LAPIC_LVTT_PERIOD, LAPIC_LVTT_TSCDL };
	bool was_tscdl = (t->lvt & LAPIC_LVTT_MODE) == LAPIC_LVTT_TSCDL;
	u32 val;

	switch (rand() % 8) {
	case 0:
		val = modes[rand() % 3] | (rand() % 4 ? 0 : LAPIC_LVT_MASKED) | 0x30;
		wr(l, LAPIC_LVTT, val);
		t->lvt = val;
		if (was_tscdl != ((val & LAPIC_LVTT_MODE) == LAPIC_LVTT_TSCDL)) {
			t->running = false;
			t->tmict = 0;
			t->deadline = 0;
		}
		break;
	case 1:
	case 2:
		val = rand() % 8 ? rand() % 3000000 : 0;
		wr(l, LAPIC_TMICT, val);
		if (was_tscdl)
			break;
		t->tmict = val;
		t->running = val;
		t->end = (u128)now * UNITS + tm_period(t);
		break;
	case 3:
		val = rand() % 8;
		wr(l, LAPIC_TDCR, tdcr_of_shift[val]);
		if (t->running && !was_tscdl)
			t->end = (u128)now * UNITS +
				 (((t->end - (u128)now * UNITS) << val) >> t->shift);
		t->shift = val;
		break;
	case 4:
	case 5: {
		u64 guest = now + t->offset;
		u64 deadline = rand() % 8 ? guest + rand() % 10000000 - 1000000 : 0;

		lapic_set_tsc_deadline(l, deadline, now);
		if (!was_tscdl)
			break;
		t->deadline = deadline;
		tm_arm_deadline(t);
		break;
	}
	case 6:
		t->offset += rand() % 2000000 - 1000000;
		lapic_set_tsc_offset(l, t->offset, now);
		if (t->deadline)
			tm_arm_deadline(t);
		break;
	default:
		break;
	}
}

static void test_random_timer(void **state)
{
	struct lapic l = make_on(1);
	struct timer_model t = { .lvt = LAPIC_LVT_MASKED, .shift = 1 };
	u32 fired = 0;

	(void)state;
	srand(11);
	for (u32 n = 0; n < 400000; n++) {
		now += rand() % 4 ? rand() % 1000000 : rand() % 30000000;
		tm_run(&t);
		/* Mostly the caller polls in time, sometimes only the register write notices. */
		if (rand() % 4)
			lapic_timer_poll(&l, now);
		if (l.expiry > now) {
			assert_int_equal(lapic_ack(&l), t.fired ? 0x30 : -1);
			lapic_eoi(&l);
			fired += t.fired;
			t.fired = 0;
			tm_check(&l, &t);
		}
		tm_step(&l, &t);
		tm_run(&t);
		lapic_timer_poll(&l, now);
	}
	assert_in_range(fired, 20000, 400000);
}

/*
 * Anything written anywhere, in any mode: nothing breaks, what is told holds, and the state that
 * user space gets is one that it can set.
 */
static void check_invariants(struct lapic *l)
{
	static u32 again[ARRAY_SIZE(page)];
	u64 base = lapic_base(l);
	int v = lapic_pending(l);
	bool lost_count;

	assert_true((base & LAPIC_BASE_EN) || !(base & LAPIC_BASE_EXTD));
	assert_true(v >= -1 && v <= 255);
	if (v >= 0) {
		assert_true(v >= 16 && v >> 4 > lapic_ppr(l) >> 4);
		assert_true(v <= lapic_highest_irr(l));
	}
	if (!(l->svr & LAPIC_SVR_ENABLE))
		for (u32 n = 0; n < LAPIC_NR_LVT; n++)
			assert_true(l->lvt[n] & LAPIC_LVT_MASKED);
	assert_true(l->wake == LAPIC_NO_DEADLINE || l->wake == l->expiry);
	assert_int_equal(lapic_timer_poll(l, now) & LAPIC_FX_IPI, 0);
	assert_true(lapic_timer_deadline(l) > now);

	lapic_get_state(l, page, true, now);
	/* Only a one-shot that has run out cannot be told from one whose count is not known. */
	lost_count = page[LAPIC_TMICT / 4] && !page[LAPIC_TMCCT / 4];
	assert_int_equal(lapic_set_state(l, page, true, now), 0);
	if (lost_count)
		return;
	lapic_get_state(l, again, true, now);
	assert_memory_equal(page, again, sizeof(page));
}

static void test_random_writes(void **state)
{
	struct lapic l = make_on(0x1234);
	u32 ipis = 0, faults = 0, modes[4] = { 0 };
	u64 val;

	(void)state;
	srand(3);
	for (u32 n = 0; n < 300000; n++) {
		u32 off = rand() % 64 * 16 + (rand() % 16 ? 0 : rand() % 16);
		u32 bits = rand() % 4 ? 1u << rand() % 32 | rand() % 256 : (u32)rand() * 2;

		now += rand() % 100000;
		switch (rand() % 8) {
		case 0:
			if (rand() % 64)
				break;
			faults += set_base(&l, (u64)(rand() % 8) << 9, rand() % 2) != 0;
			break;
		case 1:
			val = (u64)rand() << (rand() % 4 * 16);
			faults += lapic_msr_write(&l, 0x800 + off / 16,
						  val | (rand() % 2 ? bits : 0), now, &fx) != 0;
			ipis += fx.flags & LAPIC_FX_IPI;
			break;
		case 2:
			lapic_msr_read(&l, 0x800 + off / 16, &val, now);
			lapic_mmio_read(&l, off, 1u << rand() % 4, now);
			break;
		case 3:
			lapic_set_tsc_deadline(&l, now + rand() % 200000, now);
			break;
		case 4:
			lapic_post(&l, bits, rand() % 2);
			lapic_local_deliver(&l, rand() % LAPIC_NR_LVT);
			break;
		case 5:
			if (lapic_ack(&l) >= 0 && rand() % 4)
				lapic_eoi(&l);
			break;
		default:
			/* Keep it switched on more often than not. */
			lapic_mmio_write(&l, off, 4, off == LAPIC_SVR ? bits | 0x100 : bits, now,
					 &fx);
			ipis += fx.flags & LAPIC_FX_IPI;
			break;
		}
		modes[lapic_base(&l) >> 10 & 3]++;
		if (n % 8 == 0)
			check_invariants(&l);
	}
	/* It has been everywhere. */
	assert_true(ipis > 100 && faults > 1000);
	assert_true(modes[0] > 10000 && modes[1] == 0 && modes[2] > 10000 && modes[3] > 10000);
}

/* ---- many posters, one owner ---- */

enum {
	POSTERS = 4,
	ROUNDS = 200000
};

static struct lapic shared;
static u64 posted[POSTERS][256];

/* Each poster has its own vectors, and posts one again only after its interrupt was new. */
static void *poster(void *arg)
{
	u32 me = (uintptr_t)arg;
	u32 seed = me;

	for (u32 n = 0; n < ROUNDS; n++) {
		u32 v = 16 + (rand_r(&seed) % 60) * POSTERS + me;
		struct lapic_ipi ipi = { .vector = v, .trigger = v & 4, .level = true };

		switch (lapic_accept(&shared, &ipi)) {
		case LAPIC_FX_RECHECK:
			posted[me][v]++;
			break;
		case LAPIC_FX_COALESCED:
			break;
		default:
			abort();
		}
		if (n % 1000 == 0 &&
		    !lapic_ipi_matches(&shared, &(struct lapic_ipi){ .dest = 6 }, NULL))
			abort();
	}
	return NULL;
}

static bool taken[256];
static u32 running;

static void *poster_main(void *arg)
{
	poster(arg);
	__atomic_fetch_sub(&running, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Each request that was told to be new is delivered exactly once, with its own trigger mode. */
static void test_concurrent_posters(void **state)
{
	pthread_t threads[POSTERS];
	u64 got[256] = { 0 };

	(void)state;
	shared = make_on(6);
	running = POSTERS;
	memset(taken, 0, sizeof(taken));
	for (uintptr_t i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, poster_main, (void *)i), 0);
	for (;;) {
		bool last = !__atomic_load_n(&running, __ATOMIC_ACQUIRE);
		int depth = 0;

		for (;;) {
			int v = lapic_ack(&shared);

			if (v >= 0) {
				got[v]++;
				depth++;
				continue;
			}
			if (!depth)
				break;
			v = shared.isrv;
			assert_int_equal(lapic_eoi(&shared), v & 4 ? v : -1);
			depth--;
		}
		if (last)
			break;
	}
	for (u32 i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	for (u32 v = 16; v < 256; v++)
		assert_int_equal(got[v], posted[v % POSTERS][v]);
	assert_int_equal(lapic_highest_irr(&shared), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_on),
		cmocka_unit_test(test_init_and_reset),
		cmocka_unit_test(test_post_ack_eoi),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_cr8),
		cmocka_unit_test(test_apr),
		cmocka_unit_test(test_mmio_shapes),
		cmocka_unit_test(test_writable_bits),
		cmocka_unit_test(test_esr),
		cmocka_unit_test(test_software_disable),
		cmocka_unit_test(test_base_transitions),
		cmocka_unit_test(test_base_bits),
		cmocka_unit_test(test_disabled),
		cmocka_unit_test(test_x2apic_access),
		cmocka_unit_test(test_x2apic_reserved),
		cmocka_unit_test(test_self_ipi),
		cmocka_unit_test(test_icr),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_local_deliver),
		cmocka_unit_test(test_extint),
		cmocka_unit_test(test_match_physical),
		cmocka_unit_test(test_match_logical),
		cmocka_unit_test(test_match_shorthand),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_arbitrate),
		cmocka_unit_test(test_oneshot),
		cmocka_unit_test(test_timer_extremes),
		cmocka_unit_test(test_periodic_no_drift),
		cmocka_unit_test(test_periodic_very_late),
		cmocka_unit_test(test_periodic_coalesces),
		cmocka_unit_test(test_periodic_minimum),
		cmocka_unit_test(test_divider_change),
		cmocka_unit_test(test_mode_changes),
		cmocka_unit_test(test_masked_timer),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_tsc_offset),
		cmocka_unit_test(test_state_round_trip),
		cmocka_unit_test(test_state_x2apic),
		cmocka_unit_test(test_state_is_checked),
		cmocka_unit_test(test_state_timer),
		cmocka_unit_test(test_random_against_model),
		cmocka_unit_test(test_random_timer),
		cmocka_unit_test(test_random_writes),
		cmocka_unit_test(test_concurrent_posters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
