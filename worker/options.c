// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "worker/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "worker/cmd.h"
#include "worker/config.h"
#include "worker/diag.h"
#include "worker/parse.h"
#include "worker/trace.h"

#define OPTIONS_MEMORY	 (512ull << 20)
#define OPTIONS_FIRMWARE "seabios"
#define OPTIONS_PIECE	 PATH_MAX

/* ------------------------------------------------------------------ plain values */

static int options_set_memory(struct options *o, const char *where, const char *arg)
{
	int ret = parse_size(arg, &o->memory);

	if (ret == -EINVAL) {
		diag_error("%s %s is not a size: write e.g. 512M or 4G", where, arg);
		return ret;
	}
	o->memory &= ~0xfffull;
	if (!ret && o->memory >= MEMMAP_RAM_MIN && o->memory <= MEMMAP_RAM_MAX)
		return 0;
	diag_error("%s %s is out of range: give %llu MiB to %llu GiB", where, arg,
		   MEMMAP_RAM_MIN >> 20, MEMMAP_RAM_MAX >> 30);
	return -EINVAL;
}

static int options_set_cpus(struct options *o, const char *where, const char *arg)
{
	if (parse_uint(arg, 1, VM_CPUS_MAX, &o->cpus) == 0)
		return 0;
	diag_error("%s %s: a machine has 1 to %u processors", where, arg, VM_CPUS_MAX);
	return -EINVAL;
}

static int options_set_name(struct options *o, const char *where, const char *arg)
{
	o->name = arg;
	o->named = true;
	if (parse_name(arg, OPTIONS_NAME_MAX))
		return 0;
	diag_error("%s '%s': give 1 to %u letters, digits, '.', '_' or '-', not beginning with '.' "
		   "or '-'",
		   where, arg, OPTIONS_NAME_MAX);
	return -EINVAL;
}

/* ------------------------------------------------------------------ lists of properties */

/*
 * The next piece of "one,two=2,three"; a comma that belongs to a piece is written twice. Moves *text behind it; NULL at
 * the end. Returns 0, or -E2BIG for a piece that does not fit.
 */
static int options_next_piece(const char **text, char *piece, size_t size)
{
	const char *p = *text;
	size_t len = 0;

	for (; *p; p++) {
		if (*p == ',' && p[1] != ',')
			break;
		if (*p == ',')
			p++;
		if (len + 1 >= size)
			return -E2BIG;
		piece[len++] = *p;
	}
	piece[len] = 0;
	*text = *p ? p + 1 : NULL;
	return 0;
}

/* Splits "key=value" in place; the value is NULL without "=". */
static char *options_split(char *piece)
{
	char *value = strchr(piece, '=');

	if (value)
		*value++ = 0;
	return value;
}

/* ------------------------------------------------------------------ bimodal devices */

/* The number of @value among @names, which ends with NULL; says what there is otherwise, and returns -EINVAL. */
static int options_choose(const char *const *names, const char *where, const char *key,
			  const char *value)
{
	char list[128] = "";
	int i;

	for (i = 0; names[i]; i++) {
		if (value && strcmp(names[i], value) == 0)
			return i;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
			 names[i]);
	}
	diag_error("%s: %s is one of %s", where, key, list);
	return -EINVAL;
}

/* How a device is bimodal (include/plinth/bimodal.h). Returns 1 if @key is none of this. */
static int options_bimodal(struct option_bimodal *b, const char *where, const char *key,
			   const char *value)
{
	static const char *const off_on[] = { "off", "on", NULL };
	static const char *const identify[] = { "register", "revision", "handshake", NULL };
	static const char *const enable[] = { "register", "bit", "sequence", NULL };
	static const char *const relation[] = { "disables-part", "disables-all", "extends",
						"independent", NULL };
	int got = 1;

	if (strcmp(key, "bimodal") == 0) {
		got = options_choose(off_on, where, key, value);
		if (got >= 0)
			b->cfg.on = got;
		return got < 0 ? got : 0;
	}
	if (strcmp(key, "identify") == 0) {
		got = options_choose(identify, where, key, value);
		b->cfg.identify = (enum bimodal_identify)(got < 0 ? 0 : got);
	} else if (strcmp(key, "enable") == 0) {
		got = options_choose(enable, where, key, value);
		b->cfg.enable = (enum bimodal_enable)(got < 0 ? 0 : got);
	} else if (strcmp(key, "relation") == 0) {
		got = options_choose(relation, where, key, value);
		b->cfg.relation = (enum bimodal_relation)(got < 0 ? 0 : got);
	} else {
		return 1;
	}
	b->has_ways = true;
	return got < 0 ? got : 0;
}

