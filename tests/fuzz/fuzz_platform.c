// SPDX-License-Identifier: GPL-2.0-only
/*
 * All platform devices, wired as in a PC and driven by random bytes: register accesses of any size
 * and offset, time, and what the host side does. Besides what the sanitizers see it checks what
 * the interfaces promise: clean upper bits, pins that change when they are driven, messages only
 * from entries that may send, bounded wake-ups.
 */
#include <stdlib.h>
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fakeclock.h"
#include "worker/platform/acpipm.h"
#include "worker/platform/flash.h"
#include "worker/platform/fwcfg.h"
#include "worker/platform/i8042.h"
#include "worker/platform/i8237.h"
#include "worker/platform/i8254.h"
#include "worker/platform/i8259.h"
#include "worker/platform/ioapic.h"
#include "worker/platform/mc146818.h"
#include "worker/platform/pcihost.h"
#include "worker/platform/piix4.h"
#include "worker/platform/ps2kbd.h"
#include "worker/platform/ps2mouse.h"
#include "worker/platform/uart16550.h"

#define STEPPED_NS 100000000ull /* how far the time goes at most with every wake-up on time */
#define NLINES	   32

struct machine {
	struct fakeclock clock;
	struct i8259 pic;
	struct ioapic ioapic;
	struct i8254 pit;
	struct mc146818 rtc;
	struct uart16550 uart;
	struct acpipm pm;
	struct i8042 kbc;
	struct ps2kbd keyboard;
	struct ps2mouse mouse;
	struct i8237 dma;
	struct piix4 piix4;
	struct fwcfg fwcfg;
	struct flash flash;
	bool flash_shown;
	uint8_t flash_data[2 * FLASH_BLOCK];
	uint8_t flash_kept[2 * FLASH_BLOCK]; /* as far as we were told */
	struct dma memory;
	uint8_t ram[4096];
	uint8_t pirq[PIIX4_PIRQS];
	uint16_t steered; /* ISA interrupts, as the PIIX4 last drove them */
	struct pcihost pci;
	struct pci_function fn;
	uint8_t lines[NLINES]; /* level as last driven; 2: not yet */
	size_t tx_budget;
	unsigned int effects;
};

struct region {
	const struct device_ops *ops;
	void *dev;
	uint64_t size;
};

/* An ISA interrupt: to the PIC and to the IOAPIC, where IRQ 0 is at pin 2. */
static void isa_irq(void *ctx, unsigned int n, bool level)
{
	struct machine *m = ctx;

	CHECK(m->lines[n] != level);
	m->lines[n] = level;
	i8259_set_irq(&m->pic, n, level);
	ioapic_set_irq(&m->ioapic, n ? n : 2, level);
}

/* A pin that leads nowhere; its calls are checked all the same. */
static void other_pin(void *ctx, unsigned int n, bool level)
{
	struct machine *m = ctx;

	CHECK(n >= 16 && m->lines[n] != level);
	m->lines[n] = level;
}

static void pic_intr(void *ctx, unsigned int n, bool level)
{
	struct machine *m = ctx;

	other_pin(ctx, n, level);
	ioapic_set_irq(&m->ioapic, 0, level);
}

static void msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct machine *m = ctx;

	(void)data;
	CHECK((addr & 0xfff00003) == 0xfee00000 && addr >> 32 == 0);
	m->effects++;
}

static void route_changed(void *ctx, unsigned int pin, const struct ioapic_msi *msi)
{
	struct machine *m = ctx;

	CHECK(pin < IOAPIC_PINS);
	CHECK(msi->masked == !!(m->ioapic.rte[pin] & IOAPIC_RTE_MASK));
}

static size_t uart_tx(void *ctx, const uint8_t *buf, size_t len)
{
	struct machine *m = ctx;
	size_t taken = len < m->tx_budget ? len : m->tx_budget;

	CHECK(len >= 1 && len <= UART_FIFO_SIZE);
	for (size_t i = 0; i < len; i++)
		m->effects += buf[i];
	m->tx_budget -= taken;
	return taken;
}

static void rx_ready(void *ctx)
{
	struct machine *m = ctx;

	CHECK(uart_rx_space(&m->uart) > 0);
}

static void reset_request(void *ctx, enum dev_reset how)
{
	CHECK(how == DEV_RESET_SOFT || how == DEV_RESET_HARD);
	((struct machine *)ctx)->effects++;
}

