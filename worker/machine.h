/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A child's machine: the board that the chips of worker/platform/ sit on, its memory and its
 * processors.
 *
 * Threads: one per processor, and the main thread, which runs timers and the console
 * (machine_run_timers() and so on). The platform lock is taken inside; callers do not hold it.
 */
#ifndef WORKER_MACHINE_H
#define WORKER_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "worker/bus.h"
#include "worker/console.h"
#include "worker/device.h"
#include "worker/devices/dec21140.h"
#include "worker/devices/ide.h"
#include "worker/fwtables.h"
#include "worker/platform/acpipm.h"
#include "worker/platform/flash.h"
#include "worker/platform/fwcfg.h"
#include "worker/platform/i8237.h"
#include "worker/platform/i8042.h"
#include "worker/platform/i8254.h"
#include "worker/platform/i8259.h"
#include "worker/platform/ioapic.h"
#include "worker/platform/mc146818.h"
#include "worker/platform/pcihost.h"
#include "worker/platform/piix4.h"
#include "worker/platform/ps2kbd.h"
#include "worker/platform/ps2mouse.h"
#include "worker/platform/timerq.h"
#include "worker/platform/uart16550.h"
#include "worker/trace.h"
#include "worker/vcpu.h"
#include "worker/vm.h"

struct block;
struct firmware;
struct net;

/* Why a machine has ended. The first reason stays. */
enum machine_end {
	MACHINE_RUNS = 0,
	MACHINE_POWEROFF, /* the guest turned itself off */
	MACHINE_RESET,	  /* the guest reset itself */
	MACHINE_CRASH,	  /* a processor cannot go on; it has said why */
	MACHINE_STOPPED,  /* from outside */
};

/* What all processors have to stop for (machine_meet()). */
enum machine_work {
	MACHINE_WORK_SHADOW = 1, /* PAM registers were written */
	MACHINE_WORK_SOFT = 2,	 /* INIT# */
	MACHINE_WORK_HARD = 4,	 /* PCIRST# and CPURST */
};

#define MACHINE_DOORBELLS_MAX 4 /* of a region */

/* A base address register that has a region behind it. */
struct machine_bar {
	struct pci_function *fn;
	unsigned int bar;
	bool io;
	uint64_t size;
	int handle; /* of the bus */
	/* Offsets of registers that only signal doorbell_fd, and their width in bytes. */
	uint32_t doorbell[MACHINE_DOORBELLS_MAX];
	unsigned int doorbells, doorbell_size;
	uint64_t rings_at;    /* where the region is as they do so now; 0: nowhere */
	unsigned int ringing; /* mask: which do */
};

#define MACHINE_BARS_MAX 16

#define MACHINE_DISKS_MAX (IDE_CHANNELS * IDE_UNITS)
#define MACHINE_NICS_MAX  4

struct machine {
	struct vm vm;
	struct vcpu vcpu[VM_CPUS_MAX];
	unsigned int cpus;

	atomic_int end; /* enum machine_end */
	int end_fd;	/* eventfd: readable once end is set */

	atomic_uint pending; /* mask of enum machine_work */
	pthread_mutex_t meet_lock;
	pthread_cond_t meet_over;
	unsigned int meet_arrived; /* processors that wait, under meet_lock */
	unsigned int meet_count;   /* meetings that are over, under meet_lock */

	pthread_cond_t unlocked; /* the main thread has had the platform lock */
	pthread_mutex_t lock;	 /* the platform lock of worker/device.h: protects what follows */
	struct bus_pio pio;	 /* which ports are owned may be asked without it */
	struct bus_mmio mmio;
	struct dev_clock clock;
	struct timerq timers;
	bool timers_running; /* timer_fd is set when they have been run */
	int timer_fd;
	uint64_t clock_base; /* CLOCK_MONOTONIC at the machine's making, ns */
	struct i8259 pic;
	bool acknowledging; /* in i8259_ack() for an ExtINT message of the IOAPIC */
	struct ioapic ioapic;
	struct i8254 pit;
	struct mc146818 rtc;
	struct acpipm pm;
	struct i8042 kbc;
	struct ps2kbd keyboard;
	struct ps2mouse mouse;
	struct i8237 isa_dma;
	struct pcihost pci;
	struct piix4 piix4;
	int pm_ports, smbus_ports; /* handles on the pio bus */
	uint16_t pm_base;	   /* where firmware has put the power management */
	uint16_t pm_told;	   /* where the tables say that it is */
	struct machine_bar bar[MACHINE_BARS_MAX];
	unsigned int bars;
	struct ide ide;
	struct ide_fast *fast[MACHINE_DISKS_MAX]; /* the second modes of drives that have one */
	struct dec21140 nic[MACHINE_NICS_MAX];
	unsigned int nics;
	uint16_t isa_lines[2];	   /* ISA interrupts: as devices drive them, as PCI steering does */
	struct dma dma;		   /* bus masters' way to memory */
	struct firmware *firmware; /* what it starts, and starts again, with; NULL: a kernel */
	struct flash flash;	   /* where that keeps its variables, if it does */
	struct fwcfg fwcfg;
	struct fwtables *fwtables; /* what fwcfg tells; NULL without firmware */
	FILE *firmware_log;	   /* the caller's; NULL: the firmware's debug port is absent */
	struct uart16550 com1;
	struct console *console; /* what is behind com1 */
	int doorbell_fd;	 /* eventfd: a doorbell has been written */
	uint64_t doorbells;	 /* how often, but for what doorbell_fd counts; main thread */
	int input_fd;		 /* eventfd: readable when com1 takes input again */
	bool input_open;	 /* com1 took input when last looked at */

