TESTS += bzimage
bzimage_SRCS := worker/bzimage.c worker/memmap.c
