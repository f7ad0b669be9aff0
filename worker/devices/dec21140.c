// SPDX-License-Identifier: GPL-2.0-only
/* The 21140A: registers, interrupts, timer and configuration space. */
#include <string.h>
#include "worker/devices/dec21140_regs.h"

#define CFDD	    0x40 /* driver area (3.1.3.12) */
#define CFDD_DRIVER (CFDD + 1)
#define CFDD_POWER  (CFDD + 3)
#define CFDD_SLEEP  0x80 /* in CFDD_POWER; no register answers */
#define CFDD_SNOOZE 0x40 /* saves power while idle: nothing to be seen */

#define STATUS_RMA 0x20 /* received master abort, in the high byte of PCI_STATUS */

/* A cycle of the general-purpose timer, ns, by the port and its speed (CSR11). */
#define GPT_SERIAL_NS 204800ull
#define GPT_MII100_NS 81920ull
#define GPT_MII10_NS  819200ull

static bool asleep(const struct dec21140 *dec)
{
	return dec->fn.config[CFDD_POWER] & CFDD_SLEEP;
}

bool dec21140_master(const struct dec21140 *dec)
{
	return dec->fn.config[PCI_COMMAND] & PCI_COMMAND_MASTER && !dec->halted && !asleep(dec);
}

/* The summaries have only events that are enabled in them. */
static uint32_t summary(const struct dec21140 *dec)
{
	uint32_t enabled = dec->csr5 & dec->csr7;

	return (enabled & CSR5_NORMAL ? CSR5_NIS : 0) | (enabled & CSR5_ABNORMAL ? CSR5_AIS : 0);
}

void dec21140_update_inta(struct dec21140 *dec)
{
	bool level = summary(dec) & dec->csr7 || dec->fast_level;

	if (level == dec->inta_level)
		return;
	dec->inta_level = level;
	dec->stats.interrupts += level;
	irq_pin_set(&dec->inta, level);
}

void dec21140_event(struct dec21140 *dec, uint32_t events)
{
	/* A completed frame takes its early interrupt back. */
	if (events & CSR5_TI)
		dec->csr5 &= ~CSR5_ETI;
	if (events & CSR5_RI)
		dec->csr5 &= ~CSR5_ERI;
	dec->csr5 |= events;
	dec21140_update_inta(dec);
}

/* Nobody answered on the bus. The part keeps off it until it is reset (CSR5<13>). */
void dec21140_bus_error(struct dec21140 *dec)
{
	dec->stats.bus_errors++;
	dec->halted = true;
	dec->fn.config[PCI_STATUS + 1] |= STATUS_RMA;
	dec->csr5 = (dec->csr5 & ~CSR5_EB) | CSR5_EB_MABT;
	dec21140_ring_reset(dec);
	dec21140_event(dec, CSR5_FBE);
}

static uint32_t csr5_value(const struct dec21140 *dec)
{
	static const uint32_t rs[] = {
		[DEC21140_STOPPED] = 0,
		[DEC21140_RUNNING] = CSR5_RS_WAIT,
		[DEC21140_SUSPENDED] = CSR5_RS_SUSPENDED,
	};
	static const uint32_t ts[] = {
		[DEC21140_STOPPED] = 0,
		[DEC21140_RUNNING] = CSR5_TS_FETCH,
		[DEC21140_SUSPENDED] = CSR5_TS_SUSPENDED,
	};

	return CSR5_ONES | dec->csr5 | summary(dec) | rs[dec->rx] |
	       (dec->tx_leaving ? CSR5_TS_WAIT : ts[dec->tx]);
}

/* General-purpose timer */

static uint64_t gpt_cycle(const struct dec21140 *dec)
{
	if (!(dec->csr6 & CSR6_PS))
		return GPT_SERIAL_NS;
	return dec->csr6 & CSR6_TTM ? GPT_MII10_NS : GPT_MII100_NS;
}

static uint64_t gpt_period(const struct dec21140 *dec)
{
	return (dec->csr11 & CSR11_COUNT) * dec->gpt_cycle;
}

