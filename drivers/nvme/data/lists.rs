// SPDX-License-Identifier: GPL-2.0

//! The lists that a command points to where its data is in many places: PRP lists and SGL segments.

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

/// How many 64-bit words a small list has. 32 PRP entries are 128 KiB of data and more, 16 SGL
/// descriptors as many segments.
pub(crate) const SMALL: usize = 32;

/// How many a large list has, which takes a page.
pub(crate) const LARGE: usize = 512;

/// How many lists a command's data may need.
pub(crate) const MAX_LISTS: usize = 5;

/// A list, which the controller reads.
pub(crate) trait List {
    /// Where the controller finds it.
    fn address(&self) -> u64;
    /// How many words it has.
    fn words(&self) -> usize;
    /// Reads word `index` back.
    fn read(&self, index: usize) -> u64;
    /// Writes word `index`.
    fn write(&mut self, index: usize, word: u64);
}

/// A source of lists. There is one beside [`ListPools`], in the unit tests.
pub(crate) trait ListSource {
    /// A list of this source.
    type List: List;
    /// Takes a list of at least `words` words, which may be anything; never sleeps. `EINVAL` for
    /// more than [`LARGE`], `ENOMEM` if there is none.
    fn alloc(&self, words: usize) -> Result<Self::List>;
    /// Takes a list back.
    fn free(&self, list: Self::List);
}

/// The size of the lists for `words` words.
pub(crate) fn size_for(words: usize) -> Result<usize> {
    let sizes = [SMALL, LARGE];
    sizes.into_iter().find(|&size| words <= size).ok_or(EINVAL)
}

/// Where lists come from: for each NUMA node a pool of each size.
pub(crate) struct ListPools {
    small: NodePools,
    large: NodePools,
}

impl ListPools {
    /// Makes the pools of `dev`, for a controller with `quirks`. Keep them no longer than it is
    /// bound.
    pub(crate) fn new(dev: &Device<Bound>, quirks: Quirks) -> Result<Arc<Self>> {
        let align = match quirks.contains(Quirks::DMAPOOL_ALIGN_512) {
            true => 512,
            false => SMALL * size_of::<u64>(),
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
    /// Those of its data, in order.
    pub(crate) data: [Option<S::List>; MAX_LISTS],
    /// That of its metadata.
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
    /// Gives the lists back to the source that they are from.
    #[inline]
    pub(crate) fn free(&mut self, source: &S) {
        if self.data[0].is_some() || self.metadata.is_some() {
            self.free_all(source);
        }
    }

    /// Not inlined: most commands have none.
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

    /// A source of so many lists.
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

        /// How many lists are out.
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
                // What somebody else has left in it.
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