static void a20(void *ctx, bool on)
{
	((struct machine *)ctx)->effects += on;
}

static bool ram_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct machine *m = ctx;

	memset(buf, 0xff, len);
	if (addr > sizeof(m->ram) || len > sizeof(m->ram) - addr)
		return false;
	memcpy(buf, m->ram + addr, len);
	return true;
}

static bool ram_write(void *ctx, uint64_t addr, const void *buf, size_t len)
{
	struct machine *m = ctx;

	if (addr > sizeof(m->ram) || len > sizeof(m->ram) - addr)
		return false;
	memcpy(m->ram + addr, buf, len);
	return true;
}

static void pirq_changed(void *ctx, unsigned int pirq, bool on)
{
	struct machine *m = ctx;

	CHECK(pirq < PIIX4_PIRQS && m->pirq[pirq] != on);
	m->pirq[pirq] = on;
	ioapic_set_irq(&m->ioapic, 16 + pirq, !on);
}

static void steered_changed(void *ctx, unsigned int irq, bool level)
{
	struct machine *m = ctx;

	CHECK(irq < 16 && 0xdef8 & 1u << irq && !!(m->steered & 1u << irq) != level);
	m->steered ^= (uint16_t)(1u << irq);
}

static void block_moved(void *ctx, int port)
{
	CHECK(port >= -1 && port <= 0xfff0 && (port < 0 || port % 16 == 0));
	((struct machine *)ctx)->effects++;
}

static void power_off(void *ctx)
{
	((struct machine *)ctx)->effects++;
}

/* What can be read as memory is what is kept. */
static void flash_show(void *ctx, bool array)
{
	struct machine *m = ctx;

	CHECK(m->flash_shown != array);
	CHECK(!array || !memcmp(m->flash_kept, m->flash_data, sizeof(m->flash_kept)));
	m->flash_shown = array;
}

static void flash_changed(void *ctx, uint32_t off, uint32_t len)
{
	struct machine *m = ctx;

	CHECK(len && off < sizeof(m->flash_data) && len <= sizeof(m->flash_data) - off);
	memcpy(m->flash_kept + off, m->flash_data + off, len);
}

static uint32_t fn_read(struct pci_function *fn, unsigned int off, unsigned int size, uint32_t val)
{
	(void)fn;
	CHECK(off + size <= PCI_CONFIG_SIZE && val <= dev_ones(size));
	return val;
}

static void fn_written(struct pci_function *fn, unsigned int off, unsigned int size)
{
	(void)fn;
	CHECK(off + size <= PCI_CONFIG_SIZE);
}

