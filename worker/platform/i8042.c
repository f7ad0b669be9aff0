// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "worker/platform/i8042.h"
#include "worker/platform/ps2kbd.h"

enum {
	CMD_READ_RAM = 0x20,
	CMD_READ_RAM_LAST = 0x3f,
	CMD_WRITE_RAM = 0x60,
	CMD_WRITE_RAM_LAST = 0x7f,
	CMD_TEST_PASSWORD = 0xa4,
	CMD_LOAD_PASSWORD = 0xa5,
	CMD_AUX_DISABLE = 0xa7,
	CMD_AUX_ENABLE = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KBD_TEST = 0xab,
	CMD_KBD_DISABLE = 0xad,
	CMD_KBD_ENABLE = 0xae,
	CMD_READ_INPUT_PORT = 0xc0,
	CMD_READ_OUTPUT_PORT = 0xd0,
	CMD_WRITE_OUTPUT_PORT = 0xd1,
	CMD_WRITE_KBD_OUTPUT = 0xd2,
	CMD_WRITE_AUX_OUTPUT = 0xd3,
	CMD_WRITE_AUX = 0xd4,
	CMD_A20_OFF = 0xdd,
	CMD_A20_ON = 0xdf,
	CMD_READ_TEST_INPUTS = 0xe0,
	CMD_PULSE = 0xf0,
};

#define SELF_TEST_PASSED 0x55
#define INTERFACE_GOOD	 0x00
#define NO_PASSWORD	 0xf1
#define INPUT_PORT	 0xa0 /* not locked, no manufacturing jumper */
#define TEST_INPUTS	 0x03 /* clock and data idle high */
#define DEVICE_TIMEOUT	 0xfe
#define BREAK_PREFIX	 0xf0

static void set_pin(const struct irq_pin *pin, bool *was, bool level)
{
	if (*was == level)
		return;
	*was = level;
	irq_pin_set(pin, level);
}

static void update_irqs(struct i8042 *kbc)
{
	bool full = kbc->status & I8042_STS_OBF;
	bool aux = kbc->status & I8042_STS_AUX;

	set_pin(&kbc->kbd_irq, &kbc->kbd_level, full && !aux && kbc->ram[0] & I8042_CTR_KBD_INT);
	set_pin(&kbc->aux_irq, &kbc->aux_level, full && aux && kbc->ram[0] & I8042_CTR_AUX_INT);
}

static void update_a20(struct i8042 *kbc)
{
	bool on = kbc->out & I8042_OUT_A20 || kbc->port92 & I8042_P92_A20;

	if (on == kbc->a20)
		return;
	kbc->a20 = on;
	if (kbc->host.a20)
		kbc->host.a20(kbc->host.ctx, on);
}

static void reset_processor(struct i8042 *kbc)
{
	if (kbc->host.reset)
		kbc->host.reset(kbc->host.ctx, DEV_RESET_SOFT);
}

/* Put @val in the output buffer; @flags: AUX, TIMEOUT. Pins pulse, as it is new output. */
static void put(struct i8042 *kbc, uint8_t val, uint8_t flags)
{
	kbc->status &= ~(I8042_STS_OBF | I8042_STS_AUX | I8042_STS_TIMEOUT);
	update_irqs(kbc);
	kbc->data = val;
	kbc->status |= I8042_STS_OBF | flags;
	update_irqs(kbc);
}

/*
 * Set 2 becomes set 1: the break prefix turns into the upper bit of what follows. Returns false if
 * nothing is to be seen yet.
 */
static bool translate(struct i8042 *kbc, uint8_t *byte)
{
	bool breaking = kbc->breaking;

	if (!(kbc->ram[0] & I8042_CTR_XLATE))
		return true;
	kbc->breaking = *byte == BREAK_PREFIX;
	if (kbc->breaking)
		return false;
	*byte = ps2_translate(*byte) | (breaking ? 0x80 : 0);
	return true;
}

static bool fetch_kbd(struct i8042 *kbc, uint8_t *byte)
{
	if (!kbc->kbd.ops || kbc->ram[0] & I8042_CTR_KBD_OFF)
		return false;
	while (kbc->kbd.ops->read(kbc->kbd.dev, byte))
		if (translate(kbc, byte))
			return true;
	return false;
}

