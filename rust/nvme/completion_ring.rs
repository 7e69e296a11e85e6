// SPDX-License-Identifier: GPL-2.0

//! A completion queue: a ring that the controller fills and the host empties (base specification,
//! section 3.3.1), and the requests that its entries complete.
//!
//! Entries come from the ring alone, and each of them once: nobody but the device can say that a
//! command is complete. None of this sleeps but the constructor.

mod head;

use self::head::Head;
use super::{
    queue_tags::QueueTags,
    Batch,
    CommandId,
    Completion,
    Controller,
    TracedTail,
    Transport, //
};
use crate::{
    dma::Coherent,
    sync::rcu::Reader, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    io::{
        io_project,
        io_read,
        Io, //
    },
    prelude::*,
    sync::barrier::{
        dma_mb,
        Read, //
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
///     while let Some(entry) = ring.next() {
///         let id = entry.id();
///         if entry.complete(&mut batch.collect(), rcu).is_err() {
///             pr_warn!("no such command: {id:?}\n");
///         }
///     }
///     ring.announce()
/// }
/// ```
pub struct CompletionRing<T: Transport> {
    entries: Coherent<[Completion]>,
    head: Head,
    tags: QueueTags<T>,
}

impl<T: Transport> CompletionRing<T> {
    /// Allocates the completion queue of pair `qid` of `ctrl`, with `entries` entries, in memory of
    /// `dev`. Sleeps.
    ///
    /// `EBUSY` if that queue has one, `EINVAL` if there is no such queue, `ENOMEM` without memory.
    pub fn new(dev: &Device<Bound>, ctrl: &Controller<T>, qid: u16, entries: u16) -> Result<Self> {
        Ok(Self {
            tags: QueueTags::take(ctrl, qid)?,
            entries: Coherent::zeroed_slice(dev, usize::from(entries), GFP_KERNEL)?,
            head: Head::new(entries),
        })
    }

    /// The address of the ring for the device.
    pub fn address(&self) -> DmaAddress {
        self.entries.dma_address()
    }

    /// The controller that the queue is of.
    pub fn controller(&self) -> &Controller<T> {
        self.tags.controller()
    }

    /// The tail of the submission queue, which is to be noted for each command.
    pub fn tail(&self) -> &TracedTail {
        self.tags.tail()
    }

    /// The index of the next entry to take.
    pub fn head(&self) -> u16 {
        self.head.index()
    }

    /// Empties the ring: all phase tags are 0, so that the entries of the first round are new.
    pub fn clear(&mut self) -> Result {
        for i in 0..usize::from(self.head.entries()) {
            io_project!(self.entries, [try: i]).copy_write(Completion::default());
        }
        self.head.reset();
        Ok(())
    }

    /// The head to write to the doorbell, which announces that the entries before it are free. `None`
    /// if none was taken since the last time.
    #[inline]
    pub fn announce(&mut self) -> Option<u16> {
        self.head.announce()
    }

    /// Takes the next new entry. `None` if there is none, or if the controller has posted more than
    /// it may until the head is announced.
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Entry<'_, T>> {
        let cqe = self.peek().ok()?;
        self.take(cqe)
    }

    /// As [`CompletionRing::next`], but what is there is replaced by what `f` makes of it.
    #[cfg(NVME_RS_FAULTS)]
    pub fn next_altered(
        &mut self,
        f: impl FnOnce(Option<Completion>) -> Option<Completion>,
    ) -> Option<Entry<'_, T>> {
        let cqe = f(self.peek().ok()?);
        self.take(cqe)
    }

    #[inline]
    fn take(&mut self, cqe: Option<Completion>) -> Option<Entry<'_, T>> {
        let cqe = cqe?;
        self.head.advance().then_some(Entry {
            cqe,
            tags: &self.tags,
        })
    }

    /// The next entry, if it is new.
    #[inline]
    fn peek(&self) -> Result<Option<Completion>> {
        let head = usize::from(self.head.index());
        let status = u16::from_le(io_read!(self.entries, [try: head].status));
        if !self.head.is_new(status) {
            return Ok(None);
        }
        // The controller writes the phase tag last, so the rest of the entry must be read after it.
        dma_mb(Read);
        Ok(Some(io_project!(self.entries, [try: head]).copy_read()))
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
    cqe: Completion,
    tags: &'ring QueueTags<T>,
}

impl<'ring, T: Transport> Entry<'ring, T> {
    /// What the controller has posted.
    #[inline]
    pub fn completion(&self) -> &Completion {
        &self.cqe
    }

    /// The identifier of the command.
    #[inline]
    pub fn id(&self) -> CommandId {
        self.cqe.id()
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
    pub fn user_opcode(&self, rcu: Reader<'_>) -> Option<u8> {
        self.tags.user_opcode(&self.cqe, rcu)
    }

    /// Completes the request of the command: by itself, or with the requests of `batch`.
    ///
    /// `ENOENT` if no command with this identifier is under way in this queue; a device that
    /// completes what was never sent, or completes it twice, is found out here.
    #[inline]
    pub fn complete(self, batch: &mut Batch<'_, T>, rcu: Reader<'_>) -> Result {
        self.tags.complete(&self.cqe, batch, rcu)
    }

    /// The entry as if the controller had posted `cqe`.
    #[cfg(NVME_RS_FAULTS)]
    pub fn altered(&mut self, cqe: Completion) -> Entry<'_, T> {
        Entry {
            cqe,
            tags: self.tags,
        }
    }
}
