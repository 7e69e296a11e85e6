// SPDX-License-Identifier: GPL-2.0

//! Making and unmaking a controller, and what nvme-core has of it: its character device and its
//! tag sets.

use super::{
    Controller,
    Limits,
    Made,
    Stage,
    State, //
};
use crate::{
    bindings,
    block::mq::Mapper,
    layout,
    nvme::{
        ctrl_ops,
        mq_ops::Operations,
        request::Pdu,
        tag_table::TagTable,
        IoQueues,
        Quirks,
        Transport, //
    },
    pci::irq::Vectors, //
};
use core::{
    cell::UnsafeCell,
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    device,
    error::to_result,
    new_mutex,
    new_spinlock,
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Atomic,
            Release, //
        },
        rcu, //
    },
    types::Opaque, //
};

impl<T: Transport> Controller<T> {
    /// Makes a controller below `parent`, not visible to anybody yet, with room for `queues`
    /// queues including the admin queue. nvme-core may find more quirks than `quirks` later.
    pub fn new(
        parent: &device::Device<device::Bound>,
        queues: u16,
        limits: Limits,
        quirks: Quirks,
        data: impl PinInit<T, Error>,
    ) -> Result<ARef<Self>> {
        let mapper = Mapper::new(parent)?;
        let parent: &device::Device = parent;
        let this = KBox::pin_init(
            try_pin_init!(Self {
                ctrl: Opaque::zeroed(),
                admin_set: Opaque::zeroed(),
                io_set: Opaque::zeroed(),
                ops: UnsafeCell::new(ctrl_ops::vtable::<T>()),
                parent: parent.into(),
                limits,
                mapper,
                tags: TagTable::new(queues)?,
                takes_events: Atomic::new(false),
                using <- new_mutex!((), "Controller::using"),
                made <- new_mutex!(Made::default(), "Controller::made"),
                quiescing <- new_mutex!((), "Controller::quiescing"),
                io_queues <- new_spinlock!(IoQueues::default(), "Controller::io_queues"),
                data <- data,
            }),
            GFP_KERNEL,
        )?;

        let ctrl = this.as_raw();
        let dev = layout::device(parent);
        // SAFETY: `ctrl` is zeroed, as nvme-core expects it; the parent is valid and held by
        // `parent`; `ops` lives as long as the controller.
        unsafe {
            bindings::ext_init_work(&raw mut (*ctrl).reset_work, Some(reset_callback::<T>));
            to_result(bindings::nvme_init_ctrl(
                ctrl,
                dev,
                this.ops.get(),
                quirks.to_raw(),
            ))?;
            let max_bytes = limits
                .max_bytes
                .min(u32::try_from(bindings::dma_opt_mapping_size(dev)).unwrap_or(u32::MAX));
            (*ctrl).numa_node = bindings::ext_dev_to_node(dev);
            (*ctrl).max_hw_sectors = max_bytes >> bindings::SECTOR_SHIFT;
            (*ctrl).max_segments = limits.max_segments;
            (*ctrl).max_integrity_segments = 1;
        }

        // From here on nvme-core owns the memory, and calls `free` with the last reference.
        // SAFETY: `nvme_init_ctrl` has made one reference, which passes to the caller; the value
        // stays pinned.
        Ok(unsafe {
            let this = KBox::into_raw(Pin::into_inner_unchecked(this));
            ARef::from_raw(NonNull::new_unchecked(this))
        })
    }

    /// Frees what `new` made.
    ///
    /// # Safety
    ///
    /// nvme-core's last reference to `ctrl` is gone.
    pub(in crate::nvme) unsafe fn free(ctrl: *mut bindings::nvme_ctrl) {
        // SAFETY: By the contract of this function, nobody uses the controller any more but work
        // that finds out that there is nothing to do, and `new` gave its box to nvme-core. The reset
        // work gets here if it had the last reference; it does not touch the controller then.
        unsafe {
            let reset = &raw mut (*ctrl).reset_work;
            if bindings::current_work() == reset {
                bindings::cancel_work(reset);
            } else {
                bindings::cancel_work_sync(reset);
            }
            let this = Self::from_raw(ctrl);
            this.flush_work();
            this.remove_io_tag_set();
            drop(KBox::from_raw(core::ptr::from_ref(this).cast_mut()));
        }
    }

    /// Makes `/dev/nvmeX`. Undone by [`Controller::uninit`]. `EEXIST` the second time, even if it was
    /// undone.
    pub fn add(&self) -> Result {
        let mut made = self.made.lock();
        if made.cdev != Stage::NotYet {
            return Err(EEXIST);
        }
        // SAFETY: Initialised by `new`, and not added before.
        to_result(unsafe { bindings::nvme_add_ctrl(self.as_raw()) })?;
        made.cdev = Stage::Made;
        Ok(())
    }

    /// Takes `/dev/nvmeX` away, if [`Controller::add`] made it. Waits for who uses the attributes in
    /// sysfs.
    pub fn uninit(&self) {
        if self.begin_to_unmake(|made| &mut made.cdev) {
            // SAFETY: `add` succeeded, and this is done once.
            unsafe { bindings::nvme_uninit_ctrl(self.as_raw()) };
        }
    }

