// SPDX-License-Identifier: GPL-2.0-only
/*
 * Launch and retire (L1, L5, L6, L9, L10): all CPUs at once, in phases, each of which every CPU must
 * pass before the next begins; an error on any CPU takes all of them back.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/highmem.h>
#include <linux/memory.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/namei.h>
#include <linux/nmi.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>
#include <linux/suspend.h>
#include <linux/vmalloc.h>
#include <asm/apic.h>
#include <asm/debugreg.h>
#include <asm/nmi.h>
#include <asm/processor.h>
#include <asm/svm.h>
#include <asm/tsc.h>

#include "core/x86/paging.h"
#include "hypercall.h"
#include "plinth.h"

#ifdef PLINTH_DEBUG
static int fault_cpu = -1;
module_param(fault_cpu, int, 0644);
MODULE_PARM_DESC(fault_cpu, "fault injection: CPU on which a phase of the launch fails");
static int fault_phase;
module_param(fault_phase, int, 0644);
MODULE_PARM_DESC(fault_phase, "fault injection: 0 capture, 1 temporary VM, 2 enter, 3 check");
static ulong fault_vm_cr;
module_param(fault_vm_cr, ulong, 0644);
MODULE_PARM_DESC(fault_vm_cr, "fault injection: bits that seem to be set in VM_CR");
static int fault_crash = -1;
static int crash_core(const char *val, const struct kernel_param *kp);
static const struct kernel_param_ops crash_ops = { .set = crash_core, .get = param_get_int };
module_param_cb(crash, &crash_ops, &fault_crash, 0644);
MODULE_PARM_DESC(crash, "a bug in the core, now: 0 an exception, 1 the end of the stack, "
			"2 + n an exception that strikes VM n");
#else
#define fault_cpu   -1
#define fault_phase 0
#define fault_vm_cr 0
#endif

/* The phases of a launch, in order. */
enum phase {
	PHASE_CAPTURE,
	PHASE_TEMP_VM,
	PHASE_ENTER,
	PHASE_CHECK,
	NR_PHASES
};

/*
 * Linux's words of CPU features that the core changes: SVM and SKINIT are withheld, leaf 8000_000A is
 * empty, and the hypervisor bit is set, so that a CPU that comes online under the core would lose them.
 */
static const u8 cap_words[] = { X86_FEATURE_SVM / 32, X86_FEATURE_NPT / 32,
				X86_FEATURE_HYPERVISOR / 32 };
#define NR_CAP_WORDS ARRAY_SIZE(cap_words)

struct cpu_launch {
	struct plinth_cpu_state *state; /* as captured; contiguous pages */
	struct plinth_entry entry;
	long result;	/* of the operation that ran in the NMI */
	bool in;	/* the core is under this CPU */
	bool nmi_armed; /* our NMI is to run `entry` */
	bool nmi_owed;	/* `entry` has run; if by another's NMI then ours is still to come */
	u32 caps[NR_CAP_WORDS]; /* CPU features withheld from Linux, by cap_words[] */
};

static struct {
	struct mutex lock; /* launch, retire, users */
	bool launched;
	unsigned int users;
	struct plinth_core core;
	struct cpu_launch cpu[PLINTH_MAX_CPUS];
	u32 boot_caps[NR_CAP_WORDS]; /* as struct cpu_launch.caps, of boot_cpu_data */
	struct plinth_boot *log;     /* of the last core: only its log is filled */
	struct plinth_error error;
	spinlock_t error_lock;
	enum cpuhp_state hotplug;

	/* The rendezvous under way. */
	struct {
		atomic_t arrived; /* CPUs that are through with it */
		atomic_t
			failed; /* its first error; a phase apart, as some CPUs are a phase ahead */
	} phase[NR_PHASES];
	int failed_cpu;
	u64 pause_start, pause_end;
} pl = {
	.lock = __MUTEX_INITIALIZER(pl.lock),
	.error_lock = __SPIN_LOCK_UNLOCKED(pl.error_lock),
};

