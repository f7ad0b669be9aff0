TESTS += msr_policy
msr_policy_SRCS := core/x86/msr_policy.c core/x86/cpuid_policy.c
