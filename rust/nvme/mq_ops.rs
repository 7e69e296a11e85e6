// SPDX-License-Identifier: GPL-2.0

//! The block layer's calls into a transport (`struct blk_mq_ops`).

use super::{
    batch,
    complete,
    request::Pdu,
    Batch,
    CompletionBatch,
    Controller,
    InFlight,
    Request,
    Transport, //
};
use crate::{
    bindings,
    block::mq::{
        Status,
        TimerAction, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    prelude::*,
    sync::Arc, //
};

/// The operations of transport `T`'s queues; `ADMIN` tells the admin queue from I/O queues.
pub(super) struct Operations<T: Transport, const ADMIN: bool>(PhantomData<T>);

impl<T: Transport, const ADMIN: bool> Operations<T, ADMIN> {
    pub(super) const VTABLE: bindings::blk_mq_ops = bindings::blk_mq_ops {
        queue_rq: Some(queue_rq_callback::<T>),
        queue_rqs: if ADMIN {
            None
        } else {
            Some(queue_rqs_callback::<T>)
        },
        commit_rqs: Some(commit_rqs_callback::<T>),
        complete: Some(complete::complete_callback::<T>),
        timeout: Some(timeout_callback::<T>),
        init_hctx: Some(init_hctx_callback::<T, ADMIN>),
        exit_hctx: Some(exit_hctx_callback::<T>),
        init_request: Some(init_request_callback::<T>),
        exit_request: Some(exit_request_callback::<T>),
        map_queues: if ADMIN {
            None
        } else {
            Some(map_queues_callback::<T>)
        },
        poll: if ADMIN {
            None
        } else {
            Some(poll_callback::<T>)
        },
        ..pin_init::zeroed()
    };
}

/// # Safety
///
/// Only called by the block layer: `hctx` is one of transport `T`, `bd` describes a request that
/// is handed over.
unsafe extern "C" fn queue_rq_callback<T: Transport>(
    hctx: *mut bindings::blk_mq_hw_ctx,
    bd: *const bindings::blk_mq_queue_data,
) -> bindings::blk_status_t {
    // SAFETY: By the contract of this function; `init_hctx_callback` set `driver_data`.
    let (ctrl, queue, rq, last) = unsafe {
        let rq = (*bd).rq;
        let ctrl = Pdu::<T>::controller(rq);
        let queue = &*(*hctx).driver_data.cast::<T::Queue>();
        (ctrl, queue, Request::new(rq, ctrl), (*bd).last)
    };
    let answer = T::queue_rq(ctrl, queue, rq, last);
    Status::to_raw(answer.map(drop).map_err(|refused| refused.status()))
}

/// # Safety
///
/// Only called by the block layer: `list` holds requests of transport `T`, all of one request
/// queue, that are handed over.
unsafe extern "C" fn queue_rqs_callback<T: Transport>(list: *mut bindings::rq_list) {
    // SAFETY: By the contract of this function.
    unsafe { batch::queue_rqs::<T>(&mut *list) };
}

/// # Safety
///
/// Only called by the block layer, with a context of transport `T`.
unsafe extern "C" fn commit_rqs_callback<T: Transport>(hctx: *mut bindings::blk_mq_hw_ctx) {
    // SAFETY: By the contract of this function; `init_hctx_callback` set `driver_data`.
    T::commit_rqs(unsafe { &*(*hctx).driver_data.cast::<T::Queue>() });
}

/// # Safety
///
/// Only called by the block layer, with a context of transport `T`, and null or a batch that it
/// completes.
unsafe extern "C" fn poll_callback<T: Transport>(
    hctx: *mut bindings::blk_mq_hw_ctx,
    iob: *mut bindings::io_comp_batch,
) -> c_int {
    // SAFETY: By the contract of this function; `init_hctx_callback` set `driver_data`.
    let (queue, theirs) = unsafe {
        let queue = &*(*hctx).driver_data.cast::<T::Queue>();
        (queue, iob.as_mut().map(|iob| Batch::from_raw(iob)))
    };
    c_int::from(match theirs {
        Some(batch) => T::poll(queue, batch),
        None => poll_alone::<T>(queue),
    })
}

/// Polls for a caller without a batch, which are few.
#[cold]
fn poll_alone<T: Transport>(queue: &T::Queue) -> bool {
    T::poll(queue, CompletionBatch::new().collect())
}

/// # Safety
///
/// Only called by the block layer: `rq` is a started request of transport `T`, referenced by the
/// caller.
unsafe extern "C" fn timeout_callback<T: Transport>(
    rq: *mut bindings::request,
) -> bindings::blk_eh_timer_return {
    // SAFETY: By the contract of this function; a started request has its hardware context.
    let (ctrl, queue, rq) = unsafe {
        let queue = &*(*(*rq).mq_hctx).driver_data.cast::<T::Queue>();
        (Pdu::<T>::controller(rq), queue, InFlight::new(rq))
    };
    let action = rq.map_or(TimerAction::Restart, |rq| T::timeout(ctrl, queue, &rq));
    action.to_raw()
}

/// # Safety
///
/// Only called by the block layer: `data` is the tag set's `driver_data`, a `nvme_ctrl` of
/// transport `T`.
unsafe extern "C" fn init_hctx_callback<T: Transport, const ADMIN: bool>(
    hctx: *mut bindings::blk_mq_hw_ctx,
    data: *mut c_void,
    index: c_uint,
) -> c_int {
    from_result(|| {
        // SAFETY: By the contract of this function.
        let ctrl = unsafe { Controller::<T>::from_raw(data.cast()) };
        let qid = if ADMIN {
            0
        } else {
            u16::try_from(index)?.checked_add(1).ok_or(EINVAL)?
        };
        let queue = T::queue(ctrl, qid).ok_or(EINVAL)?;
        // SAFETY: The context is being set up, nobody else uses it.
        unsafe { (*hctx).driver_data = Arc::into_raw(queue).cast_mut().cast() };
        Ok(0)
    })
}

/// # Safety
///
/// Only called by the block layer, with a context that `init_hctx_callback` set up and that nobody
/// uses any more.
unsafe extern "C" fn exit_hctx_callback<T: Transport>(
    hctx: *mut bindings::blk_mq_hw_ctx,
    _index: c_uint,
) {
    // SAFETY: By the contract of this function.
    unsafe {
        let queue = (*hctx).driver_data.cast::<T::Queue>().cast_const();
        (*hctx).driver_data = core::ptr::null_mut();
        drop(Arc::from_raw(queue));
    }
}

/// # Safety
///
/// Only called by the block layer: `set` is a tag set of transport `T`, `rq` is new.
unsafe extern "C" fn init_request_callback<T: Transport>(
    set: *mut bindings::blk_mq_tag_set,
    rq: *mut bindings::request,
    _index: c_uint,
    _node: c_int,
) -> c_int {
    // SAFETY: By the contract of this function.
    unsafe { Pdu::<T>::init(rq, (*set).driver_data.cast()) };
    0
}

/// # Safety
///
/// Only called by the block layer, with a request that `init_request_callback` set up and that
/// nobody uses any more.
unsafe extern "C" fn exit_request_callback<T: Transport>(
    _set: *mut bindings::blk_mq_tag_set,
    rq: *mut bindings::request,
    _index: c_uint,
) {
    // SAFETY: By the contract of this function.
    unsafe { Pdu::<T>::exit(rq) };
}

/// # Safety
///
/// Only called by the block layer, with a tag set of transport `T`.
unsafe extern "C" fn map_queues_callback<T: Transport>(set: *mut bindings::blk_mq_tag_set) {
    // SAFETY: By the contract of this function.
    let ctrl = unsafe { Controller::<T>::from_raw((*set).driver_data.cast()) };
    let queues = *ctrl.io_queues.lock();
    // SAFETY: By the contract of this function.
    unsafe { queues.map(ctrl.dma_device(), set) };
}
