# SPDX-License-Identifier: GPL-2.0-only
TESTS       += insn
insn_SRCS   := core/x86/insn.c
insn_CFLAGS := -O2
insn_LIBS   := -lZydis
