/* SPDX-License-Identifier: GPL-2.0-only */
/* The control side of /dev/plinth (plinth/uapi.h). Failures print their own line. */
#ifndef WORKER_CTL_H
#define WORKER_CTL_H

#include <stdbool.h>

/*
 * Opens /dev/plinth. Returns the descriptor, or a negative errno; quiet: -ENOENT (the module is not
 * loaded) is not said.
 */
int ctl_open(bool quiet);

/*
 * Does PLINTH_LAUNCH or PLINTH_RETIRE (request); what names it ("launch"). Returns 0 or a negative
 * errno after having printed the module's reason.
 */
int ctl_request(int fd, unsigned long request, const char *what);

/* The status report, JSON text to be freed by the caller. Returns 0 or a negative errno. */
int ctl_report(int fd, char **report);

/* Whether the hypervisor is there: the module is loaded and says so. */
bool ctl_launched(void);

#endif