	struct trace *trace; /* the caller's; NULL: none */

	atomic_bool intr; /* output of the PICs; read without the lock */
};

/* A drive and where it is plugged in. */
struct machine_disk {
	struct block *block;  /* its back end: the caller's; has to be drained between
			       * machine_stop() and machine_destroy() */
	unsigned int channel; /* IDE channel: 0 primary, 1 secondary */
	unsigned int unit;    /* 0 master, 1 slave */
	bool cdrom;	      /* an ATAPI CD-ROM drive */
	struct bimodal_config bimodal;
};

/* A network adapter: slot 3 of the PCI bus and those after it. */
struct machine_nic {
	struct net *net; /* its back end: the caller's, open until the machine is destroyed */
	uint8_t mac[6];
	struct bimodal_config bimodal;
};

struct machine_config {
	const char *device; /* /dev/plinth or /dev/kvm, for messages */
	int device_fd;	    /* open on it (vm_open_device()), the caller's */
	unsigned int cpus;  /* 1 to what the device allows */
	uint64_t memory;    /* bytes, MEMMAP_RAM_MIN to MEMMAP_RAM_MAX, whole pages */
	struct console *console;
	/* What the bootstrap processor starts with (worker/firmware.h), the caller's until the
	 * machine is destroyed; NULL: the caller places a kernel (vcpu_set_entry()). */
	struct firmware *firmware;
	FILE *firmware_log;  /* gets the firmware's debug messages; NULL: none */
	struct trace *trace; /* of register accesses, the caller's; NULL: none */
	struct machine_disk disk[MACHINE_DISKS_MAX];
	unsigned int disks;
	struct machine_nic nic[MACHINE_NICS_MAX];
	unsigned int nics;
};

/*
 * Makes a machine that has not been started: memory, board, processors, ACPI tables in place.
 * Returns 0 or a negative errno after having said why, with nothing left behind.
 */
int machine_create(struct machine *m, const struct machine_config *cfg);

/* Stops the machine if it runs, and releases everything. */
void machine_destroy(struct machine *m);

/* Lets the processors run. machine_stop() is due afterwards, also after a failure. */
int machine_start(struct machine *m);

/* Ends the machine for a reason, if it has not ended yet. Any thread, with or without the lock. */
void machine_end(struct machine *m, enum machine_end why);

/* Ends the machine if it has not, and waits for its processors. */
void machine_stop(struct machine *m);

/*
 * The platform lock, for what back ends do to devices. Main thread or a thread of their own; never
 * from within a device's call.
 */
void machine_lock(struct machine *m);
void machine_unlock(struct machine *m);

/* Main thread: timer_fd is readable. */
void machine_run_timers(struct machine *m);

/* Main thread: doorbell_fd has been signalled. It is not read for that: who waits for it waits for changes (EPOLLET). */
void machine_doorbells(struct machine *m);

/* Main thread: how often doorbells have been written that cost no way to the worker, since the machine was made. */
uint64_t machine_doorbells_rung(struct machine *m);

/* Main thread: how much input com1 takes now, and input for it (never more than that). */
size_t machine_input_space(struct machine *m);
void machine_input(struct machine *m, const uint8_t *buf, size_t len);

/* Main thread: the console takes output again. */
void machine_output_ready(struct machine *m);

/* Main thread: the power button is pressed. */
void machine_power_button(struct machine *m);

/* Processor threads: the exits of the same names. */
void machine_io(struct machine *m, bool write, uint16_t port, unsigned int size, unsigned int count,
		uint8_t *data);
void machine_mmio(struct machine *m, bool write, uint64_t addr, unsigned int size, uint8_t *data);
void machine_ioapic_eoi(struct machine *m, uint8_t vector);

/*
 * Processor threads, out of KVM_RUN with nothing left to complete, when pending is not 0: waits for
 * all the others. The last one does the work; then all go on. Returns early when the machine ends.
 */
void machine_meet(struct machine *m);

/* Processor threads: a shutdown cycle (triple fault). False if the board does not answer it. */
bool machine_shutdown_cycle(struct machine *m);

/*
 * Bootstrap processor: takes the vector of the interrupt that the PICs ask for; VCPU_NO_VECTOR: they
 * no longer do.
 */
int machine_ack_intr(struct machine *m);

#endif
