TESTS += i8042
i8042_SRCS := worker/platform/i8042.c worker/platform/ps2kbd.c
