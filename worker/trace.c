// SPDX-License-Identifier: GPL-2.0-only
#include "worker/trace.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/bus.h"
#include "worker/diag.h"

#define TRACE_BUFFER (64u << 10)

static const char *const kinds[] = { "com1", "dma", "fwcfg", "ide", "ioapic", "kbc",  "nic",
				     "pci",  "pic", "pit",   "pm",  "rtc",    "smbus" };

const char trace_devices[] =
	"com1, dma, fwcfg, ide, ioapic, kbc, nic, pci, pic, pit, pm, rtc, smbus";

/* Of the processor that this thread is, and one; 0: it is none. */
static _Thread_local unsigned int trace_vp;

void trace_set_vp(unsigned int vp)
{
	trace_vp = vp + 1;
}

int trace_device(const char *name)
{
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i], name) == 0)
			return i;
	}
	return -1;
}

/* ------------------------------------------------------------------ lines */

/* Up to where the register's number stands. */
static void trace_head(const struct trace *t, const char *name)
{
	uint64_t now = dev_now(t->clock);

	fprintf(t->out, "%llu.%09llu ", now / DEV_NS_PER_SEC, now % DEV_NS_PER_SEC);
	if (trace_vp)
		fprintf(t->out, "vp%u %s ", trace_vp - 1, name);
	else
		fprintf(t->out, "- %s ", name);
}

static void trace_access(const struct trace_region *r, char how, uint64_t off, unsigned int size,
			 uint64_t val)
{
	trace_head(r->trace, r->name);
	fprintf(r->trace->out, "%" PRIx64 " %c%u %" PRIx64 "\n", r->origin + off, how, size, val);
}

static void trace_string(const struct trace_region *r, char how, uint64_t off, unsigned int size,
			 const uint8_t *data, unsigned int count)
{
	trace_head(r->trace, r->name);
	fprintf(r->trace->out, "%" PRIx64 " %c%u*%u ", r->origin + off, how, size, count);
	for (size_t n = (size_t)size * count; n; n--)
		fprintf(r->trace->out, "%02x", *data++);
	fputc('\n', r->trace->out);
}

/* ------------------------------------------------------------------ in a device's place */

static uint64_t trace_read(void *dev, uint64_t off, unsigned int size)
{
	const struct trace_region *r = dev;
	uint64_t val = r->ops->read(r->dev, off, size);

	trace_access(r, 'r', off, size, val);
	return val;
}

static void trace_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	const struct trace_region *r = dev;

	r->ops->write(r->dev, off, size, val);
	trace_access(r, 'w', off, size, val);
}

static void trace_read_string(void *dev, uint64_t off, unsigned int size, void *buf,
			      unsigned int count)
{
	const struct trace_region *r = dev;
	uint8_t *data = buf;

	if (r->ops->read_string) {
		r->ops->read_string(r->dev, off, size, buf, count);
	} else {
		for (unsigned int i = 0; i < count; i++)
			bus_store(data + (size_t)i * size, size, r->ops->read(r->dev, off, size));
	}
	trace_string(r, 'r', off, size, data, count);
}

static void trace_write_string(void *dev, uint64_t off, unsigned int size, const void *buf,
			       unsigned int count)
{
	const struct trace_region *r = dev;
	const uint8_t *data = buf;

	if (r->ops->write_string) {
		r->ops->write_string(r->dev, off, size, buf, count);
	} else {
		for (unsigned int i = 0; i < count; i++)
			r->ops->write(r->dev, off, size, bus_load(data + (size_t)i * size, size));
	}
	trace_string(r, 'w', off, size, data, count);
}

static const struct device_ops trace_ops = {
	.read = trace_read,
	.write = trace_write,
	.read_string = trace_read_string,
	.write_string = trace_write_string,
};

static void trace_pin_set(void *ctx, unsigned int n, bool level)
{
	const struct trace_pin *p = ctx;

	(void)n;
	trace_head(p->trace, p->name);
	fprintf(p->trace->out, "%s %s\n", p->pin, level ? "high" : "low");
	irq_pin_set(&p->to, level);
}

/* ------------------------------------------------------------------ what is traced */

/* "ide", "ide0" and "ide.bm" are of the kind "ide". */
static bool trace_is_kind(const char *name, const char *kind)
{
	size_t len = strlen(kind);

	return strncmp(name, kind, len) == 0 &&
	       (!name[len] || name[len] == '.' || isdigit((unsigned char)name[len]));
}

static bool trace_wanted(const struct trace *t, const char *name)
{
	if (!t || !t->out || !name)
		return false;
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (t->devices >> i & 1 && trace_is_kind(name, kinds[i]))
			return true;
	}
	return !t->devices;
}

int trace_region(struct trace *t, const char *name, uint64_t origin, const struct device_ops **ops,
		 void **dev)
{
	struct trace_region *r;

	if (!trace_wanted(t, name))
		return 0;
	if (t->regions == TRACE_REGIONS_MAX)
		return -ENOSPC;
	r = &t->region[t->regions++];
	*r = (struct trace_region){ t, name, origin, *ops, *dev };
	*ops = &trace_ops;
	*dev = r;
	return 0;
}

struct irq_pin trace_pin(struct trace *t, const char *name, const char *pin, struct irq_pin to)
{
	struct trace_pin *p;

	if (!trace_wanted(t, name) || t->pins == TRACE_PINS_MAX)
		return to;
	p = &t->pin[t->pins++];
	*p = (struct trace_pin){ t, name, pin, to };
	return (struct irq_pin){ .set = trace_pin_set, .ctx = p };
}

void trace_begin(struct trace *t, const struct dev_clock *clock)
{
	if (!t)
		return;
	t->clock = clock;
	t->regions = t->pins = 0;
}

/* ------------------------------------------------------------------ the file */

int trace_open(struct trace *t, const char *path, uint32_t devices)
{
	struct stat st;
	int ret;

	*t = (struct trace){ .path = path, .devices = devices };
	t->out = fopen(path, "we");
	if (!t->out || fstat(fileno(t->out), &st)) {
		ret = -errno;
		diag_error("cannot write the trace to %s: %s", path, strerror(-ret));
		trace_close(t);
		return ret;
	}
	/* Somebody may be reading along. */
	setvbuf(t->out, NULL, S_ISREG(st.st_mode) ? _IOFBF : _IOLBF, TRACE_BUFFER);
	return 0;
}

bool trace_flush(struct trace *t)
{
	if (!t->out)
		return true;
	errno = 0;
	if (fflush(t->out) == 0 && !ferror(t->out))
		return true;
	/* Of a write that failed before this one only the fact is kept. */
	diag_error("cannot write all of the trace to %s: %s", t->path,
		   strerror(errno ? errno : EIO));
	return false;
}

void trace_close(struct trace *t)
{
	if (t->out)
		fclose(t->out);
	t->out = NULL;
}
