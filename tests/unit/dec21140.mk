# SPDX-License-Identifier: GPL-2.0-only
DEC21140 := $(addprefix worker/devices/,dec21140.c dec21140_ring.c dec21140_filter.c dec21140_serial.c \
	    dec21140_bimodal.c bimodal.c virtio.c virtio_net.c virtq.c net.c) \
	    worker/platform/pcihost.c worker/platform/timerq.c
TESTS += dec21140_driver
dec21140_driver_SRCS := $(DEC21140)
TESTS += dec21140
dec21140_SRCS := $(DEC21140)
TESTS += dec21140_filter
dec21140_filter_SRCS := $(DEC21140)
TESTS += dec21140_serial
dec21140_serial_SRCS := $(DEC21140)
TESTS += dec21140_ring
dec21140_ring_SRCS := $(DEC21140)
TESTS += dec21140_bimodal
dec21140_bimodal_SRCS := $(DEC21140)
