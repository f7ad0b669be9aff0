TESTS += acpipm
acpipm_SRCS := worker/platform/acpipm.c worker/platform/timerq.c
