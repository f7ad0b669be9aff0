// SPDX-License-Identifier: GPL-2.0-only
/*
 * An export of an NBD server, by libnbd's asynchronous calls (nbd_...).
 *
 * When the connection breaks, what is under way stays here and is sent again once there is a new one; a request that
 * is not over block_nbd_config.wait_ms after its submission ends in -EIO. A server that went away may have lost what it
 * had acknowledged and not yet made durable: of that there is a journal here, which begins with the last FLUSH and is
 * done again first. It is bounded: when it grows too long, a FLUSH of our own makes it short, and writes wait.
 */
#define _GNU_SOURCE
#include "worker/backends/backend.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "worker/backends/request.h"
#include "worker/diag.h"

#define REMOTE_LIBRARY "libnbd.so.0"

#define NBD_PIECE	  (1u << 20) /* what goes over the wire as one request, if it has to be gathered */
#define NBD_PIECE_DIRECT  (16u << 20)
#define NBD_JOURNAL_FLUSH (2u << 20) /* bytes: time for a FLUSH of our own */
#define NBD_JOURNAL_MAX	  (4u << 20) /* bytes: writes wait */
#define NBD_JOURNAL_RANGE 4096u	     /* what a range counts as, which has no data */
#define NBD_OPEN_MS	  10000u
#define NBD_TRY_MS	  5000u /* for one attempt to connect again */
#define NBD_PAUSE_MS	  250u	/* between two of them */
#define NBD_SECTOR	  512u
#define NBD_DISCARD_UNIT  4096u
#define NBD_NS_PER_MS	  1000000ull

/*
 * libnbd's functions, looked up when the first NBD disk is opened: the library brings some twenty others along, which a
 * worker without such a disk need not hold in memory.
 */
/* clang-format off */
#define REMOTE_CALLS(X) \
	X(aio_connect_uri) X(aio_flush) X(aio_get_direction) X(aio_get_fd) \
	X(aio_is_closed) X(aio_is_dead) X(aio_is_ready) X(aio_notify_read) \
	X(aio_notify_write) X(aio_pread) X(aio_pwrite) X(aio_trim) X(aio_zero) \
	X(can_flush) X(can_trim) X(can_zero) \
	X(close) X(create) X(get_block_size) X(get_errno) \
	X(get_error) X(get_size) X(is_read_only) X(set_pread_initialize) \
	X(shutdown)
/* clang-format on */

static struct {
#define X(name) __typeof__(nbd_##name) *name;
	REMOTE_CALLS(X)
#undef X
} libnbd;

enum remote_state {
	NBD_IDLE,      /* to be sent */
	NBD_UNDER_WAY, /* the server has it */
	NBD_ENDED,     /* its piece is over, with res */
};

/* A request, or a FLUSH of our own. */
struct remote_io {
	struct remote_block *n;
	struct block_request *req; /* NULL: our own */
	struct remote_io *next;
	enum block_op op;
	enum remote_state state;
	int res; /* 0 or a negative errno */
	size_t length, done, piece;
	uint64_t deadline;
	uint64_t covers;   /* FLUSH: the journal up to this entry's number */
	uint8_t *gathered; /* the piece, if it is not one buffer */
};

/* A write, or what has been done to a range, that has been acknowledged and may not be durable yet. */
struct remote_entry {
	struct remote_block *n;
	struct remote_entry *next;
	enum block_op op;
	bool unmap;
	uint64_t number, offset;
	size_t length;
	size_t weight;	/* of it in journal_bytes */
	uint8_t data[]; /* of a write */
};

