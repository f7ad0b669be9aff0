// SPDX-License-Identifier: GPL-2.0-only
/*
 * libcjson parses, but keeps no lines. A second walk over the text, which is known to be JSON then, goes from member to
 * member in step with the parsed tree and counts them.
 */
#include "worker/config.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/diag.h"
#include "worker/file.h"
#include "worker/options.h"

#define CONFIG_WHERE_MAX 512

/* A place in the text. */
struct config_walk {
	const char *path; /* of the file */
	const char *text;
	const char *at;
};

/* ------------------------------------------------------------------ the second walk */

static const char *walk_blank(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static const char *walk_string(const char *p)
{
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
	}
	return *p ? p + 1 : p;
}

/* Behind the value that begins at @p, whatever it contains. */
static const char *walk_value(const char *p)
{
	unsigned int depth = 0;

	do {
		p = walk_blank(p);
		if (*p == '"') {
			p = walk_string(p);
		} else if (*p == '{' || *p == '[') {
			depth++;
			p++;
		} else if (*p == '}' || *p == ']') {
			depth--;
			p++;
		} else if (*p == ',' || *p == ':') {
			p++;
		} else {
			p += strcspn(p, " \t\r\n,:{}[]\"");
		}
	} while (depth && *p);
	return p;
}

/* From the opening bracket, or from behind a value, to the next member or element. */
static void walk_next(struct config_walk *w)
{
	w->at = walk_blank(w->at);
	if (*w->at == '{' || *w->at == '[' || *w->at == ',')
		w->at = walk_blank(w->at + 1);
}

/* From a member's key to its value. */
static void walk_to_value(struct config_walk *w)
{
	w->at = walk_blank(walk_string(w->at));
	if (*w->at == ':')
		w->at = walk_blank(w->at + 1);
}

static unsigned int walk_line(const struct config_walk *w)
{
	unsigned int line = 1;
	const char *p;

	for (p = w->text; p < w->at; p++)
		line += *p == '\n';
	return line;
}

/* "vm.json:3: cpus", for messages. */
static const char *walk_where(const struct config_walk *w, const char *key, char *where)
{
	snprintf(where, CONFIG_WHERE_MAX, "%s:%u: %s", w->path, walk_line(w), key);
	return where;
}

/* ------------------------------------------------------------------ values */

/* A string, or a number without a fraction as @number's text; NULL for anything else. */
static const char *config_text(const cJSON *item, char number[32])
{
	if (cJSON_IsString(item))
		return item->valuestring;
	if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > 1e15 ||
	    item->valuedouble != (double)(unsigned long long)item->valuedouble)
		return NULL;
	snprintf(number, 32, "%llu", (unsigned long long)item->valuedouble);
	return number;
}

static int config_bad_type(const char *where, const char *wanted)
{
	diag_error("%s: give %s", where, wanted);
	return -EINVAL;
}

/* A key that has come before, in the same object. */
static int config_check_once(const char *where, const cJSON *object, const cJSON *item)
{
	if (cJSON_GetObjectItemCaseSensitive(object, item->string) == item)
		return 0;
	diag_error("%s is there twice: remove one", where);
	return -EINVAL;
}

static int config_disk_member(struct option_disk *d, const char *where, const cJSON *item)
{
	if (strcmp(item->string, "readonly") == 0) {
		if (!cJSON_IsBool(item))
			return config_bad_type(where, "true or false");
		/* A CD-ROM stays what it is. */
		return cJSON_IsTrue(item) ? options_disk_property(d, where, "readonly", NULL) : 0;
	}
	if (!cJSON_IsString(item))
		return config_bad_type(where, "a string");
	if (strcmp(item->string, "file") == 0 || strcmp(item->string, "nbd") == 0) {
		if (d->target[0]) {
			diag_error("%s: a drive has one of file and nbd", where);
			return -EINVAL;
		}
		d->nbd = item->string[0] == 'n';
		return options_disk_target(d, where, item->valuestring);
	}
	return options_disk_property(d, where, item->string, item->valuestring);
}

static int config_disk(struct options *o, bool cdrom, struct config_walk *w, const cJSON *object,
		       const char *key)
{
	char where[CONFIG_WHERE_MAX];
	struct option_disk *d = options_add_disk(o, cdrom, walk_where(w, key, where));
	const cJSON *item;
	int ret;

	if (!d)
		return -EINVAL;
	cJSON_ArrayForEach(item, object)
	{
		walk_next(w);
		ret = config_check_once(walk_where(w, item->string, where), object, item);
		walk_to_value(w);
		if (!ret)
			ret = config_disk_member(d, where, item);
		if (ret)
			return ret;
		w->at = walk_value(w->at);
	}
	if (d->target[0])
		return 0;
	diag_error("%s: a drive needs file or nbd", walk_where(w, key, where));
	return -EINVAL;
}

