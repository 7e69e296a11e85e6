// SPDX-License-Identifier: GPL-2.0

//! DMA memory that is in one piece for the device only: an IOMMU puts its pages together.

use crate::{
    binding::Binding,
    bindings,
    layout::device as as_raw, //
};
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    page::PAGE_SIZE,
    prelude::*,
    sync::aref::ARef, //
};

/// Memory that is contiguous for the device; the CPU has no access to it.
///
/// The end of the device's unbinding waits until it is dropped.
///
/// # Invariants
///
/// `table` was allocated for `size` bytes for `dev`, in both directions. `dev` is not unbound while
/// `_binding` is there.
///
/// # Examples
///
/// ```
/// # use kernel::{device::{Bound, Device}, prelude::*, sizes::SZ_1M};
/// # use kernel_ext::dma::Noncontiguous;
/// /// Allocates memory that the device uses for itself.
/// fn lend(dev: &Device<Bound>) -> Result<Option<Noncontiguous>> {
///     match Noncontiguous::alloc(dev, 64 * SZ_1M) {
///         Ok(memory) => {
///             dev_dbg!(dev, "lend {} at {:#x}\n", memory.size(), memory.dma_address());
///             // The caller keeps it in the device's `BoundLock`, and has the device let go of
///             // it before that is revoked.
///             Ok(Some(memory))
///         }
///         // Without an IOMMU the device gets pieces instead.
///         Err(e) if e == EOPNOTSUPP => Ok(None),
///         Err(e) => Err(e),
///     }
/// }
/// ```
pub struct Noncontiguous {
    dev: ARef<Device>,
    table: NonNull<bindings::sg_table>,
    size: usize,
    _binding: Binding,
}

// SAFETY: The memory belongs to the value, and any thread may free it.
unsafe impl Send for Noncontiguous {}
// SAFETY: `&Noncontiguous` gives no access to the memory.
unsafe impl Sync for Noncontiguous {}

impl Noncontiguous {
    /// Allocates `size` bytes, whole pages. Sleeps. `EINVAL` for parts of pages, `ENOMEM` without
    /// memory or address space, `EOPNOTSUPP` if no IOMMU puts single pages together for `dev`.
    pub fn alloc(dev: &Device<Bound>, size: usize) -> Result<Self> {
        if size == 0 || size % PAGE_SIZE != 0 {
            return Err(EINVAL);
        }
        let binding = Binding::of(dev)?;
        let raw = as_raw(dev);
        // SAFETY: `raw` is valid and bound.
        let boundary = unsafe { bindings::dma_get_merge_boundary(raw) };
        if boundary == 0 || PAGE_SIZE & boundary != 0 {
            return Err(EOPNOTSUPP);
        }
        // SAFETY: As above.
        let table = unsafe {
            bindings::dma_alloc_noncontiguous(
                raw,
                size,
                bindings::dma_data_direction::DMA_BIDIRECTIONAL,
                bindings::GFP_KERNEL,
                0,
            )
        };
        let dev: &Device = dev;
        // INVARIANT: Just allocated.
        Ok(Self {
            dev: dev.into(),
            table: NonNull::new(table).ok_or(ENOMEM)?,
            size,
            _binding: binding,
        })
    }

    /// Returns the address of the memory for the device.
    pub fn dma_address(&self) -> DmaAddress {
        // SAFETY: By the type invariant; the table has one segment for the device, its first.
        unsafe { (*self.table.as_ref().sgl).dma_address }
    }

    /// Returns the number of bytes.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Noncontiguous {
    fn drop(&mut self) {
        // SAFETY: By the type invariant: the device is still bound.
        unsafe {
            bindings::dma_free_noncontiguous(
                as_raw(&self.dev),
                self.size,
                self.table.as_ptr(),
                bindings::dma_data_direction::DMA_BIDIRECTIONAL,
            )
        };
    }
}
