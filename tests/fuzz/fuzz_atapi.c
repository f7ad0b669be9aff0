// SPDX-License-Identifier: GPL-2.0-only
/*
 * A CD-ROM drive by random packets, beside a disk on its cable; see ide_fuzz.h. Packets are sent
 * whole, data is moved by either way or left, and registers are written in between.
 */
#include "tests/fuzz/ide_fuzz.h"

/* The PACKET command and a packet, whose first byte is often one that means something. */
static void packet_step(struct ide_bench *b, struct input *in)
{
	static const uint8_t codes[] = { 0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25,
					 0x28, 0x2b, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x52,
					 0x55, 0x5a, 0xa8, 0xad, 0xbb, 0xbd, 0xbe };
	uint8_t how = take(in), cdb[12] = { 0 };

	bench_out(b, 0x176, 1, how & 8 ? 0xb0 : 0xa0);
	bench_out(b, 0x171, 1, how & 1);
	bench_out(b, 0x174, 1, take(in));
	bench_out(b, 0x175, 1, how & 2 ? take(in) : 0x08);
	bench_out(b, 0x177, 1, 0xa0);
	for (unsigned int i = 0; i < sizeof(cdb); i++)
		cdb[i] = how & 4 && i >= 2 && i < 5 ? 0 : take(in);
	if (!(how & 0x80))
		cdb[0] = codes[cdb[0] % sizeof(codes)];
	ide_cmd_ops.write_string(&b->ide.channel[1], 0, 2, cdb, 6);
	if (how & 0x10)
		bench_in(b, 0x177, 1);
}

static void step(struct ide_bench *b, struct input *in)
{
	uint8_t op = take(in) & 15;

	switch (op) {
	case 0:
		write_step(b, in);
		break;
	case 1:
		read_step(b, in);
		break;
	case 2:
	case 3:
		string_step(b, in);
		break;
	case 4:
		descriptor_step(b, in);
		break;
	case 5:
		start_step(b, in);
		break;
	case 6:
	case 7:
		complete_step(b, in);
		break;
	case 8:
		rare_step(b, in);
		break;
	case 9:
		command_step(b, in);
		break;
	default:
		packet_step(b, in);
		break;
	}
	check(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct ide_bench b;
	struct input in = { data, len };
	uint8_t which = take(&in);
	struct block *blk;

	fuzz_init(&b);
	blk = fuzz_medium(&b, 2, 100 * 2048 + (which & 0x80 ? 512 : 0));
	CHECK(!ide_attach_cdrom(&b.ide, 1, 0, blk, NULL));
	blk = fuzz_medium(&b, 3, 10 * 512);
	if (which & 1)
		CHECK(!ide_attach_disk(&b.ide, 1, 1, blk, NULL));
	while (in.len)
		step(&b, &in);
	finish_bench(&b);
	return 0;
}
