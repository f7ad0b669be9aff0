/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CORE_HYPERCALL_H
#define CORE_HYPERCALL_H

#include "core/cpu.h"

/*
 * One of enum plinth_hc, but PLINTH_HC_RETIRE, which does not come back. -> the root's RAX. A 4 KiB
 * log read names its position in rdx.
 */
s64 hypercall(struct cpu *c, u32 nr, u64 rbx, u64 rcx, u64 rdx, u64 rsi, u64 rdi);

#endif
