// SPDX-License-Identifier: GPL-2.0

//! A completion queue: a ring that the controller fills and the host empties (base specification,
//! section 3.3.1), and the requests that its entries complete.
//!
//! Entries come from the ring alone, and each of them once: nobody but the device can say that a
//! command is complete. None of this sleeps but the constructor.

mod head;
mod slots;
mod watch;

pub use self::watch::Watch;
use self::{
    head::{
        Head,
        Step, //
    },
    slots::{
        Slot,
        Slots, //
    }, //
};
use super::{
    queue_tags::{
        Answer,
        QueueTags, //
    },
    tag_table::Requests,
    Batch,
    CommandId,
    Completion,
    Controller,
    TracedTail,
    Transport, //
};
use crate::sync::rcu::Reader;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    prelude::*,
    sync::{
        barrier::{
            dma_mb,
            Read, //
        },
        Arc, //
    }, //
};

/// The host's side of a completion queue, and the right to complete the requests of its queue pair.
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// # use kernel_ext::{
/// #     nvme::{CompletionBatch, CompletionRing, Transport},
/// #     sync::rcu::Reader,
/// # };
/// /// Completes the requests that the controller is done with. Returns the head for the doorbell,
/// /// if there was any.
/// fn handle<T: Transport>(ring: &mut CompletionRing<T>, rcu: Reader<'_>) -> Option<u16> {
///     let mut batch = CompletionBatch::new();
///     for entry in ring.entries(rcu) {
///         if let Err(stray) = entry.complete(&mut batch.collect()) {
///             pr_warn!("no such command: {:?}\n", stray.id());
///         }
///     }
///     ring.announce()
/// }
/// ```
///
/// # Invariants
///
/// `slots` has as many entries as `head` says, at least one.
pub struct CompletionRing<T: Transport> {
    slots: Arc<Slots>,
    head: Head,
    tags: QueueTags<T>,
}

impl<T: Transport> CompletionRing<T> {
    /// Allocates the completion queue of pair `qid` of `ctrl`, with `entries` entries, in memory of
    /// `dev`. Sleeps.
    ///
    /// `EBUSY` if that queue has one, `EINVAL` if there is no such queue or no entry, `ENOMEM`
    /// without memory.
    pub fn new(dev: &Device<Bound>, ctrl: &Controller<T>, qid: u16, entries: u16) -> Result<Self> {
        // INVARIANT: There is no memory without entries.
        Ok(Self {
            tags: QueueTags::take(ctrl, qid)?,
            slots: Arc::new(Slots::new(dev, entries)?, GFP_KERNEL)?,
            head: Head::new(entries),
        })
    }

    /// The address of the ring for the device.
    pub fn address(&self) -> DmaAddress {
        self.slots.address()
    }

    /// The controller that the queue is of.
    pub fn controller(&self) -> &Controller<T> {
        self.tags.controller()
    }

    /// The number of the queue.
    #[inline]
    pub fn qid(&self) -> u16 {
        self.tags.qid()
    }

    /// The tail of the submission queue, which is to be noted for each command.
    pub fn tail(&self) -> &TracedTail {
        self.tags.tail()
    }

    /// A look at the ring for those who do not own it.
    pub fn watch(&self) -> Watch {
        Watch::new(self)
    }

    /// The index of the next entry to take.
    pub fn head(&self) -> u16 {
        self.head.index()
    }

    /// Empties the ring: all phase tags are 0, so that the entries of the first round are new.
    pub fn clear(&mut self) -> Result {
        self.slots.clear(self.head.entries())?;
        self.head.reset();
        Ok(())
    }

    /// The head to write to the doorbell, which announces that the entries before it are free. `None`
    /// if none was taken since the last time.
    #[inline]
    pub fn announce(&mut self) -> Option<u16> {
        self.head.announce()
    }

    /// The new entries, each of which is taken when it is asked for. They end even if the controller
    /// posts more than it may until the head is announced.
    #[inline]
    pub fn entries<'ring>(&'ring mut self, rcu: Reader<'ring>) -> Entries<'ring, T> {
        // INVARIANT: By those of the type and of `Head`.
        Entries {
            // SAFETY: As above.
            slot: unsafe { self.slots.get(usize::from(self.head.index())) },
            slots: &self.slots,
            head: &mut self.head,
            requests: self.tags.requests(rcu),
            tags: &self.tags,
        }
    }
}

