// SPDX-License-Identifier: GPL-2.0-only
/* The 21140A's registers, interrupts, timer and configuration space. */
#include "tests/unit/dec21140_bench.h"

#define US 1000ull

static uint32_t cfg(struct bench *b, unsigned int off)
{
	return pci_function_read(&b->dec.fn, off, 4);
}

static void set_cfg(struct bench *b, unsigned int off, uint32_t val)
{
	pci_function_write(&b->dec.fn, off, 4, val);
}

static void configuration(void **state)
{
	struct bench *b = *state;

	assert_int_equal(cfg(b, 0x00), 0x00091011);
	assert_int_equal(cfg(b, 0x04), 0x02800007);
	assert_int_equal(cfg(b, 0x08), 0x02000020);
	assert_int_equal(cfg(b, 0x2c), 0x21140a00);
	assert_int_equal(cfg(b, 0x3c), 0x28140100);
	set_cfg(b, 0x04, 0xffffffff);
	assert_int_equal(cfg(b, 0x04), 0x02800157);
	set_cfg(b, 0x10, 0xffffffff);
	set_cfg(b, 0x14, 0xffffffff);
	set_cfg(b, 0x18, 0xffffffff);
	set_cfg(b, 0x30, 0xffffffff);
	assert_int_equal(cfg(b, 0x10), 0xffffff81);
	assert_int_equal(cfg(b, 0x14), 0xffffff80);
	assert_int_equal(cfg(b, 0x18), 0);
	assert_int_equal(cfg(b, 0x30), 0);
	set_cfg(b, 0x40, 0xffffffff);
	assert_int_equal(cfg(b, 0x40), 0xc000ff00);
	dec21140_reset(&b->dec);
	assert_int_equal(cfg(b, 0x04), 0x02800000);
	assert_int_equal(cfg(b, 0x40), 0);
}

static void sleeping(void **state)
{
	struct bench *b = *state;

	set_cfg(b, 0x40, 0x40000000); /* snooze: nothing to be seen */
	set_csr(b, 7, 0x10041);
	assert_int_equal(csr(b, 7), 0xffff0041);
	set_cfg(b, 0x40, 0x80000000);
	assert_int_equal(csr(b, 7), 0xffffffff);
	set_csr(b, 7, 0);
	set_cfg(b, 0x40, 0);
	assert_int_equal(csr(b, 7), 0xffff0041);
}

static void check_defaults(struct bench *b)
{
	assert_int_equal(csr(b, 0), 0xfe000000);
	assert_int_equal(csr(b, 1), 0xffffffff);
	assert_int_equal(csr(b, 2), 0xffffffff);
	assert_int_equal(csr(b, 5), 0xfc000000);
	assert_int_equal(csr(b, 6), 0x32000040);
	assert_int_equal(csr(b, 7), 0xfffe0000);
	assert_int_equal(csr(b, 8), 0xe0000000);
	assert_int_equal(csr(b, 11), 0xfffe0000);
	assert_int_equal(csr(b, 12), 0xfffffeff);
	assert_int_equal(csr(b, 13), 0xffffffff);
	assert_int_equal(csr(b, 14), 0xffffffff);
	assert_int_equal(csr(b, 15), 0xfffffec8);
}

static void defaults(void **state)
{
	struct bench *b = *state;

	check_defaults(b);
	for (unsigned int n = 0; n < 16; n++)
		if (n != 9)
			set_csr(b, n, 0xfffffffe & ~(CSR6_ST | CSR6_SR));
	dec21140_reset(&b->dec);
	check_defaults(b);
}

