TESTS += options
options_SRCS := worker/options.c worker/config.c worker/parse.c worker/diag.c worker/file.c worker/trace.c
options_LIBS := -lcjson
