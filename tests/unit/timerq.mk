TESTS += timerq
timerq_SRCS := worker/platform/timerq.c
