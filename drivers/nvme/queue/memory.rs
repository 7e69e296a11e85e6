// SPDX-License-Identifier: GPL-2.0

//! The memory of a submission queue's ring, in the host or in the controller.
//!
//! Allocating it sleeps; entries are written in any context. The owner of the queue owns the memory.

use kernel::{
    device::Bound,
    dma::DmaAddress,
    pci::Device,
    prelude::*, //
};
use kernel_ext::{
    dma::Coherent,
    nvme::Command,
    pci::{
        P2pMemory,
        P2pPool, //
    },
};

/// The memory of a submission queue.
pub(super) enum Memory {
    /// The host's.
    Host(Coherent<[Command]>),
    /// The controller's memory buffer.
    Cmb(P2pMemory),
    /// None: the controller's memory was given back, as the device is being unbound.
    Returned,
}

impl Memory {
    /// Allocates `entries` entries, from `pool` if they fit there. `ENOMEM` without memory.
    pub(super) fn new(dev: &Device<Bound>, pool: Option<&P2pPool>, entries: usize) -> Result<Self> {
        let bytes = entries * size_of::<Command>();
        if let Some(Ok(memory)) = pool.map(|pool| pool.alloc(dev, bytes)) {
            return Ok(Self::Cmb(memory));
        }
        let ring = Coherent::zeroed_slice(dev.as_ref(), entries, GFP_KERNEL)?;
        Ok(Self::Host(ring))
    }

    /// Returns the address of the memory for the device; 0 if it was given back.
    pub(super) fn address(&self) -> DmaAddress {
        match self {
            Self::Host(ring) => ring.dma_address(),
            Self::Cmb(memory) => memory.bus_address(),
            Self::Returned => 0,
        }
    }

    /// Returns whether it is the controller's memory.
    pub(super) fn is_cmb(&self) -> bool {
        matches!(self, Self::Cmb(_))
    }

    /// Gives the controller's memory back. Later writes fail.
    pub(super) fn give_back(&mut self) {
        if self.is_cmb() {
            *self = Self::Returned;
        }
    }

    /// Writes entry `index`. `EINVAL` if there is no such entry.
    #[inline]
    pub(super) fn write(&mut self, index: usize, command: &Command) -> Result {
        match self {
            Self::Host(ring) => ring.write_entry(index, command),
            other => other.write_elsewhere(index, command),
        }
    }

    #[inline(never)]
    fn write_elsewhere(&mut self, index: usize, command: &Command) -> Result {
        match self {
            Self::Cmb(memory) => memory.write(index.wrapping_mul(size_of::<Command>()), command),
            _ => Err(EINVAL),
        }
    }
}
