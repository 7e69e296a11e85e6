// SPDX-License-Identifier: GPL-2.0

//! Completing requests that the controller is done with: one by itself, or many together.

use super::{
    request::Pdu,
    Transport, //
};
use crate::{
    bindings,
    layout, //
};
use core::marker::PhantomData;

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

    /// Completes `rq` with the others in the batch, or by itself where that is not possible: if it
    /// `has_failed`, for example.
    ///
    /// # Safety
    ///
    /// `rq` is a completed request of transport `T`, owned by the caller, who gives it up.
    #[inline]
    pub(super) unsafe fn add(&mut self, rq: *mut bindings::request, has_failed: bool) {
        // SAFETY: By the contract of this function.
        unsafe {
            if !bindings::ext_blk_mq_add_to_batch(
                rq,
                self.iob,
                has_failed,
                Some(complete_batch_callback::<T>),
            ) {
                complete_callback::<T>(rq);
            }
        }
    }
}

/// Requests that are completed together, when the value is dropped.
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// # use kernel_ext::{
/// #     nvme::{CompletionBatch, CompletionRing, Transport},
/// #     sync::rcu::Reader,
/// # };
/// /// Returns how many entries name no command.
/// fn complete_all<T: Transport>(ring: &mut CompletionRing<T>, rcu: Reader<'_>) -> u32 {
///     let mut batch = CompletionBatch::new();
///     let mut unknown = 0;
///     for entry in ring.entries(rcu) {
///         if entry.complete(&mut batch.collect()).is_err() {
///             unknown += 1;
///         }
///     }
///     // What is in the batch is completed here.
///     unknown
/// }
/// ```
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
            unsafe { complete_batch_callback::<T>(&mut self.iob) };
        }
    }
}

/// # Safety
///
/// `rq` is a completed request of transport `T`, owned by the caller.
pub(super) unsafe extern "C" fn complete_callback<T: Transport>(rq: *mut bindings::request) {
    // SAFETY: By the contract of this function.
    unsafe {
        Pdu::<T>::release(rq);
        bindings::nvme_complete_rq(rq);
    }
}

/// # Safety
///
/// `iob` holds completed requests of transport `T`, owned by the caller.
unsafe extern "C" fn complete_batch_callback<T: Transport>(iob: *mut bindings::io_comp_batch) {
    // As nvme_complete_batch() has it, but without a call through a pointer for each request.
    // SAFETY: By the contract of this function; the list is linked through the requests, which
    // stay valid until the batch ends.
    unsafe {
        let mut rq = (*iob).req_list.head;
        while !rq.is_null() {
            Pdu::<T>::release(rq);
            bindings::nvme_complete_batch_req(rq);
            rq = *layout::rq_next(rq);
        }
        bindings::blk_mq_end_request_batch(iob);
    }
}
