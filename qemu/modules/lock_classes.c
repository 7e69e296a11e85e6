// SPDX-License-Identifier: GPL-2.0
/*
 * Has lockdep check the device locks of NVMe functions, which it ignores otherwise.
 *
 * device_initialize() puts the locks of all devices into the class that is not
 * checked: as one class, those of a device and its parent would look like the same
 * lock. Here functions get classes of their own.
 *
 * A VF has one for life, and no two VFs have the same: to reset a bus the PCI core
 * holds the locks of all its functions at once.
 *
 * A PF has one only while it is being bound or unbound. At other times the PCI core
 * takes its lock and the rescan lock in either order: sriov_numvfs_store() the device
 * lock first, whoever removes the function the rescan lock. lockdep would report
 * that, and nothing else from then on.
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
 * lock_set_class() has a lock that is held checked, along with all that were taken
 * after it, but only as it was when it was taken: not at all.
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
		/* Nobody has its lock yet. */
		if (event == BUS_NOTIFY_ADD_DEVICE)
			classify_vf(pdev);
		return NOTIFY_DONE;
	}

	/* The caller has the lock, and has it until the opposite event. */
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

/* No exit: VFs have the classes for as long as they are there. */

MODULE_DESCRIPTION("Lock classes for NVMe functions");
MODULE_LICENSE("GPL");
