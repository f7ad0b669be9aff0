// SPDX-License-Identifier: GPL-2.0-only
/* What `plinth run` is asked for, on its command line and in configuration files: what is understood, and what is said. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "worker/cmd.h"
#include "worker/config.h"
#include "worker/diag.h"
#include "worker/options.h"
#include "worker/trace.h"

int cmd_bad_usage(const char *command, const char *argument)
{
	diag_error("%s: '%s' is not understood: see 'plinth %s --help'", command, argument,
		   command);
	return CMD_ERROR;
}

static struct options o;
static char said[4096];

/* Runs @parse with standard error in said[]. */
static int listened(int (*parse)(void *arg), void *arg)
{
	int keep = dup(STDERR_FILENO), ret;
	FILE *f = tmpfile();
	size_t n;

	dup2(fileno(f), STDERR_FILENO);
	ret = parse(arg);
	dup2(keep, STDERR_FILENO);
	close(keep);
	rewind(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = 0;
	fclose(f);
	return ret;
}

static int parse_line(void *arg)
{
	static char text[8192];
	char *argv[64] = { "run" }, *at, *word;
	int argc = 1;

	strcpy(text, arg);
	for (at = text; (word = strsep(&at, " "));)
		argv[argc++] = word;
	return options_parse(&o, argc, argv);
}

static void good(const char *line)
{
	options_free(&o);
	if (listened(parse_line, (void *)line))
		fail_msg("%s: %s", line, said);
	assert_string_equal(said, "");
}

static void expect_one_line(const char *what, const char *words)
{
	char *end = strchr(said, '\n');

	if (strncmp(said, "plinth: ", 8) != 0 || !strstr(said, words) || !end || end[1])
		fail_msg("%s: '%s' is not in the one line '%s'", what, words, said);
}

static void bad(const char *line, const char *words)
{
	options_free(&o);
	assert_int_not_equal(listened(parse_line, (void *)line), 0);
	expect_one_line(line, words);
}

static void test_defaults(void **state)
{
	(void)state;
	good("--kernel k");
	assert_string_equal(o.kernel, "k");
	assert_null(o.firmware);
	assert_null(o.append);
	assert_string_equal(o.name, "child");
	assert_false(o.named);
	assert_string_equal(o.console, "stdio");
	assert_int_equal(o.memory, 512 << 20);
	assert_int_equal(o.cpus, 1);
	assert_int_equal(o.disks + o.nets, 0);
	good("--disk d");
	assert_string_equal(o.firmware, "seabios");
	assert_null(o.firmware_vars);
	good("--firmware ovmf --firmware-vars v");
	assert_string_equal(o.firmware_vars, "v");
	good("--firmware ./image --memory 1G --cpus 4 --name x --reboot --stats=f");
	assert_string_equal(o.firmware, "./image");
	assert_int_equal(o.memory, 1 << 30);
	assert_true(o.named && o.reboot && o.stats);
	assert_string_equal(o.stats_path, "f");
	assert_string_equal(o.trace, "");
	good("--kernel k --trace io,,all --trace f,device=ide,device=rtc");
	assert_string_equal(o.trace, "f");
	assert_int_equal(o.trace_devices, 1 << trace_device("ide") | 1 << trace_device("rtc"));
	good("--help --frobnicate");
	assert_true(o.help);
}

static void test_drives(void **state)
{
	(void)state;
	good("--disk a,readonly --cdrom b.iso --disk c,bus=ide0.0,format=raw --disk "
	     "nbd:nbd://host/x");
	assert_int_equal(o.disks, 4);
	assert_string_equal(o.disk[0].target, "a");
	assert_true(o.disk[0].readonly && !o.disk[0].raw && !o.disk[0].nbd && !o.disk[0].cdrom);
	assert_int_equal(o.disk[0].channel * 2 + o.disk[0].unit, 1); /* the first is taken */
	assert_true(o.disk[1].cdrom && o.disk[1].readonly);
	assert_int_equal(o.disk[1].channel * 2 + o.disk[1].unit, 2);
	assert_true(o.disk[2].raw && !o.disk[2].readonly);
	assert_int_equal(o.disk[2].channel * 2 + o.disk[2].unit, 0);
	assert_true(o.disk[3].nbd);
	assert_string_equal(o.disk[3].target, "nbd://host/x");
	assert_int_equal(o.disk[3].channel * 2 + o.disk[3].unit, 3);
	good("--disk a,bimodal=on,identify=revision,enable=bit,relation=extends --disk "
	     "b,bimodal=off");
	assert_true(o.disk[0].bimodal.cfg.on);
	assert_int_equal(o.disk[0].bimodal.cfg.identify, BIMODAL_IDENTIFY_REVISION);
	assert_int_equal(o.disk[0].bimodal.cfg.enable, BIMODAL_ENABLE_BIT);
	assert_int_equal(o.disk[0].bimodal.cfg.relation, BIMODAL_EXTENDS);
	assert_false(o.disk[1].bimodal.cfg.on);
	good("--disk nbd+unix:///e?socket=/s --disk with,,comma,readonly --cdrom c,bus=ide0.0");
	assert_true(o.disk[0].nbd);
	assert_string_equal(o.disk[0].target, "nbd+unix:///e?socket=/s");
	assert_string_equal(o.disk[1].target, "with,comma");
	assert_true(o.disk[1].readonly);
	assert_int_equal(o.disk[0].channel * 2 + o.disk[0].unit, 1);
}

static void test_bad_drives(void **state)
{
	char line[5100] = "--disk ";

	(void)state;
	bad("--disk ", "--disk: name a file, a block device or nbd:URI");
	bad("--disk nbd:", "--disk: name a file, a block device or nbd:URI");
	bad("--disk ,readonly", "--disk: name a file");
	bad("--disk a,readwrite", "--disk: 'readwrite' is not understood: give readonly,");
	bad("--disk a,readonly=yes", "'readonly=yes' is not understood");
	bad("--disk a,", "'' is not understood");
	bad("--disk a,bus=ide2.0", "there is no bus=ide2.0: give ide0.0");
	bad("--disk a,bus=ide0.00", "there is no bus=ide0.00");
	bad("--disk a,bimodal=maybe", "bimodal is one of off, on");
	bad("--disk a,relation=extends", "give bimodal=on too");
	bad("--cdrom a,bimodal=on",
	    "'bimodal=on' is not understood: give readonly, bus=ide0.0 or format=raw");
	bad("--disk a,bus=scsi0.0", "there is no bus=scsi0.0");
	bad("--disk a,format=qcow2", "format=qcow2 is not known here: serve it by qemu-nbd");
	good("--disk none --cdrom none --cdrom nbd:none --cdrom ./none");
	assert_true(!o.disk[0].empty && o.disk[1].empty && !o.disk[2].empty && !o.disk[3].empty);
	bad("--disk a,bus=ide1.0 --cdrom b,bus=ide1.0", "two drives at ide1.0");
	bad("--disk a --disk b --disk c --disk d --cdrom e",
	    "--cdrom: a machine has at most 4 drives");
	memset(line + 7, 'x', 5000);
	bad(line, "is too long");
}

static void test_adapters(void **state)
{
	uint8_t first[6];

	(void)state;
	good("--kernel k --net user --net tap,ifname=t0,mac=02:00:00:00:00:aB --net none");
	assert_int_equal(o.nets, 3);
	assert_int_equal(o.net[0].kind, OPTION_NET_USER);
	assert_int_equal(o.net[1].kind, OPTION_NET_TAP);
	assert_string_equal(o.net[1].ifname, "t0");
	assert_memory_equal(o.net[1].mac, "\x02\0\0\0\0\xab", 6);
	assert_int_equal(o.net[2].kind, OPTION_NET_NONE);
	/* Derived: locally administered, nobody's group, another for each, the same the next time. */
	memcpy(first, o.net[0].mac, 6);
	assert_int_equal(first[0], 2);
	assert_memory_not_equal(first, o.net[2].mac, 6);
	good("--kernel k --net user");
	assert_memory_equal(o.net[0].mac, first, 6);
	good("--kernel k --net user --name other");
	assert_memory_not_equal(o.net[0].mac, first, 6);
	good("--kernel k --net none,bimodal=on --net none,bimodal=off --net user,bimodal=on,"
	     "identify=handshake,enable=sequence,relation=independent");
	assert_true(o.net[0].bimodal.cfg.on);
	assert_int_equal(o.net[0].bimodal.cfg.identify, BIMODAL_IDENTIFY_REGISTER);
	assert_int_equal(o.net[0].bimodal.cfg.relation, BIMODAL_DISABLES_PART);
	assert_false(o.net[1].bimodal.cfg.on);
	assert_int_equal(o.net[2].bimodal.cfg.identify, BIMODAL_IDENTIFY_HANDSHAKE);
	assert_int_equal(o.net[2].bimodal.cfg.enable, BIMODAL_ENABLE_SEQUENCE);
	assert_int_equal(o.net[2].bimodal.cfg.relation, BIMODAL_INDEPENDENT);

	good("--kernel k --net user,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp::53-10.0.2.20:5353");
	assert_int_equal(o.net[0].forwards, 2);
	assert_false(o.net[0].forward[0].udp);
	assert_int_equal(o.net[0].forward[0].host_addr, htonl(INADDR_LOOPBACK));
	assert_int_equal(o.net[0].forward[0].host_port, 8080);
	assert_int_equal(o.net[0].forward[0].guest_addr, 0);
	assert_int_equal(o.net[0].forward[0].guest_port, 80);
	assert_true(o.net[0].forward[1].udp);
	assert_int_equal(o.net[0].forward[1].host_addr, 0);
	assert_int_equal(o.net[0].forward[1].guest_addr, htonl(0x0a000214));
}

static void test_bad_adapters(void **state)
{
	(void)state;
	bad("--kernel k --net wire", "--net wire is not known: give user, tap or none");
	bad("--kernel k --net user,mac=02:00:00:00:00", "is not an address");
	bad("--kernel k --net user,mac=02:00:00:00:00:0g", "is not an address");
	bad("--kernel k --net user,mac=02:00:00:00:00:001", "is not an address");
	bad("--kernel k --net user,mac=03:00:00:00:00:01",
	    "is a group's address: make the first number even");
	bad("--kernel k --net user,mac=00:00:00:00:00:00", "is nobody's address");
	bad("--kernel k --net user,bimodal=yes", "bimodal is one of off, on");
	bad("--kernel k --net user,bimodal", "bimodal is one of off, on");
	bad("--kernel k --net user,bimodal=on,identify=rev",
	    "identify is one of register, revision, handshake");
	bad("--kernel k --net user,enable=bit", "give bimodal=on too");
	bad("--kernel k --net user,ifname=t0", "ifname= goes with tap only");
	bad("--kernel k --net tap,hostfwd=tcp::1-:1", "hostfwd= goes with user only");
	bad("--kernel k --net tap,ifname=a/b", "'a/b' cannot be an interface's name");
	bad("--kernel k --net tap,ifname=sixteencharacter", "at most 15 characters");
	bad("--kernel k --net tap,speed=10", "'speed=10' is not understood");
	bad("--kernel k --net user,hostfwd=tcp:1-:1",
	    "is not understood: write e.g. tcp:127.0.0.1:8080-:80");
	bad("--kernel k --net user,hostfwd=sctp::1-:1", "is not understood");
	bad("--kernel k --net user,hostfwd=tcp::0-:1", "is not understood");
	bad("--kernel k --net user,hostfwd=tcp::1-:65536", "is not understood");
	bad("--kernel k --net user,hostfwd=tcp:1.2.3:1-:1", "is not understood");
	bad("--kernel k --net user,mac=02:00:00:00:00:01 --net user,mac=02:00:00:00:00:01",
	    "the same mac=");
	bad("--kernel k --net user --net user --net user --net user --net user",
	    "at most 4 network adapters");
}

static void test_bad_lines(void **state)
{
	(void)state;
	bad("--memory 1G", "nothing to boot: give --kernel FILE, --disk FILE or --cdrom FILE");
	bad("--kernel k --firmware f", "both a kernel and firmware are given");
	bad("--disk d --initrd i", "an initrd goes with a kernel");
	bad("--disk d --append x", "a kernel command line goes with a kernel");
	bad("--kernel k --firmware-log f", "a firmware's log goes with firmware");
	bad("--kernel k --firmware-vars f", "a firmware's variables go with firmware");
	bad("--kernel k --trace ,device=ide", "--trace: name a file");
	bad("--kernel k --trace f,ide", "'ide' is not understood: give device=");
	bad("--kernel k --trace f,device", "'device' is not understood: give device=");
	bad("--kernel k --trace f,device=floppy",
	    "there is no device=floppy: give one of com1, dma, fwcfg, ide,");
	bad("--kernel k --memory 1P", "--memory 1P is not a size");
	bad("--kernel k --cpus 0", "--cpus 0: a machine has 1 to 64 processors");
	bad("--kernel k --name ../x", "--name '../x': give 1 to 15 letters");
	bad("--kernel k --name .x", "--name '.x'");
	bad("--kernel k --name 0123456789012345", "--name '0123456789012345'");
	bad("--kernel", "--kernel needs a value");
	bad("--kernel k --frobnicate", "'--frobnicate' is not understood");
	bad("--kernel k stray", "'stray' is not understood");
	bad("--config /nonexistent",
	    "cannot read the configuration /nonexistent: No such file or directory");
}

/* ------------------------------------------------------------------ configuration files */

static int parse_config(void *arg)
{
	int ret;

	options_init(&o);
	ret = config_parse(&o, "vm.json", arg);
	return ret ? ret : options_check(&o);
}

static void good_config(const char *text)
{
	options_free(&o);
	if (listened(parse_config, (void *)text))
		fail_msg("%s: %s", text, said);
}

static void bad_config(const char *text, const char *words)
{
	options_free(&o);
	assert_int_not_equal(listened(parse_config, (void *)text), 0);
	expect_one_line(text, words);
}

static void test_config(void **state)
{
	(void)state;
	good_config(
		"{\n"
		"  \"name\": \"web\", \"memory\": \"1G\", \"cpus\": 2,\n"
		"  \"reboot\": true, \"stats\": false,\n"
		"  \"disk\": [ { \"file\": \"a,b\", \"bus\": \"ide0.1\", \"readonly\": true },\n"
		"            \"c,readonly\", { \"nbd\": \"nbd://h\", \"readonly\": false } ],\n"
		"  \"cdrom\": \"d\",\n"
		"  \"net\": { \"hostfwd\": [\"tcp::1-:2\", \"udp::3-:4\"], \"type\": \"user\",\n"
		"            \"mac\": \"02:00:00:00:00:01\" }\n"
		"}\n");
	assert_string_equal(o.name, "web");
	assert_int_equal(o.memory, 1 << 30);
	assert_int_equal(o.cpus, 2);
	assert_true(o.reboot && !o.stats);
	assert_int_equal(o.disks, 4);
	assert_string_equal(o.disk[0].target, "a,b");
	assert_true(o.disk[0].readonly && o.disk[0].unit == 1);
	assert_string_equal(o.disk[1].target, "c");
	assert_true(o.disk[2].nbd && !o.disk[2].readonly);
	assert_true(o.disk[3].cdrom);
	assert_int_equal(o.net[0].forwards, 2);
	assert_int_equal(o.net[0].forward[1].guest_port, 4);
	good_config("{ \"disk\": { \"file\": \"a\", \"bimodal\": \"on\", \"relation\": \"extends\" "
		    "} }");
	assert_true(o.disk[0].bimodal.cfg.on);
	assert_int_equal(o.disk[0].bimodal.cfg.relation, BIMODAL_EXTENDS);
	good_config("{ \"kernel\": \"k\", \"memory\": 256, \"stats\": \"file\", \"net\": "
		    "[\"none\", \"user\"] }");
	assert_int_equal(o.memory, 256 << 20);
	assert_string_equal(o.stats_path, "file");
	assert_int_equal(o.nets, 2);
	good_config("{\"disk\":\"\\u0061\\\"b\"}");
	assert_string_equal(o.disk[0].target, "a\"b");
}

static void test_bad_config(void **state)
{
	(void)state;
	bad_config("", "vm.json:1: not JSON: the text ends too early");
	bad_config("{\n\n \"cpus\": 2", "vm.json:3: not JSON: the text ends too early");
	bad_config("{\n \"cpus\": two\n}", "vm.json:2: not JSON: 'two' is not expected here");
	bad_config("{}\nmore", "vm.json:2: not JSON: 'more' is not expected here");
	bad_config("[1]", "vm.json:1: not an object");
	bad_config("{\n \"kernel\": \"k\",\n \"cpu\": 2\n}",
		   "vm.json:3: cpu is not a key that is known");
	bad_config("{\n \"kernel\": \"k\",\n\n \"cpus\": 65\n}",
		   "vm.json:4: cpus 65: a machine has 1 to 64");
	bad_config("{ \"cpus\": 1.5 }", "vm.json:1: cpus: give a whole number or a string");
	bad_config("{ \"cpus\": -1 }", "vm.json:1: cpus: give a whole number or a string");
	bad_config("{ \"cpus\": [1] }", "vm.json:1: cpus: give a whole number or a string");
	bad_config("{ \"kernel\": 3 }", "vm.json:1: kernel: give a string");
	bad_config("{ \"reboot\": \"yes\" }", "vm.json:1: reboot: give true or false");
	bad_config("{ \"stats\": 1 }", "vm.json:1: stats: give true, false or a file's name");
	bad_config("{ \"cpus\": 1,\n\"cpus\": 2 }", "vm.json:2: cpus is there twice");
	bad_config("{ \"disk\": { \"file\": \"a\",\n\"bus\": \"ide0.0\",\n\"bus\": \"ide0.1\" } }",
		   "vm.json:3: bus is there twice");
	bad_config("{ \"disk\": { \"file\": \"a\", \"readonly\": true,\n\"readonly\": false } }",
		   "vm.json:2: readonly is there twice");
	bad_config("{ \"kernel\": \"k\", \"net\": [ { \"type\": \"none\",\n"
		   "\"mac\": \"02:00:00:00:00:01\",\n\"mac\": \"02:00:00:00:00:02\" } ] }",
		   "vm.json:3: mac is there twice");
	bad_config("{ \"kernel\": \"k\", \"net\": { \"type\": \"none\",\n\"type\": \"user\" } }",
		   "vm.json:2: type is there twice");
	bad_config("{ \"memory\": \"lots\" }", "vm.json:1: memory lots is not a size");
	bad_config("{ \"memory\": \"1M\" }", "vm.json:1: memory 1M is out of range");
	bad_config("{ \"disk\": 5 }",
		   "vm.json:1: disk: give a string or an object, or a list of them");
	bad_config("{ \"x\\\"{\": 5 }", "vm.json:1: x\"{ is not a key");
	bad_config("{ \"disk\": [\n\"a\",\n{ \"file\": \"b\",\n\"bus\": \"ide9.0\" } ] }",
		   "vm.json:4: bus: there is no bus=ide9.0");
	bad_config("{ \"disk\": [\n\"a\",\n{ \"bus\": \"ide0.0\" } ] }",
		   "disk: a drive needs file or nbd");
	bad_config("{ \"disk\": { \"file\": \"a\",\n \"nbd\": \"b\" } }",
		   "vm.json:2: nbd: a drive has one of file and nbd");
	bad_config("{ \"disk\": { \"file\": \"a\",\n \"bimodal\": \"yes\" } }",
		   ":2: bimodal: bimodal is one of off, on");
	bad_config("{ \"disk\": { \"file\": \"a\",\n \"readonly\": 1 } }",
		   "vm.json:2: readonly: give true or false");
	bad_config("{ \"disk\": [\"a\",\n\"b,frob\"] }",
		   "vm.json:2: disk: 'frob' is not understood");
	bad_config("{ \"net\": { \"mac\": \"02:00:00:00:00:01\" } }",
		   "net: give a \"type\": user, tap or none");
	bad_config("{ \"net\": [{ \"type\": \"user\" },\n{ \"type\":\n \"user\",\n \"ifname\": "
		   "\"t\" }] }",
		   "vm.json:4: ifname: ifname= goes with tap only");
	bad_config(
		"{ \"net\": { \"type\": \"user\",\n\"hostfwd\": [\"tcp::1-:2\",\n\"tcp::1\"] } }",
		"vm.json:3: hostfwd: hostfwd=tcp::1 is not understood");
	bad_config("{ \"net\": { \"type\": \"user\",\n\"hostfwd\": 3 } }",
		   "vm.json:2: hostfwd: give a string");
}

/* Whatever stands in the file, it is understood or refused in one line: each prefix, and each character changed. */
static void test_broken_config(void **state)
{
	static const char text[] =
		"{\"disk\":[{\"file\":\"a\\\\\",\"bus\":\"ide0.0\"},\"c\"],\n\"net\":{\"type\":"
		"\"user\",\"hostfwd\":[\"tcp::1-:2\"]},\"cpus\":2}";
	static const char other[] = "{}[]\",:\\x0 \n";
	char copy[sizeof(text)];
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(text) - 1; i++) {
		memcpy(copy, text, sizeof(text));
		copy[i] = 0;
		bad_config(copy, "vm.json:");
		for (j = 0; j < sizeof(other) - 1; j++) {
			memcpy(copy, text, sizeof(text));
			copy[i] = other[j];
			options_free(&o);
			if (listened(parse_config, copy))
				expect_one_line(copy, "");
		}
	}
}

