// SPDX-License-Identifier: GPL-2.0

//! DMA memory beyond `kernel::dma`.
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
