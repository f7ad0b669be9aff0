// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/uart16550.h"

#define LSR_CHAR_ERRORS (UART_LSR_PE | UART_LSR_FE | UART_LSR_BI)
#define IER_MASK	0x0f
#define MCR_MASK	0x1f

static bool fifo_enabled(const struct uart16550 *u)
{
	return u->fcr & UART_FCR_ENABLE;
}

static bool loopback(const struct uart16550 *u)
{
	return u->mcr & UART_MCR_LOOP;
}

/* In character mode the FIFOs are one deep: RBR, and THR (section 8.12). */
static unsigned int depth(const struct uart16550 *u)
{
	return fifo_enabled(u) ? UART_FIFO_SIZE : 1;
}

static void fifo_push(struct uart_fifo *f, uint8_t ch, uint8_t error)
{
	unsigned int i = (f->head + f->len) % UART_FIFO_SIZE;

	f->data[i] = ch;
	f->error[i] = error;
	f->len++;
}

static void fifo_drop(struct uart_fifo *f, unsigned int n)
{
	f->head = (f->head + n) % UART_FIFO_SIZE;
	f->len -= n;
}

static void fifo_clear(struct uart_fifo *f)
{
	f->head = 0;
	f->len = 0;
}

/* Errors of the character at the top, which alone show in the LSR (section 8.4). */
static uint8_t top_error(const struct uart_fifo *f)
{
	return f->len ? f->error[f->head] : 0;
}

static bool any_error(const struct uart_fifo *f)
{
	for (unsigned int i = 0; i < f->len; i++)
		if (f->error[(f->head + i) % UART_FIFO_SIZE])
			return true;
	return false;
}

static uint8_t lsr_value(const struct uart16550 *u)
{
	uint8_t lsr = u->lsr_oe | top_error(&u->rx);

	if (u->rx.len)
		lsr |= UART_LSR_DR;
	if (!u->tx.len)
		lsr |= UART_LSR_THRE | UART_LSR_TEMT;
	if (fifo_enabled(u) && any_error(&u->rx))
		lsr |= UART_LSR_FIFE;
	return lsr;
}

