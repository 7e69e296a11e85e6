// SPDX-License-Identifier: GPL-2.0

//! nvme-core's trace event `nvme_sq`: how far controller and host are in a submission queue, told
//! with each completion.
//!
//! C header: `drivers/nvme/host/trace.h`

use crate::bindings;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Whether anybody listens to `nvme_sq`. The code is patched when that changes, so that asking is
/// one instruction without effect.
#[inline(always)]
fn is_enabled() -> bool {
    #[cfg(CONFIG_TRACEPOINTS)]
    // SAFETY: This is the key of a trace point, which nvme-core defines and exports.
    unsafe {
        kernel::jump_label::static_branch_unlikely!(
            bindings::__tracepoint_nvme_sq,
            bindings::tracepoint,
            key
        )
    }
    #[cfg(not(CONFIG_TRACEPOINTS))]
    false
}

/// The tail of a submission queue, for whoever handles its completions to trace.
///
/// It is only kept up while somebody listens, so that it costs nothing else. Of a command that was
/// sent before, the event may tell an older tail.
#[derive(Clone)]
pub struct TracedTail(Arc<Atomic<i32>>);

impl TracedTail {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Arc::new(Atomic::new(0), GFP_KERNEL)?))
    }

    /// Notes that the tail is `tail` now.
    #[inline]
    pub fn set(&self, tail: u16) {
        if is_enabled() {
            self.0.store(tail.into(), Relaxed);
        }
    }

    /// Tells who listens that the controller has completed `rq`, and has fetched what is before
    /// what `head` returns, which is called only if there is anybody.
    ///
    /// # Safety
    ///
    /// `rq` is a valid request of a transport, and in flight.
    #[inline]
    pub(super) unsafe fn trace(&self, rq: *mut bindings::request, head: impl FnOnce() -> u16) {
        if is_enabled() {
            // SAFETY: By the contract of this function.
            unsafe { self.tell(rq, head()) };
        }
    }

    /// # Safety
    ///
    /// As for [`TracedTail::trace`].
    #[cold]
    unsafe fn tell(&self, rq: *mut bindings::request, head: u16) {
        // SAFETY: By the contract of this function.
        unsafe { bindings::ext_trace_nvme_sq(rq, head, self.0.load(Relaxed)) };
    }
}
