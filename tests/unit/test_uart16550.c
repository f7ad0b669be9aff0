// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "tests/unit/fakeclock.h"
#include "worker/platform/uart16550.h"

struct bench {
	struct fakeclock clock;
	struct fakepins pins;
	struct uart16550 u;
	uint8_t sent[256];
	size_t nsent;
	size_t budget; /* characters that the host still takes */
	int breaks[2];
	int ready;
};

static size_t host_tx(void *ctx, const uint8_t *buf, size_t len)
{
	struct bench *b = ctx;

	if (len > b->budget)
		len = b->budget;
	memcpy(&b->sent[b->nsent], buf, len);
	b->nsent += len;
	b->budget -= len;
	return len;
}

static void host_break(void *ctx, bool on)
{
	((struct bench *)ctx)->breaks[on]++;
}

static void host_ready(void *ctx)
{
	((struct bench *)ctx)->ready++;
}

static uint8_t rd(struct bench *b, unsigned int reg)
{
	return (uint8_t)uart_ops.read(&b->u, reg, 1);
}

static void wr(struct bench *b, unsigned int reg, uint8_t val)
{
	uart_ops.write(&b->u, reg, 1, val);
}

static void rx(struct bench *b, const char *s)
{
	assert_int_equal(uart_rx(&b->u, (const uint8_t *)s, strlen(s)), strlen(s));
}

static bool irq(struct bench *b)
{
	return b->pins.level[4];
}

static int setup(void **state)
{
	static struct bench b;
	struct uart_host host = { host_tx, host_break, host_ready, &b };

	memset(&b, 0, sizeof(b));
	b.budget = sizeof(b.sent);
	fakeclock_init(&b.clock);
	uart_init(&b.u, &b.clock.clk, fakepin(&b.pins, 4), &host);
	*state = &b;
	return 0;
}

static void set_divisor(struct bench *b, uint16_t div, uint8_t lcr)
{
	wr(b, UART_LCR, lcr | UART_LCR_DLAB);
	wr(b, UART_DLL, (uint8_t)div);
	wr(b, UART_DLM, div >> 8);
	wr(b, UART_LCR, lcr);
}

