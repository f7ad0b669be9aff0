TESTS += loop
loop_SRCS := worker/loop.c
