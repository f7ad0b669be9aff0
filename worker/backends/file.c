// SPDX-License-Identifier: GPL-2.0-only
/*
 * A raw image in a file, or a block device, through io_uring; where the host refuses that, through a few threads. Both
 * carry out one piece of a request at a time: what its buffers allow in one call, continued when the host does less. What
 * the host has in memory is read at once, which takes one call instead of four and no other thread.
 */
#define _GNU_SOURCE
#include "worker/backends/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/backends/request.h"
#include "worker/diag.h"

#define FILE_DEPTH   64 /* pieces under way; more wait */
#define FILE_IOVS    64 /* buffers of a piece */
#define FILE_THREADS 4
#define FILE_STACK   (128u << 10)
#define FILE_SECTOR  512u
#define FILE_AT_ONCE (128u << 10) /* bytes that are copied while a processor waits */

/* A request under way. */
struct file_io {
	struct block_request *req;
	struct file_io *next; /* in free, waiting, todo or ended */
	size_t length, done;
	unsigned int iovs;
	int res; /* of the piece: bytes or a negative errno */
	struct iovec iov[FILE_IOVS];
};

struct file_list {
	struct file_io *head, **tail;
};

struct file_block {
	struct block blk;
	const struct backend_host *host;
	const char *path; /* for messages */
	int fd;
	uint64_t file_size; /* without the padding */
	struct loop_event ended_event;
	/* Under the platform lock. */
	struct file_io *free;
	struct file_list waiting; /* for a place among those under way */
	struct file_list at_once; /* pieces that were over when they were submitted */
	bool cached_reads;	  /* the file system can tell what it has in memory */
	bool collecting;
	struct request_queue refused; /* with the reason in priv */
	unsigned int under_way;	      /* pieces */
	unsigned int requests;	      /* not over yet */
	bool uring_open;
	struct io_uring ring;
	/* Threads, instead of the ring; under @mutex. */
	pthread_t thread[FILE_THREADS];
	unsigned int threads;
	pthread_mutex_t mutex;
	pthread_cond_t work;
	bool closing;
	struct file_list todo;
	struct file_list ended; /* also pieces that the ring has not taken */
};

static struct file_block *to_file(struct block *blk)
{
	return (struct file_block *)((char *)blk - offsetof(struct file_block, blk));
}

static void list_init(struct file_list *list)
{
	list->head = NULL;
	list->tail = &list->head;
}

static void list_push(struct file_list *list, struct file_io *io)
{
	io->next = NULL;
	*list->tail = io;
	list->tail = &io->next;
}

static struct file_io *list_pop(struct file_list *list)
{
	struct file_io *io = list->head;

	if (!io)
		return NULL;
	list->head = io->next;
	if (!list->head)
		list->tail = &list->head;
	return io;
}

/* ------------------------------------------------------------------ a piece */

static uint64_t file_position(const struct file_io *io)
{
	return io->req->offset + io->done;
}

static void file_ended(struct file_block *f, struct file_io *io, int res)
{
	pthread_mutex_lock(&f->mutex);
	io->res = res;
	list_push(&f->ended, io);
	pthread_mutex_unlock(&f->mutex);
	loop_event_signal(&f->ended_event);
}

static void file_start_uring(struct file_block *f, struct file_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&f->ring);
	int ret;

	/* Only refused entries, see below, can have filled the ring: each is submitted at once. */
	if (!sqe) {
		file_ended(f, io, -ENOMEM);
		return;
	}
	if (io->req->op == BLOCK_READ)
		io_uring_prep_readv(sqe, f->fd, io->iov, io->iovs, file_position(io));
	else if (io->req->op == BLOCK_WRITE)
		io_uring_prep_writev(sqe, f->fd, io->iov, io->iovs, file_position(io));
	else
		io_uring_prep_fsync(sqe, f->fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, io);
	do {
		ret = io_uring_submit(&f->ring);
	} while (ret == -EINTR);
	if (ret >= 0)
		return;
	/* The host is short of memory. The entry stays in the ring and goes with the next one, emptied. */
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	file_ended(f, io, -ENOMEM);
}

static void file_start_thread(struct file_block *f, struct file_io *io)
{
	pthread_mutex_lock(&f->mutex);
	list_push(&f->todo, io);
	pthread_cond_signal(&f->work);
	pthread_mutex_unlock(&f->mutex);
}

