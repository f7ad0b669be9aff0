# What every test of the IDE function is made of.
IDE := $(addprefix worker/,devices/ata.c devices/atapi.c devices/ide.c devices/ide_bimodal.c devices/bimodal.c \
       devices/virtio.c devices/virtio_blk.c devices/virtq.c platform/pcihost.c platform/timerq.c)
TESTS += ata
ata_SRCS := $(IDE)
