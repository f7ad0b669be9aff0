// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fragments the memory: while it is loaded an unmovable page sits in each block of 2 MiB that it could have. What it
 * gives back lets compaction make others: the user calls that (/proc/sys/vm/compact_memory), then writes to "more",
 * until "blocks" stands still. Allocating alone does not tell that there are none: after failures the kernel puts
 * compaction off.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>

#define BLOCK_ORDER 9
#define KEEP_EACH   4 /* of so many pages of a block one is kept */

static LIST_HEAD(kept);
static unsigned int blocks;
module_param(blocks, uint, 0444);

/* Give back most of a block, so that the next one can be had by compaction. */
static void thin_out(struct page *block)
{
	unsigned int i;

	split_page(block, BLOCK_ORDER);
	for (i = 0; i < 1 << BLOCK_ORDER; i++) {
		if (i % KEEP_EACH)
			__free_page(block + i);
		else
			list_add(&block[i].lru, &kept);
	}
}

static void hog_exit(void)
{
	struct page *page, *next;

	list_for_each_entry_safe (page, next, &kept, lru)
		__free_page(page);
}

/* Take what there is in whole blocks now, and fragment it. */
static void grab(void)
{
	LIST_HEAD(taken);
	struct page *page, *next;

	while ((page = alloc_pages(GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY, BLOCK_ORDER))) {
		list_add(&page->lru, &taken);
		blocks++;
	}
	list_for_each_entry_safe (page, next, &taken, lru)
		thin_out(page);
}

static int set_more(const char *val, const struct kernel_param *kp)
{
	grab();
	return 0;
}

static const struct kernel_param_ops more_ops = { .set = set_more };
module_param_cb(more, &more_ops, NULL, 0200);

static int __init hog_init(void)
{
	grab();
	return 0;
}

module_init(hog_init);
module_exit(hog_exit);
MODULE_LICENSE("GPL v2");