static void software_reset(void **state)
{
	struct bench *b = *state;

	set_csr(b, 3, 0x1000);
	set_csr(b, 7, 0x1ffff);
	set_csr(b, 11, 0x10001);
	set_csr(b, 12, 0x1ff);
	set_csr(b, 15, 0x37);
	fakeclock_advance(&b->clock, 300 * US);
	assert_true(inta(b));
	set_csr(b, 0, CSR0_SWR);
	assert_false(inta(b));
	assert_int_equal(csr(b, 0), 0xfe000001);
	set_csr(b, 0, 0);
	check_defaults(b);
	fakeclock_advance(&b->clock, 300000 * US);
	assert_int_equal(csr(b, 5), 0xfc000000); /* no timer is left */
	/* The port select bit is not reset. */
	set_csr(b, 6, CSR6_PS);
	set_csr(b, 0, CSR0_SWR);
	assert_int_equal(csr(b, 6), 0x32040040);
}

static void writable_bits(void **state)
{
	struct bench *b = *state;

	set_csr(b, 0, 0xfffffffe);
	assert_int_equal(csr(b, 0), 0xffbffffe);
	set_csr(b, 3, 0xffffffff);
	assert_int_equal(csr(b, 3), 0xfffffffc);
	set_csr(b, 4, 0xffffffff);
	assert_int_equal(csr(b, 4), 0xfffffffc);
	set_csr(b, 6, 0xffffffff & ~(CSR6_ST | CSR6_SR));
	assert_int_equal(csr(b, 6), 0xffffdfe8); /* HP, HO and IF come from setup frames */
	set_csr(b, 6, 0);
	assert_int_equal(csr(b, 6), 0x32000000);
	set_csr(b, 7, 0xffffffff);
	assert_int_equal(csr(b, 7), 0xffffffff);
	set_csr(b, 10, 0xffffffff);
	assert_int_equal(csr(b, 10), 0xffffffff);
	set_csr(b, 10, 0x12345);
	assert_int_equal(csr(b, 10), 0xfffd2345);
	set_csr(b, 15, 0xffffffff);
	assert_int_equal(csr(b, 15), 0xfffffeff);
}

static void access_sizes(void **state)
{
	struct bench *b = *state;
	const struct device_ops *ops = &dec21140_ops;

	set_csr(b, 3, 0x12345678);
	assert_int_equal(ops->read(&b->dec, 0x18, 1), 0x78);
	assert_int_equal(ops->read(&b->dec, 0x19, 1), 0x56);
	assert_int_equal(ops->read(&b->dec, 0x1a, 2), 0x1234);
	assert_int_equal(ops->read(&b->dec, 0x1c, 4), 0xffffffff);
	assert_int_equal(ops->read(&b->dec, 0x1a, 4), 0xffff1234);
	assert_int_equal(ops->read(&b->dec, 0x1b, 1), 0x12);
	assert_int_equal(ops->read(&b->dec, 0x1e, 2), 0xffff);
	assert_true(ops->read(&b->dec, 0x18, 8) == 0xffffffff12345678ull);
	assert_true(ops->read(&b->dec, 0x1b, 8) == 0xffffffffffffff12ull);
	ops->write(&b->dec, 0x18, 2, 0);
	ops->write(&b->dec, 0x19, 1, 0);
	ops->write(&b->dec, 0x1c, 4, 0);
	ops->write(&b->dec, 0x1a, 4, 0);
	assert_int_equal(csr(b, 3), 0x12345678);
	ops->write(&b->dec, 0x18, 8, 0xaaaaaaaa00004000ull);
	assert_int_equal(csr(b, 3), 0x4000);
	/* The unused half of CSR8 does not clear it. */
	b->dec.missed = 3;
	ops->read(&b->dec, 0x44, 4);
	assert_int_equal(csr(b, 8), 0xe0000003);
}

static void missed_frames(void **state)
{
	struct bench *b = *state;

	b->dec.missed = 0xfffe;
	dec21140_missed(&b->dec);
	assert_int_equal(csr(b, 8), 0xe000ffff);
	assert_int_equal(csr(b, 8), 0xe0000000);
	b->dec.missed = 0xffff;
	dec21140_missed(&b->dec);
	dec21140_missed(&b->dec);
	assert_int_equal(csr(b, 8), 0xe0010001);
}

