// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the core's ELF, places it in 2 MiB chunks from the page allocator, and makes the page tables
 * that the launch starts from: the core's own, the root's nested ones, and the one that maps both
 * worlds during the crossing.
 */
#include <linux/cc_platform.h>
#include <linux/elf.h>
#include <linux/firmware.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/tlbflush.h>

#include "core/x86/paging.h"
#include "core_build_id.h" /* made by the Makefile from the core that was built along */
#include "plinth.h"

#define CORE_IMAGE "plinth/core.elf"
#ifndef NT_GNU_BUILD_ID
#define NT_GNU_BUILD_ID 3
#endif
#define CHUNK_ORDER	get_order(PLINTH_CHUNK_SIZE)
#define MAX_POOL_MB	1024u /* half of PLINTH_MAX_CHUNKS */
#define CORE_RAM_FLAGS	(PTE_P | PTE_W | PTE_A | PTE_D | PTE_NX)
#define ROOT_NPT_FLAGS	(PTE_P | PTE_W | PTE_U)
#define CORE_SLOT_FIRST 256 /* top-level entries of PLINTH_VA_IMAGE .. PLINTH_VA_END */
#define CORE_SLOT_END	272

static unsigned int pool_mb = 4;
module_param(pool_mb, uint, 0444);
MODULE_PARM_DESC(
	pool_mb,
	"MiB of memory that the core starts with beside its own (more is added on demand)");

extern struct device *plinth_device(void);

u64 plinth_pool_bytes(void)
{
	return (u64)pool_mb << 20;
}

int plinth_chunk_alloc(struct page **page)
{
	*page = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL,
			    CHUNK_ORDER);
	return *page ? 0 : -ENOMEM;
}

static int add_chunk(struct plinth_core *core)
{
	int ret;

	if (core->nr_chunks == PLINTH_MAX_CHUNKS)
		return -ENOMEM;
	ret = plinth_chunk_alloc(&core->chunk[core->nr_chunks]);
	if (ret)
		return plinth_fail(
			ret, "not enough contiguous memory: no free 2 MiB block; stop programs or "
			     "run echo 1 > /proc/sys/vm/compact_memory, then try again");
	core->chunk_used[core->nr_chunks++] = 0;
	return 0;
}

/* Contiguous zeroed core memory; 0 if there is none. */
static u64 core_alloc(struct plinth_core *core, size_t size)
{
	unsigned int last;

	size = PAGE_ALIGN(size);
	if (size > PLINTH_CHUNK_SIZE)
		return 0;
	if (!core->nr_chunks || core->chunk_used[core->nr_chunks - 1] + size > PLINTH_CHUNK_SIZE)
		if (add_chunk(core))
			return 0;
	last = core->nr_chunks - 1;
	core->chunk_used[last] += size;
	return page_to_phys(core->chunk[last]) + core->chunk_used[last] - size;
}

static u64 table_alloc(void *ctx)
{
	return core_alloc(ctx, PAGE_SIZE);
}

static void *table_map(void *ctx, u64 pa)
{
	return phys_to_virt(pa);
}

/* ---- the image ---- */

static int check_header(const struct firmware *fw, const Elf64_Ehdr *eh)
{
	if (fw->size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
	    eh->e_machine != EM_X86_64 || eh->e_phentsize != sizeof(Elf64_Phdr) ||
	    eh->e_phoff > fw->size || eh->e_phnum > (fw->size - eh->e_phoff) / sizeof(Elf64_Phdr))
		return plinth_fail(-ENOEXEC, "%s is not a core image: install Plinth again",
				   CORE_IMAGE);
	return 0;
}

/* A segment's file part lies in the file, its addresses in the image's range. */
static bool segment_valid(const struct firmware *fw, const Elf64_Phdr *ph)
{
	return ph->p_offset <= fw->size && ph->p_filesz <= fw->size - ph->p_offset &&
	       ph->p_filesz <= ph->p_memsz && ph->p_memsz <= PLINTH_CHUNK_SIZE &&
	       ph->p_vaddr >= PLINTH_VA_IMAGE && ph->p_vaddr < PLINTH_VA_CPUS &&
	       !(ph->p_vaddr & ~PAGE_MASK);
}