/* ---- errors in words ---- */

int plinth_fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	spin_lock(&pl.error_lock);
	vsnprintf(pl.error.text, sizeof(pl.error.text), fmt, ap);
	spin_unlock(&pl.error_lock);
	va_end(ap);
	return err;
}

void plinth_get_error(struct plinth_error *e)
{
	spin_lock(&pl.error_lock);
	*e = pl.error;
	spin_unlock(&pl.error_lock);
}

/* ---- the core's log ---- */

void plinth_log_keep(const struct plinth_boot *boot)
{
	if (!pl.log)
		pl.log = kvzalloc(sizeof(*pl.log), GFP_KERNEL);
	if (!pl.log)
		return;
	memcpy(pl.log->log, boot->log, sizeof(boot->log));
	pl.log->log_position = boot->log_position;
}

static long log_read_kept(u64 *pos, u8 *page, u32 size)
{
	const struct plinth_boot *b = pl.log;
	long n = 0;

	if (!b)
		return -ENXIO;
	if (b->log_position > PLINTH_LOG_SIZE)
		*pos = max(*pos, b->log_position - PLINTH_LOG_SIZE);
	for (; n < size && *pos < b->log_position; n++, (*pos)++)
		page[n] = b->log[*pos % PLINTH_LOG_SIZE];
	return n;
}

long plinth_log_read(u64 *pos, void *page, u32 size)
{
	long n;

	mutex_lock(&pl.lock);
	if (!pl.launched) {
		n = log_read_kept(pos, page, size);
	} else {
		n = plinth_hypercall(PLINTH_HC_LOG, virt_to_phys(page), size + sizeof(*pos), *pos,
				     0, 0);
		if (n >= 0) {
			memcpy(pos, page, sizeof(*pos));
			memmove(page, page + sizeof(*pos), n);
		}
	}
	mutex_unlock(&pl.lock);
	return n;
}

/* ---- crossing on one CPU ---- */

static void fill_entry(struct cpu_launch *c, unsigned int cpu, u32 op)
{
	c->entry = (struct plinth_entry){
		.boot_pa = pl.core.boot_pa,
		.op = op,
		.cpu = cpu,
		.state_pa = virt_to_phys(c->state),
		.trans_cr3 = pl.core.trans_cr3,
	};
}

/*
 * No breakpoint may hit on the way: half-way there is no environment in which #DB could be handled. (Besides, QEMU
 * 7.2 loses track of breakpoints whose DR7 is written on the other side of a #VMEXIT.)
 */
static long call_core(struct cpu_launch *c)
{
	unsigned long dr7 = native_get_debugreg(7);
	long ret;

	native_set_debugreg(7, 0);
	ret = plinth_enter(&c->entry, pl.core.entry, c->state);
	native_set_debugreg(7, dr7);
	return ret;
}

/*
 * Run c->entry with NMIs blocked: we are in the handler of the NMI that the CPU sent itself (L5 a), or of one from
 * elsewhere that came just before; our own then finds its work done.
 */
static int launch_nmi(unsigned int type, struct pt_regs *regs)
{
	unsigned int cpu = raw_smp_processor_id();
	struct cpu_launch *c;

	if (cpu >= PLINTH_MAX_CPUS) /* no core is launched under such a machine */
		return NMI_DONE;
	c = &pl.cpu[cpu];
	if (!READ_ONCE(c->nmi_armed)) {
		if (!c->nmi_owed)
			return NMI_DONE;
		c->nmi_owed = false;
		return NMI_HANDLED;
	}
	c->nmi_owed = true;
	WRITE_ONCE(c->nmi_armed, false);
	if (c->entry.op == PLINTH_OP_ENTER)
		plinth_capture(c->state);
	c->result = call_core(c);
	return NMI_HANDLED;
}

