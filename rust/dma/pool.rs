// SPDX-License-Identifier: GPL-2.0

//! A pool of equal blocks of coherent DMA memory.

use crate::{
    binding::Binding,
    bindings, //
};
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    ffi::c_int,
    prelude::*,
    str::CStr,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The id of the next pool.
static NEXT_ID: Atomic<u64> = Atomic::new(0);

/// A pool of coherent blocks, each of the same number of 64-bit words.
///
/// The device is not unbound before the pool is dropped.
pub(super) struct Pool {
    pool: NonNull<bindings::dma_pool>,
    /// Unlike the address, it is never used again for another pool.
    id: u64,
    node: c_int,
    words: usize,
    /// The last field: what is above is gone before the device may be unbound.
    _binding: Binding,
}

// SAFETY: The C pool has its own lock.
unsafe impl Send for Pool {}
// SAFETY: As above.
unsafe impl Sync for Pool {}

impl Pool {
    /// Creates a pool for CPUs of `node`, see [`NodePools::new`](super::NodePools::new).
    pub(super) fn new(
        dev: &Device<Bound>,
        name: &'static CStr,
        words: usize,
        align: usize,
        node: c_int,
    ) -> Result<Self> {
        if !align.is_power_of_two() || align < align_of::<u64>() {
            return Err(EINVAL);
        }
        let size = words.checked_mul(size_of::<u64>()).ok_or(EINVAL)?;
        let binding = Binding::of(dev)?;
        let raw = crate::layout::device(dev);
        // SAFETY: `raw` is valid; the name is copied.
        let pool = unsafe {
            bindings::dma_pool_create_node(name.as_char_ptr(), raw, size, align, 0, node)
        };
        Ok(Self {
            pool: NonNull::new(pool).ok_or(ENOMEM)?,
            id: NEXT_ID.fetch_add(1, Relaxed),
            node,
            words,
            _binding: binding,
        })
    }

    /// Returns the node whose CPUs the pool is for.
    #[inline]
    pub(super) fn node(&self) -> c_int {
        self.node
    }

    /// Allocates a block, see [`NodePools::alloc`](super::NodePools::alloc).
    pub(super) fn alloc(&self) -> Result<Block> {
        let mut dma = 0;
        // SAFETY: The pool lives while `self` is borrowed.
        let cpu =
            unsafe { bindings::dma_pool_alloc(self.pool.as_ptr(), bindings::GFP_ATOMIC, &mut dma) };
        // INVARIANT: A block of this pool, of `words` words.
        Ok(Block {
            cpu: NonNull::new(cpu.cast()).ok_or(ENOMEM)?,
            dma,
            words: self.words,
            pool: self.id,
        })
    }

    /// Takes `block` back if it is of this pool, else returns it.
    #[inline]
    pub(super) fn free(&self, block: Block) -> Result<(), Block> {
        if block.pool != self.id {
            return Err(block);
        }
        // SAFETY: By the type invariant of `Block`, and it is consumed.
        unsafe {
            bindings::dma_pool_free(self.pool.as_ptr(), block.cpu.as_ptr().cast(), block.dma)
        };
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: The C side warns of and keeps blocks that are still out.
        unsafe { bindings::dma_pool_destroy(self.pool.as_ptr()) };
    }
}

/// A block out of [`NodePools`](super::NodePools). Has no destructor: it goes back by
/// [`NodePools::free`](super::NodePools::free), or leaks.
///
/// # Invariants
///
/// `cpu` and `dma` are the addresses of a block that the pool with id `pool` gave out and has not
/// got back; it has `words` words.
pub struct Block {
    cpu: NonNull<u64>,
    dma: DmaAddress,
    words: usize,
    pool: u64,
}

// SAFETY: A block is plain memory that the value owns.
unsafe impl Send for Block {}
// SAFETY: `&Block` gives no access to the memory.
unsafe impl Sync for Block {}

impl Block {
    /// Returns the address of the block for the device.
    pub fn dma_address(&self) -> DmaAddress {
        self.dma
    }

    /// Returns the number of words.
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
