// SPDX-License-Identifier: GPL-2.0
/*
 * Makes lockdep check the device locks of NVMe functions, which it otherwise ignores.
 *
 * device_initialize() puts the locks of all devices into the class that is not
 * checked: in one checked class, the locks of a device and of its parent would look
 * like the same lock. This module gives each function a class of its own.
 *
 * A VF keeps its class for life, and no two VFs share one: to reset a bus, the PCI
 * core holds the locks of all its functions at once.
 *
 * A PF has a class only while it is being bound or unbound. At other times the PCI core
 * takes its lock and the rescan lock in either order: sriov_numvfs_store() takes the
 * device lock first, a removal takes the rescan lock first. lockdep would report that,
 * and nothing after it. So it does where a write to sriov_numvfs begins to wait for the
 * lock while the PF is being bound, as it then waits for one of that class.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/pci.h>

/* Functions of more buses share classes; VFs behind these are not checked. */
#define BUSES 4
#define FUNCTIONS 32

static struct lock_class_key vf_keys[BUSES][FUNCTIONS];
static struct lock_class_key pf_key;

static void classify_vf(struct pci_dev *vf)
{
	if (vf->devfn < FUNCTIONS)
		lockdep_set_class_and_name(&vf->dev.mutex,
					   &vf_keys[vf->bus->number % BUSES][vf->devfn],
					   "VF device lock");
}

/*
 * lock_set_class() acquires a held lock, and those taken after it, once more in the new
 * class, but with the "check" of the first time. For a device lock that is 0: set it.
 */
static void classify_pf(struct device *dev)
{
	struct lockdep_map *map = &dev->mutex.dep_map;
	int i;

	for (i = 0; i < lockdep_depth(current); i++)
		if (current->held_locks[i].instance == map)
			current->held_locks[i].check = 1;
	lock_set_class(map, "PF device lock", &pf_key, 0, _THIS_IP_);
}

static int notify(struct notifier_block *block, unsigned long event, void *data)
{
	struct device *dev = data;
	struct pci_dev *pdev = to_pci_dev(dev);

	if (pdev->class != PCI_CLASS_STORAGE_EXPRESS)
		return NOTIFY_DONE;
	if (pdev->is_virtfn) {
		/* The lock of a new device is free. */
		if (event == BUS_NOTIFY_ADD_DEVICE)
			classify_vf(pdev);
		return NOTIFY_DONE;
	}

	/* The caller holds the lock until the opposite event. */
	switch (event) {
	case BUS_NOTIFY_BIND_DRIVER:
	case BUS_NOTIFY_UNBIND_DRIVER:
		classify_pf(dev);
		break;
	case BUS_NOTIFY_BOUND_DRIVER:
	case BUS_NOTIFY_DRIVER_NOT_BOUND:
	case BUS_NOTIFY_UNBOUND_DRIVER:
		device_lock_reset_class(dev);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block block = { .notifier_call = notify };

static int __init lock_classes_init(void)
{
	return bus_register_notifier(&pci_bus_type, &block);
}
module_init(lock_classes_init);

/* No exit: VFs use the classes for as long as they exist. */

MODULE_DESCRIPTION("Lock classes for NVMe functions");
MODULE_LICENSE("GPL");