/* Hands the next piece to the host. */
static void file_start(struct file_block *f, struct file_io *io)
{
	io->iovs = request_window(io->req, io->done, io->iov, FILE_IOVS);
	f->under_way++;
	if (f->uring_open)
		file_start_uring(f, io);
	else
		file_start_thread(f, io);
}

/* What the host has in memory. Returns whether that was all of it; @io goes on from where it ended. */
static bool file_read_cached(struct file_block *f, struct file_io *io)
{
	ssize_t n;

	if (io->req->op != BLOCK_READ || !io->length || io->length > FILE_AT_ONCE ||
	    io->req->iovs > FILE_IOVS || !f->cached_reads || f->collecting)
		return false;
	io->iovs = request_window(io->req, 0, io->iov, FILE_IOVS);
	n = preadv2(f->fd, io->iov, io->iovs, file_position(io), RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		f->cached_reads = false;
	if (n > 0)
		io->done = n;
	return io->done == io->length;
}

static int file_carry_out(const struct file_block *f, const struct file_io *io)
{
	ssize_t n;

	if (io->req->op == BLOCK_READ)
		n = preadv(f->fd, io->iov, io->iovs, file_position(io));
	else if (io->req->op == BLOCK_WRITE)
		n = pwritev(f->fd, io->iov, io->iovs, file_position(io));
	else
		n = fdatasync(f->fd);
	return n < 0 ? -errno : (int)n;
}

static void *file_thread(void *arg)
{
	struct file_block *f = arg;
	struct file_io *io;
	int res;

	pthread_setname_np(pthread_self(), "disk");
	for (;;) {
		pthread_mutex_lock(&f->mutex);
		while (!f->todo.head && !f->closing)
			pthread_cond_wait(&f->work, &f->mutex);
		io = list_pop(&f->todo);
		pthread_mutex_unlock(&f->mutex);
		if (!io)
			return NULL;
		res = file_carry_out(f, io);
		file_ended(f, io, res);
	}
}

/* ------------------------------------------------------------------ ends of pieces and requests */

static void file_finish(struct file_block *f, struct file_io *io, int ret)
{
	struct block_request *req = io->req;

	io->next = f->free;
	f->free = io;
	f->requests--;
	request_end(&f->blk, req, ret, loop_now());
}

/* Nothing is there: right behind the end of a file whose size is odd, an error elsewhere. */
static void file_end_of_file(struct file_block *f, struct file_io *io)
{
	if (io->req->op != BLOCK_READ || file_position(io) < f->file_size) {
		file_finish(f, io, -EIO);
		return;
	}
	request_zero(io->req, io->done);
	file_finish(f, io, 0);
}

static void file_piece_ended(struct file_block *f, struct file_io *io)
{
	f->under_way--;
	if (io->res == -EINTR || io->res == -EAGAIN) {
		file_start(f, io);
	} else if (io->res < 0 || io->req->op == BLOCK_FLUSH) {
		file_finish(f, io, io->res);
	} else if (io->res == 0 && io->length) {
		file_end_of_file(f, io);
	} else {
		io->done += io->res;
		if (io->done < io->length)
			file_start(f, io);
		else
			file_finish(f, io, 0);
	}
}

static struct file_io *file_take_ended(struct file_block *f)
{
	struct file_io *io;

	pthread_mutex_lock(&f->mutex);
	io = list_pop(&f->ended);
	pthread_mutex_unlock(&f->mutex);
	return io;
}

/* What is submitted from the end of one takes the other way: it is not for ever that a processor is held up. */
static void file_collect(struct block *blk)
{
	struct file_block *f = to_file(blk);
	struct file_io *io;

	f->collecting = true;
	while ((io = list_pop(&f->at_once)))
		file_finish(f, io, 0);
	f->collecting = false;
}

/* Under the platform lock. */
static void file_serve(struct file_block *f)
{
	struct block_request *req;
	struct io_uring_cqe *cqe;
	struct file_io *io;

	while (f->uring_open && io_uring_peek_cqe(&f->ring, &cqe) == 0) {
		io = io_uring_cqe_get_data(cqe);
		if (io)
			io->res = cqe->res;
		io_uring_cqe_seen(&f->ring, cqe);
		if (io)
			file_piece_ended(f, io);
	}
	while ((io = file_take_ended(f)))
		file_piece_ended(f, io);
	while ((req = request_pop(&f->refused))) {
		f->requests--;
		request_end(&f->blk, req, (int)(intptr_t)req->priv, loop_now());
	}
	file_collect(&f->blk);
	while (f->under_way < FILE_DEPTH && (io = list_pop(&f->waiting)))
		file_start(f, io);
}

static void file_on_ended(struct loop_event *ev)
{
	struct file_block *f = ev->ctx;

	backend_lock(f->host);
	file_serve(f);
	backend_unlock(f->host);
}

/* ------------------------------------------------------------------ what devices see */

static struct file_io *file_new_io(struct file_block *f)
{
	struct file_io *io = f->free;

	if (io)
		f->free = io->next;
	else
		io = malloc(sizeof(*io));
	return io;
}

static void file_submit(struct block *blk, struct block_request *req)
{
	struct file_block *f = to_file(blk);
	int ret = request_check(blk, req);
	struct file_io *io = NULL;

	req->submitted = loop_now();
	f->requests++;
	if (!ret)
		io = file_new_io(f);
	if (!io) {
		req->priv = (void *)(intptr_t)(ret ? ret : -ENOMEM);
		request_push(&f->refused, req);
		loop_event_signal(&f->ended_event);
		return;
	}
	io->req = req;
	io->length = req->op == BLOCK_FLUSH ? 0 : request_length(req);
	io->done = 0;
	if (file_read_cached(f, io))
		list_push(&f->at_once, io);
	else if (f->under_way < FILE_DEPTH)
		file_start(f, io);
	else
		list_push(&f->waiting, io);
}

static void file_drain(struct block *blk)
{
	struct file_block *f = to_file(blk);
	struct pollfd pfd = { .fd = f->ended_event.src.fd, .events = POLLIN };
	uint64_t count;

	for (;;) {
		backend_lock(f->host);
		file_serve(f);
		if (!f->requests)
			break;
		backend_unlock(f->host);
		poll(&pfd, 1, -1);
		if (read(pfd.fd, &count, sizeof(count)) < 0)
			continue; /* a signal, or nothing yet */
	}
	backend_unlock(f->host);
}

/* ------------------------------------------------------------------ opening and closing */

static int file_open_uring(struct file_block *f)
{
	int ret = io_uring_queue_init(FILE_DEPTH, &f->ring, 0);

	if (ret)
		return ret;
	io_uring_ring_dontfork(&f->ring);
	ret = io_uring_register_eventfd(&f->ring, f->ended_event.src.fd);
	if (ret)
		io_uring_queue_exit(&f->ring);
	else
		f->uring_open = true;
	return ret;
}

static int file_open_threads(struct file_block *f)
{
	pthread_attr_t attr;
	int ret = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, FILE_STACK);
	while (!ret && f->threads < FILE_THREADS) {
		ret = pthread_create(&f->thread[f->threads], &attr, file_thread, f);
		if (!ret)
			f->threads++;
	}
	pthread_attr_destroy(&attr);
	return f->threads ? 0 : -ret;
}

