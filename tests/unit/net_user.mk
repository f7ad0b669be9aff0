TESTS += net_user
net_user_SRCS := worker/backends/slirp.c worker/backends/none.c worker/loop.c worker/diag.c worker/sandbox.c \
	worker/console.c worker/escape.c
net_user_LIBS := -lslirp -lseccomp -pthread
