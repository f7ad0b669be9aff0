TESTS += console
console_SRCS := worker/console.c worker/escape.c worker/diag.c
console_LIBS := -pthread
