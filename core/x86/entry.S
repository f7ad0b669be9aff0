/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ways into and out of the core that C can't express: core_entry() from the module, the exception
 * stubs, and the last steps of a retire.
 */
#include "core/x86/layout.h"

	.section .text

/*
 * int core_entry(struct plinth_entry *): called by the module with CR3 = trans_cr3, which maps both
 * worlds. Moves to the CPU's own stack; Linux's is kept for the way back.
 */
	.globl core_entry
core_entry:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushfq
	mov	L_ENTRY_CPU(%rdi), %eax
	imul	$L_CPU_STRIDE, %rax, %rax
	movabs	$L_VA_CPUS, %rcx
	add	%rax, %rcx
	lea	L_CPU_DATA(%rcx), %rsi	/* struct cpu */
	lea	L_CPU_STACK_TOP(%rcx), %rax
	mov	%rsp, L_CPU_LINUX_RSP(%rsi)
	mov	%rax, %rsp
	mov	%rsi, %rbx
	call	core_main
	.globl core_entry_return
core_entry_return:			/* RBX: struct cpu, RAX: result */
	mov	L_CPU_LINUX_RSP(%rbx), %rsp
	popfq
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* void cpu_load_cs(u16 selector): reload CS with a far return. */
	.globl cpu_load_cs
cpu_load_cs:
	pop	%rax
	movzwl	%di, %edi
	push	%rdi
	push	%rax
	lretq

/*
 * void svm_leave(struct leave *): the last steps of PLINTH_HC_RETIRE and of a roll-back. The
 * structure is on the CPU's stack, which the table that is loaded first maps too. VMLOAD brings back
 * TR without a look at the busy bit in Linux's read-only GDT. From STGI on an NMI is Linux's: its
 * IDT, TSS, stacks and CR4 (RDGSBASE!) are in place.
 */
	.globl svm_leave
svm_leave:
	mov	L_LEAVE_CR3(%rdi), %rax
	mov	%rax, %cr3
	lgdt	L_LEAVE_GDTR+6(%rdi)
	lidt	L_LEAVE_IDTR+6(%rdi)
	mov	L_LEAVE_SS(%rdi), %ss
	mov	L_LEAVE_DS(%rdi), %ds
	mov	L_LEAVE_ES(%rdi), %es
	mov	L_LEAVE_VMCB(%rdi), %rax
	vmload	%rax
	mov	L_LEAVE_CR4(%rdi), %rax
	mov	%rax, %cr4
	stgi
	mov	$0xc0000080, %ecx		/* EFER: SVME off */
	mov	L_LEAVE_EFER(%rdi), %eax
	mov	L_LEAVE_EFER+4(%rdi), %edx
	wrmsr
	mov	L_LEAVE_RSP(%rdi), %rsp
	push	L_LEAVE_RIP(%rdi)
	push	L_LEAVE_RFLAGS(%rdi)
	mov	L_LEAVE_GPR+0(%rdi), %rax
	mov	L_LEAVE_GPR+8(%rdi), %rcx
	mov	L_LEAVE_GPR+16(%rdi), %rdx
	mov	L_LEAVE_GPR+24(%rdi), %rbx
	mov	L_LEAVE_GPR+40(%rdi), %rbp
	mov	L_LEAVE_GPR+48(%rdi), %rsi
	mov	L_LEAVE_GPR+64(%rdi), %r8
	mov	L_LEAVE_GPR+72(%rdi), %r9
	mov	L_LEAVE_GPR+80(%rdi), %r10
	mov	L_LEAVE_GPR+88(%rdi), %r11
	mov	L_LEAVE_GPR+96(%rdi), %r12
	mov	L_LEAVE_GPR+104(%rdi), %r13
	mov	L_LEAVE_GPR+112(%rdi), %r14
	mov	L_LEAVE_GPR+120(%rdi), %r15
	mov	L_LEAVE_GPR+56(%rdi), %rdi
	popfq
	ret

/*
 * Exceptions: one 16-byte stub for each of the 256 vectors, then a common frame, struct trap_frame
 * of trap.c.
 */
	.balign	16
	.globl trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	push	$0
	.endif
	push	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

trap_common:
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%r11
	push	%r10
	push	%r9
	push	%r8
	push	%rdi
	push	%rsi
	push	%rbp
	push	%rbx
	push	%rdx
	push	%rcx
	push	%rax
	cld
	mov	%rsp, %rdi
	call	trap_handler
	pop	%rax
	pop	%rcx
	pop	%rdx
	pop	%rbx
	pop	%rbp
	pop	%rsi
	pop	%rdi
	pop	%r8
	pop	%r9
	pop	%r10
	pop	%r11
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	add	$16, %rsp
	iretq

	.section .note.GNU-stack, "", @progbits
