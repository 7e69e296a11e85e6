// SPDX-License-Identifier: GPL-2.0

//! A look at a completion queue without owning it.

use super::{
    slots::Slots,
    CompletionRing, //
};
use crate::nvme::Transport;
use kernel::sync::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    Arc, //
};

/// Tells whoever polls a completion queue whether it is worth the lock, as most looks find nothing.
///
/// It knows the head as it was when [`Watch::follow`] was called last: whoever takes entries has to do
/// that afterwards.
///
/// # Examples
///
/// ```
/// # use kernel::{prelude::*, sync::{rcu, SpinLock}};
/// # use kernel_ext::{
/// #     nvme::{CompletionBatch, CompletionRing, Transport, Watch},
/// #     sync::rcu::Reader,
/// # };
/// /// A completion queue that any thread may poll.
/// struct Polled<T: Transport> {
///     watch: Watch,
///     ring: SpinLock<CompletionRing<T>>,
/// }
///
/// impl<T: Transport> Polled<T> {
///     fn poll(&self) -> bool {
///         if !self.watch.has_news() {
///             return false;
///         }
///         let mut ring = self.ring.lock();
///         let rcu = rcu::read_lock();
///         let mut batch = CompletionBatch::new();
///         for entry in ring.entries(Reader::from(&rcu)) {
///             let _ = entry.complete(&mut batch.collect());
///         }
///         self.watch.follow(&ring);
///         ring.announce().is_some()
///     }
/// }
/// ```
///
/// # Invariants
///
/// `place` is of a ring that has `slots`.
pub struct Watch {
    slots: Arc<Slots>,
    /// Where the head was, see [`Head::place`](super::head::Head::place).
    place: Atomic<u32>,
}

impl Watch {
    /// Creates the watch of `ring`, at its head.
    pub(super) fn new<T: Transport>(ring: &CompletionRing<T>) -> Self {
        // INVARIANT: Both are those of `ring`.
        Self {
            slots: ring.slots.clone(),
            place: Atomic::new(ring.head.place()),
        }
    }

    /// Returns whether the entry at the head, as far as that is known, is new.
    #[inline]
    pub fn has_news(&self) -> bool {
        let place = self.place.load(Relaxed);
        // SAFETY: By the type invariants, and those of `CompletionRing` and `Head`.
        let slot = unsafe { self.slots.get((place >> 1) as usize) };
        (u32::from(slot.status()) ^ place) & 1 == 0
    }

    /// Goes to the head of `ring`, if that is the ring of this watch.
    #[inline]
    pub fn follow<T: Transport>(&self, ring: &CompletionRing<T>) {
        if Arc::ptr_eq(&self.slots, &ring.slots) {
            // INVARIANT: By the check.
            self.place.store(ring.head.place(), Relaxed);
        }
    }
}
