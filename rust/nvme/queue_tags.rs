// SPDX-License-Identifier: GPL-2.0

//! From a completion queue entry to the request that it completes.

use super::{
    request::Pdu,
    Batch,
    Completion,
    Controller,
    TracedTail,
    Transport, //
};
use crate::{
    bindings,
    sync::rcu::Reader, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// The right to complete the requests of one queue; there is one for each queue.
///
/// Whoever owns the completion queue owns this.
pub(super) struct QueueTags<T: Transport> {
    ctrl: ARef<Controller<T>>,
    qid: u16,
    tail: TracedTail,
}

impl<T: Transport> QueueTags<T> {
    /// Takes the tags of queue `qid`: `EBUSY` if somebody has them, `EINVAL` if there is no such
    /// queue.
    pub(super) fn take(ctrl: &Controller<T>, qid: u16) -> Result<Self> {
        let tail = TracedTail::new()?;
        ctrl.tags.take(usize::from(qid))?;
        Ok(Self {
            ctrl: ctrl.into(),
            qid,
            tail,
        })
    }

    /// The controller that the queue is of.
    pub(super) fn controller(&self) -> &Controller<T> {
        &self.ctrl
    }

    /// The number of the queue.
    pub(super) fn qid(&self) -> u16 {
        self.qid
    }

    /// The tail of the queue, which is to be noted for each command.
    pub(super) fn tail(&self) -> &TracedTail {
        &self.tail
    }

    /// The request that `cqe` is for. `ENOENT` if no command with this identifier is under way in
    /// this queue.
    #[inline]
    fn find(&self, cqe: &Completion, rcu: Reader<'_>) -> Result<*mut bindings::request> {
        let rq = self.ctrl.tags.find(usize::from(self.qid), cqe, rcu)?;
        // SAFETY: The request is of this controller, so it has a `Pdu<T>`.
        if !unsafe { Pdu::<T>::has_sent(rq, cqe.id()) } {
            return Err(ENOENT);
        }
        // The request is in flight, and ours until it is completed: only the owner of `self` does
        // that, as cancelling first hides the tags.
        Ok(rq)
    }

    /// The opcode of the command that `cqe` is for, if it came from user space and is under way in
    /// this queue.
    pub(super) fn user_opcode(&self, cqe: &Completion, rcu: Reader<'_>) -> Option<u8> {
        let rq = self.find(cqe, rcu).ok()?;
        // SAFETY: As in `find`, the request has a `Pdu<T>` that is ours.
        unsafe {
            let flags = (*Pdu::<T>::nvme_request(rq)).flags;
            let is_users = u32::from(flags) & bindings::NVME_REQ_USERCMD != 0;
            is_users.then(|| Pdu::<T>::opcode(rq))
        }
    }

    /// Completes the request that `cqe` is for: by itself, or with the requests of `batch`.
    ///
    /// `ENOENT` if no command with this identifier is under way in this queue. Who makes `cqe` up
    /// completes a request that the device is still writing to.
    #[inline]
    pub(super) fn complete(
        &self,
        cqe: &Completion,
        batch: &mut Batch<'_, T>,
        rcu: Reader<'_>,
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
            batch.add(rq, failed);
        }
        Ok(())
    }
}

impl<T: Transport> Drop for QueueTags<T> {
    fn drop(&mut self) {
        self.ctrl.tags.give(usize::from(self.qid));
    }
}
