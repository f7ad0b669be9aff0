/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between the core and the root's module: what is handed over at launch (L2, L3), the
 * hypercalls, and the pages that both sides share while a child runs.
 *
 * Both sides are built together and the module refuses a core of another ABI version or build, so
 * the structures may change freely; PLINTH_ABI_VERSION counts the changes. All values are host
 * endian (x86: little), all addresses of memory are machine physical addresses (the root's physical
 * addresses are identical to them, architecture decision 7) unless a field says otherwise.
 *
 * Trust: the core checks every value that it finds here, copying it out of shared memory first.
 */
#ifndef PLINTH_ABI_H
#define PLINTH_ABI_H

#ifdef __KERNEL__
#include <linux/types.h>
#elif !defined(_LINUX_TYPES_H) /* a program may have them from <linux/types.h> already */
#include <stdint.h>
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef uint64_t __u64;
typedef int64_t __s64;
#endif

#define PLINTH_ABI_VERSION 3
#define PLINTH_CORE_MAGIC  0x45524f43544e4c50ull /* "PLNTCORE" */

/* Limits. A larger machine is refused at launch, a larger child at KVM_CREATE_VCPU. */
#define PLINTH_MAX_CPUS	      256 /* logical processors of the machine */
#define PLINTH_MAX_RAM_RANGES 128
#define PLINTH_MAX_NODES      16
#define PLINTH_MAX_CHUNKS     1024 /* 2 MiB pieces of core memory: 2 GiB */
#define PLINTH_MAX_VMS	      64
#define PLINTH_MAX_VPS_PER_VM 64
#define PLINTH_CHUNK_SIZE     (2ull << 20)
#define PLINTH_LOG_SIZE	      65536 /* bytes that the core's log keeps */

/*
 * Virtual addresses of the core. The range is the hole that Linux keeps for hypervisors
 * (Documentation/x86/x86_64/mm.rst), free with 4 and, in a kernel without KASAN, with 5 levels: one
 * set of addresses serves both.
 */
#define PLINTH_VA_IMAGE	  0xffff800000000000ull /* the core's ELF segments, as linked */
#define PLINTH_VA_CPUS	  0xffff802000000000ull /* per-CPU blocks, PLINTH_CPU_STRIDE apart */
#define PLINTH_VA_APIC	  0xffff803000000000ull /* the local APIC's page, uncached */
#define PLINTH_VA_PHYSMAP 0xffff808000000000ull /* all RAM but the core's own image */
#define PLINTH_VA_END	  0xffff880000000000ull /* Linux's direct map may start here */

/*
 * A per-CPU block: two unmapped guard pages around each stack, then the CPU's data. The module
 * allocates and maps the pages, the core fills them.
 */
#define PLINTH_CPU_STRIDE     0x20000ull
#define PLINTH_CPU_STACK_OFF  0x01000ull /* main stack, grows down from the end */
#define PLINTH_CPU_STACK_SIZE 0x04000ull
#define PLINTH_CPU_IST_OFF    0x06000ull /* stack of #DF, #MC and #PF, likewise */
#define PLINTH_CPU_IST_SIZE   0x02000ull
#define PLINTH_CPU_DATA_OFF   0x09000ull /* struct cpu of core/cpu.h */
#define PLINTH_CPU_DATA_SIZE  0x10000ull

/*
 * Found by the module at the start of the ELF section ".plinth.header"; also the first bytes of the
 * image in memory.
 */
struct plinth_core_header {
	__u64 magic;	   /* PLINTH_CORE_MAGIC */
	__u32 abi_version; /* PLINTH_ABI_VERSION */
	__u32 size;	   /* of this structure */
	__u64 entry;	   /* core_entry(struct plinth_entry *), see below */
	__u64 text_size;   /* bytes of executable code */
};

/* A segment register: selector, attributes as in the VMCB (APM 2, 15.5), limit in bytes, base. */
struct plinth_seg {
	__u16 selector;
	__u16 attrib;
	__u32 limit;
	__u64 base;
};

