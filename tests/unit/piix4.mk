TESTS += piix4
piix4_SRCS := $(addprefix worker/platform/,piix4.c pcihost.c i8237.c)