/* MSR bits 7:4; in loop-back the modem outputs feed them (section 8.8). */
static uint8_t modem_inputs(const struct uart16550 *u)
{
	uint8_t msr = 0;

	if (!loopback(u))
		return u->lines;
	if (u->mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (u->mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (u->mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (u->mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return msr;
}

static unsigned int trigger_level(const struct uart16550 *u)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return fifo_enabled(u) ? level[(u->fcr & UART_FCR_TRIGGER) >> 6] : 1;
}

/* The interrupt of the highest priority that is enabled and pending (section 8.6 table IV). */
static uint8_t iir_id(const struct uart16550 *u)
{
	if ((u->ier & UART_IER_ELSI) && (u->lsr_oe || top_error(&u->rx)))
		return UART_IIR_RLSI;
	if ((u->ier & UART_IER_ERBFI) && u->rx.len >= trigger_level(u))
		return UART_IIR_RDI;
	if ((u->ier & UART_IER_ERBFI) && u->rx_timeout)
		return UART_IIR_CTI;
	if ((u->ier & UART_IER_ETBEI) && u->thr_int)
		return UART_IIR_THRI;
	if ((u->ier & UART_IER_EDSSI) && u->msr_delta)
		return UART_IIR_MSI;
	return UART_IIR_NONE;
}

/* OUT2 gates INTR on PC cards; the OUT2 pin is inactive in loop-back (section 8.8). */
static void update_irq(struct uart16550 *u)
{
	bool gate = (u->mcr & UART_MCR_OUT2) && !loopback(u);
	bool level = gate && iir_id(u) != UART_IIR_NONE;

	if (level == u->irq_level)
		return;
	u->irq_level = level;
	irq_pin_set(&u->irq, level);
}

/* One character: start bit, data, parity, stop bits (1.5 with 5 data bits), in half bits. */
static uint64_t char_time_ns(const struct uart16550 *u)
{
	unsigned int bits = 5 + (u->lcr & UART_LCR_WLS);
	unsigned int half_bits = 2 * (1 + bits + 1);
	uint64_t divisor = u->divisor ? u->divisor : 1;

	if (u->lcr & UART_LCR_PEN)
		half_bits += 2;
	if (u->lcr & UART_LCR_STB)
		half_bits += bits == 5 ? 1 : 2;
	return dev_muldiv_up(half_bits * divisor, 8 * DEV_NS_PER_SEC, UART_CRYSTAL_HZ);
}

/* The FIFO was touched: the time-out starts anew while it holds characters (section 8.12.1). */
static void restart_timeout(struct uart16550 *u)
{
	u->rx_timeout = false;
	if (fifo_enabled(u) && u->rx.len)
		dev_arm(u->clk, &u->timer, dev_now(u->clk) + 4 * char_time_ns(u));
	else
		dev_cancel(u->clk, &u->timer);
}

static void timeout_fire(void *dev, uint64_t now)
{
	struct uart16550 *u = dev;

	(void)now;
	u->rx_timeout = u->rx.len > 0;
	update_irq(u);
}

/* A character arrives at the receiver, from outside or from our own transmitter. */
static void receive(struct uart16550 *u, uint8_t ch, uint8_t error)
{
	if (u->rx.len >= depth(u)) {
		u->lsr_oe = UART_LSR_OE;
		/* Character mode: the new one overwrites RBR. FIFO mode: it is the one lost. */
		if (fifo_enabled(u))
			return;
		fifo_clear(&u->rx);
	}
	fifo_push(&u->rx, ch, error);
	restart_timeout(u);
}

/* Note that THR or the transmit FIFO has run empty. */
static void tx_emptied(struct uart16550 *u)
{
	u->thr_int = true;
}

static void loop_tx(struct uart16550 *u)
{
	while (u->tx.len) {
		uint8_t mask = 0xff >> (3 - (u->lcr & UART_LCR_WLS));
		uint8_t ch = u->tx.data[u->tx.head] & mask;

		fifo_drop(&u->tx, 1);
		receive(u, ch, 0);
	}
	tx_emptied(u);
}

/* Offer the transmit FIFO to the host until it is empty or refuses. */
static void drain_tx(struct uart16550 *u)
{
	while (u->tx.len) {
		unsigned int run = UART_FIFO_SIZE - u->tx.head;
		size_t taken;

		if (run > u->tx.len)
			run = u->tx.len;
		taken = run;
		if (u->host.tx)
			taken = u->host.tx(u->host.ctx, &u->tx.data[u->tx.head], run);
		if (!taken)
			return;
		fifo_drop(&u->tx, taken < run ? (unsigned int)taken : run);
	}
	tx_emptied(u);
}

static void transmit(struct uart16550 *u)
{
	if (!u->tx.len)
		return;
	if (loopback(u))
		loop_tx(u);
	else
		drain_tx(u);
}

static void write_thr(struct uart16550 *u, uint8_t val)
{
	u->thr_int = false;
	/* A guest that writes to a full FIFO loses the character (the newest, as in the part's
	 * FIFO) or overwrites THR in character mode. */
	if (u->tx.len >= depth(u)) {
		if (fifo_enabled(u))
			return;
		fifo_clear(&u->tx);
	}
	fifo_push(&u->tx, val, 0);
	transmit(u);
}

static uint8_t read_rbr(struct uart16550 *u)
{
	if (u->rx.len) {
		u->rbr = u->rx.data[u->rx.head];
		fifo_drop(&u->rx, 1);
		restart_timeout(u);
	}
	return u->rbr;
}

/* Enabling ETBEI while THRE is set interrupts at once; drivers rely on it to start sending. */
static void write_ier(struct uart16550 *u, uint8_t val)
{
	if ((val & ~u->ier & UART_IER_ETBEI) && !u->tx.len)
		u->thr_int = true;
	u->ier = val & IER_MASK;
}

static uint8_t read_iir(struct uart16550 *u)
{
	uint8_t id = iir_id(u);

	if (id == UART_IIR_THRI)
		u->thr_int = false;
	return id | (fifo_enabled(u) ? UART_IIR_FIFO : 0);
}

static void clear_rx(struct uart16550 *u)
{
	fifo_clear(&u->rx);
	restart_timeout(u);
}

static void clear_tx(struct uart16550 *u)
{
	if (!u->tx.len)
		return;
	fifo_clear(&u->tx);
	tx_emptied(u);
}

/* Section 8.5: the other bits are not programmed unless bit 0 is 1; changing it clears both. */
static void write_fcr(struct uart16550 *u, uint8_t val)
{
	bool toggled = (val ^ u->fcr) & UART_FCR_ENABLE;

	u->fcr = val & UART_FCR_ENABLE ? val & (UART_FCR_TRIGGER | UART_FCR_ENABLE) : 0;
	if (toggled || (val & UART_FCR_ENABLE && val & UART_FCR_CLEARRX))
		clear_rx(u);
	if (toggled || (val & UART_FCR_ENABLE && val & UART_FCR_CLEARTX))
		clear_tx(u);
}

static void set_break(struct uart16550 *u, bool on)
{
	if (loopback(u)) {
		if (on)
			receive(u, 0, UART_LSR_BI | UART_LSR_FE);
	} else if (u->host.tx_break) {
		u->host.tx_break(u->host.ctx, on);
	}
}

static void write_lcr(struct uart16550 *u, uint8_t val)
{
	bool changed = (val ^ u->lcr) & UART_LCR_BREAK;

	u->lcr = val;
	if (changed)
		set_break(u, val & UART_LCR_BREAK);
}

/* Note which modem inputs changed from @before; TERI is the trailing edge of RI. */
static void note_delta(struct uart16550 *u, uint8_t before)
{
	uint8_t now = modem_inputs(u);
	uint8_t changed = (before ^ now) >> 4;

	if (now & UART_MSR_RI)
		changed &= ~UART_MSR_TERI;
	u->msr_delta |= changed;
}

static void write_mcr(struct uart16550 *u, uint8_t val)
{
	uint8_t before = modem_inputs(u);
	bool left_loop;

	val &= MCR_MASK;
	left_loop = loopback(u) && !(val & UART_MCR_LOOP);
	u->mcr = val;
	note_delta(u, before);
	if (left_loop)
		transmit(u);
}

static uint8_t read_lsr(struct uart16550 *u)
{
	uint8_t lsr = lsr_value(u);

	u->lsr_oe = 0;
	if (u->rx.len)
		u->rx.error[u->rx.head] = 0;
	return lsr;
}

static uint8_t read_msr(struct uart16550 *u)
{
	uint8_t msr = modem_inputs(u) | u->msr_delta;

	u->msr_delta = 0;
	return msr;
}

static uint8_t read_reg(struct uart16550 *u, unsigned int reg)
{
	bool dlab = u->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RBR:
		return dlab ? (uint8_t)u->divisor : read_rbr(u);
	case UART_IER:
		return dlab ? u->divisor >> 8 : u->ier;
	case UART_IIR:
		return read_iir(u);
	case UART_LCR:
		return u->lcr;
	case UART_MCR:
		return u->mcr;
	case UART_LSR:
		return read_lsr(u);
	case UART_MSR:
		return read_msr(u);
	case UART_SCR:
		return u->scr;
	}
	return 0xff;
}

static void write_reg(struct uart16550 *u, unsigned int reg, uint8_t val)
{
	bool dlab = u->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_THR:
		if (dlab)
			u->divisor = (u->divisor & 0xff00) | val;
		else
			write_thr(u, val);
		break;
	case UART_IER:
		if (dlab)
			u->divisor = (u->divisor & 0x00ff) | val << 8;
		else
			write_ier(u, val);
		break;
	case UART_FCR:
		write_fcr(u, val);
		break;
	case UART_LCR:
		write_lcr(u, val);
		break;
	case UART_MCR:
		write_mcr(u, val);
		break;
	case UART_SCR:
		u->scr = val;
		break;
	}
}

/* After a register access: @space is what uart_rx_space was before. */
static void settle(struct uart16550 *u, size_t space)
{
	update_irq(u);
	if (!space && uart_rx_space(u) && u->host.rx_ready)
		u->host.rx_ready(u->host.ctx);
}

static uint8_t read_byte(void *dev, unsigned int off)
{
	struct uart16550 *u = dev;
	size_t space = uart_rx_space(u);
	uint8_t val = read_reg(u, off);

	settle(u, space);
	return val;
}

static void write_byte(void *dev, unsigned int off, uint8_t val)
{
	struct uart16550 *u = dev;
	size_t space = uart_rx_space(u);

	write_reg(u, off, val);
	settle(u, space);
}

static uint64_t uart_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_byte, dev, off, size);
}

