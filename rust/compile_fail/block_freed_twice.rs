// SPDX-License-Identifier: GPL-2.0

//! A block of DMA memory goes back to its pool once.
// error: E0382

use kernel_ext::dma::{
    Block,
    NodePools, //
};

pub fn twice(pools: &NodePools, block: Block) {
    pools.free(block);
    pools.free(block);
}
