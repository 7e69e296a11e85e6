// SPDX-License-Identifier: GPL-2.0

//! A completion queue: a ring that the controller fills and the host empties (base specification,
//! section 3.3.1). The phase tag of an entry shows whether it is new.
//!
//! It has no lock: its owner is the interrupt handler, or whoever polls (`IrqCell`). Nothing here sleeps
//! but the constructor.

use super::{
    doorbell::Doorbell,
    owner::Owner,
    ring::Head,
    shadow::ShadowDoorbells, //
};
use crate::{
    faults, //
};
use kernel::{
    device::Bound,
    dma::DmaAddress,
    io::{
        io_project,
        io_read,
        Io, //
    },
    irq::IrqReturn,
    pci::Device,
    prelude::*,
    sync::{
        barrier::{
            dma_mb,
            Read, //
        },
        rcu,
        Arc, //
    },
};
use kernel_ext::{
    dma::Coherent,
    nvme::{
        Batch,
        Completion,
        CompletionBatch,
        QueueTags,
        ASYNC_EVENT_ID, //
    },
    pci::irq::Handler, //
};

/// The number of completions of unknown commands that a queue reports; later ones are dropped silently.
const MAX_STRAYS: u32 = 8;

/// The host's side of a completion queue.
pub(super) struct CompletionQueue<T: Owner> {
    ring: Coherent<[Completion]>,
    head: Head,
    doorbell: Doorbell,
    tags: QueueTags<T>,
    /// The number of entries that named no command in flight.
    strays: u32,
    faults: faults::Received,
}

impl<T: Owner> CompletionQueue<T> {
    pub(super) fn new(
        dev: &Device<Bound>,
        doorbell: Doorbell,
        entries: u16,
        tags: QueueTags<T>,
        faults: faults::Received,
    ) -> Result<Self> {
        Ok(Self {
            ring: Coherent::zeroed_slice(dev.as_ref(), usize::from(entries), GFP_KERNEL)?,
            head: Head::new(entries),
            doorbell,
            tags,
            strays: 0,
            faults,
        })
    }

    pub(super) fn address(&self) -> DmaAddress {
        self.ring.dma_address()
    }

    /// Empties the queue: all phase tags are 0, so that the entries of the first round are new.
    pub(super) fn clear(&mut self) -> Result {
        for i in 0..usize::from(self.head.entries()) {
            io_project!(self.ring, [try: i]).copy_write(Completion::default());
        }
        self.head.reset();
        self.doorbell.clear();
        Ok(())
    }

    /// Uses the doorbell in `shadow`, which the controller must have been given.
    pub(super) fn share_doorbell(&mut self, shadow: &Arc<ShadowDoorbells>) {
        self.doorbell.share(shadow, self.head.index());
    }

    /// Takes the new entries, and completes their commands. Returns whether there was any. Ends even if
    /// the controller posts for ever, see [`Head`].
    #[inline]
    pub(super) fn process(&mut self) -> bool {
        self.collect(&mut CompletionBatch::new().collect())
    }

    /// As [`CompletionQueue::process`], but adds requests to `batch` where that is possible.
    #[inline]
    pub(super) fn collect(&mut self, batch: &mut Batch<'_, T>) -> bool {
        let mut found = false;

        let rcu = rcu::read_lock();
        while let Some(cqe) = self.next() {
            found = true;
            if !self.head.advance() {
                // More than the controller may post: the next call takes it.
                break;
            }
            for cqe in self.faults.arrive(cqe) {
                self.complete(&cqe, batch, &rcu);
            }
        }
        if found {
            self.doorbell.ring(self.head.announce());
        }
        found
    }

    /// Returns the next entry that the queue is to take.
    #[inline]
    fn next(&mut self) -> Option<Completion> {
        let cqe = self.faults.invent(self.peek().ok()?)?;
        (!self.faults.misses(&cqe)).then_some(cqe)
    }

    /// Returns the next entry, if it is new.
    #[inline]
    fn peek(&self) -> Result<Option<Completion>> {
        let head = usize::from(self.head.index());
        let status = u16::from_le(io_read!(self.ring, [try: head].status));
        if !self.head.is_new(status) {
            return Ok(None);
        }
        // The controller writes the phase tag last, so the rest of the entry must be read after it.
        dma_mb(Read);
        Ok(Some(io_project!(self.ring, [try: head]).copy_read()))
    }

    #[inline]
    fn complete(&mut self, cqe: &Completion, batch: &mut Batch<'_, T>, rcu: &rcu::Guard) {
        let is_done = match self.tags.qid() {
            0 => self.complete_admin(cqe, batch, rcu),
            _ => self.tags.complete(cqe, batch, rcu),
        };
        if is_done.is_err() {
            self.stray(cqe);
        }
    }

    #[cold]
    fn complete_admin(
        &mut self,
        cqe: &Completion,
        batch: &mut Batch<'_, T>,
        rcu: &rcu::Guard,
    ) -> Result {
        if cqe.id() == ASYNC_EVENT_ID {
            self.tags.controller().complete_async_event(cqe);
            return Ok(());
        }
        let opcode = self.tags.user_opcode(cqe, rcu);
        self.tags.complete(cqe, batch, rcu)?;
        if let Some(opcode) = opcode {
            T::user_command_completed(self.tags.controller(), opcode);
        }
        Ok(())
    }

    /// Reports an entry that names no command in flight.
    #[cold]
    fn stray(&mut self, cqe: &Completion) {
        if self.strays < MAX_STRAYS {
            let last = match MAX_STRAYS - self.strays {
                1 => "; no more of these are reported",
                _ => "",
            };
            dev_warn!(
                self.tags.controller().device(),
                "queue {}: completion of command {:#06x}, which is not under way, dropped{}\n",
                self.tags.qid(),
                cqe.id(),
                last
            );
        }
        self.strays = self.strays.saturating_add(1);
    }
}

impl<T: Owner> Handler for CompletionQueue<T> {
    #[inline]
    fn handle(&mut self) -> IrqReturn {
        if self.process() {
            IrqReturn::Handled
        } else {
            IrqReturn::None
        }
    }
}
