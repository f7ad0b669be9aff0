/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_DEVICES_DEC21140_REGS_H
#define WORKER_DEVICES_DEC21140_REGS_H

/*
 * Registers and descriptors of the 21140A as the manual names them, and what the files of the model
 * offer each other. Drivers written for tests use it too. Section numbers are EC-QN7NF-TE's.
 */
#include "worker/devices/dec21140.h"

/* CSR0, bus mode (3.2.2.1) */
#define CSR0_SWR      0x00000001u
#define CSR0_DSL(v)   ((v) >> 2 & 0x1f) /* longwords between descriptors of a ring */
#define CSR0_BLE      0x00000080u	/* data buffers are big-endian */
#define CSR0_TAP(v)   ((v) >> 17 & 7)
#define CSR0_DBO      0x00100000u /* descriptors are big-endian */
#define CSR0_WRITABLE 0x01bfffffu
#define CSR0_ONES     0xfe000000u

/* CSR5, status (3.2.2.5) */
#define CSR5_TI	     0x00000001u
#define CSR5_TPS     0x00000002u
#define CSR5_TU	     0x00000004u
#define CSR5_TJT     0x00000008u
#define CSR5_UNF     0x00000020u
#define CSR5_RI	     0x00000040u
#define CSR5_RU	     0x00000080u
#define CSR5_RPS     0x00000100u
#define CSR5_RWT     0x00000200u
#define CSR5_ETI     0x00000400u
#define CSR5_GTE     0x00000800u
#define CSR5_FBE     0x00002000u
#define CSR5_ERI     0x00004000u
#define CSR5_AIS     0x00008000u
#define CSR5_NIS     0x00010000u
#define CSR5_RS	     0x000e0000u
#define CSR5_TS	     0x00700000u
#define CSR5_EB	     0x03800000u
#define CSR5_EB_MABT 0x00800000u /* master abort */
#define CSR5_ONES    0xfc000000u
#define CSR5_NORMAL  (CSR5_TI | CSR5_TU | CSR5_RI | CSR5_ERI)
#define CSR5_ABNORMAL                                                                              \
	(CSR5_TPS | CSR5_TJT | CSR5_UNF | CSR5_RU | CSR5_RPS | CSR5_RWT | CSR5_ETI | CSR5_GTE |    \
	 CSR5_FBE)
#define CSR5_EVENTS (CSR5_NORMAL | CSR5_ABNORMAL)

#define CSR5_RS_WAIT	  0x00060000u /* running: waiting for a frame */
#define CSR5_RS_SUSPENDED 0x00080000u
#define CSR5_TS_FETCH	  0x00100000u /* running: fetching a descriptor */
#define CSR5_TS_WAIT	  0x00200000u /* running: waiting for the end of a frame */
#define CSR5_TS_SUSPENDED 0x00600000u

/* CSR6, operation mode (3.2.2.6) */
#define CSR6_HP	    0x00000001u /* hash and one perfect address; set by setup frames, as HO and IF */
#define CSR6_SR	    0x00000002u
#define CSR6_HO	    0x00000004u /* hash only */
#define CSR6_PB	    0x00000008u /* pass bad frames */
#define CSR6_IF	    0x00000010u /* inverse filtering */
#define CSR6_PR	    0x00000040u
#define CSR6_PM	    0x00000080u
#define CSR6_FD	    0x00000200u
#define CSR6_OM	    0x00000c00u
#define CSR6_OM_INT 0x00000400u
#define CSR6_OM_EXT 0x00000800u
#define CSR6_ST	    0x00002000u
#define CSR6_PS	    0x00040000u
#define CSR6_TTM    0x00400000u
#define CSR6_PCS    0x00800000u
#define CSR6_RA	    0x40000000u
#define CSR6_FILTER (CSR6_HP | CSR6_HO | CSR6_IF)
#define CSR6_ONES   0x32000000u
#define CSR6_RESET  0x32000040u

