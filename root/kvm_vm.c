// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual machine: its file, its life and the ioctls that concern it as a whole.
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include <asm/msr.h>

#include "kvm.h"

#define X2APIC_API_FLAGS (KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

/* ---- all of them ---- */

static LIST_HEAD(vms);
static DEFINE_SPINLOCK(vms_lock); /* a leaf */

static void get_owner(const struct pvm *vm, struct plinth_owner *owner)
{
	struct task_struct *task = get_pid_task(vm->owner, PIDTYPE_TGID);

	*owner = (struct plinth_owner){ .name = "?" };
	if (!task)
		return;
	owner->pid = pid_vnr(vm->owner);
	get_task_comm(owner->name, task);
	put_task_struct(task);
}

void plinth_child_owner(u32 id, struct plinth_owner *owner)
{
	struct pvm *vm;

	*owner = (struct plinth_owner){ .name = "?" };
	spin_lock(&vms_lock);
	list_for_each_entry (vm, &vms, list) {
		if (vm->id == id)
			get_owner(vm, owner);
	}
	spin_unlock(&vms_lock);
}

void plinth_list_children(char *buf, size_t size)
{
	static const char more[] = ", ...";
	struct plinth_owner owner;
	const struct pvm *vm;
	size_t len = 0, n;
	char one[48];

	*buf = 0;
	spin_lock(&vms_lock);
	list_for_each_entry (vm, &vms, list) {
		get_owner(vm, &owner);
		n = scnprintf(one, sizeof(one), "%s%s (process %d)", len ? ", " : "", owner.name,
			      owner.pid);
		/* After each there is still room for `more`. */
		if (len + n + sizeof(more) > size) {
			strcpy(buf + len, more);
			break;
		}
		strcpy(buf + len, one);
		len += n;
	}
	spin_unlock(&vms_lock);
}

/* ---- life ---- */

static int create_in_core(struct pvm *vm)
{
	s64 r;

	do {
		r = plinth_hypercall(PLINTH_HC_VM_CREATE, 0, 0, 0, 0, 0);
		if (r >= 0) {
			vm->id = r;
			return 0;
		}
		/* The core has no room for more children: for KVM that is a lack of memory. */
		if (r == -ENOSPC)
			return -ENOMEM;
		if (r == -ENOMEM && plinth_donate())
			return -ENOMEM;
	} while (r == -ENOMEM);
	return r;
}

static struct pvm *pvm_create(void)
{
	struct pvm *vm;
	int r;

	r = plinth_get();
	if (r)
		return ERR_PTR(r);
	r = -ENOMEM;
	vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		goto put_core;
	refcount_set(&vm->refs, 1);
	mutex_init(&vm->lock);
	vm->next_index = 1;
	pclock_init(vm);
	vm->mm = current->mm;
	mmgrab(vm->mm);
	vm->owner = get_task_pid(current, PIDTYPE_TGID);
	r = pirq_init(vm);
	if (r)
		goto drop_mm;
	r = create_in_core(vm);
	if (r)
		goto free_irq;
	/* Last, because the notifier calls from here on. */
	r = pmem_init(vm);
	if (r)
		goto destroy;
	spin_lock(&vms_lock);
	list_add_tail(&vm->list, &vms);
	spin_unlock(&vms_lock);
	return vm;

destroy:
	plinth_hypercall(PLINTH_HC_VM_DESTROY, vm->id, 0, 0, 0, 0);
free_irq:
	pirq_free(vm);
drop_mm:
	put_pid(vm->owner);
	mmdrop(vm->mm);
	kvfree(vm);
put_core:
	plinth_put();
	return ERR_PTR(r);
}

static void pvm_destroy(struct pvm *vm)
{
	u32 i;
	s64 r;

	spin_lock(&vms_lock);
	list_del(&vm->list);
	spin_unlock(&vms_lock);
	pmem_quiesce(vm);
	r = plinth_hypercall(PLINTH_HC_VM_DESTROY, vm->id, 0, 0, 0, 0);
	WARN(r, "plinth: the core keeps VM %u: %lld\n", vm->id, r);
	plinth_reclaim();
	for (i = 0; i < PLINTH_MAX_VPS_PER_VM; i++) {
		if (vm->vcpus[i])
			pvcpu_free(vm->vcpus[i]);
	}
	pmem_free(vm);
	pioev_free(vm);
	pirq_free(vm);
	put_pid(vm->owner);
	mmdrop(vm->mm);
	kvfree(vm);
	plinth_put();
}

