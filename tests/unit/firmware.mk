TESTS += firmware
firmware_SRCS := worker/firmware.c worker/file.c worker/diag.c