struct remote_block {
	struct block blk;
	const struct backend_host *host;
	char *uri;
	uint64_t wait_ns;
	struct loop_source src;
	struct loop_event event; /* something has ended within a submission */
	struct loop_timer timer;
	/* Under the platform lock. */
	struct nbd_handle *h; /* NULL: no connection, and no attempt */
	bool connected;	      /* requests may be sent */
	bool lost_said, denied_said;
	int watched_fd;	    /* of h, in the loop; -1: none */
	uint32_t watched;   /* its events */
	uint64_t try_until; /* of the attempt */
	uint64_t next_try;  /* when there is no attempt */
	uint64_t timer_at;  /* 0: not armed */
	bool can_flush;	    /* the server's acknowledgement does not mean durable */
	bool can_trim, can_zero;
	struct remote_io *ios; /* in the order of submission */
	struct remote_io **ios_tail;
	struct request_queue refused;
	struct remote_entry *journal, **journal_tail;
	size_t journal_bytes;
	uint64_t journal_number;      /* of the last entry */
	struct remote_entry *replays; /* what has to be done again first; NULL: nothing */
	bool replay_under_way;
	bool flushing;	   /* a FLUSH of our own is among the ios */
	int journal_error; /* what a FLUSH of the guest's has to be told */
};

static struct remote_block *to_remote(struct block *blk)
{
	return (struct remote_block *)((char *)blk - offsetof(struct remote_block, blk));
}

static void remote_serve(struct remote_block *n);

/* ------------------------------------------------------------------ timer and descriptor */

static void remote_wake_at(struct remote_block *n, uint64_t at)
{
	if (n->timer_at && n->timer_at <= at)
		return;
	n->timer_at = at;
	loop_timer_arm(&n->timer, at);
}

static void remote_unwatch(struct remote_block *n)
{
	if (n->watched_fd >= 0)
		loop_remove(n->host->loop, &n->src);
	n->watched_fd = -1;
}

/* Waits for what libnbd waits for. While it connects, its descriptor may change. */
static void remote_watch(struct remote_block *n)
{
	unsigned int dir = libnbd.aio_get_direction(n->h);
	uint32_t events = (dir & LIBNBD_AIO_DIRECTION_READ ? EPOLLIN : 0) |
			  (dir & LIBNBD_AIO_DIRECTION_WRITE ? EPOLLOUT : 0);
	int fd = libnbd.aio_get_fd(n->h);

	/* One that has been closed and opened anew has left the loop by itself. */
	if (n->connected && fd == n->watched_fd && events == n->watched)
		return;
	if (fd == n->watched_fd && loop_modify(n->host->loop, &n->src, events) == 0) {
		n->watched = events;
		return;
	}
	n->src.fd = fd;
	n->watched_fd = fd;
	n->watched = events;
	if (fd >= 0)
		loop_add(n->host->loop, &n->src, events);
}

/* ------------------------------------------------------------------ the journal */

static void remote_journal_add(struct remote_block *n, const struct remote_io *io)
{
	const size_t data = request_is_range(io->op) ? 0 : io->length;
	struct remote_entry *e;

	if (!n->can_flush)
		return;
	e = malloc(sizeof(*e) + data);
	if (!e) {
		/* Not to be told "durable" after a loss that cannot be made good any more. */
		n->journal_error = -EIO;
		return;
	}
	e->n = n;
	e->next = NULL;
	e->op = io->op;
	e->unmap = io->req->unmap;
	e->number = ++n->journal_number;
	e->offset = io->req->offset;
	e->length = io->length;
	e->weight = data ? data : NBD_JOURNAL_RANGE;
	request_gather(io->req, 0, e->data, data);
	*n->journal_tail = e;
	n->journal_tail = &e->next;
	n->journal_bytes += e->weight;
}

/* Everything up to an entry is durable. */
static void remote_journal_drop(struct remote_block *n, uint64_t number)
{
	struct remote_entry *e;

	while ((e = n->journal) && e->number <= number) {
		n->journal = e->next;
		n->journal_bytes -= e->weight;
		free(e);
	}
	if (!n->journal)
		n->journal_tail = &n->journal;
}

/* ------------------------------------------------------------------ ends */

static struct remote_io *remote_new_io(struct remote_block *n, struct block_request *req)
{
	struct remote_io *io = calloc(1, sizeof(*io));

