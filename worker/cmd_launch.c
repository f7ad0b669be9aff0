// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/plinth/uapi.h"
#include "worker/cmd.h"
#include "worker/ctl.h"
#include "worker/diag.h"

#define LAUNCH_PARAMS_MAX 16

#define CPUID_80000001_ECX_SVM (1u << 2)
#define CPUID_1_ECX_VMX	       (1u << 5)

static const char help[] =
	"usage: plinth launch [PARAMETER=VALUE...]\n\n"
	"Launches the hypervisor under the running system, on all its processors at once. Loads "
	"the\n"
	"module 'plinth' if it is not loaded; PARAMETERs are the module's (modinfo plinth).\n"
	"The system keeps running. 'plinth retire' takes the hypervisor away again.\n";

/* What modprobe says. */
struct launch_words {
	char text[200];
};

static bool launch_cpu_has_svm(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && ecx & CPUID_80000001_ECX_SVM;
}

static bool launch_cpu_has_vmx(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx & CPUID_1_ECX_VMX;
}

/* Reasons that can be seen from here, before anything is touched. */
static int launch_check(void)
{
	if (geteuid() != 0) {
		diag_error("cannot launch: only root may do that");
		return -EPERM;
	}
	if (ctl_launched()) {
		diag_error("cannot launch: it is launched already; see 'plinth status'");
		return -EEXIST;
	}
	if (!launch_cpu_has_svm()) {
		if (launch_cpu_has_vmx())
			diag_error("cannot launch: the processor has VMX, and only AMD's SVM is "
				   "supported: use a machine with an AMD processor");
		else
			diag_error("cannot launch: the processor offers no virtualization "
				   "extension (SVM): turn it on in the firmware's setup, or, in a "
				   "virtual machine, on its host");
		return -ENODEV;
	}
	if (access("/sys/module/kvm_amd", F_OK) == 0) {
		diag_error("cannot launch: kvm-amd uses the virtualization extension: end its "
			   "virtual machines and unload it (modprobe -r kvm-amd)");
		return -EBUSY;
	}
	return 0;
}

static const char *const unload[] = { "modprobe", "-r", "plinth", NULL };

/* The first line of what comes from `fd`, up to its end. */
static void launch_read_line(int fd, struct launch_words *words)
{
	FILE *in = fdopen(fd, "r");
	char rest[256];

	if (!in) {
		close(fd);
		return;
	}
	if (!fgets(words->text, sizeof(words->text), in))
		words->text[0] = 0;
	words->text[strcspn(words->text, "\n")] = 0;
	while (fgets(rest, sizeof(rest), in))
		;
	fclose(in);
}

/* Returns 0 if modprobe did what it was asked for; else *words has why not. */
static int launch_modprobe(const char *const *argv, struct launch_words *words)
{
	int status, fd[2];
	pid_t pid;

	snprintf(words->text, sizeof(words->text), "modprobe cannot be run");
	if (pipe2(fd, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		execvp(argv[0], (char *const *)argv);
		dprintf(STDERR_FILENO, "modprobe cannot be run: %s\n", strerror(errno));
		_exit(127);
	}
	close(fd[1]);
	if (pid < 0) {
		close(fd[0]);
		return -EAGAIN;
	}
	launch_read_line(fd[0], words);
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ENOEXEC;
}

/* The kernel ignores parameters that a module does not have; a launch without them is not what was asked for. */
static int launch_check_params(char *const *params, int count)
{
	struct launch_words words;
	char path[128];
	int i;

	for (i = 0; i < count; i++) {
		int len = strcspn(params[i], "=");

		snprintf(path, sizeof(path), "/sys/module/plinth/parameters/%.*s", len, params[i]);
		if (access(path, F_OK) == 0)
			continue;
		launch_modprobe(unload, &words);
		diag_error("cannot launch: the module 'plinth' has no parameter '%.*s': see "
			   "modinfo -p plinth",
			   len, params[i]);
		return -EINVAL;
	}
	return 0;
}

static int launch_load_module(char *const *params, int count)
{
	const char *load[LAUNCH_PARAMS_MAX + 3] = { "modprobe", "plinth" };
	struct launch_words words;
	int i;

	/* Parameters count when the module is loaded. It is idle: the launch has been ruled out. */
	if (access(PLINTH_DEVICE, F_OK) == 0) {
		if (!count)
			return 0;
		if (launch_modprobe(unload, &words)) {
			diag_error("cannot launch: the module 'plinth' is loaded and in use (%s): "
				   "give no parameters, or end what uses it",
				   words.text);
			return -EBUSY;
		}
	}
	for (i = 0; i < count; i++)
		load[i + 2] = params[i];
	if (!launch_modprobe(load, &words))
		return launch_check_params(params, count);
	diag_error("cannot launch: the module 'plinth' does not load (%s): install it for the "
		   "running kernel (make install), and see dmesg",
		   words.text);
	return -ENOEXEC;
}

static int launch(char *const *params, int count)
{
	int fd, ret;

	ret = launch_check();
	if (!ret)
		ret = launch_load_module(params, count);
	if (ret)
		return ret;
	fd = ctl_open(false);
	if (fd < 0)
		return fd;
	ret = ctl_request(fd, PLINTH_LAUNCH, "launch");
	close(fd);
	return ret;
}

/* NAME=VALUE, with a name that is one path component. */
static bool launch_is_param(const char *arg)
{
	size_t len = strspn(arg, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return len > 0 && arg[len] == '=';
}

int cmd_launch(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (launch_is_param(argv[i]) && i <= LAUNCH_PARAMS_MAX)
			continue;
		return cmd_parse_plain(2, (char *[]){ argv[0], argv[i] }, help, NULL) < 0
			       ? CMD_ERROR
			       : CMD_OK;
	}
	return launch(argv + 1, argc - 1) ? CMD_ERROR : CMD_OK;
}
