/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From real mode to the core, in one go (APM 2, 14.6): copied to a page below 1 MiB, with struct ap_args filled in. CS has
 * the page's address.
 */
#include "core/x86/layout.h"

	.section .rodata
	.globl ap_code, ap_code_args, ap_code_64, ap_code_end
	.code16
	.balign	16
ap_code:
	cli
	cld
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	(ap_code_args - ap_code + L_AP_GDTR)
	mov	(ap_code_args - ap_code + L_AP_CR4), %eax
	mov	%eax, %cr4
	mov	(ap_code_args - ap_code + L_AP_CR3), %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER */
	mov	(ap_code_args - ap_code + L_AP_EFER), %eax
	xor	%edx, %edx
	wrmsr
	mov	(ap_code_args - ap_code + L_AP_CR0), %eax
	mov	%eax, %cr0
	ljmpl	*(ap_code_args - ap_code + L_AP_FAR)

	.code64
ap_code_64:
	mov	ap_code_args+L_AP_STACK(%rip), %rsp
	mov	ap_code_args+L_AP_CPU(%rip), %rdi
	jmp	*ap_code_args+L_AP_ENTRY(%rip)

	.balign	16
ap_code_args:
	.skip	L_AP_SIZE
ap_code_end:

	.section .note.GNU-stack, "", @progbits