static bool fetch_aux(struct i8042 *kbc, uint8_t *byte)
{
	if (!kbc->aux.ops || kbc->ram[0] & I8042_CTR_AUX_OFF)
		return false;
	return kbc->aux.ops->read(kbc->aux.dev, byte);
}

/* Lets a device send when there is room. */
static void fetch(struct i8042 *kbc)
{
	uint8_t byte;

	if (kbc->status & I8042_STS_OBF)
		return;
	if (fetch_kbd(kbc, &byte))
		put(kbc, byte, 0);
	else if (fetch_aux(kbc, &byte))
		put(kbc, byte, I8042_STS_AUX);
}

void i8042_ready(void *kbc)
{
	fetch(kbc);
}

/* The line that resets the processor is active low, and is high again afterwards. */
static void write_output_port(struct i8042 *kbc, uint8_t val)
{
	kbc->out = val | I8042_OUT_RESET;
	update_a20(kbc);
	if (!(val & I8042_OUT_RESET))
		reset_processor(kbc);
}

static uint8_t read_output_port(const struct i8042 *kbc)
{
	uint8_t val = kbc->out & ~(I8042_OUT_IRQ1 | I8042_OUT_IRQ12);

	if (kbc->kbd_level)
		val |= I8042_OUT_IRQ1;
	if (kbc->aux_level)
		val |= I8042_OUT_IRQ12;
	return val;
}

static bool takes_data(uint8_t cmd)
{
	if (cmd >= CMD_WRITE_RAM && cmd <= CMD_WRITE_RAM_LAST)
		return true;
	return cmd == CMD_LOAD_PASSWORD || (cmd >= CMD_WRITE_OUTPUT_PORT && cmd <= CMD_WRITE_AUX);
}

static void run_command(struct i8042 *kbc, uint8_t cmd)
{
	if (cmd >= CMD_READ_RAM && cmd <= CMD_READ_RAM_LAST) {
		put(kbc, kbc->ram[cmd - CMD_READ_RAM], 0);
		return;
	}
	/* Low bits that are 0 are pulsed low; only the processor's reset notices. */
	if (cmd >= CMD_PULSE) {
		if (!(cmd & I8042_OUT_RESET))
			reset_processor(kbc);
		return;
	}
	switch (cmd) {
	case CMD_TEST_PASSWORD:
		put(kbc, NO_PASSWORD, 0);
		break;
	case CMD_AUX_DISABLE:
		kbc->ram[0] |= I8042_CTR_AUX_OFF;
		break;
	case CMD_AUX_ENABLE:
		kbc->ram[0] &= ~I8042_CTR_AUX_OFF;
		break;
	case CMD_AUX_TEST:
	case CMD_KBD_TEST:
		put(kbc, INTERFACE_GOOD, 0);
		break;
	case CMD_SELF_TEST:
		kbc->ram[0] |= I8042_CTR_SYS;
		put(kbc, SELF_TEST_PASSED, 0);
		break;
	case CMD_KBD_DISABLE:
		kbc->ram[0] |= I8042_CTR_KBD_OFF;
		break;
	case CMD_KBD_ENABLE:
		kbc->ram[0] &= ~I8042_CTR_KBD_OFF;
		break;
	case CMD_READ_INPUT_PORT:
		put(kbc, INPUT_PORT, 0);
		break;
	case CMD_READ_OUTPUT_PORT:
		put(kbc, read_output_port(kbc), 0);
		break;
	case CMD_A20_OFF:
		write_output_port(kbc, kbc->out & ~I8042_OUT_A20);
		break;
	case CMD_A20_ON:
		write_output_port(kbc, kbc->out | I8042_OUT_A20);
		break;
	case CMD_READ_TEST_INPUTS:
		put(kbc, TEST_INPUTS, 0);
		break;
	}
}

