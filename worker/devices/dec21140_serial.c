// SPDX-License-Identifier: GPL-2.0-only
/* The 21140A's CSR9: the serial ROM, the MII management interface, and the PHY at its other end. */
#include <string.h>
#include "worker/devices/dec21140_regs.h"

/* Contents of the serial ROM (Digital Semiconductor 21X4 Serial ROM Format, version 3) */
#define SROM_SUBSYSTEM	 0
#define SROM_ID_CRC	 16
#define SROM_VERSION	 18
#define SROM_CONTROLLERS 19
#define SROM_ADDRESS	 20
#define SROM_LEAF_OFFSET 27
#define SROM_LEAF	 30
#define SROM_CHECKSUM	 126

/* The part is waiting for, or sending, this. */
enum srom_state {
	SROM_START,   /* the start bit */
	SROM_COMMAND, /* opcode and address */
	SROM_READ,
	SROM_WRITE,  /* 16 bits of data */
	SROM_COMMIT, /* the end of chip select, to program */
	SROM_IDLE,   /* nothing until the end of chip select */
};

#define SROM_COMMAND_BITS 8 /* opcode 2, address 6 */
#define SROM_OP_EXTENDED  0
#define SROM_OP_WRITE	  1
#define SROM_OP_READ	  2
#define SROM_OP_ERASE	  3
/* Extended operations, by the upper two address bits */
#define SROM_EWDS 0
#define SROM_WRAL 1
#define SROM_ERAL 2
#define SROM_EWEN 3

enum mdio_state {
	MDIO_IDLE,
	MDIO_ST,    /* the second bit of the start */
	MDIO_HEAD,  /* opcode, PHY address, register address */
	MDIO_READ,  /* turn-around and data, from the PHY */
	MDIO_WRITE, /* turn-around and data, to the PHY */
	MDIO_LOST,  /* nothing until a preamble */
};

#define MDIO_PREAMBLE  32
#define MDIO_HEAD_BITS 12
#define MDIO_DATA_BITS 18 /* with turn-around */
#define MDIO_OP_WRITE  1
#define MDIO_OP_READ   2

/* IEEE 802.3 clause 22.2.4 */
#define MII_BMCR   0
#define MII_BMSR   1
#define MII_ID1	   2
#define MII_ID2	   3
#define MII_ANAR   4
#define MII_ANLPAR 5
#define MII_ANER   6
#define MII_PAR	   25 /* the DP83840A's: what it has come to */

#define BMCR_RESET    0x8000
#define BMCR_LOOP     0x4000
#define BMCR_100      0x2000
#define BMCR_AN	      0x1000
#define BMCR_DOWN     0x0800
#define BMCR_ISOLATE  0x0400
#define BMCR_RESTART  0x0200
#define BMCR_DUPLEX   0x0100
#define BMCR_WRITABLE 0x7d80 /* and collision test; restart and reset clear themselves */

#define BMSR_CAPABLE 0x7849 /* 100TX, 10T, full and half; short preambles; AN; extended registers */
#define BMSR_AN_DONE 0x0020
#define BMSR_LINK    0x0004

#define AN_ALL	      0x01e1 /* 100TX, 10T, full and half; IEEE 802.3 */
#define AN_ACK	      0x4000
#define ANAR_WRITABLE 0x2fe0
#define ANER_LP_AN    0x0001
#define ANER_PAGE     0x0002

#define PAR_AN	   0x0400
#define PAR_DUPLEX 0x0080
#define PAR_10	   0x0040

/* Serial ROM */

static void put16(uint8_t *p, uint16_t val)
{
	p[0] = (uint8_t)val;
	p[1] = (uint8_t)(val >> 8);
}

/* Over the words of the ID block from their high bytes on, x^8 + x^2 + x + 1 from all ones. */
static uint8_t id_block_crc(const uint8_t *rom)
{
	uint8_t crc = 0xff;

	for (unsigned int i = 0; i < 17; i++) {
		crc ^= rom[i < 16 ? i ^ 1 : 17];
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = (uint8_t)(crc << 1 ^ (crc & 0x80 ? 0x07 : 0));
	}
	return crc;
}

