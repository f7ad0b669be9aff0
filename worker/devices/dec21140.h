/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_DEC21140_H
#define WORKER_DEVICES_DEC21140_H

/*
 * The DECchip 21140A PCI Fast Ethernet LAN controller (hardware reference manual EC-QN7NF-TE) on a
 * card with a 93C46 serial ROM (DEC SROM format, version 3) and a DP83840A PHY at MII address 1.
 * The card has no boot ROM and nothing at its serial and symbol ports: frames pass while CSR6 has
 * PS set and PCS clear.
 *
 * Everything runs under the platform lock (worker/device.h). Nothing waits, and a call handles a
 * bounded number of descriptors; what remains goes on from a timer.
 *
 * dec21140_set_bimodal() gives it a second mode (worker/devices/bimodal.h), a virtio network device whose
 * registers are where the part decodes nothing.
 *
 * Wiring: dec21140_ops for the 128 bytes of BAR 0 (I/O) and of BAR 1 (memory), dec21140_net_ops as
 * the net's dev_ops with the device as its dev. dec->fn.written is the device's own.
 *
 * Time: a frame is sent and received at once, not at 100 Mbit/s, and so are TI and RI. But that the
 * transmit list is empty (TU) the part finds out when the frame before has left it, and so does the
 * model: a driver that is about to queue another frame is not interrupted after each.
 *
 * Frames with no descriptor. The part drops a frame for which the guest has no receive descriptor,
 * and counts it in CSR8. On a real cable that happens when the guest has slept for hundreds of frame
 * times; here a whole TCP window arrives in one, and dropping would cost the guest a retransmission
 * where real time would have cost it nothing. So the back end keeps such a frame (net.h: receive
 * returns false) and the device looks for a descriptor again when the guest touches CSR2, CSR5 or
 * CSR7 and from time to time, as drivers that only poll memory touch none of them. After
 * DEC21140_HOLD_NS without one the part's own behaviour takes over: frames are missed and counted
 * until there is a descriptor. RU and the suspended state are shown from the start.
 */
#include "worker/device.h"
#include "worker/devices/bimodal.h"
#include "worker/devices/dma.h"
#include "worker/devices/net.h"
#include "worker/devices/virtio_net.h"
#include "worker/platform/pcihost.h"

#define DEC21140_CSR_SIZE 128 /* bytes, in either space */
#define DEC21140_IO_BAR	  0   /* CBIO */
#define DEC21140_MEM_BAR  1   /* CBMA */

#define DEC21140_CSRS	     16
#define DEC21140_SROM_WORDS  64
#define DEC21140_PHY_ADDR    1
#define DEC21140_PHY_REGS    32
#define DEC21140_RETRY_NS    100000ull	  /* until the first look for a receive descriptor */
#define DEC21140_HOLD_NS     100000000ull /* a frame waits so long for one */
#define DEC21140_TAP_MIN_NS  80000ull	  /* automatic polling is never more frequent (CSR0 TAP) */
#define DEC21140_TX_BURST    64		  /* descriptors closed in one call */
#define DEC21140_FRAME_DESCS 64		  /* a frame of more is cut off with an underflow */

/* Counted since init; they never wrap in practice and are not reset with the device. */
struct dec21140_stats {
	uint64_t tx_frames, tx_bytes; /* to the cable, without FCS */
	uint64_t rx_frames, rx_bytes; /* to the guest, without FCS */
	uint64_t rx_filtered; /* not for this address, or the receiver or the port was off */
	uint64_t rx_missed;   /* no descriptor, or no bus mastership */
	uint64_t rx_held;     /* refused once, for the back end to offer again */
	uint64_t tx_dropped;  /* cut off, or no link */
	uint64_t setup_frames;
	uint64_t interrupts; /* INTA# was asserted */
	uint64_t bus_errors;
	uint64_t csr_reads[DEC21140_CSRS];
	uint64_t csr_writes[DEC21140_CSRS];
};

/* The state below is private to worker/devices/dec21140*.c. */

/* A descriptor as read from memory, in host order. */
struct dec21140_desc {
	uint32_t addr; /* where it is */
	uint32_t *mem; /* the same, mapped; NULL: it cannot be */
	uint32_t des[4];
};

enum dec21140_process {
	DEC21140_STOPPED,
	DEC21140_RUNNING,
	DEC21140_SUSPENDED,
};

/* What setup frames made of address recognition (manual 4.2.3). */
struct dec21140_filter {
	uint8_t perfect[16][6];
	uint8_t hash[64];    /* 512 bits, by the low nine of the CRC */
	uint8_t physical[6]; /* the perfect address beside a hash table */
};