    /// Notes that something is unmade, when nvme-core has finished using it. `false` unless it is
    /// there; else the caller is the one to unmake it.
    fn begin_to_unmake(&self, what: impl FnOnce(&mut Made) -> &mut Stage) -> bool {
        let _using = self.using.lock();
        let mut made = self.made.lock();
        let stage = what(&mut made);
        let is_made = *stage == Stage::Made;
        if is_made {
            *stage = Stage::Unmade;
        }
        is_made
    }

    /// Makes the admin queue's tags and request queue. `EEXIST` the second time, even if they were
    /// removed. The controller lives until [`Controller::remove_admin_tag_set`].
    pub fn alloc_admin_tag_set(&self) -> Result {
        let mut made = self.made.lock();
        if made.admin_set != Stage::NotYet {
            return Err(EEXIST);
        }
        // SAFETY: Nobody uses the tag set yet; the operations are static, and the PDU is what
        // they take it for.
        to_result(unsafe {
            bindings::nvme_alloc_admin_tag_set(
                self.as_raw(),
                self.admin_set.get(),
                &Operations::<T, true>::VTABLE,
                size_of::<Pdu<T>>() as c_uint,
            )
        })?;
        // SAFETY: The set was made, and stays while `made` says so; its tags are hidden before it
        // goes.
        unsafe { self.note_tags(self.admin_set.get(), 0, 0) };
        made.admin_set = Stage::Made;
        self.inc_ref();
        self.takes_events.store(true, Release);
        Ok(())
    }

    /// Fails what waits in the admin queue and takes its tags away: the state is terminal from now
    /// on. Then waits for what nvme-core does with the controller, events included; no more are
    /// taken.
    pub fn remove_admin_tag_set(&self) {
        if !self.begin_to_unmake(|made| &mut made.admin_set) {
            return;
        }
        // From each state that is not terminal one of these leads to one that is.
        self.change_state(State::Connecting);
        self.change_state(State::Deleting);
        // SAFETY: The queue was made, and is destroyed once. nvme-core does not begin to keep the
        // controller alive any more.
        unsafe {
            bindings::nvme_unquiesce_admin_queue(self.as_raw());
            bindings::nvme_stop_keep_alive(self.as_raw());
            bindings::blk_mq_destroy_queue((*self.as_raw()).admin_q);
        }
        {
            let _made = self.made.lock();
            self.tags.hide(0, 0);
            // SAFETY: The tag set was made, its only queue is destroyed, no tag can be looked up,
            // and `made` keeps others from iterating over it.
            unsafe {
                self.tags.set(0, core::ptr::null_mut());
                (*self.as_raw()).admin_tagset = core::ptr::null_mut();
                bindings::blk_mq_free_tag_set(self.admin_set.get());
            }
        }
        self.stop_events();
        // SAFETY: `alloc_admin_tag_set` has taken this reference. It is not the last: the caller
        // borrows the controller.
        unsafe { Self::dec_ref(self.into()) };
    }

    /// Waits for the work that events have queued, which uses the controller without a reference to
    /// it. The controller may report an event as long as the admin queue is enabled, so also after
    /// [`Controller::stop`].
    fn stop_events(&self) {
        self.takes_events.store(false, Release);
        // Whoever has seen that events are taken has queued the work when this returns.
        rcu::synchronize_rcu();
        self.flush_work();
    }

    /// Waits for all work of nvme-core's but a reset.
    fn flush_work(&self) {
        // SAFETY: `new` has initialised all work. What runs may queue what is waited for after it.
        unsafe {
            bindings::cancel_work_sync(&raw mut (*self.as_raw()).scan_work);
            bindings::nvme_stop_keep_alive(self.as_raw());
            bindings::nvme_stop_ctrl(self.as_raw());
            bindings::cancel_work_sync(&raw mut (*self.as_raw()).async_event_work);
        }
    }

    /// Makes the tags of the I/O queues, whose interrupts are of `vectors`. They can only ever be for
    /// the kinds of queues that there are now. `EEXIST` if they exist, `ENODEV` without an admin
    /// queue, by which namespaces are found, `EINVAL` if there cannot be such queues, or if `vectors`
    /// are not those of the parent.
    pub fn alloc_io_tag_set(&self, queues: IoQueues, vectors: &Vectors) -> Result {
        let mut made = self.made.lock();
        if made.io_set {
            return Err(EEXIST);
        }
        if made.admin_set != Stage::Made {
            return Err(ENODEV);
        }
        self.check_io_queues(&queues, vectors)?;
        self.replace_io_queues(&mut made, queues);
        self.write_queue_count(&mut made, queues.total().saturating_add(1));
        // SAFETY: As in `alloc_admin_tag_set`.
        to_result(unsafe {
            bindings::nvme_alloc_io_tag_set(
                self.as_raw(),
                self.io_set.get(),
                &Operations::<T, false>::VTABLE,
                queues.count_maps(),
                size_of::<Pdu<T>>() as c_uint,
            )
        })?;
        // SAFETY: The set was made, and changes with `made` locked alone, which hides the tags; no
        // tag is looked up any more when it goes.
        unsafe { self.note_tags(self.io_set.get(), 1, self.tags.len()) };
        made.io_set = true;
        made.io_kinds = queues.count_kinds();
        Ok(())
    }

