// SPDX-License-Identifier: GPL-2.0-only
#include "worker/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "worker/acpi.h"
#include "worker/cpuid.h"
#include "worker/diag.h"
#include "worker/firmware.h"

/* I/O ports of the board; the chips' headers name their registers. */
enum {
	PORT_DMA_LOW = 0x00,
	PORT_PIC_MASTER = 0x20,
	PORT_PIT = 0x40,
	PORT_KBC_DATA = 0x60,
	PORT_PIT_61 = 0x61,
	PORT_KBC_CMD = 0x64,
	PORT_RTC = 0x70,
	PORT_IDE1 = 0x170,
	PORT_IDE0 = 0x1f0,
	PORT_IDE1_CTL = 0x376,
	PORT_IDE0_CTL = 0x3f6,
	PORT_DMA_PAGE = 0x80,
	PORT_92 = 0x92,
	PORT_PIC_SLAVE = 0xa0,
	PORT_DMA_HIGH = 0xc0,
	PORT_COM1 = 0x3f8,
	PORT_FIRMWARE_LOG = 0x402,
	PORT_ELCR = 0x4d0,
	PORT_PM = 0x600,
	PORT_PCI = 0xcf8,
	PORT_RESET = 0xcf9,
};

/* ISA interrupts. */
enum {
	IRQ_PIT = 0,
	IRQ_KBD = 1,
	IRQ_COM1 = 4,
	IRQ_RTC = 8,
	IRQ_SCI = 9,
	IRQ_AUX = 12,
	IRQ_IDE0 = 14,
	IRQ_IDE1 = 15,
};

#define TIMER_SPIN_NS 1000

#define PM_S5_TYP     0 /* as the PIIX4 has it */
#define PM_TIMER_BITS 32

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Slots of the PCI bus, and functions of the PIIX4. */
enum {
	SLOT_PIIX4 = 1,
	SLOT_NIC = 3, /* the first */
	FUNCTION_ISA = 0,
	FUNCTION_IDE = 1,
	FUNCTION_PM = 3,
};

#define IOAPIC_PIN_PIRQ 16 /* PIRQA# to PIRQD#: 16 to 19, active low as they are on the PCI bus */
#define IOAPIC_PIN_PIT	2  /* as the MADT says: pin 0 has the PICs' output */
#define IOAPIC_PIN_PIC	0

/* Messages of delivery mode 7 carry no vector: the PICs have it (SDM 3, 11.11.2). */
#define MSI_DM_MASK   (7u << 8)
#define MSI_DM_EXTINT (7u << 8)
#define MSI_LEVEL     (1u << 15)

void machine_lock(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
}

void machine_unlock(struct machine *m)
{
	pthread_mutex_unlock(&m->lock);
	pthread_cond_broadcast(&m->unlocked);
}

/* ------------------------------------------------------------------ clock and timers */

static uint64_t clock_read(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * DEV_NS_PER_SEC + ts.tv_nsec;
}

static uint64_t machine_now(void *ctx)
{
	const struct machine *m = ctx;

	return clock_read(CLOCK_MONOTONIC) - m->clock_base;
}

