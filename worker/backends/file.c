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

#define FILE_DEPTH   128 /* pieces under way; more wait */
#define FILE_IOVS    64	 /* buffers of a piece */
#define FILE_THREADS 4
#define FILE_STACK   (128u << 10)
#define FILE_SECTOR  512u
#define FILE_AT_ONCE (128u << 10) /* bytes that are copied while a processor waits */

/* A request under way. */
struct file_io {
	struct block_request *req;
	struct file_io *next; /* in free, waiting, held, todo or ended */
	size_t length, done;
	unsigned int iovs;
	int res;		  /* of the piece: bytes or a negative errno */
	struct io_uring_sqe *sqe; /* while it is in held */
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
	unsigned int batches;  /* that are open */
	unsigned int in_batch; /* requests that have come in the outermost one */
	struct file_list held; /* pieces in the ring that the host has not been told of */
	unsigned int spoilt;   /* entries before those, which do nothing */
	bool handed_over;      /* a batch: pieces of it may be over already */
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

/* How a range is taken off the medium, or made zeroes. */
static int file_range_mode(const struct block_request *req)
{
	if (req->op == BLOCK_DISCARD || req->unmap)
		return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

static void file_prepare(struct file_block *f, struct file_io *io, struct io_uring_sqe *sqe)
{
	const struct block_request *req = io->req;

	switch (req->op) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, f->fd, io->iov, io->iovs, file_position(io));
		break;
	case BLOCK_WRITE:
		io_uring_prep_writev(sqe, f->fd, io->iov, io->iovs, file_position(io));
		break;
	case BLOCK_DISCARD:
	case BLOCK_ZERO:
		io_uring_prep_fallocate(sqe, f->fd, file_range_mode(req), req->offset, req->range);
		break;
	default:
		io_uring_prep_fsync(sqe, f->fd, IORING_FSYNC_DATASYNC);
	}
	io_uring_sqe_set_data(sqe, io);
}

/* The host has taken @n entries. */
static void file_taken(struct file_block *f, unsigned int n)
{
	for (; n; n--) {
		if (f->spoilt)
			f->spoilt--;
		else
			list_pop(&f->held);
	}
}

/* Tells the host of what is in the ring. */
static void file_hand_over(struct file_block *f)
{
	struct file_io *io;
	int ret = 1;

	while (f->held.head && (ret > 0 || ret == -EINTR)) {
		ret = io_uring_submit(&f->ring);
		if (ret > 0)
			file_taken(f, ret);
	}
	/* The host is short of memory. What is left stays in the ring and goes with the next ones, emptied. */
	while ((io = list_pop(&f->held))) {
		io_uring_prep_nop(io->sqe);
		io_uring_sqe_set_data(io->sqe, NULL);
		f->spoilt++;
		file_ended(f, io, -ENOMEM);
	}
}