/*
 * L2: what the root captures of one CPU before the launch. Taken with interrupts off on that CPU.
 * The extended state (x87, XMM, YMM ...) stays live in the CPU across the launch: `xcr0` names
 * what is live, `xsave` holds the image for the comparison and for other entry methods.
 */
#define PLINTH_XSAVE_MAX 4096
#define PLINTH_APIC_REGS 64 /* 1 KiB APIC page in 16-byte slots */
struct plinth_cpu_state {
	__u64 gpr[16]; /* RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
	__u64 rip, rflags;
	__u64 cr0, cr2, cr3, cr4, cr8;
	__u64 dr0, dr1, dr2, dr3, dr6, dr7;
	struct plinth_seg cs, ds, ss, es, fs, gs, tr, ldtr;
	struct plinth_seg gdtr, idtr; /* base and limit only */
	__u64 kernel_gs_base, star, lstar, cstar, sfmask;
	__u64 sysenter_cs, sysenter_esp, sysenter_eip;
	__u64 apic_base, efer, pat, tsc_aux, debugctl;
	__u64 xcr0, xss;
	__u32 apic_valid;		   /* 0 when the local APIC is globally disabled */
	__u32 apic_regs[PLINTH_APIC_REGS]; /* slot n = register at offset n * 16 */
	__u8 xsave[PLINTH_XSAVE_MAX] __attribute__((aligned(64)));
};

/* L3: the start parameters. The core discovers nothing by itself. */
struct plinth_ram_range {
	__u64 start, end; /* [start, end) */
	__u32 node;
	__u32 reserved;
};

struct plinth_cpu_desc {
	__u32 apic_id;
	__u32 node;
	__u32 core_id, package_id; /* Linux's numbering */
	__u8 online;		   /* moved by this launch */
	__u8 present;
	__u8 pad[6];
};

struct plinth_start_params {
	__u32 cpus_possible; /* entries used in cpus[]; hot-plug included */
	__u32 cpus_present;
	__u32 cpus_online;
	__u32 smt_on;	/* 1: more than one thread of a core may be online */
	__u32 nr_nodes; /* nodes possible, those with no memory yet too */
	__u32 nr_ram;
	__u32 tsc_khz;
	__u32 pmtmr_port;    /* ACPI power-management timer, 0: none */
	__u32 pmtmr_bits;    /* 24 or 32 */
	__u32 debug_port;    /* I/O port that takes log characters, 0: none */
	__u64 apic_base;     /* physical address of the local APIC's page */
	__u32 x2apic;	     /* 1: the root uses x2APIC mode */
	__u32 phys_bits;     /* width of a physical address */
	__u64 hpet_base;     /* 0: none */
	__u64 mmconfig_base; /* PCI Express configuration space of segment 0, 0: none */
	__u32 paging_levels; /* 4 or 5: CR4.LA57, which cannot change in long mode */
	__u32 nmi_method;    /* enum plinth_nmi_method, L5 */
	__u8 slit[PLINTH_MAX_NODES][PLINTH_MAX_NODES]; /* ACPI SLIT distances, 10 = local */
	struct plinth_ram_range ram[PLINTH_MAX_RAM_RANGES];
	struct plinth_cpu_desc cpus[PLINTH_MAX_CPUS];
};

enum plinth_nmi_method {
	PLINTH_NMI_TAKE = 0, /* L5 (a): entered from an NMI that has not been returned from */
	PLINTH_NMI_IDT = 1,  /* L5 (b): an IDT, stack and page tables valid throughout */
};

/*
 * Made by the module in core memory, reached through the core's map of RAM; the core keeps it.
 * Describes the memory and the page tables that the module made with core/x86/paging.c.
 */
