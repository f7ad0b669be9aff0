// SPDX-License-Identifier: GPL-2.0-only
/* The register trace: what it writes down, and that a device notices nothing of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/bus.h"
#include "worker/trace.h"

/* Reads give what was written last, and one more each time; the pin follows the lowest bit. */
struct counter {
	uint64_t val;
	unsigned int strings;
	struct irq_pin pin;
};

static uint64_t counter_read(void *dev, uint64_t off, unsigned int size)
{
	struct counter *c = dev;

	irq_pin_set(&c->pin, false);
	return (c->val++ + off) & dev_ones(size);
}

static void counter_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct counter *c = dev;

	(void)off;
	(void)size;
	c->val = val;
	irq_pin_set(&c->pin, val & 1);
}

static void counter_read_string(void *dev, uint64_t off, unsigned int size, void *buf,
				unsigned int count)
{
	struct counter *c = dev;

	(void)off;
	memset(buf, 0xa5, (size_t)size * count);
	c->strings++;
}

static void counter_write_string(void *dev, uint64_t off, unsigned int size, const void *buf,
				 unsigned int count)
{
	struct counter *c = dev;

	(void)off;
	(void)size;
	(void)count;
	c->val = *(const uint8_t *)buf;
	c->strings++;
}

static const struct device_ops counter_ops = { .read = counter_read, .write = counter_write };
static const struct device_ops string_ops = {
	.read = counter_read,
	.write = counter_write,
	.read_string = counter_read_string,
	.write_string = counter_write_string,
};

static uint64_t now;

static uint64_t clock_now(void *ctx)
{
	(void)ctx;
	return now;
}

static const struct dev_clock clock_fake = { .now = clock_now };

static struct trace trace;
static struct bus_pio pio;
static struct counter a, b;
static unsigned int pin_level, pin_number;
static char path[] = "/tmp/test_traceXXXXXX";

static void pin_set(void *ctx, unsigned int n, bool level)
{
	*(unsigned int *)ctx = level;
	pin_number = n;
}