void dec21140_srom_init(struct dec21140 *dec, const uint8_t mac[6])
{
	/* What the card has: one PHY, found and set up by negotiation, with no pins to be driven. */
	static const uint8_t leaf[] = {
		0x00,	   0x08, /* connection: sense it */
		0xff,		 /* general-purpose pins: outputs */
		1,		 /* one media block */
		0x80 | 12,	 /* extended, so many bytes follow */
		1,		 /* MII PHY */
		0,		 /* the first */
		0,	   0,	 /* no pin sequences for set-up and reset */
		0x00,	   0x78, /* capabilities, as in BMSR */
		0xe0,	   0x01, /* to be advertised, as in ANAR */
		0x00,	   0x50, /* of the capabilities: full duplex */
		0x00,	   0x18, /* of the capabilities: CSR6.TTM, 10 Mbit/s */
	};
	uint8_t rom[2 * DEC21140_SROM_WORDS] = { 0 };

	put16(rom + SROM_SUBSYSTEM, 0x0a00);
	put16(rom + SROM_SUBSYSTEM + 2, 0x2114);
	rom[SROM_ID_CRC] = id_block_crc(rom);
	rom[SROM_VERSION] = 3;
	rom[SROM_CONTROLLERS] = 1;
	memcpy(rom + SROM_ADDRESS, mac, 6);
	put16(rom + SROM_LEAF_OFFSET, SROM_LEAF);
	memcpy(rom + SROM_LEAF, leaf, sizeof(leaf));
	put16(rom + SROM_CHECKSUM, (uint16_t)dec21140_crc(dec, 0, rom, SROM_CHECKSUM));
	for (unsigned int i = 0; i < DEC21140_SROM_WORDS; i++)
		dec->srom.word[i] = (uint16_t)(rom[2 * i] | rom[2 * i + 1] << 8);
	dec->srom.dout = true;
}

static void srom_expect(struct dec21140_srom *srom, enum srom_state state)
{
	srom->state = state;
	srom->bits = 0;
	srom->shift = 0;
}

static void srom_extended(struct dec21140_srom *srom)
{
	switch (srom->addr >> 4) {
	case SROM_EWDS:
	case SROM_EWEN:
		srom->write_enabled = srom->addr >> 4 == SROM_EWEN;
		srom_expect(srom, SROM_IDLE);
		break;
	case SROM_WRAL:
		srom_expect(srom, SROM_WRITE);
		break;
	default:
		srom_expect(srom, SROM_COMMIT);
	}
}

static void srom_command(struct dec21140_srom *srom)
{
	srom->op = srom->shift >> 6 & 3;
	srom->addr = srom->shift & 0x3f;
	switch (srom->op) {
	case SROM_OP_EXTENDED:
		srom_extended(srom);
		break;
	case SROM_OP_WRITE:
		srom_expect(srom, SROM_WRITE);
		break;
	case SROM_OP_READ:
		srom_expect(srom, SROM_READ);
		srom->dout = false; /* a zero comes before the data */
		break;
	default:
		srom_expect(srom, SROM_COMMIT);
	}
}

/* Reading goes on with the next word for as long as the clock does. */
static void srom_read_bit(struct dec21140_srom *srom)
{
	srom->dout = srom->word[srom->addr] >> (15 - srom->bits) & 1;
	if (++srom->bits < 16)
		return;
	srom->bits = 0;
	srom->addr = (srom->addr + 1) % DEC21140_SROM_WORDS;
}

static void srom_clock(struct dec21140_srom *srom, bool in)
{
	switch (srom->state) {
	case SROM_START:
		if (in)
			srom_expect(srom, SROM_COMMAND);
		break;
	case SROM_COMMAND:
		srom->shift = srom->shift << 1 | in;
		if (++srom->bits == SROM_COMMAND_BITS)
			srom_command(srom);
		break;
	case SROM_READ:
		srom_read_bit(srom);
		break;
	case SROM_WRITE:
		srom->shift = srom->shift << 1 | in;
		if (++srom->bits == 16)
			srom->state = SROM_COMMIT;
		break;
	default:
		break;
	}
}

/* Programming starts when the part is deselected, and is over at once. Erased words are ones. */
static void srom_commit(struct dec21140_srom *srom)
{
	bool all = srom->op == SROM_OP_EXTENDED;
	bool erase = all ? srom->addr >> 4 == SROM_ERAL : srom->op == SROM_OP_ERASE;
	uint16_t val = erase ? 0xffff : (uint16_t)srom->shift;

	if (!srom->write_enabled)
		return;
	if (!all) {
		srom->word[srom->addr] = val;
		return;
	}
	for (unsigned int i = 0; i < DEC21140_SROM_WORDS; i++)
		srom->word[i] = val;
}