static void note_build_id(struct plinth_core *core, const u8 *note, size_t size)
{
	const Elf64_Nhdr *n = (const void *)note;

	if (size >= sizeof(*n) + 4 + 20 && n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
	    n->n_descsz == 20)
		bin2hex(core->build_id, note + sizeof(*n) + 4, 20);
}

static int check_build(const struct plinth_core *core, const struct plinth_core_header *h)
{
	if (!h || h->magic != PLINTH_CORE_MAGIC)
		return plinth_fail(-ENOEXEC, "%s is not a core image: install Plinth again",
				   CORE_IMAGE);
	if (h->abi_version != PLINTH_ABI_VERSION || strcmp(core->build_id, PLINTH_CORE_BUILD_ID))
		return plinth_fail(-ENOEXEC,
				   "%s is another build (ABI %u, id %.12s) than this module (ABI "
				   "%u, id %.12s): install both from one build",
				   CORE_IMAGE, h->abi_version, core->build_id, PLINTH_ABI_VERSION,
				   PLINTH_CORE_BUILD_ID);
	return 0;
}

static u64 segment_flags(const Elf64_Phdr *ph)
{
	return PTE_P | PTE_A | PTE_D | (ph->p_flags & PF_W ? PTE_W : 0) |
	       (ph->p_flags & PF_X ? 0 : PTE_NX);
}

/* Copy a segment and map it; text and constants disappear from the core's map of RAM (W^X). */
static int place_segment(struct plinth_core *core, struct pt *pt, const struct firmware *fw,
			 const Elf64_Phdr *ph)
{
	u64 size = PAGE_ALIGN(ph->p_memsz), pa = core_alloc(core, size);
	int ret;

	if (!pa)
		return -ENOMEM;
	memcpy(phys_to_virt(pa), fw->data + ph->p_offset, ph->p_filesz);
	ret = pt_map(pt, ph->p_vaddr, pa, size, segment_flags(ph));
	if (!ret && !(ph->p_flags & PF_W))
		ret = pt_unmap(pt, PLINTH_VA_PHYSMAP + pa, size);
	return ret;
}

static int load_image(struct plinth_core *core, struct pt *pt)
{
	const struct plinth_core_header *header = NULL;
	const struct firmware *fw;
	const Elf64_Ehdr *eh;
	const Elf64_Phdr *ph;
	unsigned int i;
	int ret;

	ret = request_firmware_direct(&fw, CORE_IMAGE, plinth_device());
	if (ret)
		return plinth_fail(-ENOENT,
				   "cannot read /lib/firmware/%s (error %d): install Plinth again",
				   CORE_IMAGE, ret);
	eh = (const void *)fw->data;
	ret = check_header(fw, eh);
	if (ret)
		goto out;
	ph = (const void *)(fw->data + eh->e_phoff);
	for (i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_NOTE && ph[i].p_offset < fw->size &&
		    ph[i].p_filesz <= fw->size - ph[i].p_offset)
			note_build_id(core, fw->data + ph[i].p_offset, ph[i].p_filesz);
		if (ph[i].p_type != PT_LOAD)
			continue;
		if (!segment_valid(fw, &ph[i])) {
			ret = plinth_fail(-ENOEXEC, "%s has a bad segment: install Plinth again",
					  CORE_IMAGE);
			goto out;
		}
		/* The header is the first thing in the read-only segment. */
		if (ph[i].p_flags == PF_R && ph[i].p_filesz >= sizeof(*header))
			header = (const void *)(fw->data + ph[i].p_offset);
	}
	ret = check_build(core, header);
	for (i = 0; !ret && i < eh->e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		ret = place_segment(core, pt, fw, &ph[i]);
		if (ph[i].p_flags & PF_X)
			core->text_size = ph[i].p_memsz;
	}
	core->entry = header ? header->entry : 0;
out:
	release_firmware(fw);
	return ret;
}

/* ---- page tables ---- */

