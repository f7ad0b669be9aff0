TESTS += net_tap
net_tap_SRCS := worker/backends/tap.c worker/devices/net.c worker/loop.c worker/diag.c
net_tap_LIBS := -pthread
