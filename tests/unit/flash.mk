TESTS += flash
flash_SRCS := worker/platform/flash.c
