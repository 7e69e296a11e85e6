// SPDX-License-Identifier: GPL-2.0

//! Mapping a request's data and metadata for DMA, and remembering how to undo it.

use crate::bindings;
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    dma::DmaAddress,
    prelude::*,
    sync::Arc, //
};

use super::Status;

/// A piece of a request's data, contiguous for the device.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Where the device finds it.
    pub addr: DmaAddress,
    /// Length in bytes; above zero.
    pub len: u32,
}

/// How many segments a request may have where each must be unmapped by itself; their table takes a
/// page.
pub const MAX_SEGMENTS: usize = 256;

/// A reserve of segment tables, so that one request can always be mapped.
///
/// Only devices behind an IOMMU without merging, or behind bounce buffers, need a table; others
/// have nothing to remember of a mapping.
pub(crate) struct SegmentPool {
    pool: NonNull<bindings::mempool_t>,
}

// SAFETY: The C pool has its own lock.
unsafe impl Send for SegmentPool {}
// SAFETY: As above.
unsafe impl Sync for SegmentPool {}

/// The segments of a mapped request.
type Table = [Segment; MAX_SEGMENTS];

impl SegmentPool {
    /// Creates the pool with one table in reserve.
    pub(crate) fn new() -> Result<Arc<Self>> {
        // SAFETY: The pool's element functions are the kernel's own for plain memory of the size
        // that they get as their data.
        let pool = unsafe {
            bindings::mempool_create_node_noprof(
                1,
                Some(bindings::mempool_kmalloc),
                Some(bindings::mempool_kfree),
                size_of::<Table>() as *mut c_void,
                bindings::GFP_KERNEL,
                bindings::NUMA_NO_NODE,
            )
        };
        let pool = Self {
            pool: NonNull::new(pool).ok_or(ENOMEM)?,
        };
        Ok(Arc::new(pool, GFP_KERNEL)?)
    }

    fn alloc(&self) -> Option<NonNull<Segment>> {
        // SAFETY: The pool lives while `self` is borrowed.
        let table =
            unsafe { bindings::mempool_alloc_noprof(self.pool.as_ptr(), bindings::GFP_ATOMIC) };
        NonNull::new(table.cast())
    }

    /// # Safety
    ///
    /// `table` is of this pool and not used any more.
    unsafe fn free(&self, table: NonNull<Segment>) {
        // SAFETY: By the contract of this function.
        unsafe { bindings::mempool_free(table.as_ptr().cast(), self.pool.as_ptr()) };
    }
}

impl Drop for SegmentPool {
    fn drop(&mut self) {
        // SAFETY: Nobody uses the pool any more.
        unsafe { bindings::mempool_destroy(self.pool.as_ptr()) };
    }
}

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
/// Describes the DMA mapping that exists of that payload of the request that the value lives in,
/// if any.
#[derive(Default)]
pub(crate) struct Mapping {
    kind: Kind,
    state: bindings::dma_iova_state,
    len: usize,
}

/// What must be undone.
#[derive(Default)]
enum Kind {
    /// Nothing is mapped.
    #[default]
    None,
    /// One segment of the host's memory.
    Single(Segment),
    /// Mapped by the iterator, nothing remembered: either coalesced in an IOVA range, which
    /// `state` knows, or the device needs no unmapping.
    Range(bindings::pci_p2pdma_map_type),
    /// Mapped by the iterator; each segment from the first that has to be is to be unmapped by
    /// itself, with these attributes.
    Table(NonNull<Segment>, usize, u32),
}

