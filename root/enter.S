/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The crossing between Linux and the core. Both ways go through the table that maps both worlds
 * (struct plinth_core.trans_cr3), whose PCID is 0: CR4.PCIDE may be set again only there.
 */
#include <linux/linkage.h>
#include <asm/nospec-branch.h>
#include <asm/processor-flags.h>

#define STATE_RIP    128 /* struct plinth_cpu_state: state.c asserts */
#define STATE_RFLAGS 136
#define STATE_CR3    160
#define STATE_CR4    168
#define ENTRY_TRANS  24 /* struct plinth_entry */

	.text

/* long plinth_enter(struct plinth_entry *e, u64 entry, struct plinth_cpu_state *st) */
SYM_FUNC_START(plinth_enter)
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%cr3, %r13
	mov	%cr4, %r14
	/* Where the root goes on as a virtual machine: as if this function returned 0. */
	pushfq
	pop	STATE_RFLAGS(%rdx)
	lea	.Lentered(%rip), %rax
	mov	%rax, STATE_RIP(%rdx)
	mov	%rbx, 24(%rdx)
	mov	%rsp, 32(%rdx)
	mov	%rbp, 40(%rdx)
	mov	%r12, 96(%rdx)
	mov	%r13, 104(%rdx)
	mov	%r14, 112(%rdx)
	mov	%r15, 120(%rdx)
	mov	%r14, %rax
	and	$~(X86_CR4_PCIDE | X86_CR4_PGE), %rax
	mov	%rax, %cr4
	mov	ENTRY_TRANS(%rdi), %rax
	mov	%rax, %cr3
	mov	%rsi, %rax
	ANNOTATE_RETPOLINE_SAFE
	call	*%rax
	mov	%r14, %cr4
	mov	%r13, %cr3
.Lentered:				/* as the VM, RAX = 0 */
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	RET
SYM_FUNC_END(plinth_enter)

/*
 * Where a CPU goes on that PLINTH_HC_RETIRE_OTHER has taken out of the core, with RAX = its struct plinth_cpu_state: as it
 * was interrupted there. That RIP is 0 in the state then says that it needs neither that nor the table any more.
 */
SYM_CODE_START(plinth_left)
	push	STATE_RIP(%rax)
	push	(%rax)
	push	%rbx
	mov	STATE_CR4(%rax), %rbx
	mov	%rbx, %cr4
	mov	STATE_CR3(%rax), %rbx
	mov	%rbx, %cr3
	movq	$0, STATE_RIP(%rax)
	pop	%rbx
	pop	%rax
	RET
SYM_CODE_END(plinth_left)

/* long plinth_leave(u64 state_pa, u64 trans_cr3) */
SYM_FUNC_START(plinth_leave)
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%cr3, %r13
	mov	%cr4, %r14
	mov	%rdi, %rbx			/* state */
	lea	.Lleft(%rip), %rcx		/* where to go on */
	mov	$0x504c0001, %eax		/* PLINTH_HC_MAGIC | PLINTH_HC_RETIRE */
	vmmcall					/* RSI: the table */
	test	%rax, %rax
	jnz	.Lleave_out			/* refused: RAX tells why */
.Lleft:
	mov	%r14, %cr4
	mov	%r13, %cr3
	xor	%eax, %eax
.Lleave_out:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	RET
SYM_FUNC_END(plinth_leave)
