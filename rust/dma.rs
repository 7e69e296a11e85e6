// SPDX-License-Identifier: GPL-2.0

//! DMA memory beyond `kernel::dma`.
//!
//! C header: [`include/linux/dmapool.h`](srctree/include/linux/dmapool.h)

mod pool;

pub use self::pool::{
    Block,
    Pool, //
};
