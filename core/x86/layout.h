/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Offsets that assembly uses; core/x86/svm/svm.c and core/core.c assert that they are those of the
 * C structures.
 */
#ifndef CORE_X86_LAYOUT_H
#define CORE_X86_LAYOUT_H

/* abi.h */
#define L_VA_CPUS	0xffff802000000000
#define L_CPU_STRIDE	0x20000
#define L_CPU_STACK_TOP 0x05000
#define L_CPU_DATA	0x09000
#define L_ENTRY_CPU	12 /* struct plinth_entry */

/* struct cpu */
#define L_CPU_LINUX_RSP 0

/* struct leave, svm.h */
#define L_LEAVE_GPR    0
#define L_LEAVE_RIP    128
#define L_LEAVE_RSP    136
#define L_LEAVE_RFLAGS 144
#define L_LEAVE_CR3    152
#define L_LEAVE_CR4    160
#define L_LEAVE_EFER   168
#define L_LEAVE_VMCB   176
#define L_LEAVE_GDTR   184 /* 10 bytes at an offset of 6 into 16, so that the base is aligned */
#define L_LEAVE_IDTR   200
#define L_LEAVE_SS     216
#define L_LEAVE_DS     218
#define L_LEAVE_ES     220

/* struct ap_args, ap.c */
#define L_AP_GDTR  24
#define L_AP_FAR   30
#define L_AP_CR0   36
#define L_AP_CR3   40
#define L_AP_CR4   44
#define L_AP_EFER  48
#define L_AP_STACK 52
#define L_AP_CPU   60
#define L_AP_ENTRY 68
#define L_AP_SIZE  76

#endif
