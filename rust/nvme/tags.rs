// SPDX-License-Identifier: GPL-2.0

//! From a completion queue entry to the request that it completes.

use super::{
    queue,
    request::Pdu,
    Completion,
    Controller,
    TracedTail,
    Transport, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::null_mut, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        rcu, //
    }, //
};

/// The tags of each queue, as the block layer has them now.
///
/// # Invariants
///
/// `tags`, unless null or hidden, is valid until an RCU grace period after it was hidden.
pub(super) struct TagTable {
    entries: KVec<Entry>,
}

struct Entry {
    tags: Atomic<*mut bindings::blk_mq_tags>,
    /// Whether nobody may look at `tags`. Apart from it, as the block layer may note tags
    /// meanwhile.
    hidden: Atomic<bool>,
    /// Whether a [`QueueTags`] for this queue exists.
    taken: Atomic<bool>,
}

impl TagTable {
    /// For queues 0 to `queues` - 1.
    pub(super) fn new(queues: u16) -> Result<Self> {
        let mut entries = KVec::with_capacity(usize::from(queues), GFP_KERNEL)?;
        for _ in 0..queues {
            entries.push(
                Entry {
                    tags: Atomic::new(null_mut()),
                    hidden: Atomic::new(false),
                    taken: Atomic::new(false),
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Self { entries })
    }

    /// Notes the tags of queue `qid`, null for none. If it is hidden, it stays so.
    ///
    /// # Safety
    ///
    /// `tags` is null, or valid until after [`TagTable::hide`] was called for it.
    pub(super) unsafe fn set(&self, qid: usize, tags: *mut bindings::blk_mq_tags) {
        if let Some(entry) = self.entries.get(qid) {
            entry.tags.store(tags, Release);
        }
    }

    /// Makes the requests of the queues from `first` on to `last` impossible to find, and waits
    /// until nobody holds one that was found. Sleeps for a grace period.
    pub(super) fn hide(&self, first: usize, last: usize) {
        for entry in self.range(first, last) {
            entry.hidden.store(true, Relaxed);
        }
        rcu::synchronize_rcu();
    }

    /// Undoes [`TagTable::hide`].
    ///
    /// # Safety
    ///
    /// The tags that were noted last, of each queue, are valid until they are hidden again.
    pub(super) unsafe fn show(&self, first: usize, last: usize) {
        for entry in self.range(first, last) {
            entry.hidden.store(false, Release);
        }
    }

    fn range(&self, first: usize, last: usize) -> impl Iterator<Item = &Entry> {
        let count = last.saturating_sub(first).saturating_add(1);
        self.entries.iter().skip(first).take(count)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The right to complete the requests of one queue; there is one for each queue.
///
/// Whoever owns the completion queue owns this.
pub struct QueueTags<T: Transport> {
    ctrl: ARef<Controller<T>>,
    qid: u16,
    tail: TracedTail,
}

impl<T: Transport> QueueTags<T> {
    /// Takes the tags of queue `qid`: `EBUSY` if somebody has them, `EINVAL` if there is no such
    /// queue.
    pub fn take(ctrl: &Controller<T>, qid: u16) -> Result<Self> {
        let entry = ctrl.tags.entries.get(usize::from(qid)).ok_or(EINVAL)?;
        let tail = TracedTail::new()?;
        if entry.taken.xchg(true, Full) {
            return Err(EBUSY);
        }
        Ok(Self {
            ctrl: ctrl.into(),
            qid,
            tail,
        })
    }

    /// The controller that the queue is of.
    pub fn controller(&self) -> &Controller<T> {
        &self.ctrl
    }

    /// The number of the queue.
    pub fn qid(&self) -> u16 {
        self.qid
    }

    /// The tail of the queue, which is to be noted for each command.
    pub fn tail(&self) -> &TracedTail {
        &self.tail
    }

    /// The request that `cqe` is for. `ENOENT` if no command with this identifier is under way in
    /// this queue.
    #[inline]
    fn find(&self, cqe: &Completion, _rcu: &rcu::Guard) -> Result<*mut bindings::request> {
        let entry = self
            .ctrl
            .tags
            .entries
            .get(usize::from(self.qid))
            .ok_or(ENOENT)?;
        // Before `tags`, which may be others when they are shown again.
        if entry.hidden.load(Acquire) {
            return Err(ENOENT);
        }
        let tags = entry.tags.load(Acquire);
        if tags.is_null() {
            return Err(ENOENT);
        }

        let id = cqe.id();
        let tag = id.tag();
        // SAFETY: Tags that are not hidden are valid during the RCU read-side section that `_rcu`
        // stands for. `rqs` has `nr_tags` entries; requests are not freed while the tags are valid.
        let rq = unsafe {
            if u32::from(tag) >= (*tags).nr_tags {
                return Err(ENOENT);
            }
            (*tags).rqs.add(usize::from(tag)).read_volatile()
        };
        if rq.is_null() {
            return Err(ENOENT);
        }
        // SAFETY: As above, `rq` is valid.
        let state = unsafe { (&raw const (*rq).state).read_volatile() };
        if state != bindings::mq_rq_state_MQ_RQ_IN_FLIGHT {
            return Err(ENOENT);
        }
        // SAFETY: The request is in flight and of this controller, so it has a `Pdu<T>` whose
        // `nvme_request` is ours until it is completed, and only the owner of `self` does that:
        // cancelling first hides the tags.
        let req = unsafe { Pdu::<T>::nvme_request(rq) };
        // SAFETY: As above.
        if !id.is_of(unsafe { (*req).genctr }) {
            return Err(ENOENT);
        }
        Ok(rq)
    }

    /// The opcode of the command that `cqe` is for, if it came from user space and is under way in
    /// this queue.
    pub fn user_opcode(&self, cqe: &Completion, rcu: &rcu::Guard) -> Option<u8> {
        let rq = self.find(cqe, rcu).ok()?;
        // SAFETY: As in `find`, the request has a `Pdu<T>` that is ours.
        unsafe {
            let flags = (*Pdu::<T>::nvme_request(rq)).flags;
            let is_users = u32::from(flags) & bindings::NVME_REQ_USERCMD != 0;
            is_users.then(|| (*Pdu::<T>::of(rq)).command().opcode())
        }
    }

    /// Completes the request that `cqe` is for: by itself, or with the requests of `batch`.
    ///
    /// `ENOENT` if no command with this identifier is under way in this queue; a device that
    /// completes what was never sent, or completes it twice, is found out here.
    #[inline]
    pub fn complete(
        &mut self,
        cqe: &Completion,
        batch: &mut Batch<'_, T>,
        rcu: &rcu::Guard,
    ) -> Result {
        let rq = self.find(cqe, rcu)?;
        // SAFETY: As in `find`.
        let req = unsafe { Pdu::<T>::nvme_request(rq) };

        // SAFETY: `rq` is in flight and the device is done with it, as far as the device can be
        // believed.
        unsafe {
            self.tail.trace(rq, u16::from_le(cqe.sq_head));
            if bindings::ext_nvme_try_complete_req(
                rq,
                u16::from_le(cqe.status),
                u64::from_le(cqe.result),
            ) {
                // The CPU that submitted it completes it.
                return Ok(());
            }
            let failed = (*req).status != 0;
            if !bindings::ext_blk_mq_add_to_batch(
                rq,
                batch.iob,
                failed,
                Some(queue::complete_batch_callback::<T>),
            ) {
                queue::complete_callback::<T>(rq);
            }
        }
        Ok(())
    }
}

impl<T: Transport> Drop for QueueTags<T> {
    fn drop(&mut self) {
        if let Some(entry) = self.ctrl.tags.entries.get(usize::from(self.qid)) {
            entry.taken.store(false, Relaxed);
        }
    }
}

/// Where requests are collected that somebody completes together: the value's owner, or the block
/// layer.
pub struct Batch<'a, T: Transport> {
    iob: &'a mut bindings::io_comp_batch,
    _t: PhantomData<T>,
}

impl<'a, T: Transport> Batch<'a, T> {
    /// # Safety
    ///
    /// Whoever `iob` is from calls its `complete` for the requests in it.
    pub(super) unsafe fn from_raw(iob: &'a mut bindings::io_comp_batch) -> Self {
        Self {
            iob,
            _t: PhantomData,
        }
    }
}

/// Requests that are completed together, when the value is dropped.
pub struct CompletionBatch<T: Transport> {
    iob: bindings::io_comp_batch,
    _t: PhantomData<T>,
}

impl<T: Transport> CompletionBatch<T> {
    /// An empty batch.
    #[inline]
    pub fn new() -> Self {
        Self {
            iob: pin_init::zeroed(),
            _t: PhantomData,
        }
    }

    /// The place to collect them in.
    #[inline]
    pub fn collect(&mut self) -> Batch<'_, T> {
        Batch {
            iob: &mut self.iob,
            _t: PhantomData,
        }
    }
}

impl<T: Transport> Default for CompletionBatch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Transport> Drop for CompletionBatch<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.iob.req_list.head.is_null() {
            // SAFETY: The list holds completed requests of transport `T`.
            unsafe { queue::complete_batch_callback::<T>(&mut self.iob) };
        }
    }
}
