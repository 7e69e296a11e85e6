// SPDX-License-Identifier: GPL-2.0

//! Mapping a request's data and metadata for DMA, and remembering how to undo it.

use super::{
    mapper::{
        Mapper,
        Segment,
        MAX_SEGMENTS, //
    },
    Status, //
};
use crate::bindings;
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// The part of a request that is mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Its data.
    Data,
    /// The metadata of its data (`blk-integrity`).
    Metadata,
}

impl Payload {
    /// Returns how many segments of it `rq` has.
    ///
    /// # Safety
    ///
    /// `rq` is valid.
    #[inline]
    unsafe fn segments(self, rq: *mut bindings::request) -> u16 {
        // SAFETY: By the contract of this function.
        unsafe {
            match self {
                Self::Data => (*rq).nr_phys_segments,
                Self::Metadata => (*rq).nr_integrity_segments,
            }
        }
    }
}

/// How a request's data, or its metadata, is mapped; lives in the request.
///
/// # Invariants
///
/// Describes what has to be undone of the DMA mapping of that payload of the request that the value
/// lives in.
#[derive(Default)]
pub(crate) struct Mapping {
    kind: Kind,
    state: bindings::dma_iova_state,
}

/// A request's only segment, which was mapped.
pub(crate) struct Single {
    pub(crate) segment: Segment,
    /// Whether it is to be unmapped.
    pub(crate) is_held: bool,
}

/// What must be undone.
#[derive(Default)]
enum Kind {
    /// Nothing: nothing is mapped, or none of it needs unmapping.
    #[default]
    None,
    /// One segment of the host's memory.
    Single(Segment),
    /// Mapped by the iterator, in one IOVA range of this length, which `state` knows.
    Range(bindings::pci_p2pdma_map_type, u32),
    /// Mapped by the iterator; each segment from the first that has to be is to be unmapped by
    /// itself, with these attributes.
    Table(NonNull<Segment>, usize, u32),
}

impl Mapping {
    /// Maps `rq`'s data or metadata for `mapper`'s device and hands the segments to `f`.
    ///
    /// On failure nothing stays mapped. `IOERR` if there is something to unmap already; that stays.
    ///
    /// # Safety
    ///
    /// `rq` is valid, has what is to be mapped and is not started; `self` lives in it, and is
    /// always used with this `mapper`, whose device is bound.
    pub(crate) unsafe fn map<R>(
        &mut self,
        payload: Payload,
        rq: *mut bindings::request,
        mapper: &Mapper,
        f: impl FnOnce(&mut Segments<'_>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        let mut iter = MaybeUninit::uninit();
        // SAFETY: By the contract of this function.
        let segments = unsafe {
            match self.map_single(payload, rq, mapper)? {
                Some(Single { segment, .. }) => Ok(Segments {
                    mapping: self,
                    payload,
                    rq,
                    mapper,
                    singly: None,
                    at_most: 1,
                    next: Some(segment),
                    iter: None,
                    failed: None,
                }),
                None => self.start_iter(payload, rq, mapper, &mut iter),
            }
        };
        let result = segments.and_then(|mut segments| {
            let result = f(&mut segments)?;
            segments.failed.map_or(Ok(result), Err)
        });
        if result.is_err() {
            // SAFETY: By the contract of this function.
            unsafe { self.unmap(rq, mapper) };
        }
        result
    }

    /// Maps `rq`'s data or metadata for `mapper`'s device if it is one segment of the host's memory. If
    /// it is more, or a device's, nothing is mapped, and [`Mapping::map`] is to do it.
    ///
    /// `RESOURCE` if there is no address for it; `IOERR` if there is something to unmap already, which
    /// stays.
    ///
    /// # Safety
    ///
    /// As for [`Mapping::map`].
    #[inline]
    pub(crate) unsafe fn map_single(
        &mut self,
        payload: Payload,
        rq: *mut bindings::request,
        mapper: &Mapper,
    ) -> Result<Option<Single>, Status> {
        const NOT_SUPPORTED: c_int = -(bindings::EOPNOTSUPP as c_int);

        if !matches!(self.kind, Kind::None) {
            return Err(Status::IOERR);
        }
        let (mut addr, mut len) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        let (at, bytes) = (addr.as_mut_ptr(), len.as_mut_ptr());
        let dev = mapper.dev();
        // SAFETY: By the contract of this function.
        let mapped = unsafe {
            match payload {
                _ if payload.segments(rq) != 1 => return Ok(None),
                Payload::Data => bindings::ext_rq_dma_map_bvec(rq, dev, at, bytes),
                Payload::Metadata => bindings::ext_rq_integrity_dma_map_bvec(rq, dev, at, bytes),
            }
        };
        match mapped {
            0.. => {
                // SAFETY: The call has written both.
                let segment = unsafe {
                    Segment {
                        addr: addr.assume_init(),
                        len: len.assume_init(),
                    }
                };
                let is_held = mapper.has_to_unmap(|| mapped != 0);
                if is_held {
                    self.kind = Kind::Single(segment);
                }
                Ok(Some(Single { segment, is_held }))
            }
            NOT_SUPPORTED => Ok(None),
            _ => Err(Status::RESOURCE),
        }
    }

    /// # Safety
    ///
    /// As for [`Mapping::map`].
    unsafe fn start_iter<'a>(
        &'a mut self,
        payload: Payload,
        rq: *mut bindings::request,
        mapper: &'a Mapper,
        iter: &'a mut MaybeUninit<bindings::blk_dma_iter>,
    ) -> Result<Segments<'a>, Status> {
        let dev = mapper.dev();
        let iter = iter.write(bindings::blk_dma_iter::default());
        // SAFETY: By the contract of this function; `state` stays with the request.
        let started = unsafe {
            match payload {
                Payload::Data => {
                    bindings::blk_rq_dma_map_iter_start(rq, dev, &mut self.state, iter)
                }
                Payload::Metadata => bindings::ext_blk_rq_integrity_dma_map_iter_start(
                    rq,
                    dev,
                    &mut self.state,
                    iter,
                ),
            }
        };
        if !started {
            return Err(Status::from_raw(iter.status).unwrap_or(Status::IOERR));
        }
        let first = Segment {
            addr: iter.addr,
            len: iter.len,
        };