struct plinth_boot {
	__u64 core_cr3; /* the core's own page tables */
	__u64 root_npt; /* top of the root's nested page tables */
	__u32 nr_chunks;
	__u32 pad;
	struct {
		__u64 pa;   /* 2 MiB each, aligned */
		__u64 used; /* bytes at its start that the module has filled; the rest is the pool */
	} chunk[PLINTH_MAX_CHUNKS];
	struct plinth_start_params params;
	/*
	 * The log, a ring: byte n since the launch is at n % PLINTH_LOG_SIZE, log_position comes next. Here,
	 * so that the module can read it when the core is gone, or never came to run.
	 */
	__u64 log_position;
	__u8 log[PLINTH_LOG_SIZE];
};

/*
 * Argument of core_entry(), one per CPU, in the root's memory. The module calls core_entry() with
 * CR3 = trans_cr3, a table that holds Linux's kernel half and the core's slots, CR4.PCIDE and
 * CR4.PGE clear, no breakpoint enabled in DR7, interrupts off.
 */
enum plinth_entry_op {
	PLINTH_OP_INIT = 0,    /* once, on one CPU, before all else: the core's global state */
	PLINTH_OP_TEMP_VM = 1, /* L6: run and destroy a temporary VM, come back */
	/*
	 * Become the root partition. Comes back as the virtual machine, to state->rip with RSP,
	 * general registers (but RAX = 0), CR3 and all else as in *state; or, if the core could not
	 * be entered, as a return with a negative errno.
	 */
	PLINTH_OP_ENTER = 2,
};

struct plinth_entry {
	__u64 boot_pa;	 /* physical address of struct plinth_boot */
	__u32 op;	 /* enum plinth_entry_op */
	__u32 cpu;	 /* index into params.cpus[] */
	__u64 state_pa;	 /* physical address of this CPU's struct plinth_cpu_state */
	__u64 trans_cr3; /* the table that is loaded now, for the way back */
};

/*
 * Hypercalls of the root: VMMCALL (VMX: VMCALL) at CPL 0 with the number in RAX, arguments in RBX,
 * RCX, RDX, RSI, RDI; result in RAX, 0 or more for success, negative errno for failure. At CPL 3
 * the instruction raises #UD, as it does without a core.
 */
#define PLINTH_HC_MAGIC 0x504c0000u /* RAX = PLINTH_HC_MAGIC | number */
enum plinth_hc {
	/* -> ABI version. */
	PLINTH_HC_VERSION = 0,
	/*
	 * Leave the core on this CPU. rbx: physical address of a struct plinth_cpu_state that
	 * receives the root's state, rcx: virtual address to continue at, with CR3 = rsi, a table like
	 * trans_cr3, and CR4.PGE and CR4.PCIDE clear, interrupts off; all else, the stack pointer and
	 * the general registers (but RAX = 0) too, as the root had it.
	 * -EBUSY while children exist. The CPU continues on bare hardware.
	 */
	PLINTH_HC_RETIRE = 1,
	/* Copy struct plinth_status to physical address rbx. */
	PLINTH_HC_STATUS = 2,
	/*
	 * Read the log from byte position rdx on into physical page rbx: first a __u64, the position after what
	 * was copied (more than rdx + bytes, when what was asked for is overwritten), then at most rcx - 8 bytes
	 * (rcx: 8 to 4096) -> bytes copied.
	 */
	PLINTH_HC_LOG = 3,
	/*
	 * Give the 2 MiB chunk at physical rbx to the core's pool. -EBUSY: a child has a page of it mapped,
	 * or it holds a VP's shared pages; -EINVAL: no RAM, or the core's; -ENOSPC: the core has enough.
	 */
	PLINTH_HC_DONATE = 4,
	/*
	 * Take back a chunk that is wholly free, if the pool keeps rbx bytes to give out without it: -> its
	 * physical address, -ENOENT if there is none.
	 */
	PLINTH_HC_RECLAIM = 5,

	/*
	 * The same for another CPU, which the root has taken offline: rdx: its index; it continues at rcx with RAX =
	 * rdi and all else as PLINTH_HC_RETIRE says, so halted in the root's own loop once the code at rcx has
	 * loaded CR3, CR4, RAX and RIP from the state. Returns when it is on its way there. -ENXIO: it is
	 * not in the core; -EBUSY: children exist, or it waits for a SIPI.
	 */
	PLINTH_HC_RETIRE_OTHER = 6,