static void file_start_uring(struct file_block *f, struct file_io *io)
{
	io->sqe = io_uring_get_sqe(&f->ring);
	if (!io->sqe) {
		file_hand_over(f);
		io->sqe = io_uring_get_sqe(&f->ring);
	}
	/* Only entries that the host has refused can fill the ring now. */
	if (!io->sqe) {
		file_ended(f, io, -ENOMEM);
		return;
	}
	file_prepare(f, io, io->sqe);
	list_push(&f->held, io);
	if (!f->batches)
		file_hand_over(f);
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

/*
 * What the host has in memory. Returns whether that was all of it; @io goes on from where it ended. In a batch only the
 * first request is worth a call of its own.
 */
static bool file_read_cached(struct file_block *f, struct file_io *io)
{
	ssize_t n;

	if (io->req->op != BLOCK_READ || !io->length || io->length > FILE_AT_ONCE ||
	    io->req->iovs > FILE_IOVS || !f->cached_reads || f->collecting ||
	    (f->uring_open && f->in_batch > 1))
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
	const struct block_request *req = io->req;
	ssize_t n;

	if (req->op == BLOCK_READ)
		n = preadv(f->fd, io->iov, io->iovs, file_position(io));
	else if (req->op == BLOCK_WRITE)
		n = pwritev(f->fd, io->iov, io->iovs, file_position(io));
	else if (request_is_range(req->op))
		n = fallocate(f->fd, file_range_mode(req), req->offset, req->range);
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

static bool file_moves_data(const struct block_request *req)
{
	return req->op == BLOCK_READ || req->op == BLOCK_WRITE;
}

static void file_piece_ended(struct file_block *f, struct file_io *io)
{
	f->under_way--;
	if (io->res == -EINTR || io->res == -EAGAIN) {
		file_start(f, io);
	} else if (io->res < 0 || !file_moves_data(io->req)) {
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

static void file_batch_begin(struct block *blk)
{
	to_file(blk)->batches++;
}

static void file_batch_end(struct block *blk)
{
	struct file_block *f = to_file(blk);

	if (--f->batches)
		return;
	f->in_batch = 0;
	f->handed_over |= f->held.head != NULL;
	file_hand_over(f);
}

/* What the ring has now, and not what comes of that. */
static void file_reap(struct file_block *f)
{
	unsigned int n = f->uring_open ? io_uring_cq_ready(&f->ring) : 0;
	struct io_uring_cqe *cqe;
	struct file_io *io;

	for (; n && io_uring_peek_cqe(&f->ring, &cqe) == 0; n--) {
		io = io_uring_cqe_get_data(cqe);
		if (io)
			io->res = cqe->res;
		io_uring_cqe_seen(&f->ring, cqe);
		if (io)
			file_piece_ended(f, io);
	}
}

/* What is submitted from the end of one takes the other way: it is not for ever that a processor is held up. */
static void file_collect(struct block *blk)
{
	struct file_block *f = to_file(blk);
	struct file_io *io;

	if (f->collecting)
		return;
	f->collecting = true;
	file_batch_begin(blk);
	block_tell_begin(blk);
	while ((io = list_pop(&f->at_once)))
		file_finish(f, io, 0);
	if (f->handed_over)
		file_reap(f);
	block_tell_end(blk);
	file_batch_end(blk);
	f->handed_over = false;
	f->collecting = false;
}

/* Under the platform lock. */
static void file_serve(struct file_block *f)
{
	struct block_request *req;
	struct file_io *io;

	file_batch_begin(&f->blk);
	block_tell_begin(&f->blk);
	file_reap(f);
	while ((io = file_take_ended(f)))
		file_piece_ended(f, io);
	while ((req = request_pop(&f->refused))) {
		f->requests--;
		request_end(&f->blk, req, (int)(intptr_t)req->priv, loop_now());
	}
	file_collect(&f->blk);
	while (f->under_way < FILE_DEPTH && (io = list_pop(&f->waiting)))
		file_start(f, io);
	block_tell_end(&f->blk);
	file_batch_end(&f->blk);
	f->handed_over = false; /* what is over already has signalled that it is */
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
	f->in_batch += !!f->batches;
	if (!ret)
		io = file_new_io(f);
	if (!io) {
		req->priv = (void *)(intptr_t)(ret ? ret : -ENOMEM);
		request_push(&f->refused, req);
		loop_event_signal(&f->ended_event);
		return;
	}
	io->req = req;
	io->length = file_moves_data(req) ? request_length(req) : 0;
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
	.batch_begin = file_batch_begin,
	.batch_end = file_batch_end,
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
	else if (error == EBUSY)
		diag_error("the disk %s is in use: unmount what is on it, or end the other machine",
			   cfg->path);
	else
		diag_error("cannot open the disk %s: %s", cfg->path, strerror(error));
	return -error;
}

/*
 * Whether ranges can be given back. A file system that has no holes refuses one behind the end, too, where there is
 * nothing to be lost. Of a block device only the attempt tells.
 */
static void file_find_ranges(struct file_block *f, const struct stat *st)
{
	if (f->blk.readonly)
		return;
	f->blk.discards = S_ISBLK(st->st_mode) ||
			  !fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, f->blk.size,
				     FILE_SECTOR);
	f->blk.zeroes = f->blk.discards;
	f->blk.discard_unit =
		st->st_blksize < (blksize_t)FILE_SECTOR ? FILE_SECTOR : st->st_blksize;
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
	file_find_ranges(f, &st);
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
			{ "<<< ", "VDI" },
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

/* A block device that is written to is ours alone: not one with a file system that is mounted here. */
static int file_open_flags(const struct block_file_config *cfg)
{
	const int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat st;

	if (cfg->readonly)
		return flags | O_RDONLY;
	return flags | O_RDWR | (stat(cfg->path, &st) == 0 && S_ISBLK(st.st_mode) ? O_EXCL : 0);
}

static int file_open_image(struct file_block *f, const struct block_file_config *cfg)
{
	int ret;

	f->fd = open(cfg->path, file_open_flags(cfg));
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
	list_init(&f->held);
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