static void srom_pins(struct dec21140_srom *srom, bool cs, bool clk, bool in)
{
	bool rise = clk && !srom->clk;

	srom->clk = clk;
	if (!cs) {
		if (srom->cs && srom->state == SROM_COMMIT)
			srom_commit(srom);
		srom->cs = false;
		srom->dout = true;
		srom_expect(srom, SROM_START);
		return;
	}
	srom->cs = true;
	if (rise)
		srom_clock(srom, in);
}

/* PHY */

static bool phy_link(const struct dec21140 *dec)
{
	return dec->net->link && !(dec->phy.bmcr & (BMCR_LOOP | BMCR_DOWN));
}

bool dec21140_phy_up(const struct dec21140 *dec)
{
	return phy_link(dec) && !(dec->phy.bmcr & BMCR_ISOLATE);
}

bool dec21140_phy_loops(const struct dec21140 *dec)
{
	return (dec->phy.bmcr & (BMCR_LOOP | BMCR_DOWN | BMCR_ISOLATE)) == BMCR_LOOP;
}

/* The other end can do everything, so that negotiation has its result at once. */
static bool negotiated(const struct dec21140 *dec)
{
	return phy_link(dec) && dec->phy.bmcr & BMCR_AN;
}

/* The best that both ends have, or what is forced. */
static uint16_t phy_par(const struct dec21140 *dec)
{
	uint16_t mode = DEC21140_PHY_ADDR, anar = dec->phy.anar;

	if (!(dec->phy.bmcr & BMCR_AN))
		return mode | (dec->phy.bmcr & BMCR_100 ? 0 : PAR_10) |
		       (dec->phy.bmcr & BMCR_DUPLEX ? PAR_DUPLEX : 0);
	mode |= PAR_AN;
	if (anar & 0x0100)
		return mode | PAR_DUPLEX;
	if (anar & 0x0080)
		return mode;
	return mode | PAR_10 | (anar & 0x0040 ? PAR_DUPLEX : 0);
}

static uint16_t phy_read(struct dec21140 *dec, unsigned int reg)
{
	struct dec21140_phy *phy = &dec->phy;
	uint16_t val;

	switch (reg) {
	case MII_BMCR:
		return phy->bmcr;
	case MII_BMSR:
		return BMSR_CAPABLE | (phy_link(dec) ? BMSR_LINK : 0) |
		       (negotiated(dec) ? BMSR_AN_DONE : 0);
	case MII_ID1: /* National Semiconductor DP83840A */
		return 0x2000;
	case MII_ID2:
		return 0x5c01;
	case MII_ANAR:
		return phy->anar;
	case MII_ANLPAR:
		return negotiated(dec) ? AN_ACK | AN_ALL : 0;
	case MII_ANER:
		val = negotiated(dec) ? ANER_LP_AN | (phy->page_received ? ANER_PAGE : 0) : 0;
		phy->page_received = false;
		return val;
	case MII_PAR:
		return phy_par(dec);
	default:
		return 0;
	}
}

static void phy_write(struct dec21140 *dec, unsigned int reg, uint16_t val)
{
	struct dec21140_phy *phy = &dec->phy;

	switch (reg) {
	case MII_BMCR:
		if (val & BMCR_RESET) {
			dec21140_phy_reset(dec);
			return;
		}
		if (val & BMCR_AN && (val & BMCR_RESTART || !(phy->bmcr & BMCR_AN)))
			phy->page_received = true;
		phy->bmcr = val & BMCR_WRITABLE;
		break;
	case MII_ANAR:
		phy->anar = (val & ANAR_WRITABLE) | (AN_ALL & 0x1f);
		break;
	default:
		break;
	}
}

/* Registers only: the management interface is where it was. */
void dec21140_phy_reset(struct dec21140 *dec)
{
	dec->phy.bmcr = BMCR_AN | BMCR_100;
	dec->phy.anar = AN_ALL;
	dec->phy.page_received = true;
}

/* Management interface: the PHY samples and changes MDIO after a rising edge of MDC. */

static void mdio_expect(struct dec21140_phy *phy, enum mdio_state state)
{
	phy->state = state;
	phy->bits = 0;
	phy->shift = 0;
}

