// SPDX-License-Identifier: GPL-2.0

//! A submission queue: a ring that the host fills and the controller empties (base specification,
//! section 3.3.1).

use crate::regs::MIN_SIZE;
use kernel::{
    device::Bound,
    dma::{
        Coherent,
        DmaAddress, //
    },
    io::{
        io_project,
        Io, //
    },
    pci::Device,
    prelude::*, //
};
use kernel_ext::{
    nvme::Command,
    pci::Doorbell, //
};

/// The host's side of a submission queue.
///
/// There is always room: the block layer has fewer tags than the queue has entries.
pub(super) struct SubmissionQueue {
    ring: Coherent<[Command]>,
    entries: u16,
    /// Where the next command goes.
    tail: u16,
    /// The tail that the controller was told.
    told: u16,
    doorbell: Doorbell<MIN_SIZE>,
}

impl SubmissionQueue {
    pub(super) fn new(
        dev: &Device<Bound>,
        doorbell: Doorbell<MIN_SIZE>,
        entries: u16,
    ) -> Result<Self> {
        Ok(Self {
            ring: Coherent::zeroed_slice(dev.as_ref(), usize::from(entries), GFP_KERNEL)?,
            entries,
            tail: 0,
            told: 0,
            doorbell,
        })
    }

    pub(super) fn address(&self) -> DmaAddress {
        self.ring.dma_address()
    }

    /// Forgets all commands.
    pub(super) fn clear(&mut self) {
        self.tail = 0;
        self.told = 0;
    }

    /// Adds `command`, and rings the doorbell if `last`, or if the next one would catch up with
    /// what the controller was told.
    #[inline]
    pub(super) fn submit(&mut self, command: Command, last: bool) {
        // `tail` is below `entries`, so this cannot fail.
        let slot: Result<_> = (|| Ok(io_project!(self.ring, [try: usize::from(self.tail)])))();
        let Ok(slot) = slot else { return };
        slot.copy_write(command);
        self.tail = self.after(self.tail);
        if last || self.after(self.tail) == self.told {
            self.tell();
        }
    }

    /// Rings the doorbell if there is something to tell.
    #[inline]
    pub(super) fn commit(&mut self) {
        if self.tail != self.told {
            self.tell();
        }
    }

    #[inline]
    fn tell(&mut self) {
        self.doorbell.ring(u32::from(self.tail));
        self.told = self.tail;
    }

    #[inline]
    fn after(&self, index: u16) -> u16 {
        let next = index.wrapping_add(1);
        if next == self.entries {
            0
        } else {
            next
        }
    }
}