static long cross(unsigned int cpu, u32 op)
{
	struct cpu_launch *c = &pl.cpu[cpu];

	fill_entry(c, cpu, op);
	if (pl.core.params->nmi_method == PLINTH_NMI_TAKE) {
		WRITE_ONCE(c->nmi_armed, true);
		apic->send_IPI(cpu, NMI_VECTOR);
		while (READ_ONCE(c->nmi_armed))
			cpu_relax();
		barrier();
		return c->result;
	}
	if (op == PLINTH_OP_ENTER)
		plinth_capture(c->state);
	return call_core(c);
}

static int leave(unsigned int cpu)
{
	struct cpu_launch *c = &pl.cpu[cpu];
	unsigned long dr7 = native_get_debugreg(7);
	long ret;

	native_set_debugreg(7, 0); /* see call_core() */
	ret = plinth_leave(virt_to_phys(c->state), pl.core.trans_cr3);
	native_set_debugreg(7, dr7);
	if (!ret)
		c->in = false;
	return ret;
}

/* ---- the rendezvous: every CPU runs these with interrupts off ---- */

/* This CPU is through with a phase, with `err` or 0: wait for the others. -> the first error of any of them. */
static int await(unsigned int phase, int err)
{
	if (err && !atomic_cmpxchg(&pl.phase[phase].failed, 0, err))
		pl.failed_cpu = smp_processor_id();
	atomic_inc(&pl.phase[phase].arrived);
	while (atomic_read(&pl.phase[phase].arrived) < num_online_cpus())
		cpu_relax();
	return atomic_read(&pl.phase[phase].failed);
}

static int phase_capture(unsigned int cpu)
{
	plinth_capture(pl.cpu[cpu].state);
	return 0;
}

static int phase_temp_vm(unsigned int cpu)
{
	return cross(cpu, PLINTH_OP_TEMP_VM);
}

static int phase_enter(unsigned int cpu)
{
	int ret = cross(cpu, PLINTH_OP_ENTER);

	pl.cpu[cpu].in = !ret;
	return ret;
}

/* One forced intercept while all CPUs can still go back. */
static int phase_check(unsigned int cpu)
{
	u32 eax, ebx, ecx, edx;

	cpuid(0x40000000, &eax, &ebx, &ecx, &edx);
	if (ebx != 0x6e696c50 ||
	    plinth_hypercall(PLINTH_HC_VERSION, 0, 0, 0, 0, 0) != PLINTH_ABI_VERSION)
		return -EIO;
	return 0;
}

static int (*const phases[NR_PHASES])(unsigned int cpu) = {
	[PHASE_CAPTURE] = phase_capture,
	[PHASE_TEMP_VM] = phase_temp_vm,
	[PHASE_ENTER] = phase_enter,
	[PHASE_CHECK] = phase_check,
};

static int launch_cpu(void *unused)
{
	unsigned int cpu = smp_processor_id(), phase;
	int ret = 0;

	if (!pl.pause_start)
		pl.pause_start = rdtsc();
	for (phase = 0; phase < NR_PHASES; phase++) {
		ret = cpu == fault_cpu && phase == fault_phase ? -EIO : phases[phase](cpu);
		ret = await(phase, ret);
		if (ret)
			break;
	}
	pl.cpu[cpu].nmi_owed = false;
	if (ret && pl.cpu[cpu].in)
		WARN_ON(leave(cpu));
	if (!ret) /* here, where no CPU can come or go */
		WRITE_ONCE(pl.launched, true);
	pl.pause_end = rdtsc();
	return ret;
}

/* A CPU that is offline inside the core; nr_cpu_ids if there is none. */
static unsigned int offline_inside(void)
{
	unsigned int cpu;

	for_each_present_cpu (cpu)
		if (!cpu_online(cpu) && pl.cpu[cpu].in)
			return cpu;
	return nr_cpu_ids;
}

