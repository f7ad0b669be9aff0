TESTS += atapi
atapi_SRCS := $(IDE)
