/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_BACKENDS_BACKEND_H
#define WORKER_BACKENDS_BACKEND_H

/*
 * What a back end is opened with, and the back ends there are. Their other side is worker/devices/{block,net}.h.
 *
 * Back ends are opened and closed by the main thread and live in its loop. Their handlers take the platform lock around
 * all that they share with devices; submissions come from any thread that holds it.
 *
 * Opening returns 0 or a negative errno after having said why in one line, with nothing left behind.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/devices/block.h"
#include "worker/devices/net.h"
#include "worker/loop.h"

/* Where a back end lives; kept by the caller until the last one is closed. */
struct backend_host {
	struct loop *loop;
	void (*lock)(void *ctx); /* the platform lock, see worker/device.h */
	void (*unlock)(void *ctx);
	void *ctx;
};

static inline void backend_lock(const struct backend_host *host)
{
	host->lock(host->ctx);
}

static inline void backend_unlock(const struct backend_host *host)
{
	host->unlock(host->ctx);
}

/* A raw image in a file, or a block device. */
struct block_file_config {
	const char *path;
	bool readonly; /* a shared lock instead of an exclusive one */
	bool raw;      /* the user has said so: no look at what the first bytes resemble */
	bool no_uring; /* threads even where the host has io_uring */
};

int block_file_open(const struct backend_host *host, const struct block_file_config *cfg,
		    struct block **blk);

/*
 * An export of an NBD server. When the server goes away requests wait until it is back and are sent again, each for
 * at most wait_ms after its submission; then they end in -EIO. So does a request that the server does not answer.
 */
#define BLOCK_NBD_WAIT_MS 20000u

struct block_nbd_config {
	const char
		*uri; /* nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH, ... (libnbd's) */
	bool readonly;
	unsigned int wait_ms; /* 0: BLOCK_NBD_WAIT_MS */
};

int block_nbd_open(const struct backend_host *host, const struct block_nbd_config *cfg,
		   struct block **blk);

/* Forward connections from the host to the guest (user networking). */
struct net_forward {
	bool udp;
	uint32_t host_addr; /* IPv4, network byte order; 0: all addresses */
	uint16_t host_port;
	uint32_t guest_addr; /* 0: the first address that DHCP gives */
	uint16_t guest_port;
};

#define NET_FORWARDS_MAX 16

/* A network inside this process that reaches the world through this user's sockets (libslirp). */
struct net_user_config {
	const struct net_forward *forward;
	unsigned int forwards;
};

int net_user_open(const struct backend_host *host, const struct net_user_config *cfg,
		  struct net **net);

/* A drive's place for a medium, with none in it. */
int block_none_open(struct block **blk);

/* A tap interface of the host; made if it does not exist, with @ifname "" under a name that the kernel gives. */
int net_tap_open(const struct backend_host *host, const char *ifname, struct net **net);

/* A socket with no cable in it. */
int net_none_open(struct net **net);

#endif
