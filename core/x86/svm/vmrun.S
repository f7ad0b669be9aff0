/* SPDX-License-Identifier: GPL-2.0-only */
/* The world switch. */
	.section .text

/*
 * void svm_vmrun(struct gprs *g, u64 vmcb_pa, u64 host_vmcb_pa, u64 host_if)
 *
 * RAX, RSP and RIP of the guest are in its VMCB. FS, GS, TR, LDTR and the syscall MSRs are exchanged
 * by VMLOAD and VMSAVE, as the core needs its own TSS for its IST stacks.
 */
	.globl svm_vmrun
svm_vmrun:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	push	%rdx
	mov	%rsi, %rax
	test	%rcx, %rcx
	jz	1f
	sti				/* GIF is 0: nothing comes in before VMRUN sets it */
1:	mov	8(%rdi), %rcx
	mov	16(%rdi), %rdx
	mov	24(%rdi), %rbx
	mov	40(%rdi), %rbp
	mov	48(%rdi), %rsi
	mov	64(%rdi), %r8
	mov	72(%rdi), %r9
	mov	80(%rdi), %r10
	mov	88(%rdi), %r11
	mov	96(%rdi), %r12
	mov	104(%rdi), %r13
	mov	112(%rdi), %r14
	mov	120(%rdi), %r15
	mov	56(%rdi), %rdi
	vmload	%rax
	vmrun	%rax
	vmsave	%rax
	push	%rdi
	mov	16(%rsp), %rdi
	popq	56(%rdi)
	mov	%rcx, 8(%rdi)
	mov	%rdx, 16(%rdi)
	mov	%rbx, 24(%rdi)
	mov	%rbp, 40(%rdi)
	mov	%rsi, 48(%rdi)
	mov	%r8, 64(%rdi)
	mov	%r9, 72(%rdi)
	mov	%r10, 80(%rdi)
	mov	%r11, 88(%rdi)
	mov	%r12, 96(%rdi)
	mov	%r13, 104(%rdi)
	mov	%r14, 112(%rdi)
	mov	%r15, 120(%rdi)
	pop	%rax
	vmload	%rax
	cli
	cld
	pop	%rdi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/*
 * void svm_wait_nmi(void). An NMI that is taken between STGI and HLT must not be slept over: the
 * handler (trap.c) steps over a HLT that it would return to.
 */
	.globl svm_wait_nmi, svm_wait_hlt
svm_wait_nmi:
	stgi
svm_wait_hlt:
	hlt
	clgi
	ret

/* The temporary VM's one instruction (L6), in the core's own address space. */
	.globl svm_temp_vm_code
svm_temp_vm_code:
	cpuid
	ud2

	.section .note.GNU-stack, "", @progbits