	if (!io)
		return NULL;
	io->n = n;
	io->req = req;
	io->op = req ? req->op : BLOCK_FLUSH;
	io->length = io->op == BLOCK_FLUSH ? 0 : request_length(req);
	io->deadline = loop_now() + n->wait_ns;
	*n->ios_tail = io;
	n->ios_tail = &io->next;
	remote_wake_at(n, io->deadline);
	return io;
}

static void remote_unlink(struct remote_block *n, struct remote_io *io)
{
	struct remote_io **at = &n->ios;

	while (*at != io)
		at = &(*at)->next;
	*at = io->next;
	if (!*at)
		n->ios_tail = at;
}

static int remote_flush_result(struct remote_block *n, struct remote_io *io, int ret)
{
	if (!ret)
		remote_journal_drop(n, io->covers);
	if (!io->req) {
		n->flushing = false;
		/* What the server cannot make durable, the guest's next FLUSH has to say. */
		if (ret && ret != -ETIMEDOUT) {
			n->journal_error = ret;
			remote_journal_drop(n, io->covers);
		}
		return ret;
	}
	if (!ret) {
		ret = n->journal_error;
		n->journal_error = 0;
	}
	return ret;
}

static void remote_finish(struct remote_block *n, struct remote_io *io, int ret)
{
	struct block_request *req = io->req;

	remote_unlink(n, io);
	if (io->op == BLOCK_FLUSH)
		ret = remote_flush_result(n, io, ret);
	else if (io->op != BLOCK_READ && !ret)
		remote_journal_add(n, io);
	free(io->gathered);
	free(io);
	if (req)
		request_end(&n->blk, req, ret, loop_now());
}

/* The connection is no more, which says nothing about the request. */
static bool remote_error_is_lost(int error)
{
	return error == -ENOTCONN || error == -ESHUTDOWN || error == -ECONNRESET || error == -EPIPE;
}

static void remote_piece_ended(struct remote_block *n, struct remote_io *io)
{
	if (io->res) {
		remote_finish(n, io, io->res);
		return;
	}
	if (io->op == BLOCK_READ && io->gathered)
		request_scatter(io->req, io->done, io->gathered, io->piece);
	io->done += io->piece;
	io->state = NBD_IDLE;
	if (io->done >= io->length)
		remote_finish(n, io, 0);
}

/* libnbd: a command is over. Within any call of it, also with the connection. */
static int remote_on_completion(void *user_data, int *error)
{
	struct remote_io *io = user_data;

	io->res = -*error;
	io->state = NBD_ENDED;
	return 1;
}

static int remote_on_replayed(void *user_data, int *error)
{
	struct remote_entry *e = user_data;
	struct remote_block *n = e->n;

	n->replay_under_way = false;
	if (remote_error_is_lost(-*error))
		return 1; /* the next connection begins anew */
	if (*error)
		n->journal_error = -*error;
	n->replays = e->next;
	return 1;
}

/* ------------------------------------------------------------------ sending */

/* Where the next piece is. Returns NULL for want of memory. */
static void *remote_next_piece(struct remote_io *io)
{
	size_t rest = io->length - io->done;
	struct iovec iov;

	free(io->gathered);
	io->gathered = NULL;
	request_window(io->req, io->done, &iov, 1);
	if (iov.iov_len >= rest || iov.iov_len >= NBD_PIECE) {
		io->piece = iov.iov_len < NBD_PIECE_DIRECT ? iov.iov_len : NBD_PIECE_DIRECT;
		return iov.iov_base;
	}
	io->piece = rest < NBD_PIECE ? rest : NBD_PIECE;
	io->gathered = malloc(io->piece);
	if (io->gathered && io->op == BLOCK_WRITE)
		request_gather(io->req, io->done, io->gathered, io->piece);
	return io->gathered;
}

/* Tells the server of a range. Returns as libnbd does. */
static int64_t remote_send_range(struct remote_block *n, enum block_op op, bool unmap,
				 uint64_t offset, size_t length, nbd_completion_callback cb)
{
	if (op == BLOCK_DISCARD)
		return libnbd.aio_trim(n->h, length, offset, cb, 0);
	return libnbd.aio_zero(n->h, length, offset, cb, unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);
}

