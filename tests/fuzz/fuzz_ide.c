// SPDX-License-Identifier: GPL-2.0-only
/* The IDE function with one to three disks, bimodal or not, by random register accesses; see ide_fuzz.h. */
#include "tests/fuzz/ide_bimodal_fuzz.h"

static void add_disk(struct ide_bench *b, unsigned int n, uint64_t sectors)
{
	struct block *blk = fuzz_medium(b, n, sectors * 512);

	CHECK(!ide_attach_disk(&b->ide, n / 2, n % 2, blk, NULL));
}

static void step(struct ide_bench *b, struct input *in)
{
	uint8_t op = take(in);

	if (op & 0x80) {
		fast_step(b, in, op);
		check(b);
		return;
	}
	switch (op & 15) {
	case 0:
	case 1:
	case 2:
		write_step(b, in);
		break;
	case 3:
		read_step(b, in);
		break;
	case 4:
	case 5:
		string_step(b, in);
		break;
	case 6:
	case 7:
		descriptor_step(b, in);
		break;
	case 8:
		start_step(b, in);
		break;
	case 9:
	case 10:
		complete_step(b, in);
		break;
	case 11:
		config_step(b, in);
		break;
	case 12:
		rare_step(b, in);
		break;
	default:
		command_step(b, in);
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

	fuzz_init(&b);
	add_disk(&b, 0, 200);
	if (which & 1)
		add_disk(&b, 1, 1);
	if (which & 2)
		add_disk(&b, 3, 70);
	if (which & 4)
		make_bimodal(&b, &in, 0);
	if ((which & 6) == 6)
		make_bimodal(&b, &in, 3);
	bench_enable(&b);
	while (in.len)
		step(&b, &in);
	finish_bench(&b);
	return 0;
}