/* Each event: which summary it is in, that it is masked, and that it is cleared by writing 1. */
static void summaries(void **state)
{
	struct bench *b = *state;

	for (unsigned int bit = 0; bit < 15; bit++) {
		uint32_t event = 1u << bit;
		uint32_t in = event & CSR5_NORMAL ? CSR5_NIS : CSR5_AIS;

		if (!(event & CSR5_EVENTS))
			continue;
		set_csr(b, 7, 0);
		dec21140_event(&b->dec, event);
		assert_int_equal(csr(b, 5), 0xfc000000 | event);
		set_csr(b, 7, CSR5_NIS | CSR5_AIS);
		assert_int_equal(csr(b, 5), 0xfc000000 | event);
		assert_false(inta(b));
		set_csr(b, 7, event);
		assert_int_equal(csr(b, 5), 0xfc000000 | event | in);
		assert_false(inta(b));
		set_csr(b, 7, event | (CSR5_NIS | CSR5_AIS));
		assert_true(inta(b));
		set_csr(b, 7, event | in);
		assert_true(inta(b));
		set_csr(b, 5, ~event);
		assert_true(inta(b));
		set_csr(b, 5, event);
		assert_false(inta(b));
		assert_int_equal(csr(b, 5), 0xfc000000);
	}
	assert_int_equal(CSR5_NORMAL, 0x4045);
	assert_int_equal(CSR5_ABNORMAL, 0x2faa);
}

static void early_interrupts_are_taken_back(void **state)
{
	struct bench *b = *state;

	dec21140_event(&b->dec, CSR5_ETI | CSR5_ERI);
	dec21140_event(&b->dec, CSR5_TI);
	assert_int_equal(csr(b, 5), 0xfc000000 | CSR5_TI | CSR5_ERI);
	dec21140_event(&b->dec, CSR5_RI);
	assert_int_equal(csr(b, 5), 0xfc000000 | CSR5_TI | CSR5_RI);
}

/* 81.92 us by MII at 100 Mbit/s, 819.2 at 10, 204.8 at the serial port. */
static void timer_cycles(void **state)
{
	static const struct {
		uint32_t csr6;
		uint64_t ns;
	} port[] = { { CSR6_PS, 81920 }, { CSR6_PS | CSR6_TTM, 819200 }, { 0, 204800 } };
	struct bench *b = *state;

	for (unsigned int i = 0; i < 3; i++) {
		set_csr(b, 6, port[i].csr6);
		set_csr(b, 11, 10);
		assert_int_equal(csr(b, 11), 0xfffe000a);
		fakeclock_advance(&b->clock, port[i].ns * 3);
		assert_int_equal(csr(b, 11), 0xfffe0007);
		fakeclock_advance(&b->clock, port[i].ns * 7 - 1);
		assert_int_equal(csr(b, 5), 0xfc000000);
		assert_int_equal(csr(b, 11), 0xfffe0001);
		fakeclock_advance(&b->clock, 1);
		assert_int_equal(csr(b, 5), 0xfc000800);
		assert_int_equal(csr(b, 11), 0xfffe0000);
		set_csr(b, 5, CSR5_GTE);
		fakeclock_advance(&b->clock, port[i].ns * 100);
		assert_int_equal(csr(b, 5), 0xfc000000);
	}
}

static void timer_continuous(void **state)
{
	struct bench *b = *state;
	const uint64_t period = 5 * 81920;

	set_csr(b, 6, CSR6_PS);
	set_csr(b, 11, CSR11_CON | 5);
	for (unsigned int i = 0; i < 5; i++) {
		fakeclock_advance(&b->clock, period - 1);
		assert_int_equal(csr(b, 5), 0xfc000000);
		fakeclock_advance(&b->clock, 1);
		assert_int_equal(csr(b, 5), 0xfc000800);
		assert_int_equal(csr(b, 11), 0xffff0005);
		set_csr(b, 5, CSR5_GTE);
	}
	/* While GTE is pending it wakes nobody; then it goes on in step. */
	fakeclock_advance(&b->clock, period);
	assert_int_equal(timerq_deadline(&b->clock.q), TIMERQ_NEVER);
	fakeclock_advance(&b->clock, 7 * period + 2 * 81920);
	assert_int_equal(csr(b, 11), 0xffff0003);
	set_csr(b, 5, CSR5_GTE);
	fakeclock_advance(&b->clock, 3 * 81920 - 1);
	assert_int_equal(csr(b, 5), 0xfc000000);
	fakeclock_advance(&b->clock, 1);
	assert_int_equal(csr(b, 5), 0xfc000800);
	set_csr(b, 11, 0);
	set_csr(b, 5, CSR5_GTE);
	fakeclock_advance(&b->clock, 10 * period);
	assert_int_equal(csr(b, 5), 0xfc000000);
}

