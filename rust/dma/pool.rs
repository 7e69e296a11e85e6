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
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// A pool of coherent blocks of `WORDS` 64-bit words each, aligned to their size.
///
/// Keep it no longer than the device is bound.
pub struct Pool<const WORDS: usize> {
    pool: NonNull<bindings::dma_pool>,
    _dev: ARef<Device>,
}

// SAFETY: The C pool has its own lock.
unsafe impl<const WORDS: usize> Send for Pool<WORDS> {}
// SAFETY: As above.
unsafe impl<const WORDS: usize> Sync for Pool<WORDS> {}

impl<const WORDS: usize> Pool<WORDS> {
    const SIZE: usize = WORDS * size_of::<u64>();

    /// Creates an empty pool for `dev`; `name` shows in the device's `pools` file.
    pub fn new(dev: &Device<Bound>, name: &'static CStr) -> Result<Arc<Self>> {
        // CAST: `Device` is transparent over `struct device`.
        let raw = core::ptr::from_ref(dev).cast_mut().cast();
        // SAFETY: `raw` is valid; the name is copied.
        let pool = unsafe {
            bindings::dma_pool_create_node(
                name.as_char_ptr(),
                raw,
                Self::SIZE,
                Self::SIZE,
                0,
                bindings::NUMA_NO_NODE,
            )
        };
        let dev: &Device = dev;
        let pool = Self {
            pool: NonNull::new(pool).ok_or(ENOMEM)?,
            _dev: dev.into(),
        };
        Ok(Arc::new(pool, GFP_KERNEL)?)
    }

    /// Takes a block, not zeroed; never sleeps. `ENOMEM` if there is no memory at hand.
    pub fn alloc(&self) -> Result<Block<WORDS>> {
        let mut dma = 0;
        // SAFETY: The pool lives while `self` is borrowed.
        let cpu =
            unsafe { bindings::dma_pool_alloc(self.pool.as_ptr(), bindings::GFP_ATOMIC, &mut dma) };
        // INVARIANT: A block of this pool, of `SIZE` bytes.
        Ok(Block {
            cpu: NonNull::new(cpu.cast()).ok_or(ENOMEM)?,
            dma,
            pool: self.pool,
        })
    }

    /// Gives a block back. A block of another pool is refused with a warning, and leaks.
    pub fn free(&self, block: Block<WORDS>) {
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

impl<const WORDS: usize> Drop for Pool<WORDS> {
    fn drop(&mut self) {
        // SAFETY: The C side warns of and keeps blocks that are still out.
        unsafe { bindings::dma_pool_destroy(self.pool.as_ptr()) };
    }
}

/// A block out of a [`Pool`]. Has no destructor: it goes back by [`Pool::free`], or leaks.
///
/// # Invariants
///
/// `cpu` and `dma` are the addresses of a block that `pool` gave out and has not got back.
pub struct Block<const WORDS: usize> {
    cpu: NonNull<u64>,
    dma: DmaAddress,
    pool: NonNull<bindings::dma_pool>,
}

// SAFETY: A block is plain memory that the value owns.
unsafe impl<const WORDS: usize> Send for Block<WORDS> {}
// SAFETY: `&Block` gives no access to the memory.
unsafe impl<const WORDS: usize> Sync for Block<WORDS> {}

impl<const WORDS: usize> Block<WORDS> {
    /// The address that the device knows the block by.
    pub fn dma_address(&self) -> DmaAddress {
        self.dma
    }

    /// Writes word `index`, little-endian as the device reads it; nothing if out of range.
    #[inline]
    pub fn write(&mut self, index: usize, value: u64) {
        if index < WORDS {
            // SAFETY: By the type invariant and the check. Volatile, as a device may read it.
            unsafe { self.cpu.as_ptr().add(index).write_volatile(value.to_le()) };
        }
    }

    /// Reads word `index` back; 0 if out of range.
    #[inline]
    pub fn read(&self, index: usize) -> u64 {
        if index < WORDS {
            // SAFETY: By the type invariant and the check.
            u64::from_le(unsafe { self.cpu.as_ptr().add(index).read_volatile() })
        } else {
            0
        }
    }
}
