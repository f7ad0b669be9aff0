// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes registers of every CPU as Linux itself does, for the tests of launch and retire (L2).
 *
 *	cr4	write 1 to set CR4.DE on every CPU, 0 to clear it
 *	watch	write 1 to watch a variable's writes with a hardware breakpoint on every CPU (DR0-3, DR7), 0 to end that
 *	touch	write anything: every CPU writes the variable once
 *	hits	how often the breakpoint was hit
 *	efer	write a mask: flip these bits of EFER on one CPU and back; read: whether that was refused, and what was left of them
 *	svme	write a CPU's number: as another hypervisor would, set EFER.SVME on it; -1: clear it again
 */
#include <linux/cpu.h>
#include <linux/hw_breakpoint.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/smp.h>
#include <asm/processor-flags.h>
#include <asm/tlbflush.h>

static unsigned long watched __aligned(8);
static atomic_t hit_count;
static struct perf_event *__percpu *watch_events;
static int svme_cpu = -1;
static int efer_refused;
static u64 efer_flipped;

static void cr4_here(void *on)
{
	cr4_update_irqsoff(on ? X86_CR4_DE : 0, on ? 0 : X86_CR4_DE);
}

static int cr4_set(const char *val, const struct kernel_param *kp)
{
	bool on;
	int ret = kstrtobool(val, &on);

	if (!ret)
		on_each_cpu(cr4_here, (void *)(unsigned long)on, 1);
	return ret;
}

static void hit(struct perf_event *event, struct perf_sample_data *data, struct pt_regs *regs)
{
	atomic_inc(&hit_count);
}

static void watch_end(void)
{
	if (watch_events)
		unregister_wide_hw_breakpoint(watch_events);
	watch_events = NULL;
}

static int watch_begin(void)
{
	struct perf_event *__percpu *events;
	struct perf_event_attr attr;

	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)&watched;
	attr.bp_len = HW_BREAKPOINT_LEN_8;
	attr.bp_type = HW_BREAKPOINT_W;
	events = register_wide_hw_breakpoint(&attr, hit, NULL);
	if (IS_ERR((void __force *)events))
		return PTR_ERR((void __force *)events);
	watch_events = events;
	return 0;
}

static int watch_set(const char *val, const struct kernel_param *kp)
{
	bool on;
	int ret = kstrtobool(val, &on);

	if (ret)
		return ret;
	watch_end();
	return on ? watch_begin() : 0;
}

static void touch_here(void *unused)
{
	WRITE_ONCE(watched, 1);
}

static int touch_set(const char *val, const struct kernel_param *kp)
{
	on_each_cpu(touch_here, NULL, 1);
	return 0;
}

static int hits_get(char *buf, const struct kernel_param *kp)
{
	return sprintf(buf, "%d\n", atomic_read(&hit_count));
}

static void svme_here(void *on)
{
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	wrmsrl(MSR_EFER, on ? efer | EFER_SVME : efer & ~(u64)EFER_SVME);
}

static int svme_set(const char *val, const struct kernel_param *kp)
{
	int cpu, ret = kstrtoint(val, 0, &cpu);

	if (ret)
		return ret;
	if (svme_cpu >= 0)
		smp_call_function_single(svme_cpu, svme_here, NULL, 1);
	svme_cpu = cpu;
	return cpu >= 0 ? smp_call_function_single(cpu, svme_here, (void *)1ul, 1) : 0;
}

static int efer_set(const char *val, const struct kernel_param *kp)
{
	u64 mask, old, now;
	int ret = kstrtou64(val, 0, &mask);

	if (ret)
		return ret;
	preempt_disable();
	rdmsrl(MSR_EFER, old);
	efer_refused = wrmsrl_safe(MSR_EFER, old ^ mask);
	rdmsrl(MSR_EFER, now);
	wrmsrl(MSR_EFER, old);
	preempt_enable();
	efer_flipped = (old ^ now) & mask;
	return 0;
}

static int efer_get(char *buf, const struct kernel_param *kp)
{
	return sprintf(buf, "%d %llx\n", efer_refused, efer_flipped);
}

static const struct kernel_param_ops efer_ops = { .set = efer_set, .get = efer_get };
module_param_cb(efer, &efer_ops, NULL, 0600);
static const struct kernel_param_ops cr4_ops = { .set = cr4_set };
module_param_cb(cr4, &cr4_ops, NULL, 0200);
static const struct kernel_param_ops watch_ops = { .set = watch_set };
module_param_cb(watch, &watch_ops, NULL, 0200);
static const struct kernel_param_ops touch_ops = { .set = touch_set };
module_param_cb(touch, &touch_ops, NULL, 0200);
static const struct kernel_param_ops hits_ops = { .get = hits_get };
module_param_cb(hits, &hits_ops, NULL, 0444);
static const struct kernel_param_ops svme_ops = { .set = svme_set };
module_param_cb(svme, &svme_ops, NULL, 0200);

static int __init regs_init(void)
{
	return 0;
}

static void __exit regs_exit(void)
{
	watch_end();
}

module_init(regs_init);
module_exit(regs_exit);
MODULE_LICENSE("GPL v2");
