TESTS += block_nbd
block_nbd_SRCS := worker/backends/nbd.c worker/backends/request.c worker/loop.c worker/diag.c worker/sandbox.c \
	worker/console.c worker/escape.c
block_nbd_LIBS := -lseccomp -pthread