static void file_release(struct file_block *f)
{
	struct file_io *io;

	pthread_mutex_lock(&f->mutex);
	f->closing = true;
	pthread_cond_broadcast(&f->work);
	pthread_mutex_unlock(&f->mutex);
	while (f->threads)
		pthread_join(f->thread[--f->threads], NULL);
	if (f->uring_open)
		io_uring_queue_exit(&f->ring);
	loop_event_close(f->host->loop, &f->ended_event);
	while ((io = f->free)) {
		f->free = io->next;
		free(io);
	}
	pthread_cond_destroy(&f->work);
	pthread_mutex_destroy(&f->mutex);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static void file_close(struct block *blk)
{
	struct file_block *f = to_file(blk);

	file_drain(blk);
	if (!blk->readonly && fdatasync(f->fd))
		diag_error("the disk %s could not be brought up to date: %s", f->path,
			   strerror(errno));
	file_release(f);
}

static const struct block_ops file_ops = {
	.submit = file_submit,
	.collect = file_collect,
	.drain = file_drain,
	.close = file_close,
};

/* Says why a path cannot be opened. */
static int file_explain_open(const struct block_file_config *cfg, int error)
{
	if (!cfg->readonly && (error == EACCES || error == EROFS || error == EPERM))
		diag_error("cannot write the disk %s: %s; change that, or add ',readonly'",
			   cfg->path, strerror(error));
	else if (error == EISDIR)
		diag_error("the disk %s is a directory: name an image file or a block device",
			   cfg->path);
	else
		diag_error("cannot open the disk %s: %s", cfg->path, strerror(error));
	return -error;
}

static int file_find_size(struct file_block *f)
{
	struct stat st;

	if (fstat(f->fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode)) {
		diag_error("the disk %s is a directory: name an image file or a block device",
			   f->path);
		return -EISDIR;
	}
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(f->fd, BLKGETSIZE64, &f->file_size))
			return -errno;
	} else if (S_ISREG(st.st_mode)) {
		f->file_size = st.st_size;
	} else {
		diag_error("the disk %s is neither a file nor a block device", f->path);
		return -EINVAL;
	}
	if (!f->file_size) {
		diag_error("the disk %s is empty: make it larger, e.g. by 'truncate -s 8G %s'",
			   f->path, f->path);
		return -EINVAL;
	}
	f->blk.size = (f->file_size + FILE_SECTOR - 1) & ~(uint64_t)(FILE_SECTOR - 1);
	return 0;
}

