TESTS += ide
ide_SRCS := $(IDE)