static int setup(void **state)
{
	int fd;

	(void)state;
	strcpy(path + strlen(path) - 6, "XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	memset(&pio, 0, sizeof(pio));
	a = b = (struct counter){ 0 };
	now = 1002003004;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	trace_close(&trace);
	unlink(path);
	return 0;
}

static void add(const char *name, uint64_t port, const struct device_ops *ops, void *dev)
{
	assert_int_equal(trace_region(&trace, name, port, &ops, &dev), 0);
	assert_int_equal(bus_pio_add(&pio, port, 8, ops, dev), 0);
}

/* A machine with two devices. */
static void open_traced(uint32_t devices)
{
	const struct irq_pin pin = { .set = pin_set, .ctx = &pin_level, .n = 14 };

	assert_int_equal(trace_open(&trace, path, devices), 0);
	trace_begin(&trace, &clock_fake);
	add("ide0", 0x1f0, &string_ops, &a);
	add("rtc", 0x70, &counter_ops, &b);
	a.pin = trace_pin(&trace, "ide0", "irq14", pin);
}

static void expect(const char *lines)
{
	char got[4096] = "";
	FILE *f;

	assert_true(trace_flush(&trace));
	f = fopen(path, "r");
	got[fread(got, 1, sizeof(got) - 1, f)] = 0;
	fclose(f);
	assert_string_equal(got, lines);
}

static uint64_t in(uint16_t port, unsigned int size)
{
	uint8_t data[8] = { 0 };

	bus_pio_access(&pio, false, port, size, data);
	return bus_load(data, size);
}

static void out(uint16_t port, unsigned int size, uint64_t val)
{
	uint8_t data[8];

	bus_store(data, size, val);
	bus_pio_access(&pio, true, port, size, data);
}

static void test_lines(void **state)
{
	(void)state;
	open_traced(0);
	out(0x1f2, 4, 0xdeadbeef);
	assert_int_equal(pin_level, 1);
	assert_int_equal(pin_number, 14);
	trace_set_vp(3);
	now += 5;
	assert_int_equal(in(0x1f7, 1), 0xf6);
	assert_int_equal(pin_level, 0);
	out(0x70, 1, 0x42);
	assert_int_equal(in(0x70, 2), 0x42);
	/* Half of it is nobody's: the device sees a byte. */
	assert_int_equal(in(0x77, 2), 0xff4a);
	expect("1.002003004 - ide0 irq14 high\n"
	       "1.002003004 - ide0 1f2 w4 deadbeef\n"
	       "1.002003009 vp3 ide0 irq14 low\n"
	       "1.002003009 vp3 ide0 1f7 r1 f6\n"
	       "1.002003009 vp3 rtc 70 w1 42\n"
	       "1.002003009 vp3 rtc 70 r2 42\n"
	       "1.002003009 vp3 rtc 77 r1 4a\n");
}

/* Each device is asked in its own way. */
static void test_strings(void **state)
{
	static const uint8_t data[] = { 1, 2, 3, 4 };
	uint8_t buf[6];

	(void)state;
	open_traced(0);
	bus_pio_string(&pio, true, 0x1f0, 2, 2, (uint8_t *)data);
	assert_int_equal(a.val, 1);
	bus_pio_string(&pio, false, 0x1f0, 2, 3, buf);
	assert_int_equal(a.strings, 2);
	bus_pio_string(&pio, true, 0x70, 2, 2, (uint8_t *)data);
	assert_int_equal(b.val, 0x403);
	bus_pio_string(&pio, false, 0x71, 2, 2, buf);
	assert_memory_equal(buf, "\x04\x04\x05\x04", 4);
	expect("1.002003004 vp3 ide0 1f0 w2*2 01020304\n"
	       "1.002003004 vp3 ide0 1f0 r2*3 a5a5a5a5a5a5\n"
	       "1.002003004 vp3 rtc 70 w2*2 01020304\n"
	       "1.002003004 vp3 rtc 71 r2*2 04040504\n");
}

/* What is not traced is not touched. */
static void test_chosen(void **state)
{
	const struct device_ops *ops = &counter_ops;
	void *dev = &b;

	(void)state;
	open_traced(1u << trace_device("ide") | 1u << trace_device("nic"));
	assert_ptr_equal(pio.region[2].ops, &counter_ops);
	assert_ptr_equal(pio.region[2].dev, &b);
	in(0x70, 1);
	in(0x1f1, 1);
	assert_int_equal(trace_region(&trace, "ide.bm", 0, &ops, &dev), 0);
	assert_ptr_not_equal(dev, &b);
	ops->write(dev, 2, 1, 6);
	assert_int_equal(b.val, 6);
	dev = &b;
	assert_int_equal(trace_region(&trace, "identity", 0, &ops, &dev), 0);
	assert_ptr_equal(dev, &b);
	assert_int_equal(trace_region(NULL, "ide0", 0, &ops, &dev), 0);
	assert_int_equal(trace_region(&trace, NULL, 0, &ops, &dev), 0);
	assert_ptr_equal(dev, &b);
	expect("1.002003004 vp3 ide0 irq14 low\n"
	       "1.002003004 vp3 ide0 1f1 r1 1\n"
	       "1.002003004 vp3 ide.bm 2 w1 6\n");
	assert_int_equal(trace_device("floppy"), -1);
	assert_int_equal(trace_device(""), -1);
}

/* Machine after machine in one trace; one that is not open. */
static void test_lives(void **state)
{
	const struct device_ops *ops = &counter_ops;
	void *dev = &b;

	(void)state;
	open_traced(0);
	in(0x70, 1);
	for (unsigned int i = 0; i < 3 * TRACE_REGIONS_MAX; i++) {
		if (i % TRACE_REGIONS_MAX == 0)
			trace_begin(&trace, &clock_fake);
		ops = &counter_ops;
		dev = &b;
		assert_int_equal(trace_region(&trace, "rtc", 0x70, &ops, &dev), 0);
	}
	assert_int_equal(trace_region(&trace, "rtc", 0x70, &ops, &dev), -ENOSPC);
	b.val = 0;
	ops->read(dev, 1, 1);
	expect("1.002003004 vp3 rtc 70 r1 0\n"
	       "1.002003004 vp3 rtc 71 r1 1\n");
	trace_close(&trace);
	assert_true(trace_flush(&trace));
	dev = &b;
	assert_int_equal(trace_region(&trace, "rtc", 0x70, &ops, &dev), 0);
	assert_ptr_equal(dev, &b);
}

static void test_bad_files(void **state)
{
	struct trace t;

	(void)state;
	assert_int_equal(trace_open(&t, "/nonexistent/x", 0), -ENOENT);
	assert_null(t.out);
	assert_int_equal(trace_open(&t, "/dev/full", 0), 0);
	trace_begin(&t, &clock_fake);
	trace_pin(&t, "ide0", "irq14", a.pin).set(&t.pin[0], 0, true);
	assert_false(trace_flush(&t));
	trace_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chosen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
