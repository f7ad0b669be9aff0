// SPDX-License-Identifier: GPL-2.0-only
/*
 * The KVM uAPI on the device's own file: what the system can do, and making virtual machines.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/msr.h>

#include "kvm.h"

static int get_supported_cpuid(struct kvm_cpuid2 __user *argp)
{
	struct kvm_cpuid_entry2 *e;
	u32 nent;
	int n, r;

	if (get_user(nent, &argp->nent))
		return -EFAULT;
	n = pstate_supported_cpuid(&e);
	if (n < 0)
		return n;
	r = -E2BIG;
	if (nent < n)
		goto out;
	r = -EFAULT;
	if (copy_to_user(argp->entries, e, n * sizeof(*e)) || put_user(n, &argp->nent))
		goto out;
	r = 0;
out:
	pstate_free(e);
	return r;
}

static int get_msr_list(struct kvm_msr_list __user *argp, u32 item)
{
	u32 *list, room;
	int n, r;

	if (get_user(room, &argp->nmsrs))
		return -EFAULT;
	n = pstate_msr_list(item, &list);
	if (n < 0)
		return n;
	/* The number that is needed comes back in any case. */
	r = -EFAULT;
	if (put_user(n, &argp->nmsrs))
		goto out;
	r = -E2BIG;
	if (room < n)
		goto out;
	r = copy_to_user(argp->indices, list, n * sizeof(*list)) ? -EFAULT : 0;
out:
	pstate_free(list);
	return r;
}

static bool in_list(const u32 *list, int n, u32 index)
{
	int i;

	for (i = 0; i < n; i++) {
		if (list[i] == index)
			return true;
	}
	return false;
}

/* KVM_GET_MSRS of the system: feature MSRs, whose values are the machine's. -> how many could be read. */
static int get_feature_msrs(struct kvm_msrs __user *argp)
{
	struct kvm_msr_entry e;
	u32 *list, nmsrs, i;
	int n, r = 0;

	if (get_user(nmsrs, &argp->nmsrs))
		return -EFAULT;
	if (nmsrs >= 256)
		return -E2BIG;
	n = pstate_msr_list(PLINTH_ITEM_MSR_FEATURE_LIST, &list);
	if (n < 0)
		return n;
	for (i = 0; i < nmsrs; i++) {
		r = -EFAULT;
		if (copy_from_user(&e, &argp->entries[i], sizeof(e)))
			goto out;
		if (!in_list(list, n, e.index) || rdmsrl_safe(e.index, &e.data))
			break;
		if (copy_to_user(&argp->entries[i], &e, sizeof(e)))
			goto out;
	}
	r = i;
out:
	pstate_free(list);
	return r;
}

static int get_mce_cap(u64 __user *argp)
{
	return put_user((u64)PLINTH_MCE_CAP, argp);
}

long plinth_kvm_dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case KVM_GET_API_VERSION:
		return arg ? -EINVAL : KVM_API_VERSION;
	case KVM_CREATE_VM:
		return arg ? -EINVAL : pvm_create_fd();
	case KVM_CHECK_EXTENSION:
		return pvm_check_extension(NULL, arg);
	case KVM_GET_VCPU_MMAP_SIZE:
		return arg ? -EINVAL : PVCPU_MMAP_PAGES * PAGE_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		return get_supported_cpuid(argp);
	case KVM_GET_MSR_INDEX_LIST:
		return get_msr_list(argp, PLINTH_ITEM_MSR_LIST);
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		return get_msr_list(argp, PLINTH_ITEM_MSR_FEATURE_LIST);
	case KVM_GET_MSRS:
		return get_feature_msrs(argp);
	case KVM_X86_GET_MCE_CAP_SUPPORTED:
		return get_mce_cap(argp);
	default:
		return -EINVAL;
	}
}

int plinth_kvm_init(void)
{
	int r = prun_init();

	if (r)
		return r;
	r = pirq_module_init();
	if (r)
		prun_exit();
	return r;
}

void plinth_kvm_exit(void)
{
	pirq_module_exit();
	prun_exit();
}