static void mdio_head(struct dec21140 *dec)
{
	struct dec21140_phy *phy = &dec->phy;
	unsigned int op = phy->shift >> 10;
	bool mine;

	phy->phyad = phy->shift >> 5 & 0x1f;
	phy->regad = phy->shift & 0x1f;
	mine = phy->phyad == DEC21140_PHY_ADDR;
	switch (op) {
	case MDIO_OP_READ:
		mdio_expect(phy, MDIO_READ);
		/* Two bits of turn-around, the second of them zero; nobody drives for others. */
		phy->shift = mine ? 0x20000 | phy_read(dec, phy->regad) : 0x3ffff;
		phy->reading = mine;
		break;
	case MDIO_OP_WRITE:
		mdio_expect(phy, MDIO_WRITE);
		break;
	default:
		mdio_expect(phy, MDIO_LOST);
	}
}

static void mdio_read_bit(struct dec21140_phy *phy)
{
	if (++phy->bits == MDIO_DATA_BITS) {
		phy->drives = false;
		mdio_expect(phy, MDIO_IDLE);
		return;
	}
	phy->drives = phy->reading;
	phy->mdio_out = phy->shift >> (MDIO_DATA_BITS - 1 - phy->bits) & 1;
}

static void mdio_write_bit(struct dec21140 *dec, bool in)
{
	struct dec21140_phy *phy = &dec->phy;

	phy->shift = phy->shift << 1 | in;
	if (++phy->bits < MDIO_DATA_BITS)
		return;
	if (phy->phyad == DEC21140_PHY_ADDR)
		phy_write(dec, phy->regad, (uint16_t)phy->shift);
	mdio_expect(phy, MDIO_IDLE);
}

static void mdio_clock(struct dec21140 *dec, bool in)
{
	struct dec21140_phy *phy = &dec->phy;

	if (phy->state == MDIO_READ) {
		mdio_read_bit(phy);
		return;
	}
	phy->ones = in ? phy->ones + (phy->ones < MDIO_PREAMBLE) : 0;
	if (phy->ones == MDIO_PREAMBLE) {
		mdio_expect(phy, MDIO_IDLE);
		return;
	}
	switch (phy->state) {
	case MDIO_IDLE:
		if (!in)
			mdio_expect(phy, MDIO_ST);
		break;
	case MDIO_ST:
		mdio_expect(phy, in ? MDIO_HEAD : MDIO_LOST);
		break;
	case MDIO_HEAD:
		phy->shift = phy->shift << 1 | in;
		if (++phy->bits == MDIO_HEAD_BITS)
			mdio_head(dec);
		break;
	case MDIO_WRITE:
		mdio_write_bit(dec, in);
		break;
	default:
		break;
	}
}

/* The line is pulled up when neither end drives it. */
static bool mdio_line(const struct dec21140 *dec)
{
	if (dec->phy.drives)
		return dec->phy.mdio_out;
	return dec->csr9 & CSR9_MII || dec->csr9 & CSR9_MDO;
}

/* CSR9 */

void dec21140_csr9_write(struct dec21140 *dec, uint32_t val)
{
	bool mdc = val & CSR9_MDC;
	bool rise = mdc && !dec->phy.mdc;
	bool reading = dec->srom.state == SROM_READ;

	dec->csr9 = val & CSR9_WRITABLE;
	dec->phy.mdc = mdc;
	if (rise)
		mdio_clock(dec, dec->csr9 & CSR9_MII || dec->csr9 & CSR9_MDO);
	if (val & CSR9_SR)
		srom_pins(&dec->srom, val & CSR9_SROM_CS, val & CSR9_SROM_CLK, val & CSR9_SROM_DI);
	else
		srom_pins(&dec->srom, false, false, false);
	if (dec->srom.state == SROM_READ && !reading)
		bimodal_handshake(&dec->bimodal, dec->srom.addr);
}

/* Without the serial ROM selected the byte is the boot ROM's, which the card has not. */
uint32_t dec21140_csr9_read(const struct dec21140 *dec)
{
	uint32_t val = CSR9_ONES | (dec->csr9 & ~CSR9_DATA);

	val |= mdio_line(dec) ? CSR9_MDI : 0;
	if (!(dec->csr9 & CSR9_SR))
		return val | CSR9_DATA;
	val |= dec->csr9 & (CSR9_SROM_CS | CSR9_SROM_CLK | CSR9_SROM_DI);
	return val | 0xf0 | (dec->srom.dout ? CSR9_SROM_DO : 0);
}

/* The pins go back; what is behind them keeps its contents. */
void dec21140_serial_reset(struct dec21140 *dec)
{
	dec21140_csr9_write(dec, CSR9_MII);
}