static int retire_cpu(void *unused)
{
	unsigned int cpu = smp_processor_id(), id;
	int ret = 0;

	/* All CPUs see this alike, as none comes or goes now. */
	if (offline_inside() < nr_cpu_ids)
		return -EAGAIN;
	/* Children that are left when the system ends: none runs while the machine is stopped. */
	if (pl.users && cpu == cpumask_first(cpu_online_mask))
		for (id = 0; id < PLINTH_MAX_VMS; id++)
			plinth_hypercall(PLINTH_HC_VM_DESTROY, id, 0, 0, 0, 0);
	await(0, 0);
	if (pl.cpu[cpu].in)
		ret = leave(cpu);
	ret = await(1, ret);
	if (!ret)
		WRITE_ONCE(pl.launched, false);
	return ret;
}

/* -> what fn returned, which is the same on all CPUs. */
static int rendezvous(int (*fn)(void *))
{
	memset(pl.phase, 0, sizeof(pl.phase));
	pl.pause_start = pl.pause_end = 0;
	return stop_machine(fn, NULL, cpu_online_mask);
}

/* ---- what Linux is told of the processor (L12) ---- */

static void caps_withhold(struct cpuinfo_x86 *c, u32 *saved)
{
	unsigned int i;

	for (i = 0; i < NR_CAP_WORDS; i++)
		saved[i] = c->x86_capability[cap_words[i]];
	clear_bit(X86_FEATURE_SVM, (unsigned long *)c->x86_capability);
	clear_bit(X86_FEATURE_SKINIT, (unsigned long *)c->x86_capability);
}

/* A CPU that came online under the core has read less than there is, which boot_cpu_data follows. */
static void caps_restore(struct cpuinfo_x86 *c, const u32 *saved)
{
	unsigned int i;

	for (i = 0; i < NR_CAP_WORDS; i++)
		c->x86_capability[cap_words[i]] = saved[i];
}

static void withhold(void)
{
	unsigned int cpu;

	for_each_present_cpu (cpu)
		caps_withhold(&cpu_data(cpu), pl.cpu[cpu].caps);
	caps_withhold(&boot_cpu_data, pl.boot_caps);
}

static void restore(void)
{
	unsigned int cpu;

	for_each_present_cpu (cpu)
		if (pl.cpu[cpu].state)
			caps_restore(&cpu_data(cpu), pl.cpu[cpu].caps);
	caps_restore(&boot_cpu_data, pl.boot_caps);
}

/* ---- launch ---- */

static bool kvm_amd_present(void)
{
	struct path path;

	if (kern_path("/sys/module/kvm_amd", 0, &path))
		return false;
	path_put(&path);
	return true;
}

static int other_hypervisor(unsigned int cpu)
{
	return plinth_fail(
		-EBUSY, "another hypervisor uses virtualization on processor %u: unload it", cpu);
}

/* One that comes after this is found in the crossing. */
static int check_not_in_use(void)
{
	unsigned int cpu;
	u64 efer;

	for_each_online_cpu (cpu)
		if (!rdmsrl_on_cpu(cpu, MSR_EFER, &efer) && efer & EFER_SVME)
			return other_hypervisor(cpu);
	return 0;
}

static int check_machine(void)
{
	u64 vm_cr;
	int ret;

	if (!boot_cpu_has(X86_FEATURE_SVM))
		return plinth_fail(-ENODEV, "this processor has no SVM: Plinth needs an AMD "
					    "processor with virtualization");
	rdmsrl(MSR_VM_CR, vm_cr);
	vm_cr |= fault_vm_cr;
	if (vm_cr & (1 << SVM_VM_CR_SVM_DISABLE))
		return plinth_fail(
			-EACCES,
			"virtualization (SVM) is disabled%s: enable it in the firmware's setup",
			vm_cr & 8 ? " and locked by the firmware" : "");
	if (kvm_amd_present())
		return plinth_fail(-EBUSY, "kvm-amd is loaded and owns virtualization: stop its "
					   "virtual machines and run modprobe -r kvm_amd");
	ret = check_not_in_use();
	if (ret)
		return ret;
	if (!(cpuid_edx(0x8000000a) & 1))
		return plinth_fail(-EOPNOTSUPP,
				   "this processor has no nested paging, which Plinth needs");
	if (nr_cpu_ids > PLINTH_MAX_CPUS)
		return plinth_fail(-EOPNOTSUPP,
				   "this machine has %u processors and Plinth supports %u: limit "
				   "them with possible_cpus=%u on the kernel's command line",
				   nr_cpu_ids, PLINTH_MAX_CPUS, PLINTH_MAX_CPUS);
	return 0;
}

