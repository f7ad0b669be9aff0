// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attacks memory of the core from the root (L4). Loaded with `chunks=`, the physical addresses of the core's 2 MiB
 * chunks, it tries every chunk in many places, with many instructions; loading fails if one of them saw anything but ones,
 * or changed anything.
 *
 *	reads, writes	how many accesses it made; an instruction that reads and writes counts in both
 *	/dev/attack	mmap() maps the first chunk, for programs
 */
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

static unsigned long long chunks[64];
static unsigned int nr_chunks;
module_param_array(chunks, ullong, &nr_chunks, 0444);
static unsigned int reads, writes, failures;
module_param(reads, uint, 0444);
module_param(writes, uint, 0444);

static void expect(const char *what, phys_addr_t at, u64 got, u64 want)
{
	if (got == want)
		return;
	failures++;
	pr_err("attack: %s at %llx: %#llx instead of %llx\n", what, (u64)at, got, want);
}

#define TRY_READ(insn, type, constraint)                                                           \
	do {                                                                                       \
		type v = 0;                                                                        \
                                                                                                   \
		asm volatile(insn " %1, %0" : "=" constraint(v) : "m"(*(volatile type *)p));       \
		reads++;                                                                           \
		expect(insn, virt_to_phys(p), v, (type)~0ull);                                     \
	} while (0)

/* With different ways of addressing. */
static void try_reads(u8 *p)
{
	u64 v = 0;

	TRY_READ("movb", u8, "r");
	TRY_READ("movw", u16, "r");
	TRY_READ("movl", u32, "r");
	TRY_READ("movq", u64, "r");
	asm volatile("movzbl (%1,%2,4), %k0" : "=r"(v) : "r"(p - 16), "r"(4ul));
	expect("movzbl", virt_to_phys(p), v, 0xff);
	asm volatile("movswq 8(%1), %0" : "=r"(v) : "r"(p - 8));
	expect("movswq", virt_to_phys(p), v, ~0ull);
	asm volatile("movl (%1), %%r13d; mov %%r13, %0" : "=r"(v) : "r"(p) : "r13");
	expect("movl to r13", virt_to_phys(p), v, 0xffffffff);
	v = 5;
	asm volatile("addq (%1), %0" : "+r"(v) : "r"(p) : "cc");
	expect("addq from memory", virt_to_phys(p), v, 4);
	reads += 4;
}

static void try_writes(u8 *p)
{
	asm volatile("movb $0x11, (%0)" : : "r"(p) : "memory");
	asm volatile("movw $0x1111, (%0)" : : "r"(p) : "memory");
	asm volatile("movl %1, (%0)" : : "r"(p), "r"(0x11111111) : "memory");
	asm volatile("movq %1, (%0)" : : "r"(p), "r"(0x1111111111111111ull) : "memory");
	asm volatile("movq $-2, -128(%0)" : : "r"(p + 128) : "memory");
	writes += 5;
	TRY_READ("movq", u64, "r");
}

static void try_locked(u8 *p)
{
	u64 v = 3, old;

	asm volatile("lock; addq %1, (%0)" : : "r"(p), "r"(1ul) : "memory", "cc");
	asm volatile("lock; xaddq %1, (%0)" : : "r"(p), "r"(v) : "memory", "cc");
	asm volatile("xchgq %1, (%0)" : "+r"(p), "+r"(v) : : "memory");
	expect("xchg", virt_to_phys(p), v, ~0ull);
	old = ~0ull;
	asm volatile("lock; cmpxchgq %2, (%1)" : "+a"(old) : "r"(p), "r"(7ul) : "memory", "cc");
	expect("cmpxchg", virt_to_phys(p), old, ~0ull);
	reads += 4;
	writes += 4;
}

static void try_strings(u8 *p, u64 *ram)
{
	unsigned long n = 4;
	void *s = p, *d = ram;

	memset(ram, 0, 32);
	asm volatile("rep; movsq" : "+c"(n), "+S"(s), "+D"(d) : : "memory");
	expect("rep movsq from", virt_to_phys(p), ram[0] & ram[1] & ram[2] & ram[3], ~0ull);
	n = 7;
	s = ram;
	d = p;
	asm volatile("rep; movsb" : "+c"(n), "+S"(s), "+D"(d) : : "memory");
	n = 5;
	d = p;
	asm volatile("rep; stosl" : "+c"(n), "+D"(d) : "a"(0) : "memory");
	reads += 4;
	writes += 7 + 5;
}

/* Eight bytes of which the first four lie in a page of the root's own, which is mapped before the core's. */
static int try_crossing(phys_addr_t pa)
{
	struct page *pages[2] = { alloc_page(GFP_KERNEL), pfn_to_page(PHYS_PFN(pa)) };
	u32 *mine;
	void *map = NULL;
	u64 v;

	if (pages[0])
		map = vmap(pages, 2, VM_MAP, PAGE_KERNEL);
	if (!map) {
		if (pages[0])
			__free_page(pages[0]);
		return -ENOMEM;
	}
	mine = map + PAGE_SIZE - sizeof(*mine);
	WRITE_ONCE(*mine, 0x12345678);
	asm volatile("movq (%1), %0" : "=r"(v) : "r"(mine) : "memory");
	reads++;
	expect("movq across", pa, v, 0xffffffff12345678ull);
	asm volatile("movq %1, (%0)" : : "r"(mine), "r"(0x222222220abcdef0ull) : "memory");
	writes++;
	expect("the root's half of movq across", pa, READ_ONCE(*mine), 0x0abcdef0);
	vunmap(map);
	__free_page(pages[0]);
	return 0;
}

static int attack_chunk(phys_addr_t pa, u64 *ram)
{
	static const u32 at[] = { 0, 0x1003, 0x2ffc, 0x80000, SZ_2M / 2 + 0x10, SZ_2M - 0x200 };
	u8 *chunk = phys_to_virt(pa);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		try_reads(chunk + at[i]);
		try_writes(chunk + at[i]);
		try_locked(chunk + ALIGN(at[i], 8));
		try_strings(chunk + at[i], ram);
	}
	return try_crossing(pa);
}

static int attack_mmap(struct file *file, struct vm_area_struct *vma)
{
	return remap_pfn_range(vma, vma->vm_start, PHYS_PFN(chunks[0]), vma->vm_end - vma->vm_start,
			       vma->vm_page_prot);
}

static const struct file_operations attack_fops = { .owner = THIS_MODULE, .mmap = attack_mmap };
static struct miscdevice attack_misc = { .minor = MISC_DYNAMIC_MINOR,
					 .name = "attack",
					 .fops = &attack_fops };

static int __init attack_init(void)
{
	u64 *ram = kmalloc(64, GFP_KERNEL);
	unsigned int i;
	int ret = 0;

	if (!ram)
		return -ENOMEM;
	for (i = 0; !ret && i < nr_chunks; i++)
		ret = attack_chunk(chunks[i], ram);
	kfree(ram);
	if (failures || !nr_chunks)
		ret = -EIO;
	return ret ?: misc_register(&attack_misc);
}

static void __exit attack_exit(void)
{
	misc_deregister(&attack_misc);
}

module_init(attack_init);
module_exit(attack_exit);
MODULE_LICENSE("GPL v2");
