/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_RUN_H
#define WORKER_RUN_H

/*
 * `plinth run`: one machine, from the command line to its end. Its parts share struct run; all of them run on the main
 * thread. What fails has said why in one line.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "worker/backends/backend.h"
#include "worker/bzimage.h"
#include "worker/console.h"
#include "worker/control.h"
#include "worker/firmware.h"
#include "worker/loop.h"
#include "worker/machine.h"
#include "worker/options.h"
#include "worker/sandbox.h"
#include "worker/trace.h"

#define RUN_APPEND	 "console=ttyS0"
#define RUN_INPUT_BUFFER (256u << 10)

/* The files that a guest starts from, read once; kernel and initrd are kept only for further starts (--reboot). */
struct run_images {
	struct firmware firmware; /* no image: a kernel is booted */
	FILE *firmware_log;
	uint8_t *kernel_file;
	size_t kernel_size;
	uint8_t *initrd;
	size_t initrd_size;
	struct bzimage kernel;
	struct bzimage_plan plan;
};

struct run {
	struct options opt;
	struct run_images img;
	struct loop loop;
	struct backend_host host;
	struct block *disk[MACHINE_DISKS_MAX]; /* as opt.disk; NULL: not open */
	struct net *net[MACHINE_NICS_MAX];     /* as opt.net; NULL: not open */
	int signal_fd;
	int device_fd;
	FILE *stats; /* NULL: not asked for */
	struct trace trace;
	struct sandbox sandbox;
	bool sandboxed; /* what is not open now cannot be opened any more */
	char name[OPTIONS_NAME_MAX + 5];
	struct control_server *control; /* NULL: there could be none */

	/* Input on its way from the console to the port. */
	struct console console;
	bool console_opened;
	bool input_oneshot; /* to be armed again; not so a pty, or a file, which is always ready */
	bool input_ended;
	size_t input_head, input_end; /* input[] from head to end waits for the port */
	uint8_t input[RUN_INPUT_BUFFER];

	/* The machine that runs, and what the loop waits for on its behalf. */
	struct machine machine;
	bool stopping; /* by the user's word, which holds even when the guest has just reset itself */
	struct loop_source on_signal, on_end, on_timer;
	struct loop_source on_input;	   /* the console has input */
	struct loop_source on_input_space; /* the port takes input again */
	struct loop_source on_doorbell;	   /* an adapter's doorbell has been written */
	struct loop_source on_output;	   /* the console takes output again */
};

/* run_images.c: reads and checks firmware, or kernel and initrd; puts these into the machine's memory. */
int run_load_images(struct run *r);
int run_place_images(struct run *r);
void run_free_images(struct run_images *img);

/* run_backends.c: opens what is behind drives and network adapters; tells the machine's configuration of it. */
int run_open_backends(struct run *r);
void run_plug_in(const struct run *r, struct machine_config *cfg);
/* The processors have stopped: what they asked for is carried out. Before the machine is destroyed. */
void run_drain_backends(struct run *r);
/* The machine is destroyed: nothing has a device any more. */
void run_unplug(struct run *r);
void run_close_backends(struct run *r);

/* run_events.c: the loop while a machine runs. run_unwatch() also after run_watch() has failed. */
int run_watch(struct run *r);
void run_unwatch(struct run *r);
void run_loop(struct run *r);
/* Ends the machine for good. */
void run_stop(struct run *r);
/* Input from elsewhere than the console's own end: how much there is room for, and some of that. */
size_t run_input_room(const struct run *r);
void run_input(struct run *r, const uint8_t *buf, size_t len);

/* run_control.c: the socket for commands. Fails only if the name is taken; also finds r->name. */
int run_open_control(struct run *r);

#endif