static int options_check_bimodal(const struct option_bimodal *b)
{
	if (!b->has_ways || b->cfg.on)
		return 0;
	diag_error("run: identify=, enable= and relation= say how a device is bimodal: give "
		   "bimodal=on too");
	return -EINVAL;
}

/* ------------------------------------------------------------------ drives */

struct option_disk *options_add_disk(struct options *o, bool cdrom, const char *where)
{
	struct option_disk *d;

	if (o->disks == MACHINE_DISKS_MAX) {
		diag_error("%s: a machine has at most %u drives", where, MACHINE_DISKS_MAX);
		return NULL;
	}
	d = &o->disk[o->disks++];
	*d = (struct option_disk){ .cdrom = cdrom, .readonly = cdrom };
	return d;
}

static bool options_has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

int options_disk_target(struct option_disk *d, const char *where, const char *target)
{
	static const char *const uris[] = { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://" };
	size_t i;

	for (i = 0; i < sizeof(uris) / sizeof(uris[0]); i++)
		d->nbd |= options_has_prefix(target, uris[i]);
	if (!d->nbd && options_has_prefix(target, "nbd:")) {
		d->nbd = true;
		target += strlen("nbd:");
	}
	if (!*target) {
		diag_error("%s: name a file, a block device or nbd:URI", where);
		return -EINVAL;
	}
	if (strlen(target) >= sizeof(d->target)) {
		diag_error("%s: a name of %zu characters is too long", where, strlen(target));
		return -EINVAL;
	}
	strcpy(d->target, target);
	d->empty = d->cdrom && !d->nbd && strcmp(target, "none") == 0;
	return 0;
}

/* "ide0.0" to "ide1.1". */
static int options_disk_bus(struct option_disk *d, const char *where, const char *bus)
{
	if (options_has_prefix(bus, "ide") && (bus[3] == '0' || bus[3] == '1') && bus[4] == '.' &&
	    (bus[5] == '0' || bus[5] == '1') && !bus[6]) {
		d->placed = true;
		d->channel = bus[3] - '0';
		d->unit = bus[5] - '0';
		return 0;
	}
	diag_error("%s: there is no bus=%s: give ide0.0, ide0.1, ide1.0 or ide1.1", where, bus);
	return -EINVAL;
}

int options_disk_property(struct option_disk *d, const char *where, const char *key,
			  const char *value)
{
	int ret = d->cdrom ? 1 : options_bimodal(&d->bimodal, where, key, value);

	if (ret <= 0)
		return ret;
	if (strcmp(key, "readonly") == 0 && !value) {
		d->readonly = true;
		return 0;
	}
	if (strcmp(key, "bus") == 0 && value)
		return options_disk_bus(d, where, value);
	if (strcmp(key, "format") == 0 && value && strcmp(value, "raw") == 0) {
		d->raw = true;
		return 0;
	}
	if (strcmp(key, "format") == 0 && value) {
		diag_error("%s: format=%s is not known here: serve it by qemu-nbd and give nbd:URI",
			   where, value);
		return -EINVAL;
	}
	diag_error("%s: '%s%s%s' is not understood: give readonly, bus=ide0.0%s or format=raw",
		   where, key, value ? "=" : "", value ? value : "", d->cdrom ? "" : ", bimodal=");
	return -EINVAL;
}

static int options_set_disk(struct options *o, bool cdrom, const char *where, const char *arg)
{
	struct option_disk *d = options_add_disk(o, cdrom, where);
	char piece[OPTIONS_PIECE], *value;
	bool first = true;
	int ret;

	if (!d)
		return -EINVAL;
	while (arg) {
		if (options_next_piece(&arg, piece, sizeof(piece))) {
			diag_error("%s: a name of more than %u characters is too long", where,
				   OPTIONS_PIECE - 1);
			return -EINVAL;
		}
		if (first) {
			ret = options_disk_target(d, where, piece);
		} else {
			value = options_split(piece);
			ret = options_disk_property(d, where, piece, value);
		}
		if (ret)
			return ret;
		first = false;
	}
	return 0;
}

static bool options_position_taken(const struct options *o, const struct option_disk *but,
				   unsigned int channel, unsigned int unit)
{
	unsigned int i;

	for (i = 0; i < o->disks; i++) {
		if (&o->disk[i] != but && o->disk[i].placed && o->disk[i].channel == channel &&
		    o->disk[i].unit == unit)
			return true;
	}
	return false;
}

/* As on a usual PC: disks from the primary master on, CD-ROM drives from the secondary master on. */
static void options_place_disk(struct options *o, struct option_disk *d)
{
	unsigned int i, at;

	for (i = 0; i < MACHINE_DISKS_MAX && !d->placed; i++) {
		at = d->cdrom ? (i + 2) % MACHINE_DISKS_MAX : i;
		if (options_position_taken(o, d, at / 2, at % 2))
			continue;
		d->placed = true;
		d->channel = at / 2;
		d->unit = at % 2;
	}
}

static int options_check_disks(struct options *o)
{
	const struct option_disk *d;
	unsigned int i;

	for (i = 0; i < o->disks; i++) {
		d = &o->disk[i];
		if (options_check_bimodal(&d->bimodal))
			return -EINVAL;
		if (!d->placed || !options_position_taken(o, d, d->channel, d->unit))
			continue;
		diag_error("run: two drives at ide%u.%u: give one of them another bus=", d->channel,
			   d->unit);
		return -EINVAL;
	}
	for (i = 0; i < o->disks; i++)
		options_place_disk(o, &o->disk[i]);
	return 0;
}

/* ------------------------------------------------------------------ network adapters */

struct option_net *options_add_net(struct options *o, const char *where)
{
	struct option_net *n;

	if (o->nets == MACHINE_NICS_MAX) {
		diag_error("%s: a machine has at most %u network adapters", where,
			   MACHINE_NICS_MAX);
		return NULL;
	}
	n = &o->net[o->nets++];
	*n = (struct option_net){ .kind = OPTION_NET_USER };
	return n;
}

int options_net_kind(struct option_net *n, const char *where, const char *kind)
{
	static const char *const kinds[] = { "user", "tap", "none" };
	unsigned int i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kind, kinds[i]) == 0) {
			n->kind = (enum option_net_kind)i;
			return 0;
		}
	}
	diag_error("%s %s is not known: give user, tap or none", where, kind);
	return -EINVAL;
}