static int map_cpu_block(struct plinth_core *core, struct pt *pt, unsigned int cpu)
{
	static const struct {
		u64 off, size;
	} part[] = { { PLINTH_CPU_STACK_OFF, PLINTH_CPU_STACK_SIZE },
		     { PLINTH_CPU_IST_OFF, PLINTH_CPU_IST_SIZE },
		     { PLINTH_CPU_DATA_OFF, PLINTH_CPU_DATA_SIZE } };
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(part); i++) {
		u64 pa = core_alloc(core, part[i].size);

		if (!pa)
			return -ENOMEM;
		ret = pt_map(pt, PLINTH_VA_CPUS + cpu * PLINTH_CPU_STRIDE + part[i].off, pa,
			     part[i].size, CORE_RAM_FLAGS);
		if (ret)
			return ret;
	}
	return 0;
}

static int make_core_tables(struct plinth_core *core, struct pt *pt)
{
	const struct plinth_start_params *p = core->params;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < p->nr_ram; i++)
		ret = pt_map(pt, PLINTH_VA_PHYSMAP + p->ram[i].start, p->ram[i].start,
			     p->ram[i].end - p->ram[i].start, CORE_RAM_FLAGS);
	if (!ret)
		ret = load_image(core, pt);
	for (i = 0; !ret && i < p->cpus_possible; i++)
		if (p->cpus[i].present)
			ret = map_cpu_block(core, pt, i);
	if (!ret && !p->x2apic)
		ret = pt_map(pt, PLINTH_VA_APIC, p->apic_base, PAGE_SIZE,
			     CORE_RAM_FLAGS | PTE_PCD | PTE_PWT);
	return ret;
}

/*
 * Identity: what lies below 4 GiB, and RAM above; the core maps device ranges above when they are
 * touched. All that is left out comes last: the core's chunks, whose number may still grow with the
 * tables, and the xAPIC page.
 */
static int make_root_tables(struct plinth_core *core, struct pt *npt)
{
	const struct plinth_start_params *p = core->params;
	unsigned int i;
	int ret;

	ret = pt_map(npt, 0, 0, SZ_4G, ROOT_NPT_FLAGS);
	for (i = 0; !ret && i < p->nr_ram; i++)
		if (p->ram[i].end > SZ_4G)
			ret = pt_map(npt, p->ram[i].start, p->ram[i].start,
				     p->ram[i].end - p->ram[i].start, ROOT_NPT_FLAGS);
	if (!ret && !p->x2apic)
		ret = pt_unmap(npt, p->apic_base, PAGE_SIZE);
	for (i = 0; !ret && i < core->nr_chunks; i++)
		ret = pt_unmap(npt, page_to_phys(core->chunk[i]), PLINTH_CHUNK_SIZE);
	return ret;
}

/* The address at which entry `i` of the table of 512 GiB pieces begins, in the last such table of the kernel half. */
static unsigned long slot_start(unsigned int i)
{
	return ~0ul << 48 | (unsigned long)i << 39;
}

/*
 * With 5 levels Linux's random choice of addresses may put the array of struct page where with 4 levels there is the hole
 * for hypervisors. Nothing looks at struct page during the crossing, so the core's slots may hide it there. The direct
 * map and vmalloc, with stacks and per-CPU data, must be in reach.
 */
static bool slot_is_vmemmap(unsigned long start, u64 ram_end)
{
	const unsigned long end = start + (1ul << 39);

	if (start < VMALLOC_END + 1 && end > VMALLOC_START)
		return false;
	if (start < PAGE_OFFSET + ram_end && end > PAGE_OFFSET)
		return false;
	return start < (unsigned long)pfn_to_page(PHYS_PFN(ram_end)) && end > VMEMMAP_START;
}

/*
 * The table of the crossing: Linux's kernel half with the core's slots, which Linux leaves empty.
 * With 5 levels both live below the last entry of the top table. That is the first of two pages, as bit 12
 * of CR3 tells an NMI that comes on the way whether it has to change tables (Linux's page-table isolation).
 */
