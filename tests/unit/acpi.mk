TESTS += acpi
acpi_SRCS := worker/acpi.c worker/aml.c
