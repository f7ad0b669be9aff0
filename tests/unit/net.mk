# SPDX-License-Identifier: GPL-2.0-only
TESTS += net
net_SRCS := worker/devices/net.c