impl Mapping {
    /// Maps `rq`'s data or metadata for `dev` and hands the segments to `f`.
    ///
    /// On failure nothing stays mapped. `IOERR` if something is mapped already; that stays.
    ///
    /// # Safety
    ///
    /// `rq` is valid, has what is to be mapped and is not started; `self` lives in it. `dev` is
    /// valid and bound.
    pub(crate) unsafe fn map<R>(
        &mut self,
        payload: Payload,
        rq: *mut bindings::request,
        dev: *mut bindings::device,
        pool: &SegmentPool,
        f: impl FnOnce(&mut Segments<'_>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        let mut iter = MaybeUninit::uninit();
        // SAFETY: By the contract of this function.
        let segments = unsafe {
            match self.map_single(payload, rq, dev)? {
                Some(segment) => Ok(Segments {
                    mapping: self,
                    payload,
                    rq,
                    dev,
                    pool,
                    singly: None,
                    at_most: 1,
                    next: Some(segment),
                    iter: None,
                    failed: None,
                }),
                None => self.start_iter(payload, rq, dev, pool, &mut iter),
            }
        };
        let result = segments.and_then(|mut segments| {
            let result = f(&mut segments)?;
            segments.failed.map_or(Ok(result), Err)
        });
        if result.is_err() {
            // SAFETY: By the contract of this function.
            unsafe { self.unmap(rq, dev, pool) };
        }
        result
    }

    /// Maps `rq`'s data or metadata for `dev` if it is one segment of the host's memory. If it is
    /// more, or a PCI device's, nothing is mapped, and [`Mapping::map`] is to do it.
    ///
    /// `RESOURCE` if there is no address for it; `IOERR` if something is mapped already, which
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
        dev: *mut bindings::device,
    ) -> Result<Option<Segment>, Status> {
        const NOT_SUPPORTED: c_int = -(bindings::EOPNOTSUPP as c_int);

        if !matches!(self.kind, Kind::None) {
            return Err(Status::IOERR);
        }
        let (mut addr, mut len) = (0, 0);
        // SAFETY: By the contract of this function.
        let error = unsafe {
            match payload {
                _ if payload.segments(rq) != 1 => NOT_SUPPORTED,
                Payload::Data => bindings::ext_rq_dma_map_bvec(rq, dev, &mut addr, &mut len),
                Payload::Metadata => {
                    bindings::ext_rq_integrity_dma_map_bvec(rq, dev, &mut addr, &mut len)
                }
            }
        };
        match error {
            0 => {
                let segment = Segment { addr, len };
                self.kind = Kind::Single(segment);
                Ok(Some(segment))
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
        dev: *mut bindings::device,
        pool: &'a SegmentPool,
        iter: &'a mut MaybeUninit<bindings::blk_dma_iter>,
    ) -> Result<Segments<'a>, Status> {
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
        self.len = 0;
        self.kind = Kind::Range(iter.p2pdma.map);
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
        // SAFETY: `dev` is valid; `first` has just been mapped.
        if let Err(status) = unsafe { self.remember(first, rq, dev, pool, singly) } {
            self.kind = Kind::None;
            return Err(status);
        }
        Ok(Segments {
            mapping: self,
            payload,
            rq,
            dev,
            pool,
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

    /// Notes that `segment` is mapped, `singly` if segments are mapped one by one, and with which
    /// attributes. Unmaps it if there is no place to note it: `RESOURCE`, or `IOERR` if there are
    /// more than there can be.
    ///
    /// # Safety
    ///
    /// `rq` and `dev` are valid, and `segment` has been mapped for them as the last one.
    #[inline]
    unsafe fn remember(
        &mut self,
        segment: Segment,
        rq: *mut bindings::request,
        dev: *mut bindings::device,
        pool: &SegmentPool,
        singly: Option<u32>,
    ) -> Result<(), Status> {
        let noted = self.note(segment, pool, singly, || {
            // SAFETY: By the contract of this function.
            unsafe { bindings::ext_dma_need_unmap(dev) }
        });
        if let (Err(_), Some(attrs)) = (noted, singly) {
            // SAFETY: By the contract of this function; nobody else will.
            unsafe { unmap_segment(rq, dev, segment, attrs) };
        }
        noted
    }

    /// Notes that `segment` is mapped. `need_unmap` tells whether one of those mapped so far may
    /// have to be unmapped; it may be the first that has a bounce buffer.
    #[inline]
    fn note(
        &mut self,
        segment: Segment,
        pool: &SegmentPool,
        singly: Option<u32>,
        need_unmap: impl FnOnce() -> bool,
    ) -> Result<(), Status> {
        if let (Kind::Range(_), Some(attrs)) = (&self.kind, singly) {
            if need_unmap() {
                let table = pool.alloc().ok_or(Status::RESOURCE)?;
                // Segments before this one have no bounce buffer: they need no unmapping.
                self.kind = Kind::Table(table, 0, attrs);
            }
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
        self.len = self.len.wrapping_add(segment.len as usize);
        Ok(())
    }

    /// Unmaps what is mapped, if anything.
    ///
    /// # Safety
    ///
    /// As for [`Mapping::map`], but for the state of `rq`: the device is done with it.
    #[inline]
    pub(crate) unsafe fn unmap(
        &mut self,
        rq: *mut bindings::request,
        dev: *mut bindings::device,
        pool: &SegmentPool,
    ) {
        if let Kind::Single(segment) = self.kind {
            self.kind = Kind::None;
            // SAFETY: The segment was mapped for this request and device.
            unsafe { unmap_segment(rq, dev, segment, 0) };
        } else {
            // SAFETY: By the contract of this function.
            unsafe { self.unmap_many(rq, dev, pool) };
        }
    }

    /// Unmaps what is mapped, unless that is a single segment. Not inlined, so that a single
    /// segment takes few instructions.
    ///
    /// # Safety
    ///
    /// As for [`Mapping::unmap`].
    #[inline(never)]
    unsafe fn unmap_many(
        &mut self,
        rq: *mut bindings::request,
        dev: *mut bindings::device,
        pool: &SegmentPool,
    ) {
        match core::mem::take(&mut self.kind) {
            // Nothing is mapped, or `unmap` has seen to it.
            Kind::None | Kind::Single(_) => {}
            Kind::Range(map) => {
                // SAFETY: The range was mapped for this request and device by `map_iter`; by its
                // choice of `kind` there are no segments to unmap one by one.
                unsafe { bindings::ext_blk_rq_dma_unmap(rq, dev, &mut self.state, self.len, map) };
            }
            Kind::Table(table, count, attrs) => {
                for i in 0..count {
                    // SAFETY: `map_iter` filled the first `count` entries with segments that it
                    // mapped for this request and device.
                    unsafe { unmap_segment(rq, dev, table.add(i).read(), attrs) };
                }
                // SAFETY: `map_iter` took it from the same pool, by the contract of `map`.
                unsafe { pool.free(table) };
            }
        }
    }
}

/// The segments of a request's data or metadata, in order; each is mapped when it is asked for.
///
/// # Invariants
///
/// `mapping` lives in the request `rq`, which is valid and not started; `dev` is valid and bound.
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
    dev: *mut bindings::device,
    pool: &'a SegmentPool,
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
        // SAFETY: By the type invariants.
        let found = unsafe {
            match self.payload {
                Payload::Data => bindings::blk_rq_dma_map_iter_next(self.rq, self.dev, iter),
                Payload::Metadata => {
                    bindings::ext_blk_rq_integrity_dma_map_iter_next(self.rq, self.dev, iter)
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
                .remember(segment, self.rq, self.dev, self.pool, self.singly)
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
/// `segment` is mapped for `rq` and `dev`, both valid, with `attrs`.
#[inline]
unsafe fn unmap_segment(
    rq: *mut bindings::request,
    dev: *mut bindings::device,
    segment: Segment,
    attrs: u32,
) {
    // SAFETY: By the contract of this function.
    unsafe {
        bindings::dma_unmap_phys(
            dev,
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
