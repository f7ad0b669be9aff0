# SPDX-License-Identifier: GPL-2.0-only
TESTS += ide_bimodal
ide_bimodal_SRCS := $(IDE)
