// SPDX-License-Identifier: GPL-2.0

//! A submission queue: a ring that the host fills and the controller empties (base specification,
//! section 3.3.1).
//!
//! `Queue::sq`, a spinlock, protects it: all of this but the constructor runs in any context and does
//! not sleep.

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
    prelude::*, //
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
/// It is never full: the block layer has fewer tags than the queue has entries.
pub(super) struct SubmissionQueue {
    ring: Memory,
    /// The distance between two entries, in units of their size.
    spacing: usize,
    tail: Tail,
    traced: TracedTail,
    doorbell: Doorbell,
    faults: faults::Sent,
}

impl SubmissionQueue {
    /// Allocates a queue of `entries` entries of 64 bytes, from `pool` if they fit there. If they are
    /// `spread`, 64 unused bytes follow each entry.
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

    /// Returns whether the ring is in the controller's memory.
    pub(super) fn is_in_cmb(&self) -> bool {
        self.ring.is_cmb()
    }

    /// Gives the controller's memory back, if the ring is in it. Commands submitted later are dropped.
    pub(super) fn give_back(&mut self) {
        self.ring.give_back();
    }

    /// Empties the queue.
    pub(super) fn clear(&mut self) {
        self.tail.reset();
        self.doorbell.clear();
    }

    /// Uses the doorbell in `shadow`, which the controller must have been given.
    pub(super) fn share_doorbell(&mut self, shadow: &ShadowDoorbells) -> Result {
        self.doorbell.share(shadow, self.tail.index())
    }

    /// Adds `command`. Its doorbell is rung by [`SubmissionQueue::commit`], or here before the next
    /// command if that is as late as can be, see [`Tail::must_announce`].
    #[inline(always)]
    pub(super) fn put(&mut self, command: &Command) {
        let next = self.tail.next();
        if self.tail.must_announce(&next) {
            self.ring_doorbell();
        }
        let index = usize::from(self.tail.index()).wrapping_mul(self.spacing);
        // The tail is below the number of entries, so this fails only if the memory was given back.
        if self.ring.write(index, command).is_err() {
            return;
        }
        self.faults.submit(command);
        self.tail.advance(next);
        self.traced.set(self.tail.index());
    }

    /// Rings the doorbell if there are entries that were not announced.
    #[inline]
    pub(super) fn commit(&mut self) {
        if self.tail.has_unannounced() {
            self.ring_doorbell();
        }
    }

    #[inline]
    fn ring_doorbell(&mut self) {
        let tail = self.tail.announce();
        if !faults::is_gone() {
            self.doorbell.ring(tail);
        }
    }
}
