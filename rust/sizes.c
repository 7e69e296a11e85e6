// SPDX-License-Identifier: GPL-2.0
/*
 * Sizes and offsets as the C compiler has them. Bindgen has its own from libclang,
 * which need not agree: layout.rs compares them.
 */
#include <linux/kbuild.h>
#include <linux/blk-mq.h>
#include <linux/blk-mq-dma.h>
#include <linux/pci.h>

#include "nvme.h"

int main(void)
{
	DEFINE(EXT_SIZE_BLK_DMA_ITER, sizeof(struct blk_dma_iter));
	DEFINE(EXT_SIZE_BLK_MQ_TAG_SET, sizeof(struct blk_mq_tag_set));
	DEFINE(EXT_SIZE_DEVICE, sizeof(struct device));
	DEFINE(EXT_SIZE_DMA_IOVA_STATE, sizeof(struct dma_iova_state));
	DEFINE(EXT_SIZE_NVME_CTRL, sizeof(struct nvme_ctrl));
	DEFINE(EXT_SIZE_NVME_REQUEST, sizeof(struct nvme_request));
	DEFINE(EXT_SIZE_NVME_SUBSYSTEM, sizeof(struct nvme_subsystem));
	DEFINE(EXT_SIZE_PCI_DEV, sizeof(struct pci_dev));
	DEFINE(EXT_SIZE_PCI_DRIVER, sizeof(struct pci_driver));
	DEFINE(EXT_SIZE_REQUEST, sizeof(struct request));
	DEFINE(EXT_OFFSET_NVME_CTRL_SGLS, offsetof(struct nvme_ctrl, sgls));
	DEFINE(EXT_OFFSET_PCI_DEV_PRIV_FLAGS, offsetof(struct pci_dev, priv_flags));
	DEFINE(EXT_OFFSET_REQUEST_STATE, offsetof(struct request, state));
	return 0;
}