#define CSR7_ONES 0xfffe0000u

#define CSR8_MFO      0x00010000u
#define CSR8_MFC      0x0000ffffu
#define CSR8_OCO      0x10000000u
#define CSR8_FOC_UNIT 0x00020000u
#define CSR8_FOC      0x0ffe0000u
#define CSR8_ONES     0xe0000000u

/* CSR9, boot ROM, serial ROM and MII management (3.2.2.9) */
#define CSR9_SROM_CS  0x00000001u
#define CSR9_SROM_CLK 0x00000002u
#define CSR9_SROM_DI  0x00000004u
#define CSR9_SROM_DO  0x00000008u
#define CSR9_DATA     0x000000ffu
#define CSR9_SR	      0x00000800u
#define CSR9_MDC      0x00010000u
#define CSR9_MDO      0x00020000u
#define CSR9_MII      0x00040000u /* the part does not drive MDIO */
#define CSR9_MDI      0x00080000u
#define CSR9_WRITABLE 0x00077c07u
#define CSR9_ONES     0xfff08300u

#define CSR10_WRITABLE 0x0003ffffu

#define CSR11_CON   0x00010000u
#define CSR11_COUNT 0x0000ffffu
#define CSR11_ONES  0xfffe0000u

#define CSR12_GPC  0x00000100u
#define CSR12_ONES 0xfffffe00u

/* CSR15, watchdog (3.2.2.13) */
#define CSR15_JBD      0x00000001u
#define CSR15_JCK      0x00000004u
#define CSR15_RWD      0x00000010u
#define CSR15_WRITABLE 0x00000037u
#define CSR15_ONES     0xfffffec8u

/* Descriptors (4.2) */
#define DES0_OWN    0x80000000u
#define DES1_RING   0x02000000u /* RER, TER: the last of a ring */
#define DES1_CHAIN  0x01000000u /* RCH, TCH: DES3 is the next descriptor */
#define DES1_BS1(v) ((v)&0x7ff)
#define DES1_BS2(v) ((v) >> 11 & 0x7ff)

#define RDES0_FF     0x40000000u /* not for this address */
#define RDES0_FL(n)  (((n)&0x3fffu) << 16)
#define RDES0_ES     0x00008000u
#define RDES0_DE     0x00004000u
#define RDES0_DT_INT 0x00001000u
#define RDES0_DT_EXT 0x00002000u
#define RDES0_RF     0x00000800u
#define RDES0_MF     0x00000400u
#define RDES0_FS     0x00000200u
#define RDES0_LS     0x00000100u
#define RDES0_TL     0x00000080u
#define RDES0_FT     0x00000020u
#define RDES0_RW     0x00000010u
#define RDES0_CE     0x00000002u
#define RDES0_ERRORS (RDES0_DE | RDES0_RF | RDES0_TL | RDES0_CE)

#define TDES0_ES 0x00008000u
#define TDES0_TO 0x00004000u
#define TDES0_LO 0x00000800u
#define TDES0_NC 0x00000400u
#define TDES0_UF 0x00000002u

#define TDES1_IC  0x80000000u
#define TDES1_LS  0x40000000u
#define TDES1_FS  0x20000000u
#define TDES1_FT1 0x10000000u
#define TDES1_SET 0x08000000u
#define TDES1_AC  0x04000000u
#define TDES1_DPD 0x00800000u
#define TDES1_FT0 0x00400000u

#define SETUP_SIZE   192
#define SETUP_CLOSED 0x7fffffffu /* TDES0 of a setup frame that has been processed (4.2.3) */

#define ETHER_OVERHEAD	24 /* preamble, FCS and gap */
#define ETHER_BYTE_NS	80 /* at 100 Mbit/s */
#define ETHER_HEADER	14
#define ETHER_MIN	60 /* without FCS */
#define ETHER_FCS	4
#define ETHER_LONG	1518  /* with FCS: a longer one has TL */
#define RX_WATCHDOG_MAX 2560  /* bytes with FCS that the receive watchdog lets pass */
#define TX_JABBER_MAX	32768 /* the jabber timer: 2.6 ms at 100 Mbit/s */
#define TX_JABBER_JCK	2560

