# SPDX-License-Identifier: GPL-2.0-only
FUZZERS += atapi
atapi_SRCS := $(addprefix worker/,devices/ata.c devices/atapi.c devices/ide.c devices/ide_bimodal.c devices/bimodal.c \
	     devices/virtio.c devices/virtio_blk.c devices/virtq.c platform/pcihost.c platform/timerq.c)
atapi_SEEDS := seeds_ide.py seeds_trace.py
