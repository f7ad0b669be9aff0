TESTS += cli
cli_SRCS := worker/parse.c worker/escape.c
