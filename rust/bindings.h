/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: the kernel interfaces that the kernel crate's own
 * bindings leave out.
 */
#include <linux/blk-mq.h>
#include <linux/blk-mq-dma.h>
#include <linux/dmapool.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/mempool.h>
#include <linux/nvme.h>
#include <linux/pci.h>

#include "nvme.h"
#include "helpers.h"
#include "sizes_generated.h"
