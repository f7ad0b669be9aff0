/* SPDX-License-Identifier: GPL-2.0-only */
/* The physical local APIC of this CPU, in whichever mode the root uses it. */
#ifndef CORE_APIC_H
#define CORE_APIC_H

#include "core/types.h"

#define APIC_ID	     0x020
#define APIC_TPR     0x080
#define APIC_LDR     0x0d0
#define APIC_DFR     0x0e0
#define APIC_SVR     0x0f0
#define APIC_ICR     0x300
#define APIC_ICR2    0x310
#define APIC_LVTT    0x320
#define APIC_LVTTHMR 0x330
#define APIC_LVTPC   0x340
#define APIC_LVT0    0x350
#define APIC_LVT1    0x360
#define APIC_LVTERR  0x370
#define APIC_TMICT   0x380

#define APIC_ICR_MODE(icr)	(((icr) >> 8) & 7)
#define APIC_MODE_NMI		4
#define APIC_MODE_INIT		5
#define APIC_MODE_SIPI		6
#define APIC_ICR_LOGICAL	0x800u
#define APIC_ICR_BUSY		0x1000u
#define APIC_ICR_ASSERT		0x4000u
#define APIC_ICR_LEVEL		0x8000u
#define APIC_ICR_SHORTHAND(icr) (((icr) >> 18) & 3)
#define APIC_LVT_MASKED		0x10000u

#define MSR_APIC_BASE 0x1bu
#define MSR_X2APIC    0x800u

u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 val);
/* Send what the interrupt command register describes; dest is an APIC id or a logical mask. */
void apic_icr(u32 dest, u32 low);
void apic_send_nmi(u32 apic_id);
/* After an NMI: did the performance counters raise it? (Its delivery masks their LVT entry.) */
bool apic_pmi_fired(void);
/* The registers as INIT leaves them (APM 2, 16.3.1). */
void apic_reset(void);

#endif
