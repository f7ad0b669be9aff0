TESTS += vm
vm_SRCS := core/vm.c core/memuse.c core/x86/paging.c
