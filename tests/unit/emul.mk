# SPDX-License-Identifier: GPL-2.0-only
TESTS       += emul
emul_SRCS   := core/x86/emul.c core/x86/insn.c
emul_CFLAGS := -O2
