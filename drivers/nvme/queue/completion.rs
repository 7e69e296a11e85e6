// SPDX-License-Identifier: GPL-2.0

//! A completion queue: a ring that the controller fills and the host empties (base specification,
//! section 3.3.1). The phase tag of an entry shows whether it is new.
//!
//! It has no lock: its owner is the interrupt handler, or whoever polls (`IrqCell`). Nothing here sleeps
//! but the constructor.

use super::{
    doorbell::Doorbell,
    owner::Owner,
    shadow::ShadowDoorbells, //
};
use crate::faults;
use kernel::{
    dma::DmaAddress,
    irq::IrqReturn,
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};
use kernel_ext::{
    nvme::{
        Batch,
        CommandId,
        CompletionBatch,
        CompletionRing,
        Controller,
        Entry,
        ASYNC_EVENT_ID, //
    },
    pci::irq::Handler,
    sync::rcu::Reader, //
};

/// The number of completions of unknown commands that a queue reports; later ones are dropped silently.
const MAX_STRAYS: u32 = 8;

/// The host's side of a completion queue.
pub(super) struct CompletionQueue<T: Owner> {
    ring: CompletionRing<T>,
    doorbell: Doorbell,
    /// The number of entries that named no command in flight.
    strays: u32,
    faults: faults::Received,
}

impl<T: Owner> CompletionQueue<T> {
    pub(super) fn new(
        ring: CompletionRing<T>,
        doorbell: Doorbell,
        faults: faults::Received,
    ) -> Self {
        Self {
            ring,
            doorbell,
            strays: 0,
            faults,
        }
    }

    pub(super) fn address(&self) -> DmaAddress {
        self.ring.address()
    }

    /// Empties the queue.
    pub(super) fn clear(&mut self) -> Result {
        self.ring.clear()?;
        self.doorbell.clear();
        Ok(())
    }

    /// Uses the doorbell in `shadow`, which the controller must have been given.
    pub(super) fn share_doorbell(&mut self, shadow: &Arc<ShadowDoorbells>) {
        self.doorbell.share(shadow, self.ring.head());
    }

    /// Takes the new entries, and completes their commands. Returns whether there was any. Ends even if
    /// the controller posts for ever.
    #[inline]
    pub(super) fn process(&mut self) -> bool {
        let rcu = rcu::read_lock();
        self.collect(&mut CompletionBatch::new().collect(), Reader::from(&rcu))
    }

    /// As [`CompletionQueue::process`], but adds requests to `batch` where that is possible.
    #[inline]
    pub(super) fn poll(&mut self, batch: &mut Batch<'_, T>) -> bool {
        let rcu = rcu::read_lock();
        self.collect(batch, Reader::from(&rcu))
    }

    #[inline]
    fn collect(&mut self, batch: &mut Batch<'_, T>, rcu: Reader<'_>) -> bool {
        while let Some(entry) = self.faults.next(&mut self.ring) {
            self.faults
                .arrive(entry, |entry| complete(entry, batch, rcu, &mut self.strays));
        }
        match self.ring.announce() {
            Some(head) => {
                self.doorbell.ring(head);
                true
            }
            None => false,
        }
    }
}

/// Completes the command of `entry`, or reports that there is none.
#[inline]
fn complete<T: Owner>(
    entry: Entry<'_, T>,
    batch: &mut Batch<'_, T>,
    rcu: Reader<'_>,
    strays: &mut u32,
) {
    let (ctrl, qid, id) = (entry.controller(), entry.qid(), entry.id());
    let is_done = match qid {
        0 => complete_admin(entry, batch, rcu),
        _ => entry.complete(batch, rcu),
    };
    if is_done.is_err() {
        stray(ctrl, qid, id, strays);
    }
}

#[cold]
fn complete_admin<T: Owner>(
    entry: Entry<'_, T>,
    batch: &mut Batch<'_, T>,
    rcu: Reader<'_>,
) -> Result {
    let ctrl = entry.controller();
    if entry.id() == ASYNC_EVENT_ID {
        ctrl.complete_async_event(entry.completion());
        return Ok(());
    }
    let opcode = entry.user_opcode(rcu);
    entry.complete(batch, rcu)?;
    if let Some(opcode) = opcode {
        T::user_command_completed(ctrl, opcode);
    }
    Ok(())
}

/// Reports an entry of queue `qid` that names no command in flight. There were `strays` before it.
#[cold]
fn stray<T: Owner>(ctrl: &Controller<T>, qid: u16, id: CommandId, strays: &mut u32) {
    if *strays < MAX_STRAYS {
        let last = match MAX_STRAYS - *strays {
            1 => "; no more of these are reported",
            _ => "",
        };
        dev_warn!(
            ctrl.device(),
            "queue {qid}: completion of command {id:#06x}, which is not under way, dropped{last}\n"
        );
    }
    *strays = strays.saturating_add(1);
}

impl<T: Owner> Handler for CompletionQueue<T> {
    #[inline]
    fn handle(&mut self, rcu: Reader<'_>) -> IrqReturn {
        if self.collect(&mut CompletionBatch::new().collect(), rcu) {
            IrqReturn::Handled
        } else {
            IrqReturn::None
        }
    }
}
