// SPDX-License-Identifier: GPL-2.0
/*
 * Seeded faults, one for each detector of the debug kernel.
 *
 * Loading the module causes the fault that its parameter names; removing the module
 * undoes it where possible. The tests prove by it that a fault of the driver under
 * test would be found.
 */

#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>

#define SIZE 64

static char *fault;
module_param(fault, charp, 0);
MODULE_PARM_DESC(fault, "which one of the table below");

static DEFINE_MUTEX(lock_a);
static DEFINE_MUTEX(lock_b);
static DEFINE_SPINLOCK(spinlock);
static DECLARE_COMPLETION(never);
static struct task_struct *sleeper;
static struct pci_dev *device;
static void *mapped;
static dma_addr_t mapping = DMA_MAPPING_ERROR;

/* KASAN: memory is read after it was freed. */
static int use_after_free(void)
{
	char *memory = kmalloc(SIZE, GFP_KERNEL);

	if (!memory)
		return -ENOMEM;
	/* Hides from the compiler that both pointers are the same. */
	OPTIMIZER_HIDE_VAR(memory);
	kfree(memory);
	(void)READ_ONCE(*memory);
	return 0;
}

/* lockdep: two locks are taken in one order, then in the other. */
static int lock_order(void)
{
	mutex_lock(&lock_a);
	mutex_lock(&lock_b);
	mutex_unlock(&lock_b);
	mutex_unlock(&lock_a);

	mutex_lock(&lock_b);
	mutex_lock(&lock_a);
	mutex_unlock(&lock_a);
	mutex_unlock(&lock_b);
	return 0;
}

/*
 * lockdep: the rescan lock is taken with a VF's device lock held. lockdep has
 * already seen that the PCI core adds and removes VFs with the rescan lock held.
 */
static int vf_lock_order(void)
{
	do
		device = pci_get_class(PCI_CLASS_STORAGE_EXPRESS, device);
	while (device && !device->is_virtfn);
	if (!device)
		return -ENODEV;
	device_lock(&device->dev);
	pci_lock_rescan_remove();
	pci_unlock_rescan_remove();
	device_unlock(&device->dev);
	return 0;
}

static int probe(struct pci_dev *dev, const struct pci_device_id *id)
{
	pci_lock_rescan_remove();
	pci_unlock_rescan_remove();
	return -ENODEV;
}

static struct pci_driver driver = {
	.name = "seeded",
	.probe = probe,
};

/*
 * lockdep: a driver takes the rescan lock in its probe, and so with the device lock
 * of a physical function held, which is then bound with the rescan lock held.
 */
static int pf_lock_order(void)
{
	int ret;

	device = pci_get_class(PCI_CLASS_STORAGE_EXPRESS, NULL);
	if (!device)
		return -ENODEV;
	ret = pci_register_driver(&driver);
	if (ret)
		return ret;
	device_release_driver(&device->dev);
	ret = pci_add_dynid(&driver, device->vendor, device->device, PCI_ANY_ID,
			    PCI_ANY_ID, 0, 0, 0);
	pci_unregister_driver(&driver);
	if (ret)
		return ret;
	pci_lock_rescan_remove();
	ret = device_attach(&device->dev);
	pci_unlock_rescan_remove();
	return ret < 0 ? ret : 0;
}

/* An allocation that may sleep, under a spinlock. */
static int sleep_in_atomic(void)
{
	spin_lock(&spinlock);
	kfree(kmalloc(SIZE, GFP_KERNEL));
	spin_unlock(&spinlock);
	return 0;
}

/*
 * kmemleak: no pointer to the memory is left. A stack may keep a stale pointer to one
 * of several objects, but hardly to all of them.
 */
static int leak(void)
{
	int i;

	for (i = 0; i < 16; i++) {
		void *memory = kzalloc(SIZE, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(memory);
	}
	return 0;
}

/* Maps memory for the first NVMe controller. */
static int map(void)
{
	device = pci_get_class(PCI_CLASS_STORAGE_EXPRESS, NULL);
	if (!device)
		return -ENODEV;
	mapped = kmalloc(SIZE, GFP_KERNEL);
	if (!mapped)
		return -ENOMEM;
	mapping = dma_map_single(&device->dev, mapped, SIZE, DMA_TO_DEVICE);
	return dma_mapping_error(&device->dev, mapping);
}

static void unmap(size_t size)
{
	if (mapping != DMA_MAPPING_ERROR)
		dma_unmap_single(&device->dev, mapping, size, DMA_TO_DEVICE);
	mapping = DMA_MAPPING_ERROR;
}

/* DMA-API debug: memory is unmapped in another size than it was mapped. */
static int bad_unmap(void)
{
	int ret = map();

	if (!ret)
		unmap(SIZE / 2);
	return ret;
}

static void expired(struct timer_list *timer)
{
}

/* Debug objects: memory is freed while a timer in it is active. */
static int free_active(void)
{
	struct timer_list *timer = kmalloc(sizeof(*timer), GFP_KERNEL);

	if (!timer)
		return -ENOMEM;
	timer_setup(timer, expired, 0);
	mod_timer(timer, jiffies + 3600 * HZ);
	kfree(timer);
	return 0;
}

/* DEBUG_LIST: an entry is added to a list that already contains it. */
static int list_twice(void)
{
	LIST_HEAD(list);
	struct list_head entry;

	list_add(&entry, &list);
	list_add(&entry, &list);
	return 0;
}

static int sleep_on(void *unused)
{
	wait_for_completion(&never);
	return 0;
}

/* Hung task: a thread waits until the module is removed. */
static int hang(void)
{
	sleeper = kthread_create(sleep_on, NULL, "seeded");
	if (IS_ERR(sleeper))
		return PTR_ERR(sleeper);
	get_task_struct(sleeper);
	wake_up_process(sleeper);
	return 0;
}

static const struct {
	const char *name;
	int (*make)(void);
} faults[] = {
	{ "use-after-free", use_after_free },
	{ "lock-order", lock_order },
	{ "vf-lock-order", vf_lock_order },
	{ "pf-lock-order", pf_lock_order },
	{ "sleep-in-atomic", sleep_in_atomic },
	{ "leak", leak },
	{ "leaked-mapping", map },
	{ "bad-unmap", bad_unmap },
	{ "free-active", free_active },
	{ "list-twice", list_twice },
	{ "hang", hang },
};

static void undo(void)
{
	unmap(SIZE);
	kfree(mapped);
	pci_dev_put(device);
	if (!IS_ERR_OR_NULL(sleeper)) {
		complete(&never);
		kthread_stop_put(sleeper);
	}
}

static int __init seeded_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		if (fault && !strcmp(fault, faults[i].name)) {
			int ret = faults[i].make();

			if (ret)
				undo();
			return ret;
		}
	}
	return -EINVAL;
}
module_init(seeded_init);

static void __exit seeded_exit(void)
{
	undo();
}
module_exit(seeded_exit);

MODULE_DESCRIPTION("Faults for the detectors of a debug kernel");
MODULE_LICENSE("GPL");
