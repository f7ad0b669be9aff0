// SPDX-License-Identifier: GPL-2.0-only
// Gets a kernel into the trouble that is asked for, to see that the lab tells of it. Loading it never succeeds.
#include <linux/bug.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/processor.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

static char *kind = "";
module_param(kind, charp, 0444);
MODULE_PARM_DESC(kind, "warn, oops, bug, gp, lockup or stall");

static void spin(void)
{
	for (;;)
		cpu_relax();
}

static int __init trouble_init(void)
{
	if (!strcmp(kind, "warn")) {
		WARN(1, "trouble was asked for\n");
	} else if (!strcmp(kind, "oops")) {
		*(volatile int *)8 = 0;
	} else if (!strcmp(kind, "bug")) {
		BUG();
	} else if (!strcmp(kind, "gp")) {
		*(volatile int *)0x1234567812345678 = 0;
	} else if (!strcmp(kind, "lockup")) {
		preempt_disable();
		spin();
	} else if (!strcmp(kind, "stall")) {
		rcu_read_lock();
		spin();
	}
	return -EINVAL;
}
module_init(trouble_init);

MODULE_DESCRIPTION("Kernel trouble on demand");
MODULE_LICENSE("GPL");