/* Sets the descriptor to the earliest deadline; a time of 0 would disarm it. */
static void machine_set_timer(struct machine *m)
{
	uint64_t deadline = timerq_deadline(&m->timers), at = 0;
	struct itimerspec spec = { 0 };

	if (deadline != TIMERQ_NEVER)
		at = m->clock_base + deadline;
	spec.it_value.tv_sec = at / DEV_NS_PER_SEC;
	spec.it_value.tv_nsec = at % DEV_NS_PER_SEC;
	timerfd_settime(m->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void machine_arm(void *ctx, struct dev_timer *t, uint64_t deadline)
{
	struct machine *m = ctx;

	if (timerq_arm(&m->timers, t, deadline) && !m->timers_running)
		machine_set_timer(m);
}

static void machine_cancel(void *ctx, struct dev_timer *t)
{
	struct machine *m = ctx;

	if (timerq_cancel(&m->timers, t) && !m->timers_running)
		machine_set_timer(m);
}

/*
 * A pulse of the PIT is two events within a microsecond, which are worth one wake-up; not more than
 * two, for a guest may ask for pulses without end. Setting the descriptor makes it unreadable too.
 */
void machine_run_timers(struct machine *m)
{
	uint64_t now;

	machine_lock(m);
	m->timers_running = true;
	now = machine_now(m);
	timerq_run(&m->timers, now);
	if (timerq_deadline(&m->timers) < now + TIMER_SPIN_NS)
		timerq_run(&m->timers, machine_now(m));
	m->timers_running = false;
	machine_set_timer(m);
	machine_unlock(m); /* a disk's requests may have ended within */
}

void machine_doorbells(struct machine *m)
{
	unsigned int i;

	machine_lock(m);
	ide_doorbells(&m->ide);
	for (i = 0; i < m->nics; i++)
		dec21140_doorbell(&m->nic[i]);
	machine_unlock(m);
}

uint64_t machine_doorbells_rung(struct machine *m)
{
	uint64_t count;

	if (read(m->doorbell_fd, &count, sizeof(count)) == sizeof(count)) {
		m->doorbells += count;
		/* The last of them may not have been heard, and is not signalled any more. */
		machine_doorbells(m);
	}
	return m->doorbells;
}

/* ------------------------------------------------------------------ interrupts */

/*
 * A line of the ISA bus reaches both controllers. It has two drivers, ISA devices and the steering
 * of PCI interrupts, either of which raises it.
 */
static void machine_drive_isa(struct machine *m, unsigned int driver, unsigned int irq, bool level)
{
	uint16_t *lines = &m->isa_lines[driver];
	uint16_t bit = (uint16_t)(1u << irq);

	*lines = level ? *lines | bit : *lines & ~bit;
	level = (m->isa_lines[0] | m->isa_lines[1]) & bit;
	i8259_set_irq(&m->pic, irq, level);
	ioapic_set_irq(&m->ioapic, irq == IRQ_PIT ? IOAPIC_PIN_PIT : irq, level);
}

static void machine_set_irq(void *ctx, unsigned int irq, bool level)
{
	machine_drive_isa(ctx, 0, irq, level);
}

static void machine_steer_irq(void *ctx, unsigned int irq, bool level)
{
	machine_drive_isa(ctx, 1, irq, level);
}

static void machine_set_pirq(void *ctx, unsigned int pirq, bool on)
{
	struct machine *m = ctx;

	ioapic_set_irq(&m->ioapic, IOAPIC_PIN_PIRQ + pirq, !on);
}

/* The pin for @device at an ISA interrupt. */
static struct irq_pin machine_irq(struct machine *m, const char *device, unsigned int irq)
{
	static const char *const names[] = { "irq0",  "irq1",  "irq2",	"irq3", "irq4",	 "irq5",
					     "irq6",  "irq7",  "irq8",	"irq9", "irq10", "irq11",
					     "irq12", "irq13", "irq14", "irq15" };
	const struct irq_pin pin = { .set = machine_set_irq, .ctx = m, .n = irq };

	return trace_pin(m->trace, device, names[irq], pin);
}

/* INT of the PICs: LINT0 of the bootstrap processor, and the IOAPIC. */
static void machine_set_intr(void *ctx, unsigned int n, bool level)
{
	struct machine *m = ctx;

	(void)n;
	atomic_store(&m->intr, level);
	if (level)
		vcpu_kick(&m->vcpu[0]);
	ioapic_set_irq(&m->ioapic, IOAPIC_PIN_PIC, level);
}

int machine_ack_intr(struct machine *m)
{
	int vector = VCPU_NO_VECTOR;

	pthread_mutex_lock(&m->lock);
	if (i8259_int(&m->pic))
		vector = i8259_ack(&m->pic);
	pthread_mutex_unlock(&m->lock);
	return vector;
}

static void machine_send_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct machine *m = ctx;
	int ret;

	if ((data & MSI_DM_MASK) == MSI_DM_EXTINT) {
		/*
		 * The acknowledgement moves INT, and with it this pin: with automatic EOI and a level
		 * that stays high, for ever. The part would interrupt without end; here one is taken
		 * for each message that comes from outside.
		 */
		if (m->acknowledging)
			return;
		m->acknowledging = true;
		data = (data & ~(MSI_DM_MASK | 0xff)) | i8259_ack(&m->pic);
		m->acknowledging = false;
	}
	ret = vm_signal_msi(&m->vm, addr, data);
	/* 0: nobody took it, which is the guest's affair. */
	if (ret < 0)
		diag_error("%s refuses an interrupt message (%llx, %x): %s", m->vm.device,
			   (unsigned long long)addr, data, strerror(-ret));
}

static void machine_route_changed(void *ctx, unsigned int pin, const struct ioapic_msi *msi)
{
	struct machine *m = ctx;

	vm_set_level_route(&m->vm, pin, msi->data & MSI_LEVEL, msi->addr, msi->data);
}

void machine_ioapic_eoi(struct machine *m, uint8_t vector)
{
	pthread_mutex_lock(&m->lock);
	ioapic_eoi(&m->ioapic, vector);
	pthread_mutex_unlock(&m->lock);
}

/* ------------------------------------------------------------------ console */

static size_t com1_tx(void *ctx, const uint8_t *buf, size_t len)
{
	struct machine *m = ctx;

	return console_write(m->console, buf, len);
}

/*
 * RTS is how a serial port says that somebody listens: before a guest has set it up, what it
 * received would be lost when it clears the FIFO.
 */
static size_t com1_input_space(const struct machine *m)
{
	return m->com1.mcr & UART_MCR_RTS ? uart_rx_space(&m->com1) : 0;
}

/* Tells the main thread when the port takes input again. */
static void com1_check_input(struct machine *m)
{
	bool open = com1_input_space(m) > 0;
	uint64_t one = 1;

	if (open && !m->input_open && write(m->input_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable all the same */
	m->input_open = open;
}

static uint64_t com1_read(void *dev, uint64_t off, unsigned int size)
{
	struct machine *m = dev;
	uint64_t val = uart_ops.read(&m->com1, off, size);

	com1_check_input(m);
	return val;
}

static void com1_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct machine *m = dev;

	uart_ops.write(&m->com1, off, size, val);
	com1_check_input(m);
}

/* The port's registers, with an eye on whether it takes input. */
static const struct device_ops com1_ops = { .read = com1_read, .write = com1_write };

size_t machine_input_space(struct machine *m)
{
	size_t space;

	pthread_mutex_lock(&m->lock);
	space = com1_input_space(m);
	m->input_open = space > 0;
	pthread_mutex_unlock(&m->lock);
	return space;
}

void machine_input(struct machine *m, const uint8_t *buf, size_t len)
{
	pthread_mutex_lock(&m->lock);
	uart_rx(&m->com1, buf, len);
	pthread_mutex_unlock(&m->lock);
}

void machine_output_ready(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	uart_tx_ready(&m->com1);
	pthread_mutex_unlock(&m->lock);
}

/* ------------------------------------------------------------------ accesses */

void machine_io(struct machine *m, bool write, uint16_t port, unsigned int size, unsigned int count,
		uint8_t *data)
{
	const struct bus_region *r;

	/* An open bus changes nothing: no lock for delay ports and probes. */
	if (!bus_pio_owned(&m->pio, port, size)) {
		if (!write)
			memset(data, 0xff, (size_t)size * count);
		return;
	}
	pthread_mutex_lock(&m->lock);
	r = bus_pio_region(&m->pio, port, size);
	if (r && count == 1) /* the hot path: one access to one device */
		bus_region_access(r, write, port, size, data);
	else
		bus_pio_string(&m->pio, write, port, size, count, data);
	pthread_mutex_unlock(&m->lock);
}

/*
 * Copies to or from memory as a bus master finds it. Returns whether there was memory everywhere; it
 * stops where a write finds none.
 */
static bool machine_copy(struct machine *m, bool write, uint64_t addr, uint8_t *buf, size_t len)
{
	uint8_t *host;
	uint64_t n;
	bool all = true;

	for (; len; len -= n, addr += n, buf += n) {
		n = vm_access(&m->vm, addr, len, write, &host);
		if (!host)
			all = false;
		if (host && write)
			memcpy(host, buf, n);
		else if (host)
			memcpy(buf, host, n);
		else if (!write)
			memset(buf, 0xff, n);
	}
	return all;
}

static bool machine_dma_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	return machine_copy(ctx, false, addr, buf, len);
}

static bool machine_dma_write(void *ctx, uint64_t addr, const void *buf, size_t len)
{
	return machine_copy(ctx, true, addr, (uint8_t *)buf, len);
}

static void *machine_dma_map(void *ctx, uint64_t addr, size_t len)
{
	struct machine *m = ctx;
	uint8_t *to, *from;

	if (!len || vm_access(&m->vm, addr, len, true, &to) < len ||
	    vm_access(&m->vm, addr, len, false, &from) < len || to != from)
		return NULL;
	return to;
}

/* Of the shadowed segments that exits which neither memory nor firmware has answered. */
void machine_mmio(struct machine *m, bool write, uint64_t addr, unsigned int size, uint8_t *data)
{
	pthread_mutex_lock(&m->lock);
	if (addr >= MEMMAP_SHADOW && addr < MEMMAP_SHADOW_END)
		machine_copy(m, write, addr, data, size);
	else
		bus_mmio_access(&m->mmio, write, addr, size, data);
	pthread_mutex_unlock(&m->lock);
}

/* ------------------------------------------------------------------ the end */

void machine_end(struct machine *m, enum machine_end why)
{
	int running = MACHINE_RUNS;
	uint64_t one = 1;

	if (!atomic_compare_exchange_strong(&m->end, &running, why))
		return;
	if (write(m->end_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable all the same */
}

static void machine_power_off(void *ctx)
{
	machine_end(ctx, MACHINE_POWEROFF);
}

/* Has every processor come to machine_meet(). The caller's own comes when it has left its device. */
static void machine_request(struct machine *m, unsigned int work)
{
	unsigned int i;

	atomic_fetch_or(&m->pending, work);
	for (i = 0; i < m->cpus; i++)
		vcpu_kick(&m->vcpu[i]);
}

/*
 * Without firmware there is nobody to tell a reset of the processors from one of the machine, as a
 * PC's BIOS does: both end it.
 */
static void machine_reset(void *ctx, enum dev_reset how)
{
	struct machine *m = ctx;

	if (m->firmware)
		machine_request(m, how == DEV_RESET_HARD ? MACHINE_WORK_HARD : MACHINE_WORK_SOFT);
	else
		machine_end(m, MACHINE_RESET);
}

bool machine_shutdown_cycle(struct machine *m)
{
	if (m->firmware)
		machine_request(m, MACHINE_WORK_SOFT);
	return m->firmware;
}

void machine_power_button(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	acpipm_power_button(&m->pm);
	pthread_mutex_unlock(&m->lock);
}

void machine_stop(struct machine *m)
{
	unsigned int i;

	machine_end(m, MACHINE_STOPPED);
	/* Not in machine_end(), whose callers may hold locks. */
	machine_lock(m);
	machine_unlock(m);
	pthread_mutex_lock(&m->meet_lock);
	pthread_cond_broadcast(&m->meet_over);
	pthread_mutex_unlock(&m->meet_lock);
	for (i = 0; i < m->cpus; i++)
		vcpu_kick(&m->vcpu[i]);
	for (i = 0; i < m->cpus; i++)
		vcpu_join(&m->vcpu[i]);
}

/* ------------------------------------------------------------------ the board */

struct machine_ports {
	const char *name; /* in a trace; NULL: not there */
	uint16_t port;
	uint16_t len;
	const struct device_ops *ops;
	void *dev;
};

static int machine_add_ports(struct machine *m, const struct machine_ports *ports, size_t count)
{
	const struct device_ops *ops;
	int ret = 0;
	void *dev;
	size_t i;

	for (i = 0; i < count && !ret; i++) {
		ops = ports[i].ops;
		dev = ports[i].dev;
		ret = trace_region(m->trace, ports[i].name, ports[i].port, &ops, &dev);
		if (!ret)
			ret = bus_pio_add(&m->pio, ports[i].port, ports[i].len, ops, dev);
	}
	return ret;
}

/* A region that the guest places: its handle on the bus, or a negative errno. */
static int machine_reserve(struct machine *m, bool io, const char *name,
			   const struct device_ops *ops, void *dev)
{
	int ret = trace_region(m->trace, name, 0, &ops, &dev);

	if (ret)
		return ret;
	return io ? bus_pio_reserve(&m->pio, ops, dev) : bus_mmio_reserve(&m->mmio, ops, dev);
}

static uint64_t firmware_log_read(void *dev, uint64_t off, unsigned int size)
{
	(void)dev;
	(void)off;
	(void)size;
	return 0xe9; /* how SeaBIOS knows that somebody listens */
}

static void firmware_log_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct machine *m = dev;

	(void)off;
	(void)size;
	putc((int)val, m->firmware_log);
}

static const struct device_ops firmware_log_ops = {
	.read = firmware_log_read,
	.write = firmware_log_write,
};

/* ------------------------------------------------------------------ the firmware's variables */

/* If that fails, which has been said, reads go on to come to the bus. */
static void machine_show_flash(void *ctx, bool array)
{
	struct machine *m = ctx;

	vm_show_flash(&m->vm, array ? m->firmware->vars : NULL, m->firmware->vars_size);
}

static void machine_keep_vars(void *ctx, uint32_t off, uint32_t len)
{
	struct machine *m = ctx;

	firmware_keep_vars(m->firmware, off, len);
}

static int machine_add_flash(struct machine *m)
{
	const struct flash_host host = {
		.show = machine_show_flash,
		.changed = machine_keep_vars,
		.ctx = m,
	};
	const struct firmware *fw = m->firmware;
	int ret;

	if (!fw || !fw->vars)
		return 0;
	flash_init(&m->flash, fw->vars, fw->vars_size, &host);
	ret = bus_mmio_add(&m->mmio, MEMMAP_4G - fw->size, fw->vars_size, &flash_ops, &m->flash);
	return ret ? ret : vm_show_flash(&m->vm, fw->vars, fw->vars_size);
}

/* What the guest moves about: after all that has a fixed place. */
static int machine_reserve_ports(struct machine *m)
{
	m->pm_ports = machine_reserve(m, true, "pm", &acpipm_ops, &m->pm);
	m->smbus_ports = machine_reserve(m, true, "smbus", &piix4_smbus_ops, &m->piix4);
	return m->pm_ports < 0 || m->smbus_ports < 0 ? -ENOSPC : 0;
}

static int machine_connect(struct machine *m)
{
	const struct machine_ports ports[] = {
		{ "pic", PORT_PIC_MASTER, 2, &i8259_master_ops, &m->pic },
		{ "pic", PORT_PIC_SLAVE, 2, &i8259_slave_ops, &m->pic },
		{ "pic", PORT_ELCR, 2, &i8259_elcr_ops, &m->pic },
		{ "pit", PORT_PIT, I8254_PORTS, &i8254_ops, &m->pit },
		{ "pit", PORT_PIT_61, 1, &i8254_port61_ops, &m->pit },
		{ "kbc", PORT_KBC_DATA, 1, &i8042_data_ops, &m->kbc },
		{ "kbc", PORT_KBC_CMD, 1, &i8042_cmd_ops, &m->kbc },
		{ "kbc", PORT_92, 1, &i8042_port92_ops, &m->kbc },
		{ "rtc", PORT_RTC, RTC_PORTS, &mc146818_ops, &m->rtc },
		{ "com1", PORT_COM1, 8, &com1_ops, m },
		{ "ide0", PORT_IDE0, IDE_CMD_PORTS, &ide_cmd_ops, &m->ide.channel[0] },
		{ "ide0", PORT_IDE0_CTL, IDE_CTL_PORTS, &ide_ctl_ops, &m->ide.channel[0] },
		{ "ide1", PORT_IDE1, IDE_CMD_PORTS, &ide_cmd_ops, &m->ide.channel[1] },
		{ "ide1", PORT_IDE1_CTL, IDE_CTL_PORTS, &ide_ctl_ops, &m->ide.channel[1] },
		{ "dma", PORT_DMA_LOW, I8237_LOW_PORTS, &i8237_low_ops, &m->isa_dma },
		{ "dma", PORT_DMA_HIGH, I8237_HIGH_PORTS, &i8237_high_ops, &m->isa_dma },
		{ "dma", PORT_DMA_PAGE, I8237_PAGE_PORTS, &i8237_page_ops, &m->isa_dma },
		{ "pci", PORT_PCI, PCIHOST_PORTS, &pcihost_ops, &m->pci },
	};
	const struct machine_ports firmware_ports[] = {
		{ "fwcfg", FWCFG_BASE, FWCFG_PORTS, &fwcfg_ops, &m->fwcfg },
		{ NULL, PORT_FIRMWARE_LOG, 1, &firmware_log_ops, m },
	};
	const struct device_ops *ioapic = &ioapic_ops;
	void *dev = &m->ioapic;
	int ret;

	ret = machine_add_ports(m, ports, ARRAY_LEN(ports));
	if (!ret && m->firmware)
		ret = machine_add_ports(m, firmware_ports, m->firmware_log ? 2 : 1);
	if (!ret)
		ret = trace_region(m->trace, "ioapic", 0, &ioapic, &dev);
	if (!ret)
		ret = bus_mmio_add(&m->mmio, MEMMAP_IOAPIC, MEMMAP_IOAPIC_SIZE, ioapic, dev);
	if (!ret)
		ret = machine_add_flash(m);
	if (!ret)
		ret = machine_reserve_ports(m);
	return ret;
}

/* ------------------------------------------------------------------ PCI */

static void machine_place_pm(void *ctx, int port)
{
	struct machine *m = ctx;

	bus_pio_place(&m->pio, m->pm_ports, port, port < 0 ? 0 : ACPIPM_PORTS);
	if (port >= 0)
		m->pm_base = (uint16_t)port;
}

static void machine_place_smbus(void *ctx, int port)
{
	struct machine *m = ctx;

	bus_pio_place(&m->pio, m->smbus_ports, port, port < 0 ? 0 : PIIX4_SMBUS_PORTS);
}

static int machine_set_doorbell(struct machine *m, const struct machine_bar *b, unsigned int n,
				bool on)
{
	return vm_set_doorbell(&m->vm, b->io, b->rings_at + b->doorbell[n], b->doorbell_size,
			       m->doorbell_fd, on);
}

/*
 * With the region at @at (0: nowhere) writes of its doorbells cost the processor no way to the worker and back (B2).
 * Where the device cannot have that they come as other accesses do; so they do in a trace, which shows them all.
 */
static void machine_place_doorbells(struct machine *m, struct machine_bar *b, uint64_t at)
{
	unsigned int i;

	if (b->rings_at == at)
		return;
	for (i = 0; i < b->doorbells; i++) {
		if (b->ringing & 1u << i)
			machine_set_doorbell(m, b, i, false);
	}
	b->ringing = 0;
	b->rings_at = at;
	for (i = 0; at && i < b->doorbells; i++) {
		if (!machine_set_doorbell(m, b, i, true))
			b->ringing |= 1u << i;
	}
}

static void machine_place_bar(struct machine *m, struct machine_bar *b)
{
	uint64_t addr, size = b->size;

	if (!pci_function_bar(b->fn, b->bar, &addr))
		addr = size = 0;
	machine_place_doorbells(m, b, size ? addr : 0);
	if (b->io)
		bus_pio_place(&m->pio, b->handle, addr, size);
	else
		bus_mmio_place(&m->mmio, b->handle, addr, size);
}

static void machine_decode_changed(void *ctx, struct pci_function *fn)
{
	struct machine *m = ctx;
	unsigned int i;

	for (i = 0; i < m->bars; i++) {
		if (m->bar[i].fn == fn)
			machine_place_bar(m, &m->bar[i]);
	}
}

/* The PAM registers, 0x59 to 0x5f: two segments each, but for the lower half of the first. */
static void machine_shadow_modes(const struct machine *m, uint8_t mode[VM_SHADOW_SEGMENTS])
{
	const uint8_t *pam = m->pci.bridge.config + PCIHOST_PAM0;
	unsigned int i;

	for (i = 0; i < VM_SHADOW_SEGMENTS - 1; i++)
		mode[i] = pam[1 + i / 2] >> (i % 2 ? 4 : 0) & 3;
	mode[VM_SHADOW_SEGMENTS - 1] = pam[0] >> 4 & 3;
}

static int machine_set_shadow(struct machine *m)
{
	uint8_t mode[VM_SHADOW_SEGMENTS];

	machine_shadow_modes(m, mode);
	return vm_set_shadow(&m->vm, mode);
}

static void machine_bridge_written(struct pci_function *fn, unsigned int off, unsigned int size)
{
	struct machine *m = fn->dev;
	uint8_t mode[VM_SHADOW_SEGMENTS];

	if (off > PCIHOST_PAM6 || off + size <= PCIHOST_PAM0)
		return;
	machine_shadow_modes(m, mode);
	if (memcmp(mode, m->vm.shadow, sizeof(mode)))
		machine_request(m, MACHINE_WORK_SHADOW);
}

/* Registers of a function that the guest finds by base address register bar. */
static int machine_add_bar(struct machine *m, struct pci_function *fn, unsigned int bar, bool io,
			   const char *name, uint64_t size, const struct device_ops *ops, void *dev)
{
	int handle;

	if (m->bars == MACHINE_BARS_MAX)
		return -ENOSPC;
	handle = machine_reserve(m, io, name, ops, dev);
	if (handle < 0)
		return handle;
	m->bar[m->bars++] = (struct machine_bar){
		.fn = fn, .bar = bar, .io = io, .size = size, .handle = handle
	};
	return 0;
}

/* The base address register that was added last has a doorbell of @size bytes, as all of its are. */
static void machine_add_doorbell(struct machine *m, uint32_t off, unsigned int size)
{
	struct machine_bar *b = &m->bar[m->bars - 1];

	if (m->trace)
		return;
	b->doorbell[b->doorbells++] = off;
	b->doorbell_size = size;
}

/* The drive's second mode, with a queue for each processor as far as there are some. */
static int machine_set_bimodal(struct machine *m, const struct machine_disk *d,
			       struct ide_fast **fast, unsigned int cpus)
{
	const unsigned int queues = cpus < VIRTIO_BLK_QUEUES_MAX ? cpus : VIRTIO_BLK_QUEUES_MAX;
	const struct msi_port msi = { .send = machine_send_msi, .ctx = m };

	if (!d->bimodal.on)
		return 0;
	*fast = calloc(1, sizeof(**fast));
	if (!*fast)
		return -ENOMEM;
	machine_add_doorbell(m, BIMODAL_PIIX4_DOORBELL(2 * d->channel + d->unit), 1);
	return ide_set_bimodal(&m->ide, d->channel, d->unit, *fast, &d->bimodal, queues, msi);
}

static int machine_attach_drives(struct machine *m, const struct machine_config *cfg)
{
	const struct machine_disk *d;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < cfg->disks && !ret; i++) {
		d = &cfg->disk[i];
		ret = d->cdrom ? ide_attach_cdrom(&m->ide, d->channel, d->unit, d->block, NULL)
			       : ide_attach_disk(&m->ide, d->channel, d->unit, d->block, NULL);
		if (!ret)
			ret = machine_set_bimodal(m, d, &m->fast[i], cfg->cpus);
		if (ret)
			diag_error("drive %u of IDE channel %u: %s", d->unit, d->channel,
				   strerror(-ret));
	}
	return ret;
}

static int machine_init_ide(struct machine *m, const struct machine_config *cfg)
{
	const struct irq_pin irq[IDE_CHANNELS] = { machine_irq(m, "ide0", IRQ_IDE0),
						   machine_irq(m, "ide1", IRQ_IDE1) };
	int ret;

	ide_init(&m->ide, &m->clock, &m->dma, irq);
	ret = pcihost_add(&m->pci, PCI_DEVFN(SLOT_PIIX4, FUNCTION_IDE), &m->ide.fn);
	if (!ret)
		ret = machine_add_bar(m, &m->ide.fn, IDE_BM_BAR, true, "ide.bm", IDE_BM_PORTS,
				      &ide_bm_ops, &m->ide);
	if (!ret)
		ret = machine_attach_drives(m, cfg);
	return ret;
}

static int machine_init_nic(struct machine *m, unsigned int n, const struct machine_nic *nic)
{
	static const struct {
		const char *name, *io, *mem;
	} names[MACHINE_NICS_MAX] = {
		{ "nic0", "nic0.io", "nic0.mem" },
		{ "nic1", "nic1.io", "nic1.mem" },
		{ "nic2", "nic2.io", "nic2.mem" },
		{ "nic3", "nic3.io", "nic3.mem" },
	};
	struct dec21140 *dec = &m->nic[n];
	unsigned int slot = SLOT_NIC + n;
	const struct irq_pin inta = {
		.set = piix4_set_intx,
		.ctx = &m->piix4,
		.n = PIIX4_INTX(slot, slot, 1),
	};
	int ret;

	dec21140_init(dec, &m->clock, &m->dma, trace_pin(m->trace, names[n].name, "inta", inta),
		      nic->net, nic->mac);
	dec21140_set_bimodal(dec, &nic->bimodal, m->cpus,
			     (struct msi_port){ .send = machine_send_msi, .ctx = m });
	nic->net->dev_ops = &dec21140_net_ops;
	nic->net->dev = dec;
	m->nics++;
	ret = pcihost_add(&m->pci, PCI_DEVFN(slot, 0), &dec->fn);
	if (!ret)
		ret = machine_add_bar(m, &dec->fn, DEC21140_IO_BAR, true, names[n].io,
				      DEC21140_CSR_SIZE, &dec21140_ops, dec);
	if (!ret && nic->bimodal.on)
		machine_add_doorbell(m, DEC21140_DOORBELL, 4);
	if (!ret)
		ret = machine_add_bar(m, &dec->fn, DEC21140_MEM_BAR, false, names[n].mem,
				      DEC21140_CSR_SIZE, &dec21140_ops, dec);
	if (!ret && nic->bimodal.on)
		machine_add_doorbell(m, DEC21140_DOORBELL, 4);
	return ret;
}

static int machine_init_cards(struct machine *m, const struct machine_config *cfg)
{
	unsigned int i;
	int ret = machine_init_ide(m, cfg);

	for (i = 0; i < cfg->nics && !ret; i++)
		ret = machine_init_nic(m, i, &cfg->nic[i]);
	return ret;
}

static int machine_init_pci(struct machine *m)
{
	const struct piix4_host host = {
		.pirq = machine_set_pirq,
		.isa_irq = machine_steer_irq,
		.pm_base = machine_place_pm,
		.smbus_base = machine_place_smbus,
		.ctx = m,
	};
	int ret;

	pcihost_init(&m->pci);
	pcihost_set_rc(&m->pci, &acpipm_rc_ops, &m->pm);
	m->pci.decode_changed = machine_decode_changed;
	m->pci.ctx = m;
	m->pci.bridge.written = machine_bridge_written;
	m->pci.bridge.dev = m;
	piix4_init(&m->piix4, &host);
	ret = pcihost_add(&m->pci, PCI_DEVFN(SLOT_PIIX4, FUNCTION_ISA), &m->piix4.isa);
	if (!ret)
		ret = pcihost_add(&m->pci, PCI_DEVFN(SLOT_PIIX4, FUNCTION_PM), &m->piix4.pm);
	return ret;
}

static void machine_config_write(struct machine *m, uint8_t devfn, unsigned int off,
				 unsigned int size, uint32_t val)
{
	pcihost_ops.write(&m->pci, 0, 4, 0x80000000u | (uint32_t)devfn << 8 | (off & 0xfc));
	pcihost_ops.write(&m->pci, 4 + (off & 3), size, val);
}

#define IDE_DECODE_BOTH 0x80008000u /* the ports of both channels */

/*
 * A PIIX4 comes out of reset with its IDE ports closed. SeaBIOS opens them; OVMF is built for a board where they
 * are open.
 */
static void machine_open_ide(struct machine *m)
{
	machine_config_write(m, PCI_DEVFN(SLOT_PIIX4, FUNCTION_IDE), IDE_IDETIM, 4,
			     IDE_DECODE_BOTH);
	pcihost_ops.write(&m->pci, 0, 4, 0);
}

/* ------------------------------------------------------------------ reset */

/* Every chip but the one that keeps time. Outputs settle before what they lead to is reset. */
static void machine_reset_board(struct machine *m)
{
	unsigned int i;

	ide_reset(&m->ide);
	for (i = 0; i < m->nics; i++)
		dec21140_reset(&m->nic[i]);
	pcihost_reset(&m->pci);
	for (i = 0; i < m->bars; i++)
		machine_place_bar(m, &m->bar[i]);
	piix4_reset(&m->piix4);
	uart_reset(&m->com1);
	com1_check_input(m);
	i8042_reset(&m->kbc);
	ps2kbd_reset(&m->keyboard);
	ps2mouse_reset(&m->mouse);
	acpipm_reset(&m->pm);
	mc146818_reset(&m->rtc);
	i8254_reset(&m->pit);
	i8237_reset(&m->isa_dma);
	fwcfg_reset(&m->fwcfg);
	if (m->flash.data)
		flash_reset(&m->flash);
	i8259_reset(&m->pic);
	ioapic_reset(&m->ioapic);
	machine_open_ide(m);
}

static int machine_do_work(struct machine *m, unsigned int work)
{
	enum dev_reset how = work & MACHINE_WORK_HARD ? DEV_RESET_HARD : DEV_RESET_SOFT;
	unsigned int i;
	int ret;

	if (work & MACHINE_WORK_HARD)
		machine_reset_board(m);
	ret = machine_set_shadow(m);
	if (!(work & (MACHINE_WORK_HARD | MACHINE_WORK_SOFT)))
		return ret;
	for (i = 0; i < m->cpus && !ret; i++)
		ret = vcpu_reset(&m->vcpu[i], how);
	return ret;
}

/*
 * What a drive still reads would go to memory that a reset hands to the firmware. Back ends, which
 * end it, come by machine_unlock().
 */
static void machine_await_drives(struct machine *m)
{
	while (!ide_idle(&m->ide) && !atomic_load(&m->end))
		pthread_cond_wait(&m->unlocked, &m->lock);
}

/*
 * True if the caller was the last to come and has done the work; what came of that in *ret. The
 * others sleep, so that nothing changes while the meeting's lock is let go: machine_stop() takes it.
 */
static bool machine_arrive(struct machine *m, int *ret)
{
	if (++m->meet_arrived < m->cpus)
		return false;
	pthread_mutex_unlock(&m->meet_lock);
	pthread_mutex_lock(&m->lock);
	if (atomic_load(&m->pending) & MACHINE_WORK_HARD)
		machine_await_drives(m);
	*ret = machine_do_work(m, atomic_exchange(&m->pending, 0));
	pthread_mutex_unlock(&m->lock);
	pthread_mutex_lock(&m->meet_lock);
	m->meet_arrived = 0;
	m->meet_count++;
	pthread_cond_broadcast(&m->meet_over);
	return true;
}

void machine_meet(struct machine *m)
{
	unsigned int count;
	int ret = 0;

	pthread_mutex_lock(&m->meet_lock);
	count = m->meet_count;
	/* The meeting that this processor was called to may be over already. */
	if (atomic_load(&m->pending) && !machine_arrive(m, &ret)) {
		while (count == m->meet_count && !atomic_load(&m->end))
			pthread_cond_wait(&m->meet_over, &m->meet_lock);
	}
	pthread_mutex_unlock(&m->meet_lock);
	if (ret)
		machine_end(m, MACHINE_CRASH);
}

/* ------------------------------------------------------------------ what firmware leaves behind */

enum {
	CMOS_SHUTDOWN = 0x0f,
	CMOS_BASE_LOW = 0x15, /* KiB below 640 KiB */
	CMOS_EXT_LOW = 0x17,  /* KiB above 1 MiB, at most 63 MiB; again at 0x30 */
	CMOS_EXT2_LOW = 0x30,
	CMOS_HIGH_LOW = 0x34, /* 64 KiB above 16 MiB */
	CMOS_BOOT_FLAGS = 0x38,
	CMOS_BOOT_ORDER = 0x3d,
	CMOS_4G_LOW = 0x5b, /* 64 KiB above 4 GiB, three bytes */
	CMOS_CPUS = 0x5f,   /* less one */
};

#define BOOT_DISK  2
#define BOOT_CDROM 3

static void machine_set_cmos(struct machine *m, unsigned int index, unsigned int bytes,
			     uint64_t val)
{
	for (; bytes--; index++, val >>= 8)
		mc146818_nvram_set(&m->rtc, index, (uint8_t)val);
}

static uint64_t at_most(uint64_t val, uint64_t max)
{
	return val < max ? val : max;
}

/* What SeaBIOS reads there: sizes of memory, processors, order of devices to boot from. */
static void machine_fill_cmos(struct machine *m)
{
	const struct memmap_ram *ram = &m->vm.ram;
	uint64_t ext = at_most((ram->low >> 10) - 1024, 63 << 10);
	uint64_t high = ram->low > 16 << 20 ? (ram->low >> 16) - 256 : 0;

	machine_set_cmos(m, CMOS_SHUTDOWN, 1, 0);
	machine_set_cmos(m, CMOS_BASE_LOW, 2, 640);
	machine_set_cmos(m, CMOS_EXT_LOW, 2, ext);
	machine_set_cmos(m, CMOS_EXT2_LOW, 2, ext);
	machine_set_cmos(m, CMOS_HIGH_LOW, 2, at_most(high, 0xffff));
	machine_set_cmos(m, CMOS_4G_LOW, 3, ram->high >> 16);
	machine_set_cmos(m, CMOS_CPUS, 1, m->cpus - 1);
	machine_set_cmos(m, CMOS_BOOT_FLAGS, 1, 1); /* a diskette's signature is not checked */
	machine_set_cmos(m, CMOS_BOOT_ORDER, 1, BOOT_DISK | BOOT_CDROM << 4);
}

/*
 * Without firmware the board is handed over as a BIOS would: all of the shadowed memory is plain
 * memory, the power management is where the ACPI tables say, PCI interrupts are steered to 10 and
 * 11.
 */
static int machine_set_up(struct machine *m)
{
	uint8_t ide = PCI_DEVFN(SLOT_PIIX4, FUNCTION_IDE);
	static const uint8_t irq[PIIX4_PIRQS] = { 10, 10, 11, 11 };
	uint8_t isa = PCI_DEVFN(SLOT_PIIX4, FUNCTION_ISA), pm = PCI_DEVFN(SLOT_PIIX4, FUNCTION_PM);
	unsigned int i;

	for (i = PCIHOST_PAM0; i <= PCIHOST_PAM6; i++)
		machine_config_write(m, PCI_DEVFN(0, 0), i, 1, 0x33);
	for (i = 0; i < PIIX4_PIRQS; i++)
		machine_config_write(m, isa, PIIX4_PIRQRC + i, 1, irq[i]);
	i8259_elcr_ops.write(&m->pic, 1, 1, 1u << (10 - 8) | 1u << (11 - 8));
	machine_config_write(m, pm, PIIX4_PMBASE, 4, PORT_PM);
	machine_config_write(m, pm, PIIX4_PMREGMISC, 1, PIIX4_PMIOSE);
	machine_config_write(m, pm, PCI_INTERRUPT_LINE, 1, IRQ_SCI);
	machine_config_write(m, ide, PCI_COMMAND, 2, PCI_COMMAND_IO);
	machine_open_ide(m);
	atomic_store(&m->pending, 0); /* no processor runs yet */
	return machine_set_shadow(m);
}

static void machine_init_interrupts(struct machine *m)
{
	const struct ioapic_host ioapic_host = {
		.msi = machine_send_msi,
		.route_changed = machine_route_changed,
		.ctx = m,
	};

	i8259_init(&m->pic, (struct irq_pin){ .set = machine_set_intr, .ctx = m });
	ioapic_init(&m->ioapic, &ioapic_host);
	for (unsigned int i = 0; i < PIIX4_PIRQS; i++)
		machine_set_pirq(m, i, false);
}

static void machine_init_timers(struct machine *m)
{
	const struct irq_pin out[3] = { machine_irq(m, "pit", IRQ_PIT) };

	m->clock = (struct dev_clock){
		.now = machine_now,
		.arm = machine_arm,
		.cancel = machine_cancel,
		.ctx = m,
	};
	timerq_init(&m->timers);
	i8254_init(&m->pit, &m->clock, out);
	mc146818_init(&m->rtc, &m->clock, machine_irq(m, "rtc", IRQ_RTC),
		      clock_read(CLOCK_REALTIME));
}

static void machine_init_power(struct machine *m)
{
	const struct acpipm_config config = {
		.s5_typ = PM_S5_TYP,
		.timer_bits = PM_TIMER_BITS,
		.acpi_mode = true,
	};
	const struct acpipm_host host = {
		.power_off = machine_power_off,
		.reset = machine_reset,
		.ctx = m,
	};

	acpipm_init(&m->pm, &m->clock, machine_irq(m, "pm", IRQ_SCI), &config, &host);
}

static void machine_init_kbc(struct machine *m)
{
	/* A20 stays open: no guest that boots here runs code that needs the gate. */
	const struct i8042_host host = { .reset = machine_reset, .ctx = m };

	const struct ps2_host controller = { .ready = i8042_ready, .ctx = &m->kbc };
	const struct ps2_device keyboard = { &ps2kbd_ops, &m->keyboard };
	const struct ps2_device mouse = { &ps2mouse_ops, &m->mouse };

	i8042_init(&m->kbc, machine_irq(m, "kbc", IRQ_KBD), machine_irq(m, "kbc", IRQ_AUX), &host);
	ps2kbd_init(&m->keyboard, &m->clock, &controller);
	ps2mouse_init(&m->mouse, &m->clock, &controller);
	i8042_plug(&m->kbc, &keyboard, &mouse);
}

static void machine_init_com1(struct machine *m)
{
	const struct uart_host host = { .tx = com1_tx, .ctx = m };

	uart_init(&m->com1, &m->clock, machine_irq(m, "com1", IRQ_COM1), &host);
}

static struct acpi_config machine_acpi_config(const struct machine *m)
{
	return (struct acpi_config){
		.cpus = m->cpus,
		.lapic_base = MEMMAP_LAPIC,
		.ioapic_base = MEMMAP_IOAPIC,
		.pm1_evt_port = m->pm_base + ACPIPM_PM1_STS,
		.pm1_cnt_port = m->pm_base + ACPIPM_PM1_CNT,
		.pm_tmr_port = m->pm_base + ACPIPM_TMR,
		.pm_tmr_bits = PM_TIMER_BITS,
		.s5_slp_typ = PM_S5_TYP,
		.reset_port = PORT_RESET,
		.reset_value = ACPIPM_RC_SRST | ACPIPM_RC_RCPU,
		.sci_irq = IRQ_SCI,
		.pci_mem_start = m->vm.ram.low <= MEMMAP_PCI_LOW ? MEMMAP_PCI_LOW : MEMMAP_PCI_HOLE,
		.pci_mem_last = MEMMAP_PCI_MEM_LAST,
		.pirq_gsi = IOAPIC_PIN_PIRQ,
		.isa_slot = SLOT_PIIX4,
	};
}

/* The tables in memory, for a kernel that is placed there too. */
static int machine_write_acpi(struct machine *m)
{
	const struct acpi_config cfg = machine_acpi_config(m);
	void *tables = vm_memory(&m->vm, MEMMAP_ACPI, ACPI_TABLES_MAX);
	long len = tables ? acpi_build(&cfg, MEMMAP_ACPI, tables, ACPI_TABLES_MAX) : -EFAULT;

	return len < 0 ? len : 0;
}

/* Firmware places the power management before it reads the tables that say where it is. */
static void machine_fwcfg_selected(void *ctx, uint16_t key)
{
	struct machine *m = ctx;
	struct acpi_config cfg;

	if (key < FWCFG_FILES || m->pm_told == m->pm_base)
		return;
	cfg = machine_acpi_config(m);
	if (!fwtables_update_acpi(m->fwtables, &cfg))
		m->pm_told = m->pm_base;
}

/* The tables where firmware looks for them. */
static int machine_tell_firmware(struct machine *m)
{
	const struct acpi_config acpi = machine_acpi_config(m);
	const struct smbios_config smbios = { .cpus = m->cpus, .ram = m->vm.ram };
	int ret;

	m->fwtables = malloc(sizeof(*m->fwtables));
	if (!m->fwtables)
		return -ENOMEM;
	ret = fwtables_build(m->fwtables, &acpi, &smbios);
	if (!ret)
		ret = fwtables_publish(m->fwtables, m->cpus, &m->fwcfg);
	m->fwcfg.selected = machine_fwcfg_selected;
	m->fwcfg.ctx = m;
	if (!ret)
		ret = machine_set_shadow(m);
	machine_fill_cmos(m);
	machine_open_ide(m);
	return ret;
}

static int machine_hand_over(struct machine *m)
{
	int ret;

	if (m->firmware)
		return machine_tell_firmware(m);
	ret = machine_write_acpi(m);
	return ret ? ret : machine_set_up(m);
}

static int machine_init_board(struct machine *m, const struct machine_config *cfg)
{
	int ret;

	m->clock_base = clock_read(CLOCK_MONOTONIC);
	trace_begin(m->trace, &m->clock);
	m->pm_base = m->pm_told = PORT_PM;
	m->dma = (struct dma){
		.read = machine_dma_read,
		.write = machine_dma_write,
		.map = machine_dma_map,
		.ctx = m,
	};
	machine_init_interrupts(m);
	machine_init_timers(m);
	machine_init_power(m);
	machine_init_kbc(m);
	machine_init_com1(m);
	i8237_init(&m->isa_dma);
	fwcfg_init(&m->fwcfg, &m->dma);
	ret = machine_connect(m);
	if (!ret)
		ret = machine_init_pci(m);
	if (!ret)
		ret = machine_init_cards(m, cfg);
	if (!ret)
		ret = machine_hand_over(m);
	return ret;
}

/* ------------------------------------------------------------------ making and unmaking */

static int machine_open_events(struct machine *m)
{
	m->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->input_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return m->end_fd < 0 || m->input_fd < 0 || m->doorbell_fd < 0 || m->timer_fd < 0 ? -errno
											 : 0;
}

static int machine_check_cpus(const struct machine *m, unsigned int cpus)
{
	if (cpus <= m->vm.cpus_max)
		return 0;
	diag_error("%u processors are too many: %s gives a machine at most %u", cpus, m->vm.device,
		   m->vm.cpus_max);
	return -EINVAL;
}

static int machine_check_memory(const struct machine *m, uint64_t memory)
{
	struct memmap_ram ram = memmap_split(memory);
	unsigned int bits = cpuid_phys_bits(m->vm.cpuid);

	if (!ram.high || (MEMMAP_4G + ram.high) >> bits == 0)
		return 0;
	diag_error("%llu MiB are too much memory: addresses have %u bits here",
		   (unsigned long long)memory >> 20, bits);
	return -EINVAL;
}

static int machine_create_vcpus(struct machine *m, unsigned int cpus)
{
	int ret;

	/* Each is told how many there are. */
	for (m->cpus = 0; m->cpus < cpus; m->cpus++) {
		ret = vcpu_create(&m->vcpu[m->cpus], m, m->cpus, cpus, m->firmware);
		if (ret)
			return ret;
	}
	return 0;
}

int machine_create(struct machine *m, const struct machine_config *cfg)
{
	int ret;

	memset(m, 0, sizeof(*m));
	m->end_fd = m->input_fd = m->doorbell_fd = m->timer_fd = -1;
	m->console = cfg->console;
	m->firmware = cfg->firmware;
	m->firmware_log = cfg->firmware_log;
	m->trace = cfg->trace;
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->meet_lock, NULL);
	pthread_cond_init(&m->meet_over, NULL);
	pthread_cond_init(&m->unlocked, NULL);
	ret = vm_open(&m->vm, cfg->device, cfg->device_fd);
	if (ret)
		return ret;
	ret = machine_check_cpus(m, cfg->cpus);
	if (!ret)
		ret = machine_check_memory(m, cfg->memory);
	if (!ret)
		ret = vm_add_memory(&m->vm, cfg->memory);
	if (!ret && cfg->firmware)
		ret = vm_add_rom(&m->vm, cfg->firmware->image, cfg->firmware->size,
				 cfg->firmware->vars ? cfg->firmware->vars_size : 0);
	if (!ret)
		ret = machine_create_vcpus(m, cfg->cpus);
	if (ret)
		goto fail;
	ret = machine_open_events(m);
	if (!ret)
		ret = machine_init_board(m, cfg);
	if (!ret)
		return 0;
	diag_error("cannot make the machine: %s", strerror(-ret));
fail:
	machine_destroy(m);
	return ret;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void machine_destroy(struct machine *m)
{
	unsigned int i;

	machine_stop(m);
	for (i = 0; i < m->cpus; i++)
		vcpu_destroy(&m->vcpu[i]);
	close_if_open(m->end_fd);
	close_if_open(m->input_fd);
	close_if_open(m->doorbell_fd);
	close_if_open(m->timer_fd);
	vm_close(&m->vm);
	for (i = 0; i < MACHINE_DISKS_MAX; i++)
		free(m->fast[i]);
	free(m->fwtables);
}

int machine_start(struct machine *m)
{
	unsigned int i;
	int ret;

	for (i = 0; i < m->cpus; i++) {
		ret = vcpu_start(&m->vcpu[i]);
		if (ret)
			return ret;
	}
	return 0;
}