/* dec21140.c */

/* Events of CSR5 have happened: show them, and interrupt if they are enabled. */
void dec21140_event(struct dec21140 *dec, uint32_t events);

/* Nobody answered an access to the bus: the part stops until it is reset. */
void dec21140_bus_error(struct dec21140 *dec);

/* Whether the part can use the bus. */
bool dec21140_master(const struct dec21140 *dec);

/* Frames pass between the part and the PHY. */
static inline bool dec21140_mii_selected(const struct dec21140 *dec)
{
	return (dec->csr6 & (CSR6_PS | CSR6_PCS)) == CSR6_PS;
}

/* INTA# may have to change. */
void dec21140_update_inta(struct dec21140 *dec);

/* Everything that SWR resets of the legacy mode. */
void dec21140_reset_chip(struct dec21140 *dec);

/* dec21140_bimodal.c */

/* A frame from the cable, for the mode or modes that are to get it (net_device_ops.receive). */
bool dec21140_arrived(void *dev, const struct virtio_net_hdr *todo, const uint8_t *frame,
		      size_t len);

/* net_device_ops.received */
void dec21140_all_arrived(void *dev);

/* dec21140_ring.c */

/* CSR6.ST and .SR were set or cleared. */
void dec21140_tx_start(struct dec21140 *dec);
void dec21140_tx_stop(struct dec21140 *dec);
void dec21140_rx_start(struct dec21140 *dec);
void dec21140_rx_stop(struct dec21140 *dec);

/* A poll demand, or bus mastership came back. */
void dec21140_tx_poll(struct dec21140 *dec);
void dec21140_rx_poll(struct dec21140 *dec);

/* A frame was lost for want of a descriptor (CSR8). */
void dec21140_missed(struct dec21140 *dec);

/* Look for a descriptor if the back end waits for one. */
void dec21140_rx_retry(struct dec21140 *dec);

void dec21140_tx_fire(void *dev, uint64_t now);
void dec21140_rx_fire(void *dev, uint64_t now);

/* Both processes stopped at once, with nothing shown: a reset. */
void dec21140_ring_reset(struct dec21140 *dec);

/* A frame for the legacy mode; what it returns is net_device_ops.receive's. */
bool dec21140_receive(struct dec21140 *dec, const uint8_t *frame, size_t len);

/* The same, but it is missed rather than kept. */
void dec21140_receive_now(struct dec21140 *dec, const uint8_t *frame, size_t len);

/* dec21140_filter.c */

/* The FCS of what @crc stands for and @len bytes more; starts and ends with 0. */
uint32_t dec21140_crc(const struct dec21140 *dec, uint32_t crc, const void *buf, size_t len);
void dec21140_crc_init(struct dec21140 *dec);

/* Load the filter from a setup frame whose descriptor has @tdes1. */
void dec21140_setup(struct dec21140 *dec, const uint8_t frame[SETUP_SIZE], uint32_t tdes1);

/* Whether destination address @addr is recognised (4.2.3, CSR6). */
bool dec21140_recognised(const struct dec21140 *dec, const uint8_t addr[6]);

/* dec21140_serial.c */

void dec21140_srom_init(struct dec21140 *dec, const uint8_t mac[6]);
void dec21140_phy_reset(struct dec21140 *dec);
void dec21140_serial_reset(struct dec21140 *dec);
void dec21140_csr9_write(struct dec21140 *dec, uint32_t val);
uint32_t dec21140_csr9_read(const struct dec21140 *dec);

/* Frames pass between the PHY and the cable; it sends back what it is sent. */
bool dec21140_phy_up(const struct dec21140 *dec);
bool dec21140_phy_loops(const struct dec21140 *dec);

#endif
