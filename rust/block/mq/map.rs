// SPDX-License-Identifier: GPL-2.0

//! Mapping a request's data for DMA, and remembering how to undo it.

use crate::bindings;
use core::ptr::NonNull;
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

/// How many segments a request may have where each must be unmapped by itself.
pub const MAX_SEGMENTS: usize = 128;

/// A reserve of segment tables, so that a request can always make progress.
///
/// Only devices behind an IOMMU without merging, or behind bounce buffers, need a table; others
/// have nothing to remember of a mapping.
pub struct SegmentPool {
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
    pub fn new() -> Result<Arc<Self>> {
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

/// How a request's data is mapped; lives in the request.
///
/// # Invariants
///
/// Describes the DMA mapping that exists for the request that the value lives in, if any.
#[derive(Default)]
pub(crate) struct DataMapping {
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
    /// One segment, mapped without the iterator.
    Single(Segment),
    /// Mapped by the iterator, nothing remembered: either coalesced in an IOVA range, which
    /// `state` knows, or the device needs no unmapping.
    Range(bindings::pci_p2pdma_map_type),
    /// Mapped by the iterator, each segment to be unmapped by itself.
    Table(NonNull<Segment>, usize),
}

impl DataMapping {
    /// Maps `rq`'s data for `dev` and hands the segments to `each` in order, until it fails.
    ///
    /// On failure nothing stays mapped.
    ///
    /// # Safety
    ///
    /// `rq` is valid, has data and is not started; `self` lives in it and maps nothing yet. `dev`
    /// is valid and bound.
    #[inline]
    pub(crate) unsafe fn map(
        &mut self,
        rq: *mut bindings::request,
        dev: *mut bindings::device,
        pool: &SegmentPool,
        mut each: impl FnMut(Segment) -> Result<(), Status>,
    ) -> Result<(), Status> {
        // SAFETY: `rq` is valid.
        let result = if unsafe { (*rq).nr_phys_segments } == 1 {
            // SAFETY: By the contract of this function.
            unsafe { self.map_single(rq, dev) }.and_then(each)
        } else {
            // SAFETY: By the contract of this function.
            unsafe { self.map_iter(rq, dev, pool, &mut each) }
        };
        if result.is_err() {
            // SAFETY: By the contract of this function.
            unsafe { self.unmap(rq, dev, pool) };
        }
        result
    }

    /// # Safety
    ///
    /// As for [`DataMapping::map`], and `rq` has one segment, of ordinary memory.
    #[inline]
    unsafe fn map_single(
        &mut self,
        rq: *mut bindings::request,
        dev: *mut bindings::device,
    ) -> Result<Segment, Status> {
        let mut len = 0;
        // SAFETY: By the contract of this function.
        let addr = unsafe { bindings::ext_rq_dma_map_bvec(rq, dev, &mut len) };
        // SAFETY: `dev` is valid.
        if unsafe { bindings::ext_dma_mapping_error(dev, addr) } {
            return Err(Status::RESOURCE);
        }
        let segment = Segment { addr, len };
        self.kind = Kind::Single(segment);
        Ok(segment)
    }

    /// # Safety
    ///
    /// As for [`DataMapping::map`].
    unsafe fn map_iter(
        &mut self,
        rq: *mut bindings::request,
        dev: *mut bindings::device,
        pool: &SegmentPool,
        each: &mut impl FnMut(Segment) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let mut iter = bindings::blk_dma_iter::default();
        // SAFETY: By the contract of this function; `state` stays with the request.
        if !unsafe { bindings::blk_rq_dma_map_iter_start(rq, dev, &mut self.state, &mut iter) } {
            return Err(Status::from_raw(iter.status).unwrap_or(Status::IOERR));
        }
        self.len = 0;
        self.kind = Kind::Range(iter.p2pdma.map);

        // SAFETY: `state` was set by the start above, `dev` is valid.
        let by_segment = unsafe {
            !bindings::ext_dma_use_iova(&mut self.state) && bindings::ext_dma_need_unmap(dev)
        } && iter.p2pdma.map
            != bindings::pci_p2pdma_map_type_PCI_P2PDMA_MAP_BUS_ADDR;
        if by_segment {
            let Some(table) = pool.alloc() else {
                let segment = Segment {
                    addr: iter.addr,
                    len: iter.len,
                };
                self.kind = Kind::Single(segment);
                return Err(Status::RESOURCE);
            };
            self.kind = Kind::Table(table, 0);
        }

        loop {
            let segment = Segment {
                addr: iter.addr,
                len: iter.len,
            };
            self.remember(segment)?;
            each(segment)?;
            // SAFETY: As for the start; the iterator was started on the same request.
            if !unsafe { bindings::blk_rq_dma_map_iter_next(rq, dev, &mut iter) } {
                break;
            }
        }
        match Status::from_raw(iter.status) {
            Some(status) => Err(status),
            None => Ok(()),
        }
    }

    /// Notes that `segment` is mapped.
    #[inline]
    fn remember(&mut self, segment: Segment) -> Result<(), Status> {
        self.len = self.len.wrapping_add(segment.len as usize);
        if let Kind::Table(table, count) = &mut self.kind {
            if *count == MAX_SEGMENTS {
                // More segments than the queue limits allow: the one at hand stays mapped, as
                // there is no place to note it. The block layer does not do this.
                return Err(Status::IOERR);
            }
            // SAFETY: The table has room for `MAX_SEGMENTS`.
            unsafe { table.add(*count).write(segment) };
            *count = count.wrapping_add(1);
        }
        Ok(())
    }

    /// Unmaps what is mapped, if anything.
    ///
    /// # Safety
    ///
    /// As for [`DataMapping::map`], but for the state of `rq`: the device is done with its data.
    #[inline]
    pub(crate) unsafe fn unmap(
        &mut self,
        rq: *mut bindings::request,
        dev: *mut bindings::device,
        pool: &SegmentPool,
    ) {
        match core::mem::take(&mut self.kind) {
            Kind::None => {}
            // SAFETY: The segment was mapped for this request and device.
            Kind::Single(segment) => unsafe { unmap_segment(rq, dev, segment) },
            Kind::Range(map) => {
                // SAFETY: The range was mapped for this request and device by `map_iter`; by its
                // choice of `kind` there are no segments to unmap one by one.
                unsafe { bindings::ext_blk_rq_dma_unmap(rq, dev, &mut self.state, self.len, map) };
            }
            Kind::Table(table, count) => {
                for i in 0..count {
                    // SAFETY: `map_iter` filled the first `count` entries with segments that it
                    // mapped for this request and device.
                    unsafe { unmap_segment(rq, dev, table.add(i).read()) };
                }
                // SAFETY: `map_iter` took it from the same pool, by the contract of `map`.
                unsafe { pool.free(table) };
            }
        }
    }
}

/// Unmaps one segment.
///
/// # Safety
///
/// `segment` is mapped for `rq` and `dev`, both valid.
#[inline]
unsafe fn unmap_segment(rq: *mut bindings::request, dev: *mut bindings::device, segment: Segment) {
    // SAFETY: By the contract of this function.
    unsafe {
        bindings::dma_unmap_phys(
            dev,
            segment.addr,
            segment.len as usize,
            bindings::ext_rq_dma_dir(rq),
            0,
        )
    };
}