/* The server that has come back may be able to do less. A discard may be left undone; zeroes may not. */
static bool remote_can(const struct remote_block *n, enum block_op op)
{
	if (op == BLOCK_DISCARD)
		return n->can_trim;
	if (op == BLOCK_ZERO)
		return n->can_zero;
	return op != BLOCK_FLUSH || n->can_flush;
}

/* Whether the server has anything to do with it; if not, it has ended. */
static bool remote_prepare(struct remote_block *n, struct remote_io *io, void **buf)
{
	const bool moves_data = io->op == BLOCK_READ || io->op == BLOCK_WRITE;

	io->res = 0;
	io->piece = io->length;
	*buf = moves_data && io->length ? remote_next_piece(io) : NULL;
	if (*buf || (!moves_data && remote_can(n, io->op)))
		return true;
	io->state = NBD_ENDED;
	if (moves_data && io->length)
		io->res = -ENOMEM;
	else if (io->op == BLOCK_ZERO)
		io->res = -EOPNOTSUPP;
	return false;
}

static void remote_send(struct remote_block *n, struct remote_io *io)
{
	nbd_completion_callback cb = { .callback = remote_on_completion, .user_data = io };
	int64_t cookie;
	void *buf;

	if (!remote_prepare(n, io, &buf))
		return;
	io->state = NBD_UNDER_WAY;
	if (io->op == BLOCK_READ) {
		cookie = libnbd.aio_pread(n->h, buf, io->piece, io->req->offset + io->done, cb, 0);
	} else if (io->op == BLOCK_WRITE) {
		cookie = libnbd.aio_pwrite(n->h, buf, io->piece, io->req->offset + io->done, cb, 0);
	} else if (io->op == BLOCK_FLUSH) {
		io->covers = n->journal_number;
		cookie = libnbd.aio_flush(n->h, cb, 0);
	} else {
		cookie = remote_send_range(n, io->op, io->req->unmap, io->req->offset, io->piece,
					   cb);
	}
	if (cookie >= 0)
		return;
	/* Refused at once. The reason counts only if the connection is there. */
	io->state = NBD_ENDED;
	io->res = -libnbd.get_errno();
	if (!io->res || libnbd.aio_is_dead(n->h) || libnbd.aio_is_closed(n->h))
		io->res = -ENOTCONN;
}

static void remote_send_replay(struct remote_block *n)
{
	struct remote_entry *e = n->replays;
	nbd_completion_callback cb = { .callback = remote_on_replayed, .user_data = e };
	int64_t cookie;

	if (!remote_can(n, e->op)) {
		if (e->op == BLOCK_ZERO)
			n->journal_error = -EIO;
		n->replays = e->next;
		return;
	}
	n->replay_under_way = true;
	if (e->op == BLOCK_WRITE)
		cookie = libnbd.aio_pwrite(n->h, e->data, e->length, e->offset, cb, 0);
	else
		cookie = remote_send_range(n, e->op, e->unmap, e->offset, e->length, cb);
	if (cookie < 0)
		n->replay_under_way = false;
}

/* Hands the server what may go. */
static void remote_send_all(struct remote_block *n)
{
	struct remote_io *io;

	if (n->journal_bytes >= NBD_JOURNAL_FLUSH && !n->flushing && remote_new_io(n, NULL))
		n->flushing = true;
	while (n->replays && !n->replay_under_way && !libnbd.aio_is_dead(n->h))
		remote_send_replay(n);
	if (n->replays)
		return;
	for (io = n->ios; io; io = io->next) {
		if (io->state != NBD_IDLE)
			continue;
		if (io->op != BLOCK_READ && io->op != BLOCK_FLUSH && n->flushing &&
		    n->journal_bytes >= NBD_JOURNAL_MAX)
			continue;
		remote_send(n, io);
	}
}

/* ------------------------------------------------------------------ the connection */

