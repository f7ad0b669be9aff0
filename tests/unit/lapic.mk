TESTS += lapic
lapic_SRCS := core/lapic.c
lapic_LIBS := -pthread
