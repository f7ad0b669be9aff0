TESTS += pcihost
pcihost_SRCS := worker/platform/pcihost.c