	/* -> VM id. rbx: flags, 0. -ENOSPC: too many, -ENOMEM: donate a chunk and try again. */
	PLINTH_HC_VM_CREATE = 16,
	/* rbx: VM. -EBUSY while one of its VPs runs. Frees the VPs and the nested tables. */
	PLINTH_HC_VM_DESTROY = 17,
	/*
	 * rbx: VM, rcx: guest physical address, rdx: machine address, rsi: bytes, rdi: PLINTH_MAP_*.
	 * Addresses and size are multiples of 4 KiB; 2 MiB pieces that are aligned on both sides
	 * become large pages. Replaces what was there. -EINVAL: a page is the core's, the APIC's,
	 * below 640 KiB, or no RAM and not marked PLINTH_MAP_DEVICE; -ENOMEM: donate a chunk and try again (part of the range may
	 * be mapped).
	 */
	PLINTH_HC_VM_MAP = 18,
	/*
	 * rbx: VM, rcx: guest physical address, rdx: bytes. On return no processor uses the pages. -> number
	 * of 4 KiB pages that were mapped there; marks (PLINTH_MAP_MMIO) go too, but are no pages. -ENOMEM:
	 * a large page at an edge of the range cannot be split; what went until then is not told.
	 */
	PLINTH_HC_VM_UNMAP = 19,
	/* The same arguments: the pages become read-only (dirty log), no processor can write them. */
	PLINTH_HC_VM_PROTECT = 20,
	/*
	 * Deliver a message-signalled interrupt: rbx: VM, rcx: address, rdx: data, rdi: PLINTH_MSI_*.
	 * -> number of VPs that took it (0: none, as KVM_SIGNAL_MSI says). rsi: physical address of a
	 * struct plinth_wake or 0. Callable with interrupts off.
	 */
	PLINTH_HC_VM_MSI = 21,
	/*
	 * rbx: VM, rcx: physical address of 256 bits: vectors whose EOI the root wants to see
	 * (PLINTH_EXIT_IOAPIC_EOI), besides those that are level-triggered in the local APIC.
	 */
	PLINTH_HC_VM_EOI_BITMAP = 22,

	/*
	 * rbx: VM, rcx: VP index (= its place in wake masks), rdx: APIC id, rsi: physical address of
	 * its struct plinth_vp_shared (PLINTH_VP_SHARED_PAGES contiguous pages that stay allocated
	 * until VM_DESTROY). VP 0 is the bootstrap processor and starts runnable in the reset state,
	 * others wait for SIPI.
	 */
	PLINTH_HC_VP_CREATE = 32,
	/*
	 * rbx: VM, rcx: VP. Runs it on this CPU until something needs the root: -> enum
	 * plinth_exit, details in the shared page. Call with interrupts off. -EBUSY: it runs elsewhere.
	 */
	PLINTH_HC_VP_RUN = 33,
	/* rbx: VM, rcx: VP, rdx: enum plinth_item; data in the shared data area. */
	PLINTH_HC_VP_GET = 34,
	PLINTH_HC_VP_SET = 35,
	/* rbx: VM, rcx: VP. Queue an NMI. -> 1 if the VP's thread has to be woken. */
	PLINTH_HC_VP_NMI = 36,
	/*
	 * Debug builds only: crash the core on purpose (rbx: 0 #UD, 1 stack overflow, 2 #UD in the service of VM rcx,
	 * with its lock held).
	 */
	PLINTH_HC_CRASH = 63,
	/* Read this CPU's own intercept counters' cheapest round trip: does nothing. */
	PLINTH_HC_NOP = 62,
};

#define PLINTH_MAP_READ	 1u /* always set for memory */
#define PLINTH_MAP_WRITE 2u
#define PLINTH_MAP_EXEC	 4u
#define PLINTH_MAP_MMIO	 8u  /* no memory: accesses are emulated and become PLINTH_EXIT_MMIO */
#define PLINTH_MAP_ROM	 16u /* memory that is read-only for ever: writes become PLINTH_EXIT_MMIO */
#define PLINTH_MAP_DEVICE                                                                          \
	32u /* machine address is a device's, mapped uncached as its owner has it */

