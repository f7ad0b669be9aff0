// SPDX-License-Identifier: GPL-2.0-only
#include "worker/json.h"

#include <errno.h>
#include <string.h>

#define JSON_DEPTH_MAX 16

/* A place in the text. Once the text is found wrong, p is NULL and stays so. */
struct json {
	const char *p;
	FILE *out; /* NULL: only skip */
};

static void json_blank(struct json *j)
{
	if (j->p)
		j->p += strspn(j->p, " \t\r\n");
}

static bool json_take(struct json *j, char c)
{
	json_blank(j);
	if (!j->p || *j->p != c)
		return false;
	j->p++;
	return true;
}

static void json_put(struct json *j, const char *s, size_t len)
{
	if (j->out)
		fwrite(s, 1, len, j->out);
}

static void json_indent(struct json *j, unsigned int depth)
{
	for (; depth; depth--)
		json_put(j, "  ", 2);
}

/* What an escape stands for; the rest (\u) is shown as it is written. */
static char json_escape(char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = c ? strchr(from, c) : NULL;

	return at ? to[at - from] : 0;
}

static void json_string(struct json *j)
{
	const char *start;
	char c;

	if (!json_take(j, '"')) {
		j->p = NULL;
		return;
	}
	while (*j->p != '"') {
		start = j->p;
		j->p += strcspn(j->p, "\"\\");
		json_put(j, start, j->p - start);
		if (*j->p == '\\') {
			c = json_escape(j->p[1]);
			if (c)
				json_put(j, &c, 1);
			else
				json_put(j, j->p, 2);
			if (!j->p[1]) {
				j->p = NULL;
				return;
			}
			j->p += 2;
		}
		if (!*j->p) {
			j->p = NULL;
			return;
		}
	}
	j->p++;
}

/* Numbers, true, false, null: shown as they are. */
static void json_word(struct json *j)
{
	size_t len = strspn(j->p, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");

	if (!len) {
		j->p = NULL;
		return;
	}
	json_put(j, j->p, len);
	j->p += len;
}

static void json_scalar(struct json *j)
{
	json_blank(j);
	if (j->p && *j->p == '"')
		json_string(j);
	else if (j->p)
		json_word(j);
}

static void json_value(struct json *j, unsigned int depth);

/* The value of a member or element whose name or dash has been printed. */
static void json_nested(struct json *j, unsigned int depth)
{
	json_blank(j);
	if (!j->p)
		return;
	if (*j->p == '{' || *j->p == '[') {
		json_put(j, "\n", 1);
		json_value(j, depth + 1);
		return;
	}
	json_put(j, " ", 1);
	json_scalar(j);
	json_put(j, "\n", 1);
}

static void json_object(struct json *j, unsigned int depth)
{
	if (json_take(j, '}'))
		return;
	do {
		json_indent(j, depth);
		json_string(j);
		json_put(j, ":", 1);
		if (!json_take(j, ':'))
			j->p = NULL;
		json_nested(j, depth);
	} while (json_take(j, ','));
	if (!json_take(j, '}'))
		j->p = NULL;
}

static void json_array(struct json *j, unsigned int depth)
{
	if (json_take(j, ']'))
		return;
	do {
		json_indent(j, depth);
		json_put(j, "-", 1);
		json_nested(j, depth);
	} while (json_take(j, ','));
	if (!json_take(j, ']'))
		j->p = NULL;
}

static void json_value(struct json *j, unsigned int depth)
{
	if (depth > JSON_DEPTH_MAX) {
		j->p = NULL;
		return;
	}
	if (json_take(j, '{')) {
		json_object(j, depth);
	} else if (json_take(j, '[')) {
		json_array(j, depth);
	} else {
		json_scalar(j);
		json_put(j, "\n", 1);
	}
}

int json_print(FILE *out, const char *text)
{
	struct json j = { .p = text, .out = out };

	json_value(&j, 0);
	json_blank(&j);
	return j.p && !*j.p ? 0 : -EINVAL;
}

bool json_member_is_true(const char *text, const char *name)
{
	struct json j = { .p = text };
	size_t len = strlen(name);
	bool match;

	if (!json_take(&j, '{'))
		return false;
	do {
		json_blank(&j);
		match = *j.p == '"' && strncmp(j.p + 1, name, len) == 0 && j.p[len + 1] == '"';
		json_string(&j);
		if (!json_take(&j, ':'))
			return false;
		json_blank(&j);
		if (match)
			return strncmp(j.p, "true", 4) == 0;
		json_value(&j, 0);
	} while (json_take(&j, ','));
	return false;
}
