// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets the kernel finish what it has put off, before a test counts objects.
 *
 *	now	write 1: returns when everything has been freed whose freeing waited for RCU
 */
#include <linux/module.h>
#include <linux/rcupdate.h>

static int now_set(const char *val, const struct kernel_param *kp)
{
	rcu_barrier();
	return 0;
}

static const struct kernel_param_ops now_ops = { .set = now_set };
module_param_cb(now, &now_ops, NULL, 0200);

MODULE_LICENSE("GPL v2");