static void gpt_write(struct dec21140 *dec, uint32_t val)
{
	dec->csr11 = val & (CSR11_CON | CSR11_COUNT);
	dec->gpt_cycle = gpt_cycle(dec);
	dec->gpt_start = dev_now(dec->clk);
	if (dec->csr11 & CSR11_COUNT)
		dev_arm(dec->clk, &dec->gpt, dec->gpt_start + gpt_period(dec));
	else
		dev_cancel(dec->clk, &dec->gpt);
}

/* The count that is left. In continuous mode periods pass unseen while GTE is pending. */
static uint32_t gpt_read(const struct dec21140 *dec)
{
	uint64_t period = gpt_period(dec), passed;

	if (!period)
		return CSR11_ONES | dec->csr11;
	passed = dev_now(dec->clk) - dec->gpt_start;
	if (dec->csr11 & CSR11_CON)
		passed %= period;
	else if (passed > period)
		passed = period;
	return CSR11_ONES | (dec->csr11 & CSR11_CON) |
	       (uint32_t)((period - passed + dec->gpt_cycle - 1) / dec->gpt_cycle);
}

static void gpt_fire(void *dev, uint64_t now)
{
	struct dec21140 *dec = dev;

	if (dec->csr11 & CSR11_CON)
		dec->gpt_start = now - (now - dec->gpt_start) % gpt_period(dec);
	else
		dec->csr11 = 0;
	dec21140_event(dec, CSR5_GTE);
}

/* GTE was cleared: a continuous timer that had stopped to wake the host for nothing goes on. */
static void gpt_acknowledged(struct dec21140 *dec)
{
	uint64_t passed;

	if (!(dec->csr11 & CSR11_CON) || !gpt_period(dec) || dec->gpt.armed)
		return;
	passed = dev_now(dec->clk) - dec->gpt_start;
	dec->gpt_start += passed - passed % gpt_period(dec);
	dev_arm(dec->clk, &dec->gpt, dec->gpt_start + gpt_period(dec));
}

/* Registers */

/* Not the configuration space, the port select bit, and the card. */
void dec21140_reset_chip(struct dec21140 *dec)
{
	dec21140_ring_reset(dec);
	dev_cancel(dec->clk, &dec->gpt);
	dec->halted = false;
	dec->csr0 = CSR0_ONES;
	dec->csr3 = 0;
	dec->csr4 = 0;
	dec->tx_desc = 0;
	dec->rx_desc = 0;
	dec->csr5 = 0;
	dec->csr6 = CSR6_RESET | (dec->csr6 & CSR6_PS);
	dec->csr7 = 0;
	dec->csr10 = 0;
	dec->csr11 = 0;
	dec->csr15 = CSR15_ONES;
	dec->missed = 0;
	dec->foc = 0;
	dec->gp_dir = 0;
	dec->gp_out = 0;
	memset(&dec->filter, 0, sizeof(dec->filter));
	dec21140_serial_reset(dec);
	dec21140_update_inta(dec);
}

static void csr0_write(struct dec21140 *dec, uint32_t val)
{
	if (val & CSR0_SWR) {
		bimodal_reset(&dec->bimodal);
		dec21140_reset_chip(dec);
	}
	dec->csr0 = CSR0_ONES | (val & CSR0_WRITABLE);
}

static void csr5_write(struct dec21140 *dec, uint32_t val)
{
	dec->csr5 &= ~(val & CSR5_EVENTS);
	if (val & CSR5_GTE)
		gpt_acknowledged(dec);
	dec21140_update_inta(dec);
	dec21140_rx_retry(dec);
}

static void csr6_write(struct dec21140 *dec, uint32_t val)
{
	if (!bimodal_legacy_data(&dec->bimodal))
		val &= ~(CSR6_SR | CSR6_ST);
	dec->csr6 = (val & ~CSR6_FILTER) | CSR6_ONES | (dec->csr6 & CSR6_FILTER);
	if (!(val & CSR6_SR))
		dec21140_rx_stop(dec);
	if (!(val & CSR6_ST))
		dec21140_tx_stop(dec);
	if (dec->halted)
		return;
	/* The receiver first: what is sent may come back at once. */
	if (val & CSR6_SR)
		dec21140_rx_start(dec);
	if (val & CSR6_ST)
		dec21140_tx_start(dec);
}