/// The new entries of a completion queue. Their requests are looked up during one RCU read-side
/// section, so the tags are found once for all.
///
/// # Invariants
///
/// `head` is the head of the ring with `slots`, and `slot` is where it is.
pub struct Entries<'ring, T: Transport> {
    slot: Slot<'ring>,
    slots: &'ring Slots,
    head: &'ring mut Head,
    requests: Requests<'ring>,
    tags: &'ring QueueTags<T>,
}

impl<'ring, T: Transport> Iterator for Entries<'ring, T> {
    type Item = Entry<'ring, T>;

    #[inline(always)]
    fn next(&mut self) -> Option<Entry<'ring, T>> {
        let slot = self.slot;
        let status = slot.status();
        if !self.head.is_new(status) {
            return None;
        }
        self.advance()?;
        // The controller writes the phase tag last, so the rest of the entry must be read after it.
        dma_mb(Read);
        let answer = Answer {
            id: slot.id(),
            status,
            result: slot.result(),
        };
        Some(self.entry(answer, slot))
    }
}

impl<'ring, T: Transport> Entries<'ring, T> {
    /// Takes the entry where the head is. `None` if it has to be announced first.
    #[inline(always)]
    fn advance(&mut self) -> Option<()> {
        // INVARIANT: `slot` is where the head has gone.
        self.slot = match self.head.advance()? {
            // SAFETY: `slot` was where the head was, which has not come to the end of the ring.
            Step::Next => unsafe { self.slot.next() },
            Step::First => self.slots.first(),
        };
        Some(())
    }

    #[inline(always)]
    fn entry(&self, answer: Answer, slot: Slot<'ring>) -> Entry<'ring, T> {
        Entry {
            answer,
            slot,
            requests: self.requests,
            tags: self.tags,
        }
    }
}

/// An entry that the controller has posted: it says that it is done with a command.
///
/// # Examples
///
/// ```
/// # use kernel_ext::nvme::{Entry, Transport};
/// /// Whether the command has failed: its status is not 0, above the phase tag.
/// fn has_failed<T: Transport>(entry: &Entry<'_, T>) -> bool {
///     u16::from_le(entry.completion().status) >> 1 != 0
/// }
/// ```
#[must_use = "the command is complete, and its submitter waits"]
pub struct Entry<'ring, T: Transport> {
    /// What was read, once.
    answer: Answer,
    /// Where the rest is.
    slot: Slot<'ring>,
    requests: Requests<'ring>,
    tags: &'ring QueueTags<T>,
}

impl<'ring, T: Transport> Entry<'ring, T> {
    /// What the controller has posted.
    pub fn completion(&self) -> Completion {
        Completion {
            result: self.answer.result.to_le(),
            command_id: self.answer.id.into_raw().to_le(),
            status: self.answer.status.to_le(),
            ..self.slot.read()
        }
    }

    /// The identifier of the command.
    #[inline]
    pub fn id(&self) -> CommandId {
        self.answer.id
    }

    /// The number of the queue.
    #[inline]
    pub fn qid(&self) -> u16 {
        self.tags.qid()
    }

    /// The controller that has posted it.
    pub fn controller(&self) -> &'ring Controller<T> {
        self.tags.controller()
    }

    /// The opcode of the command, if it came from user space and is under way in this queue.
    pub fn user_opcode(&self) -> Option<u8> {
        self.tags.user_opcode(self.requests, self.answer.id)
    }

    /// Completes the request of the command: by itself, or with the requests of `batch`.
    ///
    /// Returns the entry if no command with this identifier is under way in this queue; a device that
    /// completes what was never sent, or completes it twice, is found out here.
    #[inline(always)]
    pub fn complete(self, batch: &mut Batch<'_, T>) -> Result<(), Self> {
        let Self {
            answer,
            slot,
            requests,
            tags,
        } = self;
        if tags.complete(requests, answer, || slot.sq_head(), batch) {
            Ok(())
        } else {
            Err(Self {
                answer,
                slot,
                requests,
                tags,
            })
        }
    }

    /// The entry as if the controller had posted `cqe`.
    #[cfg(NVME_RS_FAULTS)]
    pub fn altered(&self, cqe: Completion) -> Self {
        Entry {
            answer: Answer::of(&cqe),
            ..*self
        }
    }
}
