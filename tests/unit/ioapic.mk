TESTS += ioapic
ioapic_SRCS := worker/platform/ioapic.c
