/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ROOT_HYPERCALL_H
#define ROOT_HYPERCALL_H

#include <linux/errno.h>
#include <linux/types.h>
#include <asm/asm.h>
#include <plinth/abi.h>

/*
 * Call the core; see enum plinth_hc for numbers and arguments. Any context. -ENODEV where there is no core (any more:
 * the system's end retires it under its users): the instruction has raised #UD.
 */
static inline s64 plinth_hypercall(u32 nr, u64 rbx, u64 rcx, u64 rdx, u64 rsi, u64 rdi)
{
	s64 ret;

	asm volatile("1:	vmmcall\n"
		     "2:\n"
		     ".pushsection .text.unlikely, \"ax\"\n"
		     "3:	mov	%[gone], %%rax\n"
		     "	jmp	2b\n"
		     ".popsection\n" _ASM_EXTABLE(1b, 3b)
		     : "=a"(ret)
		     : "a"(PLINTH_HC_MAGIC | nr), "b"(rbx), "c"(rcx), "d"(rdx), "S"(rsi),
		       "D"(rdi), [gone] "i"(-ENODEV)
		     : "memory");
	return ret;
}

#endif