static void build(struct machine *m, struct input *in)
{
	const struct dev_clock *clk = &m->clock.clk;
	const struct irq_pin out[3] = { { isa_irq, m, 0 },
					{ other_pin, m, 16 },
					{ other_pin, m, 17 } };
	const struct uart_host uart_host = { uart_tx, a20, rx_ready, m };
	const struct ioapic_host ioapic_host = { msi, route_changed, m };
	const struct acpipm_config config = { 5, take(in) & 1 ? 24 : 32, take(in) & 1 };
	const struct acpipm_host acpi_host = { power_off, reset_request, m };
	const struct i8042_host kbc_host = { reset_request, a20, m };
	const struct pci_ids ids = { .vendor = 0x1011, .device = 9, .class_code = 0x020000 };
	const struct ps2_host controller = { i8042_ready, &m->kbc };
	const struct ps2_device keyboard = { &ps2kbd_ops, &m->keyboard };
	const struct ps2_device mouse = { &ps2mouse_ops, &m->mouse };
	const struct piix4_host piix4_host = { pirq_changed, steered_changed, block_moved,
					       block_moved, m };
	const struct flash_host flash_host = { flash_show, flash_changed, m };
	static const uint8_t big_file[5000];
	uint64_t bar;

	memset(m, 0, sizeof(*m));
	fakeclock_init(&m->clock);
	m->clock.now = take_many(in, 4);
	i8259_init(&m->pic, (struct irq_pin){ pic_intr, m, 18 });
	ioapic_init(&m->ioapic, &ioapic_host);
	i8254_init(&m->pit, clk, out);
	mc146818_init(&m->rtc, clk, (struct irq_pin){ isa_irq, m, 8 }, take_many(in, 7));
	uart_init(&m->uart, clk, (struct irq_pin){ isa_irq, m, 4 }, &uart_host);
	acpipm_init(&m->pm, clk, (struct irq_pin){ isa_irq, m, 9 }, &config, &acpi_host);
	i8042_init(&m->kbc, (struct irq_pin){ isa_irq, m, 1 }, (struct irq_pin){ isa_irq, m, 12 },
		   &kbc_host);
	ps2kbd_init(&m->keyboard, clk, &controller);
	ps2mouse_init(&m->mouse, clk, &controller);
	i8042_plug(&m->kbc, &keyboard, &mouse);
	i8237_init(&m->dma);
	m->memory = (struct dma){ .read = ram_read, .write = ram_write, .ctx = m };
	fwcfg_init(&m->fwcfg, &m->memory);
	CHECK(fwcfg_add_file(&m->fwcfg, "etc/file", big_file, sizeof(big_file)) == 0);
	memset(m->flash_data, 0xff, sizeof(m->flash_data));
	memset(m->flash_kept, 0xff, sizeof(m->flash_kept));
	m->flash_shown = true;
	flash_init(&m->flash, m->flash_data, sizeof(m->flash_data), &flash_host);
	pcihost_init(&m->pci);
	pcihost_set_rc(&m->pci, &acpipm_rc_ops, &m->pm);
	pci_function_init(&m->fn, &ids);
	for (unsigned int i = 0; i < 8; i++) {
		bar = take(in);
		pci_function_set_bar(&m->fn, (unsigned int)bar >> 2 & 7, bar & 3,
				     1ull << (take(in) & 63));
	}
	m->fn.read = fn_read;
	m->fn.written = fn_written;
	CHECK(pcihost_add(&m->pci, PCI_DEVFN(3, 0), &m->fn) == 0);
	piix4_init(&m->piix4, &piix4_host);
	CHECK(pcihost_add(&m->pci, PCI_DEVFN(1, 0), &m->piix4.isa) == 0);
	CHECK(pcihost_add(&m->pci, PCI_DEVFN(1, 3), &m->piix4.pm) == 0);
}

static struct region pick_region(struct machine *m, uint8_t n)
{
	const struct region regions[] = {
		{ &i8259_master_ops, &m->pic, 2 },
		{ &i8259_slave_ops, &m->pic, 2 },
		{ &i8259_elcr_ops, &m->pic, 2 },
		{ &ioapic_ops, &m->ioapic, IOAPIC_SIZE },
		{ &i8254_ops, &m->pit, I8254_PORTS },
		{ &i8254_port61_ops, &m->pit, 1 },
		{ &mc146818_ops, &m->rtc, RTC_PORTS },
		{ &uart_ops, &m->uart, 8 },
		{ &acpipm_ops, &m->pm, ACPIPM_PORTS },
		{ &i8042_data_ops, &m->kbc, 1 },
		{ &i8042_cmd_ops, &m->kbc, 1 },
		{ &i8042_port92_ops, &m->kbc, 1 },
		{ &pcihost_ops, &m->pci, PCIHOST_PORTS },
		{ &i8237_low_ops, &m->dma, I8237_LOW_PORTS },
		{ &i8237_high_ops, &m->dma, I8237_HIGH_PORTS },
		{ &i8237_page_ops, &m->dma, I8237_PAGE_PORTS },
		{ &piix4_smbus_ops, &m->piix4, PIIX4_SMBUS_PORTS },
		{ &fwcfg_ops, &m->fwcfg, FWCFG_PORTS },
		{ &flash_ops, &m->flash, sizeof(m->flash_data) },
	};

	return regions[n % (sizeof(regions) / sizeof(regions[0]))];
}

/* Any offset and size within the region; in a big one mostly where the registers are. Some read strings. */
static void access(struct machine *m, struct input *in, bool write)
{
	struct region r = pick_region(m, take(in));
	uint8_t how = take(in), string[63 * 8];
	unsigned int size = 1u << (how & 3), count = how >> 2;
	uint64_t off = take(in);
	uint64_t val;

	if (size > r.size)
		size = 1;
	if (r.size > 256 && off & 0x80)
		off = off << 8 | take(in);
	else if (r.size > 256)
		off &= 0x7c; /* the index, window and EOI registers are few and aligned */
	off %= r.size - size + 1;
	if (write) {
		r.ops->write(r.dev, off, size, take_many(in, size));
		return;
	}
	if (count && r.ops->read_string) {
		r.ops->read_string(r.dev, off, size, string, count);
		return;
	}
	val = r.ops->read(r.dev, off, size);
	CHECK((val & ~dev_ones(size)) == 0);
}

