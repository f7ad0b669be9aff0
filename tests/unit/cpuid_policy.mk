TESTS += cpuid_policy
cpuid_policy_SRCS := core/x86/cpuid_policy.c
