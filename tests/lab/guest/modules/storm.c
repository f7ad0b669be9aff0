// SPDX-License-Identifier: GPL-2.0-only
/*
 * A storm of NMIs (L5). CPUs 2n and 2n + 1 are a pair that throws one NMI to and fro, each from the handler of
 * the one before: it goes on while the machine is stopped, and no CPU ever has two of them under way. So
 * every NMI has to be answered by exactly one: one that is lost ends its pair's storm, and one too many is nobody's,
 * which Linux reports ("Uhhuh").
 *
 *	running		write 1 to begin, 0 to end
 *	stats		"sent N answered N lost N excess N": lost is known once the storm has ended
 *	others		1: there are other NMIs besides. One that comes between the setting of a mark and the sending of its
 *			NMI answers the mark, and the NMI itself then finds none: what nobody has taken is counted
 *			as excess and not left to Linux.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <asm/apic.h>
#include <asm/nmi.h>

struct slot {
	atomic_t mark; /* 1: an NMI is to come */
	u64 sent, answered, excess;
};

static DEFINE_PER_CPU(struct slot, slots);
static bool running;
static bool others;
module_param(others, bool, 0644);
static unsigned int lost;

static void send_nmi(unsigned int cpu)
{
	u32 icr2;

	if (x2apic_enabled()) {
		apic->send_IPI(cpu, NMI_VECTOR);
		return;
	}
	/* The code that this NMI interrupts may be between its writes of the two halves. */
	while (apic_read(APIC_ICR) & APIC_ICR_BUSY)
		cpu_relax();
	icr2 = apic_read(APIC_ICR2);
	apic_write(APIC_ICR2, SET_XAPIC_DEST_FIELD(per_cpu(x86_cpu_to_apicid, cpu)));
	apic_write(APIC_ICR, APIC_DM_NMI | APIC_DEST_PHYSICAL);
	apic_write(APIC_ICR2, icr2);
}

static void throw(unsigned int cpu)
{
	struct slot *s = per_cpu_ptr(&slots, cpu);

	s->sent++;
	atomic_set(&s->mark, 1);
	send_nmi(cpu);
}

static int storm_nmi(unsigned int type, struct pt_regs *regs)
{
	unsigned int cpu = raw_smp_processor_id();
	struct slot *s = this_cpu_ptr(&slots);

	if (!atomic_xchg(&s->mark, 0))
		return NMI_DONE;
	s->answered++;
	if (READ_ONCE(running))
		throw(cpu ^ 1);
	return NMI_HANDLED;
}

/* An NMI that no handler has taken. */
static int storm_unknown(unsigned int type, struct pt_regs *regs)
{
	if (!others)
		return NMI_DONE;
	this_cpu_ptr(&slots)->excess++;
	return NMI_HANDLED;
}

static int begin(void)
{
	unsigned int cpu;

	for_each_online_cpu (cpu)
		if (!cpu_online(cpu ^ 1))
			return -EINVAL;
	WRITE_ONCE(running, true);
	for_each_online_cpu (cpu)
		if (cpu & 1)
			throw(cpu);
	return 0;
}

/* An NMI takes microseconds: after a second without an answer it is lost. */
static void end(void)
{
	unsigned int cpu, ms;

	WRITE_ONCE(running, false);
	for_each_online_cpu (cpu) {
		for (ms = 0; ms < 1000 && atomic_read(per_cpu_ptr(&slots.mark, cpu)); ms++)
			msleep(1);
		if (atomic_read(per_cpu_ptr(&slots.mark, cpu)))
			lost++;
	}
}

static int running_set(const char *val, const struct kernel_param *kp)
{
	bool on;
	int ret = kstrtobool(val, &on);

	if (ret || on == running)
		return ret;
	cpus_read_lock();
	if (on)
		ret = begin();
	else
		end();
	cpus_read_unlock();
	return ret;
}

static const struct kernel_param_ops running_ops = { .set = running_set, .get = param_get_bool };
module_param_cb(running, &running_ops, &running, 0644);

static int stats_get(char *buf, const struct kernel_param *kp)
{
	u64 sent = 0, answered = 0, excess = 0;
	unsigned int cpu;

	for_each_possible_cpu (cpu) {
		const struct slot *s = per_cpu_ptr(&slots, cpu);

		sent += s->sent;
		answered += s->answered;
		excess += s->excess;
	}
	return sprintf(buf, "sent %llu answered %llu lost %u excess %llu\n", sent, answered, lost,
		       excess);
}

static const struct kernel_param_ops stats_ops = { .get = stats_get };
module_param_cb(stats, &stats_ops, NULL, 0444);

static int __init storm_init(void)
{
	int ret = register_nmi_handler(NMI_LOCAL, storm_nmi, 0, "storm");

	if (ret)
		return ret;
	ret = register_nmi_handler(NMI_UNKNOWN, storm_unknown, 0, "storm");
	if (ret)
		unregister_nmi_handler(NMI_LOCAL, "storm");
	return ret;
}

static void __exit storm_exit(void)
{
	if (running)
		end();
	unregister_nmi_handler(NMI_UNKNOWN, "storm");
	unregister_nmi_handler(NMI_LOCAL, "storm");
}

module_init(storm_init);
module_exit(storm_exit);
MODULE_LICENSE("GPL v2");
