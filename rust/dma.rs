// SPDX-License-Identifier: GPL-2.0

//! DMA memory beyond `kernel::dma`: for each NUMA node, pools of small blocks that are allocated
//! with each request, in any context; large memory that the device alone uses; and that of
//! `kernel::dma` for owners that may outlive the device. The allocation of the latter two sleeps.
//!
//! The end of the device's unbinding waits until all of it is freed: leaked memory keeps the device
//! bound. Uses [`numa`](crate::numa).
//!
//! C headers: [`include/linux/dmapool.h`](srctree/include/linux/dmapool.h),
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

mod coherent;
mod node_pools;
mod noncontiguous;
mod pool;

pub use self::{
    coherent::{
        Coherent,
        CoherentHandle,
        CoherentWord, //
    },
    node_pools::NodePools,
    noncontiguous::Noncontiguous,
    pool::Block, //
};