void pvm_get(struct pvm *vm)
{
	refcount_inc(&vm->refs);
}

void pvm_put(struct pvm *vm)
{
	if (refcount_dec_and_test(&vm->refs))
		pvm_destroy(vm);
}

void pvm_wake(struct pvm *vm, u64 mask)
{
	while (mask) {
		u32 i = __ffs64(mask);
		struct pvcpu *v = READ_ONCE(vm->vcpus[i]);

		mask &= mask - 1;
		if (v)
			prun_wake(v);
	}
}

/* ---- capabilities ---- */

long pvm_check_extension(struct pvm *vm, unsigned long cap)
{
	switch (cap) {
	/*
	 * QEMU looks for this one before it asks for KVM_CAP_SPLIT_IRQCHIP. Only the split controller is offered:
	 * KVM_CREATE_IRQCHIP fails.
	 */
	case KVM_CAP_IRQCHIP:
	case KVM_CAP_HLT:
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_SET_TSS_ADDR:
	case KVM_CAP_EXT_CPUID:
	case KVM_CAP_MP_STATE:
	case KVM_CAP_SYNC_MMU:
	case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
	case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
	case KVM_CAP_USER_NMI:
	case KVM_CAP_INTERNAL_ERROR_DATA:
	case KVM_CAP_IRQFD:
	case KVM_CAP_IOEVENTFD:
	case KVM_CAP_IOEVENTFD_NO_LENGTH:
	case KVM_CAP_IOEVENTFD_ANY_LENGTH:
	case KVM_CAP_SIGNAL_MSI:
	case KVM_CAP_SET_IDENTITY_MAP_ADDR:
	case KVM_CAP_VCPU_EVENTS:
	case KVM_CAP_DEBUGREGS:
	case KVM_CAP_SET_GUEST_DEBUG:
	case KVM_CAP_XSAVE:
	case KVM_CAP_GET_TSC_KHZ:
	case KVM_CAP_TSC_DEADLINE_TIMER:
	case KVM_CAP_READONLY_MEM:
	case KVM_CAP_SET_BOOT_CPU_ID:
	case KVM_CAP_SPLIT_IRQCHIP:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_CHECK_EXTENSION_VM:
	case KVM_CAP_ENABLE_CAP:
	case KVM_CAP_ENABLE_CAP_VM:
	case KVM_CAP_GET_MSR_FEATURES:
	case KVM_CAP_SREGS2:
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
	case KVM_CAP_KVMCLOCK_CTRL:
		return 1;
	case KVM_CAP_XCRS:
		return boot_cpu_has(X86_FEATURE_XSAVE);
	case KVM_CAP_MCE:
		return PLINTH_MCE_BANKS;
	case KVM_CAP_ADJUST_CLOCK:
		return PCLOCK_FLAGS;
	case KVM_CAP_X2APIC_API:
		return X2APIC_API_FLAGS;
	case KVM_CAP_IRQ_ROUTING:
		return PVM_MAX_ROUTES;
	case KVM_CAP_NR_MEMSLOTS:
		return PVM_MAX_SLOTS;
	case KVM_CAP_NR_VCPUS:
		return min_t(u32, num_online_cpus(), PLINTH_MAX_VPS_PER_VM);
	case KVM_CAP_MAX_VCPUS:
		return PLINTH_MAX_VPS_PER_VM;
	case KVM_CAP_MAX_VCPU_ID:
		return PVM_MAX_VCPU_ID;
	case KVM_CAP_XSAVE2:
		return pstate_xsave_size();
	default:
		return 0;
	}
}

static int enable_cap(struct pvm *vm, const struct kvm_enable_cap *cap)
{
	int r = -EINVAL;

	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		mutex_lock(&vm->lock);
		r = pirq_enable_split(vm, cap->args[0]);
		mutex_unlock(&vm->lock);
		break;
	case KVM_CAP_X2APIC_API:
		if (cap->args[0] & ~(u64)X2APIC_API_FLAGS)
			break;
		if (cap->args[0] & KVM_X2APIC_API_USE_32BIT_IDS)
			vm->x2apic_format = true;
		if (cap->args[0] & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
			vm->no_broadcast8 = true;
		r = 0;
		break;
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
		/* What can't be emulated always goes to the user. */
		r = cap->args[0] & ~1ull ? -EINVAL : 0;
		break;
	}
	return r;
}