/* Write an IOAPIC register, which by access() alone takes two lucky hits. */
static void ioapic_register(struct machine *m, struct input *in)
{
	ioapic_ops.write(&m->ioapic, IOAPIC_IOREGSEL, 4, take(in) & 0x3f);
	ioapic_ops.write(&m->ioapic, IOAPIC_IOWIN, 4, take_many(in, 4));
}

static void rtc_register(struct machine *m, struct input *in)
{
	mc146818_ops.write(&m->rtc, 0, 1, take(in) & 0x0f);
	mc146818_ops.write(&m->rtc, 1, 1, take(in));
}

static void pci_register(struct machine *m, struct input *in)
{
	static const uint8_t functions[] = { PCI_DEVFN(0, 0), PCI_DEVFN(3, 0), PCI_DEVFN(1, 0),
					     PCI_DEVFN(1, 3) };
	uint32_t addr = 0x80000000u | (uint32_t)functions[take(in) & 3] << 8 | take(in);

	pcihost_ops.write(&m->pci, 0, 4, addr);
	pcihost_ops.write(&m->pci, 4, 4, take_many(in, 4));
}

/* Time passes, with every wake-up on time: there must not be more than the devices' rates. */
static void pass_time(struct machine *m, uint64_t ns)
{
	uint64_t end = m->clock.now + ns;
	uint64_t limit = 100 + ns / 10000;

	while (timerq_deadline(&m->clock.q) <= end) {
		if (timerq_deadline(&m->clock.q) > m->clock.now)
			m->clock.now = timerq_deadline(&m->clock.q);
		timerq_run(&m->clock.q, m->clock.now);
		CHECK(limit--);
	}
	m->clock.now = end;
}

static void time_op(struct machine *m, struct input *in)
{
	uint8_t how = take(in);
	uint64_t ns = take_many(in, 1 + (how & 3));

	if (how & 0x80)
		ns <<= how >> 2 & 15;
	if (ns <= STEPPED_NS && !(how & 0x40))
		pass_time(m, ns);
	else
		fakeclock_late(&m->clock, m->clock.now + ns);
}

/*
 * A byte for the keyboard or the mouse, as drivers send it, and time for the answers, which are read. Commands begin at
 * 0xe0; by access() alone a mouse would rarely get two that belong together.
 */
static void ps2_op(struct machine *m, struct input *in)
{
	uint8_t how = take(in), byte = how & 0x40 ? take(in) : 0xe0 | (how & 0x1f);

	if (how & 0x80) {
		i8042_cmd_ops.write(&m->kbc, 0, 1, how & 0x20 ? 0xa8 : 0xd4);
		if (how & 0x20)
			return;
	}
	i8042_data_ops.write(&m->kbc, 0, 1, byte);
	for (unsigned int i = 0; i < 4; i++) {
		pass_time(m, 1000000);
		i8042_data_ops.read(&m->kbc, 0, 1);
	}
}

static void uart_host_op(struct machine *m, struct input *in)
{
	uint8_t buf[32];
	uint8_t how = take(in);
	size_t space = uart_rx_space(&m->uart), len = how & 31;

	CHECK(space <= UART_FIFO_SIZE);
	switch (how >> 5) {
	case 0:
	case 1:
	case 2:
		for (size_t i = 0; i < len; i++)
			buf[i] = take(in);
		CHECK(uart_rx(&m->uart, buf, len) == (len < space ? len : space));
		break;
	case 3:
		uart_rx_error(&m->uart, how, take(in));
		break;
	case 4:
		uart_rx_break(&m->uart);
		break;
	case 5:
		uart_set_lines(&m->uart, take(in));
		break;
	default:
		m->tx_budget = len;
		uart_tx_ready(&m->uart);
		break;
	}
}

static void acknowledge(struct machine *m)
{
	bool pending = i8259_int(&m->pic);
	uint8_t master = m->pic.master.isr;
	int vec = i8259_ack(&m->pic);

	CHECK(vec >= 0 && vec <= 255);
	/* Without a request nothing comes into service. */
	CHECK(pending || m->pic.master.isr == master);
}

