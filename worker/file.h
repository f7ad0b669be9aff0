/* SPDX-License-Identifier: GPL-2.0-only */
/* Whole files in memory: kernel images and initrds. */
#ifndef WORKER_FILE_H
#define WORKER_FILE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads a file, or a pipe up to its end, of at most max bytes. what names it in the error line
 * ("kernel"). Returns 0 with *data (to be freed by the caller) and *size set, or a negative errno
 * after having said why.
 */
int file_read(const char *path, const char *what, size_t max, uint8_t **data, size_t *size);

#endif
