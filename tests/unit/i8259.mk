TESTS += i8259
i8259_SRCS := worker/platform/i8259.c