static void irq_op(struct machine *m, struct input *in)
{
	uint8_t how = take(in);
	unsigned int n = how & 31;

	switch (how >> 5) {
	case 0:
	case 1:
		acknowledge(m);
		break;
	case 2:
		i8259_set_irq(&m->pic, n, take(in) & 1);
		break;
	case 3:
		ioapic_set_irq(&m->ioapic, n, take(in) & 1);
		break;
	case 4:
		ioapic_eoi(&m->ioapic, take(in));
		break;
	case 5:
		acpipm_set_gpe(&m->pm, n, take(in) & 1);
		break;
	case 6:
		acpipm_power_button(&m->pm);
		acpipm_set_acpi_mode(&m->pm, how & 1);
		break;
	default:
		mc146818_set_time(&m->rtc, take_many(in, 8));
		break;
	}
}

/* Keys, movements, PCI interrupts, and a transfer of fw_cfg's with a description that fits. */
static void input_op(struct machine *m, struct input *in)
{
	uint8_t how = take(in);

	switch (how >> 6) {
	case 0:
		ps2kbd_key(&m->keyboard, (uint16_t)((how & 3) << 8 | take(in)), how & 4);
		break;
	case 1:
		ps2mouse_move(&m->mouse, (int)take_many(in, 4), (int8_t)take(in), (int8_t)take(in),
			      how);
		break;
	case 2:
		piix4_set_intx(&m->piix4, take(in), how & 1);
		break;
	default:
		m->ram[0] = 0;
		m->ram[1] = FWCFG_FILES;
		m->ram[2] = 0;
		for (unsigned int i = 3; i < 16; i++)
			m->ram[i] = take(in);
		fwcfg_ops.write(&m->fwcfg, 4, 4, 0);
		fwcfg_ops.write(&m->fwcfg, 8, 4, 0);
	}
}

static void reset_op(struct machine *m, uint8_t which)
{
	switch (which & 15) {
	case 0:
		i8259_reset(&m->pic);
		break;
	case 1:
		ioapic_reset(&m->ioapic);
		break;
	case 2:
		i8254_reset(&m->pit);
		break;
	case 3:
		mc146818_reset(&m->rtc);
		break;
	case 4:
		uart_reset(&m->uart);
		break;
	case 5:
		acpipm_reset(&m->pm);
		break;
	case 6:
		i8042_reset(&m->kbc);
		break;
	case 7:
		ps2kbd_reset(&m->keyboard);
		ps2mouse_reset(&m->mouse);
		break;
	case 8:
		i8237_reset(&m->dma);
		break;
	case 9:
		fwcfg_reset(&m->fwcfg);
		flash_reset(&m->flash);
		break;
	default:
		pcihost_reset(&m->pci);
		piix4_reset(&m->piix4);
		break;
	}
}

/* The chain from requests to INT has to agree with itself after every step. */
static void check(struct machine *m)
{
	CHECK(i8259_int(&m->pic) == (m->lines[18] == 1));
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t rte = m->ioapic.rte[pin];

		CHECK(!(rte & IOAPIC_RTE_REMOTE_IRR) || rte & IOAPIC_RTE_LEVEL);
	}
	CHECK(m->keyboard.out.len <= PS2_QUEUE && m->mouse.out.len <= PS2_QUEUE);
	for (unsigned int i = 0; i < PIIX4_PIRQS; i++)
		CHECK(m->pirq[i] == !!m->piix4.asserted[i]);
	CHECK(m->uart.rx.len <= UART_FIFO_SIZE && m->uart.tx.len <= UART_FIFO_SIZE);
}

static void step(struct machine *m, struct input *in)
{
	uint8_t op = take(in);

	switch (op >> 4) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		access(m, in, true);
		break;
	case 5:
	case 6:
	case 7:
		access(m, in, false);
		break;
	case 8:
		time_op(m, in);
		break;
	case 9:
		input_op(m, in);
		break;
	case 10:
		uart_host_op(m, in);
		break;
	case 11:
		irq_op(m, in);
		break;
	case 12:
		ioapic_register(m, in);
		break;
	case 13:
		rtc_register(m, in);
		break;
	case 14:
		pci_register(m, in);
		break;
	default:
		if ((op & 15) < 12)
			reset_op(m, op);
		else
			ps2_op(m, in);
		break;
	}
	check(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct machine m;
	struct input in = { data, len };

	build(&m, &in);
	while (in.len)
		step(&m, &in);
	return 0;
}
