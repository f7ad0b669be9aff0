/* SPDX-License-Identifier: GPL-2.0-only */
/* The core's log: a ring that the root reads with PLINTH_HC_LOG, copied to the debug port if any. */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/types.h"

/* printf with %s %c %d %u %x %p, l and ll (all take 64 bits), width and zero padding. Any context. */
void log_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Copy from byte position pos on; advances *pos past overwritten bytes. -> bytes copied. */
u32 log_read(u64 *pos, void *buf, u32 size);
u64 log_written(void);
/* Copy to this I/O port from now on; 0: do not. */
void log_set_port(u16 port);

/* Trace a failure where it arises: `return trace_error(-EINVAL);` */
#define trace_error(e)                                                                             \
	({                                                                                         \
		int __e = (e);                                                                     \
		log_printf("%s:%d: error %d\n", __FILE__, __LINE__, __e);                          \
		__e;                                                                               \
	})

#endif