static int options_net_mac(struct option_net *n, const char *where, const char *text)
{
	unsigned int i;

	if (parse_mac(text, n->mac)) {
		diag_error("%s: mac=%s is not an address: write e.g. 02:00:00:00:00:01", where,
			   text);
		return -EINVAL;
	}
	if (n->mac[0] & 1) {
		diag_error("%s: mac=%s is a group's address: make the first number even", where,
			   text);
		return -EINVAL;
	}
	for (i = 0; i < 6 && !n->mac[i]; i++)
		;
	if (i == 6) {
		diag_error("%s: mac=%s is nobody's address", where, text);
		return -EINVAL;
	}
	n->has_mac = true;
	return 0;
}

static int options_net_ifname(struct option_net *n, const char *where, const char *name)
{
	size_t len = strlen(name);

	if (n->kind == OPTION_NET_TAP && len >= 1 && len <= OPTIONS_IFNAME_MAX &&
	    !strpbrk(name, "/ %\t\n") && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
		strcpy(n->ifname, name);
		return 0;
	}
	if (n->kind != OPTION_NET_TAP)
		diag_error("%s: ifname= goes with tap only", where);
	else
		diag_error("%s: '%s' cannot be an interface's name: at most %u characters, no '/', "
			   "'%%' or blank",
			   where, name, OPTIONS_IFNAME_MAX);
	return -EINVAL;
}