/* Gives the connection up; what was under way is to be sent again. */
static void remote_disconnect(struct remote_block *n)
{
	struct remote_io *io;

	remote_unwatch(n);
	libnbd.close(n->h);
	n->h = NULL;
	n->connected = false;
	n->replay_under_way = false;
	for (io = n->ios; io; io = io->next) {
		/* What ended with the connection has not ended; the rest stays as it is. */
		if (io->state == NBD_UNDER_WAY ||
		    (io->state == NBD_ENDED && remote_error_is_lost(io->res)))
			io->state = NBD_IDLE;
	}
	n->next_try = loop_now() + NBD_PAUSE_MS * NBD_NS_PER_MS;
	remote_wake_at(n, n->next_try);
}

static void remote_lose(struct remote_block *n)
{
	if (n->connected && !n->lost_said) {
		diag_error("the NBD server of %s has gone: trying again; requests wait up to %u s",
			   n->uri, (unsigned int)(n->wait_ns / 1000000000ull));
		n->lost_said = true;
	}
	remote_disconnect(n);
}

/* Begins to connect. Not under the platform lock: looking up a host's name takes time. */
static struct nbd_handle *remote_begin(const char *uri)
{
	struct nbd_handle *h = libnbd.create();

	/* A failed read's buffer is nobody's business here: no need to clear it first. */
	if (h)
		libnbd.set_pread_initialize(h, false);
	if (h && libnbd.aio_connect_uri(h, uri) < 0) {
		libnbd.close(h);
		h = NULL;
	}
	return h;
}

/* The new server offers what the old one did. */
static bool remote_is_same(struct remote_block *n)
{
	int64_t size = libnbd.get_size(n->h);

	return size >= 0 && (uint64_t)size >= n->blk.size &&
	       (n->blk.readonly || libnbd.is_read_only(n->h) == 0);
}

static void remote_ask_abilities(struct remote_block *n)
{
	n->can_flush = libnbd.can_flush(n->h) > 0;
	n->can_trim = libnbd.can_trim(n->h) > 0;
	n->can_zero = libnbd.can_zero(n->h) > 0;
}

/* A server that is not there yet may come; one whose socket is closed to us does not open it by itself. */
static void remote_explain_denied(struct remote_block *n)
{
	int error = libnbd.get_errno();

	if (n->denied_said || (error != EACCES && error != EPERM))
		return;
	diag_error("the NBD server of %s cannot be reached any more: %s: open its socket to the "
		   "user that this machine runs as",
		   n->uri, strerror(error));
	n->denied_said = true;
}

static void remote_connected(struct remote_block *n)
{
	if (!remote_is_same(n)) {
		diag_error("the NBD server of %s is back with another size, or read-only: trying "
			   "again",
			   n->uri);
		remote_disconnect(n);
		return;
	}
	n->connected = true;
	remote_ask_abilities(n);
	n->replays = n->journal;
	if (n->lost_said)
		diag_error("the NBD server of %s is back", n->uri);
	n->lost_said = n->denied_said = false;
}

static void remote_step(struct nbd_handle *h, bool in, bool out)
{
	unsigned int dir = libnbd.aio_get_direction(h);

	if (in && (dir & LIBNBD_AIO_DIRECTION_READ))
		libnbd.aio_notify_read(h);
	else if (out && (dir & LIBNBD_AIO_DIRECTION_WRITE))
		libnbd.aio_notify_write(h);
}

/* Ends what is over. Returns how many pieces: their requests may go on, and their owners submit more. */
static unsigned int remote_end_all(struct remote_block *n)
{
	struct remote_io *io = n->ios, *next;
	unsigned int ended = 0;

	while (io) {
		next = io->next;
		if (io->state == NBD_ENDED && !remote_error_is_lost(io->res)) {
			remote_piece_ended(n, io);
			ended++;
			next = n->ios; /* what came next may have gone, or be another one now */
		}
		io = next;
	}
	return ended;
}

static bool remote_is_lost(struct remote_block *n)
{
	const struct remote_io *io;

	for (io = n->ios; io; io = io->next) {
		if (io->state == NBD_ENDED && remote_error_is_lost(io->res))
			return true;
	}
	return libnbd.aio_is_dead(n->h) || libnbd.aio_is_closed(n->h);
}