static void csr7_write(struct dec21140 *dec, uint32_t val)
{
	dec->csr7 = val & ~CSR7_ONES;
	dec21140_update_inta(dec);
	dec21140_rx_retry(dec);
}

static uint32_t csr8_read(struct dec21140 *dec)
{
	uint32_t val = CSR8_ONES | dec->foc | dec->missed;

	dec->foc = 0;
	dec->missed = 0;
	return val;
}

/* The boot ROM's address; the card has none, so that what is written here is of no account to the part. */
static void csr10_write(struct dec21140 *dec, uint32_t val)
{
	dec->csr10 = val & CSR10_WRITABLE;
	bimodal_bit(&dec->bimodal, val & BIMODAL_DEC21140_CSR10_BIT);
	bimodal_sequence(&dec->bimodal, val);
}

static void csr12_write(struct dec21140 *dec, uint32_t val)
{
	if (val & CSR12_GPC)
		dec->gp_dir = (uint8_t)val;
	else
		dec->gp_out = (uint8_t)val;
}

/* Pins that are inputs are pulled up on the card. */
static uint32_t csr12_read(const struct dec21140 *dec)
{
	return CSR12_ONES | (dec->gp_out & dec->gp_dir) | (uint8_t)~dec->gp_dir;
}

static uint32_t csr_read(struct dec21140 *dec, unsigned int csr)
{
	dec->stats.csr_reads[csr]++;
	switch (csr) {
	case 5:
		return csr5_value(dec);
	case 0:
		return dec->csr0;
	case 3:
		return dec->csr3;
	case 4:
		return dec->csr4;
	case 6:
		return dec->csr6;
	case 7:
		return CSR7_ONES | dec->csr7;
	case 8:
		return csr8_read(dec);
	case 9:
		return dec21140_csr9_read(dec);
	case 10:
		return ~CSR10_WRITABLE | dec->csr10;
	case 11:
		return gpt_read(dec);
	case 12:
		return csr12_read(dec);
	case 15:
		return dec->csr15;
	default: /* poll demands, and reserved */
		return UINT32_MAX;
	}
}

static void csr_write(struct dec21140 *dec, unsigned int csr, uint32_t val)
{
	dec->stats.csr_writes[csr]++;
	switch (csr) {
	case 0:
		csr0_write(dec, val);
		break;
	case 1:
		dec21140_tx_poll(dec);
		break;
	case 2:
		dec21140_rx_poll(dec);
		break;
	case 3:
		dec->csr3 = val & ~3u;
		dec->rx_desc = dec->csr3;
		dec->rx_have = false;
		break;
	case 4:
		dec->csr4 = val & ~3u;
		dec->tx_desc = dec->csr4;
		break;
	case 5:
		csr5_write(dec, val);
		break;
	case 6:
		csr6_write(dec, val);
		break;
	case 7:
		csr7_write(dec, val);
		break;
	case 9:
		dec21140_csr9_write(dec, val);
		break;
	case 10:
		csr10_write(dec, val);
		break;
	case 11:
		gpt_write(dec, val);
		break;
	case 12:
		csr12_write(dec, val);
		break;
	case 15:
		dec->csr15 = CSR15_ONES | (val & CSR15_WRITABLE);
		break;
	default:
		break;
	}
}

/* Without its registers the part still hears a reset, for a driver that knows nothing of the other mode. */
static bool answers(const struct dec21140 *dec)
{
	return !asleep(dec) && bimodal_legacy_registers(&dec->bimodal);
}

/*
 * A register is the low longword of a quadword; the high one is not decoded and reads all ones, but
 * for what a bimodal device has there. Reads may be of any size. Writes must be of a whole register,
 * as the manual demands: others are lost.
 */
static uint64_t dec21140_read(void *dev, uint64_t off, unsigned int size)
{
	struct dec21140 *dec = dev;
	unsigned int byte = off & 7;
	uint64_t val = UINT64_MAX;

	if (byte < 4 && answers(dec))
		val = (~0xffffffffull | csr_read(dec, off >> 3 & 15)) >> 8 * byte;
	if (byte && byte < 4)
		val |= UINT64_MAX << (64 - 8 * byte);
	if (byte == 4 && size == 4 && dec->bimodal.cfg.on && !asleep(dec))
		val = bimodal_read(&dec->bimodal, off >> 3 & 15);
	return val & dev_ones(size);
}