static bool options_parse_port(const char *text, uint16_t *port)
{
	unsigned long value;

	if (parse_uint(text, 1, 65535, &value))
		return false;
	*port = value;
	return true;
}

/* "ADDRESS:PORT" in place; an empty address is 0. */
static bool options_parse_endpoint(char *text, uint32_t *addr, uint16_t *port)
{
	char *colon = strrchr(text, ':');
	struct in_addr in = { 0 };

	if (!colon)
		return false;
	*colon = 0;
	if (*text && inet_pton(AF_INET, text, &in) != 1)
		return false;
	*addr = in.s_addr;
	return options_parse_port(colon + 1, port);
}

/* "tcp:[HOST]:PORT-[GUEST]:PORT". */
static bool options_parse_forward(const char *text, struct net_forward *f)
{
	char host[64], *guest;

	*f = (struct net_forward){ .udp = options_has_prefix(text, "udp:") };
	if ((!f->udp && !options_has_prefix(text, "tcp:")) || strlen(text + 4) >= sizeof(host))
		return false;
	strcpy(host, text + 4);
	guest = strchr(host, '-');
	if (!guest)
		return false;
	*guest++ = 0;
	return options_parse_endpoint(host, &f->host_addr, &f->host_port) &&
	       options_parse_endpoint(guest, &f->guest_addr, &f->guest_port);
}

static int options_net_forward(struct option_net *n, const char *where, const char *text)
{
	if (n->kind != OPTION_NET_USER) {
		diag_error("%s: hostfwd= goes with user only", where);
		return -EINVAL;
	}
	if (n->forwards == NET_FORWARDS_MAX) {
		diag_error("%s: at most %u ports can be forwarded", where, NET_FORWARDS_MAX);
		return -EINVAL;
	}
	if (options_parse_forward(text, &n->forward[n->forwards])) {
		n->forwards++;
		return 0;
	}
	diag_error("%s: hostfwd=%s is not understood: write e.g. tcp:127.0.0.1:8080-:80", where,
		   text);
	return -EINVAL;
}

int options_net_property(struct option_net *n, const char *where, const char *key,
			 const char *value)
{
	int ret = options_bimodal(&n->bimodal, where, key, value);

	if (ret <= 0)
		return ret;
	if (strcmp(key, "mac") == 0 && value)
		return options_net_mac(n, where, value);
	if (strcmp(key, "ifname") == 0 && value)
		return options_net_ifname(n, where, value);
	if (strcmp(key, "hostfwd") == 0 && value)
		return options_net_forward(n, where, value);
	diag_error("%s: '%s%s%s' is not understood: give mac=, ifname= (tap), hostfwd= (user) or "
		   "bimodal=",
		   where, key, value ? "=" : "", value ? value : "");
	return -EINVAL;
}

static int options_set_net(struct options *o, const char *where, const char *arg)
{
	struct option_net *n = options_add_net(o, where);
	char piece[256], *value;
	bool first = true;
	int ret;

	if (!n)
		return -EINVAL;
	while (arg) {
		if (options_next_piece(&arg, piece, sizeof(piece))) {
			diag_error("%s: more than %zu characters are too long", where,
				   sizeof(piece) - 1);
			return -EINVAL;
		}
		if (first) {
			ret = options_net_kind(n, where, piece);
		} else {
			value = options_split(piece);
			ret = options_net_property(n, where, piece, value);
		}
		if (ret)
			return ret;
		first = false;
	}
	return 0;
}

/*
 * An address that a machine has again the next time: locally administered, from its name and the adapter's number
 * (FNV-1a, 64 bits).
 */