static void reset_values(void **state)
{
	struct bench *b = *state;

	assert_int_equal(rd(b, UART_IER), 0);
	assert_int_equal(rd(b, UART_IIR), UART_IIR_NONE);
	assert_int_equal(rd(b, UART_LCR), 0);
	assert_int_equal(rd(b, UART_MCR), 0);
	assert_int_equal(rd(b, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(rd(b, UART_MSR), UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD);
	wr(b, UART_SCR, 0xa5);
	wr(b, UART_IER, 0xff);
	wr(b, UART_MCR, 0xff);
	assert_int_equal(rd(b, UART_SCR), 0xa5);
	assert_int_equal(rd(b, UART_IER), 0x0f);
	assert_int_equal(rd(b, UART_MCR), 0x1f);
	uart_reset(&b->u);
	assert_int_equal(rd(b, UART_IER), 0);
	assert_int_equal(rd(b, UART_SCR), 0xa5);
	assert_false(irq(b));
}

static void divisor_hides_behind_dlab(void **state)
{
	struct bench *b = *state;

	set_divisor(b, 0x1234, 3);
	assert_int_equal(b->nsent, 0);
	assert_int_equal(rd(b, UART_IER), 0);
	wr(b, UART_LCR, UART_LCR_DLAB | 3);
	assert_int_equal(uart_ops.read(&b->u, UART_DLL, 2), 0x1234);
	/* A 16-bit write is two byte cycles. */
	uart_ops.write(&b->u, UART_DLL, 2, 0x5678);
	assert_int_equal(rd(b, UART_DLL), 0x78);
	assert_int_equal(rd(b, UART_DLM), 0x56);
}

static void transmits(void **state)
{
	struct bench *b = *state;

	wr(b, UART_THR, 'a');
	wr(b, UART_THR, 'b');
	assert_memory_equal(b->sent, "ab", 2);
	assert_true(rd(b, UART_LSR) & UART_LSR_THRE);
}

static void thre_interrupt(void **state)
{
	struct bench *b = *state;

	wr(b, UART_MCR, UART_MCR_OUT2);
	/* Enabling it with THR empty interrupts at once, also a second time. */
	wr(b, UART_IER, UART_IER_ETBEI);
	assert_true(irq(b));
	assert_int_equal(rd(b, UART_IIR), UART_IIR_THRI);
	assert_false(irq(b));
	assert_int_equal(rd(b, UART_IIR), UART_IIR_NONE);
	wr(b, UART_IER, 0);
	wr(b, UART_IER, UART_IER_ETBEI);
	assert_true(irq(b));
	/* Writing again what is enabled already does not. */
	rd(b, UART_IIR);
	wr(b, UART_IER, UART_IER_ETBEI);
	assert_false(irq(b));
	/* A character clears it and its being sent sets it. */
	wr(b, UART_THR, 'x');
	assert_true(irq(b));
	b->budget = 0;
	wr(b, UART_THR, 'y');
	assert_false(irq(b));
	b->budget = 10;
	uart_tx_ready(&b->u);
	assert_true(irq(b));
	assert_int_equal(b->sent[1], 'y');
}

static void back_pressure(void **state)
{
	struct bench *b = *state;

	wr(b, UART_FCR, UART_FCR_ENABLE);
	b->budget = 3;
	for (int i = 0; i < 20; i++)
		wr(b, UART_THR, 'a' + i);
	/* 3 sent, 16 in the FIFO, the last one lost. */
	assert_int_equal(b->nsent, 3);
	assert_false(rd(b, UART_LSR) & (UART_LSR_THRE | UART_LSR_TEMT));
	b->budget = 5;
	uart_tx_ready(&b->u);
	assert_int_equal(b->nsent, 8);
	assert_false(rd(b, UART_LSR) & UART_LSR_THRE);
	b->budget = 100;
	uart_tx_ready(&b->u);
	assert_int_equal(b->nsent, 19);
	assert_memory_equal(b->sent, "abcdefghijklmnopqrs", 19);
	assert_true(rd(b, UART_LSR) & UART_LSR_TEMT);
	/* Clearing the FIFO while the host is stuck drops what is in it. */
	b->budget = 0;
	wr(b, UART_THR, 'z');
	wr(b, UART_FCR, UART_FCR_ENABLE | UART_FCR_CLEARTX);
	assert_true(rd(b, UART_LSR) & UART_LSR_TEMT);
	b->budget = 100;
	uart_tx_ready(&b->u);
	assert_int_equal(b->nsent, 19);
}

static void back_pressure_without_fifo(void **state)
{
	struct bench *b = *state;

	b->budget = 0;
	wr(b, UART_THR, 'a');
	assert_false(rd(b, UART_LSR) & UART_LSR_THRE);
	wr(b, UART_THR, 'b'); /* overwrites THR */
	b->budget = 10;
	uart_tx_ready(&b->u);
	assert_int_equal(b->nsent, 1);
	assert_int_equal(b->sent[0], 'b');
}

static void receives_without_fifo(void **state)
{
	struct bench *b = *state;

	wr(b, UART_MCR, UART_MCR_OUT2);
	wr(b, UART_IER, UART_IER_ERBFI);
	assert_int_equal(uart_rx_space(&b->u), 1);
	assert_int_equal(uart_rx(&b->u, (const uint8_t *)"xy", 2), 1);
	assert_int_equal(uart_rx_space(&b->u), 0);
	assert_true(irq(b));
	assert_int_equal(rd(b, UART_IIR), UART_IIR_RDI);
	assert_true(rd(b, UART_LSR) & UART_LSR_DR);
	assert_int_equal(rd(b, UART_RBR), 'x');
	assert_false(irq(b));
	assert_false(rd(b, UART_LSR) & UART_LSR_DR);
	/* An overrun overwrites RBR here. */
	uart_rx_error(&b->u, '1', 0);
	uart_rx_error(&b->u, '2', 0);
	assert_int_equal(rd(b, UART_LSR) & (UART_LSR_OE | UART_LSR_DR), UART_LSR_OE | UART_LSR_DR);
	assert_int_equal(rd(b, UART_LSR) & UART_LSR_OE, 0);
	assert_int_equal(rd(b, UART_RBR), '2');
}

static void fifo_triggers(void **state)
{
	static const unsigned int level[4] = { 1, 4, 8, 14 };
	struct bench *b = *state;

	wr(b, UART_MCR, UART_MCR_OUT2);
	wr(b, UART_IER, UART_IER_ERBFI);
	for (unsigned int i = 0; i < 4; i++) {
		wr(b, UART_FCR, (uint8_t)(i << 6 | UART_FCR_ENABLE | UART_FCR_CLEARRX));
		for (unsigned int n = 1; n <= UART_FIFO_SIZE; n++) {
			rx(b, "q");
			assert_int_equal(irq(b), n >= level[i]);
			assert_int_equal(rd(b, UART_IIR),
					 UART_IIR_FIFO |
						 (n >= level[i] ? UART_IIR_RDI : UART_IIR_NONE));
		}
		assert_int_equal(uart_rx_space(&b->u), 0);
		/* Falls back below the trigger: the interrupt goes, data stays. */
		for (unsigned int n = UART_FIFO_SIZE; n >= level[i]; n--) {
			assert_true(irq(b));
			rd(b, UART_RBR);
		}
		assert_false(irq(b));
		assert_int_equal(!!(rd(b, UART_LSR) & UART_LSR_DR), level[i] > 1);
	}
}

static void receive_timeout(void **state)
{
	struct bench *b = *state;
	const uint64_t char_ns = 10 * DEV_NS_PER_SEC / 9600; /* 8n1 */

	set_divisor(b, 12, 3);
	wr(b, UART_MCR, UART_MCR_OUT2);
	wr(b, UART_IER, UART_IER_ERBFI);
	wr(b, UART_FCR, 0xc1); /* trigger at 14 */
	rx(b, "ab");
	fakeclock_advance(&b->clock, 3 * char_ns);
	rx(b, "c"); /* starts it anew */
	fakeclock_advance(&b->clock, 4 * char_ns - 1000);
	assert_false(irq(b));
	fakeclock_advance(&b->clock, 2000);
	assert_true(irq(b));
	assert_int_equal(rd(b, UART_IIR), UART_IIR_FIFO | UART_IIR_CTI);
	assert_true(irq(b)); /* reading IIR does not clear this one */
	assert_int_equal(rd(b, UART_RBR), 'a');
	assert_false(irq(b));
	/* Two are left: another four character times later. */
	fakeclock_advance(&b->clock, 4 * char_ns + 1000);
	assert_true(irq(b));
	rd(b, UART_RBR);
	rd(b, UART_RBR);
	fakeclock_advance(&b->clock, 100 * char_ns);
	assert_false(irq(b));
	assert_true(timerq_deadline(&b->clock.q) == TIMERQ_NEVER);
	/* 7e2 is 11 bits as well as 8n2 is: 4 * 11 bit times. */
	set_divisor(b, 12, 2 | UART_LCR_STB | UART_LCR_PEN);
	rx(b, "z");
	fakeclock_advance(&b->clock, 4 * 11 * DEV_NS_PER_SEC / 9600 - 1000);
	assert_false(irq(b));
	fakeclock_advance(&b->clock, 2000);
	assert_true(irq(b));
}

static void interrupt_priorities(void **state)
{
	struct bench *b = *state;

	wr(b, UART_MCR, UART_MCR_OUT2);
	wr(b, UART_IER, 0x0f);
	wr(b, UART_FCR, 0x01);
	uart_set_lines(&b->u, UART_MSR_DSR | UART_MSR_DCD); /* CTS drops */
	rx(b, "a");
	uart_rx_error(&b->u, 'b', UART_LSR_PE);
	/* THRE pending since IER; data; modem status. The error is not at the top yet. */
	assert_int_equal(rd(b, UART_IIR) & 0xf, UART_IIR_RDI);
	rd(b, UART_RBR);
	assert_int_equal(rd(b, UART_IIR) & 0xf, UART_IIR_RLSI);
	assert_int_equal(rd(b, UART_LSR),
			 UART_LSR_FIFE | UART_LSR_TEMT | UART_LSR_THRE | UART_LSR_PE | UART_LSR_DR);
	assert_int_equal(rd(b, UART_LSR), UART_LSR_TEMT | UART_LSR_THRE | UART_LSR_DR);
	assert_int_equal(rd(b, UART_IIR) & 0xf, UART_IIR_RDI);
	assert_int_equal(rd(b, UART_RBR), 'b');
	assert_int_equal(rd(b, UART_IIR) & 0xf, UART_IIR_THRI);
	assert_int_equal(rd(b, UART_IIR) & 0xf, UART_IIR_MSI);
	assert_true(irq(b));
	assert_int_equal(rd(b, UART_MSR), UART_MSR_DSR | UART_MSR_DCD | UART_MSR_DCTS);
	assert_false(irq(b));
	assert_int_equal(rd(b, UART_IIR) & 0xf, UART_IIR_NONE);
}

static void overrun_in_fifo_mode(void **state)
{
	struct bench *b = *state;

	wr(b, UART_FCR, 0x01);
	rx(b, "0123456789abcdef");
	uart_rx_error(&b->u, 'X', 0);
	assert_true(rd(b, UART_LSR) & UART_LSR_OE);
	for (int i = 0; i < 16; i++)
		assert_int_equal(rd(b, UART_RBR), "0123456789abcdef"[i]);
	assert_false(rd(b, UART_LSR) & UART_LSR_DR);
}

static void tells_when_there_is_space(void **state)
{
	struct bench *b = *state;

	rx(b, "x");
	assert_int_equal(b->ready, 0);
	rd(b, UART_LSR);
	assert_int_equal(b->ready, 0);
	rd(b, UART_RBR);
	assert_int_equal(b->ready, 1);
	wr(b, UART_MCR, UART_MCR_LOOP);
	wr(b, UART_MCR, 0);
	assert_int_equal(b->ready, 2);
	wr(b, UART_FCR, 0x01);
	assert_int_equal(b->ready, 2);
	rx(b, "0123456789abcdef");
	rd(b, UART_RBR);
	rd(b, UART_RBR);
	assert_int_equal(b->ready, 3);
	rx(b, "xx");
	wr(b, UART_FCR, 0x03);
	assert_int_equal(b->ready, 4);
}

static void breaks(void **state)
{
	struct bench *b = *state;

	wr(b, UART_FCR, 0x01);
	uart_rx_break(&b->u);
	assert_int_equal(rd(b, UART_LSR) & 0x9f,
			 UART_LSR_FIFE | UART_LSR_BI | UART_LSR_FE | UART_LSR_DR);
	assert_int_equal(rd(b, UART_RBR), 0);
	wr(b, UART_LCR, 3 | UART_LCR_BREAK);
	wr(b, UART_LCR, 3 | UART_LCR_BREAK);
	assert_int_equal(b->breaks[1], 1);
	wr(b, UART_LCR, 3);
	assert_int_equal(b->breaks[0], 1);
	wr(b, UART_LCR, 3 | UART_LCR_BREAK);
	uart_reset(&b->u); /* ends it */
	assert_int_equal(b->breaks[0], 2);
}

static void loop_back(void **state)
{
	struct bench *b = *state;

	wr(b, UART_FCR, 0x01);
	wr(b, UART_LCR, 3);
	wr(b, UART_IER, UART_IER_ERBFI);
	/* The test that Linux and others use to recognise the part. */
	wr(b, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(rd(b, UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	assert_int_equal(rd(b, UART_MSR) & 0x0f, 0);
	wr(b, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1 | UART_MCR_DTR);
	assert_int_equal(rd(b, UART_MSR), UART_MSR_DSR | UART_MSR_RI | UART_MSR_DDCD |
						  UART_MSR_DDSR | UART_MSR_DCTS);
	wr(b, UART_MCR, UART_MCR_LOOP);
	assert_int_equal(rd(b, UART_MSR), UART_MSR_TERI | UART_MSR_DDSR);

	wr(b, UART_THR, 0xa5);
	assert_int_equal(b->nsent, 0);
	assert_int_equal(rd(b, UART_IIR) & 0xf, UART_IIR_RDI);
	assert_int_equal(rd(b, UART_RBR), 0xa5);
	/* 5-bit characters lose the upper three. */
	wr(b, UART_LCR, 0);
	wr(b, UART_THR, 0xff);
	assert_int_equal(rd(b, UART_RBR), 0x1f);
	/* The host cannot reach the receiver, nor the interrupt the pin. */
	assert_int_equal(uart_rx_space(&b->u), 0);
	wr(b, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2);
	wr(b, UART_THR, 'x');
	assert_int_equal(rd(b, UART_IIR) & 0xf, UART_IIR_RDI);
	assert_false(irq(b));
	/* Break loops back; too much overruns. */
	wr(b, UART_FCR, 0x03);
	wr(b, UART_LCR, UART_LCR_BREAK | 3);
	assert_true(rd(b, UART_LSR) & UART_LSR_BI);
	assert_int_equal(b->breaks[1], 0);
	for (int i = 0; i < 16; i++)
		wr(b, UART_THR, 'o');
	assert_true(rd(b, UART_LSR) & UART_LSR_OE);
	/* Nothing of all this reached the host. */
	assert_int_equal(b->nsent, 0);
	/* Leaving it connects the pin again. */
	wr(b, UART_MCR, UART_MCR_OUT2);
	assert_true(irq(b));
}

static void loop_back_and_back_pressure(void **state)
{
	struct bench *b = *state;

	wr(b, UART_FCR, 0x01);
	b->budget = 0;
	wr(b, UART_THR, 'a');
	wr(b, UART_MCR, UART_MCR_LOOP);
	b->budget = 10;
	uart_tx_ready(&b->u); /* not connected now */
	assert_int_equal(b->nsent, 0);
	wr(b, UART_MCR, 0); /* connected: what waited is sent */
	assert_int_equal(b->nsent, 1);
	assert_int_equal(b->sent[0], 'a');
	/* Other changes of MCR send nothing by themselves. */
	b->budget = 0;
	wr(b, UART_THR, 'b');
	b->budget = 10;
	wr(b, UART_MCR, UART_MCR_RTS);
	assert_int_equal(b->nsent, 1);
	/* Reset drops it, and no interrupt of before is left. */
	uart_reset(&b->u);
	uart_tx_ready(&b->u);
	assert_int_equal(b->nsent, 1);
	assert_false(b->u.thr_int);
}

static void out2_gates_the_pin(void **state)
{
	struct bench *b = *state;

	wr(b, UART_IER, UART_IER_ETBEI);
	assert_false(irq(b));
	assert_int_equal(b->u.thr_int, true);
	wr(b, UART_MCR, UART_MCR_OUT2);
	assert_true(irq(b));
	wr(b, UART_MCR, 0);
	assert_false(irq(b));
}

static void modem_lines(void **state)
{
	struct bench *b = *state;

	wr(b, UART_MCR, UART_MCR_OUT2);
	wr(b, UART_IER, UART_IER_EDSSI);
	uart_set_lines(&b->u, UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD | UART_MSR_RI);
	assert_false(irq(b)); /* RI's leading edge is not reported */
	uart_set_lines(&b->u, UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD);
	assert_true(irq(b));
	uart_set_lines(&b->u, UART_MSR_DSR | UART_MSR_DCD);
	assert_int_equal(rd(b, UART_MSR) & 0x0f, UART_MSR_TERI | UART_MSR_DCTS); /* they add up */
	assert_false(irq(b));
}

static void fcr_rules(void **state)
{
	struct bench *b = *state;

	/* Without bit 0 nothing else counts. */
	rx(b, "k");
	wr(b, UART_FCR, UART_FCR_CLEARRX | UART_FCR_TRIGGER);
	assert_true(rd(b, UART_LSR) & UART_LSR_DR);
	assert_int_equal(rd(b, UART_IIR) & UART_IIR_FIFO, 0);
	/* Switching modes empties them, both ways. */
	wr(b, UART_FCR, UART_FCR_ENABLE);
	assert_int_equal(rd(b, UART_IIR) & UART_IIR_FIFO, UART_IIR_FIFO);
	assert_false(rd(b, UART_LSR) & UART_LSR_DR);
	rx(b, "kkk");
	wr(b, UART_FCR, 0);
	assert_false(rd(b, UART_LSR) & UART_LSR_DR);
	assert_true(timerq_deadline(&b->clock.q) == TIMERQ_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(reset_values, setup),
		cmocka_unit_test_setup(divisor_hides_behind_dlab, setup),
		cmocka_unit_test_setup(transmits, setup),
		cmocka_unit_test_setup(thre_interrupt, setup),
		cmocka_unit_test_setup(back_pressure, setup),
		cmocka_unit_test_setup(back_pressure_without_fifo, setup),
		cmocka_unit_test_setup(receives_without_fifo, setup),
		cmocka_unit_test_setup(fifo_triggers, setup),
		cmocka_unit_test_setup(receive_timeout, setup),
		cmocka_unit_test_setup(interrupt_priorities, setup),
		cmocka_unit_test_setup(overrun_in_fifo_mode, setup),
		cmocka_unit_test_setup(tells_when_there_is_space, setup),
		cmocka_unit_test_setup(breaks, setup),
		cmocka_unit_test_setup(loop_back, setup),
		cmocka_unit_test_setup(loop_back_and_back_pressure, setup),
		cmocka_unit_test_setup(out2_gates_the_pin, setup),
		cmocka_unit_test_setup(modem_lines, setup),
		cmocka_unit_test_setup(fcr_rules, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
