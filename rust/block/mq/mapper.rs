// SPDX-License-Identifier: GPL-2.0

//! Whom requests are mapped for: a device, and what there is to undo of its mappings.

use crate::{
    bindings,
    layout, //
};
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    prelude::*,
    sync::aref::ARef, //
};

/// A piece of a request's data, contiguous for the device.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Where the device finds it.
    pub addr: DmaAddress,
    /// Length in bytes; above zero.
    pub len: u32,
}

/// How many segments a request may have where each must be unmapped by itself; their table takes a
/// page.
pub const MAX_SEGMENTS: usize = 256;

/// The segments of a mapped request.
type Table = [Segment; MAX_SEGMENTS];

/// A device that requests are mapped for, with a reserve of segment tables, so that one request can
/// always be mapped.
///
/// Only devices behind an IOMMU without merging, or behind bounce buffers, need a table; others
/// have nothing to remember of a mapping.
///
/// # Invariants
///
/// If `is_direct`, the addresses of the device are those of memory for as long as it is bound: a
/// mapping has to be undone only if [`Mapper::may_bounce`] after it.
pub(crate) struct Mapper {
    dev: ARef<Device>,
    is_direct: bool,
    tables: NonNull<bindings::mempool_t>,
}

// SAFETY: The C pool has its own lock, and so have the device's mappings.
unsafe impl Send for Mapper {}
// SAFETY: As above.
unsafe impl Sync for Mapper {}

impl Mapper {
    /// Makes one for `dev`, with one table in reserve. Sleeps.
    pub(crate) fn new(dev: &Device<Bound>) -> Result<Self> {
        // SAFETY: The pool's element functions are the kernel's own for plain memory of the size
        // that they get as their data.
        let tables = unsafe {
            bindings::mempool_create_node_noprof(
                1,
                Some(bindings::mempool_kmalloc),
                Some(bindings::mempool_kfree),
                size_of::<Table>() as *mut c_void,
                bindings::GFP_KERNEL,
                bindings::NUMA_NO_NODE,
            )
        };
        let tables = NonNull::new(tables).ok_or(ENOMEM)?;
        let is_direct = is_direct(dev);
        let dev: &Device = dev;
        // INVARIANT: By `is_direct`.
        Ok(Self {
            dev: dev.into(),
            is_direct,
            tables,
        })
    }

    /// Returns the device.
    #[inline]
    pub(super) fn dev(&self) -> *mut bindings::device {
        layout::device(&self.dev)
    }

    /// Returns whether one of the mappings that there are may have a bounce buffer, or caches to be
    /// looked after.
    #[inline]
    pub(super) fn may_bounce(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::ext_dma_dev_need_sync(self.dev()) }
    }

    /// Returns whether a mapping has to be undone that was made before `may_bounce` is asked, which
    /// is [`Mapper::may_bounce`].
    #[inline]
    pub(super) fn has_to_unmap(&self, may_bounce: impl FnOnce() -> bool) -> bool {
        // This is `dma_need_unmap()`, by the type invariant.
        !self.is_direct || may_bounce()
    }

    /// Takes a table, if there is memory; never sleeps.
    pub(super) fn alloc(&self) -> Option<NonNull<Segment>> {
        // SAFETY: The pool lives while `self` is borrowed.
        let table =
            unsafe { bindings::mempool_alloc_noprof(self.tables.as_ptr(), bindings::GFP_ATOMIC) };
        NonNull::new(table.cast())
    }

    /// # Safety
    ///
    /// `table` is of this pool and not used any more.
    pub(super) unsafe fn free(&self, table: NonNull<Segment>) {
        // SAFETY: By the contract of this function.
        unsafe { bindings::mempool_free(table.as_ptr().cast(), self.tables.as_ptr()) };
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        // SAFETY: Nobody uses the pool any more.
        unsafe { bindings::mempool_destroy(self.tables.as_ptr()) };
    }
}

/// Returns whether the addresses of `dev` are those of memory, and stay so while it is bound.
///
/// What the device is behind is settled before a driver is bound to it, and not changed meanwhile. An
/// architecture that goes past it for a device with a large DMA mask (`DMA_OPS_BYPASS`) may choose
/// anew when the mask is set: there each mapping is undone.
fn is_direct(dev: &Device<Bound>) -> bool {
    let raw = layout::device(dev);
    // SAFETY: The device is valid, and has a mask, which the function may look at.
    let needs_unmap = unsafe { (*raw).dma_mask.is_null() || bindings::ext_dma_need_unmap(raw) };
    !cfg!(CONFIG_DMA_OPS_BYPASS) && !needs_unmap
}
