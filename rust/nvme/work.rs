// SPDX-License-Identifier: GPL-2.0

//! nvme-core's workqueue for all but resets and deletions.

use crate::bindings;
use kernel::workqueue::Queue;

/// nvme-core's workqueue. What is in it makes progress without memory, and may be waited for by a
/// reset.
pub fn work_queue() -> &'static Queue {
    // SAFETY: nvme-core makes the queue when it is loaded, and cannot be unloaded while it has
    // users.
    unsafe { Queue::from_raw(bindings::nvme_wq) }
}

/// The use of [`work_queue`] by a module. To be dropped when nobody puts anything into the queue any
/// more, and before the module's code goes: waits for all that is in it.
pub struct WorkQueue;

impl Drop for WorkQueue {
    fn drop(&mut self) {
        // SAFETY: As in `work_queue`.
        unsafe { bindings::__flush_workqueue(bindings::nvme_wq) };
    }
}