/* What comes later counts, a false of the file's too; drives are added. */
static void test_config_and_line(void **state)
{
	static const char text[] = "{ \"cpus\": 3, \"memory\": \"1G\", \"disk\": [\"a\"], "
				   "\"reboot\": false, \"stats\": false }";
	char path[] = "/tmp/plinth-config-XXXXXX", line[200];
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	snprintf(line, sizeof(line),
		 "--cpus 2 --reboot --stats=f --disk z --config %s --memory 2G --disk b", path);
	good(line);
	assert_int_equal(o.cpus, 3);
	assert_int_equal(o.memory, 2ull << 30);
	assert_int_equal(o.disks, 3);
	assert_string_equal(o.disk[0].target, "z");
	assert_string_equal(o.disk[1].target, "a");
	assert_string_equal(o.disk[2].target, "b");
	assert_false(o.reboot || o.stats || o.stats_path);
	snprintf(line, sizeof(line), "--config %s --reboot --stats", path);
	good(line);
	assert_true(o.reboot && o.stats);
	snprintf(line, sizeof(line), "--config %s --config %s", path, path);
	bad(line, "two configuration files are given");
	unlink(path);
}

static int tear_down(void **state)
{
	(void)state;
	options_free(&o);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),      cmocka_unit_test(test_drives),
		cmocka_unit_test(test_bad_drives),    cmocka_unit_test(test_adapters),
		cmocka_unit_test(test_bad_adapters),  cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_config),	      cmocka_unit_test(test_bad_config),
		cmocka_unit_test(test_broken_config), cmocka_unit_test(test_config_and_line),
	};

	return cmocka_run_group_tests(tests, NULL, tear_down);
}
