// SPDX-License-Identifier: GPL-2.0-only
/* What `plinth ps`, stop, console and stats do to a machine that runs (worker/control.h). */
#define _GNU_SOURCE
#include "worker/run.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "worker/diag.h"

static void json_number(cJSON *object, const char *key, uint64_t value)
{
	cJSON_AddNumberToObject(object, key, (double)value);
}

static char *json_text(cJSON *root)
{
	char *text = root ? cJSON_PrintUnformatted(root) : NULL;

	cJSON_Delete(root);
	return text;
}

static char *control_info(void *ctx)
{
	const struct run *r = ctx;
	cJSON *root = cJSON_CreateObject();

	cJSON_AddStringToObject(root, "name", r->name);
	json_number(root, "pid", getpid());
	json_number(root, "cpus", r->opt.cpus);
	json_number(root, "memory", r->opt.memory);
	cJSON_AddStringToObject(root, "device", r->opt.device);
	return json_text(root);
}

/* Its own thread counts on meanwhile. */
static cJSON *control_vcpu(const struct vcpu *v)
{
	cJSON *vp = cJSON_CreateObject(), *exits = cJSON_AddObjectToObject(vp, "exits");
	char unnamed[24];
	const char *name;
	unsigned int i;

	for (i = 0; i < VCPU_EXIT_KINDS; i++) {
		if (!v->exits[i])
			continue;
		name = vcpu_exit_name(i);
		snprintf(unnamed, sizeof(unnamed), "exit_%u", i);
		json_number(exits, name ? name : unnamed, v->exits[i]);
	}
	json_number(vp, "interrupted", v->interrupted);
	return vp;
}

/* Of a disk's high-performance mode. */
static void control_fast(cJSON *disk, const struct ide_fast *f)
{
	cJSON *fast = cJSON_AddObjectToObject(disk, "fast");

	cJSON_AddBoolToObject(fast, "on", f->bimodal.enabled);
	json_number(fast, "doorbells", f->blk.stats.doorbells);
	json_number(fast, "requests", f->blk.stats.requests);
	json_number(fast, "errors", f->blk.stats.errors);
	json_number(fast, "dropped", f->blk.stats.dropped);
	json_number(fast, "interrupts", f->interrupts);
}

static cJSON *control_disk(const struct option_disk *d, const struct block_stats *s,
			   const struct ide_fast *fast)
{
	static const char *const ops[BLOCK_OPS] = { "read", "write", "flush", "discard", "zero" };
	cJSON *disk = cJSON_CreateObject(), *op;
	char name[32];
	unsigned int i;

	snprintf(name, sizeof(name), "ide%u.%u", d->channel, d->unit);
	cJSON_AddStringToObject(disk, "bus", name);
	cJSON_AddStringToObject(disk, "target", d->target);
	for (i = 0; i < BLOCK_OPS; i++) {
		op = cJSON_AddObjectToObject(disk, ops[i]);
		json_number(op, "requests", s->requests[i]);
		json_number(op, "failed", s->failed[i]);
		json_number(op, "bytes", s->bytes[i]);
		json_number(op, "mean_ns", s->requests[i] ? s->ns[i] / s->requests[i] : 0);
		json_number(op, "max_ns", s->max_ns[i]);
	}
	if (fast)
		control_fast(disk, fast);
	return disk;
}

static cJSON *control_net(const struct option_net *n, const struct net_stats *s)
{
	static const char *const kinds[] = { "user", "tap", "none" };
	cJSON *net = cJSON_CreateObject(), *tx, *rx;
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", n->mac[0], n->mac[1], n->mac[2],
		 n->mac[3], n->mac[4], n->mac[5]);
	cJSON_AddStringToObject(net, "type", kinds[n->kind]);
	cJSON_AddStringToObject(net, "mac", mac);
	tx = cJSON_AddObjectToObject(net, "tx");
	json_number(tx, "frames", s->tx_frames);
	json_number(tx, "bytes", s->tx_bytes);
	json_number(tx, "dropped", s->tx_dropped);
	rx = cJSON_AddObjectToObject(net, "rx");
	json_number(rx, "frames", s->rx_frames);
	json_number(rx, "bytes", s->rx_bytes);
	json_number(rx, "dropped", s->rx_dropped);
	return net;
}

static char *control_stats(void *ctx)
{
	struct run *r = ctx;
	cJSON *root = cJSON_CreateObject(), *list;
	unsigned int i;

	cJSON_AddStringToObject(root, "name", r->name);
	list = cJSON_AddArrayToObject(root, "vps");
	for (i = 0; i < r->machine.cpus; i++)
		cJSON_AddItemToArray(list, control_vcpu(&r->machine.vcpu[i]));
	json_number(root, "doorbells", machine_doorbells_rung(&r->machine));
	machine_lock(&r->machine);
	list = cJSON_AddArrayToObject(root, "disks");
	for (i = 0; i < r->opt.disks; i++)
		cJSON_AddItemToArray(list, control_disk(&r->opt.disk[i], &r->disk[i]->stats,
							r->machine.fast[i]));
	list = cJSON_AddArrayToObject(root, "nets");
	for (i = 0; i < r->opt.nets; i++)
		cJSON_AddItemToArray(list, control_net(&r->opt.net[i], &r->net[i]->stats));
	machine_unlock(&r->machine);
	return json_text(root);
}

static void control_button(void *ctx)
{
	struct run *r = ctx;

	machine_power_button(&r->machine);
}

static void control_end(void *ctx)
{
	run_stop(ctx);
}

static size_t control_input_room(void *ctx)
{
	return run_input_room(ctx);
}

static void control_input(void *ctx, const uint8_t *buf, size_t len)
{
	run_input(ctx, buf, len);
}

static const struct control_ops control_ops = {
	control_info, control_stats, control_button, control_end, control_input_room, control_input,
};

/* Somebody's own name is theirs, or nobody's; a default makes room. */
static int run_open_named(struct run *r)
{
	unsigned int i;
	int ret;

	snprintf(r->name, sizeof(r->name), "%s", r->opt.name);
	ret = control_open(&r->control, &r->loop, r->name, &control_ops, r);
	for (i = 2; ret == -EADDRINUSE && !r->opt.named && i < 1000; i++) {
		snprintf(r->name, sizeof(r->name), "%s%u", r->opt.name, i);
		ret = control_open(&r->control, &r->loop, r->name, &control_ops, r);
	}
	return ret;
}

int run_open_control(struct run *r)
{
	char dir[CONTROL_PATH_MAX];
	int ret = run_open_named(r);

	if (ret == -EADDRINUSE) {
		diag_error("a machine called '%s' is running: give this one another --name",
			   r->name);
		return ret;
	}
	if (!ret)
		return 0;
	r->control = NULL;
	if (control_path(dir, NULL))
		strcpy(dir, "the directory of control sockets");
	diag_note("plinth: ps, stop, console and stats will not find this machine: %s: %s", dir,
		  strerror(-ret));
	return 0;
}
