# SPDX-License-Identifier: GPL-2.0-only
TESTS += gwalk
gwalk_SRCS := core/x86/gwalk.c
