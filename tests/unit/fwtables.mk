TESTS += fwtables
fwtables_SRCS := $(addprefix worker/,fwtables.c smbios.c acpi.c aml.c memmap.c platform/fwcfg.c)