static void uart_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_byte, dev, off, size, val);
}

const struct device_ops uart_ops = { .read = uart_read, .write = uart_write };

size_t uart_rx_space(const struct uart16550 *u)
{
	if (loopback(u) || u->rx.len >= depth(u))
		return 0;
	return depth(u) - u->rx.len;
}

size_t uart_rx(struct uart16550 *u, const uint8_t *buf, size_t len)
{
	size_t space = uart_rx_space(u);

	if (len > space)
		len = space;
	for (size_t i = 0; i < len; i++)
		receive(u, buf[i], 0);
	update_irq(u);
	return len;
}

void uart_rx_error(struct uart16550 *u, uint8_t ch, uint8_t error)
{
	if (loopback(u))
		return;
	receive(u, ch, error & LSR_CHAR_ERRORS);
	update_irq(u);
}

void uart_rx_break(struct uart16550 *u)
{
	uart_rx_error(u, 0, UART_LSR_BI | UART_LSR_FE);
}

void uart_tx_ready(struct uart16550 *u)
{
	if (!u->tx.len || loopback(u))
		return;
	drain_tx(u);
	update_irq(u);
}

void uart_set_lines(struct uart16550 *u, uint8_t lines)
{
	uint8_t before = modem_inputs(u);

	u->lines = lines & 0xf0;
	note_delta(u, before);
	update_irq(u);
}

void uart_reset(struct uart16550 *u)
{
	if (u->lcr & UART_LCR_BREAK && !loopback(u) && u->host.tx_break)
		u->host.tx_break(u->host.ctx, false);
	u->ier = 0;
	u->fcr = 0;
	u->lcr = 0;
	u->mcr = 0;
	u->lsr_oe = 0;
	u->msr_delta = 0;
	fifo_clear(&u->rx);
	fifo_clear(&u->tx);
	u->thr_int = false;
	u->rx_timeout = false;
	dev_cancel(u->clk, &u->timer);
	update_irq(u);
}

void uart_init(struct uart16550 *u, const struct dev_clock *clk, struct irq_pin irq,
	       const struct uart_host *host)
{
	memset(u, 0, sizeof(*u));
	u->clk = clk;
	u->irq = irq;
	u->host = *host;
	u->lines = UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
	u->timer.fire = timeout_fire;
	u->timer.dev = u;
	uart_reset(u);
}