static void options_derive_mac(const char *name, unsigned int index, uint8_t mac[6])
{
	uint64_t hash = 0xcbf29ce484222325ull;
	unsigned int i;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3ull;
	hash = (hash ^ (index + 1)) * 0x100000001b3ull;
	mac[0] = 0x02;
	for (i = 1; i < 6; i++)
		mac[i] = hash >> (8 * i);
}

static int options_check_nets(struct options *o)
{
	unsigned int i, j;

	for (i = 0; i < o->nets; i++) {
		if (options_check_bimodal(&o->net[i].bimodal))
			return -EINVAL;
		if (!o->net[i].has_mac)
			options_derive_mac(o->name, i, o->net[i].mac);
		o->net[i].has_mac = true;
		for (j = 0; j < i; j++) {
			if (memcmp(o->net[i].mac, o->net[j].mac, 6) != 0)
				continue;
			diag_error(
				"run: two network adapters with the same mac=: give one another");
			return -EINVAL;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------ trace */

static int options_trace_property(struct options *o, const char *where, const char *key,
				  const char *value)
{
	int device;

	if (strcmp(key, "device") != 0 || !value) {
		diag_error("%s: '%s%s%s' is not understood: give device=", where, key,
			   value ? "=" : "", value ? value : "");
		return -EINVAL;
	}
	device = trace_device(value);
	if (device < 0) {
		diag_error("%s: there is no device=%s: give one of %s", where, value,
			   trace_devices);
		return -EINVAL;
	}
	o->trace_devices |= 1u << device;
	return 0;
}

static int options_set_trace(struct options *o, const char *where, const char *arg)
{
	char piece[sizeof(o->trace)], *value;
	int ret = 0;

	o->trace[0] = 0;
	o->trace_devices = 0;
	while (arg && !ret) {
		if (options_next_piece(&arg, piece, sizeof(piece))) {
			diag_error("%s: a name of more than %zu characters is too long", where,
				   sizeof(piece) - 1);
			return -EINVAL;
		}
		if (!o->trace[0]) {
			strcpy(o->trace, piece);
			if (!*piece) {
				diag_error("%s: name a file", where);
				return -EINVAL;
			}
		} else {
			value = options_split(piece);
			ret = options_trace_property(o, where, piece, value);
		}
	}
	return ret;
}

/* ------------------------------------------------------------------ all of them */

int options_set(struct options *o, enum option_id id, const char *where, const char *arg)
{
	switch (id) {
	case OPTION_KERNEL:
		o->kernel = arg;
		return 0;
	case OPTION_INITRD:
		o->initrd = arg;
		return 0;
	case OPTION_APPEND:
		o->append = arg;
		return 0;
	case OPTION_FIRMWARE:
		o->firmware = arg;
		return 0;
	case OPTION_FIRMWARE_LOG:
		o->firmware_log = arg;
		return 0;
	case OPTION_FIRMWARE_VARS:
		o->firmware_vars = arg;
		return 0;
	case OPTION_MEMORY:
		return options_set_memory(o, where, arg);
	case OPTION_CPUS:
		return options_set_cpus(o, where, arg);
	case OPTION_NAME:
		return options_set_name(o, where, arg);
	case OPTION_DISK:
		return options_set_disk(o, false, where, arg);
	case OPTION_CDROM:
		return options_set_disk(o, true, where, arg);
	case OPTION_NET:
		return options_set_net(o, where, arg);
	case OPTION_DEVICE:
		o->device = arg;
		return 0;
	case OPTION_CONSOLE:
		o->console = arg;
		return 0;
	case OPTION_USER:
		o->user = arg;
		return 0;
	case OPTION_REBOOT:
		o->reboot = true;
		return 0;
	case OPTION_STATS:
		o->stats = true;
		o->stats_path = arg;
		return 0;
	case OPTION_TRACE:
		return options_set_trace(o, where, arg);
	case OPTION_CONFIG:
		return config_read(o, arg);
	case OPTION_HELP:
		o->help = true;
		return 0;
	}
	return -EINVAL;
}

void options_unset(struct options *o, enum option_id id)
{
	if (id == OPTION_REBOOT)
		o->reboot = false;
	if (id == OPTION_STATS) {
		o->stats = false;
		o->stats_path = NULL;
	}
}

static int options_check_boot(struct options *o)
{
	if (o->kernel && o->firmware) {
		diag_error("run: both a kernel and firmware are given: choose one");
		return -EINVAL;
	}
	if (o->kernel && o->firmware_log) {
		diag_error("run: a firmware's log goes with firmware: leave out the kernel");
		return -EINVAL;
	}
	if (o->kernel && o->firmware_vars) {
		diag_error("run: a firmware's variables go with firmware: leave out the kernel");
		return -EINVAL;
	}
	if (o->kernel)
		return 0;
	if (o->initrd || o->append) {
		diag_error("run: %s goes with a kernel: name one with --kernel FILE",
			   o->initrd ? "an initrd" : "a kernel command line");
		return -EINVAL;
	}
	if (!o->firmware && !o->disks) {
		diag_error("run: nothing to boot: give --kernel FILE, --disk FILE or --cdrom FILE");
		return -EINVAL;
	}
	if (!o->firmware)
		o->firmware = OPTIONS_FIRMWARE;
	return 0;
}

int options_check(struct options *o)
{
	int ret = options_check_boot(o);

	if (!ret)
		ret = options_check_disks(o);
	if (!ret)
		ret = options_check_nets(o);
	return ret;
}

static const struct option options_long[] = {
	{ "kernel", required_argument, NULL, OPTION_KERNEL },
	{ "initrd", required_argument, NULL, OPTION_INITRD },
	{ "append", required_argument, NULL, OPTION_APPEND },
	{ "firmware", required_argument, NULL, OPTION_FIRMWARE },
	{ "firmware-log", required_argument, NULL, OPTION_FIRMWARE_LOG },
	{ "firmware-vars", required_argument, NULL, OPTION_FIRMWARE_VARS },
	{ "memory", required_argument, NULL, OPTION_MEMORY },
	{ "cpus", required_argument, NULL, OPTION_CPUS },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "disk", required_argument, NULL, OPTION_DISK },
	{ "cdrom", required_argument, NULL, OPTION_CDROM },
	{ "net", required_argument, NULL, OPTION_NET },
	{ "device", required_argument, NULL, OPTION_DEVICE },
	{ "console", required_argument, NULL, OPTION_CONSOLE },
	{ "user", required_argument, NULL, OPTION_USER },
	{ "reboot", no_argument, NULL, OPTION_REBOOT },
	{ "stats", optional_argument, NULL, OPTION_STATS },
	{ "trace", required_argument, NULL, OPTION_TRACE },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

static int options_parse_one(struct options *o, int opt, int index, const char *where_typed)
{
	char where[32];

	if (opt == ':') {
		diag_error("run: %s needs a value: see 'plinth run --help'", where_typed);
		return -EINVAL;
	}
	if (opt == '?') {
		cmd_bad_usage("run", where_typed);
		return -EINVAL;
	}
	if (opt == 'h')
		return options_set(o, OPTION_HELP, "-h", NULL);
	snprintf(where, sizeof(where), "--%s", options_long[index].name);
	return options_set(o, opt, where, optarg);
}

void options_init(struct options *o)
{
	memset(o, 0, sizeof(*o));
	o->name = "child";
	o->console = "stdio";
	o->memory = OPTIONS_MEMORY;
	o->cpus = 1;
}

void options_free(struct options *o)
{
	config_free(o);
}

int options_parse(struct options *o, int argc, char **argv)
{
	int opt, at, index, ret;

	options_init(o);
	opterr = 0;
	optind = 1;
	for (at = 1; (opt = getopt_long(argc, argv, ":h", options_long, &index)) != -1;
	     at = optind) {
		ret = options_parse_one(o, opt, index, argv[at]);
		if (ret || o->help)
			return ret;
	}
	if (optind < argc) {
		cmd_bad_usage("run", argv[optind]);
		return -EINVAL;
	}
	return options_check(o);
}
