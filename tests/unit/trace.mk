TESTS += trace
trace_SRCS := worker/trace.c worker/bus.c worker/diag.c
