// SPDX-License-Identifier: GPL-2.0

//! From a completion queue entry to the request that it completes.

use super::{
    request::Pdu,
    tag_table::Requests,
    Batch,
    CommandId,
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

    /// The requests of the queue that may be under way, for as long as the RCU read-side section
    /// lasts.
    #[inline]
    pub(super) fn requests<'rcu>(&self, rcu: Reader<'rcu>) -> Requests<'rcu> {
        self.ctrl.tags.requests(usize::from(self.qid), rcu)
    }

    /// The one of `requests` that `id` names. `None` if no command with this identifier is under way
    /// in this queue.
    #[inline]
    fn find(&self, requests: Requests<'_>, id: CommandId) -> Option<*mut bindings::request> {
        let rq = requests.find(id)?;
        // The request is in flight, and if its command was sent it is ours until it is completed:
        // only the owner of `self` does that, as cancelling first hides the tags.
        // SAFETY: The request is of this controller, so it has a `Pdu<T>`.
        unsafe { Pdu::<T>::has_sent(rq, id) }.then_some(rq)
    }

    /// The opcode of command `id`, if it came from user space and is under way in this queue.
    pub(super) fn user_opcode(&self, requests: Requests<'_>, id: CommandId) -> Option<u8> {
        let rq = self.find(requests, id)?;
        // SAFETY: As in `find`, the request has a `Pdu<T>` that is ours.
        unsafe {
            let flags = (*Pdu::<T>::nvme_request(rq)).flags;
            let is_users = u32::from(flags) & bindings::NVME_REQ_USERCMD != 0;
            is_users.then(|| Pdu::<T>::opcode(rq))
        }
    }

    /// Completes the one of `requests` that `answer` is for: by itself, or with those of `batch`.
    /// `sq_head` tells how far the controller has fetched, if that is wanted.
    ///
    /// Returns `false` if no such command is under way in this queue. Who makes `answer` up completes
    /// a request that the device is still writing to.
    #[inline(always)]
    pub(super) fn complete(
        &self,
        requests: Requests<'_>,
        answer: Answer,
        sq_head: impl FnOnce() -> u16,
        batch: &mut Batch<'_, T>,
    ) -> bool {
        let Some(rq) = self.find(requests, answer.id) else {
            return false;
        };
        // SAFETY: As in `find`, the request is in flight and ours, and the device is done with it, as
        // far as the device can be believed.
        unsafe {
            self.tail.trace(rq, sq_head);
            if bindings::ext_nvme_try_complete_req(rq, answer.status, answer.result) {
                // The CPU that submitted it completes it.
                return true;
            }
            let failed = (*Pdu::<T>::nvme_request(rq)).status != 0;
            batch.add(rq, failed);
        }
        true
    }
}

/// What the controller says of a command.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) id: CommandId,
    /// Status in bits 15:1, phase tag in bit 0.
    pub(super) status: u16,
    /// Command specific result.
    pub(super) result: u64,
}

#[cfg(NVME_RS_FAULTS)]
impl Answer {
    /// What `cqe` says.
    pub(super) fn of(cqe: &super::Completion) -> Self {
        Self {
            id: cqe.id(),
            status: u16::from_le(cqe.status),
            result: u64::from_le(cqe.result),
        }
    }
}

impl<T: Transport> Drop for QueueTags<T> {
    fn drop(&mut self) {
        self.ctrl.tags.give(usize::from(self.qid));
    }
}
