# SPDX-License-Identifier: GPL-2.0-only
TESTS += virtq
virtq_SRCS := worker/devices/virtq.c