/* After anything has happened: takes results, sends what is to be sent. Main thread, under the platform lock. */
static void remote_serve(struct remote_block *n)
{
	struct block_request *req;

	block_tell_begin(&n->blk);
	while ((req = request_pop(&n->refused)))
		request_end(&n->blk, req, (int)(intptr_t)req->priv, loop_now());
	do {
		if (n->h && remote_is_lost(n))
			remote_lose(n);
		if (n->h && !n->connected && libnbd.aio_is_ready(n->h))
			remote_connected(n);
		if (n->connected)
			remote_send_all(n);
	} while (remote_end_all(n) || (n->connected && remote_is_lost(n)));
	block_tell_end(&n->blk);
	if (n->h)
		remote_watch(n);
}

static void remote_on_ready(struct loop_source *src, uint32_t events)
{
	struct remote_block *n = src->ctx;

	backend_lock(n->host);
	if (n->h) {
		remote_step(n->h, events & (EPOLLIN | EPOLLERR | EPOLLHUP),
			    events & (EPOLLOUT | EPOLLERR | EPOLLHUP));
		remote_serve(n);
	}
	backend_unlock(n->host);
}

static void remote_on_event(struct loop_event *ev)
{
	struct remote_block *n = ev->ctx;

	backend_lock(n->host);
	remote_serve(n);
	backend_unlock(n->host);
}

/* Ends what has waited too long. A server that has it in hand loses the connection, and with it the buffers. */
static void remote_expire(struct remote_block *n, uint64_t now)
{
	struct remote_io *io, *next;

	for (io = n->ios; io; io = io->next) {
		if (io->deadline <= now && io->state == NBD_UNDER_WAY) {
			remote_lose(n);
			break;
		}
	}
	for (io = n->ios; io; io = next) {
		next = io->next;
		if (io->deadline > now)
			continue;
		remote_finish(n, io, io->req ? -EIO : -ETIMEDOUT);
		next = n->ios;
	}
}

static void remote_on_timer(struct loop_timer *t)
{
	struct remote_block *n = t->ctx;
	struct nbd_handle *h = NULL;
	uint64_t now = loop_now();
	struct remote_io *io;
	bool try;

	backend_lock(n->host);
	n->timer_at = 0;
	remote_expire(n, now);
	if (n->h && !n->connected && n->try_until <= now)
		remote_disconnect(n);
	try = !n->h && n->next_try <= now;
	backend_unlock(n->host);
	if (try) {
		h = remote_begin(n->uri);
		if (!h)
			remote_explain_denied(n);
	}
	backend_lock(n->host);
	if (try) {
		n->h = h;
		n->try_until = now + NBD_TRY_MS * NBD_NS_PER_MS;
		n->next_try = now + NBD_PAUSE_MS * NBD_NS_PER_MS;
	}
	remote_serve(n);
	if (!n->connected)
		remote_wake_at(n, n->h ? n->try_until : n->next_try);
	for (io = n->ios; io; io = io->next)
		remote_wake_at(n, io->deadline);
	backend_unlock(n->host);
}

/* ------------------------------------------------------------------ what devices see */

static void remote_refuse(struct remote_block *n, struct block_request *req, int ret)
{
	req->priv = (void *)(intptr_t)ret;
	request_push(&n->refused, req);
	loop_event_signal(&n->event);
}

static void remote_submit(struct block *blk, struct block_request *req)
{
	struct remote_block *n = to_remote(blk);
	int ret = request_check(blk, req);
	struct remote_io *io = NULL;

	req->submitted = loop_now();
	if (!ret)
		io = remote_new_io(n, req);
	if (!io) {
		remote_refuse(n, req, ret ? ret : -ENOMEM);
		return;
	}
	if (!n->connected || n->replays || n->journal_bytes >= NBD_JOURNAL_FLUSH) {
		loop_event_signal(&n->event);
		return;
	}
	remote_send(n, io);
	/* Ends are told by the main thread only. */
	if (io->state == NBD_ENDED || libnbd.aio_is_dead(n->h))
		loop_event_signal(&n->event);
	else
		remote_watch(n);
}

