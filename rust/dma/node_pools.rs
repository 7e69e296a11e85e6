// SPDX-License-Identifier: GPL-2.0

//! Equal blocks of coherent DMA memory, for descriptors that come and go with requests.

use super::{
    pool::Pool,
    Block, //
};
use crate::numa;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    pr_warn_once,
    prelude::*,
    str::CStr, //
};

/// A pool of coherent blocks for each NUMA node that has CPUs, so that CPUs of different nodes do
/// not wait for one pool's lock.
///
/// The end of the device's unbinding waits until it is dropped.
///
/// # Examples
///
/// ```
/// # use kernel::{device::{Bound, Device}, dma::DmaAddress, prelude::*};
/// # use kernel_ext::dma::{Block, NodePools};
/// /// Makes pools of lists of up to 32 addresses.
/// fn pools(dev: &Device<Bound>) -> Result<NodePools> {
///     NodePools::new(dev, c"small lists", 32, 256)
/// }
///
/// /// Writes the list that the device is to read.
/// fn list_of(pools: &NodePools, addresses: &[DmaAddress]) -> Result<Block> {
///     let mut list = pools.alloc()?;
///     if addresses.len() > list.words() {
///         // A block has no destructor.
///         pools.free(list);
///         return Err(EINVAL);
///     }
///     for (index, addr) in addresses.iter().enumerate() {
///         list.write(index, *addr);
///     }
///     Ok(list)
/// }
///
/// /// The device has read the list: only now its block may be used for another one.
/// fn completed(pools: &NodePools, list: Block) {
///     pools.free(list);
/// }
/// ```
pub struct NodePools {
    pools: KVec<Pool>,
}

impl NodePools {
    /// Creates empty pools for `dev` of blocks of `words` words, aligned to `align` bytes; `name`
    /// shows in the device's `pools` file. `EINVAL` unless `align` is a power of two that words
    /// can be aligned to.
    pub fn new(
        dev: &Device<Bound>,
        name: &'static CStr,
        words: usize,
        align: usize,
    ) -> Result<Self> {
        let mut pools = KVec::new();
        for node in numa::nodes_with_cpus() {
            pools.push(Pool::new(dev, name, words, align, node)?, GFP_KERNEL)?;
        }
        Ok(Self { pools })
    }

    /// Allocates a block, not zeroed, from the pool of this CPU's node; never sleeps. `ENOMEM` if
    /// no memory is free.
    pub fn alloc(&self) -> Result<Block> {
        let here = numa::current_node();
        let of_node = self.pools.iter().find(|pool| pool.node() == here);
        // A node whose first CPU came online after `new` has no pool.
        of_node.or(self.pools.first()).ok_or(ENOMEM)?.alloc()
    }

    /// Frees a block. A block of other pools is refused with a warning, and leaks.
    pub fn free(&self, mut block: Block) {
        for pool in &self.pools {
            match pool.free(block) {
                Ok(()) => return,
                Err(refused) => block = refused,
            }
        }
        pr_warn_once!("block given back to pools that it is not of\n");
    }
}
