// SPDX-License-Identifier: GPL-2.0

//! The lists that a command points to if its data is in many places: PRP lists and SGL segments. They
//! come from DMA pools.
//!
//! Pools are created where it may sleep; lists are taken and given back in any context.

use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    dma::{
        Block,
        NodePools, //
    },
    nvme::Quirks, //
};

/// The number of 64-bit words of a small list: 32 PRP entries, which are enough for 128 KiB of data, or
/// 16 SGL descriptors.
pub(crate) const SMALL: usize = 32;

/// The number of 64-bit words of a large list, which fills a page.
pub(crate) const LARGE: usize = 512;

/// The largest number of lists that a command's data needs.
pub(crate) const MAX_LISTS: usize = 5;

/// A list, which the controller reads.
pub(crate) trait List {
    /// Returns the address at which the controller reads it.
    fn address(&self) -> u64;
    /// Returns the number of its words.
    fn words(&self) -> usize;
    /// Returns word `index`.
    fn read(&self, index: usize) -> u64;
    /// Writes word `index`.
    fn write(&mut self, index: usize, word: u64);
}

/// A source of lists: [`ListPools`], or memory in the unit tests.
pub(crate) trait ListSource {
    /// A list of this source.
    type List: List;
    /// Takes a list of at least `words` words, whose contents are undefined; never sleeps. `EINVAL` for
    /// more than [`LARGE`], `ENOMEM` if there is none.
    fn alloc(&self, words: usize) -> Result<Self::List>;
    /// Takes a list back.
    fn free(&self, list: Self::List);
}

/// Returns the size of the lists for `words` words; `EINVAL` for more than [`LARGE`].
pub(crate) fn size_for(words: usize) -> Result<usize> {
    let sizes = [SMALL, LARGE];
    sizes.into_iter().find(|&size| words <= size).ok_or(EINVAL)
}

/// The pools that lists come from: for each NUMA node one of each size.
pub(crate) struct ListPools {
    small: NodePools,
    large: NodePools,
}

impl ListPools {
    /// Creates the pools of `dev`, for a controller with `quirks`. The end of the unbinding of `dev` waits
    /// until they are dropped.
    pub(crate) fn new(dev: &Device<Bound>, quirks: Quirks) -> Result<Arc<Self>> {
        let align = if quirks.contains(Quirks::DMAPOOL_ALIGN_512) {
            512
        } else {
            SMALL * size_of::<u64>()
        };
        let pools = Self {
            small: NodePools::new(dev, c"nvme short list", SMALL, align)?,
            large: NodePools::new(dev, c"nvme list page", LARGE, LARGE * size_of::<u64>())?,
        };
        Ok(Arc::new(pools, GFP_KERNEL)?)
    }

    #[inline]
    fn of_size(&self, words: usize) -> &NodePools {
        if words == SMALL {
            &self.small
        } else {
            &self.large
        }
    }
}

impl ListSource for ListPools {
    type List = Block;

    #[inline]
    fn alloc(&self, words: usize) -> Result<Block> {
        self.of_size(size_for(words)?).alloc()
    }

    #[inline]
    fn free(&self, list: Block) {
        self.of_size(list.words()).free(list);
    }
}

impl List for Block {
    #[inline]
    fn address(&self) -> u64 {
        self.dma_address()
    }

    #[inline]
    fn words(&self) -> usize {
        Block::words(self)
    }

    #[inline]
    fn read(&self, index: usize) -> u64 {
        Block::read(self, index)
    }

    #[inline]
    fn write(&mut self, index: usize, word: u64) {
        Block::write(self, index, word);
    }
}

/// The lists of one command.
pub(crate) struct Lists<S: ListSource = ListPools> {
    /// The lists of its data, filled from the first on.
    pub(crate) data: [Option<S::List>; MAX_LISTS],
    /// The list of its metadata.
    pub(crate) metadata: Option<S::List>,
}

impl<S: ListSource> Default for Lists<S> {
    #[inline]
    fn default() -> Self {
        Self {
            data: Default::default(),
            metadata: None,
        }
    }
}

impl<S: ListSource> Lists<S> {
    /// Gives all lists back to the source that they come from.
    #[inline]
    pub(crate) fn free(&mut self, source: &S) {
        if self.data[0].is_some() || self.metadata.is_some() {
            self.free_all(source);
        }
    }

    /// Gives the lists back, of which there is one at least. Not inlined: most commands have none.
    #[inline(never)]
    fn free_all(&mut self, source: &S) {
        for list in &mut self.data {
            // They are filled in order.
            let Some(list) = list.take() else { break };
            source.free(list);
        }
        if let Some(list) = self.metadata.take() {
            source.free(list);
        }
    }
}

/// Lists in memory that no device reads.
#[cfg(CONFIG_KUNIT = "y")]
pub(crate) mod testing {
    use super::*;
    use core::cell::Cell;

    /// Where the lists begin, beyond 32 bits.
    const BASE: u64 = 0xfedc_ba98_0000_0000;

    /// A source of a limited number of lists.
    pub(crate) struct Memory {
        left: Cell<usize>,
        used: Cell<usize>,
    }

    impl Memory {
        pub(crate) fn of(lists: usize) -> Self {
            Self {
                left: Cell::new(lists),
                used: Cell::new(0),
            }
        }

        /// Returns how many lists are in use.
        pub(crate) fn used(&self) -> usize {
            self.used.get()
        }
    }

    /// One of them.
    pub(crate) struct Words {
        words: KVec<u64>,
        address: u64,
    }

    impl List for Words {
        fn address(&self) -> u64 {
            self.address
        }

        fn words(&self) -> usize {
            self.words.len()
        }

        fn read(&self, index: usize) -> u64 {
            self.words.get(index).copied().unwrap_or(0)
        }

        fn write(&mut self, index: usize, word: u64) {
            if let Some(slot) = self.words.get_mut(index) {
                *slot = word;
            }
        }
    }

    impl ListSource for Memory {
        type List = Words;

        fn alloc(&self, words: usize) -> Result<Words> {
            let size = size_for(words)?;
            let left = self.left.get().checked_sub(1).ok_or(ENOMEM)?;
            self.left.set(left);
            self.used.set(self.used.get() + 1);
            Ok(Words {
                // As an earlier user of the memory leaves it.
                words: KVec::from_elem(u64::MAX, size, GFP_KERNEL)?,
                address: BASE + 4096 * left as u64,
            })
        }

        fn free(&self, _list: Words) {
            self.left.set(self.left.get() + 1);
            self.used.set(self.used.get().wrapping_sub(1));
        }
    }
}
