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
    sync::rcu, //
};
use kernel_ext::{
    nvme::{
        Batch,
        CompletionBatch,
        CompletionRing,
        Entry,
        Watch,
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

    /// Has `watch`, which is that of this queue, follow.
    #[inline]
    pub(super) fn lead(&self, watch: &Watch) {
        watch.follow(&self.ring);
    }

    /// Uses the doorbell in `shadow`, which the controller must have been given.
    pub(super) fn share_doorbell(&mut self, shadow: &ShadowDoorbells) -> Result {
        self.doorbell.share(shadow, self.ring.head())
    }

    /// Takes the new entries, and completes their commands. Returns whether there was any. Ends even if
    /// the controller posts for ever.
    pub(super) fn process(&mut self) -> bool {
        self.collect(CompletionBatch::new().collect())
    }

    /// As [`CompletionQueue::process`], but adds requests to `batch` where that is possible.
    #[inline(never)]
    pub(super) fn collect(&mut self, batch: Batch<'_, T>) -> bool {
        let rcu = rcu::read_lock();
        self.take(batch, Reader::from(&rcu))
    }

    /// As [`CompletionQueue::collect`], in an RCU read-side section. In the interrupt handler itself,
    /// and not called by it.
    #[inline(always)]
    fn take(&mut self, mut batch: Batch<'_, T>, rcu: Reader<'_>) -> bool {
        if self.ring.qid() == 0 {
            self.take_admin(&mut batch, rcu);
        } else {
            for entry in self.faults.entries(&mut self.ring, rcu) {
                if let Err(entry) = entry.complete(&mut batch) {
                    stray(&entry, &mut self.strays);
                }
            }
        }
        match self.ring.announce() {
            Some(head) => {
                self.doorbell.ring(head);
                true
            }
            None => false,
        }
    }

    /// Takes the new entries of the admin queue, which has more than requests.
    #[cold]
    fn take_admin(&mut self, batch: &mut Batch<'_, T>, rcu: Reader<'_>) {
        for entry in self.faults.entries(&mut self.ring, rcu) {
            if let Err(entry) = complete_admin(entry, batch) {
                stray(&entry, &mut self.strays);
            }
        }
    }
}

/// Completes the command of `entry`, or returns it if there is none.
fn complete_admin<'ring, T: Owner>(
    entry: Entry<'ring, T>,
    batch: &mut Batch<'_, T>,
) -> Result<(), Entry<'ring, T>> {
    let ctrl = entry.controller();
    if entry.id() == ASYNC_EVENT_ID {
        ctrl.complete_async_event(&entry.completion());
        return Ok(());
    }
    let opcode = entry.user_opcode();
    entry.complete(batch)?;
    if let Some(opcode) = opcode {
        T::user_command_completed(ctrl, opcode);
    }
    Ok(())
}

/// Reports `entry`, which names no command in flight. There were `strays` before it.
#[cold]
fn stray<T: Owner>(entry: &Entry<'_, T>, strays: &mut u32) {
    if *strays < MAX_STRAYS {
        let last = match MAX_STRAYS - *strays {
            1 => "; no more of these are reported",
            _ => "",
        };
        dev_warn!(
            entry.controller().device(),
            "queue {}: completion of command {:#06x}, which is not under way, dropped{last}\n",
            entry.qid(),
            entry.id()
        );
    }
    *strays = strays.saturating_add(1);
}

impl<T: Owner> Handler for CompletionQueue<T> {
    #[inline(always)]
    fn handle(&mut self, rcu: Reader<'_>) -> IrqReturn {
        if self.take(CompletionBatch::new().collect(), rcu) {
            IrqReturn::Handled
        } else {
            IrqReturn::None
        }
    }
}
