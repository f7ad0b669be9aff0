/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtual processor and the thread that runs it. Everything it needs beyond itself it gets from
 * its machine (worker/machine.h).
 */
#ifndef WORKER_VCPU_H
#define WORKER_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "worker/device.h"

/* Exits are counted by exit_reason; what lies beyond shares the last counter. */
#define VCPU_EXIT_KINDS 40

#define VCPU_NO_VECTOR (-1)

struct machine;
struct vcpu_state;

struct vcpu {
	struct machine *machine;
	unsigned int index; /* also its APIC identifier; 0 is the bootstrap processor */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool created;		    /* thread is valid until vcpu_join() */
	atomic_bool running;	    /* in its loop: a kick can reach it */
	struct vcpu_state *initial; /* what a reset goes back to; NULL: it is not reset */
	int vector;	      /* acknowledged at the PICs and not handed over yet; VCPU_NO_VECTOR */
	uint64_t interrupted; /* times that KVM_RUN was interrupted by a signal */
	uint64_t exits[VCPU_EXIT_KINDS]; /* written by its thread only */
};

/*
 * Makes processor index of a machine with cpus processors: after a reset if firmware is what it
 * starts with, else in the state that a PC's firmware leaves it in. Returns 0 or a negative errno after having said why.
 */
int vcpu_create(struct vcpu *v, struct machine *machine, unsigned int index, unsigned int cpus,
		bool firmware);

/* Sets the bootstrap processor to the 32-bit entry point of a Linux kernel (worker/bzimage.h). */
int vcpu_set_entry(struct vcpu *v, uint32_t entry);

/*
 * Takes the state that the processor was made in for that of its reset. Returns 0 or a negative
 * errno after having said why.
 */
int vcpu_keep_initial(struct vcpu *v);

/*
 * RESET# (how is DEV_RESET_HARD) or INIT#: the bootstrap processor is at the reset vector then, the
 * others wait for a start-up message. Every processor of the machine has come to machine_meet().
 * Returns 0 or a negative errno after having said why.
 */
int vcpu_reset(struct vcpu *v, enum dev_reset how);

/* Starts the thread. vcpu_prepare_signals() comes first, once. */
int vcpu_start(struct vcpu *v);

/* Makes the signal that vcpu_kick() sends harmless. */
void vcpu_prepare_signals(void);

/*
 * Makes the processor leave KVM_RUN soon and look at its machine's state. Any thread; no effect
 * when called by the processor's own, which looks anyway.
 */
void vcpu_kick(struct vcpu *v);

/* Waits for the thread, which ends when the machine has (machine_end()). */
void vcpu_join(struct vcpu *v);

void vcpu_destroy(struct vcpu *v);

/* The name of an exit reason, as in KVM_EXIT_*, in lower case; NULL for one that is not known. */
const char *vcpu_exit_name(unsigned int reason);

#endif