        let on_bus = iter.p2pdma.map == bindings::pci_p2pdma_map_type_PCI_P2PDMA_MAP_BUS_ADDR;
        // SAFETY: Unless the addresses are the bus's, `state` was set by the start above.
        let coalesced = !on_bus && unsafe { bindings::ext_dma_use_iova(&mut self.state) };
        let singly = (!coalesced && !on_bus).then_some(match iter.p2pdma.map {
            // As the iterator maps memory that is reached through the host bridge.
            bindings::pci_p2pdma_map_type_PCI_P2PDMA_MAP_THRU_HOST_BRIDGE => {
                bindings::DMA_ATTR_MMIO
            }
            _ => 0,
        });
        if coalesced {
            self.kind = Kind::Range(iter.p2pdma.map, first.len);
        }
        // SAFETY: By the contract of this function; `first` has just been mapped.
        unsafe { self.remember(first, rq, mapper, singly)? };
        Ok(Segments {
            mapping: self,
            payload,
            rq,
            mapper,
            singly,
            at_most: if coalesced {
                1
            } else {
                // SAFETY: By the contract of this function.
                unsafe { payload.segments(rq) }
            },
            next: Some(first),
            iter: (!coalesced).then_some(iter),
            failed: None,
        })
    }

    /// Notes that `segment` is mapped, if segments are mapped `singly`, one by one, with these
    /// attributes. Unmaps it if there is no place to note it: `RESOURCE`, or `IOERR` if there are
    /// more than there can be.
    ///
    /// # Safety
    ///
    /// As for [`Mapping::map`], and `segment` has been mapped as the last one.
    #[inline]
    unsafe fn remember(
        &mut self,
        segment: Segment,
        rq: *mut bindings::request,
        mapper: &Mapper,
        singly: Option<u32>,
    ) -> Result<(), Status> {
        let Some(attrs) = singly else { return Ok(()) };
        let noted = self.note(segment, mapper, attrs);
        if noted.is_err() {
            // SAFETY: By the contract of this function; nobody else will.
            unsafe { unmap_segment(rq, mapper, segment, attrs) };
        }
        noted
    }

    /// Notes that `segment` was mapped as the last one; it may be the first that has a bounce buffer.
    #[inline]
    fn note(&mut self, segment: Segment, mapper: &Mapper, attrs: u32) -> Result<(), Status> {
        if let Kind::None = self.kind {
            if !mapper.has_to_unmap(|| mapper.may_bounce()) {
                return Ok(());
            }
            let table = mapper.alloc().ok_or(Status::RESOURCE)?;
            // Segments before this one have no bounce buffer: they need no unmapping.
            self.kind = Kind::Table(table, 0, attrs);
        }
        if let Kind::Table(table, count, _) = &mut self.kind {
            if *count == MAX_SEGMENTS {
                // More segments than the queue limits allow; the block layer does not do this.
                return Err(Status::IOERR);
            }
            // SAFETY: The table has room for `MAX_SEGMENTS`.
            unsafe { table.add(*count).write(segment) };
            *count = count.wrapping_add(1);
        }
        Ok(())
    }

    /// Unmaps what there is to unmap, if anything.
    ///
    /// # Safety
    ///
    /// As for [`Mapping::map`], but for the state of `rq`: the device is done with it.
    pub(crate) unsafe fn unmap(&mut self, rq: *mut bindings::request, mapper: &Mapper) {
        match core::mem::take(&mut self.kind) {
            Kind::None => {}
            Kind::Single(segment) => {
                // SAFETY: The segment was mapped for this request and device.
                unsafe { unmap_segment(rq, mapper, segment, 0) };
            }
            Kind::Range(map, len) => {
                let dev = mapper.dev();
                // SAFETY: The range was mapped for this request and device by `start_iter`.
                unsafe {
                    bindings::ext_blk_rq_dma_unmap(rq, dev, &mut self.state, len as usize, map)
                };
            }
            Kind::Table(table, count, attrs) => {
                for i in 0..count {
                    // SAFETY: `note` filled the first `count` entries with segments that were
                    // mapped for this request and device.
                    unsafe { unmap_segment(rq, mapper, table.add(i).read(), attrs) };
                }
                // SAFETY: `note` took it from the same mapper, by the contract of `map`.
                unsafe { mapper.free(table) };
            }
        }
    }
}

