// SPDX-License-Identifier: GPL-2.0-only
/*
 * Donates memory to the core (L4), as plinth.ko does, but also what must not be taken: loading with `pid`, a worker, and
 * `offset` into the largest mapping that it can write, which is its child's memory, fails unless
 *	a chunk of this module's own is taken, once, and is then out of reach;
 *	the chunk that holds the child's page is refused.
 * To be unloaded when the core has retired.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/sizes.h>
#include <plinth/abi.h>

static int pid;
module_param(pid, int, 0444);
static ulong offset;
module_param(offset, ulong, 0444);

static struct page *own;
static bool failed;

static long donate(u64 pa)
{
	long ret;

	asm volatile("vmmcall"
		     : "=a"(ret)
		     : "a"((u64)PLINTH_HC_MAGIC | PLINTH_HC_DONATE), "b"(pa), "c"(0), "d"(0),
		       "S"(0), "D"(0)
		     : "memory");
	return ret;
}

static void expect(const char *what, long got, long want)
{
	if (got == want)
		return;
	failed = true;
	pr_err("donate: %s: %ld instead of %ld\n", what, got, want);
}

static void donate_own(void)
{
	u64 *p = page_address(own);

	WRITE_ONCE(*p, 0x1234);
	expect("not aligned", donate(page_to_phys(own) + PAGE_SIZE), -EINVAL);
	expect("a chunk of mine", donate(page_to_phys(own)), 0);
	expect("the same again", donate(page_to_phys(own)), -EINVAL);
	expect("what it reads as", READ_ONCE(*p), -1);
}

/* The machine address of the page at `offset`, 0 if there is none. The child may run on. */
static u64 page_of_child(struct mm_struct *mm)
{
	struct vm_area_struct *vma, *largest = NULL;
	struct page *page;
	u64 pa = 0;

	mmap_read_lock(mm);
	for (vma = find_vma(mm, 0); vma; vma = find_vma(mm, vma->vm_end))
		if (vma->vm_flags & VM_WRITE &&
		    (!largest || vma->vm_end - vma->vm_start > largest->vm_end - largest->vm_start))
			largest = vma;
	if (largest &&
	    get_user_pages_remote(mm, largest->vm_start + offset, 1, 0, &page, NULL, NULL) == 1) {
		pa = page_to_phys(page);
		put_page(page);
	}
	mmap_read_unlock(mm);
	return pa;
}

static int donate_child(void)
{
	struct task_struct *task = get_pid_task(find_vpid(pid), PIDTYPE_PID);
	struct mm_struct *mm = task ? get_task_mm(task) : NULL;
	u64 pa = mm ? page_of_child(mm) : 0;

	if (mm)
		mmput(mm);
	if (task)
		put_task_struct(task);
	if (!pa)
		return -ESRCH;
	expect("a chunk of the child's", donate(ALIGN_DOWN(pa, SZ_2M)), -EBUSY);
	return 0;
}

static int __init donate_init(void)
{
	int ret;

	ret = donate_child();
	if (ret || failed)
		return ret ?: -EIO;
	own = alloc_pages(GFP_KERNEL, get_order(SZ_2M));
	if (!own)
		return -ENOMEM;
	donate_own();
	if (failed)
		pr_err("donate: failed\n");
	return failed ? -EIO : 0; /* the core keeps the chunk */
}

static void __exit donate_exit(void)
{
	__free_pages(own, get_order(SZ_2M));
}

module_init(donate_init);
module_exit(donate_exit);
MODULE_LICENSE("GPL v2");
