TESTS += control
control_SRCS := worker/control.c worker/control_server.c worker/loop.c worker/parse.c worker/diag.c
control_LIBS := -pthread
