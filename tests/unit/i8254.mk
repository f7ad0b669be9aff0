TESTS += i8254
i8254_SRCS := worker/platform/i8254.c worker/platform/timerq.c