/* Not in the loop, which nobody runs any more. What the server does not do in its time ends in -EIO. */
static void remote_drain(struct block *blk)
{
	struct remote_block *n = to_remote(blk);
	struct pollfd pfd[3]; /* the events of poll and epoll are the same bits */
	bool busy;

	for (;;) {
		backend_lock(n->host);
		remote_serve(n);
		busy = n->ios || n->refused.head;
		pfd[0] = (struct pollfd){ .fd = n->h ? n->watched_fd : -1 };
		pfd[0].events = n->watched;
		backend_unlock(n->host);
		if (!busy)
			return;
		pfd[1] = (struct pollfd){ .fd = n->event.src.fd, .events = POLLIN };
		pfd[2] = (struct pollfd){ .fd = n->timer.src.fd, .events = POLLIN };
		if (poll(pfd, 3, -1) < 0)
			continue;
		if (pfd[0].revents)
			remote_on_ready(&n->src, pfd[0].revents);
		if (pfd[1].revents)
			n->event.src.ready(&n->event.src, EPOLLIN);
		if (pfd[2].revents)
			n->timer.src.ready(&n->timer.src, EPOLLIN);
	}
}

static void remote_release(struct remote_block *n)
{
	struct loop *loop = n->host->loop;

	remote_unwatch(n);
	loop_event_close(loop, &n->event);
	loop_timer_close(loop, &n->timer);
	if (n->h)
		libnbd.close(n->h);
	remote_journal_drop(n, UINT64_MAX);
	free(n->uri);
	free(n);
}

static void remote_close_block(struct block *blk)
{
	struct remote_block *n = to_remote(blk);
	struct remote_io *io = NULL;

	backend_lock(n->host);
	if (!blk->readonly && n->journal)
		io = remote_new_io(n, NULL);
	if (io) {
		n->flushing = true;
		loop_event_signal(&n->event);
	}
	n->journal_error = 0;
	backend_unlock(n->host);
	remote_drain(blk);
	if (n->journal && !n->journal_error)
		n->journal_error = -ETIMEDOUT;
	if (n->journal_error)
		diag_error("the NBD server of %s could not make everything durable: %s", n->uri,
			   strerror(-n->journal_error));
	if (n->connected)
		libnbd.shutdown(n->h, 0);
	remote_release(n);
}

static const struct block_ops remote_ops = {
	.submit = remote_submit,
	.drain = remote_drain,
	.close = remote_close_block,
};

/* ------------------------------------------------------------------ opening */

/* libnbd's messages begin with the names of its functions. */
static const char *remote_reason(void)
{
	const char *text = libnbd.get_error(), *colon;

	if (!text)
		return "out of memory";
	if (strncmp(text, "nbd_", 4) == 0 && (colon = strstr(text, ": ")))
		text = colon + 2;
	return text;
}

static int remote_connect_first(struct remote_block *n)
{
	uint64_t until = loop_now() + NBD_OPEN_MS * NBD_NS_PER_MS, now;
	struct pollfd pfd;

	n->h = remote_begin(n->uri);
	if (!n->h) {
		diag_error("cannot connect to the disk %s: %s", n->uri, remote_reason());
		return -ENOTCONN;
	}
	while (!libnbd.aio_is_ready(n->h)) {
		if (libnbd.aio_is_dead(n->h) || libnbd.aio_is_closed(n->h)) {
			diag_error("cannot connect to the disk %s: %s", n->uri, remote_reason());
			return -ENOTCONN;
		}
		now = loop_now();
		if (now >= until) {
			diag_error("cannot connect to the disk %s: no answer within %u s", n->uri,
				   NBD_OPEN_MS / 1000);
			return -ETIMEDOUT;
		}
		pfd = (struct pollfd){ .fd = libnbd.aio_get_fd(n->h) };
		if (libnbd.aio_get_direction(n->h) & LIBNBD_AIO_DIRECTION_READ)
			pfd.events |= POLLIN;
		if (libnbd.aio_get_direction(n->h) & LIBNBD_AIO_DIRECTION_WRITE)
			pfd.events |= POLLOUT;
		if (poll(&pfd, 1, (until - now) / NBD_NS_PER_MS + 1) > 0)
			remote_step(n->h, pfd.revents & (POLLIN | POLLERR | POLLHUP),
				    pfd.revents & (POLLOUT | POLLERR | POLLHUP));
	}
	return 0;
}

