TESTS += bus
bus_SRCS := worker/bus.c
