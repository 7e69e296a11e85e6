// SPDX-License-Identifier: GPL-2.0

//! Holding requests back, letting them go, and calling them off.

use super::Controller;
use crate::{
    bindings,
    layout,
    nvme::Transport,
    pci::Stopped, //
};
use kernel::{
    prelude::*,
    time::Jiffies, //
};

impl<T: Transport> Controller<T> {
    /// Lets nothing more through the I/O queues to the transport; waits for calls under way.
    pub fn quiesce_io(&self) {
        // nvme-core notes that they are quiesced before it has done so: who lets them go in between
        // would leave them quiesced, and be warned of it.
        let _quiescing = self.quiescing.lock();
        // SAFETY: Initialised by `new`; does nothing without I/O queues.
        unsafe { bindings::nvme_quiesce_io_queues(self.as_raw()) };
    }

    /// Undoes [`Controller::quiesce_io`].
    pub fn unquiesce_io(&self) {
        let _quiescing = self.quiescing.lock();
        // SAFETY: As above.
        unsafe { bindings::nvme_unquiesce_io_queues(self.as_raw()) };
    }

    /// Lets nothing more through the admin queue to the transport; waits for calls under way.
    pub fn quiesce_admin(&self) {
        if self.admin_queue().is_some() {
            // SAFETY: There is an admin queue.
            unsafe { bindings::nvme_quiesce_admin_queue(self.as_raw()) };
        }
    }

    /// Undoes [`Controller::quiesce_admin`].
    pub fn unquiesce_admin(&self) {
        if self.admin_queue().is_some() {
            // SAFETY: There is an admin queue.
            unsafe { bindings::nvme_unquiesce_admin_queue(self.as_raw()) };
        }
    }

    /// Begins to freeze the I/O queues: nothing new enters them.
    pub fn start_freeze(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_start_freeze(self.as_raw()) };
    }

    /// Waits until nothing is left in the frozen I/O queues.
    pub fn wait_freeze(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_wait_freeze(self.as_raw()) };
    }

    /// As [`Controller::wait_freeze`], for about `limit` jiffies. Returns whether nothing is left.
    pub fn wait_freeze_for(&self, limit: Jiffies) -> bool {
        let limit = c_long::try_from(limit).unwrap_or(c_long::MAX);
        // SAFETY: Initialised by `new`.
        unsafe { bindings::ext_nvme_wait_freeze_timeout(self.as_raw(), limit) }
    }

    /// As [`Controller::wait_freeze`], for at most the I/O time limit.
    pub fn wait_freeze_timeout(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_wait_freeze_timeout(self.as_raw()) };
    }

    /// Undoes [`Controller::start_freeze`].
    pub fn unfreeze(&self) {
        // SAFETY: Initialised by `new`; does nothing that was not frozen.
        unsafe { bindings::nvme_unfreeze(self.as_raw()) };
    }

    /// Waits for timeout handlers and the like that are under way in any queue.
    pub fn sync_queues(&self) {
        if self.admin_queue().is_some() {
            // SAFETY: There is an admin queue.
            unsafe { bindings::nvme_sync_queues(self.as_raw()) };
        }
    }

    /// Completes everything that is in flight as aborted by the host. The controller does not touch
    /// the requests' memory any more, as the parent is `stopped`. `EINVAL` if that is another device.
    pub fn cancel_all(&self, stopped: &Stopped) -> Result {
        if layout::device(stopped.device().as_ref()) != self.dma_device() {
            return Err(EINVAL);
        }
        let _made = self.made.lock();
        let last = self.tags.len();
        self.tags.hide(0, last);
        // SAFETY: Initialised by `new`; the functions do nothing for tag sets that are not there,
        // and `made` keeps those that are. Nobody else completes requests, as none can be found.
        // The tag sets do not change meanwhile, and `update_io_queues` notes no tags that are gone.
        // By `stopped`, the device writes to the memory of no request any more.
        unsafe {
            bindings::nvme_cancel_tagset(self.as_raw());
            bindings::nvme_cancel_admin_tagset(self.as_raw());
            self.tags.show(0, last);
        }
        Ok(())
    }
}
