// SPDX-License-Identifier: GPL-2.0

//! Keeping the I/O queues' tags from nvme-core while there are no I/O queues.

use super::{
    Controller,
    Stage,
    State, //
};
use crate::{
    bindings,
    nvme::Transport, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Release,
        rcu, //
    }, //
};

impl<T: Transport> Controller<T> {
    /// Keeps the I/O queues' tags from nvme-core, which then looks for no namespaces, until
    /// [`Controller::update_io_queues`]. For a controller that has lost its I/O queues, and whose
    /// namespaces have been removed. `EBUSY` if the controller is live; it does not become so
    /// meanwhile. Sleeps, and waits for a search for namespaces that is under way.
    ///
    /// The tags stay allocated: whoever has found them before may still look at them.
    pub fn withhold_io_tags(&self) -> Result {
        // Excludes `start`, `remove_namespaces` and whoever removes the admin tag set.
        let _using = self.using.lock();
        {
            let mut made = self.made.lock();
            if self.state() == State::Live {
                return Err(EBUSY);
            }
            made.stays_down = true;
        }
        self.takes_events.store(false, Release);
        rcu::synchronize_rcu();
        // SAFETY: `new` has initialised the work. This may make the controller live when it ends;
        // only an event queues it again.
        unsafe { bindings::cancel_work_sync(&raw mut (*self.as_raw()).fw_act_work) };
        let result = self.take_io_tags_away();
        let mut made = self.made.lock();
        made.stays_down = false;
        self.takes_events
            .store(made.admin_set == Stage::Made, Release);
        result
    }

    /// As [`Controller::withhold_io_tags`], when nothing makes the controller live any more.
    fn take_io_tags_away(&self) -> Result {
        if self.state() == State::Live {
            return Err(EBUSY);
        }
        // SAFETY: `new` has initialised the work. Only that of a live controller looks for
        // namespaces.
        unsafe { bindings::cancel_work_sync(&raw mut (*self.as_raw()).scan_work) };
        let _quiescing = self.quiescing.lock();
        let _made = self.made.lock();
        self.write_io_tags(core::ptr::null_mut());
        Ok(())
    }

    /// Gives nvme-core the I/O tag set back, if it was withheld. The set must be made.
    pub(super) fn give_io_tags(&self) {
        self.write_io_tags(self.io_set.get());
    }

    fn write_io_tags(&self, set: *mut bindings::blk_mq_tag_set) {
        // SAFETY: Initialised by `new`; written as one word. Whoever reads it meanwhile may see
        // either value.
        unsafe { (&raw mut (*self.as_raw()).tagset).write_volatile(set) };
    }
}
