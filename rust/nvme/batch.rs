// SPDX-License-Identifier: GPL-2.0

//! Requests that the block layer hands over many at a time, sent with one doorbell for each queue.

use super::{
    request::Pdu,
    Command,
    Request,
    State,
    Transport, //
};
use crate::{
    bindings,
    block::mq::RequestList, //
};
use core::marker::PhantomData;

/// The commands of started requests, each to be put in the submission queue.
///
/// # Invariants
///
/// `requests` holds requests of transport `T`, started, and not sent yet.
pub struct Commands<'a, T: Transport> {
    requests: &'a mut RequestList,
    _t: PhantomData<T>,
}

impl<T: Transport> Commands<'_, T> {
    /// Has `put` put each command in the submission queue, in order. The doorbell is not rung for a
    /// command before `put` has returned.
    #[inline]
    pub fn send(self, mut put: impl FnMut(&Command)) {
        while let Some(rq) = self.requests.pop() {
            // SAFETY: By the type invariants. Nobody completes, and so changes, the request until it
            // is sent, not even for a device that makes a completion up; and cancelling waits until
            // the block layer's call is over.
            unsafe { Pdu::<T>::send(rq, &mut put) };
        }
    }
}

/// Sends the requests in `list`, in order. Those that cannot be sent are in it afterwards.
///
/// # Safety
///
/// `list` holds requests of transport `T`, of one request queue, that are handed over.
pub(super) unsafe fn queue_rqs<T: Transport>(list: &mut bindings::rq_list) {
    // SAFETY: By the contract of this function.
    let mut new = unsafe { RequestList::take(list) };
    let mut refused = RequestList::new();

    while let Some(first) = new.first() {
        // SAFETY: By the contract of this function: `first` is queued.
        let (ctrl, queue, hctx) = unsafe {
            let queue = Pdu::<T>::queue(first);
            (Pdu::<T>::controller(first), queue, (*first).mq_hctx)
        };
        // SAFETY: By the contract of this function.
        let alike = |rq: *mut bindings::request| unsafe { (*rq).mq_hctx == hctx };
        // Asked once for all that follow each other in a queue: whoever stops the controller waits until
        // this call is over.
        if ctrl.state() != State::Live || !T::is_enabled(queue) {
            // `queue_rq` says why.
            new.take_run(alike, |_| false, &mut refused);
            continue;
        }
        let mut started = new.take_run(
            alike,
            |rq| {
                // SAFETY: By the contract of this function; `ctrl` is the controller of all requests
                // in the queue.
                let request = unsafe { Request::new(rq, ctrl) };
                T::prepare(ctrl, queue, request).is_ok()
            },
            &mut refused,
        );
        if !started.is_empty() {
            // INVARIANT: These are requests that were started.
            T::submit(
                queue,
                Commands {
                    requests: &mut started,
                    _t: PhantomData,
                },
            );
            if !started.is_empty() {
                fail::<T>(started);
            }
        }
    }
    *list = refused.into_raw();
}

/// Fails the requests in `started`, which the transport has not taken.
#[cold]
fn fail<T: Transport>(mut started: RequestList) {
    while let Some(rq) = started.pop() {
        // SAFETY: `queue_rqs` has put started requests of transport `T` into this list, which were
        // not sent.
        unsafe {
            Pdu::<T>::release(rq);
            bindings::nvme_host_path_error(rq);
        }
    }
}
