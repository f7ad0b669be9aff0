// SPDX-License-Identifier: GPL-2.0-only
/* Messages and names of the control socket, and the commands' side of it. */
#define _GNU_SOURCE
#include "worker/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "worker/diag.h"
#include "worker/options.h"
#include "worker/parse.h"

#define CONTROL_ANSWER_S 10 /* a worker answers at once, unless it hangs */

int control_check(const void *packet, size_t size)
{
	struct control_header h;

	if (size < sizeof(h))
		return -EPROTO;
	memcpy(&h, packet, sizeof(h));
	if (h.magic != CONTROL_MAGIC || h.zero || h.length != size - sizeof(h) ||
	    h.length > CONTROL_PAYLOAD_MAX)
		return -EPROTO;
	switch (h.type) {
	case CONTROL_INFO:
	case CONTROL_STATS:
	case CONTROL_BUTTON:
	case CONTROL_END:
	case CONTROL_ATTACH:
	case CONTROL_OK:
		return h.length ? -EPROTO : h.type;
	case CONTROL_DATA:
		return h.length && h.length <= CONTROL_DATA_MAX ? h.type : -EPROTO;
	case CONTROL_JSON:
		return h.type;
	default:
		return -EPROTO;
	}
}

/* Whose the directory of an environment variable is has to be looked at: sudo leaves them as they are. */
static const char *control_runtime_dir(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (!dir || dir[0] != '/' || stat(dir, &st) || !S_ISDIR(st.st_mode) ||
	    st.st_uid != geteuid())
		return NULL;
	return dir;
}

int control_path(char path[CONTROL_PATH_MAX], const char *name)
{
	const char *dir = geteuid() ? control_runtime_dir() : "/run";
	const char *slash = name ? "/" : "", *suffix = name ? ".sock" : "";
	int len;

	if (dir)
		len = snprintf(path, CONTROL_PATH_MAX, "%s/plinth%s%s%s", dir, slash,
			       name ? name : "", suffix);
	else
		len = snprintf(path, CONTROL_PATH_MAX, "/tmp/plinth-%u%s%s%s", geteuid(), slash,
			       name ? name : "", suffix);
	return len < (int)CONTROL_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* It has to be ours and nobody else's. */
int control_lock_dir(void)
{
	char dir[CONTROL_PATH_MAX];
	struct stat st;
	int fd, ret = control_path(dir, NULL);

	if (ret)
		return ret;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022)) {
		do {
			ret = flock(fd, LOCK_EX);
		} while (ret && errno == EINTR);
		if (ret == 0)
			return fd;
	}
	close(fd);
	return -EPERM;
}

int control_send(int fd, enum control_type type, const void *payload, size_t length)
{
	struct control_header h = { .magic = CONTROL_MAGIC, .type = type, .length = length };
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)payload, length } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = length ? 2 : 1 };
	ssize_t n;

	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int control_receive(int fd, void *payload, size_t *length)
{
	static uint8_t packet[sizeof(struct control_header) + CONTROL_PAYLOAD_MAX];
	ssize_t n;
	int type;

	do {
		n = recv(fd, packet, sizeof(packet), MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno != ECONNRESET ? -errno : 0;
	type = (size_t)n > sizeof(packet) ? -EPROTO : control_check(packet, n);
	if (type < 0)
		return type;
	*length = n - sizeof(struct control_header);
	memcpy(payload, packet + sizeof(struct control_header), *length);
	((char *)payload)[*length] = 0;
	return type;
}

int control_connect(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = CONTROL_ANSWER_S };
	int fd, ret = control_path(a.sun_path, name);

	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* Not one that is just being made: that happens under the lock. */
void control_sweep(const char *name)
{
	char path[CONTROL_PATH_MAX];
	int lock = control_lock_dir(), fd;

	if (lock < 0)
		return;
	fd = control_connect(name);
	if (fd == -ECONNREFUSED && control_path(path, name) == 0)
		unlink(path);
	if (fd >= 0)
		close(fd);
	close(lock);
}

int control_connect_or_say(const char *name)
{
	int fd;

	if (!parse_name(name, OPTIONS_NAME_MAX)) {
		diag_error("'%s' cannot be a machine's name: see 'plinth ps'", name);
		return -EINVAL;
	}
	fd = control_connect(name);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		diag_error("no machine called '%s' is running: see 'plinth ps'", name);
	else if (fd < 0)
		diag_error("cannot reach the machine '%s': %s", name, strerror(-fd));
	return fd;
}

int control_ask(int fd, enum control_type type, char **json)
{
	char *text = malloc(CONTROL_PAYLOAD_MAX + 1);
	size_t length;
	int ret;

	if (!text)
		return -ENOMEM;
	ret = control_send(fd, type, NULL, 0);
	if (!ret)
		ret = control_receive(fd, text, &length);
	if (ret == CONTROL_JSON) {
		*json = text;
		return 0;
	}
	free(text);
	if (ret == 0 || ret == -ECONNRESET)
		return -EPIPE;
	return ret < 0 ? ret : -EPROTO;
}

int control_explain(const char *name, int ret)
{
	if (ret == -EPIPE)
		diag_error("the machine '%s' has just ended", name);
	else if (ret == -EAGAIN)
		diag_error("the machine '%s' does not answer: end it with kill", name);
	else
		diag_error(
			"the machine '%s' gives an answer that is none: is it of another version?",
			name);
	return ret;
}