/* How an MSI's destination is read: what KVM_CAP_X2APIC_API chooses. */
#define PLINTH_MSI_IDS32  1u /* address bits 63:40 are destination bits 31:8; bits 39:32 must be 0 */
#define PLINTH_MSI_BCAST8 2u /* destination 0xff is every VP, in x2APIC mode too */

/* VPs whose threads the root has to wake, by VP index. */
struct plinth_wake {
	__u64 mask;
};

/*
 * Why PLINTH_HC_VP_RUN came back. Only what needs the root; the rest is handled in the core.
 */
enum plinth_exit {
	PLINTH_EXIT_INTR = 0, /* an interrupt or NMI for the root is pending or was taken */
	PLINTH_EXIT_IO = 1,   /* shared->run.io */
	PLINTH_EXIT_MMIO = 2, /* shared->run.mmio */
	PLINTH_EXIT_MEM_FAULT =
		3, /* shared->run.fault: no nested mapping; map it (or mark MMIO), run again */
	PLINTH_EXIT_HLT = 4, /* halted with nothing pending: block until woken or the timer */
	PLINTH_EXIT_TIMER =
		5, /* timer_deadline became earlier than armed_deadline: arm, run again */
	PLINTH_EXIT_WAKE = 6,	       /* shared->run.wake_mask: wake these, run again */
	PLINTH_EXIT_IOAPIC_EOI = 7,    /* shared->run.eoi_vector */
	PLINTH_EXIT_IRQ_WINDOW = 8,    /* request_irq_window was set and the window is open */
	PLINTH_EXIT_SHUTDOWN = 9,      /* triple fault */
	PLINTH_EXIT_INTERNAL = 10,     /* shared->run.internal: emulation failure and the like */
	PLINTH_EXIT_FAIL_ENTRY = 11,   /* shared->run.fail_entry: hardware refused the state */
	PLINTH_EXIT_NOT_RUNNABLE = 12, /* waits for INIT or SIPI: block until woken */
	PLINTH_EXIT_DEBUG = 13,	       /* guest debugging (KVM_SET_GUEST_DEBUG) */
	PLINTH_EXIT_NOMEM = 14,	       /* the core's pool is empty: donate a chunk, run again */
	PLINTH_EXIT_CLOCK = 15,	       /* shared->run.clock: write the child's clock, run again */
	PLINTH_NR_EXITS
};

/* MCG_CAP of a child: at most so many banks, and MCG_CTL_P. */
#define PLINTH_MCE_BANKS 10
#define PLINTH_MCE_CAP	 0x100u

/* What VP_GET and VP_SET transfer: the structure at the start of the shared data area. */
enum plinth_item {
	PLINTH_ITEM_REGS = 0,	      /* struct plinth_vp_regs */
	PLINTH_ITEM_SREGS = 1,	      /* struct plinth_vp_sregs */
	PLINTH_ITEM_XSAVE = 2,	      /* an XSAVE image in standard format, data_size bytes */
	PLINTH_ITEM_XCR0 = 3,	      /* __u64 */
	PLINTH_ITEM_DEBUG = 4,	      /* struct plinth_vp_debug */
	PLINTH_ITEM_EVENTS = 5,	      /* struct plinth_vp_events */
	PLINTH_ITEM_LAPIC = 6,	      /* 1 KiB register page as KVM_GET_LAPIC has it */
	PLINTH_ITEM_MSRS = 7,	      /* struct plinth_vp_msrs; result = how many were done */
	PLINTH_ITEM_CPUID = 8,	      /* data_size bytes of struct kvm_cpuid_entry2 (set only) */
	PLINTH_ITEM_MP_STATE = 9,     /* __u32, KVM_MP_STATE_* */
	PLINTH_ITEM_TSC = 10,	      /* __u64 guest TSC now */
	PLINTH_ITEM_STATS = 11,	      /* struct plinth_vp_stats (get only) */
	PLINTH_ITEM_GUEST_DEBUG = 12, /* struct plinth_vp_debug, used instead of the child's */
	PLINTH_ITEM_MCE = 13,	      /* __u64 MCG_CAP: KVM_X86_SETUP_MCE (set only) */
	/*
	 * Answers that belong to no VP (VM and VP ignored); buffer at physical rsi, size rdi:
	 */
	PLINTH_ITEM_SUPPORTED_CPUID = 64, /* struct kvm_cpuid_entry2[]; result = count */
	PLINTH_ITEM_MSR_LIST = 65,	  /* __u32[]; result = count */
	PLINTH_ITEM_MSR_FEATURE_LIST = 66,
};

