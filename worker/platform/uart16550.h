/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_UART16550_H
#define WORKER_PLATFORM_UART16550_H

/*
 * A 16550A serial port as on a PC card (National Semiconductor PC16550D data sheet; section
 * numbers below are its). One region of 8 byte-wide registers, usually ports 0x3f8-0x3ff.
 *
 * Truer than most models in that the interrupt pin is gated by MCR.OUT2 as on PC boards, receive
 * time-outs take four character times of the programmed rate, and errors travel through the FIFO
 * with their characters. Deliberately different from the part: a character is transmitted at once
 * instead of in one character time. The transmit FIFO fills only when the host takes no more.
 */
#include "worker/device.h"

#define UART_FIFO_SIZE	16
#define UART_CRYSTAL_HZ 1843200 /* input clock; the baud rate is this / 16 / divisor */

enum uart_reg {
	UART_RBR = 0, /* read, DLAB = 0 */
	UART_THR = 0, /* write, DLAB = 0 */
	UART_DLL = 0, /* DLAB = 1 */
	UART_IER = 1, /* DLAB = 0 */
	UART_DLM = 1, /* DLAB = 1 */
	UART_IIR = 2, /* read */
	UART_FCR = 2, /* write */
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_MSR = 6,
	UART_SCR = 7,
};

/* Interrupt enable, section 8.7 */
#define UART_IER_ERBFI 0x01 /* received data, time-out */
#define UART_IER_ETBEI 0x02 /* transmitter holding register empty */
#define UART_IER_ELSI  0x04 /* receiver line status */
#define UART_IER_EDSSI 0x08 /* modem status */

/* Interrupt identification, section 8.6, from the lowest priority to the highest */
#define UART_IIR_NONE 0x01
#define UART_IIR_MSI  0x00
#define UART_IIR_THRI 0x02
#define UART_IIR_RDI  0x04
#define UART_IIR_CTI  0x0c
#define UART_IIR_RLSI 0x06
#define UART_IIR_FIFO 0xc0 /* FIFOs enabled */

/* FIFO control, section 8.5 */
#define UART_FCR_ENABLE	 0x01
#define UART_FCR_CLEARRX 0x02
#define UART_FCR_CLEARTX 0x04
#define UART_FCR_TRIGGER 0xc0 /* 1, 4, 8, 14 characters */

/* Line control, section 8.2 */
#define UART_LCR_WLS   0x03 /* 5 to 8 bits */
#define UART_LCR_STB   0x04
#define UART_LCR_PEN   0x08
#define UART_LCR_BREAK 0x40
#define UART_LCR_DLAB  0x80

/* Modem control, section 8.8 */
#define UART_MCR_DTR  0x01
#define UART_MCR_RTS  0x02
#define UART_MCR_OUT1 0x04
#define UART_MCR_OUT2 0x08
#define UART_MCR_LOOP 0x10

/* Line status, section 8.4 */
#define UART_LSR_DR   0x01
#define UART_LSR_OE   0x02
#define UART_LSR_PE   0x04
#define UART_LSR_FE   0x08
#define UART_LSR_BI   0x10
#define UART_LSR_THRE 0x20
#define UART_LSR_TEMT 0x40
#define UART_LSR_FIFE 0x80 /* an error somewhere in the FIFO */

/* Modem status, section 8.9 */
#define UART_MSR_DCTS 0x01
#define UART_MSR_DDSR 0x02
#define UART_MSR_TERI 0x04
#define UART_MSR_DDCD 0x08
#define UART_MSR_CTS  0x10
#define UART_MSR_DSR  0x20
#define UART_MSR_RI   0x40
#define UART_MSR_DCD  0x80

/* The host side of a serial port. Any may be NULL: characters are then lost, the others unused. */
struct uart_host {
	/* Send @len characters (at least 1) on; returns how many were taken. The others stay in the
	 * FIFO, and the host calls uart_tx_ready when it can take more. */
	size_t (*tx)(void *ctx, const uint8_t *buf, size_t len);
	/* The guest starts (@on) or ends sending a break. */
	void (*tx_break)(void *ctx, bool on);
	/* uart_rx_space was 0 and no longer is, by something that the guest did. May be called from
	 * within a register access: it may call uart_rx. */
	void (*rx_ready)(void *ctx);
	void *ctx;
};

struct uart_fifo {
	uint8_t data[UART_FIFO_SIZE];
	uint8_t error[UART_FIFO_SIZE]; /* LSR.PE, FE, BI that came with each; unused for transmit */
	unsigned int head, len;
};

/* State is private to uart16550.c; the structure is open so that it can be embedded. */
struct uart16550 {
	uint8_t ier, fcr, lcr, mcr, scr;
	uint8_t lsr_oe;	   /* LSR.OE, which belongs to no character */
	uint8_t msr_delta; /* MSR bits 3:0 */
	uint8_t lines;	   /* MSR bits 7:4 as driven from outside */
	uint16_t divisor;
	struct uart_fifo rx, tx;
	uint8_t rbr;	 /* last character read, what RBR shows when empty */
	bool thr_int;	 /* THRE interrupt is pending */
	bool rx_timeout; /* time-out interrupt is pending */
	bool irq_level;
	struct irq_pin irq;
	struct uart_host host;
	const struct dev_clock *clk;
	struct dev_timer timer; /* receive time-out */
};

/*
 * Make @u a port in reset state, with CTS, DSR and DCD on, RI off. @clk must outlive it. @irq is
 * active high (INTR AND OUT2).
 */
void uart_init(struct uart16550 *u, const struct dev_clock *clk, struct irq_pin irq,
	       const struct uart_host *host);

/* Master reset, section 8.0 table I. The lines from outside keep their state; what was in the
 * FIFOs is lost. */
void uart_reset(struct uart16550 *u);

/* Region: 8 byte-wide registers. @dev is a struct uart16550 *. */
extern const struct device_ops uart_ops;

/* How many characters uart_rx takes now: 0 to 16; 0 in loop-back mode, where the receiver is
 * disconnected. uart_host.rx_ready tells when it has become more than 0. */
size_t uart_rx_space(const struct uart16550 *u);

/* Receive @len characters from the host. Returns how many were taken: at most uart_rx_space. */
size_t uart_rx(struct uart16550 *u, const uint8_t *buf, size_t len);

/* Receive a character with line errors: @error is a mask of UART_LSR_PE, FE, BI. As on the wire,
 * one that comes when there's no space is lost and sets LSR.OE. Ignored in loop-back mode. */
void uart_rx_error(struct uart16550 *u, uint8_t ch, uint8_t error);

/* Receive a break: a zero character with BI and FE. */
void uart_rx_break(struct uart16550 *u);

/* The host can take characters again: offers what waits in the transmit FIFO. */
void uart_tx_ready(struct uart16550 *u);

/* Set the modem inputs: a mask of UART_MSR_CTS, DSR, RI, DCD (set = asserted). */
void uart_set_lines(struct uart16550 *u, uint8_t lines);

#endif