static int config_forwards(struct option_net *n, struct config_walk *w, const cJSON *array)
{
	char where[CONFIG_WHERE_MAX];
	const cJSON *item;
	int ret = 0;

	cJSON_ArrayForEach(item, array)
	{
		walk_next(w);
		walk_where(w, "hostfwd", where);
		if (!cJSON_IsString(item))
			return config_bad_type(where, "strings such as \"tcp:127.0.0.1:8080-:80\"");
		ret = options_net_property(n, where, "hostfwd", item->valuestring);
		if (ret)
			return ret;
		w->at = walk_value(w->at);
	}
	return 0;
}

static int config_net(struct options *o, struct config_walk *w, const cJSON *object,
		      const char *key)
{
	const cJSON *item, *kind = cJSON_GetObjectItemCaseSensitive(object, "type");
	char where[CONFIG_WHERE_MAX];
	struct option_net *n = options_add_net(o, walk_where(w, key, where));
	struct config_walk inner;
	int ret;

	if (!n)
		return -EINVAL;
	if (!cJSON_IsString(kind))
		return config_bad_type(where, "a \"type\": user, tap or none");
	/* First, wherever it stands: what else may be said depends on it. */
	ret = options_net_kind(n, where, kind->valuestring);
	cJSON_ArrayForEach(item, object)
	{
		if (ret)
			return ret;
		walk_next(w);
		ret = config_check_once(walk_where(w, item->string, where), object, item);
		walk_to_value(w);
		inner = *w;
		if (ret)
			return ret;
		if (cJSON_IsArray(item) && strcmp(item->string, "hostfwd") == 0) {
			ret = config_forwards(n, &inner, item);
		} else if (!cJSON_IsString(item)) {
			ret = config_bad_type(where, "a string");
		} else if (item != kind) {
			ret = options_net_property(n, where, item->string, item->valuestring);
		}
		w->at = walk_value(w->at);
	}
	return ret;
}

/* ------------------------------------------------------------------ members */

enum config_type {
	CONFIG_STRING,
	CONFIG_NUMBER, /* or a string */
	CONFIG_BOOL,
	CONFIG_BOOL_OR_STRING,
	CONFIG_LIST, /* of strings or objects, or one of them */
};

static const struct {
	const char *key;
	enum option_id id;
	enum config_type type;
} config_keys[] = {
	{ "kernel", OPTION_KERNEL, CONFIG_STRING },
	{ "initrd", OPTION_INITRD, CONFIG_STRING },
	{ "append", OPTION_APPEND, CONFIG_STRING },
	{ "firmware", OPTION_FIRMWARE, CONFIG_STRING },
	{ "firmware-log", OPTION_FIRMWARE_LOG, CONFIG_STRING },
	{ "firmware-vars", OPTION_FIRMWARE_VARS, CONFIG_STRING },
	{ "memory", OPTION_MEMORY, CONFIG_NUMBER },
	{ "cpus", OPTION_CPUS, CONFIG_NUMBER },
	{ "name", OPTION_NAME, CONFIG_STRING },
	{ "disk", OPTION_DISK, CONFIG_LIST },
	{ "cdrom", OPTION_CDROM, CONFIG_LIST },
	{ "net", OPTION_NET, CONFIG_LIST },
	{ "device", OPTION_DEVICE, CONFIG_STRING },
	{ "console", OPTION_CONSOLE, CONFIG_STRING },
	{ "user", OPTION_USER, CONFIG_STRING },
	{ "reboot", OPTION_REBOOT, CONFIG_BOOL },
	{ "stats", OPTION_STATS, CONFIG_BOOL_OR_STRING },
	{ "trace", OPTION_TRACE, CONFIG_STRING },
};

#define CONFIG_KEYS (sizeof(config_keys) / sizeof(config_keys[0]))

static int config_element(struct options *o, enum option_id id, struct config_walk *w,
			  const cJSON *item, const char *key)
{
	char where[CONFIG_WHERE_MAX];
	struct config_walk inner = *w;

	if (cJSON_IsString(item))
		return options_set(o, id, walk_where(w, key, where), item->valuestring);
	if (!cJSON_IsObject(item))
		return config_bad_type(walk_where(w, key, where),
				       "a string or an object, or a list of them");
	if (id == OPTION_NET)
		return config_net(o, &inner, item, key);
	return config_disk(o, id == OPTION_CDROM, &inner, item, key);
}

