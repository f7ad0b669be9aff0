// SPDX-License-Identifier: GPL-2.0-only
/* plinth.ko: the module and its device. */
#include <linux/capability.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/kvm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "hypercall.h"
#include "plinth.h"

static long read_log(struct plinth_log __user *arg)
{
	struct plinth_log l;
	void *page;
	long n;

	if (copy_from_user(&l, arg, sizeof(l)))
		return -EFAULT;
	page = (void *)__get_free_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	n = plinth_log_read(&l.position, page, min_t(u32, l.size, PAGE_SIZE - sizeof(u64)));
	if (n >= 0) {
		l.size = n;
		n = copy_to_user(u64_to_user_ptr(l.buffer), page, n) ||
				    copy_to_user(arg, &l, sizeof(l))
			    ? -EFAULT
			    : 0;
	}
	free_page((unsigned long)page);
	return n;
}

static long get_status(struct plinth_report __user *arg)
{
	struct plinth_report r;
	char *buf;
	int n;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	buf = kvmalloc(SZ_128K, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	n = plinth_report(buf, SZ_128K);
	if (n > 0 && n <= r.size && copy_to_user(u64_to_user_ptr(r.buffer), buf, n))
		n = -EFAULT;
	kvfree(buf);
	if (n < 0)
		return n;
	n = n > r.size ? (r.size = n, -ENOSPC) : (r.size = n, 0);
	return copy_to_user(arg, &r, sizeof(r)) ? -EFAULT : n;
}

static long get_cpu_state(struct plinth_get_state __user *arg)
{
	struct plinth_cpu_state *st;
	struct plinth_get_state g;
	long ret;

	if (copy_from_user(&g, arg, sizeof(g)))
		return -EFAULT;
	if (g.size != sizeof(*st))
		return -EINVAL;
	st = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, get_order(sizeof(*st)));
	if (!st)
		return -ENOMEM;
	ret = plinth_cpu_state(g.cpu, g.now, st);
	if (!ret && copy_to_user(u64_to_user_ptr(g.buffer), st, sizeof(*st)))
		ret = -EFAULT;
	free_pages((unsigned long)st, get_order(sizeof(*st)));
	return ret;
}

static long get_error(struct plinth_error __user *arg)
{
	struct plinth_error e;

	plinth_get_error(&e);
	return copy_to_user(arg, &e, sizeof(e)) ? -EFAULT : 0;
}

static long plinth_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (_IOC_TYPE(cmd) == KVMIO)
		return plinth_kvm_dev_ioctl(file, cmd, arg);
	switch (cmd) {
	case PLINTH_GET_STATUS:
		return get_status((void __user *)arg);
	case PLINTH_GET_ERROR:
		return get_error((void __user *)arg);
	}
	if (!capable(CAP_SYS_ADMIN))
		return plinth_fail(-EPERM, "only root may do that");
	switch (cmd) {
	case PLINTH_LAUNCH:
		return plinth_launch();
	case PLINTH_RETIRE:
		return plinth_retire();
	case PLINTH_READ_LOG:
		return read_log((void __user *)arg);
	case PLINTH_GET_CPU_STATE:
		return get_cpu_state((void __user *)arg);
	}
	return -ENOTTY;
}

static const struct file_operations plinth_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = plinth_ioctl,
	.llseek = noop_llseek,
};

/* Owned and permitted like /dev/kvm; udev gives it the group (65-plinth.rules). */
static struct miscdevice plinth_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "plinth",
	.fops = &plinth_fops,
	.mode = 0660,
};

struct device *plinth_device(void);
struct device *plinth_device(void)
{
	return plinth_misc.this_device;
}

static int __init plinth_init(void)
{
	int ret;

	ret = plinth_launch_init();
	if (ret)
		return ret;
	ret = plinth_kvm_init();
	if (ret)
		goto launch;
	ret = misc_register(&plinth_misc);
	if (ret)
		goto kvm;
	return 0;
kvm:
	plinth_kvm_exit();
launch:
	plinth_launch_exit();
	return ret;
}

static void __exit plinth_exit(void)
{
	misc_deregister(&plinth_misc);
	plinth_kvm_exit();
	plinth_launch_exit();
}

module_init(plinth_init);
module_exit(plinth_exit);
MODULE_LICENSE("GPL v2");
MODULE_DESCRIPTION("Plinth: a hypervisor launched under the running system");
MODULE_FIRMWARE("plinth/core.elf");
