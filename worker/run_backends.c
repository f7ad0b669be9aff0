// SPDX-License-Identifier: GPL-2.0-only
/* What is behind the machine's drives and network adapters. */
#include "worker/run.h"

#include <errno.h>
#include <string.h>

static void run_lock(void *ctx)
{
	struct run *r = ctx;

	machine_lock(&r->machine);
}

static void run_unlock(void *ctx)
{
	struct run *r = ctx;

	machine_unlock(&r->machine);
}

static int run_open_disk(struct run *r, const struct option_disk *d, struct block **blk)
{
	const struct block_file_config file = {
		.path = d->target,
		.readonly = d->readonly,
		.raw = d->raw,
	};
	const struct block_nbd_config nbd = { .uri = d->target, .readonly = d->readonly };

	if (d->empty)
		return block_none_open(blk);
	if (d->nbd)
		return block_nbd_open(&r->host, &nbd, blk);
	return block_file_open(&r->host, &file, blk);
}

static int run_open_net(struct run *r, const struct option_net *n, struct net **net)
{
	const struct net_user_config user = { .forward = n->forward, .forwards = n->forwards };

	switch (n->kind) {
	case OPTION_NET_USER:
		return net_user_open(&r->host, &user, net);
	case OPTION_NET_TAP:
		return net_tap_open(&r->host, n->ifname, net);
	case OPTION_NET_NONE:
		return net_none_open(net);
	}
	return -EINVAL;
}

int run_open_backends(struct run *r)
{
	unsigned int i;
	int ret = 0;

	r->host = (struct backend_host){
		.loop = &r->loop,
		.lock = run_lock,
		.unlock = run_unlock,
		.ctx = r,
	};
	for (i = 0; !ret && i < r->opt.disks; i++)
		ret = run_open_disk(r, &r->opt.disk[i], &r->disk[i]);
	for (i = 0; !ret && i < r->opt.nets; i++)
		ret = run_open_net(r, &r->opt.net[i], &r->net[i]);
	return ret;
}

void run_plug_in(const struct run *r, struct machine_config *cfg)
{
	unsigned int i;

	cfg->disks = r->opt.disks;
	for (i = 0; i < r->opt.disks; i++) {
		cfg->disk[i] = (struct machine_disk){
			.block = r->disk[i],
			.channel = r->opt.disk[i].channel,
			.unit = r->opt.disk[i].unit,
			.cdrom = r->opt.disk[i].cdrom,
			.bimodal = r->opt.disk[i].bimodal.cfg,
		};
	}
	cfg->nics = r->opt.nets;
	for (i = 0; i < r->opt.nets; i++) {
		cfg->nic[i].net = r->net[i];
		memcpy(cfg->nic[i].mac, r->opt.net[i].mac, sizeof(cfg->nic[i].mac));
		cfg->nic[i].bimodal = r->opt.net[i].bimodal.cfg;
	}
}

void run_drain_backends(struct run *r)
{
	unsigned int i;

	for (i = 0; i < r->opt.disks; i++)
		r->disk[i]->ops->drain(r->disk[i]);
}

void run_unplug(struct run *r)
{
	unsigned int i;

	for (i = 0; i < r->opt.disks; i++)
		r->disk[i]->told = NULL;
	for (i = 0; i < r->opt.nets; i++)
		r->net[i]->dev_ops = NULL;
}

void run_close_backends(struct run *r)
{
	unsigned int i;

	for (i = 0; i < r->opt.disks; i++) {
		if (r->disk[i])
			r->disk[i]->ops->close(r->disk[i]);
		r->disk[i] = NULL;
	}
	for (i = 0; i < r->opt.nets; i++) {
		if (r->net[i])
			r->net[i]->ops->close(r->net[i]);
		r->net[i] = NULL;
	}
}
