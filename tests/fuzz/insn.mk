# SPDX-License-Identifier: GPL-2.0-only
FUZZERS   += insn
insn_SRCS := core/x86/insn.c core/x86/emul.c
