# SPDX-License-Identifier: GPL-2.0-only
TESTS += asid
asid_SRCS :=
