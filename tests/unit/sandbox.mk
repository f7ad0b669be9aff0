TESTS += sandbox
sandbox_SRCS := worker/sandbox.c worker/diag.c worker/console.c worker/escape.c
sandbox_LIBS := -lseccomp -pthread
