/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WORKER_CONFIG_H
#define WORKER_CONFIG_H

/*
 * Configuration files: the options of `plinth run` as JSON, see docs/config.md. A key is an option; what is wrong with it
 * is said with file, line and key.
 */
struct options;

#define CONFIG_SIZE_MAX (1u << 20)

/* Reads a file into *o, of which only one can be read. Returns 0 or -EINVAL after having said why. */
int config_read(struct options *o, const char *path);

/* The same from text; @path is for messages. */
int config_parse(struct options *o, const char *path, const char *text);

/* Releases the strings that options refer to. */
void config_free(struct options *o);

#endif