struct plinth_vp_regs {
	__u64 gpr[16]; /* hardware order: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
	__u64 rip, rflags;
};

struct plinth_vp_sregs {
	struct plinth_seg cs, ds, es, fs, gs, ss, tr, ldtr;
	struct plinth_seg gdtr, idtr;
	__u64 cr0, cr2, cr3, cr4, cr8, efer, apic_base;
	__u64 pdptrs[4];	   /* unused with nested paging; carried for SREGS2 */
	__u64 interrupt_bitmap[4]; /* a pending external vector, as kvm_sregs has it */
};

struct plinth_vp_debug {
	__u64 dr[4], dr6, dr7;
	__u32 flags; /* PLINTH_ITEM_GUEST_DEBUG: KVM_GUESTDBG_* control; else 0 */
	__u32 pad;
};

struct plinth_vp_events {
	__u8 exc_injected, exc_nr, exc_has_error, exc_pending;
	__u32 exc_error;
	__u8 int_injected, int_nr, int_soft, int_shadow;
	__u8 nmi_injected, nmi_pending, nmi_masked, pad;
	__u32 sipi_vector;
	__u32 flags; /* KVM_VCPUEVENT_VALID_*: which fields SET takes */
	__u8 triple_fault, pad2[7];
};

struct plinth_vp_msrs {
	__u32 count; /* at most PLINTH_VP_MSRS_MAX */
	__u32 pad;
	struct {
		__u32 index, reserved;
		__u64 data;
	} entry[];
};
#define PLINTH_VP_MSRS_MAX 512

struct plinth_vp_stats {
	__u64 exits;			   /* all #VMEXITs of the VP */
	__u64 root_exits[PLINTH_NR_EXITS]; /* that went to the root, by enum plinth_exit */
	__u64 kinds[16];		   /* by enum plinth_exit_kind */
};

/* Kinds under which #VMEXITs are counted, for the root and for children. */
enum plinth_exit_kind {
	PLINTH_KIND_CPUID = 0,
	PLINTH_KIND_MSR,
	PLINTH_KIND_IO,
	PLINTH_KIND_NPF,
	PLINTH_KIND_APIC,
	PLINTH_KIND_HLT,
	PLINTH_KIND_INTR,
	PLINTH_KIND_NMI,
	PLINTH_KIND_VINTR,
	PLINTH_KIND_HYPERCALL,
	PLINTH_KIND_EXCEPTION,
	PLINTH_KIND_CR,
	PLINTH_KIND_SVM_INSN,
	PLINTH_KIND_PAUSE,
	PLINTH_KIND_INIT,
	PLINTH_KIND_OTHER,
	PLINTH_NR_KINDS
};

/*
 * Shared between the core and the module for one VP. The core reads the root's fields once per
 * entry; it never reads back what it wrote.
 */
