TESTS += fwcfg
fwcfg_SRCS := worker/platform/fwcfg.c