static int config_list(struct options *o, enum option_id id, struct config_walk *w,
		       const cJSON *list, const char *key)
{
	struct config_walk inner = *w;
	const cJSON *item;
	int ret = 0;

	if (!cJSON_IsArray(list))
		return config_element(o, id, w, list, key);
	cJSON_ArrayForEach(item, list)
	{
		walk_next(&inner);
		ret = config_element(o, id, &inner, item, key);
		if (ret)
			return ret;
		inner.at = walk_value(inner.at);
	}
	return 0;
}

static int config_value(struct options *o, size_t key, struct config_walk *w, const cJSON *item,
			const char *where)
{
	enum option_id id = config_keys[key].id;
	enum config_type type = config_keys[key].type;
	char number[32];
	const char *text;

	if (type == CONFIG_LIST)
		return config_list(o, id, w, item, config_keys[key].key);
	if (cJSON_IsBool(item) && (type == CONFIG_BOOL || type == CONFIG_BOOL_OR_STRING)) {
		if (cJSON_IsTrue(item))
			return options_set(o, id, where, NULL);
		options_unset(o, id);
		return 0;
	}
	if (type == CONFIG_BOOL)
		return config_bad_type(where, "true or false");
	if (cJSON_IsString(item))
		return options_set(o, id, where, item->valuestring);
	text = config_text(item, number);
	if (type != CONFIG_NUMBER || !text)
		return config_bad_type(where, type == CONFIG_NUMBER ? "a whole number or a string"
					      : type == CONFIG_STRING
						      ? "a string"
						      : "true, false or a file's name");
	return options_set(o, id, where, text);
}

static int config_member(struct options *o, struct config_walk *w, const cJSON *object,
			 const cJSON *item)
{
	char where[CONFIG_WHERE_MAX];
	size_t key;

	walk_where(w, item->string, where);
	if (config_check_once(where, object, item))
		return -EINVAL;
	for (key = 0; key < CONFIG_KEYS; key++) {
		if (strcmp(config_keys[key].key, item->string) == 0)
			break;
	}
	if (key == CONFIG_KEYS) {
		diag_error("%s is not a key that is known: see docs/config.md or plinth(8)", where);
		return -EINVAL;
	}
	walk_to_value(w);
	return config_value(o, key, w, item, where);
}

/* ------------------------------------------------------------------ files */

static int config_explain_parse(const char *path, const char *text, const char *end)
{
	struct config_walk w = { .path = path, .text = text, .at = end ? end : text };
	const char *line = w.at;
	int len;

	/* What could not be understood begins here, or is the end. */
	line = walk_blank(line);
	len = strcspn(line, "\r\n");
	if (len > 24)
		len = 24;
	w.at = line;
	if (len)
		diag_error("%s:%u: not JSON: '%.*s' is not expected here", path, walk_line(&w), len,
			   line);
	else
		diag_error("%s:%u: not JSON: the text ends too early", path, walk_line(&w));
	return -EINVAL;
}

int config_parse(struct options *o, const char *path, const char *text)
{
	struct config_walk w = { .path = path, .text = text }, inner;
	const char *end = NULL;
	const cJSON *item;
	cJSON *root;
	int ret = 0;

	root = cJSON_ParseWithOpts(text, &end, true);
	if (!root)
		return config_explain_parse(path, text, end);
	o->config = root;
	if (!cJSON_IsObject(root)) {
		diag_error("%s:1: not an object: write { \"memory\": \"1G\", ... }", path);
		return -EINVAL;
	}
	w.at = walk_blank(text);
	cJSON_ArrayForEach(item, root)
	{
		walk_next(&w);
		inner = w;
		ret = config_member(o, &inner, root, item);
		if (ret)
			break;
		walk_to_value(&w);
		w.at = walk_value(w.at);
	}
	return ret;
}

int config_read(struct options *o, const char *path)
{
	uint8_t *data = NULL;
	size_t size = 0;
	char *text;
	int ret;

	if (o->config) {
		diag_error("run: two configuration files are given: choose one");
		return -EINVAL;
	}
	if (file_read(path, "configuration", CONFIG_SIZE_MAX, &data, &size))
		return -EINVAL;
	text = malloc(size + 1);
	if (!text) {
		free(data);
		return -ENOMEM;
	}
	memcpy(text, data, size);
	text[size] = 0;
	free(data);
	if (strlen(text) != size) {
		diag_error("%s: not JSON: it contains a character 0", path);
		ret = -EINVAL;
	} else {
		ret = config_parse(o, path, text);
	}
	free(text);
	return ret;
}

void config_free(struct options *o)
{
	cJSON_Delete(o->config);
	o->config = NULL;
}
