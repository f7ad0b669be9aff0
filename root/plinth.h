/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of plinth.ko share. */
#ifndef ROOT_PLINTH_H
#define ROOT_PLINTH_H

#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/types.h>

#include <plinth/abi.h>
#include <plinth/uapi.h>

/* ---- launch.c ---- */

/* Is the core under us? */
bool plinth_launched(void);
/*
 * Keep the core (and this module) where it is until plinth_put(): taken by each VM, so that a retire is refused.
 * -ENXIO if it is not launched. May sleep.
 */
int plinth_get(void);
void plinth_put(void);
/* The same for a moment, until plinth_release(): a launch or a retire waits for it. */
int plinth_hold(void);
void plinth_release(void);
/* Give the core a further 2 MiB chunk. -ENOMEM. May sleep. */
int plinth_donate(void);
/* Take back chunks that the core does not need any more, but for what it had to begin with. The core is kept. May sleep. */
void plinth_reclaim(void);
u32 plinth_tsc_khz(void);

int plinth_launch(void);
int plinth_retire(void);
/* The last launch's start parameters, NULL if there was none; stable while the core is kept. */
const struct plinth_start_params *plinth_params(void);
int plinth_launch_init(void);
void plinth_launch_exit(void);

/* Remember why a launch or a retire failed, in a sentence; returns err. */
int plinth_fail(int err, const char *fmt, ...) __printf(2, 3);
void plinth_get_error(struct plinth_error *e);

/*
 * Read the log of the core that is launched, or of the last one, from *pos on into `page` (a page of its own) and
 * move *pos; -> bytes, -ENXIO if there was no core yet. May sleep.
 */
long plinth_log_read(u64 *pos, void *page, u32 size);
/* Physical address of the core's i-th 2 MiB chunk; 0: there are no more. The core is kept. */
u64 plinth_core_chunk(unsigned int i);
/* The core goes: keep its log. */
void plinth_log_keep(const struct plinth_boot *boot);

/* ---- state.c ---- */

/* L2: this CPU's state, but for what enter.S adds. Interrupts off. */
void plinth_capture(struct plinth_cpu_state *st);
/*
 * CPU `cpu` as captured at the launch (now = false), or as it is in the same surroundings: all CPUs stopped,
 * interrupts off. -ENXIO, -ENODEV. May sleep.
 */
int plinth_cpu_state(unsigned int cpu, bool now, struct plinth_cpu_state *st);

/* ---- report.c ---- */

/* PLINTH_GET_STATUS: JSON into buf; -> bytes needed. May sleep. */
int plinth_report(char *buf, size_t size);

/* ---- loader.c ---- */

struct plinth_core {
	struct plinth_boot *boot; /* in core memory: not to be touched while launched */
	u64 boot_pa;
	u64 core_cr3;
	u64 entry; /* virtual address of core_entry() */
	u64 text_size;
	u64 trans_cr3; /* maps Linux's kernel half and the core: enter.S */
	void *trans_pages[2];
	struct page **chunk; /* PLINTH_MAX_CHUNKS; all that the core holds */
	u32 *chunk_used;
	unsigned int nr_chunks;
	char build_id[41];
	struct plinth_start_params *params; /* our own copy */
};

/*
 * Read, check and place the core; make its page tables and the root's nested ones. May sleep.
 * -ENOENT no image, -ENOEXEC wrong build, -ENOMEM.
 */
int plinth_load(struct plinth_core *core);
void plinth_unload(struct plinth_core *core);
int plinth_chunk_alloc(struct page **page);
/* What the core begins with, for its pool. */
u64 plinth_pool_bytes(void);

/* ---- params.c ---- */

/* L3: discover what the core has to know. */
int plinth_discover(struct plinth_start_params *p);

/* ---- enter.S ---- */

/* Call the core's entry; for PLINTH_OP_ENTER *st gains RIP, RSP and general registers. IRQs off. */
long plinth_enter(struct plinth_entry *e, u64 entry, struct plinth_cpu_state *st);
/* Leave the core on this CPU. IRQs off. */
long plinth_leave(u64 state_pa, u64 trans_cr3);
/* Where PLINTH_HC_RETIRE_OTHER lets a CPU go on; not to be called. */
void plinth_left(void);

/* ---- kvm_*.c: the KVM uAPI ---- */

/* Whose a child is. */
struct plinth_owner {
	pid_t pid; /* the worker's process, as the caller counts them; 0: it is gone */
	char name[TASK_COMM_LEN]; /* the process's, which a worker makes the machine's */
};

/* The owner of the core's VM `id`. */
void plinth_child_owner(u32 id, struct plinth_owner *owner);
/* "NAME (process N), ..." of all children, as much as there is room for. */
void plinth_list_children(char *buf, size_t size);

int plinth_kvm_init(void);
void plinth_kvm_exit(void);
long plinth_kvm_dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

#endif
