// SPDX-License-Identifier: GPL-2.0-only
/* plinth run: one virtual machine, from the command line to its end. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "include/plinth/uapi.h"
#include "worker/cmd.h"
#include "worker/ctl.h"
#include "worker/diag.h"
#include "worker/run.h"

#define RUN_DEVICE_KVM	  "/dev/kvm"
#define RUN_STOP_DRAIN_MS 500

static const char help[] =
	"usage: plinth run [--kernel FILE | --disk FILE...] [OPTION...]\n\n"
	"Runs a virtual machine: boots a Linux kernel directly, or through firmware from a "
	"drive.\n\n"
	"  --kernel FILE      kernel image (bzImage)\n"
	"  --initrd FILE      initial RAM disk\n"
	"  --append ARGS      kernel command line (default: " RUN_APPEND ")\n"
	"  --firmware NAME    seabios, ovmf, or the path of an image (default without --kernel:\n"
	"                     seabios)\n"
	"  --firmware-log FILE  the firmware's debug messages\n"
	"  --firmware-vars FILE  where ovmf's variables are kept; made if it does not exist\n"
	"  --disk FILE|nbd:URI[,readonly][,bus=ide0.0][,format=raw][,bimodal=on]\n"
	"                     a disk: a raw image, a block device, or an NBD server's export\n"
	"  --cdrom FILE|none  a CD-ROM drive with that medium, or empty\n"
	"  --net user[,hostfwd=tcp:[HOST]:PORT-[GUEST]:PORT] | tap[,ifname=NAME] | none\n"
	"                     a network adapter, each also with [,mac=ADDRESS]\n"
	"  --memory SIZE      memory, e.g. 512M or 4G; MiB without a unit (default: 512M)\n"
	"  --cpus N           virtual processors, 1 to 64 (default: 1)\n"
	"  --name NAME        name of the machine, at most 15 characters (default: child)\n"
	"  --device PATH      /dev/plinth or /dev/kvm (default: /dev/plinth if launched, else "
	"/dev/kvm)\n"
	"  --console WHERE    serial console COM1: stdio, pty or file:PATH (default: stdio)\n"
	"  --user NAME        whom to become before the machine starts (default of root: plinth "
	"if\n"
	"                     there is such a user, else nobody; root: stay root)\n"
	"  --reboot           start the machine again when the guest resets it\n"
	"  --stats[=FILE]     at the end print exits by kind of each processor (default: standard "
	"error)\n"
	"  --trace FILE[,device=NAME...]\n"
	"                     writes down each access to the devices' registers, and interrupts\n"
	"  --config FILE      these options, as JSON\n"
	"  --help             this text\n\n"
	"A comma in a file's name is written twice in --disk, --cdrom, --net and --trace.\n"
	"On a terminal Ctrl-a x ends the machine, Ctrl-a a sends a Ctrl-a, Ctrl-a ? lists "
	"these.\n\n"
	"Exit status: 0 the guest powered off; 10 it reset itself; 11 a processor could not go on\n"
	"(its registers are printed); 12 ended by Ctrl-a x or a signal; 1 any error, output of "
	"the\n"
	"console that could not be written among them.\n";

/* ------------------------------------------------------------------ statistics */

static void run_print_vcpu_stats(FILE *out, const struct vcpu *v)
{
	const char *name;
	unsigned int i;

	fprintf(out, "vp %u:", v->index);
	for (i = 0; i < VCPU_EXIT_KINDS; i++) {
		if (!v->exits[i])
			continue;
		name = vcpu_exit_name(i);
		if (name)
			fprintf(out, " %s %llu", name, (unsigned long long)v->exits[i]);
		else
			fprintf(out, " exit_%u %llu", i, (unsigned long long)v->exits[i]);
	}
	fprintf(out, " interrupted %llu\n", (unsigned long long)v->interrupted);
}

