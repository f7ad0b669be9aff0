TESTS += shadow
shadow_SRCS := worker/vm.c worker/memmap.c worker/diag.c
shadow_LIBS := -Wl,--wrap=ioctl
