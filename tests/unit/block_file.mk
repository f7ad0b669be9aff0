TESTS += block_file
block_file_SRCS := worker/backends/file.c worker/backends/request.c worker/loop.c worker/diag.c worker/sandbox.c \
	worker/console.c worker/escape.c
block_file_LIBS := -luring -lseccomp -pthread