static int make_trans_tables(struct plinth_core *core, const struct pt *pt)
{
	u64 *linux_top = phys_to_virt(read_cr3_pa()), *core_top = phys_to_virt(core->core_cr3);
	const u64 ram_end = core->params->ram[core->params->nr_ram - 1].end;
	u64 *top, *l4;
	int i;

	top = core->trans_pages[0] = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, 1);
	if (!top)
		return -ENOMEM;
	memcpy(top + PTRS_PER_PGD / 2, linux_top + PTRS_PER_PGD / 2, PAGE_SIZE / 2);
	l4 = top;
	if (pt->levels == 5) {
		l4 = core->trans_pages[1] = (void *)get_zeroed_page(GFP_KERNEL);
		if (!l4)
			return -ENOMEM;
		memcpy(l4, phys_to_virt(top[511] & PTE_ADDR), PAGE_SIZE);
		top[511] = virt_to_phys(l4) | (top[511] & ~PTE_ADDR);
		core_top = phys_to_virt(core_top[511] & PTE_ADDR);
	}
	for (i = CORE_SLOT_FIRST; i < CORE_SLOT_END; i++) {
		if (l4[i] && !slot_is_vmemmap(slot_start(i), ram_end))
			return plinth_fail(-EOPNOTSUPP,
					   "this kernel uses the address range that Linux keeps "
					   "for hypervisors (KASAN?): use another kernel");
		l4[i] = core_top[i];
	}
	core->trans_cr3 = virt_to_phys(top);
	return 0;
}

static int fill_boot(struct plinth_core *core, const struct pt *npt)
{
	struct plinth_boot *boot;
	unsigned int i;

	boot = phys_to_virt(core->boot_pa);
	boot->core_cr3 = core->core_cr3;
	boot->root_npt = npt->root;
	boot->params = *core->params;
	boot->nr_chunks = core->nr_chunks;
	for (i = 0; i < core->nr_chunks; i++) {
		boot->chunk[i].pa = page_to_phys(core->chunk[i]);
		boot->chunk[i].used = core->chunk_used[i];
	}
	core->boot = boot;
	return 0;
}

int plinth_load(struct plinth_core *core)
{
	const struct pt_ops ops = { .alloc = table_alloc, .map = table_map, .ctx = core };
	unsigned int max_page = boot_cpu_has(X86_FEATURE_GBPAGES) ? 30 : 21;
	struct pt pt, npt;
	unsigned int want;
	int ret;

	memset(core, 0, sizeof(*core));
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT))
		return plinth_fail(-EOPNOTSUPP, "memory encryption is on, which Plinth does not "
						"support: boot with mem_encrypt=off");
	if (pool_mb > MAX_POOL_MB)
		return plinth_fail(-EINVAL, "module parameter pool_mb=%u: use at most %u", pool_mb,
				   MAX_POOL_MB);
	core->chunk = kvcalloc(PLINTH_MAX_CHUNKS, sizeof(core->chunk[0]), GFP_KERNEL);
	core->chunk_used = kvcalloc(PLINTH_MAX_CHUNKS, sizeof(core->chunk_used[0]), GFP_KERNEL);
	core->params = kvzalloc(sizeof(*core->params), GFP_KERNEL);
	ret = -ENOMEM;
	if (!core->chunk || !core->chunk_used || !core->params)
		goto fail;
	ret = plinth_discover(core->params);
	if (ret)
		goto fail;
	ret = pt_init(&pt, core->params->paging_levels, max_page, PTE_P | PTE_W | PTE_A, &ops);
	if (!ret)
		ret = pt_init(&npt, core->params->paging_levels, max_page, ROOT_NPT_FLAGS, &ops);
	if (ret)
		goto fail;
	core->core_cr3 = pt.root;
	ret = make_core_tables(core, &pt);
	if (ret)
		goto fail;
	core->boot_pa = core_alloc(core, sizeof(struct plinth_boot));
	ret = core->boot_pa ? 0 : -ENOMEM;
	for (want = DIV_ROUND_UP(pool_mb, 2); !ret && want; want--)
		ret = add_chunk(core);
	if (!ret)
		ret = make_root_tables(core, &npt);
	if (!ret)
		ret = make_trans_tables(core, &pt);
	if (!ret)
		ret = fill_boot(core, &npt);
	if (!ret)
		return 0;
fail:
	plinth_unload(core);
	return ret;
}

void plinth_unload(struct plinth_core *core)
{
	unsigned int i;

	if (core->boot)
		plinth_log_keep(core->boot);
	for (i = 0; i < core->nr_chunks; i++)
		__free_pages(core->chunk[i], CHUNK_ORDER);
	free_pages((unsigned long)core->trans_pages[0], 1);
	free_page((unsigned long)core->trans_pages[1]);
	kvfree(core->chunk);
	kvfree(core->chunk_used);
	kvfree(core->params);
	memset(core, 0, sizeof(*core));
}