static void free_states(void)
{
	unsigned int cpu;

	for (cpu = 0; cpu < PLINTH_MAX_CPUS; cpu++) {
		free_pages((unsigned long)pl.cpu[cpu].state,
			   get_order(sizeof(struct plinth_cpu_state)));
		pl.cpu[cpu].state = NULL;
	}
}

static int alloc_states(void)
{
	unsigned int cpu;

	for_each_present_cpu (cpu) {
		pl.cpu[cpu].state = (void *)__get_free_pages(
			GFP_KERNEL | __GFP_ZERO, get_order(sizeof(struct plinth_cpu_state)));
		if (!pl.cpu[cpu].state) {
			free_states();
			return plinth_fail(-ENOMEM, "not enough memory to capture the processors");
		}
	}
	return 0;
}

/* The core's global state, made on this CPU with interrupts off. */
static long init_core(void)
{
	unsigned long flags;
	unsigned int cpu;
	long ret;

	local_irq_save(flags);
	cpu = smp_processor_id();
	fill_entry(&pl.cpu[cpu], cpu, PLINTH_OP_INIT);
	ret = call_core(&pl.cpu[cpu]);
	local_irq_restore(flags);
	return ret;
}

static int launch_locked(void)
{
	int ret;

	if (pl.launched)
		return plinth_fail(-EEXIST, "the core is launched already: see plinth status");
	ret = check_machine();
	if (ret)
		return ret;
	ret = alloc_states();
	if (ret)
		return ret;
	ret = plinth_load(&pl.core);
	if (ret) {
		if (!pl.error.text[0])
			plinth_fail(ret,
				    "not enough memory for what a launch needs (error %d): stop "
				    "programs, then try again",
				    ret);
		goto free;
	}
	ret = init_core();
	if (ret) {
		plinth_fail(ret, "the core refused this machine (error %d): see plinth log", ret);
		goto unload;
	}
	ret = rendezvous(launch_cpu);
	if (ret) {
		if (ret == -EBUSY)
			other_hypervisor(pl.failed_cpu);
		else
			plinth_fail(ret,
				    "processor %d could not enter the core (error %d), so all are "
				    "as before: see plinth log",
				    pl.failed_cpu, ret);
		goto unload;
	}
	withhold();
	__module_get(THIS_MODULE);
	pr_info("plinth: core launched under %u processors\n", num_online_cpus());
	return 0;
unload:
	plinth_unload(&pl.core);
free:
	free_states();
	return ret;
}

/*
 * CPUs that are offline are halted by Linux, inside the core if they went offline there. Another CPU has them taken out: they
 * go on in Linux's loop on bare hardware, where INIT and SIPI find them.
 */
static int retire_offline(void)
{
	struct plinth_cpu_state *st;
	unsigned int cpu;
	s64 ret = 0;

	cpus_read_lock();
	for_each_present_cpu (cpu) {
		if (cpu_online(cpu) || !pl.cpu[cpu].in)
			continue;
		st = pl.cpu[cpu].state;
		WRITE_ONCE(st->rip, 1);
		ret = plinth_hypercall(PLINTH_HC_RETIRE_OTHER, virt_to_phys(st), (u64)plinth_left,
				       cpu, pl.core.trans_cr3, (u64)st);
		if (ret)
			break;
		while (READ_ONCE(st->rip))
			cpu_relax();
		pl.cpu[cpu].in = false;
	}
	cpus_read_unlock();
	return ret ? plinth_fail(
			     ret,
			     "processor %u is offline inside the core and cannot leave it there "
			     "(error %lld): bring it online first (echo 1 > "
			     "/sys/devices/system/cpu/cpu%u/online)",
			     cpu, ret, cpu)
		   : 0;
}

