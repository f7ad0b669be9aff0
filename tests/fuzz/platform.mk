FUZZERS += platform
platform_SRCS := $(addprefix worker/platform/,acpipm.c flash.c fwcfg.c i8042.c i8237.c i8254.c i8259.c ioapic.c mc146818.c \
		   pcihost.c piix4.c ps2kbd.c ps2mouse.c timerq.c uart16550.c)
platform_SEEDS := seeds_trace.py