/* The data byte of kbc->command, or a byte for the keyboard. */
static void run_data(struct i8042 *kbc, uint8_t cmd, uint8_t val)
{
	switch (cmd) {
	case 0: /* for the keyboard, which is thereby enabled */
		kbc->ram[0] &= ~I8042_CTR_KBD_OFF;
		if (kbc->kbd.ops)
			kbc->kbd.ops->write(kbc->kbd.dev, val);
		else
			put(kbc, DEVICE_TIMEOUT, I8042_STS_TIMEOUT);
		break;
	case CMD_LOAD_PASSWORD: /* ends with a zero */
		if (val)
			kbc->command = cmd;
		break;
	case CMD_WRITE_OUTPUT_PORT:
		write_output_port(kbc, val);
		break;
	case CMD_WRITE_KBD_OUTPUT:
		put(kbc, val, 0);
		break;
	case CMD_WRITE_AUX_OUTPUT:
		put(kbc, val, I8042_STS_AUX);
		break;
	case CMD_WRITE_AUX:
		kbc->ram[0] &= ~I8042_CTR_AUX_OFF;
		if (kbc->aux.ops)
			kbc->aux.ops->write(kbc->aux.dev, val);
		else
			put(kbc, DEVICE_TIMEOUT, I8042_STS_AUX | I8042_STS_TIMEOUT);
		break;
	default:
		kbc->ram[cmd - CMD_WRITE_RAM] = val;
		update_irqs(kbc);
		break;
	}
}

static uint8_t read_data(void *dev, unsigned int off)
{
	struct i8042 *kbc = dev;
	uint8_t data = kbc->data;

	(void)off;
	kbc->status &= ~(I8042_STS_OBF | I8042_STS_AUX | I8042_STS_TIMEOUT);
	update_irqs(kbc);
	fetch(kbc);
	return data;
}

static void write_data(void *dev, unsigned int off, uint8_t val)
{
	struct i8042 *kbc = dev;
	uint8_t cmd = kbc->command;

	(void)off;
	kbc->command = 0;
	kbc->status &= ~I8042_STS_COMMAND;
	run_data(kbc, cmd, val);
	fetch(kbc);
}

static uint8_t read_status(void *dev, unsigned int off)
{
	struct i8042 *kbc = dev;

	(void)off;
	return kbc->status | I8042_STS_UNLOCK | (kbc->ram[0] & I8042_CTR_SYS);
}

static void write_command(void *dev, unsigned int off, uint8_t val)
{
	struct i8042 *kbc = dev;

	(void)off;
	kbc->status |= I8042_STS_COMMAND;
	kbc->command = takes_data(val) ? val : 0;
	if (!kbc->command)
		run_command(kbc, val);
	fetch(kbc);
}

static uint8_t read_port92(void *dev, unsigned int off)
{
	(void)off;
	return ((struct i8042 *)dev)->port92;
}

static void write_port92(void *dev, unsigned int off, uint8_t val)
{
	struct i8042 *kbc = dev;
	bool trigger = val & ~kbc->port92 & I8042_P92_RESET;

	(void)off;
	kbc->port92 = val & (I8042_P92_RESET | I8042_P92_A20);
	update_a20(kbc);
	if (trigger)
		reset_processor(kbc);
}

static uint64_t data_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_data, dev, off, size);
}

static void data_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_data, dev, off, size, val);
}

static uint64_t cmd_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_status, dev, off, size);
}

static void cmd_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_command, dev, off, size, val);
}

static uint64_t port92_read(void *dev, uint64_t off, unsigned int size)
{
	return dev_read_bytes(read_port92, dev, off, size);
}

static void port92_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	dev_write_bytes(write_port92, dev, off, size, val);
}

const struct device_ops i8042_data_ops = { .read = data_read, .write = data_write };
const struct device_ops i8042_cmd_ops = { .read = cmd_read, .write = cmd_write };
const struct device_ops i8042_port92_ops = { .read = port92_read, .write = port92_write };

void i8042_reset(struct i8042 *kbc)
{
	memset(kbc->ram, 0, sizeof(kbc->ram));
	kbc->ram[0] = I8042_CTR_KBD_OFF | I8042_CTR_AUX_OFF;
	kbc->status = 0;
	kbc->data = 0;
	kbc->command = 0;
	kbc->breaking = false;
	kbc->out = (uint8_t) ~(I8042_OUT_IRQ1 | I8042_OUT_IRQ12);
	kbc->port92 = 0;
	update_irqs(kbc);
	update_a20(kbc);
}

void i8042_init(struct i8042 *kbc, struct irq_pin kbd_irq, struct irq_pin aux_irq,
		const struct i8042_host *host)
{
	memset(kbc, 0, sizeof(*kbc));
	kbc->kbd_irq = kbd_irq;
	kbc->aux_irq = aux_irq;
	kbc->host = *host;
	kbc->a20 = true;
	i8042_reset(kbc);
}

void i8042_plug(struct i8042 *kbc, const struct ps2_device *kbd, const struct ps2_device *aux)
{
	kbc->kbd = *kbd;
	kbc->aux = *aux;
}
