// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual processor: its file, its mmap and its life. It belongs to the VM until that goes, as the core's half does.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kvm.h"

#define SHARED_ORDER get_order(PLINTH_VP_SHARED_PAGES *PAGE_SIZE)

/* ---- ioctls that aren't mere state ---- */

static int set_sigmask(struct pvcpu *v, struct kvm_signal_mask __user *argp)
{
	struct kvm_signal_mask mask;
	sigset_t set;

	if (!argp) {
		v->sigmask_set = false;
		return 0;
	}
	if (copy_from_user(&mask, argp, sizeof(mask)))
		return -EFAULT;
	if (mask.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, argp->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	v->sigmask = set;
	v->sigmask_set = true;
	return 0;
}

static int interrupt(struct pvcpu *v, struct kvm_interrupt __user *argp)
{
	struct kvm_interrupt irq;

	if (copy_from_user(&irq, argp, sizeof(irq)))
		return -EFAULT;
	if (irq.irq > 255)
		return -EINVAL;
	if (v->vm->split_irqchip && (v->extint_pending || v->shared->run.extint_waits))
		return -EEXIST;
	v->extint_pending = true;
	v->extint_vector = irq.irq;
	return 0;
}

static int nmi(struct pvcpu *v)
{
	s64 r = plinth_hypercall(PLINTH_HC_VP_NMI, v->vm->id, v->index, 0, 0, 0);

	if (r > 0)
		prun_wake(v);
	return r < 0 ? r : 0;
}

/* The TSC runs at the machine's rate; half a per mille is what NTP corrects anyway. */
static int set_tsc_khz(u32 khz)
{
	u32 host = plinth_tsc_khz();

	if (!khz || abs((s64)khz - host) <= host / 2000)
		return 0;
	return -EINVAL;
}

static long vcpu_ioctl_locked(struct pvcpu *v, unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;
	long r;

	switch (cmd) {
	case KVM_RUN:
		return arg ? -EINVAL : prun(v);
	case KVM_SET_SIGNAL_MASK:
		return set_sigmask(v, argp);
	case KVM_INTERRUPT:
		return interrupt(v, argp);
	case KVM_KVMCLOCK_CTRL:
		return pclock_stopped(v);
	case KVM_NMI:
		return nmi(v);
	case KVM_SET_TSC_KHZ:
		return set_tsc_khz(arg);
	case KVM_GET_TSC_KHZ:
		return plinth_tsc_khz();
	default:
		r = pstate_ioctl(v, cmd, argp);
		return r == -ENOTTY ? -EINVAL : r;
	}
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct pvcpu *v = file->private_data;
	long r;

	if (v->vm->mm != current->mm)
		return -EIO;
	if (_IOC_TYPE(cmd) != KVMIO)
		return -EINVAL;
	if (mutex_lock_killable(&v->mutex))
		return -EINTR;
	r = vcpu_ioctl_locked(v, cmd, arg);
	mutex_unlock(&v->mutex);
	return r;
}

/* ---- mmap ---- */

static vm_fault_t vcpu_fault(struct vm_fault *vmf)
{
	struct pvcpu *v = vmf->vma->vm_file->private_data;

	if (vmf->pgoff == PVCPU_RUN_PAGE)
		vmf->page = virt_to_page(v->run);
	else if (vmf->pgoff == PVCPU_PIO_PAGE)
		vmf->page = virt_to_page(v->pio);
	else
		return VM_FAULT_SIGBUS;
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

/* ---- life ---- */

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct pvcpu *v = file->private_data;

	if (v)
		pvm_put(v->vm);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

void pvcpu_free(struct pvcpu *v)
{
	hrtimer_cancel(&v->timer);
	free_pages((unsigned long)v->shared, SHARED_ORDER);
	free_page((unsigned long)v->pio);
	free_page((unsigned long)v->run);
	kvfree(v->cpuid);
	kfree(v);
}

static struct pvcpu *vcpu_alloc(struct pvm *vm, u32 id)
{
	struct pvcpu *v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);

	BUILD_BUG_ON(sizeof(struct kvm_run) > PAGE_SIZE);
	BUILD_BUG_ON(sizeof(struct plinth_vp_shared) > PLINTH_VP_SHARED_PAGES * PAGE_SIZE);
	if (!v)
		return NULL;
	v->vm = vm;
	v->id = id;
	mutex_init(&v->mutex);
	prun_vcpu_init(v);
	v->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	v->pio = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	v->shared = (void *)__get_free_pages(GFP_KERNEL_ACCOUNT | __GFP_ZERO, SHARED_ORDER);
	if (!v->run || !v->pio || !v->shared) {
		pvcpu_free(v);
		return NULL;
	}
	return v;
}

/* The bootstrap processor has index 0 in the core, whenever it is made. */
static int choose_index(struct pvm *vm, u32 id)
{
	u32 i;

	for (i = 0; i < PLINTH_MAX_VPS_PER_VM; i++) {
		if (vm->vcpus[i] && vm->vcpus[i]->id == id)
			return -EEXIST;
	}
	if (id == vm->bsp_id)
		return 0;
	return vm->next_index < PLINTH_MAX_VPS_PER_VM ? vm->next_index : -EINVAL;
}

static int create_in_core(struct pvcpu *v)
{
	struct pvm *vm = v->vm;
	s64 r;

	do {
		r = plinth_hypercall(PLINTH_HC_VP_CREATE, vm->id, v->index, v->id,
				     virt_to_phys(v->shared), 0);
		if (r == -ENOMEM && plinth_donate())
			return -ENOMEM;
	} while (r == -ENOMEM);
	return r;
}

/* The core has the processor: from here on it is the VM's. vm->lock held. */
static void adopt(struct pvm *vm, struct pvcpu *v)
{
	if (v->index)
		vm->next_index++;
	vm->created_vcpus++;
	WRITE_ONCE(vm->vcpus[v->index], v);
}

static int create_locked(struct pvm *vm, u32 id)
{
	struct pvcpu *v;
	struct file *file;
	char name[24];
	int r, fd;

	if (vm->created_vcpus == PLINTH_MAX_VPS_PER_VM)
		return -EINVAL;
	r = choose_index(vm, id);
	if (r < 0)
		return r;
	v = vcpu_alloc(vm, id);
	if (!v)
		return -ENOMEM;
	v->index = r;

	/* The file before the core's half, because only the latter can't be taken back alone. */
	fd = get_unused_fd_flags(O_CLOEXEC);
	r = fd;
	if (fd < 0)
		goto free;
	snprintf(name, sizeof(name), "kvm-vcpu:%u", id);
	file = anon_inode_getfile(name, &vcpu_fops, NULL, O_RDWR);
	r = PTR_ERR_OR_ZERO(file);
	if (r)
		goto put_fd;
	r = create_in_core(v);
	if (r)
		goto put_file;
	adopt(vm, v);
	if (!vm->split_irqchip) {
		r = pstate_without_apic(v);
		if (r) {
			v = NULL;
			goto put_file;
		}
	}
	pvm_get(vm);
	file->private_data = v;
	fd_install(fd, file);
	return fd;

put_file:
	fput(file);
put_fd:
	put_unused_fd(fd);
free:
	if (v)
		pvcpu_free(v);
	return r;
}

int pvcpu_create_fd(struct pvm *vm, unsigned long id)
{
	int r;

	if (id >= PVM_MAX_VCPU_ID)
		return -EINVAL;
	mutex_lock(&vm->lock);
	r = create_locked(vm, id);
	mutex_unlock(&vm->lock);
	return r;
}
