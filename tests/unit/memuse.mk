TESTS += memuse
memuse_SRCS := core/memuse.c
