// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>

#include "core/cpu.h"
#include "core/log.h"
#include "core/x86/asm.h"

static struct spinlock log_lock;
static u16 log_port;

void log_set_port(u16 port)
{
	log_port = port;
}

static void log_putc(char c)
{
	boot->log[boot->log_position % PLINTH_LOG_SIZE] = c;
	boot->log_position++;
	if (log_port)
		outb(log_port, c);
}

static void log_number(u64 v, unsigned int base, bool neg, unsigned int width, char pad)
{
	char buf[24];
	unsigned int n = 0;

	do
		buf[n++] = "0123456789abcdef"[v % base];
	while (v /= base);
	if (neg)
		buf[n++] = '-';
	for (; width > n; width--)
		log_putc(pad);
	while (n)
		log_putc(buf[--n]);
}

static void log_string(const char *s, unsigned int width)
{
	unsigned int n = 0;

	for (; s[n]; n++)
		log_putc(s[n]);
	for (; n < width; n++)
		log_putc(' ');
}

/* One conversion; `f` points behind the %. -> behind the conversion. */
static const char *log_conversion(const char *f, va_list *ap)
{
	unsigned int width = 0, longs = 0;
	char pad = ' ';
	s64 sv;
	u64 v;

	if (*f == '0') {
		pad = '0';
		f++;
	}
	for (; *f >= '0' && *f <= '9'; f++)
		width = width * 10 + (*f - '0');
	for (; *f == 'l' || *f == 'z'; f++)
		longs++;
	switch (*f) {
	case 's':
		log_string(va_arg(*ap, const char *), width);
		break;
	case 'c':
		log_putc(va_arg(*ap, int));
		break;
	case 'd':
		sv = longs ? va_arg(*ap, s64) : va_arg(*ap, int);
		log_number(sv < 0 ? -(u64)sv : (u64)sv, 10, sv < 0, width, pad);
		break;
	case 'u':
	case 'x':
		v = longs ? va_arg(*ap, u64) : va_arg(*ap, unsigned int);
		log_number(v, *f == 'x' ? 16 : 10, false, width, pad);
		break;
	case 'p':
		log_number((u64)va_arg(*ap, void *), 16, false, 16, '0');
		break;
	default:
		log_putc(*f);
	}
	return f + 1;
}

void log_printf(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	spin_lock(&log_lock);
	while (*fmt) {
		if (*fmt == '%')
			fmt = log_conversion(fmt + 1, &ap);
		else
			log_putc(*fmt++);
	}
	spin_unlock(&log_lock);
	va_end(ap);
}

u32 log_read(u64 *pos, void *buf, u32 size)
{
	char *out = buf;
	u32 n = 0;

	spin_lock(&log_lock);
	if (boot->log_position > PLINTH_LOG_SIZE && *pos < boot->log_position - PLINTH_LOG_SIZE)
		*pos = boot->log_position - PLINTH_LOG_SIZE;
	for (; n < size && *pos < boot->log_position; n++, (*pos)++)
		out[n] = boot->log[*pos % PLINTH_LOG_SIZE];
	spin_unlock(&log_lock);
	return n;
}

u64 log_written(void)
{
	return boot->log_position;
}
