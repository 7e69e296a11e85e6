// SPDX-License-Identifier: GPL-2.0

//! Starting, stopping and resetting a controller, as far as nvme-core does it.

use super::{
    Controller,
    Made,
    Stage, //
};
use crate::{
    bindings,
    nvme::Transport, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::MutexGuard, //
};

impl<T: Transport> Controller<T> {
    /// Enables the controller (CC.EN) and waits until it is ready, for at most CAP.TO.
    pub fn enable(&self) -> Result {
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_enable_ctrl(self.as_raw()) })
    }

    /// Shuts the controller down (CC.SHN), or just disables it (CC.EN), and waits for it.
    pub fn disable(&self, shutdown: bool) -> Result {
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_disable_ctrl(self.as_raw(), shutdown) })
    }

    /// The Controller Configuration register as it was last written.
    pub fn config(&self) -> u32 {
        read_once!(self, ctrl_config)
    }

    /// The Controller Capabilities register as [`Controller::set_capabilities`] gave it, or as
    /// [`Controller::enable`] read it.
    pub fn capabilities(&self) -> u64 {
        read_once!(self, cap)
    }

    /// Gives nvme-core the Controller Capabilities register, and the depth of the I/O queues.
    pub fn set_capabilities(&self, cap: u64, io_queue_depth: u16) {
        // SAFETY: Initialised by `new`; each is written as one word.
        unsafe {
            (&raw mut (*self.as_raw()).cap).write_volatile(cap);
            (&raw mut (*self.as_raw()).sqsize).write_volatile(io_queue_depth.saturating_sub(1));
        }
    }

    /// Has the admin tag set and the character device stay as long as the guard lives. `ENODEV` if
    /// there are none.
    fn use_made(&self) -> Result<MutexGuard<'_, ()>> {
        let using = self.using.lock();
        let made = self.made.lock();
        if made.admin_set != Stage::Made || made.cdev != Stage::Made {
            return Err(ENODEV);
        }
        Ok(using)
    }

    /// As `use_made`, but `None` unless the controller is added, and without regard to tag sets.
    pub(in crate::nvme) fn use_added(&self) -> Option<MutexGuard<'_, ()>> {
        let using = self.using.lock();
        let is_added = self.made.lock().cdev == Stage::Made;
        is_added.then_some(using)
    }

    /// Tells nvme-core how many queues there are, the admin queue included.
    pub fn set_queue_count(&self, count: u16) {
        self.write_queue_count(&mut self.made.lock(), count);
    }

    /// As [`Controller::set_queue_count`]. The number does not change while tags are made for it,
    /// hence the contents of the lock.
    pub(super) fn write_queue_count(&self, _made: &mut Made, count: u16) {
        // SAFETY: Initialised by `new`; written as one word.
        unsafe {
            (&raw mut (*self.as_raw()).queue_count).write_volatile(u32::from(count));
        }
    }

    /// Asks the controller for `count` I/O queues; returns how many it grants (Set Features,
    /// Number of Queues, section 5.1.25.2.1). 0 if it refuses: it is usable for administration.
    /// `ENODEV` without an admin tag set.
    pub fn request_io_queues(&self, count: u16) -> Result<u16> {
        let _using = self.use_made()?;
        let mut granted = c_int::from(count);
        // SAFETY: Initialised by `new`; there is an admin queue.
        match unsafe { bindings::nvme_set_queue_count(self.as_raw(), &mut granted) } {
            // The status of a command that was called off.
            ret if ret > 0 => return Err(EIO),
            ret => to_result(ret)?,
        }
        Ok(u16::try_from(granted)?.min(count))
    }

    /// Identifies the controller and configures its features. The admin queue must work. `ENODEV`
    /// unless the controller is added and has an admin tag set.
    ///
    /// If the first call fails, the next one may fail with `ESTALE`. Then nvme-core has made the
    /// controller a part of its subsystem, and would refuse it as another one with the same
    /// identifier. The controller can only be torn down, and a new one be created.
    pub fn init_finish(&self, was_suspended: bool) -> Result {
        let _using = self.use_made()?;
        if !read_once!(self, subsys).is_null() && !read_once!(self, identified) {
            return Err(ESTALE);
        }
        // SAFETY: Initialised by `new`; there is an admin queue, and the device is added. A positive
        // result is an NVMe status.
        match unsafe { bindings::nvme_init_ctrl_finish(self.as_raw(), was_suspended) } {
            ret if ret > 0 => return Err(EIO),
            ret => to_result(ret)?,
        }
        let segments = u32::from(self.max_metadata_segments());
        // SAFETY: Initialised by `new`; written as one word, and read when a namespace is found.
        unsafe {
            (&raw mut (*self.as_raw()).max_integrity_segments).write_volatile(segments);
        }
        Ok(())
    }

    /// Starts what nvme-core does with a live controller: keep alive, events, namespaces. Does
    /// nothing unless the controller is added and has an admin tag set.
    pub fn start(&self) {
        let Ok(_using) = self.use_made() else {
            return;
        };
        // SAFETY: Initialised by `new`; there is an admin queue, and who removes that waits for what
        // is started. The I/O tags are not withheld meanwhile.
        unsafe { bindings::nvme_start_ctrl(self.as_raw()) };
    }

    /// Stops what [`Controller::start`] started, but for namespaces.
    pub fn stop(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_stop_ctrl(self.as_raw()) };
    }

    /// Waits until a scan for namespaces that is under way is over.
    pub fn flush_scan(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::flush_work(&raw mut (*self.as_raw()).scan_work) };
    }

    /// Removes all namespaces; fails their I/O if the controller is dead.
    pub fn remove_namespaces(&self) {
        let _using = self.using.lock();
        // SAFETY: Initialised by `new`; the I/O tags are not withheld meanwhile.
        unsafe { bindings::nvme_remove_namespaces(self.as_raw()) };
    }

    /// Marks the namespaces' disks dead: nothing new is queued to them.
    pub fn mark_namespaces_dead(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_mark_namespaces_dead(self.as_raw()) };
    }

    /// Has the controller reset by [`Transport::reset`] in a work item. `EBUSY` if its state does
    /// not allow it.
    pub fn schedule_reset(&self) -> Result {
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_reset_ctrl(self.as_raw()) })
    }

    /// As [`Controller::schedule_reset`], for a controller in state `Resetting` already. `ENODEV`
    /// if it is in another.
    pub fn schedule_reset_now(&self) -> Result {
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_try_sched_reset(self.as_raw()) })
    }

    /// Queues the reset work, whatever the state: [`Transport::reset`] is to find out. If it runs,
    /// it runs once more.
    pub fn queue_reset(&self) {
        // SAFETY: Initialised by `new`; the queue exists while nvme-core is loaded. `free` waits
        // for the work.
        unsafe {
            bindings::queue_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::nvme_reset_wq,
                &raw mut (*self.as_raw()).reset_work,
            );
        }
    }

    /// Waits until `condition` holds, without a limit. It is looked at again whenever the state
    /// changes, or [`Controller::wake_waiters`] is called, and must not sleep.
    pub fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) {
        /// # Safety
        ///
        /// `ctrl` is of a `Controller<T>` that lives during the call, and `data` a pointer to an
        /// `F` that nobody else uses meanwhile.
        unsafe extern "C" fn holds<T: Transport, F: FnMut(&Controller<T>) -> bool>(
            ctrl: *mut bindings::nvme_ctrl,
            data: *mut c_void,
        ) -> bool {
            // SAFETY: By the contract of this function.
            unsafe { (*data.cast::<F>())(Controller::from_raw(ctrl)) }
        }
        fn pointer<T: Transport, F: FnMut(&Controller<T>) -> bool>(
            _: &F,
        ) -> unsafe extern "C" fn(*mut bindings::nvme_ctrl, *mut c_void) -> bool {
            holds::<T, F>
        }
        // SAFETY: Initialised by `new`; the closure lives during the call, and is of the type that
        // the function takes it for.
        unsafe {
            bindings::ext_nvme_wait_state(
                self.as_raw(),
                Some(pointer::<T, _>(&condition)),
                (&raw mut condition).cast(),
            );
        }
    }

    /// Has [`Controller::wait_until`] look again.
    pub fn wake_waiters(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::ext_nvme_wake_state(self.as_raw()) };
    }

    /// Sends on again what multipath holds back until a path of the controller's namespaces is live:
    /// where none can be any more, it fails.
    pub fn kick_requeue_lists(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::ext_nvme_kick_requeue_lists(self.as_raw()) };
    }

    /// Waits until the reset work is idle. Not from [`Transport::reset`].
    pub fn flush_reset(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::flush_work(&raw mut (*self.as_raw()).reset_work) };
    }
}
