// SPDX-License-Identifier: GPL-2.0-only
/* plinth ps: this user's machines. */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/cmd.h"
#include "worker/control.h"
#include "worker/diag.h"
#include "worker/options.h"
#include "worker/parse.h"

static const char help[] = "usage: plinth ps [--json]\n\n"
			   "Lists the machines that this user runs.\n\n"
			   "  --json  as a JSON array\n"
			   "  --help  this text\n";

/* The name in "NAME.sock"; false for any other file. */
static bool ps_name(const char *file, char name[OPTIONS_NAME_MAX + 5])
{
	size_t len = strlen(file);

	if (len < 6 || len - 5 > OPTIONS_NAME_MAX + 4 || strcmp(file + len - 5, ".sock") != 0)
		return false;
	memcpy(name, file, len - 5);
	name[len - 5] = 0;
	return parse_name(name, OPTIONS_NAME_MAX + 4);
}

/* Adds what a machine says of itself; nothing if it has just ended. */
static void ps_add(cJSON *list, const char *name)
{
	int fd = control_connect(name);
	cJSON *item = NULL;
	char *text;
	int ret;

	if (fd == -ECONNREFUSED)
		control_sweep(name);
	if (fd < 0)
		return;
	ret = control_ask(fd, CONTROL_INFO, &text);
	if (!ret) {
		item = cJSON_Parse(text);
		free(text);
	} else if (ret != -EPIPE) {
		control_explain(name, ret);
	}
	if (cJSON_IsObject(item))
		cJSON_AddItemToArray(list, item);
	else
		cJSON_Delete(item);
	close(fd);
}

static const char *ps_string(const cJSON *item, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, key));

	return text ? text : "?";
}

static unsigned long long ps_number(const cJSON *item, const char *key)
{
	const cJSON *n = cJSON_GetObjectItemCaseSensitive(item, key);

	return cJSON_IsNumber(n) && n->valuedouble >= 0 ? (unsigned long long)n->valuedouble : 0;
}

static void ps_print(const cJSON *list)
{
	const cJSON *item;

	printf("%-15s  %7s  %4s  %10s  %s\n", "NAME", "PID", "CPUS", "MEMORY", "DEVICE");
	cJSON_ArrayForEach(item, list)
		printf("%-15s  %7llu  %4llu  %6llu MiB  %s\n", ps_string(item, "name"),
		       ps_number(item, "pid"), ps_number(item, "cpus"),
		       ps_number(item, "memory") >> 20, ps_string(item, "device"));
}

int cmd_ps(int argc, char **argv)
{
	char dir[CONTROL_PATH_MAX], name[OPTIONS_NAME_MAX + 5], *text;
	cJSON *list = cJSON_CreateArray();
	struct dirent **file = NULL;
	bool json = false;
	int ret = cmd_parse_plain(argc, argv, help, &json), i, n = 0;

	if (ret)
		goto out;
	if (control_path(dir, NULL) == 0)
		n = scandir(dir, &file, NULL, alphasort);
	for (i = 0; i < n; i++) {
		if (ps_name(file[i]->d_name, name))
			ps_add(list, name);
		free(file[i]);
	}
	free(file);
	text = json ? cJSON_PrintUnformatted(list) : NULL;
	if (text)
		puts(text);
	else
		ps_print(list);
	free(text);
out:
	cJSON_Delete(list);
	return ret < 0 ? CMD_ERROR : CMD_OK;
}
