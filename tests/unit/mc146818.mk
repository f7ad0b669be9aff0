TESTS += mc146818
mc146818_SRCS := worker/platform/mc146818.c worker/platform/timerq.c