static int retire_locked(void)
{
	int ret;

	do {
		ret = retire_offline();
		if (ret)
			return ret;
		ret = rendezvous(retire_cpu);
	} while (ret == -EAGAIN); /* one went offline in between */
	if (ret)
		return plinth_fail(
			ret, "processor %d could not leave the core (error %d): see plinth log",
			pl.failed_cpu, ret);
	restore();
	plinth_unload(&pl.core);
	free_states();
	module_put(THIS_MODULE);
	pr_info("plinth: core retired\n");
	return 0;
}

/* What is about to be tried has not failed for a reason of before. */
static void forget_error(void)
{
	spin_lock(&pl.error_lock);
	pl.error.text[0] = 0;
	spin_unlock(&pl.error_lock);
}

int plinth_launch(void)
{
	int ret;

	mutex_lock(&pl.lock);
	forget_error();
	ret = launch_locked();
	mutex_unlock(&pl.lock);
	return ret;
}

/* Children run: which? */
static int refuse_retire(void)
{
	char names[128];

	plinth_list_children(names, sizeof(names));
	return plinth_fail(-EBUSY,
			   "children are running: %s: end them first (plinth stop NAME, or kill)",
			   names[0] ? names : "one that just comes or goes");
}

int plinth_retire(void)
{
	int ret;

	mutex_lock(&pl.lock);
	forget_error();
	if (!pl.launched)
		ret = plinth_fail(-ENXIO, "the core is not launched: nothing to retire");
	else if (pl.users)
		ret = refuse_retire();
	else
		ret = retire_locked();
	mutex_unlock(&pl.lock);
	return ret;
}

/* ---- what the rest of the module asks ---- */

bool plinth_launched(void)
{
	return READ_ONCE(pl.launched);
}

int plinth_get(void)
{
	int ret = -ENXIO;

	mutex_lock(&pl.lock);
	if (pl.launched) {
		pl.users++;
		ret = 0;
	}
	mutex_unlock(&pl.lock);
	return ret;
}

void plinth_put(void)
{
	mutex_lock(&pl.lock);
	pl.users--;
	mutex_unlock(&pl.lock);
}

int plinth_hold(void)
{
	mutex_lock(&pl.lock);
	if (pl.launched)
		return 0;
	mutex_unlock(&pl.lock);
	return -ENXIO;
}

void plinth_release(void)
{
	mutex_unlock(&pl.lock);
}

static DEFINE_MUTEX(donate_lock);

int plinth_donate(void)
{
	struct page *page;
	int ret;

	mutex_lock(&donate_lock);
	ret = pl.core.nr_chunks < PLINTH_MAX_CHUNKS ? plinth_chunk_alloc(&page) : -ENOMEM;
	if (ret)
		goto out;
	ret = plinth_hypercall(PLINTH_HC_DONATE, page_to_phys(page), 0, 0, 0, 0);
	if (ret)
		__free_pages(page, get_order(PLINTH_CHUNK_SIZE));
	else
		pl.core.chunk[pl.core.nr_chunks++] = page;
out:
	mutex_unlock(&donate_lock);
	return ret;
}

/* It may be another module's, which then has it again. donate_lock held. */
static void free_chunk(u64 pa)
{
	struct plinth_core *core = &pl.core;
	unsigned int i;

	for (i = 0; i < core->nr_chunks; i++)
		if (page_to_phys(core->chunk[i]) == pa)
			break;
	if (i == core->nr_chunks)
		return;
	__free_pages(core->chunk[i], get_order(PLINTH_CHUNK_SIZE));
	core->chunk[i] = core->chunk[--core->nr_chunks];
}