static void dec21140_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct dec21140 *dec = dev;
	unsigned int csr = off >> 3 & 15;

	if (off & 3 || size < 4 || asleep(dec))
		return;
	if (off & 4)
		bimodal_write(&dec->bimodal, csr, (uint32_t)val);
	else if (answers(dec) || (csr == 0 && val & CSR0_SWR))
		csr_write(dec, csr, (uint32_t)val);
}

const struct device_ops dec21140_ops = { .read = dec21140_read, .write = dec21140_write };

const struct net_device_ops dec21140_net_ops = {
	.receive = dec21140_arrived,
	.received = dec21140_all_arrived,
};

/* Configuration space */

/* Mastership may have come back: a process that is not stopped has been waiting for the bus. */
static void config_written(struct pci_function *fn, unsigned int off, unsigned int size)
{
	struct dec21140 *dec = fn->dev;

	if (off > PCI_COMMAND || off + size <= PCI_COMMAND || !dec21140_master(dec))
		return;
	dec21140_tx_poll(dec);
	dec21140_rx_poll(dec);
	if (dec->bimodal.enabled)
		virtio_resume(&dec->fast.v);
}

static void init_function(struct dec21140 *dec)
{
	static const struct pci_ids ids = {
		.vendor = 0x1011,
		.device = 0x0009,
		.class_code = 0x020000,
		.revision = 0x20,
		.subsys_vendor = 0x0a00,
		.subsys_device = 0x2114,
	};
	struct pci_function *fn = &dec->fn;

	pci_function_init(fn, &ids);
	fn->dev = dec;
	fn->written = config_written;
	/* CFCS: no fast back-to-back masters, no way to turn INTA# off; medium DEVSEL# */
	fn->wmask[PCI_COMMAND] = 0x57;
	fn->wmask[PCI_COMMAND + 1] = 0x01;
	fn->config[PCI_STATUS] = 0x80;
	fn->config[PCI_STATUS + 1] = 0x02;
	/* CFIT: MIN_GNT and MAX_LAT, 5 and 10 us */
	fn->config[PCI_INTERRUPT_PIN + 1] = 0x14;
	fn->config[PCI_INTERRUPT_PIN + 2] = 0x28;
	fn->wmask[CFDD_DRIVER] = 0xff;
	fn->wmask[CFDD_POWER] = CFDD_SLEEP | CFDD_SNOOZE;
	pci_function_set_bar(fn, DEC21140_IO_BAR, PCI_BAR_IO, DEC21140_CSR_SIZE);
	pci_function_set_bar(fn, DEC21140_MEM_BAR, PCI_BAR_MEM32, DEC21140_CSR_SIZE);
	pci_function_set_pin(fn, 1);
}

void dec21140_reset(struct dec21140 *dec)
{
	pci_function_reset(&dec->fn);
	dec->csr6 = 0;
	dec21140_phy_reset(dec);
	bimodal_reset(&dec->bimodal);
	dec21140_reset_chip(dec);
}

void dec21140_init(struct dec21140 *dec, const struct dev_clock *clk, const struct dma *dma,
		   struct irq_pin inta, struct net *net, const uint8_t mac[6])
{
	memset(dec, 0, sizeof(*dec));
	dec->clk = clk;
	dec->dma = dma;
	dec->inta = inta;
	dec->net = net;
	memcpy(dec->mac, mac, sizeof(dec->mac));
	dec->tx_timer = (struct dev_timer){ .fire = dec21140_tx_fire, .dev = dec };
	dec->rx_timer = (struct dev_timer){ .fire = dec21140_rx_fire, .dev = dec };
	dec->gpt = (struct dev_timer){ .fire = gpt_fire, .dev = dec };
	dec21140_crc_init(dec);
	dec21140_srom_init(dec, mac);
	init_function(dec);
	dec21140_reset(dec);
}
