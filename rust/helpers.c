// SPDX-License-Identifier: GPL-2.0
/*
 * C inline functions and macros under names that Rust can call. See helpers.h. They are
 * inlined into Rust where that is possible (scripts/Makefile.inline), so what is long
 * and not for each request is in long_helpers.c.
 */
#include <linux/acpi.h>
#include <linux/blk-integrity.h>
#include <linux/blk-mq.h>
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/dmi.h>
#include <linux/lockdep.h>
#include <linux/nodemask.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/topology.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "helpers.h"

/*
 * As in the kernel's rust/helpers/helpers.c. Where bitcode is linked, LLVM thinks that
 * the flags of clang and rustc do not agree, and inlines only what it is made to.
 */
#define __rust_helper __always_inline

/*
 * See layout.rs. Who builds with nvme-core's headers alone goes without: they are
 * of the same kernel source.
 */
#if __has_include("../../pci/pci.h")
#include "../../pci/pci.h"
static_assert(EXT_PCI_DEV_ADDED == PCI_DEV_ADDED);
#endif

__rust_helper void ext_init_work(struct work_struct *work, work_func_t func)
{
	INIT_WORK(work, func);
}

__rust_helper unsigned int ext_memalloc_noio_save(void)
{
	return memalloc_noio_save();
}

__rust_helper void ext_memalloc_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}

__rust_helper void ext_lockdep_off(void)
{
	lockdep_off();
}

__rust_helper void ext_lockdep_on(void)
{
	lockdep_on();
}

__rust_helper void ext_device_lock(struct device *dev)
{
	device_lock(dev);
}

__rust_helper bool ext_device_trylock(struct device *dev)
{
	return device_trylock(dev);
}

__rust_helper void ext_device_unlock(struct device *dev)
{
	device_unlock(dev);
}

__rust_helper int ext_dev_to_node(struct device *dev)
{
	return dev_to_node(dev);
}

__rust_helper bool ext_dmi_match(enum dmi_field field, const char *value)
{
	return dmi_match(field, value);
}

__rust_helper struct pci_dev *ext_pci_physfn(struct pci_dev *dev)
{
	return pci_physfn(dev);
}

__rust_helper bool ext_pci_dev_is_disconnected(const struct pci_dev *dev)
{
	return READ_ONCE(dev->error_state) == pci_channel_io_perm_failure;
}

__rust_helper pci_bus_addr_t ext_pci_bus_address(struct pci_dev *dev, int bar)
{
	return pci_bus_address(dev, bar);
}

__rust_helper bool ext_pcie_aspm_enabled(struct pci_dev *dev)
{
	return pcie_aspm_enabled(dev);
}

__rust_helper bool ext_acpi_storage_d3(struct device *dev)
{
	return acpi_storage_d3(dev);
}

__rust_helper int ext_numa_node_id(void)
{
	return numa_node_id();
}

__rust_helper unsigned int ext_nr_node_ids(void)
{
	return nr_node_ids;
}

__rust_helper bool ext_node_has_cpus(int node)
{
	return node_state(node, N_CPU);
}

__rust_helper bool ext_dma_need_unmap(struct device *dev)
{
	return dma_need_unmap(dev);
}

__rust_helper bool ext_dma_dev_need_sync(struct device *dev)
{
	return dma_dev_need_sync(dev);
}

__rust_helper bool ext_dma_use_iova(struct dma_iova_state *state)
{
	return dma_use_iova(state);
}

__rust_helper void ext_dma_set_min_align_mask(struct device *dev, unsigned int mask)
{
	dma_set_min_align_mask(dev, mask);
}

static inline int map_bvec(struct request *rq, struct device *dev,
			   struct bio_vec *bv, dma_addr_t *addr,
			   unsigned int *len)
{
	/* By the page's own flags, without a look for its folio. */
	if (is_zone_device_page(bv->bv_page))
		return -EOPNOTSUPP;
	*addr = dma_map_phys(dev, bvec_phys(bv), bv->bv_len, rq_dma_dir(rq), 0);
	*len = bv->bv_len;
	return dma_mapping_error(dev, *addr) ?: dma_dev_need_sync(dev);
}

__rust_helper int ext_rq_dma_map_bvec(struct request *rq, struct device *dev,
				      dma_addr_t *addr, unsigned int *len)
{
	struct bio_vec bv = req_bvec(rq);

	return map_bvec(rq, dev, &bv, addr, len);
}

__rust_helper bool ext_blk_mq_add_to_batch(struct request *rq, struct io_comp_batch *iob,
					   bool is_error,
					   void (*complete)(struct io_comp_batch *iob))
{
	return blk_mq_add_to_batch(rq, iob, is_error, complete);
}

__rust_helper int ext_rq_integrity_dma_map_bvec(struct request *rq, struct device *dev,
						dma_addr_t *addr, unsigned int *len)
{
	struct bio_vec bv = rq_integrity_vec(rq);

	return map_bvec(rq, dev, &bv, addr, len);
}

__rust_helper void ext_nvme_wake_state(struct nvme_ctrl *ctrl)
{
	wake_up_all(&ctrl->state_wq);
}

__rust_helper bool ext_nvme_check_ready(struct nvme_ctrl *ctrl, struct request *rq)
{
	return nvme_check_ready(ctrl, rq, true);
}

__rust_helper void ext_nvme_start_request(struct request *rq)
{
	nvme_start_request(rq);
}

__rust_helper bool ext_nvme_try_complete_req(struct request *rq, u16 status, u64 result)
{
	union nvme_result res = { .u64 = cpu_to_le64(result) };

	return nvme_try_complete_req(rq, cpu_to_le16(status), res);
}
