// SPDX-License-Identifier: GPL-2.0

//! The memory of a completion queue, which the controller may write at any time.

use crate::{
    dma::Coherent,
    nvme::{
        CommandId,
        Completion, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    io::{
        io_project,
        Io, //
    },
    prelude::*, //
};

/// The entries of a ring.
pub(super) struct Slots {
    memory: Coherent<[Completion]>,
}

impl Slots {
    /// Allocates `entries` entries for `dev`, all zero. Sleeps.
    pub(super) fn new(dev: &Device<Bound>, entries: u16) -> Result<Self> {
        let memory = Coherent::zeroed_slice(dev, usize::from(entries), GFP_KERNEL)?;
        Ok(Self { memory })
    }

    /// Returns the address for the device.
    pub(super) fn address(&self) -> DmaAddress {
        self.memory.dma_address()
    }

    /// Zeroes the first `entries` entries. `EINVAL` if there are not as many.
    pub(super) fn clear(&self, entries: u16) -> Result {
        for i in 0..usize::from(entries) {
            io_project!(self.memory, [try: i]).copy_write(Completion::default());
        }
        Ok(())
    }

    /// Returns the place of the first entry.
    #[inline]
    pub(super) fn first(&self) -> Slot<'_> {
        // INVARIANT: There is no memory without an entry. Who borrows the memory keeps it.
        Slot {
            entry: self.memory.as_ptr().cast(),
            _memory: PhantomData,
        }
    }

    /// Returns the place of entry `index`.
    ///
    /// # Safety
    ///
    /// There are more than `index` entries.
    #[inline]
    pub(super) unsafe fn get(&self, index: usize) -> Slot<'_> {
        let first = self.first();
        // INVARIANT: By the contract of this function.
        Slot {
            // SAFETY: By the contract of this function.
            entry: unsafe { first.entry.add(index) },
            ..first
        }
    }
}

/// The place of an entry. Each look at a field reads the memory anew.
///
/// # Invariants
///
/// `entry` is a place in coherent memory, which is there during `'ring`.
#[derive(Clone, Copy)]
pub(super) struct Slot<'ring> {
    entry: *const Completion,
    _memory: PhantomData<&'ring Slots>,
}

impl Slot<'_> {
    /// Returns the place of the next entry.
    ///
    /// # Safety
    ///
    /// This is not the last one.
    #[inline]
    pub(super) unsafe fn next(self) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            // SAFETY: By the contract of this function.
            entry: unsafe { self.entry.add(1) },
            ..self
        }
    }

    /// Returns the status, and the phase tag.
    #[inline]
    pub(super) fn status(self) -> u16 {
        // SAFETY: By the type invariants. As READ_ONCE(), as the device may write it.
        u16::from_le(unsafe { (&raw const (*self.entry).status).read_volatile() })
    }

    /// Returns the command that is complete.
    #[inline]
    pub(super) fn id(self) -> CommandId {
        // SAFETY: As in `status`.
        let raw = unsafe { (&raw const (*self.entry).command_id).read_volatile() };
        CommandId::from_raw(u16::from_le(raw))
    }

    /// Returns the command specific result.
    #[inline]
    pub(super) fn result(self) -> u64 {
        // SAFETY: As in `status`.
        u64::from_le(unsafe { (&raw const (*self.entry).result).read_volatile() })
    }

    /// Returns how far the controller has fetched from the submission queue.
    #[inline]
    pub(super) fn sq_head(self) -> u16 {
        // SAFETY: As in `status`.
        u16::from_le(unsafe { (&raw const (*self.entry).sq_head).read_volatile() })
    }

    /// Returns all of it.
    pub(super) fn read(self) -> Completion {
        // SAFETY: As in `status`; any bit pattern is a completion.
        unsafe { self.entry.read_volatile() }
    }
}
