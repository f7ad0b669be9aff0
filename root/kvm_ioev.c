// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_IOEVENTFD: writes of a child that only signal an eventfd and don't reach the user.
 */
#include <linux/eventfd.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include <asm/unaligned.h>

#include "kvm.h"

/* On pvm.ioevs; changed under slots_lock, read under pvm.srcu. */
struct pioev {
	struct list_head list;
	struct eventfd_ctx *ctx;
	u64 addr;
	u64 datamatch;
	u32 len; /* 0: of any length */
	bool pio;
	bool wildcard; /* no datamatch */
};

static bool is_hit(const struct pioev *e, bool pio, u64 addr, u32 size, const void *data)
{
	if (e->pio != pio || e->addr != addr)
		return false;
	if (!e->len)
		return true;
	if (e->len != size)
		return false;
	if (e->wildcard)
		return true;
	switch (size) {
	case 1:
		return *(const u8 *)data == e->datamatch;
	case 2:
		return get_unaligned((const u16 *)data) == e->datamatch;
	case 4:
		return get_unaligned((const u32 *)data) == e->datamatch;
	case 8:
		return get_unaligned((const u64 *)data) == e->datamatch;
	default:
		return false;
	}
}

bool pioev_write(struct pvm *vm, bool pio, u64 addr, u32 size, const void *data)
{
	struct pioev *e;
	bool hit = false;
	int idx;

	if (!READ_ONCE(vm->nr_ioevs))
		return false;
	idx = srcu_read_lock(&vm->srcu);
	list_for_each_entry_srcu(e, &vm->ioevs, list, srcu_read_lock_held(&vm->srcu))
	{
		if (is_hit(e, pio, addr, size, data)) {
			eventfd_signal(e->ctx, 1);
			hit = true;
			break;
		}
	}
	srcu_read_unlock(&vm->srcu, idx);
	return hit;
}

/* Could one write hit both? */
static bool collides(const struct pioev *a, const struct pioev *b)
{
	if (a->pio != b->pio || a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (a->wildcard || b->wildcard || a->datamatch == b->datamatch);
}

static bool same(const struct pioev *a, const struct pioev *b)
{
	return a->pio == b->pio && a->addr == b->addr && a->len == b->len && a->ctx == b->ctx &&
	       a->wildcard == b->wildcard && (a->wildcard || a->datamatch == b->datamatch);
}

static int add(struct pvm *vm, struct pioev *e)
{
	struct pioev *other;

	list_for_each_entry (other, &vm->ioevs, list) {
		if (collides(other, e))
			return -EEXIST;
	}
	if (vm->nr_ioevs == PVM_MAX_IOEV)
		return -ENOSPC;
	list_add_tail_rcu(&e->list, &vm->ioevs);
	WRITE_ONCE(vm->nr_ioevs, vm->nr_ioevs + 1);
	return 0;
}

static int assign(struct pvm *vm, const struct pioev *template)
{
	struct pioev *e = kmemdup(template, sizeof(*template), GFP_KERNEL_ACCOUNT);
	int r;

	if (!e)
		return -ENOMEM;
	mutex_lock(&vm->slots_lock);
	r = add(vm, e);
	mutex_unlock(&vm->slots_lock);
	if (r)
		kfree(e);
	return r;
}

static void discard(struct pioev *e)
{
	eventfd_ctx_put(e->ctx);
	kfree(e);
}

static int deassign(struct pvm *vm, const struct pioev *template)
{
	struct pioev *e, *found = NULL;

	mutex_lock(&vm->slots_lock);
	list_for_each_entry (e, &vm->ioevs, list) {
		if (same(e, template)) {
			found = e;
			list_del_rcu(&e->list);
			WRITE_ONCE(vm->nr_ioevs, vm->nr_ioevs - 1);
			break;
		}
	}
	mutex_unlock(&vm->slots_lock);
	if (!found)
		return -ENOENT;
	synchronize_srcu_expedited(&vm->srcu);
	discard(found);
	return 0;
}

static int check(const struct kvm_ioeventfd *args)
{
	switch (args->len) {
	case 0:
	case 1:
	case 2:
	case 4:
	case 8:
		break;
	default:
		return -EINVAL;
	}
	if (args->addr + args->len < args->addr)
		return -EINVAL;
	if (args->flags &
	    ~(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN))
		return -EINVAL;
	if (!args->len && args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
		return -EINVAL;
	return 0;
}

int pioev_ioctl(struct pvm *vm, const struct kvm_ioeventfd *args)
{
	bool remove = args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	struct pioev e = {
		.addr = args->addr,
		.len = args->len,
		.datamatch = args->datamatch,
		.pio = args->flags & KVM_IOEVENTFD_FLAG_PIO,
		.wildcard = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
	};
	int r;

	/* KVM looks at the arguments only when it adds; what doesn't exist can't be removed anyway. */
	r = remove ? 0 : check(args);
	if (r)
		return r;
	e.ctx = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(e.ctx))
		return PTR_ERR(e.ctx);
	r = remove ? deassign(vm, &e) : assign(vm, &e);
	/* What was added keeps the reference. */
	if (remove || r)
		eventfd_ctx_put(e.ctx);
	return r;
}

/* No processor and no file of the VM is left. */
void pioev_free(struct pvm *vm)
{
	struct pioev *e, *next;

	list_for_each_entry_safe (e, next, &vm->ioevs, list)
		discard(e);
}
