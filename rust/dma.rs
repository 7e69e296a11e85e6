// SPDX-License-Identifier: GPL-2.0

//! DMA memory beyond `kernel::dma`: for each NUMA node, pools of small blocks that are allocated
//! with each request, in any context; and large memory that the device alone uses, whose allocation
//! sleeps.
//!
//! All of it must be freed before the device is unbound. Uses [`numa`](crate::numa).
//!
//! C headers: [`include/linux/dmapool.h`](srctree/include/linux/dmapool.h),
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

mod node_pools;
mod noncontiguous;
mod pool;

pub use self::{
    node_pools::NodePools,
    noncontiguous::Noncontiguous,
    pool::Block, //
};
