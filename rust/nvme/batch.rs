// SPDX-License-Identifier: GPL-2.0

//! Requests that the block layer hands over many at a time, sent with one doorbell for each queue.

use super::{
    request::Pdu,
    Command,
    Request,
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

impl<T: Transport> Iterator for Commands<'_, T> {
    type Item = Command;

    #[inline]
    fn next(&mut self) -> Option<Command> {
        let rq = self.requests.pop()?;
        // SAFETY: By the type invariants. Nobody completes, and so changes, the request until its
        // command is taken, not even for a device that makes a completion up; and cancelling waits
        // until the block layer's call is over.
        Some(unsafe { Pdu::<T>::take_command(rq) })
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
    let mut started = RequestList::new();
    let mut queue = None;

    while let Some(rq) = new.pop() {
        // SAFETY: By the contract of this function; `init_hctx` set `driver_data`.
        let (ctrl, of_rq) = unsafe {
            let queue = &*(*(*rq).mq_hctx).driver_data.cast::<T::Queue>();
            (Pdu::<T>::controller(rq), queue)
        };
        match queue.replace(of_rq) {
            Some(previous) if !core::ptr::eq(previous, of_rq) => {
                send::<T>(previous, &mut started);
            }
            _ => {}
        }
        // SAFETY: By the contract of this function.
        let request = unsafe { Request::new(rq, ctrl) };
        let to = match T::prepare(ctrl, of_rq, request) {
            Ok(_) => &mut started,
            Err(_) => &mut refused,
        };
        // SAFETY: The request is valid, and in no list.
        unsafe { to.push(rq) };
    }
    if let Some(queue) = queue {
        send::<T>(queue, &mut started);
    }
    *list = refused.into_raw();
}

/// Sends the requests in `started`, if there are any.
#[inline]
fn send<T: Transport>(queue: &T::Queue, started: &mut RequestList) {
    if !started.is_empty() {
        // INVARIANT: `queue_rqs` puts nothing else into this list.
        T::submit(
            queue,
            Commands {
                requests: started,
                _t: PhantomData,
            },
        );
        if !started.is_empty() {
            fail::<T>(started);
        }
    }
}

/// Fails the requests in `started`, which the transport has not taken.
#[cold]
fn fail<T: Transport>(started: &mut RequestList) {
    while let Some(rq) = started.pop() {
        // SAFETY: `queue_rqs` has put started requests of transport `T` into this list, which were
        // not sent.
        unsafe {
            Pdu::<T>::release(rq);
            bindings::nvme_host_path_error(rq);
        }
    }
}