/* ---- small ioctls ---- */

static int set_boot_cpu_id(struct pvm *vm, unsigned long id)
{
	int r = 0;

	mutex_lock(&vm->lock);
	if (vm->created_vcpus)
		r = -EBUSY;
	else
		vm->bsp_id = id;
	mutex_unlock(&vm->lock);
	return r;
}

/* Real mode runs on the hardware, so the page is not needed; only the argument is checked. */
static int set_identity_map(struct pvm *vm, const void __user *argp)
{
	u64 addr;
	int r = 0;

	mutex_lock(&vm->lock);
	if (vm->created_vcpus)
		r = -EINVAL;
	else if (copy_from_user(&addr, argp, sizeof(addr)))
		r = -EFAULT;
	mutex_unlock(&vm->lock);
	return r;
}

/* ---- the file ---- */

/* Copy an ioctl's argument in and call `fn` with it. */
#define WITH_ARG(type, fn)                                                                         \
	({                                                                                         \
		type arg_;                                                                         \
		copy_from_user(&arg_, argp, sizeof(arg_)) ? -EFAULT : fn(vm, &arg_);               \
	})

static long pvm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct pvm *vm = file->private_data;
	void __user *argp = (void __user *)arg;

	/* After a fork or an exec the memory that the child runs on isn't the caller's. */
	if (vm->mm != current->mm)
		return -EIO;
	switch (cmd) {
	case KVM_CREATE_VCPU:
		return pvcpu_create_fd(vm, arg);
	case KVM_CHECK_EXTENSION:
		return pvm_check_extension(vm, arg);
	case KVM_ENABLE_CAP:
		return WITH_ARG(struct kvm_enable_cap, enable_cap);
	case KVM_SET_USER_MEMORY_REGION:
		return WITH_ARG(struct kvm_userspace_memory_region, pmem_set_region);
	case KVM_GET_DIRTY_LOG:
		return WITH_ARG(struct kvm_dirty_log, pmem_get_dirty_log);
	case KVM_CLEAR_DIRTY_LOG:
		return WITH_ARG(struct kvm_clear_dirty_log, pmem_clear_dirty_log);
	case KVM_SET_GSI_ROUTING:
		return pirq_set_routing(vm, argp);
	case KVM_SIGNAL_MSI:
		return WITH_ARG(struct kvm_msi, pirq_signal_msi);
	case KVM_IRQ_LINE:
		return WITH_ARG(struct kvm_irq_level, pirq_line);
	case KVM_IRQFD:
		return WITH_ARG(struct kvm_irqfd, pirq_irqfd);
	case KVM_IOEVENTFD:
		return WITH_ARG(struct kvm_ioeventfd, pioev_ioctl);
	case KVM_SET_TSS_ADDR:
		return arg > (unsigned int)(-3 * PAGE_SIZE) ? -EINVAL : 0;
	case KVM_SET_IDENTITY_MAP_ADDR:
		return set_identity_map(vm, argp);
	case KVM_SET_BOOT_CPU_ID:
		return set_boot_cpu_id(vm, arg);
	case KVM_GET_CLOCK:
		return pclock_get(vm, argp);
	case KVM_SET_CLOCK:
		return WITH_ARG(struct kvm_clock_data, pclock_set);
	case KVM_SET_TSC_KHZ:
		return arg && arg != plinth_tsc_khz() ? -EINVAL : 0;
	case KVM_GET_TSC_KHZ:
		return plinth_tsc_khz();
	default:
		return -ENOTTY;
	}
}

static int pvm_release(struct inode *inode, struct file *file)
{
	struct pvm *vm = file->private_data;

	pirq_release(vm);
	pvm_put(vm);
	return 0;
}

static const struct file_operations pvm_fops = {
	.owner = THIS_MODULE,
	.release = pvm_release,
	.unlocked_ioctl = pvm_ioctl,
	.llseek = noop_llseek,
};

int pvm_create_fd(void)
{
	struct pvm *vm = pvm_create();
	int fd;

	if (IS_ERR(vm))
		return PTR_ERR(vm);
	fd = anon_inode_getfd("kvm-vm", &pvm_fops, vm, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		pvm_put(vm);
	return fd;
}
