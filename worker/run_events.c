// SPDX-License-Identifier: GPL-2.0-only
/* What the main thread does while the machine runs: signals, timers, the console. */
#define _GNU_SOURCE
#include "worker/run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "worker/diag.h"

/* One event, then silence until asked for again: the port may be full when input comes. */
static void run_rearm_input(struct run *r)
{
	loop_modify(&r->loop, &r->on_input, EPOLLIN | EPOLLONESHOT);
}

void run_stop(struct run *r)
{
	r->stopping = true;
	machine_end(&r->machine, MACHINE_STOPPED);
}

static void run_escape(struct run *r, unsigned int requests)
{
	if (requests & ESCAPE_HELP)
		diag_note("plinth: Ctrl-a x ends the machine, Ctrl-a a sends a Ctrl-a");
	if (requests & ESCAPE_QUIT)
		run_stop(r);
}

size_t run_input_room(const struct run *r)
{
	return sizeof(r->input) - (r->input_end - r->input_head);
}

/* Makes all room that there is one piece behind what waits. */
static void run_compact_input(struct run *r)
{
	memmove(r->input, r->input + r->input_head, r->input_end - r->input_head);
	r->input_end -= r->input_head;
	r->input_head = 0;
}

/*
 * Reads ahead of the guest, so that the escape is seen even when the guest hangs. Returns whether
 * there was anything.
 */
static bool run_fill_input(struct run *r)
{
	unsigned int requests;
	ssize_t n;

	if (r->input_head && r->input_end == sizeof(r->input))
		run_compact_input(r);
	if (r->input_ended || r->input_end == sizeof(r->input))
		return false;
	n = console_read(&r->console, r->input + r->input_end, sizeof(r->input) - r->input_end,
			 &requests);
	run_escape(r, requests);
	if (n < 0)
		r->input_ended = true;
	else
		r->input_end += n;
	return n > 0;
}

/* Hands the port what it takes. Returns whether that was anything. */
static bool run_drain_input(struct run *r)
{
	size_t len = r->input_end - r->input_head;
	size_t space = machine_input_space(&r->machine);

	if (len > space)
		len = space;
	if (!len)
		return false;
	machine_input(&r->machine, r->input + r->input_head, len);
	r->input_head += len;
	if (r->input_head == r->input_end)
		r->input_head = r->input_end = 0;
	return true;
}

/* Moves input on until there is no more, or no more room. */
static void run_pump_input(struct run *r)
{
	bool filled, drained;

	do {
		filled = run_fill_input(r);
		drained = run_drain_input(r);
	} while (filled || drained);
	if (!r->input_ended && r->input_oneshot && r->input_end < sizeof(r->input))
		run_rearm_input(r);
	if (r->control)
		control_input_ready(r->control);
}

void run_input(struct run *r, const uint8_t *buf, size_t len)
{
	run_compact_input(r);
	memcpy(r->input + r->input_end, buf, len);
	r->input_end += len;
	run_pump_input(r);
}

static void run_on_signal(struct loop_source *src, uint32_t events)
{
	struct run *r = src->ctx;
	struct signalfd_siginfo si;

	(void)events;
	if (read(r->signal_fd, &si, sizeof(si)) != sizeof(si))
		return;
	switch (si.ssi_signo) {
	case SIGTSTP:
		console_terminal_restore();
		raise(SIGSTOP);
		console_terminal_raw();
		break;
	case SIGCONT:
		console_terminal_raw();
		break;
	default:
		run_stop(r);
	}
}

static void run_clear_event(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* cleared already */
}

static void run_on_end(struct loop_source *src, uint32_t events)
{
	(void)src; /* run_loop() looks */
	(void)events;
}

static void run_on_timer(struct loop_source *src, uint32_t events)
{
	struct run *r = src->ctx;

	(void)events;
	machine_run_timers(&r->machine);
}

static void run_on_input(struct loop_source *src, uint32_t events)
{
	(void)events;
	run_pump_input(src->ctx);
}

static void run_on_input_space(struct loop_source *src, uint32_t events)
{
	(void)events;
	run_clear_event(src->fd);
	run_pump_input(src->ctx);
}

static void run_on_doorbell(struct loop_source *src, uint32_t events)
{
	struct run *r = src->ctx;

	(void)events;
	machine_doorbells(&r->machine);
}

static void run_on_output(struct loop_source *src, uint32_t events)
{
	struct run *r = src->ctx;

	(void)events;
	run_clear_event(src->fd);
	machine_output_ready(&r->machine);
}

static int run_watch_fd(struct run *r, struct loop_source *src, int fd,
			void (*ready)(struct loop_source *src, uint32_t events), uint32_t flags)
{
	*src = (struct loop_source){ .fd = fd, .ready = ready, .ctx = r };
	return loop_add(&r->loop, src, EPOLLIN | flags);
}

static int run_watch_input(struct run *r)
{
	/*
	 * A pseudo-terminal that nobody has open is always "ready" (EPOLLHUP): only changes count.
	 */
	uint32_t flags = r->console.is_pty ? EPOLLET : EPOLLONESHOT;
	int ret;

	if (r->console.in_fd < 0)
		r->input_ended = true;
	if (r->input_ended)
		return 0;
	ret = run_watch_fd(r, &r->on_input, r->console.in_fd, run_on_input, flags);
	r->input_oneshot = !ret && !r->console.is_pty;
	return ret == -EPERM ? 0 : ret; /* regular files and /dev/null cannot be watched */
}

int run_watch(struct run *r)
{
	int ret = run_watch_fd(r, &r->on_signal, r->signal_fd, run_on_signal, 0);

	if (!ret)
		ret = run_watch_fd(r, &r->on_end, r->machine.end_fd, run_on_end, 0);
	if (!ret)
		ret = run_watch_fd(r, &r->on_timer, r->machine.timer_fd, run_on_timer, 0);
	if (!ret)
		ret = run_watch_fd(r, &r->on_input_space, r->machine.input_fd, run_on_input_space,
				   0);
	if (!ret)
		ret = run_watch_fd(r, &r->on_doorbell, r->machine.doorbell_fd, run_on_doorbell,
				   EPOLLET);
	if (!ret)
		ret = run_watch_fd(r, &r->on_output, r->console.room_fd, run_on_output, 0);
	if (!ret)
		ret = run_watch_input(r);
	return ret;
}

void run_unwatch(struct run *r)
{
	struct loop_source *const sources[] = { &r->on_signal,	    &r->on_end,	   &r->on_timer,
						&r->on_input_space, &r->on_output, &r->on_input,
						&r->on_doorbell };
	size_t i;

	for (i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (sources[i]->ready)
			loop_remove(&r->loop, sources[i]);
		*sources[i] = (struct loop_source){ .fd = -1 };
	}
}

void run_loop(struct run *r)
{
	while (atomic_load(&r->machine.end) == MACHINE_RUNS)
		loop_run_once(&r->loop, -1);
}
