/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What /dev/plinth offers besides the KVM uAPI (linux/kvm.h): launch, retire and their reports.
 * The ioctl numbers lie in a type of their own, so that they can't be taken for KVM's.
 */
#ifndef PLINTH_UAPI_H
#define PLINTH_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PLINTH_DEVICE "/dev/plinth"

/*
 * Launch the core under the running system (L1). CAP_SYS_ADMIN. Takes no argument; how (NMI method and so on)
 * is the module's parameters.
 * Errors: EEXIST launched already; ENODEV no SVM; EACCES disabled or locked by firmware; EBUSY the
 * virtualization extension is in use (kvm-amd); ENOMEM not enough contiguous memory; ENOEXEC wrong
 * core build; ENOENT core image not found; EOPNOTSUPP another reason. struct plinth_error has the
 * sentence.
 */
#define PLINTH_LAUNCH _IO('P', 0x01)

/* Give the bare machine back (L9). CAP_SYS_ADMIN. EBUSY while children exist, ENXIO not launched. */
#define PLINTH_RETIRE _IO('P', 0x02)

/*
 * The last failed PLINTH_LAUNCH or PLINTH_RETIRE in words: one line with cause and remedy.
 */
struct plinth_error {
	char text[256];
};
#define PLINTH_GET_ERROR _IOR('P', 0x03, struct plinth_error)

/*
 * Read the core's log (also after a retire or a core bug): position in bytes since the launch, and
 * up to `size` bytes to `buffer`; size becomes what was copied, position what follows. The ring
 * keeps the last 64 KiB; a position that has been overwritten moves up to the oldest byte.
 */
struct plinth_log {
	__u64 position;
	__u64 buffer;
	__u32 size;
	__u32 pad;
};
#define PLINTH_READ_LOG _IOWR('P', 0x04, struct plinth_log)

/*
 * A report of the whole: JSON text, made by the module from what the core and it know. `size` in:
 * bytes at buffer; out: bytes needed. ENOSPC when it did not fit. What it holds is documented in
 * docs/status.md.
 */
struct plinth_report {
	__u64 buffer;
	__u32 size;
	__u32 pad;
};
#define PLINTH_GET_STATUS _IOWR('P', 0x05, struct plinth_report)

/*
 * L2: the state of one CPU, struct plinth_cpu_state of abi.h: as captured at the launch (now = 0)
 * or read in the root at this moment by the same code (now = 1). CAP_SYS_ADMIN.
 */
struct plinth_get_state {
	__u64 buffer;
	__u32 size; /* sizeof(struct plinth_cpu_state) */
	__u32 cpu;
	__u32 now;
	__u32 pad;
};
#define PLINTH_GET_CPU_STATE _IOW('P', 0x06, struct plinth_get_state)

#endif
