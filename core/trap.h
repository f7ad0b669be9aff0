/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions and NMIs taken in the core itself. */
#ifndef CORE_TRAP_H
#define CORE_TRAP_H

#include "core/types.h"

#define TRAP_IST 1 /* stack of #DF, #MC and #PF */

void trap_init(void);	  /* fill the IDT, once */
void trap_load_idt(void); /* on each CPU */
void cpu_load_cs(u16 selector);

/* RDMSR and WRMSR of registers that may not exist: -EIO where the instruction raises #GP. */
int rdmsr_safe(u32 msr, u64 *val);
int wrmsr_safe(u32 msr, u64 val);

#endif
