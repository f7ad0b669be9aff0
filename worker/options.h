/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_OPTIONS_H
#define WORKER_OPTIONS_H

/*
 * What `plinth run` has been asked for, by options or by a configuration file (worker/config.h). Only the texts are
 * looked at here, not what they name. Every function that fails has said why in one line.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/backends/backend.h"
#include "worker/machine.h"

#define OPTIONS_NAME_MAX   15 /* what the kernel keeps of a thread's name */
#define OPTIONS_IFNAME_MAX 15

enum option_id {
	OPTION_KERNEL = 256,
	OPTION_INITRD,
	OPTION_APPEND,
	OPTION_FIRMWARE,
	OPTION_FIRMWARE_LOG,
	OPTION_FIRMWARE_VARS,
	OPTION_MEMORY,
	OPTION_CPUS,
	OPTION_NAME,
	OPTION_DISK,
	OPTION_CDROM,
	OPTION_NET,
	OPTION_DEVICE,
	OPTION_CONSOLE,
	OPTION_USER,
	OPTION_REBOOT,
	OPTION_STATS,
	OPTION_TRACE,
	OPTION_CONFIG,
	OPTION_HELP,
};

/* How a device is bimodal. */
struct option_bimodal {
	struct bimodal_config cfg;
	bool has_ways; /* identify=, enable= or relation= has been said */
};

/* A drive. */
struct option_disk {
	char target[PATH_MAX]; /* a file, or a URI */
	bool nbd;
	bool cdrom;
	bool empty; /* a CD-ROM drive without a medium */
	bool readonly;
	bool raw;    /* format=raw has been said */
	bool placed; /* a position has been given, or found by options_check() */
	unsigned int channel, unit;
	struct option_bimodal bimodal;
};

enum option_net_kind {
	OPTION_NET_USER,
	OPTION_NET_TAP,
	OPTION_NET_NONE
};

/* A network adapter. */
struct option_net {
	enum option_net_kind kind;
	char ifname[OPTIONS_IFNAME_MAX + 1]; /* empty: the kernel chooses */
	bool has_mac;			     /* given, or derived by options_check() */
	uint8_t mac[6];
	struct net_forward forward[NET_FORWARDS_MAX];
	unsigned int forwards;
	struct option_bimodal bimodal;
};

/* Strings are the caller's: of argv, or of @config. */
struct options {
	const char *kernel;	   /* NULL: through firmware */
	const char *initrd;	   /* NULL: none */
	const char *append;	   /* NULL: the default */
	const char *firmware;	   /* its name or path; NULL with a kernel */
	const char *firmware_log;  /* NULL: none */
	const char *firmware_vars; /* NULL: they are not kept */
	const char *name;
	bool named;	    /* by the user */
	const char *device; /* NULL: what there is */
	const char *console;
	const char *user; /* NULL: see worker/sandbox.h */
	bool stats;
	const char *stats_path; /* NULL: standard error */
	char trace[PATH_MAX];	/* empty: none */
	uint32_t trace_devices; /* mask of trace_device()'s numbers; 0: all */
	uint64_t memory;	/* bytes, whole pages */
	unsigned long cpus;
	bool reboot;
	bool help; /* asked for: nothing else has been looked at */
	struct option_disk disk[MACHINE_DISKS_MAX];
	unsigned int disks;
	struct option_net net[MACHINE_NICS_MAX];
	unsigned int nets;
	void *config; /* the configuration file's text, parsed (config_free()) */
};

/* Parses argv of the command run, from argv[1] on. Returns 0 or -EINVAL. options_free() is due in any case. */
int options_parse(struct options *o, int argc, char **argv);

void options_init(struct options *o);
void options_free(struct options *o);

/*
 * One option. @where names it in messages: "--cpus", or file, line and key. @arg is NULL where the option takes none and
 * none was given; it stays in use.
 */
int options_set(struct options *o, enum option_id id, const char *where, const char *arg);

/* Takes back what may have been said before: OPTION_REBOOT or OPTION_STATS. */
void options_unset(struct options *o, enum option_id id);

/* All have been seen: do they go together? Fills in what follows from them. */
int options_check(struct options *o);

/* For a configuration's objects: begin a drive or an adapter, and one of its properties; NULL if there are too many. */
struct option_disk *options_add_disk(struct options *o, bool cdrom, const char *where);
struct option_net *options_add_net(struct options *o, const char *where);
int options_disk_target(struct option_disk *d, const char *where, const char *target);
int options_disk_property(struct option_disk *d, const char *where, const char *key,
			  const char *value);
int options_net_kind(struct option_net *n, const char *where, const char *kind);
int options_net_property(struct option_net *n, const char *where, const char *key,
			 const char *value);

#endif
