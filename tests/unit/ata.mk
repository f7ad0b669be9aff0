TESTS += ata
ata_SRCS := $(addprefix worker/,devices/ata.c devices/atapi.c devices/ide.c platform/pcihost.c \
	    platform/timerq.c)