/* 93C46, 64 words of 16 bits. */
struct dec21140_srom {
	uint16_t word[DEC21140_SROM_WORDS];
	bool cs, clk;
	bool write_enabled; /* EWEN */
	bool dout;	    /* what drives CSR9<3>; high while the part does not */
	uint8_t state;
	uint8_t bits;	/* of the present field that have been shifted */
	uint32_t shift; /* start bit, opcode and address, or data */
	uint8_t op, addr;
};

/* The management interface (IEEE 802.3 clause 22) and the registers behind it. */
struct dec21140_phy {
	uint16_t bmcr, anar;
	bool mdc;
	bool drives;   /* the PHY drives MDIO ... */
	bool mdio_out; /* ... to this */
	uint8_t state;
	uint8_t ones; /* consecutive, to 32: a preamble */
	uint8_t bits;
	uint32_t shift;
	uint8_t phyad, regad;
	bool reading;
	bool page_received; /* ANER<1>, clear on read */
};

struct dec21140 {
	struct pci_function fn; /* 1011:0009 revision 0x20, subsystem 0a00:2114 */
	struct dec21140_stats stats;

	const struct dev_clock *clk;
	const struct dma *dma;
	struct irq_pin inta;
	struct net *net;
	uint8_t mac[6];

	uint32_t csr0, csr3, csr4, csr6, csr7, csr9, csr10, csr11, csr15;
	uint32_t csr5; /* event bits and EB; summaries and states are made when it is read */
	bool inta_level;
	bool halted; /* off the bus after a fatal error, until a reset */

	/* Transmit process */
	enum dec21140_process tx;
	uint32_t tx_desc; /* the next descriptor */
	bool tx_leaving;  /* there is none, but a frame is on the wire ... */
	uint64_t tx_left; /* ... until then */
	struct dev_timer tx_timer;

	/* Receive process */
	enum dec21140_process rx;
	uint32_t rx_desc;
	bool rx_have; /* it has been fetched, is the part's, and is in rx_cur */
	struct dec21140_desc rx_cur;
	bool rx_refused;      /* the back end has a frame that it is to be asked for */
	bool rx_starved;      /* no descriptor since ... */
	uint64_t rx_starving; /* ... this time */
	struct dev_timer rx_timer;
	uint32_t missed; /* CSR8 <16:0> */
	uint32_t foc;	 /* CSR8 <28:17>: frames lost to a full FIFO */

	/* General-purpose timer */
	uint64_t gpt_start; /* ns; running while CSR11 holds a count ... */
	uint64_t gpt_cycle; /* ... of so many ns */
	struct dev_timer gpt;

	uint8_t gp_dir, gp_out; /* CSR12 */

	struct dec21140_filter filter;
	struct dec21140_srom srom;
	struct dec21140_phy phy;

	struct bimodal bimodal; /* cfg.on is false: the part alone */
	struct virtio_net fast; /* behind it */
	bool fast_level;	/* what it contributes to INTA# */
	struct msi_port msi;

	uint32_t crc_table[8][256];
	bool crc_folds;	      /* the processor multiplies polynomials */
	uint8_t bounce[4096]; /* what cannot be mapped for transmission */
	uint8_t loop[4096];   /* a frame on its way back */
};

/*
 * Make @dec a card after power-on with station address @mac in its serial ROM. @clk, @dma and @net
 * must outlive it. @inta: INTA#; true means asserted, for a level-triggered shared input.
 */
void dec21140_init(struct dec21140 *dec, const struct dev_clock *clk, const struct dma *dma,
		   struct irq_pin inta, struct net *net, const uint8_t mac[6]);

/*
 * Gives @dec, just made, the high-performance mode that @cfg describes, with @pairs of queues, as far as it can have so many, and its
 * messages going to @msi. With cfg->on false nothing changes.
 */
void dec21140_set_bimodal(struct dec21140 *dec, const struct bimodal_config *cfg,
			  unsigned int pairs, struct msi_port msi);

/* Offset in either space of the register that is the other mode's doorbell, of 4 bytes. */
#define DEC21140_DOORBELL BIMODAL_DEC21140(BIMODAL_REG_DOORBELL)

/* It may have been written with any value: what that does, for all queues. */
void dec21140_doorbell(struct dec21140 *dec);

/* PCI reset: chip, configuration space and PHY. The serial ROM and the counters stay. */
void dec21140_reset(struct dec21140 *dec);

extern const struct device_ops dec21140_ops;	     /* 128 bytes. @dev: struct dec21140 * */
extern const struct net_device_ops dec21140_net_ops; /* @dev: struct dec21140 * */

#endif
