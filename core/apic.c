// SPDX-License-Identifier: GPL-2.0-only
#include "core/apic.h"
#include "core/cpu.h"
#include "core/x86/asm.h"

static volatile u32 *apic_reg(u32 reg)
{
	return (volatile u32 *)(PLINTH_VA_APIC + reg);
}

u32 apic_read(u32 reg)
{
	return boot->params.x2apic ? (u32)rdmsr(MSR_X2APIC + reg / 16) : *apic_reg(reg);
}

void apic_write(u32 reg, u32 val)
{
	if (boot->params.x2apic)
		wrmsr(MSR_X2APIC + reg / 16, val);
	else
		*apic_reg(reg) = val;
}

void apic_icr(u32 dest, u32 low)
{
	u32 icr2;

	if (boot->params.x2apic) {
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (u64)dest << 32 | low);
		return;
	}
	/* The root may be between its writes of the two halves: give it its own high half back. */
	while (apic_read(APIC_ICR) & APIC_ICR_BUSY)
		__builtin_ia32_pause();
	icr2 = apic_read(APIC_ICR2);
	apic_write(APIC_ICR2, dest << 24);
	apic_write(APIC_ICR, low);
	apic_write(APIC_ICR2, icr2);
}

void apic_send_nmi(u32 apic_id)
{
	apic_icr(apic_id, APIC_MODE_NMI << 8 | APIC_ICR_ASSERT);
}

bool apic_pmi_fired(void)
{
	u32 lvt = apic_read(APIC_LVTPC);

	return APIC_ICR_MODE(lvt) == APIC_MODE_NMI && (lvt & APIC_LVT_MASKED);
}

void apic_reset(void)
{
	static const u16 lvt[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC,
				   APIC_LVT0, APIC_LVT1,    APIC_LVTERR };
	unsigned int i;

	apic_write(APIC_SVR, 0xff); /* software-disabled: also masks the LVTs */
	for (i = 0; i < ARRAY_SIZE(lvt); i++)
		apic_write(lvt[i], APIC_LVT_MASKED);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_TMICT, 0);
	if (!boot->params.x2apic) {
		apic_write(APIC_LDR, 0);
		apic_write(APIC_DFR, 0xffffffff);
	}
}
