/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A processor that is on bare hardware comes into the core with its first instruction: the root's SIPI is held, the core
 * starts the processor in a page of its own making at the address that the SIPI names, and it becomes the root's virtual
 * processor, which then starts there as the root has asked. So none is ever outside of the core that
 * could reach its memory (L4), once it has got its INIT.
 */
#ifndef CORE_X86_AP_H
#define CORE_X86_AP_H

#include "core/cpu.h"

/*
 * Start the processor with this APIC id, which waits for a SIPI, at vector << 12. 0, or nothing has happened: -ENODEV: no
 * such processor was present at the launch; -EBUSY: another is being started; -EINVAL: no RAM there;
 * -ENOMEM; -EIO: it does not answer.
 */
int ap_start(u32 apic_id, u8 vector);

#endif