    /// Notes the tags of `set` for the queues from `first` to `last`: null for those that it does not
    /// have. The block layer's own calls for a queue may come late, when its tags are gone.
    ///
    /// # Safety
    ///
    /// `set` is made and does not change meanwhile; its tags stay until they are hidden.
    unsafe fn note_tags(&self, set: *mut bindings::blk_mq_tag_set, first: usize, last: usize) {
        for (index, qid) in (first..=last).enumerate() {
            // SAFETY: By the contract of this function; there are as many tags as queues.
            unsafe {
                let tags = if index < (*set).nr_hw_queues as usize {
                    *(*set).tags.add(index)
                } else {
                    core::ptr::null_mut()
                };
                self.tags.set(qid, tags);
            }
        }
    }

    /// Notes what the I/O queues are for now; returns what they were for. Only whoever changes what
    /// is made does so, hence the contents of its lock.
    fn replace_io_queues(&self, _made: &mut Made, queues: IoQueues) -> IoQueues {
        core::mem::replace(&mut *self.io_queues.lock(), queues)
    }

    /// `EINVAL` unless there can be `queues`, and `vectors` are those of the parent. The block layer
    /// asks the parent for the spread of its vectors: the caller keeps them meanwhile.
    fn check_io_queues(&self, queues: &IoQueues, vectors: &Vectors) -> Result {
        let parent = layout::device(vectors.device().as_ref()) == self.dma_device();
        if queues.default == 0 || usize::from(queues.total()) >= self.tags.len() || !parent {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Which kinds of I/O queues there can be: 1, default queues only; 2, read queues, too; 3,
    /// polled queues, too. `None` if the I/O queues' tags are not made yet.
    pub fn io_queue_kinds(&self) -> Option<u32> {
        let made = self.made.lock();
        made.io_set.then_some(made.io_kinds)
    }

    /// Takes the I/O queues' tags away. Only when no namespace is left: the last reference.
    fn remove_io_tag_set(&self) {
        if core::mem::take(&mut self.made.lock().io_set) {
            // SAFETY: The tag set was made; namespaces hold the controller, so none is left, and
            // so do the owners of `QueueTags`, so nobody looks a tag up.
            unsafe { bindings::blk_mq_free_tag_set(self.io_set.get()) };
        }
    }

    /// Adapts the I/O queues' tags and maps to `queues`, whose interrupts are of `vectors`, and gives
    /// the tags back to nvme-core if they were withheld. The queues must be frozen; sleeps. `ENODEV`
    /// if there are no tags, else as for [`Controller::alloc_io_tag_set`].
    pub fn update_io_queues(&self, queues: IoQueues, vectors: &Vectors) -> Result {
        self.check_io_queues(&queues, vectors)?;
        let mut made = self.made.lock();
        if !made.io_set {
            return Err(ENODEV);
        }
        let count = c_uint::from(queues.total());
        let before = self.replace_io_queues(&mut made, queues);
        let set = self.io_set.get();
        let dev = self.dma_device();
        // SAFETY: The tag set is made, and changes with `made` locked alone.
        let as_wanted = || unsafe { (*set).nr_hw_queues == count && queues.are_mapped(dev, set) };
        if before == queues && as_wanted() {
            self.give_io_tags();
            return Ok(());
        }
        let last = self.tags.len();
        self.tags.hide(1, last);
        // SAFETY: As above; no tag can be looked up. `made` keeps the set as it is then, with as
        // many tags as queues; the block layer keeps them until the set changes again or goes.
        unsafe {
            bindings::blk_mq_update_nr_hw_queues(set, count as c_int);
            self.note_tags(set, 1, last);
            self.tags.show(1, last);
        }
        self.give_io_tags();
        drop(made);
        Ok(())
    }
}

/// # Safety
///
/// Only called by the workqueue, with the `reset_work` of a `Controller<T>`.
unsafe extern "C" fn reset_callback<T: Transport>(work: *mut bindings::work_struct) {
    // SAFETY: By the contract of this function. `Controller::free` waits for the work, so the
    // controller is there when this begins. If the last reference has gone, nobody is interested in
    // a reset; else the one that is taken here keeps the controller.
    unsafe {
        let ctrl: *mut bindings::nvme_ctrl = work
            .byte_sub(offset_of!(bindings::nvme_ctrl, reset_work))
            .cast();
        let dev = (*ctrl).device;
        if bindings::kobject_get_unless_zero(&raw mut (*dev).kobj).is_null() {
            return;
        }
        T::reset(Controller::<T>::from_raw(ctrl));
        bindings::put_device(dev);
    }
}
