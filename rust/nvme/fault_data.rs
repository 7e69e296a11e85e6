// SPDX-License-Identifier: GPL-2.0

//! The data of a request, for faults that are made up to change: only with `NVME_RS_FAULTS`.

use crate::bindings;
use core::marker::PhantomData;

/// The data of a completed request, which its submitter has not seen yet.
///
/// # Invariants
///
/// `rq` is valid and owned by whoever made this value; no device accesses its data.
pub struct FaultData<'a> {
    rq: *mut bindings::request,
    _rq: PhantomData<&'a mut ()>,
}

impl FaultData<'_> {
    /// # Safety
    ///
    /// The type invariants hold as long as the value lives.
    pub(super) unsafe fn new(rq: *mut bindings::request) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            rq,
            _rq: PhantomData,
        }
    }

    /// Writes `bytes` at `offset`; what is beyond the end of the data is left out. Nothing is
    /// written if the request does not read.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        // SAFETY: By the type invariants, and `bytes` is valid during the call.
        unsafe { bindings::ext_rq_write_data(self.rq, offset, bytes.as_ptr().cast(), bytes.len()) };
    }
}