void plinth_reclaim(void)
{
	s64 pa;

	mutex_lock(&donate_lock);
	while ((pa = plinth_hypercall(PLINTH_HC_RECLAIM, plinth_pool_bytes(), 0, 0, 0, 0)) > 0) {
		free_chunk(pa);
		cond_resched();
	}
	mutex_unlock(&donate_lock);
}

u64 plinth_core_chunk(unsigned int i)
{
	u64 pa;

	mutex_lock(&donate_lock);
	pa = i < pl.core.nr_chunks ? page_to_phys(pl.core.chunk[i]) : 0;
	mutex_unlock(&donate_lock);
	return pa;
}

#ifdef PLINTH_DEBUG
static int crash_core(const char *val, const struct kernel_param *kp)
{
	int ret = param_set_int(val, kp);

	if (ret || fault_crash < 0)
		return ret;
	ret = plinth_hold();
	if (ret)
		return ret;
	ret = plinth_hypercall(PLINTH_HC_CRASH, min(fault_crash, 2), fault_crash - 2, 0, 0, 0);
	plinth_release();
	return ret;
}
#endif

u32 plinth_tsc_khz(void)
{
	return tsc_khz;
}

const struct plinth_start_params *plinth_params(void)
{
	return pl.launched ? pl.core.params : NULL;
}

u64 plinth_pause_cycles(void)
{
	return pl.pause_end - pl.pause_start;
}

int plinth_cpu_state(unsigned int cpu, bool now, struct plinth_cpu_state *st);

static int capture_here(void *arg)
{
	plinth_capture(arg);
	return 0;
}

int plinth_cpu_state(unsigned int cpu, bool now, struct plinth_cpu_state *st)
{
	int ret = -ENXIO;

	mutex_lock(&pl.lock);
	if (cpu >= nr_cpu_ids || !cpu_online(cpu)) {
		ret = -ENODEV;
	} else if (now) {
		ret = stop_machine(capture_here, st, cpumask_of(cpu));
	} else if (pl.launched && pl.cpu[cpu].in) {
		*st = *pl.cpu[cpu].state;
		ret = 0;
	}
	mutex_unlock(&pl.lock);
	return ret;
}

/* ---- CPUs that come, and the end of the system ---- */

/*
 * A CPU that was offline at the launch and comes up now was started inside of the core, as one that went offline there: its
 * SIPI was the core's. One that is bare all the same goes through the phases of the launch alone.
 */
static long online_here(void)
{
	unsigned int cpu = smp_processor_id(), phase;
	unsigned long flags;
	long ret = 0;

	local_irq_save(flags);
	for (phase = 0; !ret && phase < NR_PHASES; phase++)
		ret = phases[phase](cpu);
	pl.cpu[cpu].nmi_owed = false;
	if (ret && pl.cpu[cpu].in)
		leave(cpu);
	local_irq_restore(flags);
	return ret;
}

/* While launch and retire cannot be under way: they stop the machine. */
static int cpu_came_online(unsigned int cpu)
{
	int ret;

	if (!READ_ONCE(pl.launched) || pl.cpu[cpu].in)
		return 0;
	if (!pl.cpu[cpu].state) {
		pr_err("plinth: processor %u was added after the launch: run plinth retire, bring "
		       "it online, launch again\n",
		       cpu);
		return -EBUSY;
	}
	if (!phase_check(cpu)) {
		pl.cpu[cpu].in = true;
		/* It has read of no SVM. What the others had is its own, too, if it was never online before. */
		if (!pl.cpu[cpu].caps[0])
			memcpy(pl.cpu[cpu].caps, pl.boot_caps, sizeof(pl.boot_caps));
		return 0;
	}
	ret = online_here();
	if (!ret)
		caps_withhold(&cpu_data(cpu), pl.cpu[cpu].caps);
	else
		pr_err("plinth: processor %u cannot enter the core (error %d) and stays offline\n",
		       cpu, ret);
	return ret;
}

/*
 * Reboot, power-off and kexec start from bare hardware (L9). Children that nobody has stopped end here; their workers
 * get -ENODEV.
 */
