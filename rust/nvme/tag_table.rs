// SPDX-License-Identifier: GPL-2.0

//! Where the tags of each queue are now, and from a tag to the request that is in flight with it.

use super::CommandId;
use crate::{
    bindings,
    sync::rcu::Reader, //
};
use core::ptr::{
    null,
    null_mut, //
};
use kernel::{
    prelude::*,
    sync::{
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
    /// Whether nobody may look at `tags`. Apart from it, as they may be shown again as they were.
    hidden: Atomic<bool>,
    /// Whether a `QueueTags` for this queue exists.
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

    /// Takes the right to complete the requests of queue `qid`: `EBUSY` if somebody has it,
    /// `EINVAL` if there is no such queue.
    pub(super) fn take(&self, qid: usize) -> Result {
        let entry = self.entries.get(qid).ok_or(EINVAL)?;
        if entry.taken.xchg(true, Full) {
            return Err(EBUSY);
        }
        Ok(())
    }

    /// Gives back what [`TagTable::take`] took.
    pub(super) fn give(&self, qid: usize) {
        if let Some(entry) = self.entries.get(qid) {
            entry.taken.store(false, Relaxed);
        }
    }

    /// The requests of queue `qid`, for as long as the RCU read-side section lasts. None while they
    /// are hidden.
    #[inline]
    pub(super) fn requests<'rcu>(&self, qid: usize, rcu: Reader<'rcu>) -> Requests<'rcu> {
        let Some(entry) = self.entries.get(qid) else {
            return Requests::none(rcu);
        };
        // Before `tags`, which may be others when they are shown again.
        if entry.hidden.load(Acquire) {
            return Requests::none(rcu);
        }
        let tags = entry.tags.load(Acquire);
        if tags.is_null() {
            return Requests::none(rcu);
        }
        // INVARIANT: Tags that were not hidden when the section had begun are valid until it ends,
        // as `hide` waits for that. `rqs` has `nr_tags` entries, neither of which changes.
        // SAFETY: As above.
        unsafe {
            Requests {
                first: (*tags).rqs,
                count: (*tags).nr_tags,
                _rcu: rcu,
            }
        }
    }

    fn range(&self, first: usize, last: usize) -> impl Iterator<Item = &Entry> {
        let count = last.saturating_sub(first).saturating_add(1);
        self.entries.iter().skip(first).take(count)
    }

    /// How many queues the table has room for.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The requests of a queue, by their tags.
///
/// # Invariants
///
/// During `'rcu`, `first` points to `count` pointers, each null or to a valid request: requests are
/// not freed while their tags are valid.
#[derive(Clone, Copy)]
pub(super) struct Requests<'rcu> {
    first: *const *mut bindings::request,
    count: u32,
    _rcu: Reader<'rcu>,
}

impl<'rcu> Requests<'rcu> {
    #[inline]
    fn none(rcu: Reader<'rcu>) -> Self {
        // INVARIANT: There are no pointers.
        Self {
            first: null(),
            count: 0,
            _rcu: rcu,
        }
    }

    /// The request in flight that has the tag of `id`, which is valid during `'rcu`. `None` if there
    /// is none. Whether its generation is that of `id` is for the caller to see.
    #[inline]
    pub(super) fn find(self, id: CommandId) -> Option<*mut bindings::request> {
        let tag = id.tag();
        if u32::from(tag) >= self.count {
            return None;
        }
        // SAFETY: By the type invariants and the check.
        let rq = unsafe { self.first.add(usize::from(tag)).read_volatile() };
        if rq.is_null() {
            return None;
        }
        // SAFETY: By the type invariants.
        let state = unsafe { (&raw const (*rq).state).read_volatile() };
        (state == bindings::mq_rq_state_MQ_RQ_IN_FLIGHT).then_some(rq)
    }
}
