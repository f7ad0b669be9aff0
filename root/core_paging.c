// SPDX-License-Identifier: GPL-2.0-only
/* The core's page-table code, built for the module: loader.c makes the core's tables with it. */
#include "core/x86/paging.c"
