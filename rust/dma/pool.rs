// SPDX-License-Identifier: GPL-2.0

//! Pools of equal blocks of coherent DMA memory, for descriptors that come and go with requests.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    pr_warn_once,
    prelude::*,
    str::CStr,
    sync::aref::ARef, //
};

/// A pool of coherent blocks of as many 64-bit words each.
///
/// Keep it no longer than the device is bound.
pub struct Pool {
    pool: NonNull<bindings::dma_pool>,
    words: usize,
    _dev: ARef<Device>,
}

// SAFETY: The C pool has its own lock.
unsafe impl Send for Pool {}
// SAFETY: As above.
unsafe impl Sync for Pool {}

impl Pool {
    /// Creates an empty pool for `dev` of blocks of `words` words, aligned to `align` bytes; `name`
    /// shows in the device's `pools` file. `EINVAL` unless `align` is a power of two that words
    /// can be aligned to.
    pub fn new(
        dev: &Device<Bound>,
        name: &'static CStr,
        words: usize,
        align: usize,
    ) -> Result<Self> {
        if !align.is_power_of_two() || align < align_of::<u64>() {
            return Err(EINVAL);
        }
        let size = words.checked_mul(size_of::<u64>()).ok_or(EINVAL)?;
        // CAST: `Device` is transparent over `struct device`.
        let raw = core::ptr::from_ref(dev).cast_mut().cast();
        // SAFETY: `raw` is valid; the name is copied.
        let pool = unsafe {
            bindings::dma_pool_create_node(
                name.as_char_ptr(),
                raw,
                size,
                align,
                0,
                bindings::NUMA_NO_NODE,
            )
        };
        let dev: &Device = dev;
        Ok(Self {
            pool: NonNull::new(pool).ok_or(ENOMEM)?,
            words,
            _dev: dev.into(),
        })
    }

    /// Takes a block, not zeroed; never sleeps. `ENOMEM` if there is no memory at hand.
    pub fn alloc(&self) -> Result<Block> {
        let mut dma = 0;
        // SAFETY: The pool lives while `self` is borrowed.
        let cpu =
            unsafe { bindings::dma_pool_alloc(self.pool.as_ptr(), bindings::GFP_ATOMIC, &mut dma) };
        // INVARIANT: A block of this pool, of `words` words.
        Ok(Block {
            cpu: NonNull::new(cpu.cast()).ok_or(ENOMEM)?,
            dma,
            words: self.words,
            pool: self.pool,
        })
    }

    /// Gives a block back. A block of another pool is refused with a warning, and leaks.
    pub fn free(&self, block: Block) {
        if block.pool != self.pool {
            pr_warn_once!("block given back to a pool that it is not of\n");
            return;
        }
        // SAFETY: By the type invariant of `Block`, and it is consumed.
        unsafe {
            bindings::dma_pool_free(self.pool.as_ptr(), block.cpu.as_ptr().cast(), block.dma)
        };
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: The C side warns of and keeps blocks that are still out.
        unsafe { bindings::dma_pool_destroy(self.pool.as_ptr()) };
    }
}

/// A block out of a [`Pool`]. Has no destructor: it goes back by [`Pool::free`], or leaks.
///
/// # Invariants
///
/// `cpu` and `dma` are the addresses of a block that `pool` gave out and has not got back; it has
/// `words` words.
pub struct Block {
    cpu: NonNull<u64>,
    dma: DmaAddress,
    words: usize,
    pool: NonNull<bindings::dma_pool>,
}

// SAFETY: A block is plain memory that the value owns.
unsafe impl Send for Block {}
// SAFETY: `&Block` gives no access to the memory.
unsafe impl Sync for Block {}

impl Block {
    /// The address that the device knows the block by.
    pub fn dma_address(&self) -> DmaAddress {
        self.dma
    }

    /// How many words the block has.
    #[inline]
    pub fn words(&self) -> usize {
        self.words
    }

    /// Writes word `index`, little-endian as the device reads it; nothing if out of range.
    #[inline]
    pub fn write(&mut self, index: usize, value: u64) {
        if index < self.words {
            // SAFETY: By the type invariant and the check. Volatile, as a device may read it.
            unsafe { self.cpu.as_ptr().add(index).write_volatile(value.to_le()) };
        }
    }

    /// Reads word `index` back; 0 if out of range.
    #[inline]
    pub fn read(&self, index: usize) -> u64 {
        if index < self.words {
            // SAFETY: By the type invariant and the check.
            u64::from_le(unsafe { self.cpu.as_ptr().add(index).read_volatile() })
        } else {
            0
        }
    }
}
