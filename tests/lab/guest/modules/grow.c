// SPDX-License-Identifier: GPL-2.0-only
/*
 * Adds memory to the running system, as a DIMM that is plugged in does. The machine has it, but was booted with mem=.
 *
 *	start, size	physical addresses; whole blocks of /sys/devices/system/memory
 */
#include <linux/memory_hotplug.h>
#include <linux/module.h>
#include <linux/sizes.h>

static ulong start;
module_param(start, ulong, 0444);
static ulong size = SZ_128M;
module_param(size, ulong, 0444);

static int __init grow_init(void)
{
	return add_memory(0, start, size, MHP_NONE);
}

/* What was added stays. */
static void __exit grow_exit(void)
{
}

module_init(grow_init);
module_exit(grow_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("plugs memory in, for tests");
