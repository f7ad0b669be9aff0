/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_PLATFORM_PIIX4_H
#define WORKER_PLATFORM_PIIX4_H

/*
 * What is the PIIX4's own of an 82371AB (Intel 290562): the PCI functions of the ISA bridge
 * (function 0) and of power management (function 3), the steering of PCI interrupts, and the SMBus
 * host controller, which finds nobody on its bus. The chips behind the bridge are modules of their
 * own; the IDE function is worker/devices/ide.h.
 */
#include "worker/device.h"
#include "worker/platform/pcihost.h"

#define PIIX4_PIRQS	  4
#define PIIX4_SOURCES_MAX 32 /* functions that can interrupt */
#define PIIX4_SMBUS_PORTS 16
#define PIIX4_PM_PORTS	  64

/* Function 0, section 4.1 */
#define PIIX4_PIRQRC	 0x60 /* to 0x63: PIRQA# to PIRQD# */
#define PIIX4_PIRQRC_OFF 0x80

/* Function 3, section 7.1 */
#define PIIX4_PMBASE	0x40
#define PIIX4_DEVACTB	0x58
#define PIIX4_PMREGMISC 0x80
#define PIIX4_PMIOSE	0x01
#define PIIX4_SMBBA	0x90
#define PIIX4_SMBHSTCFG 0xd2
#define PIIX4_SMB_EN	0x01

struct piix4_host {
	/* The level of PIRQ# @pirq (0 to 3; @on = asserted, electrically low) has changed. */
	void (*pirq)(void *ctx, unsigned int pirq, bool on);
	/* ISA interrupt @irq as the steering drives it: of those PIRQs that are routed there. */
	void (*isa_irq)(void *ctx, unsigned int irq, bool level);
	/* The guest has moved, enabled or disabled a block of ports; -1: it is off. */
	void (*pm_base)(void *ctx, int port);
	void (*smbus_base)(void *ctx, int port);
	void *ctx;
};

struct piix4 {
	struct pci_function isa, pm;
	uint32_t asserted[PIIX4_PIRQS]; /* by source */
	uint16_t isa_levels;		/* as last driven */
	struct piix4_host host;
	uint8_t smb[PIIX4_SMBUS_PORTS];
};

/* Make @p a bridge after reset; all callbacks of @host are needed and none is called. */
void piix4_init(struct piix4 *p, const struct piix4_host *host);

/* PCIRST#, after the configuration spaces have been reset (pcihost_reset). Sources keep driving. */
void piix4_reset(struct piix4 *p);

/*
 * Drive the interrupt pin of a function. @n is PIIX4_INTX(). @p is a struct piix4 *: fits
 * irq_pin.set.
 */
void piix4_set_intx(void *p, unsigned int n, bool level);

/*
 * @source, 0 to 31, tells functions apart that share a line; the lines of a slot are turned from one
 * slot to the next: INTA# of slot 1 is PIRQA#, that of slot 2 PIRQB#.
 */
#define PIIX4_INTX(source, slot, pin) ((source) << 2 | (((slot)-1 + (pin)-1) & 3))

extern const struct device_ops piix4_smbus_ops; /* PIIX4_SMBUS_PORTS. @dev: struct piix4 * */

#endif
