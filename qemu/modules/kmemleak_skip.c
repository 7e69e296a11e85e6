// SPDX-License-Identifier: GPL-2.0
/*
 * Excludes memory that cannot hold pointers to allocations from kmemleak's scans.
 *
 * kmemleak reads all memory that was allocated while the kernel booted. Most of that is
 * KASAN's shadow, an eighth of the machine's memory, which holds no pointers, and
 * then the 16 MiB of stack depot's hash table, which points to stack traces alone:
 * pages that kmemleak does not track. Without both, a scan takes a fifth of the time.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/io.h>
#include <linux/kasan.h>
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pgtable.h>

static unsigned long stack_table;
module_param(stack_table, ulong, 0);
MODULE_PARM_DESC(stack_table, "address of stack depot's variable of this name");

/*
 * The shadow of the direct map. Each of its huge pages is one allocation, see
 * kasan_populate_pmd(). The small pages at the ends of memory are too few to matter.
 */
static unsigned int skip_shadow(void)
{
	unsigned long start = (unsigned long)kasan_mem_to_shadow((void *)PAGE_OFFSET);
	unsigned long end = (unsigned long)kasan_mem_to_shadow(high_memory);
	unsigned long addr;
	unsigned int count = 0;

	for (addr = ALIGN(start, PMD_SIZE); addr < end; addr += PMD_SIZE) {
		unsigned int level;
		pte_t *entry = lookup_address(addr, &level);

		if (!entry || level != PG_LEVEL_2M || !pmd_present(*(pmd_t *)entry))
			continue;
		kmemleak_ignore_phys(PFN_PHYS(pmd_pfn(*(pmd_t *)entry)));
		count++;
	}
	return count;
}

static int __init kmemleak_skip_init(void)
{
	if (!stack_table)
		return -EINVAL;
	kmemleak_ignore_phys(virt_to_phys(*(void **)stack_table));
	pr_info("%lu MiB of shadow\n", skip_shadow() * PMD_SIZE >> 20);
	return 0;
}
module_init(kmemleak_skip_init);

static void __exit kmemleak_skip_exit(void)
{
}
module_exit(kmemleak_skip_exit);

MODULE_DESCRIPTION("Memory that kmemleak need not read");
MODULE_LICENSE("GPL");
