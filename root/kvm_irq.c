// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts into a child from outside: MSIs, GSI routes and irqfds. The local APICs are in the core;
 * with a split interrupt controller every route is an MSI.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "kvm.h"

/* MSI data, APM vol. 2 section 16.5. */
#define MSI_DATA_VECTOR 0xffu
#define MSI_DATA_LEVEL	BIT(15)

struct pirq_route {
	bool valid;
	u32 data;
	u64 address;
};

/* Indexed by GSI. Replaced as a whole; readers hold pvm.srcu. */
struct pirq_table {
	u32 nr;
	struct pirq_route route[];
};

/*
 * An eventfd that raises a GSI. On the list while active. Whoever takes it off the list queues
 * `shutdown`, which frees it: the eventfd's release (EPOLLHUP) and KVM_IRQFD's deassignment may meet.
 */
struct pirqfd {
	struct pvm *vm;
	u32 gsi;
	struct eventfd_ctx *ctx;
	wait_queue_entry_t wait;
	poll_table pt;
	struct list_head list;
	struct work_struct shutdown;
};

/*
 * Where the core writes which threads to wake: one for each CPU, used with interrupts off. The core
 * wants physical addresses, so neither the stack nor the module's own data will do.
 */
struct pirq_wake {
	struct plinth_wake wake;
} ____cacheline_aligned;
static struct pirq_wake *wakes;

static struct workqueue_struct *shutdown_wq;

/* ---- delivery ---- */

/* -> processors that took it; -EPERM (KVM's -1) if none could, negative errno. Any context. */
static int deliver(struct pvm *vm, u64 address, u32 data)
{
	struct plinth_wake *wake;
	unsigned long irqs;
	u64 mask, flags = 0;
	s64 r;

	if (vm->x2apic_format)
		flags |= PLINTH_MSI_IDS32;
	if (!vm->no_broadcast8)
		flags |= PLINTH_MSI_BCAST8;
	local_irq_save(irqs);
	wake = &wakes[smp_processor_id()].wake;
	wake->mask = 0;
	r = plinth_hypercall(PLINTH_HC_VM_MSI, vm->id, address, data, virt_to_phys(wake), flags);
	mask = READ_ONCE(wake->mask);
	local_irq_restore(irqs);
	if (mask)
		pvm_wake(vm, mask);
	return r;
}

static u64 msi_address(const struct pvm *vm, u32 lo, u32 hi)
{
	/* The high half extends the destination only for who has asked for it (KVM_CAP_X2APIC_API). */
	return vm->x2apic_format ? (u64)hi << 32 | lo : lo;
}

/* KVM's check of an MSI: bits 7:0 of the high half are reserved in the extended format. */
static bool msi_invalid(const struct pvm *vm, u32 hi)
{
	return vm->x2apic_format && (hi & 0xff);
}

static void deliver_gsi(struct pvm *vm, u32 gsi)
{
	struct pirq_route route = {};
	struct pirq_table *table;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	table = srcu_dereference(vm->routes, &vm->srcu);
	if (table && gsi < table->nr)
		route = table->route[gsi];
	if (route.valid)
		deliver(vm, route.address, route.data);
	srcu_read_unlock(&vm->srcu, idx);
}

int pirq_signal_msi(struct pvm *vm, const struct kvm_msi *msi)
{
	if (!vm->split_irqchip || msi->flags)
		return -EINVAL;
	if (msi_invalid(vm, msi->address_hi))
		return -EINVAL;
	return deliver(vm, msi_address(vm, msi->address_lo, msi->address_hi), msi->data);
}

int pirq_line(struct pvm *vm, const struct kvm_irq_level *line)
{
	if (!vm->split_irqchip)
		return -ENXIO;
	/* An MSI has no line that could be lowered. */
	if (line->level)
		deliver_gsi(vm, line->irq);
	return 0;
}

/* ---- routes ---- */

/*
 * The user's I/O APIC wants to see the EOI of every level-triggered vector that its pins are routed to; irq_lock
 * held.
 */
static int update_eoi_vectors(struct pvm *vm)
{
	const struct pirq_table *table =
		rcu_dereference_protected(vm->routes, lockdep_is_held(&vm->irq_lock));
	u32 gsi, nr = table ? min(table->nr, vm->ioapic_pins) : 0;
	DECLARE_BITMAP(vectors, 256) = {};
	unsigned int i;

	for (gsi = 0; gsi < nr; gsi++) {
		const struct pirq_route *r = &table->route[gsi];

		if (r->valid && r->data & MSI_DATA_LEVEL)
			__set_bit(r->data & MSI_DATA_VECTOR, vectors);
	}
	/* A vector that is wanted before and after is so in between: an EOI that went unseen would never come again. */
	for (i = 0; i < ARRAY_SIZE(vectors); i++)
		WRITE_ONCE(vm->eoi_vectors[i], vectors[i]);
	return plinth_hypercall(PLINTH_HC_VM_EOI_BITMAP, vm->id, virt_to_phys(vm->eoi_vectors), 0,
				0, 0);
}

