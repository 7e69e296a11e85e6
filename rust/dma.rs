// SPDX-License-Identifier: GPL-2.0

//! DMA memory beyond `kernel::dma`.
//!
//! C headers: [`include/linux/dmapool.h`](srctree/include/linux/dmapool.h),
//! [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

mod noncontiguous;
mod pool;

pub use self::{
    noncontiguous::Noncontiguous,
    pool::{
        Block,
        Pool, //
    }, //
};
