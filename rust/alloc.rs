// SPDX-License-Identifier: GPL-2.0

//! Scopes in which allocations do no I/O.
//!
//! The flag belongs to the thread: what it calls is in the scope, too. Any context.
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use crate::bindings;
use kernel::{
    ffi::c_uint,
    prelude::*,
    types::NotThreadSafe, //
};

/// While this exists, no allocation of this thread does I/O to free memory: `GFP_KERNEL` means
/// `GFP_NOIO`. For a lock that the completion of I/O needs, and for a thread that gets a disk going
/// again, as the I/O might be one to that disk.
///
/// If several exist, the last one is to be dropped first; else the scope ends earlier than it should.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use kernel_ext::alloc::NoIo;
///
/// let scope = NoIo::new();
/// let plan = KVec::<u32>::with_capacity(64, GFP_KERNEL)?;
/// drop(scope);
/// # Ok::<(), Error>(())
/// ```
#[must_use = "the scope ends when this is dropped"]
pub struct NoIo {
    /// What [`memalloc_noio_save`](srctree/include/linux/sched/mm.h) has returned in this thread.
    saved: c_uint,
    _this_thread: NotThreadSafe,
}

impl NoIo {
    /// Begins a scope.
    pub fn new() -> Self {
        Self {
            // SAFETY: Sets a flag of this thread.
            saved: unsafe { bindings::ext_memalloc_noio_save() },
            _this_thread: NotThreadSafe,
        }
    }
}

impl Default for NoIo {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for NoIo {
    fn drop(&mut self) {
        // SAFETY: `saved` is from this thread, as the type is not `Send`.
        unsafe { bindings::ext_memalloc_noio_restore(self.saved) };
    }
}

#[kunit_tests(kernel_ext_alloc)]
mod tests {
    use super::*;

    fn is_set() -> bool {
        // SAFETY: As in `NoIo`.
        let saved = unsafe { bindings::ext_memalloc_noio_save() };
        // SAFETY: As in `NoIo`.
        unsafe { bindings::ext_memalloc_noio_restore(saved) };
        saved == 0
    }

    #[test]
    fn scopes() {
        assert!(!is_set());
        let outer = NoIo::new();
        assert!(is_set());
        drop(NoIo::new());
        assert!(is_set());
        drop(outer);
        assert!(!is_set());
    }
}
