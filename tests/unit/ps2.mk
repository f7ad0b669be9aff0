TESTS += ps2
ps2_SRCS := $(addprefix worker/platform/,i8042.c ps2kbd.c ps2mouse.c timerq.c)
