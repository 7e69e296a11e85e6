/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C inline functions and macros that the abstractions in this folder need,
 * under names that Rust can call. Nothing here decides anything: each shim
 * stands for the kernel function that it is named after, or where it says so,
 * for those that each request needs together.
 */
#ifndef NVME_RS_HELPERS_H
#define NVME_RS_HELPERS_H

#include <linux/blk-integrity.h>
#include <linux/blk-mq-dma.h>
#include <linux/device.h>
#include <linux/dmi.h>
#include <linux/notifier.h>
#include <linux/tracepoint-defs.h>

#include "nvme.h"

/*
 * Numbers that bindgen leaves out: it does not evaluate the macros that the first
 * ones are, and the last one is private to the PCI core (drivers/pci/pci.h).
 */
enum {
	EXT_DL_FLAG_STATELESS = DL_FLAG_STATELESS,
	EXT_NOTIFY_OK = NOTIFY_OK,
	EXT_PCI_DEV_ADDED = 0,
};

/* linux/workqueue.h */
void ext_init_work(struct work_struct *work, work_func_t func);

/* linux/sched/mm.h */
unsigned int ext_memalloc_noio_save(void);
void ext_memalloc_noio_restore(unsigned int flags);

/* linux/lockdep.h */
void ext_lockdep_off(void);
void ext_lockdep_on(void);

/* linux/device.h */
void ext_device_lock(struct device *dev);
bool ext_device_trylock(struct device *dev);
void ext_device_unlock(struct device *dev);
int ext_dev_to_node(struct device *dev);

/* linux/dmi.h */
bool ext_dmi_match(enum dmi_field field, const char *value);

/* linux/pci.h */
struct pci_dev *ext_pci_physfn(struct pci_dev *dev);
bool ext_pci_dev_is_disconnected(const struct pci_dev *dev);
bool ext_pcie_aspm_enabled(struct pci_dev *dev);
pci_bus_addr_t ext_pci_bus_address(struct pci_dev *dev, int bar);

/* linux/acpi.h */
bool ext_acpi_storage_d3(struct device *dev);

/* linux/topology.h, linux/nodemask.h */
int ext_numa_node_id(void);
unsigned int ext_nr_node_ids(void);
/* node_state(), of N_CPU */
bool ext_node_has_cpus(int node);

/* linux/dma-mapping.h */
bool ext_dma_need_unmap(struct device *dev);
bool ext_dma_dev_need_sync(struct device *dev);
bool ext_dma_use_iova(struct dma_iova_state *state);
void ext_dma_set_min_align_mask(struct device *dev, unsigned int mask);

/* linux/blk-mq.h, linux/blk-mq-dma.h */
/*
 * Maps a request's only segment. In one call, as this is for each request:
 * -EOPNOTSUPP from is_zone_device_page(), -ENOMEM from dma_mapping_error(), else
 * what dma_dev_need_sync() says afterwards.
 */
int ext_rq_dma_map_bvec(struct request *rq, struct device *dev,
			dma_addr_t *addr, unsigned int *len);
bool ext_blk_rq_dma_unmap(struct request *rq, struct device *dev,
			  struct dma_iova_state *state, size_t len,
			  enum pci_p2pdma_map_type map);
bool ext_blk_mq_add_to_batch(struct request *rq, struct io_comp_batch *iob,
			     bool is_error,
			     void (*complete)(struct io_comp_batch *iob));

#ifdef NVME_RS_FAULTS
/* rq_for_each_segment(), memcpy_to_page() */
void ext_rq_write_data(struct request *rq, size_t offset, const void *from,
		       size_t len);
#endif

/* linux/blk-integrity.h */
int ext_rq_integrity_dma_map_bvec(struct request *rq, struct device *dev,
				  dma_addr_t *addr, unsigned int *len);
bool ext_blk_rq_integrity_dma_map_iter_start(struct request *rq,
					     struct device *dev,
					     struct dma_iova_state *state,
					     struct blk_dma_iter *iter);
bool ext_blk_rq_integrity_dma_map_iter_next(struct request *rq,
					    struct device *dev,
					    struct blk_dma_iter *iter);

/* drivers/nvme/host/nvme.h */
const char *ext_nvme_quirk_name(u32 quirk);
/* nvme_kick_requeue_lists(), which nvme-core does not export */
void ext_nvme_kick_requeue_lists(struct nvme_ctrl *ctrl);
/* nvme_wait_freeze_timeout(), with another limit, in jiffies */
bool ext_nvme_wait_freeze_timeout(struct nvme_ctrl *ctrl, long timeout);
/* wait_event(), on nvme_ctrl::state_wq, and wake_up_all() */
void ext_nvme_wait_state(struct nvme_ctrl *ctrl,
			 bool (*condition)(struct nvme_ctrl *ctrl, void *data),
			 void *data);
void ext_nvme_wake_state(struct nvme_ctrl *ctrl);
extern struct tracepoint __tracepoint_nvme_sq;
void ext_trace_nvme_sq(struct request *rq, u16 head, int tail);
bool ext_nvme_check_ready(struct nvme_ctrl *ctrl, struct request *rq);
void ext_nvme_start_request(struct request *rq);
bool ext_nvme_try_complete_req(struct request *rq, u16 status, u64 result);

#endif /* NVME_RS_HELPERS_H */
