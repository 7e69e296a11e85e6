// SPDX-License-Identifier: GPL-2.0

//! What a request holds until the device is done with it.

#[cfg(NVME_RS_FAULTS)]
use super::{
    super::FaultData,
    has_metadata, //
};
use super::{
    super::{
        Controller,
        Transport, //
    },
    Pdu, //
};
use crate::{
    bindings,
    block::mq::{
        Mapping,
        Payload,
        Segment,
        Segments,
        Single,
        Status, //
    }, //
};

/// The mappings of a request's data and metadata, and the transport's own data of it.
pub(super) struct Held<T: Transport> {
    data: T::RequestData,
    mapping: Mapping,
    metadata: Mapping,
}

impl<T: Transport> Held<T> {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self {
            data: T::RequestData::default(),
            mapping: Mapping::default(),
            metadata: Mapping::default(),
        }
    }
}

impl<T: Transport> Pdu<T> {
    /// The transport's data of `rq`.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`]; the caller owns the request.
    #[inline]
    pub(super) unsafe fn data<'a>(rq: *mut bindings::request) -> &'a mut T::RequestData {
        // SAFETY: By the contract of this function.
        unsafe {
            let pdu = Self::of(rq);
            // INVARIANT: Set before the caller puts something in.
            (*pdu).holds = true;
            &mut (*pdu).held.data
        }
    }

    /// Maps the data of `rq`, see [`Mapping::map_single`].
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`] and [`Mapping::map`], with the mapper of `ctrl`, which is the request's.
    #[inline]
    pub(super) unsafe fn map_single(
        rq: *mut bindings::request,
        ctrl: &Controller<T>,
    ) -> Result<Option<Segment>, Status> {
        // SAFETY: By the contract of this function.
        unsafe {
            let pdu = Self::of(rq);
            let mapping = &mut (*pdu).held.mapping;
            let mapped = mapping.map_single(Payload::Data, rq, ctrl.mapper())?;
            let Some(Single { segment, is_held }) = mapped else {
                return Ok(None);
            };
            if is_held {
                // INVARIANT: It has just been mapped.
                (*pdu).holds = true;
            }
            Ok(Some(segment))
        }
    }

    /// Maps `payload` of `rq`, see [`Mapping::map`].
    ///
    /// # Safety
    ///
    /// As for [`Pdu::map_single`].
    pub(super) unsafe fn map<R>(
        payload: Payload,
        rq: *mut bindings::request,
        ctrl: &Controller<T>,
        f: impl FnOnce(&mut T::RequestData, &mut Segments<'_>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        // SAFETY: By the contract of this function.
        unsafe {
            let pdu = Self::of(rq);
            // INVARIANT: Set before something is mapped or put in.
            (*pdu).holds = true;
            let held = &mut (*pdu).held;
            let mapping = match payload {
                Payload::Data => &mut held.mapping,
                Payload::Metadata => &mut held.metadata,
            };
            let data = &mut held.data;
            mapping.map(payload, rq, ctrl.mapper(), |segments| f(data, segments))
        }
    }

    /// Gives back what a request holds that the device is done with.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`]; the caller owns the request: it is completed, or never was started.
    #[inline]
    pub(in crate::nvme) unsafe fn release(rq: *mut bindings::request) {
        // SAFETY: By the contract of this function. A request that holds something, or has data or
        // metadata, was queued.
        unsafe {
            if (*Self::of(rq)).holds {
                Self::release_held(rq);
            }
            #[cfg(NVME_RS_FAULTS)]
            if (*rq).nr_phys_segments != 0 || has_metadata(rq) {
                let command = &(*Self::of(rq)).command;
                T::inject(Self::queue(rq), command, &mut FaultData::new(rq));
            }
        }
    }

    /// As [`Pdu::release`], for a request that may hold something. Not inlined: most hold nothing.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::release`].
    #[inline(never)]
    unsafe fn release_held(rq: *mut bindings::request) {
        // SAFETY: By the contract of this function; what is held was mapped by the same mapper.
        unsafe {
            let pdu = Self::of(rq);
            let mapper = Self::controller(rq).mapper();
            T::release(Self::queue(rq), &mut (*pdu).held.data);
            (*pdu).held.mapping.unmap(rq, mapper);
            (*pdu).held.metadata.unmap(rq, mapper);
            // INVARIANT: Nothing is left.
            (*pdu).holds = false;
        }
    }
}
