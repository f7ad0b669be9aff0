# SPDX-License-Identifier: GPL-2.0-only
TESTS += virtio_net
virtio_net_SRCS := $(addprefix worker/devices/,virtio.c virtio_net.c virtq.c net.c) worker/platform/timerq.c
