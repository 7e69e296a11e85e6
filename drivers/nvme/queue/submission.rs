// SPDX-License-Identifier: GPL-2.0

//! A submission queue: a ring that the host fills and the controller empties (base specification,
//! section 3.3.1).

use super::{
    doorbell::Doorbell,
    memory::Memory,
    ring::Tail,
    shadow::ShadowDoorbells, //
};
use crate::faults;
use kernel::{
    device::Bound,
    dma::DmaAddress,
    pci::Device,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    nvme::{
        Command,
        TracedTail, //
    },
    pci::P2pPool, //
};

/// The host's side of a submission queue.
///
/// There is always room: the block layer has fewer tags than the queue has entries.
pub(super) struct SubmissionQueue {
    ring: Memory,
    /// How many commands would fit between the beginning of an entry and that of the next.
    spacing: usize,
    tail: Tail,
    traced: TracedTail,
    doorbell: Doorbell,
    faults: faults::Sent,
}

impl SubmissionQueue {
    /// Allocates a queue of `entries` entries of 64 bytes. If they are `spread`, each is followed
    /// by 64 bytes that nobody uses. They are in the controller's memory if they fit in `pool`.
    pub(super) fn new(
        dev: &Device<Bound>,
        pool: Option<&P2pPool>,
        doorbell: Doorbell,
        entries: u16,
        spread: bool,
        traced: TracedTail,
        faults: faults::Sent,
    ) -> Result<Self> {
        let spacing = if spread { 2 } else { 1 };
        let len = spacing * usize::from(entries);
        Ok(Self {
            ring: Memory::new(dev, pool, len)?,
            spacing,
            tail: Tail::new(entries),
            traced,
            doorbell,
            faults,
        })
    }

    pub(super) fn address(&self) -> DmaAddress {
        self.ring.address()
    }

    /// Whether the ring is in the controller's memory.
    pub(super) fn is_in_cmb(&self) -> bool {
        self.ring.is_cmb()
    }

    /// Gives the controller's memory back, if the ring is in it. No command can be sent any more.
    pub(super) fn give_back(&mut self) {
        self.ring.give_back();
    }

    /// Forgets all commands.
    pub(super) fn clear(&mut self) {
        self.tail.reset();
        self.doorbell.clear();
    }

    /// Tells the controller through `shadow` from now on, which it knows of.
    pub(super) fn share_doorbell(&mut self, shadow: &Arc<ShadowDoorbells>) {
        self.doorbell.share(shadow, self.tail.index());
    }

    /// Adds `command`, and rings the doorbell if `last`, or if the next one would catch up with
    /// what the controller was told.
    #[inline]
    pub(super) fn submit(&mut self, command: Command, last: bool) {
        let index = usize::from(self.tail.index()) * self.spacing;
        // The tail is below the number of entries, so this fails only if the memory is given back.
        if self.ring.write(index, command).is_err() {
            return;
        }
        self.faults.submit(&command);
        self.tail.advance();
        self.traced.set(self.tail.index());
        if last || self.tail.must_tell() {
            self.tell();
        }
    }

    /// Rings the doorbell if there is something to tell.
    #[inline]
    pub(super) fn commit(&mut self) {
        if self.tail.is_untold() {
            self.tell();
        }
    }

    #[inline]
    fn tell(&mut self) {
        let tail = self.tail.tell();
        if !faults::is_gone() {
            self.doorbell.ring(tail);
        }
    }
}