static int set_route(struct pvm *vm, struct pirq_table *table,
		     const struct kvm_irq_routing_entry *e)
{
	struct pirq_route *r = &table->route[e->gsi];

	/* Routes to an interrupt controller in the kernel don't exist here. */
	if (e->type != KVM_IRQ_ROUTING_MSI || e->flags & ~KVM_MSI_VALID_DEVID)
		return -EINVAL;
	if (r->valid || msi_invalid(vm, e->u.msi.address_hi))
		return -EINVAL;
	r->valid = true;
	r->address = msi_address(vm, e->u.msi.address_lo, e->u.msi.address_hi);
	r->data = e->u.msi.data;
	return 0;
}

static struct pirq_table *make_table(struct pvm *vm, const struct kvm_irq_routing_entry *entries,
				     u32 nr)
{
	struct pirq_table *table;
	u32 i, size = 0;
	int r;

	for (i = 0; i < nr; i++) {
		if (entries[i].gsi >= PVM_MAX_ROUTES)
			return ERR_PTR(-EINVAL);
		size = max(size, entries[i].gsi + 1);
	}
	table = kvzalloc(struct_size(table, route, size), GFP_KERNEL_ACCOUNT);
	if (!table)
		return ERR_PTR(-ENOMEM);
	table->nr = size;
	for (i = 0; i < nr; i++) {
		r = set_route(vm, table, &entries[i]);
		if (r) {
			kvfree(table);
			return ERR_PTR(r);
		}
	}
	return table;
}

int pirq_set_routing(struct pvm *vm, struct kvm_irq_routing __user *argp)
{
	struct kvm_irq_routing_entry *entries = NULL;
	struct kvm_irq_routing routing;
	struct pirq_table *table;
	int r;

	if (copy_from_user(&routing, argp, sizeof(routing)))
		return -EFAULT;
	if (!vm->split_irqchip || routing.nr > PVM_MAX_ROUTES || routing.flags)
		return -EINVAL;
	if (routing.nr) {
		entries = vmemdup_user(argp->entries, array_size(sizeof(*entries), routing.nr));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	table = make_table(vm, entries, routing.nr);
	kvfree(entries);
	if (IS_ERR(table))
		return PTR_ERR(table);

	mutex_lock(&vm->irq_lock);
	table = rcu_replace_pointer(vm->routes, table, lockdep_is_held(&vm->irq_lock));
	r = update_eoi_vectors(vm);
	mutex_unlock(&vm->irq_lock);
	/* Nothing is delivered by the old routes any more when this returns. */
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(table);
	return r;
}

int pirq_enable_split(struct pvm *vm, u64 pins)
{
	if (pins > PVM_MAX_ROUTES)
		return -EINVAL;
	if (vm->split_irqchip || vm->created_vcpus)
		return -EEXIST;
	vm->ioapic_pins = pins;
	/* Pairs with nothing more than the ioctls' own ordering: it is set once, before any processor. */
	WRITE_ONCE(vm->split_irqchip, true);
	return 0;
}

/* ---- irqfd ---- */

static void irqfd_shutdown(struct work_struct *work)
{
	struct pirqfd *q = container_of(work, struct pirqfd, shutdown);
	u64 cnt;

	/* The assignment may still be under way. */
	synchronize_srcu(&q->vm->srcu);
	eventfd_ctx_remove_wait_queue(q->ctx, &q->wait, &cnt);
	eventfd_ctx_put(q->ctx);
	kfree(q);
}

/* irqfd_lock held. */
static void irqfd_deactivate(struct pirqfd *q)
{
	list_del_init(&q->list);
	queue_work(shutdown_wq, &q->shutdown);
}

/* Called with the eventfd's lock held and interrupts off. */
static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct pirqfd *q = container_of(wait, struct pirqfd, wait);
	__poll_t events = key_to_poll(key);
	unsigned long irqs;
	int ret = 0;
	u64 cnt;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(q->ctx, &cnt);
		deliver_gsi(q->vm, q->gsi);
		ret = 1;
	}
	if (events & EPOLLHUP) {
		spin_lock_irqsave(&q->vm->irqfd_lock, irqs);
		if (!list_empty(&q->list))
			irqfd_deactivate(q);
		spin_unlock_irqrestore(&q->vm->irqfd_lock, irqs);
	}
	return ret;
}

static void irqfd_queue(struct file *file, wait_queue_head_t *wqh, poll_table *pt)
{
	struct pirqfd *q = container_of(pt, struct pirqfd, pt);

	add_wait_queue_priority(wqh, &q->wait);
}