static int remote_look_at_export(struct remote_block *n)
{
	int64_t size = libnbd.get_size(n->h),
		smallest = libnbd.get_block_size(n->h, LIBNBD_SIZE_MINIMUM);

	if (size < (int64_t)NBD_SECTOR) {
		diag_error("the disk %s is empty", n->uri);
		return -EINVAL;
	}
	if (size % NBD_SECTOR) {
		diag_error("the disk %s has %" PRId64
			   " bytes, which is no whole number of sectors: serve it by "
			   "'nbdkit --filter=truncate ... round-up=512'",
			   n->uri, size);
		return -EINVAL;
	}
	if (smallest > (int64_t)NBD_SECTOR) {
		diag_error("the disk %s takes blocks of %" PRId64
			   " bytes only: serve it by 'nbdkit --filter=blocksize'",
			   n->uri, smallest);
		return -EINVAL;
	}
	if (!n->blk.readonly && libnbd.is_read_only(n->h) > 0) {
		diag_error("the disk %s is read-only: add ',readonly'", n->uri);
		return -EROFS;
	}
	n->blk.size = size;
	remote_ask_abilities(n);
	n->blk.discards = n->can_trim && !n->blk.readonly;
	n->blk.zeroes = n->can_zero && !n->blk.readonly;
	n->blk.discard_unit = NBD_DISCARD_UNIT;
	n->connected = true;
	return 0;
}

/* Stays loaded. Returns 0 or a negative errno after having said why. */
static int remote_load_library(const char *uri)
{
	void *library = dlopen(REMOTE_LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		diag_error("cannot use the disk %s: %s; the package libnbd0 has it", uri,
			   dlerror());
		return -ENOENT;
	}
#define X(name)                                                                                    \
	libnbd.name = (__typeof__(libnbd.name))dlsym(library, "nbd_" #name);                       \
	if (!libnbd.name) {                                                                        \
		diag_error("cannot use the disk %s: %s", uri, dlerror());                          \
		return -ENOSYS;                                                                    \
	}
	REMOTE_CALLS(X)
#undef X
	return 0;
}

int block_nbd_open(const struct backend_host *host, const struct block_nbd_config *cfg,
		   struct block **blk)
{
	struct remote_block *n;
	int ret = remote_load_library(cfg->uri);

	if (ret)
		return ret;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->blk.ops = &remote_ops;
	n->blk.readonly = cfg->readonly;
	n->host = host;
	n->wait_ns = (cfg->wait_ms ? cfg->wait_ms : BLOCK_NBD_WAIT_MS) * NBD_NS_PER_MS;
	n->src = (struct loop_source){ .fd = -1, .ready = remote_on_ready, .ctx = n };
	n->watched_fd = n->event.src.fd = n->timer.src.fd = -1;
	n->ios_tail = &n->ios;
	n->journal_tail = &n->journal;
	n->uri = strdup(cfg->uri);
	ret = n->uri ? remote_connect_first(n) : -ENOMEM;
	if (!ret)
		ret = remote_look_at_export(n);
	if (ret)
		goto fail;
	ret = loop_event_open(host->loop, &n->event, remote_on_event, n);
	if (!ret)
		ret = loop_timer_open(host->loop, &n->timer, remote_on_timer, n);
	if (!ret) {
		remote_watch(n);
		*blk = &n->blk;
		return 0;
	}
	diag_error("cannot use the disk %s: %s", n->uri, strerror(-ret));
fail:
	remote_release(n);
	return ret;
}
