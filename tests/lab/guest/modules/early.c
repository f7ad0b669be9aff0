// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a processor that comes online in the core already when the first code of its own kernel thread runs? Loaded before
 * plinth.ko, whose own look at new processors then comes later.
 *
 *	inside, outside	how many processors came online so, and otherwise
 */
#include <linux/cpuhotplug.h>
#include <linux/module.h>
#include <asm/processor.h>

static uint inside, outside;
module_param(inside, uint, 0444);
module_param(outside, uint, 0444);
static int state;

static int early_online(unsigned int cpu)
{
	u32 eax, ebx, ecx, edx;

	cpuid(0x40000000, &eax, &ebx, &ecx, &edx);
	if (ebx == 0x6e696c50 && ecx == 0x6c506874 && edx == 0x68746e69) /* "PlinthPlinth" */
		inside++;
	else
		outside++;
	return 0;
}

static int __init early_init(void)
{
	state = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "test:early", early_online, NULL);
	return min(state, 0);
}

static void __exit early_exit(void)
{
	cpuhp_remove_state_nocalls(state);
}

module_init(early_init);
module_exit(early_exit);
MODULE_LICENSE("GPL v2");
