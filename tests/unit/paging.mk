TESTS += paging
paging_SRCS := core/x86/paging.c
