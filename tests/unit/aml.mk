TESTS += aml
aml_SRCS := worker/aml.c