static void general_purpose_port(void **state)
{
	struct bench *b = *state;

	set_csr(b, 12, 0x0f);
	assert_int_equal(csr(b, 12), 0xfffffeff);
	set_csr(b, 12, 0x13c);
	assert_int_equal(csr(b, 12), 0xfffffecf);
	set_csr(b, 12, 0x30);
	assert_int_equal(csr(b, 12), 0xfffffef3);
}

static void process_states(void **state)
{
	struct bench *b = *state;

	/* All descriptors are the guest's. */
	set_csr(b, 3, 0x1000);
	set_csr(b, 4, 0x2000);
	set_csr(b, 6, CSR6_PS | CSR6_ST | CSR6_SR);
	assert_int_equal(csr(b, 5),
			 0xfc000000 | CSR5_RS_SUSPENDED | CSR5_TS_SUSPENDED | CSR5_RU | CSR5_TU);
	clear_events(b);
	set_csr(b, 6, CSR6_PS | CSR6_ST);
	assert_int_equal(csr(b, 5), 0xfc000000 | CSR5_TS_SUSPENDED | CSR5_RPS);
	set_csr(b, 6, CSR6_PS);
	assert_int_equal(csr(b, 5), 0xfc000000 | CSR5_RPS | CSR5_TPS);
	clear_events(b);
	set_csr(b, 6, 0);
	poll_demand(b);
	set_csr(b, 2, 0);
	assert_int_equal(csr(b, 5), 0xfc000000);
	set_desc(b, 0x1000, DES0_OWN, 0, 0, 0);
	set_csr(b, 6, CSR6_PS | CSR6_SR);
	assert_int_equal(csr(b, 5), 0xfc000000 | CSR5_RS_WAIT);
}

static void counters(void **state)
{
	struct bench *b = *state;

	csr(b, 5);
	csr(b, 5);
	set_csr(b, 7, 0);
	set_csr(b, 7, 0x10040);
	assert_int_equal(b->dec.stats.csr_reads[5], 2);
	assert_int_equal(b->dec.stats.csr_writes[7], 2);
	dec21140_event(&b->dec, CSR5_RI);
	dec21140_event(&b->dec, CSR5_RI);
	set_csr(b, 5, CSR5_RI);
	dec21140_event(&b->dec, CSR5_RI);
	assert_int_equal(b->dec.stats.interrupts, 2);
	dec21140_reset(&b->dec);
	assert_int_equal(b->dec.stats.interrupts, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(configuration, bench_setup),
		cmocka_unit_test_setup(sleeping, bench_setup),
		cmocka_unit_test_setup(defaults, bench_setup),
		cmocka_unit_test_setup(software_reset, bench_setup),
		cmocka_unit_test_setup(writable_bits, bench_setup),
		cmocka_unit_test_setup(access_sizes, bench_setup),
		cmocka_unit_test_setup(missed_frames, bench_setup),
		cmocka_unit_test_setup(summaries, bench_setup),
		cmocka_unit_test_setup(early_interrupts_are_taken_back, bench_setup),
		cmocka_unit_test_setup(timer_cycles, bench_setup),
		cmocka_unit_test_setup(timer_continuous, bench_setup),
		cmocka_unit_test_setup(general_purpose_port, bench_setup),
		cmocka_unit_test_setup(process_states, bench_setup),
		cmocka_unit_test_setup(counters, bench_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