/* -EBUSY: the eventfd raises an interrupt already. */
static int irqfd_activate(struct pirqfd *q)
{
	struct pirqfd *other;
	int r = 0;

	spin_lock_irq(&q->vm->irqfd_lock);
	list_for_each_entry (other, &q->vm->irqfds, list) {
		if (other->ctx == q->ctx)
			r = -EBUSY;
	}
	if (!r)
		list_add_tail(&q->list, &q->vm->irqfds);
	spin_unlock_irq(&q->vm->irqfd_lock);
	return r;
}

static int irqfd_assign(struct pvm *vm, const struct kvm_irqfd *args)
{
	struct pirqfd *q;
	struct fd f;
	int r, idx;

	/* Resampling needs an I/O APIC in the kernel: stock KVM with a split one says so too. */
	if (!vm->split_irqchip || args->flags & KVM_IRQFD_FLAG_RESAMPLE)
		return -EINVAL;
	q = kzalloc(sizeof(*q), GFP_KERNEL_ACCOUNT);
	if (!q)
		return -ENOMEM;
	q->vm = vm;
	q->gsi = args->gsi;
	INIT_WORK(&q->shutdown, irqfd_shutdown);
	init_waitqueue_func_entry(&q->wait, irqfd_wakeup);
	init_poll_funcptr(&q->pt, irqfd_queue);

	f = fdget(args->fd);
	r = -EBADF;
	if (!f.file)
		goto free;
	q->ctx = eventfd_ctx_fileget(f.file);
	r = PTR_ERR_OR_ZERO(q->ctx);
	if (r)
		goto put_file;

	/* Until the wait queue is set up a deassignment has to wait. */
	idx = srcu_read_lock(&vm->srcu);
	r = irqfd_activate(q);
	if (r) {
		srcu_read_unlock(&vm->srcu, idx);
		goto put_ctx;
	}
	/* An event from before this moment counts too. */
	if (vfs_poll(f.file, &q->pt) & EPOLLIN)
		deliver_gsi(vm, args->gsi);
	srcu_read_unlock(&vm->srcu, idx);
	/* The file is held until here so that its release could not come too early. */
	fdput(f);
	return 0;

put_ctx:
	eventfd_ctx_put(q->ctx);
put_file:
	fdput(f);
free:
	kfree(q);
	return r;
}

static int irqfd_deassign(struct pvm *vm, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(args->fd);
	struct pirqfd *q, *next;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	spin_lock_irq(&vm->irqfd_lock);
	list_for_each_entry_safe (q, next, &vm->irqfds, list) {
		if (q->ctx == ctx && q->gsi == args->gsi)
			irqfd_deactivate(q);
	}
	spin_unlock_irq(&vm->irqfd_lock);
	eventfd_ctx_put(ctx);
	/* No interrupt comes from it once this returns. */
	flush_workqueue(shutdown_wq);
	return 0;
}

int pirq_irqfd(struct pvm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	return args->flags & KVM_IRQFD_FLAG_DEASSIGN ? irqfd_deassign(vm, args)
						     : irqfd_assign(vm, args);
}

/* ---- life ---- */

int pirq_init(struct pvm *vm)
{
	int r;

	mutex_init(&vm->irq_lock);
	spin_lock_init(&vm->irqfd_lock);
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->ioevs);
	vm->eoi_vectors = kzalloc(256 / 8, GFP_KERNEL_ACCOUNT);
	if (!vm->eoi_vectors)
		return -ENOMEM;
	r = init_srcu_struct(&vm->srcu);
	if (r)
		kfree(vm->eoi_vectors);
	return r;
}

void pirq_release(struct pvm *vm)
{
	struct pirqfd *q, *next;

	spin_lock_irq(&vm->irqfd_lock);
	list_for_each_entry_safe (q, next, &vm->irqfds, list)
		irqfd_deactivate(q);
	spin_unlock_irq(&vm->irqfd_lock);
	flush_workqueue(shutdown_wq);
}

void pirq_free(struct pvm *vm)
{
	kvfree(rcu_access_pointer(vm->routes));
	cleanup_srcu_struct(&vm->srcu);
	kfree(vm->eoi_vectors);
}

int pirq_module_init(void)
{
	wakes = kcalloc(nr_cpu_ids, sizeof(*wakes), GFP_KERNEL);
	if (!wakes)
		return -ENOMEM;
	shutdown_wq = alloc_workqueue("plinth-irqfd", 0, 0);
	if (!shutdown_wq) {
		kfree(wakes);
		return -ENOMEM;
	}
	return 0;
}

void pirq_module_exit(void)
{
	destroy_workqueue(shutdown_wq);
	kfree(wakes);
}