static int system_down(struct notifier_block *nb, unsigned long event, void *unused)
{
	unsigned int cpu;
	int ret = 0;

	mutex_lock(&pl.lock);
	if (pl.launched) {
		/* With children left the core keeps its processors: these have to come back by themselves. */
		while (pl.users && !ret && (cpu = offline_inside()) < nr_cpu_ids)
			ret = add_cpu(cpu);
		if (!ret)
			ret = retire_locked();
		if (ret)
			pr_err("plinth: the core stays under the system that ends (error %d)\n",
			       ret);
	}
	mutex_unlock(&pl.lock);
	return NOTIFY_DONE;
}

static struct notifier_block reboot_block = { .notifier_call = system_down };

/*
 * A processor comes out of suspend on bare hardware, and an image of a hibernated system must not
 * hold a core: the core retires first. Children forbid it, as their state would be lost.
 */
static int system_sleeps(struct notifier_block *nb, unsigned long event, void *unused)
{
	if (event != PM_SUSPEND_PREPARE && event != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	if (!pl.launched || !plinth_retire())
		return NOTIFY_OK;
	pr_err("plinth: no suspend while children run: stop them first\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block sleep_block = { .notifier_call = system_sleeps };

/* pl.lock held, launched. */
static bool ram_is_known(u64 start, u64 end)
{
	const struct plinth_start_params *p = pl.core.params;
	unsigned int i;

	for (i = 0; i < p->nr_ram && start < end; i++)
		if (start >= p->ram[i].start && start < p->ram[i].end)
			start = p->ram[i].end;
	return start >= end;
}

/*
 * Memory that is plugged in later is no RAM to the core, which reads the root's page tables and takes a child's pages from
 * RAM only: Linux must not begin to use it. Not waiting for the lock, whose holder may wait for who calls this.
 */
static int memory_comes(struct notifier_block *nb, unsigned long action, void *arg)
{
	const struct memory_notify *m = arg;
	bool known = false;

	if (action != MEM_GOING_ONLINE)
		return NOTIFY_OK;
	if (mutex_trylock(&pl.lock)) {
		known = !pl.launched ||
			ram_is_known(PFN_PHYS(m->start_pfn), PFN_PHYS(m->start_pfn + m->nr_pages));
		mutex_unlock(&pl.lock);
	}
	if (known)
		return NOTIFY_OK;
	pr_err("plinth: memory at %#llx was added after the launch, or a launch is under way: run "
	       "plinth retire, bring it online, launch again\n",
	       PFN_PHYS(m->start_pfn));
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block memory_block = { .notifier_call = memory_comes };

int plinth_launch_init(void)
{
	int ret;

	ret = register_nmi_handler(NMI_LOCAL, launch_nmi, NMI_FLAG_FIRST, "plinth");
	if (ret)
		return ret;
	ret = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "plinth:online", cpu_came_online,
					NULL);
	if (ret < 0)
		goto nmi;
	pl.hotplug = ret;
	ret = register_reboot_notifier(&reboot_block);
	if (ret)
		goto hotplug;
	ret = register_pm_notifier(&sleep_block);
	if (ret)
		goto reboot;
	ret = register_memory_notifier(&memory_block);
	if (ret)
		goto sleep;
	return 0;
sleep:
	unregister_pm_notifier(&sleep_block);
reboot:
	unregister_reboot_notifier(&reboot_block);
hotplug:
	cpuhp_remove_state_nocalls(pl.hotplug);
nmi:
	unregister_nmi_handler(NMI_LOCAL, "plinth");
	return ret;
}

void plinth_launch_exit(void)
{
	kvfree(pl.log);
	unregister_memory_notifier(&memory_block);
	unregister_pm_notifier(&sleep_block);
	unregister_reboot_notifier(&reboot_block);
	cpuhp_remove_state_nocalls(pl.hotplug);
	unregister_nmi_handler(NMI_LOCAL, "plinth");
}