#define PLINTH_VP_SHARED_PAGES 4
#define PLINTH_CLOCK_SYSTEM    1u
#define PLINTH_CLOCK_WALL      2u
#define PLINTH_VP_DATA_SIZE    (3 * 4096)
struct plinth_vp_shared_run {
	/* Written by the root before VP_RUN. */
	__u64 armed_deadline;	 /* host TSC for which the root has a timer, 0: none, ~0: any */
	__u8 request_irq_window; /* come back when an external interrupt could be injected */
	__u8 immediate_exit;	 /* finish a pending I/O or MMIO access, then PLINTH_EXIT_INTR */
	__u8 inject_extint; /* 1: inject extint_vector as an external interrupt (KVM_INTERRUPT) */
	__u8 extint_vector;
	__u32 pad0;

	/* Written by the core at every exit. */
	__u64 timer_deadline;  /* host TSC of the local APIC's next expiry, 0: none */
	__u64 cr8, apic_base;  /* for struct kvm_run */
	__u8 if_flag;	       /* RFLAGS.IF */
	__u8 ready_for_extint; /* an external interrupt could be injected now */
	__u8 accepts_extint;   /* LINT0 is wired through to the PIC (or the APIC is off) */
	__u8 eoi_vector;
	__u8 extint_waits; /* the last extint_vector has not been injected yet */
	__u8 pad1[3];
	__u64 wake_mask;
	__u64 rip; /* for traces */
	union {
		struct {
			__u16 port;
			__u8 size;   /* 1, 2, 4 */
			__u8 in;     /* 1: the root puts data here before the next VP_RUN */
			__u32 count; /* items in data[]; more than 1 for string I/O */
			__u8 data[512];
		} io;
		struct {
			__u64 gpa;
			__u8 size; /* 1 to 8 */
			__u8 write;
			__u8 pad[6];
			__u8 data[8]; /* a read's answer is put here before the next VP_RUN */
		} mmio;
		struct {
			__u64 gpa;
			__u32 write, exec, user, pad;
		} fault;
		struct {
			__u32 suberror; /* KVM_INTERNAL_ERROR_* */
			__u32 ndata;
			__u64 data[16];
			__u32 insn_size; /* for emulation failures */
			__u8 insn[16];
		} internal;
		struct {
			__u64 reason;
			__u32 cpu, pad;
		} fail_entry;
		struct {
			__u32 exception, pad;
			__u64 pc, dr6, dr7;
		} debug;
		/* The child's KVM_SYSTEM_TIME or KVM_WALL_CLOCK, or the offset of its TSC, has changed. */
		struct {
			__u64 system_time; /* the MSR's value: address and enable bit */
			__u64 wall_clock;  /* likewise, an address */
			__u64 tsc_offset;  /* the VP's TSC less the machine's */
			__u32 what;	   /* PLINTH_CLOCK_*: which structures are due */
			__u32 pad;
		} clock;
	};
};

struct plinth_vp_shared {
	union {
		struct plinth_vp_shared_run run;
		__u8 page[4096];
	};
	/* Data area for VP_GET and VP_SET. */
	__u32 data_size;
	__u32 pad2;
	__u8 data[PLINTH_VP_DATA_SIZE - 8] __attribute__((aligned(8)));
};

/* PLINTH_HC_STATUS. */
struct plinth_vm_status {
	__u32 id, vps;
	__u64 mapped_pages;
	__u64 exits, kinds[PLINTH_NR_KINDS];
};

struct plinth_status {
	__u32 abi_version, nr_cpus_in; /* CPUs that run under the core now */
	__u64 core_bytes, core_free_bytes, text_bytes;
	__u64 log_bytes;			 /* written since launch */
	__u64 contained_reads, contained_writes; /* L4 */
	__u64 last_contained_pa, last_contained_rip;
	__u64 root_exits[PLINTH_NR_KINDS];
	__u64 nmis_taken, nmis_injected, inits, sipis;
	__u32 nr_vms, asids;
	__u32 features; /* PLINTH_FEAT_* */
	__u32 pad;
	struct plinth_vm_status vm[PLINTH_MAX_VMS];
};
#define PLINTH_FEAT_NRIPS	  1u
#define PLINTH_FEAT_DECODE_ASSIST 2u
#define PLINTH_FEAT_FLUSH_ASID	  4u
#define PLINTH_FEAT_PAUSE_FILTER  8u

#endif