/* Of the open file description: it goes with this process, and not before. */
static int file_lock(const struct file_block *f)
{
	struct flock lock = {
		.l_type = f->blk.readonly ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (fcntl(f->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES) {
		diag_error("cannot lock the disk %s: %s", f->path, strerror(errno));
		return -errno;
	}
	diag_error(
		"the disk %s is in use: end the other machine, or give it to both with ',readonly'",
		f->path);
	return -EBUSY;
}

static int file_check_format(const struct file_block *f)
{
	static const struct {
		const char *magic, *name;
	} formats[] = { { "QFI\xfb", "qcow2" },
			{ "KDMV", "VMDK" },
			{ "vhdxfile", "VHDX" },
			{ "conectix", "VHD" } };
	char head[8] = { 0 };
	size_t i;

	if (pread(f->fd, head, sizeof(head), 0) < 0) {
		diag_error("cannot read the disk %s: %s", f->path, strerror(errno));
		return -EIO;
	}
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (memcmp(head, formats[i].magic, strlen(formats[i].magic)) != 0)
			continue;
		diag_error("the disk %s looks like %s, which is not raw: serve it by qemu-nbd and "
			   "give nbd:URI, "
			   "or add ',format=raw'",
			   f->path, formats[i].name);
		return -EINVAL;
	}
	return 0;
}

static int file_open_image(struct file_block *f, const struct block_file_config *cfg)
{
	int ret;

	f->fd = open(cfg->path,
		     (cfg->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (f->fd < 0)
		return file_explain_open(cfg, errno);
	/* It was for pipes, which nobody may ever open; left on, io_uring would refuse what has to wait. */
	fcntl(f->fd, F_SETFL, 0);
	ret = file_find_size(f);
	if (!ret)
		ret = file_lock(f);
	if (!ret && !cfg->raw)
		ret = file_check_format(f);
	return ret;
}

int block_file_open(const struct backend_host *host, const struct block_file_config *cfg,
		    struct block **blk)
{
	struct file_block *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return -ENOMEM;
	f->blk.ops = &file_ops;
	f->blk.readonly = cfg->readonly;
	f->host = host;
	f->path = cfg->path;
	f->cached_reads = true;
	f->ended_event.src.fd = -1;
	pthread_mutex_init(&f->mutex, NULL);
	pthread_cond_init(&f->work, NULL);
	list_init(&f->waiting);
	list_init(&f->at_once);
	list_init(&f->todo);
	list_init(&f->ended);
	ret = file_open_image(f, cfg);
	if (ret)
		goto fail;
	ret = loop_event_open(host->loop, &f->ended_event, file_on_ended, f);
	if (!ret) {
		/* Old kernels, and containers that forbid it, have no io_uring. */
		ret = cfg->no_uring ? -ENOSYS : file_open_uring(f);
		if (ret)
			ret = file_open_threads(f);
	}
	if (!ret) {
		*blk = &f->blk;
		return 0;
	}
	diag_error("cannot use the disk %s: %s", cfg->path, strerror(-ret));
fail:
	file_release(f);
	return ret;
}
