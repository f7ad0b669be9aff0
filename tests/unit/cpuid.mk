TESTS += cpuid
cpuid_SRCS := worker/cpuid.c