/// The segments of a request's data or metadata, in order; each is mapped when it is asked for.
///
/// # Invariants
///
/// `mapping` lives in the request `rq`, which is valid and not started; `mapper`'s device is bound.
/// `iter`, if any, was started for `payload` of `rq` with `mapping`'s state.
///
/// # Examples
///
/// ```
/// # use kernel_ext::block::mq::{Segment, Segments, Status};
/// /// What the device reads of a segment.
/// #[derive(Clone, Copy)]
/// struct Descriptor {
///     addr: u64,
///     len: u32,
/// }
///
/// /// Writes what the device is to read of a request's data, and returns how many descriptors
/// /// that takes. Each segment is mapped when it is asked for.
/// fn describe(segments: &mut Segments<'_>, list: &mut [Descriptor]) -> Result<usize, Status> {
///     // An error has those unmapped that are mapped already.
///     if segments.at_most() > list.len() {
///         return Err(Status::RESOURCE);
///     }
///     let mut used = 0;
///     for (descriptor, Segment { addr, len }) in list.iter_mut().zip(segments) {
///         *descriptor = Descriptor { addr, len };
///         used += 1;
///     }
///     Ok(used)
/// }
/// ```
pub struct Segments<'a> {
    mapping: &'a mut Mapping,
    payload: Payload,
    rq: *mut bindings::request,
    mapper: &'a Mapper,
    /// With which attributes segments are mapped, if each is by itself.
    singly: Option<u32>,
    at_most: u16,
    /// Mapped, but not returned yet.
    next: Option<Segment>,
    /// Maps the next ones, if there may be any.
    iter: Option<&'a mut bindings::blk_dma_iter>,
    /// Why there are no more, if that is a failure.
    failed: Option<Status>,
}

impl Segments<'_> {
    /// Returns the upper limit of segments, including those that were returned already.
    #[inline]
    pub fn at_most(&self) -> usize {
        self.at_most.into()
    }

    /// Maps the next segment.
    fn advance(&mut self) -> Option<Segment> {
        let iter = self.iter.as_deref_mut()?;
        let dev = self.mapper.dev();
        // SAFETY: By the type invariants.
        let found = unsafe {
            match self.payload {
                Payload::Data => bindings::blk_rq_dma_map_iter_next(self.rq, dev, iter),
                Payload::Metadata => {
                    bindings::ext_blk_rq_integrity_dma_map_iter_next(self.rq, dev, iter)
                }
            }
        };
        if !found {
            self.failed = Status::from_raw(iter.status);
            self.iter = None;
            return None;
        }
        let segment = Segment {
            addr: iter.addr,
            len: iter.len,
        };
        // SAFETY: By the type invariants; it has just been mapped.
        let noted = unsafe {
            self.mapping
                .remember(segment, self.rq, self.mapper, self.singly)
        };
        if let Err(status) = noted {
            self.failed = Some(status);
            self.iter = None;
            return None;
        }
        Some(segment)
    }
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    #[inline]
    fn next(&mut self) -> Option<Segment> {
        match self.next.take() {
            None => self.advance(),
            first => first,
        }
    }
}

/// Unmaps one segment.
///
/// # Safety
///
/// `segment` is mapped for `rq`, which is valid, and `mapper`'s device, with `attrs`.
#[inline]
unsafe fn unmap_segment(rq: *mut bindings::request, mapper: &Mapper, segment: Segment, attrs: u32) {
    // SAFETY: By the contract of this function.
    unsafe {
        bindings::dma_unmap_phys(
            mapper.dev(),
            segment.addr,
            segment.len as usize,
            direction(rq),
            attrs as c_ulong,
        )
    };
}

/// Returns the direction of `rq`'s data.
///
/// # Safety
///
/// `rq` is valid.
#[inline]
unsafe fn direction(rq: *mut bindings::request) -> bindings::dma_data_direction {
    // Operations with data for the device have odd numbers (`enum req_op`).
    // SAFETY: By the contract of this function.
    if unsafe { (*rq).cmd_flags } & 1 != 0 {
        bindings::dma_data_direction::DMA_TO_DEVICE
    } else {
        bindings::dma_data_direction::DMA_FROM_DEVICE
    }
}
