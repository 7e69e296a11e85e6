// SPDX-License-Identifier: GPL-2.0
/*
 * As helpers.c, but not to be inlined into Rust. See helpers.h.
 */
#include <linux/blk-integrity.h>
#include <linux/blk-mq.h>
#include <linux/dma-mapping.h>
#include <linux/highmem.h>
#include <linux/wait.h>

#include "helpers.h"
#include "trace.h"

bool ext_blk_rq_dma_unmap(struct request *rq, struct device *dev,
			  struct dma_iova_state *state, size_t len,
			  enum pci_p2pdma_map_type map)
{
	return blk_rq_dma_unmap(rq, dev, state, len, map);
}

#ifdef NVME_RS_FAULTS
void ext_rq_write_data(struct request *rq, size_t offset, const void *from,
		       size_t len)
{
	struct req_iterator iter;
	struct bio_vec bv;

	if (rq_data_dir(rq) != READ)
		return;
	rq_for_each_segment(bv, rq, iter) {
		size_t skip = min_t(size_t, offset, bv.bv_len);
		size_t part = min_t(size_t, len, bv.bv_len - skip);

		memcpy_to_page(bv.bv_page, bv.bv_offset + skip, from, part);
		offset -= skip;
		from += part;
		len -= part;
	}
}
#endif

bool ext_blk_rq_integrity_dma_map_iter_start(struct request *rq,
					     struct device *dev,
					     struct dma_iova_state *state,
					     struct blk_dma_iter *iter)
{
	return blk_rq_integrity_dma_map_iter_start(rq, dev, state, iter);
}

bool ext_blk_rq_integrity_dma_map_iter_next(struct request *rq,
					    struct device *dev,
					    struct blk_dma_iter *iter)
{
	return blk_rq_integrity_dma_map_iter_next(rq, dev, iter);
}

const char *ext_nvme_quirk_name(u32 quirk)
{
	return nvme_quirk_name(quirk);
}

void ext_nvme_kick_requeue_lists(struct nvme_ctrl *ctrl)
{
#ifdef CONFIG_NVME_MULTIPATH
	struct nvme_ns *ns;
	int srcu_idx;

	srcu_idx = srcu_read_lock(&ctrl->srcu);
	list_for_each_entry_srcu(ns, &ctrl->namespaces, list,
				 srcu_read_lock_held(&ctrl->srcu)) {
		if (ns->head->disk)
			kblockd_schedule_work(&ns->head->requeue_work);
	}
	srcu_read_unlock(&ctrl->srcu, srcu_idx);
#endif
}

bool ext_nvme_wait_freeze_timeout(struct nvme_ctrl *ctrl, long timeout)
{
	struct nvme_ns *ns;
	int srcu_idx;

	srcu_idx = srcu_read_lock(&ctrl->srcu);
	list_for_each_entry_srcu(ns, &ctrl->namespaces, list,
				 srcu_read_lock_held(&ctrl->srcu)) {
		timeout = blk_mq_freeze_queue_wait_timeout(ns->queue, timeout);
		if (timeout <= 0)
			break;
	}
	srcu_read_unlock(&ctrl->srcu, srcu_idx);
	return timeout > 0;
}

void ext_nvme_wait_state(struct nvme_ctrl *ctrl,
			 bool (*condition)(struct nvme_ctrl *ctrl, void *data),
			 void *data)
{
	wait_event(ctrl->state_wq, condition(ctrl, data));
}

void ext_trace_nvme_sq(struct request *rq, u16 head, int tail)
{
	trace_nvme_sq(rq, cpu_to_le16(head), tail);
}
