# SPDX-License-Identifier: GPL-2.0-only
FUZZERS += dec21140
dec21140_SRCS := $(addprefix worker/devices/,dec21140.c dec21140_ring.c dec21140_filter.c dec21140_serial.c \
		dec21140_bimodal.c bimodal.c virtio.c virtio_net.c virtq.c net.c) \
		 worker/platform/pcihost.c worker/platform/timerq.c
dec21140_SEEDS := seeds_dec21140.py seeds_trace.py