static const char *run_stats_path(const struct run *r)
{
	return r->opt.stats_path ? r->opt.stats_path : "standard error";
}

static int run_open_stats(struct run *r)
{
	if (!r->opt.stats)
		return 0;
	r->stats = r->opt.stats_path ? fopen(r->opt.stats_path, "we") : stderr;
	if (r->stats)
		return 0;
	diag_error("cannot write the statistics to %s: %s", run_stats_path(r), strerror(errno));
	return -EIO;
}

static int run_print_stats(const struct run *r)
{
	unsigned int i;

	if (!r->stats)
		return 0;
	for (i = 0; i < r->machine.cpus; i++)
		run_print_vcpu_stats(r->stats, &r->machine.vcpu[i]);
	if (fflush(r->stats) == 0)
		return 0;
	diag_error("cannot write the statistics to %s: %s", run_stats_path(r), strerror(errno));
	return -EIO;
}

/* ------------------------------------------------------------------ life of the machine */

/* Signals are taken by the main thread, in its loop; the others inherit the mask. */
static int run_prepare_signals(struct run *r)
{
	static const int taken[] = { SIGTERM, SIGINT, SIGHUP, SIGTSTP, SIGCONT };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(&set, taken[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	vcpu_prepare_signals();
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signal_fd < 0 ? -errno : 0;
}

/*
 * The last output goes out before the program ends: it waits for a slow reader until a signal says
 * not to, but only shortly if it is to stop anyway.
 */
static void run_finish_console(struct run *r, int status)
{
	int timeout = status == CMD_STOPPED ? RUN_STOP_DRAIN_MS : -1;
	struct pollfd pfd[2] = {
		{ .fd = r->console.drained_fd, .events = POLLIN },
		{ .fd = r->signal_fd, .events = POLLIN },
	};

	console_finish(&r->console);
	while (poll(pfd, 2, timeout) < 0 && errno == EINTR)
		;
}

static int run_exit_status(enum machine_end end)
{
	switch (end) {
	case MACHINE_POWEROFF:
		return CMD_OK;
	case MACHINE_RESET:
		return CMD_RESET;
	case MACHINE_CRASH:
		return CMD_CRASH;
	case MACHINE_STOPPED:
		return CMD_STOPPED;
	default:
		return CMD_ERROR;
	}
}

static void run_tap(void *ctx, const uint8_t *buf, size_t len)
{
	control_output(ctx, buf, len);
}

/* Last, when nothing else can fail any more: it makes the terminal raw. */
static int run_open_console(struct run *r)
{
	int ret;

	if (r->console_opened)
		return 0;
	ret = console_open(&r->console, r->opt.console);
	r->console_opened = !ret;
	if (!ret && r->control)
		console_set_tap(&r->console, run_tap, r->control);
	return ret;
}

/* Everything is open, also for further starts. */
static int run_enter_sandbox(struct run *r)
{
	unsigned int i;
	int ret;

	if (r->sandboxed)
		return 0;
	for (i = 0; i < r->opt.disks; i++)
		r->sandbox.sockets |= r->opt.disk[i].nbd;
	for (i = 0; i < r->opt.nets; i++)
		r->sandbox.sockets |= r->opt.net[i].kind == OPTION_NET_USER;
	ret = sandbox_enter(&r->sandbox);
	r->sandboxed = !ret;
	return ret;
}

/* From a machine that is made to its end. Returns the exit status. */
static int run_machine(struct run *r)
{
	int ret = r->opt.firmware ? 0 : run_place_images(r);

	if (!ret)
		ret = run_open_console(r);
	if (ret)
		return CMD_ERROR;
	ret = run_watch(r);
	if (ret) {
		diag_error("cannot watch for events: %s", strerror(-ret));
		return CMD_ERROR;
	}
	if (run_enter_sandbox(r) || machine_start(&r->machine))
		return CMD_ERROR;
	run_loop(r);
	return run_exit_status(atomic_load(&r->machine.end));
}

/* From making the machine to taking it apart. Returns the exit status. */
static int run_once(struct run *r)
{
	struct machine_config cfg = {
		.device = r->opt.device,
		.device_fd = r->device_fd,
		.cpus = r->opt.cpus,
		.memory = r->opt.memory,
		.console = &r->console,
		.firmware = r->opt.firmware ? &r->img.firmware : NULL,
		.firmware_log = r->img.firmware_log,
		.trace = r->opt.trace[0] ? &r->trace : NULL,
	};
	int status;

	run_plug_in(r, &cfg);
	if (machine_create(&r->machine, &cfg)) {
		run_unplug(r);
		return CMD_ERROR;
	}
	status = run_machine(r);
	machine_stop(&r->machine);
	run_drain_backends(r);
	if (run_print_stats(r) && status == CMD_OK)
		status = CMD_ERROR;
	if (!trace_flush(&r->trace) && status == CMD_OK)
		status = CMD_ERROR;
	run_unwatch(r);
	machine_destroy(&r->machine);
	run_unplug(r);
	return status;
}

/* With --reboot one after the other. Returns the exit status. */
static int run_machines(struct run *r)
{
	int status;

	do {
		status = run_once(r);
	} while (status == CMD_RESET && r->opt.reboot && !r->stopping);
	/* Asked to end it found that the guest had, by a reset that nothing follows. */
	return status == CMD_RESET && r->opt.reboot ? CMD_STOPPED : status;
}

static int run_open_device(struct run *r)
{
	if (!r->opt.device)
		r->opt.device = ctl_launched() ? PLINTH_DEVICE : RUN_DEVICE_KVM;
	r->device_fd = vm_open_device(r->opt.device);
	return r->device_fd < 0 ? r->device_fd : 0;
}

/* Opens what outlives a single machine. */
static int run_prepare(struct run *r)
{
	int ret = run_prepare_signals(r);

	if (ret) {
		diag_error("cannot take signals: %s", strerror(-ret));
		return ret;
	}
	ret = loop_open(&r->loop);
	if (ret) {
		diag_error("cannot wait for events: %s", strerror(-ret));
		return ret;
	}
	ret = sandbox_find_user(&r->sandbox, r->opt.user);
	if (!ret)
		ret = run_load_images(r);
	if (!ret)
		ret = run_open_stats(r);
	if (!ret && r->opt.trace[0])
		ret = trace_open(&r->trace, r->opt.trace, r->opt.trace_devices);
	if (!ret)
		ret = run_open_device(r);
	if (!ret)
		ret = run_open_control(r);
	if (!ret)
		ret = run_open_backends(r);
	return ret;
}

static int run(struct run *r)
{
	int status = CMD_ERROR;

	r->loop.epoll_fd = r->device_fd = -1;
	if (run_prepare(r))
		goto out;
	prctl(PR_SET_NAME, r->name);
	status = run_machines(r);
	if (!r->console_opened)
		goto out;
	console_set_tap(&r->console, NULL, NULL);
	run_finish_console(r, status);
	if (!console_close(&r->console) && status == CMD_OK)
		status = CMD_ERROR;
out:
	run_close_backends(r);
	control_close(r->control);
	if (r->device_fd >= 0)
		close(r->device_fd);
	if (r->stats && r->stats != stderr)
		fclose(r->stats);
	trace_close(&r->trace);
	loop_close(&r->loop);
	run_free_images(&r->img);
	return status;
}

int cmd_run(int argc, char **argv)
{
	/* Not on the stack: a console writer that hangs may outlive this function. */
	static struct run r;
	int status = CMD_ERROR;

	if (options_parse(&r.opt, argc, argv) == 0) {
		if (r.opt.help)
			fputs(help, stdout);
		status = r.opt.help ? CMD_OK : run(&r);
	}
	options_free(&r.opt);
	return status;
}
