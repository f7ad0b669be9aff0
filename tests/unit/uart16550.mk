TESTS += uart16550
uart16550_SRCS := worker/platform/uart16550.c worker/platform/timerq.c
